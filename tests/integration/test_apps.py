"""Apps of `flotilla-agent serve`: each token has its limits."""
import http.client
import json
import os
import re
import subprocess

import pytest

from test_local_api import MODEL, NAME, SEVERITY, Server
from waits import HANG_S

V21 = MODEL.replace("tiny-v2.", "tiny-v2.1.")
SECRETS = {name: name + "-has-a-long-secret"
           for name in ("shop", "night", "short", "desk", "free")}


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
    rules = write_rules(folder, tokens={
        "shop": {"requests_per_day": 3, "models": [NAME]},
        "night": {"priority": "batch", "tokens_per_day": 40},
        "short": {"prompt_tokens_max": 26, "answer_tokens_max": 2},
        "desk": {"models": ["other"]},
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


@pytest.mark.parametrize("rules, says", [
    ({"tokens": {"shop": {"requests_per_day": 0}}},
     "cfg.range]: %s: tokens.shop: `requests_per_day`: 0 is not within 1"),
    ({"tokens": {"shop": {"priority": "high"}}},
     "cfg.range]: %s: tokens.shop.priority: `high` is neither"),
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
