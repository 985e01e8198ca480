/* Form: how a model writes tool calls and thoughts.
 *
 *     open NAME mid ARGUMENTS ( next NAME mid ARGUMENTS )* close
 *
 * ARGUMENTS is a JSON object, or a list of fields with text around each:
 *
 *     field_open KEY equals VALUE field_close ( separator ... )*
 *
 * In a form with channels (gpt-oss) an answer is a list of messages.  Each has
 * a head with its kind:
 *
 *     channel NAME body TEXT ( thought_close channel NAME body TEXT )*
 *
 * A call begins with `open`, or with its channel's name and then the tool's:
 * channel_open NAME channel_mid ARGUMENTS.
 *
 * The form's texts may hold control tokens (token/control.h).  derive.c finds
 * the form in the output of the model's template.  The grammar of calls
 * (grammar/schema/calls.c) and the reader of answers (reader.h) both follow
 * it. */
#ifndef FLOTILLA_ENGINE_CALL_FORM_H
#define FLOTILLA_ENGINE_CALL_FORM_H

#include <flotilla/base.h>

#include <string.h>

#define FLO_FORM_TEXT_MAX 160u
#define FLO_TOOL_NAME_MAX 64u /* bytes */

struct flo_form_text {
    char data[FLO_FORM_TEXT_MAX];
    uint16_t bytes;
};

enum flo_call_kind {
    FLO_CALLS_NONE, /* the model cannot call tools */
    FLO_CALLS_JSON,
    FLO_CALLS_FIELDS,
};

struct flo_call_form {
    enum flo_call_kind kind;
    /* No mark begins a call, only the name of a tool.  So a call must be the
     * first text of an answer. */
    bool is_bare;
    bool is_python; /* the fields have Python's True, False and None */
    /* the template has no form for tools, so they are described in words
     * (told.h) */
    bool is_told;
    uint16_t wakes; /* number of bytes of `open` that are enough to detect a call */
    struct flo_form_text open, mid, next, close;
    /* Texts around the parts of a field.  If `quote` is empty, a string ends at
     * field_close.  If `quote` is not JSON's, strings between two of them have
     * no escapes, and names of members have no quotes:
     * {name:<|"|>text<|"|>,on:true}. */
    struct flo_form_text field_open, equals, quote, field_close, separator;
    /* marks before and after a thought; empty: no thoughts */
    struct flo_form_text thought_open, thought_close;
    /* marks of a message's head; empty: messages have no heads */
    struct flo_form_text channel, body;
    struct flo_form_text channel_open, channel_mid;
};

/* Tells whether the form has marks of its own around strings. */
static inline bool flo_form_is_marked(const struct flo_call_form *form)
{
    return form->kind == FLO_CALLS_FIELDS && form->quote.bytes > 1;
}

static inline bool flo_form_has_channels(const struct flo_call_form *form)
{
    return form->channel.bytes > 0;
}

/* The form that is described in words.  It is that of Hermes, which most models
 * have seen. */
#define FLO_TOLD_OPEN "<tool_call>\n{\"name\": "
#define FLO_TOLD_MID ", \"arguments\": "
#define FLO_TOLD_CLOSE "}\n</tool_call>"

/* Tells whether these bytes are the text or its beginning. */
static inline bool flo_form_begins(const struct flo_form_text *text, const char *bytes,
                                   size_t count)
{
    return count <= text->bytes && memcmp(text->data, bytes, count) == 0;
}

static inline bool flo_form_is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Tells whether the name of a tool may have this character. */
static inline bool flo_tool_name_has(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == '.';
}

#endif
