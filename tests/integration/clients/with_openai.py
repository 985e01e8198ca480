"""The package `openai`."""
import json

import openai
from pydantic import BaseModel

from parts import (ASKED, IMAGE, KEY, MODEL, QUESTION, TOOL, URL, VECTORS,
                   call, is_city, main, refused, same)

client = openai.OpenAI(base_url=URL + "/v1", api_key=KEY, max_retries=0)
chats = client.chat.completions


class Weather(BaseModel):
    """The weather of a city."""
    city: str


def ask(**fields):
    return chats.create(model=MODEL, messages=ASKED, **fields)


@call
def models():
    assert {MODEL, VECTORS} <= {one.id for one in client.models.list()}
    same(client.models.retrieve(MODEL).object, "model")


@call
def chat():
    answer = ask()
    same(answer.choices[0].finish_reason, "stop")
    assert answer.choices[0].message.content
    same(answer.usage.total_tokens,
         answer.usage.prompt_tokens + answer.usage.completion_tokens)


@call
def stream():
    chunks = list(ask(stream=True, stream_options={"include_usage": True}))
    texts = [c.choices[0].delta.content for c in chunks if c.choices]
    assert len([text for text in texts if text]) > 1
    same("".join(text or "" for text in texts),
         ask().choices[0].message.content)
    assert chunks[-1].usage.completion_tokens > 1


@call
async def asynchronous():
    async with openai.AsyncOpenAI(base_url=URL + "/v1", api_key=KEY) as one:
        chunks = await one.chat.completions.create(
            model=MODEL, messages=ASKED, stream=True)
        assert [c async for c in chunks][-1].choices[0].finish_reason == "stop"


@call
def tool():
    choice = ask(tools=[TOOL]).choices[0]
    same(choice.finish_reason, "tool_calls")
    made, = choice.message.tool_calls
    same((made.type, made.function.name), ("function", "get_weather"))
    is_city(json.loads(made.function.arguments))


@call
def tool_named():
    """By a model that would not call by itself."""
    answer = chats.create(model="tiny", messages=ASKED, tools=[TOOL],
                          parallel_tool_calls=False, max_tokens=60,
                          tool_choice={"type": "function", "function": {
                              "name": "get_weather"}})
    made, = answer.choices[0].message.tool_calls
    is_city(json.loads(made.function.arguments))


@call
def tool_streamed():
    with chats.stream(model=MODEL, messages=ASKED, tools=[
            openai.pydantic_function_tool(Weather, name="get_weather")]) as one:
        done, = [event for event in one if event.type ==
                 "tool_calls.function.arguments.done"]
        choice = one.get_final_completion().choices[0]
    same(done.parsed_arguments, choice.message.tool_calls[0].function
         .parsed_arguments)
    assert isinstance(done.parsed_arguments, Weather)
    same(choice.finish_reason, "tool_calls")


@call
def loop():
    said = list(ASKED)
    message = chats.create(model=MODEL, messages=said,
                           tools=[TOOL]).choices[0].message
    said.append(message)
    said += [{"role": "tool", "tool_call_id": made.id, "content": "rain"}
             for made in message.tool_calls]
    choice = chats.create(model=MODEL, messages=said, tools=[TOOL]).choices[0]
    same(choice.finish_reason, "stop")
    assert choice.message.content and not choice.message.tool_calls


@call
def structured():
    answer = chats.parse(model=MODEL, messages=ASKED, response_format=Weather)
    assert isinstance(answer.choices[0].message.parsed, Weather)


@call
def structured_streamed():
    with chats.stream(model=MODEL, messages=ASKED,
                      response_format=Weather) as one:
        kinds = {event.type for event in one}
        parsed = one.get_final_completion().choices[0].message.parsed
    assert {"content.delta", "content.done"} <= kinds, kinds
    assert isinstance(parsed, Weather)


@call
def n():
    answer = ask(n=3)
    same([choice.index for choice in answer.choices], [0, 1, 2])
    assert all(choice.message.content for choice in answer.choices)


@call
def logit_bias():
    """One token alone comes; by a model whose logits are below 100."""
    text = chats.create(model=VECTORS, messages=ASKED, max_tokens=3,
                        logit_bias={"300": 100}).choices[0].message.content
    assert text and text == 3 * text[:len(text) // 3], text


@call
def penalties():
    answer = ask(presence_penalty=1.5, frequency_penalty=-0.5, max_tokens=4)
    assert answer.usage.completion_tokens <= 4
    refused(openai.BadRequestError, "presence_penalty",
            lambda: ask(presence_penalty=3))


@call
def completions():
    pieces = list(client.completions.create(
        model=MODEL, prompt="one", max_tokens=4, stream=True))
    same(pieces[-1].choices[0].finish_reason, "length")


@call
def completions_of_a_list():
    answer = client.completions.create(model=MODEL, prompt=["one", "two"],
                                       max_tokens=4)
    same([choice.index for choice in answer.choices], [0, 1])


@call
def embeddings():
    answer = client.embeddings.create(model=VECTORS, input=["one", "two"],
                                      dimensions=64)
    same([len(one.embedding) for one in answer.data], [64, 64])


@call
def batches():
    lines = [{"custom_id": "q%d" % i, "method": "POST",
              "url": "/v1/chat/completions", "body": {
                  "model": MODEL, "messages": ASKED}} for i in range(3)]
    file = client.files.create(purpose="batch", file=(
        "in.jsonl", "\n".join(map(json.dumps, lines)).encode()))
    batch = client.batches.create(input_file_id=file.id,
                                  endpoint="/v1/chat/completions",
                                  completion_window="24h")
    while batch.status in ("validating", "in_progress", "finalizing"):
        batch = client.batches.retrieve(batch.id)
    same((batch.status, batch.request_counts.completed), ("completed", 3))
    answers = client.files.content(batch.output_file_id).text.splitlines()
    same({json.loads(line)["custom_id"] for line in answers},
         {"q0", "q1", "q2"})


@call
def image():
    refused(openai.BadRequestError, "messages[0]", lambda: chats.create(
        model=MODEL, messages=[{"role": "user", "content": [
            {"type": "text", "text": "What is this?"},
            {"type": "image_url", "image_url": {
                "url": "data:image/png;base64," + IMAGE}}]}]))


@call
def images():
    refused(openai.BadRequestError, "pictures",
            lambda: client.images.generate(model=MODEL, prompt="a cat"))


@call
def speech():
    refused(openai.BadRequestError, "speech",
            lambda: client.audio.speech.create(model=MODEL, voice="alloy",
                                               input="a text"))


@call
def moderations():
    refused(openai.BadRequestError, "moderations",
            lambda: client.moderations.create(input="a text"))


@call
def responses():
    answer = client.responses.create(model=MODEL, input=QUESTION,
                                     instructions="Be brief.")
    same(answer.status, "completed")
    assert answer.output_text and answer.usage.output_tokens


@call
def responses_stream():
    with client.responses.stream(model=MODEL, input=QUESTION) as one:
        events = list(one)
        final = one.get_final_response()
    same([event.sequence_number for event in events],
         list(range(len(events))))
    same(events[-1].type, "response.completed")
    assert final.output_text


@call
def responses_loop():
    tools = [{"type": "function", "strict": True, **TOOL["function"]}]
    said = list(ASKED)
    answer = client.responses.create(model=MODEL, input=said, tools=tools)
    made, = answer.output
    is_city(json.loads(made.arguments))
    said += answer.output
    said.append({"type": "function_call_output", "call_id": made.call_id,
                 "output": "rain"})
    assert client.responses.create(model=MODEL, input=said,
                                   tools=tools).output_text


@call
def responses_structured():
    answer = client.responses.parse(model=MODEL, input=QUESTION,
                                    text_format=Weather)
    assert isinstance(answer.output_parsed, Weather)


@call
def responses_stored():
    first = client.responses.create(model=MODEL, input=QUESTION, store=True)
    then = client.responses.create(model=MODEL, input="And then?",
                                   previous_response_id=first.id)
    same(then.previous_response_id, first.id)
    assert then.usage.input_tokens > first.usage.input_tokens


@call
def responses_image():
    refused(openai.BadRequestError, "image", lambda: client.responses.create(
        model=MODEL, input=[{"role": "user", "content": [
            {"type": "input_image",
             "image_url": "data:image/png;base64," + IMAGE}]}]))


main("openai")
