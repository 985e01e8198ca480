/* Observe: keeps the waves of a rollout.  Swaps that begin together are one
 * wave.  For each wave a member has a baseline, and its sums since the wave
 * began. */
#include <stdlib.h>
#include <string.h>

#include "server-stub/telemetry/observe/cohort.h"

void flo_observer_waves_forget(struct flo_observer_entry *entry)
{
    if (entry->since != NULL) {
        free(entry->since->speeds);
        free(entry->since);
        entry->since = NULL;
    }
}

/* Copies the recent readings into the entry's part in the waves, because the
 * device may swap before it has readings as a member. */
static void bring_recent(struct flo_observer_entry *entry)
{
    for (size_t i = 0; i < FLO_SPEEDS; i++) {
        struct flo_since_speed *speed = &entry->since->speeds[i];
        speed->last_count = entry->recent_count[i];
        for (size_t k = 0; k < entry->recent_count[i]; k++) {
            speed->last[k] = (double)entry->recent[i][k];
        }
    }
}

static void keep_recent(struct flo_observer_entry *entry, uint32_t block, const double *curve)
{
    const struct flo_readings *readings = entry->observed.readings;

    if (entry->observed.moved == block) {
        memset(entry->recent_count, 0, sizeof(entry->recent_count));
    }
    for (size_t i = 0; i < FLO_SPEEDS && readings != NULL; i++) {
        if ((readings->fresh >> i & 1) == 0) {
            continue;
        }
        memmove(&entry->recent[i][1], &entry->recent[i][0],
                sizeof(entry->recent[i]) - sizeof(entry->recent[i][0]));
        entry->recent[i][0] = (float)(readings->y[i] - curve[i]);
        if (entry->recent_count[i] < FLO_STEP_READINGS) {
            entry->recent_count[i]++;
        }
    }
}

void flo_observer_attend(struct flo_observer *observer, struct flo_observer_entry *entry,
                         uint32_t cohort)
{
    uint32_t rollout = observer->cohorts[cohort].rollout.id;
    /* the device was a member already at an earlier evaluation */
    bool is_in = entry->cohort == cohort;

    entry->cohort = cohort;
    if (entry->since != NULL && entry->since->rollout == rollout &&
        (is_in || flo_since_is_of(entry->since, observer->cohorts[cohort].kept.waves.count))) {
        return; /* The entry has its part in the rollout's waves already; after
                   a start it was loaded. */
    }
    flo_observer_waves_forget(entry);
    entry->since = calloc(1, sizeof(*entry->since));
    if (entry->since == NULL) {
        return; /* without memory for its part in the waves, the entry is in no wave */
    }
    entry->since->rollout = rollout;
    /* An entry without memory for readings only counts events, so it needs no
     * speeds. */
    if (entry->observed.readings != NULL) {
        entry->since->speeds = calloc(FLO_SPEEDS, sizeof(*entry->since->speeds));
    }
    if (entry->since->speeds != NULL) {
        bring_recent(entry);
    }
}

void flo_observer_swapped(struct flo_observer *observer, struct flo_observer_entry *entry)
{
    if (entry->cohort == FLO_OBSERVER_NONE) {
        return;
    }
    struct flo_observer_cohort *cohort = &observer->cohorts[entry->cohort];
    struct flo_waves *waves = &cohort->kept.waves;
    uint8_t before = waves->count;
    uint32_t newest = before > 0 ? waves->waves[before - 1].block : 0;
    /* After the clock was set back, no wave begins before the newest one. */
    uint32_t block = observer->block > newest ? observer->block : newest;

    uint8_t own = flo_waves_begin(waves, block, entry->is_probe);
    if (entry->since != NULL) {
        flo_since_swap(entry->since, own);
    }
    if (waves->count == before) {
        return;
    }
    cohort->is_dirty = true;
    for (size_t i = 0; i < observer->count; i++) {
        struct flo_observer_entry *other = &observer->entries[i];
        if (other->cohort == entry->cohort && other->since != NULL && other->since->wave == 0 &&
            other->observed.arm == FLO_ARM_CONTROL) {
            flo_observed_fix_daily(&other->observed);
            flo_since_wave(other->since, &other->observed, (uint8_t)(waves->count - 1),
                           observer->block);
            other->is_dirty = true;
        }
    }
}

void flo_observer_waves_read(struct flo_observer_entry *entry, uint32_t block, const double *curve)
{
    if (entry->since == NULL) {
        keep_recent(entry, block, curve);
    } else if (!flo_since_read(entry->since, &entry->observed, block, curve)) {
        flo_observer_waves_forget(entry);
    }
}
