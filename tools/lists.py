#!/usr/bin/env python3
"""No list is old when it is read: tests list folders and processes by sets.py
alone, which reads a set and its members as of one moment.

usage: tools/lists.py
Prints FILE:LINE and what is wrong there; exit 1 if there is anything."""
import ast
import glob
import os
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PYTHON = ["tests/integration/*.py", "tests/crash/*.py", "tests/lanes/*.py",
          "tests/fleet/*.py", "tools/fleet.py", "tools/demo*.py"]
CALLS = {"listdir": "names()", "scandir": "stats()", "walk": "tree()",
         "fwalk": "tree()", "glob": "fitting()", "iglob": "fitting()",
         "rglob": "paths()", "iterdir": "names()", "copytree": "copy()"}
WORDS = {"pgrep", "pidof", "pkill", "killall"}
NOT_A_FOLDER = {("ast", "walk")}
# Where nobody changes the set: (file, why).
AT_REST = {
    "tests/integration/sets.py": "the one place",
    "tests/integration/test_sets.py": "what it must refute",
    "tests/integration/waits.py": "sets.py waits by it",
    "tests/crash/assets.py": "a disk whose programs have ended",
    "tests/crash/disk.py": "a disk whose programs have ended",
    "tests/crash/pairs.py": "a disk whose programs have ended",
    "tests/crash/power.py": "a disk whose programs have ended",
    "tests/crash/shows.py": "a disk whose programs have ended",
    "tests/crash/sweep.py": "a disk whose programs have ended",
    "tests/lanes/coverage.py": "reports that are written",
    "tests/lanes/model_damage.py": "models of the repository",
}


def faults(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and \
                isinstance(node.func, ast.Attribute) and \
                node.func.attr in CALLS:
            of = node.func.value
            if (getattr(of, "id", None), node.func.attr) not in NOT_A_FOLDER:
                yield node.lineno, "%s: sets.%s" % (
                    node.func.attr, CALLS[node.func.attr])
        elif isinstance(node, ast.Constant) and node.value in WORDS:
            yield node.lineno, "%s: sets.processes() or sets.kill()" % \
                node.value
        elif isinstance(node, ast.ImportFrom) and \
                {name.name for name in node.names} & set(CALLS):
            yield node.lineno, "from %s: sets.py" % node.module


def main():
    count, unused = 0, set(AT_REST)
    for path in sorted({f for p in PYTHON for f in glob.glob(
            os.path.join(ROOT, p))}):
        name = os.path.relpath(path, ROOT)
        with open(path, encoding="utf-8") as file:
            found = sorted(faults(ast.parse(file.read())))
        if found and name in AT_REST:
            unused.discard(name)
            continue
        for line, what in found:
            print("%s:%d: %s" % (name, line, what))
            count += 1
    for name in sorted(unused):
        print("%s: at rest, and lists nothing" % name)
    return 1 if count or unused else 0


if __name__ == "__main__":
    sys.exit(main())
