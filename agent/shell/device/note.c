/* An error that the device tells of: in its log, and to the controller. */
#include "agent/shell/device/device.h"

void flo_shell_note(struct flo_shell *shell, const char *type,
                    const struct flo_err *err)
{
    flo_log_err(FLO_LOG_WARN, type, err);
    flo_notes_add(shell->db, type, err, flo_now_ms());
}
