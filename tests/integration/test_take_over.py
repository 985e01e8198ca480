"""A rollout that is judged across a kill of the leader: two controllers that
share nothing but a database, whose clocks the test holds, and devices whose
numbers the test says.  Skipped without Debian's postgresql."""
import itertools

import pytest

from evidence_parts import Evident, FleetController, HeldClock
from test_controllers import OTHER
from test_gates import CONTROLS, BLOCKS, BLOCKS_MAX, TOLD, block, \
    last_read_in, of_member, post, readings_in
from test_postgresql import server  # noqa: F401
from test_two_controllers import KILLS, Apart
from waits import moment, until

NEEDED = 12  # readings of a level (core/gate/slices/level.h)
READINGS = 6  # of the new release, until it is compared
LOOKS = 20  # until a block is ended again
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

    def rows_handed(self):
        """The row of each device, as the next leader finds it."""
        rows = self.sql("SELECT device, encode(data, 'hex') FROM"
                        " flotilla_handed WHERE name = 'tiny'")
        return {device: of_member(bytes.fromhex(data))
                for device, data in rows}

    def handed(self):
        """Readings of the level of each device."""
        return {device: readings_in(data, TOKEN_P50)
                for device, data in self.rows_handed().items()}

    def last_read(self):
        """Block of the last reading of each device."""
        return {device: last_read_in(data)
                for device, data in self.rows_handed().items()}

    def releases(self):
        """The old one, and the new one."""
        return self.release("tiny@1"), self.release("tiny@2")

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


def say(pair, one, releases, slower):
    """A window of what it runs, which comes no faster than it was made."""
    old, new = releases
    has = one.takes and one.runs.get("tiny") == new["digest"]
    one.say(new if has else old, pair.clock.ms,
            one.typical * (slower if has else 1), window_ms=1)


def live(pair, devices, slower):
    """One block: each device says a window."""
    releases = pair.releases()

    def say_all():
        for one in devices:
            say(pair, one, releases, slower)
        return devices[-1]
    block(pair, say_all)


def test_the_levels_of_devices_are_handed_on(pair, devices):
    for _ in range(BLOCKS):
        live(pair, devices, 1)
    ids = {one.id for one in devices}
    until("the next leader would know each level", lambda: min(
        pair.handed().get(one, 0) for one in ids) >= NEEDED, pair.handed)


@pytest.fixture(scope="module")
def rollout(pair, devices):
    """Its first phase has the new release, and waits for a person."""
    made = post(pair, {
        "release": "tiny@2", "group": "judged",
        "phases": [{"devices": len(devices) - 1}, {"share_pct": 100}],
        "policy": {"soak_ms": 300}, "hold_for_person": True,
        "gates": {"failed": {"max_pct": 100}, "token_p50": {
            "min_devices": 2, "min_controls": 20, "weight": 0.85,
            "limit_pct": 15}}})
    until("all have it but one at most, which the next phase has", lambda: [
        d["state"] for d in pair.ask("rollout", "get", made)["devices"]
        if d["name"].startswith("told-") and
        d["state"] != "succeeded"] in ([], ["queued"]))
    return made


def cover_gap(pair, devices):
    """The first window after a gap covers it, so it is no evidence.  One that
    comes before the new leader listens is lost."""
    first, releases = devices[-1].said + 1, pair.releases()

    def is_heard():
        say(pair, devices[-1], releases, 1)
        return pair.has_taken(devices[-1], first)
    until("the new leader listens", is_heard, every=0.2)
    live(pair, devices, 1)


def live_and_hand_on(pair, devices):
    """Each row as it is after the block's end: the leader hands on a row of an
    open block too."""
    said = pair.clock.block()
    live(pair, devices, 1)

    def missing():
        found = pair.last_read()
        return [one.name for one in devices if found[one.id] < said]
    until("the next leader would know these windows", lambda: not missing(),
          missing)


def judgement(pair, rollout):
    """The judgement of a block in which nobody says a window, and those before
    it: that of the block before may still be under way.  A new leader judges
    the first block of which it sees the end, and the clock must not run far
    ahead of the database's."""
    first = pair.clock.block()
    looks = itertools.count()

    def ask():
        if next(looks) % LOOKS == 0:
            pair.end_block()
        rows = pair.records(rollout)
        return rows and rows[-1]["block"] >= first and rows
    rows = until("block %d is judged" % first, ask)
    last = dict(rows[-1])
    for one in ("at_ms", "block", "digest"):
        del last[one]
    return last, rows


def test_a_gate_sees_the_same_evidence_before_and_after_each_kill(
        pair, devices, rollout):
    judgement(pair, rollout)  # so the controller looks at its devices
    for _ in range(READINGS - 1):
        live(pair, devices, 1)
    live_and_hand_on(pair, devices)
    pair.kill_leader()
    for turn in range(KILLS):
        cover_gap(pair, devices)
        live_and_hand_on(pair, devices)
        before, older = judgement(pair, rollout)
        pair.kill_leader()
        after, kept = judgement(pair, rollout)
        differ = [(key, before[key], after[key]) for key in before
                  if after[key] != before[key]]
        assert after.keys() == before.keys() and not differ, (turn, differ)
        assert kept[:len(older)] == older, turn
        row = next(r for r in after["rows"] if r["gate"] == "token_p50")
        assert row["result"]["n_control"] >= CONTROLS, row
        assert row["result"]["n_control"] + row["result"]["n_treated"] == len(
            devices), row
    said = pair.cli("rollout", "explain", rollout)[1]
    assert "judged again from what is stored, 0 differ" in said, said
    print("%d kills: each judgement as before, %d rows kept" % (
        KILLS, len(kept)))


def test_a_rollout_is_judged_across_a_kill_by_what_was_before(pair, devices,
                                                              rollout):
    new = pair.release("tiny@2")["digest"]
    updated = [one for one in devices if one.runs.get("tiny") == new]
    pair.kill_leader()
    cover_gap(pair, devices)
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
