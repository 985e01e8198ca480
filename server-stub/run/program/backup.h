/* A copy of a controller's folder while the controller works in it. */
#ifndef FLOTILLA_SERVER_BACKUP_H
#define FLOTILLA_SERVER_BACKUP_H

#include "base/args/args.h"

/* `backup DIR` of the command line. */
extern const struct flo_verb flo_verb_backup;

#endif
