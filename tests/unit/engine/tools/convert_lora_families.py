#!/usr/bin/env python3
"""Adapters of models with layers of many kinds become files, by the tables that
import their folders: the answers, vectors or scores are those of the folder into
whose weights this file added the same change, imported.

usage: convert_lora_families.py BIN_DIR [FOLDER...]   (from the root folder)
"""
import array
import json
import os
import random
import re
import shutil
import struct
import subprocess
import sys
import tempfile

MODEL = os.path.join(sys.argv[1], "flotilla-model")
FOLDERS = sys.argv[2:] or ["tests/models/lfm2-folder"]
RANK, ALPHA = 2, 4.0
TOKENS = "1,5,9,22,40,7,3,11"
LINEAR = re.compile(
    r"layers?\.\d+\..*(_proj|_proj_\w+|\.w[123]|_linear|linear_\w+|\.gate|\.router|"
    r"\.dense|attention\.self\.\w+|\.W(qkv|o|i)|"
    r"\.router\.layer|shared_expert_gate|_projection|per_layer_input_gate|"
    r"modality_router)\.weight$")


def read(path):
    with open(path, "rb") as file:
        data = file.read()
    size = struct.unpack_from("<Q", data)[0]
    head = json.loads(data[8:8 + size])
    head.pop("__metadata__", None)
    return {name: (one["dtype"], one["shape"],
                   data[8 + size + one["data_offsets"][0]:
                        8 + size + one["data_offsets"][1]])
            for name, one in head.items()}


def write(path, tensors):
    head, parts, at = {}, [], 0
    for name, (kind, shape, raw) in tensors.items():
        head[name] = {"dtype": kind, "shape": shape,
                      "data_offsets": [at, at + len(raw)]}
        at += len(raw)
        parts.append(raw)
    text = json.dumps(head).encode()
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + b"".join(parts))


def floats(kind, raw):
    if kind == "F32":
        return array.array("f", raw)
    if kind == "F16":
        return array.array("f", struct.unpack("<%de" % (len(raw) // 2), raw))
    wide = b"".join(b"\0\0" + raw[i:i + 2] for i in range(0, len(raw), 2))
    return array.array("f", wide)


def change(tensors, draw):
    """Changes all linear layers in place.  Returns the adapter's tensors."""
    pairs = {}
    for name in sorted(tensors):
        kind, shape, raw = tensors[name]
        if not LINEAR.search(name) or "vision" in name or len(shape) != 2 or \
                kind not in ("F32", "F16", "BF16"):
            continue
        rows, columns = shape
        values = floats(kind, raw)
        size = (sum(v * v for v in values) / len(values)) ** 0.5
        a = array.array("f", (draw.uniform(-1, 1) for _ in range(RANK * columns)))
        b = array.array("f", (draw.uniform(-size, size) / 4
                              for _ in range(rows * RANK)))
        for r in range(rows):
            by = [b[r * RANK + k] * ALPHA / RANK for k in range(RANK)]
            for c in range(columns):
                values[r * columns + c] += sum(
                    by[k] * a[k * columns + c] for k in range(RANK))
        tensors[name] = ("F32", shape, values.tobytes())
        front = "base_model.model." + name[:-len("weight")]
        pairs[front + "lora_A.weight"] = ("F32", [RANK, columns], a.tobytes())
        pairs[front + "lora_B.weight"] = ("F32", [rows, RANK], b.tobytes())
    return pairs


def run(*words):
    done = subprocess.run([MODEL, *words], capture_output=True, text=True,
                          check=False)
    assert done.returncode == 0, (words, done.stderr)


def spoken(words):
    done = subprocess.run([MODEL, *words], capture_output=True, text=True,
                          check=False)
    assert done.returncode == 0, (words, done.stderr)
    return [json.loads(line) for line in done.stdout.splitlines()]


def answers(work, folder, model, *words):
    """Logits; of an encoder's folder the vectors or scores of two texts."""
    with open(folder + "/config.json", encoding="utf-8") as file:
        kind = json.load(file)["architectures"][0]
    if kind.endswith("SequenceClassification"):
        rows = spoken(["rerank", "a b", "a c", "b", "--model", model, "--json",
                       *words])
        return [row["score"] for row in rows]
    if kind.endswith("Model") or os.path.exists(folder + "/1_Pooling"):
        rows = spoken(["embed", "a b", "c", "--model", model, *words])
        return [value for row in rows for value in row["embedding"]]
    path = os.path.join(work, "logits")
    run("logits", "--model", model, "--tokens", TOKENS, "--out", path, *words)
    with open(path, "rb") as file:
        return [v[0] for v in struct.iter_unpack("<f", file.read())]


def distance(one, other):
    return (sum((a - b) ** 2 for a, b in zip(one, other)) /
            sum(a * a for a in one)) ** 0.5


def save(path, pairs):
    os.makedirs(path, exist_ok=True)
    with open(path + "/adapter_config.json", "w", encoding="utf-8") as file:
        json.dump({"peft_type": "LORA", "r": RANK, "lora_alpha": ALPHA}, file)
    write(path + "/adapter_model.safetensors", pairs)


def check(work, folder):
    names = ["base.gguf", "merged.gguf", "adapter.gguf", "merged", "peft"]
    base, merged, adapter, copy, peft = (os.path.join(work, n) for n in names)
    for path in (base, merged, adapter):
        if os.path.exists(path):
            os.remove(path)
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(folder, copy, copy_function=shutil.copyfile)
    tensors = read(folder + "/model.safetensors")
    pairs = change(tensors, random.Random(folder))
    write(copy + "/model.safetensors", tensors)
    save(peft, pairs)
    run("import", folder, "--type", "f32", "--to", base)
    run("import", copy, "--type", "f32", "--to", merged)
    run("convert-lora", "--model", base, "--base", folder, "--lora", peft,
        "--out", adapter)
    right = answers(work, folder, merged)
    off = distance(right, answers(work, folder, base, "--lora", adapter))
    moved = distance(right, answers(work, folder, base))
    print("%s: %d pairs move answers by %.2f, off by %.1e" %
          (folder, len(pairs) // 2, moved, off))
    assert off < 1e-3 and moved > 0.01, (folder, off, moved)
    return pairs, base, peft, adapter


def refused(base, peft, folder, says):
    out = peft + "/refused.gguf"
    done = subprocess.run([MODEL, "convert-lora", "--model", base, "--base",
                           folder, "--lora", peft, "--out", out],
                          capture_output=True, text=True, check=False)
    assert done.returncode != 0 and says in done.stderr, (says, done.stderr)
    assert not os.path.exists(out)


def check_refused(base, peft, pairs, folder):
    """Pairs that do not fit are refused, and nothing is written."""
    names = sorted(pairs)
    a, b = names[0], names[0].replace("lora_A", "lora_B")
    rows = pairs[b][1][0]
    cases = [
        ({a: pairs[a]}, "has no other half"),
        ({b: pairs[b]}, "0 halves A, 1 halves B"),
        ({**pairs, "other.lora_A.weight": pairs[a],
          "other.lora_B.weight": pairs[b]}, "does not know it"),
        ({a: pairs[a], b: ("F32", [rows, RANK + 1],
                           bytes(4 * rows * (RANK + 1)))}, "its other half 3"),
        ({a: pairs[a], b: ("F32", [rows - 1, RANK],
                           pairs[b][2][:-4 * RANK])}, ""),
        ({a: pairs[a], b: ("I32", pairs[b][1], pairs[b][2])}, "not.built"),
        ({a: pairs[a], b: pairs[b], "model.bias": pairs[a]}, "no half"),
    ]
    for tensors, says in cases:
        save(peft, tensors)
        refused(base, peft, folder, says)
    save(peft, pairs)
    refused(base, peft, "tests/models", "config.json")


def check_alone(work, pairs):
    """Without the folder: only names and orders that the file tells."""
    def text(value):
        return struct.pack("<Q", len(value)) + value.encode()

    base, peft = work + "/alone.gguf", work + "/peft"
    save(peft, pairs)
    for arch, says in (("ernie4_5", "does not tell how weights"),
                       ("falcon-h1", "does not tell how weights"),
                       ("lfm2", "has no such tensor")):
        head = b"GGUF" + struct.pack("<IQQ", 3, 1, 1) + \
            text("general.architecture") + struct.pack("<I", 8) + text(arch) + \
            text("blk.0.attn_q.weight") + struct.pack("<IQQIQ", 2, 32, 32, 0, 0)
        with open(base, "wb") as file:
            file.write(head + bytes(-len(head) % 32) + bytes(4096))
        done = subprocess.run([MODEL, "convert-lora", "--model", base, "--lora",
                               peft, "--out", work + "/alone-lora.gguf"],
                              capture_output=True, text=True, check=False)
        assert done.returncode != 0 and says in done.stderr, done.stderr
        assert "--base DIR" in done.stderr, done.stderr


def main():
    with tempfile.TemporaryDirectory() as work:
        for folder in FOLDERS:
            pairs, base, peft, _ = check(work, folder)
            check_refused(base, peft, pairs, folder)
        check_alone(work, pairs)


main()
