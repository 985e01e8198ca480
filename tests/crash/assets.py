#!/usr/bin/env python3
"""Kill a switch of assets at every change that it makes to the disk.

A device (crash_assets.c) shows release 1 in a folder of its owner, and switches
to release 2.  It is killed at each point in each way (before the call, with half
of a write done, after it), or finds the disk full from there on.  Each time the
folder is read as a program of the device reads it: all files are those of
release 1, or all are those of release 2, with the modes that they must have; no
other blob is open to the group.  Then the device starts again: release 2 is
there, and nothing else is left.  --links no: the folder is on another file
system, so files are copied.

Prints "N points, B bad"; exit code 1 when one is bad."""
import argparse
import os
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))), "integration"))

from waits import HANG_S  # noqa: E402


def files_of(number):
    return {"texts/faq.txt": "answers of %d" % number, "number": str(number),
            "prompts/de/greet.txt": "Hallo"}


def shown(folder):
    """Texts by name, as a program of the owner reads them."""
    root = os.path.join(folder, "tiny")
    found = {}
    for here, folders, names in os.walk(root):
        for path in [here] + [os.path.join(here, one) for one in folders]:
            assert os.stat(path).st_mode & 0o7777 == 0o750, path
        for name in names:
            path = os.path.join(here, name)
            assert os.lstat(path).st_mode & 0o7777 == 0o440, path
            with open(path, encoding="utf-8") as file:
                found[os.path.relpath(path, root)] = file.read()
    return found


def run(options, place, number, **inject):
    env = dict(os.environ)
    if inject:
        env["LD_PRELOAD"] = options.inject
        inject["COUNT"] = os.path.join(options.scratch, "count")
        with open(inject["COUNT"], "wb") as file:
            file.write(bytes(16))
    for name, value in inject.items():
        env["FLO_INJECT_" + name] = str(value)
    return subprocess.run([options.assets, place[0], place[1], str(number)],
                          env=env, capture_output=True, timeout=HANG_S)


def copy(before, after):
    """Both folders, in one go: files that are linked stay linked."""
    homes = [os.path.dirname(path) for path in after]
    for path in after:
        shutil.rmtree(path, ignore_errors=True)
    if homes[0] == homes[1]:
        subprocess.run(["cp", "-a", *before, homes[0]], check=True)
    else:
        for source, home in zip(before, homes):
            subprocess.run(["cp", "-a", source, home], check=True)


def closed(state):
    """Modes of the folder of blobs, and of blobs that are no asset."""
    blobs = os.path.join(state, "blobs")
    assert os.stat(blobs).st_mode & 0o7777 == 0o700, "blobs/"
    for name in os.listdir(blobs):
        mode = os.stat(os.path.join(blobs, name)).st_mode & 0o7777
        assert mode in (0o400, 0o440), "%s: %o" % (name, mode)


def look(options, place, done, mode):
    assert shown(place[1]) in (files_of(1), files_of(2)), shown(place[1])
    closed(place[0])
    assert mode == "full" or done.returncode in (-9, 0), done.stderr
    assert mode != "full" or done.returncode == 0 or \
        b"disk.full" in done.stderr or b"io." in done.stderr, done.stderr
    again = run(options, place, 2)
    assert again.returncode == 0, again.stderr
    assert shown(place[1]) == files_of(2), "again"
    left = sorted(os.listdir(place[1]))
    assert len(left) == 2 and left[1] == "tiny", left


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--inject", required=True)
    parser.add_argument("--assets", required=True)
    parser.add_argument("--links", choices=["yes", "no"], default="yes")
    options = parser.parse_args()
    points = bad = 0
    other = None if options.links == "yes" else "/dev/shm"
    if other and (not os.access(other, os.W_OK) or
                  os.stat(other).st_dev == os.stat(tempfile.gettempdir()).st_dev):
        print("no other file system here")
        return 0
    with tempfile.TemporaryDirectory(prefix="flo-assets-") as scratch, \
            tempfile.TemporaryDirectory(prefix="flo-assets-",
                                        dir=other or scratch) as folders:
        options.scratch = scratch

        def place(name):
            os.makedirs(os.path.join(folders, name), exist_ok=True)
            os.makedirs(os.path.join(scratch, name), exist_ok=True)
            return (os.path.join(scratch, name, "state"),
                    os.path.join(folders if other else scratch, name, "assets"))

        begin, whole, point = place("begin"), place("whole"), place("point")
        assert run(options, begin, 1).stdout == b"1\n"
        assert shown(begin[1]) == files_of(1)
        log = os.path.join(scratch, "log")
        copy(begin, whole)
        open(log, "w").close()
        assert run(options, whole, 2, LOG=log).stdout == b"2\n"
        linked = os.stat(os.path.join(whole[1], "tiny", "number")).st_nlink == 2
        assert linked == (other is None), "linked: %s" % linked
        count = len(open(log).readlines())
        assert count >= 20, "%d changes are too few to be all" % count
        for k in range(1, count + 1):
            for mode in ("before", "torn", "after", "full"):
                copy(begin, point)
                done = run(options, point, 2, AT=k, MODE=mode)
                points += 1
                try:
                    look(options, point, done, mode)
                except AssertionError as problem:
                    bad += 1
                    print("point %d %s: %s" % (k, mode, problem))
    print("%d points, %d bad" % (points, bad))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
