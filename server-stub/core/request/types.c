/* Types: checks one value of a request against its row of types.def. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "proto/policy.h"
#include "server-stub/core/access/grants.h"
#include "server-stub/core/request/types.h"

#include <flotilla/proto.h>

static const struct flo_rest_type types[] = {
#define FLO_REST_TYPE(word, kind, least, most, form, meaning)                                      \
    {word, FLO_REST_##kind, least, most, form},
#include "server-stub/core/request/types.def"
#undef FLO_REST_TYPE
};

const struct flo_rest_type *flo_rest_type_find(const char *word, size_t chars)
{
    for (size_t i = 0; i < FLO_COUNT(types); i++) {
        if (strncmp(types[i].word, word, chars) == 0 && types[i].word[chars] == '\0') {
            return &types[i];
        }
    }
    return NULL;
}

static size_t characters(const char *text)
{
    size_t count = 0;

    for (; *text != '\0'; text++) {
        count += ((unsigned char)*text & 0xc0) != 0x80 ? 1 : 0;
    }
    return count;
}

static bool is_one_of(const char *form, const char *text)
{
    size_t chars = strcspn(text, "|");

    if (text[chars] != '\0') {
        return false;
    }
    for (const char *at = form; at != NULL; at = strchr(at, '|')) {
        at += *at == '|' ? 1 : 0;
        if (chars > 0 && strncmp(at, text, chars) == 0 && (at[chars] == '|' || at[chars] == '\0')) {
            return true;
        }
    }
    return false;
}

static bool is_title(const char *text)
{
    char model[FLO_NAME_MAX + 1];
    char version[FLO_NAME_MAX + 1];

    return flo_release_title_parse(text, model, version, NULL) == 0;
}

static bool is_pair(const char *text)
{
    char name[FLO_NAME_MAX + 1];
    size_t chars = strcspn(text, "=");

    if (text[chars] != '=' || chars > FLO_NAME_MAX) {
        return false;
    }
    memcpy(name, text, chars);
    name[chars] = '\0';
    return flo_name_is_valid(name);
}

static bool is_metric(const char *text)
{
    int metric;

    return flo_metric_parse(text, &metric);
}

static bool fits_text(const struct flo_rest_type *type, const char *text)
{
    struct flo_grants grants;
    size_t chars = characters(text);

    switch (type->kind) {
    case FLO_REST_NAME:
        return flo_name_is_valid(text);
    case FLO_REST_TITLE:
        return is_title(text);
    case FLO_REST_WORD:
        return is_one_of(type->form, text);
    case FLO_REST_METRIC:
        return is_metric(text);
    case FLO_REST_GRANTS:
        return flo_grants_parse(text, &grants);
    case FLO_REST_PAIR:
        return is_pair(text) && (double)chars <= type->most;
    case FLO_REST_LINE:
        if (!flo_text_is_line(text)) {
            return false;
        }
        break;
    default:
        break;
    }
    return (double)chars >= type->least && (double)chars <= type->most;
}

static bool fits_number(const struct flo_rest_type *type, double number)
{
    return number >= type->least && number <= type->most &&
           (type->kind == FLO_REST_REAL || number == (double)(int64_t)number);
}

static bool is_text_kind(enum flo_rest_kind kind)
{
    return kind == FLO_REST_TEXT || kind == FLO_REST_LINE || kind == FLO_REST_NAME ||
           kind == FLO_REST_TITLE || kind == FLO_REST_WORD || kind == FLO_REST_METRIC ||
           kind == FLO_REST_GRANTS || kind == FLO_REST_PAIR || kind == FLO_REST_ID;
}

static bool is_number_kind(enum flo_rest_kind kind)
{
    return kind == FLO_REST_WHOLE || kind == FLO_REST_REAL;
}

/* Fails with an error that names the place, the expected value and the given
 * one. */
static int misfit(const struct flo_rest_type *type, const char *where, const char *value,
                  struct flo_err *err)
{
    switch (type->kind) {
    case FLO_REST_NAME:
        return flo_fail(err, FLO_E_REST_SCHEMA,
                        "`%s`: a name belongs here (a-z 0-9 . _ -, at most "
                        "%d characters), not %s",
                        where, FLO_NAME_MAX, value);
    case FLO_REST_TITLE:
        return flo_fail(err, FLO_E_REST_SCHEMA, "`%s`: model@version belongs here, not %s", where,
                        value);
    case FLO_REST_WORD:
        return flo_fail(err, FLO_E_REST_SCHEMA, "`%s`: one of %s belongs here, not %s", where,
                        type->form, value);
    case FLO_REST_GRANTS:
        return flo_fail(err, FLO_E_REST_SCHEMA,
                        "`%s`: viewer, operator, releaser, admin or auditor "
                        "belongs here, the first two also as operator:GROUP, "
                        "up to %d apart by commas, not %s",
                        where, FLO_GRANTS_MAX, value);
    case FLO_REST_METRIC:
        return flo_fail(err, FLO_E_REST_SCHEMA,
                        "`%s`: a metric belongs here (ttft_us, errors …: "
                        "docs/reference/metrics.md), not %s",
                        where, value);
    case FLO_REST_PAIR:
        return flo_fail(err, FLO_E_REST_SCHEMA, "`%s`: key=value belongs here, not %s", where,
                        value);
    case FLO_REST_WHOLE:
    case FLO_REST_REAL:
        return flo_fail(err, FLO_E_REST_SCHEMA,
                        "`%s`: a %snumber from %.16g to %.16g belongs here, "
                        "not %s",
                        where, type->kind == FLO_REST_WHOLE ? "whole " : "", type->least,
                        type->most, value);
    case FLO_REST_FLAG:
        return flo_fail(err, FLO_E_REST_SCHEMA, "`%s`: true or false belongs here, not %s", where,
                        value);
    case FLO_REST_LIST:
        return flo_fail(err, FLO_E_REST_SCHEMA,
                        "`%s`: an array of %.0f to %.0f elements belongs "
                        "here, not %s",
                        where, type->least, type->most, value);
    case FLO_REST_OBJECT:
        return flo_fail(err, FLO_E_REST_SCHEMA, "`%s`: an object belongs here, not %s", where,
                        value);
    default:
        return flo_fail(err, FLO_E_REST_SCHEMA,
                        "`%s`: a text of %.0f to %.0f characters belongs "
                        "here, not %s",
                        where, type->least, type->most, value);
    }
}

/* Writes the value in the form that the error shows. */
static void shown(const json_t *value, char *out, size_t bytes)
{
    char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);

    snprintf(out, bytes, "%.*s", (int)bytes - 1, text != NULL ? text : "?");
    size_t valid = flo_utf8_valid(out, strlen(out));
    out[valid] = '\0';
    free(text);
}

static bool fits(const struct flo_rest_type *type, const json_t *value)
{
    size_t count = json_array_size(value);

    switch (type->kind) {
    case FLO_REST_WHOLE:
        return json_is_integer(value) && fits_number(type, json_number_value(value));
    case FLO_REST_REAL:
        return json_is_number(value) && fits_number(type, json_number_value(value));
    case FLO_REST_FLAG:
        return json_is_boolean(value);
    case FLO_REST_LIST:
        return json_is_array(value) && (double)count >= type->least && (double)count <= type->most;
    case FLO_REST_OBJECT:
        return json_is_object(value);
    case FLO_REST_ANY:
        return true;
    default:
        return json_is_string(value) && fits_text(type, json_string_value(value));
    }
}

int flo_rest_type_check(const struct flo_rest_type *type, const char *where, const json_t *value,
                        struct flo_err *err)
{
    char text[80];

    assert(type != NULL && value != NULL);
    if (fits(type, value)) {
        return 0;
    }
    shown(value, text, sizeof(text));
    return misfit(type, where, text, err);
}

int flo_rest_type_check_text(const struct flo_rest_type *type, const char *where, const char *value,
                             struct flo_err *err)
{
    char text[80];
    char *end = NULL;
    bool is_good = true;

    assert(type != NULL && value != NULL);
    if (type->kind == FLO_REST_FLAG) {
        is_good = is_one_of("true|false", value);
    } else if (is_number_kind(type->kind)) {
        double number = strtod(value, &end);
        is_good = value[0] != '\0' && strspn(value, "0123456789.") == strlen(value) &&
                  *end == '\0' && fits_number(type, number) &&
                  (type->kind == FLO_REST_REAL || strchr(value, '.') == NULL);
    } else if (is_text_kind(type->kind)) {
        is_good = fits_text(type, value);
    }
    if (is_good) {
        return 0;
    }
    snprintf(text, sizeof(text), "`%.70s", value);
    text[flo_utf8_valid(text, strlen(text))] = '\0';
    strcat(text, "`");
    return misfit(type, where, text, err);
}
