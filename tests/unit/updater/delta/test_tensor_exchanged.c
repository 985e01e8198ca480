/* Typed patches by somebody who knows the format: parts in a wrong order,
 * payloads that were exchanged, frames with more than their bytes, and the most
 * memory that a patch can ask for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <zstd.h>

#include <flotilla/errors/patch.h>

#include "patch_help.h"

/* ---- order ---- */

static void the_new_file_has_no_gap_and_no_byte_twice(void **state)
{
    for (size_t i = 0; i < PARTS; i++) {
        struct hostile *world = *state;
        struct patch_part *part = &world->patch->parts[i];

        patch_double(world->patch, i); /* a group, or a tensor, twice */
        hostile_play(world, FLO_E_PATCH_BOUNDS);
        patch_drop(world->patch, i);
        hostile_play(world, 0);
        if (i == ZERO || i == COPY) {
            part->entry.new_bytes--; /* a byte is missing */
            part->entry.old_bytes -= i == COPY;
            hostile_play(world, FLO_E_PATCH_BOUNDS);
            part->entry.new_bytes += 2; /* one too many */
            part->entry.old_bytes += i == COPY ? 2 : 0;
            part->entry.old_at -= i == COPY;
            hostile_play(world, FLO_E_PATCH_BOUNDS);
            part->entry.new_bytes--;
            part->entry.old_bytes -= i == COPY;
            part->entry.old_at += i == COPY;
        }
    }
}

static void a_dropped_part_is_missed(void **state)
{
    for (size_t i = 0; i < PARTS; i++) {
        struct hostile *world;
        void *fresh = NULL;

        (void)state;
        hostile_set_up(&fresh);
        world = fresh;
        patch_drop(world->patch, i);
        /* Behind a typed part that is gone nothing goes on. */
        hostile_play(world, i == TYPED ? FLO_E_PATCH_FORMAT : FLO_E_PATCH_BOUNDS);
        hostile_tear_down(&fresh);
    }
}

static void two_parts_that_change_places_are_seen_by_their_hashes(void **state)
{
    struct hostile *world = *state;
    struct patch *patch = world->patch;
    struct patch_part *first = &patch->parts[PACKED];
    struct patch_part *second = &patch->parts[AGAIN];
    struct flo_buf payload = first->payload;

    /* The payloads of two parts, with lengths that are right. */
    first->payload = second->payload;
    second->payload = payload;
    hostile_play(world, FLO_E_PATCH_STREAM);
    /* Their hashes as well: each is whole, and is none for its part. */
    uint8_t hash[TENSOR_HASH_BYTES];
    memcpy(hash, first->payload_hash, sizeof hash);
    memcpy(first->payload_hash, second->payload_hash, sizeof hash);
    memcpy(second->payload_hash, hash, sizeof hash);
    hostile_play(world, FLO_E_PATCH_STREAM);
}

/* Two groups of the same types and lengths. */
static void payloads_of_two_like_groups_do_not_change_places(void **state)
{
    struct hostile *world = *state;
    struct patch_part *group = &world->patch->parts[TYPED];
    struct patch_part *again = &world->patch->parts[AGAIN];
    uint8_t hash[TENSOR_HASH_BYTES];

    again->entry.old_at += 144; /* a block farther on: other bytes */
    hostile_play(world, FLO_E_PATCH_STREAM);
    again->entry.old_at -= 144;
    memcpy(hash, again->new_hash, sizeof hash);
    memcpy(again->new_hash, world->patch->parts[MORE_A].new_hash, sizeof hash);
    hostile_play(world, FLO_E_PATCH_STREAM);
    memcpy(again->new_hash, hash, sizeof hash);
    /* The first group's payload has the bits of two parts more. */
    patch_payload(again, group->payload.data, group->payload.bytes);
    hostile_play(world, FLO_E_PATCH_STREAM);
}

static void the_index_has_the_hashes_of_its_parts_and_nothing_else(void **state)
{
    struct hostile *world = *state;
    char junk[TENSOR_HASH_BYTES] = {0};

    for (size_t bytes = 1; bytes <= sizeof junk; bytes++) {
        world->patch->behind.bytes = 0;
        flo_buf_add(&world->patch->behind, junk, bytes);
        hostile_play(world, FLO_E_PATCH_BOUNDS);
    }
    world->patch->behind.bytes = 0;
    for (size_t i = 0; i < PARTS; i++) {
        struct patch_part *part = &world->patch->parts[i];
        part->new_hash[3] ^= 1;
        hostile_play(world, i == ZERO || i == COPY ? 0 : FLO_E_PATCH_STREAM);
        part->new_hash[3] ^= 1;
        part->payload_hash[15] ^= 128;
        hostile_play(world, i == PACKED || i == TYPED || i == AGAIN ? FLO_E_PATCH_STREAM : 0);
        part->payload_hash[15] ^= 128;
    }
}

/* ---- frames ---- */

static void behind(struct flo_buf *out, const char *kind)
{
    static const uint8_t skippable[] = {0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3};
    char frame[64];

    if (strcmp(kind, "bytes") == 0) {
        flo_buf_add(out, "more", 4);
    } else if (strcmp(kind, "skippable") == 0) {
        flo_buf_add(out, skippable, sizeof skippable);
    } else {
        const char *text = strcmp(kind, "empty") == 0 ? "" : "second";
        size_t got = ZSTD_compress(frame, sizeof frame, text, strlen(text), 3);
        flo_buf_add(out, frame, got);
    }
}

static void nothing_stands_behind_a_frame(void **state)
{
    static const char *const kinds[] = {"bytes", "skippable", "empty", "second"};
    struct hostile *world = *state;
    struct patch_part *packed = &world->patch->parts[PACKED];

    for (size_t i = 0; i < PARTS; i++) {
        world->patch->parts[i].width = 9; /* the index is worth packing */
    }
    for (size_t i = 0; i < FLO_COUNT(kinds); i++) {
        struct flo_buf good = {0};
        struct flo_buf more = {0};
        flo_buf_add(&good, packed->payload.data, packed->payload.bytes);
        flo_buf_add(&more, good.data, good.bytes);
        behind(&more, kinds[i]);
        patch_payload(packed, more.data, more.bytes);
        hostile_play(world, FLO_E_PATCH_STREAM);
        more.bytes = 0; /* and in front of it */
        behind(&more, kinds[i]);
        flo_buf_add(&more, good.data, good.bytes);
        patch_payload(packed, more.data, more.bytes);
        hostile_play(world, FLO_E_PATCH_STREAM);
        patch_payload(packed, good.data, good.bytes);

        world->patch->is_packed = true;
        behind(&world->patch->frame_behind, kinds[i]);
        hostile_play(world, FLO_E_PATCH_STREAM);
        world->patch->frame_behind.bytes = 0;
        world->patch->is_packed = false;
        flo_buf_deinit(&good);
        flo_buf_deinit(&more);
    }
    hostile_play(world, 0);
}

static void nothing_stands_behind_typed_values(void **state)
{
    struct hostile *world = *state;
    const size_t parts[] = {TYPED, AGAIN};

    for (size_t i = 0; i < FLO_COUNT(parts); i++) {
        struct patch_part *part = &world->patch->parts[parts[i]];
        struct flo_buf more = {0};
        flo_buf_add(&more, part->payload.data, part->payload.bytes);
        flo_buf_add(&more, "\0\0\0\0\0\0\0\0", 8);
        patch_payload(part, more.data, more.bytes);
        hostile_play(world, FLO_E_PATCH_STREAM);
        patch_payload(part, more.data, more.bytes - 16);
        hostile_play(world, FLO_E_PATCH_STREAM);
        patch_payload(part, "", 0);
        hostile_play(world, FLO_E_PATCH_STREAM);
        patch_payload(part, more.data, more.bytes - 8);
        flo_buf_deinit(&more);
    }
}

/* Heads of frames: descriptor, window or size, and a size that is not there. */
static void frames_that_state_another_size_are_not_unpacked(void **state)
{
    struct hostile *world = *state;
    struct patch_part *packed = &world->patch->parts[PACKED];
    static const uint8_t bomb[] = {/* 2^62 bytes, window of 2^41 */
                                   0x28, 0xb5, 0x2f, 0xfd, 0xc0, 0xf8, 0, 0, 0,
                                   0,    0,    0,    0,    0x40, 1,    0, 0};
    static const uint8_t unknown[] = {/* no size, window of 2^41 */
                                      0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xf8, 0x03, 0x00, 0x00};
    static const uint8_t wide[] = {/* 256 bytes by one run, window of 2^41 */
                                   0x28, 0xb5, 0x2f, 0xfd, 0x40, 0xf8,
                                   0x00, 0x00, 0x03, 0x08, 0x00, 0x2e};
    static const uint8_t dictionary[] = {/* the same, of dictionary 77 */
                                         0x28, 0xb5, 0x2f, 0xfd, 0x41, 0x00, 77,
                                         0x00, 0x00, 0x03, 0x08, 0x00, 0x2e};

    assert_int_equal(packed->entry.new_bytes, 256);
    patch_payload(packed, bomb, sizeof bomb);
    hostile_play(world, FLO_E_PATCH_STREAM);
    patch_payload(packed, unknown, sizeof unknown);
    hostile_play(world, FLO_E_PATCH_STREAM);
    patch_payload(packed, wide, sizeof wide);
    hostile_play(world, FLO_E_PATCH_STREAM);
    patch_payload(packed, dictionary, sizeof dictionary);
    hostile_play(world, FLO_E_PATCH_STREAM);
    patch_payload(packed, "", 0);
    hostile_play(world, FLO_E_PATCH_STREAM);
}

static void an_index_that_unpacks_to_another_size_is_refused(void **state)
{
    struct hostile *world = *state;
    struct flo_buf file = {0};
    uint8_t data[TENSOR_HEAD_BYTES];
    struct tensor_head head;
    const int lies[] = {-1, 1, 1 << 19};

    world->patch->is_packed = true;
    for (size_t i = 0; i < FLO_COUNT(lies); i++) {
        patch_seal(world->patch, &file);
        assert_int_equal(flo_tensor_head_read((const uint8_t *)file.data, TENSOR_HEAD_BYTES,
                                              file.bytes, &head, NULL),
                         0);
        head.index_bytes = (uint32_t)((int)head.index_bytes + lies[i]);
        flo_tensor_head_write(&head, data);
        memcpy(file.data, data, sizeof data);
        hostile_play_file(world, &file, FLO_E_PATCH_STREAM);
    }
    head.index_bytes = TENSOR_INDEX_BYTES_MAX + 1;
    flo_tensor_head_write(&head, data);
    memcpy(file.data, data, sizeof data);
    hostile_play_file(world, &file, FLO_E_PATCH_LIMIT);
    head.index_bytes = head.packed_bytes - 1;
    flo_tensor_head_write(&head, data);
    memcpy(file.data, data, sizeof data);
    hostile_play_file(world, &file, FLO_E_PATCH_LIMIT);
    flo_buf_deinit(&file);
}

/* ---- other files ---- */

static void a_patch_for_another_base_of_the_same_size_is_refused(void **state)
{
    struct hostile *world = *state;
    struct flo_buf file = {0};
    struct flo_buf out = {0};
    struct flo_err err = {0};
    const struct bytes *new = &world->story.new;

    assert_int_equal(new->bytes, world->story.old.bytes);
    patch_seal(world->patch, &file);
    assert_int_equal(apply_bytes(FLO_CODEC_TENSOR1, new->data, new->bytes, file.data, file.bytes,
                                 world->new.bytes, &out, &err),
                     FLO_E_PATCH_BASE);
    assert_int_equal(out.bytes, 0);
    /* One that lies about its base's digest gets no byte past a hash. */
    flo_sha256(new->data, new->bytes, &world->patch->head.old_digest);
    patch_seal(world->patch, &file);
    assert_int_equal(apply_bytes(FLO_CODEC_TENSOR1, new->data, new->bytes, file.data, file.bytes,
                                 world->new.bytes, &out, &err),
                     FLO_E_PATCH_STREAM);
    assert_int_equal(out.bytes, 0);
    flo_buf_deinit(&file);
    flo_buf_deinit(&out);
}

/* ---- all of them ---- */

/* Each bit of the index, behind a digest that is right.  Bytes in front of an
 * error are right where they have a hash; copies and zeros have none. */
static void each_bit_of_a_signed_index_is_an_error_or_harmless(void **state)
{
    struct hostile *world = *state;
    struct flo_buf file = {0};
    struct tensor_head head;
    uint8_t data[TENSOR_HEAD_BYTES];
    const size_t hashes = 6 + 3; /* of results, of payloads */
    size_t made = 0;

    patch_seal(world->patch, &file);
    assert_int_equal(flo_tensor_head_read((const uint8_t *)file.data, TENSOR_HEAD_BYTES, file.bytes,
                                          &head, NULL),
                     0);
    size_t entry_bits = (head.index_bytes - hashes * TENSOR_HASH_BYTES) * 8;
    for (size_t bit = 0; bit < (size_t)head.index_bytes * 8; bit++) {
        char *byte = file.data + TENSOR_HEAD_BYTES + bit / 8;
        struct flo_buf out = {0};
        struct flo_err err = {0};
        *byte ^= (char)(1 << bit % 8);
        flo_sha256(file.data + TENSOR_HEAD_BYTES, head.index_bytes, &head.index_digest);
        flo_tensor_head_write(&head, data);
        memcpy(file.data, data, sizeof data);
        int rv = apply_bytes(FLO_CODEC_TENSOR1, world->story.old.data, world->story.old.bytes,
                             file.data, file.bytes, world->new.bytes, &out, &err);
        assert_true(rv == 0 || (rv == err.code && err.what[0] != '\0'));
        assert_true(out.bytes <= world->new.bytes);
        made += rv == 0;
        if (rv == 0 || bit >= entry_bits) {
            assert_true(rv == 0 || rv == FLO_E_PATCH_STREAM);
            assert_true(rv < 0 || out.bytes == world->new.bytes);
            assert_int_equal(memcmp(out.data == NULL ? "" : out.data, world->new.data, out.bytes),
                             0);
        }
        *byte ^= (char)(1 << bit % 8);
        flo_buf_deinit(&out);
    }
    printf("%zu of %zu bits make the same file\n", made, (size_t)head.index_bytes * 8);
    flo_buf_deinit(&file);
}

static void a_base_that_rotted_is_refused_before_a_byte_is_written(void **state)
{
    struct hostile *world = *state;
    struct bytes *old = &world->story.old;
    struct flo_digest signed_base;
    struct flo_buf file = {0};
    struct flo_buf out = {0};
    struct flo_err err = {0};

    flo_sha256(old->data, old->bytes, &signed_base);
    old->data[old->bytes / 2] ^= 16;
    patch_seal(world->patch, &file);
    const struct flo_delta_job job = {.codec = FLO_CODEC_TENSOR1,
                                      .patch_fd = file_of(file.data, file.bytes),
                                      .base_fd = file_of(old->data, old->bytes),
                                      .base_digest = &signed_base,
                                      .new_bytes = world->new.bytes,
                                      .on_data = append_piece,
                                      .context = &out};
    assert_int_equal(flo_delta_apply(&job, NULL, &err), FLO_E_PATCH_BASE_CORRUPT);
    assert_int_equal(out.bytes, 0);
    (void)close(job.patch_fd);
    (void)close(job.base_fd);
    flo_buf_deinit(&file);
    flo_buf_deinit(&out);
}

/* ---- the most memory ---- */

#define BIG_OLD (3u << 20)
#define BIG_PLAIN                                                                                  \
    50000 /* parts of four bytes, for an index of nearly 1 MiB                                     \
           */
#define BIG_PACKED ((1u << 20) - 4096)

/* The largest of each kind at once: an index of nearly 1 MiB that hardly packs,
 * a prefix of 2 MiB, a payload and a typed part of 1 MiB. */
struct big {
    uint8_t *old;
    struct flo_buf new;
    struct flo_buf entries;
    struct flo_buf hashes;
    struct flo_buf payloads;
    uint64_t old_end;
    uint32_t count;
};

static void add_big(struct big *big, struct tensor_entry *entry, const void *bytes,
                    const void *payload)
{
    struct flo_digest hash;

    flo_tensor_entry_write(entry, big->old_end, &big->entries);
    if (entry->op != TENSOR_PLAIN) {
        big->old_end = entry->old_at + entry->old_bytes;
    }
    flo_sha256(bytes, (size_t)entry->new_bytes, &hash);
    flo_buf_add(&big->hashes, &hash, TENSOR_HASH_BYTES);
    if (entry->op != TENSOR_PLAIN) {
        flo_sha256(payload, entry->payload_bytes, &hash);
        flo_buf_add(&big->hashes, &hash, TENSOR_HASH_BYTES);
    }
    flo_buf_add(&big->new, bytes, (size_t)entry->new_bytes);
    flo_buf_add(&big->payloads, payload, entry->payload_bytes);
    big->count++;
}

static void add_packed(struct big *big)
{
    size_t room = ZSTD_compressBound(BIG_PACKED);
    uint8_t *bytes = malloc(BIG_PACKED);
    uint8_t *frame = malloc(room);

    fill(bytes, BIG_PACKED, 5);
    size_t got = ZSTD_compress(frame, room, bytes, BIG_PACKED, 1);
    assert_true(got > BIG_PACKED && got <= TENSOR_PART_BYTES_MAX);
    add_big(big,
            &(struct tensor_entry){.op = TENSOR_PACKED,
                                   .new_bytes = BIG_PACKED,
                                   .old_at = BIG_OLD - TENSOR_PREFIX_BYTES_MAX,
                                   .old_bytes = TENSOR_PREFIX_BYTES_MAX,
                                   .payload_bytes = (uint32_t)got},
            bytes, frame);
    free(bytes);
    free(frame);
}

static void add_typed(struct big *big)
{
    struct tensor_model *model = flo_tensor_model_new();
    struct range_coder coder;
    size_t room = 2u << 20;
    uint8_t *payload = malloc(room);
    struct tensor_part part = {
        .old_type = flo_block_type(0),
        .new_type = flo_block_type(0),
        .old = big->old,
        .values = TENSOR_PART_BYTES_MAX / 4,
        .columns = 1024,
    };

    flo_tensor_model_reset(model);
    range_encode_begin(&coder, payload, room);
    assert_true(flo_tensor_encode(model, &coder, &part, big->old));
    add_big(big,
            &(struct tensor_entry){.op = TENSOR_TYPED,
                                   .new_bytes = TENSOR_PART_BYTES_MAX,
                                   .old_bytes = TENSOR_PART_BYTES_MAX,
                                   .values = part.values,
                                   .columns = part.columns,
                                   .payload_bytes = (uint32_t)range_encode_end(&coder)},
            big->old, payload);
    free(payload);
    flo_tensor_model_free(model);
}

static void seal_big(struct big *big, struct flo_buf *out)
{
    struct tensor_head head = {.predictor = FLO_TENSOR_PREDICTOR,
                               .old_bytes = BIG_OLD,
                               .new_bytes = big->new.bytes,
                               .memory_bytes = TENSOR_MEMORY_BYTES,
                               .part_count = big->count};
    uint8_t data[TENSOR_HEAD_BYTES];

    flo_buf_add(&big->entries, big->hashes.data, big->hashes.bytes);
    head.index_bytes = (uint32_t)big->entries.bytes;
    assert_true(head.index_bytes > TENSOR_INDEX_BYTES_MAX * 8 / 10 &&
                head.index_bytes <= TENSOR_INDEX_BYTES_MAX);
    size_t room = ZSTD_compressBound(big->entries.bytes);
    char *index = malloc(room);
    head.packed_bytes =
        (uint32_t)ZSTD_compress(index, room, big->entries.data, big->entries.bytes, 1);
    assert_true(head.packed_bytes > head.index_bytes * 8 / 10 &&
                head.packed_bytes < head.index_bytes);
    flo_sha256(index, head.packed_bytes, &head.index_digest);
    flo_sha256(big->old, BIG_OLD, &head.old_digest);
    flo_sha256(big->new.data, big->new.bytes, &head.new_digest);
    flo_tensor_head_write(&head, data);
    flo_buf_add(out, data, sizeof data);
    flo_buf_add(out, index, head.packed_bytes);
    flo_buf_add(out, big->payloads.data, big->payloads.bytes);
    free(index);
}

static void the_largest_of_each_kind_at_once_takes_8_mib(void **state)
{
    struct big big = {.old = malloc(BIG_OLD)};
    struct hostile world = {0};
    uint8_t bytes[4 * BIG_PLAIN];

    (void)state;
    limit_growth_begin();
    fill(big.old, BIG_OLD, 3);
    fill(bytes, sizeof bytes, 4);
    add_packed(&big);
    for (size_t i = 0; i < BIG_PLAIN; i++) {
        add_big(&big,
                &(struct tensor_entry){.op = TENSOR_PLAIN, .new_bytes = 4, .payload_bytes = 4},
                &bytes[4 * i], &bytes[4 * i]);
    }
    add_typed(&big);
    struct flo_buf file = {0};
    seal_big(&big, &file);
    world.story.old = (struct bytes){(char *)big.old, BIG_OLD};
    world.new = big.new;

    hostile_play_file(&world, &file, 0);

    flo_buf_deinit(&file);
    flo_buf_deinit(&big.new);
    flo_buf_deinit(&big.entries);
    flo_buf_deinit(&big.hashes);
    flo_buf_deinit(&big.payloads);
    free(big.old);
}

#define in_world(test) cmocka_unit_test_setup_teardown(test, hostile_set_up, hostile_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        in_world(the_new_file_has_no_gap_and_no_byte_twice),
        in_world(a_dropped_part_is_missed),
        in_world(two_parts_that_change_places_are_seen_by_their_hashes),
        in_world(payloads_of_two_like_groups_do_not_change_places),
        in_world(the_index_has_the_hashes_of_its_parts_and_nothing_else),
        in_world(nothing_stands_behind_a_frame),
        in_world(nothing_stands_behind_typed_values),
        in_world(frames_that_state_another_size_are_not_unpacked),
        in_world(an_index_that_unpacks_to_another_size_is_refused),
        in_world(a_patch_for_another_base_of_the_same_size_is_refused),
        in_world(a_base_that_rotted_is_refused_before_a_byte_is_written),
        cmocka_unit_test(the_largest_of_each_kind_at_once_takes_8_mib),
        in_world(each_bit_of_a_signed_index_is_an_error_or_harmless),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
