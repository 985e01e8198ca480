/* Observed: all that is kept of one model on one device for statistical gates.
 *
 * Windows of telemetry come in.  At the end of each block of time the open
 * sketches become readings, and readings become sums: of the level of the
 * release that made them, and of the time after a split.  Nothing of it grows
 * with time.  A block is five minutes of the controller's clock; an hour is 12
 * blocks, also where a test makes blocks shorter.
 *
 * In a rollout a device has an arm: a control runs its old release; it is
 * treated from its own swap on.  A split fixes the level that it is compared
 * with.  Levels belong to releases (slices/level.h): a release that comes back
 * has its own.  Pure: the caller owns the memory and says the time. */
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
#define FLO_WARM_BLOCKS 2             /* cold caches after a swap */
#define FLO_SKETCH_BLOCKS_MAX 24      /* 2 h; then it is thrown away */
#define FLO_BEFORE_MIN FLO_LEVEL_FULL /* readings that a control needs */
/* An updated device is compared with what it ran so long before. */
#define FLO_AHEAD_BLOCKS 12

/* From so long after its swap on, memory that grows is a leak: caches are full.
 * A rollout may say another time. */
#define FLO_LEAK_BLOCKS 6

#define FLO_SKETCHES 3
/* Readings that have an hour of the day: all but the last, golden answers. */
#define FLO_SHAPES (FLO_READING_COUNT - 1)
/* Readings of a device; those that are only counted have none. */
struct flo_readings {
    struct flo_pairs pairs[FLO_SKETCHES];
    uint32_t opened[FLO_SKETCHES]; /* block of its first window */
    struct flo_mean gauges[FLO_GAUGES];
    struct flo_level_table levels[FLO_READING_COUNT];
    struct flo_series series[FLO_READING_COUNT];
    struct flo_shape_kept shapes[FLO_SHAPES];
    /* Curves of the rollout that it is in. */
    struct flo_shape_daily daily[FLO_SHAPES];
    struct flo_slope_track memory; /* since its split and its last start */
    bool has_daily;                /* `daily` is fixed */
    /* enum flo_reference of `before`. */
    uint8_t reference[FLO_READING_COUNT];
    /* Devices with the same one are compared with each other.  0: with the
     * release that they run; else it stands for that and for an older one. */
    uint32_t stratum[FLO_READING_COUNT];
    double y[FLO_READING_COUNT]; /* values of the block that ended */
    uint8_t fresh;               /* a bit for each that the block has */
};

enum flo_arm {
    FLO_ARM_NONE,
    FLO_ARM_CONTROL,
    FLO_ARM_TREATED,
    FLO_ARM_ENDED, /* treated, and it ended badly: its sums stay as they are */
    FLO_ARM_LEFT   /* in no comparison any more */
};

struct flo_tally {
    double errors;
    double requests;
    uint32_t blocks; /* heard in */
    uint32_t judged; /* answers, by the application ... */
    uint32_t bad;    /* ... and so many were bad; neither is kept */
};
/* Counts of a release on it. */
struct flo_past {
    uint32_t release; /* 0: none */
    uint32_t heard;   /* block of its last window that counts */
    struct flo_tally tally;
};
struct flo_observed {
    uint32_t release; /* checksum of what it runs; 0: not known yet */
    uint32_t former;  /* checksum of what it ran before */
    /* Checksum of what its rollout brings; 0: it is in none. */
    uint32_t coming;
    uint32_t rollout;    /* checksum of the one that it is in; 0: none */
    uint32_t split;      /* block; 0: not yet */
    uint32_t moved;      /* block in which it began to run `release`; 0: when
                            nobody looked */
    uint32_t heard;      /* block of its last window that counts */
    uint32_t read;       /* block of its last reading */
    uint32_t crashed;    /* hour of the last crash that counts */
    uint32_t hour;       /* hour of the first bit below */
    uint8_t hours_heard; /* a bit for each of the last 8 hours */
    uint8_t hours_died;
    uint8_t before_heard; /* the same, as they were at its swap */
    uint8_t before_died;
    uint8_t arm;
    uint8_t segment;
    uint8_t phase;      /* phase of the split or its swap, from 1; 0: none */
    uint16_t leak_from; /* blocks after its swap; 0: FLO_LEAK_BLOCKS */
    bool is_busy;       /* in an execution, until the swap */
    bool is_silent;     /* treated, and not heard of any more */
    bool died_early;    /* within 2 h of its swap or, a control, its split */
    uint16_t crashes;   /* since the split, at most one an hour */
    uint32_t early;     /* blocks heard within 2 h of its swap */
    struct flo_past pasts[FLO_LEVELS_MAX];
    struct flo_tally before, since; /* the split */
    struct flo_readings *readings;  /* the caller's; NULL: counted only */
};

/* The numbers of a window, and when it came. */
struct flo_observed_window {
    uint32_t block;
    uint32_t release;
    uint64_t requests;
    uint64_t errors;
    uint64_t good, bad; /* answers, by the application */
    uint64_t engine_ends;
    bool is_after_start;         /* the agent began in it */
    uint64_t gauges[FLO_GAUGES]; /* 0: none */
    uint64_t golden_former;      /* for GOLDEN, once it is treated; 0: none */
    /* By sketch; NULL: none. */
    const struct flo_histogram *histograms[FLO_SKETCHES];
};
/* The rollout that a device is in, as far as its windows need it. */
struct flo_observed_rollout {
    uint32_t id;        /* checksum */
    uint32_t release;   /* the one that comes */
    uint8_t phase;      /* from 1 */
    uint16_t leak_from; /* blocks after a swap; 0: FLO_LEAK_BLOCKS */
};

/* One window.  true: it shows that the device swapped to the rollout's release.
 * `rollout` may be NULL. */
bool flo_observed_take(struct flo_observed *observed, const struct flo_observed_window *window,
                       const struct flo_observed_rollout *rollout);

/* A member, as its rollout knows it. */
enum flo_member_way {
    FLO_MEMBER_WAITS, /* with its old release */
    FLO_MEMBER_BUSY,  /* from `accepted` to the swap */
    FLO_MEMBER_SWAPPED,
    FLO_MEMBER_SILENT, /* swapped, and not heard of any more */
    FLO_MEMBER_DIED,   /* swapped, and taken back */
    FLO_MEMBER_OUT     /* in no comparison */
};
/* A member that swapped in a rollout to which its evidence does not belong:
 * another release has followed, and there is nothing to compare. */
bool flo_observed_has_left(const struct flo_observed *observed,
                           const struct flo_observed_rollout *rollout, enum flo_member_way way);
/* true: it swapped now, as the rollout says. */
bool flo_observed_place(struct flo_observed *observed, const struct flo_observed_rollout *rollout,
                        enum flo_member_way way, uint8_t segment, uint32_t block);
/* The mean that the reading's curve is made with; NULL: it has none. */
const struct flo_mean *flo_observed_level(const struct flo_observed *observed,
                                          enum flo_observed_reading reading);
/* The phase's first swap: a control compares with the time before it. */
void flo_observed_split(struct flo_observed *observed, uint8_t phase, uint32_t block);
/* The device's rollout is over. */
void flo_observed_release(struct flo_observed *observed);

/* A block ended, first part: read out. */
void flo_observed_read(struct flo_observed *observed, uint32_t block);
/* Does it make the curve of its segment? */
bool flo_observed_is_member(const struct flo_observed *observed);
/* ... second part: `curve` has the block's value of each reading. */
void flo_observed_end(struct flo_observed *observed, uint32_t block, const double *curve);

/* ---- for a comparison ---- */

/* The device's difference.  false: too little before or after. */
bool flo_observed_difference(const struct flo_observed *observed, enum flo_observed_reading reading,
                             double *out);
/* The device has requests of that kind, or had: one is enough, also before it
 * makes a reading. */
bool flo_observed_reads(const struct flo_observed *observed, enum flo_observed_reading reading);
/* Whom it is compared with in a reading: devices of the same number. */
uint32_t flo_observed_stratum(const struct flo_observed *observed,
                              enum flo_observed_reading reading);
/* The device's hour of the day, fixed by the first call in a rollout, and by
 * its split at the latest: then it is taken off all its readings. */
void flo_observed_fix_daily(struct flo_observed *observed);
/* The first block whose memory counts for a leak, after a swap in `block`. */
uint32_t flo_observed_leak_from(const struct flo_observed *observed, uint32_t block);
double flo_observed_daily(const struct flo_observed *observed, enum flo_observed_reading reading,
                          uint32_t block);
/* The past of a device that runs its old release: mean and stratum of the level
 * that it would be compared with, less its hour of the day.  false: it has none
 * of 12 readings. */
bool flo_observed_past(const struct flo_observed *observed, enum flo_observed_reading reading,
                       uint32_t block, double *mean, uint32_t *stratum);
/* The counts that a split now would compare with. */
void flo_observed_tally(const struct flo_observed *observed, struct flo_tally *out);
/* All that changed on it, the curve as well, and from how many readings.  One
 * on each side is enough to tell. */
struct flo_observed_change {
    double d;
    uint32_t before, after;
};
void flo_observed_change(const struct flo_observed *observed, enum flo_observed_reading reading,
                         struct flo_observed_change *out);
/* Readings by which a device counts as much slower, and a site is probed. */
extern const enum flo_observed_reading flo_slow_readings[];
extern const size_t flo_slow_reading_count;
/* The mean that an updated device is compared with, less its hour of the day.
 * false: it has none. */
bool flo_observed_reference(const struct flo_observed *observed, enum flo_observed_reading reading,
                            double *mean);
/* No reading for so many blocks; *is_known false: too early to say. */
bool flo_observed_is_unread(const struct flo_observed *observed, uint32_t block,
                            uint32_t blocks_max, bool *is_known);
/* Hours that it was heard in, since the split. */
double flo_observed_hours(const struct flo_observed *observed);
/* Early deaths: what a treated device and what any other adds. */
void flo_observed_deaths(const struct flo_observed *observed, struct flo_deaths_arm *treated,
                         struct flo_deaths_arm *others);

/* Crashes within 2 h of its swap, or of a control's split, and those before
 * that: in hours. */
struct flo_observed_crashes {
    bool has_crashed;
    double hours;        /* since then, at most 2 */
    double hours_before; /* heard in, of the 8 before */
    double died_before;  /* hours of them with a crash */
};
void flo_observed_crashes(const struct flo_observed *observed, uint32_t block,
                          struct flo_observed_crashes *out);

/* ---- kept across a start of the controller ---- */

/* All but the open sketches, which hold a block at most.  `out` holds
 * FLO_OBSERVED_BYTES_MAX; returns the bytes used. */
#define FLO_OBSERVED_BYTES_MAX 2560
size_t flo_observed_pack(const struct flo_observed *observed, uint8_t *out);
/* `observed->readings` of the caller is filled when the bytes have readings;
 * *has_readings says so.  FLO_E_DB on anything that pack does not write. */
FLO_MUST_USE int flo_observed_unpack(const uint8_t *data, size_t bytes,
                                     struct flo_observed *observed, struct flo_readings *readings,
                                     bool *has_readings, struct flo_err *err);

#endif
