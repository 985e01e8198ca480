"""Tokens: their secrets are in no file of the controller's, and what is open
by one ends with it."""
import glob
import http.client
import os
import time

from controller_parts import Device

KEY = {"Idempotency-Key": "k1"}
ACCESS = {"kind": "access", "role": "viewer", "name": "v"}


def test_no_secret_is_in_the_database_or_its_log(controller, folder):
    for number, body in enumerate((ACCESS, {"kind": "enroll", "uses": 2})):
        made = controller.ask("POST", "/v1/tokens", body, headers={
            "Idempotency-Key": "secret-%d" % number})
        assert made.status == 201, made.body
    Device(controller, folder, "gw", made.json["token"])
    files = glob.glob(os.path.join(controller.dir, "*.db*"))
    assert any(name.endswith("control.db-wal") for name in files)
    for name in files:
        with open(name, "rb") as file:
            data = file.read()
        assert b"flt_pat_" not in data and b"flt1." not in data, name


def test_a_secret_is_shown_once_not_again_for_its_key(controller):
    made = controller.ask("POST", "/v1/tokens", ACCESS, headers=KEY)
    count = len(controller.ask("GET", "/v1/tokens").json["items"])
    again = controller.ask("POST", "/v1/tokens", ACCESS, headers=KEY)
    assert (again.status, again.json["code"]) == (409, "state.conflict")
    assert "shown once" in again.json["detail"], again.body
    assert "delete it" in again.json["fix"], again.body
    assert made.json["token"].encode() not in again.body
    assert len(controller.ask("GET", "/v1/tokens").json["items"]) == count
    other = controller.ask("POST", "/v1/tokens", dict(ACCESS, name="w"),
                           headers=KEY)
    assert (other.status, other.json["code"]) == (422, "cmd.nonce_reused")


def stream(controller, token):
    host, port = controller.rest[len("http://"):].split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=10)
    connection.request("GET", "/v1/events", headers={
        "Authorization": "Bearer " + token})
    answer = connection.getresponse()
    assert answer.status == 200
    return answer


def ends_within(answer, seconds):
    begin = time.monotonic()
    answer.read()  # to the end of the stream
    return time.monotonic() - begin < seconds


def test_a_live_stream_ends_with_its_token(controller):
    made, stays = (controller.ask("POST", "/v1/tokens", ACCESS).json
                   for _ in range(2))
    one, other = stream(controller, made["token"]), stream(
        controller, stays["token"])
    assert controller.ask("DELETE", "/v1/tokens/" + made["id"]).status == 200
    assert ends_within(one, 2)
    controller.ask("POST", "/v1/tokens", ACCESS)  # is in the audit: heard
    text = ""
    while "token.create" not in text:
        text = other.readline().decode()
        assert text
    other.close()


def test_a_live_stream_ends_when_its_token_expires(controller):
    made = controller.ask("POST", "/v1/tokens", dict(ACCESS, ttl_ms=1500))
    assert ends_within(stream(controller, made.json["token"]), 4)


def test_an_access_token_that_expired_is_no_token(controller):
    made = controller.ask("POST", "/v1/tokens", dict(ACCESS, ttl_ms=1000))
    token = made.json["token"]
    assert controller.ask("GET", "/v1/devices", token=token).status == 200
    deadline = time.monotonic() + 20
    while controller.ask("GET", "/v1/devices", token=token).status == 200:
        assert time.monotonic() < deadline, "it is taken for ever"
    answer = controller.ask("GET", "/v1/devices", token=token)
    assert (answer.status, answer.json["code"]) == (401, "rest.auth")
