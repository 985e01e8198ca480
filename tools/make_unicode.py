#!/usr/bin/env python3
"""Write engine/token/unicode_table.c, unicode_forms.c and unicode_compat.def: what
tokenizers ask about characters.

  python3 tools/make_unicode.py            # all, by clang-format-14
  python3 tools/make_unicode.py --check    # the tables against this Python

The tables are the general categories, canonical and compatibility
decompositions, combining classes and lower case.  They name the Unicode version that this Python
carries (15.1 is in Python 3.13, or in the package unicodedata2 of that
version); the check passes over characters that only the newer one of the
table and this Python knows."""
import pathlib
import re
import subprocess
import sys
import textwrap

try:
    import unicodedata2 as unicodedata
except ImportError:
    import unicodedata

FOLDER = pathlib.Path(__file__).parent / "../engine/token"
TABLE, FORMS = FOLDER / "unicode_table.c", FOLDER / "unicode_forms.c"
COMPATIBLE = FOLDER / "unicode_compat.def"
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


def lines(calls):
    return textwrap.fill(" ".join(calls), 100, break_long_words=False) + "\n"


def write_compatible():
    runs, pool = compatible()
    COMPATIBLE.write_text(
        "/* Made by tools/make_unicode.py from Unicode %s; do not edit.\n"
        " * ROW(first, more, bytes, value): the bytes of a text, which begins there; 0: the\n"
        " * first character becomes this one, and those after it count on.  TEXT(byte) */\n"
        "#ifdef ROW\n%s#endif\n#ifdef TEXT\n%s#endif\n" % (
            unicodedata.unidata_version,
            lines("ROW(%d,%d,%d,%d)" % (first, last - first, size, value)
                  for first, last, size, value in runs),
            lines("TEXT(%s)" % ",".join(str(byte) for byte in pool[at:at + 24])
                  for at in range(0, len(pool), 24))), encoding="ascii")


def array(name, kind, values):
    return (f"const size_t flo_unicode_{name}_count = {len(values)};\n"
            f"const {kind} flo_unicode_{name}[{len(values)}] = {{" +
            ", ".join(values) + "};\n")


def numbers(name, kind, values):
    return array(name, kind, [f"{value:#x}" for value in values])


def write_file(path, parts):
    text = f"""/* Made by tools/make_unicode.py from Unicode \
{unicodedata.unidata_version}; do not edit. */
#include "engine/token/unicode.h"

""" + "\n".join(parts)
    path.write_bytes(subprocess.run(
        ["clang-format-14", "--assume-filename=a.c"], input=text.encode(),
        capture_output=True, check=True).stdout)


def write():
    pairs, composed = decompositions()
    write_compatible()
    write_file(TABLE, [numbers("categories", "uint32_t", changes(category, 5))])
    write_file(FORMS, [
        numbers("classes", "uint32_t", changes(unicodedata.combining, 8)),
        numbers("pairs", "uint64_t", pairs),
        numbers("composed", "uint16_t", composed),
        array("lower", "struct flo_unicode_run",
              [f"{{{a:#x}, {b:#x}, {step}, {delta}}}"
               for a, b, step, delta in lower_runs()])])


def read(text, name):
    body = re.search(rf"flo_unicode_{name}\[\d+\] = {{(.*?)}};", text, re.S)
    return [int(number, 16) for number in
            re.findall("0x[0-9a-f]+", body.group(1))]


def check():
    text = TABLE.read_text() + FORMS.read_text()
    wrong = []
    categories, now = read(text, "categories"), CATEGORIES.index("Cn")
    for code in CODES:
        while categories and categories[0] >> 5 <= code:
            now = categories.pop(0) & 31
        have, wanted = CATEGORIES[now], unicodedata.category(chr(code))
        if have != wanted and "Cn" not in (have, wanted):
            wrong.append(f"U+{code:04X} is {have}, not {wanted}")
    known = {value >> 2 * CODE_BITS: value for value in read(text, "pairs")}
    ours, _ = decompositions()
    wrong += [f"U+{pair >> 2 * CODE_BITS:04X} decomposes otherwise"
              for pair in ours if known.get(pair >> 2 * CODE_BITS) != pair]
    print("\n".join(wrong[:20]) or "the table is right")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(check() if "--check" in sys.argv else write())
