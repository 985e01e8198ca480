/* Events of no execution: errors that the device tells of, and what serves.
 *
 * Some errors anybody at the broker can cause, as often as he likes (an order
 * that nobody signed), an engine can end again and again, and what is told
 * stays until the controller has acknowledged it, by the same broker and
 * perhaps never.  So of each error one in a minute is told as `security`, and
 * only so many notes and so many `serving` events wait at all, each with the
 * number of those that were left out before it.  Events of executions are not
 * concerned, nor is it that a release was rolled back: rare, and news. */
#include <string.h>

#include "agent/shell/mailbox_inside.h"

#define NOTES_MAX 64
#define SERVING_MAX 256
#define SECURITY_PAUSE_MS 60000

/* No text inside an event can look so: its quotes are escaped. */
#define NOTE "\"type\":\"note\""
#define SECURITY "\"type\":\"security\""
#define SERVING "\"type\":\"serving\""

void flo_mailbox_waits(struct flo_mailbox *mailbox, const char *text)
{
    if (strstr(text, NOTE) != NULL || strstr(text, SECURITY) != NULL) {
        mailbox->notes++;
    } else if (strstr(text, SERVING) != NULL) {
        mailbox->servings++;
    }
}

/* Reads every event, but only when one may be gone since the last time. */
static void count_waiting(struct flo_mailbox *mailbox)
{
    size_t i;

    if (mailbox->is_counted) {
        return;
    }
    mailbox->notes = flo_mailbox_number(
        mailbox, "SELECT count(*) FROM event WHERE instr(body, '" NOTE
                 "') OR instr(body, '" SECURITY "')");
    mailbox->servings = flo_mailbox_number(
        mailbox, "SELECT count(*) FROM event WHERE instr(body, '" SERVING "')");
    for (i = 0; i < mailbox->memory_count; i++) {
        flo_mailbox_waits(mailbox, mailbox->memory[i].text);
    }
    mailbox->is_counted = true;
}

/* Tells how many were left out before it. */
static void tell(struct flo_mailbox *mailbox, json_t *json, uint64_t *more)
{
    if (*more > 0) {
        json_object_set_new(json, "more", json_integer((json_int_t)*more));
    }
    flo_mailbox_event(mailbox, json, NULL);
    *more = 0;
}

void flo_mailbox_note(struct flo_mailbox *mailbox, const char *type,
                      const struct flo_err *err, uint64_t now_ms)
{
    size_t kind =
        err->code < 0 && err->code >= -FLO_ERROR_COUNT ? (size_t)-err->code : 0;
    struct told *told = &mailbox->told[kind];
    bool is_early = strcmp(type, "security") == 0 && told->at_ms != 0 &&
                    now_ms - told->at_ms < SECURITY_PAUSE_MS;

    count_waiting(mailbox);
    if (is_early || mailbox->notes >= NOTES_MAX) {
        told->more++;
        return;
    }
    tell(mailbox,
         json_pack("{s:s, s:{s:s, s:s, s:s}}", "type", type, "error", "id",
                   flo_error_id(err->code), "what", err->what, "step", ""),
         &told->more);
    told->at_ms = now_ms;
}

void flo_mailbox_serving(struct flo_mailbox *mailbox, json_t *event)
{
    const char *what = json_string_value(json_object_get(event, "serving"));
    bool is_news = what != NULL && strcmp(what, "rolled-back") == 0;

    count_waiting(mailbox);
    if (mailbox->servings >= SERVING_MAX && !is_news) {
        mailbox->servings_more++;
        json_decref(event);
        return;
    }
    tell(mailbox, event, &mailbox->servings_more);
}
