"""An import of some hundred megabytes is killed, and goes on to the same bytes."""
import hashlib
import json
import os
import random
import signal
import struct
import subprocess

from waits import HANG_S, pace, until

HIDDEN, INNER, LAYERS = 1024, 3072, 6
RECORD = 36  # bytes behind the file's end: engine/publish/import/resume.h
TOKENIZER = {
    "added_tokens": [{"id": 4, "content": "<s>", "special": True},
                     {"id": 5, "content": "</s>", "special": True}],
    "normalizer": {"type": "NFC"},
    "pre_tokenizer": {"type": "Split", "pattern": {"Regex": "\\p{N}"}, "behavior": "Isolated"},
    "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2, "c": 3}, "merges": [["a", "b"]]}}
CONFIG = {"architectures": ["LlamaForCausalLM"], "hidden_size": HIDDEN,
          "num_hidden_layers": LAYERS, "num_attention_heads": 8, "num_key_value_heads": 8,
          "intermediate_size": INNER, "vocab_size": 6, "rms_norm_eps": 1e-5,
          "max_position_embeddings": 64, "rope_theta": 10000, "tie_word_embeddings": True,
          "eos_token_id": 5}


def tensors():
    yield "model.embed_tokens.weight", (6, HIDDEN)
    for layer in range(LAYERS):
        for name, shape in (("input_layernorm", (HIDDEN,)),
                            ("self_attn.q_proj", (HIDDEN, HIDDEN)),
                            ("self_attn.k_proj", (HIDDEN, HIDDEN)),
                            ("self_attn.v_proj", (HIDDEN, HIDDEN)),
                            ("self_attn.o_proj", (HIDDEN, HIDDEN)),
                            ("post_attention_layernorm", (HIDDEN,)),
                            ("mlp.gate_proj", (INNER, HIDDEN)),
                            ("mlp.up_proj", (INNER, HIDDEN)),
                            ("mlp.down_proj", (HIDDEN, INNER))):
            yield "model.layers.%d.%s.weight" % (layer, name), shape
    yield "model.norm.weight", (HIDDEN,)


def make_folder(path):
    """A Llama whose weights are finite F16 numbers of no meaning."""
    chance, head, at = random.Random(7), {}, 0
    os.mkdir(path)
    for name, text in (("config.json", CONFIG), ("tokenizer.json", TOKENIZER),
                       ("tokenizer_config.json", {"bos_token": "<s>", "eos_token": "</s>"})):
        with open(os.path.join(path, name), "w", encoding="utf-8") as out:
            json.dump(text, out)
    for name, shape in tensors():
        size = 2
        for side in shape:
            size *= side
        head[name] = {"dtype": "F16", "shape": shape, "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(head).encode()
    with open(os.path.join(path, "model.safetensors"), "wb") as out:
        out.write(struct.pack("<Q", len(text)) + text)
        for place in head.values():
            row = b"".join(struct.pack("<e", chance.uniform(-1, 1)) for _ in range(HIDDEN))
            size = place["data_offsets"][1] - place["data_offsets"][0]
            out.write(row * (size // len(row)))
    return path


def digest(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def finished(part, end):
    """The number of tensors of the record that stands behind the end, or 0."""
    try:
        with open(part, "rb") as file:
            file.seek(end)
            record = file.read(RECORD)
    except FileNotFoundError:
        return 0
    return struct.unpack_from("<Q", record, 8)[0] if len(record) == RECORD else 0


def test_a_killed_import_goes_on_to_the_same_bytes(bin_dir, tmp_path):
    folder = make_folder(str(tmp_path / "folder"))
    model = os.path.join(bin_dir, "flotilla-model")
    words = [model, "import", folder, "--type", "f16", "--json", "--to"]

    def run(to):
        done = subprocess.run([*words, to], capture_output=True, text=True, timeout=HANG_S,
                              check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)
    whole = str(tmp_path / "whole.gguf")
    assert run(whole)["tensors_of_earlier_run"] == 0
    end, wanted = os.path.getsize(whole), digest(whole)
    os.remove(whole)
    chance, to = random.Random(41), str(tmp_path / "killed.gguf")
    before = 0
    for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGKILL, signal.SIGINT):
        process = subprocess.Popen([*words, to], stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)
        until("more than %d tensors" % before, lambda: process.poll() is not None or
              finished(to + ".part", end) > before, every=0.002)
        pace(chance.random() * 0.1)
        process.send_signal(number)
        if process.wait() == 0:
            break  # it was faster than the signal
        before = finished(to + ".part", end)
        assert before > 0 and not os.path.exists(to)
    if not os.path.exists(to):
        assert run(to)["tensors_of_earlier_run"] == before
    assert digest(to) == wanted
    assert not os.path.exists(to + ".part")
