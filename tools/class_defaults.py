#!/usr/bin/env python3
"""Make engine/publish/texts/classes.json: what a class takes for an absent setting.

usage: VENV/bin/python tools/class_defaults.py

Needs PyPI transformers, of which it only asks the configuration classes."""
import json
import os
import re
import sys

from transformers.models.auto.configuration_auto import CONFIG_MAPPING
import transformers

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "tools"))
import deftable  # noqa: E402

# model_type of the families that import takes.
TYPES = """bert ernie4_5 exaone4 falcon_h1 gemma2 gemma3_text gemma3n_text gemma4_text gpt_oss
granite granite_swa granitemoehybrid hunyuan_v1_dense lfm2 lfm2_moe lfm3 llama mellum ministral3
mistral modernbert nemotron_h olmo2 olmo3 phi3 qwen2 qwen3 qwen3_5_text qwen3_moe qwen3_next
smollm3 xlm-roberta""".split()
# Ids are those of the tokenizer, but positions begin behind one of them. Tensors say the
# sizes, each family has one activation, and NemotronH's layers say whether it has experts.
LEFT = re.compile(r"\S+ (.*_token_id|vocab_size|id2label|label2id|dtype|hidden_size|"
                  r"num_hidden_layers|num_attention_heads|intermediate_size|.*hidden_act)$|"
                  r"nemotron_h (n_routed_experts|num_experts_per_tok)$")
KEPT = "xlm-roberta pad_token_id"
# The older spelling of the base of layers with windows, of classes that have one.
LOCAL = {"gemma3_text": "rope_local_base_freq", "gemma3n_text": "rope_local_base_freq",
         "modernbert": "local_rope_theta"}
# Lists that a class makes as the engine does not: null, and import wants them.
MADE = {"granite_swa": ("layer_types", "layer_rope_theta"), "mellum": ("layer_types",)}


def applied():
    """Keys of config.json that change the new file."""
    names = set()
    call = r'READING\(((?:"(?:[^"\\]|\\.)*"|[^()"])*)\)'
    for row in re.finditer(call, deftable.expanded("engine/publish/import/reading.def")):
        cells = [("".join(re.findall(r'"([^"]*)"', cell)) if '"' in cell else cell) for cell in
                 re.findall(r'((?:"(?:[^"\\]|\\.)*"\s*)+|[^,"\s]+)\s*(?:,|$)', row.group(1))]
        if cells[0] == "config.json" and cells[3] == "APPLIED":
            names |= {name for name in cells[1].split() if not re.search(r"[.*]", name)}
    return names


def defaults(kind, names):
    """Settings of the class of a model_type, where nothing is given."""
    made = CONFIG_MAPPING[kind]
    found = made().to_dict()
    for key, value in list(found.items()):  # what follows from another setting is no default
        if isinstance(value, int) and not isinstance(value, bool) and key in names:
            try:
                other = made(**{key: 2 * value}).to_dict()
            except Exception:  # pylint: disable=broad-except
                continue
            found = {name: one for name, one in found.items()
                     if name == key or other.get(name) == one}
    rope = made().to_dict().get("rope_parameters") or {}
    full = rope.get("full_attention") or rope
    local = rope.get("sliding_attention")
    is_scaled = local is not None or full.get("rope_type", "default") != "default" or \
        "partial_rotary_factor" in full
    for name, value in (("rope_theta", full.get("rope_theta")),
                        (LOCAL.get(kind), (local or {}).get("rope_theta")),
                        ("partial_rotary_factor", full.get("partial_rotary_factor"))):
        if name and value is not None:
            found.setdefault(name, value)
            names = names | {name}
    kept = {name: value for name, value in sorted(found.items())
            if name in names and isinstance(value, (bool, int, float, str))
            and ("%s %s" % (kind, name) == KEPT or not LEFT.match("%s %s" % (kind, name)))}
    if is_scaled:
        kept["rope_parameters"] = rope
    return dict(kept, **dict.fromkeys(MADE.get(kind, ())))


def main():
    names = applied()
    classes = dict({"": {"made by": "tools/class_defaults.py",
                         "with": "transformers " + transformers.__version__}},
                   **{kind: defaults(kind, names) for kind in TYPES})
    with open(os.path.join(ROOT, "engine/publish/texts/classes.json"), "w",
              encoding="utf-8") as out:
        json.dump(classes, out, indent=0)
        out.write("\n")


if __name__ == "__main__":
    sys.exit(main())
