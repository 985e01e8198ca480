/* Unicode: finds the properties of a character by binary search, and reads
 * UTF-8 strictly, one code point at a time. */
#include "engine/token/unicode.h"

uint32_t flo_unicode_value(const uint32_t *changes, size_t count, unsigned bits, uint32_t code)
{
    size_t low = 0, high = count;
    while (low < high) { /* at the end `low` is the first change after the code point */
        size_t middle = low + (high - low) / 2;
        if (changes[middle] >> bits <= code) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    /* The table's first change is at 0, so `low` is at least 1. */
    return changes[low - 1] & ((1u << bits) - 1);
}

enum flo_unicode_category flo_unicode_category(uint32_t code)
{
    return (enum flo_unicode_category)flo_unicode_value(
        flo_unicode_categories, flo_unicode_categories_count, FLO_UNICODE_CATEGORY_BITS, code);
}

bool flo_unicode_is_blank(uint32_t code)
{
    return (code >= 0x09 && code <= 0x0d) || code == ' ' || code == 0x85 || code == 0xa0 ||
           code == 0x1680 || (code >= 0x2000 && code <= 0x200a) || code == 0x2028 ||
           code == 0x2029 || code == 0x202f || code == 0x205f || code == 0x3000;
}

uint32_t flo_unicode_to_lower(uint32_t code)
{
    size_t low = 0;
    size_t high = flo_unicode_lower_count;
    while (low < high) { /* at the end `low` is the first run that ends at the code or later */
        size_t middle = low + (high - low) / 2;
        if (flo_unicode_lower[middle].last < code) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    const struct flo_unicode_run *run = &flo_unicode_lower[low];
    if (low == flo_unicode_lower_count || code < run->first ||
        (code - run->first) % run->step != 0) {
        return code;
    }
    return (uint32_t)((int32_t)code + run->delta);
}

/* Returns how many bytes a sequence has that begins with this byte; 0 if none
 * begins so. */
static size_t sequence_bytes(unsigned char lead)
{
    if (lead < 0x80) {
        return 1;
    }
    if (lead < 0xc2 || lead > 0xf4) {
        return 0;
    }
    return lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
}

uint32_t flo_utf8_next(const char *text, size_t bytes, size_t *taken)
{
    static const uint32_t least[5] = {0, 0, 0x80, 0x800, 0x10000};
    const unsigned char *p = (const unsigned char *)text;
    size_t need = sequence_bytes(p[0]);
    *taken = 1;
    if (need == 1) {
        return p[0];
    }
    if (need == 0 || need > bytes) {
        return 0xfffd;
    }
    uint32_t code = p[0] & (0x7fu >> need);
    for (size_t i = 1; i < need; i++) {
        if ((p[i] & 0xc0) != 0x80) {
            return 0xfffd;
        }
        code = code << 6 | (p[i] & 0x3f);
    }
    if (code < least[need] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) {
        return 0xfffd;
    }
    *taken = need;
    return code;
}

/* Tells whether more bytes could complete the sequence that begins here. */
static bool may_grow(const char *text, size_t bytes)
{
    if (bytes >= sequence_bytes((unsigned char)text[0])) {
        return false;
    }
    for (size_t i = 1; i < bytes; i++) {
        if (((unsigned char)text[i] & 0xc0) != 0x80) {
            return false;
        }
    }
    return true;
}

size_t flo_utf8_add(struct flo_buf *out, const char *text, size_t bytes, bool holds)
{
    for (size_t at = 0; at < bytes; at++) {
        size_t good = flo_utf8_valid(text + at, bytes - at);
        flo_buf_add(out, text + at, good);
        at += good;
        if (at < bytes && holds && may_grow(text + at, bytes - at)) {
            return bytes - at;
        }
        if (at < bytes) {
            flo_buf_text(out, FLO_UTF8_REPLACEMENT);
        }
    }
    return 0;
}
