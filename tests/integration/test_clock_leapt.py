"""A controller that was started once with a clock 400 days ahead, signed nothing
until a person confirmed that clock, and is right again: each device takes the
next order within heartbeats."""

import os
import sqlite3

import pytest

import sets
from bad_parts import rest
from test_clock import day_of, set_clock, set_right
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


def ready(up):
    return rest(up, "GET", "/readyz")


def leapt_with(up, seconds):
    """It starts, and says what holds it up."""
    up.healthy = lambda: ready(up)[1]["clock"] == "clock.leapt"
    controller_with(up, seconds)
    del up.healthy
    assert ready(up)[0] == 503


def refusal(up, *words):
    code, _, said = up.program("flotilla", *words, check=False)
    assert code != 0 and "clock.leapt" in said, said
    return said


def pki(up):
    return sets.tree(os.path.join(up.dir, "controller", "pki"))


def records(up):
    return [r["what"] for r in up.ask("audit", "list")
            if r["what"].startswith("clock.")]


def test_a_controller_400_days_ahead_signs_nothing(up):
    """Neither orders nor certificates, and it reads and writes on."""
    before, orders = pki(up), len(up.ask("order", "list"))
    leapt_with(up, 400 * DAY_S)
    for words in (["rollout", "freeze", "--confirm", "test"],
                  ["rollout", "start", "tiny@2", "--phase", "100%"],
                  ["ca", "rotate"]):
        said = refusal(up, *words)
        assert "ahead" in said and day_of(wall_s()) in said, said
        assert "flotilla clock confirm " + day_of(
            wall_s() + 400 * DAY_S) in said, said
    assert len(up.ask("order", "list")) == orders
    assert pki(up) == before
    up.ask("device", "set", "right", "--note", "seen")
    assert "clock.leapt" in records(up)
    assert b"\nflotilla_clock_leapt 1\n" in rest(up, "GET", "/metrics")[1]


def test_devices_are_heard_while_it_has_leapt(up):
    """Nobody's certificate ends within 40 days."""
    leapt_with(up, 40 * DAY_S)
    up.online(SHIFTS)
    refusal(up, "rollout", "freeze", "--confirm", "test")
    assert up.devices["right"].ask("Q:", "tiny")[1] == "tiny@1"


def test_with_the_right_clock_it_goes_on(up):
    """Without anybody's word, though its audit has records of the future."""
    controller_with(up, 0)
    up.online(SHIFTS)
    done(up, "freeze")
    done(up, "unfreeze")
    until("it is recorded", lambda: "clock.right" in records(up))


def test_a_person_says_that_the_clock_is_right(up):
    """Its broker takes no device, whose certificates have ended by its clock:
    the orders wait there."""
    leapt_with(up, 400 * DAY_S)
    code, _, said = up.program("flotilla", "clock", "confirm", day_of(wall_s()),
                               check=False)
    assert code != 0 and "rest.meaning" in said, said
    refusal(up, "rollout", "freeze", "--confirm", "test")
    up.cli("clock", "confirm", day_of(wall_s() + 400 * DAY_S))
    until("it is ready", up.healthy)
    for op in ("freeze", "unfreeze", "freeze", "unfreeze"):
        order(up, op)
    for release in ("tiny@2", "tiny@1", "tiny@2"):
        up.ask("rollout", "start", release, "--phase", "100%",
               "--supersede")


def test_who_confirmed_a_wrong_clock_confirms_the_right_one(up):
    """It is behind what was, and so are its own certificates until then."""
    leapt_with(up, 0)
    assert "behind" in refusal(up, "rollout", "freeze", "--confirm", "test")
    up.cli("clock", "confirm", day_of(wall_s()))
    until("it is ready", up.healthy)


def test_each_takes_the_next_order_of_the_right_one(up):
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


def test_each_device_says_whether_its_clock_is_wrong(up):
    """With both times, as the reason for which it is degraded."""
    def said():
        found = {name: up.ask("device", "get", name)["degraded"] or {}
                 for name in SHIFTS}
        return {name: one.get("id") for name, one in found.items()} == {
            "right": None, "led": "clock.behind", "ahead": "clock.ahead"} and \
            all("and it is about 20" in found[name]["text"]
                for name in ("led", "ahead"))
    until("each said it", said, lambda: up.ask("device", "list"))
