"""Two models on real devices: rolled out, one of them taken back, then taken
away, while the other serves on."""
import pytest

from conftest import Small
from waits import until

NAMES = ["a", "b"]


@pytest.fixture(scope="module")
def up(folder, bin_dir):
    one = Small(folder, bin_dir, name="test")
    one.up(NAMES)
    for model in ("tiny", "help"):
        one.publish_whole(model + "@1", "tiny-v1.Q4_0.gguf",
                          "golden-tiny-v1.json")
    one.publish_whole("help@2", "tiny-v2.Q4_0.gguf", "golden-tiny-v2.json")
    yield one
    one.close()


def models(up, name):
    """{model: (what serves, its state)} as the controller shows it."""
    return {m["model"]: ((m["serving"] or {}).get("version"), m["state"])
            for m in up.ask("device", "get", name)["models"]
            if m["state"] != "removed"}


def all_have(up, wanted):
    until("all have %s" % wanted, lambda: all(
        models(up, name) == wanted for name in NAMES))


def assignment(up, name, model):
    """Number of the order that assigns the release."""
    found = [m for m in up.ask("device", "get", name)["models"]
             if m["model"] == model]
    return found[0]["target"]["by"]


def answers(up, device, model):
    return device.ask("status", model, max_tokens=4)


def test_a_device_serves_two_models_by_two_rollouts(up):
    up.roll("tiny@1")
    up.roll("help@1")
    all_have(up, {"tiny": ("1", "ready"), "help": ("1", "ready")})
    for device in up.devices.values():
        for model in ("tiny", "help"):
            assert answers(up, device, model)


def test_a_rollback_of_one_model_leaves_the_other_alone(up):
    up.roll("help@2", compares_speed=True)
    all_have(up, {"tiny": ("1", "ready"), "help": ("2", "ready")})
    before = {name: assignment(up, name, "tiny") for name in NAMES}
    order = up.ask("rollout", "rollback", "--release", "help@2",
                   "--everywhere", "--confirm", "help@2", "--wait")
    assert order["done"] == 2 and order["failed"] == 0
    all_have(up, {"tiny": ("1", "ready"), "help": ("1", "ready")})
    assert before == {name: assignment(up, name, "tiny") for name in NAMES}
    assert {r["release"]: r["state"] for r in up.ask("rollout", "list")}[
        "tiny@1"] == "completed"


def test_a_model_is_taken_away_and_the_other_serves_on(up):
    plan = up.ask("model", "remove", "help", "--everywhere", "--dry-run")
    assert plan["devices"] == 2 and plan["targets"][0]["to"] == "help@1"
    order = up.ask("model", "remove", "help", "--everywhere", "--confirm",
                   "help", "--wait")
    assert order["done"] == 2, order
    all_have(up, {"tiny": ("1", "ready")})
    assert [d["name"] for d in up.ask("device", "list", "--model", "help")
            ] == []
    for device in up.devices.values():
        assert answers(up, device, "tiny")
    # A later rollout brings it again; the floor has stayed.
    up.roll("help@1", "--below-floor")
    all_have(up, {"tiny": ("1", "ready"), "help": ("1", "ready")})
