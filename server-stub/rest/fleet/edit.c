/* REST: what operators set on devices: labels of one or many, notes, pins,
 * maintenance, names. */
#include <stdlib.h>
#include <string.h>

#include "server-stub/core/select/labels.h"
#include "server-stub/rest/fleet/fleet.h"
#include "server-stub/state/devices/devices.h"
#include "server-stub/state/devices/view.h"
#include "server-stub/state/groups/groups.h"
#include "server-stub/state/membership/membership.h"
#include "server-stub/state/outgoing.h"
#include "server-stub/state/sayings.h"

#define BULK_DEVICES_MAX 1000
/* largest number of devices in a request that pins, because each pin is an
 * order to sign */
#define BULK_PINS_MAX 100

/* ---- one ---- */

struct before {
    char id[37];
    json_t *labels;
    json_t *pins;
};

static int take_before(void *context, const struct flo_fleet_device *device)
{
    struct before *before = context;

    snprintf(before->id, sizeof(before->id), "%s", device->id);
    before->labels = flo_saying_object(device->labels);
    before->pins = flo_saying_object(device->pins);
    return 0;
}

static void before_deinit(struct before *before)
{
    json_decref(before->labels);
    json_decref(before->pins);
}

static int check_pin(struct flo_controller *controller, const char *id, const char *model,
                     const json_t *value, struct flo_err *err)
{
    const char *title = json_string_value(value);
    char name[FLO_NAME_MAX + 1];
    char version[FLO_NAME_MAX + 1];

    FLO_TRY(flo_release_title_parse(title, name, version, err));
    if (strcmp(name, model) != 0) {
        return flo_fail(err, FLO_E_REST_MEANING, "pins.%.64s: %s is a release of another model",
                        model, title);
    }
    return flo_devices_may_pin(controller, id, title, err);
}

/* Merges the pins of the request into those of the device.  Pins that the
 * device has already are not checked again. */
static int merge_pins(struct flo_rest_call *call, const char *id, json_t *pins, struct flo_err *err)
{
    json_t *patch = json_object_get(call->in, "pins");
    const char *model;
    json_t *value;
    int rv = 0;

    json_object_foreach(patch, model, value)
    {
        if (json_is_null(value)) {
            (void)json_object_del(pins, model);
            continue;
        }
        if (json_equal(json_object_get(pins, model), value)) {
            continue;
        }
        rv = check_pin(call->controller, id, model, value, err);
        FLO_TRY(rv);
        json_object_set(pins, model, value);
    }
    return json_object_size(pins) > FLO_ASSIGNMENTS_MAX
               ? flo_fail(err, FLO_E_REST_SCHEMA, "pins: more than %d models", FLO_ASSIGNMENTS_MAX)
               : 0;
}

/* Checks a group that a change of a label decides.  A person with a role for
 * other groups only may not move a device into or out of it. */
static int may_label(void *context, const char *group, const char *label, struct flo_err *err)
{
    (void)label;
    return flo_rest_may_group(context, group, err);
}

/* Checks whether the caller may let the device leave groups.  Who makes rules
 * may take devices from under them. */
static int may_leave(struct flo_rest_call *call, const char *device, struct flo_err *err)
{
    return flo_grants_hold(&call->grants, FLO_ACCESS_ADMIN)
               ? 0
               : flo_groups_may_leave(call->controller, device, err);
}

static int read_edit(struct flo_rest_call *call, struct before *before, struct flo_fleet_edit *edit,
                     struct flo_buf *labels, struct flo_buf *pins, struct flo_err *err)
{
    const json_t *patch = json_object_get(call->in, "labels");
    bool is_news;

    edit->name = flo_rest_text_in(call, "name", NULL);
    edit->note = flo_rest_text_in(call, "note", NULL);
    edit->maintenance = flo_rest_text_in(call, "maintenance", NULL);
    if (patch != NULL && call->is_scoped) {
        FLO_TRY(flo_groups_of_labels(call->controller, patch, may_label, call, err));
    }
    if (patch != NULL) {
        FLO_TRY(flo_devices_zone_check(patch, err));
        FLO_TRY(flo_labels_merge(before->labels, patch, &is_news, err));
        flo_json_dump(before->labels, labels);
        edit->labels = labels->data;
    }
    if (json_object_get(call->in, "pins") != NULL) {
        FLO_TRY(merge_pins(call, before->id, before->pins, err));
        flo_json_dump(before->pins, pins);
        edit->pins = pins->data;
    }
    return labels->failed || pins->failed ? flo_fail(err, FLO_E_MEMORY, "a change of a device") : 0;
}

static int take_device(void *context, const struct flo_fleet_device *device)
{
    struct flo_rest_call *call = context;

    call->out = flo_object_device(call->controller, device);
    json_object_set_new(call->out, "pinned", flo_devices_pins(call->controller, device));
    return 0;
}

int flo_rest_device_edit(struct flo_rest_call *call, struct flo_err *err)
{
    struct flo_controller *controller = call->controller;
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) labels = {0};
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) pins = {0};
    struct flo_fleet_edit edit = {.name = NULL};
    FLO_CLEANUP(before_deinit) struct before before = {.labels = NULL};
    FLO_CLEANUP(flo_json_cleanup) json_t *pinned = NULL;

    FLO_TRY(flo_fleet_device_get(controller->store, flo_httpd_param(call->request, "id"),
                                 take_before, &before, err));
    pinned = json_deep_copy(before.pins);
    FLO_TRY(flo_rest_may_device(call, before.id, err));
    FLO_TRY(read_edit(call, &before, &edit, &labels, &pins, err));
    FLO_TRY(flo_fleet_device_edit(controller->store, before.id, &edit, err));
    if (edit.maintenance != NULL || edit.pins != NULL) {
        FLO_TRY(flo_devices_pin(controller, before.id, call->name, pinned, before.pins, err));
    }
    if (edit.labels != NULL) {
        FLO_TRY(may_leave(call, before.id, err));
        FLO_TRY(flo_rollouts_relabelled(controller, before.id, err));
    }
    flo_outgoing_change(controller, FLO_OBJECT_DEVICE, before.id);
    return flo_fleet_device_get(controller->store, before.id, take_device, call, err);
}

/* ---- many ---- */

/* Changes the labels of one device, and counts the device if they differ. */
static int label_one(struct flo_rest_call *call, const char *key, const json_t *patch,
                     json_int_t *changed, struct flo_err *err)
{
    struct flo_controller *controller = call->controller;
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) text = {0};
    FLO_CLEANUP(before_deinit) struct before before = {.labels = NULL};
    bool is_news = false;
    int rv = flo_fleet_device_get(controller->store, key, take_before, &before, err);

    if (rv == 0) {
        rv = flo_devices_zone_check(patch, err);
    }
    if (rv == 0) {
        rv = flo_labels_merge(before.labels, patch, &is_news, err);
    }
    if (rv == 0 && is_news) {
        flo_json_dump(before.labels, &text);
        rv = text.failed
                 ? flo_fail(err, FLO_E_MEMORY, "labels")
                 : flo_fleet_device_edit(controller->store, before.id,
                                         &(struct flo_fleet_edit){.labels = text.data}, err);
        if (rv == 0) {
            rv = may_leave(call, before.id, err);
        }
        if (rv == 0) {
            rv = flo_rollouts_relabelled(controller, before.id, err);
        }
        flo_outgoing_change(controller, FLO_OBJECT_DEVICE, before.id);
        ++*changed;
    }
    return rv < 0 ? flo_wrap(err, rv, "device %.64s", key) : 0;
}

static int by_id(const void *a, const void *b)
{
    const struct flo_select_device *const *one = a;
    const struct flo_select_device *const *other = b;

    return strcmp((*one)->values[FLO_SELECT_ID].text, (*other)->values[FLO_SELECT_ID].text);
}

/* Copies the ids of the devices after the cursor, because a change invalidates
 * the borrowed list.  `next` is the cursor of the next request, "" at the
 * end. */
static void take_some(const struct flo_rest_call *call, const struct flo_fleet_found *found,
                      size_t max, struct flo_text_list *ids, char *next)
{
    const char *cursor = json_string_value(json_object_get(call->in, "cursor"));

    next[0] = '\0';
    for (size_t i = 0; i < found->count; i++) {
        const char *id = found->items[i]->values[FLO_SELECT_ID].text;
        if (cursor != NULL && strcmp(id, cursor) <= 0) {
            continue;
        }
        if (ids->count == max) {
            snprintf(next, 37, "%s", ids->items[ids->count - 1]);
            break;
        }
        flo_text_list_add(ids, id);
    }
}

/* Finds the ids of at most `max` devices that match `where`. */
static int find_some(struct flo_rest_call *call, size_t max, struct flo_text_list *ids, char *next,
                     struct flo_err *err)
{
    const char *where = json_string_value(json_object_get(call->in, "where"));
    FLO_CLEANUP(flo_fleet_query_deinit) struct flo_fleet_query query = {.count = 0};
    FLO_CLEANUP(flo_fleet_found_deinit) struct flo_fleet_found found = {0};

    FLO_TRY(flo_fleet_query_where(call, where, &query, err));
    FLO_TRY(flo_fleet_query_find(call->controller, &query, &found, err));
    if (found.count > 1) {
        qsort(found.items, found.count, sizeof(found.items[0]), by_id);
    }
    take_some(call, &found, max, ids, next);
    return 0;
}

/* Changes the labels of at most a thousand devices per request, because more
 * would block other requests.  `next` in the answer is the cursor of the next
 * request. */
int flo_rest_devices_label(struct flo_rest_call *call, struct flo_err *err)
{
    const json_t *patch = json_object_get(call->in, "labels");
    struct flo_text_list ids = {0};
    json_int_t changed = 0;
    char next[37] = "";
    int rv = find_some(call, BULK_DEVICES_MAX, &ids, next, err);

    for (size_t i = 0; i < ids.count && rv == 0; i++) {
        rv = label_one(call, ids.items[i], patch, &changed, err);
    }
    call->out = json_pack("{s:I,s:I,s:o}", "devices", (json_int_t)ids.count, "changed", changed,
                          "next", next[0] != '\0' ? json_string(next) : json_null());
    flo_text_list_clear(&ids);
    return rv;
}

/* Pins a release on one device, or removes a pin.  A device that cannot take
 * the release is listed in `refused` and stays unchanged. */
static int pin_one(struct flo_rest_call *call, const char *id, json_int_t *pins, json_t *refused,
                   struct flo_err *err)
{
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) text = {0};
    struct flo_err why = {0};
    FLO_CLEANUP(before_deinit) struct before before = {.labels = NULL};
    FLO_CLEANUP(flo_json_cleanup) json_t *old = NULL;

    FLO_TRY(flo_fleet_device_get(call->controller->store, id, take_before, &before, err));
    old = json_deep_copy(before.pins);
    if (merge_pins(call, id, before.pins, &why) < 0) {
        json_array_append_new(refused, json_pack("{s:s,s:s,s:s}", "device", id, "id",
                                                 flo_error_id(why.code), "what", why.what));
    } else if (!json_equal(old, before.pins)) {
        flo_json_dump(before.pins, &text);
        FLO_TRY(text.failed
                    ? flo_fail(err, FLO_E_MEMORY, "pins")
                    : flo_fleet_device_edit(call->controller->store, id,
                                            &(struct flo_fleet_edit){.pins = text.data}, err));
        FLO_TRY(flo_devices_pin(call->controller, id, call->name, old, before.pins, err));
        flo_outgoing_change(call->controller, FLO_OBJECT_DEVICE, id);
        ++*pins;
    }
    return 0;
}

int flo_rest_devices_pin(struct flo_rest_call *call, struct flo_err *err)
{
    struct flo_text_list ids = {0};
    json_t *refused = json_array();
    json_int_t changed = 0;
    char next[37] = "";
    int rv = find_some(call, BULK_PINS_MAX, &ids, next, err);

    for (size_t i = 0; i < ids.count && rv == 0; i++) {
        rv = pin_one(call, ids.items[i], &changed, refused, err);
    }
    call->out =
        json_pack("{s:I,s:I,s:o,s:o}", "devices", (json_int_t)ids.count, "changed", changed,
                  "refused", refused, "next", next[0] != '\0' ? json_string(next) : json_null());
    flo_text_list_clear(&ids);
    return rv;
}

int flo_rest_devices_batch(struct flo_rest_call *call, struct flo_err *err)
{
    const json_t *items = json_object_get(call->in, "items");
    json_int_t changed = 0;
    size_t i;
    json_t *item;

    json_array_foreach(items, i, item)
    {
        FLO_TRY(label_one(call, json_string_value(json_object_get(item, "device")),
                          json_object_get(item, "labels"), &changed, err));
    }
    call->out =
        json_pack("{s:I,s:I}", "devices", (json_int_t)json_array_size(items), "changed", changed);
    return 0;
}
