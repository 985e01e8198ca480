#!/usr/bin/env python3
"""Run ctest, then name what failed and what was skipped.

usage: tests/run/run.py BUILD [--below CPU-SECONDS] [CTEST-ARGUMENT ...]
--below         only tests that took less, as tests/run/seconds.tsv says
JOBS=N          CPUs to use (default: all that this process may use)
FLOTILLA_SEED=N plays the random parts of that seed, in the place of the tree's
(tests/run/draw.py)"""
import os
import re
import subprocess
import sys

import draw

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
SECONDS = os.path.join(ROOT, "tests", "run", "seconds.tsv")
# A test's places are a share of a CPU that has 4 (cmake/tests.cmake), rounded up.
# Twice as many and more are given out: no test computes all the time.
PLACES = 9
SKIPPED = (5, 77)  # pytest ran nothing; a test's own word
SKIPS = re.compile(r"^(?:skipped: |SKIPPED \[\d+\] \S+:\d+: )(.+)|"
                   r"^\[  SKIPPED \] (?!\d+ test)(.+)", re.M)

# The missing part that a reason names, where an installation brings it.
LACKS = re.compile(r"^(?:skipped: )?(?:no (?:program )?(?=.*install|.*python)([^:(]+)|"
                   r"([^:;(]+?) (?:is|are) not (?:installed|there))")


def places():
    jobs = os.environ.get("JOBS", "")
    if not jobs.isdigit() or int(jobs) < 1:
        jobs = len(os.sched_getaffinity(0))
    return int(jobs) * PLACES


def times_of(build):
    """(name, exit code, wall, CPU seconds) of each test that the launcher ran
    there, in their order."""
    path = os.path.join(build, "tests", "times.tsv")
    if not os.path.exists(path):
        return []
    with open(path, encoding="utf-8") as file:
        rows = [line.rstrip("\n").split("\t") for line in file]
    return [(name, int(code), float(wall), float(cpu))
            for name, code, wall, cpu in rows]


def log_of(build, name):
    path = os.path.join(build, "tests", "logs", name + ".log")
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def seconds_of():
    """Name -> wall and CPU seconds, as they were measured last."""
    with open(SECONDS, encoding="utf-8") as file:
        rows = [line.rstrip("\n").split("\t") for line in file]
    return {row[0]: (float(row[1]), float(row[2]))
            for row in rows if len(row) == 3}


def long_ones(seconds):
    """A pattern of the tests that take so long."""
    names = [name for name, (_, cpu) in seconds_of().items()
             if cpu >= seconds]
    return "^(%s)$" % "|".join(map(re.escape, names))


def played(build, words):
    """ctest's code and its line of how many passed."""
    ctest = subprocess.Popen(
        ["ctest", "-j", str(places()), "--output-on-failure", *words],
        cwd=build, stdout=subprocess.PIPE, text=True, errors="replace")
    verdict = ""
    for line in ctest.stdout:
        print(line, end="", flush=True)
        if "% tests passed" in line:
            verdict = line.rstrip("\n")
    return ctest.wait(), verdict


def in_short(skipped):
    """One line: how many were skipped, what they lack, and how it comes."""
    names = set().union(*map(set, skipped.values()))
    lacks = {(found.group(1) or found.group(2)).strip(" '")
             for found in map(LACKS.match, skipped) if found}
    return "%d tests were skipped, or a part of them%s" % (len(names), lacks and (
        ": they need %s; ./deploy/install-deps.sh --optional installs it" %
        ", ".join(sorted(lacks))) or "")


def main():
    build, words = os.path.abspath(sys.argv[1]), sys.argv[2:]
    if words[:1] == ["--below"]:
        words[:2] = ["-E", long_ones(float(words[1]))]
    seed, origin = draw.seed(), draw.origin()
    print("seed %d %s (FLOTILLA_SEED=%d repeats the random parts)" % (seed, origin, seed),
          flush=True)
    # Sets of strings have one order everywhere.
    os.environ.update(FLOTILLA_SEED=str(seed), PYTHONHASHSEED="0")
    before = len(times_of(build))
    code, verdict = played(build, words)
    ran = times_of(build)[before:]
    skipped = {}
    for name, end, _, _ in ran:
        text = log_of(build, name)
        for why, test in SKIPS.findall(text):
            skipped.setdefault(why or "%s skips itself" % test.replace(
                "_", " "), []).append(name)
        if end in SKIPPED and not SKIPS.search(text):
            skipped.setdefault("their clients are not installed", []).append(name)
    if skipped:
        print("\nSkipped:")
        for why, names in sorted(skipped.items()):
            print("  %s: %s" % (", ".join(sorted(set(names))), why))
    for name, end, _, _ in ran:
        if end not in (0, *SKIPPED):
            print("\n" + "\n".join(
                log_of(build, name + ".failed").split("\n")[:3]))
    if skipped:
        print("\n" + in_short(skipped))
    if skipped or code:
        print("\n" + verdict)
    return code


if __name__ == "__main__":
    sys.exit(main())
