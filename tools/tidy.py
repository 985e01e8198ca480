#!/usr/bin/env python3
"""clang-tidy over the product, by the rules of .clang-tidy.

usage: tools/tidy.py [FOLDER-OR-FILE ...]

Needs a build (build/release) for its compile_commands.json.  A finding that is
meant stands in tools/tidy.txt with its reason; a row that finds nothing any
more is a fault as well, where all of the product is looked at.  Exit code 77:
there is no clang-tidy or no build."""
import json
import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
ROOMS = ("agent/", "base/", "engine/", "proto/", "server-stub/", "updater/")
FOUND = re.compile(r"^(\S+?):(\d+):\d+: warning: (.*) \[([\w.,-]+)\]$", re.M)
FAULT = re.compile(r"^\S+: error: .*$", re.M)
BUILD = "build/release"


def files(words):
    """Product files that the build compiles, each once."""
    with open(os.path.join(ROOT, BUILD, "compile_commands.json"),
              encoding="utf-8") as file:
        names = {os.path.relpath(row["file"], ROOT) for row in json.load(file)}
    return sorted(name for name in names if name.startswith(ROOMS) and
                  (not words or name.startswith(tuple(words))))


def known():
    """Rows `path | check | reason`."""
    rows = {}
    with open(os.path.join(ROOT, "tools/tidy.txt"), encoding="utf-8") as file:
        for line in file:
            if line.strip() and not line.startswith("#"):
                path, check, reason = (cell.strip() for cell in line.split("|"))
                assert reason, line
                rows[path, check] = reason
    return rows


def look(program, names):
    done = subprocess.run([program, "-p", BUILD, "--quiet", *names], cwd=ROOT,
                          capture_output=True, text=True)
    # A message that a file's own code prints is not one of the compiler.
    return ({(os.path.relpath(path, ROOT), int(line), words, check)
             for path, line, words, check in FOUND.findall(done.stdout)},
            FAULT.findall(done.stdout))


def main(words):
    program = shutil.which("clang-tidy-14")
    if program is None or not os.path.exists(
            os.path.join(ROOT, BUILD, "compile_commands.json")):
        print("skipped: tidy: no clang-tidy-14 (deploy/install-deps.sh "
              "--optional), or no build in " + BUILD)
        return 77
    names = files(words)
    jobs = int(os.environ.get("JOBS") or os.cpu_count())
    pieces = [names[i:i + 8] for i in range(0, len(names), 8)]
    rows, found, faults = known(), set(), []
    with ThreadPoolExecutor(jobs) as pool:
        for some, errors in pool.map(lambda piece: look(program, piece), pieces):
            found |= some
            faults += errors
    used = {(path, check) for path, _, _, check in found}
    faults += ["%s:%d: %s [%s]" % one for one in sorted(found)
               if (one[0], one[3]) not in rows]
    if not words:
        faults += ["tools/tidy.txt: %s has no %s any more" % row
                   for row in sorted(set(rows) - used)]
    print("\n".join(faults), end="\n" if faults else "")
    print("tidy: %d files, %d findings that are meant%s" % (
        len(names), len(found) - sum(1 for one in found
                                     if (one[0], one[3]) not in rows),
        "" if not faults else ", %d faults" % len(faults)))
    return 1 if faults else 0


sys.exit(main(sys.argv[1:]))
