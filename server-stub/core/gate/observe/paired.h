/* Paired: comparison of a release and the model whose requests it shares, on
 * one device.
 *
 * Both answer at the same time on the same hardware.  Their difference on the
 * device is compared, so influences on the whole device cancel out.  A pair is
 * the readings of both models since the previous pair.  All sums restart when
 * either model runs another release, and are lost when the controller restarts.
 * Pure: the caller owns the memory. */
#ifndef FLOTILLA_SERVER_PAIRED_H
#define FLOTILLA_SERVER_PAIRED_H

#include "server-stub/core/gate/observe/observed.h"

#define FLO_PAIRED_PAIRS_MIN 3 /* pairs that a comparison needs */

enum flo_paired_side {
    FLO_PAIRED_OLD, /* side of the model that requests name */
    FLO_PAIRED_NEW, /* side of the release that takes a share of the model's requests */
    FLO_PAIRED_SIDES
};
struct flo_paired_sums {
    uint32_t release; /* checksum of the release that the side runs; 0: no
                         telemetry window came yet */
    uint32_t begun;   /* block of time in which the side's first telemetry window came */
    uint32_t heard;   /* block of time in which the side's newest telemetry window came */
    uint32_t crashed; /* hour of the last counted crash, plus 1; 0: none */
    double requests, errors, judged, bad;
    double crashes; /* number of hours with a crash */
    /* number of blocks in which a telemetry window of the side came */
    double blocks;
    struct flo_mean open[FLO_READING_COUNT]; /* sums and counts of readings
                                                since the last pair */
};
struct flo_paired {
    struct flo_paired_sums sides[FLO_PAIRED_SIDES];
    struct flo_mean pairs[FLO_READING_COUNT]; /* new less old */
};

/* Adds the numbers of one telemetry window of one of the two sides. */
void flo_paired_take(struct flo_paired *paired, enum flo_paired_side side,
                     const struct flo_observed_window *window);
/* Adds the readings of a block that ended, for one side: `y` has their values,
 * `fresh` a bit for each value that is set. */
void flo_paired_read(struct flo_paired *paired, enum flo_paired_side side, uint32_t block,
                     uint8_t fresh, const double *y);
/* Ends a block after flo_paired_read of both sides.  Each reading that both
 * sides have forms a pair. */
void flo_paired_end(struct flo_paired *paired);
/* Returns true when a reading of this kind was added for either side, even if
 * it has no pair yet. */
bool flo_paired_reads(const struct flo_paired *paired, enum flo_observed_reading reading);
/* Gets the mean difference of the two models on the device.  Returns false with
 * too few pairs, or for a reading that cannot be compared across models
 * (GOLDEN: each has its own answers). */
bool flo_paired_difference(const struct flo_paired *paired, enum flo_observed_reading reading,
                           double *out);

#endif
