#!/usr/bin/env python3
"""Damaged GGUF files at the door of llama.cpp's library: in each, one value of
the metadata or one field of a tensor is changed.

usage: llama_damage.py [COUNT]   (500; FLOTILLA_BIN names the programs)
FLOTILLA_SEED draws the changes. Each file is given to `flotilla-agent serve
--backend llama`, whose engine opens it in the full sandbox. The agent must
refuse it with a typed error, or serve it, answer a request or refuse that with
a typed error, and end when it is told to. A signal that ends the agent, an
error without an id and an agent that hangs fail. The engine may die: the library
ends its process at some files, and the agent then reports `engine.`."""
import collections
import concurrent.futures
import http.client
import json
import os
import random
import re
import socket
import struct
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "integration"))
import bad_files  # noqa: E402
from waits import HANG_S  # noqa: E402

BIN = os.environ["FLOTILLA_BIN"]
MODELS = [os.path.join(ROOT, "tests", "models", name) for name in (
    "lfm2.Q8_0.gguf", "bert.Q8_0.gguf", "tiny-v2.Q4_0.gguf")]
SEED = os.environ.get("FLOTILLA_SEED", "0")
FORMS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<B",
         10: "<Q", 11: "<q", 12: "<d"}
TEXT, ARRAY = 8, 9


def another(draw, form, old):
    """A value of that form that is not the old one: a limit, a neighbour, or any."""
    bits = 8 * struct.calcsize(form)
    if form in ("<f", "<d"):
        values = [0.0, -1.0, -old, old * 2, 1e-30, 1e30, float("nan"), float("inf"),
                  -float("inf")]
    else:
        values = [0, 1, 2, 3, old + 1, old - 1, old * 2, old // 2, 2 ** 31, 2 ** bits - 1,
                  2 ** (bits - 1), draw.getrandbits(bits)]
    while True:
        value = draw.choice(values)
        if form in ("<f", "<d"):
            return struct.pack(form, value)
        packed = (int(value) % 2 ** bits).to_bytes(bits // 8, "little")
        if packed != struct.pack(form, old):
            return packed


def change_number(draw, g, at, form):
    return g.put(at, another(draw, form, struct.unpack_from(form, g.data, at)[0]))


def change_text(draw, g, at):
    chars = struct.unpack_from("<Q", g.data, at)[0]
    if chars == 0 or draw.random() < 0.2:
        return change_number(draw, g, at, "<Q")
    letter = at + 8 + draw.randrange(chars)
    return g.put(letter, bytes([draw.choice([0, 10, 32, 0x61, 0x7b, 0xc3, 0xff])]))


def change_value(draw, g, key):
    """The file with another kind, value, number of items or item of that key."""
    _, kind_at, at = g.keys[key]
    kind = struct.unpack_from("<I", g.data, kind_at)[0]
    if draw.random() < 0.1:
        return g.kind(key, draw.randrange(14))
    if kind == TEXT:
        return change_text(draw, g, at)
    if kind != ARRAY:
        return change_number(draw, g, at, FORMS[kind])
    item, count = struct.unpack_from("<IQ", g.data, at)
    if count == 0 or draw.random() < 0.2:
        return change_number(draw, g, *draw.choice([(at, "<I"), (at + 4, "<Q")]))
    at += 12
    if item != TEXT:
        return change_number(draw, g, at + draw.randrange(count) * struct.calcsize(FORMS[item]),
                             FORMS[item])
    for _ in range(draw.randrange(count)):
        at += 8 + struct.unpack_from("<Q", g.data, at)[0]
    return change_text(draw, g, at)


def change_tensor(draw, g, name):
    fields = g.tensors[name]
    dims = struct.unpack_from("<I", g.data, fields["dims"])[0]
    if draw.random() < 0.7:
        return change_number(draw, g, fields["shape"] + 8 * draw.randrange(dims), "<Q")
    what, form = draw.choice([("dims", "<I"), ("type", "<I"), ("offset", "<Q")])
    return change_number(draw, g, fields[what], form)


def damaged(number, files):
    """The name of the changed field, and the bytes of that file."""
    draw = random.Random("%s/%d" % (SEED, number))
    while True:
        path, g = draw.choice(files)
        if draw.random() < 0.6:
            what = draw.choice(sorted(g.keys))
            data = change_value(draw, g, what)
        else:
            what = draw.choice(sorted(g.tensors))
            data = change_tensor(draw, g, what)
        if data != g.data:
            return "%s: %s" % (os.path.basename(path), what), data


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
    what, data = damaged(number, files)
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
    ends, failed = collections.Counter(), 0

    def one(number):
        try:
            return play(number, files)
        except (AssertionError, OSError, ValueError, http.client.HTTPException,
                subprocess.TimeoutExpired) as error:
            return None, "file %d: %s: %r" % (number, damaged(number, files)[0], error)
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for end, what in pool.map(one, range(count)):
            ends[end] += 1
            if end is None:
                failed += 1
                print("failed: " + what)
    print("%d damaged files (seed %s): %s" % (count, SEED, ", ".join(
        "%s %d" % pair for pair in ends.most_common())))
    sys.exit(1 if failed else 0)


main()
