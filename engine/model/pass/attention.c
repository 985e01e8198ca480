/* Attention: computes the attention of a pass: rotates, stores into the caches
 * and attends.  Threads take heads and pieces of it. */
#include "engine/model/pass/pass.h"

static void *keys_of(const struct flo_session *session, uint32_t layer, uint32_t head)
{
    const struct flo_engine *e = session->engine;
    uint64_t at = ((uint64_t)layer * 2 * e->hparams.n_head_kv + head) * e->sizes.head_bytes;

    return session->kv + at;
}

static void *values_of(const struct flo_session *session, uint32_t layer, uint32_t head)
{
    return keys_of(session, layer, head + session->engine->hparams.n_head_kv);
}

/* Normalises one head of one token, if the family does that, and rotates it. */
static void turn_head(const struct flo_engine *e, float *head, const float *norm,
                      const struct flo_rotations *by, size_t t)
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

/* Rotates the queries of a piece and the keys of one key head, and stores keys
 * and values. */
static void store_head(struct flo_engine *e, uint32_t index, const struct flo_piece *piece,
                       uint32_t head)
{
    const struct flo_hparams *h = &e->hparams;
    const struct flo_layer *layer = &e->weights.layers[index];
    struct flo_scratch *s = &e->scratch;
    const struct flo_rotations *by = h->is_local[index] ? &s->local : &s->global;
    uint32_t group = h->n_head / h->n_head_kv;

    for (size_t i = 0; i < piece->count; i++) {
        size_t t = piece->first + i;
        float *q = s->q + t * flo_width_q(h) + head * group * h->head_size;
        size_t kv = t * flo_width_kv(h) + head * h->head_size;

        for (uint32_t g = 0; g < group; g++) {
            turn_head(e, q + g * h->head_size, layer->q_norm, by, t);
        }
        turn_head(e, s->k + kv, layer->k_norm, by, t);
        e->kernel->store(s->k + kv, s->v + kv, h->head_size, piece->position + i, e->sizes.cache,
                         keys_of(piece->session, index, head),
                         values_of(piece->session, index, head));
    }
}

/* Returns the first position to which a token at `position` attends in this
 * layer. */
static size_t first_seen(const struct flo_hparams *h, uint32_t layer, size_t position)
{
    bool is_cut = h->is_local[layer] && position >= h->window;

    return is_cut ? position - h->window + 1 : 0;
}

/* Computes the attention of a piece's rows, for all query heads that share a
 * key head. */
static void attend_head(struct flo_engine *e, uint32_t layer, const struct flo_piece *piece,
                        uint32_t head)
{
    const struct flo_hparams *h = &e->hparams;
    uint32_t group = h->n_head / h->n_head_kv;
    uint32_t count = piece->count * group;
    struct flo_attention a = {
        .keys = keys_of(piece->session, layer, head),
        .values = values_of(piece->session, layer, head),
        .type = e->sizes.cache,
        .head_size = h->head_size,
        .scale = h->attention_scale,
        .cap = h->attention_cap,
    };

    for (uint32_t i = 0; i < count; i++) {
        size_t position = (size_t)piece->position + i / group;
        size_t at = (size_t)(piece->first + i / group) * flo_width_q(h) +
                    (head * group + i % group) * h->head_size;

        a.queries[a.rows] = e->scratch.q + at;
        a.out[a.rows] = e->scratch.attention + at;
        a.firsts[a.rows] = first_seen(h, layer, position);
        a.lengths[a.rows] = position + 1;
        a.rows++;
        if (a.rows == FLO_ATTEND_ROWS || i + 1 == count) {
            e->kernel->attend(&a);
            a.rows = 0;
        }
    }
}

/* Computes attention if each session has only one row.  It needs no barrier,
 * because the thread that stored a row also attends it. */
static void attend_singles(struct flo_pass *pass, unsigned thread, uint32_t layer)
{
    struct flo_engine *e = pass->engine;
    uint32_t heads = e->hparams.n_head_kv;
    size_t units = (size_t)heads * pass->piece_count, unit;

    while ((unit = flo_pool_take(e->pool, thread, units)) < units) {
        const struct flo_piece *piece = &pass->pieces[unit / heads];

        store_head(e, layer, piece, (uint32_t)(unit % heads));
        attend_head(e, layer, piece, (uint32_t)(unit % heads));
    }
}

void flo_pass_attention(struct flo_pass *pass, unsigned thread, uint32_t layer)
{
    struct flo_engine *e = pass->engine;
    uint32_t heads = e->hparams.n_head_kv, pieces = pass->piece_count;
    size_t units = (size_t)heads * pieces, unit;

    if (pass->count == pass->request->span_count) {
        attend_singles(pass, thread, layer);
        return;
    }
    /* A thread stores a whole head, because positions of two pieces may share
     * bytes of a cache. */
    while ((unit = flo_pool_take(e->pool, thread, heads)) < heads) {
        for (uint32_t i = 0; i < pieces; i++) {
            store_head(e, layer, &pass->pieces[i], (uint32_t)unit);
        }
    }
    flo_pool_barrier(e->pool);
    while ((unit = flo_pool_take(e->pool, thread, units)) < units) {
        attend_head(e, layer, &pass->pieces[unit % pieces], (uint32_t)(unit / pieces));
    }
}
