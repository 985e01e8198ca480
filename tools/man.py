#!/usr/bin/env python3
"""Manual pages from docs/reference, which `make docs` makes from the tables and
from what the programs say of themselves.

usage: man.py DIR      writes DIR/*.1, *.5, *.7, *.8: flotilla(1), a page for
                       each noun as flotilla-rollout(1), and the other programs
"""
import os
import re
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
REFERENCE = os.path.join(ROOT, "docs", "reference")

# Page -> section, what it is, and of which headings of which file it is made.
PAGES = [
    ("flotilla", 1, "operate a fleet: releases, rollouts, emergencies",
     "cli.md", None),
    ("flotilla-controller", 8, "coordinate a fleet of devices",
     "programs.md", "flotilla-controller"),
    ("flotilla-agent", 8, "serve and update this device's language model",
     "programs.md", "flotilla-agent"),
    ("flotilla-engine", 1, "run and measure language models",
     "programs.md", "flotilla-engine"),
    ("flotilla-model", 1, "make, merge and judge language models",
     "programs.md", "flotilla-model"),
    ("flotilla-updater", 1, "deltas, bundles and signed releases by hand",
     "programs.md", "flotilla-updater"),
    ("flotilla-relay", 1, "forward requests of a device to one server",
     "programs.md", "flotilla-relay"),
    ("agent.yaml", 5, "configuration of flotilla-agent", "config.md", None),
    ("flotilla-errors", 7, "ids of errors, exit codes, what to do",
     "errors.md", None),
]


def read(name):
    with open(os.path.join(REFERENCE, name), encoding="utf-8") as page:
        return page.read()


def escape(text):
    text = text.replace("\\", "\\e").replace("-", "\\-")
    text = re.sub(r"`([^`]*)`", r"\\fB\1\\fR", text)
    return "\\&" + text if text[:1] in ".'" else text


def table_roff(lines):
    """A table's rows as a list: the first cell is the term."""
    rows = [[cell.strip().replace("\\|", "|") for cell in
             re.split(r"(?<!\\)\|", line.strip().strip("|"))]
            for line in lines]
    head, out = rows[0], []
    for row in rows[2:]:
        rest = ["%s: %s" % (name, cell) if 0 < i < len(row) - 1 else cell
                for i, (name, cell) in enumerate(zip(head, row))
                if i > 0 and cell and cell != "–"]
        out += [".TP", escape(row[0]), escape(". ".join(rest) or "–")]
    return out


def roff(text):
    out, lines, at = [], text.split("\n"), 0
    while at < len(lines):
        line = lines[at]
        at += 1
        if line.startswith("#"):
            out.append(".SH " + escape(line.lstrip("# ").upper()))
        elif line.startswith("```"):
            out += [".PP", ".nf"]
            while at < len(lines) and not lines[at].startswith("```"):
                out.append(escape(lines[at]))
                at += 1
            at += 1
            out.append(".fi")
        elif line.startswith("|"):
            rows = [line]
            while at < len(lines) and lines[at].startswith("|"):
                rows.append(lines[at])
                at += 1
            out += table_roff(rows)
        elif line.strip():
            out += [".PP", escape(line)] if not out or \
                not lines[at - 2].strip() else [escape(line)]
    return out


def sections(text):
    """[(heading, body)] of the ## headings."""
    parts = re.split(r"^## (.*)$", text, flags=re.M)
    return list(zip(parts[1::2], parts[2::2]))


EXAMPLE = re.compile(r"^Example:(?: `|\n  )(.*?)`?\n", re.M)


def examples(text):
    """(the text without its examples, a section of all of them)."""
    out = []
    for _, body in sections(text):
        about = re.search(r"^[A-Z].*\.$", body, re.M)
        out += [line for call in EXAMPLE.findall(body) for line in
                (".TP", escape(about.group(0)), "\\fB%s\\fR" % escape(call))]
    return EXAMPLE.sub("", text), [".SH EXAMPLES", *out] if out else []


def page(name, section, about, source, program):
    text = read(source)
    text = re.sub(r"^# .*\n\n(?:Made by `make docs`.*?\n\n)?", "", text)
    text = re.sub(r"Made by `make docs` from[^\n]*page\. ?", "", text)
    if program:
        text = "".join("## %s\n%s" % part for part in sections(text)
                       if part[0].split()[0] == program)
    out = ['.TH %s %d "" Flotilla' % (name.upper().replace("-", "\\-"),
                                      section),
           ".SH NAME", "%s \\- %s" % (name.replace("-", "\\-"), about)]
    text, shown = examples(text)
    body = roff(text)
    out += ([] if body[:1] and body[0].startswith(".SH") else
            [".SH DESCRIPTION"]) + body + shown
    out += [".SH FILES AND DOCUMENTS",
            "/usr/share/doc/flotilla*/docs: tour, runbook, reference."]
    return "\n".join(line for line in out if line is not None) + "\n"


def nouns():
    """{noun: page text} of flotilla's commands that have verbs."""
    out = {}
    for heading, body in sections(read("cli.md")):
        words = heading.split()[1:]
        if len(words) == 2:
            out.setdefault(words[0], []).append("## %s\n%s" % (heading, body))
    return {noun: "".join(parts) for noun, parts in out.items()}


def noun_page(noun, text):
    name = "flotilla-" + noun
    text, shown = examples(text)
    verbs = ", ".join(re.findall(r"^## flotilla \S+ (\S+)", text, re.M))
    return "\n".join([
        '.TH %s 1 "" Flotilla' % name.upper().replace("-", "\\-"),
        ".SH NAME", "%s \\- %s" % (name.replace("-", "\\-"), escape(verbs)),
        *roff(text), *shown, ".SH SEE ALSO",
        "flotilla(1): flags of every command; flotilla\\-errors(7): exit codes"
        ]) + "\n"


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    folder = sys.argv[1]
    os.makedirs(folder, exist_ok=True)
    for name, section, *rest in PAGES:
        path = os.path.join(folder, "%s.%d" % (name, section))
        with open(path, "w", encoding="utf-8") as out:
            out.write(page(name, section, *rest))
    taken = {name for name, *_ in PAGES}  # flotilla-model is a program
    for noun, text in nouns().items():
        name = "flotilla-" + noun
        if name not in taken:
            with open(os.path.join(folder, name + ".1"), "w",
                      encoding="utf-8") as out:
                out.write(noun_page(noun, text))
    return 0


sys.exit(main())
