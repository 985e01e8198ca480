/* Outbox: outbox.db, one file for the messages to the controller and for the
 * history. */
#ifndef FLOTILLA_AGENT_OUTBOX_OUTBOX_DB_H
#define FLOTILLA_AGENT_OUTBOX_OUTBOX_DB_H

#include <flotilla/base.h>

struct flo_outbox_db;

/* Opens outbox.db in the state directory.  A damaged file is renamed to
 * outbox.db.damaged and counted.  A file of a newer agent is renamed to
 * outbox.db.newer, and a note says so.  Only the last file of each kind
 * stays. */
FLO_MUST_USE int flo_outbox_db_open(const char *state_dir, uint64_t bytes_max,
                                    struct flo_outbox_db **out, struct flo_err *err);
void flo_outbox_db_close(struct flo_outbox_db *db);
/* Opens a file again that was opened on a read-only file system and can be
 * written now.  Tries again to open a file that could not be opened before, but
 * not while an event is in flight, because its acknowledgement names the number
 * that it was sent with.  `device`, `is_moved`: as for
 * flo_outbox_db_enrolled(); `device` "": not enrolled. */
void flo_outbox_db_again(struct flo_outbox_db *db, const char *device, bool is_moved);
/* Binds the file to this device (value "device"), before the first event is
 * stored.  The history of another device is deleted.  `is_moved`: this start is
 * the first one under the device's id, so a file without a device belongs to
 * another one. */
void flo_outbox_db_enrolled(struct flo_outbox_db *db, const char *device, bool is_moved);
/* Returns the error for which there is no file, or the newest telemetry window
 * was not stored; NULL: there is none.  Borrowed. */
const struct flo_err *flo_outbox_db_failure(const struct flo_outbox_db *db);
uint64_t flo_outbox_db_corrupt(const struct flo_outbox_db *db);

/* Stores a small value, such as device or fleet, over restarts. */
void flo_values_set(struct flo_outbox_db *db, const char *key, const char *value);
/* Returns a stored value, which the caller frees; NULL: there is none. */
char *flo_values_get(struct flo_outbox_db *db, const char *key);
/* Returns a stored value as a number; 0: there is none. */
int64_t flo_values_number(struct flo_outbox_db *db, const char *key);
void flo_values_set_number(struct flo_outbox_db *db, const char *key, int64_t value);

void flo_traces_add(struct flo_outbox_db *db, const char *text);
/* Prints the stored trace of a state directory as text, or as {"lines":[…]}. */
FLO_MUST_USE int flo_traces_print(const char *state_dir, unsigned lines, bool is_json,
                                  struct flo_err *err);

#endif
