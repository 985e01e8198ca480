/* Since: readings and counts of a rollout's member since each wave began.
 *
 * A wave is a set of devices whose swaps begin together.  A control has, for
 * each wave that it saw begin, its past and its sums at that time.  A device
 * that swaps belongs to one wave from then on, and keeps its evidence as a
 * control.  Errors and crashes are counted for controls only; flo_observed has
 * those of updated devices.  The evidence survives a restart of the controller.
 * Pure: the caller owns the memory. */
#ifndef FLOTILLA_SERVER_SINCE_H
#define FLOTILLA_SERVER_SINCE_H

#include "server-stub/core/gate/observe/observed.h"
#include "server-stub/core/gate/slices/slow.h"
#include "server-stub/core/gate/slices/waves.h"

#define FLO_SPEEDS FLO_READING_ENGINE_RSS /* readings before ENGINE_RSS */
/* number of readings that are compared on each side of a swap */
#define FLO_STEP_READINGS 3

/* One speed of a control, since one wave began. */
struct flo_since_wave {
    double at_sum;     /* sum of the readings in `total` when the wave began */
    double before;     /* mean of the readings before the wave, with which later
                          ones are compared */
    double first;      /* mean of the first 12 readings since the wave began */
    uint32_t at_count; /* number of readings in `total` when the wave began */
    uint32_t stratum;
};
struct flo_since_speed {
    struct flo_mean total; /* all readings of the device while it was a control */
    uint8_t known;         /* bit for each wave at whose begin the device had a baseline */
    uint8_t has_first;     /* bit for each wave whose `first` is complete */
    struct flo_since_wave waves[FLO_SCAN_WAVES_MAX];
    double last[FLO_STEP_READINGS]; /* the device's last readings before its own
                                       swap, newest first */
    uint8_t last_count;
    struct flo_mean step; /* the first 3 readings after the device's own swap */
    /* mean of the first 12 readings after the device's own swap */
    struct flo_mean first;
};
_Static_assert(FLO_SCAN_WAVES_MAX <= 8, "a bit for each wave");
/* Memory of a control since a wave began.  The readings cover the same time as
 * those of the wave's updated devices. */
struct flo_since_memory {
    uint32_t from; /* first block of the comparison of memory; 0: the device was
                      no control when the wave began */
    bool has_begun;
    struct flo_slope_sums at; /* sums of the readings in blocks before `from` */
};
struct flo_since_counts {
    uint32_t errors, requests;
    uint32_t blocks;  /* number of blocks in which the device sent a telemetry window */
    uint32_t crashes; /* number of crashes, at most one counted per hour */
};
struct flo_since_past {
    struct flo_since_counts at;
    float errors, requests; /* numbers before the wave began, with which later
                               ones are compared */
    /* Among the 8 hours before the wave: the number with a telemetry window,
     * and the number with a crash. */
    uint8_t hours, died;
    bool is_known;
};
struct flo_since {
    uint32_t rollout; /* checksum of the rollout */
    uint32_t crashed; /* hour of the last counted crash, plus 1; 0: none */
    uint8_t wave;     /* wave of the device's own swap, from 1; 0: it is a control */
    struct flo_since_counts total;
    struct flo_since_past pasts[FLO_SCAN_WAVES_MAX];
    /* first block of the memory readings whose sums `memory` has; another value
     * means that the engine restarted */
    uint32_t memory_from;
    struct flo_since_memory memory[FLO_SCAN_WAVES_MAX];
    /* array of FLO_SPEEDS; NULL: only events are counted */
    struct flo_since_speed *speeds;
};

/* Stores the sums that a control has now, because a wave (devices whose swaps
 * begin together) began in `block`. */
void flo_since_wave(struct flo_since *since, const struct flo_observed *observed, uint8_t wave,
                    uint32_t block);
/* Notes that the device swapped: it belongs to `wave` from now on. */
void flo_since_swap(struct flo_since *since, uint8_t wave);
/* Returns true when the device's evidence fits a rollout that has `waves` waves:
 * it belongs to no later wave, and saw none begin. */
bool flo_since_is_of(const struct flo_since *since, uint8_t waves);
/* Adds the counts of a telemetry window of the device.  Call it after
 * flo_observed_take. */
void flo_since_take(struct flo_since *since, const struct flo_observed *observed,
                    const struct flo_observed_window *window);
/* Adds the readings of a block that ended; call it before flo_observed_end.
 * Returns false when the device is no longer a control although it did not
 * swap.  The caller then drops the device's record. */
bool flo_since_read(struct flo_since *since, const struct flo_observed *observed, uint32_t block,
                    const double *curve);

/* ---- for a comparison ---- */

/* Gets the change of a control's speed since a wave.  Returns false with fewer
 * than three readings, or without a baseline. */
bool flo_since_difference(const struct flo_since *since, size_t speed, size_t wave, double *d,
                          uint32_t *stratum);
/* Gets the mean change of the first 12 readings since a wave.  The value is
 * kept when the device swaps.  Returns false when there are fewer readings. */
bool flo_since_first(const struct flo_since *since, size_t speed, size_t wave, double *d,
                     uint32_t *stratum);
/* Gets the step of an updated device: three readings after its swap less three
 * before.  Returns false when either side has fewer readings. */
bool flo_since_step(const struct flo_since *since, size_t speed, double *step);

/* Gets the growth of a control's memory since a wave began, or since it became
 * a control if that was later. */
void flo_since_slope(const struct flo_since *since, const struct flo_slope_track *track,
                     size_t wave, struct flo_slope *out);

/* Counts of a device since a wave began, and before that. */
struct flo_since_numbers {
    double errors, requests;
    double crashes, hours;
    double errors_before, requests_before;
    double crashes_before, hours_before;
};
/* Gets the counts of a control since a wave began.  If the device was no
 * control then, they are since the next wave that it saw begin.  If there is
 * none, they are since the last one before.  Returns false when it saw no wave
 * begin. */
bool flo_since_counted(const struct flo_since *since, size_t wave, struct flo_since_numbers *out);

/* ---- kept across a start of the controller ---- */

#define FLO_SINCE_BYTES_MAX 2560
#define FLO_KEPT_BYTES_MAX (FLO_OBSERVED_BYTES_MAX + FLO_SINCE_BYTES_MAX)
/* Packs the evidence of a device as a row: `observed` and, for a member of a
 * rollout, `since`.  `out` holds FLO_KEPT_BYTES_MAX bytes.  Returns the number
 * of bytes used. */
size_t flo_kept_member_pack(const struct flo_observed *observed,
                            const struct flo_since *since_or_null, uint8_t *out);
struct flo_kept_member {
    /* record of the device; its pointer `readings` is NULL, and the member
     * `readings` of this struct has them */
    struct flo_observed observed;
    struct flo_readings readings;
    /* evidence since the waves; its pointer `speeds` is NULL, because the
     * member below has them */
    struct flo_since since;
    struct flo_since_speed speeds[FLO_SPEEDS];
    bool has_readings, has_since, has_speeds;
};
/* Unpacks a row.  Returns FLO_E_DB for bytes that no version of
 * flo_kept_member_pack can have written. */
FLO_MUST_USE int flo_kept_member_unpack(const uint8_t *data, size_t bytes,
                                        struct flo_kept_member *out, struct flo_err *err);

/* Waves of a rollout.  tau2 is a variance: how much the values of a label
 * differ for other causes than the release. */
struct flo_kept_waves {
    struct flo_waves waves;
    double tau2[FLO_SPEEDS][FLO_SLICE_LABELS_MAX];
};
#define FLO_KEPT_WAVES_BYTES_MAX 1024
size_t flo_kept_waves_pack(const struct flo_kept_waves *waves, uint8_t *out);
FLO_MUST_USE int flo_kept_waves_unpack(const uint8_t *data, size_t bytes,
                                       struct flo_kept_waves *out, struct flo_err *err);

#endif
