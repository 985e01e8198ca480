#!/usr/bin/env python3
"""Write engine/token/unicode_table.c: the ranges of letters, numbers and
blanks that pre-tokenizers ask for.

  python3 tools/make_unicode.py > engine/token/unicode_table.c

Letters and numbers are the general categories L* and N*; blanks are the
White_Space property.  The table names the Unicode version that this Python
carries; a newer one only adds characters."""
import sys
import unicodedata

BLANKS = [*range(0x09, 0x0E), 0x20, 0x85, 0xA0, 0x1680,
          *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x205F, 0x3000]


def kind(code):
    if code in BLANKS:
        return "BLANK"
    category = unicodedata.category(chr(code))[0]
    return {"L": "LETTER", "N": "NUMBER"}.get(category)


def ranges():
    start, last = 0, None
    for code in range(0x110000 + 1):
        now = kind(code) if code < 0x110000 else None
        if now != last:
            if last is not None:
                yield start, code - 1, last
            start, last = code, now


def main():
    rows = list(ranges())
    print(f"""/* Made by tools/make_unicode.py from Unicode {unicodedata.unidata_version}; do not edit. */
#include "engine/token/unicode.h"

/* clang-format off */
const size_t flo_unicode_range_count = {len(rows)};
const struct flo_unicode_range flo_unicode_ranges[{len(rows)}] = {{""")
    for first, last, name in rows:
        print(f"    {{0x{first:05X}, 0x{last:05X}, FLO_UNICODE_{name}}},")
    print("};\n/* clang-format on */")


if __name__ == "__main__":
    sys.exit(main())
