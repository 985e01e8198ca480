"""The controller's tables in a PostgreSQL server: a whole story, the server
killed in the middle of it, and a second controller.  Skipped without Debian's
postgresql."""
import json
import os
import shutil
import signal
import subprocess
import tempfile

import pytest

import fleet as F
import sets
from conftest import ROOT, Small
from waits import HANG, HANG_S, same, until

SCRIPT = os.path.join(ROOT, "tests", "postgresql.sh")


class Server:
    """A PostgreSQL of this test's own, which syncs as in production."""

    def __init__(self):
        # Its user is not root, and must reach the folder.
        self.dir = tempfile.mkdtemp(prefix="flo-pg-", dir="/tmp")
        self.address = ("postgresql:///postgres?host=%s&user=flotilla"
                        % self.dir)
        done = subprocess.run([SCRIPT, "init", self.dir],
                              capture_output=True, text=True, check=False)
        if done.returncode == 77:
            shutil.rmtree(self.dir)
            pytest.skip(done.stdout.strip())
        assert done.returncode == 0, done.stdout + done.stderr
        self.process = None

    def start(self):
        def up():
            if self.process is None or self.process.poll() is not None:
                self.process = subprocess.Popen(
                    [SCRIPT, "run", self.dir, "on"])
            return subprocess.run([SCRIPT, "ready", self.dir],
                                  capture_output=True).returncode == 0
        until("the server", up)
        return self

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def close(self):
        self.process.send_signal(signal.SIGINT)
        self.process.wait()
        shutil.rmtree(self.dir, ignore_errors=True)


@pytest.fixture(scope="module")
def server():
    one = Server().start()
    yield one
    one.close()


@pytest.fixture(scope="module")
def fleet(folder, bin_dir, server):
    one = Small(folder, bin_dir, name="test")
    one.up(["gw"], "--store", server.address)
    one.publish_whole("tiny@1", "tiny-v1.Q4_0.gguf", "golden-tiny-v1.json")
    one.publish_whole("tiny@2", "tiny-v2.Q4_0.gguf", "golden-tiny-v2.json")
    yield one
    one.close()


def test_releases_are_rolled_out_and_taken_back(fleet):
    fleet.roll("tiny@1")
    fleet.roll("tiny@2")
    until("it serves tiny@2", lambda: fleet.serving("tiny@2"))
    fleet.cli("rollout", "rollback", "--release", "tiny@2", "--everywhere",
              "--confirm", "tiny@2", "--reason", "drill", "--wait")
    until("it serves tiny@1", lambda: fleet.serving("tiny@1"))
    assert fleet.cli("audit", "verify")[0] == 0
    data = os.path.join(fleet.dir, "controller")
    assert not os.path.exists(os.path.join(data, "control.db"))


def slots(fleet):
    """Versions of the device, as it says itself: serving, on trial."""
    said = F.model_status(json.loads(fleet.program(
        "flotilla-agent", "status", "--config", fleet.devices["gw"].config,
        "-o", "json")[1]))["slots"]
    return [(said[name] or {}).get("version")
            for name in ("current", "candidate")]


def test_a_server_killed_in_a_rollout_loses_nothing(fleet, server):
    fleet.publish_whole("tiny@3", "tiny-v2.Q4_0.gguf", "golden-tiny-v2.json")
    # It soaks until it is asked, and that comes when the server is dead.
    started = fleet.ask("rollout", "start", "tiny@3", "--phase", "100%",
                        "--soak", "100ms", "--soak-requests", "1")["id"]
    until("it soaks", lambda: (fleet.ask(
        "device", "get", "gw")["models"][0].get("execution") or {}).get(
            "state") == "soaking")
    said = os.path.join(fleet.dir, "wait.log")
    with open(said, "wb") as log:
        waiting = subprocess.Popen(
            [fleet.path("flotilla"), "rollout", "wait", started, "--timeout",
             HANG], env=fleet.env, stdout=log, stderr=log)
    until("the watcher sees it", lambda: "running" in
          open(said).read())
    server.kill()
    # Killed within a commit: the controller asks for half a minute whether it
    # ended well, and says meanwhile that nobody leads.
    until("the watcher tries again", lambda: "; trying again" in
          open(said).read())
    code, _, err = fleet.cli("rollout", "pause", started, check=False)
    assert code == 6 and ("db.unreachable" in err or "lead.none" in err), (
        code, err)
    assert fleet.devices["gw"].ask("hello", "tiny",
                                   max_tokens=2)[1] == "tiny@3"
    until("its soak is over", lambda: same(slots(fleet), ["3", None]))
    server.start()
    until("the controller has it again", lambda: fleet.cli(
        "rollout", "list", check=False)[0] == 0)
    assert waiting.wait(HANG_S) == 0, open(said).read()
    assert "the controller answers again, after" in open(said).read()
    until("it serves", lambda: fleet.serving("tiny@3"))

    def planned():  # from what the device reports
        plan = fleet.ask("rollout", "start", "tiny@3", "--dry-run")["plan"]
        return plan["has"], plan["takes"]
    until("the plan", lambda: same(planned(), (1, 0)))


def check_second(bin_dir, data, server):
    done = subprocess.run(
        [os.path.join(bin_dir, "flotilla-controller"), "--data", data,
         "--store", server.address, "--check"],
        capture_output=True, text=True, timeout=HANG_S)
    assert done.returncode != 0
    return done.stderr


def test_a_second_controller_is_refused(fleet, server, bin_dir, folder):
    """One without the fleet's keys could never lead; one with them does not
    stand by where each starts a broker."""
    second = os.path.join(folder, "second")
    assert "cannot lead" in check_second(bin_dir, second, server)
    for part in ("pki", "keys"):
        sets.copy(os.path.join(fleet.dir, "controller", part),
                  os.path.join(second, part))
    assert "another controller uses this database" in check_second(
        bin_dir, second, server)


def test_a_password_in_the_address_is_refused_and_not_repeated(bin_dir, folder):
    done = subprocess.run(
        [os.path.join(bin_dir, "flotilla-controller"), "--data",
         os.path.join(folder, "third"), "--store",
         "postgresql://u:hunter2@127.0.0.1/x", "--check"],
        capture_output=True, text=True, timeout=HANG_S)
    assert done.returncode == 2, done
    assert "passfile" in done.stderr and "hunter2" not in done.stderr


def test_a_controller_that_starts_again_knows_everything(fleet, server):
    before = fleet.ask("rollout", "list")
    fleet.controller.send_signal(signal.SIGKILL)
    fleet.controller.wait()
    fleet.start_controller("--store", server.address)
    fleet.online(["gw"])
    assert [r["id"] for r in fleet.ask("rollout", "list")] == [
        r["id"] for r in before]
    fleet.publish_whole("tiny@4", "tiny-v1.Q4_0.gguf", "golden-tiny-v1.json")
    fleet.roll("tiny@4")
    assert fleet.cli("audit", "verify")[0] == 0


def test_a_row_that_was_put_by_hand_gives_no_right(fleet, server):
    """By whoever can write to the database, which is not the controller."""
    text = "flt_pat_%s_%s" % ("0" * 12, "1" * 64)
    forged = os.path.join(fleet.dir, "forged.token")
    with open(os.open(forged, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
        file.write(text)
    subprocess.run(
        ["psql", "-h", server.dir, "-U", "flotilla", "-d", "postgres", "-c",
         "INSERT INTO token (id, kind, role, secret) VALUES ('%s', 'access',"
         " 'admin', sha256('%s'))" % ("0" * 12, text)],
        check=True, capture_output=True)
    code, _, err = fleet.cli("user", "list", "--token-file", forged,
                             check=False)
    assert code != 0 and "rest.auth" in err, (code, err)
    assert {token["id"]: token["sealed"] for token in fleet.ask(
        "token", "list")}["0" * 12] is False
    assert fleet.cli("user", "list")[0] == 0
