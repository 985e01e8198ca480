/* Parser: the common part of GBNF and regular expressions.  Alternatives,
 * sequences, groups, classes and repetitions are parsed straight into a
 * program; callbacks of each syntax read single items.
 *
 * An error is kept and moves the cursor to the end, so that parsing stops.  So
 * only loops that search for a character must check `rv`. */
#ifndef FLOTILLA_GRAMMAR_PARSER_H
#define FLOTILLA_GRAMMAR_PARSER_H

#include "engine/grammar/program.h"

struct flo_parser;

struct flo_syntax {
    const char *ends; /* signs that end a sequence */
    /* Skips blanks and comments; line ends only if `over_lines`. */
    void (*skip)(struct flo_parser *parser, bool over_lines);
    void (*item)(struct flo_parser *parser);
    /* Reads one character of a class; false: a named set was read into
     * `set`. */
    bool (*code)(struct flo_parser *parser, struct flo_code_set *set, uint32_t *code);
};

struct flo_parser {
    const struct flo_syntax *syntax;
    const char *begin, *at, *end;
    struct flo_program *program;
    struct flo_gbnf_name *names; /* names of GBNF */
    int depth;                   /* depth of groups */
    int rv;
    struct flo_err *err;
};

static inline char flo_parser_peek(const struct flo_parser *p)
{
    return p->at < p->end ? *p->at : '\0';
}

/* Fails with FLO_E_INFER_SCHEMA: "grammar, line <of `at`>: <what>". */
void flo_parser_refuse(struct flo_parser *parser, const char *at, const char *what);
/* Parses sequences separated by |, up to the end sign. */
void flo_parser_choices(struct flo_parser *parser);
/* Parses a group; the cursor is behind its opening parenthesis. */
void flo_parser_group(struct flo_parser *parser);
/* Parses a class into an empty set; the cursor is at its bracket. */
void flo_parser_class(struct flo_parser *parser, struct flo_code_set *set);

#endif
