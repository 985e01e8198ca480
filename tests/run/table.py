#!/usr/bin/env python3
"""Write docs/tests.md and tests/run/seconds.tsv from the times that the
launcher measured in BUILD.

usage: tests/run/table.py BUILD
A test that did not run here keeps the seconds that it had.  The first
sentence of its source says what a test checks."""
import ast
import glob
import json
import os
import re
import subprocess
import sys

from run import SECONDS, seconds_of, times_of

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
PAGE = os.path.join(ROOT, "docs", "tests.md")
HEAD = """# What is tested, and what it costs

The table is written by `make tests-table` from the times that `tests/run/launch.c` measured on two CPUs: wall and CPU seconds with all
processes of a test, and the first sentence of its source. A test that waits shares its CPU with others (`cmake/tests.cmake`).

"""
TAIL = """
## How a test stays steady

- **No test depends on how fast the machine is.** `tests/integration/waits.py` and `tests/unit/waits.h` are the only clocks; `tools/clocks.py`
  (in `tools/check.sh`) refuses any other, and any bound below two minutes. A wait ends by progress. Only a hang reaches 600 s,
  and ctest ends a test after half an hour, so that a run names it.
- **No list is old when it is read.** `tests/integration/sets.py` reads a folder with its members, and the processes, as of one moment. A member
  that went meanwhile is not there. `tools/lists.py` (in `tools/check.sh`) refuses a list made in any other way.
- **Drawn parts**: CI plays all unit tests under ASan, a tenth of the fuzz targets, and one of five lanes: TSan with the engine's kernels, 64-bit Arm, 32-bit Arm, a
  build without one room (`lane_options`), and the faults (kills, power cuts, mutants, branches of the cores). It also plays a part of each of these, of
  schemathesis' requests and of pairs of patches. Under ASan it plays a part of the simulation and of the scripts of programs. The table in
  `tests/run/draw.py` lists everything that is drawn. `make test-all` plays all of it.
- `lane_kernels` plays the tests that have an engine in them with `FLOTILLA_KERNEL` set to each kernel of older CPUs (`tests/run/engines.py` finds them).
- **The draw is known**: the seed is the beginning of the tree's name, so CI draws for a commit what `make draw` prints for it. `make drawn`
  plays just that. `FLOTILLA_SEED=N` names another seed. Each drawn part prints the line that plays it alone. `tools/draws.py` (in
  `tools/check.sh`) refuses a test that draws for itself.
- **The draw is even**: `tests/run/draw.py history 100` counts what the last 100 trees draw. `check_draw` holds the same for 100 made-up trees.

  ```
  $ tests/run/draw.py history 100 9985d090e
  100 trees: tsan 17, arm64 28, armhf 16, options 23, faults 16
  86 fuzz targets: 10.5 times on average, the rarest 3, the most frequent 17
  ```

- **Checks that nobody chose**: `make mutants` draws 200 checks, bounds, passed-over failures and syncs of the product by the tree's seed, and breaks
  each. All points of a source stand in one build, behind a switch of the environment. Tests play the points that they reach: the 30 nearest unit
  tests, then the story of the room in `tools/size.txt`. `tests/mutants/drawn.py --files PATTERN` takes other sources. The end lists who survived,
  and who was not seen. `tests/mutants/harmless.txt` names points whose survival is harmless, with the reason. CI does not play it yet.
- `make test-steady` plays `make test` ten times, each next to two busy loops for each CPU: four with the kernels of older CPUs, one on one CPU, one with
  syncs of 20 ms.
- **A story that adds time takes it away elsewhere.** On 2026-11-30 `e2e_newest`, `e2e_crowd` and `e2e_walls` came with 11 CPU seconds, and
  `e2e_sealed_rows` and `e2e_gone_clients` grew by 5. `e2e_crowd` had taken 100 before its clients paused for 3 ms.
- A failed test ends with three lines: claim, evidence, log. A failed story keeps its fleet's folder, which the log names.
"""
GROUPS = (("lane", "Lanes (`make lanes`)"), ("e2e", "Stories (`make test`)"),
          ("check", "Checks"), ("sim", "Simulation"),
          ("oracle", "Oracles (`make quick`)"), ("unit", "Units (`make quick`)"))


def source_of(name, command):
    for pattern in ("tests/unit/**/%s.c" % name, "tests/fuzz/%s.c" % name,
                    "tests/oracle/%s.c" % name):
        found = glob.glob(os.path.join(ROOT, pattern), recursive=True)
        if found:
            return found[0]
    for word in command:
        if word.endswith((".py", ".sh")) and os.path.isfile(
                os.path.join(ROOT, word)):
            return os.path.join(ROOT, word)
    return os.path.join(ROOT, "tests/sim/main.c") if "simul" in name else None


def comment_of(path):
    with open(path, encoding="utf-8") as file:
        text = file.read()
    if path.endswith(".py"):
        return ast.get_docstring(ast.parse(text)) or ""
    if path.endswith(".sh"):
        lines = re.match(r"(?:#.*\n)+", text).group(0).split("\n")[1:]
        return "\n".join(line.lstrip("# ") if line.strip("# ") else ""
                         for line in lines)
    found = re.match(r"/\*(.*?)\*/", text, re.S)
    return re.sub(r"^ ?\* ?", "", found.group(1), flags=re.M) if found else ""


def first_sentence(text):
    text = text.strip().split("\n\n")[0]
    text = " ".join(text.split()).replace("|", "\\|")
    return re.split(r"(?<=[.:;])\s", text)[0].rstrip(".:;")


def main():
    build = os.path.abspath(sys.argv[1])
    times = seconds_of()
    for name, code, wall, cpu in times_of(build):
        if code == 0:
            times[name] = (wall, cpu)
    tests = json.loads(subprocess.run(
        ["ctest", "--show-only=json-v1"], cwd=build, capture_output=True,
        check=True).stdout)["tests"]
    groups = {label: [] for label, _ in GROUPS}
    for test in tests:
        labels = next((p["value"] for p in test["properties"]
                       if p["name"] == "LABELS"), [])
        label = next((one for one, _ in GROUPS if one in labels), "unit")
        path = source_of(test["name"], test["command"])
        groups[label].append((test["name"], *times.get(test["name"], (0, 0)),
                              first_sentence(comment_of(path)) if path
                              else ""))
    known = {test["name"] for test in tests}
    with open(SECONDS, "w", encoding="utf-8") as out:
        out.write("# Seconds of each test on two CPUs: name, wall, CPU. "
                  "Written by `make tests-table`.\n")
        for name in sorted(known & set(times)):
            out.write("%s\t%.1f\t%.1f\n" % (name, *times[name]))
    with open(PAGE, "w", encoding="utf-8") as out:
        out.write(HEAD + "| part | tests | CPU s | of which the slowest |\n"
                  "| --- | --- | --- | --- |\n")
        for label, title in GROUPS:
            rows = sorted(groups[label], key=lambda row: -row[2])
            out.write("| %s | %d | %.0f | %s |\n" % (
                title, len(rows), sum(row[2] for row in rows),
                ", ".join("%s %.0f" % (row[0], row[2]) for row in rows[:3])))
        out.write(TAIL)
        for label, title in GROUPS:
            out.write("\n## %s\n\n| test | wall s | CPU s | checks |\n"
                      "| --- | --- | --- | --- |\n" % title)
            for row in sorted(groups[label], key=lambda row: -row[2]):
                out.write("| `%s` | %.1f | %.1f | %s |\n" % row)
    print("docs/tests.md: %d tests, %.0f CPU s" % (
        len(known), sum(row[2] for rows in groups.values() for row in rows)))


if __name__ == "__main__":
    main()
