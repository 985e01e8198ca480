/* The search for NaN and infinity, and the writer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <flotilla/errors/gguf.h>

#include "base/quant/quant.h"
#include "unit/engine/gguf_make.h"

static int scan_path(const char *path, struct flo_err *err)
{
    struct flo_gguf *gguf = NULL;
    assert_int_equal(flo_gguf_open_path(path, &gguf, err), 0);
    int rv = flo_gguf_scan_nonfinite(gguf, err);
    flo_gguf_close(gguf);
    return rv;
}

static void whole_models_pass_in_every_type(void **state)
{
    (void)state;
    static const char *const paths[] = {
        "tests/models/tiny-v1.Q4_0.gguf", "tests/models/tiny-v1.Q4_1.gguf",
        "tests/models/tiny-v1.Q8_0.gguf", "tests/models/tiny-v1.F16.gguf",
        "tests/models/tiny-v1-site-lora.gguf"};
    for (size_t i = 0; i < FLO_COUNT(paths); i++) {
        struct flo_err err = {0};
        assert_int_equal(scan_path(paths[i], &err), 0);
    }
}

static void one_nan_in_a_norm_or_a_scale_is_found_by_name(void **state)
{
    (void)state;
    struct flo_err err = {0};
    assert_int_equal(scan_path("tests/models/tiny-v3-bad-nan.Q4_0.gguf", &err),
                     FLO_E_MODEL_NONFINITE);
    assert_non_null(strstr(err.what, "blk.3.ffn_norm.weight"));
    assert_int_equal(scan_path("tests/models/tiny-v3-bad-nanscale.Q4_0.gguf", &err),
                     FLO_E_MODEL_NONFINITE);
    assert_non_null(strstr(err.what, "blk.2.attn_output.weight"));
}

/* A model of one tensor with `blocks` blocks of every scanned type. */
struct one {
    struct flo_buf file;
    struct flo_gguf *gguf;
    uint8_t *data;
};

static void one_open(struct one *one, const struct flo_quant_type *type, size_t blocks)
{
    memset(one, 0, sizeof(*one));
    put_head(&one->file, 1, 0);
    put_tensor(&one->file, "t", type->block_values * blocks, 1, type->id, 0);
    put_padding(&one->file);
    size_t start = one->file.bytes;
    put_zeros(&one->file, type->block_bytes * blocks);
    assert_int_equal(flo_gguf_open(one->file.data, one->file.bytes, &one->gguf, NULL), 0);
    one->data = (uint8_t *)one->file.data + start;
}

static void one_close(struct one *one)
{
    flo_gguf_close(one->gguf);
    flo_buf_deinit(&one->file);
}

static void every_place_of_a_float_is_looked_at_and_no_other(void **state)
{
    (void)state;
    for (uint32_t id = 0; id < FLO_QUANT_ID_COUNT; id++) {
        const struct flo_quant_type *type = flo_quant_type(id);
        const size_t blocks = 5;
        struct one one;
        if (type == NULL || id == FLO_QUANT_IQ1_M) { /* its scale has no place of its own */
            continue;
        }
        size_t is_byte = type->floats == FLO_QUANT_FLOATS_E8M0;
        one_open(&one, type, blocks);
        size_t hits = 0;
        /* 16 ones at every even place: NaN where a half or the top of a
         * float stands, codes elsewhere. */
        for (size_t at = 0; at + 2 <= type->block_bytes * blocks; at += 2) {
            struct flo_err err = {0};
            memset(one.data + at, 0xff, 2);
            int rv = flo_gguf_scan_nonfinite(one.gguf, &err);
            assert_true(rv == 0 || rv == FLO_E_MODEL_NONFINITE);
            if (rv < 0) {
                char place[32];
                snprintf(place, sizeof(place), " %zu of %zu ", (at + is_byte) / type->block_bytes,
                         blocks);
                assert_non_null(strstr(err.what, place));
                hits++;
            }
            memset(one.data + at, 0, 2);
        }
        /* E8M0 scales stand at odd and even places: 17 bytes per block. */
        size_t floats = type->floats == FLO_QUANT_FLOATS_NONE ? 0
                        : type->scale_count > 0               ? type->scale_count * blocks
                                                              : blocks;
        assert_int_equal(hits, floats);
        one_close(&one);
    }
}

static void a_scale_in_four_quarters_is_put_together(void **state)
{
    (void)state;
    struct one one;
    one_open(&one, flo_quant_type(FLO_QUANT_IQ1_M), 3);
    memset(one.data, 0xff, 56 * 3);
    for (size_t i = 0; i < 3; i++) {
        one.data[56 * i + 55] = 0xbf; /* the exponent's top bit */
    }
    assert_int_equal(flo_gguf_scan_nonfinite(one.gguf, NULL), 0);
    one.data[56 + 55] = 0x7f;
    assert_int_equal(flo_gguf_scan_nonfinite(one.gguf, NULL), FLO_E_MODEL_NONFINITE);
    one_close(&one);
}

static void infinity_is_found_and_the_largest_number_is_not(void **state)
{
    (void)state;
    struct one one;
    one_open(&one, flo_quant_type(FLO_QUANT_F16), 37);
    for (int i = 0; i < 37; i++) {
        flo_put_u16(one.data + 2 * i, i % 2 ? 0x7bff : 0xfbff);
    }
    assert_int_equal(flo_gguf_scan_nonfinite(one.gguf, NULL), 0);
    flo_put_u16(one.data + 2 * 36, 0xfc00);
    assert_int_equal(flo_gguf_scan_nonfinite(one.gguf, NULL), FLO_E_MODEL_NONFINITE);
    one_close(&one);
    one_open(&one, flo_quant_type(FLO_QUANT_F32), 9);
    flo_put_u32(one.data + 32, 0x7f7fffff);
    assert_int_equal(flo_gguf_scan_nonfinite(one.gguf, NULL), 0);
    flo_put_u32(one.data + 32, 0xff800000);
    assert_int_equal(flo_gguf_scan_nonfinite(one.gguf, NULL), FLO_E_MODEL_NONFINITE);
    one_close(&one);
}

static void pieces_of_any_size_give_the_same_verdict(void **state)
{
    (void)state;
    static const size_t sizes[] = {1, 7, 17, 18, 4096, 65536, 1u << 20};
    size_t bytes;
    struct flo_gguf *gguf = NULL;
    char *data = read_whole("tests/models/tiny-v3-bad-nanscale.Q4_0.gguf", &bytes);
    assert_non_null(data);
    assert_int_equal(flo_gguf_open(data, bytes, &gguf, NULL), 0);
    for (size_t i = 0; i < FLO_COUNT(sizes); i++) {
        struct flo_finite scan;
        struct flo_err err = {0};
        int rv = 0;
        flo_gguf_scan_init(&scan, gguf);
        for (size_t at = 0; rv == 0 && at < bytes; at += sizes[i]) {
            size_t some = bytes - at < sizes[i] ? bytes - at : sizes[i];
            rv = flo_finite_add(&scan, data + at, some, &err);
        }
        assert_int_equal(rv, FLO_E_MODEL_NONFINITE);
        assert_non_null(strstr(err.what, "block 0 of 2048"));
    }
    flo_gguf_close(gguf);
    free(data);
}

static void a_scan_that_lacks_bytes_does_not_pass(void **state)
{
    (void)state;
    struct one one;
    struct flo_finite scan;
    one_open(&one, flo_quant_type(FLO_QUANT_Q8_0), 3);
    flo_gguf_scan_init(&scan, one.gguf);
    assert_int_equal(flo_finite_add(&scan, one.file.data, one.file.bytes - 1, NULL), 0);
    assert_int_equal(flo_finite_finish(&scan, NULL), FLO_E_GGUF_TRUNCATED);
    assert_int_equal(flo_finite_add(&scan, one.file.data + one.file.bytes - 1, 1, NULL), 0);
    assert_int_equal(flo_finite_finish(&scan, NULL), 0);
    one_close(&one);
}

/* ---- the writer ---- */

static char *written(const struct flo_gguf *source, const struct flo_gguf_edit *edits, size_t count,
                     flo_gguf_tensor_source *replace, void *context, size_t *bytes)
{
    char path[] = "/tmp/flotilla-gguf-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(flo_gguf_write(source, NULL, edits, count, replace, context, fd, NULL), 0);
    close(fd);
    char *data = read_whole(path, bytes);
    unlink(path);
    assert_non_null(data);
    return data;
}

static void a_copy_without_edits_is_the_same_file(void **state)
{
    (void)state;
    size_t bytes;
    size_t copy_bytes;
    struct flo_gguf *gguf = NULL;
    char *data = read_whole("tests/models/tiny-v1.Q4_0.gguf", &bytes);
    assert_non_null(data);
    assert_int_equal(flo_gguf_open(data, bytes, &gguf, NULL), 0);
    char *copy = written(gguf, NULL, 0, NULL, NULL, &copy_bytes);
    assert_int_equal(copy_bytes, bytes);
    assert_memory_equal(copy, data, bytes);
    flo_gguf_close(gguf);
    free(copy);
    free(data);
}

static int ones(void *context, const struct flo_gguf_tensor *tensor, const void **data,
                struct flo_err *err)
{
    (void)err;
    static float norm[256];
    for (int i = 0; i < 256; i++) {
        norm[i] = 1;
    }
    if (strcmp(tensor->name, context) == 0) {
        *data = norm;
    }
    return 0;
}

static void edits_replace_keys_add_keys_and_change_one_tensor(void **state)
{
    (void)state;
    const struct flo_gguf_edit edits[] = {
        {.key = "general.version", .type = FLO_GGUF_STRING, .text = "longer"},
        {.key = "test.u32", .type = FLO_GGUF_U32, .u32 = 7},
        {.key = "test.f32", .type = FLO_GGUF_F32, .f32 = 0.5f},
        {.key = "test.bool", .type = FLO_GGUF_BOOL, .is_set = true},
    };
    char name[] = "output_norm.weight";
    size_t bytes;
    uint32_t number = 0;
    float real = 0;
    bool flag = false;
    struct flo_gguf_text text = {"", 0};
    struct flo_gguf *gguf = NULL;
    struct flo_gguf *copy = NULL;
    assert_int_equal(flo_gguf_open_path("tests/models/tiny-v1.Q8_0.gguf", &gguf, NULL), 0);

    char *data = written(gguf, edits, FLO_COUNT(edits), ones, name, &bytes);

    assert_int_equal(flo_gguf_open(data, bytes, &copy, NULL), 0);
    assert_int_equal(flo_gguf_kv_count(copy), flo_gguf_kv_count(gguf) + 3);
    assert_int_equal(flo_gguf_string(copy, "general.version", &text, NULL), 0);
    assert_true(flo_gguf_text_is(text, "longer"));
    assert_int_equal(flo_gguf_u32(copy, "test.u32", &number, NULL), 0);
    assert_int_equal(number, 7);
    assert_int_equal(flo_gguf_f32(copy, "test.f32", &real, NULL), 0);
    assert_true(real == 0.5f);
    assert_int_equal(flo_gguf_bool(copy, "test.bool", &flag, NULL), 0);
    assert_true(flag);
    for (size_t i = 0; i < flo_gguf_tensor_count(gguf); i++) {
        const struct flo_gguf_tensor *old = flo_gguf_tensor_at(gguf, i);
        const struct flo_gguf_tensor *now = flo_gguf_tensor_find(copy, old->name);
        bool is_same = memcmp(flo_gguf_tensor_data(gguf, old), flo_gguf_tensor_data(copy, now),
                              (size_t)old->bytes) == 0;
        assert_int_equal(is_same, strcmp(old->name, name) != 0);
    }
    flo_gguf_close(copy);
    flo_gguf_close(gguf);
    free(data);
}

static void the_alignment_cannot_be_edited(void **state)
{
    (void)state;
    const struct flo_gguf_edit edit = {.key = "general.alignment", .type = FLO_GGUF_U32, .u32 = 64};
    struct flo_gguf *gguf = NULL;
    assert_int_equal(flo_gguf_open_path("tests/models/tiny-v1.Q8_0.gguf", &gguf, NULL), 0);
    assert_int_equal(flo_gguf_write(gguf, NULL, &edit, 1, NULL, NULL, -1, NULL), FLO_E_USAGE);
    flo_gguf_close(gguf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_models_pass_in_every_type),
        cmocka_unit_test(one_nan_in_a_norm_or_a_scale_is_found_by_name),
        cmocka_unit_test(every_place_of_a_float_is_looked_at_and_no_other),
        cmocka_unit_test(a_scale_in_four_quarters_is_put_together),
        cmocka_unit_test(infinity_is_found_and_the_largest_number_is_not),
        cmocka_unit_test(pieces_of_any_size_give_the_same_verdict),
        cmocka_unit_test(a_scan_that_lacks_bytes_does_not_pass),
        cmocka_unit_test(a_copy_without_edits_is_the_same_file),
        cmocka_unit_test(edits_replace_keys_add_keys_and_change_one_tensor),
        cmocka_unit_test(the_alignment_cannot_be_edited),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
