"""The doctor finds programs that could serve a model, and prints the file that
would use each.  The programs are stand-ins in PATH: the doctor starts none."""
import json
import os
import shutil
import subprocess

import pytest

AGENT = os.path.join(os.environ["FLOTILLA_BIN"], "flotilla-agent")
SHIPPED = os.path.join(
    os.path.dirname(os.path.dirname(os.path.dirname(
        os.path.abspath(__file__)))), "deploy", "llamacpp", "llamacpp.yaml")
PROGRAMS = {"llamacpp": "llama-server", "ollama": "ollama", "vllm": "vllm",
            "tensorrt-llm": "trtllm-serve", "openvino": "ovms"}


@pytest.fixture
def device(tmp_path):
    """A device that is not enrolled, with stand-ins that tell if they run."""
    place = str(tmp_path)
    os.makedirs(os.path.join(place, "bin"))
    os.makedirs(os.path.join(place, "runtimes.d"), mode=0o755)
    for program in PROGRAMS.values():
        path = os.path.join(place, "bin", program)
        with open(path, "w", encoding="utf-8") as out:
            out.write("#!/bin/sh\necho %s >>%s/ran\n" % (program, place))
        os.chmod(path, 0o755)
    with open(os.path.join(place, "agent.yaml"), "w", encoding="utf-8") as out:
        out.write("state_dir: %s/state\nruntimes_dir: %s/runtimes.d\n" %
                  (place, place))
    return place


def doctor(place, *words):
    done = subprocess.run(
        [AGENT, "doctor", "--config", os.path.join(place, "agent.yaml"),
         *words], capture_output=True, text=True, check=False,
        env=dict(os.environ, PATH=os.path.join(place, "bin")))
    assert done.returncode in (0, 5), done  # not enrolled
    return done.stdout


def found(place):
    return {row["check"][6:]: row for row in json.loads(doctor(
        place, "-o", "json")) if row["check"].startswith("found ")}


def test_each_program_comes_with_the_file_that_would_use_it(device):
    rows = found(device)
    assert set(PROGRAMS) <= set(rows)
    for name, program in PROGRAMS.items():
        path = os.path.join(device, "bin", program)
        assert rows[name]["ok"] and path in rows[name]["found"]
        assert path in rows[name]["file"] and "memory: " in rows[name]["file"]
    for_people = doctor(device)
    assert "     " + rows["vllm"]["file"].split("\n")[0] in for_people
    assert not os.path.exists(os.path.join(device, "ran"))


needs_root = pytest.mark.skipif(
    os.geteuid() != 0, reason="files of runtimes.d belong to root")


@needs_root
def test_the_file_of_the_package_is_one_that_the_agent_takes(device):
    path = os.path.join(device, "runtimes.d", "llamacpp.yaml")
    shutil.copy(SHIPPED, path)
    os.chmod(path, 0o644)

    def told():
        [row] = [row for row in json.loads(doctor(device, "-o", "json"))
                 if row["check"] == "runtime llamacpp"]
        return row["found"]
    if not os.path.exists("/usr/lib/flotilla/llamacpp/llama-server"):
        assert told() == "its program is not there"
    with open(path, "a", encoding="utf-8") as out:
        out.write("memroy: 1GiB\n")
    assert "memroy" in told()


@needs_root
def test_the_file_as_it_was_printed_makes_a_runtime(device):
    for name, row in found(device).items():
        path = os.path.join(device, "runtimes.d", name + ".yaml")
        with open(path, "w", encoding="utf-8") as out:
            out.write(row["file"])
        os.chmod(path, 0o644)
    rows = {row["check"]: row for row in json.loads(
        doctor(device, "-o", "json"))}
    for name in PROGRAMS:
        assert rows["runtime " + name]["found"] == "can be started", rows
        assert "see runtime " + name in rows["found " + name]["found"]
        assert "file" not in rows["found " + name]
    assert not os.path.exists(os.path.join(device, "ran"))
