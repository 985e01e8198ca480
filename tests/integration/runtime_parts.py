"""A fleet of one device that has runtimes, and releases for them."""
import hashlib
import http.client
import json
import os
import struct
import threading

import fleet as F
import sets
from controller_parts import sign
from waits import HANG_S, joined, pace, until

KIND = "application/vnd.flotilla.release.v2+json"


def of_unknown_architecture(model, folder):
    """The model of Llama's family as one that no engine here knows."""
    head = b"general.architecture" + struct.pack("<IQ", 8, 5)
    with open(model, "rb") as file:
        data = file.read()
    assert data.count(head + b"llama") == 1
    path = os.path.join(folder, "mamba.gguf")
    with open(path, "wb") as file:
        file.write(data.replace(head + b"llama", head + b"mamba"))
    return path


def processes(folder):
    """Runtimes whose command line names this folder."""
    return [pid for pid in sets.processes(holds="fake_runtime")
            if str(folder) in "\0".join(sets.words(pid))]


class Listener(threading.Thread):
    """A client that has speech written down until told to stop."""

    def __init__(self, runtimes, wav):
        super().__init__(daemon=True)
        self.runtimes, self.wav = runtimes, wav
        self.done, self.failed, self.spans = threading.Event(), [], []

    def run(self):
        while not self.done.is_set():
            try:
                text, release = self.runtimes.hears(self.wav)
                self.spans.append((None, None, None, release, text))
            except (OSError, http.client.HTTPException, F.Failed) as error:
                self.failed.append(str(error))
            pace(0.01, self.done)

    def stop(self):
        self.done.set()
        joined(self)


def heard(client, release):
    """The client has an answer of the release."""
    until("an answer of %s" % release,
          lambda: any(span[3] == release for span in list(client.spans)),
          lambda: client.failed[-3:])


class Runtimes:
    """A fleet of one device that has runtimes, and releases for them."""

    def __init__(self, fleet, model="desk", config=""):
        self.fleet, self.number, self.model = fleet, 0, model
        self.folder = os.path.join(fleet.dir, "runtimes.d")
        os.makedirs(self.folder, mode=0o755, exist_ok=True)
        fleet.up([])
        self.device = F.Device(fleet, "gw")
        fleet.devices["gw"] = self.device
        self.device.enroll(fleet.token)
        self.device.write_config("sandbox: preferred\nruntimes_dir: %s\n%s" %
                                 (json.dumps(self.folder), config))
        self.device.start()
        fleet.online(["gw"])

    def write(self, name, keys):
        path = os.path.join(self.folder, name + ".yaml")
        with open(path, "w", encoding="utf-8") as out:
            for key, value in keys.items():
                out.write("%s: %s\n" % (key, json.dumps(value)))
        os.chmod(path, 0o644)

    def post(self, method, path, body=b""):
        with open(self.fleet.admin_token, encoding="utf-8") as file:
            token = file.read().strip()
        connection = http.client.HTTPConnection("127.0.0.1", self.fleet.port)
        connection.request(method, path, body, {
            "Authorization": "Bearer " + token})
        answer = connection.getresponse()
        text = answer.read()
        assert answer.status in (200, 201), (path, text)
        return json.loads(text or b"{}")

    def publish(self, version, files, runtime, context=64):
        """A release of these files: name -> (role, bytes); the first one is
        the entry."""
        self.number += 1
        rows, blobs = [], {}
        for name, (role, data) in files.items():
            digest = "sha256:" + hashlib.sha256(data).hexdigest()
            blobs[digest] = data
            rows.append({"name": name, "role": role, "digest": digest,
                         "bytes": len(data), "get": [
                             {"codec": "raw", "digest": digest,
                              "bytes": len(data)}]})
        document = {
            "v": 2, "fleet": self.fleet.name, "model": self.model,
            "version": version, "number": self.number, "created_at_ms": 0,
            "files": rows, "variants": [
                {"name": "r", "files": list(files), "entry": list(files)[0],
                 "needs": {"runtime": runtime, "context": context}}],
            "probe": {"golden": [n for n in files if "golden" in n]}}
        body = json.dumps(document, sort_keys=True,
                          separators=(",", ":")).encode()
        self.post("POST", "/v1/releases", sign(body, self.fleet.key, KIND))
        for digest, data in blobs.items():
            self.post("PUT", "/v1/blobs/" + digest, data)
        self.post("POST", "/v1/releases/%s@%s/publish" %
                  (self.model, version))
        return "%s@%s" % (self.model, version)

    def says(self, prompt):
        return self.device.ask(prompt, self.model, max_tokens=16)[:2]

    def hears(self, wav, model=None, **fields):
        """The text that was understood, and the release that did."""
        status, text, release = self.post_speech(wav, model, **fields)
        if status != 200:
            raise F.Failed("HTTP %d %s" % (status, text))
        return text["text"], release

    def post_speech(self, wav, model=None, **fields):
        mark = "a-boundary-of-a-test"
        body = b"".join(
            b'--%s\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n'
            % (mark.encode(), name.encode(), value.encode())
            for name, value in dict(fields, model=model or self.model).items())
        body += (b'--%s\r\nContent-Disposition: form-data; name="file"; '
                 b'filename="a.wav"\r\nContent-Type: audio/wav\r\n\r\n' %
                 mark.encode() + wav + b"\r\n--%s--\r\n" % mark.encode())
        connection = self.device.connection()
        try:
            connection.request(
                "POST", "/v1/audio/transcriptions", body,
                {"Content-Type": "multipart/form-data; boundary=" + mark})
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read()), \
                answer.getheader("X-Flotilla-Release")
        finally:
            connection.close()

    def stream(self, *prompts):
        one = F.Streamer(self.device, self.model, prompts, max_tokens=16)
        one.start()
        return one

    def gives_up(self, release):
        """The error with which the device gave up the release.  Its runtime's
        faults have their tries in quick succession."""
        started = self.post("POST", "/v1/rollouts", json.dumps({
            "release": release, "phases": [{"share_pct": 100}],
            "policy": {"soak_ms": 500, "runtime_wait_ms": 50,
                       "probe_timeout_ms": HANG_S * 1000}}).encode())
        self.fleet.cli("rollout", "wait", started["id"], "--for", "halted",
                       "-q")
        return self.fleet.rollout_device(started["id"], "gw")["error"]

    def fails(self, release):
        return self.gives_up(release)["id"]

    def take_back(self, release):
        self.fleet.cli("rollout", "rollback", "--release", release,
                       "--everywhere", "--confirm", release)
