/* Recurrent: layers that keep a state of fixed size instead of keys and values:
 * short convolution (LFM2), state space (Mamba-2) and gated delta net.
 *
 * The state of a layer begins with the convolution's last inputs,
 * [n_taps - 1][channels].  A state space or delta net adds [head][value][key]
 * numbers.  Tokens of a session are computed one after the other, so a token's
 * results do not depend on the batch.  Threads take channels, then heads. */
#include <math.h>
#include <string.h>

#include "engine/model/pass/pass.h"

enum { CHANNELS = 64 }; /* channels that a thread takes at once */
#define L2_EPSILON 1e-6f

static float softplus(float x)
{
    return x > 20 ? x : log1pf(expf(x));
}

/* ---- convolution ---- */

/* A causal convolution over a row of channels in each token. */
struct convolution {
    float *values;   /* first channel of the first token; gets the results */
    uint32_t stride; /* values from a token to the next */
    uint32_t channels;
    const float *bias;
    bool is_active; /* SiLU follows */
};

/* Convolves one channel of a session's tokens, in place. */
static void convolve(const struct flo_hparams *h, const struct flo_layer *layer,
                     const struct convolution *c, uint32_t channel, uint32_t count, float *past)
{
    const float *taps = layer->conv + (size_t)channel * h->n_taps;
    uint32_t before = h->n_taps - 1;
    float window[FLO_TAPS_MAX];

    for (uint32_t i = 0; i < before; i++) {
        window[i] = past[(size_t)i * c->channels + channel];
    }
    for (uint32_t t = 0; t < count; t++) {
        float *value = c->values + (size_t)t * c->stride + channel;
        float sum = c->bias != NULL ? c->bias[channel] : 0;

        window[before] = *value;
        for (uint32_t i = 0; i <= before; i++) {
            sum += taps[i] * window[i];
        }
        memmove(window, window + 1, before * sizeof(*window));
        *value = c->is_active ? sum * flo_sigmoid(sum) : sum;
    }
    for (uint32_t i = 0; i < before; i++) {
        past[(size_t)i * c->channels + channel] = window[i];
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
    const struct flo_hparams *h = &e->hparams;
    uint32_t n = h->n_embd, first = unit * CHANNELS;
    uint32_t end = first + CHANNELS < n ? first + CHANNELS : n;
    float *mixed = e->scratch.mixed + (size_t)row * 3 * n;
    float *past = flo_state_of(span->session, index);
    const struct convolution c = {.values = mixed + (size_t)2 * n, .stride = 3 * n, .channels = n};

    for (uint32_t i = first; i < end; i++) {
        for (uint32_t t = 0; t < span->count; t++) {
            float *token = mixed + (size_t)t * 3 * n;

            token[2 * n + i] *= token[i];
        }
        convolve(h, &e->weights.layers[index], &c, i, span->count, past);
        for (uint32_t t = 0; t < span->count; t++) {
            const float *token = mixed + (size_t)t * 3 * n;

            e->scratch.mixer_out[(size_t)(row + t) * n + i] = token[n + i] * token[2 * n + i];
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
    const struct flo_layer *layer = &e->weights.layers[index];
    uint32_t width = row_width(e, index), channels = flo_width_mixed(&e->hparams);
    uint32_t end = (unit + 1) * CHANNELS < channels ? (unit + 1) * CHANNELS : channels;
    const struct convolution c = {
        .values = e->scratch.mixed + (size_t)row * width + mixed_at(e, index),
        .stride = width,
        .channels = channels,
        .bias = layer->conv_bias,
        .is_active = true,
    };

    for (uint32_t i = unit * CHANNELS; i < end; i++) {
        convolve(&e->hparams, layer, &c, i, span->count, flo_state_of(span->session, index));
    }
}

/* Returns the numbers that one head keeps, [n_inner / heads][n_state]. */
static float *state_of_head(const struct flo_hparams *h, const struct flo_span *span,
                            uint32_t index, uint32_t head)
{
    float *state = flo_state_of(span->session, index);

    state += (size_t)(h->n_taps - 1) * flo_width_mixed(h);
    return state + (size_t)head * (h->n_inner / h->n_state_heads) * h->n_state;
}

/* One head of a state space: the state decays, gets x times b, and is read by
 * c. */
static void state_piece(struct flo_pass *pass, uint32_t index, const struct flo_span *span,
                        uint32_t row, uint32_t head)
{
    const struct flo_engine *e = pass->engine;
    const struct flo_hparams *h = &e->hparams;
    const struct flo_layer *layer = &e->weights.layers[index];
    uint32_t n = h->n_state, values = h->n_inner / h->n_state_heads;
    uint32_t group = head / (h->n_state_heads / h->n_groups), width = row_width(e, index);
    float *state = state_of_head(h, span, index, head);

    for (uint32_t t = 0; t < span->count; t++) {
        const float *in = e->scratch.mixed + (size_t)(row + t) * width;
        const float *gate = in + head * values, *x = in + h->n_inner + head * values;
        const float *b = in + 2 * h->n_inner + group * n, *c = b + h->n_groups * n;
        float step = softplus(in[width - h->n_state_heads + head] + layer->step_bias[head]);
        float decay = expf(step * layer->decay[head]);
        float *out = e->scratch.mixer_out + (size_t)(row + t) * h->n_inner + head * values;

        for (uint32_t v = 0; v < values; v++) {
            float *s = state + (size_t)v * n, sum = 0;

            for (uint32_t k = 0; k < n; k++) {
                s[k] = s[k] * decay + step * x[v] * b[k];
                sum += s[k] * c[k];
            }
            out[v] = (sum + layer->skip[head] * x[v]) * gate[v] * flo_sigmoid(gate[v]);
        }
    }
}

static void unit_length(const float *x, uint32_t n, float scale, float *out)
{
    float squares = 0;

    for (uint32_t i = 0; i < n; i++) {
        squares += x[i] * x[i];
    }
    scale /= sqrtf(squares + L2_EPSILON);
    for (uint32_t i = 0; i < n; i++) {
        out[i] = x[i] * scale;
    }
}

/* Returns decay and rate of a head for one token.  They come from two products,
 * or from one whose rows have the rates, then the decays, of each key head. */
static void rates_of(const struct flo_engine *e, const struct flo_layer *layer, uint32_t row,
                     uint32_t head, float *decay, float *rate)
{
    const struct flo_hparams *h = &e->hparams;
    uint32_t heads = h->n_state_heads, of_group = heads / h->n_groups;
    const float *alphas = e->scratch.alpha, *betas = e->scratch.beta;
    size_t alpha_at = (size_t)row * heads + head, beta_at = alpha_at;

    if (layer->beta_alpha.data != NULL) {
        betas = alphas;
        beta_at =
            (size_t)row * 2 * heads + (size_t)(head / of_group) * 2 * of_group + head % of_group;
        alpha_at = beta_at + of_group;
    }
    *decay = expf(layer->decay[head] * softplus(alphas[alpha_at] + layer->step_bias[head]));
    *rate = flo_sigmoid(betas[beta_at]);
}

/* One head of a delta net: the state decays, the value that it holds for the
 * key moves towards the token's value, and the query reads it. */
static void delta_piece(struct flo_pass *pass, uint32_t index, const struct flo_span *span,
                        uint32_t row, uint32_t head)
{
    const struct flo_engine *e = pass->engine;
    const struct flo_hparams *h = &e->hparams;
    const struct flo_layer *layer = &e->weights.layers[index];
    uint32_t n = h->n_state, width = row_width(e, index);
    uint32_t group =
        e->arch->tiles_key_heads ? head % h->n_groups : head / (h->n_state_heads / h->n_groups);
    float *state = state_of_head(h, span, index, head);
    float query[FLO_STATE_MAX], key[FLO_STATE_MAX];

    for (uint32_t t = 0; t < span->count; t++) {
        const float *in = e->scratch.mixed + (size_t)(row + t) * width;
        const float *value = in + 2 * h->n_groups * n + head * n;
        const float *gate = e->scratch.z + (size_t)(row + t) * h->n_inner + head * n;
        float *out = e->scratch.mixer_out + (size_t)(row + t) * h->n_inner + head * n;
        float decay, rate;

        rates_of(e, layer, row + t, head, &decay, &rate);
        unit_length(in + group * n, n, 1 / sqrtf((float)n), query);
        unit_length(in + h->n_groups * n + group * n, n, 1, key);
        for (uint32_t v = 0; v < n; v++) {
            float *s = state + (size_t)v * n, held = 0, read = 0;

            for (uint32_t k = 0; k < n; k++) {
                s[k] *= decay;
                held += s[k] * key[k];
            }
            float change = (value[v] - held) * rate;
            for (uint32_t k = 0; k < n; k++) {
                s[k] += key[k] * change;
                read += s[k] * query[k];
            }
            out[v] = read;
        }
        e->kernel->rms_norm(out, layer->state_norm, h->epsilon, n, out);
        for (uint32_t v = 0; v < n; v++) {
            out[v] *= gate[v] * flo_sigmoid(gate[v]);
        }
    }
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
    share(pass, thread, index, h->n_state_heads, is_delta ? delta_piece : state_piece);
    if (!is_delta && layer->state_norm != NULL) {
        norm_groups(pass, thread, layer);
    }
}
