/* Unicode: UTF-8, and the character sets that tokenizers need: letters, numbers
 * and blanks.  The tables are built in; the C locale is not used. */
#ifndef FLOTILLA_ENGINE_UNICODE_H
#define FLOTILLA_ENGINE_UNICODE_H

#include <flotilla/base.h>

/* Sets of characters. */
enum flo_unicode_set {
    FLO_UNICODE_UPPER = 1, /* letters except a to z */
    FLO_UNICODE_LOWER = 2, /* letters except A to Z */
    FLO_UNICODE_LETTER = FLO_UNICODE_UPPER | FLO_UNICODE_LOWER,
    FLO_UNICODE_NUMBER = 4,
    FLO_UNICODE_INLINE = 8, /* blanks that are no line ends */
    FLO_UNICODE_NEWLINE = 16,
    FLO_UNICODE_BLANK = FLO_UNICODE_INLINE | FLO_UNICODE_NEWLINE,
    FLO_UNICODE_CASED = 32, /* from here on, character classes of deepseek-llm */
    FLO_UNICODE_MARK = 64,
    FLO_UNICODE_IDEOGRAPH = 128,
    FLO_UNICODE_PUNCTUATION = 256, /* and $+<=>^~| */
    FLO_UNICODE_SIGN = 512,        /* characters that are no letter, number or blank */
    FLO_UNICODE_SPACE = 1024,
    FLO_UNICODE_SLASH = 2048,
    FLO_UNICODE_DIGIT = 4096, /* 0-9 */
};

/* Tables in unicode_table.c.  The first has the sets of each ASCII character.
 * The other has the code points where the first ten sets change, as code <<
 * FLO_UNICODE_TABLE_BITS | sets. */
#define FLO_UNICODE_TABLE_BITS 10
extern const uint16_t flo_unicode_ascii[128];
extern const size_t flo_unicode_change_count;
extern const uint32_t flo_unicode_changes[];

unsigned flo_unicode_sets_beyond_ascii(uint32_t code);
static inline unsigned flo_unicode_sets(uint32_t code)
{
    return code < 128 ? flo_unicode_ascii[code] : flo_unicode_sets_beyond_ascii(code);
}

/* Returns the code point at `text`, which has `bytes` > 0 left, and writes its
 * length to *taken.  A byte that begins no complete, shortest, valid sequence
 * counts as U+FFFD of length 1. */
uint32_t flo_utf8_next(const char *text, size_t bytes, size_t *taken);
/* Appends the text, with U+FFFD for each invalid byte.  If `holds`, an
 * incomplete sequence at the end is not appended.  Returns its length. */
#define FLO_UTF8_REPLACEMENT "\xef\xbf\xbd"
size_t flo_utf8_add(struct flo_buf *out, const char *text, size_t bytes, bool holds);

#endif
