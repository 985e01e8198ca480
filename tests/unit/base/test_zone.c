/* Time zones, against what the C library says of the same moments. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/zone.h"

static void zones_agree_with_the_c_library(void **state)
{
    static const char *const names[] = {
        "Europe/Paris", "America/New_York",  "America/Sao_Paulo", "Australia/Lord_Howe",
        "Asia/Kolkata", "Africa/Casablanca", "Pacific/Chatham",   "America/Nuuk",
        "Asia/Tehran",  "Europe/Dublin",     "Antarctica/Troll",  "America/Santiago",
        "Etc/GMT+5",    "Pacific/Kiritimati"};
    (void)state;

    for (size_t i = 0; i < FLO_COUNT(names); i++) {
        struct flo_zone *zone = NULL;
        struct flo_err err = {0};
        if (flo_zone_open(names[i], &zone, &err) < 0) {
            fail_msg("%s", err.what);
        }
        setenv("TZ", names[i], 1);
        tzset();
        /* 1971 to 2060, at odd hours. */
        uint64_t end_s = sizeof(time_t) > 4 ? 2840140800u : INT32_MAX;
        for (uint64_t s = 31536000; s < end_s; s += 90061) {
            time_t at = (time_t)s;
            struct tm local;
            assert_non_null(localtime_r(&at, &local));
            if (flo_zone_offset_s(zone, s * 1000) != local.tm_gmtoff) {
                fail_msg("%s at %llu: %d, not %ld", names[i], (unsigned long long)s,
                         flo_zone_offset_s(zone, s * 1000), local.tm_gmtoff);
            }
        }
        flo_zone_close(zone);
    }
    unsetenv("TZ");
    tzset();
}

static void an_offset_is_a_zone_too(void **state)
{
    static const struct {
        const char *text;
        int32_t offset_s;
    } good[] = {{"UTC", 0},        {"Z", 0},          {"+02:00", 7200},
                {"-0330", -12600}, {"+14:00", 50400}, {"-05", -18000}};
    static const char *const bad[] = {"",      "2",      "+2",     "+15:00", "+02:60",
                                      "+02:0", "+02:",   "+0200x", "utc",    "+02:00Z",
                                      "+0:00", "+02:0:", "+::00"};
    int32_t offset_s;
    char text[8];
    (void)state;

    for (size_t i = 0; i < FLO_COUNT(good); i++) {
        struct flo_zone *zone = NULL;
        assert_true(flo_zone_offset_parse(good[i].text, &offset_s));
        assert_int_equal(offset_s, good[i].offset_s);
        assert_int_equal(flo_zone_open(good[i].text, &zone, NULL), 0);
        assert_int_equal(flo_zone_offset_s(zone, 1800000000000u), good[i].offset_s);
        flo_zone_close(zone);
        flo_zone_offset_text(offset_s, text);
        assert_true(flo_zone_offset_parse(text, &offset_s));
        assert_int_equal(offset_s, good[i].offset_s);
    }
    for (size_t i = 0; i < FLO_COUNT(bad); i++) {
        assert_false(flo_zone_offset_parse(bad[i], &offset_s));
    }
}

static void a_name_leads_nowhere_else(void **state)
{
    static const char *const names[] = {
        "",       "/etc/passwd", "../../../etc/passwd", "Europe/../../passwd", "No/Where",
        "Europe", "zone.tab",    "Europe/Paris\n"};
    struct flo_zone *zone = NULL;
    struct flo_err err = {0};
    (void)state;

    for (size_t i = 0; i < FLO_COUNT(names); i++) {
        assert_int_equal(flo_zone_open(names[i], &zone, &err), FLO_E_ABSENT);
        assert_null(zone);
    }
}

static void the_machine_has_a_zone(void **state)
{
    struct flo_zone *zone = NULL;
    char name[FLO_ZONE_TEXT];
    (void)state;

    setenv("TZ", "Asia/Kolkata", 1);
    tzset();
    flo_zone_of_system(name);
    assert_string_equal(name, "+05:30");
    unsetenv("TZ");
    tzset();
    flo_zone_of_system(name);
    assert_int_equal(flo_zone_open(name, &zone, NULL), 0);
    flo_zone_close(zone);
}

/* ---- damaged files ---- */

static void put(uint8_t *at, uint64_t value, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) {
        at[i] = (uint8_t)(value >> 8 * (bytes - 1 - i));
    }
}

#define SECOND 52  /* where the second head begins: after a block of one type */
#define CHANGES 96 /* two times of change, then two types */
#define TYPES 114  /* two of six bytes */
#define FOOTER 127

/* A zone that was an hour ahead from 1970-01-02 to 1970-01-03. */
static size_t make(uint8_t out[FOOTER + 200], const char *rule)
{
    memset(out, 0, FOOTER + 200);
    for (size_t at = 0; at <= SECOND; at += SECOND) {
        memcpy(out + at, "TZif2", 5);
        put(out + at + 36, 1, 4);
    }
    put(out + 40, 2, 4);
    put(out + SECOND + 32, 2, 4); /* changes */
    put(out + SECOND + 36, 2, 4); /* types */
    put(out + SECOND + 40, 1, 4); /* characters */
    put(out + CHANGES, 86400, 8);
    put(out + CHANGES + 8, 172800, 8);
    out[CHANGES + 16] = 1;
    put(out + TYPES + 6, 3600, 4);
    return FOOTER + (size_t)sprintf((char *)out + FOOTER, "\n%s\n", rule);
}

static int32_t offset_at(const char *rule, uint64_t day)
{
    uint8_t data[FOOTER + 200];
    struct flo_zone *zone = NULL;

    if (flo_zone_parse(data, make(data, rule), &zone, NULL) < 0) {
        return -1;
    }
    int32_t out = flo_zone_offset_s(zone, day * 86400000);
    flo_zone_close(zone);
    return out;
}

static void a_damaged_file_is_no_zone(void **state)
{
    static const struct {
        size_t at, bytes;
        uint64_t value;
    } wrong[] = {
        {0, 1, 'X'},
        {4, 1, '1'},
        {32, 4, 4097}, /* too many changes */
        {36, 4, 0},    /* no type */
        {36, 4, 257},  /* too many types */
        {28, 4, 4097}, /* leap seconds */
        {40, 4, 4097}, /* characters */
        {20, 4, 257},  /* of UTC */
        {24, 4, 257},  /* of standard time */
        {SECOND, 1, 'X'},
        {SECOND + 36, 4, 0},
        {SECOND + 40, 4, 40}, /* beyond the file */
        {CHANGES, 8, 172800}, /* not ascending */
        {CHANGES + 17, 1, 2}, /* a type that is not there */
        {TYPES, 4, 26 * 3600 + 1},
        {TYPES, 4, (uint32_t)(-26 * 3600 - 1)},
        {FOOTER, 1, 'X'},
    };
    uint8_t data[FOOTER + 200];
    struct flo_zone *zone = NULL;
    struct flo_err err = {0};
    size_t bytes = make(data, "");
    (void)state;

    assert_int_equal(flo_zone_parse(data, bytes, &zone, &err), 0);
    assert_int_equal(flo_zone_offset_s(zone, 86399999), 0);
    assert_int_equal(flo_zone_offset_s(zone, 86400000), 3600);
    assert_int_equal(flo_zone_offset_s(zone, 172800000), 0);
    flo_zone_close(zone);
    put(data + TYPES, 26 * 3600, 4); /* as far as an offset may be */
    put(data + TYPES + 6, (uint32_t)(-26 * 3600), 4);
    assert_int_equal(flo_zone_parse(data, bytes, &zone, &err), 0);
    assert_int_equal(flo_zone_offset_s(zone, 0), 26 * 3600);
    flo_zone_close(zone);
    zone = NULL;
    for (size_t i = 0; i < FLO_COUNT(wrong); i++) {
        make(data, "");
        put(data + wrong[i].at, wrong[i].value, wrong[i].bytes);
        if (flo_zone_parse(data, bytes, &zone, &err) != FLO_E_META_SCHEMA) {
            fail_msg("at %zu: %llu is taken", wrong[i].at, (unsigned long long)wrong[i].value);
        }
    }
    make(data, "");
    for (size_t cut = 0; cut < bytes; cut++) {
        uint8_t *part = malloc(cut + 1); /* its end is where a sanitizer looks */
        memcpy(part, data, cut);
        assert_int_equal(flo_zone_parse(part, cut, &zone, &err), FLO_E_META_SCHEMA);
        free(part);
    }
}

static void a_rule_may_name_days_of_the_year(void **state)
{
    static const char *const bad[] = {"ABC-1ABD,J0,J9", "ABC-1ABD,M0.1.0,M9.1.0",
                                      "ABC-1ABD,M13.1.0,M9.1.0", "ABC-1ABD,366,9", "AB-1"};
    char longest[150];
    (void)state;

    /* 1971: day 59 of J is 28 February, day 60 is 1 March, also in a leap year. */
    assert_int_equal(offset_at("ABC-1ABD,J60/0,J300/0", 365 + 58), 3600);
    assert_int_equal(offset_at("ABC-1ABD,J60/0,J300/0", 365 + 60), 7200);
    assert_int_equal(offset_at("ABC-1ABD,J60/0,J300/0", 730 + 58), 3600);
    assert_int_equal(offset_at("ABC-1ABD,J60/0,J300/0", 730 + 59), 3600); /* 29 February */
    assert_int_equal(offset_at("ABC-1ABD,J60/0,J300/0", 730 + 61), 7200);
    assert_int_equal(offset_at("ABC-1ABD,59/0,300/0", 730 + 58), 3600);
    assert_int_equal(offset_at("ABC-1ABD,59/0,300/0", 730 + 60), 7200);
    for (size_t i = 0; i < FLO_COUNT(bad); i++) {
        assert_int_equal(offset_at(bad[i], 400), -1);
    }
    memset(longest, 'A', sizeof(longest));
    memcpy(longest + sizeof(longest) - 3, "-1", 3);
    assert_int_equal(offset_at(longest, 400), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(zones_agree_with_the_c_library),
        cmocka_unit_test(an_offset_is_a_zone_too),
        cmocka_unit_test(a_name_leads_nowhere_else),
        cmocka_unit_test(the_machine_has_a_zone),
        cmocka_unit_test(a_damaged_file_is_no_zone),
        cmocka_unit_test(a_rule_may_name_days_of_the_year),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
