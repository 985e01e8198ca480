#!/usr/bin/env python3
"""The cost of a scrape of /metrics in a fleet that reports.

usage: scrape.py BIN_DIR FLOTILLA_SIM DEVICES [INTERVAL_MS]

Starts a controller and `flotilla-sim` with so many devices, waits until 99 % are
connected, and scrapes 40 times.  Prints one JSON object: what the controller's
thread took (its own figure) and how long the caller waited.  A device takes a
descriptor here and one in the broker: see `ulimit -Hn`.
"""
import json
import os
import statistics
import sys
import tempfile
import time
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))), "fleet"))

import simulated as S  # noqa: E402

SCRAPES = 40


def number(text, name):
    return float([line for line in text.split("\n")
                  if line.startswith(name + " ")][0].split()[1])


def scrape(rest):
    began = time.monotonic()
    with urllib.request.urlopen(rest + "/metrics", timeout=60) as answer:
        text = answer.read().decode()
    return text, 1000 * (time.monotonic() - began)


def spread(values):
    values = sorted(values)
    return {"p50": round(statistics.median(values), 1),
            "p95": round(values[int(0.95 * len(values)) - 1], 1),
            "max": round(values[-1], 1)}


def measure(rest, devices):
    while number(scrape(rest)[0], "flotilla_devices_online") < 0.99 * devices:
        time.sleep(1)
    time.sleep(10)
    gathered, waited = [], []
    for _ in range(SCRAPES):
        text, ms = scrape(rest)
        gathered.append(1000 * number(text,
                                      "flotilla_metrics_gathering_seconds"))
        waited.append(ms)
        time.sleep(0.5)
    return {"devices": devices, "scrapes": SCRAPES,
            "gathering_ms": spread(gathered), "waited_ms": spread(waited),
            "bytes": len(text),
            "series": sum(1 for line in text.split("\n")
                          if line and line[0] != "#")}


def main():
    bins, program, devices = sys.argv[1], sys.argv[2], int(sys.argv[3])
    interval = sys.argv[4] if len(sys.argv) > 4 else "5000"
    with tempfile.TemporaryDirectory(prefix="flo-scrape-") as folder:
        fleet = S.Simulated(folder, bins, name="bench")
        simulator = None
        try:
            fleet.up(uses=devices)
            simulator = fleet.simulate(program, devices, interval=interval)
            print(json.dumps(measure(fleet.url, devices)))
        finally:
            if simulator:
                simulator.close()
            fleet.close()


if __name__ == "__main__":
    main()
