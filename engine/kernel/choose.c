/* Which kernel runs: by the CPU, by name, and only if it agrees with plain C.
 *
 * A compiler bug, an emulator or a broken CPU must cost speed, never answers:
 * each kernel is run against the reference on a small block of fixed numbers
 * before it is chosen. */
#include "engine/kernel/kernel.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/kernel/pack.h"
#if defined(__x86_64__)
#include "engine/kernel/x86/avx2.h"
#include "engine/kernel/x86/avx512.h"
#include "engine/kernel/x86/avx_vnni.h"
#elif defined(__aarch64__)
#include "engine/kernel/arm/neon.h"
#endif

/* Best first. */
static const struct flo_kernel *const kernels[] = {
#if defined(__x86_64__)
    &flo_kernel_avx512,
    &flo_kernel_avx_vnni,
    &flo_kernel_avx2,
#elif defined(__aarch64__)
    &flo_kernel_neon_i8mm,
    &flo_kernel_neon_dot,
    &flo_kernel_neon,
#endif
    &flo_kernel_ref,
};

enum {
    CHECK_COLUMNS = 512,
    CHECK_ODD = CHECK_COLUMNS - 6, /* even, but no multiple of 4 */
    CHECK_ROWS = 5,                /* not a multiple of any tile */
    CHECK_TOKENS = 5,
    CHECK_HEAD = 96,      /* wide and narrow steps */
    CHECK_POSITIONS = 37, /* over the end of a block of the cache */
    CHECK_BLOCKS = CHECK_COLUMNS / FLO_CODE_BLOCK,
};

struct check {
    float values[CHECK_TOKENS * CHECK_COLUMNS];
    int16_t codes[CHECK_TOKENS * CHECK_COLUMNS];
    float scales[CHECK_TOKENS * CHECK_BLOCKS];
    float sums[CHECK_TOKENS * CHECK_BLOCKS];
    uint8_t weights[CHECK_ROWS * CHECK_COLUMNS * 4];
    float expected[CHECK_TOKENS * CHECK_ROWS]; /* products with them */
    /* The same packed: one strip, as a type of 8 bits needs it. */
    _Alignas(FLO_STRIP_ALIGN) uint8_t strip[16 * CHECK_BLOCKS * (32 + 2)];
    int16_t packed_codes[CHECK_TOKENS * CHECK_COLUMNS];
    float packed_scales[CHECK_TOKENS * CHECK_BLOCKS];
    float packed_sums[CHECK_TOKENS * CHECK_BLOCKS * 2];
    uint64_t random;
};

/* xorshift64*: fixed numbers, the same everywhere. */
static uint32_t next(struct check *check)
{
    uint64_t x = check->random;

    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    check->random = x;
    return (uint32_t)(x * 0x2545f4914f6cdd1dull >> 32);
}

/* Between -1 and 1. */
static float next_float(struct check *check)
{
    return (float)(int32_t)next(check) * 0x1p-31f;
}

static void fill(struct check *check, float *values, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        values[i] = next_float(check);
    }
}

/* Do a and b differ by less than 1e-4 of b's size (root mean square)? */
static bool are_near(const float *a, const float *b, size_t count)
{
    double error = 0, size = 0;

    for (size_t i = 0; i < count; i++) {
        error += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
        size += (double)b[i] * b[i];
    }
    return error <= 1e-8 * size; /* false for NaN */
}

/* Random bytes with sane floats where the type has them. */
static void fill_weights(struct check *check, const struct flo_quant_type *type)
{
    size_t blocks = (size_t)CHECK_ROWS * CHECK_COLUMNS / type->block_values;
    uint8_t *p = check->weights;

    for (size_t i = 0; i < blocks * type->block_bytes; i++) {
        p[i] = (uint8_t)next(check);
    }
    for (size_t b = 0; b < blocks; b++, p += type->block_bytes) {
        float value = next_float(check);
        uint16_t half = flo_f32_to_f16(value);

        if (type->block_values == 1) {
            uint32_t bits = flo_bits_of_float(value);
            uint16_t top = (uint16_t)(bits >> 16);
            const void *from = type->id == FLO_QUANT_F32   ? (void *)&bits
                               : type->id == FLO_QUANT_F16 ? (void *)&half
                                                           : (void *)&top;
            memcpy(p, from, type->block_bytes);
        }
        for (int s = 0; s < type->scale_count; s++) {
            memcpy(p + type->scale_offset[s], &half, sizeof(half));
        }
    }
}

static bool matmul_agrees(const struct flo_kernel *kernel, struct check *check,
                          uint32_t id)
{
    const struct flo_quant_type *type = flo_quant_type(id);
    size_t row_bytes = flo_quant_bytes(type, CHECK_COLUMNS);
    struct flo_activations x = {
        .values = check->values,
        .codes = check->codes,
        .scales = check->scales,
        .sums = check->sums,
        .columns = CHECK_COLUMNS,
        .tokens = CHECK_TOKENS,
        .precision = FLO_PRECISION_16,
    };
    float got[CHECK_TOKENS * CHECK_ROWS];

    fill_weights(check, type);
    flo_kernel_ref.matmul[id](check->weights, row_bytes, CHECK_ROWS, &x,
                              check->expected, CHECK_ROWS);
    for (x.tokens = 1; x.tokens <= CHECK_TOKENS; x.tokens += 4) {
        kernel->matmul[id](check->weights, row_bytes, CHECK_ROWS, &x, got,
                           CHECK_ROWS);
        if (!are_near(got, check->expected, x.tokens * CHECK_ROWS)) {
            return false;
        }
    }
    return true;
}

/* The strip product of the weights that matmul_agrees() has left. */
static bool packed_agrees(const struct flo_kernel *kernel, struct check *check,
                          uint32_t id)
{
    struct flo_activations x = {
        .codes = check->packed_codes,
        .scales = check->packed_scales,
        .sums = check->packed_sums,
        .columns = CHECK_COLUMNS,
        .precision = FLO_PRECISION_16,
    };
    float got[CHECK_TOKENS * CHECK_ROWS];

    flo_pack_strip(id, check->weights,
                   flo_quant_bytes(flo_quant_type(id), CHECK_COLUMNS),
                   CHECK_ROWS, CHECK_COLUMNS, check->strip);
    for (x.tokens = 1; x.tokens <= CHECK_TOKENS; x.tokens += 4) {
        for (size_t t = 0; t < x.tokens; t++) {
            kernel->quantise_packed(check->values + t * CHECK_COLUMNS, &x, t);
        }
        kernel->matmul_packed[id](check->strip,
                                  flo_pack_strip_bytes(id, CHECK_COLUMNS),
                                  CHECK_ROWS, &x, got, CHECK_ROWS);
        if (!are_near(got, check->expected, x.tokens * CHECK_ROWS)) {
            return false;
        }
    }
    return true;
}

static bool codes_agree(const struct flo_kernel *kernel, struct check *check)
{
    int16_t codes[CHECK_COLUMNS];
    float scales[CHECK_BLOCKS], sums[CHECK_BLOCKS];

    kernel->quantise(check->values, CHECK_COLUMNS, FLO_PRECISION_16, codes,
                     scales, sums);
    for (size_t i = 0; i < CHECK_COLUMNS; i++) {
        if (abs(codes[i] - check->codes[i]) > 1) {
            return false;
        }
    }
    return are_near(scales, check->scales, CHECK_BLOCKS);
}

static const char *const row_operations[] = {
    "rms_norm", "layer_norm", "rope", "rope",         "silu",
    "gelu",     "soft_cap",   "add",  "low_rank_add",
};

/* Each of them on x and w, to a row of its own. */
static void run_rows(const struct flo_kernel *kernel, const float *x,
                     const float *w, float (*out)[CHECK_COLUMNS])
{
    for (size_t i = 0; i < FLO_COUNT(row_operations); i++) {
        memcpy(out[i], x, sizeof(*out));
    }
    kernel->rms_norm(x, w, 1e-5f, CHECK_ODD, out[0]);
    kernel->layer_norm(x, w, w + 1, 1e-5f, CHECK_ODD, out[1]);
    kernel->rope_pairs(out[2], w, w + 8, CHECK_ODD);
    kernel->rope_halves(out[3], w, w + 8, CHECK_ODD);
    kernel->silu_multiply(out[4], w, CHECK_ODD);
    kernel->gelu_multiply(out[5], w, CHECK_ODD);
    kernel->gelu_multiply(out[5], NULL, CHECK_ODD);
    kernel->soft_cap(out[6], 0.7f, CHECK_ODD);
    kernel->add(out[7], w, CHECK_ODD);
    kernel->low_rank_add(w, 1, 3, x, out[8], CHECK_ODD);
}

static bool rows_agree(const struct flo_kernel *kernel,
                       const struct check *check, const char **what)
{
    const float *x = check->values, *w = check->values + CHECK_COLUMNS;
    float expected[FLO_COUNT(row_operations)][CHECK_COLUMNS];
    float got[FLO_COUNT(row_operations)][CHECK_COLUMNS];

    run_rows(&flo_kernel_ref, x, w, expected);
    run_rows(kernel, x, w, got);
    for (size_t i = 0; i < FLO_COUNT(row_operations); i++) {
        *what = row_operations[i];
        if (!are_near(got[i], expected[i], CHECK_ODD)) {
            return false;
        }
    }
    return true;
}

/* Everything seen, or (`is_local`) a window and capped scores. */
static bool attention_agrees(const struct flo_kernel *kernel,
                             struct check *check, enum flo_cache type,
                             bool is_local)
{
    enum { ROOM = CHECK_HEAD * 48 };
    static const size_t lengths[] = {1, CHECK_POSITIONS, 16, 17};
    static const size_t firsts[] = {0, 29, 15, 3};
    float out[2][FLO_ATTEND_ROWS][CHECK_HEAD] = {0};
    const struct flo_kernel *pair[] = {&flo_kernel_ref, kernel};

    for (int k = 0; k < 2; k++) {
        float keys[ROOM] = {0}, values[ROOM] = {0};
        struct flo_attention a = {
            .keys = keys,
            .values = values,
            .type = type,
            .head_size = CHECK_HEAD,
            .scale = 0.3f,
            .cap = is_local ? 0.5f : 0,
            .rows = FLO_ATTEND_ROWS,
        };

        for (size_t p = 0; p < CHECK_POSITIONS; p++) {
            const float *from = check->values + p * (CHECK_HEAD / 2);
            pair[k]->store(from, from + 7, CHECK_HEAD, p, type, keys, values);
        }
        for (size_t r = 0; r < FLO_ATTEND_ROWS; r++) {
            a.queries[r] = check->values + r * 100;
            a.out[r] = out[k][r];
            a.firsts[r] = is_local ? firsts[r] : 0;
            a.lengths[r] = lengths[r];
        }
        pair[k]->attend(&a);
    }
    return are_near(out[1][0], out[0][0], sizeof(out[0]) / sizeof(float));
}

bool flo_kernel_agrees(const struct flo_kernel *kernel, const char **what)
{
    struct check check = {.random = 0x9e3779b97f4a7c15ull};

    fill(&check, check.values, FLO_COUNT(check.values));
    for (size_t t = 0; t < CHECK_TOKENS; t++) {
        flo_kernel_ref.quantise(
            check.values + t * CHECK_COLUMNS, CHECK_COLUMNS, FLO_PRECISION_16,
            check.codes + t * CHECK_COLUMNS, check.scales + t * CHECK_BLOCKS,
            check.sums + t * CHECK_BLOCKS);
    }
    *what = "quantise";
    if (!codes_agree(kernel, &check)) {
        return false;
    }
    for (uint32_t id = 0; id < FLO_QUANT_ID_COUNT; id++) {
        if (kernel->matmul[id] == NULL) {
            continue;
        }
        *what = flo_quant_type(id)->name;
        if (!matmul_agrees(kernel, &check, id)) {
            return false;
        }
        *what = "packed weights";
        if (kernel->matmul_packed[id] != NULL &&
            !packed_agrees(kernel, &check, id)) {
            return false;
        }
    }
    if (!rows_agree(kernel, &check, what)) {
        return false;
    }
    *what = "attention";
    for (int i = 0; i < 2 * FLO_CACHE_COUNT; i++) {
        if (!attention_agrees(kernel, &check, (enum flo_cache)(i / 2),
                              i % 2 != 0)) {
            return false;
        }
    }
    return true;
}

const struct flo_kernel *flo_kernel_at(size_t index)
{
    return index < FLO_COUNT(kernels) ? kernels[index] : NULL;
}

static bool is_usable(const struct flo_kernel *kernel, bool trusts)
{
    const char *what = "";

    if (trusts || kernel == &flo_kernel_ref ||
        flo_kernel_agrees(kernel, &what)) {
        return true;
    }
    flo_log(FLO_LOG_ERROR, "engine",
            "kernel %s disagrees with plain C on %s and is not used",
            kernel->name, what);
    return false;
}

int flo_kernel_choose(const char *name, bool trusts,
                      const struct flo_kernel **kernel, struct flo_err *err)
{
    for (size_t i = 0; i < FLO_COUNT(kernels); i++) {
        bool is_named = name != NULL && strcmp(kernels[i]->name, name) == 0;

        if ((name != NULL && !is_named) || !kernels[i]->is_supported()) {
            continue;
        }
        if (is_usable(kernels[i], trusts)) {
            *kernel = kernels[i];
            return 0;
        }
        if (is_named) {
            return flo_fail(err, FLO_E_INTERNAL,
                            "kernel %s disagrees with plain C", name);
        }
    }
    return flo_fail(err, FLO_E_USAGE,
                    "kernel %s: not known or not supported by this CPU", name);
}
