"""An agent of whose allocations some fail, by chance from a seed, in an update:
no verdict about a release comes of it, and the update ends when there is memory
again."""
import os
import shutil
import signal
import struct

import pytest

import draw
from waits import Seen, until

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
STARVE = os.environ.get("FLOTILLA_STARVE", os.path.join(
    ROOT, "build", "release", "tests", "libstarve.so"))


class Memory:
    """The agent's: one of `rate` allocations fails."""

    def __init__(self, folder):
        print(draw.say("allocations"))
        self.path = os.path.join(folder, "starve")
        self.library = os.path.join(folder, "libstarve.so")
        shutil.copy(STARVE, self.library)  # LD_PRELOAD knows no blanks
        self.set(0)

    def set(self, rate):
        with open(self.path, "ab"):
            pass
        with open(self.path, "r+b") as file:
            file.write(struct.pack("<QQ", rate, draw.seed()))
            file.truncate(32)

    def failed(self):
        with open(self.path, "rb") as file:
            return struct.unpack("<4Q", file.read())[2]


@pytest.fixture(scope="module")
def up(fleet):
    fleet.up(["gw"])
    fleet.publish_whole("tiny@1", "tiny-v2.Q4_0.gguf", "golden-tiny-v2.json")
    fleet.publish_whole("tiny@2", "tiny-v2.1.Q4_0.gguf",
                        "golden-tiny-v2.1.json")
    fleet.roll("tiny@1")
    fleet.memory = Memory(fleet.dir)
    device, plain = fleet.devices["gw"], fleet.env
    device.stop()
    fleet.env = dict(plain, LD_PRELOAD=fleet.memory.library,
                     FLO_STARVE=fleet.memory.path)
    device.start()
    fleet.hungry, fleet.env = fleet.env, plain
    fleet.online(["gw"])
    return fleet


def alive(fleet):
    """Starts it again, as its unit does.  It may refuse to start without
    memory.  paho goes on where it was given none: then its thread ends the
    agent; code of ours never does."""
    device = fleet.devices["gw"]
    code = device.process.poll()
    if code is None:
        return
    with open(device.log, encoding="utf-8", errors="replace") as file:
        said = file.read()[fleet.read:]
    fleet.read += len(said)
    if code == -signal.SIGSEGV:
        frames = [line for line in said.split("\n") if "[0x" in line]
        assert any("libpaho" in frame for frame in frames), said
        assert not any("flotilla-agent" in frame for frame in frames), said
    else:
        assert code == 1 and "error[memory.exhausted]" in said, (code, said)
    plain, fleet.env = fleet.env, fleet.hungry
    device.start()
    fleet.env = plain


@pytest.mark.parametrize("rate,enough", [(20000, 1), (2000, 10), (200, 100)])
def test_no_verdict_comes_of_allocations_that_fail(up, rate, enough):
    device = up.devices["gw"]
    up.read = begin = os.path.getsize(device.log)
    before = up.memory.failed()
    up.memory.set(rate)
    started = up.ask("rollout", "start", "tiny@2", "--phase", "100%",
                     "--soak", "50ms", "--below-floor", "--lift")["id"]

    def is_starved():
        alive(up)
        return up.memory.failed() - before >= enough or Seen(up.memory.failed())
    until("it starved", is_starved)
    up.memory.set(0)

    def is_over():
        alive(up)
        state = up.ask("rollout", "get", started)["state"]
        return state != "running" or Seen(up.rollout_device(started, "gw"))
    until("the end", is_over)
    assert up.ask("rollout", "get", started)["state"] == "completed"
    until("it serves the next", lambda: up.serving("tiny@2"))
    with open(device.log, encoding="utf-8", errors="replace") as file:
        said = file.read()[begin:]
    for word in ("security", " deny", " sig.", " meta.", "rolled-back"):
        assert word not in said, said
    up.roll("tiny@1", "--below-floor", "--lift")
