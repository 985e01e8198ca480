#!/usr/bin/env python3
"""Run ctest, then name what failed and what was skipped.

usage: tests/run/run.py BUILD [--below CPU-SECONDS] [CTEST-ARGUMENT ...]
--below         only tests that took less, as tests/run/seconds.tsv says
JOBS=N          CPUs to use (default: all that this process may use)
FLOTILLA_SEED=N repeats the random parts of an earlier run"""
import os
import random
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
# A test's places are a share of a CPU that has 4 (cmake/tests.cmake), rounded up.
# Half as many more are given out: no test computes all the time.
PLACES = 6
SKIPS = re.compile(r"^(?:skipped: |SKIPPED \[\d+\] \S+:\d+: )(.+)|"
                   r"^\[  SKIPPED \] (?!\d+ test)(.+)", re.M)


def places():
    jobs = os.environ.get("JOBS", "")
    if not jobs.isdigit() or int(jobs) < 1:
        jobs = len(os.sched_getaffinity(0))
    return int(jobs) * PLACES


def rows(path):
    """(name, exit code) of the tests that ran since the file was emptied."""
    if not os.path.exists(path):
        return []
    with open(path, encoding="utf-8") as file:
        return [(line.split("\t")[0], int(line.split("\t")[1]))
                for line in file if line.count("\t") == 3]


def log_of(build, name):
    path = os.path.join(build, "tests", "logs", name + ".log")
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def long_ones(seconds):
    """A pattern of the tests that take so long."""
    path = os.path.join(ROOT, "tests", "run", "seconds.tsv")
    with open(path, encoding="utf-8") as file:
        rows = [line.rstrip("\n").split("\t") for line in file]
    names = [row[0] for row in rows
             if len(row) == 3 and float(row[2]) >= seconds]
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


def main():
    build, words = os.path.abspath(sys.argv[1]), sys.argv[2:]
    if words[:1] == ["--below"]:
        words[:2] = ["-E", long_ones(float(words[1]))]
    os.environ.setdefault("FLOTILLA_SEED", str(random.SystemRandom().randrange(
        1, 10 ** 9)))
    print("seed %s (FLOTILLA_SEED=%s repeats the random parts)" % (
        (os.environ["FLOTILLA_SEED"],) * 2), flush=True)
    times = os.path.join(build, "tests", "times.tsv")
    before = len(rows(times))
    code, verdict = played(build, words)
    ran = rows(times)[before:]
    skipped = {}
    for name, end in ran:
        text = log_of(build, name)
        for why, test in SKIPS.findall(text):
            skipped.setdefault(why or "%s skips itself" % test.replace(
                "_", " "), []).append(name)
        if end in (5, 77) and not SKIPS.search(text):
            skipped.setdefault("its tools are not installed", []).append(name)
    if skipped:
        print("\nSkipped:")
        for why, names in sorted(skipped.items()):
            print("  %s: %s" % (", ".join(sorted(set(names))), why))
        if re.search("install|is not there|no program", " ".join(skipped)):
            print("  tools that are missing: ./deploy/install-deps.sh --optional")
    for name, end in ran:
        if end not in (0, 5, 77):
            print("\n" + "\n".join(
                log_of(build, name + ".failed").split("\n")[:3]))
    if skipped or code:
        print("\n" + verdict)
    return code


if __name__ == "__main__":
    sys.exit(main())
