"""The bases of the cases: tiny folders of known families, with tokenizers trained on a
page of the tree.  Used by make.py; needs PyPI's tokenizers."""
import json
import os
import struct

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

import texts

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__)))))
WORDS = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
         r"|\s*[\r\n]+|\s+(?!\S)|\s+")
MARK = "▁"
CHAT = ("{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n"
        "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}")
LAMA = ("{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}[INST] {{ m.content }} "
        "[/INST]{% else %}{{ m.content }}{{ eos_token }}{% endif %}{% endfor %}")


def corpus():
    # Words in <…> would be learnt as pieces, which the special tokens are already.
    with open(os.path.join(ROOT, "docs", "tour.md"), encoding="utf-8") as file:
        lines = file.read().split("\n")[:60]
    return lines + [text for text in texts.FIXED if text.isprintable() and "<" not in text]


def added(ids, special=True):
    return [{"id": place, "content": text, "single_word": False, "lstrip": False,
             "rstrip": False, "normalized": not special, "special": special}
            for text, place in ids.items()]


def trained(tokenizer, trainer):
    tokenizer.train_from_iterator(corpus(), trainer)
    return json.loads(tokenizer.to_str())


def template(front="", back=""):
    def side(name, segment):
        return [{"Sequence": {"id": name, "type_id": segment}}]

    def mark(text, segment):
        return [{"SpecialToken": {"id": text, "type_id": segment}}] if text else []

    return {"type": "TemplateProcessing",
            "single": mark(front, 0) + side("A", 0) + mark(back, 0),
            "pair": mark(front, 0) + side("A", 0) + mark(back, 0) +
            ([] if back else mark(front, 1)) + side("B", 1) + mark(back, 1)}


def with_ids(processor, ids):
    named = {item["SpecialToken"]["id"] for item in processor["single"] + processor["pair"]
             if "SpecialToken" in item}
    processor["special_tokens"] = {text: {"id": text, "ids": [ids[text]], "tokens": [text]}
                                   for text in sorted(named)}
    return processor


def byte_level():
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(WORDS), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    made.decoder = decoders.ByteLevel()
    made = trained(made, trainers.BpeTrainer(
        vocab_size=380, initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False))
    made["normalizer"] = {"type": "NFC"}
    count = len(made["model"]["vocab"])
    made["added_tokens"] = added({text: count + i for i, text in enumerate(
        ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|pad|>"))})
    made["post_processor"] = {"type": "ByteLevel", "add_prefix_space": True,
                              "trim_offsets": False, "use_regex": True}
    return made, count + 4


def with_pieces():
    made = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    made.normalizer = normalizers.Sequence([
        normalizers.Prepend(MARK), normalizers.Replace(" ", MARK)])
    marks = ["<unk>", "<s>", "</s>"] + ["<0x%02X>" % byte for byte in range(256)]
    made = trained(made, trainers.BpeTrainer(
        vocab_size=440, special_tokens=marks, limit_alphabet=80, max_token_length=8,
        show_progress=False))
    made["added_tokens"] = added({"<unk>": 0, "<s>": 1, "</s>": 2})
    made["post_processor"] = with_ids(template("<s>"), {"<s>": 1})
    made["decoder"] = {"type": "Sequence", "decoders": [
        {"type": "Replace", "pattern": {"String": MARK}, "content": " "},
        {"type": "ByteFallback"}, {"type": "Fuse"},
        {"type": "Strip", "content": " ", "start": 1, "stop": 0}]}
    return made, len(made["model"]["vocab"])


def word_piece():
    made = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer()
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.decoder = decoders.WordPiece()
    marks = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    made = trained(made, trainers.WordPieceTrainer(
        vocab_size=400, special_tokens=marks, limit_alphabet=150, show_progress=False))
    ids = {text: i for i, text in enumerate(marks)}
    made["post_processor"] = with_ids(template("[CLS]", "[SEP]"), ids)
    return made, len(made["model"]["vocab"])


def unigram():
    made = Tokenizer(models.Unigram())
    made.normalizer = normalizers.Sequence([normalizers.Replace(Regex(" {2,}"), " ")])
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    made.decoder = decoders.Metaspace()
    marks = ["<s>", "<pad>", "</s>", "<unk>"]
    made = trained(made, trainers.UnigramTrainer(
        vocab_size=360, special_tokens=marks, unk_token="<unk>", show_progress=False))
    pieces = made["model"]["vocab"] + [["<mask>", 0.0]]
    # Scores of published files are floats of 32 bits, and so are those of a GGUF.
    made["model"]["vocab"] = [[text, struct.unpack("<f", struct.pack("<f", score))[0]]
                              for text, score in pieces]
    ids = {text: i for i, text in enumerate(marks)}
    made["added_tokens"] = added({**ids, "<mask>": len(pieces) - 1})
    made["added_tokens"][-1]["lstrip"] = True
    made["post_processor"] = {"type": "TemplateProcessing", **{
        key: template("<s>", "</s>")[key] for key in ("single",)}, "pair": [
            {"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
            {"SpecialToken": {"id": "</s>", "type_id": 0}},
            {"SpecialToken": {"id": "</s>", "type_id": 0}},
            {"Sequence": {"id": "B", "type_id": 0}},
            {"SpecialToken": {"id": "</s>", "type_id": 0}}]}
    with_ids(made["post_processor"], ids)
    return made, len(pieces)


# ---- families ----

WIDTH, WIDE, HEADS, KEYS, HEAD = 64, 96, 4, 2, 32


def tensors(vocabulary, layers, heads, keys, head, norms, own_head, is_fused=False, chain=False):
    scale = 0.18
    out = [["model.embed_tokens.weight", [vocabulary, WIDTH], "code" if chain else 1.0],
           ["model.norm.weight", [WIDTH], "one"]]
    if own_head or chain:
        out.append(["lm_head.weight", [vocabulary, WIDTH], "next" if chain else 0.3])
    for layer in range(layers):
        at = "model.layers.%d." % layer
        end = "zero" if chain else scale
        if is_fused:
            out += [[at + "self_attn.qkv_proj.weight", [(heads + 2 * keys) * head, WIDTH], scale],
                    [at + "mlp.gate_up_proj.weight", [2 * WIDE, WIDTH], scale]]
        else:
            out += [[at + "self_attn.q_proj.weight", [heads * head, WIDTH], scale],
                    [at + "self_attn.k_proj.weight", [keys * head, WIDTH], scale],
                    [at + "self_attn.v_proj.weight", [keys * head, WIDTH], scale],
                    [at + "mlp.gate_proj.weight", [WIDE, WIDTH], scale],
                    [at + "mlp.up_proj.weight", [WIDE, WIDTH], scale]]
        out += [[at + "self_attn.o_proj.weight", [WIDTH, heads * head], end],
                [at + "mlp.down_proj.weight", [WIDTH, WIDE], end]]
        out += [[at + name + ".weight", [head if "self_attn" in name else WIDTH], "one"]
                for name in norms]
    return out


LLAMA = ("input_layernorm", "post_attention_layernorm")
QWEN3 = LLAMA + ("self_attn.q_norm", "self_attn.k_norm")
GEMMA2 = LLAMA + ("pre_feedforward_layernorm", "post_feedforward_layernorm")
OLMO2 = ("post_attention_layernorm", "post_feedforward_layernorm")


def config(kind, architecture, vocabulary, layers, **more):
    return {"architectures": [architecture], "model_type": kind, "hidden_size": WIDTH,
            "intermediate_size": WIDE, "num_hidden_layers": layers, "num_attention_heads": HEADS,
            "num_key_value_heads": KEYS, "vocab_size": vocabulary, "hidden_act": "silu",
            "max_position_embeddings": 4096, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
            "tie_word_embeddings": True, "torch_dtype": "float32", "use_cache": True,
            "transformers_version": "4.57.1", **more}


def settings(**more):
    return {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 4096,
            "clean_up_tokenization_spaces": False, **more}


def folder(tokenizer, settings_, config_, chat, ends):
    files = {"tokenizer.json": tokenizer, "tokenizer_config.json": settings_,
             "config.json": config_, "generation_config.json": {
                 "eos_token_id": ends, "transformers_version": "4.57.1"}}
    return {**files, "chat_template.jinja": chat} if chat else files


def adapter(layers):
    names = ["base_model.model.model.layers.%d.self_attn.%s.lora_%s.weight" % (layer, part, side)
             for layer in range(layers) for part in ("q_proj", "v_proj") for side in "AB"]
    width = {"q_proj": HEADS * HEAD, "v_proj": KEYS * HEAD}
    return {"config": {
        "peft_type": "LORA", "task_type": "CAUSAL_LM", "auto_mapping": None,
        "base_model_name_or_path": "x/y", "revision": None, "inference_mode": True, "r": 4,
        "lora_alpha": 8, "lora_dropout": 0.05, "target_modules": ["q_proj", "v_proj"],
        "fan_in_fan_out": False, "bias": "none", "modules_to_save": None,
        "init_lora_weights": True, "layers_to_transform": None, "layers_pattern": None,
        "rank_pattern": {}, "alpha_pattern": {}, "use_rslora": False, "use_dora": False},
        "tensors": [[name, [4, WIDTH] if "lora_A" in name else
                     [width[name.split(".")[-3]], 4], 0.35] for name in names]}


def encoder(kind, vocabulary, positions, segments):
    architecture = "BertModel" if kind == "bert" else "XLMRobertaModel"
    made = {"architectures": [architecture], "model_type": kind, "hidden_size": WIDTH,
            "intermediate_size": WIDE, "num_hidden_layers": 1, "num_attention_heads": HEADS,
            "vocab_size": vocabulary, "hidden_act": "gelu", "max_position_embeddings": positions,
            "layer_norm_eps": 1e-12, "type_vocab_size": segments,
            "pad_token_id": 0 if kind == "bert" else 1, "position_embedding_type": "absolute"}
    out = [["embeddings.%s_embeddings.weight" % name, [rows, WIDTH], 0.5] for name, rows in
           (("word", vocabulary), ("position", positions), ("token_type", segments))]
    out += [["embeddings.LayerNorm.weight", [WIDTH], "one"],
            ["embeddings.LayerNorm.bias", [WIDTH], 0.1]]
    at = "encoder.layer.0."
    for name, rows, columns in (
            ("attention.self.query", WIDTH, WIDTH), ("attention.self.key", WIDTH, WIDTH),
            ("attention.self.value", WIDTH, WIDTH), ("attention.output.dense", WIDTH, WIDTH),
            ("intermediate.dense", WIDE, WIDTH), ("output.dense", WIDTH, WIDE)):
        out += [[at + name + ".weight", [rows, columns], 0.2], [at + name + ".bias", [rows], 0.1]]
    for name in ("attention.output.LayerNorm", "output.LayerNorm"):
        out += [[at + name + ".weight", [WIDTH], "one"], [at + name + ".bias", [WIDTH], 0.1]]
    return made, out


MODULES = {"modules.json": [
    {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
    {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
    {"idx": 2, "name": "2", "path": "2_Normalize",
     "type": "sentence_transformers.models.Normalize"}],
    "1_Pooling/config.json": {"word_embedding_dimension": WIDTH,
                              "pooling_mode_mean_tokens": True}}


def make():
    bytes_, bytes_count = byte_level()
    pieces, pieces_count = with_pieces()
    ends = bytes_count - 2
    chats = settings(eos_token="<|im_end|>", pad_token="<|pad|>", bos_token="<|endoftext|>")
    lamas = settings(bos_token="<s>", eos_token="</s>", unk_token="<unk>")
    mistral = json.loads(json.dumps(pieces))
    mistral.update(normalizer=None, pre_tokenizer={
        "type": "Metaspace", "replacement": MARK, "prepend_scheme": "first", "split": False})
    gemma = json.loads(json.dumps(pieces))
    gemma.update(normalizer={"type": "Replace", "pattern": {"String": " "}, "content": MARK},
                 pre_tokenizer={"type": "Split", "pattern": {"String": " "},
                                "behavior": "MergedWithPrevious", "invert": False})
    gemma["decoder"]["decoders"].pop()
    llama3 = json.loads(json.dumps(bytes_))
    llama3["model"]["ignore_merges"] = True
    llama3["normalizer"] = None
    llama3["post_processor"] = {"type": "Sequence", "processors": [
        llama3["post_processor"], with_ids(template("<|endoftext|>"),
                                           {"<|endoftext|>": bytes_count - 4})]}
    out = {}

    def add(name, tokenizer, settings_, chat, kind, architecture, layers, norms, own_head=False,
            head=WIDTH // HEADS, keys=KEYS, is_fused=False, chain=False, with_adapter=False,
            **more):
        is_bytes = tokenizer in (bytes_, llama3)
        vocabulary = bytes_count if is_bytes else pieces_count
        made = config(kind, architecture, vocabulary, layers, tie_word_embeddings=not own_head,
                      num_key_value_heads=keys)
        made.update(more)
        out[name] = {
            "files": folder(tokenizer, settings_, made, chat, ends if is_bytes else 2),
            "tensors": tensors(vocabulary, layers, HEADS, keys, head, norms, own_head, is_fused,
                               chain)}
        if with_adapter:
            out[name]["adapter"] = adapter(layers)

    add("qwen3", bytes_, chats, CHAT, "qwen3", "Qwen3ForCausalLM", 2, QWEN3, head=HEAD,
        head_dim=HEAD, use_sliding_window=False, sliding_window=None, max_window_layers=2,
        rope_scaling=None, attention_bias=False, with_adapter=True)
    add("qwen2", bytes_, chats, CHAT, "qwen2", "Qwen2ForCausalLM", 2, LLAMA,
        use_sliding_window=False, sliding_window=4096, max_window_layers=1)
    for layer in range(2):
        for part, rows in (("q", WIDTH), ("k", WIDTH // 2), ("v", WIDTH // 2)):
            out["qwen2"]["tensors"].append(
                ["model.layers.%d.self_attn.%s_proj.bias" % (layer, part), [rows], 0.3])
    add("llama3", llama3, chats, CHAT, "llama", "LlamaForCausalLM", 2, LLAMA,
        rope_scaling={"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
                      "high_freq_factor": 4.0, "original_max_position_embeddings": 64},
        attention_bias=False, mlp_bias=False)
    add("smollm3", bytes_, chats, CHAT, "smollm3", "SmolLM3ForCausalLM", 4, LLAMA,
        no_rope_layers=[1, 1, 1, 0], no_rope_layer_interval=4, use_sliding_window=False,
        sliding_window=None, layer_types=["full_attention"] * 4, pad_token_id=0)
    add("granite", bytes_, chats, CHAT, "granite", "GraniteForCausalLM", 2, LLAMA,
        attention_multiplier=0.2, embedding_multiplier=12.0, logits_scaling=8.0,
        residual_multiplier=0.22, attention_bias=False, mlp_bias=False)
    add("llama2", pieces, lamas, LAMA, "llama", "LlamaForCausalLM", 2, LLAMA, own_head=True,
        rope_scaling=None, head=HEAD, head_dim=HEAD, with_adapter=True)
    add("mistral", mistral, lamas, LAMA, "mistral", "MistralForCausalLM", 2, LLAMA, own_head=True,
        head=HEAD, head_dim=HEAD, sliding_window=None)
    add("phi3", pieces, lamas, LAMA, "phi3", "Phi3ForCausalLM", 2, LLAMA, own_head=True,
        is_fused=True, keys=HEADS, original_max_position_embeddings=4096, sliding_window=2047,
        rope_scaling=None, pad_token_id=0, bos_token_id=1, eos_token_id=2)
    add("gemma2", gemma, lamas, LAMA, "gemma2", "Gemma2ForCausalLM", 2, GEMMA2, head=HEAD,
        head_dim=HEAD, hidden_act="gelu_pytorch_tanh", hidden_activation="gelu_pytorch_tanh",
        sliding_window=8, query_pre_attn_scalar=32, attn_logit_softcapping=50.0,
        final_logit_softcapping=30.0, attention_bias=False, pad_token_id=0, bos_token_id=1,
        eos_token_id=2)
    add("gemma3", gemma, lamas, LAMA, "gemma3_text", "Gemma3ForCausalLM", 3,
        GEMMA2 + QWEN3[2:], head=HEAD, head_dim=HEAD, hidden_activation="gelu_pytorch_tanh",
        sliding_window=8, sliding_window_pattern=3, query_pre_attn_scalar=32,
        rope_theta=1000000.0, rope_local_base_freq=10000.0, rope_scaling=None, pad_token_id=0,
        bos_token_id=1, eos_token_id=2, attention_bias=False)
    del out["gemma3"]["files"]["config.json"]["hidden_act"]
    add("chain", bytes_, chats, CHAT, "llama", "LlamaForCausalLM", 1, LLAMA, own_head=True,
        chain=True)
    add("chain-pieces", pieces, lamas, LAMA, "llama", "LlamaForCausalLM", 1, LLAMA, own_head=True,
        chain=True)
    words, words_count = word_piece()
    made, numbers = encoder("bert", words_count, 128, 2)
    out["bert"] = {"files": {
        "tokenizer.json": words, "config.json": made, "tokenizer_config.json": settings(
            unk_token="[UNK]", sep_token="[SEP]", cls_token="[CLS]", pad_token="[PAD]",
            mask_token="[MASK]"), **MODULES}, "tensors": numbers}
    grams, grams_count = unigram()
    made, numbers = encoder("xlm-roberta", grams_count, 130, 1)
    out["xlmr"] = {"files": {
        "tokenizer.json": grams, "config.json": made, "tokenizer_config.json": settings(
            bos_token="<s>", eos_token="</s>", unk_token="<unk>", sep_token="</s>",
            cls_token="<s>", pad_token="<pad>", mask_token="<mask>"), **MODULES},
        "tensors": numbers}
    return out
