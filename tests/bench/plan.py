#!/usr/bin/env python3
"""The plan of a rollout for a large fleet: how long `--dry-run` takes.

usage: plan.py BIN_DIR [DEVICES]

Simulated devices (10000) enrol at a real controller and report. Then the plan
is asked for five times with the command that people use. Prints one JSON
object: its times, the size of a report, and what the plan counted.
"""
import json
import os
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tools"))

import fleet as F  # noqa: E402

MODELS = os.path.join(ROOT, "tests", "models")


def ready(fleet):
    fleet.start_controller()
    fleet.login()
    key = os.path.join(fleet.dir, "keys", "publisher.key")
    fleet.cli("key", "create", "publisher", "--to", os.path.dirname(key))
    fleet.cli("key", "trust", key[:-4] + ".pub")
    token = os.path.join(fleet.dir, "enroll.token")
    fleet.cli("token", "create", "--kind", "enroll", "--uses", "20000", "--to",
              token, "-q")
    for release, model, golden in (
            ("tiny@1", "tiny-v1.Q4_0.gguf", "golden-tiny-v1.json"),
            ("tiny@2", "tiny-v2.Q4_0.gguf", "golden-tiny-v2.json")):
        fleet.ask("release", "create", release, "--model-file",
                  os.path.join(MODELS, model), "--golden",
                  os.path.join(MODELS, golden), "--sign-with", key,
                  "--skip-play", "--publish", "--delta-from", "none")
    return token


def simulate(program, fleet, token, devices):
    process = subprocess.Popen(
        [program, "--controller", fleet.devices_url, "--token-file", token,
         "--devices", str(devices), "--enrolling", "16"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        stderr=open(os.path.join(fleet.dir, "sim.log"), "ab"))

    def ask(*words):
        if words:
            process.stdin.write(" ".join(words) + "\n")
            process.stdin.flush()
        return json.loads(process.stdout.readline())

    ask()
    F.wait_until("all are connected", 300, lambda: ask("figures")[
        "subscribed"] >= devices, every=1)
    return process


def settled(fleet, devices):
    """All have reported: nobody is silent, nobody never came."""
    def plan():
        return fleet.ask("rollout", "start", "tiny@1", "--dry-run")["plan"]
    F.wait_until("all have reported", 300,
                 lambda: plan()["takes"] + plan()["has"] >= devices, every=2)


def main():
    bin_dir, devices = sys.argv[1], int((sys.argv + ["10000"])[2])
    with tempfile.TemporaryDirectory(prefix="flo-plan-") as folder:
        fleet = F.Fleet(folder, bin_dir, name="bench")
        process = None
        try:
            process = simulate(os.path.join(ROOT, "build", "release", "tests", "flotilla-sim"), fleet,
                               ready(fleet), devices)
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
            if process:
                process.stdin.close()
                process.wait(60)
            fleet.close()


if __name__ == "__main__":
    main()
