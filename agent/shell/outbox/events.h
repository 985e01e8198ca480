/* Events: messages that are stored until the controller acknowledges them. */
#ifndef FLOTILLA_AGENT_OUTBOX_EVENTS_H
#define FLOTILLA_AGENT_OUTBOX_EVENTS_H

#include <flotilla/agent.h>

#include "base/host/json.h"

struct flo_outbox_db;

enum flo_event_kind {
    FLO_EVENT_NEWS,    /* event of an execution or a drift: rare, and dropped last */
    FLO_EVENT_NOTE,    /* error of this device (notes.h) */
    FLO_EVENT_SERVING, /* change of the serving release (notes.h) */
    FLO_EVENT_KINDS
};
/* Adds an event (taken) and gives it the next sequence number.  `execution`, or
 * NULL: its state is stored in the same transaction. */
void flo_events_add(struct flo_outbox_db *db, enum flo_event_kind kind, json_t *event,
                    const struct flo_agent_execution *execution);
/* Returns how many events of this kind are not acknowledged yet. */
int64_t flo_events_waiting(struct flo_outbox_db *db, enum flo_event_kind kind);
/* Makes {"boot","last","acked"}: the boot id, the number of the newest event,
 * stored or not, and the number of the newest acknowledged one. */
json_t *flo_events_told_json(const struct flo_outbox_db *db);
/* Writes the events to the database that are only in memory. */
void flo_events_flush(struct flo_outbox_db *db);
/* Returns the time in ms until the next flush; 0: no event is in memory.  Each
 * failed flush doubles it, up to 30 s, so that a full disk does not block the
 * loop all the time. */
uint64_t flo_events_flush_ms(const struct flo_outbox_db *db);
/* Returns the text of an event to send, which the caller frees.  If the stored
 * event is damaged or lost, the text is a note that says so. */
char *flo_events_text(struct flo_outbox_db *db, uint64_t sequence);
/* Handles the ack of the events up to `sequence`.  Returns true if the outbox
 * never had that event.  The state folder is then an older copy, so the outbox
 * begins a new boot id, which the device must report. */
bool flo_events_acked(struct flo_outbox_db *db, const char *boot, uint64_t sequence);
/* Returns the state of the outbox, which decides when events are sent. */
struct flo_outbox *flo_events_outbox(struct flo_outbox_db *db);
/* Sends no event before `until_ms`, or until the next connection. */
void flo_events_wait(struct flo_outbox_db *db, uint64_t until_ms);

#endif
