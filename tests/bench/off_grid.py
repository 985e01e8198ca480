#!/usr/bin/env python3
"""A model in F16 whose weights stand on no grid, made from a rounded one.

usage: off_grid.py ROUNDED.gguf FLOATS.gguf OUT.gguf

FLOATS.gguf is ROUNDED.gguf in F16 (`flotilla-model quantize ROUNDED FLOATS f16`).
Its weights stand on ROUNDED's grid, so that rounding to the same type again would
cost nothing.  Each weight gets an offset within half a step of that grid, as the
trained weights had one.  The seed is fixed.
"""
import os
import random
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "integration"))
from bad_files import Gguf  # noqa: E402

BLOCK_BYTES = {3: 20, 8: 34}  # of 32 weights in Q4_1 and Q8_0


def tensors(gguf):
    """Name -> (type, place of its bytes, count of weights)."""
    start = (gguf.head + 31) // 32 * 32
    for name, at in gguf.tensors.items():
        dims = struct.unpack_from("<I", gguf.data, at["dims"])[0]
        count = 1
        for size in struct.unpack_from("<%dQ" % dims, gguf.data, at["shape"]):
            count *= size
        kind, offset = struct.unpack_from("<IQ", gguf.data, at["type"])
        yield name, (kind, start + offset, count)


def shift(out, to, data, at, kind, count, draw):
    """Moves the weights of one tensor."""
    form = struct.Struct("<32e")
    for block in range(count // 32):
        step = abs(struct.unpack_from("<e", data, at + block * BLOCK_BYTES[kind])[0])
        place = to + block * 64
        values = form.unpack_from(out, place)
        form.pack_into(out, place, *[x + step * (draw() - 0.5) for x in values])


def main(rounded, floats, out_path):
    source, target = Gguf(rounded), Gguf(floats)
    out = bytearray(target.data)
    places = dict(tensors(target))
    draw = random.Random(7).random
    for name, (kind, at, count) in tensors(source):
        if kind in BLOCK_BYTES and places[name][0] == 1:
            shift(out, places[name][1], source.data, at, kind, count, draw)
    with open(out_path, "wb") as file:
        file.write(out)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:4]) if len(sys.argv) == 4 else __doc__)
