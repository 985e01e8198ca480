/* Probe: three devices more where one or two are far worse than their slice.
 *
 * Three updated devices are needed to judge a slice, and a wave that covers all
 * sites brings one.  Where those of a slice are all far above its controls, as
 * the scans say, three more follow at once, and the next wave waits until they
 * have soaked.  Pure. */
#ifndef FLOTILLA_SERVER_SLICES_PROBE_H
#define FLOTILLA_SERVER_SLICES_PROBE_H

#include "server-stub/core/gate/slices/scan.h"

/* So many tell what a release does at a slice. */
#define FLO_PROBE_UPDATED_MIN 3
#define FLO_PROBE_CONTROLS_MIN 2

/* The place of a device among those that may be next; NOT: it may not. */
#define FLO_PROBE_NOT UINT32_MAX
typedef uint32_t flo_probe_rank(const void *context, size_t device);
/* The first `take` (at most three) of `count` devices by their rank.  out:
 * [FLO_SCAN_PROBE_DEVICES].  Returns their number. */
size_t flo_probe_pick(flo_probe_rank *rank, const void *context, size_t count, uint32_t take,
                      size_t *out);

#endif
