/* Notes: errors that the device tells of beside its executions.
 *
 * Some of them anybody at the broker can cause, as often as he likes (an order
 * that nobody signed), and what is noted stays until the controller has
 * acknowledged it, by the same broker.  So of each error one in a minute is
 * told as `security`, with the number of the others, and only so many notes
 * wait at all.  Events of executions are not concerned. */
#include <string.h>

#include "agent/shell/mailbox_inside.h"

#define NOTES_MAX 64
#define SECURITY_PAUSE_MS 60000

#define NOTE "\"type\":\"note\""
#define SECURITY "\"type\":\"security\""

/* Not acknowledged yet.  No text inside an event can look so: its quotes are
 * escaped. */
static uint64_t waiting(struct flo_mailbox *mailbox)
{
    int64_t stored = flo_mailbox_number(
        mailbox, "SELECT count(*) FROM event WHERE instr(body, '" NOTE
                 "') OR instr(body, '" SECURITY "')");
    uint64_t count = stored < 0 ? 0 : (uint64_t)stored;
    size_t i;

    for (i = 0; i < mailbox->memory_count; i++) {
        const char *text = mailbox->memory[i].text;
        if (strstr(text, NOTE) != NULL || strstr(text, SECURITY) != NULL) {
            count++;
        }
    }
    return count;
}

void flo_mailbox_note(struct flo_mailbox *mailbox, const char *type,
                      const struct flo_err *err, uint64_t now_ms)
{
    size_t kind =
        err->code < 0 && err->code >= -FLO_ERROR_COUNT ? (size_t)-err->code : 0;
    struct told *told = &mailbox->told[kind];
    bool is_early = strcmp(type, "security") == 0 && told->at_ms != 0 &&
                    now_ms - told->at_ms < SECURITY_PAUSE_MS;
    json_t *json;

    if (is_early || waiting(mailbox) >= NOTES_MAX) {
        told->more++;
        return;
    }
    json = json_pack("{s:s, s:{s:s, s:s, s:s}}", "type", type, "error", "id",
                     flo_error_id(err->code), "what", err->what, "step", "");
    if (json != NULL && told->more > 0) {
        json_object_set_new(json, "more", json_integer((json_int_t)told->more));
    }
    flo_mailbox_event(mailbox, json, NULL);
    told->at_ms = now_ms;
    told->more = 0;
}
