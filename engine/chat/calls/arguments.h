/* Arguments of a call, as a model writes them, to JSON. */
#ifndef FLOTILLA_ENGINE_CALL_ARGUMENTS_H
#define FLOTILLA_ENGINE_CALL_ARGUMENTS_H

#include "engine/chat/calls/reader.h"

#define FLO_ARGUMENT_KEY_MAX 256u

enum flo_arguments_event {
    FLO_ARGUMENTS_MORE,
    FLO_ARGUMENTS_END,  /* they are whole: close or next has not begun */
    FLO_ARGUMENTS_NEXT, /* and so is `next` */
    FLO_ARGUMENTS_OVER, /* and so is `close` */
    FLO_ARGUMENTS_BAD,  /* bytes that follow no form */
};

struct flo_arguments {
    const struct flo_call_form *form;
    const struct flo_tool_list *tools;
    uint32_t tool;
    flo_part_fn *part;
    void *context;
    struct flo_buf out; /* not told yet */
    /* state of JSON, and of a field's value */
    uint32_t depth;
    bool in_string, is_escaped;
    size_t word_count; /* letters outside of strings */
    char word[8];
    /* state of fields */
    enum {
        FLO_FIELD_START, /* a field, or the end */
        FLO_FIELD_KEY,
        FLO_FIELD_TEXT,   /* as it stands, up to field_close */
        FLO_FIELD_JSON,   /* up to field_close */
        FLO_FIELD_VALUE,  /* up to what can only follow it */
        FLO_FIELD_MARKED, /* the same where texts have marks */
    } stage;
    bool has_control; /* a control token within a value, which is no JSON */
    bool may_null;    /* a text with nothing but the word so far */
    /* state of marked values: `depth` brackets are open, a bit is set for an
     * object */
    uint64_t objects;
    bool in_name, wants_name;
    uint32_t fields;
    bool is_closed; /* `close` is there, which may begin `next` */
    size_t held_count;
    char held[FLO_FORM_TEXT_MAX * 2 + FLO_ARGUMENT_KEY_MAX];
};

/* Keeps the memory of `out`. */
void flo_arguments_begin(struct flo_arguments *arguments, const struct flo_call_form *form,
                         const struct flo_tool_list *tools, uint32_t tool, flo_part_fn *part,
                         void *context);
void flo_arguments_deinit(struct flo_arguments *arguments);
enum flo_arguments_event flo_arguments_step(struct flo_arguments *arguments, char byte);
/* Tell what is certain; between two steps with whole characters. */
void flo_arguments_flush(struct flo_arguments *arguments);

#endif
