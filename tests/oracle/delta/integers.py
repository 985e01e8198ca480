"""Pairs of files whose weights are integers of 8 bits (section 12)."""
import json
import random
import struct
from coder import cut


def safetensors(tensors, note="x"):
    """(name, dtype, rows, columns, data) for each tensor."""
    head, at = {"__metadata__": {"note": note}}, 0
    for name, dtype, rows, columns, data in tensors:
        head[name] = {"dtype": dtype, "shape": [rows, columns],
                      "data_offsets": [at, at + len(data)]}
        at += len(data)
    text = json.dumps(head).encode()
    return struct.pack("<Q", len(text)) + text + b"".join(
        t[4] for t in tensors)


def quantized(values, columns, scales_of):
    """Each value over its scale, as a signed integer; `scales_of` makes the
    scale of a row and of a column."""
    return [cut(round(x / scales_of(i // columns, i % columns)), -128, 127)
            for i, x in enumerate(values)]


def integer_pairs():
    for mode, columns, rows in (("still", 96, 40), ("part", 100, 40),
                                ("rows", 256, 40), ("columns", 64, 300),
                                ("long", 66000, 2), ("one", 1, 3000),
                                ("short", 8000, 1)):
        for dtype in ("I8", "U8"):
            rng = random.Random(mode + dtype)
            old = [rng.gauss(0, 0.02) for _ in range(rows * columns)]
            new = [x + rng.gauss(0, 1e-4) for x in old]
            drift = {}

            def moved(row, column):
                key = {"part": 0, "rows": row, "columns": column}.get(mode)
                if key is None:
                    return 6e-4
                if key not in drift:
                    drift[key] = 6e-4 * rng.uniform(0.95, 1.06)
                return drift[key]
            files = []
            for values, scales in ((old, lambda r, c: 6e-4), (new, moved)):
                codes = quantized(values, columns, scales)
                flip = 0 if dtype == "I8" else 128
                data = bytearray((c & 255) ^ flip for c in codes)
                if values is new:
                    for _ in range(len(data) // 500):
                        data[rng.randrange(len(data))] = rng.getrandbits(8)
                files.append(safetensors([("w", dtype, rows, columns,
                                           bytes(data))]))
            yield (f"integers/{dtype} {mode}", *files)
