/* Selectors: compiles a text to a postfix program. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "server-stub/core/select/tokens.h"

struct parse {
    const char *text;
    size_t at;
    size_t depth;
    struct flo_select_token token; /* token that was read, but is not consumed yet */
    const struct flo_select_known *known;
    struct flo_selector *out;
    struct flo_err *err;
};

static int next(struct parse *parse)
{
    return flo_select_token_next(parse->text, &parse->at, &parse->token, parse->err);
}

static bool is(const struct parse *parse, const char *text)
{
    return flo_select_token_is(&parse->token, text);
}

static int emit(struct parse *parse, uint8_t code)
{
    struct flo_selector *out = parse->out;

    if (out->code_count == sizeof(out->code)) {
        return flo_select_fail(parse->err, parse->token.column, "too many words `not`");
    }
    out->code[out->code_count++] = code;
    return 0;
}

static int unexpected(struct parse *parse, const char *wanted)
{
    return parse->token.kind == FLO_SELECT_TOKEN_END
               ? flo_select_fail(parse->err, parse->token.column, "%s is missing at the end",
                                 wanted)
               : flo_select_fail(parse->err, parse->token.column, "%s belongs here, not `%.80s`",
                                 wanted, parse->token.text);
}

/* ---- a term ---- */

static int add_value(struct parse *parse, struct flo_select_term *term)
{
    struct flo_selector *out = parse->out;
    const struct flo_select_token *token = &parse->token;
    size_t bytes = strlen(token->text) + 1;

    if (token->kind != FLO_SELECT_TOKEN_WORD) {
        return unexpected(parse, "a value");
    }
    if (out->value_count == FLO_SELECTOR_VALUES_MAX) {
        return flo_select_fail(parse->err, token->column, "more than %d values",
                               FLO_SELECTOR_VALUES_MAX);
    }
    assert(out->pool_bytes + bytes <= sizeof(out->pool));
    out->values[out->value_count] = out->pool_bytes;
    memcpy(out->pool + out->pool_bytes, token->text, bytes);
    out->pool_bytes = (uint16_t)(out->pool_bytes + bytes);
    int rv = flo_select_value_read(token, &term->name, &out->numbers[out->value_count], parse->err);
    out->value_count++;
    term->value_count++;
    FLO_TRY(rv);
    return next(parse);
}

static int values(struct parse *parse, struct flo_select_term *term)
{
    int rv = next(parse); /* `in` */

    if (rv == 0 && !is(parse, "(")) {
        return unexpected(parse, "`(`");
    }
    do {
        FLO_TRY(next(parse)); /* ( or , */
        FLO_TRY(add_value(parse, term));
    } while (is(parse, ","));
    if (!is(parse, ")")) {
        return unexpected(parse, "`,` or `)`");
    }
    return next(parse);
}

static const struct {
    const char *sign;
    enum flo_select_how how;
} signs[] = {
    {"=", FLO_SELECT_IS},    {"==", FLO_SELECT_IS},    {"!=", FLO_SELECT_IS_NOT},
    {"<", FLO_SELECT_BELOW}, {"<=", FLO_SELECT_UP_TO}, {">", FLO_SELECT_ABOVE},
    {">=", FLO_SELECT_FROM},
};

/* Parses "not in", which applies to the name before it; any other "not" applies
 * to the following term. */
static int not_in(struct parse *parse, bool *is_it)
{
    struct flo_select_token after;
    size_t at = parse->at;

    *is_it = false;
    if (!is(parse, "not")) {
        return 0;
    }
    int rv = flo_select_token_next(parse->text, &at, &after, parse->err);
    *is_it = rv == 0 && flo_select_token_is(&after, "in");
    FLO_TRY(rv);
    return !*is_it ? rv : next(parse);
}

/* Checks the operator: an order comparison needs a field with a single
 * value. */
static int check_how(struct parse *parse, const struct flo_select_term *term, size_t column)
{
    enum flo_select_kind kind = flo_select_kind_of(&term->name);

    assert(term->how <= FLO_SELECT_FROM);
    if (term->how >= FLO_SELECT_BELOW && (kind == FLO_SELECT_LIST || kind == FLO_SELECT_FLAG)) {
        return flo_select_fail(parse->err, column, "%s is %s: = != and in belong here",
                               flo_select_facts[term->name.field].word,
                               kind == FLO_SELECT_LIST ? "a list" : "true or false");
    }
    return 0;
}

static int operation(struct parse *parse, struct flo_select_term *term)
{
    size_t column = parse->token.column;
    bool is_not_in;

    FLO_TRY(not_in(parse, &is_not_in));
    if (is_not_in || is(parse, "in")) {
        term->how = is_not_in ? FLO_SELECT_NOT_IN : FLO_SELECT_IN;
        return values(parse, term);
    }
    for (size_t i = 0; i < FLO_COUNT(signs); i++) {
        if (is(parse, signs[i].sign)) {
            term->how = (uint8_t)signs[i].how;
            FLO_TRY(check_how(parse, term, column));
            FLO_TRY(next(parse));
            return add_value(parse, term);
        }
    }
    return 0;
}

static int term(struct parse *parse)
{
    struct flo_selector *out = parse->out;
    struct flo_select_term *term = &out->terms[out->term_count];

    if (parse->token.kind != FLO_SELECT_TOKEN_WORD) {
        return unexpected(parse, "a field or a label");
    }
    if (out->term_count == FLO_SELECTOR_TERMS_MAX) {
        return flo_select_fail(parse->err, parse->token.column, "more than %d comparisons",
                               FLO_SELECTOR_TERMS_MAX);
    }
    *term = (struct flo_select_term){.how = FLO_SELECT_THERE, .value_first = out->value_count};
    FLO_TRY(flo_select_name_read(&parse->token, parse->known, &term->name, parse->err));
    FLO_TRY(next(parse));
    FLO_TRY(operation(parse, term));
    return emit(parse, (uint8_t)out->term_count++);
}

/* ---- what joins them ---- */

static int any(struct parse *parse);

static int nested(struct parse *parse)
{
    FLO_TRY(next(parse)); /* ( */

    FLO_TRY(any(parse));
    if (!is(parse, ")")) {
        return unexpected(parse, "`)`");
    }
    return next(parse);
}

static int one(struct parse *parse)
{
    bool is_not = is(parse, "not") || is(parse, "!");

    if (!is_not && !is(parse, "(")) {
        return term(parse);
    }
    if (parse->depth == FLO_SELECTOR_DEPTH_MAX) {
        return flo_select_fail(parse->err, parse->token.column,
                               "more than %d brackets or `not` inside each "
                               "other",
                               FLO_SELECTOR_DEPTH_MAX);
    }
    parse->depth++;
    if (is_not) {
        FLO_TRY(next(parse));
        FLO_TRY(one(parse));
        FLO_TRY(emit(parse, FLO_SELECT_CODE_NOT));
    } else {
        FLO_TRY(nested(parse));
    }
    parse->depth--;
    return 0;
}

static int all(struct parse *parse)
{
    FLO_TRY(one(parse));
    while (is(parse, "and") || is(parse, ",")) {
        FLO_TRY(next(parse));
        FLO_TRY(one(parse));
        FLO_TRY(emit(parse, FLO_SELECT_CODE_AND));
    }
    return 0;
}

static int any(struct parse *parse)
{
    FLO_TRY(all(parse));
    while (is(parse, "or")) {
        FLO_TRY(next(parse));
        FLO_TRY(all(parse));
        FLO_TRY(emit(parse, FLO_SELECT_CODE_OR));
    }
    return 0;
}

static int check_text(const char *text, struct flo_err *err)
{
    size_t bytes = strlen(text);

    if (bytes > FLO_SELECTOR_TEXT_MAX) {
        return flo_select_fail(err, FLO_SELECTOR_TEXT_MAX + 1, "%zu bytes, %d are possible", bytes,
                               FLO_SELECTOR_TEXT_MAX);
    }
    size_t valid = flo_utf8_valid(text, bytes);
    return valid == bytes ? 0 : flo_select_fail(err, valid + 1, "no UTF-8");
}

int flo_selector_parse(const char *text, const struct flo_select_known *known,
                       struct flo_selector *out, struct flo_err *err)
{
    struct flo_selector made = {.code_count = 0};
    struct parse parse = {.text = text, .known = known, .out = &made, .err = err};

    FLO_TRY(check_text(text, err));
    FLO_TRY(next(&parse));
    FLO_TRY(any(&parse));
    if (parse.token.kind != FLO_SELECT_TOKEN_END) {
        return unexpected(&parse, "`and`, `or` or the end");
    }
    *out = made;
    return 0;
}

int flo_select_name_parse(const char *text, const struct flo_select_known *known,
                          struct flo_select_name *out, struct flo_err *err)
{
    struct flo_select_token token;
    struct flo_select_token after = {.kind = FLO_SELECT_TOKEN_END};
    size_t at = 0;

    FLO_TRY(check_text(text, err));
    FLO_TRY(flo_select_token_next(text, &at, &token, err));
    FLO_TRY(flo_select_token_next(text, &at, &after, err));
    if (token.kind != FLO_SELECT_TOKEN_WORD || after.kind != FLO_SELECT_TOKEN_END) {
        return flo_select_fail(err, token.column, "one field belongs here");
    }
    return flo_select_name_read(&token, known, out, err);
}

const char *flo_selector_moving(const struct flo_selector *selector)
{
    for (size_t i = 0; i < selector->term_count; i++) {
        uint8_t field = selector->terms[i].name.field;
        if (field == FLO_SELECT_VERSION) {
            return "release.MODEL";
        }
        if (field < FLO_SELECT_FIELDS && flo_select_facts[field].is_moving) {
            return flo_select_facts[field].word;
        }
    }
    return NULL;
}

bool flo_selector_reads_label(const struct flo_selector *selector, const char *key)
{
    for (size_t i = 0; i < selector->term_count; i++) {
        const struct flo_select_name *name = &selector->terms[i].name;
        if (name->field == FLO_SELECT_LABEL && strcmp(name->key, key) == 0) {
            return true;
        }
    }
    return false;
}

const char *flo_selector_value(const struct flo_selector *selector, enum flo_select_field field,
                               size_t i)
{
    for (size_t t = 0; t < selector->term_count; t++) {
        const struct flo_select_term *term = &selector->terms[t];
        if (term->name.field != field) {
            continue;
        }
        if (i < term->value_count) {
            return selector->pool + selector->values[term->value_first + i];
        }
        i -= term->value_count;
    }
    return NULL;
}
