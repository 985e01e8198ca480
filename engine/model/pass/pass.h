/* Pass: one forward pass: state shared by all threads of the pool, and the
 * steps that every architecture's layers are made of.
 *
 * Every thread runs the same functions from the first layer to the last.  A
 * counter assigns rows of a product and heads to threads.  flo_pool_barrier()
 * separates two steps if one reads the other's results. */
#ifndef FLOTILLA_ENGINE_PASS_H
#define FLOTILLA_ENGINE_PASS_H

#include "engine/model/internal.h"

/* Consecutive rows of one session that a thread attends at once. */
struct flo_piece {
    struct flo_session *session;
    uint32_t position; /* position of the row `first` in its session */
    uint16_t first;
    uint16_t count;
};
#define FLO_PIECE_ROWS 8u

struct flo_pass {
    struct flo_engine *engine;
    const struct flo_request *request;
    struct flo_piece pieces[FLO_BATCH_MAX];            /* cover all rows, in order */
    const struct flo_session *sessions[FLO_BATCH_MAX]; /* session of each row, if ... */
    bool has_adapters;                                 /* ... any session has an adapter */
    uint32_t piece_count;
    uint32_t count; /* rows: tokens, of one or more sessions */
    uint32_t first; /* logits job: first row */
    float *logits;  /* logits job: the rows' logits */
    bool stop;      /* cancelled; written by thread 0 between barriers */
};

/* ---- products.c ---- */

/* Step on a product's rows, after the bias. */
enum flo_after {
    FLO_AFTER_NOTHING,
    FLO_AFTER_ADD, /* results are added to the residual stream */
    FLO_AFTER_GELU,
    FLO_AFTER_OUTPUT_CAP,
};

struct flo_product {
    const struct flo_matrix *matrix;
    float *y;
    enum flo_after after;
};

/* Products with the same input `values`, which is normalised first if `norm` is
 * set.  A barrier must follow the last write to the values. */
struct flo_source {
    float *values; /* [count][columns of the matrices] */
    const float *norm;
    const float *norm_bias;             /* bias of FLO_NORM_LAYER */
    const struct flo_product *products; /* FLO_LOW_SLOTS at most */
    uint32_t product_count;
    uint32_t count;
};

/* Computes all products of the source.  With more than one token it contains a
 * barrier, after the input is made. */
void flo_pass_multiply(struct flo_pass *pass, unsigned thread, const struct flo_source *source);
/* Computes two products, and replaces the first by activation(first) *
 * second. */
void flo_pass_multiply_gated(struct flo_pass *pass, unsigned thread,
                             const struct flo_source *source);
/* Normalises x as the architecture does; out may be x. */
void flo_pass_norm(const struct flo_engine *engine, const float *x, const float *weight,
                   const float *bias, size_t count, float *out);

/* ---- attention.c ---- */

/* Computes scratch.attention from scratch.q, k and v, through the cache. */
void flo_pass_attention(struct flo_pass *pass, unsigned thread, uint32_t layer);

/* ---- block.c ---- */

/* Computes one layer on the residual stream scratch.x, in place.  False:
 * cancelled, on all threads alike. */
bool flo_pass_block(struct flo_pass *pass, unsigned thread, uint32_t layer);

/* ---- rope.c ---- */

/* Fills scratch.rates, once at open. */
void flo_rope_make_rates(struct flo_engine *engine);
/* Fills the sines and cosines of the pass's rows from `row` on: `count`
 * positions from `position` on. */
void flo_rope_make_tables(struct flo_engine *engine, uint32_t row, uint32_t position,
                          uint32_t count);

/* ---- forward.c: native.c calls these for flo_compute ---- */

FLO_MUST_USE int flo_forward(struct flo_engine *engine, const struct flo_request *request,
                             struct flo_err *err);
void flo_forward_rows(struct flo_engine *engine, uint32_t first, uint32_t count, float *logits);
const float *flo_forward_state(struct flo_engine *engine, uint32_t row);

#endif
