#!/usr/bin/env python3
"""Make bases.json.gz and cases.json.gz: the changes, and the answers that the libraries
of the folders themselves give.  No test runs this.

    python3 -m venv V && V/bin/pip install numpy tokenizers==0.23.3 transformers==5.24.0 \\
        torch==2.15.0 peft==0.21.2
    V/bin/python tests/oracle/faithful/make.py [SEED]

300 cases have one change of changes.py, 300 have two; the seed draws them.  A change that
the library itself refuses must be refused; one that moves no answer is drawn again, unless
it is one of those that move none."""
import base64
import json
import os
import random
import struct
import sys
import tempfile
import warnings

os.environ["TRANSFORMERS_VERBOSITY"] = "error"
os.environ["HF_HUB_OFFLINE"] = "1"

import peft  # noqa: E402
import tokenizers  # noqa: E402
import torch  # noqa: E402
import transformers  # noqa: E402

import changes  # noqa: E402
import folders  # noqa: E402
import make_bases  # noqa: E402
import texts  # noqa: E402

CASES = 300
SEED = 20261201
# Slots, and how often one of them is drawn.
WEIGHTS = {"normalizer": 40, "pre_tokenizer": 55, "added_tokens": 35, "post_processor": 30,
           "model": 20, "settings": 12, "template": 16, "ends": 12, "generation": 4, "decoder": 8,
           "adapter": 24, "rope": 16, "act": 8, "window": 10, "config": 24, "other": 8}
ASKS = {"decoder": "text", "template": "render", "ends": "end", "generation": "end"}
TOKEN_SLOTS = {"normalizer", "pre_tokenizer", "added_tokens", "post_processor", "model",
               "truncation", "padding", "section", "settings"}
CHAIN, ENDS_START, ENDS_COUNT = {"chain": (264, 300, 340), "chain-pieces": (60, 290, 340)}, 8, 60
TEXT_COUNT = 12
PROMPT, ROWS, COLUMNS = 40, (9, 24, 39), 48
CHATS = [
    {"messages": [{"role": "system", "content": "Be brief."},
                  {"role": "user", "content": "What is 2 + 2?"}], "add_generation_prompt": True},
    {"messages": [{"role": "user", "content": " hi é\n"},
                  {"role": "assistant", "content": "Hello."},
                  {"role": "user", "content": "Bye 'now'"}], "add_generation_prompt": True},
    {"messages": [{"role": "user", "content": "Weather?"}], "add_generation_prompt": True,
     "tools": [{"type": "function", "function": {
         "name": "get_weather", "description": "x", "parameters": {
             "type": "object", "properties": {"city": {"type": "string"}},
             "required": ["city"]}}}]}]
PAIRS = [["hello world", "a device"], ["", "big"], ["café", "x y, z"]]


class Refused(Exception):
    """The library itself refuses the folder."""


def slot_group(change):
    slot = change["slot"]
    for name in ("adapter", "config"):
        if slot.startswith(name + "."):
            return name
    return slot if slot in WEIGHTS else "other"


def asks_of(base, change):
    slot = change["slot"]
    if slot in TOKEN_SLOTS:
        pair = ["pair"] if slot == "post_processor" and base in ("bert", "xlmr") else []
        return ["tokens"] + pair
    return [ASKS.get(slot, "lora" if slot.startswith("adapter") else "logits")]


# ---- what the libraries answer ----

def tokenizer_of(folder):
    return transformers.AutoTokenizer.from_pretrained(folder)


def model_of(folder):
    model, said = transformers.AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float64, attn_implementation="eager", output_loading_info=True)
    if said["missing_keys"] or said["mismatched_keys"]:
        raise Refused("tensors that are not there")
    return model.eval()


def rows_of(model, ask):
    with torch.no_grad():
        out = model(torch.tensor([ask["tokens"]])).logits[0]
    return [[float(out[row][column]) for column in ask["columns"]] for row in ask["rows"]]


def answer(what, ask, folder):
    if what == "tokens":
        tokenizer = tokenizer_of(folder)
        return [tokenizer(text)["input_ids"] for text in ask["texts"]]
    if what == "pair":
        tokenizer = tokenizer_of(folder)
        return [tokenizer(one, two)["input_ids"] for one, two in ask["pairs"]]
    if what == "render":
        tokenizer = tokenizer_of(folder)
        return [tokenizer.apply_chat_template(
            chat["messages"], tools=chat.get("tools"), tokenize=False,
            add_generation_prompt=True) for chat in ask["chats"]]
    if what == "text":
        tokenizer = tokenizer_of(folder)
        return [tokenizer.decode(list(range(start + 1, start + 1 + ask["count"])))
                for start in ask["starts"]]
    if what == "end":
        model = model_of(folder)
        ids = model.generate(torch.tensor([[ask["start"]]]), max_new_tokens=ask["count"],
                             do_sample=False, num_beams=1)
        return ids[0].tolist()[1:]
    if what == "logits":
        return rows_of(model_of(folder), ask)
    model = model_of(folder)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        model = peft.PeftModel.from_pretrained(model, folder + ".adapter").eval()
    if any("missing adapter keys" in str(one.message) for one in said):
        raise Refused("an adapter without its tensors")
    return rows_of(model, ask)


def ask_of(what, base, dice):
    if what == "tokens":
        return {"texts": texts.FIXED + texts.drawn(dice, 6)}
    if what == "pair":
        return {"pairs": PAIRS}
    if what == "render":
        return {"chats": CHATS}
    if what == "text":
        return {"starts": list(CHAIN[base.name]), "count": TEXT_COUNT}
    if what == "end":
        start = ENDS_START if base.name == "chain" else 280
        return {"start": start, "count": ENDS_COUNT}
    size = base.files["config.json"]["vocab_size"]
    return {"tokens": [dice.randrange(4, size - 8) for _ in range(PROMPT)], "rows": list(ROWS),
            "columns": sorted(dice.sample(range(4, size), COLUMNS))}


class Library:
    def __init__(self):
        self.bases, self.cache = folders.bases(), {}

    def ask(self, base, files, what, ask):
        with tempfile.TemporaryDirectory() as top:
            folder = os.path.join(top, "folder")
            base.write(files, folder)
            try:
                return answer(what, ask, folder)
            except Exception as error:  # whatever the library raises, it refuses
                raise Refused("%s: %s" % (type(error).__name__, str(error)[:120])) from error
            except BaseException as error:
                if "Panic" not in type(error).__name__:
                    raise
                raise ValueError("the library falls over") from error

    def base_answer(self, base, what, ask):
        key = base.name + what + json.dumps(ask)
        if key not in self.cache:
            self.cache[key] = self.ask(base, base.changed({}), what, ask)
        return self.cache[key]


def fewer(ask, was, now, dice):
    """The texts that the change moves, and some others."""
    moved = [i for i in range(len(now)) if now[i] != was[i]]
    still = [i for i in range(len(now)) if now[i] == was[i]]
    dice.shuffle(moved)
    dice.shuffle(still)
    keep = sorted(moved[:9] + still[:6])
    return {"texts": [ask["texts"][i] for i in keep]}, [now[i] for i in keep]


def packed(rows):
    flat = [number for row in rows for number in row]
    return base64.b64encode(struct.pack("<%df" % len(flat), *flat)).decode()


def spread(rows):
    flat = [number for row in rows for number in row]
    mean = sum(flat) / len(flat)
    return (sum((number - mean) ** 2 for number in flat) / len(flat)) ** 0.5


def distance(a, b):
    flat = [(x - y) ** 2 for one, two in zip(a, b) for x, y in zip(one, two)]
    return (sum(flat) / len(flat)) ** 0.5


def make_case(library, base, chosen, dice):
    """Returns a case, or None: it says nothing."""
    files = base.changed({})
    before = base.changed({})
    for change in chosen:
        change["make"](files)
    patch = {}
    for name in {**before, **files}:
        now = files.get(name, folders.GONE)
        found = folders.difference(before.get(name, folders.GONE), now)
        if found:
            patch[name] = found
    case = {"base": base.name, "patch": patch, "note": "; ".join(c["note"] for c in chosen),
            "names": sorted({name for c in chosen for name in c["names"]}),
            "kind": "+".join(sorted(c["slot"].split(".")[0] for c in chosen))}
    musts = {change["must"] for change in chosen}
    case["must"] = next(must for must in ("refuse", "either", "apply") if must in musts)
    asks, has_moved, refusal = {}, False, []
    for what in sorted({what for change in chosen for what in asks_of(base.name, change)}):
        ask = ask_of(what, base, dice)
        try:
            now = library.ask(base, files, what, ask)
            was = library.base_answer(base, what, ask)
        except Refused as error:
            refusal = [what, str(error)]
            break
        if what == "tokens":
            has_moved = has_moved or now != was
            ask, now = fewer(ask, was, now, dice)
        elif what in ("logits", "lora"):
            limit = 5e-3 if "gelu" in json.dumps(files["config.json"]) else 2e-3
            effect = distance(was, now) / spread(now)
            has_moved = has_moved or effect > 10 * limit
            if 0 < effect <= 10 * limit:
                return None
            ask.update(limit=limit, deviation=spread(now))
            now = packed(now)
        else:
            has_moved = has_moved or now != was
        asks[what] = {**ask, "answer": now}
    if refusal:
        case["must"], case["library"] = "refuse", refusal[1]
        asks = {refusal[0]: {}}
    quiet = all(change["slot"].startswith(("config.", "settings", "adapter.", "generation"))
                for change in chosen)
    if not has_moved and not refusal and not quiet and dice.random() < 0.9:
        return None
    return {**case, "asks": asks}


def draw(dice, pool, count):
    groups = {}
    for base, change in pool:
        groups.setdefault(slot_group(change), []).append((base, change))
    names = sorted(groups)
    for name in names:
        dice.shuffle(groups[name])
    while True:
        name = dice.choices(names, [WEIGHTS[name] for name in names])[0]
        if count == 1:
            if groups[name]:
                base, change = groups[name].pop()
                yield base, [change]
            continue
        base, change = dice.choice(groups[name])
        others = [other for at, other in pool if at == base and other["slot"] != change["slot"] and
                  "refuse" not in (other["must"], change["must"])]
        if not others:
            continue
        by_slot = {}
        for other in others:
            by_slot.setdefault(other["slot"], []).append(other)
        slot = dice.choices(sorted(by_slot), [
            WEIGHTS.get(slot_group({"slot": s}), 8) for s in sorted(by_slot)])[0]
        yield base, [change, dice.choice(by_slot[slot])]


def main():
    seed = int(sys.argv[1]) if len(sys.argv) > 1 else SEED
    transformers.logging.set_verbosity_error()
    folders.save("bases.json.gz", make_bases.make())
    library, cases = Library(), []
    pool = [(name, change) for name, list_all in changes.BASES.items() for change in list_all()]
    for count in (1, 2):
        dice = random.Random("%d/%d" % (seed, count))
        made, seen = 0, set()
        for name, chosen in draw(dice, pool, count):
            try:
                case = make_case(library, library.bases[name], chosen, dice)
            except (KeyError, TypeError, IndexError, ValueError):
                continue  # two changes of the same object
            words = case and json.dumps([case["base"], case["patch"]], sort_keys=True)
            if case is None or words in seen:
                continue
            seen.add(words)
            made += 1
            case["id"] = "%s-%03d" % ("one" if count == 1 else "two", made)
            cases.append(case)
            print(case["id"], name, case["must"], case["note"], case.get("library", ""), flush=True)
            if made == CASES:
                break
    folders.save("cases.json.gz", {
        "seed": seed, "versions": {library.__name__: library.__version__ for library in (
            tokenizers, transformers, torch, peft)}, "cases": cases})


if __name__ == "__main__":
    main()
