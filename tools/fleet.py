"""A real fleet on loopback: controller with its broker, agents, clients.

Used by the demo and by tests/integration.  Standard library only.  Every
process is started, watched and ended here, by its pid.
"""
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "tests", "integration"))

import sets  # noqa: E402
import waits  # noqa: E402
from waits import until  # noqa: E402


class Failed(Exception):
    """Something was not as it should be; the text is for people."""


def model_status(status, name=None):
    """The part of `flotilla-agent status` about a model; without a name, about
    the first one of the device."""
    for model in status["models"]:
        if name in (None, model["model"]):
            return model
    return {"slots": dict.fromkeys(("current", "previous", "candidate"))}


preloaded = None  # a library of tests for controllers and agents


def with_preloaded(env):
    """The environment with that library before those that it names."""
    if preloaded is None:
        return env
    return dict(env, LD_PRELOAD=":".join(
        filter(None, (preloaded, env.get("LD_PRELOAD")))))


_held = []


def held_port(port=0):
    """A free port of loopback, or this one, that nobody else is given: it stays bound here,
    and who is told it may listen on it, end, and listen again.  (Both sides
    allow reuse, and this one never listens.)"""
    one = socket.socket()
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    one.bind(("127.0.0.1", port))
    _held.append(one)
    return one.getsockname()[1]


def controller_addresses(ports, more):
    """Flags for these three ports: people, devices, broker.  Those that `more`
    has stay as they are."""
    flags = []
    if "--listen" not in more:
        flags += ["--listen", "127.0.0.1:%d" % ports[0]]
        if "--listen-devices" not in more:
            flags += ["--listen-devices", "127.0.0.1:%d" % ports[1]]
    if "--broker" not in more:
        flags += ["--broker", "embedded:%d" % ports[2]]
    return flags


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Device:
    """One agent with its own state directory."""

    def __init__(self, fleet, name):
        self.fleet = fleet
        self.name = name
        self.dir = os.path.join(fleet.dir, "devices", name)
        self.state = os.path.join(self.dir, "state")
        self.config = os.path.join(self.dir, "agent.yaml")
        self.log = os.path.join(self.dir, "agent.log")
        # Unix socket paths are short; the folder of the fleet may be deep.
        self.api = os.path.join(fleet.run, name + ".sock")
        self.process = None

    def write_config(self, extra=""):
        os.makedirs(self.state, mode=0o700, exist_ok=True)
        with open(self.config, "w", encoding="utf-8") as out:
            out.write("state_dir: %s\nlisten:\n  - %s\n" % (
                json.dumps(self.state), json.dumps("unix:" + self.api)))
            out.write("control_socket: %s\n" % json.dumps(
                os.path.join(self.fleet.run, self.name + ".ctl")))
            out.write("heartbeat: 1s\n" + extra)
            # Who stands still for a while loses no request by that.
            for key in ("hold: 5m\n", "hang: 10m\n"):
                if not re.search("^" + key.split()[0], extra, re.M):
                    out.write(key)

    def enroll(self, token_file, labels=()):
        self.write_config()
        args = ["enroll", "--controller", self.fleet.devices_url,
                "--token-file", token_file, "--state-dir", self.state,
                "--name", self.name]
        for label in labels:
            args += ["--label", label]
        self.fleet.program("flotilla-agent", *args)

    def start(self):
        self.process = self.fleet.spawn(
            [self.fleet.path("flotilla-agent"), "--config", self.config],
            self.log)

    def stop(self, how=signal.SIGTERM):
        if self.process and self.process.poll() is None:
            self.process.send_signal(how)
            code = self.process.wait(waits.HANG_S)
            if how == signal.SIGTERM and code != 0:
                raise Failed("the agent of %s ended with %d:\n%s" % (
                    self.name, code, tail(self.log)))

    def listens(self):
        """Its API takes a connection: the socket's path is there a moment before."""
        connection = self.connection()
        try:
            connection.connect()
        except OSError:
            return False
        finally:
            connection.close()
        return True

    def children(self, name):
        """Pids of the agent's children that run the program `name`."""
        return [] if self.process is None else sets.processes(
            self.process.pid, name)

    def connection(self, timeout=waits.HANG_S):
        return UnixConnection(self.api, timeout)

    def get(self, path, timeout=waits.HANG_S):
        connection = self.connection(timeout)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def post(self, path, body, timeout=waits.HANG_S):
        connection = self.connection(timeout)
        try:
            connection.request("POST", path, json.dumps(body),
                               {"Content-Type": "application/json"})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def ask(self, prompt, model, max_tokens=48, system=None,
            timeout=waits.HANG_S):
        """One answer: text, release, seconds."""
        messages = [{"role": "user", "content": prompt}]
        if system:
            messages.insert(0, {"role": "system", "content": system})
        begin = waits.moment()
        connection = self.connection(timeout)
        try:
            connection.request(
                "POST", "/v1/chat/completions",
                json.dumps({"model": model, "messages": messages,
                            "temperature": 0, "max_tokens": max_tokens}),
                {"Content-Type": "application/json"})
            answer = connection.getresponse()
            body = answer.read()
            if answer.status != 200:
                raise Failed("%s: HTTP %d %s" % (
                    self.name, answer.status, body[:300].decode("utf-8", "replace")))
            data = json.loads(body)
            return (data["choices"][0]["message"]["content"].strip(),
                    answer.headers.get("X-Flotilla-Release", "?"),
                    waits.moment() - begin)
        finally:
            connection.close()


READING = 0.002  # seconds a piece


class Streamer(threading.Thread):
    """A client that streams answers until told to stop, and keeps count."""

    def __init__(self, device, model, prompts, max_tokens=64, pause=0.01,
                 is_long=False):
        super().__init__(daemon=True)
        self.is_long = is_long  # to max_tokens, whatever the model says
        self.device, self.model, self.prompts = device, model, prompts
        self.max_tokens, self.pause = max_tokens, pause
        self.done = threading.Event()
        self.spans = []  # (begin, first token, end, release, text)
        self.failed = []

    def run(self):
        number = 0
        while not self.done.is_set():
            begin = waits.moment()
            try:
                self.one(self.prompts[number % len(self.prompts)], begin)
            except (OSError, http.client.HTTPException, Failed,
                    ValueError) as error:
                self.failed.append("%s: %s" % (type(error).__name__, error))
                waits.pace(0.05)
            number += 1
            waits.pace(self.pause)

    def one(self, prompt, begin):
        connection = self.device.connection()
        try:
            connection.request(
                "POST", "/v1/chat/completions",
                json.dumps({"model": self.model, "stream": True,
                            "temperature": 0, "max_tokens": self.max_tokens,
                            "ignore_eos": self.is_long,
                            "messages": [{"role": "user", "content": prompt}]}),
                {"Content-Type": "application/json"})
            answer = connection.getresponse()
            if answer.status != 200:
                raise Failed("HTTP %d %s" % (answer.status, answer.read(200)))
            first, finished, text = None, False, ""
            for line in answer:
                line = line.strip()
                if not line.startswith(b"data:"):
                    continue
                data = line[5:].strip()
                if data == b"[DONE]":
                    finished = True
                    break
                piece = json.loads(data)
                if "error" in piece:
                    raise Failed(str(piece["error"]))
                first = first or waits.moment()
                for choice in piece["choices"]:
                    text += choice["delta"].get("content") or ""
                if self.is_long:  # read like people: the stream stays open
                    waits.pace(READING)
            if not finished:
                raise Failed("the stream ended without [DONE]")
            self.spans.append((begin, first or waits.moment(),
                               waits.moment(),
                               answer.headers.get("X-Flotilla-Release", "?"),
                               text))
        finally:
            connection.close()

    def stop(self):
        self.done.set()
        waits.joined(self)


def overlaps(streamers, old, new, since):
    """Streams of `old` still open when `new` first answered after `since`."""
    spans = [s for one in streamers for s in one.spans]
    begins = [s[1] for s in spans if s[3] == new and s[1] > since]
    if not begins:
        return 0
    flip = min(begins)
    return sum(1 for s in spans if s[3] == old and s[0] < flip < s[2])


class Fleet:
    def __init__(self, folder, bin_dir, name="demo"):
        self.dir = os.path.abspath(folder)
        self.bin = os.path.abspath(bin_dir)
        self.name = name
        self.run = os.path.join("/tmp", "flotilla-%d" % os.getpid())
        self.processes = []
        self.devices = {}
        self.env = dict(os.environ, XDG_CONFIG_HOME=os.path.join(self.dir, "cli"))
        for key in ("FLOTILLA_CONTROLLER", "FLOTILLA_TOKEN_FILE",
                    "FLOTILLA_CONTEXT", "http_proxy", "https_proxy",
                    "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
            self.env.pop(key, None)
        self.url = self.devices_url = None
        self.ports = [held_port() for _ in range(3)]
        self.port = self.ports[0]
        self.controller = None
        os.makedirs(self.dir, exist_ok=True)
        os.makedirs(self.run, mode=0o700, exist_ok=True)

    def path(self, program):
        return os.path.join(self.bin, program)

    def spawn(self, argv, log):
        os.makedirs(os.path.dirname(log), exist_ok=True)
        with open(log, "ab") as out:
            process = subprocess.Popen(argv, stdout=out, stderr=out,
                                       stdin=subprocess.DEVNULL,
                                       env=with_preloaded(self.env),
                                       start_new_session=True)
        self.processes.append(process)
        return process

    def program(self, name, *args, check=True, timeout=2 * waits.HANG_S):
        """Run a program to its end; (exit code, stdout, stderr).  One that waits
        reaches its own bound first, and says for what it waited."""
        done = subprocess.run([self.path(name), *args], env=self.env,
                              stdin=subprocess.DEVNULL, capture_output=True,
                              timeout=timeout)
        out = done.stdout.decode("utf-8", "replace")
        err = done.stderr.decode("utf-8", "replace")
        if check and done.returncode != 0:
            raise Failed("%s %s: exit %d\n%s%s" % (
                name, " ".join(args), done.returncode, out, err))
        return done.returncode, out, err

    def cli(self, *args, **more):
        """A command.  Where it says no limit, only a hang reaches one."""
        waits_long = "--wait" in args or args[1:2] == ("wait",) or \
            args[:2] in (("device", "logs"), ("device", "doctor"))
        if waits_long and "--timeout" not in args:
            args += ("--timeout", waits.HANG)
        if args[:2] == ("rollout", "start") and "--probe-timeout" not in args:
            args += ("--probe-timeout", waits.HANG)
        return self.program("flotilla", *args, **more)

    def ask(self, *args, **more):
        """A command's answer as JSON."""
        return json.loads(self.cli(*args, "-o", "json", **more)[1])

    def start_controller(self, *more):
        data = os.path.join(self.dir, "controller")
        log = os.path.join(self.dir, "controller.log")
        begin = os.path.getsize(log) if os.path.exists(log) else 0
        self.controller = self.spawn(
            [self.path("flotilla-controller"), "--data", data,
             *controller_addresses(self.ports, more), "--fleet", self.name,
             "--heartbeat", "1s", "--broker-linger", "0s", *more], log)

        def ready():
            if self.controller.poll() is not None:
                raise Failed("the controller ended:\n" + tail(log))
            with open(log, encoding="utf-8", errors="replace") as f:
                f.seek(begin)
                text = f.read()
            rest = re.search(r"(http://127\.0\.0\.1:(\d+))", text)
            devices = re.search(r"(https://[0-9A-Za-z.]+:\d+)", text)
            if rest and devices:
                self.url, self.port = rest.group(1), int(rest.group(2))
                self.devices_url = devices.group(1)
                return self.healthy()
            return False

        until("controller", ready)
        self.admin_token = os.path.join(data, "admin.token")

    def healthy(self):
        try:
            connection = http.client.HTTPConnection("127.0.0.1", self.port,
                                                    timeout=waits.HANG_S)
            connection.request("GET", "/readyz")
            status = connection.getresponse().status
            connection.close()
            return status == 200
        except OSError:
            return False

    def login(self):
        self.cli("login", self.url, "--token-file", self.admin_token,
                 "--name", self.name)

    def add_device(self, name, token_file):
        device = Device(self, name)
        self.devices[name] = device
        device.enroll(token_file)
        device.start()
        return device

    def serving(self, release, names=None):
        """True when these devices report that they serve `release`."""
        wanted = set(names or self.devices)
        model, version = release.split("@")
        good = {d["name"] for d in self.ask("device", "list")
                for served in [m.get("serving") or {} for m in d["models"]]
                if served.get("model") == model
                and served.get("version") == version
                and served.get("state", "ready") == "ready"}
        return wanted <= good

    def rollout_device(self, rollout, name):
        for device in self.ask("rollout", "get", rollout)["devices"]:
            if device["name"] == name:
                return device
        return None

    def close(self):
        for process in reversed(self.processes):
            if process.poll() is None:
                process.terminate()
        for process in reversed(self.processes):
            try:
                process.wait(waits.HANG_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for name in sets.names(self.run):
            os.unlink(os.path.join(self.run, name))
        os.rmdir(self.run)


def tail(path, lines=15):
    try:
        with open(path, encoding="utf-8", errors="replace") as f:
            return "".join(f.readlines()[-lines:])
    except OSError as error:
        return str(error)
