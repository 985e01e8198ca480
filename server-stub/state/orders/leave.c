/* Leave: drops orders for a group that a device has left.  The device ignores
 * orders for a group that it is not in.  Otherwise its desired document would
 * always name a release that it never runs, and people's orders would wait for
 * its answer. */
#include <string.h>

#include "server-stub/state/controller.h"
#include "server-stub/state/orders/making.h"
#include "server-stub/state/orders/orders.h"
#include "server-stub/state/outgoing.h"
#include "server-stub/store/fleet.h"

struct leaver {
    struct flo_controller *controller;
    const char *device;
    /* Models that the device's desired document names, and the orders in it. */
    struct flo_text_list models, orders;
    struct flo_text_list awaited;
};

struct scope {
    char group[FLO_NAME_MAX + 1];   /* group of the order; "": the order is for one device */
    char rollout[FLO_NAME_MAX + 1]; /* rollout that gave the order; "": a person gave it */
    bool is_outside;
};

static int take_scope(void *context, const struct flo_fleet_order *order)
{
    struct scope *scope = context;

    snprintf(scope->group, sizeof(scope->group), "%s", order->group);
    snprintf(scope->rollout, sizeof(scope->rollout), "%s", order->rollout);
    return 0;
}

static int look_whether_outside(void *context, const struct flo_fleet_device *device)
{
    struct scope *scope = context;

    scope->is_outside = !flo_fleet_is_in_group(device, scope->group);
    return 0;
}

static int read_scope(const struct leaver *leaver, const char *order, struct scope *out,
                      struct flo_err *err)
{
    struct flo_fleet_store *store = leaver->controller->store;

    *out = (struct scope){0};
    int rv = flo_fleet_order_get(store, order, take_scope, out, err);
    if (rv == 0 && out->group[0] != '\0') {
        rv = flo_fleet_device_get(store, leaver->device, look_whether_outside, out, err);
    }
    return rv == FLO_E_ABSENT ? 0 : rv;
}

/* Finds out whether a person gave the order to a group that the device is not
 * in. */
static int is_for_others(const struct leaver *leaver, const char *order, bool *out,
                         struct flo_err *err)
{
    struct scope scope;
    int rv = read_scope(leaver, order, &scope, err);

    *out = rv == 0 && scope.is_outside && scope.rollout[0] == '\0';
    return rv;
}

static int add_desired(void *context, const char *model, const char *order)
{
    struct leaver *leaver = context;

    flo_text_list_add(&leaver->models, model);
    flo_text_list_add(&leaver->orders, order);
    return 0;
}

static int add_awaited(void *context, const struct flo_fleet_order *order)
{
    struct leaver *leaver = context;

    flo_text_list_add(&leaver->awaited, order->id);
    return 0;
}

static void leaver_deinit(struct leaver *leaver)
{
    flo_text_list_clear(&leaver->models);
    flo_text_list_clear(&leaver->orders);
    flo_text_list_clear(&leaver->awaited);
}

/* ---- of people ---- */

static int drop(const struct leaver *leaver, size_t index, struct flo_err *err)
{
    struct flo_controller *controller = leaver->controller;
    bool is_gone;
    int rv = is_for_others(leaver, leaver->orders.items[index], &is_gone, err);

    FLO_TRY(rv);
    if (!is_gone) {
        return rv;
    }
    flo_outgoing_desired(controller, leaver->device);
    return flo_fleet_desired_set(controller->store, leaver->device, leaver->models.items[index], "",
                                 err);
}

static int ignore(const struct leaver *leaver, const char *order, struct flo_err *err)
{
    bool is_news;

    flo_outgoing_change(leaver->controller, FLO_OBJECT_ORDER, order);
    return flo_fleet_outcome_advance(leaver->controller->store, order, leaver->device,
                                     FLO_OUTCOME_IGNORED, 0, 0, "", &is_news, err);
}

static int await_no_more(const struct leaver *leaver, const char *order, struct flo_err *err)
{
    bool is_gone;
    int rv = is_for_others(leaver, order, &is_gone, err);

    FLO_TRY(rv);
    return !is_gone ? rv : ignore(leaver, order, err);
}

int flo_orders_retire(struct flo_controller *controller, const char *device, struct flo_err *err)
{
    struct leaver leaver = {.controller = controller, .device = device};
    int rv = flo_making_reach(controller, device, err);

    if (rv == 0) {
        rv = flo_fleet_outcome_awaited(controller->store, device, add_awaited, &leaver, err);
    }
    for (size_t i = 0; i < leaver.awaited.count && rv == 0; i++) {
        rv = ignore(&leaver, leaver.awaited.items[i], err);
    }
    leaver_deinit(&leaver);
    return rv;
}

int flo_orders_leave(struct flo_controller *controller, const char *device, struct flo_err *err)
{
    struct leaver leaver = {.controller = controller, .device = device};
    int rv = flo_fleet_desired_each(controller->store, device, add_desired, &leaver, err);

    if (rv == 0) {
        rv = flo_fleet_outcome_awaited(controller->store, device, add_awaited, &leaver, err);
    }
    for (size_t i = 0; i < leaver.orders.count && rv == 0; i++) {
        rv = drop(&leaver, i, err);
    }
    for (size_t i = 0; i < leaver.awaited.count && rv == 0; i++) {
        rv = await_no_more(&leaver, leaver.awaited.items[i], err);
    }
    leaver_deinit(&leaver);
    return rv;
}

/* ---- of rollouts ---- */

static int keep(const struct leaver *leaver, const char *order, struct flo_err *err)
{
    struct scope scope;
    int rv = read_scope(leaver, order, &scope, err);

    FLO_TRY(rv);
    return !scope.is_outside ? rv
                             : flo_orders_by_name(leaver->controller, leaver->device, order, err);
}

int flo_orders_left(struct flo_controller *controller, const char *device, struct flo_err *err)
{
    struct leaver leaver = {.controller = controller, .device = device};
    int rv = flo_fleet_desired_each(controller->store, device, add_desired, &leaver, err);

    for (size_t i = 0; i < leaver.orders.count && rv == 0; i++) {
        rv = keep(&leaver, leaver.orders.items[i], err);
    }
    leaver_deinit(&leaver);
    return rv;
}
