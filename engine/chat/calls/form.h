/* Form: how a model writes calls of tools, and thoughts.
 *
 *     open NAME mid ARGUMENTS ( next NAME mid ARGUMENTS )* close
 *
 * ARGUMENTS is a JSON object, or fields with text around each:
 *
 *     field_open KEY equals VALUE field_close ( separator ... )*
 *
 * In a form with channels (gpt-oss) an answer is messages.  Each has a head
 * that says what it is:
 *
 *     channel NAME body TEXT ( thought_close channel NAME body TEXT )*
 *
 * A call begins with `open`, or with the name of its channel and then the
 * tool's: channel_open NAME channel_mid ARGUMENTS.
 *
 * Texts are bytes with control tokens in them (token/control.h).  The form is
 * found by comparing what the model's template writes (derive.c).  The grammar
 * of calls (grammar/schema/calls.c) and the reader of answers (reader.h) both
 * follow it. */
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
    FLO_CALLS_NONE, /* no form is known */
    FLO_CALLS_JSON,
    FLO_CALLS_FIELDS,
};

struct flo_call_form {
    enum flo_call_kind kind;
    /* Nothing but a known name tells `open` from other text: a call then is
     * what an answer begins with. */
    bool is_bare;
    bool is_python; /* fields: True, False and None */
    bool is_told;   /* the template has none: the form is told in words */
    uint16_t wakes; /* bytes of `open` after which a call has begun */
    struct flo_form_text open, mid, next, close;
    /* Texts of fields.  Without a quote a string stands as it is, up to
     * field_close.  A quote other than JSON's stands around a text as it is,
     * and names of members are bare then: {name:<|"|>text<|"|>,on:true}. */
    struct flo_form_text field_open, equals, quote, field_close, separator;
    struct flo_form_text thought_open, thought_close; /* empty: none */
    struct flo_form_text channel, body;               /* empty: no heads */
    struct flo_form_text channel_open, channel_mid;
};

/* Are values other than JSON? */
static inline bool flo_form_is_marked(const struct flo_call_form *form)
{
    return form->kind == FLO_CALLS_FIELDS && form->quote.bytes > 1;
}

static inline bool flo_form_has_channels(const struct flo_call_form *form)
{
    return form->channel.bytes > 0;
}

/* The form that is told in words, Hermes': most models have seen it. */
#define FLO_TOLD_OPEN "<tool_call>\n{\"name\": "
#define FLO_TOLD_MID ", \"arguments\": "
#define FLO_TOLD_CLOSE "}\n</tool_call>"

/* Are the bytes all of the text, or its beginning? */
static inline bool flo_form_begins(const struct flo_form_text *text, const char *bytes,
                                   size_t count)
{
    return count <= text->bytes && memcmp(text->data, bytes, count) == 0;
}

static inline bool flo_form_is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Characters of a tool's name. */
static inline bool flo_tool_name_has(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == '.';
}

#endif
