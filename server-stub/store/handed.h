/* Handover: data about devices that a leader passes to the next one, in the
 * database of --store (postgresql/handed.c).
 *
 * There is a row for each name of a device.  A name that begins with `/`
 * belongs to another subject, which it names.  A thread writes the rows in
 * batches, so callers never wait for the database.  A row of an earlier
 * epoch never replaces one of a later epoch.  A build without libpq has no
 * handover. */
#ifndef FLOTILLA_SERVER_HANDED_H
#define FLOTILLA_SERVER_HANDED_H

#include <flotilla/base.h>

struct flo_handed;

/* Callback with a row to write.  `bytes` 0: the row is deleted. */
typedef void (*flo_give_fn)(void *context, const char *device, const char *name, const void *data,
                            size_t bytes);

#define FLO_HANDED_ROWS_MAX 500 /* rows in a batch */
#define FLO_HANDED_BYTES_MAX 5120

/* Connects.  `epoch`: the epoch in which this process leads. */
FLO_MUST_USE int flo_handed_open(const char *address, uint64_t epoch, struct flo_handed **out,
                                 struct flo_err *err);
/* Closes.  A batch that is not written yet is tried once more.  NULL is
 * allowed. */
void flo_handed_close(struct flo_handed *handed);

/* Lists all rows, before the first batch; deletes rows of devices that are no
 * longer members.  A result of `fn` other than 0 ends the listing and is
 * returned.  FLO_E_DB_UNREACHABLE: try again, from the beginning. */
typedef int (*flo_handed_fn)(void *context, const char *device, const char *name, const void *data,
                             size_t bytes);
FLO_MUST_USE int flo_handed_list(struct flo_handed *handed, flo_handed_fn fn, void *context,
                                 struct flo_err *err);

/* Returns how many rows may be put now; 0: the last batch is still being
 * written. */
size_t flo_handed_room(struct flo_handed *handed);
/* Puts a row (a flo_give_fn): `handed` is a struct flo_handed.  Copies the
 * data. */
void flo_handed_put(void *handed, const char *device, const char *name, const void *data,
                    size_t bytes);
/* Lets the thread write the rows that were put. */
void flo_handed_send(struct flo_handed *handed);
/* Waits for the batch at most `ms`; returns false when it is still being
 * written. */
bool flo_handed_settle(struct flo_handed *handed, uint64_t ms);

#endif
