#!/usr/bin/env python3
"""A fleet of simulated devices: the goals of its scale, measured.

usage: bench_fleet.py BUILD_DIR OUT.json [--devices 1000,3000,10000]
                      [--reports-per-s 10000] [--seconds 20] [--cpus 0,1]
                      [--store postgresql://ADDRESS] [--only PART,...]

The controller, its broker and its database run on --cpus, the simulator and
this program on the others.  One device takes a descriptor of the simulator and
one of the broker: see `ulimit -Hn`.  A larger fleet has its records alone
(records.py).  The JSON names the machine's load before
each part; on a machine with other work, compare ratios only.
"""
import argparse
import http.client
import json
import os
import platform
import re
import resource
import shutil
import statistics
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "fleet"))

import simulated as S  # noqa: E402
from waits import until  # noqa: E402

F = S.F
FLEET = "bench"
LOSSES = ("telemetry_shed_total", "telemetry_limited_total",
          "telemetry_lost_total")
PARTS = ("come", "idle", "rollout", "freeze", "rollback", "returning", "flood",
         "flooder", "broker_restart", "controller_restart", "events")
PATHS = ("/v1/devices?limit=50", "/v1/releases", "/v1/rollouts?limit=20",
         "/healthz")


def percentile(values, share):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * share))]


def rounded(values, share):
    return round(percentile(values, share), 4) if values else None


class Process:
    """Processor time and memory of a process."""

    def __init__(self, pid):
        self.pid = pid

    def cpu_s(self):
        """All its threads, also those that ended."""
        with open("/proc/%d/stat" % self.pid, encoding="latin-1") as file:
            words = file.read().rsplit(")", 1)[1].split()
        return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")

    def thread_s(self):
        """Its first thread: the controller's state, REST and messages."""
        with open("/proc/%d/task/%d/schedstat" % (self.pid, self.pid),
                  encoding="latin-1") as file:
            return int(file.read().split()[0]) / 1e9

    def memory(self):
        with open("/proc/%d/status" % self.pid, encoding="latin-1") as file:
            found = dict(re.findall(r"^(Vm(?:RSS|HWM)|RssAnon):\s+(\d+) kB",
                                    file.read(), re.M))
        return {"rss_mb": round(int(found["VmRSS"]) / 1024, 1),
                "rss_most_mb": round(int(found["VmHWM"]) / 1024, 1)}


def broker_of(folder):
    """mosquitto of the controller whose data are in there."""
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            with open("/proc/%s/cmdline" % entry, encoding="latin-1") as file:
                words = file.read().split("\0")
        except OSError:
            continue
        if os.path.basename(words[0]) == "mosquitto" and \
                any(folder in word for word in words):
            return int(entry)
    return None


class Rest:
    """One connection to the controller, which closes one that is idle."""

    def __init__(self, fleet):
        self.fleet, self.connection, self.used_s = fleet, None, 0

    def ask(self, method, path, body=None):
        idle_s, self.used_s = time.monotonic() - self.used_s, time.monotonic()
        if self.connection is not None and idle_s > 20:
            self.connection.close()
            self.connection = None
        if self.connection is None:
            self.connection = http.client.HTTPConnection(
                "127.0.0.1", self.fleet.port, timeout=120)
        try:
            self.connection.request(
                method, path, None if body is None else json.dumps(body),
                {"Authorization": "Bearer " + self.fleet.admin,
                 "Content-Type": "application/json"})
            answer = self.connection.getresponse()
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException):
            self.connection.close()
            self.connection = None
            raise

    def json(self, method, path, body=None):
        status, text = self.ask(method, path, body)
        if status >= 300:
            raise F.Failed("%s %s: %d %s" % (method, path, status, text[:300]))
        return json.loads(text)

    def metrics(self):
        text = self.ask("GET", "/metrics")[1].decode()
        return {name: float(value) for name, value in
                re.findall(r"^flotilla_(\w+) (\S+)$", text, re.M)}


class Visitor(threading.Thread):
    """A person at the dashboard: 20 requests a second, and their times."""

    def __init__(self, fleet):
        super().__init__(daemon=True)
        self.rest, self.is_over = Rest(fleet), threading.Event()
        self.times, self.failed, self.parts = [], 0, {}

    def run(self):
        turn = 0
        while not self.is_over.wait(0.05):
            begin = time.monotonic()
            try:
                status = self.rest.ask("GET", PATHS[turn % len(PATHS)])[0]
                self.failed += status != 200
                self.times.append(time.monotonic() - begin)
            except (OSError, http.client.HTTPException):
                self.failed += 1
            turn += 1

    def part(self, name):
        """End of a part: its times."""
        times, self.times = self.times, []
        self.parts[name] = {"requests": len(times),
                            "p50_s": rounded(times, 0.5),
                            "p99_s": rounded(times, 0.99),
                            "most_s": rounded(times, 1)}
        return self.parts[name]


class Bench:
    def __init__(self, args, devices, folder):
        self.args, self.devices = args, devices
        self.fleet = S.Simulated(folder, os.path.join(args.build, "..", "bin")
                                 if args.bin is None else args.bin, name=FLEET)
        more = ["--heartbeat", "60s", "--broker-linger", "60s"]
        if args.store:
            more += ["--store", args.store]
        self.more = more
        self.fleet.up(*more, cpus=args.cpus, uses=max(devices, 1) + 100)
        self.others = os.sched_getaffinity(0) - args.cpus or None
        self.fleet.publish("tiny@1", "tiny-v2.Q4_0.gguf",
                           "golden-tiny-v2.json")
        self.fleet.publish("tiny@2", "tiny-v2.1.Q4_0.gguf",
                           "golden-tiny-v2.1.json")
        self.rest = Rest(self.fleet)
        self.processes()
        self.out = {"devices": devices}
        self.released, self.follows = 2, False

    def processes(self):
        self.controller = Process(self.fleet.controller.pid)
        self.broker = Process(until(
            "a broker", lambda: broker_of(self.fleet.dir)))

    def spent(self):
        sim = getattr(self, "sim", None)
        return {"controller": self.controller.cpu_s(),
                "state": self.controller.thread_s(),
                "broker": self.broker.cpu_s(), "at": time.monotonic(),
                "simulator": Process(sim.process.pid).cpu_s() if sim else 0}

    def cost(self, before):
        """Time and processor time since then."""
        now = self.spent()
        took = now["at"] - before["at"]
        return {"took_s": round(took, 2),
                "controller_cpu_s": round(
                    now["controller"] - before["controller"], 2),
                "state_cpu_s": round(now["state"] - before["state"], 3),
                "broker_cpu_s": round(now["broker"] - before["broker"], 2),
                "simulator_cpu_s": round(
                    now["simulator"] - before["simulator"], 2)}

    # ---- parts ----

    def come(self):
        """All enrol and connect."""
        before = self.spent()
        self.sim = self.fleet.simulate(
            os.path.join(self.args.build, "tests", "flotilla-sim"),
            self.devices, seed=19, cpus=self.others, pace=20,
            enrolling=16, dial_per_s=1000)
        found = {"enrolled_per_s": self.sim.enrolled["per_s"],
                 "enrolment": self.cost(before)}
        begin = time.monotonic()
        self.sim.connected()
        found["connected_s"] = round(time.monotonic() - begin, 2)
        self.all_online(300)
        found["online_s"] = round(time.monotonic() - begin, 2)
        return found

    def all_online(self, seconds):
        def are():
            counts = self.rest.json("GET", "/v1/devices?where=state%3Donline"
                                    "&limit=1&fields=name")
            return counts["total"] >= self.devices
        until("%d devices online" % self.devices, are, every=0.1)

    def idle(self):
        """Nothing happens but heartbeats."""
        time.sleep(3)
        before = self.spent()
        time.sleep(self.args.seconds)
        cost = self.cost(before)
        cost["controller"] = self.controller.memory()
        cost["broker"] = self.broker.memory()
        return cost

    def dropped(self):
        """Messages that had no room, or were none, so far."""
        return sum(value for name, value in self.rest.metrics().items()
                   if "dropped" in name and "telemetry" not in name)

    def row(self, cost, dropped):
        """The controller in a row of docs/scale.md."""
        each = 1000 / self.devices
        return {"controller_ms_each": round(
                    cost["controller_cpu_s"] * each, 3),
                "state_ms_each": round(cost["state_cpu_s"] * each, 3),
                "broker_ms_each": round(cost["broker_cpu_s"] * each, 3),
                "dropped": int(self.dropped() - dropped),
                "rest": self.visitor.part("row"),
                "controller": self.controller.memory()}

    def roll(self, release):
        before, dropped = self.spent(), self.dropped()
        self.visitor.part("row")
        name = self.fleet.roll(
            release, ("1%", "10%", "50%", "100%"), "--soak", "200ms",
            "--pace", "6000000/min")
        ended = self.waited(name, 600)
        cost = self.cost(before)
        return dict(cost, state=ended["state"], **self.row(cost, dropped))

    def rollout(self):
        return {release: self.roll(release)
                for release in ("tiny@1", "tiny@2")}

    def taken_back(self, **more):
        """Another release for all of them, and that one taken back."""
        self.released += 1
        release = "tiny@%d" % self.released
        self.fleet.publish(release, "tiny-v2.1.Q4_0.gguf",
                           "golden-tiny-v2.1.json")
        rollout = self.roll(release)
        self.quiet()
        self.follows = True
        found = self.order("rollback", release, **more)
        self.follows = False
        return dict(found, rollout_before=rollout)

    def rollback(self, times=3):
        return [self.taken_back() for _ in range(times)]

    def returning(self):
        """All connections break in the second of a rollback."""
        return [self.taken_back(is_cut=True)]

    def quiet(self):
        """Reports follow a rollout or an order within the time in which
        devices would reconnect."""
        time.sleep(max(0.5, 0.0015 * self.devices) + 1)

    def waited(self, name, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            found = self.rest.json("GET", "/v1/rollouts/%s?devices=0" % name)
            if found["state"] in ("completed", "halted", "rolled-back",
                                  "aborted"):
                return found
            time.sleep(0.1)
        raise F.Failed("rollout %s after %d s: %s" % (name, seconds,
                                                      found["state"]))

    def order(self, op, release=None, is_cut=False):
        """From its POST until 99 % of the answers were sent, and stored, and
        until all that devices say of it later was heard."""
        self.visitor.part("row")
        dropped, spent = self.dropped(), self.spent()
        lost = self.sim.ask("figures")["connections_lost"]
        begin, at_ms = time.monotonic(), int(time.time() * 1000)
        if is_cut:
            self.sim.ask("cut")
        name = self.rest.json("POST", "/v1/orders", {
            "op": op, "confirm": release or FLEET, "everywhere": True,
            **({"release": release} if release else {})})["id"]
        posted, stored, all_stored = time.monotonic(), None, None
        while all_stored is None and time.monotonic() - begin < \
                (300 if is_cut else 60):
            acked = self.rest.json(
                "GET", "/v1/orders/%s?devices=0" % name)["acked"]
            now = time.monotonic() - begin
            if stored is None and acked >= 0.99 * self.devices:
                stored = now
            if acked >= self.devices:
                all_stored = now
            time.sleep(0.025)
        cost = self.cost(spent)
        row = self.row(cost, dropped)
        sent = self.sim.ask("order", name, at_ms)
        found = {"op": op, "cost": cost, **row,
                 "post_s": round(posted - begin, 4),
                 "answered": sent["answered"],
                 "connections_lost":
                     self.sim.ask("figures")["connections_lost"] - lost,
                 "sent_p99_s": sent.get("p99_ms", 0) / 1000,
                 "sent_last_s": sent.get("max_ms", 0) / 1000,
                 "stored_p99_s": stored and round(stored, 3),
                 "stored_all_s": all_stored and round(all_stored, 3)}
        if self.follows:
            self.quiet()
            found["with_what_follows"] = self.cost(spent)
        return found

    def freeze(self, pairs=3):
        self.follows = True
        found = self.orders(pairs)
        self.follows = False
        return found

    def orders(self, pairs=3):
        return [self.order(op) for op in ("freeze", "unfreeze") * pairs]

    def flood(self):
        """Reports at the asked rate, and orders meanwhile."""
        interval_ms = max(1, self.devices * 1000 //
                          self.args.reports_per_s)
        before, spent = self.rest.metrics(), self.spent()
        figures = self.sim.ask("figures")["windows"]
        self.sim.ask("flood", interval_ms)
        time.sleep(self.args.seconds)
        found = {"alone": self.cost(spent)}
        spent = self.spent()
        found["orders"] = self.orders()
        if "rollback" in self.parts:
            found["rollback"] = self.rollback(2)
        found["with_orders"] = self.cost(spent)
        self.sim.ask("flood", 0)
        lasted = time.monotonic() - spent["at"] + found["alone"]["took_s"]

        def settled():
            now = self.sim.ask("figures")
            return now["unacked"] == 0 and now
        sent = until("every report at the broker", settled)

        def counted():
            return self.rest.metrics()["telemetry_windows_total"] - \
                before["telemetry_windows_total"]
        acked = sent["windows"]["acked"] - figures["acked"]
        end = time.monotonic() + 30
        while counted() < acked and time.monotonic() < end:
            time.sleep(0.1)
        after = self.rest.metrics()
        found.update(
            lasted_s=round(lasted, 1),
            made=sent["windows"]["made"] - figures["made"],
            acked=acked, stored=int(counted()),
            stored_per_s=round(counted() / lasted),
            lost=acked - int(counted()),
            refused={name: after[name] - before.get(name, 0)
                     for name in after if name in LOSSES or
                     "dropped" in name},
            controller=self.controller.memory(),
            broker=self.broker.memory())
        return found

    def flooder(self):
        """One device that floods: orders without and with it, in turns."""
        folder = os.path.join(self.fleet.dir, "flooder")
        os.makedirs(folder, exist_ok=True)
        one = S.Simulator(
            os.path.join(self.args.build, "tests", "flotilla-sim"), folder,
            self.fleet, self.fleet.token, 1, prefix="flooder",
            cpus=self.others)
        one.connected()
        without, with_it, made = [], [], 0
        for _ in range(4):
            without += [self.order(op) for op in ("freeze", "unfreeze")]
            one.ask("flood", 1)
            time.sleep(0.5)
            before = one.ask("figures")["windows"]["sent"]
            with_it += [self.order(op) for op in ("freeze", "unfreeze")]
            made += one.ask("figures")["windows"]["sent"] - before
            one.ask("flood", 0)
            time.sleep(0.5)
        one.close()
        calm = statistics.median(o["stored_p99_s"] or 60 for o in without)
        loud = statistics.median(o["stored_p99_s"] or 60 for o in with_it)
        return {"reports_of_it": made,
                "stored_p99_s_without": round(calm, 4),
                "stored_p99_s_with": round(loud, 4),
                "change_pct": round(100 * (loud / calm - 1), 1),
                "without": without, "with": with_it}

    def broker_restart(self):
        begin = time.monotonic()
        lost = self.sim.ask("figures")["connections_lost"]
        os.kill(self.broker.pid, 9)
        until("all have noticed", lambda: self.sim.ask("figures")[
            "connections_lost"] >= lost + self.devices, every=0.05)
        back = {}

        def are_all_back():
            now = self.sim.ask("figures")
            for share in (0.5, 0.9, 0.99, 1):
                if now["subscribed"] >= share * self.devices:
                    back.setdefault(share, round(time.monotonic() - begin, 2))
            return 1 in back
        until("all are back", are_all_back, every=0.2)
        self.all_online(300)
        self.processes()
        return {"back_s": back[1], "back_by_share_s": back,
                "broker_cpu_s": round(self.broker.cpu_s(), 2),
                "online_s": round(time.monotonic() - begin, 2)}

    def controller_restart(self):
        """kill -9, and another one on the same broker."""
        begin = time.monotonic()
        self.fleet.controller.kill()
        self.fleet.controller.wait()
        with S.pinned(self.args.cpus):
            self.fleet.start_controller(*self.more)
        ready = time.monotonic() - begin
        self.rest = Rest(self.fleet)
        self.processes()
        order = self.order("freeze")
        self.order("unfreeze")
        return {"serving_s": round(ready, 2), "first_order": order,
                "controller": self.controller.memory()}

    def events(self):
        """Every event that a device numbered is stored."""
        path = os.path.join(self.fleet.dir, "events")

        def none_waits():
            return self.sim.ask("events", path)["waiting"] == 0
        try:
            until("every event stored", none_waits, every=0.5)
        except F.Failed:
            pass
        return {"waiting": self.sim.ask("events", path)["waiting"]}

    def run(self):
        visitor = self.visitor = Visitor(self.fleet)
        visitor.start()
        self.parts = [part for part in PARTS if part == "come" or
                      part in (self.args.only or PARTS)]
        for part in self.parts:
            load = os.getloadavg()[0]
            visitor.part(part)
            found = getattr(self, part)()
            self.out[part] = found if isinstance(found, dict) else \
                {"rows": found}
            self.out[part]["rest"] = visitor.part(part)
            self.out[part]["load_before"] = round(load, 1)
            print("%d devices, %s: %s" % (
                self.devices, part, json.dumps(self.out[part])[:600]),
                file=sys.stderr, flush=True)
        visitor.is_over.set()
        self.out["rest_failed"] = visitor.failed
        self.out["simulator"] = self.sim.close()
        return self.out


def main():
    parse = argparse.ArgumentParser(usage=__doc__)
    parse.add_argument("build")
    parse.add_argument("out")
    parse.add_argument("--bin")
    parse.add_argument("--devices", default="1000,3000,10000")
    parse.add_argument("--reports-per-s", type=int, default=10000)
    parse.add_argument("--seconds", type=int, default=20)
    parse.add_argument("--cpus", default="0,1")
    parse.add_argument("--store")
    parse.add_argument("--only", default="")
    args = parse.parse_args()
    args.cpus = {int(one) for one in args.cpus.split(",")}
    args.only = [one for one in args.only.split(",") if one]
    found = {"machine": platform.processor() or platform.machine(),
             "cpus": os.cpu_count(), "pinned": sorted(args.cpus),
             "seconds": args.seconds, "fleets": []}
    asked = [int(one) for one in args.devices.split(",")]
    descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if max(asked) > descriptors:  # nobody can connect so many
        import records
        found["records"] = records.measure(args, [max(asked) // 10, max(asked)])
        with open(args.out, "w", encoding="utf-8") as file:
            json.dump(found, file, indent=1)
        asked = [one for one in asked if one <= descriptors]
    for devices in asked:
        folder = tempfile.mkdtemp(prefix="flotilla-bench-")
        bench = None
        try:
            bench = Bench(args, devices, folder)
            found["fleets"].append(bench.run())
        except (F.Failed, OSError) as error:
            found["fleets"].append(dict(bench.out if bench else {},
                                        devices=devices, failed=str(error)))
            print("%d devices: %s" % (devices, error), file=sys.stderr)
        finally:
            if bench:
                if getattr(bench, "sim", None):
                    bench.sim.process.kill()
                    bench.sim.process.wait()
                bench.fleet.close()
            shutil.rmtree(folder, ignore_errors=True)
        with open(args.out, "w", encoding="utf-8") as file:
            json.dump(found, file, indent=1)


if __name__ == "__main__":
    main()
