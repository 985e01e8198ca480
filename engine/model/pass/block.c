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
    enum flo_after after = post_norm == NULL ? FLO_AFTER_ADD : FLO_AFTER_NOTHING;
    size_t n = e->hparams.n_embd;

    flo_pass_project(pass, thread, (struct flo_product){matrix, s->y, after}, values, NULL);
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

/* Computes attention into scratch.attention.  In phi2 the feed-forward part's
 * first product reads the same input. */
static void attention_part(struct flo_pass *pass, unsigned thread, uint32_t index)
{
    struct flo_engine *e = pass->engine;
    struct flo_scratch *s = &e->scratch;
    const struct flo_layer *layer = &e->weights.layers[index];
    bool is_gated = layer->head_gate.data != NULL;
    const struct flo_product heads[] = {
        {&layer->q, s->q, FLO_AFTER_NOTHING},
        {&layer->k, s->k, FLO_AFTER_NOTHING},
        {&layer->v, s->v, FLO_AFTER_NOTHING},
        is_gated ? (struct flo_product){&layer->head_gate, s->up, FLO_AFTER_SIGMOID}
                 : (struct flo_product){&layer->up, s->up, FLO_AFTER_GELU}, /* in parallel only */
    };
    /* A layer that reads another one's cache computes queries alone. */
    bool is_own = e->hparams.layers[index].cache == index;
    uint32_t count = !is_own ? 1 : layer->v.data == NULL ? 2 : 3;
    const struct flo_source source = {
        .values = s->x,
        .norm = layer->attn_norm,
        .norm_bias = layer->attn_norm_bias,
        .products = heads,
        .product_count = e->arch->is_parallel || is_gated ? 4 : count,
        .count = pass->count,
    };

    flo_pass_multiply(pass, thread, &source);
    flo_pool_barrier(e->pool);
    flo_pass_attention(pass, thread, index);
    flo_pool_barrier(e->pool);
}

/* Computes the dense feed-forward part.  A layer that has nothing else
 * (nemotron_h) has its norm under attention's name. */
static void dense_part(struct flo_pass *pass, unsigned thread, uint32_t index)
{
    struct flo_engine *e = pass->engine;
    struct flo_scratch *s = &e->scratch;
    const struct flo_layer *layer = &e->weights.layers[index];
    bool is_single = e->hparams.layers[index].mixer == FLO_MIX_NONE;
    const struct flo_product gated[] = {
        {&layer->gate, s->gate, FLO_AFTER_NOTHING},
        {&layer->up, s->up, FLO_AFTER_NOTHING},
    };
    bool has_gate = layer->gate.data != NULL;
    const struct flo_source source = {
        .values = s->x,
        .norm = is_single ? layer->attn_norm : layer->ffn_norm,
        .products = has_gate ? gated : gated + 1,
        .product_count = has_gate ? 2 : 1,
        .count = pass->count,
    };

    if (e->hparams.layers[index].sparsity > 0) {
        flo_pass_multiply(pass, thread, &source);
        flo_pool_barrier(e->pool);
        flo_streams_thin(pass, thread, index);
    } else if (!e->arch->is_parallel) {
        flo_pass_multiply_gated(pass, thread, &source);
        flo_pool_barrier(e->pool);
    }
    if (layer->dense_post_norm == NULL) {
        add_part(pass, thread, &layer->down, has_gate ? s->gate : s->up, layer->ffn_post_norm);
        return;
    }
    /* The experts of the layer add both results. */
    flo_pass_project(pass, thread, (struct flo_product){&layer->down, s->branch, FLO_AFTER_NOTHING},
                     s->gate, NULL);
    flo_pass_norm_rows(pass, thread, s->branch, layer->dense_post_norm, NULL);
}

static void scale_stream(struct flo_pass *pass, unsigned thread, float by)
{
    struct flo_engine *e = pass->engine;
    size_t n = e->hparams.n_embd;

    for (size_t t = thread; t < pass->count; t += flo_pool_threads(e->pool)) {
        flo_pass_scale(e->scratch.x + t * n, n, by);
    }
    flo_pool_barrier(e->pool);
}

bool flo_pass_block(struct flo_pass *pass, unsigned thread, uint32_t index)
{
    struct flo_engine *e = pass->engine;
    struct flo_scratch *s = &e->scratch;
    const struct flo_layer_shape *shape = &e->hparams.layers[index];
    const struct flo_layer *layer = &e->weights.layers[index];

    if (e->hparams.n_streams > 0) {
        flo_streams_predict(pass, thread, index);
    }
    /* Both parts of a layer that has two mixers read the same input. */
    if (flo_recurs(shape)) {
        flo_pass_recurrent(pass, thread, index, layer->attn_norm);
    }
    if (flo_attends(shape)) {
        attention_part(pass, thread, index);
    }
    /* A layer without a feed-forward part has its last barrier in add_part(). */
    if (shape->mixer != FLO_MIX_NONE && pass->stop) {
        return false;
    }
    if (flo_attends(shape)) {
        add_part(pass, thread, &layer->o, s->attention, layer->attn_post_norm);
    }
    if (flo_recurs(shape)) {
        add_part(pass, thread, &layer->out, s->mixer_out, layer->attn_post_norm);
    }
    if (e->hparams.n_streams > 0) {
        flo_streams_join(pass, thread);
    }
    if (layer->attn_out_norm != NULL) {
        flo_pass_norm_rows(pass, thread, s->x, layer->attn_out_norm, layer->attn_out_norm_bias);
    }
    if (shape->feed == FLO_FEED_DENSE || shape->feed == FLO_FEED_BOTH) {
        dense_part(pass, thread, index);
    }
    if (shape->feed == FLO_FEED_EXPERTS || shape->feed == FLO_FEED_BOTH) {
        flo_pass_experts(pass, thread, index);
    }
    if (e->hparams.n_streams > 0) {
        flo_streams_correct(pass, thread, index);
    } else if (layer->own_gate.data != NULL) {
        flo_own_gate(pass, thread, index);
        add_part(pass, thread, &layer->own_proj, s->gate, layer->own_norm);
    }
    if (layer->out_norm != NULL) {
        flo_pass_norm_rows(pass, thread, s->x, layer->out_norm, layer->out_norm_bias);
    }
    if (layer->scale != NULL) {
        scale_stream(pass, thread, layer->scale[0]);
    }
    return true;
}
