"""A controller that is restarted does not reconnect the fleet: its broker goes
on and is taken over, when it is ours and as it would be started now."""
import os
import signal

import pytest

from controller_parts import Controller, Device
from waits import HANG, Seen, until

LINGER = ("--broker-linger", HANG)


def pids(one):
    """keeper, mosquitto"""
    with open(os.path.join(one.dir, "mosquitto", "broker.pid")) as f:
        words = f.read().split()
    return int(words[0]), int(words[2])


def running(one):
    """Both are there, and the file says so: it is written behind their start."""
    def both():
        try:
            found = pids(one)
        except FileNotFoundError:
            return None
        return found if all(map(is_there, found)) else Seen(found)
    return until("a keeper and a broker", both)


def is_there(pid):
    try:
        with open("/proc/%d/stat" % pid) as f:
            return f.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


@pytest.fixture
def one(tmp_path):
    controller = Controller(str(tmp_path)).start(*LINGER)
    yield controller
    controller.stop(signal.SIGINT)
    until("its broker has ended", lambda: not is_there(pids(controller)[1]))


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_a_restart_disconnects_nobody(one, tmp_path, how):
    device = Device(one, str(tmp_path), "gw", one.enrol_token())
    device.connect()
    witness = Device(one, str(tmp_path), "gw-2", one.enrol_token()).connect()
    keeper, mosquitto = running(one)
    one.stop(how)
    assert is_there(mosquitto)

    one.start(*LINGER)

    assert running(one) == (keeper, mosquitto)
    until("online again", lambda: one.ask(
        "GET", "/v1/devices/gw").json["state"] == "online")
    device.is_heard()  # by the connection that it had
    # It obeys: it reads the ACL that refuses a retired device.  Whether that
    # device still hears its empty desired is nobody's promise.
    assert one.ask("DELETE", "/v1/devices/gw").status == 200
    device.hears_nothing(one, witness)


def test_a_broker_with_other_settings_is_started_again(one):
    _, mosquitto = running(one)
    one.stop()
    one.start("--broker-linger", "1h")
    assert running(one)[1] != mosquitto and not is_there(mosquitto)
    one.stop(signal.SIGKILL)
    one.start(*LINGER)


def test_a_broker_from_before_a_backup_was_restored_is_started_again(one):
    """It keeps lists of orders that the data do not know any more."""
    _, mosquitto = running(one)
    one.stop()
    one.start(*LINGER, "--restored")
    _, restarted = running(one)
    assert restarted != mosquitto and not is_there(mosquitto)
    one.stop()
    one.start(*LINGER)
    assert running(one)[1] == restarted


def test_a_broker_that_died_meanwhile_is_started_again(one):
    keeper, mosquitto = running(one)
    one.stop()
    os.kill(mosquitto, signal.SIGKILL)
    until("the keeper ends", lambda: not is_there(keeper))
    one.start(*LINGER)
    keeper, mosquitto = running(one)
    # And so is one that dies while it is ours.
    os.kill(mosquitto, signal.SIGKILL)
    until("another one", lambda: pids(one)[1] != mosquitto)
    until("ready", lambda: one.ask("GET", "/readyz").status == 200)


def test_a_stranger_with_that_pid_is_left_alone(one):
    """A machine was restarted: the numbers are of other processes now."""
    _, mosquitto = running(one)
    one.stop(signal.SIGINT)
    until("its broker has ended", lambda: not is_there(mosquitto))
    path = os.path.join(one.dir, "mosquitto", "broker.pid")
    with open(path) as f:
        words = f.read().split()
    words[0] = words[2] = str(os.getpid())
    with open(path, "w") as f:
        f.write(" ".join(words))
    one.start(*LINGER)
    assert is_there(os.getpid())
    assert running(one)[0] != os.getpid()


def test_a_broker_that_nobody_comes_back_to_ends(tmp_path):
    """That it is there for a while: the tests of a restart."""
    controller = Controller(str(tmp_path)).start("--broker-linger", "1s")
    keeper, mosquitto = running(controller)
    controller.stop()
    until("both end",
          lambda: not is_there(keeper) and not is_there(mosquitto))
