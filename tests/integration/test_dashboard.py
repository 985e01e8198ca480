"""The dashboard in a real browser (Debian's chromium-headless-shell; skipped
without one): a fleet of more than a page, an audit of more than a page."""
import json
import os
import shutil
import sqlite3
import tempfile

import pytest

import chromium
from chromium import go, has, press, write
from controller_parts import Controller
from waits import until, wall_ms

if not chromium.PROGRAM:
    pytest.skip("chromium-headless-shell is not installed",
                allow_module_level=True)
# More, for a measurement: FLOTILLA_PAGE_DEVICES=10000.
DEVICES = int(os.environ.get("FLOTILLA_PAGE_DEVICES", "2001"))
MARKUP = "<img src=x onerror=document.title=1>"
AUDIT = 1500
QUIET_S = 29
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


def make_controller():
    folder = tempfile.mkdtemp(prefix="flo-c-", dir="/tmp")
    one = Controller(folder).start()
    one.stop()
    with sqlite3.connect(os.path.join(one.dir, "control.db")) as base:
        for i in range(DEVICES):
            version = {DEVICES - 1: "9", 0: EVIL}.get(i, "1")
            said = of_two_models() if i == 1 else report(version)
            site = MARKUP if i == 2 else "site-%d" % (i % 7)
            base.execute(
                "INSERT INTO device (id, name, labels, profile, groups,"
                " enrolled_at, reported) VALUES (?,?,?,?,'[\"all\"]',1,?)",
                ("00000000-0000-4000-8000-%012x" % i, "n%d" % i,
                 json.dumps({"site": site}),
                 json.dumps(said.get("profile", {})), json.dumps(said)))
            base.execute("INSERT INTO device_group (grp, device)"
                         " VALUES ('all', ?)",
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
    yield one.start("--seal-again")
    one.stop()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def controller():
    yield from make_controller()


@pytest.fixture(scope="module")
def page(controller):
    one = chromium.Page(os.path.dirname(controller.dir))
    sign_in(one, controller, controller.token)
    yield one
    one.close()


def sign_in(page, controller, token):
    page.open(controller.rest)
    page.run("sessionStorage.setItem('flotilla.token', %s)"
             % json.dumps(token))
    page.open("about:blank")
    page.open(controller.rest)
    page.until("document.querySelector('[aria-label=Summary]')")


def test_a_large_fleet_is_there_at_once(page, controller):
    page.open("about:blank")
    page.open(controller.rest)
    page.until("document.querySelector('[aria-label=Devices] tbody tr')")
    # The mark is set by the page itself when the list can be used.
    ready = page.run("performance.getEntriesByName('interactive')[0]"
                     ".startTime")
    print("interactive after %.0f ms with %d devices" % (ready, DEVICES))
    has(page, "h1", format(DEVICES, ",") + " devices")
    has(page, "[aria-label=Models]", "tiny@9")
    # One call counts them; a page of the list is all that is read of devices.
    assert page.run(
        "performance.getEntriesByType('resource').filter(r => r.name"
        ".includes('/v1/devices?')).every(r => /[?&]limit=[0-9]{1,2}(&|$)/"
        ".test(r.name))")
    assert page.run("performance.getEntriesByType('resource')"
                    ".some(r => r.name.includes('/v1/overview?'))")


def test_what_needs_a_look_stands_first_and_says_why(page):
    row = "[aria-label=Devices] tbody tr"
    has(page, "[aria-label=Devices]", "help: behind")
    go(page, "fleet?where=drifts", row)
    page.until("document.querySelectorAll('[aria-label=Devices] tbody tr')"
               ".length === 1")
    has(page, row, "tiny@1, help@1.0.0")


def test_a_wrong_selector_is_answered_with_a_sentence(page):
    go(page, "fleet?where=nonsense%20%3D%3D", "main [role=alert]")
    has(page, "main [role=alert]", "rest.")
    go(page, "fleet", "[aria-label=Devices] tbody tr")


def test_markup_of_a_device_stays_text(page):
    go(page, "devices/n2", "[aria-label=Hardware]")
    has(page, "[aria-label=Hardware]", MARKUP)
    assert page.run("document.querySelectorAll('main img').length") == 0
    go(page, "fleet", "[aria-label=Where] table")
    has(page, "[aria-label=Where]", MARKUP)
    assert "Flotilla" in page.run("document.title")
    # Also were the controller to let it through.
    shown = page.run("import('/app/data/words.js').then(d => [d.title({ model:"
                     " 'a', version: %s }), d.text(%s), d.bytes(%s),"
                     " d.duration(%s)])" % ((json.dumps(EVIL),) * 4))
    assert shown == ["a@–", "–", "–", "–"]


def test_a_device_shows_models_hardware_and_what_it_may_be_asked(page):
    go(page, "devices/n1", "[aria-label=Hardware]")
    has(page, "[aria-label=Hardware]", "aarch64 neon")
    for words in ("9.0 GiB/s", "1.4 GiB (rung 2, psi)"):
        has(page, "[aria-label=Hardware]", words)
    for words in ("tiny@1", "help@1.0.0", "behind"):
        has(page, "[aria-label=Models]", words)
    assert "old@" not in page.text("[aria-label=Models]")
    has(page, "[aria-label=Reports]", "Ask for doctor")


def test_a_model_is_removed_by_its_typed_name_only(page):
    press(page, "Remove help…", "[aria-label=Models]")
    has(page, "#remove-say", "1 of 1 device have help")
    button = "document.querySelector('dialog button.act')"
    write(page, "dialog .typed", "hel")
    page.until(button + ".disabled")
    write(page, "dialog .typed", "help")
    page.until("!" + button + ".disabled")
    page.run(button + ".click()")
    page.until("document.querySelector('dialog') === null")


def test_a_rollout_shows_its_plan_then_starts_and_ends(page):
    go(page, "rollouts/new?release=tiny%401", "#start")
    has(page, "[aria-label=Plan]", "of " + format(DEVICES, ","))
    file = "document.getElementById('file')"
    assert "release: tiny@1\n" in page.run(file + ".value")

    def edit(text):
        page.run("(f => { f.value = %s; f.dispatchEvent(new Event('change')) })"
                 "(%s)" % (json.dumps(text), file))

    edit("release: tiny@1\nphases:\n  - size: 7\n  - size: 100%\n")
    page.until("document.querySelectorAll('[aria-label=Phases] tbody tr')"
               ".length === 2")
    assert page.run("document.querySelector('fieldset').disabled")
    has(page, "main footer", "--file rollout.yaml")
    edit("release: [")
    has(page, "main", "body:2:1: did not find")
    page.run("document.getElementById('form').click()")
    page.until("!document.querySelector('fieldset').disabled")
    page.until("document.getElementById('start')")
    page.run("document.getElementById('start').click()")
    page.until("/^#.rollouts.r-/.test(location.hash)")
    page.until("document.querySelector('[aria-label=Funnel] tbody tr')")
    has(page, "main", "Pause")
    press(page, "Abort…")
    has(page, "dialog", "Abort r-")
    page.run("document.querySelector('dialog button.act').click()")
    has(page, "main .head", "abort")


def test_the_order_of_a_rollout_leads_to_its_rollout(page, controller):
    order = next(r["object"] for r in controller.ask(
        "GET", "/v1/audit?order=newest&limit=100").json["items"]
        if r["what"] == "order.issue" and '"op":"deploy"' in r["detail"])
    rollout = controller.ask("GET", "/v1/orders/" + order).json["rollout"]
    go(page, "orders/" + order, "[aria-label=Progress]")
    has(page, "[aria-label=Progress]", "those of rollout " + rollout)
    assert page.run("document.querySelector('[aria-label=Progress] a').hash") \
        == "#/rollouts/" + rollout
    assert page.run("!document.querySelector('[aria-label=Devices], .head"
                    " .st')"), "nobody is counted"


PHASES = ("[...document.querySelectorAll('[aria-label=Phases] tbody tr')].map("
          "r => [...r.cells].map(c => c.innerText))")


def test_a_plan_says_who_gets_it_when_and_what_the_way_back_takes(page):
    go(page, "rollouts/new?release=tiny%409&phases=10,100%25&soak=30s",
       "#start")
    takes, devices = (int(page.text("#start").split()[i].replace(",", ""))
                      for i in (2, 4))
    rows = page.run(PHASES)
    get, of = (sum(int(row[i].replace(",", "")) for row in rows)
               for i in (1, 2))
    assert (get, of) == (takes, devices) and takes < devices
    assert all(row[4][0].isdigit() for row in rows), rows
    has(page, "[aria-label=Plan]", "at least")
    has(page, "[aria-label='The way back']", "≈ 1 s each, no download")


def test_a_plan_says_that_its_start_is_refused_and_what_helps(
        page, controller):
    go(page, "rollouts/new?release=tiny%409", "#start")
    page.until("!document.getElementById('start').disabled")
    for op, is_frozen in (("freeze", True), ("unfreeze", False)):
        assert controller.ask("POST", "/v1/orders", {
            "op": op, "everywhere": True, "confirm": "test"}).status == 202
        page.until("document.getElementById('start').disabled === %s"
                   % json.dumps(is_frozen))
        assert ("A start now is refused" in page.text("main")) is is_frozen
    assert rendered(page, "/app/parts/forecast.js", "Refusals", {"plan": {
        "refusals": [{"id": "gate.undecidable", "what": "it never decides",
                      "fix": "give `--hold-for-person` or 8 devices"}]}},
        "[place.innerText, place.querySelectorAll('code')[1].innerText]") == [
            "A start now is refused: it never decides\n\n"
            "gate.undecidable Next: give --hold-for-person or 8 devices",
            "--hold-for-person"]


def test_a_release_is_taken_back_only_after_its_name_is_typed(page):
    go(page, "emergency?release=tiny%409", "#go-back")
    has(page, "#go-back", "1 of 1 device go back")
    assert page.run("document.getElementById('act').disabled")
    write(page, "#typed", "tiny@9")
    write(page, "#reason", "it is bad")
    page.until("!document.getElementById('act').disabled")
    assert page.text("#act") == "■ Take 1 device back"
    page.run("document.getElementById('act').click()")
    page.until("location.hash.startsWith('#/orders/')")
    has(page, "[role=status].huge", "0 of %s devices done" % format(DEVICES, ","))
    has(page, "main h1", "rollback tiny@9")
    has(page, "main", "For all, by admin, given")
    has(page, "main", ": it is bad.")
    # The order says so itself, whatever came into the audit since.
    order = page.run("location.hash").split("/")[-1]
    said = page.run("Promise.all([import('/app/screens/order.js'), import("
                    "'/app/data/api.js')]).then(async ([o, a]) => o.given("
                    "await a.call('GET', '/v1/orders/%s'), []))" % order)
    assert said["why"] == "it is bad" and said["where"] == "all", said
    assert page.run("import('/app/screens/order.js').then(o => o.given({ body:"
                    " { scope: { device: 'x' } }, devices: [{ id: 'x', name:"
                    " 'n7' }] }, []).where)") == "n7"


def test_a_yanked_release_is_not_offered_and_the_audit_says_who(page):
    go(page, "activity", "[aria-label=Audit] tbody tr")
    has(page, "[aria-label=Audit]", "order.emergency")
    has(page, "[aria-label=Orders]", "rollback tiny@9")
    has(page, "[aria-label=Controllers]", "It is the only one")
    go(page, "rollouts/new", "#release")
    has(page, "#release", "tiny@1")
    assert "tiny@9" not in page.text("#release")
    assert page.run("!document.querySelector('#start')")


ROLLOUT = {"id": "r-0001", "release": "tiny@2", "group": "all", "phase": 1,
           "reason": "probe.golden 1: the canary failed", "members": 5,
           "holders": 2, "by": "mira", "spec": {"reason": "CHG-7"},
           "causes": [{"id": "probe.golden", "devices": 1, "fix": "look at it",
                       "meaning": "a golden prompt got another answer"}],
           "phases": [{"number": 1, "name": "canary", "devices": 3, "counts": {
               "failed": 1, "succeeded": 2}, "state": "failed"},
                      {"number": 2, "name": "all", "devices": 2, "counts": {
                          "queued": 2}, "state": "waiting"}],
           "gates": [{"name": "failed", "phase": 1, "value": 33.3, "limit": 2,
                      "unit": "%", "bad": 1, "ended": 3, "action": "halt",
                      "interval": [0.1, 90.6], "verdict": "fail"}]}


@pytest.mark.parametrize("members,show,asked", [
    (5, "failed", []), (100000, None, []), (100000, "failed", ["failed"]),
    (100000, "not done", ["not-done"])])
def test_of_a_large_rollout_the_controller_chooses_the_devices(
        page, members, show, asked):
    """The first 200 of 100,000 may have none of those."""
    said = page.run(
        "import('/app/screens/rollout.js').then(async (r) => {"
        " const real = window.fetch, asked = []; window.fetch = async (url) =>"
        " { const only = new URL(url, location).searchParams.get('only');"
        " if (only) { asked.push(only); } return new Response(JSON.stringify("
        "only ? { items: [{ id: only }] } : { members: %d, devices: [{ id:"
        " 'first' }] })); }; try { const got = await r.Rollout.prototype.read("
        "{ path: ['rollouts', 'r-0001'], query: { show: %s } });"
        " return { asked, devices: got.one.devices }; }"
        " finally { window.fetch = real; } })" % (members, json.dumps(show)))
    assert said == {"asked": asked,
                    "devices": [{"id": (asked or ["first"])[0]}]}, said


def drawn(page, role, **changes):
    """Text, buttons and class of the state of a rollout, for a role."""
    return page.run(
        "Promise.all([import('/app/screens/rollout.js'),"
        " import('/app/parts/gates.js'), import('/app/parts/html.js'),"
        " import('/app/parts/parts.js'), import('/app/data/words.js'),"
        " import('/app/data/access.js')]).then(([r, g, p, q, w, a]) => {"
        " const me = a.me; a.know({ role: %s }); const one = %s;"
        " const place = document.createElement('div');"
        " document.body.append(place);"
        " p.render(p.html`<${q.State} word=${w.rolloutState(one)} />"
        "<${r.Notice} one=${one} /><${r.Buttons} one=${one} />"
        "<${g.Gates} rollout=${one} />`, place);"
        " const shown = { text: place.innerText, state: place.querySelector("
        "'.st').className, buttons: [...place.querySelectorAll('button')].map("
        "b => b.innerText) }; p.render(null, place); place.remove();"
        " a.know(me); return shown; })"
        % (json.dumps(role), json.dumps({**ROLLOUT, **changes})))


def rendered(page, module, name, props, read):
    """Result of `read`, a script about the `place` of a piece of the page."""
    return page.run(
        "Promise.all([import(%s), import('/app/parts/html.js')]).then(([m, p])"
        " => { const place = document.body.appendChild("
        "document.createElement('div')); p.render(p.html`<${m.%s} ...${%s} />`,"
        " place); const shown = %s; p.render(null, place); place.remove();"
        " return shown; })" % (json.dumps(module), name, json.dumps(props),
                               read))


def test_a_halted_rollout_says_why_and_what_can_be_done(page):
    shown = drawn(page, "admin", state="halted")
    assert "probe.golden on 1 of 3 devices: a golden prompt got" in (
        shown["text"])
    assert "Next: look at it" in shown["text"]
    assert "1 of 3 ended = 33.3 % (95 % CI 0.1 to 90.6)" in shown["text"]
    assert shown["buttons"] == ["Yank tiny@2…", "Roll back 2…"]
    assert drawn(page, "operator", state="halted")["buttons"] == [
        "Roll back 2…"]


def test_both_sides_of_a_gate_have_the_unit_of_their_metric(page):
    gate = {"name": "ttft_us p95", "gate": "ratio", "value": 1.1, "limit": 1.5,
            "unit": "times", "verdict": "pass", "text": "x", "because": "y",
            "action": "halt", "updated": {"value": 52000, "unit": "us"},
            "waiting": {"value": 3 << 20, "unit": "bytes"}}
    assert rendered(page, "/app/parts/gates.js", "Gates", {
        "rollout": {"gates": [gate]}}, "[...place.querySelectorAll('tbody td')]"
        ".slice(5, 7).map(c => c.innerText)") == ["52 ms", "3.0 MiB"]


def test_the_page_names_who_leads_and_who_is_silent(page):
    one = {"version": "1", "people": "10.0.0.1:8080", "devices": None,
           "since_ms": 1}
    shared = {"shared": True, "leads": True, "epoch": 7, "changes_hour": 2,
              "changes": [{"epoch": 7, "name": "north", "at_ms": 1},
                          {"epoch": 6, "name": "south", "at_ms": 1}],
              "items": [{**one, "id": "1", "name": "north", "state": "leads",
                         "heard_at_ms": 1},
                        {**one, "id": "2", "name": "south", "state": "silent",
                         "heard_at_ms": 1}]}
    shown = page.run(
        "Promise.all([import('/app/screens/activity.js'),"
        " import('/app/parts/html.js')]).then(([a, p]) => { const place ="
        " document.body.appendChild(document.createElement('div'));"
        " p.render(p.html`<${a.Controllers} ...${%s} />`, place);"
        " const shown = { text: place.innerText, hits:"
        " [...place.querySelectorAll('tr.hit, .hit')].map(r => r.innerText),"
        " states: [...place.querySelectorAll('tbody .st')].map("
        "s => s.className) }; p.render(null, place); place.remove();"
        " return shown; })" % json.dumps(shared))
    assert "epoch 7, 2 changes of leader within an hour" in shown["text"]
    assert "Led before: south" in shown["text"]
    assert shown["states"] == ["st ok", "st bad"], shown
    assert len(shown["hits"]) == 1 and "south" in shown["hits"][0], shown


def test_a_soak_counts_down_and_its_bar_fills_with_the_time(page):
    now = page.run("flotillaTime.now()")
    one = {"phases": [{"number": 1, "name": "canary", "devices": 4,
                       "state": "running", "counts": {
                           "soaking": 3, "succeeded": 1}, "soak": {
                               "devices": 3, "from_ms": now - 10000,
                               "until_ms": now + 30000}}]}
    words, ok, busy = rendered(
        page, "/app/parts/phases.js", "Phases", {"one": one},
        "[place.querySelector('.words .soft').innerText,"
        " ...['ok', 'busy'].map(k => Number(place.querySelector('.f-' + k)"
        ".getAttribute('width')))]")
    assert words == "soak of 3 devices ends in 30 s", words
    assert ok == 25 and abs(busy - 75 / 4) < 0.5, (ok, busy)
    one["phases"][0]["soak"].update(devices=0, until_ms=now - 1)
    assert "soak of the phase ends now" in rendered(
        page, "/app/parts/phases.js", "Phases", {"one": one},
        "place.innerText")


def test_a_timeline_names_releases_and_marks_nothing_as_under_way(page):
    release = {"model": "tiny", "release": digest("1"), "version": "1.4.0"}
    events = [{"type": "serving", "serving": "ready", **release,
               "first_answer_ms": 42, "at_ms": 5},
              {"type": "serving", "serving": "down", **release, "at_ms": 4},
              {"type": "drift", "kind": "behind", **release, "at_ms": 3},
              {"type": "execution", "state": "succeeded", "rollout": "r-0007",
               **release, "at_ms": 2},
              {"type": "note", "error": {"id": "disk.io", "what": "no write"},
               "at_ms": 1}]
    rows = rendered(page, "/app/parts/timeline.js", "Timeline",
                    {"events": events},
                    "[...place.querySelectorAll('tbody tr')].map(r =>"
                    " [r.innerText.split('\\t').slice(1).join('|'),"
                    " r.querySelector('.st').className])")
    assert rows == [
        ["serves|tiny@1.4.0|first answer after 42 ms", "st ok"],
        ["down|tiny@1.4.0|", "st bad"],
        ["drift: behind|tiny@1.4.0|", "st warn"],
        ["succeeded|tiny@1.4.0 · r-0007|", "st ok"],
        ["note|disk.io no write|", "st warn"]], rows


def test_the_audit_has_words_and_tells_tokens_of_one_name_apart(
        page, controller):
    for _ in range(2):
        assert controller.ask("POST", "/v1/tokens", {
            "kind": "access", "role": "viewer", "name": "admin"}).status == 201
    assert controller.ask("POST", "/v1/orders", {
        "op": "freeze", "everywhere": True, "confirm": "test",
        "reason": "a moving day"}).status == 202
    assert controller.ask("POST", "/v1/orders", {
        "op": "unfreeze", "everywhere": True, "confirm": "test"}).status == 202
    go(page, "activity", "[aria-label=Audit] tbody tr")
    has(page, "[aria-label=Audit]", "a moving day")
    rows = page.run("[...document.querySelectorAll('[aria-label=Audit] tbody"
                    " tr')].map(r => [...r.cells].map(c => c.innerText))")
    asked = next(r for r in rows if "a moving day" in r[5])
    assert asked[5] == "op freeze, everywhere, confirm test, reason a moving day"
    assert not any("{" in r[5] or '"' in r[5] for r in rows), rows
    issued = next(r for r in rows if r[2] == "order.issue")
    assert issued[5].startswith("op unfreeze, group all, body "), issued
    own = asked[1].split()  # its name, and the begin of its token's number
    assert own[0] == "admin" and len(own) == 2 and len(own[1]) == 6, asked
    tokens = page.text("[aria-label='Users and tokens'] tbody")
    assert own[1] in tokens
    wide = page.run("[...document.querySelectorAll('.scroll')].map(s =>"
                    " [s.getAttribute('aria-label'), s.scrollWidth -"
                    " s.clientWidth]).filter(([, more]) => more > 0)")
    assert wide == [], wide


def test_who_may_only_look_sees_no_button_that_acts(page):
    for role in ("viewer", "auditor", "operator:lab"):
        assert drawn(page, role, state="running")["buttons"] == [], role
    assert "Pause" in drawn(page, "operator", state="running")["buttons"]


def test_what_was_taken_back_is_never_green(page):
    for state in ("rolled-back", "rolling-back"):
        shown = drawn(page, "admin", state=state, holders=0)
        assert shown["state"] == "st back" and shown["buttons"] == []
    # Also when its devices were taken back by an order of their group.
    assert drawn(page, "admin", state="completed",
                 holders=0)["state"] == "st back"
    assert drawn(page, "admin", state="completed")["state"] == "st ok"


def test_keys_go_to_a_screen_and_never_act(page):
    for key, path in (("r", "rollouts"), ("a", "activity"), ("t", "telemetry"),
                      ("e", "emergency"), ("f", "fleet")):
        page.run("['g', '%s'].forEach(key => document.body.dispatchEvent(new"
                 " KeyboardEvent('keydown', { key, bubbles: true })))" % key)
        page.until("location.hash === '#/%s'" % path)


def test_a_frozen_fleet_is_seen(page, controller):
    go(page, "fleet", "[aria-label=Summary]")
    notes = "document.querySelector('.alerts')?.innerText"
    for op, shown in (("freeze", "true"), ("unfreeze", "false")):
        assert controller.ask("POST", "/v1/orders", {
            "op": op, "everywhere": True, "confirm": "test"}).status == 202
        page.until("%s.includes('is frozen') === %s" % (notes, shown))


def test_prompts_are_kept_only_after_the_fleet_s_name_is_typed(page, controller):
    button = "document.querySelector('dialog button.act')"
    for words, stays in (("Keep prompts…", True), ("Let them go…", False)):
        go(page, "emergency", "#prompts")
        press(page, words)
        write(page, "dialog .typed", "tes")
        page.until(button + ".disabled")
        write(page, "dialog .typed", "test")
        page.until("!" + button + ".disabled")
        page.run(button + ".click()")
        page.until("document.querySelector('dialog') === null")
        assert controller.ask("GET", "/v1/version").json[
            "prompts_stay"] is stays


def test_an_alert_is_counted_in_the_frame_and_taken_by_a_person(
        page, controller):
    assert controller.ask("POST", "/v1/orders", {
        "op": "config", "everywhere": True, "heartbeat_ms": 1000,
        "confirm": "test"}).status == 202  # alerts are looked at as often
    assert controller.ask("PUT", "/v1/alert-rules/any-drift", {
        "where": "drifts", "above": 0, "severity": "page",
        "text": "devices drift"}).status == 200
    go(page, "fleet", "[aria-label=Alerts] li")
    page.until("document.getElementById('alerts')")
    own = "[...document.querySelectorAll('[aria-label=Alerts] li')].find(e =>" \
          " e.innerText.includes('any-drift'))"
    page.until(own)
    words = page.run(own + ".innerText")
    assert "Nobody has it yet." in words and "limit 0: devices drift" in words
    before = page.text("#alerts")
    page.run(own + ".querySelector('button').click()")
    write(page, "dialog input", "looking at it")
    page.run("document.querySelector('dialog button.act').click()")
    page.until(own + ".innerText.includes('has it: looking at it')")
    page.until("document.getElementById('alerts')?.innerText !== '%s'" % before)


def test_a_change_freeze_says_until_when_and_by_whom(page, controller):
    now = wall_ms()
    assert controller.ask("PUT", "/v1/change-freezes/sale", {
        "from_ms": now - 1000, "until_ms": now + 3600000,
        "reason": "CHG-7"}).status == 200
    go(page, "rollouts", "[aria-label='Change freezes'] tbody tr")
    for words in ("sale", "frozen", "CHG-7"):
        has(page, "[aria-label='Change freezes'] tbody tr", words)
    go(page, "fleet", "[aria-label=Summary]")
    has(page, ".alerts", "Change freeze sale for all until")
    assert controller.ask("DELETE", "/v1/change-freezes/sale").status == 200


SCREENS = ("fleet", "rollouts", "rollouts/r-0001", "emergency", "telemetry",
           "activity", "devices/n1", "rollouts/new?release=tiny%401")


def each_screen(page):
    for screen in SCREENS:
        go(page, screen, "main h1")
        page.until("document.querySelector('main footer')")
        yield screen


def test_no_screen_is_wider_than_a_phone(page):
    page.call("Emulation.setDeviceMetricsOverride", width=360, height=800,
              deviceScaleFactor=1, mobile=False)
    for screen in each_screen(page):
        width = page.run("document.documentElement.scrollWidth")
        assert width <= 360, (screen, width)
    page.call("Emulation.clearDeviceMetricsOverride")


SMALL = """[...document.querySelectorAll('a, button, input, select, summary')]
 .filter(e => !e.closest('p, dd, footer, .skip, .vh, dialog:not([open])') &&
 e.type !== 'checkbox').map(e => [e.innerText || e.name || e.id,
 e.getBoundingClientRect()]).filter(([, r]) => r.width > 0 && r.height < 43.5)
 .map(([word, r]) => word + ' ' + Math.round(r.height))"""


def test_a_finger_meets_each_target_that_stands_alone(page):
    page.call("Emulation.setDeviceMetricsOverride", width=800, height=1000,
              deviceScaleFactor=1, mobile=True)
    page.call("Emulation.setTouchEmulationEnabled", enabled=True,
              maxTouchPoints=5)
    assert page.run("matchMedia('(pointer: coarse)').matches")
    for screen in each_screen(page):
        small = page.run(SMALL)
        assert small == [], (screen, small[:9])
    page.call("Emulation.setTouchEmulationEnabled", enabled=False)
    page.call("Emulation.clearDeviceMetricsOverride")


AXE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..",
                   "build", "node_modules", "axe-core", "axe.min.js")


@pytest.mark.skipif(not os.path.exists(AXE), reason="axe-core is not there")
@pytest.mark.parametrize("scheme", ("light", "dark"))
def test_axe_finds_nothing(page, scheme):
    page.call("Emulation.setEmulatedMedia", features=[{
        "name": "prefers-color-scheme", "value": scheme}])
    with open(AXE, encoding="utf-8") as file:
        page.run(file.read() + "; 0")
    for screen in each_screen(page):
        found = page.run("axe.run().then(r => r.violations.map(v => v.id + ' '"
                         " + v.nodes.slice(0, 3).map(n => n.html)))")
        assert found == [], (screen, found)


def test_a_page_that_nothing_happens_to_asks_for_nothing(page):
    go(page, "fleet", "[aria-label=Where] table")
    page.until("document.getElementById('live').dataset.state === 'live'")
    page.run("window.asked = []; window.before = window.fetch; window.fetch ="
             " (...args) => { asked.push(args[0]); return before(...args); }; 0")
    end = page.run("flotillaTime.now()") + 1000 * QUIET_S
    until("the page's clock went on", lambda: page.run(
        "flotillaTime.step().then(() => flotillaTime.now())") >= end)
    asked = page.run("window.fetch = before, asked")
    # Alerts have no event of their own: they are asked for each 10 s.
    assert set(asked) <= {"/v1/alerts", "/v1/alert-rules"}, asked
    assert 2 <= asked.count("/v1/alerts") <= 3, asked


def test_a_viewer_sees_no_emergency_and_no_start(page, controller):
    sign_in(page, controller, controller.access("viewer"))
    assert page.run("document.getElementById('emergency') === null")
    go(page, "devices/n1", "[aria-label=Models]")
    assert "Remove" not in page.text("main")
    assert "Maintenance…" not in page.text("main")
    go(page, "rollouts/new?release=tiny%401", "#release")
    has(page, "main", "This token may look")
    assert page.run("document.getElementById('start') === null")


def test_a_controller_that_is_away_is_seen(page, controller):
    controller.stop()
    has(page, ".stale", "The controller is away since")
    has(page, ".stale", "flotilla emergency rollback")
