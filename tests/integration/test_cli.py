"""Output and exit codes of `flotilla`, against a real controller and devices
made of Python."""
import csv
import io
import json
import os
import signal
import sqlite3
import subprocess

import pytest

from controller_parts import (BIN, ROOT, Device, Publisher, start)
from waits import HANG, HANG_S, Seen, same, until

MODELS = os.path.join(ROOT, "tests", "models")
AT_ONCE = "1ms"  # nothing that is waited for can come


def begin(controller, *words):
    return subprocess.Popen(
        [os.path.join(BIN, "flotilla"), *words, "--controller",
         controller.rest, "--token-file", controller.facts["token"]],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def cli(controller, *words):
    process = begin(controller, *words)
    out, err = process.communicate(timeout=HANG_S)
    return process.returncode, out, err


def test_a_context_that_is_named_is_above_the_environment(controller, folder):
    env = dict(os.environ, XDG_CONFIG_HOME=os.path.join(folder, "config"))

    def run(env, *words):
        done = subprocess.run([os.path.join(BIN, "flotilla"), *words], env=env,
                              capture_output=True, text=True, timeout=HANG_S)
        return done.returncode, done.stdout, done.stderr

    token = controller.facts["token"]
    assert run(env, "login", controller.rest, "--token-file", token, "--name",
               "live")[0] == 0
    other = dict(env, FLOTILLA_CONTROLLER="http://127.0.0.1:1",
                 FLOTILLA_TOKEN_FILE=token)
    code, _, err = run(other, "device", "list")
    assert code == 6, err
    code, _, err = run(other, "device", "list", "--context", "live")
    assert code == 0, err
    assert controller.rest in run(other, "context", "view", "--context",
                                  "live")[1]
    code, _, err = run(other, "device", "list", "--context", "nosuch")
    assert code == 3 and "nosuch" in err, (code, err)
    # A flag is as near as the other; the token is still the context's.
    code, _, err = run(dict(other, FLOTILLA_TOKEN_FILE="/none"), "device",
                       "list", "--context", "live", "--controller",
                       controller.rest)
    assert code == 0, err
    # When two variables are set, that of the address is the nearer.
    code, _, err = run(dict(other, FLOTILLA_CONTEXT="live"), "device", "list")
    assert code == 6, err


def test_the_context_of_a_release_is_not_that_of_a_controller(controller,
                                                              folder):
    place = os.path.join(folder, "release")
    assert cli(controller, "key", "create", "mine", "--to", place)[0] == 0
    controller.state()
    assert cli(controller, "key", "trust", place + "/mine.pub", "--root",
               controller.root)[0] == 0
    done = subprocess.run(
        [os.path.join(BIN, "flotilla"), "release", "create", "other@1.0.0",
         "--model-file", os.path.join(MODELS, "tiny-v2.Q4_0.gguf"),
         "--golden", os.path.join(MODELS, "golden-tiny-v2.json"),
         "--sign-with", os.path.join(place, "mine.key"),
         "--delta-from", "none", "--context", "256", "--to", place],
        env=dict(os.environ, XDG_CONFIG_HOME=place,
                 FLOTILLA_CONTROLLER=controller.rest,
                 FLOTILLA_TOKEN_FILE=controller.facts["token"]),
        capture_output=True, text=True, timeout=HANG_S)
    assert done.returncode == 0, done.stderr


def test_the_uses_that_a_token_has_left_are_listed(controller):
    made = controller.ask("POST", "/v1/tokens", {"kind": "enroll", "uses": 7})
    code, out, _ = cli(controller, "token", "list")
    assert code == 0
    row = [line.split() for line in out.split("\n")
           if line.startswith(made.json["id"])][0]
    assert "7" in row, out


def test_the_controller_says_how_many_uses_a_token_may_have(controller):
    for uses, code, words in (("100000", 0, ""), ("1000001", 2, "100000")):
        got, _, err = cli(controller, "token", "create", "--uses", uses)
        assert got == code and words in err, (uses, err)


@pytest.fixture(scope="module")
def devices(controller, folder):
    token = controller.enrol_token()
    three = [Device(controller, folder, name, token).connect()
             for name in ("a", "b", "c")]
    for device in three:
        until_it_is(controller, device, "online")
    yield three
    for device in three:
        device.client.close()


@pytest.fixture(scope="module")
def publisher(controller, folder):
    return Publisher(controller, folder)


@pytest.fixture(autouse=True)
def connected(request):
    """Also when a test before restarted the controller and its broker."""
    if "devices" in request.fixturenames:
        controller = request.getfixturevalue("controller")
        for device in request.getfixturevalue("devices"):
            if device.client.closed:
                device.connect()
                until_it_is(controller, device, "online")


def until_it_is(controller, device, state):
    until("%s %s" % (device.name, state), lambda: controller.ask(
        "GET", "/v1/devices/" + device.name).json["state"] == state)


def goes(controller, device, state):
    device.client.publish(device.topic("presence"), json.dumps(
        {"v": 1, "online": state == "online"}), retain=True)
    until_it_is(controller, device, state)


def acks(device, order, outcome="done"):
    device.client.publish(device.topic("ack"), json.dumps(
        {"v": 1, "order": order["id"], "outcome": outcome}))


def rollout_of(controller, rollout):
    return controller.ask("GET", "/v1/rollouts/" + rollout).json


def until_rollout(controller, rollout, state):
    until("%s %s" % (rollout, state), lambda: rollout_of(
        controller, rollout)["state"] == state)


def bring(controller, devices, publisher, version):
    """A completed rollout of all: its id and the digest of its release."""
    digest = publisher.publish(version)
    rollout = start(controller, "tiny@" + version,
                    phases=[{"share_pct": 100}])["id"]
    for device in devices:
        assert device.order("deploy", about=digest)[0]
        device.event(rollout, digest, "succeeded")
    until_rollout(controller, rollout, "completed")
    return rollout, digest


@pytest.fixture(scope="module")
def served(controller, devices, publisher):
    return (*bring(controller, devices, publisher, "1.0.0"), devices)


def test_a_rollout_does_not_go_back_in_one_group(controller, served):
    path = "/v1/rollouts/" + served[0]
    before = controller.ask("GET", path).json["state"]
    for flag in (["--group", "lab"], ["--everywhere"], ["--keep"],
                 ["--to", "tiny@0.9.0"], ["--where", "label.site=riga"]):
        code, _, err = cli(controller, "rollout", "rollback", served[0],
                           *flag)
        assert code == 2 and "cli.usage" in err, (code, err)
    assert controller.ask("GET", path).json["state"] == before


@pytest.mark.parametrize("words", [
    ("--release", "tiny@1.0.0", "--everywhere"),
    ("--release", "tiny@1.0.0", "--group", "lab"),
    ("ID", "--dry-run"), ("ID", "--wait")])
def test_a_slice_goes_back_alone_or_not_at_all(controller, served, words):
    """A dropped --slice would take the whole fleet back."""
    orders = controller.ask("GET", "/v1/orders").json["items"]
    path = "/v1/rollouts/" + served[0]
    before = controller.ask("GET", path).json
    code, _, err = cli(controller, "rollout", "rollback", *[
        served[0] if one == "ID" else one for one in words], "--slice",
        "site=riga", "--confirm", "tiny@1.0.0")
    assert code == 2 and "cli.usage" in err and "--slice" in err, (code, err)
    answer = controller.ask("POST", path + "/actions?dry_run=true", {
        "action": "rollback", "slice": "site=riga"})
    assert answer.status == 422 and "slice" in str(answer.json), answer.json
    assert controller.ask("GET", path).json == before
    assert controller.ask("GET", "/v1/orders").json["items"] == orders
    assert controller.ask("GET", "/v1/releases/tiny@1.0.0").json[
        "state"] == "published"


def test_the_rollback_of_a_rollout_waits_for_who_is_online(controller, served):
    rollout, digest, devices = served
    away = devices[2]
    goes(controller, away, "offline")
    process = begin(controller, "rollout", "rollback", rollout, "--wait",
                    "--timeout", HANG, "--reason", "too slow", "--confirm",
                    "tiny@1.0.0", "-o", "json")
    for device in devices[:2]:
        assert device.order("rollback")[0]
        assert process.poll() is None
        device.event(rollout, digest, "rolled-back")
    out, err = process.communicate(timeout=HANG_S)
    assert process.returncode == 0, err
    shown = json.loads(out)
    assert (shown["state"], shown["back"], shown["stays"],
            shown["awaited"]) == ("rolling-back", 2, 0, 0)
    assert len(shown["devices"]) == 3
    assert "too slow" in json.loads(out)["reason"]
    away.event(rollout, digest, "rolled-back")
    until_rollout(controller, rollout, "rolled-back")
    code, _, err = cli(controller, "rollout", "wait", rollout)
    assert code == 8 and "is rolled-back, not completed" in err, (code, err)
    assert err.endswith("fix: flotilla rollout explain %s\n" % rollout), err
    goes(controller, away, "online")


def take_back(version, *more):
    return ("rollout", "rollback", "--release", "tiny@" + version,
            "--everywhere", "--confirm", "tiny@" + version, *more)


def test_who_answered_and_left_does_not_stand_for_who_is_silent(
        controller, devices, publisher):
    a, b, c = devices
    digest = bring(controller, devices, publisher, "2.0.0")[1]
    assert cli(controller, *take_back("2.0.0"))[0] == 0
    order = a.order("rollback", about=digest)[1]
    acks(a, order)
    acks(b, order)
    until("two answers", lambda: controller.ask(
        "GET", "/v1/orders/" + order["id"]).json["acked"] == 2)
    goes(controller, a, "offline")
    code, out, err = cli(controller, "order", "wait", order["id"],
                         "--timeout", AT_ONCE, "-o", "json")
    assert code == 6, (code, err)
    assert json.loads(out)["awaited"] == 1, out
    assert "2 of 3 devices answered" in err, err
    goes(controller, a, "online")
    acks(c, order)


def test_a_completed_rollout_says_that_it_was_taken_back(
        controller, devices, publisher):
    rollout, digest = bring(controller, devices, publisher, "2.1.0")
    assert cli(controller, *take_back("2.1.0"))[0] == 0
    order = devices[0].order("rollback", about=digest)[1]
    for device in devices:
        acks(device, order)
    until("it is taken back", lambda: same(
        {word: rollout_of(controller, rollout)[word]
         for word in ("state", "reason", "holders")},
        {"state": "rolled-back", "reason": "taken-back: " + order["id"],
         "holders": 0}))
    assert order["id"] in cli(controller, "rollout", "get", rollout)[1]


def test_an_emergency_shows_its_plan_and_what_became_of_it(
        controller, devices, publisher):
    digest = bring(controller, devices, publisher, "2.2.0")[1]
    for device in devices:
        slot = {"version": "2.2.0", "release": digest}
        device.client.publish(device.topic("reported"), json.dumps({
            "v": 2, "device": device.id, "name": device.name, "rev": 1,
            "agent": "0.1.0", "groups": ["all"], "models": [{
                "model": "tiny", "state": "ready", "execution": None,
                "serving": slot, "current": slot, "previous": None,
                "candidate": None}]}), retain=True)
    until("three reports", lambda: len(controller.ask(
        "GET", "/v1/devices?release=tiny%402.2.0").json["items"]) == 3)
    words = ("rollout", "rollback", "--release", "tiny@2.2.0", "--everywhere")
    before = controller.ask("GET", "/v1/orders").json["items"]
    code, out, err = cli(controller, *words, "--dry-run", "-o", "json")
    plan = json.loads(out)
    assert code == 0 and (plan["devices"], plan["cannot"]) == (3, 3), plan
    assert "no previous release" in cli(controller, *words, "--dry-run")[1]
    # nobody could go back: without a word about the release nothing is done
    code, _, err = cli(controller, *words, "--confirm", "tiny@2.2.0")
    assert code == 10 and "order.nobody" in err, (code, err)
    assert controller.ask("GET", "/v1/orders").json["items"] == before
    code, _, err = cli(controller, *words, "--confirm", "tiny@2.2.0", "--yank",
                       "--keep")
    assert code == 2, err
    code, out, err = cli(controller, *words, "--confirm", "tiny@2.2.0",
                         "--yank", "-o", "json")
    assert code == 0, err
    order = json.loads(out)["id"]
    for device in devices:
        device.client.publish(device.topic("ack"), json.dumps({
            "v": 1, "order": order, "outcome": "refused", "took_ms": 3,
            "error": {"id": "state.conflict", "what": "nothing before"}}))
    code, out, err = cli(controller, "order", "wait", order, "--timeout",
                         HANG)
    assert code == 9 and "3 failed" in out and "nothing before" in out, out
    shown = json.loads(cli(controller, "order", "get", order, "-o",
                           "json")[1])
    assert shown["reasons"] == [{"error": "state.conflict", "devices": 3}]
    assert order in cli(controller, "order", "list")[1]
    code, _, err = cli(controller, "release", "unyank", "tiny@2.2.0",
                       "--confirm", "tiny@2.2.0")
    assert code == 0, err
    state = controller.ask("GET", "/v1/releases/tiny@2.2.0").json["state"]
    assert state == "published"


def test_a_list_of_rollouts_has_who_runs_another_release_since(
        controller, devices, publisher):
    rollout = bring(controller, devices, publisher, "2.9.0")[0]
    slot = {"version": "2.9.1", "release": publisher.publish("2.9.1")}
    for device in devices[:2]:
        device.report(2, [{"model": "tiny", "state": "ready", "serving": slot,
                           "execution": None, "current": slot}])
    until("two run another", lambda: same(
        rollout_of(controller, rollout)["overtaken"], 2))

    table = cli(controller, "rollout", "list", "--all", "--fields",
                "id,holders,overtaken,members")[1].splitlines()

    assert [rollout, "1", "2", "3"] in [row.split() for row in table]
    assert "HAVE IT  RUN ANOTHER  OF" in cli(controller, "rollout", "list")[1]


def test_a_rollout_begins_with_one_device_of_a_small_fleet_too(
        controller, devices, publisher):
    publisher.publish("3.0.0")
    code, out, err = cli(controller, "rollout", "start", "tiny@3.0.0", "-o",
                         "json")
    assert code == 0, err
    rollout = json.loads(out)["id"]
    until("one is told", lambda: same(sorted(
        d["state"] for d in rollout_of(controller, rollout)["devices"]),
        ["notified", "queued", "queued"]))
    cli(controller, "rollout", "abort", rollout)


def test_who_waits_for_devices_that_are_all_away_is_told_how_to_end(
        controller, devices, publisher):
    publisher.publish("3.0.6")
    for device in devices:
        goes(controller, device, "offline")
    process = begin(controller, "rollout", "start", "tiny@3.0.6", "--wait")
    said = ""
    while "every device of phase 1 is away" not in said:
        line = process.stderr.readline()
        assert line, said
        said += line
    rollout = said.split("flotilla rollout abort ")[1].split()[0]
    assert cli(controller, "rollout", "abort", rollout)[0] == 0
    process.communicate(timeout=HANG_S)
    for device in devices:
        goes(controller, device, "online")


def test_a_gate_that_can_never_decide_is_refused_at_the_start(
        controller, devices, publisher):
    publisher.publish("3.0.5")
    run = ("rollout", "start", "tiny@3.0.5", "--gate", "ttft_us")
    says = "gate ttft_us p95 can never pass phase 1"
    code, out, _ = cli(controller, *run, "--dry-run")
    assert code == 0 and "a start is refused: " + says in out, out
    assert "devices_min: 1 in the gate" in out, out
    refusals = json.loads(cli(controller, *run, "--dry-run", "-o",
                              "json")[1])["plan"]["refusals"]
    assert [r["id"] for r in refusals] == ["gate.undecidable"], refusals
    code, _, err = cli(controller, *run)
    assert code == 10 and says in err and "--hold-for-person" in err, err
    assert controller.ask("POST", "/v1/rollouts", {
        "release": "tiny@3.0.5", "gates": {"ratio": [
            {"metric": "ttft_us"}]}}).status == 422

    # The standard of a small fleet compares nothing, and starts; so does a
    # gate that asks for no more than there is, and one with a person.
    plan = ("rollout", "start", "tiny@3.0.5", "--dry-run")
    assert "refused" not in cli(controller, *plan)[1]
    assert "refused" not in cli(controller, *plan, "--gate",
                                "ttft_us,devices_min=1")[1]
    assert "refused" not in cli(controller, *plan, "--gate", "ttft_us",
                                "--hold-for-person")[1]
    started = json.loads(cli(controller, *run, "--hold-for-person", "-o",
                             "json")[1])
    assert started["spec"]["hold_for_person"] is True, started
    cli(controller, "rollout", "abort", started["id"])


def test_a_rollout_is_a_file_that_comes_back(
        controller, devices, publisher, folder):
    publisher.publish("3.0.1")
    # One of the comments covers each value of a label that devices have.
    assert cli(controller, "device", "label", devices[0].id, "site=lyon")[0] == 0
    file = os.path.join(folder, "rollout.yaml")
    code, text, err = cli(controller, "rollout", "init", "tiny@3.0.1")
    assert code == 0, err
    with open(file, "w", encoding="utf-8") as out:
        out.write(text)
    run = ("rollout", "start", "-f", file)
    assert cli(controller, *run, "--dry-run")[0] == 0
    # Each field that stands there as a comment may be taken into use.
    lines = text.split("\n")
    for i, line in enumerate(lines):
        is_field = line.strip().startswith("# ") and line.split(":")[0].strip(
            "# ").isidentifier() and line.strip()[2:].split(":")[0].islower()
        if is_field:
            with open(file, "w", encoding="utf-8") as out:
                out.write("\n".join(
                    [*lines[:i], line.replace("# ", "", 1), *lines[i + 1:]]))
            code, _, err = cli(controller, *run, "--dry-run")
            assert code == 0, (line, err)
    with open(file, "w", encoding="utf-8") as out:
        out.write(text.replace("# soak: 0s", "soak: 2 hours"))
    at = [line.strip() for line in text.split("\n")].index("# soak: 0s") + 1
    code, _, err = cli(controller, *run)
    assert code == 2, err
    assert "%s:%d: phases[1].soak: `2 hours` is not a duration" % (
        file, at) in err
    with open(file, "w", encoding="utf-8") as out:
        out.write(text.replace("# soak: 0s", "soak: 1h"))
    code, out, err = cli(controller, *run, "-o", "json")
    assert code == 0, err
    rollout = json.loads(out)["id"]
    code, again, err = cli(controller, "rollout", "get", rollout, "-o", "yaml")
    assert code == 0 and "soak: 1h" in again, (again, err)
    cli(controller, "rollout", "abort", rollout)
    with open(file, "w", encoding="utf-8") as out:
        out.write(again)
    code, out, err = cli(controller, *run, "-o", "json")
    assert code == 0, err
    specs = [rollout_of(controller, r)["spec"]
             for r in (rollout, json.loads(out)["id"])]
    assert specs[0] == specs[1]
    cli(controller, "rollout", "abort", json.loads(out)["id"])


def test_a_device_that_does_not_answer_is_not_told_as_offline(controller,
                                                              devices):
    code, _, err = cli(controller, "device", "doctor", "a", "--timeout=1ms")
    assert code == 6 and "a is online and did not answer" in err, err
    assert "flotilla order report o-" in err, err
    goes(controller, devices[0], "offline")
    code, _, err = cli(controller, "device", "doctor", "a")
    assert code == 6 and "a is offline" in err, err
    goes(controller, devices[0], "online")


def test_the_doctor_names_each_link_and_what_to_do(controller, devices):
    good = ("login", "controller", "clock", "broker", "disk")

    def asked():
        """An answer of more than a second is a finding."""
        code, out, _ = cli(controller, "doctor", "-o", "json")
        found = {row["check"]: row for row in json.loads(out)}
        is_good = code == 0 and {found.get(check, {}).get("level")
                                 for check in good} == {"ok"}
        return found if is_good else Seen((code, out))

    found = until("a doctor who finds no fault", asked)
    assert found["token"]["found"].startswith("admin"), found
    assert all(row["do"] for row in found.values() if row["level"] != "ok")
    done = subprocess.run(
        [os.path.join(BIN, "flotilla"), "doctor", "--controller",
         "http://127.0.0.1:1", "--token-file", controller.facts["token"]],
        capture_output=True, text=True, timeout=HANG_S)
    assert done.returncode == 6 and "net.unreachable" in done.stdout, done
    assert "✗ controller" in done.stdout and "do: " in done.stdout


def test_the_doctor_and_an_alert_see_a_device_that_serves_nothing(
        controller, devices):
    def found():
        rows = json.loads(cli(controller, "doctor", "-o", "json")[1])
        return {row["check"]: (row["level"], row["found"].split()[0])
                for row in rows if row["check"] in (
                    "failed devices", "degraded devices")}

    assert found() == {"failed devices": ("ok", "none"),
                       "degraded devices": ("ok", "none")}
    devices[0].report(2000000, [{
        "model": "tiny", "state": "down", "execution": None,
        "serving": {"release": devices[0].serving, "version": "x"}}])
    devices[1].report(2000000, degraded={
        "id": "disk.full", "text": "no room", "since_ms": 1})
    want = {"failed devices": ("warning", "1"), "degraded devices": ("warning", "1")}
    until("both are found", lambda: found() == want or Seen(found()))
    for rule, device in (("devices-failed", devices[0]),
                         ("devices-degraded", devices[1])):
        where = next(r["where"] for r in json.loads(cli(
            controller, "alert-rule", "list", "-o", "json")[1])
            if r["name"] == rule)
        assert cli(controller, "device", "list", "--where", where, "-o",
                   "name")[1].split() == [device.name]
    for device in devices[:2]:
        device.report(2000001)
    until("all is well again", lambda: found()["failed devices"][0] == "ok")


def test_top_and_a_watched_list_show_what_changes(controller, devices):
    code, out, err = cli(controller, "top")
    assert code == 0 and "fleet test " in out and "\033" not in out, (out, err)
    assert "3 devices   online 3 (100.0 %)" in out
    terminal, ours = os.openpty()  # where it would take the screen
    done = subprocess.run(
        [os.path.join(BIN, "flotilla"), "top", "--once", "--controller",
         controller.rest, "--token-file", controller.facts["token"]],
        stdin=ours, stdout=ours, timeout=HANG_S)
    os.close(ours)
    shown = ""
    while "3 devices   online 3 (100.0 %)" not in shown:  # or it ends: an error
        shown += os.read(terminal, 65536).decode()
    os.close(terminal)
    assert done.returncode == 0 and "\033[?1049h" not in shown, shown
    watch = begin(controller, "device", "list", "-w", "--fields",
                  "name,state", "--no-headers", "--sort", "name")
    assert watch.stdout.readline().split() == ["a", "online"]
    goes(controller, devices[0], "offline")
    until("offline shown", lambda: watch.stdout.readline().split() == [
        "a", "offline"])
    data = begin(controller, "device", "list", "-w", "-o", "json",
                 "--fields", "name,state", "--sort", "name")
    first = json.loads(data.stdout.readline())  # a document a line
    assert first[0] == {"name": "a", "state": "offline"}, first
    goes(controller, devices[0], "online")
    until("online told", lambda: json.loads(
        data.stdout.readline())[0]["state"] == "online")
    for one in (watch, data):
        one.send_signal(signal.SIGINT)
        one.communicate(timeout=HANG_S)
        assert one.returncode == 0


def test_names_that_exist_are_completed(controller, devices, served):
    where = ("--controller", controller.rest, "--token-file",
             controller.facts["token"])

    def words(*line):
        said = subprocess.run(
            [os.path.join(BIN, "flotilla"), "__complete", *where, *line],
            capture_output=True, text=True, timeout=HANG_S).stdout
        return [name.split("\t")[0] for name in said.splitlines()]
    assert words("device", "get", "") == ["a", "b", "c"]
    assert words("rollout", "watch", served[0]) == [served[0]]
    assert words("release", "get", "tiny@1.0") == ["tiny@1.0.0"]
    assert words("device", "list", "--group", "") == ["all"]
    # A controller that is away is no reason to wait or to say anything.
    where = ("--controller", "http://127.0.0.1:1", "--token-file", "/none")
    assert words("device", "get", "") == []


def test_a_timeout_that_is_no_duration_starts_nothing(
        controller, devices, publisher):
    publisher.publish("3.1.0")

    def known():
        return [[one["id"] for one in controller.ask(
            "GET", "/v1/" + what).json["items"]]
            for what in ("rollouts", "orders")]

    before = known()
    for words in (("rollout", "start", "tiny@3.1.0"), take_back("3.1.0")):
        for wait in ((), ("--wait",)):
            code, _, err = cli(controller, *words, "--timeout", "120", *wait)
            assert code == 2 and "--timeout is `120`" in err, (code, err)
    assert before == known()


def as_anna(controller, folder, *words):
    """The command as another person."""
    token = os.path.join(folder, "anna.token")
    if not os.path.exists(token):
        code, _, err = cli(controller, "token", "create", "--kind", "access",
                           "--name", "anna", "--role", "operator", "--to",
                           token)
        assert code == 0, err
    done = subprocess.run(
        [os.path.join(BIN, "flotilla"), *words, "--controller",
         controller.rest, "--token-file", token], capture_output=True,
        text=True, timeout=HANG_S)
    return done.returncode, done.stdout, done.stderr


def test_a_second_person_approves_and_a_change_freeze_holds(
        controller, devices, publisher, folder):
    publisher.publish("3.1.1")
    assert cli(controller, "approval", "set", "all")[0] == 0
    code, out, err = cli(controller, "rollout", "start", "tiny@3.1.1")
    assert code == 0 and "awaiting-approval: waits for 1 more" in out, (
        out, err)
    rollout = out.split()[1]
    code, _, err = cli(controller, "rollout", "wait", rollout, "--timeout",
                       AT_ONCE)
    assert code == 6 and "still awaiting-approval" in err, (code, err)
    assert "why: it waits for 1 more approval" in err, err
    assert "fix: flotilla rollout approve %s; to end it" % rollout in err, err
    gate = json.loads(cli(controller, "rollout", "get", rollout, "-o",
                          "json")[1])["gates"][0]
    assert (gate["verdict"], gate["because"]) == (
        "inconclusive", "waits: no device was told yet"), gate
    code, _, err = cli(controller, "rollout", "approve", rollout)
    assert code == 4 and "error[rollout.approver]" in err, (code, err)
    code, _, err = cli(controller, "rollout", "resume", rollout)
    assert code == 5 and "error[rollout.approval]" in err, (code, err)
    watch = begin(controller, "rollout", "watch", rollout)
    assert "awaiting-approval" in watch.stderr.readline()
    watch.send_signal(signal.SIGINT)
    _, err = watch.communicate(timeout=HANG_S)
    assert watch.returncode == 130, err
    assert "rollout %s goes on without this terminal" % rollout in err
    assert "flotilla rollout abort %s" % rollout in err
    code, out, err = as_anna(controller, folder, "rollout", "approve", rollout)
    assert code == 0 and "approved: anna" in out and "running" in out, (out,
                                                                        err)
    assert cli(controller, "rollout", "abort", rollout)[0] == 0
    assert cli(controller, "approval", "delete", "all")[0] == 0

    assert cli(controller, "change-freeze", "create", "audit", "--from",
               "2020-01-01T00:00:00Z", "--until", "2090-01-01T00:00:00Z",
               "--reason", "year's end")[0] == 0
    code, _, err = cli(controller, "rollout", "start", "tiny@3.1.1")
    assert code == 10 and "error[fleet.change_freeze]" in err, (code, err)
    assert "until 2090-01-01" in err and "year's end" in err, err
    assert controller.ask("POST", "/v1/rollouts", {
        "release": "tiny@3.1.1"}).status == 423
    assert "2090-01-01" in cli(controller, "change-freeze", "list")[1]
    plan = ("rollout", "start", "tiny@3.1.1", "--dry-run")
    assert "now        a start is refused: change freeze audit" in cli(
        controller, *plan)[1]

    # One that waits for people is taken in it, as its plan tells.
    assert cli(controller, "approval", "set", "all")[0] == 0
    out = cli(controller, *plan)[1]
    assert "refused" not in out and "would not begin: change freeze" in out, out
    code, out, err = cli(controller, "rollout", "start", "tiny@3.1.1")
    assert code == 0 and "awaiting-approval" in out, (out, err)
    assert cli(controller, "rollout", "abort", out.split()[1])[0] == 0
    assert cli(controller, "approval", "delete", "all")[0] == 0
    assert cli(controller, "change-freeze", "delete", "audit")[0] == 0
    assert cli(controller, "change-freeze", "delete", "audit")[0] == 3


def test_a_frozen_fleet_says_so_and_begins_nothing(
        controller, devices, publisher):
    publisher.publish("3.2.0")
    publisher.publish("3.3.0")

    def is_frozen():
        return controller.ask("GET", "/v1/version").json["frozen"]

    rollout = start(controller, "tiny@3.2.0")["id"]
    assert not is_frozen()
    assert "fleet test\n" in cli(controller, "version")[1]
    why = "storm over Lyon: " + "x" * 400  # more than a signed order has
    assert cli(controller, "rollout", "freeze", "--confirm", "test",
               "--reason", why)[0] == 0
    order = json.loads(cli(controller, "order", "list", "-o", "json")[1])[0]
    assert (order["op"], order["reason"]) == ("freeze", why), order
    assert is_frozen()
    assert "fleet test, frozen" in cli(controller, "version")[1]
    assert rollout_of(controller, rollout)["state"] == "paused"
    for words in (("start", "tiny@3.3.0"), ("resume", rollout),
                  ("promote", rollout)):
        code, _, err = cli(controller, "rollout", *words)
        assert code == 10 and "error[fleet.frozen]" in err, (code, err)
    assert rollout_of(controller, rollout)["state"] == "paused"
    controller.stop()
    controller.start()
    assert is_frozen()
    assert cli(controller, "rollout", "abort", rollout)[0] == 0
    assert cli(controller, "rollout", "start", "tiny@3.3.0",
               "--dry-run")[0] == 0
    assert cli(controller, "rollout", "unfreeze", "--confirm", "test")[0] == 0
    assert not is_frozen()
    code, out, err = cli(controller, "rollout", "start", "tiny@3.3.0", "-o",
                         "json")
    assert code == 0, err
    cli(controller, "rollout", "abort", json.loads(out)["id"])


def test_what_a_freeze_paused_is_listed_whatever_its_age(
        controller, devices, publisher):
    publisher.publish("3.4.0")
    rollout = start(controller, "tiny@3.4.0")["id"]
    controller.stop()
    with sqlite3.connect(os.path.join(controller.dir, "control.db")) as base:
        base.execute(
            "WITH RECURSIVE r(i) AS (SELECT 1000 UNION ALL SELECT i + 1 FROM r"
            " WHERE i < 1099) INSERT INTO rollout (id, number, grp, spec,"
            " state, core, digest, created_at) SELECT 'r-' || i, i, grp, spec,"
            " 'completed', core, digest, created_at FROM rollout, r"
            " WHERE id = ?", (rollout,))
    base.close()
    controller.start()
    assert cli(controller, "rollout", "freeze", "--confirm", "test")[0] == 0
    items = json.loads(cli(controller, "rollout", "list", "-o", "json")[1])
    assert (items[0]["id"], items[0]["state"]) == (rollout, "paused")
    assert [r["id"] for r in items if r["state"] == "completed"][0] == "r-1099"
    assert cli(controller, "rollout", "unfreeze", "--confirm", "test")[0] == 0
    assert cli(controller, "rollout", "resume", rollout)[0] == 0
    cli(controller, "rollout", "abort", rollout)


def test_a_broken_audit_chain_ends_with_seven(controller):
    for _ in range(2):
        controller.enrol_token()
    assert cli(controller, "audit", "verify")[0] == 0
    controller.stop()
    with sqlite3.connect(os.path.join(controller.dir, "control.db")) as base:
        base.execute("UPDATE audit SET who = 'nobody' WHERE n = 2")
    base.close()
    controller.start()
    code, out, err = cli(controller, "audit", "verify")
    assert code == 7
    assert json.loads(out)["ok"] is False
    assert "error[audit.chain]: audit record 2 was changed" in err


def test_flags_of_every_command_may_stand_before_it(controller):
    for words in (["-o", "json", "device", "list"],
                  ["--output=json", "device", "list"],
                  ["-q", "device", "-o", "json", "list"],
                  ["device", "list", "-o", "json"]):
        code, out, err = cli(controller, *words)
        assert code == 0, err
        assert isinstance(json.loads(out), list)
    code, _, err = cli(controller, "-o", "yml", "device", "list")
    assert code == 2 and "--output is `yml`, not one of" in err


def test_each_form_of_an_answer_is_of_one_description(controller, devices):
    def out(*words):
        code, out, err = cli(controller, "device", *words)
        assert code == 0, err
        return out

    whole = json.loads(out("list", "-o", "json"))
    assert [json.loads(line) for line in out(
        "list", "-o", "jsonl").splitlines()] == whole
    rows = list(csv.DictReader(io.StringIO(out("list", "-o", "csv"))))
    assert [(row["name"], row["id"]) for row in rows] == [
        (device["name"], device["id"]) for device in whole]
    assert out("list", "--fields", "name,id", "--sort", "-name",
               "--no-headers").split() == [
        word for device in whole[::-1]
        for word in (device["name"], device["id"])]
    assert out("get", "b", "-o", "yaml", "--fields", "name") == "name: b\n"
    assert "\033" not in out("list", "-o", "wide")
    assert "\033[32mok" in out("list", "--color", "always")
    code, _, err = cli(controller, "device", "list", "--fields", "nmae")
    assert code == 2 and "did you mean `name`?" in err, (code, err)


def test_the_agent_says_where_it_looked_for_its_configuration():
    if os.path.exists("/etc/flotilla/agent.yaml"):
        pytest.skip("this machine has an agent")
    said = subprocess.run([os.path.join(BIN, "flotilla-agent"), "status"],
                          capture_output=True, text=True, timeout=HANG_S)
    assert said.returncode == 3
    assert "/etc/flotilla/agent.yaml" in said.stderr
    assert "--config FILE" in said.stderr


def test_a_login_says_which_kind_of_token_it_was_given(controller, folder):
    env = dict(os.environ, XDG_CONFIG_HOME=os.path.join(folder, "config-unused"))
    wrong = os.path.join(folder, "enroll.token")
    code, _, err = cli(controller, "token", "create", "--to", wrong)
    assert code == 0, err
    done = subprocess.run(
        [os.path.join(BIN, "flotilla"), "login", controller.rest,
         "--token-file", wrong],
        env=env, capture_output=True, text=True, timeout=HANG_S)
    assert done.returncode == 4, done.stderr
    assert "enrolment token, which is for devices" in done.stderr
    assert not os.path.exists(os.path.join(folder, "config-unused", "flotilla"))
    code, _, err = cli(controller, "token", "create", "--kind", "acess")
    assert code == 2 and "--kind is `acess`, not one of" in err, (code, err)
    private = os.path.join(folder, "mine.key")
    assert cli(controller, "key", "create", "mine", "--to", folder)[0] == 0
    code, _, err = cli(controller, "key", "trust", private)
    assert code == 7 and "NAME.pub" in err, (code, err)


@pytest.mark.parametrize("line, says", [
    ("flotilla-agent run --config", "--config needs a value: FILE"),
    ("flotilla-controller --data", "--data needs a value"),
    ("flotilla-controller --dta x", "did you mean `--data`?"),
    ("flotilla-model golden play nofile --model x",
     "error[absent]: nofile: No such file"),
])
def test_a_line_that_is_not_whole_is_told_as_what_it_is(line, says):
    words = line.split()
    done = subprocess.run([os.path.join(BIN, words[0]), *words[1:]],
                          capture_output=True, text=True, timeout=HANG_S)
    assert done.returncode in (2, 3) and says in done.stderr, done.stderr


def test_the_agents_commands_say_json_by_the_same_name(folder):
    def run(*words):
        done = subprocess.run(
            [os.path.join(BIN, "flotilla-agent"), *words, "--state-dir",
             os.path.join(folder, "no-state")], capture_output=True, text=True,
            timeout=HANG_S)
        return done.returncode, json.loads(done.stdout)

    for words in (("-o", "json"), ("--json",), ("-ojson",)):
        code, checks = run("doctor", *words)
        assert code != 0 and {"ok", "check", "found"} == set(checks[0])
        assert [one["check"] for one in checks if not one["ok"]]
        code, said = run("explain", *words)
        assert code != 0 and said["error"]["id"] == "absent"


def test_a_group_that_is_not_there_is_no_empty_list(controller, folder):
    code, out, err = cli(controller, "device", "list", "--group", "nope")
    assert (code, out) == (3, "") and "error[group.absent]" in err
    assert controller.ask("POST", "/v1/groups", {"name": "hall"}).status == 201
    assert cli(controller, "device", "list", "--group", "hall")[0] == 0
    Device(controller, folder, "shown", controller.enrol_token(),
           labels={"site": "lyon"})
    code, out, _ = cli(controller, "device", "get", "shown")
    assert code == 0 and "labels: site=lyon\n" in out
    assert "hardware: x86_64, 2 processors" in out, out
    assert "note:" not in out, "it has none"


def test_a_model_that_is_not_there_is_no_empty_list(controller, served):
    for line in ("device list", "release list", "rollout list",
                 "device benchmarks", "telemetry query ttft_us",
                 "telemetry away"):
        words = line.split()
        code, out, err = cli(controller, *words, "--model", "tinny")
        assert (code, out) == (3, "") and "error[release.absent]: no release " \
            "of model tinny\n" in err, (words, code, out, err)
        assert cli(controller, *words, "--model", "tiny")[0] == 0, words


def test_an_order_of_a_rollout_names_its_release_and_the_rollout(
        controller, devices, publisher):
    digest = publisher.publish("2.8.0")
    rollout = start(controller, "tiny@2.8.0",
                    phases=[{"share_pct": 100}])["id"]
    order = devices[0].order("deploy", about=digest)[1]["id"]

    code, out, _ = cli(controller, "order", "get", order)

    assert code == 0 and out.startswith("deploy of tiny@2.8.0 · group all · "
                                        "rollout %s · " % rollout), out
    assert out.splitlines()[1:] == [
        "order %s is signed; its devices: flotilla rollout get %s" %
        (order, rollout)]
    code, out, err = cli(controller, "order", "wait", order, "-q")
    assert (code, out) == (2, "") and "flotilla rollout wait " + rollout in err
    assert "; looked at again with any news, else in " in cli(
        controller, "rollout", "get", rollout)[1]
    for device in devices:
        device.event(rollout, digest, "succeeded")
    until_rollout(controller, rollout, "completed")


def test_a_timeline_names_the_model_of_each_step(controller, devices):
    devices[0].event("r-0999", "sha256:" + "7" * 64, "downloading",
                     model="helpdesk", version="7.0")
    until("the step", lambda: "helpdesk  7.0" in cli(
        controller, "device", "get", devices[0].name, "--timeline")[1])


def test_a_prompt_comes_from_standard_input():
    said = [subprocess.run(
        [os.path.join(BIN, "flotilla-engine"), "run", "--model",
         os.path.join(MODELS, "tiny-v2.Q4_0.gguf"), "-n", "8", "--temp", "0",
         "--prompt", prompt], input="hello\n", capture_output=True, text=True,
        check=True, timeout=HANG_S).stdout for prompt in ("hello", "-")]
    assert said[0] == said[1] != ""
