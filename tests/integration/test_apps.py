"""Apps and guards of `flotilla-agent serve`: each token has its limits, and
programs of the owner look at prompts and answers."""
import contextlib
import http.client
import json
import os
import re
import signal
import subprocess
import sys

import pytest

import sets
from test_local_api import MODEL, NAME, SEVERITY, Server
from waits import HANG, HANG_S, Seen, same, until

PUBLIC = "You see to a plant of many pumps. " * 3
V21 = MODEL.replace("tiny-v2.", "tiny-v2.1.")
SECRETS = {name: name + "-has-a-long-secret"
           for name in ("shop", "night", "short", "desk", "free", "hasty")}


def write(path, text, mode=0o600):
    with open(path, "w") as file:
        file.write(text)
    os.chmod(path, mode)
    return path


def write_rules(folder, **rules):
    """A file of --rules: YAML has JSON's forms."""
    for name, app in rules.get("tokens", {}).items():
        app["file"] = write(os.path.join(folder, name + ".token"),
                            SECRETS[name] + "\n")
    return write(os.path.join(folder, "rules.yaml"), json.dumps(rules))


def ask_as(server, app, path="/v1/chat/completions", **fields):
    """Status, headers and body of an app's request."""
    if "chat" in path:
        fields.setdefault("messages", [{"role": "user", "content": SEVERITY}])
    fields.setdefault("temperature", 0)
    connection = http.client.HTTPConnection("127.0.0.1", server.port,
                                            timeout=HANG_S)
    connection.request("POST", path, json.dumps(fields), {
        "Authorization": "Bearer " + SECRETS[app]})
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return (answer.status, answer.headers,
            text if fields.get("stream") else json.loads(text))


@pytest.fixture(scope="module")
def server(bin_dir, folder):
    rules = write_rules(folder, shared_prefixes=[PUBLIC], tokens={
        "shop": {"requests_per_day": 3, "models": [NAME]},
        "night": {"priority": "batch", "tokens_per_day": 40},
        "short": {"prompt_tokens_max": 26, "answer_tokens_max": 2},
        "desk": {"models": ["other"]},
        "hasty": {"tokens_per_day": 100000},
        "free": {}})
    one = Server(bin_dir, folder, options=("--rules", rules))
    yield one
    one.close()


def test_the_fourth_request_of_three_gets_429(server):
    for left in (2, 1, 0):
        status, headers, _ = ask_as(server, "shop")
        assert status == 200
        assert headers["x-ratelimit-limit-requests"] == "3"
        assert headers["x-ratelimit-remaining-requests"] == str(left)
        assert re.fullmatch(r"2[34]h\d+m\d+s",
                            headers["x-ratelimit-reset-requests"])
        assert "x-ratelimit-limit-tokens" not in headers
    for stream in (False, True):
        status, headers, body = ask_as(server, "shop", stream=stream)
        assert status == 429
        assert 85000 < int(headers["Retry-After"]) <= 86400 + 1440
        body = json.loads(body) if stream else body
        assert body["error"]["type"] == "rate_limit_error"
        assert body["error"]["code"] == "rate_limit_exceeded"
        assert body["error"]["message"].startswith(
            "app shop: 3 of 3 requests a day are used; there is room again in")
        assert body["error"]["fix"]
    assert ask_as(server, "free")[0] == 200
    assert server.chat()[0] == 200  # the socket's users are no app


def test_a_batch_app_gets_no_interactive_request(server):
    before = server.metric("flotilla_batch_token_seconds_count")
    interactive = server.metric("flotilla_request_seconds_count")
    status, headers, body = ask_as(server, "night", priority="interactive")
    assert status == 200
    assert server.metric("flotilla_batch_token_seconds_count") == before + 1
    assert server.metric("flotilla_request_seconds_count") == interactive
    assert headers["x-ratelimit-limit-tokens"] == "40"
    assert headers["x-ratelimit-remaining-tokens"] == "40"
    used = body["usage"]["total_tokens"]
    assert used == 30
    status, headers, body = ask_as(server, "night", stream=True)
    assert status == 200 and "[DONE]" in body  # it is not cut at 40
    assert headers["x-ratelimit-remaining-tokens"] == "10"
    status, headers, body = ask_as(server, "night")
    assert status == 429
    assert "60 of 40 tokens a day are used" in body["error"]["message"]


def test_no_app_learns_what_another_one_asked(server):
    def cached(app, text):
        messages = [{"role": "user", "content": text + " opens the " * 9}]
        status, _, body = ask_as(server, app, messages=messages, max_tokens=2)
        assert status == 200
        return body["usage"]["prompt_tokens_details"]["cached_tokens"]
    first = cached("free", "Code 4711")
    assert cached("free", "Code 4711") > first + 10
    wrong, right = cached("hasty", "Word 1234"), cached("hasty", "Code 4711")
    assert right <= wrong + 3  # how each prompt of its own begins


def test_a_prefix_of_the_rules_is_public_and_counts_for_nobody(server):
    def cached(app, system):
        status, _, body = ask_as(server, app, max_tokens=2, messages=[
            {"role": "system", "content": system},
            {"role": "user", "content": "Now."}])
        assert status == 200
        return body["usage"]["prompt_tokens_details"]["cached_tokens"]
    assert cached("free", PUBLIC) == cached("hasty", PUBLIC) == 0


def test_connections_of_one_app_shut_nobody_out(server):
    """130 requests of one app: more than there are connections and places."""
    def another(held):
        one = http.client.HTTPConnection("127.0.0.1", server.port,
                                         timeout=HANG_S)
        held.append(one)
        with contextlib.suppress(OSError):  # it gives way while it is sent
            one.request("POST", "/v1/chat/completions", json.dumps(
                {"messages": [{"role": "user", "content": SEVERITY}],
                 "stream": True, "max_tokens": 200}),
                        {"Authorization": "Bearer " + SECRETS["free"]})
    held = []
    try:
        for _ in range(130):
            another(held)
        for _ in range(10):
            assert ask_as(server, "hasty", max_tokens=2)[0] == 200
            assert server.chat(max_tokens=2)[0] == 200
            for _ in range(5):
                another(held)
    finally:
        for one in held:
            one.close()


def test_an_answer_that_is_broken_off_has_had_its_prompt(server):
    def used():
        text = server.call("GET", "/metrics")[2]
        return float(re.search(
            r'^flotilla_app_tokens_in_total\{app="hasty"\} (\S+)$', text,
            re.M).group(1))

    def broken_off():
        connection = http.client.HTTPConnection("127.0.0.1", server.port,
                                                timeout=HANG_S)
        connection.request("POST", "/v1/completions", json.dumps({
            "prompt": "word " * 80, "stream": True, "ignore_eos": True,
            "temperature": 1.9, "max_tokens": 200}), {
                "Authorization": "Bearer " + SECRETS["hasty"]})
        answer = connection.getresponse()
        assert answer.readline().startswith(b"data: ")
        before = server.metric("flotilla_requests_cancelled_total")
        connection.sock.close()
        answer.close()
        until("its end", lambda: same(
            server.metric("flotilla_requests_running"), 0))
        return server.metric("flotilla_requests_cancelled_total") > before
    # On a busy machine an answer may be whole before its client leaves.
    already = used()
    while not broken_off():
        already = used()
    assert 80 < used() - already < 400


def test_prompts_and_answers_have_their_longest(server):
    status, _, body = ask_as(server, "short")
    assert status == 400
    assert body["error"]["message"] == (
        "the prompt has 27 tokens, its app may send 26")
    assert body["error"]["code"] == "context_length_exceeded"
    assert body["error"]["param"] == "messages"
    status, _, body = ask_as(server, "short", "/v1/completions",
                             prompt="What", max_tokens=50, ignore_eos=True)
    assert status == 200
    assert body["usage"]["completion_tokens"] == 2
    assert body["choices"][0]["finish_reason"] == "length"


def test_an_app_has_its_models_alone(server):
    assert ask_as(server, "desk")[0] == 404
    assert ask_as(server, "shop", model="other")[0] == 404


def test_metrics_have_a_row_for_each_app(server):
    def of(app, name):
        return server.metric('flotilla_app_%s_total{app="%s"}' % (name, app))
    assert of("shop", "requests") == 3
    assert of("shop", "refused") == 2
    assert of("night", "tokens_in") == 54
    assert of("night", "tokens_out") == 6
    assert of("desk", "requests") == 0
    assert server.tcp("Host: localhost\r\nAuthorization: Bearer %s\r\n"
                      % SECRETS["free"], "/metrics") == 401


def test_an_app_may_have_one_of_several_models(bin_dir, folder):
    own = os.path.join(folder, "several")
    os.mkdir(own)
    rules = write_rules(own, tokens={"desk": {"models": ["tiny-v2.1.q4_0"]},
                                     "free": {}})
    one = Server(bin_dir, own, options=("--model", V21, "--rules", rules),
                 token=None)
    assert ask_as(one, "desk")[1]["X-Flotilla-Release"] == (
        "tiny-v2.1.q4_0@local")
    assert ask_as(one, "desk", model=NAME)[0] == 404
    assert ask_as(one, "free", model=NAME)[0] == 200
    assert one.tcp("Host: localhost\r\n") == 401  # apps alone may use TCP
    one.close()


# ---- guards ----

# It does as the text says that it reads.
GUARD = """
import json, os, sys, time
said = json.load(sys.stdin)
text = said.get("text") or said["messages"][-1]["content"]
with open(sys.argv[1], "a") as log:
    log.write(json.dumps(said) + "\\n")
word = text.split()[0] if said["stage"] == "prompt" else sys.argv[2]
if word == "hang":
    os.system("setsid sleep 100000 & sleep 100000")
if word == "crash":
    os.abort()
if word == "babble":
    print("I think that this is fine.")
if word == "edit":
    print(json.dumps({"verdict": "edit", "text": text[5:]}))
if word == "shout":
    print(json.dumps({"verdict": "edit", "text": text.upper()}))
if word == "refuse":
    print(json.dumps({"verdict": "refuse", "reason": "not on this device"}))
if word in ("Classify:", "pass"):
    print(json.dumps({"verdict": "pass"}))
"""


class Guarded:
    """A server with one guard."""

    def __init__(self, bin_dir, folder, answers="pass", **guard):
        self.log = os.path.join(folder, "asked.log")
        script = write(os.path.join(folder, "guard.py"), GUARD)
        guard.setdefault("command", [sys.executable, script, self.log,
                                     answers])
        guard.setdefault("timeout", HANG)
        if guard["command"] is None:
            del guard["command"]
        rules = write_rules(folder, tokens={"shop": {}},
                            guards={"desk": guard})
        self.server = Server(bin_dir, folder, options=("--rules", rules))

    def chat(self, text, **fields):
        return self.server.chat(
            messages=[{"role": "user", "content": text}], **fields)

    def asked(self):
        with open(self.log) as file:
            return [json.loads(line) for line in file]

    def counts(self, *verdicts):
        return [self.server.metric(
            'flotilla_guard_verdicts_total{guard="desk",verdict="%s"}' % word)
            for word in verdicts or ("passed", "edited", "refused", "failed")]


@pytest.fixture
def guarded(bin_dir, tmp_path):
    made = []

    def make(**guard):
        made.append(Guarded(bin_dir, str(tmp_path), **guard))
        return made[0]
    yield make
    for one in made:
        if one.server.process.poll() is None:
            one.server.close()


def test_a_guard_passes_edits_and_refuses(guarded):
    one = guarded()
    status, _, body = one.chat(SEVERITY)
    assert status == 200
    assert body["choices"][0]["message"]["content"] == "severity: critical"
    assert one.asked() == [
        {"stage": "prompt", "model": NAME, "app": None,
         "messages": [{"role": "user", "content": SEVERITY}]},
        {"stage": "answer", "model": NAME, "app": None,
         "text": "severity: critical"}]
    status, _, body = one.chat("edit " + SEVERITY)
    assert status == 200
    assert body["choices"][0]["message"]["content"] == "severity: critical"
    assert body["usage"]["prompt_tokens"] == 27
    for stream in (False, True):
        status, _, body = one.chat("refuse this", stream=stream)
        body = json.loads(body) if isinstance(body, str) else body
        assert status == 400
        assert body["error"]["message"] == "guard desk: not on this device"
        assert body["error"]["code"] == "infer.guard"
    assert one.counts() == [3, 1, 2, 0]
    assert ask_as(one.server, "shop")[0] == 200
    assert {asked["app"] for asked in one.asked()} == {None, "shop"}
    guards = one.server.call("GET", "/v1/models")[2]["data"][0]["guards"]
    assert guards == [{"name": "desk", "stages": ["prompt", "answer"]}]


def test_a_stream_waits_for_the_guard_and_comes_in_one_piece(guarded):
    one = guarded(answers="shout", stages=["answer"])
    status, headers, text = one.chat(SEVERITY, stream=True)
    assert status == 200
    assert headers["Content-Type"].startswith("text/event-stream")
    pieces = [json.loads(line[6:])["choices"][0]["delta"].get("content")
              for line in text.split("\n\n") if line.startswith("data: {")]
    assert [piece for piece in pieces if piece] == ["SEVERITY: CRITICAL"]
    assert text.endswith("data: [DONE]\n\n")
    body = one.chat(SEVERITY)[2]
    assert body["choices"][0]["message"]["content"] == "SEVERITY: CRITICAL"


@pytest.mark.parametrize("path, fields, error_of", [
    ("/v1/chat/completions", {"temperature": 0},
     lambda body: body["error"]["message"]),
    ("/api/chat", {"model": NAME, "options": {"temperature": 0}},
     lambda body: body["error"]),
    ("/v1/messages", {"temperature": 0, "max_tokens": 20},
     lambda body: body["error"]["message"]),
])
def test_a_refused_answer_is_never_seen(guarded, path, fields, error_of):
    one = guarded(answers="refuse", stages=["answer"])
    for stream in (False, True):
        connection = one.server.connect()
        connection.request("POST", path, json.dumps({
            **fields, "stream": stream,
            "messages": [{"role": "user", "content": SEVERITY}]}))
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        assert answer.status == 400
        assert "severity" not in text
        assert error_of(json.loads(text)).startswith(
            "guard desk: not on this device")


@pytest.mark.parametrize("word, says", [
    ("crash", "guard desk: its program ended with status 134"),
    ("babble", "guard desk: its answer of 27 bytes is no JSON object"),
    ("silence", "guard desk: its answer of 0 bytes is no JSON object"),
])
def test_a_guard_that_fails_refuses(guarded, word, says):
    one = guarded()
    status, headers, body = one.chat(word + " now")
    assert status == 503
    assert headers["Retry-After"] == "1"
    assert body["error"]["code"] == "infer.guard_failed"
    assert body["error"]["message"] == says
    assert "on_failure" in body["error"]["fix"]
    assert one.chat(SEVERITY)[0] == 200
    assert one.counts("failed") == [1]


def test_a_guard_that_hangs_is_ended_and_refuses(guarded):
    """A program that never ends its first line, whatever the machine."""
    one = guarded(command=["/bin/sh", "-c", "sleep 100000"], timeout="30ms")
    status, _, body = one.chat(SEVERITY)
    assert status == 503
    assert body["error"]["message"] == (
        "guard desk: no verdict within 30 ms")
    until("its processes are gone", lambda: one.server.engine())


def test_on_failure_the_owner_may_let_requests_pass(guarded):
    one = guarded(on_failure="pass")
    assert one.chat("crash now", max_tokens=4)[0] == 200
    assert one.counts() == [1, 0, 0, 1]


def test_a_model_may_be_the_guard(guarded):
    one = guarded(command=None, model=NAME, stages=["prompt"],
                  ask="Classify: ", refuse="severity: critical",
                  **{"pass": "severity: low"})
    status, _, body = one.server.call("POST", "/v1/completions", {
        "prompt": "23:45 oven-95 voltage drop temp=35C", "max_tokens": 2})
    assert status == 400
    assert body["error"]["message"] == "guard desk: severity: critical"


def stat_of(pid):
    """State and parent; None: it is gone."""
    text = sets.text("/proc/%d/stat" % pid)
    state, parent = (text.rpartition(") ")[2].split() + ["Z", 0])[:2]
    return None if state == "Z" else (state, int(parent))


def below(pid):
    """All processes below one, with their command lines."""
    rows = [(one, stat_of(one)) for one in sets.processes()]
    found, before = {pid}, 0
    while len(found) > before:
        before = len(found)
        found |= {child for child, stat in rows if stat and stat[1] in found}
    return {one: sets.words(one) for one in found - {pid}}


def hanging(one):
    """A guard hangs, with two programs that it started; its processes."""
    connection = one.server.connect()
    connection.request("POST", "/v1/chat/completions", json.dumps(
        {"messages": [{"role": "user", "content": "hang on"}]}))

    def both():
        seen = below(one.server.process.pid)
        return seen if list(seen.values()).count(
            ["sleep", "100000"]) == 2 else Seen(seen)
    return connection, list(until("the guard hangs", both))


def test_a_killed_agent_leaves_no_process_of_a_guard(guarded):
    one = guarded()
    connection, left = hanging(one)
    one.server.process.send_signal(signal.SIGKILL)
    one.server.process.wait(timeout=HANG_S)
    until("all of them are gone",
          lambda: same([pid for pid in left if stat_of(pid)], []))
    connection.close()


def test_a_stopped_agent_leaves_none_either(guarded):
    one = guarded()
    connection, left = hanging(one)
    one.server.close()
    assert [pid for pid in left if stat_of(pid)] == []
    connection.close()


@pytest.mark.parametrize("rules, says", [
    ({"tokens": {"shop": {"requests_per_day": 0}}},
     "cfg.range]: %s: tokens.shop: `requests_per_day`: 0 is not within 1"),
    ({"tokens": {"shop": {"priority": "high"}}},
     "cfg.range]: %s: tokens.shop.priority: `high` is neither"),
    ({"guards": {"desk": {"command": ["look"]}}},
     "cfg.range]: %s: guards.desk.command: `look` is no absolute path"),
    ({"shared_prefixes": PUBLIC},
     "cfg.type]: %s:1: `shared_prefixes`"),
    ({"token": {}}, "cfg.key]: %s:1: unknown key `token`"),
])
def test_rules_that_nobody_understands_start_nothing(bin_dir, tmp_path, rules,
                                                     says):
    path = write_rules(str(tmp_path), **rules)
    done = subprocess.run(
        [os.path.join(bin_dir, "flotilla-agent"), "serve", "--model", MODEL,
         "--listen", "127.0.0.1:0", "--rules", path], capture_output=True,
        text=True, timeout=HANG_S)
    assert done.returncode == 2
    assert says.replace("%s", path) in done.stderr
