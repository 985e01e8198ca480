/* Arguments: converts a call's arguments, as a model writes them, to JSON. */
#ifndef FLOTILLA_ENGINE_CALL_ARGUMENTS_H
#define FLOTILLA_ENGINE_CALL_ARGUMENTS_H

#include "engine/chat/calls/reader.h"

#define FLO_ARGUMENT_KEY_MAX 256u

enum flo_arguments_event {
    FLO_ARGUMENTS_MORE,
    FLO_ARGUMENTS_END,  /* the arguments are complete, but no mark follows yet */
    FLO_ARGUMENTS_NEXT, /* the arguments and the mark `next` are complete */
    FLO_ARGUMENTS_OVER, /* the arguments and the mark `close` are complete */
    FLO_ARGUMENTS_BAD,  /* the bytes do not follow the form */
};

struct flo_arguments {
    const struct flo_call_form *form;
    const struct flo_tool_list *tools;
    uint32_t tool;
    flo_part_fn *part;
    void *context;
    struct flo_buf out; /* not reported yet */
    /* state of the JSON that is read, which may be the value of a field */
    uint32_t depth;
    bool in_string, is_escaped;
    size_t word_count; /* letters outside strings */
    char word[8];
    /* state of fields */
    enum {
        FLO_FIELD_START, /* expects a field, or the end of the call */
        FLO_FIELD_KEY,
        FLO_FIELD_TEXT,   /* reads plain text up to field_close */
        FLO_FIELD_JSON,   /* up to field_close */
        FLO_FIELD_VALUE,  /* reads a JSON value that ends where no further byte can belong to it */
        FLO_FIELD_MARKED, /* reads a value like JSON, with marks around its texts */
    } stage;
    bool has_control; /* a value has a control token, so it cannot be converted to JSON */
    bool may_null;    /* the value read so far may be the beginning of `null` */
    /* Brackets of marked values: `depth` are open, and a set bit means that the
     * bracket is an object's. */
    uint64_t objects;
    bool in_name, wants_name;
    uint32_t fields;
    bool is_closed; /* `close` was read, which may be the beginning of `next` */
    size_t held_count;
    char held[FLO_FORM_TEXT_MAX * 2 + FLO_ARGUMENT_KEY_MAX];
};

/* Begins the arguments of a call.  The memory of `out` is used again. */
void flo_arguments_begin(struct flo_arguments *arguments, const struct flo_call_form *form,
                         const struct flo_tool_list *tools, uint32_t tool, flo_part_fn *part,
                         void *context);
void flo_arguments_deinit(struct flo_arguments *arguments);
enum flo_arguments_event flo_arguments_step(struct flo_arguments *arguments, char byte);
/* Gives `part` the arguments read so far.  Called between two tokens, where
 * characters are whole. */
void flo_arguments_flush(struct flo_arguments *arguments);

#endif
