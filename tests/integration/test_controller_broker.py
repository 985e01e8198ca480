"""Work that the controller could not do when its broker needed it is done
later."""
import os
import shutil
import signal
import sqlite3

import pytest

import sets
from controller_parts import Controller, Device
from waits import HANG, HANG_S, same, stopped, until

ESTABLISHED = "01"  # in /proc/net/tcp


@pytest.fixture(scope="module")
def token(controller):
    return controller.enrol_token()


def state(controller, name):
    return controller.ask("GET", "/v1/devices/" + name).json["state"]


def after_its_first_tick(controller):
    """A fresh start whose first tick is over: it writes, and would wait for a
    lock.  It forgets tokens that ended long ago."""
    old = controller.ask("POST", "/v1/tokens", {"kind": "enroll"}).json["id"]
    controller.stop()
    with sqlite3.connect(os.path.join(controller.dir, "control.db")) as base:
        base.execute("UPDATE token SET expires_at = 1 WHERE id = ?", (old,))
    base.close()
    controller.start()
    until("the old token is forgotten", lambda: old not in [
        one["id"] for one in controller.ask(
            "GET", "/v1/tokens").json["items"]])


def clients_of(pid):
    """Connections that a broker has taken."""
    own = set(sets.descriptors(pid).values())
    with open("/proc/net/tcp") as table:
        rows = [line.split() for line in table.readlines()[1:]]
    return [row for row in rows
            if row[3] == ESTABLISHED and "socket:[%s]" % row[9] in own]


def restarts_a_broker_that_stands(controller):
    """The broker dies; the next one stands still before anybody is connected
    to it.  Its pid."""
    def stop_next():
        old = controller.mosquitto()
        os.kill(old, signal.SIGKILL)
        new, = until("another broker", lambda: brokers_but(controller, old))
        stopped(new)
        return clients_of(new) == [] and new
    return until("a broker that stands", stop_next)


def brokers_but(controller, old):
    return [pid for pid in sets.processes(controller.process.pid, "mosquitto")
            if pid != old]


def test_a_store_that_is_locked_when_the_broker_is_back_makes_nobody_deaf(
        controller, folder, token):
    device = Device(controller, folder, "gw-1", token)
    after_its_first_tick(controller)
    device.connect()
    until("online", lambda: state(controller, "gw-1") == "online")

    def count(words):
        with open(controller.dir + ".log") as log:
            return log.read().count(words)

    def published():
        return count("mqtt published ")
    broker = restarts_a_broker_that_stands(controller)
    before = published()
    failed = count("mqtt db.failed")
    base = sqlite3.connect(os.path.join(controller.dir, "control.db"),
                           isolation_level=None, timeout=HANG_S)
    base.execute("BEGIN IMMEDIATE")
    os.kill(broker, signal.SIGCONT)
    device.client.wait_closed()
    until("it fails as it begins to listen",
          lambda: count("mqtt db.failed") > failed)
    # An aged document does not go out before it is signed again.
    assert published() == before
    base.execute("ROLLBACK")
    base.close()
    until("offline", lambda: state(controller, "gw-1") == "offline")
    until("a broker", lambda: controller.ask(
        "GET", "/readyz").status == 200)
    device.connect()
    until("online again", lambda: state(controller, "gw-1") == "online")
    until("it is published once", lambda: same(published(), before + 1))
    device.client.close()


def test_a_new_broker_gets_documents_of_those_who_come(controller, folder,
                                                       token):
    """And not of 100,000 that are away."""
    device = Device(controller, folder, "seldom", token)

    def connections():
        with open(controller.dir + ".log") as log:
            return log.read().count("mqtt connected to")
    old, said = controller.mosquitto(), connections()
    os.kill(old, signal.SIGKILL)
    until("another broker", lambda: brokers_but(controller, old))
    until("connected", lambda: connections() > said)
    until("ready", lambda: controller.ask("GET", "/readyz").status == 200)
    device.connect(is_silent=True)
    device.client.subscribe("flotilla/v1/test/c/mark")

    def has(word):
        return any(m[0].endswith(word) for m in device.client.messages)
    until("all that leaves at once has left", lambda: has("/mark"))
    device.client.subscribe(device.topic("desired"))
    device.comes_through()
    assert not has("/desired"), device.client.messages
    device.comes()
    until("its document", lambda: has("/desired"))
    device.client.close()


def test_who_was_retired_while_the_acl_could_not_be_written_is_kept_out(
        controller, folder, token):
    device = Device(controller, folder, "leaver", token).connect()
    acl = os.path.join(controller.dir, "mosquitto", "acl")
    os.remove(acl)
    os.makedirs(os.path.join(acl, "in the way"))
    answer = controller.ask("DELETE", "/v1/devices/leaver")
    assert (answer.status, answer.json["code"]) == (503, "mqtt.list"), answer.body
    assert "mosquitto/acl" in answer.json["why"], answer.body
    # The change stands, and calls that change no list are answered as ever.
    assert controller.ask("GET", "/v1/devices/leaver").status == 404
    controller.enrol_token()
    shutil.rmtree(acl)
    until("an ACL", lambda: os.path.isfile(acl) and
          device.id in open(acl).read())
    device.hears_nothing(controller, Device(
        controller, folder, "stayer", token).connect())
    device.client.close()


def test_connections_that_are_cut_do_not_fill_the_log(controller, folder,
                                                      token):
    """Whether the broker has a keeper (its log) or not (the controller's).
    The controller's own connection to a broker that was killed ends so, too."""
    log = controller.dir + ".log"
    logs_of_cut_connections(controller, folder, token, log)


def test_connections_that_are_cut_do_not_fill_the_brokers_log(tmp_path):
    kept = Controller(str(tmp_path)).start("--broker-linger", HANG)
    log = os.path.join(kept.dir, "mosquitto", "log")
    try:
        logs_of_cut_connections(kept, str(tmp_path), kept.enrol_token(), log)
    finally:
        kept.stop(signal.SIGINT)


def logs_of_cut_connections(controller, folder, token, path):
    def text():
        with open(path, errors="replace") as log:
            return log.read()
    device = Device(controller, folder, "cut", token).connect()
    device.client.kill()
    until("it is counted", lambda: "without TLS's goodbye" in text())
    for _ in range(3):
        device.connect().client.kill()
    until("it is away", lambda: state(controller, "cut") == "offline")
    assert "OpenSSL Error" not in text(), text()
