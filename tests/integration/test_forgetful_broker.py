"""Brokers that keep nothing for who comes later: two nodes that pass messages
on and retained ones not, as a cluster of RabbitMQ does.  The controller is at
one of them, devices are at the other (--broker-forgets)."""
import json
import os
import re
import subprocess

import pytest

import fleet as F
import sets
from conftest import Small
from waits import HANG_S, until, wall_ms


class Apart(Small):
    """Node `far` fetches all from the controller's node, by a bridge."""
    near = far = near_port = None

    def start_controller(self, *_):
        self.home = os.path.join(self.dir, "controller", "broker")
        self.near_port = self.near_port or F.held_port()
        super().start_controller(
            "--broker", "mqtts://127.0.0.1:%d" % self.near_port,
            "--broker-forgets")

    def healthy(self):
        """Its controller writes the broker's files, and waits for it."""
        if self.near is None and os.path.exists(
                os.path.join(self.home, "mosquitto.conf")):
            self.start_nodes()
        return super().healthy()

    def start_nodes(self):
        self.bridge, self.far_port = F.held_port(), F.held_port()
        with open(os.path.join(self.home, "mosquitto.conf"),
                  encoding="utf-8") as file:
            # The bridge has a listener, and rights, of its own.
            text = "per_listener_settings true\n" + file.read()
        self.near = self.node("near", text + (
            "listener %d 127.0.0.1\nallow_anonymous true\n" % self.bridge))
        self.far = self.node("far", re.sub(
            r"(?m)^listener \d+", "listener %d" % self.far_port, text) + (
                "connection near\naddress 127.0.0.1:%d\n"
                "notifications false\n"
                "bridge_outgoing_retain false\nrestart_timeout 1\n"
                "topic # both 1\n" % self.bridge))

    def node(self, name, text):
        home = os.path.join(self.dir, name)
        sets.copy(self.home, home)
        with open(os.path.join(home, "mosquitto.conf"), "w",
                  encoding="utf-8") as file:
            file.write(text)
        process = subprocess.Popen(["/usr/sbin/mosquitto", "-c",
                                    "mosquitto.conf"], cwd=home,
                                   stderr=subprocess.DEVNULL)
        self.processes.append(process)
        return process

    def add_far(self, name):
        device = F.Device(self, name)
        self.devices[name] = device
        device.enroll(self.token)
        device.write_config("broker: mqtts://127.0.0.1:%d\n" % self.far_port)
        with open(device.config, "r+", encoding="utf-8") as file:
            text = file.read().replace("heartbeat: 1s", "heartbeat: 10m")
            file.seek(0)
            file.write(text)
        device.start()
        return device

    def is_frozen(self, name):
        """As the device itself says."""
        return json.loads(self.program(
            "flotilla-agent", "status", "--config", self.devices[name].config,
            "-o", "json")[1])["frozen"]


@pytest.fixture
def apart(folder, bin_dir):
    one = Apart(os.path.join(folder, "apart"), bin_dir, name="test")
    try:
        one.up([])
        one.publish_whole("tiny@1", "tiny-v1.Q4_0.gguf", "golden-tiny-v1.json")
        one.publish_whole("tiny@2", "tiny-v2.Q4_0.gguf", "golden-tiny-v2.json")
        one.add_far("gw")
        one.online(["gw"])
        yield one
    finally:
        one.close()


def test_who_comes_later_gets_what_no_broker_kept(apart):
    apart.roll("tiny@1")
    apart.devices["gw"].stop()
    until("gone", lambda: apart.ask(
        "device", "get", "gw")["state"] != "online")
    started = apart.ask("rollout", "start", "tiny@2", "--phase", "100%",
                        "--soak", "500ms")["id"]
    apart.devices["gw"].start()
    apart.cli("rollout", "wait", started, "--for", "completed", "-q")
    # An order of a list, for a device that was not there when it was given.
    apart.cli("rollout", "freeze", "--confirm", "test", "--reason", "drill")
    until("frozen", lambda: apart.is_frozen("gw"))
    apart.add_far("gw-2")
    apart.online(["gw-2"])
    until("the newcomer is frozen", lambda: apart.is_frozen("gw-2"))
    # A controller that comes back finds no report either: it asks.
    apart.controller.terminate()
    apart.controller.wait(HANG_S)
    begin_ms = wall_ms()
    apart.start_controller()
    until("both have answered", lambda: all(
        one["state"] == "online" and one["last_seen_at_ms"] > begin_ms
        for one in apart.ask("device", "list")))
