#!/usr/bin/env python3
"""Lines of C that each capability has, and that each option leaves out.

usage: tools/size.py BUILD [--check]

Writes docs/internals/size.md; --check compares instead: a least build above MOST, a
page that is far from the tree, or a room whose stand-in lacks a function that others
call.  Budgets are tools/growth.py's.  A program's lines are those of the objects that
its link takes: `nm` shows who needs whom, as the linker sees it.
"""
import collections
import functools
import os
import re
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import circles  # noqa: E402
import growth  # noqa: E402

ROOT = circles.ROOT
PAGE = os.path.join(ROOT, "docs/internals/size.md")
SIDES = (("device", ("flotilla-agent", "flotilla-engine", "flotilla-updater",
                     "flotilla-relay")),
         ("controller", ("flotilla-controller", "flotilla")))
PROGRAMS = SIDES[0][1] + SIDES[1][1] + ("flotilla-model",)
# Code alone of the least: 80,000 and 85,000, and what doors, belief and faithful took.
MOST = {"device": 82463, "controller": 88480}
STALE_LINES, STALE_SHARE = 150, 0.03  # a page is stale beyond both


@functools.lru_cache(None)
def lines(source):
    """Lines of a file, and those of them that are code."""
    path = os.path.join(ROOT, source)
    if not os.path.exists(path):  # made by the build
        return (0, 0)
    with open(path, encoding="utf-8") as file:
        text = file.read()
    code = re.sub(r"/\*.*?\*/", "", text, flags=re.S)
    return (text.count("\n"), sum(1 for l in code.splitlines() if l.strip()))


def total(sources):
    counts = [lines(source) for source in sources]
    return (sum(c[0] for c in counts), sum(c[1] for c in counts))


def rooms():
    """Option, part and pattern of the sources: cmake/rooms.cmake."""
    with open(os.path.join(ROOT, "cmake/rooms.cmake"), encoding="utf-8") as file:
        found = re.findall(
            r'^flotilla_room\((\w+) "([^"]+)"\s+"([^"]+)"', file.read(), re.M)
    return [(option, part, re.compile(pattern)) for option, part, pattern in found]


class Tree:
    """The objects of a build, and what each needs."""

    def __init__(self, build):
        found = circles.objects(build)
        self.of_target = collections.defaultdict(set)
        for source, output in found.items():
            target = re.search(r"CMakeFiles/([^/]+)\.dir/", output).group(1)
            self.of_target[target].add(source)
        self.defines, self.needs = circles.symbols(build, found)
        self.sources = set(found)

    def linked(self, programs, left_out=()):
        """Sources that programs link without the rooms of these patterns."""
        out = {s for s in self.sources if any(p.match(s) for p in left_out)}
        todo = {s for p in programs for s in self.of_target[p]} - out
        seen = set()
        while todo:
            seen |= todo
            todo = set().union(*(self.owners[s] for s in todo)) - seen - out
        return seen

    @functools.cached_property
    def owners(self):
        """Whom each source needs."""
        return {source: {o for n in names for o in self.defines.get(n, ())}
                for source, names in self.needs.items()}

    def door(self, pattern):
        """The functions of a room that others call."""
        inside = {s for s in self.sources if pattern.match(s)}
        wanted = set().union(*(self.needs[s] for s in self.sources - inside))
        return {n for s in inside for n in self.by_owner[s] & wanted}

    @functools.cached_property
    def by_owner(self):
        out = collections.defaultdict(set)
        for name, owners in self.defines.items():
            for owner in owners:
                out[owner].add(name)
        return out


@functools.lru_cache(None)
def absent():
    """Every stand-in with its text."""
    found = {}
    for top in ("base", "proto", "engine", "updater", "agent", "server-stub"):
        for folder, _, names in os.walk(os.path.join(ROOT, top)):
            for name in names:
                if re.match(r"absent.*\.c$", name):
                    path = os.path.join(folder, name)
                    with open(path, encoding="utf-8") as file:
                        found[os.path.relpath(path, ROOT)] = file.read()
    return found


def stand_ins(pattern):
    """Stand-ins of a room, and all that they say."""
    found = sorted(path for path in absent() if pattern.match(path))
    return found, "".join(absent()[path] for path in found)


def number(value):
    return format(value, ",")


def table(head, rows):
    """Columns of numbers alone stand at the right."""
    sides = ["---:" if i > 0 and all(re.match(r"[-\d,]*$", row[i]) for row in rows) else "---"
             for i in range(len(head))]
    return "\n".join("| %s |" % " | ".join(row) for row in [head, sides, *rows]) + "\n"


def page(tree):
    """The page, and each number of it by its place."""
    marks = {}

    def put(key, value):
        marks[key] = value
        return number(value)

    def pair(key, sources):
        all_lines, code = total(sources)
        return [put(key, all_lines), put(key + " code", code)]

    whole = {name: tree.linked(programs) for name, programs in SIDES}
    every = [pattern for _, _, pattern in rooms()]
    extra = [path for p in every for path in stand_ins(p)[0]]
    least = {name: tree.linked(programs, every) for name, programs in SIDES}
    rows = [["%s: all" % name] + pair(name, whole[name]) for name in whole]
    for name in least:
        mine = [path for path in extra if is_of(name, path)]
        rows.append(["%s: the least" % name] +
                    pair(name + " least", least[name] | set(mine)))
    text = [HEAD, table(["side", "lines", "code alone"], rows)]
    text.append(PROGRAMS_HEAD + table(
        ["program", "lines", "code alone"],
        [["`%s`" % p] + pair(p, tree.linked((p,))) for p in PROGRAMS]))
    rows = []
    for option, part, pattern in rooms():
        saved = [total(whole[n])[0] - total(tree.linked(p, [pattern]))[0]
                 for n, p in SIDES]
        rows.append(["`%s`" % option, part] +
                    [put("%s %d" % (option, i), s) if s else "" for i, s in
                     enumerate(saved)])
    text.append(OPTIONS_HEAD + table(
        ["option", "leaves out", "device", "controller"], rows))
    known, counted = growth.table(), growth.lines_of()
    stand, counts = growth.stand_of(known, counted)
    text.append(RESERVES_HEAD % tuple(map(number, (stand, known.start, known.taken))) + table(
        ["issue", "at most", "taken", ""],
        [[r.issue, number(r.most), put("reserve " + r.issue, r.taken), r.state]
         for r in known.reserves.values()]))
    own = growth.owned(known.rooms, counted)[0]
    rows = []
    for room in known.rooms:
        rows.append([room.name, put("room " + room.name, counts[room.name]),
                     number(room.budget)] +
                    [number(total(own[room.name] & whole[n])[0]) if room.stands else ""
                     for n, _ in SIDES] +
                    ["`%s`" % room.test, room.page, room.peer])
    text.append(ROOMS_HEAD + table(
        ["room", "lines", "budget", "on a device", "on a controller", "test", "page",
         "who else has it"], rows))
    return "\n".join(text), marks


def is_of(side, path):
    """A stand-in's side: rooms of the device stand in its folders."""
    on_device = path.startswith(("agent/", "engine/", "updater/"))
    return on_device == (side == "device")


HEAD = """# Size

Made by `tools/size.py build/release` (`make docs` after a build) for x86-64; change the
code or `tools/size.txt`, not this page. Lines are those of the `.c` files that a
program's link takes; code alone leaves out blank lines and comments. A device has agent,
engine and updater; a controller has its program and the command line. The least is a
build with every option of the third table off; its code alone has at most 80,000 lines
on a device and 85,000 on a controller, and the check refuses more.
"""
PROGRAMS_HEAD = "Programs, each alone:\n\n"
OPTIONS_HEAD = """Options ([install.md](../install.md#what-a-build-has)), and the lines that
a build has less by each alone:

"""
RESERVES_HEAD = """Growth is paid. %s lines of `.c` stand, as a build for x86-64 with every option takes
them. They were %s when the count began, and the reserves have paid for %s since. Each issue
has a reserve. It is a ceiling, not an aim, and nobody inherits what an issue leaves; a
negative one gives back before it ends. `tools/growth.py` refuses a line that nobody paid for.

"""
ROOMS_HEAD = """Rooms, their budgets (`tools/size.txt`), and who uses each: a test, a page, and a peer
that has the same. A commit that raises a budget lowers another by as much, or takes from the
reserve of its issue and says `Reserve: ISSUE`. No budget is more than 3 % above its room.
The sum leaves out the first rows. They are counted, so that nothing moves to where nobody counts.

"""


def read_numbers(text):
    """Numbers of the page in their order."""
    return [int(n.replace(",", "")) for n in
            re.findall(r"(?<=\| )[\d,]+(?= \|)", text)]


def check(tree, text, marks):
    faults = []
    for side, most in MOST.items():
        if marks[side + " least code"] > most:
            faults.append("%s: the least has %s lines of code, at most %s (tools/size.py)"
                          % (side, number(marks[side + " least code"]), number(most)))
    for option, _, pattern in rooms():
        said = stand_ins(pattern)[1]
        missing = {n for n in tree.door(pattern)
                   if n not in said and not re.search(
                       r"\b%s\b" % re.sub("^flo_cmd_", "", n), said)}
        if missing:
            faults.append("%s: no stand-in for %s" % (option, " ".join(sorted(missing))))
    try:
        with open(PAGE, encoding="utf-8") as file:
            old = file.read()
    except FileNotFoundError:
        old = ""
    before, now = read_numbers(old), read_numbers(text)
    far = len(before) != len(now) or any(
        abs(a - b) > max(STALE_LINES, STALE_SHARE * max(a, b))
        for a, b in zip(before, now))
    if far or re.sub(r"[\d,]+", "", old) != re.sub(r"[\d,]+", "", text):
        faults.append("docs/internals/size.md is stale (tools/size.py build/release)")
    for fault in faults:
        print(fault)
    return 1 if faults else 0


def main():
    tree = Tree(sys.argv[1])
    lacks = [o for o, _, pattern in rooms()
             if not any(pattern.match(s) for s in tree.sources)]
    if lacks or "engine/kernel/x86/avx2/products.c" not in tree.sources and \
            not any("/x86/" in s for s in tree.sources):
        print("size: no page from this build: %s" % (" ".join(lacks) or "not x86-64"))
        return 0
    text, marks = page(tree)
    if "--check" in sys.argv[2:]:
        return check(tree, text, marks)
    with open(PAGE, "w", encoding="utf-8") as file:
        file.write(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
