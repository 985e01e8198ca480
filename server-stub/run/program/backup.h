/* Backup: copies a controller's folder while the controller runs. */
#ifndef FLOTILLA_SERVER_BACKUP_H
#define FLOTILLA_SERVER_BACKUP_H

#include "base/args/args.h"

/* Command `backup DIR`. */
extern const struct flo_verb flo_verb_backup;

#endif
