"""A link in somebody's folder brings nothing from outside into a model."""
import json
import os
import pathlib
import re
import shutil
import subprocess
import threading

import pytest

import fleet as F
import sets
from conftest import MODELS
from folder_parts import FOLDER
from waits import HANG_S, joined

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
    path.chmod(0o600)
    return str(path)


def to_key(_, path, key):
    os.symlink(key, path)


def to_a_link(work, path, key):
    """A link to a link of the folder, which leads out."""
    os.symlink("../" * path.relative_to(work).as_posix().count("/") + "next", path)
    os.symlink("../" + os.path.basename(key), work / "next")


def to_another_users_file(work, path, key):
    if os.geteuid() != 0:
        pytest.skip("only root has files of two users")
    os.link(key, path)
    for folder in {work, path.parent}:
        os.chown(folder, 12345, 12345)


LINKS = [to_key, to_a_link, to_another_users_file]


def copy(tmp_path):
    folder = str(tmp_path / "model")
    shutil.rmtree(folder, ignore_errors=True)
    sets.copy(FOLDER, folder)
    return folder


def names_it(done, name, link):
    assert done.returncode != 0, done.stdout
    says = "has 2 names, and its owner is" if link is to_another_users_file else \
        "leads out of the folder, to "
    assert name in done.stderr and says in done.stderr, done.stderr
    assert "secret of" not in done.stderr + done.stdout


@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize("name", [one for one in asked()
                                  if not one.startswith("adapter_")])
def test_no_file_of_a_model_leads_out(model, tmp_path, key, name, link):
    folder, out = copy(tmp_path), str(tmp_path / "out.gguf")
    path = os.path.join(folder, name)
    if os.path.exists(path):
        os.unlink(path)
    link(pathlib.Path(folder), pathlib.Path(path), key)
    done = model("import", folder, "--to", out)
    if done.returncode == 0:  # this model's family does not ask for it
        with open(out, "rb") as file:
            assert SECRET.encode() not in file.read()
        assert name not in sets.names(FOLDER)
        return
    names_it(done, name, link)
    assert not os.path.exists(out)


@pytest.mark.parametrize("link", LINKS)
def test_no_part_of_the_weights_leads_out(model, tmp_path, key, link):
    folder, name = pathlib.Path(copy(tmp_path)), "part.safetensors"
    link(folder, folder / name, key)
    (folder / "model.safetensors.index.json").write_text(json.dumps(
        {"weight_map": {"model.norm.weight": name}}))
    names_it(model("import", str(folder), "--to", str(tmp_path / "out")), name, link)


def test_no_file_that_is_swapped_comes_from_outside(model, tmp_path, key):
    """Each file of a model is now itself and now a link, all the time."""
    folder, ends = copy(tmp_path), threading.Event()

    def swap():
        while not ends.is_set():
            for name in sets.names(FOLDER):
                path = os.path.join(folder, name)
                os.symlink(key, path + ".link")
                os.rename(path + ".link", path)
                os.link(os.path.join(str(tmp_path), "kept", name), path + ".file")
                os.rename(path + ".file", path)

    sets.copy(FOLDER, str(tmp_path / "kept"))
    swapper = threading.Thread(target=swap)
    swapper.start()
    try:
        for _ in range(10):
            done = model("import", folder, "--to", str(tmp_path / "out"))
            assert done.returncode == 0 or "leads out of the folder" in done.stderr, done.stderr
            assert "secret of" not in done.stderr + done.stdout
            if done.returncode == 0:
                assert SECRET.encode() not in (tmp_path / "out").read_bytes()
    finally:
        ends.set()
        joined(swapper)


@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize("name", ["adapter_config.json", "adapter_model.safetensors"])
def test_no_file_of_an_adapter_leads_out(model, tmp_path, key, name, link):
    folder = tmp_path / "adapter"
    folder.mkdir()
    (folder / "adapter_config.json").write_text('{"peft_type": "LORA", "r": 4, "lora_alpha": 4}')
    (folder / name).unlink(missing_ok=True)
    link(folder, folder / name, key)
    names_it(model("convert-lora", "--model", BASE, "--lora", str(folder), "--out",
                   str(tmp_path / "out")), name, link)


@pytest.mark.parametrize("link", LINKS)
def test_no_template_of_a_folder_leads_out(model, tmp_path, key, link):
    folder = pathlib.Path(copy(tmp_path))
    (folder / "chat_template.jinja").unlink()
    link(folder, folder / "chat_template.jinja", key)
    names_it(model("render", "--model", str(folder), input='{"messages": []}'),
             "chat_template.jinja", link)


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


# A recipe's fields that name files: the lines of the field, and the file.
FIELDS = {
    "from": ("", "model.gguf"),
    "calibrate": ("calibrate: use.txt", "use.txt"),
    "suite": ("evaluate: {suite: suite.jsonl}", "suite.jsonl"),
    "file": ("golden: {file: golden.json}", "golden.json"),
    "prompts": ("golden: {prompts: prompts.txt}", "prompts.txt"),
    "assets": ("assets: {notes.md: notes.md}", "notes.md"),
    "serve": ("serve: {system: '@system.txt'}", "system.txt"),
    "sign_with": ("sign_with: mine.key", "mine.key"),
}


def test_each_field_of_a_recipe_that_names_files_is_tried():
    with open(os.path.join(F.ROOT, "server-stub/cli/builds/build.def"), encoding="utf-8") as table:
        rows = re.findall(r'^FLO_BUILD\(\w+, "(\w+)", (PATH|CORPUS|FILES|PAIRS), .*"(.*)"\)$',
                          table.read(), re.M)
    assert {name for name, kind, text in rows if kind != "PAIRS" or "@FILE" in text} == set(FIELDS)


def built(bin_dir, tmp_path, key, link, line, name):
    """Builds a recipe, one of whose files is a link, in the folder and by its path."""
    work = tmp_path / "recipe"
    work.mkdir()
    copy(work)
    shutil.copyfile(BASE, work / "model.gguf")
    (work / "b.yaml").write_text("release: lfm@1\nfrom: %s\nvariants: [{type: q8_0}]\n%s\n" % (
        name.split("/")[0] if "model" in name else "model", line))
    path = work / name
    path.unlink(missing_ok=True)
    link(work, path, key)
    for where, recipe in ((str(work), "b.yaml"), (None, str(work / "b.yaml"))):
        done = subprocess.run(
            [os.path.join(bin_dir, "flotilla"), "model", "build", recipe, "--work",
             str(tmp_path / "work")], capture_output=True, text=True, timeout=HANG_S, check=False,
            cwd=where)
        names_it(done, name, link)


@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize("field", sorted(FIELDS))
def test_no_file_of_a_recipe_leads_out(bin_dir, tmp_path, key, field, link):
    built(bin_dir, tmp_path, key, link, *FIELDS[field])


@pytest.mark.parametrize("name", ["model/config.json", "model/other.json"])
def test_no_file_of_a_recipes_model_leads_out(bin_dir, tmp_path, key, name):
    built(bin_dir, tmp_path, key, to_key, "", name)
