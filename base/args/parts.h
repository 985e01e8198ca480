/* Functions of command lines that the files of this folder share. */
#ifndef FLOTILLA_BASE_ARGS_PARTS_H
#define FLOTILLA_BASE_ARGS_PARTS_H

#include "base/args/args.h"

#define FLO_CALL_BYTES 96

/* Writes the words that call the verb, such as "flotilla device list".  `verb`
 * may be NULL. */
void flo_args_call(const struct flo_args_program *program, const struct flo_verb *verb, char *out);

/* ---- flag.c ---- */

bool flo_args_is_flag(const char *word);
/* Returns the value within a flag's own word: "--name=value", "-n=value",
 * "-nvalue".  Returns NULL when the word has no value. */
const char *flo_args_value_in(const char *word);
/* Returns the row of "--name", "--name=value" or "-n" in one table, or NULL
 * when the table has none. */
const struct flo_flag *flo_args_find_in(const struct flo_flag *flags, const char *word);
/* Returns the row of a flag in the verb's tables or, after these, in the
 * program's.  With `is_global` it searches only the program's. */
const struct flo_flag *flo_args_find(const struct flo_args *args, const char *word, bool is_global);
void flo_args_refuse_flag(const struct flo_args_program *program, const struct flo_verb *verb,
                          const char *word, struct flo_err *err);
bool flo_args_asks_json(const struct flo_flag *flag, const char *value);
/* Reads the flag at argv[*at].  Moves *at on when the flag's value is the next
 * word. */
FLO_MUST_USE int flo_args_read_flag(struct flo_args *args, int argc, char *const *argv, int *at,
                                    bool is_global, struct flo_err *err);

FLO_MUST_USE int flo_args_read_number(const struct flo_flag *flag, const char *text, uint64_t min,
                                      uint64_t max, uint64_t *out, struct flo_err *err);
FLO_MUST_USE int flo_args_read_ms(const struct flo_flag *flag, const char *text, uint64_t *out,
                                  struct flo_err *err);

/* ---- verb.c ---- */

/* A verb of the command line, with the indices in argv of its first and last
 * word.  An index of 0 means that the line does not have that word. */
struct flo_args_place {
    const struct flo_verb *verb;
    int first, last;
};
bool flo_args_is_help(const char *word);
/* Returns the verb "noun" or "noun verb", or NULL when there is none. */
const struct flo_verb *flo_args_verb_of(const struct flo_args_program *program, const char *noun,
                                        const char *verb);
/* Returns the noun or verb that an alias means, or the word itself when it is
 * no alias. */
const char *flo_args_plain(const struct flo_args_program *program, const char *word);
/* Returns the verb with this word, after the noun if there is one.  The word
 * may be an alias. */
const struct flo_verb *flo_args_verb_named(const struct flo_args_program *program, const char *noun,
                                           const char *word);
/* Finds the verb of a line.  If the line asks for help, writes the text to
 * print into `help`. */
FLO_MUST_USE int flo_args_find_verb(const struct flo_args_program *program, int argc,
                                    char *const *argv, struct flo_args_place *out,
                                    struct flo_buf *help, struct flo_err *err);

#endif
