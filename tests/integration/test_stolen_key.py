"""The runbook on a stolen order key: nothing that it signed lasts."""
import os
import shutil

from bad_parts import Controller, logged, serves, up  # noqa: F401


def test_a_device_enrolled_anew_obeys_the_new_order_key(up):
    device = up.devices["a"]
    digest = up.ask("release", "get", "tiny@2")["digest"]
    with Controller(up) as thief:
        thief.send(thief.signed(thief.order(
            "deploy", epoch=2 ** 32 - 1, args={
                "model": "tiny", "release": digest, "version": "2",
                "rollout": "r-9001", "policy": {"soak_ms": 30 * 86400000}})))
    serves(device, "tiny@2")
    with logged(up, "cmd.epoch"):
        up.cli("rollout", "freeze", "--confirm", "test")

    up.controller.terminate()
    up.controller.wait()
    os.unlink(os.path.join(up.dir, "controller", "keys", "order.key"))
    up.start_controller("--new-order-key")
    up.cli("device", "delete", "a", "--confirm", "a")
    device.stop()
    shutil.rmtree(os.path.join(device.state, "identity"))
    device.enroll(up.token)
    device.start()
    up.online(["a"])

    up.cli("rollout", "unfreeze", "--confirm", "test")
    up.publish("tiny@3", "tiny-v2.Q4_0.gguf")
    up.roll("tiny@3")
    serves(device, "tiny@3")
