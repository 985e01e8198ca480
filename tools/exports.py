#!/usr/bin/env python3
"""No exported function that no other file of the product needs.

usage: tools/exports.py BUILD

A name in a public header of the engine is for other programs. A name that
tests call as well as its own file is a seam; any other one is static or goes."""
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import circles  # noqa: E402

API = ("engine/include/flotilla/engine.h", "engine/include/flotilla/grammar.h")
# Functions of these headers wait for who does not call them yet: the rollout.
WAITING = tuple("server-stub/core/gate/slices/%s.h" % name for name in (
    "count_scan", "detect", "pooled", "slow"))
# Functions that only tests call, each with its reason.
TESTS_ALONE = {
    "flo_sizes_add_library": "flotilla-engine-llama, which few builds have",
    "flo_vocab_open_library": "the same",
    "flo_slope_of": "golden vectors give readings; a device keeps their sums",
    "flo_statistic_replay": "a golden vector is one whole test",
    "flo_memory_way_word": "golden traces of the plan",
    "flo_pressure_cause_word": "golden traces of the steps under pressure",
    "flo_pressure_word": "golden traces of the steps under pressure",
    "flo_runtime_deinit": "a proxy ends with its runtime; the fuzzer goes on",
}


def words(pattern, *places):
    """Every flo_ word in these files."""
    text = subprocess.run(["git", "grep", "-ohwE", pattern, "--", *places],
                          cwd=circles.ROOT, text=True,
                          stdout=subprocess.PIPE).stdout
    return set(text.split())


def own_uses(source, name):
    """How often a file says the name, its definition included."""
    with open(os.path.join(circles.ROOT, source), encoding="utf-8") as file:
        return len(re.findall(r"\b%s\b" % name, file.read()))


def main():
    build = sys.argv[1]
    defines, needs = circles.symbols(build, circles.objects(build))
    needed = set().union(*needs.values())
    public = words(r"flo_\w+", *API, *WAITING)
    tested = words(r"flo_\w+", "tests")
    bad = 0
    for name, owners in sorted(defines.items()):
        source = min(owners)
        if name in needed or name in public or name in TESTS_ALONE:
            continue
        uses = own_uses(source, name)
        if uses == 0:  # made by a macro
            continue
        if uses > 1 and name in tested:
            continue
        bad += 1
        print("%s: %s is needed by no other file%s"
              % (source, name, "; tests alone call it"
                 if name in tested else ""))
    for name in sorted(set(TESTS_ALONE) - set(defines)):
        bad += 1
        print("tools/exports.py: %s is not there" % name)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
