/* Arguments: converts the arguments of a call to JSON, whatever form the model
 * writes. */
#include "engine/chat/calls/arguments.h"

#include <stdlib.h>
#include <string.h>

#include "engine/token/control.h"

#define OUT_BYTES_MAX (1u << 20) /* most bytes of JSON that one token may give */

void flo_arguments_begin(struct flo_arguments *a, const struct flo_call_form *form,
                         const struct flo_tool_list *tools, uint32_t tool, flo_part_fn *part,
                         void *context)
{
    struct flo_buf out = a->out;

    memset(a, 0, offsetof(struct flo_arguments, held));
    out.bytes = 0;
    out.bytes_max = OUT_BYTES_MAX;
    a->out = out;
    a->form = form;
    a->tools = tools;
    a->tool = tool;
    a->part = part;
    a->context = context;
}

void flo_arguments_deinit(struct flo_arguments *a)
{
    flo_buf_deinit(&a->out);
}

void flo_arguments_flush(struct flo_arguments *a)
{
    if (a->out.bytes > 0) {
        a->part(a->context, FLO_PART_ARGUMENTS, a->out.data, a->out.bytes);
        a->out.bytes = 0;
    }
}

/* ---- JSON ---- */

/* Tracks whether the byte is in a string, and how deep in brackets. */
static void follow(struct flo_arguments *a, char byte)
{
    if (a->in_string) {
        bool ends = byte == '"' && !a->is_escaped;
        a->is_escaped = byte == '\\' && !a->is_escaped;
        a->in_string = !ends;
        return;
    }
    a->in_string = byte == '"';
    a->depth += byte == '{' || byte == '[' ? 1 : 0;
    a->depth -= (byte == '}' || byte == ']') && a->depth > 0 ? 1 : 0;
}

static enum flo_arguments_event json(struct flo_arguments *a, char byte)
{
    if ((a->depth == 0 && byte != '{') || (uint8_t)byte >= FLO_CONTROL_FIRST) {
        return FLO_ARGUMENTS_BAD;
    }
    follow(a, byte);
    flo_buf_add(&a->out, &byte, 1);
    return a->out.failed   ? FLO_ARGUMENTS_BAD
           : a->depth == 0 ? FLO_ARGUMENTS_END
                           : FLO_ARGUMENTS_MORE;
}

/* ---- fields ---- */

static bool ends(const struct flo_arguments *a, const struct flo_form_text *t)
{
    return a->held_count >= t->bytes &&
           memcmp(a->held + a->held_count - t->bytes, t->data, t->bytes) == 0;
}

static void start_field(struct flo_arguments *a)
{
    a->stage = FLO_FIELD_START;
    a->held_count = 0;
}

/* Begins the value of a field, whose name is complete. */
static void start_value(struct flo_arguments *a, size_t key_bytes)
{
    const struct flo_call_form *form = a->form;
    enum flo_argument_kind kind = flo_tool_list_kind(a->tools, a->tool, a->held, key_bytes);
    bool is_text = form->quote.bytes == 0 && kind != FLO_ARGUMENT_OTHER;

    flo_buf_text(&a->out, a->fields++ == 0 ? "{\"" : ", \"");
    flo_buf_json_text(&a->out, a->held, key_bytes);
    a->may_null = is_text && kind == FLO_ARGUMENT_TEXT_OR_NULL;
    flo_buf_text(&a->out, is_text && !a->may_null ? "\": \"" : "\": ");
    a->held_count = 0;
    a->depth = 0;
    a->in_string = a->is_escaped = false;
    a->in_name = a->wants_name = false;
    a->stage = is_text                       ? FLO_FIELD_TEXT
               : flo_form_is_marked(form)    ? FLO_FIELD_MARKED
               : form->field_close.bytes > 0 ? FLO_FIELD_JSON
                                             : FLO_FIELD_VALUE;
}

/* Writes to `out` the bytes before the key of the next field, as the model
 * writes them.  Returns their number. */
static size_t lead(const struct flo_arguments *a, char *out)
{
    const struct flo_form_text *between = &a->form->separator;
    const struct flo_form_text *open = &a->form->field_open;
    size_t bytes = a->fields > 0 ? between->bytes : 0;

    memcpy(out, between->data, bytes);
    memcpy(out + bytes, open->data, open->bytes);
    return bytes + open->bytes;
}

static enum flo_arguments_event start(struct flo_arguments *a)
{
    const struct flo_call_form *form = a->form;
    char before[2 * FLO_FORM_TEXT_MAX];
    size_t bytes = lead(a, before);
    bool goes_on = flo_form_begins(&form->next, a->held, a->held_count);
    bool closes = flo_form_begins(&form->close, a->held, a->held_count);
    bool is_close = closes && a->held_count == form->close.bytes;
    bool is_next = goes_on && a->held_count == form->next.bytes;

    if ((is_close || is_next) && !a->is_closed) {
        flo_buf_text(&a->out, a->fields == 0 ? "{}" : "}");
        a->is_closed = true;
    }
    if (is_next || (is_close && !goes_on)) {
        return is_next ? FLO_ARGUMENTS_NEXT : FLO_ARGUMENTS_OVER;
    }
    if (a->is_closed || closes || goes_on) {
        return a->is_closed && !goes_on ? FLO_ARGUMENTS_OVER : FLO_ARGUMENTS_MORE;
    }
    if (a->held_count <= bytes) {
        return memcmp(before, a->held, a->held_count) == 0 ? FLO_ARGUMENTS_MORE : FLO_ARGUMENTS_BAD;
    }
    if (memcmp(before, a->held, bytes) != 0) {
        return FLO_ARGUMENTS_BAD;
    }
    a->held_count -= bytes;
    memmove(a->held, a->held + bytes, a->held_count);
    a->stage = FLO_FIELD_KEY;
    return FLO_ARGUMENTS_MORE;
}

static enum flo_arguments_event key(struct flo_arguments *a)
{
    if (ends(a, &a->form->equals)) {
        start_value(a, a->held_count - a->form->equals.bytes);
    }
    return a->held_count > FLO_ARGUMENT_KEY_MAX ? FLO_ARGUMENTS_BAD : FLO_ARGUMENTS_MORE;
}

/* Appends JSON's word for Python's True, False and None. */
static void put_word(struct flo_arguments *a)
{
    static const char *const words[][2] = {{"True", "true"}, {"False", "false"}, {"None", "null"}};
    size_t i = 0;

    while (i < FLO_COUNT(words) && (!a->form->is_python || strlen(words[i][0]) != a->word_count ||
                                    memcmp(a->word, words[i][0], a->word_count) != 0)) {
        i++;
    }
    if (i < FLO_COUNT(words)) {
        flo_buf_text(&a->out, words[i][1]);
    } else {
        flo_buf_add(&a->out, a->word, a->word_count);
    }
    a->word_count = 0;
}

static void put_value(struct flo_arguments *a, char byte)
{
    bool is_letter = (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z');

    if (!a->in_string && is_letter && a->word_count < sizeof(a->word)) {
        a->word[a->word_count++] = byte;
        return;
    }
    put_word(a);
    follow(a, byte);
    a->has_control = a->has_control || (uint8_t)byte >= FLO_CONTROL_FIRST;
    flo_buf_add(&a->out, &byte, a->has_control ? 0 : 1);
}

/* Tells whether the text is `null` or may become it.  A complete `null` is
 * appended to the JSON. */
static bool is_null(struct flo_arguments *a, size_t certain, bool is_whole)
{
    const char *word = a->form->is_python ? "None" : "null";
    bool may_be = certain <= 4 && memcmp(a->held, word, certain) == 0;

    if (may_be && is_whole && certain == 4) {
        flo_buf_text(&a->out, "null");
        start_field(a);
        return true;
    }
    a->may_null = may_be && !is_whole;
    flo_buf_text(&a->out, a->may_null ? "" : "\"");
    return a->may_null;
}

/* Returns how many of the held bytes cannot belong to the mark.  *is_whole
 * tells whether the mark is complete. */
static size_t count_certain(const struct flo_arguments *a, const struct flo_form_text *mark,
                            bool *is_whole)
{
    size_t keep = mark->bytes;

    *is_whole = ends(a, mark);
    if (!*is_whole) {
        keep = a->held_count < mark->bytes ? a->held_count : mark->bytes - 1u;
        while (memcmp(a->held + a->held_count - keep, mark->data, keep) != 0) {
            keep--;
        }
    }
    return a->held_count - keep;
}

static void drop_held(struct flo_arguments *a, size_t count)
{
    a->held_count -= count;
    memmove(a->held, a->held + count, a->held_count);
}

static size_t put_text(struct flo_arguments *a, size_t certain)
{
    certain = flo_utf8_valid(a->held, certain); /* no half characters */
    flo_buf_json_text(&a->out, a->held, certain);
    return certain;
}

/* Reads a value up to field_close.  Bytes that may begin field_close are held
 * back. */
static enum flo_arguments_event text(struct flo_arguments *a)
{
    bool is_text = a->stage == FLO_FIELD_TEXT, is_whole;
    size_t told = count_certain(a, &a->form->field_close, &is_whole);

    if (a->may_null && is_null(a, told, is_whole)) {
        return FLO_ARGUMENTS_MORE;
    }
    if (is_text) {
        told = put_text(a, told);
    } else {
        for (size_t i = 0; i < told; i++) {
            put_value(a, a->held[i]);
        }
    }
    drop_held(a, told);
    if (is_whole) {
        put_word(a);
        flo_buf_text(&a->out, is_text ? "\"" : "");
        start_field(a);
    }
    return FLO_ARGUMENTS_MORE;
}

static bool is_first(const struct flo_form_text *text, char byte)
{
    return text->bytes > 0 && text->data[0] == byte;
}

static enum flo_arguments_event value(struct flo_arguments *a)
{
    const struct flo_call_form *form = a->form;
    char byte = a->held[--a->held_count];

    if (a->in_string || a->depth > 0 ||
        !(is_first(&form->separator, byte) || is_first(&form->close, byte) ||
          is_first(&form->next, byte))) {
        put_value(a, byte);
        return FLO_ARGUMENTS_MORE;
    }
    put_word(a);
    start_field(a);
    a->held[a->held_count++] = byte;
    return start(a);
}

/* ---- marked values ---- */

static enum flo_arguments_event marked_text(struct flo_arguments *a)
{
    bool is_whole;
    size_t told = put_text(a, count_certain(a, &a->form->quote, &is_whole));

    drop_held(a, told);
    if (is_whole) {
        flo_buf_text(&a->out, "\"");
        a->in_string = false;
        /* held bytes before the mark are a control token, which no text may
         * have */
        a->has_control = a->held_count > a->form->quote.bytes;
        a->held_count = 0;
    }
    return FLO_ARGUMENTS_MORE;
}

static bool in_object(const struct flo_arguments *a)
{
    return a->depth > 0 && (a->objects >> (a->depth - 1) & 1) != 0;
}

/* Handles a bracket, a comma or the end of a name.  Returns false if the byte
 * is not allowed here. */
static bool marked_sign(struct flo_arguments *a, char byte)
{
    char text[2] = {byte, '\0'};
    bool opens = byte == '{' || byte == '[';

    if (a->in_name) {
        a->in_name = false;
        flo_buf_text(&a->out, "\": ");
        return byte == ':';
    }
    flo_buf_text(&a->out, byte == ',' ? ", " : text);
    if (opens && a->depth < 64) {
        a->objects &= ~(1ull << a->depth);
        a->objects |= (uint64_t)(byte == '{') << a->depth;
        a->depth++;
    } else if (opens || byte == ':') {
        return false;
    } else if (byte != ',') {
        if (a->depth == 0 || in_object(a) != (byte == '}')) {
            return false;
        }
        a->depth--;
    }
    a->wants_name = byte == '{' || (byte == ',' && in_object(a));
    return true;
}

static enum flo_arguments_event marked(struct flo_arguments *a)
{
    const struct flo_call_form *form = a->form;
    char byte = a->held[a->held_count - 1];

    if (a->in_string) {
        return marked_text(a);
    }
    if (a->held_count > 1 || byte == form->quote.data[0]) {
        bool begins = flo_form_begins(&form->quote, a->held, a->held_count);
        if (begins && a->held_count == form->quote.bytes) {
            flo_buf_text(&a->out, "\"");
            a->in_string = true;
            a->held_count = 0;
        }
        return begins && !a->in_name ? FLO_ARGUMENTS_MORE : FLO_ARGUMENTS_BAD;
    }
    if (a->depth == 0 && (is_first(&form->separator, byte) || is_first(&form->close, byte) ||
                          is_first(&form->next, byte))) {
        start_field(a);
        a->held[a->held_count++] = byte;
        return start(a);
    }
    a->held_count = 0;
    if (strchr("{}[],:", byte) != NULL && byte != '\0') {
        return marked_sign(a, byte) ? FLO_ARGUMENTS_MORE : FLO_ARGUMENTS_BAD;
    }
    if ((uint8_t)byte >= FLO_CONTROL_FIRST) {
        return FLO_ARGUMENTS_BAD;
    }
    flo_buf_text(&a->out, a->wants_name ? "\"" : "");
    a->in_name = a->in_name || a->wants_name;
    a->wants_name = false;
    if (a->in_name && (uint8_t)byte < 0x80) {
        flo_buf_json_text(&a->out, &byte, 1);
    } else {
        flo_buf_add(&a->out, &byte, 1);
    }
    return FLO_ARGUMENTS_MORE;
}

enum flo_arguments_event flo_arguments_step(struct flo_arguments *a, char byte)
{
    enum flo_arguments_event event = FLO_ARGUMENTS_MORE;

    if (a->form->kind == FLO_CALLS_JSON) {
        return json(a, byte);
    }
    if (a->held_count == sizeof(a->held)) {
        return FLO_ARGUMENTS_BAD;
    }
    a->held[a->held_count++] = byte;
    switch (a->stage) {
    case FLO_FIELD_START:
        event = start(a);
        break;
    case FLO_FIELD_KEY:
        event = key(a);
        break;
    case FLO_FIELD_TEXT:
    case FLO_FIELD_JSON:
        event = text(a);
        break;
    case FLO_FIELD_VALUE:
        event = value(a);
        break;
    case FLO_FIELD_MARKED:
        event = marked(a);
        break;
    }
    return a->out.failed || a->has_control ? FLO_ARGUMENTS_BAD : event;
}
