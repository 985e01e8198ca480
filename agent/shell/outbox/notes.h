/* Notes: events that any sender or a failing engine may cause at any rate.
 * Their number is limited. */
#ifndef FLOTILLA_AGENT_OUTBOX_NOTES_H
#define FLOTILLA_AGENT_OUTBOX_NOTES_H

#include "base/host/json.h"

struct flo_outbox_db;

/* Sends an error as an event, at a limited rate; errors over the limit are only
 * counted.  `type` is "security" for errors that any sender can cause, "note"
 * for the device's own. */
void flo_notes_add(struct flo_outbox_db *db, const char *type, const struct flo_err *err,
                   uint64_t now_ms);
/* Stores a `serving` event (taken).  If too many wait already, the event is
 * only counted. */
void flo_notes_serving(struct flo_outbox_db *db, json_t *event);

#endif
