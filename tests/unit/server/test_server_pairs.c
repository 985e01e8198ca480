/* Pairs: a release that shares the requests of another model is compared with
 * it on each device.  Load that moves the device is in neither. */
#include <math.h>

#include <flotilla/metrics.h>

#include "unit/server/observed_world.h"

#define DEVICES 12

/* 0.5 to 2. */
static double chance(struct world *world)
{
    world->random = world->random * 1664525u + 1013904223u;
    return pow(2, 2.0 * (world->random >> 8) / (1 << 24) - 1);
}

struct side {
    const char *model;
    int release;
    double us;
    int64_t errors, good, bad, restarts;
};

static void report(struct world *world, int device, const struct side *side)
{
    struct flo_telemetry_window window = {.seq = ++world->seq,
                                          .window_ms = 60000,
                                          .release = release(side->release),
                                          .histograms = world->histograms};
    const struct {
        int metric;
        int64_t value;
    } counts[] = {{FLO_METRIC_NAME_REQUESTS, 30},
                  {FLO_METRIC_NAME_ERRORS, side->errors},
                  {FLO_METRIC_NAME_ENGINE_RESTARTS, side->restarts},
                  {FLO_METRIC_NAME_GOLDEN_OWN, 1000000 * side->release},
                  {FLO_METRIC_NAME_FEEDBACK_GOOD, side->good},
                  {FLO_METRIC_NAME_FEEDBACK_BAD, side->bad}};
    char id[37];

    snprintf(window.model, sizeof(window.model), "%s", side->model);
    memset(&world->histograms[FLO_METRIC_NAME_TOKEN], 0, sizeof(*world->histograms));
    for (int k = 0; k < 30; k++) {
        flo_histogram_add(&world->histograms[FLO_METRIC_NAME_TOKEN],
                          (uint64_t)(side->us * (1 + 0.01 * k)));
    }
    window.has[FLO_METRIC_NAME_TOKEN] = true;
    for (size_t i = 0; i < FLO_COUNT(counts); i++) {
        window.has[counts[i].metric] = true;
        window.values[counts[i].metric] = counts[i].value;
    }
    id_of(device, id);
    flo_observer_take(world->observer, id, "x86_64 avx2 4g", &window, world->now_ms);
}

/* Blocks in which both sides of each device report each minute.  The load of a
 * device moves by up to four times from minute to minute, for both alike. */
static void live(struct world *world, int blocks, struct side old, struct side new)
{
    for (int i = 0; i < 5 * blocks; i++) {
        world->now_ms += 60000;
        flo_observer_tick(world->observer, world->now_ms);
        for (int d = 0; d < DEVICES; d++) {
            double load = chance(world);
            struct side sides[] = {old, new};
            for (int s = 0; s < 2; s++) {
                sides[s].us *= load;
                report(world, d, &sides[s]);
            }
        }
    }
}

static const struct side OLD = {.model = "tiny", .release = 1, .us = 20000};
static const struct side NEW = {.model = "tiny-b", .release = 2, .us = 20000};

static struct flo_observe_analysis *ask(struct world *world)
{
    struct flo_observe_analysis *analysis = flo_observe_analysis_new(DEVICES);

    snprintf(analysis->rollout, sizeof(analysis->rollout), "r-0001");
    snprintf(analysis->model, sizeof(analysis->model), "tiny-b");
    snprintf(analysis->split_of, sizeof(analysis->split_of), "tiny");
    analysis->release = release(2);
    analysis->heartbeat_ms = 60000;
    analysis->evidence.segment_count = 1;
    analysis->member_count = DEVICES;
    for (int d = 0; d < DEVICES; d++) {
        id_of(d, analysis->members[d].device);
        analysis->members[d].way = FLO_MEMBER_SWAPPED;
    }
    assert_int_equal(flo_observer_analysis(world->observer, analysis, world->now_ms, NULL), 0);
    return analysis;
}

static void ask_only(struct world *world)
{
    flo_observe_analysis_free(ask(world));
}

/* The analysis sees so many devices with this difference. */
static void assert_found(struct world *world, int devices, double times)
{
    struct flo_observe_analysis *analysis = ask(world);
    const struct flo_ratio_segment *speed =
        &analysis->evidence.segments[0].arms[FLO_MEASURE_TOKEN_P50].ratio;

    assert_true(analysis->is_new);
    assert_int_equal(speed->treated.devices, devices);
    assert_int_equal(speed->control.devices, devices);
    if (devices > 0) {
        assert_true(fabs(speed->treated.mean - log(times)) < 0.01);
        assert_true(fabs(speed->control.mean) < 1e-9);
    }
    flo_observe_analysis_free(analysis);
}

static void begin(struct world *world, struct side new)
{
    live(world, 1, OLD, new);
    ask_only(world);
}

static void a_slower_release_is_seen_whatever_moves_the_device(void **state)
{
    struct world *world = *state;
    struct side slow = NEW;

    slow.us *= 1.1;
    begin(world, slow);
    live(world, 3, OLD, slow);
    assert_found(world, 0, 1); /* warm, and then too few pairs */
    live(world, 4, OLD, slow);
    assert_found(world, DEVICES, 1.1);
}

static void an_equal_release_shows_no_difference(void **state)
{
    struct world *world = *state;

    begin(world, NEW);
    live(world, 8, OLD, NEW);
    assert_found(world, DEVICES, 1);
    live(world, 1, OLD, NEW);
    struct flo_observe_analysis *analysis = ask(world);
    assert_int_equal(analysis->evidence.segments[0].arms[FLO_MEASURE_GOLDEN].ratio.treated.devices,
                     0); /* each model has golden answers of its own */
    flo_observe_analysis_free(analysis);
}

static void another_release_on_either_side_begins_again(void **state)
{
    struct world *world = *state;
    struct side old = OLD, slow = NEW;

    slow.us *= 1.2;
    begin(world, slow);
    live(world, 8, OLD, slow);
    old.release = 3;
    old.us *= 1.2;
    live(world, 2, old, slow);
    assert_found(world, 0, 1);
    live(world, 6, old, slow);
    assert_found(world, DEVICES, 1);
}

static void a_model_alone_is_not_compared(void **state)
{
    struct world *world = *state;
    struct side silent = {.model = "other", .release = 4, .us = 1};

    live(world, 8, OLD, silent);
    ask_only(world);
    live(world, 2, OLD, silent);
    assert_found(world, 0, 1);
}

static void errors_feedback_and_crashes_are_counted_by_side(void **state)
{
    struct world *world = *state;
    struct side old = OLD, new = NEW;
    const struct flo_analysis_segment *segment;

    begin(world, NEW);
    old.good = 4;
    new.errors = 2;
    new.good = 1;
    new.bad = 3;
    new.restarts = 1;
    live(world, 4, old, new);
    struct flo_observe_analysis *analysis = ask(world);
    segment = &analysis->evidence.segments[0];
    const struct flo_statistic_arms *errors = &segment->arms[FLO_MEASURE_ERRORS],
                                    *feedback = &segment->arms[FLO_MEASURE_FEEDBACK],
                                    *crashes = &segment->arms[FLO_MEASURE_CRASHES];
    /* 20 minutes, of which the tick of the last is not over. */
    assert_true(errors->count.treated.events == DEVICES * 40);
    assert_true(errors->count.control.events == 0);
    assert_true(errors->count.treated.exposure == DEVICES * 600);
    assert_true(feedback->count.treated.events == DEVICES * 60);
    assert_true(feedback->count.treated.exposure == DEVICES * 80);
    assert_true(feedback->count.control.events == 0);
    assert_true(feedback->count.control.exposure == DEVICES * 80);
    assert_true(crashes->count.treated.events >= DEVICES);
    assert_true(crashes->count.treated.events <= 2 * DEVICES); /* an hour: one */
    assert_true(crashes->count.control.events == 0);
    assert_int_equal(analysis->evidence.treated, DEVICES);
    assert_int_equal(analysis->evidence.controls, DEVICES);
    flo_observe_analysis_free(analysis);
}

static void a_retired_device_leaves_the_comparison(void **state)
{
    struct world *world = *state;
    char id[37];

    begin(world, NEW);
    live(world, 8, OLD, NEW);
    id_of(0, id);
    flo_observer_forget(world->observer, id);
    live(world, 1, OLD, NEW);
    struct flo_observe_analysis *analysis = ask(world);
    assert_int_equal(analysis->evidence.treated, DEVICES); /* it came again */
    assert_int_equal(
        analysis->evidence.segments[0].arms[FLO_MEASURE_TOKEN_P50].ratio.treated.devices,
        DEVICES - 1);
    flo_observe_analysis_free(analysis);
}

static void the_sums_begin_again_with_the_controller(void **state)
{
    struct world *world = *state;

    begin(world, NEW);
    live(world, 8, OLD, NEW);
    flo_observer_save(world->observer);
    close_all(world);
    open_all(world);
    live(world, 2, OLD, NEW);
    assert_found(world, 0, 1);
    live(world, 6, OLD, NEW);
    assert_found(world, DEVICES, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_slower_release_is_seen_whatever_moves_the_device, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(an_equal_release_shows_no_difference, set_up, tear_down),
        cmocka_unit_test_setup_teardown(another_release_on_either_side_begins_again, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_model_alone_is_not_compared, set_up, tear_down),
        cmocka_unit_test_setup_teardown(errors_feedback_and_crashes_are_counted_by_side, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_retired_device_leaves_the_comparison, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_sums_begin_again_with_the_controller, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
