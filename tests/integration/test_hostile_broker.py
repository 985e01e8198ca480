"""Whoever holds the broker can keep what was signed and bring it again later,
in any order: nothing goes backwards by that, and nothing ends.
"""
import base64
import json

import pytest

from bad_parts import Controller
from waits import same, until

MODELS = {1: "tiny-v1.Q4_0.gguf", 2: "tiny-v2.Q4_0.gguf",
          3: "tiny-v2.1.Q4_0.gguf"}
GOLDEN = {1: "golden-tiny-v1.json", 2: "golden-tiny-v2.json",
          3: "golden-tiny-v2.1.json"}


def last_order(payload):
    body = json.loads(payload)
    envelopes = body.get("orders") or [
        a["order"] for a in body.get("assignments", [])] or [body["order"]]
    return json.loads(base64.b64decode(envelopes[-1]["payload"]))


class Broker(Controller):
    """Whoever holds the broker, while the controller does not hear."""

    def __enter__(self):
        super().__enter__()
        self.group = "flotilla/v1/test/c/order"
        self.client.subscribe(self.group)
        return self

    def retained(self, topic):
        return self.client.wait(lambda m: m[0] == topic)[1]

    def again(self, topic, payload):
        """Publish it; what the device says to its order."""
        order = last_order(payload)["id"].encode()
        self.client.messages.clear()
        self.client.publish(topic, payload, retain=True)
        told = self.client.wait(lambda m: m[0].endswith("/ack") and
                                b'"%s"' % order in m[1])
        assert told, "no answer to %r" % order
        return json.loads(told[1])


@pytest.fixture(scope="module")
def fleet_3(fleet):
    fleet.up(["a"])
    fleet.id = fleet.ask("device", "get", "a")["id"]
    for number in 1, 2, 3:
        fleet.publish_whole("tiny@%d" % number, MODELS[number], GOLDEN[number])
    for number in 1, 2:
        fleet.roll("tiny@%d" % number)
    with Broker(fleet) as broker:
        fleet.older = broker.retained(broker.topic + "desired")
    fleet.cli("release", "yank", "tiny@2", "--confirm", "tiny@2")
    fleet.roll("tiny@3")
    until("tiny@3 serves", lambda: fleet.serving("tiny@3"))
    return fleet


def device(fleet):
    return fleet.ask("device", "get", "a")


def status(fleet):
    return json.loads(fleet.program(
        "flotilla-agent", "status", "--config", fleet.devices["a"].config,
        "-o", "json")[1])


def security(fleet):
    return [event for event in fleet.ask("device", "get", "a", "--timeline")
            if event["type"] == "security"]


def test_a_kept_desired_of_a_yanked_release_changes_nothing(fleet_3):
    with Broker(fleet_3) as broker:
        desired = broker.topic + "desired"
        newest = broker.retained(desired)
        told = broker.again(desired, fleet_3.older)
        assert told["outcome"] == "superseded"
        assert told["by"]["number"] == last_order(newest)["seq"]
        assert broker.again(desired, newest)["outcome"] == "done"

    until("tiny@3 serves", lambda: fleet_3.serving("tiny@3"))
    until("no drift", lambda: same(device(fleet_3)["drift"], None))
    assert security(fleet_3) == []


def test_nor_does_it_behind_a_restart_of_the_device(fleet_3):
    one = fleet_3.devices["a"]
    with Broker(fleet_3) as broker:
        desired = broker.topic + "desired"
        newest = broker.retained(desired)
        one.stop()
        broker.client.publish(desired, fleet_3.older, retain=True)
        broker.client.messages.clear()
        one.start()
        told = broker.client.wait(lambda m: m[0].endswith("/ack"))
        assert json.loads(told[1])["outcome"] == "superseded"
        broker.client.publish(desired, newest, retain=True)

    until("tiny@3 serves", lambda: fleet_3.serving("tiny@3"))


def test_an_old_unfreeze_lifts_no_newer_freeze(fleet_3):
    cli = fleet_3.cli
    cli("rollout", "freeze", "--confirm", "test")
    until("it is frozen", lambda: status(fleet_3)["frozen"])
    cli("rollout", "unfreeze", "--confirm", "test")
    until("it is free", lambda: not status(fleet_3)["frozen"])
    with Broker(fleet_3) as broker:
        unfreeze = broker.retained(broker.group)
        assert last_order(unfreeze)["op"] == "unfreeze"
    cli("rollout", "freeze", "--confirm", "test")
    until("it is frozen", lambda: status(fleet_3)["frozen"])

    with Broker(fleet_3) as broker:
        broker.client.publish(broker.group, unfreeze, retain=True)
        broker.send(json.loads(unfreeze)["orders"][-1])  # asked by name
        assert broker.told(last_order(unfreeze)["id"], "superseded")
        assert status(fleet_3)["frozen"]
    assert security(fleet_3) == []
    cli("rollout", "unfreeze", "--confirm", "test")
    until("it is free", lambda: not status(fleet_3)["frozen"])


def test_an_older_release_needs_an_order_that_says_so(fleet_3):
    started = fleet_3.ask("rollout", "start", "tiny@1", "--phase", "100%",
                          "--soak", "500ms")["id"]
    until("it is refused", lambda: any(
        one["error"] and one["error"]["id"] == "target.floor"
        for one in fleet_3.ask("rollout", "get", started)["devices"]))
    assert fleet_3.serving("tiny@3")
    until("it ended", lambda: fleet_3.ask(
        "rollout", "get", started)["state"] not in ("running", "aborting",
                                             "rolling-back"))

    fleet_3.roll("tiny@1", "--below-floor")
    until("tiny@1 serves", lambda: fleet_3.serving("tiny@1"))
    fleet_3.roll("tiny@3")  # as the other tests found it
    until("tiny@3 serves", lambda: fleet_3.serving("tiny@3"))
