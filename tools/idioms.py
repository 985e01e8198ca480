#!/usr/bin/env python3
"""How product code stops at the first error, and who reads and writes JSON by
helpers of its own.

usage: idioms.py [--list]

A function leaves with FLO_TRY, or keeps the code in `rv` and guards each later
step with `if (rv == 0)`.  The other ways, and private JSON helpers next to
base/host/json.h, may only become fewer: LIMITS has what is left.  --list names
each place."""
import re
import subprocess
import sys

WAYS = {
    "FLO_TRY(step)": r"\bFLO_TRY\(",
    "if (rv == 0), also in loops": r"(?:if|for|while) \((?:[^{};]*;)?[^{};]*\brv == 0\b[^{]*\{",
    "rv = rv < 0 ? rv : step": r"\brv = rv (?:<|!=|==|>=|>) 0\b[^;]*\?",
    "return rv < 0 ? rv : step":
        r"return (?:rv (?:<|!=) 0\s*(?:\|\|[^;?]*)?\?\s*rv\s*:|rv == 0[^;]*:\s*rv;)",
    "if (rv < 0) { return rv; }": r"if \(rv (?:<|!=) 0[^{]*\{\s*return rv;\s*\}",
    "(rv = step) < 0": r"\(rv = [^;{]*?\) (?:<|!=|==) 0",
    "goto": r"\bgoto \w+;",
}
JSON = "private helpers of JSON"
# Ways beyond the first two, and private helpers: no more than these.
LIMITS = {
    "rv = rv < 0 ? rv : step": 0,
    "return rv < 0 ? rv : step": 0,
    "if (rv < 0) { return rv; }": 0,
    "(rv = step) < 0": 0,
    "goto": 0,
    JSON: 8,
}
STATIC = re.compile(r"^(?:FLO_MUST_USE )?static (?P<type>[^\n=;{}]*?[ *])(?P<name>\w+)"
                    r"\((?P<args>[^{};]*?)\)\n\{\n(?P<body>.*?)^\}", re.M | re.S)
HELPER_LINES = 8
OWN = re.compile(r"\bstruct (?!flo_err\b|flo_digest\b|flo_buf\b)|\benum ")
SCALAR = re.compile(r"\bjson_(?:integer|string|stringn|real|null|boolean)\(")
PARTS = re.compile(r"json_(?:object_set|array_append|pack)")


def product():
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "*.c", "*.h"],
                            capture_output=True, text=True, check=True).stdout.split()
    for path in listed:
        if not path.startswith(("tests/", "build/")):
            try:
                with open(path, encoding="utf-8") as file:
                    yield path, file.read()
            except FileNotFoundError:
                pass  # removed, and not yet staged


def is_helper(found):
    """Reads or writes the member that its caller names, or makes one value, and
    knows nothing of its room: no parameter is a struct of it."""
    body, args = found["body"], found["args"]
    if body.count("\n") > HELPER_LINES or OWN.search(args):
        return False
    for key in re.findall(r"const char \*(\w+)", args):
        if re.search(r"json_object_(?:set|set_new|get)\([^;,]*,\s*%s\s*[,)]" % key, body) or \
                re.search(r"flo_json_(?:get|opt|put)\w*\([^;,]*,\s*%s\s*," % key, body):
            return True
    return found["type"].strip() == "json_t *" and "json_t" not in args and \
        body.count("\n") <= 8 and bool(SCALAR.search(body)) and not PARTS.search(body)


def main():
    places = {way: [] for way in [*WAYS, JSON]}
    for path, text in product():
        for way, pattern in WAYS.items():
            for found in re.finditer(pattern, text):
                places[way].append((path, text.count("\n", 0, found.start()) + 1, ""))
        if path.endswith(".c") and "json_" in text and path != "base/host/text/json.c":
            for found in STATIC.finditer(text):
                if is_helper(found):
                    line = text.count("\n", 0, found.start()) + 1
                    places[JSON].append((path, line, found["name"]))
    failed = False
    for way, list_ in places.items():
        limit = LIMITS.get(way)
        print("%6d  %s%s" % (len(list_), way, "" if limit is None else ", at most %d" % limit))
        if "--list" in sys.argv:
            for path, line, name in list_:
                print("        %s:%d %s" % (path, line, name))
        failed = failed or (limit is not None and len(list_) > limit)
    if failed:
        print("another way to stop at an error, or a JSON helper in a room: FLO_TRY or "
              "`if (rv == 0)`, and base/host/json.h; --list names the places")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
