/* Command lines: words that anybody types, a NUL after each. */
#include <stdlib.h>
#include <string.h>

#include "base/args/args.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

struct line {
    struct flo_args args;
    const char *text;
    bool is_on;
    uint64_t number, ms;
    uint32_t small;
};
static struct line line;

static const struct flo_flag global[] = {
    {"output", "table|json", "form", .letter = 'o'},
    {"context", "NAME", "which", FLO_ASKED},
    FLO_FLAGS_END,
};
static const struct flo_flag own[] = {
    {"text", "TEXT", "a text", FLO_TEXT(struct line, text)},
    {"on", NULL, "a switch", FLO_SWITCH(struct line, is_on)},
    {"number", "N", "a number", FLO_U64(struct line, number)},
    {"small", "N", "a small one", FLO_U32(struct line, small), .min = 1, .max = 9},
    {"time", "DURATION", "a time", FLO_MS(struct line, ms), .max = 1000},
    {"n", "N", "one letter", FLO_ASKED},
    FLO_FLAGS_END,
};
static const struct flo_verb list = {"a list", "", "lists", {own}, .state = &line},
                             make = {"a make", "X [Y] Z...", "makes", {own}, .state = &line},
                             one = {"one", "ID | --all", "alone", {own}, .state = &line};
static const struct flo_verb *const verbs[] = {&list, &make, &one};
static const char *const aliases[][2] = {{"ls", "list"}, {NULL, NULL}};
static const char *const elsewhere[] = {"gone", NULL};

static void look(const struct flo_args_program *program, int argc, char **argv)
{
    struct flo_args *args = NULL;
    struct flo_buf help = {0}, said = {0};
    struct flo_err err = {0};

    memset(&line, 0, sizeof(line));
    int rv = flo_args_read(program, argc, argv, &args, &help, &err);
    if (rv < 0 &&
        (rv != FLO_E_USAGE || err.code != rv || err.what[0] == '\0' || err.fix[0] == '\0')) {
        abort();
    }
    if (rv == 0 && help.bytes == 0) {
        size_t min, max;

        flo_args_words(args->verb->usage, &min, &max);
        if (args != &line.args || args->word_count < min || args->word_count > max ||
            line.small > 9 || line.ms > 1000) {
            abort();
        }
    }
    flo_buf_deinit(&help);
    flo_args_complete(program, argc - 1, argv + 1, &said);
    if (said.bytes > 0 && ((const char *)said.data)[said.bytes - 1] != '\n') {
        abort();
    }
    flo_buf_deinit(&said);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static char name[] = "program";
    struct flo_args_program program = {
        .name = name,
        .about = "Fuzzed",
        .verbs = verbs,
        .count = FLO_COUNT(verbs),
        .flags = global,
        .aliases = aliases,
        .elsewhere = elsewhere,
        .elsewhere_program = "other",
        .elsewhere_package = "package",
    };
    char *argv[200] = {name};
    int argc = 1;
    char *text = malloc(bytes + 1);

    if (text == NULL) {
        return 0;
    }
    memcpy(text, data, bytes);
    text[bytes] = '\0';
    for (size_t at = 0; at < bytes && argc < (int)FLO_COUNT(argv) - 1;
         at += strlen(text + at) + 1) {
        argv[argc++] = text + at;
    }
    look(&program, argc, argv);
    program.standard = "one";
    program.flags = NULL;
    look(&program, argc, argv);
    free(text);
    return 0;
}
