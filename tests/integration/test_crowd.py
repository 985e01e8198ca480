"""Before CONNECT: one device that tries more and more connections, in any
state, has at most 8 of them, costs the broker little, and is named.  Nobody else
loses a session, behind the same address neither."""
import contextlib
import itertools
import os
import shutil
import signal
import socket
import subprocess
import threading

import pytest

import fleet as F
import controller_parts
from controller_parts import BIN
from crowd_parts import STATES, Crowd, inside
from mqtt_client import Refused
from waits import HANG_S, same, until

NUMBERS = itertools.count(1)
HELD = 8  # connections of one device, its session is one of them
SHARE_BYTES = 2 << 20  # of the broker's memory
NEIGHBOURS = 10
PAUSE_S = 0.003  # 20,000 tries a minute at most
SITE = "127.0.0.9"  # the address of the crowd, and of the devices beside it
GUARD = os.path.join(BIN, "flotilla-broker-guard.so")


class Device(controller_parts.Device):
    source = SITE


@pytest.fixture(scope="module")
def controller(folder):
    """It is installed where ld.so would split a path."""
    bin_dir = os.path.join(folder, "bin: of two words")
    os.mkdir(bin_dir)
    for name in ("flotilla-controller", os.path.basename(GUARD)):
        shutil.copy(os.path.join(BIN, name), bin_dir)
    one = controller_parts.Controller(folder)
    one.program = os.path.join(bin_dir, "flotilla-controller")
    one.start()
    yield one
    one.stop()


@pytest.fixture(scope="module")
def token(controller):
    return controller.enrol_token()


@pytest.fixture(scope="module")
def neighbours(controller, folder, token):
    """Devices behind the same address, and their sessions."""
    return [Device(controller, folder, "by-%d" % number, token).connect()
            for number in range(NEIGHBOURS)]


def rss(controller):
    with open("/proc/%d/status" % controller.mosquitto()) as file:
        return next(int(line.split()[1]) << 10 for line in file
                    if line.startswith("VmRSS:"))


def is_named(controller, who):
    until("the controller names %s" % who, lambda: (
        'flotilla_broker_over_share{device="%s",share="unfinished"} 1' % who)
        in controller.ask("GET", "/metrics", token="").body.decode())


def let_in(device):
    """It connects as an agent does: again, until the broker takes it."""
    def tries():
        try:
            return device.connect()
        except (OSError, Refused):
            return False
    return until("%s gets in" % device.name, tries)


class Going:
    """The crowd tries on, until this ends."""

    def __init__(self, crowd):
        self.crowd, self.ends = crowd, threading.Event()
        self.failed = None
        self.thread = threading.Thread(target=self._run)

    def _run(self):
        try:
            while not self.ends.wait(PAUSE_S):
                self.crowd.try_one()
        except Exception as error:  # shown by the test's own thread
            self.failed = error

    def __enter__(self):
        self.thread.start()
        return self.crowd

    def __exit__(self, *_):
        self.ends.set()
        self.thread.join()
        assert self.failed is None, self.failed


@pytest.mark.parametrize("state", STATES)
def test_one_device_has_few_connections_that_are_no_sessions(
        controller, folder, token, neighbours, state):
    device = Device(controller, folder, "crowd-%d" % next(NUMBERS), token)
    device.connect()
    is_certain = state in ("handshake", "half-connect")
    crowd = Crowd(device, state, SITE)
    before, sessions = rss(controller), inside(controller, SITE)
    going = Going(crowd)
    with going:
        # A handshake of an address that wastes them waits for its turn.
        many = 60 if is_certain else 120
        until("it tried many", lambda: crowd.tried > many or same(crowd.tried, many),
              seen=lambda: going.failed)
        is_named(controller, device.id if is_certain else crowd.source)
        until("few are left while it goes on", lambda: crowd.held < HELD or same(
            crowd.held, HELD - 1), seen=lambda: going.failed)
        # Its session is among the 8, and one that is just being refused.
        assert max(inside(controller, SITE) for _ in range(15)) - sessions + 1 <= HELD + 1
    taken = rss(controller) - before
    crowd.close()
    assert taken < SHARE_BYTES
    for one in neighbours:
        one.is_heard()
        assert not one.client.closed


@pytest.mark.parametrize("state", ["silent", "hello", "half-connect"])
def test_a_new_device_behind_the_same_address_gets_in(
        controller, folder, token, neighbours, state):
    """While the crowd goes on, from the address that all of them have."""
    rogue = Device(controller, folder, "rogue-%d" % next(NUMBERS), token)
    crowd = Crowd(rogue, state, SITE)
    with Going(crowd):
        is_named(controller, crowd.source)
        new = let_in(Device(controller, folder, "new-%d" % next(NUMBERS), token))
        new.is_heard()
    crowd.close()
    for one in [*neighbours, new]:
        one.is_heard()
        assert not one.client.closed


def test_who_never_ends_its_handshake_is_gone_in_the_end(
        controller, folder, token, neighbours):
    """Nobody comes after them, and they do not stay; sessions do."""
    device = Device(controller, folder, "idle-%d" % next(NUMBERS), token)
    crowds = [Crowd(device, state, "127.0.0.8").try_one() for state in STATES]
    until("all are gone", lambda: same([one.alive() for one in crowds], [0] * len(crowds)))
    assert not any(one.client.closed for one in neighbours)


@pytest.mark.parametrize("source", [SITE, "127.0.0.1"])
def test_the_controller_comes_back_to_its_broker_meanwhile(
        controller, folder, token, source):
    """It does not wait at the door, whoever else comes from its own host."""
    before = controller.mosquitto()
    crowd = Crowd(Device(controller, folder, "rogue-%d" % next(NUMBERS), token), "hello", source)
    with Going(crowd):
        os.kill(before, signal.SIGKILL)
        until("another broker", lambda: controller.mosquitto() != before)
        until("the controller is there", lambda: controller.ask("GET", "/readyz").json["broker"])
        let_in(Device(controller, folder, "new-%d" % next(NUMBERS), token)).is_heard()
    crowd.close()


@contextlib.contextmanager
def mosquitto(folder, conf, descriptor, **environment):
    """A broker that the controller does not start, and the path of what it says."""
    path = os.path.join(folder, "foreign-%d" % next(NUMBERS))
    with open(path, "w") as file:
        file.write(conf)
    with open(path + ".log", "w") as log:
        process = subprocess.Popen(["/usr/sbin/mosquitto", "-c", path], stderr=log,
                                   env={**os.environ, **environment}, pass_fds=[descriptor])
    try:
        yield path + ".log"
    finally:
        process.terminate()
        process.wait(HANG_S)


def says(path, words):
    def said():
        with open(path) as file:
            return file.read()
    until("%s says %s" % (path, words), lambda: words in said(), said)


@pytest.mark.parametrize("is_preloaded", [True, False])
def test_a_guard_that_stands_at_no_door_says_so(folder, is_preloaded):
    """And it leaves all other listeners alone."""
    port = F.held_port()
    conf = ("log_dest stderr\nallow_anonymous true\nplugin %s\nplugin_opt_fleet test\n"
            "plugin_opt_report %s/report\nplugin_opt_port %d\nlistener %d 127.0.0.1\n" % (
                GUARD, folder, 1 if is_preloaded else port, port))
    guard = open(GUARD, "rb")
    preload = {"LD_PRELOAD": "/proc/self/fd/%d" % guard.fileno()} if is_preloaded else {}
    with guard, mosquitto(folder, conf, guard.fileno(), **preload) as log:
        says(log, "no limit before CONNECT")
        with socket.create_connection(("127.0.0.1", port), HANG_S) as plain:
            plain.sendall(b"\x10\x0d\0\4MQTT\4\2\0\0\0\1a")
            assert plain.recv(4) == b"\x20\2\0\0"
