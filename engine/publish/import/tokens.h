/* Tokens: turns a folder's tokenizer into the keys of a file. */
#ifndef FLOTILLA_ENGINE_IMPORT_TOKENS_H
#define FLOTILLA_ENGINE_IMPORT_TOKENS_H

#include "engine/publish/import/pieces.h"
#include "engine/publish/import/plan.h"

/* Reads tokenizer.json, tokenizer.model and tokenizer_config.json, and sets
 * tokenizer.ggml.* with the chat's template.
 *
 * FLO_E_MODEL_FOLDER   a file is malformed, or does not fit config.json
 * FLO_E_IO_READ, FLO_E_MEMORY */
FLO_MUST_USE int flo_tokens_set(struct flo_import *import, struct flo_err *err);

/* Compares the vocabulary with what the other files say about the same tokens
 * (twice.c).  `settings` is tokenizer_config.json, or NULL.
 *
 * FLO_E_MODEL_FOLDER   two say different things, or one text has two ids
 * FLO_E_IO_READ, FLO_E_MEMORY */
FLO_MUST_USE int flo_twice_check(const struct flo_import *import,
                                 const struct flo_import_pieces *pieces,
                                 const struct flo_tree_node *settings, struct flo_err *err);

#endif
