/* Ingest, for every kind of message: find the rollout that a device speaks of,
 * and step it. */
#include "server-stub/mqtt/ingest_inside.h"

/* Text of a device that has no line ends goes to the store as it came. */
static bool is_one_line(const char *text, size_t bytes)
{
    size_t at = 0;

    while (at < bytes && (unsigned char)text[at] >= 0x20) {
        at++;
    }
    return at == bytes;
}

int flo_ingest_text(const struct flo_message *message, struct flo_buf *out,
                    struct flo_err *err)
{
    if (is_one_line(message->text, message->bytes)) {
        flo_buf_add(out, message->text, message->bytes);
    } else {
        flo_json_dump(message->json, out);
    }
    return out->failed
               ? flo_fail(err, FLO_E_MEMORY, "message of %s", message->device)
               : 0;
}

void flo_ingest_dump(const json_t *json, struct flo_buf *out)
{
    if (json != NULL && !json_is_null(json)) {
        flo_json_dump(json, out);
    }
}

/* true: the store failed or a step did, the batch cannot go on. */
bool flo_ingest_is_ours(int code)
{
    return code == FLO_E_DB || code == FLO_E_DB_UNREACHABLE ||
           code == FLO_E_DB_DAMAGED || code == FLO_E_DISK_FULL ||
           code == FLO_E_MEMORY || code == FLO_E_INTERNAL;
}

/* A step that fails half way has changed the rollout in memory: whatever the
 * reason, the batch has to be taken back. */
int flo_ingest_step(const struct flo_message *message,
                    struct flo_rollout_entry *entry,
                    struct flo_rollout_event event, struct flo_err *err)
{
    int rv = flo_rollouts_step(message->controller, entry, event, err);

    if (rv < 0 && !flo_ingest_is_ours(rv)) {
        flo_wrap(err, rv, "%s", flo_error_id(rv));
        rv = FLO_E_INTERNAL;
        if (err != NULL) {
            err->code = rv;
        }
    }
    return rv;
}

/* The rollout that a device speaks of; NULL in *out when there is none. */
int flo_ingest_rollout(struct flo_controller *controller, const char *id,
                       struct flo_rollout_entry **out, struct flo_err *err)
{
    struct flo_err absent = {0};
    int rv = flo_rollouts_find(controller, id, out, &absent);

    if (rv == FLO_E_ROLLOUT_ABSENT) {
        *out = NULL;
        return 0;
    }
    if (rv < 0 && err != NULL) {
        *err = absent;
    }
    return rv;
}
