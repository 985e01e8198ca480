"""Two models on one device: each is updated, taken back and removed alone, and
no request of the other one fails."""
import contextlib
import json
import os
import signal
import subprocess
import threading

import pytest

import fleet as F
from conftest import Small
from waits import HANG_S, Seen, joined, same, until

# No new release reads more bytes for a token: the speed probe would deny it on
# a busy machine.
TINY = {"tiny@1": ("tiny-v1.Q8_0.gguf", "golden-tiny-v1.json"),
        "tiny@2": ("tiny-v2.Q4_0.gguf", "golden-tiny-v2.json")}
ALARM = {"alarm@1": ("tiny-v1.Q4_1.gguf", "golden-tiny-v1.json"),
         "alarm@2": ("tiny-v1.Q4_0.gguf", "golden-tiny-v1.json")}
QUESTION = "What does the digest say?"


@pytest.fixture(scope="module")
def up(tmp_path_factory, bin_dir):
    one = Small(str(tmp_path_factory.mktemp("m")), bin_dir, name="test")
    one.up(["a"])
    one.documents = {}
    for release, (file, golden) in {**TINY, **ALARM}.items():
        one.documents[release] = one.publish_whole(release, file, golden)
    one.device = one.devices["a"]
    yield one
    one.close()


def status(up):
    return json.loads(up.program("flotilla-agent", "status", "--config",
                                 up.device.config, "-o", "json")[1])


def versions(up, model):
    slots = F.model_status(status(up), model)["slots"]
    return [(slots[name] or {}).get("version")
            for name in ("current", "previous", "candidate")]


def has(up, model, *wanted):
    """These versions in its slots, from the first on."""
    until("%s has %s" % (model, wanted), lambda: same(
        versions(up, model)[:len(wanted)], list(wanted)))


def are_there(up, *wanted):
    until("%s are there" % (wanted,), lambda: same(
        [model["model"] for model in status(up)["models"]], list(wanted)))


def state(up, model):
    execution = F.model_status(status(up), model).get("execution")
    return execution and execution["state"]


@contextlib.contextmanager
def asked(up, model):
    """Somebody asks the model all the time; every answer must be one."""
    answers, failures, stop = [], [], threading.Event()

    def ask():
        while not stop.is_set():
            try:
                text, release, _ = up.device.ask(QUESTION, model, 8)
                answers.append(release)
                assert text
            except Exception as failure:  # told below
                failures.append(repr(failure))

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield answers
    finally:
        stop.set()
        joined(thread)
    assert not failures, (len(failures), failures[:3])
    assert answers


def model_file(up, release):
    document = up.ask("release", "get", release)["document"]
    digest = next(file["digest"] for file in document["files"]
                  if file["role"] == "model")
    return os.path.join(up.device.state, "blobs", digest.replace(":", "-"))


def test_a_device_with_a_model_takes_another_one(up):
    up.roll("tiny@1")
    with asked(up, "tiny"):
        up.roll("alarm@1")

    assert up.device.ask(QUESTION, "tiny")[1] == "tiny@1"
    assert up.device.ask(QUESTION, "alarm")[1] == "alarm@1"
    has(up, "tiny", "1", None, None)
    has(up, "alarm", "1", None, None)


def test_an_update_of_one_leaves_the_other_alone(up):
    with asked(up, "tiny") as answers:
        up.roll("alarm@2")

    assert set(answers) == {"tiny@1"}
    has(up, "alarm", "2", "1", None)
    assert up.device.ask(QUESTION, "alarm")[1] == "alarm@2"


def restart(up, more=""):
    up.device.stop()
    up.device.write_config(more + "models: {tiny: {alias: [gpt-4o-mini]}}\n")
    up.device.start()
    until("both serve", lambda: all(
        answers(up, model) for model in ("tiny", "alarm")))
    up.online(["a"])


def test_one_goes_back_while_the_other_downloads(up):
    restart(up, "download_rate: 1kB\n")  # half an hour
    started = up.ask("rollout", "start", "tiny@2", "--phase", "100%", "--soak",
                     "500ms")
    until("tiny is downloaded",
          lambda: state(up, "tiny") == "downloading")
    with asked(up, "tiny"):
        up.cli("rollout", "rollback", "--release", "alarm@2", "--everywhere",
               "--confirm", "alarm@2", "--keep", "--wait")
        assert state(up, "tiny") == "downloading"
        assert up.device.ask(QUESTION, "alarm")[1] == "alarm@1"
    restart(up)
    with asked(up, "tiny"):
        up.cli("rollout", "wait", started["id"], "--for", "completed",
               "-q")

    has(up, "tiny", "2", "1", None)
    has(up, "alarm", "1", None, None)


def answers(up, model):
    try:
        return up.device.ask(QUESTION, model)[0]
    except (OSError, F.Failed):
        return None  # its socket or its engine is not there yet


def test_both_serve_after_a_kill(up):
    up.device.stop(signal.SIGKILL)
    up.device.start()
    until("both serve", lambda: all(
        answers(up, model) for model in ("tiny", "alarm")))

    has(up, "tiny", "2")
    has(up, "alarm", "1")
    assert up.device.ask(QUESTION, "gpt-4o-mini")[1] == "tiny@2"


def test_a_removed_model_is_gone_and_the_other_serves_on(up):
    file = model_file(up, "alarm@1")
    assert os.path.exists(file)
    with asked(up, "tiny"):
        up.cli("model", "remove", "alarm", "--everywhere", "--confirm",
               "alarm", "--wait")
        until("its files are collected",
              lambda: not os.path.exists(file))

    are_there(up, "tiny")
    assert os.path.exists(model_file(up, "tiny@2"))
    with pytest.raises(F.Failed, match="404"):
        up.device.ask(QUESTION, "alarm")


def test_a_removed_model_can_come_again(up):
    up.roll("alarm@2", "--lift")

    assert up.device.ask(QUESTION, "alarm")[1] == "alarm@2"
    assert up.device.ask(QUESTION, "tiny")[1] == "tiny@2"


def test_an_operator_names_the_model_that_goes(up):
    command = [os.path.join(up.bin, "flotilla-agent"), "rollback", "--config",
               up.device.config]
    unsaid = subprocess.run(command, capture_output=True, text=True,
                            timeout=HANG_S, check=False)
    up.program("flotilla-agent", "rollback", "--model", "tiny", "--config",
               up.device.config)
    up.program("flotilla-agent", "remove", "--model", "alarm", "--config",
               up.device.config)

    assert "several models: alarm, tiny" in unsaid.stderr
    has(up, "tiny", "1", None)
    are_there(up, "tiny")


def test_one_model_more_than_configured_is_refused(up):
    up.device.stop()
    up.device.write_config("models_max: 1\n")
    up.device.start()
    up.online(["a"])
    started = up.ask("rollout", "start", "alarm@2", "--phase", "100%",
                     "--soak", "500ms", "--lift")
    until("it is refused", lambda: (
        up.rollout_device(started["id"], "a") or {}).get("state") == "rejected")

    assert "target.limit" in json.dumps(up.rollout_device(started["id"], "a"))
    assert up.device.ask(QUESTION, "tiny")[1] == "tiny@1"


def test_a_model_without_memory_is_refused_and_the_other_serves_on(up):
    up.device.stop()
    up.device.write_config("memory_budget: 30MiB\n"  # one says some 18
                           "models: {tiny: {pin: true}}\n")
    up.device.start()
    up.online(["a"])
    until("the budget is reported", lambda: (up.ask(
        "device", "get", "a")["memory"] or {}).get("budget") == 30 << 20)

    def planned():
        """The plan, as it is made of the device's reports."""
        plan = up.ask("rollout", "start", "alarm@2", "--phase", "100%",
                      "--lift", "--dry-run")["plan"]
        return {"cannot": plan["cannot"], "takes": plan["takes"],
                "undo": plan["undo"],
                "reasons": [(r["id"], r["names"]) for r in plan["reasons"]][:1],
                "budget": ["the budget is %d" % (30 << 20) in r["what"]
                           for r in plan["reasons"]][:1]}

    until("the plan says so before, with the device's own words", lambda: same(
        planned(), {"cannot": 1, "takes": 0,
                    "undo": {"kept": 0, "first": 0, "to": []},
                    "reasons": [("memory.budget", ["a"])], "budget": [True]}))
    told = up.cli("rollout", "start", "alarm@2", "--lift", "--dry-run")[1]
    with asked(up, "tiny"):
        started = up.ask("rollout", "start", "alarm@2", "--phase", "100%",
                         "--soak", "500ms", "--lift")
        until("it is refused", lambda: (up.rollout_device(
            started["id"], "a") or {}).get("state") == "rejected")

    assert "memory.budget" in json.dumps(up.rollout_device(started["id"], "a"))
    assert "eligible   0" in told and "excluded 1 (memory.budget 1)" in told
    assert "memory.budget" in told and "model remove" in told
    # The assignment stands: what is missing is said until something changes.
    def is_without_memory():
        drift = [m["drift"] for m in up.ask("device", "get", "a")["models"]
                 if m["model"] == "alarm"]
        return any(d and d["kind"] == "no-memory" and "budget" in d["why"]
                   for d in drift) or Seen(drift)

    until("it is drift", is_without_memory)
    assert "alarm has no memory" in up.cli("device", "get", "a")[1]
    assert "no-memory" in up.cli("device", "list")[1]
