"""Blocks of the engine's types: their fields and forecasts (sections 4, 5)."""
from bisect import bisect_left
import struct
from coder import ENDS, cut, div

IQ4 = (-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89,
       113)


class Type:
    def __init__(self, name, size, part=0, bits=0, zero=0, halves=(),
                 scale=None, mins=0, divisor=0, rule=None):
        self.name, self.size, self.part, self.bits = name, size, part, bits
        self.zero, self.halves, self.divisor, self.rule = (
            zero, halves, divisor, rule)
        self.scale_bits, self.scale_zero, self.over = scale or (0, 0, 1)
        self.mins = mins
        self.values = 256 if scale else 32 if halves else 1
        self.parts = self.values // part if part else 0
        self.uneven = name.startswith("IQ4")
        self.codes = [code_fields(name, i) for i in range(self.values)] \
            if halves else []
        self.scales = [scale_fields(name, i) for i in range(self.parts)] \
            if scale else []
        self.lows = [min_fields(name, i) for i in range(self.parts)] \
            if mins else []


def code_fields(name, i):
    """(byte, shift, bits, to) of the bits of code i."""
    half = i // 16
    if name in ("Q4_0", "IQ4_NL", "Q4_1"):
        return [(4 * (name == "Q4_1") // 2 + 2 + i % 16, 4 * half, 4, 0)]
    if name in ("Q5_0", "Q5_1"):
        at = 2 if name == "Q5_0" else 4
        return [(at + 4 + i % 16, 4 * half, 4, 0), (at + i // 8, i % 8, 1, 4)]
    if name == "Q8_0":
        return [(2 + i, 0, 8, 0)]
    if name == "IQ4_XS":
        return [(8 + i // 32 * 16 + i % 16, i % 32 // 16 * 4, 4, 0)]
    n, s, l = i // 128, i % 128 // 32, i % 32
    if name == "Q2_K":
        return [(16 + n * 32 + l, 2 * s, 2, 0)]
    if name == "Q3_K":
        return [(32 + n * 32 + l, 2 * s, 2, 0), (l, n * 4 + s, 1, 2)]
    if name == "Q6_K":
        return [(n * 64 + l + s % 2 * 32, s // 2 * 4, 4, 0),
                (128 + n * 32 + l, 2 * s, 2, 4)]
    g, p = i // 64, i // 32
    if name == "Q4_K":
        return [(16 + g * 32 + l, p % 2 * 4, 4, 0)]
    return [(48 + g * 32 + l, p % 2 * 4, 4, 0), (16 + l, p, 1, 4)]


def scale_fields(name, i):
    if name == "Q2_K":
        return [(i, 0, 4, 0)]
    if name == "Q3_K":
        return [(96 + i % 8, i // 8 * 4, 4, 0),
                (104 + i % 4, i // 4 * 2, 2, 4)]
    if name == "Q6_K":
        return [(192 + i, 0, 8, 0)]
    if name == "IQ4_XS":
        return [(4 + i // 2, i % 2 * 4, 4, 0), (2 + i // 4, i % 4 * 2, 2, 4)]
    if i < 4:
        return [(4 + i, 0, 6, 0)]
    return [(4 + i + 4, 0, 4, 0), (4 + i - 4, 6, 2, 4)]


def min_fields(name, i):
    if name == "Q2_K":
        return [(i, 4, 4, 0)]
    if i < 4:
        return [(4 + i + 4, 0, 6, 0)]
    return [(4 + i + 4, 4, 4, 0), (4 + i, 6, 2, 4)]


S6 = (6, 32, -32)
TYPES = {
    0: Type("F32", 4), 1: Type("F16", 2), 30: Type("BF16", 2),
    2: Type("Q4_0", 18, 32, 4, 8, (0,), None, 0, 8, "signed"),
    3: Type("Q4_1", 20, 32, 4, 0, (0, 2), None, 0, 15, "range"),
    6: Type("Q5_0", 22, 32, 5, 16, (0,), None, 0, 16, "signed"),
    7: Type("Q5_1", 24, 32, 5, 0, (0, 2), None, 0, 31, "range"),
    8: Type("Q8_0", 34, 32, 8, 128, (0,), None, 0, 127, "largest"),
    10: Type("Q2_K", 84, 16, 2, 0, (80, 82), (4, 0, 15), 4, 3, "range"),
    11: Type("Q3_K", 110, 16, 3, 4, (108,), S6, 0, 4, "signed"),
    12: Type("Q4_K", 144, 32, 4, 0, (0, 2), (6, 0, 63), 6, 15, "range"),
    13: Type("Q5_K", 176, 32, 5, 0, (0, 2), (6, 0, 63), 6, 31, "range"),
    14: Type("Q6_K", 210, 16, 6, 32, (208,), (8, 128, -128), 0, 32,
             "signed"),
    20: Type("IQ4_NL", 18, 32, 4, 0, (0,), None, 0, 127, "signed"),
    23: Type("IQ4_XS", 136, 32, 4, 0, (0,), S6, 0, 127, "signed"),
    24: Type("I8", 1), 254: Type("U8", 1),
}

# Integers stay what they are: nobody knows their scale.
WEIGHTS = {one: kind for one, kind in TYPES.items() if kind.size > 1}


def get(block, fields, flip=0):
    value = 0
    for byte, shift, bits, to in fields:
        value |= (block[byte] >> shift & (1 << bits) - 1) << to
    return value ^ flip


def put(block, fields, value, flip=0):
    value ^= flip
    for byte, shift, bits, to in fields:
        block[byte] |= (value >> to & (1 << bits) - 1) << shift


def half_number(h):
    """A half in units of 2^-32."""
    e, m = h >> 10 & 31, h & 1023
    n = m << 8 if e == 0 else (1024 + m) << e + 7
    n = min(n, 1 << 40)
    return -n if h >> 15 else n


def nearest_half(x):
    """The half next to x, halves of the last place to even."""
    size = abs(x)
    sign = 0x8000 if x < 0 else 0
    shift = max(size.bit_length() - 11, 8)
    m = size >> shift
    rest = size - (m << shift)
    if rest * 2 > 1 << shift or (rest * 2 == 1 << shift and m & 1):
        m += 1
    bits = m + ((shift - 8) << 10)  # a full fraction counts the exponent up
    return sign | min(bits, 0x7bff)


class Block:
    """Codes and integers of one block, with its grid for each part."""

    def __init__(self, kind, raw):
        self.d = struct.unpack_from("<H", raw, kind.halves[0])[0]
        self.m = struct.unpack_from("<H", raw, kind.halves[1])[0] \
            if len(kind.halves) > 1 else 0
        flip = 128 if kind.scale_bits == 8 else 0
        self.scales = [get(raw, f, flip) for f in kind.scales]
        self.mins = [get(raw, f) for f in kind.lows]
        self.codes = [get(raw, f, 128 if kind.bits == 8 else 0)
                      for f in kind.codes]
        self.grids = [grid(kind, self.d, self.m,
                           self.scales[p] if self.scales else 0,
                           self.mins[p] if self.mins else 0)
                      for p in range(kind.parts)]

    def values(self, kind):
        out = []
        for i, code in enumerate(self.codes):
            step, offset = self.grids[i // kind.part]
            level = IQ4[code] if kind.uneven else code - kind.zero
            out.append(step * level + offset)
        return out


def pack(kind, d, m, scales, mins, codes):
    raw = bytearray(kind.size)
    for half, value in zip(kind.halves, (d, m)):
        struct.pack_into("<H", raw, half, value)
    flip = 128 if kind.scale_bits == 8 else 0
    for f, s in zip(kind.scales, scales):
        put(raw, f, s, flip)
    for f, s in zip(kind.lows, mins):
        put(raw, f, s)
    for f, c in zip(kind.codes, codes):
        put(raw, f, c, 128 if kind.bits == 8 else 0)
    return bytes(raw)


def grid(kind, d, m, scale, low):
    """Step and offset of one part."""
    step = half_number(d)
    if kind.scale_bits:
        step *= scale - kind.scale_zero
    offset = 0
    if len(kind.halves) > 1:
        offset = half_number(m)
        if kind.mins:
            offset *= -low
    return step, offset


def forecast_grids(kind, values):
    """Section 5, other type: halves and exact grids from old values."""
    grids = []
    for p in range(kind.parts):
        v = [cut(x, -1 << 45, 1 << 45)
             for x in values[p * kind.part:(p + 1) * kind.part]]
        least, most = min(v), max(v)
        far = least if abs(least) > abs(most) else most
        if kind.rule == "range":
            if kind.mins:
                least = min(least, 0)
            grids.append((div(most - least, kind.divisor), least))
        elif kind.rule == "signed":
            grids.append((div(-far, kind.divisor), 0))
        else:
            grids.append((div(abs(far), 127), 0))
    step = max((g[0] for g in grids), key=abs)
    d = nearest_half(div(step, kind.over))
    m = 0
    if len(kind.halves) > 1:
        least = min(g[1] for g in grids)
        m = nearest_half(div(-least, kind.over) if kind.mins else least)
    return d, m, grids


def position(x, step, offset):
    t = cut(x - offset, -512 * abs(step), 512 * abs(step))
    shift = abs(step).bit_length() - 24
    if shift > 0:
        step, t = (abs(step) >> shift) * (1 if step > 0 else -1), t >> shift
    else:
        step, t = step << -shift, t << -shift
    factor = (1 << 46) // abs(step)
    return (t * (factor if step > 0 else -factor) + (1 << 35)) >> 36


def guess_at(place, largest):
    code = cut((place + 512) >> 10, 0, largest)
    rest = place - 1024 * code
    return code, (-1 if rest < 0 else 1), bisect_left(ENDS, abs(rest))


def guess(kind, x, step, offset, old):
    """Code, side and margin of value x on a grid."""
    if step == 0:
        return old, 1, 0
    place = position(x, step, offset)
    if kind.uneven:
        i = 0
        while i < 14 and place >= 1024 * IQ4[i + 1]:
            i += 1
        place = 1024 * i + div(place - 1024 * IQ4[i], IQ4[i + 1] - IQ4[i])
    else:
        place += 1024 * kind.zero
    return guess_at(place, (1 << kind.bits) - 1)


def guess_integer(x, half, zero, bits, old):
    """A scale or min of which half * (integer - zero) is next to x."""
    if half == 0:
        return guess_at(1024 * old, (1 << bits) - 1)
    return guess_at(position(x, half, 0) + 1024 * zero, (1 << bits) - 1)
