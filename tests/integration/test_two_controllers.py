"""Two controllers that share nothing but a database: keys, trust and what a
leader must have come by it.  Skipped without Debian's postgresql."""
import base64
import os
import re
import subprocess

import pytest

import sets
from test_controllers import OTHER, Pair
from test_postgresql import server  # noqa: F401
from waits import HANG_S, moment, same, until

# 20 in the measured run of docs/reliability.md.
KILLS = int(os.environ.get("FLOTILLA_KILLS", "2"))


def places(data, text):
    """Where it is in there, each time."""
    at = data.find(text)
    while at >= 0:
        yield at
        at = data.find(text, at + 1)


class Apart(Pair):
    """Pair, without a common folder.  No report of a device comes by itself in
    the time of this story."""
    heartbeat = "1h"

    def share_blobs(self):
        os.symlink(os.path.join(self.dir, "a", "blobs"),
                   os.path.join(self.folder("b"), "blobs"))

    def join(self):
        self.share_blobs()
        self.authority = subprocess.run(
            [self.path("flotilla-controller"), "--data",
             os.path.join(self.dir, "a"), "--fingerprint"],
            capture_output=True, text=True, check=True).stdout.strip()

    def admit_b(self):
        self.start("b", "--join", self.authority)
        self.until_said("b", "are not sealed")
        until("the leader is told", lambda: self.row("b").get("lacks"))
        self.cli("controller", "admit", self.key_of("b"))
        self.until_said("b", "has what a leader must have")

    def check(self, name):
        return subprocess.run(
            [self.path("flotilla-controller"), "--data",
             os.path.join(self.dir, name), "--broker", self.broker, "--store",
             "postgresql:///postgres?host=%s&user=flotilla" % self.server.dir,
             "--check"], capture_output=True, text=True, timeout=HANG_S)

    def key_of(self, name):
        with open(self.log_of(name), encoding="utf-8") as file:
            return re.findall(r"controller admit ([0-9a-f]{64})",
                              file.read())[-1]

    def row(self, name, through="a"):
        rows = self.through(through, "controller", "list")["items"]
        return next((one for one in rows if one["name"] == name), {})

    def ready(self, name):
        return self.get(self.health[name], "/ready")

    def kill(self, name):
        self.running[name].kill()
        self.running[name].wait()

    def key_texts(self, name):
        """Words by which the text of a private key is known: the first line of
        its PEM, which has all of the secret number, and that number itself."""
        found = {}
        for path, text in self.parts(name, "pki", "keys").items():
            if re.fullmatch(r"\w+/(ca|order|audit).*\.key", path):
                line = text.split(b"\n")[1]
                der = base64.b64decode(line)
                begin = der.index(b"\x04\x20") + 2
                found[path] = line
                found[path + ", number"] = der[begin:begin + 32]
        return found

    def parts(self, name, *parts):
        """The files of parts of its folder, by their paths."""
        return {part + "/" + file: data for part in parts
                for file, data in sets.tree(
                    os.path.join(self.dir, name, part)).items()}

    def until_no_key_text_stays(self, name):
        """A follower reads its files again and again, and has a text while it
        compares them: one that stays is in its place at each look."""
        kept = self.held_key_texts(name)

        def are_gone():
            nonlocal kept
            kept &= self.held_key_texts(name) if kept else set()
            return same(kept, set())

        until("no text stays in %s" % name, are_gone)

    def held_key_texts(self, name):
        """Those that the process has in any page of its memory, and where."""
        pid = self.running[name].pid
        texts, held = self.key_texts(name), set()
        with open("/proc/%d/maps" % pid, encoding="utf-8") as file:
            maps = [line.split() for line in file]
        with open("/proc/%d/mem" % pid, "rb", buffering=0) as memory:
            for area in maps:
                begin, end = (int(n, 16) for n in area[0].split("-"))
                if "w" not in area[1]:
                    continue
                memory.seek(begin)
                data = memory.read(end - begin)
                held |= {(file, begin + at) for file, text in texts.items()
                         for at in places(data, text)}
        return held

    def files(self, name):
        """The files that each controller must have, by their paths."""
        return {path: data for path, data in self.parts(
            name, "pki", "keys", "trust").items()
            if re.fullmatch(r"pki/ca.*|keys/.*|trust/.*", path)}


@pytest.fixture(scope="module")
def pair(folder, bin_dir, server):
    one = Apart(folder, bin_dir, name="test")
    try:
        one.begin(server)
        one.up(["gw"])
        one.publish_whole("tiny@1", "tiny-v1.Q4_0.gguf", "golden-tiny-v1.json")
        yield one
    finally:
        one.close()


def test_who_lacks_the_keys_does_not_lead_and_says_why(pair):
    pair.start("b")
    pair.until_said("b", "cannot lead: keys.absent: this folder knows no "
                         "authority")
    pair.running["b"].terminate()
    assert pair.running["b"].wait(HANG_S) == 0
    pair.start("b", "--join", "0" * 64)
    pair.until_said("b", "cannot lead: keys.absent: the fleet's keys are not "
                         "sealed")

    def passes_on():
        status, _, told = pair.ready("b")
        return status == 200 and "lacks" in told and told

    ready = until("it passes on, and says why it does not lead", passes_on)
    assert ready["lacks"].startswith("keys.absent: "), ready
    def told():
        row = pair.row("b")
        return row if row.get("lacks") else None
    row = until("the leader is told", told)
    assert row["key"] == pair.key_of("b") and not row["is_admitted"], row
    found = [one for one in pair.ask("doctor") if one["check"] == "lead"]
    assert found[0]["level"] != "ok", found
    assert found[0]["found"].startswith("b cannot lead: keys.absent"), found


def test_a_leader_is_killed_and_who_lacks_the_keys_stays_where_it_is(pair):
    old = pair.epoch()
    pair.kill("a")

    def refusal():
        answer = pair.ready("b")
        return answer[0] == 503 and answer

    _, _, told = until("503", refusal)
    assert told["type"].endswith("lead.none"), told
    assert "keys.absent" in told["detail"], told
    pair.start("a")
    pair.until_leads("a", moment())
    assert pair.epoch() == old + 1
    assert not pair.said("b", "lease leads, epoch")


def test_an_admitted_one_believes_the_right_authority_alone(pair):
    pair.cli("controller", "admit", pair.key_of("b"))
    pair.until_said("b", "signed by no authority")
    pair.running["b"].terminate()
    assert pair.running["b"].wait(HANG_S) == 0
    refused = pair.check("b")
    assert refused.returncode != 0 and "keys.absent" in refused.stderr, refused
    pair.start("b", "--join", pair.authority)
    pair.until_said("b", "has what a leader must have")
    until("the leader is told", lambda: same(
        [pair.row("b")[key] for key in ("lacks", "is_admitted")],
        [None, True]))
    assert pair.files("a") == pair.files("b")
    found = [one for one in pair.ask("doctor") if one["check"] == "lead"]
    assert found[0]["level"] == "ok", found
    pair.running["b"].terminate()
    assert pair.running["b"].wait(HANG_S) == 0
    checked = pair.check("b")
    assert checked.returncode == 0 and "can follow it" in checked.stdout, checked
    pair.start("b")
    pair.until_said("b", "stands by")


def test_keys_that_change_reach_who_stands_by(pair):
    """An authority and an order key more, and the leader killed at once."""
    pair.let_lead("a")
    pair.mark("b")  # a leader that stands still for seconds loses the lead
    before = pair.files("b")
    pair.cli("ca", "rotate")

    def is_new():
        with open(os.path.join(pair.dir, "a", "pki", "ca.pem"), "rb") as file:
            return file.read() != before["pki/ca.pem"]
    until("the new authority", is_new)
    pair.kill("a")
    pair.until_leads("b", moment())
    assert pair.files("a") == pair.files("b")
    started = pair.through("b", "rollout", "start", "tiny@1", "--phase", "100%",
                           "--soak", "500ms")["id"]
    pair.start("a")
    pair.until_said("a", "stands by")
    pair.cli("rollout", "wait", started, "--for", "completed", "-q")
    until("it serves tiny@1", lambda: pair.serving("tiny@1"))


def test_no_text_of_a_private_key_stays_in_memory(pair):
    """Neither of who leads, nor of who stands by, nor of who took the lead and
    stores a keyring.  Keys that were read stay, as numbers of the library."""
    pair.let_lead("b")
    assert len(pair.key_texts("b")) >= 8
    for name in "ab":
        pair.until_no_key_text_stays(name)
    pair.mark("a")
    pair.cli("ca", "rotate")
    pair.until_said("a", "has what a leader must have")
    for name in "ab":
        pair.until_no_key_text_stays(name)


def test_a_dismissed_one_leads_no_more_and_gets_no_further_keys(pair):
    """It led before, and has the keys of then."""
    pair.let_lead("b")
    key = pair.row("a", "b")["key"]
    pair.mark("a")
    pair.cli("controller", "dismiss", key)
    pair.until_said("a", "cannot lead: keys.absent")
    before = pair.files("a")
    pair.cli("ca", "rotate")
    assert pair.files("a") == before != pair.files("b")
    pair.cli("controller", "admit", key)
    pair.until_said("a", "has what a leader must have")
    assert pair.files("a") == pair.files("b")


def test_a_publisher_trusted_in_the_last_moment_is_trusted_by_the_next(pair):
    """The leader dies between `key trust` and the first release of that key."""
    leader = pair.leader()
    place = pair.folder("second")
    pair.cli("key", "create", "second", "--to", place)
    pair.mark(OTHER[leader])
    pair.through(leader, "key", "trust", os.path.join(place, "second.pub"),
                 "--root", os.path.join(os.path.dirname(pair.key), "root.key"))
    pair.kill(leader)
    pair.until_leads(OTHER[leader], moment())
    pair.start(leader)
    pair.until_said(leader, "stands by")
    pair.key = os.path.join(place, "second.key")
    pair.publish_whole("tiny@2", "tiny-v2.Q4_0.gguf", "golden-tiny-v2.json")
    started = pair.ask("rollout", "start", "tiny@2", "--phase", "100%",
                       "--soak", "500ms")["id"]
    pair.cli("rollout", "wait", started, "--for", "completed", "-q")
    until("it serves tiny@2", lambda: pair.serving("tiny@2"))


def test_orders_and_answers_outlive_each_leader(pair):
    """Each leader is killed when it has given an order: the answer comes while
    nobody listens, or soon afterwards."""
    took = []
    for turn in range(KILLS):
        leader = pair.leader()
        other = OTHER[leader]
        before = pair.sql("SELECT coalesce(max(seq), 0) FROM ord")[0][0]
        pair.mark(other)
        pair.through(leader, "rollout", "unfreeze" if turn % 2 else "freeze",
                     "--confirm", "test", "--reason", "drill")
        pair.kill(leader)
        begin = moment()
        pair.until_leads(other, begin)
        leads = moment()
        order = pair.sql("SELECT id FROM ord WHERE seq > %s" % before)
        assert len(order) == 1, order
        until("the answer to %s" % order[0][0], lambda: pair.sql(
            "SELECT 1 FROM outcome WHERE ord = '%s' AND outcome > 0"
            % order[0][0]) != [])
        took.append(moment() - leads)
        pair.start(leader)
        pair.until_said(leader, "stands by")
        assert pair.files("a") == pair.files("b")
        verified = pair.through(other, "audit", "verify")
        assert verified["ok"], verified
    print("answers stored after %s s" % ", ".join("%.1f" % s for s in took))
    if KILLS % 2:
        pair.through(other, "rollout", "unfreeze", "--confirm", "test",
                     "--reason", "drill")
    pair.nothing_was_done_twice()


def test_heads_of_the_audit_that_were_taken_away_are_missed(pair):
    """Each controller's own file is a witness outside of the database."""
    leader = pair.leader()
    other = OTHER[leader]
    pair.sql("DELETE FROM audit_line WHERE n > 0")
    pair.mark(other)
    pair.kill(leader)
    pair.until_leads(other, moment())
    pair.until_said(other, "has lines that the database has not")
    assert pair.try_through(other, "audit", "verify") is None
