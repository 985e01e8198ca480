/* Slices of a rollout: those that its analysis named are held or rolled back, and
 * a person decides about unclear ones.
 *
 * A slice without a control of its own is unclear.  Its devices keep what they
 * have, no other device there gets the release, and a person is asked: go on
 * there, or roll back there. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include <flotilla/errors/rollout.h>

#include "server-stub/core/rollout/parts.h"
#include "server-stub/core/rollout/rollout.h"

/* Returns the action for a slice: pause when it is unclear, else that of the
 * measure's rule, else the rollout's. */
static enum flo_on_fail action_for(const struct flo_analysis *analysis,
                                   const struct flo_analysis_slice *slice)
{
    if (!slice->is_culprit) {
        return FLO_ON_FAIL_PAUSE;
    }
    for (uint32_t i = 0; i < analysis->rules.count; i++) {
        const struct flo_analysis_rule *rule = &analysis->rules.rules[i];
        if (rule->measure == slice->measure && rule->has_action) {
            return rule->action;
        }
    }
    return analysis->on_fail;
}

/* Returns the slice's bit, by its index in the list. */
static uint8_t place_of(const struct flo_analysis_state *state, const char *name)
{
    assert(flo_analysis_held(state, name) < state->held_count);
    return (uint8_t)(1u << flo_analysis_held(state, name));
}

/* Adds the slice to the list.  Returns false without room. */
static bool list(struct flo_analysis_state *state, const struct flo_analysis_slice *slice)
{
    uint32_t at = flo_analysis_held(state, slice->name);

    assert(state->held_count <= FLO_ANALYSIS_SLICES_MAX);
    if (at == FLO_ANALYSIS_SLICES_MAX) {
        return false;
    }
    memcpy(state->held[at], slice->name, FLO_SLICE_TEXT);
    state->held_as[at] = slice->is_culprit ? FLO_SLICE_HELD : FLO_SLICE_ASKED;
    state->held_count = at < state->held_count ? state->held_count : at + 1;
    return true;
}

/* Marks a member as held.  A slice about which a person was asked may still
 * roll back. */
static void mark(struct flo_rollout_member *member, uint8_t place, bool is_back)
{
    assert(place != 0 && (place & (place - 1)) == 0);
    if (member->held == FLO_HELD_NOT) {
        member->held = FLO_HELD_THERE;
    }
    if (is_back) {
        member->held = FLO_HELD_BACK;
    }
    member->held_of = (uint8_t)(member->held_of | place);
    member->is_dirty = true;
}

static void mark_all(struct flo_rollout *rollout, const uint8_t *slices, uint8_t bit, uint8_t place,
                     bool is_back)
{
    assert(slices != NULL && bit != 0);
    for (size_t i = 0; i < rollout->member_count; i++) {
        if ((slices[i] & bit) != 0) {
            mark(&rollout->members[i], place, is_back);
        }
    }
}

static void hold_slice(struct flo_rollout *rollout, const struct flo_analysis_slice *slice,
                       uint8_t bit, const uint8_t *slices, uint8_t *end, uint64_t now_ms,
                       struct flo_rollout_actions *actions)
{
    enum flo_on_fail action = action_for(&rollout->analysis, slice);
    struct flo_analysis_state *state = &rollout->analysis.state;
    bool is_back = action == FLO_ON_FAIL_ROLLBACK;
    bool is_half = 2 * (uint64_t)slice->members >= rollout->member_count;
    char text[FLO_ANALYSIS_TEXT];

    if (rollout->state != FLO_ROLLOUT_RUNNING) {
        return;
    }
    *end = is_half ? FLO_END_ALL : is_back ? FLO_END_BACK : FLO_END_HELD;
    flo_analysis_slice_text(slice, (enum flo_slice_end) * end, text);
    snprintf(rollout->reason, sizeof(rollout->reason), "%s", text);
    flo_rollout_why(actions, "slice: %s", rollout->reason);
    if ((is_half && slice->is_culprit) || !list(state, slice) || is_half) {
        flo_rollout_phase_failed(rollout, action, now_ms, actions);
        return;
    }
    mark_all(rollout, slices, bit, place_of(state, slice->name), is_back);
    flo_rollout_leave_out(rollout, is_back, actions);
    flo_rollout_state_set(rollout, rollout->state, now_ms, actions);
}

void flo_rollout_hold_slices(struct flo_rollout *rollout, struct flo_rollout_analysis *of,
                             uint64_t now_ms, struct flo_rollout_actions *actions)
{
    const struct flo_analysis_slices *slices = &of->evidence.slices;

    assert(slices->count <= FLO_ANALYSIS_SLICES_MAX);
    for (uint32_t i = 0; i < slices->count && of->slices != NULL; i++) {
        if ((of->finding.holds >> i & 1) != 0) {
            hold_slice(rollout, &slices->rows[i], (uint8_t)(1u << i), of->slices,
                       &of->finding.ends[i], now_ms, actions);
        }
    }
}

/* ---- a person's answer ---- */

int flo_rollout_may_answer(const struct flo_rollout *rollout, const char *slice,
                           struct flo_err *err)
{
    const struct flo_analysis_state *state = &rollout->analysis.state;
    uint32_t at = flo_analysis_held(state, slice);

    assert(slice != NULL);
    if (rollout->state != FLO_ROLLOUT_RUNNING && rollout->state != FLO_ROLLOUT_PAUSED) {
        return flo_fail(err, FLO_E_ROLLOUT_STATE,
                        "rollout %s is %s: no slice of it waits for an answer", rollout->id,
                        flo_rollout_state_word(rollout->state));
    }
    if (at >= state->held_count || state->held_as[at] != FLO_SLICE_ASKED) {
        flo_fail(err, FLO_E_REST_MEANING, "slice: `%s` of rollout %s waits for no answer", slice,
                 rollout->id);
        return flo_err_fix(err,
                           "flotilla rollout get %s lists those that do "
                           "under `asked`",
                           rollout->id);
    }
    return 0;
}

/* Returns a bit for each slice that keeps the member out.  Rows of older
 * versions do not say which slices do; then the member waits for the answers
 * about all of them. */
static uint8_t barred_by(const struct flo_rollout_member *member, uint8_t open)
{
    return member->held == FLO_HELD_NOT ? 0 : member->held_of == 0 ? open : member->held_of & open;
}

static void recall(struct flo_rollout *rollout, uint8_t place, uint8_t open)
{
    assert((place & open) != 0);
    for (size_t i = 0; i < rollout->member_count; i++) {
        struct flo_rollout_member *member = &rollout->members[i];
        uint8_t by = barred_by(member, open);
        if (member->held_of == 0 ? by == place : (by & place) != 0) {
            mark(member, place, true);
        }
    }
}

/* Queues the member for another update, as a new attempt.  An abort ended its
 * last attempt, so the device needs a new order of its own. */
static void begin_again(struct flo_rollout_member *member)
{
    uint32_t begun = (FLO_STATES_BEFORE_TRIAL | FLO_STATE_BIT(PROBING) | FLO_STATE_BIT(CANCELLED)) &
                     ~FLO_STATES_NOT_ACCEPTED;

    assert(member->held == FLO_HELD_NOT && member->state < FLO_EXECUTION_COUNT);
    if ((begun & 1u << member->state) != 0) {
        member->state = FLO_EXECUTION_QUEUED;
        member->is_back = false;
        if (member->attempt > 0 && member->retries < UINT8_MAX) {
            member->retries++;
        }
        member->attempt += member->attempt > 0 ? 1 : 0;
    } else if (member->state == FLO_EXECUTION_NOTIFIED) {
        if (member->retries < UINT8_MAX) {
            member->retries++;
        }
    }
}

/* Releases the members of a slice that no other slice holds.  A member whose
 * update never began is queued again. */
static void let_go(struct flo_rollout *rollout, uint8_t open)
{
    for (size_t i = 0; i < rollout->member_count; i++) {
        struct flo_rollout_member *member = &rollout->members[i];
        if (member->held != FLO_HELD_THERE || barred_by(member, open) != 0) {
            continue;
        }
        member->held = FLO_HELD_NOT;
        member->held_of = 0;
        member->is_dirty = true;
        begin_again(member);
    }
    flo_rollout_count(rollout);
}

/* Keeps a member out of the rollout: ends its running update; an installed
 * release stays. */
static void stay_out(struct flo_rollout *rollout, size_t index, struct flo_rollout_actions *actions)
{
    struct flo_rollout_member *member = &rollout->members[index];
    bool is_under_way =
        ((FLO_STATES_BEFORE_TRIAL | FLO_STATE_BIT(PROBING)) & 1u << member->state) != 0;

    if (member->state == FLO_EXECUTION_QUEUED) {
        flo_rollout_member_cancel(member);
    } else if (is_under_way && !member->is_back) {
        flo_rollout_do(actions, (struct flo_rollout_action){.kind = FLO_ROLLOUT_DO_EACH,
                                                            .op = FLO_ORDER_ABORT,
                                                            .member = index});
    }
}

void flo_rollout_relabelled(struct flo_rollout *rollout, size_t index, uint8_t slices,
                            struct flo_rollout_actions *actions)
{
    struct flo_rollout_member *member = &rollout->members[index];
    uint8_t by = slices & flo_rollout_slices_open(rollout);
    bool never_began = member->state == FLO_EXECUTION_CANCELLED && member->attempt == 0;
    bool was_held =
        member->held == FLO_HELD_THERE || (member->held == FLO_HELD_BACK && never_began);

    assert(index < rollout->member_count);
    if ((member->held == FLO_HELD_BACK && !was_held) || (by != 0) == was_held) {
        uint8_t kept = was_held ? by : member->held_of;
        member->is_dirty = member->is_dirty || kept != member->held_of;
        member->held_of = kept;
        return;
    }
    member->held_of = by;
    member->held = by != 0 ? FLO_HELD_THERE : FLO_HELD_NOT;
    member->is_dirty = true;
    if (by != 0) {
        stay_out(rollout, index, actions);
    } else {
        begin_again(member);
    }
    flo_rollout_count(rollout);
    flo_rollout_why(actions, "%.8s: by its labels it %s", member->device,
                    by != 0 ? "is at a slice that is held" : "left the slice that is held");
}

void flo_rollout_answer(struct flo_rollout *rollout, const struct flo_rollout_event *event,
                        struct flo_rollout_actions *actions)
{
    struct flo_analysis_state *state = &rollout->analysis.state;
    uint32_t at = flo_analysis_held(state, event->slice);
    bool is_back = event->kind == FLO_ROLLOUT_EVENT_ROLLBACK;

    assert(at < state->held_count);
    assert(is_back || event->kind == FLO_ROLLOUT_EVENT_PROMOTE);
    flo_rollout_reason_add(rollout, ", %s: %s there", event->slice,
                           is_back ? "taken back" : "goes on");
    flo_rollout_why(actions, "%s", rollout->reason);
    state->held_as[at] = is_back ? FLO_SLICE_HELD : FLO_SLICE_LET_GO;
    uint8_t open = flo_rollout_slices_open(rollout);
    if (is_back) {
        recall(rollout, (uint8_t)(1u << at), open);
        flo_rollout_leave_out(rollout, true, actions);
    } else {
        let_go(rollout, open);
        flo_rollout_do(actions, (struct flo_rollout_action){.kind = FLO_ROLLOUT_DO_MEMBERS});
        if (rollout->state == FLO_ROLLOUT_RUNNING) {
            flo_rollout_order_again(rollout, event->now_ms, actions);
        }
    }
    flo_rollout_state_set(rollout, rollout->state, event->now_ms, actions);
}
