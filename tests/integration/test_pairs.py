"""A release that is slow on one rack of one site: the policy names the pair of
both labels, and it alone is held.

A label with too many values says so, and what a policy scans stays."""
import json
import os
import re

import pytest

from site_parts import Sites
from waits import until

SITES = ["bonn", "cork", "gent", "kiel", "lyon", "metz"]
RACKS = ["x", "y"]
EACH = 6  # devices of a pair; three of them are updated first
BLOCKS_MAX = 20  # until it is named; it has its data after five
BAD = {"site": "lyon", "rack": "x"}
PAIR = "site&rack=lyon&x"
LABELS = ["site", "rack", "site&rack"]


def by_kind(slices, kind):
    return next(one for one in slices if one["kind"] == kind)


def is_bad(one):
    return {key: one.labels[key] for key in BAD} == BAD


@pytest.fixture(scope="module")
def fleet(folder):
    one = Sites(folder, labels=[
        {"site": site, "rack": rack, "cell": site + "-" + rack}
        for _ in range(EACH) for rack in RACKS for site in SITES])
    yield one
    one.close()


POLICY = {"release": "tiny@2.0.0", "policy": {"soak_ms": 1}, "cover": "cell",
          "on_fail": "pause", "labels": LABELS, "phases": [
              {"name": "canary", "devices": 36, "soak_ms": 3600000},
              {"name": "rest", "share_pct": 100}],
          "gates": {"alarm_only": True, "token_p50": {
              "weight": 0.5, "limit_pct": 100}}}


@pytest.fixture(scope="module")
def rollout(fleet):
    fleet.start("1.0.0", phases=[{"share_pct": 100}])
    until("all run it", lambda: len(fleet.have("1.0.0")) == len(fleet.devices))
    for _ in range(20):
        fleet.block()
    made = fleet.start("2.0.0", **{key: POLICY[key] for key in POLICY
                                   if key not in ("release", "policy")})
    until("the first phase has it", lambda: len(fleet.have("2.0.0")) == 36)
    assert sum(is_bad(one) for one in fleet.have("2.0.0")) == 3
    for _ in range(BLOCKS_MAX):
        fleet.block(slow=2, is_bad=is_bad)
        if fleet.judged(made).get("held"):
            return made
    raise AssertionError(fleet.cli("rollout", "explain", made))


def test_a_plan_says_what_is_scanned(fleet):
    """Also of a label that no device has."""
    answer = fleet.controller.ask("POST", "/v1/rollouts?dry_run=true", dict(
        POLICY, labels=LABELS + ["room"]))
    assert answer.status == 200, answer.body
    assert [(row["label"], row["values"], row["left_values"])
            for row in answer.json["scans"]] == [
                ("site", 6, 0), ("rack", 2, 0), ("room", 0, 0),
                ("site&rack", 12, 0)], answer.json["scans"]
    path = os.path.join(fleet.folder, "rollout.yaml")
    with open(path, "w", encoding="utf-8") as out:  # JSON is YAML
        json.dump({"release": "tiny@2.0.0", "gates": POLICY["gates"]}, out)
    said = fleet.cli("rollout", "start", "tiny@2.0.0", "--phase", "36",
                     "--phase", "100%", "--labels", "site,site&rack,room",
                     "--dry-run", "-f", path)
    assert "scan: site: 6 values\n" in said, said
    assert "scan: site&rack: 12 values\n" in said
    assert "scan: room: no device has it, so nothing is looked for there" \
        in said


def test_the_pair_is_named_and_held_alone(fleet, rollout):
    found = fleet.get(rollout)
    assert found["state"] == "running", found["reason"]
    assert found["held"] == [PAIR], found
    named = by_kind(found["slices"], "named")
    assert (named["slice"], named["end"], named["members"]) == \
        (PAIR, "held", EACH), named
    assert 80 < named["effect_pct"] < 120, named
    assert re.match(r"time per token [\d.]+ times .*at site&rack=lyon&x: "
                    r"3 of 3 updated devices against 3 there that are not; "
                    r"elsewhere .*: held there$", named["text"]), named
    shown = fleet.controller.ask(
        "GET", "/v1/rollouts/%s/slices" % rollout).json["items"]
    rows = by_kind(shown, "named")["devices"]
    assert {row["id"] for row in rows} == \
        {one.id for one in fleet.devices if is_bad(one)}
    assert {row["held"] for row in rows} == {"held"}


def test_command_line_and_alert_have_its_words(fleet, rollout):
    text = by_kind(fleet.get(rollout)["slices"], "named")["text"]
    assert "slice: " + text in fleet.cli("rollout", "get", rollout)
    assert text in fleet.cli("rollout", "explain", rollout)
    assert text in fleet.cli("rollout", "explain", rollout, "--devices")
    assert "held " + PAIR in fleet.cli("top", "--once")

    def firing():
        return [a for a in fleet.controller.ask(
            "GET", "/v1/alerts").json["items"]
            if a["rule"] == "slice-held" and a["state"] == "firing"]
    (alert,) = until("the alert fires", firing)
    assert alert["says"] == text, alert


def test_the_scan_of_a_running_rollout_stays(fleet, rollout):
    """Thresholds are for the labels that were asked for at the start."""
    answer = fleet.controller.ask("PATCH", "/v1/rollouts/" + rollout,
                                  {"change": {"labels": ["site"]}})
    assert answer.status == 422, answer.body
    assert b"labels: it is fixed once a rollout is made" in answer.body
    assert json.dumps(fleet.get(rollout)["spec"]["labels"]) == \
        json.dumps(LABELS)
