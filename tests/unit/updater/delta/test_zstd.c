/* Compressed full downloads: round trips, bombs, windows, leftovers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zstd.h>

#include <flotilla/errors/patch.h>

#include "base/host/digest.h"
#include "delta_help.h"

/* A frame by libzstd itself, so that heads differ from ours. */
static void compress_with(const void *data, size_t bytes, int window_log, bool with_size,
                          struct flo_buf *out)
{
    ZSTD_CCtx *context = ZSTD_createCCtx();
    size_t room = ZSTD_compressBound(bytes);
    char *packed = malloc(room);
    ZSTD_inBuffer in = {data, bytes, 0};
    ZSTD_outBuffer to = {packed, room, 0};

    ZSTD_CCtx_setParameter(context, ZSTD_c_contentSizeFlag, with_size);
    if (window_log > 0) {
        ZSTD_CCtx_setParameter(context, ZSTD_c_windowLog, window_log);
    }
    if (with_size) {
        ZSTD_CCtx_setPledgedSrcSize(context, bytes);
    }
    /* two calls: the library must not guess the size from one */
    in.size = bytes / 2;
    assert_false(ZSTD_isError(ZSTD_compressStream2(context, &to, &in, ZSTD_e_continue)));
    in.size = bytes;
    assert_int_equal(ZSTD_compressStream2(context, &to, &in, ZSTD_e_end), 0);
    out->bytes = 0;
    flo_buf_add(out, packed, to.pos);
    ZSTD_freeCCtx(context);
    free(packed);
}

static int decode(const struct flo_buf *patch, uint64_t new_bytes, struct flo_buf *out,
                  struct flo_err *err)
{
    return apply_bytes(FLO_CODEC_ZSTD, "", 0, patch->data, patch->bytes, new_bytes, out, err);
}

static void files_of_every_length_come_back_as_they_were(void **state)
{
    (void)state;
    static char text[300000];
    static const size_t lengths[] = {0,     1,     2,     255,    256,    257,    65535,
                                     65536, 65791, 65792, 262143, 262144, 262145, 300000};
    struct flo_buf patch = {0};
    struct flo_buf out = {0};
    struct flo_err err;

    for (size_t i = 0; i < sizeof text; i++) {
        text[i] = (char)(i % 251 * (i / 1000));
    }
    for (size_t i = 0; i < FLO_COUNT(lengths); i++) {
        create_bytes("zstd", "", 0, text, lengths[i], &patch);
        assert_int_equal(decode(&patch, lengths[i], &out, &err), 0);
        assert_int_equal(out.bytes, lengths[i]);
        if (lengths[i] > 0) {
            assert_memory_equal(out.data, text, lengths[i]);
        }
    }
    flo_buf_deinit(&patch);
    flo_buf_deinit(&out);
}

static void a_model_comes_back_and_zstd_itself_reads_it(void **state)
{
    (void)state;
    char *data = NULL;
    size_t bytes = 0;
    struct flo_buf patch = {0};
    struct flo_buf out = {0};
    struct flo_err err = {0};

    assert_int_equal(
        flo_file_read("tests/models/tiny-v2.1.Q4_0.gguf", 8 << 20, &data, &bytes, &err), 0);
    create_bytes("zstd", "", 0, data, bytes, &patch);
    assert_int_equal(decode(&patch, bytes, &out, &err), 0);
    assert_memory_equal(out.data, data, bytes);
    assert_int_equal(ZSTD_decompress(out.data, bytes, patch.data, patch.bytes), bytes);
    assert_memory_equal(out.data, data, bytes);
    assert_true(patch.bytes * 100 <= bytes * 95);
    flo_buf_deinit(&patch);
    flo_buf_deinit(&out);
    free(data);
}

static void a_bomb_stops_at_the_signed_size(void **state)
{
    (void)state;
    struct flo_buf patch = {0};
    struct flo_buf out = {0};
    struct flo_err err;
    size_t bytes = 64 << 20;
    char *zeros = calloc(1, bytes);

    /* with its size in the head: refused before a byte is decoded */
    compress_with(zeros, bytes, 0, true, &patch);
    assert_int_equal(decode(&patch, 1000, &out, &err), FLO_E_PATCH_LIMIT);
    assert_int_equal(out.bytes, 0);
    /* without: at the first piece that does not fit */
    compress_with(zeros, bytes, 0, false, &patch);
    assert_int_equal(decode(&patch, 1000000, &out, &err), FLO_E_PATCH_LIMIT);
    assert_true(out.bytes <= 1000000);
    free(zeros);
    flo_buf_deinit(&patch);
    flo_buf_deinit(&out);
}

static void a_window_of_more_than_8_mib_is_refused(void **state)
{
    (void)state;
    struct flo_buf patch = {0};
    struct flo_buf out = {0};
    struct flo_err err;
    size_t bytes = 40 << 20;
    char *data = calloc(1, bytes);

    compress_with(data, bytes, 24, true, &patch);
    assert_int_equal(decode(&patch, bytes, &out, &err), FLO_E_PATCH_LIMIT);
    compress_with(data, bytes, 23, true, &patch);
    assert_int_equal(decode(&patch, bytes, &out, &err), 0);
    free(data);
    flo_buf_deinit(&patch);
    flo_buf_deinit(&out);
}

static void cut_changed_or_longer_frames_are_refused(void **state)
{
    (void)state;
    struct flo_buf patch = {0};
    struct flo_buf out = {0};
    struct flo_err err;
    char text[5000];

    for (size_t i = 0; i < sizeof text; i++) {
        text[i] = (char)(i * i % 97);
    }
    create_bytes("zstd", "", 0, text, sizeof text, &patch);
    size_t whole = patch.bytes;
    for (size_t bytes = 0; bytes < whole; bytes++) {
        patch.bytes = bytes;
        assert_int_equal(decode(&patch, sizeof text, &out, &err), FLO_E_PATCH_TRUNCATED);
    }
    patch.bytes = whole;
    flo_buf_add(&patch, "x", 1);
    assert_int_equal(decode(&patch, sizeof text, &out, &err), FLO_E_PATCH_STREAM);
    patch.bytes = whole;
    patch.data[whole / 2] ^= 0x10;
    int rv = decode(&patch, sizeof text, &out, &err);
    assert_true(rv == FLO_E_PATCH_STREAM || rv == 0); /* the digest decides */
    patch.data[0] ^= 1;
    assert_int_equal(decode(&patch, sizeof text, &out, &err), FLO_E_PATCH_FORMAT);
    flo_buf_deinit(&patch);
    flo_buf_deinit(&out);
}

static void damage_is_seen_without_a_digest(void **state)
{
    (void)state;
    struct flo_buf patch = {0};
    struct flo_buf out = {0};
    struct flo_err err;
    char text[900];

    for (size_t i = 0; i < sizeof text; i++) {
        text[i] = (char)('a' + i * i % 23);
    }
    create_bytes("zstd", "", 0, text, sizeof text, &patch);
    for (size_t bit = 0; bit < 8 * patch.bytes; bit++) {
        patch.data[bit / 8] ^= (char)(1 << bit % 8);
        if (decode(&patch, sizeof text, &out, &err) == 0) {
            assert_memory_equal(out.data, text, sizeof text);
        }
        patch.data[bit / 8] ^= (char)(1 << bit % 8);
    }
    flo_buf_deinit(&patch);
    flo_buf_deinit(&out);
}

static void every_bit_flip_is_refused_or_caught_by_the_digest(void **state)
{
    (void)state;
    struct flo_buf patch = {0};
    struct flo_digest digest;
    struct flo_err err;
    char text[900];

    for (size_t i = 0; i < sizeof text; i++) {
        text[i] = (char)('a' + i * i % 23);
    }
    flo_sha256(text, sizeof text, &digest);
    create_bytes("zstd", "", 0, text, sizeof text, &patch);
    for (size_t bit = 0; bit < 8 * patch.bytes; bit++) {
        patch.data[bit / 8] ^= (char)(1 << bit % 8);
        int fd = file_of(patch.data, patch.bytes);
        const struct flo_delta_job job = {.codec = FLO_CODEC_ZSTD,
                                          .patch_fd = fd,
                                          .base_fd = -1,
                                          .new_bytes = sizeof text,
                                          .new_digest = &digest};
        int rv = flo_delta_apply(&job, NULL, &err);
        /* 0 would mean the right bytes; all else is a patch's own error */
        assert_true(rv == 0 || rv == FLO_E_TARGET_HASH ||
                    (rv <= FLO_E_PATCH_FORMAT && rv >= FLO_E_PATCH_STREAM));
        (void)close(fd);
        patch.data[bit / 8] ^= (char)(1 << bit % 8);
    }
    flo_buf_deinit(&patch);
}

static void less_memory_than_the_window_needs_is_refused_with_numbers(void **state)
{
    (void)state;
    struct flo_buf patch = {0};
    struct flo_err err = {0};
    size_t bytes = 9 << 20;
    char *data = calloc(1, bytes);

    create_bytes("zstd", "", 0, data, bytes, &patch);
    int fd = file_of(patch.data, patch.bytes);
    const struct flo_delta_job job = {.codec = FLO_CODEC_ZSTD,
                                      .patch_fd = fd,
                                      .base_fd = -1,
                                      .new_bytes = bytes,
                                      .memory_bytes_max = 4 << 20};
    assert_int_equal(flo_delta_apply(&job, NULL, &err), FLO_E_PATCH_LIMIT);
    assert_non_null(strstr(err.what, "4194304"));
    (void)close(fd);
    free(data);
    flo_buf_deinit(&patch);
}

static void a_head_that_claims_2_to_the_64_is_read_and_refused(void **state)
{
    (void)state;
    static const uint8_t frame[] = {0x28, 0xb5, 0x2f, 0xfd, 0xe0, 0xff, 0xff, 0xff,
                                    0xff, 0xff, 0xff, 0xff, 0xff, 0x01, 0,    0};
    struct flo_buf patch = {0};
    struct flo_buf out = {0};
    struct flo_delta_facts facts;
    struct flo_err err = {0};
    int fd = file_of(frame, sizeof frame);

    assert_int_equal(flo_delta_inspect(fd, &facts, &err), 0);
    assert_int_equal(facts.new_bytes, UINT64_MAX);
    assert_int_equal(facts.memory_bytes, UINT64_MAX);
    assert_int_equal(facts.window_log, 63);
    flo_buf_add(&patch, frame, sizeof frame);
    assert_int_equal(decode(&patch, 1000, &out, &err), FLO_E_PATCH_LIMIT);
    assert_int_equal(decode(&patch, UINT64_MAX, &out, &err), FLO_E_PATCH_LIMIT);
    (void)close(fd);
    flo_buf_deinit(&patch);
    flo_buf_deinit(&out);
}

static void raw_has_exactly_the_signed_size(void **state)
{
    (void)state;
    struct flo_buf out = {0};
    struct flo_err err;

    assert_int_equal(apply_bytes(FLO_CODEC_RAW, "", 0, "hello", 5, 5, &out, &err), 0);
    assert_memory_equal(out.data, "hello", 5);
    assert_int_equal(apply_bytes(FLO_CODEC_RAW, "", 0, "hello", 5, 6, &out, &err),
                     FLO_E_PATCH_TRUNCATED);
    assert_int_equal(apply_bytes(FLO_CODEC_RAW, "", 0, "hello", 5, 4, &out, &err),
                     FLO_E_PATCH_LIMIT);
    flo_buf_deinit(&out);
}

static void auto_takes_the_smallest_by_measurement(void **state)
{
    (void)state;
    static char old[20000];
    static char new[20000];
    struct flo_buf patch = {0};

    for (size_t i = 0; i < sizeof old; i++) {
        old[i] = (char)(i * 2654435761u >> 13);
        new[i] = (char)(i * 40503u * (i / 7) >> 5);
    }
    /* unrelated noise: nothing beats raw */
    create_bytes("auto", "", 0, old, 40, &patch);
    assert_int_equal(patch.bytes, 40);
    /* one byte differs: a delta */
    memcpy(new, old, sizeof new);
    new[777]++;
    create_bytes("auto", old, sizeof old, new, sizeof new, &patch);
    assert_memory_equal(patch.data, "BSDIFF40", 8);
    /* a model's first bytes make no weights */
    memcpy(old, "GGUF", 4);
    memcpy(new, "GGUF", 4);
    create_bytes("delta", old, sizeof old, new, sizeof new, &patch);
    assert_memory_equal(patch.data, "BSDIFF40", 8);
    /* no relation, but compressible: zstd */
    memset(new, 'z', sizeof new);
    create_bytes("auto", old, sizeof old, new, sizeof new, &patch);
    assert_memory_equal(patch.data, "\x28\xb5\x2f\xfd", 4);
    flo_buf_deinit(&patch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_of_every_length_come_back_as_they_were),
        cmocka_unit_test(a_model_comes_back_and_zstd_itself_reads_it),
        cmocka_unit_test(a_bomb_stops_at_the_signed_size),
        cmocka_unit_test(a_window_of_more_than_8_mib_is_refused),
        cmocka_unit_test(cut_changed_or_longer_frames_are_refused),
        cmocka_unit_test(damage_is_seen_without_a_digest),
        cmocka_unit_test(every_bit_flip_is_refused_or_caught_by_the_digest),
        cmocka_unit_test(less_memory_than_the_window_needs_is_refused_with_numbers),
        cmocka_unit_test(a_head_that_claims_2_to_the_64_is_read_and_refused),
        cmocka_unit_test(raw_has_exactly_the_signed_size),
        cmocka_unit_test(auto_takes_the_smallest_by_measurement),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
