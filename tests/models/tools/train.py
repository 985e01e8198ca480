#!/usr/bin/env python3
"""The recipe of tiny-tools: tiny-v2, trained on with the talks of data.py.

usage: train.py OUT.gguf [--base GGUF] [--steps N] [--workers N] [--seed N] ...

The vocabulary of tiny-v2 grows by merges that are learned from the talks; the
weights of a new token begin as the mean of its two parts.  The context grows
from 512 to 1024.  Only answers are learned.  Workers share the weights and
wait for nobody, so two runs differ a little.  Every 100 steps a line tells the
loss, and the rate of prompts.jsonl whose whole answer is the likeliest one.
Needs torch and jinja2; writes F16.
"""
import argparse
import collections
import json
import math
import os
import re
import struct
import time

import jinja2
import torch
from torch.nn import functional

import data

HERE = os.path.dirname(os.path.abspath(__file__))
BASE = os.path.join(HERE, "..", "tiny-v2.Q4_0.gguf")
CONTEXT = 1024
NEW_TOKENS = 380
WARM = 30  # steps
POOL = 40  # talks that are sorted by their length
HEADS, KV_HEADS, WIDTH, BLOCKS = 8, 2, 256, 5
HEAD = WIDTH // HEADS
END = 2

# ---- the file ----

SIZES = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f",
         7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
TEXT, LIST = 8, 9


class Reader:
    def __init__(self, path):
        with open(path, "rb") as file:
            self.bytes = file.read()
        self.at = 0

    def number(self, form):
        value, = struct.unpack_from(form, self.bytes, self.at)
        self.at += struct.calcsize(form)
        return value

    def text(self):
        count = self.number("<Q")
        self.at += count
        return self.bytes[self.at - count:self.at].decode()

    def value(self, kind):
        if kind == TEXT:
            return self.text()
        if kind == LIST:
            inner, count = self.number("<I"), self.number("<Q")
            return inner, [self.value(inner) for _ in range(count)]
        return self.number(SIZES[kind])


def read_gguf(path):
    """Keys as {name: (kind, value)}, tensors as {name: floats}."""
    reader = Reader(path)
    reader.at = 8
    tensors, keys = reader.number("<Q"), {}
    for _ in range(reader.number("<Q")):
        name, kind = reader.text(), reader.number("<I")
        keys[name] = kind, reader.value(kind)
    heads = []
    for _ in range(tensors):
        name = reader.text()
        shape = [reader.number("<Q") for _ in range(reader.number("<I"))]
        heads.append((name, shape[::-1], reader.number("<I"),
                      reader.number("<Q")))
    begin = (reader.at + 31) // 32 * 32
    return keys, {name: floats(reader.bytes, kind, begin + offset, shape)
                  for name, shape, kind, offset in heads}


def floats(data, kind, at, shape):
    """F32, F16, or 32 weights of a scale: Q8_0 has a byte each, Q4_0 16 bytes,
    low half first."""
    count = math.prod(shape)
    if kind == 8:
        blocks = torch.frombuffer(
            bytearray(data), dtype=torch.uint8, count=count // 32 * 34,
            offset=at).view(-1, 34)
        scale = blocks[:, :2].contiguous().view(torch.float16).float()
        return (blocks[:, 2:].contiguous().view(torch.int8).float()
                * scale).reshape(shape)
    if kind == 2:
        blocks = torch.frombuffer(
            bytearray(data), dtype=torch.uint8, count=count // 32 * 18,
            offset=at).view(-1, 18)
        scale = blocks[:, :2].contiguous().view(torch.float16).float()
        codes = torch.cat((blocks[:, 2:] & 15, blocks[:, 2:] >> 4), 1)
        return ((codes.float() - 8) * scale).reshape(shape)
    return torch.frombuffer(
        bytearray(data), dtype={0: torch.float32, 1: torch.float16}[kind],
        count=count, offset=at).float().reshape(shape)


def write_gguf(path, keys, tensors):
    def text(value):
        return struct.pack("<Q", len(value.encode())) + value.encode()

    def value(kind, what):
        if kind == TEXT:
            return text(what)
        if kind == LIST:
            inner, items = what
            return struct.pack("<IQ", inner, len(items)) + b"".join(
                value(inner, item) for item in items)
        return struct.pack(SIZES[kind], what)

    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(keys))
    for name, (kind, what) in keys.items():
        head += text(name) + struct.pack("<I", kind) + value(kind, what)
    body = b""
    for name, tensor in tensors.items():
        is_small = tensor.dim() == 1
        head += text(name) + struct.pack("<I", tensor.dim())
        head += b"".join(struct.pack("<Q", n) for n in tensor.shape[::-1])
        head += struct.pack("<IQ", 0 if is_small else 1, len(body))
        plain = tensor.detach().float() if is_small else \
            tensor.detach().half()
        body += plain.contiguous().numpy().tobytes()
        body += bytes(-len(body) % 32)
    with open(path, "wb") as file:
        file.write(head + bytes(-len(head) % 32) + body)


# ---- tokens: byte-level BPE behind SmolLM's split; the talks are ASCII ----

SPLIT = re.compile(r"'(?:s|t|re|ve|m|ll|d)| ?[A-Za-z]+| ?[^\sA-Za-z0-9]+"
                   r"|\s+(?!\S)|\s+")
CONTROL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
CALLS = ["<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>"]
MARKS = re.compile("(" + "|".join(map(re.escape, CONTROL + CALLS)) + ")")
SPELL = str.maketrans({" ": "\u0120", "\n": "\u010a"})


class Tokenizer:
    def __init__(self, tokens, merges):
        self.tokens, self.merges = list(tokens), list(merges)
        self.index()

    def index(self):
        self.ids = {token: i for i, token in enumerate(self.tokens)}
        self.ranks = {tuple(m.split(" ")): i
                      for i, m in enumerate(self.merges)}
        self.known = {}

    def pieces(self, text):
        for part in re.split("([0-9])", text):
            if len(part) == 1 and part.isdigit():
                yield part
            else:
                yield from (p.translate(SPELL) for p in SPLIT.findall(part))

    def add(self, tokens):
        self.tokens += tokens
        self.index()

    def split(self, piece):
        parts = list(piece)
        while len(parts) > 1:
            rank, at = min((self.ranks.get(pair, 1 << 30), i) for i, pair
                           in enumerate(zip(parts, parts[1:])))
            if rank == 1 << 30:
                break
            parts[at:at + 2] = ["".join(parts[at:at + 2])]
        return parts

    def encode(self, text):
        out = []
        for part in MARKS.split(text):
            if MARKS.fullmatch(part):
                out.append(self.ids[part])
                continue
            for piece in self.pieces(part):
                if piece not in self.known:
                    self.known[piece] = [self.ids[p]
                                         for p in self.split(piece)]
                out += self.known[piece]
        return out

    def grow(self, texts, count):
        """Learn merges; returns the two parts of each new token."""
        counts = collections.Counter(
            piece for text in texts for part in MARKS.split(text)
            if not MARKS.fullmatch(part) for piece in self.pieces(part))
        words = [[self.split(piece), n] for piece, n in counts.items()]
        grown = []
        for _ in range(count):
            pairs = collections.Counter()
            for parts, n in words:
                for pair in zip(parts, parts[1:]):
                    pairs[pair] += n
            # The most frequent pair; of equal ones the first by its letters.
            (left, right), n = min(pairs.items(), key=lambda p: (-p[1], p[0]))
            if n < 2:
                break
            if left + right not in self.ids:
                grown.append((self.ids[left], self.ids[right]))
                self.ids[left + right] = len(self.tokens)
                self.tokens.append(left + right)
            self.merges.append(left + " " + right)
            for word in words:
                parts, at = word[0], 0
                while at + 1 < len(parts):
                    if parts[at] == left and parts[at + 1] == right:
                        parts[at:at + 2] = [left + right]
                    at += 1
        self.index()
        return grown


# ---- the model ----

def turned(x, cos, sin):
    """RoPE over neighbours."""
    a, b = x[..., 0::2], x[..., 1::2]
    return torch.stack((a * cos - b * sin, a * sin + b * cos), -1).flatten(-2)


def normed(x, weight):
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5) * weight


class Model:
    def __init__(self, weights):
        self.weights = {name: w.clone().share_memory_().requires_grad_()
                        for name, w in weights.items()}
        angle = torch.outer(torch.arange(CONTEXT).float(),
                            10000.0 ** -(torch.arange(0, HEAD, 2) / HEAD))
        self.cos, self.sin = angle.cos(), angle.sin()
        self.mask = torch.full((CONTEXT, CONTEXT), -1e9).triu(1)

    def block(self, i, x, wanted):
        w = {part: self.weights["blk.%d.%s.weight" % (i, part)] for part in (
            "attn_norm", "attn_q", "attn_k", "attn_v", "attn_output",
            "ffn_norm", "ffn_gate", "ffn_up", "ffn_down")}
        rows, length, _ = x.shape
        cos, sin = self.cos[:length], self.sin[:length]

        def heads(matrix, count):
            return functional.linear(y, matrix).view(
                rows, length, count, HEAD).transpose(1, 2)

        y = normed(x, w["attn_norm"])
        q = turned(heads(w["attn_q"], HEADS), cos, sin) / HEAD ** 0.5
        k = turned(heads(w["attn_k"], KV_HEADS), cos, sin)
        v = heads(w["attn_v"], KV_HEADS)
        group = HEADS // KV_HEADS
        q = q.reshape(rows, KV_HEADS, group * length, HEAD)
        scores = (q @ k.transpose(2, 3)).view(rows, HEADS, length, length)
        share = torch.softmax(scores.add_(self.mask[:length, :length]), -1)
        y = share.view(rows, KV_HEADS, group * length, length) @ v
        y = y.view(rows, HEADS, length, HEAD).transpose(1, 2).reshape(
            rows, length, WIDTH)
        if i == BLOCKS - 1:
            x, y = x[wanted], y[wanted]
        x = x + functional.linear(y, w["attn_output"])
        y = normed(x, w["ffn_norm"])
        return x + functional.linear(
            functional.silu(functional.linear(y, w["ffn_gate"]))
            * functional.linear(y, w["ffn_up"]), w["ffn_down"])

    def logits(self, ids, wanted):
        """The logits of the places that `wanted` marks."""
        embedding = self.weights["token_embd.weight"]
        x = functional.embedding(ids, embedding)
        for i in range(BLOCKS):
            x = self.block(i, x, wanted)
        x = normed(x, self.weights["output_norm.weight"])
        return functional.linear(x, embedding)


# ---- training ----

def grown(tokenizer, embedding, texts):
    """The embedding of a vocabulary with the marks of calls and new merges."""
    rows = [*embedding]
    for mark in CALLS:
        ids = tokenizer.encode(mark[:1]) + tokenizer.encode(mark[1:])
        rows.append(embedding[ids].mean(0) + 0.05 * torch.randn(WIDTH))
    tokenizer.add(CALLS)
    for left, right in tokenizer.grow(texts, NEW_TOKENS):
        rows.append((rows[left] + rows[right]) / 2)
    return torch.stack(rows)


def renderer():
    def tojson(value):
        return json.dumps(value, ensure_ascii=False)

    with open(os.path.join(HERE, "template.jinja")) as file:
        source = file.read().rstrip("\n")
    environment = jinja2.Environment()
    environment.filters["tojson"] = tojson
    return source, environment.from_string(source).render


def example(tokenizer, text):
    """Ids, and which of them are learned: each answer and its end."""
    ids = tokenizer.encode(text)
    assistant = tokenizer.encode("<|im_start|>assistant\n")
    marked, inside = [], False
    for at, token in enumerate(ids):
        marked.append(inside)
        if token == END:
            inside = False
        elif ids[max(0, at - len(assistant) + 1):at + 1] == assistant:
            inside = True
    return ids, marked


def batch_of(examples):
    length = max(len(ids) for ids, _ in examples)
    ids = torch.full((len(examples), length), END)
    marked = torch.zeros(len(examples), length, dtype=torch.bool)
    for row, (one, learned) in enumerate(examples):
        ids[row, :len(one)] = torch.tensor(one)
        marked[row, :len(one)] = torch.tensor(learned)
    return ids, marked


def batches(talk, tokens):
    """Without an end: talks of about one length, up to so many tokens."""
    while True:
        rows = []
        for one in sorted((talk() for _ in range(POOL)),
                          key=lambda e: len(e[0])):
            if rows and len(one[0]) * (len(rows) + 1) > tokens:
                yield rows
                rows = []
            rows.append(one)


def stream_of(tokenizer, render, options, worker):
    words = data.Words(options.seed * 1000 + worker, False)
    return batches(lambda: example(tokenizer, render(
        **data.conversation(words))), options.tokens)


def check(model, examples):
    """Rate of examples whose whole answer is the likeliest one."""
    right = 0
    with torch.no_grad():
        for at in range(0, len(examples), 20):
            ids, marked = batch_of(examples[at:at + 20])
            wanted = marked[:, 1:]
            best = model.logits(ids[:, :-1], wanted).argmax(-1)
            good = torch.ones_like(wanted)
            good[wanted] = best == ids[:, 1:][wanted]
            right += int(good.all(1).sum())
    return right / len(examples)


def train(model, stream, held_out, options):
    weights = list(model.weights.values())
    adam = torch.optim.AdamW(
        [{"params": [w for w in weights if w.dim() > 1],
          "weight_decay": 0.05},
         {"params": [w for w in weights if w.dim() == 1],
          "weight_decay": 0.0}], lr=options.rate, betas=(0.9, 0.98))
    begin, losses = time.monotonic(), []
    for step in range(1, options.steps + 1):
        share = min(1, step / WARM, (options.steps + 1 - step) / options.cool)
        for group in adam.param_groups:
            group["lr"] = options.rate * share
        ids, marked = batch_of(next(stream))
        wanted = marked[:, 1:]
        loss = functional.cross_entropy(model.logits(ids[:, :-1], wanted),
                                        ids[:, 1:][wanted])
        adam.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        adam.step()
        losses.append(loss.item())
        if held_out and (step % 100 == 0 or step == options.steps):
            print("step %d  loss %.4f  right %.3f  %.0f s" % (
                step, sum(losses) / len(losses), check(model, held_out),
                time.monotonic() - begin), flush=True)
            losses = []


def main():
    options = argparse.ArgumentParser(usage=__doc__)
    options.add_argument("out")
    options.add_argument("--base", default=BASE)
    options.add_argument("--steps", type=int, default=550)
    options.add_argument("--cool", type=int, default=150)
    options.add_argument("--workers", type=int, default=2)
    options.add_argument("--tokens", type=int, default=1024)
    options.add_argument("--rate", type=float, default=8e-4)
    options.add_argument("--seed", type=int, default=1)
    options = options.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(options.seed)

    source, render = renderer()
    keys, weights = read_gguf(options.base)
    tokenizer = Tokenizer(keys["tokenizer.ggml.tokens"][1][1],
                          keys["tokenizer.ggml.merges"][1][1])
    if CALLS[0] not in tokenizer.ids:
        weights["token_embd.weight"] = grown(
            tokenizer, weights["token_embd.weight"],
            [render(**talk) for talk in data.training(options.seed, 4000)])
    with open(os.path.join(HERE, "prompts.jsonl")) as file:
        held_out = [example(tokenizer, render(**data.talk_of(
            json.loads(line)))) for line in file]
    model = Model(weights)
    others = []
    for worker in range(1, options.workers):
        other = os.fork()
        if other == 0:
            train(model, stream_of(tokenizer, render, options, worker), None,
                  options)
            os._exit(0)
        others.append(other)
    train(model, stream_of(tokenizer, render, options, 0), held_out, options)
    for other in others:
        os.waitpid(other, 0)
    print("right %.3f" % check(model, held_out))

    count = len(tokenizer.tokens)
    keys.update({
        "general.file_type": (4, 1),
        "general.name": (TEXT, "flotilla-tiny-tools"),
        "general.version": (TEXT, "v1"),
        "general.description": (TEXT, "Self-trained test model of the Flotilla "
                                "project: calls of an edge device's tools."),
        "llama.context_length": (4, CONTEXT),
        "llama.vocab_size": (4, count),
        "tokenizer.ggml.tokens": (LIST, (TEXT, tokenizer.tokens)),
        "tokenizer.ggml.token_type": (LIST, (5, [
            3 if t in CONTROL else 4 if t in CALLS else 1
            for t in tokenizer.tokens])),
        "tokenizer.ggml.merges": (LIST, (TEXT, tokenizer.merges)),
        "tokenizer.chat_template": (TEXT, source)})
    write_gguf(options.out, keys, model.weights)


if __name__ == "__main__":
    main()
