/* Reader: splits an answer's bytes into text, thoughts and tool calls.
 *
 * Arguments come out as JSON, whatever form the model writes.  A call is
 * reported once its name is known to be a tool's.  If later bytes do not follow
 * the form, the calls end there and nothing more is reported.  Memory is
 * bounded: the reader holds back at most a mark, a name, a key or a
 * character. */
#ifndef FLOTILLA_ENGINE_CALL_READER_H
#define FLOTILLA_ENGINE_CALL_READER_H

#include "engine/chat/calls/watch.h"

enum flo_part_kind {
    FLO_PART_TEXT,
    FLO_PART_THOUGHT,
    FLO_PART_CALL,      /* a new call begins, and the part's text is the tool's name */
    FLO_PART_ARGUMENTS, /* more JSON of the arguments of the call that began last */
};

struct flo_call_reader;

/* Callback that gets the parts of an answer in order.  `text` has only whole
 * characters, at least one. */
typedef void flo_part_fn(void *context, enum flo_part_kind part, const char *text, size_t bytes);

/* Opens a reader.  Form and tools are borrowed.  Without `tools` (NULL) no tool
 * may be called.  FLO_E_MEMORY. */
FLO_MUST_USE int flo_call_reader_open(const struct flo_call_form *form,
                                      const struct flo_tool_list *tools, bool in_thought,
                                      flo_part_fn *part, void *context,
                                      struct flo_call_reader **out, struct flo_err *err);
void flo_call_reader_close(struct flo_call_reader *reader); /* NULL is fine */
/* Reads bytes of the answer, which are whole characters and control tokens
 * (token/control.h). */
void flo_call_reader_add(struct flo_call_reader *reader, const char *bytes, size_t count);
/* Ends the answer.  Bytes held back are reported as text.  A part of a call
 * that is not complete is dropped. */
void flo_call_reader_end(struct flo_call_reader *reader);

#endif
