/* Watch: detects where thoughts end and calls begin in an answer's bytes.
 *
 * The state is only the last few bytes, so it can be copied to try a token.
 * The grammar of calls and the reader of answers both use it, and so they
 * agree. */
#ifndef FLOTILLA_ENGINE_CALL_WATCH_H
#define FLOTILLA_ENGINE_CALL_WATCH_H

#include "engine/chat/calls/tools.h"

/* Bytes of the longest prefix of a call that is not yet recognised. */
#define FLO_WATCH_BYTES (FLO_FORM_TEXT_MAX + FLO_TOOL_NAME_MAX + 32u)

enum flo_watch_event {
    FLO_WATCH_NOTHING,
    FLO_WATCH_THOUGHT,     /* a thought has begun */
    FLO_WATCH_THOUGHT_END, /* a thought has ended */
    FLO_WATCH_TEXT,        /* in a form with channels: a text begins or ends */
    FLO_WATCH_CALL,        /* a call begins; the watch ends */
};

struct flo_call_watch {
    const struct flo_call_form *form;
    const struct flo_tool_list *tools; /* NULL: no tool may be called */
    bool in_thought;
    bool is_start; /* only blanks or a thought were read so far */
    bool has_called;
    bool in_head; /* in a form with channels: `tail` holds bytes of the head */
    uint16_t count;
    char tail[FLO_WATCH_BYTES];
};

/* Begins a watch; `in_thought`: the answer begins inside a thought. */
void flo_call_watch_begin(struct flo_call_watch *watch, const struct flo_call_form *form,
                          const struct flo_tool_list *tools, bool in_thought);
/* Takes a byte.  After an event, the last *mark bytes, this one included, form
 * the mark and belong to no text. */
enum flo_watch_event flo_call_watch_step(struct flo_call_watch *watch, char byte, size_t *mark);
/* With channels: may a call still come before any text? */
bool flo_call_watch_may_call(const struct flo_call_watch *watch);
/* Returns how many of the last bytes may still become a mark. */
size_t flo_call_watch_pending(const struct flo_call_watch *watch);

#endif
