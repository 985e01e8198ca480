/* Waves: sets of devices whose swaps begin together, each with its own
 * baseline.
 *
 * A phase, its covering wave and each probe begin a wave.  A site that changes
 * while a rollout runs then changes both arms of every wave alike.  Pure. */
#ifndef FLOTILLA_SERVER_SLICES_WAVES_H
#define FLOTILLA_SERVER_SLICES_WAVES_H

#include "server-stub/core/gate/slices/scan.h"

struct flo_wave {
    uint32_t block; /* block of the wave's first swap */
    bool is_probe;
};
/* Waves of a rollout.  All zero: no wave yet. */
struct flo_waves {
    struct flo_wave waves[FLO_SCAN_WAVES_MAX];
    uint8_t count;
};
/* Finds the wave of swaps that begin in `block`, which is never before that of
 * an earlier call.  Swaps join the newest wave of their kind, probe or not, if
 * it began at most 30 minutes ago.  Otherwise a new wave begins; after 8 waves
 * they join the newest one.  Returns the wave's number. */
uint8_t flo_waves_begin(struct flo_waves *waves, uint32_t block, bool is_probe);

#endif
