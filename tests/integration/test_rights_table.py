"""Every call that writes, by every role: the rows of routes.def say who may, and
here stands what a call of a role for one group may touch, and which calls bring a
device to a release.  A new row without a word here is red."""
import re

import deftable
import pytest

from controller_parts import Device, Publisher
from waits import until, wall_ms

ROLES = ("viewer", "operator", "releaser", "admin")

# Foreign things, in each call that takes a role for one group.
FOREIGN = {
    "flo_rest_device_edit": ("/v1/devices/in-shop", {"note": "x"}),
    "flo_rest_rollout_start": ("/v1/rollouts", {
        "release": "tiny@2.0.0", "group": "shop"}),
    "flo_rest_rollout_edit": ("/v1/rollouts/%(rollout)s",
                              {"change": {"rate": "60/min"}}),
    "flo_rest_rollout_act": ("/v1/rollouts/%(rollout)s/actions",
                             {"action": "pause"}),
    "flo_rest_order_issue": ("/v1/orders", {
        "op": "rollback", "release": "tiny@1.0.0", "confirm": "tiny@1.0.0",
        "group": "shop", "yank": False}),
}

# Calls that bring a device to a release.  They are refused for a group that asks
# for the word of others, and in a change freeze; a rollout waits instead.
BRINGS = {
    "flo_rest_device_edit": ("/v1/devices/in-lab",
                             {"pins": {"tiny": "tiny@2.0.0"}}),
    "flo_rest_devices_pin": ("/v1/pins", {
        "where": "name=in-lab", "pins": {"tiny": "tiny@2.0.0"}}),
    "flo_rest_order_issue": ("/v1/orders", {
        "op": "rollback", "release": "tiny@1.0.0", "confirm": "tiny@1.0.0",
        "to": "tiny@2.0.0", "device": "in-lab", "yank": False}),
    "flo_rest_rollout_start": ("/v1/rollouts", {
        "release": "tiny@2.0.0", "group": "lab"}),
}
# These bring nothing: they write down, take away, stop, or are of one who holds
# the whole fleet (a device's place and pins go to other hardware).
BRING_NOTHING = """
    flo_rest_enroll flo_rest_renew flo_rest_ca_rotate flo_rest_ca_retire
    flo_rest_device_retire flo_rest_device_replace flo_rest_device_adopt
    flo_rest_device_split
    flo_rest_devices_label
    flo_rest_devices_batch flo_rest_claims_import flo_rest_claims_policy
    flo_rest_claim_delete flo_rest_group_add flo_rest_group_edit
    flo_rest_group_members flo_rest_group_delete flo_rest_collect
    flo_rest_release_add flo_rest_release_publish flo_rest_release_yank
    flo_rest_release_unyank flo_rest_rollout_edit flo_rest_rollout_act
    flo_rest_approval_set flo_rest_approval_delete
    flo_rest_controller_admit flo_rest_controller_dismiss
    flo_rest_clock_confirm
    flo_rest_freeze_set flo_rest_freeze_delete
    flo_rest_token_make flo_rest_token_delete flo_rest_logout
    flo_rest_user_add flo_rest_user_edit flo_rest_user_delete
    flo_rest_trust_publish flo_rest_trust_order_key flo_rest_trust_bundle
    flo_rest_emergency_carry
    flo_rest_emergency_account flo_rest_alert_ack flo_rest_alert_rule_set
    flo_rest_alert_rule_delete flo_rest_alert_silence flo_rest_webhook_add
    flo_rest_webhook_delete flo_rest_deliveries_replay
""".split() + ["flo_rest_%s_%s" % (row[0], verb) for row in deftable.rows(
    "server-stub/core/records/records.def", "FLO_RECORD")
               for verb in ("set", "remove")]


def rows():
    """(method, path, least role, flags, handler) of each call that writes."""
    found = [(method, path, access.lower(), flags.split(" | "), handler)
             for method, path, access, flags, handler, *_ in deftable.rows(
                 "server-stub/rest/routes.def", "FLO_REST_ROUTE")]
    return [row for row in found if "WRITE" in row[3]]


def test_each_call_that_writes_has_its_word():
    handlers = {row[4] for row in rows()}
    assert len(handlers) > 40
    assert handlers == set(BRINGS) | set(BRING_NOTHING)
    assert not set(BRINGS) & set(BRING_NOTHING)
    assert {row[4] for row in rows() if "SCOPED" in row[3]} == set(FOREIGN)


@pytest.fixture(scope="module")
def fleet(controller, folder):
    """A device in the lab and one in the shop, on tiny@1.0.0 of two."""
    publisher = Publisher(controller, folder)
    digests = [publisher.publish(v) for v in ("1.0.0", "2.0.0")]
    for group in ("lab", "shop"):
        device = Device(controller, folder, "in-" + group,
                        controller.enrol_token(group=group)).connect()
        serving = {"release": digests[0], "version": "1.0.0", "number": 1}
        device.report(0, [{"model": "tiny", "state": "ready",
                           "execution": None, "serving": serving,
                           "current": serving}])
    until("they report", lambda: [d["models"] != [] for d in controller.ask(
        "GET", "/v1/devices").json["items"]] == [True, True])
    return controller.ask("POST", "/v1/rollouts", {
        "release": "tiny@2.0.0", "group": "shop",
        "phases": [{"share_pct": 100, "soak_ms": 3600000}]}).json["id"]


def token_of(controller, role):
    return controller.ask("POST", "/v1/tokens", {
        "kind": "access", "role": role, "name": role.replace(":", "-")}).json[
            "token"]


def concrete(path):
    return re.sub(r"\{\w+\}", "nothing", path)


def test_who_may_less_than_a_row_says_is_refused(controller, fleet):
    wrong = []
    enrol = controller.enrol_token()
    tokens = {role: token_of(controller, role) for role in
              ROLES + ("auditor", "operator:lab")}
    for method, path, least, flags, handler in rows():
        if least == "none":
            continue
        rank = ROLES.index(least)
        for role, token in tokens.items():
            name = role.split(":")[0]
            may = name in ROLES and ROLES.index(name) >= rank
            if role == "auditor":
                may = least == "viewer"
            if role == "operator:lab" and "SCOPED" not in flags:
                may = least == "viewer"
            if may:
                continue
            answer = controller.ask(method, concrete(path), {}, token=token)
            if (answer.status, answer.json["code"]) != (403, "rest.role"):
                wrong.append((role, method, path, answer.status, answer.body))
        for token in ("", enrol):
            answer = controller.ask(method, concrete(path), {}, token=token)
            if answer.status != 401:
                wrong.append(("nobody", method, path, answer.status))
    assert wrong == []


def test_a_role_for_a_group_changes_nothing_of_another(controller, fleet):
    token = token_of(controller, "operator:lab")
    methods = {row[4]: row[0] for row in rows()}
    for handler, (path, body) in FOREIGN.items():
        answer = controller.ask(methods[handler], path % {"rollout": fleet},
                                body, token=token)
        assert (answer.status, answer.json["code"]) == (403, "rest.role"), (
            handler, answer.body)


def is_held(answer, handler, code):
    """Refused, or left out of many, or a rollout that waits."""
    if handler == "flo_rest_rollout_start":
        return answer.status == 201 and answer.json["state"] in (
            "awaiting-approval", "scheduled", "waiting") or \
            answer.json.get("code") == code
    if handler == "flo_rest_devices_pin":
        return [one["id"] for one in answer.json["refused"]] == [code]
    return answer.status >= 400 and answer.json["code"] == code


@pytest.mark.parametrize("kind", ["approval", "freeze"])
def test_what_brings_a_release_asks_as_a_rollout_does(controller, fleet, kind):
    path, body, code = ("/v1/approvals/lab", {"people": 1}, "order.approval")
    if kind == "freeze":
        path, body, code = ("/v1/change-freezes/sale", {
            "group": "lab", "from_ms": wall_ms() - 1000,
            "until_ms": wall_ms() + 3600000}, "fleet.change_freeze")
    assert controller.ask("PUT", path, body).status < 300
    methods = {row[4]: row[0] for row in rows()}
    token = token_of(controller, "operator")
    for handler, (where, what) in BRINGS.items():
        answer = controller.ask(methods[handler], where, what, token=token)
        assert is_held(answer, handler, code), (handler, answer.status,
                                                answer.body)
    for rollout in controller.ask("GET", "/v1/rollouts").json["items"]:
        if rollout["group"] == "lab":
            controller.ask("POST", "/v1/rollouts/%s/actions" % rollout["id"],
                           {"action": "abort"})
    assert controller.ask("DELETE", path).status < 300
