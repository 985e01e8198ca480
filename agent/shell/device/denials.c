/* Denials: which releases may not run here, and who says so. */
#include <string.h>

#include "agent/shell/device/device.h"

void flo_shell_tell_folded(struct flo_shell *shell,
                           const struct flo_slots *slots)
{
    struct flo_err err = {0};

    (void)flo_fail(&err, FLO_E_TARGET_DENIED,
                   "%s: %d releases are denied here; from now on all others "
                   "up to number %llu are too",
                   slots->model, FLO_DENIALS_MAX,
                   (unsigned long long)slots->folded);
    flo_shell_note(shell, "note", &err);
}

void flo_shell_deny(struct flo_shell *shell,
                    const struct flo_agent_action *action)
{
    struct flo_slots *slots = &shell->slots;
    struct flo_denial said = {.release = action->release.digest,
                              .statement = action->number,
                              .cause = action->cause};

    if (action->cause == FLO_DENIAL_ORDERED && action->number > 0) {
        return; /* kept with its order */
    }
    if (action->number == 0) { /* by hand: newer than any order so far */
        said.statement = shell->device.top;
    }
    if (flo_digest_equal(&said.release, &slots->candidate)) {
        said.number = slots->candidate_number;
    } else if (flo_digest_equal(&said.release, &slots->current)) {
        said.number = slots->current_number;
    } else if (flo_digest_equal(&said.release, &slots->stated.target)) {
        said.number = shell->assigned.number;
    }
    if (action->number == 0) {
        flo_slots_disallow(slots, &said.release, said.statement);
    }
    if (flo_slots_deny(slots, &said)) {
        flo_shell_tell_folded(shell, slots);
    }
    shell->slots_is_dirty = true;
}

/* Whoever stands at the device is newer than any order so far; but a fault
 * stays. */
void flo_shell_allow_by_hand(struct flo_shell *shell,
                             const struct flo_digest *release)
{
    struct flo_denial said = {.release = *release,
                              .statement = shell->device.top,
                              .cause = FLO_DENIAL_ALLOWED};

    if (flo_slots_is_denied(&shell->slots, release, 0)) {
        (void)flo_slots_deny(&shell->slots, &said);
        shell->slots_is_dirty = true;
    }
}

static const char *because(enum flo_denial_cause cause)
{
    switch (cause) {
    case FLO_DENIAL_SPEED:
        return "the release was too slow on this device";
    case FLO_DENIAL_MEMORY:
        return "the release took too much memory on this device";
    case FLO_DENIAL_ORDERED:
        return "the release was taken back on this device";
    default:
        return "the release failed on this device before";
    }
}

void flo_shell_refusal(const struct flo_slots *slots,
                       const struct flo_digest *release, uint64_t number,
                       struct flo_agent_error *out)
{
    enum flo_denial_cause cause = flo_slots_denial(slots, release, number);
    struct flo_err err = {0};

    memset(out, 0, sizeof(*out));
    if (cause != FLO_DENIAL_ALLOWED) {
        out->code = FLO_E_TARGET_DENIED;
        snprintf(out->what, sizeof(out->what), "%s", because(cause));
    } else if (number > 0 &&
               flo_slots_admit(slots, release, number, &err) < 0) {
        out->code = err.code;
        snprintf(out->what, sizeof(out->what), "%.255s", err.what);
    }
}
