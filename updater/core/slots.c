/* Slots: what each step of an update does to current, previous, candidate.
 *
 * Pure.  Each change is made on a copy in memory and becomes true by one
 * record write (store/slots.c), so between any two of these calls the power
 * may fail.  The rules of DESIGN section 5: activating does not rotate, commit
 * rotates, a failed soak clears the candidate and nothing else. */
#include <string.h>

#include <flotilla/updater.h>

struct flo_digest flo_slots_serving(const struct flo_slots *slots)
{
    if (slots->phase == FLO_SLOT_TRIAL) {
        return slots->candidate;
    }
    return slots->current;
}

int flo_slots_stage(struct flo_slots *slots, const struct flo_digest *candidate,
                    const struct flo_slots *execution, struct flo_err *err)
{
    if (slots->phase == FLO_SLOT_TRIAL) {
        return flo_fail(err, FLO_E_STATE,
                        "%s: a candidate is on trial; commit or clear it first",
                        slots->model);
    }
    if (flo_digest_is_zero(candidate)) {
        return flo_fail(err, FLO_E_STATE, "%s: no release to stage",
                        slots->model);
    }
    if (flo_digest_equal(candidate, &slots->current)) {
        return flo_fail(err, FLO_E_STATE, "%s: the release is current already",
                        slots->model);
    }
    flo_slots_clear_candidate(slots);
    slots->candidate = *candidate;
    slots->phase = FLO_SLOT_STAGED;
    if (execution != NULL) {
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

int flo_slots_begin_trial(struct flo_slots *slots, uint32_t tries,
                          struct flo_err *err)
{
    if (slots->phase != FLO_SLOT_STAGED) {
        return flo_fail(err, FLO_E_STATE, "%s: %s", slots->model,
                        slots->phase == FLO_SLOT_TRIAL
                            ? "the candidate is on trial already"
                            : "no candidate is staged");
    }
    if (tries == 0 || tries > UINT8_MAX) {
        return flo_fail(err, FLO_E_STATE, "%s: %u tries, 1 to %u are possible",
                        slots->model, tries, (unsigned)UINT8_MAX);
    }
    slots->phase = FLO_SLOT_TRIAL;
    slots->tries_left = (uint8_t)tries;
    return 0;
}

int flo_slots_count_try(struct flo_slots *slots, struct flo_err *err)
{
    if (slots->phase != FLO_SLOT_TRIAL) {
        return flo_fail(err, FLO_E_STATE, "%s: nothing is on trial",
                        slots->model);
    }
    if (slots->tries_left == 0) {
        return flo_fail(err, FLO_E_SOAK_FAILED,
                        "%s: the candidate has no start left", slots->model);
    }
    slots->tries_left--;
    return 0;
}

void flo_slots_return_try(struct flo_slots *slots)
{
    if (slots->phase == FLO_SLOT_TRIAL && slots->tries_left < UINT8_MAX) {
        slots->tries_left++;
    }
}

int flo_slots_commit(struct flo_slots *slots, struct flo_err *err)
{
    if (slots->phase != FLO_SLOT_TRIAL) {
        return flo_fail(err, FLO_E_STATE, "%s: nothing is on trial",
                        slots->model);
    }
    struct flo_digest committed = slots->candidate;

    slots->previous = slots->current;
    slots->current = committed;
    flo_slots_clear_candidate(slots);
    return 0;
}

void flo_slots_clear_candidate(struct flo_slots *slots)
{
    struct flo_slots kept = {
        .generation = slots->generation,
        .current = slots->current,
        .previous = slots->previous,
        .phase = FLO_SLOT_IDLE,
        .is_repaired = slots->is_repaired,
    };

    memcpy(kept.model, slots->model, sizeof(kept.model));
    *slots = kept;
}

int flo_slots_roll_back(struct flo_slots *slots, struct flo_err *err)
{
    if (flo_digest_is_zero(&slots->previous)) {
        return flo_fail(err, FLO_E_STATE,
                        "%s: there is no previous release to go back to",
                        slots->model);
    }
    slots->current = slots->previous;
    memset(&slots->previous, 0, sizeof(slots->previous));
    flo_slots_clear_candidate(slots);
    return 0;
}

/* An ordered rollback writes the device record first (seq used, digest
 * denied), then the slots.  Between the two the power may fail; the deny list
 * says what was meant, and this carries it out.  A current release that is
 * denied but has no previous stays: a doubtful model beats none. */
bool flo_slots_heal(struct flo_slots *slots, const struct flo_device *device)
{
    bool is_changed = false;
    bool has_candidate = !flo_digest_is_zero(&slots->candidate);

    if (has_candidate &&
        (flo_device_is_denied(device, &slots->candidate) ||
         (slots->phase == FLO_SLOT_TRIAL && slots->tries_left == 0))) {
        flo_slots_clear_candidate(slots);
        is_changed = true;
    }
    if (!flo_digest_is_zero(&slots->previous) &&
        flo_device_is_denied(device, &slots->previous)) {
        memset(&slots->previous, 0, sizeof(slots->previous));
        is_changed = true;
    }
    if (!flo_digest_is_zero(&slots->current) &&
        flo_device_is_denied(device, &slots->current) &&
        flo_slots_roll_back(slots, NULL) == 0) {
        is_changed = true;
    }
    return is_changed;
}
