#!/usr/bin/env python3
"""The plan of a rollout for a large fleet: how long `--dry-run` takes.

usage: plan.py BIN_DIR [DEVICES]

Simulated devices (10000) enrol at a real controller and report. Then the plan
is asked for five times with the command that people use. Prints one JSON
object: its times, the size of a report, and what the plan counted.
"""
import json
import os
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "fleet"))

import simulated as S  # noqa: E402
from waits import until  # noqa: E402

SIM = os.path.join(ROOT, "build", "release", "tests", "flotilla-sim")


def settled(fleet, devices):
    """All have reported: nobody is silent, nobody never came."""
    def plan():
        return fleet.ask("rollout", "start", "tiny@1", "--dry-run")["plan"]
    until("all have reported",
          lambda: plan()["takes"] + plan()["has"] >= devices, every=2)


def main():
    bin_dir, devices = sys.argv[1], int((sys.argv + ["10000"])[2])
    with tempfile.TemporaryDirectory(prefix="flo-plan-") as folder:
        fleet = S.Simulated(folder, bin_dir, name="bench")
        simulator = None
        try:
            fleet.up()
            fleet.publish("tiny@1", "tiny-v1.Q4_0.gguf", "golden-tiny-v1.json")
            fleet.publish("tiny@2", "tiny-v2.Q4_0.gguf", "golden-tiny-v2.json")
            simulator = fleet.simulate(SIM, devices, enrolling=16)
            simulator.connected()
            settled(fleet, devices)
            took = []
            for _ in range(5):
                begin = time.monotonic()
                plan = fleet.ask("rollout", "start", "tiny@2",
                                 "--dry-run")["plan"]
                took.append(round(time.monotonic() - begin, 3))
            print(json.dumps({
                "devices": devices, "seconds": sorted(took),
                "load": os.getloadavg()[0],
                "plan": {k: v for k, v in plan.items() if k != "items"}}))
        finally:
            if simulator:
                simulator.close()
            fleet.close()


if __name__ == "__main__":
    main()
