"""Drills: a key, a disk or a device is in other hands.  Each ends with a healthy
fleet, and nobody touched a device (docs/runbook.md has the recipes)."""
import json
import os
import shutil
import tempfile

import pytest

import sets
from bad_parts import (GOLDEN, LIFE_MS, OLD, ORDER, Controller,
                       controllers_place, logged, refused, rest, serves)
from conftest import Small
from controller_parts import make_key, sign
from mqtt_client import Client, Refused
from waits import Seen, same, until, wall_ms

NAMES = ["a", "b"]


class Fleet(Small):
    """Two devices on tiny@2, before that tiny@1; two of three root keys sign."""

    def bring_up(self):
        # A device renews at most once in a twelfth of that life.
        self.up(NAMES, "--certificate-life", "90s")
        self.publish("tiny@1", "tiny-v2.Q4_0.gguf")
        self.publish("tiny@2", "tiny-v2.1.Q4_0.gguf", "golden-tiny-v2.1.json")
        self.roll("tiny@1")
        self.roll("tiny@2")
        self.vault = os.path.join(self.dir, "vault")
        for name in ("root-a", "root-b", "root-c", "emergency"):
            self.cli("key", "create", name, "--to", self.vault)
        draft = os.path.join(self.vault, "3.json")
        for role, name, *more in (("root", "root-a"),
                                  ("root", "root-b", "--keep"),
                                  ("root", "root-c", "--keep",
                                   "--threshold", "2"),
                                  ("emergency", "emergency", "--keep")):
            self.cli("key", "rotate", role, self.pub(name), "--to", draft,
                     *more)
        self.publish_statement(draft, os.path.join(
            os.path.dirname(self.key), "root.key"))
        self.id = self.ask("device", "get", "a")["id"]
        return self

    def pub(self, name):
        return os.path.join(self.vault, name + ".pub")

    def private(self, name):
        return os.path.join(self.vault, name + ".key")

    def publish_statement(self, draft, *more):
        """It goes round, is published, and every device has it."""
        for key in (self.private("root-a"), self.private("root-c"), *more):
            self.cli("trust", "sign", draft, "--key", key)
        self.cli("trust", "verify", draft)
        self.cli("trust", "publish", draft)
        number = self.ask("trust", "status")["number"]
        self.all_have(number)
        return number

    def all_have(self, number, devices=None):
        def have():
            status = self.ask("trust", "status")
            return status["numbers"] == [
                {"number": number, "devices": devices or len(self.devices)}]
        until("statement %d everywhere" % number, have)

    def keyid(self, role):
        [key] = [k for k in self.ask("key", "list") if k["role"] == role]
        return key["keyid"]

    def device(self, name, *words, check=True):
        return self.program("flotilla-agent", words[0], "--config",
                            self.devices[name].config, *words[1:], check=check)

    def all_did(self, op):
        """An order to everybody, which every device answered."""
        order = self.ask("rollout", op, "--confirm", "test")["id"]
        until("%s by all" % op, lambda: same(
            self.ask("order", "get", order)["done"], len(self.devices)))

    def thief_is_refused(self, key, op):
        """Whatever way his order takes to the device."""
        now, path = wall_ms(), os.path.join(self.dir, "thief")
        status = self.ask("trust", "status")
        with open(path, "wb") as file:
            file.write(sign({
                "v": 1, "fleet": "test", "id": "o-9999", "op": op,
                "scope": {"group": "all"}, "epoch": status["epoch"],
                "seq": 2 ** 31, "issued_at_ms": now,
                "expires_at_ms": now + LIFE_MS, "by": "thief", "args": {}},
                key, ORDER))
        for name in NAMES:
            code, _, err = self.device(name, "order", "--file", path,
                                       check=False)
            assert code == 7 and "sig.revoked_key" in err, err

    def frozen(self, name):
        return json.loads(self.device(name, "status", "-o", "json")[1])[
            "frozen"]


@pytest.fixture(scope="module")
def up(folder, bin_dir):
    one = Fleet(tempfile.mkdtemp(dir=folder), bin_dir, name="test")
    yield one.bring_up()
    one.close()


def test_the_publishers_key_is_stolen(up):
    """Releases of the thief are refused; what serves goes on, and is told."""
    stolen, draft = up.key, os.path.join(up.vault, "publisher.json")
    up.cli("key", "create", "publisher-2", "--to", up.vault)
    up.cli("key", "rotate", "release", up.pub("publisher-2"), "--to", draft)
    up.cli("key", "revoke", up.keyid("release"), "--to", draft)
    up.publish_statement(draft)

    for device in up.devices.values():
        serves(device, "tiny@2")
    until("the devices tell", lambda: all(
        m["untrusted"] == "sig.revoked_key"
        for d in up.ask("device", "list") for m in d["models"]))
    refused(up, 7, "sig.revoked_key", "flotilla", "release", "create",
            "tiny@8", "--model-file", OLD, "--golden", GOLDEN, "--skip-play",
            "--sign-with", stolen, "--publish", "--delta-from", "none")
    up.key = up.private("publisher-2")
    up.cli("release", "resign", "tiny@2", "--key", up.key)
    up.publish_whole("tiny@3", "tiny-v2.Q4_0.gguf", "golden-tiny-v2.json")
    up.roll("tiny@3")
    for device in up.devices.values():
        serves(device, "tiny@3")
    until("nothing is told", lambda: all(
        "untrusted" not in m
        for d in up.ask("device", "list") for m in d["models"]))


def test_the_order_key_is_stolen(up):
    """The thief's orders end with the next statement, whatever he numbered
    them."""
    with Controller(up) as thief:
        # It cannot use up all numbers.
        thief.send_until_logged("cmd.leap", thief.order(
            "freeze", seq=thief.last["seq"] + 2 ** 32 - 9, args={}))
        assert not up.frozen("a")
        thief.send_until("the thief's freeze", thief.order(
            "freeze", seq=thief.last["seq"] + 9999, args={}),
            lambda: up.frozen("a"))
    # The words of devices are seen, and told.
    [row] = until("the order of nobody", lambda: [
        o for o in up.ask("order", "list") if o["op"] == "foreign"])
    assert row["done"] == 1 and row["id"].startswith("foreign-"), row
    until("the alert", lambda: [
        a for a in up.ask("alert", "list") if a["rule"] == "order-foreign" and
        a["state"] == "firing"] or Seen(up.ask("alert", "list")))
    assert [d["name"] for d in up.ask("device", "list", "--where",
                                      "frozen")] == ["a"]
    stolen = os.path.join(up.vault, "stolen.key")
    shutil.copy(os.path.join(up.dir, "controller", "keys", "order.key"),
                stolen)
    lost, draft = up.keyid("order"), os.path.join(up.vault, "order.json")
    up.cli("key", "rotate", "order", "--to", draft)
    up.cli("key", "revoke", lost, "--to", draft)
    up.publish_statement(draft)

    up.cli("rollout", "unfreeze", "--confirm", "test")
    until("the thaw", lambda: not up.frozen("a"))
    up.thief_is_refused(stolen, "freeze")
    assert not up.frozen("a")
    up.publish_whole("tiny@4", "tiny-v2.1.Q4_0.gguf", "golden-tiny-v2.1.json")
    up.roll("tiny@4")
    for device in up.devices.values():
        serves(device, "tiny@4")


def publish(up, account, file):
    """As mosquitto_pub does."""
    host, port = up.broker
    client = Client(host, port, os.path.join(account, "ca.pem"),
                    os.path.join(account, "account.pem"),
                    os.path.join(account, "account.key"), "emergency")
    with open(file) as text:
        client.publish("flotilla/v1/test/c/emergency", text.read(), retain=True)
    return client


def test_the_controllers_disk_is_stolen(up):
    """The emergency key stops the thief's hands; a new order key ends them."""
    account, file = os.path.join(up.vault, "account"), os.path.join(
        up.vault, "stop.json")
    trust = os.path.join(up.vault, "order.json")
    up.cli("emergency", "account", "--to", account)
    where = json.load(open(os.path.join(
        up.devices["a"].state, "identity", "identity.json")))["mqtt"]
    up.broker = (where.split("//")[1].split(":")[0],
                 int(where.rsplit(":", 1)[1]))
    disk = os.path.join(up.dir, "stolen")
    sets.copy(os.path.join(up.dir, "controller"), disk, "*.tmp-*")

    # Nobody trusts the controller now: the operators stop the fleet without it.
    up.cli("emergency", "freeze", "--key", up.private("emergency"), "--from",
           trust, "--to", file)
    publish(up, account, file).close()
    until("the emergency", lambda: all(map(up.frozen, NAMES)))
    up.all_did("unfreeze")  # the thief's word
    assert all(map(up.frozen, NAMES))
    [known] = [e for e in up.ask("emergency", "list") if e["op"] == "freeze"]
    assert known["seen"]
    until("their answers", lambda: [
        e["answers"]["done"] for e in up.ask("emergency", "list")
        if e["op"] == "freeze"] == [2])

    draft = os.path.join(up.vault, "disk.json")
    lost = up.keyid("order")
    up.cli("key", "rotate", "order", "--to", draft)
    up.cli("key", "revoke", lost, "--to", draft)
    up.publish_statement(draft)
    # The thief has no order key, no release key and no root key.
    up.thief_is_refused(os.path.join(disk, "keys", "order.key"), "unfreeze")
    assert all(map(up.frozen, NAMES))

    up.cli("emergency", "unfreeze", "--key", up.private("emergency"), "--to",
           file, "--publish")
    until("the thaw", lambda: not any(map(up.frozen, NAMES)))
    up.publish_whole("tiny@5", "tiny-v2.Q4_0.gguf", "golden-tiny-v2.json")
    up.roll("tiny@5")
    for device in up.devices.values():
        serves(device, "tiny@5")


def authorities(up):
    return [(a["name"], a["devices"])
            for a in up.ask("ca", "status")["authorities"]]


def believed(device):
    with open(os.path.join(device.state, "identity", "ca.pem")) as file:
        return file.read()


def test_the_broker_is_taken(up):
    """It may keep silent; nothing that it says acts."""
    def one_release():
        found = {m["serving"]["version"] for d in up.ask("device", "list")
                 for m in d["models"]}
        return found if len(found) == 1 else Seen(found)
    serving, = until("one release", one_release)
    own = os.path.join(up.vault, "own.key")
    make_key(own)
    order = json.loads(sign({
        "v": 1, "fleet": "test", "id": "o-0001", "op": "freeze",
        "scope": {"group": "all"}, "epoch": up.ask("trust", "status")["epoch"],
        "seq": 2 ** 31, "issued_at_ms": wall_ms(), "args": {}, "by": "thief",
        "expires_at_ms": wall_ms() + LIFE_MS}, own, ORDER))
    with logged(up, "sig.unknown_key"), controllers_place(up) as thief:
        for topic, message in (
                ("c/order", {"v": 1, "orders": [order]}),
                ("c/emergency", {"v": 1, "orders": [order]}),
                ("c/trust", {"v": 1, "number": 99, "statements": []}),
                ("d/%s/desired" % up.id, {
                    "v": 2, "rev": 2 ** 40, "heartbeat_ms": 1000,
                    "reconnect_ms": 500, "assignments": []}),
                ("d/%s/cmd" % up.id, {"v": 1, "order": order})):
            thief.publish("flotilla/v1/test/" + topic, json.dumps(message),
                          retain=True)

    # The recipe: another broker, which the controller teaches.
    sets.kill(sets.processes(up.controller.pid, "mosquitto"))
    up.all_did("freeze")
    up.all_did("unfreeze")
    assert not any(map(up.frozen, NAMES))
    for device in up.devices.values():
        serves(device, "tiny@" + serving)


def test_an_operators_token_is_stolen(up):
    up.cli("user", "create", "mira", "--role", "operator")
    path = os.path.join(up.vault, "mira.token")
    up.cli("token", "create", "--kind", "access", "--user", "mira", "--name",
           "laptop", "--to", path)
    with open(path) as file:
        token = file.read().strip()
    freeze = {"op": "freeze", "everywhere": True, "confirm": "test"}
    assert rest(up, "POST", "/v1/orders", freeze, token)[0] == 202
    until("the thief's freeze", lambda: all(map(up.frozen, NAMES)))

    # What did it do?  Then it goes.
    assert any("mira" in row["who"] and row["what"] == "order.emergency"
               for row in up.ask("audit", "list")), up.ask("audit", "list")
    [row] = [t for t in up.ask("token", "list") if t.get("user") == "mira"]
    up.cli("token", "delete", row["id"])
    assert rest(up, "POST", "/v1/orders", freeze, token)[0] == 401
    up.all_did("unfreeze")
    assert not any(map(up.frozen, NAMES))


def test_the_authority_is_stolen_while_a_device_sleeps(up):
    """The next one comes by a signed statement, also to who slept through
    it."""
    new, draft = (os.path.join(up.vault, name) for name in
                  ("new.pem", "authority.json"))
    [(old, _)] = authorities(up)
    up.devices["b"].stop()
    up.ask("ca", "rotate")
    with open(new, "w") as file:
        file.write("-----BEGIN" + up.cli("ca", "show")[1].split(
            "-----BEGIN")[-1])
    # The new one alone would cut off every device: refused.
    for file, keep, code in ((draft + ".alone", [], 5),
                             (draft, ["--keep"], 0)):
        up.cli("key", "rotate", "ca", new, *keep, "--to", file)
        for key in ("root-a", "root-c"):
            up.cli("trust", "sign", file, "--key", up.private(key))
        said = up.cli("trust", "publish", file, check=False)
        assert said[0] == code and ("trust.authority" in said[2]) == (code > 0)

    until("the waking one renewed", lambda: [
        devices for _, devices in authorities(up)] == [1, 1])
    code, _, said = up.cli("ca", "retire", old, check=False)
    assert code == 5 and "ca.held" in said and "b" in said
    up.devices["b"].start()
    up.all_have(up.ask("trust", "status")["number"])
    until("both renewed", lambda: [
        devices for _, devices in authorities(up)] == [0, 2])
    assert up.ask("ca", "retire", old)["devices_cut_off"] == []
    # The thief has the key of an authority that nobody believes any more.
    last = os.path.join(up.vault, "authority-2.json")
    up.cli("key", "rotate", "ca", new, "--to", last)
    up.publish_statement(last)
    until("nobody believes it", lambda: all(
        believed(device) == open(new).read()
        for device in up.devices.values()))
    # Tokens of before pin the authority that is gone.
    up.token = os.path.join(up.vault, "enroll.token")
    up.cli("token", "create", "--kind", "enroll", "--to", up.token, "-q")
    up.publish_whole("tiny@6", "tiny-v2.1.Q4_0.gguf", "golden-tiny-v2.1.json")
    up.roll("tiny@6")
    for device in up.devices.values():
        serves(device, "tiny@6")


def test_a_release_goes_back_by_the_emergency_key_at_the_device(up):
    """Without broker and controller: by a file, and again by a deploy of the
    controller, which lifts nothing."""
    file = os.path.join(up.vault, "back.json")
    up.cli("emergency", "rollback", "--model", "tiny", "--release", "tiny@6",
           "--key", up.private("emergency"), "--to", file)
    for name in NAMES:
        answer = json.loads(up.device(name, "order", "--file", file, "-o",
                                      "json")[1])
        assert [one["outcome"] for one in answer["orders"]] == ["done"]
        serves(up.devices[name], "tiny@5")
    until("drift", lambda: all(
        (m["drift"] or {}).get("kind") == "denied"
        for d in up.ask("device", "list") for m in d["models"]))
    up.cli("emergency", "allow", "--model", "tiny", "--release", "tiny@6",
           "--key", up.private("emergency"), "--to", file, "--publish")
    up.publish_whole("tiny@7", "tiny-v2.Q4_0.gguf", "golden-tiny-v2.json")
    up.roll("tiny@7")
    for device in up.devices.values():
        serves(device, "tiny@7")


def test_a_device_is_stolen(up):
    """It is refused at once; it held no key of the fleet."""
    up.add_device("c", up.token)
    up.online(["c"])
    stolen = os.path.join(up.devices["c"].state, "identity")
    device = up.devices.pop("c")
    device.stop()
    facts = json.load(open(os.path.join(stolen, "identity.json")))
    up.cli("device", "delete", "c", "--confirm", "c")

    host, port = up.broker
    pair = os.path.join(stolen, "device-a.pem")

    def hears_nothing():
        try:  # the broker lets it in, or not, and brings it nothing
            client = Client(host, port, os.path.join(stolen, "ca.pem"), pair,
                            pair, facts["device"])
            client.subscribe("flotilla/v1/test/#")
            up.all_did("unfreeze")
            client.subscribe("flotilla/v1/test/#")  # all before it has come
            client.close()
            return client.messages == [] or Seen(client.messages)
        except (Refused, OSError):
            return True
    until("the broker refuses it", hears_nothing)
    for name in sets.names(stolen):
        name = os.path.join(stolen, name)
        text = open(name, errors="replace").read()
        # device.pem is a link to the pair in use, and no copy of its key.
        assert "PRIVATE KEY" not in text or os.path.realpath(name) == os.path.realpath(pair)
    up.all_have(up.ask("trust", "status")["number"])
    for one in up.devices.values():
        serves(one, "tiny@7")


def test_a_device_without_network_learns_by_bundle(up):
    """A statement and a release by its new key, in one file."""
    name, draft = "b", os.path.join(up.vault, "bundle.json")
    device = up.devices[name]
    device.stop()
    up.cli("key", "create", "publisher-3", "--to", up.vault)
    up.cli("key", "rotate", "release", up.pub("publisher-3"), "--to", draft)
    for key in ("root-a", "root-c"):
        up.cli("trust", "sign", draft, "--key", up.private(key))
    up.cli("trust", "publish", draft)
    number = up.ask("trust", "status")["number"]
    up.key = up.private("publisher-3")
    up.publish_whole("tiny@8", "tiny-v2.1.Q4_0.gguf", "golden-tiny-v2.1.json")
    bundle = os.path.join(up.dir, "tiny8.tar")
    up.cli("bundle", "create", "tiny@8", "--to", bundle)

    up.device(name, "update", "--bundle", bundle)
    device.start()
    up.all_have(number)
    serves(device, "tiny@8")
