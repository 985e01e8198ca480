#!/usr/bin/env python3
"""Growth is paid: rooms, their budgets, and what each issue may add.

usage: tools/growth.py [--trim]

tools/size.txt has a budget for each room, and a reserve for each issue. The check
refuses a file without a room, a room above its budget, a budget more than 3 % above
its room, a reserve that is overdrawn, lines that stand without a reserve that paid
for them, and a commit that raises a budget without a source. A source is another
budget that goes down in the same commit, or a reserve; the commit names the reserve
in a line `Reserve: ISSUE`. --trim lowers the budgets that are too far above."""
import collections
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TABLE = "tools/size.txt"
TOPS = ("agent", "base", "engine", "proto", "server-stub", "updater")
COUNTED = re.compile(r"\.(?:c|h|def|js|css|html)$")
SLACK = 1.03  # a budget's most, as a share of its room
ROUND = 10  # budgets are whole tens where the slack allows it

Room = collections.namedtuple("Room", "name budget test page peer pattern stands")
Reserve = collections.namedtuple("Reserve", "issue most taken state")


def git(*words, root=ROOT):
    return subprocess.run(["git", *words], cwd=root, check=True, text=True,
                          stdout=subprocess.PIPE).stdout


class Table:
    """The rows of a text of tools/size.txt."""

    def __init__(self, text):
        self.start, self.rooms, self.reserves = 0, [], {}
        section = ""
        for line in text.splitlines():
            if line.startswith("["):
                section = line.strip("[]")
            elif section and line.strip() and not line.startswith("#"):
                self.add(section, [part.strip() for part in line.split("|", 5)])

    def add(self, section, parts):
        if section == "reserves" and parts[0] == "start":
            self.start = int(parts[1])
        elif section == "reserves":
            self.reserves[parts[0]] = Reserve(parts[0], int(parts[1]), int(parts[2]), parts[3])
        else:
            self.rooms.append(Room(parts[0], int(parts[1]), *parts[2:5], re.compile(parts[5]),
                                   section == "stand"))

    @property
    def budgets(self):
        return sum(room.budget for room in self.rooms)

    @property
    def taken(self):
        return sum(reserve.taken for reserve in self.reserves.values())

    @property
    def allowed(self):
        """Lines that may stand."""
        return self.start + self.taken


def table(root=ROOT):
    with open(os.path.join(root, TABLE), encoding="utf-8") as file:
        return Table(file.read())


def lines_of(root=ROOT):
    """Lines of each counted file of the tree, also of those that git does not know yet."""
    names = git("ls-files", "-co", "--exclude-standard", "-z", "--", *TOPS, root=root)
    out = {}
    for name in sorted(set(names.split("\0")) - {""}):
        path = os.path.join(root, name)
        if COUNTED.search(name) and "/vendor/" not in name and os.path.isfile(path):
            with open(path, "rb") as file:
                out[name] = file.read().count(b"\n")
    return out


def owned(rooms, names):
    """Each room with its files, which belong to the first that takes them, and the rest."""
    own = {room.name: set() for room in rooms}
    left = set()
    for name in names:
        room = next((room for room in rooms if room.pattern.match(name)), None)
        (left if room is None else own[room.name]).add(name)
    return own, left


def most_of(lines):
    """The highest budget that a room of so many lines may have."""
    return int(lines * SLACK)


def room_faults(table, lines):
    own, left = owned(table.rooms, lines)
    for name in sorted(left):
        yield "%s is in no room (%s)" % (name, TABLE)
    for room in table.rooms:
        count = sum(lines[name] for name in own[room.name])
        if count > room.budget:
            yield "%s: %d lines, its budget has %d: take from the issue's reserve, or " \
                "lower another budget in the same commit" % (room.name, count, room.budget)
        if room.budget > most_of(count):
            yield "%s: a budget of %d for %d lines, at most %d (tools/growth.py --trim)" % (
                room.name, room.budget, count, most_of(count))


def reserve_faults(table, stand):
    for reserve in table.reserves.values():
        most = reserve.most if reserve.state == "ended" else max(0, reserve.most)
        if reserve.taken > most:
            yield "%s took %d lines, its reserve has %d" % (reserve.issue, reserve.taken, most)
    if stand > table.allowed:
        yield "%d lines stand, %d are paid for (start and what the reserves gave)" % (
            stand, table.allowed)


def raise_faults(before, after, said):
    """Faults between two tables; `said` is the commit's message, None: not committed."""
    if not before.reserves:
        return
    paid = after.taken - before.taken
    rise = after.budgets - before.budgets
    if rise > paid:
        yield "the budgets rise by %d lines, and the reserves pay for %d" % (rise, paid)
    if after.start != before.start:
        yield "the start of the count is fixed: %d, not %d" % (before.start, after.start)
    for issue, reserve in after.reserves.items():
        old = before.reserves.get(issue)
        if old is None or old.most != reserve.most:
            yield "the reserve of %s is not the one that was agreed" % issue
        elif reserve.taken > old.taken and said is not None and not re.search(
                r"^Reserve: %s$" % re.escape(issue), said, re.M):
            yield "it takes from the reserve of %s without a line `Reserve: %s`" % (issue, issue)


def text_at(commit, root):
    done = subprocess.run(["git", "show", "%s:%s" % (commit, TABLE)], cwd=root, check=False,
                          text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    return done.stdout if done.returncode == 0 else ""


def history_faults(root=ROOT):
    """Commits that raised a budget without a source, and the work tree against HEAD."""
    after = table(root)
    for fault in raise_faults(Table(text_at("HEAD", root)), after, None):
        yield "not committed: " + fault
    for commit in git("log", "--no-merges", "--format=%H", "--", TABLE, root=root).split():
        before = Table(text_at(commit + "^", root))
        if not before.reserves:
            return  # budgets had no reserves before
        said = git("log", "-1", "--format=%B", commit, root=root)
        for fault in raise_faults(before, Table(text_at(commit, root)), said):
            yield "%s: %s" % (commit[:9], fault)


def stand_of(table, lines):
    """Lines that stand, and those of each room."""
    own, _ = owned(table.rooms, lines)
    counts = {name: sum(lines[n] for n in names) for name, names in own.items()}
    return sum(counts[room.name] for room in table.rooms if room.stands), counts


def row_faults(table, root):
    """Rooms whose test or page is not there."""
    with open(os.path.join(root, "tests/run/seconds.tsv"), encoding="utf-8") as file:
        tests = {line.split("\t")[0] for line in file}
    tests |= {re.sub(r".*/|[.]\w+$", "", name) for name in
              git("ls-files", "tests/*/test_*", root=root).split()}
    for room in table.rooms:
        if room.test not in tests and re.sub("^e2e_", "test_", room.test) not in tests:
            yield "%s: no test %s" % (room.name, room.test)
        if not os.path.exists(os.path.join(root, room.page)):
            yield "%s: no page %s" % (room.name, room.page)


def budget_of(lines, stands):
    """The budget that --trim gives. Lines that stand get whole tens where the slack allows
    it, and the others, which follow them, get the slack."""
    tens = -(-lines // ROUND) * ROUND
    return most_of(lines) if not stands else tens if tens <= most_of(lines) else lines


def trim(root=ROOT):
    known, lines = table(root), lines_of(root)
    counts = stand_of(known, lines)[1]
    path = os.path.join(root, TABLE)
    with open(path, encoding="utf-8") as file:
        text = file.read()
    for room in known.rooms:
        count = counts[room.name]
        if room.budget > most_of(count):
            text = text.replace("%s | %d |" % (room.name, room.budget), "%s | %d |" % (
                room.name, budget_of(count, room.stands)))
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def main():
    if "--trim" in sys.argv[1:]:
        trim()
    known, lines = table(), lines_of()
    stand, _ = stand_of(known, lines)
    faults = [*room_faults(known, lines), *reserve_faults(known, stand),
              *row_faults(known, ROOT), *history_faults()]
    print("\n".join(faults + ["%d lines of .c stand, %d are paid for" % (
        stand, known.allowed)]))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
