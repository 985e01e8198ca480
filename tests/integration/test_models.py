"""Several models on one device, as the controller tells and shows them; the
device is a simulated one on the real broker."""
import base64
import json
import os
import subprocess

import pytest

from controller_parts import BIN, Device, Publisher
from waits import until


@pytest.fixture(scope="module")
def fleet(controller, folder):
    """Two devices; tiny@1 and help@1 are published."""
    token = controller.enrol_token()
    devices = [Device(controller, folder, name, token).connect()
               for name in ("gw-1", "gw-2")]
    publisher = Publisher(controller, folder)
    digests = {model: publisher.publish("1.0.0", model=model)
               for model in ("tiny", "help")}
    return devices, digests


@pytest.fixture(scope="module")
def flotilla(controller, folder):
    token = os.path.join(folder, "token")
    with open(token, "w") as file:
        file.write(controller.token)
    os.chmod(token, 0o600)

    def run(*command, code=0):
        done = subprocess.run(
            [os.path.join(BIN, "flotilla"), "--controller", controller.rest,
             "--token-file", token, *command], capture_output=True, text=True)
        assert done.returncode == code, done.stderr
        return done.stdout
    return run


def body(envelope):
    return json.loads(base64.b64decode(envelope["payload"]))


def orders(desired):
    """{model: body of its order} of a desired document."""
    return {a["model"]: body(a["order"]) for a in desired["assignments"]}


def told(device, what, after=0):
    """The desired document of a later revision than `after`, once its orders'
    kinds are these."""
    return device.desired(lambda d: d["rev"] > after and {
        model: order["op"] for model, order in orders(d).items()} == what)


def serves(release, version="1.0.0"):
    return {"release": release, "version": version, "number": 1}


def model(name, release, **more):
    return dict({"model": name, "state": "ready", "execution": None,
                 "serving": serves(release), "current": serves(release)},
                **more)


def start(controller, release):
    answer = controller.ask("POST", "/v1/rollouts", {
        "release": release, "phases": [{"share_pct": 100}]})
    assert answer.status == 201, answer.body
    return answer.json["id"]


def test_desired_names_both_models_and_each_rollout_ends(controller, fleet):
    devices, digests = fleet
    for name in ("tiny", "help"):
        rollout = start(controller, name + "@1.0.0")
        for device in devices:
            desired = device.desired(lambda d: name in orders(d))
            assert orders(desired)[name]["args"]["release"] == digests[name]
            device.event(rollout, digests[name], "succeeded", model=name)
        until("%s is completed" % rollout, lambda: controller.ask(
            "GET", "/v1/rollouts/" + rollout).json["state"] == "completed")
    for device in devices:
        desired = told(device, {"tiny": "deploy", "help": "deploy"})
        assert desired["v"] == 2 and len(json.dumps(desired)) < 48 * 1024
        device.report(desired["rev"], [
            model("help", digests["help"]),
            model("tiny", digests["tiny"], rung=1)],
            memory={"budget": 2000, "planned": 1500, "rung": 1, "why": "psi",
                    "more": {}},
            profile={"arch": "aarch64", "cpus": 4, "temperature_mc": 48000,
                     "power": {"mains": False, "battery_pct": 40},
                     "bench": {"memory_bytes_per_s": 9000000000, "x": "y"},
                     "runtimes": [{"name": "llamacpp", "api": "openai",
                                   "state": "absent", "why": "no file"}, 7],
                     "accelerators": [{"kind": "vulkan", "name": "Mali"}]})


def test_each_model_is_shown_with_its_state(controller, fleet, flotilla):
    until("both reports", lambda: len(controller.ask(
        "GET", "/v1/devices?model=help").json["items"]) == 2)
    device = controller.ask("GET", "/v1/devices/gw-1").json
    help_, tiny = device["models"]
    assert help_["serving"]["model"] == "help" and tiny["rung"] == 1
    assert device["memory"] == {"budget": 2000, "planned": 1500, "rung": 1,
                                "why": "psi", "limits": []}
    profile = device["profile"]
    assert profile["runtimes"] == [{"name": "llamacpp", "api": "openai",
                                    "state": "absent", "why": "no file"}]
    assert profile["bench"] == {"memory_bytes_per_s": 9000000000}
    assert profile["power"] == {"mains": False, "battery_pct": 40}

    rows = flotilla("device", "list").splitlines()
    assert [r.split()[0] for r in rows] == ["NAME"] + ["gw-1"] * 2 + [
        "gw-2"] * 2
    only = flotilla("device", "list", "--model", "help")
    assert "help@1.0.0" in only and "tiny@1.0.0" not in only
    assert flotilla("device", "list", "-o", "name").split() == ["gw-1", "gw-2"]
    shown = flotilla("device", "get", "gw-1", "--profile")
    for text in ("rung 1, because of psi", "battery: 40 %", "llamacpp",
                 "vulkan", "temperature: 48.0", "8.4 GiB"):
        assert text in shown, shown
    assert len(controller.ask("GET", "/v1/devices?model=help").json[
        "items"]) == 2
    assert controller.ask("GET", "/v1/devices?model=other").json["items"] == []
    assert [r["name"] for r in controller.ask(
        "GET", "/v1/releases?model=help").json["items"]] == ["help@1.0.0"]


def test_a_rollback_of_one_model_leaves_the_other_alone(controller, fleet):
    devices, digests = fleet
    before = {d.name: orders(told(d, {"tiny": "deploy", "help": "deploy"}))
              for d in devices}
    answer = controller.ask("POST", "/v1/orders", {
        "op": "rollback", "release": "help@1.0.0", "everywhere": True,
        "confirm": "help@1.0.0", "yank": True, "reason": "bad"})
    assert answer.status == 202, answer.body
    for device in devices:
        desired = told(device, {"tiny": "deploy", "help": "rollback"})
        assert orders(desired)["tiny"]["seq"] == \
            before[device.name]["tiny"]["seq"]
        device.client.publish(device.topic("ack"), json.dumps({
            "v": 1, "order": answer.json["id"], "outcome": "refused",
            "error": {"id": "cmd.target_revoked", "what": "no other"}}))
    until("both answered", lambda: controller.ask(
        "GET", "/v1/orders/" + answer.json["id"]).json["failed"] == 2)


def test_a_model_is_removed_and_stays_away(controller, fleet, flotilla):
    devices, digests = fleet
    plan = flotilla("model", "remove", "help", "--everywhere", "--dry-run")
    assert "2 devices lose help" in plan and "help@1.0.0" in plan
    bad = controller.ask("POST", "/v1/orders", {
        "op": "remove", "model": "help", "everywhere": True,
        "confirm": "tiny"})
    assert bad.status == 422, bad.body
    flotilla("model", "remove", "hepl", "--everywhere", "--confirm", "hepl",
             code=10)
    out = flotilla("model", "remove", "help", "--everywhere", "--confirm",
                   "help")
    order = out.split()[1]
    first, second = devices
    revs = {}
    for device in devices:
        desired = told(device, {"tiny": "deploy", "help": "remove"})
        revs[device] = desired["rev"]
        assert orders(desired)["help"]["args"] == {"model": "help",
                                                   "keep": "none"}
    # One answers; of the other the answer is lost, and its report says it.
    first.client.publish(first.topic("ack"), json.dumps({
        "v": 1, "order": order, "outcome": "done"}))
    second.report(revs[second], [
        model("tiny", digests["tiny"]),
        {"model": "help", "state": "removed"}])
    for device in devices:
        assert told(device, {"tiny": "deploy"}, revs[device])
    until("the order is done", lambda: controller.ask(
        "GET", "/v1/orders/" + order).json["state"] == "done")
    assert {d["name"] for d in controller.ask(
        "GET", "/v1/devices?model=tiny").json["items"]} == {"gw-1", "gw-2"}
