/* Unicode: UTF-8, and the properties of characters that tokenizers need.  The
 * tables are built in; the C locale is not used. */
#ifndef FLOTILLA_ENGINE_UNICODE_H
#define FLOTILLA_ENGINE_UNICODE_H

#include <flotilla/base.h>

#define FLO_UNICODE_CODE_MAX 0x10ffffu

/* General categories, in the order of their names. */
enum flo_unicode_category {
    FLO_UNICODE_CC,
    FLO_UNICODE_CF,
    FLO_UNICODE_CN,
    FLO_UNICODE_CO,
    FLO_UNICODE_CS,
    FLO_UNICODE_LL,
    FLO_UNICODE_LM,
    FLO_UNICODE_LO,
    FLO_UNICODE_LT,
    FLO_UNICODE_LU,
    FLO_UNICODE_MC,
    FLO_UNICODE_ME,
    FLO_UNICODE_MN,
    FLO_UNICODE_ND,
    FLO_UNICODE_NL,
    FLO_UNICODE_NO,
    FLO_UNICODE_PC,
    FLO_UNICODE_PD,
    FLO_UNICODE_PE,
    FLO_UNICODE_PF,
    FLO_UNICODE_PI,
    FLO_UNICODE_PO,
    FLO_UNICODE_PS,
    FLO_UNICODE_SC,
    FLO_UNICODE_SK,
    FLO_UNICODE_SM,
    FLO_UNICODE_SO,
    FLO_UNICODE_ZL,
    FLO_UNICODE_ZP,
    FLO_UNICODE_ZS,
    FLO_UNICODE_CATEGORY_COUNT,
};

/* Runs of characters whose lower case is `delta` away: each `step`th one from
 * first to last. */
struct flo_unicode_run {
    uint32_t first, last;
    uint32_t step;
    int32_t delta;
};

/* Runs of characters with a compatibility decomposition that is not the canonical one: the
 * first and the `more` after it.  `value` is where a text of `bytes` begins in
 * flo_unicode_texts; without bytes it is what the first becomes, and the others count on. */
struct flo_unicode_form {
    uint32_t first, more, bytes, value;
};

/* Tables of the folder unicode/, which tools/make_unicode.py writes.  The first two have
 * the code points where a property changes, above the bits of its new value. */
#define FLO_UNICODE_CATEGORY_BITS 5
#define FLO_UNICODE_CLASS_BITS 8
#define FLO_UNICODE_CODE_BITS 21
extern const size_t flo_unicode_categories_count, flo_unicode_classes_count;
extern const uint32_t flo_unicode_categories[], flo_unicode_classes[];
/* Canonical decompositions by code point: the code point, the first and the
 * second character, or 0 for none, with 21 bits each. */
extern const size_t flo_unicode_pairs_count;
extern const uint64_t flo_unicode_pairs[];
/* Places in flo_unicode_pairs of those that are composed, by their halves. */
extern const size_t flo_unicode_composed_count;
extern const uint16_t flo_unicode_composed[];
extern const size_t flo_unicode_lower_count;
extern const struct flo_unicode_run flo_unicode_lower[];
extern const size_t flo_unicode_compatible_count, flo_unicode_texts_count;
extern const struct flo_unicode_form flo_unicode_compatible[];
extern const uint8_t flo_unicode_texts[];

/* Returns the value that holds for a code point in a table of changes. */
uint32_t flo_unicode_value(const uint32_t *changes, size_t count, unsigned bits, uint32_t code);
enum flo_unicode_category flo_unicode_category(uint32_t code);
/* Tells whether the character has the property White_Space. */
bool flo_unicode_is_blank(uint32_t code);
/* Tells whether the category is one of P*. */
static inline bool flo_unicode_is_punctuation(enum flo_unicode_category category)
{
    return category >= FLO_UNICODE_PC && category <= FLO_UNICODE_PS;
}
/* Returns the lower-case letter, or the character itself.  A letter whose lower
 * case is two characters counts as its own. */
uint32_t flo_unicode_to_lower(uint32_t code);

/* Returns the code point at `text`, which has `bytes` > 0 left, and writes its
 * length to *taken.  A byte that begins no complete, shortest, valid sequence
 * counts as U+FFFD of length 1. */
uint32_t flo_utf8_next(const char *text, size_t bytes, size_t *taken);
/* Appends the text, with U+FFFD for each invalid byte.  If `holds`, an
 * incomplete sequence at the end is not appended.  Returns its length. */
#define FLO_UTF8_REPLACEMENT "\xef\xbf\xbd"
size_t flo_utf8_add(struct flo_buf *out, const char *text, size_t bytes, bool holds);

#endif
