"""A disk that is gone under a device that serves: what is in memory is
answered, what is not says so.  An engine that does not start says so too."""
import collections
import json
import os
import signal
import subprocess

import pytest

import fleet as F
import sets
from dead_disk import Disk
from test_packed import Device, programs, published, stopped  # noqa: F401
from waits import HANG_S

ASKED = int(os.environ.get("FLOTILLA_ANSWERS", "200"))


class OnDisk(Device):
    """A device whose state has a disk of its own; the rest has not."""

    def __init__(self, published, folder):
        self.disk = Disk(os.path.join(folder, "disk"))
        if not self.disk.is_mounted:
            pytest.skip("no file system can be mounted here")
        outside, published.dir = published.dir, self.disk.path
        try:
            super().__init__(published)
        finally:
            published.dir = outside
        self.config = os.path.join(folder, "agent.yaml")
        self.log = os.path.join(folder, "agent.log")
        self.api = os.path.join(folder, "api.sock")

    def start(self, more="heartbeat: 1s\nhold: 5m\n", limits=None):
        super().start(more + "listen:\n  - unix:%s\n" % self.api, limits)

    def engines(self):
        return sets.children(self.process.pid)

    def health(self):
        connection = F.UnixConnection(self.api, HANG_S)
        connection.request("GET", "/health")
        answer = connection.getresponse()
        body = json.loads(answer.read())
        connection.close()
        return answer.status, body

    def degraded(self):
        return self.health()[1].get("degraded", {}).get("id")

    def close(self):
        super().close()
        self.disk.close()

    def ask(self, number):
        connection = F.UnixConnection(self.api, HANG_S)
        connection.request("POST", "/v1/completions", json.dumps(
            {"prompt": "valve %d %s" % (number, chr(97 + number % 26) * 3),
             "max_tokens": 8}))
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        return answer.status, json.loads(text)

    def ask_all(self, count=ASKED):
        """How many answers of which kind, by status and id of the error."""
        kinds = collections.Counter()
        for number in range(count):
            status, body = self.ask(number)
            kinds[status, body.get("error", {}).get("code")] += 1
        return kinds


@pytest.fixture
def device(published, tmp_path):  # noqa: F811
    device = OnDisk(published, str(tmp_path))
    try:
        device.start()
        device.install_for_good(0)
        yield device
    finally:
        device.close()


def test_what_is_in_memory_is_answered_without_the_disk(device):
    asked = device.ask_all()
    assert set(asked) == {(200, None)}

    device.disk.die()
    assert device.ask_all() == asked
    device.wait(lambda: device.degraded())
    said = subprocess.run(
        [os.path.join(device.bin, "flotilla-agent"), "status", "--config",
         device.config], check=True, capture_output=True, text=True)
    assert "DEGRADED " in said.stdout, said.stdout
    assert device.health()[0] == 200


def test_who_asks_an_engine_that_died_with_the_disk_hears_why(device):
    device.disk.die()
    # As the kernel, at a page that it cannot read.
    sets.kill(device.engines(), signal.SIGBUS)
    status, body = device.ask(0)  # held at most until the start has failed
    assert status == 503, body
    assert body["error"]["code"].startswith("io."), body
    assert device.ask(1)[0] == 503
    status, body = device.health()
    assert (status, body["status"]) == (503, "down")
    assert device.count("flip to current") == 0 and not device.says(
        "the previous release serves")


def test_a_page_that_was_not_read_once_is_told_and_forgotten(device):
    sets.kill(device.engines(), signal.SIGBUS)
    device.wait(lambda: device.says("io.read"))  # for three heartbeats
    assert device.ask(0)[0] == 200  # it was read again

    device.wait(lambda: not device.degraded())
    assert device.says("over: ")


NEVER_STARTS = """#!/bin/sh
test -e "%(folder)s/heals" && exec "%(real)s" "$@"
exit 1
"""


def test_an_engine_that_does_not_start_is_down_and_not_loading(
        published, stopped, tmp_path):  # noqa: F811
    device = Device(published, stopped)
    try:
        device.bin = programs(device, str(tmp_path), "flotilla-engine",
                              NEVER_STARTS)
        device.start()

        def health():
            connection = F.UnixConnection(
                os.path.join(device.state, "api.sock"), HANG_S)
            connection.request("GET", "/health")
            answer = connection.getresponse()
            body = json.loads(answer.read())
            connection.close()
            return answer.status, body

        def said():
            answer = health()
            return answer if answer[1]["status"] != "loading" else None
        status, body = device.wait(said)
        assert (status, body["status"]) == (503, "down"), body
        assert body["why"] in ("engine.crash", "process.failed"), body

        def slot():
            said = subprocess.run(
                [os.path.join(device.bin, "flotilla-agent"), "status",
                 "--config", device.config, "-o", "json"], check=True,
                capture_output=True, text=True)
            return F.model_status(json.loads(said.stdout))["slots"]["current"]

        device.wait(lambda: slot()["state"] == "down")
        (tmp_path / "heals").touch()
        device.wait(lambda: health()[0] == 200)
        assert slot()["state"] == "serving"
        assert set(health()[1]) == {"status", "model"}
    finally:
        device.close()
