/* Store internals: folders as descriptors, and files of two alternating
 * records. */
#ifndef FLOTILLA_UPDATER_STORE_H
#define FLOTILLA_UPDATER_STORE_H

#include <sys/stat.h>

#include <flotilla/updater.h>

#define FLO_BLOB_NAME 72 /* "sha256-" + 64 hex + NUL */
#define FLO_PART_NAME 72 /* 64 hex + ".part", ".map" or ".made" + NUL */

struct flo_store {
    char *path;
    int dir_fd;
    int blobs_fd;
    int releases_fd;
    int partial_fd;
    int packed_fd;
    int slots_fd;
    int lock_fd; /* descriptor of the lock file; -1: opened without the lock */
    bool keeps_patches;
    /* true: garbage collection keeps intermediate files of updates in
     * progress */
    bool keeps_steps;
};

void flo_store_blob_name(const struct flo_digest *digest, char out[FLO_BLOB_NAME]);
/* Reads the digest at the start of a file name.  Returns the rest of the name,
 * or NULL when the store does not use such names. */
const char *flo_store_name_read(const char *name, struct flo_digest *digest);
/* Writes the name of a file in partial/, which ends with `suffix`: ".part",
 * ".map" or ".made". */
void flo_store_part_name(const struct flo_digest *digest, const char *suffix,
                         char out[FLO_PART_NAME]);
/* Stats a plain file in a folder by opening it, because a worker's sandbox
 * allows no stat of a path.  Returns false when there is no such file. */
bool flo_store_stat(int dir_fd, const char *name, struct stat *out);
/* Opens a damaged blob, blobs/sha256-<hex>.rotten, for reading.  Its correct
 * chunks are copied into the new download.  It is never written, since other
 * links to the file may be in use.  Returns -1 when there is none. */
int flo_store_rotten_open(struct flo_store *store, const struct flo_digest *digest);
void flo_store_rotten_remove(struct flo_store *store, const struct flo_digest *digest);
/* Syncs a folder.  Succeeds on file systems that cannot sync one. */
FLO_MUST_USE int flo_store_sync_dir(int dir_fd, const char *name, struct flo_err *err);
/* Syncs blobs/.  Names that another process made may be in the page cache only.
 * The caller does this before a record refers to them. */
FLO_MUST_USE int flo_store_blobs_sync(struct flo_store *store, struct flo_err *err);
/* Turns partial/<hex>.part into the blob and removes its map.  The caller has
 * synced the bytes and checked their digest.  The blob is durable when the
 * function returns. */
FLO_MUST_USE int flo_store_part_publish(struct flo_store *store, int fd,
                                        const struct flo_digest *digest, struct flo_err *err);
/* Opens a file of partial/ for writing, or makes it with O_CREAT.  A read-only
 * file was complete when its worker was killed, so its mode is changed back.
 * The change uses the descriptor, because the worker's sandbox allows no chmod
 * of a path. */
FLO_MUST_USE int flo_store_partial_open(struct flo_store *store, const char *name, int flags,
                                        int *fd, struct flo_err *err);
/* Removes a partial download, its map, and the damaged blob that it would be
 * repaired from. */
void flo_store_part_remove(struct flo_store *store, const struct flo_digest *digest);
/* Tells whether a file was a damaged blob: it is still .rotten, or was copied
 * already and has no download map. */
bool flo_store_part_is_damaged(struct flo_store *store, const struct flo_digest *digest);
/* Opens or creates partial/<hex>.made, which a patch turns into the file of
 * that digest, and reserves all its bytes.  *done is the number of first bytes
 * that an earlier worker may have made.  They are not verified, and some may be
 * zeros, because the data never reached the disk. */
FLO_MUST_USE int flo_store_made_open(struct flo_store *store, const struct flo_digest *digest,
                                     uint64_t bytes, int *fd, uint64_t *done, struct flo_err *err);
/* Turns partial/<hex>.made into the blob, as flo_store_part_publish does. */
FLO_MUST_USE int flo_store_made_publish(struct flo_store *store, int fd,
                                        const struct flo_digest *digest, struct flo_err *err);
void flo_store_made_remove(struct flo_store *store, const struct flo_digest *digest);
/* Removes all partial downloads and damaged blobs except those in `keep` and
 * `others`.  Returns the disk space of those in `keep`, which will be freed or
 * reused. */
uint64_t flo_store_partials_keep(struct flo_store *store, const struct flo_digest *keep,
                                 size_t keep_count, const struct flo_digest_list *others);
/* Adds the digests of the downloads that other models' assigned releases may
 * need.  A record or document that cannot be read adds none. */
void flo_store_others_want(struct flo_store *store, const struct flo_digest *release,
                           struct flo_digest_list *out);
/* Checks the rest of a file name after its digest: a damaged blob in blobs/. */
bool flo_store_rotten_ending(const char *ending);
/* Checks the rest of a file name after its digest: packed weights in
 * packed/. */
bool flo_store_packed_ending(const char *ending);
/* Checks the rest of a file name after its digest: a cached prefix in
 * prefix/. */
bool flo_store_prefix_ending(const char *ending);
/* Checks the rest of a file name after its digest: the chosen variant in
 * releases/. */
bool flo_store_choice_ending(const char *ending);
/* Opens the folder prefix/, which does not exist before the first prefix is
 * cached. */
FLO_MUST_USE int flo_store_prefixes_open(struct flo_store *store, int *dir_fd, struct flo_err *err);
/* Removes a file and adds it to `collected`. */
void flo_store_remove(int dir_fd, const char *name, struct flo_collected *collected);
/* Reserves disk space for a new file. */
FLO_MUST_USE int flo_store_reserve(struct flo_store *store, int fd, uint64_t bytes,
                                   struct flo_err *err);
/* Locks partial/ until the store is closed, so that only one worker runs.
 * FLO_E_STATE_LOCKED. */
FLO_MUST_USE int flo_store_partials_lock(struct flo_store *store, struct flo_err *err);
/* Calls `call` for each regular name of a folder.  Stops at the first result
 * other than 0 and returns it.  After FLO_E_IO_READ, FLO_E_MEMORY or
 * FLO_E_DESCRIPTORS some names were not seen. */
int flo_store_each_name(int dir_fd, int (*call)(void *context, const char *name), void *context);

/* ---- a file of two alternating records (record.c) ---- */

/* Common head and tail of a record:
 *   0 magic | 4 u16 format | 8 u64 generation | ... | bytes-4 u32 crc32c */
struct flo_record_kind {
    char magic[5];
    uint16_t format;
    size_t bytes; /* at most FLO_RECORD_BYTES_MAX */
};
#define FLO_RECORD_OFFSET 4096 /* second record, on another flash page */
#define FLO_RECORD_BYTES_MAX 4096

/* Reads the valid record with the highest generation into `record`.
 * *generation is 0 when the file is missing or empty.  *is_repaired tells
 * whether the other record has invalid bytes.  Returns FLO_E_STATE_SLOT when
 * there are bytes, but no valid record. */
FLO_MUST_USE int flo_record_read(struct flo_store *store, const char *name,
                                 const struct flo_record_kind *kind, uint8_t *record,
                                 uint64_t *generation, bool *is_repaired, struct flo_err *err);
/* Sets magic, format, generation and crc in `record` and writes it over the
 * older record.  *generation becomes the new generation. */
FLO_MUST_USE int flo_record_write(struct flo_store *store, const char *name,
                                  const struct flo_record_kind *kind, uint8_t *record,
                                  uint64_t *generation, struct flo_err *err);

/* Returns the index of the newest valid image, 0 or 1, or -1 when neither is
 * valid.  Pure. */
int flo_record_choose(const struct flo_record_kind *kind, const uint8_t *first,
                      const uint8_t *second, uint64_t *generation);

/* Makes the folders "a" and "a/b" of a file's name "a/b/name" (named.c).
 * FLO_E_META_NAME: the name could lead out of `tree`.  FLO_E_IO_WRITE. */
FLO_MUST_USE int flo_store_folders_make(int tree, const char *name, struct flo_err *err);
/* Removes a folder with all that is in it; links are not followed. */
void flo_store_folder_remove(int dir_fd, const char *name);

/* Makes a tree of assets in the folder, which is synced and complete, with the
 * folder's group (asset_tree.c).  Nothing is left of one that fails.  Errors of
 * flo_store_assets_show(). */
FLO_MUST_USE int flo_store_asset_tree_make(const struct flo_store *store, int folder,
                                           const char *fresh, const struct flo_asset_list *assets,
                                           struct flo_err *err);
/* Tells whether a tree has all these assets, with their bytes and modes. */
bool flo_store_asset_tree_is_whole(const struct flo_store *store, int folder, const char *name,
                                   const struct flo_asset_list *assets);

/* Removes the trees of releases for which `is_kept` returns false. */
void flo_store_trees_sweep(struct flo_store *store,
                           bool (*is_kept)(const void *context, const struct flo_digest *digest),
                           const void *context);

#endif
