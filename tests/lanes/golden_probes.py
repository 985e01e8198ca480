#!/usr/bin/env python3
"""Golden prompts against good and damaged models: how many prompts are kept, false
alarms across kernels, caches, threads, batches and packed or plain weights, and damage
that is missed.

usage: golden_probes.py MODEL... [--prompts FILE] [--kernels A,B] [--caches A,B]
       [--layers N] [--factors 2,0.5] [--part good|damage] [-n TOKENS]
FLOTILLA_BIN names the programs. For each model `golden create` makes a set of the
built-in prompts, or of FILE's. Good: the model is played once with each kernel, cache,
number of threads and batch, packed and not. Damaged: one tensor of a layer is scaled (--layers: how
many layers), two layers are exchanged, the rotation's base or the chat template is
another. Long: minutes with tiny models, an hour with SmolLM2. Not a part of `make test`."""
import argparse
import collections
import json
import os
import re
import subprocess
import sys
import tempfile

from weights import ROOT, Model

sys.path.insert(0, os.path.join(ROOT, "tests", "run"))
from kernels import kernels  # noqa: E402

BIN = os.environ.get("FLOTILLA_BIN", os.path.join(ROOT, "build", "bin"))
KINDS = ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down",
         "attn_norm", "ffn_norm")
# Threads, tokens of a batch, and whether the weights are packed.
PLACES = (("1", "64", True), ("2", "7", False))


def call(*words):
    """Exit status and what the program said."""
    done = subprocess.run([os.path.join(BIN, "flotilla-model"), *words], text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if done.returncode not in (0, 7):
        sys.exit("%s: exit %d\n%s" % (" ".join(words), done.returncode, done.stdout))
    return done.returncode, done.stdout


def play(golden, model, *words):
    """Whether the set passes, and the share of the allowed difference."""
    code, said = call("golden", "play", golden, "--model", model, "--once", *words)
    share = re.search(r"([0-9]+) % of the allowed", said)
    return code == 0, int(share.group(1)) if share else 0, said


def damages(model, layers, factors):
    """Name of each damage, its layer, and a function that makes the bytes."""
    chosen = sorted({round(i * (model.layers - 1) / max(1, layers - 1)) for i in range(layers)})
    for factor in factors:
        for kind in KINDS:
            for layer in chosen:
                yield "%s x%g" % (kind, factor), layer, \
                    lambda k=kind, l=layer, f=factor: model.scaled("blk.%d.%s.weight" % (l, k), f)
    for layer in chosen[:-1]:
        yield "layers exchanged", layer, lambda l=layer: model.swapped(l, l + 1)
    for factor in (2, 10):
        yield "base of the rotation x%d" % factor, 0, lambda f=factor: model.roped(f)
    yield "another chat template", 0, model.templated


def good(golden, model, args):
    plays = alarms = worst = 0
    cases = len(json.load(open(golden, encoding="utf-8"))["cases"])
    for kernel in args.kernels:
        for cache in args.caches:
            for threads, batch, is_packed in PLACES:
                passed, share, said = play(golden, model, "--kernel", kernel, "--kv", cache,
                                           "--threads", threads, "--batch", batch,
                                           *([] if is_packed else ["--packed", "none"]))
                plays += 1
                worst = max(worst, share)
                if not passed:
                    alarms += 1
                    print("  false alarm: %s %s %s threads, batch %s: %s" % (
                        kernel, cache, threads, batch, said))
    print("  good: %d false alarms in %d plays of %d cases; at most %d %% of the allowed "
          "difference" % (alarms, plays, cases, worst), flush=True)
    return plays, alarms, plays * cases


def damaged(golden, path, args, work):
    bad, ends, least = os.path.join(work, "bad.gguf"), collections.Counter(), {}
    model = Model(path)
    for what, layer, make in damages(model, args.layers, args.factors):
        with open(bad, "wb") as file:
            file.write(make())
        passed, share, _ = play(golden, bad, "--threads", "1")
        ends[what, "missed" if passed else "caught"] += 1
        least[what] = min(least.get(what, 1 << 30), share)
        if passed:
            print("  missed: %s in layer %d (%d %% of the allowed difference)" % (
                what, layer, share), flush=True)
    for what, share in least.items():
        caught, missed = ends[what, "caught"], ends[what, "missed"]
        print("  %-28s %d of %d caught, at least %d %% of the allowed difference" % (
            what, caught, caught + missed, share), flush=True)
    return (sum(n for (_, end), n in ends.items() if end == "caught"), sum(ends.values()))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("models", nargs="+")
    parser.add_argument("--prompts")
    parser.add_argument("-n", default="32")
    parser.add_argument("--kernels", type=lambda text: text.split(","))
    parser.add_argument("--caches", type=lambda text: text.split(","),
                        default=["f16", "q8_0", "f32"])
    parser.add_argument("--layers", type=int, default=5)
    parser.add_argument("--factors", type=lambda text: [float(f) for f in text.split(",")],
                        default=[2, 0.5])
    parser.add_argument("--part", choices=("good", "damage"))
    args = parser.parse_args()
    args.kernels = args.kernels or kernels(BIN)
    sums = [0] * 5
    with tempfile.TemporaryDirectory() as work:
        golden = os.path.join(work, "golden.json")
        for path in args.models:
            words = ["--prompts", args.prompts] if args.prompts else []
            _, said = call("golden", "create", golden, "--model", path, "-n", args.n, *words)
            slack = re.search(r'"rival_slack": ([0-9.]+)', open(golden, encoding="utf-8").read())
            print("%s: %s; slack %s" % (os.path.basename(path), said.strip().splitlines()[-1],
                                        slack.group(1)), flush=True)
            if args.part != "damage":
                for i, count in enumerate(good(golden, path, args)):
                    sums[i] += count
            if args.part != "good":
                for i, count in enumerate(damaged(golden, path, args, work)):
                    sums[3 + i] += count
    print("%d false alarms in %d plays (%d cases); %d of %d damaged models caught" % (
        sums[1], sums[0], sums[2], sums[3], sums[4]))
    sys.exit(1 if sums[1] or sums[3] < sums[4] else 0)


if __name__ == "__main__":
    main()
