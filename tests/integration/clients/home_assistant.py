"""Home Assistant's Ollama integration, as its source of 2026.11.0 makes its calls.

Home Assistant itself is not here.  These are the calls of its folder
homeassistant/components/ollama with their arguments, order and bounds:
config_flow.py lists and lets a model be chosen, __init__.py lists, entity.py
chats with tools in a stream until no call is open, ai_task.py asks for an
object.  Its manifest names the client `ollama` 0.6.2."""
import asyncio
import json

import ollama

from parts import KEY, URL, call, main, same

LIGHT = "Paris"  # the name that the model says: ../reciter.py
ROUNDS_MAX = 10  # MAX_TOOL_ITERATIONS


def intent(name, says):
    """A tool as the Assist API gives it: each slot may be left out."""
    return {"type": "function", "function": {
        "name": name, "description": says, "parameters": {
            "type": "object", "properties": {
                "name": {"type": "string"}, "area": {"type": "string"},
                "floor": {"type": "string"},
                "domain": {"type": "array", "items": {"type": "string"}},
                "device_class": {"type": "array", "items": {
                    "type": "string", "enum": ["outlet", "switch"]}}},
            "required": []}}}


TOOLS = [intent("HassTurnOn", "Turns on/opens/presses a device or entity"),
         intent("HassTurnOff", "Turns off/closes a device or entity"),
         {"type": "function", "function": {
             "name": "GetLiveContext", "parameters": {
                 "type": "object", "properties": {}, "required": []}}}]
PROMPT = """You are a voice assistant for Home Assistant.
Static Context: An overview of the areas and the devices in this smart home:
- names: %s
  domain: light
  areas: Kitchen
""" % LIGHT


def client_of(key=KEY):
    return ollama.AsyncClient(host=URL, headers={
        "Authorization": "Bearer " + key})


class House:
    """A light, and the talk about it."""

    def __init__(self, model):
        self.model = model
        self.is_on = {LIGHT: None}
        self.said = [ollama.Message(role="system", content=PROMPT)]

    def do(self, made):
        """The result of a call; it names neither its tool nor its call."""
        name = made["function"]["name"]
        arguments = made["function"]["arguments"]
        assert name in ("HassTurnOn", "HassTurnOff"), name
        assert arguments["name"] in self.is_on, arguments
        self.is_on[arguments["name"]] = name == "HassTurnOn"
        return ollama.Message(role="tool", content=json.dumps(
            {"data": {"speech": {}, "response_type": "action_done"},
             "error": None}))

    async def hear(self, text):
        self.said.append(ollama.Message(role="user", content=text))
        for _ in range(ROUNDS_MAX):
            stream = await client_of().chat(
                model=self.model, messages=list(self.said), tools=TOOLS,
                stream=True, keep_alive=-1, options={"num_ctx": 8192},
                think=False, format=None)
            content, calls = "", []
            async for response in stream:
                message = response["message"]
                calls += message.get("tool_calls") or []
                content += message.get("content") or ""
            self.said.append(ollama.Message(
                role="assistant", content=content, tool_calls=[
                    ollama.Message.ToolCall(
                        function=ollama.Message.ToolCall.Function(
                            name=made["function"]["name"],
                            arguments=made["function"]["arguments"]))
                    for made in calls] or None))
            self.said += [self.do(made) for made in calls]
            if not calls:
                return content
        raise AssertionError("it called without an end")


@call
async def a_wrong_key_is_told_as_such():
    try:
        await client_of("wrong").list()
    except ollama.ResponseError as error:
        assert error.status_code in (401, 403), error
    else:
        raise AssertionError("it was answered")


@call
async def the_models_are_there_to_choose():
    listed = await client_of().list()
    assert {"on", "off"} <= {one["model"] for one in listed.get("models", [])}
    installed, loaded = await asyncio.gather(client_of().list(),
                                             client_of().ps())
    assert {one.model for one in loaded.models} <= {
        one.model for one in installed.models}


@call
async def a_model_that_is_not_there_is_not_pulled():
    try:
        await client_of().pull("llama3.2:latest")
    except ollama.ResponseError as error:
        assert "release create" in str(error), error
    else:
        raise AssertionError("it was answered")


async def switches(model, wanted):
    house = House(model)
    for _ in range(2):  # the talk goes on behind the first answer
        house.is_on[LIGHT] = not wanted
        assert await house.hear("Switch the light.")
        assert house.is_on[LIGHT] is wanted
    same([message.role for message in house.said], ["system"] + 2 * [
        "user", "assistant", "tool", "assistant"])


@call
async def a_light_is_switched_on():
    await switches("on", True)


@call
async def a_light_is_switched_off():
    await switches("off", False)


@call
async def a_task_gets_its_object():
    stream = await client_of().chat(
        model="on", messages=[
            ollama.Message(role="system", content="Do as told."),
            ollama.Message(role="user", content="What is the room?")],
        tools=None, stream=True, keep_alive="60s", options={"num_ctx": 8192},
        think=None, format={
            "type": "object", "properties": {
                "room": {"type": "string"}, "count": {"type": "integer"}},
            "required": ["room", "count"]})
    text = "".join([piece.message.content async for piece in stream])
    same(set(json.loads(text)), {"room", "count"})


main("ollama")
