/* The GGUF reader: what opens, what is refused and as what. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/gguf.h>

#include "unit/engine/gguf_make.h"

#define TINY "tests/models/tiny-v1.Q4_1.gguf"

/* Build, open, expect this code. */
static void expect(struct flo_buf *file, int code)
{
    struct flo_gguf *gguf = NULL;
    struct flo_err err = {0};
    /* A copy of exactly the size, so that ASan sees one byte too many. */
    char *copy = malloc(file->bytes + (file->bytes == 0));
    assert_non_null(copy);
    memcpy(copy, file->data, file->bytes);
    int rv = flo_gguf_open(copy, file->bytes, &gguf, &err);
    if (rv != code) {
        print_message("%s, %s expected: %s\n", flo_error_id(rv), flo_error_id(code), err.what);
    }
    assert_int_equal(rv, code);
    if (rv < 0) {
        assert_null(gguf);
        assert_int_equal(err.code, code);
        assert_true(err.what[0] != '\0');
    }
    flo_gguf_close(gguf);
    free(copy);
    flo_buf_deinit(file);
    memset(file, 0, sizeof(*file));
}

/* One tensor of `columns` f32 and 128 bytes of data after. */
static void expect_tensor(const char *name, uint32_t dims, uint64_t columns, uint32_t type,
                          uint64_t offset, int code)
{
    struct flo_buf file = {0};
    put_head(&file, 1, 0);
    put_text(&file, name);
    put_u32(&file, dims);
    for (uint32_t i = 0; i < dims && i < 8; i++) {
        put_u64(&file, i == 0 ? columns : 1);
    }
    put_u32(&file, type);
    put_u64(&file, offset);
    put_padding(&file);
    put_zeros(&file, 128);
    expect(&file, code);
}

static void a_real_file_opens_with_its_keys_and_tensors(void **state)
{
    (void)state;
    struct flo_gguf *gguf = NULL;
    struct flo_err err = {0};
    struct flo_gguf_text text = {"", 0};
    const struct flo_gguf_kv *tokens;
    uint32_t context = 0;
    float base = 0;
    bool adds_bos = true;

    assert_int_equal(flo_gguf_open_path(TINY, &gguf, &err), 0);

    assert_int_equal(flo_gguf_kv_count(gguf), 30);
    assert_int_equal(flo_gguf_tensor_count(gguf), 47);
    assert_int_equal(flo_gguf_data_offset(gguf), 27456);
    assert_int_equal(flo_gguf_u32(gguf, "llama.context_length", &context, &err), 0);
    assert_int_equal(context, 512);
    assert_int_equal(flo_gguf_f32(gguf, "llama.rope.freq_base", &base, &err), 0);
    assert_true(base == 10000.0f);
    assert_int_equal(flo_gguf_bool(gguf, "tokenizer.ggml.add_bos_token", &adds_bos, &err), 0);
    assert_false(adds_bos);
    assert_int_equal(flo_gguf_string(gguf, "general.architecture", &text, &err), 0);
    assert_true(flo_gguf_text_is(text, "llama"));
    assert_int_equal(flo_gguf_array(gguf, "tokenizer.ggml.tokens", FLO_GGUF_STRING, &tokens, &err),
                     0);
    assert_int_equal(tokens->count, 896);
    assert_int_equal(tokens->longest, 13);
    const uint8_t *cursor = tokens->data;
    assert_true(flo_gguf_text_is(flo_gguf_next_string(&cursor), "<|endoftext|>"));
    const struct flo_gguf_tensor *q = flo_gguf_tensor_find(gguf, "blk.4.attn_q.weight");
    assert_non_null(q);
    assert_int_equal(q->dims[0], 256);
    assert_int_equal(q->bytes, 256 * 256 / 32 * 20);
    assert_null(flo_gguf_tensor_find(gguf, "blk.5.attn_q.weight"));
    flo_gguf_close(gguf);
}

static void an_absent_key_leaves_the_default_and_a_wrong_type_is_named(void **state)
{
    (void)state;
    struct flo_buf file = {0};
    struct flo_gguf *gguf = NULL;
    struct flo_err err = {0};
    uint32_t number = 77;
    float real = 5;
    bool flag = true;
    const struct flo_gguf_kv *array;
    struct flo_gguf_text text = {"x", 1};
    put_head(&file, 0, 2);
    put_key_text(&file, "a", "text");
    put_key(&file, "b", FLO_GGUF_I32);
    put_u32(&file, (uint32_t)-5);

    assert_int_equal(flo_gguf_open(file.data, file.bytes, &gguf, &err), 0);

    assert_int_equal(flo_gguf_u32(gguf, "none", &number, &err), 0);
    assert_int_equal(number, 77);
    assert_int_equal(flo_gguf_u32(gguf, "a", &number, &err), FLO_E_GGUF_TYPE);
    assert_int_equal(flo_gguf_u32(gguf, "b", &number, &err), FLO_E_GGUF_HPARAM);
    assert_int_equal(flo_gguf_f32(gguf, "a", &real, &err), FLO_E_GGUF_TYPE);
    assert_int_equal(flo_gguf_bool(gguf, "b", &flag, &err), FLO_E_GGUF_TYPE);
    assert_int_equal(flo_gguf_string(gguf, "b", &text, &err), FLO_E_GGUF_TYPE);
    assert_int_equal(flo_gguf_array(gguf, "a", FLO_GGUF_I32, &array, &err), FLO_E_GGUF_TYPE);
    assert_int_equal(flo_gguf_require(gguf, "none", &err), FLO_E_GGUF_MISSING);
    assert_int_equal(number, 77);
    flo_gguf_close(gguf);
    flo_buf_deinit(&file);
}

static void magic_and_version_are_checked_first(void **state)
{
    (void)state;
    static const uint32_t versions[] = {0, 1, 4, 0x02000000, 0x03000000};
    struct flo_buf file = {0};
    flo_buf_add(&file, "GGUG\3\0\0\0", 8);
    put_zeros(&file, 64);
    expect(&file, FLO_E_GGUF_MAGIC);
    flo_buf_add(&file, "GG", 2);
    expect(&file, FLO_E_GGUF_MAGIC);
    for (size_t i = 0; i < FLO_COUNT(versions); i++) {
        flo_buf_add(&file, "GGUF", 4);
        put_u32(&file, versions[i]);
        put_zeros(&file, 64);
        expect(&file, FLO_E_GGUF_VERSION);
    }
    flo_buf_add(&file, "GGUF\3\0\0\0", 8);
    expect(&file, FLO_E_GGUF_TRUNCATED);
}

static void version_2_reads_as_version_3(void **state)
{
    (void)state;
    size_t bytes;
    struct flo_gguf *v2 = NULL, *v3 = NULL;
    char *file = read_whole(TINY, &bytes);
    char *old = read_whole(TINY, &bytes);
    assert_non_null(file);
    assert_non_null(old);
    old[4] = 2;

    assert_int_equal(flo_gguf_open(file, bytes, &v3, NULL), 0);
    assert_int_equal(flo_gguf_open(old, bytes, &v2, NULL), 0);

    assert_int_equal(flo_gguf_version(v2), 2);
    assert_int_equal(flo_gguf_version(v3), 3);
    assert_int_equal(flo_gguf_data_offset(v2), flo_gguf_data_offset(v3));
    assert_int_equal(flo_gguf_kv_count(v2), flo_gguf_kv_count(v3));
    assert_int_equal(flo_gguf_tensor_count(v2), flo_gguf_tensor_count(v3));
    assert_int_equal(flo_gguf_scan_nonfinite(v2, NULL), 0);
    flo_gguf_close(v2);
    flo_gguf_close(v3);
    free(file);
    free(old);
}

static void absurd_counts_are_refused_before_memory_is_taken(void **state)
{
    (void)state;
    static const uint64_t counts[][2] = {
        {INT64_MAX, 0}, {0, UINT64_MAX},          {65537, 0}, {0, 65537}, {1000, 0},
        {0, 1000},      {UINT64_MAX, UINT64_MAX},
    };
    for (size_t i = 0; i < FLO_COUNT(counts); i++) {
        struct flo_buf file = {0};
        put_head(&file, counts[i][0], counts[i][1]);
        put_zeros(&file, 256);
        expect(&file, FLO_E_GGUF_LIMIT);
    }
}

static void an_array_whose_size_wraps_is_out_of_bounds(void **state)
{
    (void)state;
    static const uint64_t counts[] = {UINT64_MAX, UINT64_MAX / 8 + 2, 1000, (uint64_t)1 << 61};
    for (size_t i = 0; i < FLO_COUNT(counts); i++) {
        for (uint32_t type = FLO_GGUF_U64; type != 0;
             type = type == FLO_GGUF_U64 ? FLO_GGUF_STRING : 0) {
            struct flo_buf file = {0};
            put_head(&file, 0, 1);
            put_key(&file, "k", FLO_GGUF_ARRAY);
            put_u32(&file, type);
            put_u64(&file, counts[i]);
            put_zeros(&file, 64);
            expect(&file, FLO_E_GGUF_BOUNDS);
        }
    }
}

static void unknown_types_and_arrays_of_arrays_are_refused(void **state)
{
    (void)state;
    struct flo_buf file = {0};
    put_head(&file, 0, 1);
    put_key(&file, "k", 13);
    put_zeros(&file, 64);
    expect(&file, FLO_E_GGUF_TYPE);
    put_head(&file, 0, 1);
    put_key(&file, "k", FLO_GGUF_ARRAY);
    put_u32(&file, FLO_GGUF_ARRAY);
    put_u64(&file, 0);
    put_zeros(&file, 64);
    expect(&file, FLO_E_GGUF_TYPE);
    expect_tensor("t", 1, 32, 255, 0, FLO_E_GGUF_TYPE);
    expect_tensor("t", 1, 32, 4, 0, FLO_E_GGUF_TYPE);
    expect_tensor("t", 1, 32, UINT32_MAX, 0, FLO_E_GGUF_TYPE);
}

static void tensor_shapes_are_checked(void **state)
{
    (void)state;
    expect_tensor("t", 1, 32, 0, 0, 0);
    expect_tensor("t", 5, 32, 0, 0, FLO_E_GGUF_SHAPE);
    expect_tensor("t", 1u << 31, 32, 0, 0, FLO_E_GGUF_SHAPE);
    expect_tensor("t", 0, 32, 0, 0, FLO_E_GGUF_SHAPE);
    expect_tensor("t", 1, 0, 0, 0, FLO_E_GGUF_SHAPE);
    expect_tensor("t", 1, UINT64_MAX, 0, 0, FLO_E_GGUF_SHAPE);
    expect_tensor("t", 1, 33, 3, 0, FLO_E_GGUF_SHAPE);
    expect_tensor("t", 1, INT64_MAX, 0, 0, FLO_E_GGUF_SHAPE);
    expect_tensor("t", 1, (uint64_t)1 << 62, 1, 0, FLO_E_GGUF_SHAPE);
}

static void tensors_lie_inside_aligned_and_apart(void **state)
{
    (void)state;
    expect_tensor("t", 1, 32, 0, 32, FLO_E_GGUF_BOUNDS);
    expect_tensor("t", 1, 33, 0, 0, FLO_E_GGUF_BOUNDS);
    expect_tensor("t", 1, 8, 0, 96, 0);
    expect_tensor("t", 1, 8, 0, 16, FLO_E_GGUF_BOUNDS);
    expect_tensor("t", 1, 8, 0, UINT64_MAX - 31, FLO_E_GGUF_BOUNDS);
    struct flo_buf file = {0};
    put_head(&file, 2, 0);
    put_tensor(&file, "b", 16, 1, 0, 32);
    put_tensor(&file, "a", 16, 1, 0, 0);
    put_padding(&file);
    put_zeros(&file, 128);
    expect(&file, FLO_E_GGUF_BOUNDS);
}

static void names_and_keys_are_clean_and_stand_once(void **state)
{
    (void)state;
    char name[66];
    struct flo_buf file = {0};
    memset(name, 'n', sizeof(name));
    name[64] = '\0';
    expect_tensor(name, 1, 32, 0, 0, 0);
    name[64] = 'n';
    name[65] = '\0';
    expect_tensor(name, 1, 32, 0, 0, FLO_E_GGUF_NAME);
    expect_tensor("", 1, 32, 0, 0, FLO_E_GGUF_NAME);
    expect_tensor("a\nb", 1, 32, 0, 0, FLO_E_GGUF_NAME);
    put_head(&file, 1, 0);
    put_u64(&file, 3);
    flo_buf_add(&file, "a\0b", 3);
    put_zeros(&file, 128);
    expect(&file, FLO_E_GGUF_NAME);
    put_head(&file, 0, 2);
    put_key_u32(&file, "k", 1);
    put_key_text(&file, "k", "2");
    expect(&file, FLO_E_GGUF_DUP);
    put_head(&file, 2, 0);
    put_tensor(&file, "t", 8, 1, 0, 0);
    put_tensor(&file, "t", 8, 1, 0, 32);
    put_padding(&file);
    put_zeros(&file, 64);
    expect(&file, FLO_E_GGUF_DUP);
}

static void the_alignment_is_a_power_of_two_in_its_range(void **state)
{
    (void)state;
    static const uint32_t bad[] = {0, 1, 4, 24, 33, 1u << 17, UINT32_MAX};
    struct flo_buf file = {0};
    for (size_t i = 0; i < FLO_COUNT(bad); i++) {
        put_head(&file, 0, 1);
        put_key_u32(&file, "general.alignment", bad[i]);
        expect(&file, FLO_E_GGUF_HPARAM);
    }
    put_head(&file, 0, 1);
    put_key_u32(&file, "general.alignment", 64);
    expect(&file, 0);
    put_head(&file, 0, 1);
    put_key_text(&file, "general.alignment", "32");
    expect(&file, FLO_E_GGUF_TYPE);
}

static void what_is_no_regular_file_is_refused(void **state)
{
    (void)state;
    struct flo_gguf *gguf = NULL;
    assert_int_equal(flo_gguf_open_path("tests/models/none", &gguf, NULL), FLO_E_ABSENT);
    assert_int_equal(flo_gguf_open_path("tests/models", &gguf, NULL), FLO_E_IO_OPEN);
    assert_int_equal(flo_gguf_open_path("/dev/zero", &gguf, NULL), FLO_E_IO_OPEN);
    assert_int_equal(flo_gguf_open_path("tests/models/README.md", &gguf, NULL), FLO_E_GGUF_MAGIC);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_real_file_opens_with_its_keys_and_tensors),
        cmocka_unit_test(an_absent_key_leaves_the_default_and_a_wrong_type_is_named),
        cmocka_unit_test(magic_and_version_are_checked_first),
        cmocka_unit_test(version_2_reads_as_version_3),
        cmocka_unit_test(absurd_counts_are_refused_before_memory_is_taken),
        cmocka_unit_test(an_array_whose_size_wraps_is_out_of_bounds),
        cmocka_unit_test(unknown_types_and_arrays_of_arrays_are_refused),
        cmocka_unit_test(tensor_shapes_are_checked),
        cmocka_unit_test(tensors_lie_inside_aligned_and_apart),
        cmocka_unit_test(names_and_keys_are_clean_and_stand_once),
        cmocka_unit_test(the_alignment_is_a_power_of_two_in_its_range),
        cmocka_unit_test(what_is_no_regular_file_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
