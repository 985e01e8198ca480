#!/usr/bin/env python3
"""No row of a table that the product does not use: errors that nobody raises,
configuration keys that nobody reads, fields of the store, policies and types of
the API that nothing names.  A name that a macro pastes counts as written."""
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
CONFIG = (r'^FLO_CONFIG\(\w+, "([\w.]+)"', ('"{0}"',))
# Tables, the pattern of a row, and the forms in which other files name a row.
TABLES = (
    ("base/errors.def", r"^FLO_ERROR\((\w+)", ("FLO_E_{0}",)),
    ("agent/config.def", *CONFIG),
    ("server-stub/run/login/oidc.def", *CONFIG),
    ("agent/apps.def", *CONFIG),
    ("agent/guards.def", *CONFIG),
    ("agent/endpoints.def", *CONFIG),
    ("agent/routes.def", *CONFIG),
    ("agent/runtimes.def", *CONFIG),
    ("server-stub/store/tables.def", r"^FLO_FIELD\((\w+), (\w+)",
     ("FLO_FIELD_{0}_{1}",)),
    ("proto/policy.def", r"^FLO_POLICY\((\w+)", ("{0}",)),
    ("proto/orders.def", r"^FLO_ORDER(?:_ASKED)?\((\w+)", ("FLO_ORDER_{0}",)),
    ("proto/orders.def", r"^FLO_ORDER_NUMBER\(\w+, (\w+)", ("{0}",)),
    ("proto/release.def", r"^FLO_RELEASE_(?:WORDS|NEED)\((\w+)", ("{0}",)),
    ("server-stub/core/request/types.def", r'^FLO_REST_TYPE\("(\w+)"',
     ("{0}",)),
    ("server-stub/rest/answers/objects.def", r'^FLO_REST_OBJECT\("(\w+)"',
     ("@{0}", "flo_object_{0}")),
    ("server-stub/cli/output/columns.def", r"^FLO_OBJECT\((\w+)\)",
     ("{0}",)),
)
# Headers whose parties ask, and own nothing.
ASKERS = ("agent/serve/batch/desk.h", "agent/serve/batch/work.h",
          "agent/serve/front/front.h", "agent/serve/front/request.h")


def files():
    """{path: text} of the product's code, without comments."""
    listed = subprocess.run(["git", "ls-files", "-z", "--", "*.c", "*.h", "*.def"],
                            cwd=ROOT, check=True, capture_output=True)
    out = {}
    for path in listed.stdout.decode().split("\0")[:-1]:
        if not path.startswith("tests/"):
            with open(os.path.join(ROOT, path), encoding="utf-8") as file:
                out[path] = re.sub(r"/\*.*?\*/", "", file.read(), flags=re.S)
    return out


def words(text):
    """Words, quoted words, and @words of shapes."""
    return set(re.findall(r'"[A-Za-z_.0-9]+"|@?\w+', text)) | set(
        re.findall(r"\w+", text))


def pasters(every):
    """{macro: [(place of an argument, before, after)]} of macros that paste."""
    out = {}
    for macro, names, body in re.findall(
            r"^#define (\w+)\(([^)]*)\)((?:.*\\\n)*.*##.*(?:\\\n.*)*)$",
            "\n".join(every.values()), re.M):
        for place, name in enumerate(names.split(",")):
            out.setdefault(macro, []).extend(
                (place, before, after) for before, after in re.findall(
                    r"(?:\b(\w+) ?## ?)?\b%s\b(?: ?## ?(\w+))?" % re.escape(
                        name.strip()), body) if before or after)
    return out


def pasted(text, macros):
    """Names that macros make of what stands in their calls."""
    return {before + arguments.split(",")[place].strip() + after
            for macro, arguments in re.findall(r"\b(\w+)\(([^()]*)\)", text)
            for place, before, after in macros.get(macro, ())
            if arguments.count(",") >= place}


def unowned(every):
    """Members of serving that say whose a thing is, without FLO_OWNED."""
    return ["%s: `%s` without FLO_OWNED and a row of agent/parties.def" % (
        path, member) for path, text in every.items()
        if path.startswith("agent/serve/") and path not in ASKERS
        for member in re.findall(
            r"^\s+((?:uint64_t (?:owner|party|client)|struct flo_party \w+|"
            r"char app\[[^]]*\]);)", text, re.M) if path.endswith(".h")]


def main():
    every = files()
    macros = pasters(every)
    used = {path: words(text) | pasted(text, macros)
            for path, text in every.items()}
    bad = len(unowned(every))
    print("".join(line + "\n" for line in unowned(every)), end="")
    for path, row, forms in TABLES:
        rows = re.findall(row, every[path], re.M)
        others = set().union(*(
            names if other != path else {n for n in names if n[0] == "@"}
            for other, names in used.items()))
        if not rows:
            bad += 1
            print("%s: no row is read" % path)
        for names in rows:
            names = names if isinstance(names, tuple) else (names,)
            if not any(form.format(*names) in others for form in forms):
                bad += 1
                print("%s: nothing uses %s" % (path, " ".join(names)))
    return 1 if bad else 0


sys.exit(main())
