/* Watch: detects where thoughts end and calls begin in an answer's bytes.
 *
 * The state is only the last few bytes, so it can be copied to try a token.
 * The grammar of calls and the reader of answers both use it, and so they
 * agree. */
#ifndef FLOTILLA_ENGINE_CALL_WATCH_H
#define FLOTILLA_ENGINE_CALL_WATCH_H

#include "engine/chat/calls/tools.h"

/* Most bytes that may be needed to recognise a call. */
#define FLO_WATCH_BYTES (FLO_FORM_TEXT_MAX + FLO_TOOL_NAME_MAX + 32u)

enum flo_watch_event {
    FLO_WATCH_NOTHING,
    FLO_WATCH_THOUGHT,     /* a thought has begun */
    FLO_WATCH_THOUGHT_END, /* a thought has ended */
    FLO_WATCH_TEXT,        /* a text begins or ends, in a form with channels */
    FLO_WATCH_CALL,        /* a call begins, and nothing more is watched */
};

struct flo_call_watch {
    const struct flo_call_form *form;
    const struct flo_tool_list *tools; /* tools that may be called; NULL: none */
    bool in_thought;
    bool is_start; /* the answer has only had blanks or a thought so far */
    bool has_called;
    bool in_head; /* the last bytes are part of a head, in a form with channels */
    uint16_t count;
    char tail[FLO_WATCH_BYTES];
};

/* Begins a watch.  With `in_thought` the answer begins inside a thought. */
void flo_call_watch_begin(struct flo_call_watch *watch, const struct flo_call_form *form,
                          const struct flo_tool_list *tools, bool in_thought);
/* Takes a byte.  After an event, the last *mark bytes with this one are the
 * mark, and belong to no text. */
enum flo_watch_event flo_call_watch_step(struct flo_call_watch *watch, char byte, size_t *mark);
/* Tells whether a call may still come before any text, in a form with
 * channels. */
bool flo_call_watch_may_call(const struct flo_call_watch *watch);
/* Returns how many of the last bytes may be the beginning of a mark. */
size_t flo_call_watch_pending(const struct flo_call_watch *watch);

#endif
