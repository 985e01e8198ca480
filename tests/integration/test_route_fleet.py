"""Routes between devices of a site: another device answers while an engine is
down, and lets in only devices of the fleet.

FLOTILLA_KILLS: how often the engine is killed; tests/lanes/routes.sh has 50."""
import http.client
import json
import os
import signal
import ssl
import threading

import pytest

import fleet as F
import sets
from conftest import Small
from fake_cloud import Cloud
from test_neighbours import certificate, identity, pair, text_of
from waits import HANG_S, Seen, joined, same, until

KILLS = int(os.environ.get("FLOTILLA_KILLS", "5"))
QUESTION = "What does the digest say?"
CHAT = "/v1/chat/completions"
HOST = "127.0.0.2"  # no name by which the local API is reached


def body(**fields):
    return json.dumps({"model": "tiny", "temperature": 0, "max_tokens": 12,
                       "messages": [{"role": "user", "content": QUESTION}],
                       **fields})


def ask(device, headers=None, **fields):
    """(status, who served it, body) of the device's own API."""
    connection = device.connection()
    try:
        connection.request("POST", CHAT, body(**fields),
                           {"Content-Type": "application/json",
                            **(headers or {})})
        answer = connection.getresponse()
        return (answer.status, answer.getheader("X-Flotilla-Served-By") or "",
                answer.read())
    finally:
        connection.close()


def status_of(device):
    return json.loads(device.fleet.program(
        "flotilla-agent", "status", "--config", device.config, "-o",
        "json")[1])


def metric(device, name):
    for line in device.get("/metrics")[1].decode().split("\n"):
        if line.startswith(name + " "):
            return float(line.split()[-1])
    return 0.0


def engine_of(device):
    """The process of its model's engine; proxies have other words."""
    found = [pid for pid in device.children("flotilla-engine")
             if not {"proxy"} & set(sets.words(pid) or ["proxy"])]
    return found[0] if len(found) == 1 else None


class Pair:
    """North and south of a site, each with a route to the other one."""

    def __init__(self, fleet):
        self.fleet = fleet
        self.north, self.south = (fleet.devices[n] for n in ("north", "south"))
        self.ports = {one: F.held_port() for one in (self.north, self.south)}
        self.begin(self.north)
        self.begin(self.south)

    def begin(self, device, more="", endpoints="", to=""):
        other = self.south if device is self.north else self.north
        device.stop()
        device.write_config(
            "site_listen: %s:%d\n" % (HOST, self.ports[device]) +
            "endpoints:\n  %s: {url: 'https://%s:%d/v1', device: true, "
            "model: tiny}\n%s" % (other.name, HOST, self.ports[other],
                                  endpoints) +
            "routes:\n  tiny: {to: [tiny, %s%s]}\n" % (other.name, to) + more)
        device.start()
        self.fleet.online([device.name])
        until("%s lets others ask" % device.name,
              lambda: status_of(device)["site"]["on"])
        until("%s serves" % device.name, lambda: engine_of(device))

    def call(self, device, context, path=CHAT, method="POST"):
        """(status, body) at its site's listener, with this certificate."""
        connection = http.client.HTTPSConnection(
            HOST, self.ports[device], timeout=HANG_S, context=context)
        try:
            connection.request(method, path, body() if method == "POST"
                               else None, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def away(self, device, by):
        """An answer of the other device."""
        def once():
            answer = ask(device, {"X-Flotilla-Escalate": "1"})
            return answer[1] == by or Seen(answer)
        until("an answer by " + by, once)


@pytest.fixture(scope="module")
def site(fleet):
    fleet.up(["north", "south"])
    fleet.publish_whole("tiny@1", "tiny-v2.Q4_0.gguf", "golden-tiny-v2.json")
    fleet.roll("tiny@1")
    return Pair(fleet)


class Asking(threading.Thread):
    """A client that asks without a pause."""

    def __init__(self, device):
        super().__init__(daemon=True)
        self.device, self.done = device, threading.Event()
        self.served, self.failed = [], []

    def run(self):
        while not self.done.is_set():
            try:
                status, by, text = ask(self.device)
            except (OSError, http.client.HTTPException) as error:
                self.failed.append(repr(error))
                continue
            if status == 200:
                self.served.append(by)
            else:
                self.failed.append((status, text))

    def stop(self):
        self.done.set()
        joined(self)


def test_status_and_metrics_say_who_is_ready(site):
    site.away(site.south, "north; reason=app")
    said = status_of(site.south)
    assert said["site"] == {"wanted": True, "on": True,
                            "port": site.ports[site.south]}
    assert said["endpoints"] == [{"name": "north", "device": True,
                                  "ready": True}]
    text = site.fleet.program("flotilla-agent", "status", "--config",
                              site.south.config)[1]
    assert "endpoint north (a device) ready" in text
    assert "site lets other devices ask on port %d" % \
        site.ports[site.south] in text
    assert metric(site.south, 'flotilla_endpoint_ready{endpoint="north"}') == 1


def test_the_site_s_listener_needs_no_process_for_neighbours(site):
    assert status_of(site.south)["neighbours"]["mode"] == "off"
    assert site.south.children("flotilla-updater") == []


def test_a_device_s_endpoint_waits_for_the_enrolment(site):
    config = "endpoints:\n  north: {url: 'https://%s:%d/v1', device: true, " \
        "model: tiny}\nroutes:\n  tiny: {to: [north]}\n" % (
            HOST, site.ports[site.north])
    late = site.fleet.devices["late"] = F.Device(site.fleet, "late")
    late.write_config(config)
    for is_ready in (False, True):
        late.start()
        until("its status", lambda: same(status_of(late).get("endpoints"), [
            {"name": "north", "device": True, "ready": is_ready}]))
        late.stop()
        if not is_ready:
            late.enroll(site.fleet.token)
            late.write_config(config)


def test_no_request_fails_while_the_engine_is_killed(site):
    site.away(site.south, "north; reason=app")
    clients = [Asking(site.south) for _ in range(3)]
    for one in clients:
        one.start()
    for number in range(KILLS):
        until("the engine is live", lambda: engine_of(site.south) and
              ask(site.south)[1].startswith("tiny@"))
        since = [len(one.served) for one in clients]
        os.kill(engine_of(site.south), signal.SIGKILL)
        until("answers after kill %d" % number, lambda: all(
            len(one.served) > n + 1 or one.failed
            for one, n in zip(clients, since)))
    for one in clients:
        one.stop()
    assert [one.failed for one in clients] == [[], [], []]
    served = [by for one in clients for by in one.served]
    assert set(served) == {"tiny@1", "north; reason=down"}
    away = served.count("north; reason=down")
    assert away >= KILLS
    print("%d kills, %d requests: %d of them by north, 0 failed" % (
        KILLS, len(served), away))


def test_a_device_passes_no_request_of_another_on(site):
    """Both are down: each would ask the other one for ever."""
    context = identity(pair(site.south))
    escalate = 'flotilla_route_requests_total{route="tiny",target="south",' \
        'reason="down"}'
    before = metric(site.north, escalate)
    asked = []

    def question():
        asked.append(site.call(site.north, context))
    os.kill(engine_of(site.north), signal.SIGKILL)
    question()
    assert asked[0][0] == 200, asked
    assert b'"served_by":"tiny@1"' in asked[0][1], asked
    assert metric(site.north, escalate) == before
    # Its own clients' requests may go there.
    site.away(site.north, "south; reason=app")


def test_only_devices_of_the_fleet_may_ask(site, tmp_path_factory, bin_dir):
    context = identity(pair(site.south))
    assert site.call(site.north, context)[0] == 200
    for path in ("/v1/models", "/metrics", "/api/tags"):
        status, text = site.call(site.north, context, path, "GET")
        assert status == 401 and b"may not ask" in text, (path, text)
    with pytest.raises((ssl.SSLError, OSError)):
        site.call(site.north, identity(None))
    status, text = site.call(site.north, identity(
        certificate(site.fleet, "no device")))
    assert status == 401 and b"no certificate of a device" in text
    # A device of another fleet has a certificate of another authority.
    other = Small(str(tmp_path_factory.mktemp("o")), bin_dir, name="other")
    other.run = str(tmp_path_factory.mktemp("r"))  # sockets of its own
    try:
        other.up(["west"])
        with pytest.raises((ssl.SSLError, OSError)):
            site.call(site.north, identity(pair(other.devices["west"])))
    finally:
        other.close()


def test_a_device_is_known_by_its_certificate(site):
    """Each connection is a new one, from the same address."""
    three = site.fleet.add_device("three", site.fleet.token)
    site.fleet.online(["three"])

    def cached(device):
        status, text = site.call(site.north, identity(pair(device)))
        assert status == 200, text
        return json.loads(text)["usage"].get(
            "prompt_tokens_details", {}).get("cached_tokens", 0)
    until("its own prefix is kept", lambda: cached(site.south) > 0)
    assert cached(three) == 0
    until("the other one has its own", lambda: cached(three) > 0)


def test_a_retired_device_is_refused_with_the_next_list(site):
    three = site.fleet.devices["three"]
    context = identity(pair(three))
    assert site.call(site.north, context)[0] == 200
    three.stop()
    site.fleet.cli("device", "delete", "three", "--confirm", "three")
    # The list comes each five minutes, and at a start.
    path = os.path.join(site.north.state, "identity", "revoked.pem")
    with open(path + "+", "w", encoding="ascii") as file:
        file.write(site.fleet.cli("ca", "show", "--revoked")[1])
    os.rename(path + "+", path)

    def is_refused():
        try:
            return Seen(site.call(site.north, context))
        except (ssl.SSLError, OSError):
            return True
    until("three is refused", is_refused)
    site.begin(site.north)
    assert is_refused() is True
    assert site.call(site.north, identity(pair(site.south)))[0] == 200


def test_without_a_readable_list_nobody_is_let_in(site):
    path = os.path.join(site.north.state, "identity", "revoked.pem")
    context = identity(pair(site.south))
    with open(path, encoding="ascii") as file:
        text = file.read()
    for content in ("no list\n", text):
        with open(path + "+", "w", encoding="ascii") as file:
            file.write(content)
        os.rename(path + "+", path)
        if content == text:
            until("it is on again", lambda: status_of(site.north)["site"]["on"])
        else:
            until("it tried", lambda: "revoked.pem cannot be used" in
                  text_of(site.north.log))
        status, said = site.call(site.north, context)
        assert status == (200 if content == text else 401), said
    assert b"not recent" not in said


def shown(site, device, context):
    """The certificate that the site's listener of a device shows, or why it
    ended the connection: it ends all when it reads its files."""
    connection = http.client.HTTPSConnection(
        HOST, site.ports[device], timeout=HANG_S, context=context)
    try:
        connection.connect()
        return connection.sock.getpeercert(True)
    except OSError as error:
        return error
    finally:
        connection.close()


def certificate_of(path):
    with open(path, encoding="ascii") as file:
        text = file.read()
    end = "-----END CERTIFICATE-----"
    return ssl.PEM_cert_to_DER_cert(
        text[text.index("-----BEGIN CERT"):text.index(end) + len(end)])


def test_a_new_certificate_is_shown_without_a_restart(site):
    link = os.path.join(site.north.state, "identity", "device.pem")
    own, context = os.readlink(link), identity(pair(site.south))
    assert shown(site, site.north, context) == certificate_of(link)
    for target in (certificate(site.fleet, "north"), own):
        os.symlink(target, link + "+")
        os.rename(link + "+", link)
        until("the listener shows it", lambda: same(
            shown(site, site.north, context), certificate_of(link)))
    site.away(site.north, "south; reason=app")


def test_a_restart_keeps_the_day_s_budget(site):
    cloud = Cloud()
    try:
        site.begin(site.south, to=", cloud", endpoints="  cloud: {url: '%s', "
                   "model: gpt-cloud}\n" % cloud.url)
        site.north.stop()
        site.away(site.south, "cloud; reason=app")
        name = 'flotilla_route_tokens_today{route="tiny"}'
        used = metric(site.south, name)
        assert used >= 16
        site.south.stop(signal.SIGKILL)
        site.south.start()
        until("it serves", lambda: engine_of(site.south))
        assert metric(site.south, name) >= used
    finally:
        cloud.close()
