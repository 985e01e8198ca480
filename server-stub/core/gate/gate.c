/* Gates: the table's words, and the text of a verdict for people. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include <flotilla/plural.h>

#include "server-stub/core/gate/gate.h"

struct gate_fact {
    const char *word;
    const char *unit;
    enum flo_gate_kind kind;
};
static const struct gate_fact gates[] = {
#define FLO_GATE(name, word, kind, most, unit, meaning) {word, unit, FLO_GATE_KIND_##kind},
#define FLO_GATE_FIELD(...)
#include "server-stub/core/gate/gates.def"
};
static const char *const on_fails[] = {"rollback", "halt", "pause"};

const char *flo_on_fail_word(enum flo_on_fail on_fail)
{
    assert((size_t)on_fail < FLO_COUNT(on_fails));
    return on_fails[on_fail];
}

bool flo_on_fail_parse(const char *word, enum flo_on_fail *out)
{
    assert(word != NULL);
    for (size_t i = 0; i < FLO_COUNT(on_fails); i++) {
        if (strcmp(on_fails[i], word) == 0) {
            *out = (enum flo_on_fail)i;
            return true;
        }
    }
    return false;
}

const char *flo_gate_word(enum flo_gate gate)
{
    assert(gate < FLO_GATE_COUNT);
    return gates[gate].word;
}

const char *flo_gate_unit(enum flo_gate gate)
{
    assert(gate < FLO_GATE_COUNT);
    return gates[gate].unit;
}

enum flo_gate_kind flo_gate_kind_of(enum flo_gate gate)
{
    assert(gate < FLO_GATE_COUNT);
    return gates[gate].kind;
}

const char *flo_verdict_word(enum flo_verdict verdict)
{
    static const char *const words[] = {"inconclusive", "pass", "fail"};

    assert((size_t)verdict < FLO_COUNT(words));
    return words[verdict];
}

void flo_gate_title(const struct flo_gate_rule *rule, char *out)
{
    if (flo_gate_kind_of(rule->gate) == FLO_GATE_KIND_RATIO) {
        snprintf(out, FLO_GATE_TITLE, "%s p%g", flo_metric_fact(rule->metric)->word,
                 rule->percentile);
    } else {
        snprintf(out, FLO_GATE_TITLE, "%s", flo_gate_word(rule->gate));
    }
}

static void text_of_share(const struct flo_gate_result *result, char *out)
{
    char interval[48] = "";

    if (result->limit > 0) {
        snprintf(interval, sizeof(interval), " (95 %% CI %.1f to %.1f)", result->share.low_pct,
                 result->share.high_pct);
    }
    snprintf(out, FLO_GATE_TEXT, "bad ends %u of %u = %.3g %%%s, limit %.4g %%", result->bad,
             result->done, result->share.share_pct, interval, result->limit);
}

static void text_of_ratio(const struct flo_gate_rule *rule, const struct flo_gate_result *result,
                          char *out)
{
    const char *unit = flo_metric_fact(rule->metric)->unit;
    char title[FLO_GATE_TITLE];

    flo_gate_title(rule, title);
    if (!result->has_evidence) {
        snprintf(out, FLO_GATE_TEXT, "%s: no evidence came yet", title);
    } else if (result->ratio > 0) {
        snprintf(out, FLO_GATE_TEXT,
                 "%s %.0f %s on %u updated (%llu samples), %.0f %s on %u "
                 "waiting (%llu), %.40s: ratio %.2f, limit %.4g%s",
                 title, result->updated.value, unit, result->updated.devices,
                 (unsigned long long)result->updated.samples, result->waiting.value, unit,
                 result->waiting.devices, (unsigned long long)result->waiting.samples,
                 result->hardware, result->ratio, result->limit,
                 result->is_cut ? " (newest windows only)" : "");
    } else if (result->is_last && result->verdict == FLO_VERDICT_PASS) {
        snprintf(out, FLO_GATE_TEXT,
                 result->lacks_samples ? "%s: the devices that still wait sent too few samples "
                                         "to be compared with"
                                       : "%s: too few devices still wait to be compared with",
                 title);
    } else {
        snprintf(out, FLO_GATE_TEXT,
                 "%s: %u updated (%llu samples) and %u waiting (%llu) of "
                 "%.40s; each arm needs %llu device%s and %llu samples",
                 title, result->updated.devices, (unsigned long long)result->updated.samples,
                 result->waiting.devices, (unsigned long long)result->waiting.samples,
                 result->hardware[0] != '\0' ? result->hardware : "any hardware class",
                 (unsigned long long)rule->devices_min, flo_s(rule->devices_min),
                 (unsigned long long)rule->samples_min);
    }
}

void flo_gate_text(const struct flo_gate_rule *rule, const struct flo_gate_result *result,
                   char *out)
{
    if (flo_gate_kind_of(rule->gate) == FLO_GATE_KIND_RATIO) {
        text_of_ratio(rule, result, out);
    } else {
        text_of_share(result, out);
    }
}
