/* Removal: removes a model by order, or for an operator at the device.
 *
 * First new requests are refused, and running ones may end.  Then a tombstone
 * replaces the slot record; it keeps the orders, the minimum release and the
 * blocked releases.  Then the model's entry is freed and unused files are
 * deleted.  Other models keep serving. */
#include <assert.h>
#include <string.h>

#include "agent/core/device/step.h"

static void free_place(struct step *s)
{
    struct flo_agent_model *model = s->model;

    memset(model, 0, sizeof(*model));
    model->live = -1;
    s->agent->revision++;
}

static void write_tombstone(struct step *s)
{
    struct flo_agent_removal *removal = &s->model->removal;

    assert(removal->is_active && !removal->is_writing);
    flo_engine_unload(s, FLO_AGENT_BESIDE, false);
    flo_engine_unload(s, FLO_AGENT_CURRENT, false);
    removal->due_ms = 0;
    removal->is_writing = true;
    flo_do_release(s, FLO_DO_SLOT_REMOVE, &s->model->slots.current);
}

/* Ends a rollback of the model.  If an order asked for it, that order is
 * answered "ignored". */
static void end_return(struct step *s, const char *order)
{
    struct flo_agent_return *back = &s->model->going_back;

    if (back->is_active && back->order[0] != '\0') {
        flo_do_note(s, "because order %s removes the model", order);
        flo_do_ack(s, back->order, "ignored", NULL);
    }
    memset(back, 0, sizeof(*back));
}

static void begin(struct step *s, const char *order)
{
    struct flo_agent_model *model = s->model;
    struct flo_agent_removal *removal = &model->removal;
    bool is_serving;

    if (model->has_execution) {
        flo_execution_end(s, FLO_MOVE_SUPERSEDE, 0, "%s removes the model",
                          order[0] == '\0' ? "an operator" : order);
    }
    end_return(s, order);
    is_serving = model->live >= 0;
    memset(removal, 0, sizeof(*removal));
    removal->is_active = true;
    memcpy(removal->order, order, strlen(order) + 1);
    removal->release = model->slots.current.digest;
    flo_do(s, FLO_DO_CLOSE);
    if (!is_serving) {
        write_tombstone(s);
        return;
    }
    flo_engine_unload(s, FLO_AGENT_BESIDE, true);
    flo_engine_unload(s, FLO_AGENT_CURRENT, true);
    removal->due_ms = s->now + DRAIN_MS_MAX;
}

void flo_remove_order(struct step *s)
{
    struct flo_agent_removal *removal = &s->model->removal;
    const struct flo_order *order = s->event->order;

    if (removal->is_active) {
        memcpy(removal->order, order->id, sizeof(removal->order));
        flo_do_ack(s, order->id, "running", NULL);
        return;
    }
    if (s->model->name[0] == '\0') {
        /* the device has nothing of this model, so the removal is done */
        flo_do_ack(s, order->id, "done", NULL);
        return;
    }
    if (order->id[0] != '\0') {
        flo_do_ack(s, order->id, "running", NULL);
    }
    begin(s, order->id);
}

void flo_remove_by_hand(struct step *s)
{
    struct flo_agent_error error;

    if (s->model->name[0] == '\0' || s->model->removal.is_active) {
        flo_agent_error_set(&error, FLO_E_STATE, "remove", "%s",
                            s->model->name[0] == '\0' ? "no such model is on this device"
                                                      : "the model is being removed");
        flo_do_ack(s, "", "refused", &error);
        return;
    }
    begin(s, "");
}

void flo_remove_drained(struct step *s)
{
    struct flo_agent_removal *removal = &s->model->removal;

    if (removal->due_ms != 0 && (flo_digest_is_zero(&s->event->release) ||
                                 flo_digest_equal(&s->event->release, &removal->release))) {
        write_tombstone(s);
    }
}

void flo_remove_due(struct step *s)
{
    struct flo_agent_removal *removal = &s->model->removal;

    if (removal->due_ms != 0 && s->now >= removal->due_ms) {
        flo_do_note(s, "because %u s are over, requests under way end", DRAIN_MS_MAX / 1000);
        flo_do(s, FLO_DO_UNLOAD)->role = FLO_AGENT_CURRENT;
        flo_do(s, FLO_DO_UNLOAD)->role = FLO_AGENT_BESIDE;
        write_tombstone(s);
    }
}

/* Continues after the shell has tried to write the tombstone.  Returns false
 * when no tombstone was being written. */
bool flo_remove_written(struct step *s)
{
    struct flo_agent_removal removal = s->model->removal;
    struct flo_release_ref gone = s->model->slots.current;

    if (!removal.is_active || !removal.is_writing) {
        return false;
    }
    if (s->event->kind == FLO_AGENT_UNWRITTEN) {
        s->model->removal.is_writing = false;
        s->model->removal.due_ms = s->now + COMMIT_RETRY_MS;
        return true;
    }
    flo_do_serving(s, "removed", &gone);
    flo_do_ack(s, removal.order, "done", NULL);
    flo_engine_unlink(s);
    memcpy(flo_do(s, FLO_DO_FREE)->release.model, s->model->name, sizeof(gone.model));
    flo_do(s, FLO_DO_COLLECT);
    free_place(s);
    return true;
}
