#!/usr/bin/env python3
"""Calls of tools: how many keep their schema, plain and streamed.

usage: bench_calls.py BIN_DIR [--runs N] MODEL[=TEMPLATE] ...

Each tool of tests/integration/test_tools.py is asked for N times with
`required`, every second time as a stream, at temperatures from 0 to 2.
Prints a row for each model and ends with 1 if one call did not fit.
"""
import argparse
import os
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))), "integration"))

import test_tools  # noqa: E402
from test_local_api import Server  # noqa: E402


# Also one that a model would not end: its form is closed at max_tokens.
WHOLE = ("tool_calls", "length")


def one(server, made, fits, seed):
    fields = {"tools": [made], "tool_choice": "required", "seed": seed,
              "temperature": (0, 0.7, 1, 1.5, 2)[seed % 5],
              "parallel_tool_calls": seed % 3 == 0}
    if seed % 2:
        calls = test_tools.streamed(server, WHOLE, **fields)
    else:
        status, answer = test_tools.ask(server, **fields)
        assert status == 200, answer
        calls = test_tools.call_of(answer, WHOLE)
    return all(name == made["function"]["name"] and fits(arguments)
               for name, arguments in calls)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("bin_dir")
    parser.add_argument("models", nargs="+")
    parser.add_argument("--runs", type=int, default=200)
    options = parser.parse_args()
    missed = 0
    for entry in options.models:
        model, _, template = entry.partition("=")
        more = ["--template", template] if template else []
        good = total = cut = 0
        with tempfile.TemporaryDirectory() as folder:
            server = Server(options.bin_dir, folder, model=model, options=more)
            for made, fits in test_tools.TOOLS:
                for seed in range(options.runs):
                    total += 1
                    try:
                        good += one(server, made, fits, seed)
                    except (AssertionError, ValueError) as error:
                        cut += 1
                        print("  %s, seed %d: %s" % (
                            made["function"]["name"], seed,
                            str(error)[:300]), file=sys.stderr)
            server.close()
        missed += total - good
        print("| %s | %d | %d | %d |" % (os.path.basename(model) + (
            ", " + template.split("/")[-2] if "/" in template else template),
            total, good, cut), flush=True)
    sys.exit(missed > 0)


if __name__ == "__main__":
    main()
