/* Segments: groups members by hardware class and variant, which are fixed at
 * the start.  Only members of one segment are compared. */
#include <stdlib.h>
#include <string.h>

#include "server-stub/state/controller.h"
#include "server-stub/state/fit/fit.h"
#include "server-stub/state/rollouts/work.h"

#define MEMBERS_MIN 20 /* smallest number of members in a segment; smaller ones are merged */
#define DRAFTS_MAX 255
#define OTHER "other"

struct draft {
    char name[FLO_SEGMENT_TEXT];
    uint32_t members;
    uint8_t becomes;
};
struct segmenting {
    struct flo_rollout_entry *entry;
    struct flo_release *release; /* the rollout's release; NULL: it has a single variant */
    struct flo_fleet_store *store;
    struct flo_err *err;
    struct draft drafts[DRAFTS_MAX];
    size_t count;
    size_t at; /* the next member */
};

/* ---- the name of a device's segment ---- */

static const struct flo_release *find_release(void *context, const struct flo_digest *digest)
{
    const struct segmenting *all = context;

    return flo_digest_equal(digest, &all->entry->release) ? all->release : NULL;
}

/* Lookup of a device's variant.  Only for a release with several variants is
 * the device's report read. */
struct variant_of {
    struct segmenting *all;
    char *out;
};

static int take_variant(void *context, const struct flo_fleet_device *device)
{
    const struct variant_of *of = context;
    struct flo_forecast_order order = {.release = of->all->release,
                                       .digest = of->all->entry->release,
                                       .below_floor = true,
                                       .lifts = true};
    struct flo_forecast one = {0};
    json_t *reported = NULL;

    if (device->reported[0] == '\0' ||
        flo_json_parse(device->reported, strlen(device->reported), 1 << 20, &reported, NULL) < 0) {
        return 0;
    }
    flo_forecast_device(reported, &order, find_release, of->all, &one);
    json_decref(reported);
    snprintf(of->out, FLO_NAME_MAX + 1, "%s", one.variant);
    return 0;
}

void flo_rollouts_hardware(const struct flo_select_device *device, char *out)
{
    const union flo_select_value *values = device->values;

    flo_hardware_class_of(values[FLO_SELECT_ARCH].text, values[FLO_SELECT_KERNEL].text,
                          values[FLO_SELECT_MEMORY].number, out);
}

static void copy(char *out, const char *text, size_t chars_max)
{
    size_t chars = strnlen(text, chars_max);

    memcpy(out, text, chars);
    out[chars] = '\0';
}

static void hardware_of(const struct flo_select_device *device, char *out)
{
    const char *label = flo_select_label_value(device, "hw");

    if (label[0] != '\0') {
        copy(out, label, 60);
    } else {
        flo_rollouts_hardware(device, out);
    }
}

static int name_of(struct segmenting *all, const struct flo_select_device *device, char *out)
{
    char hardware[FLO_HARDWARE_TEXT];
    char variant[FLO_NAME_MAX + 1] = "";
    struct variant_of of = {all, variant};
    int rv = 0;

    hardware_of(device, hardware);
    if (all->release != NULL) {
        rv = flo_fleet_device_get(all->store, device->values[FLO_SELECT_ID].text, take_variant, &of,
                                  all->err);
    }
    copy(out, hardware, 60);
    if (variant[0] != '\0') {
        strcat(out, " ");
        copy(out + strlen(out), variant, 30);
    }
    return rv;
}

/* ---- at the start ---- */

static uint8_t draft_of(struct segmenting *all, const char *name)
{
    for (size_t i = 0; i < all->count; i++) {
        if (strcmp(all->drafts[i].name, name) == 0) {
            return (uint8_t)i;
        }
    }
    if (all->count == DRAFTS_MAX) {
        return DRAFTS_MAX - 1;
    }
    snprintf(all->drafts[all->count].name, FLO_SEGMENT_TEXT, "%s", name);
    return (uint8_t)all->count++;
}

static int add_device(void *context, const struct flo_select_device *device)
{
    struct segmenting *all = context;
    struct flo_rollout *core = &all->entry->core;
    size_t index = flo_rollout_find_next(core, device->values[FLO_SELECT_ID].text, &all->at);
    char name[FLO_SEGMENT_TEXT];

    if (index == SIZE_MAX) {
        return 0;
    }
    FLO_TRY(name_of(all, device, name));
    struct flo_rollout_member *member = &core->members[index];
    member->place.site = flo_rollouts_site(device);
    member->segment = draft_of(all, name);
    all->drafts[member->segment].members++;
    return 0;
}

static int by_size(const void *a, const void *b)
{
    const struct draft *const *one = a;
    const struct draft *const *other = b;

    return (*one)->members != (*other)->members ? ((*one)->members < (*other)->members ? 1 : -1)
                                                : strcmp((*one)->name, (*other)->name);
}

static uint8_t add_segment(struct flo_rollout *core, const char *name)
{
    snprintf(core->segments[core->segment_count], FLO_SEGMENT_TEXT, "%s", name);
    return (uint8_t)core->segment_count++;
}

/* Gives each of the largest groups a segment; small groups, and those beyond
 * the limit, share one. */
static void settle(struct segmenting *all)
{
    struct flo_rollout *core = &all->entry->core;
    struct draft *sorted[DRAFTS_MAX];
    uint8_t other = 0;
    bool has_other = false;

    for (size_t i = 0; i < all->count; i++) {
        sorted[i] = &all->drafts[i];
    }
    qsort(sorted, all->count, sizeof(sorted[0]), by_size);
    core->segment_count = 0;
    for (size_t i = 0; i < all->count; i++) {
        bool is_own = all->count == 1 || (sorted[i]->members >= MEMBERS_MIN &&
                                          core->segment_count < FLO_SEGMENTS_MAX - 1);
        if (!is_own && !has_other) {
            other = add_segment(core, OTHER);
            has_other = true;
        }
        sorted[i]->becomes = is_own ? add_segment(core, sorted[i]->name) : other;
    }
    for (size_t i = 0; i < core->member_count; i++) {
        struct flo_rollout_member *member = &core->members[i];
        member->segment = all->drafts[member->segment].becomes;
        member->is_dirty = true;
    }
}

static struct segmenting *segmenting_new(struct flo_controller *controller,
                                         struct flo_rollout_entry *entry, struct flo_err *err)
{
    struct segmenting *all = calloc(1, sizeof(*all));

    if (all == NULL) {
        return NULL;
    }
    all->entry = entry;
    all->store = controller->store;
    all->err = err;
    all->release = flo_controller_release(controller, entry->model, entry->version);
    if (all->release != NULL && all->release->variant_count < 2) {
        flo_release_free(all->release);
        all->release = NULL;
    }
    return all;
}

static void segmenting_free(struct segmenting *all)
{
    flo_release_free(all->release);
    free(all);
}

int flo_rollouts_segment(struct flo_controller *controller, struct flo_rollout_entry *entry,
                         struct flo_err *err)
{
    struct segmenting *all = segmenting_new(controller, entry, err);

    if (all == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "segments of a rollout");
    }
    int rv = flo_fleet_facts_each(controller->store, entry->group, add_device, all, err);
    if (rv == 0) {
        settle(all);
    }
    segmenting_free(all);
    return rv;
}

/* ---- later ---- */

static uint8_t segment_of(const struct flo_rollout *core, const char *name)
{
    uint8_t segment = 0;

    for (uint32_t i = 0; i < core->segment_count; i++) {
        if (strcmp(core->segments[i], name) == 0) {
            return (uint8_t)i;
        }
        if (strcmp(core->segments[i], OTHER) == 0) {
            segment = (uint8_t)i;
        }
    }
    return segment;
}

int flo_rollouts_segment_late(struct flo_controller *controller, struct flo_rollout_entry *entry,
                              const char *device, uint8_t *out, struct flo_err *err)
{
    char name[FLO_SEGMENT_TEXT];

    *out = 0;
    if (entry->core.segment_count < 2) {
        return 0;
    }
    struct segmenting *all = segmenting_new(controller, entry, err);
    if (all == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "segments of a rollout");
    }
    const struct flo_select_device *facts = flo_fleet_facts_of(controller->store, device);
    int rv = facts != NULL ? name_of(all, facts, name) : 0;
    if (rv == 0 && facts != NULL) {
        *out = segment_of(&entry->core, name);
    }
    segmenting_free(all);
    return rv;
}
