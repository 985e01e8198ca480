"""Certificates of seconds: devices renew while they work, one is killed in the
middle, one was in a drawer, one is retired, and the authority is rolled as
after its key was stolen.  One device answers all the time."""
import http.server
import json
import os
import random
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import threading

import pytest

import fleet as F
import sets
from conftest import Small
from waits import HANG_S, Seen, pace, same, until, wall_s

LIFE_S = 30  # a third of it is left when a device renews
LIFE = "%ds" % LIFE_S


@pytest.fixture(scope="module")
def up(folder, bin_dir):
    # A broker that reads what it freed finds nonsense there, and dies at once.
    patch = pytest.MonkeyPatch()
    patch.setenv("GLIBC_TUNABLES", "glibc.malloc.tcache_count=0:"
                 "glibc.malloc.perturb=255")
    one = Small(folder, bin_dir, name="test")
    one.up(["drawer", "stolen"], "--certificate-life", LIFE,
           "--certificate-grace", "1h")
    lab = os.path.join(one.dir, "lab.token")
    one.cli("token", "create", "--kind", "enroll", "--uses", "2", "--group",
            "lab", "--to", lab, "-q")
    for name in ("busy", "killed"):
        one.add_device(name, lab)
    one.online(["busy", "killed"])
    one.publish("tiny@1", "tiny-v2.Q4_0.gguf")
    one.roll("tiny@1", "--group", "lab")
    # It goes into the drawer now and comes out when its certificate has ended.
    one.devices["drawer"].stop()
    one.drawer_until = ends_s(one, "drawer")
    one.stream = F.Streamer(one.devices["busy"], "tiny", ["hello", "what"],
                            max_tokens=16, pause=0.2)
    one.stream.start()
    yield one
    one.stream.stop()
    one.close()
    patch.undo()


def number(up, name):
    return (up.ask("device", "get", name)["certificate"] or {"number": 0})[
        "number"]


def ends_s(up, name):
    return up.ask("device", "get", name)["certificate"]["until_ms"] / 1000


def numbered(device):
    """Its files of key and certificate, by the certificate's number."""
    folder = os.path.join(device.state, "identity")
    return {int(text.split()[2]): os.path.join(folder, name)
            for name, text in sets.tree(folder).items()
            if name in ("device-a.pem", "device-b.pem")}


def pairs(device):
    """The newest last."""
    return [path for _, path in sorted(numbered(device).items())]


def context(up, pair):
    one = ssl.create_default_context(
        cafile=os.path.join(up.dir, "controller", "pki", "ca.pem"))
    if pair is not None:
        one.load_cert_chain(pair, pair)
    return one


def address(url):
    host, port = url.split("//")[1].split(":")
    return host, int(port)


def dial(url):
    """A connection; a broker that is started again takes a moment."""
    def ask():
        try:
            return socket.create_connection(address(url), timeout=HANG_S)
        except ConnectionRefusedError:
            return None
    return until("somebody at " + url, ask)


def broker_takes(up, pair):
    """Does the broker get as far as an answer to CONNECT?"""
    url = up.ask("version")["controller"]["mqtt"]
    body = b"\x00\x04MQTT\x04\x02\x00\x3c\x00\x01x"
    with dial(url) as plain:
        try:
            with context(up, pair).wrap_socket(
                    plain, server_hostname=address(url)[0]) as tls:
                tls.sendall(bytes([0x10, len(body)]) + body)
                return tls.recv(4) != b""
        except (ssl.SSLError, ConnectionError):
            return False


def renews(up, pair):
    """Status of a renewal with this pair, and the problem; "tls" when the
    listener does not let it in."""
    csr = subprocess.run(
        ["openssl", "req", "-new", "-newkey", "ec", "-pkeyopt",
         "ec_paramgen_curve:P-256", "-nodes", "-keyout", "/dev/null", "-subj",
         "/CN=x"], check=True, capture_output=True).stdout.decode()
    body = json.dumps({"v": 1, "csr": csr}).encode()
    host = address(up.devices_url)[0]
    with dial(up.devices_url) as plain:
        try:
            with context(up, pair).wrap_socket(plain,
                                               server_hostname=host) as tls:
                tls.sendall(b"POST /v1/enroll/renew HTTP/1.1\r\nHost: %s\r\n"
                            b"Connection: close\r\nContent-Length: %d\r\n\r\n"
                            % (host.encode(), len(body)) + body)
                answer = b""
                while piece := tls.recv(65536):
                    answer += piece
        except (ssl.SSLError, ConnectionError):
            return "tls", ""
    answer = answer.decode()
    return int(answer.split()[1]), json.loads(
        answer.split("\r\n\r\n", 1)[1]).get("code", "")


def log_of(device):
    with open(device.log, errors="replace") as file:
        return file.read()


def test_who_shows_no_certificate_gets_none(up):
    assert renews(up, None) == (401, "rest.auth")


def test_devices_renew_while_they_answer_and_update(up):
    killed = up.devices["killed"]
    up.publish_whole("tiny@2", "tiny-v2.1.Q4_0.gguf", "golden-tiny-v2.1.json")
    chance = random.Random(19)
    for _ in range(6):  # at any moment of its renewals
        pace(chance.uniform(0.3, 1))
        killed.stop(signal.SIGKILL)
        assert 1 <= len(pairs(killed)) <= 2
        killed.start()

    up.online(["busy", "killed"])
    until("their renewals", lambda: number(up, "busy") >= 2 and
          number(up, "killed") >= 2)
    before = number(up, "busy")
    ended = up.roll("tiny@2", "--group", "lab", "--soak", "2s")
    states = {d["name"]: d["state"] for d in ended["devices"]}
    assert (states["busy"], states["killed"]) == ("succeeded", "succeeded")
    until("the next renewal", lambda: number(up, "busy") > before)
    until("more than twenty answers", lambda: len(up.stream.spans) > 20)
    assert up.stream.failed == []
    log = until("two renewals in its log", lambda: log_of(
        up.devices["busy"]).count("certificate renewed") >= 2 and
        log_of(up.devices["busy"]))
    renewed = log.count("certificate renewed")
    link = os.path.join(up.devices["busy"].state, "identity", "device.pem")
    until("the link names the newest pair", lambda: same(
        os.path.realpath(link), pairs(up.devices["busy"])[-1]))

    def told():
        return sorted(e["number"] for e in up.ask(
            "device", "get", "busy", "--timeline")
            if e["type"] == "certificate")
    until("each is told", lambda: len(told()) >= renewed, told)
    numbers = told()
    assert numbers == list(range(2, 2 + len(numbers)))


def test_the_controllers_own_certificates_renew_and_drop_nobody(up):
    log = os.path.join(up.dir, "controller.log")

    def said():
        with open(log) as file:
            text = file.read()
        return "the controller's certificates are renewed" in text and text
    text = until("a renewal of its own", said)
    assert "connection lost" not in text  # it is a client of its broker too
    # Each connection of the device ended because it renewed.
    text = log_of(up.devices["busy"])
    assert text.count("connected to mqtts") <= \
        text.count("certificate renewed") + 1


def test_a_device_comes_out_of_the_drawer(up):
    drawer = up.devices["drawer"]
    until("the end of its certificate",
          lambda: wall_s() > up.drawer_until + 1)
    # The newest, if it was not used yet, is no certificate that it held.
    ended = os.path.join(up.dir, "ended.pem")
    shutil.copy(numbered(drawer)[number(up, "drawer")], ended)
    before = number(up, "drawer")
    assert not broker_takes(up, ended)
    drawer.start()
    until("it renewed", lambda: number(up, "drawer") > before)
    up.online(["drawer"])
    assert "it was refused" in log_of(drawer) or \
        "two thirds" in log_of(drawer)
    # Its old key is of no use any more: a later one took its place.
    assert renews(up, ended) == (403, "certificate.overdue")


def test_a_stolen_device_is_refused_everywhere(up):
    stolen = up.devices["stolen"]
    stolen.stop()
    pair = pairs(stolen)[-1]
    if ends_s(up, "stolen") < wall_s() + 3:  # not because it is too old
        before = number(up, "stolen")
        stolen.start()
        until("its renewal", lambda: number(up, "stolen") > before)
        stolen.stop()
        pair = pairs(stolen)[-1]
    assert broker_takes(up, pair) or wall_s() > ends_s(up, "stolen")
    up.cli("device", "delete", "stolen", "--confirm", "stolen")

    until("the broker reads the list",
          lambda: not broker_takes(up, pair))
    assert renews(up, pair) == (403, "certificate.revoked")
    # A broker elsewhere is told the same by the list.
    for flag, name in (("--revoked", "revoked.pem"), (None, "ca.pem")):
        with open(os.path.join(up.dir, name), "w") as file:
            file.write(up.cli("ca", "show", *([flag] if flag else []))[1])
    check = subprocess.run(
        ["openssl", "verify", "-crl_check", "-CAfile",
         os.path.join(up.dir, "ca.pem"), "-CRLfile",
         os.path.join(up.dir, "revoked.pem"), pair], capture_output=True)
    assert b"revoked" in check.stderr
    until("it takes the others", lambda: broker_takes(
        up, pairs(up.devices["busy"])[-1]))


def test_an_order_waits_for_who_is_away_while_the_broker_reads_again(up):
    """mosquitto 2.0.11 dies when it kept a session of the device."""
    up.devices["killed"].stop(signal.SIGKILL)
    for name in ("gone-1", "gone-2"):
        state = os.path.join(up.dir, name)
        os.makedirs(state, mode=0o700)
        up.program("flotilla-agent", "enroll", "--controller", up.devices_url,
                   "--token-file", up.token, "--state-dir", state, "--name",
                   name)
        up.cli("device", "delete", name, "--confirm", name)
    up.cli("rollout", "freeze", "--confirm", "test")
    up.devices["killed"].start()
    up.online(["killed"])
    until("the order", lambda: up.ask(
        "device", "get", "killed")["frozen"])
    up.cli("rollout", "unfreeze", "--confirm", "test")


class Rogue(threading.Thread):
    """Answers renewals with an authority of its own, by which the new
    certificate is, or is not: then it's by the fleet's authority.  Its
    listener's certificate is by that one, whose key it has."""

    def __init__(self, up, signs_by_own=True):
        super().__init__(daemon=True)
        self.dir, self.answered = tempfile.mkdtemp(dir=up.dir), 0
        pki = os.path.join(up.dir, "controller", "pki")
        self.make("own", "-x509", "-days", "9", "-subj", "/CN=rogue")
        self.signer = self.path("own") if signs_by_own else pki + "/ca"
        csr = self.make("server", "-subj", "/CN=x", "-addext",
                        "subjectAltName=IP:127.0.0.1")
        with open(self.path("server.pem"), "wb") as file:
            file.write(openssl(
                "x509", "-req", "-CA", os.path.join(pki, "ca.pem"), "-CAkey",
                os.path.join(pki, "ca.key"), "-set_serial", "78", "-days", "9",
                "-copy_extensions", "copy", input=csr))
        rogue = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(
                    int(self.headers["Content-Length"])))
                answer = rogue.sign(body["csr"].encode())
                self.send_response(201)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)
                rogue.answered += 1

            def log_message(self, *_):
                pass
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self.path("server.pem"),
                                self.path("server.key"))
        self.server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
        self.server.socket = context.wrap_socket(self.server.socket,
                                                 server_side=True)
        self.url = "https://127.0.0.1:%d" % self.server.server_address[1]

    def path(self, name):
        return os.path.join(self.dir, name)

    def make(self, name, *more):
        out = ("-out", self.path(name + ".pem")) if "-x509" in more else ()
        return openssl("req", "-new", "-newkey", "ec", "-pkeyopt",
                       "ec_paramgen_curve:prime256v1", "-nodes", "-keyout",
                       self.path(name + ".key"), *out, *more)

    def sign(self, csr):
        pem = openssl("x509", "-req", "-CA", self.signer + ".pem", "-CAkey",
                      self.signer + ".key", "-days", "9", "-set_serial", "79",
                      input=csr)
        with open(self.path("own.pem")) as file:
            own = file.read()
        with open(self.path("csr"), "wb") as file:
            file.write(csr)
        name = openssl("req", "-in", self.path("csr"), "-noout", "-subject")
        return json.dumps({
            "device": name.decode().strip()[-36:], "certificate": pem.decode(),
            "ca": own, "at_ms": int(wall_s() * 1000)}).encode()

    def run(self):
        self.server.serve_forever()


def openssl(*args, **more):
    return subprocess.run(["openssl", *args], check=True, capture_output=True,
                          **more).stdout


class Elsewhere:
    """A device that asks a rogue for its renewals, and comes home after it with
    the identity that it had."""

    def __init__(self, up, name, rogue):
        self.up, self.device, self.rogue = up, up.devices[name], rogue

    def __enter__(self):
        self.rogue.start()
        with open(self.device.config) as file:
            self.config = file.read()
        self.device.stop()
        self.mine, self.held = self.identity_now()
        self.identity = os.path.join(self.device.state, "identity")
        sets.copy(self.identity, self.identity + ".kept")
        with open(self.device.config, "a") as file:
            file.write("controller: %s\n" % self.rogue.url)
        self.begin = os.path.getsize(self.device.log)
        self.device.start()
        return self

    def identity_now(self):
        return believed(self.up, self.device.name), pairs(self.device)

    def said(self):
        with open(self.device.log) as log:
            log.seek(self.begin)
            return log.read()

    def __exit__(self, *_):
        self.device.stop()
        self.rogue.server.shutdown()
        with open(self.device.config, "w") as file:
            file.write(self.config)
        shutil.rmtree(self.identity)
        os.rename(self.identity + ".kept", self.identity)
        before = number(self.up, self.device.name)
        self.device.start()
        self.up.online([self.device.name])
        until("it renews at home",
              lambda: number(self.up, self.device.name) > before)


def test_one_forged_answer_turns_no_device_from_its_fleet(up):
    with Elsewhere(up, "killed", Rogue(up)) as away:
        def refuses():
            assert away.identity_now() == (away.mine, away.held)
            return "certificate does not hold" in away.said()
        until("it takes none of them",
              lambda: refuses() and away.rogue.answered > 1)
    assert believed(up, "killed") == away.mine


def test_an_answer_takes_no_authority_away(up):
    with Elsewhere(up, "killed", Rogue(up, signs_by_own=False)) as away:
        until("it believes another too", lambda:
              "other authorities are believed" in away.said())
        assert set(away.mine) < set(believed(up, "killed"))


def test_a_stolen_authority_is_rolled_without_a_visit(up):
    names = ["busy", "killed", "drawer"]
    up.online(names)
    old = up.ask("ca", "status")["authorities"][0]["name"]
    before = os.path.join(up.dir, "before.pem")
    shutil.copy(pairs(up.devices["busy"])[-1], before)
    os.chmod(before, 0o600)
    up.devices["drawer"].stop()
    up.ask("ca", "rotate")
    code, _, said = up.cli("ca", "retire", old, check=False)
    assert code != 0 and "ca.held" in said and "drawer" in said

    up.devices["drawer"].start()
    until("nobody holds the old", lambda: [
        a["devices"] for a in up.ask("ca", "status")["authorities"]] == [0, 3])
    # Its certificates for a thief still hold: so it is retired.
    shutil.copy(pairs(up.devices["busy"])[-1], before)
    thief = forge(up, old)
    assert renews(up, thief)[0] != "tls" and broker_takes(up, thief)
    status = up.ask("ca", "retire", old)
    assert status["devices_cut_off"] == []
    assert [a["devices"] for a in status["authorities"]] == [3]

    until("the thief is out", lambda: not broker_takes(up, thief))
    until("no renewal of his", lambda: same(renews(up, thief)[0], "tls"))
    up.online(names)
    later = number(up, "busy")
    up.roll("tiny@1", "--group", "lab", "--below-floor", "--lift")
    until("renewal goes on", lambda: number(up, "busy") > later)
    assert up.stream.failed == []
    # Root keys take it away: an answer of the controller only adds.
    for name in names:
        assert len(believed(up, name)) >= 2
    new = os.path.join(up.dir, "new.pem")
    with open(new, "w") as file:
        file.write(up.cli("ca", "show")[1])
    draft = os.path.join(up.dir, "draft.json")
    up.cli("key", "rotate", "ca", new, "--to", draft)
    up.cli("trust", "sign", draft, "--key", os.path.join(
        os.path.dirname(up.key), "root.key"))
    up.cli("trust", "publish", draft)
    until("one is believed", lambda: all(
        len(believed(up, name)) == 1 for name in names) or Seen(names))
    with open(os.path.join(up.dir, "controller.log")) as file:
        assert "mosquitto ended (signal" not in file.read()


def believed(up, name):
    with open(os.path.join(up.devices[name].state, "identity",
                           "ca.pem")) as file:
        return file.read().split("-----END CERTIFICATE-----\n")[:-1]


def forge(up, name):
    """A certificate for `busy` by the key of the authority, which was copied
    before it was retired."""
    pki = os.path.join(up.dir, "controller", "pki")
    out = os.path.join(up.dir, "thief.pem")
    device = up.ask("device", "get", "busy")["id"]
    key = os.path.join(up.dir, "thief.key")
    first = open(os.path.join(pki, "ca.pem")).read().split(
        "-----END CERTIFICATE-----\n")[0] + "-----END CERTIFICATE-----\n"
    with open(os.path.join(up.dir, "first.pem"), "w") as file:
        file.write(first)

    openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", key)
    csr = openssl("req", "-new", "-key", key, "-subj", "/CN=" + device)
    pem = openssl("x509", "-req", "-CA", os.path.join(up.dir, "first.pem"),
                  "-CAkey", os.path.join(pki, "ca.key"), "-set_serial", "77",
                  "-days", "9", input=csr)
    with open(out, "wb") as file:
        file.write(pem + open(key, "rb").read())
    assert name
    return out
