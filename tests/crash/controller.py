"""A controller whose power goes: what it acknowledged is there, and it starts.

A controller begins with an empty folder and takes changes over REST and MQTT, one
after the other.  The answer to each is a promise from then on; a change that is
under way leaves its subject as it was, or as it will be.  Each state that a cut may
leave (disk.py) is started: the controller becomes ready, its audit is whole, it
takes a new change, and each promise holds."""
import http.client
import itertools
import json
import os
import shutil
import signal
import subprocess

import controller_parts as parts
import sets
from disk import Recording
from waits import HANG_S

HOME = "data"
KILLED_AT = 40  # syncs: behind those of its start


class Changes(Recording):
    """Changes of a folder, and what was promised when."""

    def __init__(self, root, home):
        super().__init__(root, home)
        self.steps = []  # (first change, last change, subject, check)

    def agreed(self, begin, subject, check):
        self.steps.append((begin, len(self.ops) - 1, subject, check))

    def promises(self, ops):
        """The steps whose promise holds behind each change."""
        made = []
        for op in ops:
            held = {}
            for number, (begin, end, subject, _) in enumerate(self.steps):
                if end <= op.index:
                    held[subject] = number
                elif begin <= op.index:
                    held.pop(subject, None)
            made.append(tuple(sorted(held.values())))
        return made

    def windows(self, index):
        """Where a missing sync shows: behind the answer, and right away."""
        ends = [end for begin, end, _, _ in self.steps if begin <= index <= end]
        return [(end, end + 3) for end in ends] + [(index, index + 10)]

    def check(self, number, one):
        _, _, subject, check = self.steps[number]
        try:
            check(one)
        except AssertionError as error:
            raise AssertionError("%s: %s" % (subject, error)) from error


class Program(parts.Controller):
    def end(self):
        """After a start that failed, too."""
        if self.process is not None and self.process.poll() is not None:
            self.process.stdout.close()
            self.process = None
        self.stop()

    def last_words(self):
        with open(self.dir + ".log", encoding="utf-8", errors="replace") as file:
            return " | ".join(file.read().split("\n")[-4:])

    def get(self, path, **more):
        answer = self.ask("GET", path, **more)
        assert answer.status == 200, "%s: %d %s" % (path, answer.status,
                                                    answer.body[:200])
        return answer

    def change(self, method, path, body=None):
        answer = self.ask(method, path, b"" if body is None else body)
        assert answer.status in (200, 201, 204), answer.body
        return answer.json if answer.body else None

    def names(self, path):
        return [item.get("name", item.get("url"))
                for item in self.get(path).json["items"]]


class Service:
    """The scenario `controller`, as the lane plays it."""
    is_slow = True
    always_starts = True  # there is no other way to see what a state is worth
    windows_max = 8

    def __init__(self, options, folder, _scenario):
        self.options, self.folder = options, folder
        self.one = Program(folder)
        self.one.program = os.path.join(options.bin, "flotilla-controller")
        self.one.root = os.path.join(folder, "root.key")
        self.backup = ""

    def record(self, name, _kill_at=None):
        root = os.path.join(self.folder, name)
        os.mkdir(root)
        log = os.path.join(self.folder, name + ".log")
        open(log, "wb").close()
        recording = Changes(root, HOME)
        self.one.dir = os.path.join(root, HOME)
        self.backup = os.path.join(root, "backup")
        before = dict(os.environ)
        os.environ.update(LD_PRELOAD=self.options.record, FLO_RECORD=log)
        try:
            for subject, step in self.steps():
                recording.read(log)
                begin = len(recording.ops)
                check = step()
                recording.read(log)
                recording.agreed(begin, subject, check)
        finally:
            os.environ.clear()
            os.environ.update(before)
            self.one.end()
        recording.read(log)
        shutil.rmtree(root)
        return recording, 0

    windows = staticmethod(Changes.windows)

    # -- what is asked of it, and how it is seen again

    def steps(self):
        one = self.one
        yield "token", self.starts
        yield "trust", lambda: self.trusts(None)
        yield "trust", lambda: self.trusts(self.publisher_key())
        yield "release", self.publishes
        yield "device", self.enrols
        yield "event", self.hears
        yield "group", lambda: self.names_group("one")
        yield "rollout", self.rolls_out
        yield "rollout", self.aborts
        yield "viewer", self.lets_in
        yield "viewer", self.shuts_out
        yield "webhook", lambda: self.calls("https://127.0.0.1:9/x")
        yield "trust", self.makes_order_key
        yield "trust", self.changes_order_key
        yield "ca", self.changes_authority
        yield "backup", self.backs_up
        yield "device", self.retires
        yield "stop", lambda: one.stop() or (lambda _: None)
        yield "token", self.starts
        yield "group", lambda: self.names_group("two")
        yield "stop", lambda: one.stop() or (lambda _: None)
        yield "left", self.is_killed

    def starts(self):
        self.one.start()
        token = self.one.token

        def check(one):
            assert one.token == token, "another first token"
            one.get("/v1/me")
        return check

    def publisher_key(self):
        self.publisher = parts.Publisher.__new__(parts.Publisher)
        self.publisher.controller, self.publisher.number = self.one, 0
        self.publisher.key = os.path.join(self.folder, "publisher.key")
        return parts.make_key(self.publisher.key)

    @staticmethod
    def number(one):
        held = one.get("/v1/trust").json
        return json.loads(parts.body_of(json.dumps(held)))["number"] \
            if "payload" in held else 1

    def trusts(self, key):
        self.one.state(key)
        number = self.number(self.one)

        def check(one):
            assert self.number(one) >= number, "statement %d is gone" % number
        return check

    def publishes(self):
        self.publisher.publish("1")
        data = b"tiny 1"
        digest = self.publisher.document("1", data)[1]

        def check(one):
            assert one.get("/v1/releases/tiny@1").json["state"] == "published"
            assert one.get("/v1/blobs/" + digest).body == data, "another blob"
        return check

    def enrols(self):
        self.device = parts.Device(self.one, self.folder, "d",
                                   self.one.enrol_token())
        assert self.device.answer.status == 201, self.device.answer.body
        return lambda one: one.get("/v1/devices/" + self.device.id)

    def hears(self):
        """An event that was acknowledged to a device: it tells it no more."""
        self.device.connect()
        self.device.is_heard()

        def check(one):
            events = one.get("/v1/devices/%s/timeline" % self.device.id).json
            assert "note" in json.dumps(events), events
        return check

    def names_group(self, name):
        self.one.change("POST", "/v1/groups", {"name": name})

        def check(one):
            assert name in one.names("/v1/groups"), "group %s is gone" % name
        return check

    def is_killed(self):
        """Before a sync: what the next start shows of its commits is a promise,
        too."""
        os.environ["FLO_RECORD_KILL"] = "flotilla-controller:%d" % KILLED_AT
        self.one.start()
        try:
            for number in itertools.count():
                self.one.change("POST", "/v1/groups", {"name": "k%d" % number})
        except (OSError, http.client.HTTPException):
            del os.environ["FLO_RECORD_KILL"]
        assert self.one.process.wait(HANG_S) == -signal.SIGKILL
        self.one.end()
        self.one.start()
        names = set(self.one.names("/v1/groups"))
        assert "k%d" % number in names, "its commit was not written"

        def check(one):
            found = set(one.names("/v1/groups"))
            assert found >= names, "groups are gone: %s" % (names - found)
        return check

    def rolls_out(self):
        self.rollout = "/v1/rollouts/" + parts.start(self.one, "tiny@1")["id"]
        return lambda one: one.get(self.rollout)

    def aborts(self):
        self.one.change("POST", self.rollout + "/actions",
                        {"action": "abort", "reason": "none"})

        def check(one):
            state = one.get(self.rollout).json["state"]
            assert state in ("aborting", "aborted"), state
        return check

    def lets_in(self):
        self.viewer = self.one.access("viewer")
        return lambda one: one.get("/v1/me", token=self.viewer)

    def shuts_out(self):
        [held] = [token for token in self.one.get("/v1/tokens").json["items"]
                  if token.get("name") == "viewer"]
        self.one.change("DELETE", "/v1/tokens/" + held["id"])

        def check(one):
            assert one.ask("GET", "/v1/me", token=self.viewer).status == 401, \
                "a deleted token lets in"
        return check

    def calls(self, url):
        self.one.change("POST", "/v1/webhooks", {"url": url})

        def check(one):
            assert url in one.names("/v1/webhooks"), "a webhook is gone"
        return check

    def makes_order_key(self):
        """A person signs a statement that names it, perhaps days later."""
        self.fresh = self.one.change("POST", "/v1/trust/order-keys")
        number = self.number(self.one)

        def check(one):
            assert self.number(one) >= number, "statement %d is gone" % number
            assert one.change("POST", "/v1/trust/order-keys") == self.fresh, \
                "the key that may be signed by now is gone"
        return check

    def changes_order_key(self):
        held = self.one.get("/v1/trust").json
        body = json.loads(parts.body_of(json.dumps(held)))
        body["number"] += 1
        body["epoch"] += 1
        body["keys"] = [key for key in body["keys"] if key["role"] != "order"]
        body["keys"].append({"pem": self.fresh["pem"], "role": "order"})
        self.one.change("POST", "/v1/trust/statements",
                        parts.sign(body, self.one.root, parts.TRUST))

        def check(one):
            assert self.number(one) >= body["number"], "the new order key is gone"
        return check

    def changes_authority(self):
        self.one.change("POST", "/v1/ca/rotate")
        known = len(self.one.get("/v1/ca").json["authorities"])

        def check(one):
            assert len(one.get("/v1/ca").json["authorities"]) == known
        return check

    def backs_up(self):
        subprocess.run([self.one.program, "backup", self.backup, "--data",
                        self.one.dir], check=True, capture_output=True,
                       timeout=HANG_S)
        kept = contents_of(self.backup)

        def check(one):
            found = contents_of(os.path.join(os.path.dirname(one.dir), "backup"))
            assert found == kept, "the backup is not whole"
        return check

    def retires(self):
        self.one.change("DELETE", "/v1/devices/" + self.device.id)

        def check(one):
            seen = one.ask("GET", "/v1/devices/" + self.device.id)
            assert seen.status != 200 or seen.json["state"] == "retired", seen.body
        return check

    # -- a state

    def try_state(self, disk, state, _starts):
        root = disk.shown(state, os.path.join(self.folder, "shown"))
        self.one.dir = os.path.join(root, HOME)
        faults = []
        try:
            self.one.start()
            assert self.one.get("/v1/audit/verify").json["ok"], "audit"
            self.one.change("POST", "/v1/groups", {"name": "after"})
            for number in disk.promises(state[0]):
                disk.recording.check(number, self.one)
        except (AssertionError, RuntimeError, OSError, LookupError,
                ValueError) as error:
            faults = [disk.fault(state, error)]
        try:
            self.one.end()
        except AssertionError as error:
            faults.append("it ended with an error: %s" % str(error)[-300:])
        return faults


def contents_of(folder):
    return {os.path.relpath(path, folder): data for path, data in sets.files(folder)}
