/* A copy of a controller's folder while the controller works in it. */
#ifndef FLOTILLA_SERVER_BACKUP_H
#define FLOTILLA_SERVER_BACKUP_H

#include "base/args/args.h"

struct flo_backup {
    uint64_t files, bytes; /* copied */
    bool has_tables;       /* false: they are in PostgreSQL, and not copied */
};

/* Copy the controller's folder `from` to the folder `to`, which must not be
 * there: keys and authorities, trust, the audit's head, control.db, blobs, and
 * with has_telemetry telemetry.db.  Everything is of one moment, but blobs may
 * be younger.  `to` appears whole and synced, or not at all.  It is made as
 * TO.part, and one of a backup that was cut is removed first.  root's copies
 * belong to the owners of the files.
 *
 * FLO_E_IO_OPEN       `to` is there
 * FLO_E_ABSENT        `from` is no controller's folder
 * FLO_E_DB_DAMAGED    of control.db
 * FLO_E_STATE_LOCKED  keys or authorities change all the time */
FLO_MUST_USE int flo_backup_make(const char *from, const char *to,
                                 bool has_telemetry, struct flo_backup *out,
                                 struct flo_err *err);

/* `backup DIR` of the command line. */
extern const struct flo_verb flo_verb_backup;

#endif
