/* Store: the folder of files and batches.
 *
 * file-ID has the bytes of a file, and file-ID.json its document with the
 * owner. batch-ID.json is a batch, batch-ID.progress its progress, and
 * upload-ID an upload that has not ended.  All have mode 0600, and the folder
 * has 0700.  One thread uses the store. */
#ifndef FLOTILLA_BATCH_STORE_H
#define FLOTILLA_BATCH_STORE_H

#include "agent/serve/batch/object.h"

#define FLO_BATCH_FILES_MAX 1024
#define FLO_BATCHES_MAX 1024

/* Bytes of an upload that has not ended. */
struct flo_batch_coming {
    struct flo_batch_coming *next;
    FLO_OWNED(BYTES, char app[FLO_NAME_MAX + 1]);
    uint64_t bytes;
};

struct flo_batch_store {
    char folder[3000];
    int lock_fd;
    int64_t clock_ms; /* wall clock minus flo_now_ms() */
    uint64_t bytes_max;
    uint64_t keep_s;      /* time for which a file stays */
    uint64_t delivered_s; /* time for which a file stays after its answers were fetched */
    struct flo_batch_file *files[FLO_BATCH_FILES_MAX]; /* oldest first */
    size_t n_files;
    struct flo_batch *batches[FLO_BATCHES_MAX];
    size_t n_batches;
    struct flo_batch_coming *coming; /* list of uploads */
};

/* Opens or creates the folder, and reads it.  Files that are not complete are
 * deleted.
 * FLO_E_CFG_PERM  other users may read the folder
 * FLO_E_STATE_LOCKED  another process uses it
 * FLO_E_IO_OPEN, FLO_E_IO_READ  the disk failed */
FLO_MUST_USE int flo_batch_store_open(struct flo_batch_store *store, struct flo_err *err);
void flo_batch_store_close(struct flo_batch_store *store);

/* Returns the time by which all objects are dated.  It does not jump. */
uint64_t flo_batch_store_now_s(const struct flo_batch_store *store);
/* Shifts all stored times when the wall clock was set.  So a device that starts
 * in 1970 still keeps its files as long as promised, and gives a batch its 24
 * hours. */
void flo_batch_store_follow_clock(struct flo_batch_store *store);

/* Writes the path of an object's file, with the suffix `end` ("", ".json"). */
void flo_batch_store_path(const struct flo_batch_store *store, const char *id, const char *end,
                          char out[4096]);
/* Opens an object's file, with the suffix `end`.
 * FLO_E_IO_OPEN  it cannot be opened */
FLO_MUST_USE int flo_batch_store_file(const struct flo_batch_store *store, const char *id,
                                      const char *end, int flags, int *fd, struct flo_err *err);
/* Checks whether this many more bytes of `app` have room.  The bytes of an app are
 * at most as many as stay free; the device's owner (empty) may use all.
 * FLO_E_DISK_FULL  they have not; the text has the numbers */
FLO_MUST_USE int flo_batch_store_room(const struct flo_batch_store *store, const char *app,
                                      uint64_t bytes, struct flo_err *err);
/* Checks in the same way whether `app` may have more files.  A batch that has not
 * ended counts as the two that it will write; with 2 more, a batch is checked.
 * FLO_E_REST_LIMIT  it may not */
FLO_MUST_USE int flo_batch_store_places(const struct flo_batch_store *store, const char *app,
                                        uint64_t more, struct flo_err *err);

/* Tells whether `app` may see what belongs to `other`: the device's owner, whose
 * name is empty, sees all. */
bool flo_batch_store_may_see(const char *app, const char *other);
/* Finds a file that `app` may see, by its id; NULL: there is none. */
struct flo_batch_file *flo_batch_store_find(const struct flo_batch_store *store, const char *app,
                                            const char *id);
struct flo_batch *flo_batch_store_batch(const struct flo_batch_store *store, const char *app,
                                        const char *id);

/* Adds a file whose bytes are stored already.  The struct is copied.
 * FLO_E_REST_LIMIT  there are too many files */
FLO_MUST_USE int flo_batch_store_add(struct flo_batch_store *store,
                                     const struct flo_batch_file *file, struct flo_err *err);
void flo_batch_store_remove(struct flo_batch_store *store, struct flo_batch_file *file);
/* Adds a batch and owns `batch` from then on.
 * FLO_E_REST_LIMIT  there are too many batches */
FLO_MUST_USE int flo_batch_store_begin(struct flo_batch_store *store, struct flo_batch *batch,
                                       struct flo_err *err);
FLO_MUST_USE int flo_batch_store_save(const struct flo_batch_store *store,
                                      const struct flo_batch *batch, struct flo_err *err);
/* Tells whether a batch that has not ended reads this file. */
bool flo_batch_store_is_read(const struct flo_batch_store *store, const char *id);
/* Records that a client fetched the file, so that the files of its batch are
 * deleted soon. */
void flo_batch_store_delivered(struct flo_batch_store *store, struct flo_batch_file *file,
                               uint64_t now_s);
/* Deletes all files and batches whose time is over. */
void flo_batch_store_expire(struct flo_batch_store *store, uint64_t now_s);

#endif
