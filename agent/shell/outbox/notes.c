/* Notes: events that belong to no execution, such as errors of the device and
 * changes of the serving release.
 *
 * Some errors can be caused at any rate: by any sender at the broker (an order
 * without a signature), or by an engine that crashes again and again.  Events
 * stay until the controller acknowledges them, perhaps never.  Therefore an
 * error is sent as `security` at most once a minute, and the number of waiting
 * notes and `serving` events is limited.  Each event carries the number of
 * events dropped before it.  Events of executions and rollbacks are rare, and
 * not limited. */
#include <string.h>

#include <flotilla/timeouts.h>

#include "agent/shell/outbox/outbox_state.h"

#define SERVING_MAX 256

/* Adds to an event how many events were dropped before it, and adds it to the
 * outbox. */
static void tell(struct flo_outbox_db *db, enum flo_event_kind kind, json_t *json, uint64_t *more)
{
    if (*more > 0) {
        json_object_set_new(json, "more", json_integer((json_int_t)*more));
    }
    flo_events_add(db, kind, json, NULL);
    *more = 0;
}

void flo_notes_add(struct flo_outbox_db *db, const char *type, const struct flo_err *err,
                   uint64_t now_ms)
{
    struct told *told = &db->told[flo_error_place(err->code)];

    if (!flo_note_may_go(strcmp(type, "security") == 0, told->at_ms,
                         flo_events_waiting(db, FLO_EVENT_NOTE), now_ms)) {
        told->more++;
        return;
    }
    tell(db, FLO_EVENT_NOTE,
         json_pack("{s:s, s:{s:s, s:s, s:s}}", "type", type, "error", "id", flo_error_id(err->code),
                   "what", err->what, "step", ""),
         &told->more);
    told->at_ms = now_ms;
}

void flo_notes_serving(struct flo_outbox_db *db, json_t *event)
{
    const char *what = json_string_value(json_object_get(event, "serving"));
    bool is_news = what != NULL && strcmp(what, "rolled-back") == 0;

    if (flo_events_waiting(db, FLO_EVENT_SERVING) >= SERVING_MAX && !is_news) {
        db->servings_more++;
        json_decref(event);
        return;
    }
    tell(db, FLO_EVENT_SERVING, event, &db->servings_more);
}
