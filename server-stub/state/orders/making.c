/* Making: creates the rows of orders to large groups, in slices of work. */
#include <stdlib.h>
#include <string.h>

#include "server-stub/state/controller.h"
#include "server-stub/state/orders/making.h"
#include "server-stub/state/orders/memory.h"
#include "server-stub/state/orders/scope.h"
#include "server-stub/state/outgoing.h"
#include "server-stub/state/sayings.h"
#include "server-stub/store/making.h"

/* Work on some devices of an order, in one turn. */
struct slice {
    struct flo_controller *controller;
    /* copy of the order's progress, because the store overwrites its own */
    struct flo_making making;
    struct flo_scope_list order;
    char model[FLO_NAME_MAX + 1];
    char release[FLO_DIGEST_TEXT];
    char to[FLO_DIGEST_TEXT];
    char send[FLO_NAME_MAX + 1]; /* id of the order that deploys `to`; "": it is not issued yet */
    enum flo_return way;         /* how the device that was read last goes back
                                    to an earlier release */
    /* The group's list never has this order (a rollback or a removal).  The
     * devices' reports say which devices need it. */
    bool is_by_report;
    bool is_there;               /* the last device that was read has the model */
    char held[FLO_NAME_MAX + 1]; /* id of the order that was checked last */
    bool is_kept;                /* that order stays in desired documents */
    struct place {
        char device[37];
        bool has_order; /* about the model */
        bool does_stay; /* as it is */
    } * places;
    size_t count, at;
    struct flo_err *err;
};

static void take_model(struct slice *slice, const struct flo_fleet_order *order)
{
    snprintf(slice->model, sizeof(slice->model), "%s", order->model);
    slice->order.model = slice->model;
}

/* Reads which release a rollback goes to: `to`, or each device's previous
 * release.  Called for a rollback that no group's list carries. */
static int take_target(struct slice *slice, const char *body)
{
    struct flo_order order;

    FLO_TRY(flo_order_parse(body, strlen(body), slice->controller->fleet, &order, slice->err));
    if (!order.to_previous) {
        flo_digest_text(&order.to, slice->to);
        slice->order.to = slice->to;
    }
    return 0;
}

static int take_order(void *context, const struct flo_fleet_order *order)
{
    struct slice *slice = context;

    slice->order.seq = order->seq;
    if (strcmp(order->op, flo_order_op_word(FLO_ORDER_ROLLBACK)) == 0) {
        take_model(slice, order);
        snprintf(slice->release, sizeof(slice->release), "%s", order->release);
        slice->order.release = slice->release;
        slice->is_by_report = order->is_desired_only;
        return slice->is_by_report ? take_target(slice, order->body) : 0;
    }
    slice->is_by_report = strcmp(order->op, flo_order_op_word(FLO_ORDER_REMOVE)) == 0;
    if (slice->is_by_report) {
        take_model(slice, order);
    }
    return 0;
}

static int slice_init(struct slice *slice, struct flo_controller *controller,
                      const struct flo_making *making, struct flo_err *err)
{
    *slice = (struct slice){.controller = controller, .making = *making, .err = err};
    slice->order =
        (struct flo_scope_list){.controller = controller, .order = slice->making.order, .err = err};
    return flo_fleet_order_get(controller->store, making->order, take_order, slice, err);
}

/* ---- desired documents, which a rollback changes ---- */

/* Checks whether the order in a device's desired document stays.  Thousands of
 * devices have the same few orders about the model, so the last result is
 * kept. */
static int look_at_held(struct slice *slice, const char *held)
{
    int rv = 0;

    if (held[0] == '\0' || strcmp(slice->held, held) != 0) {
        struct flo_scope_kept kept;
        rv = flo_scope_keeps(&slice->order, held, &kept, slice->err);
        slice->is_kept = kept.is_kept;
        snprintf(slice->held, sizeof(slice->held), "%s", rv == 0 ? held : "");
    }
    return rv;
}

/* Notes which order about the model a device's desired document has.  The
 * devices of a slice of work and the calls of this function come in ascending
 * order of device ids. */
static int note_held(void *context, const char *device, const char *order)
{
    struct slice *slice = context;
    int rv = 0;

    while (slice->at < slice->count && strcmp(slice->places[slice->at].device, device) < 0) {
        slice->at++;
    }
    if (slice->at < slice->count && strcmp(slice->places[slice->at].device, device) == 0) {
        struct place *place = &slice->places[slice->at];
        rv = look_at_held(slice, order);
        place->has_order = true;
        place->does_stay = place->does_stay || slice->is_kept;
    }
    return rv;
}

/* Marks the device's desired document for a later update, because the device
 * already gets the order from the group's list. */
static int rewrite(struct slice *slice, const char *device)
{
    flo_outgoing_later(slice->controller, device);
    return flo_fleet_desired_set(slice->controller->store, device, slice->model,
                                 slice->making.order, slice->err);
}

/* Returns for how many devices from index `from` on one statement can change
 * all desired documents.  Each of these devices has an order about the model
 * that must change.  No other device of the fleet is between them, because the
 * order is for all. */
static size_t run_of(const struct slice *slice, size_t from)
{
    bool is_all = strcmp(slice->making.group, "all") == 0;
    size_t end = from;

    while (is_all && end < slice->count && slice->places[end].has_order &&
           !slice->places[end].does_stay) {
        end++;
    }
    return end - from;
}

static int rewrite_run(struct slice *slice, size_t from, size_t count)
{
    const struct place *first = &slice->places[from];

    for (size_t i = 0; i < count; i++) {
        flo_outgoing_later(slice->controller, first[i].device);
    }
    return flo_fleet_desired_run(slice->controller->store, slice->model, first->device,
                                 first[count - 1].device, slice->making.order, slice->err);
}

static int rewrite_all(struct slice *slice)
{
    size_t i = 0;
    int rv = slice->count == 0 ? 0
                               : flo_fleet_desired_between(slice->controller->store, slice->model,
                                                           slice->making.made,
                                                           slice->places[slice->count - 1].device,
                                                           note_held, slice, slice->err);

    while (i < slice->count && rv == 0) {
        size_t run = run_of(slice, i);
        if (run > 0) {
            rv = rewrite_run(slice, i, run);
        } else if (!slice->places[i].does_stay) {
            rv = rewrite(slice, slice->places[i].device);
        }
        i += run > 0 ? run : 1;
    }
    return rv;
}

/* ---- what a report says, where no list has the order ---- */

static int take_there(void *context, const struct flo_fleet_device *device)
{
    struct slice *slice = context;

    slice->is_there = flo_scope_has(device, slice->model);
    return 0;
}

static int remove_one(struct slice *slice, const char *device)
{
    struct flo_controller *controller = slice->controller;

    FLO_TRY(flo_fleet_device_get(controller->store, device, take_there, slice, slice->err));
    FLO_TRY(flo_scope_remove(&slice->order, device, slice->is_there, slice->err));
    return controller->orders->leave(controller, device, slice->model, slice->err);
}

static int take_way(void *context, const struct flo_fleet_device *device)
{
    struct slice *slice = context;
    FLO_CLEANUP(flo_json_cleanup)
    json_t *report = flo_saying_object(device->reported);
    char title[FLO_RETURN_TITLE];

    slice->way = flo_return_plan(report, slice->release, slice->order.to, title);
    return 0;
}

static int open_one(struct slice *slice, const char *device)
{
    if (slice->order.release == NULL) {
        return remove_one(slice, device);
    }
    int rv = flo_fleet_device_get(slice->controller->store, device, take_way, slice, slice->err);

    if (rv == 0 && slice->way == FLO_RETURN_DOWNLOAD && slice->send[0] == '\0') {
        rv = flo_orders_send(slice->controller, slice->making.order, slice->send, slice->err);
        slice->order.send = slice->send;
    }
    FLO_TRY(rv);
    return flo_scope_open(&slice->order, device, slice->way, slice->err);
}

/* ---- slices ---- */

static int await_one(struct slice *slice, const char *device)
{
    return flo_fleet_outcome_put(slice->controller->store, slice->making.order, device,
                                 FLO_OUTCOME_PENDING, 0, slice->err);
}

static int take_one(void *context, const char *device, bool is_there)
{
    struct slice *slice = context;
    struct place *place = &slice->places[slice->count++];

    snprintf(place->device, sizeof(place->device), "%s", device);
    place->does_stay = is_there; /* the row of this device was written before
                                    this slice of work, so nothing has to change */
    return is_there ? 0 : slice->is_by_report ? open_one(slice, device) : await_one(slice, device);
}

static int make_places(struct slice *slice, uint64_t limit)
{
    int rv = flo_fleet_making_next(slice->controller->store, &slice->making, limit, take_one, slice,
                                   slice->err);

    FLO_TRY(rv);
    return slice->order.release == NULL || slice->is_by_report ? rv : rewrite_all(slice);
}

static uint64_t slice_devices(const struct slice *slice)
{
    uint64_t given = slice->controller->options.slice_devices;

    return given > 0 ? given : slice->is_by_report ? FLO_MAKING_REPORTS : FLO_MAKING_DEVICES;
}

/* Makes the rows of an order for some devices, and stores how far the order
 * is. */
static int make_slice(struct flo_controller *controller, const struct flo_making *making,
                      struct flo_err *err)
{
    struct slice slice;
    int rv = slice_init(&slice, controller, making, err);
    uint64_t limit = slice_devices(&slice);

    slice.places = calloc(limit, sizeof(*slice.places));
    if (rv == 0 && slice.places == NULL) {
        rv = flo_fail(err, FLO_E_MEMORY, "a slice of an order");
    }
    if (rv == 0) {
        rv = make_places(&slice, limit);
    }
    if (rv == 0) {
        bool is_whole = slice.count < limit;
        rv = flo_fleet_making_move(controller->store, slice.making.order,
                                   is_whole ? NULL : slice.places[limit - 1].device, slice.count,
                                   err);
        flo_outgoing_change(controller, FLO_OBJECT_ORDER, slice.making.order);
    }
    free(slice.places);
    FLO_TRY(rv);
    return controller->orders->leave(controller, NULL, NULL, err);
}

/* Runs at least one slice of work, and more until `until_ms`, of the oldest
 * order first. */
int flo_making_until(struct flo_controller *controller, uint64_t until_ms, size_t *left,
                     struct flo_err *err)
{
    const struct flo_making *makings;
    size_t count;
    int rv;

    do {
        rv = flo_fleet_makings(controller->store, &makings, &count, err);
        if (rv == 0 && count > 0) {
            rv = make_slice(controller, &makings[0], err);
        }
        if (rv == 0 && count > 0) {
            rv = flo_fleet_makings(controller->store, &makings, &count, err);
        }
    } while (rv == 0 && count > 0 && flo_now_ms() < until_ms);
    *left = count;
    return rv;
}

int flo_making_begin(struct flo_controller *controller, const char *order, const char *group,
                     struct flo_err *err)
{
    const struct flo_making *making;
    uint64_t until_ms = flo_now_ms() + FLO_TURN_MS;
    bool is_sliced = controller->options.slice_devices > 0;
    int rv = flo_fleet_making_begin(controller->store, order, group, err);

    do {
        if (rv == 0) {
            rv = flo_fleet_making_of(controller->store, order, &making, err);
        }
        if (rv == 0 && making != NULL) {
            rv = make_slice(controller, making, err);
        }
    } while (rv == 0 && making != NULL && !is_sliced && flo_now_ms() < until_ms);
    return rv;
}

int flo_making_finish(struct flo_controller *controller, struct flo_err *err)
{
    size_t left;

    return flo_making_until(controller, UINT64_MAX, &left, err);
}

/* Makes an order's row for one device, in a slice of work of its own. */
static int make_one(struct flo_controller *controller, const struct flo_making *making,
                    const char *device, struct flo_err *err)
{
    char held[FLO_NAME_MAX + 1];
    struct slice slice;

    FLO_TRY(slice_init(&slice, controller, making, err));
    if (slice.is_by_report) {
        FLO_TRY(open_one(&slice, device));
        return controller->orders->leave(controller, NULL, NULL, err);
    }
    FLO_TRY(await_one(&slice, device));
    if (slice.order.release == NULL) {
        return 0;
    }
    FLO_TRY(flo_fleet_desired_get(controller->store, device, slice.model, held, err));
    FLO_TRY(look_at_held(&slice, held));
    return slice.is_kept ? 0 : rewrite(&slice, device);
}

int flo_making_reach(struct flo_controller *controller, const char *device, struct flo_err *err)
{
    const struct flo_making *makings;
    size_t count;
    int rv = flo_fleet_makings(controller->store, &makings, &count, err);

    for (size_t i = 0; i < count && rv == 0; i++) {
        bool is_awaited;
        rv = flo_fleet_making_awaits(controller->store, &makings[i], device, &is_awaited, err);
        if (rv == 0 && is_awaited) {
            rv = make_one(controller, &makings[i], device, err);
        }
    }
    return rv;
}

bool flo_making_is_open(struct flo_controller *controller)
{
    const struct flo_making *makings;
    struct flo_err err = {0};
    size_t count;

    if (flo_fleet_makings(controller->store, &makings, &count, &err) < 0) {
        flo_log_err(FLO_LOG_ERROR, "orders", &err);
        return true;
    }
    return count > 0;
}
