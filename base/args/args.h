/* Command lines: the reader that all programs share.
 *
 * A program is a table of verbs, a verb has tables of flags.  Reading, --help,
 * hints for near words and refusals come from these tables, and through --help
 * the manual and shell completion (tools/docs.py, tools/man.py). */
#ifndef FLOTILLA_BASE_ARGS_H
#define FLOTILLA_BASE_ARGS_H

#include <stddef.h>

#include <flotilla/base.h>

#define FLO_ARGS_MAX 64   /* most words of a line, and most flags of a line */
#define FLO_VERBS_MAX 160 /* most verbs of a program */
#define FLO_VERB_TABLES 5

/* Types of the member in the verb's state that a flag fills. */
enum flo_flag_kind {
    /* the flag fills no member; the program reads its value by flo_args_text()
     * and similar functions */
    FLO_FLAG_ASKED,
    FLO_FLAG_TEXT, /* const char * */
    FLO_FLAG_SWITCH,
    FLO_FLAG_U64,
    FLO_FLAG_U32,
    FLO_FLAG_MS, /* uint64_t in milliseconds, from a duration such as "30s" */
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

/* A flag: "--name VALUE", "--name=VALUE" or "--switch".  A flag with a letter,
 * or with a name of one letter, is also "-o VALUE" and "-oVALUE".  When a flag
 * is given twice, the last one counts.  A table of flags ends with
 * FLO_FLAGS_END. */
struct flo_flag {
    const char *name; /* name of the flag, without the dashes */
    /* NULL: a switch; "json|table": one of these words; else a name for the
     * value */
    const char *value;
    const char *help;
    enum flo_flag_kind kind;
    size_t offset; /* offset of the member in the verb's state */
    /* bounds of a number or duration; max 0: the type of the member is the
     * bound */
    uint64_t min, max;
    char letter; /* short form of the flag: with 'o' the flag is also "-o" */
    bool is_needed;
    const char *unless; /* name of a flag that makes this one unnecessary */
    /* Called each time the flag is given, in place of filling a member.  NULL:
     * the flag fills the member that `kind` names. */
    int (*take)(void *state, const char *value, struct flo_err *err);
    const char *(*more)(void); /* returns text to show after `help`; or NULL */
};

/* The command line that was typed.  Words and values are borrowed from argv. */
struct flo_args {
    const struct flo_args_program *program;
    const struct flo_verb *verb;
    const char *words[FLO_ARGS_MAX + 1]; /* words after the verb; NULL ends the list */
    size_t word_count;
    /* Rows of the flags that were given, in order.  There is room for one more,
     * which the program may add. */
    const struct flo_flag *flags[FLO_ARGS_MAX + 1];
    const char *values[FLO_ARGS_MAX + 1]; /* values of these flags; "" for a switch */
    size_t flag_count;
    bool is_json; /* true: --json or --output json was given */
    /* true: the program has already printed its answer, or an error's JSON, to
     * stdout */
    bool is_told;
};

struct flo_verb {
    /* name of the verb with its noun, such as "status" or "device list"; "":
     * the program has no other verb */
    const char *name;
    /* The words and flags of the verb: "IN [OUT] [--flag N]".  The words come
     * first, in capitals.  "[X]" is optional and "X..." may be repeated.  " | "
     * means that all words are optional. */
    const char *usage;
    const char *help; /* one line */
    const struct flo_flag *flags[FLO_VERB_TABLES + 1];
    void *state; /* struct that the verb's flags fill; its first member is a struct flo_args */
    /* Runs the verb.  Returns an exit code or FLO_E_...; the caller prints the
     * error.  NULL: the program runs the verb itself, or the build leaves it
     * out. */
    int (*run)(void *state, struct flo_err *err);
    const char *more; /* text at the end of the verb's help, or NULL */
    /* arguments of an example; "": no arguments; NULL: only programs call the
     * verb */
    const char *example;
    const char *group; /* section of the program's help, or NULL */
    /* CMake option that adds a verb which this build leaves out.  The words
     * after such a verb are not read, and FLO_E_NOT_BUILT names the option.
     * NULL: the build has the verb. */
    const char *left_out;
};

struct flo_args_program {
    const char *name;
    const char *about;
    const struct flo_verb *const *verbs;
    size_t count;
    const struct flo_flag *flags;    /* flags that every verb has, or NULL */
    const char *const (*aliases)[2]; /* pairs {"ls", "list"}, then NULL */
    const char *standard;            /* verb that runs when the line names none */
    /* verbs that another program has; a user who types one gets a hint */
    const char *const *elsewhere;
    const char *elsewhere_program, *elsewhere_package;
    bool tells_json; /* errors also go to stdout when JSON is requested */
    /* Called in place of the verb's own run().  NULL: the verb's run() is
     * called. */
    int (*run)(struct flo_args *args, struct flo_err *err);
    /* Appends the names of existing objects for completion, a line
     * "name<TAB>meaning" each.  `what` is a word of a verb's usage or the value
     * of a flag: "NAME", "G".  NULL: the program completes no names. */
    void (*names)(const struct flo_args *line, const char *what, struct flo_buf *out);
    const char *more; /* text at the end of the help, or NULL */
    /* Verbs that a help with groups shows first; NULL ends the list.  If the
     * list itself is NULL, the help has no groups. */
    const struct flo_verb *const *start;
};

/* The flags -o json and --json, for verbs that answer as text or as JSON. */
extern const struct flo_flag flo_flags_json[];
#define FLO_FLAGS_JSON flo_flags_json
/* the flag --json alone, for verbs whose -o is a file */
#define FLO_FLAGS_JSON_ALONE (flo_flags_json + 1)

/* Does all that main() does: reads the line, runs the verb, prints an error
 * once.  Returns the exit code.  After a FLO_E_USAGE of a verb the message
 * names its --help. */
int flo_args_main(const struct flo_args_program *program, int argc, char **argv);

/* Finds the verb and fills its state.  If `help` has text afterwards, that text
 * is the answer and no verb may run.  *out may be set even after an error: its
 * is_json then says how to print the error.  `err` must not be NULL.
 * FLO_E_USAGE  the command line is invalid */
FLO_MUST_USE int flo_args_read(const struct flo_args_program *program, int argc, char *const *argv,
                               struct flo_args **out, struct flo_buf *help, struct flo_err *err);
/* Writes a help text: of the program (noun and verb NULL), of a noun's verbs,
 * or of one verb.  In help.c. */
void flo_args_help(const struct flo_args_program *program, const char *noun,
                   const struct flo_verb *verb, struct flo_buf *out);
/* Writes the words that may come at the cursor, up to which argv[argc - 1] is
 * typed.  Each is a line "word<TAB>meaning"; ":files" means file names.  In
 * complete.c. */
void flo_args_complete(const struct flo_args_program *program, int argc, char *const *argv,
                       struct flo_buf *out);
/* Counts the words that a usage allows.  Returns the length of the part of
 * `usage` whose words are required. */
size_t flo_args_words(const char *usage, size_t *min, size_t *max);

/* ---- asked.c ---- */

/* Returns the last value of a flag, "" for a switch, or `standard` when the
 * flag was not given.  A flag of the verb hides the program's flag of the same
 * name. */
const char *flo_args_text(const struct flo_args *args, const char *name, const char *standard);
/* Returns the value of a flag of the program, even if the verb has a flag of
 * the same name.  Returns "" for a switch, and `standard` when the flag was not
 * given. */
const char *flo_args_global(const struct flo_args *args, const char *name, const char *standard);
bool flo_args_has(const struct flo_args *args, const char *name);
/* Gives value `index` of a flag that may be repeated.  Returns false after the
 * last value. */
bool flo_args_each(const struct flo_args *args, const char *name, size_t index, const char **value);
/* Reads the whole number that a flag was given, or `standard` without the flag.
 * The message of FLO_E_USAGE names the flag, the value and the range. */
FLO_MUST_USE int flo_args_u64(const struct flo_args *args, const char *name, uint64_t min,
                              uint64_t max, uint64_t standard, uint64_t *out, struct flo_err *err);
FLO_MUST_USE int flo_args_ms(const struct flo_args *args, const char *name, uint64_t standard,
                             uint64_t *out, struct flo_err *err);

#endif
