/* Lost engines: reports each loss of an engine once to the core. */
#include <string.h>

#include "agent/shell/derived/derived.h"
#include "agent/shell/serving/serving.h"

void flo_shell_lost(struct flo_shell *shell, uint32_t model, enum flo_agent_role role,
                    const struct flo_err *err)
{
    struct flo_agent_event event = {.kind = FLO_AGENT_LOST, .model = model, .role = role};

    shell->models[model].lost_release = shell->agent.models[model].engines[role].release.digest;
    /* Requests that wait for this model get an error at once.  After a failed
     * load they have already got one. */
    if (role == FLO_AGENT_CURRENT && shell->agent.models[model].is_on_demand) {
        struct flo_serve_status status;
        flo_serve_get_status(shell->serve, model, &status);
        if (status.is_wanted) {
            flo_serve_wanted_failed(shell->serve, model, err);
        }
    }
    if (flo_trouble_is_read(err->code)) {
        /* a test write shows whether the whole disk has failed */
        (void)flo_shell_writes(shell);
        flo_shell_unread(shell, err, true);
        shell->models[model].down = *err;
    }
    if (role == FLO_AGENT_CURRENT) {
        shell->models[model].lost = err->code == 0 ? FLO_E_ENGINE_CRASH : err->code;
    }
    /* The files may have changed since they were hashed, so they are hashed
     * again. */
    memset(&shell->models[model].fresh, 0, sizeof(shell->models[model].fresh));
    flo_shell_packed_doubt(shell);
    /* An engine may have ended while the core was busy: then its loss is in the
     * queue. A call that fails because of that end is the same loss. */
    if (flo_queue_has_lost(&shell->queue, model, role)) {
        return;
    }
    event.error.code = err->code == 0 ? FLO_E_ENGINE_CRASH : err->code;
    snprintf(event.error.what, sizeof(event.error.what), "%.255s", err->what);
    flo_queue_post(&shell->queue, &event);
}

/* number of losses in a row after which clients get an error; fewer look like a
 * restart */
#define LOSSES_TOLD 3

void flo_shell_down_look(struct flo_shell *shell)
{
    for (uint32_t i = 0; i < FLO_AGENT_MODELS_MAX; i++) {
        const struct flo_agent_model *model = &shell->agent.models[i];
        const struct flo_agent_engine *current = &model->engines[FLO_AGENT_CURRENT];
        struct flo_err *down = &shell->models[i].down;
        int *lost = &shell->models[i].lost;

        if (shell->serve == NULL || model->live >= 0 || current->state != FLO_ENGINE_WAITING) {
            continue;
        }
        if (down->code != 0) {
            flo_serve_down(shell->serve, i, down);
            down->code = 0;
        }
        if (*lost != 0 && current->losses >= LOSSES_TOLD) {
            flo_serve_lost(shell->serve, i, *lost);
            *lost = 0;
        }
    }
}
