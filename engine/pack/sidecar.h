/* Sidecar: the packed weights of one model, in a file of their own.
 *
 * The file is made once, when a release is staged (flotilla-engine pack).
 * Every engine process of the model maps it, so they share its pages.  Only the
 * GGUF is signed, shipped and patched; the sidecar can always be rebuilt from
 * it.
 *
 * The file is little-endian: a head of 64 bytes, a row of 128 bytes for every
 * packed tensor, then the strips (kernel/pack.h), each tensor at a multiple of
 * 4096.  Head and table follow from the model: tensors, sizes, offsets and a
 * checksum of some bytes of each tensor.  So a head is not parsed: it is
 * computed from the model and must be equal byte by byte.  No number from a
 * sidecar is ever used.
 *
 * This check proves the same format and layout, and the same model file as far
 * as shapes and 256 bytes of every tensor show.  It takes 0.2 ms and protects
 * against mistakes.  Against damage and malice the agent compares the SHA-256
 * of the whole file with the one recorded when the file was made. */
#ifndef FLOTILLA_ENGINE_SIDECAR_H
#define FLOTILLA_ENGINE_SIDECAR_H

#include "base/gguf/gguf.h"

#define FLO_SIDECAR_SUFFIX ".packed" /* ending of the sidecar's name, after the model's path */

struct flo_sidecar;

/* Computes the sidecar of an open model.  `model_fd` is the model's file, of
 * which some bytes are read.  Both stay the caller's, who keeps `gguf` until
 * the sidecar is freed.  Matrices whose type has strips are packed; the
 * embedding only if it is also the output matrix, and experts only if each has
 * whole strips.  FLO_E_NOT_BUILT: no tensor
 * can be packed.  FLO_E_IO_READ. */
FLO_MUST_USE int flo_sidecar_new(const struct flo_gguf *gguf, int model_fd,
                                 struct flo_sidecar **out, struct flo_err *err);
/* Unmaps and frees the sidecar; NULL is allowed. */
void flo_sidecar_free(struct flo_sidecar *sidecar);

/* Returns the size of the sidecar's file in bytes. */
uint64_t flo_sidecar_bytes(const struct flo_sidecar *sidecar);
/* Returns how many bytes of the model's file the engine no longer reads once
 * the sidecar is mapped. */
uint64_t flo_sidecar_bytes_replaced(const struct flo_sidecar *sidecar);
size_t flo_sidecar_tensors(const struct flo_sidecar *sidecar);

/* Callback for progress, called on one thread with the number of strips done.
 * `total` is never 0. */
typedef void flo_sidecar_progress(void *context, uint64_t done, uint64_t total);
/* Fills an empty file with the sidecar, flo_sidecar_bytes() long, and syncs it.
 * The descriptor is open for reading and writing.  The caller has allocated the
 * file on the disk, because a mapped write cannot report a full disk.  The head
 * is written last, so an interrupted file is not valid.  The bytes are the same
 * on every CPU and for any number of threads.  `progress` may be NULL.
 * FLO_E_IO_WRITE, FLO_E_IO_MAPPING. */
FLO_MUST_USE int flo_sidecar_write(const struct flo_sidecar *sidecar, int fd, uint32_t threads,
                                   flo_sidecar_progress *progress, void *context,
                                   struct flo_err *err);

/* Maps the file if it is this sidecar.  FLO_E_PACKED: it is not, and the error
 * tells the difference.  FLO_E_IO_READ, FLO_E_IO_MAPPING. */
FLO_MUST_USE int flo_sidecar_map(struct flo_sidecar *sidecar, int fd, struct flo_err *err);

/* Returns the offset in the sidecar of the strip whose first row is row `first`
 * of a model's tensor, and writes its size to *strip_bytes.  Returns 0 if the
 * tensor is not packed, or no strip begins at that row. */
uint64_t flo_sidecar_find(const struct flo_sidecar *sidecar, const struct flo_gguf_tensor *tensor,
                          uint32_t first, size_t *strip_bytes);
/* Returns the bytes at an offset that flo_sidecar_find() returned.  The sidecar
 * must be mapped. */
const uint8_t *flo_sidecar_at(const struct flo_sidecar *sidecar, uint64_t offset);

#endif
