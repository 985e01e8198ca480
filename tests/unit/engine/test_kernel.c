/* Kernels: the same answers everywhere, and NaN that is not lost. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/kernel/kernel.h"

/* More than one piece of 2048 columns. */
enum { COLUMNS = 2304, ROWS = 7, TOKENS = 6, BLOCKS = COLUMNS / 32 };

static const uint32_t types[] = {
    FLO_QUANT_F32,   FLO_QUANT_F16,     FLO_QUANT_BF16,  FLO_QUANT_Q4_0,    FLO_QUANT_Q4_1,
    FLO_QUANT_Q5_0,  FLO_QUANT_Q5_1,    FLO_QUANT_Q8_0,  FLO_QUANT_Q2_K,    FLO_QUANT_Q3_K,
    FLO_QUANT_Q4_K,  FLO_QUANT_Q5_K,    FLO_QUANT_Q6_K,  FLO_QUANT_IQ4_NL,  FLO_QUANT_IQ4_XS,
    FLO_QUANT_MXFP4, FLO_QUANT_TQ1_0,   FLO_QUANT_TQ2_0, FLO_QUANT_IQ2_XXS, FLO_QUANT_IQ2_XS,
    FLO_QUANT_IQ2_S, FLO_QUANT_IQ3_XXS, FLO_QUANT_IQ3_S, FLO_QUANT_IQ1_S,   FLO_QUANT_IQ1_M,
};

/* main() goes through all that this CPU supports, ref too. */
static const struct flo_kernel *chosen;

static float noise(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return (float)(int32_t)*state * 0x1p-31f;
}

/* Weights as a type's own encoder (or random blocks) makes them, and what
 * they decode to. */
struct matrix {
    uint8_t *data;
    float *exact; /* [ROWS][COLUMNS] */
    size_t row_bytes;
};

static void matrix_make(struct matrix *m, uint32_t id, uint32_t *state)
{
    const struct flo_quant_type *type = flo_quant_type(id);
    size_t bytes;

    m->row_bytes = flo_quant_bytes(type, COLUMNS);
    bytes = ROWS * m->row_bytes;
    m->data = malloc(bytes);
    m->exact = malloc(ROWS * COLUMNS * sizeof(float));
    for (size_t i = 0; i < ROWS * COLUMNS; i++) {
        m->exact[i] = noise(state);
    }
    if (type->encode != NULL) {
        type->encode(m->exact, m->data, ROWS * COLUMNS);
    } else {
        for (size_t i = 0; i < bytes; i++) {
            m->data[i] = (uint8_t)(noise(state) * 127.0f + 128.0f);
        }
        for (size_t b = 0; b < bytes / type->block_bytes; b++) {
            flo_quant_put_scale(type, m->data + b * type->block_bytes, noise(state));
        }
    }
    type->decode(m->data, m->exact, ROWS * COLUMNS);
}

static void matrix_free(struct matrix *m)
{
    free(m->data);
    free(m->exact);
}

struct input {
    float values[TOKENS * COLUMNS];
    int16_t codes[TOKENS * COLUMNS];
    float scales[TOKENS * BLOCKS];
    float sums[TOKENS * BLOCKS];
};

static struct flo_activations input_make(struct input *in, const struct flo_kernel *kernel,
                                         size_t tokens, uint32_t *state)
{
    for (size_t i = 0; i < tokens * COLUMNS; i++) {
        in->values[i] = noise(state) * (i % 61 == 0 ? 100.0f : 1.0f);
    }
    for (size_t t = 0; t < tokens; t++) {
        kernel->quantise(in->values + t * COLUMNS, COLUMNS, FLO_PRECISION_16,
                         in->codes + t * COLUMNS, in->scales + t * BLOCKS, in->sums + t * BLOCKS);
    }
    return (struct flo_activations){in->values, in->codes, in->scales,      in->sums,
                                    COLUMNS,    tokens,    FLO_PRECISION_16};
}

/* Largest difference to a double-precision product, relative to the sizes
 * that were added up. */
static double product_error(const struct flo_kernel *kernel, uint32_t type, const struct matrix *m,
                            size_t rows, size_t tokens)
{
    static struct input in;
    uint32_t state = 7 + type;
    float y[TOKENS * (ROWS + 2)];
    double worst = 0;

    struct flo_activations x = input_make(&in, kernel, tokens, &state);
    for (size_t i = 0; i < FLO_COUNT(y); i++) {
        y[i] = 12345.0f;
    }
    kernel->matmul[type](m->data, m->row_bytes, rows, &x, y, ROWS + 2);
    for (size_t t = 0; t < tokens; t++) {
        for (size_t r = 0; r < rows; r++) {
            double sum = 0, size = 0;

            for (size_t c = 0; c < COLUMNS; c++) {
                double p = (double)m->exact[r * COLUMNS + c] * (double)in.values[t * COLUMNS + c];
                sum += p;
                size += fabs(p);
            }
            double error = fabs((double)y[t * (ROWS + 2) + r] - sum) / size;
            worst = error > worst ? error : worst;
        }
        for (size_t r = rows; r < ROWS + 2; r++) {
            assert_true(y[t * (ROWS + 2) + r] == 12345.0f);
        }
    }
    return worst;
}

static void products_are_near_double_precision(void **state)
{
    (void)state;
    for (size_t i = 0; i < FLO_COUNT(types); i++) {
        uint32_t seed = 3;
        struct matrix m;

        matrix_make(&m, types[i], &seed);
        for (size_t j = 0; j < TOKENS * ROWS; j++) {
            size_t tokens = j / ROWS + 1, rows = j % ROWS + 1;
            double error = product_error(chosen, types[i], &m, rows, tokens);

            if (error > 1e-4) {
                fail_msg("%s type %u rows %zu tokens %zu: %g", chosen->name, types[i], rows, tokens,
                         error);
            }
        }
        matrix_free(&m);
    }
}

/* Rows of `columns` of a matrix whose bytes are others' rows. */
static void check_width(const struct matrix *m, uint32_t type, size_t columns)
{
    const struct flo_kernel *kernels[] = {&flo_kernel_ref, chosen};
    size_t row_bytes = flo_quant_bytes(flo_quant_type(type), columns);
    static struct input in;
    float y[2][TOKENS * ROWS];

    for (size_t k = 0; k < FLO_COUNT(kernels); k++) {
        uint32_t same = 17;
        struct flo_activations x = input_make(&in, &flo_kernel_ref, TOKENS, &same);

        x.columns = columns;
        kernels[k]->matmul[type](m->data, row_bytes, ROWS, &x, y[k], ROWS);
        x.tokens = 1;
        kernels[k]->matmul[type](m->data, row_bytes, ROWS, &x, y[k], ROWS);
    }
    for (size_t j = 0; j < TOKENS * ROWS; j++) {
        assert_true(fabsf(y[1][j] - y[0][j]) < 1e-3f * (fabsf(y[0][j]) + 1));
    }
}

static void rows_may_end_inside_a_group_of_blocks(void **state)
{
    enum { PART_MOST = 19 };

    (void)state;
    for (size_t i = 0; i < FLO_COUNT(types); i++) {
        uint32_t seed = 13;
        struct matrix m;

        matrix_make(&m, types[i], &seed);
        for (size_t columns = 32; columns <= PART_MOST * 32; columns += 32) {
            if (columns % flo_quant_type(types[i])->block_values == 0) {
                check_width(&m, types[i], columns);
            }
        }
        matrix_free(&m);
    }
}

static void a_token_has_the_same_bits_alone_and_in_a_batch(void **state)
{
    static struct input in;

    (void)state;
    for (size_t i = 0; i < FLO_COUNT(types); i++) {
        uint32_t type = types[i], seed = 11;
        float together[TOKENS * ROWS], alone[ROWS];
        struct matrix m;

        matrix_make(&m, type, &seed);
        struct flo_activations x = input_make(&in, chosen, TOKENS, &seed);
        chosen->matmul[type](m.data, m.row_bytes, ROWS, &x, together, ROWS);
        for (size_t t = 0; t < TOKENS; t++) {
            struct flo_activations one = {in.values + t * COLUMNS,
                                          in.codes + t * COLUMNS,
                                          in.scales + t * BLOCKS,
                                          in.sums + t * BLOCKS,
                                          COLUMNS,
                                          1,
                                          FLO_PRECISION_16};

            chosen->matmul[type](m.data, m.row_bytes, ROWS, &one, alone, ROWS);
            assert_memory_equal(alone, together + t * ROWS, sizeof(alone));
        }
        matrix_free(&m);
    }
}

static void float_products_take_odd_lengths(void **state)
{
    float w[2 * 13], v[5 * 13], y[10];

    (void)state;
    for (size_t i = 0; i < FLO_COUNT(w); i++) {
        w[i] = (float)i;
    }
    for (size_t i = 0; i < FLO_COUNT(v); i++) {
        v[i] = 1.0f;
    }
    struct flo_activations x = {v, NULL, NULL, NULL, 13, 5, FLO_PRECISION_FLOAT};
    chosen->matmul[FLO_QUANT_F32](w, 13 * 4, 2, &x, y, 2);
    for (size_t t = 0; t < 5; t++) {
        assert_true(y[t * 2] == 78.0f);      /* 0 + ... + 12 */
        assert_true(y[t * 2 + 1] == 247.0f); /* 13 + ... + 25 */
    }
}

static void a_nan_in_the_input_reaches_every_sum(void **state)
{
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    static struct input in;

    (void)state;
    for (size_t i = 0; i < FLO_COUNT(types); i++) {
        uint32_t seed = 3;
        struct matrix m;

        matrix_make(&m, types[i], &seed);
        struct flo_activations x = input_make(&in, chosen, 1, &seed);
        for (size_t j = 0; j < FLO_COUNT(bad); j++) {
            float y[ROWS];

            in.values[77] = bad[j];
            chosen->quantise(in.values, COLUMNS, FLO_PRECISION_16, in.codes, in.scales, in.sums);
            chosen->matmul[types[i]](m.data, m.row_bytes, ROWS, &x, y, ROWS);
            for (size_t r = 0; r < ROWS; r++) {
                assert_false(isfinite(y[r]));
            }
        }
        matrix_free(&m);
    }
}

static void a_nan_scale_reaches_its_row_alone(void **state)
{
    static struct input in;

    (void)state;
    for (size_t i = 0; i < FLO_COUNT(types); i++) {
        const struct flo_quant_type *type = flo_quant_type(types[i]);
        uint32_t seed = 3;
        float y[ROWS];
        struct matrix m;

        if (!flo_weight_reads_codes(types[i])) {
            continue;
        }
        matrix_make(&m, types[i], &seed);
        flo_quant_put_scale(type, m.data + 2 * m.row_bytes + 3 * type->block_bytes, NAN);
        struct flo_activations x = input_make(&in, chosen, 1, &seed);
        chosen->matmul[types[i]](m.data, m.row_bytes, ROWS, &x, y, ROWS);
        for (size_t r = 0; r < ROWS; r++) {
            assert_int_equal(isnan(y[r]) != 0, r == 2);
        }
        matrix_free(&m);
    }
}

static void codes_of_zero_and_of_subnormals_are_harmless(void **state)
{
    float values[32] = {0}, scale, sum;
    int16_t codes[32];

    (void)state;
    memset(values, 0, sizeof(values));
    chosen->quantise(values, 32, FLO_PRECISION_16, codes, &scale, &sum);
    assert_true(scale == 0 && sum == 0 && codes[5] == 0);
    values[5] = 1e-44f;
    chosen->quantise(values, 32, FLO_PRECISION_16, codes, &scale, &sum);
    assert_true(isfinite(scale) && isfinite(sum));
    values[5] = 3e38f;
    chosen->quantise(values, 32, FLO_PRECISION_16, codes, &scale, &sum);
    assert_int_equal(codes[5], 32767);
    assert_true(isfinite(scale));
}

/* ---- attention ---- */

/* 64 + 32: wide and narrow steps. */
enum { HEAD = 96, POSITIONS = 40, ROOM = 48 * HEAD };

/* Queries of different lengths, `at_once` of them together. */
static void attend_some(const struct flo_kernel *kernel, enum flo_cache type, float stale,
                        size_t at_once, float out[FLO_ATTEND_ROWS][HEAD])
{
    static const size_t lengths[] = {1, 17, 32, POSITIONS};
    float keys[ROOM], values[ROOM], k[HEAD], v[HEAD], q[FLO_ATTEND_ROWS][HEAD];
    uint32_t seed = 5;
    struct flo_attention a = {
        .keys = keys,
        .values = values,
        .type = type,
        .head_size = HEAD,
        .scale = 0.1f,
    };

    for (size_t d = 0; d < HEAD; d++) {
        k[d] = v[d] = stale;
    }
    for (size_t p = 0; p < 48; p++) { /* left over from another sequence */
        kernel->store(k, v, HEAD, p, type, keys, values);
    }
    for (size_t p = 0; p < POSITIONS; p++) {
        for (size_t d = 0; d < HEAD; d++) {
            k[d] = noise(&seed);
            v[d] = noise(&seed);
        }
        kernel->store(k, v, HEAD, p, type, keys, values);
    }
    for (size_t r = 0; r < FLO_ATTEND_ROWS; r++) {
        for (size_t d = 0; d < HEAD; d++) {
            q[r][d] = noise(&seed) * 4;
        }
        a.queries[a.rows] = q[r];
        a.out[a.rows] = out[r];
        a.firsts[a.rows] = lengths[r] > 20 ? r + 1 : 0;
        a.lengths[a.rows] = lengths[r];
        a.rows++;
        if (a.rows == at_once || r + 1 == FLO_ATTEND_ROWS) {
            kernel->attend(&a);
            a.rows = 0;
        }
    }
}

static void attend_all(const struct flo_kernel *kernel, enum flo_cache type, float stale,
                       float out[FLO_ATTEND_ROWS][HEAD])
{
    attend_some(kernel, type, stale, FLO_ATTEND_ROWS, out);
}

static void a_query_has_the_same_bits_alone_and_with_others(void **state)
{
    float together[FLO_ATTEND_ROWS][HEAD], apart[FLO_ATTEND_ROWS][HEAD];

    (void)state;
    for (int type = 0; type < FLO_CACHE_COUNT; type++) {
        attend_all(chosen, (enum flo_cache)type, 0, together);
        for (size_t at_once = 1; at_once < FLO_ATTEND_ROWS; at_once++) {
            attend_some(chosen, (enum flo_cache)type, 0, at_once, apart);
            assert_memory_equal(together, apart, sizeof(apart));
        }
    }
}

static void attention_agrees_and_ignores_what_lies_behind(void **state)
{
    /* Errors of the values, which lie between -1 and 1. */
    static const float tolerances[] = {2e-3f, 1e-5f, 2e-2f, 4e-1f};
    float exact[FLO_ATTEND_ROWS][HEAD], expected[FLO_ATTEND_ROWS][HEAD];
    float got[FLO_ATTEND_ROWS][HEAD];

    (void)state;
    attend_all(&flo_kernel_ref, FLO_CACHE_F32, 0, exact);
    for (int type = 0; type < FLO_CACHE_COUNT; type++) {
        attend_all(&flo_kernel_ref, (enum flo_cache)type, 0, expected);
        attend_all(chosen, (enum flo_cache)type, NAN, got);
        for (size_t r = 0; r < FLO_ATTEND_ROWS; r++) {
            for (size_t d = 0; d < HEAD; d++) {
                assert_true(fabsf(got[r][d] - expected[r][d]) < 1e-5f);
                assert_true(fabsf(got[r][d] - exact[r][d]) < tolerances[type]);
            }
        }
    }
}

static void a_nan_goes_into_the_cache_and_comes_out(void **state)
{
    static const float bad[] = {NAN, INFINITY};

    (void)state;
    for (int i = 0; i < 2 * FLO_CACHE_COUNT; i++) {
        enum flo_cache type = (enum flo_cache)(i / 2);
        float keys[ROOM] = {0}, values[ROOM] = {0}, out[HEAD];
        float k[HEAD] = {1}, v[HEAD] = {bad[i % 2]};
        struct flo_attention a = {.keys = keys,
                                  .values = values,
                                  .type = type,
                                  .head_size = HEAD,
                                  .scale = 1,
                                  .rows = 1,
                                  .queries = {k},
                                  .out = {out},
                                  .lengths = {1}};

        chosen->store(k, v, HEAD, 0, type, keys, values);
        chosen->attend(&a);
        assert_false(isfinite(out[0]));
    }
}

/* The last positions of a sequence, in a cache of all of them and in a ring. */
static void a_ring_gives_the_bits_of_a_cache_of_all_positions(void **state)
{
    enum { RING = 2 * FLO_KV_RING, LONG = 3 * RING, SEEN = 37 };
    static const size_t heads[] = {64, HEAD};
    static float all[2][LONG * HEAD], ring[2][RING * HEAD];

    (void)state;
    for (int i = 0; i < 2 * FLO_CACHE_COUNT; i++) {
        enum flo_cache type = (enum flo_cache)(i / 2);
        float x[2 * HEAD], out[2][2][HEAD];
        uint32_t seed = 7;
        struct flo_attention a = {.type = type, .head_size = heads[i % 2], .scale = 1, .rows = 2};

        memset(ring, 0xff, sizeof(ring));
        for (size_t p = 0; p < LONG; p++) {
            for (size_t d = 0; d < FLO_COUNT(x); d++) {
                x[d] = noise(&seed);
            }
            chosen->store(x, x + HEAD, a.head_size, p, type, all[0], all[1]);
            chosen->store(x, x + HEAD, a.head_size, p % RING, type, ring[0], ring[1]);
            for (size_t r = 0; r < 2; r++) {
                a.queries[r] = x + r;
                a.lengths[r] = p + 1 - (r == 0 && p > 3); /* the first lags behind */
                a.firsts[r] = a.lengths[r] < SEEN ? 0 : a.lengths[r] - SEEN;
            }
            for (size_t is_ring = 0; is_ring < 2; is_ring++) {
                a.ring = is_ring ? RING : 0;
                a.keys = is_ring ? ring[0] : all[0];
                a.values = is_ring ? ring[1] : all[1];
                a.out[0] = out[is_ring][0];
                a.out[1] = out[is_ring][1];
                chosen->attend(&a);
            }
            assert_memory_equal(out[0][0], out[1][0], a.head_size * sizeof(float));
            assert_memory_equal(out[0][1], out[1][1], a.head_size * sizeof(float));
        }
    }
}

static void attention_over_one_position_is_its_value(void **state)
{
    float out[FLO_ATTEND_ROWS][HEAD];
    uint32_t seed = 5;

    (void)state;
    attend_all(chosen, FLO_CACHE_F32, 0, out);
    for (size_t d = 0; d < HEAD; d++) {
        noise(&seed); /* the key */
        assert_true(fabsf(out[0][d] - noise(&seed)) < 1e-6f);
    }
}

/* ---- recurrent states ---- */

static void a_recurrent_step_agrees_with_plain_c(void **state)
{
    enum { VALUES = 77, KEYS = 33 };
    float old[KEYS * VALUES], states[2][KEYS * VALUES], key[KEYS], query[KEYS], added[VALUES];
    uint32_t seed = 11;

    (void)state;
    for (size_t i = 0; i < FLO_COUNT(old); i++) {
        old[i] = noise(&seed);
        key[i % KEYS] = noise(&seed);
        query[i % KEYS] = noise(&seed);
        added[i % VALUES] = noise(&seed);
    }
    for (size_t values = 1; values <= VALUES; values += 4) {
        float read[2][VALUES], held[2][VALUES];

        for (int k = 0; k < 2; k++) {
            const struct flo_kernel *kernel = k == 0 ? &flo_kernel_ref : chosen;
            const struct flo_recurrence r = {states[k], KEYS, values, 0.9f, key, query};

            memcpy(states[k], old, sizeof(old));
            memcpy(read[k], added, sizeof(added));
            kernel->recur(&r, read[k], read[k]);
            kernel->recall(&r, held[k]);
        }
        for (size_t i = 0; i < KEYS * values; i++) {
            assert_true(fabsf(states[0][i] - states[1][i]) < 1e-6f);
        }
        for (size_t v = 0; v < values; v++) {
            assert_true(fabsf(read[0][v] - read[1][v]) < 1e-5f);
            assert_true(fabsf(held[0][v] - held[1][v]) < 1e-5f);
        }
    }
}

/* ---- choosing ---- */

static void wrong_matmul(const void *weights, size_t row_bytes, size_t rows,
                         const struct flo_activations *x, float *y, size_t stride)
{
    flo_kernel_ref.matmul[FLO_QUANT_Q4_0](weights, row_bytes, rows, x, y, stride);
    y[rows - 1] *= 1.01f;
}

/* Sums that have room for usual weights alone. */
static void clipped_matmul(const void *weights, size_t row_bytes, size_t rows,
                           const struct flo_activations *x, float *y, size_t stride)
{
    flo_kernel_ref.matmul[FLO_QUANT_Q4_0](weights, row_bytes, rows, x, y, stride);
    for (size_t t = 0; t < x->tokens; t++) {
        for (size_t r = 0; r < rows; r++) {
            y[t * stride + r] = fmaxf(fminf(y[t * stride + r], 150), -150);
        }
    }
}

/* Rows behind the last whole strip, of one number alone. */
static void wrong_tail(const void *weights, size_t row_bytes, size_t rows,
                       const struct flo_activations *x, float *y, size_t stride)
{
    flo_kernel_ref.matmul[FLO_QUANT_Q4_0](weights, row_bytes, rows, x, y, stride);
    y[rows - 1] *= rows % 16 == 3 ? 1.01f : 1.0f;
}

/* A vector's tail of two values is left out. */
static void add_without_tail(float *x, const float *y, size_t count)
{
    flo_kernel_ref.add(x, y, count % 16 == 2 ? count - 2 : count);
}

static void wrong_norm(const float *x, const float *weight, float epsilon, size_t count, float *out)
{
    flo_kernel_ref.rms_norm(x, weight, epsilon, count, out);
    out[count - 1] = NAN;
}

static void a_kernel_that_is_wrong_somewhere_is_found(void **state)
{
    struct flo_kernel wrong = flo_kernel_ref;
    const char *what = NULL;

    (void)state;
    assert_true(flo_kernel_agrees(&wrong, &what));
    wrong.matmul[FLO_QUANT_Q4_0] = wrong_matmul;
    assert_false(flo_kernel_agrees(&wrong, &what));
    assert_string_equal(what, "Q4_0");
    wrong = flo_kernel_ref;
    wrong.rms_norm = wrong_norm;
    assert_false(flo_kernel_agrees(&wrong, &what));
    assert_string_equal(what, "rms_norm");
}

static void a_kernel_that_is_wrong_at_an_extreme_or_a_tail_is_found(void **state)
{
    static flo_matmul_fn *const wrongs[] = {clipped_matmul, wrong_tail};
    struct flo_kernel wrong = flo_kernel_ref;
    const char *what = NULL;

    (void)state;
    for (size_t i = 0; i < FLO_COUNT(wrongs); i++) {
        wrong.matmul[FLO_QUANT_Q4_0] = wrongs[i];
        assert_false(flo_kernel_agrees(&wrong, &what));
        assert_string_equal(what, "Q4_0");
    }
    wrong = flo_kernel_ref;
    wrong.add = add_without_tail;
    assert_false(flo_kernel_agrees(&wrong, &what));
    assert_string_equal(what, "add");
}

static flo_matmul_fn *right_packed; /* of Q4_0 */

static void wrong_packed_of_8_bits(const void *weights, size_t row_bytes, size_t rows,
                                   const struct flo_activations *x, float *y, size_t stride)
{
    right_packed(weights, row_bytes, rows, x, y, stride);
    y[0] *= x->precision == FLO_PRECISION_8 ? 1.01f : 1.0f;
}

static void wrong_second_strip(const void *weights, size_t row_bytes, size_t rows,
                               const struct flo_activations *x, float *y, size_t stride)
{
    right_packed(weights, row_bytes, rows, x, y, stride);
    for (size_t r = 16; r < rows; r++) {
        y[r] *= 1.01f;
    }
}

static void first_strip_again(const void *weights, size_t row_bytes, size_t rows,
                              const struct flo_activations *x, float *y, size_t stride)
{
    right_packed(weights, row_bytes, rows, x, y, stride);
    for (size_t r = 16; r < rows; r++) {
        y[r] = y[r - 16];
    }
}

static void packed_products_that_are_wrong_somewhere_are_found(void **state)
{
    static flo_matmul_fn *const wrongs[] = {wrong_packed_of_8_bits, wrong_second_strip,
                                            first_strip_again};
    struct flo_kernel wrong = *chosen;
    const char *what = NULL;

    (void)state;
    right_packed = chosen->matmul_packed[FLO_QUANT_Q4_0];
    for (size_t i = 0; right_packed != NULL && i < FLO_COUNT(wrongs); i++) {
        wrong.matmul_packed[FLO_QUANT_Q4_0] = wrongs[i];
        assert_false(flo_kernel_agrees(&wrong, &what));
        assert_string_equal(what, "packed weights");
    }
}

/* Attention that is wrong with `wrong_rows` queries, or heads of 64. */
static size_t wrong_rows, wrong_head;

static void wrong_attend(const struct flo_attention *a)
{
    chosen->attend(a);
    if (a->rows == wrong_rows || a->head_size == wrong_head) {
        a->out[a->rows - 1][a->head_size - 1] += 0.1f;
    }
}

static void attention_that_is_wrong_somewhere_is_found(void **state)
{
    struct flo_kernel wrong = *chosen;
    const char *what = NULL;

    (void)state;
    wrong.attend = wrong_attend;
    for (wrong_rows = 0; wrong_rows <= FLO_ATTEND_ROWS; wrong_rows++) {
        wrong_head = wrong_rows == 0 ? 64 : 0;
        assert_false(flo_kernel_agrees(&wrong, &what));
        assert_string_equal(what, "attention");
    }
}

static void each_kernel_agrees_and_unknown_names_are_refused(void **state)
{
    const struct flo_kernel *kernel = NULL;
    struct flo_err err = {0};

    (void)state;
    assert_int_equal(flo_kernel_choose(NULL, false, &kernel, &err), 0);
    assert_non_null(kernel);
    assert_int_equal(flo_kernel_choose(chosen->name, false, &kernel, &err), 0);
    assert_ptr_equal(kernel, chosen);
    assert_int_equal(flo_kernel_choose("ref", false, &kernel, &err), 0);
    assert_string_equal(kernel->name, "ref");
    assert_int_equal(flo_kernel_choose("abacus", false, &kernel, &err), FLO_E_USAGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products_are_near_double_precision),
        cmocka_unit_test(rows_may_end_inside_a_group_of_blocks),
        cmocka_unit_test(a_token_has_the_same_bits_alone_and_in_a_batch),
        cmocka_unit_test(float_products_take_odd_lengths),
        cmocka_unit_test(a_nan_in_the_input_reaches_every_sum),
        cmocka_unit_test(a_nan_scale_reaches_its_row_alone),
        cmocka_unit_test(codes_of_zero_and_of_subnormals_are_harmless),
        cmocka_unit_test(attention_agrees_and_ignores_what_lies_behind),
        cmocka_unit_test(a_query_has_the_same_bits_alone_and_with_others),
        cmocka_unit_test(a_nan_goes_into_the_cache_and_comes_out),
        cmocka_unit_test(a_ring_gives_the_bits_of_a_cache_of_all_positions),
        cmocka_unit_test(a_recurrent_step_agrees_with_plain_c),
        cmocka_unit_test(attention_over_one_position_is_its_value),
        cmocka_unit_test(a_kernel_that_is_wrong_somewhere_is_found),
        cmocka_unit_test(a_kernel_that_is_wrong_at_an_extreme_or_a_tail_is_found),
        cmocka_unit_test(packed_products_that_are_wrong_somewhere_are_found),
        cmocka_unit_test(attention_that_is_wrong_somewhere_is_found),
        cmocka_unit_test(each_kernel_agrees_and_unknown_names_are_refused),
    };

    int failed = 0;

    for (size_t i = 0; (chosen = flo_kernel_at(i)) != NULL; i++) {
        if (chosen->is_supported()) {
            failed += cmocka_run_group_tests_name(chosen->name, tests, NULL, NULL);
        }
    }
    return failed;
}
