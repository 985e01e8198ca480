"""Devices whose clocks are two days late and two days early, next to one that
is right: updates, orders, numbers and evidence are as if all were right, also
when the clocks are set."""
import pytest

from bad_parts import rest
from test_clock import set_clock, set_right
from waits import until

DAY_S = 86400
OFF = {"late": -2 * DAY_S, "right": 0, "early": 2 * DAY_S}


@pytest.fixture(scope="module")
def up(fleet):
    fleet.up([])
    fleet.publish_whole("tiny@1", "tiny-v2.Q4_0.gguf", "golden-tiny-v2.json")
    fleet.publish_whole("tiny@2", "tiny-v2.1.Q4_0.gguf",
                        "golden-tiny-v2.1.json")
    for name, seconds in OFF.items():
        set_clock(fleet, seconds)
        fleet.add_device(name, fleet.token)
        set_right(fleet)
    fleet.online(OFF)
    with open(fleet.admin_token, encoding="utf-8") as file:
        fleet.admin = file.read().strip()
    fleet.roll("tiny@1")
    return fleet


def starts_again(up, name, seconds):
    up.devices[name].stop()
    set_clock(up, seconds)
    up.devices[name].start()
    set_right(up)
    up.online([name])


def done(up, *words):
    order = up.ask("rollout", *words)["id"]
    until("%s is done" % (words,), lambda: rest(
        up, "GET", "/v1/orders/" + order)[1]["done"] == len(OFF))


def requests(up):
    """Devices with requests in the last hour, by the controller."""
    status, answer = rest(up, "POST", "/v1/telemetry/query", {
        "metric": "requests", "by": ["device"], "since_ms": 3600000})
    assert status == 200, answer
    return {row["key"]["device"] for row in answer["series"]
            if any(point[1] > 0 for point in row["points"])}


def test_numbers_of_each_are_of_now(up):
    ids = {d["id"] for d in up.ask("device", "list")}
    for device in up.devices.values():
        assert device.ask("Q:", "tiny")[1] == "tiny@1"
    until("each said so", lambda: requests(up) == ids)


def test_an_update_soaks_as_long_on_each(up):
    rolled = up.roll("tiny@2")
    assert rolled["phases"][0]["counts"] == {"succeeded": len(OFF)}
    until("all serve it", lambda: up.serving("tiny@2", OFF))
    for device in up.ask("rollout", "get", rolled["id"])["devices"]:
        assert 0 <= device["took_ms"] < 600000, device


def test_a_freeze_and_a_rollback_reach_each(up):
    done(up, "freeze", "--confirm", "test")
    done(up, "unfreeze", "--confirm", "test")
    done(up, "rollback", "--release", "tiny@2", "--everywhere", "--keep",
         "--confirm", "tiny@2")
    until("all are back", lambda: up.serving("tiny@1", OFF))


def test_clocks_that_are_set_change_nothing(up):
    """Two days forward for one, and back for the other, at a start of each."""
    for name in ("late", "early"):
        starts_again(up, name, 0)
    assert up.roll("tiny@2")["state"] == "completed"
    starts_again(up, "right", 2 * DAY_S)
    done(up, "freeze", "--confirm", "test")
    starts_again(up, "right", 0)
    done(up, "unfreeze", "--confirm", "test")
    until("all serve", lambda: up.serving("tiny@2", OFF))
