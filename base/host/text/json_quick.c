/* Quick JSON: from text to jansson's tree in one pass.
 *
 * jansson's own reader passes each byte through a callback and two buffers.
 * This one reads the text directly and makes the same tree in about a fifth of
 * the time (tests/bench/bench_json.c). This reader reports no errors: a text
 * that it does not accept is parsed by jansson, whose message names cause and
 * byte. */
#include "base/host/text/json_quick.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/tree/tree.h"

struct reader {
    const char *at, *end;
    struct flo_buf scratch; /* decoded text of a string with escapes */
};

static json_t *read_value(struct reader *r, int depth);

static bool take(struct reader *r, char wanted)
{
    bool is_there = r->at < r->end && *r->at == wanted;

    r->at += is_there;
    return is_there;
}

/* Returns the next byte that is not white space, or NUL at the end. */
static char peek(struct reader *r)
{
    for (; r->at < r->end; r->at++) {
        char c = *r->at;
        if (c != ' ' && c != '\n' && c != '\t' && c != '\r') {
            return c;
        }
    }
    return '\0';
}

/* ---- texts ---- */

/* Returns the end of those characters of a string that need no decoding. */
static const char *skip_plain(const char *at, const char *end)
{
    while (at < end && *at != '"' && *at != '\\' && (unsigned char)*at >= 0x20) {
        at++;
    }
    return at;
}

/* Reads an escape after its backslash.  Returns false for surrogate halves and
 * U+0000, which jansson then reads. */
static bool read_escape(struct reader *r)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    char c = r->at < r->end ? *r->at++ : '\0';
    const char *hit = memchr(from, c, sizeof(from) - 1);
    uint32_t code;
    char utf8[4];

    if (hit != NULL) {
        flo_buf_add(&r->scratch, &to[hit - from], 1);
        return true;
    }
    if (c != 'u' || !flo_hex_read(&r->at, r->end, 4, &code) || code == 0 ||
        (code >= 0xd800 && code < 0xe000)) {
        return false;
    }
    flo_buf_add(&r->scratch, utf8, flo_utf8_put(code, utf8));
    return true;
}

/* Reads a string from its quote on.  *out points into the document or into the
 * scratch buffer. */
static bool read_text(struct reader *r, const char **out, size_t *bytes)
{
    const char *begin = ++r->at;

    r->at = skip_plain(begin, r->end);
    *out = begin;
    *bytes = (size_t)(r->at - begin);
    if (take(r, '"')) {
        return true;
    }
    r->scratch.bytes = 0;
    while (r->at < r->end && *r->at == '\\') {
        flo_buf_add(&r->scratch, begin, (size_t)(r->at - begin));
        r->at++;
        if (!read_escape(r)) {
            return false;
        }
        begin = r->at;
        r->at = skip_plain(begin, r->end);
    }
    flo_buf_add(&r->scratch, begin, (size_t)(r->at - begin));
    *out = r->scratch.data;
    *bytes = r->scratch.bytes;
    return !r->scratch.failed && take(r, '"');
}

static json_t *read_text_value(struct reader *r)
{
    const char *text;
    size_t bytes;

    return read_text(r, &text, &bytes) ? json_stringn_nocheck(text, bytes) : NULL;
}

/* ---- numbers ---- */

static size_t read_digits(struct reader *r)
{
    const char *begin = r->at;

    while (r->at < r->end && *r->at >= '0' && *r->at <= '9') {
        r->at++;
    }
    return (size_t)(r->at - begin);
}

/* Reads a number with a fraction or an exponent, by the C library. */
static json_t *read_real(const char *begin, size_t bytes)
{
    char text[64], *end;

    if (bytes >= sizeof(text)) {
        return NULL;
    }
    memcpy(text, begin, bytes);
    text[bytes] = '\0';
    double value = strtod(text, &end);
    if (end != text + bytes || !isfinite(value)) {
        return NULL;
    }
    return json_real(value);
}

/* Reads a number: -? (0 | [1-9][0-9]*) (.[0-9]+)? ([eE][+-]?[0-9]+)? */
static json_t *read_number(struct reader *r)
{
    const char *begin = r->at;
    bool is_negative = take(r, '-');
    const char *whole = r->at;
    size_t digits = read_digits(r);
    json_int_t value = 0;

    if (digits == 0 || (digits > 1 && *whole == '0')) {
        return NULL;
    }
    bool is_real = take(r, '.');
    if (is_real && read_digits(r) == 0) {
        return NULL;
    }
    if (take(r, 'e') || take(r, 'E')) {
        is_real = true;
        if (!take(r, '-')) {
            take(r, '+');
        }
        if (read_digits(r) == 0) {
            return NULL;
        }
    }
    if (is_real) {
        return read_real(begin, (size_t)(r->at - begin));
    }
    if (digits > 18) { /* the number may be beyond the bounds of int64 */
        return NULL;
    }
    for (size_t i = 0; i < digits; i++) {
        value = 10 * value + (whole[i] - '0');
    }
    return json_integer(is_negative ? -value : value);
}

/* ---- values ---- */

static bool take_word(struct reader *r, const char *word, size_t bytes)
{
    bool is_there = (size_t)(r->end - r->at) >= bytes && memcmp(r->at, word, bytes) == 0;

    r->at += is_there ? bytes : 0;
    return is_there;
}

/* Skips a comma or the closing bracket, and sets *is_done at the bracket. */
static bool go_on(struct reader *r, char closing, bool *is_done)
{
    char c = peek(r);

    *is_done = c == closing;
    if (c != ',' && c != closing) {
        return false;
    }
    r->at++;
    return true;
}

/* Reads a member of an object.  Returns false also for a duplicate key: jansson
 * replaces its value, so the object does not grow. */
static bool read_member(struct reader *r, json_t *object, size_t count, int depth)
{
    char key[128];
    const char *text;
    size_t bytes;

    if (peek(r) != '"' || !read_text(r, &text, &bytes) || bytes > sizeof(key)) {
        return false;
    }
    /* the key is copied, because reading the value may reuse the scratch
     * buffer */
    memcpy(key, text, bytes);
    if (peek(r) != ':') {
        return false;
    }
    r->at++;
    json_t *value = read_value(r, depth + 1);
    return value != NULL && json_object_setn_new_nocheck(object, key, bytes, value) == 0 &&
           json_object_size(object) == count + 1;
}

static json_t *read_object(struct reader *r, int depth)
{
    json_t *object = json_object();
    bool is_fine = object != NULL, is_done = false;

    r->at++;
    if (peek(r) == '}') {
        r->at++;
        return object;
    }
    for (size_t count = 0; is_fine && !is_done; count++) {
        is_fine = read_member(r, object, count, depth) && go_on(r, '}', &is_done);
    }
    if (!is_fine) {
        json_decref(object);
        object = NULL;
    }
    return object;
}

static json_t *read_array(struct reader *r, int depth)
{
    json_t *array = json_array();
    bool is_fine = array != NULL, is_done = false;

    r->at++;
    if (peek(r) == ']') {
        r->at++;
        return array;
    }
    while (is_fine && !is_done) {
        json_t *value = read_value(r, depth + 1);
        is_fine =
            value != NULL && json_array_append_new(array, value) == 0 && go_on(r, ']', &is_done);
    }
    if (!is_fine) {
        json_decref(array);
        array = NULL;
    }
    return array;
}

static json_t *read_value(struct reader *r, int depth)
{
    char c = peek(r);

    switch (c) {
    case '{':
        return depth < FLO_JSON_DEPTH_MAX ? read_object(r, depth) : NULL;
    case '[':
        return depth < FLO_JSON_DEPTH_MAX ? read_array(r, depth) : NULL;
    case '"':
        return read_text_value(r);
    case 't':
        return take_word(r, "true", 4) ? json_true() : NULL;
    case 'f':
        return take_word(r, "false", 5) ? json_false() : NULL;
    case 'n':
        return take_word(r, "null", 4) ? json_null() : NULL;
    default:
        return read_number(r);
    }
}

json_t *flo_json_quick(const char *text, size_t bytes)
{
    struct reader r = {.at = text, .end = text + bytes};
    char c = peek(&r);
    json_t *json = c == '{' || c == '[' ? read_value(&r, 0) : NULL;

    if (json != NULL && (peek(&r) != '\0' || r.at != r.end)) {
        json_decref(json); /* other text follows the document, so it is refused */
        json = NULL;
    }
    if (r.scratch.data != NULL) { /* the buffer is wiped, because it may hold a secret */
        explicit_bzero(r.scratch.data, r.scratch.capacity);
    }
    flo_buf_deinit(&r.scratch);
    return json;
}
