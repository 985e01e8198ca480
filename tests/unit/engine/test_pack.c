/* Packed weights: the same codes, and the same products. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/kernel/kernel.h"
#include "engine/kernel/pack.h"
#include "engine/kernel/ref.h"

enum {
    COLUMNS = 768,
    BLOCKS = COLUMNS / FLO_CODE_BLOCK,
    ROWS = 37, /* the last of three strips has five */
    TOKENS = 67,
    STRIPS = (ROWS + FLO_STRIP_ROWS - 1) / FLO_STRIP_ROWS,
};

static const uint32_t types[] = {
    FLO_QUANT_Q4_0,   FLO_QUANT_Q4_1,   FLO_QUANT_Q5_0,  FLO_QUANT_Q5_1,  FLO_QUANT_Q8_0,
    FLO_QUANT_Q2_K,   FLO_QUANT_Q3_K,   FLO_QUANT_Q4_K,  FLO_QUANT_Q5_K,  FLO_QUANT_Q6_K,
    FLO_QUANT_IQ4_NL, FLO_QUANT_IQ4_XS, FLO_QUANT_MXFP4, FLO_QUANT_TQ2_0,
};

static const size_t token_counts[] = {1, 2, 3, 4, 5, 6, 7, 8, 11, 13, 32, 33, TOKENS};

static float noise(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return (float)(int32_t)*state * 0x1p-31f;
}

struct matrix {
    size_t columns, row_bytes, strip_bytes;
    uint8_t *data, *strips;
    float *exact; /* [ROWS][columns] */
};

static void matrix_pack(struct matrix *m, uint32_t type)
{
    for (size_t s = 0; s < STRIPS; s++) {
        size_t first = s * FLO_STRIP_ROWS;
        size_t left = ROWS - first;

        flo_pack_strip(type, m->data + first * m->row_bytes, m->row_bytes,
                       left < FLO_STRIP_ROWS ? left : FLO_STRIP_ROWS, m->columns,
                       m->strips + s * m->strip_bytes);
    }
    flo_quant_type(type)->decode(m->data, m->exact, ROWS * m->columns);
}

static void matrix_make(struct matrix *m, uint32_t type, size_t columns)
{
    const struct flo_quant_type *quant = flo_quant_type(type);
    uint32_t state = 3 + type;

    m->columns = columns;
    m->row_bytes = flo_quant_bytes(quant, columns);
    m->strip_bytes = flo_pack_strip_bytes(type, columns);
    m->data = malloc(ROWS * m->row_bytes);
    m->strips = aligned_alloc(FLO_STRIP_ALIGN, STRIPS * m->strip_bytes);
    m->exact = malloc(ROWS * columns * sizeof(float));
    for (size_t i = 0; i < ROWS * columns; i++) {
        m->exact[i] = noise(&state);
    }
    quant->encode(m->exact, m->data, ROWS * columns);
    matrix_pack(m, type);
}

static void matrix_free(struct matrix *m)
{
    free(m->data);
    free(m->strips);
    free(m->exact);
}

struct input {
    float values[TOKENS * COLUMNS];
    int16_t codes[TOKENS * COLUMNS];
    float scales[TOKENS * BLOCKS];
    float sums[TOKENS * BLOCKS * 2];
};
static struct input input;

static struct flo_activations activations(size_t columns, size_t tokens,
                                          enum flo_precision precision)
{
    return (struct flo_activations){
        .values = input.values,
        .codes = input.codes,
        .scales = input.scales,
        .sums = input.sums,
        .columns = columns,
        .tokens = tokens,
        .precision = precision,
    };
}

/* Whole numbers that codes hold exactly: `most` is the largest code, and in
 * every block. */
static void fill_whole(float most)
{
    uint32_t state = 5;

    for (size_t i = 0; i < TOKENS * COLUMNS; i++) {
        input.values[i] =
            i % 32 == i / 32 % 32 ? (i % 2 ? most : -most) : roundf(noise(&state) * most);
    }
}

static void fill_noise(void)
{
    uint32_t state = 7;

    for (size_t i = 0; i < TOKENS * COLUMNS; i++) {
        input.values[i] = noise(&state) * (i % 61 == 0 ? 100.0f : 1.0f);
    }
}

static void quantise(const struct flo_kernel *kernel, const struct flo_activations *x)
{
    for (size_t t = 0; t < x->tokens; t++) {
        kernel->quantise_packed(input.values + t * x->columns, x, t);
    }
}

/* Reads strips; main() goes through all that this CPU supports. */
static const struct flo_kernel *chosen;

/* Largest difference to a double-precision product, relative to the sizes
 * that were added up. */
static double product_error(const struct flo_kernel *kernel, uint32_t type, const struct matrix *m,
                            size_t tokens, enum flo_precision precision)
{
    struct flo_activations x = activations(m->columns, tokens, precision);
    static float y[TOKENS * (ROWS + 2)];
    double worst = 0;

    for (size_t i = 0; i < FLO_COUNT(y); i++) {
        y[i] = 12345.0f;
    }
    quantise(kernel, &x);
    kernel->matmul_packed[type](m->strips, m->strip_bytes, ROWS, &x, y, ROWS + 2);
    for (size_t i = 0; i < tokens * ROWS; i++) {
        size_t t = i / ROWS, r = i % ROWS;
        double sum = 0, size = 0;

        for (size_t c = 0; c < m->columns; c++) {
            double p =
                (double)m->exact[r * m->columns + c] * (double)input.values[t * m->columns + c];
            sum += p;
            size += fabs(p);
        }
        double error = fabs((double)y[t * (ROWS + 2) + r] - sum) / (size > 0 ? size : 1);
        worst = error > worst || isnan(error) ? error : worst;
    }
    for (size_t t = 0; t < TOKENS; t++) {
        assert_true(y[t * (ROWS + 2) + ROWS] == 12345.0f);
        assert_true(y[t * (ROWS + 2) + ROWS + 1] == 12345.0f);
    }
    return worst;
}

static void products_are_exact(enum flo_precision precision)
{
    static const size_t widths[] = {COLUMNS, 32, 96};
    const struct flo_kernel *kernel = chosen;

    for (size_t i = 0; i < FLO_COUNT(types) * 3; i++) {
        uint32_t type = types[i / 3];
        size_t columns = widths[i % 3];
        struct matrix m;

        if (columns % flo_quant_type(type)->block_values != 0 ||
            kernel->matmul_packed[type] == NULL) {
            continue;
        }
        matrix_make(&m, type, columns);
        for (size_t j = 0; j < FLO_COUNT(token_counts); j++) {
            double error = product_error(kernel, type, &m, token_counts[j], precision);

            if (!(error < 1e-6)) {
                fail_msg("%s %s columns %zu tokens %zu: %g", kernel->name,
                         flo_quant_type(type)->name, columns, token_counts[j], error);
            }
        }
        matrix_free(&m);
    }
}

static void products_with_codes_of_8_bits_are_exact(void **state)
{
    (void)state;
    fill_whole(127);
    products_are_exact(FLO_PRECISION_8);
}

/* The largest code of 16 bits that the kernel makes. */
static float code_max_16(void)
{
    struct flo_activations x = activations(32, 1, FLO_PRECISION_16);

    fill_whole(1);
    quantise(chosen, &x);
    return roundf(1 / input.scales[0]);
}

static void products_with_codes_of_16_bits_are_exact(void **state)
{
    float most = code_max_16();

    (void)state;
    assert_true(most > 32000);
    fill_whole(most);
    products_are_exact(FLO_PRECISION_16);
}

/* Bytes of one pattern (-1: any), with scales of 1. */
static void fill_bytes(struct matrix *m, uint32_t type, int pattern)
{
    const struct flo_quant_type *quant = flo_quant_type(type);
    uint32_t state = 9;

    for (size_t i = 0; i < ROWS * m->row_bytes; i++) {
        m->data[i] = pattern >= 0 ? (uint8_t)pattern : (uint8_t)(noise(&state) * 127.0f + 128.0f);
    }
    for (size_t i = 0; i < ROWS * m->row_bytes; i += quant->block_bytes) {
        flo_quant_put_scale(quant, m->data + i, 1);
    }
    matrix_pack(m, type);
}

/* Sums of 16 bits would overflow here, if they can at all: the largest codes
 * with the largest codes, of either sign; -128 among the weights. */
static void the_largest_codes_and_any_bytes_are_exact(void **state)
{
    static const int patterns[] = {0xff, 0x80, 0x7f, 0x00, 0x88, -1};
    static const enum flo_precision precisions[] = {FLO_PRECISION_8, FLO_PRECISION_16};
    static const size_t tokens[] = {1, 3, 5, TOKENS};

    (void)state;
    for (size_t i = 0; i < FLO_COUNT(types) * FLO_COUNT(patterns); i++) {
        uint32_t type = types[i / FLO_COUNT(patterns)];
        struct matrix m;

        if (chosen->matmul_packed[type] == NULL) {
            continue;
        }
        matrix_make(&m, type, 256);
        fill_bytes(&m, type, patterns[i % FLO_COUNT(patterns)]);
        for (size_t j = 0; j < 4 * FLO_COUNT(tokens); j++) {
            enum flo_precision precision = precisions[j % 2];
            float most = precision == FLO_PRECISION_8 ? 127.0f : code_max_16();

            for (size_t k = 0; k < TOKENS * COLUMNS; k++) {
                input.values[k] = j % 4 < 2 ? most : k % 3 ? -most : most;
            }
            double error = product_error(chosen, type, &m, tokens[j / 4], precision);

            if (!(error < 1e-6)) {
                fail_msg("%s %s bytes %d tokens %zu: %g", chosen->name, flo_quant_type(type)->name,
                         patterns[i % FLO_COUNT(patterns)], tokens[j / 4], error);
            }
        }
        matrix_free(&m);
    }
}

static void rows_may_end_anywhere_in_a_strip(void **state)
{
    (void)state;
    fill_noise();
    for (size_t i = 0; i < FLO_COUNT(types); i++) {
        static float whole[5 * ROWS], part[5 * ROWS];
        struct flo_activations x = activations(256, 5, FLO_PRECISION_8);
        struct matrix m;

        if (chosen->matmul_packed[types[i]] == NULL) {
            continue;
        }
        matrix_make(&m, types[i], 256);
        quantise(chosen, &x);
        chosen->matmul_packed[types[i]](m.strips, m.strip_bytes, ROWS, &x, whole, ROWS);
        for (size_t rows = 1; rows < ROWS; rows++) {
            for (size_t j = 0; j < 5 * ROWS; j++) {
                part[j] = 12345.0f;
            }
            chosen->matmul_packed[types[i]](m.strips, m.strip_bytes, rows, &x, part, ROWS);
            for (size_t j = 0; j < 5 * ROWS; j++) {
                assert_true(part[j] == (j % ROWS < rows ? whole[j] : 12345.0f));
            }
        }
        matrix_free(&m);
    }
}

static void a_token_has_the_same_bits_alone_and_in_a_batch(void **state)
{
    const struct flo_kernel *kernel = chosen;
    static float together[TOKENS * ROWS];

    (void)state;
    fill_noise();
    for (size_t i = 0; i < 2 * FLO_COUNT(types); i++) {
        uint32_t type = types[i / 2];
        struct flo_activations x =
            activations(COLUMNS, TOKENS, i % 2 ? FLO_PRECISION_16 : FLO_PRECISION_8);
        float alone[ROWS];
        struct matrix m;

        if (kernel->matmul_packed[type] == NULL) {
            continue;
        }
        matrix_make(&m, type, COLUMNS);
        quantise(kernel, &x);
        kernel->matmul_packed[type](m.strips, m.strip_bytes, ROWS, &x, together, ROWS);
        x.tokens = 1;
        for (size_t t = 0; t < TOKENS; t++) {
            kernel->quantise_packed(input.values + t * COLUMNS, &x, 0);
            kernel->matmul_packed[type](m.strips, m.strip_bytes, ROWS, &x, alone, ROWS);
            assert_memory_equal(alone, together + t * ROWS, sizeof(alone));
        }
        matrix_free(&m);
    }
}

static void a_nan_in_a_token_reaches_all_its_sums_and_no_others(void **state)
{
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    const struct flo_kernel *kernel = chosen;
    enum { COUNT = 6 };

    (void)state;
    fill_noise();
    for (size_t i = 0; i < 6 * FLO_COUNT(types); i++) {
        uint32_t type = types[i / 6];
        struct flo_activations x =
            activations(COLUMNS, COUNT, i % 2 ? FLO_PRECISION_16 : FLO_PRECISION_8);
        float y[COUNT * ROWS], *place = &input.values[2 * COLUMNS + 77];
        float before = *place;
        struct matrix m;

        if (kernel->matmul_packed[type] == NULL) {
            continue;
        }
        *place = bad[i / 2 % 3];
        matrix_make(&m, type, COLUMNS);
        quantise(kernel, &x);
        *place = before;
        kernel->matmul_packed[type](m.strips, m.strip_bytes, ROWS, &x, y, ROWS);
        for (size_t j = 0; j < COUNT * ROWS; j++) {
            assert_int_equal(isfinite(y[j]), j / ROWS != 2);
        }
        matrix_free(&m);
    }
}

static void a_scale_that_is_nan_reaches_its_row_alone(void **state)
{
    static const float bad[] = {NAN, INFINITY};
    const struct flo_kernel *kernel = chosen;
    enum { COUNT = 5, ROW = 18 };

    (void)state;
    fill_noise();
    for (size_t i = 0; i < 2 * FLO_COUNT(types); i++) {
        uint32_t type = types[i / 2];
        const struct flo_quant_type *quant = flo_quant_type(type);
        struct flo_activations x = activations(COLUMNS, COUNT, FLO_PRECISION_8);
        float y[COUNT * ROWS];
        struct matrix m;

        if (kernel->matmul_packed[type] == NULL) {
            continue;
        }
        matrix_make(&m, type, COLUMNS);
        flo_quant_put_scale(quant, m.data + ROW * m.row_bytes + quant->block_bytes, bad[i % 2]);
        matrix_pack(&m, type);
        quantise(kernel, &x);
        kernel->matmul_packed[type](m.strips, m.strip_bytes, ROWS, &x, y, ROWS);
        for (size_t j = 0; j < COUNT * ROWS; j++) {
            assert_int_equal(isfinite(y[j]), j % ROWS != ROW);
        }
        matrix_free(&m);
    }
}

/* ---- the bytes of a strip ---- */

/* Column c of row r in a block's plane of `bits` bits. */
static unsigned plane_at(const uint8_t *plane, unsigned bits, size_t r, size_t c)
{
    size_t g = c % 32 / 4;

    return plane[g % bits * 64 + r * 4 + c % 4] >> g / bits * bits & ((1u << bits) - 1);
}

static void a_strip_holds_the_codes_of_its_rows(void **state)
{
    static const uint8_t lows[] = {4, 4, 4, 4, 8, 2, 2, 4, 4, 4, 4, 4, 4, 2};
    static const uint8_t highs[] = {0, 0, 1, 1, 0, 0, 1, 0, 1, 2, 0, 0, 0, 0};
    static const uint8_t minus[] = {8, 0, 16, 0, 0, 0, 4, 0, 0, 32, 0, 0, 0, 1};

    (void)state;
    for (size_t i = 0; i < FLO_COUNT(types); i++) {
        struct flo_strip at = flo_strip_layout(types[i], COLUMNS);
        struct flo_quant_unpacked w;
        struct matrix m;

        assert_int_equal(at.bytes % FLO_STRIP_ALIGN, 0);
        matrix_make(&m, types[i], COLUMNS);
        for (size_t j = 0; j < ROWS * COLUMNS; j++) {
            size_t r = j / COLUMNS, c = j % COLUMNS;
            const uint8_t *block = m.strips + r / 16 * at.bytes + flo_strip_block(&at, c / 32);
            unsigned code = plane_at(block + at.low, lows[i], r % 16, c);

            flo_quant_type(types[i])->unpack(m.data + r * m.row_bytes, c / 32, &w);
            if (highs[i] > 0) {
                code |= plane_at(block + at.high, highs[i], r % 16, c) << lows[i];
            }
            if (types[i] == FLO_QUANT_IQ4_NL || types[i] == FLO_QUANT_IQ4_XS) {
                assert_int_equal(flo_quant_iq4_grid[code], w.codes[c % 32]);
            } else if (types[i] == FLO_QUANT_MXFP4) {
                assert_int_equal(flo_quant_e2m1_grid[code], w.codes[c % 32]);
            } else {
                assert_int_equal((int8_t)(code - minus[i]), w.codes[c % 32]);
            }
        }
        matrix_free(&m);
    }
}

static void a_strip_costs_few_bytes_more_than_its_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < FLO_COUNT(types); i++) {
        size_t rows = flo_quant_bytes(flo_quant_type(types[i]), 2048) * 16;
        size_t strip = flo_pack_strip_bytes(types[i], 2048);

        assert_true(strip >= rows && strip <= rows + rows / 25);
    }
    assert_int_equal(flo_pack_strip_bytes(FLO_QUANT_F16, 2048), 0);
    assert_int_equal(flo_pack_strip_bytes(FLO_QUANT_ID_COUNT, 2048), 0);
}

int main(void)
{
    const struct CMUnitTest layout[] = {
        cmocka_unit_test(a_strip_holds_the_codes_of_its_rows),
        cmocka_unit_test(a_strip_costs_few_bytes_more_than_its_rows),
    };
    const struct CMUnitTest products[] = {
        cmocka_unit_test(products_with_codes_of_8_bits_are_exact),
        cmocka_unit_test(products_with_codes_of_16_bits_are_exact),
        cmocka_unit_test(the_largest_codes_and_any_bytes_are_exact),
        cmocka_unit_test(rows_may_end_anywhere_in_a_strip),
        cmocka_unit_test(a_token_has_the_same_bits_alone_and_in_a_batch),
        cmocka_unit_test(a_nan_in_a_token_reaches_all_its_sums_and_no_others),
        cmocka_unit_test(a_scale_that_is_nan_reaches_its_row_alone),
    };
    int failed = cmocka_run_group_tests_name("layout", layout, NULL, NULL);

    for (size_t i = 0; (chosen = flo_kernel_at(i)) != NULL; i++) {
        if (chosen->is_supported() && chosen->quantise_packed != NULL) {
            failed += cmocka_run_group_tests_name(chosen->name, products, NULL, NULL);
        }
    }
    return failed;
}
