/* Flotilla engine, more answers of a model than its next token: how likely
 * tokens are, and a text as one vector.  Errors, threads and ownership as in
 * <flotilla/engine.h>; nothing here costs anything unless it is called. */
#ifndef FLOTILLA_ENGINE_OUTPUT_H
#define FLOTILLA_ENGINE_OUTPUT_H

#include <flotilla/engine.h>

/* ---- log-probabilities ---------------------------------------------- */

#define FLO_LOGPROBS_MAX 20u
#define FLO_LOGPROB_MIN (-9999.0f) /* also of what is not finite */

/* Natural logarithm under the model's own distribution: before temperature,
 * penalties, grammar and the like. */
struct flo_logprob {
    int32_t token;
    float logprob;
};
/* From logits [n_vocab]: out[0] is `token`, out[1] to out[count] the likeliest
 * ones, best first, the smaller id first among equals.  `count` is at most
 * FLO_LOGPROBS_MAX.  Returns how many were written: fewer than count + 1 where
 * fewer logits are finite. */
uint32_t flo_logprobs(const float *logits, uint32_t n_vocab, int32_t token,
                      uint32_t count, struct flo_logprob *out);

/* ---- embeddings ------------------------------------------------------ */

enum flo_pooling {
    FLO_POOLING_MEAN, /* add the final states of all tokens */
    FLO_POOLING_LAST, /* the final state of the last token */
};

/* Append tokens as flo_session_decode() does, and put what they become behind
 * the last layer and the output norm into `vector` [n_embd]: added to it (for
 * the mean, which may be taken in several calls; begin with zeros), or in its
 * place.  Without logits.  After an error the session stands as before and
 * the vector is of no use.
 *
 * Errors as flo_session_decode(). */
FLO_MUST_USE int flo_session_embed(struct flo_session *session,
                                   const int32_t *tokens, size_t count,
                                   enum flo_pooling pooling, float *vector,
                                   struct flo_err *err);
/* To length 1: then the product of two vectors is their cosine, and a sum is
 * as good as a mean.  False: it is zero or not finite, and stays. */
bool flo_embedding_finish(float *vector, uint32_t n_embd);

#endif
