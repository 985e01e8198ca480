/* Notes: events that any sender, or an engine that crashes, may cause at any
 * rate.  Their number is limited. */
#ifndef FLOTILLA_AGENT_OUTBOX_NOTES_H
#define FLOTILLA_AGENT_OUTBOX_NOTES_H

#include "base/host/json.h"

struct flo_outbox_db;

/* Sends an error as an event.  Errors over the rate limit are only counted.
 * `type` is "security" for an error that any sender can cause, "note" for the
 * device's own. */
void flo_notes_add(struct flo_outbox_db *db, const char *type, const struct flo_err *err,
                   uint64_t now_ms);
/* Adds a `serving` event (taken).  If too many wait already, it is only
 * counted. */
void flo_notes_serving(struct flo_outbox_db *db, json_t *event);

#endif
