"""A folder from Hugging Face becomes a release, and a device answers with it."""
import json
import os

import sets
from folder_parts import FOLDER, fleet  # noqa: F401 (a fixture)
from waits import until


def create(fleet, title, folder, *more, check=True):
    return fleet.cli("release", "create", title, "--model-file", folder, "--sign-with",
                     fleet.key, "--publish", *more, check=check)


def test_a_folder_reaches_a_device_that_answers(fleet):
    _, said, _ = create(fleet, "lfm@1", FOLDER, "--type", "q8_0")
    assert "published lfm@1" in said, said
    assert sets.names(fleet.env["TMPDIR"]) == []
    fleet.roll("lfm@1")
    device = fleet.devices["gw"]

    def answer():
        return device.ask("What should I do about smoke?", "lfm", max_tokens=12)
    first = answer()
    assert first[1] == "lfm@1" and first[0], first
    assert answer()[:2] == first[:2]
    assert "lfm2" in fleet.cli("release", "get", "lfm@1", "-o", "json")[1]


def test_the_sampling_that_a_folder_recommends_is_the_releases(fleet, tmp_path):
    folder = str(tmp_path / "warm")
    sets.copy(FOLDER, folder)
    with open(os.path.join(folder, "generation_config.json"), "w",
              encoding="utf-8") as out:
        json.dump({"temperature": 0.3, "top_k": 50, "min_p": 0.15}, out)
    _, said, _ = create(fleet, "lfm@1", folder, "--type", "q8_0", "-o", "json")
    assert json.loads(said), said  # what the import says is not a part of it
    made = json.loads(fleet.cli("release", "get", "lfm@1", "-o", "json")[1])
    assert made["document"]["serve"]["sampling"] == {
        "temperature_ppm": 300000, "top_k": 50, "min_p_ppm": 150000}


def test_a_folder_that_is_no_model_leaves_nothing(fleet, tmp_path):
    broken = str(tmp_path / "broken")
    sets.copy(FOLDER, broken)
    os.remove(os.path.join(broken, "model.safetensors"))
    code, _, err = create(fleet, "lfm@1", broken, check=False)
    assert code != 0 and "error[model.folder]" in err, err
    code, _, err = create(fleet, "lfm@1", os.path.join(FOLDER, "config.json"), "--type", "q8_0",
                          check=False)
    assert code == 2 and "--type is for a folder" in err, err
    assert sets.names(fleet.env["TMPDIR"]) == []
    until("no release", lambda: "lfm@1" not in fleet.cli("release", "list")[1])
