/* Probe: picks three more devices where one or two are far worse than their
 * slice.
 *
 * Three updated devices are needed to judge a slice, but a wave that covers all
 * sites brings only one.  Where all updated devices of a slice are far above
 * its controls, three more are updated at once.  The next wave waits until they
 * have soaked.  Pure. */
#ifndef FLOTILLA_SERVER_SLICES_PROBE_H
#define FLOTILLA_SERVER_SLICES_PROBE_H

#include "server-stub/core/gate/slices/scan.h"

/* Number of updated devices that are needed to judge a slice. */
#define FLO_PROBE_UPDATED_MIN 3
#define FLO_PROBE_CONTROLS_MIN 2

/* Rank of a device that is no candidate. */
#define FLO_PROBE_NOT UINT32_MAX
/* Callback: returns the rank of a device among the candidates, or
 * FLO_PROBE_NOT. */
typedef uint32_t flo_probe_rank(const void *context, size_t device);
/* Picks the `take` (at most three) of `count` devices with the lowest ranks.
 * `out` holds FLO_SCAN_PROBE_DEVICES indexes.  Returns how many were picked. */
size_t flo_probe_pick(flo_probe_rank *rank, const void *context, size_t count, uint32_t take,
                      size_t *out);

#endif
