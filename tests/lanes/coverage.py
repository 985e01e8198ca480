#!/usr/bin/env python3
"""Branches of the cores that the unit tests take, held above a floor.

usage: coverage.py [BUILD] [--lines]

Only the cores are compiled again, for gcov, and only the unit tests that link
them are linked again: with that, a branch is one way that a decision can go.  A
branch of an assert is none: its other way is a bug of ours.  --lines lists the
branches that no test took."""
import argparse
import concurrent.futures
import gzip
import json
import os
import re
import shlex
import shutil
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
sys.path[:0] = [os.path.join(ROOT, "tools"), os.path.join(ROOT, "tests", "mutants")]
from cores import CORES  # noqa: E402
from play import HANG_S, Build, object_of  # noqa: E402

FLOOR = 95.0  # % of the branches, all cores together
ASSERT = re.compile(r"\b_?(?:static_)?assert\(", re.I)


def compiled(build, place):
    """{library: archive of its cores' objects}; its note lies next to each object."""
    jobs, members = [], {}
    for path, ways in sorted(build.commands.items()):
        if not path.startswith(tuple(core + "/" for core in CORES)):
            continue
        for way in ways:
            library = re.search(r"(\w+)\.dir/", object_of(way)).group(1)
            out = os.path.join(place, library, path.replace("/", "+")[:-2] + ".o")
            os.makedirs(os.path.dirname(out), exist_ok=True)
            words = [word for word in way if not re.match(r"-O\d|-g\d?$|-MD|-flto", word)]
            words[words.index("-o") + 1] = out
            for flag in ("-MT", "-MF"):
                if flag in words:
                    at = words.index(flag)
                    del words[at:at + 2]
            words[1:1] = ["-O0", "--coverage", "-fprofile-update=atomic", "-w"]
            jobs.append(words)
            members.setdefault("lib%s.a" % library, []).append(out)
    spread(lambda words: subprocess.run(words, cwd=build.folder, check=True), jobs)
    archives = {}
    for library, objects in members.items():
        archives[library] = os.path.join(place, library)
        subprocess.run(["ar", "rcs", archives[library]] + objects, check=True)
    return archives


def spread(work, items):
    with concurrent.futures.ThreadPoolExecutor(
            int(os.environ.get("JOBS") or len(os.sched_getaffinity(0)))) as pool:
        return list(pool.map(work, items))


def links(build):
    """{test: the words that link it}, of one look at the build."""
    told = subprocess.run(["ninja", "-C", build.folder, "-t", "commands", "all"],
                          check=True, capture_output=True, text=True).stdout
    found = {}
    for line in told.split("\n"):
        for part in line.split(" && "):
            at = re.search(r" -o tests/(test_\w+) ", part)
            if at is not None:
                found[at.group(1)] = shlex.split(part)
    return found


def linked(build, target, words, archives, place):
    """The test with those archives in front of their libraries; None: none is its."""
    with_cores = []
    for word in words:
        if os.path.basename(word) in archives:
            with_cores.append(archives[os.path.basename(word)])
        with_cores.append(word)
    if len(with_cores) == len(words):
        return None
    out = os.path.join(place, target)
    with_cores[with_cores.index("-o") + 1] = out
    subprocess.run(with_cores + ["--coverage"], cwd=build.folder, check=True)
    return out


def played(build, target, words, archives, place):
    """Its name when it is red."""
    program = linked(build, target, words, archives, place)
    if program is None:
        return None
    done = subprocess.run([program], cwd=ROOT, timeout=HANG_S, check=False,
                          env=dict(os.environ, FLOTILLA_BIN=build.programs),
                          stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL)
    os.unlink(program)
    return target if done.returncode != 0 else None


def asserted(path):
    """The numbers of the lines that belong to an assert."""
    lines, inside = set(), False
    with open(os.path.join(ROOT, path), encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            inside = inside or ASSERT.search(line) is not None
            if inside:
                lines.add(number)
            inside = inside and ";" not in line
    return lines


def branches(build, note):
    """{(file, line, place in the line): taken} of an object."""
    told = subprocess.run(
        ["gcov", "--json-format", "--branch-probabilities", "--stdout", note],
        cwd=build.folder, check=True, capture_output=True).stdout
    found = {}
    for file in json.loads(told if told[:1] == b"{" else gzip.decompress(told))["files"]:
        path = os.path.relpath(os.path.join(build.folder, file["file"]), ROOT)
        if not path.startswith(tuple(core + "/" for core in CORES)):
            continue
        leave = asserted(path)
        for line in file["lines"]:
            if line["line_number"] in leave:
                continue
            for place, branch in enumerate(line["branches"]):
                key = path, line["line_number"], place
                found[key] = found.get(key, False) or branch["count"] > 0
    return found


def main():
    parse = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parse.add_argument("build", nargs="?",
                       default=os.path.join(ROOT, "build", "release"))
    parse.add_argument("--lines", action="store_true")
    args = parse.parse_args()
    build = Build(args.build)
    place = os.path.join(build.folder, "coverage")
    shutil.rmtree(place, ignore_errors=True)
    archives = compiled(build, place)
    red = [name for name in spread(
        lambda one: played(build, one[0], one[1], archives, place),
        sorted(links(build).items())) if name]
    found = {}
    for folder, _, names in os.walk(place):
        for part in spread(lambda note: branches(build, note),
                           [os.path.join(folder, name) for name in sorted(names)
                            if name.endswith(".gcno")]):
            for key, taken in part.items():
                found[key] = found.get(key, False) or taken
    for core in CORES:
        own = [taken for (path, _, _), taken in found.items()
               if path.startswith(core + "/")]
        print("%-20s %5.1f %% of %5d branches" % (
            core, 100 * sum(own) / max(1, len(own)), len(own)))
    share = 100 * sum(found.values()) / len(found)
    print("%-20s %5.1f %% of %5d branches, floor %.1f %%" % (
        "all cores", share, len(found), FLOOR))
    if args.lines:
        for path, line, place in sorted(key for key in found if not found[key]):
            print("%s:%d: way %d" % (path, line, place))
    for name in red:
        print("red: %s" % name)
    return bool(red) or share < FLOOR


if __name__ == "__main__":
    sys.exit(main())
