"""A list is not old when it is read: sets.py, against one who changes it."""
import os
import shutil
import subprocess
import sys
import threading

import pytest

import sets
from waits import joined, until

NAMES = ["texts/%s.txt" % name for name in "abcdefgh"]


def publish(root, number):
    """A release, all of one byte, and with a name of its own."""
    folder = root + ".%d" % number
    os.makedirs(os.path.join(folder, "texts"))
    for name in NAMES + ["texts/only-%d.txt" % number]:
        with open(os.path.join(folder, name), "wb") as file:
            file.write(bytes([number % 256]) * 9)
    return folder


def by_link(root, number):
    folder = publish(root, number)
    before = os.readlink(root) if os.path.islink(root) else None
    os.symlink(folder, root + ".new")
    os.rename(root + ".new", root)
    if before:
        shutil.rmtree(before)


def by_name(root, number):
    """As an agent does: the former is moved away first."""
    folder = publish(root, number)
    if os.path.isdir(root):
        os.rename(root, root + ".gone")
    os.rename(folder, root)
    shutil.rmtree(root + ".gone", ignore_errors=True)


def in_place(root, number):
    """Member by member: whole only while it rests."""
    folder = publish(root, number)
    shutil.rmtree(root, ignore_errors=True)
    os.rename(folder, root)


@pytest.fixture(params=[by_link, by_name, in_place])
def switched(request, tmp_path):
    """A folder that goes from release to release without a rest."""
    root, done = str(tmp_path / "tiny"), threading.Event()
    count = [0, request.param]

    def work():
        while not done.is_set():
            count[0] += 1
            request.param(root, count[0])
    thread = threading.Thread(target=work)
    thread.start()
    until("the first release", lambda: count[0] > 1)
    yield root, count
    done.set()
    joined(thread)


def naive(root):
    """A list, and then its members, as tests did."""
    found = {}
    for here, _, names in os.walk(root):
        for name in names:
            path = os.path.join(here, name)
            with open(path, "rb") as file:
                found[os.path.relpath(path, root)] = file.read()
    return found


def is_whole(found):
    """Empty, or all of one release: nothing lacks, nothing is another's."""
    values = set(found.values())
    return not found or len(values) == 1 and set(NAMES) <= set(found) and \
        len(found) == len(NAMES) + 1


def test_a_list_and_then_its_members_are_two_moments(switched):
    """The kind of chance that sets.py is for: the test can see it."""
    def is_red():
        try:
            return not is_whole(naive(switched[0]))
        except FileNotFoundError:
            return True
    until("a member is gone or another's", is_red, every=0)


def test_a_tree_is_of_one_moment(switched):
    root, count = switched
    begin, seen = count[0], 0
    while seen < 20 or count[0] < begin + 60:
        found = sets.tree(root)
        # One that is changed member by member may lack some.
        assert len(set(found.values())) <= 1, found
        assert is_whole(found) or count[1] is in_place, found
        seen += bool(found)


def test_stats_are_of_one_moment(switched):
    root, count = switched
    begin = count[0]
    while count[0] < begin + 40:
        sizes = {one.st_size for name, one in sets.stats(root).items()
                 if name.endswith(".txt")}
        assert sizes in ({9}, set())


def test_what_never_rests_is_read_and_copied_without_the_gone(
        switched, tmp_path):
    root, count = switched
    begin, turn = count[0], 0
    while count[0] < begin + 40:
        turn += 1
        for path, data in sets.files(root):
            assert len(data) == 9, path
    sets.copy(str(tmp_path), str(tmp_path) + ".copy", "only-*")
    assert not [path for path, _ in sets.files(str(tmp_path) + ".copy")
                if "only-" in path]
    shutil.rmtree(str(tmp_path) + ".copy")


def test_no_folder_is_an_empty_set_but_has_no_names(tmp_path):
    assert sets.tree(str(tmp_path / "none")) == {}
    assert sets.stats(str(tmp_path / "none")) == {}
    assert list(sets.files(str(tmp_path / "none"))) == []
    with pytest.raises(FileNotFoundError):
        sets.names(str(tmp_path / "none"))


def test_processes_that_end_meanwhile_are_left_out():
    """Short ones come and go; those that stay are found each time."""
    stays = subprocess.Popen([sys.executable, "-c", "input()", "a-word"],
                             stdin=subprocess.PIPE)
    done = threading.Event()

    def work():
        while not done.is_set():
            subprocess.run(["true"], check=True)
    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        until("it runs", lambda: stays.pid in sets.processes(holds="a-word"))
        for _ in range(20):
            assert sets.processes(os.getpid(), holds="a-word") == [stays.pid]
            assert stays.pid in sets.children(os.getpid())
            for pid in sets.processes(os.getpid()):
                sets.words(pid)
                sets.descriptors(pid)
    finally:
        done.set()
        for thread in threads:
            joined(thread)
        sets.kill([stays.pid])
        stays.wait()
        stays.stdin.close()
    sets.kill([stays.pid])
    assert (sets.words(stays.pid), sets.children(stays.pid),
            sets.descriptors(stays.pid)) == ([], [], {})
