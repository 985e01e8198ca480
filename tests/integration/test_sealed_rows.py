"""Rows of rights and rules that somebody writes into the controller's tables
have no effect: each bears a seal by a key that is in no table."""
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


# ---- rules, groups, labels, pins, keys ----

HELD = "row-unsealed"


def freezes(controller):
    return [freeze["name"] for freeze in controller.ask(
        "GET", "/v1/change-freezes").json["items"]]


def rows(controller, table, where):
    """Rows of a table as they stand, to be put back."""
    return sql(controller, "SELECT * FROM %s WHERE %s" % (table, where))


def put_back(controller, table, old):
    for row in old:
        sql(controller, "INSERT OR REPLACE INTO %s VALUES (%s)" % (
            table, ",".join("?" * len(row))), *row)


@pytest.mark.parametrize("act", ["changed", "deleted", "older", "others"])
def test_rules_by_hand_open_no_door(controller, tmp_path, act):
    """One UPDATE with the controller stopped took all approvals away."""
    assert controller.ask("PUT", "/v1/change-freezes/sale", {
        "window": "mon 00:00-24:00 UTC"}).status == 200
    controller.stop()
    old = rows(controller, "setting", "name IN ('rules', 'seals')")
    controller.start()
    assert controller.ask("PUT", "/v1/approvals/prod",
                          {"people": 2}).status == 200
    assert freezes(controller) == ["sale"]
    controller.stop()
    if act == "changed":
        sql(controller, "UPDATE setting SET value = '{}' WHERE name = 'rules'")
    elif act == "deleted":
        sql(controller, "DELETE FROM setting WHERE name = 'rules'")
    elif act == "older":
        put_back(controller, "setting", old)
    else:
        (tmp_path / "other").mkdir()
        other = Controller(str(tmp_path / "other")).start()
        assert other.ask("PUT", "/v1/change-freezes/no", {
            "window": "sun 00:00-01:00 UTC"}).status == 200
        other.stop()
        put_back(controller, "setting", rows(other, "setting",
                                             "name = 'rules'"))
    controller.start()
    assert HELD in freezes(controller)
    until("it is an alert", lambda: is_told(
        controller, "setting rules" if act in ("changed", "others") else
        "setting rules (the row is gone or old)"))
    assert records(controller, "row.unsealed")
    # An admin sets the rules. The freeze stays over a restart, until the admin
    # says that they are complete.
    assert controller.ask("PUT", "/v1/approvals/prod",
                          {"people": 2}).status == 200
    again(controller)
    assert HELD in freezes(controller)
    gone = controller.ask("DELETE", "/v1/change-freezes/" + HELD).status
    if act == "older":  # with all sums: groups and devices are in doubt, too
        assert gone == 409
        controller.stop()
        checked(controller, "--seal-again")
        controller.start()
    else:
        assert gone == 200
        again(controller)
    assert HELD not in freezes(controller)
    assert [rule["group"] for rule in controller.ask(
        "GET", "/v1/approvals").json["items"]] == ["prod"]


def test_rows_of_before_are_sealed_once_and_hold_nothing(controller):
    """As a program before had them: tokens have seals, the others none."""
    assert controller.ask("PUT", "/v1/approvals/prod",
                          {"people": 2}).status == 200
    assert controller.ask("POST", "/v1/groups", {
        "name": "prod", "selector": "arch=arm64"}).status in (200, 201)
    controller.stop()
    for table in ("setting", "fleet_group", "device", "certificate"):
        sql(controller, "UPDATE %s SET seal = ''" % table)
    sql(controller, "DELETE FROM setting WHERE name = 'seals'")
    forged = forge(controller, 7)
    with open(os.path.join(controller.dir, MARKER), "w") as file:
        file.write("1\n")
    # The heads of that program had no number of seals.
    os.unlink(os.path.join(controller.dir, "audit.head"))
    checked(controller, "--restored")
    controller.start()
    assert freezes(controller) == []
    assert controller.ask("GET", "/v1/groups/prod").status == 200
    assert [rule["group"] for rule in controller.ask(
        "GET", "/v1/approvals").json["items"]] == ["prod"]
    assert status(controller, forged) == 401
    assert [record["object"] for record in records(controller, "rows.seal")
            ] == ["group, device, certificate, setting"]
    # Nobody gets a second time.
    controller.stop()
    sql(controller, "UPDATE fleet_group SET seal = ''")
    controller.start()
    assert freezes(controller) == [HELD]
    assert controller.ask("GET", "/v1/groups/prod").status == 409
    assert controller.ask(
        "DELETE", "/v1/change-freezes/" + HELD).status == 409
    controller.stop()
    checked(controller, "--seal-again")
    controller.start()
    assert freezes(controller) == []
    assert controller.ask("GET", "/v1/groups/prod").status == 200
