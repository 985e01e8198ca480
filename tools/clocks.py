#!/usr/bin/env python3
"""No test depends on how fast the machine is: only waits.py and waits.h read a
clock or sleep, and no wait is shorter than a hang.

usage: tools/clocks.py
Prints FILE:LINE and what is wrong there; exit 1 if there is anything."""
import ast
import glob
import os
import re
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PYTHON = ["tests/integration/*.py", "tests/crash/*.py", "tests/lanes/*.py",
          "tests/fleet/*.py", "tools/fleet.py"]
PYTHON_CLOCK = "tests/integration/waits.py"
C = ["tests/unit/**/*.[ch]", "tests/fuzz/*.[ch]", "tests/oracle/*.[ch]"]
C_CLOCK = "tests/unit/waits.h"
WAIT_S_MIN = 120
# Named arguments that bound a wait, and calls whose first number does.
BOUNDS = {"timeout", "seconds", "timeout_s", "patience"}
CALLS = {"settimeout", "join", "wait", "communicate", "select", "poll",
         "get", "acquire", "create_connection", "wait_for"}
READS = re.compile(
    r"\b(flo_now_ms|flo_now_us|flo_wall_ms|clock_gettime|gettimeofday|"
    r"nanosleep|clock_nanosleep|usleep|sleep|alarm|setitimer)\s*\(|"
    r"\btime\s*\(\s*(NULL|&)")


def number(node):
    if isinstance(node, ast.Constant) and isinstance(node.value, (int, float)) \
            and not isinstance(node.value, bool):
        return node.value
    return None


def python_faults(path, tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for name in node.names:
                if name.name in ("time", "datetime", "sched"):
                    yield node.lineno, "import %s: use waits.py" % name.name
        elif isinstance(node, ast.ImportFrom):
            if node.module in ("time", "datetime"):
                yield node.lineno, "import %s: use waits.py" % node.module
        elif isinstance(node, ast.Call):
            for word in node.keywords:
                n = number(word.value)
                if word.arg in BOUNDS and n is not None and n < WAIT_S_MIN:
                    yield word.value.lineno, "%s=%g: waits.HANG_S" % (
                        word.arg, n)
            if isinstance(node.func, ast.Attribute) and node.args:
                at = 3 if node.func.attr == "select" else 0
                at = 1 if node.func.attr == "create_connection" else at
                n = number(node.args[at]) if len(node.args) > at else None
                if node.func.attr in CALLS and n is not None and \
                        0 < n < WAIT_S_MIN:
                    yield node.lineno, "%s(%g): waits.HANG_S" % (
                        node.func.attr, n)
                if node.func.attr == "sleep":
                    yield node.lineno, "sleep: waits.until() or waits.pace()"
            for first, second in zip(node.args, node.args[1:]):
                if isinstance(first, ast.Constant) and \
                        first.value == "--timeout" and \
                        isinstance(second, ast.Constant) and \
                        re.fullmatch(r"\d+(ms|s)", str(second.value)):
                    yield second.lineno, "--timeout %s: waits.HANG" % \
                        second.value


def clock_faults(tree):
    """The clock's own file: no bound below a hang's."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and \
                isinstance(node.targets[0], ast.Name) and \
                node.targets[0].id.endswith("_S"):
            n = number(node.value)
            if n is not None and n < WAIT_S_MIN:
                yield node.lineno, "%s = %g: at least %d" % (
                    node.targets[0].id, n, WAIT_S_MIN)


def c_faults(text):
    for at, line in enumerate(text.split("\n"), 1):
        code = re.sub(r'"(\\.|[^"\\])*"|//.*|/\*.*?\*/', "", line)
        found = READS.search(code)
        if found and not code.lstrip().startswith("*"):
            yield at, "%s): use tests/unit/waits.h" % found.group(0).strip()


def main():
    count = 0
    for patterns, clock in ((PYTHON, PYTHON_CLOCK), (C, C_CLOCK)):
        for path in sorted({f for p in patterns for f in glob.glob(
                os.path.join(ROOT, p), recursive=True)}):
            name = os.path.relpath(path, ROOT)
            with open(path, encoding="utf-8") as file:
                text = file.read()
            if name == PYTHON_CLOCK:
                found = clock_faults(ast.parse(text))
            elif name == C_CLOCK:
                found = [] if re.search(r"WAITS_HANG_S = ([1-9]\d{2,})\b",
                                        text) else [(1, "a bound below 120 s")]
            elif clock == PYTHON_CLOCK:
                found = python_faults(name, ast.parse(text))
            else:
                found = c_faults(text)
            for line, what in sorted(found):
                print("%s:%d: %s" % (name, line, what))
                count += 1
    return 1 if count else 0


if __name__ == "__main__":
    sys.exit(main())
