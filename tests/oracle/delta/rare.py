"""Pairs of files for rules that usual weights never reach."""
import random
import struct
from blocks import TYPES, WEIGHTS, Block, nearest_half, pack
from coder import cut
import golden
from pairs import model, near, requantized, updated

ODD = {1: (0, 1, 0x7c00, 0x7bff, 0x7e01, 0x7c01, 0x7d55, 0x3ff),
       30: (0, 1, 0x7f80, 0x7f7f, 0x7fc1, 0x7f81, 0x7faa, 0x7f),
       0: (0, 1, 0x7f800000, 0x7f7fffff, 0x7fc00001, 0x7f800001,
           0x7fa12345, 0x477fefff, 0x477ff000, 0x7fffff)}


def put_float(kind, value):
    """The bytes of a number, without help from the rules under test."""
    if kind.name == "F16":
        return struct.pack("<e", value)
    return struct.pack("<f", value)[-kind.size:]


def odd_float(kind, one, rng):
    """Zeros, infinities, NaN of many kinds, and any bits at all."""
    bits = rng.choice(ODD[one]) if rng.random() < 0.7 else \
        rng.getrandbits(8 * kind.size)
    sign = rng.getrandbits(1) << (8 * kind.size - 1)
    return (bits | sign).to_bytes(kind.size, "little")


def tame(kind, rng):
    """A usual number, nothing, the smallest one there is, or a large one."""
    if rng.random() < 0.05:
        return rng.choice((0, 1)).to_bytes(kind.size, "little")
    return put_float(kind, 300 if rng.random() < 0.0005 else
                     rng.choice((-0.02, 0.02)) if rng.random() < 0.2 else
                     rng.gauss(0, 0.006))


def odd_half(rng):
    return rng.choice((0, 0x8000, 1, 0x8001, 0x7bff, 0x7c00, 0xfc00,
                       rng.getrandbits(10), rng.getrandbits(16)))


def odd_weights(one, count, rng, one_in=10):
    """Numbers of a type, one in so many far from usual."""
    kind, out = TYPES[one], []
    for _ in range(count // kind.values):
        is_odd = rng.random() < 1 / one_in
        if not kind.halves:
            out.append(odd_float(kind, one, rng) if is_odd else
                       put_float(kind, rng.gauss(0, 0.02)))
            continue
        most = (1 << kind.bits) - 1
        halves = [odd_half(rng) if is_odd else
                  nearest_half(rng.randint(1 << 24, 1 << 26) * sign)
                  for sign in (1, -8)]
        out.append(pack(
            kind, *halves, [rng.getrandbits(kind.scale_bits)
                            for _ in kind.scales],
            [rng.getrandbits(kind.mins) for _ in kind.lows],
            [cut(round(rng.gauss(most / 2, most / 5)), 0, most)
             for _ in range(kind.values)]))
    return b"".join(out)


def odd_update(kind, data, rng):
    """An update of which some steps appear, vanish or jump."""
    out = []
    data = updated(kind, data, rng, 12)
    for at in range(0, len(data), kind.size):
        raw = data[at:at + kind.size]
        if kind.halves and rng.random() < 0.04:
            b = Block(kind, raw)
            raw = pack(kind, odd_half(rng), b.m, b.scales, b.mins,
                       [near(rng, v, kind.bits, 4) for v in b.codes])
        out.append(raw)
    return b"".join(out)


def pair(name, one, other, old, new, columns=256):
    """Two files with a tensor of the same shape."""
    rows = len(old) // TYPES[one].size * TYPES[one].values // columns
    return (name, *(model([("w", kind, rows, data)], "x", columns)
                    for kind, data in ((one, old), (other, new))))


def changed(name, one, other, old, rng):
    return pair(name, one, other, old,
                requantized(TYPES[one], TYPES[other], old, rng))


def rare_pairs():
    for one, kind in WEIGHTS.items():
        rng = random.Random(100 + one)
        old = odd_weights(one, 256 * 40, rng, 24)
        yield pair(f"rare/{kind.name}", one, one, old,
                   odd_update(kind, old, rng))
    for one in (0, 1, 30):
        for other, kind in WEIGHTS.items():
            rng = random.Random(200 + 40 * one + other)
            old = odd_weights(one, 256 * 16, rng, 6)
            if kind.halves:  # tensors pair when their values are alike
                old = b"".join(tame(TYPES[one], rng) for _ in range(4096))
            if one != other:
                yield changed(f"rare/{TYPES[one].name}-{kind.name}", one,
                              other, old, rng)
    yield from moved_offsets()
    yield from odd_halves()
    yield from small_and_large()
    yield from long_rows()
    yield from followed()


def moved_offsets():
    """Another type whose m is not as forecast while d is; and a first block
    of step 0 that gets one."""
    for other in (3, 7):
        kind, rng = TYPES[other], random.Random(other)
        old = b"".join(put_float(TYPES[1], rng.gauss(0, 0.02))
                       for _ in range(4096))
        new = bytearray(requantized(TYPES[1], kind, old, rng))
        for at in range(0, len(new), kind.size):
            new[at + 2] ^= rng.choice((0, 0, 1))
        yield pair(f"rare/offsets {kind.name}", 1, other, old, bytes(new))
    for one in (2, 14):
        kind, rng = TYPES[one], random.Random(one)
        old = bytearray(odd_weights(one, 256 * 40, rng, 1000))
        new = updated(kind, bytes(old), rng, 12)
        at = kind.halves[0]
        old[at:at + 2] = b"\0\0"
        yield pair(f"rare/first step {kind.name}", one, one, bytes(old), new)


def odd_halves():
    """Sums of a small step and a large offset: they do not fit an f32, and
    the way in which they are rounded shows."""
    for one in (3, 7, 12):
        for other in (0, 1, 30):
            rng = random.Random(300 + 40 * one + other)
            kind = TYPES[one]
            old = b"".join(pack(
                kind, rng.randrange(1, 200), rng.randrange(0x4000, 0x5c00),
                [rng.randrange(1, 64) for _ in kind.scales],
                [rng.randrange(1, 64) for _ in kind.lows],
                [rng.getrandbits(kind.bits) for _ in range(kind.values)])
                for _ in range(2048 // kind.values))
            yield changed(f"rare/odd halves {kind.name}-{TYPES[other].name}",
                          one, other, old, rng)


def small_and_large():
    """Values near 2^-32, and those that are cut at 2^45."""
    for one in (0, 30):
        for other, size in ((2, 2 ** -21), (3, 2 ** -20), (8, 2 ** -17),
                            (1, 2 ** -24), (8, 3500), (14, 3500),
                            (1, 30000)):
            rng = random.Random(other)
            old = b"".join(put_float(TYPES[one], rng.gauss(0, size))
                           for _ in range(4096))
            yield changed(f"rare/{size} {TYPES[one].name}-"
                          f"{TYPES[other].name}", one, other, old, rng)


def long_rows():
    """Rows above 65,536 columns; a bit that is nearly always the same; large
    differences of codes."""
    rng = random.Random(4)
    old = odd_weights(1, 2 * 66048, rng, 1000)
    yield pair("rare/long rows", 1, 1, old, updated(TYPES[1], old, rng, 90),
               66048)
    kind = TYPES[8]
    old = odd_weights(8, 256 * 40, rng, 1000)
    blocks = [Block(kind, old[i:i + 34]) for i in range(0, len(old), 34)]
    for b in blocks:
        for i in range(32):
            if rng.random() < 0.06:
                b.codes[i] = cut(b.codes[i] + rng.choice((-60, 30, 90)), 0, 255)
    yield pair("rare/large differences", 8, 8, old, b"".join(
        pack(kind, b.d, 0, [], [], b.codes) for b in blocks))
    kind = TYPES[2]
    old = odd_weights(2, 32 * 6000, rng, 1000)
    new = bytearray(old)
    for i in range(0, len(new), 18 * 55):
        new[i + 5] ^= 1
    yield pair("rare/same blocks", 2, 2, old, bytes(new))


def followed():
    """Rows along one direction among large numbers, where sums vanish, pass
    the largest exponent or begin late; columns that nobody follows."""
    for one, top, large in ((1, 1.0, 0), (30, 8.0, 0), (1, 40000.0, 1)):
        kind = TYPES[one]
        rng = random.Random(one + large)
        way = [rng.gauss(0, 0.02) for _ in range(256)]
        old, new = bytearray(), bytearray()
        for row in range(128):
            share = rng.gauss(0, 1) * (top if large else 1)
            still = rng.choice(8 * (0,) + (70, 200))
            for column in range(256):
                x = rng.gauss(0, 0.4 * top if large else 0.02)
                x = top if column == 9 else cut(x, -1.5 * top, 1.5 * top)
                move = share * way[column] * (column >= still)
                old += put_float(kind, x)
                new += put_float(kind, cut(x + move, -65500, 65500))
            if one == 30 and row in (100, 120):  # far from all that was foreseen
                new[-2:] = odd_float(kind, one, rng)
        wide = b"".join(put_float(kind, rng.gauss(0, 0.02))
                        for _ in range(8256 * 2))
        odd = wide[:48 * 40 * 2]
        yield (f"rare/followed {kind.name} {top}", *(golden.model(
            [("w", one, 256, 128, a), ("odd", one, 48, 40, b),
             ("wide", one, 8256, 2, c)], [("general.name", "x")])
            for a, b, c in ((bytes(old), odd, wide),
                            (bytes(new), updated(kind, odd, rng, 9),
                             updated(kind, wide, rng, 9)))))
