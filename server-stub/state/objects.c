/* Objects as REST and the live stream show them. */
#include <stdlib.h>
#include <string.h>

#include "base/host/digest.h"

#include "server-stub/state/controller.h"
#include "server-stub/state/objects.h"
#include "server-stub/state/sayings.h"
#include "server-stub/store/making.h"

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
    json_t *from = flo_saying_parsed(text, json_object());
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

/* The first model stands among the device's own fields; the list has all. */
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

json_t *flo_object_parsed(const char *text_or_null)
{
    return flo_saying_parsed(text_or_null, json_object());
}

static json_t *id_or_null(const char *id)
{
    return id[0] != '\0' ? json_string(id) : json_null();
}

json_t *flo_object_device(const struct flo_controller *controller,
                          const struct flo_fleet_device *device)
{
    const struct flo_select_device *facts = flo_fleet_facts_of(controller->store, device->id);
    json_t *reported = flo_saying_parsed(device->reported, json_object());
    json_t *json = json_pack(
        "{s:s,s:s,s:s,s:o,s:o,s:o}", "id", device->id, "name", device->name, "state",
        device->is_retired  ? "retired"
        : device->is_online ? "online"
                            : "offline",
        "groups", flo_saying_parsed(device->groups, json_array()), "labels",
        flo_saying_parsed(device->labels, json_object()), "profile", view_profile(device->profile));

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
    json_object_set_new(json, "pins", flo_saying_parsed(device->pins, json_object()));
    json_object_set_new(json, "replaces", id_or_null(device->replaces));
    json_object_set_new(json, "replaced_by", id_or_null(device->replaced_by));
    return json;
}

json_t *flo_object_release(const struct flo_fleet_release *release, bool with_document)
{
    json_t *json = json_pack(
        "{s:s,s:s,s:I,s:s,s:s,s:I,s:I}", "model", release->model, "version", release->version,
        "number", (json_int_t)release->number, "digest", release->digest, "state", release->state,
        "bytes", (json_int_t)release->bytes, "created_at_ms", (json_int_t)release->created_at_ms);
    char title[2 * FLO_NAME_MAX + 2];

    snprintf(title, sizeof(title), "%s@%s", release->model, release->version);
    json_object_set_new(json, "name", json_string(title));
    if (with_document) {
        json_object_set_new(json, "document", flo_saying_parsed(release->body, json_null()));
    }
    return json;
}

/* ---- rollout ---- */

/* The tag covers specification and state, not counters. */
void flo_object_rollout_etag(const struct flo_rollout *rollout, char *out)
{
    struct flo_digest digest;
    char text[160];
    char hex[65];

    snprintf(text, sizeof(text), "%s %d %u %u %llu", rollout->id, (int)rollout->state,
             rollout->phase, rollout->edits, (unsigned long long)rollout->since_at_ms);
    flo_sha256(text, strlen(text), &digest);
    flo_hex_encode(digest.bytes, FLO_DIGEST_BYTES, hex);
    snprintf(out, 20, "\"%.16s\"", hex);
}

/* Phases are counted from 1 for people, here and everywhere. */
static double tenth(double value)
{
    return (double)(int64_t)(value * 10 + 0.5) / 10;
}

static json_t *view_phase(const struct flo_rollout *core, uint32_t index)
{
    const struct flo_rollout_phase *phase = &core->phases[index];
    json_t *counts = json_object();

    for (int state = 0; state < FLO_EXECUTION_COUNT; state++) {
        if (phase->counts[state] > 0) {
            json_object_set_new(counts, flo_execution_word((enum flo_execution)state),
                                json_integer((json_int_t)phase->counts[state]));
        }
    }
    json_t *out =
        json_pack("{s:i,s:s,s:b,s:[i,i],s:i,s:i,s:i,s:i,s:o,s:s,s:I}", "number", (int)index + 1,
                  "name", phase->name, "canary", (int)flo_rollout_is_canary(core, index), "buckets",
                  (int)phase->bucket_from, (int)phase->bucket_to, "devices", (int)phase->members,
                  "silent", (int)phase->silent, "overdue", (int)phase->overdue, "away",
                  (int)phase->away, "counts", counts, "state", flo_phase_state_word(phase->state),
                  "started_at_ms", (json_int_t)phase->started_at_ms);
    struct flo_study_sight sight;
    if (flo_rollout_sees(core, index, &sight)) {
        if (sight.has_find) {
            json_object_set_new(out, "finds_pct", json_real(tenth(sight.finds_pct)));
        }
        json_object_set_new(out, "odds_pct", json_real(tenth(100 * sight.odds)));
        json_object_set_new(out, "prove_pct", json_real(sight.prove_pct));
    }
    struct flo_rollout_soak soak;
    if (flo_rollout_state_is_active(core->state) && flo_rollout_soak(core, index, &soak)) {
        json_object_set_new(out, "soak",
                            json_pack("{s:i,s:I,s:I}", "devices", (int)soak.devices, "from_ms",
                                      (json_int_t)soak.from_ms, "until_ms",
                                      (json_int_t)soak.until_ms));
    }
    return out;
}

#define CAUSES_SHOWN 8

static int take_name(void *context, const struct flo_fleet_device *device)
{
    snprintf(context, FLO_NAME_MAX + 1, "%s", device->name);
    return 0;
}

static json_t *view_causes(const struct flo_controller *controller, const struct flo_rollout *core)
{
    struct flo_rollout_cause causes[CAUSES_SHOWN];
    size_t count = flo_rollout_causes(core, causes, CAUSES_SHOWN);
    json_t *list = json_array();

    for (size_t i = 0; i < count; i++) {
        int code = flo_error_code(causes[i].id);
        const char *device = core->members[causes[i].member].device;
        char name[FLO_NAME_MAX + 1] = "";
        struct flo_err gone = {0};
        (void)!flo_fleet_device_get(controller->store, device, take_name, name, &gone);
        json_array_append_new(list, json_pack("{s:s,s:i,s:s,s:s,s:s,s:s}", "id", causes[i].id,
                                              "devices", (int)causes[i].devices, "device", device,
                                              "name", name[0] != '\0' ? name : device, "meaning",
                                              code < 0 ? flo_error_meaning(code) : "", "fix",
                                              code < 0 ? flo_error_fix(code) : ""));
    }
    return list;
}

/* Devices that have the release now and would go back; *overtaken: they got it
 * and run another one since. */
static json_int_t holders(const struct flo_rollout *core, int *overtaken)
{
    json_int_t count = 0;

    *overtaken = 0;

    for (size_t i = 0; i < core->member_count; i++) {
        const struct flo_rollout_member *member = &core->members[i];
        enum flo_execution state = (enum flo_execution)member->state;
        bool is_good = flo_execution_kind(state) == FLO_EXECUTION_END_GOOD;
        *overtaken += is_good && member->runs_other;
        count += state == FLO_EXECUTION_ACTIVATING || state == FLO_EXECUTION_SOAKING ||
                 (is_good && !member->runs_other);
    }
    return count;
}

json_t *flo_object_slices(const struct flo_rollout *core, enum flo_slice_hold as)
{
    const struct flo_study_state *state = &core->study.state;
    json_t *slices = json_array();

    for (uint32_t i = 0; i < state->held_count; i++) {
        if (state->held_as[i] == as) {
            json_array_append_new(slices, json_string(state->held[i]));
        }
    }
    return slices;
}

static void view_slices(const struct flo_rollout *core, const char *name, enum flo_slice_hold as,
                        json_t *out)
{
    json_t *slices = flo_object_slices(core, as);

    if (json_array_size(slices) > 0) {
        json_object_set(out, name, slices);
    }
    json_decref(slices);
}

/* Slices that get the release no more, those that wait for a person, and all
 * that were found. */
static void view_held(const struct flo_rollout_entry *entry, json_t *out)
{
    json_t *found = flo_rollouts_found_view(entry);

    view_slices(&entry->core, "held", FLO_SLICE_HELD, out);
    view_slices(&entry->core, "asked", FLO_SLICE_ASKED, out);
    if (json_array_size(found) > 0) {
        json_object_set(out, "slices", found);
    }
    json_decref(found);
}

/* Bytes that were fetched, and those of the whole files, of devices that said
 * both; NULL: none did. */
static json_t *view_transfer(const struct flo_rollout *core)
{
    uint64_t bytes = 0;
    uint64_t full = 0;
    uint64_t near = 0; /* bytes from neighbours */
    int devices = 0;

    for (size_t i = 0; i < core->member_count; i++) {
        const struct flo_rollout_member *member = &core->members[i];
        if (member->full_bytes > 0) {
            bytes += member->fetched_bytes;
            full += member->full_bytes;
            /* No more than all of them, whatever a device says. */
            near += member->neighbour_bytes < member->fetched_bytes ? member->neighbour_bytes
                                                                    : member->fetched_bytes;
            devices++;
        }
    }
    return devices == 0
               ? NULL
               : json_pack("{s:i,s:I,s:I,s:I}", "devices", devices, "bytes", (json_int_t)bytes,
                           "full_bytes", (json_int_t)full, "neighbour_bytes", (json_int_t)near);
}

/* Secrets apart: which token it was is nobody's business. */
static json_t *view_approvals(const struct flo_rollout_entry *entry)
{
    json_t *given = json_array();
    size_t i;
    json_t *one;

    json_array_foreach(entry->approvals, i, one)
    {
        json_t *shown = json_object();
        flo_saying_copy(shown, one, "by");
        flo_saying_copy(shown, one, "at_ms");
        json_array_append_new(given, shown);
    }
    return json_pack("{s:i,s:o}", "needed", (int)entry->core.approvals_needed, "given", given);
}

static void view_time(json_t *json, const char *key, uint64_t at_ms)
{
    if (at_ms > 0) {
        json_object_set_new(json, key, json_integer((json_int_t)at_ms));
    }
}

/* Approvals and times before its begin, and the thing that it waits for. */
static void view_begin(const struct flo_controller *controller,
                       const struct flo_rollout_entry *entry, json_t *json)
{
    const struct flo_rollout *core = &entry->core;
    struct flo_rollout_next next;

    if (core->approvals_needed > 0) {
        json_object_set_new(json, "approvals", view_approvals(entry));
    }
    view_time(json, "start_at_ms", core->start_at_ms);
    view_time(json, "expires_at_ms", core->expires_at_ms);
    view_time(json, "barred_until_ms", core->barred_until_ms);
    if (flo_rollout_next(core, flo_controller_now_ms(controller), controller->heartbeat_ms,
                         &next)) {
        json_object_set_new(
            json, "next",
            json_pack("{s:s,s:I}", "what", next.what, "at_ms", (json_int_t)next.at_ms));
    }
}

int flo_object_rollout(struct flo_controller *controller, struct flo_rollout_entry *entry,
                       uint64_t devices_max, json_t **out, struct flo_err *err)
{
    const struct flo_rollout *core = &entry->core;
    char digest[FLO_DIGEST_TEXT];
    char etag[20];
    int overtaken;
    json_int_t held = holders(core, &overtaken);
    const struct flo_rollout_entry *follower = flo_rollouts_follower(controller, entry);
    json_t *phases = json_array();

    for (uint32_t i = 0; i < core->phase_count; i++) {
        json_array_append_new(phases, view_phase(core, i));
    }
    flo_digest_text(&entry->release, digest);
    flo_object_rollout_etag(core, etag);
    json_t *json = json_pack(
        "{s:s,s:s,s:s,s:s,s:s,s:o,s:s,s:i,s:i,s:o,s:o,s:o,s:I,s:f,s:I,s:I,s:s,"
        "s:O}",
        "id", core->id, "release", core->release, "digest", digest, "group", entry->group, "state",
        flo_rollout_state_word(core->state), "reason",
        flo_rollouts_named(controller, core, core->reason, strlen(core->reason)), "on_fail",
        flo_on_fail_word(core->on_fail), "phase", (int)core->phase + 1, "members",
        (int)core->member_count, "phases", phases, "gates", flo_object_rollout_gates(core),
        "causes", view_causes(controller, core), "holders", held, "starts_per_s",
        core->starts_per_s, "created_at_ms", (json_int_t)core->created_at_ms, "since_at_ms",
        (json_int_t)core->since_at_ms, "etag", etag, "spec", entry->spec);
    if (json == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "rollout %s", core->id);
    }
    json_object_set_new(json, "overtaken", json_integer(overtaken));
    json_object_set_new(json, "model", json_string(entry->model));
    json_object_set_new(json, "by", json_string(entry->by));
    if (follower != NULL) {
        json_object_set_new(json, "followed_by", json_string(follower->core.id));
    }
    if (core->study.split_of[0] != '\0') {
        json_object_set_new(json, "split_of", json_string(core->study.split_of));
    }
    view_held(entry, json);
    flo_rollouts_show_scans(entry, json);
    view_begin(controller, entry, json);
    flo_rollouts_show_remaining(controller, entry, json);
    json_t *transfer = view_transfer(core);
    if (transfer != NULL) {
        json_object_set_new(json, "transfer", transfer);
    }
    if (json_array_size(entry->overlaps) > 0) {
        json_object_set(json, "overlaps", entry->overlaps);
    }
    if (entry->is_drafted) {
        json_object_set_new(json, "making",
                            json_pack("{s:I,s:I}", "made", (json_int_t)flo_rollouts_made(entry),
                                      "of", (json_int_t)core->member_count));
    }
    if (devices_max > 0) {
        json_t *devices = NULL;
        int rv = flo_rollouts_show_first(controller, entry, (size_t)devices_max, &devices, err);
        if (rv < 0) {
            json_decref(json);
            return rv;
        }
        json_object_set_new(json, "devices", devices);
    }
    *out = json;
    return 0;
}

void flo_object_rollback(struct flo_controller *controller, const struct flo_rollout *rollout,
                         json_t *json)
{
    json_int_t back = 0;
    json_int_t stays = 0;
    json_int_t awaited = 0;

    if (rollout->state != FLO_ROLLOUT_ROLLING_BACK && rollout->state != FLO_ROLLOUT_ROLLED_BACK &&
        rollout->state != FLO_ROLLOUT_PARTLY_BACK) {
        return;
    }
    for (size_t i = 0; i < rollout->member_count; i++) {
        const struct flo_rollout_member *member = &rollout->members[i];
        if (member->state != FLO_EXECUTION_QUEUED && member->is_back) {
            bool is_there = flo_rollout_member_stays(member);
            stays += is_there;
            back += !is_there;
        } else if (member->state != FLO_EXECUTION_QUEUED) {
            awaited += flo_fleet_is_online(controller->store, member->device);
        }
    }
    json_object_set_new(json, "back", json_integer(back));
    json_object_set_new(json, "stays", json_integer(stays));
    json_object_set_new(json, "awaited", json_integer(awaited));
}

/* ---- order ---- */

static int view_order_row(void *context, const struct flo_fleet_order *order)
{
    json_t **out = context;
    json_t *body = flo_saying_parsed(order->body, json_null());
    const char *signed_reason =
        json_string_value(json_object_get(json_object_get(body, "args"), "reason"));
    bool is_older = order->reason[0] == '\0'; /* than the field is */

    *out = json_pack("{s:s,s:s,s:s,s:s,s:s,s:I,s:I,s:o,s:o}", "id", order->id, "op", order->op,
                     "group", order->group, "rollout", order->rollout, "reason",
                     is_older && signed_reason != NULL ? signed_reason : order->reason,
                     "issued_at_ms", (json_int_t)order->issued_at_ms, "expires_at_ms",
                     (json_int_t)order->expires_at_ms, "body", body, "envelope",
                     flo_saying_parsed(order->envelope, json_null()));
    return 0;
}

static int view_outcome(void *context, const struct flo_fleet_outcome *outcome)
{
    json_t *json = json_pack(
        "{s:s,s:s,s:b,s:s,s:I,s:I}", "id", outcome->device, "name", outcome->name, "online",
        (int)outcome->is_online, "outcome", flo_outcome_word(outcome->outcome), "took_ms",
        (json_int_t)outcome->took_ms, "heard_ms", (json_int_t)outcome->heard_ms);

    if (outcome->error[0] != '\0') {
        json_object_set_new(json, "error", flo_saying_parsed(outcome->error, json_object()));
    }
    json_array_append_new(context, json);
    return 0;
}

static int view_reason(void *context, const char *word, uint64_t count)
{
    json_array_append_new(context,
                          json_pack("{s:s,s:I}", "error", word, "devices", (json_int_t)count));
    return 0;
}

/* How fast, and why not: shown with one order, not with every change. */
static int view_answers(struct flo_controller *controller, const char *id, json_t *json,
                        struct flo_err *err)
{
    json_t *reasons = json_array();
    uint64_t half = 0;
    uint64_t most = 0;
    int rv = flo_fleet_outcome_quantile(controller->store, id, 500, &half, err);

    if (rv == 0) {
        rv = flo_fleet_outcome_quantile(controller->store, id, 990, &most, err);
    }
    if (rv == 0) {
        rv = flo_fleet_outcome_reasons(controller->store, id, view_reason, reasons, err);
    }
    json_object_set_new(json, "heard_ms_p50", json_integer((json_int_t)half));
    json_object_set_new(json, "heard_ms_p99", json_integer((json_int_t)most));
    json_object_set_new(json, "reasons", reasons);
    return rv;
}

int flo_object_order(struct flo_controller *controller, const char *id, uint64_t devices_max,
                     json_t **out, struct flo_err *err)
{
    struct flo_order_progress p;
    const struct flo_making *making = NULL;
    json_t *json = NULL;
    json_t *devices = devices_max > 0 ? json_array() : NULL;
    int rv = flo_fleet_order_get(controller->store, id, view_order_row, &json, err);

    if (rv == 0) {
        rv = flo_fleet_outcome_progress(controller->store, id, &p, err);
    }
    if (rv == 0) {
        rv = flo_fleet_making_of(controller->store, id, &making, err);
    }
    if (rv == 0 && devices != NULL) {
        rv = flo_fleet_outcome_list(controller->store, id, devices_max, view_outcome, devices, err);
    }
    if (rv < 0) {
        json_decref(json);
        json_decref(devices);
        return rv;
    }
    json_t *numbers = json_pack(
        "{s:s,s:i,s:i,s:i,s:i,s:i,s:i,s:i}", "state", flo_order_progress_word(&p), "scope_devices",
        (int)p.devices, "online", (int)p.online, "awaited", (int)p.awaited, "acked", (int)p.acked,
        "done", (int)p.done, "failed", (int)p.failed, "pending", (int)p.pending);
    json_object_update(json, numbers);
    json_decref(numbers);
    if (making != NULL) {
        json_object_set_new(json, "making",
                            json_pack("{s:I,s:I}", "made", (json_int_t)making->count, "of",
                                      (json_int_t)making->devices));
    }
    if (devices != NULL) {
        json_object_set_new(json, "devices", devices);
        if ((rv = view_answers(controller, id, json, err)) < 0) {
            json_decref(json);
            return rv;
        }
    }
    *out = json;
    return 0;
}
