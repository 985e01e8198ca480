/* View: the JSON of an order, with the answers of its devices. */
#include "server-stub/state/orders/view.h"

#include "server-stub/state/controller.h"
#include "server-stub/state/sayings.h"
#include "server-stub/store/making.h"

static int view_order_row(void *context, const struct flo_fleet_order *order)
{
    json_t **out = context;
    json_t *body = flo_saying_parsed(order->body, json_null());
    const char *signed_reason =
        json_string_value(json_object_get(json_object_get(body, "args"), "reason"));
    /* the order was stored before orders had the field `reason` */
    bool is_older = order->reason[0] == '\0';

    *out = json_pack("{s:s,s:s,s:s,s:s,s:s,s:I,s:I,s:o,s:o}", "id", order->id, "op", order->op,
                     "group", order->group, "rollout", order->rollout, "reason",
                     is_older && signed_reason != NULL ? signed_reason : order->reason,
                     "issued_at_ms", (json_int_t)order->issued_at_ms, "expires_at_ms",
                     (json_int_t)order->expires_at_ms, "body", body, "envelope",
                     flo_saying_parsed(order->envelope, json_null()));
    return 0;
}

static int view_outcome(void *context, const struct flo_fleet_outcome *outcome)
{
    json_t *json = json_pack(
        "{s:s,s:s,s:b,s:s,s:I,s:I}", "id", outcome->device, "name", outcome->name, "online",
        (int)outcome->is_online, "outcome", flo_outcome_word(outcome->outcome), "took_ms",
        (json_int_t)outcome->took_ms, "heard_ms", (json_int_t)outcome->heard_ms);

    if (outcome->error[0] != '\0') {
        json_object_set_new(json, "error", flo_saying_object(outcome->error));
    }
    json_array_append_new(context, json);
    return 0;
}

static int view_reason(void *context, const char *word, uint64_t count)
{
    json_array_append_new(context,
                          json_pack("{s:s,s:I}", "error", word, "devices", (json_int_t)count));
    return 0;
}

/* Adds durations and errors of the answers, which are shown with a single order
 * only. */
static int view_answers(struct flo_controller *controller, const char *id, json_t *json,
                        struct flo_err *err)
{
    json_t *reasons = json_array();
    uint64_t half = 0;
    uint64_t most = 0;
    int rv = flo_fleet_outcome_quantile(controller->store, id, 500, &half, err);

    if (rv == 0) {
        rv = flo_fleet_outcome_quantile(controller->store, id, 990, &most, err);
    }
    if (rv == 0) {
        rv = flo_fleet_outcome_reasons(controller->store, id, view_reason, reasons, err);
    }
    json_object_set_new(json, "heard_ms_p50", json_integer((json_int_t)half));
    json_object_set_new(json, "heard_ms_p99", json_integer((json_int_t)most));
    json_object_set_new(json, "reasons", reasons);
    return rv;
}

int flo_object_order(struct flo_controller *controller, const char *id, uint64_t devices_max,
                     json_t **out, struct flo_err *err)
{
    struct flo_order_progress p;
    const struct flo_making *making = NULL;
    json_t *json = NULL;
    json_t *devices = devices_max > 0 ? json_array() : NULL;
    int rv = flo_fleet_order_get(controller->store, id, view_order_row, &json, err);

    if (rv == 0) {
        rv = flo_fleet_outcome_progress(controller->store, id, &p, err);
    }
    if (rv == 0) {
        rv = flo_fleet_making_of(controller->store, id, &making, err);
    }
    if (rv == 0 && devices != NULL) {
        rv = flo_fleet_outcome_list(controller->store, id, devices_max, view_outcome, devices, err);
    }
    if (rv < 0) {
        json_decref(json);
        json_decref(devices);
        return rv;
    }
    json_t *numbers = json_pack(
        "{s:s,s:i,s:i,s:i,s:i,s:i,s:i,s:i}", "state", flo_order_progress_word(&p), "scope_devices",
        (int)p.devices, "online", (int)p.online, "awaited", (int)p.awaited, "acked", (int)p.acked,
        "done", (int)p.done, "failed", (int)p.failed, "pending", (int)p.pending);
    json_object_update(json, numbers);
    json_decref(numbers);
    if (making != NULL) {
        json_object_set_new(json, "making",
                            json_pack("{s:I,s:I}", "made", (json_int_t)making->count, "of",
                                      (json_int_t)making->devices));
    }
    if (devices != NULL) {
        json_object_set_new(json, "devices", devices);
        rv = view_answers(controller, id, json, err);
        if (rv < 0) {
            json_decref(json);
            return rv;
        }
    }
    *out = json;
    return 0;
}
