"""Ollama's API as its clients see it: `flotilla-agent serve` over raw HTTP."""
import json
import os
import sys

import pytest

import sets
from test_local_api import NAME, ROOT, SEVERITY, Server

ANSWER = "severity: critical"
CHAT = [{"role": "user", "content": SEVERITY}]
STILL = {"temperature": 0}
TOOLS = [{"type": "function", "function": {
    "name": "look", "description": "look at a thing", "parameters": {
        "type": "object", "properties": {"at": {"type": "string"}}}}}]
SCHEMA = {"type": "object", "properties": {
    "a": {"enum": ["red", "green"]}}, "required": ["a"]}


@pytest.fixture(scope="module")
def server(bin_dir, folder):
    one = Server(bin_dir, folder)
    yield one
    one.close()


def call(server, path, body=None, method="POST"):
    """Status, content type, and the lines as JSON; each line is whole."""
    connection = server.connect()
    connection.request(method, "/api/" + path,
                       None if body is None else json.dumps(body))
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    assert text.endswith("\n")
    return (answer.status, answer.getheader("Content-Type"),
            [json.loads(line) for line in text.splitlines()])


def ask(server, path="chat", **fields):
    """An answer as one object."""
    body = {"model": NAME, "options": STILL, "stream": False, **fields}
    status, kind, lines = call(server, path, body)
    assert status == 200 and kind == "application/json", lines
    line, = lines
    return line


def refused(server, path, body, method="POST"):
    """Status and sentence."""
    status, kind, lines = call(server, path, body, method)
    line, = lines
    assert kind == "application/json" and line.keys() == {"error"}, line
    assert "; " in line["error"]  # what to do about it
    return status, line["error"]


def test_a_chat_is_a_stream_unless_it_says_otherwise(server):
    status, kind, lines = call(server, "chat", {
        "model": NAME + ":latest", "messages": CHAT, "options": STILL})
    assert status == 200 and kind == "application/x-ndjson"
    assert [line["done"] for line in lines] == [False] * (len(lines) - 1) \
        + [True]
    assert len(lines) > 2
    assert "".join(line["message"]["content"] for line in lines) == ANSWER
    last = lines[-1]
    assert last["done_reason"] == "stop"
    assert (last["prompt_eval_count"], last["eval_count"]) == (27, 3)
    assert last["total_duration"] >= last["eval_duration"] > 0
    assert all(line["created_at"].endswith("Z") for line in lines)
    whole = ask(server, messages=CHAT)
    assert whole["message"] == {"role": "assistant", "content": ANSWER}
    assert whole["done"] is True and whole["done_reason"] == "stop"


def test_a_generation_has_a_response(server):
    assert ask(server, "generate", prompt=SEVERITY)["response"] == ANSWER
    lines = call(server, "generate", {"model": NAME, "prompt": SEVERITY,
                                      "options": STILL})[2]
    assert "".join(line["response"] for line in lines) == ANSWER
    told = ask(server, "generate", prompt=SEVERITY, system="Answer.")
    assert told["prompt_eval_count"] > 27
    raw = ask(server, "generate", prompt=SEVERITY, raw=True)
    assert raw["prompt_eval_count"] < 27  # no template is around it


def test_an_empty_question_loads_the_model(server):
    for path, name in (("generate", "response"), ("chat", "message")):
        line = ask(server, path)
        assert line["done"] is True and line["done_reason"] == "load"
        assert line[name] in ("", {"role": "assistant", "content": ""})


def test_options_reach_the_sampler(server):
    cut = ask(server, messages=CHAT, options={**STILL, "num_predict": 1})
    assert cut["done_reason"] == "length" and cut["eval_count"] == 1
    free = ask(server, messages=CHAT, options={
        **STILL, "num_predict": -1, "num_ctx": 64, "top_k": 40.0,
        "num_thread": 1}, keep_alive="5m")
    assert free["message"]["content"] == ANSWER
    stopped = ask(server, messages=CHAT, options={**STILL, "stop": ":"})
    assert stopped["message"]["content"] == "severity"


def test_a_format_is_kept(server):
    by_schema = ask(server, messages=CHAT, format=SCHEMA)
    answer = json.loads(by_schema["message"]["content"])
    assert answer.keys() == {"a"} and answer["a"] in ("red", "green")
    by_schema = ask(server, "generate", prompt=SEVERITY, format=SCHEMA)
    assert json.loads(by_schema["response"]).keys() == {"a"}


def test_tools_may_stand_beside_a_chat(server):
    """Whether this small model calls is its own affair; a history with calls
    is read, and answers follow it."""
    with_tools = ask(server, messages=CHAT, tools=TOOLS)
    without = ask(server, messages=CHAT)
    assert with_tools["prompt_eval_count"] > without["prompt_eval_count"]
    history = CHAT + [
        {"role": "assistant", "content": "", "tool_calls": [
            {"function": {"name": "look", "arguments": {"at": "oven"}}}]},
        {"role": "tool", "tool_name": "look", "content": "hot"}]
    assert ask(server, messages=history, tools=TOOLS,
               options={"num_predict": 4})["done"] is True
    history[-1]["tool_name"] = "other"
    status, text = refused(server, "chat", {"model": NAME,
                                            "messages": history})
    assert status == 400 and "messages[2]" in text and "other" in text


def test_how_to_think_may_be_said(server):
    for think in (True, False, "low", "high"):
        line = ask(server, messages=CHAT, think=think)
        assert line["message"]["content"] == ANSWER
    status, text = refused(server, "chat", {"model": NAME, "messages": CHAT,
                                            "think": "much"})
    assert status == 400 and text.startswith("think must be")


def test_texts_become_vectors(server):
    both = ask(server, "embed", input=["a", "b"])["embeddings"]
    one = ask(server, "embed", input="a")
    assert len(both) == 2 and one["embeddings"] == [both[0]]
    assert one["prompt_eval_count"] == 1
    assert ask(server, "embeddings", prompt="a") == {"embedding": both[0]}
    short, = ask(server, "embed", input="a", dimensions=8)["embeddings"]
    assert len(short) == 8
    assert abs(sum(number * number for number in short) - 1) < 1e-5
    status, text = refused(server, "embed", {"model": NAME, "input": "a",
                                             "dimensions": 4096})
    assert status == 400 and "dimensions is 4096" in text
    status, text = refused(server, "embeddings", {"model": NAME,
                                                  "prompt": ["a", "b"]})
    assert status == 400 and text.startswith("prompt must be a text")


def test_models_are_listed_and_shown(server):
    listed, = call(server, "tags", None, "GET")[2][0]["models"]
    running, = call(server, "ps", None, "GET")[2][0]["models"]
    assert listed["name"] == listed["model"] == running["name"] == NAME
    assert len(listed["digest"]) == 64
    assert listed["details"]["format"] == "gguf"
    for field in ("model", "name"):
        shown = call(server, "show", {field: NAME + ":latest"})[2][0]
        assert {"completion", "tools", "embedding"} <= set(
            shown["capabilities"])
        assert shown["model_info"]["flotilla.context_length"] == \
            running["context_length"] == 512
    assert refused(server, "show", {"model": "other"})[0] == 404
    assert refused(server, "show", [])[0] == 400
    version = call(server, "version", None, "GET")[2][0]["version"]
    assert len(version.split(".")) == 3


@pytest.mark.parametrize("path, method", [
    ("pull", "POST"), ("push", "POST"), ("create", "POST"), ("copy", "POST"),
    ("delete", "DELETE")])
def test_models_come_by_releases_alone(server, path, method):
    status, text = refused(server, path, {"model": "other"}, method)
    assert status == 400 and "flotilla release create" in text


@pytest.mark.parametrize("fields, status, says", [
    ({"model": "gpt-4"}, 404, 'model "gpt-4" is not served'),
    ({"model": 7}, 400, "model must be a name"),
    ({"messages": 7}, 400, "messages must be a list"),
    ({"messages": [{"role": "user", "content": "a", "images": ["aa"]}]}, 400,
     "messages[0] has an image that is no base64"),
    ({"options": 7}, 400, "options must be an object"),
    ({"options": {"num_predict": 0}}, 400, "options.num_predict is 0"),
    ({"options": {"temperature": "a"}}, 400, "options.temperature must be"),
    ({"options": {"mirostat": 1}}, 400, "options.mirostat is not built"),
    ({"format": "xml"}, 400, "format must be"),
    ({"stream": 1}, 400, "stream must be"),
    ({"logprobs": True}, 400, "logprobs is not built")])
def test_a_refusal_has_ollamas_words(server, fields, status, says):
    body = {"model": NAME, "messages": CHAT, **fields}
    told, text = refused(server, "chat", body)
    assert told == status and text.startswith(says), text


def test_ollamas_own_client_is_answered(server):
    """Where the package `ollama` is installed."""
    sys.path += sets.fitting(os.path.join(ROOT, "build", "openai", "lib",
                                       "python3*", "site-packages"))
    ollama = pytest.importorskip("ollama")
    with open(os.path.join(os.path.dirname(server.socket), "token")) as file:
        token = file.read().strip()
    client = ollama.Client("http://127.0.0.1:%d" % server.port,
                           headers={"Authorization": "Bearer " + token})
    whole = client.chat(NAME, messages=CHAT, options=STILL)
    assert whole.message.content == ANSWER and whole.done
    pieces = client.chat(NAME, messages=CHAT, options=STILL, stream=True)
    assert "".join(piece.message.content for piece in pieces) == ANSWER
    assert client.generate(NAME, SEVERITY, options=STILL).response == ANSWER
    assert len(client.embed(NAME, ["a", "b"]).embeddings) == 2
    assert client.list().models[0].model == NAME
    assert client.ps().models[0].name == NAME
    assert "completion" in client.show(NAME).capabilities
    with pytest.raises(ollama.ResponseError, match="not served"):
        client.chat("other", messages=CHAT)
