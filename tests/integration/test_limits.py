"""The most that one request may cost: the controller has one thread, and an
emergency order waits for it."""
import http.server
import json
import os
import sqlite3
import subprocess
import threading

import pytest

from controller_parts import (BIN, Device, Publisher, read_events, start)
from waits import HANG, HANG_S, joined, until, wall_ms

ROWS = 400000
STEP_MS = 5000
MINUTE = 60
ONE = ("r-0001", "--confirm", "tiny@1")
TAKE_BACK = ("--release", "tiny@1.0.0", "--everywhere", "--confirm",
             "tiny@1.0.0")
# As the dashboard asks.
DASHBOARD = {"metric": "requests", "by": ["release"], "since_ms": 600000,
             "step_ms": STEP_MS, "quantiles": [0.5, 0.95]}


def fill(controller):
    """So many rows of 4,000 devices; the time (ms) of the last of them."""
    now = wall_ms() // 1000
    with sqlite3.connect(os.path.join(controller.dir, "telemetry.db")) as base:
        base.execute(
            "WITH RECURSIVE r(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM r"
            " WHERE i + 1 < ?1) INSERT INTO window SELECT ?2,"
            " ?3 - ?2 * (i / 4000), 1 + i % 4000, 5000, x'0105010100' FROM r",
            (ROWS, MINUTE, now - now % MINUTE))
        base.execute("INSERT INTO name VALUES (5000, 1, 'sha256:' ||"
                     " printf('%064d', 0), '')")
        base.execute(
            "WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM r"
            " WHERE i < 4000) INSERT INTO name SELECT i, 0,"
            " 'device-' || i, '' FROM r")
    base.close()
    return now * 1000


def test_a_viewers_query_does_not_stop_the_controller(controller, folder):
    viewer = controller.access("viewer")
    device = Device(controller, folder, "gw", controller.enrol_token())
    controller.stop()
    last_ms = fill(controller)
    controller.start()
    device.connect()
    device.client.publish(device.topic("tele"), json.dumps({
        "v": 1, "seq": 1, "window_ms": 1000, "counters": {"requests": 7}}))

    def ask(**more):
        return controller.ask("POST", "/v1/telemetry/query",
                              dict(DASHBOARD, **more), token=viewer)
    # The dashboard's query reads what all devices came to, not each.
    until("the dashboard's query", lambda: [
        s for s in ask().json["series"] if s["sum"] == 7])
    # Coarse rows there are few of; the fine ones are too many.
    assert ask(by=["release", "device"],
               since_ms=30 * 86400 * 1000).status == 200
    refused = ask(by=["release", "device"], since_ms=7200000)
    assert (refused.status, refused.json["code"]) == (429, "rest.limit")
    assert "40000" in refused.json["detail"], refused.body
    assert "shorten since_ms" in refused.json["fix"], refused.body
    few = ask(by=["device"],
              since_ms=wall_ms() - last_ms + 4 * MINUTE * 1000).json
    assert len(few["series"]) > 4000
    device.client.close()


def test_a_rollout_is_shown_without_its_devices_when_asked(controller,
                                                           folder):
    Device(controller, folder, "shown", controller.enrol_token()).connect()
    until("it is there", lambda: controller.ask(
        "GET", "/v1/devices/shown").json["state"] == "online")
    Publisher(controller, folder).publish("1.0.0")
    path = "/v1/rollouts/" + start(controller, "tiny@1.0.0")["id"]
    whole = controller.ask("GET", path).json
    names = {d["name"] for d in whole.pop("devices")}
    assert "shown" in names
    assert controller.ask("GET", path + "?devices=0").json == whole
    assert len(controller.ask("GET", path + "?devices=1").json["devices"]) == 1
    assert controller.ask("GET", path + "?devices=no").status == 400
    assert controller.ask("GET", path + "?devices=1001").status == 400


def test_all_devices_of_a_rollout_come_by_pages(controller, folder):
    token = controller.enrol_token()
    names = {"page-%d" % i for i in range(5)}
    devices = [Device(controller, folder, name, token, {"part": "pages"})
               .connect() for name in sorted(names)]
    until("they are there", lambda: controller.ask(
        "GET", "/v1/devices?where=label.part=pages%20and%20state=online"
    ).json["total"] == len(names))
    Publisher(controller, folder).publish("1.0.0", model="paged")
    path = "/v1/rollouts/" + start(controller, "paged@1.0.0")["id"]
    ask, pages = "/devices?limit=2&where=label.part=pages", []
    while not pages or pages[-1]["next"]:
        cursor = "&cursor=" + pages[-1]["next"] if pages else ""
        answer = controller.ask("GET", path + ask + cursor)
        assert answer.status == 200, answer.body
        pages.append(answer.json)
        renamed = controller.ask("PATCH", "/v1/devices/" + devices[0].id,
                                 {"name": "page-0-%d" % len(pages)})
        assert renamed.status == 200, renamed.body
    shown = [device for page in pages for device in page["items"]]
    assert [len(page["items"]) for page in pages] == [2, 2, 1]
    assert len({device["id"] for device in shown}) == len(names)
    assert {name["name"] for name in shown if name["name"] in names
            } >= names - {"page-0"}
    whole = controller.ask("GET", path).json["devices"]
    by_id = {device["id"]: device for device in whole}
    for device in shown:
        device["name"] = by_id[device["id"]]["name"]
        assert device == by_id[device["id"]]
    assert controller.ask("GET", path + "/devices?only=failed").json == {
        "items": [], "next": None}
    assert len(controller.ask("GET", path + "/devices?only=not-done").json[
        "items"]) == len(whole)
    for wrong in ("only=good", "where=nosuch(", "limit=0", "limit=1001"):
        assert controller.ask("GET", path + "/devices?" + wrong
                              ).status in (400, 422), wrong
    assert controller.ask("GET", "/v1/rollouts/r-9999/devices").status == 404
    for device in devices:
        device.client.close()


def against(controller, answer, *words, form="json"):
    """`flotilla rollout` with a controller that gives answer(1), answer(2), …;
    what it was asked, once it was told to act where it is."""
    asked = []
    acts = [words[0] != "rollback"]

    class Stub(http.server.BaseHTTPRequestHandler):
        def send(self, status, document):
            body = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self):
            if acts[0]:
                asked.append(self.path)
            self.send(200, answer(len(asked)))

        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            acts[0] = True
            self.send(202, answer(0))

        def log_message(self, *_):
            pass
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Stub)
    threading.Thread(target=server.serve_forever, args=(0.01,),
                     daemon=True).start()
    done = subprocess.run(
        [os.path.join(BIN, "flotilla"), "rollout", *words, "-o", form,
         "--controller", "http://127.0.0.1:%d" % server.server_port,
         "--token-file", controller.facts["token"]],
        capture_output=True, text=True, timeout=HANG_S)
    server.shutdown()
    return done, asked


def test_waiting_asks_for_the_devices_of_a_rollout_at_its_end_only(
        controller):
    """Four times a second; of 10,000 devices an answer takes 0.1 s."""
    done, asked = against(controller, lambda n: {
        "id": "r-0001", "state": "running" if n < 3 else "completed",
        "phases": []}, "wait", "r-0001")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["state"] == "completed"
    assert asked == ["/v1/rollouts/r-0001?devices=0"] * 3 + [
        "/v1/rollouts/r-0001"]


def large(n):
    """A rollout of three devices of which its answer has one."""
    return [{"id": "r-0001", "state": "running", "members": 3, "phases": [],
             "devices": [{"name": "gw-2", "state": "failed"}]},
            {"items": [{"name": "gw-10"}, {"name": "gw-2"}], "next": "b"},
            {"items": [{"name": "gw-1"}], "next": None}][n - 1]


@pytest.mark.parametrize("form", ["json", "wide"])
def test_all_devices_of_a_large_rollout_are_shown_where_all_are_asked_for(
        controller, form):
    done, asked = against(controller, large, "get", "r-0001", form=form)
    assert done.returncode == 0, done.stderr
    path = "/v1/rollouts/r-0001"
    assert asked == [path, path + "/devices", path + "/devices?cursor=b"]
    at = [done.stdout.index(name) for name in ("gw-1", "gw-2", "gw-10")]
    assert at == sorted(at), done.stdout


def test_a_table_says_how_many_devices_it_leaves_out(controller):
    done, asked = against(controller, large, "get", "r-0001", form="table")
    assert done.returncode == 0, done.stderr
    assert asked == ["/v1/rollouts/r-0001"]
    assert "2 more devices: -o wide" in done.stdout, done.stdout


@pytest.mark.parametrize("path,count,words", [
    ("/v1/rollouts/r-0001", "back", ONE),
    ("/v1/orders/o-0001", "done", TAKE_BACK)])
def test_waiting_for_a_rollback_asks_for_counts(controller, path, count,
                                                words):
    done, asked = against(controller, lambda n: {
        "id": path[-6:], "release": "tiny@1", count: min(n, 4),
        "awaited": max(4 - n, 0)},
        "rollback", *words, "--wait", "--timeout", HANG)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["awaited"] == 0
    assert asked == [path] + [path + "?devices=0"] * 3 + [path]


def test_an_older_controller_does_not_say_whom_it_awaits(controller):
    done, asked = against(controller, lambda n: {
        "id": "o-0001", "online": 3, "done": min(n, 2), "failed": int(n > 3)},
        "rollback", *TAKE_BACK, "--wait", "--timeout", HANG)
    assert "1 of 3 devices did not get there" in done.stderr, done.stderr
    assert asked == ["/v1/orders/o-0001"] * 4
    done, asked = against(controller, lambda n: {
        "id": "r-0001", "release": "tiny@1", "devices": [{"state": "succeeded", "online": True,
                                     "back": n > 2}]},
        "rollback", *ONE, "--wait", "--timeout", HANG)
    assert done.returncode == 0, done.stderr
    assert asked == ["/v1/rollouts/r-0001"] * 3


def test_an_order_of_a_thousand_devices_is_shown_in_few_bytes(
        controller, folder):
    device = Device(controller, folder, "acks", controller.enrol_token())
    device.connect()
    order = controller.ask("POST", "/v1/orders", {
        "op": "freeze", "everywhere": True, "confirm": "test"}).json
    controller.stop()  # it has in memory who is asked
    with sqlite3.connect(os.path.join(controller.dir, "control.db"),
                         timeout=HANG_S) as base:
        base.execute(
            "WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM r"
            " WHERE i < 1000) INSERT INTO outcome (ord, device, outcome, took)"
            " SELECT ?, 'd-' || i, 0, 0"
            " FROM r", (order["id"],))
    base.close()
    controller.start()
    device.connect()
    box, attached = [], threading.Event()
    thread = threading.Thread(daemon=True, target=lambda: box.extend(read_events(
        controller, attached=attached, enough=lambda found: found and
        found[-1]["event"] == "order" and
        json.loads(found[-1]["data"])["done"] == 1)))
    thread.start()
    until("the reader is there", attached.is_set)
    device.client.publish(device.topic("ack"), json.dumps({
        "v": 1, "order": order["id"], "outcome": "done", "took_ms": 3}))
    joined(thread)
    assert len(box[-1]["data"]) < 4096
    listed = controller.ask("GET", "/v1/orders")
    assert listed.json["items"][0]["scope_devices"] > 1000
    assert controller.ask("POST", "/v1/orders", {
        "op": "unfreeze", "everywhere": True,
        "confirm": "test"}).status == 202
    assert len(listed.body) < 4096 * len(listed.json["items"])
    path = "/v1/orders/" + order["id"]
    assert len(controller.ask("GET", path).json["devices"]) == 200
    few = controller.ask("GET", path + "?devices=3").json["devices"]
    assert [d["outcome"] for d in few] == ["pending"] * 3
    device.client.close()
