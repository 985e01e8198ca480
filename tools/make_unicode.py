#!/usr/bin/env python3
"""Write engine/token/unicode/: what tokenizers ask about characters, as numbers that the
build makes arrays of (cmake/embed_numbers.cmake; engine/token/unicode.h).

  python3 tools/make_unicode.py            # all
  python3 tools/make_unicode.py --check    # the tables against this Python

The tables are the general categories, canonical and compatibility
decompositions, combining classes and lower case, of Unicode 15.1.0 (which Python 3.13
carries, or the package unicodedata2 of that version); the check passes over characters that only the newer one of the
table and this Python knows."""
import pathlib
import re
import struct
import sys

try:
    import unicodedata2 as unicodedata
except ImportError:
    import unicodedata

FOLDER = pathlib.Path(__file__).parent / "../engine/token/unicode"
# Characters that came after Unicode 11, of which PyPI's tokenizers 0.23.3 makes no others.
LATER = [(0x32ff, 0x32ff), (0xa7f2, 0xa7f4), (0xab69, 0xab69), (0x10780, 0x107bf),
         (0x1e030, 0x1e06d), (0x1f16c, 0x1f16c), (0x1fbf0, 0x1fbf9)]
# As enum flo_unicode_category of engine/token/unicode.h.
CATEGORIES = re.findall("..", "CcCfCnCoCsLlLmLoLtLuMcMeMnNdNlNo"
                        "PcPdPePfPiPoPsScSkSmSoZlZpZs")
CODES = range(0x110000)
CODE_BITS = 21


def changes(value, bits):
    """Code points where a property of characters changes, with its value."""
    found, before = [], None
    for code in CODES:
        now = value(chr(code))
        if now != before:
            found.append(code << bits | now)
            before = now
    return found


def category(char):
    return CATEGORIES.index(unicodedata.category(char))


def decompositions():
    """Canonical ones by code point: code, first, second (0: none).  Hangul is
    computed.  A pair that is never composed is told by the other list."""
    pairs, composed = [], []
    for code in CODES:
        text = unicodedata.decomposition(chr(code))
        if text and not text.startswith("<"):
            parts = [int(part, 16) for part in text.split()] + [0]
            pairs.append(code << 2 * CODE_BITS | parts[0] << CODE_BITS |
                         parts[1])
            both = "".join(chr(part) for part in parts[:2] if part)
            if parts[1] and unicodedata.normalize("NFC", both) == chr(code):
                composed.append((parts[0], parts[1], len(pairs) - 1))
    return pairs, [place for _, _, place in sorted(composed)]


def lower_runs():
    """Runs of upper-case letters: first, last, step, what is added."""
    runs = []
    for code in CODES:
        lower = chr(code).lower()
        if len(lower) != 1 or lower == chr(code) or \
                unicodedata.category(chr(code)) == "Cn":
            continue
        delta = ord(lower) - code
        last = runs[-1] if runs else None
        if last and last[3] == delta and code - last[1] in (1, 2) and \
                (last[0] == last[1] or last[2] == code - last[1]):
            last[1], last[2] = code, code - last[1]
        else:
            runs.append([code, code, 1, delta])
    return runs


def compatible():
    """Runs of characters with another compatibility decomposition than their
    canonical one: first, last, bytes, and the character it is (counting on), or
    where its text begins."""
    runs, pool, places = [], b"", {}
    for code in CODES:
        text = unicodedata.normalize("NFKD", chr(code))
        is_later = any(first <= code <= last for first, last in LATER)
        if is_later or text == unicodedata.normalize("NFD", chr(code)):
            continue
        if len(text) > 1:
            utf8 = text.encode()
            place = pool.find(utf8) if utf8 in pool else len(pool)
            pool += b"" if utf8 in pool else utf8
            runs.append([code, code, len(utf8), place])
        elif runs and runs[-1][2] == 0 and runs[-1][1] == code - 1 and \
                ord(text) - code == runs[-1][3] - runs[-1][0]:
            runs[-1][1] = code
        else:
            runs.append([code, code, 0, ord(text)])
    return runs, pool


def packed(form, rows):
    return b"".join(struct.pack("<" + form, *row) for row in rows)


def write():
    pairs, composed = decompositions()
    runs, pool = compatible()
    for name, data in {
            "categories.u32": packed("I", zip(changes(category, 5))),
            "classes.u32": packed("I", zip(changes(unicodedata.combining, 8))),
            "pairs.u64": packed("Q", zip(pairs)),
            "composed.u16": packed("H", zip(composed)),
            "lower.struct_flo_unicode_run": packed("IIIi", lower_runs()),
            "compatible.struct_flo_unicode_form": packed("IIII", (
                (first, last - first, size, value) for first, last, size, value in runs)),
            "texts.u8": pool}.items():
        (FOLDER / name).write_bytes(data)


def read(name, form):
    return [value for value, in struct.iter_unpack(form, (FOLDER / name).read_bytes())]


def check():
    wrong = []
    categories, now = read("categories.u32", "<I"), CATEGORIES.index("Cn")
    for code in CODES:
        while categories and categories[0] >> 5 <= code:
            now = categories.pop(0) & 31
        have, wanted = CATEGORIES[now], unicodedata.category(chr(code))
        if have != wanted and "Cn" not in (have, wanted):
            wrong.append(f"U+{code:04X} is {have}, not {wanted}")
    known = {value >> 2 * CODE_BITS: value for value in read("pairs.u64", "<Q")}
    ours, _ = decompositions()
    wrong += [f"U+{pair >> 2 * CODE_BITS:04X} decomposes otherwise"
              for pair in ours if known.get(pair >> 2 * CODE_BITS) != pair]
    print("\n".join(wrong[:20]) or "the table is right")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(check() if "--check" in sys.argv else write())
