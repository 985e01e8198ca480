/* Sidecar: the packed weights of one model, in a file of their own.
 *
 * It is made once, when a release is staged (flotilla-engine pack), and mapped
 * by every engine process that serves the model, which so share its pages.
 * The GGUF stays what is signed, shipped and patched; a sidecar can always be
 * made again from it.
 *
 * The file is little-endian: a head of 64 bytes, a row of 128 bytes for every
 * packed tensor, then the strips (kernel/pack.h), each tensor at a multiple of
 * 4096.  Everything but the strips follows from the model: tensors, sizes,
 * places and a checksum of some bytes of each.  So a head is not parsed: it is
 * reckoned from the model and must be the same byte by byte.  No number that
 * stands in a sidecar is ever used.
 *
 * This proves the same format and layout, and the same model file as far as
 * shapes and 256 bytes of every tensor tell.  It costs 0.2 ms and guards
 * against mistakes.  Against damage and malice the agent compares the SHA-256
 * of the whole file, which it recorded when the file was made. */
#ifndef FLOTILLA_ENGINE_SIDECAR_H
#define FLOTILLA_ENGINE_SIDECAR_H

#include "base/gguf/gguf.h"

#define FLO_SIDECAR_SUFFIX ".packed" /* after the model's path */

struct flo_sidecar;

/* Reckon the sidecar of an open model; `model_fd` is its file, read here at
 * some places.  Both stay the caller's; `gguf` must outlive the sidecar.
 * Packed are the matrices whose type has strips; the embedding only where it
 * is the output, too.  FLO_E_NOT_BUILT: there is none.  FLO_E_IO_READ. */
FLO_MUST_USE int flo_sidecar_new(const struct flo_gguf *gguf, int model_fd,
                                 struct flo_sidecar **out, struct flo_err *err);
/* Unmaps; NULL is fine. */
void flo_sidecar_free(struct flo_sidecar *sidecar);

/* Size of the whole file. */
uint64_t flo_sidecar_bytes(const struct flo_sidecar *sidecar);
/* Bytes of the model file that nobody reads once the sidecar is mapped. */
uint64_t flo_sidecar_bytes_replaced(const struct flo_sidecar *sidecar);
size_t flo_sidecar_tensors(const struct flo_sidecar *sidecar);

/* Called from one thread, with strips that are done; total > 0. */
typedef void flo_sidecar_progress(void *context, uint64_t done, uint64_t total);
/* Fill an empty file of flo_sidecar_bytes() that is open for reading and
 * writing and has its room on the disk (a mapped write cannot tell of a full
 * one), and sync it.  The head comes last: what is cut off before is no
 * sidecar.  The bytes are the same on every CPU and for any number of threads.
 * `progress` may be NULL.  FLO_E_IO_WRITE, FLO_E_IO_MAPPING. */
FLO_MUST_USE int flo_sidecar_write(const struct flo_sidecar *sidecar, int fd, uint32_t threads,
                                   flo_sidecar_progress *progress, void *context,
                                   struct flo_err *err);

/* Map a file if it is this sidecar.  FLO_E_PACKED: it is not (the sentence
 * says in what it differs). FLO_E_IO_READ, FLO_E_IO_MAPPING. */
FLO_MUST_USE int flo_sidecar_map(struct flo_sidecar *sidecar, int fd, struct flo_err *err);

/* Where a tensor of the model lies in the sidecar, from its row `first` on: the
 * offset of the strip, 0 when it is not packed or no strip begins there.
 * *strip_bytes is written if not 0. */
uint64_t flo_sidecar_find(const struct flo_sidecar *sidecar, const struct flo_gguf_tensor *tensor,
                          uint32_t first, size_t *strip_bytes);
/* Bytes at an offset of flo_sidecar_find(), once mapped. */
const uint8_t *flo_sidecar_at(const struct flo_sidecar *sidecar, uint64_t offset);

#endif
