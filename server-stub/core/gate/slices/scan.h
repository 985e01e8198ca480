/* Scan: finds the label=value at which the release is worse.
 *
 * Each updated device is compared with the controls of its own slice, in the
 * time of its own wave.  A site that changes during a rollout changes both
 * arms, so it is no culprit.  The slice that explains most is named first, and
 * its devices leave the scan.  So a site and the hardware class of its devices
 * are not both named.  Pure; the memory is the caller's. */
#ifndef FLOTILLA_SERVER_SLICES_SCAN_H
#define FLOTILLA_SERVER_SLICES_SCAN_H

#include "server-stub/core/gate/slices/labels.h"
#include "server-stub/core/gate/slices/told.h"

#define FLO_SCAN_WAVES_MAX 8
#define FLO_SCAN_ROWS_MAX 8 /* maximum number of slices named by one evaluation */
#define FLO_SCAN_CHANGED_MAX 32
#define FLO_SCAN_PROBES_MAX 5
#define FLO_SCAN_PROBE_DEVICES 3

/* Device of a scan.  A wave is a set of devices whose swaps begin together,
 * numbered from 0. */
struct flo_scan_device {
    /* Changes of the device; outliers are not limited.  A control has a change
     * since each wave's first swap.  An updated device has only d[wave]. */
    double d[FLO_SCAN_WAVES_MAX];
    double step; /* updated devices: mean of 3 readings after the swap less the mean of 3 before */
    uint8_t known; /* bit p is set if d[p], the difference in wave p, is known */
    uint8_t wave;  /* updated: its own */
    bool is_updated;
    bool has_step;
};
struct flo_scan_rule {
    double alpha;     /* significance level of the whole scan: 0.01 */
    double weight;    /* weight of the metric's rule */
    double limit_pct; /* a slice with a smaller effect is not named */
    const struct flo_slice_label *labels;
    size_t label_count;
};

/* A named slice. */
struct flo_scan_row {
    struct flo_slice slice;
    bool is_culprit; /* the release is to blame; false: unclear, because the slice has no controls
                        left */
    bool with_swap;  /* for an unclear slice: the change coincides with each device's own swap */
    bool has_within; /* a narrower slice explains the whole effect */
    struct flo_slice within;
    size_t same_count; /* number of slices that have exactly these updated devices */
    struct flo_slice same[FLO_SLICE_LABELS_MAX];
    double ln_e, threshold;
    double delta; /* mean of the devices' changes after outliers were limited,
                     as used by the test */
    uint32_t updated, controls;
    uint32_t far; /* number of the slice's updated devices whose change is above the limit */
    struct flo_told told;
};
/* A slice whose controls changed: the cause is the site, not the release. */
struct flo_scan_changed {
    struct flo_slice slice;
    double ln_e;
    double shift; /* ln ratio */
    uint32_t controls;
    bool has_both; /* the updated devices changed like the controls */
};
/* Slice with one or two updated devices, all of them much worse than its
 * controls.  Before the rollout goes on, `take` more of its devices are to be
 * updated. */
struct flo_scan_probe {
    struct flo_slice slice;
    uint32_t take;
    /* smallest distance of an updated device above the controls' median; in a
     * count scan: smallest number of events of an updated device */
    double least;
};
struct flo_scan {
    size_t row_count;
    /* named slices, in the order in which they were found */
    struct flo_scan_row rows[FLO_SCAN_ROWS_MAX];
    size_t changed_count;
    struct flo_scan_changed changed[FLO_SCAN_CHANGED_MAX]; /* greatest first */
    size_t changed_left; /* number of further changes for which there was no room */
    size_t probe_count;
    struct flo_scan_probe probes[FLO_SCAN_PROBES_MAX]; /* largest first */
    /* variance between values of a label that no release caused */
    double tau2[FLO_SLICE_LABELS_MAX];
    bool is_scanned[FLO_SLICE_LABELS_MAX];
};

/* Returns the bytes of `room` that a scan of `devices` devices needs: 69 a
 * device, and 260 KB for 1,000 values and the results. */
size_t flo_scan_room_bytes(size_t devices);
/* Scans one metric once.  `room` has flo_scan_room_bytes bytes, aligned as by
 * malloc, and is only scratch.  `far` gets, for each of the `count` devices, the row
 * number + 1 if the device is far in a named slice, else 0.  Work: at most 9 passes of
 * devices x labels, and one for each
 * named slice.
 *
 * Returns false when a known number is not finite, or a wave does not exist;
 * *out is empty then. */
bool flo_scan_look(const struct flo_scan_rule *rule, const struct flo_scan_device *devices,
                   size_t count, void *room, uint8_t *far, struct flo_scan *out);

#endif
