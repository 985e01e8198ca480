/* Parser: the common part of GBNF and regular expressions.  Alternatives,
 * sequences, groups, classes and repetitions go straight into a program; how an
 * item is written is the syntax's.
 *
 * A refusal stays and moves the cursor to the end, where all reading stops:
 * only loops that wait for a character look at `rv`. */
#ifndef FLOTILLA_GRAMMAR_PARSER_H
#define FLOTILLA_GRAMMAR_PARSER_H

#include "engine/grammar/program.h"

struct flo_parser;

struct flo_syntax {
    const char *ends; /* after a sequence */
    /* Pass what means nothing; over line ends only where no rule can end. */
    void (*skip)(struct flo_parser *parser, bool over_lines);
    void (*item)(struct flo_parser *parser);
    /* One character of a class; false: it was a set, and is in `set`. */
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

/* FLO_E_INFER_SCHEMA: "grammar, line <of `at`>: <what>". */
void flo_parser_refuse(struct flo_parser *parser, const char *at, const char *what);
/* Sequences with | between, up to the end sign. */
void flo_parser_choices(struct flo_parser *parser);
/* Past the parenthesis that opens a group. */
void flo_parser_group(struct flo_parser *parser);
/* At the bracket of a class, into an empty set. */
void flo_parser_class(struct flo_parser *parser, struct flo_code_set *set);

#endif
