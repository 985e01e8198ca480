/* Flotilla engine, prefixes: the first tokens of a prompt with their KV cache,
 * kept in a file.  A session of another process reads the file instead of
 * computing these tokens.  Later tokens have the same bits as without the file.
 *
 * The file holds tokens with their keys and values as in the cache, in whole
 * blocks of FLO_PREFIX_TOKENS, and nothing of later tokens.  Layers with a
 * window have only the window in it, recurrent layers their state.  It is bound to the
 * model file that it was computed from, by inode, size and times, so a copy of
 * the model needs a new prefix.  It is also bound to the version of the engine,
 * the kernel, the use of packed weights, the cache's type, and the rotation
 * that depends on the context.  Context, threads and batch may differ.  Any
 * other file is refused.
 *
 * A checksum protects against damage, not against malice: a user who can write
 * the file can change answers.  The tokens are the prompt's text; protect the
 * file like that text.
 *
 * Errors, threads and ownership as in <flotilla/engine.h>; descriptors stay the
 * caller's. */
#ifndef FLOTILLA_PREFIX_H
#define FLOTILLA_PREFIX_H

#include <flotilla/engine_step.h>

#define FLO_PREFIX_TOKENS 16u /* tokens of a block; a partial block is not written */

/* Returns the size of a file with the session's first `count` tokens; 0 if they
 * are less than one block. */
uint64_t flo_prefix_bytes(const struct flo_engine *engine, uint32_t count);

/* Writes the first `count` tokens of the session, which is not changed, and
 * whose they are: `owner` is a number of the caller's.  The descriptor is open for reading and
 * writing.  The file has flo_prefix_bytes() allocated on the disk, because it is filled through
 * mappings, which cannot report a full disk.  A mapping has 1 MiB, as a sandboxed process may map
 * no more.  The head is cleared first and written last, so an interrupted file is refused later and
 * no sync is needed.  `stops` (or NULL) is called once for each mapping.
 *
 * FLO_E_INFER_PARAM      the session holds fewer tokens, or `count` is less
 *                        than a block
 * FLO_E_STATE            the session has an adapter, or flo_session_held() is
 *                        less than `count`
 * FLO_E_INFER_CANCELLED  `stops` returned true
 * FLO_E_IO_MAPPING */
FLO_MUST_USE int flo_prefix_write(const struct flo_session *session, uint32_t count, uint64_t owner,
                                  int fd, flo_stops_fn *stops, void *stops_context,
                                  struct flo_err *err);

/* Loads all tokens of the file into an empty session, whose position is then
 * their number.  *owner (or NULL) gets the number of who wrote them.  The caller cuts the session
 * to the part that a prompt shares, with flo_session_common() and flo_session_truncate().  After an
 * error the session is empty as before.
 *
 * FLO_E_ABSENT          the file is empty, or its writing was interrupted
 * FLO_E_USAGE           the file is no prefix
 * FLO_E_PREFIX          the file is damaged, or of another model, version or
 *                       setting
 * FLO_E_INFER_TOO_LONG  the file holds more tokens than the context
 * FLO_E_STATE           the session holds tokens, or has an adapter
 * FLO_E_IO_READ */
FLO_MUST_USE int flo_prefix_read(struct flo_session *session, int fd, uint64_t *owner,
                                 struct flo_err *err);

#endif
