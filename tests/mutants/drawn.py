#!/usr/bin/env python3
"""Mutants that nobody chose: draw checks, bounds and syncs of the product, break each.

usage: drawn.py [BUILD] [--set border|rest] [--count N] [--files PATTERN] [--tests N] [--units]
                [--list]

Points are drawn by the tree's seed from the sources that a pattern takes (a regular
expression over paths).  The set `border` judges what comes from outside and keeps what was
acknowledged: 95 % of its points have to fall, and 75 % of the rest.  Both are played without
--set; a small part is judged by what fell when it was measured.  One build has all points,
each behind a switch of the environment (drawn.h).  Each test is played once to see which
points it reaches; then those tests play a point with it broken, the nearest first.  The stories of the rooms in tools/size.txt play what unit tests
let live (not with --units).  A build with AddressSanitizer draws frees, too.
The end says who survived, with file and line; harmless.txt says which may.
"""
import argparse
import collections
import concurrent.futures
import math
import os
import random
import re
import shutil
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
# Trust, what verifies, stores and their journals; checks and bounds of readers of outside bytes.
CORE = re.compile(r"updater/(store|trust|verify)/|agent/shell/(outbox|trust)/|"
                  r"server-stub/(state/(audit|trust)|store)/")
READERS = re.compile(
    r"updater/(bundle|core|delta|fetch|share)/|agent/relay/|proto/|base/(gguf|host|safetensors|tree)/|"
    r"server-stub/(core/(oidc|request|spec)|state/(artifacts|pki))/|engine/(http|model/file|proxy)/")
LEAST = {"border": 95, "rest": 75}  # percent that have to fall
STAND = {"border": 50, "rest": 45}  # percent that fell on 2026-12-01 by unit tests; FEW
# e2e_starved plays what fails only without memory.
WITHOUT_MEMORY = re.compile(r"\)\s*\{\s*(return|rv =)?\s*flo_fail\(\w+, FLO_E_MEMORY")
STORIES_MAX = 3  # of a point: the nearest that reach it
FEW = 100  # points
TESTS_AT_ONCE, STORIES_AT_ONCE = 3, 4  # for each CPU: they wait
HANG_FACTOR, HANG_S = 5, 10
POINTS_MAX = 4000  # drawn.h
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
    for found in re.finditer(r"^ +(?:\w+_)?free\([^;{}]*\);", mask, re.M):
        yield point("free", *found.span())


def switched(kind, number, text, new):
    """An expression with its switch."""
    return {"check": "!flo_drawn(%d) && (%s)" % (number, text),
            "negate": "flo_drawn(%d) != !!(%s)" % (number, text),
            "bound": "flo_drawn(%d) ? (%s) : (%s)" % (number, new, text),
            "ignore": "flo_drawn_ignores(%d, %s)" % (number, text),
            "sync": "flo_drawn(%d) ? 0 : %s" % (number, text.strip().rstrip(";")),
            "free": "if (!flo_drawn(%d)) { %s }" % (number, text.strip())}[kind]


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


def grouped(points_by_number):
    """Points of one source by their place, without those that lie in another's place."""
    groups = collections.OrderedDict()
    for number, one in points_by_number.items():
        groups.setdefault((one.begin, one.end), []).append((number, one))
    for begin, end in list(groups):
        if any(b <= begin and end <= e and (b, e) != (begin, end) for b, e in groups):
            del groups[begin, end]
    return groups


# ---- the build with all points ----


def words_of(path):
    return set(re.findall(r"[a-z0-9]+", path)) - {"tests", "unit", "test", "c"}


def seconds():
    with open(os.path.join(ROOT, "tests", "run", "seconds.tsv"), encoding="utf-8") as file:
        rows = [line.split() for line in file if not line.startswith("#")]
    return {row[0]: float(row[1]) for row in rows}


SECONDS = seconds()


class Drawn(play.Build):
    """Tests and programs in the folder `place`, whose objects of sources have switches."""

    def __init__(self, folder, place):
        super().__init__(folder)
        self.place = place
        self.header = os.path.join(HERE, "drawn.h")
        self.made = {}     # path of a source: (object of the build, ours)
        self.names = {}    # path of an object or program: what it defines
        self.trouble = []
        self.tests = os.path.join(self.folder, "tests")
        self.sources = {os.path.basename(one)[:-2]: one for one in self.commands}

    def compile_source(self, path, by_number):
        """Compiles a source in each way in which the build has it."""
        here = os.path.join(ROOT, path)
        with open(here, encoding="utf-8") as file:
            text = file.read()
        stem = os.path.join(self.place, path.replace("/", "-")[:-2])
        with open(stem + ".c", "w", encoding="utf-8") as file:
            file.write(instrumented(text, grouped(by_number)))
        ways = []
        for i, words in enumerate(self.commands[path]):
            out = "%s.%d.o" % (stem, i)
            try:
                self.compile(words[:1] + ["-include", self.header] + words[1:], stem + ".c",
                             here, out)
            except subprocess.CalledProcessError as error:
                self.trouble.append("%s does not build: %s" % (path, error.stderr[-600:]))
                return
            ways.append((play.object_of(words), out))
        self.made[path] = ways

    def symbols(self, path):
        if path not in self.names:
            done = subprocess.run(["nm", "--defined-only", path], capture_output=True, text=True,
                                  check=False)
            self.names[path] = {line.split()[-1] for line in done.stdout.splitlines()
                                if " T " in line}
        return self.names[path]

    def link_drawn(self, binary, target, out):
        """Links a test or program again.  False: it has no source with switches."""
        has, words = self.symbols(binary), self.link_of(target)
        objects, is_drawn = [], False
        for path, ways in self.made.items():
            names = self.symbols(ways[0][1])
            if not names or not names <= has:
                continue
            is_drawn = True
            way = next((way for way in ways if way[0] in words), None)
            if way is not None:
                words[words.index(way[0])] = way[1]
            else:
                objects.append(ways[0][1])
        if is_drawn:
            at = next(i for i, word in enumerate(words) if word.endswith(".a"))
            words[at:at] = objects
            words[words.index("-o") + 1] = out
            done = subprocess.run(words, cwd=self.folder, check=False, capture_output=True,
                                  text=True)
            if done.returncode != 0:
                self.trouble.append("%s does not link: %s" % (target, done.stderr[-300:]))
                return False
        return is_drawn


class Test:
    """A test, and the points that it reaches."""

    def __init__(self, name, command=(), env=None):
        self.name, self.command, self.env = name, command, env
        self.reached, self.limit, self.cost = set(), play.HANG_S, SECONDS.get(name, 1)

    def look(self, place, count):
        """Plays it whole.  False: it is red by itself."""
        seen = os.path.join(place, self.name + ".seen")
        with open(seen, "wb") as file:
            file.truncate(4096)
        began = time.monotonic()
        if ended(self.command, dict(self.env, FLOTILLA_DRAWN_SEEN=seen), play.HANG_S) != 0:
            return False
        self.limit = HANG_FACTOR * (time.monotonic() - began) + HANG_S
        with open(seen, "rb") as file:
            bits = file.read()
        self.reached = {number for number in range(1, count + 1) if bits[number]}
        return True

    def notices(self, number):
        return ended(self.command, dict(self.env, FLOTILLA_DRAWN=str(number)), self.limit) != 0


def ended(command, env, limit_s):
    try:
        return subprocess.run(command, cwd=ROOT, env=env, timeout=limit_s,
                              stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL).returncode
    except subprocess.TimeoutExpired:
        return -1


# ---- playing ----


class Play:
    def __init__(self, build, chosen, jobs, most):
        self.build, self.jobs, self.most = build, jobs, most
        self.points = dict(enumerate(chosen, 1))
        self.verdicts = {}  # number: who noticed, or "" after a test that reached it

    def each(self, work, parts, jobs=None):
        with concurrent.futures.ThreadPoolExecutor(jobs or self.jobs) as pool:
            return list(pool.map(work, parts))

    def compile(self):
        by_path = collections.defaultdict(dict)
        for number, one in self.points.items():
            by_path[one.path][number] = one
        self.each(lambda pair: self.build.compile_source(*pair), by_path.items())

    def near(self, test, path):
        """By this, tests of a source are sorted."""
        like = words_of(path) & words_of(self.build.sources.get(test.name, test.name))
        return -len(like), test.cost

    def unit_tests(self):
        """The nearest ones of each source with points."""
        build, wanted = self.build, set()
        names = [name for name in sorted(os.listdir(build.tests))
                 if name.startswith("test_") and "." not in name]
        has = dict(zip(names, self.each(
            lambda name: build.symbols(os.path.join(build.tests, name)), names)))
        for path, ways in build.made.items():
            mine = [Test(name) for name in names
                    if build.symbols(ways[0][1]) and build.symbols(ways[0][1]) <= has[name]]
            mine.sort(key=lambda test: self.near(test, path))
            wanted |= {test.name for test in mine[:self.most]}

        def linked(name):
            out = os.path.join(build.place, name)
            if build.link_drawn(os.path.join(build.tests, name), name, out):
                return Test(name, [out], dict(os.environ, FLOTILLA_BIN=build.programs))
            return None
        return [test for test in self.each(linked, sorted(wanted)) if test]

    def stories(self):
        """Those of the rooms that have an open point."""
        folder = os.path.join(self.build.place, "bin")
        shutil.copytree(self.build.programs, folder, copy_function=os.link, symlinks=True)
        for name in sorted(os.listdir(folder)):
            if "." not in name:
                out = os.path.join(folder, name)
                os.unlink(out)
                if not self.build.link_drawn(os.path.join(self.build.programs, name), name, out):
                    os.link(os.path.join(self.build.programs, name), out)
        rooms = growth.table().rooms
        own, _ = growth.owned(rooms, {self.points[number].path for number in self.open()})
        names = sorted({room.test for room in rooms
                        if own[room.name] and room.test.startswith("e2e_")})
        return [Test(name, play.story(name), dict(os.environ, FLOTILLA_BIN=folder))
                for name in names]

    def open(self):
        return [number for number in self.points if not self.verdicts.get(number)]

    def by(self, tests, most, jobs):
        """Looks what the tests reach, and plays the open points by the nearest of them."""
        def look(test):
            if not test.look(self.build.place, len(self.points)):
                self.build.trouble.append("%s is red by itself" % test.name)
        self.each(look, tests, jobs)

        def play_point(number):
            path = self.points[number].path
            mine = sorted((test for test in tests if number in test.reached),
                          key=lambda test: self.near(test, path))
            for test in mine[:most]:
                self.verdicts[number] = ""
                if test.notices(number):
                    self.verdicts[number] = test.name
                    return self.say(number)
            return None
        self.each(play_point, self.open(), jobs)

    def play(self, with_stories):
        self.compile()
        self.by(self.unit_tests(), self.most, self.jobs * TESTS_AT_ONCE)
        if with_stories and self.open():
            self.by(self.stories(), STORIES_MAX, self.jobs * STORIES_AT_ONCE)

    def say(self, number):
        one, word = self.points[number], self.verdicts.get(number)
        print("%-9s %-7s %s:%d  %s%s" % (
            "fell" if word else "NOT SEEN" if word is None else "SURVIVES", one.kind, one.path,
            one.line, one.text[:70], "  (%s)" % word if word else ""), flush=True)

    def end(self):
        for number in self.open():
            self.say(number)
        for word in self.build.trouble:
            print("TROUBLE   %s" % word)


# ---- what may survive ----


def harmless():
    """File, kind and text of points whose survival is stated to be harmless."""
    with open(os.path.join(HERE, "harmless.txt"), encoding="utf-8") as file:
        rows = [line.rstrip("\n").split(" | ") for line in file
                if line.strip() and not line.startswith("#")]
    return {tuple(row[:3]): row[3] for row in rows}


def set_of(point):
    """The set to which a point belongs."""
    is_border = CORE.match(point.path) or (
        READERS.match(point.path) and point.kind in ("check", "bound"))
    return "border" if is_border else "rest"


def sources(files):
    """The tracked sources that the pattern takes."""
    names = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True,
                           check=True).stdout.splitlines()
    return [path for path in sorted(names) if SOURCES.match(path) and re.search(files, path)
            and not NOT_HERE.search(path)]


def draw(which, files, count, frees):
    """Points, drawn among those that are not stated to be harmless."""
    all_points = []
    for path in sources(files):
        with open(os.path.join(ROOT, path), encoding="utf-8") as file:
            all_points += [one for one in points(path, file.read()) if set_of(one) == which]
    stated = harmless()
    all_points = [one for one in all_points if (one.path, one.kind, one.text) not in stated
                  and (frees or one.kind != "free")]
    chance = random.Random("drawn %d" % play.draw.seed())
    count = min(count, len(all_points), POINTS_MAX)
    print("FLOTILLA_SEED=%d: %s: %d of %d points" % (
        play.draw.seed(), which, count, len(all_points)), flush=True)
    return sorted(chance.sample(all_points, count))


def least_of(which, count):
    """How many of so many points have to fall.  The bound of a small part is one that less
    than a draw in a hundred misses, if the whole set stands where it stood."""
    if count >= FEW:
        return math.ceil(LEAST[which] * count / 100)
    share = STAND[which] / 100
    chances = [math.comb(count, n) * share ** n * (1 - share) ** (count - n)
               for n in range(count + 1)]
    return next(n for n in range(count + 1) if sum(chances[:n + 1]) > 0.01)


def judged(chosen, args):
    """True: enough of each set fell, and each point could be played."""
    folder = os.path.abspath(args.build)
    with tempfile.TemporaryDirectory(prefix="flo-drawn-", dir=folder) as place:
        one = Play(Drawn(folder, place), [point for some in chosen.values() for point in some],
                   int(os.environ.get("JOBS") or len(os.sched_getaffinity(0))), args.tests)
        one.play(not args.units)
        one.end()
    alive = {one.points[number] for number in one.open()}
    good = not one.build.trouble
    for which, some in chosen.items():
        fell, least = len(set(some) - alive), least_of(which, len(some))
        print("%s: %d of %d fell, %d have to" % (which, fell, len(some), least))
        good = good and fell >= least
    return good


def main():
    parse = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parse.add_argument("build", nargs="?", default=os.path.join(ROOT, "build", "release"))
    parse.add_argument("--set", choices=sorted(LEAST), action="append")
    parse.add_argument("--count", type=int, default=10)
    parse.add_argument("--files", default="")
    parse.add_argument("--tests", type=int, default=30, help="of a point, the nearest ones")
    parse.add_argument("--units", action="store_true")
    parse.add_argument("--list", action="store_true")
    args = parse.parse_args()
    with open(os.path.join(args.build, "compile_commands.json"), encoding="utf-8") as file:
        frees = "-fsanitize=address" in file.read()
    chosen = {which: draw(which, args.files, args.count, frees)
              for which in args.set or sorted(LEAST)}
    if not args.list:
        return not judged(chosen, args)
    for one in [one for some in chosen.values() for one in some]:
        print("%-7s %s:%d  %s" % (one.kind, one.path, one.line, one.text[:90]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
