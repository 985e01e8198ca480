"""Two machines with one identity: a card that was copied after the enrolment."""
import json
import os
import shutil
import subprocess

import pytest

import fleet as F
import sets
from bad_parts import rest
from conftest import Small
from waits import HANG_S, Seen, same, until


@pytest.fixture
def fleet(tmp_path_factory, bin_dir):
    one = Small(str(tmp_path_factory.mktemp("f")), bin_dir, name="test")
    one.up(["a"], "--certificate-life", "60m")
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


def status(device):
    return json.loads(device.fleet.program("flotilla-agent", "status", "--config", device.config,
                                           "-o", "json")[1])


def machines(fleet):
    return {one["boot"]: one for one in fleet.ask("device", "get", "a")["machines"]}


def at_terminal(fleet, *words, says):
    ours, theirs = os.openpty()
    os.write(ours, "".join(line + "\n" for line in says).encode())
    done = subprocess.run([fleet.path("flotilla"), *words], stdin=theirs, capture_output=True,
                          text=True, env=fleet.env, timeout=HANG_S)
    os.close(ours)
    os.close(theirs)
    return done.returncode, done.stdout, done.stderr


def test_one_of_two_machines_keeps_the_identity_and_the_other_is_refused(fleet):
    one = fleet.devices["a"]
    # Both tell the same host and address here, so the boot tells them apart.
    before = status(one)["device"]
    assert fleet.cli("device", "split", "a", check=False)[0] != 0  # one machine
    two = copied(fleet, one)
    until("two are known", lambda: len(machines(fleet)) == 2 or Seen(machines(fleet)))
    code, out, err = fleet.cli("device", "split", "a", check=False)
    assert code == 2 and "--keep" in err and all(boot in out for boot in machines(fleet))
    assert max(map(len, out.splitlines())) <= 80, out
    keep = max(machines(fleet).values(), key=lambda machine: machine["heard_at_ms"])["boot"]
    code, out, err = at_terminal(fleet, "device", "split", "a", says=[keep, "a"])
    assert code == 0 and "keeps the identity: " in err and "Type a to go on" in err, err
    assert keep in out and max(map(len, out.splitlines())) <= 80, out

    def refused():
        return [device for device in (one, two)
                if (status(device).get("degraded") or {}).get("id") in (
                    "certificate.revoked", "mqtt.identity")]
    [other] = until("the other says so", refused)
    until("one machine is left", lambda: fleet.ask("device", "get", "a")["condition"] == "ok" or
          Seen(fleet.ask("device", "get", "a")["degraded"]))
    assert fleet.ask("device", "get", "a")["id"] == before
    assert not machines(fleet)
    assert "enrol" in status(other)["degraded"]["text"]
    # The one that stays does its work, which counts.
    assert fleet.roll("tiny@2")["state"] == "completed"

    other.stop()
    shutil.rmtree(os.path.join(other.state, "identity"))
    other.name = "b"
    fleet.devices["b"] = other
    other.enroll(fleet.token)
    other.start()
    fleet.online(["a", "b"])
    assert status(other)["device"] != before
