"""A device is asked for its log and its doctor's findings."""
import json
import os
import ssl

import pytest

from controller_parts import BIN, Device
import subprocess
from waits import HANG, HANG_S, same, until


@pytest.fixture(scope="module")
def gateway(controller, folder):
    one = Device(controller, folder, "gw-1", controller.enrol_token())
    return one.connect()


def put(controller, device, order, report, context=None):
    if context is None:
        context = ssl.create_default_context(cafile=controller.ca)
        context.load_cert_chain(device.cert, device.key)
    body = report if isinstance(report, bytes) else json.dumps(report).encode()
    return controller.ask("PUT", "/v1/reports/" + order, body, token="",
                          base=controller.facts["devices"], context=context)


def ask(controller, op, **more):
    answer = controller.ask("POST", "/v1/orders",
                            dict({"op": op, "device": "gw-1"}, **more))
    assert answer.status == 202, answer.body
    return answer.json["id"]


def heard(device, order):
    """The order came by name."""
    return device.client.wait(
        lambda m: m[0].endswith("/cmd") and m[1] and
        order in device_order(m[1]))


def device_order(text):
    import base64
    document = json.loads(text)
    if "order" not in document:
        return ""
    return base64.b64decode(document["order"]["payload"]).decode()


def test_a_log_is_asked_for_sent_and_read(controller, gateway):
    order = ask(controller, "logs", lines=2)
    body = json.loads(device_order(heard(gateway, order)[1]))
    assert body["op"] == "logs" and body["args"]["lines"] == 2
    assert body["scope"] == {"device": gateway.id}
    assert controller.ask("GET", "/v1/reports/" + order).status == 404

    answer = put(controller, gateway, order, {
        "v": 1, "op": "logs", "agent": "0.2.0", "cut_lines": 7,
        "lines": ["one", "two"], "prompt": "never shown"})
    assert answer.status == 201, answer.body
    report = controller.ask("GET", "/v1/reports/" + order).json
    assert report["lines"] == ["one", "two"] and report["cut_lines"] == 7
    assert "prompt" not in report
    assert report["device"] == gateway.id
    assert controller.ask("GET", "/v1/orders/" + order).json["state"] == "done"
    listed = controller.ask("GET", "/v1/devices/gw-1/reports").json["items"]
    assert listed[0]["id"] == order and "lines" not in listed[0]
    audit = controller.ask("GET", "/v1/audit?order=newest&limit=20").json
    assert [a for a in audit["items"]
            if a["what"] == "report.put" and a["object"] == order]


def test_only_the_device_that_was_asked_may_send_and_once(
        controller, gateway, folder):
    other = Device(controller, folder, "gw-2", controller.enrol_token())
    order = ask(controller, "doctor")
    report = {"v": 1, "op": "doctor", "findings": []}
    assert put(controller, other, order, report).status == 404
    nobody = ssl.create_default_context(cafile=controller.ca)
    assert put(controller, other, order, report, nobody).status == 401
    assert put(controller, gateway, "o-99", report).status == 404
    assert controller.ask("PUT", "/v1/reports/" + order, b"{}").status == 404
    bad = put(controller, gateway, order, {"v": 1, "op": "logs"})
    assert bad.status == 400 and bad.json["code"] == "rest.schema"
    large = put(controller, gateway, order, b" " * (256 * 1024 + 1))
    assert large.status == 413, large.body
    assert put(controller, gateway, order, report).status == 201
    assert put(controller, gateway, order, report).status == 409
    # A freeze asks nobody for a report.
    frozen = controller.ask("POST", "/v1/orders", {
        "op": "config", "everywhere": True, "confirm": "test",
        "heartbeat_ms": 1000}).json["id"]
    assert put(controller, gateway, frozen, report).status == 404


def test_a_viewer_reads_no_log_and_asks_for_none(controller, gateway):
    viewer = controller.access("viewer")
    order = ask(controller, "logs")
    put(controller, gateway, order, {"v": 1, "op": "logs", "lines": ["x"]})
    assert controller.ask("GET", "/v1/reports/" + order,
                          token=viewer).status == 403
    assert controller.ask("POST", "/v1/orders", {
        "op": "logs", "device": "gw-1"}, token=viewer).status == 403
    for scope in ({"everywhere": True}, {"group": "all"}):
        answer = controller.ask("POST", "/v1/orders",
                                dict({"op": "doctor"}, **scope))
        assert answer.status == 400, answer.body


def test_the_command_asks_waits_and_prints(controller, gateway, folder):
    token = os.path.join(folder, "token")
    with open(token, "w") as file:
        file.write(controller.token)
    os.chmod(token, 0o600)
    command = subprocess.Popen(
        [os.path.join(BIN, "flotilla"), "--controller", controller.rest,
         "--token-file", token, "device", "doctor", "gw-1", "--timeout", HANG],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    order = command.stderr.readline().split()[-1]
    assert heard(gateway, order)
    put(controller, gateway, order, {
        "v": 1, "op": "doctor", "facts": {"kernel": "avx2", "threads": 4},
        "findings": [{"level": "warn", "what": "3 of 4 cores are taken",
                      "measured": 4.1, "expected": 11.5, "unit": "tokens/s",
                      "fix": "stop other programs"}],
        "lines": ["warn engine \u001b[2J slow"]})
    out, errors = command.communicate(timeout=HANG_S)
    assert command.returncode == 0, errors
    assert "3 of 4 cores are taken" in out and "4.1" in out
    assert "threads: 4" in out and "kernel: avx2" in out
    assert "\x1b" not in out


def test_a_device_that_refuses_says_why(controller, gateway, folder):
    earlier = ask(controller, "logs", lines=5)
    order = ask(controller, "logs")
    assert heard(gateway, order)
    gateway.client.publish(gateway.topic("ack"), json.dumps({
        "v": 1, "order": order, "outcome": "refused",
        "error": {"id": "not.built", "what": "no logs here"}}))

    def outcome(asked):
        return controller.ask("GET", "/v1/orders/" + asked).json["devices"][0]

    def answered():
        one = outcome(order)
        return one["outcome"], (one.get("error") or {}).get("id")
    until("the refusal", lambda: same(answered(), ("refused", "not.built")))
    # Nobody said anything of the other request.
    assert outcome(earlier)["outcome"] == "pending"


def test_a_retired_device_is_asked_for_nothing(controller, folder):
    gone = Device(controller, folder, "gw-9", controller.enrol_token())
    assert controller.ask("DELETE", "/v1/devices/gw-9").status in (200, 204)
    answer = controller.ask("POST", "/v1/orders", {
        "op": "logs", "device": gone.id})
    assert answer.status == 404, answer.body
