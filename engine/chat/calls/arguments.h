/* Arguments: converts a call's arguments, as a model writes them, to JSON. */
#ifndef FLOTILLA_ENGINE_CALL_ARGUMENTS_H
#define FLOTILLA_ENGINE_CALL_ARGUMENTS_H

#include "engine/chat/calls/reader.h"

#define FLO_ARGUMENT_KEY_MAX 256u

enum flo_arguments_event {
    FLO_ARGUMENTS_MORE,
    FLO_ARGUMENTS_END,  /* arguments complete, mark not yet seen */
    FLO_ARGUMENTS_NEXT, /* arguments and `next` complete */
    FLO_ARGUMENTS_OVER, /* arguments and `close` complete */
    FLO_ARGUMENTS_BAD,  /* bytes that do not follow the form */
};

struct flo_arguments {
    const struct flo_call_form *form;
    const struct flo_tool_list *tools;
    uint32_t tool;
    flo_part_fn *part;
    void *context;
    struct flo_buf out; /* not reported yet */
    /* JSON state, also of a field's value */
    uint32_t depth;
    bool in_string, is_escaped;
    size_t word_count; /* letters outside strings */
    char word[8];
    /* state of fields */
    enum {
        FLO_FIELD_START, /* before a field, or at the end of the call */
        FLO_FIELD_KEY,
        FLO_FIELD_TEXT,   /* plain text up to field_close */
        FLO_FIELD_JSON,   /* up to field_close */
        FLO_FIELD_VALUE,  /* JSON that ends where no more can follow */
        FLO_FIELD_MARKED, /* like VALUE, with marks around texts */
    } stage;
    bool has_control; /* a value has a control token, so the call is not JSON */
    bool may_null;    /* the text may still turn out to be null */
    /* State of marked values: `depth` brackets are open; a set bit marks an
     * object. */
    uint64_t objects;
    bool in_name, wants_name;
    uint32_t fields;
    bool is_closed; /* `close` was read; it may begin `next` */
    size_t held_count;
    char held[FLO_FORM_TEXT_MAX * 2 + FLO_ARGUMENT_KEY_MAX];
};

/* Starts the next call's arguments.  The memory of `out` is reused. */
void flo_arguments_begin(struct flo_arguments *arguments, const struct flo_call_form *form,
                         const struct flo_tool_list *tools, uint32_t tool, flo_part_fn *part,
                         void *context);
void flo_arguments_deinit(struct flo_arguments *arguments);
enum flo_arguments_event flo_arguments_step(struct flo_arguments *arguments, char byte);
/* Reports the arguments read so far to `part`.  Call it between two steps,
 * where characters are whole. */
void flo_arguments_flush(struct flo_arguments *arguments);

#endif
