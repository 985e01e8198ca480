"""The local API as clients see it: `flotilla-agent serve` over raw HTTP."""
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import threading

import pytest

import sets
from waits import HANG_S, Seen, joined, same, stopped, until, wall_s

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
MODEL = os.path.join(ROOT, "tests", "models", "tiny-v2.Q4_0.gguf")
NAME = "tiny-v2.q4_0"
TOKEN = "correct-horse-battery-staple"
SEVERITY = "Classify: 23:45 oven-95 voltage drop temp=35C"


class Server:
    """One `flotilla-agent serve` on a unix socket and on TCP."""

    def __init__(self, bin_dir, folder, model=MODEL, options=(), token=TOKEN,
                 env=None):
        self.socket = os.path.join(folder, "api.sock")
        if token is not None:
            path = self.token_file = os.path.join(folder, "token")
            with open(path, "w") as file:
                file.write(token + "\n")
            os.chmod(path, 0o600)
            options = ("--token-file", path, *options)
        self.process = subprocess.Popen(
            [os.path.join(bin_dir, "flotilla-agent"), "serve", "--model",
             model, "--listen", "127.0.0.1:0", "--listen",
             "unix:" + self.socket, *options],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            env=env)
        seen = ""
        while "serving " not in seen:
            line = self.process.stdout.readline()
            assert line, "it ended: " + seen
            seen += line
        self.port = int(re.search(r"port (\d+)", seen).group(1))

    def close(self):
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(timeout=HANG_S) == 0

    def connect(self):
        connection = http.client.HTTPConnection("localhost", timeout=HANG_S)
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(HANG_S)
        connection.sock.connect(self.socket)
        return connection

    def call(self, method, path, body=None, headers={}):
        """Status, headers, JSON (or text)."""
        connection = self.connect()
        if isinstance(body, (dict, list)):
            body = json.dumps(body)
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        kind = answer.getheader("Content-Type") or ""
        return (answer.status, answer.headers,
                json.loads(text) if "json" in kind else text)

    def chat(self, **fields):
        fields.setdefault("messages", [{"role": "user",
                                        "content": SEVERITY}])
        fields.setdefault("temperature", 0)
        return self.call("POST", "/v1/chat/completions", fields)

    def tcp(self, head, path="/v1/models", method="GET"):
        """Status of a request on TCP with these header lines, no body."""
        with socket.create_connection(("127.0.0.1", self.port),
                                      HANG_S) as s:
            s.sendall(("%s %s HTTP/1.1\r\n%sConnection: close\r\n\r\n"
                       % (method, path, head)).encode())
            text = b""
            while True:
                piece = s.recv(65536)
                if not piece:
                    return int(text.split()[1])
                text += piece

    def metric(self, name):
        text = self.call("GET", "/metrics")[2]
        return float(re.search(r"^%s (\S+)$" % re.escape(name), text,
                               re.M).group(1))

    def engine(self):
        """Process id of the one engine."""
        def one():  # behind the end of another one
            found = sets.children(self.process.pid)
            return found if len(found) == 1 else Seen(found)
        return until("one engine", one)[0]


@pytest.fixture(scope="module")
def server(bin_dir, folder):
    one = Server(bin_dir, folder)
    yield one
    one.close()


def events(text):
    """The data of each server-sent event."""
    parts = [part for part in text.split("\n\n") if part]
    assert all(part.startswith("data: ") for part in parts)
    return [part[6:] for part in parts]


SCHEMA = {"type": "object", "properties": {"n": {"multipleOf": 3}}}


@pytest.mark.parametrize("fields, param, says", [
    ({"response_format": {"type": "json_schema", "json_schema": {
        "name": "n", "schema": SCHEMA}}}, "response_format",
     "schema /properties/n/multipleOf: is not supported"),
    ({"tools": [{"type": "function", "function": {
        "name": "f", "parameters": SCHEMA}}]}, "tools",
     "schema /tools/f/properties/n/multipleOf: is not supported"),
    ({"grammar": "root ::= x"}, "grammar", "rule 'x'")])
def test_a_form_that_answers_cannot_keep_is_refused_by_name(server, fields,
                                                            param, says):
    status, _, body = server.chat(**fields)
    assert status == 400
    assert body["error"]["code"] == "infer.schema"
    assert body["error"]["param"] == param and says in body["error"]["message"]
    assert server.chat()[0] == 200


def test_documents_are_ordered_by_vectors_where_that_is_asked_for(server):
    texts = ["oven-95 smoke", "hello world", "hello"]
    fields = {"query": "hello", "documents": texts, "top_n": 2,
              "return_documents": True}
    status, _, body = server.call("POST", "/v1/rerank", fields)
    assert status == 400 and body["error"]["param"] == "method"
    status, _, body = server.call("POST", "/v1/rerank",
                                  dict(fields, method="embedding"))
    assert status == 200 and body["method"] == "embedding"
    assert [one["index"] for one in body["results"]] == [2, 1]
    assert [one["document"]["text"] for one in body["results"]] == texts[:0:-1]
    assert abs(body["results"][0]["relevance_score"] - 1) < 1e-5
    assert body["usage"]["prompt_tokens"] > 4


@pytest.mark.parametrize("path", ["/v1/moderations", "/v1/images/generations",
                                  "/v1/audio/speech"])
def test_what_no_model_can_answer_says_so(server, path):
    status, _, body = server.call("POST", path, {"input": "hello"})
    assert status == 400 and "are not built" in body["error"]["message"]


def test_a_model_may_be_a_link(bin_dir, folder):
    """As caches of models are made of them, in a folder of its own."""
    own = os.path.join(folder, "linked")
    os.mkdir(own)
    link = os.path.join(own, "my-model.gguf")
    os.symlink(os.path.abspath(MODEL), link)
    one = Server(bin_dir, own, link, ("--sessions", "2"))
    names = [m["id"] for m in one.call("GET", "/v1/models")[2]["data"]]
    assert "my-model" in names
    assert one.chat()[0] == 200
    one.close()


def test_a_template_is_told_the_date(bin_dir, tmp_path):
    template = str(tmp_path / "dated.jinja")
    with open(template, "w") as file:
        file.write("{% if strftime_now is defined %}" + "dated " * 50 + "{% endif %}"
                   "{% for m in messages %}{{ m.content }}{% endfor %}")
    server = Server(bin_dir, str(tmp_path), options=("--template", template))
    _, _, answer = server.call("POST", "/v1/chat/completions", {
        "messages": [{"role": "user", "content": "a"}], "max_tokens": 1})
    server.close()
    assert "usage" in answer, answer
    assert answer["usage"]["prompt_tokens"] >= 50, answer


def test_weights_are_packed_on_first_use(bin_dir, folder, monkeypatch):
    """Once for all programs of a user; what was damaged is not used."""
    cache = os.path.join(folder, "cache", "packed")
    own = os.path.join(folder, "packing")
    os.mkdir(own)
    monkeypatch.setenv("FLOTILLA_PACK_CACHE", cache)
    engine = os.path.join(bin_dir, "flotilla-engine")
    if subprocess.run([engine, "pack", "--probe", MODEL],
                      stdout=subprocess.DEVNULL,
                      stderr=subprocess.DEVNULL).returncode != 0:
        pytest.skip("no kernel here reads packed weights")

    def serve(*options):
        one = Server(bin_dir, own, MODEL, options)
        text = one.chat()[2]["choices"][0]["message"]["content"]
        one.close()
        return text

    def run(*options):
        done = subprocess.run(
            [engine, "run", "--model", MODEL, "--prompt", SEVERITY, "--n", "4",
             *options], capture_output=True, text=True, check=True)
        return done.stdout, done.stderr

    plain = serve("--no-pack")
    assert not os.path.exists(cache)
    assert serve() == plain
    name, = sets.names(cache)
    path = os.path.join(cache, name)
    assert os.stat(path).st_mode & 0o777 == 0o600
    inode = os.stat(path).st_ino
    assert serve() == plain
    out, said = run()
    assert "packing" not in said
    assert os.stat(path).st_ino == inode  # nobody made it again
    with open(path, "r+b") as file:
        file.write(b"x")
    assert serve() == plain
    assert sets.names(cache) == []
    again, said = run()
    assert "packing the weights once" in said and again == out
    with open(os.path.join(cache, name), "r+b") as file:
        file.write(b"x")
    assert run()[0] == out
    assert sets.names(cache) == []
    os.chmod(cache, 0o777)
    out, said = run()
    assert "others may write there" in said
    assert sets.names(cache) == []


def test_chat_has_openais_shape(server):
    begin = int(wall_s())
    status, headers, body = server.chat(model=NAME)
    assert status == 200
    assert body["object"] == "chat.completion"
    assert body["id"].startswith("chatcmpl-")
    assert begin <= body["created"] <= wall_s()
    assert body["model"] == headers["X-Flotilla-Release"] == NAME + "@local"
    (choice,) = body["choices"]
    assert choice["index"] == 0
    assert choice["finish_reason"] == "stop"
    assert choice["message"]["role"] == "assistant"
    assert choice["message"]["content"] == "severity: critical"
    usage = body["usage"]
    assert usage.pop("prompt_tokens_details").keys() == {"cached_tokens"}
    assert usage == {"prompt_tokens": 27, "completion_tokens": 3,
                     "total_tokens": 30}


def test_a_stream_gives_the_same_text_in_pieces(server):
    status, headers, text = server.chat(
        stream=True, stream_options={"include_usage": True})
    assert status == 200
    assert headers["Content-Type"].startswith("text/event-stream")
    assert headers["X-Flotilla-Release"] == NAME + "@local"
    lines = events(text)
    assert lines[-1] == "[DONE]"
    chunks = [json.loads(data) for data in lines[:-1]]
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert len({chunk["id"] for chunk in chunks}) == 1
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant",
                                                "content": ""}
    pieces = [chunk["choices"][0]["delta"].get("content", "")
              for chunk in chunks[:-1]]
    assert "".join(pieces) == "severity: critical"
    assert sum(1 for piece in pieces if piece) == 3
    assert [chunk["choices"][0]["finish_reason"]
            for chunk in chunks[:-1]][-1] == "stop"
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"]["total_tokens"] == 30
    assert all(chunk["usage"] is None for chunk in chunks[:-1])


def test_completions_whole_and_streamed(server):
    body = {"prompt": "What should I do about", "max_tokens": 2,
            "temperature": 0}
    status, _, whole = server.call("POST", "/v1/completions", body)
    assert status == 200
    assert whole["object"] == "text_completion"
    assert whole["choices"][0]["finish_reason"] == "length"
    assert whole["usage"]["completion_tokens"] == 2
    status, _, text = server.call("POST", "/v1/completions",
                                  dict(body, stream=True))
    lines = events(text)
    assert lines[-1] == "[DONE]"
    streamed = "".join(json.loads(data)["choices"][0]["text"]
                       for data in lines[:-1])
    assert streamed == whole["choices"][0]["text"]


def test_the_same_seed_gives_the_same_text(server):
    def text(seed):
        return server.chat(messages=[{"role": "user", "content": "a b c"}],
                           temperature=2, seed=seed, max_tokens=30)[2][
                               "choices"][0]["message"]["content"]
    assert text(7) == text(7)
    assert len({text(seed) for seed in range(5)}) > 1


def test_stop_texts_and_lengths(server):
    body = server.chat(stop=["ty: cri"])[2]
    assert body["choices"][0]["message"]["content"] == "severi"
    assert body["choices"][0]["finish_reason"] == "stop"
    body = server.chat(max_completion_tokens=2)[2]
    assert body["choices"][0]["message"]["content"] == "severity:"
    assert body["choices"][0]["finish_reason"] == "length"


@pytest.mark.parametrize("field, value", [
    ("max_tokens", -1), ("max_tokens", 2 ** 31), ("max_tokens", 1e9),
    ("max_tokens", "5"), ("temperature", -1), ("temperature", 1e30),
    ("top_k", -5), ("top_p", 2), ("n", 9), ("stop", [""]),
    ("messages", []), ("messages", [{"role": "user"}]),
])
def test_a_wrong_parameter_is_named(server, field, value):
    status, _, body = server.chat(**{field: value})
    assert status == 400
    error = body["error"]
    assert error["code"] == "infer.param"
    assert error["param"] == field
    assert error["type"] == "invalid_request_error"
    assert error["message"].startswith(field)


def test_a_prompt_longer_than_the_context_is_refused_with_counts(server):
    status, _, body = server.call("POST", "/tokenize", {"content": "1 " * 300})
    assert status == 200 and body["count"] == len(body["tokens"]) > 512
    status, _, body = server.chat(
        messages=[{"role": "user", "content": "1 " * 300}])
    assert status == 400
    assert body["error"]["code"] == "context_length_exceeded"
    assert "512" in body["error"]["message"]


def test_special_tokens_in_a_message_stay_text(server):
    plain = server.call("POST", "/tokenize", {"content": "<|im_end|>"})[2]
    special = server.call("POST", "/tokenize", {"content": "<|im_end|>",
                                                "parse_special": True})[2]
    assert plain["count"] > 1 and special["tokens"] == [2]


def test_log_probabilities_end_with_the_answer(server):
    def ask(**fields):
        choice = server.chat(temperature=0, logprobs=True,
                             **fields)[2]["choices"][0]
        return choice["message"]["content"], [
            one["token"] for one in choice["logprobs"]["content"]]
    text, tokens = ask()
    assert text == "".join(tokens) and len(tokens) == 3
    cut, kept = ask(stop=text[2:-2])
    assert cut == text[:2] and kept == tokens[:1]
    # A token that a format forces has none, and counts all the same.
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": {
        "type": "object", "properties": {"ok": {"type": "boolean"}},
        "required": ["ok"]}}}
    text, tokens = ask(response_format=form)
    assert text.startswith('{"ok": ') and 0 < len("".join(tokens)) < 6
    assert ask(response_format=form, stop=text[6:8]) == ('{"ok":', [])
    assert ask(response_format=form, stop='ok"') == ('{"', [])
    assert ask(response_format=form, stop="}") == (text[:-1], tokens)
    assert ask(stop=cut) == ("", [])


def test_malformed_bodies_are_refused(server):
    for body in (b"", b"{", b"[]", b'{"a":1,"a":2}', b'{"prompt":NaN}',
                 b'{"prompt":"\xff"}'):
        status, _, answer = server.call("POST", "/v1/completions", body)
        assert status == 400
        assert answer["error"]["code"] == "rest.schema"


def test_a_body_over_one_mebibyte_gets_413(server):
    status, _, body = server.call("POST", "/v1/completions",
                                  b" " * (1024 * 1024 + 1))
    assert status == 413
    assert body["error"]["code"] == "rest.too_large"


def test_models_health_and_unknown_names(server):
    status, _, body = server.call("GET", "/v1/models")
    assert status == 200 and body["object"] == "list"
    assert [m["id"] for m in body["data"]] == [NAME]
    one = body["data"][0]
    assert (one["object"], one["version"]) == ("model", "local")
    assert one["created"] == int(os.stat(MODEL).st_mtime)
    assert one == server.call("GET", "/v1/models/" + NAME + "@local")[2]
    assert server.call("GET", "/v1/models/" + NAME)[0] == 200
    assert server.call("GET", "/v1/models/none")[0] == 404
    status, _, body = server.call("GET", "/health")
    assert status == 200 and body["status"] == "ok"
    status, _, body = server.chat(model="gpt-4")
    assert status == 404 and body["error"]["code"] == "infer.model"
    status, _, body = server.call("GET", "/nothing")
    assert status == 404 and body["error"]["code"] == "rest.not_found"
    assert "local-api.md" in body["error"]["fix"], body


def test_clients_of_other_apis_find_the_error_where_they_look(server):
    """Ollama's shows `error`, Anthropic's `error.message`."""
    status, _, body = server.call("POST", "/api/other", {"model": NAME})
    assert status == 404 and "no path /api/other" in body["error"], body
    assert "Ollama" in body["error"], body
    status, _, body = server.call("POST", "/v1/messages/batches", {"model": NAME})
    assert status == 404 and body["type"] == "error", body
    assert body["error"]["type"] == "not_found_error", body
    assert "OpenAI" in body["error"]["message"], body


def test_metrics_are_prometheus_text(server):
    before = server.metric("flotilla_requests_total")
    server.chat()
    assert server.metric("flotilla_requests_total") == before + 1
    text = server.call("GET", "/metrics")[2]
    for line in text.splitlines():
        assert re.match(r"# (HELP|TYPE) \w+ .+$|\w+(\{[^}]*\})? \S+$", line)
    assert server.metric("flotilla_ttft_seconds_sum") > 0
    assert server.metric('flotilla_ttft_seconds_bucket{le="+Inf"}') == \
        server.metric("flotilla_ttft_seconds_count")


def test_ids_are_spelled_out(server):
    ids = server.call("POST", "/tokenize", {"content": "caf\u00e9"})[2]["tokens"]
    status, _, body = server.call("POST", "/detokenize", {"tokens": ids})
    assert status == 200 and body["content"] == "caf\u00e9"
    assert server.call("POST", "/detokenize", {"tokens": [2 ** 31]})[0] == 400
    assert server.call("POST", "/detokenize", {"tokens": [896]})[0] == 400


def test_tcp_wants_the_token_and_our_name(server):
    host = "Host: localhost:%d\r\n" % server.port
    assert server.tcp(host) == 401
    assert server.tcp(host + "Authorization: Bearer wrong\r\n") == 401
    assert server.tcp(host + "Authorization: Bearer %s\r\n" % TOKEN) == 200
    assert server.tcp(host + "Authorization: Bearer %sx\r\n" % TOKEN) == 401
    # Every byte of it counts, not the first or the last alone.
    for wrong in (TOKEN[:-1], TOKEN[:-1] + "!", "!" + TOKEN[1:], TOKEN[0],
                  TOKEN[0] + "!" * (len(TOKEN) - 2) + TOKEN[-1]):
        assert server.tcp(host + "Authorization: Bearer %s\r\n" % wrong) == 401
    assert server.tcp("Host: evil.example\r\nAuthorization: Bearer %s\r\n"
                      % TOKEN) == 421
    assert server.tcp(host, "/health") == 200


def test_no_byte_of_a_strangers_body_is_waited_for(server):
    """It never comes.  Who waits for it answers 408 in the end."""
    assert server.tcp("Host: localhost\r\nContent-Length: 1000000\r\n",
                      "/v1/completions", "POST") == 401


def test_a_page_of_another_site_does_not_compute_where_no_token_is(
        bin_dir, folder):
    place = os.path.join(folder, "open")
    os.makedirs(place)
    server = Server(bin_dir, place, token=None)
    try:
        host = "Host: localhost\r\n"
        assert server.tcp(host) == 200
        for origin, status in (("http://localhost:3000", 200),
                               ("http://127.0.0.1", 200),
                               ("https://evil.example", 401),
                               ("http://localhost.evil.example", 401),
                               ("http://localhost:3000.evil.example", 401),
                               ("http://localhost:80@evil.example", 401),
                               ("null", 401)):
            assert server.tcp(host + "Origin: %s\r\n" % origin) == status
    finally:
        server.close()


HTML = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


def test_who_asks_for_html_gets_the_chat_page_and_nobody_else(server):
    status, headers, body = server.call("GET", "/", headers=HTML)
    assert status == 200 and "<title>Chat" in body, body
    assert headers["Content-Type"].startswith("text/html")
    policy = headers["Content-Security-Policy"]
    for rule in ("default-src 'none'", "script-src 'self'", "style-src 'self'",
                 "connect-src 'self'", "img-src 'self' data:",
                 "base-uri 'none'", "frame-ancestors 'none'"):
        assert rule in policy.split("; "), policy
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    again = dict(HTML, **{"If-None-Match": headers["ETag"]})
    assert server.call("GET", "/", headers=again)[0] == 304
    for path, more in (
            ("/", {}), ("/", {"Accept": "application/json"}), ("/app", HTML),
            ("/app/none.js", HTML), ("/app/../api.c", HTML)):
        status, _, body = server.call("GET", path, headers=more)
        assert status == 404, (path, more)
        assert body["error"]["code"] == "rest.not_found", body
        assert "local-api.md" in body["error"]["fix"], body


def test_each_file_that_the_page_names_is_there(server):
    seen, todo = set(), ["/"]
    while todo:
        path = todo.pop()
        status, headers, text = server.call("GET", path, headers=HTML)
        assert status == 200, path
        assert headers["X-Content-Type-Options"] == "nosniff"
        seen.add(path)
        todo += set(re.findall(r'"(/app/[^"]+)"', text)) - seen - set(todo)
    assert {"/app/chat.js", "/app/look.css", "/app/icon.svg",
            "/app/vendor/preact.module.js"} <= seen, seen


def test_the_page_needs_no_token_and_our_name(server):
    own = "Host: localhost:%d\r\n" % server.port
    html = "Accept: text/html\r\n"
    assert server.tcp(own + html, "/") == 200
    assert server.tcp(own, "/app/chat.js") == 200
    assert server.tcp(own + html, "/", "HEAD") == 200
    for head, path, method, status in (
            (own, "/", "GET", 401), (own + html, "/v1/models", "GET", 401),
            (own + html, "/", "POST", 401),
            (own, "/app/chat.js", "PUT", 401), (own, "/apps", "GET", 401),
            (own + html + "Origin: https://evil.example\r\n", "/", "GET",
             401),
            ("Host: evil.example\r\n" + html, "/", "GET", 421)):
        assert server.tcp(head, path, method) == status, (head, path, method)


def test_a_page_that_is_not_wanted_is_not_there(bin_dir, tmp_path):
    one = Server(bin_dir, str(tmp_path), options=("--no-page",))
    try:
        assert one.call("GET", "/", headers=HTML)[0] == 404
        assert one.call("GET", "/app/chat.js")[0] == 404
        assert one.tcp("Host: localhost\r\nAccept: text/html\r\n", "/") == 401
    finally:
        one.close()


def client_of(path):
    """A connection to a socket's file; None until somebody listens there: the
    file is made a moment before."""
    one = http.client.HTTPConnection("localhost", timeout=HANG_S)
    one.sock = socket.socket(socket.AF_UNIX)
    one.sock.settimeout(HANG_S)
    try:
        one.sock.connect(str(path))
    except (FileNotFoundError, ConnectionRefusedError):
        one.close()
        return None
    return one


@pytest.mark.parametrize("line, status", [("", 200), ("page: true\n", 200),
                                          ("page: false\n", 404)])
def test_a_running_agent_has_the_page_unless_its_file_says_no(
        bin_dir, tmp_path, line, status):
    config, api = tmp_path / "agent.yaml", tmp_path / "api.sock"
    config.write_text("state_dir: %s\nlisten: [\"unix:%s\"]\n%s" % (
        tmp_path / "state", api, line))
    (tmp_path / "state").mkdir(mode=0o700)
    process = subprocess.Popen(
        [os.path.join(bin_dir, "flotilla-agent"), "--config", str(config)],
        stderr=subprocess.DEVNULL)
    try:
        one = until("the agent listens", lambda: client_of(api))
        one.request("GET", "/", headers=HTML)
        assert one.getresponse().status == status
        one.close()
    finally:
        process.terminate()
        process.wait(HANG_S)


def test_a_client_that_leaves_is_cancelled(server):
    """Before its engine, which stands still, has come to the end."""
    before = server.metric("flotilla_requests_cancelled_total")

    def stands_still():
        """An answer under way; None: it was at its end."""
        connection = server.connect()
        connection.request("POST", "/v1/completions", json.dumps(
            {"prompt": "a", "stream": True, "ignore_eos": True}))
        answer = connection.getresponse()
        answer.read1(100)
        stopped(server.engine())
        # The next one comes behind all that the engine has said.
        server.metric("flotilla_requests_running")
        if server.metric("flotilla_requests_running") == 1:
            return connection, answer
        os.kill(server.engine(), signal.SIGCONT)
        return None

    connection, answer = until("an answer under way", stands_still)
    try:
        connection.sock.close()
        answer.close()
        until("it is cancelled", lambda: same(server.metric(
            "flotilla_requests_cancelled_total"), before + 1))
    finally:
        os.kill(server.engine(), signal.SIGCONT)
    until("none runs", lambda: same(
        server.metric("flotilla_requests_running"), 0))


def test_a_killed_engine_comes_back_and_no_waiting_request_fails(server):
    stopped(server.engine())
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(
        server.chat(stream=i % 2 == 0))) for i in range(4)]
    for thread in threads:
        thread.start()
    until("four that wait", lambda: same(
        server.metric("flotilla_requests_running"), 4))
    os.kill(server.engine(), signal.SIGKILL)
    for thread in threads:
        joined(thread)
    assert [answer[0] for answer in answers] == [200] * 4
    assert server.metric("flotilla_requests_lost_total") == 0
    assert server.metric("flotilla_engines_lost_total") == 1


def test_a_page_of_a_listed_origin_may_use_it(bin_dir, tmp_path):
    page = "http://localhost:5173"
    server = Server(bin_dir, str(tmp_path), options=("--origin", page))

    def call(method, origin, headers={}):
        connection = http.client.HTTPConnection("127.0.0.1", server.port,
                                                timeout=HANG_S)
        connection.request(method, "/v1/chat/completions",
                           headers={"Origin": origin, **headers})
        answer = connection.getresponse()
        answer.read()
        connection.close()
        return answer.status, answer.headers
    asks = {"Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization,content-type"}
    status, headers = call("OPTIONS", page, asks)  # it shows no token
    assert status == 204
    assert headers["Access-Control-Allow-Origin"] == page
    assert headers["Access-Control-Allow-Methods"] == "POST"
    assert headers["Access-Control-Allow-Headers"] == \
        "authorization,content-type"
    status, headers = call("POST", page)
    assert status == 401 and headers["Access-Control-Allow-Origin"] == page
    for origin in ("http://localhost:5174", "null"):
        status, headers = call("OPTIONS", origin, asks)
        assert status in (401, 405)
        assert "Access-Control-Allow-Origin" not in headers
    server.close()
    # Without a token, too: where no token is asked for, only of that page.
    server = Server(bin_dir, str(tmp_path), options=("--origin", page),
                    token=None)
    assert call("POST", page)[0] == 400
    assert call("POST", "http://app.example")[0] == 401
    server.close()


def test_bad_starts_name_their_error(bin_dir, folder):
    def start(*options):
        done = subprocess.run(
            [os.path.join(bin_dir, "flotilla-agent"), "serve"] +
            list(options), capture_output=True, text=True, timeout=HANG_S)
        return done.returncode, done.stderr
    address = ["--listen", "127.0.0.1:0"]
    code, text = start("--model", "/nonexistent.gguf", *address)
    assert code == 3 and "error[absent]" in text
    code, text = start("--model", os.path.join(ROOT, "README.md"), *address) \
        if os.path.exists(os.path.join(ROOT, "README.md")) else \
        start("--model", __file__, *address)
    assert code == 7 and "error[gguf." in text
    code, text = start("--model", MODEL)
    assert code == 2 and "error[cli.usage]" in text
    code, text = start("--model", MODEL, *address, "--origin",
                       "http://localhost:5173/app")
    assert code == 2 and "error[cli.usage]" in text and "/app" in text
    code, text = start("--model", MODEL, "--listen", "0.0.0.0:0")
    assert code == 2 and "needs a token" in text
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, text = start("--model", MODEL, "--listen",
                           "127.0.0.1:%d" % port)
    assert code == 5 and "error[net.port_in_use]" in text
