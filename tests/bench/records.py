#!/usr/bin/env python3
"""Records of many devices in one controller: a table.

usage: records.py BUILD_DIR OUT.json [--devices 10000,100000] [--cpus 0,1]

One simulated device enrols, connects and reports.  Its rows are then copied
for all others, each with an id, a name, labels and a certificate of its own,
so nobody else connects: the records alone cost.  The controller starts again
on that database, and an operator acts on all devices at once.

For each act: time to the answer, processor time of the controller, bytes of the
answer, and how long /healthz took meanwhile, which another thread asks
without a pause.  Times depend on what else the machine does, which the JSON
names; processor time and bytes hardly do.
"""
import argparse
import glob
import http.client
import json
import os
import shutil
import sqlite3
import sys
import tempfile
import threading
import time
import uuid

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

import bench_fleet as B  # noqa: E402
from waits import until  # noqa: E402

F, S = B.F, B.S
SITES, HARDWARES = 40, 12
READS = (
    ("list", "/v1/devices?limit=50"),
    ("search", "/v1/devices?limit=50&where=name>=dev-007000"
     "%20and%20name<dev-007100"),
    ("sort", "/v1/devices?limit=50&sort=condition,name"),
    ("sort by a label", "/v1/devices?limit=50&sort=label.site,-last_seen"),
    ("facets", "/v1/overview?facets=true"),
    ("facets, one site", "/v1/overview?facets=true&where=label.site='site-07'"),
    ("page, one site", "/v1/devices?limit=50&where=label.site='site-07'"),
)


class Fleet(S.Simulated):
    """/readyz says 503 while the descriptors do not suffice for all devices:
    the first answer counts here."""

    def healthy(self):
        try:
            connection = http.client.HTTPConnection("127.0.0.1", self.port)
            connection.request("GET", "/healthz")
            status = connection.getresponse().status
            connection.close()
            return status == 200
        except OSError:
            return False


class Healthz(threading.Thread):
    """Asks /healthz one after the other."""

    def __init__(self, fleet):
        super().__init__(daemon=True)
        self.rest, self.is_over = B.Rest(fleet), threading.Event()
        self.times = []

    def run(self):
        while not self.is_over.wait(0.002):
            begin = time.monotonic()
            try:
                self.rest.ask("GET", "/healthz")
            except OSError:
                continue  # a connection has its end, too
            self.times.append(time.monotonic() - begin)

    def part(self):
        times, self.times = self.times, []
        return {"asked": len(times), "p99_s": B.rounded(times, 0.99),
                "most_s": B.rounded(times, 1)}


def copies(connection, table, column, change, key="id"):
    """The rows of the one device in a table, again for each other."""
    names = [row[1] for row in connection.execute(
        "PRAGMA table_info(%s)" % table)]
    rows = connection.execute("SELECT * FROM %s" % table).fetchall()
    at = names.index(column)

    def made(device):
        for row in rows:
            row = list(row)
            row[at] = device[key]
            change(row, names, device)
            yield row
    text = "INSERT INTO %s VALUES(%s)" % (table, ",".join("?" * len(names)))
    return lambda device: connection.executemany(text, made(device))


def multiply(path, count):
    """So many devices in control.db, from the one that is there."""
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA synchronous=OFF")
    first = connection.execute("SELECT id, name, reported FROM device").fetchall()
    if len(first) != 1:
        raise F.Failed("%d devices enrolled instead of 1" % len(first))
    mine, name = first[0][:2]

    def own(row, names, device):
        for key, value in (("name", device["name"]),
                           ("labels", device["labels"]), ("online", 0)):
            row[names.index(key)] = value
        row[names.index("reported")] = row[names.index("reported")].replace(
            mine, device["id"]).replace(name, device["name"])

    def new_serial(row, names, device):
        row[names.index("serial")] = device["serial"]

    def none(row, names, device):
        pass

    def new_mark(row, names, device):
        row[names.index("book")] = row[names.index("outbox")] = device["book"]

    def new_event(row, names, device):
        row[names.index("id")] = None
        row[names.index("outbox")] = device["book"]
    plan = [("device", "id", own), ("certificate", "device", new_serial),
            ("event", "book", new_event, "book"),
            ("event_mark", "device", new_mark)]
    plan += [(table, "device", none) for table in (
        "device_group", "desired", "device_model", "assignment", "offer")]
    makers = [copies(connection, *one) for one in plan]
    for i in range(count - 1):
        device = {"id": str(uuid.uuid5(uuid.NAMESPACE_OID, str(i))),
                  "book": count + i,
                  "name": "dev-%06d" % i, "serial": "%040x" % (i + 1),
                  "labels": json.dumps({"site": "site-%02d" % (i % SITES),
                                        "hw": "hw-%02d" % (i % HARDWARES)})}
        for make in makers:
            make(device)
    connection.commit()
    connection.close()


class Records:
    def __init__(self, args, devices, folder):
        self.args, self.devices = args, devices
        self.fleet = Fleet(folder, os.path.join(args.build, "..", "bin"),
                                 name=B.FLEET)
        self.rows, self.out = [], {"devices": devices}
        self.data = None

    def prepare(self):
        fleet = self.fleet
        fleet.up(cpus=self.args.cpus, uses=10)
        fleet.publish("tiny@1", "tiny-v2.Q4_0.gguf", "golden-tiny-v2.json")
        fleet.publish("tiny@2", "tiny-v2.1.Q4_0.gguf",
                      "golden-tiny-v2.1.json")
        sim = fleet.simulate(os.path.join(self.args.build, "tests",
                                          "flotilla-sim"), 1, seed=19)
        sim.connected()
        fleet.ended(fleet.roll("tiny@1", ("100%",), "--soak", "0s"))

        def serves():
            items = fleet.ask("device", "list")
            serving = items[0].get("serving") or {} if items else {}
            return serving.get("version") == "1"
        until("a report that names tiny@1", serves)
        sim.close()
        fleet.controller.terminate()
        fleet.controller.wait()
        self.data = glob.glob(os.path.join(fleet.dir, "**", "control.db"),
                              recursive=True)[0]
        multiply(self.data, self.devices)

    def start(self):
        begin = time.monotonic()
        with S.pinned(self.args.cpus):
            self.fleet.start_controller()
        self.rest = B.Rest(self.fleet)
        self.rest.ask("GET", "/v1/devices?limit=1")
        took = time.monotonic() - begin
        self.controller = B.Process(self.fleet.controller.pid)
        self.row("start", wall_s=took, cpu_s=self.controller.cpu_s())
        self.healthz = Healthz(self.fleet)
        self.healthz.start()
        self.settle()

    def settle(self):
        """Until the controller is idle: less than a tenth of a processor."""
        def is_idle():
            before = self.controller.cpu_s()
            time.sleep(1)
            return self.controller.cpu_s() - before < 0.1
        cpu, begin = self.controller.cpu_s(), time.monotonic()
        until("an idle controller", is_idle)
        took = time.monotonic() - begin
        return {"wall_s": took, "cpu_s": self.controller.cpu_s() - cpu}

    def row(self, name, **figures):
        figures = {key: round(value, 4) if isinstance(value, float) else value
                   for key, value in figures.items()}
        self.rows.append(dict(figures, row=name))
        print("%7d  %-34s %s" % (self.devices, name, "  ".join(
            "%s=%s" % pair for pair in figures.items())), flush=True)

    def ask(self, name, method, path, body=None, times=1):
        """One call, or the median of several."""
        self.healthz.part()
        walls, cpus = [], []
        for _ in range(times):
            cpu, begin = self.controller.cpu_s(), time.monotonic()
            status, text = self.rest.ask(method, path, body)
            walls.append(time.monotonic() - begin)
            cpus.append(self.controller.cpu_s() - cpu)
        if status >= 300:
            self.row(name, wall_s=walls[-1], cpu_s=sum(cpus) / times,
                     failed=text[:120].decode("utf-8", "replace"))
            return {}
        after = self.settle() if method == "POST" else {"cpu_s": 0.0}
        health = self.healthz.part()
        self.row(name, wall_s=sorted(walls)[len(walls) // 2],
                 cpu_s=sum(cpus) / times, bytes=len(text),
                 cpu_after_s=after["cpu_s"], healthz_p99_s=health["p99_s"],
                 healthz_most_s=health["most_s"])
        return json.loads(text)

    def at_rest(self):
        size = sum(os.path.getsize(self.data + end) for end in ("", "-wal")
                   if os.path.exists(self.data + end))
        memory = self.controller.memory()
        self.row("rest", rss_mb=memory["rss_mb"],
                 rss_most_mb=memory["rss_most_mb"],
                 database_bytes_a_device=size // self.devices)

    def page(self):
        """As the fleet page opens."""
        cpu, begin, size, calls = self.controller.cpu_s(), time.monotonic(), 0, 0
        self.healthz.part()
        status, text = self.rest.ask("GET", "/v1/overview?by=site")
        if status == 200:
            size, calls = len(text), 1
        else:
            at = "/v1/devices?limit=1000&fields=id,name,labels,groups,condition," \
                "state,models"
            following = ""
            while following is not None:
                text = self.rest.ask("GET", at + following)[1]
                size, calls = size + len(text), calls + 1
                following = json.loads(text)["next"]
                following = following and "&cursor=" + following
        self.row("page", wall_s=time.monotonic() - begin,
                 cpu_s=self.controller.cpu_s() - cpu, bytes=size, calls=calls,
                 healthz_p99_s=self.healthz.part()["p99_s"])

    def of_all(self):
        """A rollout that told all devices, and what is done to it."""
        rollout = self.ask("POST rollout, one phase", "POST", "/v1/rollouts", {
            "release": "tiny@2", "phases": [{"size": "100%"}]})
        if not rollout:
            return
        at = "/v1/rollouts/%s/actions" % rollout["id"]
        for action in ("pause", "resume"):
            self.ask("POST %s, of all" % action, "POST", at,
                     {"action": action})
        self.ask("POST rollback of it", "POST", at,
                 {"action": "rollback", "confirm": "tiny@2"})

    def run(self):
        self.prepare()
        self.start()
        self.at_rest()
        for name, path in READS:
            self.ask(name, "GET", path, times=9)
        self.page()
        everybody = {"confirm": B.FLEET, "everywhere": True}
        self.ask("plan of a rollout", "POST", "/v1/rollouts?dry_run=true",
                 {"release": "tiny@2", "phases": [{"size": "100%"}]})
        rollout = self.ask("POST rollout", "POST", "/v1/rollouts", {
            "release": "tiny@2", "phases": [{"size": "1%"}, {"size": "100%"}]})
        if rollout:
            at = "/v1/rollouts/%s" % rollout["id"]
            self.ask("GET rollout, counts", "GET", at + "?devices=0", times=9)
            self.ask("GET rollout, 50 devices", "GET", at + "?devices=50",
                     times=9)
            for name, more in (("", ""), (", not done", "&only=not-done"),
                               (", failed", "&only=failed"),
                               (", one site",
                                "&where=label.site='site-07'")):
                self.ask("50 devices of it" + name, "GET",
                         at + "/devices?limit=50" + more, times=9)
            self.ask("GET rollouts", "GET", "/v1/rollouts", times=9)
            self.ask("POST abort", "POST", "/v1/rollouts/%s/actions" %
                     rollout["id"], {"action": "abort"})
        self.of_all()
        self.ask("POST freeze", "POST", "/v1/orders",
                 dict(everybody, op="freeze"))
        self.ask("POST unfreeze", "POST", "/v1/orders",
                 dict(everybody, op="unfreeze"))
        back = {"op": "rollback", "release": "tiny@1", "everywhere": True,
                "confirm": "tiny@1"}
        self.ask("POST rollback that yanks nothing", "POST", "/v1/orders",
                 dict(back, yank=False))
        self.ask("POST rollback to a release", "POST", "/v1/orders",
                 dict(back, yank=False, to="tiny@2"))
        self.ask("POST rollback, not decided", "POST", "/v1/orders", back)
        self.ask("POST removal of a model", "POST", "/v1/orders", {
            "op": "remove", "model": "tiny", "everywhere": True,
            "confirm": "tiny"})
        self.ask("plan of a rollback", "POST", "/v1/orders?dry_run=true", {
            "op": "rollback", "release": "tiny@1", "everywhere": True})
        self.ask("POST rollback", "POST", "/v1/orders", {
            "op": "rollback", "release": "tiny@1", "everywhere": True,
            "confirm": "tiny@1", "yank": True})
        self.at_rest()
        self.healthz.is_over.set()
        self.healthz.join()
        self.out["rows"] = self.rows
        return self.out


def measure(args, counts):
    """Tables of fleets of these sizes."""
    found = {"cpus": os.cpu_count(), "load": os.getloadavg()[0], "fleets": []}
    for devices in counts:
        folder = tempfile.mkdtemp(prefix="flotilla-records-")
        records = Records(args, devices, folder)
        try:
            found["fleets"].append(records.run())
        finally:
            records.fleet.close()
            shutil.rmtree(folder, ignore_errors=True)
    return found


def main():
    parse = argparse.ArgumentParser(usage=__doc__)
    parse.add_argument("build")
    parse.add_argument("out")
    parse.add_argument("--devices", default="10000,100000")
    parse.add_argument("--cpus", default="0,1")
    args = parse.parse_args()
    args.cpus = {int(one) for one in args.cpus.split(",")}
    found = measure(args, [int(one) for one in args.devices.split(",")])
    with open(args.out, "w", encoding="utf-8") as file:
        json.dump(found, file, indent=1)


if __name__ == "__main__":
    main()
