"""The doctor tells whether llama.cpp's back end is installed, and whether
agent.yaml asks for it in vain.  The program is a stand-in next to the agent."""
import json
import os
import shutil
import subprocess

import pytest

BIN = os.environ["FLOTILLA_BIN"]
NAME = "flotilla-engine-llama"


@pytest.fixture
def doctor(tmp_path):
    """The row of an agent in a folder of its own, with that backend."""
    place = str(tmp_path)
    shutil.copy(os.path.join(BIN, "flotilla-agent"), place)
    env = {key: value for key, value in os.environ.items()
           if key != "FLOTILLA_BIN"}

    def ask(backend):
        config = os.path.join(place, "agent.yaml")
        with open(config, "w", encoding="utf-8") as out:
            out.write("state_dir: %s/state\nbackend: %s\n" % (place, backend))
        done = subprocess.run(
            [os.path.join(place, "flotilla-agent"), "doctor", "--config",
             config, "-o", "json"], capture_output=True, text=True, env=env,
            check=False)
        assert done.returncode == 5, done  # not enrolled
        [row] = [row for row in json.loads(done.stdout) if row["check"] == NAME]
        return row["ok"], row["found"]
    ask.path = os.path.join(place, NAME)
    return ask


def test_only_a_device_that_asks_for_an_absent_library_has_a_fault(doctor):
    for backend in ("auto", "native"):
        good, found = doctor(backend)
        assert good and "is not installed" in found, found
    good, found = doctor("llama")
    assert not good and "set backend to auto" in found, found


def test_an_installed_library_is_told_with_who_uses_it(doctor):
    with open(doctor.path, "w", encoding="utf-8") as out:
        out.write("#!/bin/sh\n")
    os.chmod(doctor.path, 0o755)
    assert doctor("auto") == (True, doctor.path + ", backend auto")
    assert doctor("llama") == (True, doctor.path + ", backend llama")
    good, found = doctor("native")
    assert good and found.endswith("unused"), found
