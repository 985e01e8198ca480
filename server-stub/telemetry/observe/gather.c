/* Observe: places the members of a rollout in arms, and sums evidence for its
 * analysis. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "server-stub/core/gate/statistics/robust.h"
#include "server-stub/core/gate/statistics/sites.h"
#include "server-stub/telemetry/observe/cohort.h"

#define COVERAGE_BLOCKS_MIN 6 /* half an hour */
#define STRATA_MAX 8
#define RATE_MIN 1e-6 /* rate of crashes an hour that is assumed when no device had one */

struct flo_observe_analysis *flo_observe_analysis_new(size_t members)
{
    struct flo_observe_analysis *analysis = calloc(1, sizeof(*analysis));

    if (analysis == NULL) {
        return NULL;
    }
    analysis->members = calloc(members + 1, sizeof(*analysis->members));
    if (analysis->members == NULL) {
        free(analysis);
        return NULL;
    }
    return analysis;
}

void flo_observe_analysis_free(struct flo_observe_analysis *analysis)
{
    if (analysis != NULL) {
        free(analysis->members);
        free(analysis->labels);
        free(analysis->values);
        free(analysis->listed);
        free(analysis);
    }
}

/* ---- placing ---- */

static uint32_t tag_of(const void *data, size_t bytes)
{
    uint32_t tag = flo_crc32c(0, data, bytes);

    return tag != 0 ? tag : 1;
}

static uint32_t cohort_of(struct flo_observer *observer,
                          const struct flo_observe_analysis *analysis)
{
    uint32_t id = flo_observer_rollout_id(analysis->rollout);
    uint32_t release = tag_of(&analysis->release, sizeof(analysis->release));
    uint32_t free_place = FLO_OBSERVER_NONE;

    for (uint32_t i = 0; i < FLO_OBSERVER_COHORTS_MAX; i++) {
        if (observer->cohorts[i].rollout.id == id) {
            observer->cohorts[i].rollout.release = release;
            return i;
        }
        if (observer->cohorts[i].rollout.id == 0 && free_place == FLO_OBSERVER_NONE) {
            free_place = i;
        }
    }
    if (free_place != FLO_OBSERVER_NONE) {
        struct flo_observer_cohort *cohort = &observer->cohorts[free_place];
        cohort->rollout = (struct flo_observed_rollout){.id = id, .release = release};
        snprintf(cohort->name, sizeof(cohort->name), "%s", analysis->rollout);
    }
    return free_place;
}

/* Tells whether the comparison of this phase's controls had begun before the
 * controller started, as stored. */
static bool was_split(const struct flo_observer *observer, uint32_t number, uint8_t phase)
{
    for (size_t i = 0; i < observer->count; i++) {
        const struct flo_observer_entry *entry = &observer->entries[i];
        if (entry->cohort == number && entry->observed.phase == phase &&
            entry->observed.arm == FLO_ARM_CONTROL) {
            return true;
        }
    }
    return false;
}

/* Begins waves for the devices that swap now.  Called when all controls of the
 * rollout are known, because a wave stores what each control had measured
 * before. */
static void begin_waves(struct flo_observer *observer, uint32_t number)
{
    for (size_t i = 0; i < observer->count; i++) {
        struct flo_observer_entry *entry = &observer->entries[i];
        if (entry->cohort == number && entry->is_swapping) {
            entry->is_swapping = false;
            flo_observer_swapped(observer, entry);
        }
    }
}

static void place_members(struct flo_observer *observer,
                          const struct flo_observe_analysis *analysis, uint32_t number)
{
    struct flo_observer_cohort *cohort = &observer->cohorts[number];
    uint8_t phase = (uint8_t)(analysis->phase + 1);
    bool is_new_phase = cohort->rollout.phase != phase;
    bool swaps = false;

    cohort->rollout.phase = phase;
    cohort->rollout.leak_from = analysis->leak_from;
    for (size_t i = 0; i < analysis->member_count; i++) {
        struct flo_observe_member *member = &analysis->members[i];
        struct flo_observer_entry *entry =
            flo_observer_find(observer, member->device, analysis->model);
        member->entry = entry != NULL ? (uint32_t)(entry - observer->entries) + 1 : 0;
        enum flo_member_way way = (enum flo_member_way)member->way;
        if (entry == NULL || /* not heard yet */
            !flo_observer_may_take(observer, entry, number, way) ||
            flo_observed_has_left(&entry->observed, &cohort->rollout, way)) {
            continue;
        }
        if (entry->cohort != number && entry->side == FLO_PAIRED_NEW) {
            /* The comparison with another model on this device ends. */
            flo_observer_part(observer, entry);
        }
        flo_observer_attend(observer, entry, number);
        entry->site = member->site;
        entry->is_probe = member->is_probe;
        entry->is_swapping = flo_observed_place(&entry->observed, &cohort->rollout, way,
                                                member->segment, observer->block);
        swaps = swaps || entry->is_swapping;
    }
    if (swaps) {
        begin_waves(observer, number);
    }
    if (is_new_phase) {
        cohort->is_split = was_split(observer, number, phase);
    }
    if (swaps) {
        flo_observer_split(observer, number);
    }
}

/* ---- gathering ---- */

struct told_arms {
    double *updated, *controls; /* [devices] each */
    double *numbers;            /* flo_told_numbers */
    size_t updated_count, control_count;
};
/* A compared device, with its change in one reading. */
struct changed {
    double d;
    uint32_t stratum, site;
    uint8_t segment, phase;
    bool is_treated;
    bool is_known; /* `d` is known */
    bool reads;
};
struct gather {
    struct flo_observer *observer;
    struct flo_observe_analysis *analysis;
    uint32_t number;
    /* number of blocks without a reading; a longer gap counts as an event */
    uint32_t coverage_blocks;
    double control_rate; /* errors per request of the controls before the wave */
    double control_bad;  /* share of the controls' rated answers that were bad, before the wave */
    /* Median number of requests since the comparison began, over the devices
     * that have any. */
    double usual_requests;
    double usual_judged;
    /* compared devices, in the order of their entries */
    const struct flo_observer_entry **compared;
    size_t compared_count;
    /* Indexes into `compared`, sorted by site, then updated devices first, as
     * flo_sites_look needs them. */
    uint32_t *by_site;
    struct changed *changed; /* change of each device in the present reading, by
                                its index in `compared` */
    struct flo_difference *differences;
    double *scratch;
    struct told_arms told;
    /* Each segment's number of a pair of releases, for the present reading.
     * Devices with an older baseline are compared only if they have this pair;
     * 0: there is none. */
    uint32_t older[FLO_SEGMENTS_MAX];
};

/* Tells whether a segment is left out of the sums over all segments, because
 * its devices were rolled back. */
static bool is_excluded(const struct gather *gather, uint32_t segment)
{
    return (gather->analysis->excluded >> segment & 1) != 0;
}

static bool is_treated(const struct flo_observed *observed)
{
    return observed->arm == FLO_ARM_TREATED || observed->arm == FLO_ARM_ENDED;
}

static bool is_compared(const struct gather *gather, const struct flo_observer_entry *entry)
{
    const struct flo_observed *observed = &entry->observed;

    return entry->cohort == gather->number && observed->split > 0 &&
           observed->segment < gather->analysis->evidence.segment_count &&
           (observed->arm == FLO_ARM_CONTROL || is_treated(observed));
}

/* Orders two devices by site, updated devices first, and then by entry.
 * flo_sites_look() needs this order. */
static int by_key(const void *a, const void *b)
{
    uint64_t one = *(const uint64_t *)a;
    uint64_t other = *(const uint64_t *)b;

    return (one > other) - (one < other);
}

static void order_by_site(const struct gather *gather, uint64_t *keys)
{
    for (size_t i = 0; i < gather->compared_count; i++) {
        const struct flo_observer_entry *entry = gather->compared[i];
        keys[i] = (uint64_t)entry->site << 32 |
                  (is_treated(&entry->observed) ? 0 : UINT32_C(1) << 31) | i;
    }
    qsort(keys, gather->compared_count, sizeof(*keys), by_key);
    for (size_t i = 0; i < gather->compared_count; i++) {
        gather->by_site[i] = (uint32_t)keys[i] & INT32_MAX;
    }
}

/* Collects the compared devices, once for all sums.  FLO_E_MEMORY: no
 * memory. */
static int find_compared(struct gather *gather, struct flo_err *err)
{
    size_t count = gather->observer->count;
    uint64_t *keys = calloc(count + 1, sizeof(*keys));

    assert(count <= INT32_MAX);
    if (keys == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "evidence");
    }
    for (size_t i = 0; i < count; i++) {
        const struct flo_observer_entry *entry = &gather->observer->entries[i];
        if (is_compared(gather, entry)) {
            gather->compared[gather->compared_count++] = entry;
        }
    }
    order_by_site(gather, keys);
    free(keys);
    return 0;
}

static void gather_rate(struct gather *gather)
{
    double errors = 0;
    double requests = 0;
    double bad = 0;
    double judged = 0;

    for (size_t i = 0; i < gather->compared_count; i++) {
        const struct flo_observer_entry *entry = gather->compared[i];
        if (!is_treated(&entry->observed)) {
            errors += entry->observed.before.errors;
            requests += entry->observed.before.requests;
            bad += entry->observed.before.bad;
            judged += entry->observed.before.judged;
        }
    }
    gather->control_bad = judged > 0 ? bad / judged : 0;
    gather->control_rate = requests > 0 ? errors / requests : 0;
}

static struct flo_count_arm *arm_of(struct flo_analysis_segment *segment, enum flo_measure measure,
                                    const struct flo_observed *observed)
{
    struct flo_statistic_arms *arms = &segment->arms[measure];

    return is_treated(observed) ? &arms->count.treated : &arms->count.control;
}

/* Returns the median number of requests, or of rated answers with is_judged,
 * over the devices that have any. */
static double usual_of(const struct gather *gather, bool is_judged)
{
    size_t count = 0;

    for (size_t i = 0; i < gather->compared_count; i++) {
        const struct flo_observer_entry *entry = gather->compared[i];
        const struct flo_counters *since = &entry->observed.since;
        double one = is_judged ? since->judged : since->requests;
        if (one > 0) {
            gather->scratch[count++] = one;
        }
    }
    return count > 0 ? flo_median(gather->scratch, count) : 0;
}

static void count_device(const struct gather *gather, const struct flo_observed *observed,
                         struct flo_analysis_segment *segment)
{
    double hours = flo_observed_hours(observed);
    double requests = observed->since.requests;
    bool is_known;

    flo_count_add_usual(arm_of(segment, FLO_MEASURE_ERRORS, observed), observed->since.errors,
                        flo_expected_errors(requests, observed->before.errors,
                                            observed->before.requests, gather->control_rate),
                        requests, gather->usual_requests);
    flo_count_add_usual(arm_of(segment, FLO_MEASURE_FEEDBACK, observed), observed->since.bad,
                        flo_expected_errors(observed->since.judged, observed->before.bad,
                                            observed->before.judged, gather->control_bad),
                        observed->since.judged, gather->usual_judged);
    flo_count_add(arm_of(segment, FLO_MEASURE_CRASHES, observed), observed->crashes, hours, hours);
    bool is_unread = flo_observed_is_unread(observed, gather->observer->closed,
                                            gather->coverage_blocks, &is_known);
    if (is_known) {
        flo_count_add(arm_of(segment, FLO_MEASURE_COVERAGE, observed), is_unread ? 1 : 0, 1, 1);
    }
    struct flo_statistic_arms *deaths = &segment->arms[FLO_MEASURE_DEATHS];
    flo_observed_deaths(observed, &deaths->deaths.treated, &deaths->deaths.control);
}

static void gather_counts(struct gather *gather)
{
    struct flo_analysis_evidence *evidence = &gather->analysis->evidence;

    for (size_t i = 0; i < gather->compared_count; i++) {
        const struct flo_observer_entry *entry = gather->compared[i];
        const struct flo_observed *observed = &entry->observed;
        count_device(gather, observed, &evidence->segments[observed->segment]);
        *(is_treated(observed) ? &evidence->treated : &evidence->controls) += 1;
    }
}

/* Reads the devices' changes once for each reading, because they are needed
 * several times and the devices are far apart in memory. */
static void read_changes(struct gather *gather, enum flo_observed_reading reading)
{
    for (size_t i = 0; i < gather->compared_count; i++) {
        const struct flo_observer_entry *entry = gather->compared[i];
        const struct flo_observed *of = &entry->observed;
        struct changed *one = &gather->changed[i];
        one->stratum = flo_observed_stratum(of, reading);
        one->site = entry->site;
        one->segment = of->segment;
        one->phase = of->phase;
        one->is_treated = is_treated(of);
        one->is_known = flo_observed_difference(of, reading, &one->d);
        one->reads = flo_observed_reads(of, reading);
    }
}

/* Finds the pair of releases that most updated devices have: the one that they
 * ran last, and an older one that is their baseline.  Only devices with the
 * same pair are compared. */
static uint32_t older_stratum(const struct gather *gather, uint32_t segment)
{
    struct {
        uint32_t id, devices;
    } strata[STRATA_MAX] = {0};
    size_t best = 0;

    for (size_t i = 0; i < gather->compared_count; i++) {
        const struct changed *one = &gather->changed[i];
        if (one->stratum == 0 || !one->is_treated || one->segment != segment) {
            continue;
        }
        for (size_t k = 0; k < STRATA_MAX; k++) {
            if (strata[k].id == 0 || strata[k].id == one->stratum) {
                strata[k].id = one->stratum;
                strata[k].devices++;
                best = strata[k].devices > strata[best].devices ? k : best;
                break;
            }
        }
    }
    return strata[best].id;
}

/* Collects the changes of those devices of a segment that are compared with
 * each other, sorted by site.  With `phase` above 0 only devices of that phase,
 * counted from 1, are collected. */
static size_t differences_of(struct gather *gather, uint32_t segment, uint32_t stratum,
                             uint32_t phase)
{
    size_t count = 0;

    for (size_t i = 0; i < gather->compared_count; i++) {
        const struct changed *one = &gather->changed[gather->by_site[i]];
        if (one->is_known && one->segment == segment && one->stratum == stratum &&
            (phase == 0 || one->phase == phase)) {
            gather->differences[count++] = (struct flo_difference){
                .d = one->d, .is_treated = one->is_treated, .site = one->site};
        }
    }
    return count;
}

static void gather_stratum(struct gather *gather, uint32_t segment, uint32_t stratum,
                           struct flo_ratio_segment *out)
{
    struct flo_arms arms;
    size_t count = differences_of(gather, segment, stratum, 0);

    if (flo_sites_join(gather->differences, &count) == FLO_SITES_FEW) {
        gather->analysis->evidence.few_sites |= (uint16_t)(1u << segment);
    }
    flo_arms_build(gather->differences, count, gather->scratch, &arms);
    *out = arms.arms;
}

static void gather_wave(struct gather *gather, enum flo_observed_reading reading, uint32_t segment,
                        uint32_t stratum)
{
    size_t count = differences_of(gather, segment, stratum, gather->analysis->phase + 1);

    flo_pooled_gather(gather->differences, count, gather->scratch,
                      &gather->analysis->evidence.wave[reading]);
}

/* Adds a segment's differences to the effect that people see, less the median
 * of the segment's controls. */
static void told_stratum(struct gather *gather, uint32_t segment, uint32_t stratum,
                         struct told_arms *arms)
{
    size_t updated = arms->updated_count;
    size_t controls = arms->control_count;

    for (size_t i = 0; i < gather->compared_count; i++) {
        const struct changed *one = &gather->changed[i];
        if (!one->is_known || one->segment != segment || one->stratum != stratum) {
            continue;
        }
        if (one->is_treated) {
            arms->updated[updated++] = one->d;
        } else {
            arms->controls[controls++] = one->d;
        }
    }
    size_t own = controls - arms->control_count;
    if (own < 2 || updated == arms->updated_count) {
        return; /* The segment has no devices that can be compared. */
    }
    memcpy(gather->scratch, &arms->controls[arms->control_count], own * sizeof(*gather->scratch));
    double centre = flo_median(gather->scratch, own);
    for (size_t i = arms->updated_count; i < updated; i++) {
        arms->updated[i] -= centre;
    }
    for (size_t i = arms->control_count; i < controls; i++) {
        arms->controls[i] -= centre;
    }
    arms->updated_count = updated;
    arms->control_count = controls;
}

/* Computes the effect that people see, over all segments that are not
 * excluded. */
static void gather_told(struct gather *gather, enum flo_measure measure)
{
    struct flo_analysis_evidence *evidence = &gather->analysis->evidence;
    struct told_arms *arms = &gather->told;

    arms->updated_count = arms->control_count = 0;
    for (uint32_t s = 0; s < evidence->segment_count; s++) {
        if (is_excluded(gather, s)) {
            continue;
        }
        told_stratum(gather, s, 0, arms);
        if (gather->older[s] != 0) {
            told_stratum(gather, s, gather->older[s], arms);
        }
    }
    /* the result is ignored: the call only fails for changes that are not
     * finite */
    (void)flo_told_effect(arms->updated, arms->updated_count, arms->controls, arms->control_count,
                          arms->numbers, &evidence->told[measure].effect);
}

/* Computes plain error rates per request, without regard to the devices' own
 * past. */
static void gather_rates(struct gather *gather)
{
    struct flo_count_arm arms[2] = {0};

    for (size_t i = 0; i < gather->compared_count; i++) {
        const struct flo_observer_entry *entry = gather->compared[i];
        const struct flo_observed *of = &entry->observed;
        if (!is_excluded(gather, of->segment)) {
            flo_count_add(&arms[is_treated(of) ? 1 : 0], of->since.errors, of->since.requests,
                          of->since.requests);
        }
    }
    (void)flo_told_ratio(&arms[1], &arms[0],
                         &gather->analysis->evidence.told[FLO_MEASURE_ERRORS].rate);
}

/* Gets the crashes of a device.  Returns false when its segment was rolled
 * back. */
static bool crashes_of(const struct gather *gather, const struct flo_observer_entry *entry,
                       struct flo_observed_crashes *out)
{
    if (is_excluded(gather, entry->observed.segment)) {
        return false;
    }
    flo_observed_crashes(&entry->observed, gather->observer->closed, out);
    return true;
}

/* Adds a control's crashes since its comparison began to the rate at which
 * devices begin to crash.  An updated device is left out. */
static void add_first(struct flo_analysis_crash *crash, const struct flo_observed *observed)
{
    if (!is_treated(observed)) {
        flo_analysis_crash_first(crash, observed->crashes, flo_observed_hours(observed));
    }
}

/* Sums crashes soon after the update, over all phases.  Crashes of controls
 * count since their comparison in this phase began. */
static void gather_crashes(struct gather *gather)
{
    struct flo_analysis_crash *crash = &gather->analysis->evidence.crash;
    struct flo_observed_crashes one;
    double hours = 0;
    double died = 0;

    for (size_t i = 0; i < gather->compared_count; i++) {
        if (crashes_of(gather, gather->compared[i], &one)) {
            hours += one.hours_before;
            died += one.died_before;
            flo_analysis_crash_first(crash, one.died_before, one.hours_before);
            add_first(crash, &gather->compared[i]->observed);
        }
    }
    double rate = hours > 0 && died > 0 ? died / hours : RATE_MIN;
    for (size_t i = 0; i < gather->compared_count; i++) {
        if (crashes_of(gather, gather->compared[i], &one)) {
            struct flo_crash_arm *arm =
                is_treated(&gather->compared[i]->observed) ? &crash->treated : &crash->control;
            arm->devices += one.has_crashed ? 1 : 0;
            arm->expected += flo_crash_expected(one.hours, one.died_before, one.hours_before, rate);
        }
    }
    crash->past = (struct flo_crash_arm){.devices = died, .expected = died};
}

static void gather_readers(struct gather *gather, enum flo_measure measure)
{
    for (size_t i = 0; i < gather->compared_count; i++) {
        gather->analysis->evidence.readers[measure] += gather->changed[i].reads ? 1 : 0;
    }
}

static void gather_ratio(struct gather *gather, enum flo_measure measure,
                         enum flo_observed_reading reading)
{
    struct flo_analysis_evidence *evidence = &gather->analysis->evidence;

    read_changes(gather, reading);
    gather_readers(gather, measure);
    for (uint32_t s = 0; s < evidence->segment_count; s++) {
        struct flo_statistic_arms *arms = &evidence->segments[s].arms[measure];
        gather->older[s] = older_stratum(gather, s);
        gather_stratum(gather, s, 0, &arms->ratio);
        if (gather->older[s] != 0) {
            gather_stratum(gather, s, gather->older[s], &arms->older);
        }
        if (is_excluded(gather, s)) {
            continue;
        }
        gather_wave(gather, reading, s, 0);
        if (gather->older[s] != 0) {
            gather_wave(gather, reading, s, gather->older[s]);
        }
    }
    gather_told(gather, measure);
}

/* Counts those compared devices that are far worse than their own past. */
static void gather_above(struct gather *gather, enum flo_measure measure)
{
    int reading = flo_measure_fact(measure)->reading;
    struct flo_observed_change change;

    for (size_t i = 0; i < gather->compared_count; i++) {
        const struct flo_observer_entry *entry = gather->compared[i];
        const struct flo_observed *of = &entry->observed;
        struct flo_analysis_above *above =
            &gather->analysis->evidence.segments[of->segment].above[measure];
        struct flo_plain_arm *arm = is_treated(of) ? &above->treated : &above->control;
        /* the results are ignored: the calls only fail for numbers that are not
         * finite */
        if (measure == FLO_MEASURE_ERRORS) {
            (void)flo_plain_add_errors(arm, of->since.errors, of->since.requests, of->before.errors,
                                       of->before.requests);
        } else {
            flo_observed_change(of, (enum flo_observed_reading)reading, &change);
            (void)flo_plain_add(arm, change.d, change.before, change.after);
        }
    }
}

/* Tells whether the analysis has a rule for the measure.  An analysis without
 * labels counts as one with a rule for each measure. */
static bool has_rule(const struct flo_observe_analysis *analysis, enum flo_measure measure)
{
    return analysis->label_count == 0 || analysis->weights[measure] > 0;
}

/* ---- memory over time ---- */

#define NO_WAVE FLO_SCAN_WAVES_MAX /* value of `wave` when no wave was known at the swap */

/* Slopes of memory in a segment during a wave.  Updated devices are at the
 * front of the array, controls at its end. */
struct slopes {
    struct flo_slope *items; /* [end] */
    size_t end;
    double *numbers; /* [2 * end] */
    uint32_t segment;
    size_t wave; /* wave, or NO_WAVE */
    size_t updated, controls;
    size_t told_for; /* number of updated devices in the wave whose controls are
                        in the effect shown to people */
    size_t told_from;
};

static bool has_memory(const struct slopes *slopes, const struct flo_observer_entry *entry)
{
    return entry->observed.readings != NULL && entry->observed.segment == slopes->segment;
}

static size_t wave_of(const struct flo_observer_entry *entry)
{
    return entry->since != NULL && entry->since->wave > 0 ? entry->since->wave - 1u : NO_WAVE;
}

static void read_updated(const struct gather *gather, struct slopes *slopes)
{
    slopes->updated = 0;
    for (size_t i = 0; i < gather->compared_count; i++) {
        const struct flo_observer_entry *entry = gather->compared[i];
        struct flo_slope *slope = &slopes->items[slopes->updated];
        if (is_treated(&entry->observed) && has_memory(slopes, entry) &&
            wave_of(entry) == slopes->wave) {
            flo_slope_read(&entry->observed.readings->memory, slope);
            slopes->updated += slope->has_slope && slope->has_latest ? 1 : 0;
        }
    }
}

static void read_controls(const struct gather *gather, struct slopes *slopes)
{
    slopes->controls = 0;
    for (size_t i = 0; i < gather->compared_count; i++) {
        const struct flo_observer_entry *entry = gather->compared[i];
        if (is_treated(&entry->observed) || !has_memory(slopes, entry)) {
            continue;
        }
        const struct flo_slope_track *memory = &entry->observed.readings->memory;
        struct flo_slope *slope = &slopes->items[slopes->end - 1 - slopes->controls];
        if (entry->since != NULL && slopes->wave != NO_WAVE) {
            flo_since_slope(entry->since, memory, slopes->wave, slope);
        } else {
            flo_slope_read(memory, slope);
        }
        slopes->controls += slope->has_slope && slope->has_latest ? 1 : 0;
    }
}

/* Adds the slopes of a wave's updated devices, less the median of the wave's
 * controls, to the effect shown to people.  The shown controls are those of the
 * wave with the most updated devices. */
static void told_slopes(struct gather *gather, struct slopes *slopes)
{
    struct told_arms *arms = &gather->told;
    const struct flo_slope *controls = &slopes->items[slopes->end - slopes->controls];

    if (slopes->updated == 0 || slopes->controls < 2) {
        /* A wave with no updated device, or with fewer than two controls, has
         * nothing to compare. */
        return;
    }
    for (size_t i = 0; i < slopes->controls; i++) {
        gather->scratch[i] = controls[i].slope;
    }
    double centre = flo_median(gather->scratch, slopes->controls);
    for (size_t i = 0; i < slopes->updated; i++) {
        arms->updated[arms->updated_count++] = slopes->items[i].slope - centre;
    }
    if (slopes->updated > slopes->told_for) {
        slopes->told_for = slopes->updated;
        arms->control_count = slopes->told_from;
        for (size_t i = 0; i < slopes->controls; i++) {
            arms->controls[arms->control_count++] = controls[i].slope - centre;
        }
    }
}

/* Sums the slopes of memory over all waves.  A sudden change of all devices
 * moves a slope more, the fewer readings the slope has.  Each wave is therefore
 * compared with controls over the same time. */
static void leak_of(struct gather *gather, struct slopes *slopes, struct flo_leak_arms *out)
{
    struct flo_leak_arms arms;

    slopes->told_for = 0;
    slopes->told_from = gather->told.control_count;
    for (slopes->wave = 0; slopes->wave <= NO_WAVE; slopes->wave++) {
        read_updated(gather, slopes);
        bool is_last = slopes->wave == NO_WAVE && out->treated.devices == 0;
        if (slopes->updated == 0 && !is_last) {
            continue;
        }
        read_controls(gather, slopes);
        /* the result is ignored: the call only fails for slopes that are not
         * finite */
        (void)flo_leak_arms(slopes->items, slopes->updated,
                            &slopes->items[slopes->end - slopes->controls], slopes->controls,
                            slopes->numbers, &arms);
        flo_leak_add_wave(out, &arms);
        if (is_last && out->treated.devices == 0) {
            *out = arms; /* while no device is updated, only the controls are counted */
        }
        if (!is_excluded(gather, slopes->segment)) {
            told_slopes(gather, slopes);
        }
    }
}

/* FLO_E_MEMORY */
static int gather_leak(struct gather *gather, struct flo_err *err)
{
    struct flo_analysis_evidence *evidence = &gather->analysis->evidence;
    struct slopes slopes = {.end = gather->compared_count};
    int rv = 0;

    slopes.items = calloc(slopes.end + 1, sizeof(*slopes.items));
    slopes.numbers = calloc(2 * slopes.end + 1, sizeof(*slopes.numbers));
    if (slopes.items == NULL || slopes.numbers == NULL) {
        rv = flo_fail(err, FLO_E_MEMORY, "evidence");
    }
    gather->told.updated_count = gather->told.control_count = 0;
    for (; slopes.segment < evidence->segment_count && rv == 0; slopes.segment++) {
        leak_of(gather, &slopes, &evidence->segments[slopes.segment].arms[FLO_MEASURE_LEAK].leak);
    }
    (void)flo_told_effect(gather->told.updated, gather->told.updated_count, gather->told.controls,
                          gather->told.control_count, gather->told.numbers,
                          &evidence->told[FLO_MEASURE_LEAK].effect);
    free(slopes.items);
    free(slopes.numbers);
    return rv;
}

static void gather_all(struct gather *gather)
{
    gather_rate(gather);
    gather->usual_requests = usual_of(gather, false);
    gather->usual_judged = usual_of(gather, true);
    gather_counts(gather);
    gather_rates(gather);
    gather_crashes(gather);
    for (int i = 0; i < FLO_MEASURE_COUNT; i++) {
        enum flo_measure measure = (enum flo_measure)i;
        int reading = flo_measure_fact(measure)->reading;
        if (!has_rule(gather->analysis, measure)) {
            continue;
        }
        if (reading >= 0) {
            gather_ratio(gather, measure, (enum flo_observed_reading)reading);
        }
        if (flo_analysis_has_above(measure)) {
            gather_above(gather, measure);
        }
    }
}

static uint32_t coverage_blocks(const struct flo_observer *observer,
                                const struct flo_observe_analysis *analysis)
{
    uint64_t reports = (3 * analysis->heartbeat_ms + observer->block_ms - 1) / observer->block_ms;
    uint64_t blocks = reports + FLO_WARM_BLOCKS;

    return blocks < COVERAGE_BLOCKS_MIN ? COVERAGE_BLOCKS_MIN : (uint32_t)blocks;
}

/* Allocates the arrays of the shown effect.  Returns false without memory. */
static bool told_open(struct told_arms *arms, size_t devices)
{
    size_t pairs = flo_told_numbers(FLO_TOLD_PAIRS_DEVICES_MAX, devices);

    arms->updated = calloc(2 * devices + pairs + 1, sizeof(*arms->updated));
    if (arms->updated != NULL) {
        arms->controls = arms->updated + devices;
        arms->numbers = arms->controls + devices;
    }
    return arms->updated != NULL;
}

/* FLO_E_MEMORY */
static int gather_open(struct gather *gather, struct flo_err *err)
{
    size_t most = gather->observer->count + 1;

    gather->differences = calloc(most, sizeof(*gather->differences));
    gather->scratch = calloc(most, sizeof(*gather->scratch));
    gather->changed = calloc(most, sizeof(*gather->changed));
    gather->compared = calloc(most, sizeof(*gather->compared));
    gather->by_site = calloc(most, sizeof(*gather->by_site));
    return gather->differences == NULL || gather->scratch == NULL || gather->changed == NULL ||
                   gather->compared == NULL || gather->by_site == NULL ||
                   !told_open(&gather->told, most)
               ? flo_fail(err, FLO_E_MEMORY, "evidence")
               : 0;
}

static void gather_close(struct gather *gather)
{
    free(gather->differences);
    free(gather->scratch);
    free(gather->changed);
    free(gather->compared);
    free(gather->by_site);
    free(gather->told.updated);
}

int flo_observer_analysis(struct flo_observer *observer, struct flo_observe_analysis *analysis,
                          uint64_t now_ms, struct flo_err *err)
{
    flo_observer_move(observer, now_ms);
    uint32_t number = cohort_of(observer, analysis);
    FLO_CLEANUP(gather_close)
    struct gather gather = {.observer = observer,
                            .analysis = analysis,
                            .number = number,
                            .coverage_blocks = coverage_blocks(observer, analysis)};

    if (number == FLO_OBSERVER_NONE) {
        return flo_fail(err, FLO_E_REST_LIMIT, "%d rollouts are studied already",
                        FLO_OBSERVER_COHORTS_MAX);
    }
    observer->cohorts[number].asked_at_ms = flo_now_ms();
    if (analysis->split_of[0] != '\0') {
        return flo_observer_pairs_analysis(observer, analysis, number, now_ms, err);
    }
    place_members(observer, analysis, number);
    analysis->is_new =
        !analysis->is_kept && observer->closed != 0 && observer->closed != analysis->block;
    if (!analysis->is_new) {
        return 0;
    }
    analysis->evidence.phase = analysis->phase;
    analysis->evidence.block = observer->closed;
    analysis->evidence.at_ms = now_ms;
    FLO_TRY(gather_open(&gather, err));
    FLO_TRY(find_compared(&gather, err));
    gather_all(&gather);
    FLO_TRY(flo_observer_slow(observer, number, &analysis->evidence, err));
    if (has_rule(analysis, FLO_MEASURE_LEAK)) {
        FLO_TRY(gather_leak(&gather, err));
    }
    FLO_TRY(flo_observer_scan(observer, analysis, number, err));
    return flo_observer_list(observer, analysis, number, err);
}
