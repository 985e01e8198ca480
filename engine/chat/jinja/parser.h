/* Parser: its state and the steps that all rules share.
 *
 * After the first error the parser jumps to the last token, so that every rule
 * stops at once.  The tree's depth is bounded, so that functions on it may
 * recurse. */
#ifndef FLOTILLA_ENGINE_JINJA_PARSER_H
#define FLOTILLA_ENGINE_JINJA_PARSER_H

#include "engine/chat/jinja/interpreter.h"

#define FLO_JINJA_NESTING_MAX 64

struct jinja_parser {
    struct jinja_pool *pool;
    const struct jinja_token *at;
    int nesting;
    int rv;
    struct flo_err *err;
};

/* Records the error, jumps to the last token and returns NULL. */
struct jinja_node *flo_jinja_refuse(struct jinja_parser *parser, const char *why);

/* Makes a node with these operands.  `args` is the first of a list of nodes. */
struct jinja_node *flo_jinja_make(struct jinja_parser *parser, enum jinja_op op,
                                  struct jinja_node *a, struct jinja_node *b, struct jinja_node *c,
                                  struct jinja_node *args);
struct jinja_node *flo_jinja_named(struct jinja_node *node, struct jinja_text text);

uint32_t flo_jinja_depth(const struct jinja_node *node);
uint32_t flo_jinja_deeper(uint32_t depth, const struct jinja_node *node);

/* Functions for the next token.  flo_jinja_sees() tells whether it has this
 * kind and text.  flo_jinja_takes() then also moves behind it.
 * flo_jinja_expect() makes any other token an error. */
bool flo_jinja_sees(const struct jinja_parser *parser, enum jinja_token_kind kind,
                    const char *word);
bool flo_jinja_takes(struct jinja_parser *parser, const char *word);
void flo_jinja_expect(struct jinja_parser *parser, const char *word);
struct jinja_text flo_jinja_take_name(struct jinja_parser *parser);

/* Parses an expression, with if-else; flo_jinja_parse_or() parses one
 * without. */
struct jinja_node *flo_jinja_parse_expression(struct jinja_parser *parser);
struct jinja_node *flo_jinja_parse_or(struct jinja_parser *parser);

#endif
