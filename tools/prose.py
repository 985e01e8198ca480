#!/usr/bin/env python3
"""Draw comments and sentences of the docs for readers to grade.

usage: prose.py comments|docs [--seed WORD] [--count N | --all] [--room FOLDER]

The seed is the last commit unless it is named, so that nobody chooses what is
graded.  docs/internals/prose.md keeps the grades and says how they are given."""
import argparse
import os
import random
import re
import subprocess

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
COMMENT = re.compile(r"/\*(.*?)\*/", re.S)
MADE = "docs/reference/"  # tables that `make docs` writes


def listed(*patterns):
    return subprocess.run(["git", "ls-files", "--", *patterns], cwd=ROOT, text=True,
                          check=True, stdout=subprocess.PIPE).stdout.split("\n")[:-1]


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as file:
        return file.read()


def comments(room):
    """(place, text, the code line it stands at) of each comment of the product."""
    for path in listed("*.c", "*.h", "*.def"):
        if path.startswith("tests/") or not path.startswith(room):
            continue
        text = read(path)
        for found in COMMENT.finditer(text):
            words = re.sub(r"(?:\s*\n\s*\*?)+\s*", " ", found.group(1)).strip()
            if len(words.split()) < 4 or words.startswith("----"):
                continue
            begin = text.rfind("\n", 0, found.start()) + 1
            before = text[begin:found.start()].strip()
            after = text[found.end():].lstrip().split("\n")[0]
            yield ("%s:%d" % (path, text.count("\n", 0, found.start()) + 1), words,
                   before or after)


def paragraphs(text):
    """(number of its first line, its words) of each paragraph and list item."""
    in_code, words, first = False, [], 0
    for number, line in enumerate(text.split("\n") + [""], 1):
        in_code ^= line.startswith("```")
        is_prose = not in_code and line.strip() and not line.startswith(
            ("#", "|", "```", "<", "    "))
        if words and (not is_prose or re.match(r"\s*(?:-|\d+\.) ", line)):
            yield first, " ".join(words)
            words = []
        if is_prose:
            first = first if words else number
            words.append(line.strip())


def sentences(room):
    for path in listed("docs/*.md", "README.md", "CONTRIBUTING.md"):
        if path.startswith(MADE) or not path.startswith(room):
            continue
        for number, text in paragraphs(read(path)):
            for words in re.split(r"(?<=[.!?])\s+(?=[A-Z`*\[])", text):
                if len(words.split()) >= 5:
                    yield "%s:%d" % (path, number), words, ""


def main():
    parse = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parse.add_argument("kind", choices=("comments", "docs"))
    parse.add_argument("--seed", default="")
    parse.add_argument("--count", type=int, default=60)
    parse.add_argument("--all", action="store_true")
    parse.add_argument("--room", default="")
    args = parse.parse_args()
    seed = args.seed or subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=ROOT, text=True, check=True,
        stdout=subprocess.PIPE).stdout.strip()
    every = list((comments if args.kind == "comments" else sentences)(args.room))
    drawn = every if args.all else random.Random(seed + args.kind).sample(every, min(args.count, len(every)))
    print("%d of %d, seed %s" % (len(drawn), len(every), seed))
    for number, (place, words, code) in enumerate(drawn, 1):
        print("\n%d. %s\n   %s" % (number, place, words))
        if code:
            print("   [at: %s]" % code)


main()
