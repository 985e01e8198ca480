/* Download in progress: partial/<hex>.part and its map of finished units.
 *
 * Resumable: a lost network loses nothing, SIGKILL at most one unit (a chunk,
 * or 1 MiB), power loss at most 8 MiB.  Bytes come in order.  With chunk hashes
 * each chunk is verified before it is written. */
#ifndef FLOTILLA_UPDATER_PART_H
#define FLOTILLA_UPDATER_PART_H

#include <flotilla/updater.h>

#include "updater/store/store.h"

/* The artifact to fetch.  Chunks are borrowed until close.  NULL: only the
 * digest of the whole is known. */
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

/* Begins or resumes a download.  All space is reserved; on FLO_E_DISK_FULL
 * (with numbers) nothing is left on disk.  Bytes of an earlier run are hashed
 * again, and the right ones kept.  A damaged map is ignored: with chunk hashes
 * all chunks are checked then, without them the download begins again. */
FLO_MUST_USE int flo_part_open(struct flo_store *store, const struct flo_artifact *artifact,
                               struct flo_part **out, struct flo_err *err);
/* Keeps the bytes so far, including an incomplete unit, and frees. */
void flo_part_close(struct flo_part *part);
/* Offset of the next byte to fetch; artifact->bytes when complete. */
uint64_t flo_part_position(const struct flo_part *part);
/* Number of the artifact's first bytes that are in the file. */
uint64_t flo_part_kept(const struct flo_part *part);
/* The mirror's ETag for these bytes, for If-Range; "" when unknown. */
const char *flo_part_etag(const struct flo_part *part);
void flo_part_set_etag(struct flo_part *part, const char *etag);
/* Writes bytes at the position, as many as belong to the artifact.  The
 * position moves by `bytes`, or further when later chunks are there already, so
 * read it again.  FLO_E_NET_CONTENT: more than the artifact has.
 * FLO_E_TARGET_HASH: the chunk is wrong, and the position is back at its start.
 * FLO_E_DISK_FULL, FLO_E_IO_WRITE. */
FLO_MUST_USE int flo_part_write(struct flo_part *part, const void *data, size_t bytes,
                                struct flo_err *err);
/* Verifies the digest of a complete file and gives its descriptor (the
 * caller's, open for reading and writing; the name stays in partial/).
 * FLO_E_TARGET_HASH: the bytes are wrong; all were dropped and the position is
 * 0. */
FLO_MUST_USE int flo_part_finish(struct flo_part *part, int *fd, struct flo_err *err);

#endif
