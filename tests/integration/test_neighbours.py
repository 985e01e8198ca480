"""Devices of a site take an update from each other, and believe nobody.

Agents serve on loopback; neighbours that lie, stall or die are servers of this
test with the certificate of a device that enrolled."""
import hashlib
import http.client
import http.server
import json
import os
import signal
import re
import socket
import ssl
import subprocess
import tempfile
import threading

import fleet as F
import sets
import pytest
from waits import HANG_S, until

MODEL, OLD, NEW = "tiny", "tiny-v1.Q4_0.gguf", "tiny-v2.Q4_0.gguf"


TRANSFERS_MAX = 8  # of a device that serves
SMALL = 16384  # at most: a document, golden answers, lists of chunks
# Who serves has idle time alone, and there may be none for long.
PATIENT = "neighbours_patience: 10m\n"


def uplink(transfer):
    return transfer["bytes"] - transfer["neighbour_bytes"]


def counts(device):
    said = json.loads(device.fleet.program(
        "flotilla-agent", "status", "--config", device.config, "-o", "json")[1])
    return said["neighbours"]


def text_of(path):
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


def pair(device):
    """The certificate and key of a device's identity."""
    for path, text in sets.tree(device.state + "/identity").items():
        if b"PRIVATE KEY" in text and b"BEGIN CERTIFICATE" in text:
            return os.path.join(device.state, "identity", path)
    raise F.Failed("no pair in " + device.state)


def smallest(device):
    """The digest of the smallest file of its store."""
    sizes = {name.replace("-", ":"): one.st_size for name, one in sets.stats(
        device.state + "/blobs").items() if "." not in name}
    return min(sizes, key=sizes.get)


class Fake(threading.Thread):
    """A neighbour with a device's certificate that serves what it wants."""

    def __init__(self, device, answer):
        super().__init__(daemon=True)
        self.asked = []
        this = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                this.asked.append((self.path, self.headers.get("Range")))
                try:
                    answer(self)
                except OSError:
                    pass
                self.close_connection = True

            def log_message(self, *unused):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pair(device))
        context.load_verify_locations(device.state + "/identity/ca.pem")
        context.verify_mode = ssl.CERT_REQUIRED
        self.server.socket = context.wrap_socket(
            self.server.socket, server_side=True, do_handshake_on_connect=False)
        self.at = "127.0.0.1:%d" % self.server.server_address[1]
        self.start()

    def run(self):
        self.server.serve_forever()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


def blob(handler, fleet):
    """The right bytes from the range on, and the whole length."""
    name = handler.path.rsplit(":", 1)[1]
    with open(fleet.dir + "/controller/blobs/sha256-" + name, "rb") as file:
        data = file.read()
    found = re.match(r"bytes=(\d+)-", handler.headers.get("Range") or "")
    begin = int(found.group(1)) if found else 0
    return data, begin


def of_model(fake, fleet):
    """Ranges of the model's file that it was asked for."""
    return [ranges for path, ranges in fake.asked if os.path.getsize(
        fleet.dir + "/controller/blobs/sha256-" + path.rsplit(":", 1)[1])
            >= SMALL]


def send(handler, data, begin, body):
    handler.send_response(206 if begin else 200)
    if begin:
        handler.send_header("Content-Range", "bytes %d-%d/%d" % (
            begin, len(data) - 1, len(data)))
    handler.send_header("Content-Length", str(len(data) - begin))
    handler.end_headers()
    handler.wfile.write(body)


class Site:
    """A fleet whose devices fetch whole files, so that bytes can be counted."""

    def __init__(self, fleet):
        self.fleet = fleet
        self.number = 1

    def release(self):
        """A release with other bytes than any before; (title, bytes of
        its model on the way)."""
        self.number += 1
        source = OLD if self.number % 2 else NEW
        name = "%s/model-%d.gguf" % (self.fleet.dir, self.number)
        with open(os.path.join(os.path.dirname(__file__), "..", "models",
                               source), "rb") as file:
            data = bytearray(file.read())
        data[-1 - self.number] ^= 1  # a weight's last bits
        with open(name, "wb") as file:
            file.write(data)
        title = "%s@%d.0.0" % (MODEL, self.number)
        made = self.fleet.publish_whole(title, name,
                                 "golden-tiny-v%d.json" % (
                                     1 if source == OLD else 2))
        return title, min(way["bytes"] for way in made["ways"]
                          if way["file"] == "model.gguf")

    def again(self, device, mode, at=(), more=PATIENT):
        """The device's agent begins again with these words."""
        device.stop()
        text = "neighbours: %s\n" % mode
        if at:
            text += "neighbours_at: [%s]\n" % ", ".join(
                json.dumps(one) for one in at)
        if mode == "serve":
            text += "neighbours_listen: 127.0.0.1:0\n"
        device.write_config(text + more)
        device.start()
        self.fleet.online([device.name])
        if mode == "serve":
            until("%s serves" % device.name,
                  lambda: counts(device)["port"])
            return "127.0.0.1:%d" % counts(device)["port"]
        return None

    def roll(self, title, group, **policy):
        spec = self.fleet.dir + "/rollout.yaml"
        policy["soak_ms"] = 500
        policy.setdefault("neighbours_spread_ms", 0)
        with open(spec, "w", encoding="utf-8") as out:
            json.dump({"release": title, "group": group,
                       "phases": [{"name": "all", "share_pct": 100}],
                       "policy": policy}, out)
        self.last = self.fleet.ask("rollout", "start", "-f", spec)["id"]
        self.fleet.cli("rollout", "wait", self.last, "-q")
        return self.fleet.ask("rollout", "get", self.last)["transfer"]


@pytest.fixture(scope="module")
def site(fleet):
    fleet.up(["one", "two", "three"])
    for name in fleet.devices:
        fleet.cli("group", "create", name, "-q")
        fleet.cli("group", "add", name, name, "-q")
    return Site(fleet)


def identity(path):
    """How a client shows the certificate of this file; None: none."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if path is not None:
        context.load_cert_chain(path)
    return context


def get(at, path, device):
    """(status, body) by the certificate of `device`; None: no certificate."""
    return get_as(at, path, identity(device and pair(device)))


def get_as(at, path, context):
    host, port = at.split(":")
    connection = http.client.HTTPSConnection(host, int(port), timeout=HANG_S,
                                             context=context)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def test_what_one_has_the_others_do_not_fetch(site):
    one, two, three = (site.fleet.devices[n] for n in ("one", "two", "three"))
    title, size = site.release()
    at = site.again(one, "serve")
    site.roll(title, "one")
    site.again(two, "use", [at])
    transfer = site.roll(title, "two")
    assert size <= transfer["neighbour_bytes"] < size + SMALL
    assert uplink(transfer) < SMALL
    taken = counts(two)["in_bytes"]
    assert taken == transfer["neighbour_bytes"]
    until("counted", lambda: counts(one)["out_bytes"] == taken)
    assert "came from neighbours" in site.fleet.cli(
        "rollout", "get", site.last)[1]
    # three devices at once, the same list on each: one goes to the controller
    title, size = site.release()
    ports = {}
    for device in (one, two, three):
        device.stop()
        ports[device] = F.held_port()
    both = ["127.0.0.1:%d" % ports[one], "127.0.0.1:%d" % ports[two]]
    for device in (one, two, three):
        device.write_config(
            "neighbours: %s\nneighbours_at: %s\n%s%s" % (
                "use" if device is three else "serve", json.dumps(both),
                PATIENT,
                "" if device is three
                else "neighbours_listen: 127.0.0.1:%d\n" % ports[device]))
        device.start()
    site.fleet.online(["one", "two", "three"])
    until("both serve", lambda: counts(one)["port"]
          and counts(two)["port"])
    # The turns of the two that serve are drawn by the release.  Where they fall
    # together both go to the controller, and the next release has more time.
    for spread_ms in (4000 << n for n in range(8)):
        transfer = site.roll(title, "all", neighbours_spread_ms=spread_ms)
        assert transfer["devices"] == 3, transfer
        assert size <= uplink(transfer) < 2 * size + 3 * SMALL, transfer
        if uplink(transfer) < size + 3 * SMALL:
            return
        title, size = site.release()
    raise AssertionError("one of them alone never went to the controller")


def certificate(fleet, name):
    """By the fleet's authority, for somebody with this name."""
    pki, path = fleet.dir + "/controller/pki/", tempfile.mktemp(dir=fleet.dir)
    csr = subprocess.run(
        ["openssl", "req", "-new", "-newkey", "ec", "-pkeyopt",
         "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", path, "-subj",
         "/CN=" + name], check=True, capture_output=True).stdout
    pem = subprocess.run(
        ["openssl", "x509", "-req", "-CA", pki + "ca.pem", "-CAkey",
         pki + "ca.key", "-set_serial", "79", "-days", "9"], input=csr,
        check=True, capture_output=True).stdout
    with open(path, "ab") as file:
        file.write(pem)
    return path


class Standing:
    """A download whose client reads the head of the answer and no more."""

    def __init__(self, at, path, device):
        plain = socket.socket()
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        plain.settimeout(HANG_S)
        host, port = at.split(":")
        plain.connect((host, int(port)))
        self.socket = identity(pair(device)).wrap_socket(plain)
        self.socket.sendall(b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n"
                            % path.encode())
        self.status = int(self.socket.recv(64).split()[1])

    def close(self):
        self.socket.close()


def test_so_many_downloads_are_served_at_once(site):
    one, two = site.fleet.devices["one"], site.fleet.devices["two"]
    at = site.again(one, "serve")
    data = bytes(16 << 20)  # more than sockets hold
    name = hashlib.sha256(data).hexdigest()
    with open(one.state + "/blobs/sha256-" + name, "wb") as file:
        file.write(data)
    path = "/v1/blobs/sha256:" + name
    standing = [Standing(at, path, two) for _ in range(TRANSFERS_MAX)]
    assert [each.status for each in standing] == TRANSFERS_MAX * [200]
    status, body = get(at, path, two)
    assert status == 503 and b"neighbour.busy" in body
    standing.pop().close()
    until("there is room", lambda: get(at, path, two)[0] == 200)
    for each in standing:
        each.close()
    os.unlink(one.state + "/blobs/sha256-" + name)


def test_only_devices_that_are_not_revoked_are_served(site):
    one, two = site.fleet.devices["one"], site.fleet.devices["two"]
    site.roll(site.release()[0], "one")
    at = site.again(one, "serve")
    name = smallest(one)
    status, body = get(at, "/v1/blobs/" + name, two)
    assert status == 200
    assert "sha256:" + hashlib.sha256(body).hexdigest() == name
    # itself, what is not here, and all other paths
    assert get(at, "/v1/blobs/" + name, one)[0] == 404
    assert get(at, "/v1/blobs/sha256:" + 64 * "0", two)[0] == 404
    assert get(at, "/v1/blobs/sha256:..%2f..%2fslots", two)[0] in (400, 404)
    assert get(at, "/v1/blobs/sha256:zz", two)[0] == 400
    assert get(at, "/v1/blobs/", two)[0] == 404
    assert get(at, "/v1/envelopes/" + name, two)[0] == 404
    with pytest.raises((ssl.SSLError, OSError)):
        get(at, "/v1/blobs/" + name, None)
    status, body = get_as(at, "/v1/blobs/" + name,
                          identity(certificate(site.fleet, "no device")))
    assert status == 401 and b"device's certificate" in body
    # a device that is retired has a revoked certificate
    four = site.fleet.add_device("four", site.fleet.token)
    site.fleet.online(["four"])
    assert get(at, "/v1/blobs/" + name, four)[0] == 200
    four.stop()
    site.fleet.cli("device", "delete", "four", "--confirm", "four")
    at = site.again(one, "serve")
    with pytest.raises((ssl.SSLError, OSError)):
        get(at, "/v1/blobs/" + name, four)
    assert get(at, "/v1/blobs/" + name, two)[0] == 200
    given = one.state + "/identity/given.json"
    until("it is counted, and more", lambda: os.path.exists(given) and
          json.loads(text_of(given))["used_bytes"] >= 1000000 // 16)
    one.stop(signal.SIGKILL)  # nothing is given back
    site.again(one, "serve", more="neighbours_budget: 1000000\n")
    assert counts(one)["used_bytes"] >= 1000000 // 16


def test_wrong_bytes_cost_a_neighbour_its_say(site):
    one, two = site.fleet.devices["one"], site.fleet.devices["two"]
    title, size = site.release()

    def lie(handler):
        data, begin = blob(handler, site.fleet)
        send(handler, data, begin, b"\0" * (len(data) - begin))

    liar = Fake(one, lie)
    site.again(two, "use", [liar.at])
    transfer = site.roll(title, "two")
    liar.close()
    assert len(liar.asked) == 1, liar.asked
    assert size <= uplink(transfer) < size + 3 * SMALL, transfer
    assert site.fleet.serving(title, ["two"])
    assert "is put aside" in text_of(two.log)


def test_a_slow_one_and_one_that_dies_are_left_in_the_middle(site):
    one, two = site.fleet.devices["one"], site.fleet.devices["two"]
    title, size = site.release()
    over = threading.Event()

    def drip(handler):
        data, begin = blob(handler, site.fleet)
        if len(data) < SMALL:
            return send(handler, data, begin, data[begin:])
        send(handler, data, begin, data[begin:begin + size // 4])
        return over.wait()

    def die(handler):
        data, begin = blob(handler, site.fleet)
        if len(data) < SMALL:
            return send(handler, data, begin, data[begin:])
        send(handler, data, begin, data[begin:begin + size // 4])
        return handler.connection.close()

    slow, dying = Fake(one, drip), Fake(one, die)
    site.again(two, "use", [slow.at, dying.at],
               more="neighbours_patience: 20s\n")
    transfer = site.roll(title, "two", neighbours_wait_ms=0)
    over.set()
    slow.close()
    dying.close()
    # The second goes on where the first was left, and the controller after it.
    asked = [of_model(fake, site.fleet) for fake in (slow, dying)]
    assert [len(each) for each in asked] == [1, 1], asked
    assert sorted(each[0] is None for each in asked) == [False, True]
    assert size <= transfer["bytes"] < size + SMALL, transfer
    assert size // 4 <= transfer["neighbour_bytes"] < size
    assert site.fleet.serving(title, ["two"])


def test_a_budget_ends_what_a_device_gives(site):
    one, two = site.fleet.devices["one"], site.fleet.devices["two"]
    title, size = site.release()
    one.stop()
    spent = one.state + "/identity/given.json"
    if os.path.exists(spent):  # by the tests before
        os.unlink(spent)
    at = site.again(one, "serve", more="neighbours_budget: 1000000\n")
    site.roll(title, "one")
    site.again(two, "use", [at])
    transfer = site.roll(title, "two")
    assert 0 < transfer["neighbour_bytes"] < 1100000, transfer
    assert size <= transfer["bytes"] < size + SMALL
    name = smallest(one)
    status, body = get(at, "/v1/blobs/" + name, two)
    assert status == 429 and b"neighbour.budget" in body
    until("refusal counted", lambda: counts(one)["refused"] > 0)

    one.process.kill()  # it does not begin again with the agent
    one.process.wait()
    at = site.again(one, "serve", more="neighbours_budget: 1000000\n")
    assert counts(one)["used_bytes"] >= 1000000
    status, body = get(at, "/v1/blobs/" + name, two)
    assert status == 429 and b"neighbour.budget" in body

    one.stop()  # ... but with the next day
    said = json.loads(text_of(spent))
    said["began_at_ms"] -= 25 * 3600 * 1000  # of another boot
    said["since_ms"] += 25 * 3600 * 1000  # of this one
    with open(spent, "w", encoding="utf-8") as out:
        json.dump(said, out)
    at = site.again(one, "serve", more="neighbours_budget: 1000000\n")
    assert get(at, "/v1/blobs/" + name, two)[0] == 200


def test_a_device_without_the_word_serves_nobody(site):
    three = site.fleet.devices["three"]
    site.again(three, "off")
    assert counts(three)["mode"] == "off"
    assert three.children("flotilla-updater") == []
    code, _, err = site.fleet.program(
        "flotilla-agent", "--check-config", "--config", three.config,
        check=False)
    assert code == 0, err
    three.write_config("neighbours: serve\n")
    code, _, err = site.fleet.program(
        "flotilla-agent", "--check-config", "--config", three.config,
        check=False)
    assert code != 0 and "neighbours_listen" in err
