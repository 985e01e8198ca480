/* Flags: finds the row of a flag and reads its value. */
#include "base/args/parts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

const struct flo_flag flo_flags_json[] = {
    {"output", "table|json", "form of the answer", FLO_ASKED, .letter = 'o'},
    {"json", NULL, "the same as --output json", FLO_ASKED},
    FLO_FLAGS_END,
};

bool flo_args_is_flag(const char *word)
{
    return word[0] == '-' && word[1] != '\0';
}

/* Returns the length of the name in "--name", "--name=value" or "-n", and
 * points *name to it. */
static size_t name_of(const char *word, const char **name)
{
    *name = word + (word[1] == '-' ? 2 : 1);
    return strcspn(*name, "=");
}

const char *flo_args_value_in(const char *word)
{
    const char *equals = strchr(word, '=');

    if (word[1] != '-' && word[2] != '\0') {
        return word + (word[2] == '=' ? 3 : 2);
    }
    return equals != NULL ? equals + 1 : NULL;
}

/* Tells whether a word is the flag by its letter: "-o", "-o=json" and, for a
 * flag with a value, "-ojson".  "-output" is refused. */
static bool fits_letter(const struct flo_flag *flag, const char *name, size_t chars)
{
    bool is_it = flag->letter == name[0] || (flag->name[0] == name[0] && flag->name[1] == '\0');
    bool is_name = strlen(flag->name) == chars && memcmp(flag->name, name, chars) == 0;

    return is_it && (chars == 1 || (flag->value != NULL && !is_name));
}

const struct flo_flag *flo_args_find_in(const struct flo_flag *flags, const char *word)
{
    const char *name;
    size_t chars = name_of(word, &name);
    bool is_short = word[1] != '-';

    for (; flags != NULL && flags->name != NULL; flags++) {
        if (is_short ? fits_letter(flags, name, chars)
                     : strlen(flags->name) == chars && memcmp(flags->name, name, chars) == 0) {
            return flags;
        }
    }
    return NULL;
}

const struct flo_flag *flo_args_find(const struct flo_args *args, const char *word, bool is_global)
{
    const struct flo_flag *flag = NULL;

    for (size_t i = 0; !is_global && flag == NULL && i < FLO_VERB_TABLES; i++) {
        flag = flo_args_find_in(args->verb->flags[i], word);
    }
    return flag != NULL ? flag : flo_args_find_in(args->program->flags, word);
}

void flo_args_refuse_flag(const struct flo_args_program *program, const struct flo_verb *verb,
                          const char *word, struct flo_err *err)
{
    const char *names[4 * FLO_ARGS_MAX];
    char call[FLO_CALL_BYTES], bare[64];
    const char *name;
    size_t count = 0;
    size_t chars = name_of(word, &name);

    names[count++] = "help";
    for (size_t i = 0; i <= FLO_VERB_TABLES; i++) {
        const struct flo_flag *at = i == FLO_VERB_TABLES ? program->flags
                                    : verb == NULL       ? NULL
                                                         : verb->flags[i];
        for (; at != NULL && at->name != NULL && count < FLO_COUNT(names); at++) {
            names[count++] = at->name;
        }
    }
    flo_args_call(program, verb, call);
    snprintf(bare, sizeof(bare), "%.*s", (int)chars, name);
    const char *near = chars > 1 ? flo_nearest(bare, names, count) : NULL;
    flo_fail(err, FLO_E_USAGE, "`%.*s` is no flag of `%s`", (int)(name - word) + (int)chars, word,
             call);
    if (near != NULL) {
        flo_err_fix(err, "did you mean `--%s`?", near);
    } else {
        flo_err_fix(err, "%s --help lists the flags", call);
    }
}

/* ---- values ---- */

int flo_args_read_number(const struct flo_flag *flag, const char *text, uint64_t min, uint64_t max,
                         uint64_t *out, struct flo_err *err)
{
    char *end;

    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0 || value < min ||
        value > max) {
        return flo_fail(err, FLO_E_USAGE, "--%s is `%.80s`, not a number from %llu to %llu",
                        flag->name, text, (unsigned long long)min, (unsigned long long)max);
    }
    *out = value;
    return 0;
}

static void duration(uint64_t ms, char *out, size_t out_bytes)
{
    static const struct {
        uint64_t ms;
        const char *unit;
    } units[] = {{86400000, "d"}, {3600000, "h"}, {60000, "m"}, {1000, "s"}};

    for (size_t i = 0; i < FLO_COUNT(units); i++) {
        if (ms % units[i].ms == 0 && ms > 0) {
            snprintf(out, out_bytes, "%llu%s", (unsigned long long)(ms / units[i].ms),
                     units[i].unit);
            return;
        }
    }
    snprintf(out, out_bytes, ms == 0 ? "0s" : "%llums", (unsigned long long)ms);
}

int flo_args_read_ms(const struct flo_flag *flag, const char *text, uint64_t *out,
                     struct flo_err *err)
{
    char least[32], most[32];
    uint64_t ms;

    if (flo_duration_parse(text, &ms) && ms >= flag->min && (flag->max == 0 || ms <= flag->max)) {
        *out = ms;
        return 0;
    }
    if (flag->max == 0) {
        return flo_fail(err, FLO_E_USAGE, "--%s is `%.80s`, not a duration (500ms 30s 15m 6h 2d)",
                        flag->name, text);
    }
    duration(flag->min, least, sizeof(least));
    duration(flag->max, most, sizeof(most));
    return flo_fail(err, FLO_E_USAGE, "--%s is `%.80s`, not a duration from %s to %s", flag->name,
                    text, least, most);
}

/* Adds the nearest word of a list "json|table" to the error, if one is near. */
static int offer_choice(const char *text, const char *list, struct flo_err *err)
{
    char words[16][32];
    const char *names[16];
    size_t count = 0;

    for (const char *at = list; at != NULL && count < FLO_COUNT(words); at = strchr(at, '|')) {
        at += *at == '|';
        snprintf(words[count], sizeof(words[0]), "%.*s", (int)strcspn(at, "|"), at);
        names[count] = words[count];
        count++;
    }
    const char *near = flo_nearest(text, names, count);
    return near != NULL ? flo_err_fix(err, "did you mean `%s`?", near) : FLO_E_USAGE;
}

/* Checks a value against the list "json|table".  "FILE|none" is no list of
 * words, because it has a placeholder in capitals. */
static int check_choice(const struct flo_flag *flag, const char *text, struct flo_err *err)
{
    const char *list = flag->value;
    size_t chars = strlen(text);

    if (strchr(list, '|') == NULL || strpbrk(list, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != NULL) {
        return 0;
    }
    for (const char *at = list; at != NULL; at = strchr(at, '|')) {
        at += *at == '|';
        if (strcspn(at, "|") == chars && memcmp(at, text, chars) == 0) {
            return 0;
        }
    }
    flo_fail(err, FLO_E_USAGE, "--%s is `%.80s`, not one of %s", flag->name, text, list);
    return offer_choice(text, list, err);
}

/* Stores the value of a flag in the member that the flag names. */
static int take(const struct flo_flag *flag, const char *value, void *state, struct flo_err *err)
{
    void *out = (char *)state + flag->offset;
    uint64_t number;

    FLO_TRY(flag->value == NULL ? 0 : check_choice(flag, value, err));
    if (flag->take != NULL) {
        return flag->take(state, value, err);
    }
    switch (flag->kind) {
    case FLO_FLAG_ASKED:
        break;
    case FLO_FLAG_TEXT:
        *(const char **)out = value;
        break;
    case FLO_FLAG_SWITCH:
        *(bool *)out = true;
        break;
    case FLO_FLAG_U64:
        return flo_args_read_number(flag, value, flag->min, flag->max > 0 ? flag->max : UINT64_MAX,
                                    out, err);
    case FLO_FLAG_U32:
        FLO_TRY(flo_args_read_number(flag, value, flag->min, flag->max > 0 ? flag->max : UINT32_MAX,
                                     &number, err));
        *(uint32_t *)out = (uint32_t)number;
        break;
    case FLO_FLAG_MS:
        return flo_args_read_ms(flag, value, out, err);
    }
    return 0;
}

bool flo_args_asks_json(const struct flo_flag *flag, const char *value)
{
    return strcmp(flag->name, "json") == 0 ||
           (strcmp(flag->name, "output") == 0 && strcmp(value, "json") == 0);
}

int flo_args_read_flag(struct flo_args *args, int argc, char *const *argv, int *at, bool is_global,
                       struct flo_err *err)
{
    const char *word = argv[*at];
    const char *value = flo_args_value_in(word);
    const struct flo_flag *flag = flo_args_find(args, word, is_global);

    if (flag == NULL) {
        flo_args_refuse_flag(args->program, args->verb, word, err);
        return FLO_E_USAGE;
    }
    if (flag->value == NULL && value != NULL) {
        return flo_fail(err, FLO_E_USAGE, "--%s takes no value", flag->name);
    }
    if (args->flag_count == FLO_ARGS_MAX) {
        return flo_fail(err, FLO_E_USAGE, "more than %d flags", FLO_ARGS_MAX);
    }
    if (flag->value == NULL) {
        value = "";
    } else if (value == NULL && *at + 1 == argc) {
        return flo_fail(err, FLO_E_USAGE, "--%s needs a value: %s", flag->name, flag->value);
    } else if (value == NULL) {
        value = argv[++*at];
    }
    args->flags[args->flag_count] = flag;
    args->values[args->flag_count++] = value;
    args->is_json = args->is_json || flo_args_asks_json(flag, value);
    return take(flag, value, args->verb->state, err);
}
