"""What `flotilla` says and how it ends, against a real controller and devices
made of Python."""
import json
import os
import sqlite3
import subprocess

import pytest

from controller_parts import (BIN, Device, Publisher, start,
                              until)


def begin(controller, *words):
    return subprocess.Popen(
        [os.path.join(BIN, "flotilla"), *words, "--controller",
         controller.rest, "--token-file", controller.facts["token"]],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def cli(controller, *words):
    process = begin(controller, *words)
    out, err = process.communicate(timeout=30)
    return process.returncode, out, err


def test_the_uses_that_a_token_has_left_are_listed(controller):
    made = controller.ask("POST", "/v1/tokens", {"kind": "enroll", "uses": 7})
    code, out, _ = cli(controller, "token", "list")
    assert code == 0
    row = [line.split() for line in out.split("\n")
           if line.startswith(made.json["id"])][0]
    assert row[-1] == "7", out


@pytest.fixture(scope="module")
def served(controller, folder):
    """A completed rollout of three devices."""
    token = controller.enrol_token()
    devices = [Device(controller, folder, name, token).connect()
               for name in ("a", "b", "c")]
    until("three online", 10, lambda: len(controller.ask(
        "GET", "/v1/devices?state=online").json["items"]) == 3)
    digest = Publisher(controller, folder).publish("1.0.0")
    rollout = start(controller, "tiny@1.0.0",
                    phases=[{"share_pct": 100}])["id"]
    for device in devices:
        assert device.order("deploy", 10, digest)[0]
        device.event(rollout, digest, "succeeded")
    until("the end", 10, lambda: controller.ask(
        "GET", "/v1/rollouts/" + rollout).json["state"] == "completed")
    yield rollout, digest, devices
    for device in devices:
        device.client.close()


def test_a_rollout_does_not_go_back_in_one_group(controller, served):
    for flag in (["--group", "lab"], ["--everywhere"]):
        code, _, err = cli(controller, "rollout", "rollback", served[0],
                           *flag)
        assert code == 2 and "cli.usage" in err, (code, err)
    state = controller.ask("GET", "/v1/rollouts/" + served[0]).json["state"]
    assert state == "completed"


def test_the_rollback_of_a_rollout_waits_for_who_is_online(controller, served):
    rollout, digest, devices = served
    away = devices[2]
    away.client.publish(away.topic("presence"), '{"v":1,"online":false}',
                        retain=True)
    until("one offline", 10, lambda: len(controller.ask(
        "GET", "/v1/devices?state=offline").json["items"]) == 1)
    process = begin(controller, "rollout", "rollback", rollout, "--wait",
                    "--reason", "too slow", "-o", "json")
    for device in devices[:2]:
        assert device.order("rollback", 10)[0]
        assert process.poll() is None
        device.event(rollout, digest, "rolled-back")
    out, err = process.communicate(timeout=20)
    assert process.returncode == 0, err
    assert json.loads(out)["state"] == "rolling-back"
    assert "too slow" in json.loads(out)["reason"]
    away.event(rollout, digest, "rolled-back")
    until("the end", 10, lambda: controller.ask(
        "GET", "/v1/rollouts/" + rollout).json["state"] == "rolled-back")


def test_a_broken_audit_chain_ends_with_seven(controller):
    assert cli(controller, "audit", "verify")[0] == 0
    controller.stop()
    with sqlite3.connect(os.path.join(controller.dir, "control.db")) as base:
        base.execute("UPDATE audit SET who = 'nobody' WHERE n = 2")
    base.close()
    controller.start()
    code, out, err = cli(controller, "audit", "verify")
    assert code == 7
    assert json.loads(out)["ok"] is False
    assert "error[audit.chain]: audit record 2 was changed" in err
