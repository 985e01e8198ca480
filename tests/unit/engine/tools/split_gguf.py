#!/usr/bin/env python3
"""A GGUF file in parts, as llama.cpp splits one: each command takes any part for the
whole, the parts become the first file again, and a key that nobody reads is refused
until a person accepts it.

usage: split_gguf.py BIN_DIR   (from the root folder)
"""
import json
import os
import struct
import subprocess
import sys
import tempfile

BIN = os.path.abspath(sys.argv[1])
BASE = os.path.abspath("tests/models/tiny-v2.Q4_0.gguf")
SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}


def behind(data, kind, at):
    """Where a value ends."""
    if kind == 8:
        return at + 8 + struct.unpack_from("<Q", data, at)[0]
    if kind == 9:
        kind, count = struct.unpack_from("<IQ", data, at)
        at += 12
        for _ in range(count):
            at = behind(data, kind, at)
        return at
    return at + SIZES[kind]


def parsed(path):
    """Count and bytes of all keys; head and data of each tensor."""
    with open(path, "rb") as file:
        data = file.read()
    tensors, keys = struct.unpack_from("<QQ", data, 8)
    at = 24
    for _ in range(keys):
        at = behind(data, 8, at)
        at = behind(data, struct.unpack_from("<I", data, at)[0], at + 4)
    texts, heads = data[24:at], []
    for _ in range(tensors):
        begin = at
        at = behind(data, 8, at)
        at += 4 + 8 * struct.unpack_from("<I", data, at)[0] + 4
        heads.append((data[begin:at], struct.unpack_from("<Q", data, at)[0]))
        at += 8
    base = (at + 31) // 32 * 32
    ends = sorted(offset for _, offset in heads) + [len(data) - base]
    return keys, texts, [
        (head, data[base + offset:base + ends[ends.index(offset) + 1]])
        for head, offset in heads]


def key(name, form, kind, value):
    return struct.pack("<Q", len(name)) + name.encode() + struct.pack("<I" + form, kind, value)


def write(path, count, texts, tensors):
    head, body = struct.pack("<4sIQQ", b"GGUF", 3, len(tensors), count) + texts, b""
    for name, data in tensors:
        head += name + struct.pack("<Q", len(body))
        body += data + bytes(-len(data) % 32)
    with open(path, "wb") as file:
        file.write(head + bytes(-len(head) % 32) + body)


def split(folder, parts):
    keys, texts, tensors = parsed(BASE)
    each = -(-len(tensors) // parts)
    names = [os.path.join(folder, "m-%05d-of-%05d.gguf" % (i + 1, parts)) for i in range(parts)]
    for i, name in enumerate(names):
        more = key("split.no", "H", 2, i) + key("split.count", "H", 2, parts) + \
            key("split.tensors.count", "i", 5, len(tensors))
        write(name, 3 + (0 if i else keys), (b"" if i else texts) + more,
              tensors[i * each:(i + 1) * each])
    return names


def run(program, *words, code=0):
    done = subprocess.run([os.path.join(BIN, program), *words], capture_output=True, text=True,
                          check=False, stdin=subprocess.DEVNULL)
    assert done.returncode == code, (words, done.returncode, done.stdout, done.stderr)
    return done.stdout + done.stderr


def content(path):
    with open(path, "rb") as file:
        return file.read()


def each_part_is_the_whole(folder):
    names = split(folder, 3)
    out = os.path.join(folder, "out")
    run("flotilla-model", "logits", "--model", BASE, "--tokens", "1,5,9", "--out", out)
    wanted = content(out)
    for name in names:
        run("flotilla-model", "logits", "--model", name, "--tokens", "1,5,9", "--out", out)
        assert content(out) == wanted, name
        shown = json.loads(run("flotilla-engine", "inspect", name, "--json"))
        assert len(shown["tensors"]) == len(parsed(BASE)[2]), name
        run("flotilla-model", "import", name, "--to", out)
        assert content(out) == content(BASE), name
        os.unlink(out)
    os.unlink(names[1])
    said = run("flotilla-engine", "inspect", names[0], code=3)
    assert os.path.basename(names[1]) in said and "all 3 parts" in said, said


def a_key_that_nobody_reads_wants_a_person(folder):
    keys, texts, tensors = parsed(BASE)
    odd, accepted = os.path.join(folder, "odd.gguf"), os.path.join(folder, "accepted.gguf")
    write(odd, keys + 1, key("llama.residual_gain", "f", 6, 2.0) + texts, tensors)
    words = ("logits", "--tokens", "1,5,9", "--out", os.path.join(folder, "out"), "--model")
    for program, words in (("flotilla-model", (*words, odd)),
                           ("flotilla-model", ("quantize", odd, accepted, "q8_0")),
                           ("flotilla-model", ("import", odd, "--to", accepted))):
        said = run(program, *words, code=7)
        assert '"llama.residual_gain" is not read' in said, said
        assert not os.path.exists(accepted)
    run("flotilla-model", "import", odd, "--to", accepted, "--accept-unknown",
        "llama.other,llama.residual_gain")
    run("flotilla-model", "logits", "--model", accepted, "--tokens", "1,5,9", "--out",
        os.path.join(folder, "out"))


if __name__ == "__main__":
    for play in (each_part_is_the_whole, a_key_that_nobody_reads_wants_a_person):
        with tempfile.TemporaryDirectory() as place:
            play(place)
    print("ok")
