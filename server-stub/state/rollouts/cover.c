/* Cover: orders a rollout's members over the values of a label.  A site would
 * be judged too late if none of the first phases included it.  So each phase
 * takes the next devices of that order, and the hold-out keeps two of each
 * larger site (core/gate/slices/spread.h).  A member's position in the order
 * replaces its hash, so phases stay ranges of buckets. */
#include <stdlib.h>
#include <string.h>

#include "server-stub/core/gate/slices/spread.h"
#include "server-stub/state/rollouts/rollouts.h"
#include "server-stub/state/rollouts/words.h"
#include "server-stub/state/rollouts/work.h"

static int by_number(const void *a, const void *b)
{
    const uint32_t *one = a;
    const uint32_t *other = b;

    return (*one > *other) - (*one < *other);
}

struct scratch {
    struct flo_spread_device *devices;
    struct flo_spread_group *groups;
    uint32_t *order;
    uint32_t *buckets;
};

static void scratch_deinit(struct scratch *scratch)
{
    free(scratch->devices);
    free(scratch->groups);
    free(scratch->order);
    free(scratch->buckets);
}

static int scratch_init(struct scratch *scratch, size_t count, struct flo_err *err)
{
    *scratch = (struct scratch){.devices = calloc(count + 1, sizeof(*scratch->devices)),
                                .groups = calloc(count + 1, sizeof(*scratch->groups)),
                                .order = calloc(count + 1, sizeof(*scratch->order)),
                                .buckets = calloc(count + 1, sizeof(*scratch->buckets))};
    if (scratch->devices != NULL && scratch->groups != NULL && scratch->order != NULL &&
        scratch->buckets != NULL) {
        return 0;
    }
    scratch_deinit(scratch);
    return flo_fail(err, FLO_E_MEMORY, "no memory for the order of %zu members", count);
}

int flo_rollouts_order_members(struct flo_rollout_entry *entry, uint32_t hold_out,
                               struct flo_rollout_cover *out, struct flo_err *err)
{
    struct flo_rollout *core = &entry->core;
    struct flo_spread_sizes sizes = {0};
    struct scratch scratch;

    FLO_TRY(scratch_init(&scratch, core->member_count, err));
    for (size_t i = 0; i < core->member_count; i++) {
        const struct flo_rollout_member *member = &core->members[i];
        scratch.devices[i] = (struct flo_spread_device){.value = member->place.stratum,
                                                        .bucket = member->bucket,
                                                        .id = member->device,
                                                        .is_away = !member->is_online};
        scratch.buckets[i] = member->bucket;
    }
    qsort(scratch.buckets, core->member_count, sizeof(*scratch.buckets), by_number);
    if (flo_spread_order(scratch.devices, core->member_count, hold_out, scratch.groups,
                         scratch.order, &sizes)) {
        for (size_t i = 0; i < core->member_count; i++) {
            core->members[scratch.order[i]].bucket = scratch.buckets[i];
        }
    }
    scratch_deinit(&scratch);
    *out =
        (struct flo_rollout_cover){.hold_out = (uint32_t)sizes.held, .wave = (uint32_t)sizes.cover};
    return 0;
}

/* ---- the label ---- */

static bool has_values(const struct flo_rollout *core)
{
    uint32_t first = 0;

    for (size_t i = 0; i < core->member_count; i++) {
        uint32_t value = core->members[i].place.stratum;
        first = first == 0 ? value : first;
        if (value != 0 && value != first) {
            return true;
        }
    }
    return false;
}

int flo_rollouts_choose_cover(struct flo_controller *controller, struct flo_rollout_entry *entry,
                              struct flo_err *err)
{
    static const char *const labels[] = {"site", "hw"};
    bool is_given = entry->spec.cover[0] != '\0';
    int rv = 0;

    entry->core.is_covered = true;
    for (size_t i = 0; i < FLO_COUNT(labels) && rv == 0; i++) {
        if (!is_given) {
            snprintf(entry->spec.cover, sizeof(entry->spec.cover), "%s", labels[i]);
        }
        flo_word_set_clear(&entry->own->strata);
        rv = flo_rollouts_place_all(controller, entry, err);
        if (rv == 0 && (is_given || has_values(&entry->core))) {
            json_object_set_new(entry->own->spec, "cover", json_string(entry->spec.cover));
            return 0;
        }
    }
    entry->core.is_covered = false;
    entry->spec.cover[0] = '\0';
    return rv;
}
