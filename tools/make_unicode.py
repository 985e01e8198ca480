#!/usr/bin/env python3
"""Write engine/token/unicode_table.c: which characters are letters, numbers
and so on, as pre-tokenizers ask.

  python3 tools/make_unicode.py | clang-format-14 --assume-filename=a.c \\
      > engine/token/unicode_table.c
  python3 tools/make_unicode.py --check    # the table against the rules below

Letters, numbers and punctuation are the general categories L*, N* and P*,
blanks are the White_Space property.  The table names the Unicode version that this Python
carries (15.1 is in Python 3.13); the check passes over characters that only
the newer one of the table and this Python knows."""
import pathlib
import re
import sys
import unicodedata

TABLE = pathlib.Path(__file__).parent / "../engine/token/unicode_table.c"
# As in enum flo_unicode_set of engine/token/unicode.h.
(UPPER, LOWER, NUMBER, INLINE, NEWLINE, CASED, MARK, IDEOGRAPH, PUNCTUATION,
 SIGN, SPACE, SLASH, DIGIT) = (1 << bit for bit in range(13))
TABLE_BITS = 10  # those up to SIGN are in the table behind ASCII
IN_TABLE = (1 << TABLE_BITS) - 1
BLANKS = [*range(0x09, 0x0E), 0x20, 0x85, 0xA0, 0x1680,
          *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x205F, 0x3000]
# As published with deepseek-llm, of which llama.cpp does not count a blank.
DEEPSEEK = [
    (CASED, re.compile(
        "[A-Za-z\u00b5\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u01ba\u01bc-\u01bf"
        "\u01c4-\u0293\u0295-\u02af\u0370-\u0373\u0376-\u0377\u037b-\u037d"
        "\u037f\u0386\u0388-\u038a\u038c\u038e-\u03a1\u03a3-\u03f5"
        "\u03f7-\u0481\u048a-\u052f\u0531-\u0556\u10a0-\u10c5\u13a0-\u13f5"
        "\u13f8-\u13fd\u1c90-\u1cba\u1cbd-\u1cbf\u1d00-\u1d2b\u1d6b-\u1d77"
        "\u1d79-\u1d9a\u1e00-\u1f15\u1f18-\u1f1d\u1f20-\u1f45\u1f48-\u1f4d"
        "\u1f50-\u1f57\u1f59\u1f5b\u1f5d\u1f5f-\u1f7d\u1f80-\u1fb4"
        "\u1fb6-\u1fbc\u1fbe\u1fc2-\u1fc4\u1fc6-\u1fcc\u1fd0-\u1fd3"
        "\u1fd6-\u1fdb\u1fe0-\u1fec\u1ff2-\u1ff4\u1ff6-\u1ffc\u2102\u2107"
        "\u210a-\u2113\u2115\u2119-\u211d\u2124\u2126\u2128\u212a-\u212d"
        "\u212f-\u2134\u2139\u213c-\u213f\u2145-\u2149\u214e\u2183-\u2184"
        "\u2c00-\u2c7b\u2c7e-\u2ce4\u2ceb-\u2cee\u2cf2-\u2cf3\ua640-\ua66d"
        "\ua680-\ua69b\ua722-\ua76f\ua771-\ua787\ua78b-\ua78e\uab70-\uabbf"
        "\ufb00-\ufb06\ufb13-\ufb17\uff21-\uff3a\uff41-\uff5a"
        "\U00010400-\U0001044f\U000104b0-\U000104d3\U000104d8-\U000104fb"
        "\U00010c80-\U00010cb2\U00010cc0-\U00010cf2\U000118a0-\U000118df"
        "\U0001e900-\U0001e943]")),
    (MARK, re.compile(
        "[!-/:-~\u2018-\u201f\u3000-\u3002\uff01-\uff0f\uff1a-\uff5e]")),
    (IDEOGRAPH, re.compile("[\u0800-\u9fa5\uac00-\ud7ff]")),
]


def sets(code):
    char = chr(code)
    category = unicodedata.category(char)[0]
    if code in BLANKS:
        return (NEWLINE if char in "\r\n" else INLINE) | SPACE * (char == " ")
    if category == "L":
        found = ((0 if "a" <= char <= "z" else UPPER) |
                 (0 if "A" <= char <= "Z" else LOWER))
    else:
        found = NUMBER if category == "N" else SIGN
    found |= SLASH * (char == "/") | DIGIT * ("0" <= char <= "9")
    found |= PUNCTUATION * (category == "P" or char in "$+<=>^~|")
    for bit, expression in DEEPSEEK:
        found |= bit if expression.match(char) else 0
    return found


def write():
    changes, before = [], 0
    for code in range(0x110000):
        now = sets(code) & IN_TABLE
        if code >= 0x80 and now != before:
            changes.append(code << TABLE_BITS | now)
            before = now
    version = unicodedata.unidata_version
    print(f"""/* Made by tools/make_unicode.py from Unicode {version}; do not edit. */
#include "engine/token/unicode.h"

const uint16_t flo_unicode_ascii[128] = {{""")
    print(", ".join(f"0x{sets(code):04x}" for code in range(128)))
    print(f"""}};

const size_t flo_unicode_change_count = {len(changes)};
const uint32_t flo_unicode_changes[{len(changes)}] = {{""")
    print(", ".join(f"{change:#x}" for change in changes) + "};")


def check():
    text = TABLE.read_text()
    version = re.search(r"Unicode ([\d.]+);", text).group(1)
    is_newer = float(unicodedata.unidata_version[:-2]) > float(version[:-2])
    ascii_sets, changes = (
        [int(number, 16) for number in re.findall("0x[0-9a-f]+", body)]
        for body in re.findall("{(.*?)}", text, re.S))
    wrong, now = [], 0
    for code in range(0x110000):
        while changes and changes[0] >> TABLE_BITS <= code:
            now = changes.pop(0) & IN_TABLE
        if code < 0x80:
            have, wanted = ascii_sets[code], sets(code)
        else:
            have, wanted = now, sets(code) & IN_TABLE
        known = UPPER | LOWER | NUMBER | PUNCTUATION
        is_new = (have & known == 0 if is_newer else
                  unicodedata.category(chr(code)) == "Cn")
        if (have ^ wanted) & ~(known | SIGN if is_new else 0):
            wrong.append(f"U+{code:04X} is {have:#x}, not {wanted:#x}")
    print("\n".join(wrong[:20]) or "the table is right")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(check() if "--check" in sys.argv else write())
