"""A release that no device has is fetched for a benchmark, measured, and gone
afterwards."""
import os
import signal

import pytest

from conftest import Small
from test_pressure import Sensors
from waits import Seen, same, until

KINDS = ("blobs", "partial", "releases", "packed")
SLOW = "download_rate: 30kB\n"  # a minute for a file of 1.7 MB
LEAST_BYTES = 1500000  # of a compressed file
STILL = "download_rate: 1kB\n"  # half an hour


@pytest.fixture(scope="module")
def sensors(folder):
    one = Sensors(folder)
    one.battery(90, "Charging")
    return one


@pytest.fixture(scope="module")
def fleet(folder, bin_dir, sensors):
    one = Small(folder, bin_dir, name="test")
    one.env["FLO_SENSORS"] = sensors.dir
    one.up(["gw"])
    one.publish_whole("tiny@0", "tiny-v1.Q4_1.gguf", "golden-tiny-v1.json")
    one.publish_whole("tiny@1", "tiny-v2.Q4_0.gguf", "golden-tiny-v2.json")
    one.publish_whole("tiny@2", "tiny-v2.1.Q4_0.gguf", "golden-tiny-v2.1.json")
    one.publish_whole("tiny@3", "tiny-v1.Q4_0.gguf", "golden-tiny-v1.json")
    one.roll("tiny@1")
    yield one
    one.close()


def restart(fleet, config="", how=signal.SIGTERM, release="tiny@1"):
    gw = fleet.devices["gw"]
    gw.stop(how)
    gw.write_config(config)
    gw.start()
    until("it serves", lambda: fleet.serving(release))
    fleet.online(["gw"])


def begin(fleet, release):
    """The id of the order, which is not waited for."""
    return fleet.ask("device", "benchmark", "name=gw", "--for", "1h",
                     "--no-wait", "--release", release)[0]["id"]


def outcome(fleet, order):
    def answer():
        device = fleet.ask("order", "get", order)["devices"][0]
        return device if device["outcome"] in ("done", "refused") else \
            Seen(device)
    return until("the end of " + order, answer)


def says(fleet, *words):
    def line():
        lines = fleet.ask("device", "logs", "gw")["lines"]
        return any(all(word in one for word in words) for one in lines) or \
            Seen(lines[-5:])
    until("gw logs %s" % (words,), line)


def has_figures(fleet, order):
    says(fleet, "order %s: first figures" % order)


def facts_of(fleet, order, ended):
    device = outcome(fleet, order)
    assert device["outcome"] == "done", device
    facts = fleet.ask("order", "report", order)["facts"]
    assert facts["ended"] == ended and facts["generate-tps"] > 0
    return facts


def end_by_battery(fleet, sensors, order):
    """Ends the benchmark as soon as it has figures, however long that took."""
    has_figures(fleet, order)
    sensors.battery(15, "Discharging")
    facts = facts_of(fleet, order, "battery")
    sensors.battery(90, "Charging")
    return facts


def files(fleet):
    """Names of the files in the store, without records."""
    state = fleet.devices["gw"].state
    return {os.path.join(kind, name) for kind in KINDS
            if os.path.isdir(os.path.join(state, kind))
            for name in os.listdir(os.path.join(state, kind))}


def is_as_before(fleet, before):
    until("the files are gone",
          lambda: files(fleet) <= before or Seen(files(fleet) - before))


def partial_bytes(fleet):
    folder = os.path.join(fleet.devices["gw"].state, "partial")
    return sum(os.stat(os.path.join(folder, name)).st_blocks * 512
               for name in os.listdir(folder))


def is_fetching(fleet, order):
    says(fleet, "order %s fetches" % order)
    until("bytes come", lambda: partial_bytes(fleet) > 0)


def test_it_is_fetched_measured_reported_and_gone(fleet, sensors):
    before = files(fleet)
    order = begin(fleet, "tiny@2")
    facts = end_by_battery(fleet, sensors, order)
    assert facts["model"] == "tiny" and facts["version"] == "2"
    assert facts["fetch-bytes"] > LEAST_BYTES and facts["fetch-ms"] > 0
    is_as_before(fleet, before)
    row = fleet.ask("device", "benchmarks")[0]
    assert row["release"] == "tiny@2"
    assert row["fetch_bytes"] == facts["fetch-bytes"]
    assert fleet.serving("tiny@1")


def test_a_killed_agent_goes_on_with_the_download(fleet, sensors):
    before = files(fleet)
    restart(fleet, SLOW)
    order = begin(fleet, "tiny@2")
    is_fetching(fleet, order)
    restart(fleet, how=signal.SIGKILL)
    facts = end_by_battery(fleet, sensors, order)
    assert facts["version"] == "2" and facts["restarts"] == 0
    assert facts["fetch-bytes"] > LEAST_BYTES
    is_as_before(fleet, before)


def test_a_freeze_stops_the_download(fleet, sensors):
    before = files(fleet)
    restart(fleet, STILL)
    order = begin(fleet, "tiny@2")
    is_fetching(fleet, order)
    fleet.cli("rollout", "freeze", "--confirm", fleet.name)
    says(fleet, "order %s waits" % order, "the device is frozen")
    until("the download ends", lambda: same(
        fleet.devices["gw"].children("flotilla-updater"), []))
    fleet.cli("rollout", "unfreeze", "--confirm", fleet.name)
    restart(fleet)
    assert end_by_battery(fleet, sensors, order)["version"] == "2"
    is_as_before(fleet, before)


def test_an_update_goes_first(fleet, sensors):
    restart(fleet, SLOW)
    order = begin(fleet, "tiny@3")
    is_fetching(fleet, order)
    fleet.roll("tiny@2")
    says(fleet, "order %s waits" % order, "installed, or serves on trial")
    restart(fleet, release="tiny@2")
    assert end_by_battery(fleet, sensors, order)["version"] == "3"
    assert fleet.serving("tiny@2")


def test_an_update_to_the_measured_release_needs_no_second_download(fleet):
    order = begin(fleet, "tiny@3")
    has_figures(fleet, order)
    rollout = fleet.roll("tiny@3")
    assert facts_of(fleet, order, "update")["version"] == "3"
    device = fleet.rollout_device(rollout["id"], "gw")
    assert device["detail"].get("bytes", 0) == 0, device


def test_a_release_below_the_floor_is_refused(fleet):
    before = files(fleet)
    device = outcome(fleet, begin(fleet, "tiny@0"))
    assert device["outcome"] == "refused"
    assert device["error"]["id"] == "target.floor"
    is_as_before(fleet, before)


def test_a_denied_release_is_refused(fleet):
    fleet.cli("rollout", "rollback", "--release", "tiny@3", "--everywhere",
              "--confirm", "tiny@3", "--keep", "--wait")
    before = files(fleet)
    device = outcome(fleet, begin(fleet, "tiny@3"))
    assert device["outcome"] == "refused"
    assert device["error"]["id"] == "target.denied"
    assert files(fleet) <= before
