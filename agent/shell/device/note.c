/* Note: logs an error of this device and sends it to the controller. */
#include <string.h>

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

void flo_shell_recover(struct flo_shell *shell)
{
    struct flo_shell_records *own = shell->records;

    if (own->degraded.error.code != 0 && !own->orders_are_due && flo_shell_writes(shell)) {
        flo_log(FLO_LOG_INFO, "degraded", "over: %s", own->degraded.error.what);
        memset(&own->degraded, 0, sizeof(own->degraded));
        own->degraded.is_news = true;
        flo_serve_degraded(shell->serve, NULL);
    }
}

bool flo_shell_degraded_news(struct flo_shell *shell)
{
    bool is_news = shell->records->degraded.is_news;

    shell->records->degraded.is_news = false;
    return is_news;
}

void flo_shell_reading_look(struct flo_shell *shell)
{
    flo_trouble_look(&shell->records->reading);
}

bool flo_shell_reading_fails(const struct flo_shell *shell, struct flo_err *err)
{
    const struct flo_trouble *reading = &shell->records->reading;

    return reading->code != 0 && flo_fail(err, reading->code, "%s", reading->what) < 0;
}
