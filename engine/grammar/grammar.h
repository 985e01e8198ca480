/* Grammar from the inside: a text becomes a program (program.h), whose states
 * (matcher.h) are followed byte by byte.
 *
 *   program.c            rules as a graph: built, checked
 *   parser.c             expressions of texts into it
 *   gbnf.c pattern.c     their two syntaxes
 *   schema.c             JSON Schema into it (json.c reads it)
 *   matcher.c mask.c     states, and which tokens fit them
 *   grammar.c            the public functions */
#ifndef FLOTILLA_ENGINE_GRAMMAR_H
#define FLOTILLA_ENGINE_GRAMMAR_H

#include <flotilla/grammar.h>

#include "engine/chat/calls/reader.h"
#include "engine/grammar/parser.h"

/* To a checked program, for free().  FLO_E_INFER_SCHEMA with the line,
 * FLO_E_MEMORY. */
FLO_MUST_USE int flo_gbnf_compile(const char *text, size_t bytes, struct flo_program **program,
                                  struct flo_err *err);
/* A JSON Schema; a NULL text is any object.  FLO_E_INFER_SCHEMA with the JSON
 * pointer, FLO_E_MEMORY. */
FLO_MUST_USE int flo_schema_compile(const char *text, size_t bytes, struct flo_program **program,
                                    struct flo_err *err);

#define FLO_CALLS_MAX 64u /* calls of one answer */

struct flo_call_choice {
    const char *name;  /* the tool that is to be called */
    size_t name_bytes; /* 0: any of them */
    bool is_one;       /* at most one call */
    bool may_blank;    /* blanks may come first */
};
/* The calls that a model may write, in its form.  FLO_E_INFER_SCHEMA with the
 * tool's name and the JSON pointer within its parameters, FLO_E_MEMORY. */
FLO_MUST_USE int flo_calls_compile(const struct flo_tools *tools, const struct flo_call_form *form,
                                   const struct flo_call_choice *choice,
                                   struct flo_program **program, struct flo_err *err);

/* A reader of the answer's parts, in the form of the model's template.  With a
 * grammar of calls, which it borrows, calls are told; NULL: thoughts alone.
 * *out is NULL where the model's form has nothing to tell.  FLO_E_MEMORY. */
FLO_MUST_USE int flo_grammar_open_reader(const struct flo_engine *engine,
                                         const struct flo_grammar *grammar, bool in_thought,
                                         flo_part_fn *part, void *context,
                                         struct flo_call_reader **out, struct flo_err *err);

/* GBNF into the parser's new `program`, to which other callers add too.  Names
 * and texts must live until the close, which gives the program when `rv`, the
 * result so far, is 0.  An error in a text stays in the parser.
 * FLO_E_MEMORY. */
FLO_MUST_USE int flo_gbnf_open(struct flo_parser *parser, struct flo_err *err);
int flo_gbnf_close(struct flo_parser *parser, int rv, struct flo_program **out);
void flo_gbnf_read(struct flo_parser *parser, const char *text, size_t bytes);
/* An expression, where building is. */
void flo_gbnf_put(struct flo_parser *parser, const char *text);
/* The rule of that name, which may be defined later. */
uint32_t flo_gbnf_rule(struct flo_parser *parser, const char *name);

/* The texts of a JSON string that a regular expression allows, without the
 * quotes; `any` is the rule of any character of it.  false: something in it is
 * not supported. */
bool flo_pattern_put(struct flo_program *program, const char *text, size_t bytes, uint32_t any);

/* The most bytes of an open grammar in use, and of compiling the largest schema
 * next to them.  A serving process compiles grammars one by one. */
uint64_t flo_grammar_bytes(uint32_t n_vocab);
uint64_t flo_schema_bytes(void);

#endif
