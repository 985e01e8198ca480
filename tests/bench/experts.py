#!/usr/bin/env python3
"""Speed of a model of experts from packed weights and from its own rows, in
turns.

usage: experts.py BIN_DIR [--type q4_0|q8_0] [--experts N] [--used N]
                  [--layers N] [--rounds N] [--threads N] [--kernel NAME]
                  [--cold BIN_DIR [--folder DIR]]

The weights are drawn, so the answers mean nothing.  Shapes and types are those
of small Qwen 3 models with experts.  Prints the median of each rate, in tokens
a second, and the ratio.  With --cold it compares the programs of two builds
instead: the time to the first token of a model that is not in memory.  The
model's file is then in DIR, on the disk that is asked about."""
import argparse
import json
import os
import random
import statistics
import struct
import subprocess
import tempfile

TYPES = {"q4_0": (2, 18), "q8_0": (8, 34)}  # id, bytes of a block of 32
EMBEDDING, HIDDEN, HEADS, GROUPS, HEAD, VOCABULARY = 1024, 384, 16, 4, 64, 2048
F32 = 0


def text(value):
    raw = value.encode()
    return struct.pack("<Q", len(raw)) + raw


def pair(key, value):
    if isinstance(value, str):
        return text(key) + struct.pack("<I", 8) + text(value)
    if isinstance(value, float):
        return text(key) + struct.pack("<If", 6, value)
    if isinstance(value, list) and isinstance(value[0], str):
        return text(key) + struct.pack("<IIQ", 9, 8, len(value)) + \
            b"".join(map(text, value))
    if isinstance(value, list):
        return text(key) + struct.pack("<IIQ%di" % len(value), 9, 5,
                                       len(value), *value)
    return text(key) + struct.pack("<II", 4, value)


def keys(args):
    arch = "qwen3moe."
    return {
        "general.architecture": "qwen3moe",
        arch + "block_count": args.layers,
        arch + "context_length": 2048,
        arch + "embedding_length": EMBEDDING,
        arch + "feed_forward_length": HIDDEN,
        arch + "expert_feed_forward_length": HIDDEN,
        arch + "expert_count": args.experts,
        arch + "expert_used_count": args.used,
        arch + "attention.head_count": HEADS,
        arch + "attention.head_count_kv": GROUPS,
        arch + "attention.key_length": HEAD,
        arch + "attention.value_length": HEAD,
        arch + "attention.layer_norm_rms_epsilon": 1e-6,
        arch + "rope.freq_base": 1e6,
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "qwen2",
        "tokenizer.ggml.tokens": ["t%d" % i for i in range(VOCABULARY)],
        "tokenizer.ggml.token_type": [1] * VOCABULARY,
        "tokenizer.ggml.merges": ["t 1"],
        "tokenizer.ggml.eos_token_id": 0,
    }


def tensors(args):
    yield "token_embd.weight", (EMBEDDING, VOCABULARY)
    yield "output_norm.weight", (EMBEDDING,)
    for layer in range(args.layers):
        for name, dims in (
                ("attn_norm", (EMBEDDING,)), ("ffn_norm", (EMBEDDING,)),
                ("attn_q_norm", (HEAD,)), ("attn_k_norm", (HEAD,)),
                ("attn_q", (EMBEDDING, HEADS * HEAD)),
                ("attn_k", (EMBEDDING, GROUPS * HEAD)),
                ("attn_v", (EMBEDDING, GROUPS * HEAD)),
                ("attn_output", (HEADS * HEAD, EMBEDDING)),
                ("ffn_gate_inp", (EMBEDDING, args.experts)),
                ("ffn_gate_exps", (EMBEDDING, HIDDEN, args.experts)),
                ("ffn_up_exps", (EMBEDDING, HIDDEN, args.experts)),
                ("ffn_down_exps", (HIDDEN, EMBEDDING, args.experts))):
            yield "blk.%d.%s.weight" % (layer, name), dims


def count_of(dims):
    count = 1
    for dim in dims:
        count *= dim
    return count


def values(name, dims, kind, draw):
    """The bytes of a tensor: norms are ones, routers floats, the rest codes."""
    if len(dims) == 1:
        return F32, struct.pack("<f", 1.0) * dims[0]
    if "gate_inp" in name:
        return F32, struct.pack("<%df" % count_of(dims), *(
            draw.gauss(0, 1) for _ in range(count_of(dims))))
    number, block = TYPES[kind]
    spread = 8 if kind == "q4_0" else 128
    scale = struct.pack("<e", 1.7 / spread / dims[0] ** 0.5)
    blocks = count_of(dims) // 32
    codes = draw.randbytes(blocks * (block - 2))
    return number, b"".join(
        scale + codes[i * (block - 2):(i + 1) * (block - 2)]
        for i in range(blocks))


def write(path, args):
    draw = random.Random(1)
    head, data = [], []
    at = 0
    for name, dims in tensors(args):
        number, raw = values(name, dims, args.type, draw)
        head.append(text(name) + struct.pack(
            "<I%dQIQ" % len(dims), len(dims), *dims, number, at))
        data.append(raw + bytes(-len(raw) % 32))
        at += len(data[-1])
    pairs = keys(args)
    front = b"GGUF" + struct.pack("<IQQ", 3, len(head), len(pairs)) + \
        b"".join(pair(key, value) for key, value in pairs.items()) + \
        b"".join(head)
    with open(path, "wb") as file:
        file.write(front + bytes(-len(front) % 32))
        file.writelines(data)


def rates(args, path, packed, bin_dir=None):
    line = [os.path.join(bin_dir or args.bin_dir, "flotilla-engine"), "bench", "--model",
            path, "--packed", packed, "--tests", "p128,g32", "--json",
            "--threads", str(args.threads)]
    if args.kernel:
        line += ["--kernel", args.kernel]
    done = subprocess.run(line, check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def compare_cold(args, path):
    """Drops the file from memory before each run."""
    seen = {args.bin_dir: [], args.cold: []}
    with open(path, "rb") as file:
        os.fsync(file.fileno())
        for _ in range(args.rounds):
            for bin_dir in seen:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
                seen[bin_dir].append(rates(args, path, "none", bin_dir)["ttft_ms"])
    for bin_dir, times in seen.items():
        print("%-24s first token %8.1f ms" % (bin_dir, statistics.median(times)))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("bin_dir")
    parser.add_argument("--type", choices=TYPES, default="q4_0")
    parser.add_argument("--kernel")
    parser.add_argument("--cold")
    parser.add_argument("--folder")
    for name, default in (("experts", 32), ("used", 4), ("layers", 8),
                          ("rounds", 5), ("threads", 1)):
        parser.add_argument("--" + name, type=int, default=default)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        path = os.path.join(folder, "experts.gguf")
        write(path, args)
        if args.cold:
            compare_cold(args, path)
            return
        subprocess.run([os.path.join(args.bin_dir, "flotilla-engine"), "pack",
                        path], check=True, capture_output=True)
        seen = {"rows": [], "packed": []}
        for _ in range(args.rounds):
            seen["rows"].append(rates(args, path, "none"))
            seen["packed"].append(rates(args, path, path + ".packed"))
    for test in ("p128", "g32"):
        rows, packed = (statistics.median(one[test] for one in seen[which])
                        for which in ("rows", "packed"))
        print("%-5s rows %8.1f packed %8.1f tokens/s, ratio %.2f" %
              (test, rows, packed, packed / rows))


main()
