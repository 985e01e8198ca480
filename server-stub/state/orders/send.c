/* Send: issues the deploy order of a rollback to a named release, for devices
 * that do not keep that release.  Devices come in slices (making.h), so the
 * order is issued for the first of them.  The order's rollout has the name of
 * the rollback.  By that name the order is found again, and the end of the
 * update is reported. */
#include <string.h>

#include "server-stub/state/controller.h"
#include "server-stub/state/orders/orders.h"
#include "server-stub/state/orders/scope.h"

/* Soak of the release to which a rollback goes.  It is short, because the
 * operator waits for the answer.  A device that rolled back this trial would
 * return to the harmful release. */
#define SEND_SOAK_MS 10000

struct sending {
    struct flo_controller *controller;
    struct flo_order back;
    struct flo_order order;
    struct flo_fleet_order row;
    bool is_published;
    struct flo_err *err;
};

static int recall(void *context, const struct flo_fleet_order *row)
{
    struct sending *sending = context;

    return flo_order_parse(row->body, strlen(row->body), sending->controller->fleet, &sending->back,
                           sending->err);
}

static int take_target(void *context, const struct flo_fleet_release *release)
{
    struct sending *sending = context;
    struct flo_order *order = &sending->order;

    sending->is_published = strcmp(release->state, "published") == 0;
    sending->row.release_bytes = release->bytes;
    order->number = release->number;
    snprintf(order->model, sizeof(order->model), "%s", release->model);
    snprintf(order->version, sizeof(order->version), "%s", release->version);
    return 0;
}

static int take_id(void *context, const struct flo_fleet_order *row)
{
    snprintf(context, FLO_NAME_MAX + 1, "%s", row->id);
    return 0;
}

static int issue(struct sending *sending, char *id, struct flo_err *err)
{
    const struct flo_order *back = &sending->back;
    struct flo_order *order = &sending->order;

    order->op = FLO_ORDER_DEPLOY;
    order->release = back->to;
    order->below_floor = order->number < back->from_numbers[0];
    order->scope = back->scope;
    snprintf(order->rollout, sizeof(order->rollout), "%s", back->id);
    snprintf(order->by, sizeof(order->by), "%s", back->by);
    snprintf(order->reason, sizeof(order->reason), "%s", back->reason);
    flo_policy_default(&order->policy);
    order->policy.soak_ms = SEND_SOAK_MS;
    order->policy.urgent = 1;
    sending->row.is_desired_only = true;
    return flo_orders_issue_row(sending->controller, order, sending->row, id, err);
}

int flo_orders_send(struct flo_controller *controller, const char *back, char *id,
                    struct flo_err *err)
{
    struct flo_fleet_store *store = controller->store;
    struct sending sending = {.controller = controller, .err = err};
    struct flo_err absent = {0};
    char digest[FLO_DIGEST_TEXT];
    int rv = flo_fleet_order_of(store, back, flo_order_op_word(FLO_ORDER_DEPLOY), 0, take_id, id,
                                &absent);

    if (rv != FLO_E_ABSENT) {
        if (rv < 0) {
            *err = absent;
        }
        return rv;
    }
    FLO_TRY(flo_fleet_order_get(store, back, recall, &sending, err));
    flo_digest_text(&sending.back.to, digest);
    rv = flo_fleet_release_get(store, NULL, digest, take_target, &sending, err);
    /* A release that was yanked meanwhile is not deployed. */
    if (rv == 0 && !sending.is_published) {
        snprintf(id, FLO_NAME_MAX + 1, "%s", back);
        return 0;
    }
    FLO_TRY(rv);
    return issue(&sending, id, err);
}
