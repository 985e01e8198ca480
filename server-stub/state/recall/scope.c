/* Scope: reads the devices of an emergency order, and how each goes back. */
#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/group.h>

#include "server-stub/state/controller.h"
#include "server-stub/state/orders/scope.h"
#include "server-stub/state/recall/plan.h"
#include "server-stub/state/rollouts/rollouts.h"
#include "server-stub/state/sayings.h"

#define ENOUGH 1 /* result that ends a listing: it found enough devices */

static int stop_at_first(void *context, const char *device)
{
    (void)context, (void)device;
    return ENOUGH;
}

int flo_scope_check(struct flo_controller *controller, const char *group, const char *device,
                    struct flo_err *err)
{
    if (device != NULL) {
        return flo_fleet_device_get(controller->store, device, NULL, NULL, err);
    }
    int rv = flo_fleet_group_each(controller->store, group, stop_at_first, NULL, err);
    FLO_TRY(rv);
    return rv == ENOUGH ? 0 : flo_fail(err, FLO_E_GROUP_ABSENT, "no device is in group %s", group);
}

/* NULL: no memory. */
static struct flo_scope_member *add_member(struct flo_scope_list *list, const char *id)
{
    if (flo_grow_or_fail(&list->items, &list->room, list->count, sizeof(*list->items), "devices",
                         list->err) < 0) {
        return NULL;
    }
    struct flo_scope_member *member = &list->items[list->count++];
    *member = (struct flo_scope_member){.is_online = false};
    snprintf(member->id, sizeof(member->id), "%s", id);
    return member;
}

int flo_scope_take(void *context, const struct flo_fleet_device *device)
{
    struct flo_scope_list *list = context;
    struct flo_scope_member *member = add_member(list, device->id);

    if (member == NULL) {
        return FLO_E_MEMORY;
    }
    member->is_online = device->is_online;
    snprintf(member->name, sizeof(member->name), "%s", device->name);
    if (list->release != NULL) {
        json_t *report = flo_saying_object(device->reported);
        member->way = flo_return_plan(report, list->release, list->to, member->title);
        json_decref(report);
    } else if (list->release == NULL && list->model != NULL) {
        json_t *report = flo_saying_object(device->reported);
        member->removal = flo_removal_plan(report, list->model, false, member->title);
        json_decref(report);
    }
    return 0;
}

/* Adds a device from a listing, which ends at the first device that can go
 * back. */
static int collect_until_one(void *context, const struct flo_fleet_device *device)
{
    struct flo_scope_list *list = context;

    FLO_TRY(flo_scope_take(list, device));
    return flo_return_is_possible(list->items[list->count - 1].way) ? ENOUGH : 0;
}

/* Reads some devices, until one can go back.  Ids are random, so these devices
 * represent all others. */
static int read_until_one(struct flo_scope_list *list, const char *group, const char *title,
                          struct flo_err *err)
{
    struct flo_fleet_store *store = list->controller->store;
    struct flo_fleet_device_filter filter = {
        .group = group, .release = title, .online = -1, .limit = FLO_SCOPE_LOOKS};
    int rv = flo_fleet_device_list(store, &filter, collect_until_one, list, err);

    /* If no device serves the release now, devices that have it on trial or
     * stopped are read. */
    if (rv == 0 && list->count == 0) {
        filter.release = NULL;
        filter.model = list->model;
        rv = flo_fleet_device_list(store, &filter, collect_until_one, list, err);
    }
    return rv == ENOUGH ? 0 : rv;
}

int flo_scope_read(struct flo_scope_list *list, const char *group, const char *device,
                   const char *title, struct flo_err *err)
{
    struct flo_fleet_device_filter filter = {.group = group, .online = -1};
    struct flo_fleet_store *store = list->controller->store;

    list->err = err;
    if (device != NULL) {
        return flo_fleet_device_get(store, device, flo_scope_take, list, err);
    }
    if (list->is_sliced) {
        return read_until_one(list, group, title, err);
    }
    return flo_fleet_device_list(store, &filter, flo_scope_take, list, err);
}

static int collect_id(void *context, const char *device)
{
    return add_member(context, device) != NULL ? 0 : FLO_E_MEMORY;
}

int flo_scope_read_ids(struct flo_scope_list *list, const char *group, struct flo_err *err)
{
    list->err = err;
    list->count = 0;
    return flo_fleet_group_each(list->controller->store, group, collect_id, list, err);
}

int flo_scope_leave(const struct flo_scope_list *list, struct flo_rollout_entry *entry,
                    struct flo_err *err)
{
    for (size_t i = 0; i < list->count; i++) {
        FLO_TRY(flo_rollouts_step(
            list->controller, entry,
            (struct flo_rollout_event){.kind = FLO_ROLLOUT_EVENT_LEFT, .device = list->items[i].id},
            err));
    }
    return 0;
}

size_t flo_scope_count(const struct flo_scope_list *list, enum flo_return from, enum flo_return to)
{
    size_t count = 0;

    for (size_t i = 0; i < list->count; i++) {
        count += list->items[i].way >= from && list->items[i].way <= to;
    }
    return count;
}
