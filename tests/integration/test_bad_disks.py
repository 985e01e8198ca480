"""Damage on a device's own disk, and engines that die or hang.
"""
import hashlib
import http.client
import itertools
import os
import re
import shutil
import signal
import subprocess

import pytest

import fleet as F
import sets
from bad_parts import (OLD, QUESTION, long_probe, refused,  # noqa: F401
    scratch, serves, unharmed, up)
from conftest import F, MODELS
from dead_disk import Disk
from waits import HANG, HANG_S, Seen, until

# ---- a device's own disk ----

@pytest.fixture(scope="module")
def lab(up):
    """A second device, in a group of its own, to be mistreated."""
    token = os.path.join(up.scratch, "lab.token")
    up.cli("token", "create", "--group", "lab", "--uses", "9", "--to", token,
           "-q")
    device = up.add_device("b", token)
    up.online(["b"])
    up.roll("tiny@1", "--group", "lab")
    yield device
    device.stop()
    up.devices.pop("b")
    shutil.rmtree(device.dir)


def in_state(device, *path):
    return os.path.join(device.state, *path)


def overwrite(path, change):
    data = bytearray(open(path, "rb").read())
    data = change(data)
    with open(path, "wb") as file:
        file.write(data)


def zero(data, begin, end):
    data[begin:end] = b"\0" * (end - begin)
    return data


def flip(data, at):
    data[at] ^= 0x20
    return data


RECORDS = (0, 4096)  # where the two records of a slot file begin


def test_one_damaged_record_does_not_take_the_model_away(up, lab):
    path = in_state(lab, "slots", "tiny.bin")
    for which in RECORDS:
        for change in (lambda d: zero(d, which, which + 512),
                       lambda d: flip(d, which + 20)):
            lab.stop()
            overwrite(path, change)
            lab.start()
            serves(lab, "tiny@1")


@pytest.mark.parametrize("data", [b"", b"x", b"garbage" * 3000])
def test_damaged_records_are_told_and_the_fleet_heals_them(up, lab, data):
    lab.stop()
    with open(in_state(lab, "slots", "tiny.bin"), "wb") as file:
        file.write(data)
    lab.start()
    up.online(["b"])
    up.roll("tiny@1", "--group", "lab")
    serves(lab, "tiny@1")


def test_another_models_damaged_record_takes_nothing_away(up, lab):
    lab.stop()
    other = in_state(lab, "slots", "another.bin")
    with open(other, "wb") as file:
        file.write(b"x" * 8192)
    lab.start()
    serves(lab, "tiny@1")
    lab.stop()
    os.unlink(other)
    lab.start()
    up.online(["b"])


def flip_a_bit(device):
    """Flip a byte of the model's file; its path, and the end of the log."""
    digest = hashlib.sha256(open(OLD, "rb").read()).hexdigest()
    path = in_state(device, "blobs", "sha256-" + digest)
    os.chmod(path, 0o644)
    with open(path, "r+b") as file:
        data = file.read()
        file.seek(len(data) // 2)
        file.write(bytes([data[len(data) // 2] ^ 0x20]))
    return path, os.path.getsize(device.log)


def damage(device):
    """While the agent is stopped."""
    device.stop()
    return flip_a_bit(device)


def says(device, begin, word):
    with open(device.log, "rb") as log:
        log.seek(begin)
        return word.encode() in log.read()


def test_a_bit_of_the_model_flipped_on_disk_is_repaired(up, lab):  # LO03
    path, begin = damage(lab)
    lab.start()
    until("it is found", lambda: says(lab, begin, "target.hash"))
    serves(lab, "tiny@1")
    assert open(path, "rb").read() == open(OLD, "rb").read()
    until("it is told", lambda: says(lab, begin, "end repair.") and
          says(lab, begin, "succeeded"))


def test_an_order_of_a_damaged_release_ends_when_it_serves(up, lab):
    _, begin = damage(lab)
    started = up.ask("rollout", "start", "tiny@1", "--group", "lab", "--phase",
                     "100%", "--soak", "200ms")["id"]
    lab.start()
    up.cli("rollout", "wait", started, "-q")
    assert up.rollout_device(started, "b")["state"] in (
        "succeeded", "already-installed")
    text, release, _ = lab.ask(QUESTION, "tiny")  # at once
    assert release == "tiny@1" and text
    assert says(lab, begin, "target.hash")


def test_a_damaged_outbox_keeps_no_device_from_serving(up, lab):
    path = in_state(lab, "outbox.db")
    for change in (lambda d: d[:0], lambda d: d[:1000],
                   lambda d: bytearray(b"garbage" * 1000),
                   lambda d: zero(d, 4096, len(d))):
        lab.stop()
        overwrite(path, change)
        lab.start()
        serves(lab, "tiny@1")
    up.online(["b"])


def test_symlinks_in_the_state_are_not_followed(up, lab):
    target = scratch(up, "victim", b"precious")
    lab.stop()
    for folder in ("partial", "blobs"):
        os.symlink(target, in_state(lab, folder, "sha256-" + "a" * 64))
    wanted = up.ask("release", "get", "tiny@2")["document"]["files"]
    for way in (w for f in wanted for w in f["get"]):
        for name in (way["digest"].replace(":", "-"),
                     way["digest"][7:] + ".part"):
            for folder in ("partial", "blobs"):
                if not os.path.exists(in_state(lab, folder, name)):
                    os.symlink(target, in_state(lab, folder, name))
    lab.start()
    serves(lab, "tiny@1")
    up.online(["b"])
    started = up.ask("rollout", "start", "tiny@2", "--group", "lab", "--phase",
                     "100%", "--soak", "200ms", "--below-floor", "--lift")
    up.cli("rollout", "wait", started["id"], "-q")
    serves(lab, "tiny@2")  # a link gives way to the bytes that came for it
    assert open(target, "rb").read() == b"precious"
    lab.stop()
    for folder in ("partial", "blobs"):
        for name in sets.names(in_state(lab, folder)):
            if os.path.islink(in_state(lab, folder, name)):
                os.unlink(in_state(lab, folder, name))
    lab.start()
    up.online(["b"])


def state_of(up, name):
    return up.ask("device", "get", name)["state"]


def test_open_secrets_and_foreign_authorities_are_refused(up, lab):
    key = in_state(lab, "identity", "device-a.pem")
    lab.stop()
    os.chmod(key, 0o644)  # CF03
    refused(up, 2, "cfg.perm", "flotilla-agent", "--config", lab.config)
    os.chmod(key, 0o600)
    os.chmod(lab.state, 0o755)
    refused(up, 2, "cfg.perm", "flotilla-agent", "--config", lab.config)
    os.chmod(lab.state, 0o700)
    ca = in_state(lab, "identity", "ca.pem")
    good = open(ca, "rb").read()
    other = subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj",
         "/CN=x", "-days", "1", "-keyout", "/dev/null"], check=True,
        capture_output=True).stdout
    until("it is offline", lambda: state_of(up, "b") == "offline")
    for text in (b"", b"garbage", other):  # CF05
        with open(ca, "wb") as file:
            file.write(text)
        begin = os.path.getsize(lab.log)
        lab.start()

        def log():
            with open(lab.log, "rb") as file:
                file.seek(begin)
                return file.read().decode(errors="replace")
        until("it tried", lambda: lab.process.poll() is not None or
              "net.tls" in log())
        if lab.process.poll() is None:
            assert state_of(up, "b") == "offline"
        else:
            assert re.search(r"error\[", log()), log()
        lab.stop()
    with open(ca, "wb") as file:
        file.write(good)
    lab.start()
    up.online(["b"])


# ---- engines that die or hang ----

def fails(up, lab, version, how, times, error, *more):
    """A rollout whose engine gets a signal; the old release serves on."""
    before = lab.ask(QUESTION, "tiny")[1]
    numbers = itertools.count()
    one = until("a probe that was struck", lambda: struck(
        up, lab, "%s.%d" % (version, next(numbers)), how, times, *more))
    assert one["state"] in ("failed", "rolled-back"), one
    assert one["error"]["id"] == error, one["error"]
    assert one["error"]["what"]
    serves(lab, before)
    return one


def struck(up, lab, version, how, times, *more):
    """The end of the device; None: the probe was over before its engine was
    found, and the release is taken back."""
    golden = long_probe(up.scratch, os.path.join(MODELS,
                                                 "golden-tiny-v2.1.json"))
    up.publish("tiny@" + version, "tiny-v2.1.Q4_0.gguf", golden, "--label",
               version)
    known = set(lab.children("flotilla-engine"))
    started = up.ask("rollout", "start", "tiny@" + version, "--group", "lab",
                     "--phase", "100%", "--soak", "300ms", "--probe-timeout",
                     "10m", *more)["id"]
    over = subprocess.Popen(
        [up.path("flotilla"), "rollout", "wait", started, "--for", "halted",
         "--timeout", HANG, "-q"], env=up.env)

    def strike():
        for pid in set(lab.children("flotilla-engine")) - known:
            sets.kill([pid], how)
            known.add(pid)
        return over.poll() is not None or len(known) >= times
    times += len(known)
    until("the end of the rollout", strike, every=0.001)
    code = over.wait(HANG_S)
    if up.ask("rollout", "get", started)["state"] == "completed":
        up.cli("rollout", "rollback", started, "--confirm", "tiny@" + version,
               "--wait")
        return None
    assert code == 0, up.rollout_device(started, "b")
    return up.rollout_device(started, "b")


def test_a_candidate_whose_engine_dies_is_refused(up, lab):
    fails(up, lab, "20", signal.SIGSEGV, 1, "engine.crash")


def killed(up, lab, version, soak, is_time, enough, cases=60):
    """A rollout whose candidate's engines are killed when it is time, as the
    kernel does for want of memory, until the device says `enough`.  A probe
    of 60 cases comes to its end."""
    golden = long_probe(up.scratch, os.path.join(
        MODELS, "golden-tiny-v2.1.json"), cases)
    up.publish("tiny@" + version, "tiny-v2.1.Q4_0.gguf", golden, "--label",
               version)
    begin = os.path.getsize(lab.log)
    known = set(lab.children("flotilla-engine"))
    started = up.ask("rollout", "start", "tiny@" + version, "--group", "lab",
                     "--phase", "100%", "--soak", soak, "--probe-timeout",
                     "10m")["id"]

    def strike():
        children = set(lab.children("flotilla-engine"))
        known.intersection_update(children)  # a number may come again
        engines = children - known
        if engines and is_time(started, begin):
            for pid in engines:
                sets.kill([pid], signal.SIGKILL)
            known.update(engines)
        return says(lab, begin, enough)
    until(enough, strike, every=0.005)
    return started


def at_once(_started, _begin):
    return True


def taken_back(up, lab, started, version, before):
    up.cli("rollout", "rollback", started, "--confirm", "tiny@" + version,
           "--wait")
    serves(lab, before)


ONCE = "tried again: kill 1 from outside"


def test_a_candidate_killed_once_at_its_probe_is_tried_again(up, lab):
    before = lab.ask(QUESTION, "tiny")[1]
    started = killed(up, lab, "30", "300ms", lambda _, begin:
                     says(lab, begin, "  probe tiny@30"), ONCE)
    until("the end", lambda: up.rollout_device(started, "b")[
        "state"] == "succeeded")
    taken_back(up, lab, started, "30", before)


def test_a_candidate_killed_once_on_trial_is_tried_again(up, lab):
    before = lab.ask(QUESTION, "tiny")[1]
    started = killed(up, lab, "30-trial", "1h", lambda started, _:
                     up.rollout_device(started, "b")["state"] == "soaking",
                     ONCE)
    serves(lab, "tiny@30-trial")
    assert up.rollout_device(started, "b")["state"] == "soaking"
    taken_back(up, lab, started, "30-trial", before)


def test_one_that_is_killed_each_time_is_denied_until_lifted(up, lab):
    before = lab.ask(QUESTION, "tiny")[1]
    started = killed(up, lab, "31", "300ms", at_once, "engine.killed: 3 times",
                     1000)
    until("the end", lambda: up.rollout_device(started, "b")[
        "state"] == "failed")
    one = up.rollout_device(started, "b")
    assert one["error"]["id"] == "engine.killed", one["error"]
    assert "signal 9" in one["error"]["what"]
    serves(lab, before)
    again = up.ask("rollout", "start", "tiny@31", "--group", "lab",
                   "--phase", "100%")["id"]
    until("it is refused", lambda: up.rollout_device(again, "b")[
        "state"] == "rejected")
    error = up.rollout_device(again, "b")["error"]
    assert error["id"] == "target.denied", error
    assert "killed from outside each time" in error["what"]
    # A thousand cases take minutes on a slow kernel: that they begin is enough.
    lifted = up.ask("rollout", "start", "tiny@31", "--group", "lab",
                    "--phase", "100%", "--lift")["id"]
    until("it is tried", lambda: up.rollout_device(lifted, "b")["state"] in (
        "probing", "activating", "soaking", "succeeded"))
    taken_back(up, lab, lifted, "31", before)


def test_a_release_whose_engine_keeps_dying_is_taken_back(up, lab):
    before = lab.ask(QUESTION, "tiny")[1]
    up.publish("tiny@22", "tiny-v2.1.Q4_0.gguf", "golden-tiny-v2.1.json",
               "--label", "22")
    started = up.ask("rollout", "start", "tiny@22", "--group", "lab",
                     "--phase", "100%", "--soak", "1h")["id"]
    until("on trial", lambda: up.rollout_device(started, "b")[
        "state"] == "soaking")
    serves(lab, "tiny@22")

    def ended():
        return up.rollout_device(started, "b")["state"] in ("rolled-back",
                                                            "failed")

    def strike():
        try:
            if lab.ask(QUESTION, "tiny")[1] == "tiny@22":
                for pid in serving_engines(lab):
                    sets.kill([pid], signal.SIGKILL)
        except (OSError, F.Failed, http.client.HTTPException):
            pass
        return ended()
    until("taken back", strike, every=0.2)
    one = up.rollout_device(started, "b")
    assert one["error"]["id"] in ("engine.crash", "engine.killed",
                                  "soak.failed"), one
    serves(lab, before)


def test_a_bit_that_flips_while_it_serves_is_found_at_a_crash(up, lab):
    up.publish("tiny@23", "tiny-v2.Q4_0.gguf", "golden-tiny-v2.json",
               "--label", "23")
    up.roll("tiny@23", "--group", "lab")
    serves(lab, "tiny@23")
    path, begin = flip_a_bit(lab)
    for pid in serving_engines(lab):
        sets.kill([pid], signal.SIGBUS)

    until("it is found", lambda: says(lab, begin, "target.hash"))
    until("it is repaired",
          lambda: says(lab, begin, "flip to beside tiny@23"))
    serves(lab, "tiny@23")
    assert open(path, "rb").read() == open(OLD, "rb").read()
    # A repair is a trial of 15 minutes: no other test begins in it.
    up.publish("tiny@24", "tiny-v2.1.Q4_0.gguf", "golden-tiny-v2.1.json",
               "--label", "24")
    up.roll("tiny@24", "--group", "lab")
    serves(lab, "tiny@24")


def serving_engines(device):
    """All of them: which one serves is not told, the old one may die too."""
    return device.children("flotilla-engine")


def test_a_candidate_whose_engine_hangs_is_refused(up, lab):
    before = lab.ask(QUESTION, "tiny")[1]
    lab.stop()
    lab.write_config("hang: 10s\npacked_weights: off\n")
    lab.start()
    up.online(["b"])
    serves(lab, before)
    fails(up, lab, "21", signal.SIGSTOP, 6, "engine.hang")
    until("the hung engine is killed", lambda: not [
        p for p in lab.children("flotilla-engine") if sets.fields(p)[:1] == ["T"]])


def test_a_disk_that_fills_is_told_though_nothing_else_changes(up):
    device = F.Device(up, "d")
    os.makedirs(device.dir)
    disk = Disk(device.state)
    if not disk.is_mounted:
        shutil.rmtree(device.dir)
        pytest.skip("no disk of its own: root, a loop device, ext4")
    os.chmod(device.state, 0o700)
    up.devices["d"] = device
    fill = os.path.join(device.state, "fill")

    def free():
        one, = [d for d in up.ask("device", "list") if d["name"] == "d"]
        return one["profile"]["disk_free_bytes"]

    try:
        device.enroll(up.token)
        device.start()
        until("it serves, so its telemetry goes on",
              lambda: up.serving("tiny@1", ["d"]))
        first = up.ask("rollout", "list")[-1]["id"]
        until("nothing more comes of its first release", lambda: (
            up.rollout_device(first, "d") or {}).get("state") == "succeeded")
        device.ask(QUESTION, "tiny")
        before = free()
        with open(fill, "wb") as file:
            os.posix_fallocate(file.fileno(), 0, before // 2)
        until("half of it is told",
              lambda: free() < 0.6 * before or Seen(free()))
        os.unlink(fill)
        until("room again is told",
              lambda: free() > 0.9 * before or Seen(free()))
    finally:
        device.stop()
        disk.close()
        up.devices.pop("d")
        shutil.rmtree(device.dir)
