"""Arithmetic coder and contexts of tensor1 (docs/internals/delta.md, 3, 6-8).
"""
from collections import defaultdict

MASK64 = (1 << 64) - 1
RATES = [131072 // (2 * n + 3) for n in range(401)]
ENDS = (0, 2, 5, 10, 20, 40, 80, 128, 192, 256, 320, 384, 432, 464, 488, 504,
        512)


class Broken(Exception):
    """The patch does not follow the format."""


def cut(x, low, high):
    return low if x < low else high if x > high else x


def div(a, b):
    """A quotient cut towards zero."""
    q = abs(a) // abs(b)
    return q if (a < 0) == (b < 0) else -q


def lg(v):
    v |= 1
    n = v.bit_length() - 1
    return 4 * n + ((v << 2 >> n) & 3)


def sign_of(x):
    """0 for none, 1 for positive, 2 for negative."""
    return 0 if x == 0 else 1 if x > 0 else 2


class Slots(defaultdict):
    """Slots of one decision by their indices: a probability and a count."""

    def __init__(self):
        super().__init__(lambda: [1 << 21, 0])


class Coder:
    def __init__(self, payload):
        self.data = payload
        self.at = 8
        self.range = MASK64
        self.low = int.from_bytes(payload[:8].ljust(8, b"\0"), "big")

    def _bit(self, one):
        bound = (self.range >> 16) * one
        bit = self.low < bound
        if bit:
            self.range = bound
        else:
            self.low -= bound
            self.range -= bound
        if self.range < 1 << 32:
            four = self.data[self.at:self.at + 4].ljust(4, b"\0")
            self.at += 4
            if self.at > len(self.data) + 8:
                raise Broken("the payload ends too early")
            self.range = self.range << 32 & MASK64
            self.low = self.low << 32 & MASK64 | int.from_bytes(four, "big")
        return int(bit)

    def bit(self, *slots):
        if len(slots) == 1:
            one = slots[0][0] >> 6
        else:
            one = (slots[0][0] + slots[1][0]) >> 7
        bit = self._bit(cut(one, 12, 65524))
        goal = (1 << 22) - 1 if bit else 0
        for slot in slots:
            slot[0] += div((goal - slot[0]) * RATES[slot[1]], 65536)
            slot[1] = min(slot[1] + 1, 400)
        return bit

    def plain(self, count):
        value = 0
        for _ in range(count):
            value = value << 1 | self._bit(32768)
        return value

    def end(self):
        if self.at < len(self.data):
            raise Broken("payload bytes that nothing reads")


class Small:
    """Section 7: differences of codes, scales and mins."""

    def __init__(self):
        self.none1, self.none2 = Slots(), Slots()
        self.side, self.more = Slots(), Slots()

    def read(self, coder, level, second, guess, largest, surely=False):
        """The difference; guess is (code, toward, margin)."""
        code, toward, margin = guess
        level = cut(level, 0, 31)
        room = {1: largest - code, -1: code}
        edge = 1 if not room[toward] else 2 if not room[-toward] else 0
        if not surely and coder.bit(self.none1[level, margin, edge],
                                    self.none2[second, margin, edge]):
            return 0
        side = -toward if edge == 1 else toward
        if edge == 0 and not coder.bit(self.side[level // 4, margin]):
            side = -toward
        size = 1
        while size < min(room[side], 16) and \
                coder.bit(self.more[level // 2, size - 1]):
            size += 1
        if size == 16 and room[side] > 16:
            size += coder.plain(8)
        return side * min(size, room[side])


class Wide:
    """Section 8: differences of halves and floats."""

    def __init__(self):
        self.long1, self.long2 = Slots(), Slots()
        self.sign, self.top = Slots(), Slots()

    def read(self, coder, width, level, second, sign_context):
        bits = cut(div(level - 10, 2), 0, width - 1)
        level = cut(level, 0, 47)

        def longer(j):
            return coder.bit(self.long1[level, j], self.long2[second, j])
        if longer(bits):
            bits += 1
            while bits < width and longer(bits):
                bits += 1
        else:
            while bits > 0 and not longer(bits - 1):
                bits -= 1
        if bits == 0:
            return 0
        negative = coder.bit(self.sign[sign_context])
        size, prefix = 1, 1
        left = bits - 1
        for _ in range(min(left, 2)):
            size = size << 1 | coder.bit(self.top[bits, size])
        left = max(left - 2, 0)
        size = size << left | coder.plain(left)
        return -size if negative else size


class Activity:
    """Section 6: how much columns and rows of a part differ."""

    def __init__(self, columns, first, weight):
        self.columns = [first] * min(max(columns, 1), 65536)
        self.weight = weight
        self.row_mean = self.mean = first
        self.sum = self.count = self.rows = 0

    def row(self):
        return (self.row_mean * self.weight + self.sum) // (
            self.weight + self.count)

    def base(self):
        return lg(self.row()) - lg(self.mean)

    def column(self, at):
        return lg(self.columns[at % len(self.columns)])

    def add(self, at, size):
        shift = 3 if self.rows < 8 else 4 if self.rows < 16 else \
            5 if self.rows < 32 else 6
        at %= len(self.columns)
        self.columns[at] += (size - self.columns[at]) >> shift
        self.sum += size
        self.count += 1

    def end_row(self):
        """A row in which nothing was coded does not count."""
        if self.count == 0:
            return
        self.mean = sum(self.columns) // len(self.columns)
        part = 1 if self.rows == 0 else 2 if self.rows < 3 else 6
        self.row_mean += div(self.sum // self.count - self.row_mean, part)
        self.sum = self.count = 0
        self.rows += 1
