/* A gate that can never decide is refused before anything is ordered, and in a
 * plan. */
#include <stdlib.h>
#include <string.h>

#include "server-stub/core/rollout/decidable.h"
#include "server-stub/state/controller.h"
#include "server-stub/state/rollouts/inside.h"

/* The hardware class by which telemetry is compared, for each member. */
struct classes {
    const struct flo_rollout *rollout;
    char names[FLO_DECIDABLE_CLASSES_MAX][FLO_HARDWARE_TEXT];
    size_t count;
    uint8_t *of; /* of each member */
    size_t at;   /* the next member */
    const struct flo_select_device *last;
    uint8_t last_class;
};

/* More classes than fit are taken as one: the estimate stays kind. */
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
                          const struct flo_select_device *other,
                          enum flo_select_field field)
{
    const char *text = one->values[field].text;
    const char *another = other->values[field].text;

    return text == another ||
           (text != NULL && another != NULL && strcmp(text, another) == 0);
}

/* Neighbours are alike, mostly. */
static bool is_as_last(const struct classes *classes,
                       const struct flo_select_device *device)
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
    size_t index = flo_rollout_find_next(
        classes->rollout, device->values[FLO_SELECT_ID].text, &classes->at);
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

/* The same rollout with its phases divided; its members are a copy. */
struct draft {
    struct flo_rollout rollout;
    struct classes classes;
};

static void draft_free(struct draft *draft)
{
    if (draft != NULL) {
        free(draft->rollout.members);
        free(draft->classes.of);
        free(draft);
    }
}

static struct draft *draft_new(const struct flo_rollout *core)
{
    struct draft *draft = calloc(1, sizeof(*draft));

    if (draft == NULL) {
        return NULL;
    }
    draft->rollout = *core;
    draft->rollout.members =
        malloc((core->member_count + 1) * sizeof(*core->members));
    draft->classes.of = calloc(core->member_count + 1, 1);
    draft->classes.rollout = &draft->rollout;
    if (draft->rollout.members == NULL || draft->classes.of == NULL) {
        draft_free(draft);
        return NULL;
    }
    memcpy(draft->rollout.members, core->members,
           core->member_count * sizeof(*core->members));
    flo_rollout_divide(&draft->rollout);
    return draft;
}

static bool compares(const struct flo_rollout *core)
{
    return core->gate_count > 1 || core->study.rules.count > 0;
}

int flo_rollouts_check_gates(struct flo_controller *controller,
                             const struct flo_rollout_entry *entry,
                             struct flo_err *err)
{
    struct flo_rollout_lack lack;
    char what[FLO_LACK_TEXT], fix[FLO_LACK_TEXT];

    if (entry->wish.holds_for_person || !compares(&entry->core)) {
        return 0;
    }
    struct draft *draft = draft_new(&entry->core);
    if (draft == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "gates of %s", entry->core.id);
    }
    int rv = flo_fleet_facts_each(controller->store, entry->group, take_class,
                                  &draft->classes, err);
    if (rv == 0 &&
        flo_rollout_lacks(&draft->rollout, draft->classes.of, &lack)) {
        flo_rollout_lack_text(&draft->rollout, &lack, what, fix);
        flo_fail(err, FLO_E_GATE_UNDECIDABLE, "%s", what);
        rv = flo_err_fix(err, "%s", fix);
    }
    draft_free(draft);
    return rv;
}
