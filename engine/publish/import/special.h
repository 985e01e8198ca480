/* Special: the tokens at a text's beginning and end, by a folder's files. */
#ifndef FLOTILLA_ENGINE_IMPORT_SPECIAL_H
#define FLOTILLA_ENGINE_IMPORT_SPECIAL_H

#include "engine/publish/import/config.h"
#include "engine/publish/import/keys.h"
#include "engine/publish/import/pieces.h"

/* Sets the ids of special tokens, and whether they are added to a text.
 * `tokenizer` is tokenizer.json and `settings` tokenizer_config.json; each may
 * be NULL.  An id of `count` or more is left out. */
void flo_special_set(struct flo_keys *keys, const struct flo_tree_node *tokenizer,
                     const struct flo_tree_node *settings, const struct flo_config *config,
                     uint32_t count);
/* Sets how one text and two are written, where these keys do not say it already.
 * `has_segments`: the model has kinds of text.  FLO_E_MODEL_FOLDER: several
 * templates, or one that is too long or malformed. */
FLO_MUST_USE int flo_special_forms(struct flo_keys *keys, const struct flo_tree_node *tokenizer,
                                   const struct flo_tree_node *settings, bool has_segments,
                                   struct flo_err *err);

#endif
