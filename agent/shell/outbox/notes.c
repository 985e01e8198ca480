/* Events of no execution: errors of the device, and the serving release.
 *
 * Some errors can be caused at any rate: by any sender at the broker (an order
 * without a signature), or by an engine that ends again and again.  Each event
 * stays until the controller has acknowledged it, by the same broker and
 * perhaps never.  Therefore an error is told as `security` once a minute at
 * most, and the number of waiting notes and `serving` events is limited.  Each
 * carries the number of those that were left out before it.  Events of
 * executions are not limited, nor is a rollback: both are rare, and news. */
#include <string.h>

#include <flotilla/patience.h>

#include "agent/shell/outbox/inside.h"

#define SERVING_MAX 256

/* Tells how many were left out before it. */
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
