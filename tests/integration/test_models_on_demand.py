"""A fleet's device whose budget has no room for all models: one is pinned, two
are loaded when they are asked.  They are updated and taken back all the same."""
import contextlib
import json
import threading

import pytest

import fleet as F
from conftest import Small
from waits import joined, pace, same, until

TINY = {"tiny@1": ("tiny-v1.Q8_0.gguf", "golden-tiny-v1.json")}
ALARM = {"alarm@1": ("tiny-v1.Q4_1.gguf", "golden-tiny-v1.json"),
         "alarm@2": ("tiny-v1.Q4_0.gguf", "golden-tiny-v1.json")}
SITE = {"site@1": ("tiny-v2.Q4_0.gguf", "golden-tiny-v2.json")}
QUESTION = "What does the digest say?"
# A request is held for as long as a load takes on a slow machine.
CONFIG = ("memory_budget: %s\nmodels: {tiny: {pin: true, weight: 90}}\n"
          "hold: 5m\n")


@pytest.fixture(scope="module")
def up(tmp_path_factory, bin_dir):
    one = Small(str(tmp_path_factory.mktemp("m")), bin_dir, name="test")
    one.up(["a"])
    one.device = one.devices["a"]
    for release, (file, golden) in {**TINY, **ALARM, **SITE}.items():
        one.publish_whole(release, file, golden)
    for release in ("tiny@1", "alarm@1", "site@1"):
        one.roll(release)
    one.device.stop()
    one.device.write_config(CONFIG % "64MiB")
    one.device.start()
    one.online(["a"])
    until("two models are on demand", lambda: (
        on_demand(one) == ["alarm", "site"]))
    yield one
    one.close()


def status(up):
    return json.loads(up.program("flotilla-agent", "status", "--config",
                                 up.device.config, "-o", "json")[1])


def on_demand(up):
    return sorted(model["model"] for model in status(up)["models"]
                  if model["slots"]["current"]["state"] == "on-demand")


def told(up):
    """The controller's view of the device's budget and models."""
    device = up.ask("device", "get", "a")
    return {"budget": device["memory"]["budget"],
            **{model["model"]: model["state"] for model in device["models"]}}


def versions(up, model):
    slots = F.model_status(status(up), model)["slots"]
    return [(slots[name] or {}).get("version")
            for name in ("current", "previous", "candidate")]


def load_ms(up, model):
    """How long a request waited for its model's load."""
    with contextlib.closing(up.device.connection()) as connection:
        connection.request("POST", "/v1/completions", json.dumps(
            {"model": model, "prompt": QUESTION, "max_tokens": 8}),
            {"Content-Type": "application/json"})
        answer = connection.getresponse()
        body = json.loads(answer.read())
    assert answer.status == 200, body
    assert answer.headers["X-Flotilla-Release"] == model + "@1"
    return body["timings"]["load_ms"]


@contextlib.contextmanager
def asked(up, *models):
    """Somebody asks each model all the time; every answer must be one."""
    answers, failures = {model: [] for model in models}, []
    stop = threading.Event()

    def ask(model):
        while not stop.is_set():
            try:
                text, release, _ = up.device.ask(QUESTION, model, 8)
                answers[model].append(release)
                assert text
            except Exception as failure:  # told below
                failures.append((model, repr(failure)))
            pace(0.05, stop)

    threads = [threading.Thread(target=ask, args=[model]) for model in models]
    for thread in threads:
        thread.start()
    try:
        yield answers
    finally:
        stop.set()
        for thread in threads:
            joined(thread)
    assert not failures, (len(failures), failures[:3])
    assert all(answers.values()), answers


def test_the_plan_is_shown(up):
    memory = status(up)["memory"]
    assert 0 < memory["pool"] < memory["planned"] <= memory["budget"]
    until("the device told its plan", lambda: same(told(up), {
        "budget": memory["budget"],
        "tiny": "ready", "alarm": "on-demand", "site": "on-demand"}))


def test_requests_wake_models_on_demand_and_disturb_nobody(up):
    with asked(up, "tiny"):
        for model in ("alarm", "site"):
            assert load_ms(up, model) > 0
            assert load_ms(up, model) == 0
            others = {"alarm", "site"} - {model}
            until("%s alone is loaded" % model, lambda want=others: same(
                set(on_demand(up)), want))


def test_a_model_on_demand_is_updated_and_taken_back(up):
    before = F.model_status(status(up), "tiny")["slots"]
    with asked(up, "tiny", "alarm", "site") as answers:
        up.roll("alarm@2")
        until("alarm@2 is current", lambda: same(
            versions(up, "alarm"), ["2", "1", None]))
        up.cli("rollout", "rollback", "--release", "alarm@2", "--everywhere",
               "--confirm", "alarm@2", "--keep", "--wait")

    until("alarm@1 is current", lambda: same(versions(up, "alarm")[0], "1"))
    assert up.device.ask(QUESTION, "alarm", 8)[1] == "alarm@1"
    assert set(answers["tiny"]) == {"tiny@1"}
    assert set(answers["site"]) == {"site@1"}
    until("tiny is as it was", lambda: same(
        F.model_status(status(up), "tiny")["slots"], before))
