"""Ends of a device's link to the broker: at each byte of the handshake and of the
session, in each direction, closed or reset, by a device that starts or that runs.
None changes the device's pair or asks for a certificate, and each time the device
is back by its next tries."""
import socket
import struct
import threading

import pytest

import draw
import sets
from bad_parts import rest
from conftest import Small
from waits import HANG_S, Seen, until

# 1,000 ends with FLOTILLA_PART=all; else a few that the seed draws.
ENDS = 1000 if draw.now().is_all else 8
RANDOM = draw.dice("link-ends")
draw.say("link-ends")
# The device's tries after an end, until one holds.
TRIES_MAX = 3
# More bytes than either side says until the device has told what it is.
SESSION = 12000


def reset(one):
    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    one.close()


class Link:
    """A way to the broker, whose next connection ends where it is told to."""

    def __init__(self, broker):
        self.broker = broker
        self.lock = threading.Lock()
        self.end = None  # (direction, bytes, how) of the next connection
        self.tries = self.ended = 0
        self.open = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self.accept, daemon=True).start()

    @property
    def port(self):
        return self.listener.getsockname()[1]

    def accept(self):
        while True:
            try:
                device = self.listener.accept()[0]
            except OSError:
                return
            with self.lock:
                end, self.end = self.end, None
                self.tries += 1
                self.open = [device]
            threading.Thread(target=self.carry, args=(device, end), daemon=True).start()

    def carry(self, device, end):
        direction, left, how = end or ("", None, "")
        if left == 0 and direction == "in":  # before the broker hears of it
            return self.close(device, None, how)
        broker = socket.create_connection(self.broker, HANG_S)
        sides = {"out": (device, broker), "in": (broker, device)}
        done = threading.Event()

        def pass_on(name):
            source, target = sides[name]
            rest_of = left if name == direction else None
            try:
                while rest_of is None or rest_of > 0:
                    data = source.recv(65536 if rest_of is None else min(rest_of, 65536))
                    if not data:
                        break
                    target.sendall(data)
                    rest_of = None if rest_of is None else rest_of - len(data)
            except OSError:
                pass
            if rest_of == 0:
                with self.lock:
                    self.ended += 1
            done.set()

        for name in sides:
            threading.Thread(target=pass_on, args=(name,), daemon=True).start()
        done.wait()
        self.close(device, broker, how)

    @staticmethod
    def close(device, broker, how):
        for one in (device, broker):
            if one is None:
                continue
            try:
                if how == "reset":
                    reset(one)
                else:
                    one.shutdown(socket.SHUT_RDWR)
                    one.close()
            except OSError:
                pass

    def cut(self, end):
        """Ends the present connection, and the next one at this place."""
        with self.lock:
            self.end, self.tries, self.ended = end, 0, 0
            here = list(self.open)
        for one in here:
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


@pytest.fixture(scope="module")
def fleet(folder, bin_dir):
    one = Small(folder, bin_dir, name="test")
    one.up(["a"])
    with open(one.admin_token, encoding="utf-8") as file:
        one.admin = file.read().strip()
    yield one
    one.close()


def certificate(fleet):
    return rest(fleet, "GET", "/v1/devices/a")[1]["certificate"]["number"]


def wrong(fleet):
    lines = rest(fleet, "GET", "/metrics")[1]
    lines = lines if isinstance(lines, str) else lines.decode()
    return [line for line in lines.splitlines()
            if line.startswith('flotilla_device_messages_total{result="wrong"}')]


def pairs(device):
    """The names of the device's certificates and keys."""
    return sorted(path for path in sets.paths(device.state)
                  if path.endswith((".crt", ".pem", ".key")))


def last_seen(fleet):
    return rest(fleet, "GET", "/v1/devices/a")[1]["last_seen_at_ms"]


def is_seen(fleet, since):
    one = rest(fleet, "GET", "/v1/devices/a")[1]
    return one["state"] == "online" and one["last_seen_at_ms"] > since


def test_no_end_of_a_link_changes_the_pair(fleet):
    device = fleet.devices["a"]
    link = Link(("127.0.0.1", fleet.ports[2]))
    device.stop()
    device.write_config("broker: mqtts://127.0.0.1:%d\n" % link.port)
    device.start()
    fleet.online(["a"])
    number, files, counted = certificate(fleet), pairs(device), wrong(fleet)

    for turn in range(ENDS):
        end = (RANDOM.choice(("in", "out")),
               RANDOM.randrange(RANDOM.choice((64, 2048, SESSION))),
               RANDOM.choice(("close", "reset")))
        runs = RANDOM.randrange(2) == 0
        print("turn %d: %s%s" % (turn, end, ", of a device that runs" if runs else ""))
        # A device whose connections end again and again waits longer, so each turn
        # has a start of its own.
        device.stop()
        seen = last_seen(fleet)
        if runs:
            device.start()
            until("it is there", lambda: is_seen(fleet, seen))
            seen = last_seen(fleet)
        link.cut(end)
        if not runs:
            device.start()
        until("the device is back",
              lambda: link.end is None and is_seen(fleet, seen) or Seen(link.tries))

        print("back after %d tries" % link.tries)
        assert link.tries <= TRIES_MAX, link.tries
        assert certificate(fleet) == number
        assert pairs(device) == files
        assert wrong(fleet) == counted
