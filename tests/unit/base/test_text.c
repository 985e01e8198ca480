/* Text and time: names, UTF-8, nearest words, RFC 3339, durations. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include <flotilla/base.h>
#include <flotilla/fit.h>

#include "unit/waits.h"

static void names_have_few_characters_and_a_length(void **state)
{
    static const char *const bad[] = {"",    ".a",  "-a",  "_a", "A",
                                      "a b", "a/b", "a\n", "..", "a\xc3\xa9"};
    char name[66];
    (void)state;

    assert_true(flo_name_is_valid("helpdesk-2.4_x"));
    assert_true(flo_name_is_valid("7"));
    for (size_t i = 0; i < FLO_COUNT(bad); i++) {
        assert_false(flo_name_is_valid(bad[i]));
    }
    assert_false(flo_name_is_valid(NULL));
    memset(name, 'a', sizeof(name));
    name[64] = '\0';
    assert_true(flo_name_is_valid(name));
    name[64] = 'a';
    name[65] = '\0';
    assert_false(flo_name_is_valid(name));
}

static void an_address_has_a_scheme_a_host_and_a_port(void **state)
{
    static const struct {
        const char *url;
        bool is_mqtt;
        bool is_http;
    } rows[] = {
        {"mqtts://broker.example:8883", true, false},
        {"mqtts://192.0.2.1:8883", true, false},
        {"mqtts://[2001:db8::1]:8883", true, false},
        {"mqtt://127.0.0.1:1883", true, false},
        {"mqtt://localhost:1883", true, false},
        {"mqtt://[::1]:1883", true, false},
        {"mqtt://broker.example:1883", false, false},
        {"mqtt://localhost.example:1883", false, false},
        {"mqtt://127.0.0.1.example:1883", false, false},
        {"mqtts://broker.example", false, false},
        {"mqtts://broker.example:", false, false},
        {"mqtts://broker.example:0", false, false},
        {"mqtts://broker.example:70000", false, false},
        {"mqtts://broker.example:8883/x", false, false},
        {"mqtts://user@broker.example:8883", false, false},
        {"mqtts://:8883", false, false},
        {"mqtts://", false, false},
        {"mqtts:broker.example:8883", false, false},
        {"tcp://127.0.0.1:1883", false, false},
        {"ssl://broker.example:8883", false, false},
        {"ws://127.0.0.1:9001", false, false},
        {"wss://broker.example:9001", false, false},
        {"MQTTS://broker.example:8883", false, false},
        {"mqtts://bro ker:8883", false, false},
        {"", false, false},
        {"https://controller.example", false, true},
        {"https://controller.example:8443/flotilla", false, true},
        {"http://127.0.0.1:8080", false, true},
        {"http://controller.example:8080", false, false},
        {"http://127.0.0.x:8080", false, false},
        {"https://controller.example:x", false, false},
        {"https://controller.example?x", false, false},
        {"file:///etc/passwd", false, false},
        {"ftp://controller.example", false, false},
        {"controller.example:8443", false, false},
    };
    (void)state;

    for (size_t i = 0; i < FLO_COUNT(rows); i++) {
        struct flo_err err = {0};
        bool is_mqtt = flo_url_check(rows[i].url, &flo_url_mqtt, &err) == 0;
        bool is_http = flo_url_check(rows[i].url, &flo_url_http, &err) == 0;
        if (is_mqtt != rows[i].is_mqtt || is_http != rows[i].is_http) {
            fail_msg("%s: %s", rows[i].url, err.what);
        }
    }
}

static void a_made_uuid_is_valid_and_new(void **state)
{
    char a[37];
    char b[37];
    (void)state;

    flo_uuid_make(a);
    flo_uuid_make(b);

    assert_true(flo_uuid_is_valid(a));
    assert_int_equal(a[14], '4');
    assert_non_null(strchr("89ab", a[19]));
    assert_string_not_equal(a, b);
    a[0] = 'F';
    assert_false(flo_uuid_is_valid(a));
    assert_false(flo_uuid_is_valid(""));
    assert_false(flo_uuid_is_valid("0123"));
}

static void a_line_shows_what_it_is(void **state)
{
    static const char *const bad[] = {"two\nlines",
                                      "tab\there",
                                      "\x1b[2J",
                                      "\x7f",
                                      "\xc2\x85",
                                      "\xc2\x9b"
                                      "0m",
                                      "\xe2\x80\xa8x",
                                      "\xe2\x80\xae"
                                      "evil",
                                      "a\xe2\x80\xaa",
                                      "\xe2\x81\xa6",
                                      "\xe2\x81\xa9"};
    static const char *const good[] = {"",
                                       "CHG-12, Ana",
                                       "\xc2\xa0\xc3\x84nderung \xe2\x80\x93 \xe2\x82\xac",
                                       "\xd7\xa9\xd7\x9c\xe2\x80\x8f",
                                       "\xf0\x9f\x9a\xa2",
                                       "\xe2\x81\xaa",
                                       "\xe2\x80\xaf"};

    (void)state;
    for (size_t i = 0; i < FLO_COUNT(bad); i++) {
        assert_false(flo_text_is_line(bad[i]));
    }
    for (size_t i = 0; i < FLO_COUNT(good); i++) {
        assert_true(flo_text_is_line(good[i]));
    }
}

static void utf8_stops_at_the_first_bad_byte(void **state)
{
    static const struct {
        const char *text;
        size_t valid;
    } rows[] = {
        {"abc", 3},
        {"\xc3\xa9x", 3},
        {"\xe2\x82\xac", 3},
        {"\xf0\x9f\x98\x80", 4},
        {"a\xc0\x80", 1},         /* overlong NUL */
        {"a\xe0\x80\xaf", 1},     /* overlong */
        {"a\xed\xa0\x80", 1},     /* surrogate */
        {"a\xf4\x90\x80\x80", 1}, /* above U+10FFFF */
        {"a\xf5\x80\x80\x80", 1},
        {"ab\xe2\x82", 2}, /* cut */
        {"\x80", 0},
    };
    char text[33] = "0123456789abcdef0123456789abcdef";
    (void)state;

    for (size_t i = 0; i < FLO_COUNT(rows); i++) {
        assert_int_equal(flo_utf8_valid(rows[i].text, strlen(rows[i].text)), rows[i].valid);
    }
    for (size_t i = 0; i < 32; i++) { /* wherever it stands */
        char c = text[i];
        text[i] = '\xff';
        assert_int_equal(flo_utf8_valid(text, 32), i);
        text[i] = c;
        assert_int_equal(flo_utf8_valid(text, i), i);
    }
}

static void the_nearest_word_is_a_small_edit_away(void **state)
{
    static const char *const words[] = {"broker", "labels", "disk_budget"};
    (void)state;

    assert_string_equal(flo_nearest("brokr", words, 3), "broker");
    assert_string_equal(flo_nearest("lables", words, 3), "labels");
    assert_string_equal(flo_nearest("diskbudget", words, 3), "disk_budget");
    assert_null(flo_nearest("telemetry", words, 3));
    assert_null(flo_nearest("", words, 3));
    assert_null(flo_nearest("broker", words, 0));
}

static void times_are_read_and_written_alike(void **state)
{
    static const struct {
        const char *text;
        uint64_t ms;
    } rows[] = {
        {"1970-01-01T00:00:00.000Z", 0},
        {"2000-02-29T23:59:59.999Z", UINT64_C(951868799999)},
        {"2026-11-20T07:00:00.123Z", UINT64_C(1795158000123)},
        {"2100-03-01T00:00:00.000Z", UINT64_C(4107542400000)},
        {"9999-12-31T23:59:59.999Z", UINT64_C(253402300799999)},
    };
    char text[25];
    uint64_t ms;
    (void)state;

    for (size_t i = 0; i < FLO_COUNT(rows); i++) {
        assert_true(flo_time_parse(rows[i].text, &ms));
        assert_true(ms == rows[i].ms);
        flo_time_text(ms, text);
        assert_string_equal(text, rows[i].text);
    }
    flo_time_text(UINT64_MAX, text);
    assert_string_equal(text, "9999-12-31T23:59:59.999Z");
}

static void fractions_are_cut_to_milliseconds(void **state)
{
    uint64_t ms;
    (void)state;

    assert_true(flo_time_parse("1970-01-01T00:00:01Z", &ms) && ms == 1000);
    assert_true(flo_time_parse("1970-01-01T00:00:01.5Z", &ms) && ms == 1500);
    assert_true(flo_time_parse("1970-01-01T00:00:00.123456789Z", &ms) && ms == 123);
}

static void times_that_do_not_exist_are_refused(void **state)
{
    static const char *const bad[] = {
        "",
        "2026-11-20",
        "2026-11-20T07:00:00",
        "2026-11-20T07:00:00+00:00",
        "2026-11-20 07:00:00Z",
        "2026-11-20t07:00:00z",
        "2026-02-29T00:00:00Z",
        "2100-02-29T00:00:00Z",
        "2026-13-01T00:00:00Z",
        "2026-00-01T00:00:00Z",
        "2026-04-31T00:00:00Z",
        "2026-11-20T24:00:00Z",
        "2026-11-20T07:60:00Z",
        "2026-11-20T07:00:60Z",
        "1969-12-31T23:59:59Z",
        "2026-11-20T07:00:00.Z",
        "2026-11-20T07:00:00.1234567890Z",
        "2026-11-20T07:00:00Z ",
        "+026-11-20T07:00:00Z",
    };
    uint64_t ms = 7;
    (void)state;

    for (size_t i = 0; i < FLO_COUNT(bad); i++) {
        assert_false(flo_time_parse(bad[i], &ms));
    }
    assert_int_equal(ms, 7);
}

static void every_day_of_four_centuries_comes_back(void **state)
{
    char text[25];
    uint64_t back;
    (void)state;

    for (uint64_t day = 0; day < 146097; day++) {
        flo_time_text(day * 86400000, text);
        assert_true(flo_time_parse(text, &back));
        assert_true(back == day * 86400000);
    }
}

static void durations_need_a_unit_and_must_fit(void **state)
{
    static const char *const bad[] = {"",
                                      "5",
                                      "s",
                                      "-1s",
                                      "1.5s",
                                      "5 s",
                                      "5S",
                                      "5sec",
                                      "1h30m",
                                      "18446744073709551616ms",
                                      "300000000000000d"};
    uint64_t ms;
    (void)state;

    assert_true(flo_duration_parse("1500ms", &ms) && ms == 1500);
    assert_true(flo_duration_parse("30s", &ms) && ms == 30000);
    assert_true(flo_duration_parse("15m", &ms) && ms == 900000);
    assert_true(flo_duration_parse("6h", &ms) && ms == 21600000);
    assert_true(flo_duration_parse("2d", &ms) && ms == 172800000);
    for (size_t i = 0; i < FLO_COUNT(bad); i++) {
        assert_false(flo_duration_parse(bad[i], &ms));
    }
    assert_false(flo_duration_parse(NULL, &ms));
}

static void clocks_do_not_go_back(void **state)
{
    (void)state;

    uint64_t ms = waits_now_ms();
    uint64_t us = waits_now_us();

    assert_true(waits_now_ms() >= ms);
    assert_true(waits_now_us() >= us);
    assert_true(waits_wall_ms() > UINT64_C(1700000000000));
}

static void assert_fits(const char *text, size_t bytes, const char *expected)
{
    char out[64];

    assert_true(bytes <= sizeof(out));
    assert_int_equal(flo_text_fit(text, out, bytes), strlen(expected));
    assert_string_equal(out, expected);
    assert_int_equal(flo_utf8_valid(out, strlen(out)), strlen(out));
}

static void a_sentence_is_cut_between_words_and_characters(void **state)
{
    (void)state;
    char text[64] = "twice as slow at site=lyon";

    assert_fits("twice as slow", 14, "twice as slow");
    assert_fits("twice as slow", 13, "twice as…");
    assert_fits("twice as slow", 12, "twice as…");
    assert_fits("twice as slow", 11, "twice…");
    assert_fits("at Zürich", 8, "at…");
    for (size_t bytes = 8; bytes < 30; bytes++) {
        char out[64];
        size_t length = flo_text_fit("éééééééééééééééééééé", out, bytes);
        assert_true(length < bytes && length + 2 > bytes - 4);
        assert_int_equal(flo_utf8_valid(out, length), length);
    }
    assert_int_equal(flo_text_fit(text, text, 12), 11); /* in place */
    assert_string_equal(text, "twice as…");
    assert_int_equal(flo_text_fitf(text, 16, "%s of %u", "twenty", 31u), 12);
    assert_string_equal(text, "twenty of 31");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sentence_is_cut_between_words_and_characters),
        cmocka_unit_test(names_have_few_characters_and_a_length),
        cmocka_unit_test(an_address_has_a_scheme_a_host_and_a_port),
        cmocka_unit_test(a_made_uuid_is_valid_and_new),
        cmocka_unit_test(a_line_shows_what_it_is),
        cmocka_unit_test(utf8_stops_at_the_first_bad_byte),
        cmocka_unit_test(the_nearest_word_is_a_small_edit_away),
        cmocka_unit_test(times_are_read_and_written_alike),
        cmocka_unit_test(fractions_are_cut_to_milliseconds),
        cmocka_unit_test(times_that_do_not_exist_are_refused),
        cmocka_unit_test(every_day_of_four_centuries_comes_back),
        cmocka_unit_test(durations_need_a_unit_and_must_fit),
        cmocka_unit_test(clocks_do_not_go_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
