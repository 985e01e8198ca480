/* The observer's roster of devices and classes; not for others. */
#ifndef FLOTILLA_SERVER_TELEMETRY_OBSERVE_ROSTER_H
#define FLOTILLA_SERVER_TELEMETRY_OBSERVE_ROSTER_H

#include "server-stub/core/gate/observe/since.h"
#include "server-stub/core/gate/observe/twin.h"
#include "server-stub/store/ids.h"
#include "server-stub/telemetry/observe/observe.h"

#define FLO_OBSERVER_NONE UINT32_MAX

/* One model on one device. */
struct flo_observer_entry {
    struct flo_observed observed;
    uint32_t device; /* number */
    uint32_t next;   /* next entry of the device; FLO_OBSERVER_NONE */
    uint32_t class;  /* class by hardware and model: a curve outside rollouts */
    uint32_t site;   /* as its study says */
    uint32_t roster; /* the study that it is in; FLO_OBSERVER_NONE */
    /* Compared with another model of the device; the entry of FLO_TWIN_NEW owns
     * it.  NULL: it is not. */
    struct flo_twin *twin;
    struct flo_since *since; /* the waves of its rollout; NULL: it is in none,
                                or there was no memory */
    /* Newest readings while the device is in no rollout, last one first. */
    float recent[FLO_SPEEDS][FLO_STEP_READINGS];
    uint8_t recent_count[FLO_SPEEDS];
    uint64_t seq;     /* number of its last window */
    uint64_t at_ms;   /* when that came */
    uint16_t model;   /* place among the models */
    uint8_t side;     /* enum flo_twin_side */
    bool is_swapping; /* in the look that is under way */
    bool is_late;     /* the device still sends windows that it kept for us */
    bool is_probe;    /* a probe brings it: its swap is of a wave of probes */
    uint32_t handed;  /* block in which it was handed on; 0: not since then */
    bool is_dirty;
    bool is_forgotten; /* the device was retired */
};
_Static_assert(sizeof(struct flo_observer_entry) + sizeof(struct flo_readings) <= 4096,
               "of a model on a device");
/* A hardware class with a model.  Classes that are more have no curve outside
 * rollouts. */
#define FLO_OBSERVER_CLASSES_MAX 1024
struct flo_observer_class {
    char hardware[FLO_HARDWARE_TEXT];
    char model[FLO_NAME_MAX + 1];
    struct flo_curve curves[FLO_READING_COUNT];
};
struct flo_observer_roster {
    struct flo_observed_rollout rollout; /* id 0: free */
    bool is_split;                       /* in this phase */
    char name[FLO_NAME_MAX + 1];
    uint64_t asked_at_ms;
    struct flo_kept_waves kept;
    bool is_dirty; /* `kept` changed */
    struct flo_curve curves[FLO_SEGMENTS_MAX][FLO_READING_COUNT];
};
#define FLO_OBSERVER_ROSTERS_MAX 64

struct flo_observer {
    struct flo_windows *store;
    uint64_t block_ms;
    uint32_t block;  /* the present one; 0: none yet */
    uint32_t closed; /* that ended last; 0: none */
    uint64_t connected_at_ms;
    uint64_t opened_at_ms;
    struct flo_ids ids;
    uint32_t *first; /* entry of each device */
    size_t first_capacity;
    struct flo_observer_entry *entries;
    size_t count, capacity;
    size_t saved;   /* place of the next that is looked at for storing */
    bool is_handed; /* on to the next leader, and not stored */
    /* Rollouts whose rows are to go there. */
    char gone[FLO_OBSERVER_ROSTERS_MAX][FLO_NAME_MAX + 1];
    size_t gone_count;
    char (*models)[FLO_NAME_MAX + 1];
    size_t model_count, model_capacity;
    struct flo_observer_class *classes;
    size_t class_count, class_capacity;
    struct flo_observer_roster *rosters; /* [FLO_OBSERVER_ROSTERS_MAX] */
};

/* NULL without memory. */
struct flo_observer_entry *flo_observer_entry(struct flo_observer *observer, const char *device,
                                              const char *model);
struct flo_observer_entry *flo_observer_find(const struct flo_observer *observer,
                                             const char *device, const char *model);
/* FLO_OBSERVER_NONE without memory. */
uint32_t flo_observer_class_of(struct flo_observer *observer, const char *hardware,
                               const char *model);
/* The phase's first swap: the controls compare with the time before it. */
void flo_observer_split(struct flo_observer *observer, uint32_t roster);
/* Blocks until `now_ms`. */
void flo_observer_move(struct flo_observer *observer, uint64_t now_ms);
/* Devices that became much slower, of all waves (slow.c).  FLO_E_MEMORY. */
FLO_MUST_USE int flo_observer_slow(const struct flo_observer *observer, uint32_t roster,
                                   struct flo_study_evidence *evidence, struct flo_err *err);
/* pairs.c: a release and the model whose requests it shares */

/* The members of a study with `split_of`; then the sums of all of them.
 * FLO_E_MEMORY. */
FLO_MUST_USE int flo_observer_pairs_study(struct flo_observer *observer,
                                          struct flo_observe_study *study, uint32_t roster,
                                          uint64_t now_ms, struct flo_err *err);
/* The device is in no comparison of two models any more. */
void flo_observer_part(struct flo_observer *observer, struct flo_observer_entry *entry);
/* Readings of it in the block; then the pairs of all. */
void flo_observer_pair(struct flo_observer_entry *entry, uint32_t block);
void flo_observer_pairs_end(struct flo_observer *observer);

/* owner.c: rollouts of a model that meet on a device */

/* The newest that is live has its evidence.  One that the device is no part of
 * any more takes it from none. */
bool flo_observer_may_take(const struct flo_observer *observer,
                           const struct flo_observer_entry *entry, uint32_t roster,
                           enum flo_member_way way);

/* waves.c: swaps that begin together, and what controls read since */

/* The device is a member of its roster from here on; what it did in another
 * rollout does not count. */
void flo_observer_attend(struct flo_observer *observer, struct flo_observer_entry *entry,
                         uint32_t roster);
/* The device swapped, as a window or its rollout says. */
void flo_observer_swapped(struct flo_observer *observer, struct flo_observer_entry *entry);
/* Before its block ends; `curve` has the value of each reading. */
void flo_observer_waves_read(struct flo_observer_entry *entry, uint32_t block, const double *curve);
void flo_observer_waves_forget(struct flo_observer_entry *entry);

/* scan.c: at which label=value it is worse, and which ask for more updated
 * devices; FLO_E_MEMORY */
FLO_MUST_USE int flo_observer_scan(struct flo_observer *observer, struct flo_observe_study *study,
                                   uint32_t number, struct flo_err *err);

/* The number of a rollout among those of its name; never 0. */
uint32_t flo_observer_rollout_id(const char *name);
/* saved.c: a row of a member, and of a rollout. */
#define FLO_OBSERVER_WAVES "/waves" /* in the place of its model */
size_t flo_observer_pack(const struct flo_observer_entry *entry, uint8_t *out);
/* The waves of a rollout that is over are in the store no more. */
void flo_observer_drop_waves(struct flo_observer *observer, const char *name);

/* listed.c: the devices of the slices that were found; FLO_E_MEMORY */
FLO_MUST_USE int flo_observer_list(struct flo_observer *observer, struct flo_observe_study *study,
                                   uint32_t number, struct flo_err *err);

/* Store up to so many entries that changed. */
void flo_observer_store(struct flo_observer *observer, size_t most);

#endif
