/* Trust: handles a change of the trusted keys.  It affects which releases may
 * start, never a release that serves. */
#include <assert.h>
#include <string.h>

#include "agent/core/device/step.h"

void flo_trust_changed(struct step *s)
{
    struct flo_agent_model *model = s->model;
    const struct flo_agent_error *error = &s->event->error;
    char text[FLO_REF_TEXT];

    /* A release that serves, perhaps on trial, goes on serving, and a repair of
     * it goes on too. */
    if (error->code != 0 && model->has_execution && !flo_execution_has_served(model) &&
        !flo_ref_equal(&model->execution.release, &model->slots.current)) {
        flo_execution_end(s, FLO_MOVE_FAIL, error->code, "%s", error->what);
    }
    if (s->event->is_forgotten && !model->going_back.is_active &&
        flo_ref_is(&model->slots.previous)) {
        flo_do_note(s, "nobody goes back to %s", flo_ref_text(&model->slots.previous, text));
        memset(&model->slots.previous, 0, sizeof(model->slots.previous));
    }
    s->agent->revision++;
}
