"""The packages `langchain-openai`, `langchain-ollama` and `langchain-anthropic`."""
from langchain_anthropic import ChatAnthropic
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool as a_tool
from langchain_ollama import ChatOllama, OllamaEmbeddings
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from pydantic import BaseModel

from parts import (IMAGE, KEY, MODEL, QUESTION, URL, VECTORS, call, is_city,
                   main, same)
import openai

KEYED = {"headers": {"Authorization": "Bearer " + KEY}}


def by_openai(**fields):
    return ChatOpenAI(model=MODEL, base_url=URL + "/v1", api_key=KEY,
                      max_retries=0, **fields)


def by_ollama(**fields):
    return ChatOllama(model=MODEL, base_url=URL, client_kwargs=KEYED, **fields)


def by_anthropic():
    return ChatAnthropic(model=MODEL, base_url=URL, api_key=KEY,
                         max_retries=0, max_tokens=400)


class Weather(BaseModel):
    """The weather of a city."""
    city: str


@a_tool
def get_weather(city: str) -> str:
    """The weather of a city."""
    return "rain in " + city


def chats_with(model):
    answer = model.invoke(QUESTION)
    assert answer.content and answer.usage_metadata["output_tokens"]


def streams_with(model):
    pieces = list(model.stream(QUESTION))
    assert len([piece for piece in pieces if piece.text]) > 1
    whole = pieces[0]
    for piece in pieces[1:]:
        whole += piece
    same(whole.text, model.invoke(QUESTION).text)


def calls_with(model, **choice):
    answer = model.bind_tools([get_weather], **choice).invoke(QUESTION)
    made, = answer.tool_calls
    same(made["name"], "get_weather")
    is_city(made["args"])


def calls_in_a_stream_with(model):
    whole = None
    for piece in model.bind_tools([get_weather]).stream(QUESTION):
        whole = piece if whole is None else whole + piece
    made, = whole.tool_calls
    is_city(made["args"])


def loops_with(model):
    """The tool's own example: its answer is a message."""
    model = model.bind_tools([get_weather])
    said = [HumanMessage(QUESTION)]
    said.append(model.invoke(said))
    said += [get_weather.invoke(made) for made in said[-1].tool_calls]
    assert isinstance(said[-1], ToolMessage)
    answer = model.invoke(said)
    assert answer.text and not answer.tool_calls


def structures_with(model, **way):
    answer = model.with_structured_output(Weather, **way).invoke(QUESTION)
    assert isinstance(answer, Weather), answer


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
def tool_named():
    calls_with(by_openai(), tool_choice="get_weather", strict=True)


@call
def tool_streamed():
    calls_in_a_stream_with(by_openai())


@call
def loop():
    loops_with(by_openai())


@call
def structured():
    structures_with(by_openai())


@call
def structured_by_tool():
    structures_with(by_openai(), method="function_calling")


@call
def n():
    told, = by_openai(n=2).generate([[HumanMessage(QUESTION)]]).generations
    same(len(told), 2)


@call
def penalties():
    chats_with(by_openai(presence_penalty=0.5, frequency_penalty=0.5))


@call
def embeddings():
    made = OpenAIEmbeddings(model=VECTORS, base_url=URL + "/v1", api_key=KEY,
                            check_embedding_ctx_length=False)
    same(len(made.embed_documents(["one", "two"])), 2)


@call
def image():
    try:
        by_openai().invoke([HumanMessage([
            {"type": "text", "text": "What is this?"},
            {"type": "image", "base64": IMAGE, "mime_type": "image/png"}])])
    except openai.BadRequestError as error:
        assert "messages[0]" in str(error), error
    else:
        raise AssertionError("it was answered")


@call
def responses():
    chats_with(by_openai(use_responses_api=True))


@call
def responses_loop():
    loops_with(by_openai(use_responses_api=True))


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
def ollama_loop():
    loops_with(by_ollama())


@call
def ollama_structured():
    structures_with(by_ollama())


@call
def ollama_embeddings():
    made = OllamaEmbeddings(model=VECTORS, base_url=URL, client_kwargs=KEYED)
    same(len(made.embed_documents(["one", "two"])), 2)


@call
def anthropic_chat():
    chats_with(by_anthropic())


@call
def anthropic_stream():
    streams_with(by_anthropic())


@call
def anthropic_tool():
    calls_with(by_anthropic(), tool_choice="any")


@call
def anthropic_tool_streamed():
    calls_in_a_stream_with(by_anthropic())


@call
def anthropic_loop():
    loops_with(by_anthropic())


@call
def anthropic_structured():
    structures_with(by_anthropic())


main("langchain-openai", "langchain-ollama", "langchain-anthropic")
