"""Responses: answers as items, and those that are kept."""
from constants import constant

from .forms import (
    ASKED, COUNT, FLAG, FREE, FUNCTION_NAME, METADATA, MODEL, NULL, READ,
    TEXT, TOKENS_MAX, TOOLS_MAX, WHOLE, call, either, in_path, many, number,
    or_null, query, ref, said, shape, streamed, whole, words)
from .openai import DETAIL

TAG = "responses"
MEANING = "OpenAI's responses"
RESPONSE_ID = {"type": "string", "pattern": "^resp_[0-9a-f]{24}$"}
PAGE_MAX = constant("stored/PAGE_MAX")

# ---- what a client sends ----

SAID = many(either(
    shape({"type": words("input_text", "output_text", "text"), "text": TEXT}),
    shape({"type": words("refusal"), "refusal": TEXT})))
CALL_ID = said(1)
IMAGE = shape({"type": words("input_image"), "image_url": TEXT,
               "detail?": or_null(DETAIL)})
ITEM = either(
    shape({"type?": words("message"), "role": words(
        "assistant", "system", "developer"), "content": either(TEXT, SAID)}),
    shape({"type?": words("message"), "role": words("user"), "content": either(
        TEXT, many(either(*SAID["items"]["anyOf"], IMAGE)))}),
    shape({"type": words("function_call"), "call_id": CALL_ID,
           "name": FUNCTION_NAME, "arguments": TEXT}),
    shape({"type": words("function_call_output"), "call_id": CALL_ID,
           "output": either(TEXT, SAID)}),
    shape({"type": words("reasoning")}),
    shape({"type": words("item_reference"), "id": TEXT}))
TOOL = either(
    shape({"type": words("function"), "name": FUNCTION_NAME,
           "description?": or_null(TEXT),
           "parameters?": or_null(FREE)}),
    shape({"type": {"type": "string", "not": words("function")}}))
CHOICE = either(
    words("none", "auto", "required", None),
    shape({"type": words("function"), "name": TEXT}),
    shape({"type": words("allowed_tools"), "tools": many({}),
           "mode?": words("auto", "required")}))
FORMAT = either(
    shape({"type": words("text", "json_object")}),
    shape({"type": words("json_schema"), "name?": or_null(TEXT),
           "description?": or_null(TEXT), "schema": FREE}), NULL)
PROMPT = {
    "model?": or_null(MODEL),
    # Only behind a kept response it may be left out.
    "input": either(TEXT, many(ITEM, minItems=1)),
    "instructions?": or_null(TEXT),
    "previous_response_id?": or_null(TEXT),
    "tools?": or_null(many(TOOL, maxItems=TOOLS_MAX)),
    "tool_choice?": CHOICE,
    "parallel_tool_calls?": or_null(FLAG),
    "reasoning?": or_null(shape({"effort?": words(
        "none", "minimal", "low", "medium", "high", "xhigh", None)})),
    "truncation?": words("auto", "disabled", None),
    "user?": or_null(TEXT), "safety_identifier?": or_null(TEXT)}
ASK = {
    **PROMPT, "stream?": or_null(FLAG),
    "max_output_tokens?": or_null(whole(1, TOKENS_MAX)),
    "temperature?": or_null(number(0, 2)),
    "top_p?": or_null(number(0, 1)),
    "presence_penalty?": or_null(number(-2, 2)),
    "frequency_penalty?": or_null(number(-2, 2)),
    "text?": or_null(shape({"format?": FORMAT})),
    "store?": or_null(FLAG), "background?": words(False, None),
    "service_tier?": words("auto", "default", "priority", "scale", "flex",
                           None),
    "metadata?": or_null(METADATA),
    "include?": or_null(many({"type": "string", "not": words(
        "message.output_text.logprobs")})),
    "prompt_cache_key?": or_null(TEXT),
    "max_tool_calls?": or_null({"type": "integer", "minimum": 1}),
    "top_logprobs?": words(0, None), "conversation?": NULL, "prompt?": NULL}

# ---- what it gets ----

STATUS = words("in_progress", "completed", "incomplete")
TEXT_PART = shape({"type": words("output_text"), "text": TEXT,
                   "annotations": many({}), "logprobs": many({})})
INPUT_PART = shape({"type": words("input_text"), "text": TEXT})
REFUSAL = shape({"type": words("refusal"), "refusal": TEXT})
TOLD = {
    "message": shape({
        "type": words("message"), "id": TEXT, "status": STATUS,
        "role": words("user", "assistant", "system", "developer"),
        "content": many(either(TEXT_PART, INPUT_PART, REFUSAL, IMAGE))}),
    "function_call": shape({
        "type": words("function_call"), "id": TEXT, "call_id": TEXT,
        "name": TEXT, "arguments": TEXT, "status": STATUS}),
    "function_call_output": shape({
        "type": words("function_call_output"), "id": TEXT, "call_id": TEXT,
        "output": many(either(INPUT_PART, REFUSAL)), "status": STATUS}),
    "reasoning": shape({
        "type": words("reasoning"), "id": TEXT,
        "summary": many(shape({"type": words("summary_text"), "text": TEXT})),
        "content": many(shape({"type": words("reasoning_text"),
                               "text": TEXT}))})}
RESPONSE = shape({
    "id": RESPONSE_ID, "object": words("response"), "created_at": WHOLE,
    "completed_at": or_null(WHOLE), "status": words(
        "in_progress", "completed", "incomplete", "failed", "cancelled"),
    "error": or_null(shape({"code": TEXT, "message": TEXT})),
    "incomplete_details": or_null(shape({"reason": words(
        "max_output_tokens")})),
    "model": TEXT, "output": many(ref("item")),
    "usage": or_null(shape({
        "input_tokens": COUNT, "output_tokens": COUNT, "total_tokens": COUNT,
        "input_tokens_details": shape({"cached_tokens": COUNT}),
        "output_tokens_details": shape({"reasoning_tokens": COUNT})})),
    "store": FLAG, "background": words(False),
    "instructions": or_null(TEXT),
    "max_output_tokens": or_null(COUNT),
    "max_tool_calls": or_null(COUNT), "metadata": FREE,
    "parallel_tool_calls": FLAG, "previous_response_id": or_null(TEXT),
    "prompt_cache_key": or_null(TEXT),
    "reasoning": shape({"effort": or_null(TEXT), "summary": NULL}),
    "safety_identifier": or_null(TEXT), "service_tier": TEXT,
    "temperature": number(0, 2), "top_p": number(0, 1),
    "presence_penalty": number(-2, 2), "frequency_penalty": number(-2, 2),
    "text": shape({"format": either(
        shape({"type": words("text", "json_object")}),
        shape({"type": words("json_schema"), "name": TEXT,
               "description": or_null(TEXT), "schema": FREE,
               "strict": words(True)}))}),
    "tool_choice": either(words("none", "auto", "required"), FREE),
    "tools": many(shape({
        "type": words("function"), "name": TEXT,
        "description": or_null(TEXT), "parameters": or_null(FREE),
        "strict": words(True)})),
    "top_logprobs": words(0), "truncation": words("auto", "disabled"),
    "user": or_null(TEXT), "skipped_tools?": many(TEXT)})
SCHEMAS = {
    "ask": shape(ASK), "prompt": shape(PROMPT), "response": RESPONSE,
    "item": either(*TOLD.values()),
    "deleted": shape({"id": RESPONSE_ID, "object": words("response"),
                      "deleted": words(True)}),
    "count": shape({"object": words("response.input_tokens"),
                    "input_tokens": COUNT}),
    "kept": shape({"object": words("list"), "data": many(shape({
        "id": TEXT, "object": words("response"), "bytes": COUNT,
        "app?": TEXT})),
                   "has_more": FLAG, "first_id": or_null(TEXT),
                   "last_id": or_null(TEXT)}),
    "items": shape({"object": words("list"), "data": many(ref("item")),
                    "has_more": FLAG, "first_id": or_null(TEXT),
                    "last_id": or_null(TEXT)})}

# ---- calls ----

ID = in_path("id", RESPONSE_ID)
KEPT = {"parameters": [ID]}
PATHS = {
    "/v1/responses": {"get": call(
        "listResponses", "The kept responses of who asks", "kept", READ,
        parameters=[query("limit", whole(1, PAGE_MAX)),
                    query("order", words("asc", "desc")),
                    query("after", TEXT)]), "post": call(
        "createResponse", "An answer, or its events", streamed("response"),
        ASKED, "ask", leads=("getResponse", "listInputItems",
                             "cancelResponse", "deleteResponse"))},
    "/v1/responses/input_tokens": {"post": call(
        "countInputTokens", "Tokens of a prompt", "count", ASKED, "prompt")},
    "/v1/responses/{id}": {
        "get": call("getResponse", "A kept response", "response",
                    READ, **KEPT),
        "delete": call("deleteResponse", "A kept response is forgotten",
                       "deleted", READ, **KEPT)},
    "/v1/responses/{id}/cancel": {"post": call(
        "cancelResponse", "One under way ends", "response",
        (400, 401, 404, 413), **KEPT)},
    "/v1/responses/{id}/input_items": {"get": call(
        "listInputItems", "What the model was told", "items", READ,
        parameters=[ID, query("limit", whole(1, PAGE_MAX)),
                    query("order", words("asc", "desc")),
                    query("after", TEXT)])}}
