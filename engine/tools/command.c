/* A program's command: its options read, its function called, its end told. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "engine/kernel/kernel.h"
#include "engine/tools/common.h"

#define OPTIONS_MAX 32
#define COMMANDS_MAX 16
#define HELP_COLUMN 27 /* behind "  --release-version TEXT " */

/* What a command takes: the shared options, then its own. */
struct options {
    struct flo_option rows[OPTIONS_MAX];
    size_t count;
};

static struct options options_of(const struct flo_command *command)
{
    struct flo_tool *tool = command->state;
    struct options all = {.count = command->shared + command->option_count};
    const struct flo_option shared[] = {
        {"model", FLO_OPTION_TEXT, &tool->model, "FILE the GGUF"},
        {"ctx", FLO_OPTION_U64, &tool->context,
         "N tokens of context (default: the model's, at most 2048)"},
        {"threads", FLO_OPTION_U64, &tool->threads,
         "N threads (default: CPUs, at most 8)"},
        {"kernel", FLO_OPTION_TEXT, &tool->kernel,
         "NAME default: FLOTILLA_KERNEL, or the best of"},
        {"packed", FLO_OPTION_TEXT, &tool->packed,
         "FILE packed weights, or none (default: MODEL.packed if there)"},
        {"kv", FLO_OPTION_TEXT, &tool->kv,
         "TYPE cache: auto (f16, or q8_0 to fit --memory), f16, f32, "
         "q8_0, q4_0"},
        {"batch", FLO_OPTION_U64, &tool->batch,
         "N prompt tokens computed together (default 64)"},
        {"memory", FLO_OPTION_U64, &tool->memory_bytes_max,
         "BYTES shrink cache and context to it, or refuse"},
        {"lora", FLO_OPTION_TEXT, &tool->lora,
         "FILE[:SCALE] an adapter of the model, and how much of it (1)"},
        {"backend", FLO_OPTION_TEXT, &tool->backend,
         "NAME who computes (default: native, this engine)"},
        {"n", FLO_OPTION_U64, &tool->count, "N tokens to generate"},
        {"template", FLO_OPTION_TEXT, &tool->chat_template,
         "NAME|FILE a chat template instead of the model's own"},
        {"temp", FLO_OPTION_TEXT, &tool->temperature,
         "T temperature (default 0: the likeliest token)"},
        {"grammar", FLO_OPTION_TEXT, &tool->grammar,
         "FILE the answer keeps this GBNF grammar"},
        {"json-schema", FLO_OPTION_TEXT, &tool->schema,
         "FILE the answer is JSON of this schema"},
        {"seed", FLO_OPTION_U64, &tool->seed, "S of the sampling"},
    };
    _Static_assert(FLO_COUNT(shared) == FLO_SHARED_SAMPLING, "all of them");
    memcpy(all.rows, shared, command->shared * sizeof(*shared));
    memcpy(all.rows + command->shared, command->options,
           command->option_count * sizeof(*shared));
    return all;
}

/* The names of all kernels that are built, best first. */
static void print_kernels(void)
{
    const struct flo_kernel *kernel;

    for (size_t i = 0; (kernel = flo_kernel_at(i)) != NULL; i++) {
        printf(" %s", kernel->name);
    }
}

static void print_help(const char *program, const struct flo_command *command,
                       const struct options *options)
{
    printf("usage: %s %s %s\n", program, command->name, command->usage);
    for (size_t i = 0; i < options->count; i++) {
        const struct flo_option *option = &options->rows[i];
        int value = option->kind == FLO_OPTION_FLAG
                        ? 0
                        : (int)strcspn(option->help, " ") + 1;
        int chars = printf("  --%s %.*s", option->name, value, option->help);

        printf("%*s%s", chars < HELP_COLUMN ? HELP_COLUMN - chars : 0, "",
               option->help + value);
        if (strcmp(option->name, "kernel") == 0) {
            print_kernels();
        }
        printf("\n");
    }
}

static const struct flo_option *find(const struct options *options,
                                     const char *name, size_t chars,
                                     struct flo_err *err)
{
    const char *names[OPTIONS_MAX];
    char word[64];

    for (size_t i = 0; i < options->count; i++) {
        names[i] = options->rows[i].name;
        if (strlen(names[i]) == chars && memcmp(names[i], name, chars) == 0) {
            return &options->rows[i];
        }
    }
    snprintf(word, sizeof(word), "%.*s", (int)chars, name);
    const char *near = flo_nearest(word, names, options->count);
    flo_fail(err, FLO_E_USAGE, "unknown option '--%s'", word);
    if (near != NULL) {
        flo_err_fix(err, "did you mean '--%s'?", near);
    }
    return NULL;
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
    if (value[0] < '0' || value[0] > '9' || *end != '\0') {
        return flo_fail(err, FLO_E_USAGE, "--%s is '%s', a number is needed",
                        option->name, value);
    }
    if (errno != 0) {
        return flo_fail(err, FLO_E_USAGE, "--%s is %s, at most %llu",
                        option->name, value, ULLONG_MAX);
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

/* The option at *argv, which moves over a value's argument; the last argument
 * has NULL behind it. */
static int read_one(const struct options *options, char ***argv,
                    struct flo_err *err)
{
    const char *name = **argv + ((**argv)[1] == '-' ? 2 : 1);
    const char *value = strchr(name, '=');
    size_t chars = value != NULL ? (size_t)(value - name) : strlen(name);
    const struct flo_option *option = find(options, name, chars, err);
    if (option == NULL) {
        return FLO_E_USAGE;
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
    if ((*argv)[1] == NULL) {
        return flo_fail(err, FLO_E_USAGE, "--%s needs a value", option->name);
    }
    return set(option, *++*argv, err);
}

static void print_json_error(const struct flo_err *err)
{
    struct flo_buf out = {0};
    const char *fix = err->fix[0] != '\0' ? err->fix : flo_error_fix(err->code);

    flo_tool_json(&out, "{\"error\":{\"id\":", flo_error_id(err->code));
    flo_tool_json(&out, ",\"what\":", err->what);
    flo_tool_json(&out, ",\"why\":", err->why);
    flo_tool_json(&out, ",\"fix\":", fix);
    flo_buf_text(&out, "}}\n");
    if (!out.failed) {
        fwrite(out.data, 1, out.bytes, stdout);
    }
    flo_buf_deinit(&out);
}

/* Options and words into the command's state; *asks_help: that was all. */
static int read_all(const struct flo_command *command,
                    const struct options *options, int argc, char **argv,
                    bool *asks_help, struct flo_err *err)
{
    struct flo_tool *tool = command->state;
    size_t words = 0;
    int rv = 0;

    for (char **at = argv + 1; at < argv + argc; at++) {
        if (rv < 0) { /* its error may be asked for as JSON behind it */
            tool->is_json = tool->is_json || strcmp(*at, "--json") == 0;
        } else if (strcmp(*at, "--help") == 0) {
            *asks_help = true;
            return 0;
        } else if (is_option(*at)) {
            rv = read_one(options, &at, err);
        } else if (words < command->words_max) {
            tool->words[words++] = *at;
        } else {
            rv = flo_fail(err, FLO_E_USAGE,
                          "unexpected argument '%s', at most %zu are taken",
                          *at, command->words_max);
        }
    }
    return rv;
}

static int run_command(const char *program, const struct flo_command *command,
                       int argc, char **argv)
{
    const struct options options = options_of(command);
    const struct flo_tool *tool = command->state;
    struct flo_err err = {0};
    bool asks_help = false;
    int rv = read_all(command, &options, argc, argv, &asks_help, &err);

    if (asks_help) {
        print_help(program, command, &options);
        return FLO_EXIT_OK;
    }
    rv = rv < 0 ? rv : command->run(command->state, &err);
    if (rv >= 0 && fflush(stdout) != 0) {
        rv = flo_fail_errno(&err, FLO_E_IO_WRITE, "stdout");
    }
    if (rv >= 0) {
        return FLO_EXIT_OK;
    }
    if (tool->is_json) {
        print_json_error(&err);
    }
    return flo_err_print(stderr, &err);
}

static void print_commands(const struct flo_tool_program *program, FILE *file)
{
    fprintf(file, "usage: %s COMMAND [OPTION...]\n\n", program->name);
    for (size_t i = 0; i < program->count; i++) {
        fprintf(file, "  %-11s %s\n", program->commands[i]->name,
                program->commands[i]->help);
    }
    fprintf(file, "\n%s COMMAND --help tells its options.\n", program->name);
}

static int refuse(const struct flo_tool_program *program, const char *name)
{
    struct flo_err err = {0};
    const char *names[COMMANDS_MAX];

    flo_fail(&err, FLO_E_USAGE, "unknown command '%s'", name);
    for (const char *const *at = program->elsewhere; *at != NULL; at++) {
        if (strcmp(name, *at) == 0) {
            flo_err_fix(&err, "%s %s does it now (package %s)",
                        program->elsewhere_program, name,
                        program->elsewhere_package);
            return flo_err_print(stderr, &err);
        }
    }
    for (size_t i = 0; i < program->count; i++) {
        names[i] = program->commands[i]->name;
    }
    const char *near = flo_nearest(name, names, program->count);
    if (near != NULL) {
        flo_err_fix(&err, "did you mean '%s'?", near);
    } else {
        flo_err_fix(&err, "%s --help lists the commands", program->name);
    }
    return flo_err_print(stderr, &err);
}

int flo_program_main(const struct flo_tool_program *program, int argc,
                     char **argv)
{
    if (argc < 2) {
        print_commands(program, stderr);
        return FLO_EXIT_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
        strcmp(argv[1], "help") == 0) {
        print_commands(program, stdout);
        return FLO_EXIT_OK;
    }
    if (strcmp(argv[1], "--version") == 0) {
        printf("%s %s\n", program->name, FLO_VERSION);
        return FLO_EXIT_OK;
    }
    for (size_t i = 0; i < program->count; i++) {
        const struct flo_command *command = program->commands[i];

        if (strcmp(argv[1], command->name) == 0) {
            return command->main != NULL ? command->main(argc - 1, argv + 1)
                                         : run_command(program->name, command,
                                                       argc - 1, argv + 1);
        }
    }
    return refuse(program, argv[1]);
}
