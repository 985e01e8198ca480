/* Level: the baseline speed of one device under one release.
 *
 * A reading belongs to the release that made it.  After a rollback a device
 * therefore has its old level at once, and the bad release keeps its own.
 * Levels do not depend on when a rollout's record is deleted.  Readings are
 * logarithms less the curve of their block; a block is 5 minutes, numbered
 * upwards.  Only sums are stored, no readings.  Pure. */
#ifndef FLOTILLA_SERVER_SLICES_LEVEL_H
#define FLOTILLA_SERVER_SLICES_LEVEL_H

#include "server-stub/core/gate/slices/shape.h"

#define FLO_LEVELS_MAX 4 /* largest number of releases of a device that have a level */
#define FLO_LEVEL_FULL 12
#define FLO_LEVEL_THIN 3

struct flo_level {
    /* checksum of the release that made the readings; 0: the entry is unused */
    uint32_t release;
    uint32_t last; /* block of the newest reading */
    struct flo_mean mean;
    /* means of the four functions of the daily curve over the readings' hours
     * (slices/shape.h) */
    int16_t day[4];
};
/* Levels of one device and metric.  All zero: no readings. */
struct flo_level_table {
    struct flo_level levels[FLO_LEVELS_MAX];
    uint32_t running;   /* release of the newest telemetry window; 0: no window came yet */
    uint32_t warm_from; /* first block whose reading counts */
};

/* Takes the reading of a telemetry window of `release` (not 0) in `block`,
 * which is never below that of an earlier call.  `y` is NULL when the window
 * has too few samples.  After a change of release the readings of the next two
 * blocks are dropped.  At 144 readings both sums are halved.  A fifth release
 * replaces the one that was read longest ago.  A release that comes back after
 * more than 24 h begins from zero.
 *
 * Returns false when *y is not finite; nothing changed. */
bool flo_levels_add(struct flo_level_table *levels, uint32_t release, const double *y,
                    uint32_t block);

/* Returns the level of a release; NULL: the release has none. */
const struct flo_level *flo_levels_of(const struct flo_level_table *levels, uint32_t release);
/* Kind of baseline for a device that runs `running` and swaps in `block`. */
enum flo_reference {
    FLO_REFERENCE_NONE,
    /* level of the device's present release, of at least 12 readings */
    FLO_REFERENCE_OWN,
    FLO_REFERENCE_OLDER, /* level of another release, of at least 12 readings, the last within 7
                            days */
    /* level of the device's present release, of at least 3 readings */
    FLO_REFERENCE_THIN
};
/* Chooses the baseline.  *level is the chosen level, borrowed from `levels`;
 * NULL with FLO_REFERENCE_NONE. */
enum flo_reference flo_levels_reference(const struct flo_level_table *levels, uint32_t running,
                                        uint32_t block, const struct flo_level **level);

/* Adds a reading of a control since its comparison began.  While the baseline
 * has fewer than 12 readings, the reading extends it.  Later the reading counts
 * as one after the split (flo_series_after).
 *
 * Returns false when x is not finite; nothing changed. */
bool flo_levels_control(struct flo_series *series, double x, double curve, bool is_gauge);

#endif
