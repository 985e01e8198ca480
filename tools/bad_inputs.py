#!/usr/bin/env python3
"""The table of bad inputs: does each row name an error that we have and a test
that stands?  Prints how many have the word that was asked for.

tests/bad-inputs.csv: `error` is what comes (empty: none, it is taken safely; a
word with a dot at its end: any of that group), `asked` the word of the list that
the table answers ("=": the same), `shown` FILE:WORDS of the test; where several
play it, such as one for each format of a patch, " + " stands between them.
"""
import csv
import os
import re
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def main():
    with open(os.path.join(ROOT, "base/errors.def"), encoding="utf-8") as file:
        known = set(re.findall(r'^FLO_ERROR\(\w+, "([^"]+)"', file.read(),
                               re.M))
    with open(os.path.join(ROOT, "tests/bad-inputs.csv"), encoding="utf-8",
              newline="") as file:
        rows = list(csv.DictReader(file))
    faults, ids = [], set()
    for row in rows:
        error, shown = row["error"], row["shown"]
        if row["id"] in ids:
            faults.append("%s stands twice" % row["id"])
        ids.add(row["id"])
        if error not in ("", "not built") and error not in known and not (
                error.endswith(".") and any(k.startswith(error)
                                            for k in known)):
            faults.append("%s: no error %s" % (row["id"], error))
        if row["asked"] == "=" and not shown:
            faults.append("%s: no test" % row["id"])
        for test in shown.split(" + ") if shown else []:
            path, words = test.split(":", 1)
            path = os.path.join(ROOT, path)
            if not os.path.exists(path) or words not in open(
                    path, encoding="utf-8").read():
                faults.append("%s: %s is not there" % (row["id"], test))
    same = sum(row["asked"] == "=" for row in rows)
    better = sum(row["asked"] != "=" and bool(row["shown"]) for row in rows)
    print("%d bad inputs: %d with the word asked for, %d with a word of ours"
          % (len(rows), same, better))
    with open(os.path.join(ROOT, "docs/security.md"), encoding="utf-8") as file:
        text = file.read()
    for said in ("Each of %d kinds of bad input" % len(rows),
                 "| %d with the word asked for, %d with another" % (same, better)):
        if said not in text:
            faults.append("docs/security.md does not say: %s" % said)
    for fault in faults:
        print("bad-inputs: " + fault)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
