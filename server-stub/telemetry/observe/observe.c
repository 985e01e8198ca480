/* Observe: takes telemetry windows, and ends blocks of time. */
#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <flotilla/metrics.h>

#include "server-stub/telemetry/observe/cohort.h"

#define SAVED_PER_TICK 2000
/* Time without a request after which an analysis is over.  While it runs, it
 * asks for evidence every few seconds. */
#define COHORT_LIFE_MS 120000
/* Largest count that a telemetry window may add, which limits a device's
 * influence on sums. */
#define COUNT_MAX 1000000

/* Marks the entries of a retired device as forgotten: they stay in memory, but
 * no longer count. */
void flo_observer_forget(struct flo_observer *observer, const char *device)
{
    size_t number = flo_ids_find(&observer->ids, device);
    struct flo_err err = {0};

    if (number == SIZE_MAX || number >= observer->first_capacity) {
        return;
    }
    for (uint32_t at = observer->first[number]; at != FLO_OBSERVER_NONE;
         at = observer->entries[at].next) {
        struct flo_observer_entry *entry = &observer->entries[at];
        free(entry->observed.readings);
        flo_observer_part(observer, entry);
        flo_observer_waves_forget(entry);
        entry->observed = (struct flo_observed){.arm = FLO_ARM_LEFT};
        entry->cohort = FLO_OBSERVER_NONE;
        /* A handed-over row must be deleted by the next leader, so it counts as
         * changed. */
        entry->is_dirty = observer->is_handed;
        entry->handed = 0;
        entry->is_forgotten = true;
        memset(entry->recent_count, 0, sizeof(entry->recent_count));
    }
    if (flo_windows_observed_drop(observer->store, device, &err) < 0) {
        flo_log_err(FLO_LOG_WARN, "telemetry", &err);
    }
}

/* ---- windows ---- */

void flo_observer_connected(struct flo_observer *observer, uint64_t now_ms)
{
    observer->connected_at_ms = now_ms;
}

/* Tells whether a telemetry window is late.  Windows that a device stored
 * during an outage arrive at shorter intervals than those at which they were
 * made.  The first window after a gap covers the gap. */
static bool is_late(const struct flo_observer *observer, struct flo_observer_entry *entry,
                    uint64_t now_ms, uint64_t window_ms)
{
    uint64_t before_ms = entry->at_ms;
    bool is_first = before_ms < observer->connected_at_ms;

    entry->at_ms = now_ms;
    if (is_first) {
        entry->is_late = true;
        return true;
    }
    entry->is_late = entry->is_late && now_ms - before_ms < window_ms / 2;
    return entry->is_late;
}

static uint32_t tag_of(const struct flo_digest *release)
{
    uint32_t tag = flo_crc32c(0, release, sizeof(*release));

    return tag != 0 ? tag : 1;
}

static uint64_t counter(const struct flo_telemetry_window *window, int metric)
{
    return window->has[metric] && window->values[metric] > 0 ? (uint64_t)window->values[metric] : 0;
}

static uint64_t events(const struct flo_telemetry_window *window, int metric)
{
    uint64_t count = counter(window, metric);

    return count < COUNT_MAX ? count : COUNT_MAX;
}

static void take(struct flo_observer *observer, struct flo_observer_entry *entry,
                 const struct flo_telemetry_window *window, bool is_after_start)
{
    uint64_t requests = events(window, FLO_METRIC_NAME_REQUESTS);
    uint64_t errors = events(window, FLO_METRIC_NAME_ERRORS);
    struct flo_observed_window in = {
        .block = observer->block,
        .release = tag_of(&window->release),
        .requests = requests > errors ? requests : errors, /* each error counts as a request, too */
        .errors = errors,
        .good = events(window, FLO_METRIC_NAME_FEEDBACK_GOOD),
        .bad = events(window, FLO_METRIC_NAME_FEEDBACK_BAD),
        .engine_ends = counter(window, FLO_METRIC_NAME_ENGINE_RESTARTS),
        .is_after_start = is_after_start,
        .golden_former = counter(window, FLO_METRIC_NAME_GOLDEN_FORMER)};
    const struct flo_observed_rollout *rollout =
        entry->cohort != FLO_OBSERVER_NONE ? &observer->cohorts[entry->cohort].rollout : NULL;

    for (int i = 0; i < FLO_READING_COUNT; i++) {
        const struct flo_reading_fact *fact = flo_reading_fact((enum flo_observed_reading)i);
        if (fact->sketch != FLO_NO_SKETCH && window->has[fact->metric]) {
            in.histograms[fact->sketch] = &window->histograms[fact->metric];
        } else if (fact->sketch == FLO_NO_SKETCH) {
            in.gauges[i - FLO_READING_ENGINE_RSS] = counter(window, fact->metric);
        }
    }
    /* In a comparison of two models on one device there are no phases, so no
     * swap is noted. */
    if (flo_observed_take(&entry->observed, &in,
                          rollout != NULL && rollout->phase > 0 ? rollout : NULL)) {
        flo_observer_swapped(observer, entry);
        flo_observer_split(observer, entry->cohort);
    }
    if (entry->since != NULL) {
        flo_since_take(entry->since, &entry->observed, &in);
    }
    if (entry->paired != NULL) {
        flo_paired_take(entry->paired, (enum flo_paired_side)entry->side, &in);
    }
    entry->is_dirty = true;
}

void flo_observer_take(struct flo_observer *observer, const char *device, const char *hardware,
                       const struct flo_telemetry_window *window, uint64_t now_ms)
{
    if (flo_digest_is_zero(&window->release) || window->model[0] == '\0') {
        return; /* telemetry of an unknown release is no evidence */
    }
    flo_observer_move(observer, now_ms);
    struct flo_observer_entry *entry = flo_observer_entry(observer, device, window->model);
    if (entry == NULL) {
        return; /* without memory for the entry, the telemetry window is dropped */
    }
    bool is_after_start = window->seq < entry->seq;
    entry->seq = window->seq;
    if (entry->class == FLO_OBSERVER_NONE ||
        strcmp(observer->classes[entry->class].hardware, hardware) != 0) {
        entry->class = flo_observer_class_of(observer, hardware, window->model);
    }
    if (!is_late(observer, entry, now_ms, window->window_ms)) {
        take(observer, entry, window, is_after_start);
    }
}

void flo_observer_split(struct flo_observer *observer, uint32_t number)
{
    struct flo_observer_cohort *cohort;

    if (number == FLO_OBSERVER_NONE || (cohort = &observer->cohorts[number])->is_split) {
        return;
    }
    cohort->is_split = true;
    for (size_t i = 0; i < observer->count; i++) {
        if (observer->entries[i].cohort == number) {
            flo_observed_split(&observer->entries[i].observed, cohort->rollout.phase,
                               observer->block);
            observer->entries[i].is_dirty = true;
        }
    }
}

/* ---- the end of a block ---- */

static struct flo_curve *curves_of(struct flo_observer *observer,
                                   const struct flo_observer_entry *entry)
{
    if (entry->cohort != FLO_OBSERVER_NONE) {
        assert(entry->observed.segment < FLO_SEGMENTS_MAX);
        return observer->cohorts[entry->cohort].curves[entry->observed.segment];
    }
    return entry->class != FLO_OBSERVER_NONE ? observer->classes[entry->class].curves : NULL;
}

/* A member with its curve, the common change of the controls with which it is
 * compared.  Members are sorted by curve, and within a curve by entry, because
 * sums must always be added in this order. */
struct placed {
    struct flo_curve *curves; /* curves of the readings to which the member belongs */
    uint32_t entry;
};

static int by_curve(const void *a, const void *b)
{
    const struct placed *one = a;
    const struct placed *other = b;

    return one->curves != other->curves
               ? (one->curves > other->curves) - (one->curves < other->curves)
               : (one->entry > other->entry) - (one->entry < other->entry);
}

static size_t place_by_curve(struct flo_observer *observer, struct placed *out)
{
    size_t count = 0;

    for (size_t i = 0; i < observer->count; i++) {
        const struct flo_observer_entry *entry = &observer->entries[i];
        struct flo_curve *curves = curves_of(observer, entry);
        if (curves != NULL && flo_observed_is_member(&entry->observed)) {
            out[count++] = (struct placed){.curves = curves, .entry = (uint32_t)i};
        }
    }
    qsort(out, count, sizeof(*out), by_curve);
    return count;
}

/* Gets the distance of a member's reading from its level.  Returns false if the
 * member has no reading in this block. */
static bool off_of(const struct flo_observed *observed, int reading, double *d)
{
    const struct flo_readings *readings = observed->readings;

    if ((readings->fresh >> reading & 1) == 0) {
        return false;
    }
    const struct flo_mean *level = flo_observed_level(observed, (enum flo_observed_reading)reading);
    if (level == NULL || level->count == 0) {
        return false;
    }
    *d = readings->y[reading] - flo_mean_of(level);
    return true;
}

/* Ends the block of time for all curves of one reading.  `numbers` has room for
 * each member twice. */
static void end_curves_of(struct flo_observer *observer, int reading, const struct placed *members,
                          size_t count, double *numbers)
{
    for (size_t at = 0; at < count;) {
        size_t used = 0;
        struct flo_curve *curves = members[at].curves;
        for (; at < count && members[at].curves == curves; at++) {
            used += off_of(&observer->entries[members[at].entry].observed, reading, &numbers[used])
                        ? 1
                        : 0;
        }
        flo_curve_end(&curves[reading], numbers, numbers + count, used);
    }
}

/* Ends the block of time for all curves.  If there is no memory, the curves
 * keep the values of the block before. */
static void end_curves(struct flo_observer *observer)
{
    struct placed *members = calloc(observer->count + 1, sizeof(*members));
    double *numbers = calloc(2 * observer->count + 1, sizeof(*numbers));

    if (members != NULL && numbers != NULL) {
        size_t count = place_by_curve(observer, members);
        for (int i = 0; i < FLO_READING_COUNT; i++) {
            end_curves_of(observer, i, members, count, numbers);
        }
    }
    free(members);
    free(numbers);
}

static void end_entry(struct flo_observer *observer, struct flo_observer_entry *entry,
                      uint32_t block)
{
    const struct flo_curve *curves = curves_of(observer, entry);
    double values[FLO_READING_COUNT] = {0};

    for (int i = 0; i < FLO_READING_COUNT && curves != NULL; i++) {
        values[i] = curves[i].value;
    }
    flo_observer_waves_read(entry, block, values);
    flo_observed_end(&entry->observed, block, values);
    /* The row of an entry may have been stored before the block ended, so it is
     * stored again. */
    entry->is_dirty = entry->is_dirty || entry->observed.heard == block;
}

static void end_block(struct flo_observer *observer)
{
    uint32_t block = observer->block;

    for (size_t i = 0; i < observer->count; i++) {
        flo_observed_read(&observer->entries[i].observed, block);
        flo_observer_pair(&observer->entries[i], block);
    }
    flo_observer_pairs_end(observer);
    end_curves(observer);
    for (size_t i = 0; i < observer->count; i++) {
        end_entry(observer, &observer->entries[i], block);
    }
    observer->closed = block;
}

/* Moves to the present block.  A block in which the controller did not run has
 * no reading.  Blocks continue from an earlier time when the clock was set
 * back. */
void flo_observer_move(struct flo_observer *observer, uint64_t now_ms)
{
    uint32_t block = (uint32_t)(now_ms / observer->block_ms % UINT32_MAX) + 1;

    if (block == observer->block) {
        return;
    }
    if (observer->block != 0) {
        end_block(observer);
    }
    observer->block = block;
}

/* ---- analyses that are over ---- */

static void free_cohort(struct flo_observer *observer, uint32_t number)
{
    for (size_t i = 0; i < observer->count; i++) {
        struct flo_observer_entry *entry = &observer->entries[i];
        if (entry->cohort == number) {
            flo_observed_release(&entry->observed);
            flo_observer_part(observer, entry);
            flo_observer_waves_forget(entry);
            entry->cohort = FLO_OBSERVER_NONE;
            entry->is_dirty = true;
        }
    }
    flo_observer_drop_waves(observer, observer->cohorts[number].name);
    observer->cohorts[number] = (struct flo_observer_cohort){0};
}

/* Releases the entries of rollouts for which no analysis asked since the
 * start. */
static void release_orphans(struct flo_observer *observer)
{
    for (size_t i = 0; i < observer->count; i++) {
        struct flo_observer_entry *entry = &observer->entries[i];
        if (entry->observed.rollout != 0 && entry->cohort == FLO_OBSERVER_NONE) {
            flo_observed_release(&entry->observed);
            flo_observer_waves_forget(entry);
            entry->is_dirty = true;
        }
    }
}

static void end_analyses(struct flo_observer *observer, uint64_t now_ms)
{
    for (uint32_t i = 0; i < FLO_OBSERVER_COHORTS_MAX; i++) {
        const struct flo_observer_cohort *cohort = &observer->cohorts[i];
        if (cohort->rollout.id != 0 && now_ms - cohort->asked_at_ms > COHORT_LIFE_MS) {
            free_cohort(observer, i);
        }
    }
    if (observer->opened_at_ms != 0 && now_ms - observer->opened_at_ms > COHORT_LIFE_MS) {
        observer->opened_at_ms = 0;
        release_orphans(observer);
    }
}

void flo_observer_tick(struct flo_observer *observer, uint64_t now_ms)
{
    flo_observer_move(observer, now_ms);
    end_analyses(observer, flo_now_ms());
    flo_observer_store(observer, SAVED_PER_TICK);
}
