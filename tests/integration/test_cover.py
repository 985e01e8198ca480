"""Members in the order of a label: each site has one updated device early, and
every device decides by the scope of its order alone."""
import pytest

from controller_parts import Device, Publisher, start
from waits import until

SITES = ("lyon", "oslo", "riga")
RELEASE = "tiny@1.0.0"


@pytest.fixture(scope="module")
def devices(controller, folder):
    token = controller.enrol_token()
    made = [Device(controller, folder, "gw-%02d" % i, token,
                   {"site": SITES[i % 3]}).connect() for i in range(12)]
    for device in made:
        device.site = SITES[int(device.name[3:]) % 3]
    until("all are there", lambda: controller.ask(
        "GET", "/v1/devices?where=state%3Donline").json["total"] == 12)
    yield made
    for device in made:
        device.client.close()


@pytest.fixture(scope="module")
def digest(controller, folder):
    return Publisher(controller, folder).publish("1.0.0")


def phase_of(controller, rollout, number):
    found = controller.ask("GET", "/v1/rollouts/%s?devices=12" % rollout)
    return {one["id"] for one in found.json["devices"]
            if one["phase"] == number}


def has(device, digest):
    """It took the order, and serves the release."""
    device.serving = digest
    device.report(2)


def test_each_phase_and_the_hold_out_have_each_site(controller, devices,
                                                    digest):
    rollout = start(controller, RELEASE, cover="site", phases=[
        {"name": "canary", "devices": 3}, {"name": "rest", "devices": 9},
        {"name": "hold-out", "share_pct": 100, "watch_ms": 86400000}])["id"]
    phases = [[d for d in devices if d.id in phase_of(controller, rollout, n)]
              for n in (1, 2, 3)]
    assert [len(phase) for phase in phases] == [3, 6, 3], phases
    for phase in phases:
        sites = [device.site for device in phase]
        assert {sites.count(site) for site in SITES} == {len(phase) // 3}

    for device in phases[0]:
        assert device.order("deploy", digest)[1]["scope"] == \
            {"device": device.id}
        device.event(rollout, digest, "succeeded")
        has(device, digest)
    for device in phases[1]:
        scope = device.order("deploy", digest)[1]["scope"]
        assert scope["group"] == "all" and "device" not in scope
        assert scope.get("buckets", [0, 10 ** 9]) == [0, 10 ** 9]
        device.event(rollout, digest, "succeeded")
        has(device, digest)
    for device in phases[2]:
        device.is_heard()
        assert not device.was_ordered("deploy", digest)

    answer = controller.ask("POST", "/v1/rollouts/%s/actions" % rollout,
                            {"action": "rollback", "confirm": RELEASE})
    assert answer.status == 200, answer.body
    orders = {device.order("rollback", digest)[1]["id"]
              for device in phases[0] + phases[1]}
    assert len(orders) == 1, orders  # one text, whoever they are
    for device in phases[2]:
        device.is_heard()
        assert not device.was_ordered("rollback", digest)


def test_two_orders_of_members_are_refused(controller, digest):
    answer = controller.ask("POST", "/v1/rollouts", {
        "release": RELEASE, "cover": "site", "phases": [
            {"devices": 1, "spread": ["site"]}, {"share_pct": 100}]})
    assert answer.status == 422 and b"phases[0].spread" in answer.body
    answer = controller.ask("POST", "/v1/rollouts", {
        "release": RELEASE, "phases": [
            {"devices": 1, "covers": True}, {"share_pct": 100}]})
    assert answer.status == 422 and b"phases[0].covers" in answer.body
