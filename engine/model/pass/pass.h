/* One forward pass: what all threads of the pool share, and the steps that
 * the blocks of every architecture are made of.
 *
 * Every thread runs the same functions from the first layer to the last; rows
 * of a product and heads are shared out by a counter.  Between two steps that
 * read each other's results stands flo_pool_barrier(). */
#ifndef FLOTILLA_ENGINE_PASS_H
#define FLOTILLA_ENGINE_PASS_H

#include "engine/model/internal.h"

/* Neighbouring rows of one session that a thread attends at once. */
struct flo_piece {
    struct flo_session *session;
    uint32_t position; /* position of row `first` */
    uint16_t first;
    uint16_t count;
};
#define FLO_PIECE_ROWS 8u

struct flo_pass {
    struct flo_engine *engine;
    const struct flo_request *request;
    struct flo_piece pieces[FLO_BATCH_MAX];            /* all rows, in order */
    const struct flo_session *sessions[FLO_BATCH_MAX]; /* each row's, if ... */
    bool has_adapters;                                 /* ... some session of the pass has one */
    uint32_t piece_count;
    uint32_t count; /* rows: tokens, of one or more sessions */
    uint32_t first; /* rows job: of the first row */
    float *logits;  /* rows job: of them */
    bool stop;      /* cancelled; written by thread 0 between barriers */
};

/* ---- products.c ---- */

/* The step on a product's rows right after the bias. */
enum flo_after {
    FLO_AFTER_NOTHING,
    FLO_AFTER_ADD, /* to the residual stream */
    FLO_AFTER_GELU,
    FLO_AFTER_OUTPUT_CAP,
};

struct flo_product {
    const struct flo_matrix *matrix;
    float *y;
    enum flo_after after;
};

/* Products with the same input: values, normed first when `norm` is there.
 * A barrier came after the last write to them. */
struct flo_source {
    float *values; /* [count][columns of the matrices] */
    const float *norm;
    const float *norm_bias;             /* bias of FLO_NORM_LAYER */
    const struct flo_product *products; /* FLO_LOW_SLOTS at most */
    uint32_t product_count;
    uint32_t count;
};

/* All of them.  For more than one token there is a barrier inside, when the
 * input is made. */
void flo_pass_multiply(struct flo_pass *pass, unsigned thread, const struct flo_source *source);
/* The first of two becomes activation(first) * second. */
void flo_pass_multiply_gated(struct flo_pass *pass, unsigned thread,
                             const struct flo_source *source);
/* out = norm of x, of the architecture's kind; may be in place. */
void flo_pass_norm(const struct flo_engine *engine, const float *x, const float *weight,
                   const float *bias, size_t count, float *out);

/* ---- attention.c ---- */

/* From scratch.q, k, v to scratch.attention, through the cache. */
void flo_pass_attention(struct flo_pass *pass, unsigned thread, uint32_t layer);

/* ---- block.c ---- */

/* One layer: the residual stream scratch.x to itself.  False: cancelled, on
 * every thread alike. */
bool flo_pass_block(struct flo_pass *pass, unsigned thread, uint32_t layer);

/* ---- rope.c ---- */

/* scratch.rates, once at open. */
void flo_rope_make_rates(struct flo_engine *engine);
/* Sines and cosines of the pass's rows from `row` on: `count` positions from
 * `position` on. */
void flo_rope_make_tables(struct flo_engine *engine, uint32_t row, uint32_t position,
                          uint32_t count);

#endif
