/* The loss of an engine: told once. */
#include <string.h>

#include "agent/shell/serving/derived.h"
#include "agent/shell/serving/serving.h"

void flo_shell_lost(struct flo_shell *shell, uint32_t model,
                    enum flo_agent_role role, const struct flo_err *err)
{
    struct flo_agent_event event = {
        .kind = FLO_AGENT_LOST, .model = model, .role = role};

    /* Perhaps of bytes that are no longer those that were hashed. */
    memset(&shell->models[model].fresh, 0, sizeof(shell->models[model].fresh));
    flo_derived_doubt(&shell->derived);
    /* An engine that ended while the core was busy has its event already.  A
     * call that fails for its absence in between is the same loss. */
    if (flo_queue_has_lost(&shell->queue, model, role)) {
        return;
    }
    event.error.code = err->code == 0 ? FLO_E_ENGINE_CRASH : err->code;
    snprintf(event.error.what, sizeof(event.error.what), "%.255s", err->what);
    flo_queue_post(&shell->queue, &event);
}
