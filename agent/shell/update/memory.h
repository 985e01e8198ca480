/* Memory: the updater's job, and the job that waits.  It is not for others. */
#ifndef FLOTILLA_AGENT_UPDATE_MEMORY_H
#define FLOTILLA_AGENT_UPDATE_MEMORY_H

#include "agent/shell/update/update.h"

struct flo_job_child;

struct flo_shell_update {
    struct flo_job_child *job; /* NULL: none runs */
    struct flo_guest guest;
    /* number of the job that waits until ended processes have freed disk space;
     * 0: none */
    uint32_t waiting_job;
    uint32_t waiting_model;
    uint64_t waiting_since_ms;
    bool waiting_is_told;
    /* number of the last job for which the intermediate steps of its release
     * were deleted to free disk space */
    uint32_t stepless_job;
    struct event *collect; /* timer after which unused files are removed */
};

#endif
