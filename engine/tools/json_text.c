/* Strict JSON in place. */
#include "engine/tools/json_text.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX 64

struct scan {
    const char *at, *end;
    int depth;
};

static bool scan_value(struct scan *s);

static void scan_space(struct scan *s)
{
    while (s->at < s->end && memchr(" \t\r\n", *s->at, 4) != NULL) {
        s->at++;
    }
}

static bool scan_char(struct scan *s, char wanted)
{
    if (s->at == s->end || *s->at != wanted) {
        return false;
    }
    s->at++;
    return true;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static int hex_of(char c)
{
    return is_digit(c)            ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

static bool scan_escape(struct scan *s)
{
    if (s->at == s->end) {
        return false;
    }
    if (*s->at != 'u') {
        return memchr("\"\\/bfnrt", *s->at, 8) != NULL && s->at++ != NULL;
    }
    s->at++;
    for (int i = 0; i < 4; i++) {
        if (s->at == s->end || hex_of(*s->at) < 0) {
            return false;
        }
        s->at++;
    }
    return true;
}

static bool scan_string(struct scan *s)
{
    if (!scan_char(s, '"')) {
        return false;
    }
    while (s->at < s->end && (unsigned char)*s->at >= 0x20) {
        char c = *s->at++;
        if (c == '"') {
            return true;
        }
        if (c == '\\' && !scan_escape(s)) {
            return false;
        }
    }
    return false;
}

static bool scan_digits(struct scan *s)
{
    const char *from = s->at;
    while (s->at < s->end && is_digit(*s->at)) {
        s->at++;
    }
    return s->at > from;
}

static bool scan_number(struct scan *s)
{
    scan_char(s, '-');
    if (!scan_char(s, '0') && !scan_digits(s)) {
        return false;
    }
    if (scan_char(s, '.') && !scan_digits(s)) {
        return false;
    }
    if (scan_char(s, 'e') || scan_char(s, 'E')) {
        if (!scan_char(s, '+')) {
            scan_char(s, '-');
        }
        return scan_digits(s);
    }
    return true;
}

static bool scan_word(struct scan *s, const char *word)
{
    size_t chars = strlen(word);
    if ((size_t)(s->end - s->at) < chars || memcmp(s->at, word, chars) != 0) {
        return false;
    }
    s->at += chars;
    return true;
}

static bool scan_list(struct scan *s, char open, char close)
{
    bool is_object = open == '{';
    s->at++;
    scan_space(s);
    if (scan_char(s, close)) {
        return true;
    }
    do {
        scan_space(s);
        if (is_object) {
            if (!scan_string(s)) {
                return false;
            }
            scan_space(s);
            if (!scan_char(s, ':')) {
                return false;
            }
        }
        if (!scan_value(s)) {
            return false;
        }
        scan_space(s);
    } while (scan_char(s, ','));
    return scan_char(s, close);
}

static bool scan_value(struct scan *s)
{
    bool is_good;
    scan_space(s);
    if (s->at == s->end || s->depth == DEPTH_MAX) {
        return false;
    }
    s->depth++;
    switch (*s->at) {
    case '{':
        is_good = scan_list(s, '{', '}');
        break;
    case '[':
        is_good = scan_list(s, '[', ']');
        break;
    case '"':
        is_good = scan_string(s);
        break;
    case 't':
        is_good = scan_word(s, "true");
        break;
    case 'f':
        is_good = scan_word(s, "false");
        break;
    case 'n':
        is_good = scan_word(s, "null");
        break;
    default:
        is_good = scan_number(s);
        break;
    }
    s->depth--;
    return is_good;
}

bool flo_json_text_check(const char *text, size_t bytes, const char **bad)
{
    struct scan s = {text, text + bytes, 0};
    bool is_good = scan_value(&s);
    scan_space(&s);
    if (bad != NULL) {
        *bad = s.at;
    }
    return is_good && s.at == s.end;
}

/* ---- walking ----------------------------------------------------- */

static char *end_of(char *value, const char *limit)
{
    struct scan s = {value, limit, 0};
    scan_value(&s);
    return value + (s.at - value);
}

static char *skip_space(char *at)
{
    return at + strspn(at, " \t\r\n");
}

bool flo_json_walk_begin(struct flo_json_walk *walk, char *value, char *limit)
{
    *walk = (struct flo_json_walk){value + 1, limit, *value == '{'};
    return *value == '{' || *value == '[';
}

bool flo_json_walk_next(struct flo_json_walk *walk, struct flo_json_item *item)
{
    size_t bytes;
    char *at = skip_space(walk->at);
    if (*at == '}' || *at == ']') {
        return false;
    }
    at = *at == ',' ? skip_space(at + 1) : at;
    item->key = NULL;
    if (walk->is_object) {
        char *behind = end_of(at, walk->limit);
        item->key = flo_json_string(at, &bytes);
        item->key = item->key == NULL ? "" : item->key;
        at = skip_space(skip_space(behind) + 1);
    }
    item->value = at;
    item->end = end_of(at, walk->limit);
    walk->at = item->end;
    return true;
}

/* ---- values ------------------------------------------------------ */

static uint32_t read_hex(const char *at)
{
    uint32_t value = 0;
    for (int i = 0; i < 4; i++) {
        value = value << 4 | (uint32_t)hex_of(at[i]);
    }
    return value;
}

static char *put_utf8(char *out, uint32_t c)
{
    int tail = c < 0x80 ? 0 : c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
    static const unsigned char marks[] = {0, 0xc0, 0xe0, 0xf0};
    *out++ = (char)(marks[tail] | c >> (6 * tail));
    while (tail-- > 0) {
        *out++ = (char)(0x80 | (c >> (6 * tail) & 0x3f));
    }
    return out;
}

/* "\uXXXX", perhaps a pair; *at is behind the 'u'.  0: none that can be. */
static uint32_t read_unicode(const char **at)
{
    uint32_t c = read_hex(*at);
    *at += 4;
    if (c >= 0xd800 && c < 0xdc00 && (*at)[0] == '\\' && (*at)[1] == 'u') {
        uint32_t low = read_hex(*at + 2);
        *at += 6;
        return low >= 0xdc00 && low < 0xe000
                   ? 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00)
                   : 0;
    }
    return c >= 0xd800 && c < 0xe000 ? 0 : c;
}

char *flo_json_string(char *value, size_t *bytes)
{
    static const char names[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
    char *out = value;
    const char *at = value + 1;
    if (*value != '"') {
        return NULL;
    }
    while (*at != '"') {
        char c = *at++;
        if (c != '\\') {
            *out++ = c;
        } else if (*at == 'u') {
            at++;
            uint32_t code = read_unicode(&at);
            if (code == 0) {
                return NULL;
            }
            out = put_utf8(out, code);
        } else {
            *out++ = meanings[strchr(names, *at++) - names];
        }
    }
    *out = '\0';
    *bytes = (size_t)(out - value);
    return value;
}

bool flo_json_count(const struct flo_json_item *item, unsigned long max,
                    unsigned long *out)
{
    char *end;
    unsigned long value;
    if (!is_digit(*item->value) || item->end - item->value > 10) {
        return false;
    }
    value = strtoul(item->value, &end, 10);
    if (end != item->end || value > max) {
        return false;
    }
    *out = value;
    return true;
}
