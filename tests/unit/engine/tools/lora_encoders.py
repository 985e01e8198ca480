#!/usr/bin/env python3
"""Adapters of encoders: vectors and scores of `embed --lora` and `rerank --lora`
are those of the file that merge-lora makes.  The adapters are converted from a
trainer's form, with a made config.json as the base's folder.

usage: lora_encoders.py BIN_DIR   (from the root folder)
"""
import json
import os
import random
import struct
import subprocess
import sys
import tempfile

MODEL = os.path.join(sys.argv[1], "flotilla-model")
RANK, ALPHA = 2, 4.0
BERT = {"attention.self.query": "attn_q", "attention.self.key": "attn_k",
        "attention.self.value": "attn_v", "attention.output.dense": "attn_output",
        "intermediate.dense": "ffn_up", "output.dense": "ffn_down"}
BERT = {"encoder.layer.%d." + theirs: ours for theirs, ours in BERT.items()}
MODERN = {"layers.%d.attn.Wqkv": "attn_qkv", "layers.%d.attn.Wo": "attn_output",
          "layers.%d.mlp.Wi": "ffn_up", "layers.%d.mlp.Wo": "ffn_down"}
GEMMA = {"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
         "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
         "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
         "mlp.down_proj": "ffn_down"}
GEMMA = {"layers.%d." + theirs: ours for theirs, ours in GEMMA.items()}
ENCODERS = [
    ("tests/models/bert.Q8_0.gguf", "BertModel", BERT),
    ("tests/oracle/encoders/xlmr-rerank.q8_0.gguf",
     "XLMRobertaForSequenceClassification", BERT),
    ("tests/oracle/encoders/modernbert-rerank.q8_0.gguf",
     "ModernBertForSequenceClassification", MODERN),
    ("tests/oracle/encoders/embeddinggemma.f32.gguf", "Gemma3TextModel", GEMMA),
]
SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
FORMS = {4: "<I", 5: "<i", 6: "<f"}


class Gguf:
    """Keys that are numbers of 32 bits, and the tensors' shapes."""

    def __init__(self, path):
        with open(path, "rb") as file:
            self.data = file.read()
        self.at, self.keys, self.tensors = 8, {}, {}
        tensors, keys = self.take("<QQ")
        for _ in range(keys):
            name = self.text()
            self.keys[name] = self.value(self.take("<I")[0])
        for _ in range(tensors):
            name = self.text()
            self.tensors[name] = self.take("<%dQ" % self.take("<I")[0])
            self.take("<IQ")

    def take(self, form):
        values = struct.unpack_from(form, self.data, self.at)
        self.at += struct.calcsize(form)
        return values

    def text(self):
        count = self.take("<Q")[0]
        self.at += count
        return self.data[self.at - count:self.at].decode("utf-8", "replace")

    def value(self, kind):
        if kind == 8:
            return self.text()
        if kind == 9:
            kind, count = self.take("<IQ")
            return [self.value(kind) for _ in range(count)]
        self.at += SIZES[kind]
        return struct.unpack_from(FORMS[kind], self.data, self.at - 4)[0] \
            if kind in FORMS else None


def floats(draw, rows, columns, most):
    values = [draw.uniform(-most, most) for _ in range(rows * columns)]
    return [rows, columns], struct.pack("<%df" % len(values), *values)


def save(folder, gguf, kind, names, seed):
    """A base's config.json, and an adapter of all matrices of its layers."""
    arch = gguf.keys["general.architecture"]
    layers = gguf.keys[arch + ".block_count"]
    draw, head, raw, made = random.Random(seed), {}, b"", set()
    for layer in range(layers):
        for theirs, ours in names.items():
            tensor = "blk.%d.%s.weight" % (layer, ours)
            columns, rows = gguf.tensors[tensor]
            for half, shape in (("A", (RANK, columns)), ("B", (rows, RANK))):
                sizes, values = floats(draw, *shape, 1 if half == "A" else 0.1)
                head["base_model.model.%s.lora_%s.weight" %
                     (theirs % layer, half)] = {
                         "dtype": "F32", "shape": sizes,
                         "data_offsets": [len(raw), len(raw) + len(values)]}
                raw += values
                made.add(tensor + ".lora_" + half.lower())
    text = json.dumps(head).encode()
    with open(folder + "/adapter_model.safetensors", "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + raw)
    with open(folder + "/adapter_config.json", "w", encoding="utf-8") as file:
        json.dump({"peft_type": "LORA", "r": RANK, "lora_alpha": ALPHA}, file)
    number = {key: gguf.keys.get(arch + name) for key, name in {
        "hidden_size": ".embedding_length", "num_hidden_layers": ".block_count",
        "num_attention_heads": ".attention.head_count",
        "num_key_value_heads": ".attention.head_count_kv",
        "head_dim": ".attention.key_length",
        "intermediate_size": ".feed_forward_length",
        "max_position_embeddings": ".context_length"}.items()}
    with open(folder + "/config.json", "w", encoding="utf-8") as file:
        json.dump({"architectures": [kind], "vocab_size":
                   gguf.tensors["token_embd.weight"][1],
                   "type_vocab_size": gguf.tensors.get("token_types.weight",
                                                       (0, 1))[1],
                   **{k: v for k, v in number.items() if v}}, file)
    return made


def run(*words):
    return subprocess.run([MODEL, *words], capture_output=True, text=True,
                          check=False)


def answers(kind, model, *words):
    if kind.endswith("SequenceClassification"):
        done = run("rerank", "a b", "a c", "b", "--model", model, "--json", *words)
        name = "score"
    else:
        done = run("embed", "a b", "c", "--model", model, *words)
        name = "embedding"
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line)[name] for line in done.stdout.splitlines()]
    return rows if name == "score" else rows[0] + rows[1]


def distance(one, other):
    return (sum((a - b) ** 2 for a, b in zip(one, other)) /
            sum(a * a for a in one)) ** 0.5


def check(work, file, kind, names):
    base, lora, merged = (os.path.join(work, name) for name in
                          ("base.gguf", "lora.gguf", "merged.gguf"))
    done = run("quantize", file, base, "F32")
    assert done.returncode == 0, done.stderr
    made = save(work, Gguf(base), kind, names, file)
    alone = run("convert-lora", "--model", base, "--lora", work, "--out", lora)
    assert alone.returncode != 0 and "--base DIR" in alone.stderr or \
        kind == "Gemma3TextModel", (file, alone.stderr)
    for words in (("convert-lora", "--base", work), ("merge-lora",)):
        out = lora if words[0] == "convert-lora" else merged
        of = work if words[0] == "convert-lora" else lora
        done = run(*words, "--model", base, "--lora", of, "--out", out)
        assert done.returncode == 0, (file, done.stderr)
    assert set(Gguf(lora).tensors) == made, (file, made)
    right = answers(kind, merged)
    off = distance(right, answers(kind, base, "--lora", lora))
    moved = distance(right, answers(kind, base))
    print("%s: %d pairs move by %.2f, off by %.1e" % (file, len(made) // 2, moved,
                                                      off))
    assert off < 1e-4 and moved > 1e-2, (file, off, moved)
    assert answers(kind, base, "--lora", lora + ":0") == answers(kind, base), file
    # The file that devices get, with codes of 8 bits.
    with_codes = answers(kind, file, "--lora", lora)
    assert distance(right, with_codes) < 0.1 * moved + 1e-4, file
    for path in (base, lora, merged):
        os.unlink(path)


def main():
    for encoder in ENCODERS:
        with tempfile.TemporaryDirectory() as work:
            check(work, *encoder)


main()
