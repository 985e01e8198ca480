/* Handed: bytes about devices that a leader hands on to the next one, in the
 * database of --store (postgresql/handed.c).
 *
 * A row for each name on a device.  A name that begins with `/` is of something
 * else, and says of what.  A thread writes them, a batch at a time, so
 * who gives them waits for no database.  A row of an earlier epoch replaces
 * none of a later one.  Without libpq in the build there is none of it. */
#ifndef FLOTILLA_SERVER_HANDED_H
#define FLOTILLA_SERVER_HANDED_H

#include <flotilla/base.h>

struct flo_handed;

/* A row on its way out.  `bytes` 0: it goes. */
typedef void (*flo_give_fn)(void *context, const char *device, const char *name, const void *data,
                            size_t bytes);

#define FLO_HANDED_ROWS_MAX 500 /* rows of a batch */
#define FLO_HANDED_BYTES_MAX 5120

/* Connect.  `epoch`: in which this process leads. */
FLO_MUST_USE int flo_handed_open(const char *address, uint64_t epoch, struct flo_handed **out,
                                 struct flo_err *err);
/* A batch that is not written is tried once more.  NULL is fine. */
void flo_handed_close(struct flo_handed *handed);

/* Before the first batch: rows of devices that are no member any more go, then
 * all others are read.  An answer of `fn` that is not 0 ends it and is its
 * result.  FLO_E_DB_UNREACHABLE: it may be asked again, from the beginning. */
typedef int (*flo_handed_fn)(void *context, const char *device, const char *name, const void *data,
                             size_t bytes);
FLO_MUST_USE int flo_handed_list(struct flo_handed *handed, flo_handed_fn fn, void *context,
                                 struct flo_err *err);

/* How many rows may be put now; 0: the batch before is still on its way. */
size_t flo_handed_room(struct flo_handed *handed);
/* A flo_give_fn: `handed` is a struct flo_handed.  Copies. */
void flo_handed_put(void *handed, const char *device, const char *name, const void *data,
                    size_t bytes);
/* Let the thread write what was put. */
void flo_handed_send(struct flo_handed *handed);
/* Wait for it, at most so long; false: it is still on its way. */
bool flo_handed_settle(struct flo_handed *handed, uint64_t ms);

#endif
