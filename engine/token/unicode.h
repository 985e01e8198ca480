/* Unicode: UTF-8, and the character sets that tokenizers need: letters, numbers
 * and blanks.  The tables are built in; the C locale is not used. */
#ifndef FLOTILLA_ENGINE_UNICODE_H
#define FLOTILLA_ENGINE_UNICODE_H

#include <flotilla/base.h>

/* Sets of characters. */
enum flo_unicode_set {
    FLO_UNICODE_UPPER = 1, /* a letter except a-z */
    FLO_UNICODE_LOWER = 2, /* a letter except A-Z */
    FLO_UNICODE_LETTER = FLO_UNICODE_UPPER | FLO_UNICODE_LOWER,
    FLO_UNICODE_NUMBER = 4,
    FLO_UNICODE_INLINE = 8, /* a blank that is no line end */
    FLO_UNICODE_NEWLINE = 16,
    FLO_UNICODE_BLANK = FLO_UNICODE_INLINE | FLO_UNICODE_NEWLINE,
    FLO_UNICODE_CASED = 32, /* character classes of deepseek-llm */
    FLO_UNICODE_MARK = 64,
    FLO_UNICODE_IDEOGRAPH = 128,
    FLO_UNICODE_PUNCTUATION = 256, /* and $+<=>^~| */
    FLO_UNICODE_SIGN = 512,        /* neither letter, number nor blank */
    FLO_UNICODE_SPACE = 1024,
    FLO_UNICODE_SLASH = 2048,
    FLO_UNICODE_DIGIT = 4096, /* 0-9 */
};

/* In unicode_table.c: the sets of ASCII; then the first ten sets, as changes at
 * code points: code << FLO_UNICODE_TABLE_BITS | sets. */
#define FLO_UNICODE_TABLE_BITS 10
extern const uint16_t flo_unicode_ascii[128];
extern const size_t flo_unicode_change_count;
extern const uint32_t flo_unicode_changes[];

unsigned flo_unicode_sets_beyond_ascii(uint32_t code);
static inline unsigned flo_unicode_sets(uint32_t code)
{
    return code < 128 ? flo_unicode_ascii[code] : flo_unicode_sets_beyond_ascii(code);
}

/* Returns the code point at `text`, which has `bytes` > 0 left, and its length
 * in *taken.  A byte that begins no complete, shortest, valid sequence is
 * U+FFFD of length 1. */
uint32_t flo_utf8_next(const char *text, size_t bytes, size_t *taken);
/* Appends text, with each invalid byte as U+FFFD.  With `holds`, an incomplete
 * sequence at the end is left out; returns its bytes. */
#define FLO_UTF8_REPLACEMENT "\xef\xbf\xbd"
size_t flo_utf8_add(struct flo_buf *out, const char *text, size_t bytes, bool holds);

#endif
