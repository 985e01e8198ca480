"""Things die, vanish and lie; devices go on serving and events are final.

One fleet for the module.  Each test begins with both devices on tiny@1 and
publishes the releases that it brings: none needs another test before it.
"""
import contextlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import urllib.request

import pytest

import fleet as F
import sets
from conftest import MODELS
from qwen2 import qwen2
from test_failing_disk import fail_as, preload
from waits import HANG, HANG_S, Seen, same, stopped, until, wall_ms

A_MONTH = {"start_jitter_ms": 30 * 86400000}  # at once in one of a million runs
ASKED = {"soak_ms": 0, "soak_requests": 1}
STATES = "downloading", "verifying", "probing", "soaking"  # of an update
QUESTION = "Rate this log line: 20:25 gateway-42 link lost temp=94C"


def answer(device):
    return device.ask(QUESTION, "tiny")


def serves(device, release):
    def ask():
        try:
            return answer(device)[1] == release
        except (OSError, F.Failed):
            return False
    until("%s serves %s" % (device.name, release), ask)


@pytest.fixture(scope="module")
def up(fleet):
    fleet.up(["a", "b"])
    fleet.publish("tiny@1", "tiny-v2.Q4_0.gguf")
    fleet.publish("tiny@2", "tiny-v2.1.Q4_0.gguf", "golden-tiny-v2.1.json")
    fleet.number = 100
    fleet.roll("tiny@1")
    return fleet


def slots(up, name):
    found = F.model_status(json.loads(up.program(
        "flotilla-agent", "status", "--config", up.devices[name].config, "-o",
        "json")[1]))["slots"]
    return [(found[slot] or {}).get("version")
            for slot in ("current", "candidate")]


@pytest.fixture(autouse=True)
def same_place(up):
    """Whatever a test before left: both devices are online and serve tiny@1,
    nothing is frozen and no rollout is open."""
    up.online(["a", "b"])
    for rollout in up.ask("rollout", "list"):
        if rollout["state"] in ("running", "paused"):
            up.cli("rollout", "abort", rollout["id"], check=False)
    up.cli("rollout", "unfreeze", "--confirm", up.name)
    if any(slots(up, name) != ["1", None] for name in ("a", "b")):
        up.roll("tiny@1", "--below-floor", "--lift")
    for device in up.devices.values():
        serves(device, "tiny@1")


def new_release(up):
    """A release that no device knows, newer than all before."""
    up.number += 1
    release = "tiny@%d" % up.number
    up.publish(release, "tiny-v2.1.Q4_0.gguf", "golden-tiny-v2.1.json")
    return release


@contextlib.contextmanager
def newcomer(up, name):
    """A device without a release, in a group of its own."""
    device = F.Device(up, name)
    token = os.path.join(up.dir, name + ".token")
    up.cli("token", "create", "--kind", "enroll", "--group", name, "--to",
           token, "-q")
    try:
        device.enroll(token)
        device.start()
        up.online([name])
        yield device
    finally:
        device.stop()
        up.cli("device", "delete", name, "--confirm", name, check=False)


def ends_of(up, device, rollout):
    """Execution -> states that ended it."""
    ends = {}
    for event in up.ask("device", "get", device, "--timeline"):
        if event.get("end") and event["execution"].startswith(rollout + "."):
            ends.setdefault(event["execution"], []).append(event["state"])
    return ends


def until_ended(up, rollout):
    """Devices are asked; each trial of ASKED ends with a request."""
    def has_ended():
        for device in up.devices.values():
            answer(device)
        found = up.ask("rollout", "get", rollout)["state"]
        return found != "running" or Seen(found)

    until("the end of " + rollout, has_ended)


def end_once(up, rollout):
    """Each device's execution of it ended, and once.  A report may end the
    rollout before the event is sent again after a kill."""
    for device in "a", "b":
        until("the end of %s" % device,
              lambda one=device: ends_of(up, one, rollout))
        ends = ends_of(up, device, rollout)
        assert all(len(states) == 1 for states in ends.values()), ends



@pytest.fixture
def failing(up):
    """The device b, of which calls fail as the file `fails` says."""
    env = preload(up.dir)
    device = up.devices["b"]
    device.stop()
    before = dict(up.env)
    up.env.update(env)
    device.start()
    up.env = before
    up.online(["b"])
    yield device, env["FLO_FAILS"]
    device.stop()
    device.start()
    up.online(["b"])


def degraded(up):
    """Why, as the device says, and who is listed."""
    return up.ask("device", "get", "b")["degraded"], [
        d["name"] for d in up.ask("device", "list", "--where", "degraded")]


def test_an_order_that_a_dead_disk_does_not_keep_comes_again(up, failing):
    device, fails = failing
    for call, error in (("pread", "io.read"), ("pwrite", "io.write"),
                        ("fdatasync", "io.write")):
        release = new_release(up)
        fail_as(fails, call, "slots/")
        rollout = json.loads(up.cli("rollout", "start", release, "--phase",
                                    "100%", "--soak", "0s", "-o",
                                    "json")[1])["id"]

        # Between two tries to keep it the device may think that all is well.
        def told():
            why, listed = degraded(up)
            return (listed == ["b"] and why["id"] == error) or Seen(
                (why, listed))
        until("b is listed", told)
        until("its doctor says so", lambda: "cannot do all of its work" in
              up.cli("device", "doctor", "b")[1])
        until("its status says so", lambda: same(json.loads(up.program(
            "flotilla-agent", "status", "--config", device.config, "-o",
            "json")[1])["degraded"]["id"], error))
        assert answer(device)[1] != release
        os.unlink(fails)
        serves(device, release)
        up.cli("rollout", "wait", rollout, "-q")
        until("b lacks nothing", lambda: degraded(up) == (None, []))


def test_the_first_release_has_nothing_to_go_back_to_and_stays(up):
    with newcomer(up, "first") as device:
        rollout = up.roll("tiny@1", "--group", "first")["id"]
        code, _, err = up.cli("rollout", "rollback", rollout, "--wait",
                              "--confirm", "tiny@1",
                              check=False)
        assert code == 9 and "error[rollout.partly]" in err, (code, err)
        remedy = "flotilla model remove tiny --device %s" % device.name
        assert remedy in err, err
        up.cli("rollout", "wait", rollout, "--for", "partly-back", "-q")
        code, _, err = up.cli("rollout", "wait", rollout, "--for",
                              "rolled-back", "-q", check=False)
        assert code != 0 and remedy in err, (code, err)
        found = up.ask("rollout", "get", rollout)
        for one in found["devices"]:
            assert one["stays"] and not one["back"], one
        assert ("not back: 1 with nothing to go back to (%s)" % device.name
                in found["reason"]), found["reason"]
        assert [d["name"] for d in found["remaining"]] == [device.name]
        assert found["remedy"].startswith(remedy), found
        for said in (up.cli("rollout", "get", rollout)[1],
                     up.cli("rollout", "explain", rollout)[1]):
            assert "next: " + remedy in said, said
        audit = up.cli("audit", "list", "-o", "json")[1]
        assert device.name in audit and "partly-back" in audit
        serves(device, "tiny@1")
        # Nothing failed there.
        until("it says why", lambda: same(
            [(m["drift"] or {}).get("why") for m in up.ask(
                "device", "get", device.name)["models"]],
            ["it was taken back here"]))

        # The device leaves the release: nobody serves it any more.
        up.cli("model", "remove", "tiny", "--device", device.name,
               "--confirm", "tiny", "--wait")
        up.cli("rollout", "wait", rollout, "--for", "rolled-back", "-q")
        found = up.ask("rollout", "get", rollout)
        assert "remaining" not in found and "not back" not in found["reason"]


def test_a_device_without_controller_serves_after_its_restart(up):
    device = up.devices["a"]
    up.controller.send_signal(signal.SIGKILL)
    up.controller.wait()
    device.stop()
    device.start()
    serves(device, "tiny@1")
    up.start_controller()
    up.online(["a", "b"])


def test_a_rollout_and_its_watcher_outlast_a_killed_controller(up):
    release = new_release(up)
    started = up.ask("rollout", "start", release, "--phase", "1", "--phase",
                     "100%", "--soak", "0s", "--soak-requests", "1")["id"]
    said = os.path.join(up.dir, "wait.log")
    with open(said, "wb") as log:
        waiting = subprocess.Popen(
            [up.path("flotilla"), "rollout", "wait", started, "--timeout",
             HANG], env=up.env, stdout=log, stderr=log)
    until("one soaks, until it is asked", lambda: any(
        up.rollout_device(started, name)["state"] == "soaking"
        for name in ("a", "b")))
    until("it is watched", lambda: "running" in open(said).read())
    up.controller.send_signal(signal.SIGKILL)
    up.controller.wait()
    until("the watcher tries again",
          lambda: "trying again" in open(said).read())
    up.start_controller()
    until_ended(up, started)
    assert waiting.wait(HANG_S) == 0, open(said).read()
    assert "the controller answers again, after" in open(said).read()
    for device in up.devices.values():
        serves(device, release)
    end_once(up, started)


def brokers(up):
    return sets.processes(up.controller.pid, "mosquitto")


def test_a_killed_broker_that_forgot_everything_is_taught_again(up):
    before = {d["name"] for d in up.ask("device", "list")}
    found = brokers(up)
    assert len(found) == 1
    sets.kill(found)
    until("another one", lambda: set(brokers(up)) - set(found))
    # Until the controller is there too, it shows them as they were.
    now_ms = wall_ms()
    until("both speak by it", lambda: all(
        d["state"] == "online" and d["last_seen_at_ms"] > now_ms
        for d in up.ask("device", "list") if d["name"] in ("a", "b")))
    rollout = up.roll(new_release(up))
    assert {d["state"] for d in rollout["devices"]} == {"succeeded"}
    assert before == {d["name"] for d in up.ask("device", "list")}


def came_to(log, begin, states):
    """Behind that place, the log has one of the states, or a trial that goes
    on."""
    with open(log, encoding="utf-8") as file:
        file.seek(begin)
        text = file.read()
    return "on trial," in text or \
        any("state %s\n" % state in text for state in states)


def test_the_agent_is_killed_in_an_update_and_ends_it(up):
    device = up.devices["b"]
    release = new_release(up)
    begin = os.path.getsize(device.log)
    # A kill on trial begins the soak again, and is one of its tries.
    rollout = start_with(up, release, dict(ASKED, tries=9))
    for at, state in enumerate(STATES):
        until(state + ", or later", lambda: came_to(
            device.log, begin, STATES[at:]), lambda: F.tail(device.log))
        device.process.kill()
        device.process.wait()
        begin = os.path.getsize(device.log)
        device.start()
    serves(device, release)
    until_ended(up, rollout)
    for one in up.devices.values():
        serves(one, release)
    end_once(up, rollout)


def start_with(up, release, policy, group="all"):
    """A rollout with what the command line has no flag for."""
    policy = dict(policy, probe_timeout_ms=HANG_S * 1000)
    with open(up.admin_token, encoding="utf-8") as file:
        token = file.read().strip()
    request = urllib.request.Request(
        up.url + "/v1/rollouts", json.dumps({
            "release": release, "group": group,
            "phases": [{"name": "all", "share_pct": 100}],
            "policy": policy}).encode(),
        {"Authorization": "Bearer " + token,
         "Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=HANG_S) as answer:
        return json.load(answer)["id"]


def test_a_device_that_waits_waits_on_behind_its_restart(up):
    device = up.devices["b"]

    def waits(why):
        until(why, lambda: (up.ask("device", "get", "b").get(
            "execution") or {}).get("reason") == why)

    rollout = start_with(up, new_release(up), A_MONTH)
    waits("its start is spread")
    up.cli("rollout", "pause", rollout)
    waits("the rollout is paused")
    device.process.kill()
    device.process.wait()
    device.start()
    serves(device, "tiny@1")
    up.cli("rollout", "resume", rollout)
    waits("its start is spread")
    with open(device.log, encoding="utf-8") as log:
        behind = log.read().rsplit("boot      current", 1)[1]
    assert "start updater" not in behind
    up.cli("rollout", "abort", rollout)


def test_a_device_that_never_had_a_release_is_heard_while_it_waits(up):
    with newcomer(up, "fresh"):
        rollout = start_with(up, "tiny@1", A_MONTH, "fresh")
        until("accepted", lambda: (up.rollout_device(
            rollout, "fresh") or {}).get("state") == "accepted")
        up.cli("rollout", "pause", rollout)

        def waiting():
            device = up.ask("device", "get", "fresh")
            return (device.get("execution") or {}).get("reason") == \
                "the rollout is paused" and device

        paused = until("it was told", waiting)
        for heartbeat in 1, 2:
            before_ms = paused["last_seen_at_ms"]
            until("heartbeat %d" % heartbeat, lambda: up.ask(
                "device", "get", "fresh")["last_seen_at_ms"] > before_ms)
        assert up.ask("rollout", "get", rollout)["state"] == "paused"
        up.cli("rollout", "abort", rollout)


def test_two_agents_on_one_state_directory_the_second_is_refused(up):
    code, _, err = up.program("flotilla-agent", "--config",
                              up.devices["a"].config, check=False)
    assert code == 5
    assert "error[state.locked]" in err
    assert str(up.devices["a"].process.pid) in err


def test_unknown_release_group_and_device_have_their_own_errors(up):
    for args, code, error in (
            (("rollout", "start", "tiny@99"), 3, "release.absent"),
            (("rollout", "start", "tiny@1", "--group", "nowhere"), 3,
             "group.absent"),
            (("rollout", "get", "r-9999"), 3, "rollout.absent"),
            (("device", "get", "nobody"), 3, "device.absent"),
            (("rollout", "start", "tiny"), 2, "cli.usage"),
            (("rolout", "list"), 2, "cli.usage")):
        got, _, err = up.cli(*args, check=False)
        assert got == code, (args, err)
        assert "error[%s]:" % error in err and "  fix:" in err, (args, err)


def test_the_port_in_use_is_named(up):
    other = os.path.join(up.dir, "second")
    code, _, err = up.program(
        "flotilla-controller", "--data", other, "--listen",
        "127.0.0.1:%d" % up.port, "--fleet", "other", check=False)
    assert code == 5
    assert "error[net.port_in_use]" in err and str(up.port) in err


def test_a_bundle_updates_a_device_without_network(up):
    device = up.devices["a"]
    release = new_release(up)
    bundle = os.path.join(up.dir, "whole.tar")
    up.cli("bundle", "create", release, "--to", bundle)
    stopped(up.controller.pid)
    try:
        up.program("flotilla-agent", "update", "--bundle", bundle,
                   "--config", device.config)
        serves(device, release)
        up.program("flotilla-agent", "rollback", "--config", device.config)
        serves(device, "tiny@1")
    finally:
        up.controller.send_signal(signal.SIGCONT)
    up.online(["a", "b"])


def test_a_model_of_another_architecture_passes_its_probe_and_serves(up):
    device = up.devices["a"]
    model = os.path.join(up.dir, "tiny-qwen2.gguf")
    with open(model, "wb") as file:
        file.write(qwen2(os.path.join(MODELS, "tiny-v2.Q4_0.gguf")))
    up.publish("tiny@qwen2", model)
    document = up.ask("release", "get", "tiny@qwen2")["document"]
    assert document["variants"][0]["needs"]["engine"] == ["qwen2"]
    bundle = os.path.join(up.dir, "qwen2.tar")
    up.cli("bundle", "create", "tiny@qwen2", "--to", bundle)
    up.program("flotilla-agent", "update", "--bundle", bundle, "--config",
               device.config)
    serves(device, "tiny@qwen2")
    up.program("flotilla-agent", "rollback", "--config", device.config)
    serves(device, "tiny@1")


def test_a_damaged_bundle_changes_nothing(up):
    device = up.devices["b"]
    bundle = os.path.join(up.dir, "good.tar")
    up.cli("bundle", "create", new_release(up), "--to", bundle)
    data = bytearray(open(bundle, "rb").read())
    for name, cut in (("flipped", None), ("cut", len(data) * 2 // 3)):
        path = os.path.join(up.dir, name + ".tar")
        broken = bytearray(data if cut is None else data[:cut])
        if cut is None:
            broken[len(broken) // 2] ^= 0x40
        with open(path, "wb") as out:
            out.write(broken)
        code, _, err = up.program("flotilla-agent", "update", "--bundle", path,
                                  "--config", device.config, check=False)
        assert code == 7, err
        assert "error[" in err
        assert answer(device)[1] == "tiny@1"


def test_a_model_that_does_not_fit_is_refused_with_numbers(up):
    device = up.devices["b"]
    device.stop()
    device.write_config("memory_budget: 1MiB\n")
    device.start()
    up.online(["b"])
    started = up.ask("rollout", "start", new_release(up), "--phase", "100%",
                     "--soak", "300ms", "--max-failed", "0")
    up.cli("rollout", "wait", started["id"], "--for", "halted", "-q")
    one = up.rollout_device(started["id"], "b")
    assert one["error"]["id"] == "memory.budget", one
    assert any(c.isdigit() for c in one["error"]["what"])
    device.stop()
    device.write_config()
    device.start()
    serves(device, "tiny@1")


def test_a_wrong_key_in_the_configuration_is_named_with_its_line(up):
    device = F.Device(up, "typo")
    device.write_config("heartbeet: 2s\n")
    code, _, err = up.program("flotilla-agent", "--config", device.config,
                              "--check-config", check=False)
    assert code == 2
    assert "error[cfg.key]" in err and "heartbeet" in err
    assert "heartbeat" in err.split("fix:")[1]
    line = open(device.config).read().split("\n").index("heartbeet: 2s") + 1
    assert ":%d" % line in err


def full_disk(path, megabytes):
    return subprocess.run(["mount", "-t", "tmpfs", "-o",
                           "size=%dm" % megabytes, "tmpfs", path],
                          capture_output=True).returncode == 0


@contextlib.contextmanager
def on_small_disk(up, name, megabytes):
    """A device of a group of its own whose state is on a tmpfs."""
    device = F.Device(up, name)
    os.makedirs(device.state)
    if os.getuid() != 0 or not full_disk(device.state, megabytes):
        pytest.skip("mounting a tmpfs needs root")
    up.devices[name] = device
    token = os.path.join(up.dir, name + ".token")
    up.cli("token", "create", "--kind", "enroll", "--group", name, "--to",
           token, "-q")
    try:
        device.enroll(token)
        yield device
    finally:
        device.stop()
        up.devices.pop(name)
        subprocess.run(["umount", device.state])
        up.cli("device", "delete", name, "--confirm", name, check=False)


def leave_room(device, keep):
    """Fill the device's disk but for so many bytes."""
    free = os.statvfs(device.state)
    with open(os.path.join(device.state, "ballast"), "wb") as out:
        out.write(b"x" * max(0, free.f_bavail * free.f_frsize - keep))


def is_in(up, rollout, device, *states):
    return (up.rollout_device(rollout["id"], device.name) or
            {}).get("state") in states


@pytest.mark.parametrize("megabytes,where", [(4, "download"), (4, "apply")])
def test_a_full_disk_refuses_the_update_and_serves_on(up, megabytes, where):
    with on_small_disk(up, "small-%s" % where, megabytes) as device:
        group = ("--group", device.name, "--phase", "100%", "--soak", "300ms")
        device.start()
        up.online([device.name])
        first = up.ask("rollout", "start", "tiny@1", *group)
        until("first model",
              lambda: is_in(up, first, device, "succeeded"))
        # Leave room for the delta only, or not even for that.
        leave_room(device, 100 << 10 if where == "download" else 600 << 10)
        second = up.ask("rollout", "start", "tiny@2", *group)
        until("refusal",
              lambda: is_in(up, second, device, "failed", "rejected"))
        one = up.rollout_device(second["id"], device.name)
        assert one["error"]["id"] == "disk.full", one
        serves(device, "tiny@1")
        up.cli("rollout", "abort", second["id"], check=False)


@pytest.mark.parametrize("ends", ["quickly", "slowly"])
def test_a_hotfix_right_behind_an_abort_has_the_room_of_what_was_aborted(
        up, ends):
    with on_small_disk(up, "hurried-" + ends, 8) as device:
        group = ("--group", device.name, "--phase", "100%", "--soak")
        device.write_config("packed_weights: off\nhang: 60s\n")
        device.start()
        up.online([device.name])
        up.roll("tiny@1", "--group", device.name)
        kept = set(device.children("flotilla-engine"))
        second = up.ask("rollout", "start", "tiny@2", *group, "1h")
        until("on trial",
              lambda: is_in(up, second, device, "soaking"))
        leave_room(device, 1 << 20)
        bad = "tiny@29" if ends == "quickly" else "tiny@30"
        up.publish(bad, "tiny-v3-bad-swap.Q4_0.gguf",
                   os.path.join(MODELS, "golden-tiny-v2.json"), "--label",
                   ends)
        if ends == "quickly":
            up.cli("rollout", "abort", second["id"], "-q")
        else:  # the engine goes on after its files are gone
            candidate, = set(device.children("flotilla-engine")) - kept
            stopped(candidate)
            up.cli("rollout", "rollback", second["id"], "--confirm", "tiny@2",
                   "-q")
            file = up.ask("release", "get", "tiny@2")["document"]["files"][0]
            path = os.path.join(device.state, "blobs",
                                file["digest"].replace(":", "-"))
            until("its files are gone",
                  lambda: not os.path.exists(path))
        third = up.ask("rollout", "start", bad, *group, "300ms")
        # A stopped engine that has work is killed after 60 s.
        until("an end",
              lambda: is_in(up, third, device, "failed", "rejected"))
        one = up.rollout_device(third["id"], device.name)
        # It was downloaded and tried; what is wrong with it is its answers.
        assert one["error"]["id"] == "probe.golden", (
            "\n".join(up.ask("device", "logs", device.name)["lines"][-60:]))
        serves(device, "tiny@1")
        up.cli("rollout", "abort", third["id"], check=False)


def requests(up):
    """Requests of all devices, as the controller counts them."""
    series = up.ask("telemetry", "query", "requests", "--by", "device",
                    "--since", "1h")["series"]
    return sum(s["sum"] for s in series)


def kept_windows(device):
    """Windows of telemetry in the device's outbox."""
    with contextlib.closing(sqlite3.connect(os.path.join(
            device.state, "outbox.db"), timeout=HANG_S)) as base:
        return base.execute("SELECT count(*) FROM tele").fetchone()[0]


def test_telemetry_of_an_absent_broker_comes_later(up):
    device = up.devices["a"]
    before = requests(up)
    up.controller.terminate()  # a kill may take counts along that were shown
    up.controller.wait()
    for _ in range(7):
        answer(device)
    kept = kept_windows(device)  # the next one has the last of the answers
    until("they are kept", lambda: kept_windows(device) >= kept + 2)
    device.process.kill()
    device.process.wait()
    device.start()
    up.start_controller()
    up.online(["a", "b"])
    until("the counts arrive", lambda: requests(up) >= before + 7)


def test_devices_obey_a_controller_whose_data_come_from_a_backup(up):
    data = os.path.join(up.dir, "controller", "control.db")
    device = up.devices["a"]
    release = new_release(up)
    before = answer(device)[1]
    running = up.ask("rollout", "start", release, "--soak", "1h")["id"]
    up.controller.terminate()
    up.controller.wait()
    shutil.copy(data, data + ".backup")
    up.start_controller()
    up.cli("rollout", "abort", running)
    up.roll(release)
    serves(device, release)
    up.controller.terminate()
    up.controller.wait()
    os.replace(data + ".backup", data)
    up.start_controller("--restored")
    up.online(["a", "b"])
    assert up.ask("rollout", "get", running)["state"] == "paused"
    up.cli("rollout", "rollback", "--release", release, "--everywhere",
           "--confirm", release, "--wait")
    serves(device, before)


def test_who_was_away_at_the_backup_goes_on_with_what_it_was_told(up):
    away = up.devices["b"]

    def state():
        return up.rollout_device(running, "b")["state"]

    release = new_release(up)
    away.stop()
    running = up.ask("rollout", "start", release, "--phase", "100%",
                     "--soak", "1h")["id"]
    until("it is told", lambda: same(state(), "notified"))
    up.controller.terminate()
    up.controller.wait()
    up.start_controller("--restored")
    away.start()
    up.online(["a", "b"])
    serves(away, "tiny@1")
    assert up.ask("rollout", "get", running)["state"] == "paused"
    assert state() == "notified"
    up.cli("rollout", "unfreeze", "--confirm", up.name)
    up.cli("rollout", "resume", running)
    until("it goes on", lambda: state() == "soaking")
    assert up.ask("rollout", "get", running)["state"] == "running"
    up.cli("rollout", "rollback", running, "--confirm", release, "--wait")
    serves(away, "tiny@1")


def test_prompts_and_answers_are_in_no_log_and_no_database(up):
    canary = "zebra-canary-7741"
    device = up.devices["a"]
    before = requests(up)
    device.ask("Echo %s" % canary, "tiny")
    until("its telemetry came", lambda: requests(up) > before)
    for path, data in sets.files(up.dir):
        assert canary.encode() not in data, path


def test_the_audit_chain_holds(up):
    got = json.loads(up.cli("audit", "verify")[1])
    assert got.get("ok") is True, got


# The last one: for a quarter of an hour no good end of the device counts.
def test_two_agents_with_one_identity_do_not_fight_for_ever(up):
    original = up.devices["a"]
    twin = F.Device(up, "twin")
    original.stop()
    sets.copy(original.state, twin.state, "*.sock", "lock")
    original.start()
    up.online(["a"])
    twin.write_config()
    twin.start()
    try:
        until("the takeover is told", lambda: "mqtt.identity" in (
            open(original.log).read() + open(twin.log).read()))
        serves(original, "tiny@1")
    finally:
        twin.stop()
    up.online(["a", "b"])
