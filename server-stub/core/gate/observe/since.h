/* Since: what a member of a rollout read and counted since each wave began.
 *
 * A wave is devices whose swaps begin together.  A control has, for each wave
 * that it saw begin, its past and its sums as they were then.  A device that
 * swaps has a wave of its own from there on, and keeps what it was as a
 * control.  Errors and crashes are of controls alone; those of an updated
 * device stand in its flo_observed.  Kept over a start of the controller.
 * Pure: the caller owns the memory. */
#ifndef FLOTILLA_SERVER_SINCE_H
#define FLOTILLA_SERVER_SINCE_H

#include "server-stub/core/gate/observe/observed.h"
#include "server-stub/core/gate/slices/slow.h"
#include "server-stub/core/gate/slices/waves.h"

#define FLO_SPEEDS FLO_READING_ENGINE_RSS /* readings before it */
#define FLO_STEP_READINGS 3               /* on each side of a swap */

/* A speed of a control, and a wave. */
struct flo_since_wave {
    double at_sum;     /* the total as it began */
    double before;     /* mean of its past */
    double first;      /* mean of the first 12 readings since */
    uint32_t at_count; /* count of the total as it began */
    uint32_t stratum;
};
struct flo_since_speed {
    struct flo_mean total; /* as a control */
    uint8_t known;         /* a bit for each wave that has a past */
    uint8_t has_first;     /* likewise, 12 readings */
    struct flo_since_wave waves[FLO_SCAN_WAVES_MAX];
    double last[FLO_STEP_READINGS]; /* the newest as a control, first */
    uint8_t last_count;
    struct flo_mean step;  /* the first 3 after its own swap */
    struct flo_mean first; /* the first 12 */
};
_Static_assert(FLO_SCAN_WAVES_MAX <= 8, "a bit for each wave");
/* Memory of a control since a wave: the readings that its updated devices are
 * measured by are of the same time. */
struct flo_since_memory {
    uint32_t from; /* the first block that counts; 0: the wave is not known */
    bool has_begun;
    struct flo_slope_sums at; /* all readings before it */
};
struct flo_since_counts {
    uint32_t errors, requests;
    uint32_t blocks;  /* heard in */
    uint32_t crashes; /* at most one an hour */
};
struct flo_since_past {
    struct flo_since_counts at;
    float errors, requests; /* sums of its past */
    uint8_t hours, died;    /* heard in and crashed in, of the 8 before */
    bool is_known;
};
struct flo_since {
    uint32_t rollout; /* checksum */
    uint32_t crashed; /* hour of the last crash that counts, and one; 0 */
    uint8_t wave;     /* wave of its own swap, from 1; 0: it is a control */
    struct flo_since_counts total;
    struct flo_since_past pasts[FLO_SCAN_WAVES_MAX];
    uint32_t memory_from; /* where the readings of `memory` begin */
    struct flo_since_memory memory[FLO_SCAN_WAVES_MAX];
    struct flo_since_speed *speeds; /* [FLO_SPEEDS]; NULL: counted only */
};

/* A wave began in `block`, and the device is a control. */
void flo_since_wave(struct flo_since *since, const struct flo_observed *observed, uint8_t wave,
                    uint32_t block);
/* The device swapped itself. */
void flo_since_swap(struct flo_since *since, uint8_t wave);
/* The waves are among the first `waves` of the rollout. */
bool flo_since_is_of(const struct flo_since *since, uint8_t waves);
/* A window, after flo_observed_take. */
void flo_since_take(struct flo_since *since, const struct flo_observed *observed,
                    const struct flo_observed_window *window);
/* A block ended, before flo_observed_end.  false: it is no control any more,
 * and had no swap: forget it. */
bool flo_since_read(struct flo_since *since, const struct flo_observed *observed, uint32_t block,
                    const double *curve);

/* ---- for a comparison ---- */

/* The change of a control's speed since a wave.  false: fewer than three
 * readings, or no past. */
bool flo_since_difference(const struct flo_since *since, size_t speed, size_t wave, double *d,
                          uint32_t *stratum);
/* The same of the first 12 readings; it stays when the device swaps. */
bool flo_since_first(const struct flo_since *since, size_t speed, size_t wave, double *d,
                     uint32_t *stratum);
/* An updated device: three readings after its swap less three before. */
bool flo_since_step(const struct flo_since *since, size_t speed, double *step);

/* Growth of a control's memory in the time of a wave; of one that is not known,
 * since it is a control. */
void flo_since_slope(const struct flo_since *since, const struct flo_slope_track *track,
                     size_t wave, struct flo_slope *out);

/* Counts since a wave, and of the past before that. */
struct flo_since_numbers {
    double errors, requests;
    double crashes, hours;
    double errors_before, requests_before;
    double crashes_before, hours_before;
};
/* A control; where it did not see the wave begin, the next one that it saw.
 * false: it saw none. */
bool flo_since_counted(const struct flo_since *since, size_t wave, struct flo_since_numbers *out);

/* ---- kept across a start of the controller ---- */

/* Evidence of a device as a row: what was observed and, for a member of a
 * rollout, what it did since.  `out` holds FLO_KEPT_BYTES_MAX; returns the
 * bytes used. */
#define FLO_SINCE_BYTES_MAX 2560
#define FLO_KEPT_BYTES_MAX (FLO_OBSERVED_BYTES_MAX + FLO_SINCE_BYTES_MAX)
size_t flo_kept_member_pack(const struct flo_observed *observed,
                            const struct flo_since *since_or_null, uint8_t *out);
struct flo_kept_member {
    struct flo_observed observed; /* `readings` is NULL here */
    struct flo_readings readings;
    struct flo_since since; /* `speeds` is NULL here */
    struct flo_since_speed speeds[FLO_SPEEDS];
    bool has_readings, has_since, has_speeds;
};
/* FLO_E_DB on anything that pack does not write, and did not write before. */
FLO_MUST_USE int flo_kept_member_unpack(const uint8_t *data, size_t bytes,
                                        struct flo_kept_member *out, struct flo_err *err);

/* The waves of a rollout, and how much values differ by themselves. */
struct flo_kept_waves {
    struct flo_waves waves;
    double tau2[FLO_SPEEDS][FLO_SLICE_LABELS_MAX];
};
#define FLO_KEPT_WAVES_BYTES_MAX 1024
size_t flo_kept_waves_pack(const struct flo_kept_waves *waves, uint8_t *out);
FLO_MUST_USE int flo_kept_waves_unpack(const uint8_t *data, size_t bytes,
                                       struct flo_kept_waves *out, struct flo_err *err);

#endif
