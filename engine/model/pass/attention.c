/* Attention: computes the attention of a pass: rotates, stores into the caches
 * and attends.  Threads take heads and pieces of it. */
#include <math.h>

#include "engine/model/pass/pass.h"

/* Returns the place of the keys and values that a layer reads. */
static const struct flo_place *place_of(const struct flo_engine *e, uint32_t layer)
{
    return &e->sizes.places[e->hparams.layers[layer].cache];
}

static void *keys_of(const struct flo_session *session, uint32_t layer, uint32_t head)
{
    const struct flo_place *place = place_of(session->engine, layer);

    return session->kv + place->kv_at + head * place->head_bytes;
}

static void *values_of(const struct flo_session *session, uint32_t layer, uint32_t head)
{
    return keys_of(session, layer, head + place_of(session->engine, layer)->heads);
}

/* ---- queries and keys ---- */

/* Returns the number of values from a query head to the next: a gate may stand
 * behind each. */
static size_t query_step(const struct flo_hparams *h, const struct flo_layer_shape *shape)
{
    return h->has_query_gates ? 2 * (size_t)shape->head_size : shape->head_size;
}

static float *query_of(const struct flo_engine *e, uint32_t layer, size_t t, uint32_t head)
{
    const struct flo_layer_shape *shape = &e->hparams.layers[layer];
    size_t step = query_step(&e->hparams, shape);

    return e->scratch.q + (t * shape->n_head + head) * step;
}

/* Normalises one head of one token, if the family does that, and rotates it. */
static void turn_head(const struct flo_engine *e, uint32_t layer, float *head, const float *norm,
                      size_t t)
{
    const struct flo_hparams *h = &e->hparams;
    const struct flo_layer_shape *shape = &h->layers[layer];
    const struct flo_rotations *by = shape->is_local ? &e->scratch.local : &e->scratch.global;
    uint32_t n_rope = shape->is_local ? h->n_rope_local : h->n_rope;
    const float *cosines = by->cosines + t * n_rope;
    const float *sines = by->sines + t * n_rope;

    if (norm != NULL && e->arch->qk_norm == FLO_QK_NORM_HEAD) {
        e->kernel->rms_norm(head, norm, h->epsilon, shape->head_size, head);
    }
    if (shape->is_rotated && e->arch->rotation == FLO_ROTATE_PAIRS) {
        e->kernel->rope_pairs(head, cosines, sines, n_rope);
    } else if (shape->is_rotated) {
        e->kernel->rope_halves(head, cosines, sines, n_rope);
    }
    if (norm != NULL && e->arch->qk_norm == FLO_QK_NORM_AFTER) {
        e->kernel->rms_norm(head, norm, h->epsilon, shape->head_size, head);
    }
}

/* Scales a query that grows with its position (Ministral 3). */
static void scale_query(const struct flo_hparams *h, float *query, size_t count, uint32_t position)
{
    uint32_t rounds = position / h->rope.original_context;
    float scale = 1 + h->temperature * logf(1 + (float)rounds);

    for (size_t i = 0; i < count; i++) {
        query[i] *= scale;
    }
}

/* Rotates the queries of a piece and the keys of one key head, and stores keys
 * and values. */
static void store_head(struct flo_engine *e, uint32_t index, const struct flo_piece *piece,
                       uint32_t head)
{
    const struct flo_hparams *h = &e->hparams;
    const struct flo_layer_shape *shape = &h->layers[index];
    const struct flo_layer *layer = &e->weights.layers[index];
    struct flo_scratch *s = &e->scratch;
    uint32_t group = shape->n_head / shape->n_head_kv;
    uint32_t ring = flo_place_ring(&e->sizes, place_of(e, index));

    for (uint32_t i = 0; i < piece->count; i++) {
        uint32_t position = piece->position + i;
        size_t t = (size_t)piece->first + i;
        size_t kv = (t * shape->n_head_kv + head) * shape->head_size;

        for (uint32_t g = 0; g < group; g++) {
            float *query = query_of(e, index, t, head * group + g);

            turn_head(e, index, query, layer->q_norm, t);
            if (h->temperature > 0) {
                scale_query(h, query, shape->head_size, position);
            }
        }
        if (shape->cache != index) {
            continue;
        }
        float *value = s->v + kv;
        if (e->arch->normalises_values) {
            /* Values may be the raw keys. */
            const float *raw = layer->v.data == NULL ? s->k + kv : value;
            e->kernel->rms_norm(raw, e->weights.ones, h->epsilon, shape->head_size, value);
        }
        turn_head(e, index, s->k + kv, layer->k_norm, t);
        e->kernel->store(s->k + kv, value, shape->head_size, ring == 0 ? position : position % ring,
                         e->sizes.cache, keys_of(piece->session, index, head),
                         values_of(piece->session, index, head));
    }
}

/* Normalises all heads of each token together (OLMo 2). */
static void norm_rows(struct flo_pass *pass, unsigned thread, uint32_t index)
{
    struct flo_engine *e = pass->engine;
    const struct flo_layer *layer = &e->weights.layers[index];
    uint32_t q = flo_shape_q(&e->hparams.layers[index]);
    uint32_t kv = flo_shape_kv(&e->hparams.layers[index]);

    for (size_t t = thread; t < pass->count; t += flo_pool_threads(e->pool)) {
        float *query = e->scratch.q + t * q, *key = e->scratch.k + t * kv;

        e->kernel->rms_norm(query, layer->q_norm, e->hparams.epsilon, q, query);
        e->kernel->rms_norm(key, layer->k_norm, e->hparams.epsilon, kv, key);
    }
    flo_pool_barrier(e->pool);
}

/* ---- attention ---- */

/* Returns the first position to which a token at `position` attends in this
 * layer. */
static size_t first_seen(const struct flo_hparams *h, uint32_t layer, size_t position)
{
    /* In an encoder half of the window lies on either side. */
    size_t before = h->is_encoder ? h->window / 2 : h->window - 1;

    return h->layers[layer].is_local && position > before ? position - before : 0;
}

/* Returns the end of the positions to which a token attends. */
static size_t end_seen(const struct flo_hparams *h, uint32_t layer, size_t position, size_t end)
{
    size_t after = h->layers[layer].is_local ? h->window / 2 + 1 : end;

    if (!h->is_encoder) {
        return position + 1;
    }
    return position + after < end ? position + after : end;
}

/* Multiplies the results of some rows by their gates, which stand behind the
 * queries. */
static void gate_rows(const struct flo_attention *a)
{
    for (size_t r = 0; r < a->rows; r++) {
        const float *gate = a->queries[r] + a->head_size;

        for (size_t i = 0; i < a->head_size; i++) {
            a->out[r][i] /= 1 + expf(-gate[i]);
        }
    }
}

/* Multiplies the result of a head by its gate (LFM3). */
static void gate_head(const struct flo_engine *e, uint32_t layer, size_t t, uint32_t head)
{
    const struct flo_layer_shape *shape = &e->hparams.layers[layer];
    float gate = e->scratch.up[t * shape->n_head + head];
    float *out = e->scratch.attention + (t * shape->n_head + head) * shape->head_size;

    for (size_t i = 0; i < shape->head_size; i++) {
        out[i] *= gate;
    }
}

/* Computes the attention of a piece's rows, for all query heads that share a
 * key head. */
static void attend_head(struct flo_engine *e, uint32_t layer, const struct flo_piece *piece,
                        uint32_t head)
{
    const struct flo_hparams *h = &e->hparams;
    const struct flo_layer_shape *shape = &h->layers[layer];
    const float *sinks = e->weights.layers[layer].sinks;
    uint32_t group = shape->n_head / shape->n_head_kv;
    uint32_t count = piece->count * group;
    struct flo_attention a = {
        .keys = keys_of(piece->session, layer, head),
        .values = values_of(piece->session, layer, head),
        .ring = flo_place_ring(&e->sizes, place_of(e, layer)),
        .type = e->sizes.cache,
        .head_size = shape->head_size,
        .scale = h->attention_scale,
        .cap = h->attention_cap,
        .has_sinks = sinks != NULL,
    };

    for (uint32_t i = 0; i < count; i++) {
        size_t position = (size_t)piece->position + i / group, t = (size_t)piece->first + i / group;
        uint32_t query_head = head * group + i % group;

        a.queries[a.rows] = query_of(e, layer, t, query_head);
        a.out[a.rows] = e->scratch.attention + (t * shape->n_head + query_head) * shape->head_size;
        a.firsts[a.rows] = first_seen(h, layer, position);
        a.lengths[a.rows] = end_seen(h, layer, position, piece->end);
        a.sinks[a.rows] = sinks != NULL ? sinks[query_head] : 0;
        a.rows++;
        if (a.rows == FLO_ATTEND_ROWS || i + 1 == count) {
            e->kernel->attend(&a);
            if (h->has_query_gates) {
                gate_rows(&a);
            }
            a.rows = 0;
        }
    }
    for (uint32_t i = 0; e->weights.layers[layer].head_gate.data != NULL && i < count; i++) {
        gate_head(e, layer, (size_t)piece->first + i / group, head * group + i % group);
    }
}

/* Computes attention if each session has only one row.  It needs no barrier,
 * because the thread that stored a row also attends it. */
static void attend_singles(struct flo_pass *pass, unsigned thread, uint32_t layer)
{
    struct flo_engine *e = pass->engine;
    uint32_t heads = place_of(e, layer)->heads;
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
    uint32_t heads = place_of(e, layer)->heads, pieces = pass->piece_count;
    size_t units = (size_t)heads * pieces, unit;

    if (e->arch->qk_norm == FLO_QK_NORM_ROW) {
        norm_rows(pass, thread, layer);
    }
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
