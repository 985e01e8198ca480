/* Events that wait for the controller's acknowledgement. */
#ifndef FLOTILLA_AGENT_OUTBOX_EVENTS_H
#define FLOTILLA_AGENT_OUTBOX_EVENTS_H

#include <flotilla/agent.h>

#include "base/host/json.h"

struct flo_outbox_db;

enum flo_event_kind {
    FLO_EVENT_NEWS,    /* an execution, drift: rare, never left out */
    FLO_EVENT_NOTE,    /* an error that the device tells of (notes.h) */
    FLO_EVENT_SERVING, /* the serving release (notes.h) */
    FLO_EVENT_KINDS
};
/* Store an event (it is taken, and gets its sequence) together with the state
 * of its execution: open, ended, or NULL. */
void flo_events_add(struct flo_outbox_db *db, enum flo_event_kind kind, json_t *event,
                    const struct flo_agent_execution *execution);
/* Those that no acknowledgement has ended. */
int64_t flo_events_waiting(struct flo_outbox_db *db, enum flo_event_kind kind);
/* {"boot","last","acked"}: the number of the newest event, stored or not, and
 * up to which they are acknowledged; new reference. */
json_t *flo_events_told_json(const struct flo_outbox_db *db);
/* Write those that are in memory only. */
void flo_events_flush(struct flo_outbox_db *db);
/* In how many ms to do so; 0: there are none.  Each failure in a row doubles
 * the time, up to 30 s: a full disk does not stop the loop all the time. */
uint64_t flo_events_flush_ms(const struct flo_outbox_db *db);
/* Text of a stored event; the caller frees.  For a damaged or lost event: a
 * note that says so. */
char *flo_events_text(struct flo_outbox_db *db, uint64_t sequence);
void flo_events_acked(struct flo_outbox_db *db, const char *boot, uint64_t sequence);
/* Which of them to send when. */
struct flo_outbox *flo_events_outbox(struct flo_outbox_db *db);
/* None goes out before, on this connection. */
void flo_events_wait(struct flo_outbox_db *db, uint64_t until_ms);

#endif
