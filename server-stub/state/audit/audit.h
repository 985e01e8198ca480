/* Audit: the actions of operators, and their names. */
#ifndef FLOTILLA_SERVER_STATE_AUDIT_AUDIT_H
#define FLOTILLA_SERVER_STATE_AUDIT_AUDIT_H

#include <flotilla/base.h>

#include "server-stub/core/audit.h"

struct flo_controller;
struct flo_audit_head; /* head.h */

struct flo_audit {
    struct flo_audit_head *head; /* NULL in memory */
    uint64_t unmarked;           /* records since the last mark */
    bool is_broken;
    char cut[192];                     /* what a witness showed (witness.h); "": nothing */
    char seen[4][FLO_AUDIT_LINE_TEXT]; /* lines of witnesses */
    size_t seen_next;
    bool has_new_key; /* keys/audit.key was lost and made again, as asked */
};

FLO_MUST_USE int flo_controller_audit(struct flo_controller *controller, const char *who,
                                      const char *what, const char *object, const char *result,
                                      const char *detail, struct flo_err *err);

#endif
