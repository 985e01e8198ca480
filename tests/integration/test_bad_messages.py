"""Bad orders and messages: nothing unsigned, stale or foreign acts.
"""
import base64
import json
import os
import random
import re
import subprocess

from bad_parts import (ESCAPES, ORDER, QUESTION, RELEASE,  # noqa: F401
    Controller, frozen, logged, refused, rest, rogue, rss, scratch, unharmed, up)
from controller_parts import new_boot, sign
from mqtt_client import Client, Refused
from waits import until, wall_ms

# ---- orders and messages ----

def test_a_refused_order_is_told_to_the_controller_at_once(up):
    """One error of a kind is told per minute: no other test makes this one."""
    with Controller(up) as me:
        unsigned = dict(me.signed(me.order("freeze")), signatures=[])
        me.send(unsigned)
        assert me.told("security", "sig.missing")
        for _ in range(100):
            me.send(unsigned)
        # Events come in their order, and this one is of another kind.
        me.send(me.signed(me.order("freeze"), kind=RELEASE))
        assert me.told("security", "meta.wrong_type")
        assert len(me.all_told("security", "sig.missing")) < 50


def test_orders_that_may_not_act_do_not(up):
    other = os.path.join(up.scratch, "other.key")
    if not os.path.exists(other):
        subprocess.run(["openssl", "ecparam", "-name", "prime256v1",
                        "-genkey", "-noout", "-out", other], check=True)
    now = wall_ms()
    digest = up.ask("release", "get", "tiny@1")["digest"]
    with Controller(up) as me:
        good = me.order("freeze", args={})
        for ids, body, key, kind in (
                ("sig.unknown_key", me.order("freeze"), other, ORDER),
                ("meta.wrong_type", me.order("freeze"), None, RELEASE),
                ("meta.fleet", me.order("freeze", fleet="acme-b"), None,
                 ORDER),
                ("cmd.format", me.order("explode"), None, ORDER),
                ("cmd.format", me.order("freeze", seq=-1), None, ORDER),
                ("cmd.format", me.order("freeze", expires_at_ms=2 ** 63 - 1), None,
                 ORDER)):
            with logged(up, ids):
                me.send(me.signed(body, key, kind))
        for word, body in (
                ("cmd.expired", me.order(
                    "freeze", issued_at_ms=now - 90000,
                    expires_at_ms=now - 30000)),  # MQ06
                ("cmd.epoch", me.order("freeze", epoch=0)),
                ("state.conflict", me.order(
                    args={"model": "tiny", "from": [
                        digest], "to": "sha256:" + "7" * 64,
                        "reason": "x"}))):  # MQ08
            me.send(me.signed(body))
            assert me.told(body["id"], "refused", word), word
        envelope = me.signed(good)
        flipped = dict(envelope, payload=envelope["payload"][:-8] + "AAAAAAA=")
        with logged(up, "sig.bad"):
            me.send(flipped)
        assert frozen(up) is False


def test_an_order_sent_twice_acts_once(up):
    with Controller(up) as me:
        body = me.order("freeze", args={})
        envelope = me.signed(body)
        me.send(envelope)
        assert me.told(body["id"], "done")
        undo = me.order("unfreeze", args={})
        me.send(me.signed(undo))
        assert me.told(undo["id"], "done")
        me.client.messages.clear()
        me.send(envelope)  # MQ05: something newer holds, no second freeze
        assert me.told(body["id"], "superseded")
        assert frozen(up) is False


def test_an_order_of_a_later_version_is_refused(up):
    with Controller(up) as me:
        later = me.order("later")
        bounds = me.order("deploy", args={
            "model": "tiny", "release": "sha256:" + "5" * 64, "version": "9",
            "rollout": "r-0999", "policy": {"tries": 1000}})
        foreign = me.order("later", scope={
            "device": "99999999-9999-4999-8999-999999999999"})
        for _ in range(3):
            for body in later, bounds, foreign:
                me.send(me.signed(body))
        good = me.order("unfreeze", args={})
        me.send(me.signed(good))
        assert me.told(good["id"], "done")
        for body in later, bounds:
            assert me.told(body["id"], "refused", "cmd.format")
        assert not me.all_told(foreign["id"])


def test_a_number_is_used_by_one_order_only(up):
    with Controller(up) as me:
        body = me.order("freeze", args={})
        me.send(me.signed(body))
        assert me.told(body["id"], "done")
        undo = me.order("unfreeze", args={})
        me.send(me.signed(undo))
        assert me.told(undo["id"], "done")
        again = me.order("freeze", args={}, seq=undo["seq"])
        me.send(me.signed(again))  # signed too, but another one has its number
        assert me.told(again["id"], "refused", "cmd.nonce_reused")
        assert me.told("security", "cmd.nonce_reused")
        assert frozen(up) is False


def test_an_order_of_the_far_future_does_not_stop_later_ones(up):
    with Controller(up) as me:
        far = wall_ms() + 10 * 365 * 86400000
        body = me.order("unfreeze", args={}, issued_at_ms=far,
                        expires_at_ms=far + 60000)
        with logged(up, "cmd.future"):
            me.send(me.signed(body))
        later = me.order("unfreeze", args={})
        me.send(me.signed(later))
        assert me.told(later["id"], "done"), me.client.messages[-3:]


def test_a_broker_cannot_put_a_device_into_a_group(up):
    digest = up.ask("release", "get", "tiny@2")["digest"]
    with Controller(up) as me:
        body = me.order("deploy", scope={"group": "canary"}, args={
            "model": "tiny", "release": digest, "version": "2",
            "rollout": "r-9001"})  # truly signed, for others
        moved = me.order("groups", args={"groups": ["all", "canary"]}, scope={
            "device": "22222222-2222-4222-8222-222222222222"})
        me.client.messages.clear()
        rev = me.desired["rev"] + 7
        me.client.publish(me.topic + "desired", json.dumps(dict(
            me.desired, rev=rev, groups=me.signed(moved),
            assignments=[{"model": "tiny", "order": me.signed(body)}])))
        later = me.order("unfreeze", args={})
        me.send(me.signed(later))
        assert me.told(later["id"], "done")
        told = me.client.wait(lambda m: m[0].endswith("/reported") and
                              b'"rev":%d' % rev in m[1])
        report = json.loads(told[1])
        assert report["groups"] == ["all"]
        assert [m["model"] for m in report["models"]] == ["tiny"]
        assert "r-9001" not in json.dumps(report), "it is for others"
        assert not me.all_told("r-9001")
        assert not me.all_told(body["id"])


def test_messages_that_are_no_messages_change_nothing(up):
    with Controller(up) as me:
        for payload in (b"", b"{", b"\xff" * 50, b"[]", b'{"v":2}', b'{"v":1}',
                        b'{"v":2,"rev":1,"assignments":[7]}',
                        b'{"v":2,"rev":1,"assignments":[],"statements":[7]}',
                        b'{"v":1,"order":[]}', b'{"v":1,"order":{}}',
                        b'{"v":1,"ack":-1}', b'{"v":1,"ack":1e308}',
                        b'{"v":1,"ack":99999999999999999999}',
                        b'{"v":1,"op":"%n%s"}', b"[" * 60000,
                        b'{"v":1,"v":1}', random.Random("bad").randbytes(60000)):
            me.client.publish(me.topic + "cmd", payload)
            me.client.publish("flotilla/v1/test/c/order", payload)
            me.client.publish(me.topic + "desired", payload)
        body = me.order("unfreeze", args={})
        me.send(me.signed(body))
        assert me.told(body["id"], "done"), "the device still listens"
        # MQ09: a retained order that expired long ago, in the group's list
        old = me.order("freeze", scope={"group": "all"}, args={},
                       issued_at_ms=1763000000000,
                       expires_at_ms=1763000060000)
        me.client.publish("flotilla/v1/test/c/order", json.dumps(
            {"v": 1, "orders": [me.signed(old)]}), retain=True)
        assert me.told(old["id"], "cmd.expired")
        assert frozen(up) is False
        # put back what the broker held
        me.client.publish("flotilla/v1/test/c/order",
                          '{"v":1,"orders":[]}', retain=True)
        me.client.publish(me.topic + "desired", json.dumps(me.desired),
                          retain=True)


ROOT = "application/vnd.flotilla.root.v1+json"


def root_of(fleet, version, signer, kind=ROOT):
    """New keys for everything, as a chain of roots would bring them."""
    new = os.path.join(fleet.scratch, "new.key")
    if not os.path.exists(new):
        subprocess.run(["openssl", "ecparam", "-name", "prime256v1",
                        "-genkey", "-noout", "-out", new], check=True)
    pem = subprocess.run(["openssl", "ec", "-in", new, "-pubout"],
                         capture_output=True, check=True).stdout.decode()
    body = {"v": 1, "type": "root", "fleet": "test", "version": version,
            "threshold": 1, "keys": [{"pem": pem,
                                      "roles": ["release", "order"]}]}
    return sign(body, signer or new, kind)


def test_no_root_moves_what_is_trusted(up):
    """Keys change by enrolment alone: there are no chains of roots."""
    trusted = open(up.trust, "rb").read()
    keys = rest(up, "GET", "/v1/trust")
    assert keys[0] == 200
    with Controller(up) as me:
        order_key = me.key
    for row, signer, kind, error in (
            ("MD23", up.key, ROOT, "meta.wrong_type"),
            ("MD23", order_key, ROOT, "meta.wrong_type"),
            ("MD23", up.key, RELEASE, "meta."),
            ("MD24", None, ROOT, "meta.wrong_type"),
            ("MD24", None, RELEASE, "sig.unknown_key")):
        envelope = root_of(up, 3 if row == "MD23" else 2, signer, kind)
        refused(up, 7, error, "flotilla-updater", "release", "verify",
                scratch(up, "root.json", envelope), "--trust", up.trust)
        status, answer = rest(up, "POST", "/v1/releases", envelope)
        assert 400 <= status < 500 and answer["code"].startswith(error), answer
        status, answer = rest(up, "POST", "/v1/trust/statements", envelope)
        assert 400 <= status < 500, answer
    chain = root_of(up, 2, order_key)
    with Controller(up) as me:
        with logged(up, "meta.wrong_type"):
            me.send(json.loads(chain))
        before = rss(up.devices["a"].process.pid)
        for version in range(2, 1002):  # MD27
            me.send(dict(json.loads(chain), payload=base64.b64encode(
                b'{"v":1,"type":"root","version":%d}' % version).decode()))
        last = me.signed(me.order("unfreeze", args={}))

        def obeys():
            """So much was sent to it that the broker may end its connection."""
            me.send(last)
            return any(me.tells(m, "o-9%03d" % me.number, "done")
                       for m in me.client.messages)
        until("it does the order behind them", obeys, every=0.2)
        assert rss(up.devices["a"].process.pid) - before < 4 << 20
    assert open(up.trust, "rb").read() == trusted
    assert rest(up, "GET", "/v1/trust") == keys


def heartbeat(fleet):
    """The next one of the device reaches the controller."""
    now_ms = wall_ms()
    until("a heartbeat", lambda: fleet.ask(
        "device", "get", "a")["last_seen_at_ms"] > now_ms)


def is_heard(me, rogue):
    """The controller took what the rogue sent before: it acknowledges a note
    that follows."""
    boot = new_boot()
    me.subscribe(rogue.topic + "cmd")
    me.publish(rogue.topic + "event", json.dumps({
        "v": 1, "boot": boot, "seq": 1, "from": 1, "at_ms": 1,
        "type": "note"}))
    assert me.wait(lambda m: m[0] == rogue.topic + "cmd" and m[1] and
                   json.loads(m[1]).get("boot") == boot)


def test_a_device_cannot_speak_for_or_listen_to_others(up, rogue):
    me = rogue.speak()
    theirs = "flotilla/v1/test/d/%s/" % up.id
    me.subscribe("#")
    me.subscribe(theirs + "#")
    answer = up.devices["a"].ask(QUESTION, "tiny")
    heartbeat(up)
    me.subscribe("#")  # what came before its answer has come
    assert not [m for m in me.messages if rogue.id not in m[0] and
                "/c/" not in m[0] and "/g/" not in m[0]], me.messages
    before = up.ask("device", "get", "a")
    for word in ("reported", "event", "tele", "presence", "cmd", "desired"):
        try:
            me.publish(theirs + word, '{"v":1,"online":false}', retain=True)
        except (Refused, OSError):
            pass  # it hung up
        me = rogue.speak()
    is_heard(me, rogue)
    after = up.ask("device", "get", "a")
    assert after["state"] == before["state"] == "online" and answer
    # MQ03: whatever it calls itself, it is itself
    liar = Client(*rogue.where, up.id)
    heartbeat(up)
    assert up.ask("device", "get", "a")["state"] == "online"
    liar.close()


def dropped(fleet):
    return int(re.search(r"^flotilla_telemetry_dropped_total (\d+)",
                         rest(fleet, "GET", "/metrics")[1].decode(),
                         re.M).group(1))


def test_telemetry_that_cannot_be_is_dropped_and_counted(up, rogue):
    me = rogue.speak()
    before = dropped(up)
    base = {"v": 1, "seq": 1, "at_ms": 1, "window_ms": 2000, "model": "tiny",
            "release": "sha256:" + "1" * 64, "version": "1", "counters": {},
            "gauges": {}, "histograms": {}}
    sent = [json.dumps(dict(base, **more)) for more in (
        {"counters": {"requests": -1}}, {"counters": {"requests": 2 ** 63}},
        {"counters": {"requests": "many"}}, {"gauges": {"queue": 1e308}},
        {"gauges": {"queue": float("nan")}},
        {"histograms": {"ttft_us": "AAAA"}}, {"histograms": {"ttft_us": 5}},
        {"window_ms": -5}, {"model": ESCAPES}, {"version": "x" * 5000},
        {"release": "sha256:x"})]
    sent += ["{", "", "\0", json.dumps(base)[:-9]]
    for payload in sent:
        me.publish(rogue.topic + "tele", payload)
    until("they are counted",
          lambda: dropped(up) >= before + len(sent) - 3)
    # MQ14: 10 MB: the broker hangs up, nobody else notices
    try:
        me.publish(rogue.topic + "tele", b"x" * (10 << 20), wait=False)
    except OSError:
        pass
    assert me.wait_closed()
    # MQ15: a clock of 1970 or 2106 is taken, with the time of receipt
    me = rogue.speak()
    for number, at in enumerate((0, 4294967295000, 2 ** 53)):
        me.publish(rogue.topic + "tele", json.dumps(dict(
            base, seq=10 + number, at_ms=at, counters={"requests": 1})))
    me.close()

    def sums():
        return [s["sum"] for s in up.ask(
            "telemetry", "query", "requests", "--by", "device", "--since",
            "1h")["series"] if s["key"]["device"] == rogue.id]
    until("the three are counted", lambda: 3 in sums(), sums)
    assert all(0 <= each < 10000 for each in sums())


def test_what_is_no_string_is_not_shown_as_one(up, rogue):
    bad = {"toString": 1, "valueOf": 1}
    me = rogue.speak()
    me.publish(rogue.topic + "reported", json.dumps({
        "v": 2, "device": rogue.id, "rev": 1, "agent": bad, "frozen": bad,
        "profile": {"arch": bad, "cpus": 2, "engine": ["llama", bad],
                    "more": "x" * 1000},
        "models": [{
            "model": "a", "state": "x" * 1000,
            "denied": [bad, "sha256:" + "3" * 64, 5],
            "serving": {"version": bad, "more": bad},
            "current": bad, "previous": {"version": bad}, "candidate": 7,
            "execution": {"state": bad, "reason": [1], "since_at_ms": "1"}},
            bad, 7]}), retain=True)
    until("it is read", lambda: up.ask(
        "device", "get", "rogue")["serving"])
    seen = up.ask("device", "get", "rogue")
    assert seen["serving"] == {"model": "a"}
    assert seen["slots"] == {"current": {"model": "a"}, "previous": {
        "model": "a"}, "candidate": None}
    assert len(seen["models"]) == 3
    assert seen["execution"] == {}
    assert {name: value for name, value in seen["profile"].items()
            if value} == {"cpus": 2, "engine": ["llama"]}
    assert seen["denied"] == ["sha256:" + "3" * 64]
    assert seen["agent"] is None and seen["frozen"] is False
    me.close()


def test_strings_of_a_device_do_not_move_the_terminal(up, rogue):
    me = rogue.speak()
    evil = "<img src=x onerror=alert(1)>" + ESCAPES
    me.publish(rogue.topic + "reported", json.dumps({
        "v": 2, "device": rogue.id, "name": evil, "agent": evil, "rev": 1,
        "groups": [evil], "models": [{
            "model": "tiny", "state": evil, "serving": {
                "release": "sha256:" + "2" * 64, "version": evil},
            "execution": {"id": evil, "state": evil, "reason": evil}}]}),
        retain=True)
    me.publish(rogue.topic + "event", json.dumps({
        "v": 1, "boot": "00000000-0000-4000-8000-000000000000", "seq": 1,
        "at_ms": 1, "type": "note", "error": {"id": evil, "what": evil}}))
    me.publish(rogue.topic + "presence", '{"v":1,"online":true}', retain=True)
    until("it is online", lambda: up.ask(
        "device", "get", "rogue")["state"] == "online")
    for args in (("device", "list"), ("device", "get", "rogue"),
                 ("device", "get", "rogue", "--timeline"), ("audit", "list"),
                 ("rollout", "list")):
        code, out, err = up.cli(*args, check=False)
        assert code == 0, err
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]",
                             out + err), (args, out)
        json.loads(up.cli(*args, "-o", "json")[1])
    me.close()
    code, out, err = up.cli("rollout", "start", "tiny@1", "--reason", ESCAPES,
                            check=False)
    assert code == 2 and not re.search(
        r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", out + err), repr(out + err)
