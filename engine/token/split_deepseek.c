/* The pre-tokenizer of deepseek-llm: six expressions, each over the pieces
 * that those before it left.
 *
 *  [\r\n] | \s?[letters]+ | \s?[marks]+ | \s+$ | [ideographs]+ | \p{N}+
 *
 * "letters" are those of cased scripts, "ideographs" U+0800 to U+9FA5 and
 * U+AC00 to U+D7FF.  The ends of the pieces at hand, one for each
 * expression, are kept, so that a text is read a fixed number of times. */
#include "engine/token/split.h"

#include "engine/token/unicode.h"

struct span {
    uint32_t first;
    uint32_t last;
};

/* clang-format off */
static const struct span letters[] = {
    {0x41, 0x5a},
    {0x61, 0x7a},
    {0xb5, 0xb5},
    {0xc0, 0xd6},
    {0xd8, 0xf6},
    {0xf8, 0x1ba},
    {0x1bc, 0x1bf},
    {0x1c4, 0x293},
    {0x295, 0x2af},
    {0x370, 0x373},
    {0x376, 0x377},
    {0x37b, 0x37d},
    {0x37f, 0x37f},
    {0x386, 0x386},
    {0x388, 0x38a},
    {0x38c, 0x38c},
    {0x38e, 0x3a1},
    {0x3a3, 0x3f5},
    {0x3f7, 0x481},
    {0x48a, 0x52f},
    {0x531, 0x556},
    {0x10a0, 0x10c5},
    {0x13a0, 0x13f5},
    {0x13f8, 0x13fd},
    {0x1c90, 0x1cba},
    {0x1cbd, 0x1cbf},
    {0x1d00, 0x1d2b},
    {0x1d6b, 0x1d77},
    {0x1d79, 0x1d9a},
    {0x1e00, 0x1f15},
    {0x1f18, 0x1f1d},
    {0x1f20, 0x1f45},
    {0x1f48, 0x1f4d},
    {0x1f50, 0x1f57},
    {0x1f59, 0x1f59},
    {0x1f5b, 0x1f5b},
    {0x1f5d, 0x1f5d},
    {0x1f5f, 0x1f7d},
    {0x1f80, 0x1fb4},
    {0x1fb6, 0x1fbc},
    {0x1fbe, 0x1fbe},
    {0x1fc2, 0x1fc4},
    {0x1fc6, 0x1fcc},
    {0x1fd0, 0x1fd3},
    {0x1fd6, 0x1fdb},
    {0x1fe0, 0x1fec},
    {0x1ff2, 0x1ff4},
    {0x1ff6, 0x1ffc},
    {0x2102, 0x2102},
    {0x2107, 0x2107},
    {0x210a, 0x2113},
    {0x2115, 0x2115},
    {0x2119, 0x211d},
    {0x2124, 0x2124},
    {0x2126, 0x2126},
    {0x2128, 0x2128},
    {0x212a, 0x212d},
    {0x212f, 0x2134},
    {0x2139, 0x2139},
    {0x213c, 0x213f},
    {0x2145, 0x2149},
    {0x214e, 0x214e},
    {0x2183, 0x2184},
    {0x2c00, 0x2c7b},
    {0x2c7e, 0x2ce4},
    {0x2ceb, 0x2cee},
    {0x2cf2, 0x2cf3},
    {0xa640, 0xa66d},
    {0xa680, 0xa69b},
    {0xa722, 0xa76f},
    {0xa771, 0xa787},
    {0xa78b, 0xa78e},
    {0xab70, 0xabbf},
    {0xfb00, 0xfb06},
    {0xfb13, 0xfb17},
    {0xff21, 0xff3a},
    {0xff41, 0xff5a},
    {0x10400, 0x1044f},
    {0x104b0, 0x104d3},
    {0x104d8, 0x104fb},
    {0x10c80, 0x10cb2},
    {0x10cc0, 0x10cf2},
    {0x118a0, 0x118df},
    {0x1e900, 0x1e943},
};
static const struct span marks[] = {
    {0x21, 0x2f},
    {0x3a, 0x7e},
    {0x2018, 0x201f},
    {0x3000, 0x3002},
    {0xff01, 0xff0f},
    {0xff1a, 0xff5e},
};
static const struct span ideographs[] = {
    {0x800, 0x9fa5},
    {0xac00, 0xd7ff},
};
/* clang-format on */

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

static bool is_in(const struct span *spans, size_t count, uint32_t code)
{
    size_t low = 0;
    size_t high = count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (code > spans[middle].last) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < count && code >= spans[low].first;
}

enum level { NEWLINE, LETTERS, MARKS, BLANKS, IDEOGRAPHS, NUMBERS, LEVELS };
_Static_assert(LEVELS == FLO_SPLIT_LEVELS, "split.h");

static bool is_of(enum level level, uint32_t code, enum flo_unicode_class is)
{
    switch (level) {
    case NEWLINE:
        return code == '\r' || code == '\n';
    case LETTERS:
        return is_in(letters, COUNT(letters), code);
    case MARKS: /* an ideographic space counts as a blank only */
        return is != FLO_UNICODE_BLANK && is_in(marks, COUNT(marks), code);
    case BLANKS:
        return is == FLO_UNICODE_BLANK;
    case IDEOGRAPHS:
        return is != FLO_UNICODE_BLANK &&
               is_in(ideographs, COUNT(ideographs), code);
    case NUMBERS:
    case LEVELS:
        break;
    }
    return is == FLO_UNICODE_NUMBER;
}

/* Where the piece that begins at `at` ends for this expression: behind its
 * match if one begins there, else where the next match begins. */
static size_t piece_end(enum level level, const char *text, size_t at,
                        size_t end)
{
    bool may_lead = level == LETTERS || level == MARKS;
    size_t start = at;
    size_t lead = end;      /* a blank that directly precedes, or end */
    size_t run_start = end; /* of the run of matching characters, or end */
    while (at < end) {
        size_t taken;
        uint32_t code = flo_utf8_next(text + at, end - at, &taken);
        enum flo_unicode_class is = flo_unicode_class(code);
        if (is_of(level, code, is)) {
            if (run_start == end) {
                run_start = lead != end ? lead : at;
                if (run_start > start && level != BLANKS) {
                    return run_start;
                }
            }
            if (level == NEWLINE) {
                return at + taken;
            }
        } else if (run_start != end) {
            if (level != BLANKS) {
                return at;
            }
            run_start = end; /* only blanks at the very end count */
        }
        lead = may_lead && is == FLO_UNICODE_BLANK ? at : end;
        at += taken;
    }
    return level == BLANKS && run_start > start ? run_start : end;
}

size_t flo_split_deepseek(struct flo_split *split)
{
    size_t outer = split->bytes;
    for (int level = 0; level < LEVELS; level++) {
        if (split->ends[level] <= split->position) {
            split->ends[level] = piece_end((enum level)level, split->text,
                                           split->position, outer);
        }
        outer = split->ends[level];
    }
    return outer;
}
