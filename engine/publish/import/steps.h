/* Steps: what tokenizer.json does to a text before its words become tokens, as
 * the keys flotilla.tokenizer.steps and their like (engine/token/steps.h). */
#ifndef FLOTILLA_ENGINE_IMPORT_STEPS_H
#define FLOTILLA_ENGINE_IMPORT_STEPS_H

#include "base/tree/tree.h"
#include "engine/publish/import/keys.h"

struct flo_import_steps {
    struct flo_buf texts; /* three for each step, as a file has them */
    uint64_t count;       /* number of texts */
    struct flo_buf signs; /* a letter for each step, by which usual lists are known */
    bool makes_bytes;     /* some step writes bytes as printable characters */
};
/* Reads the normalizer and the pre-tokenizer of a tokenizer.json whose keys and
 * values are known (tokenizer.def).
 *
 * FLO_E_MODEL_FOLDER   an expression is not supported, or there are too many
 * FLO_E_MEMORY */
FLO_MUST_USE int flo_steps_read(const struct flo_tree_node *root, struct flo_import_steps *out,
                                struct flo_err *err);
void flo_import_steps_deinit(struct flo_import_steps *steps);

/* Sets the keys, unless the tokenizer of this kind (tokenizer.ggml.model) does
 * the same without them.  *is_own: the keys are set.
 *
 * FLO_E_MODEL_FOLDER: a flag of an added token is unknown, or the library would
 * give it another id than the file says. */
FLO_MUST_USE int flo_steps_set(struct flo_keys *keys, const struct flo_tree_node *root,
                               const struct flo_import_steps *steps, const char *model,
                               bool *is_own, struct flo_err *err);
/* Refuses a decoder that the vocabulary of this kind does not have.
 * FLO_E_MODEL_FOLDER. */
FLO_MUST_USE int flo_decoder_check(const struct flo_tree_node *root, const char *model,
                                   struct flo_err *err);

#endif
