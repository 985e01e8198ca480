"""Models compared on one suite: what is right, how far apart, what failed."""
import html.parser
import json
import os
import shutil
import signal
import struct
import subprocess

import pytest

import sets
import waits
from bad_files import Gguf
from test_local_api import ROOT

MODELS = os.path.join(ROOT, "tests", "models")
V1 = os.path.join(MODELS, "golden-tiny-v1.json")
V2 = os.path.join(MODELS, "golden-tiny-v2.json")
OPS = os.path.join(MODELS, "ops-eval.jsonl")
FLOATS = os.path.join(MODELS, "tiny-v1.F16.gguf")
UPDATE = os.path.join(MODELS, "tiny-v2.Q4_0.gguf")
BAD = os.path.join(MODELS, "README.md")
TINY = os.path.join(ROOT, "tests", "oracle", "tiny", "%s.gguf")
OTHER = TINY % "smollm2-S-q4_1"  # of another vocabulary
ENCODER = os.path.join(ROOT, "tests", "oracle", "encoders", "embeddinggemma.f32.gguf")


@pytest.fixture(scope="module", name="model")
def model_of(bin_dir):
    return os.path.join(bin_dir, "flotilla-model")


@pytest.fixture(name="work")
def work_of(tmp_path):
    """An empty folder."""
    folder = tmp_path / "work"
    folder.mkdir()
    return str(folder)


def run(model, *words, code=0, **options):
    """The finished command, whose exit code is `code`."""
    done = subprocess.run([model, "compare", *words], capture_output=True,
                          text=True, check=False, **options)
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    return done


def rows(model, *words, code=0, **options):
    done = run(model, *words, "--json", code=code, **options)
    report = json.loads(done.stdout)
    assert report["format"] == "flotilla-compare-1"
    return report["models"]


def more_error(model, folder):
    """How many times further off weights are in Q4_0 than in Q8_0. Their share of a
    result's error is as many times larger, and the codes of inputs have the rest in
    both: so no error of a result is more times larger."""
    q8, q4 = (json.loads(subprocess.run(
        [model, "quantize", FLOATS, os.path.join(folder, kind), kind, "--json"],
        check=True, capture_output=True, text=True).stdout)["rms_relative"]
        for kind in ("q8_0", "q4_0"))
    return q4 / q8


@pytest.fixture(scope="module", name="copies")
def copies_of(model):
    """A model and its copies in Q8_0 and Q4_0, with errors by layer."""
    return rows(model, V1, FLOATS, "--types", "q8_0,q4_0", "--layers")


def test_a_copy_in_each_type_is_judged_and_leaves_no_file(model, work, tmp_path):
    env = dict(os.environ, TMPDIR=work)
    floats, large, small = rows(model, V1, FLOATS, "--types", "q8_0,q4_0", env=env)
    assert [one["quantized_to"] for one in (floats, large, small)] == [
        None, "Q8_0", "Q4_0"]
    assert [one["exact"] for one in (floats, large, small)] == [16, 16, 16]
    assert floats["kl_mean"] == 0 < large["kl_mean"] < small["kl_mean"]
    # A divergence grows with the square of an error.
    assert small["kl_mean"] <= more_error(model, tmp_path) ** 2 * large["kl_mean"]
    assert floats["bytes"] == os.path.getsize(FLOATS)
    assert floats["bytes"] > large["bytes"] > small["bytes"]
    own = os.path.join(work, "own.gguf")
    subprocess.run([model, "quantize", FLOATS, own, "q4_0"], check=True,
                   capture_output=True)
    assert small["bytes"] == os.path.getsize(own)
    os.remove(own)
    assert sets.names(work) == []


def test_results_are_those_of_eval(model):
    first, second, other = rows(model, V2, FLOATS, UPDATE, OTHER)
    report = json.loads(subprocess.run(
        [model, "eval", V2, "--model", UPDATE, "--against", FLOATS, "--json"],
        check=True, capture_output=True, text=True).stdout)
    assert first["exact"] == report["against"]["exact"] == 16
    assert second["exact"] == report["model"]["exact"] == 26
    assert second["positions"] == report["comparison"]["positions"]
    # one mean by two sums, with nine decimals
    assert abs(second["kl_mean"] - report["comparison"]["kl_mean"]) < 1.5e-9
    assert other["kl_mean"] is None and other["exact"] == 0


def test_models_whose_tokens_of_a_prompt_differ_have_no_distance(model, work):
    suite = os.path.join(work, "one.jsonl")
    with open(suite, "w", encoding="utf-8") as file:
        file.write('{"prompt":"Is the pump ok?","answer":"yes"}')
    first, second, third = rows(
        model, suite, TINY % "falcon_h1-q8_0", TINY % "hunyuan-q8_0",
        TINY % "falcon_h1-q8_0", "-n", "4")
    assert first["kl_mean"] == third["kl_mean"] == 0 < third["positions"]
    assert second["kl_mean"] is None and second["positions"] == 0


def test_a_model_that_does_not_open_is_a_row_and_the_exit_code(model):
    done = run(model, V2, UPDATE, BAD, "none.gguf", UPDATE, "--json", code=7)
    table = json.loads(done.stdout)["models"]
    assert [one["error"] and one["error"]["id"] for one in table] == [
        None, "gguf.magic", "absent", None]
    assert table[3]["exact"] == 26 and table[3]["kl_mean"] == 0
    assert "error[gguf.magic]: 2 of 4 models without results" in done.stderr
    assert rows(model, V2, BAD, UPDATE, code=7)[1]["kl_mean"] is None


class Page(html.parser.HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.values, self.data = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.values += [value for _, value in attrs]

    def handle_data(self, data):
        self.data.append(data)


def test_a_page_shows_names_as_text_and_needs_no_other_file(model, work):
    name = "<img src=x>&amp;.gguf"
    shutil.copy(UPDATE, os.path.join(work, name))
    path = os.path.join(work, "page.html")
    run(model, V2, FLOATS, os.path.join(work, name), "--page", path)
    with open(path, encoding="utf-8") as file:
        page = Page(file.read())
    assert name in page.data and "26/26" in page.data
    assert page.tags.count("svg") == 2 and page.tags.count("circle") == 4
    assert not {"img", "script", "link", "iframe", "a"} & set(page.tags)
    assert not [one for one in page.values if one and ":" in one]


def damaged(path, to, tensor):
    """A copy of a model in F16, without the numbers of one matrix."""
    model = Gguf(path)
    at = model.tensors[tensor]
    columns, rows = struct.unpack_from("<2Q", model.data, at["shape"])
    kind, offset = struct.unpack_from("<IQ", model.data, at["type"])
    assert kind == 1
    begin = model.head + -model.head % 32 + offset
    with open(to, "wb") as file:
        file.write(model.put(begin, bytes(2 * columns * rows)))
    return to


def test_the_error_jumps_at_the_layer_that_is_damaged(model, work, copies):
    """A matrix without numbers is worse than one of few bits."""
    for layer, tensor in ((1, "blk.1.attn_output.weight"), (3, "blk.3.ffn_down.weight")):
        bad = damaged(FLOATS, os.path.join(work, "bad.gguf"), tensor)
        first, second = rows(model, V1, FLOATS, bad, "--layers")
        assert first["layers"] is None
        layers = second["layers"]
        assert layers["from"] == 0 and layers["tokens"] == total_tokens(model)
        assert layers["embedding"] == 0
        assert layers["errors"][:layer] == [0] * layer
        assert layers["errors"][layer] > copies[2]["layers"]["errors"][layer]
        assert layers["jump"] == {"layer": layer, "by": layers["errors"][layer]}


def total_tokens(model):
    """The number of tokens of all prompts."""
    report = json.loads(subprocess.run(
        [model, "eval", V1, "--model", FLOATS, "--json"], check=True,
        capture_output=True, text=True).stdout)
    return report["model"]["tokens_in"]


def test_errors_by_layer_grow_with_fewer_bits_and_change_no_other_result(
        model, copies, tmp_path):
    plain, (floats, large, small) = rows(model, V1, FLOATS, "--types", "q8_0,q4_0"), copies
    times = more_error(model, tmp_path)
    assert floats["layers"] is None
    for one, other in zip(large["layers"]["errors"], small["layers"]["errors"]):
        assert 0 < one < other <= times * one
    for before, after in zip(plain, (floats, large, small)):
        assert before["layers"] is None
        assert [before[key] for key in ("exact", "kl_mean", "positions")] == [
            after[key] for key in ("exact", "kl_mean", "positions")]


def test_a_copy_is_measured_from_its_own_candidate(model, work):
    suite = os.path.join(work, "one.jsonl")
    with open(suite, "w", encoding="utf-8") as file:
        file.write('{"prompt":"Is the pump ok? %s","answer":"yes"}' % ("So it is. " * 12))
    table = rows(model, suite, FLOATS, TINY % "llama32-S-f32", "--types", "q8_0",
                 "-n", "2", "--layers")
    assert [one["layers"] and one["layers"]["from"] for one in table] == [
        None, 0, None, 2]
    assert all(one["layers"]["tokens"] > 32 for one in table if one["layers"])


def test_a_page_has_a_picture_of_the_layers_of_each_copy(model, work):
    path = os.path.join(work, "page.html")
    text = run(model, V1, FLOATS, "--types", "q8_0,q4_0", "--layers", "--page", path).stdout
    with open(path, encoding="utf-8") as file:
        page = Page(file.read())
    assert page.tags.count("svg") == 4 and page.tags.count("rect") == 12
    assert "tiny-v1.F16.gguf Q4_0, from 1" in "".join(page.data)
    assert page.values.count("jump") == 4
    assert "\nembedding " in text and "\njump " in text


def test_errors_by_layer_that_cannot_be_measured_are_refused_at_once(model):
    done = run(model, V1, FLOATS, ENCODER, "--layers", code=2)
    assert "error[not.built]: --layers: " + ENCODER in done.stderr
    assert "errors by layer of an encoder (gemma-embedding)" in done.stderr
    assert "leave out --layers" in done.stderr


def test_command_lines_and_suites_that_are_wrong_are_refused(model, work):
    empty = os.path.join(work, "empty.jsonl")
    with open(empty, "w", encoding="utf-8"):
        pass
    for code, text, words in (
            (2, "9 candidates, at most 8", [V2] + [UPDATE] * 9),
            (2, "one candidate alone needs --types", [V2, UPDATE]),
            (2, "--types: type 'q9' is not known", [V2, FLOATS, "--types", "q8_0,q9"]),
            (2, "no candidate is in F16", [V2, UPDATE, "--types", "q8_0"]),
            (2, "models and their copies are 40, at most 32",
             [V2] + [FLOATS] * 8 + ["--types", "q8_0,q4_0,q4_1,q6_k"]),
            (2, "would be written over", [V2, UPDATE, FLOATS, "--page", UPDATE]),
            (7, "the suite has no case", [empty, UPDATE, FLOATS])):
        assert text in run(model, *words, code=code).stderr, words


def test_an_interrupted_comparison_leaves_no_file(model, work):
    env = dict(os.environ, TMPDIR=work)
    page, suite = os.path.join(work, "page.html"), work + ".jsonl"
    with open(OPS, encoding="utf-8") as file:
        text = file.read()
    with open(suite, "w", encoding="utf-8") as file:
        file.write(text * 500)  # more work than any machine ends meanwhile
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        last = [] if number == signal.SIGKILL else ["--page", page]
        one = subprocess.Popen(
            [model, "compare", suite, FLOATS, "--types", "q8_0", *last], env=env,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        waits.until("a copy", lambda: any(
            at.startswith(work) and at.endswith("(deleted)")
            for at in sets.descriptors(one.pid).values()))
        one.send_signal(number)
        assert one.wait() == -number
        assert sets.names(work) == [], number
