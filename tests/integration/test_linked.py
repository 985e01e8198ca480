"""Releases for a program without an API: a probe by a command, a link and a
hook, a soak by the program's health, and the way back."""
import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request

import pytest

from runtime_parts import Runtimes
from waits import HANG_S, same, until

PROGRAM = os.path.join(os.path.dirname(os.path.abspath(__file__)),
                       "linked_program.py")

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0, reason="files of runtimes.d belong to root")


class Gate:
    """The program, and releases for it."""

    def __init__(self, fleet):
        self.runtimes = Runtimes(fleet, model="gate")
        self.fleet, self.device = fleet, self.runtimes.device
        self.link = os.path.join(self.device.state, "links", "gate")
        self.pid_file = os.path.join(fleet.dir, "gate.pid")
        self.log = os.path.join(fleet.dir, "hook.log")
        self.slow = os.path.join(fleet.dir, "slow")
        self.process = subprocess.Popen(
            [sys.executable, PROGRAM, "serve", self.link, self.pid_file])
        until("the program", lambda: os.path.exists(self.pid_file))
        with open(self.pid_file + ".port", encoding="utf-8") as file:
            self.url = "http://127.0.0.1:%d/health" % int(file.read())
        self.write({"signal": "HUP", "pid_file": self.pid_file})

    def write(self, hook):
        self.runtimes.write("gate", dict({
            "api": "none", "memory": "256MiB", "ready": "10m",
            "check": [sys.executable, PROGRAM, "check", "{tree}", "{file}"],
            "read": [os.path.dirname(PROGRAM), sys.prefix],
            "soak_health": self.url, "soak_every": "100ms",
            "soak_failures": 100}, **hook))

    def write_script(self):
        """A hook that is a script, and waits at the pipe `slow`."""
        os.mkfifo(self.slow)
        self.write({"activate": [
            "/bin/sh", "-c",
            'echo "$1 $2" >> %s; if [ -p %s ]; then cat %s; fi; '
            "kill -HUP $(cat %s)" % (self.log, self.slow, self.slow,
                                     self.pid_file),
            "hook", "{action}", "{version}"]})

    def let_go(self):
        """No hook waits any more: the pipe is opened, closed and gone."""
        end = os.open(self.slow, os.O_RDWR)
        os.unlink(self.slow)
        os.close(end)

    def hooks(self):
        with open(self.log, encoding="utf-8") as file:
            return file.read().split("\n")[:-1]

    def publish(self, version, weights, expected=0.5):
        """With flotilla release create, as an author does."""
        files = {"weights.json": weights, "sample.json": [1, 2],
                 "golden.json": {"format": "flotilla-golden-2", "cases": [
                     {"id": "sample", "file": "sample.json", "expect": [
                         {"exit": 0},
                         {"json": "/score", "within": [expected - 0.01,
                                                       expected + 0.01]},
                         {"json": "/classes", "equals": 2}]}]}}
        folder = os.path.join(self.fleet.dir, "release-" + version)
        os.makedirs(folder)
        for name, content in files.items():
            with open(os.path.join(folder, name), "w",
                      encoding="utf-8") as out:
                json.dump(content, out)
        at = lambda name: os.path.join(folder, name)  # noqa: E731
        self.fleet.cli("release", "create", "gate@" + version, "--runtime",
                       "gate", "--file", "weights.json=" + at("weights.json"),
                       "--file", "sample.json=" + at("sample.json"),
                       "--golden", at("golden.json"), "--sign-with",
                       self.fleet.key, "--publish")
        return "gate@" + version

    def roll(self, release, policy, wait):
        started = self.runtimes.post("POST", "/v1/rollouts", json.dumps({
            "release": release, "phases": [{"share_pct": 100}],
            "policy": policy}).encode())
        self.fleet.cli("rollout", "wait", started["id"], "--for", wait, "-q")
        return self.fleet.rollout_device(started["id"], "gw")

    def health(self):
        try:
            with urllib.request.urlopen(self.url, timeout=HANG_S) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            return json.load(error)

    def serves(self, version):
        return self.health()["version"] == version and \
            os.path.exists(os.path.join(self.link, "weights.json"))


@pytest.fixture(scope="module")
def gate(fleet):
    one = Gate(fleet)
    yield one
    one.process.kill()
    one.process.wait()


QUICK = {"soak_ms": 500, "soak_crashes_max": 0,
         "probe_timeout_ms": HANG_S * 1000}
GOOD = {"version": "1", "w": [0.1, 0.2]}


def test_a_good_release_is_linked_and_its_program_is_told(gate):
    before = gate.health()["readings"]
    gate.roll(gate.publish("1", GOOD), QUICK, "completed")
    until("it was told once", lambda: same(
        gate.health()["readings"], before + 1))
    assert gate.serves("1")
    assert os.readlink(gate.link).startswith("../trees/sha256-")


def test_requests_for_it_are_refused_and_no_list_names_it(gate):
    connection = gate.device.connection()
    connection.request("POST", "/v1/chat/completions", json.dumps({
        "model": "gate", "messages": [{"role": "user", "content": "?"}]}),
        {"Content-Type": "application/json"})
    answer = connection.getresponse()
    body = json.loads(answer.read())
    assert answer.status == 422 and "has no API" in body["error"]["message"]
    assert b"gate" not in gate.device.get("/v1/models")[1]


def test_a_bad_release_is_stopped_by_its_numbers(gate):
    link = os.readlink(gate.link)
    row = gate.roll(gate.publish("2", {"version": "2", "w": [9, 9]}), QUICK,
                    "halted")
    assert row["error"]["id"] == "probe.golden", row
    assert "/score" in row["error"]["what"], row
    assert os.readlink(gate.link) == link and gate.serves("1")


def test_one_that_breaks_the_health_goes_back(gate):
    """While it starts, or later: the program reads when it is told to."""
    gate.write({"signal": "HUP", "pid_file": gate.pid_file, "ready": "1s",
                "soak_failures": 2})
    row = gate.roll(gate.publish("3", dict(GOOD, version="3", is_well=False)),
                    dict(QUICK, soak_ms=600000), "halted")
    assert row["error"]["id"] == "soak.health", row
    until("version 1 again", lambda: gate.serves("1"))


def test_a_hook_that_fails_goes_back(gate):
    gate.write({"activate": ["/bin/sh", "-c", "echo no room >&2; exit 4"]})
    row = gate.roll(gate.publish("4", dict(GOOD, version="4")), QUICK,
                    "halted")
    assert row["error"]["id"] == "hook.failed", row
    assert "status 4: no room" in row["error"]["what"], row


def test_an_agent_that_is_killed_in_the_hook_runs_it_again(gate):
    gate.write_script()
    release = gate.publish("5", dict(GOOD, version="5"))
    started = gate.runtimes.post("POST", "/v1/rollouts", json.dumps({
        "release": release, "phases": [{"share_pct": 100}],
        "policy": QUICK}).encode())
    until("the hook", lambda: os.path.exists(gate.log) and
          "activate 5" in gate.hooks())
    gate.device.stop(signal.SIGKILL)
    assert not gate.serves("5")
    gate.let_go()
    gate.device.start()
    gate.fleet.cli("rollout", "wait", started["id"], "--for", "completed",
                   "-q")
    until("version 5", lambda: gate.serves("5"))
    assert gate.hooks().count("activate 5") == 2


def test_a_model_that_is_removed_has_no_link(gate):
    gate.fleet.cli("model", "remove", "gate", "--everywhere", "--confirm",
                   "gate")
    until("no link", lambda: not os.path.lexists(gate.link))
    until("the hook", lambda: gate.hooks()[-1].startswith("remove"))
