/* Tokens: turns a folder's tokenizer into the keys of a file. */
#ifndef FLOTILLA_ENGINE_IMPORT_TOKENS_H
#define FLOTILLA_ENGINE_IMPORT_TOKENS_H

#include "engine/publish/import/plan.h"

/* Reads tokenizer.json, tokenizer.model and tokenizer_config.json, and sets
 * tokenizer.ggml.* with the chat's template.
 *
 * FLO_E_MODEL_FOLDER   a file is malformed, or does not fit config.json
 * FLO_E_IO_READ, FLO_E_MEMORY */
FLO_MUST_USE int flo_tokens_set(struct flo_import *import, struct flo_err *err);

#endif
