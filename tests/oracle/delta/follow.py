"""Rows that move together (docs/internals/delta.md, 11)."""
from math import isqrt
from coder import cut, div

COUNT = 8
MOST = 1 << 22


def within(x, most):
    return cut(x, -most, most)


class Follower:
    def __init__(self, columns, place, mask, top):
        self.columns, self.place, self.mask, self.top = (
            columns, place, mask, top)
        self.basis = [[0] * COUNT for _ in range(columns)]
        self.spread = [[(4 << 24) * (i == k) for k in range(COUNT)]
                       for i in range(COUNT)]
        self.grams, self.noise, self.rows = {}, 0, 0
        self.begin_row()

    def begin_row(self):
        self.shares, self.sums = [0] * COUNT, [0] * COUNT
        self.moves, self.errors, self.solved = [], 0, 0

    def units(self, bits):
        e = bits >> self.place & self.mask
        size = bits & (1 << self.place) - 1 | (e > 0) << self.place
        shift = 12 + max(e, 1) - self.top
        size = size << min(shift, 32) if shift >= 0 else size >> -shift
        return -size if bits >> 15 else size

    def number(self, units, otherwise):
        size = abs(units)
        highest = (size | 1).bit_length() - 1
        e = max(self.top - 12 + highest - self.place, 1)
        shift = 12 + e - self.top
        size = (size + (1 << shift - 1)) >> shift if shift > 0 \
            else size << -shift
        bits = (e - 1 << self.place) + size
        return otherwise if bits >= 1 << 15 else bits | (units < 0) << 15

    def foreseen(self, column):
        if self.rows == 0:
            return 0
        return within(sum(b * s for b, s in zip(self.basis[column],
                                                self.shares)) >> 14, MOST)

    def guesses(self, olds):
        at = len(self.moves)
        self.expected = [self.foreseen(at + i) for i in range(len(olds))]
        return [self.number(self.units(o) + m, o) if m else o
                for o, m in zip(olds, self.expected)]

    def learn(self, olds, news):
        for old, new, expected in zip(olds, news, self.expected):
            move = within(self.units(new) - self.units(old), MOST)
            if self.rows and move:
                for k, b in enumerate(self.basis[len(self.moves)]):
                    self.sums[k] += move * b
            self.errors += (move - expected) ** 2
            self.moves.append(move)
        at = len(self.moves)
        if at == self.columns:
            self.end_row()
        elif self.rows and any(self.moves) and self.is_due(at):
            self.solve(at)

    def is_due(self, at):
        """At 32, 64, 128, ...; a row that moves late catches up at once."""
        point = 1 << at.bit_length() - 1
        is_due = self.solved < point
        self.solved = point
        return is_due

    def take_grams(self):
        gram = [[0] * COUNT for _ in range(COUNT)]
        for i, basis in enumerate(self.basis):
            for j in range(COUNT):
                for k in range(j + 1):
                    gram[j][k] += basis[j] * basis[k]
            n = i + 1
            if n == self.columns or (n >= 32 and n & n - 1 == 0):
                self.grams[n] = [row[:] for row in gram]

    def solve(self, columns):
        if columns not in self.grams:
            columns = 1 << columns.bit_length() - 1
        gram = self.grams[columns]
        largest = max(gram[i][i] for i in range(COUNT)) + self.noise
        shift = max(largest.bit_length() - 24, 0)
        below = [[0] * COUNT for _ in range(COUNT)]
        lever = [[0] * COUNT for _ in range(COUNT)]
        diagonal, rest = [0] * COUNT, [0] * COUNT
        for j in range(COUNT):
            own = (gram[j][j] + self.noise) >> shift
            rest[j] = within(self.sums[j] >> shift, 1 << 30)
            for k in range(j):
                b = gram[j][k] >> shift
                for i in range(k):
                    b -= below[j][i] * lever[k][i] >> 16
                below[j][k] = b = within(b, 1 << 26)
                lever[j][k] = v = within(div(b << 16, diagonal[k]), 1 << 22)
                own -= b * v >> 16
                rest[j] -= v * rest[k] >> 16
            diagonal[j] = max(own, 64)
            rest[j] = within(rest[j], 1 << 34)
        for j in reversed(range(COUNT)):
            share = div(rest[j] << 14, diagonal[j])
            for k in range(j + 1, COUNT):
                share -= lever[k][j] * self.shares[k] >> 16
            self.shares[j] = within(share, 1 << 18)

    def end_row(self):
        if any(self.moves):
            if self.rows == 0:
                self.begin_basis()
            else:
                error = self.errors // self.columns
                self.noise += div(error - self.noise, 16)
                self.solve(self.columns)
                self.learn_basis()
            self.rows += 1
            if self.rows < 16 or self.rows % 8 == 0:
                self.take_grams()
        self.begin_row()

    def begin_basis(self):
        mean = sum(m * m for m in self.moves) // self.columns
        size, self.noise, seed = isqrt(mean) + 1, mean // 2 + 1, 1
        for basis in self.basis:
            for k in range(COUNT):
                seed = (seed * 1664525 + 1013904223) & 0xffffffff
                basis[k] = size * ((seed >> 16) - 32768) >> 15

    def learn_basis(self):
        pull = [sum(s * v for s, v in zip(row, self.shares)) >> 14
                for row in self.spread]
        divisor = max((1 << 24) + sum(
            p * s >> 14 for p, s in zip(pull, self.shares)), 1 << 24)
        gain = [within(div(p << 16, divisor), 1 << 20) for p in pull]
        for i, basis in enumerate(self.basis):
            error = self.moves[i] - self.foreseen(i)
            for k in range(COUNT):
                basis[k] = within(basis[k] + (error * gain[k] >> 16), 1 << 23)
        for k, row in enumerate(self.spread):
            for i in range(COUNT):
                row[i] -= gain[k] * pull[i] >> 16
                row[i] = within(row[i] + (row[i] >> 8), 1 << 30)
