/* Degraded: checks with each heartbeat whether the device can store what it gets. */
#include <string.h>

#include <flotilla/errors/trust.h>

#include "agent/core/checkup/checkup.h"
#include "agent/shell/device/memory.h"

/* Returns the error of an execution that lacks memory, descriptors or the like;
 * NULL: no execution does. */
static const struct flo_agent_error *lacking(const struct flo_agent *agent)
{
    for (size_t i = 0; i < FLO_COUNT(agent->models); i++) {
        const struct flo_agent_model *model = &agent->models[i];
        if (model->has_execution && !flo_execution_is_end(model->execution.state) &&
            flo_agent_lacks(model->execution.error.code)) {
            return &model->execution.error;
        }
    }
    return NULL;
}

/* Tells whether the device is degraded for a reason that shows without a test
 * write to the disk. */
static bool is_degraded(const struct flo_shell *shell, struct flo_err *err)
{
    const struct flo_err *outbox = flo_outbox_db_failure(shell->db);

    if (shell->records->is_unread) {
        return flo_fail(err, FLO_E_IO_READ, "the device's record cannot be read") < 0;
    }
    if (outbox != NULL) {
        *err = *outbox;
        return true;
    }
    if (shell->records->reading.code != 0) {
        return flo_fail(err, shell->records->reading.code, "%s", shell->records->reading.what) < 0;
    }
    uint64_t refused;
    if (flo_serve_room(shell->serve, &refused, err) < 0) {
        return true;
    }
    const struct flo_agent_error *lack = lacking(&shell->agent);
    if (lack != NULL) {
        return flo_fail(err, lack->code, "%s", lack->what) < 0;
    }
    if (shell->refusal.code != 0) {
        return flo_fail(err, shell->refusal.code, "%s", shell->refusal.what) < 0;
    }
    if (shell->stale[0] != '\0') {
        return flo_fail(err, FLO_E_TRUST_STALE, "%s", shell->stale) < 0;
    }
    return flo_shell_clock_is_wrong(shell, err) ||
           flo_checkup_room(flo_store_disk_free(shell->store), err) < 0;
}

bool flo_shell_degraded_look(struct flo_shell *shell)
{
    struct flo_shell_records *own = shell->records;
    struct flo_err err = {0};

    flo_trouble_look(&own->reading);
    if (is_degraded(shell, &err)) {
        (void)flo_shell_degrade(shell, &err);
        shell->agent.is_disk_gone = own->is_unread || flo_outbox_db_failure(shell->db) != NULL;
    } else if (own->degraded.error.code != 0 && !own->orders_are_due && flo_shell_writes(shell)) {
        flo_log(FLO_LOG_INFO, "degraded", "over: %s", own->degraded.error.what);
        memset(&own->degraded, 0, sizeof(own->degraded));
        own->degraded.is_news = true;
        flo_serve_degraded(shell->serve, NULL);
    }
    bool is_news = own->degraded.is_news;
    own->degraded.is_news = false;
    return is_news;
}
