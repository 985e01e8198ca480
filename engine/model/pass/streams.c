/* Streams: several residual streams, of which a layer computes one (AltUp, arXiv
 * 2301.13310, as in Gemma 3n).  A layer predicts all streams from the last ones,
 * computes the first, and corrects all by what it found.  A low-rank branch
 * reads the same input as attention. */
#include <math.h>
#include <string.h>

#include "engine/model/pass/pass.h"

#define LENGTH_MIN 1e-5f /* least mean square of a stream that is scaled */
#define ROOT_HALF 0.70710678f

static size_t stream_values(const struct flo_engine *e)
{
    return (size_t)e->sizes.batch * e->hparams.n_embd;
}

static float mean_square(const float *x, size_t n)
{
    double sum = 0;

    for (size_t i = 0; i < n; i++) {
        sum += (double)x[i] * (double)x[i];
    }
    return (float)(sum / (double)n);
}

/* Computes matrix `i` of those that lie one after another in `m`, on all rows of
 * `from`. */
static void multiply_one(struct flo_pass *pass, unsigned thread, const struct flo_matrix *m,
                         uint32_t i, float *from, float *to)
{
    struct flo_matrix one = *m;

    one.data += (size_t)i * m->rows * m->row_bytes;
    one.slice = i;
    flo_pass_project(pass, thread, (struct flo_product){&one, to, FLO_AFTER_NOTHING}, from, NULL);
}

void flo_streams_spread(struct flo_pass *pass, unsigned thread)
{
    struct flo_engine *e = pass->engine;
    struct flo_scratch *s = &e->scratch;
    size_t n = e->hparams.n_embd, step = stream_values(e);

    for (uint32_t i = 1; i < e->hparams.n_streams; i++) {
        multiply_one(pass, thread, &e->weights.spread, i - 1, s->x, s->streams + i * step);
    }
    for (size_t t = thread; t < pass->count; t += flo_pool_threads(e->pool)) {
        const float *x = s->x + t * n;
        float length = sqrtf(mean_square(x, n));

        memcpy(s->streams + t * n, x, n * sizeof(*x));
        for (uint32_t i = 1; i < e->hparams.n_streams; i++) {
            float *other = s->streams + i * step + t * n;

            flo_pass_scale(other, n, length / sqrtf(fmaxf(mean_square(other, n), LENGTH_MIN)));
        }
    }
    flo_pool_barrier(e->pool);
}

/* Computes the router's numbers for each token of `from` into scratch.low. */
static void route(struct flo_pass *pass, unsigned thread, const struct flo_layer *layer,
                  float *from)
{
    struct flo_engine *e = pass->engine;
    struct flo_scratch *s = &e->scratch;
    size_t n = e->hparams.n_embd;

    for (size_t t = thread; t < pass->count; t += flo_pool_threads(e->pool)) {
        flo_pass_norm(e, from + t * n, layer->stream_norm, NULL, n, s->y + t * n);
        for (size_t k = 0; k < n; k++) {
            s->y[t * n + k] /= (float)n;
        }
    }
    flo_pool_barrier(e->pool);
    flo_pass_project(pass, thread,
                     (struct flo_product){&layer->stream_router, s->low, FLO_AFTER_NOTHING}, s->y,
                     NULL);
}

/* Returns row `row` of a table of coefficients times a token's numbers. */
static float coefficient(const float *table, uint32_t row, const float *routed, uint32_t count)
{
    float sum = 0;

    for (uint32_t i = 0; i < count; i++) {
        sum += table[row * count + i] * tanhf(routed[i]);
    }
    return sum;
}

/* Computes x + norm(low rank(x)) of the layer's normalised input. */
static void branch(struct flo_pass *pass, unsigned thread, const struct flo_layer *layer)
{
    struct flo_engine *e = pass->engine;
    struct flo_scratch *s = &e->scratch;
    size_t n = e->hparams.n_embd;

    flo_pass_project(pass, thread, (struct flo_product){&layer->low_in, s->low, FLO_AFTER_NOTHING},
                     s->x, layer->attn_norm);
    flo_pass_project(pass, thread, (struct flo_product){&layer->low_out, s->y, FLO_AFTER_NOTHING},
                     s->low, NULL);
    for (size_t t = thread; t < pass->count; t += flo_pool_threads(e->pool)) {
        float *to = s->branch + t * n;

        flo_pass_norm(e, s->x + t * n, layer->attn_norm, NULL, n, to);
        flo_pass_norm(e, s->y + t * n, layer->low_norm, NULL, n, s->y + t * n);
        e->kernel->add(to, s->y + t * n, n);
    }
    flo_pool_barrier(e->pool);
}

void flo_streams_predict(struct flo_pass *pass, unsigned thread, uint32_t index)
{
    struct flo_engine *e = pass->engine;
    struct flo_scratch *s = &e->scratch;
    const struct flo_layer *layer = &e->weights.layers[index];
    size_t n = e->hparams.n_embd, step = stream_values(e);
    uint32_t count = e->hparams.n_streams;

    route(pass, thread, layer, s->streams);
    for (size_t t = thread; t < pass->count; t += flo_pool_threads(e->pool)) {
        for (uint32_t j = 0; j < count; j++) {
            float *to = s->predicted + j * step + t * n;

            memcpy(to, s->streams + j * step + t * n, n * sizeof(*to));
            for (uint32_t i = 0; i < count; i++) {
                const float *from = s->streams + i * step + t * n;
                float by = coefficient(layer->predict, j * count + i, s->low + t * count, count);

                for (size_t k = 0; k < n; k++) {
                    to[k] += by * from[k];
                }
            }
        }
        memcpy(s->x + t * n, s->predicted + t * n, n * sizeof(*s->x));
    }
    flo_pool_barrier(e->pool);
    branch(pass, thread, layer);
}

void flo_streams_join(struct flo_pass *pass, unsigned thread)
{
    struct flo_engine *e = pass->engine;
    struct flo_scratch *s = &e->scratch;
    size_t n = e->hparams.n_embd;

    for (size_t t = thread; t < pass->count; t += flo_pool_threads(e->pool)) {
        for (size_t k = t * n; k < (t + 1) * n; k++) {
            s->x[k] = (s->x[k] + s->branch[k]) * ROOT_HALF;
        }
    }
    flo_pool_barrier(e->pool);
}

void flo_streams_thin(struct flo_pass *pass, unsigned thread, uint32_t index)
{
    struct flo_engine *e = pass->engine;
    const struct flo_layer_shape *shape = &e->hparams.layers[index];
    size_t n = shape->n_ff;

    for (size_t t = thread; t < pass->count; t += flo_pool_threads(e->pool)) {
        float *gate = e->scratch.gate + t * n, *up = e->scratch.up + t * n;
        double sum = 0, squares = 0;

        for (size_t k = 0; k < n; k++) {
            sum += (double)gate[k];
        }
        double mean = sum / (double)n;
        for (size_t k = 0; k < n; k++) {
            squares += ((double)gate[k] - mean) * ((double)gate[k] - mean);
        }
        float least = (float)(mean + (double)shape->sparsity * sqrt(squares / (double)n));
        for (size_t k = 0; k < n; k++) {
            gate[k] = fmaxf(gate[k] - least, 0);
        }
        flo_pass_activate(e, gate, up, n);
    }
    flo_pool_barrier(e->pool);
}

/* Adds the layer's own embedding to all streams but the first. */
static void add_own(struct flo_pass *pass, unsigned thread, uint32_t index)
{
    struct flo_engine *e = pass->engine;
    struct flo_scratch *s = &e->scratch;
    const struct flo_layer *layer = &e->weights.layers[index];
    size_t n = e->hparams.n_embd, step = stream_values(e);

    for (size_t t = thread; t < pass->count; t += flo_pool_threads(e->pool)) {
        for (size_t k = 0; k < n; k++) {
            s->x[t * n + k] = s->streams[t * n + k] * layer->correct_scale[k];
        }
    }
    flo_pool_barrier(e->pool);
    flo_own_gate(pass, thread, index);
    flo_pass_project(pass, thread, (struct flo_product){&layer->own_proj, s->y, FLO_AFTER_NOTHING},
                     s->gate, NULL);
    for (size_t t = thread; t < pass->count; t += flo_pool_threads(e->pool)) {
        flo_pass_norm(e, s->y + t * n, layer->own_norm, NULL, n, s->y + t * n);
        for (uint32_t i = 1; i < e->hparams.n_streams; i++) {
            e->kernel->add(s->streams + i * step + t * n, s->y + t * n, n);
        }
    }
    flo_pool_barrier(e->pool);
}

void flo_streams_correct(struct flo_pass *pass, unsigned thread, uint32_t index)
{
    struct flo_engine *e = pass->engine;
    struct flo_scratch *s = &e->scratch;
    const struct flo_layer *layer = &e->weights.layers[index];
    size_t n = e->hparams.n_embd, step = stream_values(e);
    uint32_t count = e->hparams.n_streams;

    route(pass, thread, layer, s->x);
    for (size_t t = thread; t < pass->count; t += flo_pool_threads(e->pool)) {
        const float *found = s->x + t * n, *expected = s->predicted + t * n;

        for (uint32_t i = 0; i < count; i++) {
            const float *from = s->predicted + i * step + t * n;
            float *to = s->streams + i * step + t * n;
            float by = 1 + coefficient(layer->correct, i, s->low + t * count, count);

            for (size_t k = 0; k < n; k++) {
                to[k] = from[k] + by * (found[k] - expected[k]);
            }
        }
    }
    flo_pool_barrier(e->pool);
    add_own(pass, thread, index);
}

void flo_streams_merge(struct flo_pass *pass, unsigned thread)
{
    struct flo_engine *e = pass->engine;
    struct flo_scratch *s = &e->scratch;
    size_t n = e->hparams.n_embd, step = stream_values(e);
    uint32_t count = e->hparams.n_streams;

    for (uint32_t i = 1; i < count; i++) {
        multiply_one(pass, thread, &e->weights.merge, i - 1, s->streams + i * step,
                     s->predicted + i * step);
    }
    for (size_t t = thread; t < pass->count; t += flo_pool_threads(e->pool)) {
        float *x = s->x + t * n, length = sqrtf(mean_square(s->streams + t * n, n));

        memcpy(x, s->streams + t * n, n * sizeof(*x));
        for (uint32_t i = 1; i < count; i++) {
            const float *other = s->predicted + i * step + t * n;
            float by = length / sqrtf(fmaxf(mean_square(other, n), LENGTH_MIN));

            for (size_t k = 0; k < n; k++) {
                x[k] += by * other[k];
            }
        }
        for (size_t k = 0; k < n; k++) {
            x[k] /= (float)count;
        }
    }
    flo_pool_barrier(e->pool);
}
