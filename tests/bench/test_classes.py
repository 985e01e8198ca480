#!/usr/bin/env python3
"""The table of CPU classes tells what is met, missed and not measured; a
measurement goes on where it stopped; counted instructions are added up."""
import argparse
import os
import sys
import tempfile
import types

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import bench_engine as bench  # noqa: E402
import bench_goals as goals  # noqa: E402
import insn_blocks  # noqa: E402
import neon  # noqa: E402

Q8_0 = types.SimpleNamespace(name="small-Q8_0", path="", types={"Q8_0": 9})
RECORDED = {"p128": (445, 334), "g32": (190, 110)}
ABSENT = {"amx": "this CPU has no amx_int8", "neon": "no asimddp"}


def recorded(test, has_peer=True):
    ours, theirs = RECORDED[test]
    return bench.Run.ratios(None, [ours], {"B": [theirs]} if has_peer else {},
                            larger_is_better=True)


def rows_of(text):
    return [[cell.strip() for cell in line.split("|")[1:-1]]
            for line in text.splitlines() if line.startswith("| ")][1:]


def table(*results):
    points = [bench.Point(Q8_0, test, 1, "avx2") for test in RECORDED]
    return rows_of(goals.class_table(list(zip(points, results)), ABSENT, "b"))


def goals_are_met_and_missed():
    amx, prompt, single, neon = table(
        *(dict(recorded(test), build="b") for test in RECORDED))
    assert prompt[:7] == ["AVX2: avx2 · haswell", "small-Q8_0",
                          "prompt of 128, tokens/s", "445", "334", "1.33 (1.33–1.33)", "1.5"], prompt
    assert prompt[7].startswith("missed: ") and len(prompt[7]) > 30, prompt
    assert single[5:] == ["1.73 (1.73–1.73)", "1.5", "met"], single
    assert amx[0].startswith("AMX:") and amx[7] == "not measured here: " + \
        ABSENT["amx"], amx
    assert neon[6:] == ["counted instructions",
                        "not measured here: no asimddp"], neon


def each_row_stands_before_it_is_measured():
    _, prompt, single, _ = table(
        dict(recorded("p128"), build="old"),
        {"build": "b", "error": "no answer", "peers": {}})
    assert prompt[3:] == ["", "", "", "1.5", "not measured yet"], prompt
    assert single[3:] == ["", "", "", "1.5", "failed: no answer"], single


def without_a_peer_ours_stands_alone():
    _, prompt, _, _ = table(dict(recorded("p128", False), build="b"), None)
    assert prompt[3:] == ["445", "", "", "1.5", "ours alone"], prompt


def started(folder, points, count):
    """A run whose time is over after so many points; what it measured."""
    run = bench.Run(argparse.Namespace(bin=folder, out=folder, minutes=9,
                                       again=False))
    run.absent, measured = ABSENT, []

    def measure(point):
        measured.append(point.key)
        if len(measured) == count:
            run.time_left = lambda: -1.0
        return recorded(point.test, False)

    run.measure, run.ours.make_ready = measure, lambda path: None
    run.go(points, points)
    with open(os.path.join(folder, "classes.md"), encoding="utf-8") as f:
        return measured, [row[7] for row in rows_of(f.read())[1:-1]]


def a_run_goes_on_where_the_last_one_stopped():
    for name in "AB":
        os.environ.pop("FLOTILLA_PEER_" + name, None)
    points = [bench.Point(Q8_0, test, 1, cpu)
              for cpu in ("avx2", "avx") for test in RECORDED]
    keys = [p.key for p in points]
    with tempfile.TemporaryDirectory() as folder:
        with open(os.path.join(folder, "flotilla-engine"), "wb"):
            pass
        measured, told = started(folder, points, 3)
        assert measured == keys[:3], measured
        assert told == ["ours alone"] * 3 + ["not measured yet"], told
        measured, told = started(folder, points, 3)
        assert measured == keys[3:], measured
        assert told == ["ours alone"] * 4, told


COUNTS = """2 10 7f0000001000
1 5 7f0000001040
7f0000001000-7f0000002000 r-xp 00003000 08:01 9 /no/such/program

3 4 7f0000001040
7f0000001000-7f0000002000 r-xp 00003000 08:01 9 /no/such/program

"""


def instructions_of_each_answer_are_added_up():
    with tempfile.NamedTemporaryFile("w", encoding="utf-8") as file:
        file.write(COUNTS)
        file.flush()
        start, answer = insn_blocks.read_answers(file.name)
    assert (start.total(), answer.total()) == (25, 12)
    assert start.place(0x7f0000001040, lambda path: types.SimpleNamespace(
        place=lambda offset: (path, offset))) == ("/no/such/program", 0x3040)


def fewer_instructions_than_the_peers_are_above_1():
    counts = {("ours", "p128"): 20.0, ("theirs", "p128"): 30.0,
              ("ours", "g32"): 50.0}
    known = types.SimpleNamespace(get=lambda *key: counts.get(key))
    told = neon.table([types.SimpleNamespace(kind="Q8_0")], known,
                      lambda *_: ("ours", "theirs"))
    assert len(told.splitlines()) == len(neon.PAIRS), told
    assert told.splitlines()[0].split(" | ")[3:6] == ["20.0", "30.0", "1.50"]


if __name__ == "__main__":
    goals_are_met_and_missed()
    each_row_stands_before_it_is_measured()
    without_a_peer_ours_stands_alone()
    a_run_goes_on_where_the_last_one_stopped()
    instructions_of_each_answer_are_added_up()
    fewer_instructions_than_the_peers_are_above_1()
