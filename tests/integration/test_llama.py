"""llama.cpp's library in the engine's process (flotilla-engine-llama).  The
sandbox, API, probe, update and rollback are those of our own kernels.

Builds have the program where FLOTILLA_LLAMA names the library
(tests/lanes/llama.sh); without it the stories are skipped by name."""
import json
import os
import struct
import subprocess

import pytest

import fleet as F
import unknown_model
from conftest import BIN, MODELS, Small
from waits import until

QUESTION = "Classify: 23:45 oven-95 voltage drop temp=35C"
pytestmark = pytest.mark.skipif(
    not os.path.exists(os.path.join(BIN, "flotilla-engine-llama")),
    reason="flotilla-engine-llama is not built: tests/lanes/llama.sh")


@pytest.fixture
def unknown(tmp_path):
    """A model of an architecture that only the library knows."""
    path = str(tmp_path / "dream.gguf")
    unknown_model.write(os.path.join(MODELS, "tiny-v2.Q4_0.gguf"), path)
    return path


@pytest.fixture
def fleet_of(tmp_path, bin_dir):
    made = []

    def make(**configs):
        """A fleet; devices by name, with their configurations."""
        fleet = Small(os.path.join(str(tmp_path), "f"), bin_dir, name="test")
        made.append(fleet)
        fleet.up([])
        for name, config in configs.items():
            device = fleet.devices[name] = F.Device(fleet, name)
            device.enroll(fleet.token)
            device.write_config("sandbox: required\n" + config)
            device.start()
        fleet.online(list(configs))
        return fleet
    yield make
    for one in made:
        one.close()


def says(device, model, prompt=QUESTION, tokens=16):
    text, release, _ = device.ask(prompt, model, max_tokens=tokens)
    return text, release


def answered(client, release):
    until("an answer of %s" % release,
          lambda: any(span[3] == release for span in list(client.spans)),
          lambda: client.failed[-3:])


def fails(fleet, release, name):
    """The id of the error with which the device gave the release up."""
    started = fleet.ask("rollout", "start", release, "--phase", "100%",
                        "--soak", "500ms")
    fleet.cli("rollout", "wait", started["id"], "--for", "halted", "-q")
    return fleet.rollout_device(started["id"], name)["error"]["id"]


def test_a_forced_library_takes_a_release_stops_a_bad_one_and_goes_back(fleet_of):
    fleet = fleet_of(gw="backend: llama\naccept_inexact: true\n")
    device = fleet.devices["gw"]
    fleet.publish("tiny@1", "tiny-v2.Q4_0.gguf")
    fleet.roll("tiny@1")
    assert says(device, "tiny") == ("severity: critical", "tiny@1")
    client = F.Streamer(device, "tiny", [QUESTION], max_tokens=16)
    client.start()
    answered(client, "tiny@1")

    fleet.publish("tiny@2", "tiny-v3-bad-noise.Q4_0.gguf")
    assert fails(fleet, "tiny@2", "gw") == "probe.golden"
    assert says(device, "tiny") == ("severity: critical", "tiny@1")

    fleet.publish("tiny@3", "tiny-v2.1.Q4_0.gguf", "golden-tiny-v2.1.json")
    fleet.roll("tiny@3")
    assert says(device, "tiny") == ("severity: P1", "tiny@3")
    answered(client, "tiny@3")
    fleet.cli("rollout", "rollback", "--release", "tiny@3", "--everywhere",
              "--confirm", "tiny@3")
    until("taken back", lambda: says(device, "tiny") ==
          ("severity: critical", "tiny@1"))
    client.stop()
    assert not client.failed, client.failed[:3]


def damaged(path, to, tensor=b"output_norm.weight"):
    """A copy of a GGUF whose last norm is finite and too large: no logit is
    finite, and only who computes one sees it."""
    with open(path, "rb") as file:
        data = bytearray(file.read())
    at = data.index(tensor) + len(tensor)
    dims = struct.unpack_from("<I", data, at)[0]
    offset = struct.unpack_from("<Q", data, at + 4 + 8 * dims + 4)[0]
    listed = subprocess.run(
        [os.path.join(BIN, "flotilla-engine"), "inspect", "--json", path],
        capture_output=True, text=True, check=True).stdout
    begin = json.loads(listed)["data_offset"]
    struct.pack_into("<f", data, begin + offset, 3e38)
    with open(to, "wb") as file:
        file.write(data)
    return to


def create(fleet, release, model):
    """The model has random weights: its probe only asks that it answers."""
    golden = os.path.join(fleet.dir, "golden.json")
    with open(golden, "w", encoding="utf-8") as file:
        json.dump({"format": "flotilla-golden-2", "cases": [
            {"id": "answers", "prompt": "hello", "max_new_tokens": 8,
             "expect": [{"lacks": "nobody says this"}]}]}, file)
    fleet.ask("release", "create", release, "--model-file", model,
              "--sign-with", fleet.key, "--publish", "--delta-from", "none",
              "--golden", golden, "--skip-play")


def test_an_unknown_architecture_is_served_and_a_damaged_one_is_not(
        fleet_of, tmp_path, unknown):
    fleet = fleet_of(gw="")
    device = fleet.devices["gw"]
    create(fleet, "dream@1", unknown)
    fleet.roll("dream@1")
    # Such models see all their text at once, so words are not compared.
    assert says(device, "dream", "hello")[1] == "dream@1"
    client = F.Streamer(device, "dream", ["hello"], max_tokens=8)
    client.start()
    answered(client, "dream@1")

    create(fleet, "dream@2", damaged(unknown, str(tmp_path / "bad.gguf")))
    assert fails(fleet, "dream@2", "gw") == "probe.nonfinite"
    assert says(device, "dream", "hello")[1] == "dream@1"
    client.stop()
    assert not client.failed, client.failed[:3]


def head(path, arch):
    """A GGUF of that architecture without a tensor: llama.cpp loads it not."""
    def text(value):
        return struct.pack("<Q", len(value)) + value.encode()
    pairs = [text("general.architecture") + struct.pack("<I", 8) + text(arch),
             text("tokenizer.ggml.tokens") + struct.pack("<IIQ", 9, 8, 2) +
             text("a") + text("b")]
    pairs += [text("%s.%s" % (arch, key)) + struct.pack("<II", 4, value)
              for key, value in (
                  ("embedding_length", 64), ("block_count", 2),
                  ("attention.head_count", 4), ("context_length", 64),
                  ("feed_forward_length", 64))]
    with open(path, "wb") as file:
        file.write(b"GGUF" + struct.pack("<IQQ", 3, 0, len(pairs)) +
                   b"".join(pairs))


@pytest.mark.parametrize("words", [
    ("embed", "a"), ("rerank", "a", "b"),
    ("generate", "--tokens", "1"),
    ("golden", "create", "golden.json")])
def test_consent_opens_a_model_that_is_computed_wrongly(tmp_path, words):
    path = str(tmp_path / "mellum.gguf")
    head(path, "mellum")
    for consent in ((), ("--accept-inexact",)):
        done = subprocess.run(
            [os.path.join(BIN, "flotilla-model-llama"), *words, "--model",
             path, "--backend", "llama", *consent], input="a", capture_output=True, text=True,
            check=False, cwd=tmp_path)
        assert "error[model.backend]" in done.stderr, done
        assert ("computes this mellum wrongly" in done.stderr) == \
            (not consent), done


def test_a_device_without_the_library_refuses_before_the_download(fleet_of, unknown):
    fleet = fleet_of(gw="backend: native\n")
    create(fleet, "dream@1", unknown)
    assert fails(fleet, "dream@1", "gw") == "target.incompatible"
