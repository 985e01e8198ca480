"""A device that is enrolled again, or at another controller: what it was told
and did before is nobody's story now."""
import os
import re
import shutil

import pytest

from conftest import Small
from test_failing_disk import RECORDS, fail_as, preload, sweep
from waits import same, until


@pytest.fixture
def fleet(tmp_path_factory, bin_dir):
    """One for each test: it is left for others."""
    one = Small(str(tmp_path_factory.mktemp("f")), bin_dir, name="test")
    one.up(["a"])
    one.publish("tiny@1", "tiny-v2.Q4_0.gguf")
    assert one.roll("tiny@1")["id"] == "r-0001"
    yield one
    one.close()


def enrol_again(fleet, device, token):
    device.stop()
    shutil.rmtree(os.path.join(device.state, "identity"))
    device.enroll(token)
    device.start()
    fleet.online([device.name])


def state_of(fleet, rollout):
    """The state in the rollout of the device that is called "a" now."""
    now = fleet.ask("device", "get", "a")["id"]
    for device in fleet.ask("rollout", "get", rollout)["devices"]:
        if device["id"] == now:
            return device["state"]
    return None


def test_a_device_enrolled_again_answers_for_itself(fleet):
    fleet.cli("device", "delete", "a", "--confirm", "a")
    enrol_again(fleet, fleet.devices["a"], fleet.token)

    until("its own end of r-0001", lambda: state_of(
        fleet, "r-0001") == "already-installed")


def test_a_candidate_on_trial_serves_on_until_it_is_ordered_again(fleet):
    device = fleet.devices["a"]
    fleet.publish_whole("tiny@2", "tiny-v2.1.Q4_0.gguf",
                        "golden-tiny-v2.1.json")
    started = fleet.ask("rollout", "start", "tiny@2", "--phase", "100%",
                        "--soak", "0s", "--soak-requests", "1")["id"]

    def comes_to(state):
        until("it is " + state, lambda: same(state_of(fleet, started), state))

    comes_to("soaking")

    fleet.cli("device", "delete", "a", "--confirm", "a")
    enrol_again(fleet, device, fleet.token)

    comes_to("soaking")
    assert device.ask("hello", "tiny", max_tokens=1)[1] == "tiny@2"
    comes_to("succeeded")
    trace = fleet.program("flotilla-agent", "explain", "--config",
                          device.config)[1]
    assert "enroll.1" in trace


def leave_for(fleet, name):
    """Another fleet with another controller; a token for it.  The one that is
    left was frozen."""
    fleet.cli("rollout", "freeze", "--confirm", fleet.name)
    until("the freeze", lambda: fleet.ask(
        "device", "get", "a")["frozen"])
    fleet.controller.terminate()
    fleet.controller.wait()
    data = os.path.join(fleet.dir, "controller")
    os.rename(data, "%s.%s" % (data, fleet.name))

    fleet.name = name
    fleet.start_controller()
    fleet.login()
    fleet.cli("key", "trust", fleet.key[:-4] + ".pub")
    token = os.path.join(fleet.dir, name + ".token")
    fleet.cli("token", "create", "--kind", "enroll", "--to", token, "-q")
    return token


def stage_previous(device):
    """Slots as after a download that a freeze held: contracts/device.md §6."""
    device.stop()
    path = os.path.join(device.state, "slots", "tiny.bin")
    with open(path, "rb") as file:
        records = file.read()
    for at in RECORDS:
        record = bytearray(records[at:at + 4096])
        record[80:112] = record[48:80]
        record[266] = 1
        record[336:342] = b"r-0009"
        record[4092:] = sweep.crc32c(record[:4092]).to_bytes(4, "little")
        records = records[:at] + bytes(record) + records[at + 4096:]
    with open(path, "wb") as file:
        file.write(records)


def test_another_controller_begins_with_the_same_numbers(fleet):
    device = fleet.devices["a"]
    token = leave_for(fleet, "other")
    enrol_again(fleet, device, token)
    fleet.publish("tiny@3", "tiny-v2.Q4_0.gguf")

    assert fleet.roll("tiny@3")["id"] == "r-0001"
    until("tiny@3 serves", lambda: fleet.serving("tiny@3"))


def test_what_the_fleet_that_was_left_had_staged_never_serves(fleet):
    device = fleet.devices["a"]
    fleet.publish_whole("tiny@2", "tiny-v2.1.Q4_0.gguf",
                        "golden-tiny-v2.1.json")
    fleet.roll("tiny@2")
    token = leave_for(fleet, "third")
    stage_previous(device)
    enrol_again(fleet, device, token)
    fleet.publish_whole("tiny@4", "tiny-v2.1.Q4_0.gguf",
                        "golden-tiny-v2.1.json")

    fleet.roll("tiny@4")
    until("tiny@4 serves", lambda: fleet.serving("tiny@4"))
    trace = fleet.program("flotilla-agent", "explain", "--config",
                          device.config)[1]
    assert "was staged" not in trace


def starts(device, fleet):
    with open(device.log, encoding="utf-8") as log:
        return len(re.findall(r"flotilla-agent \S+, device \S+, fleet " + fleet,
                              log.read()))


def test_a_freeze_that_could_not_be_lifted_is_lifted_later(fleet):
    device = fleet.devices["a"]
    token = leave_for(fleet, "fourth")
    device.stop()
    shutil.rmtree(os.path.join(device.state, "identity"))
    device.enroll(token)
    env = preload(fleet.dir)
    fails = env["FLO_FAILS"]
    fail_as(fails, "pread", "slots/_device.bin")
    fleet.env.update(env)
    for start in 1, 2:
        device.stop()
        device.start()
        until("its start", lambda: starts(device, "fourth") == start)
    os.unlink(fails)
    fleet.online(["a"])
    fleet.publish("tiny@5", "tiny-v2.Q4_0.gguf")

    fleet.roll("tiny@5")
    until("tiny@5 serves", lambda: fleet.serving("tiny@5"))
