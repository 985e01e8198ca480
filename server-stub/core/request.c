/* Requests: members and parameters against the shape of their route. */
#include <assert.h>
#include <string.h>

#include "proto/policy.h"
#include "server-stub/core/request.h"

#define WORDS_MAX 32
#define WORD_MAX 32

/* A part of a shape: of what stands in one pair of brackets. */
struct span {
    const char *at;
    const char *end;
};

/* One word of a span: its name, its bracket ('\0': none), what is inside. */
struct word {
    struct span name;
    char bracket;
    struct span inside;
    struct span value; /* after '=' */
};

static bool span_is(struct span span, const char *text)
{
    size_t chars = (size_t)(span.end - span.at);

    return strlen(text) == chars && memcmp(span.at, text, chars) == 0;
}

static size_t name_chars(const char *at, const char *end)
{
    size_t n = 0;

    while (at + n < end && strchr(" {[=|", at[n]) == NULL) {
        n++;
    }
    return n;
}

/* Past the bracket that belongs to the one at `at`. */
static const char *bracket_end(const char *at, const char *end)
{
    int depth = 0;

    for (; at < end; at++) {
        depth += *at == '{' || *at == '[' ? 1 : 0;
        depth -= *at == '}' || *at == ']' ? 1 : 0;
        if (depth == 0) {
            return at + 1;
        }
    }
    return end;
}

static bool next_word(struct span *rest, struct word *out)
{
    const char *at = rest->at;

    while (at < rest->end && *at == ' ') {
        at++;
    }
    if (at >= rest->end) {
        return false;
    }
    *out = (struct word){.name = {at, at + name_chars(at, rest->end)}};
    at = out->name.end;
    if (at < rest->end && *at == '=') {
        out->value =
            (struct span){at + 1, at + 1 + name_chars(at + 1, rest->end)};
        at = out->value.end;
    } else if (at < rest->end && (*at == '{' || *at == '[')) {
        const char *past = bracket_end(at, rest->end);
        out->bracket = *at;
        out->inside = (struct span){at + 1, past - 1};
        if (span_is(out->inside, "@policy")) {
            out->inside = (struct span){
                flo_policy_names, flo_policy_names + strlen(flo_policy_names)};
        }
        at = past;
    }
    rest->at = at > rest->at ? at : rest->at + 1;
    return true;
}

static bool find_word(struct span shape, const char *name, struct word *out)
{
    while (next_word(&shape, out)) {
        if (span_is(out->name, name)) {
            return true;
        }
    }
    return false;
}

/* ---- saying it ---- */

int flo_request_unknown(const char *kind, const char *where, const char *name,
                        const char *const *words, size_t count,
                        struct flo_err *err)
{
    char known[240] = "";
    size_t chars = 0;

    for (size_t i = 0; i < count && chars < sizeof(known); i++) {
        chars += (size_t)snprintf(known + chars, sizeof(known) - chars, "%s%s",
                                  i > 0 ? ", " : "", words[i]);
    }
    flo_fail(err, FLO_E_REST_UNKNOWN, "%s `%s%.64s` is not known here; %s%s",
             kind, where, name, count > 0 ? "known: " : "nothing belongs here",
             known);
    const char *nearest = flo_nearest(name, words, count);
    if (nearest != NULL) {
        flo_err_fix(err, "did you mean `%s`?", nearest);
    }
    return FLO_E_REST_UNKNOWN;
}

static int unknown(struct span shape, const char *where, const char *name,
                   const char *kind, struct flo_err *err)
{
    char names[WORDS_MAX][WORD_MAX];
    const char *words[WORDS_MAX];
    struct word word;
    size_t count = 0;

    while (count < WORDS_MAX && next_word(&shape, &word)) {
        snprintf(names[count], WORD_MAX, "%.*s",
                 (int)(word.name.end - word.name.at), word.name.at);
        words[count] = names[count];
        count++;
    }
    return flo_request_unknown(kind, where, name, words, count, err);
}

/* ---- the walk ---- */

static int check(struct span shape, const char *where, const json_t *object,
                 struct flo_err *err);

/* `where` of what is inside: "policy.", "phases[2]." */
static int check_inside(const struct word *word, const char *where,
                        const char *name, const json_t *value,
                        struct flo_err *err)
{
    char path[96];
    size_t i;
    json_t *item;

    if (word->bracket == '{' && json_is_object(value)) {
        snprintf(path, sizeof(path), "%.40s%.32s.", where, name);
        return check(word->inside, path, value, err);
    }
    if (word->bracket == '[' && json_is_array(value)) {
        json_array_foreach(value, i, item)
        {
            snprintf(path, sizeof(path), "%.40s%.32s[%zu].", where, name, i);
            int rv =
                json_is_object(item) ? check(word->inside, path, item, err) : 0;
            if (rv < 0) {
                return rv;
            }
        }
    }
    return 0; /* another kind of value: its reader says so */
}

static int check(struct span shape, const char *where, const json_t *object,
                 struct flo_err *err)
{
    struct word word;
    const char *name;
    json_t *value;

    if (span_is(shape, "*") || span_is(shape, "@rollout")) {
        return 0;
    }
    json_object_foreach((json_t *)(uintptr_t)object, name, value)
    {
        int rv = find_word(shape, name, &word)
                     ? check_inside(&word, where, name, value, err)
                     : unknown(shape, where, name, "member", err);
        if (rv < 0) {
            return rv;
        }
    }
    return 0;
}

/* Is this the alternative that the body's first word chooses?  One without a
 * choice is always it. */
static bool is_chosen(struct span shape, const json_t *body)
{
    struct word first;
    char name[WORD_MAX];

    if (!next_word(&shape, &first) || first.value.at == NULL) {
        return true;
    }
    snprintf(name, sizeof(name), "%.*s", (int)(first.name.end - first.name.at),
             first.name.at);
    const char *given = json_string_value(json_object_get(body, name));
    return given != NULL && span_is(first.value, given);
}

/* The body chooses none of several shapes.  Only their first word is checked;
 * its reader then lists the choices. */
static struct span only_the_choice(struct span shape)
{
    struct word first;

    return next_word(&shape, &first) ? first.name : shape;
}

int flo_request_check(const char *shape, const json_t *body,
                      struct flo_err *err)
{
    struct span all = {shape, shape + strlen(shape)};
    struct span part = all;

    assert(shape != NULL);
    if (body == NULL) {
        return 0;
    }
    for (;; part.at = part.end + 1) {
        const char *bar = memchr(part.at, '|', (size_t)(all.end - part.at));
        part.end = bar != NULL ? bar : all.end;
        if (is_chosen(part, body)) {
            return check(part, "", body, err);
        }
        if (bar == NULL) {
            return check(only_the_choice(all), "", body, err);
        }
    }
}

int flo_request_check_query(const char *shape, const char *name,
                            struct flo_err *err)
{
    struct span span = {shape, shape + strlen(shape)};
    struct word word;

    return find_word(span, name, &word)
               ? 0
               : unknown(span, "", name, "query parameter", err);
}
