/* Blocks: the two ways in which attention and feed-forward are put together.
 *
 * One after the other (all families but one): for one token a layer has five
 * barriers, q k v | attention | output | gate up | down.  Norms behind a part
 * (gemma2, gemma3) cost one more each.  In parallel (phi2): both read the same
 * normed input and both are added. */
#include "engine/model/pass.h"

/* x += what a part gave, normed first where the family norms it. */
static void add_part(struct flo_pass *pass, unsigned thread,
                     const struct flo_matrix *matrix, const float *bias,
                     const float *post_norm, const struct flo_input *in)
{
    struct flo_engine *e = pass->engine;
    struct flo_scratch *s = &e->scratch;
    const struct flo_product product = {matrix, bias, s->y, FLO_AFTER_NOTHING};
    size_t n = e->hparams.n_embd;

    if (post_norm == NULL) {
        flo_pass_multiply_add(pass, matrix, bias, in);
        flo_pool_barrier(e->pool);
        return;
    }
    flo_pass_multiply(pass, &product, 1, in);
    flo_pool_barrier(e->pool);
    for (size_t t = thread; t < pass->count; t += flo_pool_threads(e->pool)) {
        float *y = s->y + t * n;

        flo_pass_norm(e, y, post_norm, NULL, n, y);
        e->kernel->add(s->x + t * n, y, n);
    }
    flo_pool_barrier(e->pool);
}

static void output_of_attention(struct flo_pass *pass, unsigned thread,
                                const struct flo_layer *layer)
{
    struct flo_engine *e = pass->engine;
    const struct flo_source source = {
        .values = e->scratch.attention,
        .columns = flo_width_q(&e->hparams),
        .count = pass->count,
        .matrices = {&layer->o},
    };
    struct flo_input in =
        flo_pass_prepare(pass, thread, &source, layer->o.precision);

    add_part(pass, thread, &layer->o, layer->o_bias, layer->attn_post_norm,
             &in);
}

static void down_from(struct flo_pass *pass, unsigned thread,
                      const struct flo_layer *layer, float *values)
{
    const struct flo_source source = {
        .values = values,
        .columns = pass->engine->hparams.n_ff,
        .count = pass->count,
        .matrices = {&layer->down},
    };
    struct flo_input in =
        flo_pass_prepare(pass, thread, &source, layer->down.precision);

    add_part(pass, thread, &layer->down, layer->down_bias, layer->ffn_post_norm,
             &in);
}

/* The residual stream, normed, as input of some products. */
static struct flo_input normed_input(struct flo_pass *pass, unsigned thread,
                                     const float *norm, const float *norm_bias,
                                     const struct flo_product *products,
                                     size_t product_count)
{
    struct flo_engine *e = pass->engine;
    struct flo_source source = {
        .values = e->scratch.x,
        .norm = norm,
        .norm_bias = norm_bias,
        .columns = e->hparams.n_embd,
        .count = pass->count,
    };
    enum flo_precision finest = FLO_PRECISION_FLOAT;

    for (size_t i = 0; i < product_count; i++) {
        source.matrices[i] = products[i].matrix;
        if (products[i].matrix->precision > finest) {
            finest = products[i].matrix->precision;
        }
    }
    return flo_pass_prepare(pass, thread, &source, finest);
}

static bool serial_block(struct flo_pass *pass, unsigned thread, uint32_t index)
{
    struct flo_engine *e = pass->engine;
    struct flo_scratch *s = &e->scratch;
    const struct flo_layer *layer = &e->weights.layers[index];
    struct flo_input in;
    const struct flo_product heads[] = {
        {&layer->q, layer->q_bias, s->q, FLO_AFTER_NOTHING},
        {&layer->k, layer->k_bias, s->k, FLO_AFTER_NOTHING},
        {&layer->v, layer->v_bias, s->v, FLO_AFTER_NOTHING},
    };
    const struct flo_product gated[] = {
        {&layer->gate, layer->gate_bias, s->gate, FLO_AFTER_NOTHING},
        {&layer->up, layer->up_bias, s->up, FLO_AFTER_NOTHING},
    };

    in = normed_input(pass, thread, layer->attn_norm, layer->attn_norm_bias,
                      heads, FLO_COUNT(heads));
    flo_pass_multiply(pass, heads, FLO_COUNT(heads), &in);
    flo_pool_barrier(e->pool);
    flo_pass_attention(pass, index);
    flo_pool_barrier(e->pool);
    output_of_attention(pass, thread, layer);
    if (pass->stop) {
        return false;
    }
    in = normed_input(pass, thread, layer->ffn_norm, NULL, gated,
                      FLO_COUNT(gated));
    flo_pass_multiply_gated(pass, layer, &in);
    flo_pool_barrier(e->pool);
    down_from(pass, thread, layer, s->gate);
    return true;
}

static bool parallel_block(struct flo_pass *pass, unsigned thread,
                           uint32_t index)
{
    struct flo_engine *e = pass->engine;
    struct flo_scratch *s = &e->scratch;
    const struct flo_layer *layer = &e->weights.layers[index];
    struct flo_input in;
    const struct flo_product products[] = {
        {&layer->q, layer->q_bias, s->q, FLO_AFTER_NOTHING},
        {&layer->k, layer->k_bias, s->k, FLO_AFTER_NOTHING},
        {&layer->v, layer->v_bias, s->v, FLO_AFTER_NOTHING},
        {&layer->up, layer->up_bias, s->up, FLO_AFTER_GELU},
    };

    in = normed_input(pass, thread, layer->attn_norm, layer->attn_norm_bias,
                      products, FLO_COUNT(products));
    flo_pass_multiply(pass, products, FLO_COUNT(products), &in);
    flo_pool_barrier(e->pool);
    flo_pass_attention(pass, index);
    flo_pool_barrier(e->pool);
    output_of_attention(pass, thread, layer);
    if (pass->stop) {
        return false;
    }
    down_from(pass, thread, layer, s->up);
    return true;
}

bool flo_pass_block(struct flo_pass *pass, unsigned thread, uint32_t layer)
{
    return pass->engine->arch->is_parallel ? parallel_block(pass, thread, layer)
                                           : serial_block(pass, thread, layer);
}
