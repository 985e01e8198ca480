#!/usr/bin/env python3
"""docs/security.md and docs/reliability.md promise things.  Does every row of
their tables have all its cells, and does each test that it names stand?  A row
about a fault of a controller or a device names three: which plays it, which
sees who says so, and which sees the end of it.

A test is named `test_x` (tests/unit), `test_x.py` or `e2e_x`
(tests/integration), `fuzz_x` (tests/fuzz), `power_x` or `sweep_x`
(tests/crash), or by its path; `power.py` alone is tests/crash/power.py.  A
name of a case, a_sentence_like_this, must stand in the file named before it.
Where there is a build, ctest must play what is named.
"""
import glob
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.path.join(ROOT, "build", "release")
RELIABILITY = "docs/reliability.md"
# Page, head of a table, and which of its columns name tests.
TABLES = (("docs/security.md", "| promise | who may be hostile | test | figure |", (2,)),
          (RELIABILITY, "| promise | what may fail | test | figure |", (2,)),
          (RELIABILITY, "| fault of a controller | who says so | over | played in |"
           " told in | healed in |", (3, 4, 5)),
          (RELIABILITY, "| fault of a device | served meanwhile | who says so | over |"
           " played in | told in | healed in |", (4, 5, 6)))
WORD = re.compile(r"`([^`]+)`|\b([a-z0-9]+(?:_[a-z0-9]+){2,})\b")


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as file:
        return file.read()


def find(name):
    """The file of a named test, or None where nothing stands there."""
    name = name.split()[0]
    kinds = ((r"test_\w+\.py$", "tests/integration/" + name),
             (r"e2e_", "tests/integration/test_%s.py" % name[4:]),
             (r"test_", "tests/unit/**/%s.c" % name),
             (r"fuzz_", "tests/fuzz/%s.c" % name),
             (r"simulate_", "tests/sim/%s.c" % name.split("_", 1)[-1]),
             (r"\w+\.py$", "tests/crash/" + name),
             (r"(tests|tools)/", name))
    for form, path in kinds:
        if re.match(form, name):
            files = glob.glob(os.path.join(ROOT, path), recursive=True)
            return os.path.relpath(files[0], ROOT) if files else None
    if re.match(r"(power|sweep)_", name):
        # sweep_<world>: the worlds are a list of CMake's.
        world = name.split("_", 1)[1]
        text = read("tests/crash/CMakeLists.txt")
        return "tests/crash/CMakeLists.txt" if world in text else None
    return None


def played():
    """Names of ctest's tests; None without a build."""
    if not os.path.exists(os.path.join(BUILD, "CTestTestfile.cmake")):
        return None
    done = subprocess.run(["ctest", "--test-dir", BUILD, "-N"], check=True,
                          stdout=subprocess.PIPE, text=True)
    return set(re.findall(r"^ +Test +#\d+: (\S+)$", done.stdout, re.M))


def is_played(name, tests):
    """test_x.py is e2e_x there.  Tools, lanes and sweeps have other lists."""
    name = re.sub(r"^test_(\w+)\.py$", r"e2e_\1", name.split()[0])
    return tests is None or not re.match(r"(test|e2e|fuzz|simulate)_", name) or name in tests


def check_tests(cell, tests):
    """Faults of the tests that a cell names."""
    file, count = None, 0
    for quoted, case in WORD.findall(cell):
        if quoted and re.match(r"make |flotilla", quoted):
            continue
        if quoted:
            file = find(quoted)
            if file is None:
                yield "no test %s" % quoted
            elif not is_played(quoted, tests):
                yield "ctest does not play %s" % quoted
            count += 1
        elif file is None or case not in read(file):
            yield "no case %s in %s" % (case, file)
    if count == 0:
        yield "names no test"


def main():
    faults, rows, tests = [], 0, played()
    for path, head, columns in TABLES:
        lines = read(path).split("\n")
        if lines.count(head) != 1:
            faults.append("%s: not one table `%s`" % (path, head))
            continue
        first = lines.index(head) + 2
        for number, line in enumerate(lines[first:], first + 1):
            if not line.startswith("|"):
                break
            cells = [cell.strip() for cell in
                     re.split(r"(?<!\\)\|", line.strip())[1:-1]]
            where = "%s:%d" % (path, number)
            if len(cells) != head.count("|") - 1:
                faults.append("%s: %d cells, not %d" % (where, len(cells), head.count("|") - 1))
            elif re.fullmatch(r"\*\*.*\*\*", cells[0]) and not any(cells[1:]):
                continue  # an area
            elif not all(cells):
                faults.append("%s: an empty cell (`–` says: nothing)" % where)
            else:
                rows += 1
                faults += ["%s: %s" % (where, fault) for column in columns
                           for fault in check_tests(cells[column], tests)]
    print("%d promises, each with a test" % rows)
    for fault in faults:
        print("promises: " + fault)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
