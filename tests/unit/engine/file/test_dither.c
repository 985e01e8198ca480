/* Dithered change of weights: unbiased, repeatable, within the codes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/quant/dither.h"

#define VALUES 32768

/* A row of the type with all values near `centre`, changed everywhere by
 * `wanted`; what came of it. */
static double mean_change(uint32_t id, float spread, float wanted, uint64_t seed,
                          struct flo_dither_result *result)
{
    static float old[VALUES];
    static float now[VALUES];
    static int64_t sum[VALUES];
    static uint8_t row[VALUES * 4];
    const struct flo_quant_type *type = flo_quant_type(id);
    uint32_t state = 9;
    for (int i = 0; i < VALUES; i++) {
        state = state * 1664525u + 1013904223u;
        old[i] = (float)(int32_t)state / 2147483648.0f * spread;
        sum[i] = llrintf(ldexpf(wanted, 40));
    }
    type->encode(old, row, VALUES);
    type->decode(row, old, VALUES);
    const struct flo_dither_change change = {
        .sum = sum,
        .exponent = -40,
        .scale = flo_fixed_from(1, 1),
        .key = flo_dither_key(seed, "t"),
    };
    memset(result, 0, sizeof(*result));
    flo_dither_row(id, row, VALUES, &change, result);
    type->decode(row, now, VALUES);
    double total = 0;
    for (int i = 0; i < VALUES; i++) {
        total += (double)now[i] - (double)old[i];
    }
    return total / VALUES;
}

static void a_change_far_below_one_step_arrives_in_the_mean(void **state)
{
    (void)state;
    static const struct {
        uint32_t id;
        double share; /* lost at the ends of the code range */
    } types[] = {{FLO_QUANT_Q4_0, 0.9},
                 {FLO_QUANT_Q4_1, 0.9},
                 {FLO_QUANT_Q8_0, 0.97},
                 {FLO_QUANT_F16, 0.98},
                 {FLO_QUANT_F32, 0.999}};
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        for (int sign = -1; sign <= 1; sign += 2) {
            struct flo_dither_result result;
            /* 4 % of a Q4 step of values within +-1. */
            double wanted = sign * 0.005;
            double mean = mean_change(types[i].id, 1, (float)wanted, 1, &result);
            assert_true(mean / wanted > types[i].share - 0.06);
            assert_true(mean / wanted < 1.06);
            /* The measure is an estimate of the same thing. */
            double kept = result.moved_dot_wanted / result.wanted_dot_wanted;
            assert_true(fabs(kept - mean / wanted) < 0.001);
            assert_int_equal(result.codes, VALUES);
        }
    }
}

static void no_change_changes_nothing(void **state)
{
    (void)state;
    static const uint32_t types[] = {FLO_QUANT_Q4_0, FLO_QUANT_Q4_1, FLO_QUANT_Q8_0, FLO_QUANT_F16,
                                     FLO_QUANT_F32};
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        struct flo_dither_result result;
        assert_true(mean_change(types[i], 1, 0, 1, &result) == 0);
        assert_int_equal(result.codes_changed, 0);
    }
}

static void the_seed_and_the_name_choose_the_dither(void **state)
{
    (void)state;
    struct flo_dither_result first;
    struct flo_dither_result again;
    struct flo_dither_result other;
    mean_change(FLO_QUANT_Q4_1, 1, 0.005f, 1, &first);
    mean_change(FLO_QUANT_Q4_1, 1, 0.005f, 1, &again);
    mean_change(FLO_QUANT_Q4_1, 1, 0.005f, 2, &other);
    assert_int_equal(first.codes_changed, again.codes_changed);
    assert_int_not_equal(first.codes_changed, other.codes_changed);
    assert_true(flo_dither_key(1, "a") != flo_dither_key(1, "b"));
    assert_true(flo_dither_key(1, "a") != flo_dither_key(2, "a"));
    /* Computed apart, in Python: a change here changes every merged model. */
    assert_true(flo_dither_key(1, "blk.0.attn_q.weight") == UINT64_C(0x30b5c072cee2edca));
}

static void huge_changes_stop_at_the_ends_of_the_codes(void **state)
{
    (void)state;
    struct flo_block_q4_1 q41 = {.d = 0x3c00, .m = 0};
    struct flo_block_q8_0 q80 = {.d = 0x0001};
    uint16_t halves[32] = {0};
    int64_t sum[32];
    struct flo_dither_change change = {.sum = sum, .exponent = 0, .scale = flo_fixed_from(1, 1)};
    struct flo_dither_result result = {0};
    for (int i = 0; i < 32; i++) {
        sum[i] = (i % 2 ? -1 : 1) * ((int64_t)1 << 61);
    }
    flo_dither_row(FLO_QUANT_Q4_1, &q41, 32, &change, &result);
    flo_dither_row(FLO_QUANT_Q8_0, &q80, 32, &change, &result);
    flo_dither_row(FLO_QUANT_F16, halves, 32, &change, &result);
    for (int i = 0; i < 32; i++) {
        int nibble = i < 16 ? q41.q[i] & 15 : q41.q[i - 16] >> 4;
        assert_int_equal(nibble, i % 2 ? 0 : 15);
        assert_int_equal(q80.q[i], i % 2 ? -127 : 127);
        assert_int_equal(halves[i], i % 2 ? 0xfbff : 0x7bff);
    }
    assert_true(isfinite(result.moved_dot_wanted));
}

static void a_block_without_a_step_keeps_nothing_and_says_so(void **state)
{
    (void)state;
    struct flo_block_q4_0 block = {.d = 0};
    int64_t sum[32];
    for (int i = 0; i < 32; i++) {
        sum[i] = 1000;
    }
    struct flo_dither_change change = {.sum = sum, .exponent = -20, .scale = flo_fixed_from(1, 1)};
    struct flo_dither_result result = {0};
    flo_dither_row(FLO_QUANT_Q4_0, &block, 32, &change, &result);
    assert_true(result.moved_dot_wanted == 0);
    double one = 1000.0 / (1 << 20);
    assert_true(fabs(result.wanted_dot_wanted - 32 * one * one) < 1e-9);
}

static void f32_takes_the_nearest_value(void **state)
{
    (void)state;
    float row[4] = {1.0f, -3.5f, 0.0f, 1e-20f};
    const int64_t sum[4] = {1, 1 << 20, -5, 3};
    struct flo_dither_change change = {.sum = sum, .exponent = -24, .scale = flo_fixed_from(2, 3)};
    struct flo_dither_result result = {0};
    flo_dither_row(FLO_QUANT_F32, row, 4, &change, &result);
    double step = ldexp(2.0 / 3.0, -24);
    assert_true(row[0] == (float)(1.0 + step));
    assert_true(row[1] == (float)(-3.5 + step * (1 << 20)));
    assert_true(row[2] == (float)(-5 * step));
    assert_true(row[3] == (float)(3 * step + 1e-20));
}

static void halves_become_exact_integers(void **state)
{
    (void)state;
    float in[6] = {0, 1, -0.5f, 0x1p-24f, 15.9921875f, -0x1.8p-20f};
    int32_t out[6];
    int exponent;
    assert_true(flo_fixed_array(in, 6, 28, out, &exponent));
    for (int i = 0; i < 6; i++) {
        assert_true(ldexpf((float)out[i], exponent) == in[i]);
    }
    in[3] = NAN;
    assert_false(flo_fixed_array(in, 6, 28, out, &exponent));
    in[3] = 0x1p100f; /* others vanish next to it */
    assert_true(flo_fixed_array(in, 6, 28, out, &exponent));
    assert_int_equal(out[3], 1 << 27);
    assert_int_equal(out[1], 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_change_far_below_one_step_arrives_in_the_mean),
        cmocka_unit_test(no_change_changes_nothing),
        cmocka_unit_test(the_seed_and_the_name_choose_the_dither),
        cmocka_unit_test(huge_changes_stop_at_the_ends_of_the_codes),
        cmocka_unit_test(a_block_without_a_step_keeps_nothing_and_says_so),
        cmocka_unit_test(f32_takes_the_nearest_value),
        cmocka_unit_test(halves_become_exact_integers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
