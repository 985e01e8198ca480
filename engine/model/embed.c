/* Embed: computes vectors of texts from the final states of their tokens. */
#include <flotilla/engine_output.h>

#include <math.h>
#include <string.h>

#include "engine/model/compute.h"

struct spec {
    enum flo_pooling pooling;
    float *vector;
};

/* Adds the rows of a batch in the order of the tokens.  So a text's vector has
 * the same bits however the text was split into batches. */
static int add_rows(void *context, struct flo_session *session, uint32_t count)
{
    const struct spec *spec = context;
    struct flo_engine *e = session->engine;
    uint32_t n = e->hparams.n_embd;
    uint32_t first = spec->pooling == FLO_POOLING_LAST ? count - 1 : 0;

    for (uint32_t t = first; t < count; t++) {
        const float *state = e->compute->state(e, t);

        for (uint32_t i = 0; i < n && spec->pooling == FLO_POOLING_MEAN; i++) {
            spec->vector[i] += state[i];
        }
        if (spec->pooling == FLO_POOLING_LAST) {
            memcpy(spec->vector, state, n * sizeof(*state));
        }
    }
    return 0;
}

int flo_session_embed(struct flo_session *session, const int32_t *tokens, size_t count,
                      enum flo_pooling pooling, float *vector, struct flo_err *err)
{
    struct spec spec = {pooling, vector};
    struct flo_engine *e = session->engine;
    const struct flo_outputs outputs = {.take = add_rows, .states = true, .context = &spec};

    if (e->compute->vector == NULL || (e->info.properties & FLO_COMPUTE_POOLS) == 0) {
        return flo_session_append(session, tokens, count, &outputs, err);
    }
    FLO_TRY(flo_session_check(session, tokens, count, err));
    if (session->position > 0) {
        return flo_fail(err, FLO_E_INFER_PARAM, "a text for a vector comes in one piece");
    }
    pthread_mutex_lock(&e->lock);
    int rv = e->compute->vector(session, tokens, count, vector, err);
    pthread_mutex_unlock(&e->lock);
    return rv;
}

bool flo_embedding_end(const struct flo_engine_info *info, float *vector)
{
    bool is_finite = true;
    for (uint32_t i = 0; i < info->n_embd; i++) {
        is_finite = is_finite && isfinite(vector[i]);
    }
    return is_finite && (info->keeps_length || flo_embedding_finish(vector, info->n_embd));
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
