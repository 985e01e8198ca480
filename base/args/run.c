/* Main function of all programs: runs a program, from its command line to its
 * exit code. */
#include <errno.h>
#include <string.h>

#include "base/args/parts.h"

static void print_json(const struct flo_err *err)
{
    const char *fix = err->fix[0] != '\0' ? err->fix : flo_error_fix(err->code);
    const struct {
        const char *name, *text;
    } members[] = {{"{\"error\":{\"id\":\"", flo_error_id(err->code)},
                   {"\",\"what\":\"", err->what},
                   {"\",\"why\":\"", err->why},
                   {"\",\"fix\":\"", fix}};
    struct flo_buf out = {0};

    for (size_t i = 0; i < FLO_COUNT(members); i++) {
        flo_buf_text(&out, members[i].name);
        flo_buf_json_text(&out, members[i].text, strlen(members[i].text));
    }
    flo_buf_text(&out, "\"}}\n");
    if (!out.failed) {
        fwrite(out.data, 1, out.bytes, stdout);
    }
    flo_buf_deinit(&out);
}

/* Tells whether a line with an unknown verb asks for JSON. */
static bool words_ask_json(int argc, char *const *argv)
{
    for (int at = 1; at < argc; at++) {
        const struct flo_flag *flag =
            flo_args_is_flag(argv[at]) ? flo_args_find_in(flo_flags_json, argv[at]) : NULL;
        const char *value = flag != NULL ? flo_args_value_in(argv[at]) : NULL;

        if (flag != NULL && value == NULL && at + 1 < argc) {
            value = argv[at + 1];
        }
        if (flag != NULL && flo_args_asks_json(flag, value != NULL ? value : "")) {
            return true;
        }
    }
    return false;
}

static int run(struct flo_args *args, struct flo_err *err)
{
    const struct flo_args_program *program = args->program;
    char call[FLO_CALL_BYTES];
    int rv = program->run != NULL ? program->run(args, err) : args->verb->run(args, err);

    if (rv >= 0 && fflush(stdout) != 0 && errno != EPIPE) {
        rv = flo_fail_errno(err, FLO_E_IO_WRITE, "stdout");
    }
    if (rv == FLO_E_USAGE && err->fix[0] == '\0') {
        flo_args_call(program, args->verb, call);
        flo_err_fix(err, "%s --help", call);
    }
    return rv;
}

int flo_args_main(const struct flo_args_program *program, int argc, char **argv)
{
    struct flo_args *args = NULL;
    struct flo_buf help = {0};
    struct flo_err err = {0};
    bool is_one = program->count == 1 && program->verbs[0]->name[0] == '\0';

    if (argc > 1 && strcmp(argv[1], "__complete") == 0) {
        flo_args_complete(program, argc - 2, argv + 2, &help);
        fputs(help.failed || help.data == NULL ? "" : help.data, stdout);
        flo_buf_deinit(&help);
        return FLO_EXIT_OK;
    }
    if (argc > 1 && strcmp(argv[1], "__read") == 0) {
        /* the rest of the line is read as if the word __read were not in it,
         * and the verb is not run */
        argv[1] = argv[0];
        int rv = flo_args_read(program, argc - 1, argv + 1, &args, &help, &err);
        flo_buf_deinit(&help);
        return rv < 0 ? flo_err_print(stderr, &err) : FLO_EXIT_OK;
    }
    if (argc < 2 && !is_one) {
        flo_args_help(program, NULL, NULL, &help);
        fputs(help.failed ? "" : help.data, stderr);
        flo_buf_deinit(&help);
        return FLO_EXIT_USAGE;
    }
    int rv = flo_args_read(program, argc, argv, &args, &help, &err);
    if (rv == 0 && help.bytes > 0) {
        fputs(help.failed ? "" : help.data, stdout);
    } else if (rv == 0) {
        rv = run(args, &err);
    }
    flo_buf_deinit(&help);
    bool is_json = args != NULL ? args->is_json && !args->is_told : words_ask_json(argc, argv);
    if (rv < 0 && program->tells_json && is_json) {
        print_json(&err);
    }
    return rv < 0 ? flo_err_print(stderr, &err) : rv;
}
