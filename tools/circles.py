#!/usr/bin/env python3
"""No circle among object files, no exported name and no tag of a struct twice.

usage: tools/circles.py BUILD

An object needs another one when `nm` shows a name that it uses and the other
one defines. Objects that need each other in a circle cannot be understood,
tested or moved alone. A name that two objects export, or a struct that two
headers define, lets a program link both and die without a word.
"""
import collections
import json
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TAG = re.compile(r"^(?:struct|union|enum) (flo_\w+)\s*\{", re.M)


def objects(build):
    """Each object of the product: its path in the build, by its source."""
    with open(os.path.join(build, "compile_commands.json")) as file:
        commands = json.load(file)
    found = {}
    for command in commands:
        source = os.path.relpath(command["file"], ROOT)
        output = re.search(r" -o (\S+)", command["command"]).group(1)
        if not source.startswith(("tests/", "build/", "..")):
            found.setdefault(source, output)
    return found


def symbols(build, found):
    """The names that each source defines and needs, as `nm` lists them."""
    missing = [o for o in found.values()
               if not os.path.exists(os.path.join(build, o))]
    if missing:
        sys.exit("circles: not built: %s and %d more"
                 % (missing[0], len(missing) - 1))
    defines = collections.defaultdict(set)
    needs = {source: set() for source in found}
    by_output = {output: source for source, output in found.items()}
    lines = subprocess.run(["nm", "-A", "-g", *by_output], cwd=build, text=True,
                           stdout=subprocess.PIPE, check=True).stdout
    for line in lines.splitlines():
        output, _, rest = line.partition(":")
        kind, name = rest.split()[-2:]
        if kind == "U":
            needs[by_output[output]].add(name)
        elif kind in "TDBRVWCGS" and name.startswith("flo_"):
            defines[name].add(by_output[output])
    return defines, needs


def arrows(defines, needs):
    """Who needs whom, and by which names."""
    out = {source: collections.defaultdict(list) for source in needs}
    for source, names in needs.items():
        for name in sorted(names):
            for owner in defines.get(name, ()):
                out[source][owner].append(name)
    return out


def circles(graph):
    """Sets of sources that reach each other (Tarjan's algorithm)."""
    number, lowest, stack, found = {}, {}, [], []

    def visit(node):
        number[node] = lowest[node] = len(number)
        stack.append(node)
        for other in graph[node]:
            if other not in number:
                visit(other)
                lowest[node] = min(lowest[node], lowest[other])
            elif other in stack:
                lowest[node] = min(lowest[node], number[other])
        if lowest[node] == number[node]:
            at = stack.index(node)
            if len(stack) - at > 1:
                found.append(sorted(stack[at:]))
            del stack[at:]

    sys.setrecursionlimit(10000)
    for node in sorted(graph):
        if node not in number:
            visit(node)
    return sorted(found, key=len, reverse=True)


def tags():
    """The headers that define each struct, union and enum."""
    found = collections.defaultdict(list)
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "*.h", ":!tests"],
        cwd=ROOT, text=True, stdout=subprocess.PIPE, check=True).stdout
    for path in sorted(set(listed.split())):
        if os.path.exists(os.path.join(ROOT, path)):
            with open(os.path.join(ROOT, path), encoding="utf-8") as file:
                for tag in set(TAG.findall(file.read())):
                    found[tag].append(path)
    return found


def main():
    found = objects(sys.argv[1])
    if not found:
        sys.exit("circles: %s lists no object of the product" % sys.argv[1])
    defines, needs = symbols(sys.argv[1], found)
    graph = arrows(defines, needs)
    bad = 0
    for members in circles(graph):
        bad += len(members)
        print("%d objects in a circle:" % len(members))
        for source in members:
            for other in sorted(set(graph[source]) & set(members)):
                print("  %s needs %s: %s"
                      % (source, other, " ".join(graph[source][other])))
    for what, owners in (("exported", defines), ("defined", tags())):
        for name, places in sorted(owners.items()):
            if len(places) > 1:
                bad += 1
                print("%s is %s twice: %s"
                      % (name, what, " ".join(sorted(places))))
    print("%d objects, %d that stand in a circle or names that stand twice"
          % (len(graph), bad))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
