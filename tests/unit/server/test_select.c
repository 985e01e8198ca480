/* Selectors: what a text means, which devices fit, and where an error lies. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include <flotilla/errors/rest.h>

#include "server-stub/core/select/select.h"

#define NOW_MS UINT64_C(1700000000000)
#define MINUTE_MS UINT64_C(60000)

static const char *const groups[] = {"all", "store-eu", NULL};
static const char *const models[] = {"help", "ocr", NULL};
static const char *const releases[] = {"help@2.10.0", "ocr@1.0.4", NULL};
static const struct flo_select_label labels[] = {{"hw", "rpi5"},           {"site", "lyon"},
                                                 {"rack", "r-9"},          {"empty", ""},
                                                 {"quote", "it's \"it\""}, {NULL, NULL}};

static int compares(const struct flo_select_name *name, const struct flo_select_device *a,
                    const struct flo_select_device *b)
{
    struct flo_select_key one = flo_select_key_of(name, a);
    struct flo_select_key other = flo_select_key_of(name, b);

    return flo_select_key_compare(name, &one, &other);
}

static struct flo_select_device device(void)
{
    struct flo_select_device made;

    flo_select_device_init(&made);
    made.values[FLO_SELECT_NAME].text = "gw-2";
    made.values[FLO_SELECT_STATE].text = "online";
    made.values[FLO_SELECT_GROUP].list = groups;
    made.values[FLO_SELECT_MODEL].list = models;
    made.values[FLO_SELECT_RELEASE].list = releases;
    made.values[FLO_SELECT_ARCH].text = "aarch64";
    made.values[FLO_SELECT_CORES].number = 4;
    made.values[FLO_SELECT_MEMORY].number = 8.0 * (1 << 30);
    made.values[FLO_SELECT_LAST_SEEN].at_ms = NOW_MS - 5 * MINUTE_MS;
    made.labels = labels;
    return made;
}

static bool has_label(void *context, const char *key)
{
    (void)context;
    for (size_t i = 0; labels[i].key != NULL; i++) {
        if (strcmp(labels[i].key, key) == 0) {
            return true;
        }
    }
    return strcmp(key, "lab") == 0;
}
static const struct flo_select_known known = {has_label, NULL};

static bool fits(const char *text)
{
    static struct flo_selector selector;
    struct flo_select_device one = device();
    struct flo_err err = {0};

    if (flo_selector_parse(text, &known, &selector, &err) < 0) {
        fail_msg("%s: %s", text, err.what);
    }
    return flo_selector_matches(&selector, &one, NOW_MS);
}

static void each_operator_says_what_people_mean(void **state)
{
    static const struct {
        const char *text;
        bool fits;
    } cases[] = {
        {"hw=rpi5 and site in (lyon,nantes) and not lab", true},
        {"hw=rpi5,site=lyon,!lab", true},
        {"hw == rpi5", true},
        {"hw != rpi5", false},
        {"hw", true},
        {"lab", false},
        {"empty", true},
        {"empty=''", true},
        {"quote='it''s \"it\"'", true},
        {"quote=\"it's \"\"it\"\"\"", true},
        {"not hw", false},
        {"not not hw", true},
        {"site in (paris)", false},
        {"site not in (paris, 'nantes')", true},
        {"site in (paris) or cores>=4", true},
        {"(site=paris or site=lyon) and cores<4", false},
        {"site=paris or site=lyon and cores<4", false},
        {"site=lyon or site=paris and cores<4", true},
        {"cores=4 and cores<=4 and cores<5 and cores>3", true},
        {"cores in (2,4)", true},
        {"memory>=8GiB", true},
        {"memory>8GiB", false},
        {"memory<8.5GiB and memory>8.5GB", true},
        {"last_seen<10m", true},
        {"last_seen<300s", false},
        {"last_seen<=300s", true},
        {"last_seen>1m and last_seen<1d", true},
        {"enrolled>4w", true}, /* it never was: longer than any */
        {"enrolled<4w", false},
        {"state=online", true},
        {"state in (offline)", false},
        {"group=store-eu", true},
        {"group in (store-us)", false},
        {"group!=store-us", true},
        {"model=ocr and model=help", true},
        {"release=help@2.10.0", true},
        {"release.help>2.9.1", true}, /* as people count */
        {"release.help>=2.10.0", true},
        {"release.help<2.10.0", false},
        {"release.none=1", false},
        {"release.none!=1", true},
        {"release.none", false},
        {"rack<r-10", true},
        {"name<gw-10", true},
        {"label.hw=rpi5", true},
        {"maintenance", false},
        {"maintenance=false", true},
        {"maintenance=true", false},
        {"cores>-1", true},
        {"hw=rpi5\r\n\tand\nsite=lyon", true},
        {"battery", false}, /* it says none: "" */
        {"not maintenance", true},
        {"rss<1TiB", false}, /* it does not say */
        {"not rss<1TiB", true},
        {"ttft_p95>1ms or arch=aarch64", true},
    };

    (void)state;
    for (size_t i = 0; i < FLO_COUNT(cases); i++) {
        if (fits(cases[i].text) != cases[i].fits) {
            fail_msg("%s is not %d", cases[i].text, cases[i].fits);
        }
    }
}

static void an_error_names_the_column_and_the_nearest_field(void **state)
{
    static const struct {
        const char *text;
        const char *what;
    } cases[] = {
        {"hw=rpi5 and memroy>1GiB",
         "selector, column 13: `memroy` is no field, and no device has a label "
         "of that name; nearest: `memory`"},
        {"statee=online", "selector, column 1: `statee` is no field, and no device has a label "
                          "of that name; nearest: `state`"},
        {"", "selector, column 1: a field or a label is missing at the end"},
        {"hw=", "selector, column 4: a value is missing at the end"},
        {"hw=rpi5 site=lyon",
         "selector, column 9: `and`, `or` or the end belongs here, not `site`"},
        {"(hw=rpi5", "selector, column 9: `)` is missing at the end"},
        {"hw in rpi5", "selector, column 7: `(` belongs here, not `rpi5`"},
        {"hw in (rpi5 rpi4)", "selector, column 13: `,` or `)` belongs here, not `rpi4`"},
        {"hw='rpi5", "selector, column 4: the quote has no end"},
        {"memory>2Mib", "selector, column 8: memory: a size as 200MiB belongs here, not "
                        "`2Mib`"},
        {"last_seen<10", "selector, column 11: last_seen: a time as 10m or 250ms belongs here, "
                         "not `10`"},
        {"cores>many", "selector, column 7: cores: a number belongs here, not `many`"},
        {"state=degraded", "selector, column 7: state: online or offline "
                           "belongs here, not `degraded`"},
        {"maintenance=yes", "selector, column 13: maintenance: true or false "
                            "belongs here, not `yes`"},
        {"group<store", "selector, column 6: group is a list: = != and in belong here"},
        {"label.Hw=1", "selector, column 7: `Hw` is no name of a label"},
        {"and", "selector, column 1: `and` is no field, and no device has a "
                "label of that name"},
        {"hw=\xff", "selector, column 4: no UTF-8"},
    };
    static struct flo_selector selector;

    (void)state;
    for (size_t i = 0; i < FLO_COUNT(cases); i++) {
        struct flo_err err = {0};
        assert_int_equal(flo_selector_parse(cases[i].text, &known, &selector, &err),
                         FLO_E_REST_SELECTOR);
        if (strncmp(err.what, cases[i].what, strlen(cases[i].what)) != 0) {
            fail_msg("%s: %s", cases[i].text, err.what);
        }
    }
}

static void bounds_are_refused_and_not_exceeded(void **state)
{
    static struct flo_selector selector;
    char text[2048];
    struct flo_err err = {0};
    size_t used = 0;

    (void)state;
    memset(text, 'a', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    assert_int_equal(flo_selector_parse(text, NULL, &selector, &err), FLO_E_REST_SELECTOR);
    memset(text, '(', 200);
    text[200] = '\0';
    assert_int_equal(flo_selector_parse(text, NULL, &selector, &err), FLO_E_REST_SELECTOR);
    assert_non_null(strstr(err.what, "more than 24 brackets"));
    for (int i = 0; i < FLO_SELECTOR_TERMS_MAX; i++) {
        used +=
            (size_t)snprintf(text + used, sizeof(text) - used, "%sa=%d", i > 0 ? " or " : "", i);
    }
    assert_int_equal(flo_selector_parse(text, NULL, &selector, &err), 0);
    snprintf(text + used, sizeof(text) - used, " or b");
    assert_int_equal(flo_selector_parse(text, NULL, &selector, &err), FLO_E_REST_SELECTOR);
    /* The deepest one there is: every level joins two ways. */
    used = 0;
    for (int i = 0; i < FLO_SELECTOR_DEPTH_MAX; i++) {
        used += (size_t)snprintf(text + used, sizeof(text) - used, "a or b and (");
    }
    used += (size_t)snprintf(text + used, sizeof(text) - used, "c");
    for (int i = 0; i < FLO_SELECTOR_DEPTH_MAX; i++) {
        text[used++] = ')';
    }
    text[used] = '\0';
    struct flo_select_device one = device();
    assert_int_equal(flo_selector_parse(text, NULL, &selector, &err), 0);
    assert_false(flo_selector_matches(&selector, &one, NOW_MS));
}

/* Refused with this sentence in it. */
static void refused(const char *text, const char *why)
{
    static struct flo_selector selector;
    struct flo_err err = {0};

    assert_int_equal(flo_selector_parse(text, NULL, &selector, &err), FLO_E_REST_SELECTOR);
    if (strstr(err.what, why) == NULL) {
        fail_msg("%s", err.what);
    }
}

static void more_values_or_nots_than_a_selector_holds_are_refused(void **state)
{
    static struct flo_selector selector;
    char text[2 * FLO_SELECTOR_TEXT_MAX];
    size_t used = 0;

    (void)state;
    used += (size_t)snprintf(text, sizeof(text), "a in (1");
    for (int i = 1; i < FLO_SELECTOR_VALUES_MAX; i++) {
        used += (size_t)snprintf(text + used, sizeof(text) - used, ",1");
    }
    snprintf(text + used, sizeof(text) - used, ")");
    assert_int_equal(flo_selector_parse(text, NULL, &selector, NULL), 0);
    snprintf(text + used, sizeof(text) - used, ",1)");
    refused(text, "more than 256 values");
    /* With any number of them in front, the place that is too much is another:
     * a word, a `not`, an `and` or an `or`. */
    for (int more = 6; more < 24; more++) {
        used = 0;
        for (int i = 0; i < 9; i++) {
            used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%.*sa",
                                     i == 0       ? ""
                                     : i % 2 == 0 ? " or "
                                                  : ",",
                                     i == 0 ? more : 24, "!!!!!!!!!!!!!!!!!!!!!!!!");
        }
        assert_int_equal(flo_selector_parse(text, NULL, &selector, NULL), 0);
        snprintf(text + used, sizeof(text) - used, ",!!!!!!!!!!!!!!!!!!!!!!!!a or !!!!!!!!!!!!!!a");
        refused(text, "too many words `not`");
    }
}

static void a_word_or_a_quote_that_is_too_long_is_refused(void **state)
{
    char text[2 * FLO_SELECTOR_TEXT_MAX];
    struct flo_select_name name;

    (void)state;
    snprintf(text, sizeof(text), "'%0*d'=1", FLO_SELECTOR_TEXT_MAX, 0);
    refused(text, "are possible"); /* the whole text is bounded first */
    snprintf(text, sizeof(text), "%0*d", FLO_SELECTOR_TEXT_MAX + 1, 0);
    assert_int_equal(flo_select_name_parse(text, NULL, &name, NULL), FLO_E_REST_SELECTOR);
    assert_int_equal(flo_select_name_parse("'hw", NULL, &name, NULL), FLO_E_REST_SELECTOR);
    assert_int_equal(flo_select_name_parse("hw 'site", NULL, &name, NULL), FLO_E_REST_SELECTOR);
}

static void a_clock_that_is_ahead_makes_no_device_unseen(void **state)
{
    static struct flo_selector selector;
    struct flo_select_device one = device();

    (void)state;
    one.values[FLO_SELECT_LAST_SEEN].at_ms = NOW_MS + MINUTE_MS;
    assert_int_equal(flo_selector_parse("last_seen<1s", NULL, &selector, NULL), 0);
    assert_true(flo_selector_matches(&selector, &one, NOW_MS));
}

static void a_flag_that_is_set_is_true(void **state)
{
    static struct flo_selector selector;
    struct flo_select_device one = device();

    (void)state;
    one.values[FLO_SELECT_MAINTENANCE].flag = true;
    assert_int_equal(flo_selector_parse("maintenance=true and maintenance", NULL, &selector, NULL),
                     0);
    assert_true(flo_selector_matches(&selector, &one, NOW_MS));
}

static void a_device_without_groups_has_none_to_fit(void **state)
{
    static struct flo_selector selector;
    static const char *const none[] = {NULL};
    struct flo_select_device one = device();

    (void)state;
    one.values[FLO_SELECT_GROUP].list = none;
    one.values[FLO_SELECT_ARCH].text = "";
    assert_int_equal(flo_selector_parse("group or arch", NULL, &selector, NULL), 0);
    assert_false(flo_selector_matches(&selector, &one, NOW_MS));
}

static void what_moves_by_itself_is_known(void **state)
{
    static struct flo_selector selector;
    struct flo_err err = {0};

    (void)state;
    assert_int_equal(flo_selector_parse("hw=rpi5 and memory>1GiB", NULL, &selector, &err), 0);
    assert_null(flo_selector_moving(&selector));
    assert_int_equal(flo_selector_parse("hw=rpi5 or rss<1GiB", NULL, &selector, &err), 0);
    assert_string_equal(flo_selector_moving(&selector), "rss");
    assert_int_equal(flo_selector_parse("hw=rpi5 or release.help=2", NULL, &selector, &err), 0);
    assert_string_equal(flo_selector_moving(&selector), "release.MODEL");
    assert_int_equal(flo_selector_parse("group=a and x or group in (b,c)", NULL, &selector, &err),
                     0);
    assert_string_equal(flo_selector_value(&selector, FLO_SELECT_GROUP, 0), "a");
    assert_string_equal(flo_selector_value(&selector, FLO_SELECT_GROUP, 2), "c");
    assert_null(flo_selector_value(&selector, FLO_SELECT_GROUP, 3));
}

static void devices_are_ordered_as_people_count(void **state)
{
    struct flo_select_device one = device();
    struct flo_select_device other = device();
    struct flo_select_name name;
    struct flo_err err = {0};

    (void)state;
    other.values[FLO_SELECT_NAME].text = "gw-10";
    other.values[FLO_SELECT_RSS].number = 5;
    other.values[FLO_SELECT_LAST_SEEN].at_ms = NOW_MS;
    assert_int_equal(flo_select_name_parse("name", &known, &name, &err), 0);
    assert_true(compares(&name, &one, &other) < 0);
    assert_int_equal(flo_select_name_parse("rss", &known, &name, &err), 0);
    assert_true(compares(&name, &one, &other) > 0); /* says none */
    assert_int_equal(flo_select_name_parse("last_seen", &known, &name, &err), 0);
    assert_true(compares(&name, &one, &other) > 0);
    assert_int_equal(flo_select_name_parse("nme", &known, &name, &err), FLO_E_REST_SELECTOR);
    assert_int_equal(flo_select_name_parse("name,id", &known, &name, &err), FLO_E_REST_SELECTOR);
}

/* The promise of docs/benchmarks.md, with room for a slow machine: of the
 * processor's time, not of a busy machine's. */
static void ten_thousand_devices_are_matched(void **state)
{
    static struct flo_selector selector;
    struct flo_select_device one = device();
    struct flo_err err = {0};
    uint32_t found = 0;

    (void)state;
    assert_int_equal(flo_selector_parse("(hw in (x,y,z,rpi5) or group=none) and "
                                        "site in (paris,lyon) and not lab and memory>1GiB "
                                        "and release.help>=2.9 and last_seen<10m",
                                        &known, &selector, &err),
                     0);
    clock_t begin = clock();
    for (int i = 0; i < 10000; i++) {
        one.values[FLO_SELECT_CORES].number = i;
        found += flo_selector_matches(&selector, &one, NOW_MS) ? 1 : 0;
    }
    double ms = 1000.0 * (double)(clock() - begin) / CLOCKS_PER_SEC;
    assert_int_equal(found, 10000);
    print_message("10,000 devices: %.2f ms\n", ms);
}

/* Any text of a person is refused with its column, or can be asked about a device. */
static void a_selector_that_is_spoilt_at_any_place_is_refused_or_read(void **state)
{
    static const char whole[] =
        "(hw=rpi5 or site not in (lyon,'a b')) and not lab and cores>=4 and "
        "last_seen<10m and mains=false and release.help>2.9.1 and "
        "memory<8.5GiB and condition=ok and label.rack!=r";
    static const char signs[] = "(),='!<>& .9a\"\t\x7f\xc3";
    static struct flo_selector selector;
    struct flo_select_device one = device();
    size_t refused = 0;
    (void)state;

    for (size_t at = 0; at < strlen(whole); at++) {
        for (size_t k = 0; k < sizeof(signs); k++) { /* the last one cuts the text */
            char text[sizeof(whole)];
            struct flo_err err = {0};
            memcpy(text, whole, sizeof(whole));
            text[at] = signs[k];
            int rv = flo_selector_parse(text, k % 2 == 0 ? &known : NULL, &selector, &err);
            if (rv == 0) {
                (void)flo_selector_matches(&selector, &one, NOW_MS);
                (void)flo_selector_moving(&selector);
                (void)flo_selector_reads_label(&selector, "hw");
            } else {
                assert_int_equal(rv, err.code);
                assert_non_null(strstr(err.what, "column"));
                refused++;
            }
        }
    }
    assert_true(refused > 1000);
}

static void the_order_by_any_name_has_two_sides_and_those_without_come_last(void **state)
{
    static const char *const names[] = {
        "id",       "name",         "group",  "state",   "condition",   "last_seen",
        "enrolled", "cores",        "memory", "model",   "maintenance", "pinned",
        "release",  "release.help", "arch",   "battery", "hw",          "label.site"};
    struct flo_select_device full = device();
    struct flo_select_device other = device();
    struct flo_select_device bare;
    struct flo_select_name name;
    struct flo_err err = {0};
    (void)state;

    flo_select_device_init(&bare);
    full.values[FLO_SELECT_CONDITION].text = "failed";
    other.values[FLO_SELECT_CONDITION].text = "ok";
    other.values[FLO_SELECT_CORES].number = 8;
    other.values[FLO_SELECT_LAST_SEEN].at_ms = NOW_MS;
    other.values[FLO_SELECT_MAINTENANCE].flag = true;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (flo_select_name_parse(names[i], NULL, &name, &err) < 0) {
            fail_msg("%s: %s", names[i], err.what);
        }
        assert_int_equal(compares(&name, &full, &full), 0);
        int order = compares(&name, &full, &other);
        int back = compares(&name, &other, &full);
        assert_int_equal((order > 0) - (order < 0), (back < 0) - (back > 0));
        assert_true(compares(&name, &full, &bare) <= 0);
        assert_true(compares(&name, &bare, &full) >= 0);
        if (flo_select_has_texts(&name)) {
            assert_null(flo_select_text_of(&name, &bare, 0));
            assert_null(flo_select_text_of(&name, &full, 9));
        }
    }
    assert_true(flo_select_name_parse("cores memory", NULL, &name, &err) < 0);
    assert_true(flo_select_name_parse("", NULL, &name, &err) < 0);
    assert_true(flo_select_name_parse("nothing", &known, &name, &err) < 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_operator_says_what_people_mean),
        cmocka_unit_test(an_error_names_the_column_and_the_nearest_field),
        cmocka_unit_test(bounds_are_refused_and_not_exceeded),
        cmocka_unit_test(more_values_or_nots_than_a_selector_holds_are_refused),
        cmocka_unit_test(a_word_or_a_quote_that_is_too_long_is_refused),
        cmocka_unit_test(a_clock_that_is_ahead_makes_no_device_unseen),
        cmocka_unit_test(a_flag_that_is_set_is_true),
        cmocka_unit_test(a_device_without_groups_has_none_to_fit),
        cmocka_unit_test(what_moves_by_itself_is_known),
        cmocka_unit_test(devices_are_ordered_as_people_count),
        cmocka_unit_test(ten_thousand_devices_are_matched),
        cmocka_unit_test(a_selector_that_is_spoilt_at_any_place_is_refused_or_read),
        cmocka_unit_test(the_order_by_any_name_has_two_sides_and_those_without_come_last),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
