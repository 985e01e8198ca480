"""The controller after a time in which it was not there: orders that expired
meanwhile, devices that it could not hear."""
import base64
import itertools
import json
import os
import re
import signal
import sqlite3
import threading

import pytest

from controller_parts import (Device, Publisher, held, metric, sign, start)
from waits import joined, moment, pace, stopped, until, wall_ms, wall_s

DAY_MS = 24 * 3600 * 1000
STOOD_S = 15
SILENT_S = 10  # of a device that counts as failed then; a stall of 5 s counts


@pytest.fixture(scope="module")
def publisher(controller, folder):
    return Publisher(controller, folder)


@pytest.fixture(scope="module")
def device(controller, folder):
    one = Device(controller, folder, "gw-1", controller.enrol_token())
    yield one.connect()
    one.client.close()


def age_orders(controller, days):
    """As if each had been signed so long ago."""
    key = os.path.join(controller.dir, "keys", "order.key")
    with sqlite3.connect(os.path.join(controller.dir, "control.db")) as base:
        for number, text in base.execute("SELECT id, body FROM ord").fetchall():
            body = json.loads(text)
            body["issued_at_ms"] -= days * DAY_MS
            body["expires_at_ms"] -= days * DAY_MS
            base.execute(
                "UPDATE ord SET body = ?, envelope = ?, issued_at = ?,"
                " expires_at = ? WHERE id = ?",
                (json.dumps(body), sign(
                    body, key, "application/vnd.flotilla.order.v1+json"
                ).decode(), body["issued_at_ms"], body["expires_at_ms"],
                 number))
    base.close()


def orders(device):
    """All that its desired ever carried."""
    texts = [json.loads(m[1]) for m in device.client.messages
             if m[0].endswith("/desired") and m[1]]
    return [json.loads(base64.b64decode(held(t)["payload"]))
            for t in texts if held(t)]


def state(controller, made):
    return controller.ask("GET", "/v1/rollouts/" + made["id"]).json["state"]


def silences(controller, made):
    """Seconds for which the controller says it did not hear a device."""
    with open(controller.dir + ".log") as log:
        return [int(seconds) for seconds in re.findall(
            r"%s: .*unheard for (\d+) s" % made["id"], log.read())]


def test_after_days_without_a_controller_every_order_lives(
        controller, device, publisher):
    digest = publisher.publish("1.0.0")
    made = start(controller, "tiny@1.0.0", phases=[{"share_pct": 100}])
    assert device.order("deploy", about=digest)[0]
    device.client.close()
    controller.stop()
    age_orders(controller, 4)
    controller.start()
    device.connect()
    assert device.order("deploy", about=digest)[0]
    device.is_heard()
    for order in orders(device):
        if order["expires_at_ms"] < wall_ms():
            device.client.publish(device.topic("ack"), json.dumps({
                "v": 1, "order": order["id"], "outcome": "refused",
                "error": {"id": "cmd.expired", "what": "expired"}}))
    assert [o["id"] for o in orders(device)
            if o["expires_at_ms"] < wall_ms()] == []
    assert state(controller, made) == "running"
    device.event(made["id"], digest, "succeeded")
    until("completed", lambda: state(controller, made) == "completed")


class Heart(threading.Thread):
    """The beats of a device, and the longest pause between two that the broker
    had."""

    def __init__(self, device):
        super().__init__(daemon=True)
        self.device, self.quiet = device, threading.Event()
        self.longest_s = 0
        self.start()

    def run(self):
        last = moment()
        while not pace(0.2, self.quiet):
            self.device.client.publish(self.device.topic("presence"),
                                       '{"v":1,"online":true}')
            now = moment()
            last, self.longest_s = now, max(self.longest_s, now - last)

    def stop(self):
        self.quiet.set()
        joined(self)


def test_a_controller_that_stood_still_takes_nobody_for_silent(
        controller, device, publisher):
    numbers = itertools.count()
    until("a time in which the device was never silent", lambda: stands_still(
        controller, device, publisher, "1.1.%d" % next(numbers)))


def stands_still(controller, device, publisher, version):
    """False: a beat of the device came late, which says nothing."""
    digest = publisher.publish(version)

    def beats(count):
        before = metric(controller, "messages_total")
        until("its beats", lambda: metric(
            controller, "messages_total") >= before + count)
    heart = Heart(device)
    try:
        beats(1)
        made = start(controller, "tiny@" + version,
                     phases=[{"share_pct": 100}], gates={"failed": {
                         "max_pct": 0, "silence_ms_max": SILENT_S * 1000}})
        device.event(made["id"], digest, "probing")
        device.is_heard()
        stopped(controller.process.pid)
        begin = wall_s()
        until("it stood still for longer than a device may be silent",
              lambda: wall_s() > begin + STOOD_S)
        controller.process.send_signal(signal.SIGCONT)
        beats(10)
        found = state(controller, made), silences(controller, made)
    finally:
        heart.stop()
    was_heard = heart.longest_s < SILENT_S / 2
    assert found == ("running", []) or not was_heard, found
    # A device that does not speak to one that listens is silent.
    until("stopped", lambda: state(controller, made) != "running")
    until("why", lambda: silences(controller, made))
    return was_heard
