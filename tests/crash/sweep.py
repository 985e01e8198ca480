#!/usr/bin/env python3
"""Kill an update at every change it makes to the disk, and look at the rest;
or let the disk be full from there on.

One update, release A to release B, is run once with tests/crash/inject.c only
counting.  Then it is run again for each point k and each way to die (before
the call, with half of a write done, after it) from the same beginning, and
killed there.  For each change that takes room it is also run on a disk that is
full from there on: nobody dies or hangs, and the update that fails says
disk.full.  Each time, before anything is restarted, this program (not
Flotilla) checks what a start would find:

  - the slot record has a valid image (magic, CRC-32C), and the release it says
    should serve is A or B: document and every file there, hashed here;
  - at most one download under way, no temporary left that nothing removes.

Then the update is run again without the injector: it must complete with B
current, A previous, and nothing left over.

  --mode worker        flotilla-updater worker over HTTP, then the record steps
                       (crash_slots) that the agent would do
  --mode agent-bundle  the shipped agent with its engine and its updater, told
                       to install a bundle and to soak it for a moment; a kill
                       takes all of them, as a power cut does
  --sample 1/8         an eighth of the points, chosen by --seed
  --double N           N random pairs: killed again while recovering
  --seed N             else the seed of the tree (tests/run/draw.py)

Prints "N points, B bad"; exit code 1 when one is bad, or when more than a
tenth of the points were not reached.
"""
import argparse
import base64
import concurrent.futures
import hashlib
import http.server
import json
import os
import random
import shlex
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path[:0] = [os.path.join(ROOT, "tests", folder)
                for folder in ("integration", "run")]

import draw  # noqa: E402
from waits import HANG_S, Hang, moment, until  # noqa: E402

MODELS = os.path.join(ROOT, "tests", "models")
OLD_MODEL = os.path.join(MODELS, "tiny-v2.Q4_0.gguf")
NEW_MODEL = os.path.join(MODELS, "tiny-v2.1.Q4_0.gguf")
OLD_GOLDEN = os.path.join(MODELS, "golden-tiny-v2.json")
NEW_GOLDEN = os.path.join(MODELS, "golden-tiny-v2.1.json")
TORN_CALLS = {"write", "pwrite", "writev"}
TAKING_CALLS = TORN_CALLS | {
    "fallocate", "fallocate64", "posix_fallocate", "posix_fallocate64",
    "mkdir", "mkdirat", "open", "open64", "openat", "openat64", "openat2"}
HEAD_BYTES = 160  # of a typed delta (docs/internals/delta.md)
SAID_LINES_MAX = 12  # of the programs' errors, with a fault
REFUSED = 10  # exit code of disk.full
UNWRITTEN = "the commit could not be written"  # an execution's reason
PF_EXITING = 4  # of the flags in /proc/PID/stat
MODES = ["worker", "agent-bundle"]


def sha256(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for piece in iter(lambda: file.read(1 << 20), b""):
            digest.update(piece)
    return digest.hexdigest()


CRC_TABLE = []
for _i in range(256):
    _c = _i
    for _ in range(8):
        _c = (_c >> 1) ^ (0x82F63B78 if _c & 1 else 0)
    CRC_TABLE.append(_c)


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = CRC_TABLE[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


# ---- the publisher ----


class Publisher:
    """Keys, artifacts and signed documents in one folder."""

    def __init__(self, folder, binaries):
        self.folder = folder
        self.blobs = os.path.join(folder, "blobs")
        self.updater = os.path.join(binaries, "flotilla-updater")
        self.key = os.path.join(folder, "release.key")
        self.trust = os.path.join(folder, "trust.json")
        os.makedirs(self.blobs)
        subprocess.run(["openssl", "ecparam", "-name", "prime256v1", "-genkey",
                        "-noout", "-out", self.key], check=True)
        os.chmod(self.key, 0o600)
        pem = subprocess.run(["openssl", "ec", "-in", self.key, "-pubout"],
                             check=True, capture_output=True, text=True).stdout
        with open(self.trust, "w", encoding="utf-8") as file:
            json.dump({"v": 1, "fleet": "demo",
                       "keys": [{"pem": pem, "roles": ["release"]}]}, file)

    def blob(self, path):
        digest = sha256(path)
        target = os.path.join(self.blobs, "sha256-" + digest)
        if not os.path.exists(target):
            shutil.copyfile(path, target)
        return digest, os.path.getsize(path)

    def file(self, name, role, path, base=None, has_head=True):
        digest, size = self.blob(path)
        with open(path, "rb") as file:
            chunks = [hashlib.sha256(piece).hexdigest()
                      for piece in iter(lambda: file.read(1 << 20), b"")]
        ways = [{"codec": "raw", "digest": "sha256:" + digest, "bytes": size}]
        if base is not None:
            patch = os.path.join(self.folder, "patch")
            subprocess.run([self.updater, "delta", "create", base, path, patch,
                            "--codec", "tensor", "--json"], check=True,
                           stdout=subprocess.DEVNULL)
            patch_digest, patch_size = self.blob(patch)
            with open(patch, "rb") as file:
                head = hashlib.sha256(file.read(HEAD_BYTES)).hexdigest()
            os.unlink(patch)
            ways.append({"codec": "tensor1", "bytes": patch_size,
                         "digest": "sha256:" + patch_digest,
                         "base": "sha256:" + sha256(base)})
            if has_head:  # the device decodes while the patch comes
                ways[-1]["head"] = "sha256:" + head
        return {"name": name, "role": role, "digest": "sha256:" + digest,
                "bytes": size, "chunk_bytes": 1 << 20, "chunks": chunks,
                "get": ways}

    def release(self, version, number, files):
        body = {"v": 1, "fleet": "demo", "model": "tiny", "version": version,
                "number": number, "license": "apache-2.0", "created_at_ms": 0,
                "variants": [{"name": "q4_0", "needs": {},
                              "files": [file["name"] for file in files]}],
                "files": files, "probe": {"golden": "golden.json"}}
        document = os.path.join(self.folder, "document")
        envelope = os.path.join(self.folder, "envelope")
        with open(document, "w", encoding="utf-8") as file:
            json.dump(body, file)
        subprocess.run([self.updater, "release", "sign", document, envelope,
                        "--key", self.key], check=True,
                       stdout=subprocess.DEVNULL)
        digest = sha256(document)
        shutil.copyfile(envelope, self.envelope(digest))
        return digest

    def envelope(self, release):
        return os.path.join(self.blobs, "envelope-" + release)

    def bundle(self, path, *releases):
        words = []
        for release in releases:
            words += ["--release", self.envelope(release)]
        subprocess.run([self.updater, "bundle", "create", path, *words, "--blobs",
                        self.blobs], check=True, stdout=subprocess.DEVNULL)


class Mirror(http.server.BaseHTTPRequestHandler):
    """GET /v1/blobs/sha256:<hex> with Range and ETag, and /v1/envelopes/."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_arguments):
        pass

    def do_GET(self):
        name = self.path.rpartition("/")[2].replace(":", "-")
        if "/envelopes/" in self.path:
            name = name.replace("sha256-", "envelope-")
        path = os.path.join(self.server.blobs, os.path.basename(name))
        if not os.path.isfile(path):
            self.send_error(404)
            return
        with open(path, "rb") as file:
            data = file.read()
        start = 0
        asked = self.headers.get("Range")
        etag = '"%s"' % name.replace("-", ":")
        if asked and self.headers.get("If-Range", etag) == etag:
            start = int(asked.split("=")[1].split("-")[0])
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", "bytes %d-%d/%d" %
                             (start, len(data) - 1, len(data)))
        self.send_header("ETag", etag)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        try:
            self.wfile.write(data[start:])
        except OSError:
            pass


# ---- one run ----


class Killed(Exception):
    """A process of the run died by SIGKILL."""


class NoRoom(RuntimeError):
    """The update ended, or waits, for a full disk."""

    def __init__(self):
        super().__init__("refused, as by a full disk")


class Sweep:
    def __init__(self, options, folder):
        self.options = options
        self.folder = folder
        self.binaries = options.bin
        self.is_agent = options.mode == "agent-bundle"
        self.missed = 0  # runs that ended before their point
        self.publisher = Publisher(os.path.join(folder, "publisher"),
                                   options.bin)
        publisher = self.publisher
        self.a = publisher.release("2.0.0", 2, [
            publisher.file("model.gguf", "model", OLD_MODEL),
            publisher.file("golden.json", "golden", OLD_GOLDEN)])
        self.b = publisher.release("2.1.0", 3, [
            publisher.file("model.gguf", "model", NEW_MODEL, OLD_MODEL),
            publisher.file("golden.json", "golden", NEW_GOLDEN)])
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Mirror)
        self.server.blobs = publisher.blobs
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = "http://127.0.0.1:%d" % self.server.server_address[1]
        self.template = os.path.join(folder, "template")
        os.mkdir(self.template, 0o700)
        if self.is_agent:
            self.write_identity()
            for release, name in ((self.a, "a"), (self.b, "b")):
                publisher.bundle(os.path.join(folder, name + ".flb"), release)

    def write_identity(self):
        """The needs of a device that is not enrolled: whom to trust."""
        identity = os.path.join(self.template, "identity")
        os.mkdir(identity, 0o700)
        shutil.copyfile(self.publisher.trust,
                        os.path.join(identity, "trust.json"))

    # -- processes

    def spawn(self, path, arguments, environment, said, descriptor=None):
        """Start a program in a process group of its own; its errors go behind
        the file `said`; -> pid."""
        actions = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
        if not self.options.verbose:
            actions.append((os.POSIX_SPAWN_OPEN, 2, said,
                            os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600))
        if descriptor is not None:
            actions.append((os.POSIX_SPAWN_DUP2, descriptor, 3))
        return os.posix_spawn(path, [path] + arguments, environment,
                              file_actions=actions, setpgroup=0)

    @staticmethod
    def last_lines(said):
        """The last words of the programs before a fault, in one line."""
        try:
            with open(said, encoding="utf-8", errors="replace") as file:
                lines = [line.strip() for line in file if line.strip()]
        except FileNotFoundError:
            return "nothing was said"
        return " | ".join(lines[-SAID_LINES_MAX:]) or "nothing was said"

    def wait(self, pid):
        """Exit code; Killed when it died by SIGKILL."""
        try:
            until("the end of a program", lambda: os.waitid(
                os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT),
                every=0.002)
        except Hang as hang:
            os.killpg(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            raise RuntimeError(str(hang)) from hang
        _, status = os.waitpid(pid, 0)
        if os.WIFSIGNALED(status):
            if os.WTERMSIG(status) == signal.SIGKILL:
                raise Killed()
            raise RuntimeError("died by signal %d" % os.WTERMSIG(status))
        return os.WEXITSTATUS(status)

    def work(self, state, release, environment):
        job = {"v": 1, "job": "stage", "state_dir": state, "urls": [self.url],
               "release": "sha256:" + release, "fleet": "demo",
               "trust_file": self.publisher.trust, "bundle": None,
               "profile": {"arch": os.uname().machine}, "have": [],
               "rate_bytes_per_s": 0, "memory_bytes_max": 32 << 20,
               "pause_ms_min": 1, "pause_ms_max": 10}
        ours, theirs = socket.socketpair()
        ours.settimeout(HANG_S)
        with ours, theirs:
            pid = self.spawn(os.path.join(self.binaries, "flotilla-updater"),
                             ["worker"], environment, self.said(state),
                             theirs.fileno())
            theirs.close()
            ours.sendall(json.dumps(job).encode() + b"\n")
            events = b""
            while True:
                try:
                    piece = ours.recv(65536)
                except ConnectionResetError:
                    break
                if not piece:
                    break
                events += piece
            code = self.wait(pid)
        if code != 0:
            said = events.decode(errors="replace")[-400:]
            if "disk.full" in said:
                raise NoRoom()
            raise RuntimeError("worker ended with %d: %s" % (code, said))

    @staticmethod
    def said(state):
        """Where the programs' errors go: next to the state, not in it."""
        return state + ".said"

    def update(self, state, release, environment):
        """The whole update; Killed, or RuntimeError when it fails, with the
        last errors that its programs wrote."""
        try:
            os.unlink(self.said(state))
        except FileNotFoundError:
            pass
        try:
            if self.is_agent:
                self.update_by_agent(state, release, environment)
            else:
                self.update_by_steps(state, release, environment)
        except (Killed, NoRoom):
            raise
        except RuntimeError as error:
            raise RuntimeError("%s: %s" % (
                error, self.last_lines(self.said(state)))) from error

    def update_by_steps(self, state, release, environment):
        """The worker, then the record steps that the agent would do."""
        self.work(state, release, environment)
        pid = self.spawn(self.options.slots,
                         [state, "tiny", "sha256:" + release], environment,
                         self.said(state))
        code = self.wait(pid)
        if code == REFUSED:
            raise NoRoom()
        if code != 0:
            raise RuntimeError("the records ended with %d" % code)

    def update_by_agent(self, state, release, environment):
        """Start the agent, have it install a bundle, wait for its commit."""
        config = state + ".yaml"
        with open(config, "w", encoding="utf-8") as file:
            file.write("state_dir: %s\nbundle_soak: 50ms\nheartbeat: 1h\n" %
                       state)
        agent = os.path.join(self.binaries, "flotilla-agent")
        bundle = os.path.join(self.folder, "a.flb" if release == self.a
                              else "b.flb")
        said = self.said(state)
        pid = self.spawn(agent, ["--config", config], environment, said)
        try:
            self.wait_until(pid, lambda: self.listens(state))
            client = self.spawn(agent, ["update", "--config", config,
                                        "--bundle", bundle],
                                self.environment(), said)
            code = self.wait(client)
            # 5: the execution that the agent went on with by itself was
            # superseded by this one, which goes on.
            if code == REFUSED:
                raise NoRoom()
            if code not in (0, 5):
                self.wait_until(pid, lambda: not self.is_ending(pid))
                raise RuntimeError("flotilla-agent update ended with %d" % code)
            if environment.get("FLO_INJECT_MODE") == "full":
                # It serves on trial and tries again to say so on disk.
                self.wait_until(pid, lambda: self.is_committed(
                    state, release) or not self.commits(config))
                if not self.is_committed(state, release):
                    raise NoRoom()
            self.wait_until(pid, lambda: self.is_committed(state, release))
            os.kill(pid, signal.SIGTERM)
            self.wait(pid)
            pid = 0
        finally:
            if pid:
                self.end_group(pid)

    def commits(self, config):
        """An execution is under way, and its commit did not fail so far."""
        done = subprocess.run(
            [os.path.join(self.binaries, "flotilla-agent"), "status",
             "--config", config, "-o", "json"], env=self.environment(),
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=HANG_S)
        if done.returncode != 0:
            return True  # who asks looks whether the agent is gone
        return any(model.get("execution") and model["reason"] != UNWRITTEN
                   for model in json.loads(done.stdout)["models"])

    @staticmethod
    def listens(state):
        with socket.socket(socket.AF_UNIX) as control:
            try:
                control.connect(os.path.join(state, "control.sock"))
            except OSError:
                return False
        return True

    def is_committed(self, state, release):
        try:
            record = self.images(state)[0]
        except (OSError, IndexError):
            return False
        return record[16:48].hex() == release and record[266] == 0

    @staticmethod
    def wait_until(pid, condition):
        """Until it is so; Killed when the process goes before."""
        def holds():
            if os.waitid(os.P_PID, pid,
                         os.WEXITED | os.WNOHANG | os.WNOWAIT):
                raise Killed()
            return condition()
        try:
            until("a state of the agent", holds, every=0.005)
        except Hang as hang:
            raise RuntimeError(str(hang)) from hang

    @staticmethod
    def is_ending(pid):
        """The process was killed, and whoever it spoke to heard that it went:
        its descriptors are closed later than this flag is set."""
        with open("/proc/%d/stat" % pid, encoding="latin-1") as file:
            words = file.read().rpartition(")")[2].split()
        return words[0] in "ZX" or int(words[6]) & PF_EXITING

    @staticmethod
    def end_group(pid):
        """All of it is gone when this returns, and its locks with it."""
        def is_gone():
            try:
                os.killpg(pid, signal.SIGKILL)
            except ProcessLookupError:
                return True
            try:
                os.waitpid(pid, os.WNOHANG)
            except ChildProcessError:
                pass
            return False
        until("the end of a group", is_gone, every=0.002)

    def environment(self, **injection):
        environment = {"PATH": os.environ["PATH"], "FLOTILLA_LOG": "warn",
                       "FLOTILLA_BIN": self.binaries}
        if injection:
            environment["LD_PRELOAD"] = self.options.inject
            if self.is_agent:
                environment["FLO_INJECT_GROUP"] = "1"
        for key, value in injection.items():
            environment["FLO_INJECT_" + key] = str(value)
        return environment

    # -- states

    def prepare(self):
        """The beginning of every run: release A current, by the same programs."""
        self.update(self.template, self.a, self.environment())
        faults = self.look(self.template)
        if faults or self.serving(self.template) != self.a:
            raise RuntimeError("the template is bad: %s" % faults)

    def copy(self, name):
        state = os.path.join(self.folder, name)
        shutil.copytree(self.template, state,
                        ignore=shutil.ignore_patterns("*.sock"))
        return state

    def count(self):
        """The names of all counted calls of one whole update."""
        state = self.copy("count")
        counter = self.counter("count.n")
        log = os.path.join(self.folder, "count.log")
        open(log, "wb").close()
        self.update(state, self.b, self.environment(COUNT=counter, LOG=log))
        faults = self.look(state) + self.look_finished(state)
        if faults:
            raise RuntimeError("an undisturbed update is bad: %s" % faults)
        shutil.rmtree(state)
        with open(log, encoding="utf-8") as file:
            return [line.split()[1] for line in file]

    def counter(self, name):
        path = os.path.join(self.folder, name)
        with open(path, "wb") as file:
            file.write(bytes(16))
        return path

    # -- looking

    @staticmethod
    def images(state):
        """Valid images of the slot record, newest first."""
        path = os.path.join(state, "slots", "tiny.bin")
        with open(path, "rb") as file:
            data = file.read()
        found = []
        for offset in (0, 4096):
            record = data[offset:offset + 4096]
            if (len(record) == 4096 and record[:4] == b"FLMR" and
                    struct.unpack_from("<I", record, 4092)[0] ==
                    crc32c(record[:4092])):
                found.append((struct.unpack_from("<Q", record, 8)[0], record))
        return [record for _, record in sorted(found, reverse=True)]

    def serving(self, state):
        """Digest of the release document that a start would serve."""
        record = self.images(state)[0]
        on_trial = record[266] == 2
        return record[80:112].hex() if on_trial else record[16:48].hex()

    @staticmethod
    def whole(state, release):
        """Faults of a stored release: its document and files, hashed here."""
        def path_of(digest):
            return os.path.join(state, "blobs", "sha256-" + digest)

        if not os.path.isfile(path_of(release)):
            return ["document %s is not there" % release[:8]]
        if sha256(path_of(release)) != release:
            return ["document %s has other bytes" % release[:8]]
        with open(path_of(release), encoding="utf-8") as file:
            body = json.load(file)
        with open(os.path.join(state, "releases", "sha256-" + release),
                  encoding="utf-8") as file:
            payload = base64.b64decode(json.load(file)["payload"])
        faults = []
        if hashlib.sha256(payload).hexdigest() != release:
            faults.append("envelope of %s has another body" % release[:8])
        for file in body["files"]:
            digest = file["digest"].partition(":")[2]
            if not os.path.isfile(path_of(digest)):
                faults.append("%s is not there" % file["name"])
            elif sha256(path_of(digest)) != digest:
                faults.append("%s has other bytes" % file["name"])
        return faults

    @staticmethod
    def chosen(state, release):
        """Fault of the file that remembers the variant of a staged release."""
        path = os.path.join(state, "releases", "sha256-%s.variant" % release)
        try:
            with open(path, encoding="utf-8") as file:
                name = file.read()
        except FileNotFoundError:
            return ["its variant is forgotten"]
        return [] if name == "q4_0\n" else ["its variant is %r" % name]

    def look(self, state):
        """The state that a start would find, right after the kill."""
        faults = []
        if not self.images(state):
            return ["no valid slot record"]
        serving = self.serving(state)
        if serving not in (self.a, self.b):
            faults.append("serves %s, neither A nor B" % serving[:8])
        else:
            faults += self.whole(state, serving)
        record = self.images(state)[0]
        for slot, at in (("current", 16), ("previous", 48), ("candidate", 80)):
            digest = record[at:at + 32].hex()
            if digest != "0" * 64:
                found = self.whole(state, digest)
                if slot == "candidate":
                    found += self.chosen(state, digest)
                faults += ["%s: %s" % (slot, fault) for fault in found]
        parts = [name for name in os.listdir(os.path.join(state, "partial"))
                 if name.endswith(".part")]
        # From a bundle all artifacts are taken in one pass.
        if len(parts) > (2 if self.is_agent else 1):
            faults.append("%d downloads under way" % len(parts))
        made = [name for name in os.listdir(os.path.join(state, "partial"))
                if name.endswith(".made")]
        if len(made) > 1:
            faults.append("%d files are being made" % len(made))
        faults += ["partial/%s is of neither release" % part
                   for part in parts + made
                   if not os.path.exists(os.path.join(
                       self.publisher.blobs, "sha256-" + part[:64]))]
        for name in os.listdir(os.path.join(state, "blobs")):
            if not name.startswith("sha256-"):
                faults.append("blobs/%s has no digest for a name" % name)
            elif sha256(os.path.join(state, "blobs", name)) != name[7:]:
                faults.append("blobs/%s has other bytes" % name[:15])
        packed = os.path.join(state, "packed")
        for name in os.listdir(packed) if os.path.isdir(packed) else []:
            if sha256(os.path.join(packed, name)) != name.rpartition(".")[2]:
                faults.append("packed/%s has other bytes" % name[:15])
        return faults

    def look_finished(self, state):
        """Conditions that hold when the update has run to its end."""
        faults = []
        record = self.images(state)[0]
        if record[16:48].hex() != self.b:
            faults.append("current is not B")
        if record[48:80].hex() != self.a:
            faults.append("previous is not A")
        if record[80:112] != bytes(32) or record[266] != 0:
            faults.append("a candidate is left")
        for folder in ("partial", "slots", "blobs"):
            for name in os.listdir(os.path.join(state, folder)):
                if folder == "partial" or name.endswith(".new") or \
                        ".tmp" in name:
                    faults.append("%s/%s is left over" % (folder, name))
        return faults

    # -- points

    def point(self, index, k, mode, k2=0):
        """One point; -> list of faults."""
        state = self.copy("p%d" % index)
        counter = self.counter("p%d.n" % index)
        faults = []
        try:
            try:
                self.update(state, self.b, self.environment(
                    COUNT=counter, AT=k, MODE=mode))
                # An update may end well without the last of its writes.
                self.missed += 0 if mode == "full" else 1
            except Killed:
                faults += ["died"] if mode == "full" else []
            except NoRoom:
                faults += [] if mode == "full" else ["said disk.full"]
            except RuntimeError as error:
                faults.append("first run: %s" % error)
            faults += self.look(state)
            if k2:
                self.counter("p%d.n" % index)
                try:
                    self.update(state, self.b, self.environment(
                        COUNT=counter, AT=k2, MODE="before"))
                except (Killed, RuntimeError):
                    pass
                faults += self.look(state)
            try:
                self.update(state, self.b, self.environment())
                faults += self.look(state) + self.look_finished(state)
            except (Killed, RuntimeError) as error:
                faults.append("recovery: %s" % error)
        finally:
            os.unlink(counter)
            for ending in (".yaml", ".said"):
                if os.path.exists(state + ending):
                    os.unlink(state + ending)
            if not faults or not self.options.keep:
                shutil.rmtree(state, ignore_errors=True)
        return faults


def points_of(calls, options):
    """All (k, mode), then the chosen sample, then the double faults."""
    points = []
    for k, call in enumerate(calls, 1):
        points += [(k, "before", 0), (k, "after", 0)]
        if call in TORN_CALLS:
            points.append((k, "torn", 0))
        if call in TAKING_CALLS:
            points.append((k, "full", 0))
    if options.only:
        points = [point for point in points if point[1] == options.only]
    chooser = random.Random(options.seed)
    part, _, whole = options.sample.partition("/")
    if int(part) < int(whole or 1):
        count = max(1, len(points) * int(part) // int(whole))
        points = sorted(chooser.sample(points, count))
    for _ in range(options.double):
        points.append((chooser.randint(1, len(calls)), "before",
                       chooser.randint(1, len(calls))))
    return points


def add_seed(parser):
    parser.add_argument("--seed", type=int, help="else that of the tree; the "
                        "same one chooses the same")


def choose_seed(options):
    """Said first, so that a run that fails can be repeated."""
    if options.seed is None:
        options.seed = draw.seed()
    print("FLOTILLA_SEED=%d %s plays this alone" % (
        options.seed, shlex.join(sys.argv)), flush=True)


def main():
    parser = argparse.ArgumentParser(
        description="kill an update at every change to the disk")
    parser.add_argument("--mode", choices=["all"] + MODES, default="all")
    parser.add_argument("--bin", default=os.environ.get(
        "FLOTILLA_BIN", os.path.join(ROOT, "build", "bin")))
    parser.add_argument("--inject", help="libinject.so; else beside --bin")
    parser.add_argument("--slots", help="crash_slots; else beside --bin")
    parser.add_argument("--only", choices=["before", "after", "torn", "full"],
                        help="this kind of point alone")
    parser.add_argument("--sample", default="1/1")
    add_seed(parser)
    parser.add_argument("--double", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--keep", action="store_true",
                        help="keep the state of bad points")
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_args()
    choose_seed(options)
    beside = os.path.join(os.path.dirname(os.path.abspath(options.bin)),
                          "tests")
    options.inject = options.inject or os.path.join(beside, "libinject.so")
    options.slots = options.slots or os.path.join(beside, "crash_slots")
    for name in ("bin", "inject", "slots"):
        setattr(options, name, os.path.abspath(getattr(options, name)))
    modes = MODES if options.mode == "all" else [options.mode]
    codes = []
    # LD_PRELOAD is a list with blanks between: give it a path without any.
    with tempfile.TemporaryDirectory(prefix="flo-", dir="/tmp") as folder:
        if os.path.exists(options.inject):
            options.inject = shutil.copy(options.inject, folder)
        for options.mode in modes:
            codes.append(run_mode(options))
    return 1 if 1 in codes else max(codes)


def run_mode(options):
    """Sweep one mode; the exit code, 77 when its program is not there."""
    needed = [options.inject, os.path.join(
        options.bin, "flotilla-agent" if options.mode == "agent-bundle"
        else "flotilla-updater")]
    for path in needed:
        if not os.path.exists(path):
            print("%s: skipped, there is no %s" % (options.mode, path))
            return 77
    started = moment()
    folder = tempfile.mkdtemp(prefix="flo-sweep-")
    bad = 0
    try:
        sweep = Sweep(options, folder)
        sweep.prepare()
        calls = sweep.count()
        points = points_of(calls, options)
        print("seed %d: %d calls that change the disk, %d points" %
              (options.seed, len(calls), len(points)), flush=True)
        with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
            results = pool.map(lambda item: sweep.point(item[0], *item[1]),
                               enumerate(points))
            for (k, mode, k2), faults in zip(points, results):
                if faults:
                    bad += 1
                    print("bad: %s call %d (%s)%s: %s" % (
                        mode, k, calls[k - 1],
                        " then %d" % k2 if k2 else "", "; ".join(faults)),
                        flush=True)
    finally:
        if bad and options.keep:
            print("kept: %s" % folder)
        else:
            shutil.rmtree(folder, ignore_errors=True)
    print("%s: %d points, %d bad, %d not reached, %.0f s" %
          (options.mode, len(points), bad, sweep.missed,
           moment() - started))
    # Runs differ a little (how the network cuts the bytes), not by much.
    return 1 if bad or sweep.missed * 10 > len(points) else 0


if __name__ == "__main__":
    sys.exit(main())
