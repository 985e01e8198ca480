/* Safetensors files: the bounds of the reader, and the search for NaN. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <flotilla/errors/model.h>

#include "base/safetensors/safetensors.h"

/* The whole file, and where its data begin. */
struct made {
    uint8_t bytes[4096];
    size_t count;
    uint8_t *data;
};

static struct made *make(struct made *out, const char *head, size_t data_bytes)
{
    size_t head_bytes = strlen(head);

    assert_true(8 + head_bytes + data_bytes <= sizeof(out->bytes));
    memset(out, 0, sizeof(*out));
    flo_put_u64(out->bytes, head_bytes);
    memcpy(out->bytes + 8, head, head_bytes);
    out->data = out->bytes + 8 + head_bytes;
    out->count = 8 + head_bytes + data_bytes;
    return out;
}

static int open_made(const struct made *made, struct flo_err *err)
{
    struct flo_safetensors *file = NULL;
    int rv = flo_safetensors_open(made->bytes, made->count, &file, err);

    flo_safetensors_close(file);
    return rv;
}

/* In pieces of that many bytes. */
static int scan(const struct made *made, size_t piece, struct flo_err *err)
{
    struct flo_safetensors *file = NULL;
    struct flo_finite pass;
    int rv = flo_safetensors_open(made->bytes, made->count, &file, err);

    assert_int_equal(rv, 0);
    flo_safetensors_scan_init(&pass, file);
    for (size_t at = 0; rv == 0 && at < made->count; at += piece) {
        size_t left = made->count - at;
        rv = flo_finite_add(&pass, made->bytes + at, left < piece ? left : piece, err);
    }
    rv = rv < 0 ? rv : flo_finite_finish(&pass, err);
    flo_safetensors_close(file);
    return rv;
}

static void every_bound_is_refused_with_a_reason(void **state)
{
    (void)state;
    static const struct {
        const char *head;
        size_t data_bytes;
        const char *why;
    } rows[] = {
        {"[]", 0, "no object"},
        {"{\"a\":1", 0, "no JSON"},
        {"{\"a\":{\"dtype\":\"F17\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "dtype"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,4]}}", 4, "shape"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,1],"
         "\"data_offsets\":[0,4]}}",
         4, "shape"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296],"
         "\"data_offsets\":[0,0]}}",
         0, "as its shape says"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,8]}}", 4, "outside"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,0]}}", 4, "outside"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4,4]}}", 4, "outside"},
        {"{\"a\":{\"dtype\":\"F4\",\"shape\":[3],\"data_offsets\":[0,2]}}", 2, "as its shape says"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,2]}}", 2, "does not follow"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},"
         "\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[1,3]}}",
         3, "does not follow"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 9, "8 bytes after"},
        {"{\"a\\n\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1,
         "control character"},
        {"{\"\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1, "empty"},
    };

    for (size_t i = 0; i < FLO_COUNT(rows); i++) {
        struct flo_err err = {0};
        struct made made;
        assert_int_equal(open_made(make(&made, rows[i].head, rows[i].data_bytes), &err),
                         FLO_E_SAFETENSORS);
        if (strstr(err.what, rows[i].why) == NULL) {
            fail_msg("%s: %s", rows[i].head, err.what);
        }
    }
}

static void a_head_beyond_the_file_or_the_bound_is_refused(void **state)
{
    (void)state;
    static const char head[] = "{}";
    struct flo_err err = {0};
    struct made made;

    assert_int_equal(open_made(make(&made, head, 0), &err), 0);
    for (made.count = 0; made.count < 10; made.count++) {
        assert_int_equal(open_made(&made, &err), FLO_E_SAFETENSORS);
    }
    flo_put_u64(made.bytes, UINT64_MAX);
    assert_int_equal(open_made(&made, &err), FLO_E_SAFETENSORS);
    /* A sparse file: what it claims is there, and still too much. */
    char path[] = "/tmp/flotilla-safetensors-XXXXXX";
    int fd = mkstemp(path);
    struct flo_safetensors *file = NULL;
    uint8_t first[8];
    assert_true(fd >= 0);
    flo_put_u64(first, FLO_SAFETENSORS_HEAD_BYTES_MAX + 1);
    assert_int_equal(pwrite(fd, first, 8, 0), 8);
    assert_int_equal(ftruncate(fd, 64 << 20), 0);
    assert_int_equal(flo_safetensors_open_fd(fd, &file, &err), FLO_E_SAFETENSORS);
    assert_non_null(strstr(err.what, "at most 8388608"));
    close(fd);
    unlink(path);
}

static void the_tensor_and_the_element_are_named_in_every_type(void **state)
{
    (void)state;
    static const struct {
        const char *dtype;
        size_t bytes;         /* of a value */
        uint64_t bad, finite; /* the nearest that passes */
    } rows[] = {
        {"F32", 4, 0x7f800000, 0x7f7fffff},
        {"F32", 4, 0xffc00000, 0xff7fffff},
        {"F16", 2, 0xfc00, 0xfbff},
        {"BF16", 2, 0x7fc0, 0x7f7f},
        {"F64", 8, 0x7ff0000000000000, 0x7fefffffffffffff},
        {"C64", 8, 0x7f80000000000000, 0x7f7fffff7f7fffff},
        {"F8_E5M2", 1, 0x7c, 0x7b},
        {"F8_E5M2", 1, 0xff, 0xfb},
        {"F8_E4M3", 1, 0x7f, 0x7e},
        {"F8_E4M3", 1, 0xff, 0xfe},
        {"F8_E8M0", 1, 0xff, 0xfe},
    };
    static const size_t pieces[] = {1, 3, 8, 4096};

    for (size_t i = 0; i < FLO_COUNT(rows); i++) {
        char head[256];
        char name[64];
        struct made made;
        size_t bytes = rows[i].bytes;
        snprintf(head, sizeof(head),
                 "{\"odd\":{\"dtype\":\"U8\",\"shape\":[3],"
                 "\"data_offsets\":[0,3]},"
                 "\"layers.0.w\":{\"dtype\":\"%s\",\"shape\":[13],"
                 "\"data_offsets\":[3,%zu]}}",
                 rows[i].dtype, 3 + 13 * bytes);
        make(&made, head, 3 + 13 * bytes);
        memset(made.data, 0xff, 3); /* integers may be anything */
        for (size_t k = 0; k < 13; k++) {
            memcpy(made.data + 3 + k * bytes, &rows[i].finite, bytes);
        }
        for (size_t p = 0; p < FLO_COUNT(pieces); p++) {
            struct flo_err err = {0};
            assert_int_equal(scan(&made, pieces[p], &err), 0);
        }
        memcpy(made.data + 3 + 11 * bytes, &rows[i].bad, bytes);
        snprintf(name, sizeof(name), "'layers.0.w' (%s): element 11 of 13", rows[i].dtype);
        for (size_t p = 0; p < FLO_COUNT(pieces); p++) {
            struct flo_err err = {0};
            assert_int_equal(scan(&made, pieces[p], &err), FLO_E_MODEL_NONFINITE);
            assert_non_null(strstr(err.what, name));
        }
    }
}

static void a_scan_that_lacks_bytes_does_not_pass(void **state)
{
    (void)state;
    struct flo_safetensors *file = NULL;
    struct flo_finite pass;
    struct made made;

    make(&made, "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8);
    assert_int_equal(flo_safetensors_open(made.bytes, made.count, &file, NULL), 0);
    flo_safetensors_scan_init(&pass, file);
    assert_int_equal(flo_finite_add(&pass, made.bytes, made.count - 1, NULL), 0);
    assert_int_equal(flo_finite_finish(&pass, NULL), FLO_E_SAFETENSORS);
    flo_safetensors_close(file);
}

static void no_other_format_looks_like_one(void **state)
{
    (void)state;
    struct made made;

    make(&made, "{}", 0);
    assert_true(flo_safetensors_looks_like(made.bytes, 9, made.count));
    assert_false(flo_safetensors_looks_like(made.bytes, 8, made.count));
    assert_false(flo_safetensors_looks_like(made.bytes, 9, 9));
    assert_false(flo_safetensors_looks_like("{\"a\": 1}{", 9, 1 << 20));
    assert_false(flo_safetensors_looks_like("GGUF\3\0\0\0\1", 9, 1 << 20));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_bound_is_refused_with_a_reason),
        cmocka_unit_test(a_head_beyond_the_file_or_the_bound_is_refused),
        cmocka_unit_test(the_tensor_and_the_element_are_named_in_every_type),
        cmocka_unit_test(a_scan_that_lacks_bytes_does_not_pass),
        cmocka_unit_test(no_other_format_looks_like_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
