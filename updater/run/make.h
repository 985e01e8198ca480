/* A file made from a patch and its base, in the folder of downloads.
 *
 * A typed delta whose head is signed is decoded while it still comes: a thread
 * follows the download, and each payload is checked by that head before it is
 * decoded.  The made bytes are kept whatever becomes of the thread.  When it
 * could not go to the end, the whole patch is applied once more over them, and
 * right parts stay. */
#ifndef FLOTILLA_UPDATER_MAKE_H
#define FLOTILLA_UPDATER_MAKE_H

#include "updater/run/run.h"

struct flo_make;

struct flo_make_job {
    struct flo_store *store;
    struct flo_fetch *fetch; /* on_kept is set while the job is there */
    int event_fd;
    /* Both borrowed until free. */
    const struct flo_release_file *file;
    const struct flo_way *way; /* any way but raw */
};

/* Before the download.  FLO_E_MEMORY. */
FLO_MUST_USE int flo_make_begin(const struct flo_make_job *job, struct flo_make **out,
                                struct flo_err *err);
/* The patch is whole and right: all bytes of the file are in *fd, which is
 * borrowed, and have its digest.  Errors of flo_delta_apply, of opening the
 * base and of the disk; FLO_E_INTERRUPTED. */
FLO_MUST_USE int flo_make_end(struct flo_make *make, int patch_fd, int *fd, struct flo_err *err);
/* Give the complete file its name as a blob. */
FLO_MUST_USE int flo_make_publish(struct flo_make *make, struct flo_err *err);
/* Ends the thread; what it made is kept.  NULL is fine. */
void flo_make_free(struct flo_make *make);

/* A typed delta goes on in the file that an earlier worker began. */
bool flo_make_goes_on(const struct flo_way *way);

#endif
