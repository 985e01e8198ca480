"""A bundle of two releases of one model: installed in order, each with its own
verdict, by a running agent and without one."""
import json
import os
import subprocess

import pytest

from test_packed import Device, Published, write
from waits import HANG_S


@pytest.fixture(scope="module")
def published(folder, bin_dir):
    return Published(bin_dir, folder)


@pytest.fixture
def device(published):
    device = Device(published)
    yield device
    device.close()


def update(device, bundle):
    done = subprocess.run(
        [os.path.join(device.bin, "flotilla-agent"), "update", "--config",
         device.config, "--bundle", bundle, "-o", "json"],
        capture_output=True, text=True, timeout=HANG_S)
    said = json.loads(done.stdout)  # one document
    assert ("error" in said) == (done.returncode != 0), said
    return done.returncode, said["releases"]


def versions(device):
    said = subprocess.run(
        [os.path.join(device.bin, "flotilla-agent"), "status", "--config",
         device.config, "-o", "json"], capture_output=True, text=True,
        check=True)
    slots = json.loads(said.stdout)["models"][0]["slots"]
    return [(slots[slot] or {}).get("version")
            for slot in ("current", "previous")]


def test_a_running_agent_commits_the_first_before_the_second(published, device):
    device.start()
    code, said = update(device, published.both)
    assert code == 0, said
    assert [(line["version"], line["state"]) for line in said] == [
        ("2.0.0", "succeeded"), ("3.0.0", "soaking")]
    device.wait(lambda: versions(device) == ["3.0.0", "2.0.0"])
    # both again: nothing goes back only to come again
    code, said = update(device, published.both)
    assert code == 0
    assert said[0] == {"model": "tiny", "version": "2.0.0",
                       "passed_over": "3.0.0"}
    assert said[1]["version"] == "3.0.0" and \
        said[1]["state"] == "already-installed", said
    assert versions(device) == ["3.0.0", "2.0.0"]


def test_without_an_agent_both_are_installed_too(published, device):
    write(device, "")
    code, said = update(device, published.both)
    assert code == 0, said
    assert [line["version"] for line in said] == ["2.0.0", "3.0.0"]
    assert said[0]["state"] == "succeeded"
    device.start()
    device.wait(lambda: versions(device) == ["3.0.0", "2.0.0"])
