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
    if (flo_slots_allow_here(&shell->models[model].slots, &shell->device,
                             release)) {
        shell->models[model].slots_is_dirty = true;
    }
}

void flo_shell_refusal(const struct flo_slots *slots,
                       const struct flo_digest *release, uint64_t number,
                       struct flo_agent_error *out)
{
    struct flo_err err = {0};

    memset(out, 0, sizeof(*out));
    if (flo_slots_permit(slots, release, number, &err) < 0) {
        out->code = err.code;
        snprintf(out->what, sizeof(out->what), "%.255s", err.what);
    }
}
