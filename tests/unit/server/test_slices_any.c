/* Scans of slices over devices drawn from seeds, and numbers that cannot be: what holds
 * for each finding, and that no test takes a number that is none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "server-stub/core/gate/slices/count_scan.h"
#include "server-stub/core/gate/slices/crash.h"
#include "server-stub/core/gate/slices/detect.h"
#include "server-stub/core/gate/slices/leak.h"
#include "server-stub/core/gate/slices/plain.h"
#include "server-stub/core/gate/slices/pooled.h"
#include "server-stub/core/gate/slices/scan.h"
#include "server-stub/core/gate/slices/shape.h"
#include "server-stub/core/gate/slices/slow.h"
#include "server-stub/core/gate/slices/told.h"
#include "server-stub/core/gate/statistics/count.h"

#define DEVICES 400
#define LABELS 3
#define SEEDS 600

struct world {
    uint16_t values[LABELS][DEVICES];
    struct flo_slice_label labels[LABELS];
    struct flo_count_scan_device counted[DEVICES];
    struct flo_scan_device timed[DEVICES];
    uint8_t far[DEVICES];
    size_t count;
    uint64_t random;
};

static uint32_t draw(struct world *world, uint32_t below)
{
    uint64_t z = (world->random += UINT64_C(0x9e3779b97f4a7c15));

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return (uint32_t)((z ^ (z >> 31)) % below);
}

static bool chance(struct world *world, uint32_t pct)
{
    return draw(world, 100) < pct;
}

static double noise(struct world *world)
{
    return (draw(world, 2001) - 1000.0) / 1000 * 0.05;
}

/* Labels: a wide one, one of few values, and parts of the first one. */
static void draw_labels(struct world *world)
{
    uint32_t sites = 4 + draw(world, 14);

    world->count = 100 + draw(world, DEVICES - 100);
    for (size_t i = 0; i < world->count; i++) {
        world->values[0][i] = (uint16_t)(chance(world, 95) ? 1 + i % sites : 0);
        world->values[1][i] = (uint16_t)(1 + draw(world, 3));
        world->values[2][i] = (uint16_t)(chance(world, 80) ? 1 + (i % sites) / 2 : 0);
    }
    for (size_t l = 0; l < LABELS; l++) {
        struct flo_slice_label *label = &world->labels[l];
        *label = (struct flo_slice_label){.values = world->values[l], .judged = 3};
        label->needs_own = l == 2 && chance(world, 50);
        for (size_t i = 0; i < world->count; i++) {
            uint16_t value = world->values[l][i];
            label->count = value > label->count ? value : label->count;
        }
    }
}

/* A part of the fleet is bad: a value of the first label, all of it or half. */
static bool is_bad(struct world *world, uint32_t bad, bool is_half, size_t i)
{
    return world->values[0][i] == bad && (!is_half || world->values[1][i] == 1);
}

static void no_device_is_in_two_rows(const struct world *world, size_t rows)
{
    for (size_t i = 0; i < world->count; i++) {
        assert_true(world->far[i] <= rows);
    }
}

static void draw_counted(struct world *world)
{
    uint32_t bad = draw(world, 6);
    bool is_half = chance(world, 30);
    uint32_t updated_pct = 5 + draw(world, 60);
    uint32_t other_pct = draw(world, 3) * 3;

    for (size_t i = 0; i < world->count; i++) {
        struct flo_count_scan_device *one = &world->counted[i];
        *one = (struct flo_count_scan_device){
            .is_updated = chance(world, updated_pct), .wave = (uint8_t)draw(world, 3), .waves = 3};
        for (size_t p = 0; p < 3; p++) {
            bool is_far =
                (one->is_updated && is_bad(world, bad, is_half, i)) || chance(world, other_pct);
            one->expected[p] = 1;
            one->events[p] = is_far ? 20 + draw(world, 9) : draw(world, 2);
        }
    }
}

static void each_slice_of_counts_has_its_devices_and_its_evidence(void **state)
{
    struct world *world = calloc(1, sizeof(*world));
    void *room = malloc(flo_count_scan_room_bytes(DEVICES));
    const struct flo_count_scan_rule rule = {
        .alpha = 0.01, .weight = 0.2, .least = 8, .labels = world->labels, .label_count = LABELS};
    struct flo_count_scan out;
    size_t rows = 0;
    size_t probes = 0;
    (void)state;

    for (uint32_t seed = 1; seed <= SEEDS; seed++) {
        world->random = seed;
        draw_labels(world);
        draw_counted(world);
        assert_true(
            flo_count_scan_look(&rule, world->counted, world->count, room, world->far, &out));
        for (size_t r = 0; r < out.row_count; r++) {
            const struct flo_count_scan_row *row = &out.rows[r];
            assert_true(row->slice.value > 0 && row->far >= 2 && row->far <= row->updated);
            assert_true(row->ln_e >= row->threshold);
            assert_true(2 * row->far >= row->updated);
            assert_true(!row->has_within || row->within.label != row->slice.label);
        }
        for (size_t p = 0; p < out.probe_count; p++) {
            assert_in_range(out.probes[p].take, 1, FLO_SCAN_PROBE_DEVICES);
            assert_true(p == 0 || out.probes[p - 1].least >= out.probes[p].least);
        }
        no_device_is_in_two_rows(world, out.row_count);
        rows += out.row_count;
        probes += out.probe_count;
    }
    assert_true(rows > SEEDS / 4);
    assert_true(probes > 0);
    world->counted[3].events[world->counted[3].wave] = NAN;
    world->counted[3].events[0] = NAN;
    assert_false(flo_count_scan_look(&rule, world->counted, world->count, room, world->far, &out));
    world->counted[3] = (struct flo_count_scan_device){.waves = 0}; /* no wave began */
    assert_false(flo_count_scan_look(&rule, world->counted, world->count, room, world->far, &out));
    world->counted[3].waves = FLO_SCAN_WAVES_MAX + 1;
    assert_false(flo_count_scan_look(&rule, world->counted, world->count, room, world->far, &out));
    free(room);
    free(world);
}

static void draw_timed(struct world *world)
{
    uint32_t bad = draw(world, 6);
    bool is_half = chance(world, 30);
    bool is_site = chance(world, 20); /* the site changed, not the release */
    uint32_t updated_pct = 5 + draw(world, 60);
    double worse = 0.1 + 0.1 * draw(world, 8);

    for (size_t i = 0; i < world->count; i++) {
        struct flo_scan_device *one = &world->timed[i];
        *one = (struct flo_scan_device){.is_updated = chance(world, updated_pct),
                                        .wave = (uint8_t)draw(world, 3),
                                        .known = (uint8_t)(chance(world, 95) ? 7 : draw(world, 8)),
                                        .has_step = chance(world, 90)};
        bool is_worse = is_bad(world, bad, is_half, i) && (one->is_updated || is_site);
        one->step = noise(world) + (is_worse && chance(world, 50) ? worse : 0);
        for (size_t p = 0; p < 3; p++) {
            one->d[p] = noise(world) + (is_worse ? worse : 0);
        }
    }
}

static void each_slice_of_speeds_has_its_devices_and_its_evidence(void **state)
{
    struct world *world = calloc(1, sizeof(*world));
    void *room = malloc(flo_scan_room_bytes(DEVICES));
    const struct flo_scan_rule rule = {.alpha = 0.01,
                                       .weight = 0.2,
                                       .limit_pct = 10,
                                       .labels = world->labels,
                                       .label_count = LABELS};
    static struct flo_scan out;
    size_t rows = 0;
    size_t changed = 0;
    (void)state;

    for (uint32_t seed = 1; seed <= SEEDS; seed++) {
        world->random = seed;
        draw_labels(world);
        draw_timed(world);
        assert_true(flo_scan_look(&rule, world->timed, world->count, room, world->far, &out));
        for (size_t r = 0; r < out.row_count; r++) {
            const struct flo_scan_row *row = &out.rows[r];
            assert_true(row->slice.value > 0 && row->far >= 3 && row->far <= row->updated);
            assert_true(row->ln_e >= row->threshold && row->delta >= log1p(0.1));
            assert_true(row->told.has_effect);
            assert_true(!row->is_culprit || !row->with_swap);
            for (size_t s = 0; s < row->same_count; s++) {
                assert_true(row->same[s].label != row->slice.label && row->same[s].value > 0);
            }
        }
        for (size_t c = 0; c < out.changed_count; c++) {
            assert_true(fabs(out.changed[c].shift) >= log1p(0.1));
            assert_true(c == 0 || out.changed[c - 1].ln_e >= out.changed[c].ln_e);
        }
        for (size_t l = 0; l < LABELS; l++) {
            assert_true(out.tau2[l] >= 0);
        }
        no_device_is_in_two_rows(world, out.row_count);
        rows += out.row_count;
        changed += out.changed_count;
    }
    assert_true(rows > SEEDS / 4);
    assert_true(changed > 0);
    world->timed[3].step = NAN;
    world->timed[3].has_step = true;
    assert_false(flo_scan_look(&rule, world->timed, world->count, room, world->far, &out));
    world->timed[3].has_step = false;
    world->timed[3].known = 1;
    world->timed[3].d[0] = INFINITY;
    assert_false(flo_scan_look(&rule, world->timed, world->count, room, world->far, &out));
    world->timed[3] = (struct flo_scan_device){.is_updated = true, .wave = FLO_SCAN_WAVES_MAX};
    assert_false(flo_scan_look(&rule, world->timed, world->count, room, world->far, &out));
    free(room);
    free(world);
}

/* ---- numbers that cannot be ---- */

static const double odd[] = {NAN, INFINITY, -INFINITY, -1};

typedef bool takes_fn(void);

/* Each number of a record becomes each that cannot be; `takes` has to refuse all. */
static void refuses_each(double *numbers, size_t count, size_t odd_count, takes_fn *takes)
{
    assert_true(takes());
    for (size_t i = 0; i < count; i++) {
        double before = numbers[i];
        for (size_t k = 0; k < odd_count; k++) {
            numbers[i] = odd[k];
            if (takes()) {
                fail_msg("number %zu was taken as %g", i, odd[k]);
            }
        }
        numbers[i] = before;
    }
    assert_true(takes());
}

static struct flo_count_arm count_arms[2];

static bool takes_counts(void)
{
    static const struct flo_count_rule rule = {
        .limit_ratio = 1.5, .alpha = 0.03, .weight = 0.2, .devices_min = 1, .controls_min = 1};
    struct flo_count_result out;

    return flo_count_evaluate(&rule, &count_arms[0], &count_arms[1], FLO_LOOK_NONE, &out);
}

static bool takes_rates(void)
{
    struct flo_told_rate out;

    return flo_told_ratio(&count_arms[0], &count_arms[1], &out);
}

static double deaths[4];

static bool takes_deaths(void)
{
    struct flo_deaths_arm treated = {.died = deaths[0], .exposure = deaths[2]};
    struct flo_deaths_arm control = {.died = deaths[1], .exposure = deaths[3]};
    struct flo_deaths_result out;

    return flo_deaths_evaluate(&treated, &control, &out);
}

static struct flo_crash_arm crash_arms[3];

static bool takes_crashes(void)
{
    static const struct flo_crash_rule rule = {.tail_max = 0.001, .limit_ratio = 2};
    struct flo_crash_result out;

    return flo_crash_evaluate(&rule, &crash_arms[0], &crash_arms[1], &crash_arms[2], &out);
}

static void a_count_of_numbers_that_cannot_be_is_no_count(void **state)
{
    (void)state;
    count_arms[0] = (struct flo_count_arm){9, 3, 2, 90, 3, 2, 1};
    count_arms[1] = (struct flo_count_arm){90, 9, 20, 900, 9, 5, 4};
    refuses_each((double *)count_arms, 2 * 7, 4, takes_counts);
    count_arms[0].expected = count_arms[1].expected = 0; /* told by exposure alone */
    assert_true(takes_rates());
    count_arms[0].events = NAN;
    assert_false(takes_rates());
    count_arms[0].events = 0;
    count_arms[1].exposure = -1;
    assert_false(takes_rates());
    for (size_t i = 0; i < 4; i++) {
        deaths[i] = 5;
    }
    refuses_each(deaths, 2, 4, takes_deaths);
    refuses_each(deaths, 4, 3, takes_deaths); /* less than no hours is none */
    for (size_t i = 0; i < 3; i++) {
        crash_arms[i] = (struct flo_crash_arm){.devices = 2, .expected = 1};
    }
    refuses_each((double *)crash_arms, 3 * 2, 4, takes_crashes);
}

static void crashes_fail_when_they_are_more_by_past_and_by_now(void **state)
{
    static const struct flo_crash_rule rule = {.tail_max = 0.001, .limit_ratio = 2};
    struct flo_crash_arm updated = {.devices = 8, .expected = 0.5};
    struct flo_crash_arm controls = {.devices = 0, .expected = 0};
    struct flo_crash_arm past = {.devices = 5, .expected = 5};
    struct flo_crash_result out;
    (void)state;

    assert_true(flo_crash_evaluate(&rule, &updated, &controls, &past, &out));
    assert_int_equal(out.verdict, FLO_VERDICT_FAIL);
    assert_false(out.has_tail_now);
    controls = (struct flo_crash_arm){.devices = 40, .expected = 3}; /* it is so everywhere */
    assert_true(flo_crash_evaluate(&rule, &updated, &controls, &past, &out));
    assert_int_equal(out.verdict, FLO_VERDICT_INCONCLUSIVE);
    controls = (struct flo_crash_arm){.devices = 0, .expected = 0};
    past = (struct flo_crash_arm){0};
    assert_true(flo_crash_evaluate(&rule, &updated, &controls, &past, &out));
    assert_false(out.has_tail); /* nothing to compare with */
    past.expected = 5;
    assert_true(flo_crash_evaluate(&rule, &updated, &controls, &past, &out));
    assert_false(out.has_ratio);
    assert_int_equal(out.verdict, FLO_VERDICT_FAIL);
}

static struct flo_leak_arms leak;

static bool takes_leak(void)
{
    static const struct flo_leak_rule rule = {.limit_pct = 1, .alpha = 0.03, .weight = 0.1};
    struct flo_leak_result out;

    return flo_leak_judge(&rule, &leak, &out);
}

static void a_slope_of_numbers_that_cannot_be_is_no_slope(void **state)
{
    struct flo_slope slopes[2] = {{.has_slope = true, .has_latest = true},
                                  {.has_slope = true, .has_latest = true}};
    struct flo_slope_reading readings[12];
    struct flo_slope_track track;
    struct flo_leak_arms arms;
    struct flo_slope out;
    double numbers[8];
    (void)state;

    leak.treated = (struct flo_ratio_arm){.devices = 5, .mean = 0.02, .m2 = 0.001};
    leak.control = (struct flo_ratio_arm){.devices = 20, .m2 = 0.001};
    refuses_each(&leak.slope, 1, 3, takes_leak);
    refuses_each(&leak.latest, 1, 3, takes_leak);
    refuses_each(&leak.treated.mean, 1, 3, takes_leak);
    refuses_each(&leak.control.m2, 1, 4, takes_leak);
    leak.treated.devices = 1;
    leak.control.devices = 1;
    assert_true(takes_leak()); /* two devices are no comparison, and no fault */

    for (uint32_t i = 0; i < 12; i++) {
        readings[i] = (struct flo_slope_reading){.block = i + 1, .y = i};
    }
    assert_true(flo_slope_of(readings, 12, &out) && out.has_slope);
    readings[5].y = NAN;
    assert_false(flo_slope_of(readings, 12, &out));
    flo_slope_begin(&track, 10);
    assert_true(flo_slope_add(&track, 9, 5)); /* before it begins */
    assert_int_equal(track.all.count, 0);
    assert_false(flo_slope_add(&track, 11, NAN));
    track.all.count = UINT32_MAX;
    assert_false(flo_slope_add(&track, 12, 1));
    flo_slope_read_since(&(struct flo_slope_track){0}, &track.all, &out);
    assert_false(out.has_slope); /* the sums before have more */

    assert_true(flo_leak_arms(slopes, 1, slopes, 2, numbers, &arms));
    assert_int_equal(arms.treated.devices, 1);
    slopes[1].slope = NAN;
    assert_true(flo_leak_arms(slopes, 1, slopes, 1, numbers, &arms));
    assert_false(flo_leak_arms(slopes, 1, slopes, 2, numbers, &arms));
    assert_false(flo_leak_arms(slopes, 2, slopes, 1, numbers, &arms));
    slopes[1] = (struct flo_slope){.has_slope = true, .has_latest = true, .latest = INFINITY};
    assert_false(flo_leak_arms(slopes, 2, slopes, 1, numbers, &arms));
    slopes[1].has_latest = false; /* it is left out */
    assert_true(flo_leak_arms(slopes, 2, slopes, 2, numbers, &arms));
    assert_int_equal(arms.treated.devices, 1);
}

static void devices_above_their_past_are_counted_by_three_bounds(void **state)
{
    struct flo_plain_arm arm = {0};
    (void)state;

    assert_true(flo_plain_add(&arm, NAN, 0, 9)); /* no past: not looked at */
    assert_false(flo_plain_add(&arm, NAN, 1, 9));
    for (size_t k = 0; k < 4; k++) {
        assert_false(flo_plain_add_errors(&arm, odd[k], 100, 1, 100));
        assert_false(flo_plain_add_errors(&arm, 1, 100, odd[k], 100));
        assert_int_equal(flo_plain_add_errors(&arm, 1, odd[k], 1, 100), k == 3);
        assert_int_equal(flo_plain_add_errors(&arm, 1, 100, 1, odd[k]), k == 3);
    }
    assert_int_equal(arm.devices, 0);
    assert_true(flo_plain_add_errors(&arm, 2, 100, 0, 100));      /* two are few */
    assert_true(flo_plain_add_errors(&arm, 5, 100, 4, 100));      /* and that is no half more */
    assert_true(flo_plain_add_errors(&arm, 15, 10000, 1, 10000)); /* less than a point */
    assert_int_equal(arm.above, 0);
    assert_true(flo_plain_add_errors(&arm, 9, 100, 4, 100));
    assert_int_equal(arm.above, 1);
    assert_int_equal(arm.devices, 4);
}

static struct flo_detect plan;

static bool takes_plan(void)
{
    struct flo_detected out;

    return flo_detect_ratio(&plan, &out);
}

static void a_plan_of_numbers_that_cannot_be_finds_nothing(void **state)
{
    struct flo_detect_events events = {.expected_updated = 5,
                                       .expected_control = 50,
                                       .alpha = 0.03,
                                       .weight = 0.2,
                                       .limit_ratio = 1.5};
    struct flo_detect_watch watch = {
        .hours_updated = 100, .hours_controls = 1000, .rate = 0.001, .prove_rate = 0.01};
    struct flo_detected out;
    uint32_t least;
    double ratio;
    (void)state;

    plan = (struct flo_detect){.updated = 10,
                               .controls = 50,
                               .devices_min = 3,
                               .sd = 0.1,
                               .alpha = 0.03,
                               .weight = 0.2,
                               .limit_pct = 3,
                               .clip = 4,
                               .prove_pct = 5};
    refuses_each(&plan.updated, 1, 3, takes_plan);
    refuses_each(&plan.sd, 1, 3, takes_plan);
    refuses_each(&plan.weight, 1, 3, takes_plan);
    plan.sd = 0;
    assert_true(flo_detect_ratio(&plan, &out) && !out.has_t);
    plan.sd = 0.1;
    plan.weight = 1e-300; /* no evidence is enough */
    assert_true(flo_detect_ratio(&plan, &out) && !out.has_find);

    assert_true(flo_detect_count(&events, &least, &ratio));
    assert_true(least > 5 && ratio > 1);
    for (size_t k = 0; k < 4; k++) {
        struct flo_detect_events one = events;
        one.expected_updated = odd[k];
        assert_false(flo_detect_count(&one, &least, &ratio));
        one = events;
        one.expected_control = odd[k];
        assert_false(flo_detect_count(&one, &least, &ratio));
    }
    events.least = 1e6;
    assert_false(flo_detect_count(&events, &least, &ratio));

    double few = flo_detect_watch(&watch);
    watch.prove_rate = 0.1;
    assert_true(few >= 0 && few < flo_detect_watch(&watch)); /* an easier proof has better odds */
    watch.rate = 1e6; /* more than can be summed: it is seen anyway */
    assert_true(flo_detect_watch(&watch) == 1);
    watch.rate = 3;
    assert_true(flo_detect_watch(&watch) == 1);
    watch.rate = 0.001;
    watch.hours_controls = 0;
    assert_true(flo_detect_watch(&watch) == 1);
}

static void other_sums_refuse_numbers_that_cannot_be(void **state)
{
    struct flo_slow_device devices[3] = {{.is_compared = true}, {.is_updated = true}, {.d = 1}};
    struct flo_ratio_segment stratum = {.treated = {.devices = 1}, .control = {.devices = 1}};
    struct flo_shape_kept kept = {0};
    struct flo_shape shape = {0};
    struct flo_shape_curve curve;
    struct flo_pooled_sums sums = {0};
    struct flo_slow slow = {0};
    struct flo_told told;
    double values[3] = {1, 2, 3};
    double controls[2] = {1, NAN};
    double numbers[9];
    (void)state;

    assert_true(flo_slow_add_wave(&slow, 0, devices, 3, numbers));
    devices[0].d = NAN;
    assert_false(flo_slow_add_wave(&slow, 0, devices, 3, numbers));

    assert_true(flo_pooled_add(&sums, &stratum));
    stratum.treated.mean = NAN;
    assert_false(flo_pooled_add(&sums, &stratum));
    stratum.treated.mean = 0;
    stratum.control.devices = -1;
    assert_false(flo_pooled_add(&sums, &stratum));

    assert_true(flo_told_effect(values, 3, controls, 1, numbers, &told) && told.has_effect);
    assert_false(flo_told_effect(values, 3, controls, 2, numbers, &told));
    values[1] = INFINITY;
    assert_false(flo_told_effect(values, 3, controls, 1, numbers, &told));

    assert_true(flo_shape_keep(&kept, 5, 1));
    assert_false(flo_shape_keep(&kept, 5, NAN));
    assert_false(flo_shape_keep(&kept, 5, 1e300)); /* more than a float holds */
    flo_shape_move(&kept, NAN);
    assert_true(kept.base == 1);
    for (int i = 0; i < 300; i++) {
        assert_true(flo_shape_keep(&kept, 5, 1));
        assert_true(kept.counts[5] < FLO_SHAPE_READINGS_MAX);
    }
    assert_true(flo_shape_fit(&shape, &curve));
    shape.hours[3].sum = NAN;
    assert_false(flo_shape_fit(&shape, &curve));
    for (size_t h = 0; h < FLO_SHAPE_HOURS; h++) {
        shape.hours[h] = (struct flo_mean){.sum = h % 2 == 0 ? 1e200 : -1e200, .count = 9};
    }
    assert_false(flo_shape_fit(&shape, &curve)); /* its power is no number */
}

static void much_slower_devices_fail_by_four_bounds(void **state)
{
    struct flo_slow slow = {.updated = {.devices = 40, .slow = 30},
                            .controls = {.devices = 400, .slow = 4},
                            .last = {.devices = 400, .slow = 4}};
    struct flo_slow_result out;
    (void)state;

    flo_slow_judge(&slow, 0.03, 0.2, &out);
    assert_int_equal(out.verdict, FLO_VERDICT_FAIL);
    slow.last.slow = 300; /* others are slow just now */
    flo_slow_judge(&slow, 0.03, 0.2, &out);
    assert_int_equal(out.verdict, FLO_VERDICT_INCONCLUSIVE);
    slow.last.slow = 4;
    slow.controls.slow = 200; /* others are half as often */
    flo_slow_judge(&slow, 0.03, 0.2, &out);
    assert_int_equal(out.verdict, FLO_VERDICT_INCONCLUSIVE);
    slow.controls = (struct flo_slow_arm){.devices = 10};
    flo_slow_judge(&slow, 0.03, 0.2, &out);
    assert_int_equal(out.verdict, FLO_VERDICT_INCONCLUSIVE);
    slow.controls.devices = 400;
    slow.updated = (struct flo_slow_arm){.devices = 4, .slow = 4};
    flo_slow_judge(&slow, 0.03, 0.2, &out);
    assert_int_equal(out.verdict, FLO_VERDICT_INCONCLUSIVE);
    slow.updated = (struct flo_slow_arm){0};
    flo_slow_judge(&slow, 0.03, 0.2, &out);
    assert_true(out.ln_e == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_slice_of_counts_has_its_devices_and_its_evidence),
        cmocka_unit_test(each_slice_of_speeds_has_its_devices_and_its_evidence),
        cmocka_unit_test(a_count_of_numbers_that_cannot_be_is_no_count),
        cmocka_unit_test(crashes_fail_when_they_are_more_by_past_and_by_now),
        cmocka_unit_test(a_slope_of_numbers_that_cannot_be_is_no_slope),
        cmocka_unit_test(devices_above_their_past_are_counted_by_three_bounds),
        cmocka_unit_test(a_plan_of_numbers_that_cannot_be_finds_nothing),
        cmocka_unit_test(other_sums_refuse_numbers_that_cannot_be),
        cmocka_unit_test(much_slower_devices_fail_by_four_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
