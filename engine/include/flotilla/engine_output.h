/* Flotilla engine, further outputs of a model: log-probabilities of tokens, a
 * text as one vector, and how well a document answers a query.  Errors, threads
 * and ownership as in <flotilla/engine.h>.  A function that is not called costs
 * nothing. */
#ifndef FLOTILLA_ENGINE_OUTPUT_H
#define FLOTILLA_ENGINE_OUTPUT_H

#include <flotilla/engine.h>

/* ---- log-probabilities ---- */

#define FLO_LOGPROBS_MAX 20u
#define FLO_LOGPROB_MIN (-9999.0f) /* also for logits that are not finite */

/* Natural logarithm under the model's own distribution: before temperature,
 * penalties, grammar and the like. */
struct flo_logprob {
    int32_t token;
    float logprob;
};
/* Computed from logits [n_vocab].  out[0] is `token`; out[1] to out[count] are
 * the likeliest ones, best first, the smaller id first among equals.  `count`
 * is at most FLO_LOGPROBS_MAX.  Returns the number written: fewer than
 * count + 1 where fewer logits are finite. */
uint32_t flo_logprobs(const float *logits, uint32_t n_vocab, int32_t token, uint32_t count,
                      struct flo_logprob *out);

/* ---- embeddings ---- */

enum flo_pooling {
    FLO_POOLING_MEAN, /* add the final states of all tokens */
    FLO_POOLING_LAST, /* the final state of the last token */
};

/* Append tokens as flo_session_decode() does, without logits.  Their states
 * after the last layer and the output norm go into `vector` [n_embd].  For the
 * mean they are added to it (begin with zeros; several calls may follow each
 * other).  For the last token the state takes the vector's place.  After an
 * error the session stands as before, and the vector must not be used.
 *
 * Errors as flo_session_decode(). */
FLO_MUST_USE int flo_session_embed(struct flo_session *session, const int32_t *tokens, size_t count,
                                   enum flo_pooling pooling, float *vector, struct flo_err *err);
/* Scale the vector to length 1.  Then the product of two vectors is their
 * cosine, and a sum is as good as a mean.  False: the vector is zero or not
 * finite, and stays. */
bool flo_embedding_finish(float *vector, uint32_t n_embd);

/* ---- ranking ---- */

/* A model with a head of labels (info.labels) reads query and document as one
 * text.  The head makes a score of the last token's final state.
 *
 * In the file: `ARCH.pooling_type` 4, `cls.output.weight` [labels][n_embd],
 * perhaps `cls.output.bias`, and `ARCH.classifier.output_labels`.  The form is
 * `tokenizer.chat_template.rerank`, a plain text with {query} and {document};
 * so llama.cpp's converter writes Qwen3-Reranker. */
struct flo_rank_pair {
    const char *query;
    size_t query_bytes;
    const char *document;
    size_t document_bytes;
};
/* Tokens of the pair.  Control tokens are those of the form: query and document
 * are plain text, whatever they spell.  A model without a form gets
 * query and document each with the end token behind it, the first with the
 * begin token before it, as its metadata asks for them.
 *
 * FLO_E_INFER_PARAM      the model has no such head
 * FLO_E_MODEL_TEMPLATE   its form lacks a place or has too many, or it has no
 *                        form and no end token to tell the two apart
 * FLO_E_INFER_TOO_LONG   more than tokens_max, as flo_engine_tokenise() */
FLO_MUST_USE int flo_engine_pair(const struct flo_engine *engine, const struct flo_rank_pair *pair,
                                 int32_t *tokens, size_t tokens_max, size_t *count,
                                 struct flo_err *err);
/* The score of a state [n_embd] that flo_session_embed() left of the last token
 * (FLO_POOLING_LAST): the first label's share of several, 0 to 1 (softmax), or
 * the number of a single label as it is.
 *
 * FLO_E_INFER_PARAM       the model has no such head
 * FLO_E_MODEL_NONFINITE   the score is not finite */
FLO_MUST_USE int flo_engine_rank(const struct flo_engine *engine, const float *state, double *score,
                                 struct flo_err *err);

#endif
