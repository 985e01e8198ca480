#!/usr/bin/env python3
"""The worked example of docs/internals/delta.md, from its golden patch.

Prints the lines of the page; test_page.py looks for them there."""
from coder import Coder
import golden
import group
import tensor1

PATCH = "tests/golden/delta/example.tensor1"
ROWS = 13  # decisions that the page shows
FIELDS = (  # bytes, meaning
    (8, "magic"), (2, "format 1"), (2, "predictor 1"), (4, "flags 0"),
    (8, "old_bytes 224"), (8, "new_bytes 224"), (32, "SHA-256 of the old file"),
    (32, "SHA-256 of the new file"), (4, "memory_bytes 8,388,608"),
    (4, "part_count 3"), (4, "index_bytes 47"),
    (4, "packed_bytes 47: the index is not packed"),
    (32, "SHA-256 of the index, bytes 160 to 206"),
    (16, "first half of the SHA-256 of bytes 0 to 143"),
    (1, "part 0: op 0, copy"), (2, "128 bytes: 0 + 1 · 128"),
    (1, "move 0: from old byte 0"),
    (1, "part 1: op 4, typed"), (1, "old type 2, Q4_0"),
    (1, "new type 2: the same type"), (1, "32 columns"),
    (2, "128 values: 4 blocks, 72 bytes"), (1, "move 0: from old byte 128"),
    (1, "3 payload bytes"),
    (1, "part 2: op 0, copy"), (1, "24 bytes"), (1, "move 0: from old byte 200"),
    (16, "hash of part 1's new bytes"), (16, "hash of part 1's payload"),
    (3, "the payload of part 1"))


class Watched(Coder):
    """Keeps each decision with what the coder holds after it."""
    seen = []

    def _bit(self, one):
        bit = super()._bit(one)
        Watched.seen.append((one, bit, self.range, self.low))
        return bit


def patch():
    with open(PATCH, "rb") as file:
        return file.read()


def hexdump(data):
    return ["%04x  %s" % (at, data[at:at + 16].hex(" "))
            for at in range(0, len(data), 16)]


def fields(data):
    """Table rows: offset, bytes, meaning.  Long fields show their ends."""
    rows, at = [], 0
    for size, meaning in FIELDS:
        raw = data[at:at + size]
        shown = raw.hex(" ") if size <= 8 else \
            raw[:2].hex(" ") + " … " + raw[-2:].hex(" ")
        rows.append(f"| {at} | {size} | `{shown}` | {meaning} |")
        at += size
    if at != len(data):
        raise ValueError("%d of %d bytes have a name" % (at, len(data)))
    return rows


def decisions():
    """Table rows: number, probability, answer, range and low behind it."""
    Watched.seen = []
    usual, group.Coder = group.Coder, Watched
    try:
        tensor1.decode(golden.example()[0], patch())
    finally:
        group.Coder = usual
    return ["| %d | %d | %d | `%016x` | `%016x` |" % (i, *seen)
            for i, seen in enumerate(Watched.seen[:ROWS], 1)]


def lines():
    """All lines that the page must have, as they stand there."""
    data = patch()
    return hexdump(data) + fields(data) + decisions()


if __name__ == "__main__":
    print("\n".join(lines()))
