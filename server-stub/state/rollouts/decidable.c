/* Decidable: refuses a rollout with a gate that can never decide, in a plan and
 * before anything is ordered. */
#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/gate.h>

#include "server-stub/core/rollout/decidable.h"
#include "server-stub/state/controller.h"
#include "server-stub/state/rollouts/rollouts.h"
#include "server-stub/state/rollouts/work.h"

/* Hardware classes of the members, by which telemetry is compared. */
struct classes {
    const struct flo_rollout *rollout;
    char names[FLO_DECIDABLE_CLASSES_MAX][FLO_HARDWARE_TEXT];
    size_t count;
    uint8_t *of; /* class number of each member */
    size_t at;   /* the next member */
    const struct flo_select_device *last;
    uint8_t last_class;
};

/* Returns the number of a hardware class.  Classes beyond the limit share one
 * number, so the estimate is optimistic. */
static uint8_t class_of(struct classes *classes, const char *name)
{
    for (size_t i = 0; i < classes->count; i++) {
        if (strcmp(classes->names[i], name) == 0) {
            return (uint8_t)i;
        }
    }
    if (classes->count == FLO_DECIDABLE_CLASSES_MAX) {
        return FLO_DECIDABLE_CLASSES_MAX - 1;
    }
    snprintf(classes->names[classes->count], FLO_HARDWARE_TEXT, "%s", name);
    return (uint8_t)classes->count++;
}

static bool is_said_alike(const struct flo_select_device *one,
                          const struct flo_select_device *other, enum flo_select_field field)
{
    const char *text = one->values[field].text;
    const char *another = other->values[field].text;

    return text == another || (text != NULL && another != NULL && strcmp(text, another) == 0);
}

/* Returns whether the device has the same facts as the device before it.
 * Neighbours in the list mostly do, and then share a class. */
static bool is_as_last(const struct classes *classes, const struct flo_select_device *device)
{
    const struct flo_select_device *last = classes->last;

    return last != NULL && is_said_alike(device, last, FLO_SELECT_ARCH) &&
           is_said_alike(device, last, FLO_SELECT_KERNEL) &&
           memcmp(&device->values[FLO_SELECT_MEMORY].number, /* or NAN */
                  &last->values[FLO_SELECT_MEMORY].number, sizeof(double)) == 0;
}

static int take_class(void *context, const struct flo_select_device *device)
{
    struct classes *classes = context;
    size_t index =
        flo_rollout_find_next(classes->rollout, device->values[FLO_SELECT_ID].text, &classes->at);
    char name[FLO_HARDWARE_TEXT];

    if (index != SIZE_MAX) {
        if (!is_as_last(classes, device)) {
            flo_rollouts_hardware(device, name);
            classes->last_class = class_of(classes, name);
        }
        classes->last = device;
        classes->of[index] = classes->last_class;
    }
    return 0;
}

/* Copy of the rollout's phases while they are divided in place.  They are
 * restored afterwards, because a copy of 100,000 members would take 16 MB. */
struct division {
    struct flo_rollout *rollout;
    struct flo_rollout before;
    struct kept {
        uint32_t bucket;
        uint8_t phase;
        bool is_dirty, is_fresh, is_ready;
    } * members;
};

static bool divide(struct division *division, struct flo_rollout *rollout)
{
    *division = (struct division){.rollout = rollout, .before = *rollout};
    division->members = malloc((rollout->member_count + 1) * sizeof(*division->members));
    if (division->members == NULL) {
        return false;
    }
    for (size_t i = 0; i < rollout->member_count; i++) {
        const struct flo_rollout_member *member = &rollout->members[i];
        division->members[i] = (struct kept){member->bucket, member->phase, member->is_dirty,
                                             member->is_fresh, member->is_ready};
    }
    flo_rollout_divide(rollout);
    return true;
}

static void undo(struct division *division)
{
    *division->rollout = division->before;
    for (size_t i = 0; i < division->before.member_count; i++) {
        struct flo_rollout_member *member = &division->rollout->members[i];
        const struct kept *kept = &division->members[i];
        member->bucket = kept->bucket;
        member->phase = kept->phase;
        member->is_dirty = kept->is_dirty;
        member->is_fresh = kept->is_fresh;
        member->is_ready = kept->is_ready;
    }
    free(division->members);
}

static bool compares(const struct flo_rollout *core)
{
    return core->gate_count > 1 || core->analysis.rules.count > 0;
}

int flo_rollouts_check_gates(struct flo_controller *controller, struct flo_rollout_entry *entry,
                             struct flo_err *err)
{
    struct flo_rollout *core = &entry->core;
    struct classes classes = {.rollout = core};
    struct flo_rollout_lack lack;
    struct division division;
    char what[FLO_LACK_TEXT], fix[FLO_LACK_TEXT];

    if (entry->spec.holds_for_person || !compares(core)) {
        return 0;
    }
    classes.of = calloc(core->member_count + 1, 1);
    if (classes.of == NULL || !divide(&division, core)) {
        free(classes.of);
        return flo_fail(err, FLO_E_MEMORY, "gates of %s", core->id);
    }
    int rv = flo_fleet_facts_each(controller->store, entry->group, take_class, &classes, err);
    if (rv == 0 && flo_rollout_lacks(core, classes.of, &lack)) {
        flo_rollout_lack_text(core, &lack, what, fix);
        flo_fail(err, FLO_E_GATE_UNDECIDABLE, "%s", what);
        rv = flo_err_fix(err, "%s", fix);
    }
    undo(&division);
    free(classes.of);
    return rv;
}
