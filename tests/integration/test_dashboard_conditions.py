"""A device has one condition, and page, command line, REST, selectors and
metrics have the same word for it: through a first install, one that fails, a
drift, a failing disk, maintenance and a lost connection."""
import json
import os
import re
import shutil
import subprocess
import tempfile

import pytest

import chromium
from chromium import go, has, press
from controller_parts import (BIN, Controller, Device, Publisher, metric,
                              start)
from waits import HANG_S, same, until

if not chromium.PROGRAM:
    pytest.skip("chromium-headless-shell is not installed",
                allow_module_level=True)
TILES = ("[...document.querySelectorAll('[aria-label=Summary] li')].filter(e =>"
         " Number(e.querySelector('b').innerText) > 0).map(e =>"
         " e.querySelector('span').innerText).filter(word =>"
         " !word.startsWith('rollouts')).join()")
ROW = ("document.querySelector('[aria-label=Devices] tbody tr td:nth-child(2)')"
       "?.innerText")
MAP = "document.querySelector('.map path')?.getAttribute('class')"
KIND = {"failed": "bad", "degraded": "warn", "drift": "warn", "offline": "off",
        "maintenance": "hold", "updating": "busy", "ok": "ok"}
NEW = {"version": "1", "release": "sha256:" + "a" * 64}


def model(state, execution=None, serving=None, **more):
    said = {"model": "tiny", "state": state, "serving": serving,
            "slots": {"current": serving, "previous": None}, **more}
    if execution:
        said["execution"] = {"id": "r-0001.1", "rollout": "r-0001",
                             "state": execution}
    return [said]


# Reports of the device, each with its one word.
MOMENTS = (
    [("nothing", [], {}, "ok")] +
    [(word, model("down", word), {}, "updating")
     for word in ("accepted", "downloading", "applying", "verifying", "staged",
                  "probing", "activating")] +
    [("behind", model("down", "downloading",
                      drift={"kind": "behind", "since_at_ms": 1}), {},
      "updating"),
     ("loading", model("loading", "activating", NEW), {}, "updating"),
     ("soaking", model("ready", "soaking", NEW), {}, "updating"),
     ("succeeded", model("ready", "succeeded", NEW), {}, "ok"),
     ("dead", model("down", None, NEW), {}, "failed"),
     ("alive", model("ready", None, NEW), {}, "ok"),
     ("drifts", model("ready", None, NEW,
                      drift={"kind": "behind", "since_at_ms": 1}), {},
      "drift"),
     ("next", model("ready", "downloading", NEW), {}, "updating"),
     ("disk", model("ready", None, NEW),
      {"degraded": {"id": "disk.io", "text": "the disk does not write"}},
      "degraded"),
     ("whole", model("ready", None, NEW), {}, "ok"),
     ("failed", model("down", "failed"), {}, "failed"),
     ("rejected", model("down", "rejected"), {}, "failed"),
     ("resting", model("on-demand", None, NEW), {}, "ok")])


@pytest.fixture(scope="module")
def controller():
    folder = tempfile.mkdtemp(prefix="flo-w-", dir="/tmp")
    one = Controller(folder).start()
    one.folder = folder
    yield one
    one.stop()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def device(controller):
    one = Device(controller, controller.folder, "gw", controller.enrol_token())
    one.connect()
    return one


@pytest.fixture(scope="module")
def page(controller, device):
    one = chromium.Page(controller.folder)
    one.open(controller.rest)
    one.run("sessionStorage.setItem('flotilla.token', %s)"
            % json.dumps(controller.token))
    one.open("about:blank")
    one.open(controller.rest)
    go(one, "fleet?where=", "[aria-label=Devices] tbody tr")
    yield one
    one.close()


def shown(controller, page):
    """The word in each place; the page draws again as its clock goes on."""
    env = dict(os.environ, FLOTILLA_CONTROLLER=controller.rest,
               FLOTILLA_TOKEN_FILE=controller.facts["token"], HOME=controller.folder)

    def cli(*words):
        return subprocess.run([os.path.join(BIN, "flotilla"), *words], env=env,
                              capture_output=True, text=True, check=True,
                              timeout=HANG_S).stdout

    text = controller.ask("GET", "/metrics", token="").body.decode()
    counts = dict(re.findall(
        r'^flotilla_devices_condition\{condition="(\w+)"\} (\d+)', text, re.M))
    for _ in range(8):
        page.run("flotillaTime.step()")
    said = controller.ask("GET", "/v1/devices/gw").json["condition"]
    matched = controller.ask(
        "GET", "/v1/devices?where=condition%%3D%s" % said).json["total"]
    return {"rest": said, "selector": said if matched == 1 else matched,
            "metrics": ",".join(w for w, n in counts.items() if n == "1"),
            "list": cli("device", "list", "--fields", "condition",
                        "-o", "json").split('"')[3],
            "get": json.loads(cli("device", "get", "gw", "-o",
                                  "json"))["condition"],
            "tile": page.run(TILES), "row": page.run(ROW),
            "map": page.run(MAP)}


def all_say(controller, page, word):
    wanted = dict.fromkeys(("rest", "selector", "metrics", "list", "get",
                            "tile", "row"), word)
    wanted["map"] = "k-" + KIND[word]
    until("all say " + word, lambda: same(shown(controller, page), wanted))


def test_page_and_all_others_have_one_word_at_each_moment(
        controller, device, page):
    for revision, (name, models, more, word) in enumerate(MOMENTS, 1):
        device.report(revision, models, **more)
        all_say(controller, page, word)
    assert len(MOMENTS) >= 20
    top = subprocess.run(
        [os.path.join(BIN, "flotilla"), "top"], env=dict(
            os.environ, FLOTILLA_CONTROLLER=controller.rest,
            FLOTILLA_TOKEN_FILE=controller.facts["token"]), capture_output=True, text=True,
        timeout=HANG_S)
    assert "ok 1" in top.stdout, top


def drifts(controller, page):
    """A device in REST, metric and the page's table of releases."""
    one = controller.ask("GET", "/v1/devices/gw").json["models"][0]
    return one["drift"], one["let_go"], metric(
        controller, "devices_drifting"), page.run(
            "[...document.querySelectorAll('[aria-label=\"Releases in the"
            " field\"] .warn')].map(e => e.innerText).join()")


def test_who_refused_a_release_is_ok_once_nobody_wants_it(
        controller, device, page):
    release = Publisher(controller, controller.folder).publish("2")
    rollout = start(controller, "tiny@2", phases=[{"share_pct": 100}])["id"]
    device.report(len(MOMENTS) + 1, model(
        "ready", None, NEW, drift={"kind": "denied", "since_at_ms": 1},
        target={"release": release, "number": 2, "by": 1, "order": "o-0001"}))
    all_say(controller, page, "drift")
    assert controller.ask("POST", "/v1/rollouts/%s/actions" % rollout,
                          {"action": "abort"}).status in (200, 202)
    all_say(controller, page, "ok")
    assert drifts(controller, page) == (None, True, 0, "")
    go(page, "devices/gw", "[aria-label=Models] tbody tr")
    has(page, "[aria-label=Models] tbody", "it lacks a release that was")
    go(page, "fleet?where=", "[aria-label=Devices] tbody tr")
    # Nor does it drift while it is away.
    device.client.kill()
    all_say(controller, page, "offline")
    assert drifts(controller, page) == (None, True, 0, "")
    device.connect()
    all_say(controller, page, "ok")


def test_an_old_rollout_counts_nobody_who_runs_another_release(
        controller, device, page):
    publisher = Publisher(controller, controller.folder)
    publisher.number = 2
    said = []
    for version in ("3", "4"):
        release = publisher.publish(version)
        one = start(controller, "tiny@" + version,
                    phases=[{"share_pct": 100}])
        device.event(one["id"], release, "succeeded")
        until("it completes", lambda: same(controller.ask(
            "GET", "/v1/rollouts/" + one["id"]).json["state"], "completed"))
        said.append((one["id"], {"version": version, "release": release}))
    (old, before), (new, after) = said

    def shown(rollout):
        one = controller.ask("GET", "/v1/rollouts/%s?devices=0" % rollout).json
        return [one[key] for key in ("state", "holders", "overtaken")]

    for revision, serving, olds, news in (
            (len(MOMENTS) + 2, after, [0, 1], [1, 0]),
            (len(MOMENTS) + 3, before, [1, 0], [0, 1])):
        device.report(revision, model("ready", None, serving))
        for rollout, counts in ((old, olds), (new, news)):
            until("%s has %s" % (rollout, counts), lambda: same(
                shown(rollout), ["completed", *counts]))
    device.report(len(MOMENTS) + 4, model("ready", None, after))
    go(page, "rollouts", "[aria-label=Rollouts] tbody tr")
    row = "[...document.querySelectorAll('[aria-label=Rollouts] tbody tr')]" \
        ".find(r => r.innerText.includes('%s'))" % old
    page.until(row + "?.innerText.includes('1 run another since')")
    assert "completed" in page.run(row + ".innerText")
    go(page, "fleet?where=", "[aria-label=Devices] tbody tr")


def test_a_device_shows_whom_to_call_about_its_site(controller, device, page):
    assert controller.ask("PUT", "/v1/sites/lyon", {
        "people": "Ana Roux, +33 4 72 00 00 01",
        "hours": "8 to 18"}).status == 200
    assert controller.ask("PATCH", "/v1/devices/gw", {
        "labels": {"site": "lyon"}}).status == 200
    go(page, "devices/gw", "[aria-label=Inventory], [aria-label=Hardware]")
    page.until("document.querySelector('[aria-label=Hardware]').innerText"
               ".includes('Ana Roux, +33 4 72 00 00 01, 8 to 18')")
    go(page, "fleet?where=", "[aria-label=Devices] tbody tr")


def test_maintenance_and_a_lost_connection_have_one_word(
        controller, device, page):
    assert controller.ask("PATCH", "/v1/devices/gw", {
        "maintenance": "a new disk"}).status == 200
    all_say(controller, page, "maintenance")
    go(page, "devices/gw", "[aria-label=Inventory], [aria-label=Hardware]")
    press(page, "End maintenance…")
    page.until("document.querySelector('dialog button.act')")
    page.run("document.querySelector('dialog button.act').click()")
    page.until("document.querySelector('main .head .st').innerText === 'ok'")
    go(page, "fleet?where=", "[aria-label=Devices] tbody tr")
    device.client.kill()
    all_say(controller, page, "offline")
