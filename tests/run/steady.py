#!/usr/bin/env python3
"""Play the whole `make test` ten times of one commit, on a machine that is never idle.

usage: tests/run/steady.py [--runs N] [--file FILE]
Each run stands next to two busy loops for each CPU. Four of the ten have the kernels
of older CPUs (FLOTILLA_KERNEL), one has one CPU alone, one has a disk whose syncs
take 20 ms, and in one single processes stand still for a moment (pauses.py). Each run appends a line to FILE
(build/steady.tsv): commit, kind, seed, result, seconds, slowest tests. The seeds
come from the tree and the number of the run. A run that was cut is not counted;
done is ten greens of this commit. --runs plays only so many, and a later call goes
on. The programs must be built (make build-tests), and the tree must be clean."""
import argparse
import collections
import os
import subprocess
import sys
import time

import draw
from run import SKIPPED, times_of

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
BUILD = os.path.join(ROOT, "build", "release")
KERNELS = ("avx2", "sse42", "ref", "avx")
KINDS = collections.Counter(dict.fromkeys(KERNELS, 1), busy=3, one=1, slow=1, paused=1)
LOOPS = 2  # for each CPU


def commit():
    changed = subprocess.run(["git", "status", "--porcelain"], cwd=ROOT,
                             capture_output=True, text=True, check=True).stdout
    if changed:
        sys.exit("steady: the tree has changes that no commit names:\n"
                 + changed)
    return subprocess.run(["git", "rev-parse", "--short=12", "HEAD"], cwd=ROOT,
                          capture_output=True, text=True,
                          check=True).stdout.strip()


def lines_of(path, name):
    if not os.path.exists(path):
        return []
    with open(path, encoding="utf-8") as file:
        rows = [line.rstrip("\n").split("\t") for line in file]
    return [row for row in rows if len(row) == 6 and row[0] == name]


def seed_of(number):
    """The seed of that run of this tree."""
    return str(draw.now().number("steady", str(number)) % 10 ** 9)


def play(kind, seed):
    """One run: result, seconds and the slowest tests."""
    env = dict(os.environ, FLOTILLA_SEED=seed)
    command = [sys.executable, os.path.join(ROOT, "tests", "run", "run.py"),
               BUILD, "-LE", "lane"]
    if kind == "one":
        one = sorted(os.sched_getaffinity(0))[0]
        command = ["taskset", "-c", str(one)] + command
        env.pop("JOBS", None)  # make's count of all CPUs
    elif kind == "paused":
        command = [sys.executable, os.path.join(ROOT, "tests", "run", "pauses.py")] + command
    elif kind in KERNELS:
        env["FLOTILLA_KERNEL"] = kind
    elif kind == "slow":
        env["LD_PRELOAD"] = os.path.join(BUILD, "tests", "libslow.so")
        if " " in BUILD:
            sys.exit("steady: a preloaded library's path has no blank")
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"],
                              start_new_session=True)
             for _ in range(LOOPS * len(os.sched_getaffinity(0)))]
    before = len(times_of(BUILD))
    begin = time.monotonic()
    log = os.path.join(ROOT, "build", "steady.log")
    try:
        with open(log, "ab") as out:
            code = subprocess.call(command, env=env, cwd=ROOT, stdout=out,
                                   stderr=out)
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()
    took = time.monotonic() - begin
    rows = times_of(BUILD)[before:]
    red = [row[0] for row in rows if row[1] not in (0, *SKIPPED)]
    slow = sorted(rows, key=lambda row: -row[2])[:5]
    result = "green" if code == 0 else "red " + (",".join(red) or str(code))
    return result, took, " ".join(
        "%s=%.0fs" % (row[0], row[2]) for row in slow)


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--runs", type=int, default=sum(KINDS.values()))
    parser.add_argument("--file", default=os.path.join(ROOT, "build",
                                                       "steady.tsv"))
    wish = parser.parse_args()
    name = commit()
    for _ in range(wish.runs):
        rows = lines_of(wish.file, name)
        green = collections.Counter(r[1] for r in rows if r[3] == "green")
        left = KINDS - green
        if not left:
            break
        kind = next(iter(left))
        seed = seed_of(len(rows))
        result, took, slow = play(kind, seed)
        with open(wish.file, "a", encoding="utf-8") as file:
            file.write("\t".join((name, kind, seed, result, "%.0f" % took,
                                  slow)) + "\n")
        print("%s %s: %s in %.0f s, seed %s" % (name, kind, result, took,
                                                seed), flush=True)
    rows = lines_of(wish.file, name)
    green = collections.Counter(r[1] for r in rows if r[3] == "green")
    left = KINDS - green
    print("%s: %d green, %d red%s" % (
        name, sum(r[3] == "green" for r in rows),
        sum(r[3] != "green" for r in rows),
        "; left: %s" % ", ".join("%d %s" % (n, k) for k, n in left.items())
        if left else "; steady"))
    return 1 if left or any(r[3] != "green" for r in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
