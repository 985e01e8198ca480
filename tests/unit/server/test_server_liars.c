/* Devices that lie: what one of them says turns no judgement of a rollout. */
#include <math.h>

#include <flotilla/metrics.h>

#include "unit/server/observed_world.h"

#define REQUESTS 30
#define BEFORE 15 /* blocks */
#define AFTER 24

/* A device's words in a window; 0: as it is. */
struct words {
    uint64_t us;
    uint64_t requests, errors, good, bad;
    uint64_t ends, rss_bytes, perplexity_ppm;
    int times; /* windows in a minute */
};
struct fleet {
    struct world *world;
    int devices, treated;
    double times;            /* updated devices are slower by it */
    double control_times;    /* controls are */
    uint64_t errors;         /* of an updated device's window */
    uint64_t control_errors; /* of a control's */
    int liar;                /* a device */
    struct words lie;
    bool lied_before; /* the split, too */
};

static uint64_t or_usual(uint64_t said, double usual)
{
    return said > 0 ? said : (uint64_t)usual;
}

static void put(struct flo_telemetry_window *window, int metric, uint64_t value)
{
    window->has[metric] = true;
    window->values[metric] = (int64_t)value;
}

static void report(struct fleet *fleet, int device, bool is_updated, const struct words *say)
{
    static const int metrics[] = {FLO_METRIC_NAME_TTFT, FLO_METRIC_NAME_TOKEN};
    struct world *world = fleet->world;
    struct flo_telemetry_window window = {.seq = ++world->seq,
                                          .window_ms = 60000,
                                          .model = "tiny",
                                          .release = release(is_updated ? 2 : 1),
                                          .histograms = world->histograms};
    double us = (100000 + 1000 * device) * (is_updated ? fleet->times : fleet->control_times);
    char id[37];

    for (size_t i = 0; i < FLO_COUNT(metrics); i++) {
        struct flo_histogram *histogram = &world->histograms[metrics[i]];
        memset(histogram, 0, sizeof(*histogram));
        for (int k = 0; k < REQUESTS; k++) {
            flo_histogram_add(histogram, or_usual(say->us, us * (1 + 0.01 * k)));
        }
        window.has[metrics[i]] = true;
    }
    put(&window, FLO_METRIC_NAME_REQUESTS, or_usual(say->requests, REQUESTS));
    put(&window, FLO_METRIC_NAME_ERRORS,
        or_usual(say->errors, (double)(is_updated ? fleet->errors : fleet->control_errors)));
    put(&window, FLO_METRIC_NAME_FEEDBACK_GOOD, or_usual(say->good, 10));
    put(&window, FLO_METRIC_NAME_FEEDBACK_BAD, say->bad);
    put(&window, FLO_METRIC_NAME_ENGINE_RESTARTS, say->ends);
    put(&window, FLO_METRIC_NAME_ENGINE_RSS, or_usual(say->rss_bytes, 1e9 + 1e6 * device));
    put(&window, FLO_METRIC_NAME_GOLDEN_OWN, or_usual(say->perplexity_ppm, 1500000 + 100 * device));
    put(&window, FLO_METRIC_NAME_GOLDEN_FORMER,
        or_usual(say->perplexity_ppm, 1500000 + 100 * device));
    id_of(device, id);
    flo_observer_take(world->observer, id, "x86_64 avx2 4g", &window, world->now_ms);
}

static void live(struct fleet *fleet, int blocks, int updated)
{
    static const struct words honest;
    struct world *world = fleet->world;

    for (int i = 0; i < 5 * blocks; i++) {
        world->now_ms += 60000;
        flo_observer_tick(world->observer, world->now_ms);
        for (int d = 0; d < fleet->devices; d++) {
            bool lies = d == fleet->liar && (updated > 0 || fleet->lied_before);
            const struct words *say = lies ? &fleet->lie : &honest;
            for (int k = 0; k < 1 || k < say->times; k++) {
                report(fleet, d, d < updated, say);
            }
        }
    }
}

static struct flo_observe_analysis *ask(const struct fleet *fleet, int swapped)
{
    struct flo_observe_analysis *analysis = flo_observe_analysis_new((size_t)fleet->devices);

    snprintf(analysis->rollout, sizeof(analysis->rollout), "r-0001");
    snprintf(analysis->model, sizeof(analysis->model), "tiny");
    analysis->release = release(2);
    analysis->heartbeat_ms = 60000;
    analysis->evidence.segment_count = 1;
    analysis->evidence.segments[0].members = (uint32_t)fleet->devices;
    analysis->member_count = (size_t)fleet->devices;
    for (int d = 0; d < fleet->devices; d++) {
        id_of(d, analysis->members[d].device);
        analysis->members[d].way = d < swapped ? FLO_MEMBER_SWAPPED : FLO_MEMBER_WAITS;
    }
    assert_int_equal(
        flo_observer_analysis(fleet->world->observer, analysis, fleet->world->now_ms, NULL), 0);
    return analysis;
}

struct outcome {
    bool has_failed;
    char gate[32];
    char text[FLO_ANALYSIS_TEXT];
};

/* Two hours of the rollout, block by block. */
static struct outcome roll(struct fleet *fleet)
{
    struct flo_analysis *analysis = calloc(1, sizeof(*analysis));
    struct flo_analysis_results *results = calloc(1, sizeof(*results));
    struct outcome outcome = {false};

    flo_analysis_preset(FLO_PRESET_NORMAL, &analysis->rules);
    json_t *more = json_pack("{s:s,s:{s:f},s:{s:f}}", "preset", "normal", "errors", "weight", 0.08,
                             "bad_feedback", "weight", 0.05);
    assert_int_equal(flo_analysis_parse(more, &analysis->rules, NULL), 0);
    json_decref(more);
    flo_analysis_phase(analysis, 0);
    live(fleet, BEFORE, 0);
    flo_observe_analysis_free(ask(fleet, 0));
    for (int block = 0; block < AFTER; block++) {
        struct flo_analysis_moment moment = {.soaked_s = 300.0 * block, .soak_s = 3600};
        struct flo_analysis_finding finding;
        live(fleet, 1, fleet->treated);
        struct flo_observe_analysis *seen = ask(fleet, fleet->treated);
        flo_analysis_judge(analysis, &seen->evidence, &moment, results, &finding);
        flo_observe_analysis_free(seen);
        if (finding.verdict == FLO_PHASE_FAILS && !outcome.has_failed) {
            enum flo_measure measure = analysis->rules.rules[analysis->state.rule].measure;
            outcome.has_failed = true;
            snprintf(outcome.gate, sizeof(outcome.gate), "%s", flo_measure_fact(measure)->word);
            flo_analysis_say(analysis, analysis->state.rule, 0, 1, outcome.text);
        }
    }
    free(results);
    free(analysis);
    return outcome;
}

static struct fleet healthy(int devices, int treated)
{
    return (struct fleet){.devices = devices, .treated = treated, .times = 1, .control_times = 1};
}

#define COUNT_MAX (UINT64_C(1) << 53)

static const struct {
    const char *what;
    struct words words;
} lies[] = {
    {"a thousand seconds", {.us = UINT64_C(1000000000)}},
    {"10^9 ms", {.us = UINT64_C(1000000000000)}},
    {"the last bucket", {.us = UINT64_MAX}},
    {"a microsecond", {.us = 1}},
    {"errors without requests", {.requests = 1, .errors = COUNT_MAX}},
    {"a thousand errors a window", {.requests = 1000, .errors = 1000}},
    {"a million errors a window", {.requests = 1000000, .errors = 1000000}},
    {"requests without end", {.requests = COUNT_MAX}},
    {"an engine that ends all the time", {.ends = COUNT_MAX}},
    {"memory without end", {.rss_bytes = COUNT_MAX}},
    {"no answer is its own", {.perplexity_ppm = COUNT_MAX}},
    {"bad answers", {.good = 1, .bad = COUNT_MAX}},
    {"answers that wrap", {.good = UINT32_MAX, .bad = 2}},
    {"all of it",
     {.us = UINT64_C(1000000000000),
      .requests = 1,
      .errors = COUNT_MAX,
      .bad = COUNT_MAX,
      .ends = COUNT_MAX,
      .rss_bytes = COUNT_MAX,
      .perplexity_ppm = COUNT_MAX,
      .times = 20}},
};

/* A store and an observer that know nothing. */
static void begin_again(struct world *world)
{
    char path[128];

    close_all(world);
    snprintf(path, sizeof(path), "%s/telemetry.db", world->dir);
    assert_int_equal(unlink(path), 0);
    open_all(world);
}

/* An updated device tells each of the lies, and then a control does. */
static void check(void **state, struct fleet fleet, bool fails)
{
    const int liars[] = {0, fleet.devices - 1};

    fleet.world = *state;
    for (size_t i = 0; i < FLO_COUNT(liars) * FLO_COUNT(lies); i++) {
        size_t lie = i / FLO_COUNT(liars);
        fleet.liar = liars[i % FLO_COUNT(liars)];
        fleet.lie = lies[lie].words;
        struct outcome outcome = roll(&fleet);
        if (outcome.has_failed != fails) {
            fail_msg("%s of device %d: %s %s", lies[lie].what, fleet.liar, outcome.gate,
                     outcome.text);
        }
        begin_again(*state);
    }
}

static void one_device_stops_no_good_release(void **state)
{
    check(state, healthy(80, 20), false);
}

static void one_device_of_few_stops_no_good_release(void **state)
{
    check(state, healthy(25, 5), false);
}

static void a_device_that_always_lied_stops_no_good_release(void **state)
{
    struct fleet fleet = healthy(25, 5);

    fleet.lied_before = true;
    check(state, fleet, false);
}

static void one_device_hides_no_slow_release(void **state)
{
    struct fleet fleet = healthy(80, 20);

    fleet.times = 1.3;
    check(state, fleet, true);
}

static void one_device_hides_no_errors(void **state)
{
    struct fleet fleet = healthy(80, 20);

    fleet.errors = 4;
    fleet.control_errors = 1;
    check(state, fleet, true);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(one_device_stops_no_good_release),
        TEST(one_device_of_few_stops_no_good_release),
        TEST(a_device_that_always_lied_stops_no_good_release),
        TEST(one_device_hides_no_slow_release),
        TEST(one_device_hides_no_errors),
    };
#undef TEST
    return cmocka_run_group_tests(tests, NULL, NULL);
}
