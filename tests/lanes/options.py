#!/usr/bin/env python3
"""A build with one room left out, which the tree draws: it links, its unit
tests pass, and whoever asks for the room is told not.built and the option.

usage: tests/lanes/options.py
The tree draws whether a run plays it (tests/run/draw.py), which room it is, and a
tenth of the unit tests. FLOTILLA_PART=all: each room, then all together.
FLOTILLA_OPTION=NAME: this room; FLOTILLA_OPTION=LEAST: all together."""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "run"))
import draw  # noqa: E402

BUILD = "build/options"
BIN = os.path.join(ROOT, BUILD, "bin")
LEAST = "LEAST"
MODEL = "tests/models/tiny-v2.Q4_0.gguf"
# A line that needs the room: of which program, and the rest.
LINES = {
    "FLOTILLA_RUNTIMES": ["flotilla-engine proxy"],
    "FLOTILLA_NEIGHBOURS": ["flotilla-updater share"],
    "FLOTILLA_BATCHES": ["flotilla-agent batch in.jsonl out.jsonl"],
    "FLOTILLA_STANDALONE": ["flotilla-agent serve --model M --listen unix:S"],
    "FLOTILLA_CHECKUP": ["flotilla-agent doctor"],
    "FLOTILLA_BENCHMARK": ["flotilla-engine bench --model " + MODEL],
    "FLOTILLA_BUNDLES": ["flotilla-agent update --bundle B"],
    "FLOTILLA_TYPED_DELTAS": ["flotilla-updater delta info tests/golden/delta/types.tensor1"],
    "FLOTILLA_PREFIXES": ["flotilla-engine run --prefix-file {dir}/p %s %s" % (MODEL, "a_b_" * 20)],
    "FLOTILLA_DRAFTS": ["flotilla-engine draft a b"],
    "FLOTILLA_TALK": ["flotilla-engine run " + MODEL],
    "FLOTILLA_GRAMMAR": ["flotilla-model generate --tokens 1 --grammar README.md --model " + MODEL],
    "FLOTILLA_PUBLISHER": ["flotilla-updater delta create a b c"],
    "FLOTILLA_POSTGRESQL": [
        "flotilla-controller run --data {dir} --store postgresql://127.0.0.1:1/x"],
    "FLOTILLA_BROKER": ["flotilla-controller run --data {dir} --check"],
    "FLOTILLA_OIDC": ["flotilla-controller run --data {dir} --check --oidc {dir}/none.yaml"],
    "FLOTILLA_BACKUP": ["flotilla-controller backup {dir}/to --data {dir}"],
    "FLOTILLA_TRUST": ["flotilla key create {dir}"],
    "FLOTILLA_OVERVIEW": ["flotilla doctor"],
}
# A question to an agent that serves the tiny model.
QUESTIONS = {
    "FLOTILLA_DIALECTS": ("/api/chat", {"model": "m", "messages": []}),
    "FLOTILLA_BATCHES": ("/v1/batches", {}),
    "FLOTILLA_SPEECH": ("/v1/audio/transcriptions", {}),
    "FLOTILLA_RERANK": ("/v1/rerank", {}),
    "FLOTILLA_ASSETS": ("/v1/assets/m", None),
    "FLOTILLA_TEMPLATES": ("/v1/chat/completions", {
        "messages": [{"role": "user", "content": "a"}], "max_tokens": 1}),
    "FLOTILLA_GRAMMAR": ("/v1/completions", {
        "prompt": "a", "max_tokens": 4, "response_format": {"type": "json_object"}}),
}


def rooms():
    with open("cmake/rooms.cmake", encoding="utf-8") as file:
        return re.findall(r"^flotilla_room\((\w+)", file.read(), re.M)


def call(words, name, **more):
    """Run, and show what it said where it failed."""
    done = subprocess.run(words, capture_output=True, text=True, check=False, **more)
    if done.returncode != 0:
        print("\n".join((done.stdout + done.stderr).split("\n")[-40:]))
        sys.exit("%s: %s failed" % (name, " ".join(words[:3])))
    return done.stdout


def expect(said, options, where):
    if "not.built" not in said or not any(option in said for option in options):
        sys.exit("%s: %s says: %s" % (options[0], where, said))


def ask(at, path, body):
    """With a body that is posted; None: a GET."""
    request = urllib.request.Request(
        at + path, None if body is None else json.dumps(body).encode(),
        {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=600) as answer:
            return answer.read().decode()
    except urllib.error.HTTPError as refusal:
        return refusal.read().decode()


def look_at_lines(option, off, folder):
    """A line may need several rooms of those that are off."""
    for line in LINES.get(option, []):
        words = line.format(dir=folder).split()
        path = os.path.join(BIN, words[0])
        if os.path.exists(path):  # a program may be left out as a whole
            done = subprocess.run([path] + words[1:], capture_output=True, text=True,
                                  stdin=subprocess.DEVNULL, check=False, timeout=600)
            expect(done.stdout + done.stderr, [option] + off, line)


def look_at_answers(option):
    if option not in QUESTIONS:
        return
    agent = subprocess.Popen(
        [os.path.join(BIN, "flotilla-agent"), "serve", "--model", "m=" + MODEL,
         "--no-pack", "--listen", "127.0.0.1:0"], stdout=subprocess.PIPE, text=True)
    try:
        port = re.search(r"\(port (\d+)\)", agent.stdout.readline()).group(1)
        path, body = QUESTIONS[option]
        expect(ask("http://127.0.0.1:" + port, path, body), [option], path)
    finally:
        agent.terminate()
        agent.wait()


def tests_of(option):
    """Unit tests of this tree that need no room which is left out: name to target.
    A test's command is the launcher, three words of its own, then the program; two
    tests may have one program."""
    listed = json.loads(call(["ctest", "--show-only=json-v1", "-L", "unit"], option,
                             cwd=BUILD))
    targets = {test["name"]: os.path.basename(test["command"][4])
               for test in listed["tests"]
               if not any(p["name"] == "DISABLED" and p["value"]
                          for p in test.get("properties", []))
               and test["name"].startswith("test_") and
               not test["name"].startswith("test_postgresql")}
    names = targets
    if option != LEAST:  # another tenth for each of them, where all are played
        every = os.environ.get("FLOTILLA_PART") == "all"
        one = draw.Draw(draw.seed() + (rooms().index(option) if every else 0))
        names = one.drawn("room-tests", sorted(targets))
    return {name: targets[name] for name in names}


def play(option):
    off = rooms() if option == LEAST else [option]
    call(["cmake", "-S", ".", "-B", BUILD, "-G", "Ninja",
          "-DCMAKE_BUILD_TYPE=RelWithDebInfo"] +
         ["-D%s=%s" % (r, "OFF" if r in off else "ON") for r in rooms()], option)
    # ctest shows the command of a test only if its program, the launcher, exists
    call(["cmake", "--build", BUILD, "--target", "launch"], option)
    tests = tests_of(option)
    shutil.rmtree(BIN, ignore_errors=True)  # no program of an earlier option
    call(["cmake", "--build", BUILD, "-j", str(os.cpu_count()), "--target", "programs",
          "slow-worker", *set(tests.values())], option)
    with tempfile.TemporaryDirectory() as folder:
        for one in off:
            look_at_lines(one, off, folder)
        if option != LEAST:
            look_at_answers(option)
    call(["tests/run/run.py", BUILD, "-R", "^(%s)$" % "|".join(tests)], option)
    print("%s: %d unit tests" % (option, len(tests)), flush=True)


def main():
    os.chdir(ROOT)
    named = os.environ.get("FLOTILLA_OPTION")
    for option in [named] if named else draw.drawn("room"):
        play(option)


main()
