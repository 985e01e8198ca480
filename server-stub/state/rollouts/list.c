/* List: keeps rollouts in memory, sorted by age.  An ended rollout is evicted
 * when there is no room. */
#include <stdlib.h>
#include <string.h>

#include "server-stub/core/orders/intent.h"
#include "server-stub/state/controller.h"
#include "server-stub/state/rollouts/rollouts.h"
#include "server-stub/state/rollouts/updates.h"
#include "server-stub/state/rollouts/work.h"
#include "server-stub/state/rules/rules.h"
#include "server-stub/state/text_list.h"

#define DRAFTED_MAX 8

bool flo_rollouts_is_online(const struct flo_select_device *device)
{
    return strcmp(device->values[FLO_SELECT_STATE].text, "online") == 0;
}

void flo_rollouts_entry_free(struct flo_rollout_entry *entry)
{
    if (entry != NULL) {
        free(entry->core.members);
        flo_rollouts_places_clear(entry);
        flo_rollouts_labels_free(entry->own->labels);
        free(entry->own->others);
        flo_text_list_clear(&entry->own->above);
        flo_text_list_clear(&entry->own->above_by);
        json_decref(entry->own->spec);
        json_decref(entry->own->overlaps);
        json_decref(entry->own->slices);
        json_decref(entry->own->approvals);
        json_decref(entry->own->evidence);
        flo_buf_deinit(&entry->own->trace);
        free(entry);
    }
}

/* Adds a release to the list of at most FLO_EVIDENCE_RELEASES_MAX.  Releases
 * come sorted by number, and the newest are kept. */
static int keep_release(void *context, const struct flo_fleet_release *release)
{
    const struct flo_rollout_entry *entry = context;
    struct flo_rollout_own *own = entry->own;
    struct flo_digest digest;

    if (strcmp(release->model, entry->model) == 0 && flo_digest_parse(release->digest, &digest) &&
        !flo_digest_equal(&digest, &entry->release)) {
        own->others[own->other_count++ % FLO_EVIDENCE_RELEASES_MAX] = digest;
    }
    return 0;
}

int flo_rollouts_others(struct flo_controller *controller, struct flo_rollout_entry *entry,
                        struct flo_digest *out, size_t *count, struct flo_err *err)
{
    struct flo_rollout_own *own = entry->own;

    if (own->others == NULL) {
        own->other_count = 0;
        own->others = calloc(FLO_EVIDENCE_RELEASES_MAX, sizeof(*own->others));
        int rv = own->others == NULL
                     ? flo_fail(err, FLO_E_MEMORY, "releases of %s", entry->model)
                     : flo_fleet_release_list(controller->store, keep_release, entry, err);
        if (rv < 0) {
            free(own->others);
            own->others = NULL;
            return rv;
        }
    }
    *count =
        own->other_count < FLO_EVIDENCE_RELEASES_MAX ? own->other_count : FLO_EVIDENCE_RELEASES_MAX;
    memcpy(out, own->others, *count * sizeof(*out));
    return 0;
}

void flo_rollouts_release_added(struct flo_controller *controller, const char *model)
{
    for (size_t i = 0; i < controller->rollouts->count; i++) {
        struct flo_rollout_entry *entry = controller->rollouts->items[i];
        if (strcmp(entry->model, model) == 0) {
            free(entry->own->others);
            entry->own->others = NULL;
        }
    }
}

struct flo_rollouts *flo_rollouts_new(void)
{
    return calloc(1, sizeof(struct flo_rollouts));
}

static void forget(struct flo_rollouts *rollouts)
{
    for (size_t i = 0; i < rollouts->count; i++) {
        flo_rollouts_entry_free(rollouts->items[i]);
    }
    rollouts->count = 0;
}

void flo_rollouts_free(struct flo_rollouts *rollouts)
{
    if (rollouts != NULL) {
        forget(rollouts);
    }
    free(rollouts);
}

void flo_rollouts_forget(struct flo_controller *controller)
{
    forget(controller->rollouts);
}

size_t flo_rollouts_count(const struct flo_rollouts *rollouts)
{
    return rollouts->count;
}

struct flo_rollout_entry *flo_rollouts_at(const struct flo_rollouts *rollouts, size_t place)
{
    return rollouts->items[place];
}

const struct flo_update_counts *flo_rollouts_updates(const struct flo_rollouts *rollouts)
{
    return &rollouts->updates;
}

void flo_rollouts_say(struct flo_rollouts *rollouts, const char *device, const char *error,
                      const char *detail)
{
    rollouts->said = (struct flo_said){device, error, detail};
}

bool flo_rollouts_unsay(struct flo_rollouts *rollouts)
{
    bool is_left = rollouts->said.device != NULL;

    rollouts->said = (struct flo_said){0};
    return is_left;
}

bool flo_rollouts_begin_evidence(struct flo_rollouts *rollouts, uint64_t now_ms, uint64_t pause_ms)
{
    if (now_ms < rollouts->evidence_at_ms || rollouts->evidence_asked > 0) {
        return false;
    }
    rollouts->evidence_at_ms = now_ms + pause_ms;
    return true;
}

void flo_rollouts_count_evidence(struct flo_rollouts *rollouts, int change)
{
    rollouts->evidence_asked = (size_t)((long)rollouts->evidence_asked + change);
}

static int reserve(struct flo_rollout_entry *entry, size_t capacity, struct flo_err *err)
{
    struct flo_rollout *core = &entry->core;
    struct flo_rollout_member *members = realloc(core->members, capacity * sizeof(*members));

    if (members == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "%zu devices in a rollout", capacity);
    }
    core->members = members;
    core->member_capacity = capacity;
    return 0;
}

int flo_rollouts_reserve(struct flo_controller *controller, struct flo_rollout_entry *entry,
                         struct flo_err *err)
{
    size_t seen = flo_fleet_devices_seen(controller->store);
    bool is_for_all = strcmp(entry->group, "all") == 0;

    return is_for_all && seen <= FLO_ROLLOUT_MEMBERS_MAX
               ? reserve(entry, seen + seen / 16 + 64, err)
               : 0;
}

int flo_rollouts_grow(struct flo_rollout_entry *entry, struct flo_err *err)
{
    const struct flo_rollout *core = &entry->core;

    if (core->member_count < core->member_capacity) {
        return 0;
    }
    size_t capacity = core->member_capacity == 0 ? 64 : core->member_capacity * 2;
    if (capacity > 2 * FLO_ROLLOUT_MEMBERS_MAX) {
        return flo_fail(err, FLO_E_REST_LIMIT, "more than %d devices", FLO_ROLLOUT_MEMBERS_MAX);
    }
    return reserve(entry, capacity, err);
}

static size_t count_active(const struct flo_controller *controller)
{
    size_t count = 0;

    for (size_t i = 0; i < controller->rollouts->count; i++) {
        count += flo_rollout_state_is_active(controller->rollouts->items[i]->core.state);
    }
    return count;
}

/* Counts the rollouts whose rows are not all made; their number is limited. */
static size_t count_drafted(const struct flo_controller *controller)
{
    size_t count = 0;

    for (size_t i = 0; i < controller->rollouts->count; i++) {
        count += controller->rollouts->items[i]->own->is_drafted;
    }
    return count;
}

int flo_rollouts_check_drafted(const struct flo_controller *controller, struct flo_err *err)
{
    if (count_drafted(controller) < DRAFTED_MAX) {
        return 0;
    }
    flo_fail(err, FLO_E_REST_LIMIT, "the members of %d rollouts are being stored already",
             DRAFTED_MAX);
    return flo_err_fix(err, "ask again in some seconds");
}

int flo_rollouts_check_room(const struct flo_controller *controller, size_t max,
                            struct flo_err *err)
{
    if (count_active(controller) < max) {
        return 0;
    }
    flo_fail(err, FLO_E_REST_LIMIT, "%zu rollouts are under way already", max);
    flo_err_fix(err, "wait until one ends, or abort one");
    return FLO_E_REST_LIMIT;
}

/* Evicts the ended rollout that was used least recently.  Returns false if all
 * rollouts are still under way. */
static bool make_room(struct flo_controller *controller)
{
    size_t found = controller->rollouts->count;

    for (size_t i = 0; i < controller->rollouts->count; i++) {
        const struct flo_rollout_entry *entry = controller->rollouts->items[i];
        if (!flo_rollout_state_is_active(entry->core.state) && !entry->own->is_unwritten &&
            !entry->own->is_drafted &&
            (found == controller->rollouts->count ||
             entry->own->used < controller->rollouts->items[found]->own->used)) {
            found = i;
        }
    }
    if (found == controller->rollouts->count) {
        return false;
    }
    flo_rollouts_entry_free(controller->rollouts->items[found]);
    controller->rollouts->count--;
    memmove(&controller->rollouts->items[found], &controller->rollouts->items[found + 1],
            (controller->rollouts->count - found) * sizeof(controller->rollouts->items[0]));
    return true;
}

/* Adds an entry to the rollouts in memory, which are sorted by age.  The entry
 * may be one that was read again.  The function takes the entry. */
int flo_rollouts_keep(struct flo_controller *controller, struct flo_rollout_entry *entry,
                      struct flo_err *err)
{
    if (controller->rollouts->count == FLO_ROLLOUTS_MAX && !make_room(controller)) {
        flo_rollouts_entry_free(entry);
        return flo_fail(err, FLO_E_REST_LIMIT, "%d rollouts are under way", FLO_ROLLOUTS_MAX);
    }
    entry->own->used = ++controller->rollouts->uses;
    size_t place = controller->rollouts->count++;
    for (; place > 0 &&
           flo_intent_is_older(entry->core.id, controller->rollouts->items[place - 1]->core.id);
         place--) {
        controller->rollouts->items[place] = controller->rollouts->items[place - 1];
    }
    controller->rollouts->items[place] = entry;
    return 0;
}

bool flo_rollouts_any_active(const struct flo_controller *controller)
{
    bool is_any = count_active(controller) > 0 || flo_rules_have_freed(controller->rules);

    for (size_t i = 0; i < controller->rollouts->count && !is_any; i++) {
        const struct flo_rollout_entry *entry = controller->rollouts->items[i];
        is_any =
            entry->core.state == FLO_ROLLOUT_COMPLETED && !flo_rollouts_obeys(controller, entry);
    }
    return is_any;
}
