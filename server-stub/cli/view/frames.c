/* Frames: reads server-sent events line by line. */
#include "server-stub/cli/view/frames.h"

#include <string.h>

static const char *value_of(const char *line, const char *field)
{
    size_t chars = strlen(field);

    if (strncmp(line, field, chars) != 0 || line[chars] != ':') {
        return NULL;
    }
    line += chars + 1;
    return line[0] == ' ' ? line + 1 : line;
}

static void take_line(struct flo_frames *frames, void (*on_event)(void *context, const char *event),
                      void *context)
{
    const char *event = value_of(frames->line, "event");
    const char *id = value_of(frames->line, "id");

    if (frames->line[0] == '\0') {
        if (frames->event[0] != '\0') {
            on_event(context, frames->event);
        }
        frames->event[0] = '\0';
    } else if (event != NULL) {
        snprintf(frames->event, sizeof(frames->event), "%s", event);
    } else if (id != NULL) {
        snprintf(frames->id, sizeof(frames->id), "%s", id);
    }
}

void flo_frames_feed(struct flo_frames *frames, const void *data, size_t bytes,
                     void (*on_event)(void *context, const char *event), void *context)
{
    const char *at = data;

    for (size_t i = 0; i < bytes; i++) {
        if (at[i] == '\n') {
            frames->line[frames->used] = '\0';
            take_line(frames, on_event, context);
            frames->used = 0;
        } else if (at[i] != '\r' && at[i] != '\0' && frames->used + 1 < sizeof(frames->line)) {
            frames->line[frames->used++] = at[i];
        }
    }
}
