/* Normalize: decomposes, sorts and composes characters. */
#include "engine/token/normalize.h"

#include <stdlib.h>

#include "engine/token/unicode.h"

#define CODE_MASK ((1u << FLO_UNICODE_CODE_BITS) - 1)
/* Hangul syllables, which are computed from their letters. */
#define HANGUL 0xac00u
#define HANGUL_COUNT 11172u
#define LEADS 0x1100u
#define LEAD_COUNT 19u
#define VOWELS 0x1161u
#define VOWEL_COUNT 21u
#define TAILS 0x11a7u /* one before the first */
#define TAIL_COUNT 28u
/* Every character below is composed already, and is no mark. */
#define FIRST_MARK 0x300u
#define FIRST_PAIR 0xc0u       /* every character below stays as it is when decomposed, too */
#define FIRST_COMPATIBLE 0xa0u /* and in both forms for compatibility */

/* ---- single characters ---- */

static uint64_t find_pair(uint32_t code)
{
    size_t low = 0, high = flo_unicode_pairs_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (flo_unicode_pairs[middle] >> 2 * FLO_UNICODE_CODE_BITS < code) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    bool hit = low < flo_unicode_pairs_count &&
               flo_unicode_pairs[low] >> 2 * FLO_UNICODE_CODE_BITS == code;
    return hit ? flo_unicode_pairs[low] : 0;
}

size_t flo_unicode_decompose(uint32_t code, uint32_t out[FLO_DECOMPOSED_MAX])
{
    uint32_t tails[FLO_DECOMPOSED_MAX]; /* second halves, the last one first */
    size_t count = 0, tail_count = 0;
    uint64_t pair;
    if (code - HANGUL < HANGUL_COUNT) {
        uint32_t index = code - HANGUL, tail = index % TAIL_COUNT;
        out[0] = LEADS + index / (VOWEL_COUNT * TAIL_COUNT);
        out[1] = VOWELS + index / TAIL_COUNT % VOWEL_COUNT;
        out[2] = TAILS + tail;
        return tail != 0 ? 3 : 2;
    }
    while (tail_count < FLO_DECOMPOSED_MAX - 1 && (pair = find_pair(code)) != 0) {
        code = (uint32_t)(pair >> FLO_UNICODE_CODE_BITS) & CODE_MASK;
        if ((pair & CODE_MASK) != 0) {
            tails[tail_count++] = (uint32_t)pair & CODE_MASK;
        }
    }
    out[count++] = code;
    while (tail_count > 0) {
        out[count++] = tails[--tail_count];
    }
    return count;
}

/* Returns the row of a character, or NULL. */
static const struct flo_unicode_form *find_compatible(uint32_t code)
{
    size_t low = 0, high = flo_unicode_compatible_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (flo_unicode_compatible[middle].first + flo_unicode_compatible[middle].more < code) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < flo_unicode_compatible_count && flo_unicode_compatible[low].first <= code
               ? &flo_unicode_compatible[low]
               : NULL;
}

/* Returns the character that two characters are composed to; 0 if they stay
 * apart. */
static uint32_t compose(uint32_t first, uint32_t second)
{
    uint64_t wanted = (uint64_t)first << FLO_UNICODE_CODE_BITS | second;
    uint64_t mask = ((uint64_t)1 << 2 * FLO_UNICODE_CODE_BITS) - 1;
    size_t low = 0, high = flo_unicode_composed_count;
    if (first - LEADS < LEAD_COUNT && second - VOWELS < VOWEL_COUNT) {
        return HANGUL + ((first - LEADS) * VOWEL_COUNT + (second - VOWELS)) * TAIL_COUNT;
    }
    if (first - HANGUL < HANGUL_COUNT && (first - HANGUL) % TAIL_COUNT == 0 &&
        second - TAILS - 1 < TAIL_COUNT - 1) {
        return first + (second - TAILS);
    }
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if ((flo_unicode_pairs[flo_unicode_composed[middle]] & mask) < wanted) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if (low == flo_unicode_composed_count) {
        return 0;
    }
    uint64_t pair = flo_unicode_pairs[flo_unicode_composed[low]];
    return (pair & mask) == wanted ? (uint32_t)(pair >> 2 * FLO_UNICODE_CODE_BITS) : 0;
}

/* Returns the canonical combining class; 0 for a character that marks follow. */
static uint8_t class_of(uint32_t code)
{
    return (uint8_t)flo_unicode_value(flo_unicode_classes, flo_unicode_classes_count,
                                      FLO_UNICODE_CLASS_BITS, code);
}

/* ---- texts ---- */

/* A character and the marks after it, each as class, place and code. */
struct cluster {
    uint32_t base; /* NONE: the text begins with marks */
    struct flo_buf marks;
    uint64_t mark_count;
    bool stays_apart; /* characters are not composed again */
};
#define CLASS_SHIFT 56
#define NONE UINT32_MAX

static void put(struct flo_buf *out, uint32_t code)
{
    char utf8[4];
    flo_buf_add(out, utf8, flo_utf8_put(code, utf8));
}

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* Composes the base with its marks.  Marks that stay are kept in order. */
static void compose_cluster(struct cluster *c)
{
    uint64_t *marks = (void *)c->marks.data;
    size_t kept = 0;
    uint8_t last_class = 0; /* class of the last mark that stays */
    if (c->mark_count == 0 || c->marks.failed) {
        return;
    }
    qsort(marks, c->mark_count, sizeof(*marks), by_value);
    for (size_t i = 0; i < c->mark_count; i++) {
        uint8_t class = (uint8_t)(marks[i] >> CLASS_SHIFT);
        uint32_t code = (uint32_t)marks[i] & CODE_MASK;
        uint32_t whole =
            c->base != NONE && last_class < class && !c->stays_apart ? compose(c->base, code) : 0;
        if (whole != 0) {
            c->base = whole;
        } else {
            marks[kept++] = marks[i];
            last_class = class;
        }
    }
    c->mark_count = kept;
}

static void flush(struct cluster *c, struct flo_buf *out)
{
    const uint64_t *marks = (const void *)c->marks.data;
    if (c->base != NONE) {
        put(out, c->base);
    }
    for (uint64_t i = 0; i < c->mark_count && !c->marks.failed; i++) {
        put(out, (uint32_t)marks[i] & CODE_MASK);
    }
    out->failed = out->failed || c->marks.failed;
    c->base = NONE;
    c->mark_count = 0;
    c->marks.bytes = 0;
}

static void add_code(struct cluster *c, uint32_t code, struct flo_buf *out)
{
    uint8_t class = class_of(code);
    if (class != 0) {
        uint64_t mark =
            (uint64_t) class << CLASS_SHIFT | c->mark_count++ << FLO_UNICODE_CODE_BITS | code;
        c->marks.bytes = (size_t)(c->mark_count - 1) * sizeof(mark);
        flo_buf_add(&c->marks, &mark, sizeof(mark));
        return;
    }
    compose_cluster(c);
    bool meets = c->base != NONE && c->mark_count == 0 && !c->stays_apart;
    uint32_t whole = meets ? compose(c->base, code) : 0;
    if (whole == 0) {
        flush(c, out);
    }
    c->base = whole != 0 ? whole : code;
}

/* Returns how many bytes at the beginning are characters below `most`, and are
 * followed by such a one. */
static size_t plain_bytes(const char *text, size_t bytes, uint32_t most)
{
    size_t at = 0, last = 0, taken;
    while (at < bytes) {
        if (flo_utf8_next(text + at, bytes - at, &taken) >= most) {
            return last;
        }
        last = at;
        at += taken;
    }
    return bytes;
}

/* Adds what a character is decomposed to. */
static void add_parts(struct cluster *c, uint32_t code, bool is_compatible, struct flo_buf *out)
{
    uint32_t codes[FLO_DECOMPOSED_MAX];
    const struct flo_unicode_form *row = is_compatible ? find_compatible(code) : NULL;
    size_t count = row == NULL ? flo_unicode_decompose(code, codes) : 0;
    if (row != NULL && row->bytes == 0) {
        codes[count++] = row->value + (code - row->first);
    }
    for (size_t i = 0; i < count; i++) {
        add_code(c, codes[i], out);
    }
    for (size_t at = 0, taken; row != NULL && at < row->bytes; at += taken) {
        add_code(c,
                 flo_utf8_next((const char *)flo_unicode_texts + row->value + at, row->bytes - at,
                               &taken),
                 out);
    }
}

void flo_text_normalize(struct flo_buf *out, const char *text, size_t bytes, unsigned form)
{
    bool is_compatible = (form & FLO_FORM_COMPATIBLE) != 0;
    struct cluster c = {.base = NONE,
                        .marks = {.bytes_max = SIZE_MAX / 2},
                        .stays_apart = (form & FLO_FORM_APART) != 0};
    uint32_t most = is_compatible ? FIRST_COMPATIBLE : c.stays_apart ? FIRST_PAIR : FIRST_MARK;
    for (size_t at = 0, taken; at < bytes; at += taken) {
        taken = c.base == NONE && c.mark_count == 0 ? plain_bytes(text + at, bytes - at, most) : 0;
        if (taken > 0) {
            flo_buf_add(out, text + at, taken);
            continue;
        }
        add_parts(&c, flo_utf8_next(text + at, bytes - at, &taken), is_compatible, out);
    }
    compose_cluster(&c);
    flush(&c, out);
    flo_buf_deinit(&c.marks);
}
