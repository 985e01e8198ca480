"""The broker is in other hands and speaks in devices' names: it decides
nothing, and somebody is told."""
import json
import os
import signal

import pytest

import sets
from bad_parts import rest
from conftest import Small
from controller_parts import Controller, Device, make_key, metric, run
from mqtt_client import Client
from waits import Seen, until

NAMES = ["a", "b"]


def counts(text, word):
    """Messages in the name of devices, by the word about their proof."""
    name = 'flotilla_device_messages_total{proof="%s"}' % word
    return int(text.split(name)[1].split()[0])


# A device renews at most once in a twelfth of that life; after two thirds of it
# the controller renews its own certificates, and writes the list of rights.
LIFE = "1h"


class Thief(Client):
    """Whoever holds the broker: its list of rights lets it write anything."""

    def __init__(self, up):
        data = os.path.join(up.dir, "controller")
        ca = os.path.join(data, "pki", "ca.pem")
        cert, key = (os.path.join(up.dir, "thief." + end)
                     for end in ("pem", "key"))
        make_key(key)
        request = run("openssl", "req", "-new", "-key", key, "-subj",
                      "/CN=emergency")  # an account that is no device
        run("openssl", "x509", "-req", "-CA", ca, "-CAkey",
            os.path.join(data, "pki", "ca.key"), "-CAcreateserial", "-CAserial",
            key + ".serial", "-out", cert, data=request)
        with open(os.path.join(data, "mosquitto", "acl"), "a") as file:
            file.write("\nuser emergency\ntopic readwrite #\n")
        broker, = sets.processes(up.controller.pid, "mosquitto")
        os.kill(broker, signal.SIGHUP)
        super().__init__("127.0.0.1", up.ports[2], ca, cert, key, "thief")
        self.subscribe("flotilla/v1/test/d/#")

    def heard(self, device, word):
        """Messages of a device on one of its topics, as they came."""
        topic = "flotilla/v1/test/d/%s/%s" % (device, word)
        return [payload for name, payload, *_ in self.messages
                if name == topic and payload]

    def says(self, device, word, message):
        self.publish("flotilla/v1/test/d/%s/%s" % (device, word), message,
                     retain=word in ("reported", "presence"))


class Fleet(Small):
    def counts(self, word):
        return counts(rest(self, "GET", "/metrics")[1].decode(), word)

    def gone(self, name):
        self.devices[name].stop()
        until(name + " is gone", lambda: self.state(name) == "offline")

    def state(self, name):
        return self.ask("device", "get", name)["state"]


@pytest.fixture(scope="module")
def up(folder, bin_dir):
    one = Fleet(folder, bin_dir, name="test")
    one.up(NAMES, "--certificate-life", LIFE)
    one.publish("tiny@1", "tiny-v2.Q4_0.gguf")
    one.publish("tiny@2", "tiny-v2.1.Q4_0.gguf", "golden-tiny-v2.1.json")
    one.roll("tiny@1")
    with open(one.admin_token, encoding="utf-8") as file:
        one.admin = file.read().strip()
    one.ids = {name: one.ask("device", "get", name)["id"] for name in NAMES}
    one.thief = Thief(one)
    yield one
    one.thief.close()
    one.close()


def test_agents_prove_what_they_say(up):
    assert up.counts("good") > 0
    assert [up.counts(word) for word in ("none", "wrong", "old")] == [0, 0, 0]
    assert "flotilla_devices_unproved 0" in \
        rest(up, "GET", "/metrics")[1].decode()


def test_forged_words_walk_no_rollout_through_its_gates(up):
    for name in NAMES:
        up.gone(name)
    rollout = up.ask("rollout", "start", "tiny@2", "--phase", "1", "--phase",
                     "100%", "--soak", "300ms")["id"]
    before = up.counts("wrong")
    forged = 0
    for name, device in up.ids.items():
        last = json.loads(up.thief.heard(device, "reported")[-1])
        release = up.ask("release", "get", "tiny@2")["digest"]
        said = dict(last, models=[dict(
            model, serving={"release": release, "version": "2"},
            current={"release": release, "version": "2", "number": 2},
            execution=None) for model in last["models"]])
        for word, message in (
                ("presence", {"v": 1, "online": True}),
                ("reported", {k: v for k, v in said.items() if k != "proof"}),
                ("event", {"v": 1, "boot": last["events"]["boot"],
                           "seq": last["events"]["last"] + 1, "at_ms": 1,
                           "type": "execution", "execution": rollout + ".1",
                           "rollout": rollout, "release": release,
                           "state": "succeeded", "end": True}),
                ("reported", said),  # with the proof of other words
                ("ack", {"v": 1, "order": "o-0001", "outcome": "done",
                         "at_ms": 1}),
                ("tele", {"v": 1, "seq": 1, "at_ms": 1, "window_ms": 1000,
                          "model": "tiny", "release": release,
                          "counters": {"requests": 1}})):
            up.thief.says(device, word, json.dumps(message))
            forged += 1
    until("each was refused", lambda: up.counts("wrong") >= before + forged or
          Seen((up.counts("wrong"), before, forged)))
    assert [up.state(name) for name in NAMES] == ["offline", "offline"]
    found = up.ask("rollout", "get", rollout)
    assert found["state"] == "running", found
    assert not [d for d in found["devices"] if d["state"] == "succeeded"], found
    until("somebody is told, of both", lambda: {
        a["series"] for a in up.ask("alert", "list")
        if a["rule"] == "message-unproved"} >= set(up.ids.values()) or
        Seen(up.ask("alert", "list")))

    for name in NAMES:
        up.devices[name].start()
    up.cli("rollout", "wait", rollout, "-q")
    until("both have it", lambda: up.serving("tiny@2"))


def test_words_of_before_do_not_come_a_second_time(up):
    device = up.ids["a"]
    up.gone("a")
    up.thief.messages.clear()
    up.devices["a"].start()

    def kept():
        """Its own words since then; a last will proves nothing."""
        return [(word, message) for word in ("presence", "reported", "tele")
                for message in up.thief.heard(device, word)
                if b'"online": false' not in message and
                b'"online":false' not in message]
    until("each kind was heard", lambda: len({w for w, _ in kept()}) == 3)
    up.online(NAMES)
    up.gone("a")

    def known():
        return up.counts("old") + up.counts("again")

    def come_again(messages):
        before = known()
        for word, message in messages:
            up.thief.says(device, word, message)
        until("each was known", lambda: known() >= before + len(messages) or
              Seen((before, known())))
        assert up.state("a") == "offline"
    messages = kept()
    come_again(messages)
    # Nor to a controller that comes back: the newest of each that the broker
    # retains counts once more.
    up.thief.close()
    up.controller.terminate()
    up.controller.wait()
    up.start_controller("--certificate-life", LIFE)
    up.thief = Thief(up)
    come_again(messages)
    up.devices["a"].start()
    up.online(NAMES)


def test_a_renewed_certificate_and_another_order_key_prove_on(up):
    """Both ends make the new secrets by themselves."""
    before = up.counts("wrong")
    up.ask("ca", "rotate")
    until("both renewed", lambda: [
        a["devices"] for a in up.ask("ca", "status")["authorities"]] == [0, 2])
    draft = os.path.join(up.dir, "order.json")
    up.cli("key", "rotate", "order", "--to", draft)
    up.cli("trust", "sign", draft, "--key",
           os.path.join(os.path.dirname(up.key), "root.key"))
    up.cli("trust", "publish", draft)
    number = up.ask("trust", "status")["number"]
    until("both have the statement", lambda: up.ask(
        "trust", "status")["numbers"] == [{"number": number, "devices": 2}] or
        Seen(up.ask("trust", "status")))
    good = up.counts("good")
    until("and are heard", lambda: up.counts("good") > good + 4)
    assert up.counts("wrong") == before


def test_a_fleet_from_before_takes_words_without_a_proof(tmp_path):
    one = Controller(str(tmp_path)).start("--unproved", "take")
    device = Device(one, str(tmp_path), "old", one.enrol_token())
    prover, device.prover = device.prover, None

    def seen(word):
        return counts(one.ask("GET", "/metrics", token="").body.decode(), word)

    def state(name):
        return one.ask("GET", "/v1/devices/" + name).json["state"]

    try:
        device.connect()
        until("it is heard", lambda: state("old") == "online")
        assert metric(one, "devices_unproved") == 1 and seen("none") > 0
        # Its agent is a newer one now: no word counts without a proof.
        device.client.prover = prover
        device.comes()
        until("it proves", lambda: seen("good") == 1)
        assert metric(one, "devices_unproved") == 0
        device.client.prover = None
        device.report(1)
        until("it is refused", lambda: seen("wrong") == 1)
        device.client.close()

        # The operator ends the time of both.
        one.stop()
        one.start("--unproved", "refuse")
        late = Device(one, str(tmp_path), "late", one.enrol_token())
        late.prover = None
        late.connect()
        until("it is refused", lambda: seen("none") == 1)
        assert state("late") == "offline"
        late.client.close()
    finally:
        one.stop()
