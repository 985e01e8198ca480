"""Two controllers without a common folder keep artifacts in a store of S3's
kind, which checks each signature: one takes them in, the other gives them out.
Skipped without Debian's postgresql."""
import hashlib
import hmac
import http.client
import http.server
import json
import os
import threading
import urllib.parse

import pytest

from test_controllers import OTHER
from test_postgresql import Server
from test_two_controllers import Apart
from waits import HANG_S, moment, until

REGION, ACCESS, SECRET = "eu-test-1", "AKIATEST", "wJalrX/secret+key"


def mac(key, text):
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def signature_of(method, path, heads, signed, digest):
    """AWS Signature V4 of a request, as its owner computes it."""
    at = heads["x-amz-date"]
    scope = "/".join((at[:8], REGION, "s3", "aws4_request"))
    canonical = "\n".join((
        method, urllib.parse.quote(path), "", "".join(
            "%s:%s\n" % (name, " ".join(heads[name].split()))
            for name in signed), ";".join(signed), digest))
    text = "\n".join(("AWS4-HMAC-SHA256", at, scope, hashlib.sha256(
        canonical.encode()).hexdigest()))
    key = ("AWS4" + SECRET).encode()
    for part in scope.split("/"):
        key = mac(key, part)
    return mac(key, text).hex()


class Store(http.server.BaseHTTPRequestHandler):
    """Objects by path.  /fleet/ asks for a signature, /open/ shows the same
    to everybody who reads."""
    protocol_version = "HTTP/1.1"
    objects, asked, refused = {}, [], []
    fails = lies = False

    def log_message(self, *_):
        pass

    def answer(self, status, body=b""):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def is_signed(self, digest):
        heads = {name.lower(): value for name, value in self.headers.items()}
        words = dict(word.strip().split("=", 1) for word in heads.get(
            "authorization", "x x=").split(" ", 1)[1].split(",") if "=" in word)
        signed = words.get("SignedHeaders", "").split(";")
        return heads.get("x-amz-content-sha256") == digest and \
            {"host", "x-amz-content-sha256", "x-amz-date"} <= set(signed) and \
            words.get("Credential", "").startswith(ACCESS + "/") and \
            hmac.compare_digest(words.get("Signature", ""), signature_of(
                self.command, self.path, heads, signed, digest))

    def take(self, body):
        """The object's name, or None where it was answered already."""
        room, _, name = self.path[1:].partition("/")
        if self.fails:
            self.answer(503)
        elif not (room == "fleet" and self.is_signed(
                hashlib.sha256(body).hexdigest())) and not (
                    room == "open" and self.command != "PUT"):
            self.refused.append((self.command, self.path, str(self.headers)))
            self.answer(403)
        else:
            self.asked.append((self.command, room, name))
            return name
        return None

    def do_PUT(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        name = self.take(body)
        if name is not None:
            self.objects[name] = body[:-1] + b"!" if self.lies else body
            self.answer(200)

    def do_GET(self):
        name = self.take(b"")
        if name is not None:
            found = self.objects.get(name)
            self.answer(*((404,) if found is None else (200, found)))

    do_HEAD = do_GET


class Kept(Apart):
    is_open = False  # devices are sent to the store

    def share_blobs(self):
        self.folder("b")

    def begin(self, server):
        self.depot = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Store)
        threading.Thread(target=self.depot.serve_forever, daemon=True).start()
        self.keys = os.path.join(self.dir, "s3.keys")
        with open(self.keys, "w", encoding="utf-8") as file:
            os.fchmod(file.fileno(), 0o600)
            file.write("s3 %s %s %s\n" % (REGION, ACCESS, SECRET))
        super().begin(server)

    def blobs_flags(self):
        base = "http://127.0.0.1:%d/" % self.depot.server_port
        return ["--blobs-store", base + "fleet", "--blobs-keys", self.keys] + (
            ["--blobs-url", base + "open"] if self.is_open else [])

    def copies(self, name):
        return {one for one in os.listdir(os.path.join(
            self.dir, name, "blobs")) if one.startswith("sha256-")}

    def has_all_of(self, name):
        return self.copies(name) <= set(Store.objects)


@pytest.fixture(scope="module")
def server():
    one = Server().start()
    yield one
    one.close()


@pytest.fixture(scope="module")
def pair(folder, bin_dir, server):
    one = Kept(folder, bin_dir, name="test")
    try:
        one.begin(server)
        one.up(["gw"])
        one.admit_b()
        yield one
    finally:
        one.close()
        one.depot.shutdown()


def take_over(pair, name):
    """It leads, and the one before stands by."""
    pair.mark(name)
    pair.kill(OTHER[name])
    pair.until_leads(name, moment())
    pair.start(OTHER[name])
    pair.until_said(OTHER[name], "stands by")


def started(pair, leader, release):
    rollout = pair.through(leader, "rollout", "start", release, "--phase",
                           "100%", "--soak", "500ms")["id"]
    pair.cli("rollout", "wait", rollout, "--for", "completed", "-q")
    until("it serves " + release, lambda: pair.serving(release))


def test_what_one_took_in_the_other_gives_out(pair):
    pair.publish_whole("tiny@1", "tiny-v1.Q4_0.gguf", "golden-tiny-v1.json")
    assert pair.copies("a") and pair.has_all_of("a"), Store.refused
    assert not Store.refused
    take_over(pair, "b")
    assert pair.copies("b") == set()
    assert pair.through("b", "release", "get", "tiny@1")["missing"] == []
    started(pair, "b", "tiny@1")
    assert pair.copies("b") and pair.copies("b") <= pair.copies("a")
    assert not Store.refused


def test_devices_go_to_the_store_itself_where_they_may(pair):
    pair.publish_whole("tiny@2", "tiny-v2.Q4_0.gguf", "golden-tiny-v2.json")
    pair.is_open = True
    take_over(pair, "a")  # it stood by without the flag
    take_over(pair, "b")
    before = pair.copies("b")
    take_over(pair, "a")
    here = pair.copies("a")
    del Store.asked[:]
    started(pair, "a", "tiny@2")
    assert [one for one in Store.asked if one[:2] == ("GET", "open")]
    assert pair.copies("a") == here and pair.copies("b") == before


def test_an_artifact_that_its_store_lacks_is_not_taken(pair):
    path = os.path.join(pair.dir, "artifact")
    with open(path, "wb") as file:
        file.write(b"of nobody")
    digest = hashlib.sha256(b"of nobody").hexdigest()

    def put():
        with open(pair.admin_token, encoding="utf-8") as file:
            token = file.read().strip()
        link = http.client.HTTPConnection("127.0.0.1", pair.ports["a"][0],
                                          timeout=HANG_S)
        with open(path, "rb") as body:
            link.request("PUT", "/v1/blobs/sha256:" + digest, body, {
                "Authorization": "Bearer " + token,
                "Content-Type": "application/octet-stream"})
        answer = link.getresponse()
        answer.read()
        link.close()
        return answer.status

    for fault in ("fails", "lies"):
        setattr(Store, fault, True)
        try:
            assert put() >= 500
            assert "sha256-" + digest not in pair.copies("a")
            failing = pair.get(pair.ports["a"][0], "/readyz")[2]
            assert failing["blobs"] == "failing", failing
            told = pair.cli("doctor", "-o", "json", check=False)[1]
            assert [one for one in json.loads(told) if one["check"] == "blobs"
                    and one["level"] == "failed"], told
        finally:
            setattr(Store, fault, False)
    assert put() == 201
    assert Store.objects["sha256-" + digest] == b"of nobody"
    assert pair.get(pair.ports["a"][0], "/readyz")[2]["blobs"] == "ok"


def test_what_came_before_the_store_is_brought_there(pair):
    taken = Store.objects.copy()
    Store.objects.clear()
    take_over(pair, "b")
    until("what b has is there", lambda: pair.has_all_of("b"))
    Store.objects.update(taken)


@pytest.mark.parametrize("flags, said", [
    (["--blobs-store", "http://example.com/x"], "no https:// address"),
    (["--blobs-keys", "KEYS"], "belong to --blobs-store"),
    (["--blobs-store", "https://example.com/x", "--blobs-keys", "KEYS"],
     "belongs there")])
def test_keys_that_are_none_are_refused(pair, flags, said):
    path = os.path.join(pair.dir, "bad.keys")
    with open(path, "w", encoding="utf-8") as file:
        os.fchmod(file.fileno(), 0o600)
        file.write("s3 region alone\n")
    code, _, err = pair.program(
        "flotilla-controller", "--data", os.path.join(pair.dir, "c"), "--check",
        *[path if one == "KEYS" else one for one in flags], check=False)
    assert code != 0 and said in err, err
