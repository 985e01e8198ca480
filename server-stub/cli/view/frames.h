/* Frames of server-sent events: their names and ids.  Pure. */
#ifndef FLOTILLA_CLI_VIEW_FRAMES_H
#define FLOTILLA_CLI_VIEW_FRAMES_H

#include <flotilla/base.h>

#define FLO_FRAME_WORD 64

/* Bytes in any pieces; data is not kept.  All zero at the begin. */
struct flo_frames {
    /* Begin of the line: enough for event and id. */
    char line[FLO_FRAME_WORD + 8];
    size_t used;
    char event[FLO_FRAME_WORD]; /* event of the frame that is read */
    char id[FLO_FRAME_WORD];    /* the newest: what Last-Event-ID names */
};

/* `on_event` is told at the end of each frame that has a name. */
void flo_frames_feed(struct flo_frames *frames, const void *data, size_t bytes,
                     void (*on_event)(void *context, const char *event), void *context);

#endif
