/* Flotilla engine, many sessions at once.  One pass over tokens of several
 * sessions costs far less than one pass for each, because the weights are read
 * once.  A session's results have the same bits as when it runs alone.
 *
 * A session can begin with the cache of another one that has the same first
 * tokens.  Errors, threads and ownership as in <flotilla/engine.h>. */
#ifndef FLOTILLA_ENGINE_STEP_H
#define FLOTILLA_ENGINE_STEP_H

#include <flotilla/engine.h>

enum flo_rows {
    FLO_ROWS_NONE, /* computes no logits, only fills the cache */
    FLO_ROWS_LAST, /* computes logits of the last token */
    FLO_ROWS_ALL,  /* computes logits of every token, in order, until `row` returns false */
};

/* Callback that gets the logits [n_vocab] of token `index` of a step, borrowed
 * until it returns.  If it returns true, the step continues.  If false, the
 * step's later tokens are dropped, as after a wrong draft.  It is called on the
 * caller's thread and must not use sessions of this engine. */
typedef bool flo_row_fn(void *context, uint32_t index, const float *logits);

/* Tokens to append to one session in a pass. */
struct flo_step {
    /* session that gets the tokens; a pass has each session at most once */
    struct flo_session *session;
    const int32_t *tokens;
    uint32_t count;
    enum flo_rows rows;
    flo_row_fn *row; /* needed unless FLO_ROWS_NONE */
    void *context;
};

/* Callback of a pass, called once per layer on the caller's thread.  If it
 * returns true, the pass is cancelled. */
typedef bool flo_stops_fn(void *context);

/* Appends the tokens of each step to its session, all in one pass.  `stops` may
 * be NULL.  Afterwards flo_session_logits() returns NULL.  After an error all
 * sessions are as before, and no `row` was called.
 *
 * FLO_E_INFER_PARAM      there are no steps, more tokens than the engine's
 *                        batch, a session twice, or a token outside the
 *                        vocabulary
 * FLO_E_INFER_TOO_LONG   a session's context would be exceeded
 * FLO_E_INFER_CANCELLED  `stops` returned true */
FLO_MUST_USE int flo_engine_step(struct flo_engine *engine, const struct flo_step *steps,
                                 size_t count, flo_stops_fn *stops, void *stops_context,
                                 struct flo_err *err);

/* Returns the session's tokens, as many as flo_session_position() says.  They
 * are borrowed until the session changes. */
const int32_t *flo_session_tokens(const struct flo_session *session);
/* Returns the length of the common prefix of two lists of tokens. */
size_t flo_tokens_common(const int32_t *a, size_t a_count, const int32_t *b, size_t b_count);
/* Returns how many of `tokens` are also the session's first tokens.  The
 * session's adapter is not compared. */
uint32_t flo_session_common(const struct flo_session *session, const int32_t *tokens, size_t count);

/* Returns with how many of its first `count` tokens the session can go on
 * without computing any of them again.  It is `count`, or less where layers have
 * a window or a recurrent state: a session keeps windows of its last tokens, and
 * few copies of its state.  Cut elsewhere, a session gives the same results, but
 * its next pass computes tokens again. */
uint32_t flo_session_held(const struct flo_session *session, uint32_t count);

/* Marks a position at which other sequences will leave this one; 0: none.  If a
 * pass of the session ends there, a copy of its recurrent state is kept until
 * the next mark.  Returns false if the session has no such state, so that a mark
 * is of no use. */
bool flo_session_mark(struct flo_session *session, uint32_t position);

/* Restarts `session` with the first `count` tokens of `from`, or all if it has
 * fewer.  Their cache and the adapter are copied; nothing is computed.  `from`
 * belongs to the same engine, may be `session` itself, and must not be in use
 * on another thread meanwhile. */
void flo_session_begin_as(struct flo_session *session, const struct flo_session *from,
                          uint32_t count);

#endif
