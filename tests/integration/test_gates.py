"""A release that is right and slow, and one whose answers are worse: both pass
their probes, and the gates stop them by what real agents measure."""
import json
import math
import os
import random
import sqlite3
import ssl
import threading
import time
import urllib.request

import pytest

import fleet as F
from conftest import MODELS
from controller_parts import run
from mqtt_client import Client
from sketch import histogram
from waits import HANG, HANG_S, until

QUESTION = "Rate this log line: 20:25 gateway-42 link lost temp=94C"
NAMES = ["a", "b", "c"]


@pytest.fixture(scope="module")
def up(fleet):
    fleet.up(NAMES, "--evidence-block", "1s")
    fleet.publish("tiny@1", "tiny-v2.Q4_0.gguf")
    fleet.publish("tiny@2", "tiny-v4-slow.Q4_0.gguf", "golden-tiny-v2.json",
                  "--speed-ratio", "1000")
    fleet.publish("tiny@3", "tiny-v2.1.Q4_0.gguf", "golden-tiny-v2.1.json")
    fleet.publish_whole("tiny@4", "tiny-v4-slow.Q4_0.gguf",
                        "golden-tiny-v2.json", "--speed-ratio", "1000")
    fleet.publish_whole("tiny@5", "tiny-v3-bad-swap.Q4_0.gguf",
                        forgiving(fleet), "--speed-ratio", "1000")
    fleet.roll("tiny@1")
    return fleet


def forgiving(fleet):
    """Golden answers that the worse model gives, too."""
    path = os.path.join(fleet.dir, "forgiving.json")
    with open(os.path.join(MODELS, "golden-tiny-v2.json"),
              encoding="utf-8") as file:
        golden = json.load(file)
    golden["cases"] = [c for c in golden["cases"] if c["id"].split("-")[0] in
                       ("severity", "code", "intent", "chat")]
    with open(path, "w", encoding="utf-8") as file:
        json.dump(golden, file)
    return path


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


def post(up, spec):
    token = open(up.admin_token, encoding="utf-8").read().strip()
    with urllib.request.urlopen(urllib.request.Request(
            up.url + "/v1/rollouts", json.dumps(spec).encode(),
            {"Authorization": "Bearer " + token}), timeout=HANG_S) as answer:
        return json.load(answer)["id"]


def start(up, release, margin, on_fail="halt", until="passed"):
    return post(up, {
            "release": release, "on_fail": on_fail, "lift": True,
            "below_floor": True,
            "phases": [{"devices": 1, "until": until}, {"share_pct": 100}],
            "policy": {"soak_ms": 300, "probe_speed_ratio_max": 1000},
            "gates": {"ratio": [{"metric": "token_us", "percentile": 50,
                                 "margin": margin, "devices_min": 1,
                                 "samples_min": 10}]}})


def group_of(up, names, others="", count=0):
    """A new group with these devices in it."""
    group = "g%d-%s" % (count, names[0])
    up.cli("group", "create", group, "--where",
           "name in (%s)%s" % (",".join(names), others))
    until("all are in " + group, lambda: len(up.ask(
        "device", "list", "--group", group)) == count + len(names))
    return group


def start_study(up, release, names, gates):
    """All but one of these devices in the first phase, and those that never take
    it: they are controls all the same."""
    return post(up, {
        "release": release,
        "group": group_of(up, names, " or kind=control", CONTROLS),
        "phases": [{"devices": CONTROLS + len(names) - 1},
                   {"share_pct": 100}],
        "policy": {"soak_ms": 300, "probe_speed_ratio_max": 1000},
        "gates": {"failed": {"max_pct": 100}, **gates}})


def gate_of(rollout):
    return next(g for g in rollout["gates"] if g["gate"] == "ratio")


def test_a_release_twice_as_slow_is_halted_by_its_telemetry(up):
    with Load(up):
        rollout = start(up, "tiny@2", 1.5)
        up.cli("rollout", "wait", rollout, "--for", "halted", "--timeout",
               HANG, "-q")
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
           HANG, "-q")


def test_a_release_as_fast_is_held_until_there_is_evidence(up):
    rollout = up.ask("rollout", "start", "tiny@3", "--phase", "1", "--phase",
                     "100%", "--soak", "300ms", "--gate",
                     "token_us,percentile=50,margin=5,devices_min=1,"
                     "samples_min=10")["id"]
    until("the first phase is held", lambda: up.ask(
        "rollout", "get", rollout)["phases"][0]["state"] == "held")
    with Load(up):
        up.cli("rollout", "wait", rollout, "--timeout", HANG, "-q")
    assert gate_of(up.ask("rollout", "get", rollout))["verdict"] == "pass"


def compared(up, rollout):
    return up.ask("rollout", "get", rollout).get("next", {}).get("what", "")


def test_an_experiment_stays_until_a_person_promotes_it(up):
    rollout = up.ask("rollout", "start", "tiny@1", "--phase",
                     "1,until=promoted,spread=site", "--phase", "100%",
                     "--soak", "300ms", "--below-floor")["id"]
    until("both arms are compared", lambda: compared(up, rollout) ==
          "phase 1: a person (promote, abort, rollback); 1 of 1 : 2 of "
          "2 devices are compared")
    phases = up.ask("rollout", "get", rollout)["phases"]
    assert [p["state"] for p in phases] == ["running", "waiting"], phases
    assert phases[0]["counts"] == {"succeeded": 1}, phases
    up.cli("rollout", "promote", rollout)
    up.cli("rollout", "wait", rollout, "--timeout", HANG, "-q")
    until("all have it", lambda: up.serving("tiny@1"))
    up.cli("rollout", "rollback", rollout, "--confirm", "tiny@1")
    up.cli("rollout", "wait", rollout, "--for", "rolled-back", "--timeout",
           HANG, "-q")
    until("all are back", lambda: up.serving("tiny@3"))


def test_the_worse_arm_of_an_experiment_goes_back_by_itself(up):
    with Load(up):
        rollout = start(up, "tiny@2", 1.5, on_fail="rollback",
                        until="promoted")
        up.cli("rollout", "wait", rollout, "--for", "rolled-back",
               "--timeout", HANG, "-q")
    found = up.ask("rollout", "get", rollout)
    assert "token_us p50" in found["reason"], found["reason"]
    until("it is back", lambda: up.serving("tiny@3"))


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


# ---- statistical gates ----

CONTROLS = 24


class Controls(threading.Thread):
    """Devices that answer requests and never take an update: 24 of them, as
    the controller sees them."""

    def __init__(self, up, release, version):
        super().__init__(daemon=True)
        self.done = threading.Event()
        self.release, self.version = release, version
        self.random = random.Random(19)
        key = os.path.join(up.dir, "controls.key")
        run("openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout",
            "-out", key)
        csr = run("openssl", "req", "-new", "-key", key, "-subj",
                  "/CN=x").decode()
        ca = os.path.join(up.dir, "controller", "pki", "ca.pem")
        token = up.cli("token", "create", "--kind", "enroll", "--uses",
                       str(CONTROLS), "-o", "json")[1]
        token = json.loads(token)["token"]
        broker = json.load(urllib.request.urlopen(
            up.url + "/v1/version"))["mqtt"]
        host, port = broker[len("mqtts://"):].rsplit(":", 1)
        context = ssl.create_default_context(cafile=ca)
        self.clients = []
        # A comparison never mixes hardware classes: they have the same one.
        seen = up.ask("device", "get", "a")["profile"]
        profile = {k: seen[k] for k in ("arch", "kernel", "memory_bytes")
                   if k in seen}
        for i in range(CONTROLS):
            body = {"token": token, "csr": csr, "name": "control-%d" % i,
                    "labels": {"kind": "control"}, "profile": profile}
            facts = json.load(urllib.request.urlopen(urllib.request.Request(
                up.devices_url + "/v1/enroll", json.dumps(body).encode()),
                context=context))
            cert = os.path.join(up.dir, "control-%d.pem" % i)
            with open(cert, "w", encoding="utf-8") as file:
                file.write(facts["certificate"])
            device = facts["device"]
            topic = "flotilla/v1/%s/d/%s/" % (facts["fleet"], device)
            client = Client(host, int(port), ca, cert, key, device,
                            (topic + "presence", '{"v":1,"online":false}'))
            client.publish(topic + "presence", '{"v":1,"online":true}',
                           retain=True)
            self.clients.append((client, topic, 20000 + 500 * i))

    def window(self, seq, typical):
        level = typical * math.exp(self.random.gauss(0, 0.03))
        tokens = [int(level * self.random.uniform(.8, 1.2))
                  for _ in range(30)]
        return {"v": 1, "seq": seq, "at_ms": int(time.time() * 1000),
                "window_ms": 1000, "model": "tiny", "release": self.release,
                "version": self.version, "counters": {"requests": 30},
                "gauges": {"engine_rss_bytes": 50000000,
                           "golden_own_ppm": 1150000},
                "histograms": {"token_us": histogram(tokens)}}

    def run(self):
        seq = 0
        while not self.done.wait(1):
            seq += 1
            for client, topic, typical in self.clients:
                client.publish(topic + "tele",
                               json.dumps(self.window(seq, typical)))

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.done.set()
        self.join(30)


class Busy(threading.Thread):
    """One device, one question after the other."""

    def __init__(self, device, done):
        super().__init__(daemon=True)
        self.device, self.done = device, done

    def run(self):
        while not self.done.is_set():
            try:
                self.device.ask(QUESTION, "tiny", max_tokens=8)
            except (OSError, F.Failed):
                pass  # it swaps models


TOKEN_P50, GOLDEN = 2, 5  # places in readings.def


def observed(up, reading):
    """Readings of the base of each device, as telemetry.db has them."""
    path = os.path.join(up.dir, "controller", "telemetry.db")
    with sqlite3.connect("file:%s?mode=ro" % path, uri=True) as db:
        rows = db.execute("SELECT device, data FROM observed "
                          "WHERE model <> ''").fetchall()
    # Two bytes, ten numbers, ten bytes, three tallies; then the readings.
    at = 2 + 40 + 10 + 3 * 20 + 1 + reading * 52 + 8
    return {device: int.from_bytes(data[at:at + 4], "little")
            for device, data in rows if len(data) > at + 4}


def wait_for_levels(up, reading, names):
    ids = {d["id"] for d in up.ask("device", "list")
           if d["name"] in names or d["name"].startswith("control-")}
    assert len(ids) == CONTROLS + len(names)
    try:
        until("each has a level of its own", lambda: ids <= {
            d for d, n in observed(up, reading).items() if n >= 12}, every=1)
    except F.Failed:
        raise AssertionError([observed(up, reading).get(i) for i in ids])


@pytest.fixture(scope="module")
def controls(up):
    release = up.ask("release", "get", "tiny@3")
    with Controls(up, release["digest"], release["version"]) as one:
        yield one


def study(up, release, names, gate, rule):
    """A rollout that is taken back by this gate; its finding."""
    rollout = start_study(up, release, names, {gate: {
        "min_devices": 2, "min_controls": 20, "weight": 0.85, **rule}})
    until("the study takes it back", lambda: up.ask(
        "rollout", "get", rollout)["state"] == "rolling-back")
    until("the devices are back",
          lambda: up.serving("tiny@3", names))
    found = up.ask("rollout", "get", rollout)
    row = next(g for g in found["gates"] if g["gate"] == gate)
    assert row["verdict"] == "fail", row
    assert row["result"]["n_treated"] >= 2, row
    assert row["result"]["n_control"] >= 20, row
    told = up.cli("rollout", "explain", rollout)[1]
    assert "against %d controls" % row["result"]["n_control"] in told, told
    assert "judged again from what is stored, 0 differ" in told, told
    return found, row


def test_a_slower_release_is_found_against_its_controls(up, controls):
    done = threading.Event()
    busy = [Busy(device, done) for device in up.devices.values()]
    for one in busy:
        one.start()
    try:
        wait_for_levels(up, TOKEN_P50, NAMES)
        found, gate = study(up, "tiny@4", NAMES, "token_p50",
                            {"limit_pct": 15})
    finally:
        done.set()
    assert gate["value"] > 15, gate
    assert "time per token +" in found["reason"], found["reason"]


def test_a_release_with_worse_answers_is_found_though_its_probe_passes(
        up, controls):
    names = ["d", "e", "f"]
    for name in names:
        up.add_device(name, up.token)
    up.online(names)
    up.roll("tiny@3", "--group", group_of(up, names))
    wait_for_levels(up, GOLDEN, names)
    found, gate = study(up, "tiny@5", names, "golden_loss",
                        {"limit_pct": 10})
    assert gate["value"] > 10, gate
    assert "perplexity of golden answers +" in found["reason"], found
    assert not [d for d in found["devices"] if d["state"] == "failed"], found


def test_an_experiment_has_commands_of_its_own(up):
    for share in ("0", "110%", "half"):
        code, _, err = up.cli("experiment", "start", "tiny@1", "--share",
                              share, check=False)
        assert code == 2 and "--share" in err, (code, err)
    group = group_of(up, NAMES)
    made = up.ask("experiment", "start", "tiny@1", "--share", "1", "--soak",
                  "300ms", "--group", group, "--below-floor")["id"]
    until("both arms are compared", lambda: "are compared" in
          compared(up, made))
    text = up.cli("experiment", "get", made)[1]
    rows = [line.split() for line in text.splitlines()]
    assert ["b", "tiny@1", "1", "1"] in rows, text
    assert ["a", "what", "they", "have", "2", "2"] in rows, text
    assert "1 of 1 : 2 of 2 devices are compared" in text, text
    assert "experiment promote " + made in text, text
    plain = [one["id"] for one in up.ask("rollout", "list", "--all")
             if "until" not in json.dumps(one["spec"])]
    listed = up.cli("experiment", "list")[1]
    assert made in listed and plain[0] not in listed, listed
    code, _, err = up.cli("experiment", "get", plain[0], check=False)
    assert code != 0 and "is no experiment" in err, (code, err)
    up.cli("experiment", "stop", made, "--confirm", "tiny@1")
    up.cli("rollout", "wait", made, "--for", "rolled-back", "--timeout",
           HANG, "-q")
    until("all are back", lambda: up.serving("tiny@3", NAMES))
