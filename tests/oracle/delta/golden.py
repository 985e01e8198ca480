"""The old models of the golden patches, made as tests/unit/updater makes them.
"""
import struct
from blocks import TYPES, pack
from coder import div
from group import as_float32, rounded
from integers import safetensors

ORDER = (0, 1, 30, 2, 3, 6, 7, 8, 10, 11, 12, 13, 14, 20, 23)


class Noise:
    """The generator of the C tests."""

    def __init__(self, seed):
        self.seed = seed

    def next(self, shift):
        self.seed = (self.seed * 1664525 + 1013904223) & 0xffffffff
        return self.seed >> shift

    def within(self, most):
        return self.next(8) % (2 * most + 1) - most


def text(s):
    return struct.pack("<Q", len(s)) + s.encode()


def model(tensors, keys):
    """A GGUF file: (name, type, columns, rows, data) for each tensor."""
    out = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(keys))
    for key, value in keys:
        out += text(key) + struct.pack("<I", 8) + text(value)
    at = 0
    for name, kind, columns, rows, data in tensors:
        out += text(name) + struct.pack("<IQQIQ", 2, columns, rows, kind, at)
        at += len(data) + -len(data) % 32
    out += bytes(-len(out) % 32)
    for tensor in tensors:
        out += tensor[4] + bytes(-len(tensor[4]) % 32)
    return out


def llama(tensors, template):
    return model(tensors, [("general.architecture", "llama"),
                           ("tokenizer.chat_template", template)])


def fill(kind, values, seed):
    bytes_noise, noise = Noise(seed), Noise(seed)
    count = values // kind.values
    out = bytearray(bytes_noise.next(24) for _ in range(count * kind.size))
    for at in range(0, len(out), kind.size):
        n = noise.next(8)
        half = 0x2000 | n & 0x83ff
        if kind.name == "F32":
            struct.pack_into("<I", out, at, (
                0x3c000000 | (n & 0x3fffff) << 2 | n << 31) & 0xffffffff)
        elif not kind.halves:
            struct.pack_into("<H", out, at, half if kind.name == "F16"
                             else 0x3c00 | n & 0x80ff)
        else:
            struct.pack_into("<H", out, at + kind.halves[0], half & 0x7fff)
            if len(kind.halves) > 1:
                struct.pack_into("<H", out, at + kind.halves[1],
                                 half ^ 0x8155)
    return bytes(out)


def old_of_types():
    tensors = []
    for i in range(2 * len(ORDER)):
        kind = ORDER[i % len(ORDER)]
        tensors.append((f"t{i}", kind, 256, 2,
                        fill(TYPES[kind], 512, i + 77)))
    return llama(tensors, "old")


def old_of_followed():
    tensors = []
    for name, kind in (("half", 1), ("brain", 30)):
        noise = Noise(8)
        data = b"".join(
            struct.pack("<H", rounded(as_float32(
                noise.within(1 << 15) * 256 * 16), TYPES[kind]))
            for _ in range(64 * 160))
        tensors.append((name, kind, 64, 160, data))
    return llama(tensors, "m")


def example():
    """The page's worked example: Q4_0 in four rows of a block.  A code moves
    by one, then a step by its last place."""
    kind = TYPES[2]
    codes = [[8 + (5 * i + row) % 7 - 3 for i in range(32)]
             for row in range(4)]
    old = b"".join(pack(kind, 0x2000, 0, [], [], row) for row in codes)
    codes[1][3] += 1
    new = b"".join(pack(kind, 0x2000 + (row == 3), 0, [], [], codes[row])
                   for row in range(4))
    return tuple(model([("w", 2, 32, 4, data)], [("general.name", "x")])
                 for data in (old, new))


def old_of_integers():
    tensors = []
    for i, name in enumerate(("still", "part", "rows", "columns")):
        noise = Noise(5)
        data = bytearray()
        for _ in range(50 * 60):
            value = noise.within(110000)
            noise.within(300)
            code = div(value + div(-1000 if value < 0 else 1000, 2), 1000)
            data.append((code & 255) ^ (128 if i % 2 else 0))
        tensors.append((name, "U8" if i % 2 else "I8", 60, 50, bytes(data)))
    return safetensors(tensors, "x")


OLD_MODELS = {"integers.tensor1": old_of_integers,
              "example.tensor1": lambda: example()[0],
              "types.tensor1": old_of_types,
              "followed.tensor1": old_of_followed}
