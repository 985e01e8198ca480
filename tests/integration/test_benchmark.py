"""Releases measured on devices by an order: real agents, a real controller,
faked sensors."""
import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from benchmark_parts import (at_low_battery, begin, end_by_battery, facts_of,
                             has_figures, logs, outcome, says)
from conftest import MODELS, Small
from test_pressure import Sensors
from waits import HANG, pace, until

MODEL = os.path.join(MODELS, "tiny-v2.Q4_0.gguf")

ZONE = "/sys/class/powercap/intel-rapl:0/"
ANY_SPEED = "0"
COOL, HOT = "45000\n", "95000\n"


@pytest.fixture(scope="module")
def sensors(folder):
    one = Sensors(folder)
    one.put("/sys/class/thermal/thermal_zone0/type", "cpu\n")
    one.put("/sys/class/thermal/thermal_zone0/trip_point_0_type", "passive\n")
    one.put("/sys/class/thermal/thermal_zone0/trip_point_0_temp", "85000\n")
    one.put("/sys/class/thermal/thermal_zone0/temp", COOL)
    one.put(ZONE + "name", "package-0\n")
    one.put(ZONE + "max_energy_range_uj", "262143328850\n")
    one.put(ZONE + "energy_uj", "1000000\n")
    return one


@pytest.fixture(scope="module")
def fleet(folder, bin_dir, sensors):
    one = Small(folder, bin_dir, name="test")
    one.env["FLO_SENSORS"] = sensors.dir
    one.up(["gw-1", "gw-2"])
    one.publish_whole("tiny@1", "tiny-v2.Q4_0.gguf", "golden-tiny-v2.json")
    one.publish_whole("tiny@2", "tiny-v2.1.Q4_0.gguf", "golden-tiny-v2.1.json")
    one.roll("tiny@1")
    yield one
    one.close()


def measure_both(fleet, sensors, page):
    """Both devices, by a command that waits for them; any speed is enough."""
    with ThreadPoolExecutor(1) as runner:
        rows = runner.submit(
            fleet.ask, "device", "benchmark", "name in (gw-1, gw-2)", "--for",
            "1h", "--timeout", HANG, "--speed", ANY_SPEED, "--page", page)
        until("figures of both", lambda: rows.done() or all(
            "first answer of tiny@1" in "".join(logs(fleet, device))
            for device in ("gw-1", "gw-2")))
        sensors.battery(15, "Discharging")
        ended = rows.result()
    sensors.battery(90, "Charging")
    return ended


def test_devices_tell_which_release_fits_their_class(fleet, sensors, folder):
    page = os.path.join(folder, "fit.html")
    rows = measure_both(fleet, sensors, page)
    assert [row["release"] for row in rows] == ["tiny@1"]
    row = rows[0]
    assert row["devices"] == 2 and row["verdict"] == "best"
    assert row["right_percent"] == 100 and row["generate_tps"] > 0
    assert row["prompt_tps"] > 0 and row["first_token_ms"] > 0
    assert row["file_bytes"] == os.path.getsize(MODEL)
    assert row["rss_bytes"] > 1 << 20
    with open(page, encoding="utf-8") as file:
        text = file.read()
    assert "tiny@1" in text and "<polyline" in text and "http" not in text
    assert fleet.ask("device", "benchmarks")[0]["devices"] == 2
    table = fleet.cli("device", "benchmarks", "name=gw-1", "--speed",
                      ANY_SPEED)[1]
    assert "TOKENS/S" in table and "tiny@1" in table and "best" in table
    slow = fleet.ask("device", "benchmarks", "--speed", "1000000")
    assert [row["verdict"] for row in slow] == ["slow"]


class Counter(threading.Thread):
    """The processor's counter of energy, which runs."""

    def __init__(self, sensors):
        super().__init__(daemon=True)
        self.sensors, self.over = sensors, threading.Event()

    def run(self):
        joules = 1
        while not self.over.is_set():
            pace(0.02)
            joules += 1
            self.sensors.put(ZONE + "energy_uj", "%d000000\n" % joules)

    def __enter__(self):
        self.start()

    def __exit__(self, *_):
        self.over.set()
        self.join()


def test_energy_is_counted_while_tokens_are_generated(fleet, sensors):
    with Counter(sensors):
        order = begin(fleet, "gw-1")
        facts = end_by_battery(fleet, sensors, "gw-1", order)
    assert facts["energy"] == "read"
    assert facts["joules-per-token"] > 0 and facts["watts"] > 0
    assert facts["temperature-start"] == facts["temperature-most"] == 45
    series = [float(x) for x in facts["generate-series"].split()]
    assert 1 <= len(series) <= 48 and min(series) > 0


def test_a_request_of_an_app_comes_first(fleet, sensors):
    order = begin(fleet, "gw-1")
    has_figures(fleet, "gw-1", order)
    fleet.devices["gw-1"].ask("hello", "tiny", max_tokens=8)
    says(fleet, "gw-1", "order %s waits" % order, "an app asks")
    assert end_by_battery(fleet, sensors, "gw-1", order)["yields"] >= 1


def test_an_agent_that_restarts_goes_on(fleet, sensors):
    order = begin(fleet, "gw-1")
    has_figures(fleet, "gw-1", order)
    fleet.devices["gw-1"].stop()
    fleet.devices["gw-1"].start()
    fleet.online(["gw-1"])
    assert at_low_battery(fleet, sensors, order)["restarts"] == 1


def test_its_time_ends_it(fleet):
    """A longer time on a machine that has no figures in a shorter one."""
    for span in "15s", "2m", "10m":
        order = fleet.ask("device", "benchmark", "name=gw-1", "--for", span,
                          "--no-wait")[0]["id"]
        device = outcome(fleet, order)
        if device["outcome"] == "done":
            break
        assert device["error"]["id"] == "benchmark.busy", device
    facts_of(fleet, order, "time")


def test_a_benchmark_is_never_beside_an_update(fleet, sensors):
    order = begin(fleet, "gw-1")
    has_figures(fleet, "gw-1", order)
    fleet.roll("tiny@2")
    says(fleet, "gw-1", "order %s waits" % order, "installed, or serves on trial")
    facts = end_by_battery(fleet, sensors, "gw-1", order)
    assert facts["yields"] >= 1
    assert facts["version"] == "1"  # it served when the order came


def test_two_releases_of_a_class_are_compared(fleet, sensors):
    order = begin(fleet, "gw-2", "--release", "tiny@2")
    end_by_battery(fleet, sensors, "gw-2", order)
    rows = fleet.ask("device", "benchmarks", "--model", "tiny", "--speed",
                     ANY_SPEED)
    assert sorted(row["release"] for row in rows) == ["tiny@1", "tiny@2"]
    assert sorted(row["verdict"] for row in rows) == ["best", "fits"]


def test_what_cannot_be_measured_is_refused_by_name(fleet):
    for more, word in ((("--release", "tiny@9"), "release.absent"),
                       (("--for", "0s"), "rest.schema"),
                       (("--model", "tiny", "--release", "tiny@1"),
                        "exclude each other")):
        err = fleet.cli("device", "benchmark", "name=gw-1", *more,
                        check=False)[2]
        assert word in err, err
    assert "no device fits" in fleet.cli("device", "benchmark", "name=none",
                                         check=False)[2]


def test_a_low_battery_ends_it_and_keeps_others_from_beginning(fleet, sensors):
    order = begin(fleet, "gw-1")
    has_figures(fleet, "gw-1", order)
    sensors.battery(15, "Discharging")
    facts_of(fleet, order, "battery")
    code, _, err = fleet.cli("device", "benchmark", "name=gw-1", "--for", "3s",
                             "--timeout", HANG, check=False)
    assert code != 0 and "the battery is low" in err, err
    sensors.battery(90, "Charging")


def test_heat_ends_it(fleet, sensors):
    order = begin(fleet, "gw-1")
    has_figures(fleet, "gw-1", order)
    sensors.put("/sys/class/thermal/thermal_zone0/temp", HOT)
    facts_of(fleet, order, "heat")
