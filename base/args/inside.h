/* The parts of reading a command line. */
#ifndef FLOTILLA_BASE_ARGS_INSIDE_H
#define FLOTILLA_BASE_ARGS_INSIDE_H

#include "base/args/args.h"

#define FLO_CALL_BYTES 96

/* "flotilla device list"; `verb` may be NULL. */
void flo_args_call(const struct flo_args_program *program, const struct flo_verb *verb, char *out);

/* ---- flag.c ---- */

bool flo_args_is_flag(const char *word);
/* The value inside a flag's word: "--name=value", "-n=value", "-nvalue"; NULL:
 * none. */
const char *flo_args_value_in(const char *word);
/* The row of "--name", "--name=value" or "-n" in one table; NULL: none. */
const struct flo_flag *flo_args_find_in(const struct flo_flag *flags, const char *word);
/* The same in the tables of the verb, unless `is_global`, and the program. */
const struct flo_flag *flo_args_find(const struct flo_args *args, const char *word, bool is_global);
void flo_args_refuse_flag(const struct flo_args_program *program, const struct flo_verb *verb,
                          const char *word, struct flo_err *err);
bool flo_args_asks_json(const struct flo_flag *flag, const char *value);
/* The flag at argv[*at], which moves on when its value is the next one. */
FLO_MUST_USE int flo_args_read_flag(struct flo_args *args, int argc, char *const *argv, int *at,
                                    bool is_global, struct flo_err *err);

FLO_MUST_USE int flo_args_read_number(const struct flo_flag *flag, const char *text, uint64_t min,
                                      uint64_t max, uint64_t *out, struct flo_err *err);
FLO_MUST_USE int flo_args_read_ms(const struct flo_flag *flag, const char *text, uint64_t *out,
                                  struct flo_err *err);

/* ---- verb.c ---- */

/* The verb, and its words in argv; 0: not there. */
struct flo_args_place {
    const struct flo_verb *verb;
    int first, last;
};
bool flo_args_is_help(const char *word);
/* "noun" or "noun verb"; NULL: there is none. */
const struct flo_verb *flo_args_verb_of(const struct flo_args_program *program, const char *noun,
                                        const char *verb);
/* A noun or verb behind its alias. */
const char *flo_args_plain(const struct flo_args_program *program, const char *word);
/* The verb that is named now, after the noun if there is one; aliases too. */
const struct flo_verb *flo_args_verb_named(const struct flo_args_program *program, const char *noun,
                                           const char *word);
/* With text in `help` that is the answer. */
FLO_MUST_USE int flo_args_find_verb(const struct flo_args_program *program, int argc,
                                    char *const *argv, struct flo_args_place *out,
                                    struct flo_buf *help, struct flo_err *err);

#endif
