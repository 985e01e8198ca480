/* Pattern: a regular expression to GBNF, for the characters of a JSON string.
 *
 * Literals, classes, \d \w \s and their opposites, groups, alternatives,
 * quantifiers, and ^ and $ at the very ends; without them anything may stand
 * there.  What a class allows but JSON must escape is left out. */
#include <string.h>

#include "engine/grammar/grammar.h"
#include "engine/token/unicode.h"

enum { RANGES_MAX = 128, DEPTH_MAX = 32 };

struct parser {
    const char *at, *end;
    struct flo_buf *out;
};

struct ranges {
    struct flo_code_range items[RANGES_MAX + 8];
    size_t count;
};

static bool add(struct ranges *r, uint32_t first, uint32_t last)
{
    if (r->count >= RANGES_MAX || last < first) {
        return false;
    }
    r->items[r->count++] = (struct flo_code_range){first, last};
    return true;
}

static void negate(struct ranges *r)
{
    struct ranges out;

    r->count = flo_code_ranges_sort(r->items, r->count);
    out.count = flo_code_ranges_negate(r->items, r->count, out.items);
    *r = out;
}

/* \d and the like; false: it is none. */
static bool add_named(struct ranges *r, char name)
{
    struct ranges one = {.count = 0};
    char low = (char)(name | 32);

    if (low == 'd' || low == 'w') {
        add(&one, '0', '9');
    }
    if (low == 'w') {
        add(&one, 'a', 'z');
        add(&one, 'A', 'Z');
        add(&one, '_', '_');
    }
    if (low == 's') {
        add(&one, ' ', ' ');
        add(&one, '\t', '\r');
    }
    if (one.count == 0) {
        return false;
    }
    if (name != low) {
        negate(&one);
    }
    for (size_t i = 0; i < one.count; i++) {
        if (!add(r, one.items[i].first, one.items[i].last)) {
            return false;
        }
    }
    return true;
}

/* Without what JSON escapes, as a class of GBNF. */
static bool put_class(struct flo_buf *out, struct ranges *r, bool is_negated)
{
    if (!is_negated) {
        negate(r);
    }
    if (r->count + 3 > FLO_COUNT(r->items) - 1) {
        return false;
    }
    r->items[r->count++] = (struct flo_code_range){0, 0x1f};
    r->items[r->count++] = (struct flo_code_range){'"', '"'};
    r->items[r->count++] = (struct flo_code_range){'\\', '\\'};
    r->count = flo_code_ranges_sort(r->items, r->count);
    if (r->count == 1 && r->items[0].last >= 0x10ffff) {
        return false;
    }
    flo_buf_text(out, "[^");
    for (size_t i = 0; i < r->count; i++) {
        /* Surrogates are no characters, and at an end cannot be written. */
        uint32_t first = r->items[i].first, last = r->items[i].last;
        first = first >= 0xd800 && first < 0xe000 ? 0xd7ff : first;
        last = last >= 0xd800 && last < 0xe000 ? 0xe000 : last;
        flo_buf_printf(out, "\\U%08x-\\U%08x", first, last);
    }
    flo_buf_text(out, "] ");
    return true;
}

/* An escape that stands for one character; 0: none. */
static uint32_t escaped(char c)
{
    static const char from[] = "ntrf", to[] = "\n\t\r\f";
    const char *hit = c == '\0' ? NULL : strchr(from, c);

    if (hit != NULL) {
        return (uint32_t)to[hit - from];
    }
    return strchr("\\/.^$|?*+()[]{}-\"'@#:,=!<> _~&%;`", c) != NULL
               ? (unsigned char)c
               : 0;
}

static bool read_one(struct parser *p, uint32_t *code)
{
    size_t taken;

    if (p->at == p->end) {
        return false;
    }
    if (*p->at == '\\') {
        *code = p->at + 1 < p->end ? escaped(p->at[1]) : 0;
        p->at += 2;
        return *code != 0;
    }
    *code = flo_utf8_next(p->at, (size_t)(p->end - p->at), &taken);
    p->at += taken;
    return true;
}

static bool read_class(struct parser *p)
{
    struct ranges r = {.count = 0};
    bool is_negated;

    p->at++;
    is_negated = p->at < p->end && *p->at == '^';
    p->at += is_negated;
    while (p->at < p->end && *p->at != ']') {
        uint32_t first, last;

        if (*p->at == '\\' && p->at + 1 < p->end && add_named(&r, p->at[1])) {
            p->at += 2;
            continue;
        }
        if (!read_one(p, &first)) {
            return false;
        }
        last = first;
        if (p->end - p->at > 1 && p->at[0] == '-' && p->at[1] != ']') {
            p->at++;
            if (!read_one(p, &last)) {
                return false;
            }
        }
        if (!add(&r, first, last)) {
            return false;
        }
    }
    r.count = flo_code_ranges_sort(r.items, r.count);
    return p->at++ < p->end && r.count > 0 && put_class(p->out, &r, is_negated);
}

static bool put_char(struct parser *p, uint32_t code)
{
    static const char from[] = "\n\t\r\f\"\\", to[] = "ntrf\"\\";
    char utf8[4];
    const char *hit = code > 0 && code < 128 ? strchr(from, (int)code) : NULL;

    if (hit != NULL) { /* as JSON writes it, as GBNF writes that */
        flo_buf_printf(p->out, "\"\\\\%s%c\" ",
                       strchr("\"\\", to[hit - from]) ? "\\" : "",
                       to[hit - from]);
        return true;
    }
    flo_buf_text(p->out, "\"");
    flo_buf_add(p->out, utf8, flo_utf8_put(code, utf8));
    flo_buf_text(p->out, "\" ");
    return code >= 0x20;
}

static bool read_choices(struct parser *p, int depth);

static bool read_atom(struct parser *p, int depth)
{
    struct ranges r = {.count = 0};
    uint32_t code;

    if (*p->at == '[') {
        return read_class(p);
    }
    if (*p->at == '.') {
        p->at++;
        add(&r, '\n', '\n');
        return put_class(p->out, &r, true);
    }
    if (*p->at == '(') {
        p->at++;
        if (p->end - p->at > 1 && p->at[0] == '?') {
            if (p->at[1] != ':') {
                return false;
            }
            p->at += 2;
        }
        flo_buf_text(p->out, "( ");
        if (!read_choices(p, depth + 1) || p->at == p->end) {
            return false;
        }
        p->at++;
        flo_buf_text(p->out, ") ");
        return true;
    }
    if (*p->at == '\\' && p->at + 1 < p->end && add_named(&r, p->at[1])) {
        p->at += 2;
        r.count = flo_code_ranges_sort(r.items, r.count);
        return put_class(p->out, &r, false);
    }
    return strchr("*+?{}^$]", *p->at) == NULL && read_one(p, &code) &&
           put_char(p, code);
}

/* A quantifier is the same in both; a lazy one is none. */
static bool read_times(struct parser *p)
{
    const char *begin = p->at;

    if (p->at == p->end || strchr("*+?{", *p->at) == NULL) {
        return true;
    }
    if (*p->at == '{') {
        const char *close = memchr(p->at, '}', (size_t)(p->end - p->at));
        if (close == NULL || close - p->at > 12) {
            return false;
        }
        for (p->at++; p->at < close; p->at++) {
            if (strchr("0123456789,", *p->at) == NULL) {
                return false;
            }
        }
    }
    p->at++;
    p->out->bytes--; /* the blank */
    flo_buf_add(p->out, begin, (size_t)(p->at - begin));
    flo_buf_text(p->out, " ");
    return p->at == p->end || strchr("*+?{", *p->at) == NULL;
}

static bool read_choices(struct parser *p, int depth)
{
    if (depth > DEPTH_MAX) {
        return false;
    }
    while (p->at < p->end && *p->at != ')') {
        if (*p->at == '\0') {
            return false;
        }
        if (*p->at == '|') {
            p->at++;
            flo_buf_text(p->out, "| ");
        } else if (!read_atom(p, depth) || !read_times(p)) {
            return false;
        }
    }
    return true;
}

const char *flo_pattern_to_gbnf(const char *pattern, size_t bytes,
                                struct flo_buf *gbnf)
{
    struct parser p = {pattern, pattern + bytes, gbnf};
    bool is_escaped = bytes > 1 && pattern[bytes - 2] == '\\' &&
                      !(bytes > 2 && pattern[bytes - 3] == '\\');
    bool has_begin = bytes > 0 && pattern[0] == '^';
    bool has_end = bytes > has_begin && p.end[-1] == '$' && !is_escaped;

    p.at += has_begin;
    p.end -= has_end;
    flo_buf_text(gbnf, has_begin ? "( " : "char* ( ");
    if (memchr(pattern, '\0', bytes) != NULL || !read_choices(&p, 0) ||
        p.at != p.end) {
        return "only literals, classes, groups, | and * + ? {} are built";
    }
    flo_buf_text(gbnf, has_end ? ") " : ") char* ");
    return NULL;
}
