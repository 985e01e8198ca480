/* Parts of a step, for rollout/ and pace/. */
#ifndef FLOTILLA_SERVER_ROLLOUT_PARTS_H
#define FLOTILLA_SERVER_ROLLOUT_PARTS_H

#include "server-stub/core/rollout/rollout.h"

#define FLO_STATE_BIT(name) (1u << FLO_EXECUTION_##name)
#define FLO_STATES_ALL ((1u << FLO_EXECUTION_COUNT) - 1)
#define FLO_STATES_NOT_ACCEPTED (FLO_STATE_BIT(QUEUED) | FLO_STATE_BIT(NOTIFIED))
/* All whose desired must not ask for the release any more, when those that
 * run it may keep it. */
#define FLO_STATES_NOT_ACTIVE (FLO_STATES_ALL & ~FLO_STATES_HOLDING)

/* The device has not tried the release yet. */
#define FLO_STATES_BEFORE_TRIAL                                                                    \
    (FLO_STATE_BIT(QUEUED) | FLO_STATE_BIT(NOTIFIED) | FLO_STATE_BIT(ACCEPTED) |                   \
     FLO_STATE_BIT(DOWNLOADING) | FLO_STATE_BIT(APPLYING) | FLO_STATE_BIT(VERIFYING) |             \
     FLO_STATE_BIT(STAGED))
/* The device has the release, or is about to. */
#define FLO_STATES_HOLDING                                                                         \
    (FLO_STATES_ON_TRIAL | FLO_STATE_BIT(SUCCEEDED) | FLO_STATE_BIT(ALREADY_INSTALLED))
/* The release serves there, or may. */
#define FLO_STATES_ON_TRIAL (FLO_STATE_BIT(ACTIVATING) | FLO_STATE_BIT(SOAKING))

typedef bool flo_rollout_picks(const struct flo_rollout_member *member);
/* Smallest bound above `from` below which so many of the members that it picks
 * lie; `to`, if there are fewer. */
uint32_t flo_rollout_bound(const struct flo_rollout *rollout, uint32_t from, uint32_t to,
                           uint32_t devices, flo_rollout_picks *picks);
void flo_rollout_do(struct flo_rollout_actions *actions, struct flo_rollout_action action);
/* Say why something is done, or why nothing is: a line of the trace. */
void flo_rollout_why(struct flo_rollout_actions *actions, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Go on with the reason of the rollout's state. */
void flo_rollout_reason_add(struct flo_rollout *rollout, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void flo_rollout_evidence(struct flo_rollout *rollout, const struct flo_rollout_event *event,
                          struct flo_rollout_actions *actions);
void flo_rollout_order(struct flo_rollout_actions *actions, enum flo_order_op op, uint32_t phase,
                       uint32_t from, uint32_t to, uint32_t states);
void flo_rollout_state_set(struct flo_rollout *rollout, enum flo_rollout_state state,
                           uint64_t now_ms, struct flo_rollout_actions *actions);
/* Put a device that joined in its place; the array has room. */
size_t flo_rollout_member_insert(struct flo_rollout *rollout,
                                 const struct flo_rollout_event *event);
/* Take it out, as if it never had been there. */
void flo_rollout_member_remove(struct flo_rollout *rollout, size_t index);
/* The member's execution did not end yet. */
bool flo_rollout_member_is_under_way(const struct flo_rollout_member *member);
/* `cause`: error id of a bad end, or NULL. */
void flo_rollout_member_set(struct flo_rollout *rollout, size_t index, enum flo_execution state,
                            const char *cause, uint64_t now_ms);
/* Queued, and it does not get the release now; its counts are not kept up. */
void flo_rollout_member_cancel(struct flo_rollout_member *member);
/* A member has other labels, and is of these slices of the list, a bit each.
 * Who never began waits or goes on with them, and an execution at a held one
 * ends.  A release that is there stays, and who went back stays back. */
void flo_rollout_relabelled(struct flo_rollout *rollout, size_t index, uint8_t slices,
                            struct flo_rollout_actions *actions);
void flo_rollout_member_is(struct flo_rollout *rollout, size_t index, enum flo_lapse lapse,
                           bool is_away);
/* Notified; an absent device waits and does not count. */
void flo_rollout_member_tell(struct flo_rollout *rollout, size_t index, uint64_t now_ms);
struct flo_rollout_phase *flo_rollout_phase_of(struct flo_rollout *rollout,
                                               const struct flo_rollout_member *member);
void flo_rollout_phase_start(struct flo_rollout *rollout, uint32_t index, uint64_t now_ms,
                             struct flo_rollout_actions *actions);
void flo_rollout_phase_leave(struct flo_rollout *rollout, enum flo_phase_state left_as,
                             uint64_t now_ms, struct flo_rollout_actions *actions);
/* Tell the members whose turn it is by the rollout's pace (pace.c). */
void flo_rollout_tell(struct flo_rollout *rollout, uint64_t now_ms,
                      struct flo_rollout_actions *actions);
/* That one now: it joined, or came back, after its phase told all others. */
void flo_rollout_tell_one(struct flo_rollout *rollout, size_t index, uint64_t now_ms,
                          struct flo_rollout_actions *actions);
/* Every device of the phases that began had its turn. */
bool flo_rollout_told_all(const struct flo_rollout *rollout);
/* Is a number of devices under way together limited? */
bool flo_rollout_has_limits(const struct flo_rollout *rollout);
/* Those of a phase that are not there do not count until they come. */
void flo_rollout_phase_absent(struct flo_rollout *rollout, uint32_t index);
/* The deploy order is for one member: an attempt again, or a spread phase. */
bool flo_rollout_needs_own(const struct flo_rollout *rollout,
                           const struct flo_rollout_member *member);
/* Why a queued member of a phase that began is not told, apart from pace and
 * limits; *until_ms: until when, or UINT64_MAX. */
enum flo_hold {
    FLO_HOLD_NONE,
    FLO_HOLD_WINDOW,
    FLO_HOLD_ZONE, /* there is a window, and nobody knows the zone */
    FLO_HOLD_OFFLINE,
    FLO_HOLD_RETRY
};
enum flo_hold flo_rollout_hold_of(const struct flo_rollout *rollout,
                                  const struct flo_rollout_member *member, uint64_t now_ms,
                                  uint64_t *until_ms);
/* Pick the devices of spread phases over the strata: members change buckets
 * with each other (pace/spread.c).  After the phases have their sizes. */
void flo_rollout_spread(struct flo_rollout *rollout, uint32_t first);
/* flo_rollout_divide for this phase and those after it. */
void flo_rollout_divide_from(struct flo_rollout *rollout, uint32_t first);
/* Other words for one under way (edit.c). */
void flo_rollout_edit(struct flo_rollout *rollout, const struct flo_rollout *draft,
                      bool has_new_gates, struct flo_rollout_actions *actions);
/* Kind of a member's bad end. */
enum flo_failure flo_rollout_failure(const struct flo_rollout *rollout,
                                     const struct flo_rollout_member *member);
/* Does the present phase leave devices to compare with? */
bool flo_rollout_has_controls(const struct flo_rollout *rollout);
/* The present phase failed, for the reason that stands. */
void flo_rollout_phase_failed(struct flo_rollout *rollout, enum flo_on_fail on_fail,
                              uint64_t now_ms, struct flo_rollout_actions *actions);
/* Excluded members that were not told are not told any more; `is_back`: the
 * others go back. */
void flo_rollout_leave_out(struct flo_rollout *rollout, bool is_back,
                           struct flo_rollout_actions *actions);
/* Queued members of phases that told them all are told, and orders that were
 * not taken up go out once more (again.c). */
void flo_rollout_order_again(struct flo_rollout *rollout, uint64_t now_ms,
                             struct flo_rollout_actions *actions);
/* Slices of the list that get the release no more, or wait for a person. */
static inline uint8_t flo_rollout_slices_open(const struct flo_rollout *rollout)
{
    const struct flo_study_state *state = &rollout->study.state;
    uint8_t open = 0;

    for (uint32_t i = 0; i < state->held_count; i++) {
        bool is_open = state->held_as[i] != FLO_SLICE_LET_GO;
        open = (uint8_t)(open | (is_open ? 1u << i : 0));
    }
    return open;
}
_Static_assert(FLO_STUDY_SLICES_MAX <= 8, "a bit for each");
/* A person says what becomes of a slice that nobody there can tell about
 * (slices.c). */
FLO_MUST_USE int flo_rollout_may_answer(const struct flo_rollout *rollout, const char *slice,
                                        struct flo_err *err);
void flo_rollout_answer(struct flo_rollout *rollout, const struct flo_rollout_event *event,
                        struct flo_rollout_actions *actions);
/* Slices that a study named: their members get the release no more. */
void flo_rollout_hold_slices(struct flo_rollout *rollout, struct flo_rollout_study *of,
                             uint64_t now_ms, struct flo_rollout_actions *actions);
/* Devices of slices that ask for more join the present phase (probe.c). */
void flo_rollout_probe(struct flo_rollout *rollout, uint64_t now_ms, struct flo_rollout_study *of,
                       struct flo_rollout_actions *actions);
/* From a later phase to the present one, the last of its range. */
void flo_rollout_member_advance(struct flo_rollout *rollout, size_t index);
void flo_rollout_studied(struct flo_rollout *rollout, const struct flo_rollout_event *event,
                         struct flo_rollout_actions *actions);
/* Gates, leaving phases, ends: called after every event. */
void flo_rollout_follow(struct flo_rollout *rollout, uint64_t now_ms,
                        struct flo_rollout_actions *actions);
static inline uint64_t flo_rollout_wall_ms(const struct flo_rollout *rollout, uint64_t now_ms)
{
    return (uint64_t)((int64_t)now_ms + rollout->wall_ahead_ms);
}
/* Until when it may be in its state, wall clock; 0: there is no end. */
uint64_t flo_rollout_end_ms(const struct flo_rollout *rollout);
/* The time is over, or has not come: true when that is all for a tick. */
bool flo_rollout_expire(struct flo_rollout *rollout, uint64_t now_ms,
                        struct flo_rollout_actions *actions);
uint32_t flo_rollout_touched(const struct flo_rollout *rollout);
/* The phase of a member began. */
bool flo_rollout_has_begun(const struct flo_rollout *rollout, size_t index);
void flo_rollout_member_store(size_t index, struct flo_rollout_actions *actions);
/* Order every touched device back and wait for them. */
void flo_rollout_go_back(struct flo_rollout *rollout, uint64_t now_ms,
                         struct flo_rollout_actions *actions);
/* The way back (back.c): a device was seen without the release; it answered
 * that it cannot leave it; all that are awaited have answered. */
void flo_rollout_seen_back(struct flo_rollout *rollout, size_t index,
                           const struct flo_rollout_event *event,
                           struct flo_rollout_actions *actions);
void flo_rollout_stays(struct flo_rollout *rollout, size_t index,
                       struct flo_rollout_actions *actions);
/* Before (-1) and after (1) a device does something; NULL: nobody is counted
 * any more. */
void flo_rollout_left_move(struct flo_rollout *rollout, const char *device, int sign);
void flo_rollout_stop_check(struct flo_rollout *rollout, uint64_t now_ms,
                            struct flo_rollout_actions *actions);
int flo_rollout_operator_step(struct flo_rollout *rollout, const struct flo_rollout_event *event,
                              struct flo_rollout_actions *actions, struct flo_err *err);

#endif
