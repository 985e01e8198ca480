/* Record: converts tests to and from JSON. */
#include <assert.h>
#include <math.h>
#include <string.h>

#include <flotilla/errors/gate.h>

#include "server-stub/core/gate/statistics/numbers.h"
#include "server-stub/core/gate/statistics/record.h"

#define COUNT_MAX 9007199254740992.0 /* 2^53 */

#define WEIGHT 0.2 /* default weight */

static const char *const kinds[] = {"ratio", "count", "deaths", "share", "leak"};

const char *flo_statistic_kind_word(enum flo_statistic_kind kind)
{
    assert((size_t)kind < FLO_COUNT(kinds));
    return kinds[kind];
}

/* ---- evaluate ---- */

static bool has_older(const struct flo_statistic_arms *arms)
{
    return arms->older.treated.devices != 0 || arms->older.control.devices != 0;
}

static bool evaluate_ratio(const struct flo_statistic_rule *rule,
                           const struct flo_statistic_arms *segments, size_t count, uint32_t look,
                           bool plain, struct flo_statistic_result *out)
{
    struct flo_ratio_segment arms[2 * FLO_SEGMENTS_MAX];
    size_t strata = 0;

    assert(count <= FLO_SEGMENTS_MAX);
    for (size_t i = 0; i < count; i++) {
        arms[strata++] = segments[i].ratio;
        if (has_older(&segments[i])) {
            arms[strata++] = segments[i].older;
        }
    }
    bool is_possible = flo_ratio_evaluate(&rule->ratio, arms, strata, look, plain, &out->ratio);
    out->verdict = out->ratio.verdict;
    out->ln_e = out->ratio.ln_e;
    return is_possible;
}

static bool evaluate_share(const struct flo_statistic_rule *rule,
                           const struct flo_statistic_arms *arms, struct flo_statistic_result *out)
{
    bool is_possible = flo_share_evaluate(&rule->share, arms->share.bad, arms->share.done,
                                          arms->share.members, &out->share.of);

    out->share.bad = arms->share.bad;
    out->share.done = arms->share.done;
    out->share.limit_pct = rule->share.limit_pct;
    out->verdict = out->share.of.verdict;
    out->ln_e = out->share.of.ln_e;
    return is_possible;
}

bool flo_statistic_evaluate(const struct flo_statistic_rule *rule,
                            const struct flo_statistic_arms *segments, size_t count, uint32_t look,
                            bool plain, struct flo_statistic_result *out)
{
    bool is_possible = false;

    assert(rule->kind == FLO_STATISTIC_RATIO || count == 1);
    memset(out, 0, sizeof(*out));
    out->kind = rule->kind;
    switch (rule->kind) {
    case FLO_STATISTIC_RATIO:
        return evaluate_ratio(rule, segments, count, look, plain, out);
    case FLO_STATISTIC_COUNT:
        is_possible = flo_count_evaluate(&rule->count, &segments->count.treated,
                                         &segments->count.control, look, &out->count);
        out->verdict = out->count.verdict;
        out->ln_e = out->count.ln_e;
        break;
    case FLO_STATISTIC_DEATHS:
        is_possible =
            flo_deaths_evaluate(&segments->deaths.treated, &segments->deaths.control, &out->deaths);
        out->verdict = out->deaths.verdict;
        break;
    case FLO_STATISTIC_SHARE:
        is_possible = evaluate_share(rule, segments, out);
        break;
    case FLO_STATISTIC_LEAK:
        is_possible = flo_leak_judge(&rule->leak, &segments->leak, &out->leak);
        out->verdict = out->leak.verdict;
        out->ln_e = out->leak.ln_e;
        break;
    }
    return is_possible;
}

/* ---- parts of the level, sums of segments ---- */

double flo_statistic_weight(const struct flo_statistic_rule *rule)
{
    switch (rule->kind) {
    case FLO_STATISTIC_RATIO:
        return rule->ratio.weight;
    case FLO_STATISTIC_COUNT:
        return rule->count.weight;
    case FLO_STATISTIC_SHARE:
        return rule->share.weight;
    case FLO_STATISTIC_LEAK:
        return rule->leak.weight;
    case FLO_STATISTIC_DEATHS:
        break;
    }
    return 0;
}

void flo_statistic_weigh(struct flo_statistic_rule *rule, double weight)
{
    assert(weight > 0 && weight <= 1);
    switch (rule->kind) {
    case FLO_STATISTIC_RATIO:
        rule->ratio.weight = weight;
        break;
    case FLO_STATISTIC_COUNT:
        rule->count.weight = weight;
        break;
    case FLO_STATISTIC_SHARE:
        rule->share.weight = weight;
        break;
    case FLO_STATISTIC_LEAK:
        rule->leak.weight = weight;
        break;
    case FLO_STATISTIC_DEATHS:
        break;
    }
}

static void add_count(struct flo_count_arm *to, const struct flo_count_arm *from)
{
    to->devices += from->devices;
    to->events += from->events;
    to->expected += from->expected;
    to->exposure += from->exposure;
    to->sxx += from->sxx;
    to->sxl += from->sxl;
    to->sll += from->sll;
}

static void add_deaths(struct flo_deaths_arm *to, const struct flo_deaths_arm *from)
{
    to->died += from->died;
    to->exposure += from->exposure;
}

void flo_statistic_arms_add(enum flo_statistic_kind kind, struct flo_statistic_arms *to,
                            const struct flo_statistic_arms *from)
{
    assert((size_t)kind < FLO_COUNT(kinds));
    switch (kind) {
    case FLO_STATISTIC_COUNT:
        add_count(&to->count.treated, &from->count.treated);
        add_count(&to->count.control, &from->count.control);
        break;
    case FLO_STATISTIC_DEATHS:
        add_deaths(&to->deaths.treated, &from->deaths.treated);
        add_deaths(&to->deaths.control, &from->deaths.control);
        break;
    case FLO_STATISTIC_LEAK:
        flo_leak_add(&to->leak, &from->leak);
        break;
    case FLO_STATISTIC_RATIO:
    case FLO_STATISTIC_SHARE:
        break;
    }
}

/* ---- numbers that may be absent ---- */

static json_t *pair_if(bool is_known, double low, double high)
{
    return json_pack("[o,o]", flo_json_finite_if(is_known, low),
                     flo_json_finite_if(is_known, high));
}

static int refuse(struct flo_err *err, const char *key, const char *what)
{
    return flo_fail(err, FLO_E_GATE_EVIDENCE, "evidence: `%.40s` %s", key, what);
}

/* Reads a number.  An absent key gives `standard`, or an error when `standard`
 * is NaN. */
static int get(const json_t *json, const char *key, double least, double most, double standard,
               double *out, struct flo_err *err)
{
    const json_t *value = json_object_get(json, key);

    assert(least <= most);
    if (value == NULL && !isnan(standard)) {
        *out = standard;
        return 0;
    }
    if (!json_is_number(value)) {
        return refuse(err, key, value == NULL ? "is absent" : "is no number");
    }
    *out = json_number_value(value);
    return isfinite(*out) && *out >= least && *out <= most ? 0
                                                           : refuse(err, key, "is out of range");
}

static int get_whole(const json_t *json, const char *key, uint64_t *out, struct flo_err *err)
{
    double value;

    FLO_TRY(get(json, key, 0, COUNT_MAX, NAN, &value, err));
    if (value != floor(value)) {
        return refuse(err, key, "is no whole number");
    }
    *out = (uint64_t)value;
    return 0;
}

/* ---- rules ---- */

static json_t *ratio_rule_json(const struct flo_ratio_rule *rule)
{
    return json_pack("{s:o,s:o,s:o,s:o,s:I,s:I}", "limit_pct", flo_json_finite(rule->limit_pct),
                     "prove_pct", flo_json_finite(rule->prove_pct), "alpha",
                     flo_json_finite(rule->alpha), "weight", flo_json_finite(rule->weight),
                     "min_devices", (json_int_t)rule->devices_min, "min_controls",
                     (json_int_t)rule->controls_min);
}

static json_t *leak_rule_json(const struct flo_leak_rule *rule)
{
    return json_pack("{s:o,s:o,s:o,s:I,s:I}", "limit_pct", flo_json_finite(rule->limit_pct),
                     "alpha", flo_json_finite(rule->alpha), "weight", flo_json_finite(rule->weight),
                     "min_devices", (json_int_t)rule->devices_min, "min_controls",
                     (json_int_t)rule->controls_min);
}

static json_t *count_rule_json(const struct flo_count_rule *rule)
{
    return json_pack(
        "{s:o,s:o,s:o,s:o,s:o,s:I,s:I,s:o}", "limit_ratio", flo_json_finite(rule->limit_ratio),
        "floor_rate", flo_json_finite(rule->floor_rate), "prove_rate",
        flo_json_finite(rule->prove_rate), "alpha", flo_json_finite(rule->alpha), "weight",
        flo_json_finite(rule->weight), "min_devices", (json_int_t)rule->devices_min, "min_controls",
        (json_int_t)rule->controls_min, "min_exposure", flo_json_finite(rule->exposure_min));
}

json_t *flo_statistic_rule_json(const struct flo_statistic_rule *rule)
{
    switch (rule->kind) {
    case FLO_STATISTIC_RATIO:
        return ratio_rule_json(&rule->ratio);
    case FLO_STATISTIC_COUNT:
        return count_rule_json(&rule->count);
    case FLO_STATISTIC_SHARE:
        return json_pack("{s:o,s:o,s:o}", "limit_pct", flo_json_finite(rule->share.limit_pct),
                         "alpha", flo_json_finite(rule->share.alpha), "weight",
                         flo_json_finite(rule->share.weight));
    case FLO_STATISTIC_LEAK:
        return leak_rule_json(&rule->leak);
    case FLO_STATISTIC_DEATHS:
        break;
    }
    return json_object();
}

/* Reads alpha and weight: above 0 and at most 1. */
static int get_level(const json_t *json, double *alpha, double *weight, struct flo_err *err)
{
    FLO_TRY(get(json, "alpha", 1e-9, 1, FLO_ALPHA, alpha, err));
    return get(json, "weight", 1e-9, 1, WEIGHT, weight, err);
}

static int ratio_rule_parse(const json_t *json, struct flo_ratio_rule *out, struct flo_err *err)
{
    FLO_TRY(get(json, "limit_pct", -99, 1e6, NAN, &out->limit_pct, err));
    FLO_TRY(get(json, "prove_pct", -99, 1e6, out->limit_pct, &out->prove_pct, err));
    FLO_TRY(get_level(json, &out->alpha, &out->weight, err));
    FLO_TRY(get_whole(json, "min_devices", &out->devices_min, err));
    FLO_TRY(get_whole(json, "min_controls", &out->controls_min, err));
    return 0;
}

static int leak_rule_parse(const json_t *json, struct flo_leak_rule *out, struct flo_err *err)
{
    FLO_TRY(get(json, "limit_pct", -99, 1e6, NAN, &out->limit_pct, err));
    FLO_TRY(get_level(json, &out->alpha, &out->weight, err));
    FLO_TRY(get_whole(json, "min_devices", &out->devices_min, err));
    return get_whole(json, "min_controls", &out->controls_min, err);
}

static int count_rule_parse(const json_t *json, struct flo_count_rule *out, struct flo_err *err)
{
    FLO_TRY(get(json, "limit_ratio", 0, 1e9, NAN, &out->limit_ratio, err));
    FLO_TRY(get(json, "floor_rate", -1e9, 1e9, NAN, &out->floor_rate, err));
    FLO_TRY(get(json, "prove_rate", -1e9, 1e9, 0, &out->prove_rate, err));
    FLO_TRY(get_level(json, &out->alpha, &out->weight, err));
    FLO_TRY(get_whole(json, "min_devices", &out->devices_min, err));
    FLO_TRY(get_whole(json, "min_controls", &out->controls_min, err));
    FLO_TRY(get(json, "min_exposure", 0, COUNT_MAX, NAN, &out->exposure_min, err));
    return 0;
}

static int share_rule_parse(const json_t *json, struct flo_share_rule *out, struct flo_err *err)
{
    FLO_TRY(get(json, "limit_pct", 0, 100, NAN, &out->limit_pct, err));
    return get_level(json, &out->alpha, &out->weight, err);
}

int flo_statistic_rule_parse(enum flo_statistic_kind kind, const json_t *json,
                             struct flo_statistic_rule *out, struct flo_err *err)
{
    assert((size_t)kind < FLO_COUNT(kinds));
    memset(out, 0, sizeof(*out));
    out->kind = kind;
    switch (kind) {
    case FLO_STATISTIC_RATIO:
        return ratio_rule_parse(json, &out->ratio, err);
    case FLO_STATISTIC_COUNT:
        return count_rule_parse(json, &out->count, err);
    case FLO_STATISTIC_SHARE:
        return share_rule_parse(json, &out->share, err);
    case FLO_STATISTIC_LEAK:
        return leak_rule_parse(json, &out->leak, err);
    case FLO_STATISTIC_DEATHS:
        break;
    }
    return 0;
}

/* ---- arms ---- */

static json_t *ratio_arm_json(const struct flo_ratio_arm *arm)
{
    return json_pack("{s:I,s:o,s:o}", "n", (json_int_t)arm->devices, "mean",
                     flo_json_finite(arm->mean), "m2", flo_json_finite(arm->m2));
}

static json_t *count_arm_json(const struct flo_count_arm *arm)
{
    return json_pack("{s:o,s:o,s:o,s:o,s:o,s:o,s:o}", "n", flo_json_finite(arm->devices), "events",
                     flo_json_finite(arm->events), "expected", flo_json_finite(arm->expected),
                     "exposure", flo_json_finite(arm->exposure), "sxx", flo_json_finite(arm->sxx),
                     "sxl", flo_json_finite(arm->sxl), "sll", flo_json_finite(arm->sll));
}

static json_t *deaths_arm_json(const struct flo_deaths_arm *arm)
{
    return json_pack("{s:o,s:o}", "devices_died", flo_json_finite(arm->died), "exposure",
                     flo_json_finite(arm->exposure));
}

static json_t *ratio_arms_json(const struct flo_statistic_arms *arms)
{
    json_t *json = json_pack("{s:o,s:o}", "treated", ratio_arm_json(&arms->ratio.treated),
                             "control", ratio_arm_json(&arms->ratio.control));

    if (has_older(arms)) {
        json_object_set_new(json, "older",
                            json_pack("{s:o,s:o}", "treated", ratio_arm_json(&arms->older.treated),
                                      "control", ratio_arm_json(&arms->older.control)));
    }
    return json;
}

json_t *flo_statistic_arms_json(enum flo_statistic_kind kind, const struct flo_statistic_arms *arms)
{
    switch (kind) {
    case FLO_STATISTIC_RATIO:
        return ratio_arms_json(arms);
    case FLO_STATISTIC_COUNT:
        return json_pack("{s:o,s:o}", "treated", count_arm_json(&arms->count.treated), "control",
                         count_arm_json(&arms->count.control));
    case FLO_STATISTIC_DEATHS:
        return json_pack("{s:o,s:o}", "treated", deaths_arm_json(&arms->deaths.treated), "control",
                         deaths_arm_json(&arms->deaths.control));
    case FLO_STATISTIC_SHARE:
        return json_pack("{s:I,s:I,s:I}", "bad", (json_int_t)arms->share.bad, "done",
                         (json_int_t)arms->share.done, "members", (json_int_t)arms->share.members);
    case FLO_STATISTIC_LEAK:
        return json_pack("{s:o,s:o,s:o,s:o}", "treated", ratio_arm_json(&arms->leak.treated),
                         "control", ratio_arm_json(&arms->leak.control), "slope",
                         flo_json_finite(arms->leak.slope), "latest",
                         flo_json_finite(arms->leak.latest));
    }
    return NULL;
}

static int get_arm(const json_t *json, const char *key, const json_t **out, struct flo_err *err)
{
    *out = json_object_get(json, key);
    return json_is_object(*out) ? 0 : refuse(err, key, "is no object");
}

static int ratio_arm_parse(const json_t *json, const char *key, struct flo_ratio_arm *out,
                           struct flo_err *err)
{
    const json_t *arm;
    uint64_t devices;

    FLO_TRY(get_arm(json, key, &arm, err));
    FLO_TRY(get_whole(arm, "n", &devices, err));
    FLO_TRY(get(arm, "mean", -1e6, 1e6, 0, &out->mean, err));
    FLO_TRY(get(arm, "m2", -1e-12, 1e18, 0, &out->m2, err));
    out->devices = (int64_t)devices;
    return 0;
}

static int ratio_arms_parse(const json_t *json, struct flo_ratio_segment *out, struct flo_err *err)
{
    FLO_TRY(ratio_arm_parse(json, "treated", &out->treated, err));
    return ratio_arm_parse(json, "control", &out->control, err);
}

static int leak_arms_parse(const json_t *json, struct flo_leak_arms *out, struct flo_err *err)
{
    FLO_TRY(ratio_arm_parse(json, "treated", &out->treated, err));
    FLO_TRY(ratio_arm_parse(json, "control", &out->control, err));
    FLO_TRY(get(json, "slope", -1e6, 1e6, NAN, &out->slope, err));
    return get(json, "latest", -1e6, 1e6, NAN, &out->latest, err);
}

static int count_arm_parse(const json_t *json, const char *key, struct flo_count_arm *out,
                           struct flo_err *err)
{
    const json_t *arm;
    FLO_TRY(get_arm(json, key, &arm, err));
    const struct {
        const char *key;
        double *to;
    } fields[] = {{"n", &out->devices},
                  {"events", &out->events},
                  {"expected", &out->expected},
                  {"exposure", &out->exposure},
                  {"sxx", &out->sxx},
                  {"sxl", &out->sxl},
                  {"sll", &out->sll}};

    for (size_t i = 0; i < FLO_COUNT(fields); i++) {
        FLO_TRY(get(arm, fields[i].key, 0, 1e30, NAN, fields[i].to, err));
    }
    return 0;
}

static int deaths_arm_parse(const json_t *json, const char *key, struct flo_deaths_arm *out,
                            struct flo_err *err)
{
    const json_t *arm;

    FLO_TRY(get_arm(json, key, &arm, err));
    FLO_TRY(get(arm, "devices_died", 0, COUNT_MAX, NAN, &out->died, err));
    return get(arm, "exposure", -COUNT_MAX, COUNT_MAX, NAN, &out->exposure, err);
}

static int share_parse(const json_t *json, struct flo_statistic_arms *out, struct flo_err *err)
{
    FLO_TRY(get_whole(json, "bad", &out->share.bad, err));
    FLO_TRY(get_whole(json, "done", &out->share.done, err));
    return get_whole(json, "members", &out->share.members, err);
}

int flo_statistic_arms_parse(enum flo_statistic_kind kind, const json_t *json,
                             struct flo_statistic_arms *out, struct flo_err *err)
{
    assert((size_t)kind < FLO_COUNT(kinds));
    memset(out, 0, sizeof(*out));
    switch (kind) {
    case FLO_STATISTIC_RATIO:
        FLO_TRY(ratio_arms_parse(json, &out->ratio, err));
        return json_object_get(json, "older") == NULL
                   ? 0
                   : ratio_arms_parse(json_object_get(json, "older"), &out->older, err);
    case FLO_STATISTIC_COUNT:
        FLO_TRY(count_arm_parse(json, "treated", &out->count.treated, err));
        return count_arm_parse(json, "control", &out->count.control, err);
    case FLO_STATISTIC_DEATHS:
        FLO_TRY(deaths_arm_parse(json, "treated", &out->deaths.treated, err));
        return deaths_arm_parse(json, "control", &out->deaths.control, err);
    case FLO_STATISTIC_SHARE:
        return share_parse(json, out, err);
    case FLO_STATISTIC_LEAK:
        return leak_arms_parse(json, &out->leak, err);
    }
    return 0;
}

/* ---- results ---- */

static json_t *ratio_json(const struct flo_ratio_result *of)
{
    json_t *json =
        json_pack("{s:I,s:I,s:I,s:o,s:o,s:o,s:o}", "n_treated", (json_int_t)of->treated,
                  "n_control", (json_int_t)of->control, "not_compared",
                  (json_int_t)of->not_compared, "ln_e", flo_json_finite(of->ln_e), "effect_pct",
                  flo_json_finite_if(of->has_effect, flo_change_pct(of->delta)), "ci_pct",
                  pair_if(of->has_spread, flo_change_pct(of->low), flo_change_pct(of->high)),
                  "upper_pct", flo_json_finite_if(of->has_look, flo_change_pct(of->upper)));

    if (of->has_spread) {
        json_object_set_new(json, "se", flo_json_finite(of->se));
        json_object_set_new(json, "t", flo_json_finite(of->t));
        json_object_set_new(json, "nu", json_integer((json_int_t)of->nu));
        json_object_set_new(json, "r", flo_json_finite(of->r));
    }
    return json;
}

static json_t *count_json(const struct flo_count_result *of)
{
    bool is_known = of->has_numbers;
    json_t *json = json_pack("{s:o,s:o,s:o,s:o,s:o,s:o}", "ln_e", flo_json_finite(of->ln_e),
                             "ratio", flo_json_finite_if(is_known && of->has_ratio, of->ratio),
                             "ci_ratio", pair_if(is_known, of->low, of->high), "upper_ratio",
                             flo_json_finite_if(of->has_look, of->upper_ratio), "rate_treated",
                             flo_json_finite_if(is_known, of->rate_treated), "rate_control",
                             flo_json_finite_if(is_known, of->rate_control));

    if (is_known) {
        json_object_set_new(json, "phi", flo_json_finite(of->phi));
        json_object_set_new(json, "p0", flo_json_finite(of->p0));
    }
    if (of->has_look) {
        json_object_set_new(json, "upper_rate", flo_json_finite(of->upper_rate));
    }
    json_object_set_new(json, "n_treated", json_integer((json_int_t)of->treated));
    json_object_set_new(json, "n_control", json_integer((json_int_t)of->control));
    return json;
}

static json_t *leak_json(const struct flo_leak_result *of)
{
    return json_pack("{s:I,s:I,s:o,s:o}", "n_treated", (json_int_t)of->updated, "n_control",
                     (json_int_t)of->controls, "ln_e", flo_json_finite(of->ln_e), "effect_pct",
                     flo_json_finite_if(of->has_slope, flo_change_pct(of->slope)));
}

static json_t *share_json(const struct flo_statistic_result *result)
{
    const struct flo_share *of = &result->share.of;
    bool is_tested = result->share.done > 0 && result->share.limit_pct > 0;

    return json_pack("{s:I,s:I,s:o,s:o,s:o,s:o}", "bad", (json_int_t)result->share.bad, "done",
                     (json_int_t)result->share.done, "ln_e", flo_json_finite(of->ln_e), "share_pct",
                     flo_json_finite_if(result->share.done > 0, of->share_pct), "ci_pct",
                     pair_if(true, of->low_pct, of->high_pct), "tail",
                     flo_json_finite_if(is_tested, of->tail));
}

static enum flo_open open_of(const struct flo_statistic_result *result)
{
    switch (result->kind) {
    case FLO_STATISTIC_RATIO:
        return result->ratio.open;
    case FLO_STATISTIC_COUNT:
        return result->count.open;
    case FLO_STATISTIC_LEAK:
        return result->leak.open;
    case FLO_STATISTIC_DEATHS:
        return result->deaths.has_tail ? FLO_OPEN_NOT : FLO_OPEN_NONE_YET;
    case FLO_STATISTIC_SHARE:
        return result->verdict != FLO_VERDICT_INCONCLUSIVE ? FLO_OPEN_NOT
               : result->share.done == 0                   ? FLO_OPEN_NONE_YET
                                                           : FLO_OPEN_UNSURE;
    }
    return FLO_OPEN_NOT;
}

static const char *open_word(enum flo_open open)
{
    static const char *const words[] = {[FLO_OPEN_NOT] = "",
                                        [FLO_OPEN_NOBODY] = "no updated device has a control",
                                        [FLO_OPEN_TWO] = "fewer than two devices",
                                        [FLO_OPEN_FEW] = "too few devices, or watched too short",
                                        [FLO_OPEN_UNSURE] = "not proven yet",
                                        [FLO_OPEN_ALONE] = "no controls",
                                        [FLO_OPEN_NONE_YET] = "nothing was counted yet"};

    assert((size_t)open < FLO_COUNT(words));
    return words[open];
}

json_t *flo_statistic_result_json(const struct flo_statistic_result *result)
{
    static const char *const verdicts[] = {"inconclusive", "pass", "fail"};
    json_t *json = NULL;

    assert((size_t)result->verdict < FLO_COUNT(verdicts));
    switch (result->kind) {
    case FLO_STATISTIC_RATIO:
        json = ratio_json(&result->ratio);
        break;
    case FLO_STATISTIC_COUNT:
        json = count_json(&result->count);
        break;
    case FLO_STATISTIC_DEATHS:
        json = json_pack("{s:o,s:o}", "ln_e", flo_json_finite(0), "tail",
                         flo_json_finite_if(result->deaths.has_tail, result->deaths.tail));
        break;
    case FLO_STATISTIC_SHARE:
        json = share_json(result);
        break;
    case FLO_STATISTIC_LEAK:
        json = leak_json(&result->leak);
        break;
    }
    json_object_set_new(json, "verdict", json_string(verdicts[result->verdict]));
    json_object_set_new(json, "why", json_string(open_word(open_of(result))));
    return json;
}

/* ---- replay ---- */

static int kind_parse(const json_t *test, enum flo_statistic_kind *out, struct flo_err *err)
{
    const char *word = json_string_value(json_object_get(test, "kind"));

    for (size_t i = 0; i < FLO_COUNT(kinds) && word != NULL; i++) {
        if (strcmp(kinds[i], word) == 0) {
            *out = (enum flo_statistic_kind)i;
            return 0;
        }
    }
    return refuse(err, "kind", "is none of ratio, count, deaths, share, leak");
}

static int look_parse(const json_t *test, uint32_t *out, struct flo_err *err)
{
    const json_t *look = json_object_get(test, "look");
    uint64_t number_of = 0;
    int rv = 0;

    *out = FLO_LOOK_NONE;
    if (look != NULL && !json_is_null(look)) {
        rv = get_whole(test, "look", &number_of, err);
        if (rv == 0 && number_of >= FLO_LOOKS_MAX) {
            rv = refuse(err, "look", "is above 7");
        }
        *out = (uint32_t)number_of;
    }
    return rv;
}

/* Reads the segments.  A ratio has a list of segments; any other test is a
 * single segment. */
static int segments_parse(enum flo_statistic_kind kind, const json_t *test,
                          struct flo_statistic_arms *out, size_t *count, struct flo_err *err)
{
    const json_t *list = json_object_get(test, "segments");
    int rv = 0;

    *count = 1;
    if (kind != FLO_STATISTIC_RATIO) {
        return flo_statistic_arms_parse(kind, test, out, err);
    }
    *count = json_array_size(list);
    if (!json_is_array(list) || *count > FLO_SEGMENTS_MAX) {
        return refuse(err, "segments", "is no list of at most 16");
    }
    for (size_t i = 0; i < *count && rv == 0; i++) {
        rv = flo_statistic_arms_parse(kind, json_array_get(list, i), &out[i], err);
    }
    return rv;
}

int flo_statistic_replay(const json_t *test, json_t **out, struct flo_err *err)
{
    struct flo_statistic_arms segments[FLO_SEGMENTS_MAX];
    struct flo_statistic_rule rule;
    struct flo_statistic_result result;
    enum flo_statistic_kind kind = FLO_STATISTIC_RATIO;
    uint32_t look;
    size_t count;

    *out = NULL;
    FLO_TRY(kind_parse(test, &kind, err));
    FLO_TRY(flo_statistic_rule_parse(kind, json_object_get(test, "rule"), &rule, err));
    FLO_TRY(look_parse(test, &look, err));
    FLO_TRY(segments_parse(kind, test, segments, &count, err));
    bool is_plain = json_is_true(json_object_get(test, "plain"));
    if (!flo_statistic_evaluate(&rule, segments, count, look, is_plain, &result)) {
        return refuse(err, flo_statistic_kind_word(kind), "has numbers that cannot be");
    }
    *out = flo_statistic_result_json(&result);
    return *out != NULL ? 0 : flo_fail(err, FLO_E_MEMORY, "evidence");
}
