/* Grammar: types and functions of this folder.  A text is compiled to a program
 * (program.h), and the matcher (matcher.h) runs it byte by byte.
 *
 *   program.c            builds and checks the graph of rules
 *   parser.c             parses expressions into it
 *   gbnf.c pattern.c     syntaxes: GBNF, regular expressions
 *   schema/              compiles JSON Schema into it
 *   matcher.c mask.c     states, and the tokens that each allows
 *   grammar.c            the public functions */
#ifndef FLOTILLA_ENGINE_GRAMMAR_H
#define FLOTILLA_ENGINE_GRAMMAR_H

#include <flotilla/grammar.h>

#include "engine/chat/calls/reader.h"
#include "engine/grammar/parser.h"

/* Compiles GBNF to a checked program, which the caller frees.
 * FLO_E_INFER_SCHEMA names the line.  FLO_E_MEMORY. */
FLO_MUST_USE int flo_gbnf_compile(const char *text, size_t bytes, struct flo_program **program,
                                  struct flo_err *err);
/* Compiles a JSON Schema to a checked program.  Without a text (NULL) any
 * object is allowed.  FLO_E_INFER_SCHEMA names the JSON pointer.
 * FLO_E_MEMORY. */
FLO_MUST_USE int flo_schema_compile(const char *text, size_t bytes, struct flo_program **program,
                                    struct flo_err *err);

#define FLO_CALLS_MAX 64u /* most calls that an answer may have */

struct flo_call_choice {
    const char *name;  /* name of the tool that must be called */
    size_t name_bytes; /* 0: any tool */
    bool is_one;       /* the answer may have at most one call */
    bool may_blank;    /* blanks may come before the first call */
};
/* Compiles the calls that a model may write, in the model's form.
 * FLO_E_INFER_SCHEMA names the tool and the JSON pointer within its parameters.
 * FLO_E_MEMORY. */
FLO_MUST_USE int flo_calls_compile(const struct flo_tools *tools, const struct flo_call_form *form,
                                   const struct flo_call_choice *choice,
                                   struct flo_program **program, struct flo_err *err);

/* Opens a reader of thoughts and calls, in the form of the model's template.
 * `grammar` is borrowed; with a grammar of calls the reader reports calls, with
 * NULL only thoughts.  *out is NULL if the model's form has neither.
 * FLO_E_MEMORY. */
FLO_MUST_USE int flo_grammar_open_reader(const struct flo_engine *engine,
                                         const struct flo_grammar *grammar, bool in_thought,
                                         flo_part_fn *part, void *context,
                                         struct flo_call_reader **out, struct flo_err *err);

/* Opens a GBNF parser with a new `program`, to which callers may add rules of
 * their own.  Names and texts must live until the parser is closed.  Closing
 * returns the program if `rv`, the result so far, is 0.  The parser keeps
 * errors in a text.  FLO_E_MEMORY. */
FLO_MUST_USE int flo_gbnf_open(struct flo_parser *parser, struct flo_err *err);
int flo_gbnf_close(struct flo_parser *parser, int rv, struct flo_program **out);
void flo_gbnf_read(struct flo_parser *parser, const char *text, size_t bytes);
/* Parses an expression of GBNF and appends it to the rule that is being
 * built. */
void flo_gbnf_put(struct flo_parser *parser, const char *text);
/* Returns the number of the rule with this name, whose definition may follow
 * later. */
uint32_t flo_gbnf_rule(struct flo_parser *parser, const char *name);

/* Appends the JSON strings that match a regular expression, without their
 * quotes.  `any` is the rule of one character of a string.  Returns false if
 * the expression uses something that is not supported. */
bool flo_pattern_put(struct flo_program *program, const char *text, size_t bytes, uint32_t any);

/* Bytes before and after a text that a program of flo_pattern_compile() reads.
 * UTF-8 has neither of them. */
#define FLO_PATTERN_BEGIN 0xfe
#define FLO_PATTERN_END 0xff
/* Compiles a regular expression to a checked program, which the caller frees.
 * It matches the marked texts in which the expression occurs: the byte
 * FLO_PATTERN_BEGIN, any plain text in UTF-8, FLO_PATTERN_END.
 *
 * FLO_E_INFER_SCHEMA  the expression uses something that is not supported
 * FLO_E_MEMORY */
FLO_MUST_USE int flo_pattern_compile(const char *text, size_t bytes, struct flo_program **out,
                                     struct flo_err *err);

/* Returns the most bytes that an open grammar takes.  Compiling the largest
 * schema at the same time is included, because a serving process compiles one
 * grammar at a time. */
uint64_t flo_grammar_bytes(uint32_t n_vocab);
uint64_t flo_schema_bytes(void);

#endif
