/* Slots: the effect of each step of an update on current, previous and
 * candidate.
 *
 * Pure.  Each change is made on a copy in memory, and takes effect by one
 * record write (store/slots.c).  So power may fail between any two of these
 * calls.  Rules: activation does not rotate, commit rotates, a failed soak
 * clears only the candidate. */
#include <assert.h>
#include <string.h>

#include <flotilla/errors/meta.h>
#include <flotilla/errors/soak.h>
#include <flotilla/errors/target.h>
#include <flotilla/updater.h>

#include "updater/core/eras.h"

struct flo_digest flo_slots_serving(const struct flo_slots *slots)
{
    if (slots->phase == FLO_SLOT_TRIAL) {
        return slots->candidate;
    }
    return slots->current;
}

/* Rotates releases and their numbers together.  Data about the candidate's
 * execution is cleared with the candidate. */
static void rotate(struct flo_slots *slots, enum flo_slot_turn turn)
{
    const struct flo_places releases = {&slots->current, &slots->previous, &slots->candidate,
                                        sizeof(slots->current)};
    const struct flo_places numbers = {&slots->current_number, &slots->previous_number,
                                       &slots->candidate_number, sizeof(slots->current_number)};

    flo_slots_turn(turn, &releases);
    flo_slots_turn(turn, &numbers);
    slots->phase = FLO_SLOT_IDLE;
    slots->candidate_floor = 0;
    slots->tries_left = 0;
    slots->attempt = 0;
    slots->order_seq = 0;
    slots->soak_ms = 0;
    slots->soak_requests = 0;
    slots->soak_errors_ppm = 0;
    slots->soak_crashes_max = 0;
    slots->rollout_phase = 0;
    memset(slots->rollout, 0, sizeof(slots->rollout));
    memset(slots->order, 0, sizeof(slots->order));
}

int flo_slots_stage(struct flo_slots *slots, const struct flo_digest *candidate,
                    const struct flo_slots *execution, struct flo_err *err)
{
    assert(slots->phase <= FLO_SLOT_TRIAL);
    if (slots->phase == FLO_SLOT_TRIAL) {
        return flo_fail(err, FLO_E_STATE, "%s: a candidate is on trial; commit or clear it first",
                        slots->model);
    }
    if (flo_digest_is_zero(candidate)) {
        return flo_fail(err, FLO_E_STATE, "%s: no release to stage", slots->model);
    }
    if (flo_digest_equal(candidate, &slots->current)) {
        return flo_fail(err, FLO_E_STATE, "%s: the release is current already", slots->model);
    }
    flo_slots_clear_candidate(slots);
    slots->candidate = *candidate;
    slots->phase = FLO_SLOT_STAGED;
    slots->is_removed = false;
    if (execution != NULL) {
        slots->candidate_number = execution->candidate_number;
        slots->candidate_floor = execution->candidate_floor;
        slots->attempt = execution->attempt;
        slots->order_seq = execution->order_seq;
        slots->soak_ms = execution->soak_ms;
        slots->soak_requests = execution->soak_requests;
        slots->soak_errors_ppm = execution->soak_errors_ppm;
        slots->soak_crashes_max = execution->soak_crashes_max;
        slots->rollout_phase = execution->rollout_phase;
        memcpy(slots->rollout, execution->rollout, sizeof(slots->rollout));
        memcpy(slots->order, execution->order, sizeof(slots->order));
    }
    return 0;
}

int flo_slots_begin_trial(struct flo_slots *slots, uint32_t tries, struct flo_err *err)
{
    assert(slots->phase == FLO_SLOT_IDLE || !flo_digest_is_zero(&slots->candidate));
    if (slots->phase != FLO_SLOT_STAGED) {
        return flo_fail(err, FLO_E_STATE, "%s: %s", slots->model,
                        slots->phase == FLO_SLOT_TRIAL ? "the candidate is on trial already"
                                                       : "no candidate is staged");
    }
    if (tries == 0 || tries > UINT8_MAX) {
        return flo_fail(err, FLO_E_STATE, "%s: %u tries, 1 to %u are possible", slots->model, tries,
                        (unsigned)UINT8_MAX);
    }
    slots->phase = FLO_SLOT_TRIAL;
    slots->tries_left = (uint8_t)tries;
    return 0;
}

int flo_slots_count_try(struct flo_slots *slots, struct flo_err *err)
{
    if (slots->phase != FLO_SLOT_TRIAL) {
        return flo_fail(err, FLO_E_STATE, "%s: nothing is on trial", slots->model);
    }
    if (slots->tries_left == 0) {
        return flo_fail(err, FLO_E_SOAK_FAILED, "%s: the candidate has no start left",
                        slots->model);
    }
    slots->tries_left--;
    return 0;
}

void flo_slots_return_try(struct flo_slots *slots)
{
    assert(slots->phase <= FLO_SLOT_TRIAL);
    if (slots->phase == FLO_SLOT_TRIAL && slots->tries_left < UINT8_MAX) {
        slots->tries_left++;
    }
}

int flo_slots_commit(struct flo_slots *slots, struct flo_err *err)
{
    assert(slots->phase != FLO_SLOT_TRIAL || !flo_digest_is_zero(&slots->candidate));
    if (slots->phase != FLO_SLOT_TRIAL) {
        return flo_fail(err, FLO_E_STATE, "%s: nothing is on trial", slots->model);
    }
    if (slots->candidate_floor > slots->floor_hard) {
        slots->floor_hard = slots->candidate_floor;
    }
    rotate(slots, FLO_TURN_COMMIT);
    if (slots->current_number > slots->floor) {
        slots->floor = slots->current_number;
    }
    if (slots->stated.number > 0 && flo_digest_equal(&slots->stated.target, &slots->current)) {
        slots->stated.outcome = FLO_STATED_DONE;
    }
    return 0;
}

void flo_slots_clear_candidate(struct flo_slots *slots)
{
    rotate(slots, FLO_TURN_CLEAR);
}

void flo_slots_remove(struct flo_slots *slots)
{
    flo_slots_clear_candidate(slots);
    slots->current = slots->previous = slots->baseline = (struct flo_digest){0};
    slots->current_number = slots->previous_number = 0;
    slots->baseline_number = 0;
    slots->is_removed = true;
    if (slots->stated.number > 0 && slots->stated.op == FLO_ORDER_REMOVE) {
        slots->stated.outcome = FLO_STATED_DONE;
    }
}

int flo_slots_roll_back(struct flo_slots *slots, struct flo_err *err)
{
    if (flo_digest_is_zero(&slots->previous)) {
        return flo_fail(err, FLO_E_STATE, "%s: there is no previous release to go back to",
                        slots->model);
    }
    rotate(slots, FLO_TURN_BACK);
    return 0;
}

static bool is_denied(const struct flo_slots *slots, const struct flo_digest *release)
{
    return !flo_digest_is_zero(release) && flo_slots_is_denied(slots, release, 0);
}

/* Blocks a candidate that has used up the starts of its trial, and empties its
 * slot.  One write of the record does both, because the report of the failed
 * update may be lost. */
static void end_of_starts(struct flo_slots *slots)
{
    const struct flo_denial said = {
        .release = slots->candidate, .number = slots->candidate_number, .cause = FLO_DENIAL_FAULT};

    (void)flo_slots_deny(slots, &said);
    flo_slots_clear_candidate(slots);
}

/* Finishes what a power cut interrupted: drops a failed or blocked candidate,
 * and rolls back a blocked current release.  Without a previous release the
 * blocked one stays, because a doubtful model is better than none. */
bool flo_slots_heal(struct flo_slots *slots)
{
    bool is_changed = false;
    bool is_refused =
        slots->stated.op == FLO_ORDER_ROLLBACK && slots->stated.outcome == FLO_STATED_REFUSED;

    assert(slots->stated.outcome <= FLO_STATED_FAILED);
    if (slots->phase == FLO_SLOT_TRIAL && slots->tries_left == 0) {
        end_of_starts(slots);
        is_changed = true;
    } else if (is_denied(slots, &slots->candidate)) {
        flo_slots_clear_candidate(slots);
        is_changed = true;
    }
    if (is_refused) {
        return is_changed;
    }
    if (is_denied(slots, &slots->previous)) {
        memset(&slots->previous, 0, sizeof(slots->previous));
        slots->previous_number = 0;
        is_changed = true;
    }
    if (is_denied(slots, &slots->current) && flo_slots_roll_back(slots, NULL) == 0) {
        is_changed = true;
    }
    return is_changed;
}

/* Fails for a release below the minimum.  Release numbers follow the order in
 * which releases were made, not their versions. */
static int below(const struct flo_slots *slots, uint64_t number, struct flo_err *err)
{
    bool is_hard = number < slots->floor_hard;

    flo_fail(err, FLO_E_TARGET_FLOOR,
             "%s: release number %llu is below the %s %llu: one that was made "
             "later %s",
             slots->model, (unsigned long long)number, is_hard ? "hard floor" : "floor",
             (unsigned long long)(is_hard ? slots->floor_hard : slots->floor),
             is_hard ? "forbids it" : "ran here");
    return is_hard ? flo_err_fix(err, "make it again under a new version: "
                                      "nothing goes below a hard floor")
                   : FLO_E_TARGET_FLOOR;
}

int flo_slots_admit(const struct flo_slots *slots, const struct flo_digest *release,
                    uint64_t number, struct flo_err *err)
{
    bool is_named = slots->stated.below_floor && flo_digest_equal(release, &slots->stated.target);

    assert(!flo_digest_is_zero(release));
    if (flo_slots_hold(slots, release)) {
        return 0;
    }
    if (number < slots->floor_hard) {
        return below(slots, number, err);
    }
    if (slots->current_number > 0 && number == slots->current_number) {
        return flo_fail(err, FLO_E_META_EQUIVOCATION, "%s: the current release has number %llu too",
                        slots->model, (unsigned long long)number);
    }
    if (number < slots->floor && !is_named) {
        return below(slots, number, err);
    }
    if (slots->floor > 0 && number > slots->floor + FLO_VERSION_JUMP_MAX) {
        return flo_fail(err, FLO_E_META_VERSION_JUMP,
                        "%s: release number %llu, at most %llu after %llu", slots->model,
                        (unsigned long long)number,
                        (unsigned long long)(slots->floor + FLO_VERSION_JUMP_MAX),
                        (unsigned long long)slots->floor);
    }
    return 0;
}

static const char *because(enum flo_denial_cause cause)
{
    switch (cause) {
    case FLO_DENIAL_SPEED:
        return "the release was too slow on this device";
    case FLO_DENIAL_MEMORY:
        return "the release took too much memory on this device, or its engine "
               "was killed from outside each time";
    case FLO_DENIAL_ORDERED:
        return "the release was taken back on this device";
    default:
        return "the release failed on this device before";
    }
}

int flo_slots_permit(const struct flo_slots *slots, const struct flo_digest *release,
                     uint64_t number, struct flo_err *err)
{
    enum flo_denial_cause cause = flo_slots_denial(slots, release, number);

    if (cause != FLO_DENIAL_ALLOWED) {
        return flo_fail(err, FLO_E_TARGET_DENIED, "%s", because(cause));
    }
    return number > 0 ? flo_slots_admit(slots, release, number, err) : 0;
}

void flo_slots_raise_floor(struct flo_slots *slots, const struct flo_trust *trust)
{
    uint64_t floor = trust == NULL ? 0 : flo_trust_floor(trust, slots->model);

    if (floor > slots->floor_hard) {
        slots->floor_hard = floor;
    }
}

bool flo_slots_is_forgotten(const struct flo_slots *slots, const struct flo_trust *trust)
{
    return trust != NULL && !flo_digest_is_zero(&slots->previous) &&
           (flo_trust_is_release_revoked(trust, &slots->previous) ||
            (slots->previous_number > 0 &&
             slots->previous_number < flo_trust_floor(trust, slots->model)));
}

void flo_slots_forget(struct flo_slots *slots, const struct flo_trust *trust)
{
    if (flo_slots_is_forgotten(slots, trust)) {
        memset(&slots->previous, 0, sizeof(slots->previous));
        slots->previous_number = 0;
    }
}
