/* REST: groups with named members or with a selector, and changes of their
 * members. */
#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/device.h>
#include <flotilla/errors/group.h>
#include <flotilla/errors/target.h>
#include <flotilla/plural.h>

#include "server-stub/core/member/claim.h"
#include "server-stub/rest/fleet/fleet.h"
#include "server-stub/state/groups/groups.h"
#include "server-stub/state/membership/membership.h"
#include "server-stub/state/rollouts/rollouts.h"
#include "server-stub/state/rules/rules.h"
#include "server-stub/store/groups.h"

#define SELECTOR_MAX 1025 /* length of a selector by its row in types.def, plus the NUL */
#define NOTE_MAX 4097

/* ---- a group as it is shown ---- */

struct group {
    char name[FLO_NAME_MAX + 1];
    char selector[SELECTOR_MAX];
    char note[NOTE_MAX];
    uint64_t priority;
    uint64_t created_at_ms;
    bool ends;
};

static int copy_group(void *context, const struct flo_fleet_group *group)
{
    struct group *out = context;

    snprintf(out->name, sizeof(out->name), "%s", group->name);
    snprintf(out->selector, sizeof(out->selector), "%s", group->selector);
    snprintf(out->note, sizeof(out->note), "%s", group->note);
    out->priority = group->priority;
    out->created_at_ms = group->created_at_ms;
    out->ends = group->ends;
    return 0;
}

static int view(struct flo_rest_call *call, const struct group *group, json_t **out,
                struct flo_err *err)
{
    struct flo_fleet_group_count count;

    FLO_TRY(flo_fleet_group_counts(call->controller->store, group->name, &count, err));
    *out = json_pack("{s:s,s:s,s:o,s:I,s:s,s:I,s:I,s:b,s:I}", "name", group->name, "kind",
                     group->selector[0] != '\0' ? "selector" : "static", "selector",
                     group->selector[0] != '\0' ? json_string(group->selector) : json_null(),
                     "priority", (json_int_t)group->priority, "note", group->note, "devices",
                     (json_int_t)count.devices, "online", (json_int_t)count.online, "ends",
                     (int)group->ends, "created_at_ms", (json_int_t)group->created_at_ms);
    return *out != NULL ? 0 : flo_fail(err, FLO_E_MEMORY, "group");
}

/* Sets the ETag of a group.  It covers what people set, not the current
 * members. */
static void tag(struct flo_rest_call *call, const struct group *group)
{
    char text[FLO_NAME_MAX + SELECTOR_MAX + NOTE_MAX + 64];

    snprintf(text, sizeof(text), "%s\n%s\n%s\n%llu %d", group->name, group->selector, group->note,
             (unsigned long long)group->priority, (int)group->ends);
    flo_rest_etag_of(call, text);
}

static int answer(struct flo_rest_call *call, const struct group *group, struct flo_err *err)
{
    tag(call, group);
    return view(call, group, &call->out, err);
}

/* Stores the group, and answers with it. */
static int put(struct flo_rest_call *call, const struct group *group, struct flo_err *err)
{
    int rv = flo_fleet_group_put(call->controller->store,
                                 &(struct flo_fleet_group){.name = group->name,
                                                           .selector = group->selector,
                                                           .priority = group->priority,
                                                           .note = group->note,
                                                           .created_at_ms = group->created_at_ms,
                                                           .ends = group->ends},
                                 err);

    flo_groups_changed(call->controller);
    FLO_TRY(rv);
    return answer(call, group, err);
}

/* ---- what it is assigned ---- */

/* Adds the newest completed rollout of each model to the group's answer. */
static int add_assignment(void *context, const struct flo_fleet_claim *claim)
{
    json_t *list = context;
    char title[2 * FLO_NAME_MAX + 2];
    json_t *other;
    size_t i;

    if (!claim->is_completed) {
        return 0;
    }
    json_array_foreach(list, i, other)
    {
        if (strcmp(json_string_value(json_object_get(other, "model")), claim->model) == 0) {
            return 0;
        }
    }
    snprintf(title, sizeof(title), "%.64s@%.64s", claim->model, claim->version);
    json_array_append_new(list, json_pack("{s:s,s:s,s:s}", "model", claim->model, "release", title,
                                          "rollout", claim->rollout));
    return 0;
}

static int add_assignments(struct flo_rest_call *call, const char *group, struct flo_err *err)
{
    json_t *list = json_array();

    json_object_set_new(call->out, "assignments", list);
    return flo_fleet_rollout_claims(call->controller->store, group, add_assignment, list, err);
}

static int read_group(struct flo_rest_call *call, struct group *out, struct flo_err *err)
{
    return flo_fleet_group_get(call->controller->store, flo_httpd_param(call->request, "id"),
                               copy_group, out, err);
}

int flo_rest_group(struct flo_rest_call *call, struct flo_err *err)
{
    struct group group;

    FLO_TRY(read_group(call, &group, err));
    FLO_TRY(answer(call, &group, err));
    return add_assignments(call, group.name, err);
}

/* ---- all ---- */

struct list {
    struct flo_rest_page page;
    struct group *groups;
    size_t count;
    const char *after;
};

static int add_group(void *context, const struct flo_fleet_group *group)
{
    struct list *list = context;

    if (strcmp(group->name, list->after) <= 0) {
        return 0;
    }
    if (list->count == list->page.limit) {
        list->page.has_more = true;
        return 0;
    }
    return copy_group(&list->groups[list->count++], group);
}

int flo_rest_groups(struct flo_rest_call *call, struct flo_err *err)
{
    const char *after = flo_httpd_query(call->request, "cursor");
    struct list list = {
        .page = {.items = json_array(), .limit = flo_rest_number(call, "limit", 100)},
        .after = after != NULL ? after : ""};
    int rv = 0;

    list.groups = calloc((size_t)list.page.limit, sizeof(*list.groups));
    if (list.groups == NULL) {
        json_decref(list.page.items);
        return flo_fail(err, FLO_E_MEMORY, "groups");
    }
    rv = flo_fleet_group_list(call->controller->store, add_group, &list, err);
    for (size_t i = 0; i < list.count && rv == 0; i++) {
        json_t *item = NULL;
        rv = view(call, &list.groups[i], &item, err);
        json_array_append_new(list.page.items, item);
        snprintf(list.page.last, sizeof(list.page.last), "%s", list.groups[i].name);
    }
    free(list.groups);
    flo_rest_page_end(call, &list.page);
    return rv;
}

/* ---- what a selector may say ---- */

struct kinds {
    const char *name; /* name of the group that is searched in the selector */
    bool is_by_selector;
    size_t by_selector;
};

static int look_at_kind(void *context, const struct flo_fleet_group *group)
{
    struct kinds *kinds = context;
    bool is_one = group->selector[0] != '\0' || group->ends;

    kinds->by_selector += is_one ? 1 : 0;
    if (kinds->name != NULL && strcmp(group->name, kinds->name) == 0) {
        kinds->is_by_selector = is_one;
    }
    return 0;
}

/* Refuses selectors of two groups that name each other, because their members
 * would change for ever. */
static int check_names(struct flo_rest_call *call, const char *own,
                       const struct flo_selector *selector, struct flo_err *err)
{
    const char *name;
    int rv = 0;

    for (size_t i = 0;
         rv == 0 && (name = flo_selector_value(selector, FLO_SELECT_GROUP, i)) != NULL; i++) {
        struct kinds kinds = {.name = name};
        rv = flo_fleet_group_list(call->controller->store, look_at_kind, &kinds, err);
        if (rv == 0 && (kinds.is_by_selector || strcmp(name, own) == 0)) {
            flo_fail(err, FLO_E_REST_MEANING, "selector: group %.64s has a selector itself", name);
            flo_err_at(err, "/selector");
            return flo_err_fix(err, "write that selector out here");
        }
    }
    return rv;
}

static int check_selector(struct flo_rest_call *call, const char *own, const char *text,
                          struct flo_err *err)
{
    struct flo_select_known known = flo_fleet_known(call->controller->store);
    FLO_CLEANUP(flo_free_cleanup) struct flo_selector *selector = calloc(1, sizeof(*selector));

    FLO_TRY(selector == NULL ? flo_fail(err, FLO_E_MEMORY, "selector")
                             : flo_selector_parse(text, &known, selector, err));
    return check_names(call, own, selector, err);
}

/* ---- make, change, delete ---- */

static int is_free(struct flo_rest_call *call, const char *name, struct flo_err *err)
{
    struct kinds kinds = {.name = NULL};
    struct flo_err absent = {0};
    int rv = strcmp(name, "all") == 0
                 ? 0
                 : flo_fleet_group_get(call->controller->store, name, NULL, NULL, &absent);

    if (rv == 0) {
        flo_fail(err, FLO_E_STATE, "group %s is there already", name);
        return flo_err_fix(err, "flotilla group get %s", name);
    }
    if (rv != FLO_E_GROUP_ABSENT) {
        *err = absent;
        return rv;
    }
    FLO_TRY(flo_fleet_group_list(call->controller->store, look_at_kind, &kinds, err));
    return kinds.by_selector >= FLO_FLEET_GROUPS_MAX
               ? flo_fail(err, FLO_E_TARGET_LIMIT, "%zu group%s %s a selector, at most %d may",
                          kinds.by_selector, flo_s(kinds.by_selector),
                          flo_plural(kinds.by_selector, "has", "have"), FLO_FLEET_GROUPS_MAX)
               : 0;
}

static void read_in(struct flo_rest_call *call, struct group *group)
{
    const char *selector = flo_rest_text_in(call, "selector", NULL);
    const char *note = flo_rest_text_in(call, "note", NULL);

    if (selector != NULL) {
        snprintf(group->selector, sizeof(group->selector), "%s", selector);
    }
    if (note != NULL) {
        snprintf(group->note, sizeof(group->note), "%s", note);
    }
    group->priority = flo_rest_number_in(call, "priority", group->priority);
}

int flo_rest_group_add(struct flo_rest_call *call, struct flo_err *err)
{
    struct group group = {.priority = FLO_PRIORITY_STANDARD, .created_at_ms = flo_wall_ms()};

    snprintf(group.name, sizeof(group.name), "%s", flo_rest_text_in(call, "name", ""));
    read_in(call, &group);
    FLO_TRY(is_free(call, group.name, err));
    if (group.selector[0] != '\0') {
        FLO_TRY(check_selector(call, group.name, group.selector, err));
    }
    return put(call, &group, err);
}

/* Checks whether the caller may take devices out of the group.  Who makes rules
 * may do so. */
static int may_take_out(struct flo_rest_call *call, const char *group, struct flo_err *err)
{
    return flo_grants_hold(&call->grants, FLO_ACCESS_ADMIN)
               ? 0
               : flo_rules_may_take_out(call->controller, group, err);
}

/* Reads the group that the path names, and checks If-Match. */
static int read_matched(struct flo_rest_call *call, struct group *group, struct flo_err *err)
{
    FLO_TRY(read_group(call, group, err));
    tag(call, group);
    FLO_TRY(flo_rest_match(call, group->name, err));
    return group->ends
               ? flo_fail(err, FLO_E_STATE, "group %s ends: its devices leave it", group->name)
               : 0;
}

int flo_rest_group_edit(struct flo_rest_call *call, struct flo_err *err)
{
    const char *selector = flo_rest_text_in(call, "selector", NULL);
    struct group group;

    FLO_TRY(read_matched(call, &group, err));
    if (selector != NULL && group.selector[0] == '\0') {
        flo_fail(err, FLO_E_STATE, "group %s has named members: a selector would drop them",
                 group.name);
        return flo_err_fix(err, "make another group with this selector");
    }
    if (selector != NULL) {
        FLO_TRY(check_selector(call, group.name, selector, err));
        FLO_TRY(may_take_out(call, group.name, err));
    }
    read_in(call, &group);
    return put(call, &group, err);
}

/* Refuses to delete a group while a rollout may still order its devices. */
static int check_rollouts(struct flo_rest_call *call, const char *group, struct flo_err *err)
{
    const struct flo_rollouts *rollouts = call->controller->rollouts;

    for (size_t i = 0; i < flo_rollouts_count(rollouts); i++) {
        const struct flo_rollout_entry *entry = flo_rollouts_at(rollouts, i);
        if (strcmp(entry->group, group) == 0 && flo_rollout_state_is_active(entry->core.state)) {
            flo_fail(err, FLO_E_STATE, "rollout %s is under way for group %s", entry->core.id,
                     group);
            return flo_err_fix(err, "flotilla rollout abort %s, then again", entry->core.id);
        }
    }
    return 0;
}

int flo_rest_group_delete(struct flo_rest_call *call, struct flo_err *err)
{
    struct group group;

    FLO_TRY(read_matched(call, &group, err));
    FLO_TRY(check_rollouts(call, group.name, err));
    FLO_TRY(may_take_out(call, group.name, err));
    group.ends = true;
    return put(call, &group, err);
}

/* ---- members ---- */

static int take_id(void *context, const struct flo_fleet_device *device)
{
    snprintf(context, 37, "%s", device->is_retired ? "" : device->id);
    return 0;
}

static int move_one(struct flo_rest_call *call, const char *group, const char *key, bool is_member,
                    json_int_t *changed, struct flo_err *err)
{
    char id[37] = "";
    bool is_news = false;

    FLO_TRY(flo_fleet_device_get(call->controller->store, key, take_id, id, err));
    if (id[0] == '\0') {
        return flo_fail(err, FLO_E_DEVICE_ABSENT, "device %.64s is retired", key);
    }
    if (!is_member) {
        FLO_TRY(may_take_out(call, group, err));
    }
    FLO_TRY(flo_groups_member(call->controller, group, id, is_member, &is_news, err));
    *changed += is_news ? 1 : 0;
    return 0;
}

static int move_all(struct flo_rest_call *call, const char *group, const char *word,
                    json_int_t *devices, json_int_t *changed, struct flo_err *err)
{
    const json_t *keys = json_object_get(call->in, word);
    int rv = 0;

    for (size_t i = 0; i < json_array_size(keys) && rv == 0; i++) {
        rv = move_one(call, group, json_string_value(json_array_get(keys, i)),
                      strcmp(word, "add") == 0, changed, err);
        ++*devices;
    }
    return rv;
}

/* Changes a group's members.  Members are removed before others are added,
 * because a device can be in a limited number of groups. */
int flo_rest_group_members(struct flo_rest_call *call, struct flo_err *err)
{
    struct group group;
    json_int_t devices = 0;
    json_int_t changed = 0;

    FLO_TRY(read_matched(call, &group, err));
    if (group.selector[0] != '\0') {
        flo_fail(err, FLO_E_STATE, "group %s has the devices that its selector says", group.name);
        return flo_err_fix(err, "change labels, or the selector");
    }
    FLO_TRY(move_all(call, group.name, "remove", &devices, &changed, err));
    FLO_TRY(move_all(call, group.name, "add", &devices, &changed, err));
    call->out =
        json_pack("{s:s,s:I,s:I}", "group", group.name, "devices", devices, "changed", changed);
    return 0;
}
