/* Reader: splits the bytes of an answer into text, thoughts and calls. */
#include "engine/chat/calls/reader.h"

#include <stdlib.h>
#include <string.h>

#include "engine/chat/calls/arguments.h"
#include "engine/token/control.h"

#define HELD_MAX 1024u /* most bytes held back, for blanks before a mark */

enum stage {
    STAGE_OUTSIDE, /* reads text, or the text of a thought */
    STAGE_OPEN,    /* reads the rest of the mark `open` */
    STAGE_NAME,
    STAGE_MID,
    STAGE_ARGUMENTS,
    STAGE_BEHIND, /* expects the mark `close` or `next` */
    STAGE_OVER,
};

struct flo_call_reader {
    const struct flo_call_form *form;
    const struct flo_tool_list *tools;
    flo_part_fn *part;
    void *context;
    enum stage stage;
    bool is_behind_mark; /* blanks after a mark are skipped */
    struct flo_call_watch watch;
    /* marks around the name of the call that is being read */
    const struct flo_form_text *open, *mid;
    uint16_t at; /* number of bytes of the current mark that were read */
    uint32_t tool;
    struct flo_arguments arguments;
    size_t held_count;
    char held[HELD_MAX];
};

int flo_call_reader_open(const struct flo_call_form *form, const struct flo_tool_list *tools,
                         bool in_thought, flo_part_fn *part, void *context,
                         struct flo_call_reader **out, struct flo_err *err)
{
    struct flo_call_reader *r = calloc(1, sizeof(*r));

    if (r == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "no memory for a reader of calls");
    }
    r->form = form;
    r->tools = tools;
    r->part = part;
    r->context = context;
    r->open = &form->open;
    r->mid = &form->mid;
    flo_call_watch_begin(&r->watch, form, tools, in_thought);
    *out = r;
    return 0;
}

void flo_call_reader_close(struct flo_call_reader *r)
{
    if (r != NULL) {
        flo_arguments_deinit(&r->arguments);
        free(r);
    }
}

/* ---- outside of calls ---- */

/* Reports the first `count` held bytes as text or as a thought.  Control tokens
 * among them are left out. */
static void tell_held(struct flo_call_reader *r, bool is_thought, size_t count)
{
    size_t from = 0, at = 0;
    enum flo_part_kind part = is_thought ? FLO_PART_THOUGHT : FLO_PART_TEXT;

    while (at < count) {
        bool is_control = (uint8_t)r->held[at] >= FLO_CONTROL_FIRST;
        if (is_control && at > from) {
            r->part(r->context, part, r->held + from, at - from);
        }
        at += is_control ? FLO_CONTROL_BYTES : 1;
        from = is_control ? at : from;
    }
    if (at > from) {
        r->part(r->context, part, r->held + from, at - from);
    }
    r->held_count -= count;
    memmove(r->held, r->held + count, r->held_count);
}

/* Returns how many held bytes remain without the blanks at their end.  Blanks
 * next to a mark belong to the template. */
static size_t without_blanks(const struct flo_call_reader *r, size_t count)
{
    while (count > 0 && flo_form_is_blank(r->held[count - 1])) {
        count--;
    }
    return count;
}

/* Reports all held bytes that cannot become a mark, or blanks before one. */
static void tell_certain(struct flo_call_reader *r)
{
    bool drops = r->watch.tools != NULL || r->watch.in_thought || r->watch.is_start ||
                 flo_form_has_channels(r->form);
    size_t count = r->held_count - flo_call_watch_pending(&r->watch);

    count = flo_control_whole(r->held, count);
    tell_held(r, r->watch.in_thought,
              drops && r->held_count < HELD_MAX ? without_blanks(r, count) : count);
}

static void outside(struct flo_call_reader *r, char byte)
{
    bool was_thought = r->watch.in_thought;
    size_t mark = 0;
    enum flo_watch_event event = flo_call_watch_step(&r->watch, byte, &mark);

    if (r->is_behind_mark && flo_form_is_blank(byte) && !r->watch.in_head) {
        return;
    }
    r->is_behind_mark = false;
    r->held[r->held_count++] = byte;
    if (event != FLO_WATCH_NOTHING) {
        tell_held(r, was_thought, without_blanks(r, r->held_count - mark));
        r->held_count = 0;
        r->is_behind_mark = true;
        r->stage = event == FLO_WATCH_CALL ? STAGE_OPEN : STAGE_OUTSIDE;
        r->at = r->form->wakes;
    } else if (r->held_count == HELD_MAX) {
        tell_certain(r);
    }
}

/* ---- in a call ---- */

static void give_up(struct flo_call_reader *r)
{
    r->stage = STAGE_OVER;
}

static void begin_arguments(struct flo_call_reader *r)
{
    flo_arguments_begin(&r->arguments, r->form, r->tools, r->tool, r->part, r->context);
    r->stage = STAGE_ARGUMENTS;
    r->held_count = 0;
}

/* Compares a byte with the next one of a mark.  Returns true if the mark is
 * complete.  If the byte differs, reading of calls ends. */
static bool follow(struct flo_call_reader *r, const struct flo_form_text *text, char byte)
{
    if (r->at >= text->bytes || text->data[r->at] != byte) {
        give_up(r);
        return false;
    }
    return ++r->at == text->bytes;
}

static void begin_name(struct flo_call_reader *r)
{
    r->stage = STAGE_NAME;
    r->held_count = 0;
}

/* Reads the name of a tool, which ends at the first byte that a name cannot
 * have. */
static void name(struct flo_call_reader *r, char byte)
{
    if (flo_tool_name_has(byte)) {
        r->held[r->held_count++] = byte;
        if (r->held_count > FLO_TOOL_NAME_MAX) {
            give_up(r);
        }
        return;
    }
    r->tool = flo_tool_list_find(r->tools, r->held, r->held_count);
    r->at = 0;
    r->stage = STAGE_MID;
    if (r->tool == UINT32_MAX || r->mid->data[0] != byte) {
        give_up(r);
        return;
    }
    r->part(r->context, FLO_PART_CALL, r->held, r->held_count);
    if (follow(r, r->mid, byte)) {
        begin_arguments(r);
    }
}

/* Reads a byte after a call, where `next` or `close` must follow.  Either may
 * begin with the other. */
static void behind(struct flo_call_reader *r, char byte)
{
    r->held[r->held_count++] = byte;
    bool may_go_on = flo_form_begins(&r->form->next, r->held, r->held_count);
    bool may_end = flo_form_begins(&r->form->close, r->held, r->held_count);

    if (may_go_on && r->held_count == r->form->next.bytes) {
        begin_name(r);
    } else if (!may_go_on && !may_end) {
        give_up(r);
    }
}

static void inside(struct flo_call_reader *r, char byte)
{
    switch (r->stage) {
    case STAGE_OPEN:
        if (follow(r, r->open, byte)) {
            begin_name(r);
        }
        break;
    case STAGE_NAME:
        name(r, byte);
        break;
    case STAGE_MID:
        if (follow(r, r->mid, byte)) {
            begin_arguments(r);
        }
        break;
    case STAGE_ARGUMENTS:
        switch (flo_arguments_step(&r->arguments, byte)) {
        case FLO_ARGUMENTS_MORE:
            break;
        case FLO_ARGUMENTS_END:
            flo_arguments_flush(&r->arguments);
            r->held_count = 0;
            r->stage = STAGE_BEHIND;
            break;
        case FLO_ARGUMENTS_NEXT:
            flo_arguments_flush(&r->arguments);
            begin_name(r);
            break;
        case FLO_ARGUMENTS_OVER:
        case FLO_ARGUMENTS_BAD:
            give_up(r);
            break;
        }
        break;
    case STAGE_BEHIND:
        behind(r, byte);
        break;
    case STAGE_OUTSIDE:
    case STAGE_OVER:
        break;
    }
}

/* Begins a call.  If the call has no mark, or a channel's head is its mark, the
 * bytes read so far are read again as the call. */
static void begin_call(struct flo_call_reader *r)
{
    const struct flo_form_text *channel = &r->form->channel;

    if (channel->bytes > 0 && r->watch.count >= channel->bytes &&
        memcmp(r->watch.tail, channel->data, channel->bytes) == 0) {
        r->open = &r->form->channel_open;
        r->mid = &r->form->channel_mid;
    }
    if (r->form->is_bare || channel->bytes > 0) {
        r->stage = STAGE_OPEN;
        r->at = 0;
        for (uint16_t i = 0; i < r->watch.count; i++) {
            inside(r, r->watch.tail[i]);
        }
    } else if (r->at == r->form->open.bytes) {
        begin_name(r);
    }
}

void flo_call_reader_add(struct flo_call_reader *r, const char *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (r->stage != STAGE_OUTSIDE) {
            inside(r, bytes[i]);
            continue;
        }
        outside(r, bytes[i]);
        if (r->stage == STAGE_OPEN) {
            begin_call(r);
        }
    }
    if (r->stage == STAGE_OUTSIDE) {
        tell_certain(r);
    } else {
        flo_arguments_flush(&r->arguments);
    }
}

void flo_call_reader_end(struct flo_call_reader *r)
{
    const struct flo_form_text *channel = &r->form->channel;
    bool is_head = r->watch.in_head && r->held_count >= channel->bytes &&
                   memcmp(r->held, channel->data, channel->bytes) == 0;

    if (r->stage == STAGE_OUTSIDE && !is_head) {
        tell_held(r, r->watch.in_thought, r->held_count);
    }
    r->stage = STAGE_OVER;
}
