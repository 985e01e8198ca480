"""Bad input, row by row: a typed error with its fix, and nothing else happens.

The shipped programs against one real fleet.  Row numbers (GG02, PA12, ...) are
those of the project's table of bad inputs.  After every test the device must
serve what it served, by the same process, and the controller be alive.
"""
import base64
import concurrent.futures
import contextlib
import glob
import hashlib
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time

import pytest

import bad_files as bad
import fleet as F
from conftest import MODELS
from controller_parts import sign
from mqtt_client import Client

RELEASE = "application/vnd.flotilla.release.v1+json"
ORDER = "application/vnd.flotilla.order.v1+json"
OLD = os.path.join(MODELS, "tiny-v2.Q4_0.gguf")
NEW = os.path.join(MODELS, "tiny-v2.1.Q4_0.gguf")
GOLDEN = os.path.join(MODELS, "golden-tiny-v2.json")
QUESTION = "Rate this log line: 20:25 gateway-42 link lost temp=94C"
ESCAPES = "\x1b[31mred\x07\x9b2J\u202etxt"


@pytest.fixture(scope="module")
def up(fleet):
    fleet.up(["a"])
    fleet.publish("tiny@1", "tiny-v2.Q4_0.gguf")
    fleet.publish("tiny@2", "tiny-v2.1.Q4_0.gguf", "golden-tiny-v2.1.json")
    fleet.roll("tiny@1")
    fleet.bundle = os.path.join(fleet.dir, "tiny2.tar")
    fleet.cli("bundle", "create", "tiny@2", "--to", fleet.bundle)
    fleet.trust = os.path.join(fleet.devices["a"].state, "identity",
                               "trust.json")
    fleet.scratch = os.path.join(fleet.dir, "scratch")
    os.makedirs(fleet.scratch)
    fleet.admin = open(fleet.admin_token).read().strip()
    fleet.id = fleet.ask("device", "get", "a")["id"]
    fleet.slow = slow_clients(fleet)
    return fleet


def slow_clients(fleet):
    """Clients that never end their head or body; the last test looks."""
    found = {}
    auth = b"Authorization: Bearer %s\r\n" % fleet.admin.encode()
    for name, where, path in (
            ("controller", fleet.port, b"/v1/rollouts"),
            ("device", fleet.devices["a"].api, b"/v1/completions")):
        for what, text in (
                ("head", b"POST %s HTTP/1.1\r\nHost: localh" % path),
                ("body", b"POST %s HTTP/1.1\r\nHost: localhost\r\n%s"
                         b"Content-Length: 100\r\n\r\n{" % (path, auth))):
            one = socket.socket(socket.AF_INET if isinstance(where, int)
                                else socket.AF_UNIX)
            one.connect(("127.0.0.1", where) if isinstance(where, int)
                        else where)
            one.sendall(text)
            found[name + " " + what] = (one, time.monotonic())
    return found


def outside(fleet):
    """Every file that no program may make: outside of state and data."""
    found = set()
    for here, folders, names in os.walk(fleet.dir):
        folders[:] = [f for f in folders if f not in (
            "state", "controller", "scratch", "cli")]
        found |= {os.path.join(here, name) for name in names}
    return found | set(glob.glob("/tmp/flotilla-bad-input*"))


@pytest.fixture(autouse=True)
def unharmed(up):
    device = up.devices["a"]
    before, slots = outside(up), slots_of(up)
    pid, controller = device.process.pid, up.controller.pid
    yield
    assert device.process.poll() is None and device.process.pid == pid
    assert up.controller.poll() is None and up.controller.pid == controller
    text, release, _ = device.ask(QUESTION, "tiny")
    assert release == "tiny@1" and text
    assert slots_of(up) == slots
    assert outside(up) - before == set()
    for log in (device.log, os.path.join(up.dir, "controller.log")):
        assert "Sanitizer" not in open(log, errors="replace").read()


def slots_of(fleet):
    """What the device's record names: current, previous, candidate."""
    return json.loads(fleet.program(
        "flotilla-agent", "status", "--config", fleet.devices["a"].config,
        "-o", "json")[1])["slots"]


def expect(done, code, ids, seconds=None, took=0):
    """`code` and one of the `ids` (or their beginnings), in the right form."""
    got, out, err = done
    ids = [ids] if isinstance(ids, str) else ids
    codes = [code] if isinstance(code, int) else code
    assert got in codes, (got, out, err)
    assert any("error[" + one in err for one in ids), (ids, err)
    assert re.search(r"^error\[[a-z_.]+\]: \S.*$", err, re.M), err
    assert re.search(r"^  fix: \S.*$", err, re.M), err
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", err), repr(err)
    assert seconds is None or took < seconds, (took, err)


def refused(fleet, code, ids, program, *args, seconds=2):
    begin = time.monotonic()
    done = fleet.program(program, *args, check=False, timeout=10)
    expect(done, code, ids, seconds, time.monotonic() - begin)
    return done


def scratch(fleet, name, data):
    path = os.path.join(fleet.scratch, name)
    with open(path, "wb") as file:
        file.write(data)
    return path


# ---- models ----------------------------------------------------------------

def test_damaged_models_are_refused_by_the_engine(up):
    for row, ids, data in bad.bad_models(OLD):
        path = scratch(up, "bad.gguf", data)
        try:
            refused(up, (7, 10), ids, "flotilla-engine", "run", "--model",
                    path, "--prompt", "x", "--n", "1")
        except AssertionError as error:
            raise AssertionError(row) from error


def test_a_context_of_2_to_the_31_is_clamped_or_refused_with_numbers(up):
    path = scratch(up, "context.gguf", bad.Gguf(OLD).value(
        "llama.context_length", "<I", 2 ** 31))
    code, _, _ = up.program("flotilla-engine", "run", "--model", path,
                            "--prompt", "x", "--n", "1")
    assert code == 0
    code, out, err = up.program(
        "flotilla-engine", "plan", "--model", path, "--ctx", str(2 ** 30),
        "--json", check=False)
    assert code in (0, 2, 7, 10), err
    assert re.search(r"\d{9,}", out + err), (out, err)


def inspect(fleet, path):
    done = fleet.program("flotilla-engine", "run", "--model", path, "--prompt",
                         "x", "--n", "1", check=False, timeout=10)
    assert done[0] in (0, 7, 10), (path, done)
    if done[0] != 0:
        expect(done, (7, 10), ("gguf.", "model.", "memory.", "not.", "probe."))
    return done[0]


def test_a_model_cut_anywhere_is_refused(up):
    data = open(OLD, "rb").read()
    head = bad.Gguf(OLD).head
    cuts = sorted({0, 1, 3, 4, 7, 8, 15, 23, 24, 25, head - 1, head,
                   head + 31, len(data) // 2, len(data) - 32, len(data) - 1} |
                  {head * i // 40 for i in range(40)})

    def one(cut):
        return inspect(up, scratch(up, "cut-%d.gguf" % cut, data[:cut]))
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        assert set(pool.map(one, cuts)) == {7}


def test_no_flipped_bit_of_a_models_head_kills_the_engine(up):
    data = open(OLD, "rb").read()
    head = bad.Gguf(OLD).head
    # every bit of the first 32 bytes, then a spread over all of the head
    bits = list(range(0, 256, 3)) + list(range(256, head * 8, head * 8 // 250))

    def one(bit):
        broken = bytearray(data)
        broken[bit // 8] ^= 1 << bit % 8
        path = scratch(up, "flip-%d.gguf" % bit, broken)
        code = inspect(up, path)
        os.unlink(path)
        return code
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        codes = list(pool.map(one, bits))
    assert codes.count(7) > 60


def test_a_publisher_is_told_about_a_damaged_model(up):
    data = open(OLD, "rb").read()
    for cut in (0, 100, 30000, len(data) - 1):
        path = scratch(up, "cut.gguf", data[:cut])
        refused(up, 7, "gguf.", "flotilla", "model", "import", path)
        refused(up, 7, "gguf.", "flotilla", "release", "create", "tiny@90",
                "--model-file", path, "--golden", GOLDEN, "--sign-with",
                up.key)
    refused(up, 7, "model.nonfinite", "flotilla", "model", "import",
            os.path.join(MODELS, "tiny-v3-bad-nan.Q4_0.gguf"))
    refused(up, 3, "release.absent", "flotilla", "release", "get", "tiny@90")


# ---- patches ---------------------------------------------------------------

def test_damaged_patches_write_nothing(up):
    good = os.path.join(up.scratch, "good.patch")
    up.program("flotilla-updater", "delta", "create", OLD, NEW, good,
               "--codec", "bsdiff")
    out = os.path.join(up.scratch, "out.gguf")
    data = open(good, "rb").read()
    wanted = "sha256:" + hashlib.sha256(open(NEW, "rb").read()).hexdigest()
    for row, ids, patch in bad.bad_patches(open(OLD, "rb").read(), data):
        path = scratch(up, "bad.patch", patch)
        more = ["--expect", wanted] if row == "no patch" else []
        try:
            refused(up, 7, ("target.hash",) if more else ids,
                    "flotilla-updater", "delta", "apply", OLD, path, out,
                    *more)
        except AssertionError as error:
            raise AssertionError(row) from error
        assert not os.path.exists(out), row
    base = "sha256:" + hashlib.sha256(open(OLD, "rb").read()).hexdigest()
    refused(up, 7, "patch.base_mismatch", "flotilla-updater", "delta", "apply",
            NEW, good, out, "--base", base)  # PA08
    refused(up, 7, "target.hash", "flotilla-updater", "delta", "apply", NEW,
            good, out, "--expect", wanted)
    refused(up, 7, "patch.limit", "flotilla-updater", "delta", "apply", OLD,
            good, out, "--max-memory", "1M")  # PA14
    assert not os.path.exists(out)
    up.program("flotilla-updater", "delta", "apply", OLD, good, out,
               "--expect", wanted)


# ---- bundles ---------------------------------------------------------------

def test_damaged_bundles_are_refused_by_the_tool_and_by_the_device(up):
    device = up.devices["a"]
    for number, (row, ids, data) in enumerate(bad.bad_bundles(up.bundle)):
        path = scratch(up, "bad.tar", data)
        try:
            refused(up, 7, ids, "flotilla-updater", "bundle", "verify", path,
                    "--trust", up.trust)
            if number % 3 == 0:
                refused(up, 7, ids, "flotilla-agent", "update", "--bundle",
                        path, "--config", device.config, "-q", seconds=4)
        except AssertionError as error:
            raise AssertionError(row) from error
    assert not os.path.exists("/tmp/flotilla-bad-input")
    assert not os.path.exists(os.path.join(device.state, "..", "outside"))


def test_no_flipped_bit_of_a_bundle_passes(up):
    data = open(up.bundle, "rb").read()
    passed = []
    places = [i * len(data) * 8 // 60 + 5 for i in range(60)]
    names = {entry[0] for entry in bad.entries(up.bundle)}
    assert len(names) == 3
    for bit in places:
        broken = bytearray(data)
        broken[bit // 8] ^= 1 << bit % 8
        done = up.program("flotilla-updater", "bundle", "verify",
                          scratch(up, "flip.tar", broken), "--trust", up.trust,
                          check=False)
        if done[0] == 0:
            passed.append(bit // 8)
        else:
            expect(done, 7, ("bundle.", "target.", "sig.", "meta."))
    # only what stands behind the last entry may differ
    assert all(byte > len(data) - 10240 for byte in passed), passed


def test_things_that_are_no_files_are_refused_at_once(up):
    fifo = os.path.join(up.scratch, "fifo")
    os.mkfifo(fifo)
    gone = os.path.join(up.scratch, "gone")
    config = up.devices["a"].config
    for path, code, ids in ((fifo, 1, "io.open"), ("/dev/zero", 1, "io.open"),
                            (up.scratch, 1, "io.open"),
                            (gone, (1, 3), ("absent", "io.open"))):
        for args in (
                ("flotilla", "model", "import", path),
                ("flotilla", "release", "create", "x@1", "--model-file", path,
                 "--golden", GOLDEN, "--sign-with", up.key),
                ("flotilla", "release", "create", "x@1", "--model-file", OLD,
                 "--golden", path, "--sign-with", up.key),
                ("flotilla", "key", "trust", path),
                ("flotilla", "login", up.url, "--token-file", path),
                ("flotilla-updater", "bundle", "verify", path, "--trust",
                 up.trust),
                ("flotilla-updater", "release", "verify", path, "--trust",
                 up.trust),
                ("flotilla-updater", "delta", "apply", path, OLD, gone),
                ("flotilla-engine", "run", "--model", path, "--prompt", "x"),
                ("flotilla-engine", "inspect", path),
                ("flotilla-agent", "update", "--bundle", path, "--config",
                 config),
                ("flotilla-agent", "--config", path, "--check-config"),
                ("flotilla-agent", "serve", "--model", path, "--listen",
                 "unix:" + gone)):
            refused(up, code, ids, *args)
    assert not os.path.exists(gone)


# ---- release documents ------------------------------------------------------

def body_of(fleet):
    """A document that is good in all but name and number."""
    body = fleet.ask("release", "get", "tiny@2")["document"]
    body.update(version="90", number=90)
    return body


def changed(body, **fields):
    body = json.loads(json.dumps(body))
    for path, value in fields.items():
        at = body
        *way, last = [int(w) if w.isdigit() else w for w in path.split("__")]
        for word in way:
            at = at[word]
        at[last] = value
    return body


def bad_documents(fleet):
    """(row, ids, envelope): what publisher, controller and device refuse."""
    body = body_of(fleet)

    def envelope(**fields):
        return json.loads(sign(changed(body, **fields), fleet.key, RELEASE))

    good = envelope()
    first = good["signatures"][0]
    other = os.path.join(fleet.scratch, "other.key")
    if not os.path.exists(other):
        subprocess.run(["openssl", "ecparam", "-name", "prime256v1",
                        "-genkey", "-noout", "-out", other], check=True)

    def signed(**more):
        return json.dumps(dict(good, signatures=[dict(first, **more)]))
    flipped = first["sig"][:20] + ("A" if first["sig"][20] != "A" else "B") + \
        first["sig"][21:]
    yield "MD02", "sig.missing", json.dumps(dict(good, signatures=[]))
    yield "MD03", "sig.unknown_key", sign(body, other, RELEASE).decode()
    yield "MD05", "sig.bad", signed(sig=flipped)
    yield "MD06", ("sig.bad", "sig.format"), signed(sig="A" * 86 + "==")
    yield "MD08", "sig.format", signed(sig="A" * 65536)
    yield "MD15", "meta.wrong_type", sign(body, fleet.key, ORDER).decode()
    yield "MD32", "meta.schema", json.dumps(envelope(files__0__bytes=-1))
    yield "MD32", "meta.schema", json.dumps(
        envelope(files__0__bytes=2 ** 63 - 1))
    for digest in ("0" * 63, "0" * 65, "G" * 64, "A" * 64):
        yield "MD33", "meta.schema", json.dumps(
            envelope(files__0__digest="sha256:" + digest))
    deep = "[" * 100000 + "]" * 100000
    yield "MD35", ("meta.json_depth", "meta.json", "meta.too_large"), deep
    text = json.dumps(good)
    yield "MD36 BOM", "meta.json", "\ufeff" + text
    yield "MD36 NUL", "meta.json", text[:-1] + ',"a":"\\u0000"}'
    yield "MD36 surrogate", "meta.json", text[:-1] + ',"a":"\\ud800"}'
    yield "MD36 twice", "meta.json", text[:-1] + ',"payload":"x"}'
    yield "MD38", "meta.json", text + "x"
    for name in ("../../etc/passwd", "a\n", "x" * 4096, "Tiny", ""):
        yield "MD41", ("meta.name", "meta.schema"), json.dumps(
            envelope(model=name))
    yield "MD44", "meta.fleet", json.dumps(envelope(fleet="other"))
    for cut in (0, 1, 20, len(text) // 2, len(text) - 1):
        yield "cut at %d" % cut, "meta.json", text[:cut]
    yield "payload changed", "sig.bad", json.dumps(dict(
        good, payload=good["payload"][:40] + "AAAA" + good["payload"][44:]))


def test_bad_release_documents_are_refused_here_and_there(up):
    known = up.ask("release", "list")
    for row, ids, envelope in bad_documents(up):
        path = scratch(up, "release.json", envelope.encode())
        try:
            refused(up, 7, ids, "flotilla-updater", "release", "verify", path,
                    "--trust", up.trust)
            status, answer = rest(up, "POST", "/v1/releases",
                                  envelope.encode())
            assert 400 <= status < 500, (status, answer)
            code = answer["code"]
            assert any(code.startswith(i) for i in (
                [ids] if isinstance(ids, str) else list(ids))) or \
                code.startswith("rest."), (ids, answer)
            assert answer["fix"]
        except AssertionError as error:
            raise AssertionError(row) from error
    assert up.ask("release", "list") == known


# ---- REST --------------------------------------------------------------------

def rest(fleet, method, path, body=None, token=None, headers=()):
    """(status, JSON or text) of one call on the people's listener."""
    connection = http.client.HTTPConnection("127.0.0.1", fleet.port,
                                            timeout=10)
    head = {"Authorization": "Bearer " + (token or fleet.admin)}
    head.update(headers)
    if isinstance(body, dict):
        body = json.dumps(body)
    connection.request(method, path, body, head)
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    return answer.status, json.loads(text) if text[:1] in b"{[" else text


def raw(where, *pieces, seconds=5):
    """Bytes of the answer to these bytes; "" when hung up without one."""
    if isinstance(where, int):
        one = socket.create_connection(("127.0.0.1", where), seconds)
    else:
        one = socket.socket(socket.AF_UNIX)
        one.settimeout(seconds)
        one.connect(where)
    got = b""
    with one:
        try:
            for piece in pieces:
                one.sendall(piece)
        except (BrokenPipeError, ConnectionResetError):
            pass
        try:
            while True:
                piece = one.recv(65536)
                if not piece:
                    break
                got += piece
                if b"\r\n\r\n" in got and not is_partial(got):
                    break
        except (ConnectionResetError, socket.timeout):
            pass
    return got


def is_partial(got):
    head, _, body = got.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: (\d+)", head)
    return length is None or len(body) < int(length.group(1))


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
        begin = time.monotonic()
        got = raw(where, data)
        assert time.monotonic() - begin < 2, what
        assert got[:5] == b"HTTP/", (what, got[:100])
        status = int(got.split(b" ", 2)[1])
        assert status in statuses, (what, got[:300])
        body = got.partition(b"\r\n\r\n")[2]
        assert b"rest." in body or b"infer." in body, (what, got[:600])


def rss(pid):
    with open("/proc/%d/status" % pid) as file:
        return int(re.search(r"VmRSS:\s+(\d+)", file.read()).group(1)) * 1024


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
            ("POST", "/v1/orders", {"op": "freeze", "confirm": "test"}),
            ("POST", "/v1/tokens", {"kind": "enroll"}),
            ("DELETE", "/v1/devices/a", None),
            ("POST", "/v1/releases/tiny@1/yank", {})):
        status, answer = rest(up, method, path, body, viewer)
        assert (status, answer["code"]) == (403, "rest.role"), answer  # RE15
    for token in ("x", "flt_pat_" + "0" * 40, viewer + "0", "a" * 6000):
        status, answer = rest(up, "GET", "/v1/devices", token=token)
        assert (status, answer["code"]) == (401, "rest.auth")
    status, answer = rest(up, "POST", "/v1/orders", {
        "op": "freeze", "confirm": "test"}, headers={
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
    for more, status in (
            ({"release": "tiny@99"}, 404), ({"group": "nowhere"}, 404),
            ({"phases": [{"name": "x", "share_pct": 200}]}, 400),
            ({"phases": [{"name": "x", "share_pct": 1e308}]}, 400),
            ({"phases": []}, 400), ({"phases": "all"}, 400),
            ({"phases": [{"name": "x", "share_pct": 1}] * 200}, 400),
            ({"polcy": {}}, 400), ({"policy": {"soak_ms": -1}}, 400),
            ({"policy": {"soak_ms": 2 ** 63}}, 400), ({"on_fail": "x"}, 400),
            ({"gates": {"failed": {"max_pct": 101}}}, 400)):
        got, answer = rest(up, "POST", "/v1/rollouts", dict(good, **more))
        assert got == status, (more, answer)
        assert answer["code"] and answer["fix"], answer
    assert len(up.ask("rollout", "list")) == 1


def test_an_old_etag_and_another_body_under_a_used_key_are_refused(up):
    key = {"Idempotency-Key": "bad-input-1"}
    body = {"kind": "enroll", "uses": 2}
    first = rest(up, "POST", "/v1/tokens", body, headers=key)
    assert rest(up, "POST", "/v1/tokens", body, headers=key) == first
    status, answer = rest(up, "POST", "/v1/tokens", dict(body, uses=3),
                          headers=key)
    assert status == 422, answer
    status, answer = rest(up, "POST", "/v1/rollouts/r-0001/actions",
                          {"action": "rollback"}, headers={
                              "If-Match": '"stale"'})
    assert (status, answer["code"]) == (409, "rest.conflict"), answer
    assert up.ask("rollout", "get", "r-0001")["state"] == "completed"


def test_500_open_connections_do_not_keep_others_out(up):
    device = up.devices["a"]
    held = []
    try:
        for _ in range(250):
            one = socket.create_connection(("127.0.0.1", up.port), 5)
            one.sendall(b"GET / HT")
            held.append(one)
            other = socket.socket(socket.AF_UNIX)
            other.settimeout(5)
            other.connect(device.api)
            other.sendall(b"GET / HT")
            held.append(other)
        turned_away = sum(1 for one in held if is_over(one))
        assert turned_away > 0 or len(held) == 500
        begin = time.monotonic()
        status, _ = device.get("/health", timeout=5)
        # a client of the same socket is served, or told at once to wait
        assert status in (200, 503) and time.monotonic() - begin < 1
    finally:
        for one in held:
            one.close()
    F.wait_until("the controller answers", 5, lambda: rest(
        up, "GET", "/v1/devices")[0] == 200)


def is_over(one):
    one.setblocking(False)
    try:
        return one.recv(10) is not None
    except BlockingIOError:
        return False
    except OSError:
        return True


# ---- orders and messages ------------------------------------------------------

class Controller:
    """The controller's place at the broker, while the real one stands still."""

    number = 0  # of all orders that were made here

    def __init__(self, fleet):
        self.fleet = fleet
        data = os.path.join(fleet.dir, "controller")
        self.key = os.path.join(data, "keys", "order.key")
        port = re.search(r"mqtts://127.0.0.1:(\d+)", open(os.path.join(
            fleet.dir, "controller.log")).read()).group(1)
        self.where = ("127.0.0.1", int(port), os.path.join(
            data, "pki", "ca.pem"), os.path.join(data, "pki", "mqtt.pem"),
            os.path.join(data, "pki", "mqtt.key"), "controller")
        self.topic = "flotilla/v1/test/d/%s/" % fleet.id

    def __enter__(self):
        self.fleet.controller.send_signal(signal.SIGSTOP)
        self.client = Client(*self.where)
        self.client.subscribe(self.topic + "#")
        desired = self.client.wait(lambda m: m[0].endswith("/desired"))
        self.desired = json.loads(desired[1])
        self.last = json.loads(base64.b64decode(
            self.desired["order"]["payload"]))
        return self

    def __exit__(self, *_):
        self.client.close()
        self.fleet.controller.send_signal(signal.SIGCONT)
        self.fleet.online(["a"], 60)

    def order(self, op="rollback", **more):
        """A good order but for `more`, about a release this device lacks."""
        Controller.number += 1
        now = int(time.time() * 1000)
        body = {"v": 1, "fleet": "test", "id": "o-9%03d" % self.number,
                "op": op, "scope": {"device": self.fleet.id},
                "epoch": self.last["epoch"],
                "seq": self.last["seq"] + 20 + self.number,
                "issued_at_ms": now, "expires_at_ms": now + 60000,
                "by": "tests", "args": {
                    "model": "tiny", "from": ["sha256:" + "5" * 64],
                    "to": "previous", "reason": "test"}}
        body.update(more)
        return body

    def send(self, envelope):
        self.client.publish(self.topic + "cmd", json.dumps(
            {"v": 1, "order": envelope}))

    def signed(self, body, key=None, kind=ORDER):
        return json.loads(sign(body, key or self.key, kind))

    def told(self, *words, seconds=5):
        """An ack or event of the device that has all these words."""
        return self.client.wait(lambda m: (m[0].endswith("/ack") or m[0]
                                .endswith("/event")) and all(
            word.encode() in m[1] for word in words), seconds)


@contextlib.contextmanager
def logged(fleet, word, seconds=3):
    """Behind the block the device's log says `word`, newly."""
    log = fleet.devices["a"].log
    begin = os.path.getsize(log)
    yield

    def says():
        with open(log, encoding="utf-8", errors="replace") as file:
            file.seek(begin)
            return word in file.read()
    F.wait_until("`%s` in the log" % word, seconds, says, every=0.01)


def test_orders_that_may_not_act_do_not(up):
    other = os.path.join(up.scratch, "other.key")
    if not os.path.exists(other):
        subprocess.run(["openssl", "ecparam", "-name", "prime256v1",
                        "-genkey", "-noout", "-out", other], check=True)
    now = int(time.time() * 1000)
    digest = up.ask("release", "get", "tiny@1")["digest"]
    with Controller(up) as me:
        good = me.order("freeze", args={})
        for ids, body, key, kind in (
                ("sig.unknown_key", me.order("freeze"), other, ORDER),
                ("meta.wrong_type", me.order("freeze"), None, RELEASE),
                ("meta.fleet", me.order("freeze", fleet="acme-b"), None,
                 ORDER),
                ("cmd.format", me.order("explode"), None, ORDER),
                ("cmd.format", me.order("freeze", seq=-1), None, ORDER),
                ("cmd.format", me.order("freeze", expires_at_ms=2 ** 63 - 1), None,
                 ORDER)):
            with logged(up, ids):
                me.send(me.signed(body, key, kind))
        for word, body in (
                ("cmd.expired", me.order(
                    "freeze", issued_at_ms=now - 90000,
                    expires_at_ms=now - 30000)),  # MQ06
                ("cmd.epoch", me.order("freeze", epoch=0)),
                ("state.conflict", me.order(
                    args={"model": "tiny", "from": [
                        digest], "to": "sha256:" + "7" * 64,
                        "reason": "x"}))):  # MQ08
            me.send(me.signed(body))
            assert me.told(body["id"], "refused", word), word
        envelope = me.signed(good)
        flipped = dict(envelope, payload=envelope["payload"][:-8] + "AAAAAAA=")
        with logged(up, "sig.bad"):
            me.send(flipped)
        assert frozen(up) is False


def test_an_order_sent_twice_acts_once(up):
    with Controller(up) as me:
        body = me.order("freeze", args={})
        envelope = me.signed(body)
        me.send(envelope)
        assert me.told(body["id"], "done")
        undo = me.order("unfreeze", args={})
        me.send(me.signed(undo))
        assert me.told(undo["id"], "done")
        me.client.messages.clear()
        me.send(envelope)  # MQ05: the stored outcome, no second freeze
        assert me.told(body["id"], "done")
        assert frozen(up) is False


def frozen(fleet):
    return json.loads(fleet.program(
        "flotilla-agent", "status", "--config", fleet.devices["a"].config,
        "-o", "json")[1])["frozen"]


def test_an_order_of_the_far_future_does_not_stop_later_ones(up):
    with Controller(up) as me:
        far = int(time.time() * 1000) + 10 * 365 * 86400000
        body = me.order("unfreeze", args={}, issued_at_ms=far,
                        expires_at_ms=far + 60000)
        with logged(up, "cmd.future"):
            me.send(me.signed(body))
        later = me.order("unfreeze", args={})
        me.send(me.signed(later))
        assert me.told(later["id"], "done"), me.client.messages[-3:]


def test_messages_that_are_no_messages_change_nothing(up):
    with Controller(up) as me:
        for payload in (b"", b"{", b"\xff" * 50, b"[]", b'{"v":2}', b'{"v":1}',
                        b'{"v":1,"order":[]}', b'{"v":1,"order":{}}',
                        b'{"v":1,"ack":-1}', b'{"v":1,"ack":1e308}',
                        b'{"v":1,"ack":99999999999999999999}',
                        b'{"v":1,"op":"%n%s"}', b"[" * 60000,
                        b'{"v":1,"v":1}', os.urandom(60000)):
            me.client.publish(me.topic + "cmd", payload)
            me.client.publish("flotilla/v1/test/g/all/order", payload)
            me.client.publish(me.topic + "desired", payload)
        body = me.order("unfreeze", args={})
        me.send(me.signed(body))
        assert me.told(body["id"], "done"), "the device still listens"
        # MQ09: a retained order that expired long ago, in the group's list
        old = me.order("freeze", scope={"group": "all"}, args={},
                       issued_at_ms=1763000000000,
                       expires_at_ms=1763000060000)
        me.client.publish("flotilla/v1/test/g/all/order", json.dumps(
            {"v": 1, "orders": [me.signed(old)]}), retain=True)
        assert me.told(old["id"], "cmd.expired")
        assert frozen(up) is False
        # put back what the broker held
        me.client.publish("flotilla/v1/test/g/all/order",
                          '{"v":1,"orders":[]}', retain=True)
        me.client.publish(me.topic + "desired", json.dumps(me.desired),
                          retain=True)


@pytest.fixture(scope="module")
def rogue(up):
    """A second device whose owner is up to no good."""
    device = F.Device(up, "rogue")
    device.enroll(up.token, ("note=" + ESCAPES,))
    identity = os.path.join(device.state, "identity")
    facts = json.load(open(os.path.join(identity, "identity.json")))
    host, port = facts["mqtt"].split("//")[1].split(":")
    device.where = (host, int(port), os.path.join(identity, "ca.pem"),
                    os.path.join(identity, "device.pem"),
                    os.path.join(identity, "device.key"))
    device.id = facts["device"]
    device.topic = "flotilla/v1/test/d/%s/" % device.id
    yield device
    shutil.rmtree(device.dir)
    up.cli("device", "delete", "rogue", "--confirm", "rogue")


def test_a_device_cannot_speak_for_or_listen_to_others(up, rogue):
    me = Client(*rogue.where, rogue.id)
    theirs = "flotilla/v1/test/d/%s/" % up.id
    me.subscribe("#")
    me.subscribe(theirs + "#")
    answer = up.devices["a"].ask(QUESTION, "tiny")
    time.sleep(1.2)  # a heartbeat of the other device
    assert not [m for m in me.messages if rogue.id not in m[0] and
                "/c/mark" not in m[0] and "/g/" not in m[0]], me.messages
    before = up.ask("device", "get", "a")
    for word in ("reported", "event", "tele", "presence", "cmd", "desired"):
        try:
            me.publish(theirs + word, '{"v":1,"online":false}', retain=True,
                       wait=False)
            me.wait_closed(2)
        except OSError:
            pass
        me = Client(*rogue.where, rogue.id)
    after = up.ask("device", "get", "a")
    assert after["state"] == before["state"] == "online" and answer
    # MQ03: whatever it calls itself, it is itself
    liar = Client(*rogue.where, up.id)
    time.sleep(0.3)
    assert up.ask("device", "get", "a")["state"] == "online"
    liar.close()


def dropped(fleet):
    return int(re.search(r"^flotilla_messages_dropped_total (\d+)",
                         rest(fleet, "GET", "/metrics")[1].decode(),
                         re.M).group(1))


def test_telemetry_that_cannot_be_is_dropped_and_counted(up, rogue):
    me = Client(*rogue.where, rogue.id)
    before = dropped(up)
    base = {"v": 1, "seq": 1, "at_ms": 1, "window_ms": 2000, "model": "tiny",
            "release": "sha256:" + "1" * 64, "version": "1", "counters": {},
            "gauges": {}, "histograms": {}}
    sent = [json.dumps(dict(base, **more)) for more in (
        {"counters": {"requests": -1}}, {"counters": {"requests": 2 ** 63}},
        {"counters": {"requests": "many"}}, {"gauges": {"queue": 1e308}},
        {"gauges": {"queue": float("nan")}},
        {"histograms": {"ttft_us": "AAAA"}}, {"histograms": {"ttft_us": 5}},
        {"window_ms": -5}, {"model": ESCAPES}, {"version": "x" * 5000},
        {"release": "sha256:x"})]
    sent += ["{", "", "\0", json.dumps(base)[:-9]]
    for payload in sent:
        me.publish(rogue.topic + "tele", payload)
    F.wait_until("they are counted", 5,
                 lambda: dropped(up) >= before + len(sent) - 3)
    # MQ14: 10 MB: the broker hangs up, nobody else notices
    try:
        me.publish(rogue.topic + "tele", b"x" * (10 << 20), wait=False)
    except OSError:
        pass
    assert me.wait_closed(10)
    # MQ15: a clock of 1970 or 2106 is taken, with the time of receipt
    me = Client(*rogue.where, rogue.id)
    for number, at in enumerate((0, 4294967295000, 2 ** 53)):
        me.publish(rogue.topic + "tele", json.dumps(dict(
            base, seq=10 + number, at_ms=at, counters={"requests": 1})))
    me.close()
    series = up.ask("telemetry", "query", "requests", "--by", "device",
                    "--since", "1h")["series"]
    assert all(0 <= s["sum"] < 10000 for s in series)


def test_strings_of_a_device_do_not_move_the_terminal(up, rogue):
    me = Client(*rogue.where, rogue.id)
    evil = "<img src=x onerror=alert(1)>" + ESCAPES
    me.publish(rogue.topic + "reported", json.dumps({
        "v": 1, "device": rogue.id, "name": evil, "agent": evil, "rev": 1,
        "groups": [evil], "serving": {"model": "tiny", "release": "sha256:" +
                                      "2" * 64, "version": evil,
                                      "state": evil},
        "execution": {"id": evil, "state": evil, "reason": evil}}),
        retain=True)
    me.publish(rogue.topic + "event", json.dumps({
        "v": 1, "boot": "00000000-0000-4000-8000-000000000000", "seq": 1,
        "at_ms": 1, "type": "note", "error": {"id": evil, "what": evil}}))
    me.publish(rogue.topic + "presence", '{"v":1,"online":true}', retain=True)
    time.sleep(0.5)
    for args in (("device", "list"), ("device", "get", "rogue"),
                 ("device", "get", "rogue", "--timeline"), ("audit", "list"),
                 ("rollout", "list")):
        code, out, err = up.cli(*args, check=False)
        assert code == 0, err
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]",
                             out + err), (args, out)
        json.loads(up.cli(*args, "-o", "json")[1])
    me.close()
    for reason in (ESCAPES, "<script>"):
        got = up.ask("rollout", "start", "tiny@1", "--reason", reason,
                     "--phase", "100%", "--soak", "100ms")["id"]
        up.cli("rollout", "abort", got)
        time.sleep(0.3)
        _, out, err = up.cli("rollout", "get", got)
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]",
                             out + err), repr(out + err)


# ---- the command line ---------------------------------------------------------

def test_nothing_that_is_typed_wrong_does_anything(up):
    audit = up.ask("audit", "verify")["records"]
    for args, ids in (
            (("device", "lst"), "cli.usage"), (("device",), "cli.usage"),
            (("nonsense",), "cli.usage"), (("device", "list", "x"),
                                           "cli.usage"),
            (("token", "create", "a"), "cli.usage"),
            (("device", "list", "--nonsense"), "cli.usage"),
            (("device", "list", "-o", "yaml"), "cli.usage"),
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
                                           up.admin_token), "cli.usage")):
        refused(up, 2, ids, "flotilla", *args)
    for program in ("flotilla", "flotilla-agent", "flotilla-controller",
                    "flotilla-updater", "flotilla-engine"):
        assert up.program(program, check=False)[0] == 2
        refused(up, 2, "cli.usage", program, "nonsense")
        refused(up, 2, "cli.usage", program, ESCAPES)
        assert "flotilla" in up.program(program, "--help")[1]
    assert up.ask("audit", "verify")["records"] == audit


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
                                       os.path.join(up.scratch, "b.tar"))):
        done = refused(up, 6, "net.unreachable", "flotilla", *args, *gone)
        assert "127.0.0.1:1" in done[2]
    assert not os.path.exists(os.path.join(up.scratch, "b.tar"))


def test_a_token_is_not_sent_to_a_controller_it_is_not_for(up):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listener.settimeout(0.2)
        refused(up, 4, "rest.auth", "flotilla", "device", "list",
                "--controller", "http://127.0.0.1:%d" %
                listener.getsockname()[1])
        with pytest.raises(socket.timeout):
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
        assert process.wait(5) in (0, 1, -signal.SIGPIPE)
        assert process.stderr.read() == b""
        process.stderr.close()
    for name in ("device", "rollout"):
        assert "\x1b" not in up.cli(name, "list")[1]


def test_ctrl_c_leaves_the_wait_not_the_rollout(up, rogue):
    assert rogue.id  # is offline: the rollout waits for it
    started = up.ask("rollout", "start", "tiny@1", "--phase", "100%", "--soak",
                     "100ms")["id"]
    for command in ("wait", "watch"):
        process = subprocess.Popen(
            [up.path("flotilla"), "rollout", command, started], env=up.env,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        process.stderr.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(3) in (130, -signal.SIGINT)  # a shell's 130
        process.stderr.close()
    assert up.ask("rollout", "get", started)["state"] == "running"
    up.cli("rollout", "abort", started)


# ---- configuration ------------------------------------------------------------

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
            (head + "threads: 9999\n", "cfg.range", "256"),
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


def test_a_controller_with_bad_options_makes_nothing(up):
    data = os.path.join(up.scratch, "second")
    for args, code, ids in (
            (("--listen", "127.0.0.1:70000"), 2, "cli.usage"),
            (("--listen", "nonsense"), 2, "cli.usage"),
            (("--listen", "127.0.0.1:0", "--fleet", "a/b"), 7, "meta.name"),
            (("--listen", "127.0.0.1:0", "--fleet", ESCAPES), 7, "meta.name"),
            (("--listen", "127.0.0.1:0", "--heartbeat", "0s"), 2,
             "cli.usage"),
            (("--listen", "127.0.0.1:0", "--broker", "ftp://x"), 2, "cfg."),
            (("--listen", "127.0.0.1:0", "--chek"), 2, "cli.usage")):
        refused(up, code, ids, "flotilla-controller", "--data", data, *args)


def test_a_used_or_foreign_enrolment_token_makes_no_device(up):
    token = os.path.join(up.scratch, "once.token")
    up.cli("token", "create", "--uses", "1", "--to", token, "-q")
    text = open(token).read().strip()
    state = os.path.join(up.scratch, "e")

    def enrol(name, secret, code, ids):
        path = scratch(up, "t", secret.encode())
        os.chmod(path, 0o600)
        done = up.program("flotilla-agent", "enroll", "--controller",
                          up.devices_url, "--token-file", path, "--state-dir",
                          state + name, "--name", name, check=False)
        if code:
            expect(done, code, ids)
        else:
            assert done[0] == 0, done
    enrol("first", text, 0, ())
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


# ---- a device's own disk --------------------------------------------------------

@pytest.fixture(scope="module")
def lab(up):
    """A second device, in a group of its own, to be mistreated."""
    token = os.path.join(up.scratch, "lab.token")
    up.cli("token", "create", "--group", "lab", "--uses", "9", "--to", token,
           "-q")
    device = up.add_device("b", token)
    up.online(["b"])
    up.roll("tiny@1", "--group", "lab")
    yield device
    device.stop()
    up.devices.pop("b")
    shutil.rmtree(device.dir)


def serves(device, release, seconds=20):
    def ask():
        try:
            return device.ask(QUESTION, "tiny")[1] == release
        except (OSError, F.Failed, http.client.HTTPException):
            return False
    F.wait_until("%s serves %s" % (device.name, release), seconds, ask)


def in_state(device, *path):
    return os.path.join(device.state, *path)


def overwrite(path, change):
    data = bytearray(open(path, "rb").read())
    data = change(data)
    with open(path, "wb") as file:
        file.write(data)


def zero(data, begin, end):
    data[begin:end] = b"\0" * (end - begin)
    return data


def flip(data, at):
    data[at] ^= 0x20
    return data


RECORDS = (0, 4096)  # where the two records of a slot file begin


def test_one_damaged_record_does_not_take_the_model_away(up, lab):
    path = in_state(lab, "slots", "tiny.bin")
    for which in RECORDS:
        for change in (lambda d: zero(d, which, which + 512),
                       lambda d: flip(d, which + 20)):
            lab.stop()
            overwrite(path, change)
            lab.start()
            serves(lab, "tiny@1")


@pytest.mark.parametrize("data", [b"", b"x", b"garbage" * 3000])
def test_damaged_records_are_told_and_the_fleet_heals_them(up, lab, data):
    lab.stop()
    with open(in_state(lab, "slots", "tiny.bin"), "wb") as file:
        file.write(data)
    lab.start()
    up.online(["b"])
    up.roll("tiny@1", "--group", "lab")
    serves(lab, "tiny@1")


def test_a_bit_of_the_model_flipped_on_disk_is_not_served(up, lab):
    digest = hashlib.sha256(open(OLD, "rb").read()).hexdigest()
    path = in_state(lab, "blobs", "sha256-" + digest)
    lab.stop()
    os.chmod(path, 0o644)
    overwrite(path, lambda d: flip(d, len(d) // 2))
    begin = os.path.getsize(lab.log)
    lab.start()
    try:
        F.wait_until("it is found", 5, lambda: "target.hash" in open(
            lab.log, errors="replace").read()[begin:])
        # LO03 also wants it to be fetched again; that is not built yet.
    finally:
        lab.stop()
        shutil.copy(OLD, path)
        os.chmod(path, 0o444)
        lab.start()
    serves(lab, "tiny@1")


def test_a_damaged_outbox_keeps_no_device_from_serving(up, lab):
    path = in_state(lab, "outbox.db")
    for change in (lambda d: d[:0], lambda d: d[:1000],
                   lambda d: bytearray(b"garbage" * 1000),
                   lambda d: zero(d, 4096, len(d))):
        lab.stop()
        overwrite(path, change)
        lab.start()
        serves(lab, "tiny@1")
    up.online(["b"])


def test_symlinks_in_the_state_are_not_followed(up, lab):
    target = scratch(up, "victim", b"precious")
    lab.stop()
    for folder in ("partial", "blobs"):
        os.symlink(target, in_state(lab, folder, "sha256-" + "a" * 64))
    wanted = up.ask("release", "get", "tiny@2")["document"]["files"]
    for way in (w for f in wanted for w in f["get"]):
        for name in (way["digest"].replace(":", "-"),
                     way["digest"][7:] + ".part"):
            for folder in ("partial", "blobs"):
                if not os.path.exists(in_state(lab, folder, name)):
                    os.symlink(target, in_state(lab, folder, name))
    lab.start()
    serves(lab, "tiny@1")
    up.online(["b"])
    started = up.ask("rollout", "start", "tiny@2", "--group", "lab", "--phase",
                     "100%", "--soak", "200ms")
    up.cli("rollout", "wait", started["id"], "--timeout", "20s", "-q",
           check=False)
    assert open(target, "rb").read() == b"precious"
    for release in ("tiny@1", "tiny@2"):
        try:
            serves(lab, release, 3)
            break
        except F.Failed:
            assert release == "tiny@1"
    lab.stop()
    for folder in ("partial", "blobs"):
        for name in os.listdir(in_state(lab, folder)):
            if os.path.islink(in_state(lab, folder, name)):
                os.unlink(in_state(lab, folder, name))
    lab.start()
    up.online(["b"])


def test_open_secrets_and_foreign_authorities_are_refused(up, lab):
    key = in_state(lab, "identity", "device.key")
    lab.stop()
    os.chmod(key, 0o644)  # CF03
    refused(up, 2, "cfg.perm", "flotilla-agent", "--config", lab.config)
    os.chmod(key, 0o600)
    os.chmod(lab.state, 0o755)
    refused(up, 2, "cfg.perm", "flotilla-agent", "--config", lab.config)
    os.chmod(lab.state, 0o700)
    ca = in_state(lab, "identity", "ca.pem")
    good = open(ca, "rb").read()
    other = subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj",
         "/CN=x", "-days", "1", "-keyout", "/dev/null"], check=True,
        capture_output=True).stdout
    for text in (b"", b"garbage", other):  # CF05
        with open(ca, "wb") as file:
            file.write(text)
        begin = os.path.getsize(lab.log)
        lab.start()
        time.sleep(0.7)
        log = open(lab.log, errors="replace").read()[begin:]
        if lab.process.poll() is None:
            # paho does not tell more than "TLS connect failure"
            assert "net.tls" in log or "TLS connect failure" in log, log
            assert not [d for d in up.ask("device", "list")
                        if d["name"] == "b" and d["state"] == "online"]
        else:
            assert re.search(r"error\[", log), log
        lab.stop()
    with open(ca, "wb") as file:
        file.write(good)
    lab.start()
    up.online(["b"])


# ---- engines that die or hang -----------------------------------------------------

def candidate(device, known, seconds):
    """Pid of an engine that was not there before."""
    def fresh():
        return [p for p in device.children("flotilla-engine")
                if p not in known]
    return F.wait_until("a second engine", seconds, fresh, every=0.001)[0]


def signalled(pid, how):
    try:
        os.kill(pid, how)
    except ProcessLookupError:
        pass


def fails(up, lab, version, how, times, ids, *more):
    """A rollout whose engine gets a signal; the old release serves on."""
    before = lab.ask(QUESTION, "tiny")[1]
    up.publish("tiny@" + version, "tiny-v2.1.Q4_0.gguf",
               "golden-tiny-v2.1.json", "--label", version)
    known = set(lab.children("flotilla-engine"))
    started = up.ask("rollout", "start", "tiny@" + version, "--group", "lab",
                     "--phase", "100%", "--soak", "300ms", *more)["id"]
    for _ in range(times):
        try:
            pid = candidate(lab, known, 1.5)
        except F.Failed:
            break
        signalled(pid, how)
        known.add(pid)
        time.sleep(0.1)
        if up.rollout_device(started, "b")["state"] in ("failed",
                                                        "rolled-back"):
            break
    up.cli("rollout", "wait", started, "--for", "rolled-back", "--timeout",
           "30s", "-q")
    one = up.rollout_device(started, "b")
    assert one["state"] in ("failed", "rolled-back"), one
    assert one["error"]["id"] in ids, one
    assert one["error"]["what"]
    serves(lab, before)
    return one


def test_a_candidate_whose_engine_dies_is_refused(up, lab):
    fails(up, lab, "20", signal.SIGKILL, 6, ("engine.crash", "probe.timeout"))


def test_a_candidate_whose_engine_hangs_is_refused(up, lab):
    lab.stop()
    lab.write_config("hang: 2s\n")
    lab.start()
    up.online(["b"])
    serves(lab, "tiny@1")
    fails(up, lab, "21", signal.SIGSTOP, 6, ("engine.hang", "probe.timeout"),
          "--probe-timeout", "2s")
    F.wait_until("the hung engine is killed", 6, lambda: not [
        p for p in lab.children("flotilla-engine") if is_stopped(p)])


def is_stopped(pid):
    try:
        with open("/proc/%d/status" % pid) as file:
            return "T (stopped)" in file.read()
    except OSError:
        return False


def test_a_release_whose_engine_keeps_dying_is_taken_back(up, lab):
    before = lab.ask(QUESTION, "tiny")[1]
    up.publish("tiny@22", "tiny-v2.1.Q4_0.gguf", "golden-tiny-v2.1.json",
               "--label", "22")
    started = up.ask("rollout", "start", "tiny@22", "--group", "lab",
                     "--phase", "100%", "--soak", "60s")["id"]
    F.wait_until("on trial", 15, lambda: up.rollout_device(started, "b")[
        "state"] == "soaking")
    serves(lab, "tiny@22")

    def ended():
        return up.rollout_device(started, "b")["state"] in ("rolled-back",
                                                            "failed")
    for _ in range(8):
        if ended():
            break
        try:
            if lab.ask(QUESTION, "tiny", timeout=5)[1] == "tiny@22":
                for pid in serving_engines(lab):
                    signalled(pid, signal.SIGKILL)
        except (OSError, F.Failed, http.client.HTTPException):
            pass
        time.sleep(0.2)
    F.wait_until("taken back", 20, ended)
    one = up.rollout_device(started, "b")
    assert one["error"]["id"] in ("engine.crash", "soak.failed"), one
    serves(lab, before)


def serving_engines(device):
    """All of them: which one serves is not told, the old one may die too."""
    return device.children("flotilla-engine")


def test_a_slow_client_is_not_waited_for(up):
    for what, (one, since) in up.slow.items():
        one.settimeout(max(0.1, since + 32 - time.monotonic()))
        try:
            text = one.recv(4096)
        except socket.timeout:
            raise AssertionError(what + ": still open after 32 s") from None
        except ConnectionResetError:
            text = b""
        assert text == b"" or b" 408 " in text, (what, text)
        one.close()
