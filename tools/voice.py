#!/usr/bin/env python3
"""The plain voice of comments and pages, as far as a machine can hold it.

usage: tools/voice.py [--long] [FOLDER ...]

A section rule is one line, `/* ---- name ---- */`.  A cell of a table has at
most 120 characters.  No sentence begins with "What" or "Of" unless it asks,
and none says "anew" or "beside".  A C comment of the product has a subject: its
first word is not "of", "it" or "its".  With --long the sentences over 25 words are listed as
well; they are no fault."""
import os
import re
import subprocess
import sys

WORDS_MAX = 25
CELL_MAX = 120
RULE = re.compile(r"^\s*(/\*|#|//) ?-{3,}")
RULE_GOOD = re.compile(r"^\s*(?:/\* ---- \S.* ---- \*/|(?:#|//) ---- \S.* ----)$")
BEGINS = re.compile(r"^(?:What|Of|It said that|It says that)\b(?!.*\?$)")
BARE = re.compile(r"/\* (of|its?) ")
WORDS = re.compile(r"\b(?:anew|beside)\b")
TEXT = (".c", ".h", ".def", ".js", ".py", ".sh", ".cmake", ".txt", ".css")


def blocks_c(text):
    for found in re.finditer(r"/\*(.*?)\*/", text, re.S):
        line = text.count("\n", 0, found.start()) + 1
        body = re.sub(r"\n[ \t]*\*?", "\n", found.group(1))
        yield line, body
    yield from blocks_lines(text, "//")


def blocks_lines(text, mark):
    """Neighbouring lines that begin with the mark."""
    body, first = [], 0
    for line, words in enumerate(text.split("\n") + [""], 1):
        bare = words.strip()
        if bare.startswith(mark) and not bare.startswith("#!"):
            first = first or line
            body.append(bare[len(mark):])
        elif body:
            yield first, "\n".join(body)
            body, first = [], 0


def blocks_py(text):
    for found in re.finditer(r'"""(.*?)"""', text, re.S):
        yield text.count("\n", 0, found.start()) + 1, found.group(1)
    yield from blocks_lines(text, "#")


def blocks_md(text):
    text = re.sub(r"```.*?```", lambda m: "\n" * m.group(0).count("\n"), text,
                  flags=re.S)
    body, first = [], 1
    for line, words in enumerate(text.split("\n") + [""], 1):
        bare = words.strip()
        if not bare or bare[0] in "|#-*>" or re.match(r"\d+\. ", bare):
            if body:
                yield first, "\n".join(body)
            body, first = [], 0
            bare = re.sub(r"^(?:[-*>]|\d+\.) ", "", bare)
            if not bare or bare[0] in "|#":
                continue
        first = first or line
        body.append(bare)
    if body:
        yield first, "\n".join(body)


def blocks(path, text):
    if path.endswith(".md"):
        return blocks_md(text)
    if path.endswith(".py"):
        return blocks_py(text)
    if path.endswith((".sh", ".cmake", ".txt")):
        return blocks_lines(text, "#")
    return blocks_c(text)


def sentences(line, body):
    """Prose only: lines that are indented further are tables and examples."""
    prose = []
    for words in body.split("\n"):
        if re.match(r"\s{3,}\S", words) and prose:
            words = ""
        prose.append(words.strip())
    for part in re.split(r"\n\s*\n", "\n".join(prose)):
        flat = " ".join(part.split())
        for sentence in re.split(r"(?<=[.?!:;])\s+(?=[A-Z(`'\"*])", flat):
            yield line, sentence


def faults(path, text, is_long):
    for number, words in enumerate(text.split("\n"), 1):
        if not path.endswith(".md"):
            if RULE.match(words) and not RULE_GOOD.match(words):
                yield number, "a section rule: /* ---- name ---- */"
            if path.endswith((".c", ".h")) and not path.startswith("tests/") and \
                    BARE.search(words):
                yield number, "a comment without a subject: " + words.strip()[:60]
        elif words.startswith("|"):
            shown = re.sub(r"<!-- .*? -->", "", words)  # marks are not
            for cell in re.split(r"\||<br>", shown.replace("\\|", "/")):
                if len(cell.strip()) > CELL_MAX:
                    yield number, "a cell of %d characters" % len(cell.strip())
    for number, body in blocks(path, text):
        for line, sentence in sentences(number, body):
            if BEGINS.match(sentence):
                yield line, "a noun comes first, not: " + sentence[:60]
            elif WORDS.search(sentence):
                yield line, "say again, or next to: " + sentence[:60]
            elif is_long and len(sentence.split()) > WORDS_MAX:
                yield line, "%d words: %s" % (len(sentence.split()), sentence)


def main(words):
    is_long = "--long" in words
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "--"] +
        [word for word in words if word != "--long"],
        capture_output=True, text=True, check=True).stdout.split("\n")
    count = 0
    for path in listed:
        if not path.endswith(TEXT + (".md",)) or not os.path.isfile(path) or \
                path == "tools/voice.py":
            continue
        with open(path, encoding="utf-8", errors="replace") as file:
            text = file.read()
        for line, fault in faults(path, text, is_long):
            print("%s:%d: %s" % (path, line, fault))
            count += 1
    return 1 if count else 0


sys.exit(main(sys.argv[1:]))
