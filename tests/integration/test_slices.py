"""A release that is slow at one site, and a site that became slow by itself:
command line, page, alert and numbers say where, in the same words.

The devices' numbers are the test's, in blocks of time that it ends
(evidence_parts.py)."""
import json
import os
import re
import subprocess

import pytest

import chromium
from chromium import go, has
from controller_parts import BIN, Controller, Publisher
from evidence_parts import BLOCK_MS, HeldClock, Told
from waits import HANG_S, until

SITES = ["bonn", "cork", "gent", "kiel", "lyon", "metz", "nice", "oslo",
         "pisa", "riga", "turin", "vigo"]
EACH = 6  # devices of a site; three of them are updated first
FIRST = 3 * len(SITES)
TYPICAL = 20000  # microseconds a token
BLOCKS_MAX = 20  # until it is named; it has its data after five
BAD, SHOCKED = "lyon", "riga"


class Fleet:
    """A controller with a clock that the test holds, and devices at sites."""

    def __init__(self, folder):
        self.folder = folder
        self.clock = HeldClock(folder, 1)
        self.controller = Controller(folder)
        self.begin()
        publisher = Publisher(self.controller, folder)
        self.digests = {v: publisher.publish(v) for v in ("1.0.0", "2.0.0")}
        token = self.controller.enrol_token(uses=len(SITES) * EACH)
        self.devices = []
        for i in range(len(SITES) * EACH):
            one = Told(self.controller, folder, "gw-%02d" % i, token,
                       TYPICAL + 100 * i, labels={"site": SITES[i % len(SITES)]})
            one.site = SITES[i % len(SITES)]
            one.versions = {d: v for v, d in self.digests.items()}
            self.devices.append(one)
        self.rollouts = []

    def begin(self):
        os.environ.update(self.clock.env)
        try:
            self.controller.start("--evidence-block", "1s")
        finally:
            for word in self.clock.env:
                del os.environ[word]

    def restart(self):
        self.controller.stop()
        self.begin()

    def start(self, version, **more):
        answer = self.controller.ask("POST", "/v1/rollouts", dict(
            {"release": "tiny@" + version, "policy": {"soak_ms": 1}}, **more))
        assert answer.status == 201, answer.body
        return answer.json["id"]

    def get(self, rollout):
        return self.controller.ask("GET", "/v1/rollouts/" + rollout).json

    def have(self, version):
        return [one for one in self.devices
                if one.runs.get("tiny") == self.digests[version]]

    def block(self, slow=1, shocked=1):
        """All say their numbers; then the block is over."""
        new = self.digests["2.0.0"]
        for one in self.devices:
            is_new = one.runs["tiny"] == new
            level = one.typical * (slow if is_new and one.site == BAD else 1) \
                * (shocked if one.site == SHOCKED else 1)
            one.say({"model": "tiny", "digest": one.runs["tiny"],
                     "version": "2.0.0" if is_new else "1.0.0"},
                    self.clock.ms, level)
        last = self.devices[-1]
        until("the last window came", lambda: any(
            point[4] >= last.said for row in self.controller.ask(
                "POST", "/v1/telemetry/query", {
                    "metric": "queue", "by": ["device"],
                    "since_ms": 86400000}).json["series"]
            if row["key"]["device"] == last.id for point in row["points"]))
        self.clock.move(BLOCK_MS)

    def judged(self, rollout):
        def ask():
            rows = self.controller.ask("GET", "/v1/rollouts/%s/evidence"
                                       "?limit=50" % rollout).json
            assert not rows.get("next"), rows
            return any(row["block"] >= self.clock.block() - 1
                       for row in rows["items"])
        until("the block is judged", ask)
        return self.get(rollout)

    def cli(self, *words):
        done = subprocess.run(
            [os.path.join(BIN, "flotilla"), *words, "--controller",
             self.controller.rest, "--token-file",
             self.controller.facts["token"]], capture_output=True, text=True,
            timeout=HANG_S)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def close(self):
        for one in self.devices:
            one.client.close()
        self.controller.stop()


@pytest.fixture(scope="module")
def fleet(folder):
    one = Fleet(folder)
    yield one
    one.close()


@pytest.fixture(scope="module")
def rollout(fleet):
    """It is named where it is slow; elsewhere it goes on."""
    fleet.start("1.0.0", phases=[{"share_pct": 100}])
    until("all run it", lambda: len(fleet.have("1.0.0")) == len(fleet.devices))
    for _ in range(20):
        fleet.block()
    made = fleet.start("2.0.0", cover="site", on_fail="pause", phases=[
        {"name": "canary", "devices": FIRST, "soak_ms": 3600000},
        {"name": "rest", "share_pct": 100}], gates={
            "alarm_only": True, "token_p50": {
                "weight": 0.5, "limit_pct": 100}})
    until("the first phase has it", lambda: len(fleet.have("2.0.0")) == FIRST)
    for _ in range(BLOCKS_MAX):
        fleet.block(slow=2, shocked=1.6)
        if len(fleet.judged(made).get("slices", [])) > 1:
            return made
    raise AssertionError(fleet.get(made))


def by_kind(slices, kind):
    return next(one for one in slices if one["kind"] == kind)


def test_a_slice_is_named_with_its_devices(fleet, rollout):
    found = fleet.get(rollout)
    assert found["state"] == "running", found["reason"]
    named = by_kind(found["slices"], "named")
    assert (named["slice"], named["end"]) == ("site=lyon", "held"), named
    assert 80 < named["effect_pct"] < 120, named
    assert re.match(r"time per token [\d.]+ times .*at site=lyon: "
                    r"3 of 3 updated devices against 3 there that are not; "
                    r"elsewhere .*: held there$", named["text"]), named
    changed = by_kind(found["slices"], "changed")
    assert changed["slice"] == "site=riga" and changed["end"] == "told"
    assert changed["text"].endswith("the site changed, not the release")

    shown = fleet.controller.ask(
        "GET", "/v1/rollouts/%s/slices" % rollout).json["items"]
    rows = by_kind(shown, "named")["devices"]
    lyon = {one.id for one in fleet.devices if one.site == BAD}
    assert {row["id"] for row in rows} == lyon
    assert [row["updated"] for row in rows] == [True] * 3 + [False] * 3
    assert [row["wave"] for row in rows] == [1] * 3 + [0] * 3
    assert all(80 < row["effect_pct"] < 120 for row in rows[:3]), rows
    assert all(abs(row["effect_pct"]) < 20 for row in rows[3:]), rows
    assert {row["held"] for row in rows} == {"held"}
    rows = by_kind(shown, "changed")["devices"]
    assert len(rows) == EACH
    assert all(40 < row["effect_pct"] < 80 for row in rows), rows


def test_the_command_line_says_so(fleet, rollout):
    slices = {s["slice"]: s["text"] for s in fleet.get(rollout)["slices"]}
    text = fleet.cli("rollout", "get", rollout)
    for said in slices.values():
        assert "slice: " + said in text, text
    said = fleet.cli("rollout", "explain", rollout, "--devices")
    assert slices["site=lyon"] in said
    rows = [line.split() for line in said.splitlines()]
    names = [one.name for one in fleet.devices if one.site == BAD]
    for name in names:
        row = next(row for row in rows if row[:1] == [name])
        assert row[1] in ("new", "old") and "held" in row, said
    assert json.loads(fleet.cli("rollout", "explain", rollout, "--devices",
                                "-o", "json"))[0]["slice"]
    assert slices["site=lyon"] in fleet.cli("rollout", "explain", rollout)
    top = fleet.cli("top", "--once")
    assert "slices of %s: held site=lyon, changed site=riga" % rollout in top


def test_an_alert_and_the_numbers_say_so(fleet, rollout):
    def firing():
        return [a for a in fleet.controller.ask(
            "GET", "/v1/alerts").json["items"]
            if a["rule"] == "slice-held" and a["state"] == "firing"]
    (alert,) = until("the alert fires", firing)
    named = by_kind(fleet.get(rollout)["slices"], "named")
    assert (alert["series"], alert["severity"]) == (rollout, "page"), alert
    assert alert["says"] == named["text"], alert
    assert alert["runbook"] == "docs/alerts.md#slice-held"
    text = fleet.controller.ask("GET", "/metrics", token="").body.decode()
    ends = re.findall(r'^flotilla_rollout_slices\{rollout="%s",.*end="(\w+)"'
                      r"\} 1$" % rollout, text, re.M)
    assert sorted(ends) == ["changed", "held"], ends


def test_the_page_says_so_and_shows_the_devices(fleet, rollout):
    if not chromium.PROGRAM:
        pytest.skip("chromium-headless-shell is not installed")
    page = chromium.Page(fleet.folder)
    try:
        page.open(fleet.controller.rest)
        page.run("sessionStorage.setItem('flotilla.token', %s)"
                 % json.dumps(fleet.controller.token))
        page.open("about:blank")
        page.open(fleet.controller.rest)
        page.until("document.querySelector('[aria-label=Summary]')")
        go(page, "rollouts/" + rollout, "[aria-label=Slices]")
        for one in fleet.get(rollout)["slices"]:
            has(page, "[aria-label=Slices]", one["text"])
        assert not page.run("document.querySelector('[aria-label=Slices] "
                            "table')")
        page.run("document.querySelector('[aria-label=Slices] summary')"
                 ".click()")
        table = "[aria-label='Devices at site=lyon'] table"
        for device in fleet.devices:
            if device.site == BAD:
                has(page, table, device.name)
        has(page, table, "held")
        if os.environ.get("FLOTILLA_PICTURES"):
            page.picture(os.path.join(os.environ["FLOTILLA_PICTURES"],
                                      "slices.png"))
    finally:
        page.close()


def test_a_start_of_the_controller_forgets_none(fleet, rollout):
    before = fleet.get(rollout)["slices"]
    devices = fleet.controller.ask(
        "GET", "/v1/rollouts/%s/slices" % rollout).json
    fleet.restart()
    assert fleet.get(rollout)["slices"] == before
    assert fleet.controller.ask(
        "GET", "/v1/rollouts/%s/slices" % rollout).json == devices
