"""Clients that go, at each byte of a request and of its answer, leave the
programs no descriptor: agent, controller and relay, at each listener."""
import email.utils
import http.client
import itertools
import json
import os
import resource
import signal
import socket
import ssl
import struct
import subprocess

import pytest

import draw
import fleet as F
import sets
from conftest import BIN, MODELS
from controller_parts import Controller, Device, metric
from relay_parts import Relay
from waits import HANG, HANG_S, moment, until

# 10,000 clients with FLOTILLA_PART=all; else a part that the seed draws.
CLIENTS = 10000 if draw.now().is_all else 1200
# So many orders go out while a controller is at its limit of descriptors, at most one
# a second.
SILENT_ORDERS = int(os.environ.get("FLOTILLA_SILENT_ORDERS", "3"))
RANDOM = draw.dice("gone")
draw.say("gone")
WAYS = ("closes", "resets", "sends no more", "stands still")
ANSWER_BYTES = 400
AT_ONCE = 40  # the relay has twelve places


def request(path, more=""):
    return ("GET %s HTTP/1.1\r\nHost: localhost\r\n%s\r\n" % (path, more)).encode()


class Listener:
    """Where clients come to: a process, a way in, and the paths asked for."""

    def __init__(self, name, pid, where, *paths, is_tls=False):
        self.name, self.pid, self.where, self.is_tls = name, pid, where, is_tls
        # Each request, and how many bytes of its answer surely come: an answer
        # that keeps the connection has a header less, and numbers change.
        self.texts = [(request(path, more), min(ANSWER_BYTES, self.answer_bytes(path) - 32))
                      for path in paths for more in ("", "Connection: close\r\n")]
        self.before = self.open()

    def open(self):
        """Descriptors of clients are sockets."""
        return sum(at.startswith("socket:") for at in sets.descriptors(self.pid).values())

    def client(self):
        if isinstance(self.where, str):
            one = socket.socket(socket.AF_UNIX)
            one.settimeout(HANG_S)
            one.connect(self.where)
        else:
            one = socket.create_connection(("127.0.0.1", self.where), HANG_S)
        if self.is_tls:
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            one = context.wrap_socket(one, suppress_ragged_eofs=True)
        return one

    def answer_bytes(self, path):
        with self.client() as one:
            one.sendall(request(path, "Connection: close\r\n"))
            count = 0
            while got := len(one.recv(65536)):
                count += got
        return count

    def points(self):
        """Each byte of each request and of its answer, with each way to go."""
        for text, answer_bytes in self.texts:
            for at in range(len(text) + answer_bytes):
                for way in WAYS:
                    yield text, at, way

    def leave(self, text, at, way):
        """A client that goes; None, or the socket of one that is still there."""
        one = self.client()
        try:
            one.sendall(text[:at])
            left = at - len(text)
            while left > 0:
                got = one.recv(left)
                if not got:
                    break
                left -= len(got)
            if way == "resets":
                one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            elif way == "sends no more":
                one.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # the server has closed first
        if way in ("sends no more", "stands still"):
            return one
        one.close()
        return None

    def crowd(self, count):
        points = list(self.points())
        chosen = [points[i % len(points)] for i in range(count)] if draw.now().is_all \
            else RANDOM.sample(points, min(count, len(points)))
        for some in itertools.zip_longest(*[iter(chosen)] * AT_ONCE):
            kept = [self.leave(*point) for point in some if point is not None]
            for one in kept:
                if one is not None:
                    one.close()  # who stood still is killed in the end
        until("no client is left at " + self.name,
              lambda: self.open() <= self.before, lambda: (self.before, self.open()))


@pytest.fixture(scope="module")
def listeners(tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("gone"))
    unix, port, health = os.path.join(folder, "api"), F.held_port(), F.held_port()
    model = os.path.join(MODELS, "tiny-v2.Q4_0.gguf")
    controller = Controller(folder).start("--listen-health", "127.0.0.1:%d" % health)
    relay = Relay(folder, "https://127.0.0.1:9")
    agent = subprocess.Popen(
        [os.path.join(BIN, "flotilla-agent"), "serve", "--model", model, "--listen",
         "127.0.0.1:%d" % port, "--listen", "unix:" + unix],
        stderr=open(os.path.join(folder, "agent.log"), "wb"))

    def answers():
        try:
            one = socket.create_connection(("127.0.0.1", port))
        except OSError:
            return False
        with one:
            one.sendall(request("/health", "Connection: close\r\n"))
            return b" 200 " in one.recv(100)
    until("the agent serves", answers)
    rest = int(controller.rest.rsplit(":", 1)[1])
    devices = int(controller.facts["devices"].rsplit(":", 1)[1])
    pid = controller.process.pid
    yield controller, [
        Listener("agent, unix", agent.pid, unix, "/health", "/v1/models"),
        Listener("agent, TCP", agent.pid, port, "/health", "/v1/models"),
        Listener("controller, plain", pid, rest, "/healthz", "/v1/devices", "/openapi.json"),
        Listener("controller, devices", pid, devices, "/healthz", "/nothing", is_tls=True),
        Listener("controller, health", pid, health, "/health", "/metrics"),
    ] + ([] if os.geteuid() else [  # only root sees what it has open
        Listener("relay", relay.process.pid, relay.socket, "/health", "/nothing"),
    ])
    agent.terminate()
    agent.wait(HANG_S)
    relay.process.kill()
    relay.process.wait(HANG_S)
    controller.stop()


def test_clients_that_go_leave_no_descriptor(listeners):
    controller, all_of_them = listeners
    for listener in all_of_them:
        listener.crowd(CLIENTS // len(all_of_them))
    assert metric(controller, "http_refused_total") == 0
    assert controller.ask("GET", "/healthz").json == {"status": "ok", "listeners": "ok"}


def ask(listener, path):
    """Status and body, by a connection of its own."""
    with listener.client() as one:
        one.sendall(request(path, "Connection: close\r\n"))
        text = b""
        while piece := one.recv(65536):
            text += piece
    head, body = text.split(b"\r\n\r\n", 1)
    return int(head.split()[1]), body


def is_gone(client):
    """The listener has ended the connection."""
    client.setblocking(False)
    try:
        return client.recv(1) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def runs_out(listener, path, told, meanwhile=lambda again: None):
    """Clients that say nothing have every descriptor, until its health tells.
    `meanwhile` gets what has those that were sent away come again."""
    before = resource.prlimit(listener.pid, resource.RLIMIT_NOFILE)
    most = max(sets.descriptors(listener.pid)) + 40
    resource.prlimit(listener.pid, resource.RLIMIT_NOFILE, (most, before[1]))
    idle = []
    try:
        for _ in range(most):  # more than numbers below the limit are free
            idle.append(listener.client())

        def tells():
            status, body = ask(listener, path)
            return status == 200 and told(json.loads(body)) == "io.descriptors"
        until("its health says it", tells)

        def again():
            for at, one in enumerate(idle):
                if is_gone(one):
                    one.close()
                    idle[at] = listener.client()
            until("its health says it again", tells)
        meanwhile(again)
    finally:
        resource.prlimit(listener.pid, resource.RLIMIT_NOFILE, before)
        for one in idle:
            one.close()
    until("nobody is left", lambda: listener.open() <= listener.before)


def test_an_agent_without_descriptors_says_so(listeners):
    _, all_of_them = listeners
    runs_out(all_of_them[1], "/health", lambda said: said.get("degraded", {}).get("id"))


def test_a_listener_without_descriptors_says_so_and_comes_back(listeners):
    controller, all_of_them = listeners
    plain = all_of_them[2]
    runs_out(plain, "/healthz", lambda said: said["listeners"])
    until("it takes clients again", lambda: ask(plain, "/openapi.json")[0] == 200)
    assert controller.ask("GET", "/readyz").json["listeners"] == "io.descriptors"
    assert metric(controller, "http_refused_total") > 0
    doctor = subprocess.run(
        [os.path.join(BIN, "flotilla"), "doctor", "--controller", controller.rest,
         "--token-file", controller.facts["token"]], capture_output=True, text=True, check=False)
    assert "clients were refused: io.descriptors" in doctor.stdout, doctor


def told_s(plain):
    """The time of day that an answer tells."""
    with plain.client() as one:
        one.sendall(request("/healthz", "Connection: close\r\n"))
        heads = http.client.HTTPResponse(one)
        heads.begin()
        return email.utils.mktime_tz(email.utils.parsedate_tz(heads.getheader("Date")))


def broker_of(controller):
    """Its process, whether it has a keeper or not."""
    for pid in sets.processes(controller.process.pid, "mosquitto"):
        return pid
    with open(os.path.join(controller.dir, "mosquitto", "broker.pid")) as file:
        return int(file.read().split()[2])


@pytest.mark.parametrize("more", [(), ("--broker-linger", HANG)])
def test_a_controller_without_descriptors_keeps_its_broker(tmp_path, more):
    """Who cannot open /proc does not know whether the broker lives."""
    controller = Controller(str(tmp_path)).start(*more)
    try:
        if more:  # it is taken over, so it is no child of this controller
            until("a keeper", lambda: os.path.exists(
                os.path.join(controller.dir, "mosquitto", "broker.pid")))
            controller.stop(signal.SIGKILL)
            controller.start(*more)
        device = Device(controller, str(tmp_path), "gw", controller.enrol_token()).connect()
        witness = Device(controller, str(tmp_path), "gw-2", controller.enrol_token()).connect()
        plain = Listener("plain", controller.process.pid,
                         int(controller.rest.rsplit(":", 1)[1]), "/healthz")
        broker = broker_of(controller)

        took_s = []

        def holds(again):  # the broker is looked at four times a second
            first = moment()
            for _ in range(SILENT_ORDERS):
                heard = [len(one.client.messages) for one in (device, witness)]
                again()
                begin, second = moment(), told_s(plain)
                asked = controller.ask("POST", "/v1/orders", {
                    "op": "config", "everywhere": True, "confirm": "test",
                    "heartbeat_ms": 1000 + len(took_s)})
                assert asked.status == 202, asked.body
                until("each device has the order", lambda: all(
                    len(one.client.messages) > had
                    for one, had in zip((device, witness), heard)))
                took_s.append(moment() - begin)
                until("the next second", lambda: told_s(plain) > second)
            print("%d orders in %.0f s, the slowest came after %.2f s" % (
                len(took_s), moment() - first, max(took_s)))
        runs_out(plain, "/healthz", lambda said: said["listeners"], holds)
        assert broker_of(controller) == broker
        with open(controller.dir + ".log") as log:
            assert "mosquitto ended" not in log.read()
        assert controller.ask("DELETE", "/v1/devices/gw").status == 200
        device.hears_nothing(controller, witness)
        device.client.close()
        witness.client.close()
    finally:
        controller.stop(signal.SIGINT)
