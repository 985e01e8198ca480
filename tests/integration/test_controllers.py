"""Two controllers on one PostgreSQL and one mosquitto that none of them starts:
whoever leads is killed, stopped, or cut off.  Skipped without Debian's
postgresql."""
import functools
import http.server
import json
import math
import os
import re
import signal
import socket
import subprocess
import threading
import urllib.error
import urllib.request

import pytest

import fleet as F
import sets
from conftest import Small
from test_postgresql import server  # noqa: F401
from waits import (HANG_S, Seen, joined, moment, same, stopped, until,
                   wall_ms)

OTHER = {"a": "b", "b": "a"}


class Cut:
    """The database's socket once more.  While it is cut, connections stay
    open, nothing passes, and new ones are not answered."""

    def __init__(self, folder, target):
        self.dir, self.target = folder, target
        self.passes = threading.Event()
        self.passes.set()
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(os.path.join(folder, ".s.PGSQL.5432"))
        self.listener.listen(64)
        threading.Thread(target=self.accept, daemon=True).start()

    @property
    def is_cut(self):
        return not self.passes.is_set()

    @is_cut.setter
    def is_cut(self, is_cut):
        (self.passes.clear if is_cut else self.passes.set)()

    def accept(self):
        while True:
            try:
                one = self.listener.accept()[0]
            except OSError:
                return
            other = socket.socket(socket.AF_UNIX)
            other.connect(os.path.join(self.target, ".s.PGSQL.5432"))
            for pair in ((one, other), (other, one)):
                threading.Thread(target=self.carry, args=pair,
                                 daemon=True).start()

    def carry(self, source, target):
        try:
            while True:
                data = source.recv(65536)
                self.passes.wait()
                if not data:
                    break
                target.sendall(data)
        except OSError:
            pass
        for one in (source, target):
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


class Blobs(http.server.SimpleHTTPRequestHandler):
    """A store of another kind, to which the controllers lead."""
    asked = []

    def log_message(self, *_):
        self.asked.append(self.path)


READS = ("get",), ("list",), ("status",), ("query",), ("verify",)


class Pair(Small):
    """Small, with controllers `a` and `b`; people and devices know `a`."""
    heartbeat = "1s"
    asks_once = False

    def begin(self, server):
        self.server = server
        self.broker = "mqtts://127.0.0.1:%d" % F.held_port()
        self.cuts = {name: self.make_cut(name) for name in "ab"}
        self.cut = self.cuts["a"]
        self.ports = {name: (F.held_port(), F.held_port()) for name in "ab"}
        self.health = {name: F.held_port() for name in "ab"}
        self.running = {}
        self.offsets = {}
        self.blobs = http.server.ThreadingHTTPServer(
            ("127.0.0.1", 0), functools.partial(
                Blobs, directory=os.path.join(self.dir, "a", "blobs")))
        threading.Thread(target=self.blobs.serve_forever, daemon=True).start()
        self.start("a")
        home = os.path.join(self.dir, "a", "broker")
        until("the broker's files", lambda: os.path.exists(
            os.path.join(home, "mosquitto.conf")))
        self.mosquitto = subprocess.Popen(
            ["/usr/sbin/mosquitto", "-c", "mosquitto.conf"], cwd=home,
            stderr=subprocess.DEVNULL)
        self.processes.append(self.mosquitto)
        self.url = "http://127.0.0.1:%d" % self.ports["a"][0]
        self.port = self.ports["a"][0]
        self.devices_url = "https://127.0.0.1:%d" % self.ports["a"][1]
        until("the leader", self.healthy)
        self.admin_token = os.path.join(self.dir, "a", "admin.token")
        self.join()

    def make_cut(self, name):
        return Cut(self.folder("cut-" + name), self.server.dir)

    def join(self):
        """The files of a leader, given to the other one by hand."""
        for part in ("pki", "keys", "trust"):
            sets.copy(os.path.join(self.dir, "a", part),
                      os.path.join(self.dir, "b", part))
        os.symlink(os.path.join(self.dir, "a", "blobs"),
                   os.path.join(self.dir, "b", "blobs"))
        os.symlink(os.path.join(self.dir, "a", "audit.head"),
                   os.path.join(self.dir, "b", "audit.head"))
        self.start("b")
        self.until_said("b", "stands by")

    def folder(self, name):
        path = os.path.join(self.dir, name)
        os.mkdir(path)
        return path

    def start_controller(self, *more):
        pass  # begin() did

    def log_of(self, name):
        return os.path.join(self.dir, name + ".log")

    def start(self, name, *more):
        people, devices = self.ports[name]
        self.mark(name)
        self.running[name] = self.spawn(
            [self.path("flotilla-controller"), "--data",
             os.path.join(self.dir, name), "--listen",
             "127.0.0.1:%d" % people, "--listen-devices",
             "127.0.0.1:%d" % devices, "--fleet", "test", "--heartbeat",
             self.heartbeat, "--listen-health", "127.0.0.1:%d" % self.health[name],
             "--name", name,
             "--broker", self.broker, *self.blobs_flags(), "--store",
             "postgresql:///postgres?host=%s&user=flotilla" %
             self.cuts[name].dir, *more],
            self.log_of(name))

    def blobs_flags(self):
        return "--blobs-url", "http://127.0.0.1:%d" % self.blobs.server_port

    def mark(self, name):
        log = self.log_of(name)
        self.offsets[name] = os.path.getsize(log) if os.path.exists(log) else 0

    def said(self, name, text):
        with open(self.log_of(name), encoding="utf-8", errors="replace") as f:
            f.seek(self.offsets[name])
            return text in f.read()

    def until_said(self, name, text):
        until("%s: %s" % (name, text), lambda: self.said(name, text),
              lambda: F.tail(self.log_of(name)))

    def sql(self, text):
        done = subprocess.run(
            ["psql", "-h", self.server.dir, "-U", "flotilla", "-d", "postgres",
             "-AtF", " ", "-c", text], capture_output=True, text=True,
            check=True)
        return [line.split(" ") for line in done.stdout.splitlines()]

    def lease(self):
        """Epoch, beat, and whether its leader holds it."""
        return tuple(map(int, self.sql(
            "SELECT epoch, beat, held FROM flotilla_lease")[0]))

    def epoch(self):
        return self.lease()[0]

    def until_beats(self, times):
        """The leader's beats from now on; the epoch then."""
        wanted = self.lease()[1] + times
        until("beat %d" % wanted, lambda: self.lease()[1] >= wanted,
              self.lease)
        return self.epoch()

    def until_gw_is_heard(self):
        """By way of the leader's connection to the broker."""
        begin_ms = wall_ms()
        until("gw is heard", lambda: self.ask(
            "device", "get", "gw")["last_seen_at_ms"] > begin_ms)

    def through(self, name, *args, **more):
        """A command by way of that controller."""
        self.env["FLOTILLA_CONTROLLER"] = ("http://127.0.0.1:%d"
                                           % self.ports[name][0])
        self.env["FLOTILLA_TOKEN_FILE"] = self.admin_token
        try:
            return self.ask(*args, **more)
        finally:
            del self.env["FLOTILLA_CONTROLLER"]
            del self.env["FLOTILLA_TOKEN_FILE"]

    def until_leads(self, name, begin):
        self.until_said(name, "leads, epoch")
        self.until_said(name, "connected to")
        until("REST of %s" % name, lambda: self.try_through(
            name, "rollout", "list") is not None)
        print("%s leads and serves after %.1f s" % (name, moment() - begin))

    def try_through(self, name, *args):
        self.asks_once = True
        try:
            return self.through(name, *args)
        except (F.Failed, ValueError):
            return None
        finally:
            self.asks_once = False

    def program(self, name, *args, check=True, **more):
        """A leader whose beat is late leads no more for a moment, and says so:
        who was refused for that comes again."""
        again = ["error[lead.none]"]
        if args[1:2] in READS:
            again.append("error[db.unreachable]")

        def led():
            done = super(Pair, self).program(name, *args, check=False, **more)
            is_none = any(word in done[2] for word in again)
            return Seen(done) if is_none and not self.asks_once else done

        done = until("a leader's answer", led)
        if check and done[0] != 0:
            raise F.Failed("%s %s: exit %d\n%s%s" % (
                name, " ".join(args), *done))
        return done

    def get(self, port, path, token=None):
        """Status, the header Retry-After, and the answer."""
        request = urllib.request.Request(
            "http://127.0.0.1:%d%s" % (port, path),
            headers={"Authorization": "Bearer " + token} if token else {})
        try:
            with urllib.request.urlopen(request, timeout=HANG_S) as answer:
                return answer.status, None, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, error.headers["Retry-After"], json.load(error)

    def lead_of(self, name):
        """As it says itself; None also while it starts again."""
        try:
            return self.get(self.health[name], "/ready")[2].get("lease")
        except OSError:
            return None

    def leads(self, name):
        return self.lead_of(name) == "leads"

    def leader(self):
        """Whose beat is late says in between that it does not lead."""
        return until("one leads", lambda: next(
            (name for name in "ab" if self.leads(name)), None))

    def let_lead(self, name):
        """Also when a machine stood still for so long that the other one
        leads since then."""
        other = self.running[OTHER[name]]
        if not self.leads(name):
            stopped(other.pid)
            until("%s leads" % name, lambda: self.leads(name))
            other.send_signal(signal.SIGCONT)
        until("the other stands by", lambda: same(
            self.lead_of(OTHER[name]), "stands-by"))

    def shown(self, through):
        """State by name, as people are told, or {} while nobody leads."""
        answer = self.try_through(through, "controller", "list")
        return {} if answer is None else {
            one["name"]: one["state"] for one in answer["items"]}

    def until_shown(self, through, never=None, **states):
        """`never`: (name, state) that is not shown before."""
        def is_shown():
            now = self.shown(through)
            assert never is None or now.get(never[0]) != never[1], now
            return now == states
        until("%s is told %s" % (through, states), is_shown)

    def metric(self, port, name):
        """NaN while nobody leads."""
        try:
            with urllib.request.urlopen("http://127.0.0.1:%d/metrics" % port,
                                        timeout=HANG_S) as answer:
                text = answer.read().decode()
        except urllib.error.HTTPError:
            return math.nan
        return float(re.search(r"^%s (\S+)$" % re.escape(name), text,
                               re.M).group(1))

    def until_metric(self, port, name, value):
        until("%s %g" % (name, value),
              lambda: same(self.metric(port, name), value))

    def missing(self):
        """Devices' events between the first and the newest that are not
        stored."""
        return [row for row in self.sql(
            "SELECT book, outbox, max(seq) - count(*) FROM event"
            " GROUP BY book, outbox") if row[2] != "0"]

    def nothing_was_done_twice(self):
        double = self.sql("SELECT seq, count(*) FROM ord GROUP BY seq"
                          " HAVING count(*) > 1")
        assert double == []
        acts = re.findall(r"activating\s+(\S+)", open(
            self.devices["gw"].log, encoding="utf-8").read())
        assert len(acts) == len(set(acts)), acts


@pytest.fixture(scope="module")
def pair(folder, bin_dir, server):
    one = Pair(folder, bin_dir, name="test")
    try:
        one.begin(server)
        one.up(["gw"])
        one.publish_whole("tiny@1", "tiny-v1.Q4_0.gguf", "golden-tiny-v1.json")
        one.publish_whole("tiny@2", "tiny-v2.Q4_0.gguf", "golden-tiny-v2.json")
        one.publish_whole("tiny@3", "tiny-v2.Q4_0.gguf", "golden-tiny-v2.json")
        yield one
    finally:
        for process in one.running.values():
            process.send_signal(signal.SIGCONT)
        for cut in one.cuts.values():
            cut.is_cut = False
        one.close()


def test_a_rollout_goes_through_the_one_that_stands_by(pair):
    started = pair.through("b", "rollout", "start", "tiny@1", "--phase", "100%",
                           "--soak", "500ms")["id"]
    pair.cli("rollout", "wait", started, "--for", "completed", "-q")
    until("it serves tiny@1", lambda: pair.serving("tiny@1"))
    assert any("/sha256-" in path for path in Blobs.asked), Blobs.asked


def test_everybody_is_told_who_leads(pair):
    pair.let_lead("a")
    for name in "ab":  # by its own listener, and passed on
        pair.until_shown(name, a="leads", b="stands-by")
    def of_one_lead():  # a lease that ends between two looks begins another
        before, answer = pair.epoch(), pair.through("b", "controller", "list")
        return before == answer["epoch"] == pair.epoch() and answer
    answer = until("an answer of one lead", of_one_lead)
    assert answer["shared"] and answer["leads"], answer
    assert answer["changes"][0]["name"] == "a", answer
    rows = {one["name"]: one for one in answer["items"]}
    assert rows["b"]["people"] == "127.0.0.1:%d" % pair.ports["b"][0]
    assert rows["b"]["devices"] == "127.0.0.1:%d" % pair.ports["b"][1]
    assert rows["a"]["since_ms"] <= rows["a"]["heard_at_ms"]
    for name, leads in (("a", 1), ("b", 0)):
        pair.until_metric(pair.health[name], "flotilla_leader", leads)
        pair.until_metric(pair.health[name], "flotilla_leader_epoch",
                          pair.epoch())
    found = [one for one in pair.through("b", "doctor")
             if one["check"] == "lead"]
    assert found[0]["level"] == "ok", found
    assert found[0]["found"].startswith("a leads, epoch"), found


def test_the_leader_is_killed_while_a_device_soaks(pair):
    """Until a request ends the soak, behind the change of leaders."""
    pair.let_lead("a")
    started = pair.ask("rollout", "start", "tiny@2", "--phase", "100%",
                       "--soak", "0s", "--soak-requests", "1")["id"]
    until("it soaks", lambda: (pair.ask(
        "device", "get", "gw")["models"][0].get("execution") or {}).get(
            "state") == "soaking")
    pair.mark("b")
    begin = moment()
    pair.running["a"].kill()
    pair.running["a"].wait()
    pair.until_leads("b", begin)
    pair.until_shown("b", never=("a", "stands-by"), a="silent", b="leads")
    until("two changes of leader", lambda: pair.metric(
        pair.ports["b"][0], "flotilla_leader_changes") >= 2)
    pair.until_metric(pair.ports["b"][0],
                      'flotilla_controllers{state="silent"}', 1)
    pair.start("a")  # people and devices know its address: it passes them on
    pair.until_said("a", "stands by")
    pair.until_shown("a", a="stands-by", b="leads")
    pair.until_metric(pair.health["b"], "flotilla_leader", 1)
    assert pair.devices["gw"].ask("hello", "tiny", max_tokens=1)[1] == "tiny@2"
    pair.cli("rollout", "wait", started, "--for", "completed", "-q")
    until("it serves tiny@2", lambda: pair.serving("tiny@2"))
    pair.nothing_was_done_twice()


def test_a_leader_that_was_stopped_and_goes_on_does_nothing(pair):
    pair.let_lead("b")
    old = pair.epoch()
    pair.mark("a")
    begin = moment()
    stopped(pair.running["b"].pid)
    pair.until_leads("a", begin)
    pair.cli("rollout", "rollback", "--release", "tiny@2", "--everywhere",
             "--confirm", "tiny@2", "--reason", "drill", "--wait")
    until("it is back", lambda: pair.serving("tiny@1"))
    orders = pair.sql("SELECT count(*) FROM ord")
    pair.mark("b")
    pair.mark("a")
    pair.running["b"].send_signal(signal.SIGCONT)
    pair.until_said("b", "another controller leads since epoch %d" % old)
    pair.until_said("b", "stands by")
    assert pair.running["b"].poll() is None
    assert not pair.said("b", "connected to")
    pair.until_gw_is_heard()
    assert not pair.said("a", "no broker"), "it took the broker away"
    assert pair.sql("SELECT count(*) FROM ord") == orders
    until("both tell the same", lambda: same(
        pair.through("b", "rollout", "list"), pair.ask("rollout", "list")))
    until("it serves tiny@1", lambda: pair.serving("tiny@1"))
    pair.nothing_was_done_twice()


def test_sessions_of_the_leader_that_end_change_nothing(pair):
    pair.let_lead("a")
    stopped(pair.running["b"].pid)  # a slow leader would lose its lead to it
    old = pair.epoch()
    pair.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
             " WHERE pid <> pg_backend_pid() AND application_name LIKE"
             " 'flotilla-%'")
    until("it stores again", lambda: pair.try_through(
        "a", "rollout", "list") is not None)
    assert pair.until_beats(2) == old
    pair.running["b"].send_signal(signal.SIGCONT)
    assert pair.cli("audit", "verify")[0] == 0


def people_are_told(pair):
    """Each of a crowd, while the database says nothing: who is in the midst of
    a call, and who comes meanwhile.  How soon: tests/bench/database_loss.py."""
    told = []
    with open(pair.admin_token, encoding="utf-8") as file:
        token = file.read().strip()  # who has none is refused without a look

    def ask():
        def is_refused():
            status, _, answer = pair.get(pair.ports["a"][0], "/v1/devices",
                                         token)
            if status == 503:
                told.append(answer["type"].rsplit("/", 1)[1])
            return status == 503 or Seen(status)
        until("503", is_refused)

    crowd = [threading.Thread(target=ask, daemon=True) for _ in range(4)]
    for one in crowd:
        one.start()
    for one in crowd:
        joined(one)
    assert len(told) == 4 and set(told) <= {"db.unreachable", "lead.none"}


def test_a_leader_without_its_database_leaves_the_fleet_to_the_other(pair):
    pair.let_lead("a")
    old = pair.epoch()
    pair.mark("a")
    pair.mark("b")
    # Who comes when the other leads is passed on to it: it waits for them.
    stopped(pair.running["b"].pid)
    begin = moment()
    pair.cut.is_cut = True
    people_are_told(pair)
    until("it is not ready", lambda: pair.get(
        pair.health["a"], "/ready")[:2] == (503, "1"))
    assert pair.get(pair.health["a"], "/health")[0] == 200
    pair.running["b"].send_signal(signal.SIGCONT)
    pair.until_leads("b", begin)
    assert pair.epoch() == old + 1
    started = pair.through("b", "rollout", "start", "tiny@3", "--phase",
                           "100%", "--soak", "500ms")["id"]
    pair.mark("b")
    pair.cut.is_cut = False
    pair.until_said("a", "another controller leads since epoch %d" % old)
    pair.until_said("a", "stands by")
    pair.until_gw_is_heard()
    assert not pair.said("b", "no broker"), "it took the broker away"

    def ended_one():
        one = pair.ask("rollout", "get", started)
        return one if one["state"] in ("completed", "halted") else \
            Seen(one["state"])

    ended = until("its end", ended_one)
    assert ended["state"] == "completed", [
        d["error"] for d in ended["devices"]]
    assert pair.cli("audit", "verify")[0] == 0
    pair.nothing_was_done_twice()


def test_a_leader_that_ends_in_good_order_waits_for_nobody(pair):
    """It gives its lease back; who looks at that while a lease would hold is
    no matter of time, but of test_lease."""
    pair.let_lead("b")
    pair.mark("a")
    old = pair.epoch()
    begin = moment()
    stopped(pair.running["a"].pid)
    pair.running["b"].terminate()
    assert pair.running["b"].wait(HANG_S) == 0
    epoch, _, held = pair.lease()
    assert (epoch, held) == (old, 0)
    pair.running["a"].send_signal(signal.SIGCONT)
    pair.until_leads("a", begin)
    assert pair.epoch() == old + 1


def test_who_comes_while_nobody_leads_is_told_so(pair):
    """The leader is killed, and the other cannot take its place: it does not
    reach the database until later."""
    pair.start("b")
    pair.until_said("b", "stands by")
    pair.let_lead("a")
    pair.cuts["b"].is_cut = True
    pair.running["a"].kill()
    pair.running["a"].wait()

    def refusal():
        answer = pair.get(pair.ports["b"][0], "/v1/devices")
        return answer[0] == 503 and answer

    _, retry, told = until("503", refusal)
    assert retry == "1"
    assert told["type"].endswith("lead.none"), told
    until("and is not ready", lambda: pair.get(
        pair.health["b"], "/ready")[:2] == (503, "1"))
    pair.cuts["b"].is_cut = False
    pair.until_said("b", "lease leads, epoch")
    pair.start("a")


def test_no_event_is_lost(pair):
    """Those that came while nobody led are sent again, 30 s later at most."""
    until("events of all before", lambda: pair.sql(
        "SELECT count(*) > 20 FROM event") == [["t"]])
    until("every event", lambda: pair.missing() == [])
    pair.nothing_was_done_twice()
