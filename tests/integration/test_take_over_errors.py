"""A database that is killed, refuses or fails in each step of a take-over: the
controller waits for it, and leads with all of the state or not at all.
Skipped without Debian's postgresql."""
import os
import signal
import socket
import struct
import threading

import pytest

from test_controllers import OTHER, Cut, Pair
from test_postgresql import server  # noqa: F401
from waits import moment, stopped, until

# Steps that are played: so many, spread over all of them; 0: each one.
STEPS = int(os.environ.get("FLOTILLA_STEPS", "4"))


def starting_up():
    """The answer of a server that is not ready yet."""
    fields = b"SFATAL\0VFATAL\0C57P03\0Mthe database system is starting up\0\0"
    return b"E" + struct.pack("!I", 4 + len(fields)) + fields


class Steps(Cut):
    """Counts what is asked from the claim of the lease on, but on connections
    from before it.  At `fails_at` the server is gone: what was asked does not
    come there, all connections end, and new ones are refused."""
    fails_at = None

    def __init__(self, folder, target):
        self.lock = threading.Lock()
        self.open, self.count, self.refused, self.round = set(), -1, 0, 0
        self.is_gone = self.says_why = False
        super().__init__(folder, target)

    def arm(self, fails_at, says_why):
        with self.lock:
            self.fails_at, self.says_why = fails_at, says_why
            self.count, self.refused = -1, 0
            self.round += 1

    def heal(self):
        with self.lock:
            self.fails_at, self.is_gone = None, False

    def accept(self):
        while True:
            try:
                one = self.listener.accept()[0]
            except OSError:
                return
            threading.Thread(target=self.serve, args=(one,),
                             daemon=True).start()

    def refuse(self, one):
        with self.lock:
            self.refused += 1
        try:
            if self.says_why:
                one.recv(65536)
                one.sendall(starting_up())
        except OSError:
            pass
        one.close()

    def serve(self, one):
        with self.lock:
            # In which take-over it was made; 0: before the claim of any.
            is_gone = self.is_gone
            made_in = self.round if self.count >= 0 else 0
        other = socket.socket(socket.AF_UNIX)
        try:
            if is_gone:
                raise OSError("gone")
            other.connect(os.path.join(self.target, ".s.PGSQL.5432"))
        except OSError:
            self.refuse(one)
            return
        with self.lock:
            self.open |= {one, other}
        for pair in ((one, other, made_in), (other, one, None)):
            threading.Thread(target=self.pass_on, args=pair,
                             daemon=True).start()

    def step(self, data, made_in):
        """May it pass?  A connection from before the claim counts for the
        claim alone."""
        with self.lock:
            is_late = made_in == self.round
            is_claim = not is_late and b"WITH taken AS" in data
            if self.count < 0 and is_claim:
                self.count = 0
            elif self.count >= 0 and is_late:
                self.count += 1
            if self.is_gone or self.count != self.fails_at:
                return not self.is_gone
            self.is_gone = True
            return False

    def pass_on(self, source, target, made_in):
        try:
            while True:
                data = source.recv(65536)
                if not data or (made_in is not None and
                                not self.step(data, made_in)):
                    break
                target.sendall(data)
        except OSError:
            pass
        with self.lock:
            ended = set(self.open) if self.is_gone else {source, target}
            self.open -= ended
        for one in ended:
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


class Failing(Pair):
    def begin(self, server):
        super().begin(server)
        self.steps = self.cuts

    def make_cut(self, name):
        return Steps(self.folder("cut-" + name), self.server.dir)

    def state(self, through):
        """All that the leader tells of the fleet, but what goes on."""
        told = [self.through(through, *words) for words in (
            ("rollout", "list"), ("release", "list"), ("group", "list"),
            ("key", "list"))]
        devices = self.through(through, "device", "list")
        return told + [[(one["id"], one["name"]) for one in devices]]

    def lose_leader(self, fails_at=None, says_why=False):
        """It is killed; who takes the lead now, whose database is armed."""
        def is_armed():
            """The one that leads still did so when the other was armed."""
            for steps in self.steps.values():
                steps.heal()
            leader = self.leader()
            self.mark(OTHER[leader])
            self.steps[OTHER[leader]].arm(fails_at, says_why)
            return self.leads(leader) and leader

        leader = until("a leader, and the other armed", is_armed)
        self.running[leader].kill()
        self.running[leader].wait()
        return leader, OTHER[leader]

    def lose_leader_and(self, change):
        """... and the database is changed before the other one takes the
        lead: it stands still until then."""
        leader = self.leader()
        other = OTHER[leader]
        standby = self.running[other]
        stopped(standby.pid)
        try:
            until("%s leads still" % leader, lambda: self.leads(leader))
            self.mark(other)
            self.running[leader].kill()
            self.running[leader].wait()
            self.sql(change)
        finally:
            standby.send_signal(signal.SIGCONT)
        return leader, other

    def led_by(self, other, state, leader):
        self.until_leads(other, moment())
        assert self.running[other].poll() is None
        assert self.state(other) == state
        assert self.through(other, "audit", "verify")["ok"]
        self.start(leader)
        self.until_said(leader, "stands by")


@pytest.fixture(scope="module")
def pair(folder, bin_dir, server):
    one = Failing(folder, bin_dir, name="test")
    try:
        one.begin(server)
        one.up(["gw"])
        one.publish_whole("tiny@1", "tiny-v1.Q4_0.gguf", "golden-tiny-v1.json")
        one.roll("tiny@1")
        yield one
    finally:
        for cut in one.cuts.values():
            cut.heal()
        one.close()


@pytest.fixture(scope="module")
def count(pair):
    """Steps of a take-over that nothing disturbs."""
    state = pair.state("a")
    leader, other = pair.lose_leader()
    pair.until_leads(other, moment())
    found = pair.steps[other].count
    pair.led_by(other, state, leader)
    return found


def test_a_database_that_goes_in_any_step_is_awaited(pair, count):
    assert count > 10, count
    every = max(1, count // STEPS if STEPS else 1)
    for turn, step in enumerate(range(0, count, every)):
        state = pair.state(pair.leader())
        leader, other = pair.lose_leader(step, turn % 2 == 1)
        steps = pair.steps[other]
        until("step %d of %d fails" % (step, count), lambda: steps.is_gone)
        until("it asks again and again", lambda: steps.refused > 3 or
              pair.running[other].poll() is not None)
        assert pair.running[other].poll() is None, "it ended at %d" % step
        steps.heal()
        pair.led_by(other, state, leader)
        print("step %d of %d: epoch %d" % (step, count, pair.epoch()))


def test_a_server_that_is_killed_and_started_again_is_awaited(pair, server):
    state = pair.state(pair.leader())
    leader, other = pair.lose_leader(3)
    steps = pair.steps[other]
    until("it takes the lead", lambda: steps.is_gone)
    server.kill()
    refused = steps.refused
    steps.heal()
    until("the server is missed", lambda: steps.refused > refused + 1)
    server.start()
    pair.led_by(other, state, leader)


@pytest.mark.parametrize("table", ["rollout", "keyring", "audit_line"])
def test_an_error_of_a_statement_gives_the_lead_back(pair, table):
    """As any error that is none of the connection."""
    state = pair.state(pair.leader())
    leader, other = pair.lose_leader_and(
        "ALTER TABLE %s RENAME TO gone" % table)
    try:
        pair.until_said(other, "the lead was given back")
        assert pair.running[other].poll() is None
    finally:
        pair.sql("ALTER TABLE gone RENAME TO %s" % table)
    pair.led_by(other, state, leader)


def test_gates_wait_for_evidence_that_cannot_be_read(pair):
    """It leads, and judges nothing before."""
    state = pair.state(pair.leader())
    leader, other = pair.lose_leader_and(
        "ALTER TABLE flotilla_handed RENAME data TO gone")
    try:
        pair.until_said(other, "gates wait for the evidence")
    finally:
        pair.sql("ALTER TABLE flotilla_handed RENAME gone TO data")
    pair.led_by(other, state, leader)
