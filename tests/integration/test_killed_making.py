"""Orders to large groups, and rollouts there, are told at once.  The rows of
their devices are made behind it: the controller is killed meanwhile, again and
again.  Nobody is forgotten, and no answer is lost; in a file, and on
PostgreSQL."""
import os
import signal

import pytest

from controller_parts import Controller, Device, Publisher, start
from test_postgresql import server  # noqa: F401
from waits import Seen, until

DEVICES, SAID = 40, 4
SLICE = ("--slice", "1")


class Sliced(Controller):
    """One device in a slice."""

    store = ()

    def start(self, *more):
        return super().start(*SLICE, *self.store, *more)

    def ask(self, *call, **more):
        """On PostgreSQL a leader whose beat is late leads no more for a moment,
        and says so: who asks comes again."""
        def led():
            answer = super(Sliced, self).ask(*call, **more)
            is_none = answer.status == 503 and call[1] != "/readyz" and (
                call[0] == "GET" or answer.json["code"] == "lead.none")
            return None if is_none else answer
        return until("a leader's answer", led)

    def order(self, id):
        return self.ask("GET", "/v1/orders/%s?devices=100" % id).json


@pytest.fixture(params=["file", "postgresql"])
def controller(request, folder):
    place = os.path.join(folder, request.param)
    os.mkdir(place)
    one = Sliced(place)
    if request.param == "postgresql":
        one.store = ("--store", request.getfixturevalue("server").address)
    yield one.start()
    one.stop()


def enrolled(controller, folder, name, token):
    def led():
        one = Device(controller, folder, name, token)
        return one if one.answer.status == 201 else Seen(one.answer.body)
    return until(name + " is enrolled", led)


def killed(controller, devices):
    controller.stop(signal.SIGKILL)
    for device in devices:
        device.client.wait_closed()
    controller.start()
    for device in devices:
        device.connect()


def made(controller, id):
    return controller.order(id).get("making", {"made": DEVICES})["made"]


def says(device, id):
    device.client.publish(device.topic("ack"), '{"v":1,"order":"%s","outcome":'
                          '"done","took_ms":1}' % id)


def outlives(controller, connected, body):
    """Answers come before, between and after the kills."""
    answer = controller.ask("POST", "/v1/orders", body)
    assert answer.status == 202, answer.body
    order = answer.json
    id = order["id"]
    assert order["scope_devices"] == order["pending"] == DEVICES
    assert order["making"]["of"] == DEVICES
    killed(controller, connected)
    assert made(controller, id) <= DEVICES
    for place, device in enumerate(connected):
        says(device, id)
        until("an answer is stored",
              lambda: controller.order(id)["done"] == place + 1)
        killed(controller, connected)
        now = controller.order(id)
        assert now["scope_devices"] == DEVICES, now
        assert now["done"] == place + 1, now
    until("all rows are made", lambda: made(controller, id) == DEVICES)
    whole = controller.order(id)
    assert len(whole["devices"]) == DEVICES
    assert whole["done"] == len(connected)
    assert {d["id"] for d in whole["devices"] if d["outcome"] == "done"} == \
        {d.id for d in connected}


def members_outlive(controller, devices, connected, digest):
    """They are the same before and after the kills."""
    for device in devices:
        if device not in connected:  # a member was there once
            device.connect()
    until("all are there", lambda: {
        one["state"] for one in controller.ask(
            "GET", "/v1/devices?limit=100").json["items"]} == {"online"})
    rollout = start(controller, "tiny@1.1.0",
                    phases=[{"devices": 1}, {"share_pct": 100}])
    assert rollout["members"] == rollout["making"]["of"] == DEVICES

    def now():
        return controller.ask("GET", "/v1/rollouts/%s?devices=100" %
                              rollout["id"]).json
    for _ in connected:
        killed(controller, devices)
        assert now()["members"] == DEVICES, now()
    until("all rows are made", lambda: "making" not in now())
    assert {one["id"] for one in now()["devices"]} == {
        device.id for device in devices}
    answer = controller.ask("POST", "/v1/rollouts/%s/actions" % rollout["id"],
                            {"action": "promote"})
    assert answer.status == 200, answer.body
    for device in connected:
        assert device.order("deploy", digest)[1]


def test_orders_and_members_outlive_their_controller(controller, folder):
    token = controller.enrol_token()
    devices = [enrolled(controller, folder, "gw-%02d" % i, token)
               for i in range(DEVICES)]
    devices.sort(key=lambda d: d.id)
    connected = devices[-SAID:]  # whose turn comes last
    for device in connected:
        device.connect()
    outlives(controller, connected, {"op": "freeze", "everywhere": True,
                                     "confirm": "test"})
    outlives(controller, connected, {"op": "unfreeze", "everywhere": True,
                                     "confirm": "test"})
    publisher = Publisher(controller, folder)
    digest = publisher.publish("1.0.0")
    start(controller, "tiny@1.0.0", phases=[{"share_pct": 100}])
    for device in connected:
        assert device.order("deploy", digest)[1]
    # In no list first: reports say whom it is for, and nobody reported.
    for is_yanked in (False, True):
        outlives(controller, connected, {
            "op": "rollback", "release": "tiny@1.0.0", "everywhere": True,
            "yank": is_yanked, "confirm": "tiny@1.0.0"})
        for device in connected:
            assert device.order("rollback", digest)[1]
    members_outlive(controller, devices, connected,
                    publisher.publish("1.1.0"))
