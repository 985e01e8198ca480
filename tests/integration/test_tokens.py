"""Tokens: their secrets are in no file of the controller's."""
import glob
import os

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
