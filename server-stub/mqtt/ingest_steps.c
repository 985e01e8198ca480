/* Ingest steps: finds the rollout that a device names, and steps it. */
#include <string.h>

#include <flotilla/errors/rollout.h>

#include "server-stub/core/orders/recall.h"
#include "server-stub/mqtt/message.h"
#include "server-stub/state/controller.h"
#include "server-stub/state/devices/twins.h"
#include "server-stub/state/rollouts/rollouts.h"

/* Tells whether a text has no line ends, so that it can be stored as
 * received. */
static bool is_one_line(const char *text, size_t bytes)
{
    size_t at = 0;

    while (at < bytes && (unsigned char)text[at] >= 0x20) {
        at++;
    }
    return at == bytes;
}

int flo_ingest_text(const struct flo_message *message, struct flo_buf *out, struct flo_err *err)
{
    if (is_one_line(message->text, message->bytes)) {
        flo_buf_add(out, message->text, message->bytes);
    } else {
        flo_json_dump(message->json, out);
    }
    return out->failed ? flo_fail(err, FLO_E_MEMORY, "message of %s", message->device) : 0;
}

void flo_ingest_dump(const json_t *json, struct flo_buf *out)
{
    if (json != NULL && !json_is_null(json)) {
        flo_json_dump(json, out);
    }
}

/* Tells whether the error is one of the store or of a rollout's step, and not
 * one of the message.  After such an error the batch cannot continue. */
bool flo_ingest_is_ours(int code)
{
    return flo_fleet_is_failure(code) || code == FLO_E_INTERNAL;
}

/* Tells whether an event says that the device has come to where it should be. */
static bool is_end(const struct flo_rollout_event *event)
{
    return event->kind == FLO_ROLLOUT_EVENT_EXECUTION
               ? flo_execution_kind(event->execution) == FLO_EXECUTION_END_GOOD
               : event->kind == FLO_ROLLOUT_EVENT_FORGOTTEN ||
                     event->kind == FLO_ROLLOUT_EVENT_STAYS ||
                     event->kind == FLO_ROLLOUT_EVENT_BACK;
}

/* Steps a rollout.  While two machines use the device's identity, no end
 * counts, because it is that of one of them.  A step that fails midway has
 * already changed the rollout in memory, so the batch must be rolled back for
 * any failure. */
int flo_ingest_step(const struct flo_message *message, struct flo_rollout_entry *entry,
                    struct flo_rollout_event event, struct flo_err *err)
{
    if (is_end(&event) && flo_twins_are(message->controller, message->device)) {
        return 0;
    }
    int rv = flo_rollouts_step(message->controller, entry, event, err);

    if (rv < 0 && !flo_ingest_is_ours(rv)) {
        flo_wrap(err, rv, "%s", flo_error_id(rv));
        rv = FLO_E_INTERNAL;
        if (err != NULL) {
            err->code = rv;
        }
    }
    return rv;
}

/* Finds the rollout that a device names.  *out is NULL if there is no such
 * rollout. */
int flo_ingest_rollout(struct flo_controller *controller, const char *id,
                       struct flo_rollout_entry **out, struct flo_err *err)
{
    struct flo_err absent = {0};
    int rv = flo_rollouts_find(controller, id, out, &absent);

    if (rv == FLO_E_ROLLOUT_ABSENT) {
        *out = NULL;
        return 0;
    }
    if (rv < 0 && err != NULL) {
        *err = absent;
    }
    return rv;
}

/* ---- executions that a device forgot ---- */

/* Finds out whether all events of the device are stored, and none came after
 * them. */
static int has_told_all(const struct flo_message *message, bool *out, struct flo_err *err)
{
    const json_t *events = json_object_get(message->json, "events");
    const char *boot = json_string_value(json_object_get(events, "boot"));
    json_int_t last = json_integer_value(json_object_get(events, "last"));
    json_int_t acked = json_integer_value(json_object_get(events, "acked"));
    uint64_t mark;

    *out = boot != NULL && flo_uuid_is_valid(boot) && last >= 0 && last <= WALL_MS_MAX &&
           acked == last;
    if (!*out) {
        return 0;
    }
    int rv =
        flo_fleet_event_checkpoint(message->controller->store, message->device, boot, &mark, err);
    *out = rv == 0 && mark <= (uint64_t)last;
    return rv;
}

static bool is_known(const json_t *models, const char *rollout)
{
    size_t i;
    json_t *model;

    json_array_foreach(models, i, model)
    {
        const char *id =
            json_string_value(json_object_get(json_object_get(model, "execution"), "rollout"));
        if (id != NULL && strcmp(id, rollout) == 0) {
            return true;
        }
    }
    return false;
}

static bool is_forgotten(const struct flo_message *message, const struct flo_rollout_entry *entry,
                         const json_t *models)
{
    const struct flo_rollout *core = &entry->core;
    size_t index = flo_rollout_find(core, message->device);

    return index != SIZE_MAX && core->members[index].state > FLO_EXECUTION_NOTIFIED &&
           !flo_execution_is_end((enum flo_execution)core->members[index].state) &&
           !is_known(models, core->id);
}

struct wanted {
    bool is_deploy;
    char rollout[FLO_NAME_MAX + 1];
};

static int take_wanted(void *context, const struct flo_fleet_order *order)
{
    struct wanted *wanted = context;

    wanted->is_deploy = strcmp(order->op, flo_order_op_word(FLO_ORDER_DEPLOY)) == 0;
    snprintf(wanted->rollout, sizeof(wanted->rollout), "%s", order->rollout);
    return 0;
}

/* Finds out whether the device's desired document holds another order about the
 * model by now. */
static int is_overtaken(const struct flo_message *message, const struct flo_rollout_entry *entry,
                        bool *out, struct flo_err *err)
{
    struct flo_fleet_store *store = message->controller->store;
    char order[FLO_NAME_MAX + 1];
    struct wanted wanted = {.is_deploy = false};
    int rv = flo_fleet_desired_get(store, message->device, entry->model, order, err);

    if (rv == 0 && order[0] != '\0') {
        struct flo_err absent = {0};
        rv = flo_fleet_order_get(store, order, take_wanted, &wanted, &absent);
        if (rv < 0 && rv != FLO_E_ABSENT && err != NULL) {
            *err = absent;
        }
        rv = rv == FLO_E_ABSENT ? 0 : rv;
    }
    *out = !wanted.is_deploy || strcmp(wanted.rollout, entry->core.id) != 0;
    return rv;
}

static int forget(const struct flo_message *message, struct flo_rollout_entry *entry,
                  struct flo_err *err)
{
    struct flo_rollout_event event = {.kind = FLO_ROLLOUT_EVENT_FORGOTTEN,
                                      .device = message->device};
    char digest[FLO_DIGEST_TEXT];

    FLO_TRY(is_overtaken(message, entry, &event.is_overtaken, err));
    flo_digest_text(&entry->release, digest);
    event.is_current = flo_return_stands(message->json, digest, &event.is_denied);
    return flo_ingest_step(message, entry, event, err);
}

int flo_ingest_forgotten(const struct flo_message *message, const json_t *models,
                         struct flo_err *err)
{
    struct flo_rollouts *rollouts = message->controller->rollouts;
    bool is_sure = false;
    bool is_asked = false;
    int rv = 0;

    for (size_t i = 0; i < flo_rollouts_count(rollouts) && rv == 0; i++) {
        if (!is_forgotten(message, flo_rollouts_at(rollouts, i), models)) {
            continue;
        }
        if (!is_asked) {
            is_asked = true;
            rv = has_told_all(message, &is_sure, err);
        }
        if (rv == 0 && is_sure) {
            rv = forget(message, flo_rollouts_at(rollouts, i), err);
        }
    }
    return rv;
}
