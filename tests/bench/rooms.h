/* Rooms: a simulated fleet whose reports go to the controller's own rooms, on
 * virtual time.
 *
 * Reports enter at flo_observer_take(), which the lane calls for each window of
 * a device.  The observer (telemetry/observe) makes the evidence.  The rollout
 * (core/rollout) judges it, names slices, probes sites and begins phases.
 * Orders are not signed and nothing is stored: a device that is told swaps in
 * the same block of 5 minutes, and its trial lasts 15 minutes, as by default.
 *
 * A device's latencies are its site's daily curve, a shock of its site and
 * noise: sd 0.10, AR(1) 0.6, Student t3.  Its memory has noise of sd 0.01,
 * AR(1) 0.9.  As a phase swaps, every device drifts: latencies by sd 0.05,
 * memory by 0.02.  Each device has 120 requests a block. */
#ifndef TESTS_BENCH_ROOMS_H
#define TESTS_BENCH_ROOMS_H

#include "server-stub/state/rollouts/rollouts.h"
#include "server-stub/state/rollouts/work.h"
#include "server-stub/telemetry/observe/observe.h"
#include "tests/bench/chance.h"

enum room_series { ROOM_TTFT, ROOM_TOKEN, ROOM_RSS, ROOM_SERIES };

struct room_plan {
    size_t devices, sites, classes;
    size_t before;          /* blocks of reports before the rollout */
    size_t older;           /* of them, on the release before: the last ones are
                               of the one that runs */
    bool is_calm;           /* no daily curve, no shocks of sites */
    uint32_t early;         /* devices of the third wave; 0: as the preset says */
    uint64_t early_soak_ms; /* likewise */
    uint32_t canaries;      /* of the first; 0: likewise */
    bool is_paired;         /* the policy names the pair `site&hw` */
    bool is_only_asked;     /* the evidence does not reach the rollout */
    double latency;         /* ln, on devices that are hit */
    double errors;          /* a request more */
    double crashes;         /* an hour more */
    double leak;            /* ln an hour */
};
struct room_device {
    char id[37];
    uint16_t site, hardware; /* from 0 */
    bool is_hit;             /* the release harms it */
    bool is_updated;
    uint32_t since; /* block of its swap */
    double level[ROOM_SERIES], noise[ROOM_SERIES];
    double error_rate, crash_rate;
};
struct room {
    struct room_plan plan;
    struct chance *chance;
    struct flo_observer *observer;
    struct flo_rollout_entry entry;
    struct flo_rollout_own own; /* of the entry */
    struct room_device *devices;
    double *day_shift, *shock;        /* [site] */
    double *load;                     /* [site], of the block that is reported */
    size_t *shock_at;                 /* [site] */
    double hour;                      /* of the day, as it begins */
    uint16_t *values;                 /* of the labels, by device */
    struct flo_slice_label labels[3]; /* hw, site, site&hw */
    struct flo_histogram *histograms; /* [FLO_METRICS_MAX] */
    size_t used[FLO_METRICS_MAX][8];  /* their buckets that are not empty */
    uint64_t seq;
    uint32_t block;   /* the present one */
    uint32_t begun;   /* block of the rollout's begin */
    uint32_t drifted; /* block of the last drift */

    /* The findings: */
    bool is_stopped;  /* the rollout ended or waits for a person */
    bool is_held;     /* a phase is held for a person */
    bool is_proven;   /* the last phase passed */
    bool has_unclear; /* a slice is held until a person looked */
    bool has_alarm;
    bool has_told;
    struct flo_told told;            /* of TTFT, the newest */
    uint32_t named_at;               /* block; 0: no slice */
    uint32_t named_updated;          /* devices, then */
    uint32_t probed;                 /* devices that probes brought */
    uint32_t first_swap;             /* block */
    struct flo_rollout_analysis *of; /* the newest evidence, judged */
};

/* A fleet and its past, until just before the rollout begins. */
void room_open(struct room *room, const struct room_plan *plan, struct chance *chance);
/* The preset `normal`, and nothing else said. */
void room_begin(struct room *room);
/* A block: what is due is told, devices report, and the block's evidence is
 * judged as the next one begins. */
void room_step(struct room *room);
void room_close(struct room *room);
size_t room_updated(const struct room *room);
/* Blocks since the first swap. */
uint32_t room_age(const struct room *room);
/* "site=s07" of a device, and "site&hw=s07&01". */
void room_site(const struct room *room, size_t device, char *out);
void room_pair(const struct room *room, size_t device, char *out);

#endif
