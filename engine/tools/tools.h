/* Commands of flotilla-engine and flotilla-model: each is a row of what it
 * takes and one function that does it. */
#ifndef FLOTILLA_ENGINE_TOOLS_H
#define FLOTILLA_ENGINE_TOOLS_H

#include <flotilla/base.h>

/* `--name VALUE`, `--name=VALUE`, `--flag`; `-n VALUE` where the name is one
 * letter. */
enum flo_option_kind {
    FLO_OPTION_TEXT, /* const char * */
    FLO_OPTION_FLAG, /* bool */
    FLO_OPTION_U64,  /* uint64_t, decimal */
};
struct flo_option {
    const char *name; /* without the dashes */
    enum flo_option_kind kind;
    void *out;
    const char *help; /* one line; begins with the value's name, if any */
};

/* How many of the shared options (command.c) a command has before its own;
 * each set has those of the sets above as well. */
enum flo_shared {
    FLO_SHARED_NONE = 0,
    FLO_SHARED_MODEL = 8,     /* which file, and how it is opened */
    FLO_SHARED_ADAPTER = 9,   /* --lora */
    FLO_SHARED_BACKEND = 10,  /* tokens in and logits out only */
    FLO_SHARED_SAMPLING = 16, /* how an answer is chosen */
};

struct flo_command {
    const char *name;
    const char *help;  /* in the list of commands */
    const char *usage; /* what stands behind its name */
    enum flo_shared shared;
    const struct flo_option *options; /* its own */
    size_t option_count;
    size_t words_max; /* what is no option, at most FLO_WORDS_MAX */
    void *state;      /* begins with a struct flo_tool */
    /* What it opens is its process's, and ends with it. */
    int (*run)(void *state, struct flo_err *err);
    int (*main)(int argc, char **argv); /* NULL, or all that it has */
};

/* A program: its commands, and the names that another program has. */
struct flo_tool_program {
    const char *name;
    const struct flo_command *const *commands;
    size_t count;
    const char *const *elsewhere; /* names, NULL behind the last */
    const char *elsewhere_program, *elsewhere_package;
};
/* Do the command that argv[1] names: read its options, run it, print its error
 * on stderr and, with tool.is_json, on stdout.  Returns the exit code. */
int flo_program_main(const struct flo_tool_program *program, int argc,
                     char **argv);

#endif
