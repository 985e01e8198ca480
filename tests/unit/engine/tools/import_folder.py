#!/usr/bin/env python3
"""A model becomes a folder as people share it, and a file again: tensors,
tokens and logits are those of the first file.

usage: import_folder.py BIN_DIR   (from the root folder)
"""
import json
import os
import struct
import subprocess
import sys
import tempfile

MODEL = os.path.join(sys.argv[1], "flotilla-model")
BASE = "tests/models/tiny-v1.F16.gguf"
HEADS, KEY_HEADS, LAYERS = 8, 2, 5
ROWS = {"attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm",
        "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj",
        "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj",
        "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj",
        "ffn_down": "mlp.down_proj"}
SIZES = {0: 1, 1: 1, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8}
TYPES = {0: ("F32", 4), 1: ("F16", 2)}


class Gguf:
    """Keys, and the bytes of tensors."""

    def __init__(self, path):
        with open(path, "rb") as file:
            self.data = file.read()
        self.at = 8
        tensors, keys = self.take("<QQ")
        self.keys = {}
        for _ in range(keys):
            name = self.text()
            self.keys[name] = self.value(self.take("<I")[0])
        places = {}
        for _ in range(tensors):
            name = self.text()
            dims = self.take("<%dQ" % self.take("<I")[0])
            places[name] = (dims, *self.take("<IQ"))
        base = (self.at + 31) // 32 * 32
        self.tensors = {}
        for name, (dims, kind, offset) in places.items():
            count = TYPES[kind][1]
            for dim in dims:
                count *= dim
            self.tensors[name] = (
                dims, kind, self.data[base + offset:base + offset + count])

    def take(self, form):
        values = struct.unpack_from(form, self.data, self.at)
        self.at += struct.calcsize(form)
        return values

    def text(self):
        count = self.take("<Q")[0]
        self.at += count
        return self.data[self.at - count:self.at].decode()

    def value(self, kind):
        if kind == 8:
            return self.text()
        if kind == 9:
            kind, count = self.take("<IQ")
            return [self.value(kind) for _ in range(count)]
        self.at += SIZES[kind]
        return int.from_bytes(self.data[self.at - SIZES[kind]:self.at],
                              "little")


def apart(data, row_bytes, heads):
    """Pairs of neighbours become two halves of a head, as trainers have it."""
    rows = [data[i:i + row_bytes] for i in range(0, len(data), row_bytes)]
    size, out = len(rows) // heads, []
    for head in range(heads):
        part = rows[head * size:(head + 1) * size]
        out += part[0::2] + part[1::2]
    return b"".join(out)


def theirs(name):
    parts = name.split(".")
    if parts[0] != "blk":
        return {"token_embd": "model.embed_tokens.weight",
                "output": "lm_head.weight",
                "output_norm": "model.norm.weight"}[parts[0]]
    return "model.layers.%s.%s.weight" % (parts[1], ROWS[parts[2]])


def write_weights(path, gguf):
    head, data = {"__metadata__": {"format": "pt"}}, b""
    for name, (dims, kind, part) in gguf.tensors.items():
        if ".attn_q." in name or ".attn_k." in name:
            part = apart(part, dims[0] * TYPES[kind][1],
                         HEADS if ".attn_q." in name else KEY_HEADS)
        head[theirs(name)] = {
            "dtype": TYPES[kind][0], "shape": list(dims)[::-1],
            "data_offsets": [len(data), len(data) + len(part)]}
        data += part
    text = json.dumps(head).encode()
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + data)


def write_json(folder, name, value):
    with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
        json.dump(value, file)


def write_folder(folder, gguf):
    keys = gguf.keys
    tokens, kinds = keys["tokenizer.ggml.tokens"], keys["tokenizer.ggml.token_type"]
    added = [{"id": i, "content": tokens[i], "special": True}
             for i, kind in enumerate(kinds) if kind == 3]
    write_json(folder, "config.json", {
        "architectures": ["LlamaForCausalLM"], "hidden_size": 256,
        "num_hidden_layers": LAYERS, "num_attention_heads": HEADS,
        "num_key_value_heads": KEY_HEADS, "intermediate_size": 512,
        "vocab_size": len(tokens), "rms_norm_eps": 1e-5, "rope_theta": 10000,
        "max_position_embeddings": 512, "bos_token_id": 1, "eos_token_id": 2,
        "auto_map": {"AutoModelForCausalLM": "code.Model"},
        "tie_word_embeddings": "output.weight" not in gguf.tensors})
    write_json(folder, "tokenizer.json", {
        "added_tokens": added,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "Digits", "individual_digits": True},
            {"type": "ByteLevel", "use_regex": True}]},
        "model": {"type": "BPE", "merges": keys["tokenizer.ggml.merges"],
                  "vocab": {t: i for i, t in enumerate(tokens)}}})
    write_json(folder, "tokenizer_config.json", {"add_bos_token": False})
    with open(folder + "/code.py", "w", encoding="utf-8") as file:
        file.write("raise SystemExit('code of the folder was run')\n")
    with open(folder + "/README.md", "w", encoding="utf-8") as file:
        file.write("---\nlicense: cc0-1.0\n---\n")
    write_weights(folder + "/model.safetensors", gguf)


def run(*words, code=0):
    done = subprocess.run([MODEL, *words], capture_output=True, text=True,
                          check=False)
    assert done.returncode == code, (words, done.stdout, done.stderr)
    return done.stdout + done.stderr


def logits(model, out):
    run("logits", "--model", model, "--tokens", "1,5,9,22,40,7,3", "--out", out)
    with open(out, "rb") as file:
        return file.read()


def main():
    first = Gguf(BASE)
    with tempfile.TemporaryDirectory() as work:
        folder, made = work + "/folder", work + "/made.gguf"
        os.mkdir(folder)
        write_folder(folder, first)
        text = run("import", folder, "--to", made)
        assert "licence: cc0-1.0" in text and "was not run" in text, text
        second = Gguf(made)
        assert second.tensors == first.tensors
        for key in ("tokens", "token_type", "merges", "pre", "model"):
            key = "tokenizer.ggml." + key
            assert second.keys[key] == first.keys[key], key
        assert logits(made, work + "/a") == logits(BASE, work + "/b")
        # as quantize: a file that is there is replaced, an input is not
        report = json.loads(run("import", folder, "--to", made, "--type",
                                "q8_0", "--json"))
        assert report["architecture"] == "llama" and report["is_known"]
        quantised = work + "/quantised.gguf"
        run("quantize", BASE, quantised, "q8_0")
        assert logits(made, work + "/a") == logits(quantised, work + "/b")
        text = run("import", folder, "--to", folder + "/config.json", code=2)
        assert "config.json" in text, text
        assert "cli.usage" in run("import", folder, "--to", made, "--type",
                                  "q9", code=2)
        # nothing is left of an import that fails
        os.unlink(folder + "/tokenizer.json")
        os.unlink(made)
        assert "tokenizer.json" in run("import", folder, "--to", made, code=7)
        assert sorted(os.listdir(work)) == ["a", "b", "folder",
                                            "quantised.gguf"]


main()
