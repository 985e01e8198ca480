/* State: what serving remembers of loads, memory and probes.  It is not for
 * others. */
#ifndef FLOTILLA_AGENT_SERVING_STATE_H
#define FLOTILLA_AGENT_SERVING_STATE_H

#include "agent/shell/serving/serving.h"

/* Number of releases whose measured memory is stored. */
#define FLO_MEASURED_MAX 32

struct flo_shell_memory {
    struct event *timer; /* timer after which pending loads are checked again */
    struct flo_shell_measured measured[FLO_MEASURED_MAX];
    size_t next; /* index of the entry in `measured` that the next release gets */
    struct serve_planner *planner;
    struct flo_digest asked; /* release being measured */
    /* bytes of its draft's file, which its measured memory is told without; 0:
     * none */
    uint64_t asked_draft_bytes;
    bool is_looking;
    struct flo_digest seen[FLO_AGENT_MODELS_MAX]; /* releases for which the plan was made */
    struct flo_digest releases[FLO_MEMORY_MODELS_MAX];
    struct flo_shell_plan known;
};

struct flo_shell_serving {
    struct flo_shell_memory memory;
    uint32_t probing; /* index of the model whose candidate is being probed */
    struct {
        uint32_t model;
        bool is_on, is_former;
        struct flo_digest release, former;
    } scoring; /* golden answers of a live release that are being measured */
};

#endif
