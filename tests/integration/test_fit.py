"""A model quantised for a text, for a size and for a loss."""
import json
import os
import subprocess

import pytest

from test_compare import FLOATS, MODELS, OPS, UPDATE


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
