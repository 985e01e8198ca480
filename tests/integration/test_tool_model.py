"""A model that learned tools calls what was asked for, and nothing more."""
import json
import os

import pytest

from test_local_api import ROOT, Server
from test_tools import call_of, streamed

MODELS = os.path.join(ROOT, "tests", "models")
with open(os.path.join(MODELS, "tools", "prompts.jsonl")) as file:
    PROMPTS = [json.loads(line) for line in file]


# Lines that the model answers right by a margin, whatever the kernels.
ONE_CALL = (11, 16, 50, 84, 126, 142, 176, 181, 194, 196)
TWO_CALLS = (28, 127, 179)
NO_CALL = (3, 8, 54, 80, 163)
ALIKE = 31  # send_alert next to set_heating


@pytest.fixture(scope="module")
def server(bin_dir, tmp_path_factory):
    server = Server(bin_dir, str(tmp_path_factory.mktemp("tools")),
                    model=os.path.join(MODELS, "tiny-tools.Q8_0.gguf"),
                    options=("--context", "1024"))
    yield server
    server.close()


def fields_of(line):
    return {"messages": [{"role": "user", "content": line["prompt"]}],
            "tools": line["tools"], "tool_choice": "auto", "max_tokens": 120}


def ask(server, **fields):
    status, _, answer = server.chat(**fields)
    assert status == 200, answer
    return answer


def test_a_held_out_request_is_called_right_plain_and_streamed(server):
    for line in [PROMPTS[i] for i in ONE_CALL + TWO_CALLS]:
        due = [(c["name"], c["arguments"]) for c in line["calls"]]
        fields = fields_of(line)
        assert call_of(ask(server, **fields)) == due, line["prompt"]
        assert streamed(server, **fields) == due, line["prompt"]


def test_tools_whose_names_begin_alike_are_told_apart(server):
    line = PROMPTS[ALIKE]
    (called, _), = call_of(ask(server, **fields_of(line)))
    assert called == "send_alert"


def test_a_request_that_no_tool_fits_is_answered_in_words(server):
    for line in [PROMPTS[i] for i in NO_CALL]:
        choice = ask(server, **fields_of(line))["choices"][0]
        assert choice["finish_reason"] == "stop"
        assert choice["message"]["content"] == line["text"]
        assert "tool_calls" not in choice["message"]


def test_a_result_is_told_in_words(server):
    tools = [t for p in PROMPTS for t in p["tools"]
             if t["function"]["name"] == "get_temperature"][:1]
    asked = {"role": "user", "content": "How warm is it in the kitchen?"}
    answer = ask(server, messages=[asked], tools=tools)
    (name, arguments), = call_of(answer)
    assert name == "get_temperature" and arguments == {"room": "kitchen"}
    message = answer["choices"][0]["message"]
    then = ask(server, tools=tools, messages=[asked, message, {
        "role": "tool", "tool_call_id": message["tool_calls"][0]["id"],
        "content": '{"celsius": 21}'}])
    choice = then["choices"][0]
    assert choice["finish_reason"] == "stop"
    assert choice["message"]["content"].startswith("It is 21 degrees in the ")
