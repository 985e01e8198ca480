"""One party's share of what all use: a device at the broker, a viewer, a
stranger.  Each story plays one that takes all it can get."""
import http.client
import itertools
import json
import select
import signal
import socket
import struct

import pytest

from controller_parts import Device, Publisher, metric
from mqtt_client import Refused, _text
from waits import HANG_S, stopped, until

NUMBERS = itertools.count(1)
SHARE_BYTES = 2 << 20  # of the broker's memory, for one hostile device


@pytest.fixture(scope="module")
def token(controller):
    return controller.enrol_token()


def rss(controller):
    with open("/proc/%d/status" % controller.mosquitto()) as file:
        return next(int(line.split()[1]) << 10 for line in file
                    if line.startswith("VmRSS:"))


def flood(client, packets):
    """Send until the broker hangs up, or all is sent and answered."""
    try:
        for kind, body in packets:
            client._send(kind, body)
        client.subscribe("flotilla/v1/test/c/order")
    except (OSError, Refused):
        client.wait_closed()


@pytest.fixture
def bystander(controller, folder, token):
    """A device that works, and notices nothing of all this."""
    device = Device(controller, folder, "by-%d" % next(NUMBERS),
                    token).connect()
    yield device
    device.is_heard()
    assert not device.client.closed
    device.client.close()


def rogue(controller, folder, token, name, is_silent=False):
    """A device, and the broker's memory with it."""
    device = Device(controller, folder, name, token).connect(is_silent)
    return device, rss(controller)


def is_named(controller, device, share):
    until("the controller names it", lambda: (
        'flotilla_broker_over_share{device="%s",share="%s"} 1' % (
            device.id, share)) in controller.ask(
                "GET", "/metrics", token="").body.decode())


def test_messages_of_qos_2_that_are_never_released_fill_no_memory(
        controller, folder, token, bystander):
    device, before = rogue(controller, folder, token, "qos-2")
    topic = _text(device.topic("tele"))
    flood(device.client, ((0x34, topic + struct.pack(">H", number) +
                           bytes(60000)) for number in range(1, 14000)))
    assert device.client.closed
    assert rss(controller) - before < SHARE_BYTES


def test_subscriptions_of_one_device_fill_no_memory(
        controller, folder, token, bystander):
    device, before = rogue(controller, folder, token, "subscriber")

    def subscribe(number):
        return 0x82, struct.pack(">H", number % 65535 + 1) + _text(
            "flotilla/v1/test/g/%s/order" % ("%d-" % number * 8)[:60]) + b"\1"
    flood(device.client, map(subscribe, range(100000)))
    assert device.client.closed
    assert rss(controller) - before < SHARE_BYTES
    is_named(controller, device, "subscriptions")


def test_a_device_subscribes_to_what_is_its_own(
        controller, folder, token, bystander):
    device, _ = rogue(controller, folder, token, "curious")
    for topic in ("#", "flotilla/v1/test/#", "flotilla/v1/test/d/+/desired",
                  bystander.topic("desired"), device.topic("tele"),
                  "$SYS/#", "$share/x/flotilla/v1/test/d/+/desired",
                  "flotilla/v1/test/g/+/order"):
        assert device.client.subscribe(topic) == 0x80, topic
    for topic in (device.topic("desired"), device.topic("cmd"),
                  "flotilla/v1/test/c/+", "flotilla/v1/test/c/trust",
                  "flotilla/v1/test/g/all/order"):
        assert device.client.subscribe(topic) == 1, topic
    held = [device.client.subscribe("flotilla/v1/test/g/g%d/order" % i)
            for i in range(100)]
    assert held.count(1) < 64 and held[-1] == 0x80
    # The broker reads its ACL again, and the guard is still before it.
    controller.ask("DELETE", "/v1/devices/curious")
    again, _ = rogue(controller, folder, token, "curious-2")
    assert again.client.subscribe("flotilla/v1/test/#") == 0x80


def test_a_device_that_reads_nothing_fills_no_memory(
        controller, folder, token, bystander):
    device, before = rogue(controller, folder, token, "deaf")
    device.client.reads.clear()
    topic = _text(device.topic("event"))

    def event(number):
        return 0x32, topic + struct.pack(">H", number % 65535 + 1) + \
            device.prover.prove(device.topic("event"), json.dumps({
                "v": 1, "boot": device.boot, "seq": number, "from": number,
                "at_ms": 1, "type": "note"}))

    def sends():
        try:
            for number in range(1, 20000):
                device.client._send(*event(number))
                if number % 200 == 0:  # few wait for a busy controller
                    bystander.is_heard()
        except OSError:
            return True
    until("the broker hangs up", sends)
    assert rss(controller) - before < SHARE_BYTES
    device.client.reads.set()


def until_hears(device):
    """The broker may drop a controller that stands still: a note that comes
    before it is back is lost."""
    first = device.seq + 1

    def is_acked():
        device.seq += 1
        device.client.publish(device.topic("event"), json.dumps({
            "v": 1, "boot": device.boot, "seq": device.seq,
            "from": device.seq, "at_ms": 1, "type": "note"}))
        told = [json.loads(body) for topic, body, _ in device.client.messages
                if topic.endswith("/cmd") and body]
        return any(one.get("boot") == device.boot and
                   one.get("ack", 0) >= first for one in told)

    until("the controller hears", is_acked, every=0.2)


def test_bytes_of_one_device_fill_no_memory_of_a_controller_that_stands(
        controller, folder, token, bystander):
    """Messages that it does not take wait in the broker."""
    device, _ = rogue(controller, folder, token, "heavy")
    topic = _text(device.topic("tele"))
    stopped(controller.process.pid)
    before = rss(controller)
    flood(device.client, ((0x32, topic + struct.pack(">H", number) +
                           bytes(60000)) for number in range(1, 2000)))
    taken = rss(controller) - before
    controller.process.send_signal(signal.SIGCONT)
    until_hears(bystander)
    assert device.client.closed
    assert taken < 20 * SHARE_BYTES
    is_named(controller, device, "kilobytes")


# ---- the controller ----

def stream(controller, token):
    """Status of /v1/events, and its connection."""
    host, port = controller.rest[len("http://"):].split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=HANG_S)
    connection.request("GET", "/v1/events", headers={
        "Authorization": "Bearer " + token})
    return connection.getresponse().status, connection


def test_a_viewer_has_some_of_the_streams_and_an_admin_always_has_one(
        controller):
    viewers = [controller.access("viewer") for _ in range(4)]
    kept = []
    for number in range(100):
        status, connection = stream(controller, viewers[0])
        assert status == (200 if number < 16 else 429)
        kept.append(connection)
    for token in viewers[1:]:
        for number in range(16):
            status, connection = stream(controller, token)
            assert status == 200
            kept.append(connection)
    assert metric(controller, "live_clients") == 64
    for number in range(16):
        status, connection = stream(controller, controller.token)
        assert status == 200
        kept.append(connection)
    assert metric(controller, "live_clients") == 64
    for connection in kept:
        connection.close()
    until("all are gone", lambda: metric(controller, "live_clients") == 0)


class Waiting:
    """Calls that came while the controller stood still."""

    def __init__(self, controller):
        self.controller = controller
        host, port = controller.rest[len("http://"):].split(":")
        self.where = host, int(port)
        stopped(controller.process.pid)

    def ask(self, path, body=None):
        connection = socket.create_connection(self.where, HANG_S)
        text = json.dumps(body) if body is not None else ""
        connection.sendall((
            "%s %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n"
            "Content-Type: application/json\r\nContent-Length: %d\r\n"
            "Authorization: Bearer %s\r\n\r\n%s" % (
                "POST" if text else "GET", path, self.where[0], len(text),
                self.controller.token, text)).encode())
        return connection

    def go_on(self):
        self.controller.process.send_signal(signal.SIGCONT)


def answer(connection):
    found = b""
    while piece := connection.recv(65536):
        found += piece
    assert found.startswith(b"HTTP/1.1 200"), found
    return found


def lets_others_in(controller, path, body, said):
    """Both ask while the controller stands still, the long one first: its
    answer comes behind the others'."""
    waiting = Waiting(controller)
    long = waiting.ask(path, body)
    others = [waiting.ask("/v1/me") for _ in range(3)]
    waiting.go_on()
    assert said in answer(long)
    # Theirs are there already; the ends of their connections may follow.
    assert set(select.select(others, [], [], 0)[0]) == set(others)
    for other in others:
        assert b'"role"' in answer(other)


def are_let_in(controller, path, body, count):
    """So many of one account wait, and the next one is told so."""
    waiting = Waiting(controller)
    all = [waiting.ask(path, body) for _ in range(count + 1)]
    waiting.go_on()
    heads = sorted(one.recv(12) for one in all)
    assert heads == [b"HTTP/1.1 200"] * count + [b"HTTP/1.1 429"], heads


def test_the_check_of_the_audit_lets_others_in_between(controller):
    lets_others_in(controller, "/v1/audit/verify", None, b'"ok":true')
    are_let_in(controller, "/v1/audit/verify", None, 1)


def test_the_plan_of_a_rollout_lets_others_in_between(
        controller, folder, token):
    Device(controller, folder, "planned", token)
    Publisher(controller, folder).publish("1.0.0")
    path = "/v1/rollouts?dry_run=true"
    body = {"release": "tiny@1.0.0", "phases": [{"share_pct": 100}]}
    lets_others_in(controller, path, body, b'"excluded"')
    are_let_in(controller, path, body, 4)
    # A caller that leaves takes its plan along.
    waiting = Waiting(controller)
    for _ in range(4):
        waiting.ask(path, body).close()
    waiting.go_on()
    until("a plan is made", lambda: controller.ask(
        "POST", path, body).status == 200)


def test_the_plan_of_an_order_lets_others_in_between(controller):
    path = "/v1/orders?dry_run=true"
    back = {"op": "rollback", "release": "tiny@1.0.0", "everywhere": True}
    lets_others_in(controller, path, back, b'"silent":')
    are_let_in(controller, path, back, 4)
    answer = controller.ask("POST", path, {
        "op": "remove", "model": "tiny", "everywhere": True})
    assert answer.json["code"] == "order.nobody", answer.body
