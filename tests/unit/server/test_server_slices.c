/* Slices: a fleet's windows become the label=value at which a release is
 * worse. */
#include <math.h>

#include <flotilla/metrics.h>

#include "server-stub/telemetry/observe/crowd.h"
#include "unit/server/observed_world.h"

#define DEVICES 240
#define SITES 12
#define BAD 3 /* site */
/* Who has errors at the bad site. */
enum { NOBODY, UPDATED, EVERYBODY };

/* Devices stand at sites in turn, so each prefix has its share of each. */
static int site_of(int device)
{
    return device % SITES;
}

static int class_of(int device)
{
    return device / SITES % 2;
}

static double noise(struct world *world)
{
    world->random = world->random * 1664525 + 1013904223;
    return 0.97 + 0.06 * (world->random >> 8) / 16777216.0;
}

static void set(struct flo_telemetry_window *window, int metric, int64_t value)
{
    window->has[metric] = true;
    window->values[metric] = value;
}

/* Errors of a window: at the bad site those that the release brings. */
static int64_t count_of(const struct world *world, int device, int release_of)
{
    bool has_it = release_of == 2 || world->failing == EVERYBODY;

    return site_of(device) == BAD && world->failing != NOBODY && has_it ? 6 : 0;
}

static void report(struct world *world, int device, int release_of, double times)
{
    struct flo_telemetry_window window = {.seq = ++world->seq,
                                          .window_ms = 60000,
                                          .model = "tiny",
                                          .release = release(release_of),
                                          .histograms = world->histograms};
    double us = (100000 + 100 * device) * times * noise(world);
    struct flo_histogram *ttft = &world->histograms[FLO_METRIC_NAME_TTFT];
    char id[37];

    memset(ttft, 0, sizeof(*ttft));
    for (int k = 0; k < 120; k++) {
        flo_histogram_add(ttft, (uint64_t)(us * (1 + 0.002 * k)));
    }
    window.has[FLO_METRIC_NAME_TTFT] = true;
    set(&window, FLO_METRIC_NAME_REQUESTS, 120);
    set(&window, FLO_METRIC_NAME_ERRORS, count_of(world, device, release_of));
    id_of(device, id);
    flo_observer_take(world->observer, id, "x86_64 avx2 4g", &window, world->now_ms);
}

static bool has_release(const struct world *world, int device, int updated)
{
    return device < updated || (updated > 0 && world->all_of_bad && site_of(device) == BAD);
}

/* Blocks of one window each; those below `updated` run release 2.  At the bad
 * site the release makes a device `slower`, and all of it becomes `shocked`. */
static void live(struct world *world, int blocks, int updated, double slower, double shocked)
{
    for (int i = 0; i < blocks; i++) {
        world->now_ms += BLOCK_MS;
        flo_observer_tick(world->observer, world->now_ms);
        for (int d = 0; d < DEVICES; d++) {
            bool is_bad = site_of(d) == BAD && (!world->is_paired || class_of(d) == 0);
            bool has_it = has_release(world, d, updated);
            bool is_odd = world->one_in > 0 && d % world->one_in == 0;
            report(world, d, has_it ? 2 : 1,
                   (is_bad ? shocked : 1) * (world->quick > 0 && d == world->quick ? 0.1 : 1) *
                       ((is_bad || is_odd) && has_it ? slower : 1));
        }
    }
}

static struct flo_observe_analysis *ask(struct world *world, int swapped)
{
    struct flo_observe_analysis *analysis = flo_observe_analysis_new(DEVICES);

    snprintf(analysis->rollout, sizeof(analysis->rollout), "r-0001");
    snprintf(analysis->model, sizeof(analysis->model), "tiny");
    analysis->release = release(2);
    analysis->heartbeat_ms = 60000;
    analysis->evidence.segment_count = 1;
    analysis->member_count = DEVICES;
    /* The class of hardware, the site, and both. */
    analysis->label_count = world->is_paired ? 3 : 2;
    analysis->values = calloc(3 * DEVICES, sizeof(*analysis->values));
    analysis->labels = calloc(3, sizeof(*analysis->labels));
    analysis->labels[0] =
        (struct flo_slice_label){.values = analysis->values, .count = 2, .judged = 2};
    analysis->labels[1] = (struct flo_slice_label){
        .values = analysis->values + DEVICES, .count = SITES, .judged = SITES};
    analysis->labels[2] = (struct flo_slice_label){.values = analysis->values + 2 * DEVICES,
                                                   .count = 2 * SITES,
                                                   .judged = 2 * SITES,
                                                   .needs_own = true};
    analysis->weights[FLO_MEASURE_TTFT_P50] = 0.2;
    analysis->weights[FLO_MEASURE_ERRORS] = 0.13;
    analysis->weights[FLO_MEASURE_CRASHES] = 0.1;
    for (int d = 0; d < DEVICES; d++) {
        id_of(d, analysis->members[d].device);
        analysis->members[d].way =
            has_release(world, d, swapped) ? FLO_MEMBER_SWAPPED : FLO_MEMBER_WAITS;
        analysis->members[d].is_probe = world->probes_from > 0 && d >= world->probes_from;
        analysis->values[d] = (uint16_t)(1 + class_of(d));
        analysis->values[DEVICES + d] = (uint16_t)(1 + site_of(d));
        analysis->values[2 * DEVICES + d] = (uint16_t)(1 + 2 * site_of(d) + class_of(d));
    }
    assert_int_equal(flo_observer_analysis(world->observer, analysis, world->now_ms, NULL), 0);
    return analysis;
}

static void ask_only(struct world *world, int swapped)
{
    flo_observe_analysis_free(ask(world, swapped));
}

/* Its devices are listed, the slowest of the updated ones first. */
static void assert_devices(const struct flo_observe_analysis *analysis, uint32_t updated)
{
    const struct flo_analysis_slices *slices = &analysis->evidence.slices;

    assert_int_equal(slices->device_count, DEVICES / SITES);
    for (size_t i = 0; i < slices->device_count; i++) {
        const struct flo_analysis_device *one = &slices->devices[i];
        assert_int_equal(one->row, 0);
        assert_int_equal(one->wave > 0, i < updated);
        assert_true(one->has_effect);
        assert_true(fabs(one->effect - (i < updated ? log(2) : 0)) < 0.1);
        assert_true(i == 0 || i == updated || one->effect <= slices->devices[i - 1].effect);
    }
}

static void assert_bad_site(const struct flo_observe_analysis *analysis, uint32_t updated)
{
    const struct flo_analysis_slices *slices = &analysis->evidence.slices;

    assert_int_equal(slices->count, 1);
    assert_true(slices->rows[0].is_culprit);
    assert_int_equal(analysis->found[0].slice.label, 1);
    assert_int_equal(analysis->found[0].slice.value, 1 + BAD);
    assert_int_equal(slices->rows[0].updated, updated);
    assert_int_equal(slices->rows[0].far, updated);
    assert_int_equal(slices->rows[0].members, DEVICES / SITES);
    assert_true(fabs(slices->rows[0].told.effect - log(2)) < 0.05);
    assert_true(slices->rows[0].has_elsewhere);
    assert_true(fabs(slices->rows[0].elsewhere) < 0.05);
    assert_int_equal(slices->changed_count, 0);
    assert_devices(analysis, updated);
}

static void a_release_that_is_slow_at_one_site_names_it(void **state)
{
    struct world *world = *state;

    live(world, 20, 0, 1, 1);
    ask_only(world, 0);
    live(world, 8, 4 * SITES, 2, 1);
    struct flo_observe_analysis *analysis = ask(world, 4 * SITES);
    assert_bad_site(analysis, 4);
    flo_observe_analysis_free(analysis);
}

/* Half of the site has it: neither the site nor the class of hardware is held
 * for it. */
static void a_pair_of_labels_is_named_and_not_its_site(void **state)
{
    struct world *world = *state;

    world->is_paired = true;
    live(world, 20, 0, 1, 1);
    ask_only(world, 0);
    live(world, 8, 8 * SITES, 2, 1);
    struct flo_observe_analysis *analysis = ask(world, 8 * SITES);
    const struct flo_analysis_slices *slices = &analysis->evidence.slices;
    assert_int_equal(slices->count, 1);
    assert_true(slices->rows[0].is_culprit);
    assert_int_equal(analysis->found[0].slice.label, 2);
    assert_int_equal(analysis->found[0].slice.value, 1 + 2 * BAD);
    assert_int_equal(slices->rows[0].members, DEVICES / SITES / 2);
    assert_int_equal(slices->rows[0].updated, 4);
    assert_int_equal(slices->rows[0].far, 4);
    assert_true(fabs(slices->rows[0].told.effect - log(2)) < 0.05);
    flo_observe_analysis_free(analysis);
}

/* The pair holds what is slow of the site, so it explains no more. */
static void a_site_that_is_worse_as_a_whole_is_named_and_no_pair(void **state)
{
    struct world *world = *state;

    live(world, 20, 0, 1, 1);
    ask_only(world, 0);
    live(world, 8, 4 * SITES, 2, 1);
    world->is_paired = true; /* in the scan alone */
    struct flo_observe_analysis *analysis = ask(world, 4 * SITES);
    assert_bad_site(analysis, 4);
    flo_observe_analysis_free(analysis);
}

/* Three are needed: where one or two are, more follow, at the site and at the
 * pair. */
static void slices_whose_one_device_is_far_ask_for_more(void **state)
{
    struct world *world = *state;
    char id[37];

    world->is_paired = true;
    live(world, 20, 0, 1, 1);
    ask_only(world, 0);
    live(world, 8, SITES, 2, 1);
    struct flo_observe_analysis *analysis = ask(world, SITES);
    const struct flo_analysis_evidence *evidence = &analysis->evidence;
    bool has_site = false;
    bool has_pair = false;
    id_of(BAD, id);
    assert_int_equal(evidence->probe_count, 2);
    for (uint32_t i = 0; i < 2; i++) {
        assert_string_equal(evidence->probes[i].device, id);
        assert_true(fabs(evidence->probes[i].least - log(2)) < 0.05);
        has_site =
            has_site || (analysis->probed[i].label == 1 && analysis->probed[i].value == 1 + BAD);
        has_pair = has_pair ||
                   (analysis->probed[i].label == 2 && analysis->probed[i].value == 1 + 2 * BAD);
    }
    assert_true(has_site && has_pair);
    flo_observe_analysis_free(analysis);
}

/* They were quicker than the first look at the rollout. */
static void devices_that_swapped_before_the_first_look_are_a_wave(void **state)
{
    struct world *world = *state;

    live(world, 20, 0, 1, 1);
    ask_only(world, 4 * SITES);
    live(world, 8, 4 * SITES, 2, 1);
    struct flo_observe_analysis *analysis = ask(world, 4 * SITES);
    assert_bad_site(analysis, 4);
    flo_observe_analysis_free(analysis);
}

/* A shock on devices of both releases is no matter of the release. */
static void a_site_that_changed_is_no_culprit(void **state)
{
    struct world *world = *state;

    live(world, 20, 0, 1, 1);
    ask_only(world, 0);
    live(world, 8, 4 * SITES, 1, 1.6);
    struct flo_observe_analysis *analysis = ask(world, 4 * SITES);
    const struct flo_analysis_slices *slices = &analysis->evidence.slices;
    assert_int_equal(slices->count, 0);
    assert_int_equal(slices->changed_count, 1);
    assert_int_equal(analysis->moved[0].value, 1 + BAD);
    assert_true(slices->changed[0].has_both);
    assert_true(fabs(slices->changed[0].shift - log(1.6)) < 0.05);
    assert_int_equal(slices->device_count, DEVICES / SITES);
    for (size_t i = 0; i < slices->device_count; i++) { /* of both releases */
        assert_int_equal(slices->devices[i].row, FLO_ANALYSIS_SLICES_MAX);
        assert_true(fabs(slices->devices[i].effect - log(1.6)) < 0.1);
    }
    flo_observe_analysis_free(analysis);
}

/* The site changes between two waves: each has its own controls. */
static void a_site_that_changes_between_two_waves_is_no_culprit(void **state)
{
    struct world *world = *state;

    live(world, 20, 0, 1, 1);
    ask_only(world, 0);
    live(world, 12, 2 * SITES, 1, 1);
    ask_only(world, 2 * SITES);
    live(world, 12, 2 * SITES, 1, 1.6);
    live(world, 8, 6 * SITES, 1, 1.6);
    struct flo_observe_analysis *analysis = ask(world, 6 * SITES);
    assert_int_equal(analysis->evidence.slices.count, 0);
    flo_observe_analysis_free(analysis);
}

static void two_waves_name_a_site_together(void **state)
{
    struct world *world = *state;

    live(world, 20, 0, 1, 1);
    ask_only(world, 0);
    live(world, 12, 1 * SITES, 2, 1);
    struct flo_observe_analysis *analysis = ask(world, 1 * SITES);
    assert_int_equal(analysis->evidence.slices.count, 0); /* one device there */
    flo_observe_analysis_free(analysis);
    live(world, 8, 4 * SITES, 2, 1);
    analysis = ask(world, 4 * SITES);
    assert_bad_site(analysis, 4);
    flo_observe_analysis_free(analysis);
}

/* The last two controls of a site are few: one of them that reads faster for a
 * while makes each updated device there look slower. */
static void one_quick_control_of_two_names_no_site(void **state)
{
    struct world *world = *state;

    live(world, 18, 0, 1, 1);
    ask_only(world, 0);
    live(world, 1, DEVICES - 2 * SITES, 1, 1);
    ask_only(world, DEVICES - 2 * SITES);
    world->quick = DEVICES - SITES + BAD;
    live(world, 8, DEVICES - 2 * SITES, 1, 1);
    struct flo_observe_analysis *analysis = ask(world, DEVICES - 2 * SITES);
    assert_int_equal(analysis->evidence.slices.count, 0);
    flo_observe_analysis_free(analysis);
}

static void two_controls_name_a_site_that_is_slower(void **state)
{
    struct world *world = *state;

    live(world, 18, 0, 1, 1);
    ask_only(world, 0);
    live(world, 8, DEVICES - 2 * SITES, 2, 1);
    struct flo_observe_analysis *analysis = ask(world, DEVICES - 2 * SITES);
    assert_int_equal(analysis->evidence.slices.count, 1);
    assert_int_equal(analysis->evidence.slices.rows[0].controls, 2);
    assert_true(analysis->evidence.slices.rows[0].is_culprit);
    flo_observe_analysis_free(analysis);
}

static void a_good_release_names_no_site(void **state)
{
    struct world *world = *state;

    live(world, 20, 0, 1, 1);
    ask_only(world, 0);
    for (int i = 0; i < 24; i++) {
        live(world, 2, 4 * SITES, 1, 1);
        struct flo_observe_analysis *analysis = ask(world, 4 * SITES);
        assert_int_equal(analysis->evidence.slices.count, 0);
        flo_observe_analysis_free(analysis);
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

/* In the middle of a phase: waves stay, and so does what was read since. */
static void a_start_of_the_controller_loses_no_wave(void **state)
{
    struct world *world = *state;

    live(world, 20, 0, 1, 1);
    ask_only(world, 0);
    live(world, 6, 4 * SITES, 2, 1);
    start_again(world);
    ask_only(world, 4 * SITES);
    live(world, 2, 4 * SITES, 2, 1);
    struct flo_observe_analysis *analysis = ask(world, 4 * SITES);
    assert_bad_site(analysis, 4);
    flo_observe_analysis_free(analysis);
}

/* The second wave begins after it, with the controls of both. */
static void a_wave_after_a_start_has_its_own_controls(void **state)
{
    struct world *world = *state;

    live(world, 20, 0, 1, 1);
    ask_only(world, 0);
    live(world, 12, 2 * SITES, 1, 1);
    ask_only(world, 2 * SITES);
    start_again(world);
    ask_only(world, 2 * SITES);
    live(world, 12, 2 * SITES, 1, 1.6);
    live(world, 8, 6 * SITES, 1, 1.6);
    struct flo_observe_analysis *analysis = ask(world, 6 * SITES);
    assert_int_equal(analysis->evidence.slices.count, 0);
    flo_observe_analysis_free(analysis);
}

static uint8_t waves_kept(const struct world *world)
{
    for (size_t i = 0; i < FLO_OBSERVER_COHORTS_MAX; i++) {
        const struct flo_observer_cohort *cohort = &world->observer->cohorts[i];
        if (strcmp(cohort->name, "r-0001") == 0) {
            return cohort->kept.waves.count;
        }
    }
    return 0;
}

/* The store takes nothing for a moment: it gets the waves with the next. */
static void a_store_that_fails_once_loses_no_wave(void **state)
{
    struct world *world = *state;

    live(world, 20, 0, 1, 1);
    ask_only(world, 0);
    live(world, 1, 4 * SITES, 1, 1);
    assert_int_equal(flo_windows_begin(world->store, NULL), 0);
    flo_observer_tick(world->observer, world->now_ms); /* it has begun already */
    live(world, 2, 4 * SITES, 1, 1);
    start_again(world);
    assert_int_equal(waves_kept(world), 1);
}

/* Ten minutes after its phase: controls count from the probe's own swap on. */
static void a_probe_is_a_wave_of_its_own(void **state)
{
    struct world *world = *state;

    live(world, 20, 0, 1, 1);
    ask_only(world, 0);
    live(world, 2, SITES, 1, 1);
    ask_only(world, SITES);
    assert_int_equal(waves_kept(world), 1);
    world->probes_from = SITES;
    ask_only(world, SITES);
    live(world, 1, SITES + 3, 1, 1);
    ask_only(world, SITES + 3);
    assert_int_equal(waves_kept(world), 2);
    world->probes_from = 0; /* a device of the phase that comes late */
    live(world, 1, SITES + 4, 1, 1);
    ask_only(world, SITES + 4);
    assert_int_equal(waves_kept(world), 2);
}

static const struct flo_analysis_slice *errors_of(const struct flo_observe_analysis *analysis)
{
    const struct flo_analysis_slices *slices = &analysis->evidence.slices;

    for (uint32_t i = 0; i < slices->count; i++) {
        if (slices->rows[i].measure == FLO_MEASURE_ERRORS) {
            assert_int_equal(analysis->found[i].slice.label, 1);
            assert_int_equal(analysis->found[i].slice.value, 1 + BAD);
            return &slices->rows[i];
        }
    }
    return NULL;
}

static void errors_that_come_with_the_release_name_their_site(void **state)
{
    struct world *world = *state;
    char text[FLO_ANALYSIS_TEXT];

    live(world, 20, 0, 1, 1);
    ask_only(world, 0);
    world->failing = UPDATED;
    live(world, 4, 4 * SITES, 1, 1);
    start_again(world);
    ask_only(world, 4 * SITES);
    live(world, 4, 4 * SITES, 1, 1);
    struct flo_observe_analysis *analysis = ask(world, 4 * SITES);
    const struct flo_analysis_slice *row = errors_of(analysis);
    assert_non_null(row);
    assert_true(row->is_culprit);
    assert_int_equal(row->updated, 4);
    assert_int_equal(row->far, 4);
    assert_int_equal(row->controls, DEVICES / SITES - 4);
    flo_analysis_slice_text(row, FLO_END_HELD, text);
    assert_non_null(strstr(text, ": 4 of 4 updated devices far above their own "
                                 "past, 0 of 16 others there: held there"));
    flo_observe_analysis_free(analysis);
}

static void errors_on_devices_of_both_releases_name_no_site(void **state)
{
    struct world *world = *state;

    live(world, 20, 0, 1, 1);
    ask_only(world, 0);
    world->failing = EVERYBODY;
    live(world, 8, 4 * SITES, 1, 1);
    struct flo_observe_analysis *analysis = ask(world, 4 * SITES);
    assert_null(errors_of(analysis));
    flo_observe_analysis_free(analysis);
}

/* Their row is lost, and rows of who swapped in them are not: nothing is left
 * to compare an outage of the site with. */
static void devices_of_waves_that_were_lost_name_no_site(void **state)
{
    struct world *world = *state;

    live(world, 20, 0, 1, 1);
    ask_only(world, 0);
    live(world, 2, 4 * SITES, 1, 1);
    flo_observer_save(world->observer);
    assert_int_equal(flo_windows_observed_drop(world->store, "r-0001", NULL), 0);
    close_all(world);
    open_all(world);
    flo_observer_connected(world->observer, world->now_ms);
    assert_int_equal(waves_kept(world), 0);
    world->failing = EVERYBODY;
    ask_only(world, 4 * SITES);
    live(world, 24, 4 * SITES, 1, 1);
    live(world, 8, 6 * SITES, 1, 1);
    struct flo_observe_analysis *analysis = ask(world, 6 * SITES);
    assert_null(errors_of(analysis));
    assert_int_equal(analysis->evidence.slices.count, 0);
    flo_observe_analysis_free(analysis);
}

/* Three at a site are needed: where one or two are, more follow. */
static void errors_of_one_device_ask_for_more_at_its_site(void **state)
{
    struct world *world = *state;
    char bad[37];

    live(world, 20, 0, 1, 1);
    ask_only(world, 0);
    world->failing = UPDATED;
    live(world, 8, SITES, 1, 1);
    struct flo_observe_analysis *analysis = ask(world, SITES);
    assert_null(errors_of(analysis));
    assert_int_equal(analysis->evidence.probe_count, 1);
    assert_true(analysis->evidence.probes[0].is_count);
    id_of(BAD, bad);
    assert_string_equal(analysis->evidence.probes[0].device, bad);
    flo_observe_analysis_free(analysis);
}

/* All of the site have it: nobody there can tell. */
static void a_site_without_a_control_is_unclear(void **state)
{
    struct world *world = *state;
    char text[FLO_ANALYSIS_TEXT];

    world->all_of_bad = true;
    live(world, 20, 0, 1, 1);
    ask_only(world, 0);
    live(world, 8, 4 * SITES, 2, 1);
    struct flo_observe_analysis *analysis = ask(world, 4 * SITES);
    const struct flo_analysis_slices *slices = &analysis->evidence.slices;
    assert_int_equal(slices->count, 1);
    assert_false(slices->rows[0].is_culprit);
    assert_true(slices->rows[0].is_asked);
    flo_analysis_slice_text(&slices->rows[0], FLO_END_HELD, text);
    assert_non_null(strstr(text, " since the update, no device there runs the "
                                 "old release any more: cannot tell; held "
                                 "there, look"));
    flo_observe_analysis_free(analysis);
}

/* Its site is as it was; a shock that both have would be told there. */
static void a_pair_without_a_control_is_not_judged(void **state)
{
    struct world *world = *state;

    world->is_paired = true;
    world->all_of_bad = true;
    live(world, 20, 0, 1, 1);
    ask_only(world, 0);
    live(world, 8, 4 * SITES, 1, 2);
    struct flo_observe_analysis *analysis = ask(world, 4 * SITES);
    for (uint32_t i = 0; i < analysis->evidence.slices.count; i++) {
        assert_int_not_equal(analysis->found[i].slice.label, 2);
    }
    flo_observe_analysis_free(analysis);
}

/* ... and it became slow at another time than with the update. */
static void an_unclear_site_without_a_step_is_told_only(void **state)
{
    struct world *world = *state;

    world->all_of_bad = true;
    live(world, 20, 0, 1, 1);
    ask_only(world, 0);
    live(world, 3, 0, 1, 1);
    live(world, 12, 4 * SITES, 1, 1);
    ask_only(world, 4 * SITES);
    live(world, 60, 4 * SITES, 2, 1);
    struct flo_observe_analysis *analysis = ask(world, 4 * SITES);
    const struct flo_analysis_slices *slices = &analysis->evidence.slices;
    assert_int_equal(slices->count, 1);
    assert_false(slices->rows[0].is_culprit);
    assert_false(slices->rows[0].is_asked);
    flo_observe_analysis_free(analysis);
}

static const struct flo_statistic_arms *slow_arms(const struct flo_observe_analysis *analysis)
{
    return &analysis->evidence.segments[0].arms[FLO_MEASURE_MUCH_SLOWER];
}

/* One device in 20, at any site.  Who is updated in the second wave was a
 * control of the first, and counts there still; so it does after a start. */
static void slow_devices_stand_against_controls_of_all_waves(void **state)
{
    struct world *world = *state;

    world->one_in = 20;
    live(world, 20, 0, 1, 1);
    ask_only(world, 0);
    live(world, 10, 2 * SITES, 2, 1);
    struct flo_observe_analysis *analysis = ask(world, 2 * SITES);
    assert_true(slow_arms(analysis)->count.treated.devices < 1); /* too early */
    flo_observe_analysis_free(analysis);
    live(world, 6, 2 * SITES, 2, 1);
    ask_only(world, 2 * SITES);
    start_again(world);
    ask_only(world, 2 * SITES);
    live(world, 16, 6 * SITES, 2, 1);
    analysis = ask(world, 6 * SITES);
    const struct flo_count_arm *updated = &slow_arms(analysis)->count.treated;
    const struct flo_count_arm *controls = &slow_arms(analysis)->count.control;
    assert_int_equal(updated->devices, 6 * SITES);
    /* 6 of the bad site, and 4 of those in 20. */
    assert_int_equal(updated->events, 10);
    assert_int_equal(controls->devices, (DEVICES - 2 * SITES) + (DEVICES - 6 * SITES));
    assert_int_equal(controls->events, 0);
    flo_observe_analysis_free(analysis);
}

/* A site of two, and a class that all four have. */
static void a_site_is_held_and_no_class_that_more_have(void **state)
{
    (void)state;
    const uint16_t sites[] = {1, 1, 2, 2};
    const uint16_t classes[] = {1, 1, 1, 1};
    struct flo_slice_label labels[] = {{.values = sites}, {.values = classes}};
    struct flo_observe_analysis *analysis = flo_observe_analysis_new(4);
    const struct flo_crowd crowd = {.analysis = analysis};

    analysis->member_count = 4;
    analysis->labels = labels;
    const struct flo_analysis_slice *row =
        flo_crowd_row(&crowd, (struct flo_slice){1, 1}, (struct flo_slice){0, 2});
    assert_int_equal(row->members, 2);
    assert_int_equal(analysis->found[0].slice.label, 0);
    assert_int_equal(analysis->found[0].wider.value, 0);
    analysis->labels = NULL;
    flo_observe_analysis_free(analysis);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_release_that_is_slow_at_one_site_names_it),
        TEST(a_pair_of_labels_is_named_and_not_its_site),
        TEST(a_site_that_is_worse_as_a_whole_is_named_and_no_pair),
        TEST(slices_whose_one_device_is_far_ask_for_more),
        TEST(a_probe_is_a_wave_of_its_own),
        TEST(devices_that_swapped_before_the_first_look_are_a_wave),
        TEST(a_site_that_changed_is_no_culprit),
        TEST(a_site_that_changes_between_two_waves_is_no_culprit),
        TEST(two_waves_name_a_site_together),
        TEST(one_quick_control_of_two_names_no_site),
        TEST(two_controls_name_a_site_that_is_slower),
        TEST(a_good_release_names_no_site),
        TEST(a_start_of_the_controller_loses_no_wave),
        TEST(a_wave_after_a_start_has_its_own_controls),
        TEST(a_store_that_fails_once_loses_no_wave),
        TEST(devices_of_waves_that_were_lost_name_no_site),
        TEST(errors_that_come_with_the_release_name_their_site),
        TEST(errors_on_devices_of_both_releases_name_no_site),
        TEST(errors_of_one_device_ask_for_more_at_its_site),
        TEST(a_site_without_a_control_is_unclear),
        TEST(a_pair_without_a_control_is_not_judged),
        TEST(slow_devices_stand_against_controls_of_all_waves),
        TEST(an_unclear_site_without_a_step_is_told_only),
        TEST(a_site_is_held_and_no_class_that_more_have),
    };
#undef TEST
    return cmocka_run_group_tests(tests, NULL, NULL);
}
