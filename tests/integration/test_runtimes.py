"""Releases for a runtime of the device: rolled out, probed, flipped to, taken
back, as those for our own engine.  The runtime is fake_runtime.py."""
import json
import os
import re
import signal
import subprocess
import sys

import pytest

import fleet as F
import sets
import whisper_model
from controller_parts import BIN
from runtime_parts import Runtimes, heard, processes
from waits import HANG, until

FAKE = os.path.join(os.path.dirname(os.path.abspath(__file__)),
                    "fake_runtime.py")
QUESTION = "Classify: voltage drop"

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0, reason="files of runtimes.d belong to root")


@pytest.fixture(scope="module")
def runtimes(fleet):
    one = Runtimes(fleet, config="pipelines: {intercom: [ear, desk]}\n")
    fake(one)
    return one


def fake(runtimes, fault="", abilities=("cancel", "audio")):
    runtimes.write("fake", {
        "exec": [sys.executable, FAKE, "--tree", "{tree}", "--entry",
                 "model.json", "--socket", "{socket}", "--fault", fault],
        "memory": "256MiB", "ready": HANG, "stop": "500ms", "sessions": 4,
        "context": 64, "abilities": list(abilities),
        "read": [os.path.dirname(FAKE), sys.prefix]})


def publish(runtimes, version, answer, golden=None, runtime="fake", more=()):
    """A release that answers so, and `more` to other questions; its golden case
    wants `golden`."""
    cases = {"format": "flotilla-golden-2", "cases": [
        {"id": "classify", "prompt": QUESTION, "max_new_tokens": 16,
         "expect": [{"exact": golden or answer}]}]}
    table = {"answers": {QUESTION: answer, **dict(more)}}
    return runtimes.publish(version, {
        "model.json": ("model", json.dumps(table).encode()),
        "golden.json": ("golden", json.dumps(cases).encode())}, runtime)


def test_a_release_for_a_runtime_is_rolled_out_and_served(runtimes):
    runtimes.fleet.roll(publish(runtimes, "1", "severity: low"))
    assert runtimes.says(QUESTION) == ("severity: low", "desk@1")


def test_a_bad_release_is_stopped_by_its_probe(runtimes):
    streamer = runtimes.stream(QUESTION)
    release = publish(runtimes, "2", "?", golden="severity: low")
    assert runtimes.fails(release) == "probe.golden"
    until("answers meanwhile", lambda: len(streamer.spans) > 2)
    streamer.stop()
    assert not streamer.failed
    assert runtimes.says(QUESTION) == ("severity: low", "desk@1")


def test_a_good_one_is_flipped_to_and_taken_back_without_a_lost_request(
        runtimes):
    streamer = runtimes.stream(QUESTION)
    heard(streamer, "desk@1")
    runtimes.fleet.roll(publish(runtimes, "3", "severity: high"))
    until("desk@3",
          lambda: runtimes.says(QUESTION) == ("severity: high", "desk@3"))
    heard(streamer, "desk@3")
    runtimes.take_back("desk@3")
    until("desk@1 again",
          lambda: runtimes.says(QUESTION) == ("severity: low", "desk@1"))
    streamer.stop()
    assert not streamer.failed


@pytest.mark.parametrize("fault, error", [
    ("refuse", "runtime.start"), ("die", "runtime.crash"),
    ("lies", "runtime.answer"), ("garbage", "runtime.answer")])
def test_a_runtimes_fault_is_told_and_denies_no_release(runtimes, fault,
                                                        error):
    release = publish(runtimes, "4." + fault, "severity: " + fault)
    fake(runtimes, fault)
    got = runtimes.gives_up(release)
    assert got["id"] == error or \
        (fault == "die" and got["id"] == "runtime.answer")
    assert "3 probes, the last one" in got["what"]
    fake(runtimes)
    assert runtimes.says(QUESTION) == ("severity: low", "desk@1")
    device = runtimes.device.get("/v1/models")[1]
    assert b"desk" in device


def test_a_release_that_failed_so_can_be_rolled_out_when_it_is_mended(
        runtimes):
    runtimes.fleet.roll("desk@4.refuse")
    assert runtimes.says(QUESTION) == ("severity: refuse", "desk@4.refuse")


def test_a_runtime_that_the_device_does_not_have_is_incompatible(runtimes):
    assert runtimes.fails(publish(runtimes, "5", "a", runtime="npu")) == \
        "target.incompatible"


def test_speech_goes_through_a_pipeline_of_two_models(runtimes):
    wav = whisper_model.tone(300, 0.1)
    status, error, _ = runtimes.post_speech(wav, "intercom")
    assert status == 404 and error["error"]["code"] == "infer.model"
    assert "stage 1 of intercom" in error["error"]["message"]
    runtimes.model = "ear"  # it hears what the other one is asked
    heard = "%d bytes in ?" % len(wav)
    golden = json.dumps({"format": "flotilla-golden-2", "cases": [
        {"id": "heard", "audio": "a.wav", "expect": [{"exact": QUESTION}]}]})
    runtimes.fleet.roll(runtimes.publish("1", {
        "model.json": ("model", json.dumps(
            {"answers": {heard: QUESTION}}).encode()),
        "a.wav": ("asset", wav), "golden.json": ("golden", golden.encode())},
        "fake"))
    runtimes.model = "desk"
    until("heard", lambda: runtimes.post_speech(
        wav, "ear")[1] == {"text": QUESTION})
    assert runtimes.hears(wav, "intercom") == ("severity: refuse",
                                               "desk@4.refuse")
    status, error, _ = runtimes.post_speech(
        whisper_model.tone(300, 0.2), "intercom", prompt="\U0001f642" * 3)
    assert status == 200 and error == {"text": "?"}  # nobody knows that one
    status, error, _ = runtimes.post_speech(b"RIFF", "intercom")
    assert status == 400 and error["error"]["param"] == "file"
    assert runtimes.post_speech(wav, "chain")[0] == 404
    models = json.loads(runtimes.device.get("/v1/models")[1])["data"]
    assert [m["pipeline"] for m in models if m["id"] == "intercom"] == \
        [["ear", "desk"]]


def walls(pid):
    return dict(re.findall(r"^(\w+):\s+(\w+)$", sets.text("/proc/%d/status" % pid), re.M))


def parser_of(guard):
    """The guard starts the runtime; its fork reads what it answers."""
    parser, = (pid for pid in sets.processes(guard, "flotilla-engine", "proxy")
               if walls(pid)["Seccomp"] == "2")
    return parser


def test_what_reads_the_answers_has_no_rights(runtimes):
    until("served", lambda: runtimes.says(QUESTION))
    guards = sets.processes(runtimes.device.process.pid, holds="proxy")
    assert guards
    for parser in map(parser_of, guards):
        found = walls(parser)
        assert found["NoNewPrivs"] == "1", found
        assert {int(found[name], 16) for name in ("CapEff", "CapPrm", "CapInh", "CapAmb")} == {0}
        own = {number: one for number, one in sets.descriptors(parser).items() if number > 2}
        assert own and all(one.startswith("socket:") for one in own.values()), own


def test_a_parser_that_is_killed_takes_its_runtime_with_it(runtimes):
    guard = sets.processes(runtimes.device.process.pid, holds="proxy")[0]
    parser = parser_of(guard)
    below = sets.children(guard)
    sets.kill([parser])
    until("none of them is left", lambda: not set(sets.processes()) & {guard, *below})
    until("served again", lambda: served(runtimes))


def test_an_agent_that_is_killed_leaves_no_runtime(runtimes):
    def pids():
        return processes(runtimes.device.state)
    assert pids()
    runtimes.device.stop(9)
    until("no runtime is left", lambda: not pids())
    runtimes.device.start()
    until("served again", lambda: served(runtimes))


@pytest.mark.parametrize("next_one", [
    ("flotilla-agent", "--check-config", "--config"), ("flotilla", "--version")])
def test_a_folder_whose_runtime_was_killed_goes_at_the_next_start(
        runtimes, next_one):
    """All processes of the device die in one moment, as in a full cgroup."""
    until("served", lambda: served(runtimes))
    killed = [runtimes.device.process.pid]
    for pid in killed:
        os.kill(pid, signal.SIGSTOP)  # none of them sees another one's end
        killed += sets.children(pid)
    owned = "/tmp/flotilla-scratch-%d/%%d.*" % os.geteuid()

    def left():
        return [path for pid in killed for path in sets.fitting(owned % pid)]
    assert left()
    sets.kill(killed)
    runtimes.device.process.wait()
    # From now on any program of this user may be the next that starts.
    until("all are dead", lambda: not processes(runtimes.device.state))
    program, *words = next_one
    subprocess.run([os.path.join(BIN, program), *words] + (
        [runtimes.device.config] if words[-1] == "--config" else []), check=False)
    assert not left()
    runtimes.device.start()
    until("served again", lambda: served(runtimes))


def served(runtimes):
    try:
        return runtimes.says(QUESTION)[1] == "desk@4.refuse"
    except (OSError, F.Failed):
        return False


def test_an_answer_without_its_form_is_asked_for_once_more(runtimes):
    fake(runtimes, "form:3", ["json", "schema"])
    low = '{"severity": "low"}'
    runtimes.fleet.roll(publish(runtimes, "6", low))
    until("desk@6", lambda: runtimes.says(QUESTION) == (low, "desk@6"))

    def ask(schema, **fields):
        status, text = runtimes.device.post("/v1/chat/completions", {
            "model": "desk", "messages": [{"role": "user",
                                           "content": QUESTION}],
            "response_format": {"type": "json_schema",
                                "json_schema": {"schema": schema}}, **fields})
        return status, text.decode()
    schema = {"type": "object", "required": ["severity"]}
    # Two answers without the form are an error, which names no word of them.
    status, text = ask(schema, stream=True)
    assert status == 500 and json.loads(text)["error"]["code"] == "infer.form"
    assert "the runtime fake: answer: no JSON" in text and "Sure" not in text
    # After one of them the runtime is asked again.
    status, text = ask(schema)
    assert status == 200, text
    assert json.loads(text)["choices"][0]["message"]["content"] == low
    status, text = ask({"not": {}})
    assert status == 400 and json.loads(text)["error"]["code"] == \
        "infer.schema", text
    assert json.loads(text)["error"]["param"] == "response_format"
