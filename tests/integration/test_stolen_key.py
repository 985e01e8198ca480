"""The runbook on stolen keys: nothing that they signed lasts."""
import os
import tempfile

import pytest

from bad_parts import (
    MODELS, Controller, bring_up, expect, frozen, refused, serves)
from conftest import Small
from waits import until


@pytest.fixture
def up(folder, bin_dir):
    """A fleet per test: a stolen key taints everything that it met."""
    one = Small(tempfile.mkdtemp(dir=folder), bin_dir, name="test")
    yield bring_up(one)
    one.close()


def test_devices_obey_a_new_order_key_that_the_root_names(up):
    device = up.devices["a"]
    digest = up.ask("release", "get", "tiny@2")["digest"]
    with Controller(up) as thief:
        # It cannot be the last order of all.
        thief.send_until_logged("cmd.epoch", thief.order(
            "freeze", epoch=2 ** 32 - 1, args={}))
        deploy = {"model": "tiny", "release": digest, "version": "2",
                  "rollout": "r-9001", "policy": {"soak_ms": 30 * 86400000}}
        thief.send_until_logged("cmd.leap", thief.order(
            "deploy", seq=thief.last["seq"] + 2 ** 31, args=deploy))
        good = thief.order("deploy", args=deploy)
        thief.send_until_logged("ack " + good["id"], good)
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
    draft = os.path.join(up.dir, "draft.json")
    up.cli("key", "rotate", "order", "--to", draft)
    up.cli("trust", "sign", draft, "--key",
           os.path.join(os.path.dirname(up.key), "root.key"))
    up.cli("trust", "publish", draft)

    up.cli("rollout", "unfreeze", "--confirm", "test")
    up.publish_whole("tiny@3", "tiny-v2.Q4_0.gguf", "golden-tiny-v2.json")
    up.roll("tiny@3")
    serves(device, "tiny@3")


def test_one_publisher_of_two_changes_nothing(up):
    device = up.devices["a"]
    keys = os.path.dirname(up.key)
    draft = os.path.join(up.dir, "two.json")
    up.cli("key", "create", "second", "--to", keys)
    second = os.path.join(keys, "second")
    up.cli("key", "rotate", "release", second + ".pub", "--keep", "--to", draft)
    up.cli("trust", "require", "tiny*=2", "--to", draft)
    up.cli("trust", "sign", draft, "--key", os.path.join(keys, "root.key"))
    up.cli("trust", "publish", draft)
    # A release that one signed before runs on, and is told.
    until("it is told", lambda: "1 of 2 publishers signed it" in
          open(device.log, errors="replace").read())
    serves(device, "tiny@1")
    # A bundle of before, and a release of one: on the device, at the controller.
    refused(up, 7, "trust.publishers", "flotilla-agent", "update", "--bundle",
            up.bundle, "--config", device.config)
    expect(up.cli("release", "create", "tiny@3", "--model-file",
                  os.path.join(MODELS, "tiny-v2.Q4_0.gguf"), "--golden",
                  up.few("golden-tiny-v2.json"), "--sign-with", up.key,
                  "--skip-play", "--delta-from", "none", "--publish", check=False),
           7, "trust.publishers")
    serves(device, "tiny@1")
    up.cli("release", "resign", "tiny@3", "--key", second + ".key")
    up.cli("release", "publish", "tiny@3")
    up.roll("tiny@3")
    serves(device, "tiny@3")
