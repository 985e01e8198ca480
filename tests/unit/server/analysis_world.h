/* Evidence of an analysis, made by hand, and its judgement: for tests of gates. */
#ifndef FLOTILLA_TESTS_ANALYSIS_WORLD_H
#define FLOTILLA_TESTS_ANALYSIS_WORLD_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/server/analysis_waves.h"

static struct flo_analysis *analysis_new(enum flo_preset preset)
{
    struct flo_analysis *analysis = calloc(1, sizeof(*analysis));

    flo_analysis_preset(preset, &analysis->rules);
    flo_analysis_phase(analysis, 0);
    return analysis;
}

static void set_ratio(struct flo_analysis_segment *segment, enum flo_measure measure, double change)
{
    segment->arms[measure].ratio = (struct flo_ratio_segment){
        .treated = {50, log1p(change), 50 * 0.08 * 0.08}, .control = {400, 0, 400 * 0.08 * 0.08}};
}

static void set_count(struct flo_analysis_segment *segment, enum flo_measure measure,
                      double treated, double control, double exposure)
{
    segment->arms[measure].count.treated = (struct flo_count_arm){.devices = 50,
                                                                  .events = treated,
                                                                  .expected = exposure,
                                                                  .exposure = exposure,
                                                                  .sxx = treated,
                                                                  .sxl = treated * exposure / 50,
                                                                  .sll = exposure * exposure / 50};
    segment->arms[measure].count.control =
        (struct flo_count_arm){.devices = 400,
                               .events = control,
                               .expected = 8 * exposure,
                               .exposure = 8 * exposure,
                               .sxx = control,
                               .sxl = control * 8 * exposure / 400,
                               .sll = 64 * exposure * exposure / 400};
}

/* Growth in an hour, of the whole time and of its latest half. */
static void set_leak(struct flo_analysis_segment *segment, double an_hour, double latest)
{
    segment->arms[FLO_MEASURE_LEAK].leak =
        (struct flo_leak_arms){.treated = {50, log1p(an_hour), 50 * 0.006 * 0.006},
                               .control = {400, 0, 400 * 0.006 * 0.006},
                               .slope = log1p(an_hour),
                               .latest = log1p(latest)};
}

/* Nothing is worse. */
static void set_well(struct flo_analysis_segment *segment, const char *name)
{
    snprintf(segment->name, sizeof(segment->name), "%s", name);
    segment->members = 450;
    for (int i = 0; i < FLO_MEASURE_COUNT; i++) {
        if (flo_measure_fact((enum flo_measure)i)->kind == FLO_STATISTIC_RATIO) {
            set_ratio(segment, (enum flo_measure)i, 0);
        }
    }
    set_leak(segment, 0, 0);
    set_count(segment, FLO_MEASURE_ERRORS, 10, 80, 100000);
    set_count(segment, FLO_MEASURE_CRASHES, 0, 0, 200);
    set_count(segment, FLO_MEASURE_MUCH_SLOWER, 0, 0, 50);
    set_count(segment, FLO_MEASURE_COVERAGE, 0, 0, 50);
    segment->arms[FLO_MEASURE_DEATHS].deaths.treated.exposure = 100;
    segment->arms[FLO_MEASURE_DEATHS].deaths.control.exposure = 3200;
}

static struct flo_analysis_evidence *evidence_new(uint32_t segments)
{
    struct flo_analysis_evidence *evidence = calloc(1, sizeof(*evidence));
    char name[24];

    evidence->segment_count = segments;
    evidence->treated = 50 * segments;
    evidence->controls = 400 * segments;
    for (uint32_t i = 0; i < segments; i++) {
        snprintf(name, sizeof(name), "class-%u", i);
        set_well(&evidence->segments[i], name);
    }
    return evidence;
}

struct judged {
    struct flo_analysis_finding finding;
    struct flo_analysis_results results;
    json_t *record;
};

/* Judge, and see that the record says the same. */
static struct judged *judge(struct flo_analysis *analysis, struct flo_analysis_evidence *evidence,
                            const struct flo_analysis_moment *moment)
{
    struct judged *judged = calloc(1, sizeof(*judged));
    struct flo_err err = {0};
    double worst;

    evidence->block++;
    evidence->phase = moment->phase;
    set_wave(evidence, analysis->state.excluded);
    flo_analysis_judge(analysis, evidence, moment, &judged->results, &judged->finding);
    judged->record = flo_analysis_record(analysis, "r-0001", evidence, moment, &judged->results,
                                         &judged->finding);
    assert_non_null(judged->record);
    char *text = json_dumps(judged->record, JSON_REAL_PRECISION(17));
    json_t *read = json_loads(text, 0, NULL);
    if (flo_analysis_replay(read, NULL, NULL, &worst, &err) < 0) {
        fail_msg("%s in %s", err.what, text);
    }
    assert_true(worst < 1e-9);
    json_decref(read);
    free(text);
    return judged;
}

static enum flo_phase_verdict verdict(struct flo_analysis *analysis,
                                      struct flo_analysis_evidence *evidence,
                                      const struct flo_analysis_moment *moment)
{
    struct judged *judged = judge(analysis, evidence, moment);
    enum flo_phase_verdict of = judged->finding.verdict;

    json_decref(judged->record);
    free(judged);
    return of;
}

static const struct flo_analysis_moment under_way = {.soaked_s = -1, .soak_s = 3600};
static const struct flo_analysis_moment soaked = {.soaked_s = 3600, .soak_s = 3600};

#endif
