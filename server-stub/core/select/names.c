/* Selectors: reads the names of fields, and values in their units. */
#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "server-stub/core/device/condition.h"
#include "server-stub/core/select/tokens.h"

#define STEADY false
#define MOVING true
const struct flo_select_fact flo_select_facts[FLO_SELECT_FIELDS] = {
#define FLO_SELECT_FIELD(name, word, kind, unit, changes, meaning)                                 \
    [FLO_SELECT_##name] = {word, FLO_SELECT_##kind, FLO_SELECT_UNIT_##unit, changes},
#include "server-stub/core/select/fields.def"
};
#undef STEADY
#undef MOVING

static const char *const words[] = {
#define FLO_SELECT_FIELD(name, word, kind, unit, changes, meaning) word,
#include "server-stub/core/select/fields.def"
};

enum flo_select_kind flo_select_kind_of(const struct flo_select_name *name)
{
    return name->field < FLO_SELECT_FIELDS ? flo_select_facts[name->field].kind : FLO_SELECT_TEXT;
}

const char *flo_select_label_value(const struct flo_select_device *device, const char *key)
{
    const struct flo_select_label *label = device->labels;

    while (label != NULL && label->key != NULL) {
        if (strcmp(label->key, key) == 0) {
            return label->value;
        }
        label++;
    }
    return "";
}

bool flo_select_has_texts(const struct flo_select_name *name)
{
    enum flo_select_kind kind = flo_select_kind_of(name);

    return name->field != FLO_SELECT_VERSION &&
           (kind == FLO_SELECT_TEXT || kind == FLO_SELECT_LIST);
}

const char *flo_select_text_of(const struct flo_select_name *name,
                               const struct flo_select_device *device, size_t i)
{
    const union flo_select_value *value =
        name->field < FLO_SELECT_FIELDS ? &device->values[name->field] : NULL;

    if (flo_select_kind_of(name) == FLO_SELECT_LIST) {
        const char *const *list = value->list;
        while (i > 0 && list != NULL && *list != NULL) {
            list++;
            i--;
        }
        return list != NULL ? *list : NULL;
    }
    const char *text = value != NULL ? value->text : flo_select_label_value(device, name->key);
    return i == 0 && text != NULL && text[0] != '\0' ? text : NULL;
}

void flo_select_device_init(struct flo_select_device *device)
{
    memset(device, 0, sizeof(*device));
    for (int i = 0; i < FLO_SELECT_FIELDS; i++) {
        if (flo_select_facts[i].kind == FLO_SELECT_NUMBER) {
            device->values[i].number = NAN;
        }
    }
}

/* ---- names ---- */

/* Reads names like "release.help" and "label.site": takes the part after the
 * dot. */
static int keyed(const struct flo_select_token *token, const char *head,
                 enum flo_select_field field, struct flo_select_name *out, bool *is_it,
                 struct flo_err *err)
{
    size_t chars = strlen(head);

    *is_it = strncmp(token->text, head, chars) == 0;
    if (!*is_it) {
        return 0;
    }
    if (!flo_name_is_valid(token->text + chars)) {
        return flo_select_fail(err, token->column + chars, "`%.80s` is no name of a %s",
                               token->text + chars, field == FLO_SELECT_LABEL ? "label" : "model");
    }
    out->field = (uint8_t)field;
    snprintf(out->key, sizeof(out->key), "%.64s", token->text + chars);
    return 0;
}

static int unknown(const struct flo_select_token *token, struct flo_err *err)
{
    const char *nearest = flo_nearest(token->text, words, FLO_SELECT_FIELDS);
    int rv = flo_select_fail(err, token->column,
                             "`%.80s` is no field, and no device has a label "
                             "of that name%s%s%s",
                             token->text, nearest != NULL ? "; nearest: `" : "",
                             nearest != NULL ? nearest : "", nearest != NULL ? "`" : "");

    flo_err_fix(err,
                "see docs/reference/fields.md; label.%.64s is a label that no "
                "device has yet",
                token->text);
    return rv;
}

int flo_select_name_read(const struct flo_select_token *token, const struct flo_select_known *known,
                         struct flo_select_name *out, struct flo_err *err)
{
    bool is_it = false;

    memset(out, 0, sizeof(*out));
    for (int i = 0; i < FLO_SELECT_FIELDS; i++) {
        if (strcmp(words[i], token->text) == 0) {
            out->field = (uint8_t)i;
            return 0;
        }
    }
    FLO_TRY(keyed(token, "label.", FLO_SELECT_LABEL, out, &is_it, err));
    if (!is_it) {
        FLO_TRY(keyed(token, "release.", FLO_SELECT_VERSION, out, &is_it, err));
    }
    if (is_it) {
        return 0;
    }
    if (!flo_name_is_valid(token->text) ||
        (known != NULL && !known->has_label(known->context, token->text))) {
        return unknown(token, err);
    }
    out->field = FLO_SELECT_LABEL;
    snprintf(out->key, sizeof(out->key), "%.64s", token->text);
    return 0;
}

/* ---- values ---- */

struct scale {
    const char *word;
    double factor;
};
static const struct scale bytes[] = {
    {"", 1},         {"B", 1},    {"KiB", 0x1p10}, {"MiB", 0x1p20}, {"GiB", 0x1p30},
    {"TiB", 0x1p40}, {"kB", 1e3}, {"MB", 1e6},     {"GB", 1e9},     {"TB", 1e12},
};
static const struct scale times[] = {
    {"ms", 1}, {"s", 1e3}, {"m", 60e3}, {"h", 3600e3}, {"d", 24 * 3600e3}, {"w", 7 * 24 * 3600e3},
};
static const struct scale plain[] = {{"", 1}, {"%", 1}};

/* Reads digits with at most one point; *end gets the text behind them.  Returns
 * NAN when there are no digits. */
static double digits(const char *text, const char **end)
{
    double value = 0;
    double place = 1;
    bool is_any = false;
    bool is_behind = false;

    for (; (*text >= '0' && *text <= '9') || (*text == '.' && !is_behind); text++) {
        if (*text == '.') {
            is_behind = true;
            continue;
        }
        is_any = true;
        if (is_behind) {
            place /= 10;
            value += (*text - '0') * place;
        } else {
            value = value * 10 + (*text - '0');
        }
    }
    *end = text;
    return is_any ? value : NAN;
}

static int number(const struct flo_select_token *token, const char *word,
                  const struct scale *scales, size_t count, const char *example, double *out,
                  struct flo_err *err)
{
    bool is_less = token->text[0] == '-';
    const char *unit;
    double value = digits(token->text + is_less, &unit);

    for (size_t i = 0; i < count && !isnan(value); i++) {
        if (strcmp(unit, scales[i].word) == 0) {
            *out = (is_less ? -1 : 1) * value * scales[i].factor;
            return 0;
        }
    }
    return flo_select_fail(err, token->column, "%s: %s belongs here, not `%.80s`", word, example,
                           token->text);
}

/* Checks a word against the fixed set of words of its field. */
static int check_word(const struct flo_select_token *token, const struct flo_select_name *name,
                      struct flo_err *err)
{
    if (name->field == FLO_SELECT_STATE && strcmp(token->text, "online") != 0 &&
        strcmp(token->text, "offline") != 0) {
        return flo_select_fail(err, token->column,
                               "state: online or offline belongs here, not "
                               "`%.80s`",
                               token->text);
    }
    enum flo_condition condition;
    if (name->field == FLO_SELECT_CONDITION && !flo_condition_parse(token->text, &condition)) {
        return flo_select_fail(err, token->column,
                               "condition: maintenance, failed, degraded, "
                               "offline, drift, updating or ok belongs here, "
                               "not `%.80s`",
                               token->text);
    }
    return 0;
}

int flo_select_value_read(const struct flo_select_token *token, const struct flo_select_name *name,
                          double *out, struct flo_err *err)
{
    const struct flo_select_fact *fact;

    *out = 0;
    if (name->field >= FLO_SELECT_FIELDS) {
        return 0;
    }
    fact = &flo_select_facts[name->field];
    switch (fact->kind) {
    case FLO_SELECT_TEXT:
    case FLO_SELECT_LIST:
        break;
    case FLO_SELECT_FLAG:
        *out = strcmp(token->text, "true") == 0;
        return *out > 0 || strcmp(token->text, "false") == 0
                   ? 0
                   : flo_select_fail(err, token->column,
                                     "%s: true or false belongs here, not "
                                     "`%.80s`",
                                     fact->word, token->text);
    case FLO_SELECT_AGE:
    case FLO_SELECT_NUMBER:
        return fact->unit == FLO_SELECT_UNIT_BYTES
                   ? number(token, fact->word, bytes, FLO_COUNT(bytes), "a size as 200MiB", out,
                            err)
               : fact->unit == FLO_SELECT_UNIT_MS
                   ? number(token, fact->word, times, FLO_COUNT(times), "a time as 10m or 250ms",
                            out, err)
                   : number(token, fact->word, plain, FLO_COUNT(plain), "a number", out, err);
    }
    return check_word(token, name, err);
}
