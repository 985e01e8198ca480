/* Command lines of all programs.
 *
 * A program is a table of verbs, a verb has tables of flags.  Reading, --help,
 * hints for near words and refusals come from these tables, and through --help
 * the manual and shell completion (tools/docs.py, tools/man.py). */
#ifndef FLOTILLA_BASE_ARGS_H
#define FLOTILLA_BASE_ARGS_H

#include <stddef.h>

#include <flotilla/base.h>

#define FLO_ARGS_MAX 64   /* words, and flags, of one line */
#define FLO_VERBS_MAX 160 /* verbs of a program */
#define FLO_VERB_TABLES 5

/* The member of a verb's state that a flag fills. */
enum flo_flag_kind {
    FLO_FLAG_ASKED, /* none: flo_args_text() and its like tell */
    FLO_FLAG_TEXT,  /* const char * */
    FLO_FLAG_SWITCH,
    FLO_FLAG_U64,
    FLO_FLAG_U32,
    FLO_FLAG_MS, /* uint64_t, from a duration as "30s" */
};
#define FLO_TEXT(type, member) .kind = FLO_FLAG_TEXT, .offset = offsetof(type, member)
#define FLO_SWITCH(type, member) .kind = FLO_FLAG_SWITCH, .offset = offsetof(type, member)
#define FLO_U64(type, member) .kind = FLO_FLAG_U64, .offset = offsetof(type, member)
#define FLO_U32(type, member) .kind = FLO_FLAG_U32, .offset = offsetof(type, member)
#define FLO_MS(type, member) .kind = FLO_FLAG_MS, .offset = offsetof(type, member)

#define FLO_ASKED .kind = FLO_FLAG_ASKED
#define FLO_FLAGS_END                                                                              \
    {                                                                                              \
        .name = NULL                                                                               \
    }

/* "--name VALUE", "--name=VALUE", "--switch"; with a letter, or a name of one
 * letter, also "-o VALUE" and "-oVALUE".  When a flag is given twice, the last
 * one counts.  A table ends with FLO_FLAGS_END. */
struct flo_flag {
    const char *name;  /* without the dashes */
    const char *value; /* NULL: a switch; "json|table", small: one of these */
    const char *help;
    enum flo_flag_kind kind;
    size_t offset;     /* in the verb's state */
    uint64_t min, max; /* bounds of a number or duration; max 0: what fits */
    char letter;       /* 'o': "-o" too */
    bool is_needed;
    const char *unless; /* ... but where this flag is given */
    /* Called for each that is given, instead of a kind.  NULL: it has a kind.
     */
    int (*take)(void *state, const char *value, struct flo_err *err);
    const char *(*more)(void); /* stands after the help; or NULL */
};

/* The line that was typed.  Words and values are borrowed from argv. */
struct flo_args {
    const struct flo_args_program *program;
    const struct flo_verb *verb;
    const char *words[FLO_ARGS_MAX + 1]; /* after the verb; then NULL */
    size_t word_count;
    /* As given, in order; the program may add one. */
    const struct flo_flag *flags[FLO_ARGS_MAX + 1];
    const char *values[FLO_ARGS_MAX + 1]; /* "" of a switch */
    size_t flag_count;
    bool is_json; /* --json, --output json */
    bool is_told; /* the program: an answer is on stdout, also before an error */
};

struct flo_verb {
    const char *name; /* "status", "device list"; "": the program has one */
    /* "IN [OUT] [--flag N]": first the words, in capitals; "[X]" may be
     * absent, "X..." may be repeated, with " | " all may be absent. */
    const char *usage;
    const char *help; /* one line */
    const struct flo_flag *flags[FLO_VERB_TABLES + 1];
    void *state; /* begins with a struct flo_args */
    /* Exit code or FLO_E_...; the error is printed by the caller.  NULL: the
     * program's does it, or it is left out. */
    int (*run)(void *state, struct flo_err *err);
    const char *more;    /* end of its help, or NULL */
    const char *example; /* behind its name, as in a shell; "": the name does;
                            NULL: a program calls it, no person */
    const char *group;   /* part of the program's help, or NULL */
    /* Option of CMake that brings a verb which is left out: nothing behind its
     * name is read, and FLO_E_NOT_BUILT names the option.  NULL: it is there. */
    const char *left_out;
};

struct flo_args_program {
    const char *name;
    const char *about;
    const struct flo_verb *const *verbs;
    size_t count;
    const struct flo_flag *flags;    /* flags of every verb, or NULL */
    const char *const (*aliases)[2]; /* {"ls", "list"}, then NULL */
    const char *standard;            /* verb of a line without one */
    const char *const *elsewhere;    /* verbs of another program */
    const char *elsewhere_program, *elsewhere_package;
    bool tells_json; /* errors on stdout too, where JSON is asked for */
    /* In place of the verb's own run(); NULL: that. */
    int (*run)(struct flo_args *args, struct flo_err *err);
    /* Names of what exists, for completion: a line "name<TAB>meaning" each.
     * `what` is the word of a usage or a flag's value: "NAME", "G".  NULL:
     * none. */
    void (*names)(const struct flo_args *line, const char *what, struct flo_buf *out);
    const char *more; /* end of the help, or NULL */
    /* Verbs that come first in a help with groups, up to NULL.  NULL: its help
     * has no groups. */
    const struct flo_verb *const *start;
};

/* -o json and --json, of commands that answer either way. */
extern const struct flo_flag flo_flags_json[];
#define FLO_FLAGS_JSON flo_flags_json
#define FLO_FLAGS_JSON_ALONE (flo_flags_json + 1) /* where -o is a file */

/* The whole of main(): read, run, print an error once.  Returns the exit code.
 * FLO_E_USAGE of a verb names its --help. */
int flo_args_main(const struct flo_args_program *program, int argc, char **argv);

/* Find the verb and fill its state.  With text in `help` that is the answer
 * and nothing is to be run.  *out may be set next to an error: its is_json
 * counts.  FLO_E_USAGE; `err` is not NULL. */
FLO_MUST_USE int flo_args_read(const struct flo_args_program *program, int argc, char *const *argv,
                               struct flo_args **out, struct flo_buf *help, struct flo_err *err);
/* Help of the program (both NULL), of a noun's verbs, or of a verb.  help.c */
void flo_args_help(const struct flo_args_program *program, const char *noun,
                   const struct flo_verb *verb, struct flo_buf *out);
/* Words that may stand where the cursor is: argv[argc - 1] is typed so far.  A
 * line "word<TAB>meaning" each; ":files" for names of files.  complete.c */
void flo_args_complete(const struct flo_args_program *program, int argc, char *const *argv,
                       struct flo_buf *out);
/* Words that a usage allows; returns the characters of those that it needs. */
size_t flo_args_words(const char *usage, size_t *min, size_t *max);

/* ---- asked.c ---- */

/* Last value of a flag, "" of a switch; `standard` when it was not given.  A
 * verb's own flag hides the program's of the same name. */
const char *flo_args_text(const struct flo_args *args, const char *name, const char *standard);
/* The same of the program's flag. */
const char *flo_args_global(const struct flo_args *args, const char *name, const char *standard);
bool flo_args_has(const struct flo_args *args, const char *name);
/* Values of a flag that may be given several times; false after the last. */
bool flo_args_each(const struct flo_args *args, const char *name, size_t index, const char **value);
/* FLO_E_USAGE names flag, value and range. */
FLO_MUST_USE int flo_args_u64(const struct flo_args *args, const char *name, uint64_t min,
                              uint64_t max, uint64_t standard, uint64_t *out, struct flo_err *err);
FLO_MUST_USE int flo_args_ms(const struct flo_args *args, const char *name, uint64_t standard,
                             uint64_t *out, struct flo_err *err);

#endif
