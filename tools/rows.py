#!/usr/bin/env python3
"""No row of a table that the product does not use: errors that nobody raises,
configuration keys that nobody reads, fields of the store that no call names."""
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
# Tables, the pattern of a row, and the forms in which code names a row.
TABLES = (
    ("base/errors.def", r"^FLO_ERROR\((\w+)", ("FLO_E_{0}",)),
    ("agent/config.def", r'^FLO_CONFIG\(\w+, "([\w.]+)"', ('"{0}"',)),
    ("server-stub/run/login/oidc.def", r'^FLO_CONFIG\(\w+, "([\w.]+)"',
     ('"{0}"',)),
    ("agent/apps.def", r'^FLO_CONFIG\(\w+, "([\w.]+)"', ('"{0}"',)),
    ("agent/guards.def", r'^FLO_CONFIG\(\w+, "([\w.]+)"', ('"{0}"',)),
    ("agent/runtimes.def", r'^FLO_CONFIG\(\w+, "([\w.]+)"', ('"{0}"',)),
    ("server-stub/store/tables.def", r"^FLO_FIELD\((\w+), (\w+)",
     ("FLO_FIELD_{0}_{1}", "{0}_{1}")),
)


def product():
    """Every word and quoted word of the product's code."""
    text = subprocess.run(
        ["git", "grep", "-ohE", r'"[A-Za-z_.0-9]+"|\w+', "--", "*.c", "*.h",
         ":!tests"], cwd=ROOT, text=True, stdout=subprocess.PIPE,
        check=True).stdout
    return set(text.split("\n"))


def main():
    used = product()
    bad = 0
    for path, row, forms in TABLES:
        with open(os.path.join(ROOT, path), encoding="utf-8") as file:
            rows = re.findall(row, file.read(), re.M)
        if not rows:
            bad += 1
            print("%s: no row is read" % path)
        for names in rows:
            names = names if isinstance(names, tuple) else (names,)
            if not any(form.format(*names) in used for form in forms):
                bad += 1
                print("%s: nothing uses %s" % (path, " ".join(names)))
    return 1 if bad else 0


sys.exit(main())
