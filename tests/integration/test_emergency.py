"""Emergency orders on real devices: a release that must be downloaded first, a
controller that dies between commit and publishing, a floor that a bundle may
not pass.  Each test has a fleet of its own."""
import json
import os
import shutil
import signal

import pytest

import fleet as F
from bad_parts import expect, rest, serves
from conftest import MODELS, ROOT, Small
from waits import HANG_S, same, until, wall_s

FILES = {1: ("tiny-v2.Q4_0.gguf", "golden-tiny-v2.json"),
         2: ("tiny-v2.1.Q4_0.gguf", "golden-tiny-v2.1.json"),
         3: ("tiny-v1.Q4_0.gguf", "golden-tiny-v1.json")}
PLUG = os.environ.get("FLOTILLA_PLUG", os.path.join(
    ROOT, "build", "release", "tests", "libplug.so"))
LINGER = ("--broker-linger", "60s")
ASKED_AGAIN_S = 10  # after this time the controller asks for an answer
WORD = "pull-the-plug-now"


@pytest.fixture
def up(tmp_path_factory, bin_dir):
    one = Small(str(tmp_path_factory.mktemp("e")), bin_dir, name="test")
    one.up(["a"], *LINGER)
    one.admin = open(one.admin_token).read().strip()
    for number, (file, golden) in FILES.items():
        one.publish_whole("tiny@%d" % number, file, golden)
    yield one
    one.close()


def status(device):
    return json.loads(device.fleet.program(
        "flotilla-agent", "status", "--config", device.config, "-o",
        "json")[1])


def slots(device):
    return {slot: one and one["version"]
            for slot, one in F.model_status(status(device))["slots"].items()}


def has_model(fleet, device, release):
    """The device keeps the file."""
    document = fleet.ask("release", "get", release)["document"]
    digest = next(file["digest"] for file in document["files"]
                  if file["role"] == "model")
    return os.path.exists(os.path.join(device.state, "blobs",
                                       digest.replace(":", "-")))


# ---- to a release that nobody keeps ----

def test_a_device_downloads_the_release_that_the_order_names(up):
    for number in 1, 2, 3:
        up.roll("tiny@%d" % number)
    a = up.devices["a"]
    until("a has left tiny@1 behind", lambda: same(slots(a), {
        "current": "3", "previous": "2", "candidate": None}))
    b = up.add_device("b", up.token)
    until("b serves its first release",
          lambda: slots(b)["current"] == "3" and up.serving("tiny@3"))
    assert not has_model(up, b, "tiny@1")
    order = ("rollout", "rollback", "--release", "tiny@3", "--to", "tiny@1",
             "--everywhere")

    def planned():  # from what the devices report
        plan = up.ask(*order, "--dry-run")
        return plan["go_back"], plan["download"], plan["cannot"]
    until("the plan for both", lambda: same(planned(), (2, 2, 0)))
    assert up.serving("tiny@3")
    up.cli(*order, "--confirm", "tiny@3", "--wait")

    for device in a, b:
        serves(device, "tiny@1")
        until("it is the current one", lambda one=device: same(
            slots(one)["current"], "1"))
        assert has_model(up, device, "tiny@1")
    assert up.ask("release", "get", "tiny@3")["state"] == "yanked"


def configured(fleet, device, config):
    device.stop()
    device.write_config(config)
    device.start()
    fleet.online([device.name])


def test_a_device_that_is_still_downloading_refuses_nothing(up):
    for number in 1, 2, 3:
        up.roll("tiny@%d" % number)
    b = up.add_device("b", up.token)
    until("b serves its first release",
          lambda: slots(b)["current"] == "3" and up.serving("tiny@3"))
    configured(up, b, "download_rate: 1kB\n")  # half an hour
    order = up.ask("rollout", "rollback", "--release", "tiny@3", "--to", "tiny@1",
                   "--everywhere", "--confirm", "tiny@3")["id"]
    until("b downloads", lambda: same(
        F.model_status(status(b))["execution"]["state"], "downloading"))
    asks_s = wall_s() + ASKED_AGAIN_S
    until("it is time to ask for the answer", lambda: wall_s() > asks_s)
    up.controller.terminate()
    up.controller.wait()
    up.start_controller(*LINGER)  # it asks for each answer that is missing
    up.online(["b"])
    configured(up, b, "")
    up.cli("order", "wait", order)
    serves(b, "tiny@1")


# ---- a kill between commit and publishing ----

def restart_with_plug(fleet):
    """The controller dies right after the commit that holds WORD."""
    library = os.path.join(fleet.dir, "libplug.so")
    shutil.copy(PLUG, library)  # LD_PRELOAD knows no paths with blanks
    fleet.controller.terminate()
    fleet.controller.wait()
    plain = fleet.env
    fleet.env = dict(plain, LD_PRELOAD=library,
                     FLO_PLUG="control.db-wal " + WORD)
    fleet.start_controller(*LINGER)
    fleet.env = plain
    fleet.online(["a"])


def cut(fleet, path, body):
    """Nobody is answered, nothing is published: the controller is dead."""
    with pytest.raises(OSError):
        rest(fleet, "POST", path, dict(body, reason=WORD))
    assert fleet.controller.wait(HANG_S) == -signal.SIGKILL


def test_an_abort_that_was_committed_is_published_at_the_next_start(up):
    a = up.devices["a"]
    up.roll("tiny@1")
    restart_with_plug(up)
    rollout = rest(up, "POST", "/v1/rollouts", {
        "release": "tiny@2", "phases": [{"name": "all", "share_pct": 100}],
        "policy": {"start_jitter_ms": 30 * 86400000}})[1]["id"]

    def state():
        return up.rollout_device(rollout, "a")["state"]

    until("it waits for its start", lambda: state() == "accepted")

    cut(up, "/v1/rollouts/%s/actions" % rollout, {"action": "abort"})
    assert F.model_status(status(a))["execution"]["state"] == "accepted"
    up.start_controller(*LINGER)

    until("its end", lambda: state() == "cancelled")
    until("the end of the rollout", lambda: up.ask(
        "rollout", "get", rollout)["state"] == "aborted")
    until("tiny@1 is alone", lambda: same(slots(a), {
        "current": "1", "previous": None, "candidate": None}))
    serves(a, "tiny@1")


def test_a_rollback_that_was_committed_is_published_at_the_next_start(up):
    a = up.devices["a"]
    for number in 1, 2:
        up.roll("tiny@%d" % number)
    restart_with_plug(up)

    cut(up, "/v1/orders", {"op": "rollback", "release": "tiny@2",
                           "everywhere": True, "confirm": "tiny@2"})
    assert slots(a)["current"] == "2"
    up.start_controller(*LINGER)

    serves(a, "tiny@1")
    order = next(one["id"] for one in up.ask("order", "list")
                 if one["op"] == "rollback")
    up.cli("order", "wait", order)
    assert up.ask("release", "get", "tiny@2")["state"] == "yanked"


# ---- a bundle below the floor ----

def test_a_bundle_below_the_floor_is_refused_and_changes_nothing(up):
    a = up.devices["a"]
    old = os.path.join(up.dir, "tiny1.tar")
    up.cli("bundle", "create", "tiny@1", "--to", old)
    for number in 2, 3:
        up.roll("tiny@%d" % number)
    before = slots(a)
    assert before["current"] == "3"

    expect(up.program("flotilla-agent", "update", "--bundle", old, "--config",
                      a.config, check=False), 10, "target.floor")

    assert slots(a) == before
    until("the files it brought are gone",
          lambda: not has_model(up, a, "tiny@1"))
    serves(a, "tiny@3")


def test_a_lower_version_made_later_has_the_higher_number(up):
    """Creation says so, and so does the refusal of the higher version."""
    up.roll("tiny@3")
    file, golden = FILES[2]
    _, _, said = up.cli(
        "release", "create", "tiny@2.5", "--model-file",
        os.path.join(MODELS, file), "--golden", up.few(golden),
        "--sign-with", up.key, "--skip-play", "--publish", "--delta-from",
        "none")
    assert "2.5 has number 4, above 3 (number 3)" in said, said
    assert "order of making" in said, said
    up.roll("tiny@2.5")
    plan = up.cli("rollout", "start", "tiny@1", "--phase", "100%",
                  "--dry-run", check=False)
    assert "one that was made later ran here" in plan[1] + plan[2], plan
