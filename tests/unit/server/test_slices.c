/* Slices: each row of the golden vectors is a test of its own, and what must
 * hold for any numbers.
 *
 * FLOTILLA_SLICE_VECTORS names another file of vectors. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "server-stub/core/gate/slices/slices.h"
#include "tests/unit/server/slice_answers.h"
#include "tests/unit/server/vectors.h"

#define VECTORS "tests/golden/slices/vectors.jsonl"
#define VECTORS_HERE 124

/* ---- levels ---- */

static void a_reading_that_is_no_number_changes_nothing(void **state)
{
    static const double bad[] = {NAN, INFINITY, -INFINITY};
    struct flo_level_table levels = {0};
    struct flo_level_table before;
    double good = 5;

    (void)state;
    assert_true(flo_levels_add(&levels, 1, &good, 7));
    before = levels;
    for (size_t i = 0; i < FLO_COUNT(bad); i++) {
        assert_false(flo_levels_add(&levels, 2, &bad[i], 8));
        assert_memory_equal(&levels, &before, sizeof(levels));
    }
}

/* A hold-out has two devices at a site, often one of each segment. */
static void a_shock_of_a_site_is_seen_by_neighbours_of_any_segment(void **state)
{
    struct flo_slow_device devices[23] = {0};
    struct flo_slow slow = {0};
    double numbers[23];

    (void)state;
    for (size_t i = 0; i < 23; i++) {
        devices[i].is_compared = true;
    }
    for (size_t i = 20; i < 23; i++) {
        devices[i].value = 1;
        devices[i].d = 0.6;
    }
    devices[21].segment = 1;
    devices[22].is_updated = true;
    assert_true(flo_slow_add_wave(&slow, 0, devices, 23, numbers));
    assert_int_equal(slow.updated.devices, 1);
    assert_int_equal(slow.updated.slow, 0);
    assert_int_equal(slow.controls.devices, 21);
}

static void a_level_of_many_years_stays_a_level(void **state)
{
    struct flo_level_table levels = {0};
    const struct flo_level *level;

    (void)state;
    for (uint32_t block = 0; block < 1000000; block++) {
        double y = 5 + (block % 2 == 0 ? 0.25 : -0.25);
        assert_true(flo_levels_add(&levels, 1 + block / 1000 % 9, &y, block));
    }
    assert_int_equal(flo_levels_reference(&levels, levels.running, 1000000, &level),
                     FLO_REFERENCE_OWN);
    assert_true(fabs(flo_mean_of(&level->mean) - 5) < 0.1);
    assert_true(level->mean.count < FLO_BASE_READINGS_MAX);
}

static void a_billion_milliseconds_are_a_reading_like_any_other(void **state)
{
    struct flo_series series = {0};
    double d;

    (void)state;
    for (int i = 0; i < 20; i++) {
        assert_true(
            flo_levels_control(&series, i < FLO_LEVEL_FULL ? log(30) : log(1e12), 0, false));
    }
    assert_true(flo_series_difference(&series, FLO_LEVEL_FULL, 1, &d));
    assert_true(fabs(d - log(1e12 / 30)) < 1e-9);
    assert_false(flo_levels_control(&series, log(-1), 0, false));
}

/* ---- told ---- */

static void what_is_told_refuses_no_numbers(void **state)
{
    double updated[] = {0.1, NAN};
    double controls[] = {0.0, 0.1, -0.1, 0.05, 0.02};
    double numbers[8];
    struct flo_told told;

    (void)state;
    assert_false(flo_told_effect(updated, 2, controls, 5, numbers, &told));
    assert_false(told.has_effect);
    updated[1] = INFINITY;
    assert_false(flo_told_effect(updated, 2, controls, 5, numbers, &told));
}

static void one_wild_device_of_ten_moves_what_is_told_little(void **state)
{
    double updated[10];
    double controls[40];
    double numbers[64];
    struct flo_told told;

    (void)state;
    for (size_t i = 0; i < FLO_COUNT(controls); i++) {
        controls[i] = 0.01 * (double)(i % 7) - 0.03;
    }
    for (size_t i = 0; i < FLO_COUNT(updated); i++) {
        updated[i] = 0.69 + 0.01 * (double)(i % 5);
    }
    updated[3] = log(1e9);
    assert_true(flo_told_effect(updated, 10, controls, 40, numbers, &told));
    assert_true(exp(told.effect) > 1.9 && exp(told.effect) < 2.2);
    assert_true(told.low < told.effect && told.effect < told.high);
}

/* ---- scan ---- */

#define FLEET 400
#define SITES 20

/* A fleet of one label: half of each site updated in wave 0. */
struct fleet {
    struct flo_scan_device devices[FLEET];
    uint16_t sites[FLEET];
    uint8_t far[FLEET];
    struct flo_slice_label label;
    struct flo_scan_rule rule;
    void *room;
    struct flo_scan scan;
};

static uint64_t seed = 370037;

/* In [-1, 1): the same numbers each time. */
static double drawn(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (double)(seed >> 11) / 4503599627370496.0 - 1;
}

static void fleet_init(struct fleet *fleet)
{
    *fleet = (struct fleet){.room = malloc(flo_scan_room_bytes(FLEET))};
    for (size_t i = 0; i < FLEET; i++) {
        fleet->sites[i] = (uint16_t)(1 + i % SITES);
        fleet->devices[i] = (struct flo_scan_device){
            .d = {0.1 * drawn()}, .known = 1, .is_updated = i / SITES % 2 == 0};
    }
    fleet->label =
        (struct flo_slice_label){.values = fleet->sites, .count = SITES, .judged = SITES};
    fleet->rule = (struct flo_scan_rule){
        .alpha = 0.01, .weight = 0.2, .limit_pct = 10, .labels = &fleet->label, .label_count = 1};
}

static bool fleet_look(struct fleet *fleet)
{
    return flo_scan_look(&fleet->rule, fleet->devices, FLEET, fleet->room, fleet->far,
                         &fleet->scan);
}

static void slow_site(struct fleet *fleet, uint16_t site, bool controls_too)
{
    for (size_t i = 0; i < FLEET; i++) {
        if (fleet->sites[i] == site && (controls_too || fleet->devices[i].is_updated)) {
            fleet->devices[i].d[0] += log(2);
        }
    }
}

static void a_slow_site_is_named_with_its_far_devices(void **state)
{
    struct fleet fleet;

    (void)state;
    fleet_init(&fleet);
    slow_site(&fleet, 7, false);
    assert_true(fleet_look(&fleet));
    assert_int_equal(fleet.scan.row_count, 1);
    assert_int_equal(fleet.scan.rows[0].slice.value, 7);
    assert_true(fleet.scan.rows[0].is_culprit);
    for (size_t i = 0; i < FLEET; i++) {
        assert_int_equal(fleet.far[i] != 0, fleet.sites[i] == 7 && fleet.devices[i].is_updated);
    }
    free(fleet.room);
}

static void the_order_of_devices_changes_no_name(void **state)
{
    struct fleet fleet;
    double ln_e;

    (void)state;
    fleet_init(&fleet);
    slow_site(&fleet, 7, false);
    slow_site(&fleet, 3, false);
    assert_true(fleet_look(&fleet));
    assert_int_equal(fleet.scan.row_count, 2);
    ln_e = fleet.scan.rows[0].ln_e;
    uint16_t first = fleet.scan.rows[0].slice.value;
    for (size_t i = 0; i < FLEET / 2; i++) {
        struct flo_scan_device device = fleet.devices[i];
        uint16_t site = fleet.sites[i];
        fleet.devices[i] = fleet.devices[FLEET - 1 - i];
        fleet.sites[i] = fleet.sites[FLEET - 1 - i];
        fleet.devices[FLEET - 1 - i] = device;
        fleet.sites[FLEET - 1 - i] = site;
    }
    assert_true(fleet_look(&fleet));
    assert_int_equal(fleet.scan.row_count, 2);
    assert_int_equal(fleet.scan.rows[0].slice.value, first);
    assert_true(fabs(fleet.scan.rows[0].ln_e - ln_e) < 1e-9);
    free(fleet.room);
}

static void a_number_that_is_none_refuses_the_look(void **state)
{
    static const double bad[] = {NAN, INFINITY, -INFINITY};
    struct fleet fleet;

    (void)state;
    fleet_init(&fleet);
    slow_site(&fleet, 7, false);
    for (size_t i = 0; i < FLO_COUNT(bad); i++) {
        fleet.devices[5].d[0] = bad[i];
        assert_false(fleet_look(&fleet));
        assert_int_equal(fleet.scan.row_count, 0);
    }
    fleet.devices[5].known = 0; /* nobody looks at it */
    assert_true(fleet_look(&fleet));
    fleet.devices[5].is_updated = true;
    fleet.devices[5].wave = FLO_SCAN_WAVES_MAX;
    assert_false(fleet_look(&fleet));
    free(fleet.room);
}

static void one_device_of_a_billion_milliseconds_names_no_site(void **state)
{
    struct fleet fleet;

    (void)state;
    fleet_init(&fleet);
    fleet.devices[2].d[0] = log(1e9);
    fleet.devices[22].d[0] = -log(1e9); /* one that says it is fast */
    assert_true(fleet_look(&fleet));
    assert_int_equal(fleet.scan.row_count, 0);
    assert_int_equal(fleet.scan.changed_count, 0);
    free(fleet.room);
}

static void a_site_that_changed_is_no_culprit(void **state)
{
    struct fleet fleet;

    (void)state;
    fleet_init(&fleet);
    slow_site(&fleet, 7, true);
    fleet.devices[6].d[0] = -3; /* fast, it says, where all others are slow */
    assert_true(fleet.devices[6].is_updated && fleet.sites[6] == 7);
    assert_true(fleet_look(&fleet));
    assert_int_equal(fleet.scan.row_count, 0);
    assert_int_equal(fleet.scan.changed_count, 1);
    assert_int_equal(fleet.scan.changed[0].slice.value, 7);
    free(fleet.room);
}

/* ---- labels ---- */

#define VALUES 10000

/* 10,000 texts of two devices each, but the last has twenty. */
static void a_label_of_ten_thousand_values_is_cut_and_says_so(void **state)
{
    char(*texts)[8] = calloc(VALUES, sizeof(*texts));
    struct flo_slice_word *words = calloc(VALUES, sizeof(*words));
    uint16_t *numbers = calloc(VALUES, sizeof(*numbers));
    struct flo_slice_values out;

    (void)state;
    for (size_t i = 0; i < VALUES; i++) {
        snprintf(texts[i], sizeof(texts[i]), "v%05zu", i);
        words[i] = (struct flo_slice_word){texts[i], i + 1 < VALUES ? 2 : 20};
    }
    flo_slice_words_number(words, VALUES, numbers, &out);
    assert_int_equal(out.count, FLO_SLICE_VALUES_MAX);
    assert_int_equal(out.judged, 1);
    assert_int_equal(out.left_values, VALUES - FLO_SLICE_VALUES_MAX);
    assert_int_equal(out.left_devices, 2 * out.left_values);
    /* The largest one is in, with the first ones of the others. */
    assert_int_equal(numbers[VALUES - 1], FLO_SLICE_VALUES_MAX);
    assert_int_equal(out.words[FLO_SLICE_VALUES_MAX], VALUES - 1);
    assert_int_equal(out.words[1], 0);
    assert_int_equal(numbers[5000], 0);
    free(texts);
    free(words);
    free(numbers);
}

static void values_are_numbered_by_their_texts(void **state)
{
    static const struct flo_slice_word words[] = {{"b", 3}, {"c", 0}, {"a", 1}};
    uint16_t numbers[3];
    struct flo_slice_values out;

    (void)state;
    flo_slice_words_number(words, 3, numbers, &out);
    assert_int_equal(out.count, 2);
    assert_int_equal(out.judged, 1);
    assert_int_equal(numbers[0], 2);
    assert_int_equal(numbers[1], 0); /* nobody has it any more */
    assert_int_equal(numbers[2], 1);
    assert_int_equal(out.words[1], 2);
    flo_slice_words_number(words, 0, numbers, &out);
    assert_int_equal(out.count, 0);
}

/* ---- waves ---- */

static void swaps_within_half_an_hour_are_one_wave(void **state)
{
    struct flo_waves waves = {0};

    (void)state;
    assert_int_equal(flo_waves_begin(&waves, 100, false), 0);
    assert_int_equal(flo_waves_begin(&waves, 106, false), 0);
    assert_int_equal(flo_waves_begin(&waves, 106, true), 1);
    assert_int_equal(flo_waves_begin(&waves, 106, false), 0);
    assert_int_equal(flo_waves_begin(&waves, 107, false), 2);
    assert_int_equal(flo_waves_begin(&waves, 107, true), 1);
    assert_int_equal(flo_waves_begin(&waves, 113, true), 3);
}

static void the_ninth_wave_joins_the_eighth(void **state)
{
    struct flo_waves waves = {0};

    (void)state;
    for (uint32_t i = 0; i < 20; i++) {
        assert_int_equal(flo_waves_begin(&waves, 10 * i, i % 3 == 2),
                         i < FLO_SCAN_WAVES_MAX ? i : FLO_SCAN_WAVES_MAX - 1);
    }
    assert_int_equal(waves.count, FLO_SCAN_WAVES_MAX);
}

/* ---- order of members ---- */

static void each_phase_has_its_share_of_each_site(void **state)
{
    static struct flo_spread_device devices[1000];
    static struct flo_spread_group groups[1000];
    static uint32_t order[1000];
    uint32_t first[41] = {0};
    uint32_t last[41] = {0};
    uint32_t seen[1000] = {0};
    struct flo_spread_sizes sizes;

    (void)state;
    for (size_t i = 0; i < 1000; i++) {
        devices[i] = (struct flo_spread_device){.value = 1 + (uint32_t)i % 40,
                                                .bucket = (uint32_t)((drawn() + 1) * 5e8),
                                                .id = "device"};
    }
    assert_true(flo_spread_order(devices, 1000, 50, groups, order, &sizes));
    assert_int_equal(sizes.held, 80);
    assert_int_equal(sizes.cover, 40);
    for (size_t i = 0; i < 1000; i++) {
        uint32_t site = 1 + order[i] % 40;
        seen[order[i]]++;
        first[site] += i < 120 ? 1 : 0;
        last[site] += i >= 1000 - sizes.held ? 1 : 0;
    }
    for (size_t i = 0; i < 1000; i++) {
        assert_int_equal(seen[i], 1);
    }
    for (size_t site = 1; site <= 40; site++) {
        assert_int_equal(first[site], 3);
        assert_int_equal(last[site], 2);
    }
    assert_false(flo_spread_order(devices, 10, 11, groups, order, &sizes));
}

/* Devices that are not there cover nothing, and may well be controls. */
static void of_a_site_those_that_are_there_go_first(void **state)
{
    static struct flo_spread_device devices[60];
    static struct flo_spread_group groups[60];
    static uint32_t order[60];
    struct flo_spread_sizes sizes;

    (void)state;
    for (uint32_t i = 0; i < 60; i++) { /* three sites; of 3: too few */
        devices[i] = (struct flo_spread_device){.value = i < 3    ? 1
                                                         : i < 20 ? 2
                                                                  : 3,
                                                .bucket = i,
                                                .id = "device",
                                                .is_away = i % 4 != 3};
    }
    assert_true(flo_spread_order(devices, 60, 0, groups, order, &sizes));
    assert_int_equal(sizes.held, 0);
    assert_int_equal(sizes.cover, 3);
    assert_int_equal(order[0], 0); /* alone, away, and of the lowest bucket */
    assert_int_equal(order[1], 3);
    assert_int_equal(order[2], 23);
    for (size_t i = 1; i < 14; i++) {
        assert_int_equal(order[i] % 4 == 3 || order[i] < 3, true);
    }
}

/* ---- probes ---- */

static uint32_t rank_in(const void *context, size_t device)
{
    const uint32_t *ranks = context;

    return ranks[device];
}

static void the_first_by_rank_are_picked(void **state)
{
    static const uint32_t ranks[] = {7, FLO_PROBE_NOT, 3, 9, 1, 5};
    size_t out[FLO_SCAN_PROBE_DEVICES];

    (void)state;
    assert_int_equal(flo_probe_pick(rank_in, ranks, 6, 3, out), 3);
    assert_int_equal(out[0], 4);
    assert_int_equal(out[1], 2);
    assert_int_equal(out[2], 5);
    assert_int_equal(flo_probe_pick(rank_in, ranks, 2, 3, out), 1);
    assert_int_equal(flo_probe_pick(rank_in, ranks, 6, 0, out), 0);
}

int main(void)
{
    const char *other = getenv("FLOTILLA_SLICE_VECTORS");
    json_t *rows = vectors_read(other != NULL ? other : VECTORS);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_reading_that_is_no_number_changes_nothing),
        cmocka_unit_test(a_shock_of_a_site_is_seen_by_neighbours_of_any_segment),
        cmocka_unit_test(a_level_of_many_years_stays_a_level),
        cmocka_unit_test(a_billion_milliseconds_are_a_reading_like_any_other),
        cmocka_unit_test(what_is_told_refuses_no_numbers),
        cmocka_unit_test(one_wild_device_of_ten_moves_what_is_told_little),
        cmocka_unit_test(a_slow_site_is_named_with_its_far_devices),
        cmocka_unit_test(the_order_of_devices_changes_no_name),
        cmocka_unit_test(a_number_that_is_none_refuses_the_look),
        cmocka_unit_test(one_device_of_a_billion_milliseconds_names_no_site),
        cmocka_unit_test(a_site_that_changed_is_no_culprit),
        cmocka_unit_test(a_label_of_ten_thousand_values_is_cut_and_says_so),
        cmocka_unit_test(values_are_numbered_by_their_texts),
        cmocka_unit_test(swaps_within_half_an_hour_are_one_wave),
        cmocka_unit_test(the_ninth_wave_joins_the_eighth),
        cmocka_unit_test(each_phase_has_its_share_of_each_site),
        cmocka_unit_test(of_a_site_those_that_are_there_go_first),
        cmocka_unit_test(the_first_by_rank_are_picked),
    };

    if (other == NULL && json_array_size(rows) != VECTORS_HERE) {
        fprintf(stderr, "%s has %zu rows, not %d\n", VECTORS, json_array_size(rows), VECTORS_HERE);
        return 1;
    }
    int failed = vectors_run(rows, slice_answer);
    failed += cmocka_run_group_tests(tests, NULL, NULL);
    json_decref(rows);
    return failed;
}
