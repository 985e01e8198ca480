"""Pairs of files of every type, by seed, as a trainer might make them."""
import random
import struct
from blocks import TYPES, WEIGHTS, Block, forecast_grids, guess, guess_integer, \
    half_number, grid, nearest_half, pack
from coder import cut
from group import as_float32, old_values, rounded
import golden

COLUMNS, ROWS = 256, 6


def model(tensors, note, columns=COLUMNS):
    """A GGUF file: (name, type, rows, data) for each tensor."""
    return golden.model([(name, kind, columns, rows, data)
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
            kind, *(cut(half + moves * rng.randint(-3, 40), 0, 65535)
                    for half in (b.d, b.m)),
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
    for one, a in WEIGHTS.items():
        rng = random.Random(one)
        data = weights(a, rng)
        for other, b in WEIGHTS.items():
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
