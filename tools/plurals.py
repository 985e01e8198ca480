#!/usr/bin/env python3
"""No count with a plural that is wrong for one: "1 devices".

A format that prints a number in front of a noun of NOUNS ends the noun with %s
for flo_s() (flotilla/plural.h).  Limits of the program (%d) are constants, and
their plural is right.

usage: plurals.py"""
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
NOUNS = ("adapter alert approval artifact blob case certificate day delta device "
         "file group login message model order probe prompt release request "
         "rollout time variant webhook").split()
LITERAL = re.compile(r'"(?:[^"\\\n]|\\.)*"(?:\s*(?:PRI\w+\s*)?"(?:[^"\\\n]|\\.)*")*')
PART = re.compile(r'"((?:[^"\\\n]|\\.)*)"')
WRONG = re.compile(r"(?<!more than )%(?:ll|z|l)?[ud](?<!%d) (?:[a-z]+ )?"
                   "(?:" + "|".join(NOUNS) + r")s\b(?!%|, at most|, %d are)")
# Numbers that are more than one: of a program that lacks memory, or whose limit
# is reached.
LACK = re.compile(r"no memory|^%zu \w+( in a \w+)?$|already$|at once are not")


def sources():
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "*.c", "*.h",
         ":!tests"], cwd=ROOT, check=True, capture_output=True, text=True)
    return listed.stdout.split("\n")[:-1]


def main():
    bad = 0
    for path in sources():
        with open(os.path.join(ROOT, path), encoding="utf-8") as file:
            text = file.read()
        for literal in LITERAL.finditer(text):
            said = "".join(PART.findall(literal.group(0)))
            for found in WRONG.finditer(said):
                if not LACK.search(said):
                    bad += 1
                    print("%s:%d: `%s`" % (
                        path, text.count("\n", 0, literal.start()) + 1,
                        said[max(0, found.start() - 20):found.end() + 30]))
    return bad > 0


sys.exit(main())
