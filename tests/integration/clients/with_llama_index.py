"""The packages `llama-index-llms-openai-like` and `llama-index-llms-ollama`."""
from llama_index.core.agent.workflow import FunctionAgent, ToolCallResult
from llama_index.core.llms import ChatMessage, ImageBlock, TextBlock
from llama_index.core.prompts import PromptTemplate
from llama_index.core.tools import FunctionTool
from llama_index.llms.ollama import Ollama
from llama_index.llms.openai_like import OpenAILike
from pydantic import BaseModel
import base64
import ollama
import openai

from parts import (IMAGE, KEY, MODEL, QUESTION, URL, call, is_city, main,
                   refused, same)

HEADERS = {"Authorization": "Bearer " + KEY}
SAID = [ChatMessage(role="user", content=QUESTION)]


class Weather(BaseModel):
    """The weather of a city."""
    city: str


def get_weather(city: str) -> str:
    """The weather of a city."""
    return "rain in " + city


TOOL = FunctionTool.from_defaults(get_weather)


def by_openai(**fields):
    return OpenAILike(model=MODEL, api_base=URL + "/v1", api_key=KEY,
                      is_chat_model=True, is_function_calling_model=True,
                      max_retries=0, context_window=8192, **fields)


def by_ollama():
    return Ollama(model=MODEL, base_url=URL, context_window=8192,
                  client=ollama.Client(URL, headers=HEADERS),
                  async_client=ollama.AsyncClient(URL, headers=HEADERS))


def chats_with(model):
    assert model.chat(SAID).message.content
    assert model.complete(QUESTION).text


def streams_with(model):
    pieces = [piece.delta for piece in model.stream_chat(SAID)]
    assert len([piece for piece in pieces if piece]) > 1


def calls_with(model):
    answer = model.chat_with_tools([TOOL], user_msg=QUESTION)
    made, = model.get_tool_calls_from_response(answer)
    same(made.tool_name, "get_weather")
    is_city(made.tool_kwargs)


def calls_in_a_stream_with(model):
    *_, last = model.stream_chat_with_tools([TOOL], user_msg=QUESTION)
    made, = model.get_tool_calls_from_response(last)
    is_city(made.tool_kwargs)


async def loops_with(model):
    """The agent of its first example; it streams."""
    running = FunctionAgent(tools=[get_weather], llm=model).run(QUESTION)
    seen = [event async for event in running.stream_events()
            if isinstance(event, ToolCallResult)]
    assert str(await running)
    same([event.tool_name for event in seen], ["get_weather"])


@call
def chat():
    chats_with(by_openai())


@call
def stream():
    streams_with(by_openai())


@call
def tool():
    calls_with(by_openai())


@call
def tool_streamed():
    calls_in_a_stream_with(by_openai())


@call
def called_and_used():
    """predict_and_call: the model's call is made."""
    answer = by_openai().predict_and_call([TOOL], user_msg=QUESTION)
    assert str(answer).startswith("rain in "), answer


@call
async def loop_streamed():
    await loops_with(by_openai())


@call
def structured():
    answer = by_openai(should_use_structured_outputs=True).structured_predict(
        Weather, PromptTemplate(QUESTION))
    assert isinstance(answer, Weather)


@call
def structured_by_tool():
    answer = by_openai().as_structured_llm(Weather).chat(SAID)
    assert isinstance(answer.raw, Weather)


@call
def image():
    refused(openai.BadRequestError, "messages[0]", lambda: by_openai().chat([
        ChatMessage(role="user", blocks=[
            TextBlock(text="What is this?"),
            ImageBlock(image=base64.b64decode(IMAGE),
                       image_mimetype="image/png")])]))


@call
def ollama_chat():
    chats_with(by_ollama())


@call
def ollama_stream():
    streams_with(by_ollama())


@call
def ollama_tool():
    calls_with(by_ollama())


@call
def ollama_tool_streamed():
    calls_in_a_stream_with(by_ollama())


@call
async def ollama_loop_streamed():
    await loops_with(by_ollama())


@call
def ollama_structured():
    answer = by_ollama().structured_predict(Weather, PromptTemplate(QUESTION))
    assert isinstance(answer, Weather)


main("llama-index-llms-openai-like", "llama-index-llms-ollama")
