/* Tools: reads the tools of a conversation, and which of them may or must be
 * called. */
#ifndef FLOTILLA_SERVE_TOOLS_H
#define FLOTILLA_SERVE_TOOLS_H

#include "agent/serve/params/reader.h"

/* Tells whether the name is a text of 1 to 64 letters, digits, "_", "." and
 * "-". */
bool flo_tools_name_is_valid(const json_t *name);
/* Reads `tools`, `tool_choice` and `parallel_tool_calls`, or the older
 * `functions` and `function_call`.  Only a chat may have them. */
FLO_MUST_USE int flo_tools_read(enum request_kind kind, struct params_reader *reader);
/* Reads `reasoning_effort` and `chat_template_kwargs` of a chat. */
FLO_MUST_USE int flo_thinking_read(struct params_reader *reader);

#endif
