/* Ref ops: norms, rotation, activations and quantisation of inputs, for the
 * plain C kernel. */
#include "engine/kernel/ref.h"

#include <math.h>

/* Returns 0 if all values are finite, else NaN, as x * 0 is NaN for an infinity
 * and for NaN. */
static float poison_of(const float *x, size_t count)
{
    float poison = 0;

    for (size_t i = 0; i < count; i++) {
        poison += x[i] * 0.0f;
    }
    return poison;
}

static float quantise_block(const float *x, float code_max, int16_t *codes, float *sum)
{
    float largest = 0, poison = poison_of(x, FLO_CODE_BLOCK);
    int total = 0;

    if (poison != 0 || isnan(poison)) {
        memset(codes, 0, FLO_CODE_BLOCK * sizeof(*codes));
        *sum = NAN;
        return NAN;
    }
    for (int i = 0; i < FLO_CODE_BLOCK; i++) {
        float size = fabsf(x[i]);
        largest = size > largest ? size : largest;
    }
    float scale = largest / code_max;
    /* The inverse of a subnormal scale may not be finite, so 0 is used. */
    float inverse = scale > 1e-38f ? 1.0f / scale : 0.0f;
    for (int i = 0; i < FLO_CODE_BLOCK; i++) {
        codes[i] = (int16_t)lrintf(x[i] * inverse);
        total += codes[i];
    }
    *sum = scale * (float)total;
    return scale;
}

void flo_ref_quantise(const float *values, size_t columns, enum flo_precision precision,
                      int16_t *codes, float *scales, float *sums)
{
    float code_max = flo_code_max(precision);

    for (size_t b = 0; b < columns / FLO_CODE_BLOCK; b++) {
        size_t at = b * FLO_CODE_BLOCK;
        scales[b] = quantise_block(values + at, code_max, codes + at, &sums[b]);
    }
}

void flo_ref_rms_norm(const float *x, const float *weight, float epsilon, size_t count, float *out)
{
    double squares = 0;

    for (size_t i = 0; i < count; i++) {
        squares += (double)x[i] * (double)x[i];
    }
    float factor = 1.0f / sqrtf((float)(squares / (double)count) + epsilon);
    for (size_t i = 0; i < count; i++) {
        out[i] = x[i] * factor * weight[i];
    }
}

void flo_ref_layer_norm(const float *x, const float *weight, const float *bias, float epsilon,
                        size_t count, float *out)
{
    double sum = 0, squares = 0;

    for (size_t i = 0; i < count; i++) {
        sum += (double)x[i];
    }
    float mean = (float)(sum / (double)count);
    for (size_t i = 0; i < count; i++) {
        double d = (double)x[i] - (double)mean;
        squares += d * d;
    }
    float factor = 1.0f / sqrtf((float)(squares / (double)count) + epsilon);
    for (size_t i = 0; i < count; i++) {
        out[i] = (x[i] - mean) * factor * weight[i] + bias[i];
    }
}

void flo_ref_rope_halves(float *x, const float *cosines, const float *sines, size_t count)
{
    size_t half = count / 2;

    for (size_t j = 0; j < half; j++) {
        float a = x[j], b = x[j + half];
        x[j] = a * cosines[j] + b * sines[j];
        x[j + half] = b * cosines[j + half] + a * sines[j + half];
    }
}

void flo_ref_rope_pairs(float *x, const float *cosines, const float *sines, size_t count)
{
    for (size_t j = 0; j + 1 < count; j += 2) {
        float a = x[j], b = x[j + 1];
        x[j] = a * cosines[j] + b * sines[j];
        x[j + 1] = b * cosines[j + 1] + a * sines[j + 1];
    }
}

void flo_ref_silu_multiply(float *gate, const float *up, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        gate[i] = gate[i] / (1.0f + expf(-gate[i])) * up[i];
    }
}

/* Multiplies GELU of gate by `up`.  GELU is x / 2 * (1 + tanh(u)) = x / (1 +
 * exp(-2 u)), with u = sqrt(2 / pi) * (x + 0.044715 x^3). */
void flo_ref_gelu_multiply(float *gate, const float *up, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        float x = gate[i];
        float u = 0.797884561f * x * (1.0f + 0.044715f * x * x);

        x = x / (1.0f + expf(-2.0f * u));
        gate[i] = up == NULL ? x : x * up[i];
    }
}

void flo_ref_soft_cap(float *x, float cap, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        x[i] = cap * tanhf(x[i] / cap);
    }
}

void flo_ref_add(float *x, const float *y, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        x[i] += y[i];
    }
}

/* ---- adapters ---- */

enum { LOW_ROWS = 16 };

void flo_ref_low_rank_add(const float *b, size_t stride, size_t rank, const float *low, float *y,
                          size_t rows)
{
    size_t i = 0;

    for (; i + LOW_ROWS <= rows; i += LOW_ROWS) {
        float sums[LOW_ROWS] = {0};

        for (size_t r = 0; r < rank; r++) {
            const float *values = b + r * stride + i;

            for (size_t j = 0; j < LOW_ROWS; j++) {
                sums[j] += low[r] * values[j];
            }
        }
        for (size_t j = 0; j < LOW_ROWS; j++) {
            y[i + j] += sums[j];
        }
    }
    for (; i < rows; i++) {
        float sum = 0;

        for (size_t r = 0; r < rank; r++) {
            sum += low[r] * b[r * stride + i];
        }
        y[i] += sum;
    }
}

/* ---- recurrent states ---- */

void flo_ref_recur_from(const struct flo_recurrence *r, size_t first, const float *added,
                        float *out)
{
    for (size_t v = first; v < r->values; v++) {
        float sum = 0, add = added[v];

        for (size_t k = 0; k < r->keys; k++) {
            float *s = r->state + k * r->values + v;

            *s = *s * r->decay + add * r->key[k];
            sum += *s * r->query[k];
        }
        out[v] = sum;
    }
}

void flo_ref_recall_from(const struct flo_recurrence *r, size_t first, float *out)
{
    for (size_t v = first; v < r->values; v++) {
        float sum = 0;

        for (size_t k = 0; k < r->keys; k++) {
            sum += r->state[k * r->values + v] * r->key[k];
        }
        out[v] = sum;
    }
}

void flo_ref_recur(const struct flo_recurrence *r, const float *added, float *out)
{
    flo_ref_recur_from(r, 0, added, out);
}

void flo_ref_recall(const struct flo_recurrence *r, float *out)
{
    flo_ref_recall_from(r, 0, out);
}
