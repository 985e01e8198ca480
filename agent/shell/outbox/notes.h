/* Events that any sender or a broken engine may cause at any rate: limited. */
#ifndef FLOTILLA_AGENT_OUTBOX_NOTES_H
#define FLOTILLA_AGENT_OUTBOX_NOTES_H

#include "base/host/json.h"

struct flo_outbox_db;

/* Tell of an error.  If it or too many others were told already, it is counted
 * ("security": any sender can cause it; "note": the device does). */
void flo_notes_add(struct flo_outbox_db *db, const char *type, const struct flo_err *err,
                   uint64_t now_ms);
/* Store a `serving` event (taken), unless too many wait already; then it is
 * counted. */
void flo_notes_serving(struct flo_outbox_db *db, json_t *event);

#endif
