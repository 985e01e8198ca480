"""Growth is paid: tools/growth.py on a small tree of its own."""
import os
import subprocess
import sys

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tools"))
import growth  # noqa: E402

ROOMS = """
[reserves]
start | 200
doors | 50 | %d | open
weather | -20 | %d | %s
[apart]
headers | %d | test_it | docs/page | none | .*[.]h$
[stand]
one | %d | test_it | docs/page | none | base/one[.]c$
rest | %d | test_it | docs/page | a peer | base/
"""


def rooms(one=100, rest=100, headers=10, doors=0, weather=0, state="open"):
    return ROOMS % (doors, weather, state, headers, one, rest)


class Tree:
    """A repository with two rooms of 100 lines and a header of 10."""

    def __init__(self, root):
        self.root = str(root)
        self.git("init", "-q", "-b", "main")
        for name, lines in (("base/one.c", 100), ("base/two.c", 100), ("base/one.h", 10)):
            self.write(name, "x\n" * lines)
        self.commit("base: it is there", rooms())

    def git(self, *words):
        subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@example.org", *words],
                       cwd=self.root, check=True)

    def write(self, name, text):
        path = os.path.join(self.root, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)

    def commit(self, said, text):
        self.write(growth.TABLE, text)
        self.git("add", "-A")
        self.git("commit", "-q", "-m", said)

    def faults(self):
        known, lines = growth.table(self.root), growth.lines_of(self.root)
        stand, _ = growth.stand_of(known, lines)
        return [*growth.room_faults(known, lines), *growth.reserve_faults(known, stand),
                *growth.history_faults(self.root)]


@pytest.fixture
def tree(tmp_path):
    return Tree(tmp_path)


def only_fault(tree, words):
    faults = tree.faults()
    assert len(faults) == 1 and words in faults[0], faults


def test_a_tree_within_its_budgets_has_no_fault(tree):
    assert not tree.faults()


def test_a_room_above_its_budget_is_refused(tree):
    tree.write("base/one.c", "x\n" * 101)
    faults = tree.faults()
    assert any("one: 101 lines, its budget has 100" in fault for fault in faults), faults


def test_a_raise_without_a_source_is_refused(tree):
    tree.commit("base: more room", rooms(one=102))
    only_fault(tree, "the budgets rise by 2 lines, and the reserves pay for 0")


def test_a_raise_that_is_not_committed_yet_is_refused(tree):
    tree.write(growth.TABLE, rooms(one=102))
    only_fault(tree, "not committed: the budgets rise by 2 lines")


def test_a_raise_is_refused_also_when_a_later_commit_hides_it(tree):
    tree.commit("base: more room", rooms(one=102))
    tree.commit("base: less room", rooms())
    only_fault(tree, "the budgets rise by 2 lines")


def test_another_budget_that_goes_down_pays(tree):
    tree.write("base/one.c", "x\n" * 105)
    tree.write("base/two.c", "x\n" * 95)
    tree.commit("base: lines move", rooms(one=105, rest=95))
    assert not tree.faults()


def test_the_reserve_that_the_commit_names_pays(tree):
    tree.write("base/one.c", "x\n" * 110)
    tree.commit("base: a door\n\nReserve: doors\n", rooms(one=110, doors=10))
    assert not tree.faults()


def test_a_reserve_that_no_commit_names_does_not_pay(tree):
    tree.write("base/one.c", "x\n" * 110)
    tree.commit("base: a door\n\nReserve: weather\n", rooms(one=110, doors=10))
    only_fault(tree, "takes from the reserve of doors without a line `Reserve: doors`")


def test_an_overdrawn_reserve_is_refused(tree):
    tree.write("base/one.c", "x\n" * 151)
    tree.commit("base: doors\n\nReserve: doors\n", rooms(one=151, doors=51))
    only_fault(tree, "doors took 51 lines, its reserve has 50")


def test_a_larger_reserve_is_refused(tree):
    tree.commit("base: doors", rooms().replace("doors | 50", "doors | 60"))
    only_fault(tree, "the reserve of doors is not the one that was agreed")


def test_lines_that_nobody_paid_for_do_not_fit_into_the_slack(tree):
    tree.write("base/one.c", "x\n" * 102)
    tree.commit("base: headers give their room\n", rooms(one=102, headers=8))
    assert "202 lines stand, 200 are paid for" in " ".join(tree.faults())


def test_a_budget_far_above_its_room_is_refused_and_trimmed(tree):
    tree.write("base/one.c", "x\n" * 90)
    only_fault(tree, "one: a budget of 100 for 90 lines, at most 92")
    growth.trim(tree.root)
    assert not tree.faults()


def test_an_issue_that_has_to_give_back_ends_when_it_has(tree):
    tree.commit("base: it ends", rooms(state="ended"))
    only_fault(tree, "weather took 0 lines, its reserve has -20")


def test_a_file_without_a_room_is_refused(tree):
    tree.write("agent/new.c", "x\n")
    assert "agent/new.c is in no room" in " ".join(tree.faults())


def test_the_start_of_the_count_is_fixed(tree):
    tree.commit("base: begin again", rooms().replace("start | 200", "start | 300"))
    only_fault(tree, "the start of the count is fixed")
