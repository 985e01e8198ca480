/* Scope: the devices of an order, and each one's way to do it. */
#ifndef FLOTILLA_SERVER_STATE_ORDERS_SCOPE_H
#define FLOTILLA_SERVER_STATE_ORDERS_SCOPE_H

#include "server-stub/core/orders/removal.h"
#include "server-stub/core/orders/take_back.h"
#include "server-stub/store/fleet.h"

struct flo_controller;

struct flo_scope_member {
    char id[37];
    char name[FLO_NAME_MAX + 1];
    char title[FLO_RETURN_TITLE]; /* what it keeps */
    bool is_online;
    enum flo_return way;
    enum flo_removal removal;
};

struct flo_scope_list {
    struct flo_controller *controller;
    const char *order;
    uint64_t seq;        /* number of the order; 0: it is the newest of all */
    const char *model;   /* the order's model; NULL: the whole fleet */
    const char *release; /* digest text: of the rollback; NULL: another op,
                          * with a model a removal */
    const char *to;      /* digest text, or NULL */
    const char *send;    /* deploy order of `to`, for devices that must fetch
                          * it */
    bool is_sliced;      /* devices come in slices (making.h): one that can go
                          * back says enough, and no more are read */
    struct flo_scope_member *items;
    size_t count, room;
    struct flo_err *err;
};

/* Does a desired document with this order stay as it is? */
struct flo_scope_kept {
    bool is_kept;
    bool is_newer; /* ... for it came behind the rollback */
};
FLO_MUST_USE int flo_scope_keeps(const struct flo_scope_list *list, const char *order,
                                 struct flo_scope_kept *out, struct flo_err *err);
/* Await the order on one of them, whose report says `way`.  No list has it. */
FLO_MUST_USE int flo_scope_open(const struct flo_scope_list *list, const char *device,
                                enum flo_return way, struct flo_err *err);
/* Does its report say that it has the model? */
bool flo_scope_has(const struct flo_fleet_device *device, const char *model);
/* The same for a removal; one that has not got the model is passed by. */
FLO_MUST_USE int flo_scope_remove(const struct flo_scope_list *list, const char *device,
                                  bool is_there, struct flo_err *err);
/* The deploy order for devices of this rollback (its id) that do not keep `to`;
 * issued when the first of them is met.  A release that was yanked since sends
 * nobody: the rollback itself. */
FLO_MUST_USE int flo_orders_send(struct flo_controller *controller, const char *back, char *id,
                                 struct flo_err *err);

#endif
