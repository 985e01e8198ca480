"""Publishing: what `flotilla release create` checks before it computes, the
golden prompts that it makes and plays, and what it says the second time."""
import json
import os
import shutil
import subprocess

import pytest

from controller_parts import BIN, ROOT, Device
from runtime_parts import of_unknown_architecture
from waits import HANG_S, until

FLOTILLA = os.path.join(BIN, "flotilla")
MODELS = os.path.join(ROOT, "tests", "models")
V2 = os.path.join(MODELS, "tiny-v2.Q4_0.gguf")
GOLDEN = os.path.join(MODELS, "golden-tiny-v2.json")
UNPLAYED = "not played   %s (--skip-play)" % GOLDEN
PROMPTS = """Classify: 23:45 oven-95 voltage drop temp=35C
Severity? 13:38 gateway-58 signal weak temp=45C
Tell me something that you are not sure of.
"""


def run(program, *words, env=None):
    done = subprocess.run([program, *words], env=env,
                          capture_output=True, text=True, timeout=HANG_S)
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def create(controller, folder):
    """flotilla release create, with a key that the controller trusts."""
    signing = os.path.join(folder, "publisher")
    access = ("--controller", controller.rest, "--token-file",
              controller.facts["token"])
    key = os.path.join(signing, "mine.key")
    if not os.path.exists(key):
        assert run(FLOTILLA, "key", "create", "mine", "--to", signing,
                   *access)[0] == 0
        assert run(FLOTILLA, "key", "trust", signing + "/mine.pub",
                   *access)[0] == 0

    def call(title, *words, model=V2, key=key, program=FLOTILLA, env=None):
        return run(program, "release", "create", title, "--model-file",
                   model, "--sign-with", key, "--delta-from", "none", *words,
                   *access, env=env)

    return call


def test_what_can_be_wrong_is_said_before_anything_is_computed(create, folder):
    broken = os.path.join(folder, "broken.gguf")
    with open(broken, "wb") as file:
        file.write(b"no model")
    for key, words in ((os.path.join(folder, "none.key"), "none.key"),
                       (os.path.join(ROOT, "README.md"), "README.md")):
        code, out, err = create("pub@1", "--golden", GOLDEN, model=broken,
                                key=key)
        assert code != 0 and "sign with" in err and words in err, err
        assert "broken.gguf" not in err and out == "", err
    code, _, err = create("pub@1", "--golden", os.path.join(ROOT, "README.md"))
    assert code == 7 and "error[meta.json]" in err and "README.md" in err, err
    code, _, err = create("pub@1", "--prompts", os.path.join(folder, "none"))
    assert code != 0 and "none" in err and "making" not in err, err
    code, _, err = create("pub@1", "--prompts", GOLDEN, "--golden", GOLDEN)
    assert code == 2 and "exclude each other" in err, err


def test_golden_prompts_of_another_model_are_not_signed(create):
    other = os.path.join(MODELS, "tiny-v1.Q4_0.gguf")
    code, out, err = create("pub@1", "--golden", GOLDEN, model=other)
    assert code == 7 and "error[probe.golden]" in err and out == "", err
    assert "cases fail" in err, err
    code, _, err = create("drill@1", "--golden", GOLDEN, "--skip-play",
                          model=other)
    assert code == 0 and UNPLAYED in err, err


def test_golden_prompts_are_made_of_a_list_or_of_a_built_in_one(create, folder):
    prompts = os.path.join(folder, "prompts.txt")
    with open(prompts, "w", encoding="utf-8") as file:
        file.write(PROMPTS)
    to = os.path.join(folder, "made")
    code, out, err = create("made@1", "--prompts", prompts, "--to", to,
                            "--publish")
    assert code == 0 and out.startswith("published made@1 sha256:"), (out, err)
    assert "3 of 3 prompts became cases, 1 of them judged" in err, err
    assert "warning: 3 cases may miss a damaged model" in err, err
    with open(os.path.join(to, "golden.json"), encoding="utf-8") as file:
        cases = json.load(file)["cases"]
    assert [case["min_logit_gap"] >= 1 for case in cases] == [True, True, False]
    assert len(cases[2]["expect_losses"]) == len(cases[2]["expect_tokens"])
    assert cases[0]["expect_text"] == "severity: critical"
    code, out, err = create("built-in@1")
    assert code == 0 and "of 16 prompts became cases" in err, err


def test_the_same_inputs_again_are_there_already(create):
    code, first, err = create("again@1", "--golden", GOLDEN, "--label", "one")
    assert code == 0, err
    code, out, err = create("again@1", "--golden", GOLDEN, "--label", "one")
    assert code == 0 and out == first and "is there already" in err, (out, err)
    code, out, err = create("again@1", "--label", "one", "--publish")
    assert code == 0 and out.startswith("published again@1"), (out, err)
    for model, words, what in (
            (os.path.join(MODELS, "tiny-v2.1.Q4_0.gguf"),
             ("--golden", GOLDEN, "--label", "one"), "the model"),
            (V2, ("--golden", GOLDEN), "the label"),
            (V2, ("--golden", os.path.join(MODELS, "golden-tiny-v1.json"),
                  "--label", "one"), "the golden prompts"),
            (V2, ("--label", "one", "--memory", "9000000"),
             "the variant default")):
        code, _, err = create("again@1", *words, model=model)
        assert code == 5 and "error[release.exists]" in err, err
        assert what in err, err


def test_without_its_model_program_nothing_is_signed_unplayed(create, folder):
    alone = os.path.join(folder, "alone")
    os.makedirs(alone)
    program = shutil.copy(os.path.join(BIN, "flotilla"), alone)
    env = dict(os.environ)
    env.pop("FLOTILLA_BIN", None)
    code, out, err = create("alone@1", "--golden", GOLDEN, program=program,
                            env=env)
    assert code == 3 and "flotilla-model" in err and out == "", err
    assert "--skip-play" in err, err


@pytest.mark.skipif(os.path.exists(os.path.join(BIN, "flotilla-model-llama")),
                    reason="the library takes any architecture")
def test_an_architecture_that_nobody_knows_has_its_ways_out(create, folder):
    model = of_unknown_architecture(V2, folder)
    ways = ("update Flotilla", "flotilla-engine-llama", "--runtime auto")
    code, out, err = create("odd@1", "--golden", GOLDEN, model=model)
    assert code == 7 and "error[model.arch]" in err and out == "", err
    assert "mamba" in err and all(way in err for way in ways), err
    code, out, err = create("odd@1", "--golden", GOLDEN, "--skip-play",
                            model=model)
    assert code == 0 and all(way in err for way in ways), err


def test_runtime_auto_refuses_what_its_runtime_cannot_judge(create, folder):
    ids = os.path.join(folder, "ids.json")
    with open(ids, "w", encoding="utf-8") as file:
        json.dump({"format": "flotilla-golden-1", "cases": [
            {"id": "a", "prompt": "a", "max_new_tokens": 2, "must_contain": [],
             "expect_tokens": [1], "min_logit_gap": 2}]}, file)
    for words, code, what, fix in (
            (("--prompts", GOLDEN), 2, "token ids", "format 2"),
            (("--golden", ids), 7, "reports no token ids", "format 2"),
            (("--variant", "a=model.gguf"), 2, "--variant", "llamacpp")):
        got, out, err = create("auto@1", "--runtime", "auto", *words)
        assert got == code and out == "", err
        assert what in err and fix in err, err


def test_consent_to_inexact_answers_reaches_the_program_that_plays(create, folder):
    place = os.path.join(folder, "stand-in")
    os.makedirs(place)
    program = shutil.copy(os.path.join(BIN, "flotilla"), place)
    stand_in, heard = os.path.join(place, "flotilla-model"), place + "/heard"
    with open(stand_in, "w", encoding="utf-8") as file:
        file.write('#!/bin/sh\necho "$@" >>%s\n' % heard)
    os.chmod(stand_in, 0o755)
    env = dict(os.environ)
    env.pop("FLOTILLA_BIN", None)
    for number, consent in enumerate(((), ("--accept-inexact",))):
        code, _, err = create("consent@%d" % (number + 1), "--golden", GOLDEN,
                              *consent, program=program, env=env)
        assert code == 0, err
    with open(heard, encoding="utf-8") as file:
        without, given = file.read().splitlines()
    assert without == "golden play %s --model %s" % (GOLDEN, V2)
    assert given == "golden play %s --accept-inexact --model %s" % (GOLDEN, V2)


BASE = os.path.join(MODELS, "tiny-v1.Q4_0.gguf")
SITE = os.path.join(MODELS, "tiny-v1-site-lora.gguf")


@pytest.fixture
def make(controller, folder, create):
    """release create without a model file of its own."""
    def call(title, *words):
        return run(FLOTILLA, "release", "create", title, "--sign-with",
                   os.path.join(folder, "publisher", "mine.key"),
                   "--controller", controller.rest, "--token-file",
                   controller.facts["token"], *words)
    return call


def document(controller, title):
    return controller.ask("GET", "/v1/releases/" + title).json["document"]


def test_an_adapter_is_a_release_that_names_the_model_of_its_base(
        controller, create, make):
    code, _, err = create("site@1", "--golden", GOLDEN, "--skip-play",
                          "--publish", model=BASE)
    assert code == 0 and UNPLAYED in err, err
    code, _, err = make("site@2", "--base", "site@1", "--adapter",
                        SITE + ":0.5", "--golden", GOLDEN, "--skip-play",
                        "--publish")
    assert code == 0 and UNPLAYED in err, err
    base, made = (document(controller, "site@%d" % n) for n in (1, 2))
    assert made["base"]["number"] == base["number"]
    files = {f["role"]: f for f in made["files"]}
    model = [f for f in base["files"] if f["role"] == "model"][0]
    assert files["model"]["digest"] == model["digest"]
    assert files["model"]["get"] == model["get"]
    assert files["adapter"]["scale_ppm"] == 500000
    assert files["adapter"]["bytes"] == os.path.getsize(SITE)
    variant = made["variants"][0]
    assert variant["entry"] == files["model"]["name"]
    assert variant["needs"]["engine"] == ["llama"]
    # the next one brings a delta from this adapter, or what is smaller
    code, out, err = make("site@3", "--base", "site@1", "--adapter", SITE,
                          "--golden", GOLDEN, "--skip-play", "-o", "json")
    assert code == 0 and UNPLAYED in err, err
    assert json.loads(out)["document"]["files"][0]["scale_ppm"] == 1000000
    # the same again, and another scale
    words = ("--base", "site@1", "--golden", GOLDEN, "--skip-play")
    code, _, err = make("site@3", *words, "--adapter", SITE)
    assert code == 0 and "is there already" in err, err
    code, _, err = make("site@3", *words, "--adapter", SITE + ":0.5")
    assert code == 5 and "the adapter adapter.gguf is another" in err, err
    said = run(FLOTILLA, "release", "get", "site@2", "--controller",
               controller.rest, "--token-file", controller.facts["token"])[1]
    assert "role adapter" in said and "scale_ppm 500000" in said, said
    assert "base        sha256:" in said and "number 1\n" in said, said
    for words in (("--base", "site@1"), ("--adapter", SITE)):
        code, _, err = make("site@4", *words)
        assert code == 2 and "belong together" in err, err


def test_a_release_of_many_files_has_variants_and_a_way_to_serve(
        controller, make, folder):
    tree = os.path.join(folder, "tree")
    os.makedirs(tree, exist_ok=True)
    words = ["--golden", GOLDEN]
    for name, role in (("onnx/model.onnx", "model"), ("onnx/small.onnx",
                       "model"), ("config.json", "config"), ("a.txt", "")):
        path = os.path.join(tree, name.replace("/", "-"))
        with open(path, "w") as file:
            file.write("bytes of " + name)
        words += ["--file", "%s=%s%s" % (name, path, role and ":" + role)]
    words += ["--runtime", "ort", "--variant",
              "gpu=onnx/model.onnx,config.json", "--variant",
              "cpu=onnx/small.onnx,config.json,a.txt", "--needs",
              "gpu:accelerator=cuda", "--needs", "arch=x86_64", "--needs",
              "cpu:rate=4000", "--needs", "cpu:bytes-per-token=1000",
              "--serve", "context=1024", "--serve", "system=Be short.",
              "--serve", "temperature_ppm=200000", "--floor", "1"]
    code, _, err = make("vision@1", *words)
    assert code == 0, err
    made = document(controller, "vision@1")
    assert made["v"] == 2 and made["floor"] == 1
    assert [f["role"] for f in made["files"]] == ["model", "golden", "model",
                                                  "config", "asset"]
    gpu, cpu = made["variants"]
    assert gpu["needs"] == {"runtime": "ort", "accelerator": ["cuda"],
                            "arch": ["x86_64"]}
    assert cpu["files"] == ["onnx/small.onnx", "config.json", "a.txt",
                            "golden.json"]
    assert cpu["needs"]["rate_mtps"] == 4000
    assert made["serve"] == {"context": 1024, "system": "Be short.",
                             "sampling": {"temperature_ppm": 200000}}
    path = os.path.join(tree, "a.txt")
    code, _, err = make("vision@1", *words)
    assert code == 0 and "is there already" in err, err
    for flag, value, what in (
            ("--serve", "sessions=2", "--serve"), ("--floor", "0", "the floor"),
            ("--needs", "gpu:disk=5", "the variant gpu"),
            ("--file", "b.txt=" + path, "the file b.txt")):
        code, _, err = make("vision@1", *words, flag, value)
        assert code == 5 and what + " is another" in err, err
    for flag, value in (("--file", "../x=" + path), ("--file", "x"),
                        ("--serve", "sessions=65"), ("--serve", "cache=q9"),
                        ("--needs", "tpu:arch=x"), ("--needs", "speed=1"),
                        ("--floor", "99")):
        code, _, err = make("vision@2", *words, flag, value)
        assert code in (2, 7) and value.split("=")[0][:4] in err or \
            "floor" in err, (flag, value, err)


def test_deltas_begin_with_what_devices_have(controller, folder, create, make):
    models = ["tiny-v2.Q4_0", "tiny-v3-bad-noise.Q4_0", "tiny-v1.Q4_0",
              "tiny-v3-bad-swap.Q4_0"]
    digests = []
    for number, model in enumerate(models, 1):
        code, out, err = create(
            "spread@%d" % number, "--golden", GOLDEN, "--skip-play",
            "--publish", model=os.path.join(MODELS, model + ".gguf"))
        assert code == 0, err
        digests.append(out.split()[-1])
    device = Device(controller, folder, "spread-1", controller.enrol_token())
    device.connect().report(1, [{
        "model": "spread", "state": "ready", "execution": None,
        "serving": {"release": digests[0], "version": "1"},
        "current": {"release": digests[0]}}])
    until("its release is known", lambda: controller.ask(
        "GET", "/v1/devices?release=spread%401").json["total"] == 1)

    code, out, err = make(
        "spread@5", "--model-file", os.path.join(MODELS, "tiny-v2.1.Q4_0.gguf"),
        "--golden", GOLDEN, "--skip-play", "-o", "json")

    assert code == 0, err
    ways = {way["base"]: way for way in json.loads(out)["ways"]
            if "base" in way}
    # The two newest, and the one that a device runs; nobody runs the second.
    assert set(ways) == {"4", "3", "1"}, ways
    saved = ways["1"]["saves_bytes"]
    assert ways["1"]["devices"] == 1 and 1000000 < saved < 1734464, ways
    assert "from 1: " in err and "1 device, 1." in err, err


def test_each_variant_has_deltas_of_its_own(make, folder):
    def variants(version, large, small):
        words = ["--file", "golden.json=%s:golden" % GOLDEN, "--skip-play"]
        for name, model in (("large", large), ("small", small)):
            words += ["--file", "%s.gguf=%s:model" % (name, os.path.join(
                MODELS, model + ".gguf")), "--variant",
                "%s=%s.gguf,golden.json" % (name, name)]
        code, out, err = make("sizes@%d" % version, *words, "--publish", "-o",
                              "json")
        assert code == 0, err
        return {(way["file"], way["base"]): way for way in
                json.loads(out)["ways"] if "base" in way and way["kept"]}, err

    first, said = variants(1, "tiny-v1.Q8_0", "tiny-v2.Q4_0")
    # From one variant to the other: these have other weights.
    assert set(first) <= {("large.gguf", "small.gguf"),
                          ("small.gguf", "large.gguf")}, first
    ways, said = variants(2, "tiny-v1.Q4_1", "tiny-v2.1.Q4_0")
    # From the file of that name in the release before.
    assert ways["small.gguf", "1"]["ratio"] < 0.2, ways
    assert ways["large.gguf", "1"]["ratio"] < 0.2, ways  # Q8_0 to Q4_1
    assert "small.gguf   from 1: " in said, said


# ---- what each device would refuse ----

SLOW = os.path.join(MODELS, "tiny-v4-slow.Q4_0.gguf")


def two_models(large, small, *more):
    """Words of a release with two models, each a variant of its own."""
    return ("--file", "large.gguf=%s:model" % large,
            "--file", "small.gguf=%s:model" % small,
            "--variant", "large=large.gguf", "--variant", "small=small.gguf",
            "--delta-from", "none", *more)


def test_golden_prompts_belong_to_each_variant_that_names_none(
        controller, make, folder):
    own = os.path.join(folder, "own.json")
    with open(GOLDEN, encoding="utf-8") as file:
        golden = json.load(file)
    golden["cases"] = golden["cases"][:2]
    with open(own, "w", encoding="utf-8") as file:
        json.dump(golden, file)
    words = two_models(SLOW, V2, "--file", "own.json=%s:golden" % own,
                       "--variant", "tiny=small.gguf,own.json")
    code, _, err = make("each@1", *words, "--golden", GOLDEN)
    assert code == 0, err
    files = [variant["files"] for variant in
             document(controller, "each@1")["variants"]]
    assert files == [["large.gguf", "golden.json"],
                     ["small.gguf", "golden.json"],
                     ["small.gguf", "own.json"]]
    assert err.count("playing      /") == 3, err


def test_each_variant_is_played(make):
    other = os.path.join(MODELS, "tiny-v1.Q4_0.gguf")
    words = two_models(V2, other, "--golden", GOLDEN)
    code, out, err = make("each@2", *words)
    assert code == 7 and "error[probe.golden]" in err and out == "", err
    assert "variant small" in err and "cases fail" in err, err
    code, _, err = make("each@2", *words, "--skip-play")
    assert code == 0, err
    assert "not played   %s by large, small (--skip-play)" % GOLDEN in err, err


def test_golden_prompts_that_are_made_hold_for_each_variant(make, folder):
    prompts = os.path.join(folder, "each.txt")
    with open(prompts, "w", encoding="utf-8") as file:
        file.write(PROMPTS)
    words = two_models(os.path.join(MODELS, "tiny-v1.Q8_0.gguf"),
                       os.path.join(MODELS, "tiny-v1.Q4_0.gguf"))
    code, _, err = make("sizes@9", *words, "--prompts", prompts)
    assert code == 0 and "with %s" % MODELS in err, err
    assert "by small" in err, err


def test_what_every_device_refuses_is_refused_with_its_words(make, folder):
    def file(name, text):
        path = os.path.join(folder, name)
        with open(path, "w", encoding="utf-8") as out:
            out.write(text)
        return path

    def golden(name, **case):
        return file(name, json.dumps({"format": "flotilla-golden-2", "cases": [
            {"id": "one", "max_new_tokens": 2, **case}]}))

    near = golden("near.json", text="a", expect=[
        {"cosine_min_ppm": 1, "vector": "near.f32"}])
    heard = golden("heard.json", audio="a.wav", expect=[{"exact": "a"}])
    exits = golden("exits.json", prompt="a", expect=[{"exit": 0}])
    model = ("--model-file", V2, "--skip-play")
    for words, what in (
            (two_models(V2, SLOW), "variant large: bad@1 brings no golden"),
            (("--file", "a=%s:model" % V2, "--runtime", "ort"),
             "bad@1 brings no golden prompts"),
            ((*model, "--golden", near), "the release has no file near.f32"),
            ((*model, "--golden", near, "--file", "near.f32=" + near),
             "near.f32: "),
            ((*model, "--golden", heard, "--file", "a.wav=" + near),
             "a.wav is no WAV file"),
            ((*model, "--golden", exits), "none of 1 golden case can be"),
            (("--file", "b=%s:golden" % GOLDEN, "--golden", GOLDEN, *model,
              "--variant", "v=model.gguf,model.gguf"), "it stands twice")):
        code, out, err = make("bad@1", *words, "--delta-from", "none")
        assert code == 7 and out == "" and what in err, (words, err)


def test_a_runtimes_model_need_not_be_a_file_of_our_engine(make, folder):
    path = os.path.join(folder, "small.onnx")
    with open(path, "wb") as file:
        file.write(b"no GGUF")
    words = ("--file", "b.onnx=%s:model" % path, "--file",
             "a.gguf=%s:model" % V2, "--variant", "b=b.onnx",
             "--variant", "a=a.gguf", "--golden", GOLDEN)
    code, _, err = make("both@1", *words, "--needs", "b:runtime=ort")
    assert code == 0, err
    code, out, err = make("both@2", *words)
    assert code == 7 and "error[gguf." in err and out == "", err
