"""A device serves an endpoint of its owner: the relay is the runtime behind
`flotilla-engine proxy`, in its keeper's sandbox and its own."""
import json
import os

import pytest

from conftest import BIN
from relay_parts import Authority, Server, begin_events, piece, plain
from runtime_parts import Runtimes
from test_runtimes import QUESTION, publish
from waits import HANG, until

KEY = "key-of-an-endpoint"
pytestmark = pytest.mark.skipif(
    os.geteuid() != 0, reason="files of runtimes.d belong to root")


def say(text):
    """The endpoint answers with this text, a letter at a time."""
    def answer(handler):
        begin_events(handler)
        for letter in text:
            piece(handler, b"data: %s\n\n" % json.dumps(
                {"choices": [{"index": 0, "delta": {"content": letter}}]}).encode())
        piece(handler, b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n')
        piece(handler, b"data: [DONE]\n\n")
        handler.wfile.write(b"0\r\n\r\n")
    return answer


@pytest.fixture(scope="module")
def server(fleet):
    os.makedirs(os.path.join(fleet.dir, "endpoint"), exist_ok=True)
    authority = Authority(os.path.join(fleet.dir, "endpoint"), "authority")
    one = Server(authority.issue("server", "serverAuth"))
    one.ca = authority.file
    yield one
    one.close()


@pytest.fixture(scope="module")
def runtimes(fleet, server):
    one = Runtimes(fleet)
    folder = os.path.dirname(server.ca)
    with open(folder + "/key", "w", encoding="ascii",
              opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
        file.write(KEY + "\n")
    one.write("endpoint", {
        "exec": [os.path.join(BIN, "flotilla-relay"), "--listen", "unix:{socket}",
                 "--to", server.at + "/api/v1", "--key-file", folder + "/key",
                 "--ca-file", server.ca, "--sessions", "{sessions}", "--timeout", "600000",
                 "--sandbox", "preferred"],
        "network": "host", "memory": "128MiB", "ready": HANG, "sessions": 2, "context": 64,
        "abilities": ["cancel"], "read": [folder]})
    return one


def test_an_endpoint_answers_through_the_device(runtimes, server):
    server.answer = say("severity: low")
    runtimes.fleet.roll(publish(runtimes, "1", "severity: low", runtime="endpoint"))
    assert runtimes.says(QUESTION) == ("severity: low", "desk@1")
    path, headers, body = server.asked[-1]
    assert path == "/api/v1/chat/completions"
    assert headers["Authorization"] == "Bearer " + KEY
    assert QUESTION in json.loads(body)["messages"][-1]["content"]


def test_its_refusal_and_its_absence_are_told(runtimes, server):
    connection = runtimes.device.connection()

    def ask():
        connection.request("POST", "/v1/chat/completions", json.dumps(
            {"model": "desk", "messages": [{"role": "user", "content": QUESTION}]}),
            {"Content-Type": "application/json"})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()

    server.answer = lambda handler: plain(handler, 401, b'{"error":"wrong key"}')
    status, text = ask()
    assert status >= 500 and "401" in text and "wrong key" in text
    server.answer = lambda handler: plain(handler, 302, Location="https://example.com/")
    status, text = ask()
    assert status >= 500 and "302" in text and "example.com" in text
    server.answer = say("again")
    until("it answers again", lambda: "again" in ask()[1])
    assert KEY not in text
