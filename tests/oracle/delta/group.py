"""Typed groups: blocks, floats, rows that move together, integers (9 to 12).
"""
import struct
from coder import Activity, Coder, Slots, Small, Wide, cut, div, lg, \
    sign_of
from blocks import TYPES, Block, forecast_grids, grid, guess, guess_at, \
    guess_integer, half_number, nearest_half, pack
from follow import Follower


class CodeContexts:
    def __init__(self):
        self.all, self.code = Slots(), Small()


class FloatContexts:
    def __init__(self):
        self.all, self.number = Slots(), Wide()


def ordered(bits, width):
    top = 1 << width - 1
    return bits ^ (2 * top - 1) if bits & top else bits | top


def unordered(rank, width):
    top = 1 << width - 1
    return rank ^ top if rank & top else rank ^ (2 * top - 1)


def moved(bits, move, width):
    rank = ordered(bits, width) + move & (1 << width) - 1
    return unordered(rank, width)


def float32(kind, raw):
    """The bits of a float of any type as an f32."""
    if kind.size == 4:
        return struct.unpack("<I", raw)[0]
    bits = struct.unpack("<H", raw)[0]
    if kind.name == "BF16":
        return bits << 16
    e, m, s = bits >> 10 & 31, bits & 1023, bits >> 15 << 31
    if e == 31:
        return s | 0x7f800000 | m << 13
    if e == 0:
        if m == 0:
            return s
        n = m.bit_length()
        return s | (n + 102) << 23 | (m << 24 - n) & 0x7fffff
    return s | (e + 112) << 23 | m << 13


def units(bits):
    """An f32 in units of 2^-32."""
    e, m = bits >> 23 & 255, bits & 0x7fffff | 0x800000
    if e == 0:
        return 0
    shift = e - 150 + 32
    if shift >= 0:
        n = m << shift if shift <= 24 else 1 << 48
    else:
        n = (m + (1 << -shift - 1)) >> -shift if shift >= -24 else 0
    n = min(n, 1 << 48)
    return -n if bits >> 31 else n


def as_float32(x):
    """The bits of the f32 at x * 2^-32: bit by bit, an odd half goes up when
    the bit above it is set."""
    sign, size, exponent = (1 << 31 if x < 0 else 0), abs(x), 118
    if size == 0:
        return sign
    while size >= 1 << 24:
        size = (size >> 1) + (size & 3 == 3)
        exponent += 1
    while size < 1 << 23:
        size <<= 1
        exponent -= 1
    return sign | exponent << 23 | size & 0x7fffff


def rounded(bits, kind):
    """An f32 rounded to a type."""
    sign, rest = bits >> 16 & 0x8000, bits & 0x7fffffff
    if kind.size == 4:
        return bits
    if kind.name == "BF16":
        if rest > 0x7f800000:
            return bits >> 16
        return (bits + 0x7fff + (bits >> 16 & 1)) >> 16
    if rest > 0x7f800000:
        return sign | 0x7e00
    if rest >= 0x477ff000:
        return sign | 0x7c00
    if rest >= 0x38800000:
        return sign | (rest - 0x38000000 + 0xfff + (rest >> 13 & 1)) >> 13
    return sign | nearest_half(units(rest))


class Group:
    def __init__(self, payload):
        self.coder = Coder(payload)
        self.sets = {}
        self.same, self.answers, self.mean_step = Slots(), 0, 0
        self.bits = {"d": 0, "m": 0}  # of the last blocks' differences

    def context(self, key, make):
        if key not in self.sets:
            self.sets[key] = make()
        return self.sets[key]

    def part(self, old_type, new_type, columns, values, old, followed):
        a, b = TYPES[old_type], TYPES[new_type]
        if b.size == 1:
            return self.integers(b, columns, values, old)
        if b.halves:
            return self.blocks(a, b, columns, values, old)
        return self.floats(a, b, columns, values, old, followed)

    # ---- section 9 ----

    def blocks(self, a, b, columns, values, old):
        is_same = a is b
        self.changed = not is_same
        self.history = 0
        wide = min(columns, 65536)
        self.acts = {"code": Activity(wide, 400, 128),
                     "d": Activity(wide // b.values, 64, 4),
                     "m": Activity(wide // b.values, 64, 4),
                     "scale": Activity(wide // b.part, 1024, 8),
                     "low": Activity(wide // b.part, 1024, 8)}
        out, row_end = [], columns
        for first in range(0, values, b.values):
            if first >= row_end:
                for act in self.acts.values():
                    act.end_row()
                row_end += columns
            if is_same:
                at = first // a.values * a.size
                raw = old[at:at + a.size]
                stays = self.coder.bit(self.same[self.answers])
                self.answers = (self.answers << 1 | stays) & 15
                if stays:  # nothing is learned of it
                    out.append(raw)
                    continue
                block = Block(a, raw)
                known = (block.d, block.m, block.grids, block.values(a))
            else:
                block = None
                v = [cut(x, -1 << 45, 1 << 45)
                     for x in old_values(a, old, first, b.values)]
                known = (*forecast_grids(b, v), v)
            out.append(self.block(b, first % columns, block, *known))
        return b"".join(out)

    def half(self, name, column, guess_bits, other, last, sign):
        wide = self.context((name, self.changed), Wide)
        act = self.acts[name]
        level = div(act.base() + act.column(column) - 16, 2) + 12
        move = wide.read(self.coder, 16, level, 8 * min(other, 7) + min(last, 7),
                         sign)
        size = min(abs(move), 4096)
        act.add(column, 16 * size)
        self.bits[name] = size.bit_length()
        return moved(guess_bits, move, 16), move

    def halves(self, b, column, d, m):
        """The halves d and m."""
        last_d, last_m = self.bits["d"], self.bits["m"]
        first, new_m = 0, 0
        if len(b.halves) > 1 and not b.mins:
            new_m, first = self.half("m", column, m, 0, last_m, 0)
            if first:
                step = half_number(new_m) - half_number(m)
                d = nearest_half(half_number(d) - div(step, b.divisor))
        other = self.bits["m"] if len(b.halves) > 1 and not b.mins else 0
        new_d, move = self.half("d", column, d, other, last_d,
                                3 + sign_of(first))
        if b.mins:
            new_m, _ = self.half("m", column, m, abs(move).bit_length(),
                                 last_m, sign_of(move))
        return new_d, new_m

    def integer(self, name, column, last, at, bits):
        small = self.context((name, self.changed), Small)
        act = self.acts[name]
        level = div(act.base() + act.column(column), 2)
        second = 3 * sign_of(last) + min(abs(last), 2)
        move = small.read(self.coder, level, second, at, (1 << bits) - 1)
        act.add(column, 4096 * abs(move))
        return at[0] + move, move

    def block(self, b, in_row, block, d, m, grids, values):
        column = in_row // b.values
        new_d, new_m = self.halves(b, column, d, m)
        scales, mins = [], []
        last = 0
        for p in range(b.parts if b.scales else 0):
            at = guess_integer(grids[p][0], half_number(new_d), b.scale_zero,
                               b.scale_bits, block.scales[p] if block else 0)
            value, last = self.integer("scale", column * b.parts + p, last,
                                       at, b.scale_bits)
            scales.append(value)
            if b.mins:
                at = guess_integer(-grids[p][1], half_number(new_m), 0,
                                   b.mins, block.mins[p] if block else 0)
                value, _ = self.integer("low", column * b.parts + p, last,
                                        at, b.mins)
                mins.append(value)
        if self.mean_step == 0:
            self.mean_step = abs(grids[0][0])
        codes = []
        for p in range(b.parts):
            new = grid(b, new_d, new_m, scales[p] if scales else 0,
                       mins[p] if mins else 0)
            if block is None and not b.scales and new_d == d and \
                    (len(b.halves) == 1 or new_m == m):
                new = grids[p]
            at = p * b.part
            codes += self.codes(
                b, in_row + at, new, values[at:at + b.part],
                block.codes[at:at + b.part] if block else [b.zero] * b.part)
        return pack(b, new_d, new_m, scales, mins, codes)

    def codes(self, b, column, new, values, olds):
        c = self.context((9 if b.uneven else b.bits, self.changed),
                         CodeContexts)
        act = self.acts["code"]
        step = abs(new[0])
        guesses = [guess(b, x, *new, o) for x, o in zip(values, olds)]
        bias = lg(step) - lg(self.mean_step)
        weight = cut(4096 * step // max(self.mean_step, 1), 64, 65536)
        base = act.base() - bias
        level = cut(div(lg(act.row()) - bias, 2), 0, 31)
        asis = self.coder.bit(c.all[level, self.history])
        self.history = (self.history << 1 | 1 - asis) & 7
        codes, last, count = [], 0, 0
        for i, at in enumerate(guesses):
            move = 0
            if not asis:
                level = div(base + act.column(column + i), 2)
                move = c.code.read(
                    self.coder, level, last + 4 * min(count, 3), at,
                    (1 << b.bits) - 1,
                    i == len(guesses) - 1 and count == 0)
                last = (last << 1 | (move != 0)) & 3
                count += move != 0
            act.add(column + i, min(abs(move), 16) * weight)
            codes.append(at[0] + move)
        self.mean_step += div(step - self.mean_step, 64)
        return codes

    # ---- section 10 ----

    def floats(self, a, b, columns, values, old, followed):
        width = 8 * b.size
        if a is b:
            form = "<%d%s" % (values, "I" if b.size == 4 else "H")
            guesses = list(struct.unpack(form, old))
        elif a.halves:
            guesses = [rounded(as_float32(x), b)
                       for x in old_values(a, old, 0, values)]
        else:
            guesses = [rounded(float32(a, old[i:i + a.size]), b)
                       for i in range(0, len(old), a.size)]
        place, mask = {"F16": (10, 31), "BF16": (7, 255),
                       "F32": (23, 255)}[b.name]

        def exponent(bits):
            return max(bits >> place & mask, 1)
        top = max(map(exponent, guesses))
        c = self.context(b.name if a is b else "other",
                         FloatContexts)
        spare, most = (8, 1 << 23) if b.size == 4 else (19, 4095)
        act = Activity(columns, 1 << 20, 128)
        is_followed = followed and a is b and b.size == 2 and \
            columns % 32 == 0 and columns <= 8192
        follower = Follower(columns, place, mask, top) if is_followed else None
        out, history, last = [], 0, 0
        row_end = columns
        for start in range(0, values, 32):
            if start >= row_end:  # at most one row's end at a time
                act.end_row()
                row_end += columns
            base = act.base()
            olds = guesses[start:start + 32]
            if follower:
                olds = follower.guesses(olds)
            asis = self.coder.bit(
                c.all[cut(div(lg(act.row()), 2), 0, 47), history])
            history = (history << 1 | 1 - asis) & 3
            new = []
            for i, bits in enumerate(olds):
                column = (start + i) % columns
                below = max(top - exponent(bits), 0)
                move = 0
                if not asis:
                    level = div(base + act.column(column) - 4 * spare
                                + 4 * below, 2) + 12
                    move = c.number.read(self.coder, width, level,
                                         8 * min(below, 7) + min(last, 7), 0)
                    last = abs(move).bit_length()
                act.add(column, (min(abs(move), most) << spare) >> min(below, 40))
                new.append(moved(bits, move, width))
            if follower:
                follower.learn(guesses[start:start + 32], new)
            out += new
        return struct.pack("<%d%s" % (values, "I" if width == 32 else "H"),
                           *out)


    # ---- section 12 ----

    def ratio(self, numbers, last, bits):
        """The next ratio, and the bits of its difference."""
        move = numbers.read(self.coder, 16, 10 + 2 * bits, 0, 0)
        return (last + move) % 65536, min(abs(move).bit_length(), 15)

    def integers(self, b, columns, values, old):
        flip = 128 if b.name == "I8" else 0
        numbers = self.context("ratios", Wide)
        c = self.context((8, False), CodeContexts)
        act = Activity(columns, 400, 128)
        mode = self.coder.plain(2)
        ratio, bits, history, ratios, out = 1 << 14, 4, 0, [], bytearray()
        if mode == 1:
            ratio, bits = self.ratio(numbers, ratio, bits)
        if mode == 3:
            for _ in range(min(columns, values, 65536)):
                ratio, bits = self.ratio(numbers, ratio, bits)
                ratios.append(ratio)
        for at in range(0, values, columns):
            if mode == 2:
                ratio, bits = self.ratio(numbers, ratio, bits)
            end = min(at + columns, values)
            for start in range(at, end, 32):
                first = start - at
                run = [x ^ flip for x in old[start:min(start + 32, end)]]
                guesses = [guess_at(
                    (((x - 128) * (ratios[(first + i) % 65536] if ratios
                                   else ratio) + 8) >> 4) + 131072, 255)
                    for i, x in enumerate(run)]
                asis = self.coder.bit(
                    c.all[cut(div(lg(act.row()), 2), 0, 31), history])
                history = (history << 1 | 1 - asis) & 7
                base, last, count = act.base(), 0, 0
                for i, guessed in enumerate(guesses):
                    move = 0
                    if not asis:
                        level = div(base + act.column(first + i), 2)
                        move = c.code.read(
                            self.coder, level, last + 4 * min(count, 3),
                            guessed, 255,
                            i == len(guesses) - 1 and count == 0)
                        last = (last << 1 | (move != 0)) & 3
                        count += move != 0
                    act.add(first + i, min(abs(move), 16) * 4096)
                    out.append((guessed[0] + move) ^ flip)
            act.end_row()
        return bytes(out)


def old_values(a, old, first, count):
    """Values of the old tensor in units of 2^-32."""
    if not a.halves:
        return [units(float32(a, old[i * a.size:(i + 1) * a.size]))
                for i in range(first, first + count)]
    out = []
    low, high = first // a.values, -(-(first + count) // a.values)
    for i in range(low, high):
        out += Block(a, old[i * a.size:(i + 1) * a.size]).values(a)
    return out[first - low * a.values:][:count]
