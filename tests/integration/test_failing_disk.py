"""A disk that fails for a moment or for good: what works is served, what was
decided holds, and what was to be written is written when that is possible."""
import contextlib
import errno
import json
import os
import shutil
import signal
import sqlite3
import subprocess

import pytest

import fleet as F
import sets
from test_packed import ROOT, Device, Published, sweep, write
from waits import HANG_S

FAILS = os.environ.get("FLOTILLA_FAILS", os.path.join(
    ROOT, "build", "release", "tests", "libfails.so"))
FOR_GOOD = 10 ** 6
LONG_SOAK = "bundle_soak: 600s\nheartbeat: 1s\n"


def preload(folder):
    """The environment in which calls fail as the file `fails` there says."""
    library = os.path.join(folder, "libfails.so")
    shutil.copy(FAILS, library)  # LD_PRELOAD knows no paths with blanks
    return {"LD_PRELOAD": library, "FLO_FAILS": os.path.join(folder, "fails")}


def fail_as(fails, call, part, times=FOR_GOOD, number=errno.EIO):
    """That call fails.  Whoever reads the file has the old line or the new."""
    with open(fails + ".new", "w") as file:
        file.write("%s %s %d%s\n" % (call, part, times, "" if number == errno.EIO
                                     else " %d" % number))
    os.rename(fails + ".new", fails)


class Failing(Device):
    """A device of which calls fail as told."""

    def __init__(self, bin_dir, folder):
        super().__init__(Published(bin_dir, folder))
        self.env = dict(os.environ, **preload(folder))
        self.fails = self.env["FLO_FAILS"]

    def fail(self, call, part, times=FOR_GOOD):
        fail_as(self.fails, call, part, times)

    def left(self):
        """How often the call will still fail."""
        with open(self.fails) as file:
            return int(file.read().split()[2])

    def work(self):
        os.unlink(self.fails)

    def again(self, how=signal.SIGTERM, more=LONG_SOAK):
        """Stop, start, and serve."""
        self.stop(how)
        self.start(more)
        self.wait(self.serves)

    def status(self):
        return json.loads(subprocess.run(
            [os.path.join(self.bin, "flotilla-agent"), "status", "--config",
             self.config, "-o", "json"], check=True, timeout=HANG_S,
            stdout=subprocess.PIPE).stdout)

    def versions(self):
        slots = F.model_status(self.status())["slots"]
        return [(slots[name] or {}).get("version")
                for name in ("current", "previous", "candidate")]

    def record(self, name):
        return os.path.join(self.state, "slots", name + ".bin")


@pytest.fixture
def device(bin_dir, tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("d"))
    device = Failing(bin_dir, folder)
    device.start()
    device.install(0)
    device.wait(lambda: device.versions()[0] == "2.0.0")
    yield device
    if device.process.poll() is None:
        device.stop(signal.SIGKILL)


def test_a_start_on_trial_that_cannot_be_counted_leaves_the_current(device):
    device.again()
    device.install(1)
    device.stop(signal.SIGKILL)
    device.fail("pwrite", "slots/tiny")
    device.start(LONG_SOAK)

    device.wait(lambda: device.says("engine current ready"))
    device.work()
    assert device.versions()[0] == "2.0.0"


def until_asked(device, more):
    """Start it again; its trial ends with the first request."""
    device.stop()
    with contextlib.closing(sqlite3.connect(os.path.join(
            device.state, "outbox.db"))) as base, base:
        changed = base.execute(
            "UPDATE story SET body = json_set(body, '$.policy.soak_ms', 0,"
            " '$.policy.soak_requests', 1) WHERE ended = 0").rowcount
    assert changed == 1
    device.start(more)
    device.wait(lambda: device.says("serving restarted tiny@3.0.0"))


def ask(api):
    connection = F.UnixConnection(api, HANG_S)
    connection.request("POST", "/v1/completions", json.dumps(
        {"prompt": "a", "max_tokens": 1}))
    answer = connection.getresponse()
    assert answer.status == 200, answer.read()
    connection.close()


def test_a_commit_whose_sync_failed_is_written_again(device, tmp_path):
    device.again()
    device.install(1)
    api = str(tmp_path / "api.sock")
    until_asked(device, "listen:\n  - unix:%s\n" % api)
    device.fail("fdatasync", "slots/tiny", 1)
    ask(api)

    device.wait(lambda: device.says("not written io.write"))
    device.wait(lambda: device.versions()[:2] == ["3.0.0", "2.0.0"])
    device.wait(lambda: device.says(" succeeded"))
    device.again(signal.SIGKILL)
    assert device.versions() == ["3.0.0", "2.0.0", None]


def test_a_candidate_without_starts_is_gone_though_nothing_is_written(device):
    device.again()
    device.install(1)
    for _ in range(2):
        device.again(signal.SIGKILL)
    assert device.versions() == ["2.0.0", None, "3.0.0"]
    device.fail("pwrite", "slots/tiny")
    device.again(signal.SIGKILL)

    device.wait(lambda: device.says("engine current ready"))
    assert device.versions() == ["2.0.0", None, None]
    device.work()


def test_a_release_that_was_recovered_serves_though_it_is_not_written(device):
    device.stop()
    with open(device.record("tiny"), "wb") as file:
        file.write(b"garbage" * 1000)
    device.fail("fdatasync", "slots/tiny")
    device.start()

    device.wait(device.serves)
    assert device.versions()[0] == "2.0.0"
    assert device.says("were damaged, recovered")
    device.work()


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_a_disk_that_can_only_be_read_is_served_from(device, how, tmp_path):
    if subprocess.run(["unshare", "-m", "true"], check=False,
                      stderr=subprocess.DEVNULL).returncode != 0:
        pytest.skip("no mount namespaces here")
    device.stop(how)
    api = str(tmp_path / "api.sock")
    write(device, "listen:\n  - unix:%s\n" % api)
    with open(device.log, "w") as log:
        device.process = subprocess.Popen(
            ["unshare", "-m", "sh", "-c", 'mount --bind "$0" "$0" && '
             'mount -o remount,ro,bind "$0" && exec "$@"', device.state,
             os.path.join(device.bin, "flotilla-agent"), "--config",
             device.config], stderr=log)

    device.wait(device.serves)
    assert os.path.exists(api)
    assert device.says("control socket")


def in_outbox(device, sql):
    with contextlib.closing(sqlite3.connect(os.path.join(
            device.state, "outbox.db"), timeout=HANG_S)) as base:
        return base.execute(sql).fetchone()[0]


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_an_agent_that_started_on_a_read_only_folder_writes_after_a_remount(
        device, how, tmp_path):
    if subprocess.run(["unshare", "-m", "true"], check=False,
                      stderr=subprocess.DEVNULL).returncode != 0:
        pytest.skip("no mount namespaces here")
    device.again(how)
    before = in_outbox(device, "SELECT max(id) FROM tele")
    device.stop(how)
    api = str(tmp_path / "api.sock")
    write(device, "heartbeat: 1s\nlisten:\n  - unix:%s\n" % api)
    with open(device.log, "w") as log:
        device.process = subprocess.Popen(
            ["unshare", "-m", "sh", "-c", 'mount --bind "$0" "$0" && '
             'mount -o remount,ro,bind "$0" && exec "$@"', device.state,
             os.path.join(device.bin, "flotilla-agent"), "--config",
             device.config], stderr=log)
    device.wait(device.serves)
    device.wait(lambda: "Read-only" in open(device.log).read())

    subprocess.run(["nsenter", "-t", str(device.process.pid), "-m", "mount",
                    "-o", "remount,rw,bind", device.state], check=True)

    device.wait(lambda: (in_outbox(
        device, "SELECT max(id) FROM tele") or 0) > (before or 0))
    device.wait(lambda: "degraded" not in device.status())
    assert device.serves()


# ---- the device's record ----

RECORDS = 0, 4096  # where the two of a file begin


def newest(device, name):
    """The record that holds, one of the two in the file."""
    with open(device.record(name), "rb") as file:
        records = file.read()
    return max((records[at:at + 4096] for at in RECORDS),
               key=lambda record: record[8:16][::-1])


def apart_from_generation(record):
    """A disk that works again is written to: the same, one later."""
    return record[:8] + record[16:4092]


def remember(device, is_frozen):
    """As an order would: in the device's record, the first of two."""
    device.stop()
    record = bytearray(4096)
    record[:16] = b"FLDR\2\0%c\0\7\0\0\0\0\0\0\0" % is_frozen
    record[4092:] = sweep.crc32c(record[:4092]).to_bytes(4, "little")
    with open(device.record("_device"), "wb") as file:
        file.write(record + bytes(4096))
    device.start(LONG_SOAK)
    device.wait(device.serves)
    assert device.status()["frozen"] == is_frozen


def test_a_record_that_cannot_be_read_at_once_is_no_lost_one(device):
    remember(device, True)
    device.fail("pread", "slots/_device.bin", 1)
    device.again()

    assert device.status()["frozen"]
    device.again()
    assert device.status()["frozen"]


def test_a_models_record_that_cannot_be_read_stops_no_other_model(device):
    with open(device.record("alarm"), "wb") as file:
        file.write(bytes(8192))
    device.fail("pread", "slots/alarm.bin")
    device.again()

    assert device.versions()[0] == "2.0.0"


def test_while_it_cannot_be_read_nothing_is_updated(device):
    remember(device, True)
    record = newest(device, "_device")
    device.fail("pread", "slots/_device.bin")
    device.again()

    assert device.status()["frozen"]
    update = subprocess.run(
        [os.path.join(device.bin, "flotilla-agent"), "update", "--config",
         device.config, "--bundle", device.bundles[1]],
        capture_output=True, text=True, timeout=HANG_S)
    assert update.returncode != 0
    assert "slots/_device.bin" in update.stderr
    device.work()
    device.wait(lambda: device.says("record can be read again"))
    assert device.status()["frozen"]
    device.stop()  # what was to be written is written now
    assert apart_from_generation(newest(device, "_device")) == \
        apart_from_generation(record)


def test_what_is_taken_back_meanwhile_is_not_forgotten(device):
    device.again(more="bundle_soak: 1s\n")
    device.install(1)
    device.wait(lambda: device.versions() == ["3.0.0", "2.0.0", None])
    bad = newest(device, "tiny")[16:48]
    remember(device, False)
    device.fail("pread", "slots/_device.bin")
    device.again()
    subprocess.run([os.path.join(device.bin, "flotilla-agent"), "rollback",
                    "--config", device.config], check=True, timeout=HANG_S)
    device.wait(lambda: device.versions()[0] == "2.0.0")
    tried = device.left()
    device.wait(lambda: device.left() <= tried - 2)
    with open(device.log) as log:
        assert log.read().count("updates are held off") == 1
    device.work()

    device.wait(lambda: not device.status()["frozen"])
    device.stop()
    assert bad in newest(device, "tiny")[544:3616]


def test_when_it_can_be_read_again_updates_go_on(device):
    remember(device, False)
    device.fail("pread", "slots/_device.bin")
    device.again()
    assert device.status()["frozen"]
    device.work()

    device.wait(lambda: not device.status()["frozen"])
    device.install(1)
    device.wait(lambda: device.says("state soaking"))


# ---- a trial after stops and starts ----

def test_orderly_restarts_cost_a_candidate_nothing(device):
    device.again()
    device.install(1)
    for _ in range(4):
        device.again()
        assert device.says("candidate tiny@3.0.0 on trial, 3 starts left")
        device.wait(lambda: device.says("serving restarted tiny@3.0.0"))


# ---- the doctor ----

def doctor(device):
    done = subprocess.run(
        [os.path.join(device.bin, "flotilla-agent"), "doctor", "--config",
         device.config], env=device.env, stdout=subprocess.PIPE, text=True,
        check=False, timeout=HANG_S)
    return done.stdout


def test_the_doctor_reads_every_byte_that_serves(device):
    device.wait(device.serves)
    told = doctor(device)
    assert "✓ tiny" in told and "each has its digest" in told, told
    blobs = os.path.join(device.state, "blobs")
    sizes = {name: one.st_size for name, one in sets.stats(blobs).items()}
    model = os.path.join(blobs, max(sizes, key=sizes.get))
    os.chmod(model, 0o600)
    with open(model, "r+b") as file:
        file.seek(os.path.getsize(model) // 2)
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 1]))

    told = doctor(device)
    assert "✗ tiny" in told and "target.hash" in told, told
    assert os.path.exists(model)  # it only looks


def test_an_idle_device_without_room_is_degraded_as_its_doctor_says(device):
    device.again()
    device.fail("fstatvfs", os.path.basename(device.state))
    assert "✗ state directory" in doctor(device)
    device.wait(lambda: device.status().get("degraded", {}).get("id") ==
                "disk.full")
    assert "0 MiB" in device.status()["degraded"]["text"]
    assert device.serves()
    device.work()
    assert "✓ state directory" in doctor(device)
    device.wait(lambda: "degraded" not in device.status())


def test_the_doctor_says_that_the_folder_takes_no_byte(device):
    device.wait(device.serves)
    assert "✓ state directory" in doctor(device)
    if subprocess.run(["unshare", "-m", "true"], check=False,
                      stderr=subprocess.DEVNULL).returncode != 0:
        pytest.skip("no mount namespaces here")
    told = subprocess.run(
        ["unshare", "-m", "sh", "-c", 'mount --bind "$0" "$0" && '
         'mount -o remount,ro,bind "$0" && exec "$@"', device.state,
         os.path.join(device.bin, "flotilla-agent"), "doctor", "--config",
         device.config], stdout=subprocess.PIPE, text=True, check=False,
        timeout=HANG_S).stdout
    assert "✗ state directory" in told and "Read-only" in told, told
