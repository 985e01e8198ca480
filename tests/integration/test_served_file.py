"""A served file that changes on disk, under `flotilla-agent serve`: it is named within a
second, and no answer is that of a half model."""
import os
import shutil
import tempfile

import pytest

from conftest import MODELS
from test_local_api import Server
from waits import Seen, until

MODEL = os.path.join(MODELS, "tiny-v2.Q4_0.gguf")
OTHER = os.path.join(MODELS, "tiny-v1.Q4_0.gguf")


def cut(path):
    os.truncate(path, 100000)


def empty(path):
    os.truncate(path, 0)


def write_another(path):
    """As many bytes, of another model."""
    size = os.path.getsize(path)
    with open(OTHER, "rb") as other, open(path, "r+b") as file:
        file.write(other.read()[:size].ljust(size, b"\0"))


def rename_another(path):
    shutil.copy(OTHER, path + ".new")
    os.replace(path + ".new", path)


@pytest.fixture
def served(bin_dir, folder):
    made = []

    def serve(*options):
        place = tempfile.mkdtemp(dir=folder)
        path = shutil.copy(MODEL, os.path.join(place, "model.gguf"))
        made.append(Server(bin_dir, place, model="m=" + path, options=options))
        return made[-1], path
    yield serve
    for one in made:
        one.close()


@pytest.mark.parametrize("options", [(), ("--model", "other=" + OTHER)],
                         ids=["alone", "of two"])
@pytest.mark.parametrize("change", [cut, empty, write_another], ids=lambda one: one.__name__)
def test_a_file_that_is_written_to_is_named(served, change, options):
    server, path = served(*options)
    assert server.chat(model="m")[0] == 200
    change(path)

    def is_told():
        status, _, answer = server.chat(model="m")
        said = answer.get("error", {})
        return (status == 503 and said["code"] == "io.read" and
                path in said["message"] and "changed while it is served" in said["message"] and
                "by a rename" in said["fix"]) or Seen(answer)
    until("the change is told", is_told)
    assert is_told() is True
    if options:
        assert server.chat(model="other")[0] == 200
    else:
        assert server.call("GET", "/health")[2] == {"status": "down", "why": "io.read"}


@pytest.mark.parametrize("change", [rename_another, os.unlink], ids=lambda one: one.__name__)
def test_a_file_that_is_replaced_or_removed_is_served_as_it_was(served, change):
    server, path = served()
    before = server.chat(model="m")[2]["choices"]
    change(path)
    for _ in range(3):
        status, _, answer = server.chat(model="m")
        assert (status, answer["choices"]) == (200, before)
    assert server.call("GET", "/health")[2]["status"] == "ok"
