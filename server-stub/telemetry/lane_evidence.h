/* Evidence from the telemetry store, which the lane gathers for a rollout.
 *
 * The control thread says which devices and releases count.  The lane reads the
 * newest rows of its store, adds their sketches up by metric, hardware class
 * and arm, and gives the request back.  Bounded: at most FLO_EVIDENCE_ROWS_MAX
 * rows (a device has one a minute) are read; of more, the newest. */
#ifndef FLOTILLA_SERVER_LANE_EVIDENCE_H
#define FLOTILLA_SERVER_LANE_EVIDENCE_H

#include "server-stub/core/gate/gate.h"
#include "server-stub/store/windows.h"

#define FLO_EVIDENCE_ROWS_MAX 40000
#define FLO_EVIDENCE_RELEASES_MAX 256

struct flo_lane_evidence {
    char rollout[FLO_NAME_MAX + 1];
    char model[FLO_NAME_MAX + 1]; /* rows of others are not read */
    struct flo_digest updated;
    /* Other releases of its model. */
    struct flo_digest waiting[FLO_EVIDENCE_RELEASES_MAX];
    size_t waiting_count;
    char (*devices)[37]; /* devices of the rollout, sorted; owned */
    uint8_t *seen;       /* a bit per gate, for both arms; owned */
    size_t device_count;
    uint64_t from_ms; /* wall clock */
    /* One for each gate that wants evidence. */
    size_t count;
    uint32_t gates[FLO_GATES_MAX];
    struct flo_comparison *items; /* [count]; owned */
};

/* Room for so many devices and gates; NULL without memory. */
struct flo_lane_evidence *flo_lane_evidence_new(size_t devices, size_t gates);
void flo_lane_evidence_free(struct flo_lane_evidence *evidence);

typedef const char *(*flo_hardware_fn)(void *context, const char *device);
/* Fill items[] from the store.  `hardware` names a device's class, NULL: not
 * known, the device counts nowhere. */
FLO_MUST_USE int flo_lane_evidence_gather(struct flo_lane_evidence *evidence,
                                          struct flo_windows *store, flo_hardware_fn hardware,
                                          void *context, struct flo_err *err);

#endif
