"""Anthropic's messages over raw HTTP, against `flotilla-agent serve`.

The last tests run the vendor's own Python client, where it is installed."""
import json
import os
import sys

import pytest

import sets
from test_local_api import NAME, ROOT, SEVERITY, TOKEN, Server

PATH = "/v1/messages"
USER = {"role": "user", "content": SEVERITY}
TOOL = {"name": "weather", "description": "The weather of a place.",
        "input_schema": {"type": "object",
                         "properties": {"place": {"enum": ["Ulm", "Kiel"]}},
                         "required": ["place"]}}


@pytest.fixture(scope="module")
def server(bin_dir, folder):
    one = Server(bin_dir, folder)
    yield one
    one.close()


def body(**fields):
    return {"model": NAME, "max_tokens": 64, "temperature": 0,
            "messages": [USER], **fields}


def ask(server, **fields):
    status, _, answer = server.call("POST", PATH, body(**fields))
    assert status == 200, answer
    return answer


def stream(server, **fields):
    """The events of a stream, and the message that they add up to."""
    status, headers, text = server.call("POST", PATH,
                                        body(stream=True, **fields))
    assert status == 200, text
    assert headers["Content-Type"].startswith("text/event-stream")
    names, message, partial = [], None, {}
    for part in text.split("\n\n")[:-1]:
        first, second = part.split("\n")
        event = json.loads(second.removeprefix("data: "))
        assert first == "event: " + event["type"]
        names.append(event["type"])
        if event["type"] == "message_start":
            message = event["message"]
            assert message["content"] == []
        elif event["type"] == "content_block_start":
            assert event["index"] == len(message["content"])
            message["content"].append(event["content_block"])
        elif event["type"] == "content_block_delta":
            block, delta = message["content"][event["index"]], event["delta"]
            kind = delta.pop("type")
            if kind == "input_json_delta":
                partial[event["index"]] = (partial.get(event["index"], "")
                                           + delta["partial_json"])
            else:
                (key, value), = delta.items()
                assert kind == key + "_delta"
                block[key] += value
        elif event["type"] == "content_block_stop":
            if event["index"] in partial:
                message["content"][event["index"]]["input"] = json.loads(
                    partial[event["index"]])
        elif event["type"] == "message_delta":
            message.update(event["delta"])
            message["usage"] = event["usage"]
    return names, message


def without_ids(message):
    """As much of it as a second answer has too."""
    message = dict(message)
    assert message.pop("id").startswith("msg_")
    usage = message.pop("usage")
    content = [dict(block) for block in message["content"]]
    for block in content:
        if block["type"] == "tool_use":
            assert block.pop("id")
    return {**message, "content": content, "tokens": usage["output_tokens"],
            "read": usage["input_tokens"] + usage["cache_read_input_tokens"]}


def test_a_message_is_answered_by_a_message(server):
    answer = ask(server)
    assert answer["type"] == "message" and answer["role"] == "assistant"
    assert answer["model"].startswith(NAME)
    assert answer["content"] == [{"type": "text",
                                  "text": "severity: critical"}]
    assert answer["stop_reason"] == "end_turn"
    assert answer["stop_sequence"] is None
    cut = ask(server, stop_sequences=["never", ": cri"])
    assert cut["content"] == [{"type": "text", "text": "severity"}]
    assert cut["stop_reason"] == "stop_sequence"
    assert cut["stop_sequence"] == ": cri"
    _, _, chat = server.call("POST", "/v1/chat/completions", {
        "messages": [USER], "stop": [": cri"], "temperature": 0})
    assert chat["choices"][0]["finish_reason"] == "stop"
    short = ask(server, max_tokens=1)
    assert short["stop_reason"] == "max_tokens"
    assert short["usage"]["output_tokens"] == 1


def test_it_is_the_answer_of_the_chat_with_the_same_words(server):
    fields = {"max_tokens": 64, "temperature": 0}
    status, _, chat = server.call("POST", "/v1/chat/completions", {
        "messages": [{"role": "system", "content": "Be\nbrief."}, USER],
        **fields})
    assert status == 200
    answer = ask(server, system=[{"type": "text", "text": "Be"},
                                 {"type": "text", "text": "brief.",
                                  "cache_control": {"type": "ephemeral"}}],
                 messages=[{"role": "user", "content": [
                     {"type": "text", "text": SEVERITY}]}])
    text = "".join(block["text"] for block in answer["content"])
    assert text == chat["choices"][0]["message"]["content"]
    assert without_ids(answer)["read"] == chat["usage"]["prompt_tokens"]


def test_a_streams_events_add_up_to_the_whole_answer(server):
    names, message = stream(server)
    inner = names[2:-3]
    assert names[:2] == ["message_start", "content_block_start"]
    assert inner and set(inner) == {"content_block_delta"}
    assert names[-3:] == ["content_block_stop", "message_delta",
                          "message_stop"]
    assert without_ids(message) == without_ids(ask(server))


def test_any_tool_is_called_whole_and_in_a_stream(server):
    fields = {"tools": [TOOL, {"type": "web_search_20250305",
                               "name": "web_search"}],
              "tool_choice": {"type": "any",
                              "disable_parallel_tool_use": True}}
    answer = ask(server, **fields)
    (use,) = [b for b in answer["content"] if b["type"] == "tool_use"]
    assert use["name"] == "weather" and use["input"]["place"] in ("Ulm",
                                                                  "Kiel")
    assert answer["stop_reason"] == "tool_use"
    names, message = stream(server, **fields)
    assert names[-1] == "message_stop"
    assert without_ids(message) == without_ids(answer)


def test_a_history_with_the_result_of_a_tool_goes_on(server):
    answer = ask(server, tools=[TOOL],
                 tool_choice={"type": "tool", "name": "weather"})
    (use,) = [b for b in answer["content"] if b["type"] == "tool_use"]
    history = [USER, {"role": "assistant", "content": answer["content"]},
               {"role": "user", "content": [
                   {"type": "tool_result", "tool_use_id": use["id"],
                    "content": [{"type": "text", "text": "rain"}]},
                   {"type": "text", "text": SEVERITY}]}]
    after = ask(server, tools=[TOOL], tool_choice={"type": "none"},
                messages=history)
    assert after["stop_reason"] in ("end_turn", "max_tokens")
    assert (without_ids(after)["read"] > without_ids(answer)["read"])


def test_tokens_are_counted_as_a_message_reads_them(server):
    for fields in ({}, {"system": "Be brief."}, {"tools": [TOOL]}):
        whole = body(**fields)
        del whole["max_tokens"]
        status, _, count = server.call("POST", PATH + "/count_tokens", whole)
        assert status == 200
        assert count == {"input_tokens": without_ids(
            ask(server, **fields))["read"]}


def test_the_key_is_the_token(server):
    text = json.dumps(body())
    head = "Host: localhost\r\nContent-Length: %d\r\n" % len(text)
    for key, status in ((TOKEN, 200), (TOKEN + "x", 401), ("", 401)):
        got = server.tcp(head + "x-api-key: %s\r\n" % key
                         + "Connection: close\r\n\r\n" + text + "\r\n", PATH,
                         "POST")
        assert got == status, key


@pytest.mark.parametrize("fields, status, kind, says", [
    ({"max_tokens": None}, 400, "invalid_request_error", "max_tokens"),
    ({"model": "no-such"}, 404, "not_found_error", "no-such"),
    ({"temperature": 1.5}, 400, "invalid_request_error", "from 0 to 1"),
    ({"stop_sequences": ["a"] * 5}, 400, "invalid_request_error",
     "stop_sequences must be at most 4"),
    ({"tool_choice": {"type": "any"}}, 400, "invalid_request_error",
     "tool_choice is required"),
])
def test_an_error_names_the_field_in_its_api(server, fields, status, kind,
                                             says):
    got, _, answer = server.call("POST", PATH, body(**fields))
    assert got == status
    assert answer["type"] == "error"
    assert answer["error"]["type"] == kind
    assert says in answer["error"]["message"]


def test_paths_beside_it_answer_in_the_same_form(server):
    status, _, answer = server.call("POST", PATH + "/batches", {})
    assert status == 404 and answer["error"]["type"] == "not_found_error"
    status, _, answer = server.call("GET", PATH)
    assert status == 405 and answer["type"] == "error"


# ---- the vendor's own client ----

@pytest.fixture(scope="module")
def client(server):
    sys.path += sets.fitting(os.path.join(ROOT, "build", "openai", "lib",
                                       "python3*", "site-packages"))
    anthropic = pytest.importorskip(
        "anthropic", reason="no python package 'anthropic': "
        "deploy/install-deps.sh --optional")
    with anthropic.Anthropic(base_url="http://127.0.0.1:%d" % server.port,
                             api_key=TOKEN, max_retries=0) as one:
        yield one


def test_the_vendors_client_reads_a_message_and_a_stream(server, client):
    fields = {"model": NAME, "max_tokens": 64, "messages": [USER],
              "tools": [TOOL], "tool_choice": {"type": "any"},
              "extra_body": {"temperature": 0}}
    whole = client.messages.create(**fields)
    with client.messages.stream(**fields) as one:
        final = one.get_final_message()
    assert [b.type for b in final.content] == [b.type for b in whole.content]
    assert final.content[-1].input == whole.content[-1].input
    assert final.stop_reason == whole.stop_reason
    counted = client.messages.count_tokens(
        model=NAME, messages=[USER], tools=[TOOL])
    assert counted.input_tokens > 0
