/* Options of a command. */
#include "engine/tools/options.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define OPTIONS_MAX 32

static void print_help(const char *usage, const struct flo_option *options,
                       size_t count)
{
    printf("usage: flotilla-engine %s\n", usage);
    for (size_t i = 0; i < count; i++) {
        printf("  --%-16s %s\n", options[i].name, options[i].help);
    }
}

static const struct flo_option *find(const char *name, size_t chars,
                                     const struct flo_option *options,
                                     size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (strlen(options[i].name) == chars &&
            memcmp(options[i].name, name, chars) == 0) {
            return &options[i];
        }
    }
    return NULL;
}

static int unknown(const char *word, size_t chars,
                   const struct flo_option *options, size_t count,
                   struct flo_err *err)
{
    const char *names[OPTIONS_MAX];
    char name[64];
    for (size_t i = 0; i < count && i < OPTIONS_MAX; i++) {
        names[i] = options[i].name;
    }
    snprintf(name, sizeof(name), "%.*s", (int)chars, word);
    const char *near = flo_nearest(name, names, count);
    flo_fail(err, FLO_E_USAGE, "unknown option '--%s'", name);
    return near == NULL ? err->code
                        : flo_err_fix(err, "did you mean '--%s'?", near);
}

static int set(const struct flo_option *option, const char *value,
               struct flo_err *err)
{
    if (option->kind == FLO_OPTION_TEXT) {
        *(const char **)option->out = value;
        return 0;
    }
    char *end;
    errno = 0;
    unsigned long long number = strtoull(value, &end, 10);
    if (value[0] < '0' || value[0] > '9' || *end != '\0' || errno != 0) {
        return flo_fail(err, FLO_E_USAGE, "--%s is '%s', a number is needed",
                        option->name, value);
    }
    *(uint64_t *)option->out = number;
    return 0;
}

/* "--name", or "-n" for a name of one letter. */
static bool is_option(const char *word)
{
    return word[0] == '-' &&
           (word[1] == '-' || (word[1] != '\0' && word[2] == '\0'));
}

/* One argument that is an option; *at moves over a value's argument. */
static int read_one(int argc, char **argv, int *at,
                    const struct flo_option *options, size_t count,
                    struct flo_err *err)
{
    const char *name = argv[*at] + (argv[*at][1] == '-' ? 2 : 1);
    const char *value = strchr(name, '=');
    size_t chars = value != NULL ? (size_t)(value - name) : strlen(name);
    const struct flo_option *option = find(name, chars, options, count);
    if (option == NULL) {
        return unknown(name, chars, options, count, err);
    }
    if (option->kind == FLO_OPTION_FLAG) {
        *(bool *)option->out = true;
        return value == NULL ? 0
                             : flo_fail(err, FLO_E_USAGE, "--%s takes no value",
                                        option->name);
    }
    if (value != NULL) {
        return set(option, value + 1, err);
    }
    if (*at + 1 >= argc) {
        return flo_fail(err, FLO_E_USAGE, "--%s needs a value", option->name);
    }
    *at += 1;
    return set(option, argv[*at], err);
}

int flo_options_read(int argc, char **argv, const char *usage,
                     const struct flo_option *options, size_t option_count,
                     const char **positionals, size_t positional_count)
{
    struct flo_err err = {0};
    size_t filled = 0;
    int rv = 0;
    for (int i = 1; rv == 0 && i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0) {
            print_help(usage, options, option_count);
            return FLO_EXIT_OK;
        }
        if (is_option(argv[i])) {
            rv = read_one(argc, argv, &i, options, option_count, &err);
        } else if (filled < positional_count) {
            positionals[filled++] = argv[i];
        } else {
            rv = flo_fail(&err, FLO_E_USAGE, "unexpected argument '%s'",
                          argv[i]);
        }
    }
    return rv < 0 ? (int)flo_err_print(stderr, &err) : -1;
}
