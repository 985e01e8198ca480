"""The hook for commits: message and size, as CONTRIBUTING.md says."""
import os
import subprocess

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))


class Tree:
    def __init__(self, folder):
        self.folder = str(folder)
        self.git("init", "-q")
        self.git("config", "core.hooksPath", os.path.join(ROOT, "tools/hooks"))

    def git(self, *words, check=True):
        return subprocess.run(
            ["git", "-c", "user.name=t", "-c", "user.email=t@example.org",
             "-C", self.folder] + list(words), check=check,
            capture_output=True, text=True)

    def write(self, name, lines):
        path = os.path.join(self.folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as file:
            file.write("".join("line %d of %s\n" % (i, name)
                               for i in range(lines)))
        self.git("add", "-A")

    def commit(self, message):
        """None when it is taken, else what the hook says."""
        done = self.git("commit", "-q", "-m", message, check=False)
        return done.stderr if done.returncode else None


@pytest.fixture
def tree(tmp_path):
    return Tree(tmp_path)


def test_a_subject_has_an_area_and_at_most_60_characters(tree):
    tree.write("a", 1)
    assert "`area: what it now does`" in tree.commit("Change things")
    assert "61 characters, at most 60" in tree.commit("area: " + "x" * 55)
    assert "an empty line" in tree.commit("area: a\nmore")
    assert tree.commit("area: " + "x" * 54) is None


def test_a_large_commit_needs_its_reason(tree):
    tree.write("b", 1001)
    assert "1001 lines, at most 1000" in tree.commit("area: b")
    assert tree.commit("area: b\n\nLarge: a table of constants") is None


def test_what_moves_and_what_is_generated_counts_nothing(tree):
    tree.write("old", 900)
    tree.write("tests/golden/page", 900)
    assert tree.commit("area: a page") is None
    tree.git("mv", "old", "new")
    tree.write("more", 999)
    assert tree.commit("area: moved") is None
