/* Scan room: working memory of one scan, with the values of one label at a
 * time.  Only for scan.c and scan_row.c. */
#ifndef FLOTILLA_SERVER_SLICES_SCAN_ROOM_H
#define FLOTILLA_SERVER_SLICES_SCAN_ROOM_H

#include "server-stub/core/gate/slices/scan.h"
#include "server-stub/core/gate/statistics/robust.h"

#define FLO_SCAN_FREEDOM_MIN 20
#define FLO_SCAN_UPDATED_MIN 3
#define FLO_SCAN_CONTROLS_MIN 2 /* controls of its own that a slice needs */
#define FLO_SCAN_FOUND_MAX 128

/* One value of the label that was measured last. */
struct flo_scan_value {
    /* Sums of z over the value's updated devices.  z is the change of a device,
     * with outliers limited, less that of the value's own controls. */
    struct flo_ratio_arm updated;
    /* sum over the value's controls: each control's newest change, with
     * outliers limited */
    struct flo_ratio_arm controls;
    uint32_t members; /* all devices */
    uint32_t first;   /* index in `group` of the first updated
                         device with this value */
    uint32_t own;     /* index in `owned` of the first control with this value */
    /* number of devices of this value that are in the current slice as well,
     * and how many of these are far */
    uint32_t part, part_far;
};
struct flo_scan_ranked {
    double lift; /* change of the device, with outliers limited, less the centre
                    of its wave's controls */
    uint32_t device;
};
enum flo_scan_mark {
    FLO_SCAN_CONTROL = 1, /* the device is a control: its change is known in some wave */
    FLO_SCAN_REMOVED = 2, /* the scan named a slice with this device, and no
                             longer counts the device */
    /* the device counts as much worse in the current slice: its z is above half
     * of the slice's median z */
    FLO_SCAN_FAR = 4,
    FLO_SCAN_TAKEN = 8 /* the device is a control of a slice whose controls changed, too */
};
struct flo_scan_room {
    const struct flo_scan_rule *rule;
    const struct flo_scan_device *devices;
    size_t count;
    double limit;
    size_t waves; /* number of waves in which devices were updated */
    struct flo_clip clips[FLO_SCAN_WAVES_MAX];
    size_t controls; /* number of controls with a difference in any wave */

    double *newest; /* for each device: the last change of a control, with outliers limited */
    /* For each updated device: its change, with outliers limited, less that of
     * the controls with the same value of the current label. */
    double *z;
    /* scratch: one number for each device, and two for each value */
    double *numbers;
    double *pairs;                 /* flo_told_numbers */
    struct flo_scan_ranked *order; /* updated devices, the smallest `lift` first */
    /* updated devices that are in no named slice, the smallest `lift` first */
    struct flo_scan_ranked *live;
    /* indexes of devices in `live`, grouped by label value, those with the
     * smallest `lift` first */
    uint32_t *group;
    uint32_t *owned;               /* controls, by value */
    uint32_t *slice;               /* members of the current slice */
    struct flo_scan_value *values; /* [values + 1] */
    uint8_t *marks;                /* [device] enum flo_scan_mark */
    size_t order_count, live_count;

    /* Label that was measured last. */
    const struct flo_slice_label *label;
    double s2; /* variance of one device's change, pooled over all values of the label */
    double nu;
    double tau2;

    size_t found_count;
    struct flo_scan_changed found[FLO_SCAN_FOUND_MAX];
};

/* Fills the room's arrays from the devices.  Returns false for impossible
 * evidence. */
bool flo_scan_room_open(struct flo_scan_room *room, const struct flo_scan_rule *rule,
                        const struct flo_scan_device *devices, size_t count);
/* Fills `live` from `order`, without removed devices. */
void flo_scan_room_live(struct flo_scan_room *room);
/* Measures a label: fills `values`, `group`, `owned`, `z`. */
void flo_scan_room_measure(struct flo_scan_room *room, size_t label);
/* Returns the updated device at an index of `group`. */
uint32_t flo_scan_room_device(const struct flo_scan_room *room, size_t place);
bool flo_scan_value_has_own(const struct flo_scan_value *value);
/* Tells whether the value can be judged.  It needs controls of its own, or
 * enough members and enough controls of other values. */
bool flo_scan_value_counts(const struct flo_scan_room *room, const struct flo_scan_value *value);
/* Returns the median change, in one wave, of the controls that have this value;
 * outliers are not limited.  A value without controls gets the centre of all
 * controls. */
double flo_scan_value_base(const struct flo_scan_room *room, const struct flo_scan_value *value,
                           size_t wave);

/* Slice that explains most of the change, so far. */
struct flo_scan_best {
    struct flo_slice slice;
    double ln_e, threshold, delta;
};
/* Names the slice: fills the row, removes its devices from the scan, and marks
 * the much worse ones in `far`. */
void flo_scan_row_fill(struct flo_scan_room *room, const struct flo_scan_best *best, uint8_t number,
                       uint8_t *far, struct flo_scan_row *row);

#endif
