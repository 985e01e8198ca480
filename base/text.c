/* Text: checks names and UTF-8, and finds the nearest word. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <flotilla/base.h>
#include <flotilla/fit.h>
#include <flotilla/rows.h>

#include "base/digits.h"

/* Returns the bytes of the well-formed UTF-8 sequence at p, or 0 when there is
 * none.  Unicode table 3-7: no overlong form, no surrogate, no code point above
 * U+10FFFF. */
static size_t utf8_sequence(const unsigned char *p, size_t left)
{
    unsigned char low = 0x80;
    unsigned char high = 0xbf;
    size_t bytes = 0;

    if (p[0] < 0x80) {
        return 1;
    }
    if (p[0] >= 0xc2 && p[0] <= 0xdf) {
        bytes = 2;
    } else if (p[0] >= 0xe0 && p[0] <= 0xef) {
        bytes = 3;
        low = p[0] == 0xe0 ? 0xa0 : low;
        high = p[0] == 0xed ? 0x9f : high;
    } else if (p[0] >= 0xf0 && p[0] <= 0xf4) {
        bytes = 4;
        low = p[0] == 0xf0 ? 0x90 : low;
        high = p[0] == 0xf4 ? 0x8f : high;
    }
    if (bytes == 0 || bytes > left || p[1] < low || p[1] > high) {
        return 0;
    }
    for (size_t i = 2; i < bytes; i++) {
        if (p[i] < 0x80 || p[i] > 0xbf) {
            return 0;
        }
    }
    return bytes;
}

size_t flo_utf8_valid(const char *text, size_t bytes)
{
    uint64_t word;
    size_t i = 0;

    while (i < bytes) {
        if (bytes - i >= sizeof(word)) { /* skips ASCII, eight bytes at a time */
            memcpy(&word, text + i, sizeof(word));
            if ((word & UINT64_C(0x8080808080808080)) == 0) {
                i += sizeof(word);
                continue;
            }
        }
        size_t step = utf8_sequence((const unsigned char *)text + i, bytes - i);
        if (step == 0) {
            break;
        }
        i += step;
    }
    return i;
}

#define MISSING "…"
/* limit of a last word that is left out as a whole; a longer one is cut
 * inside */
#define CUT_BACK 24

/* Returns the end of the last whole word within `bytes`, or else of the last
 * whole character. */
static size_t cut_at(const char *text, size_t bytes)
{
    while (bytes > 0 && ((unsigned char)text[bytes] & 0xc0) == 0x80) {
        bytes--;
    }
    for (size_t i = bytes; i > 0 && bytes - i < CUT_BACK; i--) {
        if (text[i] == ' ') {
            return i;
        }
    }
    return bytes;
}

size_t flo_text_fit(const char *text, char *out, size_t bytes)
{
    size_t length = strlen(text);

    if (length < bytes) {
        memmove(out, text, length + 1);
        return length;
    }
    size_t kept = cut_at(text, bytes - sizeof(MISSING));
    memmove(out, text, kept);
    memcpy(out + kept, MISSING, sizeof(MISSING));
    return kept + sizeof(MISSING) - 1;
}

size_t flo_text_fitf(char *out, size_t bytes, const char *format, ...)
{
    char text[2048];
    va_list list;

    va_start(list, format);
    int chars = vsnprintf(text, sizeof(text), format, list);
    va_end(list);
    if (chars < 0) {
        text[0] = '\0';
    }
    /* A text that was cut may end in half a character, which is removed. */
    if (chars >= (int)sizeof(text) && bytes >= sizeof(text)) {
        bytes = sizeof(text) - 1;
    }
    return flo_text_fit(text, out, bytes);
}

size_t flo_utf8_put(uint32_t code, char out[4])
{
    static const uint8_t leads[5] = {0, 0, 0xc0, 0xe0, 0xf0};
    size_t bytes = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (size_t i = bytes - 1; i > 0; i--) {
        out[i] = (char)(0x80 | (code & 0x3f));
        code >>= 6;
    }
    out[0] = (char)(leads[bytes] | code);
    return bytes;
}

static bool is_name_character(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

size_t flo_text_unseen(const char *text)
{
    const unsigned char *at = (const unsigned char *)text;
    bool is_mark = at[0] == 0xe2 && ((at[1] == 0x80 && at[2] >= 0xa8 && at[2] <= 0xae) ||
                                     (at[1] == 0x81 && at[2] >= 0xa6 && at[2] <= 0xa9));

    if (at[0] == 0xc2) {
        return at[1] >= 0x80 && at[1] < 0xa0 ? 2 : 0;
    }
    return at[0] < 0x20 || at[0] == 0x7f ? 1 : is_mark ? 3 : 0;
}

bool flo_text_ends(const char *text, const char *end)
{
    size_t chars = strlen(text), end_chars = strlen(end);

    return chars >= end_chars && strcmp(text + chars - end_chars, end) == 0;
}

bool flo_text_is_line(const char *text)
{
    for (; *text != '\0'; text++) {
        if (flo_text_unseen(text) > 0) {
            return false;
        }
    }
    return true;
}

bool flo_name_is_valid(const char *name)
{
    if (name == NULL || !is_name_character(name[0])) {
        return false;
    }
    size_t i = 1;
    while (is_name_character(name[i]) || name[i] == '.' || name[i] == '_' || name[i] == '-') {
        if (++i > FLO_NAME_MAX) {
            return false;
        }
    }
    return name[i] == '\0';
}

bool flo_uuid_is_valid(const char *id)
{
    if (id == NULL) {
        return false;
    }
    for (size_t i = 0; i < 36; i++) {
        bool is_dash = i == 8 || i == 13 || i == 18 || i == 23;
        bool is_hex = (id[i] >= '0' && id[i] <= '9') || (id[i] >= 'a' && id[i] <= 'f');
        if (is_dash ? id[i] != '-' : !is_hex) {
            return false;
        }
    }
    return id[36] == '\0';
}

void flo_uuid_make(char *out)
{
    uint8_t b[16];
    char hex[33];

    flo_random(b, sizeof(b));
    b[6] = (uint8_t)((b[6] & 0x0f) | 0x40);
    b[8] = (uint8_t)((b[8] & 0x3f) | 0x80);
    flo_hex_encode(b, sizeof(b), hex);
    snprintf(out, 37, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12, hex + 16, hex + 20);
}

enum { WORD_MAX = 64 };

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Returns the edit distance (insert, remove, replace, swap of neighbours) of
 * two words of at most WORD_MAX characters. */
static size_t edit_distance(const char *a, size_t na, const char *b, size_t nb)
{
    size_t rows[3][WORD_MAX + 1];
    size_t *before = rows[0]; /* row i - 2 of the table */
    size_t *above = rows[1];
    size_t *row = rows[2];

    for (size_t j = 0; j <= nb; j++) {
        above[j] = j;
        before[j] = 0;
    }
    for (size_t i = 1; i <= na; i++) {
        row[0] = i;
        for (size_t j = 1; j <= nb; j++) {
            size_t edit = above[j - 1] + (a[i - 1] != b[j - 1]);
            edit = least(edit, least(above[j], row[j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
                edit = least(edit, before[j - 2] + 1);
            }
            row[j] = edit;
        }
        size_t *oldest = before;
        before = above;
        above = row;
        row = oldest;
    }
    return above[nb];
}

const char *flo_nearest(const char *word, const char *const *words, size_t count)
{
    const char *best = NULL;
    size_t best_edits = 0;
    size_t chars = strnlen(word, WORD_MAX + 1);

    if (chars == 0 || chars > WORD_MAX) {
        return NULL;
    }
    for (size_t i = 0; i < count; i++) {
        size_t other = strnlen(words[i], WORD_MAX + 1);
        if (other > WORD_MAX) {
            continue;
        }
        /* Up to a third of the word may differ, and always one character. */
        size_t edits_max = (chars > other ? chars : other) / 3;
        edits_max = edits_max < 1 ? 1 : edits_max;
        size_t edits = edit_distance(word, chars, words[i], other);
        if (edits <= edits_max && (best == NULL || edits < best_edits)) {
            best = words[i];
            best_edits = edits;
        }
    }
    return best;
}

void *flo_rows_find(const char *text, const void *rows, size_t count, size_t row_bytes,
                    size_t offset)
{
    for (const char *row = rows; count > 0; row += row_bytes, count--) {
        if (strcmp(row + offset, text) == 0) {
            return (void *)(uintptr_t)row;
        }
    }
    return NULL;
}

void *flo_rows_find_word(const char *text, const void *rows, size_t count, size_t row_bytes,
                         size_t offset)
{
    for (const char *row = rows; count > 0; row += row_bytes, count--) {
        const char *word = *(const char *const *)(const void *)(row + offset);
        if (word != NULL && strcmp(word, text) == 0) {
            return (void *)(uintptr_t)row;
        }
    }
    return NULL;
}

static bool is_digit(const char *text, size_t i, size_t bytes)
{
    return i < bytes && text[i] >= '0' && text[i] <= '9';
}

/* Moves *i past a number's leading zeros.  Returns the number's end. */
static size_t number_end(const char *text, size_t *i, size_t bytes)
{
    while (is_digit(text, *i + 1, bytes) && text[*i] == '0') {
        (*i)++;
    }
    size_t end = *i;
    while (is_digit(text, end, bytes)) {
        end++;
    }
    return end;
}

static int bytes_compare(const char *a, size_t a_bytes, const char *b, size_t b_bytes)
{
    size_t common = a_bytes < b_bytes ? a_bytes : b_bytes;
    int order = common > 0 ? memcmp(a, b, common) : 0;

    return order != 0 ? order : (a_bytes > b_bytes) - (a_bytes < b_bytes);
}

int flo_natural_compare(const char *a, size_t a_bytes, const char *b, size_t b_bytes)
{
    size_t i = 0;
    size_t j = 0;

    while (i < a_bytes && j < b_bytes) {
        if (is_digit(a, i, a_bytes) && is_digit(b, j, b_bytes)) {
            size_t a_end = number_end(a, &i, a_bytes);
            size_t b_end = number_end(b, &j, b_bytes);
            if (a_end - i != b_end - j) {
                return a_end - i < b_end - j ? -1 : 1;
            }
            int order = memcmp(a + i, b + j, a_end - i);
            if (order != 0) {
                return order;
            }
            i = a_end;
            j = b_end;
        } else if (a[i] != b[j]) {
            return (unsigned char)a[i] < (unsigned char)b[j] ? -1 : 1;
        } else {
            i++;
            j++;
        }
    }
    if (i < a_bytes || j < b_bytes) {
        return i < a_bytes ? 1 : -1;
    }
    return bytes_compare(a, a_bytes, b, b_bytes);
}

char *flo_digits(char *to, uint64_t number)
{
    char digits[FLO_DIGITS_MAX];
    size_t count = 0;

    do {
        digits[count++] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    while (count > 0) {
        *to++ = digits[--count];
    }
    return to;
}
