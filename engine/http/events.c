/* Events: parses a stream of server-sent events. */
#include "engine/http/http.h"

#include <string.h>

void flo_events_deinit(struct flo_events *events)
{
    flo_buf_deinit(&events->line);
    flo_buf_deinit(&events->data);
    *events = (struct flo_events){.peer = events->peer};
}

/* Handles a line of the stream; an empty line ends an event. */
static int end_line(struct flo_events *events,
                    int (*take)(void *context, char *data, size_t bytes, struct flo_err *err),
                    void *context, struct flo_err *err)
{
    const char *line = events->line.data != NULL ? events->line.data : "";
    size_t bytes = events->line.bytes;
    int rv = 0;

    if (bytes > 0 && line[bytes - 1] == '\r') {
        bytes--;
    }
    if (bytes == 0) {
        if (events->data.bytes == 6 && memcmp(events->data.data, "[DONE]", 6) == 0) {
            events->is_done = true;
        } else if (events->data.bytes > 0 && !events->is_done) {
            rv = take(context, events->data.data, events->data.bytes, err);
        }
        events->data.bytes = 0;
    } else if (bytes >= 5 && memcmp(line, "data:", 5) == 0) {
        size_t skip = bytes > 5 && line[5] == ' ' ? 6 : 5;
        if (events->data.bytes > 0) {
            flo_buf_text(&events->data, "\n");
        }
        flo_buf_add(&events->data, line + skip, bytes - skip);
    }
    events->line.bytes = 0;
    return rv;
}

int flo_events_read(struct flo_events *events, const char *data, size_t bytes,
                    int (*take)(void *context, char *data, size_t bytes, struct flo_err *err),
                    void *context, struct flo_err *err)
{
    int rv = 0;

    events->line.bytes_max = FLO_EVENT_BYTES_MAX;
    events->data.bytes_max = FLO_EVENT_BYTES_MAX;
    while (bytes > 0 && rv == 0) {
        const char *end = memchr(data, '\n', bytes);
        size_t n = end == NULL ? bytes : (size_t)(end - data);
        flo_buf_add(&events->line, data, n);
        if (end != NULL) {
            rv = end_line(events, take, context, err);
            n++;
        }
        if (events->line.failed || events->data.failed) {
            return flo_fail(err, events->peer->bad, "an event of more than 1 MiB from %s",
                            events->peer->name);
        }
        data += n;
        bytes -= n;
    }
    return rv;
}
