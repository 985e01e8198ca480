/* View: the JSON of a device, from the store's row and the device's report. */
#include "server-stub/state/devices/view.h"

#include "server-stub/core/device/said.h"
#include "server-stub/state/controller.h"
#include "server-stub/state/sayings.h"
#include "server-stub/store/fleet.h"

/* ---- what devices say ---- */

/* Returns which release of a model serves, and in which state it is. */
static json_t *view_serving(const json_t *model)
{
    json_t *json = flo_said_view("standing", model);
    json_t *runs = flo_said_view("runs", json_object_get(model, "serving"));

    if (json_is_object(json) && json_is_object(runs)) {
        json_object_update(json, runs);
    }
    json_decref(runs);
    return json;
}

/* Returns one list of the releases that a device has of a model, each with the
 * model's name. A report has a member for each place of a release, such as
 * current or previous. */
static json_t *view_slots(const json_t *model, json_t *name)
{
    json_t *json = flo_said_view("slots", model);
    const char *key;
    json_t *slot;

    json_object_foreach(json, key, slot)
    {
        if (json_is_object(slot)) {
            json_object_set(slot, "model", name != NULL ? name : json_null());
        }
    }
    return json;
}

/* Adds one model of a device. */
static void put_model(const struct flo_controller *controller,
                      const struct flo_select_device *facts, json_t *json, const json_t *model)
{
    bool is_let_go = flo_fleet_lets_go(controller->store, facts, model);

    flo_said_put(json, "of_model", model);
    json_t *serving = view_serving(model);
    json_object_set_new(json, "slots", view_slots(model, json_object_get(serving, "model")));
    json_object_set_new(json, "serving", serving);
    json_object_set_new(json, "let_go", json_boolean(is_let_go));
    if (is_let_go) {
        json_object_set_new(json, "drift", json_null());
    }
}

/* Adds the device's report. The first model is among the device's own fields,
 * and all models are in a list. */
static void put_reported(const struct flo_controller *controller,
                         const struct flo_select_device *facts, json_t *json,
                         const json_t *reported)
{
    const json_t *models = json_object_get(reported, "models");
    json_t *list = json_array();

    put_model(controller, facts, json, json_array_get(models, 0));
    for (size_t i = 0; i < json_array_size(models); i++) {
        json_t *item = flo_said_view("standing", json_array_get(models, i));
        if (json_is_object(item)) {
            put_model(controller, facts, item, json_array_get(models, i));
        }
        json_array_append_new(list, item);
    }
    json_object_set_new(json, "models", list);
    flo_said_put(json, "report", reported);
}

/* ---- the whole ---- */

static json_t *view_profile(const char *text)
{
    json_t *from = flo_saying_object(text);
    json_t *json = flo_said_view("profile", from);

    json_decref(from);
    return json;
}

json_t *flo_object_device(const struct flo_controller *controller,
                          const struct flo_fleet_device *device)
{
    const struct flo_select_device *facts = flo_fleet_facts_of(controller->store, device->id);
    json_t *reported = flo_saying_object(device->reported);
    json_t *json =
        json_pack("{s:s,s:s,s:s,s:o,s:o,s:o}", "id", device->id, "name", device->name, "state",
                  device->is_retired  ? "retired"
                  : device->is_online ? "online"
                                      : "offline",
                  "groups", flo_saying_parsed(device->groups, json_array()), "labels",
                  flo_saying_object(device->labels), "profile", view_profile(device->profile));

    json_object_set_new(json, "condition",
                        json_string(flo_condition_word(flo_condition_decide(
                            device->is_retired, device->maintenance[0] != '\0', device->is_online,
                            flo_fleet_said(controller->store, facts, reported).condition))));
    put_reported(controller, facts, json, reported);
    json_decref(reported);
    json_object_set_new(json, "last_seen_at_ms", json_integer((json_int_t)device->last_seen_at_ms));
    json_object_set_new(json, "rss_bytes", json_integer((json_int_t)device->rss_bytes));
    json_object_set_new(json, "enrolled_at_ms", json_integer((json_int_t)device->enrolled_at_ms));
    json_object_set_new(json, "note", json_string(device->note));
    json_object_set_new(json, "maintenance",
                        device->maintenance[0] != '\0' ? json_string(device->maintenance)
                                                       : json_null());
    json_object_set_new(json, "pins", flo_saying_object(device->pins));
    json_object_set_new(json, "replaces", flo_json_text_or_null(device->replaces));
    json_object_set_new(json, "replaced_by", flo_json_text_or_null(device->replaced_by));
    return json;
}
