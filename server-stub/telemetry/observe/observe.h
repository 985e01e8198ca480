/* Observe: the evidence of all devices, updated block by block.
 *
 * The lane's thread passes each window here.  At the end of a block windows
 * become readings and sums (core/gate/observe).  An analysis of a rollout gives the
 * arm of each member, and gets the sums by segment.  The sums are also stored
 * in telemetry.db, so a restarted controller continues with them; controllers
 * that share a database store them there.  One thread. */
#ifndef FLOTILLA_SERVER_TELEMETRY_OBSERVE_H
#define FLOTILLA_SERVER_TELEMETRY_OBSERVE_H

#include "server-stub/core/gate/analysis/analysis.h"
#include "server-stub/core/gate/observe/base.h"
#include "server-stub/core/gate/slices/labels.h"
#include "server-stub/store/handed.h"
#include "server-stub/store/windows.h"

struct flo_observer;

/* Largest number of devices with readings.  If there are more, those with the
 * lowest hash have readings.  Events are counted on all devices. */
#define FLO_OBSERVED_MAX 10000

/* Opens the observer, and reads the stored evidence.  `block_ms`: FLO_BLOCK_MS,
 * less in tests. */
FLO_MUST_USE int flo_observer_open(struct flo_windows *store, uint64_t block_ms,
                                   struct flo_observer **out, struct flo_err *err);
void flo_observer_close(struct flo_observer *observer);
/* Takes a window of a known device and release.  `now_ms`: wall clock. */
void flo_observer_take(struct flo_observer *observer, const char *device, const char *hardware,
                       const struct flo_telemetry_window *window, uint64_t now_ms);
/* Forgets a retired device. */
void flo_observer_forget(struct flo_observer *observer, const char *device);
/* Notes that the connection is back: windows that devices stored meanwhile are
 * no evidence of the present. */
void flo_observer_connected(struct flo_observer *observer, uint64_t now_ms);
/* Called once a second: ends a block when its time is over, and stores some
 * changed entries. */
void flo_observer_tick(struct flo_observer *observer, uint64_t now_ms);
/* Stores all changed entries; the caller has no open transaction. */
void flo_observer_save(struct flo_observer *observer);

/* ---- handed on to the next leader ---- */

/* Drops all evidence that the store had, because the leader's rows are
 * newer. */
void flo_observer_empty(struct flo_observer *observer);
/* Takes a row that the former leader handed over.  FLO_E_MEMORY. */
FLO_MUST_USE int flo_observer_take_over(struct flo_observer *observer, const char *device,
                                        const char *model, const void *data, size_t bytes);
/* From now on changes are handed over and not stored.  With `is_all`, all rows
 * count as changed. */
void flo_observer_hand_on(struct flo_observer *observer, bool is_all);
/* Hands over up to `most` changed rows, each device at most once a block;
 * `is_last`: also those handed over in this block.  Returns how many. */
size_t flo_observer_give(struct flo_observer *observer, size_t most, bool is_last, flo_give_fn give,
                         void *context);

/* ---- a rollout's analysis ---- */

struct flo_observe_member {
    char device[37];
    uint8_t segment;
    uint8_t way;    /* enum flo_member_way */
    uint32_t site;  /* checksum of its site label; 0: none */
    bool is_probe;  /* a probe added the device */
    uint32_t entry; /* set by the observer: index of the device's entry in this analysis, from 1; 0:
                       none */
};
/* Slice of a row of the evidence.  The caller replaces it by its name. */
struct flo_observe_found {
    struct flo_slice slice;
    struct flo_slice wider; /* wider slice that contains it; value 0: none */
};
struct flo_observe_analysis {
    char rollout[FLO_NAME_MAX + 1];
    char model[FLO_NAME_MAX + 1];
    /* Model whose requests the release shares: each device is compared with it.
     * Empty: devices are compared with each other. */
    char split_of[FLO_NAME_MAX + 1];
    struct flo_digest release;
    uint32_t phase;    /* from 0 */
    uint32_t block;    /* last block that was evaluated */
    uint16_t excluded; /* bit for each segment that rolled back */
    /* number of blocks after a swap from which growth counts; 0:
     * FLO_LEAK_BLOCKS */
    uint16_t leak_from;
    uint64_t heartbeat_ms; /* report interval of devices */
    /* Labels to scan, and each member's value of each label; both owned; NULL: none. */
    struct flo_slice_label *labels;
    uint16_t *values;
    size_t label_count;
    double weights[FLO_MEASURE_COUNT]; /* weight of each measure's rule; 0: no rule */
    struct flo_observe_found found[FLO_ANALYSIS_SLICES_MAX];
    struct flo_slice moved[FLO_ANALYSIS_SLICES_MAX];
    struct flo_slice probed[FLO_ANALYSIS_PROBES_MAX]; /* slices of the probes */
    struct flo_analysis_device *listed; /* devices of found and changed slices, owned; NULL: none */
    struct flo_observe_member *members; /* owned */
    size_t member_count;
    bool is_kept; /* the members are only placed, and nothing is gathered */
    bool is_new;  /* `evidence` is about a block that was not judged before */
    /* evidence; its names and members belong to the caller */
    struct flo_analysis_evidence evidence;
};
/* Allocates memory for so many members; NULL without memory. */
struct flo_observe_analysis *flo_observe_analysis_new(size_t members);
void flo_observe_analysis_free(struct flo_observe_analysis *analysis);
/* Places the members, and gathers the evidence of the last ended block.
 * FLO_E_MEMORY. */
FLO_MUST_USE int flo_observer_analysis(struct flo_observer *observer,
                                       struct flo_observe_analysis *analysis, uint64_t now_ms,
                                       struct flo_err *err);

/* ---- before a rollout ---- */

/* Member, and the baseline that it has for a swap now or later. */
struct flo_observe_based {
    char device[37];
    struct flo_observed_base base;
};
struct flo_observe_bases {
    char model[FLO_NAME_MAX + 1];
    struct flo_observe_based *items; /* owned */
    size_t count;
    uint32_t block; /* present block */
    uint64_t block_ms;
    struct flo_analysis_past past; /* sums of the past of all members */
};
/* Allocates memory for so many devices; NULL without memory. */
struct flo_observe_bases *flo_observe_bases_new(size_t count);
void flo_observe_bases_free(struct flo_observe_bases *bases);
/* Fills in everything but the names. */
void flo_observer_bases(struct flo_observer *observer, struct flo_observe_bases *bases,
                        uint64_t now_ms);

#endif
