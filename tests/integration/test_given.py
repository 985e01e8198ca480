"""A link in somebody's folder brings nothing from outside into a model."""
import os
import re
import shutil
import subprocess

import pytest

import fleet as F
import sets
from conftest import MODELS
from folder_parts import FOLDER
from waits import HANG_S

BASE = os.path.join(MODELS, "tiny-v1.F16.gguf")
SECRET = "-----BEGIN PRIVATE KEY-----\nsecret of the publisher\n"


def asked():
    """The names that readers of folders have in their source."""
    names = set()
    for _, data in sets.files(os.path.join(F.ROOT, "engine", "publish")):
        names.update(re.findall(
            r'"([a-zA-Z_.]+\.(?:json|jinja|md|safetensors)|tokenizer\.model)"',
            data.decode()))
    assert {"config.json", "README.md", "adapter_config.json"} <= names
    return sorted(names)


@pytest.fixture
def model(bin_dir):
    def run(*words, **more):
        return subprocess.run([os.path.join(bin_dir, "flotilla-model"), *words],
                              capture_output=True, text=True, errors="replace",
                              timeout=HANG_S, check=False, **more)
    return run


@pytest.fixture
def key(tmp_path):
    path = tmp_path / "publisher.key"
    path.write_text(SECRET)
    return str(path)


def copy(tmp_path):
    folder = str(tmp_path / "model")
    shutil.rmtree(folder, ignore_errors=True)
    sets.copy(FOLDER, folder)
    return folder


def names_it(done, name, key):
    assert done.returncode != 0, done.stdout
    assert name in done.stderr and key in done.stderr and \
        "leads out of the folder" in done.stderr, done.stderr
    assert "secret of" not in done.stderr + done.stdout


@pytest.mark.parametrize("name", [one for one in asked()
                                  if not one.startswith("adapter_")])
def test_no_file_of_a_model_is_a_link_that_leads_out(model, tmp_path, key, name):
    folder, out = copy(tmp_path), str(tmp_path / "out.gguf")
    path = os.path.join(folder, name)
    if os.path.exists(path):
        os.unlink(path)
    os.symlink(key, path)
    done = model("import", folder, "--to", out)
    if done.returncode == 0:  # this model's family does not ask for it
        with open(out, "rb") as file:
            assert SECRET.encode() not in file.read()
        assert name not in sets.names(FOLDER)
        return
    names_it(done, name, key)
    assert not os.path.exists(out)


@pytest.mark.parametrize("name", ["adapter_config.json", "adapter_model.safetensors"])
def test_no_file_of_an_adapter_is_a_link_that_leads_out(model, tmp_path, key, name):
    folder = tmp_path / "adapter"
    folder.mkdir()
    (folder / "adapter_config.json").write_text('{"peft_type": "LORA", "r": 4, "lora_alpha": 4}')
    (folder / name).unlink(missing_ok=True)
    os.symlink(key, folder / name)
    names_it(model("convert-lora", "--model", BASE, "--lora", str(folder), "--out",
                   str(tmp_path / "out")), name, key)


def test_no_template_of_a_folder_is_a_link_that_leads_out(model, tmp_path, key):
    folder = copy(tmp_path)
    os.unlink(os.path.join(folder, "chat_template.jinja"))
    os.symlink(key, os.path.join(folder, "chat_template.jinja"))
    names_it(model("render", "--model", folder, input='{"messages": []}'), "chat_template.jinja", key)


def test_a_cache_of_hugging_face_is_read(model, tmp_path):
    blobs, snapshot = tmp_path / "blobs", tmp_path / "snapshots" / "0a"
    blobs.mkdir()
    snapshot.mkdir(parents=True)
    for number, name in enumerate(sets.names(FOLDER)):
        shutil.copyfile(os.path.join(FOLDER, name), blobs / str(number))
        os.symlink("../../blobs/%d" % number, snapshot / name)
    for folder in (FOLDER, str(snapshot)):
        done = model("import", folder, "--to", str(tmp_path / os.path.basename(folder)))
        assert done.returncode == 0, done.stderr


RECIPE = """release: lfm@1
from: model
assets:
  notes.md: notes.md
variants:
  - type: q8_0
"""


@pytest.mark.parametrize("name", ["notes.md", "model/config.json", "model/other.json"])
def test_no_file_beside_a_recipe_is_a_link_that_leads_out(bin_dir, tmp_path, key, name):
    work = tmp_path / "recipe"
    work.mkdir()
    copy(work)
    (work / "b.yaml").write_text(RECIPE)
    (work / "notes.md").write_text("notes")
    path = work / name
    path.unlink(missing_ok=True)
    os.symlink(key, path)
    done = subprocess.run([os.path.join(bin_dir, "flotilla"), "model", "build", str(work / "b.yaml"),
                           "--work", str(tmp_path / "work")], capture_output=True, text=True,
                          timeout=HANG_S, check=False)
    names_it(done, name, key)
