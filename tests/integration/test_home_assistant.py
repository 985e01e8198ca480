"""Home Assistant's Ollama integration sets a conversation up and switches a light: its calls, by the real client."""
import os

import pytest

import reciter
from client_parts import lacks, played
from test_local_api import Server

ROWS = ["a_wrong_key_is_told_as_such", "the_models_are_there_to_choose",
        "a_model_that_is_not_there_is_not_pulled", "a_light_is_switched_on",
        "a_light_is_switched_off", "a_task_gets_its_object"]

if lacks("python"):
    pytest.skip(lacks("python"), allow_module_level=True)


@pytest.fixture(scope="module")
def found(bin_dir, folder):
    """Two models, for which of two tools each calls is its own."""
    files = []
    for name, tool in (("on", "HassTurnOn"), ("off", "HassTurnOff")):
        files.append(os.path.join(folder, name + ".gguf"))
        reciter.write(files[-1], ['"Hass', tool, '"name'])
    server = Server(bin_dir, folder, files[0], (
        "--model", files[1], "--context", "8192"))
    yield played(server, folder, "home_assistant.py", "python", ["ollama"])
    server.close()


@pytest.mark.parametrize("row", ROWS)
def test_home_assistant(found, row):
    assert set(found) == set(ROWS)
    assert found[row] is None, found[row]
