"""Calls of tools that a runtime makes, through each front, plain and streamed:
one that can be made arrives, and no other one does."""
import json
import os

import pytest

from runtime_parts import Runtimes
from test_runtimes import fake, publish

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0, reason="files of runtimes.d belong to root")
ARGUMENTS = {"on": True, "room": "K\u00fcche"}
MADE = {"good": [["light", json.dumps(ARGUMENTS)]],
        "two": [["light", "{}"], ["wait", json.dumps(ARGUMENTS)]],
        "bare": [["wait", ""]]}
REFUSED = {"cut short": ([["light", '{"on": ']], "no JSON object"),
           "a list": ([["light", "{}"], ["wait", "[]"]], "no JSON object"),
           "other": ([["door", "{}"]], "called door, which is no tool")}


@pytest.fixture(scope="module")
def device(fleet):
    one = Runtimes(fleet)
    fake(one, abilities=["cancel", "tools"])
    answers = {name: {"calls": calls} for name, calls in MADE.items()}
    answers.update({name: {"calls": calls}
                    for name, (calls, _) in REFUSED.items()})
    answers["limit"] = {"calls": [["light", '{"on": ']], "finish": "length"}
    one.fleet.roll(publish(one, "1", "severity: low", more=answers))
    return one.device


def events(text):
    """Data of a stream's events, but for the last word of some."""
    return [json.loads(line[6:]) for line in text.split("\n")
            if line.startswith("data: {")]


class Chat:
    path = "/v1/chat/completions"

    @staticmethod
    def body(prompt):
        return {"messages": [{"role": "user", "content": prompt}], "tools": [
            {"type": "function", "function": {"name": name}}
            for name in ("light", "wait")]}

    @staticmethod
    def whole(answer):
        (choice,) = answer["choices"]
        return [(call["function"]["name"], call["function"]["arguments"])
                for call in choice["message"]["tool_calls"]], \
            choice["finish_reason"] == "tool_calls"

    @staticmethod
    def stream(text):
        calls, is_made = [], False
        for event in events(text):
            for choice in event.get("choices", []):
                is_made |= choice["finish_reason"] == "tool_calls"
                for delta in choice["delta"].get("tool_calls", []):
                    if delta["index"] == len(calls):
                        calls.append((delta["function"]["name"], ""))
                    name, said = calls[delta["index"]]
                    calls[delta["index"]] = (
                        name, said + delta["function"].get("arguments", ""))
        return calls, is_made


class Responses:
    path = "/v1/responses"

    @staticmethod
    def body(prompt):
        return {"input": prompt, "tools": [
            {"type": "function", "name": name} for name in ("light", "wait")]}

    @staticmethod
    def whole(answer):
        calls = [item for item in answer["output"]
                 if item["type"] == "function_call"]
        return [(call["name"], call["arguments"]) for call in calls], \
            answer["status"] == "completed"

    @staticmethod
    def stream(text):
        calls = [event["item"] for event in events(text)
                 if event["type"] == "response.output_item.done" and
                 event["item"]["type"] == "function_call" and
                 event["item"]["status"] == "completed"]
        return [(call["name"], call["arguments"]) for call in calls], \
            events(text)[-1]["type"] == "response.completed"


class Anthropic:
    path = "/v1/messages"

    @staticmethod
    def body(prompt):
        return {"max_tokens": 32,
                "messages": [{"role": "user", "content": prompt}],
                "tools": [{"name": name, "input_schema": {"type": "object"}}
                          for name in ("light", "wait")]}

    @staticmethod
    def whole(answer):
        return [(block["name"], block["input"]) for block in answer["content"]
                if block["type"] == "tool_use"], \
            answer["stop_reason"] == "tool_use"

    @staticmethod
    def stream(text):
        calls, is_made = [], False
        for event in events(text):
            if event["type"] == "content_block_start":
                calls.append([event["content_block"].get("name"), ""])
            elif event["type"] == "content_block_delta":
                calls[event["index"]][1] += event["delta"]["partial_json"]
            elif event["type"] == "message_delta":
                is_made = event["delta"]["stop_reason"] == "tool_use"
        return [tuple(call) for call in calls], is_made


class Ollama:
    path = "/api/chat"

    @staticmethod
    def body(prompt):
        return Chat.body(prompt)

    @staticmethod
    def whole(answer):
        return [(call["function"]["name"], call["function"]["arguments"])
                for call in answer["message"].get("tool_calls", [])], \
            answer["done"]

    @staticmethod
    def stream(text):
        lines = [json.loads(line) for line in text.splitlines()]
        return [call for line in lines if "message" in line
                for call in Ollama.whole({**line, "done": True})[0]], \
            lines[-1].get("done", False)


FRONTS = [Chat, Responses, Anthropic, Ollama]


def ask(device, front, prompt, is_stream):
    status, text = device.post(front.path, {
        "model": "desk", "stream": is_stream, **front.body(prompt)})
    return status, text.decode()


def value(arguments):
    return json.loads(arguments or "{}") if isinstance(arguments, str) \
        else arguments


@pytest.mark.parametrize("name", MADE)
@pytest.mark.parametrize("front", FRONTS)
def test_a_call_of_a_runtime_arrives(device, front, name):
    wanted = [(tool, value(arguments)) for tool, arguments in MADE[name]]
    status, text = ask(device, front, name, False)
    assert status == 200, text
    calls, is_made = front.whole(json.loads(text))
    assert is_made and [(n, value(a)) for n, a in calls] == wanted, text
    status, text = ask(device, front, name, True)
    calls, is_made = front.stream(text)
    assert is_made and [(n, value(a)) for n, a in calls] == wanted, text


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("front", FRONTS)
def test_a_call_that_cannot_be_made_is_an_error_that_names_the_runtime(
        device, front, name):
    says = REFUSED[name][1]
    status, text = ask(device, front, name, False)
    assert status >= 500 and "the runtime fake called" in text, text
    assert says in text
    status, text = ask(device, front, name, True)
    assert "the runtime fake called" in text and says in text
    if status == 200:
        assert not front.stream(text)[1], text
    status, text = ask(device, front, "good", False)
    assert status == 200  # the runtime goes on


@pytest.mark.parametrize("front", FRONTS)
def test_a_call_that_the_limit_cut_is_not_made(device, front):
    status, text = ask(device, front, "limit", False)
    assert status == 200, text
    assert not front.whole(json.loads(text))[1] or front is Ollama, text
    status, text = ask(device, front, "limit", True)
    assert not front.stream(text)[1] or front is Ollama, text
    if front is Ollama:
        last = json.loads(text.splitlines()[-1])
        assert last["done_reason"] == "length" and not front.stream(text)[0]
