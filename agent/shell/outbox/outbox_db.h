/* outbox.db: one file for the messages to the controller and for the
 * history. */
#ifndef FLOTILLA_AGENT_OUTBOX_OUTBOX_DB_H
#define FLOTILLA_AGENT_OUTBOX_OUTBOX_DB_H

#include <flotilla/base.h>

struct flo_outbox_db;

/* A damaged file is set aside as outbox.db.damaged and counted, one of a newer
 * agent as outbox.db.newer and noted; of each kind the last is kept. */
FLO_MUST_USE int flo_outbox_db_open(const char *state_dir, uint64_t bytes_max,
                                    struct flo_outbox_db **out, struct flo_err *err);
void flo_outbox_db_close(struct flo_outbox_db *db);
/* A file that could not be opened is tried once more, between two turns of the
 * loop.  Not while an event is on its way: its ack names the numbers that it
 * was sent with.  `device`: as for flo_outbox_db_enrolled; "": none yet. */
void flo_outbox_db_again(struct flo_outbox_db *db, const char *device);
/* The file is about the past of this device (value "device"); the past of
 * another one is forgotten.  To be called before the first event waits. */
void flo_outbox_db_enrolled(struct flo_outbox_db *db, const char *device);
/* Why there is no file, or the newest window of telemetry was not stored; NULL:
 * all is stored.  Borrowed. */
const struct flo_err *flo_outbox_db_failure(const struct flo_outbox_db *db);
uint64_t flo_outbox_db_corrupt(const struct flo_outbox_db *db);

/* Small values that survive: device, fleet.  Found: the caller frees. */
void flo_values_set(struct flo_outbox_db *db, const char *key, const char *value);
char *flo_values_get(struct flo_outbox_db *db, const char *key);
/* The same for a number; 0: there is none. */
int64_t flo_values_number(struct flo_outbox_db *db, const char *key);
void flo_values_set_number(struct flo_outbox_db *db, const char *key, int64_t value);

void flo_traces_add(struct flo_outbox_db *db, const char *text);
/* Print the stored trace of a state directory, as text or {"lines":[…]}. */
FLO_MUST_USE int flo_traces_print(const char *state_dir, unsigned lines, bool is_json,
                                  struct flo_err *err);

#endif
