/* A device as people see it: the store's row, and its own words. */
#include "server-stub/state/devices/view.h"

#include <string.h>

#include "server-stub/state/controller.h"
#include "server-stub/state/sayings.h"
#include "server-stub/store/fleet.h"

/* ---- what devices say ---- */

static const struct flo_saying said_profile[] = {{"arch", FLO_NAME_MAX},
                                                 {"cpus", FLO_SAYING_NUMBER},
                                                 {"memory_bytes", FLO_SAYING_NUMBER},
                                                 {"disk_free_bytes", FLO_SAYING_NUMBER},
                                                 {"kernel", FLO_NAME_MAX},
                                                 {"class", FLO_NAME_MAX},
                                                 {"zone", FLO_NAME_MAX},
                                                 {"temperature_mc", FLO_SAYING_NUMBER}};
static const struct flo_saying said_runtime[] = {{"name", FLO_NAME_MAX},
                                                 {"api", FLO_NAME_MAX},
                                                 {"version", FLO_NAME_MAX},
                                                 {"state", FLO_NAME_MAX},
                                                 {"memory_bytes", FLO_SAYING_NUMBER},
                                                 {"why", 256}};
static const struct flo_saying said_accelerator[] = {
    {"kind", FLO_NAME_MAX}, {"name", 128}, {"memory_bytes", FLO_SAYING_NUMBER}};
static const struct flo_saying said_bench[] = {{"of", FLO_DIGEST_TEXT - 1},
                                               {"at_ms", FLO_SAYING_NUMBER},
                                               {"memory_bytes_per_s", FLO_SAYING_NUMBER},
                                               {"int8_ops_per_s", FLO_SAYING_NUMBER},
                                               {"read_bytes_per_s", FLO_SAYING_NUMBER},
                                               {"disk_bytes_per_s", FLO_SAYING_NUMBER},
                                               {"took_ms", FLO_SAYING_NUMBER}};
static const struct flo_saying said_power[] = {{"mains", FLO_SAYING_TRUTH},
                                               {"battery_pct", FLO_SAYING_NUMBER}};
static const struct flo_saying said_memory[] = {{"budget", FLO_SAYING_NUMBER},
                                                {"planned", FLO_SAYING_NUMBER},
                                                {"pool", FLO_SAYING_NUMBER},
                                                {"rung", FLO_SAYING_NUMBER},
                                                {"why", FLO_NAME_MAX}};
static const struct flo_saying said_slot[] = {
    {"release", FLO_DIGEST_TEXT - 1}, {"version", FLO_NAME_MAX}, {"number", FLO_SAYING_NUMBER}};
static const struct flo_saying said_model[] = {
    {"model", FLO_NAME_MAX},   {"state", FLO_NAME_MAX},      {"rung", FLO_SAYING_NUMBER},
    {"variant", FLO_NAME_MAX}, {"instead_of", FLO_NAME_MAX}, {"untrusted", FLO_NAME_MAX}};
static const struct flo_saying said_target[] = {{"release", FLO_DIGEST_TEXT - 1},
                                                {"order", FLO_NAME_MAX},
                                                {"number", FLO_SAYING_NUMBER},
                                                {"by", FLO_SAYING_NUMBER}};
static const struct flo_saying said_drift[] = {
    {"kind", FLO_NAME_MAX}, {"since_at_ms", FLO_SAYING_NUMBER}, {"why", 256}};
static const struct flo_saying said_degraded[] = {
    {"id", FLO_NAME_MAX}, {"text", 256}, {"since_ms", FLO_SAYING_NUMBER}};
static const struct flo_saying said_execution[] = {
    {"id", FLO_NAME_MAX + 16},        {"rollout", FLO_NAME_MAX}, {"state", FLO_NAME_MAX},
    {"release", FLO_DIGEST_TEXT - 1}, {"reason", 256},           {"since_at_ms", FLO_SAYING_NUMBER},
    {"waits", FLO_SAYING_TRUTH}};
static json_t *view_slot(const json_t *model, const char *key)
{
    json_t *json = flo_saying_view(json_object_get(model, key), said_slot, FLO_COUNT(said_slot));

    if (json_is_object(json)) {
        json_t *name = json_object_get(model, "model");
        json_object_set(json, "model", flo_saying_is_text(name, FLO_NAME_MAX) ? name : json_null());
    }
    return json;
}

static json_t *view_slots(const json_t *model)
{
    static const char *const names[] = {"current", "previous", "candidate"};

    if (!json_is_object(model)) {
        return json_null();
    }
    json_t *json = json_object();
    for (size_t i = 0; i < FLO_COUNT(names); i++) {
        json_object_set_new(json, names[i], view_slot(model, names[i]));
    }
    return json;
}

/* The release that answers, and how it stands. */
static json_t *view_serving(const json_t *model)
{
    json_t *json = flo_saying_view(model, said_model, FLO_COUNT(said_model));
    json_t *serving =
        flo_saying_view(json_object_get(model, "serving"), said_slot, FLO_COUNT(said_slot));

    if (json_is_object(json) && json_is_object(serving)) {
        json_object_update(json, serving);
    }
    json_decref(serving);
    return json;
}

static json_t *view_texts(const json_t *from, size_t bytes_max)
{
    json_t *json = json_array();

    for (size_t i = 0; i < json_array_size(from); i++) {
        if (flo_saying_is_text(json_array_get(from, i), bytes_max)) {
            json_array_append(json, json_array_get(from, i));
        }
    }
    return json;
}

#define SAID_LIST_MAX 16

static json_t *view_list(const json_t *from, const struct flo_saying *fields, size_t count)
{
    json_t *json = json_array();

    for (size_t i = 0; i < json_array_size(from) && i < SAID_LIST_MAX; i++) {
        const json_t *item = json_array_get(from, i);
        if (json_is_object(item)) {
            json_array_append_new(json, flo_saying_view(item, fields, count));
        }
    }
    return json;
}

static json_t *view_memory(const json_t *from)
{
    json_t *json = flo_saying_view(from, said_memory, FLO_COUNT(said_memory));
    const json_t *limits = json_object_get(from, "limits");

    if (json_is_object(json) && json_array_size(limits) <= SAID_LIST_MAX) {
        json_object_set_new(json, "limits", view_texts(limits, FLO_NAME_MAX));
    }
    return json;
}

static void put_said(json_t *to, const json_t *from, const char *key,
                     const struct flo_saying *table, size_t count)
{
    json_object_set_new(to, key, flo_saying_view(json_object_get(from, key), table, count));
}

static json_t *view_profile(const char *text)
{
    json_t *from = flo_saying_object(text);
    json_t *json = flo_saying_view(from, said_profile, FLO_COUNT(said_profile));

    json_object_set_new(
        json, "runtimes",
        view_list(json_object_get(from, "runtimes"), said_runtime, FLO_COUNT(said_runtime)));
    json_object_set_new(json, "accelerators",
                        view_list(json_object_get(from, "accelerators"), said_accelerator,
                                  FLO_COUNT(said_accelerator)));
    put_said(json, from, "bench", said_bench, FLO_COUNT(said_bench));
    put_said(json, from, "power", said_power, FLO_COUNT(said_power));
    json_object_set_new(json, "engine", view_texts(json_object_get(from, "engine"), FLO_NAME_MAX));
    json_decref(from);
    return json;
}

static void view_number(json_t *to, const json_t *from, const char *key)
{
    json_t *value = json_object_get(from, key);

    json_object_set_new(to, key, json_is_integer(value) ? json_incref(value) : json_null());
}

/* One model of a device. */
static void view_model(const struct flo_controller *controller,
                       const struct flo_select_device *facts, json_t *json, const json_t *model)
{
    bool is_let_go = flo_fleet_lets_go(controller->store, facts, model);

    json_object_set_new(json, "serving", view_serving(model));
    json_object_set_new(json, "slots", view_slots(model));
    put_said(json, model, "execution", said_execution, FLO_COUNT(said_execution));
    put_said(json, model, "target", said_target, FLO_COUNT(said_target));
    put_said(json, is_let_go ? NULL : model, "drift", said_drift, FLO_COUNT(said_drift));
    json_object_set_new(json, "let_go", json_boolean(is_let_go));
    view_number(json, model, "floor");
    view_number(json, model, "floor_hard");
    json_object_set_new(json, "denied",
                        view_texts(json_object_get(model, "denied"), FLO_DIGEST_TEXT - 1));
}

/* The certificate that the device says it connects with. */
static json_t *view_certificate(const json_t *said)
{
    const json_t *serial = json_object_get(said, "serial");
    const json_t *until = json_object_get(said, "until_ms");
    const json_t *number = json_object_get(said, "number");

    return flo_saying_is_text(serial, 64) && json_is_integer(until) && json_is_integer(number)
               ? json_pack("{s:O,s:O,s:O}", "serial", serial, "until_ms", until, "number", number)
               : json_null();
}

/* The first model stands among the device's own fields; the list has all. */
static void view_reported(const struct flo_controller *controller,
                          const struct flo_select_device *facts, json_t *json,
                          const json_t *reported)
{
    const json_t *agent = json_object_get(reported, "agent");
    const json_t *models = json_object_get(reported, "models");
    json_t *list = json_array();

    view_model(controller, facts, json, json_array_get(models, 0));
    for (size_t i = 0; i < json_array_size(models); i++) {
        json_t *item =
            flo_saying_view(json_array_get(models, i), said_model, FLO_COUNT(said_model));
        if (json_is_object(item)) {
            view_model(controller, facts, item, json_array_get(models, i));
        }
        json_array_append_new(list, item);
    }
    json_object_set_new(json, "models", list);
    json_object_set_new(json, "memory", view_memory(json_object_get(reported, "memory")));
    json_object_set_new(json, "certificate",
                        view_certificate(json_object_get(reported, "certificate")));
    put_said(json, reported, "degraded", said_degraded, FLO_COUNT(said_degraded));
    view_number(json, reported, "top");
    view_number(json, reported, "trust");
    json_object_set_new(json, "frozen_emergency",
                        json_boolean(json_is_true(json_object_get(reported, "frozen_emergency"))));
    json_object_set_new(json, "frozen",
                        json_boolean(json_is_true(json_object_get(reported, "frozen"))));
    json_object_set_new(json, "agent",
                        flo_saying_is_text(agent, FLO_NAME_MAX)
                            ? json_string(json_string_value(agent))
                            : json_null());
}

/* ---- the whole ---- */

static json_t *id_or_null(const char *id)
{
    return id[0] != '\0' ? json_string(id) : json_null();
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
    view_reported(controller, facts, json, reported);
    json_decref(reported);
    json_object_set_new(json, "last_seen_at_ms", json_integer((json_int_t)device->last_seen_at_ms));
    json_object_set_new(json, "rss_bytes", json_integer((json_int_t)device->rss_bytes));
    json_object_set_new(json, "enrolled_at_ms", json_integer((json_int_t)device->enrolled_at_ms));
    json_object_set_new(json, "note", json_string(device->note));
    json_object_set_new(json, "maintenance",
                        device->maintenance[0] != '\0' ? json_string(device->maintenance)
                                                       : json_null());
    json_object_set_new(json, "pins", flo_saying_object(device->pins));
    json_object_set_new(json, "replaces", id_or_null(device->replaces));
    json_object_set_new(json, "replaced_by", id_or_null(device->replaced_by));
    return json;
}
