/* Memory: what watches the machine, and the report that is being sent.  It is not
 * for others. */
#ifndef FLOTILLA_AGENT_HARDWARE_MEMORY_H
#define FLOTILLA_AGENT_HARDWARE_MEMORY_H

#include "agent/shell/hardware/hardware.h"

struct flo_bench_child;

struct flo_shell_hardware {
    struct flo_watch watch;
    struct event *tick;
    uint32_t limits_told;
    /* the model must be loaded again for its new degradation level */
    bool is_due[FLO_AGENT_MODELS_MAX];
    struct flo_bench_child *bench; /* running process of the benchmark; NULL: none */
    struct flo_metered metered;
    uint64_t busy_ms; /* time at which the device was last busy */
    /* time before which the benchmark is not tried again, after a failure */
    uint64_t bench_again_ms;
    bool is_benchmarking;      /* an order's benchmark is here */
    struct flo_upload *upload; /* report to the controller that is being sent; NULL: none */
};

#endif
