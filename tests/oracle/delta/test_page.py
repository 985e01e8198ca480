#!/usr/bin/env python3
"""The page's decoder against the updater's encoder: pairs of every type.

  test_page.py --bin build/bin [--only WORDS]"""
import argparse
import os
import random
import struct
import subprocess
import sys
import tempfile
from blocks import TYPES, pack, nearest_half
from tensor1 import decode

COLUMNS, ROWS = 256, 12


def text(s):
    return struct.pack("<Q", len(s)) + s.encode()


def model(tensors, note):
    """A GGUF file: (name, type, rows, data) for each tensor."""
    out = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), 1)
    out += text("general.name") + struct.pack("<I", 8) + text(note)
    at = 0
    for name, kind, rows, data in tensors:
        out += text(name) + struct.pack("<IQQIQ", 2, COLUMNS, rows, kind, at)
        at += -(-len(data) // 32) * 32
    out += bytes(-len(out) % 32)
    for _, _, _, data in tensors:
        out += data + bytes(-len(data) % 32)
    return out


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
            nearest_half(-rng.randint(1 << 26, 1 << 27)),
            [rng.randint(top // 2, top) for _ in kind.scales],
            [rng.randint(0, (1 << kind.mins) - 1) for _ in kind.lows], codes))
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
    for kind, t in TYPES.items():
        rng = random.Random(kind)
        a = weights(t, rng)
        for one_in in (3, 40):
            yield (f"{t.name}/{one_in}", model([("w", kind, ROWS, a)], "x"),
                   model([("w", kind, ROWS, nudged(a, rng, one_in))], "x"))
    for one, a in TYPES.items():
        rng = random.Random(1000 + one)
        for other in rng.sample(sorted(set(TYPES) - {one}), 3):
            yield (f"{a.name}-{TYPES[other].name}",
                   model([("w", one, ROWS, weights(a, rng))], "x"),
                   model([("w", other, ROWS, weights(TYPES[other], rng))],
                         "x"))
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


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--bin", default="build/bin")
    parser.add_argument("--only", default="")
    args = parser.parse_args()
    failed = played = followed = 0
    with tempfile.TemporaryDirectory() as folder:
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
            followed += data[10] == 2
            try:
                if decode(a, data) != b:
                    raise ValueError("other bytes")
            except Exception as e:
                failed += 1
                print(f"FAIL {name} ({len(data)} bytes): {e!r}")
    print(f"{played - failed} of {played} pairs, {followed} of predictor 2")
    is_whole = followed >= 2 or args.only
    sys.exit(failed != 0 or played == 0 or not is_whole)


if __name__ == "__main__":
    main()
