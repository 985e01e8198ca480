"""A release that is slow at one site, and a site that became slow by itself:
command line, page, alert and numbers say where, in the same words.

The devices' numbers are the test's, in blocks of time that it ends
(evidence_parts.py)."""
import json
import os
import re

import pytest

import chromium
from chromium import go, has
from site_parts import BAD, EACH, SITES, Sites
from waits import until

FIRST = 3 * len(SITES)  # three of six at each
BLOCKS_MAX = 20  # until it is named; it has its data after five


@pytest.fixture(scope="module")
def fleet(folder):
    one = Sites(folder)
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
