/* Count scan: at which label=value do errors or crashes come with the release?
 *
 * A device is far when its own past does not explain its events; one device is
 * one far device, whatever it counts.  Far updated devices of a slice are set
 * against far controls everywhere, and against those of the slice.  Pure; the
 * memory is the caller's. */
#ifndef FLOTILLA_SERVER_SLICES_COUNT_SCAN_H
#define FLOTILLA_SERVER_SLICES_COUNT_SCAN_H

#include "server-stub/core/gate/slices/scan.h"

/* Events since a device's own swap, or a control's since the first swap of each
 * wave, and how many its own past lets expect. */
struct flo_count_scan_device {
    double events[FLO_SCAN_WAVES_MAX];   /* updated: events[wave] alone */
    double expected[FLO_SCAN_WAVES_MAX]; /* likewise */
    uint8_t wave;                        /* updated: its own */
    uint8_t waves;                       /* control: how many it has numbers of, at least 1 */
    bool is_updated;
};
struct flo_count_scan_rule {
    double alpha; /* level of the whole scan: 0.01 */
    double weight;
    double least;                         /* events of a far device: errors 8, crashes 1 */
    const struct flo_slice_label *labels; /* tau2 is not used */
    size_t label_count;
};
struct flo_count_scan_row {
    struct flo_slice slice;
    bool is_culprit; /* else unclear: no control of its own can tell */
    bool has_within;
    struct flo_slice within;
    double ln_e, threshold; /* against all controls */
    double ln_e_own;        /* against those of the slice; 0 without */
    uint32_t updated, far;  /* devices */
    uint32_t controls;      /* controls of the slice */
    double far_controls;    /* far ones of the slice, mean over waves */
    double far_everywhere;  /* far ones of all controls, mean over waves */
};
struct flo_count_scan {
    size_t row_count;
    struct flo_count_scan_row rows[FLO_SCAN_ROWS_MAX];
    size_t probe_count;
    struct flo_scan_probe probes[FLO_SCAN_PROBES_MAX]; /* most events first */
};

size_t flo_count_scan_room_bytes(size_t devices);
/* As flo_scan_look.
 *
 * false: negative or not finite, a wave that does not exist, or a control
 * without one; *out is empty then. */
bool flo_count_scan_look(const struct flo_count_scan_rule *rule,
                         const struct flo_count_scan_device *devices, size_t count, void *room,
                         uint8_t *far, struct flo_count_scan *out);

#endif
