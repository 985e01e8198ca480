"""Experiments by request: a release shares the requests for a model on each
device, is compared with it there, and goes back when it is worse."""
import json
import threading

import pytest

import fleet as F
from conftest import Small
from waits import HANG, until

QUESTION = "What does the digest say?"
NAMES = ["b", "c", "d", "e", "f", "g"]


class Busy(threading.Thread):
    """A device that answers all the time, and judges what it gets: answers of
    tiny-c are bad."""

    def __init__(self, device, done):
        super().__init__(daemon=True)
        self.device, self.done = device, done

    def run(self):
        while not self.done.is_set():
            try:
                release = self.device.ask(QUESTION, "tiny", 3)[1]
                self.device.post("/v1/feedback", {
                    "model": release, "good": not release.startswith("tiny-c")})
            except (OSError, F.Failed):
                pass  # its models change


def listed(device):
    return {m["id"]: m for m in json.loads(device.get("/v1/models")[1])["data"]}


@pytest.fixture(scope="module")
def up(tmp_path_factory, bin_dir):
    one = Small(str(tmp_path_factory.mktemp("t")), bin_dir, name="test")
    one.up(NAMES, "--evidence-block", "1s")
    one.publish_whole("tiny@1", "tiny-v2.Q4_0.gguf", "golden-tiny-v2.json")
    one.publish_whole("tiny-b@1", "tiny-v4-slow.Q4_0.gguf",
                      "golden-tiny-v2.json", "--speed-ratio", "1000",
                      "--split-of", "tiny=50%")
    one.publish_whole("tiny-c@1", "tiny-v2.1.Q4_0.gguf",
                      "golden-tiny-v2.1.json", "--split-of", "tiny=50%")
    one.roll("tiny@1")
    done = threading.Event()
    busy = [Busy(device, done) for device in one.devices.values()]
    for each in busy:
        each.start()
    yield one
    done.set()
    for each in busy:
        each.join(60)
    one.close()


def experiment(up, release, gates):
    path = up.path("experiment.yaml")
    with open(path, "w", encoding="utf-8") as file:
        json.dump({"release": release, "on_fail": "rollback",
                   "policy": {"soak_ms": 300},
                   "phases": [{"size": "100%", "until": "promoted"}],
                   "gates": {"failed": {"max_pct": 100}, **gates}}, file)
    made = up.ask("experiment", "start", "-f", path)["id"]
    until("all share the requests", lambda:
          "6 of 6 devices share the requests for tiny" in
          up.ask("rollout", "get", made).get("next", {}).get("what", ""))
    return made


def goes_back(up, made):
    """A gate takes it back on all devices."""
    code, _, err = up.cli("rollout", "wait", made, "--for", "rolled-back",
                          "--timeout", HANG, "-q", check=False)
    assert code == 0, err + json.dumps(
        up.ask("rollout", "get", made)["gates"])


def test_a_slower_release_is_found_by_request_and_taken_back(up):
    made = experiment(up, "tiny-b@1", {"token_p50": {
        "min_devices": 2, "min_controls": 2, "weight": 0.85, "limit_pct": 15}})
    text = up.cli("experiment", "get", made)[1]
    rows = [line.split() for line in text.splitlines()]
    assert ["b", "tiny-b@1", "6", "6"] in rows, text
    assert ["a", "tiny", "6", "6"] in rows, text
    goes_back(up, made)
    found = up.ask("rollout", "get", made)
    assert "time per token +" in found["reason"], found["reason"]
    gate = next(g for g in found["gates"] if g["gate"] == "token_p50")
    assert gate["verdict"] == "fail" and gate["value"] > 15, gate
    told = up.cli("rollout", "explain", made)[1]
    assert "judged again from what is stored, 0 differ" in told, told
    until("tiny alone is left", lambda: all(
        "tiny-b" not in listed(d) and "tiny" in listed(d)
        for d in up.devices.values()))


def test_answers_that_applications_call_bad_are_found_by_request(up):
    made = experiment(up, "tiny-c@1", {"bad_feedback": {
        "min_devices": 2, "min_controls": 2, "weight": 0.85,
        "limit_ratio": 1.5, "floor": 0.02}})
    goes_back(up, made)
    found = up.ask("rollout", "get", made)
    assert "bad feedback" in found["reason"], found["reason"]


def test_a_release_that_shares_nothing_needs_somebody_to_compare_with(up):
    code, _, err = up.cli("rollout", "start", "tiny@1", "--phase",
                             "100%,until=promoted", "--dry-run", check=False)
    assert code != 0 and "leaves no device to compare with" in err, err
