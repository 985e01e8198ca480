"""Parts of the controller's end-to-end tests: the program, a device as the
controller sees it, a publisher."""
import base64
import hashlib
import http.client
import json
import os
import random
import signal
import socket
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
import uuid

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tools"))

import fleet as F  # noqa: E402
import openapi_parts  # noqa: E402
import sets  # noqa: E402
from mqtt_client import Client, Refused  # noqa: E402
from proof_parts import Prover  # noqa: E402
from waits import HANG_S, until  # noqa: E402

BIN = os.environ.get("FLOTILLA_BIN", os.path.join(ROOT, "build", "bin"))
BOOTS = random.Random("boots")


def new_boot():
    """The id of a device's start: each is another one, and each run has the same."""
    return str(uuid.UUID(bytes=BOOTS.randbytes(16), version=4))


def run(*command, data=None):
    return subprocess.run(command, input=data, capture_output=True,
                          check=True).stdout


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self):
        return json.loads(self.body)


class Controller:
    program = os.path.join(BIN, "flotilla-controller")

    def __init__(self, folder):
        self.dir = os.path.join(folder, "data")
        self.root = os.path.join(folder, "root.key")
        self.process = None
        self.ports = [F.held_port() for _ in range(3)]
        self.ready_status = 200

    def start(self, *more):
        self.process = subprocess.Popen(
            [self.program, "--data", self.dir,
             *F.controller_addresses(self.ports, more), "--fleet", "test",
             "--heartbeat", "1s", "--broker-linger", "0s", *more],
            stdout=subprocess.PIPE, stderr=open(self.dir + ".log", "ab"),
            text=True, env=F.with_preloaded(os.environ))
        self.facts = {}
        for line in self.process.stdout:
            word, value = line.split(None, 1)
            self.facts[word] = value.split()[0]
            if word == "token":
                break
        assert "rest" in self.facts, open(self.dir + ".log").read()
        self.rest = self.facts["rest"]
        self.token = open(self.facts["token"]).read().strip()
        self.ca = os.path.join(self.dir, "pki", "ca.pem")
        until("ready", lambda: self.ask(
            "GET", "/readyz").status == self.ready_status)
        return self

    def stop(self, how=signal.SIGTERM):
        if self.process is not None:
            self.process.send_signal(how)
            code = self.process.wait(HANG_S)
            self.process.stdout.close()
            self.process = None
            assert how == signal.SIGKILL or code == 0, \
                open(self.dir + ".log").read()[-4000:]

    def ask(self, method, path, body=None, token=None, headers=None,
            base=None, context=None):
        heads = {"Authorization": "Bearer " + (token or self.token)}
        if token == "":
            heads = {}
        heads.update(headers or {})
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        request = urllib.request.Request((base or self.rest) + path, body,
                                         heads, method=method)
        try:
            with urllib.request.urlopen(request, timeout=HANG_S,
                                        context=context) as reply:
                answer = Answer(reply.status, reply.headers, reply.read())
        except urllib.error.HTTPError as error:
            answer = Answer(error.code, error.headers, error.read())
        openapi_parts.check(method, path, answer.status,
                            answer.headers.get_content_type(), answer.body)
        return answer

    def broker(self):
        host, port = self.facts["broker"][len("mqtts://"):].rsplit(":", 1)
        return host, int(port)

    def access(self, role):
        answer = self.ask("POST", "/v1/tokens", {
            "kind": "access", "role": role, "name": role})
        assert answer.status == 201, answer.body
        return answer.json["token"]

    def state(self, publisher=None):
        """The first trust statement, or the next one with a publisher more."""
        held = self.ask("GET", "/v1/trust").json
        if publisher is None and "payload" in held:
            return
        if "payload" in held:
            body = json.loads(body_of(json.dumps(held)))
            body["number"] += 1
        else:
            body = {"v": 1, "fleet": held["fleet"], "number": 2,
                    "epoch": held["epoch"],
                    "root": {"threshold": 1, "keys": [make_key(self.root)]},
                    "keys": [{"pem": key["pem"], "role": key["roles"][0]}
                             for key in held["keys"]]}
        if publisher is not None:
            body["keys"].append({"pem": publisher, "role": "release"})
        answer = self.ask("POST", "/v1/trust/statements",
                          sign(body, self.root, TRUST))
        assert answer.status == 201, answer.body

    def enrol_token(self, **more):
        self.state()
        answer = self.ask("POST", "/v1/tokens",
                          dict({"kind": "enroll", "uses": 50}, **more))
        assert answer.status == 201, answer.body
        return answer.json["token"]

    def mosquitto(self):
        return until("its broker", lambda: sets.processes(
            self.process.pid, "mosquitto"))[0]


def metric(controller, name):
    text = controller.ask("GET", "/metrics", token="").body.decode()
    return int([line for line in text.split("\n") if
                line.startswith("flotilla_%s " % name)][0].split()[1])


def read_events(controller, last=None, count=1, enough=None, attached=None):
    """The next events, until they are enough (so many); `attached` is set
    when none is missed any more."""
    enough = enough or (lambda found: len(found) >= count)
    host, port = controller.rest[len("http://"):].split(":")
    connection = http.client.HTTPConnection(host, int(port),
                                            timeout=HANG_S)
    headers = {"Authorization": "Bearer " + controller.token}
    if last is not None:
        headers["Last-Event-ID"] = str(last)
    connection.request("GET", "/v1/events", headers=headers)
    answer = connection.getresponse()
    assert answer.status == 200
    if attached is not None:
        attached.set()
    found, event = [], {}
    while not enough(found):
        line = answer.readline().decode().rstrip("\n")
        if line == "" and "event" in event:
            if event["event"] != "telemetry":  # comes when it likes
                found.append(event)
            event = {}
        elif ": " in line and not line.startswith(":"):
            key, value = line.split(": ", 1)
            event[key] = value
    connection.close()
    return found


class Device:
    """An agent, as far as the controller sees it."""
    source = "0.0.0.0"  # any address of this host; the broker takes 127.0.0.1 for its own

    def __init__(self, controller, folder, name, token, labels=None,
                 **more):
        self.controller, self.name = controller, name
        self.key = os.path.join(folder, name + ".key")
        self.cert = os.path.join(folder, name + ".pem")
        run("openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout",
            "-out", self.key)
        csr = run("openssl", "req", "-new", "-key", self.key, "-subj",
                  "/CN=somebody-else").decode()
        context = ssl.create_default_context(cafile=controller.ca)
        self.answer = controller.ask(
            "POST", "/v1/enroll", {"token": token, "csr": csr, "name": name,
                                   "labels": labels or {},
                                   "profile": {"arch": "x86_64", "cpus": 2},
                                   **more},
            token="", base=controller.facts["devices"], context=context)
        if self.answer.status != 201:
            return
        facts = self.answer.json
        self.id = facts["device"]
        with open(self.cert, "w") as file:
            file.write(facts["certificate"])
        trust = json.loads(body_of(json.dumps(facts["trust"])))
        self.order_key = [k["pem"] for k in trust["keys"]
                          if k["role"] == "order"][0]
        self.prover = Prover(self.key, self.order_key)
        self.boot = new_boot()
        self.seq = 0
        self.serving = "sha256:" + "0" * 64
        self.client = None

    def topic(self, word):
        return "flotilla/v1/test/d/%s/%s" % (self.id, word)

    def hears_nothing(self, controller, witness):
        """Soon an order to all reaches the witness, and not this one."""
        def is_deaf():
            seen = len(self.client.messages)
            told = len(witness.client.messages)
            controller.ask("POST", "/v1/orders", {"op": "config",
                                                  "everywhere": True,
                                                  "confirm": "test",
                                                  "heartbeat_ms": 1000})
            until("the witness hears it",
                  lambda: len(witness.client.messages) > told)
            self.comes_through()
            return len(self.client.messages) == seen
        until("the broker reads its ACL", is_deaf)

    def comes_through(self):
        """Earlier messages of the broker for it have come."""
        try:
            self.client.subscribe(self.topic("cmd"))
        except (Refused, OSError):
            pass  # it hung up: nothing comes any more

    def is_heard(self):
        """The controller took all that was sent before, and what it said
        until then has come: it acknowledges a note that follows.  No number
        before it is awaited any more."""
        self.seq += 1
        self.client.publish(self.topic("event"), json.dumps({
            "v": 1, "boot": self.boot, "seq": self.seq, "from": self.seq,
            "at_ms": 1, "type": "note"}))
        assert self.client.wait(
            lambda m: m[0].endswith("/cmd") and m[1] and
            json.loads(m[1]).get("boot") == self.boot and
            json.loads(m[1]).get("ack", 0) >= self.seq)

    def connect(self, is_silent=False):
        host, port = self.controller.broker()
        self.client = Client(host, port, self.controller.ca, self.cert,
                             self.key, self.id,
                             (self.topic("presence"),
                              '{"v":1,"online":false}'), self.prover, self.source)
        for topic in ("desired", "cmd"):
            assert self.client.subscribe(self.topic(topic)) == 1
        assert self.client.subscribe("flotilla/v1/test/c/order") == 1
        if not is_silent:
            self.comes()
        return self

    def comes(self):
        self.client.publish(self.topic("presence"), '{"v":1,"online":true}',
                            retain=True)

    def desired(self, test=lambda d: True):
        def fits(message):
            return message[0].endswith("/desired") and message[1] and \
                test(json.loads(message[1]))
        found = self.client.wait(fits)
        return json.loads(found[1]) if found else None

    def order(self, op, about=""):
        """The order that desired carries, once it is of this kind and names
        this digest."""
        found = self.desired(lambda d: carries(d, op, about))
        return (found, order_of(found)) if found else (None, None)

    def was_ordered(self, op, about=""):
        """Did such a desired come so far?  is_heard() before makes it sure."""
        return any(carries(json.loads(m[1]), op, about)
                   for m in self.client.messages
                   if m[0].endswith("/desired") and m[1])

    def event(self, rollout, digest, state, seq=None, **more):
        self.seq = seq or self.seq + 1
        self.client.publish(self.topic("event"), json.dumps(dict({
            "v": 1, "boot": self.boot, "seq": self.seq, "at_ms": 1,
            "type": "execution", "execution": rollout + ".1",
            "rollout": rollout, "release": digest, "state": state,
            "end": state in ("succeeded", "failed")}, **more)))

    def report(self, rev, models=None, **more):
        """Report one model that serves, or those that are given."""
        models = models if models is not None else [{
            "model": "tiny", "state": "ready", "execution": None,
            "serving": {"release": self.serving, "version": "x"},
            "current": {"release": self.serving}}]
        self.client.publish(self.topic("reported"), json.dumps(dict({
            "v": 2, "device": self.id, "name": self.name, "rev": rev,
            "agent": "0.1.0", "groups": ["all"], "models": models}, **more)),
            retain=True)


def held(desired):
    """The envelope that a desired document of one model carries."""
    orders = [a["order"] for a in desired["assignments"]]
    return (orders + desired["statements"] + [None])[0]


def order_of(desired):
    return json.loads(base64.b64decode(held(desired)["payload"]))


def carries(desired, op, about):
    return bool(held(desired)) and order_of(desired)["op"] == op and \
        about in json.dumps(order_of(desired))


# Order of the curve P-256 (FIPS 186-4).
ORDER_P256 = int("ffffffff00000000ffffffffffffffff"
                 "bce6faada7179e84f3b9cac2fc632551", 16)


def canonical(envelope):
    """The one text of a DSSE envelope."""
    return json.dumps(envelope, sort_keys=True,
                      separators=(",", ":")).encode()


def body_of(envelope):
    """The signed bytes inside."""
    return base64.b64decode(json.loads(envelope)["payload"])


def sign(body, key, kind):
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    text = b"DSSEv1 %d %s %d %s" % (len(kind), kind.encode(), len(body), body)
    der = run("openssl", "dgst", "-sha256", "-sign", key, data=text)
    first = 4 + der[3]
    r, s = der[4:first], der[first + 2:first + 2 + der[first + 1]]
    s = int.from_bytes(s, "big")
    raw = r[-32:].rjust(32, b"\0") + min(s, ORDER_P256 - s).to_bytes(32, "big")
    public = run("openssl", "ec", "-in", key, "-pubout", "-outform", "DER")
    return canonical({
        "payloadType": kind, "payload": base64.b64encode(body).decode(),
        "signatures": [{"keyid": hashlib.sha256(public).hexdigest(),
                        "sig": base64.b64encode(raw).decode()}]})


TRUST = "application/vnd.flotilla.trust.v1+json"


def make_key(path):
    """Its public half, PEM."""
    run("openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout",
        "-out", path)
    return public_of(path)


def public_of(path):
    return run("openssl", "ec", "-in", path, "-pubout").decode()


class Publisher:
    def __init__(self, controller, folder):
        self.controller, self.number = controller, 0
        self.key = os.path.join(folder, "publisher.key")
        controller.state(make_key(self.key))

    def document(self, version, data, model="tiny"):
        self.number += 1
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        return {"v": 1, "fleet": "test", "model": model, "version": version,
                "number": self.number, "created_at_ms": 0,
                "variants": [{"name": "q4", "needs": {},
                              "files": ["model.gguf"]}],
                "files": [{"name": "model.gguf", "role": "model",
                           "digest": digest, "bytes": len(data),
                           "chunk_bytes": 1048576,
                           "chunks": [hashlib.sha256(data).hexdigest()],
                           "get": [{"codec": "raw", "digest": digest,
                                    "bytes": len(data)}]}]}, digest

    def publish(self, version, data=None, model="tiny"):
        data = data or ("%s %s" % (model, version)).encode()
        path = "/v1/releases/%s@%s/publish" % (model, version)
        document, digest = self.document(version, data, model)
        envelope = sign(document, self.key,
                        "application/vnd.flotilla.release.v1+json")
        made = self.controller.ask("POST", "/v1/releases", envelope)
        assert made.status == 201, made.body
        assert made.json["state"] == "draft"
        assert made.json["missing"] == [digest]
        early = self.controller.ask("POST", path, b"")
        assert early.status == 422, early.body
        put = self.controller.ask("PUT", "/v1/blobs/" + digest, data)
        assert put.status == 201, put.body
        done = self.controller.ask("POST", path, b"")
        assert done.json["state"] == "published", done.body
        assert made.json["digest"] == \
            "sha256:" + hashlib.sha256(body_of(envelope)).hexdigest()
        return made.json["digest"]


TWO_PHASES = [{"devices": 1}, {"share_pct": 100}]


def start(controller, release, **more):
    answer = controller.ask("POST", "/v1/rollouts", dict(
        {"release": release, "phases": TWO_PHASES}, **more))
    assert answer.status == 201, answer.body
    return answer.json


def listens(host, port):
    try:
        socket.create_connection((host, port), HANG_S).close()
        return True
    except OSError:
        return False
