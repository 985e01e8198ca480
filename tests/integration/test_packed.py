"""Packed weights on a device: made before a model serves, mapped by its engine,
made again when they are damaged or of another layout, never in the way, tried in
vain twice.
And the prefixes that its engines keep."""
import contextlib
import hashlib
import json
import os
import resource
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile

import pytest

import sets
from waits import HANG_S, until

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "crash"))
import sweep  # noqa: E402  the publisher

pytestmark = pytest.mark.skipif(
    os.getuid() != 0, reason="an engine shows its maps to root alone")


class Device:
    """An agent that trusts a publisher and is not enrolled."""

    env = None  # of the agent; None: ours

    def __init__(self, published, like=None):
        """A new one; or one with the state of a device that is stopped."""
        folder = tempfile.mkdtemp(dir=published.dir)
        self.bin, self.bundles = published.bin, published.bundles
        self.state = os.path.join(folder, "state")
        self.config = os.path.join(folder, "agent.yaml")
        self.log = os.path.join(folder, "agent.log")
        self.process = None
        if like is not None:
            sets.copy(like.state, self.state)
            return
        identity = os.path.join(self.state, "identity")
        os.makedirs(identity, 0o700)
        os.chmod(self.state, 0o700)
        shutil.copyfile(published.trust, os.path.join(identity, "trust.json"))

    def start(self, more="", limits=None):
        write(self, more)
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(
                [os.path.join(self.bin, "flotilla-agent"), "--config",
                 self.config], stderr=log, preexec_fn=limits, env=self.env)
        self.wait(lambda: self.answers("control.sock"))

    def stop(self, how=signal.SIGTERM):
        self.process.send_signal(how)
        self.process.wait(timeout=HANG_S)

    def answers(self, name):
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(os.path.join(self.state, name))
            except OSError:
                return False
        return True

    def close(self):
        if self.process is not None and self.process.poll() is None:
            self.stop(signal.SIGKILL)

    def wait(self, condition):
        def holds():
            assert self.process.poll() is None
            return condition()
        try:
            return until("a device", holds)
        except AssertionError as late:
            raise AssertionError(open(self.log).read()) from late

    def install(self, index):
        subprocess.run([os.path.join(self.bin, "flotilla-agent"), "update",
                        "--config", self.config, "--bundle",
                        self.bundles[index]], check=True, timeout=HANG_S,
                       stdout=subprocess.DEVNULL)

    def install_for_good(self, index):
        """It is on trial no more: ends of its engine count for nothing."""
        kept = self.count("succeeded")
        self.install(index)
        self.wait(lambda: self.count("succeeded") > kept)

    def packed(self):
        folder = os.path.join(self.state, "packed")
        return [os.path.join(folder, name) for name in sets.names(folder)]

    def mapped(self):
        """Packed files that children of the agent have mapped."""
        return {line.split()[-1] for pid in sets.children(self.process.pid)
                for line in sets.text("/proc/%d/maps" % pid).split("\n")
                if "/packed/" in line}

    def count(self, words):
        with open(self.log) as file:
            return file.read().count(words)

    def says(self, words):
        return self.count(words) > 0

    def forget_packed(self):
        for path in self.packed():
            os.unlink(path)

    def serves(self):
        return self.says("engine current ready") or self.says("engine beside")


def write(device, more):
    if "bundle_soak" not in more:
        more += "bundle_soak: 50ms\n"
    if "hang:" not in more:
        more += "hang: 10m\n"  # nor a packer stands still so soon
    with open(device.config, "w") as file:
        file.write("state_dir: %s\n%s" % (device.state, more))
    return device.config


class Published:
    """Two releases as bundles, one of both, and the trust in their signer."""

    def __init__(self, bin_dir, folder):
        self.bin, self.dir = bin_dir, folder
        publisher = sweep.Publisher(os.path.join(folder, "publisher"), bin_dir)
        self.trust = publisher.trust
        self.bundles, releases = [], []
        for number, model, golden in (
                (2, sweep.OLD_MODEL, sweep.OLD_GOLDEN),
                (3, sweep.NEW_MODEL, sweep.NEW_GOLDEN)):
            release = publisher.release("%d.0.0" % number, number, [
                publisher.file("model.gguf", "model", model),
                publisher.file("golden.json", "golden", golden)])
            self.bundles.append(os.path.join(folder, "%d.flb" % number))
            publisher.bundle(self.bundles[-1], release)
            releases.append(release)
        self.both = os.path.join(folder, "both.flb")
        publisher.bundle(self.both, *reversed(releases))


@pytest.fixture(scope="module")
def published(folder, bin_dir):
    probe = subprocess.run([os.path.join(bin_dir, "flotilla-engine"), "pack",
                            "--probe", sweep.OLD_MODEL],
                           capture_output=True, text=True)
    if "not.built" in probe.stderr:
        pytest.skip(probe.stderr)
    assert probe.returncode == 0, probe.stderr
    return Published(bin_dir, folder)


@pytest.fixture(scope="module")
def stopped(published):
    """It has the first release and its packed weights; no test starts it."""
    device = Device(published)
    try:
        device.start()
        device.install_for_good(0)
        device.stop()
    finally:
        device.close()
    return device


@pytest.fixture
def new_device(published):
    device = Device(published)
    yield device
    device.close()


@pytest.fixture
def device(published, stopped):
    """Has the first release and its packed weights; not started."""
    device = Device(published, stopped)
    yield device
    device.close()


def test_a_release_is_packed_before_it_serves(new_device):
    device = new_device
    device.start()
    device.install_for_good(0)

    [path] = device.packed()
    with open(path, "rb") as file:
        data = file.read()
    assert path.endswith("." + hashlib.sha256(data).hexdigest())
    assert device.says("bytes packed after")
    device.wait(lambda: device.mapped() == {path})


def test_the_next_one_too_and_speeds_are_compared(device):
    [old] = device.packed()
    device.start()
    device.wait(device.serves)
    device.install_for_good(1)

    assert len(device.packed()) == 2
    assert not device.says("speed is not compared")
    [new] = set(device.packed()) - {old}
    device.wait(lambda: device.mapped() == {new})


def test_after_a_restart_it_is_taken_as_it_is(device):
    before = device.packed()
    device.start()
    device.wait(device.serves)
    device.stop(signal.SIGKILL)
    device.start()
    device.wait(device.serves)

    assert device.packed() == before
    assert not device.says("bytes packed after")
    assert len(device.mapped()) == 1


def damage(path, offset):
    os.chmod(path, 0o600)
    with open(path, "r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 16]))


def test_damaged_bytes_are_made_again(device):
    before = [used] = device.packed()
    damage(used, os.path.getsize(used) // 2)
    device.start()
    device.wait(device.serves)

    assert device.says("have another digest")
    assert device.packed() == before
    assert device.mapped() == {used}


def test_others_are_answered_while_it_is_hashed(device):
    before = [used] = device.packed()
    os.chmod(used, 0o600)
    os.truncate(used, 1 << 40)  # a hash that goes on until the file is cut
    device.start()
    status = subprocess.run([os.path.join(device.bin, "flotilla-agent"),
                             "status", "--config", device.config],
                            capture_output=True, text=True, timeout=HANG_S)
    assert status.returncode == 0, status.stderr
    assert not device.says("bytes packed after") and not device.serves()
    os.truncate(used, 1 << 10)
    device.wait(device.serves)

    assert device.says("bytes packed after")
    assert device.packed() == before
    assert device.mapped() == {used}


def give_another_layout(used):
    damage(used, 12)
    with open(used, "rb") as file:
        digest = hashlib.sha256(file.read()).hexdigest()
    os.rename(used, used.rpartition(".")[0] + "." + digest)


def test_another_layout_is_made_again(device):
    before = [used] = device.packed()
    give_another_layout(used)
    device.start()
    device.wait(device.serves)

    assert device.says("this program reads")
    assert device.packed() == before
    assert device.mapped() == {used}


def test_each_time_if_it_was_taken_in_between(device):
    before = [used] = device.packed()
    device.start()
    device.wait(device.serves)
    for _ in range(2):
        taken = device.count("weights packed")
        give_another_layout(used)
        engines = sets.children(device.process.pid)
        assert engines
        sets.kill(engines)
        device.wait(lambda: device.count("weights packed") > taken)
        device.wait(lambda: device.mapped() == {used})
        assert device.packed() == before


def no_large_files():
    """A file of more than 1 MiB cannot be made, as if the disk were full."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))


def test_what_cannot_be_packed_serves_all_the_same(device):
    device.forget_packed()
    device.start(limits=no_large_files)
    device.wait(device.serves)

    assert device.says("disk.full")
    assert device.packed() == []
    assert device.mapped() == set()


def programs(device, folder, name, script):
    """The programs in a folder of their own, one of them in a script."""
    for program in ("flotilla-agent", "flotilla-engine", "flotilla-updater"):
        shutil.copy(os.path.join(device.bin, program), folder)
    path = os.path.join(folder, name)
    os.rename(path, path + ".real")
    with open(path, "w") as file:
        file.write(script % {"folder": folder, "real": path + ".real"})
    os.chmod(path, 0o755)
    return folder


# Each packer is counted.  The first two stop, and the agent waits for each; the
# others end at once.
PACKERS_STOP = """#!/usr/bin/python3
import os, signal, socket, sys
agent = socket.fromfd(3, socket.AF_UNIX, socket.SOCK_STREAM)
PACK = 7
if agent.recv(10, socket.MSG_PEEK)[8] == PACK:
    with open("%(folder)s/packers", "a") as file:
        file.write(".")
        count = file.tell()
    if count <= 2:
        os.kill(os.getpid(), signal.SIGSTOP)
    sys.exit(1)
os.set_inheritable(3, True)
os.execv("%(real)s", sys.argv)
"""


def start_and_stop(device, more=""):
    device.start(more)
    device.wait(device.serves)
    device.stop()


def version_of(device):
    said = subprocess.run([os.path.join(device.bin, "flotilla-agent"),
                           "--version"], check=True, capture_output=True,
                          text=True)
    return said.stdout.split()[1]


def failed_before(device, version, times):
    """From now on: so often that version failed to pack, and no other did."""
    with open(sweep.OLD_MODEL, "rb") as file:
        model = hashlib.sha256(file.read()).hexdigest()
    with contextlib.closing(sqlite3.connect(
            os.path.join(device.state, "outbox.db"))) as outbox, outbox:
        outbox.execute("DELETE FROM value WHERE key LIKE 'unpacked:%'")
        outbox.execute("INSERT INTO value VALUES (?, ?)", (
            "unpacked:%s:sha256:%s" % (version, model), times))


def failures(device):
    """The number of times that the version failed to pack."""
    with contextlib.closing(sqlite3.connect(
            os.path.join(device.state, "outbox.db"))) as outbox:
        [(version, times)] = outbox.execute(
            "SELECT key, text FROM value "
            "WHERE key LIKE 'unpacked:%'").fetchall()
    return version.split(":")[1], int(times)


def test_what_failed_is_tried_twice_per_version(device, tmp_path):
    def start_and_count():
        start_and_stop(device, "hang: 60s\n")
        assert device.packed() == []
        return os.path.getsize(tmp_path / "packers")

    device.forget_packed()
    device.bin = programs(device, str(tmp_path), "flotilla-engine",
                          PACKERS_STOP)
    assert start_and_count() == 1
    assert device.says("stood still")
    assert start_and_count() == 2
    given_up = failures(device)
    assert given_up == (version_of(device), 2)
    assert start_and_count() == 2
    assert not device.says("packing")

    failed_before(device, "0.0.9", 2)
    assert start_and_count() == 3
    failed_before(device, *given_up)
    start_and_stop(device, "packed_weights: \"off\"\n")
    assert start_and_count() == 4


def test_what_was_packed_in_the_end_is_used_by_any_version(device):
    version = version_of(device)
    device.forget_packed()
    failed_before(device, version, 1)
    start_and_stop(device)
    [path] = device.packed()
    assert failures(device) == (version, 0)

    failed_before(device, version, 2)
    device.start()
    device.wait(device.serves)
    assert device.mapped() == {path}


def test_it_can_be_switched_off(device):
    device.forget_packed()
    device.start("packed_weights: \"off\"\n")
    device.wait(device.serves)

    assert device.packed() == []
    assert device.mapped() == set()


def test_another_word_is_refused(device):
    refused = subprocess.Popen(
        [os.path.join(device.bin, "flotilla-agent"), "--config",
         write(device, "packed_weights: always\n")],
        stderr=subprocess.PIPE, text=True)
    assert "neither auto nor off" in refused.communicate(timeout=HANG_S)[1]
    assert refused.returncode == 2


def ask(device):
    """Answer of the local API, and how many tokens were not computed."""
    body = json.dumps({"max_tokens": 8, "temperature": 0, "messages": [
        {"role": "user", "content":
         "Classify: 23:45 oven-95 voltage drop temp=35C"}]})
    with socket.socket(socket.AF_UNIX) as api:
        api.connect(os.path.join(device.state, "api.sock"))
        api.sendall(("POST /v1/chat/completions HTTP/1.1\r\nHost: device\r\n"
                     "Content-Type: application/json\r\nConnection: close\r\n"
                     "Content-Length: %d\r\n\r\n%s" % (len(body), body)
                     ).encode())
        answer = json.loads(api.makefile("rb").read().split(b"\r\n\r\n")[1])
    return (answer["choices"][0]["message"]["content"],
            answer["usage"]["prompt_tokens_details"]["cached_tokens"])


def test_what_prompts_begin_with_is_kept_over_a_kill(device):
    def kept():
        found = sets.tree(os.path.join(device.state, "prefix"))
        return any(data[:8] == b"FLOPREF\n" for data in found.values())

    device.start("prefix_cache: \"on\"\n")
    device.wait(device.serves)
    text, cached = ask(device)
    assert cached == 0
    assert ask(device)[0] == text
    device.wait(kept)
    device.stop(signal.SIGKILL)

    device.start("prefix_cache: \"on\"\n")
    device.wait(device.serves)
    assert device.says("a prefix of 16 tokens was kept")
    assert ask(device) == (text, 16)


HOSTILE_ENGINE = os.environ.get("HOSTILE_ENGINE", os.path.join(
    ROOT, "build", "release", "tests", "hostile-engine"))
# The one model makes its engine a hostile one.
HOSTILE_OF_ONE_MODEL = """#!/usr/bin/python3
import os, socket, struct, sys
agent = socket.fromfd(3, socket.AF_UNIX, socket.SOCK_STREAM)
with_files = agent.recvmsg(1, 1024, socket.MSG_PEEK)[1]
model, = struct.unpack_from("i", with_files[0][2])
with open("%(folder)s/bad.gguf", "rb") as file:
    bad = file.read()
os.set_inheritable(3, True)
if os.pread(model, len(bad) + 1, 0) == bad:
    with open("%(folder)s/starts", "a") as file:
        file.write(".")
    os.execve("%(folder)s/hostile-engine", sys.argv,
              {"FLO_HOSTILE": "packed"})
os.execv("%(real)s", sys.argv)
"""


@pytest.mark.parametrize("more", ["", "memory_budget: 30MiB\n"],
                         ids=["warm", "stop-first"])
def test_an_engine_that_takes_no_weights_at_all_fails(device, tmp_path, more):
    shutil.copy(HOSTILE_ENGINE, tmp_path)
    shutil.copy(sweep.NEW_MODEL, tmp_path / "bad.gguf")
    device.bin = programs(device, str(tmp_path), "flotilla-engine",
                          HOSTILE_OF_ONE_MODEL)
    device.start(more)
    device.wait(device.serves)
    answer = ask(device)[0]
    update = subprocess.run(
        [os.path.join(device.bin, "flotilla-agent"), "update", "--config",
         device.config, "--bundle", device.bundles[1], "-o", "json"],
        capture_output=True, text=True, timeout=HANG_S)

    assert update.returncode == 1, update.stderr
    assert "error[worker.protocol]" in update.stderr
    said = json.loads(update.stdout)
    assert [one["error"] for one in said["releases"]] == [said["error"]]
    assert said["error"]["id"] == "worker.protocol"
    assert device.says("failed at probing worker.protocol")
    # It packs, is refused, packs again, is refused, then goes without.
    assert os.path.getsize(tmp_path / "starts") <= 5
    assert device.says("hold requests") == (more != "")
    assert ask(device)[0] == answer


# The job is written down, then the updater stops before it works.
STOPS_BEFORE_WORK = """#!/usr/bin/python3
import os, signal, socket, sys
agent = socket.fromfd(3, socket.AF_UNIX, socket.SOCK_STREAM)
job = agent.recv(65536, socket.MSG_PEEK)
with open("%(folder)s/job.new", "wb") as file:
    file.write(job)
os.rename("%(folder)s/job.new", "%(folder)s/job")
os.kill(os.getpid(), signal.SIGSTOP)
os.set_inheritable(3, True)
os.execv("%(real)s", sys.argv)
"""


def test_no_prefix_is_begun_while_an_update_counts_the_disk(device, tmp_path):
    def children(name):
        return sets.processes(device.process.pid, holds=name)

    def prefixes():
        return sets.names(os.path.join(device.state, "prefix"))

    device.bin = programs(device, str(tmp_path), "flotilla-updater",
                          STOPS_BEFORE_WORK)
    device.start("prefix_cache: \"on\"\n")
    device.wait(device.serves)
    for name in prefixes():
        os.unlink(os.path.join(device.state, "prefix", name))
    update = subprocess.Popen(
        [os.path.join(device.bin, "flotilla-agent"), "update", "--config",
         device.config, "--bundle", device.bundles[1]],
        stdout=subprocess.DEVNULL)
    device.wait(lambda: os.path.exists(tmp_path / "job"))
    [engine] = children("flotilla-engine")
    os.kill(engine, signal.SIGKILL)
    device.wait(lambda: device.mapped() and
                children("flotilla-engine") not in ([], [engine]))
    assert prefixes() == []

    [updater] = children("flotilla-updater")
    os.kill(updater, signal.SIGCONT)
    assert update.wait(timeout=HANG_S) == 0
    device.wait(lambda: len(prefixes()) == 1)
    with open(tmp_path / "job") as file:
        assert json.load(file)["profile"]["prefix_bytes"] == 32 << 20
