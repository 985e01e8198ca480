/* Shown: devices of a rollout for people, chosen from its members in memory.  A
 * page shows 50 of 100,000.  They are chosen here, and only their rows are
 * read, for what the devices reported.  The first ones are those that a person
 * looks for.  Pages are sorted by ids, which never change.  So each member is
 * listed once, even if it changes while people go through the pages. */
#include <stdlib.h>
#include <string.h>

#include <flotilla/plural.h>

#include "server-stub/core/device/said.h"
#include "server-stub/core/select/first.h"
#include "server-stub/state/controller.h"
#include "server-stub/state/rollouts/rollouts.h"
#include "server-stub/state/rollouts/work.h"
#include "server-stub/state/sayings.h"

/* ---- a view ---- */

static json_t *view_of(struct flo_controller *controller, const struct flo_rollout_entry *entry,
                       const struct flo_rollout_member *member)
{
    const struct flo_rollout *core = &entry->core;
    const struct flo_select_device *facts = flo_fleet_facts_of(controller->store, member->device);
    bool stays = flo_rollout_member_stays(member);
    char why[FLO_RULE_TEXT];
    uint64_t until_at_ms;

    json_t *json = json_pack(
        "{s:s,s:o,s:b,s:i,s:s,s:b,s:b,s:b,s:b,s:b,s:i,s:I,s:n}", "id", member->device, "name",
        facts != NULL ? json_string(facts->values[FLO_SELECT_NAME].text)
                      : flo_rollouts_device_name(controller, member->device),
        "online", (int)(facts != NULL && flo_rollouts_is_online(facts)), "phase",
        member->phase < core->phase_count ? (int)member->phase + 1 : 0, "state",
        flo_execution_word((enum flo_execution)member->state), "silent",
        (int)(member->lateness == FLO_LATENESS_SILENT), "overdue",
        (int)(member->lateness == FLO_LATENESS_OVERDUE), "away", (int)member->is_away, "back",
        (int)(member->is_back && !stays), "stays", (int)stays, "attempt", (int)member->attempt,
        "since_at_ms", (json_int_t)member->since_at_ms, "error");
    if (flo_rollouts_held_why(controller, entry, member, why, &until_at_ms)) {
        json_object_set_new(json, "reason", json_string(why));
        if (until_at_ms > 0) {
            json_object_set_new(json, "until_at_ms", flo_json_u64(until_at_ms));
        }
    }
    return json;
}

static void add_said(json_t *json, const char *error_json, const char *detail_json)
{
    static const char *const own[] = {"bytes", "full_bytes", "neighbour_bytes", "codec", "took_ms"};
    json_t *said = flo_saying_parsed(error_json, json_null());

    json_object_set_new(json, "error", flo_said_view("error", said));
    json_decref(said);
    said = flo_saying_parsed(detail_json, json_object());
    json_t *detail = flo_said_view("detail", said);
    json_decref(said);
    for (size_t i = 0; i < FLO_COUNT(own); i++) {
        flo_saying_copy(json, detail, own[i]);
    }
    json_object_set_new(json, "detail", detail);
}

static int take_said(void *context, const struct flo_rollout_member *row, const char *error_json,
                     const char *detail_json)
{
    json_t *view = json_object_get(context, row->device);

    if (view != NULL) {
        add_said(view, error_json, detail_json);
    }
    return 0;
}

/* Creates the JSON of these members, in their order. */
static int show(struct flo_controller *controller, const struct flo_rollout_entry *entry,
                const struct flo_rollout_member *const *members, size_t count, json_t **out,
                struct flo_err *err)
{
    const char **devices = calloc(count + 1, sizeof(*devices));
    json_t *by_id = json_object();
    json_t *list = json_array();
    int rv = 0;

    if (devices == NULL) {
        rv = flo_fail(err, FLO_E_MEMORY, "a list of %zu device%s", count, flo_s(count));
    }
    for (size_t i = 0; i < count && rv == 0; i++) {
        json_t *one = view_of(controller, entry, members[i]);
        devices[i] = members[i]->device;
        add_said(one, "", ""); /* The empty texts are replaced when the device's row is read. */
        json_object_set(by_id, devices[i], one);
        json_array_append_new(list, one);
    }
    if (rv == 0) {
        rv = flo_fleet_member_some(controller->store, entry->core.id, devices, count, take_said,
                                   by_id, err);
    }
    if (rv == 0) {
        rv = flo_rollouts_show_why(controller, entry->core.id, list, err);
    }
    free(devices);
    json_decref(by_id);
    if (rv < 0) {
        json_decref(list);
        return rv;
    }
    *out = list;
    return 0;
}

/* ---- the first ---- */

enum rank { RANK_BAD, RANK_UNDER_WAY, RANK_OTHER, RANKS };

static enum rank rank_of(const struct flo_rollout_member *member)
{
    enum flo_execution state = (enum flo_execution)member->state;

    if (member->lateness != FLO_LATENESS_NONE ||
        flo_execution_kind(state) == FLO_EXECUTION_END_BAD) {
        return RANK_BAD;
    }
    return state == FLO_EXECUTION_QUEUED || flo_execution_is_end(state) ? RANK_OTHER
                                                                        : RANK_UNDER_WAY;
}

struct candidate {
    const struct flo_rollout_member *member;
    const char *name; /* name of the device; NULL: it is retired */
    enum rank rank;
};

/* Orders two devices by rank, and within a rank by name.  Retired devices,
 * which have no name, come last in their rank. */
static int compare(const void *a, const void *b, void *context)
{
    const struct candidate *left = a;
    const struct candidate *right = b;
    int order = (int)left->rank - (int)right->rank;
    (void)context;

    if (order == 0 && left->name != NULL && right->name != NULL) {
        order =
            flo_natural_compare(left->name, strlen(left->name), right->name, strlen(right->name));
    } else if (order == 0) {
        order = (left->name == NULL) - (right->name == NULL);
    }
    return order != 0 ? order : strcmp(left->member->device, right->member->device);
}

/* Finds the lowest ranks that together have `limit` devices, because the names
 * of devices in further ranks need not be read. */
static enum rank ranks_for(const struct flo_rollout *core, size_t limit, size_t *count)
{
    size_t counts[RANKS] = {0};
    enum rank last = RANK_BAD;

    for (size_t i = 0; i < core->member_count; i++) {
        counts[rank_of(&core->members[i])]++;
    }
    *count = counts[last];
    while (*count < limit && last + 1 < RANKS) {
        *count += counts[++last];
    }
    return last;
}

static void fill(struct flo_controller *controller, const struct flo_rollout *core, enum rank last,
                 struct candidate *out, const void **items)
{
    size_t count = 0;

    for (size_t i = 0; i < core->member_count; i++) {
        const struct flo_rollout_member *member = &core->members[i];
        enum rank rank = rank_of(member);
        if (rank <= last) {
            out[count] = (struct candidate){
                member, flo_fleet_name_of(controller->store, member->device), rank};
            items[count] = &out[count];
            count++;
        }
    }
}

int flo_rollouts_show_first(struct flo_controller *controller,
                            const struct flo_rollout_entry *entry, size_t limit, json_t **out,
                            struct flo_err *err)
{
    const struct flo_rollout *core = &entry->core;
    size_t count;
    enum rank last = ranks_for(core, limit, &count);
    size_t most = limit < count ? limit : count;
    struct candidate *candidates = calloc(count + 1, sizeof(*candidates));
    const void **items = calloc(count + 1, sizeof(*items));
    const void **first = calloc(most + 1, sizeof(*first));
    int rv = candidates == NULL || items == NULL || first == NULL
                 ? flo_fail(err, FLO_E_MEMORY, "%zu device%s", count, flo_s(count))
                 : 0;

    if (rv == 0) {
        fill(controller, core, last, candidates, items);
        most = most == 0 ? 0 : flo_select_first(items, count, most, compare, NULL, first);
        for (size_t i = 0; i < most; i++) {
            first[i] = ((const struct candidate *)first[i])->member;
        }
        rv = show(controller, entry, (const struct flo_rollout_member *const *)first, most, out,
                  err);
    }
    free(candidates);
    free(items);
    free(first);
    return rv;
}

/* ---- pages ---- */

static size_t place_behind(const struct flo_rollout *core, const char *device)
{
    size_t low = 0;
    size_t high = core->member_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(core->members[middle].device, device) <= 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static bool fits(struct flo_controller *controller, const struct flo_members_page *page,
                 const struct flo_rollout_member *member)
{
    enum flo_execution_kind kind = flo_execution_kind((enum flo_execution)member->state);
    const struct flo_select_device *facts;

    if ((page->which == FLO_MEMBERS_FAILED && rank_of(member) != RANK_BAD) ||
        (page->which == FLO_MEMBERS_NOT_DONE && kind == FLO_EXECUTION_END_GOOD)) {
        return false;
    }
    if (page->where == NULL) {
        return true;
    }
    facts = flo_fleet_facts_of(controller->store, member->device);
    return facts != NULL && flo_selector_matches(page->where, facts, flo_wall_ms());
}

int flo_rollouts_show_page(struct flo_controller *controller, const struct flo_rollout_entry *entry,
                           const struct flo_members_page *page, json_t **out, bool *has_more,
                           struct flo_err *err)
{
    const struct flo_rollout *core = &entry->core;
    const struct flo_rollout_member **found = calloc(page->limit + 1, sizeof(*found));
    size_t count = 0;

    if (found == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "a page of devices");
    }
    for (size_t i = place_behind(core, page->after); i < core->member_count && count <= page->limit;
         i++) {
        if (fits(controller, page, &core->members[i])) {
            found[count++] = &core->members[i];
        }
    }
    *has_more = count > page->limit;
    int rv = show(controller, entry, found, count - *has_more, out, err);
    free(found);
    return rv;
}
