"""Chats, completions, vectors and models, as OpenAI and llama.cpp have them."""
from constants import constant

from .forms import (
    ASKED, CHOICES_MAX, COUNT, FLAG, FREE, FUNCTION_NAME, INPUTS_MAX, JSON,
    MESSAGES_MAX, MODEL, MODEL_CHARS_MAX, NULL, READ, TEXT, TOKENS_MAX,
    TOKEN_ID, TOKEN_IDS, TOOLS_MAX, WHOLE, call, either, in_path, many,
    number, optional, or_null, ref, said, shape, streamed, whole, words)

TAG = "openai"
MEANING = "OpenAI's chats, completions, vectors and models, with what " \
    "llama.cpp's server adds"
N_MAX = constant("SERVE_N_MAX")
STOP = said(1, constant("FLO_WIRE_STOP_BYTES_MAX"))
LOGPROBS_MAX = constant("FLO_WIRE_LOGPROBS_MAX")
BIASES_MAX = constant("FLO_WIRE_BIASES_MAX")
TOKENISE_MAX = 65536

# ---- what a client sends ----

FUNCTION = {"name": FUNCTION_NAME,
            **optional({"description": TEXT, "parameters": FREE})}
TOOL = shape({"type": words("function"), "function": shape(FUNCTION)})
PART = shape({"type": words("text"), "text": TEXT})
SAID = either(TEXT, many(PART))
DETAIL = words("auto", "low", "high")
# A model that sees takes PNG, JPEG, WebP and GIF, as data:image/png;base64,...
IMAGE = shape({"type": words("image_url"), "image_url": shape({
    "url": TEXT, **optional({"detail": DETAIL})})})
CALLED = {"name": FUNCTION_NAME, "arguments": either(TEXT, FREE)}
CALL = shape({
    "id": said(1, constant("ID_BYTES_MAX")), "type?": words("function"),
    "function": shape(CALLED)})
MESSAGE = either(
    shape({"role": words("system", "developer"), "content": SAID}),
    shape({"role": words("user"),
           "content": either(TEXT, many(either(PART, IMAGE)))}),
    shape({"role": words("assistant"), "content?": or_null(SAID),
           **optional({"tool_calls": many(CALL), "reasoning_content": TEXT,
                       "reasoning": TEXT,
                       "function_call": shape(CALLED)})}),
    shape({"role": words("tool"), "content": SAID, "tool_call_id": TEXT}),
    shape({"role": words("function"), "content": SAID, "name": TEXT}))
FORMAT = either(
    shape({"type": words("text", "json_object"), "schema?": FREE}),
    shape({"type": words("json_schema"),
           "json_schema": shape({"schema": FREE})}))
ANY = optional({"model": MODEL, "user": TEXT, "safety_identifier": TEXT})
# How an answer is drawn, and served.
DRAWN = {**ANY, **optional({
    "max_tokens": whole(1, TOKENS_MAX),
    "max_completion_tokens": whole(1, TOKENS_MAX),
    "n_predict": either(words(-1), whole(1, TOKENS_MAX)),
    "n": whole(1, N_MAX), "best_of": whole(1, N_MAX),
    "temperature": number(0, 2), "top_p": number(0, 1), "min_p": number(0, 1),
    "top_k": whole(0, TOKENS_MAX), "repeat_penalty": number(0.5, 2),
    "repeat_last_n": whole(0, constant("FLO_WIRE_REPEAT_LAST_MAX")),
    "presence_penalty": number(-2, 2), "frequency_penalty": number(-2, 2),
    "logit_bias": either(
        {"type": "object", "maxProperties": BIASES_MAX,
         "propertyNames": {"pattern": "^(0|[1-9][0-9]{0,9})$"},
         "additionalProperties": number(-100, 100)}, many({}, maxItems=0)),
    "seed": whole(-2**63, 2**63 - 1), "stop": either(STOP, many(STOP, maxItems=4)),
    "ignore_eos": FLAG, "context_shift": FLAG, "speculative": FLAG,
    "priority": words("interactive", "batch"),
    "service_tier": words("auto", "default", "priority", "scale", "flex"),
    "response_format": FORMAT, "json_schema": FREE, "grammar": said(1),
    "stream": FLAG,
    "stream_options": shape(optional({"include_usage": FLAG}))})}
CHAT = shape({
    "messages": many(MESSAGE, minItems=1, maxItems=MESSAGES_MAX), **DRAWN,
    **optional({
        "tools": many(TOOL, maxItems=TOOLS_MAX),
        "tool_choice": either(
            words("none", "auto", "required"),
            shape({"type": words("function"),
                   "function": shape({"name": TEXT})})),
        "parallel_tool_calls": FLAG, "truncation": words("auto", "disabled"),
        "functions": many(shape(FUNCTION), maxItems=TOOLS_MAX),
        "function_call": either(words("none", "auto"), shape({"name": TEXT})),
        "reasoning_effort": words("none", "minimal", "low", "medium", "high"),
        "chat_template_kwargs": {
            "type": "object", "properties": {"enable_thinking": FLAG},
            "additionalProperties": False},
        "logprobs": FLAG, "top_logprobs": whole(0, LOGPROBS_MAX)})})
ONE_PROMPT = either(said(1), TOKEN_IDS)
COMPLETION = shape({
    "prompt": either(said(1), TOKEN_IDS,
                     many(ONE_PROMPT, minItems=1, maxItems=CHOICES_MAX)),
    **DRAWN, **optional({"echo": FLAG, "parse_special": FLAG, "suffix": NULL,
                         "logprobs": whole(0, LOGPROBS_MAX)})})
POOLING = words("mean", "last")
EMBEDDING = shape({
    "input": either(said(1), TOKEN_IDS,
                    many(ONE_PROMPT, minItems=1, maxItems=INPUTS_MAX)),
    **optional({"model": MODEL, "encoding_format": words("float", "base64"),
                "pooling": POOLING,
                "dimensions": whole(1, constant("DIMENSIONS_MAX"))})})
RERANK = shape({
    "query": said(1),
    "documents": many(either(said(1), shape({"text": said(1)})), minItems=1,
                      maxItems=INPUTS_MAX - 1),
    **optional({"model": MODEL, "method": words("rerank", "embedding"),
                "pooling": POOLING,
                "top_n": {"type": "integer", "minimum": 1},
                "return_documents": FLAG})})
TOKENISE = shape({
    "content": said(0, TOKENISE_MAX),
    **optional({"model": MODEL, "parse_special": FLAG, "add_special": FLAG})})
DETOKENISE = shape({"tokens": many(TOKEN_ID, maxItems=TOKENISE_MAX),
                    **optional({"model": MODEL})})
SPEECH = shape({
    "file": {"type": "string", "format": "binary"}, "model?": MODEL,
    "language?": said(0, constant("FLO_WIRE_LANGUAGE_BYTES_MAX")),
    "prompt?": said(0, constant("audio/PROMPT_BYTES_MAX")),
    "response_format?": words("json", "text"), "temperature?": number(0, 2),
    "stream?": words("false")})

# ---- what it gets ----

PROMPT_USAGE = shape({"prompt_tokens": COUNT, "total_tokens": COUNT})
USAGE = shape({
    "prompt_tokens": COUNT, "completion_tokens": COUNT, "total_tokens": COUNT,
    "prompt_tokens_details": shape({"cached_tokens": COUNT})})
MS = {"type": "number", "minimum": 0}
TIMINGS = shape({
    "queue_ms": MS, "load_ms": MS, "prompt_ms": MS, "first_token_ms": MS,
    "per_token_ms": MS, "guessed": COUNT, "guessed_right": COUNT})
HEAD = {"id": TEXT, "created": WHOLE, "model": TEXT, "system_fingerprint": NULL,
        "usage": USAGE, "timings": TIMINGS}
LOGPROB = {"token": TEXT, "logprob": {"type": "number"},
           "bytes": many(whole(0, 255))}
CHAT_LOGPROBS = shape({
    "content": many(shape({**LOGPROB, "top_logprobs": many(shape(LOGPROB))})),
    "refusal": NULL})
TEXT_LOGPROBS = shape({
    "tokens": many(TEXT), "token_logprobs": many({"type": "number"}),
    "top_logprobs": or_null(many({"type": "object", "additionalProperties": {
        "type": "number"}})), "text_offset": many(COUNT)})
TOLD_CALL = shape({"name": TEXT, "arguments": TEXT})
CHAT_ANSWER = shape({
    **HEAD, "object": words("chat.completion"), "choices": many(shape({
        "index": COUNT, "logprobs": or_null(CHAT_LOGPROBS),
        "finish_reason": words("stop", "length", "tool_calls",
                               "function_call"),
        "message": shape({
            "role": words("assistant"), "content": or_null(TEXT),
            "refusal": NULL, "reasoning_content?": TEXT,
            "tool_calls?": many(shape({
                "id": TEXT, "type": words("function"),
                "function": TOLD_CALL})),
            "function_call?": TOLD_CALL})}), minItems=1)})
TEXT_ANSWER = shape({
    **HEAD, "object": words("text_completion"), "choices": many(shape({
        "index": COUNT, "text": TEXT, "logprobs": or_null(TEXT_LOGPROBS),
        "finish_reason": words("stop", "length")}), minItems=1)})
EMBEDDED = shape({
    "object": words("list"), "model": TEXT, "usage": PROMPT_USAGE,
    "data": many(shape({
        "object": words("embedding"), "index": COUNT,
        "embedding": either(many({"type": "number"}), TEXT)}), minItems=1)})
RANKED = shape({
    "id": TEXT, "object": words("list"), "model": TEXT,
    "method": words("rerank", "embedding"), "usage": PROMPT_USAGE,
    "results": many(shape({
        "index": COUNT, "relevance_score": {"type": "number"},
        "document?": shape({"text": TEXT})}), minItems=1)})
DRAFT = either(
    shape({"kind": words("table", "model"), "bytes": COUNT, "guessed": COUNT,
           "guessed_right": COUNT, "tokens_per_step?": {"type": "number", "minimum": 1}}),
    shape({"why": TEXT}))
SHOWN = shape({
    "id": TEXT, "object": words("model"), "created": WHOLE, "owned_by": TEXT,
    "parent": or_null(TEXT), "release?": TEXT, "version?": TEXT,
    "state?": words("loading", "ready", "on-demand"), "context?": COUNT,
    "aliases?": many(TEXT), "draft?": DRAFT, "split_of?": TEXT,
    "split_pct?": whole(1, 100),
    "pipeline?": many(TEXT), "guards?": many(TEXT)})
SCHEMAS = {
    "chat": CHAT, "chat_answer": CHAT_ANSWER, "completion": COMPLETION,
    "completion_answer": TEXT_ANSWER, "embedding": EMBEDDING,
    "vectors": EMBEDDED, "rerank": RERANK, "ranks": RANKED,
    "tokenise": TOKENISE, "detokenise": DETOKENISE,
    "token_ids": shape({"model": TEXT, "count": COUNT,
                        "tokens": many(TOKEN_ID)}),
    "token_text": shape({"model": TEXT, "content": TEXT}),
    "speech": SPEECH, "spoken": shape({"text": TEXT}),
    "model": SHOWN,
    "models": shape({"object": words("list"), "data": many(ref("model"))}),
    "error": shape({"error": shape({
        "message": TEXT, "type": TEXT, "code": TEXT,
        "param": or_null(TEXT), "fix": TEXT})})}

# ---- calls ----


def refused(name, summary):
    return {"post": call(name, summary, {}, (400, 401, 413))}


PATHS = {
    "/v1/chat/completions": {"post": call(
        "createChatCompletion", "An answer to a conversation, or its events",
        streamed("chat_answer"), ASKED, "chat")},
    "/v1/completions": {"post": call(
        "createCompletion", "An answer to a text, or its events",
        streamed("completion_answer"), ASKED, "completion")},
    "/v1/embeddings": {"post": call(
        "createEmbedding", "Vectors of texts", "vectors", ASKED,
        "embedding")},
    "/v1/rerank": {"post": call(
        "rerank", "Documents by how well they answer a query", "ranks", ASKED,
        "rerank")},
    "/tokenize": {"post": call(
        "tokenize", "Token ids of a text", "token_ids", ASKED, "tokenise")},
    "/detokenize": {"post": call(
        "detokenize", "Text of token ids", "token_text", ASKED,
        "detokenise")},
    "/v1/audio/transcriptions": {"post": call(
        "createTranscription", "Text of speech",
        {JSON: {"schema": ref("spoken")}}, ASKED, "speech",
        kind="multipart/form-data")},
    "/v1/models": {"get": call("listModels", "All models", "models",
                               (401, 503))},
    "/v1/models/{id}": {"get": call(
        "getModel", "One model", "model", (*READ, 503),
        parameters=[in_path("id", {**said(1, MODEL_CHARS_MAX), "examples": ["tiny"]})])},
    "/v1/moderations": refused("moderate", "Not built"),
    "/v1/images/generations": refused("createImage", "Not built"),
    "/v1/images/edits": refused("editImage", "Not built"),
    "/v1/images/variations": refused("varyImage", "Not built"),
    "/v1/audio/speech": refused("createSpeech", "Not built")}
