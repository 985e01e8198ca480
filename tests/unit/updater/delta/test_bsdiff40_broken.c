/* Every way in which a BSDIFF40 patch, its base or its result can be broken. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>
#include <unistd.h>

#include <flotilla/errors/patch.h>

#include "base/host/digest.h"
#include "delta_help.h"

static void each_of_the_32_cut_heads_is_refused(void **state)
{
    (void)state;
    struct flo_buf patch = {0};
    struct flo_buf out = {0};
    struct flo_err err;

    create_bytes("bsdiff40", "old text", 8, "new text", 8, &patch);
    for (size_t bytes = 0; bytes < 32; bytes++) {
        int rv = apply_bytes(FLO_CODEC_BSDIFF40, "old text", 8, patch.data, bytes, 8, &out, &err);
        assert_int_equal(rv, FLO_E_PATCH_TRUNCATED);
        assert_int_equal(out.bytes, 0);
    }
    flo_buf_deinit(&patch);
    flo_buf_deinit(&out);
}

static void every_cut_after_the_head_is_refused(void **state)
{
    (void)state;
    struct flo_buf patch = {0};
    struct flo_buf out = {0};
    struct flo_err err;
    static uint8_t old[4000];
    static uint8_t new[4000];

    fill(old, sizeof old, 3);
    memcpy(new, old, sizeof new);
    fill(new + 1000, 500, 4);
    create_bytes("bsdiff40", old, sizeof old, new, sizeof new, &patch);
    for (size_t bytes = 32; bytes < patch.bytes; bytes++) {
        int rv = apply_bytes(FLO_CODEC_BSDIFF40, old, sizeof old, patch.data, bytes, sizeof new,
                             &out, &err);
        assert_int_equal(rv, FLO_E_PATCH_TRUNCATED);
    }
    flo_buf_deinit(&patch);
    flo_buf_deinit(&out);
}

/* bzip2 and the bounds catch nearly all flips; the digest catches the rest. */
static void every_bit_flip_is_refused_or_leaves_the_right_bytes(void **state)
{
    (void)state;
    struct flo_buf patch = {0};
    struct flo_digest digest;
    struct flo_err err;
    static uint8_t old[3000];
    static uint8_t new[3000];
    unsigned harmless = 0;

    fill(old, sizeof old, 5);
    memcpy(new, old, sizeof new);
    fill(new + 700, 200, 6);
    flo_sha256(new, sizeof new, &digest);
    create_bytes("bsdiff40", old, sizeof old, new, sizeof new, &patch);
    int old_fd = file_of(old, sizeof old);
    for (size_t bit = 0; bit < 8 * patch.bytes; bit++) {
        patch.data[bit / 8] ^= (char)(1 << bit % 8);
        int patch_fd = file_of(patch.data, patch.bytes);
        const struct flo_delta_job job = {.codec = FLO_CODEC_BSDIFF40,
                                          .patch_fd = patch_fd,
                                          .base_fd = old_fd,
                                          .new_bytes = sizeof new,
                                          .new_digest = &digest};
        int rv = flo_delta_apply(&job, NULL, &err);
        harmless += rv == 0;
        if (rv == 0)
            print_message("bit %zu of %zu\n", bit, patch.bytes * 8);
        (void)close(patch_fd);
        patch.data[bit / 8] ^= (char)(1 << bit % 8);
    }
    /* Bits that may be flipped for nothing: padding, the level's digit, code
     * tables of bzip2 that nothing uses. */
    assert_true(harmless * 100 <= 8 * patch.bytes);
    (void)close(old_fd);
    flo_buf_deinit(&patch);
}

struct bad_triples {
    int64_t triples[3][3];
    size_t count;
    int code;
};

static void triples_that_leave_their_files_are_refused(void **state)
{
    (void)state;
    static const struct bad_triples rows[] = {
        /* PA02: a seek before the beginning, after the end */
        {{{2, 0, -3}, {6, 0, 0}}, 2, FLO_E_PATCH_BOUNDS},
        {{{2, 0, 7}, {6, 0, 0}}, 2, FLO_E_PATCH_BOUNDS},
        {{{8, 0, -9}}, 1, FLO_E_PATCH_BOUNDS},
        /* reading after the end of old */
        {{{2, 0, 4}, {6, 0, 0}}, 2, FLO_E_PATCH_BOUNDS},
        /* PA03: lengths whose sum overflows (CVE-2020-14315) */
        {{{INT64_MAX, INT64_MAX, 0}}, 1, FLO_E_PATCH_BOUNDS},
        {{{1, INT64_MAX, 0}}, 1, FLO_E_PATCH_BOUNDS},
        {{{INT64_MAX, 1, 0}}, 1, FLO_E_PATCH_BOUNDS},
        {{{2, 0, INT64_MAX}}, 1, FLO_E_PATCH_BOUNDS},
        {{{2, 0, -INT64_MAX}}, 1, FLO_E_PATCH_BOUNDS},
        /* negative lengths (CVE-2014-9862) */
        {{{-1, 0, 0}}, 1, FLO_E_PATCH_BOUNDS},
        {{{0, -1, 0}}, 1, FLO_E_PATCH_BOUNDS},
        {{{-INT64_MAX, 8, 0}}, 1, FLO_E_PATCH_BOUNDS},
        /* more than the new file */
        {{{4, 0, 0}, {0, 5, 0}}, 2, FLO_E_PATCH_BOUNDS},
        {{{9, 0, 0}}, 1, FLO_E_PATCH_BOUNDS},
        /* fewer triples than the new file needs, or more */
        {{{4, 0, 0}}, 1, FLO_E_PATCH_BOUNDS},
        {{{8, 0, 0}, {0, 0, 0}}, 2, FLO_E_PATCH_BOUNDS},
    };
    struct flo_buf patch = {0};
    struct flo_buf out = {0};
    struct flo_err err;

    for (size_t i = 0; i < FLO_COUNT(rows); i++) {
        craft_patch(rows[i].triples, rows[i].count, "\0\0\0\0\0\0\0\0", 8, "", 0, 8, &patch);
        int rv =
            apply_bytes(FLO_CODEC_BSDIFF40, "old text", 8, patch.data, patch.bytes, 8, &out, &err);
        if (rv != rows[i].code) {
            print_message("row %zu: %s\n", i, err.what);
        }
        assert_int_equal(rv, rows[i].code);
    }
    flo_buf_deinit(&patch);
    flo_buf_deinit(&out);
}

static void a_negative_zero_reads_as_zero(void **state)
{
    (void)state;
    struct flo_buf patch = {0};
    struct flo_buf out = {0};
    struct flo_buf parts[3] = {{0}};
    struct flo_err err;
    uint8_t triple[24] = {0};
    triple[0] = 8;
    triple[15] = 0x80;
    triple[23] = 0x80;
    add_bzip2(&parts[0], triple, sizeof triple);
    add_bzip2(&parts[1], "\1\0\0\0\0\0\0\0", 8);
    add_bzip2(&parts[2], "", 0);
    uint8_t head[32] = "BSDIFF40";
    put_offset(head + 8, (int64_t)parts[0].bytes);
    put_offset(head + 16, (int64_t)parts[1].bytes);
    put_offset(head + 24, 8);
    flo_buf_add(&patch, head, sizeof head);
    for (size_t i = 0; i < 3; i++) {
        flo_buf_add(&patch, parts[i].data, parts[i].bytes);
        flo_buf_deinit(&parts[i]);
    }

    assert_int_equal(
        apply_bytes(FLO_CODEC_BSDIFF40, "old text", 8, patch.data, patch.bytes, 8, &out, &err), 0);
    assert_memory_equal(out.data, "pld text", 8);
    flo_buf_deinit(&patch);
    flo_buf_deinit(&out);
}

static void triples_that_write_nothing_do_not_turn_for_ever(void **state)
{
    (void)state;
    static int64_t triples[5000][3];
    struct flo_buf patch = {0};
    struct flo_buf out = {0};
    struct flo_err err;

    craft_patch((const int64_t(*)[3])triples, FLO_COUNT(triples), "", 0, "", 0, 8, &patch);
    assert_int_equal(
        apply_bytes(FLO_CODEC_BSDIFF40, "old text", 8, patch.data, patch.bytes, 8, &out, &err),
        FLO_E_PATCH_BOUNDS);
    flo_buf_deinit(&patch);
    flo_buf_deinit(&out);
}

static void an_empty_new_file_may_carry_nothing(void **state)
{
    (void)state;
    static const int64_t one[][3] = {{4, 0, 0}};
    struct flo_buf patch = {0};
    struct flo_buf out = {0};
    struct flo_err err;

    craft_patch(one, 0, "", 0, "", 0, 0, &patch); /* no control at all: good */
    assert_int_equal(
        apply_bytes(FLO_CODEC_BSDIFF40, "old", 3, patch.data, patch.bytes, 0, &out, &err), 0);
    craft_patch(one, 1, "", 0, "", 0, 0, &patch); /* PA06 */
    assert_int_equal(
        apply_bytes(FLO_CODEC_BSDIFF40, "old", 3, patch.data, patch.bytes, 0, &out, &err),
        FLO_E_PATCH_BOUNDS);
    craft_patch(one, 0, "diff", 4, "", 0, 0, &patch);
    assert_int_equal(
        apply_bytes(FLO_CODEC_BSDIFF40, "old", 3, patch.data, patch.bytes, 0, &out, &err),
        FLO_E_PATCH_BOUNDS);
    craft_patch(one, 0, "", 0, "extra", 5, 0, &patch);
    assert_int_equal(
        apply_bytes(FLO_CODEC_BSDIFF40, "old", 3, patch.data, patch.bytes, 0, &out, &err),
        FLO_E_PATCH_BOUNDS);
    flo_buf_deinit(&patch);
    flo_buf_deinit(&out);
}

static void another_size_than_signed_is_refused_before_anything(void **state)
{
    (void)state;
    static const int64_t one[][3] = {{8, 0, 0}};
    static const int64_t sizes[] = {0, 7, 9, INT64_C(1) << 62, INT64_MAX};
    struct flo_buf patch = {0};
    struct flo_buf out = {0};
    struct flo_err err;

    for (size_t i = 0; i < FLO_COUNT(sizes); i++) { /* PA05 */
        craft_patch(one, 1, "\0\0\0\0\0\0\0\0", 8, "", 0, sizes[i], &patch);
        assert_int_equal(
            apply_bytes(FLO_CODEC_BSDIFF40, "old text", 8, patch.data, patch.bytes, 8, &out, &err),
            FLO_E_PATCH_LIMIT);
        assert_int_equal(out.bytes, 0);
    }
    flo_buf_deinit(&patch);
    flo_buf_deinit(&out);
}

static void impossible_sizes_in_the_head_are_refused(void **state)
{
    (void)state;
    static const struct {
        int64_t control;
        int64_t diff;
        int code;
    } rows[] = {{-1, 10, FLO_E_PATCH_BOUNDS},
                {10, -1, FLO_E_PATCH_BOUNDS},
                {-INT64_MAX, -INT64_MAX, FLO_E_PATCH_BOUNDS},
                {INT64_MAX, INT64_MAX, FLO_E_PATCH_BOUNDS},
                {INT64_MAX, 0, FLO_E_PATCH_TRUNCATED},
                {0, 100000, FLO_E_PATCH_TRUNCATED},
                {0, 0, FLO_E_PATCH_TRUNCATED}};
    struct flo_buf patch = {0};
    struct flo_buf out = {0};
    struct flo_err err;

    create_bytes("bsdiff40", "old text", 8, "new text", 8, &patch);
    for (size_t i = 0; i < FLO_COUNT(rows); i++) {
        put_offset((uint8_t *)patch.data + 8, rows[i].control);
        put_offset((uint8_t *)patch.data + 16, rows[i].diff);
        int rv =
            apply_bytes(FLO_CODEC_BSDIFF40, "old text", 8, patch.data, patch.bytes, 8, &out, &err);
        assert_int_equal(rv, rows[i].code);
    }
    patch.data[0] = 'b';
    assert_int_equal(
        apply_bytes(FLO_CODEC_BSDIFF40, "old text", 8, patch.data, patch.bytes, 8, &out, &err),
        FLO_E_PATCH_FORMAT);
    flo_buf_deinit(&patch);
    flo_buf_deinit(&out);
}

static void bytes_behind_the_streams_are_refused(void **state)
{
    (void)state;
    struct flo_buf patch = {0};
    struct flo_buf out = {0};
    struct flo_err err;

    create_bytes("bsdiff40", "old text", 8, "new text", 8, &patch);
    flo_buf_add(&patch, "x", 1);
    assert_int_equal(
        apply_bytes(FLO_CODEC_BSDIFF40, "old text", 8, patch.data, patch.bytes, 8, &out, &err),
        FLO_E_PATCH_STREAM);
    patch.bytes--;
    add_bzip2(&patch, "", 0); /* a second stream */
    assert_int_equal(
        apply_bytes(FLO_CODEC_BSDIFF40, "old text", 8, patch.data, patch.bytes, 8, &out, &err),
        FLO_E_PATCH_STREAM);
    flo_buf_deinit(&patch);
    flo_buf_deinit(&out);
}

static void a_base_with_other_bytes_is_refused_before_the_first_write(void **state)
{
    (void)state;
    struct flo_buf patch = {0};
    struct flo_buf out = {0};
    struct flo_digest digest;
    struct flo_err err = {0};

    create_bytes("bsdiff40", "old text", 8, "new text", 8, &patch);
    flo_sha256("old text", 8, &digest);
    int old_fd = file_of("old texT", 8);
    int patch_fd = file_of(patch.data, patch.bytes);
    const struct flo_delta_job job = {.codec = FLO_CODEC_BSDIFF40,
                                      .patch_fd = patch_fd,
                                      .base_fd = old_fd,
                                      .base_digest = &digest,
                                      .new_bytes = 8,
                                      .on_data = append_piece,
                                      .context = &out};

    assert_int_equal(flo_delta_apply(&job, NULL, &err), FLO_E_PATCH_BASE_CORRUPT);
    assert_int_equal(out.bytes, 0);
    (void)close(old_fd);
    (void)close(patch_fd);
    flo_buf_deinit(&patch);
    flo_buf_deinit(&out);
}

static void a_result_with_another_digest_is_refused(void **state)
{
    (void)state;
    struct flo_buf patch = {0};
    struct flo_digest digest;
    struct flo_err err = {0};

    create_bytes("bsdiff40", "old text", 8, "new text", 8, &patch);
    flo_sha256("new text", 8, &digest);
    int old_fd = file_of("old texT", 8); /* and nobody checked the base */
    int patch_fd = file_of(patch.data, patch.bytes);
    const struct flo_delta_job job = {.codec = FLO_CODEC_BSDIFF40,
                                      .patch_fd = patch_fd,
                                      .base_fd = old_fd,
                                      .new_bytes = 8,
                                      .new_digest = &digest};

    assert_int_equal(flo_delta_apply(&job, NULL, &err), FLO_E_TARGET_HASH);
    (void)close(old_fd);
    (void)close(patch_fd);
    flo_buf_deinit(&patch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_of_the_32_cut_heads_is_refused),
        cmocka_unit_test(every_cut_after_the_head_is_refused),
        cmocka_unit_test(every_bit_flip_is_refused_or_leaves_the_right_bytes),
        cmocka_unit_test(triples_that_leave_their_files_are_refused),
        cmocka_unit_test(a_negative_zero_reads_as_zero),
        cmocka_unit_test(triples_that_write_nothing_do_not_turn_for_ever),
        cmocka_unit_test(an_empty_new_file_may_carry_nothing),
        cmocka_unit_test(another_size_than_signed_is_refused_before_anything),
        cmocka_unit_test(impossible_sizes_in_the_head_are_refused),
        cmocka_unit_test(bytes_behind_the_streams_are_refused),
        cmocka_unit_test(a_base_with_other_bytes_is_refused_before_the_first_write),
        cmocka_unit_test(a_result_with_another_digest_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
