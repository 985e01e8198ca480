/* Which release fits which hardware class, by what devices measured. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "server-stub/cli/benchmark/fit.h"

static json_t *items;
static const struct flo_fit_want want = {FLO_FIT_TPS, FLO_FIT_RIGHT_PERCENT};

static int begin(void **state)
{
    (void)state;
    items = json_array();
    return 0;
}

static int end(void **state)
{
    (void)state;
    json_decref(items);
    return 0;
}

/* The answer has the newest benchmark first; each call adds an older one. */
static json_t *measured(const char *device, const char *hardware, const char *version, double tps,
                        int right)
{
    json_t *facts = json_pack("{s:s, s:s, s:f, s:f, s:i, s:i, s:s, s:f}", "model", "m", "version",
                              version, "generate-tps", tps, "prompt-tps", 10 * tps, "right", right,
                              "cases", 20, "ended", "time", "rss-bytes", 1e6);

    json_array_append_new(items, json_pack("{s:s, s:s, s:s, s:o}", "device", device, "name", device,
                                           "hardware", hardware, "facts", facts));
    return facts;
}

/* Rows as lines: class, release, devices, tokens/s, parts right, verdict. */
static void expect(const char *lines)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *rows = flo_fit_rows(items, &want);
    struct flo_buf text = {0};

    flo_buf_text(&text, "");
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const json_t *row = json_array_get(rows, i);
        flo_buf_printf(&text, "%s %s %lld %g %g %s\n",
                       json_string_value(json_object_get(row, "hardware")),
                       json_string_value(json_object_get(row, "release")),
                       (long long)json_integer_value(json_object_get(row, "devices")),
                       json_number_value(json_object_get(row, "generate_tps")),
                       json_number_value(json_object_get(row, "right_percent")),
                       json_string_value(json_object_get(row, "verdict")));
    }
    assert_string_equal(text.data, lines);
    flo_buf_deinit(&text);
}

static void nothing_measured_is_an_empty_table(void **state)
{
    (void)state;
    expect("");
}

static void the_release_with_most_right_answers_is_best_for_a_class(void **state)
{
    (void)state;
    measured("a", "arm", "1", 30, 19);
    measured("a", "arm", "2", 10, 20);
    expect("arm m@2 1 10 100 best\n"
           "arm m@1 1 30 95 fits\n");
}

static void among_equally_right_releases_the_faster_one_is_best(void **state)
{
    (void)state;
    measured("a", "arm", "1", 10, 20);
    measured("a", "arm", "2", 30, 20);
    expect("arm m@2 1 30 100 best\n"
           "arm m@1 1 10 100 fits\n");
}

static void a_release_that_is_too_slow_fits_another_class(void **state)
{
    (void)state;
    measured("a", "arm", "1", 2, 20);
    measured("b", "x86", "1", 20, 20);
    expect("arm m@1 1 2 100 slow\n"
           "x86 m@1 1 20 100 best\n");
}

static void a_release_with_wrong_answers_does_not_fit(void **state)
{
    (void)state;
    measured("a", "arm", "1", 30, 18);
    measured("a", "arm", "2", 6, 20);
    expect("arm m@2 1 6 100 best\n"
           "arm m@1 1 30 90 wrong\n");
}

static void a_release_that_heats_most_devices_of_a_class_does_not_fit(void **state)
{
    (void)state;
    json_object_set_new(measured("a", "arm", "1", 30, 20), "ended", json_string("heat"));
    json_object_set_new(measured("b", "arm", "1", 30, 20), "ended", json_string("heat"));
    measured("c", "arm", "1", 30, 20);
    expect("arm m@1 3 30 100 hot\n");
}

static void only_the_newest_benchmark_of_a_device_counts(void **state)
{
    (void)state;
    measured("a", "arm", "1", 30, 20);
    measured("a", "arm", "1", 1, 0);
    expect("arm m@1 1 30 100 best\n");
}

static void numbers_of_a_class_are_the_median_of_its_devices(void **state)
{
    (void)state;
    measured("a", "arm", "1", 9, 20);
    measured("b", "arm", "1", 10, 20);
    measured("c", "arm", "1", 500, 20);
    expect("arm m@1 3 10 100 best\n");
}

static void variants_of_a_release_are_told_apart(void **state)
{
    (void)state;
    json_object_set_new(measured("a", "arm", "1", 9, 20), "variant", json_string("int4"));
    json_object_set_new(measured("a", "arm", "1", 8, 20), "variant", json_string("int8"));
    expect("arm m@1 1 9 100 best\n"
           "arm m@1 1 8 100 fits\n");
}

static void a_release_without_golden_cases_is_judged_by_its_speed(void **state)
{
    json_t *facts;

    (void)state;
    facts = measured("a", "arm", "1", 9, 0);
    json_object_del(facts, "right");
    json_object_del(facts, "cases");
    expect("arm m@1 1 9 0 best\n");
}

static void answers_without_facts_are_passed_over(void **state)
{
    (void)state;
    json_array_append_new(items, json_pack("{s:s, s:{}}", "device", "a", "facts"));
    json_array_append_new(items, json_object());
    json_array_append_new(items, json_null());
    json_array_append_new(items, json_string("x"));
    expect("");
}

static void the_page_shows_texts_of_devices_as_texts(void **state)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *rows = NULL;
    struct flo_buf page = {0};
    json_t *facts;

    (void)state;
    facts = measured("<script>alert(1)</script>", "a\"rm", "1", 9, 20);
    json_object_set_new(facts, "generate-series", json_string("9 8.5 nan 1e999 7 x"));
    json_object_set_new(facts, "temperature-series", json_string("45 47 50"));
    rows = flo_fit_rows(items, &want);
    flo_fit_page(rows, items, &page);
    assert_false(page.failed);
    flo_buf_text(&page, "");
    assert_null(strstr(page.data, "<script"));
    assert_non_null(strstr(page.data, "&#60;script&#62;"));
    assert_non_null(strstr(page.data, "<polyline class=\"heat\""));
    assert_non_null(strstr(page.data, "</html>"));
    flo_buf_deinit(&page);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(nothing_measured_is_an_empty_table),
        TEST(the_release_with_most_right_answers_is_best_for_a_class),
        TEST(among_equally_right_releases_the_faster_one_is_best),
        TEST(a_release_that_is_too_slow_fits_another_class),
        TEST(a_release_with_wrong_answers_does_not_fit),
        TEST(a_release_that_heats_most_devices_of_a_class_does_not_fit),
        TEST(only_the_newest_benchmark_of_a_device_counts),
        TEST(numbers_of_a_class_are_the_median_of_its_devices),
        TEST(variants_of_a_release_are_told_apart),
        TEST(a_release_without_golden_cases_is_judged_by_its_speed),
        TEST(answers_without_facts_are_passed_over),
        TEST(the_page_shows_texts_of_devices_as_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
