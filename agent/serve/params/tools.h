/* Tools of a conversation: which there are, and which are to be called. */
#ifndef FLOTILLA_SERVE_TOOLS_H
#define FLOTILLA_SERVE_TOOLS_H

#include "agent/serve/params/reader.h"

/* A text of 1 to 64 letters, digits, "_", "." and "-"? */
bool flo_tools_name_is_valid(const json_t *name);
/* `tools`, `tool_choice` and `parallel_tool_calls`, or `functions` and
 * `function_call` of old.  A request without a chat has none. */
FLO_MUST_USE int flo_tools_read(enum request_kind kind, struct params_reader *reader);
/* `reasoning_effort` and `chat_template_kwargs`, of a chat. */
FLO_MUST_USE int flo_thinking_read(struct params_reader *reader);

#endif
