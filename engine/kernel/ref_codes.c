/* Ref codes: the plain C kernel's products with quantised weights.  Each
 * block is unpacked into 32 signed codes, with a scale and an offset for each
 * half. */
#include "base/quant/unpack.h"
#include "engine/kernel/ref.h"

static inline int dot_16(const int8_t *a, const int16_t *b)
{
    int sum = 0;

    for (int i = 0; i < 16; i++) {
        sum += a[i] * b[i];
    }
    return sum;
}

static inline int sum_16(const int16_t *codes)
{
    int sum = 0;

    for (int i = 0; i < 16; i++) {
        sum += codes[i];
    }
    return sum;
}

/* Multiplies one block of weights with one block of an input's codes. */
static inline float multiply_block(const struct flo_quant_unpacked *w, const int16_t *codes,
                                   float scale, float sum, bool has_halves)
{
    float low = (float)dot_16(w->codes, codes);
    float high = (float)dot_16(w->codes + 16, codes + 16);
    float y = w->scale[0] * low + w->scale[1] * high;

    if (has_halves) {
        y += w->offset[0] * (float)sum_16(codes) + w->offset[1] * (float)sum_16(codes + 16);
        return y * scale;
    }
    return y * scale + w->offset[0] * sum;
}

static inline __attribute__((always_inline)) void
matmul_codes(flo_quant_unpack *unpack, bool has_halves, const void *weights, size_t row_bytes,
             size_t rows, const struct flo_activations *x, float *y, size_t stride)
{
    size_t blocks = x->columns / FLO_CODE_BLOCK;

    for (size_t r = 0; r < rows; r++) {
        const uint8_t *row = (const uint8_t *)weights + r * row_bytes;

        for (size_t t = 0; t < x->tokens; t++) {
            y[t * stride + r] = 0;
        }
        for (size_t b = 0; b < blocks; b++) {
            struct flo_quant_unpacked w;

            unpack(row, b, &w);
            for (size_t t = 0; t < x->tokens; t++) {
                y[t * stride + r] +=
                    multiply_block(&w, x->codes + t * x->columns + b * FLO_CODE_BLOCK,
                                   x->scales[t * blocks + b], x->sums[t * blocks + b], has_halves);
            }
        }
    }
}

#define MATMUL_CODES(has_halves, type, id)                                                         \
    void flo_ref_matmul_##type(const void *weights, size_t row_bytes, size_t rows,                 \
                               const struct flo_activations *x, float *y, size_t stride)           \
    {                                                                                              \
        matmul_codes(flo_unpack_##type, FLO_QUANT_##id == FLO_QUANT_Q2_K, weights, row_bytes,      \
                     rows, x, y, stride);                                                          \
    }

FLO_QUANT_CODE_TYPES(MATMUL_CODES, )
