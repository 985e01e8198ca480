/* Delta maker: makes a file from a patch and its base, in the folder of
 * downloads.
 *
 * A typed delta whose head is signed is decoded during the download.  A thread
 * follows the download and checks each payload against that head before
 * decoding it.  The decoded bytes are kept whatever happens to the thread.  If
 * the thread could not finish, the whole patch is applied again over them, and
 * correct parts are kept. */
#ifndef FLOTILLA_UPDATER_MAKE_H
#define FLOTILLA_UPDATER_MAKE_H

#include "updater/run/run.h"

struct flo_make;

struct flo_make_job {
    struct flo_store *store;
    struct flo_fetch *fetch; /* fetch of the patch; the job sets its on_kept during the download */
    int event_fd;
    /* `file` and `way` are borrowed until flo_make_free. */
    const struct flo_release_file *file;
    const struct flo_way *way; /* download from which the file is made; any except raw */
};

/* Starts decoding; called before the download.  FLO_E_MEMORY. */
FLO_MUST_USE int flo_make_begin(const struct flo_make_job *job, struct flo_make **out,
                                struct flo_err *err);
/* Completes the file when the patch is complete and verified.  Sets *fd to a
 * file with all bytes and the right digest; the descriptor is borrowed.  Fails
 * as flo_delta_apply, opening the base and the disk do; FLO_E_INTERRUPTED. */
FLO_MUST_USE int flo_make_end(struct flo_make *make, int patch_fd, int *fd, struct flo_err *err);
/* Gives the complete file its name as a blob. */
FLO_MUST_USE int flo_make_publish(struct flo_make *make, struct flo_err *err);
/* Ends the thread and keeps the decoded bytes.  `make` may be NULL. */
void flo_make_free(struct flo_make *make);

/* Tells whether decoding can resume in a file that an earlier worker began, as
 * it can for typed deltas. */
bool flo_make_goes_on(const struct flo_way *way);

#endif
