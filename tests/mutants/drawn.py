#!/usr/bin/env python3
"""Mutants that nobody chose: draw checks, bounds and syncs of the product, break each.

usage: drawn.py [BUILD] [--count N] [--files PATTERN] [--units] [--list]

Points are drawn by the tree's seed from the sources that a pattern takes (a regular
expression over paths).  All points of a source stand in one build, behind a switch of the
environment (drawn.h).  A test plays a point if it contains the source and reaches the
point.  Unit tests come first, then the story of the room in tools/size.txt (not with
--units).  The end says who survived, with file and line; harmless.txt says which may.
"""
import argparse
import collections
import concurrent.futures
import os
import random
import re
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import play  # noqa: E402

ROOT = play.ROOT
sys.path.insert(0, os.path.join(ROOT, "tools"))
import growth  # noqa: E402

SOURCES = re.compile(r"(agent|base|engine|proto|server-stub|updater)/.*\.c$")
NOT_HERE = re.compile(r"engine/(llama|example|kernel/arm)/|absent|/[^/]*_main\.c$|/main\.c$")
# e2e_starved plays what fails only without memory.
WITHOUT_MEMORY = re.compile(r"\)\s*\{\s*(return|rv =)?\s*flo_fail\(\w+, FLO_E_MEMORY")
TESTS_MAX = 30  # of a source, the nearest ones
HANG_FACTOR, HANG_S = 10, 30
OTHER = {"<": "<=", "<=": "<", ">": ">=", ">=": ">"}

Point = collections.namedtuple("Point", "path line kind text begin end new")


# ---- points of a source ----


def blank(text):
    """The text with spaces for what stands in comments and literals."""
    return re.sub(r'/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'|^#.*?(?<!\\)$',
                  lambda found: re.sub(r"[^\n]", " ", found.group()), text,
                  flags=re.S | re.M)


def closing(mask, at):
    """Where the bracket at `at` closes."""
    depth = 0
    for i in range(at, len(mask)):
        depth += {"(": 1, ")": -1}.get(mask[i], 0)
        if depth == 0:
            return i
    return -1


def bounds(mask, text, begin, end):
    """Other texts of an expression, each with one bound that is off by one."""
    for found in re.finditer(r" (<=|>=|<|>) (?!0\b)", mask[begin:end]):
        at = begin + found.start(1)
        sign = found.group(1)
        yield (text[begin:at] + OTHER[sign] + text[at + len(sign):end],
               text[begin:at] + "[%s]" % sign + text[at + len(sign):end])


def points(path, text):
    mask = blank(text)

    def point(kind, begin, end, new="", shown=None):
        line = text.count("\n", 0, begin) + 1
        shown = " ".join((shown or text[begin:end]).split())
        return Point(path, line, kind, shown, begin, end, new)

    for found in re.finditer(r"\bif \(", mask):
        begin = found.end()
        end = closing(mask, begin - 1)
        refuses = re.match(r"\)\s*\{\s*(return|goto|continue|break|flo_fail|rv = flo_fail)",
                           mask[end:])
        if WITHOUT_MEMORY.match(mask, end):
            continue
        yield point("check" if refuses else "negate", begin, end)
        for new, shown in bounds(mask, text, begin, end):
            yield point("bound", begin, end, new, shown)
    for found in re.finditer(r"\breturn ([^;{}]*);", mask):
        for new, shown in bounds(mask, text, *found.span(1)):
            yield point("bound", *found.span(1), new, shown)
    for found in re.finditer(r"\bFLO_TRY\(", mask):
        end = closing(mask, found.end() - 1)
        if end >= 0:
            yield point("ignore", found.end(), end)
    for found in re.finditer(r"^ +f(?:data)?sync\(\w+\);|(?<=\()f(?:data)?sync\([^()]*\)", mask, re.M):
        yield point("sync", *found.span())


def switched(kind, number, text, new):
    """An expression with its switch."""
    return {"check": "!flo_drawn(%d) && (%s)" % (number, text),
            "negate": "flo_drawn(%d) != !!(%s)" % (number, text),
            "bound": "flo_drawn(%d) ? (%s) : (%s)" % (number, new, text),
            "ignore": "flo_drawn_ignores(%d, %s)" % (number, text),
            "sync": "flo_drawn(%d) ? 0 : %s" % (number, text.strip().rstrip(";"))}[kind]


def instrumented(text, numbered):
    """The source with all switches.  Points inside of another one are folded into it."""
    out = text
    for (begin, end), group in sorted(numbered.items(), reverse=True):
        expression = text[begin:end]
        for number, one in group:
            expression = switched(one.kind, number, expression, one.new)
        if group[0][1].kind == "sync":
            expression = "(void)(%s);" % expression if text[end - 1] == ";" else expression
        out = out[:begin] + expression + out[end:]
    return out


def grouped(chosen):
    """Points of one source by their place, without those that lie in another's place."""
    groups = collections.OrderedDict()
    for number, one in enumerate(chosen, 1):
        groups.setdefault((one.begin, one.end), []).append((number, one))
    for begin, end in list(groups):
        if any(b <= begin and end <= e and (b, e) != (begin, end) for b, e in groups):
            del groups[begin, end]
    return groups


# ---- who contains a source ----


class Drawn(play.Build):
    def __init__(self, folder):
        super().__init__(folder)
        self.header = os.path.join(HERE, "drawn.h")
        self.names = {}

    def compile(self, words, source, here, out):
        super().compile(words[:1] + ["-include", self.header] + words[1:], source, here, out)

    def symbols(self, path):
        if path not in self.names:
            done = subprocess.run(["nm", "--defined-only", path], capture_output=True, text=True,
                                  check=False)
            self.names[path] = {line.split()[-1] for line in done.stdout.splitlines()
                                if " T " in line}
        return self.names[path]

    def contain(self, path, programs):
        """The programs that contain the source."""
        mine = set()
        for way in self.commands[path]:
            mine |= self.symbols(os.path.join(self.folder, play.object_of(way)))
        return [one for one in programs if mine and mine <= self.symbols(one)]

    def tests(self, path):
        """Unit tests, those of a like name and folder first."""
        folder = os.path.join(self.folder, "tests")
        words = words_of(path)
        sources = {os.path.basename(one)[:-2]: one for one in self.commands}
        near = []
        for one in self.contain(path, [os.path.join(folder, name) for name in
                                       sorted(os.listdir(folder)) if name.startswith("test_")
                                       and "." not in name]):
            name = os.path.basename(one)
            like = len(words & words_of(sources.get(name, name)))
            near.append((-like, SECONDS.get(name, 1), one))
        return [os.path.basename(one) for _, _, one in sorted(near)[:TESTS_MAX]]


def words_of(path):
    return set(re.findall(r"[a-z0-9]+", path)) - {"tests", "unit", "test", "c"}


def seconds():
    with open(os.path.join(ROOT, "tests", "run", "seconds.tsv"), encoding="utf-8") as file:
        rows = [line.split() for line in file if not line.startswith("#")]
    return {row[0]: float(row[1]) for row in rows}


SECONDS = seconds()

# ---- playing ----


class Source:
    """A source, its drawn points, and who noticed each: a test, or "" after a test that
    reached it, or nothing at all."""

    def __init__(self, path, chosen):
        self.path, self.verdicts, self.trouble = path, {}, ""
        with open(os.path.join(ROOT, path), encoding="utf-8") as file:
            self.text = file.read()
        self.groups = grouped(chosen)
        self.points = dict(pair for group in self.groups.values() for pair in group)

    def open_numbers(self):
        return [number for number in self.points if not self.verdicts.get(number)]

    def plays(self, test, command, env, place):
        """Plays all open points that the test reaches."""
        seen = os.path.join(place, "seen")
        with open(seen, "wb") as file:
            file.truncate(4096)
        began = time.monotonic()
        if ended(command, dict(env, FLOTILLA_DRAWN_SEEN=seen), play.HANG_S) != 0:
            self.trouble += " %s is red by itself" % test
            return
        limit = HANG_FACTOR * (time.monotonic() - began) + HANG_S
        with open(seen, "rb") as file:
            reached = file.read()
        for number in self.open_numbers():
            if reached[number]:
                rc = ended(command, dict(env, FLOTILLA_DRAWN=str(number)), limit)
                self.verdicts[number] = test if rc != 0 else ""

    def play(self, build, stories):
        with tempfile.TemporaryDirectory(prefix="flo-drawn-", dir=build.folder) as place:
            source = os.path.join(place, os.path.basename(self.path))
            with open(source, "w", encoding="utf-8") as file:
                file.write(instrumented(self.text, self.groups))
            try:
                self.units(build, source, place)
                if stories and self.open_numbers():
                    self.stories(build, source, place)
            except subprocess.CalledProcessError as error:
                self.trouble += " does not build: %s" % (error.stderr or "").strip()[-900:]
        return self

    def units(self, build, source, place):
        for test in build.tests(self.path):
            if not self.open_numbers():
                return
            out = os.path.join(place, test)
            try:
                build.link(test, self.path, source, out)
            except subprocess.CalledProcessError as error:
                self.trouble += " %s: %s" % (test, (error.stderr or "").strip()[-300:])
                continue
            self.plays(test, [out], dict(os.environ, FLOTILLA_BIN=build.programs), place)

    def stories(self, build, source, place):
        room = next((room for room in growth.table().rooms if room.pattern.match(self.path)), None)
        programs = build.contain(self.path, [os.path.join(build.programs, name) for name in
                                             os.listdir(build.programs) if "." not in name])
        if room is None or not room.test.startswith("e2e_") or not programs:
            return
        for program in programs:
            row = {"program": os.path.basename(program), "file": self.path}
            with tempfile.TemporaryDirectory(dir=place) as inner:
                folder = play.programs_with(row, source, build, inner)
                self.plays(room.test, play.story(room.test),
                           dict(os.environ, FLOTILLA_BIN=folder), inner)


def ended(command, env, limit_s):
    try:
        return subprocess.run(command, cwd=ROOT, env=env, timeout=limit_s,
                              stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL).returncode
    except subprocess.TimeoutExpired:
        return -1


# ---- what may survive ----


def harmless():
    """File, kind and text of points whose survival is stated to be harmless."""
    with open(os.path.join(HERE, "harmless.txt"), encoding="utf-8") as file:
        rows = [line.rstrip("\n").split(" | ") for line in file
                if line.strip() and not line.startswith("#")]
    return {tuple(row[:3]): row[3] for row in rows}


def draw(files, count):
    taken = re.compile(files)
    all_points = []
    names = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True,
                           check=True).stdout.splitlines()
    for path in sorted(names):
        if SOURCES.match(path) and taken.search(path) and not NOT_HERE.search(path):
            with open(os.path.join(ROOT, path), encoding="utf-8") as file:
                all_points += points(path, file.read())
    stated = harmless()
    all_points = [one for one in all_points if (one.path, one.kind, one.text) not in stated]
    chance = random.Random("drawn %d" % play.draw.seed())
    by_path = collections.OrderedDict()
    for one in sorted(chance.sample(all_points, min(count, len(all_points)))):
        by_path.setdefault(one.path, []).append(one)
    print("FLOTILLA_SEED=%d: %d of %d points, in %d sources" % (
        play.draw.seed(), min(count, len(all_points)), len(all_points), len(by_path)), flush=True)
    return by_path


def say(source):
    for number, one in source.points.items():
        word = source.verdicts.get(number)
        print("%-9s %-7s %s:%d  %s%s" % (
            "fell" if word else "NOT SEEN" if word is None else "SURVIVES", one.kind, one.path,
            one.line, one.text[:70], "  (%s)" % word if word else ""), flush=True)
    if source.trouble:
        print("TROUBLE   %s:%s" % (source.path, source.trouble), flush=True)


def main():
    parse = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parse.add_argument("build", nargs="?", default=os.path.join(ROOT, "build", "release"))
    parse.add_argument("--count", type=int, default=20)
    parse.add_argument("--files", default="")
    parse.add_argument("--units", action="store_true")
    parse.add_argument("--list", action="store_true")
    parse.add_argument("--least", type=int, default=75, help="percent that have to fall")
    args = parse.parse_args()
    by_path = draw(args.files, args.count)
    if args.list:
        for one in [one for group in by_path.values() for one in group]:
            print("%-7s %s:%d  %s" % (one.kind, one.path, one.line, one.text[:90]))
        return 0
    build = Drawn(args.build)
    jobs = int(os.environ.get("JOBS") or len(os.sched_getaffinity(0)))
    fell = played = 0
    trouble = False
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        for source in pool.map(lambda pair: Source(*pair).play(build, not args.units),
                               by_path.items()):
            say(source)
            played += len(source.points)
            fell += sum(1 for word in source.verdicts.values() if word)
            trouble = trouble or bool(source.trouble)
    print("%d of %d fell, %d %%; %d %% have to" % (fell, played, 100 * fell // max(played, 1),
                                                  args.least))
    return trouble or 100 * fell < args.least * played


if __name__ == "__main__":
    sys.exit(main())
