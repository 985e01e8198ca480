/* Rules: finds the groups whose selectors match a device, and the priorities of
 * groups. */
#include <stdlib.h>
#include <string.h>

#include "server-stub/core/member/claim.h"
#include "server-stub/state/controller.h"
#include "server-stub/state/groups/groups.h"
#include "server-stub/state/text_list.h"
#include "server-stub/store/fleet.h"
#include "server-stub/store/seals.h"

/* interval at which devices are evaluated again, because some facts change with
 * time */
#define SWEEP_MS 60000

struct flo_group_rule {
    char name[FLO_NAME_MAX + 1];
    /* selector of the group; NULL: the group has no selector, is empty, and is
     * to be deleted */
    struct flo_selector *selector;
};
struct flo_groups {
    struct flo_group_rule *rules;
    size_t rule_count;
    struct flo_group_rank *ranks;
    size_t rank_count, rank_room;
    bool is_read;         /* the rules in memory are those of the store */
    bool is_moving;       /* some selector uses facts that change with time */
    bool ends;            /* some group is to be deleted when it is empty */
    uint64_t sweep_at_ms; /* time at which all devices are evaluated again */
};

struct flo_groups *flo_groups_new(void)
{
    return calloc(1, sizeof(struct flo_groups));
}

static void forget(struct flo_groups *groups)
{
    for (size_t i = 0; i < groups->rule_count; i++) {
        free(groups->rules[i].selector);
    }
    free(groups->rules);
    free(groups->ranks);
    *groups = (struct flo_groups){.rules = NULL};
}

void flo_groups_free(struct flo_groups *groups)
{
    if (groups != NULL) {
        forget(groups);
    }
    free(groups);
}

void flo_groups_changed(struct flo_controller *controller)
{
    controller->groups->is_read = false;
    flo_fleet_changed_all(controller->store);
}

const struct flo_group_rank *flo_groups_rank_at(const struct flo_groups *groups, size_t place)
{
    return place < groups->rank_count ? &groups->ranks[place] : NULL;
}

bool flo_groups_any_ends(const struct flo_groups *groups)
{
    return groups->ends;
}

void flo_groups_sweep(struct flo_controller *controller, uint64_t now_ms)
{
    struct flo_groups *groups = controller->groups;

    if (groups->is_moving && now_ms >= groups->sweep_at_ms) {
        groups->sweep_at_ms = now_ms + SWEEP_MS;
        flo_fleet_changed_all(controller->store);
    }
}

/* ---- reading ---- */

struct reading {
    struct flo_groups *groups;
    struct flo_err *err;
};

/* Parses a selector.  A group whose selector is no longer valid keeps its
 * members. */
static bool parse_rule(struct flo_groups *groups, const char *text, struct flo_group_rule *rule)
{
    struct flo_err err = {0};

    if (flo_selector_parse(text, NULL, rule->selector, &err) < 0) {
        flo_wrap(&err, err.code, "group %s", rule->name);
        flo_log_err(FLO_LOG_ERROR, "group", &err);
        free(rule->selector);
        return false;
    }
    groups->is_moving = groups->is_moving || flo_selector_moving(rule->selector) != NULL;
    return true;
}

static int read_rank(struct flo_groups *groups, const struct flo_fleet_group *group,
                     struct flo_err *err)
{
    if (group->priority == FLO_PRIORITY_STANDARD || group->ends) {
        return 0;
    }
    if (!flo_grow(&groups->ranks, &groups->rank_room, groups->rank_count, sizeof(*groups->ranks))) {
        return flo_fail(err, FLO_E_MEMORY, "groups");
    }
    struct flo_group_rank *rank = &groups->ranks[groups->rank_count++];
    *rank = (struct flo_group_rank){.priority = group->priority};
    snprintf(rank->name, sizeof(rank->name), "%s", group->name);
    return 0;
}

int flo_groups_priority(struct flo_controller *controller, const char *group, uint64_t *out,
                        struct flo_err *err)
{
    const struct flo_groups *groups = controller->groups;
    int rv = flo_groups_read(controller, err);

    *out = FLO_PRIORITY_STANDARD;
    for (size_t i = 0; rv == 0 && i < groups->rank_count; i++) {
        if (strcmp(groups->ranks[i].name, group) == 0) {
            *out = groups->ranks[i].priority;
        }
    }
    return rv;
}

/* Reads a group's rule from its row.  A label that the stored selector names
 * may be gone by now. */
static int read_rule(void *context, const struct flo_fleet_group *group)
{
    struct reading *reading = context;
    struct flo_groups *groups = reading->groups;
    struct flo_group_rule *rule = &groups->rules[groups->rule_count];

    FLO_TRY(read_rank(groups, group, reading->err));
    if ((group->selector[0] == '\0' && !group->ends) ||
        groups->rule_count == FLO_FLEET_GROUPS_MAX) {
        return 0;
    }
    *rule = (struct flo_group_rule){.selector = NULL};
    snprintf(rule->name, sizeof(rule->name), "%s", group->name);
    groups->ends = groups->ends || group->ends;
    if (group->ends) {
        groups->rule_count++;
        return 0;
    }
    rule->selector = calloc(1, sizeof(*rule->selector));
    if (rule->selector == NULL) {
        return flo_fail(reading->err, FLO_E_MEMORY, "group %s", group->name);
    }
    groups->rule_count += parse_rule(groups, group->selector, rule);
    return 0;
}

int flo_groups_read(struct flo_controller *controller, struct flo_err *err)
{
    struct flo_groups *groups = controller->groups;
    struct reading reading = {groups, err};

    if (groups->is_read) {
        return 0;
    }
    forget(groups);
    groups->rules = calloc(FLO_FLEET_GROUPS_MAX, sizeof(*groups->rules));
    if (groups->rules == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "groups");
    }
    int rv = flo_fleet_group_list(controller->store, read_rule, &reading, err);
    groups->is_read = rv == 0;
    return rv;
}

int flo_groups_of_labels(struct flo_controller *controller, const json_t *labels,
                         flo_group_of_label_fn fn, void *context, struct flo_err *err)
{
    const char *key;
    json_t *value;
    int rv = flo_groups_read(controller, err);

    json_object_foreach((json_t *)(uintptr_t)labels, key, value)
    {
        for (size_t i = 0; rv == 0 && i < controller->groups->rule_count; i++) {
            const struct flo_group_rule *rule = &controller->groups->rules[i];
            if (rule->selector != NULL && flo_selector_reads_label(rule->selector, key)) {
                rv = fn(context, rule->name, key, err);
            }
        }
    }
    return rv;
}

static bool is_member(const struct flo_select_device *device, const char *group)
{
    const char *const *name = device->values[FLO_SELECT_GROUP].list;

    for (; name != NULL && *name != NULL; name++) {
        if (strcmp(*name, group) == 0) {
            return true;
        }
    }
    return false;
}

/* Finds all changes of the device's groups before any is made, because a change
 * alters the facts that selectors read. */
size_t flo_groups_find(struct flo_controller *controller, const char *device,
                       struct flo_group_change *out)
{
    const struct flo_groups *groups = controller->groups;
    const struct flo_select_device *facts = flo_fleet_facts_of(controller->store, device);
    uint64_t now_ms = flo_wall_ms();
    size_t count = 0;

    /* While rows are in doubt no device leaves the group of a rule. */
    if (flo_fleet_doubts_rules(controller->store)) {
        return 0;
    }
    for (size_t i = 0; facts != NULL && i < groups->rule_count; i++) {
        const struct flo_group_rule *rule = &groups->rules[i];
        bool fits = rule->selector != NULL && flo_selector_matches(rule->selector, facts, now_ms);
        if (fits != is_member(facts, rule->name)) {
            out[count++] = (struct flo_group_change){rule->name, fits};
        }
    }
    return count;
}

/* ---- groups that end ---- */

struct ended {
    struct flo_text_list names;
};

static int add_ended(void *context, const struct flo_fleet_group *group)
{
    struct ended *ended = context;

    if (group->ends) {
        flo_text_list_add(&ended->names, group->name);
    }
    return 0;
}

int flo_groups_delete_ended(struct flo_controller *controller, struct flo_err *err)
{
    struct ended ended = {0};
    int rv = flo_fleet_group_list(controller->store, add_ended, &ended, err);

    for (size_t i = 0; i < ended.names.count && rv == 0; i++) {
        struct flo_fleet_group_count count;
        rv = flo_fleet_group_counts(controller->store, ended.names.items[i], &count, err);
        if (rv == 0 && count.devices == 0) {
            rv = flo_fleet_group_delete(controller->store, ended.names.items[i], err);
            controller->groups->is_read = false;
        }
    }
    flo_text_list_clear(&ended.names);
    return rv;
}
