/* Scope: the devices of an order, and how each device carries it out. */
#ifndef FLOTILLA_SERVER_STATE_ORDERS_SCOPE_H
#define FLOTILLA_SERVER_STATE_ORDERS_SCOPE_H

#include "server-stub/core/orders/recall.h"
#include "server-stub/core/orders/removal.h"
#include "server-stub/store/fleet.h"

struct flo_controller;

struct flo_scope_member {
    char id[37];
    char name[FLO_NAME_MAX + 1];
    char title[FLO_RETURN_TITLE]; /* title of the release that the device still has */
    bool is_online;
    enum flo_return way;
    enum flo_removal removal;
};

struct flo_scope_list {
    struct flo_controller *controller;
    const char *order;
    uint64_t seq;      /* number of the order; 0: newer than all others */
    const char *model; /* the order's model; NULL: the whole fleet */
    /* digest of the release that is rolled back, as text; NULL: the order is no
     * rollback but, with a model, a removal */
    const char *release;
    /* digest of the release to return to, as text; NULL: each device's previous
     * release */
    const char *to;
    const char *send; /* id of the deploy order of `to`, for devices that must download it */
    /* true: making.h reads the devices in parts later, so this list ends at the
     * first device that can go back */
    bool is_sliced;
    struct flo_scope_member *items;
    size_t count, room;
    struct flo_err *err;
};

/* Result of flo_scope_keeps, which tells whether a desired document with this
 * order stays unchanged. */
struct flo_scope_kept {
    bool is_kept;
    bool is_newer; /* the document is kept because its order is newer than the rollback */
};
FLO_MUST_USE int flo_scope_keeps(const struct flo_scope_list *list, const char *order,
                                 struct flo_scope_kept *out, struct flo_err *err);
/* Puts an order that no group's list has into the device's desired document,
 * and notes that its answer is awaited.  `way` says how the device goes back,
 * by its report. */
FLO_MUST_USE int flo_scope_open(const struct flo_scope_list *list, const char *device,
                                enum flo_return way, struct flo_err *err);
/* Returns whether the device's report lists the model. */
bool flo_scope_has(const struct flo_fleet_device *device, const char *model);
/* Notes that the device has to answer a removal.  A device without the model is
 * skipped. */
FLO_MUST_USE int flo_scope_remove(const struct flo_scope_list *list, const char *device,
                                  bool is_there, struct flo_err *err);
/* Finds the deploy order of release `to` for devices that must download it in
 * the rollback with the id `back`.  The order is issued for the first such
 * device.  If `to` was yanked since, `id` becomes the id of the rollback. */
FLO_MUST_USE int flo_orders_send(struct flo_controller *controller, const char *back, char *id,
                                 struct flo_err *err);

#endif
