"""Simulated devices whose connections all break in the second of a rollback.
Each comes back, takes it back and answers, and no message is dropped."""
import os
import sys

import pytest

from bad_parts import rest
from conftest import BIN, ROOT

sys.path.insert(0, os.path.join(ROOT, "tests", "fleet"))

import simulated as S  # noqa: E402
from waits import same, until  # noqa: E402

DEVICES = 100
PROGRAM = os.path.join(os.environ.get("FLOTILLA_BUILD", os.path.join(
    ROOT, "build", "release")), "tests", "flotilla-sim")
QUICK = ("--soak", "200ms", "--pace", "600000/min")


@pytest.fixture(scope="module")
def fleet(folder, bin_dir):
    one = S.Simulated(folder, BIN, name="test").up()
    one.sim = one.simulate(PROGRAM, DEVICES, seed=37, pace=20)
    one.sim.connected()
    for number, file in (1, "tiny-v2"), (2, "tiny-v2.1"), (3, "tiny-v2.1"):
        one.publish("tiny@%d" % number, file + ".Q4_0.gguf",
                    "golden-%s.json" % file)
    yield one
    if one.sim.process.poll() is None:
        one.sim.process.kill()
        one.sim.process.wait()
    one.close()


def order(fleet, name):
    return rest(fleet, "GET", "/v1/orders/" + name)[1]


def dropped(fleet):
    """Messages of devices that had no room, or were none."""
    text = rest(fleet, "GET", "/metrics")[1].decode()
    return [line for line in text.splitlines() if not line.startswith("#") and
            "dropped" in line and "telemetry" not in line and
            float(line.split()[-1]) > 0]


def bring(fleet, release):
    rollout = fleet.roll(release, ("100%",), *QUICK)
    assert fleet.ended(rollout)["state"] == "completed"


def all_answer(fleet, name):
    def outcomes():
        now = [d["outcome"] for d in order(fleet, name)["devices"]]
        return {word: now.count(word) for word in now}
    until("all answers to " + name,
          lambda: same(outcomes(), {"done": DEVICES}), outcomes)


def take_back(fleet, release, is_away):
    """It in the whole fleet.  All connections break as the rollback is posted,
    or as the first device answers it."""
    lost = fleet.sim.ask("figures")["connections_lost"]
    if is_away:
        fleet.sim.ask("cut")
    status, made = rest(fleet, "POST", "/v1/orders", {
        "op": "rollback", "release": release, "confirm": release,
        "everywhere": True})
    assert status < 300, made
    name = made["id"]
    if not is_away:
        until("the first answer",
              lambda: fleet.sim.ask("order", name, 0)["answered"] > 0)
        fleet.sim.ask("cut")
    all_answer(fleet, name)
    assert fleet.sim.ask("figures")["connections_lost"] >= lost + DEVICES
    until("all serve the release before", lambda: fleet.serving(
        "tiny@1", [d["name"] for d in fleet.ask("device", "list")]))
    assert dropped(fleet) == []


def test_who_is_away_when_a_rollback_is_posted_answers_it(fleet):
    bring(fleet, "tiny@1")
    bring(fleet, "tiny@2")
    take_back(fleet, "tiny@2", is_away=True)


def test_who_is_lost_as_the_first_ones_answer_answers_too(fleet):
    fleet.sim.connected()
    bring(fleet, "tiny@3")
    take_back(fleet, "tiny@3", is_away=False)


def test_the_simulator_ends_without_a_broken_rule(fleet):
    assert fleet.sim.close()["devices"] == DEVICES
