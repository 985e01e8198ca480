"""The package `anthropic`."""
import anthropic
from pydantic import BaseModel

from parts import (ASKED, CITY, IMAGE, KEY, MODEL, URL, call, is_city, main,
                   refused, same)

client = anthropic.Anthropic(base_url=URL, api_key=KEY, max_retries=0)
TOOL = {"name": "get_weather", "description": "The weather of a city.",
        "input_schema": CITY}
STILL = {"model": MODEL, "max_tokens": 400, "messages": ASKED}


class Weather(BaseModel):
    """The weather of a city."""
    city: str


@call
def models():
    assert MODEL in {one.id for one in client.models.list()}


@call
def chat():
    message = client.messages.create(system="Be brief.", **STILL)
    same((message.role, message.stop_reason), ("assistant", "end_turn"))
    assert message.content[0].text and message.usage.output_tokens


@call
def stream():
    with client.messages.stream(**STILL) as one:
        texts = list(one.text_stream)
        message = one.get_final_message()
    assert len(texts) > 1
    same("".join(texts), message.content[0].text)
    same(message.stop_reason, "end_turn")


@call
async def asynchronous():
    async with anthropic.AsyncAnthropic(base_url=URL, api_key=KEY) as one:
        message = await one.messages.create(**STILL)
        same(message.type, "message")


@call
def tool():
    message = client.messages.create(tools=[TOOL], **STILL)
    same(message.stop_reason, "tool_use")
    same(message.content[-1].name, "get_weather")
    is_city(message.content[-1].input)


@call
def tool_streamed():
    with client.messages.stream(tools=[TOOL], **STILL) as one:
        kinds = [event.type for event in one]
        message = one.get_final_message()
    assert "input_json" in kinds, kinds
    same(message.stop_reason, "tool_use")
    is_city(message.content[-1].input)


@call
def loop():
    asked = client.messages.create(tools=[TOOL], **STILL)
    use = asked.content[-1]
    said = ASKED + [
        {"role": "assistant", "content": asked.content},
        {"role": "user", "content": [{
            "type": "tool_result", "tool_use_id": use.id,
            "content": "rain"}]}]
    message = client.messages.create(tools=[TOOL], model=MODEL, messages=said,
                                     max_tokens=400)
    same(message.stop_reason, "end_turn")
    assert message.content[0].text


@call
def tool_runner():
    asked = []

    @anthropic.beta_tool
    def get_weather(city: str) -> str:
        """The weather of a city.

        Args:
            city: its name
        """
        asked.append(city)
        return "rain"
    runner = client.beta.messages.tool_runner(tools=[get_weather], **STILL)
    assert runner.until_done().content[0].text and asked


@call
def structured():
    message = client.messages.parse(output_format=Weather, **STILL)
    assert isinstance(message.parsed_output, Weather)


@call
def count_tokens():
    counted = client.messages.count_tokens(model=MODEL, messages=ASKED,
                                           tools=[TOOL])
    assert counted.input_tokens > client.messages.count_tokens(
        model=MODEL, messages=ASKED).input_tokens


@call
def image():
    refused(anthropic.BadRequestError, "image", lambda: client.messages.create(
        model=MODEL, max_tokens=10, messages=[{"role": "user", "content": [
            {"type": "image", "source": {
                "type": "base64", "media_type": "image/png",
                "data": IMAGE}}]}]))


main("anthropic")
