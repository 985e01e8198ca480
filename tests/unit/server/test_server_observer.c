/* Observer: a fleet's windows become the evidence of an analysis, and stay so over
 * a start of the controller. */
#include <math.h>

#include <flotilla/metrics.h>

#include "server-stub/core/gate/observe/since.h"
#include "server-stub/telemetry/observe/cohort.h"
#include "unit/server/observed_world.h"

#define DEVICES 60
#define TREATED 20

/* A window of one minute; each device has a speed of its own. */
static void report(struct world *world, int device, int release_of, double times)
{
    static const int metrics[] = {FLO_METRIC_NAME_TTFT, FLO_METRIC_NAME_TOKEN};
    static const int of_batch[] = {FLO_METRIC_NAME_BATCH_TOKEN, FLO_METRIC_NAME_BATCH_TOKEN};
    bool is_batch = world->batch_from > 0 && device >= world->batch_from;
    struct flo_telemetry_window window = {.seq = ++world->seq,
                                          .window_ms = 60000,
                                          .model = "tiny",
                                          .release = release(release_of),
                                          .histograms = world->histograms};
    double us = (100000 + 1000 * device) * world->load * times;
    char id[37];

    for (size_t i = 0; i < FLO_COUNT(metrics); i++) {
        int metric = is_batch ? of_batch[i] : metrics[i];
        memset(&world->histograms[metric], 0, sizeof(*world->histograms));
        for (int k = 0; k < 30; k++) {
            flo_histogram_add(&world->histograms[metric], (uint64_t)(us * (1 + 0.01 * k)));
        }
        window.has[metric] = true;
    }
    window.has[FLO_METRIC_NAME_REQUESTS] = true;
    window.values[FLO_METRIC_NAME_REQUESTS] = 30;
    if (device < world->crashing) {
        window.has[FLO_METRIC_NAME_ENGINE_RESTARTS] = true;
        window.values[FLO_METRIC_NAME_ENGINE_RESTARTS] = 1;
    }
    id_of(device, id);
    flo_observer_take(world->observer, id, "x86_64 avx2 4g", &window, world->now_ms);
}

/* Blocks in which every device reports each minute; those below `updated` run
 * release `new`, `times` slower; the others run `old`. */
static void live_with(struct world *world, int blocks, int updated, int new, double times, int old)
{
    for (int i = 0; i < 5 * blocks; i++) {
        world->now_ms += 60000;
        flo_observer_tick(world->observer, world->now_ms);
        for (int d = 0; d < DEVICES; d++) {
            report(world, d, d < updated ? new : old, d < updated ? times : 1);
        }
    }
}

static void live(struct world *world, int blocks, int updated, double times)
{
    live_with(world, blocks, updated, 2, times, 1);
}

static struct flo_observe_analysis *ask_in(struct world *world, const char *rollout, int of,
                                           uint32_t phase, int swapped)
{
    struct flo_observe_analysis *analysis = flo_observe_analysis_new(DEVICES);

    snprintf(analysis->rollout, sizeof(analysis->rollout), "%s", rollout);
    snprintf(analysis->model, sizeof(analysis->model), "tiny");
    analysis->release = release(of);
    analysis->phase = phase;
    analysis->heartbeat_ms = 60000;
    analysis->evidence.segment_count = 1;
    analysis->member_count = DEVICES;
    for (int d = 0; d < DEVICES; d++) {
        id_of(d, analysis->members[d].device);
        analysis->members[d].way = d < swapped ? FLO_MEMBER_SWAPPED : FLO_MEMBER_WAITS;
        analysis->members[d].site = world->sites > 0 && d >= swapped
                                        ? (uint32_t)(d % world->sites) + 2
                                        : (uint32_t)world->sites / 10;
    }
    assert_int_equal(flo_observer_analysis(world->observer, analysis, world->now_ms, NULL), 0);
    return analysis;
}

static struct flo_observe_analysis *ask_of(struct world *world, const char *rollout, int of,
                                           int swapped)
{
    return ask_in(world, rollout, of, 0, swapped);
}

static struct flo_observe_analysis *ask(struct world *world, int swapped)
{
    return ask_of(world, "r-0001", 2, swapped);
}

static void ask_only_of(struct world *world, const char *rollout, int of, int swapped)
{
    flo_observe_analysis_free(ask_of(world, rollout, of, swapped));
}

static void ask_only(struct world *world, int swapped)
{
    flo_observe_analysis_free(ask(world, swapped));
}

static const struct flo_ratio_segment *p95_of(const struct flo_observe_analysis *analysis)
{
    return &analysis->evidence.segments[0].arms[FLO_MEASURE_TTFT_P95].ratio;
}

/* The analysis sees this change on all updated devices. */
static void assert_found(struct flo_observe_analysis *analysis, double times)
{
    const struct flo_ratio_segment *p95 = p95_of(analysis);

    assert_true(analysis->is_new);
    assert_int_equal(p95->treated.devices, TREATED);
    assert_int_equal(p95->control.devices, DEVICES - TREATED);
    assert_true(fabs(p95->treated.mean - p95->control.mean - log(times)) < 0.02);
    flo_observe_analysis_free(analysis);
}

static void a_slower_release_is_seen_against_the_controls(void **state)
{
    struct world *world = *state;

    live(world, 20, 0, 1);
    ask_only(world, 0);
    live(world, 6, TREATED, 1.2);
    assert_found(ask(world, TREATED), 1.2);
}

/* Twelve batch clients on each device: nobody waits, and nothing is waited
 * for. */
static void batch_requests_are_compared_by_their_throughput(void **state)
{
    struct world *world = *state;

    world->batch_from = 1;
    live(world, 20, 0, 1);
    ask_only(world, 0);
    live(world, 6, TREATED, 1.2);
    struct flo_observe_analysis *analysis = ask(world, TREATED);
    const struct flo_analysis_evidence *evidence = &analysis->evidence;
    const struct flo_ratio_segment *batch =
        &evidence->segments[0].arms[FLO_MEASURE_BATCH_TOKEN].ratio;
    assert_int_equal(batch->treated.devices, TREATED - 1);
    assert_int_equal(batch->control.devices, DEVICES - TREATED);
    assert_true(fabs(batch->treated.mean - batch->control.mean - log(1.2)) < 0.02);
    assert_int_equal(evidence->readers[FLO_MEASURE_BATCH_TOKEN], DEVICES - 1);
    assert_int_equal(evidence->readers[FLO_MEASURE_TTFT_P95], 1);
    assert_int_equal(p95_of(analysis)->control.devices, 0);
    flo_observe_analysis_free(analysis);
}

/* An agent before the metric tells batch requests in its latencies.  It is
 * compared with agents that do the same: by itself, before and after. */
static void agents_of_both_ages_are_compared_in_one_rollout(void **state)
{
    struct world *world = *state;

    world->batch_from = DEVICES / 2;
    live(world, 20, 0, 1);
    ask_only(world, 0);
    live(world, 6, TREATED, 1.2);
    struct flo_observe_analysis *analysis = ask(world, TREATED);
    const struct flo_analysis_evidence *evidence = &analysis->evidence;
    assert_int_equal(p95_of(analysis)->treated.devices, TREATED);
    assert_int_equal(p95_of(analysis)->control.devices, DEVICES / 2 - TREATED);
    assert_int_equal(evidence->readers[FLO_MEASURE_TTFT_P95], DEVICES / 2);
    assert_int_equal(evidence->readers[FLO_MEASURE_BATCH_TOKEN], DEVICES / 2);
    flo_observe_analysis_free(analysis);
}

/* Four times as slow is told as four times, whatever the test clips. */
static void a_large_effect_is_told_as_it_is(void **state)
{
    struct world *world = *state;

    live(world, 20, 0, 1);
    ask_only(world, 0);
    live(world, 8, TREATED, 4);
    struct flo_observe_analysis *analysis = ask(world, TREATED);
    const struct flo_told *told = &analysis->evidence.told[FLO_MEASURE_TTFT_P50].effect;
    assert_true(told->has_effect && told->has_interval);
    assert_int_equal(told->updated, TREATED);
    assert_int_equal(told->above_half, TREATED);
    assert_true(fabs(told->effect - log(4)) < 0.02);
    assert_true(told->low <= told->effect && told->effect <= told->high);
    flo_observe_analysis_free(analysis);
}

/* Two of twenty crash half an hour after their swap. */
static void early_crashes_are_counted_against_the_own_past(void **state)
{
    struct world *world = *state;

    live(world, 20, 0, 1);
    ask_only(world, 0);
    live(world, 6, TREATED, 1);
    world->crashing = 2;
    live(world, 1, TREATED, 1);
    world->crashing = 0;
    live(world, 1, TREATED, 1);
    struct flo_observe_analysis *analysis = ask(world, TREATED);
    const struct flo_analysis_crash *crash = &analysis->evidence.crash;
    assert_true(fabs(crash->treated.devices - 2) < 1e-9);
    assert_true(fabs(crash->control.devices) < 1e-9);
    assert_true(crash->treated.expected > 0 && crash->treated.expected < 0.01);
    assert_true(crash->control.expected > crash->treated.expected);
    assert_true(fabs(crash->first_devices) < 1e-9); /* not before */
    flo_observe_analysis_free(analysis);
}

/* One device crashes each hour, and always did; a control did so once. */
static void a_device_that_crashes_on_and_on_counts_once(void **state)
{
    struct world *world = *state;

    world->crashing = 1;
    live(world, 100, 0, 1);
    ask_only(world, 0);
    live(world, 6, TREATED, 1);
    world->crashing = TREATED + 1;
    live(world, 1, TREATED, 1);
    struct flo_observe_analysis *analysis = ask(world, TREATED);
    const struct flo_analysis_crash *crash = &analysis->evidence.crash;
    assert_true(fabs(crash->past.devices - 8) < 1e-9);
    assert_true(fabs(crash->first_devices - 2) < 1e-9);
    assert_true(crash->first_hours > 8 * (DEVICES - 1));
    flo_observe_analysis_free(analysis);
}

static void updated_devices_of_one_site_are_no_comparison(void **state)
{
    struct world *world = *state;

    world->sites = 10;
    live(world, 20, 0, 1);
    ask_only(world, 0);
    live(world, 6, TREATED, 1.2);
    struct flo_observe_analysis *analysis = ask(world, TREATED);
    assert_int_equal(analysis->evidence.few_sites, 1);
    assert_int_equal(p95_of(analysis)->treated.devices, 0);
    assert_int_equal(p95_of(analysis)->control.devices, 0);
    flo_observe_analysis_free(analysis);
}

static void load_on_the_whole_fleet_is_no_change(void **state)
{
    struct world *world = *state;

    live(world, 20, 0, 1);
    ask_only(world, 0);
    live(world, 3, TREATED, 1);
    world->load = 1.15;
    live(world, 4, TREATED, 1);
    assert_found(ask(world, TREATED), 1);
}

static void a_start_of_the_controller_loses_no_evidence(void **state)
{
    struct world *world = *state;

    live(world, 20, 0, 1);
    ask_only(world, 0);
    live(world, 4, TREATED, 1.2);
    ask_only(world, TREATED);
    flo_observer_save(world->observer);
    close_all(world);
    world->now_ms += BLOCK_MS; /* it was away */
    open_all(world);
    flo_observer_connected(world->observer, world->now_ms);
    ask_only(world, TREATED);
    live(world, 3, TREATED, 1.2);
    assert_found(ask(world, TREATED), 1.2);
}

static void assert_wave(const struct flo_observe_analysis *analysis, int updated, int controls,
                        double times)
{
    const struct flo_pooled_sums *wave = &analysis->evidence.wave[FLO_READING_TTFT_P95];

    assert_true(analysis->is_new);
    assert_true(fabs(wave->updated - updated) < 1e-9);
    assert_true(fabs(wave->controls - controls) < 1e-9);
    assert_true(fabs(wave->change / updated - log(times)) < 0.02);
}

/* Five minutes of the second phase: those of the first stay slow. */
static void live_second(struct world *world)
{
    for (int minute = 0; minute < 5; minute++) {
        world->now_ms += 60000;
        flo_observer_tick(world->observer, world->now_ms);
        for (int d = 0; d < DEVICES; d++) {
            report(world, d, d < TREATED + 10 ? 2 : 1, d < TREATED ? 1.3 : 1);
        }
    }
}

static struct flo_observe_analysis *ask_second(struct world *world, int swapped)
{
    return ask_in(world, "r-0001", 2, 1, swapped);
}

/* Twenty devices swap in the first phase and are a third slower.  Ten swap in
 * the second, and are not; a start of the controller comes in between. */
static void a_wave_has_the_devices_and_controls_of_its_phase(void **state)
{
    struct world *world = *state;

    live(world, 20, 0, 1);
    ask_only(world, 0);
    live(world, 6, TREATED, 1.3);
    struct flo_observe_analysis *analysis = ask(world, TREATED);
    assert_wave(analysis, TREATED, DEVICES - TREATED, 1.3);
    flo_observe_analysis_free(analysis);
    live(world, 1, TREATED, 1.3);
    analysis = ask_second(world, TREATED); /* nobody swapped yet */
    assert_true(fabs(analysis->evidence.wave[FLO_READING_TTFT_P95].updated) < 1e-9);
    flo_observe_analysis_free(analysis);
    for (int i = 0; i < 7; i++) {
        live_second(world);
        flo_observe_analysis_free(ask_second(world, TREATED + 10));
        if (i == 3) {
            flo_observer_save(world->observer);
            close_all(world);
            open_all(world);
            flo_observer_connected(world->observer, world->now_ms);
            flo_observe_analysis_free(ask_second(world, TREATED + 10));
        }
    }
    world->now_ms += BLOCK_MS;
    analysis = ask_second(world, TREATED + 10);
    assert_wave(analysis, 10, DEVICES - TREATED - 10, 1);
    assert_int_equal(p95_of(analysis)->treated.devices, TREATED + 10);
    flo_observe_analysis_free(analysis);
}

/* Rows on their way to another controller. */
struct rows {
    struct row {
        char device[37], model[FLO_NAME_MAX + 1];
        uint8_t data[FLO_KEPT_BYTES_MAX];
        size_t bytes;
    } items[DEVICES + 2];
    size_t count;
};

static void keep_row(void *context, const char *device, const char *model, const void *data,
                     size_t bytes)
{
    struct rows *rows = context;
    struct row *row = &rows->items[rows->count++];

    snprintf(row->device, sizeof(row->device), "%s", device);
    snprintf(row->model, sizeof(row->model), "%s", model);
    memcpy(row->data, data, bytes);
    row->bytes = bytes;
}

static struct rows *give(struct world *world, size_t most, bool is_last)
{
    struct rows *rows = calloc(1, sizeof(*rows));

    size_t given = flo_observer_give(world->observer, most, is_last, keep_row, rows);

    assert_int_equal(given, rows->count);
    return rows;
}

static void assert_gives(struct world *world, size_t most, bool is_last, size_t count)
{
    struct rows *rows = give(world, most, is_last);

    assert_int_equal(rows->count, count);
    free(rows);
}

/* ... which has an older past of its own. */
static void another_controller_goes_on_with_what_was_handed_on(void **state)
{
    struct world *world = *state;

    flo_observer_hand_on(world->observer, true);
    live(world, 20, 0, 1);
    ask_only(world, 0);
    live(world, 4, TREATED, 1.2);
    ask_only(world, TREATED);
    struct rows *rows = give(world, SIZE_MAX, true);
    assert_int_equal(rows->count, 1 + DEVICES);
    assert_string_equal(rows->items[0].device, "r-0001");
    close_all(world);
    world->now_ms += BLOCK_MS;
    open_all(world);
    live_with(world, 2, 0, 1, 9, 1);
    flo_observer_empty(world->observer);
    for (size_t i = 0; i < rows->count; i++) {
        struct row *row = &rows->items[i];
        assert_int_equal(
            flo_observer_take_over(world->observer, row->device, row->model, row->data, row->bytes),
            0);
    }
    free(rows);
    flo_observer_hand_on(world->observer, false);
    assert_gives(world, SIZE_MAX, true, 0);
    flo_observer_connected(world->observer, world->now_ms);
    ask_only(world, TREATED);
    live(world, 3, TREATED, 1.2);
    assert_found(ask(world, TREATED), 1.2);
}

static void a_row_is_handed_on_once_a_block(void **state)
{
    struct world *world = *state;

    live(world, 1, 0, 1);
    flo_observer_hand_on(world->observer, true);
    assert_gives(world, DEVICES - 1, false, DEVICES - 1);
    for (int d = 0; d < DEVICES; d++) {
        report(world, d, 1, 1);
    }
    assert_gives(world, SIZE_MAX, false, 1);
    assert_gives(world, SIZE_MAX, true, DEVICES - 1);
    live(world, 1, 0, 1);
    assert_gives(world, SIZE_MAX, false, DEVICES);
    assert_gives(world, SIZE_MAX, false, 0);
}

/* It was given while the block was open, without the block's reading. */
static void a_row_goes_once_more_when_its_block_ended(void **state)
{
    struct world *world = *state;

    flo_observer_hand_on(world->observer, true);
    live(world, 1, 0, 1);
    for (int d = 0; d < DEVICES; d++) {
        report(world, d, 1, 1);
    }
    assert_gives(world, SIZE_MAX, false, DEVICES);
    assert_gives(world, SIZE_MAX, false, 0);
    world->now_ms += BLOCK_MS;
    flo_observer_tick(world->observer, world->now_ms);
    assert_gives(world, SIZE_MAX, false, DEVICES);
    world->now_ms += BLOCK_MS;
    flo_observer_tick(world->observer, world->now_ms);
    assert_gives(world, SIZE_MAX, false, 0);
}

static void the_row_of_a_retired_device_goes(void **state)
{
    struct world *world = *state;
    char id[37];

    flo_observer_hand_on(world->observer, true);
    live(world, 1, 0, 1);
    assert_gives(world, SIZE_MAX, true, DEVICES);
    id_of(0, id);
    flo_observer_forget(world->observer, id);
    struct rows *rows = give(world, SIZE_MAX, false);
    assert_int_equal(rows->count, 1);
    assert_string_equal(rows->items[0].device, id);
    assert_int_equal(rows->items[0].bytes, 0);
    free(rows);
}

static void without_its_past_a_device_is_not_compared(void **state)
{
    struct world *world = *state;

    live(world, 20, 0, 1);
    ask_only(world, 0);
    live(world, 4, TREATED, 1.2);
    close_all(world); /* nothing was saved since the last tick: */
    char path[128];
    snprintf(path, sizeof(path), "%s/telemetry.db", world->dir);
    assert_int_equal(unlink(path), 0); /* ... and the file is lost */
    open_all(world);
    live(world, 6, TREATED, 1.2);
    struct flo_observe_analysis *analysis = ask(world, TREATED);
    live(world, 14, TREATED, 1.2);
    flo_observe_analysis_free(analysis);
    analysis = ask(world, TREATED);
    assert_true(analysis->is_new);
    assert_int_equal(p95_of(analysis)->treated.devices, 0);
    flo_observe_analysis_free(analysis);
}

/* Windows that devices kept while nobody listened are no readings. */
static void a_gap_of_ours_is_no_evidence(void **state)
{
    struct world *world = *state;

    live(world, 20, 0, 1);
    ask_only(world, 0);
    live(world, 5, TREATED, 1);
    world->now_ms += 12 * BLOCK_MS;
    flo_observer_connected(world->observer, world->now_ms);
    for (int i = 0; i < 60; i++) { /* an hour of windows at once, all slow */
        for (int d = 0; d < DEVICES; d++) {
            report(world, d, d < TREATED ? 2 : 1, d < TREATED ? 9 : 1);
        }
    }
    live(world, 2, TREATED, 1);
    assert_found(ask(world, TREATED), 1);
}

static void a_block_is_judged_once(void **state)
{
    struct world *world = *state;

    live(world, 20, 0, 1);
    struct flo_observe_analysis *analysis = ask(world, 0);
    uint32_t block = analysis->evidence.block;
    assert_true(analysis->is_new);
    flo_observe_analysis_free(analysis);
    analysis = flo_observe_analysis_new(1);
    snprintf(analysis->rollout, sizeof(analysis->rollout), "r-0001");
    snprintf(analysis->model, sizeof(analysis->model), "tiny");
    analysis->release = release(2);
    analysis->block = block;
    analysis->evidence.segment_count = 1;
    assert_int_equal(flo_observer_analysis(world->observer, analysis, world->now_ms, NULL), 0);
    assert_false(analysis->is_new);
    flo_observe_analysis_free(analysis);
}

static void a_retired_device_leaves_both_arms(void **state)
{
    struct world *world = *state;
    char id[37];

    live(world, 20, 0, 1);
    ask_only(world, 0);
    live(world, 6, TREATED, 1.2);
    id_of(0, id);
    flo_observer_forget(world->observer, id);
    struct flo_observe_analysis *analysis = ask(world, TREATED);
    assert_int_equal(p95_of(analysis)->treated.devices, TREATED - 1);
    flo_observe_analysis_free(analysis);
}

/* The same id comes back: it is compared again. */
static void a_device_that_is_enrolled_again_is_compared_again(void **state)
{
    struct world *world = *state;
    char id[37];

    live(world, 4, 0, 1);
    id_of(0, id);
    flo_observer_forget(world->observer, id);
    live(world, 20, 0, 1);
    ask_only(world, 0);
    live(world, 6, TREATED, 1.2);
    assert_found(ask(world, TREATED), 1.2);
}

/* It says so in each report. */
static void a_device_with_ever_new_hardware_takes_no_memory(void **state)
{
    struct world *world = *state;
    struct flo_telemetry_window window = {
        .model = "tiny", .release = release(1), .histograms = world->histograms};
    char hardware[FLO_HARDWARE_TEXT];
    char id[37];

    id_of(DEVICES, id);
    live(world, 1, 0, 1);
    for (int i = 0; i < 3 * FLO_OBSERVER_CLASSES_MAX; i++) {
        window.seq = ++world->seq;
        snprintf(hardware, sizeof(hardware), "hw-%d", i);
        flo_observer_take(world->observer, id, hardware, &window, world->now_ms);
    }
    assert_true(world->observer->class_count <= FLO_OBSERVER_CLASSES_MAX);
    struct flo_observer_entry *entry = flo_observer_find(world->observer, id, "tiny");
    assert_string_equal(world->observer->classes[entry->class].hardware, hardware);
}

/* A standby two days behind takes the lead, or the clock is set right.  Release
 * 3 is compared with release 1, which all had before release 2. */
static void a_clock_that_is_set_back_loses_no_past(void **state)
{
    struct world *world = *state;

    live(world, 20, 0, 1);
    live_with(world, 6, DEVICES, 2, 1.1, 1);
    world->now_ms -= UINT64_C(2) * 86400 * 1000;
    live_with(world, 1, 0, 3, 1, 2);
    ask_only_of(world, "r-0003", 3, 0);
    live_with(world, 6, TREATED, 3, 2.2, 2);
    struct flo_observe_analysis *analysis = ask_of(world, "r-0003", 3, TREATED);
    const struct flo_ratio_segment *older =
        &analysis->evidence.segments[0].arms[FLO_MEASURE_TTFT_P50].older;
    assert_int_equal(older->treated.devices, TREATED);
    assert_int_equal(older->control.devices, DEVICES - TREATED);
    flo_observe_analysis_free(analysis);
}

static void a_clock_that_is_set_back_after_the_swap_hides_nothing(void **state)
{
    struct world *world = *state;

    live(world, 20, 0, 1);
    ask_only(world, 0);
    live(world, 1, TREATED, 1.2);
    ask_only(world, TREATED);
    world->now_ms -= UINT64_C(2) * 86400 * 1000;
    live(world, 8, TREATED, 1.2);
    assert_found(ask(world, TREATED), 1.2);
}

/* ---- soon after another release ---- */

static const struct flo_analysis_above *above_of(const struct flo_observe_analysis *s)
{
    return &s->evidence.segments[0].above[FLO_MEASURE_TTFT_P50];
}

/* The whole fleet moved to release 2 half an hour ago; release 3 is twice as
 * slow.  Twenty minutes after the swap it is seen. */
static void a_hotfix_is_judged_in_twenty_minutes(void **state)
{
    struct world *world = *state;

    live(world, 20, 0, 1);
    live_with(world, 6, DEVICES, 2, 1.1, 1);
    ask_only_of(world, "r-0003", 3, 0);
    live_with(world, 1, 0, 3, 1, 2);
    ask_only_of(world, "r-0003", 3, 0);
    live_with(world, 4, TREATED, 3, 2.2, 2);
    struct flo_observe_analysis *analysis = ask_of(world, "r-0003", 3, TREATED);
    live_with(world, 1, TREATED, 3, 2.2, 2);
    flo_observe_analysis_free(analysis);
    analysis = ask_of(world, "r-0003", 3, TREATED);

    const struct flo_ratio_segment *older =
        &analysis->evidence.segments[0].arms[FLO_MEASURE_TTFT_P50].older;
    assert_int_equal(older->treated.devices, TREATED);
    assert_int_equal(older->control.devices, DEVICES - TREATED);
    assert_int_equal(flo_plain_judge(&above_of(analysis)->treated, &above_of(analysis)->control),
                     FLO_PLAIN_FAIL);
    flo_observe_analysis_free(analysis);
}

/* No release before it: nothing but the plain rule knows. */
static void a_first_release_that_is_young_is_judged(void **state)
{
    struct world *world = *state;

    live_with(world, 4, 0, 3, 1, 2);
    ask_only_of(world, "r-0003", 3, 0);
    live_with(world, 5, TREATED, 3, 2, 2);
    struct flo_observe_analysis *analysis = ask_of(world, "r-0003", 3, TREATED);
    assert_int_equal(flo_plain_judge(&above_of(analysis)->treated, &above_of(analysis)->control),
                     FLO_PLAIN_FAIL);
    flo_observe_analysis_free(analysis);
}

/* The swap is that quick: release 2 was twice as slow and went back, release 3
 * is as release 1 was. */
static struct flo_observe_analysis *after_a_recall(struct world *world, double times)
{
    live(world, 20, 0, 1);
    ask_only(world, 0);
    live(world, 6, TREATED, 2);
    ask_only(world, TREATED);
    /* It goes back, and the next one begins a minute later. */
    world->now_ms += 60000;
    flo_observer_tick(world->observer, world->now_ms);
    for (int d = 0; d < DEVICES; d++) {
        report(world, d, 1, 1);
    }
    ask_only_of(world, "r-0002", 3, 0);
    live_with(world, 8, TREATED, 3, times, 1);
    return ask_of(world, "r-0002", 3, TREATED);
}

static void assert_change(const struct flo_observe_analysis *analysis, double times)
{
    const struct flo_ratio_segment *p50 =
        &analysis->evidence.segments[0].arms[FLO_MEASURE_TTFT_P50].ratio;

    assert_int_equal(p50->treated.devices, TREATED);
    assert_int_equal(p50->control.devices, DEVICES - TREATED);
    assert_true(fabs(p50->treated.mean - p50->control.mean - log(times)) < 0.02);
}

static void a_good_release_after_a_recall_is_good(void **state)
{
    struct flo_observe_analysis *analysis = after_a_recall(*state, 1);

    assert_change(analysis, 1);
    flo_observe_analysis_free(analysis);
}

static void a_slow_release_after_a_recall_is_slow(void **state)
{
    struct flo_observe_analysis *analysis = after_a_recall(*state, 1.2);

    assert_change(analysis, 1.2);
    flo_observe_analysis_free(analysis);
}

/* Devices go back while the next rollout is looked at already. */
static void devices_that_go_back_late_are_compared_too(void **state)
{
    struct world *world = *state;

    live(world, 20, 0, 1);
    ask_only(world, 0);
    live(world, 6, TREATED, 2);
    ask_only(world, TREATED);
    ask_only_of(world, "r-0002", 3, 0);
    live_with(world, 1, 0, 3, 1, 1);
    ask_only_of(world, "r-0002", 3, 0);
    live_with(world, 8, TREATED, 3, 1.2, 1);
    struct flo_observe_analysis *analysis = ask_of(world, "r-0002", 3, TREATED);
    assert_change(analysis, 1.2);
    flo_observe_analysis_free(analysis);
}

/* The first look comes late: half an hour after the devices swapped. */
static void a_late_look_loses_no_past(void **state)
{
    struct world *world = *state;

    live(world, 20, 0, 1);
    live(world, 6, TREATED, 1.2);
    ask_only(world, TREATED);
    live(world, 6, TREATED, 1.2);
    struct flo_observe_analysis *analysis = ask(world, TREATED);
    assert_change(analysis, 1.2);
    flo_observe_analysis_free(analysis);
}

static struct flo_observe_bases *bases_of(struct world *world)
{
    struct flo_observe_bases *bases = flo_observe_bases_new(DEVICES + 1);

    snprintf(bases->model, sizeof(bases->model), "tiny");
    for (int d = 0; d <= DEVICES; d++) { /* nobody heard of the last one */
        id_of(d, bases->items[d].device);
    }
    flo_observer_bases(world->observer, bases, world->now_ms);
    return bases;
}

static enum flo_base kind_in(const struct flo_observe_bases *bases, int device, uint32_t block)
{
    return flo_base_in(&bases->items[device].base, FLO_READING_TTFT_P95, block);
}

/* As a rollout's plan asks before it begins. */
static void a_young_release_can_be_compared_soon(void **state)
{
    struct world *world = *state;

    live(world, 2, 0, 1);
    struct flo_observe_bases *bases = bases_of(world);
    const struct flo_observed_base *first = &bases->items[0].base;
    uint32_t from = first->from[FLO_READING_TTFT_P95];
    assert_int_equal(kind_in(bases, 0, bases->block), FLO_BASE_LATER);
    assert_true(from > bases->block && from <= bases->block + 2);
    assert_int_equal(kind_in(bases, 0, from), FLO_BASE_THIN);
    assert_int_equal(kind_in(bases, 0, from + 9), FLO_BASE_OWN);
    assert_int_equal(kind_in(bases, DEVICES, from + 99), FLO_BASE_NONE);
    assert_true(bases->past.requests > 0 && bases->past.blocks > 0);
    flo_observe_bases_free(bases);

    /* It can, once that block begins. */
    live(world, 2, 0, 1);
    bases = bases_of(world);
    assert_true(bases->block >= from);
    assert_int_equal(kind_in(bases, 0, bases->block), FLO_BASE_THIN);
    flo_observe_bases_free(bases);

    live(world, 10, 0, 1);
    bases = bases_of(world);
    assert_int_equal(kind_in(bases, 0, bases->block), FLO_BASE_OWN);
    flo_observe_bases_free(bases);

    /* A hotfix has the release before it to stand on. */
    live(world, 1, DEVICES, 1);
    bases = bases_of(world);
    assert_int_equal(kind_in(bases, 0, bases->block), FLO_BASE_OLDER);
    flo_observe_bases_free(bases);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_slower_release_is_seen_against_the_controls),
        TEST(batch_requests_are_compared_by_their_throughput),
        TEST(agents_of_both_ages_are_compared_in_one_rollout),
        TEST(a_young_release_can_be_compared_soon),
        TEST(a_large_effect_is_told_as_it_is),
        TEST(early_crashes_are_counted_against_the_own_past),
        TEST(a_device_that_crashes_on_and_on_counts_once),
        TEST(updated_devices_of_one_site_are_no_comparison),
        TEST(load_on_the_whole_fleet_is_no_change),
        TEST(a_start_of_the_controller_loses_no_evidence),
        TEST(a_wave_has_the_devices_and_controls_of_its_phase),
        TEST(another_controller_goes_on_with_what_was_handed_on),
        TEST(a_row_is_handed_on_once_a_block),
        TEST(a_row_goes_once_more_when_its_block_ended),
        TEST(the_row_of_a_retired_device_goes),
        TEST(without_its_past_a_device_is_not_compared),
        TEST(a_gap_of_ours_is_no_evidence),
        TEST(a_block_is_judged_once),
        TEST(a_retired_device_leaves_both_arms),
        TEST(a_device_that_is_enrolled_again_is_compared_again),
        TEST(a_device_with_ever_new_hardware_takes_no_memory),
        TEST(a_clock_that_is_set_back_loses_no_past),
        TEST(a_clock_that_is_set_back_after_the_swap_hides_nothing),
        TEST(a_hotfix_is_judged_in_twenty_minutes),
        TEST(a_first_release_that_is_young_is_judged),
        TEST(a_good_release_after_a_recall_is_good),
        TEST(a_slow_release_after_a_recall_is_slow),
        TEST(devices_that_go_back_late_are_compared_too),
        TEST(a_late_look_loses_no_past),
    };
#undef TEST
    return cmocka_run_group_tests(tests, NULL, NULL);
}
