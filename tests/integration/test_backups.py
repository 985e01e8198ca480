"""`flotilla-controller backup`: a copy of a controller that works, and the way
back from it into a fleet that runs."""
import os
import shutil
import sqlite3
import threading

import pytest

import sets
from waits import joined, same, until


@pytest.fixture(scope="module")
def up(fleet):
    fleet.up(["a", "b"])
    fleet.publish("tiny@1", "tiny-v2.Q4_0.gguf")
    fleet.publish("tiny@2", "tiny-v2.1.Q4_0.gguf", "golden-tiny-v2.1.json")
    fleet.roll("tiny@1")
    return fleet


def data(up):
    return os.path.join(up.dir, "controller")


def backup(up, folder, *more, check=True):
    return up.program("flotilla-controller", "backup", folder, "--data",
                      data(up), *more, check=check)


def groups(up):
    return {group["name"] for group in up.ask("group", "list")}


def names_in(path):
    base = sqlite3.connect(path)
    try:
        assert base.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return {row[0] for row in base.execute("SELECT name FROM fleet_group")}
    finally:
        base.close()


def files_below(folder):
    return {os.path.relpath(path, folder) for path, _ in sets.files(folder)}


def make_groups(up, stop, made):
    while not stop.is_set():
        name = "g%d" % len(made)
        up.cli("group", "create", name)
        made.append(name)


def test_a_copy_has_all_that_was_acknowledged_when_it_began(up, tmp_path):
    made, stop = [], threading.Event()
    worker = threading.Thread(target=make_groups, args=(up, stop, made))
    worker.start()
    try:
        for number in range(3):
            until("groups are made", lambda: len(made) > 3 * number + 2)
            before = set(made)
            folder = str(tmp_path / ("copy-%d" % number))
            backup(up, folder)
            there = names_in(os.path.join(folder, "control.db"))
            assert before <= there
            assert not {"control.db-wal", "lock"} & files_below(folder)
    finally:
        stop.set()
        joined(worker)
    assert set(made) <= groups(up)
    assert up.ask("audit", "verify")["ok"]
    for name, one in sets.stats(folder).items():
        mode = one.st_mode
        assert not mode & 0o77 or name.endswith(".pem"), (name, oct(mode))


def test_the_files_are_those_of_the_folder(up, tmp_path):
    folder = str(tmp_path / "copy")
    _, out, err = backup(up, folder + "/", "--telemetry")
    assert out.startswith(folder + ": ") and err == ""
    # A temporary file of a moment is in no copy.
    until("nothing else is left", lambda: same({
        name for name in files_below(data(up)) - files_below(folder)
        if not name.startswith("mosquitto/") and name != "lock" and
        not name.endswith(("-wal", "-shm"))}, set()))
    for path, one in sets.files(folder):
        name = os.path.relpath(path, folder)
        if not name.endswith(".db") and name != "audit.head":
            with open(os.path.join(data(up), name), "rb") as other:
                assert one == other.read(), name


def test_a_place_that_is_taken_stays_as_it_is(up, tmp_path):
    folder = tmp_path / "taken"
    folder.mkdir()
    (folder / "mine").write_text("mine")
    code, _, err = backup(up, str(folder), check=False)
    assert code != 0 and "is there already" in err
    assert sets.names(folder) == ["mine"]
    # Nor is anything left where it fails on the way.
    code, _, err = backup(up, str(tmp_path / "none" / "copy"), check=False)
    assert code != 0 and "error[io." in err
    assert sets.names(tmp_path) == ["taken"]
    code, _, err = up.program(
        "flotilla-controller", "backup", str(tmp_path / "copy"), "--data",
        str(folder), check=False)
    assert code != 0 and "no folder of a controller" in err
    assert sets.names(tmp_path) == ["taken"]


def test_what_a_backup_that_was_cut_left_is_removed(up, tmp_path):
    part = tmp_path / "copy.part" / "blobs"
    part.mkdir(parents=True)
    (part / "half").write_text("half")
    backup(up, str(tmp_path / "copy"))
    assert sets.names(tmp_path) == ["copy"]
    assert not (tmp_path / "copy" / "blobs" / "half").exists()


def to_secret(path, secret):
    os.unlink(path)
    os.symlink(secret, path)


def to_another_users_file(path, secret):
    os.unlink(path)
    os.link(secret, path)


@pytest.mark.parametrize("link", [to_secret, to_another_users_file])
def test_no_file_of_a_copy_leads_out(up, tmp_path, link):
    """Neither for who starts from it, nor for who makes a copy of it."""
    if link is to_another_users_file and os.geteuid() != 0:
        pytest.skip("only root has files of two users")
    folder, secret = str(tmp_path / "copy"), tmp_path / "secret"
    secret.write_text("of root")
    backup(up, folder)
    for name in sorted(files_below(folder)):
        path = os.path.join(folder, name)
        os.rename(path, str(tmp_path / "kept"))
        shutil.copyfile(str(tmp_path / "kept"), path)
        link(path, str(secret))
        if link is to_another_users_file:
            for part in (folder, os.path.dirname(path)):
                os.chown(part, 12345, 12345)
        says = "leads out of the folder, to " if link is to_secret else "has 2 names"
        for words in (["--data", folder, "--listen", "127.0.0.1:0", "--restored", "--check"],
                      ["backup", str(tmp_path / "again"), "--data", folder]):
            code, _, err = up.program("flotilla-controller", *words, check=False)
            assert code != 0 and name in err and says in err, (name, words, err)
        assert secret.read_text() == "of root"
        os.rename(str(tmp_path / "kept"), path)
    assert sets.names(tmp_path) == ["copy", "secret"]


def test_a_fleet_that_runs_goes_on_from_a_copy(up, tmp_path):
    folder = str(tmp_path / "copy")
    backup(up, folder)
    before = groups(up)
    up.cli("group", "create", "later")
    up.roll("tiny@2")
    up.controller.kill()
    up.controller.wait()
    os.rename(data(up), data(up) + ".lost")
    sets.copy(folder, data(up))

    up.start_controller("--restored")

    up.online(["a", "b"])
    assert groups(up) == before
    assert up.ask("audit", "verify")["ok"]
    until("the devices say what they serve", lambda: up.serving("tiny@2"))
    up.cli("rollout", "unfreeze", "--confirm", up.name)
    up.cli("rollout", "rollback", "--release", "tiny@2", "--everywhere",
           "--confirm", "tiny@2", "--wait")
    until("the devices say that they are back", lambda: up.serving("tiny@1"))
    up.publish("tiny@3", "tiny-v2.1.Q4_0.gguf", "golden-tiny-v2.1.json")
    up.roll("tiny@3")
