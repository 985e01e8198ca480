/* Choose: selects a kernel by its name or for this CPU, if it agrees with plain
 * C.  A compiler bug, an emulator or a broken CPU may cost speed, but must
 * never change answers.  So each kernel is compared with plain C before it is
 * used: on fixed random numbers, on the largest and smallest codes, and for each
 * number of rows and values that leaves a tail. */
#include "engine/kernel/kernel.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/kernel/pack.h"
#if defined(__x86_64__)
#include "engine/kernel/x86/avx2/avx2.h"
#include "engine/kernel/x86/avx512/avx512.h"
#include "engine/kernel/x86/avx_vnni.h"
#include "engine/kernel/x86/narrow/narrow.h"
#elif defined(__aarch64__)
#include "engine/kernel/arm/neon.h"
#endif

/* Best first. */
static const struct flo_kernel *const kernels[] = {
#if defined(__x86_64__)
    &flo_kernel_avx512, &flo_kernel_avx_vnni, &flo_kernel_avx2, &flo_kernel_avx, &flo_kernel_sse42,
#elif defined(__aarch64__)
    &flo_kernel_neon_i8mm,
    &flo_kernel_neon_dot,
    &flo_kernel_neon,
#endif
    &flo_kernel_ref,
};

enum {
    CHECK_COLUMNS = 512,
    CHECK_ODD = CHECK_COLUMNS - 6, /* an even number of columns that is not a multiple of 4 */
    CHECK_TAILS = 16,              /* even lengths, down to one vector of 32 floats less */
    CHECK_BLOCKS = CHECK_COLUMNS / FLO_CODE_BLOCK,
    CHECK_ROWS = 37, /* two strips and a part of a third; no multiple of a tile's rows */
    CHECK_TOKENS = 6,
    /* Numbers of distinct rows and strips.  They are few, as plain C and
     * packing are slow. */
    CHECK_SOURCES = 5,
    CHECK_STRIPS = 2,
    /* head size for which kernels use both their wide and their narrow loops */
    CHECK_HEAD = 96,
    CHECK_POSITIONS = 37, /* positions that end inside a block of the cache */
};

/* Numbers of tokens in a product.  They are one token, and tiles with one and
 * two tokens left over. */
static const size_t token_counts[] = {1, 5, CHECK_TOKENS};

/* Returns the index of the first number of tokens.  Products with extreme weights
 * nearly cancel, so only those with the extreme tokens, which are the last ones,
 * are large enough to be compared. */
static size_t first_count(bool is_extreme)
{
    return is_extreme ? FLO_COUNT(token_counts) - 1 : 0;
}

/* Data of a check.  Arrays with the factor 2 have the codes and results for
 * PRECISION_16 first, then those for PRECISION_8. */
struct check {
    float values[CHECK_TOKENS * CHECK_COLUMNS];
    int16_t codes[2 * CHECK_TOKENS * CHECK_COLUMNS];
    float scales[2 * CHECK_TOKENS * CHECK_BLOCKS];
    float sums[2 * CHECK_TOKENS * CHECK_BLOCKS];
    uint8_t weights[CHECK_ROWS * CHECK_COLUMNS * 4];
    float expected[2 * CHECK_TOKENS * CHECK_ROWS]; /* products with them */
    /* weights in packed form, with as many bytes as a type of 8 bits needs */
    _Alignas(FLO_STRIP_ALIGN) uint8_t strips[(CHECK_STRIPS + 1) * 16 * CHECK_BLOCKS * (32 + 2)];
    int16_t packed_codes[CHECK_TOKENS * CHECK_COLUMNS];
    float packed_scales[CHECK_TOKENS * CHECK_BLOCKS];
    float packed_sums[CHECK_TOKENS * CHECK_BLOCKS * 2];
    uint64_t random;
};

/* Returns which of the few distinct rows is used at `row`.  Rows that are 1, 2,
 * 4, 8 or 16 apart differ, so that swapped lanes of a register are noticed.
 * Adjacent strips differ too. */
static size_t source_of(size_t row)
{
    return row % (CHECK_STRIPS * FLO_STRIP_ROWS) % CHECK_SOURCES;
}

/* Returns a pseudo-random number (xorshift64*), the same on every machine. */
static uint32_t next(struct check *check)
{
    uint64_t x = check->random;

    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    check->random = x;
    return (uint32_t)(x * 0x2545f4914f6cdd1dull >> 32);
}

/* Returns a number between -1 and 1. */
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

/* Makes the last two tokens extreme: all codes are the largest one, then with
 * alternating signs.  So sums in too few bits overflow. */
static void fill_extremes(struct check *check)
{
    float *last = check->values + (CHECK_TOKENS - 2) * CHECK_COLUMNS;

    for (size_t i = 0; i < 2 * CHECK_COLUMNS; i++) {
        last[i] = i < CHECK_COLUMNS || i % 2 == 0 ? 1.0f : -1.0f;
    }
}

/* Tells whether a and b are near: their difference is below `most` of b's size
 * (root mean square). */
static bool are_within(const float *a, const float *b, size_t count, double most)
{
    double error = 0, size = 0;

    for (size_t i = 0; i < count; i++) {
        error += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
        size += (double)b[i] * b[i];
    }
    return error <= most * most * size; /* false for NaN */
}

static bool are_near(const float *a, const float *b, size_t count)
{
    return are_within(a, b, count, 1e-4);
}

/* Tells whether products are near.  Extreme weights have extreme scales, which
 * packing rounds to 11 bits; an overflow is off by far more. */
static bool products_are_near(const float *a, const float *b, size_t count, bool is_extreme)
{
    return are_within(a, b, count, is_extreme ? 1e-3 : 1e-4);
}

/* Fills the weights with random bytes, and gives the floats among them valid
 * values.  With is_extreme, rows have the largest and the smallest codes. */
static void fill_weights(struct check *check, const struct flo_quant_type *type, bool is_extreme)
{
    static const uint8_t extremes[CHECK_SOURCES] = {0xff, 0x00, 0x7f, 0x80, 0xf0};

    size_t row_bytes = flo_quant_bytes(type, CHECK_COLUMNS);
    size_t bytes = CHECK_SOURCES * row_bytes;
    uint8_t *end = check->weights + bytes;

    for (size_t i = 0; i < bytes; i += sizeof(uint32_t)) {
        uint32_t word = next(check);
        memcpy(check->weights + i, &word, sizeof(word));
    }
    for (size_t r = 0; is_extreme && r < CHECK_SOURCES; r++) {
        memset(check->weights + r * row_bytes, extremes[r], row_bytes);
    }
    for (uint8_t *p = check->weights; p < end; p += type->block_bytes) {
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
        flo_quant_put_scale(type, p, value);
    }
    for (size_t r = CHECK_SOURCES; r < CHECK_ROWS; r++) {
        memcpy(check->weights + r * row_bytes, check->weights + source_of(r) * row_bytes,
               row_bytes);
    }
}

/* Computes with plain C the results that a kernel must have. */
static void expect_products(struct check *check, uint32_t id, size_t row_bytes)
{
    enum { TOKENS = 2 * CHECK_TOKENS };
    float few[TOKENS * CHECK_SOURCES];
    const struct flo_activations x = {
        .values = check->values,
        .codes = check->codes,
        .scales = check->scales,
        .sums = check->sums,
        .columns = CHECK_COLUMNS,
        .tokens = flo_weight_reads_codes(id) ? TOKENS : CHECK_TOKENS,
    };

    flo_kernel_ref.matmul[id](check->weights, row_bytes, CHECK_SOURCES, &x, few, CHECK_SOURCES);
    for (size_t i = 0; i < x.tokens * CHECK_ROWS; i++) {
        check->expected[i] = few[i / CHECK_ROWS * CHECK_SOURCES + source_of(i % CHECK_ROWS)];
    }
}

static bool matmul_agrees(const struct flo_kernel *kernel, struct check *check, uint32_t id,
                          bool is_extreme)
{
    const struct flo_quant_type *type = flo_quant_type(id);
    size_t row_bytes = flo_quant_bytes(type, CHECK_COLUMNS);
    struct flo_activations x = {
        .values = check->values,
        .codes = check->codes,
        .scales = check->scales,
        .sums = check->sums,
        .columns = CHECK_COLUMNS,
        .precision = FLO_PRECISION_16,
    };
    float got[CHECK_TOKENS * CHECK_ROWS], few[CHECK_ROWS];

    fill_weights(check, type, is_extreme);
    expect_products(check, id, row_bytes);
    for (size_t i = first_count(is_extreme); i < FLO_COUNT(token_counts); i++) {
        x.tokens = token_counts[i];
        kernel->matmul[id](check->weights, row_bytes, CHECK_ROWS, &x, got, CHECK_ROWS);
        if (!products_are_near(got, check->expected, x.tokens * CHECK_ROWS, is_extreme)) {
            return false;
        }
    }
    x.tokens = 1;
    kernel->matmul[id](check->weights, row_bytes, CHECK_ROWS, &x, got, CHECK_ROWS);
    for (size_t rows = 1; !is_extreme && rows < FLO_STRIP_ROWS; rows++) {
        kernel->matmul[id](check->weights, row_bytes, rows, &x, few, CHECK_ROWS);
        if (memcmp(few, got, rows * sizeof(*few)) != 0) {
            return false; /* a row's product depends on no other row */
        }
    }
    return true;
}

/* Checks the products with strips, which are packed from the weights of
 * matmul_agrees(). */
static bool strips_agree(const struct flo_kernel *kernel, struct check *check, uint32_t id,
                         enum flo_precision precision, bool is_extreme)
{
    struct flo_activations x = {
        .codes = check->packed_codes,
        .scales = check->packed_scales,
        .sums = check->packed_sums,
        .columns = CHECK_COLUMNS,
        .precision = precision,
    };
    const float *expected =
        check->expected + (precision == FLO_PRECISION_8 ? CHECK_TOKENS * CHECK_ROWS : 0);
    float got[CHECK_TOKENS * CHECK_ROWS], few[CHECK_ROWS];

    for (size_t i = first_count(is_extreme); i < FLO_COUNT(token_counts); i++) {
        x.tokens = token_counts[i];
        for (size_t t = 0; t < x.tokens; t++) {
            kernel->quantise_packed(check->values + t * CHECK_COLUMNS, &x, t);
        }
        kernel->matmul_packed[id](check->strips, flo_pack_strip_bytes(id, CHECK_COLUMNS),
                                  CHECK_ROWS, &x, got, CHECK_ROWS);
        if (!products_are_near(got, expected, x.tokens * CHECK_ROWS, is_extreme)) {
            return false;
        }
    }
    x.tokens = 1;
    kernel->quantise_packed(check->values, &x, 0);
    kernel->matmul_packed[id](check->strips, flo_pack_strip_bytes(id, CHECK_COLUMNS), CHECK_ROWS,
                              &x, got, CHECK_ROWS);
    for (size_t rows = 1; !is_extreme && rows < FLO_STRIP_ROWS; rows++) {
        kernel->matmul_packed[id](check->strips, flo_pack_strip_bytes(id, CHECK_COLUMNS), rows, &x,
                                  few, CHECK_ROWS);
        if (memcmp(few, got, rows * sizeof(*few)) != 0) {
            return false;
        }
    }
    return true;
}

static bool packed_agrees(const struct flo_kernel *kernel, struct check *check, uint32_t id,
                          bool is_extreme)
{
    size_t strip_bytes = flo_pack_strip_bytes(id, CHECK_COLUMNS);
    size_t row_bytes = flo_quant_bytes(flo_quant_type(id), CHECK_COLUMNS);

    for (size_t s = 0; s < CHECK_STRIPS; s++) {
        flo_pack_strip(id, check->weights + s * FLO_STRIP_ROWS * row_bytes, row_bytes,
                       FLO_STRIP_ROWS, CHECK_COLUMNS, check->strips + s * strip_bytes);
    }
    memcpy(check->strips + CHECK_STRIPS * strip_bytes, check->strips, strip_bytes);
    return strips_agree(kernel, check, id, FLO_PRECISION_8, is_extreme) &&
           strips_agree(kernel, check, id, FLO_PRECISION_16, is_extreme);
}

/* Compares the codes that the kernel makes of the first token, in both
 * precisions. */
static bool codes_agree(const struct flo_kernel *kernel, struct check *check)
{
    int16_t codes[CHECK_COLUMNS];
    float scales[CHECK_BLOCKS], sums[CHECK_BLOCKS];

    for (size_t t = 0; t < 2 * CHECK_TOKENS; t += CHECK_TOKENS) {
        kernel->quantise(check->values, CHECK_COLUMNS, t == 0 ? FLO_PRECISION_16 : FLO_PRECISION_8,
                         codes, scales, sums);
        for (size_t i = 0; i < CHECK_COLUMNS; i++) {
            if (abs(codes[i] - check->codes[t * CHECK_COLUMNS + i]) > 1) {
                return false;
            }
        }
        if (!are_near(scales, check->scales + t * CHECK_BLOCKS, CHECK_BLOCKS)) {
            return false;
        }
    }
    return true;
}

static const char *const row_operations[] = {
    "rms_norm", "layer_norm", "rope",         "rope",  "silu",   "gelu",
    "soft_cap", "add",        "low_rank_add", "recur", "recall",
};

/* Runs a step of a recurrent state, and reads the state. */
static void run_recurrence(const struct flo_kernel *kernel, const float *x, const float *w,
                           size_t count, float (*out)[CHECK_COLUMNS])
{
    float state[3 * CHECK_COLUMNS];
    const struct flo_recurrence r = {state, 3, count, 0.7f, w, x};

    for (size_t i = 0; i < r.keys * r.values; i++) {
        state[i] = x[i % count] - w[i / 3];
    }
    kernel->recur(&r, w, out[0]);
    kernel->recall(&r, out[1]);
}

/* Runs each operation on the vectors x and w.  Each result is in a row of its
 * own. */
static void run_rows(const struct flo_kernel *kernel, const float *x, const float *w, size_t count,
                     float (*out)[CHECK_COLUMNS])
{
    for (size_t i = 0; i < FLO_COUNT(row_operations); i++) {
        memcpy(out[i], x, sizeof(*out));
    }
    kernel->rms_norm(x, w, 1e-5f, count, out[0]);
    kernel->layer_norm(x, w, w + 1, 1e-5f, count, out[1]);
    kernel->rope_pairs(out[2], w, w + 8, count);
    kernel->rope_halves(out[3], w, w + 8, count);
    kernel->silu_multiply(out[4], w, count);
    kernel->gelu_multiply(out[5], w, count);
    kernel->gelu_multiply(out[5], NULL, count);
    kernel->soft_cap(out[6], 0.7f, count);
    kernel->add(out[7], w, count);
    kernel->low_rank_add(w, 1, 3, x, out[8], count);
    run_recurrence(kernel, x, w, count, out + 9);
}

static bool rows_agree(const struct flo_kernel *kernel, const struct check *check,
                       const char **what)
{
    const float *x = check->values, *w = check->values + CHECK_COLUMNS;
    float expected[FLO_COUNT(row_operations)][CHECK_COLUMNS];
    float got[FLO_COUNT(row_operations)][CHECK_COLUMNS];

    /* Each number of values behind the last whole vector of any width. */
    for (size_t count = CHECK_ODD; count > CHECK_ODD - 2 * CHECK_TAILS; count -= 2) {
        run_rows(&flo_kernel_ref, x, w, count, expected);
        run_rows(kernel, x, w, count, got);
        for (size_t i = 0; i < FLO_COUNT(row_operations); i++) {
            *what = row_operations[i];
            if (!are_near(got[i], expected[i], count)) {
                return false;
            }
        }
    }
    return true;
}

/* Computes attention for the first `rows` queries over a cache that the kernel
 * has filled.  With `is_local` only a window is attended to, and scores are
 * capped. */
static void attend(const struct flo_kernel *kernel, const struct check *check,
                   struct flo_attention a, bool is_local, size_t rows,
                   float out[FLO_ATTEND_ROWS][CHECK_HEAD])
{
    static const size_t lengths[] = {CHECK_POSITIONS, 1, 16, 17};
    static const size_t firsts[] = {29, 0, 15, 3};

    a.cap = is_local ? 0.5f : 0;
    a.rows = rows;
    for (size_t r = 0; r < rows; r++) {
        a.queries[r] = check->values + r * 100;
        a.out[r] = out[r];
        a.firsts[r] = is_local ? firsts[r] : 0;
        a.lengths[r] = lengths[r];
    }
    kernel->attend(&a);
}

static bool attention_agrees(const struct flo_kernel *kernel, const struct check *check,
                             enum flo_cache type, size_t head)
{
    enum { ROOM = CHECK_HEAD * 48 };
    const struct flo_kernel *pair[] = {&flo_kernel_ref, kernel};
    float keys[2][ROOM], values[2][ROOM];
    struct flo_attention a[2];

    memset(keys, 0, sizeof(keys));
    memset(values, 0, sizeof(values));
    for (int k = 0; k < 2; k++) {
        a[k] = (struct flo_attention){
            .keys = keys[k],
            .values = values[k],
            .type = type,
            .head_size = head,
            .scale = 0.3f,
        };
        for (size_t p = 0; p < CHECK_POSITIONS; p++) {
            const float *from = check->values + p * (head / 2);
            pair[k]->store(from, from + 7, head, p, type, keys[k], values[k]);
        }
    }
    for (int is_local = 0; is_local < 2; is_local++) {
        float expected[FLO_ATTEND_ROWS][CHECK_HEAD] = {0};

        attend(&flo_kernel_ref, check, a[0], is_local, FLO_ATTEND_ROWS, expected);
        for (size_t rows = 1; rows <= FLO_ATTEND_ROWS; rows++) {
            float got[FLO_ATTEND_ROWS][CHECK_HEAD] = {0};

            attend(kernel, check, a[1], is_local, rows, got);
            if (!are_near(got[0], expected[0], rows * CHECK_HEAD)) {
                return false;
            }
        }
    }
    return true;
}

/* Compares the products with one type of weights, and with these weights
 * packed. */
static bool products_agree(const struct flo_kernel *kernel, struct check *check, uint32_t id,
                           bool is_extreme, const char **what)
{
    *what = flo_quant_type(id)->name;
    if (!matmul_agrees(kernel, check, id, is_extreme)) {
        return false;
    }
    *what = "packed weights";
    return kernel->matmul_packed[id] == NULL || packed_agrees(kernel, check, id, is_extreme);
}

/* Makes codes of all tokens with plain C. */
static void quantise_all(struct check *check)
{
    for (size_t t = 0; t < 2 * CHECK_TOKENS; t++) {
        flo_kernel_ref.quantise(check->values + t % CHECK_TOKENS * CHECK_COLUMNS, CHECK_COLUMNS,
                                t < CHECK_TOKENS ? FLO_PRECISION_16 : FLO_PRECISION_8,
                                check->codes + t * CHECK_COLUMNS, check->scales + t * CHECK_BLOCKS,
                                check->sums + t * CHECK_BLOCKS);
    }
}

/* Compares the products of all types that the kernel knows. */
static bool all_products_agree(const struct flo_kernel *kernel, struct check *check,
                               bool is_extreme, const char **what)
{
    for (uint32_t id = 0; id < FLO_QUANT_ID_COUNT; id++) {
        bool is_checked = kernel->matmul[id] != NULL && (!is_extreme || flo_weight_reads_codes(id));
        if (is_checked && !products_agree(kernel, check, id, is_extreme, what)) {
            return false;
        }
    }
    return true;
}

bool flo_kernel_agrees(const struct flo_kernel *kernel, const char **what)
{
    struct check check = {.random = 0x9e3779b97f4a7c15ull};

    fill(&check, check.values, FLO_COUNT(check.values));
    quantise_all(&check);
    *what = "quantise";
    if (!codes_agree(kernel, &check) || !all_products_agree(kernel, &check, false, what) ||
        !rows_agree(kernel, &check, what)) {
        return false;
    }
    *what = "attention";
    for (int type = 0; type < FLO_CACHE_COUNT; type++) {
        if (!attention_agrees(kernel, &check, (enum flo_cache)type, 64) ||
            !attention_agrees(kernel, &check, (enum flo_cache)type, CHECK_HEAD)) {
            return false;
        }
    }
    fill_extremes(&check);
    quantise_all(&check);
    return all_products_agree(kernel, &check, true, what);
}

const struct flo_kernel *flo_kernel_at(size_t index)
{
    return index < FLO_COUNT(kernels) ? kernels[index] : NULL;
}

void flo_kernel_names(bool are_usable, char *names, size_t bytes)
{
    names[0] = '\0';
    for (size_t i = 0; i < FLO_COUNT(kernels); i++) {
        size_t used = strlen(names);

        if (!are_usable || kernels[i]->is_supported()) {
            snprintf(names + used, bytes - used, "%s%s", used > 0 ? " " : "", kernels[i]->name);
        }
    }
}

const char *flo_kernel_spec(const char *name)
{
    if (name == NULL) {
        name = getenv("FLOTILLA_KERNEL");
    }
    return name != NULL && name[0] == '\0' ? NULL : name;
}

static bool is_usable(const struct flo_kernel *kernel, bool trusts)
{
    const char *what = "";

    if (trusts || kernel == &flo_kernel_ref || flo_kernel_agrees(kernel, &what)) {
        return true;
    }
    flo_log(FLO_LOG_ERROR, "engine", "kernel %s disagrees with plain C on %s and is not used",
            kernel->name, what);
    return false;
}

int flo_kernel_choose(const char *name, bool trusts, const struct flo_kernel **kernel,
                      struct flo_err *err)
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
            return flo_fail(err, FLO_E_INTERNAL, "kernel %s disagrees with plain C", name);
        }
    }
    char names[FLO_KERNEL_NAMES_BYTES];

    flo_kernel_names(true, names, sizeof(names));
    flo_fail(err, FLO_E_USAGE, "kernel %s: not known or not supported by this CPU", name);
    flo_err_fix(err, "this CPU has %s", names);
    return FLO_E_USAGE;
}
