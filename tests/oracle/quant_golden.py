#!/usr/bin/env python3
"""Golden data of tensor types, as ggml decodes them: run by hand.

usage: quant_golden.py LIBGGML_BASE.so FOLDER

Writes FOLDER/<type>.txt (a few blocks and their values) and prints a hash of
the values of 2,048 more blocks for test_quant.c, which makes the same ones."""
import ctypes
import pathlib
import struct
import sys

# name: values, bytes, place of the f16 scale (None: no f16 in one place)
TYPES = {
    "mxfp4": (32, 17, None), "tq1_0": (256, 54, 52), "tq2_0": (256, 66, 64),
    "iq2_xxs": (256, 66, 0), "iq2_xs": (256, 74, 0), "iq2_s": (256, 82, 0),
    "iq3_xxs": (256, 98, 0), "iq3_s": (256, 110, 0), "iq1_s": (256, 50, 0),
    "iq1_m": (256, 56, None),
}
BLOCKS = 2048


class Random:
    def __init__(self, seed):
        self.state = seed

    def next(self):
        self.state = (self.state * 1664525 + 1013904223) % 2**32
        return self.state >> 16


def make_block(name, random):
    block = bytearray(random.next() & 255 for _ in range(TYPES[name][1]))
    half = 0x3c00 | random.next() & 0x83ff
    at = TYPES[name][2]
    if name == "mxfp4":
        block[0] = min(block[0], 254)
    elif name == "iq1_m":
        for i in range(4):
            block[49 + i * 2] = block[49 + i * 2] & 15 | (half >> i * 4 & 15) << 4
    else:
        block[at:at + 2] = struct.pack("<H", half)
    return bytes(block)


def main():
    library, folder = ctypes.CDLL(sys.argv[1]), pathlib.Path(sys.argv[2])
    for name, (values, _, _) in TYPES.items():
        decode = getattr(library, "dequantize_row_" + name)
        random, fnv, lines = Random(7), 2166136261, []
        for i in range(BLOCKS):
            block = make_block(name, random)
            floats = (ctypes.c_float * values)()
            decode(block, floats, ctypes.c_int64(values))
            for byte in bytes(floats):
                fnv = (fnv ^ byte) * 16777619 % 2**32
            if i < (4 if values == 32 else 2):
                lines += [block.hex(), bytes(floats).hex()]
        (folder / f"{name}.txt").write_text("\n".join(lines) + "\n")
        print(f"{name} 0x{fnv:08x}")


main()
