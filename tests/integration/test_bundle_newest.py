"""A bundle has a newest statement of its own: a device refuses one that is beyond
its days, older than another, of other releases, or that lost it.
"""
import base64
import hashlib
import io
import json
import os
import signal
import tarfile

import pytest

from bad_parts import expect
from controller_parts import sign
from test_hostile_broker import Broker, GOLDEN, MODELS, status
from test_newest import MARK, NEWEST, stale
from waits import same, stopped, until, wall_ms

DAY_MS = 86400000


@pytest.fixture(scope="module")
def made(fleet):
    fleet.up(["a"], "--newest-interval", "1s")
    fleet.id = fleet.ask("device", "get", "a")["id"]
    fleet.devices["a"].stop()
    fleet.devices["a"].write_config("bundle_soak: 1s\n")
    fleet.devices["a"].start()
    for number in 1, 2:
        name = "tiny@%d" % number
        fleet.publish_whole(name, MODELS[number], GOLDEN[number])
        fleet.cli("bundle", "create", name, "--to", path(fleet, number))
    fleet.roll("tiny@1")
    until("it is well", lambda: same(stale(fleet), None))
    return fleet


def path(fleet, name):
    return os.path.join(fleet.dir, "%s.tar" % name)


def entries(name):
    with tarfile.open(name) as tar:
        return {member.name: tar.extractfile(member).read() for member in tar}


def changed(fleet, number, newest):
    """The bundle with another statement; None: without one."""
    found = entries(path(fleet, number))
    trust = json.loads(found["trust.json"])
    trust.pop("newest")
    if newest is not None:
        trust["newest"] = newest
    found["trust.json"] = json.dumps(trust).encode()
    with tarfile.open(path(fleet, "changed"), "w") as tar:
        for name, data in found.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return path(fleet, "changed")


def body(made, of, **more):
    """The controller would sign this for the bundle now."""
    release = json.loads(entries(path(made, of))["release.json"])
    ids = hashlib.sha256(base64.b64decode(release["payload"])).digest()
    now = wall_ms()
    return dict({"v": 1, "fleet": "test", "number": now, "issued_at_ms": now,
                 "expires_at_ms": now + DAY_MS, "interval_ms": 0,
                 "root": "sha256:" + hashlib.sha256(b"\2" + ids).hexdigest()},
                **more)


def take(fleet, bundle):
    return fleet.program("flotilla-agent", "update", "--bundle", bundle,
                         "--config", fleet.devices["a"].config, check=False)


def refused(fleet, bundle, why, error="trust.newest"):
    done = take(fleet, bundle)
    expect(done, 7, error)
    assert why in done[2], done


def serves(fleet):
    return status(fleet)["models"][0]["slots"]["current"]["version"]


def test_the_maker_sets_the_days(made):
    for days, least in (("7", 7), (None, 30)):
        more = ["--days", days] if days else []
        begin = wall_ms()
        told = made.ask("bundle", "create", "tiny@2", "--to",
                        path(made, "days"), *more)
        assert begin + least * DAY_MS <= told["until_ms"] <= \
            wall_ms() + least * DAY_MS
        newest = json.loads(entries(path(made, "days"))["trust.json"])["newest"]
        said = json.loads(base64.b64decode(newest["payload"]))
        assert said["expires_at_ms"] == told["until_ms"]
        assert said["root"] == body(made, 2)["root"]
    told = made.ask("bundle", "create", "tiny@2", "--to", path(made, "none"),
                    "--days", "0")
    assert told["until_ms"] == 0
    assert "newest" not in json.loads(
        entries(path(made, "none")).get("trust.json", b"{}"))


def test_a_statement_that_does_not_fit_is_refused(made):
    with Broker(made) as broker:
        broker.client.subscribe(MARK)
        mark = json.loads(broker.retained(MARK))["newest"]
        key, other = broker.key, made.key
    now = wall_ms()

    def brought(why, error="trust.newest", key=key, **more):
        refused(made, changed(made, 2, json.loads(
            sign(body(made, 2, **more), key, NEWEST))), why, error)

    brought("expired", number=now, issued_at_ms=now - 31 * DAY_MS,
            expires_at_ms=now - DAY_MS)
    brought("s from now", issued_at_ms=now + 2 * DAY_MS,
            expires_at_ms=now + 9 * DAY_MS)
    brought("fleet other", "meta.fleet", fleet="other")
    brought("", "sig.unknown_key", key=other)
    brought("other releases", root=body(made, 1)["root"])
    refused(made, changed(made, 2, mark), "other releases")
    assert serves(made) == "1"


def test_a_stale_device_needs_one_and_acts_on_it(made):
    stopped(made.controller.pid)
    try:
        until("it is stale", lambda: same(stale(made), "trust.stale"))
        refused(made, changed(made, 2, None), "trust.stale")
        assert serves(made) == "1"
        code, out, err = take(made, path(made, 2))
        assert code == 0, (out, err)
        assert stale(made) == "trust.stale"
    finally:
        made.controller.send_signal(signal.SIGCONT)
    until("it serves", lambda: serves(made) == "2")


def test_an_older_bundle_or_one_that_lost_it_is_refused_from_then_on(made):
    until("it healed", lambda: same(stale(made), None))
    older, lost = path(made, 1), changed(made, 1, None)
    refused(made, older, "older than")
    refused(made, lost, "one before it had")
    code, out, err = take(made, path(made, 2))  # the same again
    assert code == 0, (out, err)
    made.devices["a"].stop()
    refused(made, older, "older than")
    refused(made, lost, "one before it had")
    made.devices["a"].start()
    until("it is here", lambda: status(made)["online"])
    refused(made, older, "older than")
    until("it serves", lambda: serves(made) == "2")
