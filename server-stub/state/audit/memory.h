/* Memory: the audit's state in memory.  It is not for others. */
#ifndef FLOTILLA_SERVER_STATE_AUDIT_MEMORY_H
#define FLOTILLA_SERVER_STATE_AUDIT_MEMORY_H

#include "server-stub/core/audit.h"
#include "server-stub/state/audit/audit.h"

struct flo_audit_head; /* head.c */

struct flo_audit {
    /* lines of audit.head; NULL: the store is in memory, without a file */
    struct flo_audit_head *head;
    uint64_t unmarked; /* number of records since the last checkpoint */
    bool is_broken;
    /* text about records that a device's line shows to be missing (witness.h);
     * "": none */
    char cut[192];
    char seen[4][FLO_AUDIT_LINE_TEXT]; /* last lines that devices reported */
    size_t seen_next;
    bool has_new_key;
};

#endif
