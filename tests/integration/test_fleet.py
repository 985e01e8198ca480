"""Two hundred simulated devices of every script, a real agent next to them,
and rollouts: one through all phases, one that a gate stops."""
import os
import sys

import pytest

import fleet as F
from conftest import BIN, ROOT

sys.path.insert(0, os.path.join(ROOT, "tests", "fleet"))

import simulated as S  # noqa: E402
from waits import HANG_S, Seen, same, until  # noqa: E402

DEVICES = 200
# In thousandths.  The share that fails is large: the first phase of the second
# rollout, half of all by chance, has none of some 30 but once in 10^9 runs.
SCRIPTS = "slow=50,failing=300,crashing=25,offline=25,flapping=50,hostile=30"
PROGRAM = os.path.join(os.environ.get("FLOTILLA_BUILD", os.path.join(
    ROOT, "build", "release")), "tests", "flotilla-sim")
PHASES = ("2%", "20%", "100%")
SOON = ("--soak", "200ms", "--pace", "600000/min", "--step-deadline", "10m")
# Who is silent for long is not waited for, and comes to its end later.
QUICK = SOON + ("--silence", "4s")


@pytest.fixture(scope="module")
def fleet(folder, bin_dir):
    one = S.Simulated(folder, BIN, name="test").up()
    one.publish("tiny@1", "tiny-v2.Q4_0.gguf", "golden-tiny-v2.json")
    one.publish("tiny@2", "tiny-v2.1.Q4_0.gguf", "golden-tiny-v2.1.json")
    one.real = one.add_device("real", one.token)
    one.sim = one.simulate(PROGRAM, DEVICES, seed=19, scripts=SCRIPTS,
                           interval=1000, pace=20)
    # Members of a rollout are those that were there once.
    until("all have come", lambda: sum(
        d["last_seen_at_ms"] > 0 for d in one.ask("device", "list")) ==
        DEVICES + 1, lambda: one.sim.ask("figures"), every=0.2)
    yield one
    if one.sim.process.poll() is None:
        one.sim.process.kill()
        one.sim.process.wait()
    one.close()


def of_script(fleet, script):
    return {d["name"] for d in fleet.ask("device", "list", "-l",
                                         "script=" + script)}


def ended(fleet, rollout):
    """It, in its last state."""
    def found():
        now = fleet.rollout(rollout)
        return now if now["state"] in (
            "completed", "halted", "rolled-back", "aborted") else \
            Seen((now["state"], now["reason"]))
    return until("the end of " + rollout, found)


def not_yet(fleet, rollout, rules):
    """Devices of the rollout that are in none of their states."""
    states = {d["name"]: d["state"]
              for d in fleet.rollout(rollout)["devices"]}
    return {name: states[name] for name in rules
            if states[name] not in rules[name]}


def test_a_rollout_of_all_phases_ends_well_among_bad_devices(fleet):
    steady, failing = of_script(fleet, "steady"), of_script(fleet, "failing")
    rollout = fleet.roll("tiny@1", PHASES, *QUICK, "--max-failed", "100")
    assert ended(fleet, rollout)["state"] == "completed"
    rules = dict.fromkeys(failing, ("succeeded", "failed"))
    rules.update(dict.fromkeys(steady | {"real"}, ("succeeded",)))
    until("the ends of all that are there", lambda: not not_yet(
        fleet, rollout, rules), lambda: not_yet(fleet, rollout, rules))

    def errors():
        """Who was silent for a while counts as failed until it says why."""
        return {(d["error"] or {}).get("id")
                for d in fleet.rollout(rollout)["devices"]
                if d["name"] in failing and d["state"] != "succeeded"}
    until("why they failed", lambda: same(errors(), {"probe.golden"}))
    found = {d["name"]: d for d in fleet.rollout(rollout)["devices"]}
    assert len(found) == DEVICES + 1
    good = {name for name in found if found[name]["state"] == "succeeded"}
    assert failing & good and failing - good
    until("they serve it", lambda: fleet.serving(
        "tiny@1", ["real"] + sorted(steady)))


def test_a_gate_stops_a_release_that_fails_on_some(fleet):
    # On a busy machine all are silent for seconds, and a phase of silent devices
    # passes: here the first phase waits for those that fail.
    rollout = fleet.roll("tiny@2", ("50%", "100%"), *SOON, "--silence", "10m",
                         "--max-failed", "0")
    found = ended(fleet, rollout)

    assert found["state"] == "halted"
    assert [d for d in found["devices"]
            if d["phase"] > 1 and d["state"] != "queued"] == [], \
        fleet.ask("rollout", "explain", rollout)


def test_nobody_speaks_for_another_device(fleet):
    """The hostile ones say of their neighbours that they are gone."""
    steady = of_script(fleet, "steady")

    def missing():
        return steady - {d["name"] for d in fleet.ask(
            "device", "list", "-l", "state=online")}

    until("all are there", lambda: not missing(), missing)
    before = fleet.sim.ask("figures")["attacks"]
    until("attacks",
          lambda: fleet.sim.ask("figures")["attacks"] > before + 10)
    assert missing() == set()


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
    fleet.sim.process.stdin.close()
    last = fleet.sim.answer()
    assert fleet.sim.process.wait(HANG_S) == 0, F.tail(fleet.sim.log)
    assert last["devices"] == DEVICES
