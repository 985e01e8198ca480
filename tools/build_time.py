#!/usr/bin/env python3
"""Say before a build about how long it takes on this machine.

usage: tools/build_time.py BUILD JOBS [STORY]
A few files are compiled and measured. STORY is a test of tests/run/seconds.tsv that
follows the build."""
import glob
import os
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "tests", "run"))
import run  # noqa: E402

SAMPLE = ("base/text.c", "base/url.c", "base/gguf/*.c")
# All programs take as long as so many samples: 386 of 0.74 CPU seconds, on 2026-11-29.
SAMPLES = 520
FLAGS = "-O2 -g -std=gnu17 -D_GNU_SOURCE -I. -Ibase/include -c".split()


def about(seconds):
    return "less than a minute" if seconds < 45 else \
        "about a minute" if seconds < 90 else "about %.0f minutes" % (seconds / 60)


def share(build):
    """The share of the programs' objects that are to be made."""
    inputs = subprocess.run(["ninja", "-C", build, "-t", "inputs", "programs"], check=True,
                            text=True, stdout=subprocess.PIPE).stdout.split("\n")
    objects = [name for name in inputs if name.endswith(".o")]
    missing = [name for name in objects if not os.path.exists(os.path.join(build, name))]
    return len(missing) / max(1, len(objects))


def sample_seconds():
    names = sorted(name for pattern in SAMPLE for name in glob.glob(pattern, root_dir=ROOT))
    begin = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            subprocess.run(["cc", *FLAGS, name, "-o", os.path.join(folder, "o")], cwd=ROOT,
                           check=True)
    return time.monotonic() - begin


def main():
    build, jobs, story = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
    left = share(build)
    words = []
    if left > 0.1:
        words.append("the build takes %s on this machine" %
                     about(left * SAMPLES * sample_seconds() / jobs))
    if story:
        words.append("the story itself takes %s" % about(run.seconds_of()[story[0]][0]))
    if words:
        print("; ".join(words), flush=True)


if __name__ == "__main__":
    main()
