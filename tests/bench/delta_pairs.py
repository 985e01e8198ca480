#!/usr/bin/env python3
"""Pairs of F16 or BF16 models of any size for measuring deltas: random weights
in the shape of a Llama, and what releases do to them.

usage: delta_pairs.py OUT.gguf [--layers N] [--dim N] [--ff N] [--vocab N]
           [--kv N] [--type F16|BF16] [--update none|lora|tune]
           [--prune LAYER] [--rename] [--head] [--adapter OUT.gguf]
The same shape has the same weights; only the update differs.  lora: rank 16 on
all matrices of the layers, 0.5 % of their norm, the r-th direction 0.7^r as
strong; tune: each weight moves by a Laplace step of 1e-4.  --prune leaves a
layer out and closes the numbers up, --rename gives all tensors other names,
--head puts another output matrix in place.  --adapter writes the merged rank 16
as an adapter of its own.  Needs Python's numpy and gguf.
Llama-3.2-1B's shape: --dim 2048 --ff 8192 --layers 16 --vocab 128256.
TinyLlama-1.1B's: --dim 2048 --ff 5632 --kv 256 --layers 22 --vocab 32000.
"""
import argparse

import gguf
import numpy as np


def weights(seed, rows, columns, update, factors=None):
    """One matrix; `factors` gets the two of its update."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((rows, columns), dtype=np.float32)
    x *= np.float32(0.02)
    rng = np.random.default_rng(seed + 1000003)
    if update == "tune":
        x += rng.laplace(0, 1e-4, x.shape).astype(np.float32)
    elif update == "lora":
        a = rng.standard_normal((16, columns), dtype=np.float32)
        b = rng.standard_normal((rows, 16), dtype=np.float32)
        b *= np.float32(0.7) ** np.arange(16, dtype=np.float32)
        moved = b @ a
        size = 0.005 * np.linalg.norm(x) / np.linalg.norm(moved)
        moved *= size
        x += moved
        if factors is not None:
            root = np.float32(size ** 0.5)  # F16 has little room below 1e-5
            factors.append((a * root, b * root))
    return x


def write_adapter(path, factors):
    w = gguf.GGUFWriter(path, "llama", use_temp_file=False)
    w.add_type("adapter")
    w.add_string("adapter.type", "lora")
    w.add_float32("adapter.lora.alpha", 16.0)
    for name, (a, b) in factors.items():
        w.add_tensor(name + ".lora_a", a.astype(np.float16))
        w.add_tensor(name + ".lora_b", b.astype(np.float16))
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def main():
    p = argparse.ArgumentParser()
    p.add_argument("out")
    for name, value in (("layers", 4), ("dim", 1024), ("ff", 2816),
                        ("vocab", 8192)):
        p.add_argument("--" + name, type=int, default=value)
    p.add_argument("--type", choices=("F16", "BF16"), default="F16")
    p.add_argument("--update", choices=("none", "lora", "tune"),
                   default="none")
    p.add_argument("--kv", type=int, help="default: a quarter of --dim")
    p.add_argument("--adapter", metavar="OUT")
    p.add_argument("--prune", type=int)
    p.add_argument("--rename", action="store_true")
    p.add_argument("--head", action="store_true")
    a = p.parse_args()
    d, f, kv = a.dim, a.ff, a.kv or a.dim // 4
    adapter = {}
    w = gguf.GGUFWriter(a.out, "llama", use_temp_file=False)
    w.add_name("random, %s" % a.update)
    w.add_context_length(4096)
    w.add_embedding_length(d)
    w.add_block_count(a.layers - (a.prune is not None))
    w.add_feed_forward_length(f)
    w.add_head_count(d // 64)
    w.add_head_count_kv(kv // 64)
    w.add_layer_norm_rms_eps(1e-5)
    w.add_rope_dimension_count(64)
    w.add_vocab_size(a.vocab)
    w.add_tokenizer_model("no_vocab")
    kind = gguf.GGMLQuantizationType[a.type]
    plan = [("token_embd.weight", 1, a.vocab, d, "none"),
            ("output.weight", 3 if a.head else 2, a.vocab, d, "none"),
            ("output_norm.weight", 0, 1, d, "none")]
    layers = [n for n in range(a.layers) if n != a.prune]
    for at, n in enumerate(layers):
        shapes = [("attn_q", d, d), ("attn_k", kv, d), ("attn_v", kv, d),
                  ("attn_output", d, d), ("ffn_gate", f, d), ("ffn_up", f, d),
                  ("ffn_down", d, f)]
        for k, (name, rows, columns) in enumerate(shapes):
            plan.append(("blk.%d.%s.weight" % (at, name), 100 * n + 10 + k,
                         rows, columns, a.update))
        plan += [("blk.%d.%s.weight" % (at, name), 0, 1, d, "none")
                 for name in ("attn_norm", "ffn_norm")]
    for name, seed, rows, columns, _ in plan:
        name = name.replace("blk.", "model.layers.") if a.rename else name
        bytes_each = 4 if seed == 0 else 2
        w.add_tensor_info(name, (columns,) if seed == 0 else (rows, columns),
                          np.dtype("float32" if seed == 0 else "float16"),
                          rows * columns * bytes_each,
                          raw_dtype=None if seed == 0 else kind)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_ti_data_to_file()
    for name, seed, rows, columns, update in plan:
        if seed == 0:
            w.write_tensor_data(np.ones(columns, np.float32))
            continue
        factors = []
        x = weights(seed, rows, columns, update, factors)
        for pair in factors:
            adapter[name] = pair
        if a.type == "F16":
            w.write_tensor_data(x.astype(np.float16))
        else:
            bits = x.view(np.uint32)
            bits += 0x7fff + (bits >> 16 & 1)
            w.write_tensor_data((bits >> 16).astype(np.uint16))
    w.close()
    if a.adapter:
        write_adapter(a.adapter, adapter)


main()
