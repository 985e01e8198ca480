"""A rollout that is judged across a kill of the leader: two controllers that
share nothing but a database, whose clocks the test holds, and devices whose
numbers the test says.  Skipped without Debian's postgresql."""
import pytest

from evidence_parts import Evident, FleetController, HeldClock
from test_controllers import OTHER
from test_gates import CONTROLS, BLOCKS, BLOCKS_MAX, TOLD, block, post, \
    readings_in
from test_postgresql import server  # noqa: F401
from test_two_controllers import Apart
from waits import moment, until

NEEDED = 12  # readings of a level (core/gate/slices/level.h)
TOKEN_P50 = 2  # place in readings.def


class Judged(Apart, Evident):
    """Apart, whose leader judges in blocks of a second."""

    def begin(self, server):
        self.clock = HeldClock(self.run, 0)
        self.clocks = {"a": self.clock, "b": self.clock}
        super().begin(server)
        with open(self.admin_token, encoding="utf-8") as file:
            self.admin = file.read().strip()
        self.seen = FleetController(self)
        self.seen.ca = self.dir + "/a/pki/ca.pem"

    def start(self, name, *more):
        self.env.update(self.clocks[name].env)
        super().start(name, "--evidence-block", "1s", *more)
        for word in self.clock.env:
            del self.env[word]

    def handed(self):
        """Readings of the level of each device, as the next leader finds
        them."""
        rows = self.sql("SELECT device, encode(data, 'hex') FROM"
                        " flotilla_handed WHERE name = 'tiny'")
        return {device: readings_in(bytes.fromhex(data), TOKEN_P50)
                for device, data in rows}

    def leader(self):
        return next(name for name in "ab" if self.leads(name))

    def kill_leader(self):
        """... and it comes back, to stand by."""
        leader = self.leader()
        self.mark(OTHER[leader])
        self.kill(leader)
        self.until_leads(OTHER[leader], moment())
        self.start(leader)
        self.until_said(leader, "stands by")


@pytest.fixture(scope="module")
def pair(folder, bin_dir, server):
    one = Judged(folder, bin_dir, name="test")
    try:
        one.begin(server)
        one.up(["gw"])
        one.admit_b()
        for number in "12":
            one.publish_whole("tiny@" + number,
                              "tiny-v%s.Q4_0.gguf" % number,
                              "golden-tiny-v%s.json" % number)
        one.roll("tiny@1", "--group", "all")
        yield one
    finally:
        one.close()


@pytest.fixture(scope="module")
def devices(pair):
    made = pair.told("told", TOLD, "gw") + pair.told(
        "control", CONTROLS, "gw", takes=False)
    pair.cli("group", "create", "judged", "--where", "kind in (told,control)")
    until("all are in the group", lambda: len(pair.ask(
        "device", "list", "--group", "judged")) == len(made))
    yield made
    for one in made:
        one.client.close()


def live(pair, devices, slower):
    """One block: each device says a window of what it runs."""
    old, new = pair.release("tiny@1"), pair.release("tiny@2")

    def say_all():
        for one in devices:
            has = one.takes and one.runs.get("tiny") == new["digest"]
            one.say(new if has else old, pair.clock.ms,
                    one.typical * (slower if has else 1))
        return devices[-1]
    block(pair, say_all)


def test_the_levels_of_devices_are_handed_on(pair, devices):
    for _ in range(BLOCKS):
        live(pair, devices, 1)
    ids = {one.id for one in devices}
    until("the next leader would know each level", lambda: min(
        pair.handed().get(one, 0) for one in ids) >= NEEDED, pair.handed)


def test_a_rollout_is_judged_across_a_kill_by_what_was_before(pair, devices):
    rollout = post(pair, {
        "release": "tiny@2", "group": "judged",
        "phases": [{"devices": len(devices) - 1}, {"share_pct": 100}],
        "policy": {"soak_ms": 300}, "hold_for_person": True,
        "gates": {"failed": {"max_pct": 100}, "token_p50": {
            "min_devices": 2, "min_controls": 20, "weight": 0.85,
            "limit_pct": 15}}})
    new = pair.release("tiny@2")["digest"]

    until("all have it but one at most, which the next phase has", lambda: [
        d["state"] for d in pair.ask("rollout", "get", rollout)["devices"]
        if d["name"].startswith("told-") and
        d["state"] != "succeeded"] in ([], ["queued"]))
    updated = [one for one in devices if one.runs.get("tiny") == new]
    pair.kill_leader()
    for _ in range(BLOCKS_MAX):
        live(pair, devices, 1.5)
        if pair.judged(rollout) != "running":
            break
    found = pair.ask("rollout", "get", rollout)
    assert found["state"] in ("rolling-back", "rolled-back"), found["gates"]
    row = next(g for g in found["gates"] if g["gate"] == "token_p50")
    assert row["verdict"] == "fail", row
    assert row["result"]["n_treated"] == len(updated) >= TOLD - 1, row
    assert row["result"]["n_control"] >= 20, row
    said = pair.cli("rollout", "explain", rollout)[1]
    assert "judged again from what is stored, 0 differ" in said, said


def test_a_retired_device_leaves_nothing_to_the_next_leader(pair, devices):
    gone = devices[-1]
    pair.cli("device", "delete", gone.name, "--confirm", gone.name)
    until("its row is gone", lambda: gone.id not in pair.handed())
