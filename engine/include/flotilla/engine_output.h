/* Flotilla engine, further outputs of a model: log-probabilities of tokens,
 * embeddings of texts, and relevance scores of documents.  Errors, threads and
 * ownership as in <flotilla/engine.h>.  They cost nothing unless their
 * functions are called. */
#ifndef FLOTILLA_ENGINE_OUTPUT_H
#define FLOTILLA_ENGINE_OUTPUT_H

#include <flotilla/engine.h>

/* ---- log-probabilities ---- */

#define FLO_LOGPROBS_MAX 20u
/* smallest log-probability; also used for logits that are not finite */
#define FLO_LOGPROB_MIN (-9999.0f)

/* A token and the natural logarithm of its probability.  The probability is the
 * model's own, before temperature, penalties and grammar. */
struct flo_logprob {
    int32_t token;
    float logprob;
};
/* Computes log-probabilities from logits [n_vocab].  out[0] gets that of
 * `token`; out[1] to out[count] get the most probable tokens, best first.
 * Among equals the smaller id is first.  `count` is at most FLO_LOGPROBS_MAX.
 * Returns the entries written, which are fewer than count + 1 if fewer logits
 * are finite. */
uint32_t flo_logprobs(const float *logits, uint32_t n_vocab, int32_t token, uint32_t count,
                      struct flo_logprob *out);

/* ---- embeddings ---- */

enum flo_pooling {
    FLO_POOLING_MEAN, /* sum of the final states of all tokens */
    FLO_POOLING_LAST, /* the final state of the last token */
};

/* Appends tokens as flo_session_decode() does, without logits.  Their states
 * after the last layer and the output norm go into `vector` [n_embd].
 * FLO_POOLING_MEAN adds all states to the vector; the caller begins with zeros,
 * and may use several calls.  FLO_POOLING_LAST replaces the vector by the last
 * token's state.  With FLO_COMPUTE_POOLS one call has the whole text, and the
 * session stays empty.  After an error the session is as before, and the vector
 * is unusable.
 * Errors as of flo_session_decode(); FLO_E_INFER_PARAM also if
 * FLO_COMPUTE_POOLS needs an empty session and this one is not. */
FLO_MUST_USE int flo_session_embed(struct flo_session *session, const int32_t *tokens, size_t count,
                                   enum flo_pooling pooling, float *vector, struct flo_err *err);
/* Scales the vector to length 1.  The dot product of two such vectors is their
 * cosine, and a sum gives the same vector as a mean.  Returns false if the
 * vector is zero or not finite, and leaves it unchanged. */
bool flo_embedding_finish(float *vector, uint32_t n_embd);
/* Does that, unless the model's file says that vectors keep their length. */
bool flo_embedding_end(const struct flo_engine_info *info, float *vector);

/* ---- ranking ---- */

/* Query and document that a ranking model compares.  A model with a ranking
 * head (info.labels) reads both as one text, and the head computes a score from
 * the last token's final state.
 *
 * In the file: `ARCH.pooling_type` 4, `cls.output.weight` [labels][n_embd],
 * perhaps `cls.output.bias`, and `ARCH.classifier.output_labels`.  The prompt's
 * form is `tokenizer.chat_template.rerank`, a plain text with {query} and
 * {document}, as llama.cpp's converter writes it for Qwen3-Reranker. */
struct flo_rank_pair {
    const char *query;
    size_t query_bytes;
    const char *document;
    size_t document_bytes;
};
/* Tokenises the pair.  Only the form may hold control tokens; query and
 * document are plain text, whatever they contain.  Without a form, query and
 * document each end with the end token, and the query begins with the begin
 * token, if the model's file asks for them.
 *
 * FLO_E_INFER_PARAM     the model has no ranking head
 * FLO_E_MODEL_TEMPLATE  the form lacks {query} or {document}, or has too many
 *                       places; or there is neither a form nor an end token
 * FLO_E_INFER_TOO_LONG  more than tokens_max, as flo_engine_tokenise() */
FLO_MUST_USE int flo_engine_pair(const struct flo_engine *engine, const struct flo_rank_pair *pair,
                                 int32_t *tokens, size_t tokens_max, size_t *count,
                                 struct flo_err *err);
/* Computes the score of a state [n_embd] that flo_session_embed() wrote for the
 * last token (FLO_POOLING_LAST).  With several labels the score is the softmax
 * of the first label, from 0 to 1.  With a single label it is the output of
 * that label.
 *
 * FLO_E_INFER_PARAM      the model has no ranking head
 * FLO_E_MODEL_NONFINITE  the score is not finite */
FLO_MUST_USE int flo_engine_rank(const struct flo_engine *engine, const float *state, double *score,
                                 struct flo_err *err);

#endif
