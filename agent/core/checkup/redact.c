/* Log redaction: hides runs of letters and digits that look like secrets,
 * values after a telling name, and passwords in URLs. */
#include "agent/core/checkup/checkup.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

/* length from which a run of mixed letters and digits counts as a secret */
#define RUN_CHARS_MIN 24
#define HEX_CHARS_MIN 32

struct place {
    char *at, *end;
};

static void put(struct place *to, const char *text, size_t bytes)
{
    size_t room = (size_t)(to->end - to->at);

    bytes = bytes < room ? bytes : room;
    memcpy(to->at, text, bytes);
    to->at += bytes;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_run(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
           c == '-' || c == '+' || c == '/';
}

static bool begins(const char *text, size_t bytes, const char *with)
{
    return bytes >= strlen(with) && memcmp(text, with, strlen(with)) == 0;
}

/* Tells whether a long run is a digest, a device id or a path, and so no
 * secret. */
static bool is_name(const char *line, const char *run, size_t chars)
{
    static const char digest[] = "sha256";
    size_t before = (size_t)(run - line);

    return run[0] == '/' || begins(run, chars, digest) ||
           (before > sizeof(digest) - 1 && run[-1] == ':' &&
            memcmp(run - sizeof(digest), digest, sizeof(digest) - 1) == 0);
}

static bool is_secret(const char *line, const char *run, size_t chars)
{
    bool has_lower = false, has_upper = false, has_digit = false;
    bool is_hex = true;

    for (size_t i = 0; i < chars; i++) {
        char c = run[i];
        bool is_low = c >= 'a' && c <= 'z', is_high = c >= 'A' && c <= 'Z';
        has_lower = has_lower || is_low;
        has_upper = has_upper || is_high;
        has_digit = has_digit || is_digit(c);
        is_hex = is_hex && (is_digit(c) || (is_low && c <= 'f') || (is_high && c <= 'F'));
    }
    return !is_name(line, run, chars) &&
           ((chars >= RUN_CHARS_MIN && has_lower && has_upper && has_digit) ||
            (chars >= HEX_CHARS_MIN && is_hex));
}

static char low(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static bool ends_with(const char *line, const char *at, const char *word)
{
    size_t chars = strlen(word);

    if ((size_t)(at - line) < chars) {
        return false;
    }
    for (size_t i = 0; i < chars; i++) {
        if (low(at[(ptrdiff_t)i - (ptrdiff_t)chars]) != word[i]) {
            return false;
        }
    }
    return true;
}

/* Returns the length of the separator at `at`, between a telling name, such as
 * "token", and the secret that follows.  Returns 0 when `at` is no such
 * separator. */
static size_t names_secret(const char *line, const char *at, size_t left)
{
    static const char *const words[] = {"token",  "secret",        "password",
                                        "bearer", "authorization", "prompt"};
    size_t sign = 0;

    while (sign < left &&
           (at[sign] == '"' || at[sign] == ' ' || at[sign] == ':' || at[sign] == '=')) {
        sign++;
    }
    if (sign == 0 || sign == left) {
        return 0;
    }
    for (size_t i = 0; i < FLO_COUNT(words); i++) {
        bool is_bearer = strcmp(words[i], "bearer") == 0;
        if (ends_with(line, at, words[i]) &&
            (is_bearer || memchr(at, '=', sign) != NULL || memchr(at, ':', sign) != NULL)) {
            return sign;
        }
    }
    return 0;
}

/* Returns the length of the value at `at`, which is a word or a quoted text. */
static size_t value_chars(const char *line, const char *at, size_t left)
{
    char quote = at > line && at[-1] == '"' ? '"' : ' ';
    size_t chars = 0;

    while (chars < left && at[chars] != quote) {
        chars++;
    }
    return chars;
}

/* Returns the length of "user:password" at `at`, between "://" and "@".
 * Returns 0 when there is no such text at `at`. */
static size_t user_chars(const char *line, const char *at, size_t left)
{
    size_t chars = 0;

    if ((size_t)(at - line) < 3 || memcmp(at - 3, "://", 3) != 0) {
        return 0;
    }
    while (chars < left && at[chars] != '@' && at[chars] != '/' && at[chars] != ' ') {
        chars++;
    }
    return chars < left && at[chars] == '@' ? chars : 0;
}

static size_t hidden_chars(const char *line, const char *at, size_t left, size_t *run)
{
    *run = 1;
    size_t user = user_chars(line, at, left);
    if (user > 0) {
        return user;
    }
    if (begins(at, left, "flt1.") || begins(at, left, "-----BEGIN")) {
        return begins(at, left, "-") ? left : value_chars(line, at, left);
    }
    if (begins(at, left, "//")) { /* the two slashes of a URL, after which a user name may come */
        *run = 2;
        return 0;
    }
    if (!is_run(*at) || (at > line && is_run(at[-1]))) {
        return 0;
    }
    while (*run < left && is_run(at[*run])) {
        (*run)++;
    }
    return is_secret(line, at, *run) ? *run : 0;
}

void flo_redact(const char *line, size_t bytes, char out[FLO_REDACT_BYTES_MAX + 1])
{
    struct place to = {out, out + FLO_REDACT_BYTES_MAX};
    const char *end = line + bytes;

    for (const char *at = line; at < end;) {
        size_t left = (size_t)(end - at);
        size_t sign = names_secret(line, at, left);
        size_t run = 1;
        size_t hidden = 0;

        if (sign > 0) {
            put(&to, at, sign);
            at += sign;
            hidden = ends_with(line, at - sign, "prompt") ? left - sign
                                                          : value_chars(line, at, left - sign);
        } else {
            hidden = hidden_chars(line, at, left, &run);
        }
        if (hidden > 0) {
            put(&to, FLO_REDACTED, strlen(FLO_REDACTED));
            at += hidden;
        } else {
            assert(sign == 0); /* after a separator comes a value, and every value is hidden */
            put(&to, at, run);
            at += run;
        }
    }
    /* the text is cut: the last character may lack bytes, so it is removed */
    if (to.at == to.end) {
        while (to.at > out && ((uint8_t)to.at[-1] & 0xc0) == 0x80) {
            to.at--;
        }
        to.at -= to.at > out && ((uint8_t)to.at[-1] & 0x80) != 0;
    }
    *to.at = '\0';
}

size_t flo_redact_json_bytes(const char *line)
{
    size_t bytes = 3; /* quotes and comma */

    for (; *line != '\0'; line++) {
        uint8_t c = (uint8_t)*line;
        bytes += c < 0x20 || c == 0x7f ? 6 : c == '"' || c == '\\' ? 2 : 1;
    }
    return bytes;
}
