/* Flotilla engine, many sessions at once.  One pass over tokens of several
 * sessions costs far less than one pass for each, because weights are read
 * once.  A session's results have the same bits as alone.
 *
 * A session can begin with the cache of another one that has the same first
 * tokens.  Errors, threads and ownership as in <flotilla/engine.h>. */
#ifndef FLOTILLA_ENGINE_STEP_H
#define FLOTILLA_ENGINE_STEP_H

#include <flotilla/engine.h>

enum flo_rows {
    FLO_ROWS_NONE, /* fill the cache only */
    FLO_ROWS_LAST, /* logits of the last token */
    FLO_ROWS_ALL,  /* logits of every token, in order, until `row` stops */
};

/* Gets the logits [n_vocab] of token `index` of a step, borrowed until it
 * returns.  True: go on.  False: the step's later tokens are forgotten, as if
 * they had not been in it (a wrong draft).  Called on the caller's thread; it
 * must not use sessions of this engine. */
typedef bool flo_row_fn(void *context, uint32_t index, const float *logits);

/* Tokens that one session takes in a pass. */
struct flo_step {
    struct flo_session *session; /* in one step of a pass only */
    const int32_t *tokens;
    uint32_t count;
    enum flo_rows rows;
    flo_row_fn *row; /* needed unless FLO_ROWS_NONE */
    void *context;
};

/* Called once a layer, on the caller's thread; true ends the pass. */
typedef bool flo_stops_fn(void *context);

/* Append each step's tokens to its session, all in one pass.
 *
 * `stops` may be NULL.  flo_session_logits() has none afterwards.  After an
 * error all sessions stand as before, and no row was called.
 *
 * FLO_E_INFER_PARAM       no steps, more tokens than the engine's batch, a
 *                         session twice, a token outside the vocabulary
 * FLO_E_INFER_TOO_LONG    one session's context would be passed
 * FLO_E_INFER_CANCELLED   `stops` said so */
FLO_MUST_USE int flo_engine_step(struct flo_engine *engine, const struct flo_step *steps,
                                 size_t count, flo_stops_fn *stops, void *stops_context,
                                 struct flo_err *err);

/* The tokens that the session holds, as many as its position says.  They are
 * borrowed, and valid until the session's next change. */
const int32_t *flo_session_tokens(const struct flo_session *session);
/* Number of first tokens that both lists share. */
size_t flo_tokens_common(const int32_t *a, size_t a_count, const int32_t *b, size_t b_count);
/* Number of first tokens that `tokens` and the session share; the session's
 * adapter does not count. */
uint32_t flo_session_common(const struct flo_session *session, const int32_t *tokens, size_t count);

/* Begin `session` again with the first `count` tokens of `from`, at most all
 * of them.  Their cache and the adapter are copied; nothing is computed.
 * `from` is of the same engine, and may be `session` itself.  It must not be
 * in use on another thread meanwhile. */
void flo_session_begin_as(struct flo_session *session, const struct flo_session *from,
                          uint32_t count);

#endif
