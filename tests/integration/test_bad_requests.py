"""Bad requests, bad words on the command line, bad configurations: a typed error
with its fix, in time, and nothing else happens.
"""
import http.client
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess

import pytest

import fleet as F

from bad_parts import (ESCAPES, OLD, expect, raw, refused, rest,  # noqa: F401
    rogue, rss, scratch, unharmed, up)
from waits import HANG_S, Seen, same, until

# ---- REST ----

def malformed(path, auth):
    """(what, statuses, bytes) of broken requests to a POST path."""
    post = b"POST %s HTTP/1.1\r\nHost: localhost\r\n" % path + auth
    get = b"GET %s HTTP/1.1\r\nHost: localhost\r\n" % path + auth
    yield "RE02 body of 1 GiB", {413}, \
        post + b"Content-Length: 1073741824\r\n\r\n{"
    yield "length of 2^64", {400, 413}, \
        post + b"Content-Length: 18446744073709551616\r\n\r\n{"
    yield "negative length", {400}, post + b"Content-Length: -1\r\n\r\n"
    yield "two lengths", {400}, \
        post + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}"
    yield "length and chunks", {400}, \
        post + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}"
    yield "bad chunk size", {400}, \
        post + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n"
    yield "chunk of 2^64", {400, 413}, \
        post + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n"
    yield "RE02 chunks without end", {413, 400}, \
        post + b"Transfer-Encoding: chunked\r\n\r\n" + \
        (b"8000\r\n" + b"a" * 0x8000 + b"\r\n") * 70
    yield "RE03 line of 1 MiB", {431, 414, 400}, \
        b"GET /" + b"a" * 1048576 + b" HTTP/1.1\r\n\r\n"
    yield "RE03 10,000 headers", {431, 400}, \
        get + b"".join(b"X-%d: y\r\n" % i for i in range(10000)) + b"\r\n"
    yield "RE03 no colon", {400}, get + b"nonsense\r\n\r\n"
    yield "blank before the colon", {400}, get + b"Accept : x\r\n\r\n"
    yield "folded header", {400}, get + b"A: b\r\n c\r\n\r\n"
    yield "NUL in a header", {400}, get + b"A: b\0c\r\n\r\n"
    yield "no HTTP", {400}, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n"
    yield "HTTP/9", {400, 505}, b"GET / HTTP/9.9\r\n\r\n"
    yield "walk", {400, 404}, b"GET /app/../../../etc/passwd HTTP/1.1\r\n" \
        b"Host: localhost\r\n" + auth + b"\r\n"
    yield "walk, escaped", {400, 404}, \
        b"GET /app/%2e%2e/%2e%2e/etc/passwd HTTP/1.1\r\n" \
        b"Host: localhost\r\n" + auth + b"\r\n"
    for what, body in (("JSON cut", b'{"a":'), ("deep JSON", b"[" * 3000),
                       ("two keys", b'{"a":1,"a":2}'), ("no UTF-8", b'"\xff"'),
                       ("NaN", b'{"a":NaN}'), ("empty", b"")):
        yield what, {400, 422}, post + \
            b"Content-Length: %d\r\n\r\n" % len(body) + body


def check_malformed(where, path, auth):
    for what, statuses, data in malformed(path, auth):
        got = raw(where, data)
        assert got[:5] == b"HTTP/", (what, got[:100])
        status = int(got.split(b" ", 2)[1])
        assert status in statuses, (what, got[:300])
        body = got.partition(b"\r\n\r\n")[2]
        assert b"rest." in body or b"infer." in body, (what, got[:600])


def test_malformed_requests_to_the_controller(up):
    before = rss(up.controller.pid)
    check_malformed(up.port, b"/v1/rollouts",
                    b"Authorization: Bearer %s\r\n" % up.admin.encode())
    assert rss(up.controller.pid) - before < 32 << 20


def test_malformed_requests_to_the_devices_api(up):
    device = up.devices["a"]
    before = rss(device.process.pid)
    check_malformed(device.api, b"/v1/completions", b"")
    assert rss(device.process.pid) - before < 32 << 20


def test_who_may_not_do_it_is_told_and_written_down(up):
    viewer = up.ask("token", "create", "--kind", "access", "--role", "viewer",
                    "--name", "v")["token"]
    for method, path, body in (
            ("POST", "/v1/rollouts", {"release": "tiny@1"}),
            ("POST", "/v1/orders", {"op": "freeze", "everywhere": True, "confirm": "test"}),
            ("POST", "/v1/tokens", {"kind": "enroll"}),
            ("DELETE", "/v1/devices/a", None),
            ("POST", "/v1/releases/tiny@1/yank", {})):
        status, answer = rest(up, method, path, body, viewer)
        assert (status, answer["code"]) == (403, "rest.role"), answer  # RE15
    for token in ("x", "flt_pat_" + "0" * 40, viewer + "0", "a" * 6000):
        status, answer = rest(up, "GET", "/v1/devices", token=token)
        assert (status, answer["code"]) == (401, "rest.auth")
    status, answer = rest(up, "POST", "/v1/orders", {
        "op": "freeze", "everywhere": True, "confirm": "test"}, headers={
            "Authorization": "", "Cookie": "token=" + up.admin,
            "Origin": "http://evil.example"})
    assert status == 401  # RE18: a cookie is nobody's word
    log = json.dumps(up.ask("audit", "list"))
    assert "rest.role" in log and viewer not in log


def test_sql_in_filters_and_names_finds_nothing(up):
    for word in ("a' OR '1'='1", "a'; DROP TABLE devices;--", "%", "a%00b",
                 "\u202e"):
        quoted = "".join("%%%02x" % byte for byte in word.encode())
        status, answer = rest(up, "GET", "/v1/devices?group=" + quoted)
        assert status in (200, 400) and not answer.get("items"), answer
        status, _ = rest(up, "GET", "/v1/devices/" + quoted)
        assert status in (400, 404)
        status, _ = rest(up, "GET", "/v1/rollouts/" + quoted)
        assert status in (400, 404)
    assert [d["name"] for d in up.ask("device", "list")] == ["a"]


def test_bad_rollouts_are_refused(up):
    good = {"release": "tiny@2", "phases": [{"name": "all", "share_pct": 100}]}
    before = up.ask("rollout", "list")
    for more, status in (
            ({"release": "tiny@99"}, 404), ({"group": "nowhere"}, 404),
            ({"phases": [{"name": "x", "share_pct": 200}]}, 400),
            ({"phases": [{"name": "x", "share_pct": 1e308}]}, 400),
            ({"phases": []}, 400), ({"phases": "all"}, 400),
            ({"phases": [{"name": "x", "share_pct": 1}] * 200}, 400),
            ({"polcy": {}}, 400), ({"policy": {"soak_ms": -1}}, 400),
            ({"policy": {"soak_ms": 2 ** 63}}, 400), ({"on_fail": "x"}, 400),
            ({"gates": {"failed": {"max_pct": 101}}}, 400),
            ({"gates": {"preset": "normal", "ttft_p95": {
                "limit_pct": -1}}}, 400),
            ({"gates": {"preset": "normal", "ttft_p95": {"weight": 1}}}, 400),
            ({"gates": {"preset": "normal", "hold_out_pct": 51}}, 400),
            ({"gates": {"preset": "normal", "errors": {"floor": 2}}}, 422),
            ({"gates": {"preset": "normal", "coverage": {"floor": 1}}}, 422),
            ({"cover": "nobody"}, 422),
            ({"phases": [{"devices": 2}, {"devices": 1}]}, 422),
            ({"phases": [{"share_pct": 100, "watch": "1h"}]}, 422),
            ({"soak": "2h", "deadlines": {"soaking": "1s"}}, 422)):
        got, answer = rest(up, "POST", "/v1/rollouts", dict(good, **more))
        assert got == status, (more, answer)
        assert answer["code"] and answer["fix"], answer
    assert up.ask("rollout", "list") == before


def test_an_old_etag_and_another_body_under_a_used_key_are_refused(up):
    key = {"Idempotency-Key": "bad-input-1"}
    body = {"op": "config", "everywhere": True, "heartbeat_ms": 1000, "confirm": "test"}
    first = rest(up, "POST", "/v1/orders", body, headers=key)
    assert rest(up, "POST", "/v1/orders", body, headers=key) == first
    status, answer = rest(up, "POST", "/v1/orders", dict(body, reason="x"),
                          headers=key)
    assert (status, answer["code"]) == (422, "rest.key_reused"), answer
    assert "Idempotency-Key" in answer["title"], answer
    status, answer = rest(up, "POST", "/v1/rollouts/r-0001/actions",
                          {"action": "pause"}, headers={
                              "If-Match": '"stale"'})
    assert (status, answer["code"]) == (412, "rest.stale"), answer
    assert up.ask("rollout", "get", "r-0001")["state"] == "completed"


def test_500_open_connections_do_not_keep_others_out(up):
    device = up.devices["a"]
    held = []
    try:
        for _ in range(250):
            one = socket.create_connection(("127.0.0.1", up.port), HANG_S)
            one.sendall(b"GET / HT")
            held.append(one)
            other = socket.socket(socket.AF_UNIX)
            other.connect(device.api)  # blocks while the queue is full
            other.sendall(b"GET / HT")
            held.append(other)
        turned_away = sum(1 for one in held if is_over(one))
        assert turned_away > 0 or len(held) == 500
        status, _ = device.get("/health")
        # a client of the same socket is served, or told to wait
        assert status in (200, 503)
    finally:
        for one in held:
            one.close()
    def answers():
        try:
            return same(rest(up, "GET", "/v1/devices")[0], 200)
        except (OSError, http.client.HTTPException) as error:
            return Seen(error)  # those connections are still there
    until("the controller answers", answers)


def is_over(one):
    one.setblocking(False)
    try:
        return one.recv(10) is not None
    except BlockingIOError:
        return False
    except OSError:
        return True


# ---- the command line ----

def test_nothing_that_is_typed_wrong_does_anything(up):
    audit = up.ask("audit", "verify")["records"]
    for args, ids in (
            (("device", "lst"), "cli.usage"), (("device",), "cli.usage"),
            (("nonsense",), "cli.usage"), (("device", "list", "x"),
                                           "cli.usage"),
            (("token", "create", "a"), "cli.usage"),
            (("device", "list", "--nonsense"), "cli.usage"),
            (("device", "list", "-o", "yml"), "cli.usage"),
            (("device", "list", "--state", "maybe"), "cli.usage"),
            (("rollout", "wait", "r-0001", "--for", "complet"), "cli.usage"),
            (("rollout", "wait", "r-0001", "--timeout", "-5s"), "cli.usage"),
            (("rollout", "start", "tiny@2", "--phase", "200%"), "cli.usage"),
            (("rollout", "start", "tiny@2", "--phase", "0"), "cli.usage"),
            (("rollout", "start", "tiny@2", "--soak", "1y"), "cli.usage"),
            (("rollout", "freeze"), "cli.usage"),
            (("rollout", "rollback", "--release", "tiny@1"), "cli.usage"),
            (("rollout", "rollback", "--release", "tiny@1", "--everywhere",
              "--confirm", "tiny@2"), "cli.usage"),
            (("device", "delete", "a", "--confirm", "b"), "cli.usage"),
            (("telemetry", "query"), "cli.usage"),
            (("explain",), "cli.usage"), (("login", "ftp://x", "--token-file",
                                           up.admin_token), "cfg.range")):
        refused(up, 2, ids, "flotilla", *args)
    for program in ("flotilla", "flotilla-agent", "flotilla-controller",
                    "flotilla-updater", "flotilla-engine", "flotilla-model"):
        assert up.program(program, check=False)[0] == 2
        refused(up, 2, "cli.usage", program, "nonsense")
        refused(up, 2, "cli.usage", program, ESCAPES)
        assert "flotilla" in up.program(program, "--help")[1]
    assert up.ask("audit", "verify")["records"] == audit


def test_every_flag_of_a_rollout_is_understood(up):
    plan = up.ask("rollout", "start", "tiny@2", "--dry-run", "--group", "all",
                  "--phase", "1", "--phase", "100%", "--soak", "1m",
                  "--soak-requests", "5", "--on-fail", "pause",
                  "--max-failed", "2", "--silence", "30m", "--rate", "1000000",
                  "--probe-timeout", "10s", "--reason", "why")
    assert len(plan["phases"]) == 2, plan


def test_format_strings_are_printed_as_they_are(up):
    text = "%n%s%x%99999d"
    for args in (("flotilla", "device", "get", text),
                 ("flotilla", "explain", text), ("flotilla", text),
                 ("flotilla-engine", "run", "--model", text, "--prompt", "x"),
                 ("flotilla-agent", "--config", text),
                 ("flotilla-updater", "delta", "apply", text, "b", "c")):
        code, _, err = up.program(*args, check=False)
        assert code in (2, 3) and text in err, err


def test_an_absent_controller_is_said_by_every_command(up):
    gone = ["--controller", "http://127.0.0.1:1", "--token-file",
            up.admin_token]
    for args in (("device", "list"), ("device", "get", "a"),
                 ("release", "list"), ("release", "get", "tiny@1"),
                 ("release", "publish", "tiny@1"), ("rollout", "list"),
                 ("rollout", "get", "r-0001"), ("rollout", "start", "tiny@1"),
                 ("rollout", "watch", "r-0001"), ("rollout", "wait", "r-0001"),
                 ("rollout", "pause", "r-0001"), ("audit", "list"),
                 ("rollout", "freeze", "--confirm", "test"),
                 ("telemetry", "query", "ttft_us"), ("token", "list"),
                 ("token", "create"), ("bundle", "create", "tiny@1", "--to",
                                       os.path.join(up.scratch, "absent.tar"))):
        done = refused(up, 6, "net.unreachable", "flotilla", *args, *gone)
        assert "127.0.0.1:1" in done[2]
    assert not os.path.exists(os.path.join(up.scratch, "absent.tar"))


def test_a_token_is_not_sent_to_a_controller_it_is_not_for(up):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        refused(up, 4, "rest.auth", "flotilla", "device", "list",
                "--controller", "http://127.0.0.1:%d" %
                listener.getsockname()[1])
        # Had it connected before it ended, its connection would wait here.
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.accept()


def test_every_command_prints_json_when_asked(up):
    for args in (("device", "list"), ("device", "get", "a"),
                 ("device", "get", "a", "--timeline"), ("release", "list"),
                 ("release", "get", "tiny@1"), ("release", "publish", "tiny@1"),
                 ("rollout", "list"), ("rollout", "get", "r-0001"),
                 ("rollout", "wait", "r-0001"), ("rollout", "watch", "r-0001"),
                 ("telemetry", "query", "ttft_us"), ("token", "list"),
                 ("token", "create"), ("audit", "list"), ("audit", "verify"),
                 ("context", "view"), ("version",), ("explain", "sig.bad"),
                 ("key", "create", "k", "--to", up.scratch),
                 ("key", "trust", up.key[:-4] + ".pub"),
                 ("model", "import", OLD),
                 ("bundle", "create", "tiny@1", "--to",
                  os.path.join(up.scratch, "b.tar"))):
        json.loads(up.cli(*args, "-o", "json")[1])


def test_a_closed_pipe_is_no_error_and_no_colours_are_sent_to_files(up):
    for args in (["flotilla", "audit", "list"], ["flotilla", "--help"],
                 ["flotilla-engine", "--help"]):
        process = subprocess.Popen([up.path(args[0])] + args[1:], env=up.env,
                                   stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE)
        process.stdout.close()
        assert process.wait(HANG_S) in (0, 1, -signal.SIGPIPE)
        assert process.stderr.read() == b""
        process.stderr.close()
    for name in ("device", "rollout"):
        assert "\x1b" not in up.cli(name, "list")[1]


def test_ctrl_c_leaves_the_wait_not_the_rollout(up):
    started = rest(up, "POST", "/v1/rollouts", {
        "release": "tiny@1", "phases": [
            {"share_pct": 100, "soak_ms": 86400000}]})[1]["id"]
    for command in ("wait", "watch"):
        process = subprocess.Popen(
            [up.path("flotilla"), "rollout", command, started], env=up.env,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        process.stderr.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(HANG_S) in (130, -signal.SIGINT)  # a shell's 130
        process.stderr.close()
    assert up.ask("rollout", "get", started)["state"] == "running"
    up.cli("rollout", "abort", started)


# ---- configuration ----

def test_bad_configurations_are_refused_with_line_and_range(up):
    state = os.path.join(up.scratch, "state")
    os.makedirs(state, mode=0o700, exist_ok=True)
    head = "state_dir: %s\n" % json.dumps(state)
    token = scratch(up, "open.token", b"0" * 40)
    os.chmod(token, 0o644)
    for text, ids, word in (
            (head + "heartbeet: 2s\n", "cfg.key", "heartbeat"),
            (head + "keepalive: -1s\n", "cfg.", "keepalive"),
            (head + "keepalive: 1s\n", "cfg.range", "5"),
            (head + "threads: 65\n", "cfg.range", "64"),
            (head + "threads: many\n", "cfg.type", "threads"),
            (head + "threads: [1]\n", "cfg.type", "threads"),
            (head + "threads: 1\nthreads: 2\n", "cfg.", "threads"),
            (head + "memory_budget: 5\n", "cfg.range", "memory_budget"),
            (head + "memory_budget: 99999999999999999999MiB\n", "cfg.",
             "memory_budget"),
            (head + "log: loud\n", "cfg.range", "loud"),
            (head + "listen:\n  - 127.0.0.1:70000\n", "cfg.", "70000"),
            (head + "token_file: %s\n" % json.dumps(token), "cfg.perm",
             "0600"),
            ("threads: 2\n", "cfg.key", "state_dir"),
            (head + "log: \x00\x01\n", "cfg.parse", ""),
            (head + "a: &a [*a]\n", "cfg.", ""),
            (head + "listen: {{{{\n", "cfg.parse", "line"),
            (head + "- x\n", "cfg.parse", "line"), ("[", "cfg.parse", ""),
            ("\xff\xfe" * 100, "cfg.parse", ""),
            (head + "x: " + "[" * 5000, "cfg.", "")):
        path = scratch(up, "agent.yaml", text.encode("latin-1"))
        args = ["--config", path]
        done = refused(up, 2, ids, "flotilla-agent", *args, *(
            [] if "70000" in text else ["--check-config"]))
        assert word in done[2], (text, done[2])
    big = scratch(up, "agent.yaml", b"# " + b"x" * (20 << 20))
    refused(up, (2, 7), ("cfg.", "meta.too_large"), "flotilla-agent",
            "--config", big, "--check-config")


def test_a_page_of_another_site_is_not_answered(up):
    """Its name may point here (DNS rebinding); its Host header tells."""
    certificate = os.path.join(up.dir, "controller", "pki", "ca.pem")
    devices = int(up.devices_url.rsplit(":", 1)[1])

    def ask(port, host, secure):
        if secure:
            context = ssl.create_default_context(cafile=certificate)
            one = http.client.HTTPSConnection("127.0.0.1", port, timeout=HANG_S,
                                              context=context)
        else:
            one = http.client.HTTPConnection("127.0.0.1", port, timeout=HANG_S)
        one.request("GET", "/v1/version", headers={"Host": host})
        answer = one.getresponse()
        answer.read()
        one.close()
        return answer.status
    for port, secure in ((up.port, False), (devices, True)):
        for host in ("evil.example", "evil.example:%d" % port,
                     "localhost.evil.example", "127.0.0.1.evil.example",
                     "[evil]", "0x7f000001", "127.1"):
            assert ask(port, host, secure) == 421, host
        for host in ("127.0.0.1:%d" % port, "localhost", "LOCALHOST:1",
                     "192.0.2.7", "[::1]:%d" % port):
            assert ask(port, host, secure) == 200, host


def test_what_connecting_refuses_the_check_refuses(up):
    path = os.path.join(up.scratch, "urls.yaml")
    for key, url in (("broker", "tcp://127.0.0.1:1883"),
                     ("broker", "ws://127.0.0.1:9001"),
                     ("broker", "mqtt://broker.example:1883"),
                     ("broker", "mqtts://broker.example"),
                     ("broker", "mqtts://broker.example:70000"),
                     ("controller", "ftp://controller.example"),
                     ("controller", "http://controller.example")):
        with open(path, "w") as file:
            file.write("state_dir: %s\n%s: %s\n" % (
                os.path.join(up.scratch, "urls"), key, url))
        refused(up, 2, "cfg.range", "flotilla-agent", "--config", path,
                "--check-config")


OTHER = "0d9bc3c6-40d2-4f3b-8f2a-7a4a3c0f8f10"


def test_the_doctor_refuses_what_the_agent_does_not_start_with(up):
    """And names the same error."""
    device = F.Device(up, "doctored")
    device.enroll(up.token)
    path = os.path.join(device.state, "identity", "identity.json")
    with open(path, encoding="utf-8") as file:
        good = json.load(file)
    for change, word in (({"controller": "http://controller.example"},
                          "cfg.range"),
                         ({"mqtt": "mqtt://broker.example:1883"}, "cfg.range"),
                         ({"mqtt": ""}, "cfg.range"),
                         ({"device": "nobody"}, "meta."),
                         ({"device": OTHER}, "net.tls")):
        with open(path, "w", encoding="utf-8") as file:
            json.dump(dict(good, **change), file)
        refused(up, (2, 6, 7), word, "flotilla-agent", "--config",
                device.config)
        done = up.program("flotilla-agent", "doctor", "--config",
                          device.config, check=False)
        [line] = [one for one in done[1].split("\n") if " identity" in one]
        assert done[0] != 0 and "✗" in line and word in line, done
    shutil.rmtree(device.dir)
    up.cli("device", "delete", "doctored", "--confirm", "doctored")


def test_a_controller_with_bad_options_makes_nothing(up):
    data = os.path.join(up.scratch, "second")
    for args, code, ids in (
            (("--listen", "127.0.0.1:70000"), 2, "cli.usage"),
            (("--listen", "nonsense"), 2, "cli.usage"),
            (("--listen", "127.0.0.1:0", "--fleet", "a/b"), 7, "meta.name"),
            (("--listen", "127.0.0.1:0", "--fleet", ESCAPES), 7, "meta.name"),
            (("--listen", "127.0.0.1:0", "--heartbeat", "100ms"), 2,
             "cli.usage"),
            (("--listen", "127.0.0.1:0", "--heartbeat", "8d"), 2,
             "cli.usage"),
            (("--listen", "127.0.0.1:0", "--broker", "ftp://x"), 2, "cfg."),
            (("--listen", "127.0.0.1:0", "--chek"), 2, "cli.usage")):
        refused(up, code, ids, "flotilla-controller", "--data", data, *args)


def test_a_used_or_foreign_enrolment_token_makes_no_device(up):
    token = os.path.join(up.scratch, "once.token")
    up.cli("token", "create", "--uses", "1", "--to", token, "-q")
    text = open(token).read().strip()
    state = os.path.join(up.scratch, "e")

    def enrol(name, secret, code, ids, *more):
        path = scratch(up, "t", secret.encode())
        os.chmod(path, 0o600)
        done = up.program("flotilla-agent", "enroll", "--controller",
                          up.devices_url, "--token-file", path, "--state-dir",
                          state + name, "--name", name, *more, check=False)
        if code:
            expect(done, code, ids)
        else:
            assert done[0] == 0, done
        return done[1]
    told = json.loads(enrol("first", text, 0, (), "-o", "json"))
    assert (told["name"], told["groups"]) == ("first", ["all"]), told
    assert set(told) == {"device", "name", "fleet", "controller", "broker",
                         "key", "groups"}
    enrol("second", text, 4, "enrol.token")
    enrol("third", text[:-1] + ("0" if text[-1] != "0" else "1"), (4, 6),
          ("net.tls", "enrol.token"))  # another authority's fingerprint
    enrol("fourth", "flt1." + "a" * 26 + "." + text.split(".")[2], 4,
          "enrol.token")
    for secret in ("", "x", "flt1..", "\x00" * 30, "flt1." + "a" * 5000):
        enrol("fifth", secret, (2, 4, 6, 7), ("enrol.", "cli.", "cfg.",
                                              "meta."))
    enrol(ESCAPES, text, (2, 7), "meta.name")
    assert sorted(d["name"] for d in up.ask("device", "list")) in (
        ["a", "first"], ["a", "first", "rogue"])
    up.cli("device", "delete", "first", "--confirm", "first")


def test_a_slow_client_is_not_waited_for(up):
    """The last test: they have waited for most of it."""
    for what, one in up.slow.items():
        try:
            text = one.recv(4096)
        except ConnectionResetError:
            text = b""
        assert text == b"" or b" 408 " in text, (what, text)
        one.close()
