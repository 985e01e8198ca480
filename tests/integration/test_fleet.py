"""Two hundred simulated devices of every script, a real agent next to them,
and rollouts: one through all phases, one that a gate stops."""
import os
import sys

import pytest

from conftest import BIN, ROOT

sys.path.insert(0, os.path.join(ROOT, "tests", "fleet"))

import simulated as S  # noqa: E402
from waits import until  # noqa: E402

DEVICES = 200
# In thousandths.  The share that fails is large: the first phase of the second
# rollout, half of all by chance, has none of some 30 but once in 10^9 runs.
SCRIPTS = "slow=50,failing=300,crashing=25,offline=25,flapping=50,hostile=30"
PROGRAM = os.path.join(os.environ.get("FLOTILLA_BUILD", os.path.join(
    ROOT, "build", "release")), "tests", "flotilla-sim")
PHASES = ("2%", "20%", "100%")
QUICK = ("--soak", "200ms", "--pace", "600000/min", "--silence", "10s",
         "--step-deadline", "60s")


@pytest.fixture(scope="module")
def fleet(folder, bin_dir):
    one = S.Simulated(folder, BIN, name="test").up()
    one.publish("tiny@1", "tiny-v2.Q4_0.gguf", "golden-tiny-v2.json")
    one.publish("tiny@2", "tiny-v2.1.Q4_0.gguf", "golden-tiny-v2.1.json")
    one.real = one.add_device("real", one.token)
    one.sim = one.simulate(PROGRAM, DEVICES, seed=19, scripts=SCRIPTS,
                           interval=1000, pace=20)
    one.sim.connected(0.9)
    yield one
    if one.sim.process.poll() is None:
        one.sim.process.kill()
        one.sim.process.wait()
    one.close()


def of_script(fleet, script):
    return {d["name"] for d in fleet.ask("device", "list", "-l",
                                         "script=" + script)}


def test_a_rollout_of_all_phases_ends_well_among_bad_devices(fleet):
    steady, failing = of_script(fleet, "steady"), of_script(fleet, "failing")
    rollout = fleet.roll("tiny@1", PHASES, *QUICK, "--max-failed", "100")
    ended = fleet.ended(rollout, 180)

    assert ended["state"] == "completed"
    found = {d["name"]: d for d in ended["devices"]}
    assert len(found) == DEVICES + 1
    good = {name for name in found if found[name]["state"] == "succeeded"}
    assert steady | {"real"} <= good
    assert {found[name]["state"] for name in failing} == \
        {"succeeded", "failed"}
    assert {found[name]["error"]["id"] for name in failing - good} == \
        {"probe.golden"}
    assert fleet.serving("tiny@1", ["real"] + sorted(steady))


def test_a_gate_stops_a_release_that_fails_on_some(fleet):
    rollout = fleet.roll("tiny@2", ("50%", "100%"), *QUICK, "--max-failed",
                         "0")
    ended = fleet.ended(rollout, 180)

    assert ended["state"] == "halted"
    assert [d for d in ended["devices"]
            if d["phase"] > 1 and d["state"] != "queued"] == [], \
        fleet.ask("rollout", "explain", rollout)


def test_nobody_speaks_for_another_device(fleet):
    """The hostile ones say of their neighbours that they are gone."""
    until("attacks",
            lambda: fleet.sim.ask("figures")["attacks"] > 10)
    online = {d["name"] for d in fleet.ask("device", "list", "-l",
                                           "state=online")}
    assert of_script(fleet, "steady") <= online


def test_no_event_is_lost(fleet):
    path = os.path.join(fleet.dir, "events")

    def all_stored():
        fleet.sim.ask("events", path)
        steady = of_script(fleet, "steady")
        with open(path, encoding="utf-8") as file:
            rows = [line.split() for line in file]
        names = {d["id"]: d["name"] for d in fleet.ask("device", "list")}
        return all(int(sequence) == int(acked)
                   for device, boot, sequence, acked in rows
                   if names[device] in steady)
    until("events of the steady ones acknowledged", all_stored)


def test_the_simulator_ends_without_a_broken_rule(fleet):
    last = fleet.sim.close()
    assert last["devices"] == DEVICES
