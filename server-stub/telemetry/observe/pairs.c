/* Observe: compares a release with the model whose requests it shares, on each
 * device that has both. */
#include <stdlib.h>
#include <string.h>

#include "server-stub/core/gate/statistics/robust.h"
#include "server-stub/telemetry/observe/cohort.h"

/* ---- readings ---- */

void flo_observer_pair(struct flo_observer_entry *entry, uint32_t block)
{
    const struct flo_readings *readings = entry->observed.readings;

    if (entry->paired != NULL && readings != NULL) {
        flo_paired_read(entry->paired, (enum flo_paired_side)entry->side, block, readings->fresh,
                        readings->y);
    }
}

void flo_observer_pairs_end(struct flo_observer *observer)
{
    for (size_t i = 0; i < observer->count; i++) {
        struct flo_observer_entry *entry = &observer->entries[i];
        if (entry->paired != NULL && entry->side == FLO_PAIRED_NEW) {
            flo_paired_end(entry->paired);
        }
    }
}

/* ---- members ---- */

void flo_observer_part(struct flo_observer *observer, struct flo_observer_entry *entry)
{
    struct flo_paired *paired = entry->paired;

    if (paired == NULL) {
        return;
    }
    for (uint32_t at = observer->first[entry->device]; at != FLO_OBSERVER_NONE;
         at = observer->entries[at].next) {
        if (observer->entries[at].paired == paired) {
            observer->entries[at].paired = NULL;
        }
    }
    free(paired);
}

/* Pairs two models on a device.  A model is compared with one other at a time,
 * that of the latest analysis. */
static int join(struct flo_observer *observer, struct flo_observer_entry *old,
                struct flo_observer_entry *new, struct flo_err *err)
{
    if (old->paired != NULL && old->paired == new->paired) {
        return 0;
    }
    flo_observer_part(observer, old);
    flo_observer_part(observer, new);
    new->paired = calloc(1, sizeof(*new->paired));
    if (new->paired == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "evidence");
    }
    old->paired = new->paired;
    old->side = FLO_PAIRED_OLD;
    new->side = FLO_PAIRED_NEW;
    return 0;
}

static int place(struct flo_observer *observer, const struct flo_observe_analysis *analysis,
                 uint32_t cohort, struct flo_err *err)
{
    for (size_t i = 0; i < analysis->member_count; i++) {
        const struct flo_observe_member *member = &analysis->members[i];
        struct flo_observer_entry *new =
            flo_observer_find(observer, member->device, analysis->model);
        struct flo_observer_entry *old =
            flo_observer_find(observer, member->device, analysis->split_of);
        if (new == NULL || old == NULL) {
            continue; /* one of the two models has sent no telemetry window from
                         this device yet */
        }
        if (!flo_observer_may_take(observer, new, cohort, (enum flo_member_way)member->way)) {
            continue;
        }
        /* The counts are from a rollout that compared devices with each other,
         * so they are dropped. */
        if (new->observed.rollout != 0) {
            flo_observed_release(&new->observed);
            flo_observer_waves_forget(new);
        }
        new->cohort = cohort;
        new->site = member->site;
        new->observed.segment = member->segment;
        if (member->way == FLO_MEMBER_SWAPPED) {
            FLO_TRY(join(observer, old, new, err));
        }
    }
    return 0;
}

/* ---- sums ---- */

struct pairing {
    const struct flo_observer *observer;
    struct flo_analysis_evidence *evidence;
    uint32_t cohort;
    double rate;           /* errors per request of the old model, over all devices */
    double bad;            /* share of the old model's rated answers that were rated bad */
    double usual_requests; /* median number of requests over the sides that have any */
    double usual_judged;
    struct flo_difference *differences;
    double *scratch;
    double *numbers; /* flo_told_numbers */
};

static const struct flo_paired *paired_of(const struct pairing *pairing, size_t i)
{
    const struct flo_observer_entry *entry = &pairing->observer->entries[i];

    return entry->cohort == pairing->cohort && entry->side == FLO_PAIRED_NEW &&
                   entry->observed.segment < pairing->evidence->segment_count
               ? entry->paired
               : NULL;
}

static void add_rates(struct pairing *pairing)
{
    double requests = 0, errors = 0, judged = 0, bad = 0;

    for (size_t i = 0; i < pairing->observer->count; i++) {
        const struct flo_paired *paired = paired_of(pairing, i);
        if (paired != NULL) {
            requests += paired->sides[FLO_PAIRED_OLD].requests;
            errors += paired->sides[FLO_PAIRED_OLD].errors;
            judged += paired->sides[FLO_PAIRED_OLD].judged;
            bad += paired->sides[FLO_PAIRED_OLD].bad;
        }
    }
    pairing->rate = requests > 0 ? errors / requests : 0;
    pairing->bad = judged > 0 ? bad / judged : 0;
}

/* Returns the median number of requests, or of rated answers with is_judged,
 * over the sides that have any. */
static double usual_of(const struct pairing *pairing, bool is_judged)
{
    size_t count = 0;

    for (size_t i = 0; i < pairing->observer->count; i++) {
        const struct flo_paired *paired = paired_of(pairing, i);
        for (size_t side = 0; paired != NULL && side < FLO_PAIRED_SIDES; side++) {
            const struct flo_paired_sums *sums = &paired->sides[side];
            double one = is_judged ? sums->judged : sums->requests;
            if (one > 0) {
                pairing->scratch[count++] = one;
            }
        }
    }
    return count > 0 ? flo_median(pairing->scratch, count) : 0;
}

static void count_side(const struct pairing *pairing, const struct flo_paired_sums *sums,
                       struct flo_analysis_segment *segment, bool is_new)
{
    double hours = sums->blocks / FLO_BLOCKS_PER_HOUR;
    const struct {
        enum flo_measure measure;
        double events, expected, exposure, usual;
    } rows[] = {
        {FLO_MEASURE_ERRORS, sums->errors, flo_expected_errors(sums->requests, 0, 0, pairing->rate),
         sums->requests, pairing->usual_requests},
        {FLO_MEASURE_FEEDBACK, sums->bad, flo_expected_errors(sums->judged, 0, 0, pairing->bad),
         sums->judged, pairing->usual_judged},
        {FLO_MEASURE_CRASHES, sums->crashes, hours, hours, hours},
    };

    for (size_t i = 0; i < FLO_COUNT(rows); i++) {
        struct flo_statistic_arms *arms = &segment->arms[rows[i].measure];
        flo_count_add_usual(is_new ? &arms->count.treated : &arms->count.control, rows[i].events,
                            rows[i].expected, rows[i].exposure, rows[i].usual);
    }
}

static void add_counts(struct pairing *pairing)
{
    struct flo_analysis_evidence *evidence = pairing->evidence;

    for (size_t i = 0; i < pairing->observer->count; i++) {
        const struct flo_paired *paired = paired_of(pairing, i);
        if (paired != NULL) {
            struct flo_analysis_segment *segment =
                &evidence->segments[pairing->observer->entries[i].observed.segment];
            const struct flo_paired_sums *old = &paired->sides[FLO_PAIRED_OLD];
            count_side(pairing, old, segment, false);
            flo_analysis_crash_first(&evidence->crash, old->crashes,
                                     old->blocks / FLO_BLOCKS_PER_HOUR);
            count_side(pairing, &paired->sides[FLO_PAIRED_NEW], segment, true);
            evidence->treated++;
            evidence->controls++;
        }
    }
}

/* Adds a ratio, such as the time to the first token.  The control arm has a
 * change of 0 for each device, as the old model compared with itself.  This
 * arm's variance of 0 is pooled with that of the updated arm, so the interval
 * is at most 1.22 times too wide. */
static void add_ratio(struct pairing *pairing, enum flo_measure measure, uint32_t segment)
{
    int reading = flo_measure_fact(measure)->reading;
    struct flo_arms arms;
    size_t count = 0;
    double d;

    for (size_t i = 0; i < pairing->observer->count; i++) {
        const struct flo_observer_entry *entry = &pairing->observer->entries[i];
        const struct flo_paired *paired = paired_of(pairing, i);
        if (paired == NULL || entry->observed.segment != segment) {
            continue;
        }
        pairing->evidence->readers[measure] +=
            flo_paired_reads(paired, (enum flo_observed_reading)reading) ? 1 : 0;
        if (!flo_paired_difference(paired, (enum flo_observed_reading)reading, &d)) {
            continue;
        }
        pairing->differences[count++] =
            (struct flo_difference){.d = d, .site = entry->site, .is_treated = true};
        pairing->differences[count++] = (struct flo_difference){.d = 0, .site = entry->site};
    }
    flo_arms_build(pairing->differences, count, pairing->scratch, &arms);
    pairing->evidence->segments[segment].arms[measure].ratio = arms.arms;
    (void)flo_pooled_add(&pairing->evidence->wave[reading], &arms.arms);
}

/* Adds the changes of all segments to the effect that people see.  Outliers are
 * not limited here. */
static void add_told(struct pairing *pairing, enum flo_measure measure)
{
    int reading = flo_measure_fact(measure)->reading;
    size_t count = 0;
    double d;

    for (size_t i = 0; i < pairing->observer->count; i++) {
        const struct flo_paired *paired = paired_of(pairing, i);
        if (paired != NULL &&
            flo_paired_difference(paired, (enum flo_observed_reading)reading, &d)) {
            pairing->scratch[count++] = d;
        }
    }
    double *zeros = pairing->scratch + count;
    memset(zeros, 0, count * sizeof(*zeros));
    (void)flo_told_effect(pairing->scratch, count, zeros, count, pairing->numbers,
                          &pairing->evidence->told[measure].effect);
}

static void add_all(struct pairing *pairing)
{
    add_rates(pairing);
    pairing->usual_requests = usual_of(pairing, false);
    pairing->usual_judged = usual_of(pairing, true);
    add_counts(pairing);
    for (int i = 0; i < FLO_MEASURE_COUNT; i++) {
        for (uint32_t s = 0; s < pairing->evidence->segment_count; s++) {
            if (flo_measure_fact((enum flo_measure)i)->reading >= 0) {
                add_ratio(pairing, (enum flo_measure)i, s);
            }
        }
        if (flo_measure_fact((enum flo_measure)i)->reading >= 0) {
            add_told(pairing, (enum flo_measure)i);
        }
    }
}

int flo_observer_pairs_analysis(struct flo_observer *observer,
                                struct flo_observe_analysis *analysis, uint32_t cohort,
                                uint64_t now_ms, struct flo_err *err)
{
    struct pairing pairing = {
        .observer = observer, .evidence = &analysis->evidence, .cohort = cohort};
    int rv = place(observer, analysis, cohort, err);

    analysis->is_new = rv == 0 && !analysis->is_kept && observer->closed != 0 &&
                       observer->closed != analysis->block;
    FLO_TRY(rv);
    if (!analysis->is_new) {
        return rv;
    }
    analysis->evidence.phase = analysis->phase;
    analysis->evidence.block = observer->closed;
    analysis->evidence.at_ms = now_ms;
    pairing.differences = calloc(2 * observer->count + 1, sizeof(*pairing.differences));
    pairing.scratch = calloc(2 * observer->count + 1, sizeof(*pairing.scratch));
    pairing.numbers = calloc(flo_told_numbers(FLO_TOLD_PAIRS_DEVICES_MAX, observer->count),
                             sizeof(*pairing.numbers));
    if (pairing.differences == NULL || pairing.scratch == NULL || pairing.numbers == NULL) {
        rv = flo_fail(err, FLO_E_MEMORY, "evidence");
    } else {
        add_all(&pairing);
    }
    free(pairing.differences);
    free(pairing.scratch);
    free(pairing.numbers);
    return rv;
}
