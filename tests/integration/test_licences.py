"""Licences: a release carries its model's licence, and lists refuse others."""
import os
import subprocess

import pytest

from controller_parts import BIN, ROOT, Controller
from waits import HANG_S

MODELS = os.path.join(ROOT, "tests", "models")
V2 = os.path.join(MODELS, "tiny-v2.Q4_0.gguf")
GOLDEN = os.path.join(MODELS, "golden-tiny-v2.json")
FLOTILLA = os.path.join(BIN, "flotilla")


@pytest.fixture(scope="module")
def controller(folder):
    one = Controller(folder).start("--allow-licence", "cc0-1.0,apache-2.0")
    yield one
    one.stop()


@pytest.fixture
def create(controller, folder):
    access = ("--controller", controller.rest, "--token-file",
              controller.facts["token"])
    key = os.path.join(folder, "keys", "mine.key")

    def run(*words):
        done = subprocess.run([FLOTILLA, *words, *access], timeout=HANG_S,
                              capture_output=True, text=True)
        return done.returncode, done.stdout, done.stderr

    if not os.path.exists(key):
        assert run("key", "create", "mine", "--to",
                   os.path.dirname(key))[0] == 0
        assert run("key", "trust", key[:-4] + ".pub")[0] == 0
    return lambda title, *words, model=V2: run(
        "release", "create", title, "--model-file", model, "--sign-with", key,
        "--golden", GOLDEN, "--skip-play", "--delta-from", "none", *words)


def with_licence(folder, licence):
    """The model with another licence of as many bytes."""
    with open(V2, "rb") as file:
        data = file.read()
    assert len(licence) == 7 and data.count(b"cc0-1.0") == 1
    path = os.path.join(folder, licence.decode() + ".gguf")
    with open(path, "wb") as file:
        file.write(data.replace(b"cc0-1.0", licence))
    return path


def licence_of(controller, title):
    return controller.ask("GET", "/v1/releases/" + title).json["document"].get(
        "license")


def test_a_release_has_the_licence_that_its_model_names(controller, create):
    code, _, err = create("own@1", "--publish")
    assert code == 0, err
    assert licence_of(controller, "own@1") == "cc0-1.0"
    code, _, err = create("own@1")
    assert code == 0 and "is there already" in err, err


def test_a_licence_file_gives_its_id(controller, create, folder):
    path = os.path.join(folder, "LICENSE")
    with open(path, "w", encoding="utf-8") as file:
        file.write("SPDX-License-Identifier: Apache-2.0\n\nterms\n")
    code, _, err = create("file@1", "--license", path)
    assert code == 0, err
    assert licence_of(controller, "file@1") == "Apache-2.0"
    code, out, err = create("file@2", "--license", GOLDEN)
    assert code == 2 and "SPDX-License-Identifier" in err, (out, err)


def test_a_licence_that_the_publisher_does_not_allow_is_named(create):
    code, out, err = create("not@1", "--allow-licence", "mit,apache-2.0")
    assert code == 7 and "error[release.licence]" in err and out == "", err
    assert "tiny-v2.Q4_0.gguf has the licence cc0-1.0" in err, err
    assert "allowed are mit,apache-2.0" in err, err
    # no flag hides what the model says
    code, _, err = create("not@1", "--allow-licence", "mit", "--license", "mit")
    assert code == 7 and "has the licence cc0-1.0" in err, err


def test_a_licence_that_the_controller_does_not_allow_is_named(
        controller, create, folder):
    odd = with_licence(folder, b"gpl-3.0")
    code, out, err = create("odd@1", model=odd)
    assert code == 7 and "error[release.licence]" in err and out == "", err
    assert "has the licence gpl-3.0" in err, err
    none = with_licence(folder, b"       ")
    code, _, err = create("odd@1", model=none)
    assert code == 7 and "names no licence" in err, err


def test_the_controller_itself_refuses_and_stops_drafts(folder, controller,
                                                        create):
    code, _, err = create("draft@1")
    assert code == 0, err
    controller.stop()
    controller.start("--allow-licence", "mit")
    answer = controller.ask("POST", "/v1/releases/draft@1/publish")
    assert b"release.licence" in answer.body and answer.status >= 400, \
        answer.body
    assert b"draft@1 has the licence cc0-1.0" in answer.body
    controller.stop()
    controller.start()
    assert controller.ask(
        "POST", "/v1/releases/draft@1/publish").status == 200
