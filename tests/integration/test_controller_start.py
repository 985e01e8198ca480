"""How the controller starts and what it refuses: folders, ports, options,
users, brokers of others, and that it tells everybody."""
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import urllib.error
import urllib.request

import pytest

import fleet as F
from controller_parts import (BIN, Controller, Device, Publisher, held, listens,
                              start)
from waits import HANG_S, until, wall_s


def test_ten_thousand_desired_are_published_and_the_last_one_hears(folder):
    place = os.path.join(folder, "many")
    os.makedirs(place)
    one = Controller(place).start()
    try:
        device = Device(one, place, "last", one.enrol_token())
        one.stop()
        with sqlite3.connect(os.path.join(one.dir, "control.db")) as base:
            for i in range(10000):
                row = "00000000-0000-4000-8000-%012x" % i
                base.execute("INSERT INTO device (id, name, labels, profile,"
                             " groups, enrolled_at) VALUES (?,?,'{}','{}',"
                             "'[\"all\"]',1)", (row, "n%d" % i))
                base.execute("INSERT INTO device_group (grp, device)"
                             " VALUES ('all',?)",
                             (row,))
                base.execute("INSERT INTO desired (device, rev)"
                             " VALUES (?,1)", (row,))
        base.close()
        one.start("--seal-again")
        device.connect()
        publisher = Publisher(one, place)
        digest = publisher.publish("1.0.0")
        start(one, "tiny@1.0.0", phases=[{"share_pct": 100}],
              starts_per_s=100000)
        assert device.order("deploy", digest)[0]
        # All 10,001 get a rollback, this one as the last of them.
        order = one.ask("POST", "/v1/orders", {
            "op": "rollback", "everywhere": True, "release": "tiny@1.0.0",
            "confirm": "tiny@1.0.0"}).json
        assert order["scope_devices"] == 10001
        assert device.order("rollback", digest)[0]
    finally:
        one.stop()


def test_only_one_controller_per_folder(controller):
    second = subprocess.run(
        [os.path.join(BIN, "flotilla-controller"), "--data", controller.dir,
         "--listen", "127.0.0.1:0"], capture_output=True, text=True,
        timeout=HANG_S)
    assert second.returncode == 5
    assert "error[state.locked]" in second.stderr


def test_a_port_in_use_is_said(controller, folder):
    port = controller.rest.rsplit(":", 1)[1]
    second = subprocess.run(
        [os.path.join(BIN, "flotilla-controller"), "--data",
         os.path.join(folder, "second"), "--listen", "127.0.0.1:" + port],
        capture_output=True, text=True, timeout=HANG_S)
    assert second.returncode == 5
    assert "error[net.port_in_use]" in second.stderr


def test_ports_that_were_free_at_the_first_start_are_kept(folder):
    place = os.path.join(folder, "kept")
    os.makedirs(place)
    flags = ("--listen", "127.0.0.1:0", "--broker", "embedded")
    one = Controller(place).start(*flags)
    names = [one.facts["devices"], one.facts["broker"]]
    one.stop()
    for name in names:
        F.held_port(int(name.rsplit(":", 1)[1]))
    one.start(*flags)
    try:
        assert [one.facts["devices"], one.facts["broker"]] == names
    finally:
        one.stop()


def test_it_runs_without_root_in_a_folder_with_a_space(folder):
    place = os.path.join(folder, "a b")
    os.makedirs(place)
    # The tree may lie where only root looks.
    program = shutil.copy(os.path.join(BIN, "flotilla-controller"), place)
    command = [program, "--data", os.path.join(place, "data"), "--listen",
               "127.0.0.1:0"]
    if os.geteuid() == 0:
        os.chmod(folder, 0o711)
        os.chown(place, 65534, 65534)
        command = ["setpriv", "--reuid", "65534", "--regid", "65534",
                   "--clear-groups"] + command
    process = subprocess.Popen(command, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True)
    try:
        facts = {}
        for line in process.stdout:
            facts[line.split(None, 1)[0]] = line.split(None, 1)[1].split()[0]
            if "token" in facts:
                break
        assert "rest" in facts, process.stderr.read()

        def ready():
            try:
                with urllib.request.urlopen(facts["rest"] + "/readyz") as r:
                    return r.status == 200
            except urllib.error.HTTPError:
                return False
        until("broker", ready)
        modes = {name: oct(os.stat(os.path.join(place, "data", name)).st_mode
                           & 0o777) for name in
                 ("admin.token", "pki/ca.key", "keys/order.key",
                  "control.db")}
        assert set(modes.values()) == {"0o600"}, modes
    finally:
        process.terminate()
        assert process.wait(HANG_S) == 0, process.stderr.read()
        process.stdout.close()
        process.stderr.close()


def test_an_external_broker_is_used(folder):
    """A mosquitto of its own life, with the first controller's files."""
    place = os.path.join(folder, "external")
    os.makedirs(place)
    one = Controller(place).start()
    host, port = one.broker()
    one.stop()
    mosquitto = subprocess.Popen(
        ["/usr/sbin/mosquitto", "-c",
         os.path.join(one.dir, "mosquitto", "mosquitto.conf")],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until("mosquitto", lambda: listens(host, port))
        one.start("--broker", "mqtts://%s:%d" % (host, port))
        assert one.facts["broker"] == "mqtts://%s:%d" % (host, port)
        device = Device(one, place, "x", one.enrol_token()).connect()
        assert held(device.desired()) is None
        device.client.close()
        one.stop()
    finally:
        mosquitto.terminate()
        mosquitto.wait(HANG_S)


def test_a_hangup_ends_it_in_order_as_sigterm_does(folder):
    place = os.path.join(folder, "hangup")
    os.makedirs(place)
    one = Controller(place).start()
    group = one.ask("POST", "/v1/groups", {"name": "kept"})
    one.stop(signal.SIGHUP)  # which asserts the exit code 0
    one.start()
    try:
        assert group.status == 201, group.body
        assert one.ask("GET", "/v1/groups/kept").status == 200
    finally:
        one.stop()


def test_keys_that_devices_know_are_not_made_again(folder):
    place = os.path.join(folder, "keys")
    aside = os.path.join(place, "aside")
    os.makedirs(place)
    one = Controller(place).start()
    Device(one, place, "x", one.enrol_token())
    one.stop()
    for lost in ("pki", "pki/ca.pem", "keys", "keys/order.key"):
        path = os.path.join(one.dir, lost)
        os.rename(path, aside)
        said = subprocess.run(
            [os.path.join(BIN, "flotilla-controller"), "--data", one.dir,
             "--listen", "127.0.0.1:0"], capture_output=True, text=True,
            timeout=HANG_S)
        assert said.returncode == 3, said.stderr
        assert "error[keys.absent]" in said.stderr, said.stderr
        assert "restore" in said.stderr and lost in said.stderr
        assert not os.path.exists(path)
        os.rename(aside, path)
    # The order key was stolen: whoever says so gets a new one.
    key = os.path.join(one.dir, "keys", "order.key")
    stolen = open(key).read()
    os.remove(key)
    one.start("--new-order-key").stop()
    assert open(key).read() != stolen
    one.start().stop()


def test_old_telemetry_is_gone_soon_after_the_start(folder):
    place = os.path.join(folder, "old")
    os.makedirs(place)
    one = Controller(place).start()
    one.stop()
    with sqlite3.connect(os.path.join(one.dir, "telemetry.db")) as base:
        base.executemany(
            "INSERT INTO window VALUES (60,?,?,1,x'0105010100')",
            ((60 * n, d) for n in range(50) for d in range(100)))
        base.execute("INSERT INTO window VALUES (60,?,1,1,x'0105010100')",
                     (int(wall_s()) // 60 * 60,))
    base.close()
    one.start()

    def left():
        base = sqlite3.connect(os.path.join(one.dir, "telemetry.db"),
                               timeout=HANG_S)
        rows = base.execute("SELECT count(*) FROM window").fetchone()[0]
        base.close()
        return rows
    try:
        until("only the new row", lambda: left() == 1)
    finally:
        one.stop()


def name_of_this_machine():
    """A name other than 127.0.0.1; a bare system knows no localhost."""
    try:
        socket.getaddrinfo("localhost", 1)
    except socket.gaierror:
        return "127.0.0.2"
    return "localhost"


def test_devices_are_told_the_public_host(folder):
    host = name_of_this_machine()
    place = os.path.join(folder, "public")
    os.makedirs(place)
    one = Controller(place).start("--listen-devices", "0.0.0.0:0",
                                  "--public-host", host)
    try:
        assert one.facts["devices"].startswith("https://%s:" % host)
        device = Device(one, place, "x", one.enrol_token())
        assert device.answer.json["mqtt"].startswith(
            "mqtts://%s:" % host)
        assert held(device.connect().desired()) is None
        device.client.close()
    finally:
        one.stop()


@pytest.mark.parametrize("flag,value", [
    ("--broker", "nonsense"), ("--broker", "mqtts://h:99999"),
    ("--broker", "embedded:99999"), ("--broker", "mqtt://elsewhere:1883"),
    ("--broker", "mqtts://u@h:8883"), ("--listen", "nonsense"),
    ("--listen-devices", "nonsense"), ("--listen-health", "nonsense")])
def test_what_the_start_refuses_the_check_refuses(folder, flag, value):
    """By the same words: one function decides."""
    said = []
    for more in ([], ["--check"]):
        place = os.path.join(folder, "check-%d" % len(said))
        done = subprocess.run(
            [os.path.join(BIN, "flotilla-controller"), "--data", place,
             *(["--listen", "127.0.0.1:0"] if flag != "--listen" else []),
             flag, value, *more],
            capture_output=True, text=True, timeout=HANG_S)
        assert done.returncode == 2, (done.stdout, done.stderr)
        said.append([line for line in done.stderr.splitlines()
                     if line.startswith("error[")])
    assert said[0] == said[1] != []


def test_wrong_options_are_said(folder):
    said = subprocess.run([os.path.join(BIN, "flotilla-controller")],
                          capture_output=True, text=True, timeout=HANG_S)
    assert said.returncode == 2 and said.stderr.startswith("usage: ")
    for arguments in (["--data"], ["--fleet", "x"],
                      ["--data", folder, "--listen", "nonsense"],
                      ["--data", folder, "--listen", "127.0.0.1:0", "--x"],
                      ["--data", folder, "--listen", "127.0.0.1:99999"],
                      ["--data", folder, "--listen", "0.0.0.0:0"],
                      ["--data", folder, "--listen", "127.0.0.1:0",
                       "--public-host", "a b"]):
        said = subprocess.run(
            [os.path.join(BIN, "flotilla-controller"), *arguments],
            capture_output=True, text=True, timeout=HANG_S)
        assert said.returncode == 2, said.stderr
        assert "error[" in said.stderr
