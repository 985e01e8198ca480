/* Ref: the table of the plain C kernel, and its products with float weights.
 * Every other kernel is compared with this one, which also runs on CPUs that no
 * other kernel supports.  Loops are written so that a compiler can vectorise
 * them without reordering floats. */
#include "engine/kernel/kernel.h"

#include "engine/kernel/ref.h"

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
matmul_float(const uint32_t id, const void *weights, size_t row_bytes, size_t rows,
             const struct flo_activations *x, float *y, size_t stride)
{
    enum { PIECE = 256 };
    const size_t value_bytes = id == FLO_QUANT_F32 ? 4 : 2;
    float w[PIECE];

    for (size_t r = 0; r < rows; r++) {
        const uint8_t *row = (const uint8_t *)weights + r * row_bytes;

        for (size_t t = 0; t < x->tokens; t++) {
            y[t * stride + r] = 0;
        }
        for (size_t c = 0; c < x->columns; c += PIECE) {
            size_t count = x->columns - c < PIECE ? x->columns - c : PIECE;

            for (size_t i = 0; i < count; i++) {
                w[i] = flo_quant_float_at(id, row + c * value_bytes, i);
            }
            for (size_t t = 0; t < x->tokens; t++) {
                y[t * stride + r] += dot_float(w, x->values + t * x->columns + c, count);
            }
        }
    }
}

#define MATMUL_FLOAT(with, type, id)                                                               \
    void flo_ref_matmul_##type(const void *weights, size_t row_bytes, size_t rows,                 \
                               const struct flo_activations *x, float *y, size_t stride)           \
    {                                                                                              \
        matmul_float(FLO_QUANT_##id, weights, row_bytes, rows, x, y, stride);                      \
    }

FLO_QUANT_FLOAT_TYPES(MATMUL_FLOAT, )

static bool is_supported(void)
{
    return true;
}

const struct flo_kernel flo_kernel_ref = {
    .name = "ref",
    .is_supported = is_supported,
    .matmul = {FLO_QUANT_FLOAT_TYPES(FLO_MATMUL_ROW, flo_ref_matmul_)
                   FLO_QUANT_CODE_TYPES(FLO_MATMUL_ROW, flo_ref_matmul_)},
    .quantise = flo_ref_quantise,
    .rms_norm = flo_ref_rms_norm,
    .layer_norm = flo_ref_layer_norm,
    .rope_pairs = flo_ref_rope_pairs,
    .rope_halves = flo_ref_rope_halves,
    .silu_multiply = flo_ref_silu_multiply,
    .gelu_multiply = flo_ref_gelu_multiply,
    .soft_cap = flo_ref_soft_cap,
    .add = flo_ref_add,
    .low_rank_add = flo_ref_low_rank_add,
    .recur = flo_ref_recur,
    .recall = flo_ref_recall,
    .store = flo_ref_store,
    .attend = flo_ref_attend,
};

bool flo_weight_reads_codes(uint32_t type)
{
    return type != FLO_QUANT_F32 && type != FLO_QUANT_F16 && type != FLO_QUANT_BF16;
}
