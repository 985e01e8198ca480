#!/usr/bin/env python3
"""Counts of the tree that docs/decisions/house.md speaks of and no check holds.

usage: house.py"""
import os
import re
import subprocess
import sys

from cores import CORES

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SHELLS = ("agent/shell", "agent/serve", "server-stub/state",
          "server-stub/mqtt", "server-stub/rest", "server-stub/run")
BRANCH = re.compile(r"\b(?:if|while|for) \(|\bcase |\? ")
# Texts, signs and comments, which may hold anything.
QUOTED = re.compile(r"""/\*.*?\*/|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'""", re.S)
# A test of an error: of its code, of a missing pointer, of what a call returned.
ERROR = re.compile(r"\br[cv]\b|\berrn?o?\b|[=!]= NULL|\bFLO_E_|"
                   r"\b\w*(?:ok|failed|bad|broken)\b|"
                   r"\b(?!strn?cmp|strn?casecmp|memcmp)\w+"
                   r"\((?:[^()]|\([^()]*\))*\) (?:!=|==|<) 0")


def files(*patterns):
    """{path: text} of what the tree has."""
    listed = subprocess.run(["git", "ls-files", "-z", "--", *patterns],
                            cwd=ROOT, check=True, capture_output=True)
    out = {}
    for path in listed.stdout.decode().split("\0")[:-1]:
        with open(os.path.join(ROOT, path), encoding="utf-8") as text:
            out[path] = text.read()
    return out


def within(sources, folders):
    return "".join(text for path, text in sources.items()
                   if path.startswith(tuple(f + "/" for f in folders)))


def decisions(text):
    """How many conditions and cases of it test no error."""
    text, count = QUOTED.sub("", text), 0
    for found in re.finditer(r"\b(?:if|while) \(", text):
        end = depth = 1
        while depth > 0:
            depth += {"(": 1, ")": -1}.get(text[found.end() + end - 1], 0)
            end += 1
        count += ERROR.search(text[found.end():found.end() + end - 2]) is None
    return count + len(re.findall(r"\bcase (?!FLO_E_)", text))


def lines(text):
    return text.count("\n")


def main():
    every = files("*.c", "*.h", "*.def")
    product = {path: text for path, text in every.items()
               if not path.startswith("tests/")}
    core = within(product, CORES)
    asserts = core.count("assert(")
    long = subprocess.run(
        [sys.executable, "tools/voice.py", "--long"], cwd=ROOT,
        capture_output=True, text=True, check=False).stdout.splitlines()
    for count, what in (
            (lines("".join(product.values())), "lines of product code"),
            ("%d : %d" % (len(BRANCH.findall(within(product, SHELLS))),
                          len(BRANCH.findall(core))),
             "branches in shells : in cores"),
            ("%.0f %%" % (100 * decisions(core) / (
                decisions(core) + decisions(within(product, SHELLS)))),
             "of the decisions that test no error are in cores"),
            ("%.1f" % (1000 * asserts / lines(core)),
             "asserts per 1,000 lines of core (%d in %d)" % (
                 asserts, lines(core))),
            (sum(lines(text) > 800 for path, text in every.items()
                 if path.endswith(".c")), "`.c` files over 800 lines"),
            (sum("packed" in text.lower() for path, text in product.items()
                 if not path.startswith("engine/")),
             "files outside the engine that say \"packed\""),
            (len(long), "sentences over 25 words")):
        print("%15s  %s" % (count, what))


main()
