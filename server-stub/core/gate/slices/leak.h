/* Leak: finds memory that grows on updated devices and not on their controls.
 *
 * Each device has two slopes over time: of all its readings and of their latest
 * half.  A cache that fills slows down, a leak does not.  Pure. */
#ifndef FLOTILLA_SERVER_SLICES_LEAK_H
#define FLOTILLA_SERVER_SLICES_LEAK_H

#include "server-stub/core/gate/statistics/ratio.h"

/* Reading of a gauge in a block of 5 minutes; `y` is its logarithm.  Block
 * numbers and `y` may begin anywhere. */
struct flo_slope_reading {
    uint32_t block;
    double y;
};
/* Slopes, in ln per hour. */
struct flo_slope {
    bool has_slope;  /* 10 readings */
    bool has_latest; /* `latest` is set: the latest half has at least 6 readings */
    double slope;
    double latest;
};
/* Gets the slopes of readings, which are in block order and begin 30 minutes
 * after the swap.
 *
 * Returns false for a reading that is not finite; *out is empty then. */
bool flo_slope_of(const struct flo_slope_reading *readings, size_t count, struct flo_slope *out);

/* Sums of a line fit, which give a slope without stored readings. */
struct flo_slope_sums {
    uint32_t count;
    /* Sums of t, the hours since `from`, and of y, the reading less `base`; t2:
     * of t squared; ty: of t times y. */
    double t, t2, y, ty;
};
/* Running sums of a device's memory readings.  Whenever their number reaches a
 * power of two, older ones are dropped from `latest` and `newest`.  These two
 * together thus have the latest half to three quarters of the readings. */
struct flo_slope_track {
    uint32_t from; /* first block that counts; 0: none */
    double base;   /* the first reading */
    struct flo_slope_sums all, latest, newest;
};
/* Empties the sums; only readings from block `from` on count. */
void flo_slope_begin(struct flo_slope_track *track, uint32_t from);
/* Adds a reading, at most one per block.  Returns false for numbers that are
 * not finite; nothing changed. */
bool flo_slope_add(struct flo_slope_track *track, uint32_t block, double y);
void flo_slope_read(const struct flo_slope_track *track, struct flo_slope *out);
/* Gets the slopes of the readings since `before`, an earlier copy of `all`.
 * Devices whose readings began at different times are thus compared over the
 * same time. */
void flo_slope_read_since(const struct flo_slope_track *track, const struct flo_slope_sums *before,
                          struct flo_slope *out);

struct flo_leak_rule {
    double limit_pct; /* % per hour */
    double alpha, weight;
    uint64_t devices_min;
    uint64_t controls_min;
};
/* Sums for a verdict: slopes less the median of the controls, with outliers
 * limited. */
struct flo_leak_arms {
    struct flo_ratio_arm treated, control;
    double slope; /* difference of the arms' median slopes; outliers are not limited */
    /* difference of the arms' median slopes in the latest half of the
     * readings */
    double latest;
};
struct flo_leak_result {
    enum flo_verdict verdict; /* Fail, upon which the rollout pauses, or inconclusive. */
    enum flo_open open;
    uint64_t updated; /* number of updated devices that have both slopes: of all
                         readings, and of the latest half */
    uint64_t controls;
    double ln_e;
    bool has_slope; /* `slope` is set: both arms have enough devices */
    /* difference of the arms' median slopes, ln per hour; outliers are not
     * limited */
    double slope;
};
/* Sums the slopes of both arms; a device without both slopes does not count.
 * `numbers` is room for twice as many doubles as the greater arm has devices.
 *
 * Returns false for a slope that is not finite; *out has no devices then. */
bool flo_leak_arms(const struct flo_slope *updated, size_t updated_count,
                   const struct flo_slope *controls, size_t control_count, double *numbers,
                   struct flo_leak_arms *out);
/* Adds another wave of the same segment: its updated devices, relative to the
 * controls in its time.  The controls are mostly the same devices in each wave,
 * so they count once. */
void flo_leak_add_wave(struct flo_leak_arms *to, const struct flo_leak_arms *wave);
/* Adds the arms of another segment, which has controls of its own. */
void flo_leak_add(struct flo_leak_arms *to, const struct flo_leak_arms *from);
/* Judges whether memory leaks.  Returns false for impossible numbers; *out is
 * inconclusive then. */
bool flo_leak_judge(const struct flo_leak_rule *rule, const struct flo_leak_arms *arms,
                    struct flo_leak_result *out);

#endif
