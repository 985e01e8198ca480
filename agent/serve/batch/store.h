/* Store: the folder of files and batches.
 *
 * file-ID has the bytes of a file, file-ID.json says whose it is, batch-ID.json
 * is a batch, batch-ID.progress how far it is, upload-ID a file that still
 * comes.  All have mode 0600, the folder 0700.  Used by one thread. */
#ifndef FLOTILLA_BATCH_STORE_H
#define FLOTILLA_BATCH_STORE_H

#include "agent/serve/batch/object.h"

#define FLO_BATCH_FILES_MAX 1024
#define FLO_BATCHES_MAX 1024

struct flo_batch_store {
    char folder[3000];
    int lock_fd;
    int64_t clock_ms; /* the wall clock's, less flo_now_ms() */
    uint64_t bytes_max;
    uint64_t keep_s;                                   /* how long a file stays */
    uint64_t delivered_s;                              /* ... after its answers were fetched */
    struct flo_batch_file *files[FLO_BATCH_FILES_MAX]; /* oldest first */
    size_t n_files;
    struct flo_batch *batches[FLO_BATCHES_MAX];
    size_t n_batches;
    uint64_t coming_bytes; /* bytes of uploads */
};

/* Make or open the folder, and read it; what was not finished is removed.
 * FLO_E_CFG_PERM: others may look into it.  FLO_E_STATE_LOCKED: another process
 * uses it.  FLO_E_IO_OPEN, FLO_E_IO_READ. */
FLO_MUST_USE int flo_batch_store_open(struct flo_batch_store *store, struct flo_err *err);
void flo_batch_store_close(struct flo_batch_store *store);

/* The time of all objects; it goes on evenly. */
uint64_t flo_batch_store_now_s(const struct flo_batch_store *store);
/* A wall clock that was set moves all times: a device that wakes up in 1970
 * keeps its files as long as it said, and gives a batch its 24 hours. */
void flo_batch_store_follow_clock(struct flo_batch_store *store);

/* Path of an object with this end ("", ".json"). */
void flo_batch_store_path(const struct flo_batch_store *store, const char *id, const char *end,
                          char out[4096]);
/* Open such a file.  FLO_E_IO_OPEN. */
FLO_MUST_USE int flo_batch_store_file(const struct flo_batch_store *store, const char *id,
                                      const char *end, int flags, int *fd, struct flo_err *err);
/* Is there room for so many bytes more?  FLO_E_DISK_FULL, with the numbers. */
FLO_MUST_USE int flo_batch_store_room(const struct flo_batch_store *store, uint64_t bytes,
                                      struct flo_err *err);

/* NULL: there is none of this id that is the app's. */
struct flo_batch_file *flo_batch_store_find(const struct flo_batch_store *store, const char *app,
                                            const char *id);
struct flo_batch *flo_batch_store_batch(const struct flo_batch_store *store, const char *app,
                                        const char *id);

/* A file whose bytes are there; copied.  FLO_E_REST_LIMIT: too many. */
FLO_MUST_USE int flo_batch_store_add(struct flo_batch_store *store,
                                     const struct flo_batch_file *file, struct flo_err *err);
void flo_batch_store_remove(struct flo_batch_store *store, struct flo_batch_file *file);
/* The same of batches; `batch` is moved in. */
FLO_MUST_USE int flo_batch_store_begin(struct flo_batch_store *store, struct flo_batch *batch,
                                       struct flo_err *err);
FLO_MUST_USE int flo_batch_store_save(const struct flo_batch_store *store,
                                      const struct flo_batch *batch, struct flo_err *err);
/* Does an unfinished batch read this file? */
bool flo_batch_store_is_read(const struct flo_batch_store *store, const char *id);
/* The file was fetched: its batch's files go soon. */
void flo_batch_store_delivered(struct flo_batch_store *store, struct flo_batch_file *file,
                               uint64_t now_s);
/* Remove what has had its time. */
void flo_batch_store_expire(struct flo_batch_store *store, uint64_t now_s);

#endif
