/* Events: messages that are kept until the controller acknowledges them. */
#ifndef FLOTILLA_AGENT_OUTBOX_EVENTS_H
#define FLOTILLA_AGENT_OUTBOX_EVENTS_H

#include <flotilla/agent.h>

#include "base/host/json.h"

struct flo_outbox_db;

enum flo_event_kind {
    FLO_EVENT_NEWS,    /* news of an execution or a drift: rare, never dropped */
    FLO_EVENT_NOTE,    /* an error of this device (notes.h) */
    FLO_EVENT_SERVING, /* the serving release (notes.h) */
    FLO_EVENT_KINDS
};
/* Stores an event, which is taken and gets its sequence number.  The
 * execution's state is stored in the same transaction: open, ended; or NULL. */
void flo_events_add(struct flo_outbox_db *db, enum flo_event_kind kind, json_t *event,
                    const struct flo_agent_execution *execution);
/* Returns how many events are not acknowledged yet. */
int64_t flo_events_waiting(struct flo_outbox_db *db, enum flo_event_kind kind);
/* Makes {"boot","last","acked"}: the number of the newest event, stored or not,
 * and of the newest acknowledged one.  New reference. */
json_t *flo_events_told_json(const struct flo_outbox_db *db);
/* Writes the events that are in memory only. */
void flo_events_flush(struct flo_outbox_db *db);
/* Returns the ms until the next flush; 0: nothing is to be written.  Each
 * failure in a row doubles the time, up to 30 s, so that a full disk does not
 * block the loop all the time. */
uint64_t flo_events_flush_ms(const struct flo_outbox_db *db);
/* Returns the text of a stored event, which the caller frees.  A damaged or
 * lost event gives a note that says so. */
char *flo_events_text(struct flo_outbox_db *db, uint64_t sequence);
void flo_events_acked(struct flo_outbox_db *db, const char *boot, uint64_t sequence);
/* Returns the send queue, which decides what is sent when. */
struct flo_outbox *flo_events_outbox(struct flo_outbox_db *db);
/* Holds all events back until then, on this connection. */
void flo_events_wait(struct flo_outbox_db *db, uint64_t until_ms);

#endif
