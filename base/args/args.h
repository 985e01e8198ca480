/* Command lines: the reader that all programs share.
 *
 * A program is a table of verbs, a verb has tables of flags.  Reading, --help,
 * hints for near words and refusals come from these tables, and through --help
 * the manual and shell completion (tools/docs.py, tools/man.py). */
#ifndef FLOTILLA_BASE_ARGS_H
#define FLOTILLA_BASE_ARGS_H

#include <stddef.h>

#include <flotilla/base.h>

#define FLO_ARGS_MAX 64   /* limit for the words, and for the flags, of one line */
#define FLO_VERBS_MAX 160 /* most verbs of a program */
#define FLO_VERB_TABLES 5

/* The type of the member in the verb's state that a flag fills. */
enum flo_flag_kind {
    FLO_FLAG_ASKED, /* fills no member: the program reads it by flo_args_text() and its like */
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
    const char *value; /* NULL: a switch; "json|table": one of these; else the value's name */
    const char *help;
    enum flo_flag_kind kind;
    size_t offset;     /* offset in the verb's state */
    uint64_t min, max; /* bounds of a number or duration; max 0: the member's type is the bound */
    char letter;       /* 'o': "-o" too */
    bool is_needed;
    const char *unless; /* flag that makes this one unnecessary */
    /* Called each time the flag is given, in place of filling a member.  NULL:
     * `kind` says what is filled. */
    int (*take)(void *state, const char *value, struct flo_err *err);
    const char *(*more)(void); /* text after `help`; or NULL */
};

/* The line that was typed.  Words and values are borrowed from argv. */
struct flo_args {
    const struct flo_args_program *program;
    const struct flo_verb *verb;
    const char *words[FLO_ARGS_MAX + 1]; /* words after the verb, then NULL */
    size_t word_count;
    /* Flags as given, in order.  The program may add one. */
    const struct flo_flag *flags[FLO_ARGS_MAX + 1];
    const char *values[FLO_ARGS_MAX + 1]; /* "" for a switch */
    size_t flag_count;
    bool is_json; /* --json, --output json */
    bool is_told; /* set by the program: its answer, even one of an error, is on stdout already */
};

struct flo_verb {
    const char *name; /* "status", "device list"; "": the program has one verb only */
    /* "IN [OUT] [--flag N]": the words come first, in capitals.  "[X]" is
     * optional and "X..." may be repeated.  " | " means that all words are
     * optional. */
    const char *usage;
    const char *help; /* one line */
    const struct flo_flag *flags[FLO_VERB_TABLES + 1];
    void *state; /* begins with a struct flo_args */
    /* Returns an exit code or FLO_E_...; the caller prints the error. NULL: the
     * program runs it itself, or it was left out of the build. */
    int (*run)(void *state, struct flo_err *err);
    const char *more;    /* text at the end of the verb's help, or NULL */
    const char *example; /* arguments of an example; "": none; NULL: only programs call it */
    const char *group;   /* section of the program's help, or NULL */
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
    const char *const (*aliases)[2]; /* pairs {"ls", "list"}, then NULL */
    const char *standard;            /* verb of a line that names none */
    const char *const *elsewhere;    /* verbs that another program has */
    const char *elsewhere_program, *elsewhere_package;
    bool tells_json; /* errors also go to stdout when JSON is requested */
    /* Called in place of the verb's own run(); NULL: the verb's is called. */
    int (*run)(struct flo_args *args, struct flo_err *err);
    /* Appends the names of existing objects for completion, a line
     * "name<TAB>meaning" each.  `what` is the word of a usage or the value of a
     * flag: "NAME", "G".  NULL: the program completes no names. */
    void (*names)(const struct flo_args *line, const char *what, struct flo_buf *out);
    const char *more; /* text at the end of the help, or NULL */
    /* Verbs that come first in a help with groups; NULL ends the list.  NULL in
     * its place: the help has no groups. */
    const struct flo_verb *const *start;
};

/* -o json and --json, for verbs that answer as text or as JSON. */
extern const struct flo_flag flo_flags_json[];
#define FLO_FLAGS_JSON flo_flags_json
#define FLO_FLAGS_JSON_ALONE (flo_flags_json + 1) /* --json alone, for verbs whose -o is a file */

/* The whole of main(): reads the line, runs the verb, prints an error once.
 * Returns the exit code.  A FLO_E_USAGE of a verb names its --help. */
int flo_args_main(const struct flo_args_program *program, int argc, char **argv);

/* Finds the verb and fills its state.  Where `help` has text afterwards, that
 * text is the answer and no verb is to be run.  On an error *out may be set all
 * the same: its is_json says how to print the error.  FLO_E_USAGE; `err` must
 * not be NULL. */
FLO_MUST_USE int flo_args_read(const struct flo_args_program *program, int argc, char *const *argv,
                               struct flo_args **out, struct flo_buf *help, struct flo_err *err);
/* Writes the help of the program (noun and verb NULL), of a noun's verbs, or of
 * one verb.  In help.c. */
void flo_args_help(const struct flo_args_program *program, const char *noun,
                   const struct flo_verb *verb, struct flo_buf *out);
/* Words that may stand at the cursor, where argv[argc - 1] is typed so far.
 * Each is a line "word<TAB>meaning"; ":files" stands for file names.  In
 * complete.c. */
void flo_args_complete(const struct flo_args_program *program, int argc, char *const *argv,
                       struct flo_buf *out);
/* Counts the words that a usage allows.  Returns the length of the part of
 * `usage` whose words are needed. */
size_t flo_args_words(const char *usage, size_t *min, size_t *max);

/* ---- asked.c ---- */

/* Returns the last value of a flag, "" for a switch, or `standard` when the
 * flag was not given.  A verb's own flag hides the program's of the same
 * name. */
const char *flo_args_text(const struct flo_args *args, const char *name, const char *standard);
/* As flo_args_text(), for a flag of the program. */
const char *flo_args_global(const struct flo_args *args, const char *name, const char *standard);
bool flo_args_has(const struct flo_args *args, const char *name);
/* Gives each value of a flag that may be repeated; false after the last. */
bool flo_args_each(const struct flo_args *args, const char *name, size_t index, const char **value);
/* FLO_E_USAGE: the error names the flag, the value and the range. */
FLO_MUST_USE int flo_args_u64(const struct flo_args *args, const char *name, uint64_t min,
                              uint64_t max, uint64_t standard, uint64_t *out, struct flo_err *err);
FLO_MUST_USE int flo_args_ms(const struct flo_args *args, const char *name, uint64_t standard,
                             uint64_t *out, struct flo_err *err);

#endif
