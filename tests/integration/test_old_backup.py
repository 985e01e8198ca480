"""A controller whose data come from a backup that is older than its devices:
it says that its own numbers are old, and takes back who enrolled since."""
import json
import os
import shutil

import pytest

import sets
from conftest import Small
from waits import HANG_S, Seen, same, until

LIFE = "--certificate-life", "20m"


@pytest.fixture
def up(tmp_path_factory, bin_dir):
    one = Small(str(tmp_path_factory.mktemp("f")), bin_dir, name="test")
    one.up(["a"], *LIFE)
    one.publish("tiny@1", "tiny-v2.Q4_0.gguf")
    yield one
    one.close()


def stop(up):
    up.controller.terminate()
    assert up.controller.wait(HANG_S) == 0


def start(up, *more):
    up.start_controller(*LIFE, *more)
    up.online(["a"])


def backup(up):
    stop(up)
    sets.copy(os.path.join(up.dir, "controller"), os.path.join(up.dir, "backup"))
    start(up)


def put_back(up, *more):
    stop(up)
    data = os.path.join(up.dir, "controller")
    shutil.rmtree(data)
    sets.copy(os.path.join(up.dir, "backup"), data)
    start(up, *more)


def status(up, device):
    return json.loads(up.program("flotilla-agent", "status", "--config", up.devices[device].config,
                                 "-o", "json")[1])


def alerts(up):
    return {one["rule"] for one in up.ask("alert", "list") if one["state"] == "firing"}


def told(up):
    """A line of the audit about all so far is signed, and the device has it."""
    stop(up)
    start(up)
    with open(os.path.join(up.dir, "controller", "audit.head"), encoding="ascii") as file:
        number = max(int(line.split()[1]) for line in file if line.startswith("head "))
    until("the device knows it", lambda: any(
        int(line.split()[1]) >= number for line in status(up, "a")["audit"]))


def test_who_enrolled_after_the_backup_is_adopted_untouched(up):
    up.roll("tiny@1")
    backup(up)
    late = up.add_device("late", up.token)
    up.online(["late"])
    until("it serves", lambda: up.serving("tiny@1", ["late"]))
    number = status(up, "late")["device"]

    put_back(up, "--restored")

    until("it is known to be unknown", lambda: same(
        [one["id"] for one in up.ask("device", "unknown")], [number]))
    until("the alert", lambda: "device-unknown" in alerts(up))
    until("it says so itself", lambda: same(
        (status(up, "late")["degraded"] or {}).get("id"), "certificate.unknown"))
    assert number in status(up, "late")["degraded"]["text"]
    assert [one["name"] for one in up.ask("device", "list")] == ["a"]
    code, _, err = up.cli("device", "adopt", "0d9f4c1e-6a0b-4a51-9c7e-2f6f3f8a1b22", check=False)
    assert code == 3 and "flotilla device unknown" in err

    up.cli("device", "adopt", number, "--name", "late")

    up.online(["late"])
    until("it serves what it did", lambda: up.serving("tiny@1", ["late"]))
    assert up.ask("device", "get", "late")["id"] == number
    assert up.ask("device", "unknown") == []
    until("it is content", lambda: "degraded" not in status(up, "late") or
          Seen(status(up, "late")))
    until("the alert ends", lambda: "device-unknown" not in alerts(up))
    assert late.process.poll() is None
    # It takes orders of the controller that adopted it.
    up.cli("rollout", "unfreeze", "--confirm", "test")
    up.publish("tiny@2", "tiny-v2.1.Q4_0.gguf", "golden-tiny-v2.1.json")
    up.roll("tiny@2")
    assert up.serving("tiny@2", ["a", "late"])


def test_a_restore_without_the_flag_blames_the_controllers_own_numbers(up):
    backup(up)
    up.roll("tiny@1")
    told(up)

    put_back(up)

    until("it says so", lambda: "numbers-old" in alerts(up) or Seen(alerts(up)))
    [alert] = [one for one in up.ask("alert", "list") if one["rule"] == "numbers-old"]
    assert "--restored" in alert["text"], alert
    assert "order-foreign" not in alerts(up)
    assert "without --restored" in up.cli("audit", "verify", check=False)[2]
    assert not [one for one in up.ask("order", "list") if one["op"] == "foreign"]

    stop(up)
    start(up, "--restored")
    up.cli("rollout", "unfreeze", "--confirm", "test")
    up.publish("tiny@2", "tiny-v2.1.Q4_0.gguf", "golden-tiny-v2.1.json")
    up.roll("tiny@2")
    assert up.serving("tiny@2", ["a"])
    assert "numbers-old" not in alerts(up)
