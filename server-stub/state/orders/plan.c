/* The plan of a rollback, of a release or of a rollout: the effect of the
 * order. */
#include <stdlib.h>
#include <string.h>

#include "server-stub/core/orders/intent.h"
#include "server-stub/state/controller.h"
#include "server-stub/state/objects.h"
#include "server-stub/state/orders/inside.h"

/* Devices with one way and one target are one row. */
static json_t *target_row(json_t *targets, const char *way, const char *to)
{
    size_t i;
    json_t *row;

    json_array_foreach(targets, i, row)
    {
        if (strcmp(json_string_value(json_object_get(row, "way")), way) == 0 &&
            strcmp(json_string_value(json_object_get(row, "to")), to) == 0) {
            return row;
        }
    }
    row = json_pack("{s:s,s:s,s:i,s:i,s:i,s:i}", "way", way, "to", to,
                    "devices", 0, "online", 0, "offline", 0, "bytes_each", 0);
    json_array_append_new(targets, row);
    return row;
}

static void count_up(json_t *row, const char *name)
{
    json_t *value = json_object_get(row, name);

    json_integer_set(value, json_integer_value(value) + 1);
}

void flo_plan_target(json_t *plan, const char *way, const char *to,
                     bool is_online, uint64_t bytes)
{
    json_t *row = target_row(json_object_get(plan, "targets"), way, to);

    count_up(row, "devices");
    count_up(row, is_online ? "online" : "offline");
    json_integer_set(json_object_get(row, "bytes_each"), (json_int_t)bytes);
}

static void plan_member(json_t *plan, const struct flo_scope_member *member,
                        const struct flo_take_back *what,
                        const struct flo_take_back_pair *both)
{
    bool fetches = member->way == FLO_RETURN_DOWNLOAD;
    const char *to = what->to != NULL ? what->to : member->title;
    json_t *items = json_object_get(plan, "items");
    uint64_t bytes = fetches ? both->to.bytes : 0;

    flo_plan_target(plan, flo_return_word(member->way),
                    flo_return_is_possible(member->way) ? to : "",
                    member->is_online, bytes);
    if (json_array_size(items) < FLO_PLAN_DEVICES) {
        json_array_append_new(
            items,
            json_pack("{s:s,s:s,s:b,s:s,s:s,s:I,s:s}", "id", member->id, "name",
                      member->name, "online", (int)member->is_online, "way",
                      flo_return_word(member->way), "to",
                      flo_return_is_possible(member->way) ? to : "", "bytes",
                      (json_int_t)bytes, "reason",
                      flo_return_reason(member->way)));
    }
}

static json_t *plan_rollouts(struct flo_controller *controller,
                             const struct flo_take_back *what,
                             const char *release)
{
    json_t *ids = json_array();

    for (size_t i = 0; i < controller->rollouts.count; i++) {
        const struct flo_rollout_entry *entry = controller->rollouts.items[i];
        char digest[FLO_DIGEST_TEXT];
        flo_digest_text(&entry->release, digest);
        bool is_covered =
            what->group != NULL && (strcmp(what->group, "all") == 0 ||
                                    strcmp(what->group, entry->group) == 0);
        if (flo_intent_goes_on(entry->core.state) &&
            strcmp(digest, release) == 0 && (is_covered || what->is_yanked)) {
            json_array_append_new(ids, json_string(entry->core.id));
        }
    }
    return ids;
}

/* Devices that need a person come first: cannot, must fetch, never heard, then
 * the rest. */
static const enum flo_return plan_order[] = {
    FLO_RETURN_FIRST, FLO_RETURN_DENIED, FLO_RETURN_DOWNLOAD, FLO_RETURN_SILENT,
    FLO_RETURN_KEPT};

static json_t *plan_json(struct flo_controller *controller,
                         const struct flo_take_back *what,
                         const struct flo_take_back_pair *both,
                         const struct flo_scope_list *list)
{
    size_t offline = 0;
    size_t fetch =
        flo_scope_count(list, FLO_RETURN_DOWNLOAD, FLO_RETURN_DOWNLOAD);
    json_t *plan = json_pack(
        "{s:s,s:s,s:o,s:b,s:o,s:[],s:[]}", "op", "rollback", "release",
        what->release, "to",
        what->to != NULL ? json_string(what->to) : json_null(), "yank",
        (int)what->is_yanked, "rollouts",
        plan_rollouts(controller, what, both->from_text), "targets", "items");

    for (size_t o = 0; o < FLO_COUNT(plan_order); o++) {
        for (size_t i = 0; i < list->count; i++) {
            const struct flo_scope_member *member = &list->items[i];
            if (member->way == plan_order[o]) {
                plan_member(plan, member, what, both);
                offline +=
                    member->way != FLO_RETURN_SILENT && !member->is_online;
            }
        }
    }
    json_t *sums = json_pack(
        "{s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I}", "scope_devices",
        (json_int_t)list->count, "devices",
        (json_int_t)flo_scope_count(list, FLO_RETURN_KEPT, FLO_RETURN_DENIED),
        "kept",
        (json_int_t)flo_scope_count(list, FLO_RETURN_KEPT, FLO_RETURN_KEPT),
        "download", (json_int_t)fetch, "download_bytes",
        (json_int_t)(fetch * both->to.bytes), "cannot",
        (json_int_t)flo_scope_count(list, FLO_RETURN_FIRST, FLO_RETURN_DENIED),
        "offline", (json_int_t)offline, "silent",
        (json_int_t)flo_scope_count(list, FLO_RETURN_SILENT, FLO_RETURN_SILENT),
        "go_back",
        (json_int_t)flo_scope_count(list, FLO_RETURN_KEPT,
                                    FLO_RETURN_DOWNLOAD));
    json_object_update(plan, sums);
    json_decref(sums);
    return plan;
}

/* Devices that the rollout told nothing do not go back by it. */
static void keep_touched(const struct flo_rollout *rollout,
                         struct flo_scope_list *list)
{
    size_t kept = 0;

    for (size_t i = 0; i < list->count; i++) {
        size_t index = flo_rollout_find(rollout, list->items[i].id);
        if (index != SIZE_MAX &&
            rollout->members[index].state != FLO_EXECUTION_QUEUED) {
            list->items[kept++] = list->items[i];
        }
    }
    list->count = kept;
}

/* `rollout`: it alone goes back; NULL: the release. */
static int plan(struct flo_controller *controller,
                const struct flo_take_back *what,
                const struct flo_rollout *rollout, json_t **out,
                struct flo_err *err)
{
    struct flo_take_back_pair both = {0};
    struct flo_scope_list list = {0};
    bool is_frozen = false;
    int rv = flo_take_back_look(controller, what, &both, &list, err);

    if (rv == 0 && rollout != NULL) {
        keep_touched(rollout, &list);
    }
    if (rv == 0) {
        rv = flo_fleet_is_frozen(controller->store, &is_frozen, err);
    }
    if (rv == 0) { /* devices that must download wait for its end */
        *out = plan_json(controller, what, &both, &list);
        json_object_set_new(*out, "frozen", json_boolean(is_frozen));
        if (rollout != NULL) {
            json_object_set_new(*out, "rollouts",
                                json_pack("[s]", rollout->id));
        }
    }
    free(list.items);
    return rv;
}

int flo_orders_plan(struct flo_controller *controller,
                    const struct flo_take_back *what, json_t **out,
                    struct flo_err *err)
{
    return plan(controller, what, NULL, out, err);
}

int flo_orders_plan_rollout(struct flo_controller *controller,
                            const struct flo_rollout_entry *entry, json_t **out,
                            struct flo_err *err)
{
    const struct flo_take_back what = {.release = entry->core.release,
                                       .group = "all"};
    int rv = flo_rollout_may(&entry->core, FLO_ROLLOUT_EVENT_ROLLBACK, err);

    return rv < 0 ? rv : plan(controller, &what, &entry->core, out, err);
}
