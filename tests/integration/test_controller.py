"""The real controller with its real mosquitto, and devices made of Python:
enrolment, ACL, releases, rollouts, orders, blobs, roles, restarts."""
import base64
import hashlib
import json
import os
import random
import signal
import ssl
import threading

import pytest

import sets
from controller_parts import (Device, Publisher, canonical, held, metric,
                              new_boot, read_events, run, sign, start)
from mqtt_client import Client, Refused
from waits import HANG_S, joined, same, until


@pytest.fixture(scope="module")
def publisher(controller, folder):
    return Publisher(controller, folder)


@pytest.fixture(scope="module")
def devices(controller, folder):
    token = controller.enrol_token()
    made = [Device(controller, folder, "gw-%d" % i, token).connect()
            for i in (1, 2, 3)]
    until("three online", lambda: len(controller.ask(
        "GET", "/v1/devices?state=online").json["items"]) == 3)
    yield made
    for device in made:
        device.client.close()


# ---- enrolment ----

def test_token_pins_the_authority(controller):
    der = run("openssl", "x509", "-in", controller.ca, "-outform", "DER")
    token = controller.enrol_token()
    assert token.split(".")[2] == hashlib.sha256(der).hexdigest()[:32]


def test_enrolment_ignores_the_subject_and_counts_uses(controller, folder):
    token = controller.enrol_token(uses=1, group="lab")
    first = Device(controller, folder, "once", token)
    assert first.answer.status == 201
    assert first.answer.json["groups"] == ["all", "lab"]
    subject = run("openssl", "x509", "-in", first.cert, "-noout", "-subject")
    assert first.id in subject.decode()
    assert "somebody-else" not in subject.decode()
    again = Device(controller, folder, "twice", token)
    assert again.answer.status == 401 or again.answer.status == 403
    assert again.answer.json["code"] == "enrol.token"
    assert controller.ask("DELETE", "/v1/devices/once").status == 200


def test_a_malformed_request_does_not_use_up_a_token(controller, folder):
    token = controller.enrol_token(uses=1)
    context = ssl.create_default_context(cafile=controller.ca)
    for body in (b"{", b"[]", b'{"token":1}',
                 json.dumps({"token": token, "csr": "no csr"}).encode()):
        answer = controller.ask("POST", "/v1/enroll", body, token="",
                                base=controller.facts["devices"],
                                context=context)
        assert 400 <= answer.status < 500, answer.body
    assert Device(controller, folder, "later", token).answer.status == 201
    assert controller.ask("DELETE", "/v1/devices/later").status == 200


def test_a_stranger_leaves_no_trace_in_the_audit(controller, folder):
    context = ssl.create_default_context(cafile=controller.ca)

    def refused(body):
        answer = controller.ask("POST", "/v1/enroll", body, token="",
                                base=controller.facts["devices"],
                                context=context)
        assert 400 <= answer.status < 500, answer.body

    def records():
        return controller.ask("GET", "/v1/audit/verify").json["records"]
    known = controller.enrol_token(uses=1)
    Device(controller, folder, "known", known)
    before, counted = records(), metric(controller, "strangers_refused_total")
    stranger = {"token": "flt1." + "a" * 26 + "." + known.split(".")[2],
                "csr": "x"}
    for body in (b"", b"{", b"[]", stranger) * 25:
        refused(body)
    assert records() == before
    assert metric(controller, "strangers_refused_total") == counted + 100
    lines = open(controller.dir + ".log").read().count(
        "refused on /v1/enroll")
    assert 1 <= lines < 50, "a line a minute"
    # Who holds a token of ours is known, even when it is used up, and whatever
    # else is sent with it: once an hour, for it may be anybody by now.
    for csr in (7, "x") * 100:
        refused({"token": known, "csr": csr})
    assert records() == before + 1
    assert metric(controller, "strangers_refused_total") == counted + 299
    last = controller.ask("GET", "/v1/audit?cursor=%d" % records()).json
    assert last["items"][0]["who"].startswith("enrolment ")
    assert last["items"][0]["result"] == "enrol.token"
    assert controller.ask("DELETE", "/v1/devices/known").status == 200


# ---- ACL ----

def test_a_client_without_certificate_is_refused(controller):
    host, port = controller.broker()
    with pytest.raises((Refused, ssl.SSLError, OSError)):
        Client(host, port, controller.ca)


def test_acl_matrix(controller, devices):
    one, two = devices[0], devices[1]
    assert one.client.subscribe("#") == 0x80
    foreign = [one.topic("reported"), two.topic("desired"), two.topic("cmd"),
               two.topic("event"), "flotilla/v1/other/g/all/order"]
    for topic in foreign:
        assert one.client.subscribe(topic) == 0x80
    group = "flotilla/v1/test/g/all/order"
    for topic in (group, "flotilla/v1/test/c/mark"):
        assert one.client.subscribe(topic) == 1
    before = len(one.client.messages)
    for topic in ("event", "ack", "tele"):
        two.client.publish(two.topic(topic), '{"v":1}')
    controller.ask("POST", "/v1/orders", {
        "op": "config", "everywhere": True, "heartbeat_ms": 1000, "confirm": "test"})
    two.is_heard()
    one.is_heard()
    until("older agents hear it", lambda: group in {
        m[0] for m in one.client.messages[before:]})
    heard = {m[0] for m in one.client.messages[before:]}
    own = {one.topic("desired"), one.topic("cmd"),
           "flotilla/v1/test/c/order", group, "flotilla/v1/test/c/mark"}
    assert heard <= own, heard
    # A device's messages to others' topics do not arrive.
    seen = len(two.client.messages)
    sent = (
            (two.topic("desired"), '{"v":1,"rev":99}'),
            (two.topic("cmd"), '{"v":1,"ack":99}'),
            ("flotilla/v1/test/c/order", '{"v":1,"orders":[]}'),
            ("flotilla/v1/test/g/all/order", '{"v":1,"orders":[]}'),
            ("flotilla/v1/test/c/mark", '{"v":1}'),
            (two.topic("presence"), '{"v":1,"online":false}'))
    for topic, payload in sent:
        one.client.publish(topic, payload, retain=True, wait=False)
        # mosquitto 2.0.11 hangs up on a 3.1.1 client that may not write.
        assert one.client.wait_closed()
        one.connect()
    two.is_heard()
    assert not [m for m in two.client.messages[seen:]
                if m[1].decode() in dict(sent).values()]
    online = controller.ask("GET", "/v1/devices/gw-2").json["state"]
    assert online == "online"


def test_an_identity_is_not_taken_over_by_a_client_id(controller, devices):
    one, two = devices[0], devices[1]
    host, port = controller.broker()
    liar = Client(host, port, controller.ca, one.cert, one.key, two.id)
    two.is_heard()
    liar.close()
    one.connect()
    two.is_heard()  # by the connection that it had


# ---- messages ----

def test_bad_messages_are_dropped_and_counted(controller, devices):
    one = devices[0]

    def dropped():
        return metric(controller, "messages_dropped_total") + \
            metric(controller, "telemetry_dropped_total")
    before = dropped()
    bad = [b"", b"{", b"\xff\xfe", b'{"v":1', b"[1]", b'{"v":2}',
           b'{"v":1,"v":1}', b'{"v":1,"x":' + b"[" * 40 + b"]" * 40 + b"}",
           b"\0" * 100, random.Random("bad").randbytes(500)]
    for payload in bad:
        for word in ("event", "reported", "ack", "tele", "presence"):
            one.client.publish(one.topic(word), payload)
    one.client.publish(one.topic("tele"), json.dumps({
        "v": 1, "counters": {"requests": -1}}))
    one.client.publish(one.topic("tele"), json.dumps({
        "v": 1, "gauges": {"agent_rss_bytes": 1e308}}))
    one.client.publish(one.topic("tele"), json.dumps({
        "v": 1, "histograms": {"ttft_us": "AAAA" * 300}}))
    one.client.publish(one.topic("reported"), json.dumps({
        "v": 2, "device": devices[1].id, "rev": 1, "models": [
            {"serving": {"release": "sha256:" + "e" * 64}}]}))
    until("drops", lambda: dropped() >= before + len(bad) * 5 + 2)
    one.is_heard()
    other = controller.ask("GET", "/v1/devices/" + devices[1].id).json
    assert "e" * 64 not in json.dumps(other)
    one.client.publish(one.topic("presence"), '{"v":1,"online":true}', True)
    assert controller.process.poll() is None


def test_events_are_acknowledged_by_sequence(controller, devices):
    one = devices[0]

    def acked(number):
        return one.client.wait(lambda m: m[0].endswith("/cmd") and
                               json.loads(m[1]).get("ack") == number)
    one.boot, one.seq = new_boot(), 0
    note = {"v": 1, "boot": one.boot, "type": "note", "at_ms": 5}
    for seq in (1, 2, 2, 1, 3):
        one.client.publish(one.topic("event"), json.dumps(
            dict(note, seq=seq)))
    assert acked(3)
    handled = metric(controller, "messages_total")
    one.client.publish(one.topic("event"), json.dumps(dict(note, seq=5)))
    until("it is handled",
          lambda: metric(controller, "messages_total") > handled)
    one.client.messages.clear()
    one.client.publish(one.topic("event"), json.dumps(dict(note, seq=5)))
    assert acked(5), "a gap that the device cannot fill is passed"
    items = controller.ask("GET", "/v1/devices/gw-1/timeline").json["items"]
    assert [e["seq"] for e in items if e["boot"] == one.boot] == [1, 2, 3, 5]
    one.seq = 5


# ---- releases and blobs ----

def test_blobs_are_checked_ranged_and_idempotent(controller):
    data = random.Random("blob").randbytes(3000000)
    digest = "sha256:" + hashlib.sha256(data).hexdigest()
    wrong = "sha256:" + "1" * 64
    assert controller.ask("PUT", "/v1/blobs/" + wrong, data).status == 422
    assert controller.ask("GET", "/v1/blobs/" + wrong).status == 404
    assert controller.ask("PUT", "/v1/blobs/" + digest, data).status == 201
    assert controller.ask("PUT", "/v1/blobs/" + digest, data).status == 200
    whole = controller.ask("GET", "/v1/blobs/" + digest)
    assert whole.body == data and whole.headers["ETag"] == '"%s"' % digest
    part = controller.ask("GET", "/v1/blobs/" + digest,
                          headers={"Range": "bytes=1000000-"})
    assert part.status == 206 and part.body == data[1000000:]
    beyond = controller.ask("GET", "/v1/blobs/" + digest,
                            headers={"Range": "bytes=4000000-"})
    assert beyond.status == 416
    assert controller.ask("PUT", "/v1/blobs/../../etc/passwd",
                          b"x").status in (400, 404)
    until("no upload is left", lambda: same(
        [n for n in sets.names(os.path.join(controller.dir, "blobs"))
         if n.startswith(".upload")], []))


def test_a_device_reads_no_blob_that_it_was_not_offered(controller, devices):
    data = b"for devices"
    digest = "sha256:" + hashlib.sha256(data).hexdigest()
    controller.ask("PUT", "/v1/blobs/" + digest, data)
    context = ssl.create_default_context(cafile=controller.ca)
    base = controller.facts["devices"]
    bare = controller.ask("GET", "/v1/blobs/" + digest, token="", base=base,
                          context=context)
    assert bare.status in (401, 403)
    context.load_cert_chain(devices[0].cert, devices[0].key)
    mine = controller.ask("GET", "/v1/blobs/" + digest, token="", base=base,
                          context=context, headers={"Range": "bytes=4-"})
    assert mine.status == 403 and mine.json["code"] == "blob.not_offered"
    people = controller.ask("GET", "/v1/devices", base=base, context=context)
    assert people.status == 404


def test_releases_need_a_trusted_signature(controller, publisher, folder):
    before = controller.ask("GET", "/v1/releases").json["items"]
    document, _ = publisher.document("0.0.1", b"unsigned")
    kind = "application/vnd.flotilla.release.v1+json"
    stranger = os.path.join(folder, "stranger.key")
    run("openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout",
        "-out", stranger)
    for envelope, code in (
            (sign(document, stranger, kind), "sig.unknown_key"),
            (sign(document, publisher.key, "text/plain"), "meta.wrong_type"),
            (sign(dict(document, fleet="other"), publisher.key, kind),
             "meta.fleet"),
            (b"{}", None), (b"", None), (random.Random("bad").randbytes(1000), None)):
        answer = controller.ask("POST", "/v1/releases", envelope)
        assert answer.status in (400, 422), answer.body
        assert code is None or answer.json["code"] == code, answer.body
    assert controller.ask("GET", "/v1/releases").json["items"] == before


def test_one_signed_body_is_one_release_whatever_wraps_it(
        controller, publisher, devices):
    document, artifact = publisher.document("0.0.2", b"one body")
    body = json.dumps(document).encode()
    kind = "application/vnd.flotilla.release.v1+json"
    first = sign(body, publisher.key, kind)
    while True:  # openssl signs with another nonce each time
        second = sign(body, publisher.key, kind)
        if second != first:
            break
    more = json.loads(second)
    more["signatures"].append({"keyid": "f" * 64,
                               "sig": more["signatures"][0]["sig"]})
    made = controller.ask("POST", "/v1/releases", first)
    assert made.status == 201, made.body
    release = "sha256:" + hashlib.sha256(body).hexdigest()
    assert made.json["digest"] == release
    controller.ask("PUT", "/v1/blobs/" + artifact, b"one body")
    name = "/v1/releases/tiny@0.0.2"
    assert controller.ask("POST", name + "/publish", b"").status == 200
    assert controller.ask("POST", name + "/yank", b"").status == 200
    for again in (first, second, canonical(more)):
        answer = controller.ask("POST", "/v1/releases", again)
        assert (answer.status, answer.json["digest"], answer.json["state"]) \
            == (200, release, "yanked"), answer.body
    for text in (first + b"\n", first.replace(b",", b", ")):
        answer = controller.ask("POST", "/v1/releases", text)
        assert answer.json["code"] == "sig.format", answer.body
    assert controller.ask("POST", name + "/publish", b"").json["code"] == \
        "release.yanked"

    # the newest envelope is what is given out, by the release's id: to people,
    # and to devices that were offered the release
    context = ssl.create_default_context(cafile=controller.ca)
    base, path = controller.facts["devices"], "/v1/envelopes/" + release
    assert controller.ask("GET", path, token="", base=base,
                          context=context).status in (401, 403)
    context.load_cert_chain(devices[0].cert, devices[0].key)
    refused = controller.ask("GET", path, token="", base=base, context=context)
    assert (refused.status, refused.json["code"]) == (403, "blob.not_offered")
    got = controller.ask("GET", path)
    assert got.status == 200 and got.body == canonical(more)
    assert controller.ask("GET", "/v1/blobs/" + release).status == 404
    assert controller.ask("GET", path[:-1] + "0").status == 404

    # and a second document with its number is told as what it is
    twin = dict(document, version="0.0.3")
    answer = controller.ask("POST", "/v1/releases",
                            sign(twin, publisher.key, kind))
    assert answer.json["code"] == "meta.equivocation", answer.body
    far = dict(document, version="0.0.4", number=2 ** 53 - 1)
    answer = controller.ask("POST", "/v1/releases",
                            sign(far, publisher.key, kind))
    assert answer.json["code"] == "meta.version_jump", answer.body


# ---- rollouts ----

def check_order(envelope, device, folder):
    """Signature by the order key, checked by openssl."""
    body = base64.b64decode(envelope["payload"])
    kind = envelope["payloadType"].encode()
    text = b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(body), body)
    raw = base64.b64decode(envelope["signatures"][0]["sig"])

    def number(value):
        value = value.lstrip(b"\0")
        value = b"\0" + value if value[0] & 0x80 else value
        return b"\x02" + bytes([len(value)]) + value
    inside = number(raw[:32]) + number(raw[32:])
    paths = [os.path.join(folder, n) for n in ("o.sig", "o.pem")]
    with open(paths[0], "wb") as file:
        file.write(b"\x30" + bytes([len(inside)]) + inside)
    with open(paths[1], "w") as file:
        file.write(device.order_key)
    said = run("openssl", "dgst", "-sha256", "-verify", paths[1],
               "-signature", paths[0], data=text)
    assert b"OK" in said
    return json.loads(body)


def rollout(controller, number):
    return controller.ask("GET", "/v1/rollouts/" + number).json


def canary_of(controller, number, devices):
    name = [d["name"] for d in rollout(controller, number)["devices"]
            if d["phase"] == 1]
    assert len(name) == 1
    return [d for d in devices if d.name == name[0]][0]


def test_a_rollout_of_something_unknown_is_refused(controller, devices):
    before = controller.ask("GET", "/v1/rollouts").json["items"]
    for body, code in (({"release": "tiny@9"}, "release.absent"),
                       ({"release": "nonsense"}, "rest.schema"),
                       ({"release": "tiny@1", "phasen": []}, "rest.unknown"),
                       ({}, "rest.schema")):
        answer = controller.ask("POST", "/v1/rollouts", body)
        assert answer.json["code"] == code, answer.body
    assert controller.ask("GET", "/v1/rollouts").json["items"] == before


def test_a_good_rollout_goes_through_both_phases(controller, devices,
                                                 publisher, folder):
    digest = publisher.publish("1.0.0")
    before = controller.ask("GET", "/v1/rollouts").json["items"]
    assert controller.ask("POST", "/v1/rollouts", {
        "release": "tiny@1.0.0", "group": "nobody"}).json["code"] == \
        "group.absent"
    plan = controller.ask("POST", "/v1/rollouts?dry_run=true",
                          {"release": "tiny@1.0.0"})
    sizes = [p["devices"] for p in plan.json["phases"]]
    assert plan.status == 200 and sizes[0] == 1 and sum(sizes) == 3, sizes
    cost = plan.json["plan"]
    assert [p["devices"] for p in cost["phases"]] == [
        p["devices"] for p in plan.json["phases"]]
    assert cost["time_ms"] == cost["phases"][-1]["ends_after_ms"] >= 900000
    assert cost["refusals"] == [] and cost["undo"]["kept"] == 0
    assert controller.ask("GET", "/v1/rollouts").json["items"] == before
    made = start(controller, "tiny@1.0.0", policy={"soak_ms": 500})
    number = made["id"]
    canary = canary_of(controller, number, devices)
    assert "devices" not in made and made["members"] == len(devices), made
    assert made["state"] == "running"

    found, order = canary.order("deploy", about=digest)
    assert check_order(held(found), canary, folder) == order
    assert order["args"]["release"] == digest
    assert order["args"]["policy"]["soak_ms"] == 500
    others = [d for d in devices if d is not canary]
    for device in others:
        device.is_heard()
        assert not device.was_ordered("deploy", about=digest)

    canary.event(number, digest, "probing")
    canary.event(number, digest, "succeeded", detail={
        "codec": "bsdiff40", "bytes": 123, "full_bytes": 1230,
        "took_ms": 7})
    for device in others:
        assert device.order("deploy", about=digest)[1]["args"]["phase"] == 1
        device.event(number, digest, "succeeded")
    done = until("completed", lambda: (lambda r: r if r["state"] ==
                 "completed" else None)(rollout(controller, number)))
    facts = [d for d in done["devices"] if d["name"] == canary.name][0]
    assert (facts["codec"], facts["bytes"]) == ("bsdiff40", 123)
    assert done["transfer"] == {"devices": 1, "bytes": 123,
                                "full_bytes": 1230, "neighbour_bytes": 0}
    for device in devices:
        device.serving = digest


def test_a_failing_canary_halts_the_rollout(controller, devices, publisher):
    digest = publisher.publish("1.1.0")
    made = start(controller, "tiny@1.1.0")
    canary = canary_of(controller, made["id"], devices)
    others = [d for d in devices if d is not canary]
    seen = {d: len(d.client.messages) for d in others}
    canary.order("deploy")
    canary.event(made["id"], digest, "failed", error={
        "id": "probe.golden", "what": "3 of 26 failed", "step": "probing"})
    done = until("halted", lambda: (lambda r: r if r["state"] ==
                 "halted" else None)(rollout(controller, made["id"])))
    assert done["reason"].startswith("probe.golden 1: the canary failed")
    assert [(c["id"], c["devices"]) for c in done["causes"]] == [
        ("probe.golden", 1)]
    assert done["gates"][0]["phase"] == 1
    states = {d["name"]: d["state"] for d in done["devices"]}
    assert states[canary.name] == "failed"
    assert all(states[d.name] == "queued" for d in others)
    assert canary.order("abort", about=made["id"])[0]
    for device in others:
        device.is_heard()
        new = [m for m in device.client.messages[seen[device]:]
               if m[0].endswith("/desired")]
        assert new == [], "never touched"


def test_pause_resume_and_stale_etag(controller, devices, publisher):
    digest = publisher.publish("1.2.0")
    made = start(controller, "tiny@1.2.0")
    number, path = made["id"], "/v1/rollouts/%s/actions" % made["id"]
    double = controller.ask("POST", "/v1/rollouts",
                            {"release": "tiny@1.2.0"})
    assert double.status == 409
    stale = made["etag"]
    assert controller.ask("POST", path, {"action": "pause"}, headers={
        "If-Match": stale}).json["state"] == "paused"
    again = controller.ask("POST", path, {"action": "resume"}, headers={
        "If-Match": stale})
    assert again.status == 412 and again.json["code"] == "rest.stale"
    twice = controller.ask("POST", path, {"action": "pause"})
    assert twice.status == 200 and twice.json["state"] == "paused"
    assert controller.ask("POST", path, {"action": "fly"}).status == 400
    assert controller.ask("POST", path,
                          {"action": "resume"}).json["state"] == "running"
    canary = canary_of(controller, number, devices)
    canary.event(number, digest, "succeeded")
    for device in devices:
        if device is not canary:
            until("phase 2", lambda: rollout(
                controller, number)["phase"] == 2)
            device.event(number, digest, "succeeded")
    until("completed", lambda: rollout(
        controller, number)["state"] == "completed")
    for device in devices:
        device.serving = digest


def test_rollout_survives_kill_of_controller_and_broker(controller, devices,
                                                        publisher):
    digest = publisher.publish("1.3.0")
    made = start(controller, "tiny@1.3.0")
    number = made["id"]
    canary = canary_of(controller, number, devices)
    canary.event(number, digest, "downloading")
    until("downloading", lambda: "downloading" in rollout(
        controller, number)["phases"][0]["counts"])
    controller.stop(signal.SIGKILL)
    for device in devices:
        device.client.wait_closed()
    old = controller.facts
    controller.start()
    assert controller.facts["devices"] == old["devices"]
    assert controller.facts["broker"] == old["broker"]
    now = rollout(controller, number)
    assert now["state"] == "running"
    assert now["phases"][0]["counts"] == {"downloading": 1}
    for device in devices:
        device.connect()
    assert canary.order("deploy", about=digest)[0]
    # The broker alone dies and forgets: everything is published again.
    os.kill(controller.mosquitto(), signal.SIGKILL)
    for device in devices:
        device.client.wait_closed()
    until("a new broker", lambda: controller.ask(
        "GET", "/readyz").status == 200)

    def connected():
        try:
            return canary.connect()
        except (OSError, Refused):
            return None
    until("canary back", connected)
    assert canary.order("deploy", about=digest)[0]
    for device in devices:
        if device is not canary:
            device.connect()
    canary.event(number, digest, "succeeded")
    for device in devices:
        if device is not canary:
            assert device.order("deploy", about=digest)[0]
            device.event(number, digest, "succeeded")
    until("completed", lambda: rollout(
        controller, number)["state"] == "completed")
    for device in devices:
        device.serving = digest


# ---- emergency ----

def complete(controller, devices, publisher, version):
    """A release that all devices run; its digest."""
    digest = publisher.publish(version)
    number = start(controller, "tiny@" + version,
                   phases=[{"share_pct": 100}])["id"]
    for device in devices:
        assert device.order("deploy", about=digest)[0]
        device.event(number, digest, "succeeded")
        device.serving = digest
    until("completed", lambda: rollout(
        controller, number)["state"] == "completed")
    return digest


def test_emergency_rollback(controller, devices, publisher, folder):
    bad = complete(controller, devices, publisher, "1.3.9")
    wrong = controller.ask("POST", "/v1/orders", {
        "op": "rollback", "everywhere": True, "release": "tiny@1.3.9", "confirm": "tiny@1.3"})
    assert wrong.status == 422
    assert wrong.json["errors"][0]["pointer"] == "/confirm"
    issued = controller.ask("POST", "/v1/orders", {
        "op": "rollback", "everywhere": True, "release": "tiny@1.3.9",
        "confirm": "tiny@1.3.9", "reason": "answers garbage"})
    assert issued.status == 202, issued.body
    order = issued.json
    assert (order["scope_devices"], order["done"]) == (3, 0)
    for device in devices:
        listed = device.client.wait(
            lambda m: m[0].endswith("/c/order") and order["id"] in
            json.dumps([json.loads(base64.b64decode(e["payload"]))
                        for e in json.loads(m[1])["orders"]]))
        assert listed, "the group's list has the order"
        found, body = device.order("rollback", about=bad)
        assert check_order(held(found), device, folder)["args"]["from"] \
            == [bad]
    devices[0].client.publish(devices[0].topic("ack"), json.dumps({
        "v": 1, "order": order["id"], "outcome": "running", "at_ms": 1}))
    devices[0].client.publish(devices[0].topic("ack"), json.dumps({
        "v": 1, "order": order["id"], "outcome": "done", "took_ms": 42}))
    devices[1].client.publish(devices[1].topic("ack"), json.dumps({
        "v": 1, "order": order["id"], "outcome": "ignored"}))

    def progress():
        return controller.ask("GET", "/v1/orders/" + order["id"]).json
    until("two done", lambda: progress()["done"] == 2)
    assert progress()["state"] == "running"
    # The third one's acknowledgement is lost; its report tells.
    rev = devices[2].order("rollback", about=bad)[0]["rev"]
    devices[2].report(rev - 1)
    devices[2].is_heard()
    assert progress()["pending"] == 1
    devices[2].serving = "sha256:" + "a" * 64
    devices[2].report(rev)
    until("done", lambda: progress()["state"] == "done")
    release = controller.ask("GET", "/v1/releases/tiny@1.3.9").json
    assert release["state"] == "yanked"
    assert controller.ask("POST", "/v1/rollouts", {
        "release": "tiny@1.3.9"}).json["code"] == "release.yanked"


def test_emergency_rollback_stops_a_running_rollout(controller, devices,
                                                    publisher):
    digest = publisher.publish("1.4.0")
    made = start(controller, "tiny@1.4.0")
    canary = canary_of(controller, made["id"], devices)
    canary.serving = digest
    canary.event(made["id"], digest, "succeeded")
    until("phase 2", lambda: rollout(
        controller, made["id"])["phase"] == 2)
    controller.ask("POST", "/v1/orders", {
        "op": "rollback", "everywhere": True, "release": "tiny@1.4.0", "confirm": "tiny@1.4.0"})
    assert rollout(controller, made["id"])["state"] == "rolling-back"
    for device in devices:
        latest = device.order("rollback", about=digest)[0]
        device.serving = "sha256:" + "a" * 64
        device.report(latest["rev"])
    until("rolled back", lambda: rollout(
        controller, made["id"])["state"] == "rolled-back")


def test_a_group_without_devices_takes_nothing_back(controller, publisher):
    publisher.publish("1.4.1")
    refused = controller.ask("POST", "/v1/orders", {
        "op": "rollback", "release": "tiny@1.4.1", "confirm": "tiny@1.4.1",
        "group": "al"})
    assert (refused.status, refused.json["code"]) == (404, "group.absent")
    assert controller.ask(
        "GET", "/v1/releases/tiny@1.4.1").json["state"] == "published"


def test_a_yank_aborts_a_running_rollout(controller, devices, publisher):
    publisher.publish("1.4.2")
    made = start(controller, "tiny@1.4.2")
    canary = canary_of(controller, made["id"], devices)
    assert controller.ask(
        "POST", "/v1/releases/tiny@1.4.2/yank", {}).json["state"] == "yanked"
    stopped = rollout(controller, made["id"])
    assert stopped["state"] == "aborting"
    assert stopped["reason"].startswith("abort: yanked by ")
    abort = canary.order("abort", about=made["id"])[1]
    canary.client.publish(canary.topic("ack"), json.dumps({
        "v": 1, "order": abort["id"], "outcome": "done"}))
    until("aborted", lambda: rollout(
        controller, made["id"])["state"] == "aborted")


def test_freeze_needs_the_fleets_name(controller, devices):
    assert controller.ask("POST", "/v1/orders", {
        "op": "freeze", "everywhere": True, "confirm": "tests"}).status == 422
    frozen = controller.ask("POST", "/v1/orders", {
        "op": "freeze", "everywhere": True, "confirm": "test"})
    assert frozen.status == 202 and frozen.json["op"] == "freeze"
    assert devices[0].client.wait(
        lambda m: m[0].endswith("/order") and "freeze" in "".join(
            base64.b64decode(e["payload"]).decode()
            for e in json.loads(m[1])["orders"]))
    assert controller.ask("POST", "/v1/orders", {
        "op": "unfreeze", "everywhere": True, "confirm": "test"}).status == 202


# ---- telemetry, live events ----

def test_telemetry_is_merged_and_queried(controller, devices, publisher):
    one = devices[0]
    release = publisher.publish("1.6.0")
    for seq in range(1, 4):
        one.client.publish(one.topic("tele"), json.dumps({
            "v": 1, "seq": seq, "window_ms": 1000, "model": "tiny",
            "version": "1.6.0", "release": release,
            "counters": {"requests": 10}, "gauges": {
                "agent_rss_bytes": 1000 * seq, "future": 5}}))

    def query(metric, **more):
        return controller.ask("POST", "/v1/telemetry/query", dict({
            "metric": metric, "by": ["release"]}, **more)).json["series"]

    def requests():
        return sum(s["sum"] for s in query("requests")
                   if s["key"]["release"] == release)
    until("30 requests", lambda: requests() == 30)
    # An invented release makes no series of its own.
    one.client.publish(one.topic("tele"), json.dumps({
        "v": 1, "seq": 9, "release": "sha256:" + "9" * 64,
        "counters": {"requests": 1000}}))
    until("unknown", lambda: [s for s in query("requests")
                           if s["sum"] == 1000])
    assert {s["key"]["release"] for s in query("requests")} == \
        {release, "sha256:" + "0" * 64}
    series = [s for s in query("agent_rss_bytes")
              if s["key"]["release"] == release]
    points = series[0]["points"]
    assert min(p[2] for p in points) == 1000
    assert max(p[4] for p in points) == 3000
    assert controller.ask("POST", "/v1/telemetry/query", {
        "metric": "passwords"}).json["code"] == "rest.schema"
    until("its memory", lambda: controller.ask(
        "GET", "/v1/devices/gw-1").json["rss_bytes"] == 3000)


def test_live_events_resume_where_they_ended(controller, devices):
    box, attached = [], threading.Event()
    both = {devices[0].id, devices[1].id}

    def told(found):
        return {json.loads(e["data"])["id"] for e in found
                if e["event"] == "device"}
    thread = threading.Thread(target=lambda: box.extend(read_events(
        controller, enough=lambda found: both <= told(found),
        attached=attached)))
    thread.start()
    assert attached.wait(HANG_S)
    devices[0].report(1)
    devices[1].report(1)
    joined(thread)
    assert both <= told(box)
    missed = read_events(controller, last=int(box[0]["id"]), count=1)
    assert missed[0]["id"] == box[1]["id"]
    assert read_events(controller, last=5)[0]["event"] == "resync"
    assert read_events(controller, last="x")[0]["event"] == "resync"


# ---- who may ----

def test_roles(controller, devices):
    viewer, operator = controller.access("viewer"), controller.access(
        "operator")
    assert controller.ask("GET", "/v1/devices", token=viewer).status == 200
    for token in ("", "flt_pat_x_y", viewer[:-1] + "0" if viewer[-1] != "0"
                  else viewer[:-1] + "1"):
        answer = controller.ask("GET", "/v1/devices", token=token or "",
                                headers={"X": "y"})
        assert answer.status == 401, answer.body
        assert answer.json["code"] == "rest.auth"
    denied = controller.ask("POST", "/v1/rollouts", {"release": "tiny@1.0.0"},
                            token=viewer)
    assert denied.status == 403 and denied.json["code"] == "rest.role"
    assert controller.ask("POST", "/v1/tokens", {"kind": "enroll"},
                          token=operator).status == 403
    assert controller.ask("PUT", "/v1/blobs/sha256:" + "1" * 64, b"x",
                          token=operator).status == 403
    assert controller.ask("POST", "/v1/rollouts?dry_run=true",
                          {"release": "tiny@1.0.0"},
                          token=viewer).status == 403
    records = controller.ask("GET", "/v1/audit").json["items"]
    assert {"rollout.start", "rollout.plan"} <= {
        r["what"] for r in records if r["result"] == "rest.role"}
    listed = controller.ask("GET", "/v1/tokens").json["items"]
    assert all("token" not in t and "secret" not in t for t in listed)
    mine = [t for t in listed if t.get("role") == "operator"][0]
    assert controller.ask("DELETE", "/v1/tokens/" + mine["id"]).status == 200
    assert controller.ask("GET", "/v1/devices", token=operator).status == 401


def test_requests_with_a_key_happen_once(controller):
    key = {"Idempotency-Key": "k1"}
    body = {"op": "config", "everywhere": True, "heartbeat_ms": 1000, "confirm": "test"}
    one = controller.ask("POST", "/v1/orders", body, headers=key)
    two = controller.ask("POST", "/v1/orders", body, headers=key)
    assert one.json["id"] and one.json == two.json
    assert two.headers["Idempotent-Replayed"] == "true"
    other = controller.ask("POST", "/v1/orders", dict(body, reason="x"),
                           headers=key)
    assert other.status == 422, other.body


def test_bad_requests_are_refused(controller):
    big = b'{"x":"' + b"a" * (2 << 20) + b'"}'
    assert controller.ask("POST", "/v1/rollouts", big).status == 413
    for body in (b"{", b"[]", b"null", b'{"a":1,"a":2}', b"\xff",
                 b"[" * 1000):
        answer = controller.ask("POST", "/v1/rollouts", body)
        assert answer.status == 400, answer.body
        assert answer.json["code"] == "rest.schema"
    assert controller.ask("GET", "/v1/nothing").status == 404
    assert controller.ask("PATCH", "/v1/devices").status == 405
    assert controller.ask(
        "GET", "/v1/devices?group=x%27%20OR%201%3D1--").status == 400
    assert controller.ask("GET", "/v1/devices/%27%20OR%201=1").status == 404
    assert controller.ask("GET", "/v1/devices?limit=-1").status == 400
    for ms in (199, 604800001):  # devices would not take it
        assert controller.ask("POST", "/v1/orders", {
            "op": "config", "everywhere": True, "heartbeat_ms": ms,
            "confirm": "test"}).status == 400


def test_audit_chain_holds_and_shows_tampering(controller):
    before = controller.ask("GET", "/v1/audit/verify").json["records"]
    for _ in range(20):
        controller.enrol_token()
    good = controller.ask("GET", "/v1/audit/verify").json
    assert good["ok"] and good["records"] == before + 20
    text = json.dumps(controller.ask("GET", "/v1/audit").json)
    assert controller.token not in text and "flt1." not in text


def test_the_audit_is_listed_from_either_end(controller):
    def page(query):
        return controller.ask("GET", "/v1/audit?limit=2" + query).json
    first = page("")
    assert [a["number"] for a in first["items"]] == [1, 2]
    assert [a["number"] for a in page("&cursor=" + first["next"])["items"]] \
        == [3, 4]
    records = controller.ask("GET", "/v1/audit/verify").json["records"]
    newest = page("&order=newest")
    last = newest["items"][0]["number"]  # what the controller does is there too
    assert last >= records and newest["items"][1]["number"] == last - 1
    older = page("&order=newest&cursor=" + newest["next"])
    assert [a["number"] for a in older["items"]] == [last - 2, last - 3]
    assert page("&order=newest&cursor=1")["next"] is None
    assert controller.ask("GET", "/v1/audit?order=best").status == 400


# ---- coming ----

def test_a_device_whose_telemetry_comes_first_joins_all_the_same(
        controller, devices, publisher, folder):
    digest = publisher.publish("1.7.0")
    number = start(controller, "tiny@1.7.0", phases=[{"share_pct": 100}])["id"]
    late = Device(controller, folder, "late",
                  controller.enrol_token()).connect(is_silent=True)
    late.client.publish(late.topic("tele"), json.dumps({
        "v": 1, "seq": 1, "window_ms": 1000, "model": "tiny",
        "version": "1.7.0", "release": digest, "counters": {"requests": 77}}))
    until("its telemetry is there", lambda: [
        s for s in controller.ask("POST", "/v1/telemetry/query", {
            "metric": "requests", "by": ["release"]}).json["series"]
        if s["key"]["release"] == digest and s["sum"] == 77])
    # The lane tells of all that it heard at once: also of this one.
    devices[0].client.publish(devices[0].topic("tele"), json.dumps({
        "v": 1, "seq": 10, "window_ms": 1000, "model": "tiny",
        "version": "1.7.0", "release": digest, "counters": {},
        "gauges": {"agent_rss_bytes": 4321}}))
    until("the lane tells of what it heard", lambda: controller.ask(
        "GET", "/v1/devices/gw-1").json["rss_bytes"] == 4321)
    late.comes()
    assert late.order("deploy", about=digest)[1]["args"]["release"] == digest
    assert controller.ask("POST", "/v1/rollouts/%s/actions" % number,
                          {"action": "abort"}).status == 200
    late.client.close()


# ---- leaving ----

def test_a_retired_device_is_refused_everywhere(controller, devices, folder):
    token = controller.enrol_token()
    device = Device(controller, folder, "leaver", token).connect()
    assert controller.ask("DELETE", "/v1/devices/leaver").status == 200
    context = ssl.create_default_context(cafile=controller.ca)
    context.load_cert_chain(device.cert, device.key)
    for path in ("/v1/blobs/sha256:" + "1" * 64, "/v1/trust/statements",
                 "/v1/revoked"):
        answer = controller.ask("GET", path, token="", context=context,
                                base=controller.facts["devices"])
        assert answer.status == 403, path
    device.hears_nothing(controller, devices[0])
    device.client.close()
    try:
        again = Device.connect(device)
    except (Refused, AssertionError, OSError):
        again = None
    if again is not None:
        again.comes_through()
        assert not [m for m in again.client.messages
                    if m[0].endswith("/desired") and m[1]]
