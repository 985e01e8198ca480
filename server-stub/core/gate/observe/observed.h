/* Observed: the record of one model on one device for statistical gates.
 *
 * Telemetry windows come in.  At the end of each block of time the open
 * sketches become readings.  Readings are added to two sums: the baseline level
 * of the release that made them, and the time after a split.  The size of the
 * record does not grow with time.  A block is five minutes of the controller's
 * clock; an hour is 12 blocks, also where a test makes blocks shorter.
 *
 * In a rollout a device belongs to an arm.  It is a control while it runs its
 * old release.  From its swap on, when the new release starts, it is treated
 * (updated).  A split fixes the level with which later readings are compared.
 * Levels belong to releases (slices/level.h), so a release that returns has its
 * own.  Pure: the caller owns the memory and says the time. */
#ifndef FLOTILLA_SERVER_OBSERVED_H
#define FLOTILLA_SERVER_OBSERVED_H

#include <flotilla/base.h>
#include <flotilla/proto.h>

#include "server-stub/core/gate/observe/sketch.h"
#include "server-stub/core/gate/slices/leak.h"
#include "server-stub/core/gate/slices/level.h"
#include "server-stub/core/gate/statistics/count.h"
#include "server-stub/core/gate/statistics/series.h"

#define FLO_NO_SKETCH SIZE_MAX
enum flo_observed_reading {
#define FLO_READING(name, ...) FLO_READING_##name,
#include "server-stub/core/gate/observe/readings.def"
#undef FLO_READING
    FLO_READING_COUNT
};
#define FLO_GAUGES (FLO_READING_COUNT - FLO_READING_ENGINE_RSS)
struct flo_reading_fact {
    const char *word;
    int metric;
    size_t sketch;
    double quantile;
    uint64_t least;
    const char *title;
};
const struct flo_reading_fact *flo_reading_fact(enum flo_observed_reading reading);

#define FLO_BLOCK_MS UINT64_C(300000)
#define FLO_BLOCKS_PER_HOUR 12
#define FLO_WARM_BLOCKS 2        /* blocks with cold caches after a swap */
#define FLO_SKETCH_BLOCKS_MAX 24 /* age at which an open sketch is dropped: 2 h */
/* readings that a control needs before its comparison with an earlier time
 * begins */
#define FLO_BEFORE_MIN FLO_LEVEL_FULL
/* Largest number of blocks for which a device may have run a rollout's release
 * before the rollout is known.  Its former release is then the one to compare
 * with. */
#define FLO_AHEAD_BLOCKS 12

/* Blocks after the swap from which growing memory is a leak: caches are full by
 * then.  A rollout may set another time. */
#define FLO_LEAK_BLOCKS 6

#define FLO_SKETCHES 3
/* Readings that have a daily curve: all but the last one, golden answers. */
#define FLO_SHAPES (FLO_READING_COUNT - 1)
/* Readings of a device; absent for devices of which only events are counted. */
struct flo_readings {
    struct flo_pairs pairs[FLO_SKETCHES];
    uint32_t opened[FLO_SKETCHES]; /* number of the block in which each sketch
                                      got its first telemetry window */
    struct flo_mean gauges[FLO_GAUGES];
    struct flo_level_table levels[FLO_READING_COUNT];
    struct flo_series series[FLO_READING_COUNT];
    struct flo_shape_kept shapes[FLO_SHAPES];
    /* Daily curves, fixed for the current rollout. */
    struct flo_shape_daily daily[FLO_SHAPES];
    /* memory since the comparison began, or since the last start of the engine
     * if that is later */
    struct flo_slope_track memory;
    bool has_daily; /* `daily` is fixed */
    /* Kind of each reading's baseline (enum flo_reference). */
    uint8_t reference[FLO_READING_COUNT];
    /* Number of each reading's stratum; only devices with the same number are
     * compared with each other.  It is 0 when the baseline is of the release
     * that the device ran last.  Otherwise it is made from that release and the
     * one of the baseline. */
    uint32_t stratum[FLO_READING_COUNT];
    double y[FLO_READING_COUNT]; /* readings of the block that ended */
    uint8_t fresh;               /* bit for each reading that the block has */
};

enum flo_arm {
    FLO_ARM_NONE,
    FLO_ARM_CONTROL,
    FLO_ARM_TREATED,
    FLO_ARM_ENDED, /* the device was treated, then failed: its sums no longer change */
    FLO_ARM_LEFT   /* left the comparison */
};

struct flo_counters {
    double errors;
    double requests;
    uint32_t blocks; /* number of blocks in which the device sent a telemetry
                        window */
    uint32_t judged; /* number of answers that the application rated; not in the
                        stored record */
    /* number of answers that the application rated as bad; not in the stored
     * record */
    uint32_t bad;
};
/* Counts of one release on the device. */
struct flo_past {
    uint32_t release; /* 0: none */
    uint32_t heard;   /* block of the newest telemetry window of this release */
    struct flo_counters counters;
};
struct flo_observed {
    uint32_t release; /* checksum of the release that the device runs; 0: not known yet */
    uint32_t former;  /* checksum of the release before the swap */
    /* Checksum of the release that the device's rollout brings; 0: the device
     * is in no rollout. */
    uint32_t coming;
    uint32_t rollout;    /* checksum of the device's rollout; 0: it is in none */
    uint32_t split;      /* number of the block at which the comparison with
                            earlier readings began (the split); 0: none yet */
    uint32_t moved;      /* block in which the device began to run `release`; 0: not observed */
    uint32_t heard;      /* block of the newest telemetry window of the device */
    uint32_t read;       /* block of the device's last reading */
    uint32_t crashed;    /* hour of the last counted crash */
    uint32_t hour;       /* hour that bit 0 of hours_heard and hours_died stands for */
    uint8_t hours_heard; /* bit for each of the last 8 hours in which the device
                            sent a telemetry window */
    uint8_t hours_died;
    uint8_t before_heard; /* Copies, made at the split, of hours_heard and
                             (before_died) of hours_died. */
    uint8_t before_died;
    uint8_t arm;
    uint8_t segment;
    /* phase in which the device was updated or, as a control, its comparison
     * began, from 1; 0: none */
    uint8_t phase;
    /* blocks after the device's swap until growth of memory counts; 0:
     * FLO_LEAK_BLOCKS */
    uint16_t leak_from;
    bool is_busy;   /* the device is updating and has not swapped yet */
    bool is_silent; /* the device is updated, but sends no more telemetry windows */
    /* the device failed within 2 h of its update or, as a control, of the start
     * of its comparison */
    bool died_early;
    uint16_t crashes; /* number of hours with a crash since the comparison began */
    uint32_t early;   /* number of blocks with a telemetry window, within 2 h
                         after the swap */
    struct flo_past pasts[FLO_LEVELS_MAX];
    struct flo_counters before, since; /* counts before the comparison began
                                          (the split), and after it */
    /* readings, owned by the caller; NULL: only events are counted */
    struct flo_readings *readings;
};

/* Numbers of one telemetry window, and the block in which it arrived. */
struct flo_observed_window {
    uint32_t block;
    uint32_t release;
    uint64_t requests;
    uint64_t errors;
    uint64_t good, bad; /* answers that the application rated good or bad */
    uint64_t engine_ends;
    bool is_after_start;         /* the agent started in the time of this telemetry window */
    uint64_t gauges[FLO_GAUGES]; /* 0: none */
    /* Value of the GOLDEN reading for an updated device.  It is measured with
     * the golden answers of the release before the swap; 0: none. */
    uint64_t golden_former;
    /* Histogram of each sketch; NULL: no samples. */
    const struct flo_histogram *histograms[FLO_SKETCHES];
};
/* Facts of a rollout that the records of its devices need. */
struct flo_observed_rollout {
    uint32_t id;      /* checksum of the rollout */
    uint32_t release; /* the rollout's release */
    uint8_t phase;    /* from 1 */
    /* blocks after a swap until growth of memory counts; 0: FLO_LEAK_BLOCKS */
    uint16_t leak_from;
};

/* Takes one telemetry window of the device.  Returns true when it shows that
 * the device swapped to the rollout's release.  `rollout` may be NULL. */
bool flo_observed_take(struct flo_observed *observed, const struct flo_observed_window *window,
                       const struct flo_observed_rollout *rollout);

/* State of a member, according to its rollout. */
enum flo_member_way {
    FLO_MEMBER_WAITS, /* the member runs its old release */
    /* the member updates: it is in a state from `accepted` until the swap */
    FLO_MEMBER_BUSY,
    FLO_MEMBER_SWAPPED,
    FLO_MEMBER_SILENT, /* the member was updated, but sends no more telemetry windows */
    FLO_MEMBER_DIED,   /* the member swapped, then rolled back */
    FLO_MEMBER_OUT     /* in no comparison */
};
/* Returns true when the member swapped in a rollout, but has changed its
 * release again since.  Its evidence then does not belong to the rollout. */
bool flo_observed_has_left(const struct flo_observed *observed,
                           const struct flo_observed_rollout *rollout, enum flo_member_way way);
/* Assigns the device to the rollout and, by the member's state, to an arm.
 * Returns true when this call finds that the member swapped. */
bool flo_observed_place(struct flo_observed *observed, const struct flo_observed_rollout *rollout,
                        enum flo_member_way way, uint8_t segment, uint32_t block);
/* Returns the device's mean for this reading under its present release, or NULL
 * when it has none.  The common change of a segment is measured from such
 * means. */
const struct flo_mean *flo_observed_level(const struct flo_observed *observed,
                                          enum flo_observed_reading reading);
/* Splits a control at the first swap of the phase: its readings after that are
 * compared with those before. */
void flo_observed_split(struct flo_observed *observed, uint8_t phase, uint32_t block);
/* Ends the device's part in its rollout. */
void flo_observed_release(struct flo_observed *observed);

/* First step at the end of a block: makes the block's readings from sketches
 * and gauges. */
void flo_observed_read(struct flo_observed *observed, uint32_t block);
/* Tells whether the device's readings count in its segment's curve, the common
 * change of the segment's controls. */
bool flo_observed_is_member(const struct flo_observed *observed);
/* Second step at the end of a block of time: adds the block's readings to the
 * sums.  `curve` has, for each reading, the common change of the segment's
 * controls. */
void flo_observed_end(struct flo_observed *observed, uint32_t block, const double *curve);

/* ---- for a comparison ---- */

/* Gets the device's change since its comparison began (its split).  Returns
 * false when there are too few readings before or after. */
bool flo_observed_difference(const struct flo_observed *observed, enum flo_observed_reading reading,
                             double *out);
/* Tells whether the device has or had requests that this reading measures.  A
 * single request is enough, even before there is a reading. */
bool flo_observed_reads(const struct flo_observed *observed, enum flo_observed_reading reading);
/* Returns the number of the pair of releases that a reading is compared by
 * (`stratum`).  Only devices with the same number are compared. */
uint32_t flo_observed_stratum(const struct flo_observed *observed,
                              enum flo_observed_reading reading);
/* Fixes the device's daily curve, which is subtracted from all later readings.
 * Only the first call in a rollout has an effect.  The start of a comparison (a
 * split) calls it at the latest. */
void flo_observed_fix_daily(struct flo_observed *observed);
/* Returns the first block whose memory counts for a leak, after a swap in
 * `block`. */
uint32_t flo_observed_leak_from(const struct flo_observed *observed, uint32_t block);
double flo_observed_daily(const struct flo_observed *observed, enum flo_observed_reading reading,
                          uint32_t block);
/* Gets the baseline of a device that runs its old release, as if it updated
 * now.  *mean is the mean less its daily curve, *stratum the number that
 * flo_observed_stratum would return.  Returns false when no release has a level
 * of 12 readings. */
bool flo_observed_past(const struct flo_observed *observed, enum flo_observed_reading reading,
                       uint32_t block, double *mean, uint32_t *stratum);
/* Gets the counts that would be the baseline if a comparison of the device
 * began now. */
void flo_observed_counters(const struct flo_observed *observed, struct flo_counters *out);
/* Total change of a reading on the device since its comparison began, and the
 * number of readings before and after.  The common change of the segment is not
 * subtracted.  One reading on each side is enough. */
struct flo_observed_change {
    double d;
    uint32_t before, after;
};
void flo_observed_change(const struct flo_observed *observed, enum flo_observed_reading reading,
                         struct flo_observed_change *out);
/* Readings that decide whether a device counts as much slower, and whether a
 * site is probed. */
extern const enum flo_observed_reading flo_slow_readings[];
extern const size_t flo_slow_reading_count;
/* Gets the mean with which an updated device is compared, less its daily curve.
 * Returns false when there is no such mean. */
bool flo_observed_reference(const struct flo_observed *observed, enum flo_observed_reading reading,
                            double *mean);
/* Returns true when the device had no reading for more than blocks_max blocks.
 * *is_known is false when it had none since its split, but too little time has
 * passed. */
bool flo_observed_is_unread(const struct flo_observed *observed, uint32_t block,
                            uint32_t blocks_max, bool *is_known);
/* Returns the number of hours since the split in which the device sent a
 * telemetry window. */
double flo_observed_hours(const struct flo_observed *observed);
/* Adds the device to the counts of early deaths.  `treated` gets the first 2 h
 * after its swap.  `others` gets its 8 hours before the swap, or the last 8
 * hours of a device that is not treated. */
void flo_observed_deaths(const struct flo_observed *observed, struct flo_deaths_arm *treated,
                         struct flo_deaths_arm *others);

/* Crashes of a device in two spans: the 2 h after its update or the start of
 * its comparison, and the 8 h before. */
struct flo_observed_crashes {
    bool has_crashed;
    double hours; /* hours since the update or the start of the comparison, at most 2 */
    /* hours with a telemetry window among the 8 hours before the update or the
     * start of the comparison */
    double hours_before;
    /* hours with a crash among the 8 hours before the update or the start of
     * the comparison */
    double died_before;
};
void flo_observed_crashes(const struct flo_observed *observed, uint32_t block,
                          struct flo_observed_crashes *out);

/* ---- kept across a start of the controller ---- */

#define FLO_OBSERVED_BYTES_MAX 2560
/* Packs a device's record.  The open sketches are left out, because they hold
 * at most one block of samples.  `out` holds FLO_OBSERVED_BYTES_MAX bytes.
 * Returns the number of bytes used. */
size_t flo_observed_pack(const struct flo_observed *observed, uint8_t *out);
/* Unpacks a record.  If the bytes have readings, the caller's `readings` is
 * filled and *has_readings is true.  Returns FLO_E_DB for bytes that
 * flo_observed_pack cannot have written. */
FLO_MUST_USE int flo_observed_unpack(const uint8_t *data, size_t bytes,
                                     struct flo_observed *observed, struct flo_readings *readings,
                                     bool *has_readings, struct flo_err *err);

#endif
