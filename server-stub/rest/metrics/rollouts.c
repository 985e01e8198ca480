/* Metrics: rollouts, their devices and gates. */
#include <stdlib.h>

#include "server-stub/rest/metrics/metrics.h"
#include "server-stub/state/rollouts/rollouts.h"
#include "server-stub/state/rollouts/updates.h"

#define DAY_MS (UINT64_C(24) * 3600 * 1000)

/* Tells whether a rollout's state is an end that needs attention. */
static bool is_odd_end(enum flo_rollout_state state)
{
    return state == FLO_ROLLOUT_HALTED || state == FLO_ROLLOUT_PARTLY_BACK;
}

/* Tells whether metrics show the rollout.  Shown are active rollouts, and those
 * that were halted or went partly back lately, unless that is over. */
static bool is_shown(const struct flo_controller *controller, const struct flo_rollout_entry *entry,
                     uint64_t now_ms)
{
    return flo_rollout_state_is_active(entry->core.state) ||
           (is_odd_end(entry->core.state) && entry->core.since_at_ms + DAY_MS > now_ms &&
            !flo_rollouts_is_over(controller, entry));
}

static void add_devices(const struct flo_rollout *rollout, struct flo_samples *samples)
{
    for (int state = 0; state < FLO_EXECUTION_COUNT; state++) {
        uint64_t count = 0;
        for (uint32_t i = 0; i < rollout->phase_count; i++) {
            count += rollout->phases[i].counts[state];
        }
        if (count > 0) {
            flo_samples_add(samples, FLO_EXPOSED_ROLLOUT_DEVICES,
                            (const char *const[]){rollout->id, rollout->release,
                                                  flo_execution_word((enum flo_execution)state)},
                            (double)count);
        }
    }
}

static void add_gates(const struct flo_rollout *rollout, struct flo_samples *samples)
{
    const struct flo_analysis *analysis = &rollout->analysis;
    char title[FLO_GATE_TITLE];

    for (uint32_t i = 0; i < rollout->gate_count; i++) {
        struct flo_gate_result result;
        flo_rollout_gate(rollout, i, rollout->phase, &result);
        flo_gate_title(&rollout->gates[i], title);
        flo_samples_add(samples, FLO_EXPOSED_ROLLOUT_GATE,
                        (const char *const[]){rollout->id, title, flo_verdict_word(result.verdict)},
                        1);
    }
    for (uint32_t i = 0; i < analysis->rules.count; i++) {
        const struct flo_analysis_standing *standing = &analysis->state.standing[i];
        const char *word = flo_measure_fact(analysis->rules.rules[i].measure)->word;
        if (standing->has_result) {
            flo_samples_add(
                samples, FLO_EXPOSED_ROLLOUT_GATE,
                (const char *const[]){rollout->id, word, flo_verdict_word(standing->verdict)}, 1);
        }
    }
}

/* Tells whether a rollout completed within the last day and no newer one
 * followed.  A slice that it held back keeps the worse release, so its metrics
 * stay. */
static bool is_over_well(const struct flo_controller *controller,
                         const struct flo_rollout_entry *entry, uint64_t now_ms)
{
    return entry->core.state == FLO_ROLLOUT_COMPLETED &&
           entry->core.since_at_ms + DAY_MS > now_ms &&
           flo_rollouts_follower(controller, entry) == NULL;
}

static void add_slices(const struct flo_rollout_entry *entry, struct flo_samples *samples)
{
    static const char *const words[] = {"held", "asked", "back", "told", "changed", "probed"};

    size_t counts[FLO_FOUND_COUNT];

    _Static_assert(FLO_COUNT(words) == FLO_FOUND_COUNT, "a word each");
    flo_rollouts_found_count(entry, counts);
    for (int i = 0; i < FLO_FOUND_COUNT; i++) {
        if (counts[i] > 0) {
            flo_samples_add(samples, FLO_EXPOSED_ROLLOUT_SLICES,
                            (const char *const[]){entry->core.id, entry->core.release, words[i]},
                            (double)counts[i]);
        }
    }
}

static void add_awaits(const struct flo_rollout *rollout, struct flo_samples *samples)
{
    if (rollout->state == FLO_ROLLOUT_RUNNING &&
        rollout->phases[rollout->phase].state == FLO_PHASE_HELD) {
        flo_samples_add(samples, FLO_EXPOSED_ROLLOUT_AWAITS,
                        (const char *const[]){rollout->id, rollout->release}, 1);
    }
}

/* Counts the devices that a rule holds, also in a completed rollout, which
 * goes on for devices that join. */
static void add_ruled(const struct flo_rollout *rollout, struct flo_samples *samples)
{
    uint32_t counts[FLO_RULE_FROZEN + 1] = {0};

    for (uint32_t i = 0; i < rollout->phase_count; i++) {
        counts[FLO_RULE_AWAITS] += rollout->phases[i].awaits;
        counts[FLO_RULE_FROZEN] += rollout->phases[i].frozen;
    }
    for (int rule = FLO_RULE_AWAITS; rule <= FLO_RULE_FROZEN; rule++) {
        const char *word = flo_rule_word((enum flo_rule_hold)rule);
        if (counts[rule] > 0) {
            flo_samples_add(samples, FLO_EXPOSED_ROLLOUT_RULED,
                            (const char *const[]){rollout->id, rollout->release, word},
                            counts[rule]);
        }
    }
}

static void add_updates(const struct flo_controller *controller, struct flo_samples *samples)
{
    const struct flo_update_counts *updates = flo_rollouts_updates(controller->rollouts);

    for (size_t i = 0; i < updates->count; i++) {
        for (int state = 0; state < FLO_EXECUTION_COUNT; state++) {
            enum flo_execution end = (enum flo_execution)state;
            if (flo_execution_is_end(end)) {
                flo_samples_add(
                    samples, FLO_EXPOSED_UPDATES,
                    (const char *const[]){updates->items[i].release, flo_execution_word(end)},
                    (double)updates->items[i].ends[state]);
            }
        }
    }
}

void flo_metrics_rollouts(const struct flo_controller *controller, struct flo_samples *samples)
{
    const struct flo_rollouts *rollouts = controller->rollouts;
    uint64_t now_ms = flo_controller_now_ms(controller);
    uint64_t states[FLO_ROLLOUT_STATE_COUNT] = {0};
    uint64_t active = 0;
    uint64_t attention = 0;

    for (size_t i = 0; i < flo_rollouts_count(rollouts); i++) {
        const struct flo_rollout *rollout = &flo_rollouts_at(rollouts, i)->core;
        const char *state = flo_rollout_state_word(rollout->state);
        states[rollout->state]++;
        active += flo_rollout_state_is_active(rollout->state) ? 1 : 0;
        bool is_any = is_shown(controller, flo_rollouts_at(rollouts, i), now_ms);
        if (is_any || is_over_well(controller, flo_rollouts_at(rollouts, i), now_ms)) {
            add_slices(flo_rollouts_at(rollouts, i), samples);
        }
        if (is_any || rollout->state == FLO_ROLLOUT_COMPLETED) {
            add_ruled(rollout, samples);
        }
        if (!is_any) {
            continue;
        }
        uint32_t asked = flo_analysis_asked(&rollout->analysis.state);
        attention +=
            rollout->state == FLO_ROLLOUT_PAUSED || asked > 0 || is_odd_end(rollout->state) ? 1 : 0;
        flo_samples_add(samples, FLO_EXPOSED_ROLLOUT_ASKED,
                        (const char *const[]){rollout->id, rollout->release}, asked);
        flo_samples_add(samples, FLO_EXPOSED_ROLLOUT_PHASE,
                        (const char *const[]){rollout->id, rollout->release, state},
                        rollout->phase + 1);
        add_devices(rollout, samples);
        add_gates(rollout, samples);
        add_awaits(rollout, samples);
    }
    for (int i = 0; i < FLO_ROLLOUT_STATE_COUNT; i++) {
        flo_samples_add(samples, FLO_EXPOSED_ROLLOUTS,
                        (const char *const[]){flo_rollout_state_word((enum flo_rollout_state)i)},
                        (double)states[i]);
    }
    flo_samples_add(samples, FLO_EXPOSED_ROLLOUTS_ACTIVE, NULL, (double)active);
    flo_samples_add(samples, FLO_EXPOSED_ROLLOUTS_ATTENTION, NULL, (double)attention);
    add_updates(controller, samples);
}
