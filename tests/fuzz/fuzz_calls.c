/* Answers with calls: parts are the same however the bytes are cut, and no call
 * is told that was not written.  Calls that the grammar takes have arguments
 * that are JSON. */
#include <stdlib.h>
#include <string.h>

#include "base/tree/tree.h"
#include "engine/chat/calls/reader.h"
#include "engine/grammar/grammar.h"
#include "engine/grammar/lazy.h"
#include "engine/token/control.h"
#include "tests/fuzz/must.h"
#include "tests/unit/engine/chat/forms.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

#define ANSWER_BYTES_MAX (1u << 16)
#define CALLS_MAX 16u

/* ---- the answer ---- */

/* Units that no reader gets halves of: characters and control tokens; so a
 * byte becomes one of these, or a text of the form. */
static void add_unit(const struct flo_call_form *form, uint8_t byte, struct flo_buf *out)
{
    const struct flo_form_text *const texts[] = {
        &form->open,       &form->mid,          &form->next,          &form->close,
        &form->field_open, &form->equals,       &form->field_close,   &form->separator,
        &form->quote,      &form->thought_open, &form->thought_close, &form->channel,
        &form->body,       &form->channel_open, &form->channel_mid};
    static const char *const words[] = {"get",           "get_now",    "city", "days",
                                        "{\"city\": \"", "\"days\": ", "é",    "{}"};

    if (byte < 0x80) {
        flo_buf_add(out, &byte, 1);
    } else if (byte < 0x80 + FLO_COUNT(texts)) {
        flo_buf_add(out, texts[byte - 0x80]->data, texts[byte - 0x80]->bytes);
    } else if (byte < 0xa0 + FLO_COUNT(words) && byte >= 0xa0) {
        flo_buf_text(out, words[byte - 0xa0]);
    } else if (byte >= 0xf0) {
        flo_control_add(out, byte);
    }
}

/* ---- parts ---- */

struct told {
    struct flo_buf parts; /* kind and text of each run of one kind */
    struct flo_buf calls[CALLS_MAX];
    size_t count;
    int last;
};

static void take_part(void *context, enum flo_part_kind part, const char *text, size_t bytes)
{
    struct told *told = context;
    char kind = (char)('a' + part);

    must(bytes > 0 && flo_utf8_valid(text, bytes) == bytes);
    if (told->last != (int)part || part == FLO_PART_CALL) {
        flo_buf_add(&told->parts, &kind, 1);
    }
    told->last = (int)part;
    flo_buf_add(&told->parts, text, bytes);
    told->count += part == FLO_PART_CALL;
    if (part == FLO_PART_ARGUMENTS && told->count <= CALLS_MAX) {
        must(told->count > 0);
        flo_buf_add(&told->calls[told->count - 1], text, bytes);
    }
}

static void read_answer(const struct flo_call_form *form, const struct flo_tool_list *tools,
                        bool in_thought, const struct flo_buf *answer, bool is_cut,
                        struct told *told)
{
    struct flo_call_reader *reader = NULL;
    size_t from = 0;

    told->last = -1;
    must(flo_call_reader_open(form, tools, in_thought, take_part, told, &reader, NULL) == 0);
    for (size_t to = 1; is_cut && to < answer->bytes; to++) {
        if (flo_control_whole(answer->data + from, to - from) == to - from) {
            flo_call_reader_add(reader, answer->data + from, to - from);
            from = to;
        }
    }
    if (answer->bytes > from) {
        flo_call_reader_add(reader, answer->data + from, answer->bytes - from);
    }
    flo_call_reader_end(reader);
    flo_call_reader_close(reader);
}

static void deinit(struct told *told)
{
    flo_buf_deinit(&told->parts);
    for (size_t i = 0; i < CALLS_MAX; i++) {
        flo_buf_deinit(&told->calls[i]);
    }
}

/* ---- what the grammar takes ---- */

static bool is_json(const struct flo_buf *text)
{
    return text->bytes > 0 && text->data[0] == '{' && flo_json_check(text->data, text->bytes);
}

/* Units go to the grammar up to the first one that it refuses, which no model
 * would write.  True: the calls have come to an end. */
static bool keep_allowed(struct flo_lazy *lazy, struct flo_matcher *matcher, struct flo_buf *answer)
{
    uint32_t state = flo_matcher_start(matcher);
    size_t from = 0;

    flo_lazy_reset(lazy);
    for (size_t to = 1; to <= answer->bytes; to++) {
        size_t count = to - from;
        const char *unit = answer->data + from;

        if (flo_control_whole(unit, count) != count) {
            continue;
        }
        bool fits = lazy->sleeps ? flo_lazy_take(lazy, matcher, &state, unit, count)
                                 : flo_matcher_walk(matcher, &state, unit, count);
        if (!fits) {
            break;
        }
        from = to;
    }
    answer->bytes = from;
    return !lazy->sleeps && matcher->states[state].may_end;
}

static void check_allowed(const struct flo_call_form *form, struct flo_matcher *matcher,
                          struct flo_lazy *lazy, struct flo_buf *answer)
{
    struct told told = {0};
    bool is_whole = keep_allowed(lazy, matcher, answer);

    read_answer(form, &lazy->tools, lazy->in_thought, answer, true, &told);
    must(!is_whole || told.count > 0);
    for (size_t i = 0; i < told.count && i < CALLS_MAX; i++) {
        must(is_json(&told.calls[i]) || (!is_whole && i + 1 == told.count));
    }
    deinit(&told);
}

/* ---- the target ---- */

struct world {
    struct flo_tools tools;
    struct flo_lazy lazy;
    struct flo_matcher *matchers[FLO_COUNT(forms)];
};

static void open_world(struct world *w)
{
    static const struct flo_pieces none;
    must(flo_tools_open(&w->tools, TOOLS, sizeof(TOOLS) - 1, 4096, NULL) == 0 &&
         flo_tool_list_make(&w->lazy.tools, &w->tools, NULL) == 0);
    for (size_t i = 0; i < FLO_COUNT(forms); i++) {
        const struct flo_call_choice choice = {.may_blank = !flo_form_has_channels(forms[i])};
        struct flo_program *program = NULL;

        must(flo_calls_compile(&w->tools, forms[i], &choice, &program, NULL) == 0 &&
             flo_matcher_open(program, &none, 64, &w->matchers[i], NULL) == 0);
    }
}

/* The first byte chooses the form, the second how it is read. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static struct world w;
    struct flo_buf answer = {.bytes_max = ANSWER_BYTES_MAX};
    struct told whole = {0}, cut = {0};

    if (bytes < 2) {
        return 0;
    }
    if (w.tools.count == 0) {
        open_world(&w);
    }
    size_t which = data[0] % FLO_COUNT(forms);
    bool has_tools = (data[1] & 1) == 0;
    w.lazy.form = forms[which];
    w.lazy.in_thought = (data[1] & 2) != 0;
    w.lazy.is_required = (data[1] & 4) != 0;
    w.lazy.starts_asleep =
        !w.lazy.is_required || w.lazy.in_thought || flo_form_has_channels(forms[which]);
    flo_buf_add(&answer, "", 0);
    for (size_t i = 2; i < bytes && !answer.failed; i++) {
        add_unit(forms[which], data[i], &answer);
    }
    if (!answer.failed && answer.bytes > 0) {
        const struct flo_tool_list *tools = has_tools ? &w.lazy.tools : NULL;
        read_answer(forms[which], tools, w.lazy.in_thought, &answer, false, &whole);
        read_answer(forms[which], tools, w.lazy.in_thought, &answer, true, &cut);
        must(whole.parts.bytes == cut.parts.bytes &&
             (whole.parts.bytes == 0 ||
              memcmp(whole.parts.data, cut.parts.data, whole.parts.bytes) == 0));
        must(has_tools || whole.count == 0);
        check_allowed(forms[which], w.matchers[which], &w.lazy, &answer);
    }
    deinit(&whole);
    deinit(&cut);
    flo_buf_deinit(&answer);
    return 0;
}
