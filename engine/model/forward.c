/* Forward pass of the llama family: tokens to logits.
 *
 * Every thread of the pool runs the same function from the first layer to the
 * last; rows of a product and heads are shared out by a counter.  For one
 * token a layer has five barriers (q k v | attention | output | gate up |
 * down), because each thread makes its own copy of the small inputs; for a
 * batch the inputs are made together, which costs one barrier more each. */
#include "engine/model/internal.h"

#include <math.h>
#include <string.h>

enum {
    UNIT_ROWS_MIN = 16, /* of a matrix that a thread takes at once */
    UNIT_TOKENS = 8,    /* of one head that a thread attends at once */
};

struct pass {
    struct flo_engine *engine;
    struct flo_session *session;
    uint32_t count;    /* tokens */
    uint32_t position; /* of the first */
    float *logits;     /* of the last token, or NULL */
    uint32_t first;    /* rows job: of the first token */
    bool stop;         /* cancelled; written by thread 0 between barriers */
};

/* ---- inputs of products ---------------------------------------------- */

static bool reads_codes(const struct flo_matrix *matrix)
{
    return flo_weight_reads_codes(matrix->type->id);
}

static void make_row(const struct pass *pass, const float *source,
                     const float *norm, bool needs_codes,
                     const struct flo_activations *out, size_t t)
{
    const struct flo_engine *e = pass->engine;
    size_t columns = out->columns, blocks = columns / FLO_CODE_BLOCK;
    const float *values = source;

    if (norm != NULL) {
        e->kernel->rms_norm(source, norm, e->hparams.epsilon, columns,
                            out->values + t * columns);
        values = out->values + t * columns;
    }
    if (needs_codes) {
        e->kernel->quantise(values, columns, out->codes + t * columns,
                            out->scales + t * blocks, out->sums + t * blocks);
    }
}

/* source [count][columns], perhaps normed, as input of the next products.
 * What was written to `source` lies behind a barrier already. */
static struct flo_activations prepare(struct pass *pass, unsigned thread,
                                      float *source, const float *norm,
                                      uint32_t columns, uint32_t count,
                                      bool needs_codes)
{
    struct flo_engine *e = pass->engine;
    struct flo_activations out =
        count == 1 ? e->scratch.own[thread] : e->scratch.shared;
    uint32_t step = count == 1 ? 1 : flo_pool_threads(e->pool);

    out.columns = columns;
    out.tokens = count;
    for (uint32_t t = count == 1 ? 0 : thread; t < count; t += step) {
        make_row(pass, source + (size_t)t * columns, norm, needs_codes, &out,
                 t);
    }
    if (norm == NULL) {
        out.values = source;
    }
    if (count > 1) {
        flo_pool_barrier(e->pool);
    }
    return out;
}

/* ---- products ------------------------------------------------------------ */

/* Rows that a thread takes at once: several units per thread, so that one
 * that is held up by another process does not hold up all. */
static uint32_t unit_rows(const struct pass *pass, uint32_t rows)
{
    uint32_t threads = flo_pool_threads(pass->engine->pool);
    uint32_t unit = rows / (threads * 4) / 4 * 4;

    if (threads == 1) {
        return rows;
    }
    return unit < UNIT_ROWS_MIN ? UNIT_ROWS_MIN : unit;
}

static void multiply(const struct pass *pass, const struct flo_matrix *matrix,
                     const float *bias, uint32_t first, uint32_t rows,
                     const struct flo_activations *x, float *y)
{
    matrix->matmul(matrix->data + first * matrix->row_bytes, matrix->row_bytes,
                   rows, x, y + first, matrix->rows);
    for (size_t t = 0; bias != NULL && t < x->tokens; t++) {
        pass->engine->kernel->add(y + t * matrix->rows + first, bias + first,
                                  rows);
    }
}

struct product {
    const struct flo_matrix *matrix;
    const float *bias;
    float *y;
};

/* Share the rows of some products with the same input among the threads. */
static void multiply_shared(struct pass *pass, const struct product *products,
                            size_t product_count,
                            const struct flo_activations *x)
{
    uint32_t total = 0, unit;
    size_t taken, before = 0, i = 0;

    for (size_t p = 0; p < product_count; p++) {
        total += products[p].matrix->rows;
    }
    unit = unit_rows(pass, total);
    taken = flo_pool_take(pass->engine->pool);
    while (i < product_count) {
        const struct product *p = &products[i];
        size_t units = (p->matrix->rows + unit - 1) / unit;

        if (taken >= before + units) {
            before += units;
            i++;
            continue;
        }
        uint32_t first = (uint32_t)(taken - before) * unit;
        uint32_t left = p->matrix->rows - first;
        multiply(pass, p->matrix, p->bias, first, left < unit ? left : unit, x,
                 p->y);
        taken = flo_pool_take(pass->engine->pool);
    }
}

/* x += matrix * input, by rows. */
static void multiply_add(struct pass *pass, const struct flo_matrix *matrix,
                         const float *bias, const struct flo_activations *x)
{
    struct flo_scratch *s = &pass->engine->scratch;
    uint32_t unit = unit_rows(pass, matrix->rows);

    for (;;) {
        size_t first = flo_pool_take(pass->engine->pool) * unit;
        size_t rows = matrix->rows - first < unit ? matrix->rows - first : unit;

        if (first >= matrix->rows) {
            break;
        }
        multiply(pass, matrix, bias, (uint32_t)first, (uint32_t)rows, x, s->y);
        for (size_t t = 0; t < x->tokens; t++) {
            size_t at = t * matrix->rows + first;
            pass->engine->kernel->add(s->x + at, s->y + at, rows);
        }
    }
}

/* gate = silu(gate) * up, by rows of both. */
static void multiply_gated(struct pass *pass, const struct flo_layer *layer,
                           const struct flo_activations *x)
{
    struct flo_scratch *s = &pass->engine->scratch;
    uint32_t unit = unit_rows(pass, layer->gate.rows);

    for (;;) {
        size_t first = flo_pool_take(pass->engine->pool) * unit;
        size_t left = layer->gate.rows - first;
        size_t rows = left < unit ? left : unit;

        if (first >= layer->gate.rows) {
            break;
        }
        multiply(pass, &layer->gate, layer->gate_bias, (uint32_t)first,
                 (uint32_t)rows, x, s->gate);
        multiply(pass, &layer->up, layer->up_bias, (uint32_t)first,
                 (uint32_t)rows, x, s->up);
        for (size_t t = 0; t < x->tokens; t++) {
            size_t at = t * layer->gate.rows + first;
            pass->engine->kernel->silu_multiply(s->gate + at, s->up + at, rows);
        }
    }
}

/* ---- attention -------------------------------------------------------- */

static void *keys_of(const struct pass *pass, uint32_t layer, uint32_t head)
{
    const struct flo_engine *e = pass->engine;
    uint64_t at = ((uint64_t)layer * 2 * e->hparams.n_head_kv + head) *
                  e->sizes.head_bytes;

    return pass->session->kv + at;
}

static void *values_of(const struct pass *pass, uint32_t layer, uint32_t head)
{
    return keys_of(pass, layer, head + pass->engine->hparams.n_head_kv);
}

/* Rotate the queries and the key of one key head and store key and value. */
static void store_head(struct pass *pass, uint32_t layer, uint32_t head)
{
    struct flo_engine *e = pass->engine;
    const struct flo_hparams *h = &e->hparams;
    struct flo_scratch *s = &e->scratch;
    uint32_t group = h->n_head / h->n_head_kv;

    for (size_t t = 0; t < pass->count; t++) {
        const float *cosines = s->cosines + t * h->n_rope;
        const float *sines = s->sines + t * h->n_rope;
        float *q = s->q + t * flo_width_q(h) + head * group * h->head_size;
        size_t kv = t * flo_width_kv(h) + head * h->head_size;

        for (uint32_t i = 0; i < group; i++) {
            e->kernel->rope_pairs(q + i * h->head_size, cosines, sines,
                                  h->n_rope);
        }
        e->kernel->rope_pairs(s->k + kv, cosines, sines, h->n_rope);
        e->kernel->store(s->k + kv, s->v + kv, h->head_size, pass->position + t,
                         e->sizes.is_kv_f16, keys_of(pass, layer, head),
                         values_of(pass, layer, head));
    }
}

/* Tokens [first, end) of all query heads that share a key head. */
static void attend_head(struct pass *pass, uint32_t layer, uint32_t head,
                        uint32_t first, uint32_t end)
{
    struct flo_engine *e = pass->engine;
    const struct flo_hparams *h = &e->hparams;
    uint32_t group = h->n_head / h->n_head_kv;
    struct flo_attention a = {
        .keys = keys_of(pass, layer, head),
        .values = values_of(pass, layer, head),
        .is_f16 = e->sizes.is_kv_f16,
        .head_size = h->head_size,
        .scale = 1.0f / sqrtf((float)h->head_size),
    };

    for (uint32_t i = first * group; i < end * group; i++) {
        uint32_t t = i / group;
        size_t at = (size_t)t * flo_width_q(h) +
                    (head * group + i % group) * h->head_size;

        a.queries[a.rows] = e->scratch.q + at;
        a.out[a.rows] = e->scratch.attention + at;
        a.lengths[a.rows] = (size_t)pass->position + t + 1;
        a.rows++;
        if (a.rows == FLO_ATTEND_ROWS || i + 1 == end * group) {
            e->kernel->attend(&a);
            a.rows = 0;
        }
    }
}

static void attention(struct pass *pass, uint32_t layer)
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

/* ---- layers ----------------------------------------------------------- */

static void attention_part(struct pass *pass, unsigned thread, uint32_t index)
{
    struct flo_engine *e = pass->engine;
    struct flo_scratch *s = &e->scratch;
    const struct flo_hparams *h = &e->hparams;
    const struct flo_layer *layer = &e->weights.layers[index];
    struct flo_activations in;
    const struct product products[] = {
        {&layer->q, layer->q_bias, s->q},
        {&layer->k, layer->k_bias, s->k},
        {&layer->v, layer->v_bias, s->v},
    };

    in = prepare(pass, thread, s->x, layer->attn_norm, h->n_embd, pass->count,
                 reads_codes(&layer->q) || reads_codes(&layer->k) ||
                     reads_codes(&layer->v));
    multiply_shared(pass, products, FLO_COUNT(products), &in);
    flo_pool_barrier(e->pool);
    attention(pass, index);
    flo_pool_barrier(e->pool);
    in = prepare(pass, thread, s->attention, NULL, flo_width_q(h), pass->count,
                 reads_codes(&layer->o));
    multiply_add(pass, &layer->o, layer->o_bias, &in);
    flo_pool_barrier(e->pool);
}

static void feed_forward_part(struct pass *pass, unsigned thread,
                              uint32_t index)
{
    struct flo_engine *e = pass->engine;
    struct flo_scratch *s = &e->scratch;
    const struct flo_layer *layer = &e->weights.layers[index];
    struct flo_activations in;

    in = prepare(pass, thread, s->x, layer->ffn_norm, e->hparams.n_embd,
                 pass->count,
                 reads_codes(&layer->gate) || reads_codes(&layer->up));
    multiply_gated(pass, layer, &in);
    flo_pool_barrier(e->pool);
    in = prepare(pass, thread, s->gate, NULL, e->hparams.n_ff, pass->count,
                 reads_codes(&layer->down));
    multiply_add(pass, &layer->down, layer->down_bias, &in);
    flo_pool_barrier(e->pool);
}

/* Logits of `count` tokens of the batch from `first` on. */
static void output_part(struct pass *pass, unsigned thread, uint32_t first,
                        uint32_t count, float *logits)
{
    struct flo_engine *e = pass->engine;
    const struct flo_matrix *matrix = &e->weights.output;
    struct product product = {matrix, NULL, logits};
    struct flo_activations in;

    in = prepare(pass, thread, e->scratch.x + (size_t)first * e->hparams.n_embd,
                 e->weights.output_norm, e->hparams.n_embd, count,
                 reads_codes(matrix));
    multiply_shared(pass, &product, 1, &in);
}

static void forward_job(void *context, unsigned thread)
{
    struct pass *pass = context;
    struct flo_engine *e = pass->engine;

    for (uint32_t i = 0; i < e->hparams.n_layer; i++) {
        /* Read by all behind this layer's first barrier, written again only
         * behind its last: every thread sees the same. */
        if (thread == 0) {
            pass->stop = atomic_load(&pass->session->is_cancelled);
        }
        attention_part(pass, thread, i);
        if (pass->stop) {
            return;
        }
        feed_forward_part(pass, thread, i);
    }
    if (pass->logits != NULL) {
        output_part(pass, thread, pass->count - 1, 1, pass->logits);
    }
}

static void rows_job(void *context, unsigned thread)
{
    struct pass *pass = context;

    output_part(pass, thread, pass->first, pass->count, pass->logits);
}

/* ---- begin ------------------------------------------------------------- */

static void embed(struct flo_engine *e, const int32_t *tokens, uint32_t count)
{
    const struct flo_matrix *m = &e->weights.embedding;

    for (size_t t = 0; t < count; t++) {
        m->type->decode(m->data + (size_t)tokens[t] * m->row_bytes,
                        e->scratch.x + t * m->columns, m->columns);
    }
}

static void make_rotations(struct flo_engine *e, uint32_t position,
                           uint32_t count)
{
    struct flo_scratch *s = &e->scratch;
    size_t n = e->hparams.n_rope;

    for (size_t t = 0; t < count; t++) {
        for (size_t i = 0; i < n / 2; i++) {
            double angle = (double)(position + t) * s->rates[i];
            size_t at = t * n + 2 * i;

            s->cosines[at] = s->cosines[at + 1] = (float)cos(angle);
            s->sines[at + 1] = (float)sin(angle);
            s->sines[at] = -s->sines[at + 1];
        }
    }
}

int flo_forward(struct flo_session *session, const int32_t *tokens,
                uint32_t count, float *logits, struct flo_err *err)
{
    struct flo_engine *e = session->engine;
    struct pass pass = {
        .engine = e,
        .session = session,
        .count = count,
        .position = session->position,
        .logits = logits,
    };

    embed(e, tokens, count);
    make_rotations(e, pass.position, count);
    flo_pool_run(e->pool, forward_job, &pass);
    if (pass.stop) {
        return flo_fail(err, FLO_E_INFER_CANCELLED,
                        "cancelled at token %u of %u", pass.position,
                        e->sizes.context);
    }
    return 0;
}

void flo_forward_rows(struct flo_engine *engine, uint32_t first, uint32_t count,
                      float *logits)
{
    struct pass pass = {
        .engine = engine, .count = count, .first = first, .logits = logits};

    flo_pool_run(engine->pool, rows_job, &pass);
}
