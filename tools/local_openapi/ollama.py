"""Ollama's API, but for what it does with files of models."""
from .forms import (
    ASKED, COUNT, FLAG, FREE, LINES, MESSAGES_MAX, MODEL_CHARS_MAX, TEXT,
    TOKENS_MAX, call, either, many, optional, or_null, said, shape, streamed,
    whole, words)
from .openai import DRAWN, EMBEDDING, STOP, TOOL

TAG = "ollama"
MEANING = "Ollama's API; `ollama: false` leaves it out"
MODEL = {**said(1, MODEL_CHARS_MAX), "examples": ["tiny"]}
IMAGES = many(TEXT)  # base64 of PNG, JPEG, WebP or GIF
CALL = shape({"function": shape({
    "name": TEXT, **optional({"arguments": either(FREE, TEXT)})})})
MESSAGE = either(
    shape({"role": words("system"), "content": TEXT}),
    shape({"role": words("user"), "content": TEXT,
           **optional({"images": IMAGES})}),
    shape({"role": words("assistant"), **optional({
        "content": TEXT, "thinking": TEXT, "tool_calls": many(CALL)})}),
    shape({"role": words("tool"), "content": TEXT}))
DRAW = {name + "?": DRAWN[name + "?"] for name in (
    "temperature", "top_p", "top_k", "min_p", "seed", "repeat_penalty",
    "repeat_last_n", "presence_penalty", "frequency_penalty")}
OPTIONS = shape({**DRAW, **optional({
    "num_predict": either(words(-1, -2), whole(1, TOKENS_MAX)),
    "stop": either(STOP, many(STOP, maxItems=4))})})
ASK = {"model": MODEL, **optional({
    "stream": FLAG, "options": OPTIONS,
    "format": either(words("", "json"), FREE),
    "think": either(FLAG, words("low", "medium", "high"))})}
# A body without messages or prompt loads the model: nothing else of it counts.
LOAD = {**ASK, "options?": or_null(FREE)}
SAID = optional({"system": TEXT, "raw": FLAG})
NS = COUNT
END = {"model": TEXT, "created_at": TEXT, "done": words(True),
       "done_reason": words("stop", "length", "load"), "total_duration": NS,
       "load_duration": NS, "prompt_eval_count": COUNT,
       "prompt_eval_duration": NS, "eval_count": COUNT, "eval_duration": NS}
DETAILS = shape({"parent_model": TEXT, "format": TEXT, "family": TEXT,
                 "parameter_size": TEXT, "quantization_level": TEXT})
MODELS = many(shape({
    "name": TEXT, "model": TEXT, "modified_at": TEXT, "digest": TEXT,
    "context_length?": COUNT, "details": DETAILS}))
SCHEMAS = {
    "ollama_chat": either(
        shape({**LOAD, **optional({"messages": many({}, maxItems=0)})}),
        shape({**ASK, "messages": many(MESSAGE, minItems=1,
                                       maxItems=MESSAGES_MAX),
               **optional({"tools": many(TOOL)})})),
    "ollama_chat_answer": shape({**END, "message": shape({
        "role": words("assistant"), "content": TEXT, "thinking?": TEXT,
        "tool_calls?": many(shape({"id": TEXT, "function": shape({
            "index": COUNT, "name": TEXT, "arguments": FREE})}))})}),
    "ollama_generate": either(
        shape({**LOAD, **SAID, "prompt?": words("", None),
               **optional({"images": many({}, maxItems=0)})}),
        shape({**ASK, **SAID, **optional({"prompt": TEXT}),
               "images": many(TEXT, minItems=1)}),
        shape({**ASK, **SAID, "prompt": said(1),
               **optional({"images": IMAGES})})),
    "ollama_generate_answer": shape({**END, "response": TEXT,
                                     "thinking?": TEXT}),
    "ollama_embed": shape({
        "model": MODEL, "input": EMBEDDING["properties"]["input"],
        "dimensions?": EMBEDDING["properties"]["dimensions"]}),
    "ollama_vectors": shape({
        "model": TEXT, "embeddings": many(many({"type": "number"}),
                                          minItems=1),
        "total_duration": NS, "load_duration": NS,
        "prompt_eval_count": COUNT}),
    "ollama_prompt": shape({"model": MODEL, "prompt": said(1)}),
    "ollama_vector": shape({"embedding": many({"type": "number"})}),
    "ollama_models": shape({"models": MODELS}),
    "ollama_name": either(shape({"model": MODEL}), shape({"name": MODEL})),
    "ollama_shown": shape({
        "modelfile": TEXT, "parameters": TEXT, "template": TEXT,
        "modified_at": TEXT, "details": DETAILS, "model_info": FREE,
        "capabilities": many(TEXT)}),
    "ollama_version": shape({"version": TEXT}),
    "ollama_error": shape({"error": TEXT})}


def asked(name, summary, answer, statuses=ASKED, body=None):
    return call(name, summary, answer, statuses, body, error="ollama_error")


def refused(name):
    return asked(name, "Models come by releases", {}, (400, 401, 413))


PATHS = {
    "/api/chat": {"post": asked(
        "ollamaChat", "An answer to a conversation, in lines unless `stream` "
        "is false", streamed("ollama_chat_answer", LINES), ASKED,
        "ollama_chat")},
    "/api/generate": {"post": asked(
        "ollamaGenerate", "An answer to a text, in lines unless `stream` is "
        "false", streamed("ollama_generate_answer", LINES), ASKED,
        "ollama_generate")},
    "/api/embed": {"post": asked(
        "ollamaEmbed", "Vectors of texts", "ollama_vectors", ASKED,
        "ollama_embed")},
    "/api/embeddings": {"post": asked(
        "ollamaEmbedding", "One text's vector", "ollama_vector", ASKED,
        "ollama_prompt")},
    "/api/tags": {"get": asked("ollamaTags", "All models", "ollama_models",
                               (401,))},
    "/api/ps": {"get": asked("ollamaPs", "Models in memory", "ollama_models",
                             (401,))},
    "/api/show": {"post": asked(
        "ollamaShow", "One model", "ollama_shown", (400, 401, 404, 413),
        "ollama_name")},
    "/api/version": {"get": asked("ollamaVersion", "The agent's own",
                                  "ollama_version", (401,))},
    "/api/pull": {"post": refused("ollamaPull")},
    "/api/push": {"post": refused("ollamaPush")},
    "/api/create": {"post": refused("ollamaCreate")},
    "/api/copy": {"post": refused("ollamaCopy")},
    "/api/delete": {"delete": refused("ollamaDelete"),
                    "post": refused("ollamaDeleteByPost")}}
