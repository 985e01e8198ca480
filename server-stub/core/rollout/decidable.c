/* Decidable: see decidable.h. */
#include "server-stub/core/rollout/decidable.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include <flotilla/plural.h>

#include "server-stub/core/rollout/parts.h"

/* Members of one class: those updated by the end of a phase, and those that
 * wait for later phases. */
struct arms {
    uint32_t updated, waiting;
};

static uint32_t behind_of(const struct flo_rollout *rollout, uint32_t phase)
{
    uint32_t behind = 0;

    assert(phase < rollout->phase_count);
    for (uint32_t i = phase + 1; i < rollout->phase_count; i++) {
        behind += rollout->phases[i].members;
    }
    return behind;
}

/* Returns true when no gate can hold the phase: a person promotes it, or it has
 * no devices to judge. */
static bool is_open(const struct flo_rollout *rollout, uint32_t phase)
{
    const struct flo_rollout_phase *one = &rollout->phases[phase];

    assert(phase < rollout->phase_count);
    return one->members == 0 || one->is_until_promoted || one->is_hold_out;
}

/* ---- ratio ---- */

/* Tells whether this phase leaves no device with the old release, so that a
 * ratio gate passes it (evaluate.c).  Returns false for the first of several
 * phases. */
static bool is_last(const struct flo_rollout *rollout, uint32_t phase)
{
    return phase + 1 == rollout->phase_count || (phase > 0 && behind_of(rollout, phase) == 0);
}

static void count_classes(const struct flo_rollout *rollout, const uint8_t *class_of,
                          uint32_t phase, struct arms *out)
{
    memset(out, 0, FLO_DECIDABLE_CLASSES_MAX * sizeof(*out));
    for (size_t i = 0; i < rollout->member_count; i++) {
        const struct flo_rollout_member *member = &rollout->members[i];
        uint8_t class = class_of != NULL ? class_of[i] : 0;
        assert(class < FLO_DECIDABLE_CLASSES_MAX);
        if (member->phase <= phase) {
            out[class].updated++;
        } else if (member->phase < rollout->phase_count) {
            out[class].waiting++;
        }
    }
}

/* Tells whether every hardware class has too few updated or waiting devices for
 * this ratio gate.  *out then has the numbers of the class with the most
 * devices. */
static bool ratio_lacks(const struct flo_gate_rule *rule, const struct arms *classes,
                        struct flo_rollout_lack *out)
{
    uint64_t most = 0;

    for (size_t i = 0; i < FLO_DECIDABLE_CLASSES_MAX; i++) {
        const struct arms *one = &classes[i];
        uint64_t has = (uint64_t)one->updated + one->waiting;
        if (one->updated >= rule->devices_min && one->waiting >= rule->devices_min) {
            return false;
        }
        if (i == 0 || has > most) {
            most = has;
            out->updated = one->updated;
            out->waiting = one->waiting;
        }
    }
    out->devices = most;
    out->updated_of = out->waiting_of = rule->devices_min;
    return true;
}

static bool ratios_lack(const struct flo_rollout *rollout, const uint8_t *class_of, uint32_t phase,
                        struct flo_rollout_lack *out)
{
    struct arms classes[FLO_DECIDABLE_CLASSES_MAX];
    bool is_counted = false;

    for (uint32_t i = 0; i < rollout->gate_count; i++) {
        const struct flo_gate_rule *rule = &rollout->gates[i];
        if (flo_gate_kind_of(rule->gate) != FLO_GATE_KIND_RATIO || is_last(rollout, phase)) {
            continue;
        }
        if (!is_counted) {
            count_classes(rollout, class_of, phase, classes);
            is_counted = true;
        }
        if (ratio_lacks(rule, classes, out)) {
            out->is_ratio = true;
            flo_gate_title(rule, out->gate);
            return true;
        }
    }
    return false;
}

/* ---- the analysis ---- */

/* Counts the arms of an analysis, without segments that have no device in one of
 * the arms. */
static struct arms arms_of_analysis(const struct flo_rollout *rollout, uint32_t phase)
{
    struct arms segments[FLO_SEGMENTS_MAX] = {0};
    struct arms all = {0};

    for (size_t i = 0; i < rollout->member_count; i++) {
        const struct flo_rollout_member *member = &rollout->members[i];
        struct arms *one = &segments[member->segment % FLO_SEGMENTS_MAX];
        bool is_there =
            member->state != FLO_EXECUTION_REMOVED && member->state != FLO_EXECUTION_SUPERSEDED;
        if (is_there && member->phase <= phase) {
            one->updated++;
        } else if (is_there && member->phase < rollout->phase_count) {
            one->waiting++;
        }
    }
    for (size_t i = 0; i < FLO_SEGMENTS_MAX; i++) {
        bool is_compared = segments[i].updated > 0 && segments[i].waiting > 0;
        all.updated += is_compared ? segments[i].updated : 0;
        all.waiting += is_compared ? segments[i].waiting : 0;
    }
    return all;
}

static bool analysis_lacks(const struct flo_rollout *rollout, uint32_t phase,
                           struct flo_rollout_lack *out)
{
    const struct flo_analysis_rules *rules = &rollout->analysis.rules;

    assert(rules->count <= FLO_MEASURE_COUNT);
    if (rollout->analysis.split_of[0] != '\0' || !flo_rollout_analysis_waits(rollout, phase)) {
        return false;
    }
    struct arms arms = arms_of_analysis(rollout, phase);
    bool is_last_one = flo_rollout_analysis_is_last(rollout, phase);
    for (uint32_t i = 0; i < rules->count; i++) {
        const struct flo_analysis_rule *rule = &rules->rules[i];
        if (flo_analysis_is_critical(rules, i, phase, is_last_one) &&
            (arms.updated < rule->devices_min || arms.waiting < rule->controls_min)) {
            snprintf(out->gate, sizeof(out->gate), "%s", flo_measure_fact(rule->measure)->word);
            out->updated = arms.updated;
            out->waiting = arms.waiting;
            out->updated_of = rule->devices_min;
            out->waiting_of = rule->controls_min;
            out->devices = rollout->member_count;
            return true;
        }
    }
    return false;
}

/* ---- all of them ---- */

bool flo_rollout_lacks(const struct flo_rollout *rollout, const uint8_t *class_of,
                       struct flo_rollout_lack *out)
{
    assert(rollout->phase_count <= FLO_ROLLOUT_PHASES_MAX);
    assert(rollout->gate_count <= FLO_GATES_MAX);
    for (uint32_t i = 0; i < rollout->phase_count; i++) {
        *out = (struct flo_rollout_lack){.phase = i};
        if (!is_open(rollout, i) &&
            (ratios_lack(rollout, class_of, i, out) || analysis_lacks(rollout, i, out))) {
            return true;
        }
    }
    return false;
}

bool flo_rollout_analysis_lacks(const struct flo_rollout *rollout)
{
    struct flo_rollout_lack lack = {.phase = rollout->phase};

    return !is_open(rollout, rollout->phase) && analysis_lacks(rollout, rollout->phase, &lack);
}

bool flo_rollout_asks_person(const struct flo_rollout *rollout)
{
    struct flo_gate_result result;
    uint32_t gate;

    if (!rollout->holds_for_person) {
        return false;
    }
    return flo_rollout_analysis_lacks(rollout) ||
           (flo_rollout_verdict(rollout, rollout->phase, &gate, &result) ==
                FLO_VERDICT_INCONCLUSIVE &&
            flo_gate_kind_of(rollout->gates[gate].gate) != FLO_GATE_KIND_SHARE);
}

/* Writes a way to make the gate decidable: smaller numbers of devices in it, or
 * else to leave it out.  Returns the number of characters. */
static int say_smaller(const struct flo_rollout_lack *lack, char *out)
{
    uint64_t least = lack->updated < lack->waiting ? lack->updated : lack->waiting;

    if (lack->is_ratio && least >= 1) {
        return snprintf(out, FLO_LACK_TEXT, "devices_min: %llu in the gate, or ",
                        (unsigned long long)least);
    }
    if (!lack->is_ratio && least >= 2) {
        return snprintf(out, FLO_LACK_TEXT,
                        "min_devices: %llu and min_controls: %llu in the gate, "
                        "or ",
                        (unsigned long long)lack->updated, (unsigned long long)lack->waiting);
    }
    return snprintf(out, FLO_LACK_TEXT, "the gate left out, or ");
}

void flo_rollout_lack_text(const struct flo_rollout *rollout, const struct flo_rollout_lack *lack,
                           char *what, char *fix)
{
    const struct flo_rollout_phase *phase = &rollout->phases[lack->phase];
    uint64_t needed = lack->updated_of + lack->waiting_of;

    assert(lack->phase < rollout->phase_count);
    assert(lack->gate[0] != '\0' && lack->updated_of > 0);
    snprintf(what, FLO_LACK_TEXT,
             "gate %s can never pass phase %u (%s): it compares %llu updated "
             "device%s with %llu that %s%s, and gets %llu and %llu",
             lack->gate, lack->phase + 1, phase->name, (unsigned long long)lack->updated_of,
             flo_s(lack->updated_of), (unsigned long long)lack->waiting_of,
             lack->waiting_of == 1 ? "waits" : "wait",
             lack->is_ratio ? ", of one hardware class" : "", (unsigned long long)lack->updated,
             (unsigned long long)lack->waiting);
    int used = say_smaller(lack, fix);
    if (lack->devices >= needed) {
        used +=
            snprintf(fix + used, FLO_LACK_TEXT - (size_t)used,
                     "%llu to %llu device%s up to this phase", (unsigned long long)lack->updated_of,
                     (unsigned long long)(lack->devices - lack->waiting_of),
                     flo_s(lack->devices - lack->waiting_of));
    } else {
        used += snprintf(fix + used, FLO_LACK_TEXT - (size_t)used, "at least %llu device%s",
                         (unsigned long long)needed, flo_s(needed));
    }
    snprintf(fix + used, FLO_LACK_TEXT - (size_t)used,
             "; --hold-for-person (hold_for_person: true) starts it, and a "
             "person promotes the phase");
}
