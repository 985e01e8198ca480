#!/usr/bin/env python3
"""Damaged GGUF files at the door of llama.cpp's library: in each, one value of
the metadata or one field of a tensor is changed.

usage: llama_damage.py [COUNT]   (500; FLOTILLA_BIN names the programs)
The tree draws the changes (tests/run/draw.py). Each file is given to `flotilla-agent serve
--backend llama`, whose engine opens it in the full sandbox. The agent must
refuse it with a typed error, or serve it, answer a request or refuse that with
a typed error, and end when it is told to. A signal that ends the agent, an
error without an id and an agent that hangs fail. The engine may die: the library
ends its process at some files, and the agent then reports `engine.`."""
import http.client
import json
import os
import re
import socket
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path[:0] = [os.path.join(ROOT, "tests", folder) for folder in ("integration", "run")]
import bad_files  # noqa: E402
import draw  # noqa: E402
from damage import damaged, play_all  # noqa: E402
from waits import HANG_S  # noqa: E402

BIN = os.environ["FLOTILLA_BIN"]
MODELS = [os.path.join(ROOT, "tests", "models", name) for name in (
    "lfm2.Q8_0.gguf", "bert.Q8_0.gguf", "tiny-v2.Q4_0.gguf")]
SEED = str(draw.seed())


def typed(text):
    found = re.search(r"error\[([a-z_.]+)\]", text)
    assert found, "no typed error: %r" % text[-500:]
    return found.group(1)


def ask(path, is_encoder):
    """An answer, or the id of the error instead of one."""
    where, body = ("/v1/embeddings", {"input": "a b"}) if is_encoder else (
        "/v1/completions", {"prompt": "a b", "max_tokens": 3, "temperature": 0})
    one = http.client.HTTPConnection("localhost", timeout=HANG_S)
    one.sock = socket.socket(socket.AF_UNIX)
    one.sock.settimeout(HANG_S)
    one.sock.connect(path)
    one.request("POST", where, json.dumps(body))
    answer = one.getresponse()
    body = json.loads(answer.read())
    one.close()
    if answer.status == 200:
        assert body["data" if is_encoder else "choices"], body
        return "answered"
    assert body["error"]["code"] and body["error"]["message"], body
    return body["error"]["code"]


def play(number, files):
    """The end of that file and its name; AssertionError: one that is not allowed."""
    what, data = damaged(SEED, number, files)
    with tempfile.TemporaryDirectory(dir="/tmp") as place:
        model, api = os.path.join(place, "m.gguf"), os.path.join(place, "api.sock")
        with open(model, "wb") as file:
            file.write(data)
        with open(os.path.join(place, "err"), "w+", encoding="utf-8", errors="replace") as err:
            agent = subprocess.Popen(
                [os.path.join(BIN, "flotilla-agent"), "serve", "--model", model, "--backend",
                 "llama", "--no-pack", "--sessions", "1", "--context", "64", "--threads", "1",
                 "--listen", "unix:" + api],
                stdout=subprocess.PIPE, stderr=err, text=True)
            try:
                lines = iter(agent.stdout.readline, "")
                is_served = any(line.startswith("serving ") for line in lines)
                end = ask(api, what.startswith("bert")) if is_served else None
                agent.terminate()
                agent.stdout.read()
                code = agent.wait(timeout=HANG_S)
            finally:
                agent.kill()
                agent.wait(timeout=HANG_S)
            err.seek(0)
            said = err.read()
    assert code >= 0, "%s: signal %d: %s" % (what, -code, said[-500:])
    assert (code == 0) == is_served or typed(said), (what, code, said[-500:])
    return end or typed(said), what


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 500
    files = [(path, bad_files.Gguf(path)) for path in MODELS]
    play_all(play, [(number, files) for number in range(count)], SEED)


main()
