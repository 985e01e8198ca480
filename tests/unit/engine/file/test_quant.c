/* Block formats against golden vectors; half floats against arithmetic. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/quant/quant.h"
#include "unit/engine/gguf_make.h"

static void check_golden(const struct flo_quant_type *type)
{
    char path[64];
    size_t bytes;
    size_t cases = 0;
    snprintf(path, sizeof(path), "tests/golden/quant/%s.txt", type->name);
    for (char *c = path; *c != '\0'; c++) {
        *c = (char)tolower((unsigned char)*c);
    }
    char *data = read_whole(path, &bytes);
    assert_non_null(data);
    for (char *line = strtok(data, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        size_t block_bytes;
        size_t value_bytes;
        float values[256];
        char *block = from_hex(line, strlen(line), &block_bytes);
        char *second = strtok(NULL, "\n");
        assert_non_null(second);
        char *wanted = from_hex(second, strlen(second), &value_bytes);
        assert_int_equal(block_bytes, type->block_bytes);
        assert_int_equal(value_bytes, 4 * type->block_values);
        type->decode(block, values, type->block_values);
        for (size_t i = 0; i < type->block_values; i++) {
            float want;
            memcpy(&want, wanted + 4 * i, 4);
            /* The same formula in another order differs in the last bits. */
            assert_true(fabsf(values[i] - want) <= 2e-7f * fabsf(want) + 1e-6f);
        }
        free(block);
        free(wanted);
        cases++;
    }
    assert_true(cases >= 2);
    free(data);
}

static void every_decoder_gives_the_golden_values(void **state)
{
    (void)state;
    size_t types = 0;
    for (uint32_t id = 0; id < FLO_QUANT_ID_COUNT; id++) {
        const struct flo_quant_type *type = flo_quant_type(id);
        if (type != NULL && type->decode != NULL && id != FLO_QUANT_F32) {
            check_golden(type);
            types++;
        }
    }
    assert_int_equal(types, 24);
}

/* Hashes of the values of 2,048 random blocks, by tests/oracle/quant_golden.py:
 * every number of a codebook occurs. */
static const struct {
    uint32_t id;
    uint32_t hash;
} decoder_cases[] = {
    {FLO_QUANT_MXFP4, 0x2a919f7eu},   {FLO_QUANT_TQ1_0, 0xc0e1de5fu},
    {FLO_QUANT_TQ2_0, 0x13596c31u},   {FLO_QUANT_IQ2_XXS, 0xb7efad6cu},
    {FLO_QUANT_IQ2_XS, 0xff025529u},  {FLO_QUANT_IQ2_S, 0x20935e65u},
    {FLO_QUANT_IQ3_XXS, 0x8f1f3d57u}, {FLO_QUANT_IQ3_S, 0x25b0170eu},
    {FLO_QUANT_IQ1_S, 0x9b8cd870u},   {FLO_QUANT_IQ1_M, 0x3364dfbau},
};

static uint32_t next_random(uint32_t *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 16;
}

static uint32_t hash_of_random_blocks(const struct flo_quant_type *type)
{
    uint32_t seed = 7;
    uint32_t hash = 2166136261u;
    for (int round = 0; round < 2048; round++) {
        uint8_t block[128] __attribute__((aligned(8)));
        float values[256];
        uint8_t bytes[sizeof(values)];
        for (size_t i = 0; i < type->block_bytes; i++) {
            block[i] = (uint8_t)next_random(&seed);
        }
        uint16_t half = (uint16_t)(0x3c00u | (next_random(&seed) & 0x83ffu));
        if (type->id == FLO_QUANT_MXFP4) {
            block[0] = block[0] == 255 ? 254 : block[0];
        } else {
            flo_quant_put_scale(type, block, flo_f16_to_f32(half));
        }
        type->decode(block, values, type->block_values);
        memcpy(bytes, values, sizeof(values));
        for (size_t i = 0; i < type->block_values * sizeof(float); i++) {
            hash = (hash ^ bytes[i]) * 16777619u;
        }
    }
    return hash;
}

static void decoders_of_small_types_give_the_same_bits(void **state)
{
    (void)state;
    for (size_t t = 0; t < FLO_COUNT(decoder_cases); t++) {
        const struct flo_quant_type *type = flo_quant_type(decoder_cases[t].id);
        uint32_t hash = hash_of_random_blocks(type);
        if (hash != decoder_cases[t].hash) {
            print_message("%s: hash 0x%08x\n", type->name, hash);
        }
        assert_int_equal(hash, decoder_cases[t].hash);
    }
}

static void every_power_of_two_scales_mxfp4_but_the_last(void **state)
{
    (void)state;
    for (int e = 0; e < 256; e++) {
        struct flo_block_mxfp4 block = {.e = (uint8_t)e, .q = {0x91}};
        float values[32];
        flo_quant_type(FLO_QUANT_MXFP4)->decode(&block, values, 32);
        assert_int_equal(isnan(values[0]), e == 255);
        assert_true(e == 255 || values[0] == ldexpf(1, e - 128));
        assert_true(e == 255 || values[16] == -values[0]);
    }
}

static void the_table_knows_names_and_refuses_removed_ids(void **state)
{
    (void)state;
    assert_string_equal(flo_quant_type(FLO_QUANT_Q6_K)->name, "Q6_K");
    assert_null(flo_quant_type(4));
    assert_null(flo_quant_type(5));
    assert_null(flo_quant_type(40));
    assert_null(flo_quant_type(UINT32_MAX));
    for (uint32_t id = 0; id < FLO_QUANT_ID_COUNT; id++) {
        const struct flo_quant_type *type = flo_quant_type(id);
        assert_true(type == NULL || type->id == id);
        for (int k = 0; type != NULL && k < type->scale_count; k++) {
            assert_true(type->scale_offset[k] < type->block_bytes);
        }
    }
}

static void every_half_is_its_sign_exponent_and_fraction(void **state)
{
    (void)state;
    for (uint32_t half = 0; half < 65536; half++) {
        int exponent = (int)(half >> 10 & 31);
        int fraction = (int)(half & 1023);
        float sign = half & 0x8000 ? -1.0f : 1.0f;
        float value = flo_f16_to_f32((uint16_t)half);
        if (exponent == 31) {
            assert_true(fraction == 0 ? isinf(value) : isnan(value));
            assert_true(fraction != 0 || (value < 0) == (sign < 0));
        } else {
            float want = exponent == 0 ? ldexpf((float)fraction, -24)
                                       : ldexpf((float)(1024 + fraction), exponent - 25);
            assert_true(value == sign * want);
            assert_true(signbit(value) == (sign < 0 ? signbit(sign) : 0));
        }
        /* And back, NaN to NaN. */
        uint16_t back = flo_f32_to_f16(value);
        if (isnan(value)) {
            assert_true((back & 0x7c00) == 0x7c00 && (back & 0x3ff) != 0);
        } else {
            assert_int_equal(back, half);
        }
    }
}

static void halves_round_to_nearest_even(void **state)
{
    (void)state;
    /* Between each pair of neighbours: the middle goes to the even one. */
    for (uint16_t half = 0; half < 0x7bff; half++) {
        float low = flo_f16_to_f32(half);
        float high = flo_f16_to_f32((uint16_t)(half + 1));
        float middle = (low + high) / 2; /* exact in f32 */
        uint16_t even = half % 2 == 0 ? half : (uint16_t)(half + 1);
        assert_int_equal(flo_f32_to_f16(middle), even);
        assert_int_equal(flo_f32_to_f16(-middle), even | 0x8000);
        assert_int_equal(flo_f32_to_f16(nextafterf(middle, 0)), half);
        assert_int_equal(flo_f32_to_f16(nextafterf(middle, INFINITY)), half + 1);
    }
    assert_int_equal(flo_f32_to_f16(65519.9f), 0x7bff);
    assert_int_equal(flo_f32_to_f16(65520.0f), 0x7c00);
    assert_int_equal(flo_f32_to_f16(3e38f), 0x7c00);
    assert_int_equal(flo_f32_to_f16(-INFINITY), 0xfc00);
    assert_int_equal(flo_f32_to_f16(1e-30f), 0);
}

static void bf16_is_the_upper_half_rounded_to_even(void **state)
{
    (void)state;
    for (uint32_t half = 0; half < 65536; half++) {
        float value = flo_bf16_to_f32((uint16_t)half);
        if (!isnan(value)) {
            assert_int_equal(flo_f32_to_bf16(value), half);
        }
    }
    assert_int_equal(flo_f32_to_bf16(1.00390625f), 0x3f80); /* tie: even */
    assert_int_equal(flo_f32_to_bf16(1.01171875f), 0x3f82);
    assert_true(isnan(flo_bf16_to_f32(flo_f32_to_bf16(NAN))));
}

/* The next of a fixed series in [-1, 1). */
static float next_value(uint32_t *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return (float)(int32_t)*seed / 2147483648.0f;
}

/* Facts of the encoders: the rms error of even values in [-1, 1), a hundredth
 * above the measured one, and a hash of the bytes of 4,096 values of a fixed
 * series. */
static const struct encoder_case {
    uint32_t id;
    float rms_max;
    uint32_t hash;
} encoder_cases[] = {
    {FLO_QUANT_F32, 0.0f, 0x00c251bau},       {FLO_QUANT_F16, 0.000109f, 0xb9daaa7eu},
    {FLO_QUANT_BF16, 0.000868f, 0xd7041728u}, {FLO_QUANT_Q8_0, 0.0022f, 0x356e6e89u},
    {FLO_QUANT_Q4_0, 0.0378f, 0x04285ee2u},   {FLO_QUANT_Q4_1, 0.0351f, 0xbc21ae5cu},
    {FLO_QUANT_Q5_0, 0.0163f, 0xc6019bebu},   {FLO_QUANT_Q5_1, 0.0151f, 0x1405ce09u},
    {FLO_QUANT_Q2_K, 0.125f, 0xdf037e4bu},    {FLO_QUANT_Q3_K, 0.0682f, 0x8df8af82u},
    {FLO_QUANT_Q4_K, 0.031f, 0xbd6734d5u},    {FLO_QUANT_Q5_K, 0.0155f, 0x27786c05u},
    {FLO_QUANT_Q6_K, 0.00745f, 0xe7bf764bu},  {FLO_QUANT_IQ4_NL, 0.0363f, 0x8c34fb89u},
    {FLO_QUANT_IQ4_XS, 0.0366f, 0x79690888u}, {FLO_QUANT_MXFP4, 0.0581f, 0x704d44bdu},
    {FLO_QUANT_TQ1_0, 0.1934f, 0x98f054afu},  {FLO_QUANT_TQ2_0, 0.1934f, 0xcdee417bu},
};

/* A bell-like series with some outliers: sums of even ones. */
static float next_weight(uint32_t *seed)
{
    float sum = 0;
    for (int i = 0; i < 4; i++) {
        sum += next_value(seed);
    }
    return *seed % 97 == 0 ? 4 * sum : sum;
}

static void encoders_keep_the_error_small(void **state)
{
    (void)state;
    for (size_t t = 0; t < FLO_COUNT(encoder_cases); t++) {
        const struct flo_quant_type *type = flo_quant_type(encoder_cases[t].id);
        uint32_t seed = 3;
        double squares = 0;
        for (int round = 0; round < 50; round++) {
            float in[256];
            float out[256];
            uint8_t blocks[1024];
            for (int i = 0; i < 256; i++) {
                in[i] = next_value(&seed);
            }
            type->encode(in, blocks, 256);
            type->decode(blocks, out, 256);
            for (int i = 0; i < 256; i++) {
                double error = (double)in[i] - (double)out[i];
                squares += error * error;
            }
        }
        float rms = (float)sqrt(squares / 12800);
        if (!(rms <= encoder_cases[t].rms_max)) {
            print_message("%s: rms error %g\n", type->name, (double)rms);
        }
        assert_true(rms <= encoder_cases[t].rms_max);
    }
}

static void encoders_write_the_same_bytes_on_every_cpu(void **state)
{
    (void)state;
    for (size_t t = 0; t < FLO_COUNT(encoder_cases); t++) {
        const struct flo_quant_type *type = flo_quant_type(encoder_cases[t].id);
        uint32_t seed = 5;
        uint32_t hash = 2166136261u;
        for (int round = 0; round < 16; round++) {
            float in[256];
            uint8_t blocks[1024];
            size_t bytes = flo_quant_bytes(type, 256);
            for (int i = 0; i < 256; i++) {
                in[i] = next_weight(&seed);
            }
            type->encode(in, blocks, 256);
            for (size_t i = 0; i < bytes; i++) {
                hash = (hash ^ blocks[i]) * 16777619u;
            }
        }
        if (hash != encoder_cases[t].hash) {
            print_message("%s: hash 0x%08x\n", type->name, hash);
        }
        assert_int_equal(hash, encoder_cases[t].hash);
    }
}

/* Returns the sum of the squared errors of 4,096 values, each times its
 * importance, after they were encoded with or without it. */
static double weighed_error(const struct flo_quant_type *type, bool weighs, uint32_t *hash)
{
    uint32_t seed = 11;
    double sum = 0;
    for (int round = 0; round < 16; round++) {
        float in[256];
        float out[256];
        float importance[256];
        uint8_t blocks[1024];
        for (int i = 0; i < 256; i++) {
            in[i] = next_weight(&seed);
            importance[i] = i % 8 == 3 ? 9.0f : 0.05f + fabsf(next_value(&seed));
        }
        if (weighs) {
            type->weigh(in, importance, blocks, 256);
        } else {
            type->encode(in, blocks, 256);
        }
        type->decode(blocks, out, 256);
        for (int i = 0; i < 256; i++) {
            double error = (double)in[i] - (double)out[i];
            sum += (double)importance[i] * error * error;
        }
        for (size_t i = 0; i < flo_quant_bytes(type, 256); i++) {
            *hash = (*hash ^ blocks[i]) * 16777619u;
        }
    }
    return sum;
}

/* Largest share of the error that stays, a hundredth above the measured one,
 * and a hash of the bytes. */
static const struct {
    uint32_t id;
    float share_max;
    uint32_t hash;
} weigh_cases[] = {
    {FLO_QUANT_Q4_0, 0.678f, 0x3156c5a2u},   {FLO_QUANT_Q4_1, 0.502f, 0x42d84f6bu},
    {FLO_QUANT_Q5_0, 0.747f, 0xd27fac89u},   {FLO_QUANT_Q5_1, 0.653f, 0x6d4173ffu},
    {FLO_QUANT_Q2_K, 0.551f, 0x8295739au},   {FLO_QUANT_Q3_K, 0.706f, 0x6757b756u},
    {FLO_QUANT_Q4_K, 0.660f, 0x7c814e47u},   {FLO_QUANT_Q5_K, 0.734f, 0x02466cf2u},
    {FLO_QUANT_Q6_K, 0.733f, 0x801a21e8u},   {FLO_QUANT_IQ4_NL, 0.716f, 0x2318aa3cu},
    {FLO_QUANT_IQ4_XS, 0.737f, 0xc750e570u},
};

static void values_of_importance_have_smaller_errors(void **state)
{
    (void)state;
    for (size_t t = 0; t < FLO_COUNT(weigh_cases); t++) {
        const struct flo_quant_type *type = flo_quant_type(weigh_cases[t].id);
        uint32_t hash = 2166136261u;
        uint32_t unused = 0;
        double share = weighed_error(type, true, &hash) / weighed_error(type, false, &unused);
        if (!(share <= (double)weigh_cases[t].share_max) || hash != weigh_cases[t].hash) {
            print_message("%s: %.4f, hash 0x%08x\n", type->name, share, hash);
        }
        assert_true(share <= (double)weigh_cases[t].share_max);
        assert_int_equal(hash, weigh_cases[t].hash);
    }
}

/* The same importance everywhere changes nothing, whatever it is. */
static void even_importance_is_none(void **state)
{
    (void)state;
    for (size_t t = 0; t < FLO_COUNT(weigh_cases); t++) {
        const struct flo_quant_type *type = flo_quant_type(weigh_cases[t].id);
        float in[256];
        float importance[256];
        uint8_t plain[1024];
        uint8_t weighed[1024];
        uint32_t seed = 13;
        for (int i = 0; i < 256; i++) {
            in[i] = next_weight(&seed);
            importance[i] = 4;
        }
        type->encode(in, plain, 256);
        type->weigh(in, importance, weighed, 256);
        if (type->id != FLO_QUANT_Q4_0 && type->id != FLO_QUANT_Q4_1) { /* not fitted */
            assert_memory_equal(plain, weighed, flo_quant_bytes(type, 256));
        }
    }
}

/* Values that stand on a grid of the type already come back as they are. */
static void what_was_encoded_before_is_kept(void **state)
{
    (void)state;
    static const uint32_t ids[] = {FLO_QUANT_Q4_1, FLO_QUANT_Q5_1, FLO_QUANT_Q8_0};
    for (size_t t = 0; t < FLO_COUNT(ids); t++) {
        const struct flo_quant_type *type = flo_quant_type(ids[t]);
        uint32_t seed = 9;
        float in[256];
        float once[256];
        float twice[256];
        uint8_t blocks[1024];
        for (int i = 0; i < 256; i++) {
            in[i] = next_value(&seed);
        }
        type->encode(in, blocks, 256);
        type->decode(blocks, once, 256);
        type->encode(once, blocks, 256);
        type->decode(blocks, twice, 256);
        for (int i = 0; i < 256; i++) {
            assert_true(fabsf(once[i] - twice[i]) < 0.002f);
        }
    }
}

/* Fills 256 values: of a type's own levels, times a power of two by block. */
static void fill_exact(const struct flo_quant_type *type, int exponent, float *in)
{
    uint32_t seed = 21;
    for (size_t i = 0; i < 256; i++) {
        uint32_t random = next_random(&seed);
        float level = type->id == FLO_QUANT_MXFP4 ? (float)flo_quant_e2m1_grid[random % 16]
                                                  : (float)(random % 3) - 1;
        in[i] = ldexpf(level, exponent + (int)(i / type->block_values) % 5);
    }
}

static void weights_of_three_levels_and_of_fp4_are_kept(void **state)
{
    (void)state;
    static const uint32_t ids[] = {FLO_QUANT_MXFP4, FLO_QUANT_TQ1_0, FLO_QUANT_TQ2_0};
    for (size_t t = 0; t < FLO_COUNT(ids); t++) {
        const struct flo_quant_type *type = flo_quant_type(ids[t]);
        for (int exponent = -14; exponent < 10; exponent++) {
            float in[256];
            float out[256];
            uint8_t blocks[256];
            fill_exact(type, exponent, in);
            type->encode(in, blocks, 256);
            type->decode(blocks, out, 256);
            for (int i = 0; i < 256; i++) {
                assert_true(in[i] == out[i]);
            }
        }
    }
}

/* All values of a block may be small against its scale, as repacked ones are. */
static void fp4_is_exact_with_any_largest_code(void **state)
{
    (void)state;
    const struct flo_quant_type *type = flo_quant_type(FLO_QUANT_MXFP4);
    for (size_t i = 0; i < 254 * 8; i++) {
        struct flo_block_mxfp4 block;
        float in[32];
        float out[32];
        for (size_t j = 0; j < 32; j++) {
            in[j] = ldexpf((float)flo_quant_e2m1_grid[j % (i % 8 + 1)], (int)(i / 8) - 128);
        }
        type->encode(in, &block, 32);
        type->decode(&block, out, 32);
        for (size_t j = 0; j < 32; j++) {
            assert_true(in[j] == out[j] || isinf(in[j]));
        }
    }
}

static void zeros_extremes_and_nan_encode_without_harm(void **state)
{
    (void)state;
    for (uint32_t id = 0; id < FLO_QUANT_ID_COUNT; id++) {
        const struct flo_quant_type *type = flo_quant_type(id);
        static const float kinds[] = {0, 1e-42f, 1e-7f, 3e38f, NAN, -INFINITY};
        for (size_t k = 0; type != NULL && type->encode != NULL && k < FLO_COUNT(kinds); k++) {
            float in[256];
            float out[256];
            uint8_t blocks[1024];
            for (int i = 0; i < 256; i++) {
                in[i] = i % 3 == 0 ? kinds[k] : -kinds[k];
            }
            type->encode(in, blocks, 256);
            type->decode(blocks, out, 256);
            for (int i = 0; k == 0 && i < 256; i++) {
                assert_true(out[i] == 0);
            }
        }
    }
}

/* Codes rounded on the scales that stand there: the header bytes stay, the
 * values come as near as these allow. */
static void pinned_blocks_keep_their_scales(void **state)
{
    (void)state;
    for (uint32_t id = 0; id < FLO_QUANT_ID_COUNT; id++) {
        const struct flo_quant_type *type = flo_quant_type(id);
        if (type == NULL || type->pin == NULL) {
            continue;
        }
        uint32_t seed = 11;
        float in[256];
        float old[256];
        float new[256];
        uint8_t blocks[1024];
        uint8_t before[1024];
        double squares_old = 0;
        double squares_new = 0;
        for (int i = 0; i < 256; i++) {
            in[i] = next_value(&seed);
        }
        type->encode(in, blocks, 256);
        memcpy(before, blocks, sizeof(blocks));
        type->decode(blocks, old, 256);

        /* The same values again: nothing to change. */
        type->pin(in, blocks, 256);
        type->decode(blocks, new, 256);
        for (int i = 0; i < 256; i++) {
            squares_old += pow((double)old[i] - (double)in[i], 2);
            squares_new += pow((double)new[i] - (double)in[i], 2);
        }
        assert_true(squares_new <= squares_old * 1.0001);

        for (int i = 0; i < 256; i++) {
            in[i] *= 0.9f;
        }
        type->pin(in, blocks, 256);
        assert_memory_not_equal(blocks, before, flo_quant_bytes(type, 256));
        for (size_t b = 0; b < 256u / type->block_values; b++) {
            const uint8_t *block = blocks + b * type->block_bytes;
            for (int k = 0; k < type->scale_count; k++) {
                size_t at = type->scale_offset[k];
                size_t bytes = type->floats == FLO_QUANT_FLOATS_E8M0 ? 1 : 2;
                assert_memory_equal(block + at, before + b * type->block_bytes + at, bytes);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_decoder_gives_the_golden_values),
        cmocka_unit_test(decoders_of_small_types_give_the_same_bits),
        cmocka_unit_test(every_power_of_two_scales_mxfp4_but_the_last),
        cmocka_unit_test(the_table_knows_names_and_refuses_removed_ids),
        cmocka_unit_test(every_half_is_its_sign_exponent_and_fraction),
        cmocka_unit_test(halves_round_to_nearest_even),
        cmocka_unit_test(bf16_is_the_upper_half_rounded_to_even),
        cmocka_unit_test(encoders_keep_the_error_small),
        cmocka_unit_test(encoders_write_the_same_bytes_on_every_cpu),
        cmocka_unit_test(values_of_importance_have_smaller_errors),
        cmocka_unit_test(even_importance_is_none),
        cmocka_unit_test(what_was_encoded_before_is_kept),
        cmocka_unit_test(pinned_blocks_keep_their_scales),
        cmocka_unit_test(weights_of_three_levels_and_of_fp4_are_kept),
        cmocka_unit_test(fp4_is_exact_with_any_largest_code),
        cmocka_unit_test(zeros_extremes_and_nan_encode_without_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
