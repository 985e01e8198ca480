/* View: builds the JSON of a rollout: its phases, notable devices, times of
 * begin and end. */
#include "server-stub/state/rollouts/view.h"

#include <string.h>

#include "base/host/digest.h"

#include "server-stub/state/controller.h"
#include "server-stub/state/rollouts/work.h"
#include "server-stub/state/sayings.h"
#include "server-stub/store/fleet.h"

/* Writes the rollout's entity tag, which changes with specification and state,
 * but not with counters. */
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

/* Rounds a value to a tenth. */
static double tenth(double value)
{
    return (double)(int64_t)(value * 10 + 0.5) / 10;
}

static json_t *view_phase(const struct flo_rollout *core, uint32_t index)
{
    const struct flo_rollout_phase *phase = &core->phases[index];
    json_t *counts = json_object();

    for (int state = 0; state < FLO_EXECUTION_COUNT; state++) {
        flo_json_put_number(counts, flo_execution_word((enum flo_execution)state),
                            phase->counts[state]);
    }
    json_t *out =
        json_pack("{s:i,s:s,s:b,s:[i,i],s:i,s:i,s:i,s:i,s:o,s:s,s:I}", "number", (int)index + 1,
                  "name", phase->name, "canary", (int)flo_rollout_is_canary(core, index), "buckets",
                  (int)phase->bucket_from, (int)phase->bucket_to, "devices", (int)phase->members,
                  "silent", (int)phase->silent, "overdue", (int)phase->overdue, "away",
                  (int)phase->away, "counts", counts, "state", flo_phase_state_word(phase->state),
                  "started_at_ms", (json_int_t)phase->started_at_ms);
    struct flo_analysis_sight sight;
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

static json_t *view_causes(const struct flo_controller *controller, const struct flo_rollout *core)
{
    struct flo_rollout_cause causes[CAUSES_SHOWN];
    size_t count = flo_rollout_causes(core, causes, CAUSES_SHOWN);
    json_t *list = json_array();

    for (size_t i = 0; i < count; i++) {
        int code = flo_error_code(causes[i].id);
        const char *device = core->members[causes[i].member].device;
        json_array_append_new(list, json_pack("{s:s,s:i,s:s,s:o,s:s,s:s}", "id", causes[i].id,
                                              "devices", (int)causes[i].devices, "device", device,
                                              "name", flo_rollouts_device_name(controller, device),
                                              "meaning", code < 0 ? flo_error_meaning(code) : "",
                                              "fix", code < 0 ? flo_error_fix(code) : ""));
    }
    return list;
}

json_t *flo_object_slices(const struct flo_rollout *core, enum flo_slice_hold as)
{
    const struct flo_analysis_state *state = &core->analysis.state;
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

/* Writes the slices that no longer get the release, the slices that wait for a
 * person, and all found slices. */
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

/* Returns the sums of bytes fetched and of full sizes, over devices that
 * reported both.  Returns NULL if no device did. */
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
            /* A neighbour cannot have sent more than all bytes, whatever a
             * device reports. */
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

/* Returns the approvals, without the tokens that were used: these are
 * confidential. */
static json_t *view_approvals(const struct flo_rollout_entry *entry)
{
    json_t *given = json_array();
    size_t i;
    json_t *one;

    json_array_foreach(entry->own->approvals, i, one)
    {
        json_t *shown = json_object();
        flo_saying_copy(shown, one, "by");
        flo_saying_copy(shown, one, "at_ms");
        json_array_append_new(given, shown);
    }
    uint32_t asked = entry->own->people_asked;
    uint32_t needed = entry->core.approvals_needed;
    return json_pack("{s:i,s:o}", "needed", (int)(asked > needed ? asked : needed), "given", given);
}

/* Adds a rollout's approvals, its start and end times, and why it waits. */
static void view_begin(const struct flo_controller *controller,
                       const struct flo_rollout_entry *entry, json_t *json)
{
    const struct flo_rollout *core = &entry->core;
    struct flo_rollout_next next;

    if (core->approvals_needed + core->approvals + entry->own->people_asked > 0) {
        json_object_set_new(json, "approvals", view_approvals(entry));
    }
    flo_json_put_number(json, "start_at_ms", core->start_at_ms);
    flo_json_put_number(json, "expires_at_ms", core->expires_at_ms);
    flo_json_put_number(json, "barred_until_ms", core->barred_until_ms);
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
    size_t overtaken;
    size_t held = flo_rollouts_holders(core, &overtaken);
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
        "causes", view_causes(controller, core), "holders", (json_int_t)held, "starts_per_s",
        core->starts_per_s, "created_at_ms", (json_int_t)core->created_at_ms, "since_at_ms",
        (json_int_t)core->since_at_ms, "etag", etag, "spec", entry->own->spec);
    if (json == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "rollout %s", core->id);
    }
    json_object_set_new(json, "overtaken", json_integer((json_int_t)overtaken));
    json_object_set_new(json, "model", json_string(entry->model));
    json_object_set_new(json, "by", json_string(entry->own->by));
    if (follower != NULL) {
        json_object_set_new(json, "followed_by", json_string(follower->core.id));
    }
    if (flo_rollouts_is_over(controller, entry)) {
        json_object_set_new(json, "over", json_true());
    }
    flo_json_put_text(json, "split_of", core->analysis.split_of);
    view_held(entry, json);
    flo_rollouts_show_scans(entry, json);
    view_begin(controller, entry, json);
    flo_rollouts_show_remaining(controller, entry, json);
    json_t *transfer = view_transfer(core);
    if (transfer != NULL) {
        json_object_set_new(json, "transfer", transfer);
    }
    if (json_array_size(entry->own->overlaps) > 0) {
        json_object_set(json, "overlaps", entry->own->overlaps);
    }
    if (entry->own->is_drafted) {
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
