/* Tokens of a shape: reads names, types, marks and brackets. */
#include "server-stub/core/request/shape.h"

#include <assert.h>
#include <string.h>

#include "proto/policy.h"

bool flo_shape_is(struct flo_shape_span span, const char *text)
{
    size_t chars = (size_t)(span.end - span.at);

    return strlen(text) == chars && memcmp(span.at, text, chars) == 0;
}

static size_t name_chars(const char *at, const char *end)
{
    size_t n = 0;

    while (at + n < end && strchr(" {[=|:!?~", at[n]) == NULL) {
        n++;
    }
    return n;
}

/* Returns the place after the bracket that closes the one at `at`. */
static const char *bracket_end(const char *at, const char *end)
{
    int depth = 0;

    do {
        assert(at < end);
        depth += *at == '{' || *at == '[' ? 1 : 0;
        depth -= *at == '}' || *at == ']' ? 1 : 0;
        at++;
    } while (depth > 0);
    return at;
}

/* Reads `:type` and the marks after a name.  Returns the text behind them. */
static const char *read_marks(const char *at, const char *end, struct flo_shape_word *out)
{
    out->type = out->name;
    if (at < end && *at == ':') {
        out->type = (struct flo_shape_span){at + 1, at + 1 + name_chars(at + 1, end)};
        at = out->type.end;
    }
    for (; at < end && strchr("!?~", *at) != NULL; at++) {
        out->is_needed |= *at == '!';
        out->may_be_absent |= *at == '?';
        out->may_be_null |= *at == '~';
    }
    return at;
}

static const char *read_bracket(const char *at, const char *end, struct flo_shape_word *out)
{
    const char *past = bracket_end(at, end);

    out->bracket = *at;
    out->inside = (struct flo_shape_span){at + 1, past - 1};
    if (flo_shape_is(out->inside, "@policy")) {
        out->inside =
            (struct flo_shape_span){flo_policy_names, flo_policy_names + strlen(flo_policy_names)};
    } else if (flo_shape_is(out->inside, "@gates")) {
        out->inside = (struct flo_shape_span){"*", &"*"[1]};
    }
    return past;
}

bool flo_shape_next(struct flo_shape_span *rest, struct flo_shape_word *out)
{
    const char *at = rest->at;

    while (at < rest->end && *at == ' ') {
        at++;
    }
    if (at >= rest->end) {
        return false;
    }
    *out = (struct flo_shape_word){.name = {at, at + name_chars(at, rest->end)}};
    at = read_marks(out->name.end, rest->end, out);
    if (at < rest->end && *at == '=') {
        out->value = (struct flo_shape_span){at + 1, at + 1 + name_chars(at + 1, rest->end)};
        at = out->value.end;
    } else if (at < rest->end && (*at == '{' || *at == '[')) {
        at = read_bracket(at, rest->end, out);
    }
    assert(at > rest->at);
    rest->at = at;
    return true;
}
