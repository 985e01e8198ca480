"""The package `litellm`."""
import json
import os

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # no list from elsewhere

import litellm
from pydantic import BaseModel

from parts import (ASKED, IMAGE, KEY, MODEL, QUESTION, RANKER, TOOL, URL,
                   VECTORS, call, is_city, main, refused, same)

WAYS = {"openai": {"model": "openai/" + MODEL, "api_base": URL + "/v1"},
        "ollama": {"model": "ollama_chat/" + MODEL, "api_base": URL},
        "anthropic": {"model": "anthropic/" + MODEL, "api_base": URL}}


class Weather(BaseModel):
    """The weather of a city."""
    city: str


def ask(way="openai", **fields):
    fields.setdefault("messages", ASKED)
    return litellm.completion(**WAYS[way], api_key=KEY, num_retries=0,
                              max_tokens=400, **fields)


def chats_by(way):
    answer = ask(way)
    same(answer.choices[0].finish_reason, "stop")
    assert answer.choices[0].message.content and answer.usage.completion_tokens


def streams_by(way):
    pieces = list(ask(way, stream=True))
    texts = [piece.choices[0].delta.content for piece in pieces]
    assert len([text for text in texts if text]) > 1
    same([piece.choices[0].finish_reason for piece in pieces][-1], "stop")


def calls_by(way):
    choice = ask(way, tools=[TOOL]).choices[0]
    same(choice.finish_reason, "tool_calls")
    made, = choice.message.tool_calls
    is_city(json.loads(made.function.arguments))


def calls_in_a_stream_by(way):
    pieces = list(ask(way, tools=[TOOL], stream=True))
    whole = litellm.stream_chunk_builder(pieces)
    made, = whole.choices[0].message.tool_calls
    same(made.function.name, "get_weather")
    is_city(json.loads(made.function.arguments))


def loops_by(way):
    message = ask(way, tools=[TOOL]).choices[0].message
    said = ASKED + [message] + [
        {"role": "tool", "tool_call_id": made.id, "name": made.function.name,
         "content": "rain"} for made in message.tool_calls]
    choice = ask(way, tools=[TOOL], messages=said).choices[0]
    same(choice.finish_reason, "stop")
    assert choice.message.content


def structures_by(way):
    answer = ask(way, response_format=Weather)
    Weather.model_validate_json(answer.choices[0].message.content)


@call
def chat():
    chats_by("openai")


@call
def stream():
    streams_by("openai")


@call
def tool():
    calls_by("openai")


@call
def tool_streamed():
    calls_in_a_stream_by("openai")


@call
def loop():
    loops_by("openai")


@call
def structured():
    structures_by("openai")


@call
def n():
    same(len(ask(n=2).choices), 2)


@call
def penalties():
    assert ask(presence_penalty=1, frequency_penalty=1,
               logit_bias={"46": -100}).choices[0].message.content


@call
def completions():
    answer = litellm.text_completion(
        model="text-completion-openai/" + MODEL, prompt="one", max_tokens=4,
        api_base=URL + "/v1", api_key=KEY)
    same(answer.choices[0].finish_reason, "length")


@call
def embeddings():
    answer = litellm.embedding(
        model="openai/" + VECTORS, input=["one", "two"],
        api_base=URL + "/v1", api_key=KEY, encoding_format="float")
    same(len(answer.data), 2)


def ranks_by(provider):
    answer = litellm.rerank(
        model=provider + "/" + RANKER, query="pump", top_n=1,
        documents=["the lamp is red", "the pump leaks"],
        api_base=URL + "/v1", api_key=KEY, max_retries=0)
    found, = answer.results
    same(found["index"], 1)
    assert 0.5 < found["relevance_score"] <= 1


@call
def rerank():
    ranks_by("hosted_vllm")


@call
def jina_rerank():
    ranks_by("jina_ai")


@call
def image():
    refused(litellm.BadRequestError, "messages[0]", lambda: ask(messages=[
        {"role": "user", "content": [
            {"type": "image_url", "image_url": {
                "url": "data:image/png;base64," + IMAGE}}]}]))


@call
def responses():
    answer = litellm.responses(model="openai/" + MODEL, input=QUESTION,
                               api_base=URL + "/v1", api_key=KEY)
    assert answer.output[0].content[0].text


@call
def ollama_chat():
    chats_by("ollama")


@call
def ollama_stream():
    streams_by("ollama")


@call
def ollama_tool():
    calls_by("ollama")


@call
def ollama_loop():
    loops_by("ollama")


@call
def ollama_structured():
    structures_by("ollama")


@call
def anthropic_chat():
    chats_by("anthropic")


@call
def anthropic_stream():
    streams_by("anthropic")


@call
def anthropic_tool():
    calls_by("anthropic")


@call
def anthropic_tool_streamed():
    calls_in_a_stream_by("anthropic")


@call
def anthropic_loop():
    loops_by("anthropic")


main("litellm")
