/* Typed deltas of integers of 8 bits, whose scales stand elsewhere. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/patch.h>

#include "formats.h"
#include "updater/delta/tensor/format.h"

#define GOLDEN "tests/golden/delta/integers.tensor1"
#define PREDICTOR_AT 10

static uint32_t seed;

static int32_t noise(int32_t most)
{
    seed = seed * 1664525 + 1013904223;
    return (int32_t)(seed >> 8) % (2 * most + 1) - most;
}

/* How the scale of the new values moved. */
enum drift { STILL, PART, ROWS, COLUMNS, DRIFTS };

static int32_t part_of(enum drift drift, size_t row, size_t column)
{
    static const int32_t steps[] = {1000, 973, 1031, 988, 1012, 960, 1045};

    return drift == STILL ? 1000 : drift == PART ? 973 : steps[(drift == ROWS ? row : column) % 7];
}

/* Values of up to 110 steps, in 1/1000 of one; the new ones moved a little and
 * stand on another scale. */
static void values_make(size_t columns, size_t rows, enum drift drift, bool is_new, uint8_t flip,
                        uint8_t *out)
{
    seed = 5;
    for (size_t i = 0; i < columns * rows; i++) {
        int32_t value = noise(110000);
        int32_t move = noise(300);
        int32_t scale = 1000;
        if (is_new) {
            value += move;
            scale = part_of(drift, i / columns, i % columns);
        }
        value = (value + (value < 0 ? -scale : scale) / 2) / scale;
        value = value < -128 ? -128 : value > 127 ? 127 : value;
        out[i] = (uint8_t)value ^ flip;
    }
}

static struct bytes file_of_values(uint32_t type, size_t columns, size_t rows, enum drift drift,
                                   bool is_new)
{
    uint8_t *data = malloc(columns * rows);
    const struct model_tensor tensor = {"w", type, columns, rows, data};

    values_make(columns, rows, drift, is_new, type == TYPE_U8 ? 128 : 0, data);
    struct bytes file = safetensors_of(&tensor, 1, "x");
    free(data);
    return file;
}

static size_t round_trip(const struct bytes *old, const struct bytes *new, unsigned *predictor)
{
    struct flo_buf patch = {0};
    struct flo_buf out = {0};
    struct flo_err err = {0};

    create_bytes("tensor1", old->data, old->bytes, new->data, new->bytes, &patch);
    assert_int_equal(apply_bytes(FLO_CODEC_TENSOR1, old->data, old->bytes, patch.data, patch.bytes,
                                 new->bytes, &out, &err),
                     0);
    assert_int_equal(out.bytes, new->bytes);
    assert_memory_equal(out.data, new->data, new->bytes);
    *predictor = flo_get_u16(patch.data + PREDICTOR_AT);
    size_t bytes = patch.bytes;
    flo_buf_deinit(&patch);
    flo_buf_deinit(&out);
    return bytes;
}

/* About a third of the values move by one step: some 1.2 bits each. */
static void a_new_scale_of_any_kind_costs_little(void **state)
{
    (void)state;
    const size_t columns = 210;
    const size_t rows = 420;

    for (int drift = STILL; drift < DRIFTS; drift++) {
        for (unsigned k = 0; k < 2; k++) {
            uint32_t type = k == 0 ? TYPE_I8 : TYPE_U8;
            struct bytes old = file_of_values(type, columns, rows, (enum drift)drift, false);
            struct bytes new = file_of_values(type, columns, rows, (enum drift)drift, true);
            unsigned predictor;

            size_t bytes = round_trip(&old, &new, &predictor);

            assert_true(bytes * 8 < columns * rows * 14 / 10);
            assert_int_equal(predictor, FLO_TENSOR_PREDICTOR_INTEGERS);
            free(old.data);
            free(new.data);
        }
    }
}

static void rows_of_any_length_come_back(void **state)
{
    (void)state;
    static const size_t shapes[][2] = {{1, 3000}, {31, 70},    {33, 64},   {66000, 2},
                                       {9000, 1}, {131072, 9}, {4096, 300}};

    for (size_t i = 0; i < FLO_COUNT(shapes); i++) {
        for (int drift = STILL; drift < DRIFTS; drift++) {
            struct bytes old =
                file_of_values(TYPE_I8, shapes[i][0], shapes[i][1], (enum drift)drift, false);
            struct bytes new =
                file_of_values(TYPE_I8, shapes[i][0], shapes[i][1], (enum drift)drift, true);
            unsigned predictor;

            (void)round_trip(&old, &new, &predictor);

            free(old.data);
            free(new.data);
        }
    }
}

/* All bytes are zeros, or the largest there are, or noise. */
static void extreme_values_come_back(void **state)
{
    (void)state;
    static const uint8_t values[] = {0, 0x80, 0x7f, 0xff, 1};

    for (size_t a = 0; a < FLO_COUNT(values); a++) {
        for (size_t b = 0; b < FLO_COUNT(values); b++) {
            struct bytes old = file_of_values(TYPE_I8, 64, 64, STILL, false);
            struct bytes new = file_of_values(TYPE_I8, 64, 64, STILL, false);
            char *from = old.data + old.bytes - 4096;
            char *to = new.data + new.bytes - 4096;
            unsigned predictor;
            memset(from, values[a], 2048);
            memset(to, values[b], 2048);
            fill((uint8_t *)to + 3000, 700, (uint32_t)(a * 8 + b));

            (void)round_trip(&old, &new, &predictor);

            free(old.data);
            free(new.data);
        }
    }
}

/* ---- the golden patch ---- */

/* A tensor for each kind of drift. */
static struct bytes golden_file(bool is_new)
{
    struct model_tensor tensors[DRIFTS];
    uint8_t *data[DRIFTS];
    static const char *const names[] = {"still", "part", "rows", "columns"};

    for (int drift = STILL; drift < DRIFTS; drift++) {
        data[drift] = malloc(50 * 60);
        values_make(50, 60, (enum drift)drift, is_new, drift % 2 == 0 ? 0 : 128, data[drift]);
        tensors[drift] = (struct model_tensor){names[drift], drift % 2 == 0 ? TYPE_I8 : TYPE_U8, 50,
                                               60, data[drift]};
    }
    struct bytes file = safetensors_of(tensors, DRIFTS, "x");
    for (size_t i = 0; i < DRIFTS; i++) {
        free(data[i]);
    }
    return file;
}

static int apply_golden(const void *patch, size_t patch_bytes, struct flo_err *err)
{
    struct bytes old = golden_file(false);
    struct bytes new = golden_file(true);
    struct flo_buf out = {0};
    int rv = apply_bytes(FLO_CODEC_TENSOR1, old.data, old.bytes, patch, patch_bytes, new.bytes,
                         &out, err);

    if (rv == 0) {
        assert_int_equal(out.bytes, new.bytes);
        assert_memory_equal(out.data, new.data, new.bytes);
    }
    flo_buf_deinit(&out);
    free(old.data);
    free(new.data);
    return rv;
}

static void write_golden(const char *path)
{
    struct bytes old = golden_file(false);
    struct bytes new = golden_file(true);
    struct flo_buf patch = {0};
    FILE *file = fopen(path, "wb");

    create_bytes("tensor1", old.data, old.bytes, new.data, new.bytes, &patch);
    assert_int_equal(fwrite(patch.data, 1, patch.bytes, file), patch.bytes);
    assert_int_equal(fclose(file), 0);
    flo_buf_deinit(&patch);
    free(old.data);
    free(new.data);
}

static void the_golden_patch_decodes_bit_for_bit(void **state)
{
    (void)state;
    const char *path = getenv("FLOTILLA_WRITE_GOLDEN_INTEGERS");
    struct flo_err err = {0};

    if (path != NULL) { /* after a change of the predictor's version */
        write_golden(path);
    }
    struct bytes patch = load(GOLDEN);
    assert_int_equal(flo_get_u16(patch.data + PREDICTOR_AT), FLO_TENSOR_PREDICTOR_INTEGERS);
    assert_int_equal(apply_golden(patch.data, patch.bytes, &err), 0);
    free(patch.data);
}

static void an_older_predictor_has_no_integers(void **state)
{
    (void)state;

    for (uint16_t predictor = 0; predictor < 6; predictor++) {
        struct bytes patch = load(GOLDEN);
        struct flo_digest own;
        struct flo_err err = {0};
        flo_put_u16((uint8_t *)patch.data + PREDICTOR_AT, predictor);
        flo_sha256(patch.data, 144, &own);
        memcpy(patch.data + 144, &own, TENSOR_HASH_BYTES);

        int rv = apply_golden(patch.data, patch.bytes, &err);

        assert_int_equal(rv, predictor == FLO_TENSOR_PREDICTOR_INTEGERS ? 0 : FLO_E_PATCH_FORMAT);
        free(patch.data);
    }
}

static void broken_patches_are_errors_or_make_the_same_bytes(void **state)
{
    (void)state;
    struct bytes patch = load(GOLDEN);
    struct flo_err err = {0};

    for (size_t bytes = 0; bytes < patch.bytes; bytes += 13) {
        assert_int_not_equal(apply_golden(patch.data, bytes, &err), 0);
    }
    for (size_t bit = 0; bit < patch.bytes * 8; bit += 17) {
        patch.data[bit / 8] = (char)(patch.data[bit / 8] ^ 1 << bit % 8);
        (void)apply_golden(patch.data, patch.bytes, &err);
        patch.data[bit / 8] = (char)(patch.data[bit / 8] ^ 1 << bit % 8);
    }
    free(patch.data);
}

static uint32_t draw(uint32_t *random, size_t below)
{
    *random = *random * 1664525u + 1013904223u;
    return (uint32_t)((*random >> 8) % below);
}

/* Damages a copy of the patch: bytes are changed, a run is zeroed, a run stands
 * elsewhere too, or the file is cut and goes on with noise. */
static void damage(uint32_t *random, char *data, size_t bytes)
{
    size_t at = draw(random, bytes), from = draw(random, bytes);
    size_t run = 1 + draw(random, 64);

    run = run < bytes - at ? run : bytes - at;
    run = run < bytes - from ? run : bytes - from;
    switch (draw(random, 4)) {
    case 0:
        for (uint32_t i = draw(random, 4) + 1; i > 0; i--) {
            data[draw(random, bytes)] ^= (char)(1 + draw(random, 255));
        }
        break;
    case 1:
        memset(data + at, 0, run);
        break;
    case 2:
        memmove(data + at, data + from, run);
        break;
    default:
        for (; at < bytes; at++) {
            data[at] = (char)draw(random, 256);
        }
        break;
    }
}

/* A wrong byte would reach the fleet, if the digest of the whole did not see
 * it. */
static void no_drawn_damage_of_2400_makes_a_wrong_byte(void **state)
{
    (void)state;
    struct bytes patch = load(GOLDEN);
    char *damaged = malloc(patch.bytes);
    uint32_t random = 7;
    unsigned refused = 0;

    for (unsigned i = 0; i < 2400; i++) {
        struct flo_err err = {0};
        memcpy(damaged, patch.data, patch.bytes);
        damage(&random, damaged, patch.bytes);
        refused += apply_golden(damaged, patch.bytes, &err) != 0;
    }
    assert_true(refused > 2000); /* the others made the right bytes */
    free(damaged);
    free(patch.data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_scale_of_any_kind_costs_little),
        cmocka_unit_test(rows_of_any_length_come_back),
        cmocka_unit_test(extreme_values_come_back),
        cmocka_unit_test(the_golden_patch_decodes_bit_for_bit),
        cmocka_unit_test(an_older_predictor_has_no_integers),
        cmocka_unit_test(broken_patches_are_errors_or_make_the_same_bytes),
        cmocka_unit_test(no_drawn_damage_of_2400_makes_a_wrong_byte),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
