"""Two machines with one identity: a card that was copied after the enrolment."""
import pytest

import fleet as F
import sets
from bad_parts import rest
from conftest import Small
from waits import Seen, same, until


@pytest.fixture
def fleet(tmp_path_factory, bin_dir):
    one = Small(str(tmp_path_factory.mktemp("f")), bin_dir, name="test")
    one.up(["a"])
    with open(one.admin_token, encoding="utf-8") as file:
        one.admin = file.read().strip()
    one.publish("tiny@1", "tiny-v2.Q4_0.gguf")
    one.publish("tiny@2", "tiny-v2.1.Q4_0.gguf", "golden-tiny-v2.1.json")
    one.roll("tiny@1")
    yield one
    one.close()


def copied(fleet, of):
    """Another machine with a copy of a device's card."""
    other = F.Device(fleet, "twin")
    of.stop()
    sets.copy(of.state, other.state)
    for device in of, other:
        device.write_config("retry_max: 1s\n")
        device.start()
    return other


def events(fleet, rollout):
    return [event.get("state") for event in rest(
        fleet, "GET", "/v1/devices/a/timeline?limit=500")[1]["items"]
        if event.get("rollout") == rollout]


def test_two_machines_with_one_identity_are_named_and_complete_nothing(fleet):
    copied(fleet, fleet.devices["a"])

    def degraded():
        return fleet.ask("device", "get", "a")["degraded"] or {}
    until("the device is degraded", lambda: same(degraded().get("id"), "mqtt.identity"))
    assert degraded()["text"].count("(") == 2

    def alerts():
        return [alert for alert in fleet.ask("alert", "list")
                if alert["rule"] == "identity-twice"]
    until("the alert", alerts)
    device = fleet.ask("device", "get", "a")
    assert device["condition"] == "degraded"
    assert device["id"] in str(alerts()[0])

    rollout = fleet.ask("rollout", "start", "tiny@2", "--phase", "100%", "--soak", "500ms")["id"]
    until("both machines have it", lambda: events(fleet, rollout).count("succeeded") +
          events(fleet, rollout).count("already-installed") >= 2 or
          Seen(events(fleet, rollout)))
    found = fleet.ask("rollout", "get", rollout)
    assert found["state"] != "completed"
    assert [one["state"] in ("succeeded", "already-installed")
            for one in found["devices"]] == [False]


def test_a_restart_and_a_copy_that_is_put_back_are_one_machine(fleet):
    device = fleet.devices["a"]
    for turn in range(4):
        device.stop()
        if turn == 1:
            sets.copy(device.state, device.state + ".copy")
        device.start()
        fleet.online(["a"])
    assert fleet.ask("device", "get", "a")["condition"] == "ok"
    assert fleet.roll("tiny@2")["state"] == "completed"
