/* Observe: waves of a rollout.  Swaps that begin together are one, and each
 * control has a past and readings since for each of them. */
#include <stdlib.h>

#include "server-stub/telemetry/observe/inside.h"

void flo_observer_waves_forget(struct flo_observer_entry *entry)
{
    free(entry->speeds);
    entry->speeds = NULL;
    entry->wave = 0;
}

/* Without memory it is a control of no wave. */
static void note_wave(struct flo_observer_entry *entry, uint8_t wave,
                      uint32_t block)
{
    if (entry->speeds == NULL) {
        entry->speeds = calloc(FLO_SPEEDS, sizeof(*entry->speeds));
    }
    flo_observed_fix_daily(&entry->observed);
    for (int i = 0; i < FLO_SPEEDS && entry->speeds != NULL; i++) {
        struct flo_observer_speed *speed = &entry->speeds[i];
        speed->waves[wave].is_known = flo_observed_past(
            &entry->observed, (enum flo_observed_reading)i, block,
            &speed->waves[wave].before, &speed->waves[wave].stratum);
        speed->waves[wave].at = speed->total;
    }
}

void flo_observer_swapped(struct flo_observer *observer,
                          struct flo_observer_entry *entry)
{
    if (entry->roster == FLO_OBSERVER_NONE) {
        return;
    }
    struct flo_waves *waves = &observer->rosters[entry->roster].waves;
    uint8_t before = waves->count;
    uint32_t newest = before > 0 ? waves->waves[before - 1].block : 0;
    /* A clock that was set back begins no earlier wave. */
    uint32_t block = observer->block > newest ? observer->block : newest;

    flo_observer_waves_forget(entry);
    entry->wave = (uint8_t)(flo_waves_begin(waves, block, false) + 1);
    for (size_t i = 0; i < observer->count && waves->count > before; i++) {
        struct flo_observer_entry *other = &observer->entries[i];
        if (other->roster == entry->roster &&
            other->observed.arm == FLO_ARM_CONTROL &&
            other->observed.readings != NULL) {
            note_wave(other, (uint8_t)(waves->count - 1), observer->block);
        }
    }
}

void flo_observer_waves_read(struct flo_observer_entry *entry, uint32_t block,
                             const double *curve)
{
    const struct flo_readings *readings = entry->observed.readings;

    if (entry->speeds == NULL || readings == NULL) {
        return;
    }
    if (entry->observed.moved == block ||
        entry->observed.arm != FLO_ARM_CONTROL) {
        flo_observer_waves_forget(entry); /* it is no control any more */
        return;
    }
    for (int i = 0; i < FLO_SPEEDS; i++) {
        if ((readings->fresh >> i & 1) != 0) {
            flo_mean_add(&entry->speeds[i].total,
                         readings->y[i] - curve[i] -
                             flo_observed_daily(&entry->observed,
                                                (enum flo_observed_reading)i,
                                                block));
        }
    }
}
