"""Work that the controller could not do when its broker needed it is done
later."""
import os
import shutil
import signal
import sqlite3

import pytest

from controller_parts import Device, pass_time
from waits import until


@pytest.fixture(scope="module")
def token(controller):
    return controller.enrol_token()


def state(controller, name):
    return controller.ask("GET", "/v1/devices/" + name).json["state"]


def test_a_store_that_is_locked_when_the_broker_is_back_makes_nobody_deaf(
        controller, folder, token):
    device = Device(controller, folder, "gw-1", token).connect()
    until("online", lambda: state(controller, "gw-1") == "online")
    pass_time(1.5)  # the first tick writes too, and would wait instead

    def published():
        with open(controller.dir + ".log") as log:
            return log.read().count("mqtt published ")
    before = published()
    base = sqlite3.connect(os.path.join(controller.dir, "control.db"),
                           isolation_level=None)
    base.execute("BEGIN IMMEDIATE")
    os.kill(controller.mosquitto(), signal.SIGKILL)
    device.client.wait_closed()
    pass_time(9)  # longer than a statement waits for the lock
    # An aged document does not go out before it is signed again.
    assert published() == before
    base.execute("ROLLBACK")
    base.close()
    until("offline", lambda: state(controller, "gw-1") == "offline")
    until("a broker", lambda: controller.ask(
        "GET", "/readyz").status == 200)
    device.connect()
    until("online again", lambda: state(controller, "gw-1") == "online")
    assert published() == before + 1
    device.client.close()


def test_who_was_retired_while_the_acl_could_not_be_written_is_kept_out(
        controller, folder, token):
    device = Device(controller, folder, "leaver", token).connect()
    acl = os.path.join(controller.dir, "mosquitto", "acl")
    os.remove(acl)
    os.makedirs(os.path.join(acl, "in the way"))
    assert controller.ask("DELETE", "/v1/devices/leaver").status == 200
    until("it cannot be written", lambda: "mosquitto/acl" in open(
        controller.dir + ".log").read())
    shutil.rmtree(acl)
    until("an ACL", lambda: os.path.isfile(acl) and
          device.id in open(acl).read())
    device.hears_nothing(controller, Device(
        controller, folder, "stayer", token).connect())
    device.client.close()
