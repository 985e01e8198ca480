#!/usr/bin/env python3
"""The cost of devices' proofs at the controller (docs/scale.md).

usage: proofs.py [--devices 1000] [--interval-ms 500] [--seconds 8] [--turns 6]

Two simulated fleets are at one controller, one of agents from before proofs.
They report in turns; the figure is processor time for each stored report.
"""
import argparse
import json
import os
import statistics
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "fleet"))
sys.path.insert(0, HERE)

import simulated as S  # noqa: E402
from bench_fleet import Process, Rest  # noqa: E402
from waits import until  # noqa: E402

BUILD = os.path.join(HERE, "..", "..", "build")


def turn(fleet, rest, sim, args):
    """Microseconds of the controller for each report."""
    controller = Process(fleet.controller.pid)
    stored = "telemetry_windows_total"
    before, begin = rest.metrics()[stored], controller.cpu_s()
    acked = sim.ask("figures")["windows"]["acked"]
    sim.ask("flood", args.interval_ms)
    time.sleep(args.seconds)
    sim.ask("flood", 0)
    until("all are with the broker",
          lambda: sim.ask("figures")["unacked"] == 0)
    sent = sim.ask("figures")["windows"]["acked"] - acked
    until("all are stored",
          lambda: rest.metrics()[stored] - before >= sent)
    count = rest.metrics()[stored] - before
    return (controller.cpu_s() - begin) * 1e6 / count


def main():
    parse = argparse.ArgumentParser()
    for name, value in (("devices", 1000), ("interval-ms", 500),
                        ("seconds", 8), ("turns", 6)):
        parse.add_argument("--" + name, type=int, default=value)
    args = parse.parse_args()
    with tempfile.TemporaryDirectory(prefix="flo-proofs-") as folder:
        fleet = S.Simulated(folder, os.path.join(BUILD, "bin"), name="proofs")
        fleet.up("--heartbeat", "60s", "--unproved", "take",
                 uses=2 * args.devices)
        rest = Rest(fleet)
        program = os.path.join(BUILD, "release", "tests", "flotilla-sim")
        sims = {"without": fleet.simulate(program, args.devices, seed=1,
                                          prefix="old", unproved=1),
                "with": fleet.simulate(program, args.devices, seed=2,
                                       prefix="new")}
        for sim in sims.values():
            sim.connected()
        found = {word: [] for word in sims}
        for _ in range(args.turns):
            for word, sim in sims.items():
                found[word].append(turn(fleet, rest, sim, args))
        ratios = [b / a for a, b in zip(found["without"], found["with"])]
        print(json.dumps({
            "us_per_report": {word: round(statistics.median(all_), 1)
                              for word, all_ in found.items()},
            "ratio": round(statistics.median(ratios), 3),
            "ratios": [round(one, 3) for one in ratios]}))
        for sim in sims.values():
            sim.close()
        fleet.close()


if __name__ == "__main__":
    main()
