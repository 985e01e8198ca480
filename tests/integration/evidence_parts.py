"""Parts of the stories about gates: a controller whose wall clock the test
holds, and devices whose numbers the test says.  So a verdict comes from data,
however fast the machine is."""
import base64
import json
import math
import mmap
import os
import random
import shutil
import struct

import waits
from bad_parts import rest
from conftest import ROOT, Small
from controller_parts import Controller, Device
from mqtt_client import Client
from sketch import histogram
from waits import until

CLOCK = os.environ.get("FLOTILLA_CLOCK", os.path.join(
    ROOT, "build", "release", "tests", "libclock.so"))
BLOCK_MS = 1000
HOUR_MS = 3600000
SAMPLES = 30  # of a window


class HeldClock:
    """A wall clock that stands still until it is moved (tests/crash/clock.c).
    Timers of the program go on."""

    def __init__(self, folder, number):
        path = os.path.join(folder, "clock-%d" % number)
        with open(path, "wb") as file:
            file.write(bytes(8))
        with open(path, "r+b") as file:
            self.page = mmap.mmap(file.fileno(), 8)
        # A preloaded library's path has no blank, and a checkout's may.
        library = os.path.join(folder, "libclock-%d.so" % number)
        shutil.copy(CLOCK, library)
        self.env = {"LD_PRELOAD": library, "FLO_CLOCK_FILE": path}
        self.ms = waits.wall_ms()
        self.move(0)

    def move(self, ms):
        self.ms += ms
        self.page[:] = struct.pack("=q", self.ms)

    def block(self):
        """Number of the present block, as telemetry/observe counts them."""
        return self.ms // BLOCK_MS + 1


class FleetController(Controller):
    """The fleet's controller, as a Device needs it."""

    def __init__(self, up):
        self.rest, self.token = up.url, up.admin
        self.ca = os.path.join(up.dir, "controller", "pki", "ca.pem")
        self.facts = {"devices": up.devices_url, "broker": self.ask(
            "GET", "/v1/version", token="").json["mqtt"]}


class Hearing(Client):
    """Tells its device of each message, on the thread that reads."""

    def __init__(self, device, *more):
        self.device = device
        super().__init__(*more)

    def _take(self, kind, body):
        super()._take(kind, body)
        if kind & 0xF0 == 0x30:
            self.device.hear(*self.messages[-1][:2])


class Told(Device):
    """A device that obeys at once, and says the numbers that it is told to.
    With `takes` false it never takes an update: a control."""

    def __init__(self, seen, folder, name, token, typical, takes=True, **more):
        def enrols():  # a leader whose database is slow says so: ask again
            Device.__init__(self, seen, folder, name, token, **more)
            return self.answer.status != 503
        until("a controller leads", enrols)
        assert self.answer.status == 201, self.answer.body
        self.typical, self.takes = typical, takes
        self.profile = more.get("profile", {})
        self.random = random.Random(name)
        self.runs, self.before, self.known = {}, {}, set()
        self.versions = {}  # of digests, where a test wants them said
        self.said = 0
        self.connect()

    def connect(self):
        host, port = self.controller.broker()
        self.client = Hearing(self, host, port, self.controller.ca, self.cert,
                              self.key, self.id,
                              (self.topic("presence"),
                               '{"v":1,"online":false}'), self.prover)
        self.client.subscribe(self.topic("desired"))
        self.comes()

    def send(self, word, document, retain=False):
        """Without waiting: hear() runs on the thread that reads."""
        self.client.publish(self.topic(word), json.dumps(document), retain,
                            wait=False)

    def hear(self, topic, payload):
        if not self.takes or not topic.endswith("/desired") or not payload:
            return
        document = json.loads(payload)
        for envelope in [a["order"] for a in document["assignments"]] + \
                document["statements"]:
            self.obey(json.loads(base64.b64decode(envelope["payload"])))
        self.send("reported", {
            "v": 2, "device": self.id, "name": self.name,
            "rev": document["rev"], "agent": "0.1.0", "groups": ["all"],
            "profile": self.profile,
            "models": [{"model": model, "state": "ready", "execution": None,
                        "serving": {"release": digest,
                                    "version": self.versions.get(digest,
                                                                 "x")},
                        "current": {"release": digest},
                        **self.previous(model)}
                       for model, digest in self.runs.items()]}, retain=True)

    def previous(self, model):
        """As a device says it that can go back."""
        before = self.before.get(model)
        return {} if before not in self.versions else {"previous": {
            "release": before, "version": self.versions[before]}}

    def obey(self, order):
        args, op = order["args"], order["op"]
        if order["id"] in self.known:
            return
        self.known.add(order["id"])
        if op == "deploy":
            model = args["model"]
            if self.runs.get(model) != args["release"]:
                self.before[model] = self.runs.get(model)
                self.runs[model] = args["release"]
            self.seq += 1
            self.send("event", {
                "v": 1, "boot": self.boot, "seq": self.seq, "at_ms": 1,
                "type": "execution", "execution": args["rollout"] + ".1",
                "rollout": args["rollout"], "release": args["release"],
                "state": "succeeded", "end": True})
        elif op in ("rollback", "remove"):
            model = args["model"]
            if op == "remove" or self.runs.get(model) in args["from"]:
                self.runs[model] = None if op == "remove" else \
                    self.before.get(model)
            if self.runs[model] is None:
                del self.runs[model]
            self.send("ack", {"v": 1, "order": order["id"], "at_ms": 1,
                              "outcome": "done"})

    def say(self, release, at_ms, typical=None, window_ms=BLOCK_MS, **gauges):
        """A window: times per token around `typical`, and these gauges."""
        self.said += 1
        level = (typical or self.typical) * math.exp(
            self.random.gauss(0, 0.03))
        tokens = [int(level * self.random.uniform(.8, 1.2))
                  for _ in range(SAMPLES)]
        self.client.publish(self.topic("tele"), json.dumps({
            "v": 1, "seq": self.said, "at_ms": at_ms, "window_ms": window_ms,
            "model": release["model"], "release": release["digest"],
            "version": release["version"],
            "counters": {"requests": SAMPLES}, "gauges": dict(
                gauges, engine_rss_bytes=50000000, queue=self.said),
            "histograms": {"token_us": histogram(tokens)}}))


class Evident(Small):
    """A fleet whose controller has a clock that the test holds, and blocks of
    a second."""

    count = 0

    def start_controller(self, *more):
        Evident.count += 1
        self.clock = HeldClock(self.run, Evident.count)
        self.env.update(self.clock.env)
        super().start_controller("--evidence-block", "1s", *more)
        for word in self.clock.env:
            del self.env[word]
        with open(self.admin_token, encoding="utf-8") as file:
            self.admin = file.read().strip()
        self.seen = FleetController(self)

    def told(self, kind, count, like, takes=True):
        """Devices with the hardware of the device `like`: a comparison never
        mixes classes."""
        seen = self.ask("device", "get", like)["profile"]
        profile = {k: seen[k] for k in ("arch", "kernel", "memory_bytes")
                   if k in seen}
        token = self.ask("token", "create", "--kind", "enroll", "--uses",
                         str(count))["token"]
        return [Told(self.seen, self.dir, "%s-%d" % (kind, i), token,
                     20000 + 500 * i, takes, labels={"kind": kind},
                     profile=profile) for i in range(count)]

    def release(self, name):
        found = self.ask("release", "get", name)
        model, version = name.split("@")
        return {"digest": found["digest"], "model": model, "version": version}

    def telemetry(self, metric, by):
        status, answer = rest(self, "POST", "/v1/telemetry/query",
                              {"metric": metric, "by": by,
                               "since_ms": 24 * HOUR_MS})
        assert status == 200, answer
        return answer["series"]

    def has_taken(self, device, said):
        """The controller has a window as new as this one."""
        return any(point[4] >= said
                   for one in self.telemetry("queue", ["device"])
                   if one["key"]["device"] == device.id
                   for point in one["points"])

    def took(self, last):
        """The controller took all windows that were said before the last one
        of this device, since it listens: the broker brings them in order."""
        until("the last window of " + last.name,
              lambda: self.has_taken(last, last.said))

    def end_block(self):
        self.clock.move(BLOCK_MS)

    def records(self, rollout):
        """All judgements of it, on however many pages they are."""
        rows, after = [], 0
        while after is not None:
            status, page = rest(self, "GET", "/v1/rollouts/%s/evidence"
                                "?limit=50&cursor=%s" % (rollout, after))
            assert status == 200, page
            rows, after = rows + page["items"], page.get("next")
        return rows

    def judged(self, rollout):
        """The block before the present one was judged; the state after it."""
        def ask():
            rows = self.records(rollout)
            # After the rows: the state is as new as the last of them.
            state = self.ask("rollout", "get", rollout)["state"]
            return state != "running" and state or any(
                row["block"] >= self.clock.block() - 1
                for row in rows) and state
        return until("block %d is judged" % (self.clock.block() - 1), ask)
