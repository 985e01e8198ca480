/* Watch: where thoughts end and calls begin in the bytes of an answer.
 *
 * It keeps the last bytes only, so it can be copied to try a token.  The
 * grammar of calls and the reader of answers each have one, and so agree. */
#ifndef FLOTILLA_ENGINE_CALL_WATCH_H
#define FLOTILLA_ENGINE_CALL_WATCH_H

#include "engine/chat/calls/tools.h"

/* The longest beginning of a call that is not yet one. */
#define FLO_WATCH_BYTES (FLO_FORM_TEXT_MAX + FLO_TOOL_NAME_MAX + 32u)

enum flo_watch_event {
    FLO_WATCH_NOTHING,
    FLO_WATCH_THOUGHT,     /* one has begun */
    FLO_WATCH_THOUGHT_END, /* a thought has ended */
    FLO_WATCH_TEXT,        /* with channels: a text has begun, or ended */
    FLO_WATCH_CALL,        /* a call has begun: nothing more is watched */
};

struct flo_call_watch {
    const struct flo_call_form *form;
    const struct flo_tool_list *tools; /* NULL: none may be called */
    bool in_thought;
    bool is_start; /* nothing but blanks so far, but for a thought */
    bool has_called;
    bool in_head; /* with channels: `tail` is the head so far */
    uint16_t count;
    char tail[FLO_WATCH_BYTES];
};

/* `in_thought`: the answer begins within one. */
void flo_call_watch_begin(struct flo_call_watch *watch, const struct flo_call_form *form,
                          const struct flo_tool_list *tools, bool in_thought);
/* Take a byte.  After an event the marks that made it, *mark bytes with this
 * one, belong to no text. */
enum flo_watch_event flo_call_watch_step(struct flo_call_watch *watch, char byte, size_t *mark);
/* With channels: can a call still come without a text before it? */
bool flo_call_watch_may_call(const struct flo_call_watch *watch);
/* So many of the last bytes may yet turn out to be a mark. */
size_t flo_call_watch_pending(const struct flo_call_watch *watch);

#endif
