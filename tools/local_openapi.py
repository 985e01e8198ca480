#!/usr/bin/env python3
"""The OpenAPI document of the local API's responses: what a body may be, and
what the answers are.  `tools/docs.py` writes it to proto/openapi/local.json;
test_responses_document.py holds the agent to it."""
import json

TEXT = {"type": "string"}
WHOLE = {"type": "integer"}
COUNT = {"type": "integer", "minimum": 0}
FLAG = {"type": "boolean"}
NULL = {"type": "null"}
FREE = {"type": "object"}
RESPONSE_ID = {"type": "string", "pattern": "^resp_[0-9a-f]{24}$"}


def words(*values):
    return {"enum": list(values)}


def either(*forms):
    return {"anyOf": list(forms)}


def many(form, **more):
    return {"type": "array", "items": form, **more}


def number(least, most):
    return {"type": "number", "minimum": least, "maximum": most}


def shape(members, **more):
    """`name?` may be absent.  Other members may stand next to them."""
    return {"type": "object",
            "required": [name for name in members if name[-1] != "?"],
            "properties": {name.rstrip("?"): form
                           for name, form in members.items()}, **more}


def ref(name):
    return {"$ref": "#/components/schemas/" + name}


# ---- what a client sends ----

SAID = many(either(
    shape({"type": words("input_text", "output_text", "text"), "text": TEXT}),
    shape({"type": words("refusal"), "refusal": TEXT})))
CALL_ID = {"type": "string", "minLength": 1}
FUNCTION_NAME = {"type": "string", "pattern": "^[A-Za-z0-9_.-]{1,64}$"}
ITEM = either(
    shape({"type?": words("message"), "role": words(
        "user", "assistant", "system", "developer"),
        "content": either(TEXT, SAID)}),
    shape({"type": words("function_call"), "call_id": CALL_ID,
           "name": FUNCTION_NAME, "arguments": TEXT}),
    shape({"type": words("function_call_output"), "call_id": CALL_ID,
           "output": either(TEXT, SAID)}),
    shape({"type": words("reasoning")}),
    shape({"type": words("item_reference"), "id": TEXT}))
TOOL = either(
    shape({"type": words("function"), "name": FUNCTION_NAME,
           "description?": either(TEXT, NULL),
           "parameters?": either(FREE, NULL)}),
    shape({"type": {"type": "string", "not": words("function")}}))
CHOICE = either(
    words("none", "auto", "required", None),
    shape({"type": words("function"), "name": TEXT}),
    shape({"type": words("allowed_tools"), "tools": many({}),
           "mode?": words("auto", "required")}))
FORMAT = either(
    shape({"type": words("text", "json_object")}),
    shape({"type": words("json_schema"), "name?": either(TEXT, NULL),
           "description?": either(TEXT, NULL), "schema": FREE}), NULL)
PROMPT = {
    "model?": either({"type": "string", "maxLength": 194}, NULL),
    # Only behind a kept response it may be left out.
    "input": either(TEXT, many(ITEM, minItems=1)),
    "instructions?": either(TEXT, NULL),
    "previous_response_id?": either(TEXT, NULL),
    "tools?": either(many(TOOL, maxItems=512), NULL),
    "tool_choice?": CHOICE,
    "parallel_tool_calls?": either(FLAG, NULL),
    "reasoning?": either(shape({"effort?": words(
        "none", "minimal", "low", "medium", "high", "xhigh", None)}), NULL),
    "truncation?": words("auto", "disabled", None),
    "user?": either(TEXT, NULL), "safety_identifier?": either(TEXT, NULL)}
ASK = {
    **PROMPT, "stream?": either(FLAG, NULL),
    "max_output_tokens?": either(
        {"type": "integer", "minimum": 1, "maximum": 1048576}, NULL),
    "temperature?": either(number(0, 2), NULL),
    "top_p?": either(number(0, 1), NULL),
    "presence_penalty?": either(number(-2, 2), NULL),
    "frequency_penalty?": either(number(-2, 2), NULL),
    "text?": either(shape({"format?": FORMAT}), NULL),
    "store?": either(FLAG, NULL), "background?": words(False, None),
    "service_tier?": words("auto", "default", "priority", "scale", "flex",
                           None),
    "metadata?": either({
        "type": "object", "maxProperties": 16,
        "propertyNames": {"maxLength": 64},
        "additionalProperties": {"type": "string", "maxLength": 512}}, NULL),
    "include?": either(many({"type": "string", "not": words(
        "message.output_text.logprobs")}), NULL),
    "prompt_cache_key?": either(TEXT, NULL),
    "max_tool_calls?": either({"type": "integer", "minimum": 1}, NULL),
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
        "content": many(either(TEXT_PART, INPUT_PART, REFUSAL))}),
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
    "completed_at": either(WHOLE, NULL), "status": words(
        "in_progress", "completed", "incomplete", "failed", "cancelled"),
    "error": either(shape({"code": TEXT, "message": TEXT}), NULL),
    "incomplete_details": either(shape({"reason": words(
        "max_output_tokens")}), NULL),
    "model": TEXT, "output": many(ref("item")),
    "usage": either(shape({
        "input_tokens": COUNT, "output_tokens": COUNT, "total_tokens": COUNT,
        "input_tokens_details": shape({"cached_tokens": COUNT}),
        "output_tokens_details": shape({"reasoning_tokens": COUNT})}), NULL),
    "store": FLAG, "background": words(False),
    "instructions": either(TEXT, NULL),
    "max_output_tokens": either(COUNT, NULL),
    "max_tool_calls": either(COUNT, NULL), "metadata": FREE,
    "parallel_tool_calls": FLAG, "previous_response_id": either(TEXT, NULL),
    "prompt_cache_key": either(TEXT, NULL),
    "reasoning": shape({"effort": either(TEXT, NULL), "summary": NULL}),
    "safety_identifier": either(TEXT, NULL), "service_tier": TEXT,
    "temperature": number(0, 2), "top_p": number(0, 1),
    "presence_penalty": number(-2, 2), "frequency_penalty": number(-2, 2),
    "text": shape({"format": either(
        shape({"type": words("text", "json_object")}),
        shape({"type": words("json_schema"), "name": TEXT,
               "description": either(TEXT, NULL), "schema": FREE,
               "strict": words(True)}))}),
    "tool_choice": either(words("none", "auto", "required"), FREE),
    "tools": many(shape({
        "type": words("function"), "name": TEXT,
        "description": either(TEXT, NULL), "parameters": either(FREE, NULL),
        "strict": words(True)})),
    "top_logprobs": words(0), "truncation": words("auto", "disabled"),
    "user": either(TEXT, NULL), "skipped_tools?": many(TEXT)})
ERROR = shape({"error": shape({
    "message": TEXT, "type": TEXT, "code": TEXT,
    "param": either(TEXT, NULL), "fix": TEXT})})
SCHEMAS = {
    "ask": shape(ASK), "prompt": shape(PROMPT), "response": RESPONSE,
    "item": either(*TOLD.values()), "error": ERROR,
    "deleted": shape({"id": RESPONSE_ID, "object": words("response"),
                      "deleted": words(True)}),
    "count": shape({"object": words("response.input_tokens"),
                    "input_tokens": COUNT}),
    "items": shape({"object": words("list"), "data": many(ref("item")),
                    "has_more": FLAG, "first_id": either(TEXT, NULL),
                    "last_id": either(TEXT, NULL)})}

# ---- calls ----

ID = {"name": "id", "in": "path", "required": True, "schema": RESPONSE_ID}
WHY = {400: "a field or the path is wrong; `param` names a field", 401: "the token is not ours",
       404: "no such model, or no such response of this client",
       413: "the body is larger than 1 MiB",
       429: "the app has used up its limit",
       503: "no model got ready in time; try again"}


def call(name, summary, answer, statuses, body=None, **more):
    content = {"application/json": {"schema": ref(answer)}}
    if name == "createResponse":
        content["text/event-stream"] = {"schema": TEXT}
    out = {"operationId": name, "summary": summary, **more, "responses": {
        "200": {"description": summary, "content": content},
        **{str(status): {"description": WHY[status], "content": {
            "application/json": {"schema": ref("error")}}}
           for status in statuses}}}
    if body:
        out["requestBody"] = {"required": True, "content": {
            "application/json": {"schema": ref(body)}}}
    return out


def query(name, schema):
    return {"name": name, "in": "query", "schema": schema}


ASKED = (400, 401, 404, 413, 429, 503)
KEPT = {"parameters": [ID]}
PATHS = {
    "/v1/responses": {"post": call(
        "createResponse", "An answer, or its events", "response", ASKED,
        "ask")},
    "/v1/responses/input_tokens": {"post": call(
        "countInputTokens", "Tokens of a prompt", "count", ASKED, "prompt")},
    "/v1/responses/{id}": {
        "get": call("getResponse", "A kept response", "response",
                    (400, 401, 404), **KEPT),
        "delete": call("deleteResponse", "A kept response is forgotten",
                       "deleted", (400, 401, 404), **KEPT)},
    "/v1/responses/{id}/cancel": {"post": call(
        "cancelResponse", "One under way ends", "response",
        (400, 401, 404, 413), **KEPT)},
    "/v1/responses/{id}/input_items": {"get": call(
        "listInputItems", "What the model was told", "items", (400, 401, 404),
        parameters=[ID, query("limit", {"type": "integer", "minimum": 1,
                                        "maximum": 100}),
                    query("order", words("asc", "desc")),
                    query("after", TEXT)])}}


def document(version):
    return {
        "openapi": "3.1.0",
        "info": {"title": "Flotilla's local API: responses",
                 "version": version,
                 "description": "Made by `make docs` from "
                 "tools/local_openapi.py. Other members of a body are passed "
                 "over. Words: docs/reference/local-api.md.",
                 "license": {"name": "Apache-2.0",
                             "identifier": "Apache-2.0"}},
        "servers": [{"url": "/"}], "security": [{"bearer": []}],
        "paths": PATHS,
        "components": {"schemas": SCHEMAS, "securitySchemes": {
            "bearer": {"type": "http", "scheme": "bearer"}}}}


def text(version):
    return json.dumps(document(version), indent=1, ensure_ascii=False) + "\n"
