#!/usr/bin/env python3
"""Manual pages and shell completion from docs/reference, which `make docs`
makes from the tables and from what the programs say of themselves.

usage: man.py DIR      writes DIR/*.1, *.5, *.8 and DIR/completions/flotilla*
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
    body = roff(text)
    out += ([] if body[:1] and body[0].startswith(".SH") else
            [".SH DESCRIPTION"]) + body
    out += [".SH FILES AND DOCUMENTS",
            "/usr/share/doc/flotilla*/docs: tour, runbook, reference."]
    return "\n".join(line for line in out if line is not None) + "\n"


def commands():
    """{"noun verb": [flags]} of the flotilla command."""
    out = {}
    for heading, body in sections(read("cli.md")):
        words = heading.split()[1:]
        out[" ".join(words)] = re.findall(r"^\| `(--[a-z0-9-]+)", body, re.M)
    return out


def programs():
    """{program: ({sub-command: [options]})} of the other programs."""
    out = {}
    for heading, body in sections(read("programs.md")):
        words = heading.split()
        flags = sorted(set(re.findall(r"(?<![\w-])(--[a-z][a-z0-9-]*)", body)))
        out.setdefault(words[0], {})[" ".join(words[1:])] = flags
    return out


def completion():
    known = {"flotilla": commands(), **programs()}
    everywhere = known["flotilla"].pop("of every command") + ["--help"]
    out = ["# bash completion for Flotilla's programs; made by tools/man.py.",
           "_flotilla_words()", "{", '    case "$1" in']
    for program, calls in sorted(known.items()):
        first = sorted({call.split()[0] for call in calls if call})
        out.append('    "%s") echo "%s" ;;' % (
            program, " ".join(first + calls.get("", []))))
        for noun in first:
            verbs = sorted(call.split()[1] for call in calls
                           if call.startswith(noun + " "))
            if verbs:
                out.append('    "%s %s") echo "%s" ;;' % (
                    program, noun, " ".join(verbs)))
        for call, flags in sorted(calls.items()):
            if call:
                more = everywhere if program == "flotilla" else []
                out.append('    "%s %s:flags") echo "%s" ;;' % (
                    program, call, " ".join(sorted(set(flags + more)))))
    out += ["    esac", "}", "_flotilla()", "{",
            '    local now="${COMP_WORDS[COMP_CWORD]}" at words',
            '    local path="${COMP_WORDS[0]##*/}"', "    COMPREPLY=()",
            "    for ((at = 1; at < COMP_CWORD; at++)); do",
            '        case "${COMP_WORDS[at]}" in', "        -*) ;;",
            '        *) [ -n "$(_flotilla_words "$path" | tr " " "\\n" |',
            '               grep -Fx -- "${COMP_WORDS[at]}")" ] &&',
            '               path="$path ${COMP_WORDS[at]}" ;;', "        esac",
            "    done",
            '    words="$(_flotilla_words "$path")"',
            '    case "$now" in -*) words="$words $(_flotilla_words'
            ' "$path:flags")" ;; esac',
            '    [ -n "$words" ] &&',
            '        mapfile -t COMPREPLY < <(compgen -W "$words" -- "$now")',
            '    [ ${#COMPREPLY[@]} -gt 0 ] ||',
            '        mapfile -t COMPREPLY < <(compgen -f -- "$now")',
            "}", "complete -F _flotilla " + " ".join(sorted(known))]
    return "\n".join(out) + "\n"


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    folder = sys.argv[1]
    os.makedirs(os.path.join(folder, "completions"), exist_ok=True)
    for name, section, *rest in PAGES:
        path = os.path.join(folder, "%s.%d" % (name, section))
        with open(path, "w", encoding="utf-8") as out:
            out.write(page(name, section, *rest))
    with open(os.path.join(folder, "completions", "flotilla"), "w",
              encoding="utf-8") as out:
        out.write(completion())
    return 0


sys.exit(main())
