/* Handover: data about devices that a leader passes to the next one, in the
 * database of --store (postgresql/handed.c).
 *
 * A row has the id of a device and a name.  A row whose name begins with `/`
 * belongs to something other than a device, which the name tells.  A thread
 * writes the rows in batches, so callers never wait for the database.  A row of
 * an earlier epoch never replaces one of a later epoch.  A build without libpq
 * has no handover. */
#ifndef FLOTILLA_SERVER_HANDED_H
#define FLOTILLA_SERVER_HANDED_H

#include <flotilla/base.h>

struct flo_handed;

/* Callback that receives a row to write.  With `bytes` 0 the row is deleted. */
typedef void (*flo_give_fn)(void *context, const char *device, const char *name, const void *data,
                            size_t bytes);

#define FLO_HANDED_ROWS_MAX 500 /* largest number of rows in a batch */
#define FLO_HANDED_BYTES_MAX 5120

/* Connects to the database.  `epoch` is the epoch in which this process
 * leads. */
FLO_MUST_USE int flo_handed_open(const char *address, uint64_t epoch, struct flo_handed **out,
                                 struct flo_err *err);
/* Closes the connection.  A batch that is not written yet is tried once more.
 * NULL is allowed. */
void flo_handed_close(struct flo_handed *handed);

/* Callback for a row.  The call lists all rows before the first batch, and
 * deletes rows of devices that are no longer members.  A result of `fn` other
 * than 0 ends the listing and is returned.  FLO_E_DB_UNREACHABLE: the caller
 * tries again from the beginning. */
typedef int (*flo_handed_fn)(void *context, const char *device, const char *name, const void *data,
                             size_t bytes);
FLO_MUST_USE int flo_handed_list(struct flo_handed *handed, flo_handed_fn fn, void *context,
                                 struct flo_err *err);

/* Returns how many rows the caller may put now.  0: the last batch is still
 * being written. */
size_t flo_handed_room(struct flo_handed *handed);
/* Puts a row into the next batch, and copies its data.  The function is a
 * flo_give_fn, and `handed` a struct flo_handed. */
void flo_handed_put(void *handed, const char *device, const char *name, const void *data,
                    size_t bytes);
/* Makes the thread write the rows that were put. */
void flo_handed_send(struct flo_handed *handed);
/* Waits at most `ms` until the batch is written.  Returns false when it is
 * still being written. */
bool flo_handed_settle(struct flo_handed *handed, uint64_t ms);

#endif
