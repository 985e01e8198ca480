/* Analysis: writes its findings as sentences for people. */
#include <assert.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <flotilla/plural.h>

#include "server-stub/core/gate/analysis/analysis.h"
#include "server-stub/core/gate/statistics/numbers.h"
#include "server-stub/core/gate/statistics/sites.h"

/* Text that is built piece by piece. Text beyond its end is cut off. */
struct line {
    char *out;
    size_t used;
};

static FLO_PRINTF(2, 3) void say(struct line *line, const char *format, ...)
{
    va_list list;

    assert(line->used < FLO_ANALYSIS_TEXT);
    va_start(list, format);
    int chars = vsnprintf(line->out + line->used, FLO_ANALYSIS_TEXT - line->used, format, list);
    va_end(list);
    if (chars > 0) {
        size_t room = FLO_ANALYSIS_TEXT - 1 - line->used;
        line->used += (size_t)chars < room ? (size_t)chars : room;
        line->used = flo_utf8_valid(line->out, line->used);
        line->out[line->used] = '\0';
    }
}

#define TIMES_FROM 0.6 /* effects are shown as "times" from this logarithm on: ratio 1.8 */

static const char *open_text(enum flo_open open)
{
    switch (open) {
    case FLO_OPEN_NOBODY:
        return "no updated device has a control yet";
    case FLO_OPEN_TWO:
    case FLO_OPEN_FEW:
        return "too few devices yet";
    case FLO_OPEN_NONE_YET:
        return "nothing was counted yet";
    case FLO_OPEN_ALONE:
        return "no controls are left to compare with";
    case FLO_OPEN_UNSURE:
    case FLO_OPEN_NOT:
        break;
    }
    return "not proven yet";
}

static void say_verdict(struct line *line, enum flo_verdict verdict, enum flo_open open)
{
    say(line, ": %s",
        verdict == FLO_VERDICT_FAIL   ? "fail"
        : verdict == FLO_VERDICT_PASS ? "pass"
                                      : open_text(open));
}

/* Writes an effect as "+65 %", or a large one as "2.0 times". */
static void say_effect(struct line *line, double effect, bool has_interval, double low, double high)
{
    bool is_times = effect > TIMES_FROM;

    if (is_times) {
        say(line, " %.3g times", exp(effect));
    } else {
        say(line, " %+.1f %%", flo_change_pct(effect));
    }
    if (has_interval && isfinite(low) && isfinite(high)) {
        say(line, is_times ? " (95 %% CI %.3g…%.3g)" : " (95 %% CI %+.1f…%+.1f)",
            is_times ? exp(low) : flo_change_pct(low), is_times ? exp(high) : flo_change_pct(high));
    }
}

void flo_analysis_effect_text(double effect, char *out)
{
    char text[FLO_ANALYSIS_TEXT] = "";
    struct line line = {.out = text};

    say_effect(&line, effect, false, 0, 0);
    snprintf(out, FLO_ANALYSIS_TEXT, "%s", text + 1);
}

static void say_ratio(struct line *line, const struct flo_ratio_rule *rule,
                      const struct flo_ratio_result *result, const struct flo_told *told)
{
    if (!result->has_effect) {
        say_verdict(line, result->verdict, result->open);
        return;
    }
    if (told->has_effect) {
        say_effect(line, told->effect, told->has_interval, told->low, told->high);
    } else {
        say_effect(line, result->delta, result->has_spread, result->low, result->high);
    }
    if (result->has_look && result->verdict != FLO_VERDICT_FAIL) {
        say(line, ", at most %+.1f %%", flo_change_pct(result->upper));
    }
    say(line, " on %llu updated against %llu controls, ", (unsigned long long)result->treated,
        (unsigned long long)result->control);
    if (result->has_look && result->verdict != FLO_VERDICT_FAIL) {
        say(line, "has to be below %+.4g %%", rule->prove_pct);
    } else {
        say(line, "limit %+.4g %%", rule->limit_pct);
    }
    say_verdict(line, result->verdict, result->open);
}

/* Writes the growth of memory per hour.  This is the effect as shown to people,
 * else the difference of both arms' median slopes. */
static void say_leak(struct line *line, const struct flo_leak_rule *rule,
                     const struct flo_leak_result *result, const struct flo_told *told)
{
    if (!result->has_slope) {
        say(line, ": too few readings yet");
        return;
    }
    say(line, " %+.2g %% an hour", flo_change_pct(told->has_effect ? told->effect : result->slope));
    if (told->has_interval && isfinite(told->low) && isfinite(told->high)) {
        say(line, " (95 %% CI %+.2g…%+.2g)", flo_change_pct(told->low), flo_change_pct(told->high));
    }
    say(line, " on %llu updated against %llu controls, limit %+.4g %% an hour",
        (unsigned long long)result->updated, (unsigned long long)result->controls, rule->limit_pct);
    say_verdict(line, result->verdict, result->open);
}

/* Writes the rate of the updated devices as a ratio to that of the controls. */
static void say_rates(struct line *line, const struct flo_told_rate *rate)
{
    if (!rate->has_ratio && rate->rate_updated <= 0) {
        say(line, " none");
        return;
    }
    if (rate->has_ratio) {
        say(line, " %.3g times", rate->ratio);
    } else {
        say(line, " against none of the controls");
    }
    if (isfinite(rate->high)) {
        say(line, " (95 %% CI %.2g…%.3g)", rate->low, rate->high);
    } else {
        say(line, " (95 %% CI from %.2g)", rate->low);
    }
}

static void say_times(struct line *line, const struct flo_count_result *result,
                      const struct flo_told_rate *rate)
{
    if (rate->has_rates) {
        say_rates(line, rate);
        return;
    }
    if (!result->has_ratio) {
        say(line, " none");
    } else if (isinf(result->ratio)) {
        say(line, " against none of the controls");
    } else {
        say(line, " %.3g times", result->ratio);
    }
    if (result->has_ratio && isfinite(result->high)) {
        say(line, " (95 %% CI %.2g…%.3g)", result->low, result->high);
    } else if (result->has_ratio) {
        say(line, " (95 %% CI from %.2g)", result->low);
    }
}

/* Writes a count of events: of devices as two counts, of others as a ratio of
 * rates. */
static void say_count(struct line *line, const char *per, const struct flo_count_rule *rule,
                      const struct flo_count_result *result, const struct flo_told_rate *rate)
{
    bool is_devices = strcmp(per, "devices") == 0;

    if (!result->has_numbers) {
        say_verdict(line, result->verdict, result->open);
        return;
    }
    if (is_devices) {
        say(line, ": %.0f of %llu against %.0f of %llu", result->events_treated,
            (unsigned long long)result->treated, result->events_control,
            (unsigned long long)result->control);
    } else {
        say_times(line, result, rate);
        say(line, ": %.0f in %.0f %s against %.0f in %.0f, limit %.3g times",
            result->events_treated, result->exposure_treated, per, result->events_control,
            result->exposure_control, rule->limit_ratio);
    }
    say_verdict(line, result->verdict, result->open);
}

bool flo_analysis_effect(const struct flo_analysis_row *row, double *value, double *low,
                         double *high)
{
    const struct flo_told *told = &row->told.effect;
    const struct flo_told_rate *rate = &row->told.rate;

    if (told->has_effect) {
        *value = flo_change_pct(told->effect);
        *low = told->has_interval ? flo_change_pct(told->low) : INFINITY;
        *high = told->has_interval ? flo_change_pct(told->high) : INFINITY;
        return true;
    }
    *value = rate->ratio;
    *low = rate->low;
    *high = rate->high;
    return rate->has_rates && rate->has_ratio;
}

void flo_analysis_text(enum flo_measure measure, const struct flo_analysis_row *row,
                       const char *segment_or_null, char *out)
{
    const struct flo_statistic_rule *rule = &row->rule;
    const struct flo_statistic_result *result = &row->result;
    const struct flo_measure_fact *fact = flo_measure_fact(measure);
    struct line line = {.out = out};

    assert(rule->kind == result->kind && rule->kind == fact->kind);
    out[0] = '\0';
    if (segment_or_null != NULL && segment_or_null[0] != '\0') {
        say(&line, "%.40s: ", segment_or_null);
    }
    say(&line, "%s", fact->title);
    switch (result->kind) {
    case FLO_STATISTIC_RATIO:
        say_ratio(&line, &rule->ratio, &result->ratio, &row->told.effect);
        break;
    case FLO_STATISTIC_COUNT:
        say_count(&line, fact->per, &rule->count, &result->count, &row->told.rate);
        break;
    case FLO_STATISTIC_DEATHS:
        if (result->deaths.has_tail) {
            say(&line, ", chance %.2g, limit 0.0025", result->deaths.tail);
        }
        say_verdict(&line, result->verdict, FLO_OPEN_NONE_YET);
        break;
    case FLO_STATISTIC_LEAK:
        say_leak(&line, &rule->leak, &result->leak, &row->told.effect);
        break;
    case FLO_STATISTIC_SHARE:
        break;
    }
}

/* Returns the text for a measure that is worse on controls too. */
static const char *worse_text(enum flo_measure measure)
{
    return measure == FLO_MEASURE_ERRORS       ? "more errors everywhere"
           : measure == FLO_MEASURE_ENGINE_RSS ? "more memory everywhere"
                                               : "everything is slower";
}

static void steep_text(enum flo_measure measure, const struct flo_analysis_steep *steep, char *out)
{
    const struct flo_plain_arm *updated = &steep->arms.treated;
    const struct flo_plain_arm *others = &steep->arms.control;

    assert(steep->verdict != FLO_PLAIN_OPEN);
    if (steep->verdict == FLO_PLAIN_EVERYWHERE) {
        snprintf(out, FLO_ANALYSIS_TEXT, "%s: %s, %u of %u others too: not the release",
                 flo_measure_fact(measure)->title, worse_text(measure), others->above,
                 others->devices);
        return;
    }
    snprintf(out, FLO_ANALYSIS_TEXT,
             "%s: %u of %u updated device%s above 1.5 times their own past, %u "
             "of %u others: %s",
             flo_measure_fact(measure)->title, updated->above, updated->devices,
             flo_s(updated->devices), others->above, others->devices,
             steep->verdict == FLO_PLAIN_FAIL    ? "fail"
             : steep->verdict == FLO_PLAIN_PAUSE ? "too few others to know"
                                                 : "not proven yet");
}

static void soon_text(const struct flo_analysis_soon *soon, char *out)
{
    const struct flo_analysis_crash *arms = &soon->arms;

    snprintf(out, FLO_ANALYSIS_TEXT,
             "crashes: %.0f within 2 h of the swap, their own past lets %.2g "
             "expect; of controls %.0f, %.2g expected: %s",
             arms->treated.devices, arms->treated.expected, arms->control.devices,
             arms->control.expected,
             soon->result.verdict == FLO_VERDICT_FAIL ? "fail" : "not proven yet");
}

bool flo_analysis_past_text(enum flo_measure measure, const struct flo_analysis_standing *standing,
                            char *out)
{
    if (flo_analysis_is_soon(standing)) {
        soon_text(&standing->soon, out);
        return true;
    }
    if (standing->steep.verdict == FLO_PLAIN_OPEN || standing->result.verdict == FLO_VERDICT_FAIL) {
        return false;
    }
    steep_text(measure, &standing->steep, out);
    return true;
}

struct slice_end_fact {
    const char *word, *text;
};
static const struct slice_end_fact *slice_end(enum flo_slice_end end)
{
    static const struct slice_end_fact facts[] = {
        [FLO_END_TOLD] = {"told", "nothing is done there"},
        [FLO_END_HELD] = {"held", "held there"},
        [FLO_END_BACK] = {"back", "taken back there"},
        [FLO_END_ALL] = {"all", "a matter of the whole rollout"}};

    assert((size_t)end < FLO_COUNT(facts));
    return &facts[end];
}

const char *flo_slice_end_word(enum flo_slice_end end)
{
    return slice_end(end)->word;
}

void flo_analysis_probe_text(const struct flo_analysis_probe *probe, uint32_t count, char *out)
{
    struct line line = {.out = out};

    out[0] = '\0';
    if (probe->is_count) {
        say(&line, "%s on ", flo_measure_fact(probe->measure)->title);
    }
    say(&line, "%.8s at %s ", probe->device, probe->name);
    if (probe->is_count) {
        say(&line, "are far above its own past");
    } else {
        say(&line, "is %.1f times slower than the others there", exp(probe->least));
    }
    say(&line, ": %u more there first, the next phase waits until they have soaked", count);
}

/* Writes that the slice has no controls, or too few, to compare with. */
static void say_unclear(struct line *line, const struct flo_analysis_slice *slice,
                        enum flo_slice_end end)
{
    bool is_done = slice->is_asked && end != FLO_END_TOLD;

    if (slice->controls == 0) {
        say(line, "no device there runs the old release any more");
    } else {
        say(line, "only %u device%s there run%s the old release", slice->controls,
            flo_s(slice->controls), slice->controls == 1 ? "s" : "");
    }
    say(line, ": cannot tell; %s%s", is_done ? slice_end(end)->text : "look there",
        is_done ? ", look" : "");
}

/* Writes how many updated devices of a slice are far above their own past. */
static void say_far(struct line *line, const struct flo_analysis_slice *slice)
{
    assert(slice->far <= slice->updated);
    say(line, " at %s: %u of %u updated device%s far above their own past, ", slice->name,
        slice->far, slice->updated, flo_s(slice->updated));
    if (slice->is_culprit) {
        say(line, "%.3g of %u others there", slice->far_controls, slice->controls);
    }
}

static void say_slower(struct line *line, const struct flo_analysis_slice *slice)
{
    const struct flo_told *told = &slice->told;

    assert(slice->far <= slice->updated);
    say_effect(line, told->effect, told->has_interval, told->low, told->high);
    say(line, " at %s", slice->name);
    if (!slice->is_culprit) {
        say(line, "%s, ", slice->is_asked ? " since the update" : "");
        return;
    }
    say(line, ": %u of %u updated device%s against %u there that are not", slice->far,
        slice->updated, flo_s(slice->updated), slice->controls);
    if (slice->has_elsewhere) {
        say(line, "; elsewhere");
        say_effect(line, slice->elsewhere, false, 0, 0);
    }
}

void flo_analysis_slice_text(const struct flo_analysis_slice *slice, enum flo_slice_end end,
                             char *out)
{
    const struct flo_measure_fact *fact = flo_measure_fact(slice->measure);
    struct line line = {.out = out};

    out[0] = '\0';
    say(&line, "%s", fact->title);
    (fact->kind == FLO_STATISTIC_COUNT ? say_far : say_slower)(&line, slice);
    if (!slice->is_culprit) {
        say_unclear(&line, slice, end);
        return;
    }
    if (slice->found[0] != '\0') {
        say(&line, " (found in %s)", slice->found);
    }
    say(&line, ": %s", slice_end(end)->text);
}

void flo_analysis_scan_text(const struct flo_analysis_scan *scan, char *out)
{
    struct line line = {.out = out};

    out[0] = '\0';
    say(&line, "%s: ", scan->label);
    if (scan->values == 0) {
        say(&line, "no device has it, so nothing is looked for there");
        return;
    }
    if (scan->left_values == 0) {
        say(&line, "%u value%s", scan->values, flo_s(scan->values));
        return;
    }
    say(&line,
        "%u of %u values are scanned, those with the most devices; the other "
        "%u device%s %s in none of its slices",
        scan->values, scan->values + scan->left_values, scan->left_devices,
        flo_s(scan->left_devices), flo_plural(scan->left_devices, "is", "are"));
}

void flo_analysis_changed_text(const struct flo_analysis_changed *changed, char *out)
{
    struct line line = {.out = out};

    out[0] = '\0';
    say(&line, "%s: %s", flo_measure_fact(changed->measure)->title, changed->name);
    say_effect(&line, changed->shift, false, 0, 0);
    say(&line, "%s: the site changed, not the release",
        changed->has_both ? " on devices of both releases" : " on devices of the old release");
}

void flo_analysis_further(const struct flo_analysis *analysis, char *out)
{
    struct line line = {.out = out};

    assert(analysis->rules.count <= FLO_MEASURE_COUNT);
    out[0] = '\0';
    for (uint32_t i = 0; i < analysis->rules.count; i++) {
        if ((analysis->state.further >> i & 1) != 0) {
            say(&line, "%s%s", line.used > 0 ? ", " : "",
                flo_measure_fact(analysis->rules.rules[i].measure)->title);
        }
    }
}

void flo_analysis_say(const struct flo_analysis *analysis, uint32_t rule, uint32_t phase,
                      uint32_t segments, char *out)
{
    const struct flo_analysis_standing *standing = &analysis->state.standing[rule];
    enum flo_measure measure = analysis->rules.rules[rule].measure;
    struct flo_analysis_row row = {.result = standing->result, .told = standing->told};

    assert(rule < analysis->rules.count);
    if (!standing->has_result) {
        snprintf(out, FLO_ANALYSIS_TEXT, "%s: no evidence came yet",
                 flo_measure_fact(measure)->title);
        return;
    }
    if (flo_analysis_past_text(measure, standing, out)) {
        return;
    }
    if ((analysis->state.unread >> rule & 1) != 0) {
        snprintf(out, FLO_ANALYSIS_TEXT, "%s: not judged, no device has a request of this kind",
                 flo_measure_fact(measure)->title);
        return;
    }
    if (analysis->state.few_sites != 0 && standing->result.kind == FLO_STATISTIC_RATIO &&
        !standing->result.ratio.has_effect) {
        snprintf(out, FLO_ANALYSIS_TEXT,
                 "%s: no comparison, the updated devices stand at fewer than "
                 "%d sites and controls at others",
                 flo_measure_fact(measure)->title, FLO_SITES_MIN);
        return;
    }
    flo_analysis_test(&analysis->rules, rule, phase, segments, true, &row.rule);
    flo_analysis_text(measure, &row, NULL, out);
}
