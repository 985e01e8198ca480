"""Anthropic's messages."""
from .forms import (
    ASKED, COUNT, FLAG, FREE, FUNCTION_NAME, MODEL, NULL, TEXT, TOKENS_MAX,
    call, either, many, number, optional, or_null, shape, streamed, whole,
    words)
from .openai import STOP

TAG = "anthropic"
MEANING = "Anthropic's messages; `anthropic: false` leaves them out"
BLOCK = shape({"type": words("text"), "text": TEXT})
SAID = either(TEXT, many(BLOCK))
IMAGE = shape({"type": words("image"), "source": shape({
    "type": words("base64"), "data": TEXT, "media_type": words(
        "image/png", "image/jpeg", "image/webp", "image/gif")})})
RESULT = shape({"type": words("tool_result"), "tool_use_id": TEXT,
                **optional({"content": SAID})})
USE = shape({"type": words("tool_use"), "id": TEXT, "name": TEXT,
             "input": FREE})
THOUGHT = shape({"type": words("thinking"), "thinking": TEXT})
MESSAGE = either(
    shape({"role": words("user"),
           "content": either(TEXT, many(either(BLOCK, IMAGE, RESULT)))}),
    shape({"role": words("assistant"), "content": either(TEXT, many(either(
        BLOCK, THOUGHT, USE, shape({"type": words("redacted_thinking")}))))}))
TOOL = either(
    shape({"name": FUNCTION_NAME, "type?": or_null(words("custom")),
           "input_schema": FREE, **optional({"description": TEXT})}),
    shape({"type": {"type": "string", "not": words("custom")}}))
ONE = optional({"disable_parallel_tool_use": FLAG})
PROMPT = {
    "messages": many(MESSAGE, minItems=1), **optional({
        "model": MODEL, "system": SAID, "tools": many(TOOL), "thread": NULL,
        "tool_choice": either(
            shape({"type": words("auto", "any", "none"), **ONE}),
            shape({"type": words("tool"), "name": TEXT, **ONE})),
        "thinking": shape({"type": words(
            "enabled", "disabled", "adaptive", "between_tools")})})}
ASK = shape({
    **PROMPT, "max_tokens": whole(1, TOKENS_MAX), **optional({
        "stop_sequences": either(STOP, many(STOP, maxItems=4)),
        "temperature": number(0, 1), "top_p": number(0, 1),
        "top_k": whole(0, TOKENS_MAX), "stream": FLAG,
        "metadata": {}, "service_tier": words(
            "auto", "standard_only", "default", "priority", "scale", "flex"),
        "output_config": shape(optional({"format": shape({
            "type": words("json_schema"), "schema": FREE})}))})})
ERROR = shape({"type": words("error"), "error": shape({
    "type": TEXT, "message": TEXT})})
SCHEMAS = {
    "message_ask": ASK, "message_prompt": shape(PROMPT),
    "message_error": ERROR, "message_count": shape({"input_tokens": COUNT}),
    "message": shape({
        "id": TEXT, "type": words("message"), "role": words("assistant"),
        "model": TEXT, "content": many(either(
            BLOCK, USE, shape({"type": words("thinking"), "thinking": TEXT,
                               "signature": TEXT}))),
        "stop_reason": words("end_turn", "stop_sequence", "max_tokens",
                             "tool_use"),
        "stop_sequence": or_null(TEXT),
        "usage": shape({
            "input_tokens": COUNT, "output_tokens": COUNT,
            "cache_creation_input_tokens": COUNT,
            "cache_read_input_tokens": COUNT})})}
PATHS = {
    "/v1/messages": {"post": call(
        "createMessage", "An answer to a conversation, or its events",
        streamed("message"), ASKED, "message_ask", error="message_error")},
    "/v1/messages/count_tokens": {"post": call(
        "countMessageTokens", "Tokens of a prompt", "message_count", ASKED,
        "message_prompt", error="message_error")}}
