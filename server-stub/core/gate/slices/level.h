/* Level: the speed of one device under one release.
 *
 * A reading belongs to the release that made it.  A device therefore has its
 * old level at once when a release is taken back, and the level of the bad one
 * stays with the bad one.  Nothing depends on when a rollout's record is
 * forgotten.  Readings are logarithms less the curve of their block; a block
 * is 5 minutes, numbered upwards.  Sums are kept and no readings.  Pure. */
#ifndef FLOTILLA_SERVER_SLICES_LEVEL_H
#define FLOTILLA_SERVER_SLICES_LEVEL_H

#include "server-stub/core/gate/slices/shape.h"

#define FLO_LEVELS_MAX 4 /* releases of a device that have a level */
#define FLO_LEVEL_FULL 12
#define FLO_LEVEL_THIN 3

struct flo_level {
    uint32_t release; /* who made the readings; 0: nobody */
    uint32_t last;    /* block of its newest reading */
    struct flo_mean mean;
    int16_t day[4]; /* the day's curve of its readings (slices/shape.h) */
};
/* One device and metric.  All zero: nothing was read. */
struct flo_level_table {
    struct flo_level levels[FLO_LEVELS_MAX];
    uint32_t running;   /* release of the newest window; 0: none came */
    uint32_t warm_from; /* first block whose reading counts */
};

/* A window of `release` (not 0) came in `block`, which no earlier call was
 * above.  `y` is its reading; NULL: too few samples for one.  A change of
 * release takes the next two blocks' readings away.  At 144 readings both sums
 * are halved.  A fifth release replaces the one that was read longest ago; one
 * that comes back after more than 24 h begins from zero.
 *
 * false: *y is not finite; nothing changed. */
bool flo_levels_add(struct flo_level_table *levels, uint32_t release, const double *y,
                    uint32_t block);

/* NULL: the release has none. */
const struct flo_level *flo_levels_of(const struct flo_level_table *levels, uint32_t release);
/* The past that a device which runs `running` and swaps in `block` is compared
 * with. */
enum flo_reference {
    FLO_REFERENCE_NONE,
    FLO_REFERENCE_OWN,   /* the release that it runs, 12 readings */
    FLO_REFERENCE_OLDER, /* another one, 12 readings, within 7 days */
    FLO_REFERENCE_THIN   /* the release that it runs, 3 readings */
};
/* *level: which; NULL with FLO_REFERENCE_NONE.  Borrowed from `levels`. */
enum flo_reference flo_levels_reference(const struct flo_level_table *levels, uint32_t running,
                                        uint32_t block, const struct flo_level **level);

/* A control's reading after its split: a past that is short grows to 12
 * readings first, later ones come after it (flo_series_after).
 *
 * false: x is not finite; nothing changed. */
bool flo_levels_control(struct flo_series *series, double x, double curve, bool is_gauge);

#endif
