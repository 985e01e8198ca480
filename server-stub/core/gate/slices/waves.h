/* Waves: sets of devices whose swaps begin together, each with its own
 * baseline.
 *
 * A phase, its covering wave and each probe begin a wave.  A site that changes
 * while a rollout runs then changes both arms of every wave alike.  Pure. */
#ifndef FLOTILLA_SERVER_SLICES_WAVES_H
#define FLOTILLA_SERVER_SLICES_WAVES_H

#include "server-stub/core/gate/slices/scan.h"

struct flo_wave {
    uint32_t block; /* block of its first swap */
    bool is_probe;
};
/* All zero: no wave yet. */
struct flo_waves {
    struct flo_wave waves[FLO_SCAN_WAVES_MAX];
    uint8_t count;
};
/* Swaps begin in `block`, which is never before that of an earlier call.
 * Returns the number of their wave.  It is the newest wave if that began within
 * 30 minutes and neither is a probe, or if there are 8; else a new one. */
uint8_t flo_waves_begin(struct flo_waves *waves, uint32_t block, bool is_probe);

#endif
