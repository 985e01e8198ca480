/* Scratch and endings: a program leaves nothing behind, whatever ends it. */
#ifndef FLOTILLA_BASE_SCRATCH_H
#define FLOTILLA_BASE_SCRATCH_H

#include <limits.h>

#include <flotilla/base.h>

/* ---- scratch.c: files that a program makes for itself ---- */

#define FLO_SCRATCH_BYTES 1024 /* bytes of a scratch folder's path */

/* Returns $TMPDIR, or else /tmp. */
const char *flo_scratch_place(void);
/* Opens an unnamed file in the folder of the file `at`; NULL: in $TMPDIR or
 * /tmp.  A file system that knows no unnamed files gets one whose name is
 * removed at once.  FLO_E_IO_OPEN. */
FLO_MUST_USE int flo_scratch_file(const char *at, int *fd, struct flo_err *err);
/* Makes an empty folder below `parent`; NULL: below $TMPDIR or /tmp.  Removes
 * those of dead owners.  The folder is ours as long as *lock, or a copy of it in
 * a fork, is open.  FLO_E_IO_WRITE: `path` is "" then. */
FLO_MUST_USE int flo_scratch_folder(const char *parent, char path[FLO_SCRATCH_BYTES], int *lock,
                                    struct flo_err *err);
/* Removes a scratch folder with its contents, but enters no mount.  May be
 * called by the handler of a signal. */
void flo_scratch_remove(const char *path);
/* Removes the folders that dead owners left in $TMPDIR and /tmp.  Programs call
 * it when they start.  Does not wait for another process that removes them. */
void flo_scratch_clear(void);

/* ---- naming.c: a file has no name before it is complete ---- */

/* Opens a new file next to `path`.  `named` is "", or the name that it has on a
 * file system that knows no unnamed files: PATH.tmp-new.  Returns -1 with the
 * reason in errno. */
int flo_naming_open(const char *path, mode_t mode, char named[PATH_MAX]);
/* Names the complete file.  is_new: only if no other file has the name (EEXIST);
 * else it replaces the other file.  Returns false with the reason in errno. */
bool flo_naming_end(int fd, const char *path, bool is_new);
/* Removes the file of an open folder if its name is that of an incomplete file,
 * and its writer was killed.  Does not wait for a living writer. */
void flo_naming_clear(int folder, const char *name);

/* ---- output.c: one file that a command writes ---- */

/* Opens the file, which has no name before flo_output_commit(), and removes the
 * scratch folders of the dead.  A file system
 * that knows no unnamed files gets a name that a signal removes.  FLO_E_IO_OPEN. */
FLO_MUST_USE int flo_output_open(const char *path, int *fd, struct flo_err *err);
/* Syncs the complete file and gives it its name; an older file is replaced.
 * FLO_E_IO_WRITE. */
FLO_MUST_USE int flo_output_commit(int fd, const char *path, struct flo_err *err);
/* Removes an incomplete file that has a name. */
void flo_output_end(void);

/* ---- ending.c, interrupt.c: signals that end a command ---- */

/* Calls `end` when SIGINT, SIGTERM or SIGHUP ends this process, unless the
 * process ignores the signal.  The signal then ends the process.  A fork calls
 * nothing.  `end` may only call functions that are safe in a signal handler.
 * There are at most four; one that is there already is added once. */
void flo_ending_add(void (*end)(int number));
/* Blocks these signals, or allows them again. */
void flo_ending_hold(bool is_held);
/* Sets the line that a signal prints on stderr, or none (""): the line that
 * goes on with the work, and the line that removes it. */
void flo_interrupt_text(const char *format, ...) FLO_PRINTF(1, 2);
/* Makes a scratch folder that a signal removes; at most two at a time.
 * FLO_E_IO_WRITE: `path` is "" then. */
FLO_MUST_USE int flo_interrupt_folder(char path[FLO_SCRATCH_BYTES], struct flo_err *err);
/* Removes such a folder; "": does nothing. */
void flo_interrupt_folder_end(const char *path);
/* Runs argv[0] (a path) and waits for its end; *status is that of waitpid().  A
 * signal that ends us ends it first.  FLO_E_PROCESS. */
FLO_MUST_USE int flo_interrupt_run(const char *const argv[], int *status, struct flo_err *err);

#endif
