"""Transcripts: commands of an operator's day as they are typed, and each word
that comes back.  tests/golden/cli has them; FLOTILLA_GOLDEN=write writes them
again.  Times, ids, digests and ports are masked."""
import json
import os
import re
import subprocess

import pytest

from controller_parts import BIN, ROOT, Device, Publisher
from sketch import histogram
from waits import HANG_S, Seen, until

GOLDEN = os.path.join(ROOT, "tests", "golden", "cli")
MODELS = os.path.join("tests", "models")  # as typed in the checkout
MASKS = [
    (r"^ *(playing|played|computing)\b.*\n", ""),
    (r"\x1b\[[0-9;]*m", ""),
    (r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "<id>"),
    (r"sha256:[0-9a-f]{64}", "sha256:<digest>"),
    (r"\b[0-9a-f]{12,64}\b", "<hex>"),
    (r"\d{4}-\d\d-\d\dT[\d:.]+Z", "<moment>"),
    (r"127\.0\.0\.1:\d+", "127.0.0.1:<port>"),
    (r"\b\d+ [hm] \d\d [ms]\b|\b\d+(\.\d+)? (ms|s|d)\b", "<time>"),
    (r"[\d.]+ [GT]iB free", "<size> free"),
    (r"[\d.]+ [KM]iB(?= \()", "<size>"),
    ("Couldn't connect to server", "Could not connect to server"),  # curl's
    (r"\b0\.\d+\.\d+\b(?=, fleet)|(?<=controller )0\.\d+\.\d+", "<version>"),
    (r"(?<=\S) {2,}", "  "),
    (r" +$", ""),
]


class Desk:
    """An operator's terminal: what was typed and what came."""

    def __init__(self, controller, folder):
        self.controller, self.folder, self.text = controller, folder, ""
        self.canary = None  # drawn by the controller

    def run(self, *words, token=None, code=0):
        done = subprocess.run(
            [os.path.join(BIN, "flotilla"), *words], capture_output=True,
            text=True, timeout=HANG_S, cwd=ROOT, env=dict(
                os.environ, FLOTILLA_CONTROLLER=self.controller.rest,
                FLOTILLA_TOKEN_FILE=token or self.controller.facts["token"],
                XDG_CONFIG_HOME=self.folder))
        typed = " ".join("'%s'" % word if re.search(r"[ <>=;|&]", word)
                         else word for word in words)
        self.text += "$ flotilla %s\n%s%s" % (typed, done.stdout, done.stderr)
        if done.returncode != 0:
            self.text += "[exit %d]\n" % done.returncode
        self.text += "\n"
        assert done.returncode == code, self.text
        return done.stdout

    def check(self, name):
        text = self.text.replace(self.folder, "<folder>")
        for pattern, mask in MASKS:
            text = re.sub(pattern, mask, text, flags=re.M)
        path = os.path.join(GOLDEN, name + ".txt")
        self.text = ""
        if os.environ.get("FLOTILLA_GOLDEN") == "write":
            os.makedirs(GOLDEN, exist_ok=True)
            with open(path, "w", encoding="utf-8") as out:
                out.write(text)
        with open(path, encoding="utf-8") as golden:
            assert text == golden.read(), path


@pytest.fixture(scope="module")
def desk(controller, folder):
    return Desk(controller, folder)


@pytest.fixture(scope="module")
def devices(controller, folder):
    token = controller.enrol_token()
    found = [Device(controller, folder, "gw-%d" % n, token).connect()
             for n in (1, 2, 3)]
    for device in found:
        until("online", lambda name=device.name: controller.ask(
            "GET", "/v1/devices/" + name).json["state"] == "online")
    yield found
    for device in found:
        device.client.close()


@pytest.fixture(scope="module")
def releases(controller, folder):
    publisher = Publisher(controller, folder)
    return {version: publisher.publish(version, model="helpdesk")
            for version in ("2.3.1", "2.4.0", "2.5.0")}


def state_of(controller, rollout):
    return controller.ask("GET", "/v1/rollouts/" + rollout).json["state"]


def reports(controller, device, version, digest, before=None):
    """It serves this release and keeps the one before."""
    def slot(of):
        return of and {"version": of[0], "release": of[1]}
    device.rev = getattr(device, "rev", 0) + 1
    device.client.publish(device.topic("reported"), json.dumps({
        "v": 2, "device": device.id, "name": device.name, "rev": device.rev,
        "agent": "0.1.0", "groups": ["all"], "models": [{
            "model": "helpdesk", "state": "ready", "execution": None,
            "serving": slot((version, digest)),
            "current": slot((version, digest)), "previous": slot(before),
            "candidate": None}]}), retain=True)
    until("report", lambda: (controller.ask(
        "GET", "/v1/devices/" + device.name).json["serving"] or {}).get(
            "version") == version)


def bring(desk, devices, releases, version, before=None):
    """A rollout to all of them; its id."""
    out = desk.run("rollout", "start", "helpdesk@" + version, "--phase", "100%",
                   "--reason", "CHG-4471")
    rollout = out.split()[1]
    digest = releases[version]
    for device in devices:
        assert device.order("deploy", about=digest)[0]
        device.event(rollout, digest, "succeeded")
    until("completed", lambda: state_of(
        desk.controller, rollout) == "completed")
    for device in devices:
        reports(desk.controller, device, version, digest,
                before and (before, releases[before]))
    return rollout


def test_devices_are_enrolled_and_looked_at(desk, devices):
    desk.run("token", "create", "--kind", "enroll", "--uses", "500", "--ttl",
             "7d", "--to", os.path.join(desk.folder, "enroll.token"))
    desk.run("device", "label", "gw-1", "site=lyon", "hw=rpi5")
    desk.run("device", "list", "--fields", "name,state,groups,labels")
    desk.run("devices", "ls", "-l", "hw=rpi5", "--fields", "name,labels.site",
             "-o", "csv")
    desk.run("device", "list", "-o", "name", "--sort", "-name")
    desk.run("device", "get", "gw-2", "--fields", "name,state,maintenance",
             "-o", "yaml")
    desk.check("devices")


def test_a_release_goes_through_its_phases(desk, devices, releases):
    desk.run("release", "list", "--fields", "name,number,state")
    bring(desk, devices, releases, "2.3.1")
    desk.run("rollout", "start", "helpdesk@2.4.0", "--phase", "1", "--phase",
             "100%", "--dry-run")
    rollout = bring(desk, devices, releases, "2.4.0", before="2.3.1")
    desk.run("rollout", "watch", rollout)
    desk.run("rollout", "wait", rollout, "--for", "completed", "-q")
    desk.run("rollout", "list", "--fields", "id,release,state,holders,members")
    desk.run("device", "list", "--where", "release=helpdesk@2.4.0", "--fields",
             "name,serving,slots.previous.version")
    desk.check("rollout")


def test_a_bad_model_stops_itself(desk, devices, releases):
    out = desk.run("rollout", "start", "helpdesk@2.5.0", "--phase", "1",
                   "--phase", "100%", "--max-failed", "0")
    rollout, digest = out.split()[1], releases["2.5.0"]
    chosen = [d["name"] for d in desk.controller.ask(
        "GET", "/v1/rollouts/" + rollout).json["devices"] if d["phase"] == 1]
    device = [d for d in devices if d.name == chosen[0]][0]
    assert device.order("deploy", about=digest)[0]
    device.event(rollout, digest, "failed", error={
        "id": "probe.golden", "what": "3 of 26 golden prompts differ"})
    until("halted", lambda: state_of(desk.controller, rollout) == "halted")
    desk.run("rollout", "watch", rollout, code=8)
    desk.run("rollout", "get", rollout, "-o", "yaml")
    desk.text = desk.text.replace(chosen[0], "<canary>")
    desk.canary = chosen[0]
    desk.check("halt")


def test_an_emergency_takes_a_release_back(desk, devices, releases):
    words = ("rollout", "rollback", "--release", "helpdesk@2.4.0",
             "--everywhere")
    desk.run(*words, "--dry-run")
    desk.run(*words, code=2)
    out = desk.run(*words, "--confirm", "helpdesk@2.4.0", "--reason", "e-7")
    order = out.split()[1]
    for device in devices:
        device.client.publish(device.topic("ack"), json.dumps({
            "v": 1, "order": order, "outcome": "done", "took_ms": 3}))
    until("three answers", lambda: desk.controller.ask(
        "GET", "/v1/orders/" + order).json["done"] == 3)
    desk.run("order", "wait", order, "-q")
    desk.run("order", "list", "--fields", "id,op,state,done,failed,pending")
    desk.run("order", "get", order)
    desk.run("release", "get", "helpdesk@2.4.0", "--fields", "name,state")
    desk.check("emergency")


def test_a_release_is_made_signed_and_published(desk):
    place = os.path.join(desk.folder, "signing")
    desk.run("key", "create", "release-2026", "--to", place)
    desk.run("key", "trust", place + "/release-2026.pub", "--root",
             desk.controller.root)
    desk.run("release", "create", "tiny@1.0.0", "--model-file",
             os.path.join(MODELS, "tiny-v2.Q4_0.gguf"), "--golden",
             os.path.join(MODELS, "golden-tiny-v2.json"), "--sign-with",
             place + "/release-2026.key", "--delta-from", "none", "--context",
             "256")
    desk.run("release", "publish", "tiny@1.0.0")
    desk.run("release", "list", "--model", "tiny", "-o", "csv", "--fields",
             "name,number,state")
    desk.check("release")


def test_a_wrong_line_says_what_to_do_next(desk, devices, releases):
    wrong = os.path.join(desk.folder, "wrong.token")
    with open(wrong, "w", opener=lambda path, flags: os.open(
            path, flags, 0o600)) as out:
        out.write("flt_pat_%s_%s" % ("0" * 12, "0" * 64))
    for words, code in [
            (("rolout", "list"), 2), (("rollout", "strat"), 2),
            (("rollout",), 2), (("device", "list", "--wehre", "x"), 2),
            (("device", "list", "-o", "yml"), 2),
            (("device", "list", "--fields", "nmae"), 2),
            (("device", "list", "--where", "stat=online"), 2),
            (("device", "get"), 2), (("device", "get", "gw-99"), 3),
            (("release", "get", "helpdesk@9"), 3),
            (("rollout", "get", "r-9999"), 3),
            (("rollout", "start", "helpdesk@2.4.0"), 5),
            (("explain", "rest.aut"), 3), (("completion", "tcsh"), 2)]:
        desk.run(*words, code=code)
    desk.run("device", "list", token=wrong, code=4)
    desk.run("device", "list", "--controller", "http://127.0.0.1:1", code=6)
    desk.check("wrong")


def test_global_flags_show_what_is_said_and_leave_symbols_out(desk):
    desk.run("approval", "list", "-v")
    desk.run("-v", "group", "create", "lab")
    desk.run("approval", "list", "--debug-http", "-o", "json")
    token = open(desk.controller.facts["token"]).read().strip()
    assert token[:20] in desk.text and token[:30] not in desk.text
    desk.text = desk.text.replace(token[:20], "flt_pat_<id>")
    desk.run("login", desk.controller.rest, "--token-file",
             desk.controller.facts["token"], "--ascii")
    desk.run("group", "delete", "lab", "--confirm", "lab")
    desk.check("globals")


def test_telemetry_is_asked_for(desk, devices, releases):
    for device in devices:
        device.client.publish(device.topic("tele"), json.dumps({
            "v": 1, "seq": 1, "window_ms": 1000, "model": "helpdesk",
            "version": "2.3.1", "release": releases["2.3.1"],
            "counters": {"requests": 40, "errors": 2},
            "gauges": {"agent_rss_bytes": 8 << 20},
            "histograms": {"ttft_us": histogram([210000] * 38 + [498000] * 2)
                           }}))
    query = ("telemetry", "query")
    until("120 requests", lambda: "120" in subprocess.run(
        [os.path.join(BIN, "flotilla"), *query, "requests", "--controller",
         desk.controller.rest, "--token-file",
         desk.controller.facts["token"]],
        capture_output=True, text=True, timeout=HANG_S).stdout)
    desk.run(*query, "ttft_us", "--by", "release")
    desk.run(*query, "errors")
    desk.run(*query, "agent_rss_bytes", "--by", "device", "-o", "csv",
             "--sort", "name")
    other = next(d.name for d in devices if d.name != desk.canary)
    desk.run("device", "get", other, "--timeline", "--fields",
             "what,execution,state,serving")
    desk.text = desk.text.replace("get " + other, "get <device>")
    desk.check("telemetry")


def test_the_fleet_is_looked_over(desk, devices, releases):
    before = desk.text

    def is_quick():
        """An answer of more than a second is a finding."""
        desk.text = before
        out = desk.run("doctor")
        return "the load of the controller's machine" not in out and \
            "timedatectl" not in out or Seen(out)

    until("a doctor whose answers were quick", is_quick)
    desk.run("top")
    desk.run("explain", "rest.role")
    desk.check("overview")
