"""A whole chain of a specification: its gates, what is kept, what is signed."""
import hashlib
import json
import os
import random
import signal
import subprocess

import sets
from folder_parts import FOLDER, fleet  # noqa: F401 (a fixture)
from test_compare import FLOATS, V1
from waits import HANG_S, pace, until

PROMPTS = """What should I do about smoke?
Name the colour of the sky.
Count from one to three.
"""
TINY = """release: tiny@1
from: %s
variants:
  - {type: q8_0, needs: {memory: 1000000}}
  - {name: small, type: q4_0}
evaluate:
  suite: %s
  gates: {answers_right_min: 90%%, kl_max: 0.01, bytes_max: %s}
"""


def write(folder, text, name="b.yaml"):
    path = str(folder / name)
    with open(path, "w", encoding="utf-8") as out:
        out.write(text)
    return path


def tiny(folder, most="4MB", more=""):
    return write(folder, TINY % (FLOATS, V1, most) + more)


def build(bin_dir, *words, code=0):
    """A build without a controller; its stdout and stderr."""
    done = subprocess.run([os.path.join(bin_dir, "flotilla"), "model", "build", *words],
                          capture_output=True, text=True, timeout=HANG_S, check=False)
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    return done.stdout, done.stderr


def digests(work):
    """{kind of the result: digest} of the models and the golden prompts."""
    out = {}
    for name, data in sets.tree(work).items():
        step, _, file = name.partition("/")
        if file in ("model.gguf", "golden.json"):
            out[step] = hashlib.sha256(data).hexdigest()
    return out


def test_a_folder_becomes_a_published_release_with_a_draft_of_its_rollout(fleet, tmp_path):
    write(tmp_path, PROMPTS, "prompts.txt")
    write(tmp_path, "\n".join(json.dumps({"prompt": line, "answer": "yes"}) for line in PROMPTS.splitlines()),
          "suite.jsonl")
    write(tmp_path, "read me", "manual.txt")
    spec = write(tmp_path, """release: lfm@1
from: %s
label: by one file
license: apache-2.0
allow_licences: [apache-2.0, mit]
variants:
  - type: q8_0
  - {name: whole, needs: {memory: 900000000000}}
evaluate: {suite: suite.jsonl, tokens: 8, gates: {kl_max: 0.5, bytes_max: 50MB}}
golden: {prompts: prompts.txt, kept_min: 1}
assets: {manual.txt: manual.txt}
serve: {context: 128}
sign_with: %s
publish: true
rollout: {phases: [{name: all, size: 100%%}], soak: 1s}
""" % (FOLDER, fleet.key))
    said = fleet.cli("model", "build", spec)[1]
    assert "published lfm@1 sha256:" in said and "golden.kept_min" in said, said
    made = json.loads(fleet.cli("release", "get", "lfm@1", "-o", "json")[1])["document"]
    assert [v["name"] for v in made["variants"]] == ["q8_0", "whole"]
    assert {f["name"]: f["role"] for f in made["files"]} == {
        "q8_0.gguf": "model", "whole.gguf": "model", "golden.json": "golden",
        "manual.txt": "asset"}
    assert made["serve"]["context"] == 128 and made["license"] == "apache-2.0"
    assert made["quality"].startswith("q8_0: ") and "; whole: " in made["quality"], made
    # the draft is written, and nothing is rolled out until a person starts it
    draft = str(tmp_path / "b.work" / "rollout.yaml")
    assert "rollout start -f " + draft in said, said
    assert "lfm" not in fleet.cli("rollout", "list")[1]
    fleet.cli("rollout", "start", "-f", draft, "--wait")
    answer = fleet.devices["gw"].ask("What should I do about smoke?", "lfm", max_tokens=8)
    assert answer[1] == "lfm@1" and answer[0], answer
    # the same file again finds everything
    again = json.loads(fleet.cli("model", "build", spec, "-o", "json")[1])
    assert {step["state"] for step in again["steps"]} == {"kept"}, again
    assert again["published"]["existed"] and again["passed"], again


def test_a_failed_gate_says_by_how_much_and_signs_nothing(fleet, tmp_path):
    spec = tiny(tmp_path, "2MB", "sign_with: %s\npublish: true\n" % fleet.key)
    code, said, err = fleet.cli("model", "build", spec, check=False)
    assert code == 7 and "error[model.gate]: variant q8_0: file bytes is 3241792" in err, err
    assert "(1241792 bytes too much); 1 of 6 gates failed" in err, err
    rows = [line.split() for line in said.splitlines()[1:]]
    assert [row[:5] for row in rows if row[4] == "failed"] == [
        ["q8_0", "bytes_max", "2000000", "3241792", "failed"]], said
    assert "tiny@1" not in fleet.cli("release", "list")[1]
    # a program gets the same as one object
    code, said, _ = fleet.cli("model", "build", spec, "-o", "json", check=False)
    answer = json.loads(said)
    failed = [row for row in answer["verdicts"] if not row["passed"]]
    assert code == 7 and not answer["passed"] and len(failed) == 1, answer
    assert failed[0]["measured"] - failed[0]["limit"] == 1241792, failed
    # another limit needs no other model
    tiny(tmp_path, "4MB", "sign_with: %s\npublish: true\n" % fleet.key)
    again = json.loads(fleet.cli("model", "build", spec, "-o", "json")[1])
    states = {step["step"]: step["state"] for step in again["steps"]}
    assert states == {"quantize q8_0": "kept", "quantize small": "kept", "evaluate": "kept",
                      "golden": "done"}, states


def test_too_few_golden_prompts_are_a_failed_gate(bin_dir, tmp_path):
    write(tmp_path, PROMPTS, "prompts.txt")
    spec = write(tmp_path, "release: lfm@1\nfrom: %s\n"
                 "golden: {prompts: prompts.txt, kept_min: 64}\n" % FOLDER)
    _, err = build(bin_dir, spec, code=7)
    assert "golden.kept_min` is 64 (6" in err and "too few" in err, err


def test_a_build_that_is_killed_goes_on_to_the_same_bytes(bin_dir, tmp_path):
    spec, whole, work = tiny(tmp_path), str(tmp_path / "whole"), str(tmp_path / "killed")
    build(bin_dir, spec, "--work", whole)
    chance = random.Random(41)
    for finished in range(4):
        # killed a while after so many steps were finished
        process = subprocess.Popen(
            [os.path.join(bin_dir, "flotilla"), "model", "build", spec, "--work", work],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until("%d steps" % finished,
              lambda: process.poll() is not None or len(notes(work)) >= finished, every=0.005)
        pace(chance.random() * 0.3)
        process.send_signal(signal.SIGKILL)
        process.wait()
    before = len(notes(work))
    said = json.loads(build(bin_dir, spec, "--work", work, "--json")[0])
    assert before >= 3 and [s["state"] for s in said["steps"]].count("kept") == before, said
    assert digests(work) == digests(whole)


def notes(work):
    """Paths of the notes that a step is complete."""
    return [path for path in sets.paths(work) if path.endswith("/done.json")]


def test_only_what_depends_on_a_change_is_made_again(bin_dir, tmp_path):
    spec, work = tiny(tmp_path), str(tmp_path / "b.work")
    build(bin_dir, spec)
    first = digests(work)
    write(tmp_path, (TINY % (FLOATS, V1, "4MB")).replace("q4_0", "q4_1"))
    said = json.loads(build(bin_dir, spec, "--json")[0])
    assert [step["state"] for step in said["steps"]] == ["kept", "done", "done", "done"], said
    # what nothing needs any more is removed
    now = digests(work)
    assert len(now) == len(first) == 3 and len(set(now) & set(first)) == 1, (first, now)
    # a result that somebody cut off is made again
    model = os.path.join(work, said["steps"][0]["result"])
    os.truncate(model, 1000)
    said = json.loads(build(bin_dir, spec, "--json")[0])
    assert [step["state"] for step in said["steps"]] == ["done", "kept", "kept", "kept"], said
    assert digests(work) == now


def test_a_dry_run_shows_the_steps_and_makes_nothing(bin_dir, tmp_path):
    spec = tiny(tmp_path, more="sign_with: no.key\n")
    said, _ = build(bin_dir, spec, "--dry-run")
    assert said.count("to do") == 4 and "sign and upload tiny@1" in said, said
    plan = json.loads(build(bin_dir, spec, "--dry-run", "--json")[0])
    assert [step["step"] for step in plan["steps"]] == [
        "quantize q8_0", "quantize small", "evaluate", "golden"], plan
    assert sets.names(tmp_path) == ["b.yaml"]


def test_what_cannot_end_well_is_refused_before_anything_is_made(bin_dir, tmp_path):
    folder = str(tmp_path / "mit")
    sets.copy(FOLDER, folder)
    write(tmp_path / "mit", "---\nlicense: mit\n---\n", "README.md")
    for code, text, more in (
            (3, "`evaluate.suite`: ", "evaluate: {suite: none.jsonl}\n"),
            (3, "`golden.prompts`: ", "golden: {prompts: none.txt}\n"),
            (3, "sign with", "sign_with: none.key\n"),
            (2, "b.yaml:3: `variantes`: no such field", "variantes: []\n"),
            (7, "has the licence mit; allowed are apache-2.0",
             "allow_licences: [apache-2.0]\nvariants: [{type: q8_0}]\n")):
        spec = write(tmp_path, "release: a@1\nfrom: mit\n" + more)
        _, err = build(bin_dir, spec, code=code)
        assert text in err, (more, err)
        assert not [n for n in notes(str(tmp_path / "b.work")) if "quantize" in n]
    spec = write(tmp_path, "release: a@1\nfrom: nothing\n")
    assert "`from`: %s/./nothing" % tmp_path in build(bin_dir, spec, code=3)[1]


def test_two_builds_do_not_share_a_work_folder(bin_dir, tmp_path):
    import fcntl
    os.mkdir(tmp_path / "b.work")
    with open(tmp_path / "b.work" / "lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = subprocess.run([os.path.join(bin_dir, "flotilla"), "model", "build",
                               tiny(tmp_path)], capture_output=True, text=True, timeout=HANG_S,
                              check=False)
    assert done.returncode != 0 and "another build uses this folder" in done.stderr, done.stderr
