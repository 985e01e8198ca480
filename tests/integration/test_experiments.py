"""Experiments by request: a release shares the requests for a model on each
device, is compared with it there, and goes back when it is worse.

Times come from devices whose numbers the test says (evidence_parts.py); real
agents share requests and go back with them.  Bad answers are counted by real
agents, from so many answers."""
import json
import os

import pytest

from evidence_parts import Evident
from waits import HANG_S, until

QUESTION = "What does the digest say?"
NAMES = ["b", "c", "d", "e"]
TOLD = 6
TYPICAL = 20000  # microseconds a token
BLOCKS_MAX = 20  # until the verdict; it has its data after six
ANSWERS = 8  # of each release, on each device in each block


def listed(device):
    return {m["id"]: m for m in json.loads(device.get("/v1/models")[1])["data"]}


@pytest.fixture(scope="module")
def up(tmp_path_factory, bin_dir):
    one = Evident(str(tmp_path_factory.mktemp("t")), bin_dir, name="test")
    one.up(NAMES)
    one.publish_whole("tiny@1", "tiny-v2.Q4_0.gguf", "golden-tiny-v2.json")
    one.publish_whole("tiny-b@1", "tiny-v4-slow.Q4_0.gguf",
                      "golden-tiny-v2.json", "--speed-ratio", "1000",
                      "--split-of", "tiny=50%")
    one.publish_whole("tiny-c@1", "tiny-v2.1.Q4_0.gguf",
                      "golden-tiny-v2.1.json", "--split-of", "tiny=50%")
    one.roll("tiny@1")
    yield one
    one.close()


@pytest.fixture(scope="module")
def told(up):
    up.cli("device", "label", "--where", "name in (%s)" % ",".join(NAMES),
           "kind=real")
    made = up.told("told", TOLD, NAMES[0])
    for group, kinds, count in (("both", "real,told", len(NAMES) + TOLD),
                                ("real", "real", len(NAMES))):
        up.cli("group", "create", group, "--where", "kind in (%s)" % kinds)
        until("all are in " + group, lambda g=group, n=count: len(up.ask(
            "device", "list", "--group", g)) == n)
    until("they run it", lambda: all("tiny" in one.runs for one in made))
    yield made
    for one in made:
        one.client.close()


def experiment(up, release, group, count, gates):
    path = os.path.join(up.dir, "experiment.yaml")
    with open(path, "w", encoding="utf-8") as file:
        json.dump({"release": release, "on_fail": "rollback", "group": group,
                   "policy": {"soak_ms": 300,
                              "probe_timeout_ms": HANG_S * 1000},
                   "phases": [{"size": "100%", "until": "promoted"}],
                   "gates": {"failed": {"max_pct": 100}, **gates}}, file)
    made = up.ask("experiment", "start", "-f", path)["id"]
    until("all share the requests", lambda:
          "%d of %d devices share the requests for tiny" % (count, count) in
          up.ask("rollout", "get", made).get("next", {}).get("what", ""))
    return made


def goes_back(up, made, one_block):
    """A gate takes it back on all devices, once there are blocks enough."""
    for _ in range(BLOCKS_MAX):
        one_block()
        up.end_block()
        if up.judged(made) != "running":
            break
    found = up.ask("rollout", "get", made)
    assert found["state"] in ("rolling-back", "rolled-back"), found["gates"]
    up.cli("rollout", "wait", made, "--for", "rolled-back", "-q")


def test_a_slower_release_is_found_by_request_and_taken_back(up, told):
    count = len(NAMES) + TOLD
    made = experiment(up, "tiny-b@1", "both", count, {"token_p50": {
        "min_devices": 2, "min_controls": 2, "weight": 0.85, "limit_pct": 15}})
    text = up.cli("experiment", "get", made)[1]
    rows = [line.split() for line in text.splitlines()]
    assert ["b", "tiny-b@1", str(count), str(count)] in rows, text
    assert ["a", "tiny", str(count), str(count)] in rows, text
    old, new = up.release("tiny@1"), up.release("tiny-b@1")

    def one_block():
        for one in told:
            one.say(old, up.clock.ms, TYPICAL)
            one.say(new, up.clock.ms, TYPICAL * 1.5)
        up.took(told[-1])

    goes_back(up, made, one_block)
    found = up.ask("rollout", "get", made)
    assert "time per token +" in found["reason"], found["reason"]
    gate = next(g for g in found["gates"] if g["gate"] == "token_p50")
    assert gate["verdict"] == "fail" and gate["value"] > 15, gate
    assert gate["because"] in up.cli("experiment", "get", made)[1]
    said = up.cli("rollout", "explain", made)[1]
    assert "judged again from what is stored, 0 differ" in said, said
    until("tiny alone is left", lambda: all(
        "tiny-b" not in listed(d) and "tiny" in listed(d)
        for d in up.devices.values()) and all(
            list(one.runs) == ["tiny"] for one in told))


def test_answers_that_applications_call_bad_are_found_by_request(up, told):
    """Each device judges what it gets: answers of tiny-c are bad."""
    made = experiment(up, "tiny-c@1", "real", len(NAMES), {"bad_feedback": {
        "min_devices": 2, "min_controls": 2, "weight": 0.85,
        "limit_ratio": 1.5, "floor": 0.02}})
    judged = {"feedback_good": 0, "feedback_bad": 0}

    def counted(word):
        return sum(one["sum"] for one in up.telemetry(word, ["device"]))

    def one_block():
        for device in up.devices.values():
            answers = {"tiny@1": 0, "tiny-c@1": 0}
            for _ in range(ANSWERS * 20):
                if min(answers.values()) >= ANSWERS:
                    break
                release = device.ask(QUESTION, "tiny", 3)[1]
                answers[release] += 1
                is_good = release == "tiny@1"
                assert device.post("/v1/feedback", {
                    "model": release, "good": is_good})[0] < 300
                judged["feedback_good" if is_good else "feedback_bad"] += 1
            assert min(answers.values()) >= ANSWERS, answers
        until("they are told", lambda: judged == {
            word: counted(word) for word in judged}, lambda: (judged, {
                word: up.telemetry(word, ["device"]) for word in judged}))

    goes_back(up, made, one_block)
    found = up.ask("rollout", "get", made)
    assert "bad feedback" in found["reason"], found["reason"]


def test_a_release_that_shares_nothing_needs_somebody_to_compare_with(up):
    code, _, err = up.cli("rollout", "start", "tiny@1", "--phase",
                             "100%,until=promoted", "--dry-run", check=False)
    assert code != 0 and "leaves no device to compare with" in err, err
