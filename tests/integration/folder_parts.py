"""A fleet of one device whose commands make their scratch files apart."""
import os

import pytest

import fleet as F
from conftest import Small

FOLDER = os.path.join(F.ROOT, "tests", "models", "lfm2-folder")


@pytest.fixture
def fleet(tmp_path, bin_dir):
    one = Small(os.path.join(str(tmp_path), "f"), bin_dir, name="test")
    one.up([])
    device = one.devices["gw"] = F.Device(one, "gw")
    device.enroll(one.token)
    device.write_config("sandbox: required\n")
    device.start()
    one.online(["gw"])
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    one.env["TMPDIR"] = str(scratch)
    yield one
    one.close()
