"""A fleet at twelve sites, of which one is slow with the new release.  The
devices' numbers are the test's, in blocks of time that it ends."""
import os
import signal
import subprocess

from controller_parts import BIN, Controller, Publisher
from evidence_parts import BLOCK_MS, HeldClock, Told
from waits import HANG_S, until

SITES = ["bonn", "cork", "gent", "kiel", "lyon", "metz", "nice", "oslo",
         "pisa", "riga", "turin", "vigo"]
EACH = 6  # devices of a site
TYPICAL = 20000  # microseconds a token
BAD, SHOCKED = "lyon", "riga"


class Sites:
    """A controller with a clock that the test holds, and devices at sites."""

    def __init__(self, folder, versions=("1.0.0", "2.0.0"), other=None,
                 labels=None):
        """labels: of each device, with its site; else each site has six."""
        self.folder = folder
        labels = labels or [{"site": site} for _ in range(EACH)
                            for site in SITES]
        self.clock = HeldClock(folder, 1)
        self.controller = Controller(folder)
        self.begin()
        publisher = Publisher(self.controller, folder)
        self.digests = {v: publisher.publish(v) for v in versions}
        self.others = {v: publisher.publish(v, model=other)
                       for v in versions if other}
        self.other = other
        token = self.controller.enrol_token(uses=len(labels))
        self.devices = []
        for i, own in enumerate(labels):
            one = Told(self.controller, folder, "gw-%02d" % i, token,
                       TYPICAL + 100 * i, labels=own)
            one.labels, one.site = own, own["site"]
            one.versions = {d: v for of in (self.digests, self.others)
                            for v, d in of.items()}
            self.devices.append(one)

    def begin(self):
        os.environ.update(self.clock.env)
        try:
            self.controller.start("--evidence-block", "1s")
        finally:
            for word in self.clock.env:
                del os.environ[word]

    def restart(self):
        self.controller.stop()
        self.begin()

    def killed(self):
        """The controller dies without a word, and begins again; then the
        devices come back."""
        self.controller.stop(signal.SIGKILL)
        for device in self.devices:
            device.client.wait_closed()
        self.begin()
        for device in self.devices:
            device.connect()
        self.online()

    def online(self):
        until("all are there", lambda: self.controller.ask(
            "GET", "/v1/devices?where=state%3Donline&limit=1").json[
                "total"] == len(self.devices))

    def start(self, version, model="tiny", **more):
        answer = self.controller.ask("POST", "/v1/rollouts", dict(
            {"release": "%s@%s" % (model, version), "policy": {"soak_ms": 1}},
            **more))
        assert answer.status == 201, answer.body
        return answer.json["id"]

    def get(self, rollout):
        return self.controller.ask("GET", "/v1/rollouts/" + rollout).json

    def have(self, version, model="tiny"):
        of = self.digests if model == "tiny" else self.others
        return [one for one in self.devices
                if one.runs.get(model) == of[version]]

    def block(self, slow=1, shocked=1, is_bad=lambda one: one.site == BAD):
        """All say their numbers; then the block is over."""
        for one in self.devices:
            for model, digest in sorted(one.runs.items()):
                version = one.versions[digest]
                is_slow = version == "2.0.0" and is_bad(one)
                one.say({"model": model, "digest": digest, "version": version},
                        self.clock.ms, one.typical * (slow if is_slow else 1)
                        * (shocked if one.site == SHOCKED else 1))
        last = self.devices[-1]
        until("the last window came", lambda: any(
            point[4] >= last.said for row in self.controller.ask(
                "POST", "/v1/telemetry/query", {
                    "metric": "queue", "by": ["device"],
                    "since_ms": 86400000}).json["series"]
            if row["key"]["device"] == last.id for point in row["points"]))
        self.clock.move(BLOCK_MS)

    def judged(self, rollout):
        def ask():
            rows = self.controller.ask("GET", "/v1/rollouts/%s/evidence"
                                       "?limit=50" % rollout).json
            assert not rows.get("next"), rows
            return any(row["block"] >= self.clock.block() - 1
                       for row in rows["items"])
        until("the block is judged", ask)
        return self.get(rollout)

    def cli(self, *words):
        done = subprocess.run(
            [os.path.join(BIN, "flotilla"), *words, "--controller",
             self.controller.rest, "--token-file",
             self.controller.facts["token"]], capture_output=True, text=True,
            timeout=HANG_S)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def close(self):
        for one in self.devices:
            one.client.close()
        self.controller.stop()
