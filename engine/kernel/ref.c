/* Plain C kernel: matrix products.
 *
 * The definition that every other kernel is compared with, and the only one
 * on CPUs that no other knows.  Each quantised type is unpacked block by
 * block into 32 signed codes with a scale per half and an offset, so a new
 * type is one small function here.  Loops are written so that a compiler can
 * vectorise them without reordering floats. */
#include "engine/kernel/kernel.h"

#include "engine/kernel/half.h"
#include "engine/kernel/ref.h"

/* 32 weights: w[i] = scale[i / 16] * codes[i] + offset. */
struct block {
    int8_t codes[FLO_CODE_BLOCK];
    float scale[2];
    float offset;
};

/* Unpack block `index` (of 32 weights) of a row. */
typedef void unpack_fn(const uint8_t *row, size_t index, struct block *out);

static void unpack_q4_0(const uint8_t *row, size_t index, struct block *out)
{
    const uint8_t *p = row + index * 18;

    out->scale[0] = out->scale[1] = flo_half_at(p);
    out->offset = 0;
    for (int i = 0; i < 16; i++) {
        out->codes[i] = (int8_t)((p[2 + i] & 15) - 8);
        out->codes[i + 16] = (int8_t)((p[2 + i] >> 4) - 8);
    }
}

static void unpack_q4_1(const uint8_t *row, size_t index, struct block *out)
{
    const uint8_t *p = row + index * 20;

    out->scale[0] = out->scale[1] = flo_half_at(p);
    out->offset = flo_half_at(p + 2);
    for (int i = 0; i < 16; i++) {
        out->codes[i] = (int8_t)(p[4 + i] & 15);
        out->codes[i + 16] = (int8_t)(p[4 + i] >> 4);
    }
}

static void unpack_q8_0(const uint8_t *row, size_t index, struct block *out)
{
    const uint8_t *p = row + index * 34;

    out->scale[0] = out->scale[1] = flo_half_at(p);
    out->offset = 0;
    memcpy(out->codes, p + 2, sizeof(out->codes));
}

/* Block of 256: f16 d, f16 dmin, 12 bytes of 6-bit scales and minima, then
 * 128 bytes of nibbles: 32 bytes hold sub-blocks 2k (low) and 2k+1 (high). */
static void unpack_q4_k(const uint8_t *row, size_t index, struct block *out)
{
    const uint8_t *p = row + index / 8 * 144;
    size_t sub = index % 8;
    const uint8_t *packed = p + 4;
    const uint8_t *nibbles = p + 16 + sub / 2 * 32;
    unsigned scale, minimum;

    if (sub < 4) {
        scale = packed[sub] & 63u;
        minimum = packed[sub + 4] & 63u;
    } else {
        scale = (packed[sub + 4] & 15u) | (packed[sub - 4] >> 6 << 4);
        minimum = (unsigned)(packed[sub + 4] >> 4) | (packed[sub] >> 6 << 4);
    }
    out->scale[0] = out->scale[1] = flo_half_at(p) * (float)scale;
    out->offset = -flo_half_at(p + 2) * (float)minimum;
    for (int i = 0; i < FLO_CODE_BLOCK; i++) {
        out->codes[i] = (int8_t)(sub % 2 ? nibbles[i] >> 4 : nibbles[i] & 15);
    }
}

/* Block of 256: 128 bytes of low nibbles, 64 of high 2 bits, 16 signed
 * scales, f16 d.  Each half of 128 holds four groups of 32. */
static void unpack_q6_k(const uint8_t *row, size_t index, struct block *out)
{
    const uint8_t *p = row + index / 8 * 210;
    size_t half = index % 8 / 4, group = index % 4;
    const uint8_t *low = p + half * 64 + group % 2 * 32;
    const uint8_t *high = p + 128 + half * 32;
    const uint8_t *scales = p + 192 + half * 8 + group * 2;
    size_t low_shift = group / 2 * 4, high_shift = group * 2;
    float d = flo_half_at(p + 208);

    out->scale[0] = d * (float)(int8_t)scales[0];
    out->scale[1] = d * (float)(int8_t)scales[1];
    out->offset = 0;
    for (int i = 0; i < FLO_CODE_BLOCK; i++) {
        int code = (low[i] >> low_shift & 15) | (high[i] >> high_shift & 3)
                                                    << 4;
        out->codes[i] = (int8_t)(code - 32);
    }
}

static inline int dot_16(const int8_t *a, const int16_t *b)
{
    int sum = 0;

    for (int i = 0; i < 16; i++) {
        sum += a[i] * b[i];
    }
    return sum;
}

static inline __attribute__((always_inline)) void
matmul_codes(unpack_fn *unpack, const void *weights, size_t row_bytes,
             size_t rows, const struct flo_activations *x, float *y,
             size_t stride)
{
    size_t blocks = x->columns / FLO_CODE_BLOCK;

    for (size_t r = 0; r < rows; r++) {
        const uint8_t *row = (const uint8_t *)weights + r * row_bytes;

        for (size_t t = 0; t < x->tokens; t++) {
            y[t * stride + r] = 0;
        }
        for (size_t b = 0; b < blocks; b++) {
            struct block w;

            unpack(row, b, &w);
            for (size_t t = 0; t < x->tokens; t++) {
                const int16_t *codes = x->codes + t * x->columns + b * 32;
                float low = (float)dot_16(w.codes, codes);
                float high = (float)dot_16(w.codes + 16, codes + 16);

                y[t * stride + r] += (w.scale[0] * low + w.scale[1] * high) *
                                         x->scales[t * blocks + b] +
                                     w.offset * x->sums[t * blocks + b];
            }
        }
    }
}

#define MATMUL_CODES(type)                                                     \
    static void matmul_##type(const void *weights, size_t row_bytes,           \
                              size_t rows, const struct flo_activations *x,    \
                              float *y, size_t stride)                         \
    {                                                                          \
        matmul_codes(unpack_##type, weights, row_bytes, rows, x, y, stride);   \
    }

MATMUL_CODES(q4_0)
MATMUL_CODES(q4_1)
MATMUL_CODES(q8_0)
MATMUL_CODES(q4_k)
MATMUL_CODES(q6_k)

/* ---- float types ------------------------------------------------------ */

typedef float load_fn(const uint8_t *p, size_t index);

static inline float load_f32(const uint8_t *p, size_t index)
{
    float value;

    memcpy(&value, p + index * 4, sizeof(value));
    return value;
}

static inline float load_f16(const uint8_t *p, size_t index)
{
    return flo_half_at(p + index * 2);
}

static inline float load_bf16(const uint8_t *p, size_t index)
{
    return flo_bfloat_at(p + index * 2);
}

static inline float dot_float(const float *a, const float *b, size_t count)
{
    float lanes[8] = {0};
    float sum = 0;
    size_t i = 0;

    for (; i + 8 <= count; i += 8) {
        for (size_t l = 0; l < 8; l++) {
            lanes[l] += a[i + l] * b[i + l];
        }
    }
    for (; i < count; i++) {
        sum += a[i] * b[i];
    }
    for (size_t l = 0; l < 8; l++) {
        sum += lanes[l];
    }
    return sum;
}

static inline __attribute__((always_inline)) void
matmul_float(load_fn *load, size_t value_bytes, const void *weights,
             size_t row_bytes, size_t rows, const struct flo_activations *x,
             float *y, size_t stride)
{
    enum { PIECE = 256 };
    float w[PIECE];

    for (size_t r = 0; r < rows; r++) {
        const uint8_t *row = (const uint8_t *)weights + r * row_bytes;

        for (size_t t = 0; t < x->tokens; t++) {
            y[t * stride + r] = 0;
        }
        for (size_t c = 0; c < x->columns; c += PIECE) {
            size_t count = x->columns - c < PIECE ? x->columns - c : PIECE;

            for (size_t i = 0; i < count; i++) {
                w[i] = load(row + c * value_bytes, i);
            }
            for (size_t t = 0; t < x->tokens; t++) {
                y[t * stride + r] +=
                    dot_float(w, x->values + t * x->columns + c, count);
            }
        }
    }
}

#define MATMUL_FLOAT(type, value_bytes)                                        \
    static void matmul_##type(const void *weights, size_t row_bytes,           \
                              size_t rows, const struct flo_activations *x,    \
                              float *y, size_t stride)                         \
    {                                                                          \
        matmul_float(load_##type, value_bytes, weights, row_bytes, rows, x, y, \
                     stride);                                                  \
    }

MATMUL_FLOAT(f32, 4)
MATMUL_FLOAT(f16, 2)
MATMUL_FLOAT(bf16, 2)

static bool is_supported(void)
{
    return true;
}

const struct flo_kernel flo_kernel_ref = {
    .name = "ref",
    .is_supported = is_supported,
    .matmul =
        {
            [FLO_QUANT_F32] = matmul_f32,
            [FLO_QUANT_F16] = matmul_f16,
            [FLO_QUANT_BF16] = matmul_bf16,
            [FLO_QUANT_Q4_0] = matmul_q4_0,
            [FLO_QUANT_Q4_1] = matmul_q4_1,
            [FLO_QUANT_Q8_0] = matmul_q8_0,
            [FLO_QUANT_Q4_K] = matmul_q4_k,
            [FLO_QUANT_Q6_K] = matmul_q6_k,
        },
    .quantise = flo_ref_quantise,
    .rms_norm = flo_ref_rms_norm,
    .layer_norm = flo_ref_layer_norm,
    .rope_pairs = flo_ref_rope_pairs,
    .rope_halves = flo_ref_rope_halves,
    .silu_multiply = flo_ref_silu_multiply,
    .gelu_multiply = flo_ref_gelu_multiply,
    .soft_cap = flo_ref_soft_cap,
    .add = flo_ref_add,
    .store = flo_ref_store,
    .attend = flo_ref_attend,
};

bool flo_weight_reads_codes(uint32_t type)
{
    return type != FLO_QUANT_F32 && type != FLO_QUANT_F16 &&
           type != FLO_QUANT_BF16;
}
