/* Grammar from the inside: a text becomes a program (program.h), whose states
 * (matcher.h) are followed byte by byte.
 *
 *   schema.c pattern.c   JSON Schema to GBNF text (json.c reads it)
 *   gbnf.c program.c     GBNF text to a checked program
 *   matcher.c mask.c     states, and which tokens fit them
 *   grammar.c            the public functions */
#ifndef FLOTILLA_ENGINE_GRAMMAR_H
#define FLOTILLA_ENGINE_GRAMMAR_H

#include <flotilla/grammar.h>

#include "engine/grammar/program.h"

/* To a checked program.  FLO_E_INFER_PARAM with the line, FLO_E_MEMORY. */
FLO_MUST_USE int flo_gbnf_compile(const char *text, size_t bytes,
                                  struct flo_program *program,
                                  struct flo_err *err);

/* A JSON Schema as GBNF text; a NULL text is any object.  FLO_E_INFER_PARAM
 * with the JSON pointer, FLO_E_MEMORY. */
FLO_MUST_USE int flo_schema_to_gbnf(const char *text, size_t bytes,
                                    struct flo_buf *gbnf, struct flo_err *err);

/* The texts of a JSON string that a regular expression allows, as GBNF without
 * the quotes; NULL, or what in it is not supported. */
const char *flo_pattern_to_gbnf(const char *pattern, size_t bytes,
                                struct flo_buf *gbnf);

/* Bytes that an open grammar has at most while it is used. */
uint64_t flo_grammar_bytes(uint32_t n_vocab);

#endif
