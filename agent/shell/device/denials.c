/* Blocked releases: records which releases may not run on this device, and who
 * blocked them. */
#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/sig.h>
#include <flotilla/errors/target.h>
#include <flotilla/errors/trust.h>

#include "agent/shell/device/memory.h"

void flo_shell_tell_folded(struct flo_shell *shell, const struct flo_slots *slots)
{
    struct flo_err err = {0};

    (void)flo_fail(&err, FLO_E_TARGET_DENIED,
                   "%s: %d releases are denied here; from now on all others "
                   "up to number %llu are too",
                   slots->model, FLO_DENIALS_MAX, (unsigned long long)slots->folded);
    flo_shell_note(shell, "note", &err);
}

void flo_shell_deny(struct flo_shell *shell, const struct flo_agent_action *action)
{
    struct flo_shell_model *model = &shell->models[action->model];
    const struct flo_denial_here said = {.release = action->release.digest,
                                         .cause = action->cause,
                                         .order = action->number,
                                         .assigned = model->assigned.number};

    if (flo_slots_deny_here(&model->slots, &shell->device, &said)) {
        flo_shell_tell_folded(shell, &model->slots);
    }
    model->slots_is_dirty = true;
}

void flo_shell_allow_by_hand(struct flo_shell *shell, uint32_t model,
                             const struct flo_digest *release)
{
    if (flo_slots_allow_here(&shell->models[model].slots, &shell->device, release)) {
        shell->models[model].slots_is_dirty = true;
    }
}

int flo_shell_check_signature(const struct flo_shell *shell, const struct flo_digest *release,
                              struct flo_err *err)
{
    const struct flo_trust *trust = shell->identity.trust;
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf text = {.bytes_max = FLO_ENVELOPE_BYTES_MAX};
    FLO_CLEANUP(flo_free_cleanup) struct flo_release_verified *verified = NULL;

    if (trust == NULL) {
        return flo_fail(err, FLO_E_SIG_UNKNOWN_KEY, "no trusted keys");
    }
    if (shell->records->trust_is_behind) {
        return flo_fail(err, FLO_E_TRUST_NUMBER,
                        "trust.json has statement %llu, %llu was taken here",
                        (unsigned long long)flo_trust_number(trust),
                        (unsigned long long)shell->device.trust_number);
    }
    verified = calloc(1, sizeof(*verified));
    if (verified == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "a release document");
    }
    FLO_TRY(flo_store_envelope_load(shell->store, release, &text, err));
    FLO_TRY(flo_release_verify(text.data, text.bytes, trust, verified, err));
    flo_release_verified_deinit(verified);
    return 0;
}

void flo_shell_refusal(const struct flo_trust *trust, const struct flo_slots *slots,
                       const struct flo_digest *release, uint64_t number,
                       struct flo_agent_error *out)
{
    struct flo_err err = {0};

    memset(out, 0, sizeof(*out));
    if (trust != NULL && flo_trust_is_release_revoked(trust, release)) {
        out->code = FLO_E_TARGET_REVOKED;
        snprintf(out->what, sizeof(out->what), "trust statement %llu revoked it",
                 (unsigned long long)flo_trust_number(trust));
        return;
    }
    if (flo_slots_permit(slots, release, number, &err) < 0) {
        out->code = err.code;
        snprintf(out->what, sizeof(out->what), "%.255s", err.what);
    }
}
