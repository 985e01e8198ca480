"""A browser drives simulated devices on the real broker and HTTPS: a rollout
from plan to end, a release that its gate halts, and an emergency rollback.

FLOTILLA_PAGE_FLEET=1000 takes more devices.  A failing test leaves what the
page showed in FLOTILLA_PAGE_SHOTS (a folder of build/)."""
import os
import re
import signal
import sys

import pytest

import chromium
from chromium import go, has, write
from conftest import BIN, ROOT

sys.path.insert(0, os.path.join(ROOT, "tests", "fleet"))

import simulated as S  # noqa: E402
from waits import same, stopped, until  # noqa: E402

if not chromium.PROGRAM:
    pytest.skip("chromium-headless-shell is not installed",
                allow_module_level=True)
DEVICES = int(os.environ.get("FLOTILLA_PAGE_FLEET", "300"))
BUILD = os.environ.get("FLOTILLA_BUILD", os.path.join(ROOT, "build",
                                                      "release"))
SHOTS = os.environ.get("FLOTILLA_PAGE_SHOTS",
                       os.path.join(BUILD, "dashboard"))
PLAN = "rollouts/new?release=%s&phases=%s&soak=200ms&pace=%d/min&failed=%s"


@pytest.fixture(scope="module")
def fleet(folder, bin_dir):
    one = S.Simulated(folder, BIN, name="prod").up()
    one.publish("tiny@1", "tiny-v2.Q4_0.gguf", "golden-tiny-v2.json")
    one.publish("tiny@2", "tiny-v2.1.Q4_0.gguf", "golden-tiny-v2.1.json")
    one.sim = one.simulate(os.path.join(BUILD, "tests", "flotilla-sim"),
                           DEVICES, seed=19, scripts="slow=50,failing=200",
                           interval=1000, pace=20)
    one.sim.connected()
    yield one
    if one.sim.process.poll() is None:
        one.sim.process.kill()
        one.sim.process.wait()
    one.close()


@pytest.fixture(scope="module")
def browser(fleet):
    one = chromium.Page(fleet.dir)
    one.open(fleet.url)
    one.run("sessionStorage.setItem('flotilla.token', '%s')" % fleet.admin)
    one.open("about:blank")
    one.open(fleet.url)
    has(one, "main h1", format(DEVICES, ",") + " devices")
    yield one
    one.close()


@pytest.fixture
def page(browser, request):
    """The page; what it showed is kept if the test fails."""
    failed = request.session.testsfailed
    yield browser
    if request.session.testsfailed > failed:
        os.makedirs(SHOTS, exist_ok=True)
        browser.picture(os.path.join(SHOTS, request.node.name + ".png"))


def start(page, release, phases, seconds, failed):
    """Start on the page what the plan says; the rollout's id."""
    go(page, PLAN % (release.replace("@", "%40"), phases.replace("%", "%25"),
                     DEVICES * 60 // seconds, failed), "#start")
    has(page, "#start", "of %s device" % format(DEVICES, ","))
    page.run("document.getElementById('start').click()")
    page.until("/^#.rollouts.r-/.test(location.hash)")
    return page.run("location.hash.split('/')[2]")


def test_a_rollout_goes_from_its_plan_through_its_phases_to_its_end(
        page, fleet):
    # No device does anything until the page has shown that.
    stopped(fleet.sim.process.pid)
    try:
        start(page, "tiny@1", "5, 20%, 100%", 4, 100)
        has(page, "[aria-label=Summary]", "have it")
        # Each change of the page is kept: no state of a moment is missed.
        page.run("window.seen = new Set(); const look = () => { const words ="
                 " document.querySelector('[aria-label=Summary]')?.innerText"
                 ".replace(/\\s+/g, ' '); words && seen.add(words); }; look();"
                 " new MutationObserver(look).observe(document.getElementById("
                 "'main'), {childList: true, characterData: true, subtree:"
                 " true}); 0")
    finally:
        fleet.sim.process.send_signal(signal.SIGCONT)
    page.until("document.querySelector('main .head .st')?.innerText ==="
               " 'completed'")

    seen = page.run("[...seen]")
    assert len({words.split(" have it")[0] for words in seen}) > 1, seen
    until("three phases passed", lambda: same(
        page.text("[aria-label=Phases] tbody").count("passed"), 3))
    for words in ("succeeded", "failed"):  # some always fail
        has(page, "[aria-label=Funnel]", words)


def test_a_bad_release_is_halted_and_the_page_says_why_first(page):
    start(page, "tiny@2", "100%", 6, 1)
    page.until("document.querySelector('main .head .st')?.innerText ==="
               " 'halted'")
    has(page, "main .n-bad", "Next:")

    # Most fail their golden prompts, some are too slow; who is first is chance.
    cause = page.text("main .n-bad")
    said = re.match(r"(a golden prompt got another answer|the candidate is too "
                    r"slow on this device)\s+probe\.(golden|speed) on ", cause)
    assert said, cause
    assert " have tiny@2 now" in cause, cause
    assert page.run("document.querySelector('main .n-bad').offsetTop <"
                    " document.querySelector('[aria-label=Gates]').offsetTop")
    # One alone, or some whose ends the controller heard together.
    gates = page.text("[aria-label=Gates]")
    assert re.search(r"\b[1-9]\d* of [1-9]\d* failed", gates), gates
    assert "95 % CI" in gates, gates
    assert "0.0 to 100.0" not in gates
    first = page.text("[aria-label=Devices] tbody tr, "
                      "[aria-label='Devices of this rollout'] tbody tr")
    assert "failed" in first and "probe." in first, first
    # The whole fleet shows it before all else.
    go(page, "fleet", ".alerts li")
    has(page, ".alerts", said[1])


def test_an_emergency_takes_the_release_back_after_its_name_is_typed(
        page, fleet):
    go(page, "emergency?release=tiny%402", "#go-back")
    assert page.run("document.getElementById('act').disabled")
    write(page, "#reason", "r-0002 was halted")
    write(page, "#typed", "tiny@2")
    page.until("!document.getElementById('act').disabled")
    button = page.text("#act")
    assert "■ Take " in button and "Take 0" not in button, button
    page.run("document.getElementById('act').click()")
    page.until("location.hash.startsWith('#/orders/')")
    page.until("/^(done|partly)$/.test(document.querySelector('main .head .st')"
               "?.innerText)")
    # Those on which the release before it failed have nothing to go back to.
    huge, words = page.run(  # one look: answers still come
        "['main .huge', '[aria-label=Progress]'].map("
        "place => document.querySelector(place).innerText)")
    done, all = (int(word.replace(",", "")) for word in huge.split()[:3:2])
    words = words.replace("\n", " ")
    assert all == DEVICES and 0.8 * all < done, words
    assert "%d cannot" % (all - done) in words, words
    assert done == all or "no previous release" in page.text(
        "[aria-label=Devices] tbody tr")
    go(page, "rollouts/r-0002", "[aria-label=Summary]")
    page.until("/^(rolled|taken|partly)-back$/.test(document.querySelector("
               "'main .head .st')?.innerText)")
    page.until("Number(document.querySelector('[aria-label=Summary]').innerText"
               ".match(/(\\d+) of [\\d,]+\\s+have it/)[1]) <= %d" % (all - done))
    # Later orders, back to the release that a group has, may fill the audit.
    go(page, "activity", "[aria-label=Audit] tbody tr")
    has(page, "#main", "rollback tiny@2\tall")
