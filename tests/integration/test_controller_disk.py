"""A controller whose disk does not take what it writes: nobody is told that
something is stored, and all of it is stored when the disk works again."""
import itertools
import json
import os
import signal

import pytest

from controller_parts import Controller, Device, metric
from test_failing_disk import FOR_GOOD, fail_as, preload
from waits import until


class Disk:
    """Under a controller: its syncs fail as told."""

    def __init__(self, folder):
        self.env = preload(folder)
        self.file = self.env["FLO_FAILS"]

    def fail(self, times=FOR_GOOD):
        fail_as(self.file, "fdatasync", "control.db-wal", times)

    def work(self):
        os.unlink(self.file)


@pytest.fixture
def on_disk(tmp_path_factory, monkeypatch):
    folder = str(tmp_path_factory.mktemp("c"))
    disk = Disk(folder)
    with monkeypatch.context() as context:
        for name, value in disk.env.items():
            context.setenv(name, value)
        one = Controller(folder).start()
    yield one, disk, folder
    one.stop(signal.SIGKILL)


def make_token(controller, key):
    return controller.ask("POST", "/v1/tokens", {
        "kind": "access", "role": "viewer", "name": key},
        headers={"Idempotency-Key": key})


def test_nothing_is_answered_as_done_before_the_disk_has_it(on_disk):
    controller, disk, _ = on_disk
    numbers = itertools.count(1)

    def in_doubt():
        """Another commit of the controller may have had the first failure:
        then this one is refused before it begins."""
        disk.fail()
        name = "doubt-%d" % next(numbers)
        answer = make_token(controller, name)
        if answer.status != 201:
            assert answer.json["code"] == "db.failed", answer.body
        if answer.status != 201 and "not known" in answer.body.decode():
            return name
        disk.work()
        until("the disk", lambda: make_token(
            controller, "fine-%d" % next(numbers)).status == 201)
        return None

    doubt = until("a commit of ours in doubt", in_doubt)
    refused = make_token(controller, "k2")
    assert refused.json["code"] == "db.failed", refused.body
    assert controller.ask("GET", "/healthz").status == 200
    assert metric(controller, "commits_failed_total") >= 1

    disk.work()
    until("the disk",
          lambda: make_token(controller, "k3").status == 201)
    names = [item["name"] for item in
             controller.ask("GET", "/v1/tokens").json["items"]]
    assert doubt in names and "k3" in names and "k2" not in names


def test_an_event_is_acknowledged_after_the_sync_that_stored_it(on_disk):
    controller, disk, folder = on_disk
    device = Device(controller, folder, "d1", controller.enrol_token())
    device.connect()
    device.is_heard()
    disk.fail()
    device.seq += 1
    device.client.publish(device.topic("event"), json.dumps({
        "v": 1, "boot": device.boot, "seq": device.seq, "at_ms": 1,
        "type": "note"}))

    def is_acked(message):
        return (message[0].endswith("/cmd") and message[1] and
                json.loads(message[1]).get("ack", 0) >= device.seq)
    until("the failure",
          lambda: metric(controller, "commits_failed_total") >= 1)
    device.comes_through()
    assert not any(is_acked(m) for m in device.client.messages)

    disk.work()
    assert device.client.wait(is_acked)


def test_a_failure_of_one_moment_is_made_good_without_a_restart(on_disk):
    controller, disk, _ = on_disk
    numbers = itertools.count(1)

    def fails_once():
        """Another commit of the controller may have had the failure."""
        disk.fail(1)
        name = "doubt-%d" % next(numbers)
        return make_token(controller, name).json.get(
            "code") == "db.failed" and name

    doubt = until("a commit of ours that failed", fails_once)
    assert make_token(controller, "k2").status == 201
    controller.stop()
    disk.work()
    controller.start()
    names = [item["name"] for item in
             controller.ask("GET", "/v1/tokens").json["items"]]
    assert doubt in names and "k2" in names
