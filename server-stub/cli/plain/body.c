/* Body: builds the body of a plain verb's call from the command's flags. */
#include <stdlib.h>
#include <string.h>

#include "server-stub/cli/plain/plain.h"

static int add_count(const struct flo_cli *cli, const struct flo_plain_field *field, json_t *body,
                     struct flo_err *err)
{
    uint64_t number = 0;
    int rv = flo_args_u64(&cli->args, field->flag, field->min, field->max, field->standard, &number,
                          err);

    json_object_set_new(body, field->member, json_integer((json_int_t)number));
    return rv;
}

static int add_share(const char *text, const struct flo_plain_field *field, json_t *body,
                     struct flo_err *err)
{
    char *end;
    double value = strtod(text, &end);
    bool is_share = strcmp(end, "%") == 0;

    if (end == text || (end[0] != '\0' && !is_share) || !(value >= -1e300 && value <= 1e300)) {
        return flo_fail(err, FLO_E_USAGE, "--%s %.40s: a number, or a share as 5%%", field->flag,
                        text);
    }
    if (is_share) {
        json_object_set_new(body, "unit", json_string("percent"));
    }
    json_object_set_new(body, field->member, json_real(value));
    return 0;
}

static int add_span(const struct flo_cli *cli, const struct flo_plain_field *field, json_t *body,
                    struct flo_err *err)
{
    uint64_t ms = 0;
    int rv = flo_args_ms(&cli->args, field->flag, 0, &ms, err);

    json_object_set_new(body, field->member, json_integer((json_int_t)ms));
    return rv;
}

static int add_time(const char *text, const struct flo_plain_field *field, json_t *body,
                    struct flo_err *err)
{
    uint64_t ms;

    if (!flo_time_parse(text, &ms)) {
        return flo_fail(err, FLO_E_USAGE,
                        "--%s `%.40s` is no time by UTC as "
                        "2027-12-20T18:00:00Z",
                        field->flag, text);
    }
    json_object_set_new(body, field->member, json_integer((json_int_t)ms));
    return 0;
}

/* Adds a pair "NAME=TEXT" as a member of `out`.  Returns false if the name is
 * missing. */
static bool add_pair(const char *text, json_t *out)
{
    const char *equals = strchr(text, '=');
    char name[FLO_NAME_MAX + 1];

    if (equals == NULL || equals == text || equals - text >= (ptrdiff_t)sizeof(name)) {
        return false;
    }
    snprintf(name, sizeof(name), "%.*s", (int)(equals - text), text);
    json_object_set_new(out, name, json_string(equals + 1));
    return true;
}

static int add_pairs(const struct flo_cli *cli, const struct flo_plain_field *field, json_t *body,
                     struct flo_err *err)
{
    json_t *pairs = json_object();
    const char *text;

    json_object_set_new(body, field->member, pairs);
    for (size_t i = 0; flo_args_each(&cli->args, field->flag, i, &text); i++) {
        if (!add_pair(text, pairs)) {
            return flo_fail(err, FLO_E_USAGE, "--%s %.60s: LABEL=VALUE", field->flag, text);
        }
    }
    return 0;
}

/* Adds a member for each word after the first, which is MEMBER=TEXT. */
static int add_values(const struct flo_cli *cli, json_t *body, struct flo_err *err)
{
    for (const char *const *word = cli->args.words + 1; *word != NULL; word++) {
        if (!add_pair(*word, body)) {
            return flo_fail(err, FLO_E_USAGE, "`%.60s` is no FIELD=TEXT", *word);
        }
    }
    return 0;
}

static int add(const struct flo_cli *cli, const struct flo_plain_field *field, json_t *body,
               struct flo_err *err)
{
    const char *text = field->kind == FLO_PLAIN_WORD ? cli->args.words[0]
                       : field->flag == NULL         ? NULL
                                                     : flo_args_text(&cli->args, field->flag, NULL);

    if (field->kind == FLO_PLAIN_COUNT) {
        return add_count(cli, field, body, err);
    }
    if (field->kind == FLO_PLAIN_SWITCH) {
        json_object_set_new(body, field->member, json_boolean(text != NULL));
        return 0;
    }
    if (field->kind == FLO_PLAIN_VALUES) {
        return add_values(cli, body, err);
    }
    if (text == NULL) {
        return 0;
    }
    switch (field->kind) {
    case FLO_PLAIN_SHARE:
        return add_share(text, field, body, err);
    case FLO_PLAIN_SPAN:
        return add_span(cli, field, body, err);
    case FLO_PLAIN_TIME:
        return add_time(text, field, body, err);
    case FLO_PLAIN_PAIRS:
        return add_pairs(cli, field, body, err);
    default:
        json_object_set_new(body, field->member, json_string(text));
        return 0;
    }
}

int flo_plain_body(const struct flo_cli *cli, const struct flo_plain_field *fields, json_t **out,
                   struct flo_err *err)
{
    int rv = 0;

    *out = fields->member != NULL ? json_object() : NULL;
    for (; fields->member != NULL && rv == 0; fields++) {
        rv = add(cli, fields, *out, err);
    }
    return rv;
}
