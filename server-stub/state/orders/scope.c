/* Scope of an emergency order: its devices, and the way back of each. */
#include <stdlib.h>
#include <string.h>

#include "server-stub/state/controller.h"
#include "server-stub/state/objects.h"
#include "server-stub/state/orders/inside.h"

#define ENOUGH 1 /* no error: a listing has what was asked for */

static int stop_at_first(void *context, const char *device)
{
    (void)context;
    (void)device;
    return ENOUGH;
}

int flo_scope_check(struct flo_controller *controller, const char *group,
                    const char *device, struct flo_err *err)
{
    if (device != NULL) {
        return flo_fleet_device_get(controller->store, device, NULL, NULL, err);
    }
    int rv = flo_fleet_group_each(controller->store, group, stop_at_first, NULL,
                                  err);
    if (rv == ENOUGH) {
        return 0;
    }
    return rv == 0 ? flo_fail(err, FLO_E_GROUP_ABSENT,
                              "no device is in group %s", group)
                   : rv;
}

/* NULL: no memory. */
static struct flo_scope_member *add_member(struct flo_scope_list *list,
                                           const char *id)
{
    if (list->count == list->room) {
        size_t room = 2 * list->room + 64;
        struct flo_scope_member *items =
            realloc(list->items, room * sizeof(*items));
        if (items == NULL) {
            flo_fail(list->err, FLO_E_MEMORY, "%zu devices", room);
            return NULL;
        }
        list->items = items;
        list->room = room;
    }
    struct flo_scope_member *member = &list->items[list->count++];
    *member = (struct flo_scope_member){.is_online = false};
    snprintf(member->id, sizeof(member->id), "%s", id);
    return member;
}

static int collect_id(void *context, const char *id)
{
    return add_member(context, id) != NULL ? 0 : FLO_E_MEMORY;
}

static int collect_scope(void *context, const struct flo_fleet_device *device)
{
    struct flo_scope_list *list = context;
    struct flo_scope_member *member = add_member(list, device->id);

    if (member == NULL) {
        return FLO_E_MEMORY;
    }
    member->is_online = device->is_online;
    snprintf(member->name, sizeof(member->name), "%s", device->name);
    if (list->release != NULL) {
        json_t *report = flo_object_parsed(device->reported);
        member->way =
            flo_return_plan(report, list->release, list->to, member->title);
        json_decref(report);
    } else if (list->release == NULL && list->model != NULL) {
        json_t *report = flo_object_parsed(device->reported);
        member->removal =
            flo_removal_plan(report, list->model, false, member->title);
        json_decref(report);
    }
    return 0;
}

/* Who is asked, without anybody's report. */
static int collect_facts(void *context, const struct flo_select_device *device)
{
    const union flo_select_value *values = device->values;
    struct flo_scope_list *list = context;
    struct flo_scope_member *member =
        add_member(list, values[FLO_SELECT_ID].text);

    if (member == NULL) {
        return FLO_E_MEMORY;
    }
    snprintf(member->name, sizeof(member->name), "%s",
             values[FLO_SELECT_NAME].text);
    return 0;
}

static int by_id(const void *a, const void *b)
{
    return strcmp(((const struct flo_scope_member *)a)->id,
                  ((const struct flo_scope_member *)b)->id);
}

static struct flo_scope_member *find_member(const struct flo_scope_list *list,
                                            const char *id)
{
    struct flo_scope_member key;

    snprintf(key.id, sizeof(key.id), "%s", id);
    return bsearch(&key, list->items, list->count, sizeof(key), by_id);
}

static int look_back(void *context, const struct flo_fleet_device *device)
{
    struct flo_scope_list *list = context;
    struct flo_scope_member *member = find_member(list, device->id);
    json_t *report =
        member != NULL ? flo_object_parsed(device->reported) : NULL;

    if (member != NULL) {
        member->way =
            flo_return_plan(report, list->release, list->to, member->title);
        list->has_one = flo_return_is_possible(member->way);
    }
    json_decref(report);
    return list->has_one ? ENOUGH : 0;
}

/* Reports are read until one of them says that its device can go back. */
static int read_until_one(struct flo_scope_list *list, const char *group,
                          struct flo_err *err)
{
    struct flo_fleet_device_filter filter = {.group = group, .online = -1};
    struct flo_fleet_store *store = list->controller->store;
    int rv = flo_fleet_facts_each(store, group, collect_facts, list, err);

    if (rv == 0) {
        rv = flo_fleet_device_list(store, &filter, look_back, list, err);
    }
    return rv == ENOUGH ? 0 : rv;
}

/* An order about no model asks nobody's report: the index of its group names
 * its devices, and no row of a device is read. */
int flo_scope_read(struct flo_scope_list *list, const char *group,
                   const char *device, struct flo_err *err)
{
    struct flo_fleet_device_filter filter = {.group = group, .online = -1};
    struct flo_fleet_store *store = list->controller->store;

    list->err = err;
    if (device != NULL) {
        return flo_fleet_device_get(store, device, collect_scope, list, err);
    }
    if (list->release != NULL && list->wants_one) {
        return read_until_one(list, group, err);
    }
    return list->release == NULL && list->model == NULL
               ? flo_fleet_group_each(store, group, collect_id, list, err)
               : flo_fleet_device_list(store, &filter, collect_scope, list,
                                       err);
}

/* The order that a desired document holds. */
struct held_order {
    char release[FLO_DIGEST_TEXT];
    bool is_deploy, is_removal;
};

static int note_order(void *context, const struct flo_fleet_order *order)
{
    struct held_order *held = context;

    held->is_deploy =
        strcmp(order->op, flo_order_op_word(FLO_ORDER_DEPLOY)) == 0;
    held->is_removal =
        strcmp(order->op, flo_order_op_word(FLO_ORDER_REMOVE)) == 0;
    snprintf(held->release, sizeof(held->release), "%s", order->release);
    return 0;
}

/* A device that was told to run another release, or none, keeps that: the
 * rollback in its group's list is enough for it.  Where no list has the
 * rollback, those that have the release are told by their desired, whatever it
 * said. */
static int keeps(const struct flo_scope_list *list, const char *order,
                 bool *out, struct flo_err *err)
{
    struct held_order held = {0};

    *out = strcmp(order, list->order) == 0;
    if (*out || order[0] == '\0') {
        return 0;
    }
    int rv = flo_fleet_order_get(list->controller->store, order, note_order,
                                 &held, err);
    *out = rv == 0 &&
           (held.is_removal ||
            (held.is_deploy && strcmp(held.release, list->release) != 0));
    return rv == FLO_E_ABSENT ? 0 : rv;
}

/* Thousands of desired documents hold a few orders about the model. */
struct held_by {
    struct flo_scope_list *list;
    char order[FLO_NAME_MAX + 1]; /* that was looked at last */
    bool is_kept;
};

static int note_held(void *context, const char *device, const char *order)
{
    struct held_by *by = context;
    struct flo_scope_list *list = by->list;
    struct flo_scope_member *member = find_member(list, device);
    int rv = 0;

    if (member != NULL && strcmp(by->order, order) != 0) {
        rv = keeps(list, order, &by->is_kept, list->err);
        snprintf(by->order, sizeof(by->order), "%s", rv == 0 ? order : "");
    }
    if (member != NULL) {
        member->keeps = by->is_kept;
    }
    return rv;
}

/* Whose desired needs no change. */
static int find_kept(struct flo_scope_list *list, struct flo_err *err)
{
    struct held_by by = {.list = list};

    list->err = err;
    if (list->release == NULL) {
        return 0;
    }
    qsort(list->items, list->count, sizeof(*list->items), by_id);
    return flo_fleet_desired_of_model(list->controller->store, list->model,
                                      note_held, &by, err);
}

/* A device whose report names the release gets the order in its desired
 * document, whatever stood there.  Where a list has the order, the list tells
 * it, and the document follows. */
static int scope_write(struct flo_scope_list *list,
                       const struct flo_scope_member *member,
                       struct flo_err *err)
{
    struct flo_controller *controller = list->controller;
    bool has_it = member->way > FLO_RETURN_SILENT;
    bool rewrite = list->release != NULL &&
                   ((has_it && !list->is_listed) || !member->keeps);
    const char *order = member->way == FLO_RETURN_DOWNLOAD && list->send != NULL
                            ? list->send
                            : list->order;
    int rv = flo_fleet_outcome_put(controller->store, list->order, member->id,
                                   FLO_OUTCOME_PENDING, 0, err);

    if (rv == 0 && rewrite) {
        rv = flo_fleet_desired_set(controller->store, member->id, list->model,
                                   order, err);
        if (list->is_listed) {
            flo_outgoing_later(controller, member->id);
        } else {
            flo_outgoing_desired(controller, member->id);
        }
    }
    return rv;
}

/* Await the order on all of them. */
int flo_scope_open(struct flo_scope_list *list, struct flo_err *err)
{
    int rv = find_kept(list, err);

    for (size_t i = 0; i < list->count && rv == 0; i++) {
        rv = scope_write(list, &list->items[i], err);
    }
    return rv;
}

int flo_scope_leave(const struct flo_scope_list *list,
                    struct flo_rollout_entry *entry, struct flo_err *err)
{
    int rv = 0;

    for (size_t i = 0; i < list->count && rv == 0; i++) {
        rv = flo_rollouts_step(
            list->controller, entry,
            (struct flo_rollout_event){.kind = FLO_ROLLOUT_EVENT_LEFT,
                                       .device = list->items[i].id},
            err);
    }
    return rv;
}

size_t flo_scope_count(const struct flo_scope_list *list, enum flo_return from,
                       enum flo_return to)
{
    size_t count = 0;

    for (size_t i = 0; i < list->count; i++) {
        count += list->items[i].way >= from && list->items[i].way <= to;
    }
    return count;
}
