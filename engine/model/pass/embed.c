/* Embed: vectors of texts, from tokens' states after the last layer. */
#include <flotilla/engine_output.h>

#include <math.h>
#include <string.h>

#include "engine/model/pass/pass.h"

struct spec {
    enum flo_pooling pooling;
    float *vector;
};

/* Adds the batch's rows in the order of the tokens, so a text's vector has the
 * same bits however it was split into batches. */
static int add_rows(void *context, struct flo_session *session, uint32_t count)
{
    const struct spec *spec = context;
    struct flo_engine *e = session->engine;
    const struct flo_weights *w = &e->weights;
    uint32_t n = e->hparams.n_embd;
    uint32_t first = spec->pooling == FLO_POOLING_LAST ? count - 1 : 0;

    for (uint32_t t = first; t < count; t++) {
        float *state = e->scratch.y;

        flo_pass_norm(e, e->scratch.x + (size_t)t * n, w->output_norm, w->output_norm_bias, n,
                      state);
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

    return flo_session_append(session, tokens, count, NULL, add_rows, &spec, err);
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
