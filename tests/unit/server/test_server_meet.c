/* Rollouts of one model that meet on devices: the newest has the evidence. */
#include <math.h>

#include <flotilla/metrics.h>

#include "server-stub/telemetry/observe/cohort.h"
#include "unit/server/observed_world.h"
#include "unit/waits.h"

#define DEVICES 60
#define UPDATED 20

/* A rollout and the way of its members: so many swapped, others wait up to a
 * device, and the rest is out. */
struct rollout {
    const char *name;
    int release;
    int from, swapped, waits;
    const char *split_of;
    bool is_kept;
};

static void report_of(struct world *world, const char *model, int device, int release_of,
                      double times)
{
    struct flo_telemetry_window window = {.seq = ++world->seq,
                                          .window_ms = 60000,
                                          .release = release(release_of),
                                          .histograms = world->histograms};
    struct flo_histogram *ttft = &world->histograms[FLO_METRIC_NAME_TTFT];
    double us = (100000 + 1000 * device) * times;
    char id[37];

    snprintf(window.model, sizeof(window.model), "%s", model);
    memset(ttft, 0, sizeof(*ttft));
    for (int k = 0; k < 120; k++) {
        flo_histogram_add(ttft, (uint64_t)(us * (1 + 0.002 * k)));
    }
    window.has[FLO_METRIC_NAME_TTFT] = true;
    window.has[FLO_METRIC_NAME_REQUESTS] = true;
    window.values[FLO_METRIC_NAME_REQUESTS] = 120;
    id_of(device, id);
    flo_observer_take(world->observer, id, "x86_64 avx2 4g", &window, world->now_ms);
}

static struct flo_observe_analysis *ask(struct world *world, const struct rollout *of)
{
    struct flo_observe_analysis *analysis = flo_observe_analysis_new(DEVICES);

    snprintf(analysis->rollout, sizeof(analysis->rollout), "%s", of->name);
    snprintf(analysis->model, sizeof(analysis->model), "tiny");
    snprintf(analysis->split_of, sizeof(analysis->split_of), "%s",
             of->split_of != NULL ? of->split_of : "");
    analysis->release = release(of->release);
    analysis->heartbeat_ms = 60000;
    analysis->is_kept = of->is_kept;
    analysis->evidence.segment_count = 1;
    for (int d = of->from; d < DEVICES; d++) {
        struct flo_observe_member *member = &analysis->members[analysis->member_count++];
        id_of(d, member->device);
        member->way = d < of->from + of->swapped               ? FLO_MEMBER_SWAPPED
                      : d < of->from + of->swapped + of->waits ? FLO_MEMBER_WAITS
                                                               : FLO_MEMBER_OUT;
    }
    assert_int_equal(flo_observer_analysis(world->observer, analysis, world->now_ms, NULL), 0);
    return analysis;
}

static void ask_only(struct world *world, const struct rollout *of)
{
    flo_observe_analysis_free(ask(world, of));
}

/* Blocks in which the first `updated` devices run release `new`, the others
 * `old`; each rollout asks in each of them, in this order. */
static void live(struct world *world, int blocks, int updated, int new, double times, int old,
                 const struct rollout *rollouts, size_t count)
{
    for (int i = 0; i < blocks; i++) {
        world->now_ms += BLOCK_MS;
        flo_observer_tick(world->observer, world->now_ms);
        for (int d = 0; d < DEVICES; d++) {
            report_of(world, "tiny", d, d < updated ? new : old, d < updated ? times : 1);
        }
        for (size_t r = 0; r < count; r++) {
            ask_only(world, &rollouts[r]);
        }
    }
}

static void start_again(struct world *world)
{
    flo_observer_save(world->observer);
    close_all(world);
    world->now_ms += BLOCK_MS; /* it was away */
    open_all(world);
    flo_observer_connected(world->observer, world->now_ms);
}

static void assert_found(struct world *world, const struct rollout *of, int controls, double times)
{
    struct flo_observe_analysis *analysis = ask(world, of);
    const struct flo_ratio_segment *p50 =
        &analysis->evidence.segments[0].arms[FLO_MEASURE_TTFT_P50].ratio;

    assert_true(analysis->is_new);
    assert_int_equal(p50->treated.devices, UPDATED);
    assert_int_equal(p50->control.devices, controls);
    assert_true(fabs(p50->treated.mean - p50->control.mean - log(times)) < 0.02);
    flo_observe_analysis_free(analysis);
}

/* The older one updated all before; a start of the controller comes in
 * between. */
static void the_newer_one_keeps_its_devices(void **state)
{
    struct world *world = *state;
    struct rollout both[] = {{.name = "r-9999", .release = 2, .waits = DEVICES},
                             {.name = "r-10000", .release = 3, .waits = DEVICES}};

    live(world, 20, 0, 2, 1, 1, both, 1);
    both[0].swapped = DEVICES;
    live(world, 20, DEVICES, 2, 1, 1, both, 1);
    live(world, 1, DEVICES, 2, 1, 1, both, 2);
    both[1].swapped = UPDATED;
    live(world, 3, UPDATED, 3, 1.2, 2, both, 2);
    start_again(world);
    live(world, 4, UPDATED, 3, 1.2, 2, both, 2);
    assert_found(world, &both[1], DEVICES - UPDATED, 1.2);
}

/* Members of the older one that wait are left to the newer one. */
static void members_that_were_superseded_are_those_of_the_newer_one(void **state)
{
    struct world *world = *state;
    struct rollout both[] = {{.name = "r-0001", .release = 2, .waits = DEVICES},
                             {.name = "r-0002", .release = 3, .from = 10, .waits = DEVICES}};

    live(world, 20, 0, 2, 1, 1, both, 1);
    both[0] = (struct rollout){.name = "r-0001", .release = 2, .waits = 10};
    live(world, 1, 0, 2, 1, 1, both, 2);
    both[1].swapped = UPDATED - 10;
    for (int i = 0; i < 7; i++) { /* ... whoever asks first */
        struct rollout last = both[0];
        live(world, 1, UPDATED, 3, 1.2, 1, both, 2);
        both[0] = both[1];
        both[1] = last;
    }
    const struct rollout *newer = both[0].from > 0 ? &both[0] : &both[1];
    struct flo_observe_analysis *analysis = ask(world, newer);
    const struct flo_ratio_segment *p50 =
        &analysis->evidence.segments[0].arms[FLO_MEASURE_TTFT_P50].ratio;
    assert_int_equal(p50->treated.devices, UPDATED - 10);
    assert_int_equal(p50->control.devices, DEVICES - UPDATED);
    flo_observe_analysis_free(analysis);
}

/* Nobody asks for the newer one any more: its devices run its release, and are
 * no matter of the older one. */
static void devices_do_not_come_back_to_the_older_one(void **state)
{
    struct world *world = *state;
    struct rollout both[] = {{.name = "r-0001", .release = 2, .waits = DEVICES},
                             {.name = "r-0002", .release = 3, .waits = DEVICES}};

    live(world, 20, 0, 2, 1, 1, both, 1);
    both[0].swapped = DEVICES;
    live(world, 4, DEVICES, 2, 1, 1, both, 1);
    both[1].swapped = DEVICES;
    live(world, 4, DEVICES, 3, 1, 2, both, 2);
    for (size_t i = 0; i < FLO_OBSERVER_COHORTS_MAX; i++) {
        struct flo_observer_cohort *cohort = &world->observer->cohorts[i];
        if (strcmp(cohort->name, "r-0002") == 0) {
            cohort->asked_at_ms = waits_now_ms() - 120001;
        }
    }
    live(world, 2, DEVICES, 3, 1, 2, both, 1);
    struct flo_observe_analysis *analysis = ask(world, &both[0]);
    assert_int_equal(analysis->evidence.treated, 0);
    assert_int_equal(analysis->evidence.controls, 0);
    flo_observe_analysis_free(analysis);
}

/* The newer one takes requests of another model, which some devices have.  All
 * of them waited for the older one. */
static void a_model_that_shares_requests_follows_a_plain_rollout(void **state)
{
    struct world *world = *state;
    struct rollout both[] = {
        {.name = "r-0001", .release = 2, .waits = DEVICES},
        {.name = "r-0002", .release = 3, .waits = DEVICES, .split_of = "tiny-a"}};

    live(world, 4, 0, 2, 1, 1, both, 1);
    for (int d = 0; d < UPDATED; d++) {
        report_of(world, "tiny-a", d, 9, 1);
    }
    live(world, 2, 0, 2, 1, 1, &both[1], 1);
    start_again(world);
    live(world, 2, 0, 2, 1, 1, &both[1], 1);
    both[1].swapped = UPDATED;
    live(world, 4, UPDATED, 3, 1, 1, &both[1], 1);
    struct flo_observe_analysis *analysis = ask(world, &both[1]);
    assert_int_equal(analysis->evidence.treated, UPDATED);
    flo_observe_analysis_free(analysis);
    /* ... and devices are compared with each other once more. */
    struct rollout plain = {.name = "r-0003", .release = 4, .waits = DEVICES};
    live(world, 20, UPDATED, 3, 1, 1, &plain, 1);
    plain.swapped = UPDATED;
    live(world, 6, UPDATED, 4, 1.2, 1, &plain, 1);
    for (size_t i = 0; i < world->observer->count; i++) {
        assert_null(world->observer->entries[i].paired);
    }
}

/* Nothing is judged, and all stays for the day on which it goes on. */
static void a_rollout_that_waits_for_a_person_keeps_its_evidence(void **state)
{
    struct world *world = *state;
    struct rollout one = {.name = "r-0001", .release = 2, .waits = DEVICES};

    live(world, 20, 0, 2, 1, 1, &one, 1);
    one.swapped = UPDATED;
    live(world, 4, UPDATED, 2, 1.2, 1, &one, 1);
    one.is_kept = true;
    for (int i = 0; i < 3; i++) {
        live(world, 4, UPDATED, 2, 1.2, 1, &one, 1);
        struct flo_observe_analysis *analysis = ask(world, &one);
        assert_false(analysis->is_new);
        flo_observe_analysis_free(analysis);
        start_again(world);
    }
    one.is_kept = false;
    live(world, 2, UPDATED, 2, 1.2, 1, &one, 1);
    assert_found(world, &one, DEVICES - UPDATED, 1.2);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(the_newer_one_keeps_its_devices),
        TEST(members_that_were_superseded_are_those_of_the_newer_one),
        TEST(devices_do_not_come_back_to_the_older_one),
        TEST(a_model_that_shares_requests_follows_a_plain_rollout),
        TEST(a_rollout_that_waits_for_a_person_keeps_its_evidence),
    };
#undef TEST
    return cmocka_run_group_tests(tests, NULL, NULL);
}
