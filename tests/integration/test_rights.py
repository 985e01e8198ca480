"""Who may bring what to a device: approvals, change freezes and roles hold
whichever call is used."""
import json

import pytest

from controller_parts import Device, Publisher
from waits import until, wall_ms


@pytest.fixture(scope="module")
def fleet(controller, folder):
    """One device in the lab and one in the shop, on tiny@1.0.0 of three."""
    devices = {group: Device(controller, folder, "in-" + group,
                             controller.enrol_token(group=group)).connect()
               for group in ("lab", "shop")}
    publisher = Publisher(controller, folder)
    digests = [publisher.publish(v) for v in ("1.0.0", "2.0.0", "3.0.0")]
    for device in devices.values():
        report(device, digests)
    devices["digests"] = digests
    until("they report", lambda: all(
        d["models"] for d in controller.ask("GET", "/v1/devices").json[
            "items"]))
    controller.lena = person(controller, "lena", "operator:lab")
    controller.omar = person(controller, "omar", "operator")
    return devices


def report(device, digests, **more):
    serving = {"release": digests[0], "version": "1.0.0", "number": 1}
    device.report(0, [{"model": "tiny", "state": "ready", "execution": None,
                       "serving": serving, "current": serving,
                       "previous": {"release": digests[1],
                                    "version": "2.0.0", "number": 2}}], **more)


def person(controller, name, role):
    assert controller.ask("POST", "/v1/users", {
        "name": name, "role": role}).status == 201
    return controller.ask("POST", "/v1/tokens", {
        "kind": "access", "user": name, "name": "laptop"}).json["token"]


def back(controller, token, **more):
    return controller.ask("POST", "/v1/orders", dict(
        {"op": "rollback", "release": "tiny@1.0.0", "confirm": "tiny@1.0.0"},
        **more), token=token)


def pin(controller, token, name, release):
    return controller.ask("PATCH", "/v1/devices/" + name,
                          {"pins": {"tiny": release}}, token=token)


def is_refused(answer, code):
    assert answer.status >= 400 and answer.json["code"] == code, answer.body


def test_a_rollback_or_a_pin_does_not_pass_the_approval_of_others(
        controller, fleet):
    controller.ask("PUT", "/v1/approvals/lab", {"people": 1})
    to = {"to": "tiny@3.0.0", "device": "in-lab", "yank": False}
    is_refused(back(controller, controller.omar, **to), "order.approval")
    is_refused(back(controller, controller.omar, to="tiny@3.0.0",
                    everywhere=True, yank=False), "order.approval")
    is_refused(pin(controller, controller.omar, "in-lab", "tiny@3.0.0"),
               "order.approval")
    # Another group's devices, and what a device has, need nobody.
    assert pin(controller, controller.omar, "in-shop",
               "tiny@3.0.0").status == 200
    report(fleet["lab"], fleet["digests"], profile={"arch": "x86_64"})
    until("it may be pinned to what it has", lambda: pin(
        controller, controller.omar, "in-lab", "tiny@1.0.0").status == 200)
    # Back to what it served just before: at 3 a.m., alone.
    assert back(controller, controller.omar, **dict(
        to, to="tiny@2.0.0")).status == 202
    controller.ask("DELETE", "/v1/approvals/lab")


def test_nor_a_change_freeze(controller, fleet):
    controller.ask("PUT", "/v1/change-freezes/sale", {
        "group": "lab", "from_ms": wall_ms() - 1000,
        "until_ms": wall_ms() + 3600000})
    to = {"to": "tiny@3.0.0", "device": "in-lab", "yank": False}
    is_refused(back(controller, controller.omar, **to), "fleet.change_freeze")
    is_refused(pin(controller, controller.omar, "in-lab", "tiny@3.0.0"),
               "fleet.change_freeze")
    controller.ask("DELETE", "/v1/change-freezes/sale")
    assert back(controller, controller.omar, **to).status == 202


def members(controller, token, group, **change):
    return controller.ask("POST", f"/v1/groups/{group}/members", change,
                          token=token)


def test_a_device_that_joins_another_groups_rollout_waits_for_its_rule(
        controller, fleet):
    """The rollout of one operator needed nobody, and then gets a device of a
    group that needs another person."""
    shop, token = fleet["shop"], controller.omar
    for name in ("in-lab", "in-shop"):
        assert pin(controller, token, name, None).status == 200
    assert controller.ask("PUT", "/v1/approvals/shop",
                          {"people": 1}).status == 200
    assert controller.ask("POST", "/v1/groups", {"name": "mine"},
                          token=token).status == 201
    assert members(controller, token, "mine", add=["in-lab"]).status == 200
    rollout = controller.ask("POST", "/v1/rollouts", {
        "release": "tiny@3.0.0", "group": "mine", "phases": [
            {"share_pct": 100}]}, token=token)
    assert rollout.status == 201, rollout.body
    path = "/v1/rollouts/" + rollout.json["id"]
    until("the lab is told", lambda: fleet["lab"].was_ordered(
        "deploy", rollout.json["id"]))
    assert members(controller, token, "mine", add=["in-shop"]).status == 200

    def is_told():
        return shop.was_ordered("deploy", rollout.json["id"])
    seen = controller.ask("GET", "/v1/devices/in-shop").json["kept_from"]
    assert [row["rollout"] for row in seen] == [rollout.json["id"]], seen
    assert seen[0]["why"].startswith("awaiting-approval: group shop"), seen
    view = controller.ask("GET", path).json
    assert view["approvals"] == {"needed": 1, "given": []}, view
    assert "1 awaits an approval" in view["next"]["what"], view["next"]
    metric = b'flotilla_rollout_ruled_devices{rollout="%s"' % (
        rollout.json["id"].encode())
    assert metric in controller.ask("GET", "/metrics").body

    # Nor does it come out of the group in which others decide.
    for answer in (members(controller, token, "shop", remove=["in-shop"]),
                   controller.ask("DELETE", "/v1/groups/shop", token=token)):
        is_refused(answer, "order.approval")
    shop.is_heard()
    assert not is_told()
    yes = {"action": "approve"}
    is_refused(controller.ask("POST", path + "/actions", yes, token=token),
               "rollout.approver")
    anna = person(controller, "anna", "operator")
    answer = controller.ask("POST", path + "/actions", yes, token=anna)
    assert answer.status < 300, answer.body
    until("the shop is told", is_told)
    assert controller.ask("GET", "/v1/devices/in-shop").json[
        "kept_from"] == []
    controller.ask("DELETE", "/v1/approvals/shop")


def test_no_label_takes_a_device_from_under_a_rule(controller, fleet):
    token = controller.omar
    assert controller.ask("POST", "/v1/groups", {
        "name": "till", "selector": "label.role=till"},
        token=token).status == 201
    labels = {"labels": {"role": "till"}}
    assert controller.ask("PATCH", "/v1/devices/in-lab", labels,
                          token=token).status == 200
    until("it is in the group", lambda: "till" in controller.ask(
        "GET", "/v1/devices/in-lab").json["groups"])
    controller.ask("PUT", "/v1/approvals/till", {"people": 1})
    other = {"labels": {"role": "desk"}}
    is_refused(controller.ask("PATCH", "/v1/devices/in-lab", other,
                              token=token), "order.approval")
    is_refused(controller.ask("POST", "/v1/labels", dict(
        other, where="name=in-lab"), token=token), "order.approval")
    is_refused(controller.ask("POST", "/v1/labels/batch", {"items": [
        dict(other, device="in-lab")]}, token=token), "order.approval")
    is_refused(controller.ask("PATCH", "/v1/groups/till", {
        "selector": "label.role=desk"}, token=token), "order.approval")
    assert controller.ask("PATCH", "/v1/devices/in-lab", {
        "labels": {"shelf": "5"}}, token=token).status == 200
    # Who makes rules may.
    assert controller.ask("PATCH", "/v1/devices/in-lab", other).status == 200
    controller.ask("DELETE", "/v1/approvals/till")


def test_an_operator_of_a_group_withdraws_nothing_from_others(
        controller, fleet):
    mine = {"device": "in-lab"}
    is_refused(back(controller, controller.lena, yank=True, **mine),
               "rest.role")
    is_refused(back(controller, controller.lena, yank=True, group="lab"),
               "rest.role")
    release = controller.ask("GET", "/v1/releases/tiny@1.0.0").json
    assert release["state"] == "published"
    assert back(controller, controller.lena, yank=False, **mine).status == 202


def test_no_device_is_named_as_another_ones_id(controller, folder, fleet):
    other = fleet["shop"].id
    token = controller.enrol_token()
    rogue = Device(controller, folder, other, token)
    assert rogue.answer.status >= 400, rogue.answer.body
    for taken in (other, other[:-1] + ("0" if other[-1] != "0" else "1")):
        answer = controller.ask("PATCH", "/v1/devices/in-lab", {"name": taken})
        assert answer.status >= 400, answer.body
        assert b"looks like the id" in answer.body, answer.body


def test_a_role_or_a_token_of_a_group_moves_no_device_into_another(
        controller, folder, fleet):
    assert controller.ask("POST", "/v1/groups", {
        "name": "lyon", "selector": "label.site=lyon"}).status == 201
    change = {"labels": {"site": "lyon"}}
    is_refused(controller.ask("PATCH", "/v1/devices/in-lab", change,
                              token=controller.lena), "rest.role")
    assert controller.ask("PATCH", "/v1/devices/in-lab", {
        "labels": {"shelf": "4"}}, token=controller.lena).status == 200
    assert controller.ask("PATCH", "/v1/devices/in-lab", change,
                          token=controller.omar).status == 200

    token = controller.enrol_token(group="lab")
    is_refused(Device(controller, folder, "sly", token,
                      {"site": "lyon"}).answer, "enrol.group")
    assert controller.ask("POST", "/v1/claims", {"items": [
        {"serial": "s-1", "groups": ["shop"]},
        {"serial": "s-2", "groups": ["lab"]}]}).status < 300
    is_refused(Device(controller, folder, "sly", token,
                      serial="s-1").answer, "enrol.group")
    assert Device(controller, folder, "mine", token,
                  serial="s-2").answer.status == 201


def test_labels_of_an_enrolment_are_lines(controller, folder, fleet):
    token = controller.enrol_token()
    for value in ("a\nb", "\x1b[31m"):
        rogue = Device(controller, folder, "rogue", token, {"site": value})
        is_refused(rogue.answer, "rest.schema")


def test_the_audit_shows_no_secret_of_a_webhook(controller, fleet):
    secret = "T0/B0/very-secret"
    made = controller.ask("POST", "/v1/webhooks", {
        "url": "https://hooks.example.com/services/" + secret})
    assert made.status == 201, made.body
    seen = controller.ask("GET", "/v1/audit?order=newest").json["items"]
    assert secret not in json.dumps(seen)
    [row] = [row for row in seen if row["what"] == "webhook.create"]
    assert "hooks.example.com" in json.dumps(row)
