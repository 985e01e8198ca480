"""A release that no device has is fetched for a benchmark, measured, and gone
afterwards."""
import os
import signal

import pytest

import sets
from benchmark_parts import (begin, end_by_battery, facts_of, has_figures,
                             outcome, says)
from conftest import Small
from test_pressure import Sensors
from waits import same, until

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


def fetch(fleet, release):
    return begin(fleet, "gw", "--release", release)


def end(fleet, sensors, order):
    return end_by_battery(fleet, sensors, "gw", order)


def files(fleet):
    """Names of the files in the store, without records."""
    state = fleet.devices["gw"].state
    return {os.path.relpath(path, state) for kind in KINDS
            for path in sets.paths(os.path.join(state, kind))}


def is_as_before(fleet, before):
    until("the files are gone", lambda: same(files(fleet) - before, set()))


def partial_bytes(fleet):
    folder = os.path.join(fleet.devices["gw"].state, "partial")
    return sum(one.st_blocks * 512 for _, one in sets.passing(folder))


def is_fetching(fleet, order):
    says(fleet, "gw", "order %s fetches" % order)
    until("bytes come", lambda: partial_bytes(fleet) > 0)


def test_it_is_fetched_measured_reported_and_gone(fleet, sensors):
    before = files(fleet)
    order = fetch(fleet, "tiny@2")
    facts = end(fleet, sensors, order)
    assert facts["model"] == "tiny" and facts["version"] == "2"
    assert facts["fetch-bytes"] > LEAST_BYTES and facts["fetch-ms"] > 0
    is_as_before(fleet, before)
    row = fleet.ask("device", "benchmarks")[0]
    assert row["release"] == "tiny@2"
    assert row["fetch_bytes"] == facts["fetch-bytes"]
    # With the battery full the engine is loaded again.
    until("tiny@1 serves", lambda: fleet.serving("tiny@1"))


def test_a_killed_agent_goes_on_with_the_download(fleet, sensors):
    before = files(fleet)
    restart(fleet, STILL)
    order = fetch(fleet, "tiny@2")
    is_fetching(fleet, order)
    restart(fleet, how=signal.SIGKILL)
    facts = end(fleet, sensors, order)
    assert facts["version"] == "2" and facts["restarts"] == 0
    assert facts["fetch-bytes"] > LEAST_BYTES
    is_as_before(fleet, before)


def test_a_freeze_stops_the_download(fleet, sensors):
    before = files(fleet)
    restart(fleet, STILL)
    order = fetch(fleet, "tiny@2")
    is_fetching(fleet, order)
    fleet.cli("rollout", "freeze", "--confirm", fleet.name)
    says(fleet, "gw", "order %s waits" % order, "the device is frozen")
    until("the download ends", lambda: same(
        fleet.devices["gw"].children("flotilla-updater"), []))
    fleet.cli("rollout", "unfreeze", "--confirm", fleet.name)
    restart(fleet)
    assert end(fleet, sensors, order)["version"] == "2"
    is_as_before(fleet, before)


def test_an_update_goes_first(fleet, sensors):
    restart(fleet, SLOW)
    order = fetch(fleet, "tiny@3")
    is_fetching(fleet, order)
    fleet.roll("tiny@2")
    says(fleet, "gw", "order %s waits" % order, "installed, or serves on trial")
    restart(fleet, release="tiny@2")
    assert end(fleet, sensors, order)["version"] == "3"
    until("tiny@2 serves", lambda: fleet.serving("tiny@2"))


def test_an_update_to_the_measured_release_needs_no_second_download(fleet):
    order = fetch(fleet, "tiny@3")
    has_figures(fleet, "gw", order)
    rollout = fleet.roll("tiny@3")
    assert facts_of(fleet, order, "update")["version"] == "3"
    device = fleet.rollout_device(rollout["id"], "gw")
    assert device["detail"].get("bytes", 0) == 0, device


def test_a_release_below_the_floor_is_refused(fleet):
    before = files(fleet)
    device = outcome(fleet, fetch(fleet, "tiny@0"))
    assert device["outcome"] == "refused"
    assert device["error"]["id"] == "target.floor"
    is_as_before(fleet, before)


def test_a_denied_release_is_refused(fleet):
    fleet.cli("rollout", "rollback", "--release", "tiny@3", "--everywhere",
              "--confirm", "tiny@3", "--keep", "--wait")
    before = files(fleet)
    device = outcome(fleet, fetch(fleet, "tiny@3"))
    assert device["outcome"] == "refused"
    assert device["error"]["id"] == "target.denied"
    assert files(fleet) <= before
