"""A device under strain: faked /proc and /sys, a real memory cgroup, and the
benchmark of its machine."""
import contextlib
import json
import os
import re
import subprocess
import sys

import pytest

from conftest import MODELS, Small
from waits import HANG_S, same, until

GROUPS = "/sys/fs/cgroup"
LIMIT = 256 << 20
GOLDEN = os.path.join(MODELS, "golden-tiny-v1.json")
ROUTES = ("Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\n"
          "%s\t00000000\t010210AC\t0003\t0\t0\t100\t00000000\t0\t0\t0\n")


class Sensors:
    """The /proc and /sys of the fleet's agents."""

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
    for release in ("tiny@1", "tiny@2"):
        one.publish_whole(release, "tiny-v2.Q4_0.gguf", "golden-tiny-v2.json")
    one.roll("tiny@1")
    yield one
    one.close()


def facts(fleet):
    return fleet.ask("device", "doctor", "gw")["facts"]


def log_of(fleet):
    return "\n".join(fleet.ask("device", "logs", "gw")["lines"])


def state(fleet):
    return fleet.ask("device", "get", "gw")["state"]


def again(fleet):
    """The agent ends, and another one begins."""
    fleet.devices["gw"].stop()
    until("it is away", lambda: state(fleet) != "online")
    fleet.devices["gw"].start()
    until("it is back", lambda: state(fleet) == "online")


def test_memory_pressure_loads_the_model_smaller_and_it_answers(fleet, sensors):
    gw = fleet.devices["gw"]
    assert facts(fleet)["rung"] == 0
    before = gw.children("flotilla-engine")
    sensors.pressure(40)
    until("a step down", lambda: facts(fleet)["rung"] > 0)
    until("a held batch", lambda: fleet.ask(
        "device", "get", "gw")["memory"]["limits"] == ["batch held"],
        lambda: fleet.ask("device", "get", "gw")["memory"])
    sensors.pressure(0)
    until("another engine", lambda: gw.children(
        "flotilla-engine") not in ([], before))
    assert gw.ask("hello", "tiny", max_tokens=4)[1].startswith("tiny@1")
    now = facts(fleet)
    assert now["rung"] > 0 and now["rung-why"] == "psi"
    log = log_of(fleet)
    assert "memory is short" in log and "goes to rung" in log


def execution(fleet):
    one = fleet.ask("device", "get", "gw")["models"][0]
    return one.get("execution") or {}


def test_an_update_waits_for_mains_and_an_unmetered_network(fleet, sensors):
    gw = fleet.devices["gw"]
    gw.write_config("updates_wait: [unmetered]\nmetered: [\"wwan*\"]\n")
    sensors.put("/proc/net/route", ROUTES % "wwan0")
    again(fleet)
    sensors.battery(15, "Discharging")
    until("it knows its battery", lambda: "battery 15" in log_of(fleet))
    started = fleet.ask("rollout", "start", "tiny@2", "--phase", "100%",
                        "--soak", "500ms", "--wait-for", "mains,cool")["id"]
    until("it waits", lambda: same(
        [execution(fleet).get(word) for word in ("waits", "reason")],
        [True, "waiting for mains (the battery is low), "
         "an unmetered network"]))
    assert "waiting for mains" in fleet.program(
        "flotilla-agent", "status", "--config", gw.config)[1]
    until("it does not count", lambda: fleet.ask(
        "rollout", "get", started)["phases"][0]["away"] == 1)
    sensors.battery(80, "Discharging")
    until("what it waits for", lambda: execution(fleet).get(
        "reason") == "waiting for mains, an unmetered network")
    sensors.put("/proc/net/route", ROUTES % "eth0")
    sensors.battery(15, "Charging")
    fleet.cli("rollout", "wait", started, "--for", "completed", "-q")


def locally(fleet):
    """The device itself says it: status, doctor, /health, /metrics."""
    gw = fleet.devices["gw"]

    def agent(word):
        return json.loads(fleet.program("flotilla-agent", word, "--config", gw.config, "-o",
                                        "json", check=False)[1])
    return (agent("status"), {one["check"]: one for one in agent("doctor")},
            json.loads(gw.get("/health")[1]), gw.get("/metrics")[1].decode())


def test_heat_charge_and_limits_are_said_on_the_device_itself(fleet, sensors):
    """Each zone has its own trip point: the GPU may be at 96 degrees, the CPU not at 92."""
    for number, (name, trip, now) in enumerate(
            [("gpu", 105, 96), ("cpu", 90, 92), ("odd", None, 99)]):
        zone = "/sys/class/thermal/thermal_zone%d/" % number
        sensors.put(zone + "type", name + "\n")
        if trip is not None:
            sensors.put(zone + "trip_point_0_type", "passive\n")
            sensors.put(zone + "trip_point_0_temp", "%d000\n" % trip)
        sensors.put(zone + "temp", "%d000\n" % now)
    sensors.battery(15, "Discharging")
    wanted = {"batch held", "half the threads", "updates wait"}
    until("it is limited", lambda: wanted <= set(
        locally(fleet)[0]["power"]["limits"].split(", ")))
    status, checks, health, metrics = locally(fleet)
    words = status["power"]["limits"]
    assert status["power"] == {"limits": words, "mains": False, "battery_pct": 15,
                               "temperature_mc": 92000, "trip_mc": 90000}
    assert not checks["temperature"]["ok"] and "92.0" in checks["temperature"]["found"]
    assert not checks["battery"]["ok"] and "15 %" in checks["battery"]["found"]
    assert (health["limits"], health["temperature_mc"], health["battery_pct"]) == (
        words, 92000, 15)
    assert "\nflotilla_temperature_celsius 92.0\n" in metrics
    assert "\nflotilla_trip_celsius 90.0\n" in metrics
    assert "\nflotilla_battery_percent 15\n" in metrics
    assert '\nflotilla_limited_info{limits="%s"} 1\n' % words in metrics
    sensors.put("/sys/class/thermal/thermal_zone1/temp", "50000\n")
    sensors.battery(80, "Full")
    until("the battery is full", lambda: "updates wait" not in locally(
        fleet)[0]["power"]["limits"])
    assert locally(fleet)[1]["temperature"]["ok"] and locally(fleet)[1]["battery"]["ok"]


def test_an_idle_device_is_measured_once_and_says_so(fleet):
    gw = fleet.devices["gw"]
    gw.stop()
    gw.write_config("benchmark_after: 1s\n")
    gw.start()

    def bench():
        return fleet.ask("device", "get", "gw")["profile"].get("bench")
    first = until("its benchmark", bench)
    assert first["memory_bytes_per_s"] > 0 and first["int8_ops_per_s"] > 0
    assert facts(fleet)["bench-memory-bytes-per-s"] == \
        first["memory_bytes_per_s"]
    again(fleet)  # the numbers are kept
    until("it is back", lambda: fleet.serving("tiny@2"))
    assert bench() == first


def test_the_engine_measures_its_machine(bin_dir):
    done = subprocess.run(
        [os.path.join(bin_dir, "flotilla-engine"), "bench", "--device",
         "--json"], capture_output=True, check=True, timeout=HANG_S)
    result = json.loads(done.stdout)
    assert result["threads"] >= 1 and result["kernel"]
    assert result["took_ms"] > 0


class Group:
    """A memory cgroup of the machine, of version 2 or 1."""

    def __init__(self, limit_bytes):
        self.is_v2 = os.path.exists(GROUPS + "/cgroup.controllers")
        self.dir = "%s/flotilla-test-%d" % (
            GROUPS if self.is_v2 else GROUPS + "/memory", os.getpid())
        os.mkdir(self.dir)
        try:
            self.put("memory.max" if self.is_v2 else "memory.limit_in_bytes",
                     limit_bytes)
        except OSError:
            os.rmdir(self.dir)
            raise

    def put(self, name, value):
        with open(os.path.join(self.dir, name), "w", encoding="ascii") as file:
            file.write(str(value))

    def kills(self):
        name = "memory.events" if self.is_v2 else "memory.oom_control"
        with open(os.path.join(self.dir, name), encoding="ascii") as file:
            words = file.read().split()
        return int(words[words.index("oom_kill") + 1])

    def remove(self):
        until("an empty cgroup", self.is_gone)

    def is_gone(self):
        try:
            os.rmdir(self.dir)
        except FileNotFoundError:
            return True
        except OSError:
            return False
        return True


@pytest.fixture
def group(fleet):
    try:
        one = Group(LIMIT)
    except OSError as error:
        pytest.skip("no memory cgroup can be made here: %s" % error)
    yield one
    fleet.devices["gw"].stop()
    one.remove()


# Takes memory of its cgroup until it has what its argument says, then waits.
NEIGHBOUR = """
import sys
group, got, most = open(sys.argv[1] + "/cgroup.procs", "w"), [], int(sys.argv[2])
group.write("0")
group.close()
while len(got) < most:
    got.append(b"x" * (1 << 20))
print("full", flush=True)
sys.stdin.read()
"""


def test_in_a_full_memory_cgroup_the_model_gets_smaller_and_nobody_is_killed(
        fleet, group):
    gw = fleet.devices["gw"]
    fleet.env.pop("FLO_SENSORS")
    again(fleet)
    group.put("cgroup.procs", gw.process.pid)  # its engines come after it
    for pid in gw.children("flotilla-engine"):
        with contextlib.suppress(ProcessLookupError):  # it has gone meanwhile
            group.put("cgroup.procs", pid)
    until("its limit", lambda: facts(fleet).get(
        "cgroup-bytes-max") == LIMIT)
    agent = gw.process.pid
    engine = until("it serves", lambda: gw.children("flotilla-engine"))
    used = facts(fleet)["cgroup-bytes"]
    with subprocess.Popen(
            [sys.executable, "-c", NEIGHBOUR, group.dir,
             str((LIMIT * 97 // 100 - used) >> 20)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE) as neighbour:
        assert neighbour.stdout.readline() == b"full\n"
        until("a step down", lambda: facts(fleet)["rung"] > 0)
        until("a smaller engine", lambda: gw.children(
            "flotilla-engine") not in ([], engine))
        assert gw.ask("hello", "tiny", max_tokens=4)[1].startswith("tiny@2")
        assert facts(fleet)["rung-why"] in ("cgroup", "psi")
        neighbour.stdin.close()
    log = log_of(fleet)
    assert "memory is short" in log and "goes to rung" in log
    assert gw.process.pid == agent and gw.process.poll() is None
    assert group.kills() == 0


def size_of_current(fleet):
    """Bytes of the variant that is here, not of all that the release has."""
    said = json.loads(fleet.program(
        "flotilla-agent", "status", "--config",
        fleet.devices["gw"].config, "-o", "json")[1])
    return said["models"][0]["slots"]["current"]["bytes"]


def variants(fleet):
    one = fleet.ask("device", "get", "gw")["models"][0]
    return one.get("variant"), one.get("instead_of")


def test_at_the_last_rung_a_smaller_variant_is_fetched_probed_and_serves(
        fleet, sensors):
    gw = fleet.devices["gw"]
    fleet.env["FLO_SENSORS"] = sensors.dir
    gw.write_config("bundle_soak: 1s\n")
    again(fleet)
    words = []
    for name, file in (("large", "tiny-v1.Q8_0.gguf"),
                       ("small", "tiny-v1.Q4_0.gguf")):
        words += ["--file", "%s.gguf=%s:model" % (name, os.path.join(
            MODELS, file)), "--variant", "%s=%s.gguf,golden.json" % (name, name)]
    fleet.ask("release", "create", "tiny@3", *words, "--file", "golden.json=%s"
              ":golden" % GOLDEN, "--sign-with", fleet.key, "--speed-ratio",
              "1000", "--publish")
    spec = os.path.join(fleet.dir, "large.yaml")
    with open(spec, "w", encoding="utf-8") as out:
        out.write("release: tiny@3\nphases: [{share_pct: 100}]\n"
                  "policy: {soak_ms: 500, probe_speed_ratio_max: 1000}\n")
    started = fleet.ask("rollout", "start", "-f", spec)["id"]
    fleet.cli("rollout", "wait", started, "--for", "completed", "-q")
    assert size_of_current(fleet) == sum(os.path.getsize(path) for path in (
        os.path.join(MODELS, "tiny-v1.Q8_0.gguf"), GOLDEN))
    before = gw.children("flotilla-engine")
    sensors.pressure(40)
    until("a smaller variant", lambda: variants(fleet) == (
        "small", "large"))
    sensors.pressure(0)
    until("another engine", lambda: gw.children(
        "flotilla-engine") not in ([], before))
    assert gw.ask("hello", "tiny", max_tokens=4)[1].startswith("tiny@3")
    assert facts(fleet)["rung"] == 5
    log = log_of(fleet)
    assert "tiny gets the smaller variant" in log
    # Made from the larger one, and not fetched whole.
    got = re.search(r"accepted tensor1 (\d+) of 1734464 bytes", log)
    assert got and int(got[1]) < 100000, log
    again(fleet)  # the choice is on the disk
    until("it is not forgotten", lambda: variants(fleet) == (
        "small", "large"))
