/* Note: logs an error of this device and sends it to the controller. */
#include "agent/shell/device/memory.h"

void flo_shell_note(struct flo_shell *shell, const char *type, const struct flo_err *err)
{
    flo_log_err(FLO_LOG_WARN, type, err);
    flo_notes_add(shell->db, type, err, flo_now_ms());
}

bool flo_shell_degrade(struct flo_shell *shell, const struct flo_err *err)
{
    struct flo_agent_error *error = &shell->records->degraded.error;

    if (error->code == err->code) { /* an error of this kind was already reported */
        flo_log_err(FLO_LOG_DEBUG, "degraded", err);
        return false;
    }
    if (error->code == 0) {
        shell->records->degraded.since_ms = flo_wall_ms();
    }
    error->code = err->code;
    snprintf(error->what, sizeof(error->what), "%.255s", err->what);
    shell->records->degraded.is_news = true;
    if (shell->serve != NULL) {
        flo_serve_degraded(shell->serve, err);
    }
    flo_shell_note(shell, "note", err);
    return true;
}

void flo_shell_unread(struct flo_shell *shell, const struct flo_err *err, bool is_whole)
{
    struct flo_err told = {0};

    flo_trouble_read(&shell->records->reading, err, is_whole);
    if (shell->records->reading.code == 0) {
        return;
    }
    flo_fail(&told, shell->records->reading.code, "%s", shell->records->reading.what);
    if (shell->records->degraded.error.code == 0) {
        (void)flo_shell_degrade(shell, &told);
    }
    if (shell->records->degraded.is_news) {
        /* a new revision makes the report go out in this turn of the loop */
        shell->agent.revision++;
        flo_queue_wake(&shell->queue);
    }
}
