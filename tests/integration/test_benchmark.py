"""Releases measured on devices by an order: real agents, a real controller,
faked sensors."""
import os

import pytest

from conftest import MODELS, Small
from test_pressure import Sensors
from waits import HANG, Seen, until

MODEL = os.path.join(MODELS, "tiny-v2.Q4_0.gguf")

ZONE = "/sys/class/powercap/intel-rapl:0/"
COOL, HOT = "45000\n", "95000\n"


@pytest.fixture(scope="module")
def sensors(folder):
    one = Sensors(folder)
    one.put("/sys/class/thermal/thermal_zone0/type", "cpu\n")
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


def begin(fleet, device, span, *more):
    """The id of the order to one device, which is not waited for."""
    return fleet.ask("device", "benchmark", "name=" + device, "--for", span,
                     "--no-wait", *more)[0]["id"]


def ended(fleet, order):
    def answer():
        whole = fleet.ask("order", "get", order)
        state = whole["devices"][0]["outcome"]
        return whole if state in ("done", "refused") else Seen(whole)
    return until("the end of " + order, answer)


def facts_of(fleet, order):
    answer = ended(fleet, order)
    assert answer["devices"][0]["outcome"] == "done", answer
    return fleet.ask("order", "report", order)["facts"]


def says(fleet, device, *words):
    def line():
        lines = fleet.ask("device", "logs", device)["lines"]
        return any(all(word in one for word in words) for one in lines) or \
            Seen(lines[-5:])
    until("%s logs %s" % (device, words), line)


def has_figures(fleet, device, order):
    says(fleet, device, "order %s: first figures" % order)


def test_devices_tell_which_release_fits_their_class(fleet, folder):
    page = os.path.join(folder, "fit.html")
    rows = fleet.ask("device", "benchmark", "name in (gw-1, gw-2)", "--for",
                     "30s", "--timeout", HANG, "--page", page)
    assert [row["release"] for row in rows] == ["tiny@1"]
    row = rows[0]
    assert row["devices"] == 2 and row["verdict"] == "best"
    assert row["right_percent"] == 100 and row["generate_tps"] > 5
    assert row["prompt_tps"] > 0 and row["first_token_ms"] > 0
    assert row["file_bytes"] == os.path.getsize(MODEL)
    assert row["rss_bytes"] > 1 << 20
    with open(page, encoding="utf-8") as file:
        text = file.read()
    assert "tiny@1" in text and "<polyline" in text and "http" not in text
    assert fleet.ask("device", "benchmarks")[0]["devices"] == 2
    table = fleet.cli("device", "benchmarks", "name=gw-1")[1]
    assert "TOKENS/S" in table and "tiny@1" in table and "best" in table
    slow = fleet.ask("device", "benchmarks", "--speed", "1000000")
    assert [row["verdict"] for row in slow] == ["slow"]


def test_energy_is_counted_while_tokens_are_generated(fleet, sensors):
    order = begin(fleet, "gw-1", "30s")
    has_figures(fleet, "gw-1", order)
    for joules in range(2, 200):  # the counter runs while the device measures
        sensors.put(ZONE + "energy_uj", "%d\n" % (joules * 1000000))
        if fleet.ask("order", "get", order)["devices"][0]["outcome"] == "done":
            break
    facts = facts_of(fleet, order)
    assert facts["energy"] == "read" and facts["ended"] == "time"
    assert facts["joules-per-token"] >= 0 and facts["watts"] >= 0
    assert facts["temperature-start"] == facts["temperature-most"] == 45
    series = [float(x) for x in facts["generate-series"].split()]
    assert 1 <= len(series) <= 48 and min(series) > 0


def test_a_request_of_an_app_comes_first(fleet):
    order = begin(fleet, "gw-1", "20s")
    has_figures(fleet, "gw-1", order)
    fleet.devices["gw-1"].ask("hello", "tiny", max_tokens=8)
    says(fleet, "gw-1", "order %s waits" % order, "an app asks")
    facts = facts_of(fleet, order)
    assert facts["yields"] >= 1 and facts["ended"] == "time"


def test_an_agent_that_restarts_goes_on(fleet):
    order = begin(fleet, "gw-1", "20s")
    has_figures(fleet, "gw-1", order)
    fleet.devices["gw-1"].stop()
    fleet.devices["gw-1"].start()
    facts = facts_of(fleet, order)
    assert facts["restarts"] == 1 and facts["ended"] == "time"


def test_a_benchmark_is_never_beside_an_update(fleet):
    order = begin(fleet, "gw-1", "60s")
    has_figures(fleet, "gw-1", order)
    fleet.roll("tiny@2")
    says(fleet, "gw-1", "order %s waits" % order, "installed, or serves on trial")
    facts = facts_of(fleet, order)
    assert facts["yields"] >= 1
    assert facts["version"] == "1"  # it served when the order came


def test_two_releases_of_a_class_are_compared(fleet):
    rows = fleet.ask("device", "benchmark", "name=gw-2", "--for", "30s",
                     "--release", "tiny@2", "--timeout", HANG)
    assert [row["release"] for row in rows] == ["tiny@2"]
    rows = fleet.ask("device", "benchmarks", "--model", "tiny")
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
    order = begin(fleet, "gw-1", "10m")
    has_figures(fleet, "gw-1", order)
    sensors.battery(15, "Discharging")
    assert facts_of(fleet, order)["ended"] == "battery"
    code, _, err = fleet.cli("device", "benchmark", "name=gw-1", "--for", "3s",
                             "--timeout", HANG, check=False)
    assert code != 0 and "the battery is low" in err, err
    sensors.battery(90, "Charging")


def test_heat_ends_it(fleet, sensors):
    order = begin(fleet, "gw-1", "10m")
    has_figures(fleet, "gw-1", order)
    sensors.put("/sys/class/thermal/thermal_zone0/temp", HOT)
    facts = facts_of(fleet, order)
    assert facts["ended"] == "heat" and facts["generate-tps"] > 0
