/* Block: computes a layer, whose two parts are attention and feed-forward.  In
 * all families but one they follow each other.  For one token such a layer has
 * five barriers: q k v | attention | output | gate up | down.  Norms after a
 * part (gemma2, gemma3) cost one more each.  In phi2 both parts read the same
 * normalised input, and both results are added. */
#include "engine/model/pass/pass.h"

/* Computes x += matrix * values.  If the family has a norm there, the product
 * is normalised before it is added. */
static void add_part(struct flo_pass *pass, unsigned thread, const struct flo_matrix *matrix,
                     float *values, const float *post_norm)
{
    struct flo_engine *e = pass->engine;
    struct flo_scratch *s = &e->scratch;
    const struct flo_product product = {matrix, s->y,
                                        post_norm == NULL ? FLO_AFTER_ADD : FLO_AFTER_NOTHING};
    const struct flo_source source = {
        .values = values,
        .products = &product,
        .product_count = 1,
        .count = pass->count,
    };
    size_t n = e->hparams.n_embd;

    flo_pass_multiply(pass, thread, &source);
    flo_pool_barrier(e->pool);
    if (post_norm == NULL) {
        return;
    }
    for (size_t t = thread; t < pass->count; t += flo_pool_threads(e->pool)) {
        float *y = s->y + t * n;

        flo_pass_norm(e, y, post_norm, NULL, n, y);
        e->kernel->add(s->x + t * n, y, n);
    }
    flo_pool_barrier(e->pool);
}

bool flo_pass_block(struct flo_pass *pass, unsigned thread, uint32_t index)
{
    struct flo_engine *e = pass->engine;
    struct flo_scratch *s = &e->scratch;
    const struct flo_layer *layer = &e->weights.layers[index];
    bool is_parallel = e->arch->is_parallel;
    const struct flo_product heads[] = {
        {&layer->q, s->q, FLO_AFTER_NOTHING},
        {&layer->k, s->k, FLO_AFTER_NOTHING},
        {&layer->v, s->v, FLO_AFTER_NOTHING},
        {&layer->up, s->up, FLO_AFTER_GELU}, /* in parallel only */
    };
    const struct flo_product gated[] = {
        {&layer->gate, s->gate, FLO_AFTER_NOTHING},
        {&layer->up, s->up, FLO_AFTER_NOTHING},
    };
    struct flo_source source = {
        .values = s->x,
        .norm = layer->attn_norm,
        .norm_bias = layer->attn_norm_bias,
        .products = heads,
        .product_count = is_parallel ? 4 : 3,
        .count = pass->count,
    };

    flo_pass_multiply(pass, thread, &source);
    flo_pool_barrier(e->pool);
    flo_pass_attention(pass, thread, index);
    flo_pool_barrier(e->pool);
    add_part(pass, thread, &layer->o, s->attention, layer->attn_post_norm);
    if (pass->stop) {
        return false;
    }
    if (!is_parallel) {
        source.norm = layer->ffn_norm;
        source.norm_bias = NULL;
        source.products = gated;
        source.product_count = FLO_COUNT(gated);
        flo_pass_multiply_gated(pass, thread, &source);
        flo_pool_barrier(e->pool);
    }
    add_part(pass, thread, &layer->down, is_parallel ? s->up : s->gate, layer->ffn_post_norm);
    return true;
}
