/* Watch: detects the marks of thoughts and calls in the bytes of an answer. */
#include "engine/chat/calls/watch.h"

#include <string.h>

void flo_call_watch_begin(struct flo_call_watch *watch, const struct flo_call_form *form,
                          const struct flo_tool_list *tools, bool in_thought)
{
    memset(watch, 0, offsetof(struct flo_call_watch, tail));
    watch->form = form;
    watch->tools = form->kind == FLO_CALLS_NONE ? NULL : tools;
    watch->in_thought = in_thought;
    watch->is_start = true;
    watch->in_head = flo_form_has_channels(form) && !in_thought;
}

/* ---- marks ---- */

/* Returns how many of the last bytes are the beginning of the mark.  The result
 * is `bytes` if the mark is complete. */
static size_t match(const struct flo_call_watch *w, const char *mark, size_t bytes)
{
    size_t most = w->count < bytes ? w->count : bytes;

    while (most > 0 && memcmp(w->tail + w->count - most, mark, most) != 0) {
        most--;
    }
    return most;
}

/* Matches the beginning of a call that has no mark before the tool's name.
 * Returns the number of matched bytes, or 0. */
static size_t match_bare(const struct flo_call_watch *w, bool *is_whole)
{
    const struct flo_form_text *open = &w->form->open, *mid = &w->form->mid;
    size_t at = open->bytes, name = at;

    *is_whole = false;
    if (w->count <= at) {
        return memcmp(w->tail, open->data, w->count) == 0 ? w->count : 0;
    }
    if (memcmp(w->tail, open->data, at) != 0) {
        return 0;
    }
    while (at < w->count && flo_tool_name_has(w->tail[at])) {
        at++;
    }
    if (at == w->count) {
        return flo_tool_list_begins(w->tools, w->tail + name, at - name) ? at : 0;
    }
    if (flo_tool_list_find(w->tools, w->tail + name, at - name) == UINT32_MAX ||
        w->count - at > mid->bytes || memcmp(w->tail + at, mid->data, w->count - at) != 0) {
        return 0;
    }
    *is_whole = w->count - at == mid->bytes;
    return w->count;
}

static size_t match_call(const struct flo_call_watch *w, bool *is_whole)
{
    size_t bytes = w->form->wakes;

    *is_whole = false;
    if (w->tools == NULL || (w->form->is_bare && !w->is_start)) {
        return 0;
    }
    if (w->form->is_bare) {
        return match_bare(w, is_whole);
    }
    size_t found = match(w, w->form->open.data, bytes);
    *is_whole = found == bytes;
    return found;
}

static size_t match_thought(const struct flo_call_watch *w, bool *is_whole)
{
    const struct flo_form_text *mark =
        w->in_thought ? &w->form->thought_close : &w->form->thought_open;
    size_t found = 0;

    if (mark->bytes > 0 && (w->in_thought || w->is_start)) {
        found = match(w, mark->data, mark->bytes);
    }
    *is_whole = found > 0 && found == mark->bytes;
    return found;
}

/* ---- heads ---- */

#define HEAD_MAX 128u /* most bytes of a head; longer ones are text */

static bool tail_begins(const struct flo_call_watch *w, const struct flo_form_text *text)
{
    return flo_form_begins(text, w->tail, w->count);
}

static bool tail_has(const struct flo_call_watch *w, const struct flo_form_text *text, size_t bytes)
{
    return w->count >= bytes && memcmp(w->tail, text->data, bytes) == 0;
}

static bool may_be_head(const struct flo_call_watch *w)
{
    const struct flo_call_form *form = w->form;

    return w->count <= HEAD_MAX &&
           (tail_begins(w, &form->channel) || tail_has(w, &form->channel, form->channel.bytes) ||
            (w->tools != NULL && tail_begins(w, &form->open)));
}

static bool is_call(const struct flo_call_watch *w)
{
    const struct flo_call_form *form = w->form;

    return w->tools != NULL &&
           ((w->count == form->open.bytes && tail_begins(w, &form->open)) ||
            (w->count == form->channel_open.bytes && tail_begins(w, &form->channel_open)));
}

bool flo_call_watch_may_call(const struct flo_call_watch *w)
{
    const struct flo_call_form *form = w->form;

    return w->in_thought || w->has_called ||
           (w->in_head && (tail_begins(w, &form->open) || tail_begins(w, &form->channel_open) ||
                           tail_begins(w, &form->thought_open)));
}

static enum flo_watch_event step_head(struct flo_call_watch *w, size_t *mark)
{
    const struct flo_call_form *form = w->form;

    *mark = w->count;
    if (is_call(w)) {
        w->has_called = true;
        return FLO_WATCH_CALL;
    }
    if (!may_be_head(w)) {
        w->in_head = false;
        return FLO_WATCH_NOTHING;
    }
    if (w->count <= form->channel.bytes ||
        match(w, form->body.data, form->body.bytes) != form->body.bytes) {
        return FLO_WATCH_NOTHING;
    }
    /* the head has the thought's channel, perhaps with a name after it */
    w->in_thought = tail_has(w, &form->thought_open, form->thought_open.bytes - form->body.bytes);
    w->in_head = false;
    w->count = 0;
    return w->in_thought ? FLO_WATCH_THOUGHT : FLO_WATCH_TEXT;
}

static enum flo_watch_event step_message(struct flo_call_watch *w, size_t *mark)
{
    const struct flo_form_text *end = &w->form->thought_close;
    bool was_thought = w->in_thought;

    if (match(w, end->data, end->bytes) != end->bytes) {
        return FLO_WATCH_NOTHING;
    }
    *mark = end->bytes;
    w->in_thought = false;
    w->in_head = true;
    w->count = 0;
    return was_thought ? FLO_WATCH_THOUGHT_END : FLO_WATCH_TEXT;
}

/* ---- bytes ---- */

static void keep(struct flo_call_watch *w, char byte)
{
    if (w->count == sizeof(w->tail)) {
        memmove(w->tail, w->tail + 1, --w->count);
    }
    w->tail[w->count++] = byte;
}

enum flo_watch_event flo_call_watch_step(struct flo_call_watch *w, char byte, size_t *mark)
{
    bool is_thought, is_call = false;

    if (w->has_called) {
        return FLO_WATCH_NOTHING;
    }
    if (flo_form_has_channels(w->form)) {
        keep(w, byte);
        return w->in_head ? step_head(w, mark) : step_message(w, mark);
    }
    if (w->is_start && w->count == 0 && !w->in_thought && flo_form_is_blank(byte)) {
        return FLO_WATCH_NOTHING;
    }
    keep(w, byte);
    size_t thought = match_thought(w, &is_thought);
    size_t call = w->in_thought ? 0 : match_call(w, &is_call);
    if (is_call) {
        *mark = call;
        w->has_called = true;
        return FLO_WATCH_CALL;
    }
    if (is_thought) {
        *mark = thought;
        w->in_thought = !w->in_thought;
        w->count = 0;
        return w->in_thought ? FLO_WATCH_THOUGHT : FLO_WATCH_THOUGHT_END;
    }
    /* If other text comes before a mark, the answer's beginning is over. */
    size_t most = thought > call ? thought : call;
    w->is_start = w->is_start && (w->in_thought || most == w->count);
    return FLO_WATCH_NOTHING;
}

size_t flo_call_watch_pending(const struct flo_call_watch *w)
{
    const struct flo_form_text *end = &w->form->thought_close;
    bool ignored;

    if (flo_form_has_channels(w->form)) {
        return w->has_called ? 0 : w->in_head ? w->count : match(w, end->data, end->bytes);
    }
    size_t thought = match_thought(w, &ignored);
    size_t call = w->in_thought || w->has_called ? 0 : match_call(w, &ignored);

    return thought > call ? thought : call;
}
