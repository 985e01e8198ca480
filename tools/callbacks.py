#!/usr/bin/env python3
"""Check that no table of callbacks is half filled.

usage: tools/callbacks.py [--list]
Whoever fills a struct of a header names each of its callbacks.  One that may be
absent says so in its comment (`NULL: …`, `Or NULL.`), and then the code compares
it with NULL.  --list prints the structs.

An empty table once ended the controller: a rule with an unknown label called a
callback that was not there."""
import re
import subprocess
import sys

ABSENT = r"\bNULL(?:, here and below)?:|\b[Oo]r NULL|be NULL"
FOLDERS = ("base", "proto", "engine", "updater", "agent", "server-stub")


def sources(*ends):
    out = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "--",
                          *["*" + end for end in ends]],
                         capture_output=True, text=True, check=True).stdout
    return [path for path in out.split("\n")
            if path.split("/")[0] in FOLDERS]


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def block(text, at):
    """The text between the brace at `at` and its own end."""
    depth = 0
    for i in range(at, len(text)):
        depth += {"{": 1, "}": -1}.get(text[i], 0)
        if depth == 0:
            return text[at + 1:i]
    return ""


def parts(text):
    """Split at the commas that no bracket holds."""
    depth, last, found = 0, 0, []
    for i, char in enumerate(text):
        depth += {"(": 1, "{": 1, "[": 1, ")": -1, "}": -1, "]": -1}.get(char,
                                                                         0)
        if char == "," and depth == 0:
            found.append(text[last:i].strip())
            last = i + 1
    found.append(text[last:].strip())
    return [part for part in found if part]


def function_types(headers):
    names = set()
    for path in headers:
        names |= set(re.findall(r"typedef\s[^;]*\(\*(\w+)\)\s*\(",
                                read(path)))
        names |= set(re.findall(r"typedef\s[^;(]*\b(\w+)\s*\([^;*]*\)\s*;",
                                read(path)))
    return names


def members(body, types):
    """(name, is a callback, may be absent) of each member, in their order."""
    found = []
    for match in re.finditer(
            r"((?:\s*/\*(?:(?!\*/).)*\*/)*)\s*([^;]+);"
            r"([ \t]*/\*(?:(?!\*/).)*\*/)?", body, re.S):
        notes = (match[1] or "") + (match[3] or "")
        words = re.sub(r"/\*.*?\*/", "", match[2], flags=re.S).strip()
        pointer = re.search(r"\(\*(\w+)\)\s*\(", words)
        typed = re.match(r"(?:const )?(\w+)\s+\*?\s*(\w+)$", words)
        if pointer:
            name, is_call = pointer[1], True
        elif typed and typed[1] in types:
            name, is_call = typed[2], True
        else:
            for one in words.split(","):
                name = re.search(r"(\w+)(?:\[[^\]]*\])*(?:\s*:\s*\d+)?$",
                                 one.strip())
                found.append((name[1] if name else "?", False, False))
            continue
        found.append((name, is_call, re.search(ABSENT, notes) is not None))
    return found


def tables(headers, types):
    found = {}
    for path in headers:
        text = read(path)
        for match in re.finditer(r"^struct (\w+)\s*\{", text, re.M):
            rows = members(block(text, match.end() - 1), types)
            if any(is_call for _, is_call, _ in rows):
                found[match[1]] = (path, rows)
    return found


def missing(rows, text, name, after):
    """Callbacks that an initializer leaves out."""
    given = parts(text)
    named = {part[1:re.search(r"\W", part[1:]).start() + 1]
             for part in given if part.startswith(".")}
    unnamed = [part for part in given if not part.startswith(".")]
    if given != ["0"]:
        named |= {row[0] for row in rows[:len(unnamed)]}
    if name:
        named |= set(re.findall(r"\b%s(?:\.|->)(\w+)\s*=[^=]" % name, after))
    return [row[0] for row in rows
            if row[1] and not row[2] and row[0] not in named]


def plain(text):
    """Without comments and texts, with the same lines."""
    return re.sub(r'/\*.*?\*/|"(?:\\.|[^"\\])*"',
                  lambda m: '""' if m[0][0] == '"' else
                  re.sub(r"[^\n]", " ", m[0]), text, flags=re.S)


def unguarded(found, files):
    """Callbacks that may be absent, and that nobody compares with NULL."""
    code = "\n".join(plain(read(path)) for path in files)
    guarded = set(re.findall(r"(?:\.|->)(\w+)\s*[!=]=\s*NULL", code))
    return ["%s: struct %s: nobody compares %s with NULL" % (
        path, struct, row[0]) for struct, (path, rows) in sorted(found.items())
        for row in rows if row[1] and row[2] and row[0] not in guarded]


def check(path, found):
    text = plain(read(path))
    bad = []
    for match in re.finditer(
            r"(?:\bstruct (\w+)\s+(\w+)\s*=\s*|\(struct (\w+)\)\s*)\{", text):
        struct = match[1] or match[3]
        if struct not in found:
            continue
        body = block(text, match.end() - 1)
        rest = text[match.end() + len(body):]
        end = re.search(r"^\}", rest, re.M)
        lacks = missing(found[struct][1], body, match[2],
                        rest[:end.start()] if end else rest)
        if lacks:
            bad.append("%s:%d: struct %s lacks %s" % (
                path, text[:match.start()].count("\n") + 1, struct,
                ", ".join(lacks)))
    return bad


def main():
    headers = sources(".h")
    found = tables(headers, function_types(headers))
    if "--list" in sys.argv:
        for struct, (path, rows) in sorted(found.items()):
            print(path, struct, ", ".join(
                row[0] + ("?" if row[2] else "") for row in rows if row[1]))
        return 0
    files = sources(".c", ".h")
    bad = [line for path in files for line in check(path, found)]
    bad += unguarded(found, files)
    print("\n".join(bad) if bad else
          "%d tables of callbacks, none half filled" % len(found))
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main())
