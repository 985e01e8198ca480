/* Because: explains the rule of a gate that decided, with its numbers. */
#include <assert.h>
#include <stdio.h>

#include <flotilla/plural.h>

#include "server-stub/core/gate/gate.h"

static void share_fails(const struct flo_gate_result *result, char *out)
{
    if (result->is_struck) {
        snprintf(out, FLO_GATE_TEXT,
                 "fails: one device of the first phase on which the release "
                 "itself failed is enough");
    } else if (result->is_nobody) {
        snprintf(out, FLO_GATE_TEXT, "fails: none of the %u device%s that ended has the release",
                 result->done, flo_s(result->done));
    } else if (result->limit <= 0) {
        snprintf(out, FLO_GATE_TEXT, "fails: no device may end badly, and %u did", result->bad);
    } else {
        snprintf(out, FLO_GATE_TEXT,
                 "fails: %u bad ends are too many to be chance at a limit of "
                 "%.4g %%, even if all that are under way end well",
                 result->bad, result->limit);
    }
}

static void share_passes(const struct flo_gate_result *result, char *out)
{
    if (result->done == 0) {
        snprintf(out, FLO_GATE_TEXT, "passes: no device of the phase counts");
    } else if (result->bad == 0) {
        snprintf(out, FLO_GATE_TEXT,
                 "passes: %u of %u ended well; only bad ends break a limit of "
                 "%.4g %%",
                 result->done, result->done, result->limit);
    } else {
        snprintf(out, FLO_GATE_TEXT,
                 "passes: at a limit of %.4g %%, so many bad ends (%u of %u) "
                 "come by chance in %.3g %% of cases; 5 %% are enough",
                 result->limit, result->bad, result->done, 100 * result->share.tail);
    }
}

static void because_share(const struct flo_gate_result *result, char *out)
{
    assert(result->bad <= result->done && result->done <= result->members);
    if (result->verdict == FLO_VERDICT_FAIL) {
        share_fails(result, out);
    } else if (result->verdict == FLO_VERDICT_PASS) {
        share_passes(result, out);
    } else if (result->is_over && result->bad > 0) {
        snprintf(out, FLO_GATE_TEXT,
                 "asks a person: at a limit of %.4g %%, so many bad ends (%u of "
                 "%u) come by chance in %.3g %% of cases: too seldom to pass "
                 "(5 %%), too often to fail",
                 result->limit, result->bad, result->done, 100 * result->share.tail);
    } else if (result->is_over) {
        snprintf(out, FLO_GATE_TEXT,
                 "waits: the devices of the phase are "
                 "away");
    } else {
        snprintf(out, FLO_GATE_TEXT,
                 "waits: %u of %u device%s ended; it passes when all of the "
                 "phase have",
                 result->done, result->members, flo_s(result->members));
    }
}

static void because_ratio(const struct flo_gate_rule *rule, const struct flo_gate_result *result,
                          char *out)
{
    if (result->ratio > 0) {
        bool is_over = result->verdict == FLO_VERDICT_FAIL;
        snprintf(out, FLO_GATE_TEXT,
                 "%s: %.3g times is %s the limit of %.4g "
                 "times",
                 is_over ? "fails" : "passes", result->ratio, is_over ? "above" : "not above",
                 result->limit);
    } else if (result->verdict == FLO_VERDICT_PASS && result->is_last) {
        snprintf(out, FLO_GATE_TEXT, "passes: in the last phase too few are left to compare with");
    } else if (result->verdict == FLO_VERDICT_PASS) {
        snprintf(out, FLO_GATE_TEXT, "passes: no device of the phase counts");
    } else {
        snprintf(out, FLO_GATE_TEXT,
                 "waits: it compares at least %llu device%s with %llu of their "
                 "hardware class, %llu samples each side",
                 (unsigned long long)rule->devices_min, flo_s(rule->devices_min),
                 (unsigned long long)rule->devices_min, (unsigned long long)rule->samples_min);
    }
}

void flo_gate_because(const struct flo_gate_rule *rule, const struct flo_gate_result *result,
                      char *out)
{
    assert(rule != NULL && result != NULL && out != NULL);
    switch (flo_gate_kind_of(rule->gate)) {
    case FLO_GATE_KIND_SHARE:
        because_share(result, out);
        break;
    case FLO_GATE_KIND_RATIO:
        because_ratio(rule, result, out);
        break;
    }
}
