#!/usr/bin/env python3
"""Take one check out of the product after another: a test has to notice each.

usage: play.py [BUILD] [--only NAME[,NAME]] [--list]

The tables of this folder name each check: its source, the lines without which
the product would be blind, and the tests that notice.  Only that source is
compiled again, and only those tests, or the program that they start, are linked
again.  Without --only a tenth is played, which the tree draws (tests/run/draw.py);
all with FLOTILLA_PART=all.  A check that no test notices, a line that is not in its
source exactly once, and a test that is red by itself fail.
"""
import argparse
import concurrent.futures
import glob
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "tests", "run"))
import draw  # noqa: E402

HANG_S = 900  # a check whose absence hangs a test is noticed, too


def blocks(path):
    """The mutants of a table: name, file, tests, the lines out and in.  A line
    without a sign goes on with the one before."""
    one, text = None, None
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            line = line.rstrip("\n")
            if line.startswith("#"):
                continue
            if re.fullmatch(r"\[[a-z0-9-]+\]", line):
                one = {"name": line.strip("[]"), "out": [], "in": [],
                       "at": "%s:%d" % (os.path.basename(path), number)}
                text = None
                yield one
            elif line[:1] in ("-", "+") and one is not None:
                text = one["out" if line[0] == "-" else "in"]
                text.append(line[1:])
            elif text is not None:
                text.append(line)
            elif one is not None:
                key, _, value = line.partition(": ")
                one[key] = value


def table():
    rows = []
    for path in sorted(glob.glob(os.path.join(HERE, "*.mutants"))):
        rows += blocks(path)
    names = [row["name"] for row in rows]
    for row in rows:
        missing = {"promise", "file", "tests", "out"} - {
            key for key in row if row[key]}
        if missing:
            sys.exit("%s: %s: no %s" % (row["at"], row["name"],
                                        ", ".join(sorted(missing))))
    doubled = {name for name in names if names.count(name) > 1}
    if doubled:
        sys.exit("named twice: %s" % ", ".join(sorted(doubled)))
    return rows


def pattern(lines):
    """Their text, whatever clang-format does with its blanks."""
    words = re.findall(r"\w+|[^\w\s]", " ".join(lines))
    return re.compile(r"\s*".join(map(re.escape, words)))


def changed(row):
    with open(os.path.join(ROOT, row["file"]), encoding="utf-8") as file:
        text = file.read()
    found = pattern(row["out"]).findall(text)
    if len(found) != 1:
        raise LookupError("%s: its line is %d times in %s, and has to be there "
                          "once" % (row["at"], len(found), row["file"]))
    return pattern(row["out"]).sub(lambda _: "\n".join(row["in"]), text)


class Build:
    def __init__(self, folder):
        self.folder = os.path.abspath(folder)
        with open(os.path.join(folder, "compile_commands.json"),
                  encoding="utf-8") as file:
            self.commands = {}
            for entry in json.load(file):
                path = os.path.relpath(entry["file"], ROOT)
                self.commands.setdefault(path, []).append(
                    shlex.split(entry["command"]))
        self.links = {}
        self.programs = os.path.join(os.path.dirname(self.folder), "bin")

    def link_of(self, target):
        """The words that link a test or program."""
        if not self.links:
            lines = subprocess.run(["ninja", "-C", self.folder, "-t", "commands"], check=True,
                                   capture_output=True, text=True).stdout.split("\n")
            for part in (part for line in lines for part in line.split(" && ")):
                if " -o " in part and " -c " not in part:
                    words = shlex.split(part)
                    self.links[os.path.basename(words[words.index("-o") + 1])] = words
        return list(self.links[target])

    def compile(self, words, source, here, out):
        """The same command for another text of the source."""
        words = list(words)
        words[words.index("-o") + 1] = out
        words[words.index("-c") + 1] = source
        words[1:1] = ["-iquote", os.path.dirname(here), "-w"]
        subprocess.run(words, cwd=self.folder, check=True, capture_output=True,
                       text=True)

    def link(self, target, path, source, out):
        """A test or program with that source in the place of `path`: instead
        of its object, or before the libraries that have one."""
        words = self.link_of(target)
        ways = self.commands[path]
        way = next((way for way in ways if object_of(way) in words), ways[0])
        made = out + ".o"
        self.compile(way, source, os.path.join(ROOT, path), made)
        words[words.index("-o") + 1] = out
        if object_of(way) in words:
            words[words.index(object_of(way))] = made
        else:
            words.insert(next(i for i, word in enumerate(words)
                              if word.endswith(".a")), made)
        subprocess.run(words, cwd=self.folder, check=True, capture_output=True,
                       text=True)


def object_of(words):
    return words[words.index("-o") + 1]


def tests_of(row):
    return row["tests"].split()


def story(test):
    """The words that play a story."""
    return [sys.executable, "-m", "pytest", "-q", "-x", os.path.join(
        ROOT, "tests", "integration", test.replace("e2e_", "test_") + ".py")]


def run(test, build, binary=None, programs=None, cases=""):
    """True: it is green."""
    env = dict(os.environ, FLOTILLA_BIN=programs or build.programs)
    if test.startswith("e2e_"):
        words = story(test) + (["-k", cases] if cases else [])
    elif test.startswith("engine_"):  # a script, of a program
        words = ["sh", os.path.join(ROOT, "tests", "unit", "engine", "tools",
                                    test[len("engine_"):] + ".sh"),
                 programs or build.programs]
    else:
        words = [binary or os.path.join(build.folder, "tests", test)]
    try:
        return subprocess.run(words, cwd=ROOT, env=env, timeout=HANG_S,
                              stdin=subprocess.DEVNULL,
                              stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def programs_with(row, source, build, place):
    """The folder of programs, one of which is blind."""
    folder = os.path.join(place, "bin")
    shutil.copytree(build.programs, folder, copy_function=os.link,
                    symlinks=True)
    out = os.path.join(folder, row["program"])
    os.unlink(out)
    build.link(row["program"], row["file"], source, out)
    return folder


def play(row, build):
    """Who noticed; '' when nobody did."""
    with tempfile.TemporaryDirectory(prefix="flo-mutant-",
                                     dir=build.folder) as place:
        source = os.path.join(place, os.path.basename(row["file"]))
        with open(source, "w", encoding="utf-8") as file:
            file.write(changed(row))
        programs = None
        if "program" in row:
            programs = programs_with(row, source, build, place)
        for test in tests_of(row):
            out = None
            if programs is None:
                out = os.path.join(place, test)
                build.link(test, row["file"], source, out)
            if not run(test, build, out, programs, row.get("cases", "")):
                return test
    return ""


def drawn(rows):
    print("FLOTILLA_SEED=%d tests/mutants/play.py plays this alone" % draw.seed(), flush=True)
    names = set(draw.drawn("mutants", [row["name"] for row in rows]))
    return [row for row in rows if row["name"] in names]


def listed(row):
    """True: its line is not there."""
    try:
        changed(row)
        print("%-32s %-44s %s" % (row["name"], row["file"], row["tests"]))
        return False
    except LookupError as error:
        print(error, file=sys.stderr)
        return True


def verdict(row, build):
    try:
        noticed = play(row, build)
        return bool(noticed), noticed or "NOBODY NOTICES: %s (%s)" % (
            row["promise"], row["tests"])
    except LookupError as error:
        return False, str(error)
    except subprocess.CalledProcessError as error:
        return False, "%s: it does not build: %s" % (
            row["at"], (error.stderr or "").strip()[-600:])


def main():
    parse = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parse.add_argument("build", nargs="?", default=os.path.join(
        ROOT, "build", "release"))
    parse.add_argument("--only", default="")
    parse.add_argument("--list", action="store_true")
    args = parse.parse_args()
    rows = table()
    if args.list:
        return sum([listed(row) for row in rows]) > 0
    rows = drawn(rows) if not args.only else [
        row for row in rows if row["name"] in args.only.split(",")]
    build = Build(args.build)
    jobs = int(os.environ.get("JOBS") or len(os.sched_getaffinity(0)))
    bad = 0
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        plain = sorted({(test, row.get("cases", "")) for row in rows
                        for test in tests_of(row)})
        for (test, cases), green in zip(plain, pool.map(
                lambda one: run(one[0], build, cases=one[1]), plain)):
            if not green:
                bad += 1
                print("red by itself: %s %s" % (test, cases), flush=True)
        for row, (good, word) in zip(rows, pool.map(
                lambda row: verdict(row, build), rows)):
            bad += not good
            print("%s %-36s %s" % ("ok " if good else "BAD", row["name"],
                                   word), flush=True)
    print("%d checks taken out, %d not noticed" % (len(rows), bad))
    return bad > 0


if __name__ == "__main__":
    sys.exit(main())
