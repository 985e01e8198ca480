/* The command `backup`, in a build without it. */
#include "server-stub/run/program/backup.h"

const struct flo_verb flo_verb_backup = {
    .name = "backup",
    .usage = "",
    .help = "left out of this program",
    .left_out = "FLOTILLA_BACKUP",
};
