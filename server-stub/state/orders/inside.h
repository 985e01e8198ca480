/* Shared by the files of this folder; not for others. */
#ifndef FLOTILLA_SERVER_STATE_ORDERS_INSIDE_H
#define FLOTILLA_SERVER_STATE_ORDERS_INSIDE_H

#include "server-stub/core/orders/removal.h"
#include "server-stub/core/orders/take_back.h"
#include "server-stub/state/controller.h"
#include "server-stub/state/orders/emergency.h"

/* ---- scope.c ---- */

struct flo_scope_member {
    char id[37];
    char name[FLO_NAME_MAX + 1];
    char title[FLO_RETURN_TITLE]; /* what it keeps */
    bool is_online;
    bool keeps; /* its desired already says what it has to */
    enum flo_return way;
    enum flo_removal removal;
};

struct flo_scope_list {
    struct flo_controller *controller;
    const char *order;
    const char *model;   /* it is about; NULL: the whole fleet */
    const char *release; /* digest text: of the rollback; NULL: another op,
                          * with a model a removal */
    const char *to;      /* digest text, or NULL */
    const char *send;    /* deploy order of `to`, for devices that must fetch
                          * it */
    bool is_listed;      /* the group's list has the order */
    bool has_one;
    bool wants_one; /* one device that can go back says enough: once there
                     * is one, no report is read */
    struct flo_scope_member *items;
    size_t count, room;
    struct flo_err *err;
};

/* Everybody in the group, or the device; `items` is the caller's to free. */
FLO_MUST_USE int flo_scope_read(struct flo_scope_list *list, const char *group,
                                const char *device, struct flo_err *err);
/* Await the order on all of them. */
FLO_MUST_USE int flo_scope_open(struct flo_scope_list *list,
                                struct flo_err *err);
/* Its devices are members of the rollout no more: one that brings late devices
 * must not bring these again. */
FLO_MUST_USE int flo_scope_leave(const struct flo_scope_list *list,
                                 struct flo_rollout_entry *entry,
                                 struct flo_err *err);
/* How many go one of these ways. */
size_t flo_scope_count(const struct flo_scope_list *list, enum flo_return from,
                       enum flo_return to);

/* FLO_E_GROUP_ABSENT, FLO_E_DEVICE_ABSENT: a scope with a typing error must not
 * be one of nobody. */
FLO_MUST_USE int flo_scope_check(struct flo_controller *controller,
                                 const char *group, const char *device,
                                 struct flo_err *err);

/* ---- plan.c ---- */

/* One more device goes this way to that release. */
void flo_plan_target(json_t *plan, const char *way, const char *to,
                     bool is_online, uint64_t bytes);
/* So many devices are listed. */
#define FLO_PLAN_DEVICES 200

/* ---- withdraw.c ---- */

/* Rollouts of the release (digest text) end, as core/orders/intent.h says. */
FLO_MUST_USE int flo_orders_stop_rollouts(struct flo_controller *controller,
                                          const char *release,
                                          const char *group, bool is_yanked,
                                          const char *note,
                                          struct flo_err *err);

/* The same, by a rollback.  `next`: the order that stands in desired documents
 * in the place of the release's deploys; "": none. */
FLO_MUST_USE int flo_orders_withdraw_by(struct flo_controller *controller,
                                        const struct flo_digest *release,
                                        const char *group, const char *note,
                                        const char *next, struct flo_err *err);

/* ---- take_back.c ---- */

struct flo_take_back_release {
    struct flo_digest digest;
    uint64_t number;
    uint64_t bytes;
    char state[16];
};

/* The release that goes back and the one to go to. */
struct flo_take_back_pair {
    struct flo_take_back_release from;
    struct flo_take_back_release to;
    char model[FLO_NAME_MAX + 1];
    char to_version[FLO_NAME_MAX + 1];
    char from_text[FLO_DIGEST_TEXT];
    char to_text[FLO_DIGEST_TEXT];
};

/* All devices in scope and their way back. */
FLO_MUST_USE int flo_take_back_look(struct flo_controller *controller,
                                    const struct flo_take_back *what,
                                    struct flo_take_back_pair *both,
                                    struct flo_scope_list *list,
                                    struct flo_err *err);

#endif
