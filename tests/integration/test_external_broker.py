"""A mosquitto that the controller does not start: rights by the ACL file, or by
accounts of the dynamic-security plugin."""
import json
import os
import re
import subprocess

import pytest

import fleet as F
import sets
from conftest import Small
from waits import HANG_S, until

PLUGIN = "mosquitto_dynamic_security.so"


def has_plugin():
    return any(os.path.exists(os.path.join("/usr/lib", folder, PLUGIN))
               for folder in sets.names("/usr/lib"))


class External(Small):
    more = ()
    mosquitto = None

    def start_controller(self, *_):
        self.home = os.path.join(self.dir, "controller", "broker")
        super().start_controller(
            "--broker", "mqtts://127.0.0.1:%d" % F.held_port(), *self.more)

    def hears(self, device, other, word):
        """Is a message of `device` under another's topic taken?"""
        identity = os.path.join(self.devices[device].state, "identity")
        pem = os.path.join(identity, "device-a.pem")
        port = re.search(r"listener (\d+)", open(os.path.join(
            self.home, "mosquitto.conf")).read()).group(1)
        done = subprocess.run(
            ["mosquitto_pub", "-V", "5", "-q", "1", "-h", "127.0.0.1", "-p",
             port, "--cafile", os.path.join(identity, "ca.pem"), "--cert",
             pem, "--key", pem, "-i", self.id_of(device), "-t",
             "flotilla/v1/test/d/%s/%s" % (self.id_of(other), word), "-m",
             "{}", "-d"], capture_output=True, text=True, timeout=HANG_S)
        # A later mosquitto hangs up on who may not, which ends mosquitto_pub.
        is_refused = "RC:135" in done.stdout or "Not authorized" in done.stderr
        assert is_refused or "PUBACK" in done.stdout, done.stdout + done.stderr
        return not is_refused

    def id_of(self, device):
        path = os.path.join(self.devices[device].state, "identity",
                            "identity.json")
        with open(path, encoding="utf-8") as file:
            return json.load(file)["device"]

    def healthy(self):
        """Its controller writes the broker's files, and waits for it."""
        if self.mosquitto is None and os.path.exists(
                os.path.join(self.home, "mosquitto.conf")):
            self.mosquitto = subprocess.Popen(
                ["/usr/sbin/mosquitto", "-c", "mosquitto.conf"],
                cwd=self.home, stderr=subprocess.DEVNULL)
            self.processes.append(self.mosquitto)
        return super().healthy()


@pytest.fixture(params=["acl", "accounts"])
def external(request, folder, bin_dir):
    if request.param == "accounts" and not has_plugin():
        pytest.skip("mosquitto has no dynamic-security plugin here")
    home = os.path.join(folder, request.param)
    os.mkdir(home)
    one = External(home, bin_dir, name="test")
    one.more = ("--broker-accounts",) if request.param == "accounts" else ()
    try:
        yield one.up(["gw"])
    finally:
        one.close()


def test_the_loop_goes_over_a_broker_of_somebody_else(external):
    """The device enrolled after the broker's start; so does the next one."""
    conf = open(os.path.join(external.home, "mosquitto.conf")).read()
    assert ("plugin " in conf) == bool(external.more)
    external.publish_whole("tiny@1", "tiny-v1.Q4_0.gguf",
                           "golden-tiny-v1.json")
    external.publish_whole("tiny@2", "tiny-v2.Q4_0.gguf",
                           "golden-tiny-v2.json")
    for release in ("tiny@1", "tiny@2"):
        external.roll(release)
    external.cli("rollout", "rollback", "--release", "tiny@2", "--everywhere",
                 "--confirm", "tiny@2", "--reason", "drill", "--wait")
    until("it is back", lambda: external.serving("tiny@1"))
    external.add_device("gw-2", external.token)
    external.online(["gw", "gw-2"])
    external.devices["gw"].stop()
    assert external.hears("gw", "gw", "event")
    assert not external.hears("gw", "gw-2", "event")
    assert not external.hears("gw", "gw", "desired")
    if not external.more:
        return
    kept = os.path.join(external.home, "dynamic-security.json")

    def names():
        with open(kept) as file:
            try:
                return [one["username"] for one in json.load(file)["clients"]]
            except ValueError:
                return []  # the broker writes it just now

    # two devices, and three of the controller
    until("five accounts", lambda: len(names()) == 5)
    external.cli("device", "delete", "gw-2", "--confirm", "gw-2")
    until("its account is gone", lambda: len(names()) == 4)
