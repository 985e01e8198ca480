/* A command line against the tables of its program. */
#include "base/args/args.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/args/inside.h"

/* The verb's words in argv; 0: not there. */
struct place {
    const struct flo_verb *verb;
    int first, last;
};

const struct flo_flag flo_flags_json[] = {
    {"output", "table|json", "form of the answer", FLO_ASKED, .letter = 'o'},
    {"json", NULL, "the same as --output json", FLO_ASKED},
    FLO_FLAGS_END,
};

static bool is_flag(const char *word)
{
    return word[0] == '-' && word[1] != '\0';
}

static bool is_help(const char *word)
{
    return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0;
}

/* ---- flags ---------------------------------------------------------- */

/* Name of "--name", "--name=value", "-n": its begin and length. */
static size_t name_of(const char *word, const char **name)
{
    *name = word + (word[1] == '-' ? 2 : 1);
    return strcspn(*name, "=");
}

static const struct flo_flag *find_in(const struct flo_flag *flags,
                                      const char *word)
{
    const char *name;
    size_t chars = name_of(word, &name);
    bool is_short = word[1] != '-';

    for (; flags != NULL && flags->name != NULL; flags++) {
        bool is_named = strlen(flags->name) == chars &&
                        memcmp(flags->name, name, chars) == 0;
        if (is_short ? chars == 1 && (is_named || flags->letter == name[0])
                     : is_named) {
            return flags;
        }
    }
    return NULL;
}

static const struct flo_flag *find(const struct flo_args *args,
                                   const char *word, bool is_global)
{
    const struct flo_flag *flag = NULL;

    for (size_t i = 0; !is_global && flag == NULL && i < FLO_VERB_TABLES; i++) {
        flag = find_in(args->verb->flags[i], word);
    }
    return flag != NULL ? flag : find_in(args->program->flags, word);
}

static void refuse_flag(const struct flo_args_program *program,
                        const struct flo_verb *verb, const char *word,
                        struct flo_err *err)
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
        for (; at != NULL && at->name != NULL && count < FLO_COUNT(names);
             at++) {
            names[count++] = at->name;
        }
    }
    flo_args_call(program, verb, call);
    snprintf(bare, sizeof(bare), "%.*s", (int)chars, name);
    const char *near = word[1] == '-' ? flo_nearest(bare, names, count) : NULL;
    flo_fail(err, FLO_E_USAGE, "`%.*s` is no flag of `%s`",
             (int)(name - word) + (int)chars, word, call);
    if (near != NULL) {
        flo_err_fix(err, "did you mean `--%s`?", near);
    } else {
        flo_err_fix(err, "%s --help lists the flags", call);
    }
}

/* ---- values --------------------------------------------------------- */

static int read_number(const struct flo_flag *flag, const char *text,
                       uint64_t min, uint64_t max, uint64_t *out,
                       struct flo_err *err)
{
    char *end;

    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0 ||
        value < min || value > max) {
        return flo_fail(
            err, FLO_E_USAGE, "--%s is `%.80s`, not a number from %llu to %llu",
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
            snprintf(out, out_bytes, "%llu%s",
                     (unsigned long long)(ms / units[i].ms), units[i].unit);
            return;
        }
    }
    snprintf(out, out_bytes, ms == 0 ? "0s" : "%llums", (unsigned long long)ms);
}

static int read_ms(const struct flo_flag *flag, const char *text, uint64_t *out,
                   struct flo_err *err)
{
    char least[32], most[32];
    uint64_t ms;

    if (flo_duration_parse(text, &ms) && ms >= flag->min &&
        (flag->max == 0 || ms <= flag->max)) {
        *out = ms;
        return 0;
    }
    if (flag->max == 0) {
        return flo_fail(err, FLO_E_USAGE,
                        "--%s is `%.80s`, not a duration (500ms 30s 15m 6h 2d)",
                        flag->name, text);
    }
    duration(flag->min, least, sizeof(least));
    duration(flag->max, most, sizeof(most));
    return flo_fail(err, FLO_E_USAGE,
                    "--%s is `%.80s`, not a duration from %s to %s", flag->name,
                    text, least, most);
}

/* "json|table" lists what is possible; "FILE|none" does not. */
static int check_choice(const struct flo_flag *flag, const char *text,
                        struct flo_err *err)
{
    const char *list = flag->value;
    size_t chars = strlen(text);

    if (strchr(list, '|') == NULL ||
        strpbrk(list, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != NULL) {
        return 0;
    }
    for (const char *at = list; at != NULL; at = strchr(at, '|')) {
        at += *at == '|';
        if (strcspn(at, "|") == chars && memcmp(at, text, chars) == 0) {
            return 0;
        }
    }
    return flo_fail(err, FLO_E_USAGE, "--%s is `%.80s`, not one of %s",
                    flag->name, text, list);
}

/* Put it where the flag says. */
static int take(const struct flo_flag *flag, const char *value, void *state,
                struct flo_err *err)
{
    void *out = (char *)state + flag->offset;
    uint64_t number;
    int rv = flag->value == NULL ? 0 : check_choice(flag, value, err);

    if (rv < 0 || flag->take != NULL) {
        return rv < 0 ? rv : flag->take(state, value, err);
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
        return read_number(flag, value, flag->min,
                           flag->max > 0 ? flag->max : UINT64_MAX, out, err);
    case FLO_FLAG_U32:
        rv = read_number(flag, value, flag->min,
                         flag->max > 0 ? flag->max : UINT32_MAX, &number, err);
        if (rv == 0) {
            *(uint32_t *)out = (uint32_t)number;
        }
        break;
    case FLO_FLAG_MS:
        return read_ms(flag, value, out, err);
    }
    return rv;
}

static bool asks_json(const struct flo_flag *flag, const char *value)
{
    return strcmp(flag->name, "json") == 0 ||
           (strcmp(flag->name, "output") == 0 && strcmp(value, "json") == 0);
}

/* The flag at argv[*at], which moves on when its value is the next one. */
static int read_flag(struct flo_args *args, int argc, char *const *argv,
                     int *at, bool is_global, struct flo_err *err)
{
    const char *word = argv[*at];
    const char *value = strchr(word, '=');
    const struct flo_flag *flag = find(args, word, is_global);

    if (flag == NULL) {
        refuse_flag(args->program, args->verb, word, err);
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
    } else if (value != NULL) {
        value++;
    } else if (*at + 1 == argc) {
        return flo_fail(err, FLO_E_USAGE, "--%s needs a value: %s", flag->name,
                        flag->value);
    } else {
        value = argv[++*at];
    }
    args->flags[args->flag_count] = flag;
    args->values[args->flag_count++] = value;
    args->is_json = args->is_json || asks_json(flag, value);
    return take(flag, value, args->verb->state, err);
}

/* ---- the verb ------------------------------------------------------- */

static const char *plain(const struct flo_args_program *program,
                         const char *word)
{
    const char *const(*at)[2] = program->aliases;

    for (; at != NULL && (*at)[0] != NULL; at++) {
        if (strcmp(word, (*at)[0]) == 0) {
            return (*at)[1];
        }
    }
    return word;
}

static const struct flo_verb *verb_of(const struct flo_args_program *program,
                                      const char *noun, const char *verb)
{
    size_t chars = strlen(noun);

    for (size_t i = 0; i < program->count; i++) {
        const char *name = program->verbs[i]->name;
        if (verb == NULL
                ? strcmp(name, noun) == 0
                : strncmp(name, noun, chars) == 0 && name[chars] == ' ' &&
                      strcmp(name + chars + 1, verb) == 0) {
            return program->verbs[i];
        }
    }
    return NULL;
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

/* The nearest first word of a verb, or of a noun's verbs the second. */
static const char *near_of(const struct flo_args_program *program,
                           const char *noun, const char *word, char names[][32])
{
    const char *list[FLO_VERBS_MAX] = {NULL};
    size_t count = 0;

    for (size_t i = 0; i < program->count && i < FLO_VERBS_MAX; i++) {
        const char *name = program->verbs[i]->name;
        size_t first = strcspn(name, " ");
        if (noun == NULL) {
            snprintf(names[count], 32, "%.*s", (int)first, name);
            list[count] = names[count];
            count++;
        } else if (strncmp(name, noun, first) == 0 && noun[first] == '\0' &&
                   name[first] == ' ') {
            list[count++] = name + first + 1;
        }
    }
    return flo_nearest(word, list, count);
}

static int refuse_verb(const struct flo_args_program *program, const char *noun,
                       const char *word, struct flo_err *err)
{
    char names[FLO_VERBS_MAX][32];
    const char *gap = noun != NULL ? " " : "";
    const char *const *at = noun == NULL ? program->elsewhere : NULL;
    const char *near = near_of(program, noun, word, names);

    noun = noun != NULL ? noun : "";
    flo_fail(err, FLO_E_USAGE, "`%s%s%.80s` is no command of %s", noun, gap,
             word, program->name);
    for (; at != NULL && *at != NULL; at++) {
        if (strcmp(word, *at) == 0) {
            return flo_err_fix(err, "%s %s does it (package %s)",
                               program->elsewhere_program, word,
                               program->elsewhere_package);
        }
    }
    if (near != NULL) {
        return flo_err_fix(err, "did you mean `%s%s%s`?", noun, gap, near);
    }
    return flo_err_fix(err, "%s%s%s --help lists the commands", program->name,
                       gap, noun);
}

/* Behind argv[at], past the program's flags: the next word, or 0.  *odd: the
 * flag of a verb that stands there instead. */
static int next_word(const struct flo_args_program *program, int argc,
                     char *const *argv, int at, int *odd, bool *help)
{
    for (at++; at < argc; at++) {
        const char *word = argv[at];
        const struct flo_flag *flag;

        if (!is_flag(word)) {
            return at;
        }
        if (is_help(word)) {
            *help = true;
            continue;
        }
        flag = find_in(program->flags, word);
        if (flag == NULL) {
            *odd = at;
            return 0;
        }
        at += flag->value != NULL && strchr(word, '=') == NULL;
    }
    return 0;
}

/* A noun without one of its verbs. */
static int want_verb(const struct flo_args_program *program, const char *noun,
                     bool asks_help, struct flo_buf *help, struct flo_err *err)
{
    if (asks_help) {
        flo_args_help(program, noun, NULL, help);
        return 0;
    }
    flo_fail(err, FLO_E_USAGE, "`%s %s` needs a verb", program->name, noun);
    return flo_err_fix(err, "%s %s --help lists them", program->name, noun);
}

static int find_verb(const struct flo_args_program *program, int argc,
                     char *const *argv, struct place *out, struct flo_buf *help,
                     struct flo_err *err)
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
        out->verb = verb_of(program, program->standard, NULL);
        return 0;
    }
    if (odd > 0 && at == 0) {
        refuse_flag(program, NULL, argv[odd], err);
        return FLO_E_USAGE;
    }
    if (at == 0) {
        flo_fail(err, FLO_E_USAGE, "%s needs a command", program->name);
        flo_err_fix(err, "%s --help lists them", program->name);
        return FLO_E_USAGE;
    }
    const char *noun = plain(program, argv[at]);
    out->verb = verb_of(program, noun, NULL);
    if (out->verb == NULL && !is_noun(program, noun)) {
        return refuse_verb(program, NULL, argv[at], err);
    }
    if (out->verb == NULL) {
        at = next_word(program, argc, argv, at, &odd, &asks_help);
        if (at == 0) {
            return want_verb(program, noun, asks_help, help, err);
        }
        out->last = at;
        out->verb = verb_of(program, noun, plain(program, argv[at]));
        if (out->verb == NULL) {
            return refuse_verb(program, noun, argv[at], err);
        }
    }
    if (asks_help) {
        flo_args_help(program, NULL, out->verb, help);
    }
    return 0;
}

/* ---- the rest ------------------------------------------------------- */

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

/* The fix of a line that is not whole. */
static int show_usage(const struct flo_verb *verb, const char *call,
                      struct flo_err *err)
{
    return flo_err_fix(err, "%s%s%s", call, verb->usage[0] != '\0' ? " " : "",
                       verb->usage);
}

/* All that the verb needs is there, and no more. */
static int check(const struct flo_args *args, struct flo_err *err)
{
    const struct flo_verb *verb = args->verb;
    char call[FLO_CALL_BYTES];
    size_t min, max;

    size_t needed = flo_args_words(verb->usage, &min, &max);
    flo_args_call(args->program, verb, call);
    if (args->word_count > max) {
        flo_fail(err, FLO_E_USAGE, "`%.80s` is too much for `%s`",
                 args->words[max], call);
        return show_usage(verb, call, err);
    }
    if (args->word_count < min) {
        flo_fail(err, FLO_E_USAGE, "`%s` needs %.*s", call, (int)needed,
                 verb->usage);
        return show_usage(verb, call, err);
    }
    for (size_t i = 0; i < FLO_VERB_TABLES; i++) {
        const struct flo_flag *flag = verb->flags[i];
        for (; flag != NULL && flag->name != NULL; flag++) {
            if (flag->is_needed && !flo_args_has(args, flag->name)) {
                flo_fail(err, FLO_E_USAGE, "`%s` needs --%s %s", call,
                         flag->name, flag->value);
                return show_usage(verb, call, err);
            }
        }
    }
    return 0;
}

/* After an error: is JSON asked for behind it? */
static void look_for_json(struct flo_args *args, int argc, char *const *argv,
                          int at)
{
    for (; at < argc; at++) {
        const struct flo_flag *flag =
            is_flag(argv[at]) ? find(args, argv[at], false) : NULL;
        const char *value = strchr(argv[at], '=');

        if (flag != NULL) {
            value = value != NULL   ? value + 1
                    : at + 1 < argc ? argv[at + 1]
                                    : "";
            args->is_json = args->is_json || asks_json(flag, value);
        }
    }
}

static int read_rest(struct flo_args *args, int argc, char *const *argv,
                     const struct place *place, struct flo_buf *help,
                     struct flo_err *err)
{
    bool only_words = false;
    int rv = 0;

    for (int at = 1; at < argc; at++) {
        if (at == place->first || at == place->last) {
            continue;
        }
        if (only_words || !is_flag(argv[at])) {
            if (args->word_count == FLO_ARGS_MAX) {
                return flo_fail(err, FLO_E_USAGE, "more than %d words",
                                FLO_ARGS_MAX);
            }
            args->words[args->word_count++] = argv[at];
        } else if (strcmp(argv[at], "--") == 0) {
            only_words = true;
        } else if (is_help(argv[at])) {
            flo_args_help(args->program, NULL, args->verb, help);
            return 0;
        } else if ((rv = read_flag(args, argc, argv, &at, at < place->last,
                                   err)) < 0) {
            look_for_json(args, argc, argv, at);
            return rv;
        }
    }
    return check(args, err);
}

int flo_args_read(const struct flo_args_program *program, int argc,
                  char *const *argv, struct flo_args **out,
                  struct flo_buf *help, struct flo_err *err)
{
    struct place place = {0};

    assert(program->count <= FLO_VERBS_MAX && err != NULL);
    *out = NULL;
    if (program->count == 1 && program->verbs[0]->name[0] == '\0') {
        place.verb = program->verbs[0];
    }
    if (argc > 1 && strcmp(argv[1], "--version") == 0) {
        place.verb = verb_of(program, "version", NULL);
        place.first = place.last = 1;
        if (place.verb == NULL) {
            flo_buf_printf(help, "%s %s\n", program->name, FLO_VERSION);
            return 0;
        }
    }
    int rv = place.verb != NULL
                 ? 0
                 : find_verb(program, argc, argv, &place, help, err);
    if (rv < 0 || help->bytes > 0) {
        return rv;
    }
    *out = place.verb->state;
    **out = (struct flo_args){.program = program, .verb = place.verb};
    rv = read_rest(*out, argc, argv, &place, help, err);
    if (rv < 0 && err->fix[0] == '\0') {
        char call[FLO_CALL_BYTES];

        flo_args_call(program, place.verb, call);
        flo_err_fix(err, "%s --help", call);
    }
    return rv;
}

/* ---- the line that was typed -------------------------------------------- */

const char *flo_args_text(const struct flo_args *args, const char *name,
                          const char *standard)
{
    for (size_t i = args->flag_count; i > 0; i--) {
        if (strcmp(args->flags[i - 1]->name, name) == 0) {
            return args->values[i - 1];
        }
    }
    return standard;
}

const char *flo_args_global(const struct flo_args *args, const char *name,
                            const char *standard)
{
    const struct flo_flag *flag = args->program->flags;

    while (flag->name != NULL && strcmp(flag->name, name) != 0) {
        flag++;
    }
    for (size_t i = args->flag_count; i > 0; i--) {
        if (args->flags[i - 1] == flag) {
            return args->values[i - 1];
        }
    }
    return standard;
}

bool flo_args_has(const struct flo_args *args, const char *name)
{
    return flo_args_text(args, name, NULL) != NULL;
}

bool flo_args_each(const struct flo_args *args, const char *name, size_t index,
                   const char **value)
{
    for (size_t i = 0; i < args->flag_count; i++) {
        if (strcmp(args->flags[i]->name, name) == 0 && index-- == 0) {
            *value = args->values[i];
            return true;
        }
    }
    return false;
}

int flo_args_u64(const struct flo_args *args, const char *name, uint64_t min,
                 uint64_t max, uint64_t standard, uint64_t *out,
                 struct flo_err *err)
{
    const char *text = flo_args_text(args, name, NULL);

    *out = standard;
    return text == NULL ? 0
                        : read_number(&(struct flo_flag){.name = name}, text,
                                      min, max, out, err);
}

int flo_args_ms(const struct flo_args *args, const char *name,
                uint64_t standard, uint64_t *out, struct flo_err *err)
{
    const char *text = flo_args_text(args, name, NULL);

    *out = standard;
    return text == NULL
               ? 0
               : read_ms(&(struct flo_flag){.name = name}, text, out, err);
}
