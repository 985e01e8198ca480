/* Actions: adds the actions of a step, and tells which members they concern. */

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <flotilla/fit.h>

#include "server-stub/core/rollout/parts.h"
#include "server-stub/core/rollout/rollout.h"

void flo_rollout_do(struct flo_rollout_actions *actions, struct flo_rollout_action action)
{
    assert(actions->count < FLO_ROLLOUT_ACTIONS_MAX);
    assert(action.kind <= FLO_ROLLOUT_DO_VERDICT);
    actions->items[actions->count++] = action;
}

void flo_rollout_why(struct flo_rollout_actions *actions, const char *format, ...)
{
    size_t used = strlen(actions->why);
    char text[FLO_ROLLOUT_WHY];
    va_list list;

    if (used + 16 >= sizeof(actions->why)) {
        return; /* no room is left, and the first reasons are the most useful ones */
    }
    if (used > 0) {
        actions->why[used++] = '\n';
    }
    va_start(list, format);
    vsnprintf(text, sizeof(text), format, list);
    va_end(list);
    flo_text_fit(text, actions->why + used, sizeof(actions->why) - used);
}

void flo_rollout_reason_add(struct flo_rollout *rollout, const char *format, ...)
{
    size_t used = strlen(rollout->reason);
    char text[FLO_ROLLOUT_REASON];
    va_list list;

    va_start(list, format);
    vsnprintf(text, sizeof(text), format, list);
    va_end(list);
    if (used + 8 < sizeof(rollout->reason)) {
        flo_text_fit(text, rollout->reason + used, sizeof(rollout->reason) - used);
    }
}

/* Adds two actions: to sign and publish an order, and to write it into the
 * desired documents of the members that are in `states`. */
void flo_rollout_order(struct flo_rollout_actions *actions, enum flo_order_op op, uint32_t phase,
                       uint32_t from, uint32_t to, uint32_t states)
{
    struct flo_rollout_action action = {.kind = FLO_ROLLOUT_DO_ORDER,
                                        .op = op,
                                        .phase = phase,
                                        .bucket_from = from,
                                        .bucket_to = to,
                                        .states = states,
                                        .member = SIZE_MAX};

    assert(from <= to && to <= FLO_BUCKETS);
    assert(op < FLO_ORDER_COUNT && phase < FLO_ROLLOUT_PHASES_MAX);
    flo_rollout_do(actions, action);
    action.kind = FLO_ROLLOUT_DO_DESIRED;
    flo_rollout_do(actions, action);
}

void flo_rollout_state_set(struct flo_rollout *rollout, enum flo_rollout_state state,
                           uint64_t now_ms, struct flo_rollout_actions *actions)
{
    assert(state < FLO_ROLLOUT_STATE_COUNT);
    rollout->state = state;
    rollout->since_at_ms = now_ms;
    flo_rollout_do(actions,
                   (struct flo_rollout_action){.kind = FLO_ROLLOUT_DO_STATE, .state = (int)state});
}

bool flo_rollout_needs_own(const struct flo_rollout *rollout,
                           const struct flo_rollout_member *member)
{
    return member->retries > 0 ||
           (member->phase < rollout->phase_count && rollout->phases[member->phase].is_spread);
}

bool flo_rollout_action_names(const struct flo_rollout *rollout,
                              const struct flo_rollout_action *action, size_t member)
{
    const struct flo_rollout_member *m = &rollout->members[member];

    assert(member < rollout->member_count && m->state < FLO_EXECUTION_COUNT);
    if (action->member != SIZE_MAX) {
        return action->member == member;
    }
    bool is_excluded = flo_rollout_is_excluded(rollout, m);
    /* The analysis holds this member's slice: nothing is rolled back there, but
     * updates under way are cancelled. */
    bool stays = m->held == FLO_HELD_THERE;
    if ((action->is_excluded && (!is_excluded || stays != (action->op == FLO_ORDER_ABORT))) ||
        (action->op == FLO_ORDER_DEPLOY && is_excluded)) {
        return false;
    }
    if (action->op == FLO_ORDER_DEPLOY) {
        bool is_own = action->kind == FLO_ROLLOUT_DO_EACH;
        if (flo_rollout_needs_own(rollout, m) != is_own || m->phase != action->phase ||
            (action->is_fresh && !m->is_fresh)) {
            return false;
        }
    }
    if (action->kind == FLO_ROLLOUT_DO_RECALL && m->lateness == FLO_LATENESS_NONE) {
        return false;
    }
    return m->bucket >= action->bucket_from && m->bucket < action->bucket_to &&
           m->state != FLO_EXECUTION_REMOVED && m->state != FLO_EXECUTION_SUPERSEDED &&
           (action->states & 1u << m->state) != 0;
}

/* Returns the bound below which all buckets were ordered to deploy at some
 * time. */
uint32_t flo_rollout_touched(const struct flo_rollout *rollout)
{
    uint32_t to = 0;

    assert(rollout->phase_count <= FLO_ROLLOUT_PHASES_MAX);
    for (uint32_t i = 0; i < rollout->phase_count; i++) {
        if (rollout->phases[i].state != FLO_PHASE_WAITING) {
            to = rollout->phases[i].bucket_to;
        }
    }
    return to;
}

bool flo_rollout_is_spread(const struct flo_rollout *rollout)
{
    bool is_spread = false;

    for (uint32_t i = 0; i < rollout->phase_count; i++) {
        is_spread = is_spread || rollout->phases[i].is_spread;
    }
    return is_spread;
}

bool flo_rollout_has_begun(const struct flo_rollout *rollout, size_t index)
{
    uint8_t phase = rollout->members[index].phase;

    assert(index < rollout->member_count);
    return phase < rollout->phase_count && rollout->phases[phase].state != FLO_PHASE_WAITING;
}

void flo_rollout_member_store(size_t index, struct flo_rollout_actions *actions)
{
    flo_rollout_do(actions,
                   (struct flo_rollout_action){.kind = FLO_ROLLOUT_DO_MEMBER, .member = index});
}
