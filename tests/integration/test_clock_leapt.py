"""A controller that was started once with a clock 400 days ahead, gave orders,
and is right again: each device takes the next order within heartbeats."""

import os
import sqlite3

import pytest

from bad_parts import rest
from test_clock import log_of, set_clock, set_right
from waits import until, wall_ms, wall_s

DAY_S = 86400
SHIFTS = {"right": 0, "led": 3600 - wall_s(), "ahead": 3650 * DAY_S}


@pytest.fixture(scope="module")
def up(fleet):
    fleet.up([])
    fleet.publish_whole("tiny@1", "tiny-v2.Q4_0.gguf", "golden-tiny-v2.json")
    fleet.publish_whole("tiny@2", "tiny-v2.1.Q4_0.gguf",
                        "golden-tiny-v2.1.json")
    for name in SHIFTS:
        fleet.add_device(name, fleet.token)
    fleet.online(SHIFTS)
    for name, seconds in SHIFTS.items():
        starts_again(fleet, name, seconds)
    fleet.online(SHIFTS)
    fleet.admin = open(fleet.admin_token, encoding="utf-8").read().strip()
    fleet.roll("tiny@1")
    return fleet


def starts_again(up, name, seconds):
    """Nobody keeps the clock of this device right."""
    up.devices[name].stop()
    set_clock(up, seconds)
    up.devices[name].start()
    set_right(up)


def controller_with(up, seconds):
    up.controller.terminate()
    up.controller.wait()
    set_clock(up, seconds)
    up.start_controller()
    set_right(up)


def order(up, op):
    return up.ask("rollout", op, "--confirm", "test")["id"]


def seen_at(up):
    """As the database has it: the controller writes it each 15 s."""
    with sqlite3.connect(os.path.join(up.dir, "controller",
                                      "control.db")) as base:
        rows = base.execute("SELECT seen_at FROM device").fetchall()
    base.close()
    return [row[0] for row in rows]


def done(up, op):
    one = order(up, op)
    until("%s is done" % op, lambda: rest(
        up, "GET", "/v1/orders/" + one)[1]["done"] == len(SHIFTS),
        lambda: rest(up, "GET", "/v1/orders/" + one)[1])


def test_an_hour_ahead_shows_nobody_as_offline(up):
    """The devices were there meanwhile; they are seen then, in the future."""
    controller_with(up, 3600)
    up.online(SHIFTS)
    for op in ("freeze", "unfreeze"):
        done(up, op)
    until("each is seen in the future", lambda: min(
        seen_at(up)) > wall_ms() + 60000)
    controller_with(up, 0)
    for name, seconds in SHIFTS.items():
        starts_again(up, name, seconds)
    done(up, "freeze")
    done(up, "unfreeze")
    up.online(SHIFTS)
    assert all(d["last_seen_at_ms"] <= wall_ms()
               for d in up.ask("device", "list"))


def test_a_controller_400_days_ahead_gives_orders(up):
    """Its broker takes no device, whose certificates have ended by its clock:
    the orders wait there."""
    controller_with(up, 400 * DAY_S)
    for op in ("freeze", "unfreeze", "freeze", "unfreeze"):
        order(up, op)
    for release in ("tiny@2", "tiny@1", "tiny@2"):
        up.ask("rollout", "start", release, "--phase", "100%",
               "--supersede")


def test_each_takes_the_next_order_of_the_right_one(up):
    controller_with(up, 0)
    up.online(SHIFTS)
    done(up, "freeze")
    done(up, "unfreeze")


def test_after_a_restart_of_its_agent_too(up):
    for name, seconds in SHIFTS.items():
        starts_again(up, name, seconds)
    up.online(SHIFTS)
    done(up, "freeze")
    done(up, "unfreeze")
    assert up.roll("tiny@2", "--supersede")["phases"][0]["counts"] == {
        "succeeded": len(SHIFTS)}
