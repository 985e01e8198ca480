"""Several answers to one body: `n`, and lists of prompts."""
import http.client
import json
import os
import threading

import pytest

from test_apps import ask_as, write_rules
from test_local_api import SEVERITY, Server, events
from waits import HANG_S, joined, same, until

USER = [{"role": "user", "content": SEVERITY}]
LONG = dict(temperature=2, ignore_eos=True, context_shift=True,
            max_tokens=1000000)


@pytest.fixture(scope="module")
def server(bin_dir, folder):
    one = Server(bin_dir, folder)
    yield one
    one.close()


def completion(server, **fields):
    status, _, answer = server.call("POST", "/v1/completions", fields)
    assert status == 200, answer
    return answer


def texts(answer):
    """The choices' texts, which stand in their order."""
    choices = answer["choices"]
    assert [one["index"] for one in choices] == list(range(len(choices)))
    return [one["text"] if "text" in one else one["message"]["content"]
            for one in choices]


def streamed(text):
    """Texts by index, ends by index, and the last event's usage."""
    found, ends, usage = {}, {}, None
    parts = events(text)
    assert parts[-1] == "[DONE]" and parts.count("[DONE]") == 1
    for event in map(json.loads, parts[:-1]):
        usage = event.get("usage")
        for choice in event["choices"]:
            at = choice["index"]
            piece = choice.get("text") or choice.get("delta", {}).get(
                "content") or ""
            assert not (piece and at in ends), "text after its end"
            found[at] = found.get(at, "") + piece
            if choice["finish_reason"]:
                assert at not in ends
                ends[at] = choice["finish_reason"]
    return [found[at] for at in sorted(found)], ends, usage


def test_n_answers_differ_and_come_again_with_their_seed(server):
    fields = dict(n=8, temperature=2, seed=7, max_tokens=12)
    first, again = (server.chat(**fields)[2] for _ in range(2))
    assert texts(first) == texts(again)
    assert len(set(texts(first))) > 1
    # The first one is the answer of who asks for one.
    alone = server.chat(**dict(fields, n=1))[2]
    assert texts(alone) == texts(first)[:1]
    assert first["usage"]["prompt_tokens"] == alone["usage"]["prompt_tokens"]
    assert first["usage"]["completion_tokens"] > 8
    assert first["usage"]["total_tokens"] == \
        first["usage"]["prompt_tokens"] + first["usage"]["completion_tokens"]


def test_streams_of_several_answers_add_up_to_the_whole_ones(server):
    fields = dict(n=3, temperature=2, seed=7, max_tokens=12)
    whole = server.chat(**fields)[2]
    found, ends, usage = streamed(server.chat(
        stream=True, stream_options={"include_usage": True}, **fields)[2])
    assert found == texts(whole)
    assert ends == {one["index"]: one["finish_reason"]
                    for one in whole["choices"]}
    for key in ("prompt_tokens", "completion_tokens", "total_tokens"):
        assert usage[key] == whole["usage"][key]


def test_a_list_of_prompts_is_answered_in_its_order(server):
    prompts = ["What should I do about %d" % i for i in range(40)]
    fields = dict(temperature=0, max_tokens=6)
    answer = completion(server, prompt=prompts, **fields)
    singles = [completion(server, prompt=prompt, **fields)
               for prompt in prompts[:8]]
    assert len(answer["choices"]) == 40
    assert texts(answer)[:8] == [texts(one)[0] for one in singles]
    pairs = completion(server, prompt=prompts[:8], n=2, **fields)
    assert texts(pairs) == [text for text in texts(answer)[:8]
                            for _ in range(2)]
    assert pairs["usage"]["prompt_tokens"] == \
        sum(one["usage"]["prompt_tokens"] for one in singles)


def test_prompts_of_token_ids(server):
    ids = [server.call("POST", "/tokenize", {"content": text})[2]["tokens"]
           for text in ("What should I", "oven-95 smoke")]
    fields = dict(temperature=0, max_tokens=6)
    assert texts(completion(server, prompt=ids, **fields)) == \
        [texts(completion(server, prompt=one, **fields))[0] for one in ids]


def test_a_prompt_may_be_told_before_its_answer(server):
    fields = dict(prompt=["What should I do", "oven-95"], temperature=0,
                  max_tokens=5)
    plain = texts(completion(server, **fields))
    told = [prompt + text for prompt, text in zip(fields["prompt"], plain)]
    assert texts(completion(server, echo=True, **fields)) == told
    status, _, text = server.call("POST", "/v1/completions",
                                  dict(fields, echo=True, stream=True))
    assert status == 200 and streamed(text)[0] == told


def test_one_prompt_that_is_too_long_refuses_all(server):
    status, _, answer = server.call("POST", "/v1/completions", {
        "prompt": ["a", "1 " * 4000, "b"], "max_tokens": 5})
    assert status == 400 and set(answer) == {"error"}
    assert answer["error"]["code"] == "context_length_exceeded"
    assert texts(completion(server, prompt=["a", "b"], max_tokens=2))


def test_all_answers_end_with_their_client(server):
    name = "flotilla_requests_cancelled_total"
    for path, more in (("/v1/chat/completions", {"messages": USER, "n": 8}),
                       ("/v1/completions", {"prompt": ["a", "b"] * 8})):
        before = server.metric(name)
        connection = server.connect()
        connection.request("POST", path, json.dumps(
            dict(LONG, stream=True, **more)))
        answer = connection.getresponse()
        assert answer.status == 200 and answer.read(100)
        connection.close()
        answer.close()
        # A long list has begun eight of them.
        until("all are cancelled", lambda: same(server.metric(name),
                                                before + 8))
        assert server.chat()[0] == 200


def test_a_long_list_leaves_places_for_others(server):
    """Each client's turn comes, whatever the length of the list."""
    got = []

    def ask():
        got.append(server.call("POST", "/v1/completions", {
            "prompt": ["a"] * 64, "max_tokens": 40, "temperature": 2,
            "ignore_eos": True})[0])
    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    statuses = [server.chat()[0] for _ in range(5)]
    for thread in threads:
        joined(thread)
    assert statuses == [200] * 5 and got == [200] * 4


def test_a_list_waits_in_its_middle_where_the_queue_is_full(server):
    got, refused, is_over = [], [], threading.Event()

    def ask():
        while not is_over.is_set():
            status = server.call("POST", "/v1/completions", {
                "prompt": "a", "max_tokens": 20, "ignore_eos": True})[0]
            assert status in (200, 503)
            refused.extend([status] * (status == 503))

    def list_of():
        got.append(texts(completion(server, prompt=["a"] * 64,
                                    max_tokens=20, ignore_eos=True)))
    lists = threading.Thread(target=list_of)
    others = [threading.Thread(target=ask) for _ in range(80)]
    lists.start()
    for thread in others:
        thread.start()
    joined(lists)
    is_over.set()
    for thread in others:
        joined(thread)
    assert refused, "the queue was never full"
    assert len(got[0]) == 64


def test_each_answer_is_one_of_its_apps_requests(bin_dir, folder):
    own = os.path.join(folder, "apps")
    os.mkdir(own)
    rules = write_rules(own, tokens={"shop": {"requests_per_day": 3}})
    one = Server(bin_dir, own, options=("--rules", rules))
    status, headers, answer = ask_as(one, "shop", n=2)
    assert status == 200 and len(texts(answer)) == 2
    assert headers.get_all("x-ratelimit-remaining-requests") == ["1"]
    status, headers, answer = ask_as(one, "shop", n=2)
    assert status == 429 and int(headers["Retry-After"]) > 0
    assert headers.get_all("x-ratelimit-remaining-requests") == ["1"]
    assert answer["error"]["code"] == "rate_limit_exceeded"
    assert ask_as(one, "shop")[0] == 200  # nothing of the two was taken
    one.close()


def test_more_answers_than_the_app_may_ever_have_are_refused(bin_dir, folder):
    own = os.path.join(folder, "never")
    os.mkdir(own)
    rules = write_rules(own, tokens={"shop": {"requests_per_minute": 3}})
    one = Server(bin_dir, own, options=("--rules", rules))
    status, headers, answer = ask_as(one, "shop", n=4)
    error = answer["error"]
    assert status == 400 and "Retry-After" not in headers
    assert (error["code"], error["param"]) == ("infer.param", "n")
    assert "4 answers are as many requests, and app shop may send 3 " \
        "requests a minute" in error["message"]
    assert ask_as(one, "shop", n=3)[0] == 200
    one.close()


def test_the_program_ends_while_answers_are_under_way(bin_dir, folder):
    own = os.path.join(folder, "ended")
    os.mkdir(own)
    one = Server(bin_dir, own)
    connection = one.connect()
    connection.request("POST", "/v1/completions", json.dumps(
        dict(LONG, stream=True, prompt=["a"] * 20)))
    answer = connection.getresponse()
    assert answer.status == 200 and answer.read(100)
    one.close()  # with status 0
    with pytest.raises(http.client.IncompleteRead):
        answer.read()
    connection.close()
