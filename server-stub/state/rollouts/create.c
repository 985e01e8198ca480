/* Create: makes a rollout.  It finds the members, checks whether the rollout
 * may start, and finds older rollouts with the same devices. */
#include <string.h>

#include <flotilla/errors/group.h>
#include <flotilla/errors/order.h>
#include <flotilla/errors/target.h>
#include <flotilla/fit.h>
#include <flotilla/plural.h>

#include "server-stub/core/orders/intent.h"
#include "server-stub/state/controller.h"
#include "server-stub/state/rollouts/rollouts.h"
#include "server-stub/state/rollouts/work.h"

struct join {
    struct flo_controller *controller;
    struct flo_rollout_entry *entry;
    uint64_t now_ms;
    struct flo_err *err;
};

static int join_row(void *context, const struct flo_select_device *device)
{
    struct join *join = context;
    enum flo_excuse excuse = flo_rollouts_excuse(join->controller, join->entry, device);
    struct flo_rollout_actions actions;
    struct flo_rollout_place place;
    struct flo_rollout_event event = {
        .kind = FLO_ROLLOUT_EVENT_JOINED,
        .now_ms = join->now_ms,
        .device = device->values[FLO_SELECT_ID].text,
        .is_online = flo_rollouts_is_online(device),
        .place = &place,
        .bucket = flo_bucket(join->entry->core.id, device->values[FLO_SELECT_ID].text)};

    if (excuse != FLO_EXCUSE_NONE) {
        join->entry->own->excused[excuse]++;
        return 0;
    }
    int rv = flo_rollouts_grow(join->entry, join->err);
    flo_rollouts_place(join->entry, device, &place);
    FLO_TRY(rv);
    return flo_rollout_step(&join->entry->core, &event, &actions, join->err);
}

struct full {
    const struct flo_rollout_entry *entry;
    size_t devices;
    char first[37];
};

static int count_full(void *context, const char *device)
{
    struct full *full = context;

    if (flo_rollout_find(&full->entry->core, device) != SIZE_MAX && full->devices++ == 0) {
        snprintf(full->first, sizeof(full->first), "%s", device);
    }
    return 0;
}

/* Checks that the device's desired document has room for one more model,
 * because a document names a limited number of them. */
static int has_room(struct flo_controller *controller, const struct flo_rollout_entry *entry,
                    struct flo_err *err)
{
    struct full full = {.entry = entry};

    FLO_TRY(flo_fleet_desired_full(controller->store, entry->model, FLO_ASSIGNMENTS_MAX, count_full,
                                   &full, err));
    if (full.devices == 0) {
        return 0;
    }
    flo_fail(err, FLO_E_TARGET_LIMIT, "%zu device%s (%s first) %s orders about %d other models",
             full.devices, flo_s(full.devices), full.first, flo_plural(full.devices, "has", "have"),
             FLO_ASSIGNMENTS_MAX);
    return flo_err_fix(err, "flotilla model remove MODEL, or leave them out of "
                            "the group");
}

bool flo_rollouts_begins_now(const struct flo_rollout_entry *entry)
{
    return entry->core.approvals_needed == 0 && entry->core.start_at_ms <= flo_wall_ms();
}

static int start(struct flo_controller *controller, struct flo_rollout_entry *entry,
                 struct flo_err *err)
{
    const char *reason = entry->spec.reason;
    char note[FLO_ROLLOUT_REASON];
    int rv = flo_rollouts_put(controller, entry, err);

    flo_text_fitf(note, sizeof(note), "%s%s%s", entry->own->by, reason[0] != '\0' ? ", " : "",
                  reason);
    if (rv == 0 && flo_rollouts_begins_now(entry)) {
        rv = flo_rollouts_supersede(controller, entry, err);
    }
    FLO_TRY(rv);
    return flo_rollouts_step(
        controller, entry,
        (struct flo_rollout_event){.kind = FLO_ROLLOUT_EVENT_START, .note = note}, err);
}

/* Checks that the rollout has at least one member.  The plan tells why devices
 * are left out. */
static int check_somebody(const struct flo_rollout_entry *entry, bool dry, struct flo_err *err)
{
    char reasons[160] = "";
    size_t chars = 0;
    int last = FLO_EXCUSE_NONE;

    if (entry->core.member_count > 0) {
        return 0;
    }
    for (int i = FLO_EXCUSE_NONE + 1; i < FLO_EXCUSE_COUNT; i++) {
        if (entry->own->excused[i] > 0) {
            chars += (size_t)snprintf(reasons + chars, sizeof(reasons) - chars, "%s%u %s",
                                      chars > 0 ? ", " : "", entry->own->excused[i],
                                      flo_excuse_word((enum flo_excuse)i));
            last = i;
        }
    }
    if (last == FLO_EXCUSE_NONE) {
        return flo_fail(err, FLO_E_GROUP_ABSENT, "no device is in group %s", entry->group);
    }
    if (dry) {
        return 0;
    }
    flo_fail(err, FLO_E_ORDER_NOBODY, "no device of group %s can be a member: %s", entry->group,
             reasons);
    return flo_err_fix(err, "%s", flo_excuse_fix((enum flo_excuse)last));
}

/* Checks that some member has a value of the cover's label, because without one
 * the cover cannot order the members. */
static int check_cover(const struct flo_rollout_entry *entry, struct flo_err *err)
{
    const struct flo_rollout *core = &entry->core;

    for (size_t i = 0; i < core->member_count; i++) {
        if (core->members[i].place.stratum != 0) {
            return 0;
        }
    }
    if (entry->spec.cover[0] == '\0' || core->member_count == 0) {
        return 0;
    }
    flo_fail(err, FLO_E_REST_MEANING, "cover: no member has the label `%s`", entry->spec.cover);
    return flo_err_fix(err, "correct the label, or give it to the devices");
}

/* Time in which people may approve a new rollout.  Without enough approvals it
 * expires then. */
#define APPROVAL_MS (UINT64_C(7) * 24 * 3600 * 1000)

static int settle_people(struct flo_controller *controller, struct flo_rollout_entry *entry,
                         struct flo_err *err)
{
    uint64_t wall_ms = flo_wall_ms();
    struct flo_rollout *core = &entry->core;
    int rv = flo_rollouts_people_needed(controller, entry, &core->approvals_needed, err);

    if (rv == 0 && core->approvals_needed > 0) {
        core->approve_by_ms = wall_ms + APPROVAL_MS;
    }
    if (rv == 0 && core->expires_at_ms > 0 && core->expires_at_ms <= wall_ms) {
        return flo_fail(err, FLO_E_REST_MEANING, "expires_at: that time has passed");
    }
    return rv;
}

static int may_be_made(struct flo_controller *controller, struct flo_rollout_entry *entry, bool dry,
                       struct flo_err *err)
{
    uint64_t until_ms;

    FLO_TRY(settle_people(controller, entry, err));
    if (!flo_rollouts_begins_now(entry)) {
        return 0;
    }
    if (!dry) {
        FLO_TRY(flo_rollouts_may_go_on(controller, err));
    }
    FLO_TRY(flo_rollouts_may_start(controller, entry, err));
    return dry ? 0 : flo_rollouts_check_bars(controller, entry, &until_ms, err);
}

/* Names a new rollout, finds its members, and checks it with them. */
static int fill(struct flo_controller *controller, struct flo_rollout_entry *entry, bool dry,
                struct flo_err *err)
{
    struct join join = {.controller = controller, .entry = entry, .err = err};
    uint64_t number;

    FLO_TRY(flo_rollouts_settle_lift(controller, entry, err));
    FLO_TRY(flo_fleet_order_removal(controller->store, entry->model, entry->group,
                                    &entry->own->removal, err));
    FLO_TRY(flo_fleet_next(controller->store, "rollout", &number, err));
    snprintf(entry->core.id, sizeof(entry->core.id), "r-%04llu", (unsigned long long)number);
    entry->core.created_at_ms = join.now_ms = flo_controller_now_ms(controller);
    FLO_TRY(flo_rollouts_look_above(controller, entry, err));
    FLO_TRY(flo_rollouts_reserve(controller, entry, err));
    FLO_TRY(flo_fleet_facts_each(controller->store, entry->group, join_row, &join, err));
    FLO_TRY(flo_spec_check_sense(&entry->spec, err));
    FLO_TRY(check_somebody(entry, dry, err));
    FLO_TRY(check_cover(entry, err));
    FLO_TRY(may_be_made(controller, entry, dry, err));
    FLO_TRY(flo_rollouts_settle(controller, entry, err));
    FLO_TRY(has_room(controller, entry, err));
    if (dry) {
        return 0;
    }
    FLO_TRY(flo_rollouts_check_gates(controller, entry, err));
    return flo_rollouts_check_drafted(controller, err);
}

int flo_rollouts_create(struct flo_controller *controller, json_t *spec, const struct flo_actor *by,
                        bool dry, struct flo_rollout_entry **out, struct flo_err *err)
{
    struct flo_rollout_entry *entry;
    json_t *copy = json_deep_copy(spec);
    int rv = flo_rollouts_read_spec(controller, copy, &entry, err);

    if (rv < 0) {
        json_decref(copy);
        return rv;
    }
    snprintf(entry->own->by, sizeof(entry->own->by), "%s", by->name);
    snprintf(entry->own->account, sizeof(entry->own->account), "%s", by->account);
    rv = fill(controller, entry, dry, err);
    if (rv < 0) {
        flo_rollouts_entry_free(entry);
        return rv;
    }
    *out = entry;
    entry->own->overlaps = flo_rollouts_overlaps(controller, entry);
    if (dry) {
        flo_rollout_divide(&entry->core);
        return 0; /* A plan is not stored.  The caller frees the entry and rolls back. */
    }
    controller->rollouts->has_changed = true;
    FLO_TRY(flo_rollouts_keep(controller, entry, err));
    return start(controller, entry, err);
}
