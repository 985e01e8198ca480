#!/usr/bin/env python3
"""Print the tests of BUILD that have an engine in them, one a line.

usage: tests/run/engines.py BUILD
A program has one if it is linked with the kernels, or starts a program whose name
ends in -engine. A script or a story has one if it or a module that it imports names
a model's file, or a program that opens one. Lanes and checks are left out."""
import json
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
LINKED = re.compile(rb"\0flo_kernel_choose\0|\0(?:[^\0 ]*/)?[a-z]+-engine\0")
NAMED = re.compile(rb"[.]gguf|flotilla-(?:engine|model)")
IMPORT = re.compile(rb"^\s*(?:from|import) ([a-z_0-9]+)", re.M)
SHARED = (b"waits", b"conftest")  # every story's, and without a model's name


def has_engine(path, seen):
    if path in seen or not os.path.isfile(path):
        return False
    seen.add(path)
    with open(path, "rb") as file:
        text = file.read()
    if text.startswith(b"\x7fELF"):
        return LINKED.search(text) is not None
    if NAMED.search(text):
        return True
    return any(has_engine(os.path.join(os.path.dirname(path), name.decode() + ".py"), seen)
               for name in IMPORT.findall(text) if name not in SHARED)


def main():
    tests = json.loads(subprocess.run(
        ["ctest", "--show-only=json-v1"], cwd=sys.argv[1], capture_output=True,
        check=True).stdout)["tests"]
    for test in tests:
        facts = {one["name"]: one["value"] for one in test["properties"]}
        labels = facts.get("LABELS", [])
        if "lane" in labels or "check" in labels or facts.get("DISABLED"):
            continue
        # The first four words are the launcher's.
        if any(has_engine(os.path.join(ROOT, word), set())
               for word in test.get("command", [])[4:]):
            print(test["name"])


if __name__ == "__main__":
    main()
