/* Leak: memory of a fleet's devices, through the observer to a verdict, at the
 * rates that docs/benchmarks.md promises. */
#include <math.h>

#include <flotilla/metrics.h>

#include "tests/bench/chance.h"
#include "unit/server/observed_world.h"

#define UPDATED 20
#define CONTROLS 400
#define DEVICES (UPDATED + CONTROLS)
#define BEFORE 14 /* blocks */
#define RUNS 12   /* of a rate; FLOTILLA_LEAK_RUNS says more */

/* Logarithms of memory: noise of 1 % that stays for a while, and a growth. */
struct fleet {
    double noise[DEVICES];
    double grown[DEVICES];
    struct chance chance;
};

static void report(struct world *world, int device, int release_of, double y)
{
    struct flo_telemetry_window window = {.seq = ++world->seq,
                                          .window_ms = BLOCK_MS,
                                          .model = "tiny",
                                          .release = release(release_of),
                                          .histograms = world->histograms};
    char id[37];

    window.has[FLO_METRIC_NAME_ENGINE_RSS] = true;
    window.values[FLO_METRIC_NAME_ENGINE_RSS] = (int64_t)(1e9 * exp(y));
    id_of(device, id);
    flo_observer_take(world->observer, id, "x86_64 avx2 4g", &window, world->now_ms);
}

/* Windows of a block; memory of the updated grows by so much in an hour. */
static void live(struct world *world, struct fleet *fleet, int updated, double an_hour)
{
    for (int d = 0; d < DEVICES; d++) {
        fleet->noise[d] =
            0.9 * fleet->noise[d] + 0.01 * sqrt(1 - 0.81) * chance_student3(&fleet->chance);
        fleet->grown[d] += d < updated ? an_hour / 12 : 0;
        report(world, d, d < updated ? 2 : 1, 0.01 * d + fleet->noise[d] + fleet->grown[d]);
    }
    world->now_ms += BLOCK_MS;
}

static struct flo_observe_analysis *ask_in(struct world *world, uint32_t phase, int swapped)
{
    struct flo_observe_analysis *analysis = flo_observe_analysis_new(DEVICES);

    snprintf(analysis->rollout, sizeof(analysis->rollout), "r-0001");
    snprintf(analysis->model, sizeof(analysis->model), "tiny");
    analysis->release = release(2);
    analysis->phase = phase;
    analysis->heartbeat_ms = BLOCK_MS;
    analysis->evidence.segment_count = 1;
    analysis->evidence.segments[0].members = DEVICES;
    analysis->member_count = DEVICES;
    for (int d = 0; d < DEVICES; d++) {
        id_of(d, analysis->members[d].device);
        analysis->members[d].way = d < swapped ? FLO_MEMBER_SWAPPED : FLO_MEMBER_WAITS;
    }
    assert_int_equal(flo_observer_analysis(world->observer, analysis, world->now_ms, NULL), 0);
    return analysis;
}

static struct flo_observe_analysis *ask(struct world *world, int swapped)
{
    return ask_in(world, 0, swapped);
}

/* The verdict of the gate alone, and the growth that is told. */
static enum flo_phase_verdict judge(struct flo_observe_analysis *asked, double *told)
{
    static const struct flo_analysis_moment moment = {.soaked_s = -1, .soak_s = 4800};
    struct flo_analysis *analysis = calloc(1, sizeof(*analysis));
    struct flo_analysis_results *results = calloc(1, sizeof(*results));
    struct flo_analysis_finding finding;
    json_t *json = json_loads("{\"leak\":{}}", 0, NULL);

    assert_int_equal(flo_analysis_parse(json, &analysis->rules, NULL), 0);
    flo_analysis_phase(analysis, 0);
    flo_analysis_judge(analysis, &asked->evidence, &moment, results, &finding);
    *told = results->all[0].told.effect.effect;
    json_decref(json);
    free(analysis);
    free(results);
    return finding.verdict;
}

static void begin(struct world *world, struct fleet *fleet, uint64_t seed)
{
    memset(fleet, 0, sizeof(*fleet));
    chance_init(&fleet->chance, seed);
    for (int i = 0; i < BEFORE; i++) {
        live(world, fleet, 0, 0);
    }
    flo_observe_analysis_free(ask(world, 0));
}

/* Blocks after the swap until it fails; 0: it did not, in so many. */
static int blocks_to_fail(struct world *world, struct fleet *fleet, double an_hour, int most,
                          double *told)
{
    for (int blocks = 1; blocks <= most; blocks++) {
        live(world, fleet, UPDATED, an_hour);
        struct flo_observe_analysis *analysis = ask(world, UPDATED);
        bool fails = analysis->is_new && judge(analysis, told) == FLO_PHASE_FAILS;
        flo_observe_analysis_free(analysis);
        if (fails) {
            return blocks;
        }
    }
    return 0;
}

static int runs(void)
{
    const char *said = getenv("FLOTILLA_LEAK_RUNS");

    return said != NULL ? atoi(said) : RUNS;
}

/* How many of the runs failed in so many blocks. */
static void rate_of(struct world *world, double an_hour, int most, const int *within, int *found,
                    size_t count)
{
    struct fleet *fleet = calloc(1, sizeof(*fleet));
    double told = 0;

    memset(found, 0, count * sizeof(*found));
    for (int i = 0; i < runs(); i++) {
        flo_observer_close(world->observer); /* it stored nothing */
        assert_int_equal(flo_observer_open(world->store, BLOCK_MS, &world->observer, NULL), 0);
        begin(world, fleet, (uint64_t)i + 1300);
        int blocks = blocks_to_fail(world, fleet, an_hour, most, &told);
        for (size_t k = 0; k < count; k++) {
            found[k] += blocks > 0 && blocks <= within[k] ? 1 : 0;
        }
    }
    free(fleet);
}

#define MINUTES_90 18
#define MINUTES_120 24
static void a_leak_of_2_pct_an_hour_is_found_in_two_hours(void **state)
{
    static const int within[] = {15, MINUTES_90, MINUTES_120};
    int found[3];

    rate_of(*state, log1p(0.02), MINUTES_120, within, found, 3);
    print_message("2 %%/h: of %d runs %d in 75 min, %d in 90 min, %d in 2 h\n", runs(), found[0],
                  found[1], found[2]);
    assert_int_equal(found[0], 0); /* it has ten readings after 80 min */
    assert_true(found[1] * 100 >= 83 * runs());
    assert_true(found[2] * 100 >= 99 * runs());
}

static void memory_that_stays_raises_no_alarm(void **state)
{
    static const int within[] = {96};
    int found[1];

    rate_of(*state, 0, 96, within, found, 1);
    print_message("no leak: of %d runs %d in 8 h\n", runs(), found[0]);
    assert_true(found[0] * 1000 <= 7 * runs());
}

/* An hour of the leak was before the start. */
static void a_leak_is_found_over_a_start_of_the_controller(void **state)
{
    struct world *world = *state;
    struct fleet *fleet = calloc(1, sizeof(*fleet));
    double told = 0;

    begin(world, fleet, 7);
    assert_int_equal(blocks_to_fail(world, fleet, log1p(0.03), 14, &told), 0);
    flo_observer_save(world->observer);
    close_all(world);
    open_all(world);
    flo_observe_analysis_free(ask(world, UPDATED));
    int blocks = blocks_to_fail(world, fleet, log1p(0.03), 10, &told);
    assert_true(blocks > 0 && blocks <= 5);
    assert_true(fabs(told - 0.03) < 0.01);
    free(fleet);
}

/* So many blocks with so many updated devices.  true: it failed in one. */
static bool fails_in(struct world *world, struct fleet *fleet, uint32_t phase, int updated,
                     int blocks, double *told)
{
    bool fails = false;

    for (int i = 0; i < blocks; i++) {
        struct flo_observe_analysis *analysis = ask_in(world, phase, updated);
        fails = fails || (analysis->is_new && judge(analysis, told) == FLO_PHASE_FAILS);
        flo_observe_analysis_free(analysis);
        live(world, fleet, updated, 0);
    }
    return fails;
}

/* Those that keep their release moved hours ago.  As the others swap, the curve
 * is theirs alone and makes a step, which young slopes feel the most. */
#define LEFT 80
static void memory_of_those_that_are_left_is_no_growth(void **state)
{
    struct world *world = *state;
    struct fleet *fleet = calloc(1, sizeof(*fleet));
    double told = 0;

    for (int is_saved = 0; is_saved < 2; is_saved++) {
        flo_observer_close(world->observer);
        assert_int_equal(flo_observer_open(world->store, BLOCK_MS, &world->observer, NULL), 0);
        begin(world, fleet, 5);
        assert_false(fails_in(world, fleet, 0, UPDATED, 5, &told));
        for (int d = DEVICES - LEFT; d < DEVICES; d++) {
            fleet->grown[d] -= 0.1;
        }
        assert_false(fails_in(world, fleet, 0, UPDATED, 11, &told));
        assert_false(fails_in(world, fleet, 1, 80, 15, &told));
        if (is_saved > 0) { /* the same over a start of the controller */
            flo_observer_save(world->observer);
            close_all(world);
            open_all(world);
        }
        assert_false(fails_in(world, fleet, 2, DEVICES - LEFT, 12, &told));
        assert_true(fabs(told) < 0.01);
    }
    free(fleet);
}

/* It is told how much, and on how many. */
static void the_growth_is_told(void **state)
{
    struct world *world = *state;
    struct fleet *fleet = calloc(1, sizeof(*fleet));
    double told = 0;

    begin(world, fleet, 3);
    (void)blocks_to_fail(world, fleet, log1p(0.02), MINUTES_120, &told);
    assert_true(fabs(told - 0.02) < 0.008);
    for (int i = 0; i < 24; i++) { /* and two hours later more exactly */
        live(world, fleet, UPDATED, log1p(0.02));
    }
    struct flo_observe_analysis *analysis = ask(world, UPDATED);
    const struct flo_told *effect = &analysis->evidence.told[FLO_MEASURE_LEAK].effect;
    const struct flo_leak_arms *arms = &analysis->evidence.segments[0].arms[FLO_MEASURE_LEAK].leak;
    assert_true(effect->has_effect && fabs(effect->effect - 0.02) < 0.003);
    assert_true(effect->low < effect->effect && effect->effect < effect->high);
    assert_int_equal(arms->treated.devices, UPDATED);
    assert_int_equal(arms->control.devices, CONTROLS);
    flo_observe_analysis_free(analysis);
    free(fleet);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_leak_of_2_pct_an_hour_is_found_in_two_hours),
        TEST(memory_that_stays_raises_no_alarm),
        TEST(a_leak_is_found_over_a_start_of_the_controller),
        TEST(memory_of_those_that_are_left_is_no_growth),
        TEST(the_growth_is_told),
    };
#undef TEST
    return cmocka_run_group_tests(tests, NULL, NULL);
}
