/* Replace: other hardware takes the place of a broken device.  The new device
 * enrolled under an identity of its own.  It inherits what people decided about
 * the old device, so that its groups bring it to the same releases. */
#include <string.h>

#include <flotilla/errors/group.h>

#include "server-stub/core/select/labels.h"
#include "server-stub/state/controller.h"
#include "server-stub/state/devices/devices.h"
#include "server-stub/state/groups/groups.h"
#include "server-stub/state/membership/membership.h"
#include "server-stub/state/outgoing.h"
#include "server-stub/state/rollouts/rollouts.h"
#include "server-stub/state/sayings.h"
#include "server-stub/store/fleet.h"

/* Decisions of people about a device, which its replacement inherits. */
struct place {
    const char *id;
    json_t *texts; /* the device's name, note, maintenance and pins */
    json_t *labels;
    json_t *groups;
    bool is_retired;
    bool is_replaced; /* another device has already replaced it */
    bool replaces;    /* the device has replaced another one */
};

static int take_place(void *context, const struct flo_fleet_device *device)
{
    struct place *place = context;

    place->texts = json_pack("{s:s,s:s,s:s,s:s}", "name", device->name, "note", device->note,
                             "maintenance", device->maintenance, "pins", device->pins);
    place->labels = flo_saying_object(device->labels);
    place->groups = flo_saying_object(device->groups);
    place->is_retired = device->is_retired;
    place->is_replaced = device->replaced_by[0] != '\0';
    place->replaces = device->replaces[0] != '\0';
    return 0;
}

static int read_place(struct flo_controller *controller, const char *id, struct place *out,
                      struct flo_err *err)
{
    *out = (struct place){.id = id};
    return flo_fleet_device_get(controller->store, id, take_place, out, err);
}

static void place_deinit(struct place *place)
{
    json_decref(place->texts);
    json_decref(place->labels);
    json_decref(place->groups);
}

static const char *text_of(const struct place *place, const char *word)
{
    return flo_json_text(place->texts, word, "");
}

static int check(const struct place *old, const struct place *next, struct flo_err *err)
{
    if (strcmp(old->id, next->id) == 0) {
        return flo_fail(err, FLO_E_STATE, "%s cannot replace itself", text_of(old, "name"));
    }
    if (next->is_retired) {
        return flo_fail(err, FLO_E_STATE, "%s is retired", text_of(next, "name"));
    }
    if (old->is_replaced) {
        return flo_fail(err, FLO_E_STATE, "%s was replaced already", text_of(old, "name"));
    }
    if (next->replaces) {
        flo_fail(err, FLO_E_STATE, "%s replaced another device already", text_of(next, "name"));
        return flo_err_fix(err, "enrol the new hardware as a device of its own");
    }
    return 0;
}

/* ---- taking over ---- */

static int take_texts(struct flo_controller *controller, const struct place *old,
                      struct place *next, struct flo_err *err)
{
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) labels = {0};
    bool is_news;

    FLO_TRY(flo_labels_merge(next->labels, old->labels, &is_news, err));
    flo_json_dump(next->labels, &labels);
    if (labels.failed) {
        return flo_fail(err, FLO_E_MEMORY, "labels");
    }
    const struct flo_fleet_edit edit = {.name = text_of(old, "name"),
                                        .labels = labels.data,
                                        .note = text_of(old, "note"),
                                        .maintenance = text_of(old, "maintenance"),
                                        .pins = text_of(old, "pins")};
    return flo_fleet_device_edit(controller->store, next->id, &edit, err);
}

static bool has_group(const json_t *groups, const char *group)
{
    size_t i;
    json_t *one;

    json_array_foreach(groups, i, one)
    {
        if (strcmp(json_string_value(one), group) == 0) {
            return true;
        }
    }
    return false;
}

static int look_whether_named(void *context, const struct flo_fleet_group *group)
{
    *(bool *)context = group->selector[0] == '\0' && !group->ends;
    return 0;
}

/* Joins or leaves those groups in `groups` that are missing in `other`.  Groups
 * with a selector are left out. */
static int move(struct flo_controller *controller, const char *device, const json_t *groups,
                const json_t *other, bool is_member, struct flo_err *err)
{
    size_t i;
    json_t *one;

    json_array_foreach(groups, i, one)
    {
        const char *group = json_string_value(one);
        struct flo_err absent = {0};
        bool is_named = false;
        bool is_news;
        if (strcmp(group, "all") == 0 || has_group(other, group)) {
            continue;
        }
        int rv =
            flo_fleet_group_get(controller->store, group, look_whether_named, &is_named, &absent);
        if (rv < 0 && rv != FLO_E_GROUP_ABSENT) {
            *err = absent;
            return rv;
        }
        if (rv == 0 && is_named) {
            FLO_TRY(flo_groups_member(controller, group, device, is_member, &is_news, err));
        }
    }
    return 0;
}

/* Copies the old device's pins to the new one.  The new hardware may refuse a
 * pin, and then reports the refusal. */
static int move_pins(struct flo_controller *controller, const struct place *old,
                     const struct place *next, const char *by, struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *before = flo_saying_object(text_of(next, "pins"));
    FLO_CLEANUP(flo_json_cleanup) json_t *after = flo_saying_object(text_of(old, "pins"));
    return flo_devices_pin(controller, next->id, by, before, after, err);
}

static int take_over(struct flo_controller *controller, const struct place *old, struct place *next,
                     const char *by, struct flo_err *err)
{
    FLO_TRY(old->is_retired ? 0 : flo_devices_retire(controller, old->id, err));
    FLO_TRY(take_texts(controller, old, next, err));
    /* A device leaves groups before it joins others, because it can be in a
     * limited number of groups. */
    FLO_TRY(move(controller, next->id, next->groups, old->groups, false, err));
    FLO_TRY(move(controller, next->id, old->groups, next->groups, true, err));
    FLO_TRY(flo_fleet_device_replaced(controller->store, old->id, next->id, err));
    FLO_TRY(flo_rollouts_relabelled(controller, next->id, err));
    return move_pins(controller, old, next, by, err);
}

int flo_devices_replace(struct flo_controller *controller, const char *old, const char *next,
                        const char *by, struct flo_err *err)
{
    struct place from = {.id = NULL};
    struct place to = {.id = NULL};
    int rv = read_place(controller, old, &from, err);

    if (rv == 0) {
        rv = read_place(controller, next, &to, err);
    }
    if (rv == 0) {
        rv = check(&from, &to, err);
    }
    if (rv == 0) {
        rv = take_over(controller, &from, &to, by, err);
    }
    if (rv == 0) {
        flo_outgoing_change(controller, FLO_OBJECT_DEVICE, old);
        flo_outgoing_change(controller, FLO_OBJECT_DEVICE, next);
    }
    place_deinit(&from);
    place_deinit(&to);
    return rv;
}
