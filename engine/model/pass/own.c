/* Own: embeddings that each layer has of a token (Gemma 3n, Gemma 4).  A part is
 * the token's row in a table of all layers, the other is computed from the
 * token's embedding. */
#include <math.h>

#include "engine/model/file/packed.h"
#include "engine/model/pass/pass.h"

int flo_own_embed(struct flo_engine *e, uint32_t row, const int32_t *tokens, uint32_t count,
                  struct flo_err *err)
{
    const struct flo_matrix *m = &e->weights.per_layer;
    float scale = sqrtf((float)e->hparams.n_per_layer);

    for (size_t t = 0; t < count && m->data != NULL; t++) {
        float *own = e->scratch.own + (row + t) * m->columns;
        uint8_t *room = (uint8_t *)(e->scratch.own_added + (row + t) * m->columns);
        const uint8_t *values;

        FLO_TRY(flo_packed_embedding(e, m, tokens[t], room, &values, err));
        m->type->decode(values, own, m->columns);
        flo_pass_scale(own, m->columns, scale);
    }
    return 0;
}

void flo_own_make(struct flo_pass *pass, unsigned thread)
{
    struct flo_engine *e = pass->engine;
    struct flo_scratch *s = &e->scratch;
    const struct flo_hparams *h = &e->hparams;
    size_t width = h->n_per_layer, all = width * h->n_layer;
    float scale = 1 / sqrtf((float)h->n_embd);

    flo_pass_project(
        pass, thread,
        (struct flo_product){&e->weights.per_layer_proj, s->own_added, FLO_AFTER_NOTHING}, s->x,
        NULL);
    for (size_t t = thread; t < pass->count; t += flo_pool_threads(e->pool)) {
        for (size_t i = 0; i < all; i += width) {
            float *own = s->own + t * all + i, *more = s->own_added + t * all + i;

            flo_pass_scale(more, width, scale);
            e->kernel->rms_norm(more, e->weights.per_layer_norm, h->epsilon, width, more);
            for (size_t j = 0; j < width; j++) {
                own[j] = (own[j] + more[j]) * 0.70710678f; /* 1 / sqrt(2) */
            }
        }
    }
    flo_pool_barrier(e->pool);
}

void flo_own_gate(struct flo_pass *pass, unsigned thread, uint32_t layer)
{
    struct flo_engine *e = pass->engine;
    struct flo_scratch *s = &e->scratch;
    size_t width = e->hparams.n_per_layer;

    flo_pass_project(
        pass, thread,
        (struct flo_product){&e->weights.layers[layer].own_gate, s->gate, FLO_AFTER_NOTHING}, s->x,
        NULL);
    for (size_t t = thread; t < pass->count; t += flo_pool_threads(e->pool)) {
        const float *own = s->own + (t * e->hparams.n_layer + layer) * width;

        flo_pass_activate(e, s->gate + t * width, own, width);
    }
    flo_pool_barrier(e->pool);
}
