/* Unicode as tokenizers need it: UTF-8, and letters, numbers and blanks.
 * Own tables; the C locale is never asked. */
#ifndef FLOTILLA_ENGINE_UNICODE_H
#define FLOTILLA_ENGINE_UNICODE_H

#include <flotilla/base.h>

/* Sets that a character may be in. */
enum flo_unicode_set {
    FLO_UNICODE_UPPER = 1, /* a letter but a-z */
    FLO_UNICODE_LOWER = 2, /* a letter but A-Z */
    FLO_UNICODE_LETTER = FLO_UNICODE_UPPER | FLO_UNICODE_LOWER,
    FLO_UNICODE_NUMBER = 4,
    FLO_UNICODE_INLINE = 8, /* a blank that ends no line */
    FLO_UNICODE_NEWLINE = 16,
    FLO_UNICODE_BLANK = FLO_UNICODE_INLINE | FLO_UNICODE_NEWLINE,
    FLO_UNICODE_CASED = 32, /* the character classes of deepseek-llm */
    FLO_UNICODE_MARK = 64,
    FLO_UNICODE_IDEOGRAPH = 128,
    FLO_UNICODE_PUNCTUATION = 256, /* and $+<=>^~| */
    FLO_UNICODE_SIGN = 512,        /* no letter, number or blank */
    FLO_UNICODE_SPACE = 1024,
    FLO_UNICODE_SLASH = 2048,
    FLO_UNICODE_DIGIT = 4096, /* 0-9 */
};

/* unicode_table.c: the sets of ASCII, and after it the first ten, changing
 * from a code point on: code << FLO_UNICODE_TABLE_BITS | sets. */
#define FLO_UNICODE_TABLE_BITS 10
extern const uint16_t flo_unicode_ascii[128];
extern const size_t flo_unicode_change_count;
extern const uint32_t flo_unicode_changes[];

unsigned flo_unicode_sets_beyond_ascii(uint32_t code);
static inline unsigned flo_unicode_sets(uint32_t code)
{
    return code < 128 ? flo_unicode_ascii[code] : flo_unicode_sets_beyond_ascii(code);
}

/* The code point at `text`, which has `bytes` > 0 left, and its length in
 * *taken.  A byte that begins no complete, shortest, allowed sequence is
 * U+FFFD of length 1. */
uint32_t flo_utf8_next(const char *text, size_t bytes, size_t *taken);
/* Append text with each bad byte as U+FFFD.  With `holds` the beginning of a
 * sequence at the end is left out; returns how many bytes that are. */
#define FLO_UTF8_REPLACEMENT "\xef\xbf\xbd"
size_t flo_utf8_add(struct flo_buf *out, const char *text, size_t bytes, bool holds);

#endif
