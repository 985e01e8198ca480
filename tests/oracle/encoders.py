#!/usr/bin/env python3
"""Vectors and scores of encoders, against those of the models' own library.

usage: encoders.py --bin DIR
tests/oracle/encoders/cases.json has the texts, the expected numbers, and the
largest error: its rms as a share of the deviation of all expected numbers. A
quantised file may be 1.25 times as far as llama.cpp is on the same file, and
0.005; the F32 file is exact. Each case is played by plain C, by the best kernel (or
FLOTILLA_KERNEL), and by that with packed weights, as a device has them."""
import json
import math
import os
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def answer(program, entry, case, kernel, packs):
    words = (["embed", case["text"]] if entry["kind"] == "vectors" else
             ["rerank", case["query"], case["document"]])
    done = subprocess.run(
        [program, *words, "--model", os.path.join(ROOT, entry["model"]), "--threads", "2",
         *(["--kernel", kernel] if kernel else [])],
        capture_output=True, text=True, check=False,
        env=dict(os.environ, FLOTILLA_PACK_CACHE=packs))
    if done.returncode:
        sys.exit("%s: %s" % (entry["model"], done.stderr))
    value = json.loads(done.stdout)
    if isinstance(value, dict):
        value = value.get("embedding", value.get("score"))
    return value if isinstance(value, list) else [value]


def keeps_limit(program, entry, kernel, packs):
    squares = count = 0
    for case in entry["cases"]:
        got = answer(program, entry, case, kernel, packs)
        assert len(got) == len(case["expected"]), (entry["model"], len(got))
        squares += sum((a - b) ** 2 for a, b in zip(got, case["expected"]))
        count += len(got)
    error = math.sqrt(squares / count) / entry["deviation"]
    print("%s%s %s: error %.2g, limit %.2g" % (
        kernel or "best", "" if packs == "off" else " packed", entry["model"], error,
        entry["limit"]))
    return error <= entry["limit"]


def main():
    program = os.path.join(sys.argv[sys.argv.index("--bin") + 1], "flotilla-model")
    with open(os.path.join(ROOT, "tests", "oracle", "encoders", "cases.json"),
              encoding="utf-8") as file:
        entries = json.load(file)
    with tempfile.TemporaryDirectory() as packs:
        failed = sum(not keeps_limit(program, entry, *play) for entry in entries
                     for play in (("ref", "off"), (None, "off"), (None, packs)))
    sys.exit(1 if failed else 0)


main()
