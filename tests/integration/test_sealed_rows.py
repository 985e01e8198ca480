"""Rows of rights that somebody writes into the controller's tables give none:
each bears a seal by a key that is in no table."""
import contextlib
import hashlib
import os
import sqlite3
import subprocess

import pytest

from controller_parts import BIN, Controller
from waits import HANG_S, until, wall_ms

MARKER = os.path.join("keys", "rows.sealed")


@pytest.fixture
def controller(tmp_path):
    one = Controller(str(tmp_path)).start()
    yield one
    one.stop()


def sql(controller, text, *values):
    """As whoever can write to the database does it."""
    with contextlib.closing(sqlite3.connect(
            os.path.join(controller.dir, "control.db"), timeout=HANG_S)) as db:
        with db:
            return db.execute(text, values).fetchall()


def forge(controller, number, role="admin"):
    """A row of a token, made by hand; its text."""
    token_id = "%012x" % number
    text = "flt_pat_%s_%064x" % (token_id, number)
    sql(controller, "INSERT INTO token (id, kind, name, role, grp, secret,"
        " uses, created_at, expires_at) VALUES (?, 'access', 'x', ?, '', ?, 0,"
        " ?, 0)", token_id, role, hashlib.sha256(text.encode()).digest(),
        wall_ms())
    return text


def status(controller, token):
    return controller.ask("GET", "/v1/users", token=token).status


def records(controller, what):
    return [record for record in controller.ask(
        "GET", "/v1/audit").json["items"] if record["what"] == what]


def is_told(controller, what):
    line = 'flotilla_foreign{kind="row",what="%s"} 1' % what
    return line in controller.ask(
        "GET", "/metrics", token="").body.decode().split("\n")


def again(controller, *more):
    controller.stop()
    controller.start(*more)


def checked(controller, *more):
    """The program opens the folder and ends."""
    done = subprocess.run(
        [os.path.join(BIN, "flotilla-controller"), "--data", controller.dir,
         "--check", *more], capture_output=True, text=True, timeout=HANG_S)
    assert done.returncode == 0, done.stderr
    return done.stderr


def test_a_token_that_was_put_by_hand_is_none(controller):
    """While the controller runs, and while it does not."""
    running = forge(controller, 1)
    assert status(controller, running) == 401
    controller.stop()
    stopped = forge(controller, 2)
    controller.start()
    assert [status(controller, token) for token in
            (running, stopped, controller.token)] == [401, 401, 200]
    until("both are alerts", lambda: all(is_told(
        controller, "token %012x" % number) for number in (1, 2)))
    shown = {token["id"]: token["sealed"] for token in controller.ask(
        "GET", "/v1/tokens").json["items"]}
    assert [shown.pop("%012x" % number) for number in (1, 2)] == [False] * 2
    assert all(shown.values()) and len(shown) == 1
    for _ in range(3):
        status(controller, running)
    assert len([record for record in records(controller, "row.unsealed")
                if record["object"] == "token %012x" % 2]) == 1
    assert controller.ask(
        "DELETE", "/v1/tokens/%012x" % 1).status == 200
    assert controller.ask("GET", "/v1/audit/verify").json["ok"]


def test_a_row_that_was_changed_loses_its_rights(controller):
    seal = sql(controller, "SELECT seal FROM token")[0][0]
    tokens = [controller.access("viewer") for _ in range(3)]
    ids = [token.split("_")[2] for token in tokens]
    sql(controller, "UPDATE token SET role = 'admin' WHERE id = ?", ids[0])
    sql(controller, "UPDATE token SET seal = ?, role = 'admin' WHERE id = ?",
        seal, ids[1])
    assert [status(controller, token) for token in tokens] == [401, 401, 403]
    # Uses are counted in the row, and are no right.
    enrol = controller.ask("POST", "/v1/tokens", {"kind": "enroll", "uses": 3})
    sql(controller, "UPDATE token SET used_at = 5, uses = 2")
    assert status(controller, controller.token) == 200
    shown = {token["id"]: token["sealed"] for token in controller.ask(
        "GET", "/v1/tokens").json["items"]}
    assert shown[enrol.json["id"]] and not shown[ids[0]]


def test_a_user_who_was_changed_by_hand_gets_no_token(controller):
    for name in ("mira", "noor", "olga"):
        assert controller.ask("POST", "/v1/users", {
            "name": name, "role": "viewer"}).status == 201
    sql(controller, "UPDATE person SET role = 'admin' WHERE name = 'mira'")
    sql(controller, "INSERT INTO person (name, role, disabled, created_at)"
        " VALUES ('eve', 'admin', 0, 5)")
    made = [controller.ask("POST", "/v1/tokens", {
        "kind": "access", "user": name, "name": name}).status
        for name in ("mira", "eve", "noor")]
    assert made == [404, 404, 201]
    # Nor does a change that names no role take the forged one over.
    assert controller.ask("PATCH", "/v1/users/mira", {
        "disabled": False}).status == 404
    assert {user["name"]: user["sealed"] for user in controller.ask(
        "GET", "/v1/users").json["items"]} == {
            "eve": False, "mira": False, "noor": True, "olga": True}
    until("they are alerts", lambda: is_told(controller, "user mira") and
          is_told(controller, "user eve"))
    assert controller.ask("DELETE", "/v1/users/eve").status == 200
    # A user who is right goes on being right when it is changed.
    assert controller.ask("PATCH", "/v1/users/olga", {
        "role": "operator"}).status == 200
    again(controller)
    assert controller.ask("GET", "/v1/users/olga").json["sealed"]


def test_rows_of_an_older_program_are_sealed_once(controller):
    os.unlink(os.path.join(controller.dir, MARKER))
    sql(controller, "UPDATE token SET seal = ''")
    again(controller)
    assert status(controller, controller.token) == 200
    assert len(records(controller, "rows.seal")) == 1
    # Whoever strips the seals later gets no second time.
    controller.stop()
    forged = forge(controller, 3)
    sql(controller, "UPDATE token SET seal = ''")
    controller.start()
    assert [status(controller, token) for token in
            (forged, controller.token)] == [401, 401]
    # Nor who takes the marker away while one row is right.
    controller.stop()
    checked(controller, "--seal-again")
    os.unlink(os.path.join(controller.dir, MARKER))
    late = forge(controller, 4)
    controller.start()
    assert [status(controller, token) for token in
            (late, controller.token)] == [401, 200]
    assert os.path.exists(os.path.join(controller.dir, MARKER))


def test_a_lost_key_has_a_way_out(controller):
    controller.stop()
    os.unlink(os.path.join(controller.dir, "keys", "audit.key"))
    assert "--seal-again" in checked(controller)
    checked(controller, "--seal-again")
    controller.start()
    assert status(controller, controller.token) == 200
    assert len(records(controller, "rows.seal")) == 1
    assert controller.ask("GET", "/v1/audit/verify").json["ok"]
