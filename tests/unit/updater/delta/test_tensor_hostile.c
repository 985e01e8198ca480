/* Typed patches by somebody who knows the format: digests and lengths are
 * right, and a number or a kind behind them is a lie.  Each ends with the error
 * that names it or makes the right bytes, in 8 MiB. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include <flotilla/errors/patch.h>

#include "patch_help.h"

static void without_a_lie_it_makes_the_file(void **state)
{
    struct hostile *world = *state;

    assert_int_equal(world->patch->count, PARTS);
    hostile_play(world, 0);
    world->patch->is_packed = true;
    hostile_play(world, 0);
}

/* ---- numbers ---- */

static void a_number_of_more_bytes_than_it_needs_is_read_or_refused(void **state)
{
    struct hostile *world = *state;

    for (size_t i = 0; i < PARTS; i++) {
        struct patch_part *part = &world->patch->parts[i];
        part->width = 9;
        hostile_play(world, 0);
        part->width = 10;
        hostile_play(world, FLO_E_PATCH_TRUNCATED);
        part->width = 40;
        hostile_play(world, FLO_E_PATCH_TRUNCATED);
        part->width = 0;
    }
}

static void a_number_ends_with_the_index(void **state)
{
    struct hostile *world = *state;
    struct flo_buf file = {0};
    struct tensor_head head = world->patch->head;
    uint8_t index[64];

    /* A copy whose length, or whose move, goes on behind the index. */
    memset(index, 128, sizeof index);
    index[0] = TENSOR_COPY;
    for (size_t bytes = 0; bytes < 12; bytes++) {
        for (int is_long = 0; is_long <= 1; is_long++) {
            index[1] = is_long != 0 ? 128 : 1;
            uint8_t data[TENSOR_HEAD_BYTES];
            head.part_count = 1;
            head.index_bytes = head.packed_bytes = (uint32_t)bytes;
            flo_sha256(index, bytes, &head.index_digest);
            flo_tensor_head_write(&head, data);
            file.bytes = 0;
            flo_buf_add(&file, data, sizeof data);
            flo_buf_add(&file, index, bytes);
            hostile_play_file(world, &file, FLO_E_PATCH_TRUNCATED);
        }
    }
    flo_buf_deinit(&file);
}

static void counts_and_sizes_of_the_head_are_the_true_ones(void **state)
{
    struct hostile *world = *state;
    struct patch *patch = world->patch;
    struct tensor_head *head = &patch->head;
    const struct tensor_head good = *head;

    for (int more = -PARTS; more < 0; more++) {
        patch->parts_more = more;
        hostile_play(world, FLO_E_PATCH_BOUNDS);
    }
    patch->parts_more = 1;
    hostile_play(world, HOSTILE_ANY_ERROR); /* what follows are hashes */
    patch->parts_more = (int)TENSOR_PARTS_MAX - PARTS;
    hostile_play(world, HOSTILE_ANY_ERROR);
    patch->parts_more = (int)TENSOR_PARTS_MAX - PARTS + 1;
    hostile_play(world, FLO_E_PATCH_LIMIT);
    patch->parts_more = -PARTS - 1; /* 2^32 - 1 */
    hostile_play(world, FLO_E_PATCH_LIMIT);
    patch->parts_more = 0;

    head->memory_bytes = 0; /* a decoder asks for its 8 MiB all the same */
    hostile_play(world, 0);
    head->memory_bytes = FLO_DELTA_MEMORY_BYTES_MAX + 1;
    hostile_play(world, FLO_E_PATCH_LIMIT);
    head->memory_bytes = UINT32_MAX;
    hostile_play(world, FLO_E_PATCH_LIMIT);
    *head = good;

    const uint64_t olds[] = {0, good.old_bytes - 1, good.old_bytes + 1, INT64_MAX};
    for (size_t i = 0; i < FLO_COUNT(olds); i++) {
        head->old_bytes = olds[i];
        hostile_play(world, FLO_E_PATCH_BASE);
    }
    head->old_bytes = UINT64_MAX;
    hostile_play(world, FLO_E_PATCH_LIMIT);
    *head = good;
}

static void the_output_is_what_the_release_says(void **state)
{
    struct hostile *world = *state;
    struct tensor_head *head = &world->patch->head;
    const uint64_t news[] = {0,          1,        world->new.bytes - 1, world->new.bytes + 1,
                             1ull << 40, INT64_MAX};

    for (size_t i = 0; i < FLO_COUNT(news); i++) {
        head->new_bytes = news[i];
        world->has_new_bytes = false;
        hostile_play(world, FLO_E_PATCH_LIMIT);
        world->has_new_bytes = true; /* release and head tell the same lie */
        world->new_bytes = news[i];
        hostile_play(world, FLO_E_PATCH_BOUNDS);
    }
    head->new_bytes = UINT64_MAX;
    world->has_new_bytes = true;
    world->new_bytes = UINT64_MAX;
    hostile_play(world, FLO_E_PATCH_LIMIT);
}

/* ---- places ---- */

static void moves_stay_in_the_old_file(void **state)
{
    struct hostile *world = *state;
    struct patch_part *copy = &world->patch->parts[COPY];
    const uint64_t moves[] = {INT64_MAX, (uint64_t)INT64_MAX - 1, 1ull << 62, (1ull << 62) + 1};

    copy->entry.old_at++;
    hostile_play(world, FLO_E_PATCH_BOUNDS);
    copy->entry.old_at = world->story.old.bytes;
    hostile_play(world, FLO_E_PATCH_BOUNDS);
    copy->entry.old_at = UINT64_MAX; /* that is -1 */
    hostile_play(world, FLO_E_PATCH_BOUNDS);
    copy->entry.old_at = world->story.old.bytes - 1000;
    copy->has_move = true;
    for (size_t i = 0; i < FLO_COUNT(moves); i++) {
        copy->move = moves[i];
        hostile_play(world, FLO_E_PATCH_BOUNDS);
    }
    copy->move = UINT64_MAX; /* ten bytes */
    hostile_play(world, FLO_E_PATCH_TRUNCATED);
    copy->has_move = false;

    for (size_t i = 0; i < PARTS; i++) {
        struct tensor_entry *entry = &world->patch->parts[i].entry;
        uint64_t at = entry->old_at;
        if (i == ZERO || i == PLAIN || i == COPY) {
            continue;
        }
        entry->old_at = world->story.old.bytes - entry->old_bytes + 1;
        hostile_play(world, FLO_E_PATCH_BOUNDS);
        entry->old_at = UINT64_MAX - entry->old_bytes + 1;
        hostile_play(world, FLO_E_PATCH_BOUNDS);
        entry->old_at = at;
    }
}

/* A copy has no hash of its own: the whole file has, in the head. */
static void a_copy_from_another_place_is_seen_at_the_end(void **state)
{
    struct hostile *world = *state;

    world->patch->parts[COPY].entry.old_at--;

    hostile_play(world, FLO_E_TARGET_HASH);
}

static void lengths_stay_in_the_new_file_and_in_their_limits(void **state)
{
    struct hostile *world = *state;
    const uint64_t lengths[] = {0, INT64_MAX, 1ull << 62};
    const size_t parts[] = {ZERO, COPY, PACKED};

    for (size_t i = 0; i < FLO_COUNT(parts); i++) {
        struct tensor_entry *entry = &world->patch->parts[parts[i]].entry;
        uint64_t bytes = entry->new_bytes;
        for (size_t k = 0; k < FLO_COUNT(lengths); k++) {
            entry->new_bytes = lengths[k];
            hostile_play(world, FLO_E_PATCH_BOUNDS);
        }
        entry->new_bytes = bytes;
    }
    struct tensor_entry *plain = &world->patch->parts[PLAIN].entry;
    plain->new_bytes = INT64_MAX;
    hostile_play(world, FLO_E_PATCH_LIMIT);
    plain->new_bytes = 0;
    hostile_play(world, FLO_E_PATCH_BOUNDS);
    plain->new_bytes = 11;

    struct patch_part *packed = &world->patch->parts[PACKED];
    packed->states = TENSOR_PART_BYTES_MAX + 1;
    hostile_play(world, FLO_E_PATCH_LIMIT);
    packed->states = INT64_MAX;
    hostile_play(world, FLO_E_PATCH_LIMIT);
    packed->states = TENSOR_PART_BYTES_MAX; /* behind the patch */
    hostile_play(world, FLO_E_PATCH_TRUNCATED);
    packed->states = packed->payload.bytes + 1;
    hostile_play(world, FLO_E_PATCH_TRUNCATED);
    packed->states = packed->payload.bytes - 1;
    hostile_play(world, FLO_E_PATCH_STREAM);
    packed->states = 0;
    uint64_t old_bytes = packed->entry.old_bytes;
    packed->entry.old_bytes = INT64_MAX;
    hostile_play(world, FLO_E_PATCH_BOUNDS);
    packed->entry.old_bytes = old_bytes - 1; /* its bytes lie in front */
    hostile_play(world, HOSTILE_ANY_ERROR);
}

static void typed_numbers_fit_their_types(void **state)
{
    struct hostile *world = *state;
    struct tensor_entry *entry = &world->patch->parts[TYPED].entry;
    const struct tensor_entry good = *entry;
    const uint64_t values[] = {0, 1, good.values - 1, 1ull << 23, 1ull << 62, INT64_MAX};

    for (size_t i = 0; i < FLO_COUNT(values); i++) {
        entry->values = values[i];
        hostile_play(world, HOSTILE_ANY_ERROR);
    }
    *entry = good;
    const uint32_t columns[] = {0, 1, 31, UINT32_MAX};
    for (size_t i = 0; i < FLO_COUNT(columns); i++) {
        entry->columns = columns[i];
        hostile_play(world, FLO_E_PATCH_FORMAT);
    }
    *entry = good;
    for (unsigned type = 0; type < 256; type++) {
        if (type != good.new_id) {
            entry->new_id = (uint8_t)type;
            hostile_play(world, HOSTILE_ANY_ERROR);
        }
    }
    *entry = good;
    for (unsigned type = 0; type < 256; type++) {
        if (type != good.old_id) {
            entry->old_id = (uint8_t)type;
            hostile_play(world, HOSTILE_ANY_ERROR);
        }
    }
}

/* ---- kinds ---- */

static void unknown_kinds_and_versions_are_refused(void **state)
{
    struct hostile *world = *state;
    struct patch *patch = world->patch;
    const unsigned predictors[] = {0, 4, 255, 65535};

    for (size_t i = 0; i < PARTS; i++) {
        patch->parts[i].has_op_byte = true;
        for (unsigned op = TENSOR_OPS; op < 256; op++) {
            patch->parts[i].op_byte = (uint8_t)op;
            hostile_play(world, FLO_E_PATCH_FORMAT);
            op = op == TENSOR_OPS ? 127 : op == 128 ? 254 : op;
        }
        patch->parts[i].has_op_byte = false;
    }
    for (size_t i = 0; i < FLO_COUNT(predictors); i++) {
        patch->head.predictor = predictors[i];
        hostile_play(world, FLO_E_PATCH_FORMAT);
    }
    patch->head.predictor = FLO_TENSOR_PREDICTOR;
    patch->parts[TYPED].entry.op = TENSOR_FOLLOWED;
    hostile_play(world, FLO_E_PATCH_FORMAT);
    /* With predictor 2 the group decodes another way from its F16 part on, and
     * its hash says so. */
    patch->head.predictor = FLO_TENSOR_PREDICTOR_FOLLOWS;
    hostile_play(world, FLO_E_PATCH_STREAM);
    patch->parts[TYPED].entry.op = TENSOR_TYPED;
    hostile_play(world, 0);
}

static void formats_and_flags_to_come_are_refused(void **state)
{
    struct hostile *world = *state;
    struct flo_buf file = {0};
    const size_t places[] = {8, 9, 12, 15};
    struct flo_digest own;

    for (size_t i = 0; i < FLO_COUNT(places); i++) {
        patch_seal(world->patch, &file);
        file.data[places[i]] ^= 2;
        flo_sha256(file.data, 144, &own);
        memcpy(file.data + 144, &own, TENSOR_HASH_BYTES);
        hostile_play_file(world, &file, FLO_E_PATCH_FORMAT);
    }
    flo_buf_deinit(&file);
}

#define in_world(test) cmocka_unit_test_setup_teardown(test, hostile_set_up, hostile_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        in_world(without_a_lie_it_makes_the_file),
        in_world(a_number_of_more_bytes_than_it_needs_is_read_or_refused),
        in_world(a_number_ends_with_the_index),
        in_world(counts_and_sizes_of_the_head_are_the_true_ones),
        in_world(the_output_is_what_the_release_says),
        in_world(moves_stay_in_the_old_file),
        in_world(a_copy_from_another_place_is_seen_at_the_end),
        in_world(lengths_stay_in_the_new_file_and_in_their_limits),
        in_world(typed_numbers_fit_their_types),
        in_world(unknown_kinds_and_versions_are_refused),
        in_world(formats_and_flags_to_come_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
