/* Frames: reads names and ids of server-sent events.  Pure. */
#ifndef FLOTILLA_CLI_VIEW_FRAMES_H
#define FLOTILLA_CLI_VIEW_FRAMES_H

#include <flotilla/base.h>

#define FLO_FRAME_WORD 64

/* Reader of a stream in pieces of any size; stores no data.
 * Zero-initialise. */
struct flo_frames {
    /* Start of the line: enough for event and id. */
    char line[FLO_FRAME_WORD + 8];
    size_t used;
    char event[FLO_FRAME_WORD]; /* event of the current frame */
    char id[FLO_FRAME_WORD];    /* newest id, for Last-Event-ID */
};

/* Reads bytes; calls `on_event` at the end of each frame that has a name. */
void flo_frames_feed(struct flo_frames *frames, const void *data, size_t bytes,
                     void (*on_event)(void *context, const char *event), void *context);

#endif
