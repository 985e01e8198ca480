/* Reader: an answer's bytes become text, thoughts and calls.
 *
 * Arguments come out as JSON, whatever form the model writes.  A call is told
 * when its name is known to be a tool's; bytes that do not follow the form
 * after that end the calls, and nothing is told any more.  Memory is bounded by
 * what may be held back: a mark, a name, a key, a character. */
#ifndef FLOTILLA_ENGINE_CALL_READER_H
#define FLOTILLA_ENGINE_CALL_READER_H

#include "engine/chat/calls/watch.h"

enum flo_part_kind {
    FLO_PART_TEXT,
    FLO_PART_THOUGHT,
    FLO_PART_CALL,      /* the next call begins: its name */
    FLO_PART_ARGUMENTS, /* more of its arguments */
};

struct flo_call_reader;

/* Told of each part in order; `text` has whole characters, at least one. */
typedef void flo_part_fn(void *context, enum flo_part_kind part, const char *text, size_t bytes);

/* Form and tools are borrowed.  `tools` NULL: none may be called.
 * FLO_E_MEMORY. */
FLO_MUST_USE int flo_call_reader_open(const struct flo_call_form *form,
                                      const struct flo_tool_list *tools, bool in_thought,
                                      flo_part_fn *part, void *context,
                                      struct flo_call_reader **out, struct flo_err *err);
void flo_call_reader_close(struct flo_call_reader *reader); /* NULL is fine */
/* Whole characters and control tokens (token/control.h). */
void flo_call_reader_add(struct flo_call_reader *reader, const char *bytes, size_t count);
/* The answer ends: what is held back is text, or part of a call that is not
 * told. */
void flo_call_reader_end(struct flo_call_reader *reader);

#endif
