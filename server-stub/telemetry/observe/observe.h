/* Observe: the evidence of all devices, updated block by block.
 *
 * The telemetry thread passes each window here.  At the end of a block windows
 * become readings and sums (core/gate/observe).  An analysis of a rollout gives
 * the arm of each member, and gets the sums by segment.  The sums are also
 * stored in telemetry.db, so a restarted controller continues with them;
 * controllers that share a database store them there.  Only one thread
 * calls. */
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

/* Opens the observer, and reads the stored evidence.  `block_ms` is
 * FLO_BLOCK_MS, or less in tests. */
FLO_MUST_USE int flo_observer_open(struct flo_windows *store, uint64_t block_ms,
                                   struct flo_observer **out, struct flo_err *err);
void flo_observer_close(struct flo_observer *observer);
/* Takes a telemetry window of a known device and release.  `now_ms` is the wall
 * clock. */
void flo_observer_take(struct flo_observer *observer, const char *device, const char *hardware,
                       const struct flo_telemetry_window *window, uint64_t now_ms);
/* Forgets the evidence of a retired device. */
void flo_observer_forget(struct flo_observer *observer, const char *device);
/* Notes that the connection to the broker is back.  Telemetry that devices
 * stored meanwhile is no evidence of the present. */
void flo_observer_connected(struct flo_observer *observer, uint64_t now_ms);
/* Ends a block when its time is over, and stores some changed entries.  Called
 * once a second. */
void flo_observer_tick(struct flo_observer *observer, uint64_t now_ms);
/* Stores all changed entries.  The caller has no open transaction. */
void flo_observer_save(struct flo_observer *observer);

/* ---- handed on to the next leader ---- */

/* Drops all evidence that came from the local store, because the leader's rows
 * are newer. */
void flo_observer_empty(struct flo_observer *observer);
/* Takes a row that the former leader handed over.  FLO_E_MEMORY: no memory. */
FLO_MUST_USE int flo_observer_take_over(struct flo_observer *observer, const char *device,
                                        const char *model, const void *data, size_t bytes);
/* Makes changes be handed over from now on, instead of being stored.  With
 * `is_all`, all rows count as changed. */
void flo_observer_hand_on(struct flo_observer *observer, bool is_all);
/* Hands over up to `most` changed rows, and returns their number.  A device's
 * rows are handed over at most once a block, but with `is_last` again. */
size_t flo_observer_give(struct flo_observer *observer, size_t most, bool is_last, flo_give_fn give,
                         void *context);

/* ---- a rollout's analysis ---- */

struct flo_observe_member {
    char device[37];
    uint8_t segment;
    uint8_t way;   /* enum flo_member_way */
    uint32_t site; /* checksum of the device's label `site`; 0: the label has no value */
    bool is_probe; /* a probe added the device */
    /* index of the record of the device and model in the observer, plus 1; set
     * by the observer; 0: it has none */
    uint32_t entry;
};
/* Slice of a found row of the evidence.  The caller replaces the slice by its
 * name. */
struct flo_observe_found {
    struct flo_slice slice;
    struct flo_slice wider; /* wider slice that contains the found one; value 0: none */
};
struct flo_observe_analysis {
    char rollout[FLO_NAME_MAX + 1];
    char model[FLO_NAME_MAX + 1];
    /* Model whose requests the release shares, and with which it is compared on
     * each device.  Empty: devices are compared with each other. */
    char split_of[FLO_NAME_MAX + 1];
    struct flo_digest release;
    uint32_t phase;    /* from 0 */
    uint32_t block;    /* number of the last block that was evaluated */
    uint16_t excluded; /* a bit for each segment that was rolled back */
    /* number of blocks after a swap from which on growth of memory counts; 0:
     * FLO_LEAK_BLOCKS */
    uint16_t leak_from;
    uint64_t heartbeat_ms; /* interval at which devices report */
    /* Labels to scan, and each member's value of each label.  Both arrays are
     * owned; NULL: there are none. */
    struct flo_slice_label *labels;
    uint16_t *values;
    size_t label_count;
    double weights[FLO_MEASURE_COUNT]; /* for each measure, the weight of its rule; 0: no rule */
    struct flo_observe_found found[FLO_ANALYSIS_SLICES_MAX];
    struct flo_slice moved[FLO_ANALYSIS_SLICES_MAX];
    struct flo_slice probed[FLO_ANALYSIS_PROBES_MAX]; /* slices for which probes were requested */
    /* devices of found slices and of changed sites, owned; NULL: none */
    struct flo_analysis_device *listed;
    struct flo_observe_member *members; /* owned */
    size_t member_count;
    bool is_kept; /* the members are only placed into arms, and nothing is gathered */
    bool is_new;  /* `evidence` is of a block that was not judged before */
    /* the evidence; its names and members belong to the caller */
    struct flo_analysis_evidence evidence;
};
/* Allocates an analysis with room for `members` members; NULL without
 * memory. */
struct flo_observe_analysis *flo_observe_analysis_new(size_t members);
void flo_observe_analysis_free(struct flo_observe_analysis *analysis);
/* Places the members into arms, and gathers the evidence of the last block that
 * ended.  FLO_E_MEMORY: no memory. */
FLO_MUST_USE int flo_observer_analysis(struct flo_observer *observer,
                                       struct flo_observe_analysis *analysis, uint64_t now_ms,
                                       struct flo_err *err);

/* ---- before a rollout ---- */

/* A member, and the baseline that it has for a swap now or later. */
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
    struct flo_analysis_past past; /* sums over the past of all members */
};
/* Allocates a query with room for `count` devices; NULL without memory. */
struct flo_observe_bases *flo_observe_bases_new(size_t count);
void flo_observe_bases_free(struct flo_observe_bases *bases);
/* Computes the baselines of the query's devices, and the sums over their past.
 * The caller has set the devices' ids before. */
void flo_observer_bases(struct flo_observer *observer, struct flo_observe_bases *bases,
                        uint64_t now_ms);

#endif
