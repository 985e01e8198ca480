/* Frames: reads the names and ids of server-sent events.  The functions have no
 * side effects. */
#ifndef FLOTILLA_CLI_VIEW_FRAMES_H
#define FLOTILLA_CLI_VIEW_FRAMES_H

#include <flotilla/base.h>

#define FLO_FRAME_WORD 64

/* Reader of an event stream that arrives in pieces of any size; it stores no
 * data of events.  Zero-initialise. */
struct flo_frames {
    /* Start of the current line, long enough for the name and id of an
     * event. */
    char line[FLO_FRAME_WORD + 8];
    size_t used;
    char event[FLO_FRAME_WORD]; /* name of the event in the current frame */
    char id[FLO_FRAME_WORD];    /* newest id of an event, for Last-Event-ID */
};

/* Reads a piece of the stream.  Calls `on_event` at the end of each frame that
 * has a name. */
void flo_frames_feed(struct flo_frames *frames, const void *data, size_t bytes,
                     void (*on_event)(void *context, const char *event), void *context);

#endif
