"""Ready means ready: what /readyz, the metric, the doctor and the alert's
message say of a controller follows its last commit, whatever made it fail."""
import errno
import itertools
import os
import shutil
import signal
import sqlite3
import subprocess
import threading

import pytest

from controller_parts import BIN, ROOT, Controller, metric
from test_alerts import ask, hook, receiver  # noqa: F401
from test_failing_disk import FOR_GOOD, fail_as, preload
from waits import HANG_S, joined, until

NUMBERS = itertools.count(1)


class FullDisk:
    """The controller's data is on a disk of its own, of which no byte is free."""
    code, reads = "disk.full", True

    def __init__(self, one):
        self.one = one
        self.ballast = os.path.join(one.dir, "ballast")
        os.mkdir(one.dir, 0o700)
        if os.getuid() != 0 or subprocess.run(
                ["mount", "-t", "tmpfs", "-o", "size=24m,mode=0700", "tmpfs",
                 one.dir], check=False, stderr=subprocess.DEVNULL).returncode:
            pytest.skip("mounting a tmpfs needs root")

    def env(self):
        return {}

    def fail(self):
        with open(self.ballast, "ab", buffering=0) as file:
            try:
                while file.write(b"x" * 4096):
                    pass
            except OSError:
                pass

    def work(self):
        os.unlink(self.ballast)

    def close(self):
        subprocess.run(["umount", "-l", self.one.dir], check=False)


class DeadDisk:
    """Each write of the database fails."""
    code, call, number = "db.failed", "pwrite", errno.EIO
    reads = True

    def __init__(self, one):
        os.mkdir(one.dir, 0o700)
        self.more = preload(os.path.dirname(one.dir))
        self.file = self.more["FLO_FAILS"]

    def env(self):
        return self.more

    def fail(self):
        fail_as(self.file, self.call, "control.db", FOR_GOOD,
                self.number)

    def work(self):
        os.unlink(self.file)

    def close(self):
        pass


class UnsyncedDisk(DeadDisk):
    """Each sync of the database fails."""
    call = "fdatasync"


class UnreadDisk(DeadDisk):
    """Each read of the database fails, too, as of a card that was pulled out."""
    call = "pread,pwrite"
    reads = False


class ReadOnlyDisk(DeadDisk):
    """The kernel made the file system read-only under the open files."""
    number = errno.EROFS


class NoMemory(DeadDisk):
    """The system refuses the memory that a write needs."""
    code, number = "memory.exhausted", errno.ENOMEM


class Locked:
    """Somebody else's program writes to the database, and does not end."""
    code, reads = "db.failed", True

    def __init__(self, one):
        self.one, self.base = one, None

    def env(self):
        return {}

    def fail(self):
        self.base = sqlite3.connect(os.path.join(self.one.dir, "control.db"),
                                    isolation_level=None, timeout=HANG_S)
        self.base.execute("begin immediate")

    def work(self):
        self.base.close()

    def close(self):
        if self.base is not None:
            self.base.close()


@pytest.fixture(params=[FullDisk, DeadDisk, UnsyncedDisk, UnreadDisk, ReadOnlyDisk,
                        NoMemory, Locked],
                ids=lambda kind: kind.__name__)
def failing(request, tmp_path_factory, monkeypatch, receiver):  # noqa: F811
    one = Controller(str(tmp_path_factory.mktemp("c")))
    cause = request.param(one)
    with monkeypatch.context() as context:
        for name, value in cause.env().items():
            context.setenv(name, value)
        one.start("--webhook-private", "--webhook-ca", receiver.ca)
    yield one, cause
    one.stop(signal.SIGKILL)
    cause.close()


def make(one):
    return one.ask("POST", "/v1/groups", {"name": "g%d" % next(NUMBERS)})


def doctor(one):
    return subprocess.run(
        [os.path.join(BIN, "flotilla"), "doctor"], capture_output=True,
        text=True, timeout=HANG_S, check=False, env=dict(
            os.environ, FLOTILLA_CONTROLLER=one.rest,
            FLOTILLA_TOKEN_FILE=one.facts["token"])).stdout


def refused(one):
    """One that still found room, or its log's bytes, is followed by others."""
    answer = until("a change that is refused", lambda: next(
        (a for a in [make(one)] if a.status != 201), None))
    assert "damaged" not in answer.body.decode(), answer.body
    assert "backup" not in answer.body.decode(), answer.body
    return answer.json["code"]


def test_it_is_ready_while_its_commits_succeed_and_no_longer(
        failing, receiver):  # noqa: F811
    one, cause = failing
    ask(one, "PUT", "/v1/alert-rules/store-failing",
        {"metric": "flotilla_store_failed", "above": 0, "for_ms": 0,
         "severity": "page", "text": "it cannot write"})
    hook(one, receiver, "/well")
    assert make(one).status == 201

    cause.fail()

    assert refused(one) == cause.code
    ready = one.ask("GET", "/readyz")
    assert (ready.status, ready.json["status"], ready.json["database"]) == (
        503, "failing", cause.code)
    assert metric(one, "store_failed") == 1
    assert "it fails: " + cause.code in doctor(one)
    until("the page", lambda: receiver.news("/well") == ["firing"])
    assert one.ask("GET", "/readyz").status == 503
    assert (one.ask("GET", "/v1/groups").status == 200) == cause.reads

    cause.work()

    until("it heals by itself",
          lambda: one.ask("GET", "/readyz").status == 200)
    assert metric(one, "store_failed") == 0
    assert "it fails" not in doctor(one)
    assert make(one).status == 201
    until("the page ends",
          lambda: receiver.news("/well") == ["firing", "resolved"])


SLOW = os.environ.get("FLOTILLA_SLOW", os.path.join(
    ROOT, "build", "release", "tests", "libslow.so"))
MORE_THAN_WAIT = 80  # commits; 64 wait for a sync at most


def test_a_sync_that_does_not_end_stops_no_answer(tmp_path, monkeypatch):
    hold = str(tmp_path / "hold")
    library = shutil.copy(SLOW, tmp_path)  # LD_PRELOAD knows no paths with blanks
    one = Controller(str(tmp_path))
    with monkeypatch.context() as context:
        for name, value in (("LD_PRELOAD", library), ("FLO_SLOW_MS", "0"),
                            ("FLO_SLOW_HOLD", hold)):
            context.setenv(name, value)
        one.start()
    with open(hold + ".new", "w") as file:
        file.write("control.db-wal\n")
    os.rename(hold + ".new", hold)

    answers = {}

    def write(name):
        answers[name] = one.ask("POST", "/v1/groups", {"name": name})
    writers = [threading.Thread(target=write, args=("w%d" % i,))
               for i in range(MORE_THAN_WAIT)]
    for writer in writers:
        writer.start()

    ready = until("it says so", lambda: next(
        (a for a in [one.ask("GET", "/readyz")] if a.status == 503), None))
    assert (ready.json["status"], ready.json["database"]) == (
        "failing", "db.slow")
    assert metric(one, "store_failed") == 1
    until("those who cannot wait are refused", lambda: len(answers) > 0)
    assert one.ask("GET", "/v1/groups").status == 200
    assert one.ask("GET", "/readyz").status == 503

    os.unlink(hold)

    for writer in writers:
        joined(writer)
    until("it heals by itself",
          lambda: one.ask("GET", "/readyz").status == 200)
    there = {g["name"] for g in one.ask(
        "GET", "/v1/groups?limit=200").json["items"]}
    for name, answer in answers.items():
        assert (answer.status == 201) == (name in there), answer.body
        assert answer.status == 201 or answer.json["code"] == "db.slow"
    one.stop()
