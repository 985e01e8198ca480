/* Embeddings: what tokens become behind the last layer. */
#include <flotilla/engine_output.h>

#include <math.h>
#include <string.h>

#include "engine/model/pass.h"

/* The batch's rows in the order of the tokens: a text's vector has the same
 * bits however it was cut. */
static void add_rows(struct flo_engine *e, uint32_t count,
                     enum flo_pooling pooling, float *vector)
{
    const struct flo_weights *w = &e->weights;
    uint32_t n = e->hparams.n_embd;
    uint32_t first = pooling == FLO_POOLING_LAST ? count - 1 : 0;

    for (uint32_t t = first; t < count; t++) {
        float *state = e->scratch.y;

        flo_pass_norm(e, e->scratch.x + (size_t)t * n, w->output_norm,
                      w->output_norm_bias, n, state);
        for (uint32_t i = 0; i < n && pooling == FLO_POOLING_MEAN; i++) {
            vector[i] += state[i];
        }
        if (pooling == FLO_POOLING_LAST) {
            memcpy(vector, state, n * sizeof(*vector));
        }
    }
}

static int embed(struct flo_session *session, const int32_t *tokens,
                 size_t count, enum flo_pooling pooling, float *vector,
                 struct flo_err *err)
{
    struct flo_engine *e = session->engine;
    int rv = 0;

    for (size_t done = 0; rv == 0 && done < count;) {
        size_t left = count - done;
        uint32_t here = left < e->sizes.batch ? (uint32_t)left : e->sizes.batch;
        struct flo_span span = {session, tokens + done, here};
        struct flo_request request = {.spans = &span, .span_count = 1};

        rv = flo_forward(e, &request, err);
        if (rv == 0) {
            add_rows(e, here, pooling, vector);
            flo_session_keep(session, tokens + done, here);
            done += here;
        }
    }
    return rv;
}

int flo_session_embed(struct flo_session *session, const int32_t *tokens,
                      size_t count, enum flo_pooling pooling, float *vector,
                      struct flo_err *err)
{
    uint32_t position = session->position;
    uint64_t started_us;
    int rv = flo_session_check(session, tokens, count, err);

    if (rv < 0) {
        return rv;
    }
    session->has_logits = false;
    pthread_mutex_lock(&session->engine->lock);
    started_us = flo_now_us();
    rv = embed(session, tokens, count, pooling, vector, err);
    pthread_mutex_unlock(&session->engine->lock);
    if (rv < 0) {
        session->position = position;
        return rv;
    }
    flo_session_count_time(session, count, flo_now_us() - started_us);
    return 0;
}

bool flo_embedding_finish(float *vector, uint32_t n_embd)
{
    double squares = 0;

    for (uint32_t i = 0; i < n_embd; i++) {
        squares += (double)vector[i] * (double)vector[i];
    }
    if (!isfinite(squares) || squares == 0) {
        return false;
    }
    for (uint32_t i = 0; i < n_embd; i++) {
        vector[i] = (float)((double)vector[i] / sqrt(squares));
    }
    return true;
}
