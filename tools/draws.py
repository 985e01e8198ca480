#!/usr/bin/env python3
"""No test draws for itself what it plays: tests/run/draw.py has the only seed.

usage: tools/draws.py
Refuses in tests/ what is another number with each run: the system's randomness,
generators without a seed, seeds of the clock or of a process.  Prints FILE:LINE and
what is wrong there; exit 1 if there is anything."""
import ast
import glob
import os
import re
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
INSTEAD = "tests/run/draw.py has the seed; random.Random(NAME) fills"
ALLOWED = {  # file: its words, and why no seed can give them
    "tests/unit/server/store/cluster.h": "flo_random(",  # a name between processes
    "tests/lanes/rabbitmq_cluster.py": "os.urandom",  # a secret that guards the nodes
}
# Names of a module that are always refused.
REFUSED = {"os": {"urandom", "getrandom"}, "random": {"SystemRandom", "seed"},
           "uuid": {"uuid1", "uuid4"}, "secrets": None}
SEEDED = {"Random", "default_rng"}
CLOCK = re.compile(r"\b(time|time_ns|monotonic|moment|wall_s|wall_ms|getpid|hash|id)\(")
C = re.compile(r"(?<![\w.>])(s?rand|s?random|[dlm]rand48|arc4random\w*|getrandom|"
               r"getentropy|flo_random)\s*\(|/dev/u?random")
SHELL = re.compile(r"\$\{?S?RANDOM\b|/dev/u?random|\buuidgen\b|openssl rand|"
                   r"(\bshuf\b|\bsort -R|--random-sort)(?!.*--random-source)|"
                   r"(?i:seed)=\S*(date|\$\$)")
PAGE = re.compile(r"Math\.random\(|crypto\.(randomUUID|getRandomValues)")


def name_of(node):
    """("os", "urandom") of os.urandom."""
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        return node.value.id, node.attr
    return None, node.id if isinstance(node, ast.Name) else ""


def python_faults(text):
    tree = ast.parse(text)
    modules = {one.name for node in ast.walk(tree) if isinstance(node, ast.Import)
               for one in node.names}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (
                node.module in ("random", "secrets") or node.module in REFUSED and
                REFUSED[node.module] & {one.name for one in node.names}):
            yield node.lineno, "from %s import" % node.module
        elif isinstance(node, ast.Attribute):
            module, word = name_of(node)
            if module in modules & set(REFUSED) and (
                    REFUSED[module] is None or word in REFUSED[module] or
                    module == "random" and word != "Random"):
                yield node.lineno, "%s.%s" % (module, word)
        elif isinstance(node, ast.Call) and name_of(node.func)[1] in SEEDED:
            given = ", ".join(map(ast.unparse, node.args))
            if not given or CLOCK.search(given):
                yield node.lineno, ast.unparse(node)
        elif isinstance(node, ast.Constant) and re.match(r"/dev/u?random", str(node.value)):
            yield node.lineno, node.value


def line_faults(pattern, comment):
    def faults(text):
        for at, line in enumerate(text.split("\n"), 1):
            found = pattern.search(re.sub(comment, "", line))
            if found:
                yield at, found.group(0)
    return faults


KINDS = {
    "py": python_faults,
    "sh": line_faults(SHELL, r"(^|\s)#.*"),
    "c": line_faults(C, r'//.*|/\*.*|^ \*.*'),
    "h": line_faults(C, r'//.*|/\*.*|^ \*.*'),
    "js": line_faults(PAGE, r"^\s*//.*"),
}


def main():
    count = 0
    for path in sorted(glob.glob(os.path.join(ROOT, "tests", "**", "*.*"), recursive=True)):
        name = os.path.relpath(path, ROOT)
        kind = KINDS.get(name.rsplit(".", 1)[1])
        if kind is None or not os.path.isfile(path):
            continue
        with open(path, encoding="utf-8") as file:
            text = file.read()
        for line, what in sorted(kind(text)):
            if what != ALLOWED.get(name):
                print("%s:%d: %s: %s" % (name, line, what, INSTEAD))
                count += 1
    return 1 if count else 0


if __name__ == "__main__":
    sys.exit(main())
