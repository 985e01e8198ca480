#!/usr/bin/env python3
"""Vectors and scores of encoders, against those of the models' own library.

usage: encoders.py --bin DIR
tests/oracle/encoders/cases.json has the texts, the expected numbers, and the
largest error: its rms as a share of the deviation of all expected numbers. A
quantised file may be 1.25 times as far as llama.cpp is on the same file, and
0.005; the F32 file is exact. Each case is played once by plain C and once by the
best kernel."""
import json
import math
import os
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def answer(program, entry, case, kernel):
    words = (["embed", case["text"]] if entry["kind"] == "vectors" else
             ["rerank", case["query"], case["document"]])
    done = subprocess.run(
        [program, *words, "--model", os.path.join(ROOT, entry["model"]), "--threads", "2",
         *(["--kernel", kernel] if kernel else [])],
        capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit("%s: %s" % (entry["model"], done.stderr))
    value = json.loads(done.stdout)
    if isinstance(value, dict):
        value = value.get("embedding", value.get("score"))
    return value if isinstance(value, list) else [value]


def main():
    program = os.path.join(sys.argv[sys.argv.index("--bin") + 1], "flotilla-model")
    with open(os.path.join(ROOT, "tests", "oracle", "encoders", "cases.json"),
              encoding="utf-8") as file:
        entries = json.load(file)
    failed = 0
    for entry in entries:
        for kernel in ("ref", None):
            squares = count = 0
            for case in entry["cases"]:
                got = answer(program, entry, case, kernel)
                assert len(got) == len(case["expected"]), (entry["model"], len(got))
                squares += sum((a - b) ** 2 for a, b in zip(got, case["expected"]))
                count += len(got)
            error = math.sqrt(squares / count) / entry["deviation"]
            print("%s %s: error %.2g, limit %.2g" % (
                kernel or "best", entry["model"], error, entry["limit"]))
            failed += not error <= entry["limit"]
    sys.exit(1 if failed else 0)


main()
