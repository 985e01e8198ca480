/* Parts: functions that make up a rollout's step; only for rollout/ and
 * pace/. */
#ifndef FLOTILLA_SERVER_ROLLOUT_PARTS_H
#define FLOTILLA_SERVER_ROLLOUT_PARTS_H

#include "server-stub/core/rollout/rollout.h"

#define FLO_STATE_BIT(name) (1u << FLO_EXECUTION_##name)
#define FLO_STATES_ALL ((1u << FLO_EXECUTION_COUNT) - 1)
#define FLO_STATES_NOT_ACCEPTED (FLO_STATE_BIT(QUEUED) | FLO_STATE_BIT(NOTIFIED))
/* States in which an update can be cancelled, because the release is not
 * active. */
#define FLO_STATES_NOT_ACTIVE (FLO_STATES_ALL & ~FLO_STATES_HOLDING)

/* States before the trial of the release. */
#define FLO_STATES_BEFORE_TRIAL                                                                    \
    (FLO_STATE_BIT(QUEUED) | FLO_STATE_BIT(NOTIFIED) | FLO_STATE_BIT(ACCEPTED) |                   \
     FLO_STATE_BIT(DOWNLOADING) | FLO_STATE_BIT(APPLYING) | FLO_STATE_BIT(VERIFYING) |             \
     FLO_STATE_BIT(STAGED))
/* States in which the device has the release, or is about to. */
#define FLO_STATES_HOLDING                                                                         \
    (FLO_STATES_ON_TRIAL | FLO_STATE_BIT(SUCCEEDED) | FLO_STATE_BIT(ALREADY_INSTALLED))
/* States in which the release serves on trial, or may already do so. */
#define FLO_STATES_ON_TRIAL (FLO_STATE_BIT(ACTIVATING) | FLO_STATE_BIT(SOAKING))

typedef bool flo_rollout_picks(const struct flo_rollout_member *member);
/* Returns the smallest bucket bound above `from` with `devices` picked members
 * below it; `to`, if there are fewer. */
uint32_t flo_rollout_bound(const struct flo_rollout *rollout, uint32_t from, uint32_t to,
                           uint32_t devices, flo_rollout_picks *picks);
void flo_rollout_do(struct flo_rollout_actions *actions, struct flo_rollout_action action);
/* Adds a line to the trace: why something is done, or why nothing is. */
void flo_rollout_why(struct flo_rollout_actions *actions, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Appends to the reason of the rollout's state. */
void flo_rollout_reason_add(struct flo_rollout *rollout, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void flo_rollout_evidence(struct flo_rollout *rollout, const struct flo_rollout_event *event,
                          struct flo_rollout_actions *actions);
void flo_rollout_order(struct flo_rollout_actions *actions, enum flo_order_op op, uint32_t phase,
                       uint32_t from, uint32_t to, uint32_t states);
void flo_rollout_state_set(struct flo_rollout *rollout, enum flo_rollout_state state,
                           uint64_t now_ms, struct flo_rollout_actions *actions);
/* Inserts a device that joined, and returns its index; the array has room. */
size_t flo_rollout_member_insert(struct flo_rollout *rollout,
                                 const struct flo_rollout_event *event);
/* Removes a member as if it had never joined. */
void flo_rollout_member_remove(struct flo_rollout *rollout, size_t index);
/* Tells whether the member's execution has not ended. */
bool flo_rollout_member_is_under_way(const struct flo_rollout_member *member);
/* Sets the rule that forbids to tell the member. */
void flo_rollout_member_rule(struct flo_rollout *rollout, size_t index, enum flo_rule_hold rule);
/* Sets a member's state.  `cause`: error id of a failure, or NULL. */
void flo_rollout_member_set(struct flo_rollout *rollout, size_t index, enum flo_execution state,
                            const char *cause, uint64_t now_ms);
/* Takes a queued member out of the queue; does not update the counts. */
void flo_rollout_member_cancel(struct flo_rollout_member *member);
/* Applies a member's changed labels.  `slices` has a bit for each held slice
 * that the member is now in.  A member of a held slice does not begin to
 * update, and its update under way ends.  A member of no held slice may begin.
 * An installed release stays, and a member that was rolled back does not update
 * again. */
void flo_rollout_relabelled(struct flo_rollout *rollout, size_t index, uint8_t slices,
                            struct flo_rollout_actions *actions);
void flo_rollout_member_is(struct flo_rollout *rollout, size_t index, enum flo_lateness lateness,
                           bool is_away);
/* Notes that the member is ordered to update; an offline device counts as
 * away. */
void flo_rollout_member_tell(struct flo_rollout *rollout, size_t index, uint64_t now_ms);
struct flo_rollout_phase *flo_rollout_phase_of(struct flo_rollout *rollout,
                                               const struct flo_rollout_member *member);
void flo_rollout_phase_start(struct flo_rollout *rollout, uint32_t index, uint64_t now_ms,
                             struct flo_rollout_actions *actions);
void flo_rollout_phase_leave(struct flo_rollout *rollout, enum flo_phase_state left_as,
                             uint64_t now_ms, struct flo_rollout_actions *actions);
/* Orders members to update, by the pace (pace.c). */
void flo_rollout_tell(struct flo_rollout *rollout, uint64_t now_ms,
                      struct flo_rollout_actions *actions);
/* Orders one member to update: it joined or reconnected after its phase ordered
 * all others. */
void flo_rollout_tell_one(struct flo_rollout *rollout, size_t index, uint64_t now_ms,
                          struct flo_rollout_actions *actions);
/* Orders those members of a completed rollout to update that no rule holds any
 * more. */
void flo_rollout_tell_freed(struct flo_rollout *rollout, uint64_t now_ms,
                            struct flo_rollout_actions *actions);
/* Returns true when every device of the phases that began was ordered to
 * update. */
bool flo_rollout_told_all(const struct flo_rollout *rollout);
/* Tells whether the number of devices under way together is limited. */
bool flo_rollout_has_limits(const struct flo_rollout *rollout);
/* Marks the offline members of a phase as away: they do not count until they
 * come back. */
void flo_rollout_phase_absent(struct flo_rollout *rollout, uint32_t index);
/* Tells whether the member needs a deploy order of its own: for a retry, or in
 * a spread phase. */
bool flo_rollout_needs_own(const struct flo_rollout *rollout,
                           const struct flo_rollout_member *member);
/* Picks the devices of spread phases from the strata: members swap buckets
 * (pace/spread.c).  Called once the phases have their sizes. */
void flo_rollout_spread(struct flo_rollout *rollout, uint32_t first);
/* Divides the members among phase `first` and those after it, like
 * flo_rollout_divide. */
void flo_rollout_divide_from(struct flo_rollout *rollout, uint32_t first);
/* Applies an edit to a running rollout (edit.c). */
void flo_rollout_edit(struct flo_rollout *rollout, const struct flo_rollout *draft,
                      bool has_new_gates, struct flo_rollout_actions *actions);
/* Returns the kind of a member's failure. */
enum flo_failure flo_rollout_failure(const struct flo_rollout *rollout,
                                     const struct flo_rollout_member *member);
/* Tells whether the present phase leaves devices to compare with. */
bool flo_rollout_has_controls(const struct flo_rollout *rollout);
/* Fails the present phase.  The caller has set the reason. */
void flo_rollout_phase_failed(struct flo_rollout *rollout, enum flo_on_fail on_fail,
                              uint64_t now_ms, struct flo_rollout_actions *actions);
/* Cancels the members of excluded segments and slices that still wait for their
 * deploy order.  is_back: such members that were ordered to update roll back.
 * Otherwise only their updates that are not active yet end. */
void flo_rollout_leave_out(struct flo_rollout *rollout, bool is_back,
                           struct flo_rollout_actions *actions);
/* Orders members that were queued while their phase ordered all others, and
 * repeats orders that devices did not carry out (again.c). */
void flo_rollout_order_again(struct flo_rollout *rollout, uint64_t now_ms,
                             struct flo_rollout_actions *actions);
/* Returns a bit for each slice of the list that is held, or waits for a
 * person. */
static inline uint8_t flo_rollout_slices_open(const struct flo_rollout *rollout)
{
    const struct flo_analysis_state *state = &rollout->analysis.state;
    uint8_t open = 0;

    for (uint32_t i = 0; i < state->held_count; i++) {
        bool is_open = state->held_as[i] != FLO_SLICE_LET_GO;
        open = (uint8_t)(open | (is_open ? 1u << i : 0));
    }
    return open;
}
_Static_assert(FLO_ANALYSIS_SLICES_MAX <= 8, "a bit for each");
/* Checks a person's answer about an unclear slice: one without controls
 * (slices.c). */
FLO_MUST_USE int flo_rollout_may_answer(const struct flo_rollout *rollout, const char *slice,
                                        struct flo_err *err);
/* Applies a person's answer about an unclear slice. */
void flo_rollout_answer(struct flo_rollout *rollout, const struct flo_rollout_event *event,
                        struct flo_rollout_actions *actions);
/* Holds the slices that an analysis named: their members no longer get the
 * release. */
void flo_rollout_hold_slices(struct flo_rollout *rollout, struct flo_rollout_analysis *of,
                             uint64_t now_ms, struct flo_rollout_actions *actions);
/* Moves further devices of a probed slice to the present phase (probe.c). */
void flo_rollout_probe(struct flo_rollout *rollout, uint64_t now_ms,
                       struct flo_rollout_analysis *of, struct flo_rollout_actions *actions);
/* Moves a member from a later phase to the end of the present one. */
void flo_rollout_member_advance(struct flo_rollout *rollout, size_t index);
void flo_rollout_studied(struct flo_rollout *rollout, const struct flo_rollout_event *event,
                         struct flo_rollout_actions *actions);
/* Called after every event: checks gates, leaves phases, ends the rollout. */
void flo_rollout_follow(struct flo_rollout *rollout, uint64_t now_ms,
                        struct flo_rollout_actions *actions);
/* Returns the time at which the present state expires, by the wall clock; 0:
 * never. */
uint64_t flo_rollout_end_ms(const struct flo_rollout *rollout);
/* Checks start time and expiry.  Returns true when the tick has nothing else to
 * do. */
bool flo_rollout_expire(struct flo_rollout *rollout, uint64_t now_ms,
                        struct flo_rollout_actions *actions);
uint32_t flo_rollout_touched(const struct flo_rollout *rollout);
/* Tells whether the member's phase began. */
bool flo_rollout_has_begun(const struct flo_rollout *rollout, size_t index);
void flo_rollout_member_store(size_t index, struct flo_rollout_actions *actions);
/* Orders every device that was ordered to update to roll back, and waits for
 * these devices. */
void flo_rollout_go_back(struct flo_rollout *rollout, uint64_t now_ms,
                         struct flo_rollout_actions *actions);
/* Handles an event that shows a device without the rollout's release
 * (back.c). */
void flo_rollout_seen_back(struct flo_rollout *rollout, size_t index,
                           const struct flo_rollout_event *event,
                           struct flo_rollout_actions *actions);
/* Handles the answer of a device that it cannot leave the release. */
void flo_rollout_stays(struct flo_rollout *rollout, size_t index,
                       const struct flo_rollout_event *event, struct flo_rollout_actions *actions);
/* Notes that a device keeps the release, as it has no earlier one.  The release
 * already ran there, so the rollout's order only repaired it. */
void flo_rollout_repaired(struct flo_rollout *rollout, size_t index, uint64_t now_ms,
                          struct flo_rollout_actions *actions);
/* Updates the counts of devices that remain in a rollback.  The caller calls it
 * with sign -1 before a device changes, and with 1 after.  NULL for `device`
 * discards the counts: they are computed again when needed. */
void flo_rollout_left_move(struct flo_rollout *rollout, const char *device, int sign);
/* Ends a rollback or an abort once all devices that the rollout waits for have
 * answered. */
void flo_rollout_stop_check(struct flo_rollout *rollout, uint64_t now_ms,
                            struct flo_rollout_actions *actions);
int flo_rollout_operator_step(struct flo_rollout *rollout, const struct flo_rollout_event *event,
                              struct flo_rollout_actions *actions, struct flo_err *err);

#endif
