"""Common to the tests of bad input: the fleet, the form of an error, and the
conditions that hold after every one of them.
"""
import base64
import contextlib
import http.client
import json
import os
import re
import shutil
import signal
import socket

import pytest

import fleet as F
import openapi_parts
import sets
from conftest import MODELS
from controller_parts import body_of, sign
from mqtt_client import Client
from proof_parts import Prover
from waits import HANG_S, Seen, same, stopped, until, wall_ms


RELEASE = "application/vnd.flotilla.release.v1+json"
ORDER = "application/vnd.flotilla.order.v1+json"
OLD = os.path.join(MODELS, "tiny-v2.Q4_0.gguf")
NEW = os.path.join(MODELS, "tiny-v2.1.Q4_0.gguf")
GOLDEN = os.path.join(MODELS, "golden-tiny-v2.json")
LIFE_MS = 24 * 3600 * 1000  # of an order that must not expire
QUESTION = "Rate this log line: 20:25 gateway-42 link lost temp=94C"
ESCAPES = "\x1b[31mred\x07\x9b2J\u202etxt"


def bring_up(fleet):
    """Device `a` serves tiny@1; tiny@2 is published, and a bundle."""
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
    return fleet


@pytest.fixture(scope="module")
def up(fleet):
    bring_up(fleet)
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
            one.settimeout(HANG_S)
            found[name + " " + what] = one
    return found


def outside(fleet):
    """Every file that no program may make: outside of state and data."""
    found = sets.paths(fleet.dir, "state", "controller", "scratch", "cli")
    return set(found) | {name for name in sets.names("/tmp")
                         if name.startswith("flotilla-bad-input")}


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
    """The releases that the device's record names: current, previous,
    candidate."""
    return F.model_status(json.loads(fleet.program(
        "flotilla-agent", "status", "--config", fleet.devices["a"].config,
        "-o", "json")[1]))["slots"]


def expect(done, code, ids):
    """`code` and one of the `ids` (or their beginnings), in the right form."""
    got, out, err = done
    ids = [ids] if isinstance(ids, str) else ids
    codes = [code] if isinstance(code, int) else code
    assert got in codes, (got, out, err)
    assert any("error[" + one in err for one in ids), (ids, err)
    assert re.search(r"^error\[[a-z_.]+\]: \S.*$", err, re.M), err
    assert re.search(r"^  fix: \S.*$", err, re.M), err
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", err), repr(err)


def refused(fleet, code, ids, program, *args):
    done = fleet.program(program, *args, check=False)
    expect(done, code, ids)
    return done


def long_probe(folder, golden, count=1000):
    """The same prompts so often, at most as often as a file may have them:
    nobody misses such a probe."""
    with open(golden, encoding="utf-8") as file:
        told = json.load(file)
    cases = [{key: value for key, value in case.items() if not key.startswith("rival")}
             for case in told["cases"]]  # their numbers would take most of the file
    told["cases"] = [{**case, "id": "%s-%d" % (case["id"], turn)}
                     for turn in range(count // len(cases)) for case in cases]
    path = os.path.join(folder, "long.json")
    with open(path, "w", encoding="utf-8") as file:
        json.dump(told, file)
    return path


def scratch(fleet, name, data):
    path = os.path.join(fleet.scratch, name)
    with open(path, "wb") as file:
        file.write(data)
    return path


def rest(fleet, method, path, body=None, token=None, headers=()):
    """(status, JSON or text) of one call on the people's listener."""
    connection = http.client.HTTPConnection("127.0.0.1", fleet.port,
                                            timeout=HANG_S)
    head = {"Authorization": "Bearer " + (token or fleet.admin)}
    head.update(headers)
    if isinstance(body, dict):
        body = json.dumps(body)
    connection.request(method, path, body, head)
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    openapi_parts.check(method, path, answer.status,
                        answer.headers.get_content_type(), text)
    return answer.status, json.loads(text) if text[:1] in b"{[" else text


def raw(where, *pieces):
    """Bytes of the answer to these bytes; "" when hung up without one."""
    if isinstance(where, int):
        one = socket.create_connection(("127.0.0.1", where), HANG_S)
    else:
        one = socket.socket(socket.AF_UNIX)
        one.settimeout(HANG_S)
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
        except ConnectionResetError:
            pass
    return got


def is_partial(got):
    head, _, body = got.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: (\d+)", head)
    return length is None or len(body) < int(length.group(1))


def rss(pid):
    with open("/proc/%d/status" % pid) as file:
        return int(re.search(r"VmRSS:\s+(\d+)", file.read()).group(1)) * 1024


def frozen(fleet):
    return json.loads(fleet.program(
        "flotilla-agent", "status", "--config", fleet.devices["a"].config,
        "-o", "json")[1])["frozen"]


def says(log, begin, word):
    """Does the log say it behind that many bytes?"""
    with open(log, encoding="utf-8", errors="replace") as file:
        file.seek(begin)
        return word in file.read()


@contextlib.contextmanager
def logged(fleet, word):
    """Behind the block the device's log says `word`, newly."""
    log = fleet.devices["a"].log
    begin = os.path.getsize(log)
    yield
    until("`%s` in the log" % word, lambda: says(log, begin, word), every=0.01)


def serves(device, release):
    def ask():
        try:
            return same(device.ask(QUESTION, "tiny")[1], release)
        except (OSError, F.Failed, http.client.HTTPException) as error:
            return Seen(error)
    until("%s serves %s" % (device.name, release), ask)


@pytest.fixture(scope="module")
def rogue(up):
    """A second device whose owner is up to no good."""
    device = F.Device(up, "rogue")
    line = re.sub("[\x00-\x1f\x9b]", "", ESCAPES)
    for label in (ESCAPES, line):  # a line of text turns no other around
        with pytest.raises(F.Failed):
            device.enroll(up.token, ("note=" + label,))
    device.enroll(up.token, ("note=<b>" + line.replace("\u202e", ""),))
    identity = os.path.join(device.state, "identity")
    facts = json.load(open(os.path.join(identity, "identity.json")))
    host, port = facts["mqtt"].split("//")[1].split(":")
    device.where = (host, int(port), os.path.join(identity, "ca.pem"),
                    os.path.join(identity, "device-a.pem"),
                    os.path.join(identity, "device-a.pem"))
    device.id = facts["device"]
    with open(os.path.join(identity, "trust.json")) as file:
        trust = json.loads(body_of(file.read()))
    device.prover = Prover(device.where[-1], next(
        k["pem"] for k in trust["keys"] if k["role"] == "order"))
    device.speak = lambda: Client(*device.where, device.id,
                                  prover=device.prover)
    device.topic = "flotilla/v1/test/d/%s/" % device.id
    yield device
    shutil.rmtree(device.dir)
    up.cli("device", "delete", "rogue", "--confirm", "rogue")


def told_by_controller(fleet):
    with open(os.path.join(fleet.dir, "controller.log"),
              encoding="utf-8") as file:
        return file.read()


@contextlib.contextmanager
def controllers_place(fleet):
    """A client with the controller's rights at the broker, while the real one
    stands still: both have one name there, so either would end the other."""
    pki = os.path.join(fleet.dir, "controller", "pki")
    port = re.search(r"mqtts://127.0.0.1:(\d+)", told_by_controller(fleet))
    stopped(fleet.controller.pid)
    client = Client("127.0.0.1", int(port.group(1)),
                    *(os.path.join(pki, name) for name in
                      ("ca.pem", "mqtt.pem", "mqtt.key")), "controller")
    said = told_by_controller(fleet).count("mqtt connected to")
    try:
        yield client
    finally:
        client.close()
        fleet.controller.send_signal(signal.SIGCONT)
    # A message sent before it is back at the broker is lost.
    until("the controller is back", lambda: told_by_controller(
        fleet).count("mqtt connected to") > said)


class Controller:
    """The controller's place at the broker, with what a device knows of it."""

    number = 0  # of all orders that were made here

    def __init__(self, fleet):
        self.fleet = fleet
        self.key = os.path.join(fleet.dir, "controller", "keys", "order.key")
        self.topic = "flotilla/v1/test/d/%s/" % fleet.id
        self.place = controllers_place(fleet)

    def __enter__(self):
        self.client = self.place.__enter__()
        self.client.subscribe(self.topic + "#")
        desired = self.client.wait(lambda m: m[0].endswith("/desired"))
        self.desired = json.loads(desired[1])
        self.last = json.loads(base64.b64decode(
            self.desired["assignments"][0]["order"]["payload"]))
        return self

    def __exit__(self, *why):
        away_ms = wall_ms()
        self.place.__exit__(*why)
        until("the controller hears", lambda: self.fleet.ask(
            "device", "get", "a")["last_seen_at_ms"] > away_ms)

    def order(self, op="rollback", **more):
        """A good order but for `more`, about a release this device lacks."""
        Controller.number += 1
        now = wall_ms()
        body = {"v": 1, "fleet": "test", "id": "o-9%03d" % self.number,
                "op": op, "scope": {"device": self.fleet.id},
                "epoch": self.last["epoch"],
                "seq": self.last["seq"] + 20 + self.number,
                "issued_at_ms": now, "expires_at_ms": now + LIFE_MS,
                "by": "tests", "args": {
                    "model": "tiny", "from": ["sha256:" + "5" * 64],
                    "to": "previous", "reason": "test"}}
        body.update(more)
        return body

    def send(self, envelope):
        self.client.publish(self.topic + "cmd", json.dumps(
            {"v": 1, "order": envelope}))

    def send_until(self, what, body, is_heard):
        """A device that renews its certificate has no session for a moment."""
        envelope = self.signed(body)
        until(what, lambda: self.send(envelope) or is_heard(), every=1)

    def send_until_logged(self, word, body):
        log = self.fleet.devices["a"].log
        begin = os.path.getsize(log)
        self.send_until("`%s` in the log" % word, body,
                        lambda: says(log, begin, word))

    def signed(self, body, key=None, kind=ORDER):
        return json.loads(sign(body, key or self.key, kind))

    @staticmethod
    def tells(message, *words):
        """Is it an ack or event of the device that has all these words?"""
        return message[0].endswith(("/ack", "/event")) and all(
            word.encode() in message[1] for word in words)

    def told(self, *words):
        return self.client.wait(lambda m: self.tells(m, *words))

    def all_told(self, *words):
        """Those that came so far."""
        return [m for m in self.client.messages if self.tells(m, *words)]
