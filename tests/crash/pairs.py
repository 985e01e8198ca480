#!/usr/bin/env python3
"""Kill a renewal at every change that it makes to the disk.

A device (crash_pairs.c) has two pairs of key and certificate, and a list of
authorities.  It renews, and is killed at each point in each way (before the
call, with half of a write done, after it), or finds the disk full from there
on.  Each time openssl, not Flotilla, looks at the folder: one pair is whole,
its key and certificate belong together, and its number is the one of before or
the next; the list of authorities is that of before or the next.  Then the
renewal is run again and must get through.

Prints "N points, B bad"; exit code 1 when one is bad."""
import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))), "integration"))

from waits import HANG_S  # noqa: E402


def openssl(*args, text):
    done = subprocess.run(["openssl", *args], input=text.encode(),
                          capture_output=True)
    return done.stdout.decode() if done.returncode == 0 else None


def number_of(path):
    """The number of a whole pair; 0: there is none."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            text = file.read()
    except FileNotFoundError:
        return 0
    head = re.match(r"flotilla-pair 1 (\d+) \d+ \d+\n", text)
    of_key = openssl("pkey", "-pubout", text=text)
    of_certificate = openssl("x509", "-noout", "-pubkey", text=text)
    if not head or of_key is None or of_key != of_certificate:
        return 0
    return int(head.group(1))


def newest(state):
    return max(number_of(os.path.join(state, "identity", name))
               for name in ("device-a.pem", "device-b.pem"))


def authorities(state):
    """How many the list has; each must be readable."""
    with open(os.path.join(state, "identity", "ca.pem")) as file:
        parts = re.findall(r"-----BEGIN.*?END CERTIFICATE-----\n", file.read(),
                           re.S)
    for part in parts:
        assert openssl("x509", "-noout", "-subject", text=part), "authority"
    return len(parts)


def run(options, state, **inject):
    env = dict(os.environ)
    if inject:
        env["LD_PRELOAD"] = options.inject
        inject["COUNT"] = os.path.join(os.path.dirname(state), "count")
        with open(inject["COUNT"], "wb") as file:
            file.write(bytes(16))
    for name, value in inject.items():
        env["FLO_INJECT_" + name] = str(value)
    return subprocess.run([options.pairs, state], env=env, capture_output=True,
                          timeout=HANG_S)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--inject", required=True)
    parser.add_argument("--pairs", required=True)
    options = parser.parse_args()
    points = bad = 0
    with tempfile.TemporaryDirectory(prefix="flo-pairs-") as folder:
        begin = os.path.join(folder, "begin")
        os.makedirs(os.path.join(begin, "identity"), mode=0o700)
        for expected in (b"1\n", b"2\n"):
            assert run(options, begin).stdout == expected
        log = os.path.join(folder, "log")
        whole = os.path.join(folder, "whole")
        shutil.copytree(begin, whole)
        open(log, "w").close()
        assert run(options, whole, LOG=log).stdout == b"3\n"
        count = len(open(log).readlines())
        assert count >= 10, "%d changes are too few to be all" % count
        for k in range(1, count + 1):
            for mode in ("before", "torn", "after", "full"):
                state = os.path.join(folder, "point")
                shutil.copytree(begin, state)
                done = run(options, state, AT=k, MODE=mode)
                points += 1
                try:
                    assert newest(state) in (2, 3), "no pair of 2 or 3"
                    assert authorities(state) == 2, "authorities"
                    assert mode == "full" or done.returncode == -9 or \
                        done.stdout == b"3\n", "ended by itself"
                    assert mode != "full" or done.returncode == 0 or \
                        b"disk.full" in done.stderr, done.stderr
                    again = run(options, state)
                    assert again.returncode == 0, again.stderr
                    assert newest(state) == int(again.stdout), "again"
                    left = [name for name in os.listdir(
                        os.path.join(state, "identity"))
                        if name not in ("ca.pem", "device-a.pem",
                                        "device-b.pem")]
                    assert len(left) <= 1, left
                except AssertionError as problem:
                    bad += 1
                    print("point %d %s: %s" % (k, mode, problem))
                shutil.rmtree(state)
    print("%d points, %d bad" % (points, bad))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
