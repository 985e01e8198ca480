/* Pass: one forward pass, with the state that all threads of the pool share,
 * and the steps of which every architecture's layers are made.  Every thread
 * runs the same functions from the first layer to the last.  A counter gives
 * rows of a product, and heads, to threads.  flo_pool_barrier() separates two
 * steps if one reads the results of the other. */
#ifndef FLOTILLA_ENGINE_PASS_H
#define FLOTILLA_ENGINE_PASS_H

#include <math.h>

#include "engine/model/session.h"

/* Consecutive rows of one session, for which one thread computes attention at
 * once. */
struct flo_piece {
    struct flo_session *session;
    uint32_t position; /* position in the session of the piece's first row */
    uint32_t end;      /* position behind the last row of the session in this pass */
    uint16_t first;
    uint16_t count;
};
#define FLO_PIECE_ROWS 8u

struct flo_pass {
    struct flo_engine *engine;
    const struct flo_request *request;
    /* pieces, which cover all rows of the pass in order */
    struct flo_piece pieces[FLO_BATCH_MAX];
    /* session of each row, used if has_adapters */
    const struct flo_session *sessions[FLO_BATCH_MAX];
    /* at least one session of the pass has an adapter */
    bool has_adapters;
    /* weights were not in memory lately, so those of chosen experts are read in
     * advance */
    bool reads_ahead;
    uint32_t piece_count;
    uint32_t count; /* number of rows, which are tokens of one or more sessions */
    uint32_t first; /* first row of a job that computes only logits */
    float *logits;  /* logits that a job for logits alone writes */
    bool stop;      /* the pass is cancelled; thread 0 writes it between barriers */
};

/* ---- products.c ---- */

/* Operation on the rows of a product, after the bias is added. */
enum flo_after {
    FLO_AFTER_NOTHING,
    FLO_AFTER_ADD, /* adds the results to the residual stream */
    FLO_AFTER_GELU,
    FLO_AFTER_OUTPUT_CAP,
    FLO_AFTER_SIGMOID,
};

struct flo_product {
    const struct flo_matrix *matrix;
    float *y;
    enum flo_after after;
};

/* Products with the same input, `values`, which is normalised first if `norm`
 * is set.  A barrier must come after the last write to the values. */
struct flo_source {
    float *values; /* [count][columns of the matrices]: the input */
    const float *norm;
    const float *norm_bias;             /* bias of FLO_NORM_LAYER */
    const struct flo_product *products; /* FLO_LOW_SLOTS at most */
    uint32_t product_count;
    uint32_t count;
};

/* Computes all products of the source.  With more than one row it has a
 * barrier, after the input is made. */
void flo_pass_multiply(struct flo_pass *pass, unsigned thread, const struct flo_source *source);
/* Computes two products, or one.  The first becomes activation(first) *
 * second. */
void flo_pass_multiply_gated(struct flo_pass *pass, unsigned thread,
                             const struct flo_source *source);
/* Computes one product of all rows of the pass, and waits for it.  The values are
 * normalised first if `norm` is set. */
void flo_pass_project(struct flo_pass *pass, unsigned thread, struct flo_product product,
                      float *values, const float *norm);
/* Normalises all rows [count][n_embd] in place, and waits. */
void flo_pass_norm_rows(struct flo_pass *pass, unsigned thread, float *rows, const float *weight,
                        const float *bias);
/* Normalises x with the norm of the architecture.  `out` may be x. */
void flo_pass_norm(const struct flo_engine *engine, const float *x, const float *weight,
                   const float *bias, size_t count, float *out);

/* ---- attention.c ---- */

/* Computes scratch.attention from the queries, keys and values in scratch, and
 * appends to the cache. */
void flo_pass_attention(struct flo_pass *pass, unsigned thread, uint32_t layer);

/* ---- recurrent.c ---- */

/* Computes the recurrent part of a layer from the residual stream, normalised:
 * a short convolution, a state space, or a delta net.  The result, before its
 * last product, is in scratch.mixer_out. */
void flo_pass_recurrent(struct flo_pass *pass, unsigned thread, uint32_t layer, const float *norm);

/* ---- own.c: embeddings of each layer (Gemma 3n, Gemma 4) ---- */

/* Reads the tokens' rows in the table of all layers' embeddings. */
FLO_MUST_USE int flo_own_embed(struct flo_engine *engine, uint32_t row, const int32_t *tokens,
                               uint32_t count, struct flo_err *err);
/* Adds the part that is computed from the tokens' embeddings in scratch.x. */
void flo_own_make(struct flo_pass *pass, unsigned thread);
/* Computes scratch.gate: the layer's own embedding, behind a gate of scratch.x. */
void flo_own_gate(struct flo_pass *pass, unsigned thread, uint32_t layer);

/* ---- streams.c: several residual streams (Gemma 3n) ---- */

/* Makes the other streams from the tokens' embeddings in scratch.x. */
void flo_streams_spread(struct flo_pass *pass, unsigned thread);
/* Predicts all streams of a layer; scratch.x becomes the first.  Computes the
 * low-rank branch into scratch.branch. */
void flo_streams_predict(struct flo_pass *pass, unsigned thread, uint32_t layer);
/* Adds the branch to the stream behind attention. */
void flo_streams_join(struct flo_pass *pass, unsigned thread);
/* Corrects all streams by the layer's result in scratch.x, and adds the layer's
 * own embedding to the others. */
void flo_streams_correct(struct flo_pass *pass, unsigned thread, uint32_t layer);
/* Merges the streams into scratch.x. */
void flo_streams_merge(struct flo_pass *pass, unsigned thread);
/* Keeps only the largest values of each token's gate. */
void flo_streams_thin(struct flo_pass *pass, unsigned thread, uint32_t layer);

/* ---- experts.c ---- */

/* Computes the experts of a layer from the residual stream, normalised, and
 * adds their results to the stream. */
void flo_pass_experts(struct flo_pass *pass, unsigned thread, uint32_t layer);

/* ---- state.c ---- */

/* Goes back to the last position from which a session can go on, its own or an
 * earlier one; later copies of the state are forgotten.  Then state_position
 * tells how many tokens need not be computed again. */
void flo_state_go_back(struct flo_session *session);
/* Call before a pass with `count` rows of the session.  `is_draft`: some of the
 * rows may be dropped after the pass. */
void flo_state_begin(struct flo_session *session, uint32_t count, bool is_draft);
/* Call after the pass; `count` is 0 if it was cancelled. */
void flo_state_end(struct flo_session *session, uint32_t count);
/* Returns the state of a layer. */
float *flo_state_of(const struct flo_session *session, uint32_t layer);

/* ---- activate.c ---- */

static inline float flo_sigmoid(float x)
{
    return 1 / (1 + expf(-x));
}
/* values[i] *= by */
void flo_pass_scale(float *values, size_t count, float by);
/* gate = activation(gate) * up; without `up`, gate = activation(gate) */
void flo_pass_activate(const struct flo_engine *engine, float *gate, const float *up, size_t count);

/* ---- block.c ---- */

/* Computes one layer on the residual stream scratch.x, in place.  Returns
 * false, on all threads alike, if the pass is cancelled. */
bool flo_pass_block(struct flo_pass *pass, unsigned thread, uint32_t layer);

/* ---- rope.c ---- */

/* Fills the rates of the rotary tables, once at open. */
void flo_rope_make_rates(struct flo_engine *engine);
/* Fills sines and cosines of `count` rows of the pass, from `row` on.  Their
 * positions are `position` and the following ones. */
void flo_rope_make_tables(struct flo_engine *engine, uint32_t row, uint32_t position,
                          uint32_t count);

/* ---- pooled.c ---- */

/* Computes the vector of a whole text, pooled as the file says, into `vector`
 * [n_embd]; the scores [n_labels] of a model that ranks. */
FLO_MUST_USE int flo_pool_vector(struct flo_session *session, const int32_t *tokens, size_t count,
                                 float *vector, struct flo_err *err);

/* ---- forward.c: native.c calls these for flo_compute ---- */

FLO_MUST_USE int flo_forward(struct flo_engine *engine, const struct flo_request *request,
                             struct flo_err *err);
void flo_forward_rows(struct flo_engine *engine, uint32_t first, uint32_t count, float *logits);
const float *flo_forward_state(struct flo_engine *engine, uint32_t row);

#endif
