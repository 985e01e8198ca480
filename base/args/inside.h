/* Inside of the command-line reader: what its files share. */
#ifndef FLOTILLA_BASE_ARGS_INSIDE_H
#define FLOTILLA_BASE_ARGS_INSIDE_H

#include "base/args/args.h"

#define FLO_CALL_BYTES 96

/* Writes how the verb is called, as "flotilla device list".  `verb` may be
 * NULL. */
void flo_args_call(const struct flo_args_program *program, const struct flo_verb *verb, char *out);

/* ---- flag.c ---- */

bool flo_args_is_flag(const char *word);
/* Returns the value within a flag's own word: "--name=value", "-n=value",
 * "-nvalue". NULL: the word has no value. */
const char *flo_args_value_in(const char *word);
/* The row for "--name", "--name=value" or "-n" in one table; NULL: the table
 * has none. */
const struct flo_flag *flo_args_find_in(const struct flo_flag *flags, const char *word);
/* The row in the verb's tables and then the program's; with `is_global` in the
 * program's alone. */
const struct flo_flag *flo_args_find(const struct flo_args *args, const char *word, bool is_global);
void flo_args_refuse_flag(const struct flo_args_program *program, const struct flo_verb *verb,
                          const char *word, struct flo_err *err);
bool flo_args_asks_json(const struct flo_flag *flag, const char *value);
/* Reads the flag at argv[*at].  *at moves on when the flag's value is the next
 * word. */
FLO_MUST_USE int flo_args_read_flag(struct flo_args *args, int argc, char *const *argv, int *at,
                                    bool is_global, struct flo_err *err);

FLO_MUST_USE int flo_args_read_number(const struct flo_flag *flag, const char *text, uint64_t min,
                                      uint64_t max, uint64_t *out, struct flo_err *err);
FLO_MUST_USE int flo_args_read_ms(const struct flo_flag *flag, const char *text, uint64_t *out,
                                  struct flo_err *err);

/* ---- verb.c ---- */

/* A verb and the places in argv of its first and last word; 0: the word is not
 * there. */
struct flo_args_place {
    const struct flo_verb *verb;
    int first, last;
};
bool flo_args_is_help(const char *word);
/* The verb "noun" or "noun verb"; NULL: there is none. */
const struct flo_verb *flo_args_verb_of(const struct flo_args_program *program, const char *noun,
                                        const char *verb);
/* The noun or verb that an alias stands for; else the word itself. */
const char *flo_args_plain(const struct flo_args_program *program, const char *word);
/* The verb that this word names, after the noun if there is one.  Aliases
 * count. */
const struct flo_verb *flo_args_verb_named(const struct flo_args_program *program, const char *noun,
                                           const char *word);
/* Finds the verb of a line.  If the line asks for help, `help` then has the text
 * to print. */
FLO_MUST_USE int flo_args_find_verb(const struct flo_args_program *program, int argc,
                                    char *const *argv, struct flo_args_place *out,
                                    struct flo_buf *help, struct flo_err *err);

#endif
