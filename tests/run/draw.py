#!/usr/bin/env python3
"""The draw of a tree: which lane CI plays, and which part of everything that it plays
in part.

usage: tests/run/draw.py                what CI draws for HEAD, and about how long it takes
       tests/run/draw.py list [KIND]    the drawn parts of one row of the table, or of all
       tests/run/draw.py part KIND      of the names on standard input those that are drawn
       tests/run/draw.py left KIND      the parts of a row that are not drawn
       tests/run/draw.py tests          a pattern of the tests that `make drawn` plays
       tests/run/draw.py shell          the words of tests/run/seed.sh
       tests/run/draw.py history [N [COMMIT]]   how often the last N trees drew each lane
FLOTILLA_SEED=N      that seed, in the place of the tree's
FLOTILLA_PART=all    everything is drawn

The seed is the first seven digits of the tree's name (`git rev-parse HEAD^{tree}`). So
every clone of a commit draws the same. A tree without git has the seed 1.

Whatever is played in part has a row below, and asks here for its part:

    import draw
    names = draw.drawn("fuzz")                # a row that lists its own parts
    names = draw.drawn("interrupts", names)   # a row whose caller lists them
    dice = draw.dice("texts")                 # a generator, for a row of the share SEED
    print(draw.say("fuzz"))                   # the line that repeats it alone

A part is chosen by a hash of seed, kind and its own name, so it depends neither on the
order of the parts nor on what is built or installed here."""
import ast
import glob
import hashlib
import os
import random
import re
import signal
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SECONDS = os.path.join(ROOT, "tests", "run", "seconds.tsv")
DIGITS = 7  # of the tree's name; libFuzzer reads a seed of 32 bits
SEED_WITHOUT_GIT = 1

# ---- what is drawn ----

# One of these is drawn, and plays its tests. A short test shares a draw with another: of
# six lanes, one would often come fewer than 10 times in 100 trees.
LANES = {
    "tsan": ("lane_tsan", "lane_kernels"),
    "arm64": ("lane_arm64",),
    "armhf": ("lane_armhf",),
    "options": ("lane_options",),
    "faults": ("lane_mutants", "lane_drawn", "lane_coverage", "power_worker", "power_agent",
               "power_controller", "power_assets", "power_batches", "power_pairs",
               "power_trust", "power_packs", "power_drafts", "sweep_pairs", "sweep_worker", "sweep_agent-bundle", "sweep_assets_yes",
               "sweep_assets_no"),
}
ALWAYS = ("lane_asan", "lane_fuzz")  # in each run of `make lanes`
ONE, SEED = "one", "seed"  # shares: one part; a seed alone
BY_NAME = {"pairs", "arm64", "armhf", "room-tests", "kernels"}  # the caller alone knows all parts
SCRIPTS = ("engine_commands", "engine_convert_lora", "engine_golden", "engine_publishing",
           "oracle_delta_page")


def read(*path):
    with open(os.path.join(ROOT, *path), encoding="utf-8") as file:
        return file.read()


def names_of(pattern):
    return sorted(os.path.splitext(os.path.basename(path))[0]
                  for path in glob.glob(os.path.join(ROOT, pattern), recursive=True))


def turns_of(name):
    """The turns of schemathesis that a story names in its table TURNS."""
    text = re.search(r"^TURNS = (\(.*?\)\))$", read("tests", "integration", name), re.M | re.S)
    return [" ".join(turn) for turn in ast.literal_eval(text.group(1))]


def unit_tests():
    return sorted({*names_of("tests/unit/**/test_*.c"), *names_of("tests/fuzz/fuzz_*.c")})


# kind: (share, test, lane in which it is played or "", its parts, what they are)
ROWS = {
    "scripts": ((2, 5), "lane_asan", "", lambda: SCRIPTS, "scripts of programs under ASan"),
    "seeds": (ONE, "lane_asan", "", lambda: ("0-19", "20-39", "40-59"),
              "seeds of the simulation under ASan"),
    "fuzz": ((1, 10), "lane_fuzz", "", lambda: names_of("tests/fuzz/fuzz_*.c"),
             "fuzz targets, 5 s each"),
    "turns": (ONE, "e2e_openapi", "", lambda: turns_of("test_openapi.py"),
              "schemathesis against the controller"),
    "local-turns": (ONE, "e2e_local_document", "", lambda: turns_of("test_local_document.py"),
                    "schemathesis against a device"),
    "sim-mutants": ((1, 3), "simulate_mutants", "", lambda: re.findall(
        r'^SIM_MUTANT\(\w+, "([^"]+)"', read("tests", "sim", "mutants.def"), re.M),
        "broken rules that the simulation has to find"),
    "pairs": ((1, 3), "oracle_delta_page", "", lambda: None, "pairs of patches, by their names"),
    "allocations": (SEED, "e2e_starved", "", lambda: None, "allocations that fail"),
    "texts": (SEED, "e2e_chat_page", "", lambda: None, "texts of a model"),
    "gone": (SEED, "e2e_gone_clients", "", lambda: None, "clients that go"),
    "outages": (SEED, "e2e_alerts", "", lambda: None, "outages of a receiver of alerts"),
    "walks": (SEED, "test_walks", "", lambda: None, "changes of a list that is paged"),
    "old-states": (SEED, "e2e_old_state", "", lambda: None, "copies of a state that come back"),
    "link-ends": (SEED, "e2e_link_ends", "", lambda: None, "ends of a link to the broker"),
    "interrupts": ((1, 10), "lane_interrupts", "", lambda: None, "interrupted commands"),
    "kernels": ((1, 12), "lane_kernels", "tsan", lambda: None,
                "tests with an engine in them, on each older kernel"),
    "arm64": ((1, 5), "lane_arm64", "arm64", unit_tests, "tests of 64-bit Arm"),
    "armhf": ((1, 5), "lane_armhf", "armhf", unit_tests, "tests of 32-bit Arm"),
    "room": (ONE, "lane_options", "options", lambda: re.findall(
        r"^flotilla_room\((\w+)", read("cmake", "rooms.cmake"), re.M) + ["LEAST"],
        "room that is left out"),
    "room-tests": ((1, 10), "lane_options", "options", lambda: sorted(set(
        names_of("tests/unit/**/test_*.c"))), "unit tests without it"),
    "mutants": ((1, 10), "lane_mutants", "faults", lambda: re.findall(
        r"^\[([a-z0-9-]+)\]$", "\n".join(
            read("tests", "mutants", name + ".mutants")
            for name in names_of("tests/mutants/*.mutants")), re.M), "removed checks"),
    "drawn": (SEED, "lane_drawn", "faults", lambda: None, "checks that nobody chose, broken"),
    "kills": (SEED, "sweep_.*|power_.*", "faults", lambda: None, "kills and power cuts"),
    "damage": (SEED, "lane_model_damage", "long", lambda: None, "damaged models"),
}

# ---- the seed ----


def git(*words, check=True):
    """The output of git in this tree; None: an error."""
    try:
        done = subprocess.run(["git", "-c", "safe.directory=*", *words], cwd=ROOT, text=True,
                              capture_output=True, check=False)
    except FileNotFoundError:
        return None
    return done.stdout.strip() if done.returncode == 0 or not check else None


def tree():
    """The name of HEAD's tree; None: this is not the top of a repository."""
    if git("rev-parse", "--show-prefix") != "":
        return None
    return git("rev-parse", "--verify", "-q", "HEAD^{tree}")


def seed_of(name):
    return int(name[:DIGITS], 16)


def seed():
    named = os.environ.get("FLOTILLA_SEED", "")
    if named:
        if not re.fullmatch(r"\d{1,9}", named):
            sys.exit("FLOTILLA_SEED=%s: a seed has one to nine digits" % named)
        return int(named)
    name = tree()
    return seed_of(name) if name else SEED_WITHOUT_GIT


def origin():
    """Where the seed comes from, for people."""
    if os.environ.get("FLOTILLA_SEED"):
        return "named by FLOTILLA_SEED"
    name = tree()
    if name is None:
        return "fixed: there is no git here, so no tree names one"
    return "of the tree %s%s" % (name[:12], " of HEAD: the changes that it lacks make "
                                 "another tree" if git("status", "--porcelain") else "")


# ---- to draw ----


class Draw:
    """The draw of one seed."""

    def __init__(self, number, is_all=False):
        self.seed, self.is_all = number, is_all

    def number(self, kind, name=""):
        """64 bits that belong to seed, kind and name."""
        text = "%d %s %s" % (self.seed, kind, name)
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")

    def lane(self):
        return min(LANES, key=lambda name: self.number("lane", name))

    def drawn(self, kind, items=None):
        """The drawn ones of a row's parts, in their order."""
        share = ROWS[kind][0]
        items = list((ROWS[kind][3]() if items is None else items) or ())
        if share == SEED:
            return [str(self.seed)]
        if self.is_all:
            return items
        if kind in BY_NAME:
            return [item for item in items
                    if self.number(kind, item) * share[1] < share[0] << 64]
        count = 1 if share == ONE else -(-len(items) * share[0] // share[1])
        chosen = set(sorted(items, key=lambda item: self.number(kind, item))[:count])
        return [item for item in items if item in chosen]


def now():
    return Draw(seed(), os.environ.get("FLOTILLA_PART") == "all")


def drawn(kind, items=None):
    return now().drawn(kind, items)


def dice(kind):
    return random.Random(now().number(kind))


said = []  # tests/integration/conftest.py prints these lines last


def say(kind):
    """Tell which part of a row is played, and how to repeat it alone."""
    said.append("FLOTILLA_SEED=%d tests/run/run.py build/release -R '^%s$' plays this alone: "
                "%s" % (seed(), ROWS[kind][1], ", ".join(drawn(kind)) or ROWS[kind][4]))
    return said[-1]


# ---- for people ----


def stories():
    """The tests of `make test` that play a drawn part."""
    return [row[1] for row in ROWS.values() if row[1].startswith(("e2e", "oracle", "sim"))]


def played(draw):
    """The tests that `make drawn` plays."""
    lanes = [row[1] for row in ROWS.values() if row[1].startswith("lane") and not row[2]]
    return list(dict.fromkeys(stories() + list(ALWAYS) + lanes + list(LANES[draw.lane()])))


def minutes(names):
    """How long these take one after another, as they were measured; and which
    were not."""
    rows = [line.split("\t") for line in read("tests", "run", "seconds.tsv").split("\n")]
    # A story was measured while others ran, so its own CPU time tells more.
    took = {row[0]: float(row[2] if row[0] in stories() else row[1])
            for row in rows if len(row) == 3}
    unknown = [name for name in names if not took.get(name)]
    return "about %d min on two CPUs%s" % (
        round(sum(took.get(name, 0) for name in names) / 60),
        " and, not measured yet, " + ", ".join(unknown) if unknown else "")


def parts(draw):
    """Each row that CI plays with that draw: kind, the drawn, what they are."""
    for kind, (share, _, lane, items, what) in ROWS.items():
        if lane in ("", draw.lane()):
            all_of = items()
            yield kind, draw.drawn(kind), what if all_of is None else "%s of %d %s" % (
                "one" if share == ONE else len(draw.drawn(kind)), len(all_of), what)


def page(draw):
    """Every drawn part, for tests to compare."""
    return ["lane %s" % draw.lane()] + [
        "%s %s" % (kind, item) for kind, row in ROWS.items() for item in draw.drawn(kind)]


def past(count, commit="HEAD"):
    """(commit, day, draw) of the last commits, the newest first; a shallow clone has few."""
    for line in (git("log", "-%d" % count, "--format=%h %cs %T", commit) or "").split("\n"):
        if line:
            commit, day, name = line.split()
            yield commit, day, Draw(seed_of(name))


def last_drawn(history):
    for lane in LANES:
        at = next((i for i, (_, _, one) in enumerate(history) if one.lane() == lane), None)
        yield "%-12s %s" % (lane, "not in the last %d trees" % len(history) if at is None else
                            "%d tree%s before HEAD, in %s of %s" % (
                                (at + 1, "s" * (at > 0)) + history[at][:2]))


def warnings():
    ref = next((ref for ref in ("origin/main", "main") if tree() and
                git("rev-parse", "--verify", "-q", ref + "^{commit}")), None)
    if ref and git("merge-base", "--is-ancestor", ref, "HEAD") is None:
        yield "HEAD does not stand on the newest %s known here (%s): what lands is another " \
            "tree, with a draw of its own%s" % (
                ref, git("rev-parse", "--short", ref),
                "; a shallow clone cannot tell" * (
                    git("rev-parse", "--is-shallow-repository") == "true"))


def show():
    draw = Draw(seed())
    print("seed %d %s" % (draw.seed, origin()))
    for text in warnings():
        print("warning: " + text)
    print("\nlane         %s (%s)" % (draw.lane(), " ".join(LANES[draw.lane()])))
    for kind, items, what in parts(draw):
        print("%-12s %s%s" % (kind, what, "" if items == [str(draw.seed)] or not items else
                              ":\n" + "\n".join(lines(items))))
    lanes = [name for name in played(draw) if name not in stories()]
    print("\nmake lanes   %s\nmake drawn   %s" % (minutes(lanes), minutes(played(draw))))
    history = list(past(101))[1:]
    if history:
        print("\nlast drawn before, as this table draws:\n" + "\n".join(last_drawn(history)))


def lines(items):
    """The items in indented lines of 100 columns."""
    line = " " * 12
    for item in items:
        if len(line) + 1 + len(item) > 100:
            yield line
            line = " " * 12
        line += " " + item
    yield line


def spread(draws):
    """How often each lane and each fuzz target comes in these draws."""
    lanes = {lane: 0 for lane in LANES}
    targets = {name: 0 for name in ROWS["fuzz"][3]()}
    for draw in draws:
        lanes[draw.lane()] += 1
        for name in draw.drawn("fuzz"):
            targets[name] += 1
    return lanes, targets


def show_history(count="100", commit="HEAD"):
    draws = [draw for _, _, draw in past(int(count), commit)]
    if not draws:
        sys.exit("draw.py: there is no history of %s here" % commit)
    lanes, targets = spread(draws)
    print("%d trees: %s" % (len(draws), ", ".join("%s %d" % pair for pair in lanes.items())))
    print("%d fuzz targets: %.1f times on average, the rarest %d, the most frequent %d" % (
        len(targets), sum(targets.values()) / len(targets), min(targets.values()),
        max(targets.values())))


def shell():
    draw = now()
    print("seed=%d\nseed_lane=%s\nseed_tests='%s'\nseed_leaves='%s'" % (
        draw.seed, draw.lane(), " ".join(LANES[draw.lane()]),
        "" if draw.lane() == "faults" else "|faults"))
    print("echo 'seed %d %s (FLOTILLA_SEED=%d repeats it)'" % (draw.seed, origin(), draw.seed))


def main():
    words = sys.argv[1:]
    kinds = words[1:2] if words[1:] else list(ROWS)
    if words[:1] in (["list"], ["left"], ["part"]) and not set(kinds) <= set(ROWS):
        sys.exit("draw.py: %s: there is no such row; rows: %s" % (kinds[0], ", ".join(ROWS)))
    if not words:
        show()
    elif words == ["list"]:
        print("\n".join(page(now())))
    elif words[0] == "list":
        print("\n".join(drawn(kinds[0])))
    elif words[0] == "left":
        print("\n".join(sorted(set(ROWS[kinds[0]][3]()) - set(drawn(kinds[0])))))
    elif words[0] == "part" and words[1:]:
        print("\n".join(drawn(kinds[0], sys.stdin.read().split())))
    elif words == ["tests"]:
        print("^(%s)$" % "|".join(played(Draw(seed()))))
    elif words == ["shell"]:
        shell()
    elif words[0] == "history":
        show_history(*words[1:3])
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `make draw | head`
    main()
