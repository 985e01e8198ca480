/* Typed deltas: each type, each change of type, what moved, what is no model;
 * and the golden patch that every machine decodes to the same bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/quant/quant.h"
#include "model_help.h"
#include "updater/delta/tensor/contexts.h"

#define GOLDEN "tests/golden/delta/types.tensor1"

/* Make a patch, apply it, and compare; the patch's bytes. */
static size_t round_trip(const struct bytes *old, const struct bytes *new)
{
    struct flo_buf patch = {0};
    struct flo_buf out = {0};
    struct flo_err err = {0};

    create_bytes("tensor1", old->data, old->bytes, new->data, new->bytes, &patch);
    assert_int_equal(apply_bytes(FLO_CODEC_TENSOR1, old->data, old->bytes, patch.data, patch.bytes,
                                 new->bytes, &out, &err),
                     0);
    assert_int_equal(out.bytes, new->bytes);
    if (new->bytes > 0) {
        assert_memory_equal(out.data, new->data, new->bytes);
    }
    size_t bytes = patch.bytes;
    flo_buf_deinit(&patch);
    flo_buf_deinit(&out);
    return bytes;
}

/* ---- blocks ---- */

static void an_unpacked_block_packs_to_the_same_bits(void **state)
{
    (void)state;

    for (size_t t = 3; t < MODEL_TYPES; t++) {
        const struct block_type *type = flo_block_type(model_types[t]);
        for (uint32_t seed = 0; seed < 50; seed++) {
            uint8_t bytes[256];
            uint8_t again[256];
            struct block block;
            fill(bytes, type->bytes, seed);

            flo_block_unpack(type, bytes, &block);
            flo_block_pack(type, &block, again);

            assert_memory_equal(bytes, again, type->bytes);
        }
    }
}

static void values_of_a_block_are_those_of_the_engine(void **state)
{
    (void)state;

    for (size_t t = 3; t < MODEL_TYPES; t++) {
        const struct block_type *type = flo_block_type(model_types[t]);
        uint16_t aligned[128];
        uint8_t *bytes = (uint8_t *)aligned;
        float expected[256];
        int64_t values[256];
        struct block block;
        weights_fill(model_types[t], bytes, type->values, 7);

        flo_block_unpack(type, bytes, &block);
        flo_block_values(type, &block, values);

        flo_quant_type(model_types[t])->decode(bytes, expected, type->values);
        for (size_t i = 0; i < type->values; i++) {
            double found = (double)values[i] / 4294967296.0;
            assert_true(fabs(found - (double)expected[i]) <= 1e-6 * (1 + fabs(found)));
        }
    }
}

/* The decoder takes this for granted: it computes no guess there. */
static void codes_on_a_grid_that_stays_are_guessed_right(void **state)
{
    (void)state;

    for (size_t t = 3; t < MODEL_TYPES; t++) {
        const struct block_type *type = flo_block_type(model_types[t]);
        int most = (1 << type->code_bits) - 1;
        for (uint32_t d = 0; d < 65536; d += 7) {
            struct block block = {.d = (uint16_t)d, .m = (uint16_t)(d * 31)};
            int64_t step, offset;
            fill(block.scales, sizeof block.scales, d);
            fill(block.mins, sizeof block.mins, d + 1);
            flo_block_grid(type, &block, d % BLOCK_PARTS_MAX, &step, &offset);
            struct inverse inverse = inverse_of(step, offset);
            for (int code = 0; !inverse.is_flat && code <= most; code++) {
                int level = type->is_grid ? flo_block_steps[code] : code - type->zero;
                int position = position_of(&inverse, step * level + offset);
                struct guess guess = type->is_grid ? guess_of_steps(position)
                                                   : guess_of(position + type->zero * 1024, most);

                assert_int_equal(guess.code, code);
                assert_int_equal(guess.toward, 1);
                assert_int_equal(guess.margin, 0);
            }
        }
    }
}

/* ---- types ---- */

#define COLUMNS 512
#define ROWS 24

static struct bytes one_tensor(uint32_t type, const uint8_t *data)
{
    const struct model_tensor tensor = {"blk.0.ffn_down.weight", type, COLUMNS, ROWS, data};

    return model_of(&tensor, 1, "a template");
}

static void a_small_update_of_each_type_is_exact_and_small(void **state)
{
    (void)state;

    for (size_t t = 0; t < MODEL_TYPES; t++) {
        uint32_t type = model_types[t];
        static uint8_t data[COLUMNS * ROWS * 4];
        weights_fill(type, data, COLUMNS * ROWS, 3);
        struct bytes old = one_tensor(type, data);
        weights_move(type, data, COLUMNS * ROWS, 4, 20);
        struct bytes new = one_tensor(type, data);

        size_t bytes = round_trip(&old, &new);

        /* A twentieth moves by one: at most 0.5 bits of a value, and what
         * the container takes. */
        assert_true(bytes < COLUMNS * ROWS / 16 + 700);
        free(old.data);
        free(new.data);
    }
}

/* The first bit of a part of one row, which says whether block 0 is copied.
 * Block 0 is unchanged.  The d of a block changes where its number has a bit of
 * `halves`, and a code where it has a bit of `codes`. */
static unsigned first_copy_bit(size_t halves, size_t codes)
{
    enum { BLOCKS = 64, BLOCK_BYTES = 34 };
    static uint8_t old[BLOCKS * BLOCK_BYTES];
    static uint8_t new[BLOCKS * BLOCK_BYTES];
    uint8_t payload[4096];
    const struct block_type *type = flo_block_type(FLO_QUANT_Q8_0);
    struct tensor_part part = {type, type, old, BLOCKS * 32, BLOCKS * 32, false};
    struct tensor_model *model = flo_tensor_model_new();
    struct range_coder coder;
    slot_t slot = SLOT_FRESH;

    weights_fill(FLO_QUANT_Q8_0, old, BLOCKS * 32, 3);
    memcpy(new, old, sizeof new);
    for (size_t i = 0; i < BLOCKS; i++) {
        new[i * BLOCK_BYTES] ^= (i & halves) != 0;
        new[i * BLOCK_BYTES + 7] ^= (i & codes) != 0;
    }
    flo_tensor_model_reset(model);
    range_encode_begin(&coder, payload, sizeof payload);
    assert_true(flo_tensor_encode(model, &coder, &part, new));
    size_t bytes = range_encode_end(&coder);
    flo_tensor_model_free(model);
    range_decode_begin(&coder, payload, bytes);
    return range_slot(&coder, true, &slot, 0);
}

static void equal_blocks_are_copied_where_that_foretells_their_numbers(void **state)
{
    (void)state;

    assert_int_equal(first_copy_bit(1, 1), 1); /* halves and codes change together */
    assert_int_equal(first_copy_bit(1, 2), 0); /* halves and codes change on their own */
}

static void all_bytes_of_each_pair_of_types_come_back(void **state)
{
    (void)state;
    static uint8_t one[256 * 8 * 4];
    static uint8_t other[256 * 8 * 4];

    for (size_t t = 0; t < MODEL_TYPES * MODEL_TYPES; t++) {
        struct model_tensor tensor = {"w", model_types[t % MODEL_TYPES], 256, 8, one};
        /* Any bytes: infinities, NaN, zero steps, negative ones. */
        fill(one, sizeof one, (uint32_t)t);
        fill(other, sizeof other, (uint32_t)t + 1000);
        struct bytes old = model_of(&tensor, 1, "x");
        tensor.type = model_types[t / MODEL_TYPES];
        tensor.data = t % 2 == 0 ? one : other;
        struct bytes new = model_of(&tensor, 1, "x");

        (void)round_trip(&old, &new);

        free(old.data);
        free(new.data);
    }
}

/* New bytes of another type from the same values, by the engine's encoder. */
static void a_change_of_type_costs_less_than_half(void **state)
{
    (void)state;
    static float values[COLUMNS * ROWS];
    static uint8_t from[COLUMNS * ROWS * 4];
    static uint8_t to[COLUMNS * ROWS * 4];

    for (size_t t = 0; t < MODEL_TYPES * MODEL_TYPES; t++) {
        const struct flo_quant_type *a = flo_quant_type(model_types[t % MODEL_TYPES]);
        const struct flo_quant_type *b = flo_quant_type(model_types[t / MODEL_TYPES]);
        weights_fill(a->id, from, COLUMNS * ROWS, 5);
        a->decode(from, values, COLUMNS * ROWS);
        b->encode(values, to, COLUMNS * ROWS);
        struct bytes old = one_tensor(a->id, from);
        struct bytes new = one_tensor(b->id, to);

        size_t bytes = round_trip(&old, &new);

        if (a->id == b->id || (a->block_values == 1 && b->block_values > 1)) {
            assert_true(bytes < new.bytes / 2);
        }
        assert_true(bytes < new.bytes + 1024);
        free(old.data);
        free(new.data);
    }
}

/* ---- what moved ---- */

#define LAYERS 6
#define LAYER_VALUES (256 * 64)
static uint8_t layers[LAYERS][LAYER_VALUES / 32 * 18];

static void name_layers(struct model_tensor *tensors, char names[][32], const char *before,
                        const char *after)
{
    for (size_t i = 0; i < LAYERS; i++) {
        (void)snprintf(names[i], 32, "%s%d%s", before, (int)i, after);
        tensors[i] = (struct model_tensor){names[i], FLO_QUANT_Q4_0, 256, 64, layers[i]};
        weights_fill(FLO_QUANT_Q4_0, layers[i], LAYER_VALUES, (uint32_t)i + 9);
    }
}

static void renamed_shuffled_and_pruned_layers_are_copied(void **state)
{
    (void)state;
    struct model_tensor tensors[LAYERS];
    char names[LAYERS][32];

    name_layers(tensors, names, "blk.", ".w");
    struct bytes old = model_of(tensors, LAYERS, "one");
    name_layers(tensors, names, "model.layers.", ".weight");
    struct bytes renamed = model_of(tensors, LAYERS, "one");
    name_layers(tensors, names, "blk.", ".w");
    for (size_t i = 0; i < LAYERS / 2; i++) {
        struct model_tensor swapped = tensors[i];
        tensors[i] = tensors[LAYERS - 1 - i];
        tensors[LAYERS - 1 - i] = swapped;
    }
    struct bytes shuffled = model_of(tensors, LAYERS, "one, and another");
    name_layers(tensors, names, "blk.", ".w");
    for (size_t i = 2; i < LAYERS; i++) { /* layer 1 goes, names close up */
        tensors[i - 1].data = layers[i];
    }
    struct bytes pruned = model_of(tensors, LAYERS - 1, "one");

    assert_true(round_trip(&old, &renamed) < 900);
    assert_true(round_trip(&old, &shuffled) < 900);
    assert_true(round_trip(&old, &pruned) < 900);

    free(old.data);
    free(renamed.data);
    free(shuffled.data);
    free(pruned.data);
}

static void appended_rows_cost_what_they_hold(void **state)
{
    (void)state;
    static uint8_t rows[256 * 400 / 32 * 34];
    struct model_tensor tensor = {"token_embd.weight", FLO_QUANT_Q8_0, 256, 384, rows};

    weights_fill(FLO_QUANT_Q8_0, rows, 256 * 400, 2);
    struct bytes old = model_of(&tensor, 1, "x");
    tensor.rows = 400;
    struct bytes new = model_of(&tensor, 1, "x");

    assert_true(round_trip(&old, &new) < 16 * 272 + 700);

    free(old.data);
    free(new.data);
}

static void files_that_are_no_models_come_back_too(void **state)
{
    (void)state;
    static char text[300000];
    struct bytes old = {text, sizeof text};
    struct bytes nothing = {text, 0};
    struct bytes shifted = {text + 1234, sizeof text - 1234};
    struct bytes tiny = {text, 3};

    fill((uint8_t *)text, sizeof text, 5);

    assert_true(round_trip(&old, &shifted) < 400);
    assert_true(round_trip(&old, &old) < 400);
    (void)round_trip(&old, &nothing);
    (void)round_trip(&nothing, &old);
    (void)round_trip(&tiny, &old);
    (void)round_trip(&old, &tiny);
}

static void real_models_come_back_and_each_release_costs_less(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {
        {OLD_MODEL, NEW_MODEL},
        {"tests/models/tiny-v1.Q4_1.gguf", "tests/models/tiny-v1.Q4_0.gguf"},
        {"tests/models/tiny-v1.F16.gguf", "tests/models/tiny-v1.Q8_0.gguf"},
    };

    for (size_t i = 0; i < FLO_COUNT(pairs); i++) {
        struct bytes old = load(pairs[i][0]);
        struct bytes new = load(pairs[i][1]);

        assert_true(round_trip(&old, &new) < new.bytes / 5);

        free(old.data);
        free(new.data);
    }
}

/* ---- the golden patch ---- */

/* Old: fifteen types, and fifteen tensors that change their type. */
static struct bytes golden_model(bool is_new)
{
    static uint8_t data[2 * MODEL_TYPES][512 * 4];
    struct model_tensor tensors[2 * MODEL_TYPES];
    char names[2 * MODEL_TYPES][16];
    float values[512];

    for (size_t i = 0; i < 2 * MODEL_TYPES; i++) {
        size_t t = i % MODEL_TYPES;
        bool is_changed = i >= MODEL_TYPES;
        const struct flo_quant_type *type = flo_quant_type(model_types[t]);
        const struct flo_quant_type *other = flo_quant_type(model_types[(t + 4) % MODEL_TYPES]);
        weights_fill(type->id, data[i], 512, (uint32_t)i + 77);
        if (is_new && is_changed) { /* the same bytes on every machine */
            type->decode(data[i], values, 512);
            other->encode(values, data[i], 512);
            type = other;
        } else if (is_new) {
            weights_move(type->id, data[i], 512, (uint32_t)i, 5);
        }
        (void)snprintf(names[i], sizeof names[i], "t%d", (int)i);
        tensors[i] = (struct model_tensor){names[i], type->id, 256, 2, data[i]};
    }
    return model_of(tensors, 2 * MODEL_TYPES, is_new ? "new" : "old");
}

static void the_golden_patch_decodes_bit_for_bit(void **state)
{
    (void)state;
    struct bytes old = golden_model(false);
    struct bytes new = golden_model(true);
    struct flo_buf out = {0};
    struct flo_err err = {0};
    const char *path = getenv("FLOTILLA_WRITE_GOLDEN");

    if (path != NULL) { /* after a change of the predictor's version */
        create_bytes("tensor1", old.data, old.bytes, new.data, new.bytes, &out);
        FILE *file = fopen(path, "wb");
        assert_int_equal(fwrite(out.data, 1, out.bytes, file), out.bytes);
        assert_int_equal(fclose(file), 0);
    }
    struct bytes patch = load(GOLDEN);

    assert_int_equal(apply_bytes(FLO_CODEC_TENSOR1, old.data, old.bytes, patch.data, patch.bytes,
                                 new.bytes, &out, &err),
                     0);
    assert_int_equal(out.bytes, new.bytes);
    assert_memory_equal(out.data, new.data, new.bytes);

    flo_buf_deinit(&out);
    free(patch.data);
    free(old.data);
    free(new.data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_unpacked_block_packs_to_the_same_bits),
        cmocka_unit_test(values_of_a_block_are_those_of_the_engine),
        cmocka_unit_test(codes_on_a_grid_that_stays_are_guessed_right),
        cmocka_unit_test(a_small_update_of_each_type_is_exact_and_small),
        cmocka_unit_test(equal_blocks_are_copied_where_that_foretells_their_numbers),
        cmocka_unit_test(all_bytes_of_each_pair_of_types_come_back),
        cmocka_unit_test(a_change_of_type_costs_less_than_half),
        cmocka_unit_test(renamed_shuffled_and_pruned_layers_are_copied),
        cmocka_unit_test(appended_rows_cost_what_they_hold),
        cmocka_unit_test(files_that_are_no_models_come_back_too),
        cmocka_unit_test(real_models_come_back_and_each_release_costs_less),
        cmocka_unit_test(the_golden_patch_decodes_bit_for_bit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
