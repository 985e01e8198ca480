"""Agent and controller as services: the unit, and what root leaves behind.

systemd gives the state directory to a user of the unit's own, below a folder
that only root may enter (/var/lib/private); here 65534 is that user.
"""
import itertools
import os
import shutil

import pytest

import fleet as F
import sets
from conftest import ROOT
from controller_parts import Controller, Device as ControllersDevice

SERVICE = 65534
NUMBERS = itertools.count(1)


def unit(program="agent"):
    path = os.path.join(ROOT, "deploy", "systemd",
                        "flotilla-%s.service" % program)
    with open(path, encoding="utf-8") as text:
        return text.read()


def test_the_agent_starts_without_waiting_for_a_network():
    assert "network-online.target" not in unit()


@pytest.mark.parametrize("program", ["agent", "controller"])
def test_it_may_ask_whether_its_clock_is_right_and_not_set_it(program):
    lines = unit(program).splitlines()
    assert "ProtectClock=yes" not in lines  # EPERM for adjtimex
    assert "SystemCallFilter=adjtimex clock_adjtime" in lines
    assert "CapabilityBoundingSet=" in lines


@pytest.fixture(scope="module")
def up(fleet):
    if os.geteuid() != 0:
        pytest.skip("only root can own a folder of another user")
    fleet.up([])
    fleet.publish("tiny@1", "tiny-v2.Q4_0.gguf")
    fleet.bundle = os.path.join(fleet.dir, "tiny1.tar")
    fleet.cli("bundle", "create", "tiny@1", "--to", fleet.bundle)
    return fleet


@pytest.fixture
def device(up):
    """Enrolled by root into a state directory of the service's."""
    device = F.Device(up, "served-%d" % next(NUMBERS))
    device.write_config()
    os.chown(device.state, SERVICE, SERVICE)
    assert os.stat(up.dir).st_mode & 0o077 == 0
    device.enroll(up.token)
    return device


@pytest.fixture
def updated(up, device):
    """Updated by root while the service does not run."""
    up.program("flotilla-agent", "update", "--bundle", up.bundle, "--config",
               device.config)
    return device


def below(place):
    return [os.path.join(place, name) for name in sets.stats(place)]


def others(place):
    """Files below that folder that the service would not own."""
    return [os.path.join(place, name) for name, info in
            sets.stats(place).items()
            if (info.st_uid, info.st_gid) != (SERVICE, SERVICE)]


def test_what_root_enrols_belongs_to_the_service(device):
    assert os.path.exists(os.path.join(device.state, "identity",
                                       "identity.json"))
    assert others(device.state) == []


def test_root_sees_that_the_device_is_enrolled(up, device):
    _, said, _ = up.program("flotilla-agent", "doctor", "--config",
                            device.config, check=False)
    assert "key closed to others" in said
    code, _, err = up.program(
        "flotilla-agent", "enroll", "--controller", up.devices_url,
        "--token-file", up.token, "--state-dir", device.state, "--name",
        "again", check=False)
    assert code == 5 and "enrolled already" in err


def test_what_root_updates_without_the_service_belongs_to_it(up, updated):
    up.program("flotilla-agent", "explain", "--config", updated.config)
    assert os.path.exists(os.path.join(updated.state, "slots", "tiny.bin"))
    assert others(updated.state) == []


def test_what_an_older_version_left_to_root_is_given_to_the_service(up,
                                                                    updated):
    device = updated
    for path in below(device.state):
        os.lchown(path, 0, 0)
    secret = os.path.join(up.dir, "secret")
    with open(secret, "w", encoding="utf-8") as text:
        text.write("root's")
    planted = [os.path.join(device.state, name) for name in ("link", "symlink")]
    os.link(secret, planted[0])
    os.symlink(secret, planted[1])
    os.lchown(planted[1], SERVICE, SERVICE)
    up.program("flotilla-agent", "explain", "--config", device.config)
    assert others(device.state) == planted[:1]
    assert os.stat(secret).st_uid == 0


@pytest.fixture
def controller(folder):
    """One that ran as a service with a device and is stopped."""
    if os.geteuid() != 0:
        pytest.skip("only root can own a folder of another user")
    one = Controller(folder).start()
    ControllersDevice(one, folder, "x", one.enrol_token())
    one.stop()
    for path in [one.dir] + below(one.dir):
        os.lchown(path, SERVICE, SERVICE)
    return one


def test_what_root_asks_of_the_controller_once_belongs_to_its_service(
        up, controller):
    key = os.path.join(controller.dir, "keys", "order.key")
    os.remove(key)
    up.program("flotilla-controller", "--data", controller.dir, "--listen",
               "127.0.0.1:0", "--new-order-key", "--restored", "--check")
    assert os.path.exists(key)
    assert others(controller.dir) == []
    controller.start()
    try:
        done = [line["what"] for line in
                controller.ask("GET", "/v1/audit").json["items"]]
        assert done.count("data.restore") == 1
        assert controller.ask("GET", "/v1/version").json["frozen"]
    finally:
        controller.stop()
    assert others(controller.dir) == []


def test_root_logs_in_with_the_token_of_the_service(up):
    token = os.path.join(up.dir, "service.token")
    shutil.copyfile(up.admin_token, token)
    os.chmod(token, 0o600)
    os.chown(token, SERVICE, SERVICE)
    up.cli("login", up.url, "--token-file", token, "--name", up.name)
    os.chmod(token, 0o640)
    code, _, err = up.cli("login", up.url, "--token-file", token, check=False)
    assert code == 2 and "mode 0640" in err
