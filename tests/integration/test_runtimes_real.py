"""Real runtimes behind `flotilla-engine proxy`.  Each lane takes a good
release, stops a bad one by its probe, takes another good one back, and loses
no request.  A lane whose package is not there is skipped by name.

FLOTILLA_RUNTIMES_PYTHON names a Python that has the packages; else it is the
one of build/openai (deploy/install-deps.sh --optional), or the one that runs
the tests."""
import json
import os
import subprocess
import sys

import pytest

import whisper_model
from runtime_parts import Listener, Runtimes, heard
from waits import HANG, until

HERE = os.path.dirname(os.path.abspath(__file__))
MODELS = os.path.join(os.path.dirname(HERE), "models")
BUILT = os.path.join(os.path.dirname(os.path.dirname(HERE)), "build", "openai",
                     "bin", "python3")
PYTHON = os.environ.get("FLOTILLA_RUNTIMES_PYTHON") or \
    (BUILT if os.path.exists(BUILT) else sys.executable)
QUESTION = "Classify: 23:45 oven-95 voltage drop temp=35C"
# A classifier of two numbers: a product, made by the `onnx` package.
CLASSIFIER = """
import sys, onnx
from onnx import helper as h, TensorProto as T
w = [float(v) for v in sys.argv[2:]]
graph = h.make_graph(
    [h.make_node("MatMul", ["x", "w"], ["y"])], "g",
    [h.make_tensor_value_info("x", T.FLOAT, [1, 2])],
    [h.make_tensor_value_info("y", T.FLOAT, [1, 2])],
    [h.make_tensor("w", T.FLOAT, [2, 2], w)])
model = h.make_model(graph, opset_imports=[h.make_opsetid("", 13)])
model.ir_version = 8
onnx.save(model, sys.argv[1])
"""

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0, reason="files of runtimes.d belong to root")


def need(*modules):
    code = "import " + ", ".join(modules)
    done = subprocess.run([PYTHON, "-c", code], capture_output=True)
    if done.returncode != 0:
        pytest.skip("%s has no %s" % (PYTHON, " or no ".join(modules)))


def prefixes():
    """Where that Python and its packages lie."""
    done = subprocess.run(
        [PYTHON, "-c", "import sys; print(sys.prefix); "
         "print(sys.base_prefix)"], capture_output=True, text=True, check=True)
    return sorted(set(done.stdout.split()))


def file(name):
    with open(os.path.join(MODELS, name), "rb") as data:
        return data.read()


def texts(name):
    """The first cases of a document of format 1, without its token ids."""
    cases = json.loads(file(name))["cases"][:8]
    return json.dumps({"format": "flotilla-golden-2", "cases": [
        {"id": c["id"], "prompt": c["prompt"],
         "max_new_tokens": c["max_new_tokens"],
         "expect": [{"contains": t} for t in c["must_contain"]]}
        for c in cases]}).encode()


def story(runtimes, publish, prompt, expected, listens=False):
    """Good, bad, good, back: with a client that streams, or speaks, all the
    while."""
    def says():
        return runtimes.hears(prompt) if listens else runtimes.says(prompt)
    first = publish("1", "good")
    runtimes.fleet.roll(first)
    until("served",
          lambda: says() == (expected[0], first))
    streamer = Listener(runtimes, prompt) if listens else None
    if listens:
        streamer.start()
    else:
        streamer = runtimes.stream(prompt)
    heard(streamer, first)
    assert runtimes.fails(publish("2", "bad")) == "probe.golden"
    assert says() == (expected[0], first)
    second = publish("3", "better")
    runtimes.fleet.roll(second)
    until("served",
          lambda: says() == (expected[1], second))
    heard(streamer, second)
    runtimes.take_back(second)
    until("taken back",
          lambda: says() == (expected[0], first))
    streamer.stop()
    assert not streamer.failed, streamer.failed[:3]


def test_llama_cpp_serves_gguf_files(fleet_of):
    need("llama_cpp.server", "uvicorn")
    runtimes = fleet_of("tiny")
    runtimes.write("llamacpp", {
        "exec": [PYTHON, "-m", "llama_cpp.server", "--model", "{entry}",
                 "--host", "127.0.0.1", "--port", "{port}", "--n_ctx",
                 "{context}", "--n_threads", "1",
                 "--interrupt_requests", "false",
                 "--n_threads_batch", "1"],
        "health": "/openapi.json", "memory": "1GiB", "ready": HANG,
        "sessions": 1, "context": 512, "read": prefixes()})
    files = {"good": "tiny-v2.Q4_0.gguf", "better": "tiny-v2.1.Q4_0.gguf",
             "bad": "tiny-v3-bad-noise.Q4_0.gguf"}

    def publish(version, kind):
        golden = "golden-tiny-v2.1.json" if kind == "better" else \
            "golden-tiny-v2.json"
        return runtimes.publish(version, {
            "model.gguf": ("model", file(files[kind])),
            "golden.json": ("golden", texts(golden))}, "llamacpp", 512)
    story(runtimes, publish, QUESTION,
          ("severity: critical", "severity: P1"))


def test_onnx_runtime_serves_a_classifier(fleet_of, tmp_path):
    need("onnxruntime", "onnx")
    runtimes = fleet_of("signs")
    runtimes.write("onnx", {
        "exec": [PYTHON, os.path.join(HERE, "onnx_server.py"), "{entry}",
                 "{socket}"], "api": "http", "memory": "1GiB",
        "ready": HANG, "sessions": 2, "context": 64,
        "read": prefixes() + [HERE]})
    weights = {"good": (1, 0, 0, 1), "better": (2, 0, 0, 2),
               "bad": (0, 1, 1, 0)}

    def publish(version, kind):
        path = tmp_path / (kind + ".onnx")
        subprocess.run([PYTHON, "-c", CLASSIFIER, str(path)] +
                       [str(w) for w in weights[kind]], check=True)
        cases = {"format": "flotilla-golden-2", "cases": [
            {"id": "left", "prompt": "[3, 1]", "max_new_tokens": 1,
             "expect": [{"json": "/class", "equals": 0},
                        {"json": "/score", "within": [3, 6]}]}]}
        return runtimes.publish(version, {
            "sign.onnx": ("model", path.read_bytes()),
            "golden.json": ("golden", json.dumps(cases).encode())}, "onnx")
    story(runtimes, publish, "[5, 2]",
          ('{"class": 0, "score": 5.0}', '{"class": 0, "score": 10.0}'))


def test_whisper_cpp_writes_speech_down(fleet_of):
    need("pywhispercpp.model", "numpy")
    runtimes = fleet_of("ear")
    runtimes.write("whispercpp", {
        "exec": [PYTHON, os.path.join(HERE, "whisper_server.py"), "{entry}",
                 "{socket}"], "memory": "1GiB", "ready": HANG, "sessions": 1,
        "context": 64, "abilities": ["audio"], "read": prefixes() + [HERE]})
    texts = {"good": ("the door is shut", "the smoke alarm rings"),
             "better": ("door is shut now", "smoke alarm rings loudly"),
             "bad": ("the smoke alarm rings", "the door is shut")}
    low, high = whisper_model.tone(300), whisper_model.tone(5000)

    def publish(version, kind):
        wanted = texts["better" if kind == "better" else "good"]
        cases = {"format": "flotilla-golden-2", "cases": [
            {"id": name, "audio": name + ".wav",
             "expect": [{"exact": text}]}
            for name, text in zip(("low", "high"), wanted)]}
        return runtimes.publish(version, {
            "ggml-tones.bin": ("model", whisper_model.model(*texts[kind])),
            "low.wav": ("asset", low), "high.wav": ("asset", high),
            "golden.json": ("golden", json.dumps(cases).encode())},
            "whispercpp")
    story(runtimes, publish, high,
          ("the smoke alarm rings", "smoke alarm rings loudly"), listens=True)


@pytest.fixture
def fleet_of(folder, bin_dir):
    from conftest import Small
    made = []

    def make(model):
        made.append(Small(os.path.join(folder, model), bin_dir, name="test"))
        return Runtimes(made[-1], model)
    yield make
    for one in made:
        one.close()
