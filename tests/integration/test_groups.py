"""A fleet that changes: labels, selectors, groups, assignments, and what a
device believes of them."""
import base64
import json
import os
import ssl
import subprocess

import pytest

from controller_parts import BIN, Device, Publisher, start
from waits import HANG_S, same, until


@pytest.fixture(scope="module")
def publisher(controller, folder):
    return Publisher(controller, folder)


@pytest.fixture(scope="module")
def devices(controller, folder):
    token = controller.enrol_token()
    made = {}
    for name, labels in (("gw-1", {"hw": "rpi5", "site": "lyon"}),
                         ("gw-2", {"hw": "rpi5", "site": "nantes"}),
                         ("gw-10", {"hw": "n100"})):
        made[name] = Device(controller, folder, name, token, labels).connect()
    until("three online", lambda: names(controller, "state=online") ==
          ["gw-1", "gw-2", "gw-10"])
    yield made
    for device in made.values():
        device.client.close()


@pytest.fixture(scope="module")
def cli(controller):
    token = controller.facts["token"]

    def call(*words, code=0, stdin=None):
        done = subprocess.run(
            [os.path.join(BIN, "flotilla"), "--controller", controller.rest,
             "--token-file", token, *words], capture_output=True, text=True,
            input=stdin, timeout=HANG_S)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr
    return call


def ask(controller, method, path, body=None, status=200):
    answer = controller.ask(method, path, body)
    assert answer.status == status, answer.body
    return answer.json


def where(text, **more):
    words = dict(more, where=text)
    from urllib.parse import urlencode
    return "/v1/devices?" + urlencode(words)


def names(controller, text, **more):
    more.setdefault("sort", "name")
    return [d["name"] for d in
            ask(controller, "GET", where(text, **more))["items"]]


# ---- which devices ----

def test_a_selector_says_which_devices_are_meant(controller, devices):
    assert names(controller, "hw=rpi5 and site in (lyon,nantes)") == \
        ["gw-1", "gw-2"]
    assert names(controller, "not site") == ["gw-10"]
    assert names(controller, "arch=x86_64 and cores=2", sort="-name") == \
        ["gw-10", "gw-2", "gw-1"]
    page = ask(controller, "GET", where("hw", sort="name", limit=2,
                                        fields="name,labels.hw"))
    assert page["items"] == [{"name": "gw-1", "labels": {"hw": "rpi5"}},
                             {"name": "gw-2", "labels": {"hw": "rpi5"}}]
    assert page["total"] == 3
    rest = ask(controller, "GET", where("hw", sort="name", limit=2,
                                        cursor=page["next"]))
    assert [d["name"] for d in rest["items"]] == ["gw-10"]
    assert rest["next"] is None


def test_a_word_with_a_typing_error_selects_nobody_in_silence(controller,
                                                              devices, cli):
    problem = ask(controller, "GET", where("hw=rpi5 and memroy>1GiB"),
                  status=422)
    assert problem["code"] == "rest.selector"
    assert "column 13" in problem["detail"]
    assert "nearest: `memory`" in problem["detail"]
    said = cli("device", "list", "-l", "statee=online", code=2)
    assert "nearest: `state`" in said
    assert ask(controller, "GET", where("hw", fields="nmae"),
               status=422)["fix"] == "did you mean `name`?"
    assert ask(controller, "GET", where("hw", sort="nmae"),
               status=422)["code"] == "rest.selector"


# ---- labels, notes ----

def test_labels_change_for_one_for_many_and_by_a_file(controller, devices,
                                                      cli):
    cli("device", "label", "gw-1", "rack=r-7", "site-")
    assert ask(controller, "GET", "/v1/devices/gw-1")["labels"] == \
        {"hw": "rpi5", "rack": "r-7"}
    said = cli("device", "label", "--where", "hw=rpi5", "--dry-run", "wave=1")
    assert "2 devices" in said and names(controller, "label.wave") == []
    assert "2 of 2" in cli("device", "label", "-l", "hw=rpi5", "wave=1")
    assert "0 of 2" in cli("device", "label", "-l", "hw=rpi5", "wave=1")
    assert names(controller, "wave=1") == ["gw-1", "gw-2"]
    said = cli("device", "label", "--file", "-",
               stdin='name,site,wave\ngw-1,"lyon",-\n\ngw-10,,2\n')
    assert "2 of 2" in said
    assert names(controller, "site=lyon or wave=2") == ["gw-1", "gw-10"]
    assert names(controller, "wave=1") == ["gw-2"]
    records = ask(controller, "GET", "/v1/audit?order=newest&limit=3")["items"]
    assert {r["what"] for r in records} == {"device.label"}
    assert "gw-10" in records[0]["detail"]


def test_a_bad_label_changes_nothing(controller, devices, cli):
    before = ask(controller, "GET", "/v1/devices/gw-1")["labels"]
    for labels in ({"Upper": "x"}, {"x": 5}, {"x": "y" * 257}, {"x": "a\nb"}):
        ask(controller, "PATCH", "/v1/devices/gw-1", {"labels": labels}, 400)
    ask(controller, "PATCH", "/v1/devices/gw-1",
        {"labels": {"x%d" % i: "y" for i in range(70)}}, 422)
    ask(controller, "POST", "/v1/labels/batch", {
        "items": [{"device": "gw-1", "labels": {"x": "y"}},
                  {"device": "none", "labels": {"x": "y"}}]}, 404)
    assert ask(controller, "GET", "/v1/devices/gw-1")["labels"] == before
    cli("device", "label", "gw-1", "=x", code=2)
    cli("device", "label", "--file", "-", stdin="site\nlyon\n", code=2)


def test_notes_pins_and_maintenance_are_kept(controller, devices, publisher,
                                             cli):
    publisher.publish("1.0.0")
    cli("device", "set", "gw-2", "--note", "fan is loud", "--maintenance",
        "new fan", "--pin", "tiny@1.0.0")
    device = ask(controller, "GET", "/v1/devices/gw-2")
    assert (device["note"], device["maintenance"], device["pins"]) == \
        ("fan is loud", "new fan", {"tiny": "tiny@1.0.0"})
    assert names(controller, "maintenance and pinned=tiny@1.0.0") == ["gw-2"]
    assert "1.0.0" in json.dumps(devices["gw-2"].order("deploy")[1])
    assert "pinned to tiny@1.0.0, runs none: on-its-way" in \
        cli("device", "get", "gw-2")
    assert "0 of 1 device changed" in cli(
        "device", "pin", "--where", "pinned=tiny@1.0.0", "tiny@1.0.0")
    assert cli("device", "set", "gw-2", "--pin", "tiny@9", code=3)
    cli("device", "set", "gw-2", "--note", "", "--maintenance", "off",
        "--name", "gw-3")
    cli("device", "unpin", "gw-3", "tiny")
    assert devices["gw-2"].desired(lambda d: d["assignments"] == [])
    device = ask(controller, "GET", "/v1/devices/gw-3")
    assert (device["note"], device["maintenance"], device["pins"]) == \
        ("", None, {})
    cli("device", "set", "gw-3", "--name", "gw-1", code=5)
    cli("device", "set", "gw-3", "--name", "gw-2")


# ---- groups ----

def members(controller, group):
    return names(controller, "group=" + group)


def stated(device):
    """The statement about groups of its desired; a device verifies it."""
    document = device.desired(lambda d: "groups" in d)
    return json.loads(base64.b64decode(document["groups"]["payload"]))


def test_named_devices_join_and_leave_a_group(controller, devices, cli):
    said = cli("group", "create", "lab", "--note", "the bench", "--priority",
               "200")
    assert "group lab is made" in said
    cli("group", "create", "lab", code=5)
    cli("group", "create", "all", code=5)
    assert "2 of 2 devices joined lab" in cli("group", "add", "lab", "gw-1",
                                              "gw-10")
    assert "1 of 2" in cli("group", "add", "lab", "--where", "hw=rpi5")
    assert members(controller, "lab") == ["gw-1", "gw-2", "gw-10"]
    assert "2 of 2" in cli("group", "remove", "lab", "--file", "-",
                           stdin="name,rack\ngw-1,7\ngw-2,8\n")
    assert members(controller, "lab") == ["gw-10"]
    devices["gw-10"].report(1)
    body = stated(devices["gw-10"])
    assert (body["op"], body["args"]) == ("groups", {"groups": ["all", "lab"]})
    assert body["scope"] == {"device": devices["gw-10"].id}
    devices["gw-10"].report(2, groups=["lab", "all"])
    assert devices["gw-10"].desired(lambda d: "groups" not in d and
                                    d["rev"] > 1)
    table = cli("group", "list")
    assert "lab " in table and "static" in table and "the bench" in table
    assert "gw-10" in cli("group", "get", "lab")
    cli("group", "get", "nowhere", code=3)
    cli("group", "add", "lab", "gw-1", "none", code=3)
    assert members(controller, "lab") == ["gw-10"]
    records = ask(controller, "GET", "/v1/audit?order=newest&limit=1")["items"]
    assert (records[0]["what"], records[0]["object"]) == \
        ("group.members", "/v1/groups/lab/members")


def test_a_group_by_selector_follows_the_labels(controller, devices, cli):
    cli("group", "create", "rpis", "--where", "hw=rpi5 and not group=lab")
    until("both", lambda: members(controller, "rpis") == ["gw-1", "gw-2"])
    cli("group", "add", "lab", "gw-1")
    until("one leaves", lambda: members(controller, "rpis") == ["gw-2"])
    cli("group", "remove", "lab", "gw-1")
    cli("device", "label", "gw-10", "hw=rpi5")
    until("one joins", lambda: members(controller, "rpis") == ["gw-1",
                                                           "gw-2"])
    cli("group", "set", "rpis", "--where", "hw=rpi5")
    until("all", lambda: members(controller, "rpis") ==
          ["gw-1", "gw-2", "gw-10"])
    cli("device", "label", "gw-10", "hw=n100")
    until("again", lambda: members(controller, "rpis") == ["gw-1", "gw-2"])
    cli("group", "add", "rpis", "gw-10", code=5)
    cli("group", "create", "x", "--where", "group=rpis", code=2)
    cli("group", "create", "x", "--where", "hww=rpi5", code=2)
    ask(controller, "POST", "/v1/tokens", {"kind": "enroll", "group": "rpis"},
        409)


def test_the_plan_for_a_group_asks_its_devices_alone(controller, devices, cli,
                                                     publisher):
    publisher.publish("1.5.0")
    cli("group", "create", "two", "--where", "hw=rpi5")
    until("both", lambda: members(controller, "two") == ["gw-1", "gw-2"])
    plan = ask(controller, "POST", "/v1/rollouts?dry_run=true", {
        "release": "tiny@1.5.0", "group": "two",
        "phases": [{"share_pct": 100}]})["plan"]
    assert plan["devices"] == 2, plan
    assert {item["name"] for item in plan["items"]} == {"gw-1", "gw-2"}, plan
    cli("group", "delete", "two", "--confirm", "two")
    until("it is gone", lambda: "two" not in [
        one["name"] for one in ask(controller, "GET", "/v1/groups")["items"]])


def test_a_change_of_a_group_can_ask_for_the_state_it_has_seen(controller,
                                                               devices, cli):
    answer = controller.ask("GET", "/v1/groups/lab")
    stale = controller.ask("PATCH", "/v1/groups/lab", {"note": "x"},
                           headers={"If-Match": '"0"'})
    assert stale.status == 412, stale.body
    fresh = controller.ask("PATCH", "/v1/groups/lab", {"note": "x"}, headers={
        "If-Match": answer.headers["ETag"]})
    assert fresh.status == 200 and fresh.json["note"] == "x"
    first = ask(controller, "GET", "/v1/groups?limit=1")
    assert [g["name"] for g in first["items"]] == ["lab"]
    rest = ask(controller, "GET", "/v1/groups?limit=1&cursor=" + first["next"])
    assert ([g["name"] for g in rest["items"]], rest["next"]) == \
        (["rpis"], None)


def test_a_deleted_group_lets_its_devices_go(controller, devices, cli):
    cli("group", "delete", "rpis", "--confirm", "rpis")
    cli("group", "delete", "lab", "--confirm", "lab")
    until("both are gone", lambda: ask(
        controller, "GET", "/v1/groups")["items"] == [])
    until("it is let go", lambda: same(ask(
        controller, "GET", "/v1/devices/gw-10")["groups"], ["all"]))


# ---- what a device may fetch ----

def fetch(controller, device, what):
    context = ssl.create_default_context(cafile=controller.ca)
    context.load_cert_chain(device.cert, device.key)
    return controller.ask("GET", what, token="", context=context,
                          base=controller.facts["devices"])


def test_a_device_fetches_what_it_was_offered_and_nothing_else(
        controller, devices, publisher, cli):
    data = b"weights of the lab"
    release = publisher.publish("7.0.0", data)
    blob = "/v1/blobs/" + publisher.document("7.0.0", data)[1]
    envelope = "/v1/envelopes/" + release
    cli("group", "create", "offered")
    cli("group", "add", "offered", "gw-1")
    mine, other = devices["gw-1"], devices["gw-2"]
    for device in (mine, other):
        for what in (blob, envelope):
            refused = fetch(controller, device, what)
            assert (refused.status, refused.json["code"]) == \
                (403, "blob.not_offered")
    rollout = start(controller, "tiny@7.0.0", group="offered",
                    phases=[{"share_pct": 100}])["id"]
    assert fetch(controller, mine, blob).body == data
    assert fetch(controller, mine, envelope).status == 200
    for what in (blob, envelope, "/v1/blobs/" + release):
        assert fetch(controller, other, what).status == 403
    # Taken from it, it may still be repaired from here.
    cli("rollout", "abort", rollout)
    assert fetch(controller, mine, blob).body == data
    told = [r for r in ask(controller, "GET",
                           "/v1/audit?order=newest&limit=50")["items"]
            if r["what"] == "blob.get"]
    assert {r["who"] for r in told} == {"device " + mine.id,
                                        "device " + other.id}
    assert len(told) == 2 and told[0]["result"] == "blob.not_offered"


# ---- other hardware in the place of a device ----

def test_new_hardware_takes_the_place_of_a_device(
        controller, devices, publisher, folder, tmp_path, cli):
    release = publisher.publish("8.0.0", b"for the till")
    blob = "/v1/blobs/" + publisher.document("8.0.0", b"for the till")[1]
    cli("group", "create", "tills")
    cli("group", "add", "tills", "gw-10")
    cli("device", "set", "gw-10", "--note", "behind the till")
    start(controller, "tiny@8.0.0", group="tills",
          phases=[{"share_pct": 100}])
    old = devices["gw-10"]
    assert fetch(controller, old, blob).status == 200
    taken = Device(controller, str(tmp_path), "gw-10",
                   controller.enrol_token())
    assert "flotilla device replace gw-10 NEW" in taken.answer.json["fix"]
    new = Device(controller, folder, "new-10", controller.enrol_token(),
                 {"mac": "02:10"}).connect()
    assert fetch(controller, new, blob).status == 403

    said = cli("device", "replace", "gw-10", "new-10", "--confirm", "gw-10",
               "--reason", "CHG-9")

    assert said == "gw-10 is the new device now, id %s\n" % new.id
    now = ask(controller, "GET", "/v1/devices/gw-10")
    assert (now["id"], now["replaces"]) == (new.id, old.id)
    assert (now["note"], now["groups"]) == ("behind the till",
                                            ["all", "tills"])
    assert (now["labels"]["hw"], now["labels"]["mac"]) == ("n100", "02:10")
    assert "took the place of: " + old.id in cli("device", "get", "gw-10")
    gone = ask(controller, "GET", "/v1/devices/" + old.id)
    assert (gone["state"], gone["replaced_by"]) == ("retired", new.id)
    # Its certificate is refused; the new one is told and may fetch.
    refused = fetch(controller, old, blob)
    assert (refused.status, refused.json["code"]) == (403, "rest.role")
    until("it may fetch", lambda: fetch(
        controller, new, "/v1/envelopes/" + release).status == 200)
    told = [r for r in ask(controller, "GET",
                           "/v1/audit?order=newest&limit=50")["items"]
            if r["what"] == "device.replace"]
    assert len(told) == 1 and "CHG-9" in told[0]["detail"]
    cli("device", "replace", "gw-2", "gw-10", "--confirm", "gw-2", code=5)
    new.client.close()


def test_a_prepared_serial_number_says_who_a_device_is(controller, folder, cli):
    token = controller.enrol_token()

    def comes(name, serial):
        device = Device(controller, folder, name, token, serial=serial)
        return device.answer.status, device.answer.json.get("code")
    cli("claim", "import", "-", stdin="serial,name,group,note,site\n"
        "SN-0001,till-1,tills,by the door,lyon\n")
    assert comes("raw-1", "sn-0001")[0] == 201
    till = ask(controller, "GET", "/v1/devices/till-1")
    assert (till["groups"], till["note"], till["labels"]) == \
        (["all", "tills"], "by the door", {"site": "lyon"})
    assert comes("raw-2", "SN-0001") == (403, "enrol.claimed")
    cli("claim", "policy", "wait")
    assert comes("raw-3", "SN-0002") == (403, "enrol.waiting")
    assert {c["serial"]: c["state"] for c in
            ask(controller, "GET", "/v1/claims")["items"]} == \
        {"sn-0001": "claimed", "sn-0002": "waiting"}
    cli("claim", "policy", "refuse")
    assert comes("raw-4", "SN-0003") == (403, "enrol.serial")
    cli("claim", "policy", "open")
    cli("claim", "remove", "sn-0002")
    cli("device", "delete", "till-1", "--confirm", "till-1")
    assert comes("raw-5", "SN-0001")[0] == 201
