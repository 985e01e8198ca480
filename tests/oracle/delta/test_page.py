#!/usr/bin/env python3
"""The page's decoder against the updater's encoder: pairs of every type.

  test_page.py --bin build/bin [--only WORDS]"""
import argparse
from collections import Counter
from itertools import chain
import os
import re
import subprocess
import sys
import tempfile
from blocks import TYPES
import example
import golden
import tensor1
from integers import integer_pairs
from pairs import pairs
from rare import rare_pairs

sys.path.insert(0, "tests/run")  # all paths here begin at the top
import draw  # noqa: E402

CHANGES = 200  # of 210: a few may be smaller when they are packed
PACKED = 8  # pairs, for the same reason


def play_golden(name, old):
    """The head holds both files' hashes: the decoder checks them."""
    with open(os.path.join("tests/golden/delta", name), "rb") as file:
        tensor1.decode(old(), file.read())


def read_page():
    with open("docs/internals/delta.md", encoding="utf-8") as file:
        return file.read()


def term(text, **letters):
    """A sum of the page's tables: "16 + 32g + k"."""
    total = 0
    for part in text.split(" + "):
        factor, letter = re.fullmatch(r"(\d*)([gtk]?)", part).groups()
        total += int(factor or 1) * letters[letter] if letter else int(factor)
    return total


def bits_of(rows):
    """For each number of a type: which bit of the block is which of its."""
    out = {}
    for number, byte, low, bits, ranges in rows:
        kind, _, index = number.partition(" ")
        most = dict(r.split(" < ") for r in ranges.split(", ") if r)
        first, *last = map(int, bits.split("–"))
        for g in range(int(most.get("g", 1))):
            for t in range(int(most.get("t", 1))):
                for k in range(int(most.get("k", 1))):
                    at = {"g": g, "t": t, "k": k}
                    place = 8 * term(byte, **at) + term(low, **at)
                    held = out.setdefault((kind, term(index or "0", **at)), {})
                    for i in range((last or [first])[0] + 1 - first):
                        held[first + i] = place + i
    return out


def check_types(page):
    """The page's bits against the oracle's own, which no table made."""
    rows = [line.strip("| \n").split(" |") for line in page.split("\n")
            if line.startswith("| ") and line.count("|") == 7]
    for kind in TYPES.values():
        mine = [[cell.strip() for cell in (row + [""])[1:6]] for row in rows
                if row[0].strip() == kind.name]
        if not kind.halves:
            want = {("value", 0): {i: i for i in range(8 * kind.size)}}
        else:
            names = ["d", "dmin" if kind.mins else "m"]
            want = {(name, 0): {i: 8 * at + i for i in range(16)}
                    for name, at in zip(names, kind.halves)}
            for name, numbers in (("code", kind.codes), ("scale", kind.scales),
                                  ("min", kind.lows)):
                for i, fields in enumerate(numbers):
                    want[name, i] = {to + n: 8 * byte + shift + n
                                     for byte, shift, bits, to in fields
                                     for n in range(bits)}
        if bits_of(mine) != want:
            raise ValueError(f"the page's bits of {kind.name}")


def check_example(page, bin_folder, folder):
    """The example's bytes and decisions, and that the updater plays it."""
    for line in example.lines():
        if line + "\n" not in page:
            raise ValueError(f"the page does not have this line: {line}")
    old, new = example.golden.example()
    paths = [os.path.join(folder, name) for name in ("old", "new")]
    with open(paths[0], "wb") as file:
        file.write(old)
    subprocess.run([os.path.join(bin_folder, "flotilla-updater"), "delta",
                    "apply", paths[0], example.PATCH, paths[1]], check=True,
                   stdout=subprocess.DEVNULL)
    with open(paths[1], "rb") as file:
        if file.read() != new:
            raise ValueError("the example's new file")


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--bin", default="build/bin")
    parser.add_argument("--only", default="")
    args = parser.parse_args()
    # A third, which the tree draws.
    one = draw.now()
    is_drawn = not one.is_all
    print(draw.say("pairs"), flush=True)
    failed = played = packed = 0
    seen = Counter()  # typed parts by op and types
    for name, old in golden.OLD_MODELS.items():
        play_golden(name, old)
    with tempfile.TemporaryDirectory() as folder:
        check_types(read_page())
        check_example(read_page(), args.bin, folder)
        old, new, patch = (os.path.join(folder, n) for n in "onp")
        for name, a, b in chain(pairs(), rare_pairs(), integer_pairs()):
            if args.only not in name or not one.drawn("pairs", [name]):
                continue
            for path, data in ((old, a), (new, b)):
                with open(path, "wb") as file:
                    file.write(data)
            subprocess.run([os.path.join(args.bin, "flotilla-updater"),
                            "delta", "create", old, new, patch, "--codec",
                            "tensor"], check=True, stdout=subprocess.DEVNULL)
            with open(patch, "rb") as file:
                data = file.read()
            played += 1
            before = sum(seen.values())
            try:
                if tensor1.decode(a, data, seen) != b:
                    raise ValueError("other bytes")
            except Exception as e:
                failed += 1
                print(f"FAIL {name} ({len(data)} bytes): {e!r}")
            packed += sum(seen.values()) == before
    same = {t[1] for t in seen if t[1] == t[2]}
    changed = {t[1:] for t in seen if t[1] != t[2]}
    followed = sum(n for t, n in seen.items() if t[0] == 6)
    print(f"{played - failed} of {played} pairs; typed: {len(same)} types, "
          f"{len(changed)} changes of type, {followed} followed parts; "
          f"{packed} pairs without typed parts")
    # A pair that the encoder packs instead says nothing of the predictor.
    is_enough = args.only or (packed <= PACKED and (is_drawn or (
        len(same) == len(TYPES) and followed >= 5 and
        len(changed) >= CHANGES)))
    sys.exit(failed != 0 or played == 0 or not is_enough)


if __name__ == "__main__":
    main()
