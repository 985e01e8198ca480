/* Rows that move together: a merged adapter costs less than moves without
 * order, any bytes come back, and predictor 2 is asked for only then. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/patch.h>

#include "model_help.h"
#include "updater/delta/tensor/forecast.h"
#include "updater/delta/tensor/format.h"

#define GOLDEN "tests/golden/delta/followed.tensor1"
#define PREDICTOR_AT 10
#define F16 1u
#define BF16 30u
#define RANK 4

static uint32_t seed;

static int32_t noise(int32_t most)
{
    seed = seed * 1664525 + 1013904223;
    return (int32_t)(seed >> 8) % (2 * most + 1) - most;
}

static uint16_t number_of(uint32_t type, int32_t value)
{
    float f = (float)value / (float)(1 << 28); /* both exact */
    uint32_t bits;

    memcpy(&bits, &f, sizeof bits);
    return (uint16_t)flo_tensor_rounded(bits, flo_block_type(type));
}

enum update { NONE, ADAPTER, NO_ORDER };

/* Weights of up to 2^23 and moves of about a hundredth of that: of an adapter
 * of rank 4, or the same in another order. */
static void weights_make(uint32_t type, uint32_t columns, uint32_t rows, enum update update,
                         uint8_t *out)
{
    size_t count = (size_t)columns * rows;
    int32_t *moves = calloc(count, sizeof *moves);
    int32_t *along = malloc(columns * sizeof *along);

    seed = 7;
    for (int32_t k = 0; k < RANK; k++) {
        for (size_t c = 0; c < columns; c++) {
            along[c] = noise(300);
        }
        for (size_t r = 0; r < rows; r++) {
            int32_t far = noise(300 >> k);
            for (size_t c = 0; c < columns; c++) {
                moves[r * columns + c] += along[c] * far;
            }
        }
    }
    for (size_t i = count; update == NO_ORDER && i-- > 1;) {
        size_t other = (size_t)(noise(1 << 22) + (1 << 22)) % i;
        int32_t kept = moves[i];
        moves[i] = moves[other];
        moves[other] = kept;
    }
    seed = 8;
    for (size_t i = 0; i < count; i++) {
        int32_t value = noise(1 << 15) * 256;
        value += update == NONE ? 0 : moves[i];
        flo_put_u16(out + 2 * i, number_of(type, value));
    }
    free(moves);
    free(along);
}

/* A model of one matrix of each type. */
static struct bytes model_made(uint32_t columns, uint32_t rows, enum update update)
{
    size_t bytes = 2 * (size_t)columns * rows;
    uint8_t *half = malloc(bytes);
    uint8_t *brain = malloc(bytes);
    const struct model_tensor tensors[] = {{"half", F16, columns, rows, half},
                                           {"brain", BF16, columns, rows, brain}};

    weights_make(F16, columns, rows, update, half);
    weights_make(BF16, columns, rows, update, brain);
    struct bytes made = model_of(tensors, 2, "m");
    free(half);
    free(brain);
    return made;
}

/* Bytes of the patch, and its predictor. */
static size_t round_trip(enum update update, unsigned *predictor)
{
    struct bytes old = model_made(256, 600, NONE);
    struct bytes new = model_made(256, 600, update);
    struct flo_buf patch = {0};
    struct flo_buf out = {0};
    struct flo_err err = {0};

    create_bytes("tensor1", old.data, old.bytes, new.data, new.bytes, &patch);
    assert_int_equal(apply_bytes(FLO_CODEC_TENSOR1, old.data, old.bytes, patch.data, patch.bytes,
                                 new.bytes, &out, &err),
                     0);
    assert_int_equal(out.bytes, new.bytes);
    assert_memory_equal(out.data, new.data, new.bytes);
    *predictor = flo_get_u16(patch.data + PREDICTOR_AT);
    size_t bytes = patch.bytes;
    flo_buf_deinit(&patch);
    flo_buf_deinit(&out);
    free(old.data);
    free(new.data);
    return bytes;
}

static void a_merged_adapter_costs_less_than_moves_without_order(void **state)
{
    (void)state;
    unsigned follows = 0;
    unsigned plain = 0;

    size_t adapter = round_trip(ADAPTER, &follows);
    size_t no_order = round_trip(NO_ORDER, &plain);

    assert_int_equal(follows, FLO_TENSOR_PREDICTOR_FOLLOWS);
    assert_int_equal(plain, FLO_TENSOR_PREDICTOR); /* older devices can */
    assert_true(adapter * 10 < no_order * 6);
}

/* ---- any bytes ---- */

/* Bytes that a trainer would not write. */
static void spoil(uint8_t *data, size_t bytes, unsigned way)
{
    static const uint16_t odd[] = {0x7f80, 0xff80, 0x7c00, 0xfc01, 0xffff,
                                   0x0001, 0x8000, 0x7f7f, 0xfbff, 0x0080};

    fill(data, bytes, way);
    for (size_t i = 0; way % 2 != 0 && i + 1 < bytes; i += 2) {
        flo_put_u16(data + i, odd[(i / 2 * way + data[i]) % FLO_COUNT(odd)]);
    }
}

/* Numbers from 1 to 2 that move together to almost 4: what is foreseen lies
 * beyond the largest exponent of the old ones. */
static void make_growing(uint32_t type, uint8_t *old, uint8_t *new, uint32_t columns, uint32_t rows)
{
    seed = 3;
    for (uint32_t r = 0; r < rows; r++) {
        int32_t far = noise(1 << 13) + (1 << 13);
        for (uint32_t c = 0; c < columns; c++) {
            size_t at = ((size_t)r * columns + c) * 2;
            int32_t value = (1 << 28) + (noise(31000) + 31000) * 4096;
            int32_t moved = (int32_t)(c * 2654435761u >> 18) * far;
            flo_put_u16(old + at, number_of(type, value));
            flo_put_u16(new + at, number_of(type, value + moved));
        }
    }
}

static void any_bytes_come_back_when_followed(void **state)
{
    (void)state;
    static const uint32_t columns[] = {32, 96, 1024, 8192};
    static uint8_t old[1 << 20];
    static uint8_t new[1 << 20];
    static uint8_t back[1 << 20];
    static uint8_t payload[3 << 20];
    struct tensor_model *model = flo_tensor_model_new();

    for (unsigned i = 0; i < 4 * 2 * 5; i++) {
        const struct block_type *type = flo_block_type(i % 2 != 0 ? F16 : BF16);
        struct tensor_part part = {.old_type = type,
                                   .new_type = type,
                                   .old = old,
                                   .columns = columns[i / 2 % 4],
                                   .is_followed = true};
        struct range_coder coder;
        part.values = part.columns * UINT64_C(40);
        size_t bytes = (size_t)part.values * 2;
        if (i < 4 * 2) {
            make_growing(type->id, old, new, part.columns, 40);
        } else {
            spoil(old, bytes, i / 8);
            spoil(new, bytes, i / 8 + 1);
        }

        assert_true(flo_tensor_part_can_follow(&part));
        flo_tensor_model_reset(model);
        range_encode_begin(&coder, payload, sizeof payload);
        assert_true(flo_tensor_encode(model, &coder, &part, new));
        size_t payload_bytes = range_encode_end(&coder);
        assert_false(coder.is_full);

        flo_tensor_model_reset(model);
        range_decode_begin(&coder, payload, payload_bytes);
        assert_true(flo_tensor_decode(model, &coder, &part, back));
        assert_true(range_is_spent(&coder));
        assert_memory_equal(back, new, bytes);
    }
    flo_tensor_model_free(model);
}

/* ---- the golden patch ---- */

#define GOLDEN_COLUMNS 64
#define GOLDEN_ROWS 160

static int apply_golden(const void *patch, size_t bytes, struct flo_err *err)
{
    struct bytes old = model_made(GOLDEN_COLUMNS, GOLDEN_ROWS, NONE);
    struct bytes new = model_made(GOLDEN_COLUMNS, GOLDEN_ROWS, ADAPTER);
    struct flo_buf out = {0};
    int rv =
        apply_bytes(FLO_CODEC_TENSOR1, old.data, old.bytes, patch, bytes, new.bytes, &out, err);

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
    struct bytes old = model_made(GOLDEN_COLUMNS, GOLDEN_ROWS, NONE);
    struct bytes new = model_made(GOLDEN_COLUMNS, GOLDEN_ROWS, ADAPTER);
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
    const char *path = getenv("FLOTILLA_WRITE_GOLDEN_FOLLOWED");
    struct flo_err err = {0};

    if (path != NULL) { /* after a change of the predictor's version */
        write_golden(path);
    }
    struct bytes patch = load(GOLDEN);
    assert_int_equal(flo_get_u16(patch.data + PREDICTOR_AT), FLO_TENSOR_PREDICTOR_FOLLOWS);
    assert_int_equal(apply_golden(patch.data, patch.bytes, &err), 0);
    free(patch.data);
}

/* The golden patch with another predictor in a sound head. */
static int apply_as(uint16_t predictor)
{
    struct bytes patch = load(GOLDEN);
    struct flo_digest own;
    struct flo_err err = {0};

    flo_put_u16((uint8_t *)patch.data + PREDICTOR_AT, predictor);
    flo_sha256(patch.data, 144, &own);
    memcpy(patch.data + 144, &own, TENSOR_HASH_BYTES);
    int rv = apply_golden(patch.data, patch.bytes, &err);
    free(patch.data);
    return rv;
}

static void another_predictor_is_refused(void **state)
{
    (void)state;

    assert_int_equal(apply_as(FLO_TENSOR_PREDICTOR_FOLLOWS), 0);
    assert_int_equal(apply_as(FLO_TENSOR_PREDICTOR), FLO_E_PATCH_FORMAT);
    assert_int_equal(apply_as(0), FLO_E_PATCH_FORMAT);
    assert_int_equal(apply_as(4), FLO_E_PATCH_FORMAT);
}

static void broken_patches_are_errors_or_make_the_same_bytes(void **state)
{
    (void)state;
    struct bytes patch = load(GOLDEN);
    struct flo_err err = {0};

    for (size_t bytes = 0; bytes < patch.bytes; bytes += 13) {
        assert_int_not_equal(apply_golden(patch.data, bytes, &err), 0);
    }
    for (size_t bit = 0; bit < patch.bytes * 8; bit += 61) {
        patch.data[bit / 8] = (char)(patch.data[bit / 8] ^ 1 << bit % 8);
        (void)apply_golden(patch.data, patch.bytes, &err);
        patch.data[bit / 8] = (char)(patch.data[bit / 8] ^ 1 << bit % 8);
    }
    free(patch.data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_merged_adapter_costs_less_than_moves_without_order),
        cmocka_unit_test(any_bytes_come_back_when_followed),
        cmocka_unit_test(the_golden_patch_decodes_bit_for_bit),
        cmocka_unit_test(another_predictor_is_refused),
        cmocka_unit_test(broken_patches_are_errors_or_make_the_same_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
