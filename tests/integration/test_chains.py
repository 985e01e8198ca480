"""A device that is two versions behind: the deltas that were published for
others bring it to the newest one."""
import os
import re

import pytest

from conftest import MODELS, Small
from waits import Seen, until

V1, V2, V3 = ("tiny-%s.Q4_0.gguf" % v for v in ("v1", "v2", "v2.1"))


@pytest.fixture(scope="module")
def fleet(folder, bin_dir):
    one = Small(folder, bin_dir, name="test")
    one.up(["far", "near"])
    yield one
    one.close()


def document(fleet, title):
    return fleet.ask("release", "get", title)["document"]


def log(fleet, device):
    return "\n".join(fleet.ask("device", "logs", device)["lines"])


def test_a_device_far_behind_takes_what_was_made_for_others(fleet):
    fleet.publish("tiny@1", V1, "golden-tiny-v1.json", "--delta-from", "none")
    fleet.roll("tiny@1")
    fleet.publish("tiny@2", V2, "golden-tiny-v2.json", "--delta-from", "1")
    # From version 2 alone; those who have the first one go by its step.
    fleet.publish("tiny@3", V3, "golden-tiny-v2.1.json", "--delta-from", "2")
    files = document(fleet, "tiny@3")["files"]
    steps = [file for file in files if file["role"] == "step"]
    assert len(steps) == 1 and steps[0]["name"].startswith("steps/"), files
    assert [way["codec"] for way in steps[0]["get"]] == ["tensor1"]
    for variant in document(fleet, "tiny@3")["variants"]:
        assert steps[0]["name"] not in variant["files"], variant
    last = [way for way in files[0]["get"] if way["codec"] == "tensor1"]
    bytes_ = steps[0]["get"][0]["bytes"] + last[0]["bytes"]

    def planned():  # from what the devices report
        plan = fleet.ask("rollout", "start", "tiny@3", "--dry-run", "--phase",
                         "100%")
        plan = plan.get("plan", plan)
        return bytes_ <= plan["bytes"] / 2 < bytes_ + 100000 or Seen(plan)
    until("the plan", planned)
    done = fleet.roll("tiny@3")
    assert bytes_ <= done["transfer"]["bytes"] / 2 < bytes_ + 100000, done
    for name in ("far", "near"):
        assert fleet.devices[name].ask("hello", "tiny", max_tokens=4)[
            1].startswith("tiny@3")


def test_the_same_command_again_finds_the_release(fleet):
    code, _, err = fleet.cli(
        "release", "create", "tiny@3", "--model-file",
        os.path.join(MODELS, V3), "--golden",
        fleet.few("golden-tiny-v2.1.json"), "--sign-with", fleet.key,
        "--skip-play", "--delta-from", "2", check=False)
    assert code == 0 and "is there already" in err, err


def test_a_bundle_has_the_whole_file_and_no_step(fleet, folder):
    path = os.path.join(folder, "tiny-3.flb")
    fleet.cli("bundle", "create", "tiny@3", "--to", path)
    assert os.path.getsize(path) < 1734464 + 200000


def test_what_lay_between_is_not_kept(fleet):
    between = document(fleet, "tiny@2")["files"][0]["digest"]
    path = os.path.join(fleet.devices["far"].state, "blobs",
                        between.replace(":", "-"))
    fleet.publish("tiny@4", V2, "golden-tiny-v2.json", "--delta-from", "3")
    fleet.publish("tiny@5", V3, "golden-tiny-v2.1.json", "--delta-from", "none")
    fleet.roll("tiny@5")
    until("it is collected", lambda: not os.path.exists(path))
    assert re.search(r"accepted tensor1 \d+ of", log(fleet, "far"))
