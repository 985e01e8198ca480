/* Observe: the members of a rollout placed in their arms, and the sums that
 * its study takes. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "server-stub/core/gate/statistics/robust.h"
#include "server-stub/core/gate/statistics/sites.h"
#include "server-stub/telemetry/observe/inside.h"

#define COVERAGE_BLOCKS_MIN 6 /* half an hour */
#define STRATA_MAX 8
#define RATE_MIN 1e-6 /* crashes an hour, where nobody had one */

struct flo_observe_study *flo_observe_study_new(size_t members)
{
    struct flo_observe_study *study = calloc(1, sizeof(*study));

    if (study == NULL) {
        return NULL;
    }
    study->members = calloc(members + 1, sizeof(*study->members));
    if (study->members == NULL) {
        free(study);
        return NULL;
    }
    return study;
}

void flo_observe_study_free(struct flo_observe_study *study)
{
    if (study != NULL) {
        free(study->members);
        free(study->labels);
        free(study->values);
        free(study->listed);
        free(study);
    }
}

/* ---- placing ---- */

static uint32_t tag_of(const void *data, size_t bytes)
{
    uint32_t tag = flo_crc32c(0, data, bytes);

    return tag != 0 ? tag : 1;
}

static uint32_t roster_of(struct flo_observer *observer,
                          const struct flo_observe_study *study)
{
    uint32_t id = flo_observer_rollout_id(study->rollout);
    uint32_t release = tag_of(&study->release, sizeof(study->release));
    uint32_t free_place = FLO_OBSERVER_NONE;

    for (uint32_t i = 0; i < FLO_OBSERVER_ROSTERS_MAX; i++) {
        if (observer->rosters[i].rollout.id == id) {
            observer->rosters[i].rollout.release = release;
            return i;
        }
        if (observer->rosters[i].rollout.id == 0 &&
            free_place == FLO_OBSERVER_NONE) {
            free_place = i;
        }
    }
    if (free_place != FLO_OBSERVER_NONE) {
        struct flo_observer_roster *roster = &observer->rosters[free_place];
        roster->rollout =
            (struct flo_observed_rollout){.id = id, .release = release};
        snprintf(roster->name, sizeof(roster->name), "%s", study->rollout);
    }
    return free_place;
}

/* The controls of this phase were split before the controller began. */
static bool was_split(const struct flo_observer *observer, uint32_t number,
                      uint8_t phase)
{
    for (size_t i = 0; i < observer->count; i++) {
        const struct flo_observer_entry *entry = &observer->entries[i];
        if (entry->roster == number && entry->observed.phase == phase &&
            entry->observed.arm == FLO_ARM_CONTROL) {
            return true;
        }
    }
    return false;
}

/* Once each control of the rollout is known: a wave notes their past. */
static void begin_waves(struct flo_observer *observer, uint32_t number)
{
    for (size_t i = 0; i < observer->count; i++) {
        struct flo_observer_entry *entry = &observer->entries[i];
        if (entry->roster == number && entry->is_swapping) {
            entry->is_swapping = false;
            flo_observer_swapped(observer, entry);
        }
    }
}

static void place_members(struct flo_observer *observer,
                          const struct flo_observe_study *study,
                          uint32_t number)
{
    struct flo_observer_roster *roster = &observer->rosters[number];
    uint8_t phase = (uint8_t)(study->phase + 1);
    bool is_new_phase = roster->rollout.phase != phase;
    bool swaps = false;

    roster->rollout.phase = phase;
    roster->rollout.leak_from = study->leak_from;
    for (size_t i = 0; i < study->member_count; i++) {
        const struct flo_observe_member *member = &study->members[i];
        struct flo_observer_entry *entry =
            flo_observer_find(observer, member->device, study->model);
        enum flo_member_way way = (enum flo_member_way)member->way;
        if (entry == NULL || /* nothing was heard of it yet */
            !flo_observer_may_take(observer, entry, number, way) ||
            flo_observed_has_left(&entry->observed, &roster->rollout, way)) {
            continue;
        }
        if (entry->roster != number && entry->side == FLO_TWIN_NEW) {
            flo_observer_part(observer, entry); /* it is compared so no more */
        }
        flo_observer_attend(observer, entry, number);
        entry->site = member->site;
        entry->is_swapping =
            flo_observed_place(&entry->observed, &roster->rollout, way,
                               member->segment, observer->block);
        swaps = swaps || entry->is_swapping;
    }
    if (swaps) {
        begin_waves(observer, number);
    }
    if (is_new_phase) {
        roster->is_split = was_split(observer, number, phase);
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
struct gather {
    struct flo_observer *observer;
    struct flo_observe_study *study;
    uint32_t number;
    uint32_t coverage_blocks; /* without a reading for longer is bad */
    double control_rate;      /* errors a request, before */
    double control_bad;       /* bad of the answers that were judged, before */
    double usual_requests;    /* of a device that has any, since its split */
    double usual_judged;
    struct flo_difference *differences;
    double *scratch;
    struct told_arms told;
    uint32_t older[FLO_SEGMENTS_MAX]; /* of the reading that is gathered */
};

/* Over all segments, those that went back are left out. */
static bool is_excluded(const struct gather *gather, uint32_t segment)
{
    return (gather->study->excluded >> segment & 1) != 0;
}

static bool is_treated(const struct flo_observed *observed)
{
    return observed->arm == FLO_ARM_TREATED || observed->arm == FLO_ARM_ENDED;
}

static bool is_compared(const struct gather *gather,
                        const struct flo_observer_entry *entry)
{
    const struct flo_observed *observed = &entry->observed;

    return entry->roster == gather->number && observed->split > 0 &&
           observed->segment < gather->study->evidence.segment_count &&
           (observed->arm == FLO_ARM_CONTROL || is_treated(observed));
}

static void gather_rate(struct gather *gather)
{
    double errors = 0;
    double requests = 0;
    double bad = 0;
    double judged = 0;

    for (size_t i = 0; i < gather->observer->count; i++) {
        const struct flo_observer_entry *entry = &gather->observer->entries[i];
        if (is_compared(gather, entry) && !is_treated(&entry->observed)) {
            errors += entry->observed.before.errors;
            requests += entry->observed.before.requests;
            bad += entry->observed.before.bad;
            judged += entry->observed.before.judged;
        }
    }
    gather->control_bad = judged > 0 ? bad / judged : 0;
    gather->control_rate = requests > 0 ? errors / requests : 0;
}

static struct flo_count_arm *arm_of(struct flo_study_segment *segment,
                                    enum flo_measure measure,
                                    const struct flo_observed *observed)
{
    struct flo_statistic_arms *arms = &segment->arms[measure];

    return is_treated(observed) ? &arms->count.treated : &arms->count.control;
}

/* The median of the devices that have any. */
static double usual_of(const struct gather *gather, bool is_judged)
{
    size_t count = 0;

    for (size_t i = 0; i < gather->observer->count; i++) {
        const struct flo_observer_entry *entry = &gather->observer->entries[i];
        const struct flo_tally *since = &entry->observed.since;
        double one = is_judged ? since->judged : since->requests;
        if (is_compared(gather, entry) && one > 0) {
            gather->scratch[count++] = one;
        }
    }
    return count > 0 ? flo_median(gather->scratch, count) : 0;
}

static void count_device(const struct gather *gather,
                         const struct flo_observed *observed,
                         struct flo_study_segment *segment)
{
    double hours = flo_observed_hours(observed);
    double requests = observed->since.requests;
    bool is_known;

    flo_count_add_usual(
        arm_of(segment, FLO_MEASURE_ERRORS, observed), observed->since.errors,
        flo_expected_errors(requests, observed->before.errors,
                            observed->before.requests, gather->control_rate),
        requests, gather->usual_requests);
    flo_count_add_usual(
        arm_of(segment, FLO_MEASURE_FEEDBACK, observed), observed->since.bad,
        flo_expected_errors(observed->since.judged, observed->before.bad,
                            observed->before.judged, gather->control_bad),
        observed->since.judged, gather->usual_judged);
    flo_count_add(arm_of(segment, FLO_MEASURE_CRASHES, observed),
                  observed->crashes, hours, hours);
    bool is_unread = flo_observed_is_unread(observed, gather->observer->closed,
                                            gather->coverage_blocks, &is_known);
    if (is_known) {
        flo_count_add(arm_of(segment, FLO_MEASURE_COVERAGE, observed),
                      is_unread ? 1 : 0, 1, 1);
    }
    struct flo_statistic_arms *deaths = &segment->arms[FLO_MEASURE_DEATHS];
    flo_observed_deaths(observed, &deaths->deaths.treated,
                        &deaths->deaths.control);
}

static void gather_counts(struct gather *gather)
{
    struct flo_study_evidence *evidence = &gather->study->evidence;

    for (size_t i = 0; i < gather->observer->count; i++) {
        const struct flo_observer_entry *entry = &gather->observer->entries[i];
        if (is_compared(gather, entry)) {
            const struct flo_observed *observed = &entry->observed;
            count_device(gather, observed,
                         &evidence->segments[observed->segment]);
            *(is_treated(observed) ? &evidence->treated
                                   : &evidence->controls) += 1;
        }
    }
}

/* Updated devices that are compared with an older release than the one they
 * ran: of all pairs of releases, the one that has most of them. */
static uint32_t older_stratum(const struct gather *gather,
                              enum flo_observed_reading reading,
                              uint32_t segment)
{
    struct {
        uint32_t id, devices;
    } strata[STRATA_MAX] = {0};
    size_t best = 0;

    for (size_t i = 0; i < gather->observer->count; i++) {
        const struct flo_observer_entry *entry = &gather->observer->entries[i];
        uint32_t id = flo_observed_stratum(&entry->observed, reading);
        if (id == 0 || !is_compared(gather, entry) ||
            !is_treated(&entry->observed) ||
            entry->observed.segment != segment) {
            continue;
        }
        for (size_t k = 0; k < STRATA_MAX; k++) {
            if (strata[k].id == 0 || strata[k].id == id) {
                strata[k].id = id;
                strata[k].devices++;
                best = strata[k].devices > strata[best].devices ? k : best;
                break;
            }
        }
    }
    return strata[best].id;
}

/* Differences of a segment's devices that are compared with each other;
 * `phase`, from 1: those that swapped in it and its controls alone, 0: all. */
static size_t differences_of(struct gather *gather,
                             enum flo_observed_reading reading,
                             uint32_t segment, uint32_t stratum, uint32_t phase)
{
    size_t count = 0;

    for (size_t i = 0; i < gather->observer->count; i++) {
        const struct flo_observer_entry *entry = &gather->observer->entries[i];
        struct flo_difference *item = &gather->differences[count];
        if (is_compared(gather, entry) && entry->observed.segment == segment &&
            (phase == 0 || entry->observed.phase == phase) &&
            flo_observed_stratum(&entry->observed, reading) == stratum &&
            flo_observed_difference(&entry->observed, reading, &item->d)) {
            item->is_treated = is_treated(&entry->observed);
            item->site = entry->site;
            count++;
        }
    }
    return count;
}

static void gather_stratum(struct gather *gather,
                           enum flo_observed_reading reading, uint32_t segment,
                           uint32_t stratum, struct flo_ratio_segment *out)
{
    struct flo_arms arms;
    size_t count = differences_of(gather, reading, segment, stratum, 0);

    if (flo_sites_join(gather->differences, &count) == FLO_SITES_FEW) {
        gather->study->evidence.few_sites |= (uint16_t)(1u << segment);
    }
    flo_arms_build(gather->differences, count, gather->scratch, &arms);
    *out = arms.arms;
}

static void gather_wave(struct gather *gather,
                        enum flo_observed_reading reading, uint32_t segment,
                        uint32_t stratum)
{
    size_t count = differences_of(gather, reading, segment, stratum,
                                  gather->study->phase + 1);

    flo_pooled_gather(gather->differences, count, gather->scratch,
                      &gather->study->evidence.wave[reading]);
}

/* A segment's differences, less the median of its controls. */
static void told_stratum(struct gather *gather,
                         enum flo_observed_reading reading, uint32_t segment,
                         uint32_t stratum, struct told_arms *arms)
{
    size_t updated = arms->updated_count;
    size_t controls = arms->control_count;
    double d;

    for (size_t i = 0; i < gather->observer->count; i++) {
        const struct flo_observer_entry *entry = &gather->observer->entries[i];
        if (is_compared(gather, entry) && entry->observed.segment == segment &&
            flo_observed_stratum(&entry->observed, reading) == stratum &&
            flo_observed_difference(&entry->observed, reading, &d)) {
            if (is_treated(&entry->observed)) {
                arms->updated[updated++] = d;
            } else {
                arms->controls[controls++] = d;
            }
        }
    }
    size_t own = controls - arms->control_count;
    if (own < 2 || updated == arms->updated_count) {
        return; /* nothing to compare with */
    }
    memcpy(gather->scratch, &arms->controls[arms->control_count],
           own * sizeof(*gather->scratch));
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

/* Told to people: over all segments that are not excluded. */
static void gather_told(struct gather *gather, enum flo_measure measure,
                        enum flo_observed_reading reading)
{
    struct flo_study_evidence *evidence = &gather->study->evidence;
    struct told_arms *arms = &gather->told;

    arms->updated_count = arms->control_count = 0;
    for (uint32_t s = 0; s < evidence->segment_count; s++) {
        if (is_excluded(gather, s)) {
            continue;
        }
        told_stratum(gather, reading, s, 0, arms);
        if (gather->older[s] != 0) {
            told_stratum(gather, reading, s, gather->older[s], arms);
        }
    }
    /* Finite: means of readings. */
    (void)flo_told_effect(arms->updated, arms->updated_count, arms->controls,
                          arms->control_count, arms->numbers,
                          &evidence->told[measure].effect);
}

/* Raw rates of errors, against requests and not against the own past. */
static void gather_rates(struct gather *gather)
{
    struct flo_count_arm arms[2] = {0};

    for (size_t i = 0; i < gather->observer->count; i++) {
        const struct flo_observer_entry *entry = &gather->observer->entries[i];
        const struct flo_observed *of = &entry->observed;
        if (is_compared(gather, entry) && !is_excluded(gather, of->segment)) {
            flo_count_add(&arms[is_treated(of) ? 1 : 0], of->since.errors,
                          of->since.requests, of->since.requests);
        }
    }
    (void)flo_told_ratio(
        &arms[1], &arms[0],
        &gather->study->evidence.told[FLO_MEASURE_ERRORS].rate);
}

/* false: the entry is none of those that are compared. */
static bool crashes_of(const struct gather *gather,
                       const struct flo_observer_entry *entry,
                       struct flo_observed_crashes *out)
{
    if (!is_compared(gather, entry) ||
        is_excluded(gather, entry->observed.segment)) {
        return false;
    }
    flo_observed_crashes(&entry->observed, gather->observer->closed, out);
    return true;
}

/* A control's, since its split. */
static void add_first(struct flo_study_crash *crash,
                      const struct flo_observed *observed)
{
    if (!is_treated(observed)) {
        flo_study_crash_first(crash, observed->crashes,
                              flo_observed_hours(observed));
    }
}

/* Crashes soon after the swap, of all phases; a control's since this phase's
 * split. */
static void gather_crashes(struct gather *gather)
{
    struct flo_study_crash *crash = &gather->study->evidence.crash;
    const struct flo_observer_entry *entries = gather->observer->entries;
    struct flo_observed_crashes one;
    double hours = 0;
    double died = 0;

    for (size_t i = 0; i < gather->observer->count; i++) {
        if (crashes_of(gather, &entries[i], &one)) {
            hours += one.hours_before;
            died += one.died_before;
            flo_study_crash_first(crash, one.died_before, one.hours_before);
            add_first(crash, &entries[i].observed);
        }
    }
    double rate = hours > 0 && died > 0 ? died / hours : RATE_MIN;
    for (size_t i = 0; i < gather->observer->count; i++) {
        if (crashes_of(gather, &entries[i], &one)) {
            struct flo_crash_arm *arm = is_treated(&entries[i].observed)
                                            ? &crash->treated
                                            : &crash->control;
            arm->devices += one.has_crashed ? 1 : 0;
            arm->expected += flo_crash_expected(one.hours, one.died_before,
                                                one.hours_before, rate);
        }
    }
    crash->past = (struct flo_crash_arm){.devices = died, .expected = died};
}

static void gather_readers(struct gather *gather, enum flo_measure measure,
                           enum flo_observed_reading reading, uint32_t segment)
{
    for (size_t i = 0; i < gather->observer->count; i++) {
        const struct flo_observer_entry *entry = &gather->observer->entries[i];
        gather->study->evidence.readers[measure] +=
            is_compared(gather, entry) && entry->observed.segment == segment &&
                    flo_observed_reads(&entry->observed, reading)
                ? 1
                : 0;
    }
}

static void gather_ratio(struct gather *gather, enum flo_measure measure,
                         enum flo_observed_reading reading)
{
    struct flo_study_evidence *evidence = &gather->study->evidence;

    for (uint32_t s = 0; s < evidence->segment_count; s++) {
        struct flo_statistic_arms *arms = &evidence->segments[s].arms[measure];
        gather->older[s] = older_stratum(gather, reading, s);
        gather_readers(gather, measure, reading, s);
        gather_stratum(gather, reading, s, 0, &arms->ratio);
        if (gather->older[s] != 0) {
            gather_stratum(gather, reading, s, gather->older[s], &arms->older);
        }
        if (is_excluded(gather, s)) {
            continue;
        }
        gather_wave(gather, reading, s, 0);
        if (gather->older[s] != 0) {
            gather_wave(gather, reading, s, gather->older[s]);
        }
    }
    gather_told(gather, measure, reading);
}

/* Devices above their own past. */
static void gather_above(struct gather *gather, enum flo_measure measure)
{
    int reading = flo_measure_fact(measure)->reading;
    struct flo_observed_change change;

    for (size_t i = 0; i < gather->observer->count; i++) {
        const struct flo_observer_entry *entry = &gather->observer->entries[i];
        const struct flo_observed *of = &entry->observed;
        if (!is_compared(gather, entry)) {
            continue;
        }
        struct flo_study_above *above =
            &gather->study->evidence.segments[of->segment].above[measure];
        struct flo_plain_arm *arm =
            is_treated(of) ? &above->treated : &above->control;
        /* Sums of whole numbers and their logarithms: always finite. */
        if (measure == FLO_MEASURE_ERRORS) {
            (void)flo_plain_add_errors(arm, of->since.errors,
                                       of->since.requests, of->before.errors,
                                       of->before.requests);
        } else {
            flo_observed_change(of, (enum flo_observed_reading)reading,
                                &change);
            (void)flo_plain_add(arm, change.d, change.before, change.after);
        }
    }
}

/* A study that says no weights is asked for all measures. */
static bool has_rule(const struct flo_observe_study *study,
                     enum flo_measure measure)
{
    return study->label_count == 0 || study->weights[measure] > 0;
}

/* ---- memory over time ---- */

/* Slopes of a segment's devices, updated ones from the front and controls
 * from the end. */
static void slopes_of(const struct gather *gather, uint32_t segment,
                      struct flo_slope *out, size_t *updated, size_t *controls)
{
    size_t end = gather->observer->count;

    *updated = *controls = 0;
    for (size_t i = 0; i < gather->observer->count; i++) {
        const struct flo_observer_entry *entry = &gather->observer->entries[i];
        if (!is_compared(gather, entry) || entry->observed.readings == NULL ||
            entry->observed.segment != segment) {
            continue;
        }
        struct flo_slope *slope = is_treated(&entry->observed)
                                      ? &out[*updated]
                                      : &out[end - 1 - *controls];
        flo_slope_read(&entry->observed.readings->memory, slope);
        if (slope->has_slope && slope->has_latest) {
            *(is_treated(&entry->observed) ? updated : controls) += 1;
        }
    }
}

/* The same, less the median of the segment's controls, to be told. */
static void told_slopes(struct gather *gather, const struct flo_slope *slopes,
                        size_t updated, size_t controls)
{
    struct told_arms *arms = &gather->told;
    const struct flo_slope *of_controls =
        &slopes[gather->observer->count - controls];

    if (updated == 0 || controls < 2) {
        return; /* nothing to compare with */
    }
    for (size_t i = 0; i < controls; i++) {
        gather->scratch[i] = of_controls[i].slope;
    }
    double centre = flo_median(gather->scratch, controls);
    for (size_t i = 0; i < updated; i++) {
        arms->updated[arms->updated_count++] = slopes[i].slope - centre;
    }
    for (size_t i = 0; i < controls; i++) {
        arms->controls[arms->control_count++] = of_controls[i].slope - centre;
    }
}

/* FLO_E_MEMORY */
static int gather_leak(struct gather *gather, struct flo_err *err)
{
    struct flo_study_evidence *evidence = &gather->study->evidence;
    size_t count = gather->observer->count;
    struct flo_slope *slopes = calloc(count + 1, sizeof(*slopes));
    double *numbers = calloc(2 * count + 1, sizeof(*numbers));
    size_t updated, controls;

    gather->told.updated_count = gather->told.control_count = 0;
    for (uint32_t s = 0;
         s < evidence->segment_count && slopes != NULL && numbers != NULL;
         s++) {
        slopes_of(gather, s, slopes, &updated, &controls);
        /* Slopes that are read are finite. */
        (void)flo_leak_arms(slopes, updated, &slopes[count - controls],
                            controls, numbers,
                            &evidence->segments[s].arms[FLO_MEASURE_LEAK].leak);
        if (!is_excluded(gather, s)) {
            told_slopes(gather, slopes, updated, controls);
        }
    }
    (void)flo_told_effect(gather->told.updated, gather->told.updated_count,
                          gather->told.controls, gather->told.control_count,
                          gather->told.numbers,
                          &evidence->told[FLO_MEASURE_LEAK].effect);
    int rv = slopes == NULL || numbers == NULL
                 ? flo_fail(err, FLO_E_MEMORY, "evidence")
                 : 0;
    free(slopes);
    free(numbers);
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
        if (!has_rule(gather->study, measure)) {
            continue;
        }
        if (reading >= 0) {
            gather_ratio(gather, measure, (enum flo_observed_reading)reading);
        }
        if (flo_study_has_above(measure)) {
            gather_above(gather, measure);
        }
    }
}

static uint32_t coverage_blocks(const struct flo_observer *observer,
                                const struct flo_observe_study *study)
{
    uint64_t reports =
        (3 * study->heartbeat_ms + observer->block_ms - 1) / observer->block_ms;
    uint64_t blocks = reports + FLO_WARM_BLOCKS;

    return blocks < COVERAGE_BLOCKS_MIN ? COVERAGE_BLOCKS_MIN
                                        : (uint32_t)blocks;
}

/* false: no memory. */
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

int flo_observer_study(struct flo_observer *observer,
                       struct flo_observe_study *study, uint64_t now_ms,
                       struct flo_err *err)
{
    flo_observer_move(observer, now_ms);
    uint32_t number = roster_of(observer, study);
    struct gather gather = {.observer = observer,
                            .study = study,
                            .number = number,
                            .coverage_blocks =
                                coverage_blocks(observer, study)};

    if (number == FLO_OBSERVER_NONE) {
        return flo_fail(err, FLO_E_REST_LIMIT,
                        "%d rollouts are studied already",
                        FLO_OBSERVER_ROSTERS_MAX);
    }
    observer->rosters[number].asked_at_ms = flo_now_ms();
    if (study->split_of[0] != '\0') {
        return flo_observer_pairs_study(observer, study, number, now_ms, err);
    }
    place_members(observer, study, number);
    study->is_new = !study->is_kept && observer->closed != 0 &&
                    observer->closed != study->block;
    if (!study->is_new) {
        return 0;
    }
    study->evidence.phase = study->phase;
    study->evidence.block = observer->closed;
    study->evidence.at_ms = now_ms;
    gather.differences =
        calloc(observer->count + 1, sizeof(*gather.differences));
    gather.scratch = calloc(observer->count + 1, sizeof(*gather.scratch));
    int rv = gather.differences == NULL || gather.scratch == NULL ||
                     !told_open(&gather.told, observer->count)
                 ? flo_fail(err, FLO_E_MEMORY, "evidence")
                 : 0;
    if (rv == 0) {
        gather_all(&gather);
        rv = flo_observer_slow(observer, number, &study->evidence, err);
    }
    if (rv == 0 && has_rule(study, FLO_MEASURE_LEAK)) {
        rv = gather_leak(&gather, err);
    }
    if (rv == 0) {
        rv = flo_observer_probes(observer, number, &study->evidence, err);
    }
    if (rv == 0) {
        rv = flo_observer_scan(observer, study, number, err);
    }
    if (rv == 0) {
        rv = flo_observer_list(observer, study, number, err);
    }
    free(gather.differences);
    free(gather.scratch);
    free(gather.told.updated);
    return rv;
}
