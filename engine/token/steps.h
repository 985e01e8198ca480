/* Steps: what a file's own list does to a text before its words become tokens.
 *
 * A text is a list of words, at first one.  A step changes the text of each
 * word, or cuts words into several, as the normalizers and pre-tokenizers of
 * tokenizer.json do; importers write them in their order.  The steps are rows of
 * steps.def, each with two texts. */
#ifndef FLOTILLA_ENGINE_STEPS_H
#define FLOTILLA_ENGINE_STEPS_H

#include "engine/token/vocab/vocab.h"

#define FLO_STEPS_MAX 32
#define FLO_STEP_BYTES_MAX 4096u

/* Loads `flotilla.tokenizer.steps` and what belongs to it, after the tokens and
 * the tables of the tokenizer's kind.  A file without the key has no steps.
 *
 * FLO_E_GGUF_VOCAB   a list is malformed, too long, or its ids do not exist
 * FLO_E_NOT_BUILT    a step is unknown, or its expression is not supported
 * FLO_E_MEMORY */
FLO_MUST_USE int flo_steps_load(struct flo_vocab *vocab, const struct flo_gguf *gguf,
                                struct flo_err *err);
void flo_steps_free(struct flo_steps *steps); /* NULL is fine */

/* A text between added tokens. */
struct flo_steps_text {
    const char *data;
    size_t bytes;
    bool is_first;   /* the whole text begins with it */
    bool is_special; /* control tokens in it are recognised */
    bool is_message; /* tokens that look like a template's marks are not */
    bool is_exact;   /* characters are not composed */
};
/* Appends the ids of a text in valid UTF-8.  A text that the steps make too
 * long for their bounds sets tokens->failed.  Returns false if there is no
 * memory. */
bool flo_steps_run(const struct flo_vocab *vocab, const struct flo_steps_text *text,
                   struct flo_tokens *tokens);

#endif
