/* Count scan: finds the label=value at which the release brings errors or
 * crashes.
 *
 * A device is far when its own past does not explain its events; how many it
 * has does not matter.  The share of far updated devices of a slice is compared
 * with far controls everywhere, and with those of the slice.  Pure; the memory
 * is the caller's. */
#ifndef FLOTILLA_SERVER_SLICES_COUNT_SCAN_H
#define FLOTILLA_SERVER_SLICES_COUNT_SCAN_H

#include "server-stub/core/gate/slices/scan.h"

/* Events of a device, and the number that its own past predicts.  An updated
 * device is counted since its swap.  A control is counted since the first swap
 * of each wave. */
struct flo_count_scan_device {
    double events[FLO_SCAN_WAVES_MAX];   /* updated: events[wave] alone */
    double expected[FLO_SCAN_WAVES_MAX]; /* likewise */
    uint8_t wave;                        /* updated: its own */
    uint8_t waves;                       /* number of waves that a control saw, at least 1 */
    bool is_updated;
};
struct flo_count_scan_rule {
    double alpha; /* significance level of the whole scan: 0.01 */
    double weight;
    double least; /* number of unexpected events with which a device counts as
                     far worse: errors 8, crashes 1 */
    const struct flo_slice_label *labels; /* labels whose values are scanned;
                                             their field tau2 is not used */
    size_t label_count;
};
struct flo_count_scan_row {
    struct flo_slice slice;
    bool is_culprit; /* the release is to blame; false: unclear, because the slice's own controls
                        cannot decide */
    bool has_within;
    struct flo_slice within;
    double ln_e, threshold; /* against all controls */
    /* ln e in comparison with the slice's own controls; 0: it has too few
     * controls */
    double ln_e_own;
    uint32_t updated, far; /* devices */
    uint32_t controls;     /* number of controls in the slice */
    double far_controls;   /* number of the slice's controls whose past does not
                              explain their events, as a mean over the waves */
    /* number of controls in the whole fleet whose past does not explain their
     * events, as a mean over the waves */
    double far_everywhere;
};
struct flo_count_scan {
    size_t row_count;
    struct flo_count_scan_row rows[FLO_SCAN_ROWS_MAX];
    size_t probe_count;
    struct flo_scan_probe probes[FLO_SCAN_PROBES_MAX]; /* most events first */
};

size_t flo_count_scan_room_bytes(size_t devices);
/* Scans all labels, as flo_scan_look does.  Returns false for numbers that are
 * negative or not finite, an unknown wave,
 * or a control without a wave; *out is empty then. */
bool flo_count_scan_look(const struct flo_count_scan_rule *rule,
                         const struct flo_count_scan_device *devices, size_t count, void *room,
                         uint8_t *far, struct flo_count_scan *out);

#endif
