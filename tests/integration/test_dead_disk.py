"""A disk that is gone under a device that serves: what is in memory is
answered, what is not says so."""
import collections
import json
import os

import pytest

import fleet as F
from dead_disk import Disk
from test_packed import Device, published  # noqa: F401
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

    def start(self, more="", limits=None):
        super().start(more + "listen:\n  - unix:%s\n" % self.api, limits)

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
