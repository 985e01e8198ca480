"""A draft in a release: what `release create --draft` refuses, which variants
get it, and what the engine is asked before anything is signed."""
import os
import shutil

import pytest

from conftest import MODELS

V2 = os.path.join(MODELS, "tiny-v2.Q4_0.gguf")
SMALL = os.path.join(MODELS, "tiny-v1.Q4_0.gguf")
SITE = os.path.join(MODELS, "tiny-v1-site-lora.gguf")
GOLDEN = os.path.join(MODELS, "golden-tiny-v2.json")
README = os.path.join(MODELS, "README.md")


@pytest.fixture(scope="module")
def up(fleet):
    fleet.up([])
    return fleet


@pytest.fixture(scope="module")
def table(up):
    """A file that begins as a table does."""
    path = os.path.join(up.dir, "t.bin")
    with open(path, "wb") as file:
        file.write(b"FLODRAFT" + bytes(56))
    return path


def create(up, title, *words, model=("--model-file", V2)):
    return up.cli("release", "create", title, *model, "--golden", GOLDEN,
                  "--sign-with", up.key, "--delta-from", "none", *words,
                  check=False)


def document(up, title):
    return up.ask("release", "get", title)["document"]


def drafts(release):
    """The draft of each variant."""
    names = [file["name"] for file in release["files"] if file["role"] == "draft"]
    return {variant["name"]: [name for name in variant["files"] if name in names]
            for variant in release["variants"]}


def test_a_draft_is_a_file_of_the_release_named_by_its_kind(up, table):
    for number, path, name in ((1, table, "draft.table"), (2, SMALL, "draft.gguf")):
        code, _, err = create(up, "kind@%d" % number, "--draft", path, "--skip-play")
        assert code == 0, err
        made = document(up, "kind@%d" % number)
        assert drafts(made) == {"default": [name]}
        [file] = [file for file in made["files"] if file["role"] == "draft"]
        assert file["bytes"] == os.path.getsize(path)
        assert file["get"][0]["codec"] == "raw"
    code, _, err = create(up, "kind@1", "--draft", table, "--skip-play")
    assert code == 0 and "is there already" in err, err
    with open(table, "rb") as file:
        other = file.read() + b"x"
    with open(table + ".other", "wb") as file:
        file.write(other)
    code, _, err = create(up, "kind@1", "--draft", table + ".other", "--skip-play")
    assert code == 5 and "the draft draft.table is another" in err, err
    code, _, err = create(up, "kind@1", "--skip-play")
    assert code == 5 and "the number of files is another" in err, err


@pytest.mark.parametrize("words, code, what, fix", [
    (("--draft", README), 7, "error[draft.unfit]", "flotilla-model draft"),
    (("--draft", "/nowhere"), 3, "--draft /nowhere", ""),
    (("--draft", SMALL, "--draft", SMALL), 2, "one is for all variants",
     "NAME=PATH:draft"),
    (("--draft", SMALL, "--runtime", "ort"), 2,
     "no variant is for Flotilla's own engine", "no other runtime reads drafts"),
    (("--draft", SMALL, "--runtime", "ort", "--variant",
      "a=model.gguf,draft.gguf"), 2, "variant a has a draft, which runtime ort",
     "leave the draft out"),
    (("--file", "a.gguf=%s:draft" % SMALL, "--file", "b.gguf=%s:draft" % SMALL), 2,
     "variant default has 2 drafts, 1 is allowed", "name one of them"),
    (("--draft", SMALL, "--base", "kind@1", "--adapter", SITE), 2,
     "--draft and --adapter exclude each other", "part of the base"),
], ids=["no-draft", "absent", "two", "runtime", "named", "two-files", "adapter"])
def test_a_draft_that_no_device_could_use_is_refused(up, words, code, what, fix):
    model = () if "--adapter" in words else ("--model-file", V2)
    got, out, err = create(up, "bad@1", *words, "--skip-play", model=model)
    assert got == code and out == "", err
    assert what in err and fix in err, err


def test_each_variant_of_the_engine_gets_it_and_no_other(up):
    words = ("--file", "small.gguf=%s:model" % SMALL, "--variant", "big=model.gguf",
             "--variant", "own=model.gguf,small.table", "--variant",
             "ort=small.gguf", "--needs", "ort:runtime=ort")
    own = os.path.join(up.dir, "own.table")
    with open(own, "wb") as file:
        file.write(b"FLODRAFT of its own")
    code, _, err = create(up, "some@1", "--draft", SMALL, "--skip-play", *words,
                          "--file", "small.table=%s:draft" % own)
    assert code == 0, err
    assert drafts(document(up, "some@1")) == {
        "big": ["draft.gguf"], "own": ["small.table"], "ort": []}
    code, _, err = create(up, "some@2", "--draft", SMALL, "--skip-play",
                          "--runtime", "auto")
    assert code == 0, err
    auto = document(up, "some@2")
    assert {name for name, has in drafts(auto).items() if has} == {"native"}
    assert all("golden.json" in variant["files"] for variant in auto["variants"])


def test_a_release_of_an_adapter_has_the_draft_of_its_base(up, table):
    code, _, err = create(up, "base@1", "--draft", table, "--skip-play",
                          "--publish", model=("--model-file", SMALL))
    assert code == 0, err
    code, _, err = create(up, "base@2", "--base", "base@1", "--adapter", SITE,
                          "--skip-play", model=())
    assert code == 0, err
    base, made = (document(up, "base@%d" % number) for number in (1, 2))
    assert drafts(made) == {"default": ["draft.table"]}
    assert [file for file in made["files"] if file["role"] == "draft"] == \
        [file for file in base["files"] if file["role"] == "draft"]


def test_the_engine_compares_a_draft_with_each_model_that_gets_it(
        up, table, monkeypatch):
    place = os.path.join(up.dir, "stand-in")
    os.makedirs(place)
    for program, text in (
            ("flotilla-model", "exit 0"),
            ("flotilla-engine", 'echo "$@" >>%s/heard; echo compared\n'
             "exit $(cat %s/exit)" % (place, place))):
        path = os.path.join(place, program)
        with open(path, "w", encoding="utf-8") as file:
            file.write("#!/bin/sh\n%s\n" % text)
        os.chmod(path, 0o755)
    shutil.copy(up.path("flotilla"), place)
    words = ("--draft", table, "--file", "small.gguf=%s:model" % SMALL,
             "--variant", "a=model.gguf", "--variant", "b=small.gguf",
             "--variant", "c=model.gguf")

    def run(title, code):
        with open(os.path.join(place, "exit"), "w", encoding="utf-8") as file:
            file.write(str(code))
        return create(up, title, *words)
    monkeypatch.setattr(up, "bin", place)
    monkeypatch.setattr(up, "env", {
        name: value for name, value in up.env.items() if name != "FLOTILLA_BIN"})
    code, out, err = run("asked@1", 7)
    assert code == 7 and "error[draft.unfit]" in err and out == "", err
    assert "%s is no draft for %s" % (table, V2) in err, err
    code, out, err = run("asked@2", 0)
    assert code == 0 and "compared" in err, err
    assert out.startswith("draft asked@2 sha256:"), out
    with open(os.path.join(place, "heard"), encoding="utf-8") as file:
        heard = file.read().splitlines()
    first, second = ("draft %s %s" % (model, table) for model in (V2, SMALL))
    assert heard == [first, first, second]
    os.remove(os.path.join(place, "flotilla-engine"))
    code, _, err = run("asked@3", 0)
    assert code == 3 and "flotilla-engine" in err and "--skip-play" in err, err
