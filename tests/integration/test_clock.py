"""A device whose clock is wrong, against the real controller and broker.

Enrolment and downloads go through libcurl, the broker through paho: each of
them verifies certificates, and none may ask a clock that says 1970.
"""
import os
import shutil
import subprocess

import pytest

from bad_parts import rest
from conftest import ROOT
from controller_parts import Controller, Device
from waits import until, wall_s

CLOCK = os.environ.get("FLOTILLA_CLOCK", os.path.join(
    ROOT, "build", "release", "tests", "libclock.so"))
YEAR_S = 365 * 86400


def with_clock(folder, shift_s):
    """The environment of programs that have that clock.  A preloaded library's
    path has no blank, and a checkout's may."""
    library = os.path.join(folder, "libclock.so")
    if not os.path.exists(library):
        shutil.copy(CLOCK, library)
    return {"LD_PRELOAD": library, "FLO_CLOCK_SHIFT": str(int(shift_s))}


def set_clock(fleet, shift_s):
    """All programs of the fleet that start from now on have that clock."""
    fleet.env.update(with_clock(fleet.dir, shift_s))


def set_right(fleet):
    fleet.env.pop("LD_PRELOAD")


def log_of(device):
    with open(device.log, encoding="utf-8", errors="replace") as file:
        return file.read()


def day_of(seconds):
    return subprocess.run(["date", "-u", "-d", "@%d" % seconds, "+%F"],
                          check=True, capture_output=True,
                          text=True).stdout.strip()


def holds(fleet):
    """From when to when the broker's certificate holds, in days."""
    with open(os.path.join(fleet.dir, "controller", "pki", "server.pem"),
              encoding="ascii") as file:
        said = subprocess.run(
            ["openssl", "x509", "-noout", "-dates", "-dateopt", "iso_8601"],
            stdin=file, check=True, capture_output=True, text=True).stdout
    return [line.split("=")[1][:10] for line in said.split("\n") if line]


@pytest.fixture(scope="module")
def fleet_of_1970(fleet):
    fleet.up([])
    fleet.publish("tiny@1", "tiny-v2.Q4_0.gguf")
    set_clock(fleet, 3600 - wall_s())
    fleet.add_device("a", fleet.token)
    set_right(fleet)
    fleet.online(["a"])
    return fleet


def test_a_device_of_1970_enrols_connects_and_takes_a_release(fleet_of_1970):
    fleet = fleet_of_1970
    device = fleet.devices["a"]
    assert "clock.untrusted" in log_of(device)

    assert fleet.roll("tiny@1")["state"] == "completed"
    assert device.ask("Q:", "tiny")[1] == "tiny@1"


def test_orders_reach_a_device_of_1970(fleet_of_1970):
    fleet = fleet_of_1970
    fleet.admin = open(fleet.admin_token).read().strip()
    for op in ("freeze", "unfreeze"):
        order = fleet.ask("rollout", op, "--confirm", "test")["id"]
        until("%s is done" % op, lambda o=order: rest(
            fleet, "GET", "/v1/orders/" + o)[1]["done"] == 1)


def test_a_clock_ten_years_ahead_costs_an_enrolment_alone(fleet_of_1970):
    """A device that knows the time goes by it.  One that enrols has its clock
    alone: who is refused hears both times of the certificate, and the clock's."""
    fleet = fleet_of_1970
    device = fleet.devices["a"]
    device.stop()
    begin = len(log_of(device))
    set_clock(fleet, 10 * YEAR_S)
    words = ["certificate has expired", "net.tls", "it holds from ",
             "clock says %s-" % day_of(wall_s() + 10 * YEAR_S)[:4],
             "which may be wrong"]
    words += holds(fleet)
    device.start()
    until("it is back", lambda: "connected to" in log_of(device)[begin:])
    assert "clock.untrusted" in log_of(device)[begin:]
    assert device.ask("Q:", "tiny")[1] == "tiny@1"
    refused = fleet.program(
        "flotilla-agent", "enroll", "--controller", fleet.devices_url,
        "--token-file", fleet.token, "--state-dir",
        os.path.join(fleet.dir, "late"), "--name", "late", check=False)[2]
    assert all(word in refused for word in words), refused
    set_right(fleet)
    device.stop()
    set_clock(fleet, 3600 - wall_s())
    device.start()
    set_right(fleet)
    fleet.online(["a"])


def test_a_controller_whose_authority_has_ended_makes_the_next(tmp_path):
    """It starts, says so, and devices enrol by the new one."""
    controller = Controller(str(tmp_path))
    os.mkdir(controller.dir)
    controller.start().stop()
    pki = os.path.join(controller.dir, "pki")
    subprocess.run(
        ["openssl", "req", "-x509", "-new", "-days", "1", "-subj",
         "/CN=Flotilla test", "-key", os.path.join(pki, "ca.key"), "-out",
         os.path.join(pki, "ca.pem")], check=True, capture_output=True,
        env=dict(os.environ, **with_clock(str(tmp_path), -172800)))

    controller.start()
    try:
        now = controller.ask("GET", "/v1/ca").json["authorities"]
        assert [a["signs_controller"] for a in now] == [False, True]
        device = Device(controller, str(tmp_path), "a",
                        controller.enrol_token())
        assert device.answer.status == 201
        device.connect().client.close()
        with open(controller.dir + ".log") as log:
            assert "another one is made" in log.read()
    finally:
        controller.stop()
