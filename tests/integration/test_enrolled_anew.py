"""A device that is enrolled anew, or at another controller: what it was told
and did before is nobody's story now."""
import os
import shutil

import fleet as F


def enrol_anew(fleet, device, token):
    device.stop()
    shutil.rmtree(os.path.join(device.state, "identity"))
    device.enroll(token)
    device.start()
    fleet.online([device.name])


def state_of(fleet, rollout):
    """Of the device that is called "a" now."""
    now = fleet.ask("device", "get", "a")["id"]
    for device in fleet.ask("rollout", "get", rollout)["devices"]:
        if device["id"] == now:
            return device["state"]
    return None


def test_a_device_enrolled_anew_answers_for_itself(fleet):
    fleet.up(["a"])
    fleet.publish("tiny@1", "tiny-v2.Q4_0.gguf")
    assert fleet.roll("tiny@1")["id"] == "r-0001"

    fleet.cli("device", "delete", "a", "--confirm", "a")
    enrol_anew(fleet, fleet.devices["a"], fleet.token)

    F.wait_until("its own end of r-0001", 20, lambda: state_of(
        fleet, "r-0001") == "already-installed")


def test_a_candidate_on_trial_serves_on_until_it_is_ordered_anew(fleet):
    device = fleet.devices["a"]
    fleet.publish("tiny@2", "tiny-v2.1.Q4_0.gguf", "golden-tiny-v2.1.json")
    started = fleet.ask("rollout", "start", "tiny@2", "--phase", "100%",
                        "--soak", "8s")["id"]
    F.wait_until("its trial", 20, lambda: state_of(
        fleet, started) == "soaking")

    fleet.cli("device", "delete", "a", "--confirm", "a")
    enrol_anew(fleet, device, fleet.token)

    F.wait_until("tiny@2 serves", 30, lambda: state_of(
        fleet, started) == "succeeded")
    trace = fleet.program("flotilla-agent", "explain", "--config",
                          device.config)[1]
    assert "enroll.1" in trace


def test_another_controller_begins_with_the_same_numbers(fleet):
    device = fleet.devices["a"]
    fleet.cli("rollout", "freeze", "--confirm", "test")
    fleet.controller.terminate()
    fleet.controller.wait()
    data = os.path.join(fleet.dir, "controller")
    os.rename(data, data + ".before")

    fleet.name = "other"
    fleet.start_controller()
    fleet.login()
    fleet.cli("key", "trust", fleet.key[:-4] + ".pub")
    token = os.path.join(fleet.dir, "other.token")
    fleet.cli("token", "create", "--kind", "enroll", "--to", token, "-q")
    enrol_anew(fleet, device, token)
    fleet.publish("tiny@3", "tiny-v2.Q4_0.gguf")

    assert fleet.roll("tiny@3")["id"] == "r-0001"
    F.wait_until("tiny@3 serves", 20, lambda: fleet.serving("tiny@3"))
