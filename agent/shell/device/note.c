/* An error that the device tells of: in its log, and to the controller. */
#include "agent/shell/device/device.h"

void flo_shell_note(struct flo_shell *shell, const char *type,
                    const struct flo_err *err)
{
    flo_log_err(FLO_LOG_WARN, type, err);
    flo_notes_add(shell->db, type, err, flo_now_ms());
}

bool flo_shell_degrade(struct flo_shell *shell, const struct flo_err *err)
{
    struct flo_agent_error *error = &shell->degraded.error;

    if (error->code == err->code) { /* it was said */
        flo_log_err(FLO_LOG_DEBUG, "degraded", err);
        return false;
    }
    if (error->code == 0) {
        shell->degraded.since_ms = flo_wall_ms();
    }
    error->code = err->code;
    snprintf(error->what, sizeof(error->what), "%.255s", err->what);
    shell->degraded.is_news = true;
    flo_shell_note(shell, "note", err);
    return true;
}
