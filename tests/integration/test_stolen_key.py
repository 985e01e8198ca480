"""The runbook on stolen keys: nothing that they signed lasts."""
import glob
import os
import shutil
import tempfile

import pytest

from bad_parts import (GOLDEN, OLD, Controller, bring_up, frozen, logged,
                       refused, serves)
from conftest import Small
from waits import until


@pytest.fixture
def up(folder, bin_dir):
    """A fleet per test: a stolen key taints everything that it met."""
    one = Small(tempfile.mkdtemp(dir=folder), bin_dir, name="test")
    yield bring_up(one)
    one.close()


def enrol_again(fleet):
    device = fleet.devices["a"]
    fleet.cli("device", "delete", "a", "--confirm", "a")
    device.stop()
    shutil.rmtree(os.path.join(device.state, "identity"))
    device.enroll(fleet.token)
    device.start()
    fleet.online(["a"])


def test_a_device_enrolled_again_obeys_the_new_order_key(up):
    device = up.devices["a"]
    digest = up.ask("release", "get", "tiny@2")["digest"]
    with Controller(up) as thief:
        with logged(up, "cmd.epoch"):  # it cannot be the last order of all
            thief.send(thief.signed(thief.order(
                "freeze", epoch=2 ** 32 - 1, args={})))
        thief.send(thief.signed(thief.order(
            "deploy", seq=thief.last["seq"] + 2 ** 31, args={
                "model": "tiny", "release": digest, "version": "2",
                "rollout": "r-9001", "policy": {"soak_ms": 30 * 86400000}})))
    # It is obeyed, and brings nothing: the controller offered no tiny@2.
    until("it is obeyed", lambda: "end r-9001.1 failed" in
          open(device.log, errors="replace").read())
    serves(device, "tiny@1")
    up.cli("rollout", "freeze", "--confirm", "test")
    until("the freeze", lambda: frozen(up))

    up.controller.terminate()
    up.controller.wait()
    os.unlink(os.path.join(up.dir, "controller", "keys", "order.key"))
    up.start_controller("--new-order-key")
    enrol_again(up)

    up.cli("rollout", "unfreeze", "--confirm", "test")
    up.publish_whole("tiny@3", "tiny-v2.Q4_0.gguf", "golden-tiny-v2.json")
    up.roll("tiny@3")
    serves(device, "tiny@3")


def test_a_device_enrolled_again_takes_nothing_of_a_withdrawn_publisher(up):
    device, stolen = up.devices["a"], up.key
    up.controller.terminate()
    up.controller.wait()
    [trusted] = glob.glob(os.path.join(up.dir, "controller", "trust", "*.pem"))
    os.unlink(trusted)
    up.start_controller()
    up.cli("key", "create", "second", "--to", os.path.dirname(up.key))
    up.key = os.path.join(os.path.dirname(up.key), "second.key")
    up.cli("key", "trust", up.key[:-4] + ".pub")
    enrol_again(up)

    serves(device, "tiny@1")  # what is installed serves on
    refused(up, 7, "sig.unknown_key", "flotilla-agent", "update", "--bundle",
            up.bundle, "--config", device.config)
    refused(up, 7, "sig.unknown_key", "flotilla", "release", "create",
            "tiny@9", "--model-file", OLD, "--golden", GOLDEN, "--skip-play",
            "--sign-with", stolen, "--publish")
    up.publish_whole("tiny@3", "tiny-v2.Q4_0.gguf", "golden-tiny-v2.json")
    up.roll("tiny@3")
    serves(device, "tiny@3")
