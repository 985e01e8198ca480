/* Splits: how a folder's tokenizer cuts a text into words before it looks for
 * tokens. */
#ifndef FLOTILLA_ENGINE_IMPORT_SPLITS_H
#define FLOTILLA_ENGINE_IMPORT_SPLITS_H

#include "base/tree/tree.h"
#include "engine/publish/import/keys.h"

/* Sets tokenizer.ggml.pre, the name by which llama.cpp knows the split of a BPE
 * tokenizer; flotilla.tokenizer.split, its own regular expressions in their
 * order; and flotilla.tokenizer.normalizer, "nfc" where texts are composed
 * first.  A split without a name is "default".  `root` is tokenizer.json. */
void flo_splits_set(struct flo_keys *keys, const char *arch, const struct flo_tree_node *root,
                    bool is_own);

#endif
