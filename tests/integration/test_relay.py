"""The relay to an endpoint passes answers on as they come, and tells its key to
one host alone."""
import http.client
import json
import os
import socket
import subprocess
import sys
import threading

import pytest

from conftest import BIN
from relay_parts import (PATH, Authority, Relay, Server, Tunnel, begin_events, piece,
                         plain)
from waits import HANG_S, until

KEY, SECOND = "key-one-5d3f", "key-two-91ac"
PROMPT = b'{"messages":[{"role":"user","content":"a-private-word"}]}'


@pytest.fixture(scope="module")
def authority(folder):
    return Authority(folder, "authority")


@pytest.fixture(scope="module")
def pair(authority):
    return authority.issue("server", "serverAuth")


@pytest.fixture
def server(pair):
    one = Server(pair)
    yield one
    one.close()


@pytest.fixture
def start(folder, authority):
    """Starts a relay that trusts the authority; all end with the test."""
    relays = []

    def begin(to, *more, ca=None, **environment):
        relays.append(Relay(folder, to, "--ca-file", ca or authority.file, *more, **environment))
        return relays[-1]

    yield begin
    for relay in relays:
        said = relay.said()
        relay.close()
        assert KEY not in said and SECOND not in said and "private-word" not in said


@pytest.fixture
def key_file(folder):
    path = os.path.join(folder, "key")
    write_key(path, KEY)
    return path


def write_key(path, key):
    """As a careful owner does it: a new file takes the old one's place."""
    with open(path + ".new", "w", encoding="ascii", opener=private) as file:
        file.write(key + "\n")
    os.rename(path + ".new", path)


def private(path, flags):
    return os.open(path, flags, 0o600)


def problem(answer):
    status, headers, body = answer
    assert headers["Content-Type"] == "application/problem+json", answer
    document = json.loads(body)
    assert document["status"] == status
    return status, document["code"], document["detail"], document["fix"]


def test_an_answer_passes_piece_by_piece(server, start, key_file):
    go_on = threading.Semaphore(0)

    def answer(handler):
        begin_events(handler)
        for number in range(3):
            piece(handler, b"data: %d\n\n" % number)
            assert go_on.acquire(timeout=HANG_S)
        piece(handler, b"data: [DONE]\n\n")
        handler.wfile.write(b"0\r\n\r\n")

    server.answer = answer
    relay = start(server.at + "/base/v1/", "--key-file", key_file)
    client = relay.client()
    client.request("POST", PATH, PROMPT, {
        "Content-Type": "application/json", "Cookie": "c=d", "X-Forwarded-For": "10.0.0.1"})
    got = client.getresponse()
    assert (got.status, got.headers["Content-Type"]) == (200, "text/event-stream")
    assert "Set-Cookie" not in got.headers
    for number in range(3):  # each comes before the next one is sent
        assert got.readline() == b"data: %d\n" % number
        got.readline()
        go_on.release()
    assert got.read() == b"data: [DONE]\n\n"

    path, headers, body = server.asked[0]
    assert (path, body) == ("/base/v1/chat/completions", PROMPT)
    assert headers["Authorization"] == "Bearer " + KEY
    assert sorted(name.lower() for name in headers) == [
        "accept", "authorization", "content-length", "content-type", "host", "user-agent"]


def test_only_four_paths_reach_the_server(server, start):
    relay = start(server.at)
    for method, path in (("GET", "/"), ("GET", PATH), ("POST", "/v1/models"), ("POST", "/health"),
                         ("POST", "/v1/chat/completions/x"), ("DELETE", PATH)):
        assert relay.ask(method, path)[0] in (404, 405), path
    assert relay.ask("GET", "/health")[0] == 200
    assert server.connections == 0

    kind = "multipart/form-data; boundary=x"
    for tail in ("chat/completions", "completions", "embeddings", "audio/transcriptions"):
        assert relay.ask("POST", "/v1/" + tail, Content_Type=kind)[0] == 200
        path, headers, _ = server.asked[-1]
        assert (path, headers["Content-Type"]) == ("/v1/" + tail, kind)
        assert "Authorization" not in headers
    assert server.connections == 1  # kept from call to call


def test_a_redirect_is_not_followed(server, start, pair, key_file):
    other = Server(pair)
    server.answer = lambda handler: plain(handler, 307, Location=other.at + "/v1?q=1")
    relay = start(server.at, "--key-file", key_file)
    status, code, detail, fix = problem(relay.ask())
    other.close()
    assert (status, code, other.connections) == (502, "net.status", 0)
    assert "307" in detail and other.at in detail and "q=1" not in detail
    assert "final address" in fix


@pytest.mark.parametrize("status", [429, 503, 400, 401, 500])
def test_a_refusal_passes_with_its_time(server, start, status):
    server.answer = lambda handler: plain(handler, status, b'{"error":1}', Retry_After="17")
    relay = start(server.at)
    got, headers, body = relay.ask()
    assert (got, headers["Retry-After"], body) == (status, "17", b'{"error":1}')
    assert headers["Content-Type"] == "application/json"


def test_a_server_that_hangs_costs_the_timeout(server, start):
    end = threading.Event()
    server.answer = lambda handler: end.wait(HANG_S)
    relay = start(server.at, "--timeout", "300")
    status, code, _, fix = problem(relay.ask())
    end.set()
    assert (status, code) == (504, "net.timeout") and "300 ms" in fix


def test_a_server_that_hangs_within_an_answer_cuts_it(server, start):
    end = threading.Event()

    def answer(handler):
        begin_events(handler)
        piece(handler, b"data: 1\n\n")
        end.wait(HANG_S)

    server.answer = answer
    for timeout in ("300", "3000", "30000", "300000"):  # the head comes within one
        relay = start(server.at, "--timeout", timeout)
        try:
            assert relay.ask()[0] == 504
        except http.client.IncompleteRead as cut:
            if not cut.partial:  # the time was over behind the head
                continue
            assert cut.partial == b"data: 1\n\n"
            break
    else:
        pytest.fail("no answer has begun")
    end.set()


def test_a_client_that_leaves_ends_the_call(server, start):
    left = threading.Event()

    def answer(handler):
        begin_events(handler)
        piece(handler, b"data: 1\n\n")
        if handler.rfile.read(1) == b"":  # nothing is sent before the end
            left.set()

    server.answer = answer
    relay = start(server.at, "--timeout", "3600000", "--sessions", "1")
    client = relay.client()
    client.request("POST", PATH, b"{}")
    got = client.getresponse()
    assert got.readline() == b"data: 1\n"
    got.close()
    client.close()
    assert left.wait(HANG_S)
    server.answer = plain
    assert relay.ask()[0] == 200  # its session is free again


def test_a_client_that_leaves_before_the_head_ends_the_call(server, start):
    left = threading.Event()

    def answer(handler):
        if handler.rfile.read(1) == b"":
            left.set()

    server.answer = answer
    relay = start(server.at, "--timeout", "3600000")
    client = relay.client()
    client.request("POST", PATH, b"{}")
    until("the server is asked", lambda: len(server.asked) == 1)
    client.close()
    assert left.wait(HANG_S)


def test_a_server_of_another_authority_is_refused(server, start, folder, key_file):
    relay = start(server.at, "--key-file", key_file, ca=Authority(folder, "stranger").file)
    status, code, detail, fix = problem(relay.ask())
    assert (status, code, server.asked) == (502, "net.tls", [])
    assert server.at in detail and "issuer" in detail and "CA file" in fix


def test_nobody_there_is_told(start):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        relay = start("https://127.0.0.1:%d/v1" % taken.getsockname()[1])
        status, code, detail, _ = problem(relay.ask())
    assert (status, code) == (502, "net.unreachable") and "127.0.0.1" in detail


def test_a_new_key_counts_for_the_next_call(server, start, key_file):
    relay = start(server.at, "--key-file", key_file)
    assert relay.ask()[0] == 200
    write_key(key_file, SECOND)
    assert relay.ask()[0] == 200
    assert [headers["Authorization"] for _, headers, _ in server.asked] == [
        "Bearer " + KEY, "Bearer " + SECOND]

    os.remove(key_file)  # the owner takes it back
    status, code, detail, _ = problem(relay.ask())
    assert (status, code) == (502, "absent") and key_file in detail
    assert len(server.asked) == 2
    write_key(key_file, KEY)
    assert relay.ask()[0] == 200


def test_devices_know_each_other_by_the_fleet(folder, start, authority, pair):
    ours = authority.issue("dev-a", "clientAuth")
    flags = ["--device", "--cert-file", ours, "--cert-key-file", ours]
    device = Server(authority.issue("dev-b", "clientAuth"), authority.file)
    relay = start(device.at, *flags)
    assert relay.ask()[0] == 200
    assert device.peers == ["dev-a"]

    os.replace(authority.issue("dev-a2", "clientAuth"), ours)  # renewed
    assert relay.ask()[0] == 200
    assert device.peers == ["dev-a", "dev-a2"]
    device.close()

    stranger = Authority(folder, "foreign")
    for foreign in (stranger.issue("dev-c", "clientAuth"), pair):
        one = Server(foreign, authority.file)
        status, code, _, _ = problem(start(one.at, *flags).ask())
        one.close()
        assert (status, code, one.asked) == (502, "net.tls", [])

    other = stranger.issue("dev-d", "clientAuth")
    refuses = Server(authority.issue("dev-e", "clientAuth"), authority.file)
    relay = start(refuses.at, "--device", "--cert-file", other, "--cert-key-file", other)
    status, _, _, fix = problem(relay.ask())
    refuses.close()
    assert status == 502 and "trusts our certificate" in fix
    assert refuses.asked == []


def test_a_proxy_of_the_environment_carries_endpoints_alone(server, start, authority, key_file):
    tunnel = Tunnel()
    port = server.at.rsplit(":", 1)[1]
    named = "https://127.0.0.2:" + port  # where nobody listens
    relay = start(named + "/v1", "--key-file", key_file, https_proxy=tunnel.at)
    status, headers, body = relay.ask()
    assert (status, body) == (200, b'{"ok":true}') and "X-Tunnel" not in headers
    (head,) = tunnel.asked
    assert head.startswith("CONNECT 127.0.0.2:%s " % port) and KEY not in head

    ours = authority.issue("dev-p", "clientAuth")
    relay = start(named, "--device", "--cert-file", ours, "--cert-key-file", ours,
                  https_proxy=tunnel.at)
    assert problem(relay.ask())[1] == "net.unreachable"
    relay = start(server.at, https_proxy=tunnel.at)  # this machine
    assert relay.ask()[0] == 200
    assert len(tunnel.asked) == 1
    tunnel.close()


def test_a_body_of_20_mb_is_refused(server, start):
    relay = start(server.at)
    client = relay.client()
    client.putrequest("POST", PATH)
    client.putheader("Content-Length", str(20_000_000))
    client.endheaders()
    answer = client.getresponse()
    assert answer.status == 413 and json.loads(answer.read())["code"] == "rest.too_large"
    client.close()
    body = b"x" * (8 << 20)  # the most
    assert relay.ask(body=body)[0] == 200
    assert server.asked[0][2] == body


@pytest.mark.parametrize("is_told", [True, False])
def test_an_answer_has_at_most_64_mib(server, start, is_told):
    part = b"x" * (1 << 20)

    def answer(handler):
        if is_told:
            plain(handler, body=part * 65)
        else:
            begin_events(handler)
            for _ in range(65):
                piece(handler, part)
            handler.wfile.write(b"0\r\n\r\n")

    server.answer = answer
    relay = start(server.at)
    if is_told:
        assert problem(relay.ask())[:2] == (502, "net.content")
    else:
        with pytest.raises(http.client.IncompleteRead):
            relay.ask()


def test_a_slow_reader_slows_the_server(server, start):
    part, count = b"x" * (1 << 18), 200
    sent = []

    def answer(handler):
        begin_events(handler)
        for _ in range(count):
            piece(handler, part)
            sent.append(len(part))
        handler.wfile.write(b"0\r\n\r\n")

    server.answer = answer
    relay = start(server.at, "--timeout", "3600000")
    relay.ask("GET", "/health")
    before = relay.memory()
    client = relay.client()
    client.request("POST", PATH, b"{}")
    got = client.getresponse()

    # Turns of the relay's loop, in each of which it could read on.
    still = was = 0
    while still < 300 and len(sent) < count:
        relay.ask("GET", "/health")
        still, was = (still + 1 if len(sent) == was else 0), len(sent)
    assert len(sent) < count
    assert relay.memory() - before < 8 << 20
    assert len(got.read()) == count * len(part)
    assert relay.memory() - before < 8 << 20
    client.close()


def test_further_calls_are_told_to_wait(server, start):
    end = threading.Event()

    def answer(handler):
        end.wait(HANG_S)
        plain(handler)

    server.answer = answer
    relay = start(server.at, "--sessions", "2")
    clients = [relay.client() for _ in range(2)]
    for client in clients:
        client.request("POST", PATH, b"{}")
    until("both are there", lambda: len(server.asked) == 2)
    status, headers, body = relay.ask()
    assert (status, headers["Retry-After"]) == (503, "1")
    assert json.loads(body)["code"] == "infer.busy"
    assert relay.ask("GET", "/health")[0] == 200
    end.set()
    assert [client.getresponse().status for client in clients] == [200, 200]


def test_a_wrong_line_is_refused(folder, key_file, authority):
    wide = os.path.join(folder, "wide")
    with open(wide, "w", encoding="ascii") as file:
        file.write(KEY)
    os.chmod(wide, 0o644)
    empty = os.path.join(folder, "empty")
    write_key(empty, "")
    for words, code in ((["--to", "http://example.com/v1"], "cfg.range"),
                        (["--to", "https://u:p@example.com"], "cfg.range"),
                        (["--to", "https://example.com/a?b"], "cfg.range"),
                        (["--key-file", wide], "cfg.perm"),
                        (["--key-file", empty], "cfg.range"),
                        (["--key-file", key_file + ".no"], "absent"),
                        (["--device", "--ca-file", authority.file], "usage"),
                        (["--cert-file", key_file], "usage"),
                        (["--listen", "127.0.0.1:0"], "usage"),
                        (["--sessions", "17"], "usage")):
        done = subprocess.run(
            [os.path.join(BIN, "flotilla-relay"), "--listen", "unix:%s/s" % folder,
             "--to", "https://127.0.0.1:1", *words],
            capture_output=True, text=True, check=False, timeout=HANG_S)
        assert done.returncode != 0 and code in done.stderr, (words, done.stderr)
        assert KEY not in done.stderr


def test_the_relay_ends_with_its_parent(folder):
    """Its parent is a program that starts it, says its number and waits."""
    words = [os.path.join(BIN, "flotilla-relay"), "--listen", "unix:%s/parent" % folder,
             "--to", "https://127.0.0.1:1", "--sandbox", "preferred"]
    parent = subprocess.Popen(
        [sys.executable, "-c", "import subprocess, sys\n"
         "one = subprocess.Popen(sys.argv[1:])\nprint(one.pid, flush=True)\none.wait()", *words],
        stdout=subprocess.PIPE, text=True)
    number = int(parent.stdout.readline())
    until("it listens", lambda: os.path.exists(folder + "/parent"))
    parent.kill()
    parent.wait()

    def is_gone():
        try:
            with open("/proc/%d/stat" % number, encoding="ascii") as file:
                return file.read().rsplit(")", 1)[1].split()[0] == "Z"
        except OSError:
            return True

    until("the relay has ended", is_gone)
