/* Time zones, against what the C library says of the same moments. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

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
    static const char *const bad[] = {"",      "2",    "+2",     "+15:00", "+02:60",
                                      "+02:0", "+02:", "+0200x", "utc",    "+02:00Z"};
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(zones_agree_with_the_c_library),
        cmocka_unit_test(an_offset_is_a_zone_too),
        cmocka_unit_test(a_name_leads_nowhere_else),
        cmocka_unit_test(the_machine_has_a_zone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
