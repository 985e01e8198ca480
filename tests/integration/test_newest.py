"""Silence is told: a device whose broker lives and whose controller stands still
says trust.stale, serves on, and heals; whoever holds the broker can neither
play back newest statements nor hold back a desired document behind them.
"""
import base64
import json
import os
import signal

import pytest

from bad_parts import says
from controller_parts import sign
from test_hostile_broker import Broker, GOLDEN, MODELS, last_order, status
from waits import same, stopped, until, wall_ms

NEWEST = "application/vnd.flotilla.newest.v1+json"
MARK = "flotilla/v1/test/c/mark"
INTERVAL_MS = 1000


@pytest.fixture(scope="module")
def heard(fleet):
    fleet.up(["a"], "--newest-interval", "1s")
    fleet.id = fleet.ask("device", "get", "a")["id"]
    for number in 1, 2:
        fleet.publish_whole("tiny@%d" % number, MODELS[number], GOLDEN[number])
    fleet.roll("tiny@1")
    with Broker(fleet) as broker:
        fleet.older = broker.retained(broker.topic + "desired")
        broker.client.subscribe(MARK)
        fleet.older_word = json.loads(broker.retained(MARK))["newest"]
    fleet.roll("tiny@2")
    until("tiny@2 serves", lambda: fleet.serving("tiny@2"))
    until("a word was heard", lambda: newest(fleet)["interval_ms"])
    until("it is well", lambda: same(stale(fleet), None))
    return fleet


def newest(fleet):
    return status(fleet)["newest"]


def stale(fleet):
    return (status(fleet).get("degraded") or {}).get("id")


def health(fleet):
    connection = fleet.devices["a"].connection()
    connection.request("GET", "/health")
    answer = connection.getresponse()
    return answer.status, json.loads(answer.read())


def test_a_controller_that_stands_still_is_told_and_heals(heard):
    stopped(heard.controller.pid)
    try:
        until("it is stale", lambda: same(stale(heard), "trust.stale"))
        seen = status(heard)
        code, said = health(heard)
    finally:
        heard.controller.send_signal(signal.SIGCONT)
    assert seen["online"] and seen["newest"]["stale"]
    assert seen["newest"]["silent_ms"] > 3 * INTERVAL_MS
    assert code == 200 and said["status"] == "ok"
    assert said["degraded"]["id"] == "trust.stale"
    until("it healed", lambda: same(stale(heard), None))
    until("the controller was told", lambda: any(
        (event.get("error") or {}).get("id") == "trust.stale"
        for event in heard.ask("device", "get", "a", "--timeline")))


class Attacker(Broker):
    """Holds the broker.  The fresh words are the controller's own, which the
    test signs with its key while it stands still."""

    def __enter__(self):
        super().__enter__()
        self.client.subscribe(MARK)
        self.mark = json.loads(self.retained(MARK))
        self.log = self.fleet.devices["a"].log
        self.other_key = self.fleet.key
        return self

    def word(self, key=None, **more):
        now = wall_ms()
        body = {"v": 1, "fleet": "test", "number": now, "issued_at_ms": now,
                "expires_at_ms": now + 600000, "interval_ms": INTERVAL_MS,
                "root": self.root()}
        body.update(more)
        return body, json.loads(sign(body, key or self.key, NEWEST))

    def root(self):
        return json.loads(base64.b64decode(
            self.mark["newest"]["payload"]))["root"]

    def bring(self, envelope, path=None):
        self.client.publish(self.topic + "cmd", json.dumps(
            {"v": 1, "newest": envelope,
             "path": path or {"sides": 0, "hashes": ""}}))

    def brought(self, envelope, why, path=None):
        begin = os.path.getsize(self.log)
        self.bring(envelope, path)
        until("refused: %s" % why, lambda: says(self.log, begin, why))


def test_words_that_are_not_of_now_are_refused(heard):
    with Attacker(heard) as attacker:
        body, fresh = attacker.word()
        attacker.bring(fresh)
        until("it is heard", lambda: same(newest(heard)["number"],
                                          body["number"]))
        attacker.brought(attacker.mark["newest"], "older than")
        days = 3 * 86400000
        attacker.brought(attacker.word(
            number=wall_ms() + days, issued_at_ms=wall_ms() + days,
            expires_at_ms=wall_ms() + 2 * days)[1], "s from now")
        attacker.brought(attacker.word(
            issued_at_ms=wall_ms() - days,
            expires_at_ms=wall_ms() - days + 3000)[1], "expired")
        attacker.brought(attacker.word(fleet="other")[1], "fleet other")
        attacker.brought(attacker.word(number=1 << 53)[1], "number")
        attacker.brought(attacker.word(attacker.other_key)[1], "sig.unknown_key")
        assert newest(heard)["number"] == body["number"]
        until("it is stale", lambda: same(stale(heard), "trust.stale"))
        attacker.bring(attacker.word()[1])
        until("it healed", lambda: same(stale(heard), None))
    until("it is well", lambda: same(stale(heard), None))


def test_a_fresh_word_does_not_cover_an_older_document(heard):
    with Attacker(heard) as attacker:
        desired = attacker.topic + "desired"
        newer = attacker.retained(desired)
        assert attacker.again(desired, heard.older)["outcome"] == "superseded"
        before = newest(heard)["number"]
        body, fresh = attacker.word()
        attacker.bring(fresh)
        attacker.brought(attacker.word(fleet="other")[1], "fleet other")
        assert newest(heard)["number"] == before
        until("it is stale", lambda: same(stale(heard), "trust.stale"))
        attacker.client.publish(desired, newer, retain=True)
        until("its own fits", lambda: same(newest(heard)["number"],
                                           body["number"]))
        body, fresh = attacker.word()  # another's path leads elsewhere
        attacker.bring(fresh, {"sides": 1, "hashes": "A" * 43 + "="})
        attacker.brought(attacker.word(fleet="other")[1], "fleet other",
                         {"sides": 1, "hashes": "A" * 43 + "="})
        assert newest(heard)["number"] < body["number"]
    until("it is well", lambda: same(stale(heard), None))
    assert heard.serving("tiny@2")


def serves(fleet):
    """By the device itself: its controller stands still."""
    return status(fleet)["models"][0]["slots"]["current"]["version"]


def test_a_release_waits_while_it_is_stale_and_goes_on_by_itself(heard):
    with Attacker(heard) as attacker:
        until("it is stale", lambda: same(stale(heard), "trust.stale"))
        begin = os.path.getsize(attacker.log)
        args = dict(last_order(heard.older)["args"], below_floor=True)
        attacker.send(attacker.signed(attacker.order("deploy", args=args)))
        until("it waits", lambda: says(attacker.log, begin,
                                       "waiting for a newest word"))
        assert serves(heard) == "2"
        until("tiny@1 serves", lambda: attacker.bring(attacker.word()[1]) or
              same(serves(heard), "1"), every=1)


def test_a_restart_makes_no_older_word_new(heard):
    with Attacker(heard) as attacker:
        attacker.client.publish(MARK, "", retain=True)  # the newer one is withheld
        heard.devices["a"].stop()
        heard.devices["a"].start()
        until("it is here", lambda: status(heard)["online"])
        kept = newest(heard)["number"]
        attacker.brought(heard.older_word, "older than")
        assert newest(heard)["number"] >= kept > 0
    until("it is well", lambda: same(stale(heard), None))


def test_a_thief_of_the_order_key_uses_up_no_numbers(heard):
    most = (1 << 53) - 1
    with Attacker(heard) as attacker:
        attacker.bring(attacker.word(number=most)[1])
        until("it is heard", lambda: same(newest(heard)["number"], most))
    until("it is stale", lambda: same(stale(heard), "trust.stale"))
    draft = os.path.join(heard.dir, "order.json")
    heard.cli("key", "rotate", "order", "--to", draft)
    heard.cli("trust", "sign", draft, "--key",
              os.path.join(os.path.dirname(heard.key), "root.key"))
    heard.cli("trust", "publish", draft)
    number = heard.ask("trust", "status")["number"]
    until("it has the statement", lambda: same(
        heard.ask("trust", "status")["numbers"],
        [{"number": number, "devices": 1}]))
    log = heard.devices["a"].log
    begin = os.path.getsize(log)
    until("a word of the new key", lambda: newest(heard)["number"] < most or
          says(log, begin, "older than"))
    assert newest(heard)["number"] < most
    until("it is well", lambda: same(stale(heard), None))
