#!/usr/bin/env python3
"""PEFT folders become adapters: written here, converted, and compared with a
base into whose weights this file added the same change itself.

usage: convert_lora.py BIN_DIR   (from the root folder)
"""
import json
import os
import random
import struct
import subprocess
import sys
import tempfile

DICE = random.Random(18)
MODEL = os.path.join(sys.argv[1], "flotilla-model")
BASE = "tests/models/tiny-v1.F16.gguf"
TOKENS = "1,5,9,22,40,7,3"
RANK, ALPHA = 4, 8.0
PREFIX = "base_model.model.model.layers."
NAMES = {"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
         "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
         "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
         "mlp.down_proj": "ffn_down"}
SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}


class Gguf:
    """Keys that are numbers, and where the tensors lie."""

    def __init__(self, path):
        with open(path, "rb") as file:
            self.data = bytearray(file.read())
        self.at = 8
        tensors, keys = self.take("<QQ")
        self.keys = {}
        for _ in range(keys):
            name = self.text()
            self.keys[name] = self.value(self.take("<I")[0])
        self.tensors = {}
        for _ in range(tensors):
            name = self.text()
            dims = self.take("<%dQ" % self.take("<I")[0])
            self.tensors[name] = (dims, *self.take("<IQ"))
        self.base = (self.at + 31) // 32 * 32

    def take(self, form):
        values = struct.unpack_from(form, self.data, self.at)
        self.at += struct.calcsize(form)
        return values

    def text(self):
        count = self.take("<Q")[0]
        self.at += count
        return bytes(self.data[self.at - count:self.at]).decode("utf-8",
                                                                "replace")

    def value(self, kind):
        if kind == 8:
            return self.text()
        if kind == 9:
            kind, count = self.take("<IQ")
            if kind == 8:
                return [self.text() for _ in range(count)]
            self.at += count * SIZES[kind]
            return None
        self.at += SIZES[kind]
        return int.from_bytes(self.data[self.at - SIZES[kind]:self.at],
                              "little")

    def add(self, name, rows):
        """Add a change to an F16 tensor."""
        (columns, count), kind, offset = self.tensors[name]
        assert kind == 1 and count == len(rows)
        form = "<%de" % columns
        for i, row in enumerate(rows):
            at = self.base + offset + i * columns * 2
            old = struct.unpack_from(form, self.data, at)
            struct.pack_into(form, self.data, at,
                             *(a + b for a, b in zip(old, row)))


def matrix(rows, columns, size):
    return [[DICE.uniform(-size, size) for _ in range(columns)]
            for _ in range(rows)]


def safetensors(path, tensors):
    head, data = {"__metadata__": {"format": "pt"}}, b""
    for name, rows in tensors.items():
        part = b"".join(struct.pack("<%df" % len(row), *row) for row in rows)
        head[name] = {"dtype": "F32", "shape": [len(rows), len(rows[0])],
                      "data_offsets": [len(data), len(data) + len(part)]}
        data += part
    text = json.dumps(head).encode()
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + data)


def folder(path, tensors, **config):
    os.makedirs(path, exist_ok=True)
    with open(path + "/adapter_config.json", "w", encoding="utf-8") as file:
        json.dump({"peft_type": "LORA", "r": RANK, "lora_alpha": ALPHA,
                   "bias": "none", "fan_in_fan_out": False,
                   "modules_to_save": None, "rank_pattern": {},
                   "target_modules": list(NAMES), **config}, file)
    safetensors(path + "/adapter_model.safetensors", tensors)


def as_pairs(rows, heads):
    """A trainer's rows of a head, its halves after each other, as the
    neighbours of a file of the llama family."""
    size, out = len(rows) // heads, []
    for head in range(heads):
        part = rows[head * size:(head + 1) * size]
        for one, other in zip(part[:size // 2], part[size // 2:]):
            out += [one, other]
    return out


def run(*words):
    return subprocess.run([MODEL, *words], capture_output=True, text=True,
                          check=False)


def logits(work, model, *words):
    path = os.path.join(work, "logits")
    done = run("logits", "--model", model, "--tokens", TOKENS, "--out", path,
               *words)
    assert done.returncode == 0, done.stderr
    with open(path, "rb") as file:
        return [v[0] for v in struct.iter_unpack("<f", file.read())]


def furthest(one, other):
    return max(abs(a - b) for a, b in zip(one, other))


def convert(work, source):
    out = os.path.join(work, "adapter.gguf")
    if os.path.exists(out):
        os.remove(out)
    done = run("convert-lora", "--model", BASE, "--lora", source, "--out", out)
    assert os.path.exists(out) == (done.returncode == 0), done.stderr
    return out, done


def make(base):
    """Tensors as a trainer names them, and the change that they are."""
    heads = {"attn_q": base.keys["llama.attention.head_count"],
             "attn_k": base.keys["llama.attention.head_count_kv"]}
    tensors, changes = {}, {}
    for layer in range(base.keys["llama.block_count"]):
        for theirs, ours in NAMES.items():
            name = "blk.%d.%s.weight" % (layer, ours)
            columns, rows = base.tensors[name][0]
            a, b = matrix(RANK, columns, 0.1), matrix(rows, RANK, 0.1)
            front = "%s%d.%s.lora_" % (PREFIX, layer, theirs)
            tensors[front + "A.weight"] = a
            tensors[front + "B.weight"] = b
            if ours in heads:
                b = as_pairs(b, heads[ours])
            changes[name] = [[sum(b[i][r] * a[r][j] for r in range(RANK))
                              for j in range(columns)] for i in range(rows)]
    return tensors, changes


def check_merged(work, base, tensors, changes):
    for title, factor, config in (
            ("plain", ALPHA / RANK, {}),
            ("rooted", ALPHA / RANK ** 0.5, {"use_rslora": True})):
        merged = Gguf(BASE)
        for name, rows in changes.items():
            merged.add(name, [[v * factor for v in row] for row in rows])
        path = os.path.join(work, "merged.gguf")
        with open(path, "wb") as file:
            file.write(merged.data)
        source = os.path.join(work, title)
        folder(source, tensors, **config)
        adapter, done = convert(work, source)
        assert done.returncode == 0, done.stderr
        with_adapter = logits(work, BASE, "--lora", adapter)
        expected = logits(work, path)
        off = furthest(with_adapter, expected)
        moved = furthest(logits(work, BASE), expected)
        print("%s: %.4f off, moved by %.4f" % (title, off, moved))
        assert off < moved / 50, (title, off, moved)
    assert base.keys["general.architecture"] == "llama"


def check_refused(work, tensors):
    first = PREFIX + "0.self_attn.q_proj.lora_"
    a, b = first + "A.weight", first + "B.weight"

    def without(name):
        return {k: v for k, v in tensors.items() if k != name}

    other_shape = {**tensors, a: [row + [0.0] for row in tensors[a]]}
    wide = {**tensors, a: matrix(257, len(tensors[a][0]), 0.1),
            b: matrix(len(tensors[b]), 257, 0.1)}
    broken = {**tensors, b: [[float("nan")] * RANK] * len(tensors[b])}
    cases = [
        ("model.adapter", other_shape, {}),
        ("model.adapter", wide, {}),
        ("model.adapter", without(a), {}),
        ("model.adapter", {PREFIX + "99.mlp.up_proj.lora_A.weight":
                           tensors[a]}, {}),
        ("model.adapter", {**tensors, "x.weight": [[1.0]]}, {}),
        ("model.adapter", {}, {}),
        ("model.adapter", tensors, {"r": 257}),
        ("model.adapter", tensors, {"r": "4"}),
        ("model.adapter", tensors, {"lora_alpha": 1e30}),
        ("model.adapter", tensors, {"peft_type": "IA3"}),
        ("model.nonfinite", broken, {}),
        ("model.adapter", tensors, {"target_modules": ["up_proj", "nothing"]}),
        ("not.built", tensors, {"use_dora": True}),
        ("not.built", tensors, {"bias": "all"}),
        ("not.built", tensors, {"modules_to_save": ["lm_head"]}),
        ("not.built", tensors, {"alpha_pattern": {"q_proj": 3}}),
    ]
    for i, (code, some, config) in enumerate(cases):
        source = os.path.join(work, "bad%d" % i)
        folder(source, some, **config)
        _, done = convert(work, source)
        assert done.returncode != 0 and \
            done.stderr.startswith("error[%s]" % code), (i, done.stderr)
    source = os.path.join(work, "cut")
    folder(source, tensors)
    path = source + "/adapter_model.safetensors"
    os.truncate(path, os.path.getsize(path) - 1)
    assert convert(work, source)[1].stderr.startswith("error[model.safetensors]")


def main():
    base = Gguf(BASE)
    tensors, changes = make(base)
    with tempfile.TemporaryDirectory() as work:
        check_merged(work, base, tensors, changes)
        check_refused(work, tensors)


main()
