/* Download in progress: partial/<hex>.part and its map of finished units.
 *
 * A lost network loses no bytes, SIGKILL at most one unit (a chunk, or 1 MiB),
 * and power loss at most 8 MiB.  Bytes come in order.  With chunk hashes each
 * chunk is verified before it is written. */
#ifndef FLOTILLA_UPDATER_PART_H
#define FLOTILLA_UPDATER_PART_H

#include <flotilla/updater.h>

#include "updater/store/store.h"

/* The artifact to fetch.  The chunk hashes are borrowed until close.  `chunks`
 * NULL: only the digest of the whole artifact is known. */
struct flo_artifact {
    struct flo_digest digest;
    uint64_t bytes;
    uint64_t chunk_bytes;
    const struct flo_digest *chunks;
    uint32_t chunk_count;
};

#define FLO_PART_UNIT (1u << 20)
#define FLO_PART_SYNC_BYTES (8u << 20)
#define FLO_PART_ETAG 96

struct flo_part;

/* Begins or resumes a download, and reserves all its disk space.  On
 * FLO_E_DISK_FULL (with numbers) no bytes stay on disk.  Bytes of an earlier
 * run are hashed again, and the right ones kept.  A damaged map is ignored:
 * then all chunks are checked by their hashes, or the download begins again if
 * there are none. */
FLO_MUST_USE int flo_part_open(struct flo_store *store, const struct flo_artifact *artifact,
                               struct flo_part **out, struct flo_err *err);
/* Stores the bytes so far, including an incomplete unit, and frees the part. */
void flo_part_close(struct flo_part *part);
/* Returns the offset of the next byte to fetch, or artifact->bytes when all are
 * there. */
uint64_t flo_part_position(const struct flo_part *part);
/* Returns how many of the artifact's first bytes are in the file. */
uint64_t flo_part_kept(const struct flo_part *part);
/* Returns the mirror's ETag for these bytes, for If-Range, or "" when it is
 * unknown. */
const char *flo_part_etag(const struct flo_part *part);
void flo_part_set_etag(struct flo_part *part, const char *etag);
/* Writes bytes at the position, as many as belong to the artifact.  The
 * position moves by `bytes`, or further when later chunks are on disk already,
 * so read it again.
 *
 * Returns FLO_E_NET_CONTENT for more bytes than the artifact has.  Returns
 * FLO_E_TARGET_HASH for a wrong chunk; the position is back at its start.
 * FLO_E_DISK_FULL, FLO_E_IO_WRITE. */
FLO_MUST_USE int flo_part_write(struct flo_part *part, const void *data, size_t bytes,
                                struct flo_err *err);
/* Verifies the digest of a complete file and returns its descriptor, which the
 * caller closes.  It is open for reading and writing, and the file stays in
 * partial/.  Returns FLO_E_TARGET_HASH for wrong bytes: all are dropped and the
 * position is 0. */
FLO_MUST_USE int flo_part_finish(struct flo_part *part, int *fd, struct flo_err *err);

#endif
