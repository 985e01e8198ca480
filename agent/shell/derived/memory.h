/* Memory: what the files that this device makes are, and were.  It is not for
 * others. */
#ifndef FLOTILLA_AGENT_DERIVED_MEMORY_H
#define FLOTILLA_AGENT_DERIVED_MEMORY_H

#include "agent/shell/derived/derived.h"

struct flo_shell_derived {
    struct flo_derived core;
    bool is_held; /* an updater runs, so no new prefix file is made */
};

#endif
