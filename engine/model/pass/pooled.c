/* Pooled: the vector of a whole text, made as the model's file says: the final
 * states are pooled, and matrices follow.  A model that ranks gives scores. */
#include <math.h>
#include <string.h>

#include "engine/model/pass/pass.h"

/* Computes out = matrix * x + bias on this thread: a row of the matrix is read
 * once for each text. */
static void multiply(const struct flo_engine *e, const struct flo_matrix *m, const float *x,
                     float *out)
{
    float *row = e->scratch.pooled + 2 * (size_t)e->sizes.pooled_width;

    for (uint32_t i = 0; i < m->rows; i++) {
        double sum = m->bias == NULL ? 0 : (double)m->bias[i];

        m->type->decode(m->data + (size_t)i * m->row_bytes, row, m->columns);
        for (uint32_t k = 0; k < m->columns; k++) {
            sum += (double)row[k] * (double)x[k];
        }
        out[i] = (float)sum;
    }
}

/* Adds the states of a pass in the order of the tokens. */
static void pool(struct flo_engine *e, uint32_t count, bool is_first, float *pooled)
{
    enum flo_text_pooling pooling = e->hparams.pooling;
    uint32_t n = e->hparams.n_embd, first = 0, end = count;

    if (pooling == FLO_POOLED_FIRST) {
        end = is_first ? 1 : 0;
    } else if (pooling == FLO_POOLED_LAST) {
        first = count - 1;
    }
    for (uint32_t t = first; t < end; t++) {
        const float *state = flo_forward_state(e, t);

        if (pooling == FLO_POOLED_MEAN) {
            e->kernel->add(pooled, state, n);
        } else {
            memcpy(pooled, state, n * sizeof(*pooled));
        }
    }
}

/* Applies what the file has behind the pooled vector: two matrices (Embedding
 * Gemma), or the ranking head with the matrix before it. */
static void finish(struct flo_engine *e, float *pooled, float *vector)
{
    const struct flo_weights *w = &e->weights;
    uint32_t n = e->hparams.n_embd;
    float *next = e->scratch.pooled + e->sizes.pooled_width;

    if (w->dense_wide.data != NULL) {
        multiply(e, &w->dense_wide, pooled, next);
        multiply(e, &w->dense_narrow, next, pooled);
    }
    if (w->pooler.data != NULL) {
        multiply(e, &w->pooler, pooled, next);
        if (w->pooler_norm != NULL) {
            flo_pass_activate(e, next, NULL, n);
            flo_pass_norm(e, next, w->pooler_norm, NULL, n, pooled);
        }
        for (uint32_t i = 0; w->pooler_norm == NULL && i < n; i++) {
            pooled[i] = tanhf(next[i]);
        }
    }
    if (w->head.data != NULL) {
        multiply(e, &w->head, pooled, vector);
    } else {
        memcpy(vector, pooled, n * sizeof(*vector));
    }
}

int flo_pool_vector(struct flo_session *session, const int32_t *tokens, size_t count, float *vector,
                    struct flo_err *err)
{
    struct flo_engine *e = session->engine;
    float *pooled = e->scratch.pooled;
    int rv = 0;

    memset(pooled, 0, e->hparams.n_embd * sizeof(*pooled));
    for (size_t done = 0; rv == 0 && done < count;) {
        size_t left = count - done;
        uint32_t here = left < e->sizes.batch ? (uint32_t)left : e->sizes.batch;
        const struct flo_span span = {session, tokens + done, here};
        const struct flo_request request = {.spans = &span, .span_count = 1, .states = true};

        rv = flo_forward(e, &request, err);
        if (rv == 0) {
            pool(e, here, done == 0, pooled);
            flo_session_keep(session, tokens + done, here);
            done += here;
        }
    }
    flo_session_reset(session);
    FLO_TRY(rv);
    if (e->hparams.pooling == FLO_POOLED_MEAN) {
        for (uint32_t i = 0; i < e->hparams.n_embd; i++) {
            pooled[i] /= (float)count;
        }
    }
    finish(e, pooled, vector);
    return 0;
}
