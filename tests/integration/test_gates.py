"""A release that is right and slow: the probe is told to let it pass, and the
ratio gate stops it by what real agents measure."""
import json
import threading
import urllib.request

import pytest

import fleet as F

QUESTION = "Rate this log line: 20:25 gateway-42 link lost temp=94C"
NAMES = ["a", "b", "c"]


@pytest.fixture(scope="module")
def up(fleet):
    fleet.up(NAMES)
    fleet.publish("tiny@1", "tiny-v2.Q4_0.gguf")
    fleet.publish("tiny@2", "tiny-v4-slow.Q4_0.gguf", "golden-tiny-v2.json",
                  "--speed-ratio", "1000")
    fleet.publish("tiny@3", "tiny-v2.1.Q4_0.gguf", "golden-tiny-v2.1.json")
    fleet.roll("tiny@1")
    return fleet


class Load(threading.Thread):
    """Each device answers one question after the other."""

    def __init__(self, up):
        super().__init__(daemon=True)
        self.up, self.done = up, threading.Event()

    def run(self):
        while not self.done.is_set():
            for device in self.up.devices.values():
                try:
                    device.ask(QUESTION, "tiny")
                except (OSError, F.Failed):
                    pass  # it swaps models

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.done.set()
        self.join(30)


def start(up, release, margin):
    token = open(up.admin_token, encoding="utf-8").read().strip()
    spec = {"release": release, "on_fail": "halt",
            "phases": [{"devices": 1}, {"share_pct": 100}],
            "policy": {"soak_ms": 300, "probe_speed_ratio_max": 1000},
            "gates": {"ratio": [{"metric": "token_us", "percentile": 50,
                                 "margin": margin, "devices_min": 1,
                                 "samples_min": 10}]}}
    with urllib.request.urlopen(urllib.request.Request(
            up.url + "/v1/rollouts", json.dumps(spec).encode(),
            {"Authorization": "Bearer " + token}), timeout=20) as answer:
        return json.load(answer)["id"]


def gate_of(rollout):
    return next(g for g in rollout["gates"] if g["gate"] == "ratio")


def test_a_release_twice_as_slow_is_halted_by_its_telemetry(up):
    with Load(up):
        rollout = start(up, "tiny@2", 1.5)
        up.cli("rollout", "wait", rollout, "--for", "halted", "--timeout",
               "60s", "-q")
    found = up.ask("rollout", "get", rollout)
    gate = gate_of(found)
    assert found["state"] == "halted", found["reason"]
    assert gate["verdict"] == "fail" and gate["value"] > 1.5, gate
    assert gate["updated"]["devices"] == 1, gate
    # The canary too, with what it measured in that minute before its swap.
    assert gate["waiting"]["devices"] >= 2, gate
    assert gate["updated"]["value"] > gate["waiting"]["value"], gate
    assert "token_us p50" in found["reason"], found["reason"]
    assert [d["state"] for d in found["devices"]].count("succeeded") == 1
    told = up.cli("rollout", "explain", rollout)[1]
    assert "gate ratio fails: token_us p50" in told, told
    assert "state    halted" in told, told
    up.cli("rollout", "rollback", rollout, "--confirm", "tiny@2")
    up.cli("rollout", "wait", rollout, "--for", "rolled-back", "--timeout",
           "60s", "-q")


def test_a_release_as_fast_is_held_until_there_is_evidence(up):
    rollout = up.ask("rollout", "start", "tiny@3", "--phase", "1", "--phase",
                     "100%", "--soak", "300ms", "--gate",
                     "token_us,percentile=50,margin=5,devices_min=1,"
                     "samples_min=10")["id"]
    F.wait_until("the first phase is held", 30, lambda: up.ask(
        "rollout", "get", rollout)["phases"][0]["state"] == "held")
    with Load(up):
        up.cli("rollout", "wait", rollout, "--timeout", "60s", "-q")
    assert gate_of(up.ask("rollout", "get", rollout))["verdict"] == "pass"


def test_wrong_words_of_a_gate_get_what_is_possible(up):
    for gate, says in (("token", "metric `token` is not known here; known: "
                                 "ttft_us, token_us"),
                       ("token_us,limit=2", "known: metric, percentile"),
                       ("token_us,action=cry",
                        "halt, rollback or pause, not `cry`"),
                       ("token_us,margin", "is no MEMBER=VALUE")):
        code, _, err = up.cli("rollout", "start", "tiny@1", "--gate", gate,
                              "--dry-run", check=False)
        assert code == 2 and says in err, (code, err)
