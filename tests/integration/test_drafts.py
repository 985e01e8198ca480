"""A draft on its way to a device: a release that has one serves with it, the
next one without, a rollback brings it back.  A draft that is damaged, foreign or
gone changes the reason that the status tells, and nothing else."""
import json
import os
import signal
import subprocess

import pytest

import fleet as F
import sets
from conftest import MODELS
from waits import HANG_S, until

MODEL = os.path.join(MODELS, "tiny-v2.Q4_0.gguf")
DRAFT = os.path.join(MODELS, "tiny-v1.Q4_0.gguf")  # has the same vocabulary
FOREIGN = os.path.join(MODELS, "lfm2.Q8_0.gguf")
QUESTION = "Classify: 23:45 oven-95 voltage drop temp=35C"


@pytest.fixture(scope="module")
def gw(fleet):
    fleet.up(["gw"])
    fleet.plain = fleet.program(
        "flotilla-engine", "run", "--model", MODEL, "--prompt", QUESTION,
        "--n", "24")[1].strip()
    return fleet.devices["gw"]


def publish(fleet, release, *draft):
    return fleet.publish_whole(release, "tiny-v2.Q4_0.gguf",
                               "golden-tiny-v2.json", *draft)


def draft_of(fleet, gw):
    """The draft in the status; None: there is none."""
    said = json.loads(fleet.program("flotilla-agent", "status", "--config",
                                    gw.config, "-o", "json")[1])
    return F.model_status(said, "tiny").get("draft")


def answers(fleet, gw, release):
    text, by, _ = gw.ask(QUESTION, "tiny", 24)
    return (text, by) == (fleet.plain, release)


def blob_of(gw, made):
    [file] = [file for file in made["document"]["files"] if file["role"] == "draft"]
    return os.path.join(gw.state, "blobs", file["digest"].replace(":", "-"))


def serves(fleet, gw, release):
    """After a start."""
    def does():
        try:
            return answers(fleet, gw, release)
        except OSError:
            return False
    until(release + " serves", does)


def test_a_release_with_a_draft_serves_with_it(fleet, gw):
    gw.drafted = publish(fleet, "tiny@1", "--draft", DRAFT)
    fleet.roll("tiny@1")
    assert os.path.getsize(blob_of(gw, gw.drafted)) == os.path.getsize(DRAFT)
    assert draft_of(fleet, gw)["kind"] == "model"
    assert answers(fleet, gw, "tiny@1")
    draft = draft_of(fleet, gw)
    assert draft["bytes"] > 0 and draft["guessed"] >= draft["guessed_right"]
    assert draft["tokens_per_step"] >= 1
    [shown] = json.loads(gw.get("/v1/models")[1])["data"]
    assert shown["draft"]["kind"] == "model"
    said = fleet.program("flotilla-agent", "status", "--config", gw.config)[1]
    assert "draft model, " in said and " tokens a step" in said, said
    metrics = gw.get("/metrics")[1].decode()
    assert "flotilla_model_tokens_guessed_total{model=\"tiny\"}" in metrics


def test_the_next_release_serves_without_one(fleet, gw):
    publish(fleet, "tiny@2")
    fleet.roll("tiny@2")
    assert answers(fleet, gw, "tiny@2")
    assert draft_of(fleet, gw) is None
    assert os.path.exists(blob_of(gw, gw.drafted))  # of the previous release


def test_a_rollback_brings_the_draft_back(fleet, gw):
    fleet.cli("rollout", "rollback", "--release", "tiny@2", "--to", "tiny@1",
              "--everywhere", "--confirm", "tiny@2", "--wait")
    assert answers(fleet, gw, "tiny@1")
    assert draft_of(fleet, gw)["kind"] == "model"


def test_a_damaged_draft_and_a_lost_one_change_the_reason_alone(fleet, gw):
    blob = blob_of(gw, gw.drafted)
    gw.stop()
    os.chmod(blob, 0o600)
    with open(blob, "r+b") as file:
        file.seek(-1, os.SEEK_END)
        last = file.read(1)
        file.seek(-1, os.SEEK_END)
        file.write(bytes([last[0] ^ 1]))
    gw.start()
    serves(fleet, gw, "tiny@1")
    assert "the bytes on disk hash to" in draft_of(fleet, gw)["why"]
    assert not os.path.exists(blob)  # set aside
    gw.stop(signal.SIGKILL)
    gw.start()
    serves(fleet, gw, "tiny@1")
    assert "not here" in draft_of(fleet, gw)["why"]


def test_a_foreign_draft_fails_no_release(fleet, gw):
    table = os.path.join(fleet.dir, "broken.table")
    with open(table, "wb") as file:
        file.write(b"FLODRAFT" + bytes(100))
    for release, draft in (("tiny@3", table), ("tiny@4", FOREIGN)):
        publish(fleet, release, "--draft", draft)
        fleet.roll(release)
        assert answers(fleet, gw, release)
        assert draft_of(fleet, gw)["why"], release
    assert "its draft is left out" in open(gw.log, encoding="utf-8").read()


def test_a_table_of_the_models_own_answers_serves_with_it(fleet, gw):
    table = os.path.join(fleet.dir, "own.table")
    golden = fleet.few("golden-tiny-v2.json")
    fleet.program("flotilla-model", "draft", MODEL, golden, "--to", table)
    with open(golden, encoding="utf-8") as file:
        prompt = json.load(file)["cases"][0]["prompt"]
    # The engine compares it with the model, and the cases are played.
    fleet.cli("release", "create", "tiny@5", "--model-file", MODEL, "--golden",
              golden, "--draft", table, "--sign-with", fleet.key, "--delta-from",
              "none", "--publish")
    fleet.roll("tiny@5")
    assert draft_of(fleet, gw)["kind"] == "table"

    # Whether guesses pay is up to the machine; the answer is not.
    assert gw.ask(prompt, "tiny")[0] == "severity: critical"
    draft = draft_of(fleet, gw)
    assert draft["guessed"] >= draft["guessed_right"]


# ---- without a fleet ----

@pytest.fixture
def serve(fleet, gw, tmp_path):
    started = []

    def begin(*words):
        api = str(tmp_path / "api")
        process = subprocess.Popen(
            [fleet.path("flotilla-agent"), "serve", "--model", MODEL, "--listen",
             "unix:" + api, "--no-pack", *words], stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True)
        started.append(process)
        return process, api
    yield begin
    for process in started:
        process.kill()
        process.communicate(timeout=HANG_S)


def shown(process, api):
    """The draft in the list of models, once the model is served."""
    for line in process.stdout:
        if line.startswith("serving "):
            break
    connection = F.UnixConnection(api, HANG_S)
    connection.request("GET", "/v1/models")
    [model] = json.loads(connection.getresponse().read())["data"]
    connection.close()
    return model["draft"]


def test_serve_takes_a_draft(serve):
    assert shown(*serve("--draft", DRAFT))["kind"] == "model"


def test_serve_goes_on_without_a_draft_that_is_foreign(serve):
    assert shown(*serve("--draft", FOREIGN))["why"]


def test_serve_refuses_a_draft_that_is_not_there_or_for_several_models(serve):
    process, _ = serve("--draft", "/nowhere")
    assert process.wait(HANG_S) == 3
    assert "draft /nowhere" in process.stderr.read()
    process, _ = serve("--draft", DRAFT, "--model", "b=" + DRAFT)
    assert process.wait(HANG_S) != 0
    assert "error[not.built]" in process.stderr.read()


def test_after_its_engine_ended_a_release_serves_without_its_draft(fleet, gw):
    assert draft_of(fleet, gw)["kind"] == "table"
    sets.kill(gw.children("flotilla-engine"))
    until("the reason", lambda: "ended" in (draft_of(fleet, gw) or {}).get("why", ""))
    serves(fleet, gw, "tiny@5")
