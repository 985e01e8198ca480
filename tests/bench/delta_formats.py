#!/usr/bin/env python3
"""The same update of the same weights in three formats: how many bytes each
patch has, next to bsdiff and HDiffPatch.

usage: delta_formats.py BIN_DIR WORK_DIR [--layers N] [--dim N] [--update lora|tune]
           [--step S] [--only WORD] [--peers]
Formats: GGUF (F16, BF16), safetensors (BF16, F32), ONNX (f32 and int8, whose
weights have one scale for a matrix, for a row, or for a column).  The updates
are those of delta_pairs.py; --step is the fine-tune's (1e-4).  Each patch is applied, and the
file compared.  Times are processor seconds of one run.  --peers runs bsdiff of
the PATH, and HDiffPatch (PyPI hdiffpatch, zstd) where it is installed.  Needs
Python's numpy, gguf and onnx.
"""
import argparse
import filecmp
import json
import os
import resource
import struct
import subprocess

import numpy as np


def matrices(a, update):
    """(name, rows x columns of float32) in the order of a file."""
    d, f, kv = a.dim, a.ff or a.dim * 11 // 4, a.dim // 4
    yield "model.embed_tokens.weight", one(1, a.vocab, d, "none", a)
    for n in range(a.layers):
        for k, (name, rows, columns) in enumerate(
                (("q_proj", d, d), ("k_proj", kv, d), ("v_proj", kv, d),
                 ("o_proj", d, d), ("gate_proj", f, d), ("up_proj", f, d),
                 ("down_proj", d, f))):
            yield ("model.layers.%d.%s.weight" % (n, name),
                   one(100 * n + 10 + k, rows, columns, update, a))


def one(seed, rows, columns, update, a):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((rows, columns), dtype=np.float32)
    x *= np.float32(0.02)
    rng = np.random.default_rng(seed + 1000003)
    if update == "tune":
        x += rng.laplace(0, a.step, x.shape).astype(np.float32)
    elif update == "lora":
        p = rng.standard_normal((16, columns), dtype=np.float32)
        q = rng.standard_normal((rows, 16), dtype=np.float32)
        q *= np.float32(0.7) ** np.arange(16, dtype=np.float32)
        moved = q @ p
        x += moved * (0.005 * np.linalg.norm(x) / np.linalg.norm(moved))
    return x


def bf16(x):
    bits = x.view(np.uint32).copy()
    bits += 0x7fff + (bits >> 16 & 1)
    return (bits >> 16).astype(np.uint16)


def write_gguf(path, kind, tensors):
    import gguf
    w = gguf.GGUFWriter(path, "llama", use_temp_file=False)
    w.add_name("random")
    for name, x in tensors:
        data = (x.astype(np.float16) if kind == "F16" else
                bf16(x) if kind == "BF16" else x)
        w.add_tensor(name, data, raw_dtype=gguf.GGMLQuantizationType[kind])
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def write_safetensors(path, kind, tensors):
    head, data, at = {"__metadata__": {"format": "pt"}}, [], 0
    for name, x in tensors:
        raw = (bf16(x) if kind == "BF16" else x).tobytes()
        head[name] = {"dtype": kind, "shape": list(x.shape),
                      "data_offsets": [at, at + len(raw)]}
        at += len(raw)
        data.append(raw)
    text = json.dumps(head).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        for raw in data:
            f.write(raw)


def write_onnx(path, kind, tensors):
    """A chain of MatMul nodes; int8 ones come after DequantizeLinear."""
    from onnx import TensorProto, helper, numpy_helper
    nodes, inits, at = [], [], "x"
    for name, x in tensors:
        x = np.ascontiguousarray(x.T)  # MatMul has inputs in rows
        if kind == "f32":
            inits.append(numpy_helper.from_array(x, name))
            weight = name
        else:
            size = {"int8": np.abs(x).max(),
                    "int8-rows": np.abs(x).max(1, keepdims=True),
                    "int8-columns": np.abs(x).max(0, keepdims=True)}[kind]
            scale = (size / 127).astype(np.float32)
            codes = np.clip(np.rint(x / scale), -127, 127).astype(np.int8)
            inits.append(numpy_helper.from_array(codes, name + "_quantized"))
            inits.append(numpy_helper.from_array(
                np.ascontiguousarray(scale.reshape(-1) if scale.size > 1
                                     else scale.reshape(())), name + "_scale"))
            weight = name + "_weight"
            nodes.append(helper.make_node(
                "DequantizeLinear", [name + "_quantized", name + "_scale"],
                [weight], axis=0 if kind == "int8-rows" else 1))
        nodes.append(helper.make_node("MatMul", [at, weight], [name + "_out"]))
        at = name + "_out"
    graph = helper.make_graph(
        nodes, "chain",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, None)],
        [helper.make_tensor_value_info(at, TensorProto.FLOAT, None)], inits)
    model = helper.make_model(graph)
    with open(path, "wb") as f:
        f.write(model.SerializeToString())


def timed(args):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(args, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime + after.ru_stime -
            before.ru_utime - before.ru_stime)


def hdiffpatch(old, new):
    try:
        import hdiffpatch as h
    except ImportError:
        return None
    with open(old, "rb") as f, open(new, "rb") as g:
        return len(h.diff(f.read(), g.read(), compression="zstd"))


CASES = [("gguf", "F16"), ("gguf", "BF16"), ("gguf", "F32"),
         ("safetensors", "BF16"), ("safetensors", "F32"), ("onnx", "f32"),
         ("onnx", "int8"), ("onnx", "int8-rows"), ("onnx", "int8-columns")]


def main():
    p = argparse.ArgumentParser()
    p.add_argument("bin")
    p.add_argument("work")
    p.add_argument("--layers", type=int, default=2)
    p.add_argument("--dim", type=int, default=512)
    p.add_argument("--ff", type=int)
    p.add_argument("--vocab", type=int, default=2048)
    p.add_argument("--update", choices=("lora", "tune"), default="tune")
    p.add_argument("--step", type=float, default=1e-4)
    p.add_argument("--only", default="")
    p.add_argument("--peers", action="store_true")
    a = p.parse_args()
    updater = os.path.join(a.bin, "flotilla-updater")
    writers = {"gguf": write_gguf, "safetensors": write_safetensors,
               "onnx": write_onnx}
    os.makedirs(a.work, exist_ok=True)
    print("| file | bytes | ours | bsdiff | HDiffPatch | ours ÷ best | create, "
          "CPU s: ours · bsdiff | apply, CPU s |")
    print("| --- " * 8 + "|")
    for form, kind in CASES:
        if a.only not in form + " " + kind:
            continue
        old, new, patch, out = (os.path.join(a.work, n) for n in
                                ("old", "new", "patch", "out"))
        writers[form](old, kind, matrices(a, "none"))
        writers[form](new, kind, matrices(a, a.update))
        made = timed([updater, "delta", "create", old, new, patch])
        applied = timed([updater, "delta", "apply", old, patch, out])
        assert filecmp.cmp(new, out, shallow=False)
        ours, best, peers = os.path.getsize(patch), None, ["–", "–"]
        cost = "–"
        if a.peers:
            took = timed(["bsdiff", old, new, patch])
            peers[0], cost = os.path.getsize(patch), "%.2f" % took
            peers[1] = hdiffpatch(old, new) or "–"
            best = min(n for n in peers if n != "–")
        print("| %s %s | %d | %d | %s | %s | %s | %.2f · %s | %.2f |" % (
            form, kind, os.path.getsize(new), ours, *peers,
            "%.3f" % (ours / best) if best else "–", made, cost, applied))


main()
