"""A plan says how many devices its gates can compare, and from when on.

The devices' numbers are the test's, in blocks of time that it ends
(evidence_parts.py)."""
import os
import re
import subprocess

import pytest

from controller_parts import BIN, Controller, Publisher
from evidence_parts import BLOCK_MS, HeldClock, Told
from waits import HANG_S, until

DEVICES = 12
PROFILE = {"arch": "aarch64", "cpus": 4, "kernel": "neon",
           "memory_bytes": 8 << 30, "disk_free_bytes": 8 << 30,
           "engine": [">=0.1"], "runtimes": [{"name": "flotilla-engine"}]}
GATES = {"preset": "normal"}
PHASES = [{"name": "canary", "size": 6, "soak_ms": 1},
          {"size": "100%", "soak_ms": 1}]


class Young:
    """A controller with a clock that the test holds, and its devices."""

    def __init__(self, folder):
        self.clock = HeldClock(folder, 1)
        self.controller = Controller(folder)
        os.environ.update(self.clock.env)
        try:
            self.controller.start("--evidence-block", "1s")
        finally:
            for word in self.clock.env:
                del os.environ[word]
        publisher = Publisher(self.controller, folder)
        self.digests = {v: publisher.publish(v) for v in ("1.0.0", "2.0.0")}
        token = self.controller.enrol_token(uses=DEVICES)
        self.devices = [Told(self.controller, folder, "gw-%02d" % i, token,
                             20000 + 100 * i, profile=PROFILE)
                        for i in range(DEVICES)]
        for one in self.devices:
            one.versions = {d: v for v, d in self.digests.items()}

    def block(self):
        """All say their numbers; then the block is over."""
        for one in self.devices:
            one.say({"model": "tiny", "digest": self.digests["1.0.0"],
                     "version": "1.0.0"}, self.clock.ms, one.typical)
        for one in self.devices:
            until("its window came", lambda: any(
                point[4] >= one.said for row in self.controller.ask(
                    "POST", "/v1/telemetry/query", {
                        "metric": "queue", "by": ["device"],
                        "since_ms": 86400000}).json["series"]
                if row["key"]["device"] == one.id for point in row["points"]))
        self.clock.move(BLOCK_MS)

    def plan(self):
        answer = self.controller.ask(
            "POST", "/v1/rollouts?dry_run=true",
            {"release": "tiny@2.0.0", "gates": GATES, "phases": PHASES})
        assert answer.status == 200, answer.body
        return answer.json["plan"]


@pytest.fixture(scope="module")
def young(folder):
    one = Young(folder)
    start = one.controller.ask("POST", "/v1/rollouts", {
        "release": "tiny@1.0.0", "policy": {"soak_ms": 1}}).json["id"]
    until("all run the first release", lambda: one.controller.ask(
        "GET", "/v1/rollouts/" + start).json["state"] == "completed")
    try:
        yield one
    finally:
        for device in one.devices:
            device.client.close()
        one.controller.stop()


def test_nobody_is_compared_before_the_first_readings(young):
    young.block()
    plan = young.plan()
    base = plan["base"]
    assert base["devices"] == DEVICES and base["compared"] == 0, plan


def test_a_plan_says_from_when_on(young, folder):
    base = young.plan()["base"]
    for _ in range(4):
        if base["later"] == DEVICES:
            break
        young.block()
        base = young.plan()["base"]
    assert base["later"] == DEVICES and base["compared"] == 0, base
    assert base["from_ms"] > young.clock.ms
    assert re.search(r"0 of 12 devices can be compared: .*; 12 not before "
                     r"\d\d:\d\d UTC$", base["text"]), base
    path = os.path.join(folder, "rollout.yaml")
    with open(path, "w", encoding="utf-8") as file:
        file.write("release: tiny@2.0.0\ngates: {preset: normal}\n")
    plan = subprocess.run(
        [os.path.join(BIN, "flotilla"), "rollout", "start", "--file", path,
         "--dry-run", "--controller",
         young.controller.rest, "--token-file",
         young.controller.facts["token"]], capture_output=True, text=True,
        timeout=HANG_S)
    assert plan.returncode == 0 and base["text"] in plan.stdout, plan


def test_and_then_they_can_be_compared(young):
    until_ms = young.plan()["base"]["from_ms"]
    while young.clock.ms < until_ms:
        young.block()
    base = young.plan()["base"]
    assert base["compared"] == DEVICES and base["few"] == DEVICES, base
    assert "from_ms" not in base
    for _ in range(12):
        young.block()
    assert young.plan()["base"]["own"] == DEVICES
