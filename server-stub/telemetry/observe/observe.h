/* Observe: the evidence of all devices, kept up block by block.
 *
 * The lane's thread gives each window here.  At the end of a block it becomes
 * readings and sums (core/gate/observe).  A study of a rollout says which arm
 * each member is in, and takes the sums by segment.  The sums live in
 * telemetry.db too: a controller that starts again goes on with them.  Where
 * several share a database they live there instead.  One thread. */
#ifndef FLOTILLA_SERVER_TELEMETRY_OBSERVE_H
#define FLOTILLA_SERVER_TELEMETRY_OBSERVE_H

#include "server-stub/core/gate/observe/base.h"
#include "server-stub/core/gate/slices/labels.h"
#include "server-stub/core/gate/study/study.h"
#include "server-stub/store/handed.h"
#include "server-stub/store/windows.h"

struct flo_observer;

/* Devices whose readings are kept; of more, those with the lowest hash.  Counts
 * are kept of all. */
#define FLO_OBSERVED_MAX 10000

/* Reads what the store has.  `block_ms`: FLO_BLOCK_MS, less in tests. */
FLO_MUST_USE int flo_observer_open(struct flo_windows *store, uint64_t block_ms,
                                   struct flo_observer **out, struct flo_err *err);
void flo_observer_close(struct flo_observer *observer);
/* A window of a known device and release.  `now_ms`: wall clock. */
void flo_observer_take(struct flo_observer *observer, const char *device, const char *hardware,
                       const struct flo_telemetry_window *window, uint64_t now_ms);
/* The device was retired. */
void flo_observer_forget(struct flo_observer *observer, const char *device);
/* The connection is there (again): what devices kept for us until now is no
 * evidence of the present. */
void flo_observer_connected(struct flo_observer *observer, uint64_t now_ms);
/* Once a second: ends a block when it is over, and stores some of what
 * changed. */
void flo_observer_tick(struct flo_observer *observer, uint64_t now_ms);
/* Store all that changed; the caller has no transaction open. */
void flo_observer_save(struct flo_observer *observer);

/* ---- handed on to the next leader ---- */

/* All that the store had is forgotten: rows of a leader are newer. */
void flo_observer_empty(struct flo_observer *observer);
/* A row that the leader before handed on.  FLO_E_MEMORY. */
FLO_MUST_USE int flo_observer_take_over(struct flo_observer *observer, const char *device,
                                        const char *model, const void *data, size_t bytes);
/* From now on nothing is stored, and what changed is handed on; `is_all`: all
 * that there is. */
void flo_observer_hand_on(struct flo_observer *observer, bool is_all);
/* Give up to `most` rows that changed, of a device at most once a block;
 * `is_last`: those too that went in this block.  Returns how many. */
size_t flo_observer_give(struct flo_observer *observer, size_t most, bool is_last, flo_give_fn give,
                         void *context);

/* ---- a rollout's study ---- */

struct flo_observe_member {
    char device[37];
    uint8_t segment;
    uint8_t way;    /* enum flo_member_way */
    uint32_t site;  /* checksum of its label `site`; 0: it has none */
    bool is_probe;  /* a probe brings it */
    uint32_t entry; /* the observer's own, of this study; 0: none, else from 1 */
};
/* The slice of a row of the evidence, until the asker names it. */
struct flo_observe_found {
    struct flo_slice slice;
    struct flo_slice wider; /* that it was found in; value 0: none */
};
struct flo_observe_study {
    char rollout[FLO_NAME_MAX + 1];
    char model[FLO_NAME_MAX + 1];
    /* The model whose requests the release shares, with which each device is
     * compared; empty: with other devices. */
    char split_of[FLO_NAME_MAX + 1];
    struct flo_digest release;
    uint32_t phase;        /* from 0 */
    uint32_t block;        /* last one that was judged */
    uint16_t excluded;     /* segments that went back */
    uint16_t leak_from;    /* blocks after a swap; 0: FLO_LEAK_BLOCKS */
    uint64_t heartbeat_ms; /* devices report so often */
    /* Labels by which it is scanned, the value of each member one after the
     * other: owned; NULL: none. */
    struct flo_slice_label *labels;
    uint16_t *values;
    size_t label_count;
    double weights[FLO_MEASURE_COUNT]; /* weights of its rules; 0: no rule */
    struct flo_observe_found found[FLO_STUDY_SLICES_MAX];
    struct flo_slice moved[FLO_STUDY_SLICES_MAX];
    struct flo_slice probed[FLO_STUDY_PROBES_MAX]; /* slices of the probes */
    struct flo_study_device *listed;               /* devices of both; owned; NULL: none */
    struct flo_observe_member *members;            /* owned */
    size_t member_count;
    bool is_kept;                       /* members are placed, and nothing is gathered */
    bool is_new;                        /* `evidence` is of a block that was not judged */
    struct flo_study_evidence evidence; /* names and members are the asker's */
};
/* Room for so many members; NULL without memory. */
struct flo_observe_study *flo_observe_study_new(size_t members);
void flo_observe_study_free(struct flo_observe_study *study);
/* Place the members, and gather what stood at the end of the last block.
 * FLO_E_MEMORY. */
FLO_MUST_USE int flo_observer_study(struct flo_observer *observer, struct flo_observe_study *study,
                                    uint64_t now_ms, struct flo_err *err);

/* ---- before a rollout ---- */

/* A member, and the past it is compared with if it swaps now or later. */
struct flo_observe_based {
    char device[37];
    struct flo_observed_base base;
};
struct flo_observe_bases {
    char model[FLO_NAME_MAX + 1];
    struct flo_observe_based *items; /* owned */
    size_t count;
    uint32_t block; /* the present one */
    uint64_t block_ms;
    struct flo_study_past past; /* past of all of them */
};
/* Room for so many devices; NULL without memory. */
struct flo_observe_bases *flo_observe_bases_new(size_t count);
void flo_observe_bases_free(struct flo_observe_bases *bases);
/* Fill in all but the names. */
void flo_observer_bases(struct flo_observer *observer, struct flo_observe_bases *bases,
                        uint64_t now_ms);

#endif
