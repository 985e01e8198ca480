/* Verbs: finds the verb of a command line. */
#include "base/args/parts.h"

#include <string.h>

bool flo_args_is_help(const char *word)
{
    return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0;
}

const char *flo_args_plain(const struct flo_args_program *program, const char *word)
{
    const char *const(*at)[2] = program->aliases;

    for (; at != NULL && (*at)[0] != NULL; at++) {
        if (strcmp(word, (*at)[0]) == 0) {
            return (*at)[1];
        }
    }
    return word;
}

const struct flo_verb *flo_args_verb_of(const struct flo_args_program *program, const char *noun,
                                        const char *verb)
{
    size_t chars = strlen(noun);

    for (size_t i = 0; i < program->count; i++) {
        const char *name = program->verbs[i]->name;
        if (verb == NULL ? strcmp(name, noun) == 0
                         : strncmp(name, noun, chars) == 0 && name[chars] == ' ' &&
                               strcmp(name + chars + 1, verb) == 0) {
            return program->verbs[i];
        }
    }
    return NULL;
}

const struct flo_verb *flo_args_verb_named(const struct flo_args_program *program, const char *noun,
                                           const char *word)
{
    const char *name = flo_args_plain(program, word);
    const struct flo_verb *verb = noun == NULL ? flo_args_verb_of(program, name, NULL)
                                               : flo_args_verb_of(program, noun, word);

    return verb != NULL || noun == NULL ? verb : flo_args_verb_of(program, noun, name);
}

static bool is_noun(const struct flo_args_program *program, const char *noun)
{
    size_t chars = strlen(noun);

    for (size_t i = 0; i < program->count; i++) {
        const char *name = program->verbs[i]->name;
        if (strncmp(name, noun, chars) == 0 && name[chars] == ' ') {
            return true;
        }
    }
    return false;
}

#define ALIASES_MAX 32
/* Returns the first word of a verb that is nearest to `word`.  With a noun it
 * returns the nearest second word of the noun's verbs.  An alias gives the word
 * that the alias means. */
static const char *near_of(const struct flo_args_program *program, const char *noun,
                           const char *word, char names[][32])
{
    const char *list[FLO_VERBS_MAX + ALIASES_MAX] = {NULL};
    const char *const(*alias)[2] = program->aliases;
    size_t count = 0;

    for (size_t i = 0; i < program->count && i < FLO_VERBS_MAX; i++) {
        const char *name = program->verbs[i]->name;
        size_t first = strcspn(name, " ");
        if (noun == NULL) {
            snprintf(names[count], 32, "%.*s", (int)first, name);
            list[count] = names[count];
            count++;
        } else if (strncmp(name, noun, first) == 0 && noun[first] == '\0' && name[first] == ' ') {
            list[count++] = name + first + 1;
        }
    }
    for (; alias != NULL && (*alias)[0] != NULL && count < FLO_COUNT(list); alias++) {
        bool is_here = noun == NULL ? is_noun(program, (*alias)[1])
                                    : flo_args_verb_of(program, noun, (*alias)[1]) != NULL;
        list[count] = (*alias)[0];
        count += is_here;
    }
    const char *near = flo_nearest(word, list, count);
    return near == NULL ? NULL : flo_args_plain(program, near);
}

/* Returns the first verb whose second word, or its alias, is nearest to `word`,
 * for a line without a noun. */
static const struct flo_verb *near_of_any(const struct flo_args_program *program, const char *word)
{
    const char *list[FLO_VERBS_MAX + ALIASES_MAX] = {NULL};
    const char *const(*alias)[2] = program->aliases;
    size_t count = 0;

    for (size_t i = 0; i < program->count && i < FLO_VERBS_MAX; i++) {
        const char *second = strchr(program->verbs[i]->name, ' ');
        list[count] = second != NULL ? second + 1 : NULL;
        count += second != NULL;
    }
    for (; alias != NULL && (*alias)[0] != NULL && count < FLO_COUNT(list); alias++) {
        list[count++] = (*alias)[0];
    }
    const char *near = flo_nearest(word, list, count);
    near = near != NULL ? flo_args_plain(program, near) : "";
    for (size_t i = 0; i < program->count; i++) {
        const char *second = strchr(program->verbs[i]->name, ' ');
        if (second != NULL && strcmp(second + 1, near) == 0) {
            return program->verbs[i];
        }
    }
    return NULL;
}

static int refuse_verb(const struct flo_args_program *program, const char *noun, const char *word,
                       struct flo_err *err)
{
    char names[FLO_VERBS_MAX][32];
    const char *gap = noun != NULL ? " " : "";
    const char *const *at = noun == NULL ? program->elsewhere : NULL;
    const char *near = near_of(program, noun, word, names);

    noun = noun != NULL ? noun : "";
    flo_fail(err, FLO_E_USAGE, "`%s%s%.80s` is no command of %s", noun, gap, word, program->name);
    for (; at != NULL && *at != NULL; at++) {
        if (strcmp(word, *at) == 0) {
            return flo_err_fix(err, "%s %s does it (package %s)", program->elsewhere_program, word,
                               program->elsewhere_package);
        }
    }
    if (near != NULL) {
        return flo_err_fix(err, "did you mean `%s%s%s`?", noun, gap, near);
    }
    const struct flo_verb *any = noun[0] == '\0' ? near_of_any(program, word) : NULL;
    if (any != NULL) {
        return flo_err_fix(err, "did you mean `%s`?", any->name);
    }
    return flo_err_fix(err, "%s%s%s --help lists the commands", program->name, gap, noun);
}

/* Returns the index of the next word after argv[at], past the program's flags,
 * or 0 when there is none.  *odd is the index of a verb's flag that comes
 * before the word. */
static int next_word(const struct flo_args_program *program, int argc, char *const *argv, int at,
                     int *odd, bool *help)
{
    for (at++; at < argc; at++) {
        const char *word = argv[at];
        const struct flo_flag *flag;

        if (!flo_args_is_flag(word)) {
            return at;
        }
        if (flo_args_is_help(word)) {
            *help = true;
            continue;
        }
        flag = flo_args_find_in(program->flags, word);
        if (flag == NULL) {
            *odd = at;
            return 0;
        }
        at += flag->value != NULL && flo_args_value_in(word) == NULL;
    }
    return 0;
}

/* Fails for a noun that is not followed by one of its verbs. */
static int want_verb(const struct flo_args_program *program, const char *noun, bool asks_help,
                     struct flo_buf *help, struct flo_err *err)
{
    if (asks_help) {
        flo_args_help(program, noun, NULL, help);
        return 0;
    }
    flo_fail(err, FLO_E_USAGE, "`%s %s` needs a verb", program->name, noun);
    return flo_err_fix(err, "%s %s --help lists them", program->name, noun);
}

int flo_args_find_verb(const struct flo_args_program *program, int argc, char *const *argv,
                       struct flo_args_place *out, struct flo_buf *help, struct flo_err *err)
{
    bool asks_help = false;
    int odd = 0;
    int at = next_word(program, argc, argv, 0, &odd, &asks_help);

    if (at > 0 && strcmp(argv[at], "help") == 0) {
        asks_help = true;
        at = next_word(program, argc, argv, at, &odd, &asks_help);
    }
    out->first = out->last = at;
    if (at == 0 && asks_help && odd == 0) {
        flo_args_help(program, NULL, NULL, help);
        return 0;
    }
    if (at == 0 && program->standard != NULL) {
        out->verb = flo_args_verb_of(program, program->standard, NULL);
        return 0;
    }
    if (odd > 0 && at == 0) {
        flo_args_refuse_flag(program, NULL, argv[odd], err);
        return FLO_E_USAGE;
    }
    if (at == 0) {
        flo_fail(err, FLO_E_USAGE, "%s needs a command", program->name);
        flo_err_fix(err, "%s --help lists them", program->name);
        return FLO_E_USAGE;
    }
    const char *noun = flo_args_plain(program, argv[at]);
    out->verb = flo_args_verb_of(program, noun, NULL);
    if (out->verb == NULL && !is_noun(program, noun)) {
        return refuse_verb(program, NULL, argv[at], err);
    }
    if (out->verb == NULL) {
        at = next_word(program, argc, argv, at, &odd, &asks_help);
        if (at == 0) {
            return want_verb(program, noun, asks_help, help, err);
        }
        out->last = at;
        out->verb = flo_args_verb_named(program, noun, argv[at]);
        if (out->verb == NULL) {
            return refuse_verb(program, noun, argv[at], err);
        }
    }
    if (asks_help) {
        flo_args_help(program, NULL, out->verb, help);
    }
    return 0;
}
