"""A model quantised for a text, for a size and for a loss."""
import json
import math
import os
import subprocess

import pytest

from test_compare import FLOATS, MODELS, OPS, TINY, UPDATE, V1, Page


@pytest.fixture(scope="module", name="model")
def model_of(bin_dir):
    return os.path.join(bin_dir, "flotilla-model")


def run(model, *words, code=0):
    """The finished `quantize`, whose exit code is `code`."""
    done = subprocess.run([model, "quantize", *words], capture_output=True,
                          text=True, check=False)
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    return done


def report(model, *words):
    return json.loads(run(model, *words, "--json").stdout)


def short_text(folder):
    """The path of some kilobytes of what the model was made for."""
    path = str(folder / "text")
    with open(OPS, encoding="utf-8") as file:
        words = file.read()[:6000]
    with open(path, "w", encoding="utf-8") as file:
        file.write(words)
    return path


def bytes_of(path):
    with open(path, "rb") as file:
        return file.read()


def test_a_text_weighs_errors_and_threads_change_no_byte(model, tmp_path):
    plain, one, two = (str(tmp_path / name) for name in ("plain", "one", "two"))
    before = report(model, FLOATS, plain, "iq4_nl")
    after = report(model, FLOATS, one, "iq4_nl", "--calibrate", OPS,
                   "--threads", "1")
    run(model, FLOATS, two, "iq4_nl", "--calibrate", OPS, "--threads", "2")
    assert "calibration" not in before
    assert after["calibration"]["text"] == OPS
    assert after["calibration"]["tokens"] > 5000
    assert after["tensor_bytes"] == before["tensor_bytes"]
    # the plain error grows, for the weighed one shrinks
    assert after["rms_relative"] > before["rms_relative"]
    assert after["calibration"]["rms_weighed"] < before["rms_relative"]
    assert bytes_of(one) == bytes_of(two) != bytes_of(plain)


def test_the_built_in_text_needs_no_file(model, tmp_path):
    done = run(model, FLOATS, str(tmp_path / "out"), "q4_k_m",
               "--calibrate", "builtin")
    assert "tokens of the built-in text; weighed error" in done.stdout


def test_calibrations_that_cannot_be_are_refused(model, tmp_path):
    out, short = str(tmp_path / "out"), str(tmp_path / "short")
    with open(short, "w", encoding="utf-8") as file:
        file.write("a")
    for code, text, words in (
            (2, "--pin-grid keeps the old ones",
             [FLOATS, "q4_0", "--calibrate", OPS, "--pin-grid", UPDATE]),
            (2, "the text has 1 tokens, a chunk needs 2",
             [FLOATS, "q4_0", "--calibrate", short]),
            (3, "none.txt", [FLOATS, "q4_0", "--calibrate", "none.txt"]),
            (2, "a model that writes no text",
             [os.path.join(MODELS, "bert.Q8_0.gguf"), "q4_0", "--calibrate", "builtin"])):
        done = run(model, words[0], out, *words[1:], code=code)
        assert text in done.stderr, words
        assert not os.path.exists(out)


def test_a_size_is_kept_and_the_sensitive_tensors_get_the_bytes(model, tmp_path):
    out, other = str(tmp_path / "out.gguf"), str(tmp_path / "other.gguf")
    page, text = str(tmp_path / "page.html"), short_text(tmp_path)
    words = ("--fit", "1.9MB", "--calibrate", text, "--suite", V1)
    one = report(model, FLOATS, out, *words, "--page", page, "--threads", "1")
    two = report(model, FLOATS, other, *words, "--threads", "2")
    assert 1850000 < os.path.getsize(out) <= 1900000
    assert one["groups"] == two["groups"] and bytes_of(out) == bytes_of(other)
    types = {group["name"]: group["types"] for group in one["groups"]}
    costs = {group["name"]: group["kl_of_four_bits"] for group in one["groups"]}
    assert costs["attn_v, first layers"] > costs["attn_v, last layers"]
    assert 0 < one["kl_mean"] < sum(costs.values())  # that of four bits everywhere
    assert len(set(map(str, types.values()))) > 3
    done = run(model, FLOATS, out, "--fit", "900kB", "--calibrate", text, code=2)
    assert "bytes, --fit allows 900000" in done.stderr
    assert bytes_of(out) == bytes_of(other)
    # next to the original and to copies with 8 and 4 bits
    table = one["table"]["models"]
    assert [row["quantized_to"] for row in table] == [None, "Q8_0", "Q4_K_M", None]
    assert table[3]["name"] == "out.gguf"
    assert table[3]["bytes"] == os.path.getsize(out)
    assert [row["exact"] for row in table] == [16] * 4
    assert table[0]["kl_mean"] == 0 < table[1]["kl_mean"] < table[3]["kl_mean"]
    with open(page, encoding="utf-8") as file:
        shown = Page(file.read())
    assert "out.gguf" in shown.data and shown.tags.count("circle") == 8


def test_a_loss_is_kept_and_wrong_answers_fail_the_gate(model, tmp_path):
    out, suite = str(tmp_path / "out.gguf"), str(tmp_path / "suite.json")
    text, sizes = short_text(tmp_path), []
    for percent in ("0.2%", "60%"):
        one = report(model, FLOATS, out, "--loss", percent, "--calibrate", text)
        allowed = math.log1p(float(percent[:-1]) / 100)
        assert 0 < one["kl_mean"] <= allowed
        table = one["table"]["models"]
        assert table[0]["exact"] is None  # prompts of the text
        # A loss was taken for bytes: more than that of 8 bits.
        assert table[3]["kl_mean"] > table[1]["kl_mean"]
        assert table[3]["bytes"] == os.path.getsize(out) < table[1]["bytes"]
        sizes.append(os.path.getsize(out))
    # So much loss is allowed that each tensor has the smallest type.
    assert sizes[0] > sizes[1]
    assert {kind for group in one["groups"] for kind in group["types"]} == {"Q2_K"}
    # the case of sixteen that so small a file gets wrong, alone
    judged = json.loads(subprocess.run(
        [model, "eval", V1, "--model", out, "--json"], check=True,
        capture_output=True, text=True).stdout)
    with open(V1, encoding="utf-8") as file:
        golden = json.load(file)
    golden["cases"] = [golden["cases"][judged["failed"][0] - 1]]
    with open(suite, "w", encoding="utf-8") as file:
        json.dump(golden, file)
    done = run(model, FLOATS, out, "--loss", "60%", "--calibrate", text,
               "--suite", suite, code=7)
    assert "error[model.gate]" in done.stderr
    assert "has 0 of 1 answers right, the original 1; share of them lost: 1.0" in done.stderr
    assert os.path.exists(out) and "0/1" in done.stdout


def test_experts_and_short_convolutions_of_a_rounded_model_can_be_chosen_for(
        model, tmp_path):
    """The taps of a convolution stay floats, as the engine reads them."""
    out, source = str(tmp_path / "out.gguf"), TINY % "granite4-h-moe-q8_0"
    one = report(model, source, out, "--fit", "440kB", "--calibrate",
                 short_text(tmp_path))
    assert os.path.getsize(out) <= 440000 < os.path.getsize(source)
    assert "ffn_up_exps, first layers" in [group["name"] for group in one["groups"]]
    assert [row["error"] for row in one["table"]["models"]] == [None, None]
    run(model, source, out, "f16")
    subprocess.run([model, "perplexity", "--model", out, "--text", V1], check=True,
                   capture_output=True)


def test_sizes_and_losses_that_are_none_are_refused(model, tmp_path):
    out = str(tmp_path / "out")
    for text, words in (
            ("one of a type, --fit and --loss is needed", []),
            ("one of a type, --fit and --loss is needed", ["q4_0", "--fit", "1MB"]),
            ("one of a type, --fit and --loss is needed",
             ["--fit", "1MB", "--loss", "1%"]),
            ("--suite and --page are about", ["q4_0", "--suite", V1]),
            ("--fit is 'small', not a size", ["--fit", "small"]),
            ("--fit is '0x10', not a size", ["--fit", "0x10"]),
            ("--fit is '-1MB', not a size", ["--fit", "-1MB"]),
            ("--fit is '1MiBs', not a size", ["--fit", "1MiBs"]),
            ("--loss is '1', not a share", ["--loss", "1"]),
            ("--loss is '200%', not a share", ["--loss", "200%"]),
            ("--loss is 'nan%', not a share", ["--loss", "nan%"])):
        assert text in run(model, FLOATS, out, *words, code=2).stderr, words
        assert not os.path.exists(out)
