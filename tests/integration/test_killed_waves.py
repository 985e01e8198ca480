"""The controller is killed while a wave covers sites, and again while a hotfix
takes its place: phases, members and words stay what they were."""
import signal

import pytest

from controller_parts import Controller, Device, Publisher, start
from waits import until

SITES = ("lyon", "oslo", "riga", "wien")
DAY_MS = 86400000


@pytest.fixture(scope="module")
def controller(folder):
    one = Controller(folder).start()
    yield one
    one.stop()


def online(controller, count):
    until("all are there", lambda: controller.ask(
        "GET", "/v1/devices?where=state%3Donline").json["total"] == count)


@pytest.fixture(scope="module")
def devices(controller, folder):
    token = controller.enrol_token()
    made = [Device(controller, folder, "gw-%02d" % i, token,
                   {"site": SITES[i % 4]}).connect() for i in range(16)]
    online(controller, 16)
    yield made
    for device in made:
        device.client.close()


def killed(controller, devices):
    """It died without a word, and begins again."""
    controller.stop(signal.SIGKILL)
    for device in devices:
        device.client.wait_closed()
    controller.start()
    for device in devices:
        device.connect()
    online(controller, len(devices))


def seen(controller, rollout):
    one = controller.ask("GET", "/v1/rollouts/%s?devices=16" % rollout).json
    return (one["state"], one["phase"], one["spec"],
            [(p["name"], p["state"], p["devices"]) for p in one["phases"]],
            {d["id"]: d["phase"] for d in one["devices"]})


def patch(controller, rollout, change):
    return controller.ask("PATCH", "/v1/rollouts/" + rollout,
                          {"change": change})


def takes(device, rollout, digest):
    assert device.order("deploy", digest)[1]
    device.event(rollout, digest, "succeeded")
    device.serving = digest
    device.report(2)


def test_a_wave_outlives_its_controller(controller, devices, folder):
    publisher = Publisher(controller, folder)
    first, second = publisher.publish("1.0.0"), publisher.publish("2.0.0")
    phases = [{"name": "canary", "devices": 4},
              {"name": "cover", "devices": 8, "covers": True},
              {"name": "rest", "devices": 12},
              {"name": "hold-out", "share_pct": 100, "watch_ms": DAY_MS}]
    rollout = start(controller, "tiny@1.0.0", cover="site",
                    phases=phases)["id"]
    of = {d.id: d for d in devices}
    phase = seen(controller, rollout)[4]
    assert len(phase) == 16, phase

    def members(number):
        return [of[id] for id in sorted(phase) if phase[id] == number]

    for device in members(1):
        takes(device, rollout, first)
    until("the wave began", lambda: seen(controller, rollout)[1] == 2)
    wave = members(2)
    for device in wave:
        assert device.order("deploy", first)[1]
    before = seen(controller, rollout)
    killed(controller, devices)
    assert seen(controller, rollout) == before

    # An edit may not make another wave of it, and says so as before.
    other = [dict(one) for one in phases]
    del other[1]["covers"]
    answer = patch(controller, rollout, {"phases": other})
    assert answer.status == 422 and b"phases[1].covers" in answer.body
    assert seen(controller, rollout) == before
    assert patch(controller, rollout, {"rate": "66/min"}).status == 200

    # One of the wave is retired, one loses its label; the others go on.
    gone, moved = wave[0], wave[1]
    assert controller.ask("DELETE", "/v1/devices/" + gone.id).status in (
        200, 204)
    controller.ask("PATCH", "/v1/devices/" + moved.id,
                   {"labels": {"site": None}})
    left = [d for d in devices if d is not gone]
    killed(controller, left)
    for device in wave[1:]:
        takes(device, rollout, first)
    until("the rest began", lambda: seen(controller, rollout)[1] == 3)
    now = seen(controller, rollout)[4]
    assert {id: p for id, p in phase.items() if id != gone.id} == \
        {id: p for id, p in now.items() if id != gone.id}

    # A hotfix takes its place, and the controller dies with the answer out.
    hotfix = start(controller, "tiny@2.0.0", supersede=True,
                   phases=[{"share_pct": 100}])["id"]
    killed(controller, left)
    assert seen(controller, rollout)[0] in ("aborting", "aborted")
    assert seen(controller, hotfix)[0] == "running"
    for device in left:
        assert device.order("deploy", second)[1]
    old = controller.ask("GET", "/v1/rollouts/" + rollout).json
    assert hotfix in old["reason"], old
    # Nobody answers for what was told by it and not begun: it is over.
    until("it is over", lambda: seen(controller, rollout)[0] == "aborted")
