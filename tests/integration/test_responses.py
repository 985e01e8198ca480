"""OpenAI's responses over raw HTTP, against `flotilla-agent serve`: whole, in
streams, kept and gone on with, and the requests of Open Responses' compliance
tests.

The last tests run the vendor's own Python client, where it is installed."""
import http.client
import json
import os
import signal
import sys

import pytest

import sets
from responses_parts import check, read_stream, told, without_ids, wrong
from responses_parts import COMPLIANCE, ITEM, complies
from test_apps import SECRETS, write_rules
from test_local_api import NAME, ROOT, SEVERITY, TOKEN, Server
from waits import HANG_S, same, stopped, until

PATH = "/v1/responses"
ANSWER = "severity: critical"
TOOL = {"type": "function", "name": "weather", "description": "The weather.",
        "parameters": {"type": "object",
                       "properties": {"place": {"enum": ["Ulm", "Kiel"]}},
                       "required": ["place"]}}


@pytest.fixture(scope="module")
def server(bin_dir, folder):
    rules = write_rules(folder, tokens={"shop": {}, "night": {}})
    one = Server(bin_dir, folder, options=("--rules", rules))
    yield one
    one.close()


def body(**fields):
    return {"model": NAME, "temperature": 0, "input": SEVERITY, **fields}


def ask(server, **fields):
    status, _, answer = server.call("POST", PATH, body(**fields))
    assert status == 200, answer
    return check(answer)


def stream(server, **fields):
    status, headers, text = server.call("POST", PATH,
                                        body(stream=True, **fields))
    assert status == 200, text
    assert headers["Content-Type"].startswith("text/event-stream")
    kinds, last = read_stream(text)
    return kinds, check(last)


def as_app(server, app, method, path, fields=None):
    connection = http.client.HTTPConnection("127.0.0.1", server.port,
                                            timeout=HANG_S)
    connection.request(method, path, fields and json.dumps(fields),
                       {"Authorization": "Bearer " + SECRETS[app]})
    answer = connection.getresponse()
    got = answer.status, json.loads(answer.read())
    connection.close()
    return got


def text_of(response):
    return "".join(told(item) for item in response["output"]
                   if item["type"] == "message")


# ---- one answer ----

def test_a_text_is_answered_by_a_message(server):
    answer = ask(server)
    (message,) = answer["output"]
    assert message["role"] == "assistant" and told(message) == ANSWER
    assert answer["status"] == message["status"] == "completed"
    assert answer["model"] == NAME + "@local" and not answer["store"]
    assert answer["created_at"] <= answer["completed_at"]
    short = ask(server, max_output_tokens=1)
    assert short["status"] == "incomplete" and short["completed_at"] is None
    assert short["incomplete_details"] == {"reason": "max_output_tokens"}
    assert short["usage"]["output_tokens"] == 1


def test_it_is_the_answer_of_the_chat_with_the_same_words(server):
    status, _, chat = server.chat(messages=[
        {"role": "system", "content": "Be\nbrief."},
        {"role": "user", "content": SEVERITY}])
    assert status == 200
    answer = ask(server, instructions="Be", input=[
        {"role": "developer", "content": "brief."},
        {"role": "user", "content": [
            {"type": "input_text", "text": SEVERITY}]}])
    assert text_of(answer) == chat["choices"][0]["message"]["content"]
    assert answer["usage"]["input_tokens"] == chat["usage"]["prompt_tokens"]
    assert answer["usage"]["total_tokens"] == chat["usage"]["total_tokens"]


def test_a_streams_events_add_up_to_the_whole_answer(server):
    kinds, last = stream(server)
    inner = kinds[4:-4]
    assert kinds[2:4] == ["response.output_item.added",
                          "response.content_part.added"]
    assert inner and set(inner) == {"response.output_text.delta"}
    assert kinds[-4:] == ["response.output_text.done",
                          "response.content_part.done",
                          "response.output_item.done", "response.completed"]
    assert without_ids(last) == without_ids(ask(server))
    kinds, last = stream(server, max_output_tokens=2)
    assert kinds[-1] == "response.incomplete"
    assert last["output"][0]["status"] == "incomplete"


def test_a_tool_is_called_and_its_result_goes_on(server):
    fields = {"tools": [{"type": "web_search"}, TOOL,
                        {"type": "mcp", "server_label": "x",
                         "server_url": "https://x.example"}],
              "tool_choice": "required", "parallel_tool_calls": False}
    answer = ask(server, **fields)
    (call,) = [one for one in answer["output"]
               if one["type"] == "function_call"]
    assert call["name"] == "weather"
    assert json.loads(call["arguments"])["place"] in ("Ulm", "Kiel")
    assert answer["skipped_tools"] == ["web_search", "mcp"]
    assert [one["name"] for one in answer["tools"]] == ["weather"]
    kinds, last = stream(server, **fields)
    assert "response.function_call_arguments.delta" in kinds
    assert without_ids(last) == without_ids(answer)
    after = ask(server, tools=[TOOL], tool_choice="none",
                max_output_tokens=8, input=[
                    {"role": "user", "content": SEVERITY}, *answer["output"],
                    {"type": "function_call_output",
                     "call_id": call["call_id"], "output": "rain"}])
    assert (after["usage"]["input_tokens"]
            > answer["usage"]["input_tokens"])
    assert all(one["type"] == "message" for one in after["output"])


def test_an_answer_keeps_a_schema(server):
    schema = {"type": "object", "properties": {
        "severity": {"enum": ["info", "critical"]}}, "required": ["severity"]}
    form = {"type": "json_schema", "name": "alert", "schema": schema,
            "strict": True}
    answer = ask(server, text={"format": form}, max_output_tokens=60)
    assert json.loads(text_of(answer)).keys() == {"severity"}
    assert answer["text"]["format"]["schema"] == schema
    answer = ask(server, text={"format": {"type": "json_object"}},
                 max_output_tokens=60)
    assert isinstance(json.loads(text_of(answer)), dict)


def test_what_was_asked_is_repeated(server):
    given = {"instructions": "Be brief.", "metadata": {"k": "v"},
             "temperature": 0.5, "top_p": 0.5, "max_output_tokens": 4,
             "max_tool_calls": 3, "truncation": "auto", "user": "u",
             "safety_identifier": "s", "prompt_cache_key": "c",
             "service_tier": "priority", "store": True,
             "tool_choice": {"type": "function", "name": "weather"}}
    answer = ask(server, tools=[TOOL], **given)
    assert {key: answer[key] for key in given} == given
    assert answer["tools"] == [{**TOOL, "strict": True}]


def test_a_conversation_that_is_too_long_loses_its_begin(server):
    long = [{"role": "user", "content": "%d " % i * 50} for i in range(20)]
    status, _, answer = server.call("POST", PATH, body(input=long))
    assert status == 400
    assert answer["error"]["code"] == "context_length_exceeded"
    assert answer["error"]["param"] == "input"
    shorter = ask(server, input=long, truncation="auto", max_output_tokens=2)
    last = ask(server, input=long[-1:], max_output_tokens=2)
    assert 512 > shorter["usage"]["input_tokens"] > \
        last["usage"]["input_tokens"]
    one = [{"role": "user", "content": "1 " * 2000}]
    assert server.call("POST", PATH, body(
        input=one, truncation="auto"))[0] == 400


def test_tokens_are_counted_as_an_answer_reads_them(server):
    for fields in ({}, {"instructions": "Be brief."}, {"tools": [TOOL]}):
        status, _, count = server.call("POST", PATH + "/input_tokens",
                                       body(**fields))
        assert status == 200
        assert count == {
            "object": "response.input_tokens",
            "input_tokens": ask(server, max_output_tokens=1, **fields)[
                "usage"]["input_tokens"]}


@pytest.mark.parametrize("fields, status, param, says", [
    ({"input": None}, 400, "input", "input must be a text"),
    ({"model": "no-such"}, 404, "model", "no-such"),
    ({"max_output_tokens": 0}, 400, "max_output_tokens",
     "max_output_tokens is 0"),
    ({"tool_choice": "required"}, 400, "tool_choice", "there are no tools"),
    ({"background": True}, 400, "background", "not built"),
    ({"text": {"format": {"type": "x"}}}, 400, "text.format",
     "text.format must have a type"),
    ({"input": [{"role": "user", "content": [
        {"type": "input_file", "file_id": "f"}]}]}, 400, "input",
     "input[0] has a content part of type \"input_file\": the model reads "
     "text alone"),
    ({"input": [{"type": "item_reference", "id": "x"}]}, 404, "input",
     "input[0] refers to \"x\", an item of no stored response"),
    ({"input": [{"type": "web_search_call", "id": "x"}]}, 400, "input",
     "input[0] has the type \"web_search_call\", which is not built"),
])
def test_an_error_names_the_field_in_openais_shape(server, fields, status,
                                                   param, says):
    for more in ({}, {"stream": True}):
        got, _, answer = server.call("POST", PATH, body(**fields, **more))
        assert got == status
        assert answer["error"]["param"] == param
        assert answer["error"]["type"] == "invalid_request_error"
        assert says in answer["error"]["message"]


# ---- kept responses ----

def test_nothing_is_kept_unless_a_client_asks_for_it(server):
    for fields in ({}, {"store": False}):
        one = ask(server, **fields)
        assert server.call("GET", PATH + "/" + one["id"])[0] == 404
        assert server.call("POST", PATH, body(
            previous_response_id=one["id"]))[0] == 404


def test_a_kept_response_is_shown_gone_on_with_and_deleted(server):
    one = ask(server, store=True, instructions="Be brief.")
    path = PATH + "/" + one["id"]
    assert server.call("GET", path)[2] == one
    assert server.call("POST", path + "/cancel", {})[2] == one
    kinds, two = stream(server, input="Why?", store=True,
                        previous_response_id=one["id"], max_output_tokens=4)
    assert two["previous_response_id"] == one["id"]
    assert two["instructions"] is None
    by_hand = ask(server, max_output_tokens=4, input=[
        {"role": "user", "content": SEVERITY}, *one["output"],
        {"role": "user", "content": "Why?"}])
    assert two["output"][0]["content"] == by_hand["output"][0]["content"]
    assert two["usage"]["input_tokens"] == by_hand["usage"]["input_tokens"]
    status, _, gone = server.call("DELETE", path)
    assert status == 200
    assert gone == {"id": one["id"], "object": "response", "deleted": True}
    for method in ("GET", "DELETE"):
        assert server.call(method, path)[0] == 404
    # The next one has all that it needs.
    assert server.call("GET", PATH + "/" + two["id"])[2] == two
    ask(server, input="And?", previous_response_id=two["id"],
        max_output_tokens=1)


def test_half_of_a_call_is_no_part_of_what_goes_on(server):
    tool = dict(TOOL, parameters={
        "type": "object", "properties": {"text": {"type": "string",
                                                  "minLength": 200}},
        "required": ["text"]})
    one = ask(server, store=True, tools=[tool], tool_choice="required",
              max_output_tokens=40)
    assert one["status"] == "incomplete"
    assert one["output"][-1]["type"] == "function_call"
    two = ask(server, input="Go on.", previous_response_id=one["id"],
              max_output_tokens=4)
    assert two["previous_response_id"] == one["id"]


def test_no_more_tools_are_allowed_than_there_may_be(server):
    for tools, wanted in (([1] * 513, 400), ([TOOL] * 512, 200)):
        status = server.call("POST", PATH, body(
            tools=[TOOL], max_output_tokens=40, tool_choice={
                "type": "allowed_tools", "mode": "auto",
                "tools": tools}))[0]
        assert status == wanted


def test_input_items_are_listed_in_pages(server):
    one = ask(server, store=True, max_output_tokens=1, input=[
        {"role": "user", "content": "item %d" % i} for i in range(5)])
    path = PATH + "/" + one["id"] + "/input_items"

    def page(query=""):
        status, _, answer = server.call("GET", path + query)
        assert status == 200 and answer["object"] == "list"
        for item in answer["data"]:
            assert wrong(item, ITEM, "item") is None
        texts = [told(item) for item in answer["data"]]
        if texts:
            assert answer["first_id"] == answer["data"][0]["id"]
            assert answer["last_id"] == answer["data"][-1]["id"]
        return texts, answer["has_more"], answer["last_id"]
    texts, more, _ = page("?order=asc")
    assert texts == ["item %d" % i for i in range(5)] and not more
    assert page()[0] == texts[::-1]
    begin, more, last = page("?order=asc&limit=2")
    assert begin == texts[:2] and more
    assert page("?order=asc&after=" + last)[:2] == (texts[2:], False)
    for query in ("?limit=0", "?limit=x", "?limit=101", "?order=up",
                  "?limit=-18446744073709551615", "?after=none"):
        assert server.call("GET", path + query)[0] == 400


def test_items_of_kept_responses_are_referred_to(server):
    """As a vendor's SDK does it, which takes them to be kept."""
    one = ask(server, store=True, tools=[TOOL], tool_choice="required",
              parallel_tool_calls=False)
    call = one["output"][-1]
    result = {"type": "function_call_output", "call_id": call["call_id"],
              "output": "rain"}
    more = {"tools": [TOOL], "tool_choice": "none", "max_output_tokens": 2}
    user = {"role": "user", "content": SEVERITY}
    by_id = ask(server, input=[user, *(
        {"type": "item_reference", "id": item["id"]}
        for item in one["output"]), result], **more)
    whole = ask(server, input=[user, *one["output"], result], **more)
    assert without_ids(by_id) == without_ids(whole)
    assert by_id["usage"]["input_tokens"] == whole["usage"]["input_tokens"]
    status, error = as_app(server, "shop", "POST", PATH, body(input=[
        {"type": "item_reference", "id": call["id"]}]))
    assert status == 404 and error["error"]["param"] == "input"


def test_another_clients_response_is_as_absent_as_any(server):
    fields = body(store=True, max_output_tokens=1)
    status, one = as_app(server, "shop", "POST", PATH, fields)
    assert status == 200
    path = PATH + "/" + one["id"]
    more = body(previous_response_id=one["id"], max_output_tokens=1)
    calls = [("GET", path, None), ("DELETE", path, None),
             ("GET", path + "/input_items", None),
             ("POST", path + "/cancel", {}), ("POST", PATH, more)]
    foreign = []
    for method, place, fields in calls:
        status, error = as_app(server, "night", method, place, fields)
        assert status == 404 and error["error"]["code"] == "rest.not_found"
        foreign.append(error)
    assert as_app(server, "shop", "POST", PATH, more)[0] == 200
    assert as_app(server, "shop", "GET", path)[1] == one
    assert as_app(server, "shop", "DELETE", path)[0] == 200
    assert foreign == [as_app(server, "shop", *call)[1] for call in calls]


def test_kept_responses_are_listed_and_the_owner_ends_those_of_all(server):
    for one in server.call("GET", PATH)[2]["data"]:
        assert server.call("DELETE", PATH + "/" + one["id"])[0] == 200
    fields = body(store=True, max_output_tokens=1)
    of_shop = as_app(server, "shop", "POST", PATH, fields)[1]["id"]
    of_night = as_app(server, "night", "POST", PATH, fields)[1]["id"]
    own = ask(server, store=True, max_output_tokens=1)["id"]

    def listed(query=""):
        answer = server.call("GET", PATH + query)[2]
        return [(one["id"], one.get("app")) for one in answer["data"]]
    assert listed() == [(own, None), (of_night, "night"), (of_shop, "shop")]
    assert listed("?order=asc&limit=1&after=" + of_shop) == [
        (of_night, "night")]
    status, answer = as_app(server, "shop", "GET", PATH)
    assert status == 200 and not answer["has_more"]
    (only,) = answer["data"]
    assert only["id"] == of_shop and "app" not in only
    assert only["object"] == "response" and only["bytes"] > 0
    assert as_app(server, "shop", "GET", PATH + "?limit=0")[0] == 400
    assert server.call("GET", PATH + "/" + of_shop)[2]["id"] == of_shop
    assert server.call("DELETE", PATH + "/" + of_shop)[0] == 200
    assert as_app(server, "shop", "GET", PATH)[1]["data"] == []
    assert listed() == [(own, None), (of_night, "night")]


# ---- ends ----

def under_way(server, **fields):
    """A stream whose engine stands still, the socket, and the first event."""
    def begun():
        connection = server.connect()
        connection.request("POST", PATH, json.dumps(body(
            stream=True, temperature=1.9, max_output_tokens=400, **fields)))
        answer = connection.getresponse()
        answer.readline()
        first = answer.readline()
        stopped(server.engine())
        server.metric("flotilla_requests_running")
        if server.metric("flotilla_requests_running") == 1:
            data = first.decode().removeprefix("data: ")
            return connection, answer, json.loads(data)
        os.kill(server.engine(), signal.SIGCONT)
        return None
    return until("an answer under way", begun)


def test_a_stream_whose_client_vanishes_is_cancelled(server):
    before = server.metric("flotilla_requests_cancelled_total")
    connection, answer, event = under_way(server, store=True)
    try:
        connection.sock.close()
        answer.close()
        until("it is cancelled", lambda: same(server.metric(
            "flotilla_requests_cancelled_total"), before + 1))
    finally:
        os.kill(server.engine(), signal.SIGCONT)
    path = PATH + "/" + event["response"]["id"]
    assert server.call("GET", path)[0] == 404


@pytest.mark.parametrize("store", [False, True])
def test_an_answer_under_way_is_cancelled_by_its_id(server, store):
    connection, answer, event = under_way(server, store=store)
    path = PATH + "/" + event["response"]["id"]
    try:
        assert as_app(server, "shop", "POST", path + "/cancel", {})[0] == 404
        status, _, told_to = server.call("POST", path + "/cancel", {})
        assert status == 200 and check(told_to)["status"] == "cancelled"
        rest = answer.read().decode()
    finally:
        os.kill(server.engine(), signal.SIGCONT)
    connection.close()
    assert rest.endswith("data: [DONE]\n\n")
    last = json.loads(rest.split("data: ")[-2])
    assert last["type"] == "response.incomplete"
    assert last["response"] == told_to
    assert server.call("GET", path)[0] == (200 if store else 404)
    until("none runs", lambda: same(
        server.metric("flotilla_requests_running"), 0))


def test_an_answer_deleted_under_way_is_not_kept(server):
    connection, answer, event = under_way(server, store=True)
    path = PATH + "/" + event["response"]["id"]
    try:
        assert as_app(server, "shop", "DELETE", path)[0] == 404
        assert server.call("DELETE", path)[2]["deleted"]
    finally:
        os.kill(server.engine(), signal.SIGCONT)
    assert answer.read().decode().endswith("data: [DONE]\n\n")
    connection.close()
    assert server.call("GET", path)[0] == 404


# ---- Open Responses' compliance tests ----

# The tiny model calls nothing by itself, and its answers have no end of their
# own: a choice and a bound make it.  All else is as the program asks.
@pytest.mark.parametrize("name", COMPLIANCE)
def test_compliance(server, name):
    fields = dict(COMPLIANCE[name])
    if "tools" in fields:
        fields["tool_choice"] = "required"
    status, _, answer = server.call("POST", PATH, body(**fields))
    if name == "image":
        assert status == 400 and answer["error"]["param"] == "input"
        assert answer["error"]["message"].startswith(
            "input[0] has an image, and the model %s@local reads text " % NAME)
    else:
        complies(name, status, answer)


# ---- the vendor's own client ----

@pytest.fixture(scope="module")
def client(server):
    sys.path += sets.fitting(os.path.join(ROOT, "build", "openai", "lib",
                                       "python3*", "site-packages"))
    openai = pytest.importorskip(
        "openai", reason="no python package 'openai': "
        "deploy/install-deps.sh --optional")
    with openai.OpenAI(base_url="http://127.0.0.1:%d/v1" % server.port,
                       api_key=TOKEN, max_retries=0, timeout=HANG_S) as one:
        yield one


def test_the_vendors_client_reads_an_answer_and_a_stream(client):
    fields = {"model": NAME, "input": SEVERITY, "temperature": 0}
    assert client.responses.create(**fields).output_text == ANSWER
    with client.responses.stream(**fields) as events:
        pieces = [event.delta for event in events
                  if event.type == "response.output_text.delta"]
        final = events.get_final_response()
    assert "".join(pieces) == final.output_text == ANSWER
    assert client.responses.input_tokens.count(
        model=NAME, input=SEVERITY).input_tokens == final.usage.input_tokens


def test_the_vendors_client_calls_a_tool(client):
    fields = {"model": NAME, "input": SEVERITY, "tools": [TOOL],
              "tool_choice": "required", "temperature": 0,
              "parallel_tool_calls": False}
    whole = client.responses.create(**fields)
    with client.responses.stream(**fields) as events:
        final = events.get_final_response()
    (call,) = [one for one in whole.output if one.type == "function_call"]
    (same_call,) = [one for one in final.output
                    if one.type == "function_call"]
    assert call.arguments == same_call.arguments
    history = [{"role": "user", "content": SEVERITY}, *whole.output,
               {"type": "function_call_output", "call_id": call.call_id,
                "output": "rain"}]
    after = client.responses.create(**{**fields, "tool_choice": "none",
                                       "input": history,
                                       "max_output_tokens": 8})
    assert after.output[-1].type == "message"
    assert after.usage.input_tokens > whole.usage.input_tokens


def test_the_vendors_client_goes_on_with_a_kept_response(client):
    import openai
    first = client.responses.create(model=NAME, input=SEVERITY, store=True)
    second = client.responses.create(
        model=NAME, input="Why?", previous_response_id=first.id,
        max_output_tokens=4)
    assert second.previous_response_id == first.id
    assert client.responses.retrieve(first.id).id == first.id
    items = list(client.responses.input_items.list(first.id))
    assert items[0].content[0].text == SEVERITY
    client.responses.delete(first.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(first.id)


def test_the_vendors_client_parses_a_schema(client):
    pydantic = pytest.importorskip("pydantic")
    Alert = pydantic.create_model("Alert", critical=(bool, ...))
    answer = client.responses.parse(model=NAME, input=SEVERITY,
                                    text_format=Alert, max_output_tokens=60)
    assert isinstance(answer.output_parsed.critical, bool)
