"""The package `openai-agents`."""
import agents
import openai
from pydantic import BaseModel

from parts import KEY, MODEL, QUESTION, URL, call, main, same

client = openai.AsyncOpenAI(base_url=URL + "/v1", api_key=KEY, max_retries=0)
agents.set_tracing_disabled(True)  # it would send what was said elsewhere
asked = []


class Weather(BaseModel):
    """The weather of a city."""
    city: str


@agents.function_tool
def get_weather(city: str) -> str:
    """The weather of a city."""
    asked.append(city)
    return "rain in " + city


def by_chat():
    return agents.OpenAIChatCompletionsModel(model=MODEL, openai_client=client)


def by_responses():
    return agents.OpenAIResponsesModel(model=MODEL, openai_client=client)


def agent_of(model, **fields):
    return agents.Agent(name="Forecaster", instructions="Be brief.",
                        model=model, **fields)


async def chats_with(model):
    result = await agents.Runner.run(agent_of(model), QUESTION)
    assert result.final_output and isinstance(result.final_output, str)


async def streams_with(model):
    result = agents.Runner.run_streamed(agent_of(model), QUESTION)
    kinds = [event.data.type async for event in result.stream_events()
             if event.type == "raw_response_event"]
    assert kinds.count("response.output_text.delta") > 1, kinds
    assert result.final_output


async def loops_with(model):
    asked.clear()
    result = await agents.Runner.run(agent_of(model, tools=[get_weather]),
                                     QUESTION)
    assert asked and result.final_output
    same([item.type for item in result.new_items],
         ["tool_call_item", "tool_call_output_item", "message_output_item"])


async def loops_in_a_stream_with(model):
    asked.clear()
    result = agents.Runner.run_streamed(agent_of(model, tools=[get_weather]),
                                        QUESTION)
    names = [event.name async for event in result.stream_events()
             if event.type == "run_item_stream_event"]
    assert asked and result.final_output
    same(names, ["tool_called", "tool_output", "message_output_created"])


async def structures_with(model):
    result = await agents.Runner.run(agent_of(model, output_type=Weather),
                                     QUESTION)
    assert isinstance(result.final_output, Weather)


@call
async def chat():
    await chats_with(by_chat())


@call
async def stream():
    await streams_with(by_chat())


@call
async def loop():
    await loops_with(by_chat())


@call
async def loop_streamed():
    await loops_in_a_stream_with(by_chat())


@call
async def history():
    first = await agents.Runner.run(agent_of(by_chat(), tools=[get_weather]),
                                    QUESTION)
    said = first.to_input_list() + [{"role": "user", "content": "And then?"}]
    assert (await agents.Runner.run(agent_of(by_chat()), said)).final_output


@call
async def required():
    """The choice is reset after the call, so that the loop ends."""
    asked.clear()
    result = await agents.Runner.run(agent_of(
        by_chat(), tools=[get_weather], model_settings=agents.ModelSettings(
            tool_choice="required", parallel_tool_calls=False)), QUESTION)
    assert asked and result.final_output


@call
async def structured():
    await structures_with(by_chat())


@call
async def responses():
    await chats_with(by_responses())


@call
async def responses_stream():
    await streams_with(by_responses())


@call
async def responses_loop():
    await loops_with(by_responses())


@call
async def responses_loop_streamed():
    await loops_in_a_stream_with(by_responses())


@call
async def responses_structured():
    await structures_with(by_responses())


main("openai-agents")
