"""Figures of a model whose types were chosen: signed, and shown before a rollout."""
import json
import re

import sets
from folder_parts import FOLDER, fleet  # noqa: F401 (a fixture)
from test_compare import FLOATS, V1
from test_fit import short_text


def create(fleet, title, model, *more, check=True):
    return fleet.cli("release", "create", title, "--model-file", model, "--sign-with",
                     fleet.key, "--golden", V1, "--publish", *more, check=check)


def test_chosen_figures_are_signed_and_shown_before_a_rollout(fleet, tmp_path):
    _, said, _ = create(fleet, "tiny@1", FLOATS, "--fit", "2MB", "--suite", V1,
                        "--calibrate", short_text(tmp_path))
    assert "Q4_K_M" in said and "published tiny@1" in said, said
    assert sets.names(fleet.env["TMPDIR"]) == []
    shown = fleet.cli("release", "get", "tiny@1")[1]
    quality = re.search(
        r"^quality +(types for a size: (\d+) bytes of 6068032, KL 0\.\d{4} nats per token, "
        r"16 of 16 answers right \(original 16\))$", shown, re.M)
    assert quality and 1900000 < int(quality.group(2)) <= 2000000, shown
    plan = fleet.cli("rollout", "start", "tiny@1", "--dry-run")[1]
    assert "  quality    " + quality.group(1) in plan, plan
    fleet.roll("tiny@1")
    # the same command finds the release, and a program reads only JSON
    _, said, _ = create(fleet, "tiny@1", FLOATS, "--fit", "2MB", "--suite", V1,
                        "--calibrate", short_text(tmp_path), "-o", "json")
    assert json.loads(said)["version"] == "1", said


def test_what_cannot_be_chosen_leaves_nothing(fleet):
    for code, text, model, words in (
            (2, "error[cli.usage]", FLOATS, ["--type", "q4_0"]),
            (2, "--suite and --page need --fit", FLOATS, ["--suite", V1]),
            (2, "--suite and --page need --fit", FLOATS, ["--page", "page.html"]),
            (7, "--fit allows 900000", FLOATS, ["--fit", "900kB"]),
            (7, "no model was made of it", FOLDER, ["--fit", "1kB"]),
            (7, "no model was made of it", FLOATS, ["--calibrate", "builtin"])):
        got, _, err = create(fleet, "tiny@1", model, *words, check=False)
        assert got == code and text in err, (words, got, err)
        assert sets.names(fleet.env["TMPDIR"]) == []
    assert "tiny@1" not in fleet.cli("release", "list")[1]


def test_a_folder_is_calibrated_in_its_type(fleet):
    create(fleet, "lfm@1", FOLDER, "--type", "q8_0", "--calibrate", "builtin", "--skip-play")
    shown = fleet.cli("release", "get", "lfm@1")[1]
    assert re.search(r"^quality +Q8_0: \d+ bytes of \d+$", shown, re.M), shown
