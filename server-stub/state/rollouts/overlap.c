/* Overlap: handles rollouts that have a device in common.  New devices join
 * rollouts, and the newest intent for a device and model wins. */
#include <string.h>

#include "server-stub/core/orders/intent.h"
#include "server-stub/state/controller.h"
#include "server-stub/state/outgoing.h"
#include "server-stub/state/rollouts/rollouts.h"
#include "server-stub/state/rollouts/work.h"
#include "server-stub/state/text_list.h"

/* ---- joining ---- */

static int add_id(void *context, const char *id)
{
    flo_text_list_add(context, id);
    return 0;
}

/* Returns whether the rollout leaves the device out, because of its slice or
 * segment, or of a rule. */
static bool is_left_out(const struct flo_controller *controller,
                        const struct flo_rollout_entry *entry,
                        const struct flo_select_device *facts, const char *device)
{
    size_t index = flo_rollout_find(&entry->core, device);
    struct flo_rule_answer answer;

    flo_rollouts_ask(controller, entry, device, &answer);
    if (answer.hold != FLO_RULE_FREE) {
        return true;
    }

    return index != SIZE_MAX ? flo_rollout_is_excluded(&entry->core, &entry->core.members[index])
                             : facts != NULL && flo_rollouts_slices_of(entry, facts) != 0;
}

/* Tells whether a later rollout in the list brings the device another release
 * of the same model.  A later rollout that leaves the device out does not
 * count. */
static int is_overruled(struct flo_controller *controller, const struct flo_text_list *ids,
                        size_t place, const char *device, const char *model, bool *out,
                        struct flo_err *err)
{
    const struct flo_select_device *facts = flo_fleet_facts_of(controller->store, device);
    struct flo_rollout_entry *later;
    int rv = 0;

    *out = false;
    for (size_t i = place + 1; i < ids->count && rv == 0 && !*out; i++) {
        rv = flo_rollouts_find(controller, ids->items[i], &later, err);
        *out = rv == 0 && strcmp(later->model, model) == 0 &&
               !is_left_out(controller, later, facts, device);
    }
    return rv;
}

static int join_one(struct flo_controller *controller, const struct flo_text_list *ids,
                    size_t place, const char *device, struct flo_err *err)
{
    char model[FLO_NAME_MAX + 1];
    struct flo_rollout_entry *entry;
    enum flo_excuse excuse = FLO_EXCUSE_NONE;
    bool is_superseded = false;
    bool is_gone = false;
    bool is_in_group;
    uint8_t segment = 0;

    FLO_TRY(flo_rollouts_find(controller, ids->items[place], &entry, err));
    int rv = flo_rollouts_is_taken_away(controller, entry, &is_gone, err);
    if (rv == 0 && !is_gone) {
        rv = flo_rollouts_look(controller, entry, device, &excuse, &is_in_group, err);
    }
    FLO_TRY(rv);
    if (is_gone || excuse != FLO_EXCUSE_NONE) {
        return rv;
    }
    if (rv == 0) {
        snprintf(model, sizeof(model), "%s", entry->model);
        rv = is_overruled(controller, ids, place, device, model, &is_superseded, err);
    }
    /* The entry is looked up once more, because the look-up of other rollouts
     * may have removed it from memory. */
    if (rv == 0) {
        rv = flo_rollouts_find(controller, ids->items[place], &entry, err);
    }
    if (rv == 0) {
        rv = flo_rollouts_segment_late(controller, entry, device, &segment, err);
    }
    struct flo_rollout_place place_there = {0};
    const struct flo_select_device *facts =
        rv == 0 ? flo_fleet_facts_of(controller->store, device) : NULL;
    if (facts != NULL) {
        flo_rollouts_place(entry, facts, &place_there);
    }
    FLO_TRY(rv);
    return flo_rollouts_step(
        controller, entry,
        (struct flo_rollout_event){.kind = FLO_ROLLOUT_EVENT_JOINED,
                                   .device = device,
                                   .place = &place_there,
                                   .is_superseded = is_superseded,
                                   .segment = segment,
                                   .slices = flo_rollouts_slices_of(entry, facts),
                                   .bucket = flo_bucket(entry->core.id, device)},
        err);
}

/* Adds a new device to the last completed rollouts of its groups and to those
 * under way, even if they are not in memory. */
int flo_rollouts_join(struct flo_controller *controller, const char *device, struct flo_err *err)
{
    FLO_CLEANUP(flo_text_list_clear) struct flo_text_list ids = {0};

    FLO_TRY(flo_fleet_rollout_joined(controller->store, device, add_id, &ids, err));
    FLO_TRY(flo_rollouts_sort(controller, &ids, err));
    for (size_t i = 0; i < ids.count; i++) {
        FLO_TRY(join_one(controller, &ids, i, device, err));
    }
    return flo_rollouts_return(controller, &ids, device, err);
}

/* ---- the newest wins ---- */

static bool is_held(const struct flo_rollout_member *member)
{
    return !flo_execution_is_end((enum flo_execution)member->state);
}

static bool meets(const struct flo_rollout_entry *older, const struct flo_rollout_entry *newer)
{
    return older != newer && flo_intent_may_order(older->core.state) &&
           strcmp(older->model, newer->model) == 0;
}

json_t *flo_rollouts_overlaps(const struct flo_controller *controller,
                              const struct flo_rollout_entry *entry)
{
    json_t *list = json_array();
    const struct flo_rollout_entry *ended = flo_rollouts_ended_by(controller, entry);

    for (size_t i = 0; i < controller->rollouts->count; i++) {
        const struct flo_rollout_entry *older = controller->rollouts->items[i];
        json_int_t devices = 0;
        for (size_t m = 0; meets(older, entry) && m < older->core.member_count; m++) {
            const struct flo_rollout_member *member = &older->core.members[m];
            devices +=
                is_held(member) && flo_rollout_find(&entry->core, member->device) != SIZE_MAX;
        }
        bool ends = older == ended;
        if (devices > 0 || ends) {
            json_array_append_new(list,
                                  json_pack("{s:s,s:s,s:s,s:I,s:b}", "rollout", older->core.id,
                                            "release", older->core.release, "state",
                                            flo_rollout_state_word(older->core.state), "devices",
                                            devices, "ends", (int)ends));
        }
    }
    return list;
}

static int supersede_device(struct flo_controller *controller, struct flo_rollout_entry *older,
                            const char *device, const char *newer, struct flo_err *err)
{
    size_t index = flo_rollout_find(&older->core, device);

    if (index == SIZE_MAX || (!is_held(&older->core.members[index]) &&
                              !flo_rollout_member_is_left_out(&older->core.members[index]))) {
        return 0;
    }
    int rv = flo_rollouts_step(controller, older,
                               (struct flo_rollout_event){.kind = FLO_ROLLOUT_EVENT_SUPERSEDED,
                                                          .device = device,
                                                          .note = newer},
                               err);
    bool is_done = rv == 0 && older->core.members[index].state == FLO_EXECUTION_SUPERSEDED;
    return is_done ? flo_rollouts_forget_order(controller, older, device, err) : rv;
}

/* Ends a running rollout before the newer one takes its devices, because a
 * rollout without any device would count as completed. */
static int end_running(struct flo_controller *controller, struct flo_rollout_entry *running,
                       const char *newer, struct flo_err *err)
{
    char note[FLO_NAME_MAX + 64];

    snprintf(note, sizeof(note), "superseded by rollout %s", newer);
    return flo_rollouts_step(
        controller, running,
        (struct flo_rollout_event){.kind = FLO_ROLLOUT_EVENT_ABORT, .note = note}, err);
}

/* Ends the older rollout for members of the newer one that it ordered to update
 * but that have not begun.  The newer rollout's order replaces the older order,
 * so these devices would never answer that. */
static int leave_told(struct flo_controller *controller, struct flo_rollout_entry *ended,
                      const struct flo_rollout_entry *entry, struct flo_err *err)
{
    FLO_TRY(end_running(controller, ended, entry->core.id, err));
    for (size_t m = 0; m < ended->core.member_count; m++) {
        const struct flo_rollout_member *member = &ended->core.members[m];
        if (member->state == FLO_EXECUTION_NOTIFIED &&
            flo_rollout_find(&entry->core, member->device) != SIZE_MAX) {
            FLO_TRY(supersede_device(controller, ended, member->device, entry->core.id, err));
        }
    }
    return 0;
}

int flo_rollouts_supersede(struct flo_controller *controller, const struct flo_rollout_entry *entry,
                           struct flo_err *err)
{
    struct flo_rollout_entry *ended = flo_rollouts_ended_by(controller, entry);
    int rv = ended != NULL ? leave_told(controller, ended, entry, err) : 0;

    for (size_t i = 0; i < controller->rollouts->count && rv == 0; i++) {
        struct flo_rollout_entry *older = controller->rollouts->items[i];
        for (size_t m = 0; meets(older, entry) && m < entry->core.member_count && rv == 0; m++) {
            const char *device = entry->core.members[m].device;
            struct flo_rule_answer answer;
            /* A device that a rule keeps from this rollout stays with the other. */
            flo_rollouts_ask(controller, entry, device, &answer);
            rv = answer.hold != FLO_RULE_FREE
                     ? 0
                     : supersede_device(controller, older, device, entry->core.id, err);
        }
    }
    return rv;
}
