"""A device that was written by docs/internals/contracts.md alone, in a fleet of
the shipped controller: docs/examples/device.py.  Where page and programs part,
it does not get through."""
import base64
import hashlib
import json
import os
import random
import subprocess
import sys

import pytest

import fleet as F
from bad_parts import rest
from conftest import ROOT, Small
from controller_parts import make_key, sign
from test_forged import LIFE, Thief, counts
from waits import HANG_S, Seen, same, until, wall_ms

PROGRAM = os.path.join(ROOT, "docs", "examples", "device.py")
ORDER = "application/vnd.flotilla.order.v1+json"
NAMES = ["one", "two", "three"]


def python():
    """One that has the two packages: this one, or Debian's."""
    for path in (sys.executable, "/usr/bin/python3"):
        done = subprocess.run([path, "-c", "import cryptography, paho.mqtt"],
                              capture_output=True)
        if done.returncode == 0:
            return path
    return pytest.skip("no python3-cryptography, python3-paho-mqtt: "
                       "deploy/install-deps.sh --optional",
                       allow_module_level=True)


PYTHON = python()


class Example:
    """One device of docs/examples/device.py."""

    def __init__(self, fleet, name):
        self.fleet, self.name, self.process = fleet, name, None
        self.state = os.path.join(fleet.dir, "examples", name)
        os.makedirs(os.path.dirname(self.state), exist_ok=True)

    def enrol(self, token):
        return subprocess.run(
            [PYTHON, PROGRAM, "enrol", self.state, self.fleet.devices_url,
             token, self.name], env=self.fleet.env, capture_output=True,
            text=True, timeout=HANG_S)

    def start(self):
        self.process = self.fleet.spawn(
            [PYTHON, PROGRAM, "run", self.state, "files", self.fleet.check],
            self.state + ".log")

    def stop(self):
        self.process.terminate()
        self.process.wait(HANG_S)

    def served(self):
        """Bytes of the file that serves."""
        with open(os.path.join(self.state, "serving", "gate", "weights.bin"),
                  "rb") as file:
            return file.read()


class Fleet(Small):
    def counts(self, word):
        return counts(rest(self, "GET", "/metrics")[1].decode(), word)

    def device(self, name):
        return self.ask("device", "get", name)

    def weights(self, version):
        """Files of 300 kB that differ in a few bytes."""
        one = random.Random(1)
        data = bytearray(one.randbytes(300_000))
        for _ in range(version - 1):
            data[one.randrange(1, len(data))] ^= 1
        return bytes(data)

    def release(self, version, data=None):
        path = os.path.join(self.dir, "weights-%d" % version)
        with open(path, "wb") as file:
            file.write(data or self.weights(version))
        self.cli("release", "create", "gate@%d" % version, "--runtime", "files",
                 "--file", "weights.bin=%s:model" % path, "--sign-with",
                 self.key, "--publish", "--skip-play")
        return self.ask("release", "get", "gate@%d" % version)["digest"]

    def begin(self, version, *more):
        return self.ask("rollout", "start", "gate@%d" % version, "--soak",
                        "100ms", *more)["id"]

    def wait(self, rollout, end="completed"):
        self.cli("rollout", "wait", rollout, "--for", end, "-q")
        return self.ask("rollout", "get", rollout)

    def serve(self, version, names):
        want = dict.fromkeys(names, str(version))
        until("%s serve %d" % (names, version), lambda: same(
            {d["name"]: (d["serving"] or {}).get("version")
             for d in self.ask("device", "list") if d["name"] in names}, want))
        for name in names:
            assert self.examples[name].served() == self.weights(version)

    def told(self, name, word):
        """Errors of this device's events of a kind, the oldest first."""
        return [e["error"]["id"] for e in self.ask("device", "get", name,
                                                   "--timeline")
                if e.get("type") == word]

    def answers(self, name, order):
        """Answers of the device about an order, as the broker heard them."""
        heard = [json.loads(m) for m in self.thief.heard(self.ids[name], "ack")]
        return [a for a in heard if a["order"] == order]

    def order_for(self, name, **more):
        """The body of an order for this device, as the controller writes it."""
        now = wall_ms()
        return dict({"v": 1, "fleet": "test", "id": "o-9000", "op": "freeze",
                     "scope": {"device": self.ids[name]}, "epoch": 1,
                     "seq": self.device(name)["top"] + 1, "issued_at_ms": now,
                     "expires_at_ms": now + 3_600_000, "by": "ops",
                     "args": {}}, **more)

    def gives(self, name, envelope):
        """By name, through the broker, which is in other hands."""
        self.thief.says(self.ids[name], "cmd", json.dumps({
            "v": 1, "order": json.loads(envelope)}))


@pytest.fixture(scope="module")
def up(folder, bin_dir):
    one = Fleet(folder, bin_dir, name="test")
    one.up([], "--certificate-life", LIFE)
    one.check = os.path.join(one.dir, "check")
    with open(one.check, "w", encoding="utf-8") as file:
        file.write('#!/bin/sh\n! head -c 3 "$1/weights.bin" | grep -q bad\n')
    os.chmod(one.check, 0o755)
    one.examples = {name: Example(one, name) for name in NAMES}
    yield one
    one.close()


def test_it_enrols_where_the_token_says_and_nowhere_else(up):
    with open(up.token, encoding="utf-8") as file:
        token = file.read().strip()
    other = os.path.join(up.dir, "other.token")
    with open(other, "w", encoding="utf-8") as file:
        file.write(token[:-1] + ("0" if token[-1] != "0" else "1"))
    done = up.examples["one"].enrol(other)
    assert done.returncode != 0 and "net.tls" in done.stderr
    assert up.ask("device", "list") == []
    assert not os.path.exists(os.path.join(up.examples["one"].state,
                                           "record.json"))

    for one in up.examples.values():
        done = one.enrol(up.token)
        assert done.returncode == 0, done.stderr
        one.start()
    up.online(NAMES)
    with open(up.admin_token, encoding="utf-8") as file:
        up.admin = file.read().strip()
    up.ids = {name: up.device(name)["id"] for name in NAMES}
    up.thief = Thief(up)


def test_the_controller_has_it_as_a_device_that_proves_its_words(up):
    until("its words are proved", lambda: up.counts("good") > 3)
    assert [up.counts(word) for word in ("none", "wrong", "old")] == [0, 0, 0]
    assert "flotilla_devices_unproved 0" in \
        rest(up, "GET", "/metrics")[1].decode()
    for name in NAMES:
        assert up.device(name)["trust"] == up.ask("trust", "status")["number"]


def test_a_phase_reaches_the_devices_of_its_buckets_alone(up):
    up.first = up.release(1)
    rollout = up.begin(1, "--phase", "1,until=promoted", "--phase", "100%")
    until("the canary has it", lambda: up.ask(
        "rollout", "get", rollout)["phases"][0]["counts"] == {"succeeded": 1})
    phases = up.ask("rollout", "get", rollout)["phases"]

    def bucket(name):
        text = ("%s\0%s" % (rollout, up.ids[name])).encode()
        return int.from_bytes(hashlib.sha256(text).digest()[:8], "big") % 10**9
    canary, *rest_of = sorted(NAMES, key=bucket)
    assert phases[0]["buckets"][0] <= bucket(canary) < phases[0]["buckets"][1]
    up.serve(1, [canary])
    assert [up.device(name)["serving"] for name in rest_of] == [None, None]

    # The same order by name, to devices of later buckets: it is not theirs.
    desired = json.loads(up.thief.heard(up.ids[canary], "desired")[-1])
    up.deploy = desired["assignments"][0]["order"]
    order = json.loads(base64.b64decode(up.deploy["payload"]))
    assert order["scope"]["buckets"] == phases[0]["buckets"]
    key = os.path.join(up.dir, "controller", "keys", "order.key")
    for name in rest_of:
        up.gives(name, json.dumps(up.deploy))
        up.gives(name, sign(up.order_for(name, op="config", args={
            "heartbeat_ms": 1000}), key, ORDER))
        until("it looked at both", lambda: up.answers(name, "o-9000"))
        assert up.answers(name, order["id"]) == []

    up.cli("rollout", "promote", rollout)
    up.wait(rollout)
    up.serve(1, NAMES)
    assert up.counts("wrong") == 0


def test_a_release_comes_by_a_delta_and_each_state_is_told(up):
    up.second = up.release(2)
    found = up.wait(up.begin(2, "--phase", "100%"))
    up.serve(2, NAMES)
    assert {d["codec"] for d in found["devices"]} == {"bsdiff40"}
    assert found["transfer"]["devices"] == 3
    assert 0 < found["transfer"]["bytes"] * 10 < found["transfer"]["full_bytes"]
    up.rollout = found["id"]
    told = [e["state"] for e in up.ask("device", "get", "one", "--timeline")
            if e.get("rollout") == up.rollout]
    assert told[-7:] == ["accepted", "downloading", "staged", "probing",
                         "activating", "soaking", "succeeded"], told


def test_it_goes_back_and_takes_the_release_no_more(up):
    up.cli("rollout", "rollback", up.rollout, "--confirm", "gate@2")
    up.wait(up.rollout, "rolled-back")
    up.serve(1, NAMES)
    for name in NAMES:
        until("it denies it", lambda: same(up.device(name)["denied"],
                                           [up.second]))


def test_a_release_that_fails_its_probe_never_serves(up):
    bad = up.release(3, b"bad" + up.weights(3)[3:])
    found = up.wait(up.begin(3, "--phase", "1", "--phase", "100%"), "halted")
    ends = [(d["name"], d["error"]["id"]) for d in found["devices"]
            if d["state"] == "failed"]
    assert [error for _, error in ends] == ["probe.golden"]
    up.serve(1, NAMES)
    until("it denies it", lambda: bad in up.device(ends[0][0])["denied"])


def test_a_frozen_device_begins_nothing(up):
    up.cli("rollout", "freeze", "--confirm", "test")
    until("all are frozen", lambda: same(
        [d["frozen"] for d in up.ask("device", "list")], [True] * 3))
    # Somebody has the controller's order key, and lets it bring a release.
    digest = up.release(4)
    key = os.path.join(up.dir, "controller", "keys", "order.key")

    def gives(order, **more):
        up.gives("one", sign(up.order_for("one", id=order, **more), key, ORDER))
        return until("an answer", lambda: up.answers("one", order))[0]["outcome"]

    def states():
        return [(e["state"], (e.get("error") or {}).get("id"))
                for e in up.ask("device", "get", "one", "--timeline")
                if e.get("rollout") == "r-9000"]
    assert gives("o-9010", op="deploy", args={
        "model": "gate", "release": digest, "version": "4", "phase": 0,
        "number": up.ask("release", "get", "gate@4")["number"],
        "rollout": "r-9000", "policy": {}}) == "running"
    assert gives("o-9011", op="config", args={"heartbeat_ms": 1000}) == "done"
    assert gives("o-9012", op="prompts", args={"stay": 1}) == "done"
    assert states() == []
    up.cli("rollout", "unfreeze", "--confirm", "test")
    until("none is", lambda: same(
        [d["frozen"] for d in up.ask("device", "list")], [False] * 3))
    # It begins, and the controller gives no file that it did not offer.
    until("it begins", lambda: same(
        states(), [("accepted", None), ("rejected", "blob.not_offered")]))


def test_it_joins_the_group_that_a_signed_statement_names(up):
    up.cli("group", "create", "lab")
    up.cli("group", "add", "lab", "two")
    until("it says so", lambda: same(
        sorted(json.loads(up.thief.heard(up.ids["two"], "reported")[-1])[
            "groups"]), ["all", "lab"]))
    up.wait(up.begin(4, "--phase", "100%", "--group", "lab"))
    up.serve(4, ["two"])
    up.serve(1, ["one", "three"])


def test_it_renews_its_certificate_and_proves_on(up):
    before = up.counts("wrong")
    numbers = [up.device(name)["certificate"]["number"] for name in NAMES]
    up.ask("ca", "rotate")
    until("all renewed", lambda: same([a["devices"] for a in up.ask(
        "ca", "status")["authorities"]], [0, 3]))
    assert all(up.device(name)["certificate"]["number"] > number
               for name, number in zip(NAMES, numbers))
    good = up.counts("good")
    until("and are heard", lambda: up.counts("good") > good + 6)
    assert up.counts("wrong") == before


def test_it_refuses_an_order_that_is_forged_old_or_of_another_epoch(up):
    up.thief.close()
    up.thief = Thief(up)
    serving = up.device("one")["serving"]
    key = os.path.join(up.dir, "controller", "keys", "order.key")
    strange = os.path.join(up.dir, "strange.key")
    make_key(strange)
    before = up.told("one", "security")

    # By a key that nobody trusts.
    up.gives("one", sign(up.order_for("one"), strange, ORDER))
    until("it says so", lambda: same(up.told("one", "security"),
                                     [*before, "sig.unknown_key"]))
    # With the signature of another text.
    good, other = (json.loads(sign(up.order_for("one", id=name),
                                   key, ORDER)) for name in ("o-9001", "o-9002"))
    up.gives("one", json.dumps(dict(good, signatures=other["signatures"])))
    until("it says so", lambda: same(up.told("one", "security"),
                                     [*before, "sig.unknown_key", "sig.bad"]))
    assert up.answers("one", "o-9001") == []

    def answer(name, **more):
        up.gives("one", sign(up.order_for("one", id=name, **more), key, ORDER))
        return until("an answer", lambda: up.answers("one", name))[0]
    # An epoch that is over.
    said = answer("o-9003", epoch=0)
    assert (said["outcome"], said["error"]["id"]) == ("refused", "cmd.epoch")
    # Too old, and from the future.
    assert answer("o-9004", expires_at_ms=1)["error"]["id"] == \
        "cmd.expired"
    assert answer("o-9005", issued_at_ms=wall_ms() +
                  2 * 86_400_000)["error"]["id"] == "cmd.future"
    # A number that another order about the subject has passed.
    assert answer("o-9006", op="unfreeze")["outcome"] == "done"
    said = answer("o-9007", seq=1)
    assert said["outcome"] == "superseded"
    assert said["by"]["order"] == "o-9006"
    device = up.device("one")
    assert not device["frozen"] and device["serving"] == serving


def test_it_believes_the_next_trust_statement_and_its_order_key(up):
    draft = os.path.join(up.dir, "order.json")
    up.cli("key", "rotate", "order", "--to", draft)
    up.cli("trust", "sign", draft, "--key",
           os.path.join(os.path.dirname(up.key), "root.key"))
    up.cli("trust", "publish", draft)
    status = up.ask("trust", "status")
    until("all have it", lambda: same(
        up.ask("trust", "status")["numbers"],
        [{"number": status["number"], "devices": 3}]))
    good, wrong = up.counts("good"), up.counts("wrong")
    until("and prove to the new key", lambda: up.counts("good") > good + 6)
    assert up.counts("wrong") == wrong


def test_it_goes_on_where_it_was_when_it_starts_again(up):
    told = up.told("one", "security")
    up.examples["one"].stop()
    until("it is gone", lambda: up.device("one")["state"] == "offline")
    up.examples["one"].start()
    up.online(NAMES)
    up.serve(1, ["one"])
    rollout = up.begin(4, "--phase", "100%")
    up.wait(rollout)
    up.serve(4, NAMES)
    assert up.device("two")["state"] == "online"
    # The lists have no order of the key that left: it would refuse that again.
    assert up.told("one", "security") == told
    for one in up.examples.values():
        with open(one.state + ".log", encoding="utf-8") as file:
            assert "Traceback" not in file.read()


def test_the_device_is_short():
    with open(PROGRAM, encoding="utf-8") as file:
        assert len(file.read().splitlines()) <= 400
