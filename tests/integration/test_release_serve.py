"""A release says how it is served, and devices obey: a release of the same
model with another way to serve is staged without a download, and taken back."""
import json
import os

import pytest

from conftest import MODELS
from waits import until

MODEL = os.path.join(MODELS, "tiny-v2.Q4_0.gguf")
GOLDEN = os.path.join(MODELS, "golden-tiny-v2.json")
QUESTION = "Classify: 23:45 oven-95 voltage drop temp=35C"


@pytest.fixture(scope="module")
def gw(fleet):
    fleet.up(["gw"])
    return fleet.devices["gw"]


def create(fleet, release, *serve):
    words = [word for one in serve for word in ("--serve", one)]
    fleet.program("flotilla", "release", "create", release, "--model-file",
                  MODEL, "--golden", GOLDEN, "--sign-with", fleet.key,
                  "--publish", "--delta-from", "none", *words)


def answer(gw, **fields):
    """The number of prompt and answer tokens, and the release."""
    body = {"model": "tiny", "messages": [
        {"role": "user", "content": QUESTION}], "ignore_eos": True, **fields}
    status, text = gw.post("/v1/chat/completions", body)
    assert status == 200, text
    said = json.loads(text)
    return (said["usage"]["prompt_tokens"], said["usage"]["completion_tokens"],
            said["model"])


def current(fleet, gw):
    said = json.loads(fleet.program("flotilla-agent", "status", "--config",
                                    gw.config, "-o", "json")[1])
    return said["models"][0]["slots"]["current"]


def test_a_release_of_the_same_model_serves_it_in_another_way(fleet, gw):
    create(fleet, "tiny@1")
    fleet.roll("tiny@1")
    plain, _, _ = answer(gw, max_tokens=4, temperature=0)
    create(fleet, "tiny@2", "system=Answer in one word.", "max_tokens=3",
           "temperature_ppm=0", "context=512", "sessions=1")
    fleet.roll("tiny@2")
    prompt, tokens, release = answer(gw)
    assert release == "tiny@2" and tokens == 3 and prompt > plain
    assert answer(gw, max_tokens=5)[1] == 5
    assert answer(gw, messages=[
        {"role": "system", "content": ""},
        {"role": "user", "content": QUESTION}], max_tokens=4)[0] < prompt
    serve = current(fleet, gw)["serve"]
    assert serve["context"] == 512 and serve["sampling"]["max_tokens"] == 3
    assert serve["system"] == "Answer in one word."
    story = fleet.ask("device", "get", "gw", "--timeline")
    staged = [event for event in story if event.get("state") == "staged"
              and event["execution"].startswith("r-0002")]
    assert staged[0]["detail"].get("bytes", 0) < 100000, staged


def test_a_rollback_takes_it_back(fleet, gw):
    fleet.cli("rollout", "rollback", "--release", "tiny@2", "--everywhere",
              "--reason", "too brief", "--confirm", "tiny@2")
    until("the former release", lambda: answer(gw, max_tokens=4)[2] == "tiny@1")
    assert answer(gw, max_tokens=8)[1] == 8


def test_the_owner_bounds_it(fleet, gw):
    gw.write_config("release_defaults: false\ncontext: 256\n")
    gw.stop()
    gw.start()
    create(fleet, "tiny@3", "system=Answer in one word.", "max_tokens=3",
           "context=100000")
    fleet.roll("tiny@3")
    plain, tokens, release = answer(gw, max_tokens=8)
    assert release == "tiny@3" and tokens == 8
    status, text = gw.post("/v1/chat/completions", {
        "model": "tiny", "messages": [
            {"role": "user", "content": QUESTION * 20}]})
    assert status == 400 and b"256" in text, text
