/* Attention of a pass: rotate, store into the cache, attend; by heads. */
#include "engine/model/pass.h"

enum { UNIT_TOKENS = 8 }; /* of one head that a thread attends at once */

static void *keys_of(const struct flo_pass *pass, uint32_t layer, uint32_t head)
{
    const struct flo_engine *e = pass->engine;
    uint64_t at = ((uint64_t)layer * 2 * e->hparams.n_head_kv + head) *
                  e->sizes.head_bytes;

    return pass->session->kv + at;
}

static void *values_of(const struct flo_pass *pass, uint32_t layer,
                       uint32_t head)
{
    return keys_of(pass, layer, head + pass->engine->hparams.n_head_kv);
}

/* Norm (where the family has one) and rotate one head of one token. */
static void turn_head(const struct flo_engine *e, float *head,
                      const float *norm, const struct flo_rotations *by,
                      size_t t)
{
    const struct flo_hparams *h = &e->hparams;
    const float *cosines = by->cosines + t * h->n_rope;
    const float *sines = by->sines + t * h->n_rope;

    if (norm != NULL) {
        e->kernel->rms_norm(head, norm, h->epsilon, h->head_size, head);
    }
    if (e->arch->rotation == FLO_ROTATE_PAIRS) {
        e->kernel->rope_pairs(head, cosines, sines, h->n_rope);
    } else {
        e->kernel->rope_halves(head, cosines, sines, h->n_rope);
    }
}

/* Turn the queries and the key of one key head and store key and value. */
static void store_head(struct flo_pass *pass, uint32_t index, uint32_t head)
{
    struct flo_engine *e = pass->engine;
    const struct flo_hparams *h = &e->hparams;
    const struct flo_layer *layer = &e->weights.layers[index];
    struct flo_scratch *s = &e->scratch;
    const struct flo_rotations *by =
        h->is_local[index] ? &s->local : &s->global;
    uint32_t group = h->n_head / h->n_head_kv;

    for (size_t t = 0; t < pass->count; t++) {
        float *q = s->q + t * flo_width_q(h) + head * group * h->head_size;
        size_t kv = t * flo_width_kv(h) + head * h->head_size;

        for (uint32_t i = 0; i < group; i++) {
            turn_head(e, q + i * h->head_size, layer->q_norm, by, t);
        }
        turn_head(e, s->k + kv, layer->k_norm, by, t);
        e->kernel->store(s->k + kv, s->v + kv, h->head_size, pass->position + t,
                         e->sizes.cache, keys_of(pass, index, head),
                         values_of(pass, index, head));
    }
}

/* First position that token at `position` sees in a layer. */
static size_t first_seen(const struct flo_hparams *h, uint32_t layer,
                         size_t position)
{
    bool is_cut = h->is_local[layer] && position >= h->window;

    return is_cut ? position - h->window + 1 : 0;
}

/* Tokens [first, end) of all query heads that share a key head. */
static void attend_head(struct flo_pass *pass, uint32_t layer, uint32_t head,
                        uint32_t first, uint32_t end)
{
    struct flo_engine *e = pass->engine;
    const struct flo_hparams *h = &e->hparams;
    uint32_t group = h->n_head / h->n_head_kv;
    struct flo_attention a = {
        .keys = keys_of(pass, layer, head),
        .values = values_of(pass, layer, head),
        .type = e->sizes.cache,
        .head_size = h->head_size,
        .scale = h->attention_scale,
        .cap = h->attention_cap,
    };

    for (uint32_t i = first * group; i < end * group; i++) {
        uint32_t t = i / group;
        size_t position = (size_t)pass->position + t;
        size_t at = (size_t)t * flo_width_q(h) +
                    (head * group + i % group) * h->head_size;

        a.queries[a.rows] = e->scratch.q + at;
        a.out[a.rows] = e->scratch.attention + at;
        a.firsts[a.rows] = first_seen(h, layer, position);
        a.lengths[a.rows] = position + 1;
        a.rows++;
        if (a.rows == FLO_ATTEND_ROWS || i + 1 == end * group) {
            e->kernel->attend(&a);
            a.rows = 0;
        }
    }
}

void flo_pass_attention(struct flo_pass *pass, uint32_t layer)
{
    struct flo_pool *pool = pass->engine->pool;
    uint32_t heads = pass->engine->hparams.n_head_kv;
    uint32_t pieces = (pass->count + UNIT_TOKENS - 1) / UNIT_TOKENS;
    size_t unit;

    while ((unit = flo_pool_take(pool)) < heads) {
        store_head(pass, layer, (uint32_t)unit);
        if (pass->count == 1) {
            attend_head(pass, layer, (uint32_t)unit, 0, 1);
        }
    }
    if (pass->count == 1) {
        return;
    }
    flo_pool_barrier(pool);
    while ((unit = flo_pool_take(pool)) < (size_t)heads * pieces) {
        uint32_t first = (uint32_t)(unit % pieces) * UNIT_TOKENS;
        uint32_t end = first + UNIT_TOKENS;

        attend_head(pass, layer, (uint32_t)(unit / pieces), first,
                    end < pass->count ? end : pass->count);
    }
}
