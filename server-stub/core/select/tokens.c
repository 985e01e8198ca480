/* Selectors: splits a text into tokens. */
#include <assert.h>
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <flotilla/errors/rest.h>

#include "server-stub/core/select/tokens.h"

int flo_select_fail(struct flo_err *err, size_t column, const char *format, ...)
{
    char what[320];
    va_list args;

    va_start(args, format);
    vsnprintf(what, sizeof(what), format, args);
    va_end(args);
    return flo_fail(err, FLO_E_REST_SELECTOR, "selector, column %zu: %s", column, what);
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool is_sign(char c)
{
    assert(c != '\0'); /* strchr finds it */
    return strchr("=!<>(),", c) != NULL;
}

static bool is_quote(char c)
{
    return c == '"' || c == '\'';
}

static void take(struct flo_select_token *out, const char *from, size_t bytes)
{
    assert(bytes < sizeof(out->text));
    memcpy(out->text, from, bytes);
    out->text[bytes] = '\0';
}

/* Reads a quoted text, in which a doubled quote stands for one quote. */
static int take_quoted(const char *text, size_t *at, struct flo_select_token *out,
                       struct flo_err *err)
{
    char quote = text[*at];
    size_t bytes = 0;

    out->is_quoted = true;
    for (++*at; text[*at] != '\0'; ++*at) {
        if (text[*at] == quote && text[*at + 1] != quote) {
            ++*at;
            return 0;
        }
        *at += text[*at] == quote ? 1 : 0;
        assert(bytes + 1 < sizeof(out->text));
        out->text[bytes++] = text[*at];
    }
    return flo_select_fail(err, out->column, "the quote has no end");
}

static void take_sign(const char *text, size_t *at, struct flo_select_token *out)
{
    size_t bytes = strchr("=!<>", text[*at]) != NULL && text[*at + 1] == '=' ? 2 : 1;

    take(out, text + *at, bytes);
    out->kind = FLO_SELECT_TOKEN_SIGN;
    *at += bytes;
}

int flo_select_token_next(const char *text, size_t *at, struct flo_select_token *out,
                          struct flo_err *err)
{
    while (is_blank(text[*at])) {
        ++*at;
    }
    *out = (struct flo_select_token){.kind = FLO_SELECT_TOKEN_WORD, .column = *at + 1};
    if (text[*at] == '\0') {
        out->kind = FLO_SELECT_TOKEN_END;
        return 0;
    }
    if (is_quote(text[*at])) {
        return take_quoted(text, at, out, err);
    }
    if (is_sign(text[*at])) {
        take_sign(text, at, out);
        return 0;
    }
    size_t from = *at;
    while (text[*at] != '\0' && !is_blank(text[*at]) && !is_sign(text[*at]) &&
           !is_quote(text[*at])) {
        ++*at;
    }
    take(out, text + from, *at - from);
    return 0;
}

bool flo_select_token_is(const struct flo_select_token *token, const char *text)
{
    return token->kind != FLO_SELECT_TOKEN_END && !token->is_quoted &&
           strcmp(token->text, text) == 0;
}
