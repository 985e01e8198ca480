/* Scan room: one look's working numbers, and one label's values at a time.
 * For scan.c and scan_row.c alone. */
#ifndef FLOTILLA_SERVER_SLICES_SCAN_ROOM_H
#define FLOTILLA_SERVER_SLICES_SCAN_ROOM_H

#include "server-stub/core/gate/slices/scan.h"
#include "server-stub/core/gate/statistics/robust.h"

#define FLO_SCAN_FREEDOM_MIN 20
#define FLO_SCAN_UPDATED_MIN 3
#define FLO_SCAN_CONTROLS_MIN 2 /* controls of the slice's own */
#define FLO_SCAN_FOUND_MAX 128

/* One value of the label that was measured last. */
struct flo_scan_value {
    struct flo_ratio_arm updated;  /* z: clipped, less its own controls */
    struct flo_ratio_arm controls; /* their newest d, clipped */
    uint32_t members;              /* all devices */
    uint32_t first;                /* place of its updated devices in `group` */
    uint32_t own;                  /* place of its controls in `owned` */
    uint32_t part, part_far;       /* members of a slice in it */
};
struct flo_scan_ranked {
    double lift; /* clip(d) less its wave's centre */
    uint32_t device;
};
enum flo_scan_mark {
    FLO_SCAN_CONTROL = 1, /* has a d in some wave */
    FLO_SCAN_REMOVED = 2, /* member of a slice that was named */
    FLO_SCAN_FAR = 4,     /* member of the slice at hand: above half its step */
    FLO_SCAN_TAKEN = 8    /* control of a slice that changed */
};
struct flo_scan_room {
    const struct flo_scan_rule *rule;
    const struct flo_scan_device *devices;
    size_t count;
    double limit;
    size_t waves; /* in which a device was updated */
    struct flo_clip clips[FLO_SCAN_WAVES_MAX];
    size_t controls; /* with any d */

    double *newest;                /* [device] a control's last d, clipped */
    double *z;                     /* [device] of updated ones, by label */
    double *numbers;               /* [devices, 2 x values] scratch */
    double *pairs;                 /* flo_told_numbers */
    struct flo_scan_ranked *order; /* updated ones, lowest lift first */
    struct flo_scan_ranked *live;  /* ... that were not removed */
    uint32_t *group;               /* places in `live`, by value, ascending */
    uint32_t *owned;               /* controls, by value */
    uint32_t *slice;               /* devices of the slice at hand */
    struct flo_scan_value *values; /* [values + 1] */
    uint8_t *marks;                /* [device] enum flo_scan_mark */
    size_t order_count, live_count;

    /* The label that was measured last. */
    const struct flo_slice_label *label;
    double s2; /* pooled variance of a device */
    double nu;
    double tau2;

    size_t found_count;
    struct flo_scan_changed found[FLO_SCAN_FOUND_MAX];
};

/* Lay out the room.  false: evidence that cannot be. */
bool flo_scan_room_open(struct flo_scan_room *room, const struct flo_scan_rule *rule,
                        const struct flo_scan_device *devices, size_t count);
/* Fill `live` from `order`, without devices that were removed. */
void flo_scan_room_live(struct flo_scan_room *room);
/* Measure a label: `values`, `group`, `owned`, `z`. */
void flo_scan_room_measure(struct flo_scan_room *room, size_t label);
/* The updated device at a place of `group`. */
uint32_t flo_scan_room_device(const struct flo_scan_room *room, size_t place);
bool flo_scan_value_has_own(const struct flo_scan_value *value);
/* The value can be judged: own controls, or enough others and members. */
bool flo_scan_value_counts(const struct flo_scan_room *room, const struct flo_scan_value *value);
/* Median of its controls' unclipped d in a wave; the centre of all controls
 * without. */
double flo_scan_value_base(const struct flo_scan_room *room, const struct flo_scan_value *value,
                           size_t wave);

/* A slice that explains more than any other. */
struct flo_scan_best {
    struct flo_slice slice;
    double ln_e, threshold, delta;
};
/* Name it: fill the row, mark its devices as removed and in `far`. */
void flo_scan_row_fill(struct flo_scan_room *room, const struct flo_scan_best *best, uint8_t number,
                       uint8_t *far, struct flo_scan_row *row);

#endif
