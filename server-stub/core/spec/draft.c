/* Draft: makes the draft of a rollout from a specification. */
#include <assert.h>
#include <string.h>

#include "server-stub/core/spec/spec.h"

/* Returns the action with this index in the list of words.  The last word,
 * `abort`, is a second name of `halt`. */
static enum flo_on_fail on_fail_of(uint32_t word)
{
    return word > FLO_ON_FAIL_PAUSE ? FLO_ON_FAIL_HALT : (enum flo_on_fail)word;
}

static void draft_phase(const struct flo_spec_phase *from, struct flo_rollout_phase *to)
{
    memcpy(to->name, from->name, sizeof(to->name));
    to->devices = from->size.devices;
    to->share_pct = from->size.share_pct;
    to->devices_min = (uint32_t)from->min_devices;
    to->devices_max = (uint32_t)from->max_devices;
    to->is_spread = from->spread[0][0] != '\0';
    to->soak_ms = from->soak_ms;
    to->starts_per_s = from->rate_per_min / 60;
    to->ramp_factor = from->ramp.factor;
    to->ramp_successes = (uint32_t)from->ramp.on_successes;
    to->concurrent_max = (uint32_t)from->max_concurrent;
    to->is_until_promoted = from->until == 1;
    to->is_hold_out = from->watch_ms > 0;
    to->watch_ms = from->watch_ms;
}

/* Marks the phases of a rollout whose members are ordered by the values of a
 * label.  Their buckets are not their hashes, so each device of an early phase
 * gets its own order.  The last phase before the hold-out has all remaining
 * devices, so one order is enough. */
static void draft_cover(const struct flo_spec *spec, struct flo_rollout *out)
{
    uint32_t rest = out->phase_count;

    out->is_covered = spec->cover[0] != '\0';
    while (rest > 0 && out->phases[rest - 1].is_hold_out) {
        rest--;
    }
    for (uint32_t i = 0; out->is_covered && i < out->phase_count; i++) {
        out->phases[i].is_spread = i + 1 != rest;
        if (spec->phases[i].covers) {
            out->analysis.rules.cover = i + 1;
        }
    }
}

static void draft_aborts(const struct flo_spec *spec, struct flo_rollout *out)
{
    assert(spec->abort_count <= FLO_ABORTS_MAX);
    out->abort_count = spec->abort_count;
    for (uint32_t i = 0; i < spec->abort_count; i++) {
        out->aborts[i] = spec->aborts[i];
        if (spec->aborts[i].action != FLO_ABORT_ACTION_NONE) {
            out->aborts[i].action = on_fail_of(spec->aborts[i].action);
        }
    }
}

static void draft_deadlines(const struct flo_spec *spec, struct flo_rollout *out)
{
    flo_rollout_deadlines(out, &spec->policy);
    for (int state = 0; state < FLO_EXECUTION_COUNT; state++) {
        if (spec->deadlines_ms[state] > 0) {
            out->deadlines_ms[state] = spec->deadlines_ms[state];
        }
    }
}

void flo_spec_draft(const struct flo_spec *spec, struct flo_rollout *out)
{
    const struct flo_spec_limits *limits = &spec->limits;

    assert(spec->phase_count <= FLO_ROLLOUT_PHASES_MAX);
    assert(spec->gate_count > 0 && spec->gate_count <= FLO_GATES_MAX);
    assert(limits->per_count <= FLO_LIMITS_MAX);
    memset(out, 0, sizeof(*out));
    memcpy(out->release, spec->release, sizeof(out->release));
    out->phase_count = spec->phase_count;
    for (uint32_t i = 0; i < spec->phase_count; i++) {
        draft_phase(&spec->phases[i], &out->phases[i]);
    }
    memcpy(out->gates, spec->gates, sizeof(out->gates));
    out->gate_count = spec->gate_count;
    out->on_fail = on_fail_of(spec->on_fail);
    /* A failed analysis rolls the release back, unless the specification sets
     * on_fail. */
    out->analysis.rules = spec->analysis;
    out->analysis.on_fail = spec->has_on_fail ? out->on_fail : FLO_ON_FAIL_ROLLBACK;
    draft_cover(spec, out);
    flo_analysis_phase(&out->analysis, 0);
    out->is_snapshot = spec->membership == 1;
    out->start_at_ms = spec->start_at_ms;
    out->expires_at_ms = spec->expires_at_ms;
    out->pauses_when_expired = spec->on_expiry == 1;
    out->approvals_needed = (uint32_t)spec->approvals;
    out->pauses_when_unsure = spec->on_inconclusive == 1;
    out->holds_for_person = spec->holds_for_person;
    draft_aborts(spec, out);
    out->starts_per_s = spec->rate_per_min / 60;
    out->concurrent_max = (uint32_t)limits->max_concurrent;
    out->window = limits->window;
    memcpy(out->limits, limits->per, sizeof(out->limits));
    out->limit_count = limits->per_count;
    memcpy(out->retries_max, spec->retries, sizeof(out->retries_max));
    out->retry_wait_ms = spec->retry_wait_ms;
    draft_deadlines(spec, out);
}
