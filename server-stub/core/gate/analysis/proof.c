/* Analysis: proves with all waves of a rollout that a change is small. */
#include <assert.h>
#include <math.h>

#include "server-stub/core/gate/analysis/analysis.h"

void flo_analysis_prove(const struct flo_ratio_rule *rule, struct flo_analysis_proof *proof,
                        struct flo_statistic_result *result)
{
    struct flo_ratio_result *ratio = &result->ratio;
    double prove = fmax(rule->limit_pct, rule->prove_pct);

    assert(proof->count <= FLO_ANALYSIS_WAVES_MAX);
    proof->is_judged = true;
    flo_pooled_judge(prove, proof->waves, proof->count, &proof->result);
    if (ratio->open != FLO_OPEN_UNSURE || !proof->result.has_effect) {
        return; /* no proof is possible: the rule fails, or there are too few devices */
    }
    ratio->has_look = true;
    ratio->upper = proof->result.upper;
    if (proof->result.verdict == FLO_VERDICT_PASS) {
        ratio->open = FLO_OPEN_NOT;
        ratio->verdict = FLO_VERDICT_PASS;
        result->verdict = FLO_VERDICT_PASS;
    }
}

json_t *flo_analysis_sums_json(const struct flo_pooled_sums *sums)
{
    json_t *json = json_object();

#define FLO_POOLED_FIELD(name) json_object_set_new(json, #name, json_real(sums->name));
    FLO_POOLED_SUMS(FLO_POOLED_FIELD)
#undef FLO_POOLED_FIELD
    return json;
}

bool flo_analysis_sums_read(const json_t *json, struct flo_pooled_sums *out)
{
    bool is_whole = true;

#define FLO_POOLED_FIELD(name)                                                                     \
    is_whole = is_whole && json_is_number(json_object_get(json, #name));                           \
    out->name = json_number_value(json_object_get(json, #name));
    FLO_POOLED_SUMS(FLO_POOLED_FIELD)
#undef FLO_POOLED_FIELD
    return is_whole && flo_pooled_are_possible(out);
}
