/* Twin: a release and the model whose requests it shares, on one device.
 *
 * Both answer at the same time on the same hardware.  So the device's own
 * difference is the measure, and nothing that moves the device is in it.  A
 * pair is what both read since the pair before.  The sums begin again when
 * either runs another release, and are not kept across a start of the
 * controller.  Pure: the caller owns the memory. */
#ifndef FLOTILLA_SERVER_TWIN_H
#define FLOTILLA_SERVER_TWIN_H

#include "server-stub/core/gate/observe/observed.h"

#define FLO_TWIN_PAIRS_MIN 3 /* that a comparison needs */

enum flo_twin_side {
    FLO_TWIN_OLD, /* the model that requests name */
    FLO_TWIN_NEW, /* the release that takes a share of them */
    FLO_TWIN_SIDES
};
struct flo_twin_sums {
    uint32_t release; /* checksum; 0: nothing was heard yet */
    uint32_t begun;   /* block of its first window */
    uint32_t heard;   /* block of its newest window */
    uint32_t crashed; /* hour of the last crash that counts, and 1; 0: none */
    double requests, errors, judged, bad;
    double crashes;                          /* at most one an hour */
    double blocks;                           /* blocks in which it was heard */
    struct flo_mean open[FLO_READING_COUNT]; /* since the last pair */
};
struct flo_twin {
    struct flo_twin_sums sides[FLO_TWIN_SIDES];
    struct flo_mean pairs[FLO_READING_COUNT]; /* new less old */
};

/* One window of one side. */
void flo_twin_take(struct flo_twin *twin, enum flo_twin_side side,
                   const struct flo_observed_window *window);
/* A block ended in which this side was read: a bit of `fresh` for each of y. */
void flo_twin_read(struct flo_twin *twin, enum flo_twin_side side, uint32_t block, uint8_t fresh,
                   const double *y);
/* ... and both sides were told. */
void flo_twin_end(struct flo_twin *twin);
/* A side has a reading of that kind. */
bool flo_twin_reads(const struct flo_twin *twin, enum flo_observed_reading reading);
/* The device's difference.  false: too few pairs, or a reading that two models
 * do not share (GOLDEN: each has answers of its own). */
bool flo_twin_difference(const struct flo_twin *twin, enum flo_observed_reading reading,
                         double *out);

#endif
