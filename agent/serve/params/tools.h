/* Tools: the tools of a conversation, and which may or must be called. */
#ifndef FLOTILLA_SERVE_TOOLS_H
#define FLOTILLA_SERVE_TOOLS_H

#include "agent/serve/params/reader.h"

/* Is the name a text of 1 to 64 letters, digits, "_", "." and "-"? */
bool flo_tools_name_is_valid(const json_t *name);
/* Reads `tools`, `tool_choice` and `parallel_tool_calls`, or the older
 * `functions` and `function_call`.  A request that is no chat may have none. */
FLO_MUST_USE int flo_tools_read(enum request_kind kind, struct params_reader *reader);
/* Reads `reasoning_effort` and `chat_template_kwargs` of a chat. */
FLO_MUST_USE int flo_thinking_read(struct params_reader *reader);

#endif
