/* Lane evidence: evidence for a rollout, which the telemetry thread (the lane)
 * gathers from its store.
 *
 * The control thread names the devices and releases that count.  The telemetry
 * thread reads the newest rows of its store and adds their sketches by metric,
 * hardware class and arm.  Then it returns the request.  At most the newest
 * FLO_EVIDENCE_ROWS_MAX rows are read; a device has one a minute. */
#ifndef FLOTILLA_SERVER_LANE_EVIDENCE_H
#define FLOTILLA_SERVER_LANE_EVIDENCE_H

#include "server-stub/core/gate/gate.h"
#include "server-stub/store/windows.h"

#define FLO_EVIDENCE_ROWS_MAX 40000
#define FLO_EVIDENCE_RELEASES_MAX 256

struct flo_lane_evidence {
    char rollout[FLO_NAME_MAX + 1];
    char model[FLO_NAME_MAX + 1]; /* model of the rollout; rows of other models are not read */
    struct flo_digest updated;
    /* Other releases of the rollout's model, which waiting devices run. */
    struct flo_digest waiting[FLO_EVIDENCE_RELEASES_MAX];
    size_t waiting_count;
    char (*devices)[37]; /* ids of the rollout's devices, sorted; owned */
    uint8_t *seen;       /* for each device and each of the two arms, a bit per gate; owned */
    size_t device_count;
    uint64_t from_ms; /* wall clock */
    /* Number of gates that need evidence; `items` has an item for each. */
    size_t count;
    uint32_t gates[FLO_GATES_MAX];
    struct flo_comparison *items; /* [count]; owned */
};

/* Allocates room for this number of devices and gates; NULL without memory. */
struct flo_lane_evidence *flo_lane_evidence_new(size_t devices, size_t gates);
void flo_lane_evidence_free(struct flo_lane_evidence *evidence);

typedef const char *(*flo_hardware_fn)(void *context, const char *device);
/* Fills items[] from the store.  `hardware` returns a device's class.  NULL
 * means that the class is unknown, and the device does not count. */
FLO_MUST_USE int flo_lane_evidence_gather(struct flo_lane_evidence *evidence,
                                          struct flo_windows *store, flo_hardware_fn hardware,
                                          void *context, struct flo_err *err);

#endif
