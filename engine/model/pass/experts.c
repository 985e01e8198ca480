/* Experts: a feed-forward part of many small ones, of which each token uses a
 * few that a router chooses.
 *
 * The uses of a pass are put in order by expert, so that a matrix is read once
 * for all its tokens.  A token's results are added in the order of its own
 * choices.  So its bits do not depend on the batch. */
#include <math.h>
#include <string.h>

#include "engine/model/adapter/adapter.h"

/* ---- choice ---- */

/* Returns the number of the largest score that is not taken yet. */
static uint32_t largest_of(const float *scores, const float *bias, uint32_t count,
                           const bool *is_taken)
{
    uint32_t best = count;
    float most = 0;

    for (uint32_t i = 0; i < count; i++) {
        float score = scores[i] + (bias == NULL ? 0 : bias[i]);

        if (!is_taken[i] && (best == count || score > most)) {
            best = i;
            most = score;
        }
    }
    return best;
}

static void softmax(float *values, uint32_t count)
{
    float largest = values[0], sum = 0;

    for (uint32_t i = 1; i < count; i++) {
        largest = fmaxf(largest, values[i]);
    }
    for (uint32_t i = 0; i < count; i++) {
        values[i] = expf(values[i] - largest);
        sum += values[i];
    }
    for (uint32_t i = 0; i < count; i++) {
        values[i] /= sum;
    }
}

/* Chooses the experts of one token, and their weights. */
static void choose(const struct flo_engine *e, const struct flo_layer *layer, uint32_t token)
{
    const struct flo_hparams *h = &e->hparams;
    const struct flo_expert_scratch *x = &e->scratch.experts;
    float *scores = x->scores + (size_t)token * h->n_expert;
    struct flo_expert_use *uses = x->uses + (size_t)token * h->n_expert_used;
    float weights[FLO_EXPERTS_USED_MAX], sum = 0;
    bool is_taken[FLO_EXPERTS_MAX] = {false};

    if (e->arch->router == FLO_ROUTE_SOFTMAX_TOP) {
        softmax(scores, h->n_expert);
    }
    for (uint32_t i = 0; i < h->n_expert && e->arch->router == FLO_ROUTE_SIGMOID; i++) {
        scores[i] = flo_sigmoid(scores[i]);
    }
    for (uint32_t i = 0; i < h->n_expert_used; i++) {
        uint32_t best = largest_of(scores, layer->choice_bias, h->n_expert, is_taken);

        is_taken[best] = true;
        uses[i] = (struct flo_expert_use){.token = token, .expert = best};
        weights[i] = scores[best];
    }
    if (e->arch->router == FLO_ROUTE_TOP_SOFTMAX) {
        softmax(weights, h->n_expert_used);
    }
    for (uint32_t i = 0; i < h->n_expert_used; i++) {
        sum += weights[i];
    }
    for (uint32_t i = 0; i < h->n_expert_used; i++) {
        uses[i].weight = weights[i] / (h->normalises_experts ? sum : 1) * h->expert_scale;
        if (layer->expert_scale != NULL) {
            uses[i].weight *= layer->expert_scale[uses[i].expert];
        }
    }
}

/* Puts the uses in order by expert, and by token where the expert is the
 * same. */
static void put_in_order(const struct flo_engine *e, uint32_t uses)
{
    const struct flo_expert_scratch *x = &e->scratch.experts;
    uint32_t experts = e->hparams.n_expert;

    memset(x->firsts, 0, (experts + 1) * sizeof(*x->firsts));
    for (uint32_t i = 0; i < uses; i++) {
        x->firsts[x->uses[i].expert + 1]++;
    }
    for (uint32_t i = 0; i < experts; i++) {
        x->firsts[i + 1] += x->firsts[i];
    }
    for (uint32_t i = uses; i-- > 0;) {
        /* `firsts` of the next expert counts down to this one's first use. */
        x->order[--x->firsts[x->uses[i].expert + 1]] = i;
    }
    memmove(x->firsts, x->firsts + 1, experts * sizeof(*x->firsts));
    x->firsts[experts] = uses;
}

/* Returns the weights of an expert's matrix from a row on. */
static const uint8_t *expert_rows(const struct flo_matrix *m, uint32_t expert, uint32_t row)
{
    size_t at = (size_t)expert * m->tensor->dims[1] + row;

    return m->data + at / m->strip_rows * m->row_bytes;
}

/* Asks the system to read the matrices of the chosen experts.  Otherwise each
 * page would be read when it is first used, by few threads one after another. */
static void expect_experts(struct flo_pass *pass, unsigned thread, const struct flo_layer *layer)
{
    const struct flo_matrix *const matrices[] = {&layer->expert_up, &layer->expert_gate,
                                                 &layer->expert_down};
    const struct flo_expert_scratch *x = &pass->engine->scratch.experts;
    uint32_t threads = flo_pool_threads(pass->engine->pool);

    for (uint32_t i = 0; i < pass->engine->hparams.n_expert; i++) {
        for (size_t k = 0; k < FLO_COUNT(matrices) && x->firsts[i] < x->firsts[i + 1]; k++) {
            const struct flo_matrix *m = matrices[k];

            if (m->data != NULL && (i + k) % threads == thread) {
                flo_mapped_expect(expert_rows(m, i, 0), m->rows / m->strip_rows * m->row_bytes);
            }
        }
    }
}

/* ---- products ---- */

/* Returns the input of one expert's uses, which lie one after the other. */
static struct flo_activations input_of(const struct flo_expert_scratch *x, uint32_t expert,
                                       size_t columns, enum flo_precision precision)
{
    size_t first = x->firsts[expert], blocks = columns / FLO_CODE_BLOCK;

    return (struct flo_activations){
        .values = x->in.values + first * columns,
        .codes = x->in.codes + first * columns,
        .scales = x->in.scales + first * blocks,
        .sums = x->in.sums + first * blocks * 2, /* packed weights need two a block */
        .columns = columns,
        .tokens = x->firsts[expert + 1] - first,
        .precision = precision,
    };
}

/* Makes the input of the use at a place: floats, or codes. */
static void make_input(const struct flo_engine *e, const struct flo_matrix *m, const float *values,
                       uint32_t place)
{
    const struct flo_expert_scratch *x = &e->scratch.experts;
    uint32_t expert = x->uses[x->order[place]].expert;
    size_t t = place - x->firsts[expert], columns = m->columns, blocks = columns / FLO_CODE_BLOCK;
    const struct flo_activations in = input_of(x, expert, columns, m->precision);

    if (m->precision == FLO_PRECISION_FLOAT) {
        memcpy(in.values + t * columns, values, columns * sizeof(*values));
    } else if (e->weights.are_packed) {
        e->kernel->quantise_packed(values, &in, t);
    } else {
        e->kernel->quantise(values, columns, m->precision, in.codes + t * columns,
                            in.scales + t * blocks, in.sums + t * blocks);
    }
}

/* Returns the place of an adapter's A x for a use, and for one of the matrices
 * that read its input. */
static float *low_of(const struct flo_expert_scratch *x, size_t place, size_t slot)
{
    return x->low + (place * FLO_LOW_SLOTS_EXPERT + slot) * FLO_ADAPTER_RANK_MAX;
}

/* Computes rows of one expert's matrix for all its uses.  `slot` is the matrix's
 * number among those with this input. */
static void multiply(const struct flo_pass *pass, const struct flo_matrix *m, size_t slot,
                     uint32_t expert, uint32_t row, uint32_t rows, float *y)
{
    const struct flo_engine *e = pass->engine;
    const struct flo_expert_scratch *x = &e->scratch.experts;
    const struct flo_activations in = input_of(x, expert, m->columns, m->precision);
    size_t first = x->firsts[expert];

    m->matmul(expert_rows(m, expert, row), m->row_bytes, rows, &in, y + first * m->rows + row,
              m->rows);
    for (size_t place = first; place < first + in.tokens; place++) {
        float *to = y + place * m->rows + row;

        if (pass->has_adapters) {
            flo_adapter_add(pass, x->uses[x->order[place]].token, m, expert, row, rows,
                            low_of(x, place, slot), to);
        }
        if (m->bias != NULL) {
            e->kernel->add(to, m->bias + (size_t)expert * m->rows + row, rows);
        }
    }
}

enum { UNIT_ROWS = 32 };

/* Takes rows of the experts that have uses.  Returns false after the last. */
static bool take_rows(struct flo_pass *pass, unsigned thread, uint32_t total, uint32_t *expert,
                      uint32_t *row, uint32_t *rows)
{
    const struct flo_expert_scratch *x = &pass->engine->scratch.experts;
    uint32_t per = (total + UNIT_ROWS - 1) / UNIT_ROWS;
    size_t units = (size_t)per * pass->engine->hparams.n_expert, unit;

    while ((unit = flo_pool_take(pass->engine->pool, thread, units)) < units) {
        *expert = (uint32_t)(unit / per);
        if (x->firsts[*expert] == x->firsts[*expert + 1]) {
            continue;
        }
        *row = (uint32_t)(unit % per) * UNIT_ROWS;
        *rows = total - *row < UNIT_ROWS ? total - *row : UNIT_ROWS;
        return true;
    }
    return false;
}

/* Computes the hidden values of all uses. */
static void widen(struct flo_pass *pass, unsigned thread, const struct flo_layer *layer)
{
    const struct flo_engine *e = pass->engine;
    const struct flo_expert_scratch *x = &e->scratch.experts;
    bool is_gated = layer->expert_gate.data != NULL;
    uint32_t ff = layer->expert_up.rows, expert, row, rows;

    while (take_rows(pass, thread, ff, &expert, &row, &rows)) {
        float *gate = is_gated ? x->gate : x->up;

        multiply(pass, &layer->expert_up, 0, expert, row, rows, x->up);
        if (is_gated) {
            multiply(pass, &layer->expert_gate, 1, expert, row, rows, x->gate);
        }
        for (uint32_t place = x->firsts[expert]; place < x->firsts[expert + 1]; place++) {
            size_t at = (size_t)place * ff + row;

            flo_pass_activate(e, gate + at, is_gated ? x->up + at : NULL, rows);
        }
    }
    flo_pool_barrier(e->pool);
}

static void narrow(struct flo_pass *pass, unsigned thread, const struct flo_layer *layer)
{
    const struct flo_expert_scratch *x = &pass->engine->scratch.experts;
    uint32_t expert, row, rows;

    while (take_rows(pass, thread, layer->expert_down.rows, &expert, &row, &rows)) {
        multiply(pass, &layer->expert_down, 0, expert, row, rows, x->out);
    }
    flo_pool_barrier(pass->engine->pool);
}

/* Makes the inputs of all uses, from rows by token or by place.  Other matrices
 * may read them too, in another form. */
static void make_inputs(struct flo_pass *pass, unsigned thread,
                        const struct flo_matrix *const *matrices, size_t count, const float *values,
                        bool is_by_token)
{
    const struct flo_engine *e = pass->engine;
    const struct flo_expert_scratch *x = &e->scratch.experts;
    uint32_t uses = pass->count * e->hparams.n_expert_used;
    size_t place;

    while ((place = flo_pool_take(e->pool, thread, uses)) < uses) {
        const struct flo_expert_use *use = &x->uses[x->order[place]];
        const float *from = values + (is_by_token ? use->token : place) * matrices[0]->columns;

        for (size_t i = 0; i < count; i++) {
            if (i == 0 || matrices[i]->precision != matrices[0]->precision) {
                make_input(e, matrices[i], from, (uint32_t)place);
            }
            if (pass->has_adapters) {
                flo_adapter_lower(pass, use->token, matrices[i], use->expert, from,
                                  low_of(x, place, i));
            }
        }
    }
    flo_pool_barrier(e->pool);
}

/* ---- results ---- */

/* Adds the results of a token's experts to y, in the order of its choices. */
static void add_uses(const struct flo_engine *e, const uint32_t *places, uint32_t token, float *y)
{
    const struct flo_expert_scratch *x = &e->scratch.experts;
    uint32_t used = e->hparams.n_expert_used;
    size_t n = e->hparams.n_embd;

    for (uint32_t i = 0; i < used; i++) {
        const float *out = x->out + (size_t)places[token * used + i] * n;
        float weight = x->uses[token * used + i].weight;

        for (size_t j = 0; j < n; j++) {
            y[j] += weight * out[j];
        }
    }
}

/* Returns the share of the common part's result that a token gets. */
static float share_of_common(const struct flo_engine *e, const struct flo_layer *layer,
                             uint32_t token)
{
    return layer->shared_switch.data == NULL ? 1 : e->scratch.experts.gates[token];
}

/* Computes the part that every token uses, into scratch.y.  Without such a part
 * y becomes zero. */
static void common_part(struct flo_pass *pass, unsigned thread, const struct flo_layer *layer)
{
    struct flo_engine *e = pass->engine;
    struct flo_scratch *s = &e->scratch;
    bool is_gated = layer->shared_gate.data != NULL;
    const struct flo_product wide[] = {
        {&layer->shared_gate, s->gate, FLO_AFTER_NOTHING},
        {&layer->shared_up, s->up, FLO_AFTER_NOTHING},
    };
    const struct flo_source source = {
        .values = s->experts.values,
        .products = is_gated ? wide : wide + 1,
        .product_count = is_gated ? 2 : 1,
        .count = pass->count,
    };

    if (layer->shared_up.data == NULL) {
        for (size_t t = thread; t < pass->count; t += flo_pool_threads(e->pool)) {
            memset(s->y + t * e->hparams.n_embd, 0, e->hparams.n_embd * sizeof(float));
        }
        flo_pool_barrier(e->pool);
        return;
    }
    if (layer->shared_switch.data != NULL) {
        flo_pass_project(
            pass, thread,
            (struct flo_product){&layer->shared_switch, s->experts.gates, FLO_AFTER_SIGMOID},
            s->experts.values, NULL);
    }
    flo_pass_multiply_gated(pass, thread, &source);
    flo_pool_barrier(e->pool);
    flo_pass_project(pass, thread,
                     (struct flo_product){&layer->shared_down, s->y, FLO_AFTER_NOTHING},
                     is_gated ? s->gate : s->up, NULL);
}

/* Returns the norm of the experts' input.  A layer that has nothing else
 * (nemotron_h_moe) has it under attention's name. */
static const float *norm_of(const struct flo_layer *layer)
{
    if (layer->expert_norm != NULL) {
        return layer->expert_norm;
    }
    return layer->ffn_norm != NULL ? layer->ffn_norm : layer->attn_norm;
}

void flo_pass_experts(struct flo_pass *pass, unsigned thread, uint32_t index)
{
    struct flo_engine *e = pass->engine;
    struct flo_scratch *s = &e->scratch;
    const struct flo_expert_scratch *x = &s->experts;
    const struct flo_hparams *h = &e->hparams;
    const struct flo_layer *layer = &e->weights.layers[index];
    bool is_beside = h->layers[index].feed == FLO_FEED_BOTH;
    bool is_gated = layer->expert_gate.data != NULL;
    const struct flo_matrix *const wide[] = {&layer->expert_up, &layer->expert_gate};
    const struct flo_matrix *const down = &layer->expert_down;
    uint32_t used = h->n_expert_used;
    size_t n = h->n_embd;

    for (size_t t = thread; t < pass->count; t += flo_pool_threads(e->pool)) {
        flo_pass_norm(e, s->x + t * n, norm_of(layer), NULL, n, x->values + t * n);
        if (is_beside) {
            flo_pass_norm(e, s->x + t * n, layer->router_norm, NULL, n, s->y + t * n);
            flo_pass_scale(s->y + t * n, n, 1 / sqrtf((float)n));
        }
    }
    flo_pool_barrier(e->pool);
    flo_pass_project(pass, thread,
                     (struct flo_product){&layer->router, x->scores, FLO_AFTER_NOTHING},
                     is_beside ? s->y : x->values, NULL);
    for (size_t t = thread; t < pass->count; t += flo_pool_threads(e->pool)) {
        choose(e, layer, (uint32_t)t);
    }
    flo_pool_barrier(e->pool);
    if (thread == 0) {
        put_in_order(e, pass->count * used);
    }
    flo_pool_barrier(e->pool);
    if (pass->reads_ahead) {
        expect_experts(pass, thread, layer);
    }
    make_inputs(pass, thread, wide, is_gated ? 2 : 1, x->values, true);
    widen(pass, thread, layer);
    make_inputs(pass, thread, &down, 1, is_gated ? x->gate : x->up, false);
    narrow(pass, thread, layer);
    if (thread == 0) {
        for (uint32_t i = 0; i < pass->count * used; i++) {
            x->places[x->order[i]] = i;
        }
    }
    common_part(pass, thread, layer);
    for (size_t t = thread; t < pass->count; t += flo_pool_threads(e->pool)) {
        float *y = s->y + t * n, share = share_of_common(e, layer, (uint32_t)t);

        flo_pass_scale(y, n, share);
        add_uses(e, x->places, (uint32_t)t, y);
        if (is_beside) {
            flo_pass_norm(e, y, layer->expert_post_norm, NULL, n, y);
            e->kernel->add(y, s->branch + t * n, n);
            flo_pass_norm(e, y, layer->ffn_post_norm, NULL, n, y);
        }
        flo_pass_scale(y, n, h->residual_scale);
        e->kernel->add(s->x + t * n, y, n);
    }
    flo_pool_barrier(e->pool);
}
