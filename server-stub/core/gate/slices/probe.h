/* Probe: three devices more where one or two are far slower than their site.
 *
 * Three updated devices are needed to judge a site, and a wave that covers all
 * sites brings one.  Where that one is far above the controls of its site,
 * three more follow at once, and the next wave waits until they have soaked.
 * Pure. */
#ifndef FLOTILLA_SERVER_SLICES_PROBE_H
#define FLOTILLA_SERVER_SLICES_PROBE_H

#include "server-stub/core/gate/slices/scan.h"

/* A device of a comparison. */
struct flo_probe_device {
    double d;        /* ln of its change */
    uint32_t site;   /* checksum of its label; 0: it has none */
    uint32_t device; /* the caller's number */
    bool is_updated;
};
/* A site that asks for more. */
struct flo_probe_wish {
    uint32_t site;
    uint32_t device; /* one of those that are far */
    double least;    /* of its updated ones above the median of its controls */
};
/* Sites with one or two updated devices, all slower by half and more than the
 * median of two own controls and more: the largest difference first.  out:
 * [FLO_SCAN_PROBES_MAX].  Reorders `devices`; n log n.  Returns their number.
 */
size_t flo_probe_find(struct flo_probe_device *devices, size_t count,
                      struct flo_probe_wish *out);

/* The place of a device among those that may be next; NOT: it may not. */
#define FLO_PROBE_NOT UINT32_MAX
typedef uint32_t flo_probe_rank(const void *context, size_t device);
/* The first `take` (at most three) of `count` devices by their rank.  out:
 * [FLO_SCAN_PROBE_DEVICES].  Returns their number. */
size_t flo_probe_pick(flo_probe_rank *rank, const void *context, size_t count,
                      uint32_t take, size_t *out);

#endif
