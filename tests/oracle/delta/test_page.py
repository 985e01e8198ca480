#!/usr/bin/env python3
"""The page's decoder against the updater's encoder: pairs of every type.

  test_page.py --bin build/bin [--only WORDS]"""
import argparse
from collections import Counter
import os
import random
import re
import struct
import subprocess
import sys
import tempfile
from blocks import TYPES, Block, forecast_grids, guess, guess_integer, \
    half_number, grid, nearest_half, pack
from coder import cut
from group import as_float32, old_values, rounded
import example
import golden
import tensor1

COLUMNS, ROWS = 256, 12
CHANGES = 200  # of 210: a few may be smaller when they are packed


def model(tensors, note):
    """A GGUF file: (name, type, rows, data) for each tensor."""
    return golden.model([(name, kind, COLUMNS, rows, data)
                         for name, kind, rows, data in tensors],
                        [("general.name", note)])


def weights(kind, rng, rows=ROWS):
    """Rows of numbers that a trainer might have made."""
    out = []
    for _ in range(COLUMNS * rows // kind.values):
        if not kind.halves:
            value = rng.gauss(0, 0.02)
            out.append(struct.pack("<e", value) if kind.name == "F16" else
                       struct.pack("<f", value)[-kind.size:])
            continue
        most = (1 << kind.bits) - 1
        codes = [min(max(round(rng.gauss(most / 2, most / 6)), 0), most)
                 for _ in range(kind.values)]
        top = (1 << kind.scale_bits) - 1
        out.append(pack(
            kind, nearest_half(rng.randint(1 << 24, 1 << 25)),
            nearest_half(rng.randint(1 << 25, 1 << 26)
                         * (1 if kind.mins else -8)),
            [rng.randint(top // 2, top) for _ in kind.scales],
            [rng.randint(0, (1 << kind.mins) - 1) for _ in kind.lows], codes))
    return b"".join(out)


def near(rng, code, bits, one_in):
    move = rng.choice((-2, -1, 1, 2, 9)) if rng.random() < 1 / one_in else 0
    return cut(code + move, 0, (1 << bits) - 1)


def updated(kind, data, rng, one_in):
    """A small update: one number in so many moves a little."""
    out = []
    for at in range(0, len(data), kind.size):
        raw = data[at:at + kind.size]
        if not kind.halves:
            n = int.from_bytes(raw, "little")
            if rng.random() < 1 / one_in:
                n ^= rng.getrandbits(3 if kind.size == 2 else 12)
            out.append(n.to_bytes(kind.size, "little"))
            continue
        b = Block(kind, raw)
        moves = rng.random() < 0.3
        out.append(raw if rng.random() < 0.2 else pack(
            kind, b.d + moves * rng.randint(-3, 40),
            b.m + moves * rng.randint(-3, 40),
            [near(rng, v, kind.scale_bits, one_in) for v in b.scales],
            [near(rng, v, kind.mins, one_in) for v in b.mins],
            [near(rng, v, kind.bits, one_in) for v in b.codes]))
    return b"".join(out)


def requantized(a, b, data, rng):
    """The same values in another type, a few of them not the nearest."""
    values = old_values(a, data, 0, len(data) // a.size * a.values)
    if not b.halves:
        numbers = [rounded(as_float32(x), b) ^ (rng.random() < 0.05)
                   for x in values]
        return b"".join(n.to_bytes(b.size, "little") for n in numbers)
    out = []
    for at in range(0, len(values), b.values):
        x = values[at:at + b.values]
        d, m, grids = forecast_grids(b, x)
        d += rng.random() < 0.2
        scales = [near(rng, guess_integer(
            g[0], half_number(d), b.scale_zero, b.scale_bits, 0)[0],
            b.scale_bits, 20) for g in grids[:len(b.scales)]]
        mins = [guess_integer(-g[1], half_number(m), 0, b.mins, 0)[0]
                for g in grids[:len(b.lows)]]
        codes = []
        for i, v in enumerate(x):
            p = i // b.part
            on = grid(b, d, m, scales[p] if scales else 0,
                      mins[p] if mins else 0) if b.scales else grids[p]
            codes.append(near(rng, guess(b, v, *on, b.zero)[0], b.bits, 30))
        out.append(pack(b, d, m, scales, mins, codes))
    return b"".join(out)


def nudged(data, rng, one_in):
    out = bytearray(data)
    for _ in range(len(out) // one_in):
        out[rng.randrange(len(out))] ^= 1 << rng.randrange(8)
    return bytes(out)


def adapter(rng, name, rows):
    """Rows that move along two directions, and how they stood before; every
    third one begins with a quarter that stays."""
    form = "<e" if name == "F16" else "<f"
    size = struct.calcsize(form)
    ways = [[rng.gauss(0, 0.002) for _ in range(COLUMNS)] for _ in range(2)]
    old, new = bytearray(), bytearray()
    for row in range(rows):
        shares = [rng.gauss(0, 1) for _ in ways]
        still = COLUMNS // 4 if row % 3 == 2 else 0
        for column in range(COLUMNS):
            x = rng.gauss(0, 0.02)
            move = sum(s * w[column] for s, w in zip(shares, ways))
            for out, v in ((old, x), (new, x + move * (column >= still))):
                out += struct.pack(form, v)[size - 2:]
    return bytes(old), bytes(new)


def pairs():
    for kind in (1, 30):
        a, b = adapter(random.Random(kind), TYPES[kind].name, 96)
        yield (f"{TYPES[kind].name}/followed", model([("w", kind, 96, a)],
               "x"), model([("w", kind, 96, b)], "x"))
    for one, a in TYPES.items():
        rng = random.Random(one)
        data = weights(a, rng)
        for other, b in TYPES.items():
            new = updated(a, data, rng, 12) if a is b else \
                requantized(a, b, data, rng)
            yield (f"{a.name}-{b.name}", model([("w", one, ROWS, data)], "x"),
                   model([("w", other, ROWS, new)], "x"))
    rng = random.Random(9)
    a, b, c = (weights(TYPES[2], rng) for _ in range(3))
    yield ("layers", model([("b.0", 2, ROWS, a), ("b.1", 2, ROWS, b)], "x"),
           model([("b.0", 2, ROWS, c), ("b.1", 2, ROWS, nudged(a, rng, 50)),
                  ("b.2", 2, ROWS, b)], "another text"))
    yield ("rows", model([("w", 2, ROWS, a)], "x"),
           model([("w", 2, ROWS + 4, nudged(a, rng, 90) + c[:4 * 8 * 18])],
                 "y"))
    raw = rng.randbytes(90000)
    yield ("bytes", raw, raw[5000:40000] + bytes(9000)
           + nudged(raw[:40000], rng, 200))


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
    failed = played = 0
    seen = Counter()  # typed parts by op and types
    for name, old in golden.OLD_MODELS.items():
        play_golden(name, old)
    with tempfile.TemporaryDirectory() as folder:
        check_types(read_page())
        check_example(read_page(), args.bin, folder)
        old, new, patch = (os.path.join(folder, n) for n in "onp")
        for name, a, b in pairs():
            if args.only not in name:
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
            try:
                if tensor1.decode(a, data, seen) != b:
                    raise ValueError("other bytes")
            except Exception as e:
                failed += 1
                print(f"FAIL {name} ({len(data)} bytes): {e!r}")
    same = {t[1] for t in seen if t[1] == t[2]}
    changed = {t[1:] for t in seen if t[1] != t[2]}
    followed = sum(n for t, n in seen.items() if t[0] == 6)
    print(f"{played - failed} of {played} pairs; typed: {len(same)} types, "
          f"{len(changed)} changes of type, {followed} followed parts")
    # A pair that the encoder packs instead says nothing of the predictor.
    is_whole = args.only or (len(same) == len(TYPES) and followed >= 2
                             and len(changed) >= CHANGES)
    sys.exit(failed != 0 or played == 0 or not is_whole)


if __name__ == "__main__":
    main()
