/* The audit in memory: for the files of this folder, not for others. */
#ifndef FLOTILLA_SERVER_STATE_AUDIT_MEMORY_H
#define FLOTILLA_SERVER_STATE_AUDIT_MEMORY_H

#include "server-stub/core/audit.h"
#include "server-stub/state/audit/audit.h"

struct flo_audit_head; /* head.c */

struct flo_audit {
    struct flo_audit_head *head; /* NULL in memory */
    uint64_t unmarked;           /* records since the last mark */
    bool is_broken;
    char cut[192];                     /* what a witness showed (witness.h); "": nothing */
    char seen[4][FLO_AUDIT_LINE_TEXT]; /* lines of witnesses */
    size_t seen_next;
    bool has_new_key;
};

#endif
