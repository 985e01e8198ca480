#!/usr/bin/env python3
"""A new error id or metric compiles few objects again: at most LIMIT.

usage: tools/rebuilds.py BUILD [--table]

The headers of base/include/flotilla/errors/ and <flotilla/metrics.h> change
with each row of their table. ninja knows which objects include them. A header
never does, because whoever includes that would follow; a file that names
nothing of such a header leaves it out.
"""
import collections
import os
import re
import subprocess
import sys

from error_codes import FOLDER, ROOT, families

LIMIT = 60
METRICS = "proto/include/flotilla/metrics.h"


def watched():
    """The pattern of what code names, by each header."""
    names = {"%s/%s.h" % (FOLDER, family):
             re.compile(r"\bFLO_E_(%s)\b" % "|".join(n for n, _ in codes))
             for family, codes in families().items() if family != "core"}
    names[METRICS] = re.compile(r"\bFLO_METRIC_(NAME_|COUNT\b)")
    return names


def includes(names):
    """Faults in who includes the headers."""
    faults = []
    lines = subprocess.run(
        ["git", "grep", "-nE", r"#include <flotilla/(errors/|metrics\.h)", "--",
         "*.c", "*.h"], cwd=ROOT, text=True, capture_output=True,
        check=True).stdout
    texts = {}
    for path, header in re.findall(
            r"^([^:]+):\d+:#include <(flotilla/[^>]+)>", lines, re.M):
        header = next((h for h in names if h.endswith("/" + header)), header)
        if path.startswith(FOLDER) or header.endswith("/core.h"):
            continue
        if path not in texts:
            with open(os.path.join(ROOT, path), encoding="utf-8") as file:
                texts[path] = re.sub(r"/\*.*?\*/", "", file.read(), flags=re.S)
        if path.endswith(".h") or header not in names and path != "base/err.c":
            faults.append("%s includes %s" % (path, header))
        elif header in names and not names[header].search(texts[path]):
            faults.append("%s needs nothing of %s" % (path, header))
    return faults


def objects(build, names):
    """The objects that include each header."""
    found = collections.defaultdict(set)
    wanted = {os.path.relpath(os.path.join(ROOT, name),
                              os.path.join(ROOT, build)): name
              for name in names}
    lines = subprocess.run(["ninja", "-t", "deps"], cwd=build, text=True,
                           capture_output=True, check=True).stdout
    target = ""
    for line in lines.split("\n"):
        if line.startswith("    "):
            name = wanted.get(line.strip())
            if name:
                found[name].add(target)
        elif line:
            target = line.split(":")[0]
    return found


def main():
    build = sys.argv[1]
    names = watched()
    faults = includes(names)
    found = objects(os.path.join(ROOT, build), names)
    for name in sorted(names, key=lambda n: -len(found[n])):
        if len(found[name]) > LIMIT:
            faults.append("%s: %d objects include it, more than %d: let fewer "
                          "name its codes, or split it" % (
                              name, len(found[name]), LIMIT))
        if "--table" in sys.argv:
            print("%3d %3d of the product  %s" % (
                len(found[name]), sum(not o.startswith("tests/")
                                      for o in found[name]), name))
    for fault in faults:
        print("rebuilds: " + fault)
    return 1 if faults else 0


sys.exit(main())
