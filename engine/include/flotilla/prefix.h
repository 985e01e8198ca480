/* Flotilla engine, prefixes: what a session holds of a prompt's beginning,
 * kept in a file.  Read into a session of another process, it spares that
 * computation; what follows has the same bits as without.
 *
 * The file holds tokens with their keys and values as they stand in the cache,
 * in whole blocks of FLO_PREFIX_TOKENS: nothing of a token behind them.  It
 * fits the model file that it was computed from (by inode, size and times, so
 * a copy's prefix is another one), this version of the engine, the kernel,
 * packed or not, the cache's type and the rotation that a context may choose;
 * not the context itself, threads or batch.  Everything else is refused.  A
 * checksum guards against damage, not against malice: who can write the file
 * can change answers.  The tokens are the prompt's text: keep it as such.
 *
 * Errors, threads and ownership as in <flotilla/engine.h>; descriptors stay
 * the caller's. */
#ifndef FLOTILLA_PREFIX_H
#define FLOTILLA_PREFIX_H

#include <flotilla/engine_step.h>

#define FLO_PREFIX_TOKENS 16u /* of a block; what is not whole is left out */

/* Size of the file of the first `count` tokens; 0: not even one block. */
uint64_t flo_prefix_bytes(const struct flo_engine *engine, uint32_t count);

/* Write the first `count` tokens of the session, which stays as it is.
 *
 * The descriptor is open for reading and writing, and the file has
 * flo_prefix_bytes() with their room on the disk: it is filled through
 * mappings of 1 MiB (a sandboxed process may do no more), which cannot tell of
 * a full disk.  The head is cleared first and written last: a file whose
 * writing was ended is refused, and nothing need be synced.  `stops` (or NULL)
 * is asked once for each mapping.
 *
 * FLO_E_INFER_PARAM       the session holds fewer, or less than a block
 * FLO_E_STATE             it has an adapter
 * FLO_E_INFER_CANCELLED   `stops` said so
 * FLO_E_IO_MAPPING */
FLO_MUST_USE int flo_prefix_write(const struct flo_session *session,
                                  uint32_t count, int fd, flo_stops_fn *stops,
                                  void *stops_context, struct flo_err *err);

/* Begin an empty session with all that the file holds: its position tells how
 * much that was; flo_session_common() and flo_session_truncate() keep what a
 * prompt shares with it.  After an error the session is empty as before.
 *
 * FLO_E_ABSENT          the file is empty, or its writing was ended
 * FLO_E_USAGE           it is something else
 * FLO_E_PREFIX          it is damaged, or of another model, version or setting
 * FLO_E_INFER_TOO_LONG  it holds more tokens than the context
 * FLO_E_STATE           the session holds tokens, or has an adapter
 * FLO_E_IO_READ */
FLO_MUST_USE int flo_prefix_read(struct flo_session *session, int fd,
                                 struct flo_err *err);

#endif
