/* Observe: hands rows of evidence over to the next leader. */
#include <string.h>

#include "server-stub/telemetry/observe/cohort.h"

void flo_observer_hand_on(struct flo_observer *observer, bool is_all)
{
    observer->is_handed = true;
    for (size_t i = 0; i < observer->count; i++) {
        observer->entries[i].is_dirty = is_all || observer->entries[i].is_dirty;
    }
    for (size_t i = 0; i < FLO_OBSERVER_COHORTS_MAX; i++) {
        observer->cohorts[i].is_dirty = is_all || observer->cohorts[i].is_dirty;
    }
}

/* Hands an entry over as a row.  A row without a release means that the entry
 * was deleted. */
static void give_entry(struct flo_observer *observer, struct flo_observer_entry *entry,
                       flo_give_fn give, void *context)
{
    uint8_t data[FLO_KEPT_BYTES_MAX];
    size_t bytes = entry->observed.release != 0 ? flo_observer_pack(entry, data) : 0;

    entry->is_dirty = false;
    entry->handed = observer->block;
    give(context, observer->ids.items[entry->device], observer->models[entry->model], data, bytes);
}

/* Hands over the rows of waves, which come before the rows of their members. */
static size_t give_waves(struct flo_observer *observer, size_t most, flo_give_fn give,
                         void *context)
{
    uint8_t data[FLO_KEPT_WAVES_BYTES_MAX];
    size_t given = 0;

    for (; observer->gone_count > 0 && given < most; given++) {
        give(context, observer->gone[--observer->gone_count], FLO_OBSERVER_WAVES, data, 0);
    }
    for (size_t i = 0; i < FLO_OBSERVER_COHORTS_MAX && given < most; i++) {
        struct flo_observer_cohort *cohort = &observer->cohorts[i];
        if (cohort->rollout.id != 0 && cohort->is_dirty) {
            size_t bytes = flo_kept_waves_pack(&cohort->kept, data);
            cohort->is_dirty = false;
            give(context, cohort->name, FLO_OBSERVER_WAVES, data, bytes);
            given++;
        }
    }
    return given;
}

size_t flo_observer_give(struct flo_observer *observer, size_t most, bool is_last, flo_give_fn give,
                         void *context)
{
    size_t given = give_waves(observer, most, give, context);
    size_t seen = 0;

    for (; seen < observer->count && given < most; seen++) {
        struct flo_observer_entry *entry =
            &observer->entries[(observer->saved + seen) % observer->count];
        if (entry->is_dirty && (is_last || entry->handed != observer->block)) {
            give_entry(observer, entry, give, context);
            given++;
        }
    }
    observer->saved = observer->count > 0 ? (observer->saved + seen) % observer->count : 0;
    return given;
}
