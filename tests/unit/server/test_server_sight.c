/* Sight: what a plan says before a rollout: who can be compared, and what its
 * gates find. */
#include <math.h>

#include "server-stub/state/forecast/cost.h"
#include "server-stub/telemetry/observe/observe.h"
#include "tests/unit/server/analysis_sites.h"

static json_t *sight_of(const struct flo_rollout *core, const struct flo_forecast_costs *costs)
{
    json_t *plan = json_object();

    flo_forecast_sight(costs, core, plan);
    return plan;
}

/* A row by its phase; of the first gate. */
static const json_t *row_of(const json_t *plan, const char *phase)
{
    json_t *row;
    size_t i;

    json_array_foreach(json_object_get(plan, "sights"), i, row)
    {
        if (strcmp(json_string_value(json_object_get(row, "phase")), phase) == 0) {
            return row;
        }
    }
    return NULL;
}

static double number_in(const json_t *row, const char *key)
{
    return json_number_value(json_object_get(row, key));
}

/* Devices that do not take the release prove nothing. */
static void the_plan_counts_devices_that_take_the_release(void **state)
{
    struct world *world = *state;
    struct flo_forecast_costs *costs = calloc(1, sizeof(*costs));

    enrol_sites(world);
    struct flo_rollout *core = &create(world, "{\"release\":\"tiny@2.1.0\"}")->core;
    core->analysis.spread = 0.0875;
    for (uint32_t i = 0; i < core->phase_count; i++) {
        costs->phases[i].takes = core->phases[i].members;
    }
    json_t *plan = sight_of(core, costs);
    const json_t *rest = row_of(plan, "rest");
    assert_true(number_in(row_of(plan, "canary"), "finds_pct") > 8);
    assert_true(number_in(rest, "odds_pct") > 97);
    assert_true(fabs(number_in(rest, "prove_pct") - 5) < 1e-9);
    assert_null(row_of(plan, "hold-out"));
    assert_int_equal(json_array_size(json_object_get(plan, "unsure")), 0);
    const json_t *site = json_array_get(json_object_get(plan, "sites"), 0);
    assert_int_equal(number_in(site, "updated"), 4);
    assert_true(number_in(site, "finds_pct") > 30);
    json_decref(plan);

    /* Seven of the last phase's controls take it, and none of the canaries. */
    for (uint32_t i = 0; i < core->phase_count; i++) {
        costs->phases[i].takes = i == 3 ? 800 : i == 4 ? 7 : 0;
    }
    plan = sight_of(core, costs);
    rest = row_of(plan, "rest");
    assert_int_equal(number_in(rest, "controls"), 7);
    assert_true(number_in(rest, "odds_pct") < 97);
    const json_t *first = json_array_get(json_object_get(plan, "unsure"), 0);
    const char *text = json_string_value(json_object_get(first, "text"));
    assert_non_null(text);
    assert_non_null(strstr(text, "phase rest: a release without effect on TTFT "
                                 "p95 is proven in "));
    assert_non_null(strstr(text, "controls in this phase"));
    assert_null(row_of(plan, "canary"));
    json_decref(plan);
    free(costs);
}

static bool has_text(const json_t *list, const char *word)
{
    json_t *row;
    size_t i;

    json_array_foreach(list, i, row)
    {
        const char *text = json_string_value(json_object_get(row, "text"));
        if (text != NULL && strstr(text, word) != NULL) {
            return true;
        }
    }
    return false;
}

static const json_t *gate_of(const json_t *plan, const char *phase, const char *gate)
{
    json_t *row;
    size_t i;

    json_array_foreach(json_object_get(plan, "sights"), i, row)
    {
        if (strcmp(json_string_value(json_object_get(row, "phase")), phase) == 0 &&
            strcmp(json_string_value(json_object_get(row, "gate")), gate) == 0) {
            return row;
        }
    }
    return NULL;
}

/* All members alike, and a fleet with few errors. */
static struct flo_observe_bases *bases_of(const struct flo_rollout *core, enum flo_base kind)
{
    struct flo_observe_bases *bases = flo_observe_bases_new(core->member_count);

    bases->block = 6000001;
    bases->block_ms = FLO_BLOCK_MS;
    bases->past = (struct flo_analysis_past){
        .errors = 2400, .requests = 1200000, .blocks = 10000, .crashes = 16, .hours = 8000};
    for (size_t i = 0; i < bases->count; i++) {
        for (int k = 0; k < FLO_READING_COUNT; k++) {
            bases->items[i].base.kinds[k] = (uint8_t)kind;
            bases->items[i].base.from[k] = bases->block + 4;
            bases->items[i].base.whole[k] = bases->block + 13;
        }
    }
    return bases;
}

/* A hotfix: the canaries swap before anybody has a level. */
static void the_plan_says_from_when_devices_are_compared(void **state)
{
    struct world *world = *state;
    struct flo_forecast_costs *costs = calloc(1, sizeof(*costs));

    enrol_sites(world);
    struct flo_rollout *core = &create(world, "{\"release\":\"tiny@2.1.0\"}")->core;
    for (uint32_t i = 0; i < core->phase_count; i++) {
        costs->phases[i].takes = core->phases[i].members;
    }
    costs->takes = malloc(core->member_count);
    memset(costs->takes, 1, core->member_count);
    struct flo_observe_bases *young = bases_of(core, FLO_BASE_LATER);
    costs->bases = young;
    json_t *plan = sight_of(core, costs);
    const json_t *base = json_object_get(plan, "base");
    assert_int_equal(number_in(base, "compared"), 0);
    assert_int_equal(number_in(base, "later"), core->member_count);
    assert_true(number_in(base, "from_ms") == (double)(young->block + 3) * FLO_BLOCK_MS);
    const char *text = json_string_value(json_object_get(base, "text"));
    assert_non_null(strstr(text, "0 of 1003 devices can be compared"));
    assert_non_null(strstr(text, "; 1003 not before 08:20 UTC"));
    assert_null(gate_of(plan, "canary", "TTFT p95"));
    assert_true(has_text(json_object_get(plan, "unsure"),
                         "phase canary: none of 20 devices can be compared "
                         "before 08:20 UTC"));
    /* Events need no level. */
    const json_t *errors = gate_of(plan, "canary", "errors");
    assert_non_null(json_object_get(errors, "finds"));
    assert_true(number_in(errors, "finds_share") > 0.007 &&
                number_in(errors, "finds_share") < 0.02);
    errors = gate_of(plan, "rest", "errors");
    assert_true(number_in(errors, "finds_share") > 0.006);
    json_decref(plan);

    struct flo_observe_bases *whole = bases_of(core, FLO_BASE_OWN);
    costs->bases = whole;
    plan = sight_of(core, costs);
    double own = number_in(gate_of(plan, "canary", "TTFT p95"), "finds_pct");
    assert_true(own > 8 && own < 16);
    assert_true(number_in(gate_of(plan, "canary", "engine RSS"), "finds_pct") < 8);
    assert_true(number_in(gate_of(plan, "canary", "memory growth"), "finds_pct") < 3);
    const json_t *crashes = gate_of(plan, "canary", "crashes");
    assert_true(number_in(crashes, "finds_share") > 0.1 && number_in(crashes, "finds_share") < 0.5);
    json_decref(plan);

    /* A few readings find less. */
    struct flo_observe_bases *few = bases_of(core, FLO_BASE_THIN);
    costs->bases = few;
    plan = sight_of(core, costs);
    assert_true(number_in(gate_of(plan, "canary", "TTFT p95"), "finds_pct") > own * 1.2);
    json_decref(plan);
    flo_observe_bases_free(young);
    flo_observe_bases_free(whole);
    flo_observe_bases_free(few);
    free(costs->takes);
    free(costs);
}

/* The analysis of the standard rules, and the row of this measure. */
static const struct flo_analysis *analysis_with(struct world *world, enum flo_measure measure,
                                                uint32_t *rule)
{
    enrol_sites(world);
    const struct flo_analysis *analysis =
        &create(world, "{\"release\":\"tiny@2.1.0\"}")->core.analysis;

    for (*rule = 0; analysis->rules.rules[*rule].measure != measure; ++*rule) {
        assert_true(*rule + 1 < analysis->rules.count);
    }
    return analysis;
}

static const struct flo_analysis_past usual_past = {
    .errors = 2400, .requests = 1200000, .blocks = 10000, .crashes = 16, .hours = 8000};

static void events_are_found_among_devices_that_have_controls_hours_and_a_past(void **state)
{
    struct world *world = *state;
    const struct flo_analysis_crowd good = {.updated = 50, .controls = 500, .hours = 24};
    struct flo_analysis_seen seen;
    uint32_t errors, crashes;
    const struct flo_analysis *analysis = analysis_with(world, FLO_MEASURE_ERRORS, &errors);

    for (crashes = 0; analysis->rules.rules[crashes].measure != FLO_MEASURE_CRASHES; crashes++) {
    }
    for (int i = 0; i < 7; i++) {
        struct flo_analysis_crowd crowd = good;
        struct flo_analysis_past past = usual_past;
        bool is_whole = i == 0, has_events = i == 0 || i > 3;
        crowd.updated = i == 1 ? 0 : crowd.updated;
        crowd.controls = i == 2 ? 0 : crowd.controls;
        crowd.hours = i == 3 ? 0 : crowd.hours;
        past.requests = i == 4 ? 0 : past.requests;
        past.blocks = i == 5 ? 0 : past.blocks;
        past.hours = i == 6 ? 0 : past.hours;
        assert_int_equal(flo_analysis_sees_events(analysis, errors, 0, 1, &crowd, &past, &seen),
                         is_whole || i == 6);
        assert_int_equal(flo_analysis_sees_events(analysis, crashes, 0, 1, &crowd, &past, &seen),
                         has_events && i != 6);
    }
}

static void errors_that_are_too_few_or_all_there_can_be_are_not_found(void **state)
{
    struct world *world = *state;
    const struct flo_analysis_crowd crowd = {.updated = 50, .controls = 500, .hours = 1};
    struct flo_analysis_past past = usual_past;
    struct flo_analysis_seen seen;
    uint32_t rule;
    const struct flo_analysis *analysis = analysis_with(world, FLO_MEASURE_ERRORS, &rule);

    assert_true(flo_analysis_sees_events(analysis, rule, 0, 1, &crowd, &past, &seen));
    assert_true(seen.has_find && seen.finds > seen.usual && seen.finds < 1);
    past.errors = 0.9 * past.requests; /* more cannot fail */
    assert_true(flo_analysis_sees_events(analysis, rule, 0, 1, &crowd, &past, &seen));
    assert_false(seen.has_find);
    past = (struct flo_analysis_past){.errors = 0, .requests = 1, .blocks = 10000};
    assert_true(flo_analysis_sees_events(analysis, rule, 0, 1, &crowd, &past, &seen));
    assert_false(seen.has_find);
    assert_true(seen.finds == 0);
}

static void a_crash_of_one_device_alone_proves_nothing(void **state)
{
    struct world *world = *state;
    struct flo_analysis_crowd crowd = {.updated = 1, .controls = 1, .hours = 24};
    const struct flo_analysis_past past = {.crashes = 80, .hours = 8000};
    struct flo_analysis_seen seen;
    uint32_t rule;
    const struct flo_analysis *analysis = analysis_with(world, FLO_MEASURE_CRASHES, &rule);

    assert_true(flo_analysis_sees_events(analysis, rule, 0, 1, &crowd, &past, &seen));
    assert_false(seen.has_find);
    assert_true(seen.finds == 0);
    crowd.updated = crowd.controls = 200;
    assert_true(flo_analysis_sees_events(analysis, rule, 0, 1, &crowd, &past, &seen));
    assert_true(seen.has_find && seen.finds > seen.usual);
}

static void a_leak_is_found_only_after_hours_of_readings(void **state)
{
    struct world *world = *state;
    struct flo_analysis_crowd crowd = {.updated = 50, .controls = 500, .hours = 0.5};
    struct flo_analysis_seen seen;
    uint32_t rule;
    struct flo_analysis analysis = *analysis_with(world, FLO_MEASURE_LEAK, &rule);

    for (uint64_t from_ms = 0; from_ms <= 7200000; from_ms += 7200000) {
        analysis.rules.rules[rule].from_ms = from_ms;
        crowd.hours = 0.5;
        assert_true(flo_analysis_sees_events(&analysis, rule, 0, 1, &crowd, &usual_past, &seen));
        assert_false(seen.has_find);
        crowd.hours = 8;
        assert_true(flo_analysis_sees_events(&analysis, rule, 0, 1, &crowd, &usual_past, &seen));
        assert_true(seen.has_find && seen.finds > 0);
    }
    crowd.updated = 1; /* one device has no spread */
    assert_true(flo_analysis_sees_events(&analysis, rule, 0, 1, &crowd, &usual_past, &seen));
    assert_false(seen.has_find);
}

static void speed_is_not_compared_without_updated_devices_and_enough_controls(void **state)
{
    struct world *world = *state;
    struct flo_analysis_crowd crowds[] = {{.updated = 50, .controls = 500},
                                          {.updated = 0, .controls = 500}};
    struct flo_analysis_sight sight;
    uint32_t rule;
    const struct flo_analysis *analysis = analysis_with(world, FLO_MEASURE_TTFT_P95, &rule);

    assert_true(flo_analysis_sees(analysis, rule, 1, 1, crowds, &sight));
    assert_true(sight.has_find && sight.finds_pct > 0); /* by the wave before */
    crowds[1].controls = 2;
    assert_true(flo_analysis_sees(analysis, rule, 1, 1, crowds, &sight));
    assert_false(sight.has_find);
    assert_false(flo_analysis_sees(analysis, rule, 0, 1, &crowds[1], &sight));
    crowds[0].controls = 0;
    assert_false(flo_analysis_sees(analysis, rule, 0, 1, crowds, &sight));
}

static void a_site_whose_devices_all_take_the_release_finds_nothing(void **state)
{
    struct world *world = *state;
    struct flo_analysis_site site = {.updated = 4, .members = 12, .sites = 100, .all = 1200};
    uint32_t rule;
    const struct flo_analysis *analysis = analysis_with(world, FLO_MEASURE_TTFT_P95, &rule);

    assert_true(isfinite(flo_analysis_finds_at(analysis, rule, &site)));
    site.updated = 12;
    assert_false(isfinite(flo_analysis_finds_at(analysis, rule, &site)));
    site.updated = 4;
    site.all = 100; /* one device each */
    assert_false(isfinite(flo_analysis_finds_at(analysis, rule, &site)));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)
    const struct CMUnitTest tests[] = {
        TEST(the_plan_counts_devices_that_take_the_release),
        TEST(the_plan_says_from_when_devices_are_compared),
        TEST(events_are_found_among_devices_that_have_controls_hours_and_a_past),
        TEST(errors_that_are_too_few_or_all_there_can_be_are_not_found),
        TEST(a_crash_of_one_device_alone_proves_nothing),
        TEST(a_leak_is_found_only_after_hours_of_readings),
        TEST(speed_is_not_compared_without_updated_devices_and_enough_controls),
        TEST(a_site_whose_devices_all_take_the_release_finds_nothing),
    };
#undef TEST
    return cmocka_run_group_tests(tests, NULL, NULL);
}
