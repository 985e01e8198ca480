"""What one request may cost: the controller has one thread, and an emergency
order waits for whatever it does."""
import json
import os
import sqlite3
import time

from controller_parts import Device, until

ROWS = 400000
STEP_MS = 5000
# As the dashboard asks.
DASHBOARD = {"metric": "requests", "by": ["release"], "since_ms": 600000,
             "step_ms": STEP_MS, "quantiles": [0.5, 0.95]}


def fill(controller):
    """So many rows of 4,000 devices, the last of them of now."""
    now = int(time.time() * 1000)
    with sqlite3.connect(os.path.join(controller.dir, "telemetry.db")) as base:
        base.execute(
            "WITH RECURSIVE r(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM r"
            " WHERE i + 1 < ?1) INSERT INTO number SELECT ?2, 'requests',"
            " ?3 - ?2 * (i / 4000), 'sha256:' || printf('%064d', 0),"
            " 'device-' || (i % 4000), 1, 1, 1, 1 FROM r",
            (ROWS, STEP_MS, now - now % STEP_MS))
    base.close()


def test_a_viewers_query_does_not_stop_the_controller(controller, folder):
    viewer = controller.access("viewer")
    device = Device(controller, folder, "gw", controller.enrol_token())
    controller.stop()
    fill(controller)
    controller.start()
    device.connect()
    device.client.publish(device.topic("tele"), json.dumps({
        "v": 1, "seq": 1, "window_ms": 1000, "counters": {"requests": 7}}))

    def ask(**more):
        return controller.ask("POST", "/v1/telemetry/query",
                              dict(DASHBOARD, **more), token=viewer)
    # The dashboard's query reads what all devices came to, not each.
    until("the dashboard's query", 10, lambda: [
        s for s in ask().json["series"] if s["sum"] == 7])
    begin = time.monotonic()
    refused = ask(by=["release", "device"], since_ms=30 * 86400 * 1000,
                  step_ms=STEP_MS)
    # Coarse rows there are few of; the fine ones are too many.
    assert refused.status == 200
    refused = ask(by=["release", "device"])
    took = time.monotonic() - begin
    assert (refused.status, refused.json["code"]) == (429, "rest.limit")
    assert "40000" in refused.json["detail"], refused.body
    assert "shorten since_ms" in refused.json["fix"], refused.body
    assert took < 1, took
    assert len(ask(by=["device"], since_ms=4 * STEP_MS).json["series"]) > 4000
    device.client.close()
