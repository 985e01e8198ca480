/* Recurrent: layers that keep a state of fixed size instead of keys and values:
 * short convolution (LFM2), state space (Mamba-2) and gated delta net.
 *
 * The state of a layer begins with the convolution's last inputs,
 * [n_taps - 1][channels].  A state space or delta net adds [key][value] numbers
 * for each piece of a head's values.  A piece goes through the tokens of a pass
 * one after the other, while its numbers stay in the nearest cache.  So a token's
 * results do not depend on the batch.  Threads take channels, then pieces. */
#include <math.h>
#include <string.h>

#include "engine/model/pass/pass.h"

enum {
    CHANNELS = 64, /* channels that a thread takes at once */
    PIECE = 32,    /* values of a head that a thread takes at once */
};
#define L2_EPSILON 1e-6f

static float softplus(float x)
{
    return x > 20 ? x : log1pf(expf(x));
}

/* ---- convolution ---- */

/* A causal convolution over a row of channels in each token. */
struct convolution {
    const struct flo_engine *engine;
    const struct flo_layer *layer;
    float *values;   /* first channel of the first token; gets the results */
    uint32_t stride; /* values from a token to the next */
    uint32_t channels;
    const float *bias;
    bool is_active; /* SiLU follows */
};

/* Returns the input of a token; those before the first are negative. */
static const float *input_of(const struct convolution *c, const float *past, uint32_t before,
                             int64_t token)
{
    return token < 0 ? past + (before + token) * c->channels : c->values + token * c->stride;
}

/* Convolves channels [first, end) of one token into `sums`. */
static void convolve_token(const struct convolution *c, const float *taps, const float *past,
                           uint32_t first, uint32_t count, int64_t token, float *sums)
{
    uint32_t before = c->engine->hparams.n_taps - 1;

    for (uint32_t i = 0; i < count; i++) {
        sums[i] = c->bias != NULL ? c->bias[first + i] : 0;
    }
    for (uint32_t n = 0; n <= before; n++) {
        const float *tap = taps + (size_t)n * CHANNELS;
        const float *input = input_of(c, past, before, token + n - before) + first;

        for (uint32_t i = 0; i < count; i++) {
            sums[i] += tap[i] * input[i];
        }
    }
}

/* Convolves channels [first, end) of a session's tokens, in place: the last token
 * first, as its inputs are those before it. */
static void convolve(const struct convolution *c, uint32_t first, uint32_t end, uint32_t tokens,
                     float *past)
{
    uint32_t before = c->engine->hparams.n_taps - 1, count = end - first;
    float taps[FLO_TAPS_MAX][CHANNELS], last[FLO_TAPS_MAX][CHANNELS];
    float sums[CHANNELS], ones[CHANNELS];

    for (uint32_t i = 0; i < count; i++) {
        for (uint32_t n = 0; n <= before; n++) {
            taps[n][i] = c->layer->conv[(size_t)(first + i) * (before + 1) + n];
        }
        ones[i] = 1;
    }
    for (uint32_t n = 0; n < before; n++) {
        memcpy(last[n], input_of(c, past, before, (int64_t)tokens - before + n) + first,
               count * sizeof(float));
    }
    for (uint32_t t = tokens; t-- > 0;) {
        convolve_token(c, taps[0], past, first, count, t, sums);
        if (c->is_active) {
            c->engine->kernel->silu_multiply(sums, ones, count);
        }
        memcpy(c->values + (size_t)t * c->stride + first, sums, count * sizeof(float));
    }
    for (uint32_t n = 0; n < before; n++) {
        memcpy(past + (size_t)n * c->channels + first, last[n], count * sizeof(float));
    }
}

/* Calls `work` for pieces of each session of the pass: `units` of them, shared
 * by the threads. */
typedef void piece_fn(struct flo_pass *pass, uint32_t layer, const struct flo_span *span,
                      uint32_t first_row, uint32_t unit);

static void share(struct flo_pass *pass, unsigned thread, uint32_t layer, uint32_t units,
                  piece_fn *work)
{
    const struct flo_request *request = pass->request;
    size_t all = (size_t)units * request->span_count, taken;

    while ((taken = flo_pool_take(pass->engine->pool, thread, all)) < all) {
        uint32_t row = 0, span = (uint32_t)(taken / units);

        for (uint32_t i = 0; i < span; i++) {
            row += request->spans[i].count;
        }
        work(pass, layer, &request->spans[span], row, (uint32_t)(taken % units));
    }
    flo_pool_barrier(pass->engine->pool);
}

/* ---- short convolution ---- */

/* The input product gives b, c and x; the result is c * conv(b * x). */
static void short_piece(struct flo_pass *pass, uint32_t index, const struct flo_span *span,
                        uint32_t row, uint32_t unit)
{
    const struct flo_engine *e = pass->engine;
    uint32_t n = e->hparams.n_embd, first = unit * CHANNELS;
    uint32_t end = first + CHANNELS < n ? first + CHANNELS : n;
    float *mixed = e->scratch.mixed + (size_t)row * 3 * n;
    const struct convolution c = {
        .engine = e,
        .layer = &e->weights.layers[index],
        .values = mixed + (size_t)2 * n,
        .stride = 3 * n,
        .channels = n,
    };

    for (uint32_t t = 0; t < span->count; t++) {
        float *token = mixed + (size_t)t * 3 * n;

        for (uint32_t i = first; i < end; i++) {
            token[2 * n + i] *= token[i];
        }
    }
    convolve(&c, first, end, span->count, flo_state_of(span->session, index));
    for (uint32_t t = 0; t < span->count; t++) {
        const float *token = mixed + (size_t)t * 3 * n;
        float *out = e->scratch.mixer_out + (size_t)(row + t) * n;

        for (uint32_t i = first; i < end; i++) {
            out[i] = token[n + i] * token[2 * n + i];
        }
    }
}

/* ---- state spaces and delta nets ---- */

/* Row of the input product: a state space has a gate before the convolution's
 * channels, and steps behind them. */
static uint32_t row_width(const struct flo_engine *e, uint32_t index)
{
    return e->weights.layers[index].in.rows;
}

static uint32_t mixed_at(const struct flo_engine *e, uint32_t index)
{
    return e->hparams.layers[index].mixer == FLO_MIX_DELTA ? 0 : e->hparams.n_inner;
}

static void mixed_piece(struct flo_pass *pass, uint32_t index, const struct flo_span *span,
                        uint32_t row, uint32_t unit)
{
    const struct flo_engine *e = pass->engine;
    uint32_t width = row_width(e, index), channels = flo_width_mixed(&e->hparams);
    uint32_t end = (unit + 1) * CHANNELS < channels ? (unit + 1) * CHANNELS : channels;
    const struct convolution c = {
        .engine = e,
        .layer = &e->weights.layers[index],
        .values = e->scratch.mixed + (size_t)row * width + mixed_at(e, index),
        .stride = width,
        .channels = channels,
        .bias = e->weights.layers[index].conv_bias,
        .is_active = true,
    };

    convolve(&c, unit * CHANNELS, end, span->count, flo_state_of(span->session, index));
}

/* Values of one head. */
struct piece {
    uint32_t head, first, count;
};

static uint32_t values_of_head(const struct flo_hparams *h)
{
    return h->n_inner / h->n_state_heads;
}

static uint32_t pieces_of_head(const struct flo_hparams *h)
{
    return (values_of_head(h) + PIECE - 1) / PIECE;
}

static struct piece piece_of(const struct flo_hparams *h, uint32_t unit)
{
    uint32_t first = unit % pieces_of_head(h) * PIECE, left = values_of_head(h) - first;

    return (struct piece){unit / pieces_of_head(h), first, left < PIECE ? left : PIECE};
}

/* Returns the numbers that a session keeps for a piece. */
static struct flo_recurrence recurrence_of(const struct flo_hparams *h, const struct flo_span *span,
                                           uint32_t index, const struct piece *piece)
{
    size_t first = (size_t)piece->head * values_of_head(h) + piece->first;

    return (struct flo_recurrence){
        .state = flo_state_of(span->session, index) + (size_t)(h->n_taps - 1) * flo_width_mixed(h) +
                 first * h->n_state,
        .keys = h->n_state,
        .values = piece->count,
    };
}

/* Multiplies results by SiLU of their gates; the gates are overwritten. */
static void gate_values(const struct flo_engine *e, float *gate, uint32_t count, float *out)
{
    e->kernel->silu_multiply(gate, out, count);
    memcpy(out, gate, count * sizeof(*out));
}

/* A piece of a state space's head: the state decays, gets x times b, and is read
 * by c. */
static void state_piece(struct flo_pass *pass, uint32_t index, const struct flo_span *span,
                        uint32_t row, uint32_t unit)
{
    const struct flo_engine *e = pass->engine;
    const struct flo_hparams *h = &e->hparams;
    const struct flo_layer *layer = &e->weights.layers[index];
    const struct piece piece = piece_of(h, unit);
    struct flo_recurrence r = recurrence_of(h, span, index, &piece);
    uint32_t head = piece.head, at = head * values_of_head(h) + piece.first;
    uint32_t group = head / (h->n_state_heads / h->n_groups), width = row_width(e, index);

    for (uint32_t t = 0; t < span->count; t++) {
        float *in = e->scratch.mixed + (size_t)(row + t) * width;
        float *out = e->scratch.mixer_out + (size_t)(row + t) * h->n_inner + at;
        const float *x = in + h->n_inner + at;
        float step = softplus(in[width - h->n_state_heads + head] + layer->step_bias[head]);

        r.decay = expf(step * layer->decay[head]);
        r.key = in + 2 * h->n_inner + group * h->n_state;
        r.query = r.key + h->n_groups * h->n_state;
        for (uint32_t v = 0; v < piece.count; v++) {
            out[v] = step * x[v];
        }
        e->kernel->recur(&r, out, out);
        for (uint32_t v = 0; v < piece.count; v++) {
            out[v] += layer->skip[head] * x[v];
        }
        gate_values(e, in + at, piece.count, out);
    }
}

/* Gives a vector this length. */
static void set_length(const struct flo_engine *e, float *x, uint32_t n, float length)
{
    e->kernel->rms_norm(x, e->weights.ones, L2_EPSILON / (float)n, n, x);
    flo_pass_scale(x, n, length / sqrtf((float)n));
}

/* Places of a head's decay and rate for one token.  They come from two products,
 * or from one whose rows have the rates, then the decays, of each key head. */
static void places_of_rates(const struct flo_engine *e, const struct flo_layer *layer, uint32_t row,
                            uint32_t head, float **decay, float **rate)
{
    const struct flo_hparams *h = &e->hparams;
    uint32_t heads = h->n_state_heads, of_group = heads / h->n_groups;

    if (layer->beta_alpha.data != NULL) {
        *rate = e->scratch.alpha + (size_t)row * 2 * heads +
                (size_t)(head / of_group) * 2 * of_group + head % of_group;
        *decay = *rate + of_group;
    } else {
        *rate = e->scratch.beta + (size_t)row * heads + head;
        *decay = e->scratch.alpha + (size_t)row * heads + head;
    }
}

/* Makes the inputs of a delta net: queries and keys of unit length, decays and
 * rates. */
static void make_delta_inputs(struct flo_pass *pass, unsigned thread, uint32_t index)
{
    const struct flo_engine *e = pass->engine;
    const struct flo_hparams *h = &e->hparams;
    const struct flo_layer *layer = &e->weights.layers[index];
    uint32_t n = h->n_state, of_group = h->n_state_heads / h->n_groups;
    size_t units = (size_t)pass->count * h->n_groups, unit;

    while ((unit = flo_pool_take(e->pool, thread, units)) < units) {
        uint32_t row = (uint32_t)(unit / h->n_groups), group = (uint32_t)(unit % h->n_groups);
        float *query = e->scratch.mixed + (size_t)row * row_width(e, index) + group * n;

        set_length(e, query, n, 1 / sqrtf((float)n));
        set_length(e, query + h->n_groups * n, n, 1);
        for (uint32_t head = group * of_group; head < (group + 1) * of_group; head++) {
            float *decay, *rate;

            places_of_rates(e, layer, row, head, &decay, &rate);
            *decay = expf(layer->decay[head] * softplus(*decay + layer->step_bias[head]));
            *rate = flo_sigmoid(*rate);
        }
    }
    flo_pool_barrier(e->pool);
}

/* A piece of a delta net's head: the state decays, the value that it holds for
 * the key moves towards the token's value, and the query reads it. */
static void delta_piece(struct flo_pass *pass, uint32_t index, const struct flo_span *span,
                        uint32_t row, uint32_t unit)
{
    const struct flo_engine *e = pass->engine;
    const struct flo_hparams *h = &e->hparams;
    const struct flo_layer *layer = &e->weights.layers[index];
    const struct piece piece = piece_of(h, unit);
    struct flo_recurrence r = recurrence_of(h, span, index, &piece);
    uint32_t n = h->n_state, head = piece.head, at = head * n + piece.first;
    uint32_t group =
        e->arch->tiles_key_heads ? head % h->n_groups : head / (h->n_state_heads / h->n_groups);

    for (uint32_t t = 0; t < span->count; t++) {
        const float *in = e->scratch.mixed + (size_t)(row + t) * row_width(e, index);
        const float *value = in + 2 * h->n_groups * n + at;
        float *out = e->scratch.mixer_out + (size_t)(row + t) * h->n_inner + at;
        float *decay, *rate;

        places_of_rates(e, layer, row + t, head, &decay, &rate);
        r.decay = *decay;
        r.query = in + group * n;
        r.key = r.query + h->n_groups * n;
        e->kernel->recall(&r, out);
        for (uint32_t v = 0; v < piece.count; v++) {
            out[v] = (value[v] - out[v] * r.decay) * *rate;
        }
        e->kernel->recur(&r, out, out);
    }
}

/* Normalises each head of a delta net's results, and multiplies them by their
 * gates. */
static void norm_heads(struct flo_pass *pass, unsigned thread, const struct flo_layer *layer)
{
    const struct flo_engine *e = pass->engine;
    const struct flo_hparams *h = &e->hparams;
    size_t n = h->n_state, units = (size_t)pass->count * h->n_state_heads, unit;

    while ((unit = flo_pool_take(e->pool, thread, units)) < units) {
        float *out = e->scratch.mixer_out + unit * n;

        e->kernel->rms_norm(out, layer->state_norm, h->epsilon, n, out);
        gate_values(e, e->scratch.z + unit * n, (uint32_t)n, out);
    }
    flo_pool_barrier(e->pool);
}

/* Normalises the result of a state space, each group of heads by itself. */
static void norm_groups(struct flo_pass *pass, unsigned thread, const struct flo_layer *layer)
{
    const struct flo_engine *e = pass->engine;
    const struct flo_hparams *h = &e->hparams;
    uint32_t size = h->n_inner / h->n_groups;
    size_t units = (size_t)pass->count * h->n_groups, unit;

    while ((unit = flo_pool_take(e->pool, thread, units)) < units) {
        float *values = e->scratch.mixer_out + unit * size;

        e->kernel->rms_norm(values, layer->state_norm + unit % h->n_groups * size, h->epsilon, size,
                            values);
    }
    flo_pool_barrier(e->pool);
}

/* ---- all of them ---- */

void flo_pass_recurrent(struct flo_pass *pass, unsigned thread, uint32_t index, const float *norm)
{
    struct flo_engine *e = pass->engine;
    struct flo_scratch *s = &e->scratch;
    const struct flo_hparams *h = &e->hparams;
    const struct flo_layer *layer = &e->weights.layers[index];
    bool is_joined = layer->beta_alpha.data != NULL;
    const struct flo_product products[] = {
        {&layer->in, s->mixed, FLO_AFTER_NOTHING},
        {&layer->in_gate, s->z, FLO_AFTER_NOTHING},
        {is_joined ? &layer->beta_alpha : &layer->alpha, s->alpha, FLO_AFTER_NOTHING},
        {&layer->beta, s->beta, FLO_AFTER_NOTHING},
    };
    const struct flo_source source = {
        .values = s->x,
        .norm = norm,
        .products = products,
        .product_count = h->layers[index].mixer != FLO_MIX_DELTA ? 1
                         : is_joined                             ? 3
                                                                 : 4,
        .count = pass->count,
    };
    bool is_short = h->layers[index].mixer == FLO_MIX_CONV;
    uint32_t channels = is_short ? h->n_embd : flo_width_mixed(h);
    uint32_t units = (channels + CHANNELS - 1) / CHANNELS;

    flo_pass_multiply(pass, thread, &source);
    flo_pool_barrier(e->pool);
    share(pass, thread, index, units, is_short ? short_piece : mixed_piece);
    if (is_short) {
        return;
    }
    bool is_delta = h->layers[index].mixer == FLO_MIX_DELTA;
    if (is_delta) {
        make_delta_inputs(pass, thread, index);
    }
    units = h->n_state_heads * pieces_of_head(h);
    share(pass, thread, index, units, is_delta ? delta_piece : state_piece);
    if (is_delta) {
        norm_heads(pass, thread, layer);
    } else if (layer->state_norm != NULL) {
        norm_groups(pass, thread, layer);
    }
}
