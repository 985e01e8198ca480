"""A controller whose data come from a backup that is older than its devices
says that its own numbers are old."""
import json
import os
import shutil

import pytest

import sets
from conftest import Small
from waits import HANG_S, Seen, until

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
    """What happened so far is signed, and the device has the line."""
    stop(up)
    start(up)
    with open(os.path.join(up.dir, "controller", "audit.head"), encoding="ascii") as file:
        number = max(int(line.split()[1]) for line in file if line.startswith("head "))
    until("the device knows it", lambda: any(
        int(line.split()[1]) >= number for line in status(up, "a")["audit"]))


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
