#!/usr/bin/env python3
"""An emergency order in a fleet whose telemetry floods: how long people and
orders wait.

usage: fleet.py BIN_DIR DEVICES [INTERVAL_S] [SECONDS]

Devices are connections of this process to the controller's real broker: each
has an identity, reports telemetry every INTERVAL_S (5), and answers each order
once, as an agent does. Prints one JSON object: what the machine was doing, how
long /healthz took, how long a freeze and an unfreeze took to be answered, to
be sent by all, and to be stored by the controller for 99 % of them, what was
dropped or left out, and what a device costs on disk.
A device takes a descriptor here, one in the broker: see `ulimit -Hn`.
"""
import asyncio
import base64
import json
import os
import random
import re
import resource
import shutil
import ssl
import struct
import subprocess
import sys
import tempfile
import time
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))), "integration"))
from sketch import histogram  # noqa: E402

FLEET = "bench"


# A request every other second or so, made once: what counts is their size.
WINDOWS = [{name: histogram([typical * random.randint(80, 120) // 100
                             for _ in range(requests)])
            for name, typical in (("ttft_us", 120000), ("token_us", 25000),
                                  ("request_us", 1100000), ("queue_us", 300))}
           for requests in range(1, 9) for _ in range(8)]


def run(*args, data=None):
    return subprocess.run(args, input=data, capture_output=True,
                          check=True).stdout


class Controller:
    def __init__(self, folder, bin_dir, interval_s):
        self.data = os.path.join(folder, "data")
        self.process = subprocess.Popen(
            [os.path.join(bin_dir, "flotilla-controller"), "--data", self.data,
             "--listen", "127.0.0.1:0", "--fleet", FLEET, "--heartbeat",
             "%ds" % interval_s, "--broker-linger", "0s"],
            stdout=subprocess.PIPE, text=True,
            stderr=open(os.path.join(folder, "controller.log"), "w"))
        self.facts = {}
        for line in self.process.stdout:
            word, value = line.split(None, 1)
            self.facts[word] = value.split()[0]
            if word == "token":
                break
        with open(self.facts["token"]) as file:
            self.token = file.read().strip()
        while self.ask("GET", "/readyz")[0] != 200:
            time.sleep(0.05)

    def ask(self, method, path, body=None, base=None, context=None):
        request = urllib.request.Request(
            (base or self.facts["rest"]) + path,
            None if body is None else json.dumps(body).encode(),
            {"Authorization": "Bearer " + self.token} if base is None else {},
            method=method)
        try:
            with urllib.request.urlopen(request, timeout=60,
                                        context=context) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def metrics(self):
        text = self.ask("GET", "/metrics")[1].decode()
        return {m[0]: float(m[1]) for m in
                re.findall(r"^flotilla_(\w+) (\S+)$", text, re.M)}

    def cpu_s(self):
        with open("/proc/%d/stat" % self.process.pid) as file:
            words = file.read().rsplit(")", 1)[1].split()
        return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self):
        self.process.terminate()
        self.process.wait(30)


def text(value):
    raw = value.encode()
    return struct.pack(">H", len(raw)) + raw


def packet(kind, body):
    size, head = len(body), bytes([kind])
    while True:
        head += bytes([(size & 127) | (128 if size > 127 else 0)])
        size >>= 7
        if size == 0:
            return head + body


class Device:
    def __init__(self, fleet, facts, context):
        self.fleet, self.id, self.context = fleet, facts["device"], context
        self.number, self.seq, self.seen = 0, 0, set()

    def topic(self, word):
        return "flotilla/v1/%s/d/%s/%s" % (FLEET, self.id, word)

    def publish(self, word, document, retain=False):
        self.number = self.number % 65535 + 1
        self.writer.write(packet(
            0x32 | retain, text(self.topic(word)) +
            struct.pack(">H", self.number) + json.dumps(document).encode()))

    async def connect(self, host, port):
        self.reader, self.writer = await asyncio.open_connection(
            host, port, ssl=self.context, server_hostname=host)
        self.writer.write(packet(0x10, text("MQTT") + b"\x04\x02" +
                                 struct.pack(">H", 600) + text(self.id)))
        for topic in (self.topic("desired"), self.topic("cmd"),
                      "flotilla/v1/%s/g/all/order" % FLEET):
            self.number += 1
            self.writer.write(packet(0x82, struct.pack(">H", self.number) +
                                     text(topic) + b"\x01"))
        self.publish("presence", {"v": 1, "online": True}, True)
        self.fleet.tasks.append(asyncio.create_task(self.listen()))

    async def listen(self):
        while True:
            kind = (await self.reader.readexactly(1))[0]
            size = shift = 0
            while True:
                byte = (await self.reader.readexactly(1))[0]
                size |= (byte & 127) << shift
                shift += 7
                if byte < 128:
                    break
            body = await self.reader.readexactly(size)
            if kind >> 4 == 3:
                self.message(kind, body)

    def message(self, kind, body):
        end = 2 + struct.unpack(">H", body[:2])[0]
        topic = body[2:end]
        if kind & 6:
            self.writer.write(packet(0x40, body[end:end + 2]))
            end += 2
        if topic.endswith(b"/order"):
            for order in self.fleet.orders(body[end:]):
                if order not in self.seen:
                    self.seen.add(order)
                    self.fleet.told(order)
                    self.publish("ack", {"v": 1, "order": order, "outcome":
                                         "done", "took_ms": 0})

    def report(self):
        self.seq += 1
        self.publish("tele", {
            "v": 1, "seq": self.seq, "at_ms": int(time.time() * 1000),
            "window_ms": self.fleet.interval_s * 1000, "counters": {
                "requests": 33, "errors": 0, "tokens_out": 800,
                "tokens_in": 400, "engine_restarts": 0, "lost": 0},
            "histograms": WINDOWS[self.seq % len(WINDOWS)],
            "gauges": {"agent_rss_bytes": 7000000 + self.seq,
                       "engine_rss_bytes": 600000000 + 4096 * self.seq,
                       "disk_free_bytes": 8000000000, "queue": 0}})


class Fleet:
    def __init__(self, controller, folder, count, interval_s):
        self.controller, self.interval_s = controller, interval_s
        self.tasks, self.sent, self.last = [], {}, (b"", [])
        self.devices = self.enrol(folder, count)

    def enrol(self, folder, count):
        """One key for all: it is the identity that counts here."""
        controller = self.controller
        key = os.path.join(folder, "device.key")
        cert = os.path.join(folder, "device.pem")
        ca = os.path.join(controller.data, "pki", "ca.pem")
        run("openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout",
            "-out", key)
        csr = run("openssl", "req", "-new", "-key", key, "-subj",
                  "/CN=x").decode()
        token = json.loads(controller.ask("POST", "/v1/tokens", {
            "kind": "enroll", "uses": count})[1])["token"]
        trusting = ssl.create_default_context(cafile=ca)
        devices = []
        for number in range(count):
            status, body = controller.ask("POST", "/v1/enroll", {
                "token": token, "csr": csr, "name": "bench-%d" % number,
                "profile": {"arch": "x86_64", "memory_bytes": 4 << 30}},
                controller.facts["devices"], trusting)
            assert status == 201, body
            facts = json.loads(body)
            with open(cert, "w") as file:
                file.write(facts["certificate"])
            context = ssl.create_default_context(cafile=ca)
            context.load_cert_chain(cert, key)
            devices.append(Device(self, facts, context))
        return devices

    def orders(self, payload):
        if payload != self.last[0]:
            ids = []
            for envelope in json.loads(payload)["orders"]:
                ids.append(json.loads(base64.b64decode(
                    envelope["payload"]))["id"])
            self.last = (payload, ids)
        return self.last[1]

    def told(self, order):
        self.sent.setdefault(order, []).append(time.monotonic())

    async def connect(self):
        host, port = self.controller.facts["broker"][8:].rsplit(":", 1)
        for at in range(0, len(self.devices), 32):  # its backlog is 100
            await asyncio.gather(*(device.connect(host, int(port))
                                   for device in self.devices[at:at + 32]))

    async def flood(self):
        while True:
            begin = time.monotonic()
            for number, device in enumerate(self.devices):
                device.report()
                due = begin + (number + 1) * self.interval_s / len(
                    self.devices)
                if number % 16 == 0:
                    await asyncio.sleep(max(0, due - time.monotonic()))


async def aside(function, *args):
    return await asyncio.get_running_loop().run_in_executor(None, function,
                                                            *args)


def percentile(values, share):
    values = sorted(values)
    return round(values[min(len(values) - 1, int(len(values) * share))], 4)


async def order(fleet, op):
    controller, count = fleet.controller, len(fleet.devices)
    begin = time.monotonic()
    status, body = await aside(controller.ask, "POST", "/v1/orders", {
        "op": op, "confirm": FLEET, "everywhere": True})
    if status == 400:  # of a controller that knows no such field
        status, body = await aside(controller.ask, "POST", "/v1/orders", {
            "op": op, "confirm": FLEET})
    assert status == 202, body
    posted, name, stored = time.monotonic(), json.loads(body)["id"], None
    while stored is None and time.monotonic() - begin < 120:
        got = json.loads((await aside(controller.ask, "GET",
                                      "/v1/orders/%s?devices=0" % name))[1])
        if got["acked"] >= 0.99 * count:
            stored = time.monotonic()
        await asyncio.sleep(0.05)
    sent = [at - begin for at in fleet.sent.get(name, [])]
    return {"op": op, "post_s": round(posted - begin, 4),
            "sent_p99_s": percentile(sent, 0.99) if sent else None,
            "stored_p99_s": round(stored - begin, 4) if stored else None}


async def measure(fleet, seconds):
    controller, health = fleet.controller, []
    await fleet.connect()
    fleet.tasks.append(asyncio.create_task(fleet.flood()))
    await asyncio.sleep(fleet.interval_s + 1)
    before, cpu, begin = controller.metrics(), controller.cpu_s(), time.time()
    while time.time() - begin < seconds:
        at = time.monotonic()
        await aside(controller.ask, "GET", "/healthz")
        health.append(time.monotonic() - at)
        await asyncio.sleep(0.2)
    spent = time.time() - begin
    cpu = (controller.cpu_s() - cpu) / spent
    found = [await order(fleet, op) for op in ("freeze", "unfreeze") * 2]
    after = controller.metrics()
    data = os.path.join(controller.data, "telemetry.db")
    for task in fleet.tasks:
        task.cancel()
    return {
        "devices": len(fleet.devices), "interval_s": fleet.interval_s,
        "cpus": os.cpu_count(), "load": round(os.getloadavg()[0], 1),
        "windows_per_s": round((after["telemetry_windows_total"] -
                                before["telemetry_windows_total"]) / spent),
        "controller_cpus": round(cpu, 3),
        "healthz_p50_s": percentile(health, 0.5),
        "healthz_max_s": round(max(health), 4), "orders": found,
        "dropped": {k: after[k] for k in after if "dropped" in k or
                    k in ("telemetry_shed_total", "telemetry_limited_total",
                          "telemetry_lost_total")},
        "telemetry_db_bytes": sum(os.path.getsize(data + end) for end in
                                  ("", "-wal") if os.path.exists(data + end))}


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    count = int(sys.argv[2])
    interval_s = int(sys.argv[3]) if len(sys.argv) > 3 else 5
    seconds = int(sys.argv[4]) if len(sys.argv) > 4 else 20
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard < count + 100:
        sys.exit("%d devices need as many descriptors: `ulimit -Hn` is %d"
                 % (count, hard))
    folder = tempfile.mkdtemp(prefix="flotilla-fleet-")
    controller = Controller(folder, sys.argv[1], interval_s)
    try:
        fleet = Fleet(controller, folder, count, interval_s)
        print(json.dumps(asyncio.run(measure(fleet, seconds)), indent=1))
    finally:
        controller.stop()
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
