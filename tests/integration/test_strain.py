"""A device under strain: faked /proc and /sys, a real memory cgroup, and the
benchmark of its machine."""
import json
import os
import subprocess

import pytest

import fleet as F
from conftest import Small

GROUPS = "/sys/fs/cgroup"
ROUTES = ("Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\n"
          "%s\t00000000\t010210AC\t0003\t0\t0\t100\t00000000\t0\t0\t0\n")


class Sensors:
    """What /proc and /sys say to the agents of the fleet."""

    def __init__(self, folder):
        self.dir = os.path.join(folder, "sensors")
        self.pressure(0)

    def put(self, path, text):
        path = self.dir + path
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path + ".new", "w", encoding="ascii") as file:
            file.write(text)
        os.rename(path + ".new", path)

    def pressure(self, percent):
        self.put("/proc/pressure/memory",
                 "some avg10=%.2f avg60=0.00 avg300=0.00 total=0\n" % percent)

    def battery(self, percent, status):
        self.put("/sys/class/power_supply/BAT0/type", "Battery\n")
        self.put("/sys/class/power_supply/BAT0/capacity", "%d\n" % percent)
        self.put("/sys/class/power_supply/BAT0/status", status + "\n")


@pytest.fixture(scope="module")
def sensors(folder):
    return Sensors(folder)


@pytest.fixture(scope="module")
def fleet(folder, bin_dir, sensors):
    one = Small(folder, bin_dir, name="test")
    one.env["FLO_SENSORS"] = sensors.dir
    one.up(["gw"])
    one.publish("tiny@1", "tiny-v2.Q4_0.gguf")
    one.publish("tiny@2", "tiny-v2.Q4_0.gguf")
    one.roll("tiny@1")
    yield one
    one.close()


def facts(fleet):
    return fleet.ask("device", "doctor", "gw")["facts"]


def test_memory_pressure_loads_the_model_smaller_and_it_answers(fleet, sensors):
    gw = fleet.devices["gw"]
    assert facts(fleet)["rung"] == 0
    before = gw.children("flotilla-engine")
    sensors.pressure(40)
    F.wait_until("a step down", 20, lambda: facts(fleet)["rung"] > 0)
    sensors.pressure(0)
    F.wait_until("another engine", 20, lambda: gw.children(
        "flotilla-engine") not in ([], before))
    assert gw.ask("hello", "tiny", max_tokens=4)[1].startswith("tiny@1")
    now = facts(fleet)
    assert now["rung"] > 0 and now["rung-why"] == "psi"
    log = "\n".join(fleet.ask("device", "logs", "gw")["lines"])
    assert "memory is short" in log and "goes to rung" in log


def execution(fleet):
    one = fleet.ask("device", "get", "gw")["models"][0]
    return one.get("execution") or {}


def test_an_update_waits_for_mains_and_an_unmetered_network(fleet, sensors):
    gw = fleet.devices["gw"]
    gw.stop()
    gw.write_config("updates_wait: [unmetered]\nmetered: [\"wwan*\"]\n")
    sensors.put("/proc/net/route", ROUTES % "wwan0")
    F.wait_until("it is away", 20, lambda: fleet.ask(
        "device", "get", "gw")["state"] != "online")
    gw.start()
    F.wait_until("it is back", 30, lambda: fleet.ask(
        "device", "get", "gw")["state"] == "online")
    sensors.battery(15, "Discharging")
    F.wait_until("it knows its battery", 20, lambda: "battery 15" in "\n".join(
        fleet.ask("device", "logs", "gw")["lines"]))
    started = fleet.ask("rollout", "start", "tiny@2", "--phase", "100%",
                        "--soak", "500ms", "--wait-for", "mains,cool")["id"]
    F.wait_until("it waits", 20, lambda: execution(fleet).get(
        "reason") == "waiting for mains (the battery is low), "
        "an unmetered network")
    assert execution(fleet)["waits"] is True
    assert "waiting for mains" in fleet.program(
        "flotilla-agent", "status", "--config", gw.config)[1]
    F.wait_until("it does not count", 20, lambda: fleet.ask(
        "rollout", "get", started)["phases"][0]["away"] == 1)
    sensors.battery(80, "Discharging")
    F.wait_until("what it waits for", 20, lambda: execution(fleet).get(
        "reason") == "waiting for mains, an unmetered network")
    sensors.put("/proc/net/route", ROUTES % "eth0")
    sensors.battery(15, "Charging")
    fleet.cli("rollout", "wait", started, "--for", "completed", "--timeout",
              "60s", "-q")


def test_an_idle_device_is_measured_once_and_says_so(fleet):
    gw = fleet.devices["gw"]
    gw.stop()
    gw.write_config("benchmark_after: 1s\n")
    gw.start()

    def bench():
        return fleet.ask("device", "get", "gw")["profile"].get("bench")
    first = F.wait_until("its benchmark", 60, bench)
    assert first["memory_bytes_per_s"] > 10 ** 7
    assert first["int8_ops_per_s"] > 10 ** 6
    assert facts(fleet)["bench-memory-bytes-per-s"] == \
        first["memory_bytes_per_s"]
    gw.stop()
    gw.start()  # the numbers are kept
    F.wait_until("it is back", 30, lambda: fleet.serving("tiny@2"))
    assert bench() == first


def test_the_engines_benchmark_takes_two_seconds_at_most(bin_dir):
    done = subprocess.run(
        [os.path.join(bin_dir, "flotilla-engine"), "bench", "--device",
         "--json"], capture_output=True, check=True, timeout=30)
    result = json.loads(done.stdout)
    assert result["threads"] >= 1 and result["kernel"]
    assert result["took_ms"] <= 2000 * 4  # the machine may be busy


@pytest.mark.skipif(not os.access(GROUPS, os.W_OK) or not os.path.exists(
    GROUPS + "/cgroup.controllers"), reason="no memory cgroup to make here")
def test_a_real_memory_cgroup_is_seen(fleet):
    group = "%s/flotilla-test-%d" % (GROUPS, os.getpid())
    os.mkdir(group)
    try:
        limit = group + "/memory.max"
        if not os.path.exists(limit):
            pytest.skip("the memory controller is not given to children")
        with open(limit, "w", encoding="ascii") as file:
            file.write(str(4 << 30))
        gw = fleet.devices["gw"]
        fleet.env.pop("FLO_SENSORS")
        gw.stop()
        gw.start()
        with open(group + "/cgroup.procs", "w", encoding="ascii") as file:
            file.write(str(gw.process.pid))
        F.wait_until("its limit", 30, lambda: facts(fleet).get(
            "cgroup-bytes-max") == 4 << 30)
        gw.stop()
    finally:
        F.wait_until("an empty cgroup", 20, lambda: gone(group))


def gone(group):
    try:
        os.rmdir(group)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True
