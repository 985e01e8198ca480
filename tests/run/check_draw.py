#!/usr/bin/env python3
"""The draw belongs to the tree: two clones of a commit draw the same, and of 100 trees
each lane and each fuzz target gets its share.

usage: tests/run/check_draw.py"""
import hashlib
import os
import re
import subprocess
import sys
import tempfile

import draw

SOURCES = ("/cmake/", "/tests/", "!/tests/fuzz/corpora/", "!/tests/golden/",
           "!/tests/models/", "!/tests/oracle/")  # the rest takes seconds to write
TREES = 100
LANE_TIMES_MIN = 10
TARGET_TIMES_MIN = 5  # on average; none never
# These say themselves which part they play.
CONSUMERS = ["sh", "-c", """
. tests/run/seed.sh
for name in tsan arm64 armhf options; do lane_is_drawn lane_$name; done
cd tests/mutants && python3 -c 'import play
for row in play.drawn(play.table()): print(row["name"])'"""]
# Two machines may differ in these.
HERE = {"LC_ALL": "C", "TZ": "UTC", "PYTHONHASHSEED": "1"}
THERE = {"LC_ALL": "C.UTF-8", "TZ": "Asia/Tokyo", "PYTHONHASHSEED": "2"}


def run(place, words, **env):
    """The output of a program of that tree, without a seed in its environment."""
    kept = {key: value for key, value in os.environ.items()
            if not key.startswith(("FLOTILLA_", "GIT_"))}
    return subprocess.run(words, cwd=place, env=dict(kept, **env), check=True,
                          capture_output=True, text=True).stdout


def test_of_made_up_trees_each_lane_and_target_gets_its_share():
    names = [hashlib.sha1(b"%d" % i).hexdigest() for i in range(TREES)]
    lanes, targets = draw.spread(draw.Draw(draw.seed_of(name)) for name in names)
    assert min(lanes.values()) >= LANE_TIMES_MIN, lanes
    assert sum(targets.values()) / len(targets) >= TARGET_TIMES_MIN, targets
    assert min(targets.values()) > 0, targets


def test_two_clones_draw_and_list_the_same_whatever_their_history():
    if draw.tree() is None:
        print("skipped: there is no git here")
        return
    with tempfile.TemporaryDirectory(prefix="flo-draw-", dir="/tmp") as folder:
        places = [os.path.join(folder, name) for name in ("whole", "shallow place")]
        top = draw.git("rev-parse", "--show-toplevel")
        for place in places:
            run(folder, ["git", "-c", "safe.directory=*", "clone", "-q", "--shared",
                         "--no-checkout", top, place])
            run(place, ["git", "sparse-checkout", "set", "--no-cone", *SOURCES])
            run(place, ["git", "checkout", "-q"])
        with open(os.path.join(places[1], ".git", "shallow"), "w", encoding="ascii") as file:
            file.write(draw.git("rev-parse", "HEAD") + "\n")
        assert run(places[1], ["git", "rev-list", "--count", "HEAD"]) == "1\n"
        for words in (["tests/run/draw.py", "list"], ["tests/run/draw.py", "tests"],
                      ["tests/run/draw.py", "shell"], CONSUMERS):
            said = [run(place, words, **env) for place, env in zip(places, (HERE, THERE))]
            assert said[0] == said[1] and said[0], words
        assert "seed %d " % draw.seed_of(draw.tree()) in run(places[0], ["tests/run/draw.py"])
        assert len({run(place, ["tests/run/draw.py", "list"], FLOTILLA_SEED="7")
                    for place in places}) == 1


def test_a_change_that_is_not_committed_draws_as_its_commit_and_says_so():
    with tempfile.TemporaryDirectory(prefix="flo-draw-", dir="/tmp") as place:
        os.makedirs(os.path.join(place, "tests", "run"))
        path = os.path.join(place, "tests", "run", "draw.py")
        with open(path, "w", encoding="utf-8") as file:
            file.write(draw.read("tests", "run", "draw.py"))
        words = ["python3", path, "shell"]
        said = run(place, words)
        assert "seed=%d\n" % draw.SEED_WITHOUT_GIT in said and "no git" in said, said
        run(place, ["git", "init", "-q"])
        run(place, ["git", "add", "-A"])
        run(place, ["git", "-c", "user.name=a", "-c", "user.email=a@example.com", "commit",
                    "-q", "-m", "one"])
        clean = run(place, words)
        assert "other tree" not in clean, clean
        with open(path, "a", encoding="utf-8") as file:
            file.write("# more\n")
        dirty = run(place, words)
        assert "another tree" in dirty
        assert dirty.split("\n")[:4] == clean.split("\n")[:4]
        assert "seed=12\n" in run(place, words, FLOTILLA_SEED="12")


def test_the_order_and_the_absence_of_others_move_no_part():
    one = draw.Draw(5)
    names = draw.unit_tests()
    for kind in draw.BY_NAME:
        some = one.drawn(kind, names[::-2])
        assert set(some) == set(one.drawn(kind, names)) & set(names[::-2]), kind
    targets = one.drawn("fuzz")
    assert set(one.drawn("fuzz", draw.ROWS["fuzz"][3]()[::-1])) == set(targets)
    assert draw.Draw(5, is_all=True).drawn("fuzz") == draw.ROWS["fuzz"][3]()
    assert one.drawn("interrupts", []) == []


def test_the_table_names_the_tests_that_are_there():
    text = draw.read("tests", "CMakeLists.txt") + draw.read("tests", "crash", "CMakeLists.txt")
    faults = set()
    for names in re.findall(r"set_tests_properties\(([^)]*?) PROPERTIES LABELS \"[^\"]*faults\"",
                            text):
        faults |= set(names.split())
    assert faults == set(draw.LANES["faults"]), faults ^ set(draw.LANES["faults"])
    for kind, (share, _, lane, parts, _) in draw.ROWS.items():
        items = parts()
        assert lane in ("", "long", *draw.LANES), kind
        assert items is None or len(items) == len(set(items)) > 1, kind
    assert len(draw.ROWS["sim-mutants"][3]()) == \
        len(re.findall(r"^SIM_MUTANT\(", draw.read("tests", "sim", "mutants.def"), re.M))


def main():
    for name, test in sorted(globals().items()):
        if name.startswith("test_"):
            test()
            print("ok", name.replace("_", " "))


if __name__ == "__main__":
    sys.exit(main())
