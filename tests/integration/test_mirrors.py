"""A device fetches from the mirrors of its configuration before it asks the
controller; a mirror that is too slow for the job, or gone, is left.

A mirror is the controller's listener behind a narrow line: its certificate and
its files are real."""
import socket
import threading

import pytest

from waits import pace

SLOW = 2000  # bytes a second
FREE = 32768  # of a connection: certificates and heads
JOB_MS = 300000  # at 2 kB/s a third of the model comes within it


class Mirror:
    """Passes on bytes of a port, each connection at this rate."""

    def __init__(self, port, rate=None):
        self.port, self.rate, self.sent, self.peers = port, rate, 0, []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = "https://127.0.0.1:%d" % self.listener.getsockname()[1]
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            try:
                near = self.listener.accept()[0]
            except OSError:
                return  # closed
            far = socket.create_connection(("127.0.0.1", self.port))
            self.peers += near, far
            for ends in ((near, far, None), (far, near, self.rate)):
                threading.Thread(target=self.pour, args=ends, daemon=True).start()

    def pour(self, source, sink, rate):
        passed = 0
        try:
            while data := source.recv(65536 if rate is None else rate // 10):
                sink.sendall(data)
                passed += len(data)
                if source in self.peers[1::2]:
                    self.sent += len(data)
                if rate is not None and passed > FREE:
                    pace(len(data) / rate)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # one side has gone

    def close(self):
        if self.listener.fileno() >= 0:
            self.listener.shutdown(socket.SHUT_RDWR)  # it wakes accept()
        self.listener.close()
        for one in self.peers:
            one.close()


@pytest.fixture(scope="module")
def up(fleet):
    return fleet.up(["device"])


@pytest.fixture
def mirror(up):
    made = []
    port = int(up.devices_url.rsplit(":", 1)[1])

    def make(rate=None):
        made.append(Mirror(port, rate))
        return made[-1]
    yield make
    for one in made:
        one.close()


def begin(up, *urls):
    device = up.devices["device"]
    device.stop()
    device.write_config("mirrors: [%s]\n" % ", ".join('"%s"' % one for one in urls))
    device.start()
    up.online(["device"])
    return device


def roll(up, release, model, golden):
    up.publish_whole(release, model, golden)
    return up.roll(release, "--step-deadline", "%dms" % JOB_MS)["transfer"]


def said(device):
    with open(device.log, encoding="utf-8") as file:
        return file.read()


def test_a_slow_mirror_is_told_and_left_for_the_next(up, mirror):
    slow, right = mirror(SLOW), mirror()
    device = begin(up, slow.url, right.url)

    moved = roll(up, "tiny@1.0.0", "tiny-v1.Q4_0.gguf", "golden-tiny-v1.json")

    assert "the rest of the job's time" in said(device)
    assert "no other mirror is left to try" not in said(device)
    assert 0 < slow.sent < moved["bytes"] / 2 < right.sent


def test_mirrors_that_are_gone_cost_no_update(up, mirror):
    gone = [mirror() for _ in range(7)]
    for one in gone:
        one.close()
    device = begin(up, *[one.url for one in gone])

    roll(up, "tiny@2.0.0", "tiny-v2.Q4_0.gguf", "golden-tiny-v2.json")

    for one in gone:
        assert said(device).count(one.url) == 1
