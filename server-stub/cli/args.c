/* Arguments: positional words and flags, checked against tables. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "server-stub/cli/cli.h"

const struct flo_flag flo_global_flags[] = {
    {"output", "table|json|name", "how answers are printed"},
    {"controller", "URL", "use this controller"},
    {"token-file", "FILE", "use the token in this file"},
    {"ca", "FILE", "trust this authority alone (the controller's pki/ca.pem)"},
    {"fingerprint", "HEX",
     "trust the authority with this SHA-256, as the controller prints it"},
    {"context", "NAME", "use this remembered controller"},
    {"confirm", "NAME", "the typed name, for scripts"},
    {"timeout", "DURATION", "give up waiting after so long"},
    {"quiet", NULL, "no progress on stderr"},
    {"no-headers", NULL, "no head line in tables"},
    {"help", NULL, "this help"},
    {NULL, NULL, NULL},
};

static const struct flo_flag *find(const struct flo_flag *flags,
                                   const char *name, size_t chars)
{
    for (; flags != NULL && flags->name != NULL; flags++) {
        if (strlen(flags->name) == chars &&
            strncmp(flags->name, name, chars) == 0) {
            return flags;
        }
    }
    return NULL;
}

static int unknown_flag(const char *name, const struct flo_flag *flags,
                        struct flo_err *err)
{
    const char *names[FLO_ARGS_MAX];
    size_t count = 0;

    for (; flags != NULL && flags->name != NULL && count < FLO_ARGS_MAX / 2;
         flags++) {
        names[count++] = flags->name;
    }
    for (const struct flo_flag *flag = flo_global_flags; flag->name != NULL;
         flag++) {
        names[count++] = flag->name;
    }
    const char *near = flo_nearest(name, names, count);
    flo_fail(err, FLO_E_USAGE, "unknown flag --%s", name);
    if (near != NULL) {
        flo_err_fix(err, "did you mean --%s?", near);
    }
    return FLO_E_USAGE;
}

static const char *long_of(const char *arg)
{
    static const char *const shorts[][2] = {{"-o", "--output"},
                                            {"-q", "--quiet"},
                                            {"-h", "--help"},
                                            {"-f", "--file"}};
    for (size_t i = 0; i < FLO_COUNT(shorts); i++) {
        if (strcmp(arg, shorts[i][0]) == 0) {
            return shorts[i][1];
        }
    }
    return arg;
}

/* How many arguments the global flag at `arg` takes up; 0: it is none. */
static int global_span(const char *arg)
{
    const char *name = long_of(arg);
    const char *equals = strchr(name, '=');

    if (strncmp(name, "--", 2) != 0) {
        return 0;
    }
    const struct flo_flag *flag =
        find(flo_global_flags, name + 2,
             equals != NULL ? (size_t)(equals - name) - 2 : strlen(name) - 2);
    return flag == NULL ? 0 : flag->value != NULL && equals == NULL ? 2 : 1;
}

void flo_args_command_first(int argc, char **argv)
{
    int words = 0;
    int end = argc; /* behind it stands what was moved */

    for (int at = 1; at < end && words < 2;) {
        int span = global_span(argv[at]);
        if (at + span > end) {
            return; /* its value is missing: told when it is read */
        }
        if (span == 0) {
            words++;
            at++;
            continue;
        }
        char *moved[2] = {argv[at], span == 2 ? argv[at + 1] : NULL};
        memmove(&argv[at], &argv[at + span],
                (size_t)(argc - at - span) * sizeof(*argv));
        memcpy(&argv[argc - span], moved, (size_t)span * sizeof(*argv));
        end -= span;
    }
}

int flo_args_parse(int argc, char **argv, const struct flo_flag *flags,
                   struct flo_args *out, struct flo_err *err)
{
    *out = (struct flo_args){0};
    for (int i = 0; i < argc; i++) {
        const char *arg = long_of(argv[i]);
        if (out->word_count == FLO_ARGS_MAX ||
            out->flag_count == FLO_ARGS_MAX) {
            return flo_fail(err, FLO_E_USAGE, "more than %d arguments",
                            FLO_ARGS_MAX);
        }
        if (strncmp(arg, "--", 2) != 0 || arg[2] == '\0') {
            out->words[out->word_count++] = arg;
            continue;
        }
        const char *equals = strchr(arg, '=');
        size_t chars =
            equals != NULL ? (size_t)(equals - arg) - 2 : strlen(arg) - 2;
        const struct flo_flag *flag = find(flags, arg + 2, chars);
        if (flag == NULL) {
            flag = find(flo_global_flags, arg + 2, chars);
        }
        if (flag == NULL) {
            return unknown_flag(arg + 2, flags, err);
        }
        const char *value = equals != NULL ? equals + 1 : NULL;
        if (flag->value != NULL && value == NULL) {
            if (i + 1 == argc) {
                return flo_fail(err, FLO_E_USAGE, "--%s needs %s", flag->name,
                                flag->value);
            }
            value = argv[++i];
        } else if (flag->value == NULL && value != NULL) {
            return flo_fail(err, FLO_E_USAGE, "--%s takes no value",
                            flag->name);
        }
        out->flags[out->flag_count] = flag;
        out->values[out->flag_count++] = value != NULL ? value : "";
    }
    return 0;
}

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
    const struct flo_flag *flag = find(flo_global_flags, name, strlen(name));

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
    char *end;

    if (text == NULL) {
        *out = standard;
        return 0;
    }
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || text[0] == '-' ||
        value < min || value > max) {
        return flo_fail(err, FLO_E_USAGE,
                        "--%s `%s` is no number from %llu to %llu", name, text,
                        (unsigned long long)min, (unsigned long long)max);
    }
    *out = value;
    return 0;
}

int flo_args_ms(const struct flo_args *args, const char *name,
                uint64_t standard, uint64_t *out, struct flo_err *err)
{
    const char *text = flo_args_text(args, name, NULL);

    if (text == NULL) {
        *out = standard;
        return 0;
    }
    if (!flo_duration_parse(text, out)) {
        return flo_fail(err, FLO_E_USAGE,
                        "--%s `%s` is no duration (500ms 30s 15m 6h 2d)", name,
                        text);
    }
    return 0;
}

int flo_args_word(const struct flo_args *args, const char *what,
                  const char **out, struct flo_err *err)
{
    if (args->word_count != 1) {
        return flo_fail(err, FLO_E_USAGE, "give one %s, not %zu", what,
                        args->word_count);
    }
    *out = args->words[0];
    return 0;
}
