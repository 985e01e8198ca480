/* Unicode as tokenizers need it: UTF-8, and letter, number or blank.
 * Own tables; the C locale is never asked. */
#ifndef FLOTILLA_ENGINE_UNICODE_H
#define FLOTILLA_ENGINE_UNICODE_H

#include <stddef.h>
#include <stdint.h>

enum flo_unicode_class {
    FLO_UNICODE_OTHER,
    FLO_UNICODE_LETTER,
    FLO_UNICODE_NUMBER,
    FLO_UNICODE_BLANK,
};

struct flo_unicode_range {
    uint32_t first;
    uint32_t last;
    enum flo_unicode_class is;
};
extern const size_t flo_unicode_range_count;
extern const struct flo_unicode_range flo_unicode_ranges[];

enum flo_unicode_class flo_unicode_class(uint32_t code);

/* The code point at `text`, which has `bytes` > 0 left, and its length in
 * *taken.  A byte that begins no complete, shortest, allowed sequence is
 * U+FFFD of length 1. */
uint32_t flo_utf8_next(const char *text, size_t bytes, size_t *taken);
/* Write a code point below 0x110000; returns 1 to 4. */
size_t flo_utf8_put(uint32_t code, char out[4]);

#endif
