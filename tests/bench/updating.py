#!/usr/bin/env python3
"""First tokens while the device updates, next to first tokens while it does
not: one real device with a real controller.

usage: updating.py BIN_DIR OUT.json [PAIRS] [MEGABYTES] [RATE]

Each pair is one update: a release of the same model and of MEGABYTES (24)
that no device has seen, at RATE (8) megabytes a second; 0: as fast as it can.
Requests come one after the other: 30 before it, all the time while the updater
downloads and verifies, and 30 when it has ended.  A pair's figures are the
median of those with the updater and of those without; PAIRS is 24.  The device has its own CPUs
(the first half of those that this program may use), the controller and the
client have the others.

  with, without   ms to the first token, median of the pairs
  ratio           of each pair, and their median
"""
import json
import os
import random
import shutil
import statistics
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "integration"))
from conftest import F, MODELS, Small  # noqa: E402
from waits import until  # noqa: E402

DICE = random.Random(1)


def first_token_ms(device, words):
    """The time to the first token of a stream; each prompt is another one."""
    body = json.dumps({
        "model": "bench", "stream": True, "temperature": 0, "max_tokens": 2,
        "prompt": " ".join(DICE.choice(words) for _ in range(48))})
    connection = device.connection()
    try:
        begin = time.monotonic()
        connection.request("POST", "/v1/completions", body,
                           {"Content-Type": "application/json"})
        answer = connection.getresponse()
        answer.readline()
        took = (time.monotonic() - begin) * 1000
        answer.read()
        assert answer.status == 200, answer.status
        return took
    finally:
        connection.close()


class Updating:
    """A fleet of one device whose model never changes, while its releases do."""

    def __init__(self, fleet, megabytes, rate, model):
        self.fleet, self.megabytes, self.model = fleet, megabytes, model
        self.rate = rate
        self.words = ["alpha", "oven", "door", "camera", "seven", "level",
                      "drop", "valve", "night", "north", "smoke", "pump"]
        self.ballast = os.path.join(fleet.dir, "ballast.bin")
        self.number = 0
        self.device = None

    def publish(self):
        self.number += 1
        with open(self.ballast, "wb") as file:
            for _ in range(self.megabytes):
                file.write(DICE.randbytes(1 << 20))
        self.fleet.ask(
            "release", "create", "bench@%d" % self.number,
            "--file", "model.gguf=%s:model" % self.model,
            "--file", "ballast.bin=%s:asset" % self.ballast,
            "--golden", os.path.join(MODELS, "golden-tiny-v2.json"),
            "--skip-play", "--sign-with", self.fleet.key, "--delta-from", "none", "--publish",
            timeout=600)

    def is_at_work(self):
        return bool(self.device.children("flotilla-updater"))

    def roll(self):
        self.fleet.ask("rollout", "start", "bench@%d" % self.number,
                       "--phase", "100%", "--soak", "50ms",
                       "--rate", str(self.rate << 20))

    def has_ended(self):
        return bool(self.fleet.serving("bench@%d" % self.number))

    def first(self, bench_cpus, device_cpus):
        self.fleet.up([])
        os.sched_setaffinity(0, device_cpus)
        self.fleet.add_device("gw", self.fleet.token)
        os.sched_setaffinity(0, bench_cpus)
        self.device = self.fleet.devices["gw"]
        self.fleet.online(["gw"])
        self.publish()
        self.roll()
        until("the first release", self.has_ended)
        for _ in range(20):
            first_token_ms(self.device, self.words)

    def alone(self):
        time.sleep(0.5)
        took = []
        for _ in range(30):
            took.append(first_token_ms(self.device, self.words))
            time.sleep(0.01)
        return took

    def pair(self):
        self.publish()
        without = self.alone()
        self.roll()
        until("the updater", self.is_at_work, every=0.005)
        during = []
        while True:
            took = first_token_ms(self.device, self.words)
            if not self.is_at_work():
                break
            during.append(took)
            time.sleep(0.01)
        until("the end", self.has_ended)
        return during, without + self.alone()


def main():
    out = sys.argv[2]
    pairs, megabytes, rate = [int(word) for word in sys.argv[3:6]] + [
        24, 24, 8][len(sys.argv[3:6]):]
    model = os.path.join(MODELS, "tiny-v2.Q4_0.gguf")
    cpus = sorted(os.sched_getaffinity(0))
    half = max(1, len(cpus) // 2)
    folder = tempfile.mkdtemp(prefix="flo-", dir="/tmp")
    os.sched_setaffinity(0, cpus[half:] or cpus)
    fleet = Small(folder, sys.argv[1], name="bench")
    results = []
    try:
        bench = Updating(fleet, megabytes, rate, model)
        bench.first(cpus[half:] or cpus, cpus[:half])
        while len(results) < pairs:
            during, after = bench.pair()
            if len(during) < 5:
                continue  # the update was too short to say anything
            one = (statistics.median(during), statistics.median(after))
            results.append(one)
            print("%3d  %2d requests  with %.2f ms  without %.2f ms  %.3f" % (
                len(results), len(during), *one, one[0] / one[1]), flush=True)
    finally:
        fleet.close()
        shutil.rmtree(folder, ignore_errors=True)
    ratios = sorted(a / b for a, b in results)
    figures = {
        "pairs": len(results), "megabytes": megabytes, "rate_mb": rate,
        "with_ms": round(statistics.median(a for a, _ in results), 2),
        "without_ms": round(statistics.median(b for _, b in results), 2),
        "ratio": round(statistics.median(ratios), 3),
        "ratio_quarters": [round(ratios[len(ratios) // 4], 3),
                           round(ratios[len(ratios) * 3 // 4], 3)],
        "cpus": len(cpus), "load": round(os.getloadavg()[1], 1)}
    with open(out, "w", encoding="utf-8") as file:
        json.dump(figures, file, indent=1)
    print(json.dumps(figures, indent=1))


main()
