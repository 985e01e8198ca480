"""The first trust statement: who may choose the root of a fleet, and who not."""
import hashlib
import json
import os
import tarfile
import tempfile

import pytest

import fleet as F
import sets
from bad_parts import controllers_place, expect, refused
from conftest import Small
from controller_parts import (TRUST, body_of, canonical, make_key, public_of,
                              sign)
from waits import Seen, same, until

OLD = os.path.join(os.path.dirname(os.path.abspath(__file__)), "old")


def keys(fleet, name):
    return os.path.join(fleet.dir, "keys", name)


def statement_of_a_thief(fleet, number):
    """His own root and order key; the publisher, whose key he has, signs."""
    root = os.path.join(fleet.dir, "thief.key")
    public = make_key(root)
    body = {"v": 1, "fleet": "test", "number": number, "epoch": 2,
            "root": {"threshold": 1, "keys": [public]},
            "keys": [{"pem": make_key(root + ".order"), "role": "order"},
                     {"pem": public_of(fleet.key), "role": "release"}]}
    both = [json.loads(sign(body, key, TRUST)) for key in (root, fleet.key)]
    both[0]["signatures"] = sorted(
        (one["signatures"][0] for one in both), key=lambda s: s["keyid"])
    return both[0]


def stored(fleet, statement):
    path = os.path.join(fleet.dir, "thief.json")
    with open(path, "wb") as file:
        file.write(canonical(statement))
    return path


def take_over(fleet, statement):
    """By the broker: a topic that every device hears."""
    with controllers_place(fleet) as thief:
        thief.publish("flotilla/v1/test/c/trust", json.dumps(
            {"v": 1, "number": 9, "statements": [statement]}))


def trusted(device):
    with open(os.path.join(device.state, "identity", "trust.json"),
              encoding="utf-8") as file:
        return json.load(file)


def number_at(device):
    held = trusted(device)
    return json.loads(body_of(json.dumps(held)))["number"] \
        if "payload" in held else 1


def obeys(fleet):
    """Whatever was published before came before it."""
    for op in ("freeze", "unfreeze"):
        order = fleet.ask("rollout", op, "--confirm", "test")["id"]
        until("%s by all" % op, lambda: same(
            fleet.ask("order", "get", order)["done"], len(fleet.devices)))


def all_have(fleet, number):
    def have():
        return same(fleet.ask("trust", "status")["numbers"], [
            {"number": number, "devices": len(fleet.devices)}])
    until("statement %d everywhere" % number, have)


# ---- a new fleet ----

@pytest.fixture(scope="module")
def fresh(folder, bin_dir):
    one = Small(tempfile.mkdtemp(dir=folder), bin_dir, name="test")
    one.start_controller()
    one.login()
    one.token = os.path.join(one.dir, "enroll.token")
    one.cli("token", "create", "--kind", "enroll", "--uses", "9", "--to",
            one.token, "-q")
    yield one
    one.close()


def test_no_device_enrols_before_the_fleet_has_a_root(fresh):
    device = F.Device(fresh, "a")
    fresh.devices["a"] = device
    with pytest.raises(F.Failed) as why:
        device.enroll(fresh.token)
    assert "error[trust.none]" in str(why.value)
    assert "flotilla key trust" in str(why.value)

    fresh.key = keys(fresh, "publisher.key")
    fresh.cli("key", "create", "publisher", "--to", keys(fresh, ""))
    _, out, _ = fresh.cli("key", "trust", keys(fresh, "publisher.pub"))
    assert "flotilla key move " in out and "root.key" in out
    assert os.stat(keys(fresh, "root.key")).st_mode & 0o777 == 0o600
    device.enroll(fresh.token)
    assert number_at(device) == 2
    device.start()
    fresh.online(["a"])
    all_have(fresh, 2)
    # Said once more, it changes nothing.
    _, out, _ = fresh.cli("key", "trust", keys(fresh, "publisher.pub"))
    assert "statement 2" in out and "key move" not in out


def test_a_root_never_lies_on_the_controller(fresh):
    with open(keys(fresh, "root.key"), encoding="ascii") as file:
        secret = file.read().split("\n")[1]
    for path, data in sets.files(os.path.join(fresh.dir, "controller")):
        assert secret.encode() not in data, path


def test_the_root_goes_to_a_stick_and_adds_a_publisher_from_there(fresh):
    stick = os.path.join(fresh.dir, "stick")
    os.mkdir(stick)
    expect(fresh.cli("key", "move", keys(fresh, "nobody"), "--to", stick,
                     check=False), 3, "absent")
    fresh.cli("key", "move", keys(fresh, "root"), "--to", stick)
    assert not os.path.exists(keys(fresh, "root.key"))
    assert sets.names(stick) == ["root.key", "root.txt"]
    assert os.stat(os.path.join(stick, "root.key")).st_mode & 0o777 == 0o600
    with open(os.path.join(stick, "root.txt"), encoding="utf-8") as file:
        assert "--root " + os.path.join(stick, "root.key") in file.read()

    fresh.cli("key", "create", "second", "--to", keys(fresh, ""))
    done = fresh.cli("key", "trust", keys(fresh, "second.pub"), check=False)
    expect(done, 3, "absent")
    assert "--root" in done[2]
    assert not os.path.exists(keys(fresh, "root.key"))
    # A key that is no root of this fleet changes nothing.
    refused(fresh, 7, "trust.threshold", "flotilla", "key", "trust",
            keys(fresh, "second.pub"), "--root", keys(fresh, "second.key"))
    fresh.cli("key", "trust", keys(fresh, "second.pub"), "--root",
              os.path.join(stick, "root.key"))
    all_have(fresh, 3)
    roles = [key["role"] for key in fresh.ask("key", "list")]
    assert sorted(roles) == ["order", "release", "release", "root"]


def test_a_publishers_key_and_the_broker_change_no_root(fresh):
    device = fresh.devices["a"]
    before = trusted(device)
    thief = statement_of_a_thief(fresh, 4)
    take_over(fresh, thief)
    obeys(fresh)
    assert trusted(device) == before
    until("it is told", lambda: "trust.threshold" in json.dumps(
        fresh.ask("device", "get", "a", "--timeline")))
    # Somebody is told, with both digests.
    held = "sha256:" + hashlib.sha256(body_of(json.dumps(before))).hexdigest()
    until("the alert", lambda: [
        a for a in fresh.ask("alert", "list") if a["rule"] == "trust-refused"
        and a["series"].endswith("held " + held)] or
        Seen(fresh.ask("alert", "list")))
    path = stored(fresh, thief)
    refused(fresh, 7, "trust.threshold", "flotilla", "trust", "publish", path)
    refused(fresh, 7, "trust.threshold", "flotilla-agent", "trust", "--config",
            device.config, "--file", path)
    assert trusted(device) == before


# ---- a fleet from before root keys ----

class Old(Small):
    """The data and state folders that the programs of c9fbdcd3 wrote
    (old/README.md), run by the programs of today."""

    def bring_up(self):
        self.run += "-old"  # the fresh fleet has a device of that name, too
        os.makedirs(self.run)
        with tarfile.open(os.path.join(OLD, "c9fbdcd3.tar.gz")) as file:
            file.extractall(self.dir)
        os.chmod(os.path.join(self.dir, "controller"), 0o700)
        self.key = keys(self, "publisher.key")
        self.start_controller()
        self.login()
        device = self.devices["a"] = F.Device(self, "a")
        device.write_config("controller: %s\nbroker: mqtts://127.0.0.1:%d\n" %
                            (self.devices_url, self.ports[2]))
        device.start()
        self.online(["a"])
        return self


@pytest.fixture(scope="module")
def old(folder, bin_dir):
    one = Old(tempfile.mkdtemp(dir=folder), bin_dir, name="test")
    yield one.bring_up()
    one.close()


def test_an_old_fleet_runs_on_and_takes_no_root_from_the_broker(old):
    device = old.devices["a"]
    before = trusted(device)
    assert "payload" not in before
    obeys(old)
    thief = statement_of_a_thief(old, 2)
    take_over(old, thief)
    obeys(old)
    path = stored(old, thief)
    refused(old, 7, "trust.first", "flotilla-agent", "trust", "--config",
            device.config, "--file", path)
    assert trusted(device) == before


def test_an_old_fleet_enrols_nobody_more_before_it_has_a_root(old):
    token = os.path.join(old.dir, "enroll.token")
    old.cli("token", "create", "--kind", "enroll", "--to", token, "-q")
    with pytest.raises(F.Failed) as why:
        F.Device(old, "b").enroll(token)
    assert "error[trust.none]" in str(why.value)


def test_an_old_fleet_gets_its_root_from_publisher_and_controller(old):
    device = old.devices["a"]
    # The controller's disk alone has no publisher's signature.
    hidden = old.key + ".away"
    os.rename(old.key, hidden)
    done = old.cli("key", "trust", keys(old, "publisher.pub"), check=False)
    expect(done, 3, "absent")
    assert "--sign-with" in done[2]
    old.cli("key", "trust", keys(old, "publisher.pub"), "--sign-with", hidden)
    os.rename(hidden, old.key)
    all_have(old, 2)
    assert number_at(device) == 2
    obeys(old)
    old.publish_whole("tiny@1", "tiny-v2.Q4_0.gguf", "golden-tiny-v2.json")
    old.roll("tiny@1")
    until("it serves", lambda: old.serving("tiny@1") or Seen(
        old.ask("device", "list")))
