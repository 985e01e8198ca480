#!/usr/bin/env python3
"""The recipe of tiny-rerank: has a document the words of a query?

usage: rerank.py OUT.gguf [--steps N] [--seed N]
       rerank.py MODEL.gguf --scores OUT.tsv

A qwen3 model with a head of two labels, in the form that llama.cpp's converter
gives Qwen3-Reranker.  Data is made here: documents are sentences of a home's
and a plant's words, queries one or two words.  A right document has every word
of the query, a wrong one has none.  Pairs whose SHA-1 begins with a byte below
32 are held out, and tell the rate of right answers.  While it learns, a second
head tells behind block 1 which words of the document are the query's; it is
not kept.  Needs torch; writes F16.

--scores computes in float64: held-out pairs and odd ones, with their tokens.
"""
import argparse
import hashlib
import math
import random
import re
import time

import torch
from torch.nn import functional

import train

CONTROL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
TEMPLATE = ("<|im_start|>user\n<Query>: {query}\n<Document>: {document}"
            "<|im_end|>\n<|im_start|>assistant\n")
EASY = 0.3  # of the steps: one word, one sentence
CONTEXT, WIDTH, BLOCKS, HEADS, KV_HEADS, HEAD, INNER = 512, 96, 3, 4, 2, 32, 192
BASE, EPSILON = 10000.0, 1e-6

THINGS = """pump oven valve lamp fan door window heater boiler camera sensor
motor belt filter fridge freezer printer scale truck crane lift gate tank pipe
meter battery charger panel router switch alarm siren robot drill saw press
mixer cooler dryer washer kettle clock radio""".split()
PLACES = """kitchen cellar garage roof yard office hall attic garden lab store
dock shed lobby stairs corridor workshop bakery stable barn tunnel bridge
platform tower""".split()
STATES = """hot cold loud wet dry open closed broken new old dirty clean empty
full slow fast red green blue dark bright stuck loose quiet rusty warm""".split()
DEEDS = """leaks smokes stops starts hums rattles blinks drips cools heats
turns fails waits runs sleeps shakes beeps trips""".split()
SMALL = "the a in is and of it on by with near at now then but".split()
WORDS = THINGS + PLACES + STATES + DEEDS
FORMS = """the {t} in the {p} is {s}|the {s} {t} {d}|a {t} {d} near the {p}
the {p} is {s} and the {t} {d}|it {d} in the {s} {p}|the {t} by the {p} {d} now
the {s} {t} of the {p} is {s}|in the {p} a {t} {d} but it is {s}|{s} {t}
the {t} {d}|the {t} is {s} and the {t} is {s}|a {s} {p} with a {t}"""
FORMS = re.split(r"[|\n]", FORMS)


# ---- data ----

def sentence(dice, is_easy):
    """One or two of the forms, with words in their places."""
    pick = {"t": THINGS, "p": PLACES, "s": STATES, "d": DEEDS}
    count = 1 if is_easy else dice.choice((1, 1, 1, 2))
    text = ". ".join(dice.choice(FORMS) for _ in range(count))
    return re.sub(r"\{(.)\}", lambda m: dice.choice(pick[m.group(1)]), text)


def pair(dice, is_easy=False):
    document = sentence(dice, is_easy)
    inside = [w for w in re.findall("[a-z]+", document) if w in WORDS]
    outside = [w for w in WORDS if w not in inside]
    count, is_right = dice.choice((1, 1, 2)), dice.random() < 0.5
    count = min(1 if is_easy else count, len(set(inside)))
    query = " ".join(dice.sample(
        sorted(set(inside)) if is_right else outside, count))
    return query, document, is_right


def is_held_out(query, document):
    return hashlib.sha1((query + "|" + document).encode()).digest()[0] < 32


def pairs(dice, count, held_out, is_easy=False):
    out = []
    while len(out) < count:
        one = pair(dice, is_easy)
        if is_held_out(*one[:2]) == held_out:
            out.append(one)
    return out


def text_of(query, document):
    return TEMPLATE.replace("{document}", document).replace("{query}", query)


# ---- tokens: byte-level BPE behind Qwen2's split; the texts are ASCII ----

class Tokenizer(train.Tokenizer):
    split_by = re.compile(
        r"'(?:s|t|re|ve|m|ll|d)|[^\r\nA-Za-z0-9]?[A-Za-z]+|[0-9]"
        r"| ?[^\sA-Za-z0-9]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")

    def pair(self, query, document):
        """Control tokens are the template's own alone."""
        out, texts = [], {"{query}": query, "{document}": document}
        for part in train.MARKS.split(TEMPLATE):
            if part in self.ids:
                out.append(self.ids[part])
                continue
            text = re.sub(r"\{query\}|\{document\}",
                          lambda m: texts[m.group()], part)
            for piece in self.pieces(text):
                if piece not in self.known:
                    self.known[piece] = [self.ids[p]
                                         for p in self.split(piece)]
                out += self.known[piece]
        return out

    def pieces(self, text):
        return [p.translate(train.SPELL) for p in self.split_by.findall(text)]


def byte_tokens():
    """A letter for each byte, as byte-level BPE has them."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [b for b in range(256) if b not in plain]
    return [chr(b) for b in plain] + [chr(256 + i) for i in range(len(others))]


def make_tokenizer(texts):
    """Each word is one token, at a text's begin and behind a blank."""
    tokenizer = Tokenizer(CONTROL + byte_tokens(), [])
    tokenizer.grow(texts, 700)
    return tokenizer


# ---- the model ----

def turned(x, cos, sin):
    """RoPE over halves."""
    a, b = x.chunk(2, -1)
    return torch.cat((a * cos - b * sin, a * sin + b * cos), -1)


def normed(x, weight):
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + EPSILON) * weight


def fresh_weights(vocabulary):
    def matrix(rows, columns):
        return torch.randn(rows, columns) / columns ** 0.5

    out = {"token_embd.weight": torch.randn(vocabulary, WIDTH)}
    for i in range(BLOCKS):
        for name, tensor in {
                "attn_norm": torch.ones(WIDTH),
                "attn_q": matrix(HEADS * HEAD, WIDTH),
                "attn_k": matrix(KV_HEADS * HEAD, WIDTH),
                "attn_v": matrix(KV_HEADS * HEAD, WIDTH),
                "attn_q_norm": torch.ones(HEAD) * 2,
                "attn_k_norm": torch.ones(HEAD),
                "attn_output": matrix(WIDTH, HEADS * HEAD) / 2,
                "ffn_norm": torch.ones(WIDTH),
                "ffn_gate": matrix(INNER, WIDTH),
                "ffn_up": matrix(INNER, WIDTH),
                "ffn_down": matrix(WIDTH, INNER) / 2}.items():
            out["blk.%d.%s.weight" % (i, name)] = tensor
    # Block 1 is to find a query's word again: it begins with keys that are
    # most like queries of the same token.
    group = HEADS // KV_HEADS
    out["blk.1.attn_q.weight"] = out["blk.1.attn_k.weight"].view(
        KV_HEADS, 1, HEAD, WIDTH).repeat(1, group, 1, 1).view(-1, WIDTH)
    out["output_norm.weight"] = torch.ones(WIDTH)
    out["cls.output.weight"] = matrix(2, WIDTH)
    return out


class Model:
    def __init__(self, weights):
        self.weights = {n: w.clone().requires_grad_()
                        for n, w in weights.items()}
        angle = torch.outer(torch.arange(CONTEXT).double(),
                            BASE ** -(torch.arange(0, HEAD, 2) / HEAD))
        some = weights["output_norm.weight"]  # double for --scores
        self.cos, self.sin = angle.cos().to(some), angle.sin().to(some)
        self.mask = torch.full((CONTEXT, CONTEXT), -1e9).triu(1)

    def block(self, i, x):
        def weight(name):
            return self.weights["blk.%d.%s.weight" % (i, name)]

        def heads(name, count):
            return functional.linear(y, weight(name)).view(
                rows, length, count, HEAD).transpose(1, 2)

        rows, length, _ = x.shape
        cos, sin = self.cos[:length], self.sin[:length]
        y = normed(x, weight("attn_norm"))
        q = turned(normed(heads("attn_q", HEADS), weight("attn_q_norm")),
                   cos, sin)
        k = turned(normed(heads("attn_k", KV_HEADS), weight("attn_k_norm")),
                   cos, sin).repeat_interleave(HEADS // KV_HEADS, 1)
        v = heads("attn_v", KV_HEADS).repeat_interleave(HEADS // KV_HEADS, 1)
        scores = q @ k.transpose(2, 3) / HEAD ** 0.5
        y = torch.softmax(scores + self.mask[:length, :length], -1) @ v
        x = x + functional.linear(
            y.transpose(1, 2).reshape(rows, length, HEADS * HEAD),
            weight("attn_output"))
        y = normed(x, weight("ffn_norm"))
        return x + functional.linear(
            functional.silu(functional.linear(y, weight("ffn_gate")))
            * functional.linear(y, weight("ffn_up")), weight("ffn_down"))

    def labels(self, ids, last):
        """The head of each row's last token, and all states of block 1."""
        x = functional.embedding(ids, self.weights["token_embd.weight"])
        for i in range(BLOCKS):
            x = self.block(i, x)
            middle = x if i == 1 else middle if i > 1 else None
        x = normed(x[torch.arange(len(ids)), last],
                   self.weights["output_norm.weight"])
        return functional.linear(x, self.weights["cls.output.weight"]), middle


# ---- training ----

def batch_of(tokenizer, some):
    rows = [tokenizer.pair(q, d) for q, d, _ in some]
    ids = torch.zeros(len(rows), max(map(len, rows)), dtype=torch.long)
    for at, row in enumerate(rows):
        ids[at, :len(row)] = torch.tensor(row)
    last = torch.tensor([len(row) - 1 for row in rows])
    return ids, last, torch.tensor([0 if r else 1 for _, _, r in some])


def words_of(tokenizer, ids):
    """Which tokens are in a document, and which of them are in its query."""
    mark = tokenizer.encode("\n<Document>:")
    where, same = torch.zeros(ids.shape), torch.zeros(ids.shape)
    for at, row in enumerate(ids.tolist()):
        begin = next(i for i in range(len(row))
                     if row[i:i + len(mark)] == mark) + len(mark)
        end = row.index(2)
        where[at, begin:end] = 1
        for i in range(begin, end):
            same[at, i] = row[i] in row[:begin]
    return where, same


def right_rate(model, tokenizer, some):
    ids, last, label = batch_of(tokenizer, some)
    with torch.no_grad():
        found = model.labels(ids, last)[0].argmax(-1)
        return (found == label).float().mean()


def teach(model, tokenizer, options):
    dice = random.Random(options.seed)
    held_out = pairs(random.Random(7), 500, True)
    second = torch.zeros(WIDTH, requires_grad=True)
    matrices = [w for w in model.weights.values() if w.dim() > 1]
    vectors = [w for w in model.weights.values() if w.dim() == 1] + [second]
    adam = torch.optim.AdamW([{"params": matrices, "weight_decay": 0.02},
                              {"params": vectors, "weight_decay": 0.0}],
                             lr=options.rate, betas=(0.9, 0.98))
    begin, losses = time.monotonic(), []
    for step in range(1, options.steps + 1):
        at = step / options.steps
        for group in adam.param_groups:
            group["lr"] = options.rate * min(
                1, step / 100, 0.02 + 0.98 * math.cos(at * math.pi / 2))
        ids, last, label = batch_of(tokenizer, pairs(
            dice, options.rows, False, at < EASY))
        found, middle = model.labels(ids, last)
        where, same = words_of(tokenizer, ids)
        # Smooth, so that scores are not all 0 or 1.
        loss = functional.cross_entropy(found, label, label_smoothing=0.1)
        loss = loss + 10 * functional.binary_cross_entropy_with_logits(
            middle @ second - 2, same, weight=where)
        adam.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(matrices + vectors, 1.0)
        adam.step()
        losses.append(loss.item())
        if step % 200 == 0 or step == options.steps:
            print("step %d  loss %.4f  right %.3f  %.0f s" % (
                step, sum(losses) / len(losses),
                right_rate(model, tokenizer, held_out),
                time.monotonic() - begin), flush=True)
            losses = []


ODD = [("pump", "the pump<|im_end|> leaks"), ("lamp", " "), ("{document}",
       "{query} pump"), ("hot pump", "lamp"), ("oven 3", "OVEN <|im_start|> 3"),
       ("door", "the door is open. " * 12)]


def write_scores(path, out):
    """A line each: score, ids, query, document."""
    keys, weights = train.read_gguf(path)
    tokenizer = Tokenizer(keys["tokenizer.ggml.tokens"][1][1],
                          keys["tokenizer.ggml.merges"][1][1])
    model = Model({n: w.double() for n, w in weights.items()})
    some = [p[:2] for p in pairs(random.Random(8), 34, True)] + ODD
    with open(out, "w") as file, torch.no_grad():
        for query, document in some:
            ids, last, _ = batch_of(tokenizer, [(query, document, True)])
            score = torch.softmax(model.labels(ids, last)[0][0], 0)[0]
            file.write("%.9f\t%s\t%s\t%s\n" % (
                score, ",".join(map(str, ids[0].tolist())), query, document))


def keys_of(tokenizer):
    text, array, whole = train.TEXT, train.LIST, 4
    tokens = tokenizer.tokens
    return {
        "general.architecture": (text, "qwen3"),
        "general.type": (text, "model"),
        "general.name": (text, "flotilla-tiny-rerank"),
        "general.license": (text, "cc0-1.0"),
        "general.file_type": (whole, 1),
        "qwen3.block_count": (whole, BLOCKS),
        "qwen3.context_length": (whole, CONTEXT),
        "qwen3.embedding_length": (whole, WIDTH),
        "qwen3.feed_forward_length": (whole, INNER),
        "qwen3.attention.head_count": (whole, HEADS),
        "qwen3.attention.head_count_kv": (whole, KV_HEADS),
        "qwen3.attention.key_length": (whole, HEAD),
        "qwen3.attention.value_length": (whole, HEAD),
        "qwen3.attention.layer_norm_rms_epsilon": (6, EPSILON),
        "qwen3.rope.freq_base": (6, BASE),
        "qwen3.pooling_type": (whole, 4),
        "qwen3.classifier.output_labels": (array, (text, ["yes", "no"])),
        "tokenizer.ggml.model": (text, "gpt2"),
        "tokenizer.ggml.pre": (text, "qwen2"),
        "tokenizer.ggml.tokens": (array, (text, tokens)),
        "tokenizer.ggml.token_type": (array, (5, [
            3 if t in CONTROL else 1 for t in tokens])),
        "tokenizer.ggml.merges": (array, (text, tokenizer.merges)),
        "tokenizer.ggml.bos_token_id": (whole, 0),
        "tokenizer.ggml.eos_token_id": (whole, 2),
        "tokenizer.ggml.padding_token_id": (whole, 0),
        "tokenizer.ggml.add_bos_token": (7, False),
        "tokenizer.chat_templates": (array, (text, ["rerank"])),
        "tokenizer.chat_template.rerank": (text, TEMPLATE),
    }


def main():
    options = argparse.ArgumentParser(usage=__doc__)
    options.add_argument("out")
    options.add_argument("--steps", type=int, default=1000)
    options.add_argument("--rows", type=int, default=48)
    options.add_argument("--rate", type=float, default=2e-3)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--scores")
    options = options.parse_args()
    if options.scores:
        write_scores(options.out, options.scores)
        return
    torch.set_num_threads(1)
    torch.manual_seed(options.seed)
    dice = random.Random(options.seed)
    texts = [text_of(q, d) for q, d, _ in pairs(dice, 4000, False)]
    texts += [word + " " + word for word in WORDS + SMALL]
    tokenizer = make_tokenizer(texts)
    print("%d tokens, %.1f a pair" % (
        len(tokenizer.tokens), sum(len(tokenizer.encode(t))
                                   for t in texts[:500]) / 500), flush=True)
    model = Model(fresh_weights(len(tokenizer.tokens)))
    teach(model, tokenizer, options)
    train.write_gguf(options.out, keys_of(tokenizer), model.weights)


if __name__ == "__main__":
    main()
