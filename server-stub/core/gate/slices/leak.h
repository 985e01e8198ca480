/* Leak: memory that grows on updated devices and not on their controls.
 *
 * Each device gives the slope of its readings over time, and that of the latest
 * half of them: a cache that fills slows down, a leak does not.  Pure. */
#ifndef FLOTILLA_SERVER_SLICES_LEAK_H
#define FLOTILLA_SERVER_SLICES_LEAK_H

#include "server-stub/core/gate/statistics/ratio.h"

/* The logarithm of a gauge in a block of 5 minutes, both since whenever. */
struct flo_slope_reading {
    uint32_t block;
    double y;
};
/* Slopes of ln per hour. */
struct flo_slope {
    bool has_slope;  /* 10 readings */
    bool has_latest; /* 6 in their latest half */
    double slope;
    double latest;
};
/* Readings in the order of their blocks, from 30 minutes after the swap on.
 *
 * false: one is not finite; *out has nothing. */
bool flo_slope_of(const struct flo_slope_reading *readings, size_t count, struct flo_slope *out);

/* The same from sums: no reading is kept.  `latest` and `newest` together have
 * the latest half to three quarters of them: at each power of two the older
 * ones are forgotten. */
struct flo_slope_sums {
    uint32_t count;
    double t, t2, y, ty; /* t: hours since `from`; y: above `base` */
};
struct flo_slope_track {
    uint32_t from; /* the first block that counts; 0: none does */
    double base;   /* the first reading */
    struct flo_slope_sums all, latest, newest;
};
/* Nothing before `from` counts, and nothing from before this call. */
void flo_slope_begin(struct flo_slope_track *track, uint32_t from);
/* A reading of a block that no earlier one is of.  false: not finite, or
 * numbers without end; nothing changed. */
bool flo_slope_add(struct flo_slope_track *track, uint32_t block, double y);
void flo_slope_read(const struct flo_slope_track *track, struct flo_slope *out);
/* The same of the readings that are not in `before` yet: `all` as it was.  So
 * devices whose readings began earlier are measured in the time of another. */
void flo_slope_read_since(const struct flo_slope_track *track, const struct flo_slope_sums *before,
                          struct flo_slope *out);

struct flo_leak_rule {
    double limit_pct; /* an hour */
    double alpha, weight;
    uint64_t devices_min;
    uint64_t controls_min;
};
/* Sums of slopes, clipped and about the controls' median: what a verdict
 * follows from. */
struct flo_leak_arms {
    struct flo_ratio_arm treated, control;
    double slope;  /* difference of the medians, unclipped */
    double latest; /* the same of the latest half */
};
struct flo_leak_result {
    enum flo_verdict verdict; /* fail (action: pause), or inconclusive */
    enum flo_open open;
    uint64_t updated; /* devices with both slopes */
    uint64_t controls;
    double ln_e;
    bool has_slope; /* enough of both */
    double slope;   /* difference of the medians, ln per hour, unclipped */
};
/* Slopes of both arms; devices without both do not count.  `numbers` is room
 * for twice as many doubles as the greater arm has devices.
 *
 * false: one is not finite; *out has no devices. */
bool flo_leak_arms(const struct flo_slope *updated, size_t updated_count,
                   const struct flo_slope *controls, size_t control_count, double *numbers,
                   struct flo_leak_arms *out);
/* Another wave of the same segment: its updated devices, less what the controls
 * did in their time.  These are mostly the same devices for each wave, so they
 * count once. */
void flo_leak_add_wave(struct flo_leak_arms *to, const struct flo_leak_arms *wave);
/* Those of another segment, which have controls of their own. */
void flo_leak_add(struct flo_leak_arms *to, const struct flo_leak_arms *from);
/* false: numbers that cannot be; *out is open then. */
bool flo_leak_judge(const struct flo_leak_rule *rule, const struct flo_leak_arms *arms,
                    struct flo_leak_result *out);

#endif
