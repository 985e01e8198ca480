#!/usr/bin/env python3
"""Branches of the cores that unit tests and the simulation take, held above a floor.

usage: coverage.py [BUILD] [--lines]

The cores are compiled once more, for gcov, and each unit test that has code of
them is linked with those objects and played.  A branch is one way that a
condition, or a part of it, can go.  None are the ways that only a bug of ours
takes: of an assert, of a predicate of soundness that asserts ask, and past a switch
that names each value (-Wswitch holds that).  --lines lists the branches that no
test took."""
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
WITHIN = tuple(core + "/" for core in CORES)
LONG = {"test_server_liars", "test_probes_loaded"}  # over 15 s of a core, for few branches
ASSERT = re.compile(r"\b_?(?:static_)?assert\(", re.I)
LEFT = re.compile(r"-O\d|-g\d?$|-MD|-flto|-ffile-prefix-map")


def spread(work, items):
    with concurrent.futures.ThreadPoolExecutor(
            int(os.environ.get("JOBS") or len(os.sched_getaffinity(0)))) as pool:
        return list(pool.map(work, items))


def compiled(build, place):
    """({library: archive of its cores}, {object: the one that takes its place})."""
    jobs, members, instead = [], {}, {}
    for path, ways in sorted(build.commands.items()):
        if not path.startswith(WITHIN):
            continue
        out = os.path.join(place, path.replace("/", "+")[:-2] + ".o")
        words = [word for word in ways[0] if not LEFT.match(word)]
        words[words.index("-o") + 1] = out
        for flag in ("-MT", "-MF"):
            if flag in words:
                at = words.index(flag)
                del words[at:at + 2]
        words[1:1] = ["-O0", "--coverage", "-w", "-include",
                      os.path.join(os.path.dirname(os.path.abspath(__file__)), "coverage.h")]
        jobs.append(words)
        for way in ways:
            instead[object_of(way)] = out
            library = re.search(r"([\w-]+)\.dir/", object_of(way)).group(1)
            members.setdefault("lib%s.a" % library, []).append(out)
    spread(lambda words: subprocess.run(words, cwd=build.folder, check=True), jobs)
    archives = {}
    for library, objects in members.items():
        archives[library] = os.path.join(place, library)
        subprocess.run(["ar", "rcs", archives[library]] + objects, check=True)
    return archives, instead


def links(build):
    """{program: the words that link it}, of one look at the build."""
    told = subprocess.run(["ninja", "-C", build.folder, "-t", "commands", "all"],
                          check=True, capture_output=True, text=True).stdout
    found = {}
    for line in told.split("\n"):
        for part in line.split(" && "):
            at = re.search(r" -o (tests/[\w-]+) ", part)
            if at is not None:
                found[os.path.join(build.folder, at.group(1))] = shlex.split(part)
    return found


def tests(build):
    """[(name, its words)]: units and the simulation, the program first."""
    told = json.loads(subprocess.run(
        ["ctest", "--test-dir", build.folder, "-L", "unit", "--show-only=json-v1"],
        check=True, capture_output=True, text=True).stdout)
    launched = [(test["name"], test["command"][4:]) for test in told["tests"]
                if "command" in test]
    return [(name, words) for name, words in launched
            if words and not name.endswith("_apart") and name not in LONG]


def linked(build, name, words, found, place):
    """The test with those objects; None: it has no code of the cores."""
    archives, instead = found
    out = os.path.join(place, name)
    with_cores = []
    for word in words:
        if os.path.basename(word) in archives:
            with_cores.append(archives[os.path.basename(word)])
        with_cores.append(instead.get(word, word))
    if with_cores == words:
        return None
    with_cores[with_cores.index("-o") + 1] = out
    subprocess.run(with_cores + ["--coverage"], cwd=build.folder, check=True)
    with open(out, "rb") as program:
        if os.fsencode(place) in program.read():
            return out
    os.unlink(out)
    return None


def played(build, test, words, found, place):
    """Its name when it is red."""
    name, command = test
    program = linked(build, name, words, found, place)
    if program is None:
        return None
    done = subprocess.run([program] + command[1:], cwd=ROOT, timeout=HANG_S, check=False,
                          env=dict(os.environ, FLOTILLA_BIN=build.programs),
                          stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL)
    os.unlink(program)
    return name if done.returncode != 0 else None


SOUND = re.compile(r"^\w.*\b\w*is_\w*sound\(")
SWITCH = re.compile(r"^( *)switch \(")


def left_out(path):
    """(lines whose branches are none, lines of switches that name each value)."""
    lines, whole, open_at, inside = set(), set(), {}, None
    with open(os.path.join(ROOT, path), encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            if inside is None and SOUND.match(line):
                inside = "}"
            elif inside is None and ASSERT.search(line):
                inside = ";"
            if inside is not None:
                lines.add(number)
                if line.startswith("}") if inside == "}" else ";" in line:
                    inside = None
            switch = SWITCH.match(line)
            if switch is not None:
                open_at[switch.group(1)] = number
                whole.add(number)
            indent = line[:len(line) - len(line.lstrip(" "))]
            if line.startswith((indent + "default:", indent + "case '")):
                whole.discard(open_at.get(indent))
    return lines, whole


def branches(build, note):
    """{(file, line, place in the line): taken} of an object."""
    told = subprocess.run(
        ["gcov", "--json-format", "--branch-probabilities", "--stdout", note],
        cwd=build.folder, check=True, capture_output=True).stdout
    found = {}
    for file in json.loads(told if told[:1] == b"{" else gzip.decompress(told))["files"]:
        path = os.path.relpath(os.path.join(build.folder, file["file"]), ROOT)
        if not path.startswith(WITHIN):
            continue
        leave, whole = left_out(path)
        for line in file["lines"]:
            if line["line_number"] in leave:
                continue
            ways = line["branches"]
            for place, branch in enumerate(ways[:-1] if line["line_number"] in whole else ways):
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
    os.makedirs(place)
    objects = compiled(build, place)
    of_program = links(build)
    told = spread(lambda test: played(build, test, of_program[test[1][0]], objects, place),
                  [test for test in tests(build) if test[1][0] in of_program])
    found = {}
    for part in spread(lambda note: branches(build, note),
                       [os.path.join(place, name) for name in sorted(os.listdir(place))
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
        for path, line, way in sorted(key for key in found if not found[key]):
            print("%s:%d: way %d" % (path, line, way))
    red = [name for name in told if name]
    for name in red:
        print("red: %s" % name)
    return bool(red) or share < FLOOR


if __name__ == "__main__":
    sys.exit(main())
