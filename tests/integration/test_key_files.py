"""The files of a key: none replaces another, and who comes second is told."""
import os
import subprocess

import sets
from conftest import BIN
from waits import HANG_S


def begin(place):
    return subprocess.Popen(
        [os.path.join(BIN, "flotilla"), "key", "create", "mine", "--to", place],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def make(place):
    process = begin(place)
    out, err = process.communicate(timeout=HANG_S)
    return process.returncode, out, err


def test_a_key_that_exists_is_never_replaced(tmp_path):
    place = str(tmp_path / "signing")
    files = [os.path.join(place, "mine" + ending) for ending in (".key", ".pub")]

    def contents():
        return [open(file, "rb").read() for file in files]

    assert make(place)[0] == 0
    before = contents()
    code, _, err = make(place)
    assert code == 5 and "error[state.conflict]" in err, (code, err)
    assert "another name or folder" in err
    assert contents() == before
    os.remove(files[0])  # the private half was carried to a safe
    code, _, err = make(place)
    assert code == 5 and "mine.pub" in err, (code, err)
    assert sets.names(place) == ["mine.pub"]


def test_of_two_that_make_one_key_at_the_same_moment_one_is_told(tmp_path):
    for turn in range(5):
        place = str(tmp_path / ("both%d" % turn))
        both = [begin(place) for _ in range(2)]
        said = sorted((one.communicate(timeout=HANG_S)[1], one.returncode) for one in both)
        assert [code for _, code in said] == [0, 5] and "state.conflict" in said[1][0], said
        assert sets.names(place) == ["mine.key", "mine.pub"]
        public = subprocess.run(
            ["openssl", "ec", "-in", os.path.join(place, "mine.key"), "-pubout"],
            capture_output=True, text=True, check=True).stdout
        with open(os.path.join(place, "mine.pub"), encoding="ascii") as file:
            assert file.read() == public
