"""The package `pydantic-ai`."""
import openai
from pydantic import BaseModel
from pydantic_ai import Agent, NativeOutput
from pydantic_ai.exceptions import ModelHTTPError
from pydantic_ai.messages import (BinaryContent, FunctionToolCallEvent,
                                  FunctionToolResultEvent)
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.ollama import OllamaModel
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.ollama import OllamaProvider
from pydantic_ai.providers.openai import OpenAIProvider
import anthropic
import base64

from parts import IMAGE, KEY, MODEL, QUESTION, URL, call, main, same


class Weather(BaseModel):
    """The weather of a city."""
    city: str


def provider():
    return OpenAIProvider(openai_client=openai.AsyncOpenAI(
        base_url=URL + "/v1", api_key=KEY, max_retries=0))


def by_openai():
    return OpenAIChatModel(MODEL, provider=provider())


def by_responses():
    return OpenAIResponsesModel(MODEL, provider=provider())


def by_anthropic():
    return AnthropicModel(MODEL, provider=AnthropicProvider(
        anthropic_client=anthropic.AsyncAnthropic(
            base_url=URL, api_key=KEY, max_retries=0)))


def by_ollama():
    """Ollama's provider takes OpenAI's way, as this package has it."""
    return OllamaModel(MODEL, provider=OllamaProvider(
        base_url=URL + "/v1", api_key=KEY))


def chats_with(model):
    result = Agent(model, instructions="Be brief.").run_sync(QUESTION)
    assert result.output and result.usage.output_tokens


def agent_of(model):
    agent, asked = Agent(model), []

    @agent.tool_plain
    def get_weather(city: str) -> str:
        """The weather of a city."""
        asked.append(city)
        return "rain"
    return agent, asked


def loops_with(model):
    agent, asked = agent_of(model)
    result = agent.run_sync(QUESTION)
    assert asked and result.output
    kinds = [part.part_kind for message in result.all_messages()
             for part in message.parts if part.part_kind.startswith("tool")]
    same(kinds, ["tool-call", "tool-return"])


async def streams_with(model):
    async with Agent(model).run_stream(QUESTION) as result:
        texts = [text async for text in result.stream_text(
            delta=True, debounce_by=None)]
    assert len(texts) > 1, texts


@call
def chat():
    chats_with(by_openai())


@call
async def stream():
    await streams_with(by_openai())


@call
def loop():
    loops_with(by_openai())


@call
async def loop_streamed():
    agent, asked = agent_of(by_openai())
    async with agent.run_stream_events(QUESTION) as events:
        kinds = [type(event) for event in [one async for one in events]]
    assert asked
    same((kinds.count(FunctionToolCallEvent),
          kinds.count(FunctionToolResultEvent)), (1, 1))


@call
def history():
    agent, _ = agent_of(by_openai())
    before = agent.run_sync(QUESTION)
    after = agent.run_sync("And then?",
                           message_history=before.all_messages())
    assert after.output and len(after.all_messages()) > len(
        before.all_messages())


@call
def structured_by_tool():
    result = Agent(by_openai(), output_type=Weather).run_sync(QUESTION)
    assert isinstance(result.output, Weather)


@call
def structured():
    result = Agent(by_openai(), output_type=NativeOutput(Weather)).run_sync(
        QUESTION)
    assert isinstance(result.output, Weather)


@call
def settings():
    result = Agent(by_openai()).run_sync(QUESTION, model_settings={
        "max_tokens": 20, "temperature": 0.2, "top_p": 0.9, "seed": 1,
        "presence_penalty": 0.5, "frequency_penalty": 0.5,
        "stop_sequences": ["!"], "parallel_tool_calls": False})
    assert result.output


@call
def image():
    try:
        Agent(by_openai()).run_sync(["What is this?", BinaryContent(
            base64.b64decode(IMAGE), media_type="image/png")])
    except ModelHTTPError as error:
        same(error.status_code, 400)
        assert "messages[0]" in str(error), error
    else:
        raise AssertionError("it was answered")


@call
def responses():
    chats_with(by_responses())


@call
async def responses_stream():
    await streams_with(by_responses())


@call
def responses_loop():
    loops_with(by_responses())


@call
def responses_structured():
    result = Agent(by_responses(), output_type=NativeOutput(Weather)).run_sync(
        QUESTION)
    assert isinstance(result.output, Weather)


@call
def ollama_loop():
    loops_with(by_ollama())


@call
def anthropic_chat():
    chats_with(by_anthropic())


@call
async def anthropic_stream():
    await streams_with(by_anthropic())


@call
def anthropic_loop():
    loops_with(by_anthropic())


@call
def anthropic_structured():
    result = Agent(by_anthropic(), output_type=Weather).run_sync(QUESTION)
    assert isinstance(result.output, Weather)


main("pydantic-ai-slim")
