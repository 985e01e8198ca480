#!/usr/bin/env python3
"""The longest answer of the local API while the agent's disk is slow: one real
device with a real controller, whose syncs take MS, while it updates.

usage: syncs.py BIN_DIR LIBSLOW OUT.json [MS] [UPDATES] [CLIENTS]

MS (200) is what each sync of the agent and of its updater takes (LIBSLOW is
build/release/tests/libslow.so).  UPDATES (3) alternate two releases while
CLIENTS (2) stream short answers without a pause.

  token_ms     between two pieces of an answer, 99 % are below it
  first_ms     from a request to its first piece: half, and the longest
  gap_ms       between two pieces: the longest
  quiet_ms     the longest of both while nothing is updated
"""
import json
import os
import shutil
import sys
import tempfile
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "integration"))
from conftest import Small  # noqa: E402

TURNS = (("tiny@1", "tiny-v2.Q4_0.gguf", "golden-tiny-v2.json"),
         ("tiny@2", "tiny-v2.1.Q4_0.gguf", "golden-tiny-v2.1.json"))


class Client(threading.Thread):
    """Streams, and keeps how long each piece was waited for."""

    def __init__(self, device):
        super().__init__(daemon=True)
        self.device, self.is_done = device, threading.Event()
        self.firsts, self.gaps, self.failed = [], [], []

    def run(self):
        while not self.is_done.is_set():
            try:
                self.one()
            except Exception as error:  # noqa: BLE001  all are told
                self.failed.append(repr(error))

    def one(self):
        body = json.dumps({"model": "tiny", "stream": True, "temperature": 0,
                           "max_tokens": 16, "prompt": "the valve is"})
        connection = self.device.connection()
        last = time.monotonic()
        waits = []
        try:
            connection.request("POST", "/v1/completions", body,
                               {"Content-Type": "application/json"})
            answer = connection.getresponse()
            assert answer.status == 200, answer.read()
            for line in answer:
                if line.startswith(b"data:"):
                    now = time.monotonic()
                    waits.append((now, 1000 * (now - last)))
                    last = now
            self.firsts.append(waits[0])
            self.gaps += waits[1:]
        finally:
            connection.close()


def share(waits, part):
    waits = sorted(ms for _, ms in waits)
    return round(waits[min(len(waits) - 1, int(len(waits) * part))], 1)


def figures(clients, spans):
    def within(waits, wanted):
        return [wait for wait in waits if wanted == any(
            begin <= wait[0] and wait[0] - wait[1] / 1000 <= end
            for begin, end in spans)]
    firsts = [w for c in clients for w in c.firsts]
    gaps = [w for c in clients for w in c.gaps]
    during = within(firsts, True)
    return {"answers": len(during), "failed": [f for c in clients
                                               for f in c.failed][:9],
            "token_ms": share(within(gaps, True), 0.99),
            "first_ms": [share(during, 0.5), share(during, 1)],
            "gap_ms": share(within(gaps, True), 1),
            "quiet_ms": [share(within(firsts, False), 1),
                         share(within(gaps, False), 1)],
            "update_s": [round(end - begin, 1) for begin, end in spans],
            "cpus": os.cpu_count(), "load": round(os.getloadavg()[0], 1)}


def main():
    library, out = sys.argv[2:4]
    ms, updates, n_clients = [int(word) for word in sys.argv[4:]] + [
        200, 3, 2][len(sys.argv) - 4:]
    folder = tempfile.mkdtemp(prefix="flo-", dir="/tmp")
    preloaded = shutil.copy(library, folder)  # a path without blanks
    fleet = Small(folder, sys.argv[1], name="bench")
    try:
        fleet.up(["gw"])
        for release in TURNS:
            fleet.publish_whole(*release)
        fleet.roll(TURNS[0][0])
        device, plain = fleet.devices["gw"], fleet.env
        device.stop()
        fleet.env = dict(plain, LD_PRELOAD=preloaded, FLO_SLOW_MS=str(ms))
        device.start()
        fleet.env = plain
        fleet.online(["gw"])
        clients = [Client(device) for _ in range(n_clients)]
        for client in clients:
            client.start()
        spans = []
        for number in range(updates):
            time.sleep(5)  # so much is quiet
            begin = time.monotonic()
            fleet.roll(TURNS[(number + 1) % 2][0], "--below-floor", "--lift")
            spans.append((begin, time.monotonic()))
        time.sleep(5)
        for client in clients:
            client.is_done.set()
        for client in clients:
            client.join()
        result = dict(figures(clients, spans), sync_ms=ms)
    finally:
        fleet.close()
        shutil.rmtree(folder, ignore_errors=True)
    with open(out, "w", encoding="utf-8") as file:
        json.dump(result, file, indent=1)
    print(json.dumps(result, indent=1))


main()
