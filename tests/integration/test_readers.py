"""Others in the folder of a controller that runs: who reads its database takes
nothing along, and who deletes or replaces a file of it is told of at once."""
import http.client
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading

import pytest

from controller_parts import BIN, F, Controller, metric
from waits import HANG_S, joined, until

QUERY = "select count(*) from audit"


@pytest.fixture
def one(tmp_path_factory):
    controller = Controller(str(tmp_path_factory.mktemp("c"))).start()
    yield controller
    if controller.process is not None:
        controller.stop(signal.SIGKILL)


def file_of(controller, ends=""):
    return os.path.join(controller.dir, "control.db" + ends)


def locks(controller):
    """The kernel's view of the controller's locks on control.db."""
    wanted = ":%d" % os.stat(file_of(controller)).st_ino
    with open("/proc/locks") as file:
        rows = [line.split() for line in file]
    return [row for row in rows if row[5].endswith(wanted) and
            int(row[4]) == controller.process.pid]


def make(controller, name):
    """Something that is acknowledged: a group."""
    answer = controller.ask("POST", "/v1/groups", {"name": name})
    assert answer.status == 201, answer.body


def groups(controller):
    return {item["name"] for item in controller.ask(
        "GET", "/v1/groups?limit=1000").json["items"]}


def with_shell(controller, _):
    base = sqlite3.connect(file_of(controller))
    base.execute(QUERY).fetchall()
    base.close()


def with_backup(controller, folder):
    base = sqlite3.connect(file_of(controller))
    copy = sqlite3.connect(os.path.join(folder, "copy.db"))
    base.backup(copy)
    copy.close()
    base.close()


def with_cp(controller, folder):
    for ends in ("", "-wal", "-shm"):
        shutil.copy(file_of(controller, ends), folder)


def with_a_second_controller(controller, _):
    done = subprocess.run(
        [os.path.join(BIN, "flotilla-controller"), "--data", controller.dir,
         "--fleet", "test"], capture_output=True, timeout=HANG_S)
    assert done.returncode != 0, done.stdout


@pytest.mark.parametrize("reads", [with_shell, with_backup, with_cp,
                                   with_a_second_controller])
def test_what_was_acknowledged_is_there_after_a_reader_and_a_kill(
        one, reads, tmp_path):
    made = set()
    for number in range(3):
        assert locks(one), "the kernel knows of no lock"
        reads(one, str(tmp_path))
        assert os.path.exists(file_of(one, "-wal"))
        name = "g%d" % number
        make(one, name)
        made.add(name)
    one.stop(signal.SIGKILL)
    one.start()
    assert made <= groups(one)
    assert one.ask("GET", "/v1/audit/verify").json["ok"]


class Worker(threading.Thread):
    """Makes groups until the controller is gone, and counts the acknowledged."""

    def __init__(self, controller, first):
        super().__init__(daemon=True)
        self.controller, self.number, self.made = controller, first, []

    def run(self):
        try:
            while True:
                name = "k%d" % self.number
                self.number += 1
                make(self.controller, name)
                self.made.append(name)
        except (OSError, http.client.HTTPException):
            pass  # it was killed


def test_kills_with_a_reader_lose_nothing_that_was_acknowledged(one):
    """FLOTILLA_KILLS=N takes more of them."""
    made, opened = set(), None
    for kill in range(int(os.environ.get("FLOTILLA_KILLS", "8"))):
        worker = Worker(one, kill * 100000)
        worker.start()
        until("it writes", lambda: worker.made)
        with_shell(one, None)
        stays = sqlite3.connect(file_of(one)) if kill % 2 else None
        if stays:
            cursor = stays.execute("select * from audit")
            cursor.fetchone()  # a snapshot that holds the log
        wanted = len(worker.made) + kill % 7
        until("more is written", lambda: len(worker.made) > wanted)
        one.stop(signal.SIGKILL)
        joined(worker)
        made |= set(worker.made)
        if opened:
            opened.close()
        opened = stays
        one.start()
        for name in worker.made:
            assert one.ask("GET", "/v1/groups/" + name).status == 200, name
    one.stop(signal.SIGKILL)
    one.start()
    base = sqlite3.connect(file_of(one))
    there = {row[0] for row in base.execute("select name from fleet_group")}
    base.close()
    assert made <= there
    assert one.ask("GET", "/v1/audit/verify").json["ok"]
    print("%d acknowledged, %d lost" % (len(made), len(made - there)))


def test_a_program_that_closes_a_file_that_sqlite_holds_is_ended(tmp_path):
    """With the library that all controllers and agents of these stories have."""
    if F.preloaded is None:
        pytest.skip("FLOTILLA_LOCKS names no library")
    closes = ("import os, sqlite3, sys; base = sqlite3.connect(sys.argv[1]);"
              "base.execute('create table t(a)'); base.%s;"
              "os.close(os.open(sys.argv[1], 0))")

    def code(how):
        return subprocess.run(
            [sys.executable, "-c", closes % how, str(tmp_path / how)],
            env=F.with_preloaded(os.environ), capture_output=True,
            timeout=HANG_S).returncode

    assert code("close()") == 0
    assert code("commit()") == -signal.SIGABRT


def removed(controller):
    os.unlink(file_of(controller, "-wal"))


def replaced(controller):
    shutil.copy(file_of(controller), file_of(controller, ".new"))
    os.rename(file_of(controller, ".new"), file_of(controller))


@pytest.mark.parametrize("harms", [removed, replaced])
def test_a_file_that_somebody_took_away_is_told_and_nothing_is_acknowledged(
        one, harms):
    make(one, "before")
    harms(one)
    refused = one.ask("POST", "/v1/groups", {"name": "after"})
    assert refused.status == 503, refused.body
    assert refused.json["code"] == "db.replaced", refused.body
    ready = until("it says so", lambda: next(
        (a for a in [one.ask("GET", "/readyz")]
         if a.json["database"] == "db.replaced"), None))
    assert (ready.status, ready.json["status"]) == (503, "failing")
    assert metric(one, "store_failed") == 1
    doctor = subprocess.run(
        [os.path.join(BIN, "flotilla"), "doctor"], capture_output=True,
        text=True, timeout=HANG_S, env=dict(
            os.environ, FLOTILLA_CONTROLLER=one.rest,
            FLOTILLA_TOKEN_FILE=one.facts["token"]))
    assert "database" in doctor.stdout and "db.replaced" in doctor.stdout
    assert doctor.returncode != 0
    refused = one.ask("POST", "/v1/groups", {"name": "later"})
    assert refused.json["code"] == "db.replaced", refused.body
    assert one.ask("GET", "/v1/groups").status == 200


def test_an_idle_controller_sees_that_its_file_was_taken_away(one):
    removed(one)
    until("it says so", lambda: one.ask(
        "GET", "/readyz").json["database"] == "db.replaced")
