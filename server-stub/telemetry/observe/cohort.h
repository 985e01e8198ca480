/* Cohort: the observer's struct, with its devices and classes.  Private to
 * observe/. */
#ifndef FLOTILLA_SERVER_TELEMETRY_OBSERVE_COHORT_H
#define FLOTILLA_SERVER_TELEMETRY_OBSERVE_COHORT_H

#include "server-stub/core/gate/observe/paired.h"
#include "server-stub/core/gate/observe/since.h"
#include "server-stub/store/ids.h"
#include "server-stub/telemetry/observe/observe.h"

#define FLO_OBSERVER_NONE UINT32_MAX

/* An entry of the observer, for one model on one device. */
struct flo_observer_entry {
    struct flo_observed observed;
    uint32_t device; /* number that stands for the device in the observer */
    uint32_t next;   /* index of the next entry of the device, or FLO_OBSERVER_NONE */
    /* index of the class of hardware and model; devices outside rollouts have a
     * curve per class */
    uint32_t class;
    uint32_t site;   /* number of the device's site in the analysis */
    uint32_t cohort; /* index of the entry's rollout in `cohorts`, or FLO_OBSERVER_NONE */
    /* Comparison with another model on the device.  The entry with
     * FLO_PAIRED_NEW owns it.  NULL: there is none. */
    struct flo_paired *paired;
    /* the entry's part in the waves of its rollout; NULL: it is in no rollout,
     * or there was no memory */
    struct flo_since *since;
    /* Newest readings of a device that is in no rollout, the newest first. */
    float recent[FLO_SPEEDS][FLO_STEP_READINGS];
    uint8_t recent_count[FLO_SPEEDS];
    uint64_t seq;     /* number of the last telemetry window for the entry */
    uint64_t at_ms;   /* time at which the last telemetry window arrived */
    uint16_t model;   /* index of the model that the entry is about */
    uint8_t side;     /* enum flo_paired_side */
    bool is_swapping; /* the device swaps to the release in the present evaluation */
    bool is_late;     /* the device is still sending telemetry windows that it
                         stored during an outage */
    bool is_probe;    /* a probe added the device, so its swap is in a wave of probes */
    uint32_t handed;  /* block in which the entry was last written for the next leader; 0: never */
    bool is_dirty;
    bool is_forgotten; /* the entry's device was retired */
};
_Static_assert(sizeof(struct flo_observer_entry) + sizeof(struct flo_readings) <= 4096,
               "of a model on a device");
/* Largest number of classes, each of a hardware class with a model.  Further
 * classes have no curve outside rollouts. */
#define FLO_OBSERVER_CLASSES_MAX 1024
struct flo_observer_class {
    char hardware[FLO_HARDWARE_TEXT];
    char model[FLO_NAME_MAX + 1];
    struct flo_curve curves[FLO_READING_COUNT];
};
struct flo_observer_cohort {
    struct flo_observed_rollout rollout; /* id 0: free */
    bool is_split;                       /* some device was updated in this phase, so the comparison
                                            of the controls has begun */
    char name[FLO_NAME_MAX + 1];
    uint64_t asked_at_ms;
    struct flo_kept_waves kept;
    bool is_dirty; /* `kept` changed */
    struct flo_curve curves[FLO_SEGMENTS_MAX][FLO_READING_COUNT];
};
#define FLO_OBSERVER_COHORTS_MAX 64

struct flo_observer {
    struct flo_windows *store;
    uint64_t block_ms;
    uint32_t block;  /* number of the present block; 0: none yet */
    uint32_t closed; /* number of the last block that ended; 0: none */
    uint64_t connected_at_ms;
    uint64_t opened_at_ms;
    struct flo_ids ids;
    uint32_t *first; /* index of the first entry of each device */
    size_t first_capacity;
    struct flo_observer_entry *entries;
    size_t count, capacity;
    size_t saved;   /* index of the entry that is checked next for storing */
    bool is_handed; /* rows are handed to the next leader, and not stored here */
    /* Names of rollouts whose rows the next leader must delete. */
    char gone[FLO_OBSERVER_COHORTS_MAX][FLO_NAME_MAX + 1];
    size_t gone_count;
    char (*models)[FLO_NAME_MAX + 1];
    size_t model_count, model_capacity;
    struct flo_observer_class *classes;
    size_t class_count, class_capacity;
    struct flo_observer_cohort *cohorts; /* [FLO_OBSERVER_COHORTS_MAX] */
};

/* NULL without memory. */
struct flo_observer_entry *flo_observer_entry(struct flo_observer *observer, const char *device,
                                              const char *model);
struct flo_observer_entry *flo_observer_find(const struct flo_observer *observer,
                                             const char *device, const char *model);
/* FLO_OBSERVER_NONE without memory. */
uint32_t flo_observer_class_of(struct flo_observer *observer, const char *hardware,
                               const char *model);
/* Begins the comparison of a rollout's controls at the first update of a phase.
 * From then on controls are compared with their own time before. */
void flo_observer_split(struct flo_observer *observer, uint32_t cohort);
/* Ends all blocks of time that are over at `now_ms`. */
void flo_observer_move(struct flo_observer *observer, uint64_t now_ms);
/* Finds devices that became much slower, over all waves (slow.c).
 * FLO_E_MEMORY: no memory. */
FLO_MUST_USE int flo_observer_slow(const struct flo_observer *observer, uint32_t cohort,
                                   struct flo_analysis_evidence *evidence, struct flo_err *err);
/* The functions of pairs.c compare a release with the model whose requests it
 * shares, on each device. */

/* Gathers the evidence of an analysis that has `split_of`: pairs the two models
 * on each member, then sums the pairs.  FLO_E_MEMORY: no memory. */
FLO_MUST_USE int flo_observer_pairs_analysis(struct flo_observer *observer,
                                             struct flo_observe_analysis *analysis, uint32_t cohort,
                                             uint64_t now_ms, struct flo_err *err);
/* Ends the comparison of the entry's model with another one on the device. */
void flo_observer_part(struct flo_observer *observer, struct flo_observer_entry *entry);
/* Adds the entry's readings in a block to the comparison of its device.
 * flo_observer_pairs_end completes the comparisons of all devices
 * afterwards. */
void flo_observer_pair(struct flo_observer_entry *entry, uint32_t block);
void flo_observer_pairs_end(struct flo_observer *observer);

/* The function of owner.c chooses one of several rollouts of a model that share
 * a device. */

/* Tells whether the rollout of `cohort` may use the device's evidence.  Among
 * rollouts that share the device, the newest active one uses it.  A rollout
 * that the device has left may not take the evidence from another one. */
bool flo_observer_may_take(const struct flo_observer *observer,
                           const struct flo_observer_entry *entry, uint32_t cohort,
                           enum flo_member_way way);

/* The functions of waves.c keep the waves of a rollout.  A wave consists of
 * swaps that begin together, and of the controls' readings since. */

/* Makes the device a member of the rollout from now on.  It is then no longer
 * part of another rollout. */
void flo_observer_attend(struct flo_observer *observer, struct flo_observer_entry *entry,
                         uint32_t cohort);
/* Notes that the device was updated to the release, as a telemetry window or
 * the rollout shows. */
void flo_observer_swapped(struct flo_observer *observer, struct flo_observer_entry *entry);
/* Adds the entry's readings in a block of time to its waves, before the block
 * ends.  `curve` has, for each reading, the common change of the segment's
 * controls. */
void flo_observer_waves_read(struct flo_observer_entry *entry, uint32_t block, const double *curve);
void flo_observer_waves_forget(struct flo_observer_entry *entry);

/* Finds slices label=value that are worse, and those that need more updated
 * devices (scan.c).  FLO_E_MEMORY: no memory. */
FLO_MUST_USE int flo_observer_scan(struct flo_observer *observer,
                                   struct flo_observe_analysis *analysis, uint32_t number,
                                   struct flo_err *err);

/* Returns the checksum of a rollout's name; never 0. */
uint32_t flo_observer_rollout_id(const char *name);
/* Name that a row has in place of a model: the row stores the waves of a
 * rollout (saved.c). */
#define FLO_OBSERVER_WAVES "/waves"
size_t flo_observer_pack(const struct flo_observer_entry *entry, uint8_t *out);
/* Deletes the stored waves of a rollout that has ended. */
void flo_observer_drop_waves(struct flo_observer *observer, const char *name);

/* Lists the devices of the found slices (listed.c).  FLO_E_MEMORY: no
 * memory. */
FLO_MUST_USE int flo_observer_list(struct flo_observer *observer,
                                   struct flo_observe_analysis *analysis, uint32_t number,
                                   struct flo_err *err);

/* Stores changed entries, at most `most` of them. */
void flo_observer_store(struct flo_observer *observer, size_t most);

#endif
