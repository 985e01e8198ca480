/* Parser: the common part of GBNF and regular expressions.  Alternatives,
 * sequences, groups, classes and repetitions are parsed straight into a
 * program; callbacks of each syntax read single items.
 *
 * After an error, `rv` stays set and the cursor is at the end, so that parsing
 * stops.  So only loops that search for a character must check `rv`. */
#ifndef FLOTILLA_GRAMMAR_PARSER_H
#define FLOTILLA_GRAMMAR_PARSER_H

#include "engine/grammar/program.h"

struct flo_parser;

struct flo_syntax {
    const char *ends; /* characters that end a sequence */
    /* Skips blanks and comments.  Line ends are skipped only if
     * `over_lines`. */
    void (*skip)(struct flo_parser *parser, bool over_lines);
    void (*item)(struct flo_parser *parser);
    /* Reads one character of a class into *code.  Returns false if it read a
     * named set of characters into `set` instead. */
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

/* Sets the error FLO_E_INFER_SCHEMA with the text "grammar, line <of `at`>:
 * <what>". */
void flo_parser_refuse(struct flo_parser *parser, const char *at, const char *what);
/* Parses sequences separated by |, up to one of the syntax's end characters. */
void flo_parser_choices(struct flo_parser *parser);
/* Parses a group, whose opening parenthesis is right before the cursor. */
void flo_parser_group(struct flo_parser *parser);
/* Parses the class at the cursor into an empty set. */
void flo_parser_class(struct flo_parser *parser, struct flo_code_set *set);

#endif
