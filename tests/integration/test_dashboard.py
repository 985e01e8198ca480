"""The dashboard in a real browser (Debian's chromium-headless-shell; skipped
without one): a fleet of more than a page, an audit of more than a page."""
import json
import os
import shutil
import sqlite3
import tempfile

import pytest

import chromium
from controller_parts import Controller

if not chromium.PROGRAM:
    pytest.skip("chromium-headless-shell is not installed",
                allow_module_level=True)
DEVICES = 1001
AUDIT = 1500
EVIL = {"toString": 1, "valueOf": 1}  # what a stolen device reports


def digest(version):
    return "sha256:" + (version if isinstance(version, str) else "e") * 64


def document(version):
    """A release document of one small file."""
    file = "sha256:" + version * 64
    return json.dumps({
        "v": 2, "fleet": "test", "model": "tiny", "version": version,
        "number": int(version), "created_at_ms": 0, "files": [{
            "name": "model.gguf", "role": "model", "digest": file,
            "bytes": 1 << 20, "get": [{"codec": "raw", "digest": file,
                                       "bytes": 1 << 20}]}],
        "variants": [{"name": "q4", "files": ["model.gguf"],
                      "entry": "model.gguf", "needs": {}}]})


def report(version):
    slot = {"version": version, "release": digest(version)}
    before = {"version": "0", "release": digest("0")}
    return {"models": [{"model": "tiny", "state": "ready", "serving": slot,
                        "current": slot, "previous": before}]}


def of_two_models():
    """tiny serves, help is on its way to another release, old was removed."""
    said = report("1")
    slot = {"version": "1.0.0", "release": "sha256:" + "f" * 64}
    said["models"] += [
        {"model": "help", "state": "on-demand", "rung": 2, "serving": slot,
         "current": slot, "drift": {"kind": "behind", "since_at_ms": 1},
         "execution": {"id": "r-0007.1", "state": "downloading"}},
        {"model": "old", "state": "removed", "serving": None}]
    said["profile"] = {
        "arch": "aarch64", "cpus": 4, "kernel": "neon", "memory_bytes":
        1540000000, "disk_free_bytes": 1 << 30, "power": {"mains": True},
        "bench": {"memory_bytes_per_s": 9 << 30, "at_ms": 1}}
    said["memory"] = {"budget": 1540000000, "planned": 1457000000, "rung": 2,
                      "why": "psi"}
    return said


@pytest.fixture(scope="module")
def controller():
    folder = tempfile.mkdtemp(prefix="flo-c-", dir="/tmp")
    one = Controller(folder).start()
    one.stop()
    with sqlite3.connect(os.path.join(one.dir, "control.db")) as base:
        for i in range(DEVICES):
            version = {DEVICES - 1: "9", 0: EVIL}.get(i, "1")
            said = of_two_models() if i == 1 else report(version)
            base.execute(
                "INSERT INTO device (id, name, labels, profile, groups,"
                " enrolled_at, reported) VALUES (?,?,'{}',?,'[\"all\"]',1,?)",
                ("00000000-0000-4000-8000-%012x" % i, "n%d" % i,
                 json.dumps(said.get("profile", {})), json.dumps(said)))
            base.execute("INSERT INTO device_group VALUES ('all', ?)",
                         ("00000000-0000-4000-8000-%012x" % i,))
        for number in (1, 9):
            base.execute(
                "INSERT INTO release (model, version, number, digest, state,"
                " body, bytes, created_at) VALUES ('tiny',?,?,?,'published',"
                "?,100,1)", (str(number), number, digest(str(number)),
                             document(str(number))))
        for n in range(AUDIT):
            base.execute("INSERT INTO audit VALUES (?,1,'ops','x',?,'ok','',"
                         "zeroblob(32), zeroblob(32))", (n + 1, "o-%d" % n))
    base.close()
    yield one.start()
    one.stop()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def page(controller):
    one = chromium.Page(os.path.dirname(controller.dir))
    one.open(controller.rest)
    one.run("sessionStorage.setItem('flotilla.token', %s)"
            % json.dumps(controller.token))
    one.open(controller.rest)
    one.until("document.querySelector('[aria-label=Audit] tbody tr')")
    yield one
    one.close()


def test_devices_behind_the_first_page_are_counted(page):
    assert page.text(".tile").split() == [str(DEVICES), "devices"]
    assert "serve tiny@9" in page.text("[aria-label=Summary]")


def test_each_model_of_a_device_has_a_row(page):
    summary = page.text("[aria-label=Summary]")
    assert "serve help@1.0.0" in summary and "serve tiny@1" in summary
    assert "old@" not in summary
    page.run("document.querySelector('[aria-label=Fleet] details').open = 1")
    rows = page.run("[...document.querySelectorAll('[aria-label=Fleet] tbody"
                    " tr')].slice(1, 4).map(r => r.innerText)")
    first, second, third = [row.split("\t") for row in rows]
    assert first[0] == "n1" and first[2] == "tiny@1" and first[3] == "ready"
    assert first[9] == "1.4 GiB of 1.4 GiB"
    assert second[0] == "" and second[2:5] == ["help@1.0.0", "on-demand", "2"]
    assert second[6] == "downloading" and second[7] == "behind"
    assert third[0] == "n2"
    assert "tiny@1, help@1.0.0" in page.run(
        "document.querySelectorAll('[aria-label=Fleet] .cell')[1].title")


def test_a_release_of_any_model_can_be_taken_back(page):
    page.run("document.getElementById('emergency').click()")
    shown = page.run("[...document.querySelector('dialog select').options]"
                     ".map(o => o.value)")
    assert sorted(shown) == ["help@1.0.0", "tiny@1", "tiny@9"]
    back = ("[...document.querySelectorAll('dialog select')].pop()")
    assert page.run("[...%s.options].map(o => o.value)" % back) == ["", "tiny@9"]
    page.run("(s => { s.value = 'help@1.0.0';"
             " s.dispatchEvent(new Event('change')) })"
             "(document.querySelector('dialog select'))")
    assert page.run("[...%s.options].map(o => o.value)" % back) == [""]
    page.run("document.querySelector('dialog').close()")


def test_a_release_behind_the_first_page_can_be_taken_back(page):
    page.run("document.getElementById('emergency').click()")
    button = "document.querySelector('dialog .danger').innerText"
    page.until(button + " === '■ Roll back %d devices'" % (DEVICES - 2), 10)
    # the plan stands there before anything is typed, and the button is off
    page.until("document.querySelector('dialog table') !== null", 10)
    assert "tiny@0" in page.text("dialog table")
    assert page.run("document.querySelector('dialog .danger').disabled")
    page.run("(s => { s.value = 'tiny@9';"
             " s.dispatchEvent(new Event('change')) })"
             "(document.querySelector('dialog select'))")
    page.until(button + " === '■ Roll back 1 devices'", 10)
    assert "1 are offline" in page.text("dialog #emergency-say")
    page.run("(i => { i.value = 'tiny@9'; i.dispatchEvent(new Event('input'))"
             " })(document.querySelector('dialog [aria-describedby]'))")
    assert not page.run("document.querySelector('dialog .danger').disabled")
    page.run("document.querySelector('dialog').close()")


def test_a_rollout_shows_its_plan_before_it_starts(page):
    page.run("document.querySelector('[aria-label=\"Roll out tiny@9\"]')"
             ".click()")
    page.until("document.querySelector('dialog #start-say').innerText"
               ".includes('never reported')", 10)
    said = page.text("dialog #start-say")
    assert "1 of %d devices take it, 1.0 MiB" % DEVICES in said, said
    assert "%d never reported" % (DEVICES - 1) in said
    assert "whole" in page.text("dialog table")
    page.run("document.querySelector('dialog').close()")


def test_a_device_shows_its_hardware_and_what_it_may_be_asked(page):
    page.run("document.querySelectorAll('[aria-label=Fleet] .cell')[1].click()")
    page.until("document.querySelector('dialog [aria-label=Hardware]')", 10)
    hardware = page.text("dialog [aria-label=Hardware]")
    assert "aarch64 neon" in hardware and "9.0 GiB/s" in hardware
    assert "Ask for doctor" in page.text("dialog [aria-label=Reports]")
    assert "Remove help…" in page.text("dialog [aria-label=Models]")
    page.run("document.querySelector('dialog').close()")


def test_whatever_a_device_reports_the_page_stays_live(page):
    page.until("document.getElementById('live').dataset.state === 'live'", 5)
    # Also were the controller to let it through.
    shown = page.run(
        "import('/app/dom.js').then(d => { const evil = %s; return ["
        "d.title({ model: 'a', version: evil }), d.state(evil).innerText,"
        " d.table(['x'], [[evil]]).querySelector('td').innerText,"
        " d.bytes(evil), d.duration(evil)] })" % json.dumps(EVIL))
    assert shown == ["a@–", "–", "–", "–", "–"]


def test_the_audit_shows_the_newest_records(page, controller):
    first = "document.querySelector('[aria-label=Audit] tbody tr').innerText"
    assert "o-%d" % (AUDIT - 1) in page.run(first)
    assert controller.ask("POST", "/v1/tokens", {
        "kind": "enroll"}).status == 201
    page.until(first + ".includes('token.create')", 5)


def test_a_device_that_leaves_is_gone_from_the_page(page, controller):
    assert controller.ask("DELETE", "/v1/devices/n5").status == 200
    page.until("document.querySelector('.tile').innerText.startsWith('%d')"
               % (DEVICES - 1), 10)


def test_a_frozen_fleet_is_seen(page, controller):
    summary = "document.querySelector('[aria-label=Summary]').innerText"
    for op, shown in (("freeze", "true"), ("unfreeze", "false")):
        assert controller.ask("POST", "/v1/orders", {
            "op": op, "everywhere": True, "confirm": "test"}).status == 202
        page.until("%s.includes('frozen') === %s" % (summary, shown), 10)


def test_a_model_is_removed_by_its_typed_name_only(page):
    page.run("[...document.querySelectorAll('[aria-label=Models] button')]"
             ".find(b => b.innerText === 'Remove help…').click()")
    page.until("document.querySelector('#remove-say').innerText"
               ".includes('1 of %d devices have help')" % (DEVICES - 1), 10)
    button = "document.querySelector('dialog button.danger')"
    typed = ("(i => { i.value = '%s'; i.dispatchEvent(new Event('input')) })"
             "(document.querySelector('[aria-describedby=remove-say]'))")
    page.run(typed % "hel")
    assert page.run(button + ".disabled")
    page.run(typed % "help")
    assert not page.run(button + ".disabled")
    page.run(button + ".click()")
    page.until("document.querySelector('dialog') === null", 10)
    page.until("document.getElementById('announce').innerText"
               ".includes('help is being removed')", 5)


ROLLOUT = {"id": "r-0001", "release": "tiny@2", "group": "all", "phase": 1,
           "reason": "probe.golden 1: the canary failed", "members": 5,
           "holders": 2, "by": "mira", "spec": {"reason": "CHG-7"},
           "causes": [{"id": "probe.golden", "devices": 1, "fix": "",
                       "meaning": "a golden prompt got another answer"}],
           "phases": [{"number": 1, "name": "canary", "devices": 3, "counts": {
               "failed": 1, "succeeded": 2}, "state": "failed"},
                      {"number": 2, "name": "all", "devices": 2, "counts": {
                          "queued": 2}, "state": "waiting"}],
           "gates": [{"name": "failed", "phase": 1, "value": 33.3, "limit": 2,
                      "unit": "%", "bad": 1, "ended": 3,
                      "interval": [0.1, 90.6], "verdict": "fail"}]}


def card(page, **changes):
    """Text and buttons of a rollout's card, and how its state is marked."""
    return page.run(
        "import('/app/cards.js').then(v => { const card = v.rollout(%s, () =>"
        " 0); document.body.append(card); const shown = { text:"
        " card.innerText, state: card.querySelector('.state').className,"
        " buttons: [...card.querySelectorAll('button')].map(b =>"
        " b.innerText) }; card.remove(); return shown; })"
        % json.dumps({**ROLLOUT, **changes}))


def test_a_halted_rollout_says_why_and_what_can_be_done(page):
    shown = card(page, state="halted")
    assert "probe.golden on 1 of 3 devices: a golden prompt got" in (
        shown["text"])
    assert "CHG-7" in shown["text"] and "phase 1 of 2" in shown["text"]
    assert "1 of 3 ended = 33.3 % (95 % CI 0.1 to 90.6)" in shown["text"]
    assert shown["buttons"] == ["Yank tiny@2…", "Roll back 2…"]


def test_what_was_taken_back_is_never_green(page):
    for state in ("rolled-back", "rolling-back"):
        shown = card(page, state=state, holders=0)
        assert shown["state"] == "state back", shown
        assert shown["buttons"] == []
    # Also when its devices were taken back by an order of their group.
    shown = card(page, state="completed", holders=0)
    assert shown["state"] == "state back", shown
    assert card(page, state="completed")["state"] == "state good"


def test_devices_are_sorted_as_people_count(page):
    names = page.run("[...document.querySelectorAll('[aria-label=Fleet]"
                     " .cell')].slice(0, 3).map(c => c.title.split(':')[0])")
    assert names == ["n0", "n1", "n2"]


def test_a_page_that_nothing_happens_to_asks_for_nothing(page):
    page.until("document.getElementById('live').dataset.state === 'live'", 5)
    asked = page.run(
        "new Promise(done => { const ask = window.fetch; let n = 0;"
        " window.fetch = (...args) => { n += 1; return ask(...args); };"
        " setTimeout(() => { window.fetch = ask; done(n); }, 3000); })")
    assert asked <= 3, "at most one request a second"


def test_a_rollout_is_taken_back_by_its_dialog(page, controller):
    started = controller.ask("POST", "/v1/rollouts", {"release": "tiny@1"})
    assert started.status == 201, started.body
    rollout = {**ROLLOUT, "id": started.json["id"], "release": "tiny@1"}
    page.run("import('/app/rollback.js').then(r => { r.openRollback(%s, []);"
             " const typed = [...document.querySelectorAll('dialog input')]"
             ".pop(); typed.value = 'tiny@1';"
             " typed.dispatchEvent(new Event('input'));"
             " document.querySelector('dialog .danger').click() })"
             % json.dumps(rollout))
    page.until("document.querySelector('dialog') === null"
               " || document.querySelector('dialog .error').innerText !== ''",
               10)
    assert page.run("document.querySelector('dialog')?.innerText") is None
    shown = controller.ask("GET", "/v1/rollouts/" + rollout["id"]).json
    assert shown["state"] in ("rolling-back", "rolled-back"), shown["reason"]
