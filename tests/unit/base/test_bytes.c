/* Bytes: known answers and edges of CRC-32C, hex, base64, digests, buffers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include <flotilla/base.h>

static void crc32c_gives_the_known_answers(void **state)
{
    /* RFC 3720 B.4 and the usual check value. */
    uint8_t block[32] = {0};
    (void)state;

    assert_int_equal(flo_crc32c(0, "123456789", 9), 0xe3069283);
    assert_int_equal(flo_crc32c(0, block, 32), 0x8a9136aa);
    memset(block, 0xff, 32);
    assert_int_equal(flo_crc32c(0, block, 32), 0x62a8ab43);
    for (unsigned i = 0; i < 32; i++) {
        block[i] = (uint8_t)i;
    }
    assert_int_equal(flo_crc32c(0, block, 32), 0x46dd794e);
}

static void crc32c_goes_on_from_a_seed(void **state)
{
    (void)state;

    uint32_t head = flo_crc32c(0, "12345", 5);

    assert_int_equal(flo_crc32c(head, "6789", 4), 0xe3069283);
    assert_int_equal(flo_crc32c(head, "", 0), head);
}

static void crc32c_of_words_is_that_of_bytes(void **state)
{
    uint8_t data[67];
    uint32_t crc = 0;
    (void)state;

    for (unsigned i = 0; i < sizeof(data); i++) {
        data[i] = (uint8_t)(i * 89 + 3);
        crc = flo_crc32c(crc, &data[i], 1);
    }
    for (size_t cut = 0; cut <= sizeof(data); cut++) {
        uint32_t head = flo_crc32c(0, data, cut);
        assert_int_equal(flo_crc32c(head, data + cut, sizeof(data) - cut), crc);
    }
}

static void numbers_are_little_endian_on_any_address(void **state)
{
    uint8_t room[9] = {0};
    (void)state;

    flo_put_u64(room + 1, UINT64_C(0x0807060504030201));
    for (unsigned i = 1; i < 9; i++) {
        assert_int_equal(room[i], i);
    }
    assert_int_equal(flo_get_u16(room + 1), 0x0201);
    assert_int_equal(flo_get_u32(room + 1), 0x04030201);
    assert_true(flo_get_u64(room + 1) == UINT64_C(0x0807060504030201));
    flo_put_u16(room, 0xfeff);
    flo_put_u32(room + 2, 0xfffefdfc);
    assert_int_equal(room[0], 0xff);
    assert_int_equal(flo_get_u32(room + 2), 0xfffefdfc);
}

static void sums_and_products_that_do_not_fit_leave_the_result(void **state)
{
    uint64_t out = 5;
    (void)state;

    assert_false(flo_add_u64(UINT64_MAX, 1, &out));
    assert_false(flo_mul_u64(UINT64_C(1) << 32, UINT64_C(1) << 32, &out));
    assert_int_equal(out, 5);
    assert_true(flo_add_u64(UINT64_MAX - 1, 1, &out));
    assert_true(out == UINT64_MAX);
}

static void hex_is_lower_case_and_exact(void **state)
{
    static const char *const bad[] = {"", "0", "00ff1", "00FF10", "00ff1g", "00ff1 ", "00ff1011"};
    uint8_t bytes[3] = {9, 9, 9};
    char text[7];
    (void)state;

    flo_hex_encode("\x00\xff\x10", 3, text);
    assert_string_equal(text, "00ff10");
    for (size_t i = 0; i < FLO_COUNT(bad); i++) {
        assert_false(flo_hex_decode(bad[i], bytes, 3));
        assert_int_equal(bytes[0], 9);
    }
    assert_true(flo_hex_decode("00ff10", bytes, 3));
    assert_memory_equal(bytes, "\x00\xff\x10", 3);
    assert_false(flo_hex_decode(NULL, bytes, 3));
    assert_true(flo_hex_decode("", bytes, 0));
}

static void base64_gives_the_answers_of_rfc_4648(void **state)
{
    static const char *const rows[][2] = {{"", ""},
                                          {"f", "Zg=="},
                                          {"fo", "Zm8="},
                                          {"foo", "Zm9v"},
                                          {"foob", "Zm9vYg=="},
                                          {"fooba", "Zm9vYmE="},
                                          {"foobar", "Zm9vYmFy"}};
    char text[16];
    char back[16];
    (void)state;

    for (size_t i = 0; i < FLO_COUNT(rows); i++) {
        size_t bytes = strlen(rows[i][0]);
        flo_base64_encode(rows[i][0], bytes, text);
        assert_string_equal(text, rows[i][1]);
        assert_int_equal(flo_base64_decode(text, strlen(text), back), bytes);
        assert_memory_equal(back, rows[i][0], bytes);
    }
}

static void base64_that_is_not_the_one_text_is_refused(void **state)
{
    static const char *const bad[] = {
        "Z",    "Zg",   "Zg=",    "Zh==",    "Zm9=", "Zg==Zg==",     "=m9v",
        "Z=9v", "====", "Zm9v\n", "Zm 9vYg", "Zm-_", "Zg==\n\n\n\n", "Z==="};
    char back[16];
    (void)state;

    for (size_t i = 0; i < FLO_COUNT(bad); i++) {
        assert_int_equal(flo_base64_decode(bad[i], strlen(bad[i]), back), -1);
    }
}

static void digests_have_one_text(void **state)
{
    struct flo_digest digest = {{1, 2, 0xab}};
    struct flo_digest back = {0};
    char text[FLO_DIGEST_TEXT];
    (void)state;

    assert_true(flo_digest_is_zero(&back));
    flo_digest_text(&digest, text);
    assert_int_equal(strlen(text), FLO_DIGEST_TEXT - 1);
    assert_true(flo_digest_parse(text, &back));
    assert_true(flo_digest_equal(&digest, &back));
    text[8] = 'A';
    assert_false(flo_digest_parse(text, &back));
    assert_false(flo_digest_parse(text + 7, &back));
    assert_false(flo_digest_parse("sha256:", &back));
    assert_false(flo_digest_parse(NULL, &back));
}

static void a_buffer_grows_to_its_bound_and_then_stays_failed(void **state)
{
    struct flo_buf buf = {.bytes_max = 10};
    (void)state;

    flo_buf_text(&buf, "12345");
    flo_buf_printf(&buf, "%d", 67890);
    assert_string_equal(buf.data, "1234567890");
    assert_false(buf.failed);
    flo_buf_add(&buf, "x", 1);
    assert_true(buf.failed);
    flo_buf_add(&buf, "", 0);
    assert_string_equal(buf.data, "1234567890");
    flo_buf_deinit(&buf);
    assert_null(buf.data);
}

static void a_printed_text_that_does_not_fit_leaves_no_part(void **state)
{
    struct flo_buf buf = {.bytes_max = 80};
    (void)state;

    flo_buf_printf(&buf, "%s", "");   /* some room */
    flo_buf_printf(&buf, "%070d", 1); /* more than there was */
    assert_int_equal(buf.bytes, 70);
    flo_buf_printf(&buf, "%s", "9876543210x");
    assert_true(buf.failed);
    assert_int_equal(buf.bytes, 70);
    assert_int_equal(strlen(buf.data), 70);
    flo_buf_deinit(&buf);
}

static void a_large_buffer_keeps_what_was_added(void **state)
{
    struct flo_buf buf = {0};
    (void)state;

    for (int i = 0; i < 10000; i++) {
        flo_buf_printf(&buf, "%04d", i);
    }
    assert_false(buf.failed);
    assert_int_equal(buf.bytes, 40000);
    assert_memory_equal(buf.data + 4 * 9999, "9999", 5);
    flo_buf_deinit(&buf);
}

/* One more byte than the bound would be none: the NUL needs it. */
static void a_buffer_without_a_bound_holds_what_is_added(void **state)
{
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) buf = {.bytes_max = SIZE_MAX};

    (void)state;
    for (int i = 0; i < 1000; i++) {
        flo_buf_text(&buf, "byte");
    }
    assert_false(buf.failed);
    assert_int_equal(buf.bytes, 4000);
    assert_true(buf.capacity > buf.bytes);
    assert_int_equal(strlen(buf.data), 4000);
}

static void json_text_is_escaped_and_bad_bytes_replaced(void **state)
{
    struct flo_buf buf = {0};
    (void)state;

    flo_buf_json_text(&buf, "a\"\\\n\x01\xc3\xa9\xff\xe2\x82z", 11);

    assert_string_equal(buf.data, "a\\\"\\\\\\n\\u0001\xc3\xa9"
                                  "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"
                                  "z");
    flo_buf_deinit(&buf);
}

static void an_array_grows_and_stays_when_no_memory_is_left(void **state)
{
    uint64_t *items = NULL;
    size_t room = 0;
    (void)state;

    for (size_t i = 0; i < 1000; i++) {
        assert_true(flo_grow(&items, &room, i, sizeof(*items)));
        assert_true(room > i);
        items[i] = i;
    }
    for (size_t i = 0; i < 1000; i++) {
        assert_int_equal(items[i], i);
    }

    const uint64_t *before = items;
    size_t before_room = room;
    struct flo_err err = {0};
    assert_false(flo_grow(&items, &room, room, SIZE_MAX / room));
    assert_int_equal(flo_grow_or_fail(&items, &room, room, SIZE_MAX / room, "rows", &err),
                     FLO_E_MEMORY);
    assert_non_null(strstr(err.what, " rows"));
    assert_ptr_equal(items, before);
    assert_int_equal(room, before_room);
    free(items);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(crc32c_gives_the_known_answers),
        cmocka_unit_test(crc32c_goes_on_from_a_seed),
        cmocka_unit_test(crc32c_of_words_is_that_of_bytes),
        cmocka_unit_test(numbers_are_little_endian_on_any_address),
        cmocka_unit_test(sums_and_products_that_do_not_fit_leave_the_result),
        cmocka_unit_test(hex_is_lower_case_and_exact),
        cmocka_unit_test(base64_gives_the_answers_of_rfc_4648),
        cmocka_unit_test(base64_that_is_not_the_one_text_is_refused),
        cmocka_unit_test(digests_have_one_text),
        cmocka_unit_test(a_buffer_grows_to_its_bound_and_then_stays_failed),
        cmocka_unit_test(a_printed_text_that_does_not_fit_leaves_no_part),
        cmocka_unit_test(a_large_buffer_keeps_what_was_added),
        cmocka_unit_test(a_buffer_without_a_bound_holds_what_is_added),
        cmocka_unit_test(json_text_is_escaped_and_bad_bytes_replaced),
        cmocka_unit_test(an_array_grows_and_stays_when_no_memory_is_left),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
