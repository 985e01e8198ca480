#!/usr/bin/env python3
"""The cost of a device at the broker that tries 20,000 connections in a minute
and makes none of them a session, in each state before CONNECT is whole; and
whether others keep theirs: 1,000 devices, 50 of them behind its address.

    FLOTILLA_BIN=build/bin python3 tests/bench/crowd.py [STATE...]

It prints, for each state: connections tried, the most that it held at a time
(after 3 s, and in the first 3 s), growth of the broker's memory, its CPU time
as a share of a core meanwhile and in the minute after, and sessions that were
lost."""
import os
import shutil
import ssl
import struct
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..", "integration"), os.path.join(HERE, "..", "..", "tools")]

from controller_parts import Controller, Device  # noqa: E402
from crowd_parts import STATES, Crowd, inside  # noqa: E402
from mqtt_client import _text  # noqa: E402

TRIES, SECONDS, THREADS = 20000, 60, 16
OTHERS, NEAR = int(os.environ.get("OTHERS", 1000)), 50
ADDRESS = "127.0.0.9"


class Other:
    """A session of another device, as cheap as can be."""

    def __init__(self, controller, folder, token, number):
        device = Device(controller, folder, "other-%d" % number, token)
        source = ADDRESS if number < NEAR else "127.0.1.%d" % (number % 250 + 1)
        self.crowd = Crowd(device, "handshake", source)
        self.crowd.try_one()
        self.socket = self.crowd.open[0]
        self.socket.settimeout(60)
        body = _text("MQTT") + b"\4\2" + struct.pack(">H", 3000) + _text(device.id)
        self.socket.sendall(bytes([0x10, len(body)]) + body)
        assert self.socket.recv(4)[:1] == b"\x20"

    def lives(self):
        try:
            self.socket.sendall(b"\xc0\0")
            return self.socket.recv(2) == b"\xd0\0"
        except (OSError, ssl.SSLError):
            return False


class Broker:
    def __init__(self, pid):
        self.pid = pid

    def rss(self):
        with open("/proc/%d/status" % self.pid) as file:
            return next(int(line.split()[1]) for line in file if line.startswith("VmRSS:"))

    def cpu(self):
        with open("/proc/%d/stat" % self.pid) as file:
            words = file.read().rsplit(")", 1)[1].split()
        return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def attack(crowd, begin, share):
    for number in range(share):
        # The last tries come a little before the minute ends, not behind it.
        time.sleep(max(0, begin + 0.95 * number * SECONDS / share - time.monotonic()))
        if time.monotonic() > begin + SECONDS:
            return
        crowd.try_one()


def play(controller, folder, token, state, others):
    broker = Broker(controller.mosquitto())
    device = Device(controller, folder, "crowd-" + state, token).connect()
    crowds = [Crowd(device, state, ADDRESS) for _ in range(THREADS)]
    rss, cpu, begin = broker.rss(), broker.cpu(), time.monotonic()
    threads = [threading.Thread(target=attack, args=(crowd, begin, TRIES // THREADS))
               for crowd in crowds]
    first = later = most = 0
    near = min(NEAR, len(others))
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        held = inside(controller, ADDRESS) - near
        if time.monotonic() < begin + 3:
            first = max(first, held)
        else:
            later = max(later, held)
        most = max(most, broker.rss())
        time.sleep(0.05)
    spent, took = broker.cpu() - cpu, time.monotonic() - begin
    for crowd in crowds:
        crowd.close()
    quiet = broker.cpu()
    time.sleep(SECONDS)
    lost = sum(not other.lives() for other in others)
    print("%-13s tried %d in %.0f s, held %d (first 3 s: %d), memory +%.2f MB, "
          "CPU %.1f %% of a core, after it %.1f %%, sessions lost: %d of %d" % (
              state, sum(crowd.tried for crowd in crowds), took, later, first,
              (most - rss) / 1024, 100 * spent / took,
              100 * (broker.cpu() - quiet) / SECONDS, lost, len(others)), flush=True)
    device.client.close()


def main():
    folder = tempfile.mkdtemp(prefix="crowd-")
    controller = Controller(folder).start()
    try:
        token = controller.enrol_token(uses=2000)
        others = [Other(controller, folder, token, number) for number in range(OTHERS)]
        for state in sys.argv[1:] or STATES:
            play(controller, folder, token, state, others)
    finally:
        controller.stop()
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
