/* Command-line reader: reads a line by the tables of its program. */
#include <assert.h>
#include <string.h>

#include "base/args/parts.h"
#include "base/left_out.h"

size_t flo_args_words(const char *usage, size_t *min, size_t *max)
{
    const char *at = usage;
    size_t needed = 0;

    *min = *max = 0;
    while (at[0] != '\0') {
        size_t chars = strcspn(at, " ");
        bool is_maybe = at[0] == '[';
        char c = at[is_maybe];

        if (c < 'A' || c > 'Z') {
            break;
        }
        if (!is_maybe) {
            *min += 1;
            needed = (size_t)(at - usage) + chars;
        }
        *max += 1;
        if (chars > 3 && memcmp(at + chars - 3, "...", 3) == 0) {
            *max = FLO_ARGS_MAX;
        }
        at += chars + (at[chars] == ' ');
    }
    if (strstr(usage, " | ") != NULL) {
        *min = 0;
    }
    return needed;
}

/* Adds the usage of the verb to an error, as the error's fix. */
static int show_usage(const struct flo_verb *verb, const char *call, struct flo_err *err)
{
    return flo_err_fix(err, "%s%s%s", call, verb->usage[0] != '\0' ? " " : "", verb->usage);
}

/* Checks that all needed words and flags are present, and no extra ones. */
static int check(const struct flo_args *args, struct flo_err *err)
{
    const struct flo_verb *verb = args->verb;
    char call[FLO_CALL_BYTES];
    size_t min, max;

    size_t needed = flo_args_words(verb->usage, &min, &max);
    flo_args_call(args->program, verb, call);
    if (args->word_count > max) {
        flo_fail(err, FLO_E_USAGE, "`%.80s` is too much for `%s`", args->words[max], call);
        return show_usage(verb, call, err);
    }
    if (args->word_count < min) {
        flo_fail(err, FLO_E_USAGE, "`%s` needs %.*s", call, (int)needed, verb->usage);
        return show_usage(verb, call, err);
    }
    for (size_t i = 0; i < FLO_VERB_TABLES; i++) {
        const struct flo_flag *flag = verb->flags[i];
        for (; flag != NULL && flag->name != NULL; flag++) {
            if (flag->is_needed && !flo_args_has(args, flag->name) &&
                (flag->unless == NULL || !flo_args_has(args, flag->unless))) {
                flo_fail(err, FLO_E_USAGE, "`%s` needs --%s %s", call, flag->name, flag->value);
                return show_usage(verb, call, err);
            }
        }
    }
    return 0;
}

/* Sets is_json after an error, when a later flag on the line asks for JSON. */
static void look_for_json(struct flo_args *args, int argc, char *const *argv, int at)
{
    for (; at < argc; at++) {
        const struct flo_flag *flag =
            flo_args_is_flag(argv[at]) ? flo_args_find(args, argv[at], false) : NULL;

        if (flag != NULL) {
            const char *value = flo_args_value_in(argv[at]);
            value = value != NULL ? value : at + 1 < argc ? argv[at + 1] : "";
            args->is_json = args->is_json || flo_args_asks_json(flag, value);
        }
    }
}

static int read_rest(struct flo_args *args, int argc, char *const *argv,
                     const struct flo_args_place *place, struct flo_buf *help, struct flo_err *err)
{
    bool only_words = false;

    for (int at = 1; at < argc; at++) {
        if (at == place->first || at == place->last) {
            continue;
        }
        if (only_words || !flo_args_is_flag(argv[at])) {
            if (args->word_count == FLO_ARGS_MAX) {
                return flo_fail(err, FLO_E_USAGE, "more than %d words", FLO_ARGS_MAX);
            }
            args->words[args->word_count++] = argv[at];
        } else if (strcmp(argv[at], "--") == 0) {
            only_words = true;
        } else if (flo_args_is_help(argv[at])) {
            flo_args_help(args->program, NULL, args->verb, help);
            return 0;
        } else {
            int rv = flo_args_read_flag(args, argc, argv, &at, at < place->last, err);
            if (rv < 0) {
                look_for_json(args, argc, argv, at);
                return rv;
            }
        }
    }
    return check(args, err);
}

int flo_args_read(const struct flo_args_program *program, int argc, char *const *argv,
                  struct flo_args **out, struct flo_buf *help, struct flo_err *err)
{
    struct flo_args_place place = {0};

    assert(program->count <= FLO_VERBS_MAX && err != NULL);
    *out = NULL;
    if (program->count == 1 && program->verbs[0]->name[0] == '\0') {
        place.verb = program->verbs[0];
    }
    if (argc > 1 && strcmp(argv[1], "--version") == 0) {
        place.verb = flo_args_verb_of(program, "version", NULL);
        place.first = place.last = 1;
        if (place.verb == NULL) {
            flo_buf_printf(help, "%s %s\n", program->name, FLO_VERSION);
            return 0;
        }
    }
    FLO_TRY(place.verb != NULL ? 0 : flo_args_find_verb(program, argc, argv, &place, help, err));
    if (help->bytes > 0) {
        return 0;
    }
    if (place.verb->left_out != NULL) {
        return flo_left_out(err, place.verb->name, place.verb->left_out);
    }
    *out = place.verb->state;
    **out = (struct flo_args){.program = program, .verb = place.verb};
    int rv = read_rest(*out, argc, argv, &place, help, err);
    if (rv < 0 && err->fix[0] == '\0') {
        char call[FLO_CALL_BYTES];

        flo_args_call(program, place.verb, call);
        flo_err_fix(err, "%s --help", call);
    }
    return rv;
}
