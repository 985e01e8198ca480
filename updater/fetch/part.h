/* A download under way: partial/<hex>.part and its map.
 *
 * Resumable after anything: a cut network loses nothing, SIGKILL at most one
 * unit (a chunk, or 1 MiB), power loss at most 8 MiB.  Bytes enter in order;
 * with chunk hashes each chunk is checked before it is written. */
#ifndef FLOTILLA_UPDATER_PART_H
#define FLOTILLA_UPDATER_PART_H

#include <flotilla/updater.h>

#include "updater/store/store.h"

/* The artifact to fetch.  Chunks are borrowed until close; NULL: only the whole
 * digest is known. */
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

/* Begin or resume.  All space is reserved (FLO_E_DISK_FULL with numbers; then
 * nothing is left on disk).  The bytes of an earlier run are hashed again;
 * right ones are kept.  A damaged map is ignored.  With chunk hashes all chunks
 * are looked at; without them the download begins again. */
FLO_MUST_USE int flo_part_open(struct flo_store *store, const struct flo_artifact *artifact,
                               struct flo_part **out, struct flo_err *err);
/* Keep the bytes so far, the begun unit included, and free. */
void flo_part_close(struct flo_part *part);
/* The byte that is wanted next; artifact->bytes when complete. */
uint64_t flo_part_position(const struct flo_part *part);
/* The artifact's first bytes that stand in the file. */
uint64_t flo_part_kept(const struct flo_part *part);
/* The mirror's etag for these bytes, for If-Range; "" when unknown. */
const char *flo_part_etag(const struct flo_part *part);
void flo_part_set_etag(struct flo_part *part, const char *etag);
/* Take bytes at the position, as many as belong to the artifact.  The position
 * moves by `bytes`, or further when later chunks are here already: compare it.
 * FLO_E_NET_CONTENT: more than the artifact has.  FLO_E_TARGET_HASH: the chunk
 * is wrong and the position is at its begin.  FLO_E_DISK_FULL, FLO_E_IO_WRITE.
 */
FLO_MUST_USE int flo_part_write(struct flo_part *part, const void *data, size_t bytes,
                                struct flo_err *err);
/* Complete: compare the digest and give the descriptor (the caller's, open
 * for reading and writing; the name stays in partial/).  FLO_E_TARGET_HASH:
 * it is not those bytes; everything was dropped and begins at 0. */
FLO_MUST_USE int flo_part_finish(struct flo_part *part, int *fd, struct flo_err *err);

#endif
