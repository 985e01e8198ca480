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

import sets
from test_controllers import OTHER
from test_postgresql import server  # noqa: F401
from test_two_controllers import Apart
from waits import HANG_S, moment, same, until

PROBE = "sha256-" + hashlib.sha256(
    b"flotilla keeps artifacts here\n").hexdigest()
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
    fails = lies = is_gone = False
    fails_at = None  # a name that it does not take
    ill = None  # how it answers to a GET of an artifact: a function

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
        if self.fails or (self.command, name) == ("PUT", self.fails_at):
            self.answer(503)
        elif self.is_gone:
            self.answer(404)
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
        found = self.objects.get(name)
        if name is not None and found is not None and self.ill and \
                self.command == "GET" and name != PROBE:
            type(self).ill_asked += 1
            self.ill(self, found)
            self.close_connection = True
        elif name is not None:
            self.answer(*((404,) if found is None else (200, found)))

    do_HEAD = do_GET
    ill_asked = 0


class Kept(Apart):
    is_open = False  # devices are sent to the store

    def share_blobs(self):
        self.folder("b")

    def begin(self, server):
        self.open_store()
        super().begin(server)

    def open_store(self):
        self.depot = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Store)
        threading.Thread(target=self.depot.serve_forever, daemon=True).start()
        self.write_keys(REGION, ACCESS, SECRET)

    def write_keys(self, *words):
        self.keys = os.path.join(self.dir, "s3.keys")
        with open(self.keys, "w", encoding="utf-8") as file:
            os.fchmod(file.fileno(), 0o600)
            file.write("s3 %s %s %s\n" % words)

    def blobs_flags(self):
        base = "http://127.0.0.1:%d/" % self.depot.server_port
        return ["--blobs-store", base + "fleet", "--blobs-keys", self.keys] + (
            ["--blobs-url", base + "open"] if self.is_open else [])

    def blobs_are(self, name):
        return self.get(self.ports[name][0], "/readyz")[2]["blobs"]

    def until_blobs(self, name, word):
        until("blobs of %s are %s" % (name, word),
              lambda: self.blobs_are(name) == word)

    def ask_blob(self, name, method, digest, body=None):
        with open(self.admin_token, encoding="utf-8") as file:
            token = file.read().strip()
        link = http.client.HTTPConnection("127.0.0.1", self.ports[name][0],
                                          timeout=HANG_S)
        link.request(method, "/v1/blobs/sha256:" + digest, body, {
            "Authorization": "Bearer " + token,
            "Content-Type": "application/octet-stream"})
        answer = link.getresponse()
        answer.read()
        link.close()
        return answer.status

    def told_of_blob(self, name, digest):
        """Status and problem document."""
        with open(self.admin_token, encoding="utf-8") as file:
            token = file.read().strip()
        status, _, told = self.get(self.ports[name][0], "/v1/blobs/sha256:" +
                                   digest, token)
        return status, told

    def copies(self, name):
        return {one for one in sets.names(os.path.join(
            self.dir, name, "blobs")) if one.startswith("sha256-")}

    def has_all_of(self, name):
        return self.copies(name) <= set(Store.objects)


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
    pair.let_lead(OTHER[name])
    pair.mark(name)
    pair.kill(OTHER[name])
    pair.until_leads(name, moment())
    pair.start(OTHER[name])
    pair.until_said(OTHER[name], "stands by")


def leads(pair, name):
    take_over(pair, name)
    pair.until_blobs(name, "ok")


def started(pair, leader, release):
    rollout = pair.through(leader, "rollout", "start", release, "--phase",
                           "100%", "--soak", "500ms")["id"]
    pair.cli("rollout", "wait", rollout, "--for", "completed", "-q")
    until("it serves " + release, lambda: pair.serving(release))


def test_what_one_took_in_the_other_gives_out(pair):
    pair.until_blobs("a", "ok")
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
    digest = hashlib.sha256(b"of nobody").hexdigest()

    def put():
        return pair.ask_blob("a", "PUT", digest, b"of nobody")

    for fault in ("fails", "lies"):
        setattr(Store, fault, True)
        try:
            assert put() >= 500
            assert "sha256-" + digest not in pair.copies("a")
            assert pair.blobs_are("a") == "failing"
            told = pair.cli("doctor", "-o", "json", check=False)[1]
            assert [one for one in json.loads(told) if one["check"] == "blobs"
                    and one["level"] == "failed"], told
        finally:
            setattr(Store, fault, False)
    assert put() == 201
    assert Store.objects["sha256-" + digest] == b"of nobody"
    pair.until_blobs("a", "ok")


def test_what_came_before_the_store_is_brought_there(pair):
    taken = Store.objects.copy()
    Store.objects.clear()
    take_over(pair, "b")
    until("what b has is there", lambda: pair.has_all_of("b"))
    Store.objects.update(taken)


def test_a_copy_that_is_damaged_replaces_no_object(pair):
    name = sorted(pair.copies("a"))[0]
    before = Store.objects[name]
    path = os.path.join(pair.dir, "a", "blobs", name)
    with open(path, "r+b") as file:
        file.truncate(len(before) - 1)
    leads(pair, "a")
    assert Store.objects[name] == before
    assert not os.path.exists(path)
    assert os.path.exists(os.path.join(pair.dir, "a", "blobs",
                                       "damaged-" + name))
    assert pair.ask_blob("a", "GET", name[len("sha256-"):]) == 200
    with open(path, "rb") as file:
        assert file.read() == before


def test_a_room_that_is_not_there_fails(pair):
    Store.is_gone = True
    try:
        take_over(pair, "b")
        pair.until_blobs("b", "failing")
        digest = hashlib.sha256(b"lost").hexdigest()
        assert pair.ask_blob("b", "PUT", digest, b"lost") >= 500
        assert "sha256-" + digest not in pair.copies("b")
    finally:
        Store.is_gone = False
    pair.until_blobs("b", "ok")


def test_a_file_that_the_store_refuses_holds_up_no_other(pair):
    names = pair.copies("a")
    assert len(names) > 1
    taken = Store.objects.copy()
    Store.objects.clear()
    # The first of the folder, as the look meets them.
    Store.fails_at = next(one for one in sets.names(os.path.join(
        pair.dir, "a", "blobs")) if one in names)
    try:
        take_over(pair, "a")
        until("the others are there",
              lambda: names - {Store.fails_at} <= set(Store.objects))
        pair.until_blobs("a", "failing")
        # Another one's success is none of this one.
        other = hashlib.sha256(b"another").hexdigest()
        assert pair.ask_blob("a", "PUT", other, b"another") == 201
        assert pair.blobs_are("a") == "failing"
    finally:
        Store.fails_at = None
    pair.until_blobs("a", "ok")
    assert names <= set(Store.objects)
    Store.objects.update(taken)


def test_a_file_here_is_no_witness_of_the_store(pair):
    body = b"another"
    digest = hashlib.sha256(body).hexdigest()
    del Store.objects["sha256-" + digest]
    assert pair.ask_blob("a", "PUT", digest, body) == 200
    assert Store.objects["sha256-" + digest] == body


def test_what_no_release_brings_is_not_asked_for(pair):
    del Store.asked[:]
    digest = hashlib.sha256(b"of no release").hexdigest()
    assert pair.ask_blob("a", "GET", digest) == 404
    assert not [one for one in Store.asked if digest in one[2]]


def more(store, found):
    """Without a length, and without an end of its own."""
    store.send_response(200)
    store.end_headers()
    try:
        store.wfile.write(found)
        while True:
            store.wfile.write(b"\0" * 65536)
            Store.given += 65536
    except OSError:
        pass


def more_as_it_says(store, found):
    store.answer(200, found + b"!")


def other_bytes(store, found):
    store.answer(200, bytes(len(found)))


def cut_off(store, found):
    store.send_response(200)
    store.send_header("Content-Length", str(len(found)))
    store.end_headers()
    store.wfile.write(found[:-1])


def no_http(store, found):
    store.wfile.write(b"\x16\x03\x01 sorry\r\n\r\n")


def refuses(status):
    def refuse(store, found):
        store.answer(status, b"<Error><Code>Anything</Code></Error>")
    refuse.__name__ = "status_%d" % status
    return refuse


class Elsewhere(http.server.BaseHTTPRequestHandler):
    asked = []

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.asked.append(str(self.headers))
        self.send_response(404)
        self.end_headers()


def leads_elsewhere(store, found):
    store.send_response(307)
    store.send_header("Location", "http://127.0.0.1:%d%s" % (
        Store.elsewhere, store.path))
    store.send_header("Content-Length", "0")
    store.end_headers()


@pytest.mark.parametrize("ill, code, tries", [
    (more, "net.content", 1), (more_as_it_says, "net.content", 1),
    (other_bytes, "net.content", 3), (cut_off, "net.unreachable", 3),
    (no_http, "net.content", 3), (refuses(403), "net.status", 1),
    (refuses(404), "blob.absent", 1), (refuses(500), "net.status", 3),
    (leads_elsewhere, "net.status", 1)], ids=lambda one: getattr(
        one, "__name__", ""))
def test_a_store_that_answers_otherwise_is_refused(pair, ill, code, tries):
    """The leader has no copy, and asks the store for it."""
    name = sorted(one for one in pair.copies("a") if one != PROBE and
                  len(Store.objects[one]) > 1000 and
                  pair.ask_blob("a", "GET", one[len("sha256-"):]) == 200)[0]
    digest = name[len("sha256-"):]
    os.unlink(os.path.join(pair.dir, "a", "blobs", name))
    elsewhere = http.server.HTTPServer(("127.0.0.1", 0), Elsewhere)
    threading.Thread(target=elsewhere.serve_forever, daemon=True).start()
    Store.elsewhere, Store.given, Store.ill_asked = elsewhere.server_port, 0, 0
    Store.ill = staticmethod(ill)
    try:
        status, told = pair.told_of_blob("a", digest)
        assert status >= 400 and told["code"] == code, (status, told)
        assert "127.0.0.1" not in json.dumps(told), told
        assert Store.ill_asked == tries
        assert Elsewhere.asked == []
        # No more than what is between two sockets.
        assert Store.given < 64 << 20
        left = os.path.join(pair.dir, "a", "blobs")
        until("no part is left", lambda: same([
            one for one in sets.names(left)
            if one == name or one.startswith(".upload-")], []))
    finally:
        Store.ill = None
        elsewhere.shutdown()
    assert pair.ask_blob("a", "GET", digest) == 200
    assert name in pair.copies("a")
    pair.until_blobs("a", "ok")


def test_a_store_that_stalls_is_asked_again(pair):
    """It says nothing after the first half, and the next one is given."""
    name = sorted(one for one in pair.copies("a") if one != PROBE and
                  len(Store.objects[one]) > 1000 and
                  pair.ask_blob("a", "GET", one[len("sha256-"):]) == 200)[0]
    over = threading.Event()

    def stall(store, found):
        if Store.ill_asked > 1:
            store.answer(200, found)
            return
        store.send_response(200)
        store.send_header("Content-Length", str(len(found)))
        store.end_headers()
        store.wfile.write(found[:len(found) // 2])
        over.wait(HANG_S)

    os.unlink(os.path.join(pair.dir, "a", "blobs", name))
    Store.ill_asked, Store.ill = 0, staticmethod(stall)
    try:
        assert pair.ask_blob("a", "GET", name[len("sha256-"):]) == 200
        assert Store.ill_asked == 2
    finally:
        Store.ill = None
        over.set()
    assert name in pair.copies("a")


@pytest.mark.parametrize("flags, said", [
    (["--blobs-store", "http://example.com/x"], "no https:// address"),
    (["--blobs-store", "https://me:secret@example.com/x"], "a password"),
    (["--blobs-store", "https:///x"], "no https:// address"),
    (["--blobs-store", "http://localhost:x@example.com/b"], "a password"),
    (["--blobs-store", "http://127.0.0.1:80.example.com/b"], "of this machine"),
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
    assert code != 0 and said in err and "secret" not in err, err
