/* Observe: finds the baselines of a rollout's members before the rollout
 * begins. */
#include <stdlib.h>

#include "server-stub/telemetry/observe/cohort.h"

struct flo_observe_bases *flo_observe_bases_new(size_t count)
{
    struct flo_observe_bases *bases = calloc(1, sizeof(*bases));

    if (bases == NULL) {
        return NULL;
    }
    bases->items = calloc(count + 1, sizeof(*bases->items));
    if (bases->items == NULL) {
        free(bases);
        return NULL;
    }
    bases->count = count;
    return bases;
}

void flo_observe_bases_free(struct flo_observe_bases *bases)
{
    if (bases != NULL) {
        free(bases->items);
        free(bases);
    }
}

static void add_past(struct flo_analysis_past *past, const struct flo_observed *observed)
{
    struct flo_counters counters;

    flo_observed_counters(observed, &counters);
    past->errors += counters.errors;
    past->requests += counters.requests;
    past->blocks += counters.blocks;
    past->crashes += __builtin_popcount(observed->hours_died);
    past->hours += __builtin_popcount(observed->hours_heard);
}

void flo_observer_bases(struct flo_observer *observer, struct flo_observe_bases *bases,
                        uint64_t now_ms)
{
    flo_observer_move(observer, now_ms);
    bases->block = observer->block;
    bases->block_ms = observer->block_ms;
    bases->past = (struct flo_analysis_past){0};
    for (size_t i = 0; i < bases->count; i++) {
        struct flo_observe_based *one = &bases->items[i];
        const struct flo_observer_entry *entry =
            flo_observer_find(observer, one->device, bases->model);
        one->base = (struct flo_observed_base){0};
        if (entry != NULL) {
            flo_observed_base(&entry->observed, observer->block, &one->base);
            add_past(&bases->past, &entry->observed);
        }
    }
}
