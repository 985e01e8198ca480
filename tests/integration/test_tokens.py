"""Tokens: their secrets are in no file of the controller's, and what is open
by one ends with it."""
import http.client
import threading

import sets
from controller_parts import Device, Publisher
from waits import HANG_S, joined, until, wall_ms

KEY = {"Idempotency-Key": "k1"}
ACCESS = {"kind": "access", "role": "viewer", "name": "v"}


def test_no_secret_is_in_the_database_or_its_log(controller, folder):
    for number, body in enumerate((ACCESS, {"kind": "enroll", "uses": 2})):
        made = controller.ask("POST", "/v1/tokens", body, headers={
            "Idempotency-Key": "secret-%d" % number})
        assert made.status == 201, made.body
    Device(controller, folder, "gw", made.json["token"])
    found = {name: data for name, data in sets.files(controller.dir)
             if ".db" in name}
    assert any(name.endswith("control.db-wal") for name in found)
    for name, data in found.items():
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
    assert (other.status, other.json["code"]) == (422, "rest.key_reused")


def stream(controller, token):
    host, port = controller.rest[len("http://"):].split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=HANG_S)
    connection.request("GET", "/v1/events", headers={
        "Authorization": "Bearer " + token})
    return connection.getresponse()


def ends(answer):
    """Its words come each few seconds until it ends."""
    reader = threading.Thread(target=answer.read, daemon=True)
    reader.start()
    joined(reader)


def test_a_live_stream_ends_with_its_token(controller):
    made, stays = (controller.ask("POST", "/v1/tokens", ACCESS).json
                   for _ in range(2))
    one, other = stream(controller, made["token"]), stream(
        controller, stays["token"])
    assert one.status == other.status == 200
    assert controller.ask("DELETE", "/v1/tokens/" + made["id"]).status == 200
    ends(one)
    controller.ask("POST", "/v1/tokens", ACCESS)  # is in the audit: heard

    def is_told():
        text = other.readline().decode()
        assert text
        return "token.create" in text
    until("the other stream goes on", is_told, every=0)
    other.close()


def short_lived(controller, use):
    """An access token, and what it was good for before it expired: on a slow
    machine it lives longer."""
    for ttl_ms in (1000 << n for n in range(10)):
        token = controller.ask("POST", "/v1/tokens", dict(
            ACCESS, ttl_ms=ttl_ms)).json["token"]
        answer = use(token)
        if answer.status == 200:
            return token, answer
        assert answer.status == 401
    raise AssertionError("no token is taken")


def test_a_live_stream_ends_when_its_token_expires(controller):
    ends(short_lived(controller, lambda token: stream(controller, token))[1])


def test_an_access_token_that_expired_is_no_token(controller):
    def ask(token):
        return controller.ask("GET", "/v1/devices", token=token)

    token, _ = short_lived(controller, ask)
    until("it is no token", lambda: ask(token).status != 200)
    answer = ask(token)
    assert (answer.status, answer.json["code"]) == (401, "rest.auth")


# ---- people ----

def user(controller, name, role):
    """A user and a token of it."""
    made = controller.ask("POST", "/v1/users", {"name": name, "role": role})
    assert made.status == 201, made.json
    token = controller.ask("POST", "/v1/tokens", {
        "kind": "access", "user": name, "name": "laptop"})
    assert token.status == 201 and token.json["role"] == role, token.json
    return token.json["token"]


def test_a_user_is_named_by_what_its_tokens_do(controller):
    token = user(controller, "mira", "operator")
    me = controller.ask("GET", "/v1/me", token=token).json
    assert (me["user"], me["role"], me["name"]) == ("mira", "operator",
                                                    "laptop")
    assert me["expires_at_ms"] > wall_ms()
    before_ms = wall_ms()
    order = controller.ask("POST", "/v1/orders", {
        "op": "config", "everywhere": True, "heartbeat_ms": 1000,
        "confirm": "test"}, token=token)
    assert order.status == 202
    last = controller.ask("GET", "/v1/audit?order=newest&limit=1").json
    assert last["items"][0]["who"].endswith(" mira")
    shown = controller.ask("GET", "/v1/users/mira").json["tokens"]
    assert [t["name"] for t in shown] == ["laptop"]
    assert before_ms <= shown[0]["last_used_at_ms"] <= wall_ms()
    twice = controller.ask("POST", "/v1/users", {"name": "mira",
                                                 "role": "viewer"})
    assert (twice.status, twice.json["code"]) == (409, "state.conflict")


def test_a_token_has_no_more_than_its_user(controller):
    token = user(controller, "otto", "operator,auditor")
    wish = {"kind": "access", "user": "otto", "name": "ci"}
    more = controller.ask("POST", "/v1/tokens", dict(wish, role="releaser"))
    assert (more.status, more.json["code"]) == (422, "rest.meaning")
    less = controller.ask("POST", "/v1/tokens",
                          dict(wish, role="operator:lab")).json["token"]
    assert controller.ask("GET", "/v1/tokens", token=token).status == 200
    # what is taken from the user is taken from its tokens
    seen = controller.ask("GET", "/v1/users/otto").headers["ETag"]
    path = "/v1/users/otto"
    stale = controller.ask("PATCH", path, {"role": "viewer"},
                           headers={"If-Match": '"old"'})
    assert (stale.status, stale.json["code"]) == (412, "rest.stale")
    cut = controller.ask("PATCH", path, {"role": "operator:lab"},
                         headers={"If-Match": seen})
    assert [t["name"] for t in cut.json["tokens"]] == ["ci"], cut.json
    assert controller.ask("GET", "/v1/me", token=token).status == 401
    assert controller.ask("GET", "/v1/me", token=less).status == 200
    off = controller.ask("PATCH", path, {"disabled": True})
    assert off.json["disabled"] and off.json["tokens"] == []
    assert controller.ask("GET", "/v1/me", token=less).status == 401
    assert controller.ask("POST", "/v1/tokens", wish).status == 409
    assert controller.ask("DELETE", path).status == 200
    assert controller.ask("GET", path).status == 404


def test_an_admin_does_not_lock_everybody_out(controller):
    token = user(controller, "root", "admin")
    for method, body in (("PATCH", {"disabled": True}),
                         ("PATCH", {"role": "viewer"}), ("DELETE", None)):
        answer = controller.ask(method, "/v1/users/root", body, token=token)
        assert (answer.status, answer.json["code"]) == (409, "state.conflict")


def test_an_operator_of_a_group_changes_that_group_alone(controller, folder):
    for group in ("lab", "shop"):
        Device(controller, folder, "in-" + group,
               controller.enrol_token(group=group)).connect()
    until("both came", lambda: len(controller.ask(
        "GET", "/v1/devices?state=online").json["items"]) == 2)
    publisher = Publisher(controller, folder)
    publisher.publish("1.0.0")
    token = user(controller, "lena", "operator:lab")

    def tries(method, path, body=None):
        answer = controller.ask(method, path, body, token=token)
        if answer.status == 403:
            assert answer.json["code"] == "rest.role" and answer.json["fix"]
        return answer.status

    def rollout(**more):
        return tries("POST", "/v1/rollouts", dict(
            {"release": "tiny@1.0.0"}, **more))
    # reading is for the whole fleet
    for path in ("/v1/devices", "/v1/devices/in-shop", "/v1/rollouts",
                 "/v1/audit"):
        assert tries("GET", path) == 200
    assert tries("PATCH", "/v1/devices/in-lab", {"note": "mine"}) == 200
    assert tries("PATCH", "/v1/devices/in-shop", {"note": "mine"}) == 403
    assert rollout(group="lab") == 201
    assert rollout(target={"group": "shop"}) == 403
    assert rollout(group="lab", target={"group": "shop"}) == 403
    assert rollout() == 403
    mine = controller.ask("GET", "/v1/rollouts").json["items"][0]["id"]
    other = controller.ask("POST", "/v1/rollouts", {
        "release": "tiny@1.0.0", "group": "shop"}).json["id"]
    pause = {"action": "pause"}
    assert tries("POST", "/v1/rollouts/%s/actions" % mine, pause) == 200
    assert tries("POST", "/v1/rollouts/%s/actions" % other, pause) == 403
    logs = {"op": "logs", "device": "in-lab"}
    assert tries("POST", "/v1/orders", logs) == 202
    assert tries("POST", "/v1/orders", dict(logs, device="in-shop")) == 403
    assert tries("GET", "/v1/devices/in-lab/reports") == 200
    assert tries("GET", "/v1/devices/in-shop/reports") == 403
    back = {"op": "rollback", "release": "tiny@1.0.0", "confirm": "tiny@1.0.0"}
    assert tries("POST", "/v1/orders", dict(back, everywhere=True)) == 403
    assert tries("POST", "/v1/orders", dict(back, group="shop")) == 403
    for body in ({"op": "freeze", "everywhere": True, "confirm": "test"},
                 dict(back, everywhere=True)):
        assert tries("POST", "/v1/orders", body) == 403
    assert tries("POST", "/v1/labels", {
        "where": "not x", "labels": {"a": "b"}}) == 403
    assert tries("POST", "/v1/releases/tiny@1.0.0/yank", {}) == 403
    denied = [r for r in controller.ask(
        "GET", "/v1/audit?order=newest&limit=100").json["items"]
        if r["who"].endswith(" lena") and r["result"] == "rest.role"]
    assert len(denied) >= 8


def test_an_auditor_reads_all_and_changes_nothing(controller):
    token = user(controller, "aron", "auditor")
    for path in ("/v1/audit/verify", "/v1/tokens", "/v1/users", "/v1/devices",
                 "/v1/users/aron"):
        assert controller.ask("GET", path, token=token).status == 200, path
    viewer = controller.access("viewer")
    for path in ("/v1/audit/verify", "/v1/tokens", "/v1/users"):
        assert controller.ask("GET", path, token=viewer).status == 403, path
    for path, body in (("/v1/orders", {"op": "doctor", "device": "x"}),
                       ("/v1/users", {"name": "x", "role": "viewer"}),
                       ("/v1/tokens", {"kind": "enroll"})):
        assert controller.ask("POST", path, body,
                              token=token).status == 403, path
