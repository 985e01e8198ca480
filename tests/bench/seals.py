#!/usr/bin/env python3
"""Cost of the seals: starts of two programs, one after the other.

usage: seals.py BUILD_DIR OLD_BIN [--devices 100000] [--rounds 10]

OLD_BIN is a folder with the programs of before.  Both get such a database of so many devices; the new program seals it before the first round.  In each round
both start in turn, and later get a POST of a rollout in turn.  Each line has
the processor time of both and their ratio, then comes the median.
"""
import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

import bench_fleet as B  # noqa: E402
import records as R  # noqa: E402


def check(side, *more):
    """One start that ends; its processor time."""
    before = os.times()
    done = subprocess.run(
        [os.path.join(side.programs, "flotilla-controller"), "--data",
         side.folder, "--listen", "127.0.0.1:0", "--check", *more],
        capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise R.F.Failed(done.stderr[-400:])
    after = os.times()
    return (after.children_user + after.children_system -
            before.children_user - before.children_system)


def post(side):
    """A rollout to all, which is aborted then; its processor time."""
    before = side.controller.cpu_s()
    status, text = side.rest.ask("POST", "/v1/rollouts", {
        "release": "tiny@2", "phases": [{"size": "1%"}, {"size": "100%"}]})
    cost = side.controller.cpu_s() - before
    if status >= 300:
        raise R.F.Failed(text[:200])
    side.settle()
    side.rest.ask("POST", "/v1/rollouts/%s/actions" % json.loads(text)["id"],
                  {"action": "abort"})
    side.settle()
    return cost


def compare(name, rounds, sides, measure):
    ratios = []
    for turn in range(rounds):
        costs = [0, 0]
        for i in (0, 1) if turn % 2 == 0 else (1, 0):
            costs[i] = measure(sides[i])
        ratios.append(costs[1] / costs[0])
        print("%s: before %.3f s, now %.3f s, ratio %.3f" % (
            name, *costs, ratios[-1]), flush=True)
    print("%s: median of %d ratios %.3f" % (
        name, rounds, statistics.median(ratios)), flush=True)


def main():
    parse = argparse.ArgumentParser(usage=__doc__)
    parse.add_argument("build")
    parse.add_argument("old")
    parse.add_argument("--devices", type=int, default=100000)
    parse.add_argument("--rounds", type=int, default=10)
    parse.add_argument("--cpus", default="0,1")
    args = parse.parse_args()
    args.cpus = {int(one) for one in args.cpus.split(",")}
    folders, sides = [], []
    try:
        for programs in (args.old, os.path.join(args.build, "..", "bin")):
            folders.append(tempfile.mkdtemp(prefix="flotilla-seals-"))
            side = R.Records(args, args.devices, folders[-1])
            side.programs = os.path.abspath(programs)
            side.fleet = R.Fleet(folders[-1], side.programs, name=B.FLEET)
            if sides:  # the first one has the folder of this process
                side.fleet.run += "-now"
                os.makedirs(side.fleet.run, mode=0o700)
            side.prepare()
            side.folder = os.path.dirname(side.data)
            sides.append(side)
        begin = time.monotonic()
        cost = check(sides[1], "--seal-again")
        print("%d devices: sealed once in %.1f s, %.1f s of CPU" % (
            args.devices, time.monotonic() - begin, cost), flush=True)
        compare("start", args.rounds, sides, check)
        for side in sides:
            side.start()
        compare("POST rollout", args.rounds, sides, post)
    finally:
        for side in sides:
            side.fleet.close()
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
