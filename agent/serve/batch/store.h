/* Store: the folder of files and batches.
 *
 * file-ID has the bytes of a file, file-ID.json its document with the owner.
 * batch-ID.json is a batch, batch-ID.progress its progress, upload-ID an
 * unfinished upload.  All have mode 0600, the folder 0700.  Used by one
 * thread. */
#ifndef FLOTILLA_BATCH_STORE_H
#define FLOTILLA_BATCH_STORE_H

#include "agent/serve/batch/object.h"

#define FLO_BATCH_FILES_MAX 1024
#define FLO_BATCHES_MAX 1024

struct flo_batch_store {
    char folder[3000];
    int lock_fd;
    int64_t clock_ms; /* difference between wall clock and flo_now_ms() */
    uint64_t bytes_max;
    uint64_t keep_s;      /* time for which a file is kept */
    uint64_t delivered_s; /* ... and time for which it is kept after the answers were fetched */
    struct flo_batch_file *files[FLO_BATCH_FILES_MAX]; /* oldest first */
    size_t n_files;
    struct flo_batch *batches[FLO_BATCHES_MAX];
    size_t n_batches;
    uint64_t coming_bytes; /* bytes of uploads */
};

/* Opens or creates the folder, and reads it; unfinished files are removed.
 * FLO_E_CFG_PERM: other users may read the folder. FLO_E_STATE_LOCKED: another
 * process uses it. FLO_E_IO_OPEN, FLO_E_IO_READ. */
FLO_MUST_USE int flo_batch_store_open(struct flo_batch_store *store, struct flo_err *err);
void flo_batch_store_close(struct flo_batch_store *store);

/* Returns the time for all objects; it does not jump. */
uint64_t flo_batch_store_now_s(const struct flo_batch_store *store);
/* Shifts all stored times when the wall clock was set: a device that starts in
 * 1970 still keeps its files as long as promised, and gives a batch its 24
 * hours. */
void flo_batch_store_follow_clock(struct flo_batch_store *store);

/* Writes the path of an object's file with this suffix ("", ".json"). */
void flo_batch_store_path(const struct flo_batch_store *store, const char *id, const char *end,
                          char out[4096]);
/* Opens such a file.  FLO_E_IO_OPEN. */
FLO_MUST_USE int flo_batch_store_file(const struct flo_batch_store *store, const char *id,
                                      const char *end, int flags, int *fd, struct flo_err *err);
/* Is there room for this many more bytes?  FLO_E_DISK_FULL, with the
 * numbers. */
FLO_MUST_USE int flo_batch_store_room(const struct flo_batch_store *store, uint64_t bytes,
                                      struct flo_err *err);

/* Finds a file by id and owner; NULL: none. */
struct flo_batch_file *flo_batch_store_find(const struct flo_batch_store *store, const char *app,
                                            const char *id);
struct flo_batch *flo_batch_store_batch(const struct flo_batch_store *store, const char *app,
                                        const char *id);

/* Adds a file whose bytes are stored; the struct is copied.  FLO_E_REST_LIMIT:
 * too many. */
FLO_MUST_USE int flo_batch_store_add(struct flo_batch_store *store,
                                     const struct flo_batch_file *file, struct flo_err *err);
void flo_batch_store_remove(struct flo_batch_store *store, struct flo_batch_file *file);
/* Adds a batch; takes over `batch`.  FLO_E_REST_LIMIT: too many. */
FLO_MUST_USE int flo_batch_store_begin(struct flo_batch_store *store, struct flo_batch *batch,
                                       struct flo_err *err);
FLO_MUST_USE int flo_batch_store_save(const struct flo_batch_store *store,
                                      const struct flo_batch *batch, struct flo_err *err);
/* Is an unfinished batch reading this file? */
bool flo_batch_store_is_read(const struct flo_batch_store *store, const char *id);
/* Records that the file was fetched, so that the files of its batch are removed
 * soon. */
void flo_batch_store_delivered(struct flo_batch_store *store, struct flo_batch_file *file,
                               uint64_t now_s);
/* Removes everything whose time is over. */
void flo_batch_store_expire(struct flo_batch_store *store, uint64_t now_s);

#endif
