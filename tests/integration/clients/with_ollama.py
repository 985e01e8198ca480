"""The package `ollama`."""
import ollama
from pydantic import BaseModel

from parts import (ASKED, IMAGE, KEY, MODEL, QUESTION, URL, VECTORS, call,
                   is_city, main, refused, same)

HEADERS = {"Authorization": "Bearer " + KEY}
client = ollama.Client(URL, headers=HEADERS)


class Weather(BaseModel):
    """The weather of a city."""
    city: str


def get_weather(city: str) -> str:
    """The weather of a city.

    Args:
        city: its name
    """
    return "rain in " + city


@call
def models():
    assert MODEL in {one.model for one in client.list().models}
    assert MODEL in {one.model for one in client.ps().models}
    assert "completion" in client.show(MODEL).capabilities


@call
def chat():
    answer = client.chat(MODEL, messages=ASKED)
    same((answer.done, answer.done_reason), (True, "stop"))
    assert answer.message.content and answer.eval_count


@call
def stream():
    pieces = list(client.chat(MODEL, messages=ASKED, stream=True))
    assert len(pieces) > 2 and pieces[-1].done
    same("".join(piece.message.content for piece in pieces),
         client.chat(MODEL, messages=ASKED).message.content)


@call
async def asynchronous():
    one = ollama.AsyncClient(URL, headers=HEADERS)
    pieces = await one.chat(MODEL, messages=ASKED, stream=True)
    assert [piece async for piece in pieces][-1].done


@call
def generate():
    assert client.generate(MODEL, QUESTION).response
    pieces = list(client.generate(MODEL, QUESTION, stream=True))
    assert len(pieces) > 2 and pieces[-1].done


@call
def tool():
    answer = client.chat(MODEL, messages=ASKED, tools=[get_weather])
    made, = answer.message.tool_calls
    same(made.function.name, "get_weather")
    is_city(made.function.arguments)


@call
def tool_streamed():
    pieces = client.chat(MODEL, messages=ASKED, tools=[get_weather],
                         stream=True)
    made, = [one for piece in pieces for one in piece.message.tool_calls or ()]
    is_city(made.function.arguments)


@call
def loop():
    said = list(ASKED)
    message = client.chat(MODEL, messages=said, tools=[get_weather]).message
    said.append(message)
    said += [{"role": "tool", "tool_name": made.function.name,
              "content": get_weather(**made.function.arguments)}
             for made in message.tool_calls]
    message = client.chat(MODEL, messages=said, tools=[get_weather]).message
    assert message.content and not message.tool_calls


@call
def structured():
    answer = client.chat(MODEL, messages=ASKED,
                         format=Weather.model_json_schema())
    Weather.model_validate_json(answer.message.content)


@call
def think():
    assert client.chat(MODEL, messages=ASKED, think=False).message.content


@call
def embeddings():
    answer = client.embed(VECTORS, ["one", "two"])
    same(len(answer.embeddings), 2)


@call
def options():
    answer = client.chat(MODEL, messages=ASKED, keep_alive="5m", options={
        "num_predict": 2, "num_ctx": 2048, "seed": 1, "top_k": 40,
        "repeat_penalty": 1.1, "presence_penalty": 0.5})
    same((answer.done_reason, answer.eval_count), ("length", 2))


@call
def image():
    refused(ollama.ResponseError, "messages[0]", lambda: client.chat(
        MODEL, messages=[{"role": "user", "content": "What is this?",
                          "images": [IMAGE]}]))


@call
def pull():
    refused(ollama.ResponseError, "flotilla release create",
            lambda: client.pull("other"))


main("ollama")
